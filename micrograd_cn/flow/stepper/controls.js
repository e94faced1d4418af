// What each button and each key does.

import { byId, fieldById, targetOf } from "./elements.js";
import { enlarge } from "./fitting.js";
import { keep } from "./kept.js";
import { whenThere } from "./later.js";
import { openMenu } from "./menu.js";
import {
  addAction,
  answered,
  backWhile,
  go,
  onWhile,
  pause,
  play,
  playAt,
  sameLayer,
  sameNode,
  stepOn,
} from "./moving.js";
import { closeAll, openAll } from "./opening.js";
import { answerOf, isRight } from "./question.js";
import { savings } from "./saving.js";
import { session } from "./session.js";
import { switchTheme } from "./theme.js";
import { viewport } from "./viewport.js";

export const commands = {
  start: () => session.choose({ done: 0, actions: ["backward"] }),
  layer_back: () => backWhile(sameLayer),
  node_back: () => backWhile(sameNode),
  back: () => backWhile(() => false),
  play: () => (session.chosen.timer ? pause() : play()),
  step: stepOn,
  node_step: () => onWhile(sameNode),
  layer_step: () => onWhile(sameLayer),
  end: () => go(session.moves.length),
  again: () => addAction("backward"),
  zero: () => addAction("zero"),
  predict: () => session.choose({ predict: !session.chosen.predict }),
  open_all: openAll,
  close_all: closeAll,
  zoom_in: () => viewport.zoomBy(1.25),
  zoom_out: () => viewport.zoomBy(0.8),
  zoom_fit: () => viewport.fit(),
  dark: switchTheme,
  present: presentOrNot,
  leave: presentOrNot,
  language: () => {
    const other = session.chosen.lang === "zh" ? "en" : "zh";
    whenThere([other], () => {
      byId("verdict").textContent = "";
      session.choose({ lang: other, asking: session.chosen.asking, anchor: null });
      keep("lang", other);
    });
  },
  more: () => {
    const all = document.querySelector("footer").classList.toggle("all");
    byId("more").setAttribute("aria-expanded", String(all));
  },
  help: () => {
    pause();
    openMenu(false);
    const room = byId("stepping").hidden ? session.room : "";
    byId("help_intro").dataset.word = room ? `help_${room}` : "help_intro";
    byId("help_intro").textContent = session.words[byId("help_intro").dataset.word];
    byId("stepper_keys").hidden = room !== "";
    byId("room_keys").hidden = room === "";
    byId("helping").showModal();
  },
  reveal: answered,
};
for (const [id, command] of Object.entries(commands)) fieldById(id).addEventListener("click", command);

byId("ask").addEventListener("submit", event => {
  event.preventDefault();
  const step = session.steps[session.position];
  const given = answerOf(byId("answer").value);
  if (given !== null && isRight(given, session.viewAt(step.end), step)) answered();
  else byId("verdict").textContent = given === null ? session.words.no_answer : session.words.wrong;
});
byId("scrub").addEventListener("input", () => go(session.steps[Number(byId("scrub").value) - 1]?.end ?? 0));
byId("speed").addEventListener("input", () => playAt(Number(byId("speed").value)));

const shortcuts = {
  ArrowRight: "step",
  ArrowLeft: "back",
  PageDown: "step", // as a clicker for talks has it
  PageUp: "back",
  Home: "start",
  End: "end",
  " ": "play",
  "+": "zoom_in",
  "=": "zoom_in",
  "-": "zoom_out",
  0: "zoom_fit",
  d: "dark",
  D: "dark",
  l: "language",
  L: "language",
  s: "save_svg",
  S: "save_svg",
  p: "present",
  P: "present",
  Escape: "leave",
  "?": "help",
};
const EVERYWHERE = ["language", "dark", "help", "present", "leave"]; // commands that every room has

const presents = () => document.documentElement.classList.contains("presenting");

// Show the graph and its caption alone, in large letters, or everything again.
function presentOrNot() {
  const begins = document.documentElement.classList.toggle("presenting");
  byId("present").setAttribute("aria-pressed", String(begins));
  openMenu(false);
  if (document.activeElement === byId("leave")) byId("menu").focus();
  viewport.presented = begins;
  enlarge(begins);
  viewport.turned();
  viewport.begin();
}
document.addEventListener("keydown", event => {
  const { key } = event;
  const at = targetOf(event);
  const command = shortcuts[key];
  if (
    !command ||
    (command === "leave" && !presents()) ||
    event.defaultPrevented ||
    event.ctrlKey ||
    event.metaKey ||
    event.altKey ||
    document.querySelector("dialog[open]")
  )
    return;
  const types = at.matches("input:not([type=range]), textarea, select") && command !== "leave";
  const turnsPage = key.startsWith("Page");
  if (EVERYWHERE.includes(command)) {
    if (types) return;
  } else {
    const scrolls = key.startsWith("Arrow") && at.closest(".table, [role=tablist], #charts");
    const presses = key === " " && at.matches("button, summary, [role=button]");
    // A clicker knows nothing of the focus, so its keys step wherever the focus is.
    const isField = at.matches("input, select, textarea") && !turnsPage;
    if (scrolls || presses || isField || byId("stepping").hidden) return;
  }
  event.preventDefault();
  const [node, layer] = [
    { step: "node_step", back: "node_back" },
    { step: "layer_step", back: "layer_back" },
  ];
  const id = (event.shiftKey && (turnsPage ? layer : node)[command]) || command;
  if (id in savings) fieldById(id).click();
  else commands[id]();
});

// A click beside a dialog closes it.
for (const dialog of document.querySelectorAll("dialog")) {
  dialog.addEventListener("click", event => event.target === dialog && dialog.close());
}
