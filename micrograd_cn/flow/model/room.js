// The language model's room: settings, the loop, what one types, and what opens in the stepper.

import { cellAt, drawEmbeddings, drawModelLosses } from "./charts.js";
import { Learner, alphabetOf } from "./learner.js";
import { attentionGraph, chanceGraph, lossGraph } from "./opened.js";
import { Random } from "../playground/random.js";
import { addRoom, isSeen, remember, stepThrough } from "../playground/rooms.js";
import { CHOICES, isWritten } from "../playground/settings.js";
import { chooseLeaf } from "../stepper/editing.js";
import { byId, html } from "../stepper/elements.js";
import { around } from "../stepper/fold.js";
import { page } from "../stepper/page.js";
import { session } from "../stepper/session.js";
import { exact, filled, parsed, shown } from "../stepper/text.js";
import { themed } from "../stepper/theme.js";
import { viewport } from "../stepper/viewport.js";

const MODEL_DEFAULTS = {
  words: "names", width: "16", heads: "4", layers: "1", block: "16", rate: "0.01", batch: "1", steps: "1000", seed: "42",
  speed: "full", temperature: "0.5", typed: "em",
};
const MODEL_CHOICES = {
  words: ["names", "own"], width: ["8", "16", "32"], heads: ["1", "2", "4"], layers: ["1", "2"], block: ["8", "16"],
  batch: ["1", "4", "8", "16", "32"], steps: ["300", "1000", "3000", "10000"], speed: CHOICES.speed,
};
const MOST_CHARACTERS = 100;
const MOST_INVENTED = 60; // words that are kept in view
const MOST_IN_LINK = 3000; // characters of one's own words
const MODEL_BUDGET = 10; // milliseconds of training a frame
const PAUSE_BETWEEN_WORDS = 300; // milliseconds

// `text` is what is typed, `at` the position that one looks at: the last one for null. `running` is the request of the next
// frame, `resumes` whether training goes on when one comes back from the stepper.
const model = (session.model = { settings: { ...MODEL_DEFAULTS }, lines: "", learner: null, began: {}, rng: null, invented: [], known: new Set(), characters: 0, at: null, cell: null, running: null, resumes: false, stepped: 0, told: 0, frame: 0 });

const isWrittenOfModel = {
  rate: isWritten.rate,
  seed: isWritten.seed,
  temperature: text => parsed(text) >= 0.1 && parsed(text) <= 2,
};
const fitsModel = (name, text) => MODEL_CHOICES[name]?.includes(text) ?? isWrittenOfModel[name]?.(text) ?? true;

function modelWords() {
  const text = model.settings.words === "own" ? model.lines : page.names;
  return text.split(/\r?\n/).map(line => line.trim()).filter(Boolean);
}

// Begin anew with what is set; without words there is nothing to begin with.
function renewModel() {
  stopModel();
  const words = modelWords(), { settings } = model, number = name => parsed(settings[name]);
  Object.assign(model, { learner: null, known: new Set(words), characters: alphabetOf(words).length, invented: [], cell: null, at: null });
  if (words.length && model.characters <= MOST_CHARACTERS) {
    const given = Object.fromEntries(["width", "heads", "layers", "block", "seed", "rate", "batch", "steps"].map(name => [name, number(name)]));
    model.learner = new Learner(words, given);
    model.began = Object.fromEntries(["words", ...Object.keys(given)].map(name => [name, settings[name]]));
    model.rng = new Random(given.seed + 1);
    const first = [...model.learner.words[0]];
    if (![...settings.typed].every(c => model.learner.number.has(c))) settings.typed = first.slice(0, Math.max(1, first.length >> 1)).join("");
  }
  showInvented();
  showModel();
}

// The tokens of what is typed, as far as the model knows its characters and has room for them.
function typedTokens() {
  const { learner, settings } = model, characters = [...settings.typed], unknown = characters.findIndex(c => !learner.number.has(c));
  const known = unknown < 0 ? characters : characters.slice(0, unknown), room = learner.block - 1;
  const fault = unknown >= 0 ? filled(session.words.m_unknown, { character: characters[unknown] }) : known.length > room ? filled(session.words.m_too_long, { count: room }) : "";
  return { tokens: [learner.end, ...known.slice(0, room).map(c => learner.number.get(c))], fault };
}

const letterOf = token => (model.learner.letters[token] === " " ? "␣" : model.learner.letters[token]);

// Show everything as it is now.
function showModel() {
  const { learner } = model;
  for (const id of ["m_run", "m_step", "m_open_loss", "m_open_text", "m_invent", "m_text"]) byId(id).disabled = !learner;
  byId("m_views").hidden = !learner;
  byId("m_own").hidden = model.settings.words !== "own";
  byId("m_source").textContent = model.settings.words === "names" ? session.words.m_source : "";
  if (learner) {
    showReading();
    drawModelLosses(byId("m_curve"), learner.losses, session.words);
    drawEmbeddings(byId("m_table"), learner, model.cell, new Set(typedTokens().tokens));
    byId("m_curve").setAttribute("aria-label", filled(session.words.curve, { root: "loss" }));
    byId("m_table").setAttribute("aria-label", session.words.m_table_label);
    tellCell();
  }
  tellModel();
}

function tellModel() {
  const { learner, settings } = model;
  byId("m_run").textContent = model.running ? session.words.pause : session.words.play;
  byId("m_temperature_text").textContent = settings.temperature;
  const losses = learner?.losses ?? [], recent = losses.slice(-50), mean = recent.reduce((total, x) => total + x, 0) / recent.length;
  const told = learner && { ...Object.fromEntries(Object.entries({ steps: learner.done, all: learner.steps, count: learner.count }).map(([key, n]) => [key, n.toLocaleString("en")])), loss: recent.length ? shown(mean) : "–" };
  byId("m_state").textContent = learner ? filled(session.words.m_state, told) : "";
  const wrong = ["rate", "seed"].find(name => byId(`m_${name}`).getAttribute("aria-invalid") === "true");
  byId("m_warning").textContent = wrong ? session.words[`wrong_${wrong}`]
    : !model.known.size ? session.words.m_no_words
    : model.characters > MOST_CHARACTERS ? filled(session.words.m_many_characters, { count: model.characters, most: MOST_CHARACTERS })
    : losses.length && !Number.isFinite(losses.at(-1)) ? session.words.diverged
    : learner.done >= learner.steps ? session.words.m_done
    : settings.words === "own" && model.lines.length > MOST_IN_LINK ? filled(session.words.m_long_link, { most: MOST_IN_LINK }) : "";
}

// What is typed: its tokens, the chances of the next one, and what each head attends to.
function showReading() {
  const { learner, settings } = model, { tokens, fault } = typedTokens(), at = Math.min(model.at ?? Infinity, tokens.length - 1);
  const read = tokens.slice(0, at + 1), { chances, attention } = learner.look(read), name = letterOf(read.at(-1));
  byId("m_unknown").textContent = fault;
  byId("m_text").setAttribute("aria-invalid", fault !== "");
  if (document.activeElement !== byId("m_text")) byId("m_text").value = settings.typed;
  byId("m_open_text").disabled = tokens.length < 2;
  fill(byId("m_tokens"), tokens.length, () => html("button", { type: "button" }), (button, i) => {
    setText(button, letterOf(tokens[i]));
    button.setAttribute("aria-pressed", i === at);
  });
  setText(byId("m_chances_title"), filled(session.words.m_chances, { text: read.map(letterOf).join("") }));
  const most = chances.indexOf(Math.max(...chances));
  fill(byId("m_chances"), chances.length, () => html("button", { type: "button" }, html("b"), html("span")), (button, i) => {
    setText(button.firstChild, letterOf(i));
    setText(button.lastChild, inPercent(chances[i]));
    button.style.setProperty("--share", chances[i].toFixed(3));
    button.classList.toggle("most", i === most);
  });
  setText(byId("m_attention_title"), filled(session.words.m_attention, { token: name }));
  const heads = attention.at(-1), table = byId("m_attention");
  fill(table, heads.length + 1, () => html("tr"), (row, h) => {
    fill(row, read.length + 1, i => (h && i ? html("td", {}, html("button", { type: "button" })) : html("th", { scope: h ? "row" : "col" })), (cell, i) => {
      if (!h || !i) return setText(cell, h ? headName(h - 1) : i ? letterOf(read[i - 1]) : session.words.m_corner);
      const share = heads[h - 1][i - 1], button = cell.firstChild;
      setText(button, inPercent(share));
      button.style.setProperty("--share", share.toFixed(3));
      const label = filled(session.words.m_share, { head: headName(h - 1), at: name, seen: letterOf(read[i - 1]), share: inPercent(share) });
      if (button.title !== label) for (const key of ["title", "aria-label"]) button.setAttribute(key, label);
    });
  });
}

const inPercent = x => (Number.isFinite(x) ? `${x < 0.0995 && x >= 0.0005 ? (100 * x).toFixed(1) : Math.round(100 * x)}%` : exact(x));

function headName(h) {
  const { heads, layers } = model.learner;
  return layers === 1 ? filled(session.words.m_head, { head: h + 1 }) : filled(session.words.m_head_of, { head: (h % heads) + 1, layer: Math.floor(h / heads) + 1 });
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// Give an element as many children as are wanted, and change each; those that are there stay.
function fill(element, count, make, change) {
  while (element.children.length > count) element.lastChild.remove();
  while (element.children.length < count) element.append(make(element.children.length));
  [...element.children].forEach(change);
}

// New words, the latest first.
function invent(count) {
  const { learner, rng, settings } = model;
  for (let i = 0; i < count; i++) model.invented.unshift(learner.invent(rng, parsed(settings.temperature)));
  model.invented.length = Math.min(model.invented.length, MOST_INVENTED);
  showInvented();
}

function showInvented() {
  fill(byId("m_invented"), model.invented.length, () => html("li"), (item, i) => {
    setText(item, model.invented[i].replaceAll(" ", "␣") || "–");
    item.classList.toggle("known", model.known.has(model.invented[i]));
    item.title = model.known.has(model.invented[i]) ? session.words.m_known : "";
  });
}

// A frame: as much of training as fits into its budget, and now and then what is seen of it.
function modelTick(now) {
  const { learner, settings } = model, began = performance.now(), wait = 1000 / Number(settings.speed);
  model.running = requestAnimationFrame(modelTick);
  if (settings.speed === "full") do learner.work(); while (performance.now() - began < MODEL_BUDGET && learner.done < learner.steps);
  else {
    if (now - model.stepped < wait) return;
    model.stepped = Math.max(model.stepped + wait, now - wait);
    learner.step();
  }
  if (learner.done >= learner.steps || !Number.isFinite(learner.losses.at(-1) ?? 0)) {
    stopModel();
    invent(10);
    return showModel();
  }
  if (now - model.told > PAUSE_BETWEEN_WORDS) {
    model.told = now;
    invent(1);
  } else if (++model.frame % 6 === 0 || settings.speed !== "full") showModel();
}

export function runModel() {
  if (!model.learner || model.running) return;
  if (model.learner.done >= model.learner.steps) renewModel();
  model.running = requestAnimationFrame(modelTick);
  tellModel();
}

// A batch that is under way is done, so that what is seen is of a step.
function stopModel() {
  if (model.running) cancelAnimationFrame(model.running);
  model.running = null;
  while (model.learner?.ready) model.learner.work();
}

// Into the stepper, from which one comes back to training as it was. The parts around the root are open, or those around
// another node.
function enterModel(made, told, node = made.graph.root) {
  const { graph } = made, open = new Set(around(graph, graph.nodes[node].group));
  model.resumes = model.running !== null;
  stepThrough(made, filled(session.words.m_origin, { told, step: model.learner.done.toLocaleString("en") }));
  session.choose({ open, anchor: null });
  if (node !== graph.root) chooseLeaf(node);
  viewport.bring(session.shape.boxes.filter(box => box.nodes.includes(node)));
  viewport.touched = true; // it stays there while the window takes its size
}

const readNow = () => typedTokens().tokens.slice(0, (model.at ?? Infinity) + 1);
const textOf = tokens => tokens.map(letterOf).join("");

function openWord(word) {
  enterModel(lossGraph(model.learner, word), filled(session.words.m_origin_loss, { word }));
}

function openChance(next) {
  const read = readNow();
  enterModel(chanceGraph(model.learner, read, next), filled(session.words.m_origin_chance, { next: letterOf(next), text: textOf(read) }));
}

export function openAttention(head, seen) {
  const read = readNow();
  const told = filled(session.words.m_origin_attention, { head: headName(head), at: letterOf(read.at(-1)), seen: letterOf(read[seen]), text: textOf(read) });
  enterModel(attentionGraph(model.learner, read, head, seen), told);
}

// The loss of a word that has the token: what is typed, or else the next in training.
function openEmbedding({ token, column }) {
  const { learner, settings } = model, { tokens, fault } = typedTokens(), own = tokens.length > 1 && !fault;
  const has = word => token === learner.end || [...word].slice(0, learner.block - 1).includes(learner.characters[token]);
  const start = learner.done * learner.batch, next = learner.words.map((_, i) => learner.words[(start + i) % learner.words.length]).find(has);
  const word = own && has(settings.typed) ? settings.typed : next;
  if (word === undefined) return;
  const made = lossGraph(learner, word), node = made.graph.nodes.findIndex(({ name }) => name === `wte.${learner.letters[token]}.${column}`);
  enterModel(made, filled(session.words.m_origin_embedding, { word, number: column + 1, token: letterOf(token) }), node);
}

// The usual settings but for these, begun anew; or else, if they are what the model has, going on with it.
export function setUpModel(settings, { keeps }) {
  Object.assign(model.settings, MODEL_DEFAULTS, settings);
  for (const name of Object.keys(MODEL_DEFAULTS)) if (byId(`m_${name}`)) byId(`m_${name}`).value = model.settings[name];
  byId("m_text").value = model.settings.typed;
  model.at = null;
  if (keeps && isUsual(model.learner)) showModel();
  else renewModel();
}

const isUsual = learner => learner !== null && Object.entries(model.began).every(([name, value]) => MODEL_DEFAULTS[name] === value);

// What each head attends to at the chosen position.
export const modelShares = () => model.learner.look(readNow()).attention.at(-1);

function setModel(name, value) {
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
  },
  m_step: () => {
    stopModel();
    if (model.learner.done >= model.learner.steps) return;
    model.learner.step();
    showModel();
  },
  m_reset: renewModel,
  m_invent: () => invent(10),
  m_open_loss: () => openWord(model.learner.next()[0]),
  m_open_text: () => openWord([...model.settings.typed].slice(0, typedTokens().tokens.length - 1).join("")),
};
for (const [id, command] of Object.entries(modelCommands)) byId(id).addEventListener("click", command);

const numberAmong = element => [...element.parentElement.children].indexOf(element);
byId("m_tokens").addEventListener("click", event => {
  const button = event.target.closest("button");
  if (!button) return;
  model.at = numberAmong(button);
  showModel();
});
byId("m_chances").addEventListener("click", event => {
  const button = event.target.closest("button");
  if (button) openChance(numberAmong(button));
});
byId("m_attention").addEventListener("click", event => {
  const cell = event.target.closest("td");
  if (cell) openAttention(numberAmong(cell.parentElement) - 1, numberAmong(cell) - 1);
});

// The table of embeddings: the pointer shows a number, a click opens it; the arrows choose, Enter opens.
byId("m_table").addEventListener("pointermove", event => lookAtCell(cellAt(byId("m_table"), model.learner, event)));
byId("m_table").addEventListener("click", event => {
  const cell = cellAt(byId("m_table"), model.learner, event);
  if (cell) openEmbedding(cell);
});
byId("m_table").addEventListener("keydown", event => {
  const by = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key], { learner } = model;
  if (!by && event.key !== "Enter") return;
  event.preventDefault();
  event.stopPropagation();
  const { token, column } = model.cell ?? { token: 0, column: 0 };
  if (!by) return openEmbedding({ token, column });
  const [rows, wide] = [learner.letters.length, learner.width];
  lookAtCell(model.cell ? { token: (token + by[0] + rows) % rows, column: (column + by[1] + wide) % wide } : { token, column });
});

function lookAtCell(cell) {
  model.cell = cell;
  drawEmbeddings(byId("m_table"), model.learner, cell, new Set(typedTokens().tokens));
  tellCell();
}

function tellCell() {
  const { learner, cell } = model;
  if (!cell) return setText(byId("m_cell"), session.words.m_cell_hint);
  const place = learner.weights.wte[cell.token][cell.column];
  setText(byId("m_cell"), filled(session.words.m_cell, { token: letterOf(cell.token), number: cell.column + 1, value: shown(learner.program.data[place]), grad: shown(learner.program.grad[place]) }));
}

byId("m_text").addEventListener("input", () => setModel("typed", byId("m_text").value));
byId("m_lines").addEventListener("input", () => {
  model.lines = byId("m_lines").value;
  remember();
  renewModel();
});
byId("m_temperature").addEventListener("input", () => setModel("temperature", String(Number(byId("m_temperature").value))));

function fillModelFields() {
  for (const [name, values] of Object.entries(MODEL_CHOICES)) {
    const word = { words: "m_words_", speed: "speed_" }[name];
    byId(`m_${name}`).replaceChildren(...values.map(value => html("option", { value, ...(word ? { "data-word": `${word}${value}` } : {}) }, Number(value) >= 1000 ? Number(value).toLocaleString("en") : value)));
  }
  for (const name of [...Object.keys(MODEL_CHOICES), "rate", "seed"]) {
    const field = byId(`m_${name}`);
    field.value = model.settings[name];
    field.addEventListener("input", () => {
      const right = fitsModel(name, field.value);
      field.setAttribute("aria-invalid", !right);
      if (right) setModel(name, field.value);
      else tellModel();
    });
  }
  byId("m_temperature").value = model.settings.temperature;
  byId("m_text").value = model.settings.typed;
  byId("m_lines").value = model.lines;
}

document.addEventListener("keydown", event => {
  if (!isSeen("model") || event.target.matches("button, [role=application]") && event.key !== "ArrowRight") return;
  if (event.target.matches("input, select, textarea") || byId("helping").open) return;
  const command = { " ": "m_run", ArrowRight: "m_step" }[event.key];
  if (!command || !model.learner || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  modelCommands[command]();
});

addRoom("model", {
  panel: "model",
  left: stopModel,
  entered() {
    const { resumes } = model;
    model.resumes = false;
    showModel();
    if (resumes) runModel();
  },
  facts() {
    const { settings, lines } = model;
    return { room: "model", ...settings, ...(settings.words === "own" && lines.length <= MOST_IN_LINK ? { lines } : {}) };
  },
  arrive(link) {
    const { settings } = model;
    for (const name of Object.keys(MODEL_DEFAULTS)) if (link.has(name) && fitsModel(name, link.get(name))) settings[name] = link.get(name);
    model.lines = link.get("lines") ?? "";
    fillModelFields();
    renewModel();
  },
});
themed.push(() => isSeen("model") && showModel());
session.watch(({ changes }) => "lang" in changes && isSeen("model") && showModel());
