// Move through the steps: by one step, by a node or a layer, by playing, or by predicting.

import { byId } from "./elements.js";
import { around } from "./fold.js";
import { fly } from "./motion.js";
import { stepNumber } from "./question.js";
import { session } from "./session.js";
import { shown } from "./text.js";
import { activeIn } from "./view.js";
import { viewport } from "./viewport.js";

const STEP_PAUSE = 1100; // milliseconds between steps while playing
const MOST_PLAYED = 9000; // milliseconds that a part of a lesson plays

export const sameNode = (a, b) => a && b && a.kind === b.kind && a.node === b.node;
export const sameLayer = (a, b) => a && b && a.kind === b.kind && layerOf(a) === layerOf(b);
export const layerOf = step => around(session.graph, session.graph.nodes[step.node].group)[0] ?? -1;

export function go(done) {
  session.choose({ done });
}

export function stepOn() {
  const { position, steps, chosen } = session;
  const step = steps[position];
  if (chosen.asking || !step) return;
  if (chosen.predict && stepNumber(session.viewAt(step.end), step) !== null) {
    pause();
    session.choose({ asking: true });
    byId("verdict").textContent = byId("answer").value = "";
    byId("answer").focus();
    return;
  }
  go(step.end);
  if (step.kind === "send") showFlight(step);
}

function showFlight(step) {
  const { shape, chosen } = session;
  const { picture } = viewport;
  const view = session.viewAt();
  for (const i of activeIn(shape, step).edges) {
    const { size, sign } = view.edges[i];
    if (size !== null)
      fly(
        picture.motion,
        picture.edges[i],
        shape.edges[i].slots.length > 1 ? `|${shown(size)}|` : shown(size),
        sign,
        chosen.speed,
      );
  }
}

export function onWhile(same) {
  const { steps, chosen } = session;
  if (chosen.predict) return stepOn(); // the reader predicts each number
  let at = session.position;
  const first = steps[at];
  while (same(steps[at + 1], first)) at++;
  go(steps[at]?.end ?? chosen.done);
}

export function backWhile(same) {
  const { steps, chosen, lastStep: step } = session;
  if (chosen.asking) return session.choose({}); // take the question back
  let at = step ? steps.findIndex(each => each.start === step.start) : 0;
  while (at && same(steps[at - 1], step)) at--;
  go(steps[at]?.start ?? 0);
}

export function answered() {
  go(session.steps[session.position].end);
  byId(byId("step").disabled ? "back" : "step").focus();
}

// Add a backward pass or zero_grad() after the present run, which is finished first.
export function addAction(action) {
  session.choose({ actions: [...session.chosen.actions, action], done: session.moves.length + 1 });
}

export function play() {
  const { chosen, position, steps, snapshots } = session;
  if (chosen.asking) return;
  chosen.timer = setInterval(playOn, STEP_PAUSE / chosen.speed);
  if (position < steps.length) stepOn();
  else session.choose({ done: 0, snapshot: chosen.snapshot + 1 < snapshots.length ? chosen.snapshot : 0 });
}

// Play one more step. After the last step of a graph, go on with the graph of the next training step.
function playOn() {
  const {
    chosen: { snapshot },
    position,
    steps,
    snapshots,
  } = session;
  if (position < steps.length) stepOn();
  else if (snapshot + 1 < snapshots.length) session.choose({ snapshot: snapshot + 1, edits: new Map(), done: 0 });
  else pause();
}

// Play up to `end` moves, in not much more than some seconds, and then call `ended`.
export function playTo(end, ended = () => {}) {
  pause();
  const first = session.position;
  const steps = session.steps.filter(step => step.end <= end).length - first;
  const wait = Math.min(STEP_PAUSE, MOST_PLAYED / Math.max(1, steps)) / session.chosen.speed;
  session.choose({
    timer: setInterval(() => {
      if (session.chosen.done < end && session.position < session.steps.length) return stepOn();
      pause();
      ended();
    }, wait),
  });
}

export function playAt(speed) {
  const { timer, asking } = session.chosen;
  clearInterval(timer);
  session.choose({ speed, asking, timer: timer && setInterval(playOn, STEP_PAUSE / speed) });
}

export function pause() {
  const { timer, asking } = session.chosen;
  clearInterval(timer);
  session.choose({ timer: null, asking });
}
