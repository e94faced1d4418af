// Name the parts of a graph.

import { isNamed } from "./graph.js";
import { called } from "./labels.js";
import { filled, filledApart } from "./text.js";

/**
 * Return the name of a part inside the part around it. Layers, neurons and samples are counted from 1, as in textbooks. Python's
 * path, which is shown as a tooltip, counts from 0.
 * @param {Graph} graph
 * @param {{ group: number | null }} part
 * @param {Words} words
 * @returns {string}
 */
export function titleOf(graph, { group }, words) {
  const { name, part, parts, path, outer, title } = graph.groups[group];
  if (title) return title;
  if (part) return filled(words.part, { part, parts });
  // `again` is a suffix such as "#2", by which the path differs from others of this name.
  const own = outer < 0 ? path : path.slice(graph.groups[outer].path.length + 1);
  const again = own.slice(name.length);
  const [, kind, number] = /^(layer|neuron|sample)s\.(\d+)$/.exec(name) ?? [];
  return kind ? filled(words[`part_${kind}`], { number: Number(number) + 1 }) + again : own;
}

/**
 * Return the name of a part as it is said in a sentence: "neuron 2 of layer 1".
 * @param {Graph} graph
 * @param {number} group
 * @param {Words} words
 * @returns {string}
 */
export function partName(graph, group, words) {
  const { name, part, path, outer, title } = graph.groups[group];
  const own = titleOf(graph, { group }, words);
  if (title || part || /^(layers|samples)\.\d+$/.test(name)) return own;
  if (!/^neurons\.\d+$/.test(name)) return ownName(graph, group, words) ?? path;
  return outer < 0 ? own : filledApart(words.part_of, { inner: own, outer: partName(graph, outer, words) });
}

/**
 * Return the name of a part that the page has words for, such as "head 2 of layer 1 of token 3", or null.
 * @param {Graph} graph
 * @param {number} group
 * @param {Words} words
 * @returns {string | null}
 */
function ownName(graph, group, words) {
  const { name, outer } = graph.groups[group];
  const [, kind, number, letter] = /^([a-z]+)(\d*)(?::(.*))?$/su.exec(name) ?? [];
  const alone = words[`name_${kind}`] && filled(words[`name_${kind}`], { number, letter });
  if (!alone || outer < 0) return alone ?? null;
  const holder = graph.groups[outer].name === "attention" ? graph.groups[outer].outer : outer;
  const outside = ownName(graph, holder, words);
  return outside && filledApart(words.part_of, { inner: alone, outer: outside });
}

/**
 * Return the name of a node as a sentence says it. Inside a part that the page has words for, it is the name in this
 * part: "share2" and not "t4:a.layer1.attention.head3.share2". The box that is meant glows.
 * @param {Graph} graph
 * @param {number} i
 * @param {Words} words
 */
export function nodeName(graph, i, words) {
  const { name, group } = graph.nodes[i];
  const path = group < 0 ? "" : `${graph.groups[group].path}.`;
  return called(
    path && name.startsWith(path) && ownName(graph, group, words) !== null ? name.slice(path.length) : name,
  );
}

/**
 * Return the name of a node for a sentence. If its box is a closed part, which has another name, this is said too: "v69
 * of sample 146".
 * @param {Shape} shape
 * @param {number} i
 * @param {Words} words
 */
export function placedName({ graph, boxes, boxOf }, i, words) {
  const inner = nodeName(graph, i, words);
  const { folded, group } = boxes[boxOf[i]];
  if (!folded || isNamed(graph.nodes[i])) return inner;
  return filledApart(words.part_of, { inner, outer: partName(graph, group, words) });
}

/**
 * Return the name of a node in a formula. If it is the only result of a closed part, this is the name of the part.
 * @param {Shape} shape
 * @param {number} i
 * @param {Words} words
 */
export function operandName({ graph, boxes, boxOf, edges }, i, words) {
  const own = boxOf[i];
  const { folded, group } = boxes[own];
  if (!folded || isNamed(graph.nodes[i])) return nodeName(graph, i, words);
  const used = edges.filter(({ source }) => source === own).flatMap(({ slots }) => slots);
  const alone = used.every(([node, slot]) => graph.nodes[node].parents[slot] === i);
  return alone ? titleOf(graph, { group }, words) : nodeName(graph, i, words);
}

// Return the name of a box in a table. It says where a part is.
export function calledIn({ graph, shape }, b, words) {
  const called = group => {
    const { part, parts, path, outer, title } = graph.groups[group];
    if (!part) return path;
    const own = title ?? filled(words.part, { part, parts });
    return outer < 0 ? own : `${called(outer)}.${own}`;
  };
  const { folded, group, name } = shape.boxes[b];
  return folded ? called(group) : name;
}
