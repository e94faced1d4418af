// Show the stepper. Everything on the screen follows from the session.

import { drag } from "./editing.js";
import { byId, fieldById, html } from "./elements.js";
import { formulaOf } from "./formula.js";
import { momentNow } from "./moment.js";
import { settleIn } from "./motion.js";
import { toggle } from "./opening.js";
import { Picture, placeShape } from "./picture.js";
import { drawPlot } from "./plot.js";
import { session } from "./session.js";
import { fillTables } from "./table.js";
import { filled, piecesOf } from "./text.js";
import { viewport } from "./viewport.js";

// A box has room for its final gradient. In a run of more moves than this, gradients are not computed in advance.
const MANY_MOVES = 4000;

const tags = { en: "en", zh: "zh-CN" }; // HTML's names of the languages

// Make the picture of the present shape. What was there stays in its place, except for what must make room.
function drawPicture(other) {
  const { shape, moves, words, chosen } = session;
  const { picture: last } = viewport;
  const before = new Map(other || !last ? [] : [...last.frames, ...last.boxes].map(each => [each.key, each]));
  const seen = moves.length > MANY_MOVES ? chosen.done : moves.length;
  const view = session.viewAt(seen);
  placeShape(shape, words, view, { vertical: viewport.vertical, tight: viewport.vertical });
  viewport.arrange(shape.size, session.graph.groups.length > 0);
  const picture = new Picture(shape, words, { toggle, drag }, view, viewport);
  viewport.show(picture);
  if (!before.size) return viewport.begin();
  const now = [...picture.frames, ...picture.boxes];
  const stays = now.find(each => each.key === chosen.anchor && before.has(each.key));
  const was = stays && before.get(stays.key);
  const dx = was ? was.x - stays.x : 0;
  const dy = was ? was.y - stays.y : 0;
  viewport.to(viewport.x + dx * viewport.zoom, viewport.y + dy * viewport.zoom);
  settleIn(picture, before, -dx, -dy);
}

viewport.turned = () => {
  if (!session.graph) return;
  session.reshape();
  session.tell({ other: true, anew: true, changes: {} });
};

session.watch(({ other, anew }) => {
  if (anew) drawPicture(other);
  showAll();
});

function showAll() {
  const { position: at, chosen, shape, graph, steps, words } = session;
  const { asking, done, lang } = chosen;
  const { view, seen, told, active, step } = momentNow(session);
  // Setting the language makes the browser lay out the page again, so it is set only when it changes.
  if (document.documentElement.lang !== tags[lang]) document.documentElement.lang = tags[lang];
  translate(words);
  byId("language").lang = tags[lang === "zh" ? "en" : "zh"];
  byId("play").textContent = chosen.timer ? words.pause : words.play;
  // A screen reader reads the narration aloud whenever it is set.
  if (lastTold !== told) {
    byId("narration").replaceChildren(
      ...piecesOf(told).map(([look, text]) => (look ? html("span", { class: look }, text) : text)),
    );
    byId("narration").scrollTop = 0;
    lastTold = told;
  }
  byId("progress").textContent = filled(words.progress, { position: at, count: steps.length });
  byId("scrub").max = String(steps.length);
  byId("scrub").value = String(at);
  byId("scrub").setAttribute("aria-valuetext", byId("progress").textContent);
  byId("start").disabled = done === 0 && !asking && chosen.actions.length === 1;
  for (const id of ["layer_back", "node_back", "back"]) fieldById(id).disabled = done === 0 && !asking;
  for (const id of ["step", "node_step", "layer_step", "end"]) fieldById(id).disabled = at === steps.length;
  for (const id of ["layer_back", "layer_step", "open_all", "close_all"])
    fieldById(id).hidden = graph.groups.length === 0;
  byId("predict").setAttribute("aria-pressed", String(chosen.predict));
  byId("ask").hidden = !asking;
  viewport.root.setAttribute("aria-label", filled(words.graph, { root: graph.nodes[graph.root].name }));
  viewport.picture.update(seen, words, active);
  viewport.bring([...active.boxes].map(i => shape.boxes[i]));
  byId("formula").replaceChildren(...formulaOf(view, step).flatMap(side => [side, " "]));
  drawPlot(byId("plot"), view, step, words);
  fillTables(seen, words);
}

let lastTold = ""; // what the narration shows

/**
 * @param {string} selector
 * @returns {NodeListOf<HTMLElement>}
 */
const allWith = selector => document.querySelectorAll(selector);

// Write all words of the page in the chosen language.
function translate(words) {
  document.title = words.title;
  for (const element of allWith("[data-word]")) {
    const text = words[element.dataset.word];
    if (element.textContent !== text) element.textContent = text;
  }
  for (const element of allWith("[data-hint]")) {
    for (const name of ["title", "aria-label"]) element.setAttribute(name, words[element.dataset.hint]);
  }
  for (const element of allWith("[data-label]")) element.setAttribute("aria-label", words[element.dataset.label]);
}
