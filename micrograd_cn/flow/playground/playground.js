// Start the playground: the room that the link names reads the link and is shown.

import { greet, showFirst } from "./hello.js";
import { readLink, numberIn } from "./link.js";
import { followHistory, quietly, remember, rooms, showRoom, showStep } from "./rooms.js";
import { closeLesson, isLesson, partsOf, showLesson } from "../lessons/lesson.js";
import { byId } from "../stepper/elements.js";
import { embed } from "../stepper/embed.js";
import { recall } from "../stepper/kept.js";
import { whenThere } from "../stepper/later.js";
import { page } from "../stepper/page.js";
import { session } from "../stepper/session.js";
import "./chosen.js";
import "../stepper/bars.js";
import "../stepper/failure.js";
import "../stepper/screen.js";
import "../stepper/tape.js";
import "../stepper/learn.js";
import "../stepper/copy.js";
import "../stepper/saving.js";
import "../stepper/controls.js";
import "./typing.js";
import "./sheets.js";
import "./training.js";
import "./painting.js";
import "../model/room.js";
import "./inside.js";

// Show what a link says, when the page has what this needs. Rooms that it does not name keep what they have.
const arrive = link => whenThere(neededFor(link), () => quietly(() => arriveBy(link)));

function neededFor(link) {
  const lesson = link.get("lesson");
  return [
    link.get("lang"),
    ...(link.get("room") === "model" ? ["names"] : []),
    ...(isLesson(lesson) ? partsOf(lesson) : []),
  ];
}

function arriveBy(link) {
  const lang = link.get("lang") ?? "";
  const room = rooms.has(link.get("room")) ? link.get("room") : "typing";
  if (session.lesson) closeLesson();
  if (Object.hasOwn(page.words, lang)) session.chosen.lang = lang;
  embed(link.has("embed"));
  if (isLesson(link.get("lesson"))) {
    session.choose({});
    let late = false; // whether the stepper opens after this function, because a model has to learn first
    const arrived = () => late && showStep(link);
    showLesson(link.get("lesson"), captionOf(link), { learned: numberIn(link, "learned"), arrived });
    const opens = ["text", "room"].some(key => link.has(key)) && rooms.get(session.room).arrive(link);
    if (opens) opens();
    late = true;
  } else {
    const opens = rooms.get(room).arrive(link);
    showRoom(room);
    session.choose({}); // writes the words of the rooms
    if (opens) opens(); // a computation of the room
  }
  if (!byId("stepping").hidden) showStep(link);
  remember();
}

function captionOf(link) {
  const at = Number(link.get("at") ?? 1);
  return Number.isInteger(at) && at >= 1 ? at : 1;
}

for (const room of rooms.values()) room.begin();
if (readLink().has("embed")) showFirst();
arrive(readLink());
followHistory(arrive);
greet();
const spoken = recall("lang", Object.keys(page.later ?? {})); // the language that the reader chose, if its words come later
if (spoken && !readLink().has("lang")) whenThere([spoken], () => session.choose({ lang: spoken }));
byId("unable").remove();
