// What the parts of a graph are called.

import { called, filled, filledApart } from "./text.js";

// A part in words: "neuron 2 of layer 0".
export function partName(graph, group, words) {
  const { name, part, parts, path, outer, title } = graph.groups[group];
  if (title) return title;
  if (part) return filled(words.part, { part, parts });
  const [, kind, number] = /^(layers|neurons)\.(\d+)$/.exec(name) ?? [];
  if (kind === "layers") return filled(words.part_layer, { number });
  if (!kind) return path;
  const alone = filled(words.part_neuron, { number });
  return outer < 0 ? alone : filledApart(words.part_of, { inner: alone, outer: partName(graph, outer, words) });
}

// The same on its own box, inside the part around it.
export function titleOf(graph, { group }, words) {
  const { path, part, parts, title, outer } = graph.groups[group];
  if (title) return title;
  return part ? filled(words.part, { part, parts }) : outer < 0 ? path : path.slice(graph.groups[outer].path.length + 1);
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
