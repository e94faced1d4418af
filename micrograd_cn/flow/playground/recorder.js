// Record operations, for one of two uses. `finish` makes a graph of them for the stepper, with names and parts, which has
// only what its root depends on. A recording that `trains` has no names, and sweeps.js computes it again and again.
//
// There is `apply` for any operation, `dot`, `logsumexp` and `take` for sequences, `within` for what belongs to a part,
// and `alike` for parts that have the same stages.

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

/**
 * Return the places that nodes have in `Sweeps`.
 * @param {Ref[]} nodes
 */
export const placesOf = nodes => nodes.map(({ i }) => i);

// A number that never changes, as an operand among nodes. A recorder takes a plain number for one, too.
export class Constant {
  constructor(value) {
    this.value = value;
  }
}

const WITHOUT_ROW = {};

const constantIn = x => (x instanceof Constant ? x.value : x);

export class Recorder {
  /**
   * @param {string[]} letters the names of a language model's tokens
   * @param {boolean} trains whether the operations are for `Sweeps`, which train
   */
  constructor(letters = [], trains = false) {
    this.letters = letters;
    this.trains = trains;
    /** @type {Map<number, Ref>} those of a recording that trains, in which equal constants are one node */
    this.constants = new Map();
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

  /**
   * @template Result
   * @param {string} name
   * @param {() => Result} record
   * @returns {Result}
   */
  within(name, record) {
    if (this.trains) return record();
    const outer = this.inside;
    this.inside = this.part(name);
    const result = record();
    this.inside = outer;
    return result;
  }

  /**
   * Record `count` parts, each with all stages. A stage is given the index of the part and the result of the stage
   * before. Return the last results. For `Sweeps`, each stage is recorded for all parts, because they
   * compute equal operations faster that stand together.
   * @param {number} count
   * @param {(j: number) => string} name
   * @param {((j: number, before: any) => any)[]} stages
   * @returns {any[]}
   */
  alike(count, name, stages) {
    const parts = Array.from({ length: count }, (_, j) => j);
    return this.trains
      ? stages.reduce((before, stage) => parts.map(j => stage(j, before[j])), [])
      : parts.map(j => this.within(name(j), () => stages.reduce((before, stage) => stage(j, before), null)));
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

  /**
   * Apply an operation. If all operands are numbers, the result is a number, and nothing is recorded. Without a name, the
   * result gets one in the end.
   * @param {string} op
   * @param {any[]} operands
   * @param {string | null} name
   * @returns {any}
   */
  apply(op, operands, name = null) {
    const listed = page.operations[op];
    const facts = Array.isArray(listed) ? listed[operands.length] : listed;
    if (!facts) {
      if (operands.length === 0) return 0;
      throw new RangeError(String(/** @type {any[]} */ (listed).length - 1));
    }
    if (operands.every(x => typeof x === "number")) return forward[facts.row](...operands);
    return this.operation(op, facts, operands, name);
  }

  operation(op, facts, operands, name) {
    const path = this.trains || name === null ? null : this.path(name);
    const constant = (x, i) => (this.trains ? this.same(x) : this.add(path && `${path}_c${i}`, 0, constantIn(x)));
    const parents = operands.map((x, i) => (x instanceof Ref ? x : constant(x, i)).i);
    const gets = this.trains || parents.some(i => this.nodes[i][1] & 1);
    return this.add(path, gets ? 1 : 0, NaN, facts, parents, op);
  }

  // Return the one node of a constant.
  same(x) {
    const value = constantIn(x);
    if (!this.constants.has(value)) this.constants.set(value, this.add(null, 0, value));
    return this.constants.get(value);
  }

  // Record an operation of sequences. `Sweeps` compute it without a row, and a page that only trains has none for it.
  sequences(op, operands, name = null) {
    return this.operation(op, this.trains ? WITHOUT_ROW : factsFor(op, operands.length), operands, name);
  }

  dot(xs, ys, name = null, bias = null) {
    return this.sequences("dot", bias === null ? xs.concat(ys) : xs.concat(ys, bias), name);
  }

  logsumexp(xs, name = null) {
    return this.sequences("logsumexp", xs, name);
  }

  // Return the member of a sequence at an index. If the index is a known number, nothing needs to be recorded. To
  // `Sweeps` the index is told later: it is the number in the place `index`.
  take(index, xs) {
    return index instanceof Ref ? this.sequences("take", [index, ...xs]) : xs[index];
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
