// Labels as they stand in the picture and in sentences: in one line, and not too long.

import { page } from "./page.js";

// A name that is written from the right, kept from turning what stands around it.
export const isolated = text => (/[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/.test(text) ? `\u2068${text}\u2069` : text);

// A name as it stands in a sentence: in one line, and not too long.
export const called = name => isolated(cleaned(name));

// The text's width in columns of a monospaced font, where a Chinese character takes two.
export function columns(text) {
  let count = 0;
  for (const c of text) count += /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u.test(c) ? 2 : 1;
  return count;
}

// A label in one line, cut where it is very long, without control characters.
export function cleaned(label) {
  let text = [...label.slice(0, 2 * page.limits.label)].map(c => (/\s/.test(c) ? " " : /[\p{Cc}\p{Cs}]/u.test(c) ? "\ufffd" : c)).join("");
  while (columns(text) > page.limits.label) text = `${[...text].slice(0, -2).join("")}…`;
  return text;
}
