// Draw the loss during training, and histograms of the weights and gradients of each layer.

import { colours, fitted } from "./canvas.js";
import { layerName } from "./names.js";
import { html } from "../stepper/elements.js";
import { filled, shown } from "../stepper/text.js";

const BINS = 24;

// Draw three losses: that of the mini-batches as a thin line, that of all samples, and that of the held-out samples
// dashed.
export function drawLosses(canvas, { history: losses, curve }, words) {
  const { context, width, height } = fitted(canvas), rim = 10, most = Math.max(1, losses.length);
  context.clearRect(0, 0, width, height);
  const every = Math.max(1, Math.ceil(losses.length / Math.max(60, width))), batches = [];
  for (let i = 0; i < losses.length; i += every) {
    let total = 0, count = 0;
    for (let k = i; k < Math.min(i + every, losses.length); k++, count++) total += losses[k];
    batches.push([i + 1, total / count]);
  }
  const line = key => curve.filter(each => each[key]).map(each => [each.step, each[key].loss]);
  const lines = [[batches, colours.rim, 1, [], words.loss_batch], [line("all"), colours.plus, 2.2, [], words.loss_all], [line("held"), colours.minus, 2.2, [5, 3], words.loss_held]];
  for (const each of lines) each[0] = each[0].filter(([, x]) => Number.isFinite(x));
  const values = lines.flatMap(([points]) => points.map(([, x]) => x));
  if (!values.length) return;
  const high = Math.max(...values) || 1, low = Math.min(0, ...values), top = tellLast(context, lines, width);
  const left = tellScale(context, [low, high], [top, height - rim]), wide = width - rim - left;
  Object.assign(context, { strokeStyle: colours.line, lineWidth: 1 });
  context.strokeRect(left, top, wide, height - rim - top);
  lines.forEach(([points, strokeStyle, lineWidth, dash]) => {
    Object.assign(context, { strokeStyle, lineWidth });
    context.setLineDash(dash);
    context.beginPath();
    for (const [i, x] of points) context.lineTo(left + (i / most) * wide, height - rim - ((x - low) / (high - low || 1)) * (height - rim - top));
    context.stroke();
  });
  context.setLineDash([]);
}

// Write the name and the last number of each line above the lines. Return the height where the lines may begin.
function tellLast(context, lines, width) {
  Object.assign(context, { font: "12px sans-serif", textAlign: "left" });
  let x = 4, y = 14;
  lines.forEach(([points, colour, , , name], k) => {
    if (!points.length) return;
    const told = `${name} ${shown(points.at(-1)[1])}`, room = context.measureText(told).width;
    if (x > 4 && x + room > width) [x, y] = [4, y + 15];
    context.fillStyle = k ? colour : colours.quiet;
    context.fillText(told, x, y);
    x += room + 12;
  });
  return y + 6;
}

// Write the smallest and the largest number at an axis from `top` to `bottom`. Return where the lines may begin.
export function tellScale(context, [low, high], [top, bottom]) {
  const texts = [[shown(low), bottom], ...(high > low ? [[shown(high), top + 10]] : [])];
  Object.assign(context, { font: "12px sans-serif", textAlign: "right", fillStyle: colours.quiet });
  const room = 4 + Math.max(...texts.map(([text]) => context.measureText(text).width));
  for (const [text, y] of texts) context.fillText(text, room, y);
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
      const title = html("h2"), element = html("div", { class: "layer" }, title, ...parts.flatMap(({ canvas, text }) => [canvas, text]));
      return { layer, title, parts, element };
    });
    this.frame.replaceChildren(...this.layers.map(({ element }) => element));
  }

  // A layer's gradient has vanished, for practical purposes, if it is ten thousand times smaller than the largest one.
  update({ data, grad }, words) {
    const sizes = this.layers.map(({ layer }) => rms(grad, layer)), largest = Math.max(...sizes);
    this.layers.forEach(({ layer, title, parts }, l) => {
      title.textContent = layerName(this.network, l, words);
      [data, grad].forEach((numbers, k) => {
        histogram(parts[k].canvas, numbers.subarray(layer.first, layer.first + layer.nout * (layer.nin + 1)), k);
        parts[k].text.textContent = filled(k ? words.gradients_rms : words.weights_rms, { rms: shown(rms(numbers, layer)) });
      });
      parts[1].text.classList.toggle("low", sizes[l] < 1e-4 * largest);
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
  for (const x of numbers) if (Number.isFinite(x)) counts[Math.min(BINS - 1, Math.floor(((x / reach + 1) / 2) * BINS))]++;
  const most = Math.max(1, ...counts);
  for (let i = 0; i < BINS; i++) {
    context.fillStyle = i < BINS / 2 ? colours.minus : colours.plus;
    const tall = (counts[i] / most) * (height - 4);
    context.fillRect((i / BINS) * width + 0.5, height - 1 - tall, width / BINS - 1, tall);
  }
  context.fillStyle = colours.rim;
  context.fillRect(0, height - 1, width, 1);
}
