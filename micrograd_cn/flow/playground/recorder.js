// Record operations as a graph for the stepper.

import { forward } from "../rows.js";
import { evaluated } from "../stepper/engine.js";
import { makeGraph } from "../stepper/graph.js";
import { page } from "../stepper/page.js";

// An operand is a number, a list, or a node's index in `nodes`, wrapped so that it is not taken for a number.
export class Ref {
  constructor(i) {
    this.i = i;
  }
}

export class Recorder {
  constructor() {
    this.ops = [];
    this.nodes = [];
    this.data = [];
    this.variables = new Map();
    this.known = new Map();
  }

  variable(name, value) {
    if (!this.variables.has(name)) this.variables.set(name, this.leaf(name, /^[wb]/i.test(name) ? 3 : 1, value)); // weights, biases
    return this.variables.get(name);
  }

  leaf(name, flags, value, group = -1) {
    this.data.push(value);
    return new Ref(this.nodes.push([name, flags, group]) - 1);
  }

  // Apply a row; of numbers alone the result is a number.
  apply(name, operands, group = -1) {
    const listed = page.operations[name], facts = Array.isArray(listed) ? listed[operands.length] : listed;
    if (!facts) {
      if (operands.length === 0) return 0;
      throw new RangeError(String(listed.length - 1));
    }
    if (!operands.some(x => x instanceof Ref)) return forward[facts.row](...operands);
    const parents = operands.map(x => (x instanceof Ref ? x : this.leaf(`c${this.nodes.length}`, 0, x, group)).i);
    if (!this.known.has(facts)) this.known.set(facts, this.ops.push(facts) - 1);
    const gets = parents.some(i => this.nodes[i][1] & 1);
    this.data.push(NaN);
    return new Ref(this.nodes.push([`c${this.nodes.length}`, gets ? 1 : 0, group, this.known.get(facts), parents]) - 1);
  }

  // The graph below a node, the steps named v1, v2 ... in the order in which they are computed.
  finish(root, groups = [], named = "") {
    const taken = new Set(this.variables.keys());
    let count = 0;
    const steps = node => node.length > 3; // with an operation; numbers are counted behind them
    for (const wanted of [true, false]) {
      this.nodes.forEach((node, i) => {
        if (!/^c\d+$/.test(node[0]) || this.variables.has(node[0]) || steps(node) !== wanted) return;
        let name;
        do name = `v${++count}`; while (taken.has(name));
        node[0] = i === root.i && named ? named : name;
      });
    }
    const graph = makeGraph({ ops: this.ops, nodes: this.nodes, groups, root: root.i, fixed: "" });
    return { graph, ...evaluated(graph, this.data) };
  }
}
