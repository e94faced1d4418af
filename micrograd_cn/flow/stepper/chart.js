// Draw curves of numbers over the steps of a run. It is the one chart of the page.

import { colours, fitted } from "./canvas.js";
import { wrapped } from "./fitting.js";
import { largestOf, smallestOf } from "./lists.js";
import { shown } from "./text.js";

const CHART_RIM = 10; // pixels beside the curves
// Of the smallest to the largest number on a logarithmic axis. At a larger one, the ends would be its only marks.
const RATIOS = [1e-16, 0.1];

/**
 * A curve: its points, which are pairs of a step and a number, and its look. `ink` is the colour of its name.
 * @typedef {{ points: Point[], colour: string, ink?: string, width: number, dash?: number[], name: string }} Curve
 */

/**
 * Draw curves from the step 0 to the `last` one. Their names and last numbers are above them. If `mark` is a step, there
 * is a dot at it, and its numbers are told instead. As long as there are no numbers or no steps, the text `later` says
 * what will be drawn. Return where the step 0 is, and how far away the last one is.
 * @param {HTMLCanvasElement} canvas
 * @param {Curve[]} curves
 * @param {{ last: number, mark?: number | null }} steps
 * @param {string} later
 * @returns {[left: number, wide: number]}
 */
export function drawCurves(canvas, curves, { last, mark = null }, later) {
  const { context, width, height } = fitted(canvas);
  context.clearRect(0, 0, width, height);
  const finite = curves.map(curve => ({ ...curve, points: curve.points.filter(([, x]) => Number.isFinite(x)) }));
  const all = finite.flatMap(({ points }) => points.map(([, x]) => x));
  const size = parseFloat(getComputedStyle(canvas).fontSize);
  const told = finite.map(curve => ({ ...curve, points: curve.points.filter(([step]) => step === (mark ?? step)) }));
  const top = tellLast(context, told, width, size);
  const axis = all.length && last > 0 ? axisOf(all) : null;
  if (!axis) {
    tellLater(context, later, [width, height], size);
    return [CHART_RIM, width - 2 * CHART_RIM];
  }
  const up = x => height - CHART_RIM - axis.share(x) * (height - CHART_RIM - top);
  const left = tellScale(context, axis, up, [width - CHART_RIM, top], size);
  const wide = width - CHART_RIM - left;
  const along = step => left + (step / last) * wide;
  Object.assign(context, { strokeStyle: colours.line, lineWidth: 1 });
  context.strokeRect(left, top, wide, height - CHART_RIM - top);
  for (const { points, colour, width: lineWidth, dash = [] } of finite) {
    Object.assign(context, { strokeStyle: colour, lineWidth });
    context.setLineDash(dash);
    context.beginPath();
    for (const [step, x] of points) context.lineTo(along(step), up(x));
    context.stroke();
  }
  context.setLineDash([]);
  context.fillStyle = colours.minus;
  for (const [step, x] of mark === null ? [] : told.flatMap(({ points }) => points)) {
    context.beginPath();
    context.arc(along(step), up(x), 5, 0, 7);
    context.fill();
  }
  return [left, wide];
}

/**
 * Draw one curve: the values of a node over the steps of a run, with a dot at the step `mark`. `label` describes it.
 * @param {HTMLCanvasElement} canvas
 * @param {number[]} values
 * @param {{ name: string, mark: number, label: string }} texts
 */
export function drawValues(canvas, values, { name, mark, label }) {
  const points = values.map((x, i) => /** @type {Point} */ ([i, x]));
  canvas.setAttribute("aria-label", label);
  const curve = { points, colour: colours.plus, width: 2.2, name };
  return drawCurves(canvas, [curve], { last: values.length - 1, mark }, label);
}

/**
 * An axis: its two ends, the numbers between them that are marked, and how high a number is, from 0 to 1.
 * @typedef {{ ends: [low: number, high: number], marks: number[], share: (x: number) => number }} Axis
 */

/**
 * Return a logarithmic axis with the powers of ten. It is a plain one if a number is below 0, none is above, or all are
 * of one size.
 * @param {number[]} numbers
 * @returns {Axis}
 */
function axisOf(numbers) {
  const high = largestOf(numbers);
  const least = smallestOf(numbers);
  if (least < 0 || least > RATIOS[1] * high || high === 0) {
    const span = high - least || 1;
    return { ends: [least, high], marks: least < 0 && high > 0 ? [0] : [], share: x => (x - least) / span };
  }
  const above = Math.max(smallestOf(numbers.filter(x => x > 0)), high * RATIOS[0]);
  const low = least > 0 ? above : above / 10; // 0 has no logarithm, so it is drawn one power of ten below the others
  const [from, to] = [low, Math.max(high, low * (1 + 1e-9))].map(Math.log10);
  const marks = [];
  for (let ten = Math.ceil(Math.log10(above)); 10 ** ten < high; ten++) marks.push(10 ** ten);
  return {
    ends: [least > 0 ? low : 0, high],
    marks,
    share: x => (Math.log10(Math.max(x, low)) - from) / (to - from),
  };
}

// Write the name and the last number of each curve above the curves. Return the height where the curves may begin.
function tellLast(context, curves, width, size) {
  Object.assign(context, { font: `${size}px sans-serif`, textAlign: "left", textBaseline: "alphabetic" });
  let x = 4;
  let y = size + 2;
  for (const { points, colour, ink = colour, name } of curves) {
    if (!points.length) continue;
    const told = `${name} ${shown(points.at(-1)[1])}`;
    const room = context.measureText(told).width;
    if (x > 4 && x + room > width) [x, y] = [4, y + size + 3];
    context.fillStyle = ink;
    context.fillText(told, x, y);
    x += room + 12;
  }
  return y + 6;
}

// Write in an empty chart what it will show, in lines that fit.
function tellLater(context, text, [width, height], size) {
  Object.assign(context, { font: `${size + 1}px sans-serif`, textAlign: "center", fillStyle: colours.quiet });
  const lines = wrapped([["", text]], width - 24, word => context.measureText(word).width).map(line =>
    line.map(([, word]) => word).join(""),
  );
  lines.forEach((line, i) =>
    context.fillText(line, width / 2, height / 2 + 8 + 1.4 * size * (i - (lines.length - 1) / 2)),
  );
}

// Write the two ends of the axis and the numbers between them at their heights, with lines to the right. Return where
// the curves may begin.
function tellScale(context, { ends: [low, high], marks: between }, up, [right, top], size) {
  const lowered = size / 3; // pixels from the middle of a number down to its base
  /** @type {[text: string, base: number][]} */
  const marks = [[shown(low), Math.max(up(low), top + 0.75 * size)]];
  if (high > low) marks.push([shown(high), Math.max(up(high), top + 0.75 * size) + lowered]);
  const ends = marks.length;
  for (const x of between) {
    const at = up(x) + lowered;
    if (marks.every(([, base]) => Math.abs(at - base) > size + 1)) marks.push([shown(x), at]);
  }
  Object.assign(context, {
    font: `${size}px sans-serif`,
    textAlign: "right",
    fillStyle: colours.quiet,
    strokeStyle: colours.line,
    lineWidth: 1,
  });
  const room = 4 + Math.max(...marks.map(([text]) => context.measureText(text).width));
  marks.forEach(([text, base], i) => {
    context.fillText(text, room, base);
    if (i < ends) return;
    context.beginPath();
    context.moveTo(room + 5, base - lowered);
    context.lineTo(right, base - lowered);
    context.stroke();
  });
  return room + 5;
}
