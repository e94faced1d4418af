// The data that Python wrote into the page: words, graphs and limits. A playground also has the grammar and the
// operations.

import { byId } from "./elements.js";
import { parsed } from "./text.js";

/** @type {PageData} */
export const page = JSON.parse(byId("data").textContent);

// A page that consists of several files leaves out what is usual for an operation.
if (page.usual) {
  for (const [name, listed] of Object.entries(page.operations)) {
    for (const facts of [listed].flat())
      if (facts) Object.assign(facts, { ...JSON.parse(page.usual.replaceAll("@", name)), ...facts });
  }
}

/**
 * JSON has no nan and inf, so these are texts.
 * @param {number | string} x
 */
export const decoded = x => (typeof x === "string" ? parsed(x) : x);
