// Moving through the steps: one, a whole node, a whole layer, playing, predicting.

const PAUSE = 1100; // between the steps while playing, in milliseconds

const sameNode = (a, b) => a && b && a.kind === b.kind && a.node === b.node;
const sameLayer = (a, b) => a && b && a.kind === b.kind && layerOf(a) === layerOf(b);
const layerOf = step => around(graph, graph.nodes[step.node].group)[0] ?? -1;

function go(done) {
  choose({ done });
}

function stepOn() {
  const at = position(), step = steps[at];
  if (chosen.asking || !step) return;
  if (chosen.predict && stepNumber(makeView(shape, numbers, moves, step.end), step) !== null) {
    pause();
    choose({ asking: true });
    part("verdict").textContent = part("answer").value = "";
    part("answer").focus();
    return;
  }
  go(step.end);
  if (step.kind === "send") showFlight(step);
}

function showFlight(step) {
  for (const i of activeIn(shape, step).edges) {
    const { size, sign } = edgeFacts(makeView(shape, numbers, moves, chosen.done), shape.edges[i]);
    if (size !== null) fly(picture.motion, picture.edges[i], shape.edges[i].slots.length > 1 ? `|${shown(size)}|` : shown(size), sign, chosen.speed);
  }
}

function onWhile(same) {
  if (chosen.predict) return stepOn(); // each of its numbers is asked for
  let at = position();
  const first = steps[at];
  while (same(steps[at + 1], first)) at++;
  go(steps[at]?.end ?? chosen.done);
}

function backWhile(same) {
  if (chosen.asking) return choose({}); // from a question to where it was asked
  const step = lastStep();
  let at = step ? steps.findIndex(each => each.start === step.start) : 0;
  while (at && same(steps[at - 1], step)) at--;
  go(steps[at]?.start ?? 0);
}

function answered() {
  go(steps[position()].end);
  part(part("step").disabled ? "back" : "step").focus();
}

function act(action) { // what was not finished is, first
  choose({ actions: [...chosen.actions, action], done: moves.length + 1 });
}

function play() {
  if (chosen.asking) return;
  chosen.timer = setInterval(playOn, PAUSE / chosen.speed);
  position() === steps.length ? choose({ done: 0, snapshot: chosen.snapshot + 1 < snapshots.length ? chosen.snapshot : 0 }) : stepOn();
}

// At the end of a training step comes the next one.
function playOn() {
  if (position() < steps.length) stepOn();
  else if (chosen.snapshot + 1 < snapshots.length) choose({ snapshot: chosen.snapshot + 1, edits: new Map(), done: 0 });
  else pause();
}

function pause() {
  clearInterval(chosen.timer);
  chosen.timer = null;
  show();
}

// Opening and closing.

function toggle(group) {
  const opened = new Set(chosen.open);
  const anchor = `g${group}`;
  if (opened.has(group)) {
    for (const inner of graph.groups.keys()) if (around(graph, inner).includes(group)) opened.delete(inner);
  } else opened.add(group);
  choose({ open: opened, anchor });
  picture.root.querySelector(`[data-key="${anchor}"] .bar, .node[data-key="${anchor}"]`)?.focus({ preventScroll: true });
}

const MOST_OPEN = 400; // boxes that "open all" may give

function openAll() {
  const opened = new Set();
  for (const i of graph.groups.keys()) {
    opened.add(i);
    if (countBoxes(graph, opened) > MOST_OPEN) opened.delete(i);
  }
  choose({ open: opened, anchor: null });
  viewport.fit();
}

function closeAll() {
  choose({ open: new Set(), anchor: null });
  viewport.fit();
}
