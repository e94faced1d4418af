// The settings of the language model's room, which texts are ones, and what is chosen there.

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
export const MOST_CHARACTERS = 100; // different ones that one's own words may have
export const MOST_IN_LINK = 3000; // characters of one's own words

const isWrittenOfModel = {
  rate: isWritten.rate,
  seed: isWritten.seed,
  temperature: text => parsed(text) >= 0.1 && parsed(text) <= 2,
};
export const fitsModel = (name, text) => MODEL_CHOICES[name]?.includes(text) ?? isWrittenOfModel[name]?.(text) ?? true;

// What is chosen and what follows; the session has it beside what the other rooms have.
export const model = (session.model = {
  settings: { ...MODEL_DEFAULTS },
  lines: "", // one's own words
  learner: null, // none without words
  began: {}, // the settings that it has
  known: new Set(), // the words that it learns from
  characters: 0, // different ones in them
  at: null, // the position of what is typed that one looks at; null for the last one
  cell: null, // of the table of embeddings
  rng: null, // of new words
  invented: [], // new words, the latest first
  running: null, // the request of the next frame
  resumes: false, // whether training goes on when one comes back from the stepper
});
