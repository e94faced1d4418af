// Start the playground: the room that the link names reads the link and is shown.

import { readLink } from "./link.js";
import { remember, rooms, showRoom } from "./rooms.js";
import { greet, isLesson, showLesson } from "../lessons/lesson.js";
import { byId } from "../stepper/elements.js";
import { page } from "../stepper/page.js";
import { session } from "../stepper/session.js";
import "./chosen.js";
import "../stepper/screen.js";
import "../stepper/tape.js";
import "../stepper/learn.js";
import "../stepper/copy.js";
import "../stepper/controls.js";
import "./typing.js";
import "./training.js";
import "./painting.js";
import "../model/room.js";

function arrive() {
  const link = readLink(), lang = link.get("lang") ?? "", room = rooms.has(link.get("room")) ? link.get("room") : "typing";
  if (Object.hasOwn(page.words, lang)) session.chosen.lang = lang;
  for (const [name, each] of rooms) each.arrive(name === room ? link : new Map());
  showRoom(room);
  session.choose({}); // writes the words of the rooms
  remember();
  if (isLesson(link.get("lesson"))) showLesson(link.get("lesson"));
  else greet();
}

arrive();
byId("unable").remove();
addEventListener("hashchange", () => location.reload());
