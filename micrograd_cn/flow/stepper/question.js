// The number that a learner predicts, and whether an answer is right.

import { earlierGradient, gradient } from "./engine.js";
import { receiver } from "./graph.js";
import { shown } from "./text.js";

// The one number that a step gives, for the learner to predict; null where it gives several or none.
export function stepNumber({ shape, graph, numbers, state }, { kind, node, box, moves }) {
  if (shape.boxes[box].folded || kind === "zero") return null;
  if (kind === "forward") return numbers.data[node];
  return gradient(state, kind === "seed" ? node : receiver(graph, moves[0]));
}

// Whether a learner's number is right: to two digits, or as near as the question's numbers allow, which are shown with
// four. 1.00049 - 1 is shown as 1 - 1, so 0 is as right as 0.00049.
export function isRight(given, view, step) {
  const expected = stepNumber(view, step);
  if (!Number.isFinite(given) || !Number.isFinite(expected)) return Object.is(given, expected);
  const secondDigit = expected === 0 ? 0 : 10 ** (Number(expected.toExponential().split("e")[1]) - 1);
  const tolerance = 0.5001 * secondDigit + 1.5 * leftOpen(view, step); // more than half for ties, more than 1st order
  return Math.abs(given - expected) <= tolerance;
}

// How far, to first order, the step's number is moved by all that the numbers in the question are rounded by.
function leftOpen({ graph, numbers, state }, { kind, node, moves: [move] }) {
  let factors = []; // pairs of a number and the derivative of the result with respect to it
  if (kind === "forward") factors = graph.nodes[node].parents.map((i, k) => [numbers.data[i], numbers.partials[node][k]]);
  else if (kind === "send") {
    const local = numbers.partials[node][move.slot], upstream = gradient(state, node);
    factors = [[earlierGradient(state, receiver(graph, move)), 1], [local, upstream], [upstream, local]];
  }
  const errors = factors.map(([x, derivative]) => Math.abs(derivative) * Math.abs(x - Number(shown(x))));
  return errors.filter(Number.isFinite).reduce((total, error) => total + error, 0);
}
