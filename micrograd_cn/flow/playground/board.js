// Show the network's room: the network, the plane, the losses, and what the selected neuron computes.

import { Charts, drawLosses } from "./charts.js";
import { LEAST_POINTS } from "./data.js";
import { neuronName } from "./names.js";
import { Field, Survey, drawPlane } from "./plane.js";
import { MOST_LAYERS, isWritten } from "./settings.js";
import { Wiring, deadNeurons } from "./wiring.js";
import { byId, fieldById, setText } from "../stepper/elements.js";
import { page } from "../stepper/page.js";
import { session } from "../stepper/session.js";
import { bracketed, filled, shown } from "../stepper/text.js";
import { themed } from "../stepper/theme.js";

export const wiring = new Wiring(byId("wires"), () => session.board.trainer && drawBoard(false));
const charts = new Charts(byId("charts"));
// The losses get another size when the text around them is filled in, or the window changes. A canvas that is not drawn
// again is stretched.
new ResizeObserver(([{ target }]) => session.board.trainer && target.clientWidth && drawBoard(true)).observe(
  byId("losses"),
);
export const views = { output: null, survey: null }; // for the network of the present trainer

// Show another trainer.
export function showTrainer() {
  const { trainer, settings } = session.board;
  wiring.show(
    trainer,
    Array.from({ length: trainer.network.sizes[0] }, (_, i) => `x${i + 1}`),
  );
  charts.show(trainer.network);
  views.output = new Field();
  views.survey = new Survey(trainer, settings.data, wiring.fields, views.output);
  refresh();
}

// Show the present state of everything. A hidden room is drawn when it is entered.
export function refresh() {
  if (byId("board").hidden) return;
  const { trainer } = session.board;
  if (trainer.points.length && !trainer.history.length) trainer.gradient([...trainer.points.keys()]);
  views.survey.whole();
  findDead();
  drawBoard(true);
}

export function findDead() {
  session.board.dead = deadNeurons(session.board.trainer);
}

export function drawBoard(all) {
  drawWorld();
  drawWires();
  if (!all) return;
  drawNumbers();
  drawLayers();
}

// Draw the plane as the network, or the selected neuron, sees it. In a frame of a training the samples are the `same`.
export function drawWorld(same = false) {
  const { trainer, point: chosen } = session.board;
  const { points, held } = trainer;
  const lens = shownNeuron();
  const field = lens ? wiring.fields[lens.l][lens.j] : views.output;
  drawPlane(byId("plane"), field, { points, held, chosen }, same);
}

// The neuron that the plane shows, if it does not show the network's answer.
const shownNeuron = () => (session.chosen.hides.has("units") ? null : wiring.lens);

// Say what the plane shows.
function tellPlane() {
  const { words, board } = session;
  const hint = byId("plane_hint");
  hint.dataset.word = shownNeuron() ? "plane_neuron" : "plane_hint";
  setText(hint, words[hint.dataset.word]);
  const label = filled(words.plane_label, { number: board.point + 1, count: board.trainer.points.length });
  byId("plane").setAttribute("aria-label", `${hint.textContent} ${label}`);
}

export const showsGradients = () => byId("show_grads").getAttribute("aria-pressed") === "true";

// Draw the weights or their gradients, and tell those of the selected neuron.
function drawWires() {
  wiring.draw(showsGradients(), session.words);
  tellLens();
  tellPlane();
}

// Draw the weights of the next layers, at least `count` of them.
export function drawSomeWires(count) {
  if (wiring.drawNext(count)) tellLens();
}

// Measure the losses on all samples, draw them, and tell how far the training is.
export function drawNumbers() {
  const { trainer } = session.board;
  trainer.take();
  drawLosses(byId("losses"), trainer, session.words);
  tellState();
}

// Draw the histograms of each layer, tell their numbers, and mark the neurons that are dead.
function drawLayers() {
  charts.draw();
  tellLayers();
}

export const drawNextLayer = () => charts.drawNext();

export function tellLayers() {
  charts.tell(session.words);
  wiring.mark(session.board.dead, session.words);
}

export function tellState() {
  const {
    words,
    board: { trainer, running, settings, dead },
  } = session;
  const { history: losses, steps, seen, points } = trainer;
  const loss = losses.at(-1);
  setText(byId("run"), running ? words.pause : words.play);
  for (const id of ["run", "one_step", "one_sample", "open_loss", "open_sample"])
    fieldById(id).disabled = points.length < LEAST_POINTS;
  const { all, held } = trainer.curve.at(-1) ?? trainer.take();
  const percent = of => (of ? Math.round(100 * of.right) : "–");
  const told = {
    steps,
    epochs: points.length ? Math.floor(seen / points.length) : 0,
    loss: all ? shown(all.loss) : "–",
    batch: loss === undefined ? "–" : shown(loss),
  };
  const known = { ...told, accuracy: percent(all), held_loss: held ? shown(held.loss) : "–", held: percent(held) };
  setText(byId("state"), filled(words.board_state, known) + (held ? filled(words.board_held, known) : ""));
  byId("painting").hidden = settings.data !== "own";
  byId("plane_hint").hidden = settings.data === "own"; // it would leave no room for the buttons
  byId("losses").setAttribute("aria-label", filled(words.curve, { root: "loss" }));
  tellPlane();
  setText(byId("warning"), warning(losses, points, dead.flat().filter(Boolean).length));
}

function warning(losses, points, deadCount) {
  const { words } = session;
  const mean = some => some.reduce((total, x) => total + x, 0) / Math.max(1, some.length);
  const wrong = Object.keys(isWritten).find(name => fieldById(`b_${name}`).getAttribute("aria-invalid") === "true");
  if (wrong) return filled(words[`wrong_${wrong}`], { layers: MOST_LAYERS, neurons: page.neurons });
  if (points.length < LEAST_POINTS) return words.draw_points;
  if (losses.length && !Number.isFinite(losses.at(-1))) return words.diverged;
  if (losses.length > 20 && mean(losses.slice(-10)) > 3 * mean(losses.slice(0, 10))) return words.grows;
  return deadCount ? filled(words.dead_count, { count: deadCount }) : "";
}

// Tell what the selected neuron computes, with its numbers.
function tellLens() {
  const {
    words,
    board: { trainer, settings },
  } = session;
  const { lens } = wiring;
  const { network } = trainer;
  byId("lens").classList.toggle("empty", !lens);
  byId("open_neuron").disabled = !lens || trainer.points.length < LEAST_POINTS;
  if (!lens) {
    setText(byId("lens_text"), words.lens_hint);
    return;
  }
  const { nin, first, last } = network.layers[lens.l];
  const at = first + lens.j * (nin + 1);
  const { data } = network;
  const name = i => (lens.l ? `h${i + 1}` : `x${i + 1}`);
  const terms = Array.from({ length: nin }, (_, i) => `${bracketed(shown(data[at + i]))}·${name(i)}`);
  const text = `${terms.join(" + ")} + ${bracketed(shown(data[at + nin]))}`;
  byId("lens_text").textContent =
    `${neuronName(network, lens.l, lens.j, words)}: ${last ? text : `${settings.activation}(${text})`}`;
}

themed.push(refresh);
session.watch(() => byId("wires").classList.toggle("asks", session.chosen.hides.has("units")));
session.watch(({ changes }) => ("lang" in changes || "hides" in changes) && !byId("board").hidden && drawBoard(true));
