// Record operations as a graph for the stepper, with names and parts. The graph has only what its root depends on.
//
// What is trained is written once, for anything that records operations: this recorder, or program.js, which computes
// them again and again. Both have `apply` for any operation, `dot`, `logsumexp` and `take` for sequences, `within` for
// what belongs to a part, and `alike` for parts that have the same stages.

import { forward, partials } from "../rows.js";
import { slopesOf } from "./sequences.js";
import { evaluated } from "../stepper/engine.js";
import { makeGraph } from "../stepper/graph.js";
import { page } from "../stepper/page.js";

// A node that is an operand: its index in `nodes`, wrapped to tell it from a number.
export class Ref {
  constructor(i) {
    this.i = i;
  }
}

// A number that never changes, as an operand among nodes. A recorder takes a plain number for one, too.
export class Constant {
  constructor(value) {
    this.value = value;
  }
}

export class Recorder {
  // `letters` are the names of a language model's tokens.
  constructor(letters = []) {
    this.letters = letters;
    this.nodes = [];
    this.data = [];
    this.groups = [];
    this.inside = -1;
    this.paths = new Map();
    this.variables = new Map();
  }

  variable(name, value) {
    // A name that begins with w or b is a parameter, a weight or a bias.
    if (!this.variables.has(name)) this.variables.set(name, this.leaf(name, /^[wb]/i.test(name) ? 3 : 1, value));
    return this.variables.get(name);
  }

  // Return a part inside the present one. The same name gives the same part again.
  part(name) {
    const path = this.path(name);
    if (!this.paths.has(path)) this.paths.set(path, this.groups.push({ name, path, outer: this.inside }) - 1);
    return this.paths.get(path);
  }

  // Return the name of what is inside the present part.
  path(name) {
    return this.inside < 0 ? name : `${this.groups[this.inside].path}.${name}`;
  }

  within(name, record) {
    const outer = this.inside;
    this.inside = this.part(name);
    const result = record();
    this.inside = outer;
    return result;
  }

  // Record `count` parts, each with all stages. A stage is given the index of the part and the result of the stage
  // before. Return the last results.
  alike(count, name, stages) {
    return Array.from({ length: count }, (_, j) =>
      this.within(name(j), () => stages.reduce((before, stage) => stage(j, before), null)),
    );
  }

  tokenName(position, token) {
    return `t${position}:${this.letters[token]}`;
  }

  add(name, flags, value, ...operation) {
    this.data.push(value);
    return new Ref(this.nodes.push([name, flags, this.inside, ...operation]) - 1);
  }

  leaf(name, flags, value) {
    return this.add(name, flags, value);
  }

  // Apply an operation. If all operands are numbers, the result is a number, and nothing is recorded. Without a name,
  // the result gets one in the end.
  apply(op, operands, name = null) {
    const listed = page.operations[op];
    const facts = Array.isArray(listed) ? listed[operands.length] : listed;
    if (!facts) {
      if (operands.length === 0) return 0;
      throw new RangeError(String(/** @type {any[]} */ (listed).length - 1));
    }
    if (operands.every(x => typeof x === "number")) return forward[facts.row](...operands);
    return this.operation(facts, operands, name);
  }

  operation(facts, operands, name) {
    const value = x => (x instanceof Constant ? x.value : x);
    const named = i => (name === null ? null : this.path(`${name}_c${i}`));
    const parents = operands.map((x, i) => (x instanceof Ref ? x : this.add(named(i), 0, value(x))).i);
    const gets = parents.some(i => this.nodes[i][1] & 1);
    return this.add(name === null ? null : this.path(name), gets ? 1 : 0, NaN, facts, parents);
  }

  dot(xs, ys, name = null, bias = null) {
    const operands = [...xs, ...ys, ...(bias === null ? [] : [bias])];
    return this.operation(factsFor("dot", operands.length), operands, name);
  }

  logsumexp(xs, name = null) {
    return this.operation(factsFor("logsumexp", xs.length), xs, name);
  }

  // The token is a known number here, so nothing needs to be recorded.
  take(index, xs) {
    return xs[index];
  }

  // Return the graph of a node and of everything that it depends on. The root may have a name of its own. Results
  // without a name are called v1, v2 and so on, in the order in which they are computed, and constants after them.
  finish(root, nameOfRoot = "") {
    const { nodes, groups } = this;
    const needed = new Uint8Array(nodes.length);
    const ops = [];
    const listed = new Map();
    needed[root.i] = 1;
    for (let i = root.i; i >= 0; i--) if (needed[i]) for (const parent of nodes[i][4] ?? []) needed[parent] = 1;
    const names = this.names(root, nameOfRoot);
    const kept = new Int32Array(nodes.length);
    const data = [];
    const known = new Map();
    const found = [];
    const opened = new Map();
    const place = group => {
      if (group < 0) return -1;
      if (!known.has(group)) {
        const outer = place(groups[group].outer);
        known.set(group, listed.set(group, [groups[group].name, outer]).size - 1);
      }
      return known.get(group);
    };
    nodes.forEach(([, flags, group, facts, parents], i) => {
      if (!needed[i]) return;
      data.push(this.data[i]);
      if (facts && !opened.has(facts)) opened.set(facts, ops.push(facts) - 1);
      const operation = facts ? [opened.get(facts), parents.map(parent => kept[parent])] : [];
      kept[i] = found.push([names[i], flags, place(group), ...operation]) - 1;
    });
    const graph = makeGraph({ ops, nodes: found, groups: [...listed.values()], root: kept[root.i], fixed: "" });
    return { graph, ...evaluated(graph, data) };
  }

  names(root, nameOfRoot) {
    const { nodes, variables } = this;
    const names = nodes.map(([name]) => name);
    const isResult = node => node.length > 3;
    let count = 0;
    for (const wanted of [true, false]) {
      nodes.forEach((node, i) => {
        if (node[0] !== null || isResult(node) !== wanted) return;
        let name;
        do name = `v${++count}`;
        while (variables.has(name));
        names[i] = i === root.i && nameOfRoot ? nameOfRoot : name;
      });
    }
    return names;
  }
}

// Operations of more operands than the page has rows for. What such an operation is comes from its narrower rows: how it
// is computed, which takes any number of operands, and which lists it is called with.
const widened = new Map();

function factsFor(name, count) {
  const listed = /** @type {(Operation | null)[]} */ (page.operations[name]);
  if (listed[count]) return listed[count];
  const row = `${name}/${count}`;
  if (!widened.has(row)) {
    const narrow = listed.find(Boolean);
    const { length } = page.grammar.functions[name].parameters.filter(([, isList]) => isList);
    const size = Math.floor(count / length);
    const firsts = Array.from({ length }, (_, k) => k * size);
    const single = count % length ? [`{${count - 1}}`] : []; // such as a bias
    const call = list => `${name}(${[...firsts.map(first => `[${list(first)}]`), ...single].join(", ")})`;
    forward[row] = forward[narrow.row];
    partials[row] = slopesOf[name];
    widened.set(row, {
      ...narrow,
      row,
      text: call(first => `{${first}}, …, {${first + size - 1}}`),
      written: call(first => Array.from({ length: size }, (_, i) => `{${first + i}}`).join(", ")),
    });
  }
  return widened.get(row);
}
