// Start training with the settings, run it frame by frame, and open its computations in the stepper.

import {
  drawBoard,
  drawNextLayer,
  drawNumbers,
  drawSomeWires,
  drawWorld,
  findDead,
  refresh,
  showTrainer,
  showsGradients,
  tellLayers,
  tellState,
  views,
  wiring,
} from "./board.js";
import { computationOf } from "./computation.js";
import { DATA, LEAST_POINTS, pointOf } from "./data.js";
import { fillFields, showFields } from "./fields.js";
import { GRID } from "./plane.js";
import { Random } from "./random.js";
import { numberIn } from "./link.js";
import { giveBack } from "./reload.js";
import { addRoom, isSeen, isTaken, remember, stepThrough } from "./rooms.js";
import { Runner } from "./runner.js";
import { CHOICES, DEFAULTS, isSetting, sizesOf } from "./settings.js";
import { Trainer } from "./train.js";
import { byId, fieldById } from "../stepper/elements.js";
import { stoppable } from "../stepper/failure.js";
import { around } from "../stepper/fold.js";
import "./chosen.js";
import { session } from "../stepper/session.js";
import { filled, parsed } from "../stepper/text.js";
import { viewport } from "../stepper/viewport.js";

const HELD = 100; // held-out points
const MOST_RETRAINED = 3000; // steps that a link makes again
const MEASURED = 100; // times that the losses on all samples are measured meanwhile
// In one frame at full speed: milliseconds of training, how many steps it has at most, and milliseconds for the fields.
const BUDGET = { training: 5, steps: 4, fields: 2.5 };
const MOST_SHOWN = 10; // With so many steps a second at most, everything is drawn after each step.
const WIRES = 256; // With more steps, so many weights are drawn in a frame: those of one layer of the largest network.
const pace = { frame: 0, swept: false }; // frames so far, and whether the fields are complete after this frame

export function renew() {
  stopTraining();
  const { board } = session;
  const { data, count, layers, activation, initialiser, loss, optimizer, rate, batch, seed, noise } = board.settings;
  const points = data === "own" ? board.own : DATA[data](new Random(Number(seed)), Number(count), Number(noise));
  const held = ["own", "bits"].includes(data) ? [] : DATA[data](new Random(Number(seed) + 2), HELD, Number(noise));
  const given = {
    layers: sizesOf(layers),
    activation,
    initialiser,
    loss,
    optimizer,
    rate: parsed(rate),
    batch: Number(batch),
    seed: Number(seed),
  };
  board.trainer = new Trainer(given, points, held);
  board.point = Math.min(board.point, Math.max(0, points.length - 1));
  showTrainer();
}

// Whether steps follow each other so quickly that the eye sees no difference if not everything is drawn after each.
const isQuick = speed => speed === "full" || Number(speed) > MOST_SHOWN;

// Compute a part of the fields.
function sweepFields() {
  const began = performance.now();
  pace.swept = false;
  for (let rows = 0; rows < GRID / 4 && !pace.swept && performance.now() - began < BUDGET.fields; rows++)
    pace.swept = views.survey.rows(1);
}

// In each frame at full speed, take as many steps as fit into the budget. What is slow is drawn less often, a part in
// each frame, and has a frame without the other parts.
const runner = new Runner(session.board, {
  speed: () => session.board.settings.speed,
  step() {
    session.board.trainer.step();
    if (isQuick(session.board.settings.speed)) sweepFields();
    else views.survey.whole();
  },
  full(began) {
    const { trainer } = session.board;
    let steps = 0;
    let spent = 0;
    do {
      trainer.step();
      steps++;
      spent = performance.now() - began;
    } while (steps < BUDGET.steps && (spent * (steps + 1)) / steps < BUDGET.training); // if another one fits
    sweepFields();
  },
  showFrame(_now, speed) {
    const frame = pace.frame++ % 12;
    if (frame === 5) findDead();
    if (!isQuick(speed)) return drawBoard(true);
    if (pace.swept) drawWorld(true);
    if (frame % 6 === 0) return drawNumbers();
    if (frame % 6 === 3) return tellLayers();
    drawSomeWires(WIRES);
    drawNextLayer();
  },
});

export function runTraining() {
  if (session.board.trainer.points.length < LEAST_POINTS) return;
  runner.run();
  tellState();
}

export const stopTraining = () => runner.stop();

// Take steps without showing them, and measure the losses now and then, so their curves are as after a run.
function retrain(count) {
  const { trainer } = session.board;
  const every = Math.ceil(count / MEASURED);
  trainer.take(); // before the first step
  for (let i = 1; i <= count; i++) {
    trainer.step();
    if (i % every === 0) trainer.take();
  }
}

function takeOne(samples) {
  const { board } = session;
  stopTraining();
  board.trainer.step(samples);
  if (samples) [board.point] = samples;
  refresh();
  remember();
}

const inStepper = { sample: false }; // whether the stepper has the chosen sample, and not a batch

// Open the loss of the chosen sample in the stepper, with the wanted part opened.
export function openSample(wanted) {
  stopTraining();
  inStepper.sample = true;
  const { trainer, point: number } = session.board;
  const made = computationOf(trainer, [number]);
  const group = made.graph.groups.findIndex(each => each.path === wanted);
  const told = { number: number + 1, step: trainer.steps };
  stepThrough(
    made,
    () => filled(session.words.origin_sample, told),
    () => group >= 0 && session.choose({ open: new Set(around(made.graph, group)), anchor: null }),
  );
  if (group < 0) return;
  viewport.picture.root.querySelector(`.scope[data-key="g${group}"]`)?.classList.add("marked");
  const frame = session.shape.frames.find(each => each.group === group);
  if (frame) viewport.bring([frame]);
}

export function openBatch() {
  stopTraining();
  inStepper.sample = false;
  const { trainer } = session.board;
  const samples = trainer.peek();
  const told = { count: samples.length, step: trainer.steps };
  stepThrough(computationOf(trainer, samples), () => filled(session.words.origin_batch, told));
}

export function setTraining(name, value) {
  session.board.settings[name] = value;
  remember();
  if (name !== "speed") renew();
}

// Start again with these settings, and with the defaults of all others.
export function setUpTraining(settings) {
  Object.assign(session.board.settings, DEFAULTS, settings);
  showSettings();
  renew();
}

const showGradients = on => byId("show_grads").setAttribute("aria-pressed", String(on));

const showSettings = () => showFields("b_", session.board.settings);

const boardCommands = {
  run: () => {
    if (!session.board.running) return runTraining();
    stopTraining();
    refresh();
    remember();
  },
  one_step: () => takeOne(),
  one_sample: () => takeOne(session.board.trainer.next(1)),
  reset: () => {
    renew();
    remember();
  },
  open_loss: openBatch,
  open_sample: () => openSample(),
  open_neuron: () => openSample(`layers.${wiring.lens.l}.neurons.${wiring.lens.j}`),
  show_grads: () => {
    showGradients(!showsGradients());
    drawBoard(true);
    remember();
  },
};
for (const [id, command] of Object.entries(boardCommands)) fieldById(id).addEventListener("click", command);

document.addEventListener("keydown", event => {
  const command = { " ": "run", ArrowRight: "one_step", PageDown: "one_step" }[event.key];
  if (!command || !isSeen("board") || isTaken(event)) return;
  event.preventDefault();
  boardCommands[command]();
});

byId("wires").addEventListener("click", remember); // which may have selected a neuron
byId("wires").addEventListener("keydown", event => event.key === "Escape" && remember());

const ownPoints = points => points.map(({ at, label }) => [...at.map(x => x.toFixed(2)), label].join(",")).join(";");

addRoom("board", {
  panel: "board",
  left: stopTraining,
  entered() {
    wiring.arrange();
    refresh();
  },
  facts() {
    const { settings, own } = session.board;
    const {
      trainer: { plain, steps, points },
      point,
    } = session.board;
    /** @type {Record<string, any>} */
    const facts = { room: "board", ...settings };
    if (settings.data === "own") facts.own = ownPoints(own);
    if (plain && steps && steps <= MOST_RETRAINED) facts.trained = steps;
    const { pinned } = wiring;
    if (showsGradients()) facts.grads = 1;
    if (pinned) facts.neuron = `${pinned.l + 1}.${pinned.j + 1}`; // counted from 1, as in the page's texts
    if (session.origin && session.graph.nodes.length && points.length)
      Object.assign(facts, inStepper.sample ? { sample: point + 1 } : { opens: "batch" });
    return facts;
  },
  made() {
    const { settings, own, trainer, point } = session.board;
    return { settings: JSON.stringify([settings, ownPoints(own)]), made: { trainer: trainer.made, point } };
  },
  keep() {
    const { board } = session;
    const { settings, own, trainer, point, paint } = board;
    const { pinned } = wiring;
    const before = { settings: { ...settings }, own: [...own], trainer, point, paint };
    return () => {
      stopTraining();
      own.splice(0, own.length, ...before.own);
      Object.assign(settings, before.settings);
      Object.assign(board, { trainer, point, paint });
      showSettings();
      showTrainer();
      if (pinned) wiring.pin(pinned);
    };
  },
  begin() {
    const words = { data: "data_", loss: "loss_", batch: "batch_", noise: "noise_", speed: "speed_" };
    fillFields("b_", {
      choices: CHOICES,
      names: Object.keys(DEFAULTS),
      words,
      fits: isSetting,
      chosen: setTraining,
      refused: tellState,
    });
    showSettings();
    renew();
  },
  arrive(link) {
    const { settings, own } = session.board;
    const runs = session.lesson && session.board.running; // a caption that shows how a network learns goes on
    Object.assign(settings, DEFAULTS);
    own.length = 0;
    for (const name of Object.keys(DEFAULTS))
      if (link.has(name) && isSetting(name, link.get(name))) settings[name] = link.get(name);
    for (const text of (link.get("own") ?? "").split(";").filter(Boolean)) {
      const [x, y, label] = text.split(",").map(Number);
      if (Number.isFinite(x) && Number.isFinite(y)) own.push(pointOf([x, y], label === 1 ? 1 : 0));
    }
    showGradients(link.get("grads") === "1");
    showSettings();
    renew();
    const { trainer } = session.board;
    const trained = Math.min(numberIn(link, "trained"), MOST_RETRAINED);
    const given = giveBack("board", session.board);
    if (!given && trainer.points.length >= LEAST_POINTS) retrain(trained);
    if (given || trained) showTrainer();
    const [l, j] = (link.get("neuron") ?? "").split(".").map(Number);
    if (wiring.fields[l - 1]?.[j - 1]) wiring.pin({ l: l - 1, j: j - 1 });
    if (link.get("opens") === "batch" && trainer.points.length >= LEAST_POINTS) return openBatch;
    const sample = numberIn(link, "sample");
    if (sample < 1 || sample > trainer.points.length) return () => runs && runTraining();
    session.board.point = sample - 1;
    return () => openSample();
  },
});
stoppable.push(stopTraining);
