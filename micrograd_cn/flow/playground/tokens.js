// The words of a typed expression: numbers, names and signs, each with its column, as micrograd_cn/expression.py has them.

import { page } from "../stepper/page.js";

// Columns are counted in characters, of which some take two places in a JavaScript text.
export function tokensOf(text) {
  const { infix, prefix, number: pattern } = page.grammar, signs = Object.keys({ ...infix, ...prefix }), numeral = new RegExp(`^(?:${pattern})`);
  const characters = [...text], found = [];
  let at = 0;
  while (at < characters.length) {
    const c = characters[at], rest = characters.slice(at).join(""), number = numeral.exec(rest);
    let end = at + 1;
    if (number) {
      end = at + number[0].length;
      found.push({ kind: "number", text: number[0], column: at });
    } else if (/^[\p{XID_Start}_]$/u.test(c)) {
      while (end < characters.length && /^\p{XID_Continue}$/u.test(characters[end])) end++;
      found.push({ kind: "name", text: characters.slice(at, end).join("").normalize("NFKC"), column: at });
    } else if (!/^[\s\x1c-\x1f\x85]$/.test(c)) {
      for (const sign of signs) if (rest.startsWith(sign)) end = Math.max(end, at + sign.length); // ** is not * *
      found.push({ kind: "sign", text: characters.slice(at, end).join(""), column: at });
    }
    at = end;
  }
  found.push({ kind: "end", text: "", column: characters.length });
  return found;
}
