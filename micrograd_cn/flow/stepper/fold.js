// Decide what is drawn of a graph: the boxes, the frames of the open parts, and the edges between boxes.

import { MOST_CHILDREN, flowsTo } from "./graph.js";
import { largestOf, reversed } from "./lists.js";
import { page } from "./page.js";

/**
 * Return the shape that the graph has if the groups in `open` are open. A box or frame has the same key in every shape.
 * @param {Graph} graph
 * @param {Set<number>} open
 * @returns {Shape}
 */
export function makeShape(graph, open) {
  /** @type {any} */
  const shape = { graph, open, boxes: [], frames: [], boxOf: new Int32Array(graph.nodes.length) };
  const place = (children, frame) => {
    for (const child of children) {
      if (child.node !== undefined) addBox(shape, graph.nodes[child.node].name, `n${child.node}`, frame, [child.node]);
      else if (open.has(child.group)) {
        const inner = {
          key: `g${child.group}`,
          group: child.group,
          outer: frame,
          name: graph.groups[child.group].path,
        };
        place(graph.groups[child.group].children, shape.frames.push(inner) - 1);
      } else {
        const nodes = nodesIn(graph, child.group);
        addBox(shape, graph.groups[child.group].path, `g${child.group}`, frame, nodes, child.group);
      }
    }
  };
  place(graph.children, -1);
  shape.edges = edgesOf(shape);
  return shape;
}

/**
 * @param {Shape} shape
 * @param {string} name
 * @param {string} key
 * @param {number} frame
 * @param {number[]} nodes
 * @param {number | null} group
 */
function addBox(shape, name, key, frame, nodes, group = null) {
  for (const i of nodes) shape.boxOf[i] = shape.boxes.length;
  /** @type {any} */
  const box = { name, key, frame, nodes, group, folded: group !== null };
  shape.boxes.push(box);
}

/**
 * @param {Graph} graph
 * @param {number} group
 */
export function nodesIn(graph, group) {
  const found = [];
  const waiting = [group];
  while (waiting.length) {
    for (const child of graph.groups[waiting.pop()].children) {
      if (child.node === undefined) waiting.push(child.group);
      else found.push(child.node);
    }
  }
  return found.sort((a, b) => a - b);
}

/**
 * Return one edge for each operand slot. At a closed part, one edge stands for all slots between the same two boxes.
 * @param {Shape} shape
 * @returns {Edge[]}
 */
function edgesOf({ graph, boxes, boxOf }) {
  const edges = [];
  const merged = new Map();
  for (const node of reversed(graph.order)) {
    graph.nodes[node].parents.forEach((parent, slot) => {
      const source = boxOf[parent];
      const target = boxOf[node];
      if (source === target) return;
      const constant = !flowsTo(graph, graph.nodes[node], slot);
      const key = source * boxes.length + target;
      const known = merged.get(key);
      if (known) {
        known.slots.push([node, slot]);
        known.constant &&= constant;
        return;
      }
      const edge = { source, target, slots: [[node, slot]], constant };
      if (boxes[source].folded || boxes[target].folded) merged.set(key, edge);
      edges.push(edge);
    });
  }
  return edges;
}

/**
 * Return the groups that are open at first: all groups down to the greatest depth at which the picture is readable.
 * @param {Graph} graph
 * @returns {Set<number>}
 */
export function openedAtFirst(graph) {
  const depth = group => (group < 0 ? 0 : 1 + depth(graph.groups[group].outer));
  const depths = graph.groups.map((_, i) => depth(i));
  const deepest = largestOf(depths, 0);
  for (let level = deepest; level > 0; level--) {
    const open = new Set(depths.flatMap((d, i) => (d <= level ? [i] : [])));
    if (countBoxes(graph, open) > page.limits.boxes) continue;
    const { boxes, edges } = makeShape(graph, open);
    if (boxes.length <= (graph.groups.length ? MOST_CHILDREN : page.limits.boxes) && edges.length <= page.limits.edges)
      return open;
  }
  return new Set();
}

/**
 * @param {Graph} graph
 * @param {Set<number>} open
 * @param {Child[]} children
 * @returns {number}
 */
export function countBoxes(graph, open, children = graph.children) {
  return children.reduce((count, { group }) => {
    return count + (open.has(group) ? countBoxes(graph, open, graph.groups[group].children) : 1);
  }, 0);
}

/**
 * Return the group and those around it, the outermost first.
 * @param {Graph} graph
 * @param {number} group
 */
export function around(graph, group) {
  const found = [];
  for (let g = group; g >= 0; g = graph.groups[g].outer) found.unshift(g);
  return found;
}
