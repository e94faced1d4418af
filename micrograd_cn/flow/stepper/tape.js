// Show a training run: the slider over its steps, and the curve of the root's value.

import { drawValues } from "./chart.js";
import { byId } from "./elements.js";
import { session } from "./session.js";
import { filled, shown } from "./text.js";
import { themed } from "./theme.js";

const tape = { snapshots: null, values: [] };

session.watch(() => {
  const { snapshots, graph, words, chosen } = session;
  const root = graph.nodes[graph.root].name;
  if (tape.snapshots !== snapshots) {
    const values = snapshots.map(recorded => recorded.data[recorded.graph.root]);
    Object.assign(tape, { snapshots, values });
  }
  byId("training").hidden = snapshots.length < 2;
  byId("tape").max = String(snapshots.length - 1);
  byId("tape").value = String(chosen.snapshot);
  const value = session.asksRoot ? "?" : shown(tape.values[chosen.snapshot]);
  const told = { step: chosen.snapshot + 1, count: snapshots.length, root, value };
  byId("tape_text").textContent = filled(words.tape_text, told);
  byId("tape").setAttribute("aria-valuetext", byId("tape_text").textContent);
  drawTape();
});

// Draw the curve, and place the slider over it.
function drawTape() {
  if (!byId("curve").clientWidth) return;
  const { graph, words, chosen } = session;
  const { name } = graph.nodes[graph.root];
  const label = filled(words.curve, { root: name });
  const values = tape.values.map((x, i) => (i === chosen.snapshot && session.asksRoot ? NaN : x));
  const [left, wide] = drawValues(byId("curve"), values, { name, mark: chosen.snapshot, label });
  byId("reel").style.setProperty("--left", `${left}px`);
  byId("reel").style.setProperty("--wide", `${wide}px`);
}

// A canvas that is not drawn again when its size changes is stretched.
new ResizeObserver(() => tape.snapshots && drawTape()).observe(byId("curve"));
themed.push(() => tape.snapshots && drawTape());
byId("tape").addEventListener("input", () =>
  session.choose({ snapshot: Number(byId("tape").value), edits: new Map() }),
);
