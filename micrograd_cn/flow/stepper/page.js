// The stepper's state: what is chosen, and that everything that is seen follows from it.

const part = id => document.getElementById(id);
const page = JSON.parse(part("data").textContent);
const decoded = x => (typeof x === "string" ? parsed(x) : x); // JSON has no nan and inf

const chosen = {
  lang: kept("lang", Object.keys(page.words)) ?? page.lang ?? (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en"),
  snapshot: 0,
  edits: new Map(), // leaf to number
  actions: ["backward"],
  done: 0, // moves
  open: new Set(), // groups
  predict: false,
  asking: false, // for the number of the step after the moves that are done
  timer: null,
  fresh: true, // nothing was stepped through yet
  speed: 1,
};
let snapshots = [], rootValues = [], graph, numbers, shape, moves, steps, picture, curve;
let words = page.words[chosen.lang];
const viewport = new Viewport(part("graph"));
const watchers = []; // called whenever something was shown

const MANY_MOVES = 4000; // from which on the gradients are not computed beforehand

// Open one graph, or those of a training run, when the forward pass is done; or where the last graph was, if asked.
function open(recorded, stays = false) {
  clearInterval(chosen.timer);
  const forward = recorded[0].graph.order.length, before = stays && graph ? [chosen.done, graph.order.length, moves.length] : null;
  const done = !before ? forward : before[0] === before[2] ? Infinity : before[0] > before[1] ? before[0] - before[1] + forward : before[0] === before[1] ? forward : before[0];
  forgetTrail();
  snapshots = recorded;
  rootValues = snapshots.map(({ graph: { root }, data }) => data[root]);
  curve = makeCurve(rootValues);
  part("curve").replaceChildren(curve.root);
  graph = shape = null;
  choose({ snapshot: 0, edits: new Map(), actions: ["backward"], done, timer: null, fresh: !before });
}

// How many steps are done; a step that was taken in parts, which were then closed together, is not.
const position = () => {
  const found = steps.findIndex(step => step.end > chosen.done);
  return found < 0 ? steps.length : found;
};
const lastStep = () => {
  const step = steps[position() - 1], next = steps[position()];
  return next && next.start < chosen.done ? { ...next, moves: next.moves.slice(0, chosen.done - next.start) } : step;
};

function choose(changes) {
  if ("snapshot" in changes || "edits" in changes) say(""); // what it told was of other numbers
  if ("snapshot" in changes || changes.edits?.size === 0) forgetTrail();
  const { snapshot, edits, actions } = Object.assign(chosen, { asking: false }, changes);
  if ("done" in changes && !("fresh" in changes)) chosen.fresh = false;
  words = page.words[chosen.lang];
  const recorded = snapshots[snapshot];
  const other = graph !== recorded.graph;
  graph = recorded.graph;
  if (other) {
    chosen.open = openedAtFirst(graph);
    const options = graph.nodes.map((node, i) => isEditable(node) && html("option", { value: i }, cleaned(node.name)));
    part("leaf").replaceChildren(...options.filter(Boolean));
  }
  numbers = edits.size ? evaluated(graph, leavesNow()) : recorded;
  if (other || "actions" in changes) moves = movesOf(graph, actions);
  chosen.done = Math.min(chosen.done, moves.length);
  if (other || !shape || "open" in changes || "lang" in changes || "actions" in changes) draw(other);
  show();
}

viewport.turned = () => graph && draw(true);

function leavesNow() {
  return snapshots[chosen.snapshot].data.map((x, i) => chosen.edits.get(i) ?? x);
}

// Make the picture of what is open. What was there stays in its place, but for what must make room.
function draw(anew) {
  const before = new Map(anew || !picture ? [] : [...picture.frames, ...picture.boxes].map(each => [each.key, each]));
  shape = makeShape(graph, chosen.open);
  steps = plan(shape, moves);
  const seen = moves.length > MANY_MOVES ? chosen.done : moves.length; // for which boxes have room
  picture = new Picture(shape, words, acts, makeView(shape, numbers, moves, seen), viewport.vertical);
  viewport.show(picture.root, shape);
  if (!before.size) return viewport.begin();
  const now = [...picture.frames, ...picture.boxes], kept = now.find(each => each.key === chosen.anchor && before.has(each.key));
  const was = kept && before.get(kept.key);
  const dx = was ? was.x - kept.x : 0, dy = was ? was.y - kept.y : 0;
  viewport.to(viewport.x + dx * viewport.zoom, viewport.y + dy * viewport.zoom);
  settleIn(picture, before, -dx, -dy);
}

function show() {
  const at = position(), { asking, lang } = chosen;
  const view = makeView(shape, numbers, moves, chosen.done), step = lastStep();
  const active = activeIn(shape, asking ? steps[at] : step);
  document.documentElement.lang = lang === "zh" ? "zh-CN" : lang;
  translate(document);
  part("play").textContent = chosen.timer ? words.pause : words.play;
  const told = asking ? narration(makeView(shape, numbers, moves, steps[at].end), steps[at], steps[at + 1], words, true)
    : narration(view, step, steps[step && step.end > chosen.done ? at : at], words);
  if (part("narration").textContent !== told) part("narration").textContent = told; // said aloud once
  part("progress").textContent = filled(words.progress, { position: at, count: steps.length });
  part("scrub").max = steps.length;
  part("scrub").value = at;
  part("scrub").setAttribute("aria-valuetext", part("progress").textContent);
  part("start").disabled = chosen.done === 0 && !asking && chosen.actions.length === 1;
  part("result") && (part("result").textContent = `= ${shown(numbers.data[graph.root])}`);
  for (const id of ["layer_back", "node_back", "back"]) part(id).disabled = chosen.done === 0 && !asking;
  for (const id of ["step", "node_step", "layer_step", "end"]) part(id).disabled = at === steps.length;
  for (const id of ["layer_back", "layer_step", "open_all", "close_all"]) part(id).hidden = graph.groups.length === 0;
  part("predict").setAttribute("aria-pressed", chosen.predict);
  part("ask").hidden = !asking;
  part("undo").disabled = chosen.edits.size === 0;
  viewport.root.setAttribute("aria-label", filled(words.graph, { root: graph.nodes[graph.root].name }));
  picture.update(view, words, active);
  viewport.bring([...active.boxes].map(i => shape.boxes[i]));
  drawPlot(part("plot"), view, asking ? null : step, words);
  fillTables(view, words);
  showTape();
  showLeaf();
  for (const watch of watchers) watch(view);
}

// Put the words in the chosen language where they belong.
function translate(within) {
  document.title = words.title;
  for (const element of within.querySelectorAll("[data-word]")) {
    const text = words[element.dataset.word];
    if (element.textContent !== text) element.textContent = text;
  }
  for (const element of within.querySelectorAll("[data-hint]")) {
    for (const name of ["title", "aria-label"]) element.setAttribute(name, words[element.dataset.hint]);
  }
  for (const element of within.querySelectorAll("[data-label]")) element.setAttribute("aria-label", words[element.dataset.label]);
  part("language").lang = chosen.lang === "zh" ? "en" : "zh-CN";
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

function edit(i, x) {
  choose({ edits: new Map(chosen.edits).set(i, x) });
}
