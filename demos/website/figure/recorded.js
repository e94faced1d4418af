// A function that Python has recorded as a graph. The page computes its values and gradients edge by edge, as everywhere.

import { evaluated, gradient, movesOf, replayed } from "../stepper/engine.js";
import { makeGraph } from "../stepper/graph.js";
import { page } from "../stepper/page.js";

export class Recorded {
  constructor() {
    this.graph = makeGraph(page.graph);
    this.moves = movesOf(this.graph, ["backward"]);
  }

  // Return the data of all nodes if the leaves with these names have other numbers.
  numbers(point) {
    return evaluated(this.graph, this.graph.nodes.map(({ name }, i) => point[name] ?? page.numbers[i]));
  }

  value(point) {
    return this.numbers(point).data[this.graph.root];
  }

  // Return the derivatives with respect to the leaves with these names.
  gradient(point) {
    const state = replayed(this.graph, this.numbers(point), this.moves, this.moves.length);
    return Object.fromEntries(Object.keys(point).map(name => [name, gradient(state, this.graph.nodes.findIndex(node => node.name === name))]));
  }
}
