// Draw the loss during training, and histograms of the weights and gradients of each layer.

import { colours, fitted } from "./canvas.js";
import { layerName } from "./names.js";
import { html } from "../stepper/elements.js";
import { wrapped } from "../stepper/fitting.js";
import { largestOf, smallestOf } from "../stepper/lists.js";
import { filled, shown } from "../stepper/text.js";

const BINS = 24;

// Draw three losses: that of the mini-batches as a thin line, that of all samples, and that of the held-out samples
// dashed.
export function drawLosses(canvas, { history: losses, each = 1, curve }, words) {
  const every = Math.max(1, Math.ceil(losses.length / Math.max(60, canvas.clientWidth)));
  const batches = [];
  for (let i = 0; i < losses.length; i += every) {
    let total = 0;
    let count = 0;
    for (let k = i; k < Math.min(i + every, losses.length); k++, count++) total += losses[k];
    batches.push([(i + 1) * each, total / count]);
  }
  const line = key => curve.filter(each => each[key]).map(each => [each.step, each[key].loss]);
  drawCurves(
    canvas,
    [
      { points: batches, colour: colours.rim, ink: colours.quiet, width: 1, name: words.loss_batch },
      { points: line("all"), colour: colours.plus, width: 2.2, name: words.loss_all },
      { points: line("held"), colour: colours.minus, width: 2.2, dash: [5, 3], name: words.loss_held },
    ],
    Math.max(losses.length * each, curve.at(-1)?.step ?? 0),
    words,
  );
}

// Draw curves of positive numbers over the steps of a run, on a logarithmic axis. Their names and last numbers are
// above them. Before the first step, a text says what will be drawn.
export function drawCurves(canvas, curves, steps, words) {
  const { context, width, height } = fitted(canvas);
  const rim = 10;
  context.clearRect(0, 0, width, height);
  const finite = curves.map(curve => ({ ...curve, points: curve.points.filter(([, x]) => Number.isFinite(x)) }));
  const all = finite.flatMap(({ points }) => points.map(([, x]) => x));
  const above = all.filter(x => x > 0);
  const top = tellLast(context, finite, width);
  if (!steps || !above.length) return tellLater(context, words.losses_later, [width, height]);
  // A loss of 0 has no logarithm, so it is drawn at the lower edge.
  const high = largestOf(above);
  const low = Math.max(smallestOf(above), high * 1e-9);
  const ends = [low, Math.max(high, low * (1 + 1e-9))].map(Math.log10);
  const up = x =>
    height - rim - ((Math.log10(Math.max(x, low)) - ends[0]) / (ends[1] - ends[0])) * (height - rim - top);
  const left = tellScale(context, [low, high], up, [width - rim, top]);
  const wide = width - rim - left;
  Object.assign(context, { strokeStyle: colours.line, lineWidth: 1 });
  context.strokeRect(left, top, wide, height - rim - top);
  for (const { points, colour, width: lineWidth, dash = [] } of finite) {
    Object.assign(context, { strokeStyle: colour, lineWidth });
    context.setLineDash(dash);
    context.beginPath();
    for (const [step, x] of points) context.lineTo(left + (step / steps) * wide, up(x));
    context.stroke();
  }
  context.setLineDash([]);
}

// Write the name and the last number of each curve above the curves. Return the height where the curves may begin.
function tellLast(context, curves, width) {
  Object.assign(context, { font: "12px sans-serif", textAlign: "left", textBaseline: "alphabetic" });
  let x = 4;
  let y = 14;
  for (const { points, colour, ink = colour, name } of curves) {
    if (!points.length) continue;
    const told = `${name} ${shown(points.at(-1)[1])}`;
    const room = context.measureText(told).width;
    if (x > 4 && x + room > width) [x, y] = [4, y + 15];
    context.fillStyle = ink;
    context.fillText(told, x, y);
    x += room + 12;
  }
  return y + 6;
}

// Write in an empty chart what it will show, in lines that fit.
function tellLater(context, text, [width, height]) {
  Object.assign(context, { font: "13px sans-serif", textAlign: "center", fillStyle: colours.quiet });
  const lines = wrapped([["", text]], width - 24, word => context.measureText(word).width).map(line =>
    line.map(([, word]) => word).join(""),
  );
  lines.forEach((line, i) => context.fillText(line, width / 2, height / 2 + 8 + 17 * (i - (lines.length - 1) / 2)));
}

// Write the smallest number, the largest number, and the powers of ten between them, at their heights, with lines to
// the right. Return where the curves may begin.
function tellScale(context, [low, high], up, [right, top]) {
  /** @type {[text: string, y: number][]} */
  const marks = [low, ...(high > low ? [high] : [])].map(x => [shown(x), Math.max(up(x), top + 9)]);
  for (let ten = Math.ceil(Math.log10(low)); 10 ** ten < high; ten++) {
    if (marks.every(([, y]) => Math.abs(up(10 ** ten) - y) > 13)) marks.push([shown(10 ** ten), up(10 ** ten)]);
  }
  Object.assign(context, {
    font: "12px sans-serif",
    textAlign: "right",
    fillStyle: colours.quiet,
    strokeStyle: colours.line,
    lineWidth: 1,
  });
  const room = 4 + Math.max(...marks.map(([text]) => context.measureText(text).width));
  marks.forEach(([text, y], i) => {
    context.fillText(text, room, i ? y + 4 : y);
    if (i < 2) return;
    context.beginPath();
    context.moveTo(room + 5, y);
    context.lineTo(right, y);
    context.stroke();
  });
  return room + 5;
}

export class Charts {
  constructor(frame) {
    this.frame = frame;
  }

  show(network) {
    this.network = network;
    this.layers = network.layers.map(layer => {
      const parts = ["weights", "gradients"].map(() => ({ canvas: html("canvas"), text: html("p") }));
      const title = html("h2");
      const element = html("div", { class: "layer" }, title, ...parts.flatMap(({ canvas, text }) => [canvas, text]));
      return { layer, title, parts, element };
    });
    this.frame.replaceChildren(...this.layers.map(({ element }) => element));
  }

  // A layer's gradient has vanished, for practical purposes, if it is ten thousand times smaller than the largest one.
  update({ data, grad }, words) {
    const sizes = this.layers.map(({ layer }) => rms(grad, layer));
    const most = largestOf(sizes);
    this.layers.forEach(({ layer, title, parts }, l) => {
      title.textContent = layerName(this.network, l, words);
      [data, grad].forEach((numbers, k) => {
        histogram(parts[k].canvas, numbers.subarray(layer.first, layer.first + layer.nout * (layer.nin + 1)), k);
        parts[k].text.textContent = filled(k ? words.gradients_rms : words.weights_rms, {
          rms: shown(rms(numbers, layer)),
        });
      });
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
