// Change a leaf a little: check its derivative by differences, and show why gradients add up.

import { evaluated, gradient, movesOf, replayed } from "./engine.js";
import { flowsTo } from "./graph.js";
import { replacedAt } from "./lists.js";

// Return the slope of `f` at `x` by a central difference, whose step is in proportion to `scale`. The slope for a step
// twice as large and the rounding of the values tell how wrong it may be, which is `doubt`.
function difference(f, x, scale) {
  const at = step => {
    const low = x - step;
    const high = x + step;
    const below = f(low);
    const above = f(high);
    const width = high - low;
    return { step, below, above, width, slope: (above - below) / width };
  };
  const step = Math.cbrt(Number.EPSILON) * scale;
  const wide = at(step);
  const near = at(step / 2);
  const rounding = (4 * Number.EPSILON * (Math.abs(near.above) + Math.abs(near.below))) / near.width;
  const doubt = Math.abs(wide.slope - near.slope) + rounding;
  return { ...near, doubt: Number.isNaN(doubt) ? Infinity : doubt };
}

// Return the derivative of the root with respect to a leaf by backpropagation and by differences. The differences try
// two scales and keep the one with less doubt: the size of the leaf, which suits log at 0.001, and at least 1, which
// suits a leaf near 0.
export function nudge(graph, leaves, i) {
  const f = x => evaluated(graph, replacedAt(leaves, i, x)).data[graph.root];
  const x = leaves[i];
  const size = Math.abs(x);
  const scales = Number.isFinite(size) && size > 0 ? [size, Math.max(1, size)] : [Math.max(1, size)];
  const found = scales.map(scale => difference(f, x, scale)).reduce((a, b) => (b.doubt < a.doubt ? b : a));
  const moves = movesOf(graph, ["backward"]);
  const grad = gradient(replayed(graph, evaluated(graph, leaves), moves, moves.length), i);
  return { ...found, grad, verdict: verdict(found, grad) };
}

function verdict({ slope, doubt }, grad) {
  if (!Number.isFinite(slope) || !Number.isFinite(grad)) return "unclear";
  const gap = Math.abs(slope - grad);
  const size = Math.max(Math.abs(slope), Math.abs(grad));
  if (size !== 0 && doubt > 0.01 * size && gap <= doubt) return "unclear";
  return gap <= 1e-6 * size + doubt ? "agree" : "differ";
}

// Return how much the root's value changes if the leaf `i` changes by `change`: at each of its uses alone (`ways`), and
// at all of them (`together`). `linear` is contribution × change for one use, and gradient × change for all.
export function changesOf(graph, leaves, i, change) {
  const numbers = evaluated(graph, leaves);
  const moves = movesOf(graph, ["backward"]);
  const state = replayed(graph, numbers, moves, moves.length);
  const y = numbers.data[graph.root];
  const value = leaves[i] + change;
  const ways = [];
  graph.nodes.forEach((node, k) =>
    node.parents?.forEach((parent, slot) => {
      if (parent !== i || !flowsTo(graph, node, slot)) return;
      const own = evaluated(graph, leaves, { node: k, slot, value }).data[graph.root] - y;
      ways.push({ node: k, own, linear: (state.sent[node.slots + slot] ?? 0) * change });
    }),
  );
  return {
    ways,
    together: evaluated(graph, replacedAt(leaves, i, value)).data[graph.root] - y,
    linear: gradient(state, i) * change,
  };
}
