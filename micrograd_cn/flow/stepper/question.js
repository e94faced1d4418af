// Ask the reader to predict a number, and decide whether the answer is right.

import { earlierGradient, gradient, whyNothing } from "./engine.js";
import { receiver } from "./graph.js";
import { parsed, rounded } from "./text.js";

/**
 * Return the number that a step gives, or null if it gives no number or several.
 * @param {View} view
 * @param {Step} step
 */
export function stepNumber({ shape, graph, numbers, state }, { kind, node, box, moves }) {
  if (shape.boxes[box].folded || kind === "zero") return null;
  if (kind === "forward") return numbers.data[node];
  return gradient(state, kind === "seed" ? node : receiver(graph, moves[0]));
}

// Return whether the reader's number is right. Two correct digits are enough. The numbers of the question are shown
// with four digits, and an answer that is right for the rounded numbers is right too: 1.00049 - 1 is shown as 1 - 1, so
// 0 is right.
export function isRight(given, view, step) {
  const expected = stepNumber(view, step);
  if (!Number.isFinite(given) || !Number.isFinite(expected)) return Object.is(given, expected);
  const secondDigit = expected === 0 ? 0 : 10 ** (Number(expected.toExponential().split("e")[1]) - 1);
  // A little more than half a digit accepts ties, and 1.5 accepts what the first order of leftOpen() misses.
  const tolerance = 0.5001 * secondDigit + 1.5 * leftOpen(view, step);
  return Math.abs(given - expected) <= tolerance;
}

// Return the number that the reader has answered with, or null. It may be a fraction, such as 1/2.
export function answerOf(text) {
  const parts = text.split("/").map(parsed);
  return parts.length > 2 || parts.includes(null) ? null : parts.length === 2 ? parts[0] / parts[1] : parts[0];
}

// Return how much the rounding of the question's numbers may change the step's number, to first order.
function leftOpen(view, { kind, node, moves: [move] }) {
  const { graph, numbers, state } = view;
  let factors = []; // pairs of a number and the derivative with respect to it
  if (kind === "forward")
    factors = graph.nodes[node].parents.map((i, k) => [numbers.data[i], numbers.partials[node][k]]);
  else if (kind === "send") {
    const local = numbers.partials[node][move.slot];
    const upstream = gradient(state, node);
    factors = [[earlierGradient(state, receiver(graph, move)), 1]];
    if (!whyNothing(view, node, move.slot)) factors.push([local, upstream], [upstream, local]);
  }
  const errors = factors.map(([x, derivative]) => Math.abs(derivative) * Math.abs(x - Number(rounded(x))));
  return errors.filter(Number.isFinite).reduce((total, error) => total + error, 0);
}
