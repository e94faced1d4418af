// Show a training run: the slider over its steps, and the curve of the root's value.

import { makeCurve } from "./curve.js";
import { byId } from "./elements.js";
import { session } from "./session.js";
import { filled, shown } from "./text.js";

const tape = { snapshots: null, values: [], curve: null };

session.watch(() => {
  const { snapshots, graph, words, chosen } = session;
  const root = graph.nodes[graph.root].name;
  if (tape.snapshots !== snapshots) {
    const values = snapshots.map(recorded => recorded.data[recorded.graph.root]);
    Object.assign(tape, { snapshots, values, curve: makeCurve(values) });
    byId("curve").replaceChildren(tape.curve.root);
  }
  byId("training").hidden = snapshots.length < 2;
  byId("tape").max = String(snapshots.length - 1);
  byId("tape").value = String(chosen.snapshot);
  const told = { step: chosen.snapshot + 1, count: snapshots.length, root, value: shown(tape.values[chosen.snapshot]) };
  byId("tape_text").textContent = filled(words.tape_text, told);
  byId("tape").setAttribute("aria-valuetext", byId("tape_text").textContent);
  tape.curve.root.setAttribute("aria-label", filled(words.curve, { root }));
  tape.curve.show(chosen.snapshot);
});

byId("tape").addEventListener("input", () =>
  session.choose({ snapshot: Number(byId("tape").value), edits: new Map() }),
);
