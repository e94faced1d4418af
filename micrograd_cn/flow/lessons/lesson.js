// Show a lesson: its captions one after the other, the question, and the cards of all lessons. A lesson sets up states
// of its own. When it closes, the page shows again what it showed before the lesson.

import { LESSONS } from "./lessons.js";
import {
  factsOfLesson,
  isNarrow,
  keepRooms,
  quietly,
  remember,
  roomHooks,
  showRoom,
  situations,
  visiting,
} from "../playground/rooms.js";
import { measureBars, reserve } from "../stepper/bars.js";
import { byId, fieldById, html, targetOf } from "../stepper/elements.js";
import { keep, recall } from "../stepper/kept.js";
import { whenThere } from "../stepper/later.js";
import { pause } from "../stepper/moving.js";
import { session } from "../stepper/session.js";
import { filled } from "../stepper/text.js";

export const isLesson = name => Object.hasOwn(LESSONS, name ?? "");

const NAMES = Object.keys(LESSONS);
const answers = new Map(); // the reader's answer in each lesson

reserve(byId("lesson"), "--above");

// Return the parts of the page's data that a lesson needs.
export const partsOf = name => (LESSONS[name].room === "model" ? ["names"] : []);

/**
 * Show a caption of a lesson, and set up the state that it is about. `arrived` is called when this is done. A link may
 * say how many steps the lesson's model has `learned`.
 * @param {string} name
 */
export function showLesson(name, at = 1, { learned = 0, arrived = () => {} } = {}) {
  whenThere(partsOf(name), () => showCaption(name, at, learned, arrived));
}

function showCaption(name, at, learned, arrived) {
  const last = session.lesson;
  const work = last?.work ?? keepRooms();
  at = Math.min(at, LESSONS[name].states.length);
  pause();
  if (last?.name !== name) {
    answers.delete(name);
    LESSONS[name].begins?.();
  }
  const { states, trained = [] } = LESSONS[name];
  const lesson = { name, at, work, start: "", carries: trained.includes(at) };
  session.lesson = lesson;
  if (at === states.length) keep(`lesson_${name}`, "done");
  tellLesson(); // first, because the graph gets the room that the caption leaves
  const change = what => {
    if (session.lesson !== lesson) return; // the reader has gone on
    quietly(what);
    hideAnswer();
    lesson.start = factsOfLesson();
    lookAtSubject();
    byId("lesson_next").focus({ preventScroll: true });
    arrived();
    remember();
  };
  change(() => states[at - 1]({ learned, later: change }));
}

// Hide what the question asks, until it is answered or the reader has gone on.
function hideAnswer() {
  const { name, at } = session.lesson;
  const { asks, hides = [] } = LESSONS[name];
  session.choose({ hides: new Set(at <= asks && !answers.has(name) ? hides : []) });
}

// Bring the element into view that the caption is about. In a narrow window, the page scrolls until the element is just
// below the caption, which sticks to the top.
function lookAtSubject() {
  const { name, at } = session.lesson;
  const subject = byId(LESSONS[name].subjects[at - 1]);
  if (isNarrow()) {
    measureBars();
    subject.scrollIntoView({ block: "start" });
  } else if (subject.closest("#model")) subject.scrollIntoView({ block: "nearest" });
  if (!byId("stepping").hidden) LESSONS[name].looks?.[at]?.();
}

function tellLesson() {
  byId("lesson").hidden = !session.lesson;
  document.body.classList.toggle("learns", session.lesson !== null);
  if (!session.lesson) return;
  const {
    words,
    lesson: { name, at },
  } = session;
  const { asks, right, states } = LESSONS[name];
  const answer = answers.get(name) ?? null;
  const following = NAMES[NAMES.indexOf(name) + 1];
  byId("lesson_title").textContent = words[`lesson_${name}`];
  byId("lesson_at").textContent = `${at} / ${states.length}`;
  byId("lesson_text").textContent = words[`lesson_${name}_${at}`];
  byId("lesson_text").scrollTop = 0;
  byId("lesson_back").disabled = at === 1;
  byId("lesson_next_word").textContent =
    at < states.length
      ? words.lesson_next
      : following
        ? filled(words.lesson_following, { title: words[`lesson_${following}`] })
        : words.lesson_all;
  byId("lesson_choices").replaceChildren(
    ...(at !== asks
      ? []
      : [1, 2, 3].map(i => {
          const button = html("button", { type: "button" }, words[`lesson_${name}_choice_${i}`]);
          if (answer !== null && i === right) button.className = "right";
          else if (i === answer) button.className = "wrong";
          button.addEventListener("click", () => {
            answers.set(name, i);
            tellLesson();
            hideAnswer();
            byId("lesson_next").focus({ preventScroll: true });
          });
          return button;
        })),
  );
  byId("lesson_verdict").textContent =
    at !== asks || answer === null ? "" : answer === right ? words.lesson_right : words.lesson_wrong;
  byId("lesson_verdict").classList.toggle("wrong", answer !== null && answer !== right);
}

// Close the lesson, and restore what the page showed before it. Show the room `to`, or the one before the lesson.
export function closeLesson(to = null) {
  const { work } = session.lesson;
  pause();
  session.lesson = null;
  tellLesson();
  session.choose({ hides: new Set() });
  work();
  if (to) showRoom(to);
  remember();
}

function turnBy(by) {
  const { name, at } = session.lesson;
  const to = at + by;
  const last = LESSONS[name].states.length;
  if (to >= 1 && to <= last) return showLesson(name, to);
  if (to < 1) return;
  const following = NAMES[NAMES.indexOf(name) + 1];
  if (following) visiting(() => showLesson(following));
  else offerLessons();
}

function fillCards() {
  const { words } = session;
  byId("lesson_cards").replaceChildren(
    ...NAMES.map(name => {
      const seen = recall(`lesson_${name}`, ["done"])
        ? html("span", { class: "tick", role: "img", "aria-label": words.lesson_seen }, "✓")
        : "";
      const card = html(
        "button",
        { type: "button" },
        html("b", {}, words[`lesson_${name}`], seen),
        html("span", {}, words[`lesson_${name}_about`]),
      );
      card.addEventListener("click", () => {
        byId("lessons").close();
        visiting(() => showLesson(name));
      });
      return card;
    }),
  );
}

export function offerLessons() {
  fillCards();
  byId("lessons").showModal();
}

situations.unshift(() => {
  // first, because a lesson that closes gives the rooms back
  const { lesson } = session;
  return () => {
    if (session.lesson && session.lesson.name !== lesson?.name) closeLesson();
    if (lesson && (session.lesson?.name !== lesson.name || session.lesson.at !== lesson.at))
      showLesson(lesson.name, lesson.at);
  };
});
roomHooks.leaving = name => {
  if (session.lesson && LESSONS[session.lesson.name].room !== name) closeLesson(name);
};

byId("open_lessons").addEventListener("click", offerLessons);
const lessonCommands = {
  lesson_back: () => turnBy(-1),
  lesson_next: () => turnBy(1),
  lesson_close: () => visiting(() => closeLesson()),
};
for (const [id, act] of Object.entries(lessonCommands)) fieldById(id).addEventListener("click", act);

// A clicker for talks has the keys PageDown and PageUp. It knows nothing of the focus, so these work in fields too.
const LESSON_KEYS = {
  n: "lesson_next",
  N: "lesson_next",
  PageDown: "lesson_next",
  b: "lesson_back",
  B: "lesson_back",
  PageUp: "lesson_back",
  Escape: "lesson_close",
};
document.addEventListener(
  "keydown",
  event => {
    const command = LESSON_KEYS[event.key];
    if (
      !session.lesson ||
      !command ||
      event.ctrlKey ||
      event.metaKey ||
      event.altKey ||
      document.querySelector("dialog[open]")
    )
      return;
    if (targetOf(event).matches("input:not([type=range]), textarea, select") && !event.key.startsWith("Page")) return;
    // An open menu or sheet closes first, and so does a presentation.
    const inner = ':is(#menu, .opens_sheet)[aria-expanded="true"], .presenting';
    if (event.key === "Escape" && document.querySelector(inner)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    lessonCommands[command]();
  },
  { capture: true },
);
session.watch(({ changes }) => {
  if (!("lang" in changes)) return;
  tellLesson();
  fillCards();
});
