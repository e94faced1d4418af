// One step of gradient descent, with the root as the loss: every parameter moves against its gradient.

import { drawValues } from "./chart.js";
import { byId, html } from "./elements.js";
import { gradient, movesOf, replayed } from "./engine.js";
import { isEditable } from "./graph.js";
import { called } from "./labels.js";
import { session } from "./session.js";
import { bracketed, filled, parsed, shown } from "./text.js";
import { themed } from "./theme.js";

const MOST_LEARNED = 12; // parameters whose step is written out

// Return the leaves that learn. These are the parameters, or all leaves if there are no parameters.
function learners(graph) {
  if (graph.learners) return graph.learners;
  const leaves = [...graph.nodes.keys()].filter(i => isEditable(graph.nodes[i]));
  const some = leaves.filter(i => graph.nodes[i].parameter);
  graph.learners = some.length ? some : leaves;
  return graph.learners;
}

export function learn() {
  const { graph, numbers, words, chosen } = session;
  const rate = parsed(byId("rate").value);
  const right = rate > 0 && rate < Infinity;
  byId("rate").setAttribute("aria-invalid", String(!right));
  if (!right) return;
  const moves = movesOf(graph, ["backward"]);
  const state = replayed(graph, numbers, moves, moves.length);
  const edits = new Map(chosen.edits);
  const steps = learners(graph).map(i => ({
    name: called(graph.nodes[i].name),
    old: numbers.data[i],
    grad: gradient(state, i),
    i,
  }));
  for (const step of steps) {
    step.now = step.old - rate * step.grad;
    edits.set(step.i, step.now);
  }
  session.learn(edits);
  const lines = steps.slice(0, MOST_LEARNED).map(({ name, old, grad, now }) => {
    return html("li", {}, `${name} ← ${shown(old)} − ${shown(rate)} × ${bracketed(shown(grad))} = ${shown(now)}`);
  });
  if (steps.length > MOST_LEARNED)
    lines.push(html("li", {}, filled(words.others, { count: steps.length - MOST_LEARNED })));
  if (steps.every(({ grad }) => grad === 0)) lines.push(html("li", {}, words.learns_nothing));
  byId("learned").replaceChildren(...lines);
}

session.watch(() => {
  const { graph, trail } = session;
  byId("learn").disabled = Boolean(graph.fixed) || !learners(graph).length;
  byId("trail").hidden = !trail.length;
  if (trail.length) drawTrail();
  else byId("learned").replaceChildren();
});

// Draw the root's value before each step and now.
function drawTrail() {
  const { graph, numbers, words, trail, asksRoot } = session;
  if (!trail.length || !byId("trail_curve").clientWidth) return;
  const now = numbers.data[graph.root];
  const values = [...trail, asksRoot ? NaN : now];
  const name = called(graph.nodes[graph.root].name);
  drawValues(byId("trail_curve"), values, { name, mark: trail.length, label: filled(words.curve, { root: name }) });
  const told = [...trail.slice(-3).map(shown), asksRoot ? "?" : shown(now)];
  byId("trail_text").textContent = `${name}: ${told.join(" → ")}`;
}

new ResizeObserver(() => session.graph && drawTrail()).observe(byId("trail_curve"));
themed.push(() => session.graph && drawTrail());

byId("learn").addEventListener("click", learn);
byId("rate").addEventListener("keydown", event => event.key === "Enter" && learn());
