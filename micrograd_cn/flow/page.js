// The page itself: what is chosen, the controls and the keys.

const part = id => document.getElementById(id);
const page = JSON.parse(part("data").textContent);
const decoded = x => (typeof x === "string" ? parsed(x) : x); // JSON has no nan and inf
const snapshots = page.snapshots.map(({ graph, data, partials: slots }) => ({
  graph: page.graphs[graph],
  data: data.map(decoded),
  partials: slots.map(of => of.map(decoded)),
}));
const rootValues = snapshots.map(({ graph, data }) => data[graph.root]);
const PAUSE = 1100; // between the steps while playing, in milliseconds

const chosen = {
  lang: page.lang,
  snapshot: 0,
  edits: new Map(), // leaf to number
  actions: ["backward"],
  position: 0,
  predict: false,
  asking: false, // for the number of the step after `position`
  timer: null,
};
let graph, numbers, steps, picture, words;
const curve = makeCurve(rootValues);

// Everything follows from `chosen`.

function choose(changes) {
  if ("snapshot" in changes || "edits" in changes) say(""); // what it told was of other numbers
  const { snapshot, edits, actions } = Object.assign(chosen, { asking: false }, changes);
  words = page.words[chosen.lang];
  const recorded = snapshots[snapshot];
  numbers = edits.size ? evaluated(recorded.graph, leavesNow()) : recorded;
  steps = plan(recorded.graph, actions);
  chosen.position = Math.min(chosen.position, steps.length);
  if (graph !== recorded.graph) {
    graph = recorded.graph;
    picture = new Picture(graph, i => {
      if (part("leaf").value !== String(i)) say("");
      part("leaf").value = i;
      showLeaf();
      part("value").select();
    });
    part("graph").replaceChildren(picture.root);
    const options = graph.nodes.map((node, i) => isEditable(node) && html("option", { value: i }, node.name));
    part("leaf").replaceChildren(...options.filter(Boolean));
  }
  show();
}

function leavesNow() {
  return snapshots[chosen.snapshot].data.map((x, i) => chosen.edits.get(i) ?? x);
}

function show() {
  const { position, asking } = chosen;
  const view = makeView(graph, numbers, steps, position);
  const active = activeIn(graph, steps[asking ? position : position - 1]);
  document.documentElement.lang = chosen.lang === "zh" ? "zh-CN" : chosen.lang;
  document.title = words.title;
  for (const element of document.querySelectorAll("[data-word]")) element.textContent = words[element.dataset.word];
  part("graph").setAttribute("aria-label", words.title);
  part("play").textContent = chosen.timer ? words.pause : words.play;
  part("language").lang = chosen.lang === "zh" ? "en" : "zh-CN";
  const told = narration(asking ? makeView(graph, numbers, steps, position + 1) : view, words, asking);
  if (part("narration").textContent !== told) part("narration").textContent = told; // said aloud once
  part("progress").textContent = filled(words.progress, { position, count: steps.length });
  part("start").disabled = position === 0 && !asking && chosen.actions.length === 1;
  for (const id of ["node_back", "back"]) part(id).disabled = position === 0 && !asking;
  for (const id of ["step", "node_step", "end"]) part(id).disabled = position === steps.length;
  part("predict").setAttribute("aria-pressed", chosen.predict);
  part("ask").hidden = !asking;
  part("undo").disabled = chosen.edits.size === 0;
  picture.update(view, words, active);
  bringIntoView(active);
  fillTables(view, words);
  showTape();
  showLeaf();
}

function showTape() {
  part("training").hidden = snapshots.length < 2;
  part("tape").max = snapshots.length - 1;
  part("tape").value = chosen.snapshot;
  const root = graph.nodes[graph.root].name;
  const told = { step: chosen.snapshot + 1, count: snapshots.length, root, value: shown(rootValues[chosen.snapshot]) };
  part("tape_text").textContent = filled(words.tape_text, told);
  part("tape").setAttribute("aria-valuetext", part("tape_text").textContent);
  curve.root.setAttribute("aria-label", filled(words.curve, { root }));
  curve.show(chosen.snapshot);
}

// The chosen leaf's value, unless the learner is at it.
function showLeaf() {
  for (const id of ["leaf", "value", "nudge"]) part(id).disabled = Boolean(graph.fixed) || !part("leaf").options.length;
  if (graph.fixed) say(filled(words.not_editable, { op: graph.fixed }));
  else if (document.activeElement !== part("value") && part("leaf").value) {
    if (part("value").getAttribute("aria-invalid") === "true") say("");
    part("value").value = exact(numbers.data[part("leaf").value]);
    part("value").setAttribute("aria-invalid", false);
  }
}

function say(text) {
  part("message").textContent = text;
}

// Scroll the graph, in its own box, to where something happens.
function bringIntoView({ boxes }) {
  if (!boxes.size) return;
  const frame = part("graph").getBoundingClientRect();
  const places = [...boxes].map(i => picture.boxes[i].group.getBoundingClientRect());
  const beyond = (from, to) => { // how far to scroll; what does not fit is seen from its beginning
    const before = Math.min(...places.map(place => place[from])) - frame[from] - 12;
    const behind = Math.max(...places.map(place => place[to])) - frame[to] + 12;
    return before < 0 ? before : Math.max(0, Math.min(before, behind));
  };
  part("graph").scrollBy({ left: beyond("left", "right"), top: beyond("top", "bottom") });
}

// Moving through the steps.

const sameNode = (a, b) => a && b && a.kind === b.kind && a.node === b.node;

function stepOn() {
  if (chosen.asking || chosen.position === steps.length) return;
  const next = makeView(graph, numbers, steps, chosen.position + 1);
  if (chosen.predict && stepNumber(next, steps[chosen.position]) !== null) {
    pause();
    choose({ asking: true });
    part("verdict").textContent = part("answer").value = "";
    part("answer").focus();
  } else choose({ position: chosen.position + 1 });
}

function nodeOn() {
  if (chosen.predict) return stepOn(); // each of its numbers is asked for
  let position = chosen.position + 1;
  while (sameNode(steps[position], steps[chosen.position])) position++;
  choose({ position: Math.min(position, steps.length) });
}

function answered() {
  choose({ position: chosen.position + 1 });
  part(part("step").disabled ? "back" : "step").focus();
}

function back() { // from a question to where it was asked
  choose({ position: chosen.asking ? chosen.position : Math.max(chosen.position - 1, 0) });
}

function nodeBack() {
  if (chosen.asking) return back();
  let position = Math.max(chosen.position - 1, 0);
  while (position && sameNode(steps[position - 1], steps[chosen.position - 1])) position--;
  choose({ position });
}

function act(action) { // what was not finished is, first
  const actions = [...chosen.actions, action];
  choose({ actions, position: steps.length + 1 });
}

function play() {
  if (chosen.asking) return;
  chosen.timer = setInterval(() => (chosen.position === steps.length ? pause() : stepOn()), PAUSE);
  chosen.position === steps.length ? choose({ position: 0 }) : stepOn();
}

function pause() {
  clearInterval(chosen.timer);
  chosen.timer = null;
  show();
}

const commands = {
  start: () => choose({ position: 0, actions: ["backward"] }),
  node_back: nodeBack,
  back,
  play: () => (chosen.timer ? pause() : play()),
  step: stepOn,
  node_step: nodeOn,
  end: () => choose({ position: steps.length }),
  again: () => act("backward"),
  zero: () => act("zero"),
  predict: () => choose({ predict: !chosen.predict }),
  language: () => {
    say("");
    part("verdict").textContent = "";
    choose({ lang: chosen.lang === "zh" ? "en" : "zh", asking: chosen.asking });
  },
  help: () => {
    pause();
    part("helping").showModal();
  },
  undo: () => choose({ edits: new Map() }),
  reveal: answered,
  nudge: () => {
    const i = Number(part("leaf").value), told = nudged(graph, leavesNow(), i);
    const { name } = graph.nodes[i], root = graph.nodes[graph.root].name;
    const digits = Object.fromEntries(["below", "above", "slope", "grad"].map(key => [key, precise(told[key])]));
    say(filled(words.nudged, { ...digits, step: shown(told.step), name, root, verdict: words[told.verdict] }));
  },
};
for (const [id, command] of Object.entries(commands)) part(id).addEventListener("click", command);

part("ask").addEventListener("submit", event => {
  event.preventDefault();
  const next = makeView(graph, numbers, steps, chosen.position + 1);
  const given = parsed(part("answer").value);
  if (given !== null && isRight(given, next, steps[chosen.position])) answered();
  else part("verdict").textContent = words.wrong;
});

part("leaf").addEventListener("change", () => {
  say("");
  showLeaf();
});
part("value").addEventListener("input", () => {
  const x = parsed(part("value").value);
  part("value").setAttribute("aria-invalid", x === null);
  say(x === null ? words.not_a_number : "");
  if (x !== null) choose({ edits: new Map(chosen.edits).set(Number(part("leaf").value), x) });
});
part("tape").addEventListener("input", () => {
  choose({ snapshot: Number(part("tape").value), edits: new Map() });
});

const keys = {
  ArrowRight: "step",
  ArrowLeft: "back",
  Home: "start",
  End: "end",
  " ": "play",
  l: "language",
  L: "language",
  "?": "help",
};
document.addEventListener("keydown", event => {
  const at = event.target, command = keys[event.key];
  const scrolls = event.key.startsWith("Arrow") && at.closest(".table");
  const pressed = event.key === " " && at.matches("button");
  const taken = at.matches("input, select") || scrolls || pressed || part("helping").open;
  if (!command || taken || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  const whole = event.shiftKey && { step: "node_step", back: "node_back" }[command];
  commands[whole || command]();
});

part("curve").append(curve.root);
choose({});
