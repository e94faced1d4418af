// The data that Python wrote into the page: words, graphs and limits. A playground also has the grammar and the
// operations.

import { byId } from "./elements.js";
import { parsed } from "./text.js";

/** @type {PageData} */
export const page = JSON.parse(byId("data").textContent);

// A playground writes operands such as {2}, {3}, {4} as {2-4}.
if (page.operations) {
  const written = (_, first, last) =>
    Array.from({ length: last - first + 1 }, (_, i) => `{${Number(first) + i}}`).join(", ");
  page.operations = JSON.parse(JSON.stringify(page.operations).replace(/\{(\d+)-(\d+)\}/g, written));
}

// A page that consists of several files leaves out what is usual for an operation. An operation that takes any number of
// operands has facts for each number.
if (page.usual) {
  for (const [name, listed] of Object.entries(page.operations)) {
    for (const [count, facts] of [listed].flat().entries()) {
      const usual = page.usual.replaceAll("@", name).replace("#", listed === facts ? "" : `/${count}`);
      if (facts) Object.assign(facts, { ...JSON.parse(usual), ...facts });
    }
  }
}

/**
 * JSON has no nan and inf, so these are texts.
 * @param {number | string} x
 */
export const decoded = x => (typeof x === "string" ? parsed(x) : x);
