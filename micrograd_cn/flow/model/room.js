// The language model's room: settings, the loop, what one types, and what opens in the stepper.

const MODEL_DEFAULTS = {
  words: "names", width: "16", heads: "4", layers: "1", block: "16", rate: "0.01", batch: "1", steps: "1000", seed: "42",
  speed: "full", temperature: "0.5", typed: "em",
};
const MODEL_CHOICES = {
  words: ["names", "own"], width: ["8", "16", "32"], heads: ["1", "2", "4"], layers: ["1", "2"], block: ["8", "16"],
  batch: ["1", "4", "8", "16", "32"], steps: ["300", "1000", "3000", "10000"], speed: SPEEDS,
};
const MOST_CHARACTERS = 100;
const MOST_INVENTED = 60; // words that are kept in view
const MOST_IN_LINK = 3000; // characters of one's own words
const MODEL_BUDGET = 10; // milliseconds of training a frame
const PAUSE_BETWEEN_WORDS = 300; // milliseconds

// `text` is what is typed, `at` the position that one looks at: the last one for null. `running` is the request of the next
// frame, `resumes` whether training goes on when one comes back from the stepper.
const model = { settings: { ...MODEL_DEFAULTS }, lines: "", learner: null, rng: null, invented: [], known: new Set(), characters: 0, at: null, cell: null, running: null, resumes: false, stepped: 0, told: 0, frame: 0 };

const isWrittenOfModel = {
  rate: text => parsed(text) > 0 && parsed(text) < Infinity,
  seed: text => /^\d{1,9}$/.test(text),
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
  const fault = unknown >= 0 ? filled(words.m_unknown, { character: characters[unknown] }) : known.length > room ? filled(words.m_too_long, { count: room }) : "";
  return { tokens: [learner.end, ...known.slice(0, room).map(c => learner.number.get(c))], fault };
}

const letterOf = token => (model.learner.letters[token] === " " ? "␣" : model.learner.letters[token]);

// Show everything as it is now.
function showModel() {
  const { learner } = model;
  for (const id of ["m_run", "m_step", "m_open_loss", "m_open_text", "m_invent", "m_text"]) part(id).disabled = !learner;
  part("m_views").hidden = !learner;
  part("m_own").hidden = model.settings.words !== "own";
  part("m_source").textContent = model.settings.words === "names" ? words.m_source : "";
  if (learner) {
    showReading();
    drawModelLosses(part("m_curve"), learner.losses, words);
    drawEmbeddings(part("m_table"), learner, model.cell, new Set(typedTokens().tokens));
    part("m_curve").setAttribute("aria-label", filled(words.curve, { root: "loss" }));
    part("m_table").setAttribute("aria-label", words.m_table_label);
    tellCell();
  }
  tellModel();
}

function tellModel() {
  const { learner, settings } = model;
  part("m_run").textContent = model.running ? words.pause : words.play;
  part("m_temperature_text").textContent = settings.temperature;
  const losses = learner?.losses ?? [], recent = losses.slice(-50), mean = recent.reduce((sum, x) => sum + x, 0) / recent.length;
  const told = learner && { ...Object.fromEntries(Object.entries({ steps: learner.done, all: learner.steps, count: learner.count }).map(([key, n]) => [key, n.toLocaleString("en")])), loss: recent.length ? shown(mean) : "–" };
  part("m_state").textContent = learner ? filled(words.m_state, told) : "";
  const wrong = ["rate", "seed"].find(name => part(`m_${name}`).getAttribute("aria-invalid") === "true");
  part("m_warning").textContent = wrong ? words[`wrong_${wrong}`]
    : !model.known.size ? words.m_no_words
    : model.characters > MOST_CHARACTERS ? filled(words.m_many_characters, { count: model.characters, most: MOST_CHARACTERS })
    : losses.length && !Number.isFinite(losses.at(-1)) ? words.diverged
    : learner.done >= learner.steps ? words.m_done
    : settings.words === "own" && model.lines.length > MOST_IN_LINK ? filled(words.m_long_link, { most: MOST_IN_LINK }) : "";
}

// What is typed: its tokens, the chances of the next one, and what each head attends to.
function showReading() {
  const { learner, settings } = model, { tokens, fault } = typedTokens(), at = Math.min(model.at ?? Infinity, tokens.length - 1);
  const read = tokens.slice(0, at + 1), { chances, attention } = learner.look(read), name = letterOf(read.at(-1));
  part("m_unknown").textContent = fault;
  part("m_text").setAttribute("aria-invalid", fault !== "");
  if (document.activeElement !== part("m_text")) part("m_text").value = settings.typed;
  part("m_open_text").disabled = tokens.length < 2;
  fill(part("m_tokens"), tokens.length, () => html("button", { type: "button" }), (button, i) => {
    set_text(button, letterOf(tokens[i]));
    button.setAttribute("aria-pressed", i === at);
  });
  set_text(part("m_chances_title"), filled(words.m_chances, { text: read.map(letterOf).join("") }));
  const most = chances.indexOf(Math.max(...chances));
  fill(part("m_chances"), chances.length, () => html("button", { type: "button" }, html("b"), html("span")), (button, i) => {
    set_text(button.firstChild, letterOf(i));
    set_text(button.lastChild, percent(chances[i]));
    button.style.setProperty("--share", chances[i].toFixed(3));
    button.classList.toggle("most", i === most);
  });
  set_text(part("m_attention_title"), filled(words.m_attention, { token: name }));
  const heads = attention.at(-1), table = part("m_attention");
  fill(table, heads.length + 1, () => html("tr"), (row, h) => {
    fill(row, read.length + 1, i => (h && i ? html("td", {}, html("button", { type: "button" })) : html("th", { scope: h ? "row" : "col" })), (cell, i) => {
      if (!h || !i) return set_text(cell, h ? headName(h - 1) : i ? letterOf(read[i - 1]) : words.m_corner);
      const share = heads[h - 1][i - 1], button = cell.firstChild;
      set_text(button, percent(share));
      button.style.setProperty("--share", share.toFixed(3));
      const label = filled(words.m_share, { head: headName(h - 1), at: name, seen: letterOf(read[i - 1]), share: percent(share) });
      if (button.title !== label) for (const key of ["title", "aria-label"]) button.setAttribute(key, label);
    });
  });
}

const percent = x => (Number.isFinite(x) ? `${x < 0.0995 && x >= 0.0005 ? (100 * x).toFixed(1) : Math.round(100 * x)}%` : exact(x));

function headName(h) {
  const { heads, layers } = model.learner;
  return layers === 1 ? filled(words.m_head, { head: h + 1 }) : filled(words.m_head_of, { head: (h % heads) + 1, layer: Math.floor(h / heads) + 1 });
}

function set_text(element, text) {
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
  fill(part("m_invented"), model.invented.length, () => html("li"), (item, i) => {
    set_text(item, model.invented[i].replaceAll(" ", "␣") || "–");
    item.classList.toggle("known", model.known.has(model.invented[i]));
    item.title = model.known.has(model.invented[i]) ? words.m_known : "";
  });
}

// A frame: as much of training as fits into its budget, and now and then what is seen of it.
function modelTick(now) {
  const { learner, settings } = model, began = performance.now(), pace = 1000 / Number(settings.speed);
  model.running = requestAnimationFrame(modelTick);
  if (settings.speed === "full") do learner.work(); while (performance.now() - began < MODEL_BUDGET && learner.done < learner.steps);
  else {
    if (now - model.stepped < pace) return;
    model.stepped = Math.max(model.stepped + pace, now - pace);
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

function runModel() {
  if (!model.learner) return;
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

// Into the stepper, from which one comes back to training as it was.
function enterModel(made, told, node = null) {
  model.resumes = model.running !== null;
  stopModel();
  enter(made, filled(words.m_origin, { told, step: model.learner.done }), "model");
  if (node === null) return;
  const group = made.graph.nodes[node].group;
  choose({ open: new Set(around(made.graph, group)), anchor: null });
  chooseLeaf(node);
  viewport.bring(shape.boxes.filter(box => box.nodes.includes(node)));
  viewport.touched = true; // it stays there while the window takes its size
}

// Show the room; training goes on if it went on when the stepper was opened.
function showModelRoom() {
  const { resumes } = model;
  model.resumes = false;
  showModel();
  if (resumes) runModel();
}

const readNow = () => typedTokens().tokens.slice(0, (model.at ?? Infinity) + 1);
const textOf = tokens => tokens.map(letterOf).join("");

function openWord(word) {
  enterModel(lossGraph(model.learner, word), filled(words.m_origin_loss, { word }));
}

function openChance(next) {
  const read = readNow();
  enterModel(chanceGraph(model.learner, read, next), filled(words.m_origin_chance, { next: letterOf(next), text: textOf(read) }));
}

function openAttention(head, seen) {
  const read = readNow();
  const told = filled(words.m_origin_attention, { head: headName(head), at: letterOf(read.at(-1)), seen: letterOf(read[seen]), text: textOf(read) });
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
  enterModel(made, filled(words.m_origin_embedding, { word, number: column + 1, token: letterOf(token) }), node);
}

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
for (const [id, command] of Object.entries(modelCommands)) part(id).addEventListener("click", command);

const numberAmong = element => [...element.parentElement.children].indexOf(element);
part("m_tokens").addEventListener("click", event => {
  const button = event.target.closest("button");
  if (!button) return;
  model.at = numberAmong(button);
  showModel();
});
part("m_chances").addEventListener("click", event => {
  const button = event.target.closest("button");
  if (button) openChance(numberAmong(button));
});
part("m_attention").addEventListener("click", event => {
  const cell = event.target.closest("td");
  if (cell) openAttention(numberAmong(cell.parentElement) - 1, numberAmong(cell) - 1);
});

// The table of embeddings: the pointer shows a number, a click opens it; the arrows choose, Enter opens.
part("m_table").addEventListener("pointermove", event => lookAtCell(cellAt(part("m_table"), model.learner, event)));
part("m_table").addEventListener("click", event => {
  const cell = cellAt(part("m_table"), model.learner, event);
  if (cell) openEmbedding(cell);
});
part("m_table").addEventListener("keydown", event => {
  const by = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key], { learner } = model;
  if (!by && event.key !== "Enter") return;
  event.preventDefault();
  event.stopPropagation();
  const { token, column } = model.cell ?? { token: 0, column: 0 };
  if (!by) return openEmbedding({ token, column });
  const [rows, columns] = [learner.letters.length, learner.width];
  lookAtCell(model.cell ? { token: (token + by[0] + rows) % rows, column: (column + by[1] + columns) % columns } : { token, column });
});

function lookAtCell(cell) {
  model.cell = cell;
  drawEmbeddings(part("m_table"), model.learner, cell, new Set(typedTokens().tokens));
  tellCell();
}

function tellCell() {
  const { learner, cell } = model;
  if (!cell) return set_text(part("m_cell"), words.m_cell_hint);
  const place = learner.weights.wte[cell.token][cell.column];
  set_text(part("m_cell"), filled(words.m_cell, { token: letterOf(cell.token), number: cell.column + 1, value: shown(learner.program.data[place]), grad: shown(learner.program.grad[place]) }));
}

part("m_text").addEventListener("input", () => setModel("typed", part("m_text").value));
part("m_lines").addEventListener("input", () => {
  model.lines = part("m_lines").value;
  remember();
  renewModel();
});
part("m_temperature").addEventListener("input", () => setModel("temperature", String(Number(part("m_temperature").value))));

function fillModelChoices() {
  for (const [name, values] of Object.entries(MODEL_CHOICES)) {
    const word = { words: "m_words_", speed: "speed_" }[name];
    part(`m_${name}`).replaceChildren(...values.map(value => html("option", { value, ...(word ? { "data-word": `${word}${value}` } : {}) }, Number(value) >= 1000 ? Number(value).toLocaleString("en") : value)));
  }
  for (const name of [...Object.keys(MODEL_CHOICES), "rate", "seed"]) {
    const field = part(`m_${name}`);
    field.value = model.settings[name];
    field.addEventListener("input", () => {
      const right = fitsModel(name, field.value);
      field.setAttribute("aria-invalid", !right);
      if (right) setModel(name, field.value);
      else tellModel();
    });
  }
  part("m_temperature").value = model.settings.temperature;
  part("m_text").value = model.settings.typed;
  part("m_lines").value = model.lines;
}

// What a link says of the room, and what one did.
function modelFacts() {
  const { settings, lines } = model;
  return { ...settings, ...(settings.words === "own" && lines.length <= MOST_IN_LINK ? { lines } : {}) };
}

function readModelFacts(link) {
  for (const name of Object.keys(MODEL_DEFAULTS)) {
    const given = link.get(name);
    if (given !== undefined && fitsModel(name, given)) model.settings[name] = given;
  }
  model.lines = link.get("lines") ?? "";
}
