// Open and close parts.

import { around, countBoxes } from "./fold.js";
import { page } from "./page.js";
import { session } from "./session.js";
import { viewport } from "./viewport.js";

export function toggle(group) {
  const { graph, chosen } = session;
  const open = new Set(chosen.open);
  const anchor = `g${group}`;
  if (open.has(group)) {
    for (const inner of graph.groups.keys()) if (around(graph, inner).includes(group)) open.delete(inner);
  } else open.add(group);
  session.choose({ open, anchor });
  /** @type {SVGElement | null} */
  const part = viewport.picture.root.querySelector(`[data-key="${anchor}"] .bar, .node[data-key="${anchor}"]`);
  part?.focus({ preventScroll: true });
}

export function openAll() {
  const { graph } = session;
  const open = new Set();
  for (const i of graph.groups.keys()) {
    open.add(i);
    if (countBoxes(graph, open) > page.limits.most) open.delete(i);
  }
  session.choose({ open, anchor: null });
  viewport.fit();
}

export function closeAll() {
  session.choose({ open: new Set(), anchor: null });
  viewport.fit();
}
