// What the picture and the tables show of a state: facts about each box and each edge.

function makeView(graph, numbers, steps, position) {
  const expected = expectations(graph);
  const previous = replayed(graph, numbers, steps, Math.max(position - 1, 0));
  const state = replayed(graph, numbers, steps, position);
  const view = { graph, numbers, steps, position, expected, previous, state };
  view.boxes = graph.boxes.map(box => boxFacts(view, box));
  view.edges = graph.edges.map(edge => edgeFacts(view, edge));
  return view;
}

// A folded part has no value of its own, and for its gradient the norm of its parameters'.
function boxFacts({ graph, numbers, state, expected }, box) {
  const nodes = box.nodes.filter(i => graph.nodes[i].gets);
  const count = nodes.reduce((all, i) => all + state.terms[i].length, 0);
  const total = nodes.reduce((all, i) => all + expected[i], 0);
  const facts = {
    name: box.name,
    folded: box.folded,
    constant: total === 0,
    count,
    total,
    state: count === total ? "complete" : count === 0 ? "waiting" : "partial",
  };
  if (box.folded) {
    const leaves = nodes.filter(i => isLeaf(graph.nodes[i]));
    const norm = Math.hypot(...leaves.map(i => gradient(state, i)));
    const known = leaves.some(i => hasGradient(graph, state, i));
    return { ...facts, symbol: "", value: null, terms: [], grad: known ? norm : null };
  }
  const [i] = box.nodes;
  return {
    ...facts,
    symbol: graph.nodes[i].symbol ?? "",
    value: state.known[i] ? numbers.data[i] : null,
    grad: hasGradient(graph, state, i) ? gradient(state, i) : null,
    terms: [...(state.before[i] === 0 ? [] : [state.before[i]]), ...state.terms[i]],
  };
}

// `size` is the contribution, of several drawn as one their norm; null until it is known.
function edgeFacts({ graph, numbers, state }, { source, target, slots, constant }) {
  const [[node, slot]] = slots;
  const sent = slots.map(at => state.sent.get(slotKey(...at))).filter(contribution => contribution !== undefined);
  const several = slots.length > 1;
  const size = sent.length === 0 ? null : several ? Math.hypot(...sent) : sent[0];
  return {
    source: graph.boxes[source].name,
    target: graph.boxes[target].name,
    slot: several ? null : slot,
    count: slots.length,
    constant,
    partial: several || constant || !state.known[node] ? null : numbers.partials[node][slot],
    upstream: several || size === null ? null : gradient(state, node),
    size,
    sign: size === null ? "" : size === 0 ? "zero" : several || size !== size ? "several" : size > 0 ? "plus" : "minus",
  };
}

// The boxes and edges that a step is about.
function activeIn(graph, step) {
  const boxes = new Set(), edges = new Set();
  if (step) {
    if (step.kind !== "zero") boxes.add(step.box);
    const keys = new Set(step.kind === "send" ? step.moves.map(move => slotKey(move.node, move.slot)) : []);
    graph.edges.forEach((edge, i) => {
      if (edge.slots.some(at => keys.has(slotKey(...at)))) {
        edges.add(i);
        boxes.add(edge.source);
      }
    });
  }
  return { boxes, edges };
}
