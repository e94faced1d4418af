// The lessons. Each caption sets up a state of the page. One caption asks for a prediction, and the last one has
// something to try.

import { modelShares } from "../model/reading.js";
import { learnTo, runModel, setUpModel } from "../model/room.js";
import { model } from "../model/settings.js";
import { lookAt, openAttention } from "../model/stepping.js";
import { wiring } from "../playground/board.js";
import { showRoom } from "../playground/rooms.js";
import { runTraining, setUpTraining } from "../playground/training.js";
import { setUpTyping } from "../playground/typing.js";
import { byId } from "../stepper/elements.js";
import { receiver } from "../stepper/graph.js";
import { largestOf } from "../stepper/lists.js";
import { still } from "../stepper/motion.js";
import { playTo } from "../stepper/moving.js";
import { session } from "../stepper/session.js";

// Show an expression after its forward pass. Then play its backward pass up to the last contribution to the node `to`,
// or to the end if `to` is "end".
function expressionAt(text, values, to = null) {
  showRoom("typing");
  setUpTyping(text, values);
  const { graph } = session;
  const pass = graph.order.length;
  session.choose({ done: pass, actions: ["backward"], edits: new Map(), predict: false });
  if (to === null) return;
  const arrives = session.moves.findLastIndex(
    move => move.kind === "send" && graph.nodes[receiver(graph, move)].name === to,
  );
  const end = to === "end" ? session.moves.length : arrives + 1;
  if (still()) session.choose({ done: end });
  else playTo(end);
}

// Show a network before training, or start its training. The neuron `pinned` is selected.
function networkAt(settings, { runs = false, pinned = null } = {}) {
  showRoom("board");
  setUpTraining({ ...settings, speed: "full" });
  if (pinned) wiring.pin(pinned);
  if (runs) runTraining();
}

const onExpression = (text, values, to) => () => expressionAt(text, values, to);
const NESTED = Array.from({ length: 10 }).reduce(text => `tanh(${text})`, "w*x");
const EIGHT = `${Array(8).fill("w").join("*")} * x`;
const ADDED = ["a*b + a", { a: 2, b: 3 }];
const DEAD = ["relu(w*x + b)", { w: 1, x: 2, b: -3 }];
const DEEP = [NESTED, { w: 1.5, x: 1 }];
const SATURATED = ["tanh(w*x + b)", { w: 4, x: 2, b: 1 }];
const CIRCLES = { data: "circles", layers: "3", activation: "tanh", seed: "8" };
const XOR = { data: "xor", activation: "tanh" };
const NAME = { typed: "emma" };

const typingLesson = states => ({ room: "typing", subjects: states.map(() => "stage"), states });

// The lessons by name. `asks` is the caption with the question, and `right` the right answer, both counted from 1. What
// is in `hides` is hidden until the reader has answered. For each caption, `states` has a function that sets up the
// page, and `subjects` the id of the element that it is about. `begins` is called when a lesson begins. The captions in
// `trained` are about a model that has learned something. `looks` brings boxes into view that a caption is about, if
// they are not the result. A function of `states` gets how many steps the model has learned, as the link says
// (`learned`), and a function that it calls with a change that has to wait (`later`).
export const LESSONS = {
  adding: {
    asks: 2,
    right: 3,
    ...typingLesson([
      onExpression(...ADDED),
      onExpression(...ADDED),
      onExpression(...ADDED, "a"),
      onExpression("a*a*a", { a: 2 }),
    ]),
  },
  dead: {
    asks: 2,
    right: 2,
    hides: ["local"],
    ...typingLesson([
      onExpression(...DEAD),
      onExpression(...DEAD),
      onExpression(...DEAD, "w"),
      onExpression(...DEAD, "end"),
    ]),
  },
  vanishing: {
    asks: 2,
    right: 3,
    ...typingLesson([
      onExpression(...DEEP),
      onExpression(...DEEP),
      onExpression(...DEEP, "x"),
      onExpression(EIGHT, { w: 3, x: 1 }, "end"),
      onExpression(EIGHT, { w: 1, x: 1 }, "end"),
    ]),
  },
  saturated: {
    asks: 2,
    right: 3,
    hides: ["local"],
    ...typingLesson([
      onExpression(...SATURATED),
      onExpression(...SATURATED),
      onExpression(...SATURATED, "w"),
      onExpression(...SATURATED, "end"),
    ]),
  },
  neuron: {
    asks: 2,
    right: 1,
    hides: ["units"],
    room: "board",
    subjects: ["wires", "wires", "plane", "wires", "plane"],
    states: [
      () => networkAt(CIRCLES),
      () => networkAt(CIRCLES),
      () => networkAt(CIRCLES, { pinned: { l: 0, j: 0 } }),
      () => networkAt(CIRCLES, { runs: true }),
      () => networkAt({ ...CIRCLES, layers: "2" }),
    ],
  },
  xor: {
    asks: 2,
    right: 2,
    room: "board",
    subjects: ["plane", "plane", "plane", "plane", "plane"],
    states: [
      () => networkAt({ ...XOR, layers: "1" }),
      () => networkAt({ ...XOR, layers: "1" }),
      () => networkAt({ ...XOR, layers: "1" }, { runs: true }),
      () => networkAt({ ...XOR, layers: "4" }, { runs: true }),
      () => {
        networkAt({ ...XOR, layers: "3" });
        byId("b_more").open = true; // the seed is there
      },
    ],
  },
  attention: {
    asks: 2,
    right: 2,
    hides: ["attention"],
    room: "model",
    subjects: ["m_chances_title", "m_attention_title", "m_attention_title", "stage", "stage", "m_attention_title"],
    begins: () => (pupil.learned = null),
    trained: [4, 5, 6],
    looks: { 4: () => lookAt(({ name }) => /\.(query|key)$/.test(name)) },
    states: [
      () => modelAt({ typed: "e" }),
      () => modelAt(NAME),
      () => modelAt({ ...NAME, speed: "60" }, runModel),
      link => openShare(NAME, link),
      link => openShare(NAME, link),
      link => modelAt({ typed: "anna" }, () => learnTo(stepsOf(link), runModel)),
    ],
  },
};

// The lesson has a model of its own. What it has learned stays when the reader goes back, and begins anew with the
// lesson.
const pupil = { learned: null };

const ENOUGH = 300; // steps after which the heads of the model differ clearly

// Return how many steps the lesson's model learns before a caption about a model that has learned something.
const stepsOf = ({ learned }) => Math.max(learned, ENOUGH);

// Show the language model before training, or call `begins` to start or continue the training of the lesson's model.
function modelAt(settings, begins) {
  showRoom("model");
  if (!begins) return setUpModel(settings);
  pupil.learned = setUpModel(settings, pupil.learned);
  begins();
}

// Open the largest share of attention at the last letter in the stepper. A model that has learned too little for this
// learns first.
function openShare(settings, link) {
  showRoom("model");
  pupil.learned = setUpModel(settings, pupil.learned);
  const open = () => {
    const shares = modelShares();
    const flat = shares.flat();
    const most = flat.indexOf(largestOf(flat));
    openAttention(Math.floor(most / shares[0].length), most % shares[0].length);
  };
  if (model.learner.done >= stepsOf(link)) open();
  else learnTo(stepsOf(link), () => link.later(open));
}
