// Train the language model: its words, its weights, and steps of Adam on their mean loss.

import { crossEntropy, gpt, meanOf, shapesOf } from "./gpt.js";
import { updateModel } from "./update.js";
import { Sweeps } from "../playground/sweeps.js";
import { Random } from "../playground/random.js";
import { Recorder, placesOf } from "../playground/recorder.js";

/**
 * Return the characters of some words, in order. The model has a token for each, and one more for the end of a word.
 * @param {string[]} words
 */
export function alphabetOf(words) {
  return [...new Set(words.flatMap(word => [...word]))].sort((a, b) => a.codePointAt(0) - b.codePointAt(0));
}

export class Learner {
  /**
   * The words are shuffled, and a step takes the next `batch` of them.
   * @param {string[]} words
   * @param {Record<string, number>} settings
   */
  constructor(words, { width, heads, layers, block, seed, rate, batch, steps }) {
    const rng = new Random(seed);
    this.words = rng.shuffle([...words]);
    this.characters = alphabetOf(words);
    this.end = this.characters.length;
    this.letters = [...this.characters, ["•", "∎", "◦"].find(c => !this.characters.includes(c)) ?? "\u2022\u2022"];
    this.number = new Map(this.characters.map((c, i) => [c, i]));
    this.width = width;
    this.heads = heads;
    this.layers = layers;
    this.block = block;
    this.rate = rate;
    this.batch = batch;
    this.steps = steps;
    this.done = 0;
    this.ready = 0;
    this.losses = [];
    this.shapes = shapesOf({ width, block, layers, count: this.end + 1 });
    const recorder = new Recorder([], true);
    this.recorder = recorder;
    const weights = Object.fromEntries(
      Object.entries(this.shapes).map(([name, [outputs, inputs]]) => {
        return [
          name,
          Array.from({ length: outputs }, () =>
            Array.from({ length: inputs }, () => recorder.leaf(null, 1, rng.gauss(0, 0.08))),
          ),
        ];
      }),
    );
    this.rng = rng;
    this.count = recorder.nodes.length; // the parameters are in this many first places
    this.weights = Object.fromEntries(Object.entries(weights).map(([name, rows]) => [name, rows.map(placesOf)]));
    const leaves = () => Array.from({ length: block }, () => recorder.leaf(null, 1, 0));
    this.inputs = { tokens: leaves(), targets: leaves() };
    this.tokens = placesOf(this.inputs.tokens);
    this.targets = placesOf(this.inputs.targets);
    this.read = gpt(recorder, weights, this);
    this.sweeps = new Sweeps(recorder);
    this.places = []; // what was recorded at each position, such as logits, attention, and the mean loss up to there
    this.mean = new Float64Array(this.count);
    this.square = new Float64Array(this.count);
  }

  // Return what is recorded for a position. Positions are recorded when a word is long enough for the first time.
  at(position) {
    const { sweeps, recorder, places, inputs } = this;
    while (places.length <= position) {
      const n = places.length;
      const value = this.read(inputs.tokens[n]);
      const logitsEnd = sweeps.extend();
      const entropy = crossEntropy(recorder, value.logits, inputs.targets[n]);
      const loss = meanOf(recorder, [...places.map(each => each.entropy), entropy]).i;
      const logits = placesOf(value.logits);
      const attention = value.attention.map(placesOf);
      const begin = n ? places[n - 1].end : 0;
      places.push({ logits, attention, begin, logitsEnd, entropy, loss, end: sweeps.extend() });
    }
    return places[position];
  }

  // Return the tokens of a word: its characters between two end tokens, cut to the length of the block.
  tokensOf(word) {
    return [this.end, ...[...word].map(c => this.number.get(c)), this.end].slice(0, this.block + 1);
  }

  // Return the mean loss of a word. Its gradient times `share` is added to the gradients of the parameters.
  gradient(word, share) {
    const { sweeps } = this;
    const tokens = this.tokensOf(word);
    const length = tokens.length - 1;
    const { end, loss } = this.at(length - 1);
    const { data } = sweeps;
    for (let i = 0; i < length; i++) {
      data[this.tokens[i]] = tokens[i];
      data[this.targets[i]] = tokens[i + 1];
    }
    sweeps.forward(0, end);
    sweeps.begin(loss, share, this.count);
    sweeps.backward(0, end);
    return data[loss];
  }

  // Return the words of the next step.
  next() {
    return Array.from({ length: this.batch }, (_, i) => this.words[(this.done * this.batch + i) % this.words.length]);
  }

  // Do a part of a step: record a new position, or add the gradient of the next word. After the last word of the batch,
  // update the weights and return the loss of the batch. Before that, return null.
  work() {
    const { sweeps, batch, done } = this;
    const word = this.words[(done * batch + this.ready) % this.words.length];
    const length = this.tokensOf(word).length - 1;
    if (this.places.length < length) {
      this.at(this.places.length);
      return null;
    }
    if (this.ready === 0) {
      sweeps.grad.fill(0, 0, this.count);
      this.total = 0;
    }
    this.total += this.gradient(word, 1 / batch);
    if (++this.ready < batch) return null;
    const rate = this.rate * Math.max(0, 1 - done / this.steps);
    this.done++;
    this.ready = 0;
    updateModel(rate, this.done, sweeps.data.subarray(0, this.count), sweeps.grad, this.mean, this.square);
    const loss = this.total / batch;
    this.losses.push(loss);
    return loss;
  }

  step() {
    let loss = null;
    while (loss === null) loss = this.work();
    return loss;
  }

  // Return what training has changed.
  get made() {
    const { sweeps, count, mean, square, losses, done } = this;
    const [data, grad] = [sweeps.data, sweeps.grad].map(numbers => numbers.subarray(0, count));
    return { sweeps: { data, grad }, mean, square, losses, done };
  }

  // Return what the model says after some tokens: the chances of the next token at a temperature, and the attention of
  // each head at each token.
  look(tokens, temperature = 1) {
    const { sweeps } = this;
    const last = this.at(tokens.length - 1);
    const { data } = sweeps;
    tokens.forEach((token, i) => (data[this.tokens[i]] = token));
    sweeps.forward(0, last.logitsEnd);
    const attention = tokens.map((_, i) => this.places[i].attention.map(shares => shares.map(place => data[place])));
    return {
      chances: chancesOf(
        last.logits.map(place => data[place]),
        temperature,
      ),
      attention,
    };
  }

  // Draw a new word, token by token.
  invent(rng, temperature) {
    const tokens = [this.end];
    while (tokens.length <= this.block) {
      const { sweeps } = this;
      const now = this.at(tokens.length - 1);
      const { data } = sweeps;
      data[this.tokens[tokens.length - 1]] = tokens.at(-1);
      sweeps.forward(now.begin, now.logitsEnd); // the results at the positions before are still there
      const next = drawnFrom(
        rng,
        chancesOf(
          now.logits.map(place => data[place]),
          temperature,
        ),
      );
      if (next === this.end) break;
      tokens.push(next);
    }
    return tokens
      .slice(1)
      .map(token => this.characters[token])
      .join("");
  }
}

function chancesOf(logits, temperature) {
  const top = Math.max(...logits);
  const parts = logits.map(x => Math.exp((x - top) / temperature));
  const total = parts.reduce((added, x) => added + x, 0);
  return parts.map(x => x / total);
}

// Draw an index with the given chances.
function drawnFrom(rng, chances) {
  let left = rng.random();
  for (let i = 0; i < chances.length; i++) {
    left -= chances[i];
    if (left < 0) return i;
  }
  return chances.length - 1;
}
