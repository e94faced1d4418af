// The lessons. Each caption sets up a state of the page. One caption asks for a prediction, and the last one has
// something to try.

import { modelShares } from "../model/reading.js";
import { finishModel, runModel, setUpModel } from "../model/room.js";
import { openAttention } from "../model/stepping.js";
import { wiring } from "../playground/board.js";
import { showRoom } from "../playground/rooms.js";
import { runTraining, setUpTraining } from "../playground/training.js";
import { setUpTyping } from "../playground/typing.js";
import { byId } from "../stepper/elements.js";
import { session } from "../stepper/session.js";

// Show an expression after its forward pass, or after its backward pass if it has `ended`.
function expressionAt(text, values, ended) {
  showRoom("typing");
  setUpTyping(text, values);
  session.choose({ done: ended ? Infinity : session.graph.order.length, actions: ["backward"], edits: new Map(), open: session.chosen.open });
}

// Show a network before training, or start its training. The neuron `pinned` is selected.
function networkAt(settings, { runs = false, pinned = null } = {}) {
  showRoom("board");
  setUpTraining({ ...settings, speed: "full" });
  if (pinned) wiring.pin(pinned);
  if (runs) runTraining();
}

const atForward = (text, values) => () => expressionAt(text, values, false);
const atEnd = (text, values) => () => expressionAt(text, values, true);
const NESTED = Array.from({ length: 10 }).reduce(text => `tanh(${text})`, "w*x");
const EIGHT = `${Array(8).fill("w").join("*")} * x`;
const CIRCLES = { data: "circles", layers: "4", activation: "tanh" };
const XOR = { data: "xor", activation: "tanh" };
const NAME = { typed: "emma" };

// The lessons by name: the caption that asks, the right choice (both counted from 1), and the states of all captions.
export const LESSONS = {
  adding: {
    asks: 2, right: 3,
    states: [atForward("a*b + a", { a: 2, b: 3 }), atForward("a*b + a", { a: 2, b: 3 }), atEnd("a*b + a", { a: 2, b: 3 }), atForward("a*a*a", { a: 2 })],
  },
  dead: {
    asks: 2, right: 2,
    states: [atForward("relu(w*x + b)", { w: 1, x: 2, b: -3 }), atForward("relu(w*x + b)", { w: 1, x: 2, b: -3 }), atEnd("relu(w*x + b)", { w: 1, x: 2, b: -3 }), atEnd("relu(w*x + b)", { w: 1, x: 2, b: -3 })],
  },
  vanishing: {
    asks: 2, right: 3,
    states: [atForward(NESTED, { w: 1.5, x: 1 }), atForward(NESTED, { w: 1.5, x: 1 }), atEnd(NESTED, { w: 1.5, x: 1 }), atEnd(EIGHT, { w: 3, x: 1 }), atEnd(EIGHT, { w: 1, x: 1 })],
  },
  saturated: {
    asks: 2, right: 3,
    states: [atForward("tanh(w*x + b)", { w: 4, x: 2, b: 1 }), atForward("tanh(w*x + b)", { w: 4, x: 2, b: 1 }), atEnd("tanh(w*x + b)", { w: 4, x: 2, b: 1 }), atEnd("tanh(w*x + b)", { w: 4, x: 2, b: 1 })],
  },
  neuron: {
    asks: 2, right: 1,
    states: [() => networkAt(CIRCLES), () => networkAt(CIRCLES), () => networkAt(CIRCLES, { pinned: { l: 0, j: 0 } }), () => networkAt(CIRCLES, { runs: true }), () => networkAt({ ...CIRCLES, layers: "2" })],
  },
  xor: {
    asks: 2, right: 2,
    states: [() => networkAt({ ...XOR, layers: "1" }), () => networkAt({ ...XOR, layers: "1" }), () => networkAt({ ...XOR, layers: "1" }, { runs: true }), () => networkAt({ ...XOR, layers: "4" }, { runs: true }), () => networkAt({ ...XOR, layers: "2" })],
  },
  attention: {
    asks: 2, right: 2,
    states: [
      () => modelAt({ typed: "e" }),
      () => modelAt(NAME),
      () => modelAt({ ...NAME, speed: "60" }, runModel),
      () => openShare(NAME),
      () => modelAt({ typed: "anna" }, finishModel),
    ],
  },
};

// Show the language model before training, or call `begins` to start or continue training.
function modelAt(settings, begins) {
  showRoom("model");
  setUpModel(settings, { keeps: Boolean(begins) });
  begins?.();
  byId("m_attention").scrollIntoView({ block: "nearest" });
}

// Open the largest share of attention at the last letter in the stepper.
function openShare(settings) {
  showRoom("model");
  setUpModel(settings, { keeps: true });
  const shares = modelShares(), flat = shares.flat(), most = flat.indexOf(Math.max(...flat));
  openAttention(Math.floor(most / shares[0].length), most % shares[0].length);
  if (innerWidth > 700) byId("zoom_fit").click(); // on a phone it would be too small to read
}
