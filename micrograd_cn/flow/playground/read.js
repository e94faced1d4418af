// The words of a typed expression: numbers, names and signs, each with its column, as micrograd_cn/expression.py has them.

class ReadError extends Error {
  constructor(message, column) {
    super(message);
    this.column = column;
  }
}

const NUMBER = /^([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?/;
const KEYWORDS = new Set(("False None True and as assert async await break class continue def del elif else except finally "
  + "for from global if import in is lambda nonlocal not or pass raise return try while with yield").split(" "));

// Columns are counted in characters, of which some take two places in a JavaScript text.
function tokensOf(text) {
  const characters = [...text], signs = [...Object.keys(page.grammar.infix), ...Object.keys(page.grammar.prefix)], found = [];
  let at = 0;
  while (at < characters.length) {
    const c = characters[at], rest = characters.slice(at).join(""), number = NUMBER.exec(rest);
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

// The known name that is nearest to what was typed, if one is near.
function nearest(name, known) {
  const rated = [...known].map(other => [distance(name, other) / Math.max(name.length, other.length), other]);
  const [[share, best] = [1]] = rated.sort(([a], [b]) => a - b);
  return share <= 0.4 ? filled(words.did_you_mean, { "name!r": `'${best}'` }) : "";
}

// How many letters must be changed, put in or left out (Levenshtein 1966).
function distance(a, b) {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  [...a].forEach((c, i) => {
    const next = [i + 1];
    for (let k = 1; k <= b.length; k++) next.push(Math.min(next[k - 1] + 1, row[k] + 1, row[k - 1] + (b[k - 1] !== c)));
    row = next;
  });
  return row.at(-1);
}
