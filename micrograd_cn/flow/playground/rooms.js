// The rooms of the playground, the way from one to another, and what a link says.

const ROOMS = ["typing", "board", "model"];
let room = "typing", origin = null; // the room from which one came into the stepper

function show_room(name) {
  room = name;
  part("board").hidden = name !== "board";
  part("model").hidden = name !== "model";
  part("stepping").hidden = ["board", "model"].includes(name);
  for (const each of ROOMS) {
    part(`tab_${each}`).setAttribute("aria-selected", each === name);
    part(`tab_${each}`).tabIndex = each === name ? 0 : -1;
  }
  part("copy_python").hidden = part("stepping").hidden;
  if (name !== "board") stop();
  else {
    wiring.arrange();
    refresh();
  }
  if (name === "model") showModelRoom();
  else stopModel();
}

// From a training run into its computation.
function enter(made, told, from = "board") {
  origin = from;
  part("typing").hidden = part("numbers").hidden = true;
  part("origin").hidden = false;
  part("origin_text").textContent = told;
  show_room("stepping");
  part(`tab_${from}`).setAttribute("aria-selected", true);
  part(`tab_${from}`).tabIndex = 0;
  open([made]);
  part("return").focus();
}

// Back to the typed expression's graph.
function leave(made, stays = false) {
  const back = !part("origin").hidden;
  part("typing").hidden = part("numbers").hidden = false;
  part("origin").hidden = true;
  if (graph !== made.graph) open([made], stays && !back);
}

const REST = 200; // milliseconds in which nothing changes, before the address does: browsers refuse many changes at once
let resting = null;

function remember() {
  clearTimeout(resting);
  resting = setTimeout(rememberNow, REST);
}

function rememberNow() {
  const now = part("origin").hidden || ROOMS.includes(room) ? room : origin;
  const facts = { typing: () => ({ text: typed.text }), board: () => ({ room: now, ...settings }), model: () => ({ room: now, ...modelFacts() }) }[now]();
  if (now === "board" && settings.data === "own") facts.own = own.map(({ at, label }) => [...at.map(x => x.toFixed(2)), label].join(",")).join(";");
  if (!facts.room) for (const [name] of typed.made?.values ?? []) facts[`=${name}`] = exact(typed.values.get(name));
  writeLink({ ...facts, lang: chosen.lang });
}

part("tab_typing").addEventListener("click", () => {
  show_room("typing");
  if (typed.made) leave(typed.made);
  remember();
});
for (const name of ["board", "model"]) {
  part(`tab_${name}`).addEventListener("click", () => {
    show_room(name);
    remember();
  });
}
part("tabs").addEventListener("keydown", event => {
  const at = ROOMS.indexOf(ROOMS.includes(room) ? room : origin), count = ROOMS.length;
  const next = { ArrowLeft: (at + count - 1) % count, ArrowRight: (at + 1) % count, Home: 0, End: count - 1 }[event.key], other = ROOMS[next];
  if (next === undefined) return;
  event.preventDefault();
  event.stopPropagation();
  part(`tab_${other}`).click();
  part(`tab_${other}`).focus();
});
part("return").addEventListener("click", () => {
  show_room(origin);
  part(origin === "model" ? "m_run" : "run").focus();
});

document.addEventListener("keydown", event => {
  const own = { board: { " ": "run", ArrowRight: "one_step" }, model: { " ": "m_run", ArrowRight: "m_step" } }[room];
  if (!own || event.target.matches("input, select, textarea, button, [role=application]") && event.key !== "ArrowRight") return;
  if (event.target.matches("input, select, textarea") || part("helping").open) return;
  const command = own[event.key];
  if (!command || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  part(command).click();
});

// Fields of the board.
function fillChoices() {
  const listed = (id, values, word) => part(id).replaceChildren(...values.map(value => {
    return html("option", { value, ...(word ? { "data-word": `${word}${value}` } : {}) }, value);
  }));
  listed("b_data", Object.keys(DATA), "data_");
  listed("b_activation", page.activations);
  listed("b_initialiser", Object.keys(INITIALISERS));
  listed("b_loss", Object.keys(page.losses), "loss_");
  listed("b_optimizer", Object.keys(updates));
  listed("b_batch", BATCHES, "batch_");
  listed("b_noise", NOISES, "noise_");
  listed("b_speed", SPEEDS, "speed_");
  part("functions").replaceChildren(html("option", { value: "", "data-word": "functions" }), ...Object.entries(page.grammar.functions).map(([name, { usage }]) => html("option", { value: name }, usage ?? name)));
  part("example").replaceChildren(html("option", { value: "", "data-word": "choose" }), ...EXAMPLES.map(([name]) => html("option", { value: name, "data-word": `example_${name}` })));
  for (const name of Object.keys(DEFAULTS)) {
    const field = part(`b_${name}`);
    if (!field) continue;
    field.value = settings[name];
    field.addEventListener("input", () => {
      const right = isWritten[name]?.(field.value) ?? true;
      field.setAttribute("aria-invalid", !right);
      if (right) set(name, field.value);
      else tellState();
    });
  }
}

themed.push(() => trainer && refresh());
themed.push(() => room === "model" && showModel());
let told = chosen.lang;
watchers.push(() => {
  if (told === chosen.lang) return;
  told = chosen.lang;
  if (trainer) drawBoard(true);
  if (room === "model") showModel();
  if (typed.fault !== null && typed.text) readTyped(typed.text);
  remember();
});

function arrive() {
  const link = readLink();
  if (Object.hasOwn(page.words, link.get("lang") ?? "")) chosen.lang = link.get("lang");
  words = page.words[chosen.lang];
  const choices = { data: Object.keys(DATA), activation: page.activations, initialiser: Object.keys(INITIALISERS),
    loss: Object.keys(page.losses), optimizer: Object.keys(updates), batch: BATCHES, noise: NOISES, speed: SPEEDS };
  const given_room = ROOMS.includes(link.get("room")) ? link.get("room") : "typing";
  if (given_room === "model") readModelFacts(link);
  else for (const name of Object.keys(DEFAULTS)) {
    const given = link.get(name), fits = choices[name]?.includes(given) ?? isWritten[name]?.(given ?? "") ?? /^[1-9]\d{0,2}$/.test(given);
    if (given !== undefined && fits) settings[name] = given;
  }
  for (const text of (link.get("own") ?? "").split(";").filter(Boolean)) {
    const [x, y, label] = text.split(",").map(Number);
    if (Number.isFinite(x) && Number.isFinite(y)) own.push(point([x, y], label === 1 ? 1 : 0));
  }
  fillChoices();
  fillModelChoices();
  readColours();
  const values = new Map([...link].filter(([key, x]) => key.startsWith("=") && parsed(x) !== null).map(([key, x]) => [key.slice(1), parsed(x)]));
  const [, text, first] = EXAMPLES[0], given = link.get("text");
  readTyped(text, new Map(Object.entries(first)));
  part("text").value = given ?? text;
  if (given !== undefined) readTyped(given, values);
  renew();
  renewModel();
  show_room(given_room);
  remember();
}

arrive();
part("unable").remove();
addEventListener("hashchange", () => location.reload());
