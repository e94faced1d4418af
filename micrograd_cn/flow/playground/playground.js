// The beginning: each room reads the link, and the one that it names is shown.

import { readLink } from "./link.js";
import { remember, rooms, showRoom } from "./rooms.js";
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

function arrive() {
  const link = readLink(), lang = link.get("lang") ?? "", room = link.get("room");
  if (Object.hasOwn(page.words, lang)) session.chosen.lang = lang;
  for (const each of rooms.values()) each.arrive(link);
  showRoom(rooms.has(room) ? room : "typing");
  session.choose({}); // the rooms' fields in words
  remember();
}

arrive();
byId("unable").remove();
addEventListener("hashchange", () => location.reload());
