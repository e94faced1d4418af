// The settings of the language model's room, which texts are valid values, and what the reader has chosen.

import { CHOICES, isWritten } from "../playground/settings.js";
import { session } from "../stepper/session.js";
import { parsed } from "../stepper/text.js";

export const MODEL_DEFAULTS = {
  words: "names", width: "16", heads: "4", layers: "1", block: "16", rate: "0.01", batch: "1", steps: "1000", seed: "42",
  speed: "full", temperature: "0.5", typed: "em",
};
export const MODEL_CHOICES = {
  words: ["names", "own"], width: ["8", "16", "32"], heads: ["1", "2", "4"], layers: ["1", "2"], block: ["8", "16"],
  batch: ["1", "4", "8", "16", "32"], steps: ["300", "1000", "3000", "10000"], speed: CHOICES.speed,
};
export const MOST_CHARACTERS = 100; // different characters that the reader's own words may have
export const MOST_IN_LINK = 3000; // characters of the reader's own words that a link keeps

const isWrittenOfModel = {
  rate: isWritten.rate,
  seed: isWritten.seed,
  temperature: text => parsed(text) >= 0.1 && parsed(text) <= 2,
};
export const fitsModel = (name, text) => MODEL_CHOICES[name]?.includes(text) ?? isWrittenOfModel[name]?.(text) ?? true;

// What the reader has chosen in this room, and what follows from it. It is a part of the session.
export const model = (session.model = {
  settings: { ...MODEL_DEFAULTS },
  lines: "", // the reader's own words
  learner: null, // null if there are no words
  known: new Set(), // the words that the model learns from
  characters: 0, // how many different characters the words have
  at: null, // the chosen position in what was typed, or null for the last one
  head: null, // the head whose attention is drawn, or null for the one that is the most decided
  cell: null, // the selected number in the table of embeddings
  rng: null, // draws new words
  invented: [], // the new words, the latest one first
  running: null, // the request for the next frame while training runs
  resumes: false, // whether training goes on when the reader returns from the stepper
});
