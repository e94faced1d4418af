// The language model's room: start training with the settings, run it frame by frame, and react to buttons, keys and
// fields.

import { cellAt } from "./charts.js";
import { alphabetOf, Learner } from "./learner.js";
import { typedTokens } from "./reading.js";
import { invent, lookAtCell, showModel, tellModel } from "./seen.js";
import { fitsModel, model, MODEL_CHOICES, MODEL_DEFAULTS, MOST_CHARACTERS, MOST_IN_LINK } from "./settings.js";
import { openAttention, openChance, openEmbedding, openFromLink, openNextWord, openWord } from "./stepping.js";
import { fillFields, showFields } from "../playground/fields.js";
import { Random } from "../playground/random.js";
import { numberIn } from "../playground/link.js";
import { addRoom, isSeen, isTaken, quietly, remember, showStep } from "../playground/rooms.js";
import { giveBack } from "../playground/reload.js";
import { Runner } from "../playground/runner.js";
import { byId, fieldById, targetOf } from "../stepper/elements.js";
import { stoppable } from "../stepper/failure.js";
import { whenThere } from "../stepper/later.js";
import { page } from "../stepper/page.js";
import { session } from "../stepper/session.js";
import { parsed } from "../stepper/text.js";
import { themed } from "../stepper/theme.js";

const MODEL_BUDGET = 10; // milliseconds of training in one frame
const modelPace = { told: 0, frame: 0 }; // the time of the last new word, and frames so far
const PAUSE_BETWEEN_WORDS = 300; // milliseconds between new words
// Where training stops by itself before its last step, and what is called then.
const learningGoal = { at: Infinity, after: () => {} };

function modelWords() {
  if (model.settings.words !== "own") return page.names?.split(" ") ?? []; // they may come later
  return model.lines
    .split(/\r?\n/)
    .map(line => line.trim())
    .filter(Boolean);
}

// Start again with the settings. Without words there is no model.
function renewModel() {
  stopModel();
  const words = modelWords();
  const { settings } = model;
  const number = name => parsed(settings[name]);
  Object.assign(model, {
    learner: null,
    known: new Set(words),
    characters: alphabetOf(words).length,
    invented: [],
    cell: null,
    at: null,
  });
  if (words.length && model.characters <= MOST_CHARACTERS) {
    const given = Object.fromEntries(
      ["width", "heads", "layers", "block", "seed", "rate", "batch", "steps"].map(name => [name, number(name)]),
    );
    model.learner = new Learner(words, given);
    model.rng = new Random(given.seed + 1);
    const first = [...model.learner.words[0]];
    if (![...settings.typed].every(c => model.learner.number.has(c)))
      settings.typed = first.slice(0, Math.max(1, first.length >> 1)).join("");
  }
  showModel();
}

// In each frame, train as long as the budget allows. Show the model, or a new word, now and then.
const modelRunner = new Runner(model, {
  speed: () => (learningGoal.at < Infinity ? "full" : model.settings.speed),
  step: () => model.learner.step(),
  full(began) {
    do model.learner.work();
    while (
      performance.now() - began < MODEL_BUDGET &&
      model.learner.done < Math.min(learningGoal.at, model.learner.steps)
    );
  },
  showFrame(now, speed) {
    const { learner } = model;
    if (learner.done >= learningGoal.at) {
      const { after } = learningGoal;
      stopModel();
      showModel();
      remember();
      return after();
    }
    if (learner.done >= learner.steps || !Number.isFinite(learner.losses.at(-1) ?? 0)) {
      stopModel();
      invent(10);
      remember();
      return showModel();
    }
    if (now - modelPace.told > PAUSE_BETWEEN_WORDS) {
      modelPace.told = now;
      invent(1);
    } else if (++modelPace.frame % 6 === 0 || speed !== "full") showModel();
  },
});

export function runModel() {
  if (!model.learner || model.learner.done >= model.learner.steps) return;
  modelRunner.run();
  tellModel();
}

// Train frame by frame up to a step, so the reader sees it, and then call `then`. If the reader stops the training
// before, `then` is not called.
export function learnTo(step, then = () => {}) {
  const { learner } = model;
  if (!learner || learner.done >= Math.min(step, learner.steps)) return then();
  Object.assign(learningGoal, { at: Math.min(step, learner.steps), after: then });
  runModel();
}

// Stop training. A batch that has begun is finished first, so the page shows the result of a whole step.
function stopModel() {
  modelRunner.stop();
  Object.assign(learningGoal, { at: Infinity, after: () => {} });
  finishBatch();
}

function finishBatch() {
  while (model.learner?.ready) model.learner.work();
}

// Use these settings, and the defaults of all others. Go on with what a model has `learned`, or start with a new one.
// Return what it has learned.
export function setUpModel(settings, learned = null) {
  stopModel();
  Object.assign(model.settings, MODEL_DEFAULTS, settings);
  model.at = null;
  if (learned) Object.assign(model, learned);
  else renewModel();
  showModelSettings();
  showModel();
  const { learner, known, characters, rng, invented } = model;
  return { learner, known, characters, rng, invented };
}

// Return a text of all settings on which the training depends, to find out whether one has changed.
function trainingNow() {
  const { speed, temperature, typed, ...training } = model.settings;
  return JSON.stringify([training, model.lines]);
}

function showModelSettings() {
  showFields("m_", model.settings);
  byId("m_text").value = model.settings.typed;
  byId("m_lines").value = model.lines;
}

export function setModel(name, value) {
  model.settings[name] = value;
  remember();
  if (name === "typed") model.at = null;
  if (["speed", "temperature", "typed"].includes(name)) showModel();
  else renewModel();
}

const modelCommands = {
  m_run: () => {
    if (!model.running) return runModel();
    stopModel();
    showModel();
    remember();
  },
  m_step: () => {
    stopModel();
    if (model.learner.done >= model.learner.steps) return;
    model.learner.step();
    showModel();
    remember();
  },
  m_reset: () => {
    renewModel();
    remember();
  },
  m_invent: () => invent(10),
  m_open_loss: openNextWord,
  m_open_text: () => openWord([...model.settings.typed].slice(0, typedTokens().tokens.length - 1).join("")),
};
for (const [id, command] of Object.entries(modelCommands)) fieldById(id).addEventListener("click", command);

const numberAmong = element => [...element.parentElement.children].indexOf(element);
byId("m_tokens").addEventListener("click", event => {
  const button = targetOf(event).closest("button");
  if (!button) return;
  model.at = numberAmong(button);
  showModel();
  remember();
});
byId("m_chances").addEventListener("click", event => {
  const button = targetOf(event).closest("button");
  if (button) openChance(Number(button.dataset.token));
});
function lookAtHead(event) {
  const row = targetOf(event).closest("tr");
  const head = row ? numberAmong(row) - 1 : -1;
  if (head < 0 || model.head === head) return;
  model.head = head;
  showModel();
}
for (const name of ["pointerover", "focusin"]) byId("m_attention").addEventListener(name, lookAtHead);
byId("m_attention").addEventListener("click", event => {
  const cell = targetOf(event).closest("td");
  if (cell) openAttention(numberAmong(cell.parentElement) - 1, numberAmong(cell) - 1);
});

// In the table of embeddings, the pointer or the arrow keys select a number, and a click or Enter opens it.
byId("m_table").addEventListener("pointermove", event => lookAtCell(cellAt(byId("m_table"), model.learner, event)));
byId("m_table").addEventListener("click", event => {
  const cell = cellAt(byId("m_table"), model.learner, event);
  if (cell) openEmbedding(cell);
});
byId("m_table").addEventListener("keydown", event => {
  const by = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
  const { learner } = model;
  if (!by && event.key !== "Enter") return;
  event.preventDefault();
  event.stopPropagation();
  const { token, column } = model.cell ?? { token: 0, column: 0 };
  if (!by) return openEmbedding({ token, column });
  const [rows, wide] = [learner.letters.length, learner.width];
  lookAtCell(
    model.cell ? { token: (token + by[0] + rows) % rows, column: (column + by[1] + wide) % wide } : { token, column },
  );
});

byId("m_text").addEventListener("input", () => setModel("typed", byId("m_text").value));
byId("m_lines").addEventListener("input", () => {
  model.lines = byId("m_lines").value;
  remember();
  renewModel();
});
byId("m_temperature").addEventListener("input", () =>
  setModel("temperature", String(Number(byId("m_temperature").value))),
);

document.addEventListener("keydown", event => {
  const command = { " ": "m_run", ArrowRight: "m_step", PageDown: "m_step" }[event.key];
  if (!command || !model.learner || !isSeen("model") || isTaken(event)) return;
  event.preventDefault();
  modelCommands[command]();
});

addRoom("model", {
  panel: "model",
  left: stopModel,
  entered() {
    whenThere(["names"], () => {
      if (!isSeen("model")) return; // the names came late
      const { resumes } = model;
      model.resumes = false;
      if (model.learner) showModel();
      else renewModel();
      if (resumes) runModel();
    });
  },
  facts() {
    const { settings, lines, learner, at, opened } = model;
    return {
      room: "model",
      ...settings,
      ...(settings.words === "own" && lines.length <= MOST_IN_LINK ? { lines } : {}),
      ...(learner?.done ? { learned: learner.done } : {}),
      ...(at === null ? {} : { token: at }),
      ...(session.origin ? { opens: opened } : {}),
    };
  },
  made() {
    finishBatch();
    const { learner, rng, invented } = model;
    return learner ? { settings: trainingNow(), made: { learner: learner.made, rng, invented } } : undefined;
  },
  keep() {
    const { settings, lines, learner, known, characters, at, cell, rng, invented } = model;
    const before = { lines, learner, known, characters, at, cell, rng, invented: [...invented] };
    const chosen = { ...settings };
    return () => {
      stopModel();
      Object.assign(settings, chosen);
      Object.assign(model, before);
      showModelSettings();
      showModel();
    };
  },
  begin() {
    const words = { words: "m_words_", speed: "speed_" };
    const names = [...Object.keys(MODEL_CHOICES), "rate", "seed"];
    fillFields("m_", { choices: MODEL_CHOICES, names, words, fits: fitsModel, chosen: setModel, refused: tellModel });
    showModelSettings();
    renewModel();
  },
  arrive(link) {
    const { settings } = model;
    const before = trainingNow();
    Object.assign(settings, MODEL_DEFAULTS);
    for (const name of Object.keys(MODEL_DEFAULTS))
      if (link.has(name) && fitsModel(name, link.get(name))) settings[name] = link.get(name);
    model.lines = link.get("lines") ?? "";
    showModelSettings();
    // A lesson goes on with its own model, unless the reader has chosen another one in it.
    if (session.lesson && model.learner && trainingNow() === before) showModel();
    else renewModel();
    if (model.learner && giveBack("model", model)) showModel();
    if (session.lesson) return;
    if (link.has("token")) model.at = numberIn(link, "token");
    const open = () =>
      quietly(() => {
        openFromLink(link.get("opens") ?? "");
        if (session.origin) showStep(link);
      });
    return () => model.learner && learnTo(numberIn(link, "learned"), open);
  },
});
stoppable.push(stopModel);
themed.push(showModel);
session.watch(({ changes }) => ("lang" in changes || "hides" in changes) && showModel());
