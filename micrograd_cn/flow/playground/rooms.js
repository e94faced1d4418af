// The rooms of the playground: show one, go from it to the stepper and back, and write it into the link.

import { writeLink } from "./link.js";
import { byId } from "../stepper/elements.js";
import { session } from "../stepper/session.js";

// The rooms by their names. A room has the id of its `panel`, `facts` for a link, and `arrive` to read a link.
// `entered` and `left` are called when it is shown and when it is hidden. Its tab is the button with the id `tab_` and
// the room's name.
export const rooms = new Map();

export function addRoom(name, room) {
  rooms.set(name, room);
  byId(`tab_${name}`).addEventListener("click", () => {
    showRoom(name);
    remember();
  });
}

export function showRoom(name, origin = "") {
  rooms.get(session.room).left?.();
  Object.assign(session, { room: name, origin });
  const panel = origin ? "stepping" : rooms.get(name).panel;
  for (const id of new Set(["stepping", ...[...rooms.values()].map(each => each.panel)])) byId(id).hidden = id !== panel;
  for (const each of rooms.keys()) {
    byId(`tab_${each}`).setAttribute("aria-selected", each === name);
    byId(`tab_${each}`).tabIndex = each === name ? 0 : -1;
  }
  byId("typing").hidden = byId("numbers").hidden = origin !== "";
  byId("origin").hidden = origin === "";
  byId("origin_text").textContent = origin;
  byId("copy_python").hidden = panel !== "stepping";
  if (!origin) rooms.get(name).entered?.();
}

// Open a computation of the present room in the stepper.
export function stepThrough(made, origin) {
  showRoom(session.room, origin);
  session.open([made]);
  byId("return").focus();
}

export const isSeen = room => session.room === room && !session.origin;

export function remember() {
  writeLink(() => {
    const { lesson, room, chosen: { lang } } = session;
    return { ...(lesson ? { lesson: lesson.name } : rooms.get(room).facts()), lang };
  });
}

byId("tabs").addEventListener("keydown", event => {
  const names = [...rooms.keys()], at = names.indexOf(session.room), { key } = event;
  const to = { ArrowLeft: at + names.length - 1, ArrowRight: at + 1, Home: 0, End: names.length - 1 }[key];
  if (to === undefined) return;
  event.preventDefault();
  event.stopPropagation();
  const tab = byId(`tab_${names[to % names.length]}`);
  tab.click();
  tab.focus();
});
byId("return").addEventListener("click", () => {
  showRoom(session.room);
  byId(rooms.get(session.room).panel).querySelector("button").focus();
});
session.watch(({ changes }) => "lang" in changes && remember());
