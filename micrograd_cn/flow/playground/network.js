// A multi-layer perceptron and its gradients in flat arrays. The parameters are in the order of the library.
//
// Its backward pass is written out for speed, and takes values and slopes of activations from the rows of the table.
// tests/flow/test_training.py proves that its weights are the library's, and that its gradients are those of the graph
// that computation.js records.

import { Random } from "./random.js";
import { forward, partials } from "../rows.js";
import { sendsTo } from "../stepper/graph.js";
import { page } from "../stepper/page.js";

// Draw weights as micrograd_cn/init.py does.
export const INITIALISERS = {
  uniform: rng => rng.uniform(-1, 1),
  xavier_uniform: (rng, nin, nout) => bounded(rng, Math.sqrt(6 / (nin + nout))),
  xavier_normal: (rng, nin, nout) => rng.gauss(0, Math.sqrt(2 / (nin + nout))),
  kaiming_uniform: (rng, nin) => bounded(rng, Math.sqrt(6 / nin)),
  kaiming_normal: (rng, nin) => rng.gauss(0, Math.sqrt(2 / nin)),
  zeros: () => 0,
};

const bounded = (rng, a) => rng.uniform(-a, a);

export class Network {
  constructor(sizes, activation, initialiser, seed) {
    Object.assign(this, { sizes, activation });
    const rng = new Random(seed), draw = INITIALISERS[initialiser];
    const defaults = page.grammar.functions[activation].parameters.slice(1).map(([, , fallback]) => fallback[0]);
    const value = forward[activation], slopes = partials[activation];
    this.value = x => value(x, ...defaults);
    this.slope = (y, x) => slopes(y, x, ...defaults)[0];
    this.facts = page.operations[activation];
    this.extra = defaults;
    this.layers = sizes.slice(1).map((nout, i) => ({
      nin: sizes[i], nout, last: i === sizes.length - 2,
      sums: new Float64Array(nout), out: new Float64Array(nout), back: new Float64Array(nout),
      reached: new Uint8Array(nout), // whether a gradient has arrived; a neuron that none reaches sends nothing
    }));
    let count = 0;
    for (const layer of this.layers) {
      layer.first = count;
      count += layer.nout * (layer.nin + 1);
    }
    this.data = new Float64Array(count);
    this.grad = new Float64Array(count);
    for (const { nin, nout, first } of this.layers) {
      for (let j = 0; j < nout; j++) for (let i = 0; i < nin; i++) this.data[first + j * (nin + 1) + i] = draw(rng, nin, nout);
    }
  }

  // Return the output for these inputs. The layers keep what backward() needs.
  forward(inputs) {
    let before = inputs;
    for (const { nin, nout, first, last, sums, out } of this.layers) {
      for (let j = 0; j < nout; j++) {
        const at = first + j * (nin + 1);
        let total = this.data[at + nin];
        for (let i = 0; i < nin; i++) total += this.data[at + i] * before[i];
        sums[j] = total;
        out[j] = last ? total : this.value(total);
      }
      before = out;
    }
    return before[0];
  }

  // After forward(inputs), add the gradients of a loss. `upstream` is the derivative of the loss with respect to the
  // output.
  backward(inputs, upstream) {
    this.layers.at(-1).back[0] = upstream;
    this.layers.at(-1).reached[0] = 1;
    for (let l = this.layers.length - 1; l >= 0; l--) {
      const { nin, nout, first, last, sums, out, back, reached } = this.layers[l];
      const below = l ? this.layers[l - 1] : null, before = below ? below.out : inputs;
      below?.back.fill(0);
      below?.reached.fill(0);
      for (let j = 0; j < nout; j++) {
        const slope = last ? 1 : this.slope(out[j], sums[j]);
        if (!reached[j] || !(last || sendsTo(this.facts, 0, slope))) continue;
        const at = first + j * (nin + 1), d = back[j] * slope;
        below?.reached.fill(1);
        for (let i = 0; i < nin; i++) {
          this.grad[at + i] += d * before[i];
          if (below) below.back[i] += d * this.data[at + i];
        }
        this.grad[at + nin] += d;
      }
    }
  }
}
