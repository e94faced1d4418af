// Show a lesson: its captions one after the other, the question, and the cards of all lessons.

import { LESSONS } from "./lessons.js";
import { remember } from "../playground/rooms.js";
import { byId, html } from "../stepper/elements.js";
import { keep, recall } from "../stepper/kept.js";
import { session } from "../stepper/session.js";

export const isLesson = name => Object.hasOwn(LESSONS, name ?? "");

// Show a caption of a lesson, and set up the state that it is about.
export function showLesson(name, at = 1) {
  session.lesson = { name, at, answer: null };
  LESSONS[name].states[at - 1]();
  tellLesson();
  byId("lesson_next").focus();
  remember();
}

function tellLesson() {
  byId("lesson").hidden = !session.lesson;
  if (!session.lesson) return;
  const { words, lesson: { name, at, answer } } = session, { asks, right, states } = LESSONS[name];
  byId("lesson_title").textContent = words[`lesson_${name}`];
  byId("lesson_at").textContent = `${at} / ${states.length}`;
  byId("lesson_text").textContent = words[`lesson_${name}_${at}`];
  byId("lesson_back").disabled = at === 1;
  byId("lesson_next").disabled = at === states.length;
  byId("lesson_choices").replaceChildren(...(at !== asks ? [] : [1, 2, 3].map(i => {
    const button = html("button", { type: "button" }, words[`lesson_${name}_choice_${i}`]);
    if (answer !== null && i === right) button.className = "right";
    else if (i === answer) button.className = "wrong";
    button.addEventListener("click", () => {
      session.lesson.answer = i;
      tellLesson();
      byId("lesson_next").focus();
    });
    return button;
  })));
  byId("lesson_verdict").textContent = at !== asks || answer === null ? "" : answer === right ? words.lesson_right : words.lesson_wrong;
  byId("lesson_verdict").classList.toggle("wrong", answer !== null && answer !== right);
}

function closeLesson() {
  session.lesson = null;
  tellLesson();
  remember();
}

const turnBy = by => {
  const { name, at } = session.lesson, to = at + by;
  if (to >= 1 && to <= LESSONS[name].states.length) showLesson(name, to);
};

function fillCards() {
  const { words } = session;
  byId("lesson_cards").replaceChildren(...Object.keys(LESSONS).map(name => {
    const card = html("button", { type: "button" }, html("b", {}, words[`lesson_${name}`]), html("span", {}, words[`lesson_${name}_about`]));
    card.addEventListener("click", () => {
      byId("lessons").close();
      showLesson(name);
    });
    return card;
  }));
}

export function offerLessons() {
  fillCards();
  byId("lessons").showModal();
}

// Offer the lessons to a reader who comes for the first time, and not by a link.
export function greet() {
  if (location.hash.length < 2 && recall("lessons", ["seen"]) === null) offerLessons();
}

byId("lessons").addEventListener("close", () => keep("lessons", "seen"));
byId("open_lessons").addEventListener("click", offerLessons);
for (const [id, act] of Object.entries({ lesson_back: () => turnBy(-1), lesson_next: () => turnBy(1), lesson_close: closeLesson })) byId(id).addEventListener("click", act);
document.addEventListener("keydown", event => {
  if (!session.lesson || event.target.matches("input:not([type=range]), textarea, select") || document.querySelector("dialog[open]")) return;
  const act = { n: () => turnBy(1), N: () => turnBy(1), p: () => turnBy(-1), P: () => turnBy(-1), Escape: closeLesson }[event.key];
  if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  act();
});
session.watch(({ changes }) => {
  if (!("lang" in changes)) return;
  tellLesson();
  fillCards();
});
