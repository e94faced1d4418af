// Draw the loss during training, and histograms of the weights and gradients of each layer.

import { LEAST_POINTS } from "./data.js";
import { layerName } from "./names.js";
import { colours, fitted } from "../stepper/canvas.js";
import { drawCurves } from "../stepper/chart.js";
import { html, setText } from "../stepper/elements.js";
import { largestOf } from "../stepper/lists.js";
import { filled, shown } from "../stepper/text.js";

const BINS = 24;

// Draw three losses: that of the mini-batches as a thin line, that of all samples, and that of the held-out samples
// dashed.
export function drawLosses(canvas, { history: losses, each = 1, curve, points }, words) {
  const every = Math.max(1, Math.ceil(losses.length / Math.max(60, canvas.clientWidth)));
  /** @type {Point[]} */
  const batches = [];
  for (let i = 0; i < losses.length; i += every) {
    let total = 0;
    let count = 0;
    for (let k = i; k < Math.min(i + every, losses.length); k++, count++) total += losses[k];
    batches.push([(i + 1) * each, total / count]);
  }
  /** @type {(key: string) => Point[]} */
  const line = key => curve.filter(each => each[key]).map(each => [each.step, each[key].loss]);
  drawCurves(
    canvas,
    [
      { points: batches, colour: colours.rim, ink: colours.quiet, width: 1, name: words.loss_batch },
      { points: line("all"), colour: colours.plus, width: 2.2, name: words.loss_all },
      { points: line("held"), colour: colours.minus, width: 2.2, dash: [5, 3], name: words.loss_held },
    ],
    { last: Math.max(losses.length * each, curve.at(-1)?.step ?? 0) },
    points.length < LEAST_POINTS ? words.draw_points : words.losses_later,
  );
}

export class Charts {
  constructor(frame) {
    this.frame = frame;
  }

  show(network) {
    this.network = network;
    this.upcoming = 0; // the layer that drawNext() draws next
    this.layers = network.layers.map(layer => {
      const parts = ["weights", "gradients"].map(() => ({ canvas: html("canvas"), text: html("p") }));
      const title = html("h2");
      const element = html("div", { class: "layer" }, title, ...parts.flatMap(({ canvas, text }) => [canvas, text]));
      return { layer, title, parts, element };
    });
    this.frame.replaceChildren(...this.layers.map(({ element }) => element));
  }

  // Draw the histograms of all layers.
  draw() {
    this.layers.forEach((_, l) => this.drawLayer(l));
  }

  // Draw the histograms of the next layer, so all are drawn after as many calls as there are layers.
  drawNext() {
    this.drawLayer(this.upcoming);
    this.upcoming = (this.upcoming + 1) % this.layers.length;
  }

  drawLayer(l) {
    const { data, grad } = this.network;
    const {
      layer: { first, nin, nout },
      parts,
    } = this.layers[l];
    [data, grad].forEach((numbers, k) =>
      histogram(parts[k].canvas, numbers.subarray(first, first + nout * (nin + 1)), k),
    );
  }

  // Tell the root mean squares of all layers. A layer's gradient has vanished, for practical purposes, if it is ten
  // thousand times smaller than the largest one.
  tell(words) {
    const { data, grad } = this.network;
    const sizes = this.layers.map(({ layer }) => rms(grad, layer));
    const most = largestOf(sizes);
    this.layers.forEach(({ layer, title, parts }, l) => {
      setText(title, layerName(this.network, l, words));
      setText(parts[0].text, filled(words.weights_rms, { rms: shown(rms(data, layer)) }));
      setText(parts[1].text, filled(words.gradients_rms, { rms: shown(sizes[l]) }));
      parts[1].text.classList.toggle("low", sizes[l] < 1e-4 * most);
    });
  }
}

function rms(numbers, { first, nin, nout }) {
  const count = nout * (nin + 1);
  let total = 0;
  for (let i = first; i < first + count; i++) total += numbers[i] ** 2;
  return Math.sqrt(total / count);
}

function histogram(canvas, numbers, gradients) {
  const { context, width, height } = fitted(canvas);
  context.clearRect(0, 0, width, height);
  let reach = gradients ? 1e-12 : 1;
  for (const x of numbers) if (Number.isFinite(x)) reach = Math.max(reach, Math.abs(x));
  const counts = new Int32Array(BINS);
  for (const x of numbers)
    if (Number.isFinite(x)) counts[Math.min(BINS - 1, Math.floor(((x / reach + 1) / 2) * BINS))]++;
  const most = Math.max(1, ...counts);
  for (let i = 0; i < BINS; i++) {
    context.fillStyle = i < BINS / 2 ? colours.minus : colours.plus;
    const tall = (counts[i] / most) * (height - 4);
    context.fillRect((i / BINS) * width + 0.5, height - 1 - tall, width / BINS - 1, tall);
  }
  context.fillStyle = colours.rim;
  context.fillRect(0, height - 1, width, 1);
}
