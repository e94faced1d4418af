// Draw the plane as the network sees it: the output of each neuron on a grid of points, in blue and orange.

import { levelLine } from "./contour.js";
import { REACH, inputsAt } from "./data.js";
import { colours, fitted } from "../stepper/canvas.js";

export const GRID = 40;

// A picture of GRID × GRID numbers from -1 to 1.
export class Field {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.canvas.width = this.canvas.height = GRID;
    this.context = this.canvas.getContext("2d");
    this.image = this.context.createImageData(GRID, GRID);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.values = new Float32Array(GRID * GRID);
  }

  set(i, x) {
    this.values[i] = x;
    this.pixels[i] = colours.table[x > 1 ? 511 : x < -1 ? 0 : (x * 255.5 + 255.5) | 0];
  }

  show() {
    this.context.putImageData(this.image, 0, 0);
  }
}

// Compute the fields of all neurons, and that of the verdict on each point, a few rows at a time.
export class Survey {
  constructor(trainer, kind, fields, output) {
    this.trainer = trainer;
    this.fields = fields;
    this.output = output;
    this.row = 0;
    /** @type {Field[]} */
    this.waiting = []; // complete fields that are not shown yet
    const at = inputsAt(kind);
    const step = (2 * REACH) / GRID;
    this.inputs = Array.from({ length: GRID * GRID }, (_, i) =>
      at(-REACH + ((i % GRID) + 0.5) * step, REACH - (Math.floor(i / GRID) + 0.5) * step),
    );
  }

  // Compute and show everything.
  whole() {
    this.row = 0;
    this.rows(GRID);
    this.showSome(Infinity);
  }

  // Compute some rows, and show some fields that are complete. Return whether that of the verdict is complete now.
  rows(count) {
    const { trainer, fields, output, inputs } = this;
    const { layers } = trainer.network;
    for (let n = 0; n < count; n++) {
      for (let i = this.row * GRID; i < (this.row + 1) * GRID; i++) {
        output.set(i, trainer.verdict(trainer.network.forward(inputs[i])));
        for (let l = 0; l < fields.length; l++) {
          const { out, sums } = layers[l];
          for (let j = 0; j < out.length; j++)
            fields[l][j].set(i, out[j] === 0 ? 0.15 * Math.tanh(sums[j]) : Math.tanh(1.5 * out[j]));
        }
      }
      this.row = (this.row + 1) % GRID;
      if (this.row > 0) continue;
      output.show();
      this.waiting = fields.flat();
    }
    this.showSome((2 * count * this.fields.flat().length) / GRID);
    return this.row === 0;
  }

  showSome(count) {
    for (const field of this.waiting.splice(0, Math.ceil(count))) field.show();
  }
}

// Draw a circle for class 0 and a triangle for class 1, as in the tutorial, so the classes differ without colours too.
function drawMark(context, label, x, y, radius) {
  if (!label) return context.arc(x, y, radius, 0, 7);
  for (const k of [0, 1, 2])
    context.lineTo(
      x + 1.5 * radius * Math.sin((k * 2 * Math.PI) / 3),
      y - 1.5 * radius * Math.cos((k * 2 * Math.PI) / 3),
    );
  context.closePath();
}

const drawnSamples = document.createElement("canvas"); // the samples alone, in front of nothing

/**
 * Draw the answer at each point of the plane, the line between the classes, and the samples. Their drawing is slow, so
 * if they are the `same` as in the last call, it is used again.
 * @param {HTMLCanvasElement} canvas
 * @param {Field} answer
 * @param {{ points: Sample[], held: Sample[], chosen: number }} samples
 */
export function drawPlane(canvas, answer, samples, same = false) {
  const { context, width, height } = fitted(canvas);
  if (!width || !height) return;
  const size = Math.min(width, height);
  const left = (width - size) / 2;
  const top = (height - size) / 2;
  context.clearRect(0, 0, width, height);
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  context.drawImage(answer.canvas, left, top, size, size);
  const cell = size / GRID;
  Object.assign(context, { strokeStyle: colours.ink, lineWidth: 1.5, lineCap: "round" });
  context.beginPath();
  for (const [[x0, y0], [x1, y1]] of levelLine(answer.values, GRID)) {
    context.moveTo(left + (x0 + 0.5) * cell, top + (y0 + 0.5) * cell);
    context.lineTo(left + (x1 + 0.5) * cell, top + (y1 + 0.5) * cell);
  }
  context.stroke();
  const placed = ([x, y]) => [left + ((x + REACH) / (2 * REACH)) * size, top + ((REACH - y) / (2 * REACH)) * size];
  if (!same || drawnSamples.width !== canvas.width || drawnSamples.height !== canvas.height) {
    Object.assign(drawnSamples, { width: canvas.width, height: canvas.height }); // which clears it
    const apart = drawnSamples.getContext("2d");
    apart.setTransform(context.getTransform());
    drawSamples(apart, samples, placed, Math.max(3, size / 105));
  }
  context.save();
  context.resetTransform();
  context.drawImage(drawnSamples, 0, 0);
  context.restore();
}

function drawSamples(context, { points, held, chosen }, placed, radius) {
  for (const { at, label } of held) {
    // held-out points are hollow
    const [cx, cy] = placed(at);
    context.beginPath();
    drawMark(context, label, cx, cy, 0.8 * radius);
    Object.assign(context, {
      strokeStyle: label ? colours.plus : colours.minus,
      fillStyle: colours.paper,
      lineWidth: 1.2,
    });
    context.fill();
    context.stroke();
  }
  points.forEach(({ at, label }, i) => {
    const [cx, cy] = placed(at);
    context.beginPath();
    drawMark(context, label, cx, cy, radius);
    context.fillStyle = label ? colours.plus : colours.minus;
    context.strokeStyle = colours.paper;
    context.lineWidth = 2;
    context.stroke(); // the fill covers the inner half of the line
    context.fill();
    if (i !== chosen) return;
    for (const [strokeStyle, lineWidth] of [
      [colours.ink, 6],
      [colours.glow, 3],
    ]) {
      Object.assign(context, { strokeStyle, lineWidth });
      context.beginPath();
      context.arc(cx, cy, 2.2 * radius, 0, 7);
      context.stroke();
    }
  });
}

export function placeIn(canvas, event) {
  const { left, top, width, height } = canvas.getBoundingClientRect();
  const size = Math.min(width, height);
  const share = [
    (event.clientX - left - (width - size) / 2) / size,
    (event.clientY - top - (height - size) / 2) / size,
  ];
  return [(2 * share[0] - 1) * REACH, (1 - 2 * share[1]) * REACH];
}
