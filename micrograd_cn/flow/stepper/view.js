// Collect the facts about each box and each edge that the picture and the tables show.

import { gradient, hasGradient, replayed, whyNothing } from "./engine.js";
import { isLeaf } from "./graph.js";
import { norm } from "./lists.js";

/**
 * @param {Shape} shape
 * @param {Numbers} numbers
 * @param {Move[]} moves
 * @param {number} done
 * @returns {View}
 */
export function makeView(shape, numbers, moves, done) {
  const { graph } = shape;
  const state = replayed(graph, numbers, moves, done);
  /** @type {View} */
  const view = { shape, graph, numbers, moves, done, state, boxes: [], edges: [] };
  view.boxes = shape.boxes.map(box => boxFacts(view, box));
  view.edges = shape.edges.map(edge => edgeFacts(view, edge));
  return view;
}

/**
 * Return the facts about a box. A closed part has no value, and its gradient is the norm of its leaves' gradients.
 * @param {View} view
 * @param {Box} box
 * @returns {BoxFacts}
 */
function boxFacts({ graph, numbers, state }, box) {
  const nodes = box.nodes.filter(i => graph.nodes[i].gets);
  const count = nodes.reduce((all, i) => all + state.terms[i].length, 0);
  const total = nodes.reduce((all, i) => all + graph.expected[i], 0);
  /** @type {BoxFacts["state"]} */
  const arrival = count === total ? "complete" : count === 0 ? "waiting" : "partial";
  const facts = {
    name: box.name,
    folded: box.folded,
    constant: nodes.length === 0,
    still: total === 0,
    began: state.began,
    count,
    total,
    state: arrival,
  };
  if (box.folded) {
    const leaves = nodes.filter(i => isLeaf(graph.nodes[i]));
    const known = leaves.some(i => hasGradient(graph, state, i));
    return {
      ...facts,
      symbol: "",
      value: null,
      theirs: null,
      terms: [],
      grad: known ? norm(leaves.map(i => gradient(state, i))) : null,
    };
  }
  const [i] = box.nodes;
  return {
    ...facts,
    symbol: graph.nodes[i].symbol ?? "",
    theirs: numbers.theirs?.[i] ?? null,
    value: state.known[i] ? numbers.data[i] : null,
    grad: hasGradient(graph, state, i) ? gradient(state, i) : null,
    terms: [...(state.before[i] === 0 ? [] : [state.before[i]]), ...state.terms[i]],
  };
}

/**
 * Return the facts about an edge. `size` is the contribution, or the norm of several, or null until it is known.
 * `nothing` says why nothing flows along it. Then `size` is 0, but is not the product of the other two numbers.
 * @param {View} view
 * @param {Edge} edge
 * @returns {EdgeFacts}
 */
function edgeFacts(view, { source, target, slots, constant }) {
  const { shape, graph, numbers, state } = view;
  const [[node, slot]] = slots;
  const several = slots.length > 1;
  const nothing = several || constant ? null : whyNothing(view, node, slot);
  const sent = slots.map(([i, k]) => state.sent[graph.nodes[i].slots + k]).filter(sent => sent !== undefined);
  const size = sent.length === 0 ? null : several ? norm(sent) : sent[0];
  return {
    source: shape.boxes[source].name,
    target: shape.boxes[target].name,
    slot: several ? null : slot,
    count: slots.length,
    constant,
    partial: several || constant || !state.known[node] ? null : numbers.partials[node][slot],
    upstream: several || size === null || nothing === "unreached" ? null : gradient(state, node),
    size,
    nothing,
    undefinedProduct: nothing !== null && Number.isNaN(gradient(state, node) * numbers.partials[node][slot]),
    stops: size === 0 && !several && numbers.partials[node][slot] === 0 && gradient(state, node) !== 0,
    sign: edgeSign(size, several),
  };
}

function edgeSign(size, several) {
  if (size === null) return "";
  if (size === 0) return "zero";
  if (several || Number.isNaN(size)) return "several";
  return size > 0 ? "plus" : "minus";
}

/**
 * Return the view as the reader may see it: without local derivatives if it `hides` "local", and without gradients if
 * it hides "grad". Where a number would be, there is a question mark.
 * @param {View} view
 * @param {Set<string>} hides
 * @returns {View}
 */
export function masked(view, hides) {
  const local = hides.has("local");
  const grad = hides.has("grad");
  if (!local && !grad) return view;
  const ofEdge = facts => ({
    ...facts,
    ...(local && !facts.constant ? { partial: null, nothing: null, asked: true } : {}),
    ...(grad || local ? { size: null, upstream: null, sign: "", stops: false, undefinedProduct: false } : {}),
  });
  const ofBox = facts => ({
    ...facts,
    ...(facts.constant ? {} : { grad: null, terms: [], theirs: null, asked: true }),
  });
  return { ...view, edges: view.edges.map(ofEdge), boxes: grad ? view.boxes.map(ofBox) : view.boxes };
}

/**
 * Return the boxes and edges that a step is about, and the box that sends a contribution.
 * @param {Shape} shape
 * @param {Step | null | undefined} step
 * @returns {Active}
 */
export function activeIn(shape, step) {
  const boxes = new Set();
  const edges = new Set();
  const sender = step?.kind === "send" ? step.box : -1;
  if (step) {
    if (step.kind !== "zero") boxes.add(step.box);
    const sends = step.kind === "send" ? step.moves : [];
    const keys = new Set(sends.map(move => shape.graph.nodes[move.node].slots + move.slot));
    if (keys.size)
      shape.edges.forEach((edge, i) => {
        if (edge.slots.some(([node, slot]) => keys.has(shape.graph.nodes[node].slots + slot))) {
          edges.add(i);
          boxes.add(edge.source);
        }
      });
  }
  return { boxes, edges, sender };
}
