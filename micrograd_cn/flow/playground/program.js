// A graph that is computed again and again. It is recorded once, as runs of equal operations on one array of numbers.
//
// This is the page's backward pass for training. That of stepper/engine.js does the same in the plainest form, one edge
// at a time, and tests/flow/test_program.py proves that both give the same gradients. Here, too, a node that no
// gradient reaches sends nothing, and an operation sends nothing to an operand that it did not select. Slopes are those
// of the table's rows. For speed, sums of products and logarithms of sums are added up in one pass; the rows round
// their sums correctly, so the two may differ by the rounding of a sum.
//
// A node is a place in the arrays `data` and `grad`. A run is a sequence of equal operations whose operands have
// constant strides: `first` and `count` are the places of its results, `base` and `step` are the start and the stride
// of each operand. If an operand is a sequence, these are the start and the stride of its first member, and `tables`
// has the offsets of all. `results` says which sequences have
// results of other runs.

import { forward, partials } from "../rows.js";
import { Constant } from "./recorder.js";
import { slopeOfFactor, slopeOfLogsumexp, slopeOfSummand } from "./sequences.js";
import { sendsTo } from "../stepper/graph.js";
import { page } from "../stepper/page.js";

export class Program {
  constructor() {
    this.data = new Float64Array(1 << 14);
    this.grad = new Float64Array(1 << 14);
    this.reached = new Uint8Array(1 << 14); // whether a gradient has arrived
    this.isResult = new Uint8Array(1 << 14);
    this.size = 0; // how many places are taken
    this.runs = [];
    this.constants = new Map();
  }

  // Take a place for a number that is set from outside.
  leaf(value = 0) {
    if (this.size === this.data.length) {
      for (const name of ["data", "grad", "reached", "isResult"]) {
        const wider = new this[name].constructor(2 * this.size);
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
    const places = operands.map(x => this.operand(x));
    const listed = page.operations[name];
    const facts = Array.isArray(listed) ? listed[places.length] : listed;
    return this.record(name, places, [], {
      kind: "map",
      value: forward[facts.row],
      slopes: partials[facts.row],
      facts,
    });
  }

  // Record the sum of products of two sequences of places, and of a bias if there is one.
  dot(xs, others, _name, bias = null) {
    const ys = others.map(x => this.operand(x));
    if (bias !== null) return this.record("neuron", [xs[0], ys[0], bias], [xs, ys], { kind: "neuron" });
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
  within(_part, record) {
    return record();
  }

  // Record the stages of `count` parts. Equal operations stand together, so each stage is recorded for all parts.
  alike(count, _name, stages) {
    const parts = Array.from({ length: count }, (_, j) => j);
    return stages.reduce((before, stage) => parts.map(j => stage(j, before[j])), []);
  }

  tokenName() {
    return "";
  }

  operand(x) {
    return x instanceof Constant ? this.constant(x.value) : x;
  }

  // Add an operation to the last run if it fits, or else begin a new run.
  record(name, base, sequences, facts) {
    const results = sequences.map(xs => xs.some(x => this.isResult[x]));
    const place = this.leaf();
    const last = this.runs.at(-1);
    this.isResult[place] = 1;
    const tables = sequences.map(xs => xs.map(x => x - xs[0]));
    const alike =
      last &&
      last.name === name &&
      last.first + last.count === place &&
      sequences.every((_, k) => sameNumbers(tables[k], last.tables[k]));
    if (alike && last.count === 1) last.step = base.map((x, k) => x - last.base[k]);
    if (alike && base.every((x, k) => x === last.base[k] + last.count * last.step[k])) {
      last.count++;
      last.results = last.results.map((is, k) => is || results[k]);
      return place;
    }
    if (alike && last.count === 1) last.step = base.map(() => 0);
    const even = tables.every(table => table.every((x, i) => x === i));
    const run = {
      name,
      ...facts,
      first: place,
      count: 1,
      base,
      step: base.map(() => 0),
      tables: tables.map(table => Int32Array.from(table)),
      even,
      results,
    };
    this.runs.push(run);
    return place;
  }

  // Compute the runs from `begin` up to `end`.
  forward(begin, end) {
    for (let k = begin; k < end; k++) {
      const run = this.runs[k];
      FORWARD[run.kind](this.data, run);
    }
  }

  // Begin a backward pass at a place, whose gradient is `seed`. Leaves before the place `kept` keep their gradients.
  begin(place, seed, kept) {
    this.grad.fill(0, kept, this.size);
    this.reached.fill(0, 0, this.size);
    this.grad[place] = seed;
    this.reached[place] = 1;
  }

  // Go back through the runs from before `end` to `begin`, and add what they send to the gradients of all places.
  backward(begin, end) {
    for (let k = end - 1; k >= begin; k--) {
      const run = this.runs[k];
      BACKWARD[run.kind](this.data, this.grad, this.reached, run);
    }
  }
}

const sameNumbers = (xs, ys) => xs.length === ys.length && xs.every((x, i) => x === ys[i]);

const FORWARD = {
  map(data, { first, count, base, step, value }) {
    if (base.length === 1) for (let i = 0; i < count; i++) data[first + i] = value(data[base[0] + i * step[0]]);
    else if (base.length === 2)
      for (let i = 0; i < count; i++) data[first + i] = value(data[base[0] + i * step[0]], data[base[1] + i * step[1]]);
    else for (let i = 0; i < count; i++) data[first + i] = value(...base.map((x, k) => data[x + i * step[k]]));
  },
  dot(data, { first, count, base, step, tables, even }) {
    const x0 = base[0];
    const y0 = base[1];
    const dx = step[0];
    const dy = step[1];
    const xs = tables[0];
    const ys = tables[1];
    const n = xs.length;
    for (let i = 0; i < count; i++) {
      const x = x0 + i * dx;
      const y = y0 + i * dy;
      let total = 0;
      if (even) for (let k = 0; k < n; k++) total += data[x + k] * data[y + k];
      else for (let k = 0; k < n; k++) total += data[x + xs[k]] * data[y + ys[k]];
      data[first + i] = total;
    }
  },
  neuron(data, { first, count, base, step, tables, even }) {
    const x0 = base[0];
    const y0 = base[1];
    const dx = step[0];
    const dy = step[1];
    const xs = tables[0];
    const ys = tables[1];
    const n = xs.length;
    for (let i = 0; i < count; i++) {
      const x = x0 + i * dx;
      const y = y0 + i * dy;
      let total = data[base[2] + i * step[2]];
      if (even) for (let k = 0; k < n; k++) total += data[x + k] * data[y + k];
      else for (let k = 0; k < n; k++) total += data[x + xs[k]] * data[y + ys[k]];
      data[first + i] = total;
    }
  },
  logsumexp(data, { first, count, base, step, tables }) {
    const xs = tables[0];
    for (let i = 0; i < count; i++) {
      const x = base[0] + i * step[0];
      let top = -Infinity;
      let total = 0;
      for (let k = 0; k < xs.length; k++) top = Math.max(top, data[x + xs[k]]);
      if (Number.isFinite(top)) for (let k = 0; k < xs.length; k++) total += Math.exp(data[x + xs[k]] - top);
      else total = 1;
      data[first + i] = top + Math.log(total);
    }
  },
  take(data, { first, count, base, step, tables }) {
    for (let i = 0; i < count; i++)
      data[first + i] = data[base[1] + i * step[1] + tables[0][data[base[0] + i * step[0]]]];
  },
};

// Say that a gradient has reached the members of a sequence.
function markReached(reached, at, table) {
  for (let k = 0; k < table.length; k++) reached[at + table[k]] = 1;
}

const BACKWARD = {
  map(data, grad, reached, { first, count, base, step, slopes, facts }) {
    const all = facts.still.length === 0 && !facts.selects; // whether every operand gets something
    for (let i = count - 1; i >= 0; i--) {
      if (!reached[first + i]) continue;
      const y = data[first + i];
      const upstream = grad[first + i];
      if (base.length === 1) {
        const a = base[0] + i * step[0];
        const local = slopes(y, data[a])[0];
        if (!all && !sendsTo(facts, 0, local)) continue;
        grad[a] += upstream * local;
        reached[a] = 1;
      } else if (base.length === 2) {
        const a = base[0] + i * step[0];
        const b = base[1] + i * step[1];
        const local = slopes(y, data[a], data[b]);
        if (all || sendsTo(facts, 0, local[0])) {
          grad[a] += upstream * local[0];
          reached[a] = 1;
        }
        if (all || sendsTo(facts, 1, local[1])) {
          grad[b] += upstream * local[1];
          reached[b] = 1;
        }
      } else {
        const local = slopes(y, ...base.map((x, k) => data[x + i * step[k]]));
        base.forEach((x, k) => {
          if (!sendsTo(facts, k, local[k])) return;
          grad[x + i * step[k]] += upstream * local[k];
          reached[x + i * step[k]] = 1;
        });
      }
    }
  },
  dot(data, grad, reached, run) {
    sendProducts(data, grad, reached, run, run.count - 1, -1);
  },
  // The neurons of a layer do not depend on each other. They send in their order, as the library's layers do.
  neuron(data, grad, reached, run) {
    const { first, count, base, step } = run;
    for (let i = 0; i < count; i++)
      if (reached[first + i]) grad[base[2] + i * step[2]] += grad[first + i] * slopeOfSummand;
    sendProducts(data, grad, reached, run, 0, 1);
  },
  logsumexp(data, grad, reached, { first, count, base, step, tables }) {
    const xs = tables[0];
    for (let i = count - 1; i >= 0; i--) {
      const x = base[0] + i * step[0];
      const y = data[first + i];
      const upstream = grad[first + i];
      if (!reached[first + i]) continue;
      for (let k = 0; k < xs.length; k++) grad[x + xs[k]] += upstream * slopeOfLogsumexp(y, data[x + xs[k]]);
      markReached(reached, x, xs);
    }
  },
  take(data, grad, reached, { first, count, base, step, tables }) {
    for (let i = count - 1; i >= 0; i--) {
      if (!reached[first + i]) continue;
      const selected = base[1] + i * step[1] + tables[0][data[base[0] + i * step[0]]];
      grad[selected] += grad[first + i];
      reached[selected] = 1;
    }
  },
};

// Send the contributions of sums of products, from the one at index `i` on. Only results of other runs need to know
// that they are reached.
function sendProducts(data, grad, reached, { first, count, base, step, tables, even, results }, i, by) {
  const x0 = base[0];
  const y0 = base[1];
  const dx = step[0];
  const dy = step[1];
  const xs = tables[0];
  const ys = tables[1];
  const n = xs.length;
  const xIsResult = results[0];
  const yIsResult = results[1];
  let shared = yIsResult && dy === 0; // such as the input of a layer: it is told once
  for (; i >= 0 && i < count; i += by) {
    if (!reached[first + i]) continue;
    const x = x0 + i * dx;
    const y = y0 + i * dy;
    const upstream = grad[first + i];
    if (even) {
      for (let k = 0; k < n; k++) {
        grad[x + k] += upstream * slopeOfFactor(data[y + k]);
        grad[y + k] += upstream * slopeOfFactor(data[x + k]);
      }
    } else {
      for (let k = 0; k < n; k++) {
        grad[x + xs[k]] += upstream * slopeOfFactor(data[y + ys[k]]);
        grad[y + ys[k]] += upstream * slopeOfFactor(data[x + xs[k]]);
      }
    }
    if (xIsResult) markReached(reached, x, xs);
    if (shared || (yIsResult && dy !== 0)) markReached(reached, y, ys);
    shared = false;
  }
}
