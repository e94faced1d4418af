// Divide a typed expression into tokens, as micrograd_cn/text/expression.py does: numbers, names and signs.

import { page } from "../stepper/page.js";

const SEPARATORS = "\x1c\x1d\x1e\x1f\x85"; // spaces of Python that JavaScript's \s lacks

// A column counts characters. In a JavaScript text, some characters take two places.
export function tokensOf(text) {
  const { infix, prefix, number: pattern, products } = page.grammar;
  const signs = [...Object.keys({ ...infix, ...prefix }), "//"];
  const numeral = new RegExp(`^(?:${pattern})`);
  const characters = [...text];
  const found = [];
  let at = 0;
  while (at < characters.length) {
    const c = characters[at];
    const rest = characters.slice(at).join("");
    const number = numeral.exec(rest);
    let end = at + 1;
    if (number) {
      end = at + number[0].length;
      found.push({ kind: "number", text: number[0], column: at });
    } else if (/^[\p{XID_Start}_]$/u.test(c)) {
      while (
        end < characters.length &&
        /^\p{XID_Continue}$/u.test(characters[end]) &&
        !products.includes(characters[end])
      )
        end++;
      found.push({ kind: "name", text: characters.slice(at, end).join("").normalize("NFKC"), column: at });
    } else if (products.includes(c)) found.push({ kind: "sign", text: "*", column: at });
    else if (!/^\s$/.test(c) && !SEPARATORS.includes(c)) {
      // The longest sign wins, so ** is not read as two *.
      for (const sign of signs) if (rest.startsWith(sign)) end = Math.max(end, at + sign.length);
      found.push({ kind: "sign", text: characters.slice(at, end).join(""), column: at });
    }
    at = end;
  }
  found.push({ kind: "end", text: "", column: characters.length });
  return found;
}
