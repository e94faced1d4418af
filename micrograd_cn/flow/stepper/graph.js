// Make a graph of the facts that Python sent or that a typed expression gave, and divide it into parts that open and
// close.

import { page } from "./page.js";

export const MOST_CHILDREN = 24; // An open part has at most so many children. More are grouped into further parts.

/**
 * A node is given as [name, flags, group, operation, parents]; see flow/graph.py.
 * @param {GraphFacts} facts
 * @returns {Graph}
 */
export function makeGraph({ ops, nodes, groups, root, fixed, handwritten }) {
  /** @type {any} */
  const graph = {
    root,
    fixed,
    handwritten,
    nodes: nodes.map(([name, flags, group, op, parents]) => {
      const node = { name, gets: Boolean(flags & 1), parameter: Boolean(flags & 2), group };
      return op === undefined ? node : Object.assign(node, ops[op], { parents });
    }),
  };
  graph.groups = groups.map(([name, outer]) => ({ name, outer, part: false }));
  nameGroups(graph.groups);
  graph.order = topologicalOrder(graph);
  makeSlots(graph);
  makeTree(graph);
  return graph;
}

/**
 * Give each group a full name. No two groups have the same one.
 * @param {Group[]} groups
 */
function nameGroups(groups) {
  const taken = new Set();
  for (const group of groups) {
    const first = group.outer < 0 ? group.name : `${groups[group.outer].path}.${group.name}`;
    let count = 1;
    let path = first;
    while (taken.has(path)) path = `${first}#${++count}`;
    taken.add(path);
    group.path = path;
  }
}

/**
 * Number all operand slots, and count for each node the contributions that it will receive (`expected`). No gradient
 * flows through a slot that is `still`, or to a constant. A node that expects nothing sends nothing.
 * @param {Graph} graph
 */
function makeSlots(graph) {
  let count = 0;
  for (const node of graph.nodes) {
    node.slots = count;
    count += node.parents?.length ?? 0;
  }
  graph.slotCount = count;
  graph.expected = new Int32Array(graph.nodes.length);
  graph.expected[graph.root] = 1; // the seed of the backward pass
  for (const i of graph.order) {
    // A gradient of 0 is sent on, but a node that has none sends nothing.
    if (graph.expected[i])
      graph.nodes[i].parents.forEach((parent, slot) => {
        if (flowsTo(graph, graph.nodes[i], slot)) graph.expected[parent]++;
      });
  }
}

/** @param {GraphNode} node */
export const isLeaf = node => node.parents === undefined;
/** @param {GraphNode} node */
export const isEditable = node => isLeaf(node) && node.gets;

/**
 * Return the interior nodes, each before its operands. This is the depth-first search of micrograd_cn/engine.py.
 * @param {Graph} graph
 * @returns {number[]}
 */
function topologicalOrder(graph) {
  const finished = [];
  const entered = new Set();
  const stack = isLeaf(graph.nodes[graph.root]) ? [] : [graph.root];
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

/**
 * @param {Graph} graph
 * @param {Move} move
 */
export const receiver = (graph, { node, slot }) => graph.nodes[node].parents[slot];
/** @param {GraphNode} node */
export const isNamed = node => !/^v\d/.test(node.name);

/**
 * Return whether an operation sends anything to an operand, given the local derivative. An operand that it did not
 * select gets nothing: not even the upstream gradient times 0, which is nan if that gradient is infinite.
 * @param {Partial<Operation>} op
 * @param {number} slot
 * @param {number} partial
 */
export const sendsTo = (op, slot, partial) =>
  !(op.still.includes(slot) || (partial === 0 && op.selects?.includes(slot)));

/**
 * @param {Graph} graph
 * @param {GraphNode} node
 * @param {number} slot
 */
export const flowsTo = (graph, node, slot) => graph.nodes[node.parents[slot]].gets && !node.still.includes(slot);

/**
 * List the children of each group, which are groups and nodes. If there are too many, group them into parts.
 * @param {Graph} graph
 */
function makeTree(graph) {
  const top = { children: [] };
  graph.groups.forEach(group => (group.children = []));
  const childrenOf = i => (i < 0 ? top : graph.groups[i]).children;
  const listed = new Set();
  graph.nodes.forEach(({ group }, i) => {
    for (let g = group; g >= 0 && !listed.has(g); g = graph.groups[g].outer) {
      listed.add(g);
      childrenOf(graph.groups[g].outer).push({ group: g });
    }
    childrenOf(group).push({ node: i });
  });
  for (let i = graph.groups.length - 1; i >= -1; i--) divide(graph, i, childrenOf(i));
  graph.children = top.children;
}

/**
 * If a group has too many children, group its nodes into parts, and these into larger parts, in the order of the
 * forward pass.
 * @param {Graph} graph
 * @param {number} outer
 * @param {Child[]} children
 */
function divide(graph, outer, children) {
  let members = children.filter(child => child.node !== undefined);
  const groups = children.filter(child => child.node === undefined);
  if (children.length <= MOST_CHILDREN || graph.nodes.length <= page.limits.boxes) return;
  if (groups.length > MOST_CHILDREN / 2) members = children; // such as the samples of a batch
  const kept = members === children ? [] : groups;
  const room = MOST_CHILDREN - 4 - kept.length;
  /** @param {Child} child */
  const isPlainLeaf = ({ node }) => node !== undefined && isLeaf(graph.nodes[node]);
  const leaves = members.filter(isPlainLeaf); // they get parts of their own
  const rest = members.filter(child => !isPlainLeaf(child));
  const all = members.length;
  const parts = [leaves, rest].flatMap(some => {
    const share = Math.max(2, Math.round((room * some.length) / all));
    return some.length <= 4 || all <= room ? some : divided(graph, outer, some, share);
  });
  children.splice(0, children.length, ...kept, ...parts);
}

/**
 * @param {Graph} graph
 * @param {number} outer
 * @param {Child[]} members
 * @param {number} room
 * @returns {Child[]}
 */
function divided(graph, outer, members, room) {
  const levels = Math.max(1, Math.ceil(Math.log(members.length) / Math.log(MOST_CHILDREN - 4)));
  const count = Math.min(room, Math.max(2, Math.ceil(members.length ** (1 / levels))));
  return Array.from({ length: count }, (_, i) => {
    const first = Math.round((i * members.length) / count);
    const end = Math.round(((i + 1) * members.length) / count);
    const number = graph.groups.length;
    const children = members.slice(first, end);
    const title = titleOfSome(graph, children);
    const path = freePath(graph, outer, title ?? `part ${i + 1}/${count}`);
    const group = { name: path, path, outer, part: i + 1, parts: count, title, children };
    graph.groups.push(group);
    for (const child of children) {
      if (child.node !== undefined) graph.nodes[child.node].group = number;
      else graph.groups[child.group].outer = number;
    }
    if (group.children.length > MOST_CHILDREN)
      group.children = divided(graph, number, group.children, MOST_CHILDREN - 4);
    return { group: number };
  });
}

/**
 * Return a title with the first and the last name of some nodes, or undefined if most of them have no name.
 * @param {Graph} graph
 * @param {Child[]} children
 */
function titleOfSome(graph, children) {
  const names = children
    .filter(({ node }) => node !== undefined && isNamed(graph.nodes[node]))
    .map(({ node }) => graph.nodes[node].name);
  return names.length > children.length / 2 ? `${names[0]} … ${names.at(-1)}` : undefined;
}

/**
 * Return a name inside the group `outer` that no other group and no node has.
 * @param {Graph} graph
 * @param {number} outer
 * @param {string} name
 */
function freePath(graph, outer, name) {
  graph.paths ??= new Set([...graph.groups.map(({ path }) => path), ...graph.nodes.map(node => node.name)]);
  const first = outer < 0 ? name : `${graph.groups[outer].path}.${name}`;
  let path = first;
  for (let count = 2; graph.paths.has(path); count++) path = `${first}#${count}`;
  graph.paths.add(path);
  return path;
}
