// A graph that is computed again and again. It is recorded once, as runs of equal operations on one array of numbers.
//
// A node is a place in the arrays `data` and `grad`. A run is a sequence of equal operations whose operands have
// constant strides: `first` and `count` are the places of its results, `base` and `step` are the start and the stride
// of each operand. If an operand is a sequence, these are the start and the stride of its first member, and `tables`
// has the offsets of all.

import { forward, partials } from "../rows.js";
import { sendsTo } from "../stepper/graph.js";
import { page } from "../stepper/page.js";

export class Program {
  constructor() {
    this.data = new Float64Array(1 << 14);
    this.grad = new Float64Array(1 << 14);
    this.size = 0; // how many places are taken
    this.runs = [];
    this.constants = new Map();
  }

  // Take a place for a number that is set from outside.
  leaf(value = 0) {
    if (this.size === this.data.length) {
      for (const name of ["data", "grad"]) {
        const wider = new Float64Array(2 * this.size);
        wider.set(this[name]);
        this[name] = wider;
      }
    }
    this.data[this.size] = value;
    return this.size++;
  }

  constant(value) {
    if (!this.constants.has(value)) this.constants.set(value, this.leaf(value));
    return this.constants.get(value);
  }

  // Record an operation of places and constants. Operations of sequences follow below.
  apply(name, operands) {
    const places = operands.map(x => this.operand(x)), facts = page.operations[name];
    return this.record(name, places, [], { kind: "map", value: forward[facts.row], slopes: partials[facts.row], facts });
  }

  // Record the sum of products of two sequences of places.
  dot(xs, others) {
    const ys = others.map(x => this.operand(x));
    return this.record("dot", [xs[0], ys[0]], [xs, ys], { kind: "dot" });
  }

  logsumexp(xs) {
    return this.record("logsumexp", [xs[0]], [xs], { kind: "logsumexp" });
  }

  // Record the choice of a member of a sequence. Its index is the number in the place `index`.
  take(index, xs) {
    return this.record("take", [index, xs[0]], [xs], { kind: "take" });
  }

  // Parts and names are only needed for graphs that are shown.
  within(part, record) {
    return record();
  }

  tokenName() {}

  operand(x) {
    return x instanceof Constant ? this.constant(x.value) : x;
  }

  // Add an operation to the last run if it fits, or else begin a new run.
  record(name, base, sequences, facts) {
    const place = this.leaf(), last = this.runs.at(-1);
    const tables = sequences.map(xs => xs.map(x => x - xs[0]));
    const alike = last && last.name === name && last.first + last.count === place && sequences.every((_, k) => sameNumbers(tables[k], last.tables[k]));
    if (alike && last.count === 1) last.step = base.map((x, k) => x - last.base[k]);
    if (alike && base.every((x, k) => x === last.base[k] + last.count * last.step[k])) {
      last.count++;
      return place;
    }
    if (alike && last.count === 1) last.step = base.map(() => 0);
    const even = tables.every(table => table.every((x, i) => x === i));
    this.runs.push({ name, ...facts, first: place, count: 1, base, step: base.map(() => 0), tables: tables.map(table => Int32Array.from(table)), even });
    return place;
  }

  // Compute the runs from `begin` up to `end`.
  forward(begin, end) {
    for (let k = begin; k < end; k++) {
      const run = this.runs[k];
      FORWARD[run.kind](this.data, run);
    }
  }

  // Go back through the runs before `end`, and add what they send to the gradients of all places.
  backward(end) {
    for (let k = end - 1; k >= 0; k--) {
      const run = this.runs[k];
      BACKWARD[run.kind](this.data, this.grad, run);
    }
  }
}

// A number that never changes, as an operand among places.
export class Constant {
  constructor(value) {
    this.value = value;
  }
}

const sameNumbers = (xs, ys) => xs.length === ys.length && xs.every((x, i) => x === ys[i]);

const FORWARD = {
  map(data, { first, count, base, step, value }) {
    if (base.length === 1) for (let i = 0; i < count; i++) data[first + i] = value(data[base[0] + i * step[0]]);
    else if (base.length === 2) for (let i = 0; i < count; i++) data[first + i] = value(data[base[0] + i * step[0]], data[base[1] + i * step[1]]);
    else for (let i = 0; i < count; i++) data[first + i] = value(...base.map((x, k) => data[x + i * step[k]]));
  },
  dot(data, { first, count, base: [x0, y0], step: [dx, dy], tables: [xs, ys], even }) {
    const n = xs.length;
    for (let i = 0; i < count; i++) {
      const x = x0 + i * dx, y = y0 + i * dy;
      let total = 0;
      if (even) for (let k = 0; k < n; k++) total += data[x + k] * data[y + k];
      else for (let k = 0; k < n; k++) total += data[x + xs[k]] * data[y + ys[k]];
      data[first + i] = total;
    }
  },
  logsumexp(data, { first, count, base: [x0], step: [dx], tables: [xs] }) {
    for (let i = 0; i < count; i++) {
      const x = x0 + i * dx;
      let top = -Infinity, total = 0;
      for (let k = 0; k < xs.length; k++) top = Math.max(top, data[x + xs[k]]);
      if (Number.isFinite(top)) for (let k = 0; k < xs.length; k++) total += Math.exp(data[x + xs[k]] - top);
      else total = 1;
      data[first + i] = top + Math.log(total);
    }
  },
  take(data, { first, count, base: [at, x0], step: [by, dx], tables: [xs] }) {
    for (let i = 0; i < count; i++) data[first + i] = data[x0 + i * dx + xs[data[at + i * by]]];
  },
};

const BACKWARD = {
  map(data, grad, { first, count, base, step, slopes, facts }) {
    const all = facts.still.length === 0 && !facts.selects; // whether every operand gets something
    for (let i = count - 1; i >= 0; i--) {
      const y = data[first + i], upstream = grad[first + i];
      if (base.length === 1) {
        const [local] = slopes(y, data[base[0] + i * step[0]]);
        if (all || sendsTo(facts, 0, local)) grad[base[0] + i * step[0]] += upstream * local;
      } else if (base.length === 2) {
        const a = base[0] + i * step[0], b = base[1] + i * step[1], local = slopes(y, data[a], data[b]);
        if (all || sendsTo(facts, 0, local[0])) grad[a] += upstream * local[0];
        if (all || sendsTo(facts, 1, local[1])) grad[b] += upstream * local[1];
      } else {
        const local = slopes(y, ...base.map((x, k) => data[x + i * step[k]]));
        base.forEach((x, k) => sendsTo(facts, k, local[k]) && (grad[x + i * step[k]] += upstream * local[k]));
      }
    }
  },
  dot(data, grad, { first, count, base: [x0, y0], step: [dx, dy], tables: [xs, ys], even }) {
    const n = xs.length;
    for (let i = count - 1; i >= 0; i--) {
      const x = x0 + i * dx, y = y0 + i * dy, upstream = grad[first + i];
      if (even) {
        for (let k = 0; k < n; k++) {
          grad[x + k] += upstream * data[y + k];
          grad[y + k] += upstream * data[x + k];
        }
      } else {
        for (let k = 0; k < n; k++) {
          grad[x + xs[k]] += upstream * data[y + ys[k]];
          grad[y + ys[k]] += upstream * data[x + xs[k]];
        }
      }
    }
  },
  logsumexp(data, grad, { first, count, base: [x0], step: [dx], tables: [xs] }) {
    for (let i = count - 1; i >= 0; i--) {
      const x = x0 + i * dx, y = data[first + i], upstream = grad[first + i];
      for (let k = 0; k < xs.length; k++) grad[x + xs[k]] += upstream * Math.exp(data[x + xs[k]] - y);
    }
  },
  take(data, grad, { first, count, base: [at, x0], step: [by, dx], tables: [xs] }) {
    for (let i = count - 1; i >= 0; i--) grad[x0 + i * dx + xs[data[at + i * by]]] += grad[first + i];
  },
};
