// Compute a graph's numbers and its gradients, in the same order and by the same formulas as Value.backward().

import { forward, partials } from "../rows.js";
import { flowsTo, isLeaf, sendsTo } from "./graph.js";
import { reversed } from "./lists.js";

/**
 * Return the data and the partials of every node, computed from the data of the leaves. With `held`, one operand slot
 * gets another value than its operand's.
 * @param {Graph} graph
 * @param {number[]} leaves
 * @param {{ node: number, slot: number, value: number } | null} held
 * @returns {Numbers}
 */
export function evaluated(graph, leaves, held = null) {
  const data = [...leaves];
  const computed = graph.nodes.map(() => []);
  for (const i of reversed(graph.order)) {
    const { row, parents } = graph.nodes[i];
    const operands = parents.map((parent, slot) =>
      held?.node === i && held.slot === slot ? held.value : data[parent],
    );
    data[i] = forward[row](...operands);
    computed[i] = partials[row](data[i], ...operands);
  }
  return { data, partials: computed };
}

/**
 * Return the moves of a forward pass and then of the `actions`, each of which is "backward" or "zero". A move computes
 * one node, seeds the root, sends one contribution, or sets all gradients to zero.
 * @param {Graph} graph
 * @param {string[]} actions
 * @returns {Move[]}
 */
export function movesOf(graph, actions) {
  /** @type {Move[]} */
  const moves = reversed(graph.order).map(node => ({ kind: "forward", node }));
  for (const action of actions) {
    if (action === "zero") moves.push({ kind: "zero", node: graph.root });
    else {
      moves.push({ kind: "seed", node: graph.root });
      for (const node of graph.order) {
        graph.nodes[node].parents.forEach((_, slot) => {
          if (graph.expected[node] && flowsTo(graph, graph.nodes[node], slot)) moves.push({ kind: "send", node, slot });
        });
      }
    }
  }
  return moves;
}

/**
 * Group the moves into steps. A step is one move, or consecutive moves of one kind inside a closed part. It ends after
 * `end` moves.
 * @param {Shape} shape
 * @param {Move[]} moves
 * @returns {Step[]}
 */
export function plan(shape, moves) {
  /** @type {Step[]} */
  const steps = [];
  moves.forEach((move, i) => {
    const box = shape.boxOf[move.node];
    const last = steps.at(-1);
    const inside = shape.boxes[box].folded && (move.kind === "forward" || move.kind === "send");
    if (inside && last?.kind === move.kind && last.box === box) {
      last.moves.push(move);
      last.end = i + 1;
    } else steps.push({ kind: move.kind, node: move.node, box, moves: [move], start: i, end: i + 1 });
  });
  return steps;
}

/**
 * Return what is known after `done` moves. The gradient of a leaf is what it had `before` this backward pass plus what
 * has arrived in this pass. As in Value.backward(), the two are added last.
 * @param {Graph} graph
 * @param {Numbers} numbers
 * @param {Move[]} moves
 * @param {number} done
 * @returns {State}
 */
export function replayed(graph, numbers, moves, done) {
  const state = {
    known: graph.nodes.map(isLeaf),
    before: new Float64Array(graph.nodes.length),
    arrived: new Float64Array(graph.nodes.length),
    terms: graph.nodes.map(() => NO_TERMS),
    sent: new Array(graph.slotCount),
    reached: new Uint8Array(graph.nodes.length), // whether a gradient has arrived in this pass, so the node sends
    passes: 0, // backward passes since the last zero_grad()
    began: false,
    zeroed: false,
  };
  for (let i = 0; i < done; i++) apply(graph, numbers, state, moves[i]);
  return state;
}

const NO_TERMS = [];

/**
 * @param {Graph} graph
 * @param {Numbers} numbers
 * @param {State} state
 * @param {Move} move
 */
function apply(graph, numbers, state, { kind, node, slot }) {
  if (kind === "forward") state.known[node] = true;
  else if (kind === "send") {
    const parent = graph.nodes[node].parents[slot];
    const partial = numbers.partials[node][slot];
    const flows = state.reached[node] && sendsTo(graph.nodes[node], slot, partial);
    const contribution = flows ? gradient(state, node) * partial : 0;
    if (flows) state.reached[parent] = 1;
    state.arrived[parent] += contribution;
    addTerm(state, parent, contribution);
    state.sent[graph.nodes[node].slots + slot] = contribution;
  } else {
    graph.nodes.forEach((other, i) => {
      state.before[i] = kind === "seed" && isLeaf(other) ? gradient(state, i) : 0;
      state.arrived[i] = state.reached[i] = 0;
      state.terms[i] = NO_TERMS;
    });
    state.sent.fill(undefined);
    state.zeroed = kind === "zero";
    state.began = kind === "seed";
    state.passes = kind === "zero" ? 0 : state.passes + 1;
    if (kind === "seed") {
      state.arrived[node] = state.reached[node] = 1;
      addTerm(state, node, 1);
    }
  }
}

/**
 * @param {State} state
 * @param {number} i
 * @param {number} term
 */
function addTerm(state, i, term) {
  if (state.terms[i] === NO_TERMS) state.terms[i] = [term];
  else state.terms[i].push(term);
}

/**
 * @param {State} state
 * @param {number} i
 */
export function gradient(state, i) {
  return state.before[i] === 0 ? state.arrived[i] : state.arrived[i] + state.before[i];
}

/**
 * Return why nothing flows from a node to an operand: the operand is "unselected", or the node is "unreached". Return
 * null if something flows, or if that is not known yet.
 * @param {{ graph: Graph, numbers: Numbers, state: State }} view
 * @param {number} node
 * @param {number} slot
 * @returns {"unselected" | "unreached" | null}
 */
export function whyNothing({ graph, numbers, state }, node, slot) {
  if (!state.known[node]) return null;
  if (!sendsTo(graph.nodes[node], slot, numbers.partials[node][slot])) return "unselected";
  return state.sent[graph.nodes[node].slots + slot] !== undefined && !state.reached[node] ? "unreached" : null;
}

/**
 * Return whether a node has a gradient to show.
 * @param {Graph} graph
 * @param {State} state
 * @param {number} i
 */
export function hasGradient(graph, state, i) {
  // If no term is expected, the gradient is 0 from the beginning of the pass.
  const arrived = state.terms[i].length > 0 || (state.began && graph.expected[i] === 0);
  return graph.nodes[i].gets && (arrived || state.before[i] !== 0 || state.zeroed);
}

/**
 * Return a node's gradient as it was before the last term arrived.
 * @param {State} state
 * @param {number} i
 */
export function earlierGradient(state, i) {
  const earlier = state.terms[i].slice(0, -1).reduce((total, x) => total + x, 0);
  return state.before[i] === 0 ? earlier : earlier + state.before[i];
}
