// Record operations as a graph for the stepper.

import { forward } from "../rows.js";
import { evaluated } from "../stepper/engine.js";
import { makeGraph } from "../stepper/graph.js";
import { page } from "../stepper/page.js";

// A node that is an operand: its index in `nodes`, wrapped to tell it from a number. An operand may also be a number.
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
    // A name that begins with w or b is a parameter, a weight or a bias.
    if (!this.variables.has(name)) this.variables.set(name, this.leaf(name, /^[wb]/i.test(name) ? 3 : 1, value));
    return this.variables.get(name);
  }

  leaf(name, flags, value, group = -1) {
    this.data.push(value);
    return new Ref(this.nodes.push([name, flags, group]) - 1);
  }

  // Apply an operation. If all operands are numbers, the result is a number, and nothing is recorded.
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

  // Return the graph below a node. Results are named v1, v2 and so on, in the order in which they are computed.
  finish(root, groups = [], named = "") {
    const taken = new Set(this.variables.keys());
    let count = 0;
    const steps = node => node.length > 3; // results have an operation; constants are named after them
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
