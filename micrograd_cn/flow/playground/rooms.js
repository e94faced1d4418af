// The rooms of the playground: show one, go from it to the stepper and back, and write it into the link. Rooms and what
// they open are entries of the browser's history.

import { flushLink, inHistory, readLink, writeLink } from "./link.js";
import { copying } from "../stepper/copy.js";
import { byId, fieldById, targetOf } from "../stepper/elements.js";
import { openedAtFirst } from "../stepper/fold.js";
import { savings } from "../stepper/saving.js";
import { session } from "../stepper/session.js";
import { viewport } from "../stepper/viewport.js";

// The rooms by their names. A room has the id of its `panel`, and `facts` for a link. `begin` is called once, and
// `arrive` reads a link; it may return a function that opens what the link says, once the room is shown. `keep` returns
// a function that restores what the room has now. `entered` and `left` are called when it is shown and when it is
// hidden. Its tab is the button with the id `tab_` and the room's name.
/** @type {Map<string, Room>} */
export const rooms = new Map();

export const roomHooks = {
  /** Called with the name of the room that a tab will show. @param {string} _name */
  leaving(_name) {},
};

/**
 * @param {string} name
 * @param {Room} room
 */
export function addRoom(name, room) {
  rooms.set(name, room);
  fieldById(`tab_${name}`).addEventListener("click", () =>
    visiting(() => {
      roomHooks.leaving(name);
      showRoom(name);
    }),
  );
}

/**
 * Show a room, or what it has opened in the stepper if `origin` says what this is.
 * @param {string} name
 * @param {(() => string) | null} origin
 */
export function showRoom(name, origin = null) {
  rooms.get(session.room).left?.();
  Object.assign(session, { room: name, origin });
  const panel = origin ? "stepping" : rooms.get(name).panel;
  for (const id of new Set(["stepping", ...[...rooms.values()].map(each => each.panel)]))
    fieldById(id).hidden = id !== panel;
  for (const each of rooms.keys()) {
    fieldById(`tab_${each}`).setAttribute("aria-selected", String(each === name));
    fieldById(`tab_${each}`).tabIndex = each === name ? 0 : -1;
  }
  byId("typing").hidden = byId("numbers").hidden = origin !== null;
  byId("origin").hidden = origin === null;
  tellOrigin();
  // These entries of the menu are about a graph.
  for (const id of ["copy_python", ...Object.keys(savings)]) fieldById(id).hidden = panel !== "stepping";
  if (!origin) rooms.get(name).entered?.();
}

function tellOrigin() {
  byId("origin_text").textContent = session.origin?.() ?? "";
}

/**
 * Open a computation of the present room in the stepper. `prepare` chooses what is open in it.
 * @param {Recorded} made
 * @param {() => string} origin
 */
export function stepThrough(made, origin, prepare = () => {}) {
  visiting(() => {
    showRoom(session.room, origin);
    session.open([made]);
    prepare();
  });
  byId("return").focus();
}

/** @param {string} room */
export const isSeen = room => session.room === room && !session.origin;

/**
 * Return whether a key is meant for what has the focus, or for a dialog, and not for a room. A clicker for talks has
 * PageDown and PageUp; it knows nothing of the focus.
 * @param {KeyboardEvent} event
 */
export function isTaken(event) {
  const { key, ctrlKey, metaKey, altKey } = event;
  const target = targetOf(event);
  if (ctrlKey || metaKey || altKey || document.querySelector("dialog[open]")) return true;
  if (key.startsWith("Page")) return false;
  return (
    target.matches("input, select, textarea") || (key === " " && target.matches("button, summary, [role=application]"))
  );
}

// In a narrow window, the whole page scrolls, and bars stick to its edges.
export const isNarrow = () => matchMedia("(max-width: 980px)").matches;

// Return a function that gives the reader back what all rooms and the stepper have now.
export function keepRooms() {
  const { room, origin } = session;
  const restores = [...rooms.values()].map(each => each.keep());
  const stepper = session.keep();
  return () => {
    for (const restore of restores) restore();
    showRoom(room, origin);
    if (origin || room === "typing") stepper();
  };
}

export function remember() {
  writeLink(() => {
    const {
      lesson,
      chosen: { lang },
    } = session;
    const framed = viewport.embedded ? { embed: 1 } : {};
    if (!lesson) return { ...factsNow(), lang, ...framed };
    const { learned, ...own } = factsNow();
    const given = { lesson: lesson.name, ...(lesson.at > 1 ? { at: lesson.at } : {}) };
    // A lesson sets up its own state. So a link names only the lesson and its caption, until the reader has changed
    // something. It may also say how much the model has learned, which depends on how long the reader has looked on.
    const changed = factsOfLesson() !== lesson.start;
    return { ...given, ...(lesson.carries && learned ? { learned } : {}), ...(changed ? own : {}), lang, ...framed };
  });
}

// Return what a link to a lesson says of the room and of the stepper, to see later whether the reader has changed it.
export function factsOfLesson() {
  const { learned, ...own } = factsNow();
  return JSON.stringify(own);
}

/**
 * Return what a link says of the room and of the stepper.
 * @returns {Record<string, any>}
 */
function factsNow() {
  return { ...rooms.get(session.room).facts(), ...(byId("stepping").hidden ? {} : stepperFacts()) };
}

const MOST_OPEN = 100; // open parts that a link lists

/**
 * Return what the stepper shows, as far as it is not what it shows at first.
 * @returns {Record<string, any>}
 */
function stepperFacts() {
  const {
    graph,
    chosen: { done, actions, predict, open, hides },
  } = session;
  const facts = {};
  const { lesson } = session;
  graph.openedAtFirst ??= openedAtFirst(graph);
  const first = graph.openedAtFirst;
  if (done !== graph.order.length || actions.length !== 1) facts.step = done;
  if (actions.length !== 1) facts.passes = actions.map(action => action[0]).join("");
  if (predict) facts.predict = 1;
  if (hides.size && !lesson) facts.hide = [...hides].join(" ");
  const differs = open.size !== first.size || [...open].some(group => !first.has(group));
  if (differs && open.size <= MOST_OPEN) facts.open = [...open].join(" ");
  return facts;
}

/**
 * Show in the stepper what a link says.
 * @param {Link} link
 */
export function showStep(link) {
  const number = text => (/^\d{1,7}$/.test(text ?? "") ? Number(text) : null);
  const { graph } = session;
  const changes = {};
  if (/^[bz]{1,20}$/.test(link.get("passes") ?? ""))
    changes.actions = [...link.get("passes")].map(c => (c === "b" ? "backward" : "zero"));
  if (number(link.get("step")) !== null) changes.done = number(link.get("step"));
  if (link.get("predict") === "1") changes.predict = true;
  if (link.has("hide"))
    changes.hides = new Set(
      link
        .get("hide")
        .split(" ")
        .filter(each => ["local", "grad"].includes(each)),
    );
  if (link.has("open"))
    changes.open = new Set(
      link
        .get("open")
        .split(" ")
        .map(number)
        .filter(group => graph.groups[group]),
    );
  if (Object.keys(changes).length) session.choose(changes);
}

// What the page shows belongs to the present entry of the history. Each function of `situations` returns a function
// that shows it again.
export const situations = [
  () => {
    const { room, origin } = session;
    const stepper = session.keep();
    return () => {
      if (session.room === room && session.origin === origin && !origin) return;
      showRoom(room, origin);
      if (origin) stepper();
    };
  },
];
const visits = { present: 0, latest: 0, kept: new Map(), quiet: false };

const MOST_VISITS = 30; // entries of the history that are kept as they were; older ones are shown by their address

function keepVisit() {
  visits.kept.delete(visits.present); // the latest one is the last in the map
  visits.kept.set(
    visits.present,
    situations.map(keepNow => keepNow()),
  );
  if (visits.kept.size > MOST_VISITS) visits.kept.delete(visits.kept.keys().next().value);
}

/**
 * Change what is shown in such a way that the browser's Back takes it back.
 * @param {() => void} change
 */
export function visiting(change) {
  if (visits.quiet) return change();
  flushLink();
  keepVisit();
  change();
  visits.present = ++visits.latest;
  inHistory("pushState", { visit: visits.present }, location.hash || undefined);
  remember();
}

/**
 * Change what is shown without an entry of the history, as a link or a caption of a lesson does.
 * @param {() => void} change
 */
export function quietly(change) {
  const before = visits.quiet;
  visits.quiet = true;
  try {
    change();
  } finally {
    visits.quiet = before;
  }
}

// Begin to follow the browser's history. `arriveAt` shows what the address says.
export function followHistory(arriveAt) {
  visits.present = visits.latest = history.state?.visit ?? 0;
  inHistory("replaceState", { visit: visits.present });
  addEventListener("popstate", () => {
    const address = location.hash;
    const known = history.state?.visit ?? null;
    keepVisit();
    if (known !== null && visits.kept.has(known)) {
      visits.present = known;
      for (const restore of visits.kept.get(known)) restore();
    } else {
      visits.present = known ?? ++visits.latest;
      inHistory("replaceState", { visit: visits.present }, address || undefined);
      arriveAt(readLink());
    }
    remember();
  });
}

copying.before = () => {
  remember(); // training changes what a link says in each frame
  flushLink();
};

byId("tabs").addEventListener("keydown", event => {
  const names = [...rooms.keys()];
  const at = names.indexOf(session.room);
  const { key } = event;
  const to = { ArrowLeft: at + names.length - 1, ArrowRight: at + 1, Home: 0, End: names.length - 1 }[key];
  if (to === undefined) return;
  event.preventDefault();
  event.stopPropagation();
  const tab = fieldById(`tab_${names[to % names.length]}`);
  tab.click();
  tab.focus();
});
byId("return").addEventListener("click", () => {
  visiting(() => showRoom(session.room));
  fieldById(rooms.get(session.room).panel).querySelector("button").focus();
});
session.watch(({ changes }) => "lang" in changes && tellOrigin());
session.watch(
  ({ changes }) => ["lang", "done", "open", "predict", "hides", "actions"].some(key => key in changes) && remember(),
);
