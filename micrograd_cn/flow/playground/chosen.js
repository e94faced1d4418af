// Add to the session what the reader has chosen in the playground.

import { DEFAULTS } from "./settings.js";
import { session } from "../stepper/session.js";

/** A graph that was read from a text, with the numbers of its variables. @typedef {Recorded & { text: string, values: Map<string, number> }} Made */

/**
 * The expression, the numbers of its variables, and its graph. If it has none, it has an error or is a number.
 * @typedef {object} Typed
 * @property {string} text
 * @property {Map<string, number>} values
 * @property {Made | null} made
 * @property {import("./expression.js").ReadError | null} error
 * @property {number | null} number
 */

/**
 * @typedef {object} Board
 * @property {Record<string, string>} settings
 * @property {Sample[]} own points that the reader has drawn
 * @property {number} paint the class of the next point
 * @property {import("./train.js").Trainer | null} trainer
 * @property {number} point the chosen sample, which opens in the stepper
 * @property {boolean[][]} dead for each layer, which neurons have gradient 0 at every sample
 * @property {number | null} running the request for the next frame while training runs
 */

session.room = "typing";
session.lesson = null; // the lesson that is shown: its name, the number of the caption, the reader's answer
session.origin = null;
session.typed = { text: "", values: new Map(), made: null, error: null, number: null };
session.board = {
  settings: { ...DEFAULTS },
  own: [],
  paint: 0,
  trainer: null,
  point: 0,
  dead: [],
  running: null,
};
