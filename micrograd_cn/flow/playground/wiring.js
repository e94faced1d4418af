// Draw the network: a small map of the plane for each neuron, and lines for the weights or their gradients.

import { neuronName } from "./names.js";
import { Field } from "./plane.js";
import { colours, fitted } from "../stepper/canvas.js";
import { html, targetOf } from "../stepper/elements.js";
import { filled, shown } from "../stepper/text.js";

// In heights of the frame's letters: what the name of an input needs, and how large a neuron is at most.
const SIZES = { input: 2, most: 4.5 };

/**
 * The weight `i` of neuron `j` in layer `l`.
 * @typedef {{ l: number, i: number, j: number }} Wire
 */

export class Wiring {
  gradients = false; // whether the wires show gradients, and not weights
  upcoming = 0; // the layer whose wires drawNext() draws next
  /** @type {Words} */
  words;

  // `looked` is called when another neuron or wire is selected. `lens` is the selected neuron: the one under the
  // pointer or with the focus, or else the one that was pinned by a click.
  constructor(frame, looked) {
    this.frame = frame;
    this.looked = looked;
    this.canvas = frame.querySelector("canvas");
    this.units = [];
    this.passing = null;
    this.pinned = null;
    this.wire = null;
    frame.addEventListener("pointermove", event => this.findWire(event));
    frame.addEventListener("pointerleave", () => this.findWire(null));
    frame.addEventListener("keydown", event => event.key === "Escape" && this.pin(null));
    new ResizeObserver(() => this.trainer && this.arrange()).observe(frame);
  }

  get lens() {
    return this.passing ?? this.pinned;
  }

  look(neuron) {
    this.passing = neuron;
    this.looked();
  }

  pin(neuron) {
    const same = neuron && this.pinned && neuron.l === this.pinned.l && neuron.j === this.pinned.j;
    this.pinned = same ? null : neuron;
    this.units
      .slice(1)
      .forEach((layer, l) =>
        layer.forEach((unit, j) =>
          unit.setAttribute("aria-pressed", String(this.pinned?.l === l && this.pinned.j === j)),
        ),
      );
    this.looked();
  }

  // Select the wire at the pointer, if one is near.
  findWire(event) {
    /** @type {Wire | null} */
    let found = null;
    let nearest = 7;
    if (event && this.places && !targetOf(event).closest(".unit")) {
      const { left, top } = this.frame.getBoundingClientRect();
      const x = event.clientX - left;
      const y = event.clientY - top;
      const half = this.size / 2;
      this.trainer.network.layers.forEach(({ nin, nout }, l) => {
        for (let j = 0; j < nout; j++)
          for (let i = 0; i < nin; i++) {
            const [x0, y0] = this.places[l][i];
            const [x1, y1] = this.places[l + 1][j];
            const share = (x - x0 - half) / (x1 - x0 - 2 * half);
            if (share < 0 || share > 1) continue;
            const away = Math.abs(y0 + (y1 - y0) * bend(share) - y);
            if (away < nearest) [found, nearest] = [{ l, i, j }, away];
          }
      });
    }
    const wire = /** @type {Wire | null} */ (found); // which a function has set
    if (wire?.l === this.wire?.l && wire?.i === this.wire?.i && wire?.j === this.wire?.j) return;
    this.wire = wire;
    this.looked();
  }

  show(trainer, names) {
    this.trainer = trainer;
    this.passing = this.pinned = this.wire = null;
    this.units.flat().forEach(unit => unit.remove());
    this.fields = trainer.network.layers.map(({ nout }) => Array.from({ length: nout }, () => new Field()));
    const inputs = names.map(name => html("span", { class: "unit input" }, name));
    this.units = [
      inputs,
      ...this.fields.map((layer, l) =>
        layer.map((field, j) => {
          const unit = html("button", { class: "unit", type: "button" }, field.canvas);
          for (const name of ["pointerenter", "focus"]) unit.addEventListener(name, () => this.look({ l, j }));
          for (const name of ["pointerleave", "blur"]) unit.addEventListener(name, () => this.look(null));
          unit.addEventListener("click", () => this.pin({ l, j }));
          unit.setAttribute("aria-pressed", String(false));
          return unit;
        }),
      ),
    ];
    this.frame.append(...this.units.flat());
    this.arrange();
  }

  arrange() {
    const most = Math.max(...this.units.map(layer => layer.length));
    const across = this.units.length;
    this.frame.style.setProperty("--most", most);
    const { clientWidth: width, clientHeight: height } = this.frame;
    const letter = parseFloat(getComputedStyle(this.frame).fontSize);
    const least = SIZES.input * letter;
    const size = Math.max(16, Math.min(SIZES.most * letter, (height - 24) / most - 8, width / across / 1.7));
    this.size = size;
    this.letter = letter;
    this.places = this.units.map((layer, l) =>
      layer.map((unit, j) => {
        const x = 24 + size / 2 + ((width - 48 - size) * l) / (across - 1);
        const room = Math.min(Math.max(size, least) * 1.5, (height - 16) / layer.length);
        const y = height / 2 + (j - (layer.length - 1) / 2) * room;
        const own = l ? size : Math.max(size, least);
        Object.assign(unit.style, {
          left: `${x}px`,
          top: `${y}px`,
          width: `${own}px`,
          height: `${own}px`,
          lineHeight: `${own - 4}px`,
          textAlign: "center",
        });
        return [x, y];
      }),
    );
    this.draw();
  }

  // Draw all wires.
  draw(gradients = this.gradients, words = this.words) {
    Object.assign(this, { gradients, words });
    this.drawLayers(0, this.trainer.network.layers.length);
    this.upcoming = 0;
  }

  // Draw the wires of the next layers, at least `count` of them if the network has so many in these and later layers.
  // Return whether those of the last layer are drawn now.
  drawNext(count) {
    const { layers } = this.trainer.network;
    let end = this.upcoming;
    for (let drawn = 0; end < layers.length && drawn < count; end++) drawn += layers[end].nin * layers[end].nout;
    this.drawLayers(this.upcoming, end);
    this.upcoming = end % layers.length;
    return this.upcoming === 0;
  }

  // Draw the wires of the layers from `begin` to before `end` in the part of the canvas that belongs to them.
  drawLayers(begin, end) {
    const { context, width, height } = fitted(this.canvas);
    const { layers } = this.trainer.network;
    const left = begin ? Math.round(this.places[begin][0][0]) : 0;
    const right = end < layers.length ? Math.round(this.places[end][0][0]) : width;
    context.save();
    context.beginPath();
    context.rect(left, 0, right - left, height);
    context.clip();
    context.clearRect(left, 0, right - left, height);
    this.drawWires(context, begin, end);
    this.tellWires(context, width);
    context.restore();
  }

  // The colour is the sign and the width the size. For gradients, the size is relative to the largest one.
  drawWires(context, begin, end) {
    const { layers, data, grad } = this.trainer.network;
    const numbers = this.gradients ? grad : data;
    const largest = this.gradients ? Math.max(1e-12, ...grad.map(Math.abs)) : 2.5;
    const half = this.size / 2;
    const widest = Math.min(7, 0.22 * this.size);
    context.lineCap = "round";
    const { lens, wire } = this;
    for (let l = begin; l < end; l++) {
      const { nin, nout, first } = layers[l];
      for (let j = 0; j < nout; j++) {
        for (let i = 0; i < nin; i++) {
          const x = numbers[first + j * (nin + 1) + i];
          const [x0, y0] = this.places[l][i];
          const [x1, y1] = this.places[l + 1][j];
          const size = Math.min(1, Math.abs(x) / largest) || 0;
          const looked = this.isLookedAt(l, i, j);
          if (size < 0.004 && !looked) continue;
          context.globalAlpha = looked ? 1 : (0.35 + 0.65 * size) * (lens || wire ? 0.25 : 1);
          context.lineWidth = 0.6 + widest * size;
          context.strokeStyle = x > 0 ? colours.plus : colours.minus;
          context.beginPath();
          context.moveTo(x0 + half, y0);
          context.bezierCurveTo((x0 + x1) / 2, y0, (x0 + x1) / 2, y1, x1 - half, y1);
          context.stroke();
        }
      }
    }
    context.globalAlpha = 1;
  }

  isLookedAt(l, i, j) {
    const { lens, wire } = this;
    return (lens && lens.l === l && lens.j === j) || (wire && wire.l === l && wire.i === i && wire.j === j);
  }

  // Write the number of each wire that the reader looks at on it, and both numbers of the wire at the pointer above it.
  tellWires(context, width) {
    const { lens, wire, words } = this;
    const { layers, data, grad } = this.trainer.network;
    const placeOf = ({ l, i, j }) => layers[l].first + j * (layers[l].nin + 1) + i;
    const half = this.size / 2;
    const looked = lens ? Array.from({ length: layers[lens.l].nin }, (_, i) => ({ ...lens, i })) : [];
    if (wire && !(lens && lens.l === wire.l && lens.j === wire.j)) looked.push(wire);
    Object.assign(context, {
      font: `600 ${0.82 * this.letter}px sans-serif`,
      textAlign: "left",
      strokeStyle: colours.panel,
      lineWidth: 4,
    });
    for (const each of looked) {
      const x = (this.gradients ? grad : data)[placeOf(each)];
      const [x0, y0] = this.places[each.l][each.i];
      const [, y1] = this.places[each.l + 1][each.j];
      const at = [x0 + half + 8, y0 + (y1 - y0) * bend(0.1) + 4]; // near the operand, where the wires are apart
      context.strokeText(shown(x), ...at);
      context.fillStyle = x > 0 ? colours.plus : colours.minus;
      context.fillText(shown(x), ...at);
    }
    if (!wire) return;
    const at = placeOf(wire);
    const [x0, y0] = this.places[wire.l][wire.i];
    const [x1, y1] = this.places[wire.l + 1][wire.j];
    // The weight is the one after the last step. Its gradient was computed before that step.
    const told = filled(this.trainer.steps ? words.wire_told : words.wire_untrained, {
      weight: shown(data[at]),
      gradient: shown(grad[at]),
    });
    Object.assign(context, { textAlign: "center", fillStyle: colours.ink });
    const side = context.measureText(told).width / 2 + 4;
    const middle = [Math.min(width - side, Math.max(side, (x0 + x1) / 2)), Math.max(16, (y0 + y1) / 2 - 8)];
    context.strokeText(told, ...middle);
    context.fillText(told, ...middle);
  }

  // Mark the dead neurons.
  mark(dead, words) {
    this.units.slice(1).forEach((layer, l) =>
      layer.forEach((unit, j) => {
        unit.classList.toggle("dead", dead[l][j]);
        const told = neuronName(this.trainer.network, l, j, words);
        const text = dead[l][j] ? `${told}: ${words.dead}` : told;
        if (unit.title === text) return;
        unit.title = text;
        unit.setAttribute("aria-label", text);
      }),
    );
  }
}

// Return how far across a wire is at a share of its way along x. It is the Bézier curve that draw() draws.
function bend(share) {
  let low = 0;
  let high = 1;
  for (let k = 0; k < 20; k++) {
    const t = (low + high) / 2;
    const x = 1.5 * t * (1 - t) ** 2 + 1.5 * t * t * (1 - t) + t ** 3;
    if (x < share) low = t;
    else high = t;
  }
  return 3 * low * low * (1 - low) + low ** 3;
}

// Return which neurons are dead: their activation has the derivative 0 at every sample.
export function deadNeurons({ network, points }) {
  const dead = network.layers.map(({ nout, last }) => Array(nout).fill(!last && points.length > 0));
  for (const { inputs } of points) {
    network.forward(inputs);
    network.layers.forEach(({ out, sums, last }, l) => {
      for (let j = 0; !last && j < out.length; j++) dead[l][j] &&= Math.abs(network.slope(out[j], sums[j])) < 1e-9;
    });
  }
  return dead;
}
