// Train a network: the loss of a batch, its gradient, and a step of the optimiser, all by the library's own formulas.

import { Network } from "./network.js";
import { Random } from "./random.js";
import { updates } from "./updates.js";
import { reversed } from "../stepper/lists.js";
import { page } from "../stepper/page.js";

const MOST_LOSSES = 1 << 15; // of batches that are kept
const MOST_TAKEN = 1000; // points that the curve keeps

export class Trainer {
  /**
   * @param {any} settings
   * @param {Sample[]} points
   * @param {Sample[]} held
   */
  constructor({ layers, activation, initialiser, loss, optimizer, rate, batch, seed }, points, held = []) {
    this.points = points;
    this.held = held;
    this.curve = [];
    this.rate = rate;
    this.batch = batch;
    this.optimizer = optimizer;
    this.lossName = loss;
    this.loss = page.losses[loss];
    this.steps = 0;
    this.seen = 0;
    this.network = new Network(
      [points[0]?.inputs.length ?? 2, ...layers, 1],
      activation,
      initialiser,
      seed,
      page.losses[loss].steps,
    );
    this.rng = new Random(seed + 1);
    this.waiting = [];
    // After the learning rate, the step, the data and the gradients, an optimiser takes the arrays of its state.
    this.state = Array.from({ length: updates[optimizer].length - 4 }, () => new Float64Array(this.network.count));
    this.history = []; // the loss of each batch, or of a long run the mean of `each` batches
    this.each = 1;
    this.added = 0;
    this.waits = 0;
    this.apart = 0;
    this.plain = true; // whether every step took the next batch, so the number of steps tells the weights
  }

  // How many samples the next batch has. A batch of 0 stands for all points.
  get size() {
    const { batch, points } = this;
    return batch > 0 ? Math.min(batch, points.length) : points.length;
  }

  // Return the next samples. The order is shuffled again whenever fewer than `count` are left of it.
  next(count) {
    if (this.waiting.length < count) this.waiting = this.rng.shuffle([...this.points.keys()]);
    return this.waiting.splice(-count).reverse();
  }

  // Return the next batch without using it up. If the order is shuffled for it, the next step takes this order.
  peek() {
    const samples = this.next(this.size);
    this.waiting.push(...reversed(samples));
    return samples;
  }

  /**
   * Take one step with the next batch, or with these samples.
   * @param {number[] | null} given
   */
  step(given = null) {
    const samples = given ?? this.next(this.size);
    if (given) this.plain = false;
    const loss = this.gradient(samples);
    this.steps++;
    this.seen += samples.length;
    const { data, grad } = this.network;
    updates[this.optimizer](this.rate, this.steps, data, grad, ...this.state);
    this.samples = samples;
    this.remember(loss);
    return loss;
  }

  // Keep the loss of a batch. When there are too many, each two neighbours become their mean, so a run may take hours.
  remember(loss) {
    this.added += loss;
    if (++this.waits < this.each) return;
    this.history.push(this.added / this.each);
    this.added = this.waits = 0;
    if (this.history.length < MOST_LOSSES) return;
    this.history = Array.from(
      { length: MOST_LOSSES / 2 },
      (_, i) => (this.history[2 * i] + this.history[2 * i + 1]) / 2,
    );
    this.each *= 2;
  }

  // Return what training has changed.
  get made() {
    const { network, state, rng, waiting, history, each, added, waits, apart, curve, steps, seen, plain, samples } =
      this;
    const { data, grad } = network;
    const losses = { history, each, added, waits, apart, curve };
    return { network: { data, grad }, state: { ...state }, rng, waiting, ...losses, steps, seen, plain, samples };
  }

  // Record the loss and the accuracy on all samples and on the held-out samples, after the present step.
  take() {
    const now = { step: this.steps, all: this.measured(this.points), held: this.measured(this.held) };
    const [before, last] = this.curve.slice(-2);
    if (last ? last.step < before.step + this.apart || last.step === now.step : before?.step === now.step)
      this.curve.pop();
    this.curve.push(now);
    if (this.curve.length > MOST_TAKEN) {
      // keep every second point, and the first and the last one
      this.curve = this.curve.filter((_, i) => i % 2 === 0 || i === MOST_TAKEN);
      this.apart = (2 * (now.step - this.curve[0].step)) / MOST_TAKEN;
    }
    return now;
  }

  /**
   * Return the mean loss of samples, and compute its gradient in the network.
   * @param {number[]} samples
   */
  gradient(samples) {
    const { network, points } = this;
    const share = 1 / samples.length;
    network.grad.fill(0);
    let total = 0;
    for (const i of samples) {
      const { inputs, label } = points[i];
      network.forward(inputs);
      total += network.loss(label);
      network.backward(label, share);
    }
    return total * share;
  }

  /**
   * Return the mean loss of points and the share of right answers, without changing the gradient.
   * @param {Sample[]} points
   * @returns {Measured | null}
   */
  measured(points) {
    let total = 0;
    let right = 0;
    for (const { inputs, label } of points) {
      const output = this.network.forward(inputs);
      total += this.network.loss(label);
      right += Number(this.verdict(output) > 0 === (label === 1));
    }
    return points.length ? { loss: total / points.length, right: right / points.length } : null;
  }

  // Return how sure an output is of a class, from -1 for class 0 to 1 for class 1.
  verdict(output) {
    const { targets, logits } = this.loss;
    const [low, high] = targets;
    return logits ? Math.tanh(output / 2) : Math.max(-1, Math.min(1, (2 * output - low - high) / (high - low)));
  }
}
