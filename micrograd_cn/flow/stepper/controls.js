// What each button and each key does.

import { byId } from "./elements.js";
import { keep } from "./kept.js";
import {
  addAction, answered, backWhile, go, onWhile, pause, play, playAt, sameLayer, sameNode, stepOn,
} from "./moving.js";
import { closeAll, openAll } from "./opening.js";
import { isRight } from "./question.js";
import { session } from "./session.js";
import { parsed } from "./text.js";
import { switchTheme } from "./theme.js";
import { viewport } from "./viewport.js";

const commands = {
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
  language: () => {
    const { lang, asking } = session.chosen;
    byId("verdict").textContent = "";
    session.choose({ lang: lang === "zh" ? "en" : "zh", asking, anchor: null });
    keep("lang", session.chosen.lang);
  },
  more: () => {
    const all = document.querySelector("footer").classList.toggle("all");
    byId("more").setAttribute("aria-expanded", all);
  },
  help: () => {
    pause();
    byId("helping").showModal();
  },
  reveal: answered,
};
for (const [id, command] of Object.entries(commands)) byId(id).addEventListener("click", command);

byId("ask").addEventListener("submit", event => {
  event.preventDefault();
  const step = session.steps[session.position], given = parsed(byId("answer").value);
  if (given !== null && isRight(given, session.viewAt(step.end), step)) answered();
  else byId("verdict").textContent = session.words.wrong;
});
byId("scrub").addEventListener("input", () => go(session.steps[Number(byId("scrub").value) - 1]?.end ?? 0));
byId("speed").addEventListener("input", () => playAt(Number(byId("speed").value)));

const shortcuts = {
  ArrowRight: "step",
  ArrowLeft: "back",
  PageDown: "layer_step",
  PageUp: "layer_back",
  Home: "start",
  End: "end",
  " ": "play",
  "+": "zoom_in",
  "=": "zoom_in",
  "-": "zoom_out",
  "0": "zoom_fit",
  d: "dark",
  D: "dark",
  l: "language",
  L: "language",
  "?": "help",
};
document.addEventListener("keydown", event => {
  const at = event.target, command = shortcuts[event.key];
  const scrolls = event.key.startsWith("Arrow") && at.closest(".table, [role=tablist], #charts");
  const pressed = event.key === " " && at.matches("button, summary, [role=button]");
  const taken = at.matches("input, select, textarea") || scrolls || pressed || byId("helping").open || byId("stepping").hidden;
  const everywhere = ["language", "dark", "help"].includes(command) && !at.matches("input:not([type=range]), textarea");
  if (!command || (taken && !(everywhere && !byId("helping").open)) || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  const whole = event.shiftKey && { step: "node_step", back: "node_back" }[command];
  commands[whole || command]();
});
