// Draw the losses of the language model, and the table of its embeddings.

import { colours, fitted } from "../stepper/canvas.js";
import { drawCurves } from "../stepper/chart.js";

// Some words are harder than others, so the mean of this many losses is drawn too.
export const SMOOTHED = 50;
const CELL = { least: 14, most: 44, letter: 34 }; // pixels: the heights of a row, and the width of the letters' column

// Draw the losses of the steps as a thin line, and the mean of the last fifty.
export function drawModelLosses(canvas, losses, words) {
  const every = Math.max(1, Math.ceil(losses.length / Math.max(60, canvas.clientWidth)));
  const own = [];
  const means = [];
  let added = 0;
  losses.forEach((loss, i) => {
    added += loss - (i >= SMOOTHED ? losses[i - SMOOTHED] : 0);
    if (i % every && i !== losses.length - 1) return;
    own.push([i + 1, loss]);
    means.push([i + 1, added / Math.min(i + 1, SMOOTHED)]);
  });
  drawCurves(
    canvas,
    [
      { points: own, colour: colours.rim, ink: colours.quiet, width: 1, name: words.loss_batch },
      { points: means, colour: colours.plus, width: 2.2, name: words.m_mean },
    ],
    { last: losses.length },
    words.losses_later,
  );
}

// Draw a row for each token and a column for each number of its embedding. The letters of the tokens in `read` stand
// out.
export function drawEmbeddings(canvas, { letters, width: numbers, weights, sweeps }, cell, read) {
  const tall = rowHeight(canvas, letters.length);
  canvas.style.height = `${tall * letters.length}px`;
  const { context, width } = fitted(canvas);
  const wide = (width - CELL.letter) / numbers;
  context.clearRect(0, 0, width, tall * letters.length);
  let largest = 1e-12;
  for (const row of weights.wte)
    for (const place of row)
      if (Number.isFinite(sweeps.data[place])) largest = Math.max(largest, Math.abs(sweeps.data[place]));
  Object.assign(context, { textAlign: "center", textBaseline: "middle" });
  letters.forEach((letter, j) => {
    context.font = `${read.has(j) ? 700 : 400} ${Math.min(15, tall)}px "DejaVu Sans Mono", Menlo, Consolas, "Noto Sans CJK SC", monospace`;
    context.fillStyle = read.has(j) ? colours.plus : colours.ink;
    context.fillText(letter === " " ? "␣" : letter, CELL.letter / 2, (j + 0.5) * tall);
    weights.wte[j].forEach((place, i) => {
      const x = sweeps.data[place] / largest;
      context.globalAlpha = Number.isFinite(x) ? Math.min(1, Math.abs(x)) : 0;
      context.fillStyle = x > 0 ? colours.plus : colours.minus;
      context.fillRect(CELL.letter + i * wide, j * tall, wide - 1, tall - 1);
    });
    context.globalAlpha = 1;
  });
  if (!cell) return;
  Object.assign(context, { strokeStyle: colours.ink, lineWidth: 2 });
  context.strokeRect(CELL.letter + cell.column * wide, cell.token * tall, wide - 1, tall - 1);
}

const rowHeight = (canvas, count) =>
  Math.max(CELL.least, Math.min(CELL.most, Math.floor(canvas.parentElement.clientHeight / count)));

// Return the token and the number at the pointer, or null if there are none.
export function cellAt(canvas, { letters, width: numbers }, event) {
  const { left, top, width } = canvas.getBoundingClientRect();
  const tall = rowHeight(canvas, letters.length);
  const token = Math.floor((event.clientY - top) / tall);
  const column = Math.floor(((event.clientX - left - CELL.letter) / (width - CELL.letter)) * numbers);
  return token >= 0 && token < letters.length && column >= 0 && column < numbers ? { token, column } : null;
}
