// The graph's numbers and backpropagation through them, in the same order and by the same formulas as Value.backward().

const isLeaf = node => node.parents === undefined;
const isEditable = node => isLeaf(node) && node.gets;

// Where each node is sent to: how many terms its gradient has, the root's seed included.
function expectations(graph) {
  const expected = graph.nodes.map((_, i) => (i === graph.root ? 1 : 0));
  for (const node of graph.nodes) for (const parent of node.parents ?? []) expected[parent]++;
  return expected;
}

// The interior nodes, each before its operands: the depth-first search of micrograd_cn/engine.py.
function topologicalOrder(graph) {
  const finished = [], entered = new Set(), stack = isLeaf(graph.nodes[graph.root]) ? [] : [graph.root];
  while (stack.length) {
    const i = stack.pop();
    if (i === null) finished.push(stack.pop());
    else if (!entered.has(i)) {
      entered.add(i);
      stack.push(i, null);
      for (const parent of graph.nodes[i].parents) {
        if (!isLeaf(graph.nodes[parent]) && !entered.has(parent)) stack.push(parent);
      }
    }
  }
  return finished.reverse();
}

// Data and partials of every node, computed anew from the leaves' data.
function evaluated(graph, leaves) {
  const data = [...leaves], computed = graph.nodes.map(() => []);
  for (const i of topologicalOrder(graph).reverse()) {
    const { row, parents } = graph.nodes[i];
    const operands = parents.map(parent => data[parent]);
    data[i] = forward[row](...operands);
    computed[i] = partials[row](data[i], ...operands);
  }
  return { data, partials: computed };
}

// The steps of a forward pass and then of `actions`, each "backward" or "zero". A step has a kind, the node that is at
// work, and its moves: one, or all those that follow each other inside a folded box.
function plan(graph, actions) {
  const order = topologicalOrder(graph);
  const moves = order.toReversed().map(node => ({ kind: "forward", node }));
  for (const action of actions) {
    if (action === "zero") moves.push({ kind: "zero", node: graph.root });
    else {
      moves.push({ kind: "seed", node: graph.root });
      for (const node of order) {
        graph.nodes[node].parents.forEach((parent, slot) => {
          if (graph.nodes[parent].gets) moves.push({ kind: "send", node, slot });
        });
      }
    }
  }
  const steps = [];
  for (const move of moves) {
    const box = graph.nodes[move.node].box, last = steps.at(-1);
    const inside = graph.boxes[box].folded && (move.kind === "forward" || move.kind === "send");
    if (inside && last?.kind === move.kind && last.box === box) last.moves.push(move);
    else steps.push({ kind: move.kind, node: move.node, box, moves: [move] });
  }
  return steps;
}

const slotKey = (node, slot) => `${node}/${slot}`;

// What is known after the first `position` steps. A leaf's gradient is what it had `before` this backward pass and,
// added last as Value.backward() does, what has arrived in it.
function replayed(graph, numbers, steps, position) {
  const state = {
    known: graph.nodes.map(isLeaf),
    before: graph.nodes.map(() => 0),
    arrived: graph.nodes.map(() => 0),
    terms: graph.nodes.map(() => []),
    sent: new Map(),
    passes: 0, // since the last zero_grad()
    zeroed: false,
  };
  for (const step of steps.slice(0, position)) for (const move of step.moves) apply(graph, numbers, state, move);
  return state;
}

function apply(graph, numbers, state, { kind, node, slot }) {
  if (kind === "forward") state.known[node] = true;
  else if (kind === "send") {
    const parent = graph.nodes[node].parents[slot];
    const contribution = gradient(state, node) * numbers.partials[node][slot];
    state.arrived[parent] += contribution;
    state.terms[parent].push(contribution);
    state.sent.set(slotKey(node, slot), contribution);
  } else {
    graph.nodes.forEach((other, i) => {
      state.before[i] = kind === "seed" && isLeaf(other) ? gradient(state, i) : 0;
      state.arrived[i] = 0;
      state.terms[i] = [];
    });
    state.sent.clear();
    state.zeroed = kind === "zero";
    state.passes = kind === "zero" ? 0 : state.passes + 1;
    if (kind === "seed") {
      state.arrived[node] = 1;
      state.terms[node] = [1];
    }
  }
}

function gradient(state, i) {
  return state.before[i] === 0 ? state.arrived[i] : state.arrived[i] + state.before[i];
}

// Whether there is a gradient to show.
function hasGradient(graph, state, i) {
  return graph.nodes[i].gets && (state.terms[i].length > 0 || state.before[i] !== 0 || state.zeroed);
}

// The slope of `f` at `x` by the difference of its values on both sides of it, for two steps in proportion to `scale`;
// the smaller step's. `doubt` is how far off it may be, as far as the two slopes and the rounding of the values tell.
function difference(f, x, scale) {
  const at = step => {
    const low = x - step, high = x + step, below = f(low), above = f(high), width = high - low;
    return { step, below, above, width, slope: (above - below) / width };
  };
  const step = Math.cbrt(Number.EPSILON) * scale, wide = at(step), near = at(step / 2);
  const rounding = (4 * Number.EPSILON * (Math.abs(near.above) + Math.abs(near.below))) / near.width;
  const doubt = Math.abs(wide.slope - near.slope) + rounding;
  return { ...near, doubt: Number.isNaN(doubt) ? Infinity : doubt };
}

// The derivative of the root with respect to a leaf by backpropagation, and by differences on whichever scale they are
// surer: the leaf's own, which suits log at 0.001, or at least 1, which suits it near 0.
function nudged(graph, leaves, i) {
  const f = x => evaluated(graph, leaves.with(i, x)).data[graph.root], x = leaves[i], size = Math.abs(x);
  const scales = Number.isFinite(size) && size > 0 ? [size, Math.max(1, size)] : [Math.max(1, size)];
  const found = scales.map(scale => difference(f, x, scale)).reduce((a, b) => (b.doubt < a.doubt ? b : a));
  const steps = plan(graph, ["backward"]);
  const grad = gradient(replayed(graph, evaluated(graph, leaves), steps, steps.length), i);
  return { ...found, grad, verdict: verdict(found, grad) };
}

function verdict({ slope, doubt }, grad) {
  if (!Number.isFinite(slope) || !Number.isFinite(grad)) return "unclear";
  const gap = Math.abs(slope - grad), size = Math.max(Math.abs(slope), Math.abs(grad));
  if (size !== 0 && doubt > 0.01 * size && gap <= doubt) return "unclear";
  return gap <= 1e-6 * size + doubt ? "agree" : "differ";
}
