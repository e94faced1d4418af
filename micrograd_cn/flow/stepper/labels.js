// Prepare labels for the picture and for sentences: in one line, and not too long.

import { page } from "./page.js";

/**
 * Isolate a name in a script that is written from right to left, or the browser reorders the text around it.
 * @param {string} text
 */
export const isolated = text => (/[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/.test(text) ? `\u2068${text}\u2069` : text);

/**
 * Return a name as it is written in a sentence.
 * @param {string} name
 */
export const called = name => isolated(cleaned(name));

/**
 * Return the width of a text in columns of a monospaced font. A Chinese character takes two columns.
 * @param {string} text
 */
export function columns(text) {
  let count = 0;
  for (const c of text)
    count +=
      /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u.test(
        c,
      )
        ? 2
        : 1;
  return count;
}

/**
 * Return a label in one line, without control characters, and cut if it is very long.
 * @param {string} label
 */
export function cleaned(label) {
  let text = [...label.slice(0, 2 * page.limits.label)]
    .map(c => (/\s/.test(c) ? " " : /[\p{Cc}\p{Cs}]/u.test(c) ? "\ufffd" : c))
    .join("");
  while (columns(text) > page.limits.label) text = `${[...text].slice(0, -2).join("")}…`;
  return text;
}
