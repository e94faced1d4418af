// What the parts of a graph are called.

import { called } from "./labels.js";
import { filled, filledApart } from "./text.js";

// A part's name inside the one around it. Layers and neurons are counted as textbooks do, from 1; Python's path counts
// from 0, and is said in full where the pointer rests.
export function titleOf(graph, { group }, words) {
  const { name, part, parts, path, outer, title } = graph.groups[group];
  if (title) return title;
  if (part) return filled(words.part, { part, parts });
  const own = outer < 0 ? path : path.slice(graph.groups[outer].path.length + 1), again = own.slice(name.length); // "#2"
  const [, kind, number] = /^(layer|neuron)s\.(\d+)$/.exec(name) ?? [];
  return kind ? filled(words[`part_${kind}`], { number: Number(number) + 1 }) + again : own;
}

// A part in a sentence: "neuron 2 of layer 1".
export function partName(graph, group, words) {
  const { name, part, path, outer, title } = graph.groups[group], own = titleOf(graph, { group }, words);
  if (title || part || /^layers\.\d+$/.test(name)) return own;
  if (!/^neurons\.\d+$/.test(name)) return ownName(graph, group, words) ?? path;
  return outer < 0 ? own : filledApart(words.part_of, { inner: own, outer: partName(graph, outer, words) });
}

// What a page has words of its own for, such as "head 2 of layer 1 of token 3"; null for others.
function ownName(graph, group, words) {
  const { name, outer } = graph.groups[group], [, kind, number, letter] = /^([a-z]+)(\d*)(?::(.*))?$/su.exec(name) ?? [];
  const alone = words[`name_${kind}`] && filled(words[`name_${kind}`], { number, letter });
  if (!alone || outer < 0) return alone ?? null;
  const holder = graph.groups[outer].name === "attention" ? graph.groups[outer].outer : outer;
  const outside = ownName(graph, holder, words);
  return outside && filledApart(words.part_of, { inner: alone, outer: outside });
}

// What a box is called in a table: a part by its own words, wherever it is.
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
