// Record operations as a graph for the stepper, with names and parts. The graph has only what its root depends on.

import { Constant } from "./program.js";
import { forward, partials } from "../rows.js";
import { evaluated } from "../stepper/engine.js";
import { makeGraph } from "../stepper/graph.js";
import { dot, logsumexp } from "../stepper/ieee.js";
import { page } from "../stepper/page.js";

export class Recording {
  // `letters` are the names of the tokens.
  constructor(letters) {
    Object.assign(this, { letters, nodes: [], data: [], groups: [], inside: -1, known: new Map(), paths: new Map() });
  }

  // Return a part inside the present one. The same name gives the same part again.
  part(name) {
    const path = this.inside < 0 ? name : `${this.groups[this.inside].path}.${name}`;
    if (!this.paths.has(path)) this.paths.set(path, this.groups.push({ name, path, outer: this.inside }) - 1);
    return this.paths.get(path);
  }

  within(name, record) {
    const outer = this.inside;
    this.inside = this.part(name);
    const result = record();
    this.inside = outer;
    return result;
  }

  tokenName(position, token) {
    return `t${position}:${this.letters[token]}`;
  }

  add(name, flags, value, ...operation) {
    this.data.push(value);
    const path = this.inside < 0 ? name : `${this.groups[this.inside].path}.${name}`;
    return this.nodes.push([path, flags, this.inside, ...operation]) - 1;
  }

  leaf(name, value) {
    return this.add(name, 3, value);
  }

  operation(facts, operands, name) {
    const parents = operands.map((x, i) => (x instanceof Constant ? this.add(`${name}_c${i}`, 0, x.value) : x));
    return this.add(name, 1, NaN, facts, parents);
  }

  apply(op, operands, name) {
    return this.operation(page.operations[op], operands, name);
  }

  dot(xs, ys, name) {
    return this.operation(wideFacts("dot", xs.length + ys.length), [...xs, ...ys], name);
  }

  logsumexp(xs, name) {
    return this.operation(wideFacts("logsumexp", xs.length), xs, name);
  }

  // The token is a known number here, so nothing needs to be recorded.
  take(index, xs) {
    return xs[index];
  }

  // Return the graph of a node and of everything that it depends on.
  finish(root) {
    const { nodes, groups } = this, needed = new Uint8Array(nodes.length), ops = [], listed = new Map();
    needed[root] = 1;
    for (let i = root; i >= 0; i--) if (needed[i]) for (const parent of nodes[i][4] ?? []) needed[parent] = 1;
    const kept = new Int32Array(nodes.length), data = [], known = new Map(), found = [];
    const place = group => {
      if (group < 0) return -1;
      if (!known.has(group)) {
        const outer = place(groups[group].outer);
        known.set(group, listed.set(group, [groups[group].name, outer]).size - 1);
      }
      return known.get(group);
    };
    const opened = new Map();
    nodes.forEach(([name, flags, group, facts, parents], i) => {
      if (!needed[i]) return;
      data.push(this.data[i]);
      if (facts && !opened.has(facts)) opened.set(facts, ops.push(facts) - 1);
      const operation = facts ? [opened.get(facts), parents.map(parent => kept[parent])] : [];
      kept[i] = found.push([name, flags, place(group), ...operation]) - 1;
    });
    const graph = makeGraph({ ops, nodes: found, groups: [...listed.values()], root: kept[root], fixed: "" });
    return { graph, ...evaluated(graph, data) };
  }
}

// Operations of any number of operands. From Python, the page has them for a few operands only.
const WIDE = {
  dot: {
    value: dot,
    slopes: (y, ...xs) => {
      const n = xs.length >> 1;
      return [...xs.slice(n, 2 * n), ...xs.slice(0, n), ...xs.slice(2 * n).map(() => 1)];
    },
    text: count => [0, count >> 1].map(first => `[{${first}}, …, {${first + (count >> 1) - 1}}]`),
    written: count => [0, count >> 1].map(first => `[${Array.from({ length: count >> 1 }, (_, i) => `{${first + i}}`).join(", ")}]`),
  },
  logsumexp: {
    value: logsumexp,
    slopes: (y, ...xs) => xs.map(x => Math.exp(x - y)),
    text: count => [`[{0}, …, {${count - 1}}]`],
    written: count => [`[${Array.from({ length: count }, (_, i) => `{${i}}`).join(", ")}]`],
  },
};
const widened = new Map();

function wideFacts(name, count) {
  const listed = page.operations[name][count];
  if (listed) return listed;
  const row = `${name}/${count}`;
  if (!widened.has(row)) {
    const { value, slopes, text, written } = WIDE[name];
    forward[row] = value;
    partials[row] = slopes;
    const call = list => `${name}(${list.join(", ")})`;
    widened.set(row, { ...page.operations[name][2], row, text: call(text(count)), written: call(written(count)) });
  }
  return widened.get(row);
}
