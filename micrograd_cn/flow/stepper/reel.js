// Unpack the snapshots of one graph, which flow/columns.py has packed.

import { largestOf } from "./lists.js";
import { decoded } from "./page.js";

export class Reel {
  constructor(graph, { columns: places, fixed, varying }) {
    const bytes = Uint8Array.from(atob(varying), c => c.charCodeAt(0));
    const doubles = new DataView(bytes.buffer);
    const count = largestOf(places, 0) + 1 - fixed.length;
    this.graph = graph;
    this.places = places;
    this.fixed = fixed.map(decoded);
    this.doubles = doubles;
    this.count = count;
    this.taken = 0;
  }

  // Return the next snapshot. Its numbers are the data of all nodes, then the partials of each node, then the gradients
  // that a class of the reader's own computed. The partials are unpacked when they are first read.
  next() {
    const { graph, places, fixed, doubles, count } = this;
    const { nodes, slotCount } = graph;
    const row = this.taken++;
    const before = nodes.length + slotCount;
    const number = k =>
      places[k] < fixed.length
        ? fixed[places[k]]
        : doubles.getFloat64(8 * (row * count + places[k] - fixed.length), true);
    const numbers = (first, many) => Array.from({ length: many }, (_, i) => number(first + i));
    let slopes = null;
    return {
      graph,
      data: numbers(0, nodes.length),
      get partials() {
        slopes ??= nodes.map(({ slots, parents }) => numbers(nodes.length + slots, parents?.length ?? 0));
        return slopes;
      },
      theirs: places.length > before ? numbers(before, nodes.length) : undefined,
    };
  }
}
