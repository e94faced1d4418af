// The forward and the reverse sweep over a recording, again and again, as runs of equal operations on one array of
// numbers.
//
// This is the page's backward pass for training. That of stepper/engine.js does the same in the plainest form, one edge
// at a time, and tests/flow/test_sweeps.py proves that both give the same gradients. Here, too, a node that no
// gradient reaches sends nothing, and an operation sends nothing to an operand that it did not select. Slopes are those
// of the table's rows. For speed, sums of products and logarithms of sums are added up in one pass; the rows round
// their sums correctly, so the two may differ by the rounding of a sum.
//
// The number of a node in the recording is its place in the arrays `data` and `grad`. A run is a sequence of equal
// operations whose operands have constant strides: `first` and `count` are the places of its results, `base` and `step`
// are the start and the stride of each operand. If an operand is a sequence, these are the start and the stride of its
// first member, and `tables` has the offsets of all. `results` says which sequences have results of other runs.

import { forward, partials } from "../rows.js";
import { slopeOfFactor, slopeOfLogsumexp, slopeOfSummand } from "./sequences.js";
import { sendsTo } from "../stepper/graph.js";

/** @import { Recorder } from "./recorder.js" */

// The rows call each other through `forward`. It has so many that V8 would look each up in a hash table, unless another
// object inherits from it. Without this line a step of the largest network takes 1.2 to 1.6 times as long.
Object.create(forward);

export class Sweeps {
  /** @param {Recorder} recorder a recording that trains */
  constructor(recorder) {
    this.recorder = recorder;
    this.data = new Float64Array(1 << 14);
    this.grad = new Float64Array(1 << 14);
    this.reached = new Uint8Array(1 << 14); // whether a gradient has arrived
    this.isResult = new Uint8Array(1 << 14);
    this.size = 0; // how many places are taken
    /** @type {OperationRun[]} */
    this.runs = [];
    this.extend();
  }

  // Take over what was recorded since the last time. The recording need not keep it. Return the number of runs.
  extend() {
    const { nodes, data } = this.recorder;
    while (this.data.length < nodes.length) this.grow();
    for (; this.size < nodes.length; this.size++) {
      const [, , , facts, operands, op] = nodes[this.size];
      if (facts) this.operation(op, facts, operands);
      else this.data[this.size] = data[this.size];
      nodes[this.size] = null;
    }
    return this.runs.length;
  }

  grow() {
    for (const name of ["data", "grad", "reached", "isResult"]) {
      const wider = new this[name].constructor(2 * this[name].length);
      wider.set(this[name]);
      this[name] = wider;
    }
  }

  // Tell the operands that are sequences from the others: `at` says which operands the base of a run has, and `ranges`
  // are those of the sequences.
  operation(op, facts, operands) {
    const count = operands.length;
    const half = count >> 1;
    const both = [
      [0, half],
      [half, 2 * half],
    ];
    if (op === "dot" && count % 2) this.record("neuron", operands, [0, half, count - 1], both, { kind: "neuron" });
    else if (op === "dot") this.record("dot", operands, [0, half], both, { kind: "dot" });
    else if (op === "logsumexp") this.record(op, operands, [0], [[0, count]], { kind: "logsumexp" });
    else if (op === "take") this.record(op, operands, [0, 1], [[1, count]], { kind: "take" });
    else {
      const { row } = facts;
      const how = { kind: "map", value: forward[row], slopes: partials[row], facts };
      this.record(op, operands, [...operands.keys()], [], how);
    }
  }

  // Add an operation to the last run if it fits, or else begin a new run.
  record(name, operands, at, ranges, how) {
    const place = this.size;
    const last = this.runs.at(-1);
    const base = at.map(k => operands[k]);
    this.isResult[place] = 1;
    const alike =
      last &&
      last.name === name &&
      last.first + last.count === place &&
      ranges.every((range, k) => hasOffsets(operands, range, last.tables[k]));
    if (alike && last.count === 1) last.step = base.map((x, k) => x - last.base[k]);
    if (alike && base.every((x, k) => x === last.base[k] + last.count * last.step[k])) {
      last.count++;
      last.results = ranges.map((range, k) => last.results[k] || this.hasResult(operands, range));
      return;
    }
    if (alike && last.count === 1) last.step = base.map(() => 0);
    const tables = ranges.map(([from, to]) => Int32Array.from(operands.slice(from, to), x => x - operands[from]));
    this.runs.push({
      name,
      ...how,
      first: place,
      count: 1,
      base,
      step: base.map(() => 0),
      tables,
      even: tables.every(table => table.every((x, i) => x === i)),
      results: ranges.map(range => this.hasResult(operands, range)),
    });
  }

  hasResult(operands, [from, to]) {
    for (let i = from; i < to; i++) if (this.isResult[operands[i]]) return true;
    return false;
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

// Return whether the members of a sequence of operands have these offsets from its first member.
function hasOffsets(operands, [from, to], table) {
  if (to - from !== table.length) return false;
  for (let i = 0; i < table.length; i++) if (operands[from + i] - operands[from] !== table[i]) return false;
  return true;
}

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
