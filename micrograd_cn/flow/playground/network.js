// A multi-layer perceptron and its losses. The parameters are in the order of the library.
//
// The same lines record what trains and the graph that the reader opens. tests/flow/test_training.py proves
// that the weights are the library's, and that both give the same gradients.

import { Sweeps } from "./sweeps.js";
import { Random } from "./random.js";
import { Constant, Recorder, placesOf } from "./recorder.js";
import { partials } from "../rows.js";
import { page } from "../stepper/page.js";

/** @import { Ref } from "./recorder.js" */

/**
 * Record the network. `weights` has the places of each neuron's weights and bias, layer by layer. Return the output,
 * and the sums and the results of each layer. The last layer has no activation.
 * @param {Recorder} to
 * @param {Ref[][][]} weights
 * @param {Ref[]} inputs
 * @param {{ activation: string, extra: number[] }} kind
 * @returns {{ sums: Ref[], out: Ref[] }[]}
 */
export function recordNetwork(to, weights, inputs, { activation, extra }) {
  const layers = [];
  const constants = extra.map(x => new Constant(x));
  for (const [l, neurons] of weights.entries()) {
    const before = l ? layers[l - 1].out : inputs;
    const sums = [];
    const last = l === weights.length - 1;
    const add = j => (sums[j] = to.dot(neurons[j].slice(0, -1), before, null, neurons[j].at(-1)));
    const activate = (_, total) => to.apply(activation, [total, ...constants]);
    layers.push({
      sums,
      out: to.within(`layers.${l}`, () =>
        to.alike(neurons.length, j => `neurons.${j}`, last ? [add] : [add, activate]),
      ),
    });
  }
  return layers;
}

/**
 * Record the loss of an output. flow/playground.py says what the steps are.
 * @param {Recorder} to
 * @param {LossStep[]} steps
 * @param {Ref} output
 * @returns {Ref}
 */
export function recordLoss(to, steps, output) {
  const values = [output];
  for (const [name, operands] of steps)
    values.push(
      to.apply(
        name,
        operands.map(x => (Array.isArray(x) ? new Constant(x[0]) : values[x])),
      ),
    );
  return values.at(-1);
}

/**
 * A layer: its sizes, whether it is the last one, the place of its first weight, its sums and results, and the
 * gradients of the results.
 * @typedef {{ nin: number, nout: number, last: boolean, first: number }} Sizes
 * @typedef {Sizes & { sums: Float64Array, out: Float64Array, back: Float64Array }} Layer
 */

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
  /**
   * `losses` has the steps of the loss for each class.
   * @param {number[]} sizes
   * @param {string} activation
   * @param {string} initialiser
   * @param {number} seed
   * @param {LossStep[][]} losses
   */
  constructor(sizes, activation, initialiser, seed, losses = []) {
    this.sizes = sizes;
    this.activation = activation;
    const rng = new Random(seed);
    const draw = INITIALISERS[initialiser];
    const recorder = new Recorder([], true);
    this.extra = page.grammar.functions[activation].parameters.slice(1).map(([, , fallback]) => fallback[0]);
    const slopes = partials[activation];
    this.slope = (y, x) => slopes(y, x, ...this.extra)[0];
    /** @type {Layer[]} */
    this.layers = sizes.slice(1).map((nout, i) => {
      // What is recorded below is filled in when it is.
      return { nin: sizes[i], nout, last: i === sizes.length - 2, first: 0, sums: null, out: null, back: null };
    });
    const weights = this.layers.map(layer => {
      const { nin, nout } = layer;
      layer.first = recorder.nodes.length;
      return Array.from({ length: nout }, () => [
        ...Array.from({ length: nin }, () => recorder.leaf(null, 1, draw(rng, nin, nout))),
        recorder.leaf(null, 1, 0),
      ]);
    });
    this.count = recorder.nodes.length;
    const inputs = Array.from({ length: sizes[0] }, () => recorder.leaf(null, 1, 0));
    this.inputs = placesOf(inputs);
    const recorded = recordNetwork(recorder, weights, inputs, this);
    const [output] = recorded.at(-1).out;
    this.output = output.i;
    const sweeps = new Sweeps(recorder);
    this.sweeps = sweeps;
    this.end = sweeps.runs.length;
    this.losses = losses.map(steps => {
      const begin = sweeps.runs.length;
      const place = recordLoss(recorder, steps, output).i;
      return { begin, place, end: sweeps.extend() };
    });
    // The arrays are no longer replaced, and the results of a layer are side by side.
    this.data = sweeps.data.subarray(0, this.count);
    this.grad = sweeps.grad.subarray(0, this.count);
    /** @param {Ref[]} nodes */
    const side = ([first], { nout }, numbers = sweeps.data) => numbers.subarray(first.i, first.i + nout);
    this.layers.forEach((layer, l) => {
      const { sums, out } = recorded[l];
      Object.assign(layer, { sums: side(sums, layer), out: side(out, layer), back: side(out, layer, sweeps.grad) });
    });
  }

  // Return the output for these inputs. The sweeps keep what gradient() needs.
  forward(inputs) {
    const { sweeps } = this;
    for (let i = 0; i < inputs.length; i++) sweeps.data[this.inputs[i]] = inputs[i];
    sweeps.forward(0, this.end);
    return sweeps.data[this.output];
  }

  // After forward(inputs), return the loss for a class.
  loss(label) {
    const { begin, place, end } = this.losses[label];
    this.sweeps.forward(begin, end);
    return this.sweeps.data[place];
  }

  // After loss(label), add `share` times its gradient to the gradients of the parameters.
  backward(label, share) {
    const { sweeps, output } = this;
    const { begin, place, end } = this.losses[label];
    sweeps.begin(place, 1, this.count);
    sweeps.backward(begin, end);
    sweeps.grad[output] *= share;
    sweeps.backward(0, this.end);
  }

  // After forward(inputs), add the gradients of something whose derivative with respect to the output is `upstream`.
  backwardFrom(upstream) {
    this.sweeps.begin(this.output, upstream, this.count);
    this.sweeps.backward(0, this.end);
  }
}
