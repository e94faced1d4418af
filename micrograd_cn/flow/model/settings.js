// The settings of the language model's room, which texts are valid values, and what the reader has chosen.

import { CHOICES, isWritten } from "../playground/settings.js";
import { session } from "../stepper/session.js";
import { parsed } from "../stepper/text.js";

export const MODEL_DEFAULTS = {
  words: "names",
  width: "16",
  heads: "4",
  layers: "1",
  block: "16",
  rate: "0.01",
  batch: "1",
  steps: "1000",
  seed: "42",
  speed: "full",
  temperature: "0.5",
  typed: "em",
};
export const MODEL_CHOICES = {
  words: ["names", "own"],
  width: ["8", "16", "32"],
  heads: ["1", "2", "4"],
  layers: ["1", "2"],
  block: ["8", "16"],
  batch: ["1", "4", "8", "16", "32"],
  steps: ["300", "1000", "3000", "10000"],
  speed: CHOICES.speed,
};
export const MOST_CHARACTERS = 100; // different characters that the reader's own words may have
export const MOST_IN_LINK = 3000; // characters of the reader's own words that a link keeps

const isWrittenOfModel = {
  rate: isWritten.rate,
  seed: isWritten.seed,
  temperature: text => parsed(text) >= 0.1 && parsed(text) <= 2,
};
export const fitsModel = (name, text) => MODEL_CHOICES[name]?.includes(text) ?? isWrittenOfModel[name]?.(text) ?? true;

/**
 * What the reader has chosen in this room, and what follows from it. It is a part of the session.
 * @typedef {object} Model
 * @property {Record<string, string>} settings
 * @property {string} lines the reader's own words
 * @property {import("./learner.js").Learner | null} learner null if there are no words
 * @property {Set<string>} known the words that the model learns from
 * @property {number} characters how many different characters the words have
 * @property {number | null} at the chosen position in what was typed, or null for the last one
 * @property {number | null} head the head whose attention is drawn, or null for the one that is the most decided
 * @property {{ token: number, column: number } | null} cell the selected number in the table of embeddings
 * @property {import("../playground/random.js").Random | null} rng draws new words
 * @property {string[]} invented the new words, the latest one first
 * @property {number | null} running the request for the next frame while training runs
 * @property {string} opened what is open in the stepper, as a link says it
 * @property {boolean} resumes whether training goes on when the reader returns from the stepper
 */

/** @type {Model} */
export const model = {
  settings: { ...MODEL_DEFAULTS },
  lines: "",
  learner: null,
  known: new Set(),
  characters: 0,
  at: null,
  head: null,
  cell: null,
  rng: null,
  invented: [],
  running: null,
  opened: "",
  resumes: false,
};
session.model = model;
