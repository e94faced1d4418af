// Greet a reader who comes for the first time: a sentence, three ways to begin, and a small backward pass that plays by
// itself until the reader does something.

import { isSeen, visiting } from "./rooms.js";
import { setUpTyping } from "./typing.js";
import { showLesson } from "../lessons/lesson.js";
import { byId, fieldById } from "../stepper/elements.js";
import { keep, recall } from "../stepper/kept.js";
import { still } from "../stepper/motion.js";
import { pause, playTo } from "../stepper/moving.js";
import { session } from "../stepper/session.js";

const SHOWN = ["tanh(w*x + b)", { w: -3, x: 2, b: 6.5 }];
const REST_AT_END = 2600; // milliseconds between two passes

// Play the backward pass, again and again if it `repeats`.
function playBackward(repeats) {
  session.choose({ done: session.graph.order.length, actions: ["backward"], predict: false });
  playTo(
    session.moves.length,
    repeats ? () => (selfPlay.again = setTimeout(() => isSeen("typing") && playBackward(true), REST_AT_END)) : () => {},
  );
}

const selfPlay = { again: null };

function stopShow() {
  for (const kind of TOUCHES) removeEventListener(kind, stopShow, true);
  clearTimeout(selfPlay.again);
  pause();
  byId("narration").setAttribute("aria-live", "polite");
}

const TOUCHES = ["pointerdown", "keydown", "wheel", "touchstart"];

function sayGoodbye() {
  byId("hello").hidden = true;
  keep("greeted", "yes");
}

// Show the expression that is shown at first, without a greeting.
export function showFirst() {
  setUpTyping(...SHOWN);
}

// A reader in a frame, or with a link, came for something else.
export function greet() {
  if (location.hash.length > 1 || recall("greeted", ["yes"]) !== null || window.top !== window) return;
  showFirst();
  byId("hello").hidden = false;
  if (still()) return;
  byId("narration").setAttribute("aria-live", "off"); // nobody has asked for it
  playBackward(true);
  for (const kind of TOUCHES) addEventListener(kind, stopShow, { capture: true, passive: true });
}

const beginnings = {
  watch: () => playBackward(false),
  first_lesson: () => {
    sayGoodbye();
    visiting(() => showLesson("adding"));
  },
  try_own: () => {
    sayGoodbye();
    byId("text").focus();
    byId("text").select();
  },
};
for (const [id, act] of Object.entries(beginnings)) fieldById(id).addEventListener("click", act);
for (const id of ["text", "open_lessons", "tab_board", "tab_model"])
  fieldById(id).addEventListener(id === "text" ? "input" : "click", sayGoodbye);
