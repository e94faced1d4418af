// Restore after a reload what a room had and no link contains, such as the weights and the loss of each step.

import { rooms } from "./rooms.js";

const KEPT = `micrograd_cn.rooms ${location.pathname}`;

// What the rooms had when the page was left. The tab keeps it, and only a reload or the browser's Back gives it back.
/** @type {Record<string, { settings: string, made: any }>} */
const hadBefore = keptBefore();

function keptBefore() {
  try {
    const [{ type }] = /** @type {PerformanceNavigationTiming[]} */ (performance.getEntriesByType("navigation"));
    return JSON.parse((type !== "navigate" && sessionStorage.getItem(KEPT)) || "{}");
  } catch {
    return {}; // not allowed here
  }
}

// At both events: on a busy machine, what is stored at the second one may come late to the page that is loaded again.
window.onbeforeunload = window.onpagehide = () => {
  const made = Object.fromEntries([...rooms].map(([name, room]) => [name, room.made?.()]));
  try {
    sessionStorage.setItem(
      KEPT,
      JSON.stringify(made, (_, x) => (ArrayBuffer.isView(x) ? Array.from(/** @type {any} */ (x)) : x)),
    );
  } catch {
    /* not allowed here, or too much */
  }
};
/**
 * Restore in `state` what the room `name` had made before a reload. Return whether it had, with the same settings.
 * @param {string} name
 * @param {object} state
 */
export function giveBack(name, state) {
  const found = hadBefore[name];
  delete hadBefore[name];
  if (found?.settings !== rooms.get(name).made()?.settings) return false;
  adopt(state, found.made);
  return true;
}

// Typed arrays stay where they are, because `Sweeps` refer to them. JSON has null in the place of nan and inf.
function adopt(state, had) {
  for (const [key, x] of Object.entries(had)) {
    if (ArrayBuffer.isView(state[key])) /** @type {any} */ (state[key]).set(x.map(number => number ?? NaN));
    else if (x !== null && typeof x === "object" && !Array.isArray(x)) adopt(state[key], x);
    else state[key] = x;
  }
}
