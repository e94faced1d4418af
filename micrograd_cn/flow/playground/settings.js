// The settings of a training run, and which texts are valid values.

import { DATA } from "./data.js";
import { INITIALISERS } from "./network.js";
import { updates } from "./updates.js";
import { page } from "../stepper/page.js";
import { parsed } from "../stepper/text.js";

export const DEFAULTS = {
  data: "moons",
  count: "200",
  layers: "8-8",
  activation: "tanh",
  initialiser: "xavier_uniform",
  loss: "binary_cross_entropy_with_logits",
  optimizer: "Adam",
  rate: "0.03",
  batch: "16",
  seed: "0",
  noise: "1",
  speed: "10",
};
export const MOST_LAYERS = 6;

export const CHOICES = {
  data: Object.keys(DATA),
  activation: page.activations,
  initialiser: Object.keys(INITIALISERS),
  loss: Object.keys(page.losses),
  optimizer: Object.keys(updates),
  batch: ["1", "4", "8", "16", "32", "0"], // 0 means all samples
  noise: ["0", "1", "2", "4"], // factors for the usual noise
  speed: ["1", "10", "60", "full"], // steps per second
};

export const sizesOf = text =>
  text
    .split(/[^\d]+/)
    .filter(Boolean)
    .map(Number);
export const isWritten = {
  layers: text =>
    /^\s*\d+(\s*[-,;\s]\s*\d+)*\s*$/.test(text) &&
    sizesOf(text).length > 0 &&
    sizesOf(text).length <= MOST_LAYERS &&
    sizesOf(text).every(n => n >= 1 && n <= page.neurons),
  rate: text => parsed(text) > 0 && parsed(text) < Infinity,
  seed: text => /^\d{1,9}$/.test(text),
};

// Return whether a text is a valid value of a setting.
export function isSetting(name, text) {
  return CHOICES[name]?.includes(text) ?? isWritten[name]?.(text) ?? /^[1-9]\d{0,2}$/.test(text);
}
