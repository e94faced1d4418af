// Draw an operation as a function of one of its operands, and the tangent, whose slope is the local derivative.

import { forward } from "../rows.js";
import { svg } from "./elements.js";
import { flowsTo } from "./graph.js";
import { replacedAt } from "./lists.js";
import { operandName } from "./parts.js";
import { expressionOf, filled, shown } from "./text.js";

const PLOT = { width: 320, height: 170, rim: 12, samples: 160 };

// Return the node and the operand slot that a step is about, or null if there is no curve to draw.
function plotted(view, step) {
  if (!step || view.shape.boxes[step.box].folded || !["forward", "send"].includes(step.kind)) return null;
  const node = view.graph.nodes[step.node];
  if (!node.row) return null;
  const slot =
    step.kind === "send" ? step.moves[0].slot : node.parents.findIndex((_, k) => flowsTo(view.graph, node, k));
  const xs = node.parents.map(i => view.numbers.data[i]);
  const y = view.numbers.data[step.node];
  return slot < 0 || !Number.isFinite(xs[slot]) || !Number.isFinite(y) ? null : { node, slot, xs, y };
}

/**
 * @param {SVGSVGElement} root
 * @param {View} view
 * @param {Step | null | undefined} step
 * @param {Words} words
 */
export function drawPlot(root, view, step, words) {
  const at = plotted(view, step);
  root.parentElement.classList.toggle("empty", at === null);
  if (!at) return;
  const { node, slot, xs, y } = at;
  const x = xs[slot];
  const { width, height, rim, samples } = PLOT;
  const slope = view.numbers.partials[step.node][slot];
  const reach = Math.max(1.5, 1.25 * Math.abs(x));
  const f = t => forward[node.row](...replacedAt(xs, slot, t));
  const curve = Array.from({ length: samples + 1 }, (_, i) => {
    const t = x - reach + (2 * reach * i) / samples;
    return [t, f(t)];
  });
  const near = curve.map(([, v]) => v).filter(Number.isFinite);
  const most = 4 * reach * Math.max(1, Math.abs(slope) || 0);
  let low = Math.max(Math.min(y, ...near), y - most);
  let high = Math.min(Math.max(y, ...near), y + most);
  const flat = Math.max(1, 1e-9 * Math.abs(y)); // beside a large number, 1 is nothing
  if (!(high - low > 1e-9 * Math.max(1, Math.abs(y)))) [low, high] = [y - flat, y + flat];
  const margin = 0.12 * (high - low);
  [low, high] = [low - margin, high + margin];
  /** @param {number[]} point */
  const place = ([t, v]) => [
    rim + ((t - x + reach) / (2 * reach)) * (width - 2 * rim),
    height - rim - ((v - low) / (high - low)) * (height - 2 * rim),
  ];
  /** @param {number[]} point */
  const inside = ([, v]) => Number.isFinite(v) && v >= low - (high - low) && v <= high + (high - low);
  const pieces = [[]];
  for (const point of curve) inside(point) ? pieces.at(-1).push(place(point)) : pieces.at(-1).length && pieces.push([]);
  const [px, py] = place([x, y]);
  const axis = (a, b) => svg("line", { class: "axis", x1: a[0], y1: a[1], x2: b[0], y2: b[1] });
  const lines = [];
  if (low < 0 && high > 0) lines.push(axis([rim, place([x, 0])[1]], [width - rim, place([x, 0])[1]]));
  if (x - reach < 0 && x + reach > 0) lines.push(axis([place([0, y])[0], rim], [place([0, y])[0], height - rim]));
  lines.push(
    ...pieces
      .filter(piece => piece.length > 1)
      .map(piece => svg("polyline", { class: "curve", points: piece.join(" ") })),
  );
  if (Number.isFinite(slope)) {
    const scale = (high - low) / (height - 2 * rim) / ((2 * reach) / (width - 2 * rim));
    const dx = 62 / Math.hypot(1, slope / scale);
    const dy = (dx * slope) / scale;
    const sign = slope > 0 ? "plus" : slope < 0 ? "minus" : "zero";
    lines.push(svg("line", { class: `tangent ${sign}`, x1: px - dx, y1: py + dy, x2: px + dx, y2: py - dy }));
  }
  lines.push(svg("circle", { cx: px, cy: py, r: 5 }));
  root.replaceChildren(...lines);
  const names = node.parents.map(i =>
    view.graph.nodes[i].gets ? operandName(view.shape, i, words) : shown(view.numbers.data[i]),
  );
  const others = names.map((name, k) => (k === slot ? name : shown(xs[k])));
  const told = { formula: expressionOf(node.text, others), name: names[slot], x: shown(x), slope: shown(slope) };
  const text = filled(words.tangent, told);
  root.setAttribute("aria-label", text);
  root.nextElementSibling.textContent = text;
}
