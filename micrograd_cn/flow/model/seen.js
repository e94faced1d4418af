// Show the language model's room: its state, the losses, the table of embeddings, and new words.

import { SMOOTHED, drawEmbeddings, drawModelLosses } from "./charts.js";
import { fill, letterOf, showReading, typedTokens } from "./reading.js";
import { model, MOST_CHARACTERS, MOST_IN_LINK } from "./settings.js";
import { byId, fieldById, html, setText } from "../stepper/elements.js";
import { session } from "../stepper/session.js";
import { filled, parsed, shown } from "../stepper/text.js";

const MOST_INVENTED = 60; // new words that stay on the page

// Show the present state of everything. A hidden room is drawn when it is entered.
export function showModel() {
  const { learner } = model;
  if (byId("model").hidden) return;
  for (const id of ["m_run", "m_step", "m_open_loss", "m_open_text", "m_invent", "m_text"])
    fieldById(id).disabled = !learner;
  byId("m_views").hidden = !learner;
  byId("m_own").hidden = model.settings.words !== "own";
  byId("m_source").textContent = model.settings.words === "names" ? session.words.m_source : "";
  if (learner) {
    showReading();
    drawCharts();
    showInvented();
    byId("m_curve").setAttribute("aria-label", filled(session.words.curve, { root: "loss" }));
    byId("m_table").setAttribute("aria-label", session.words.m_table_label);
    tellCell();
  }
  tellModel();
}

function drawCharts() {
  drawModelLosses(byId("m_curve"), model.learner.losses, session.words);
  drawEmbeddings(byId("m_table"), model.learner, model.cell, new Set(typedTokens().tokens));
}

// A canvas that is not drawn again when its size changes is stretched. A larger window has the arcs of more heads.
new ResizeObserver(([{ target }]) => model.learner && target.clientWidth && showModel()).observe(byId("m_curve"));

export function tellModel() {
  const { learner, settings } = model;
  const { words } = session;
  byId("m_run").textContent = model.running ? words.pause : words.play;
  byId("m_temperature_text").textContent = settings.temperature;
  const done = Boolean(learner) && learner.done >= learner.steps;
  byId("m_state").textContent = learner ? progress(learner, words) : "";
  for (const id of ["m_run", "m_step"]) {
    fieldById(id).disabled = !learner || done;
    fieldById(id).title = done ? words.m_done : "";
  }
  byId("m_warning").textContent = modelWarning(learner, words);
}

function progress({ done, steps, count, losses }, words) {
  const recent = losses.slice(-SMOOTHED);
  const mean = recent.reduce((total, x) => total + x, 0) / recent.length;
  const [told, all, parameters] = [done, steps, count].map(n => n.toLocaleString("en"));
  return filled(done < steps ? words.m_state : words.m_state_done, {
    steps: told,
    all,
    count: parameters,
    loss: recent.length ? shown(mean) : "–",
  });
}

function modelWarning(learner, words) {
  const { known, characters, lines, settings } = model;
  const wrong = ["rate", "seed"].find(name => fieldById(`m_${name}`).getAttribute("aria-invalid") === "true");
  if (wrong) return words[`wrong_${wrong}`];
  if (!known.size) return words.m_no_words;
  if (characters > MOST_CHARACTERS)
    return filled(words.m_many_characters, { count: characters, most: MOST_CHARACTERS });
  if (!Number.isFinite(learner.losses.at(-1) ?? 0)) return words.diverged;
  if (learner.done >= learner.steps) return "";
  return settings.words === "own" && lines.length > MOST_IN_LINK
    ? filled(words.m_long_link, { most: MOST_IN_LINK })
    : "";
}

// Draw new words, and put the latest one first.
export function invent(count) {
  const { learner, rng, settings } = model;
  for (let i = 0; i < count; i++) model.invented.unshift(learner.invent(rng, parsed(settings.temperature)));
  model.invented.length = Math.min(model.invented.length, MOST_INVENTED);
  showInvented();
}

function showInvented() {
  byId("m_invented_later").hidden = model.invented.length > 0;
  fill(
    byId("m_invented"),
    model.invented.length,
    () => html("li"),
    (item, i) => {
      setText(item, model.invented[i].replaceAll(" ", "␣") || "–");
      item.classList.toggle("known", model.known.has(model.invented[i]));
      item.title = model.known.has(model.invented[i]) ? session.words.m_known : "";
    },
  );
}

export function lookAtCell(cell) {
  model.cell = cell;
  drawEmbeddings(byId("m_table"), model.learner, cell, new Set(typedTokens().tokens));
  tellCell();
}

function tellCell() {
  const { learner, cell } = model;
  const { words } = session;
  if (!cell) return setText(byId("m_cell"), words.m_cell_hint);
  // In the middle of a batch, the gradients are not complete.
  const place = learner.weights.wte[cell.token][cell.column];
  const whole = learner.done > 0 && learner.ready === 0;
  const { data, grad } = learner.sweeps;
  const told = { token: letterOf(cell.token), number: cell.column + 1, value: shown(data[place]) };
  setText(byId("m_cell"), filled(words.m_cell, { ...told, grad: whole ? shown(grad[place]) : "–" }));
}
