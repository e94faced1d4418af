// The graph as SVG. The elements of a shape are made once, and are then updated for each state.

import { drawArrow } from "./arrow.js";
import { MOST_SUMMED, boxLines, measure, sumText } from "./boxes.js";
import { svg } from "./elements.js";
import { fit, fitChanged, textWidth } from "./fitting.js";
import { isEditable } from "./graph.js";
import { cleaned } from "./labels.js";
import { GAP, layOut } from "./layout.js";
import { page } from "./page.js";
import { titleOf } from "./parts.js";
import { exact, filled, shown } from "./text.js";

const LABEL = { beside: [-5, 14], low: [-1, 12] }; // pixels from an edge to the bases of its two texts
const BESIDE = 4; // pixels between an edge that runs down and a text of its label
const BESIDE_LOCK = 22; // pixels from the end of a title to the end of its box
const EDGE_WIDTHS = [1.5, 5.5]; // pixels, for a contribution of 0 and for the largest one

export class Picture {
  /**
   * `acts` has two functions: one opens or closes a part, and one is called when a leaf is pressed.
   * @param {Shape} shape
   * @param {Words} words
   * @param {{ toggle?: (group: number) => void, drag?: (leaf: number, event: PointerEvent) => void }} acts
   * @param {View} view
   * @param {Arrangement} arrangement
   */
  constructor(shape, words, acts, view, arrangement) {
    this.shape = shape;
    this.acts = acts;
    this.vertical = arrangement.vertical;
    this.labelled = placeShape(shape, words, view, arrangement);
    this.root = svg("g", { class: this.vertical ? "vertical" : "" });
    this.frames = shape.frames.map(frame => this.makeFrame(frame, words));
    this.edges = shape.edges.map(edge => this.makeEdge(edge));
    this.boxes = shape.boxes.map(box => this.makeBox(box));
    this.motion = svg("g", { class: "motion" });
    const labels = this.edges.map(edge => edge.label); // they are drawn above all lines
    const groups = [this.frames, this.edges, this.boxes].map(all => all.map(each => each.group));
    this.root.append(...groups[0], ...groups[1], ...labels, ...groups[2], this.motion);
  }

  /**
   * @param {Frame} frame
   * @param {Words} words
   */
  makeFrame(frame, words) {
    const { x, y, width, height } = frame;
    const title = svg("text", { x: x + 30, y: y + 18, class: "title" });
    const sign = svg("text", { x: x + 15, y: y + 18, class: "sign" }, "−");
    const hit = svg("rect", { class: "hit", x, y, width: Math.min(width, 260), height: GAP.title });
    const rim = svg("rect", { class: "rim", x, y, width, height, rx: 8 });
    const bar = svg("g", { class: "bar", tabindex: 0, role: "button", "aria-expanded": "true" }, hit, sign, title);
    title.textContent = cleaned(titleOf(this.shape.graph, frame, words));
    bar.setAttribute("aria-label", filled(words.close_part, { part: title.textContent }));
    const path = cleaned(frame.name);
    const least = textWidth(`${title.textContent} ${path}`, "title") + 50;
    if (path !== title.textContent && least < width) {
      title.append(svg("tspan", { class: "path", dx: 8 }, path)); // Python counts from 0
    }
    pressable(bar, () => this.acts.toggle(frame.group));
    const group = svg("g", { class: "scope", "data-name": frame.name, "data-key": frame.key }, rim, bar);
    return { group, key: frame.key, x, y };
  }

  /** @param {Edge} edge */
  makeEdge({ source, target, slots, points, place, label: width, constant }) {
    const line = svg("path", { class: "line" });
    const head = svg("path", { class: "head" });
    const titles = [svg("title"), svg("title")];
    const shifts = place && this.vertical ? besideLine(points, place) : [0, 0];
    const texts = place
      ? ["local", "sent"].map((kind, i) =>
          svg("text", {
            class: shifts[i] < 0 ? `${kind} left` : kind,
            x: place[0] + shifts[i],
            y: place[1] + LABEL[this.vertical ? "low" : "beside"][i],
          }),
        )
      : [];
    const group = svg(
      "g",
      {
        "data-src": this.shape.boxes[source].name,
        "data-dst": this.shape.boxes[target].name,
        "data-slot": slots.length === 1 ? slots[0][1] : "",
      },
      titles[0],
      line,
      head,
    );
    const label = svg("g", {}, titles[1], ...texts);
    const room = this.vertical ? (GAP.low.across * width) / 2 - BESIDE / 2 : width; // texts that face each other do not meet
    return { group, label, titles, line, head, texts, points, constant, room, vertical: this.vertical };
  }

  /** @param {Box} box */
  makeBox(box) {
    const { x, y, width, height, roles, key } = box;
    const { side, line, top, title: heading } = box.style;
    const title = svg("title");
    const frame = svg("rect", { class: "frame", x, y, width, height, rx: box.folded ? 3 : 9 });
    const behind = box.folded ? [svg("rect", { class: "behind", x: x + 5, y: y + 5, width, height, rx: 3 })] : [];
    let base = y + top - 3;
    const rows = box.rows.map(kind => {
      base += kind === "title" ? heading : line;
      const at = (name, x) => svg("text", { class: name, x, y: base - 2 });
      const end = x + width - side;
      const middle = x + width / 2;
      const half = textWidth(box.title, "title") / 2;
      if (kind === "title")
        return [at("title", Math.max(x + side + half, Math.min(middle, x + width - BESIDE_LOCK - half)))];
      if (kind === "bare") return [at("number middle", middle)];
      return kind === "note"
        ? [at("note", end)]
        : [at("word", x + side), at(kind === "data" || kind === "count" ? "number" : "number grad", end)];
    });
    const padlock = `M${x + width - 17},${y + 11}v-2a3,3 0 0 1 6,0v2h1.5v6.5h-9v-6.5z`;
    const group = svg(
      "g",
      { "data-name": box.name, "data-key": key },
      title,
      ...behind,
      frame,
      ...rows.flat(),
      svg("path", { class: "lock", d: padlock }),
    );
    const [only] = box.nodes;
    const { graph } = this.shape;
    const editable = !graph.fixed && !box.folded && isEditable(graph.nodes[only]);
    if (editable) group.addEventListener("pointerdown", event => this.acts.drag(only, event));
    if (box.folded) {
      for (const [name, value] of [
        ["tabindex", "0"],
        ["role", "button"],
        ["aria-expanded", "false"],
      ])
        group.setAttribute(name, value);
      pressable(group, () => this.acts.toggle(box.group));
    }
    const role = `node ${roles}${editable ? " editable" : ""}${box.bare ? " bare" : ""}`;
    return { group, title, rows, width, role, key, x, y };
  }

  /**
   * Show a view in the language of `words`. `active` has the boxes and edges that the step is about.
   * @param {View} view
   * @param {Words} words
   * @param {Active} active
   */
  update(view, words, active) {
    const largest = view.edges.reduce(
      (most, { size }) => (Number.isFinite(size) ? Math.max(most, Math.abs(size)) : most),
      0,
    );
    view.edges.forEach((facts, i) => {
      const share = facts.size === 0 ? 0 : largest && Number.isFinite(facts.size) ? Math.abs(facts.size) / largest : 1;
      const width = EDGE_WIDTHS[0] + (EDGE_WIDTHS[1] - EDGE_WIDTHS[0]) * (facts.size === null ? 0 : share);
      const now = { ...facts, width, active: active.edges.has(i), words };
      if (isNew(this.edges[i], now)) updateEdge(this.edges[i], now);
    });
    view.boxes.forEach((facts, i) => {
      const now = { ...facts, active: active.boxes.has(i), sends: active.sender === i, words };
      if (isNew(this.boxes[i], now)) updateBox(this.boxes[i], view.shape, i, now);
    });
    fitChanged();
  }
}

/**
 * Give all boxes, frames and edges of a shape their sizes and places. Return whether its edges have labels.
 * @param {Shape} shape
 * @param {Words} words
 * @param {View} view
 * @param {Arrangement} arrangement
 */
export function placeShape(shape, words, view, arrangement) {
  const facts = new Map(shape.boxes.map((box, i) => [box, view.boxes[i]]));
  const numbers = (box, key) => numbersAtEnd(facts.get(box), key);
  for (const box of shape.boxes) measure(shape, box, words, numbers, view.state.passes, arrangement);
  for (const frame of shape.frames) frame.least = textWidth(cleaned(titleOf(shape.graph, frame, words)), "title") + 50;
  // The label of several edges that are drawn as one is wide and says little.
  const several = shape.edges.some(edge => edge.slots.length > 1);
  const labelled =
    shape.boxes.length <= page.limits.boxes &&
    shape.edges.length <= (several ? page.limits.edges / 2 : page.limits.edges);
  shape.edges.forEach(
    (edge, i) =>
      (edge.label =
        Math.max(...edgeTexts(view.edges[i], words).map((text, k) => textWidth(text, k ? "sent" : "local")), 36) +
        (arrangement.tight ? 6 : 8)),
  );
  layOut(shape, labelled, arrangement);
  return labelled;
}

/**
 * Return the texts that a row of a box will have at the end, so the box is made wide enough for them.
 * @param {BoxFacts} facts
 * @param {string} key
 */
function numbersAtEnd({ terms, value, grad }, key) {
  if (key === "count") return [];
  if (key === "sum") return terms.length <= MOST_SUMMED ? [sumText(terms, Infinity)] : [];
  const number = key === "data" ? value : grad;
  return number === null ? [] : [shown(number)];
}

/**
 * Remember the facts that an element shows, and return whether they have changed. In a large graph, few do in one step.
 * @param {any} element
 * @param {any} now
 */
function isNew(element, now) {
  const { last } = element;
  element.last = now;
  return (
    !last ||
    Object.entries(now).some(([key, x]) =>
      Array.isArray(x) ? x.join() !== last[key].join() : !Object.is(x, last[key]),
    )
  );
}

/**
 * @param {ReturnType<Picture["makeEdge"]>} edge
 * @param {EdgeFacts & { width: number, active: boolean, words: Words }} facts
 */
function updateEdge({ group, label, titles, line, head, points, texts: [local, sent], room, vertical }, facts) {
  const { size, sign, constant, width, active, words } = facts;
  const look = [constant && "constant", sign, active && "active"].filter(Boolean).join(" ");
  group.setAttribute("class", `edge ${look}`);
  label.setAttribute("class", `label ${look}`);
  group.setAttribute("data-contribution", size === null ? "" : exact(size));
  drawArrow(line, head, points, width, size !== null, vertical);
  const derivative = facts.nothing === "unselected" ? words.unselected : facts.partial;
  const told = [
    ["local", derivative],
    ["upstream", facts.upstream],
    ["contribution", size],
  ].filter(([, x]) => x !== null);
  for (const title of titles) title.textContent = tip(`${facts.source} → ${facts.target}`, told, words);
  if (!local || constant) return;
  const [factor, product] = edgeTexts(facts, words);
  fit(local, factor, room, "local");
  fit(sent, product, room, "sent");
}

/**
 * Return the two texts of an edge: the local derivative and the contribution. For several edges drawn as one, these are
 * the number of edges and the norm of their contributions.
 * @param {EdgeFacts} facts
 * @param {Words} words
 */
function edgeTexts(facts, words) {
  const { size, partial, count, constant, asked } = facts;
  if (constant) return ["", ""];
  if (count > 1)
    return [filled(words.edges_count, { count }), size === null ? "" : filled(words.norm, { norm: shown(size) })];
  const factor = partial === null ? "" : `× ${shown(partial)}`;
  return [asked ? "× ?" : factor, contributionText(facts, words)];
}

function contributionText({ size, stops, undefinedProduct }, words) {
  if (size === null) return "";
  if (stops) return words.stops;
  if (undefinedProduct) return words.nothing;
  return `${size > 0 ? "+" : ""}${shown(size)}`;
}

// The kinds of texts of these rows. All other rows have a word and its number.
const KINDS = { title: "title", note: "note", bare: "number" };

/**
 * @param {ReturnType<Picture["makeBox"]>} drawn
 * @param {Shape} shape
 * @param {number} i
 * @param {BoxFacts & { active: boolean, sends: boolean, words: Words }} facts
 */
function updateBox({ group, title, rows, width, role }, shape, i, facts) {
  const { words, active } = facts;
  const box = shape.boxes[i];
  const sign = facts.grad > 0 ? "plus" : facts.grad < 0 ? "minus" : "";
  const look = [
    role,
    facts.state,
    sign,
    active && "active",
    facts.sends && "sends",
    (facts.still || !facts.began) && "still",
  ]
    .filter(Boolean)
    .join(" ");
  group.setAttribute("class", look);
  group.setAttribute("data-value", facts.value === null ? "" : exact(facts.value));
  group.setAttribute("data-grad", facts.grad === null ? "" : exact(facts.grad));
  group.setAttribute("data-state", facts.state);
  if (facts.theirs !== null) group.setAttribute("data-theirs", exact(facts.theirs));
  const told = [
    ["data", facts.value],
    ["grad", facts.grad],
  ].filter(([, x]) => x !== null);
  title.textContent = tip(facts.name, told, words);
  const lines = boxLines(box, shape.graph, facts, words, width);
  rows.forEach((texts, k) =>
    texts.forEach((text, part) => {
      const room = width - 2 * box.style.side;
      const beside = texts.length > 1 ? textWidth(lines[k][1 - part], "word") + box.style.between : -4;
      fit(text, lines[k]?.[part] ?? "", room - beside, KINDS[box.rows[k]] ?? (part ? "grad" : "word"));
    }),
  );
  if (box.folded) group.setAttribute("aria-label", filled(words.open_part, { part: lines[0][0] }));
}

/**
 * Call `act` on a click, on Enter and on Space, but not at the end of a drag.
 * @param {SVGElement} element
 * @param {() => void} act
 */
function pressable(element, act) {
  let from = null;
  element.addEventListener("pointerdown", event => (from = [event.clientX, event.clientY]));
  element.addEventListener("click", event => {
    const moved = from && Math.hypot(event.clientX - from[0], event.clientY - from[1]) > 5;
    if (!moved) act();
  });
  element.addEventListener("keydown", event => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    event.stopPropagation();
    act();
  });
}

// Return how far the two texts of a label stand to the left or right of a line that runs down, on the side that the line
// does not come from or go to.
function besideLine(points, [x, y]) {
  const at = points.findIndex(point => point[0] === x && point[1] === y);
  const from = points[at - 1][0];
  const to = points[at + 1][0];
  return [from > x + 1 ? -BESIDE : BESIDE, to > x + 1 ? -BESIDE : BESIDE];
}

// Return the text of a tooltip, which has the numbers with all their digits, and words as they are.
function tip(name, told, words) {
  return [name, ...told.map(([word, x]) => `${words[word]} ${typeof x === "number" ? exact(x) : x}`)].join("\n");
}
