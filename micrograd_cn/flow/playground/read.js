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

// What people call a function that has another name here.
const ALIASES = {
  max: "maximum", min: "minimum", ln: "log", log10: "log", log2: "log", power: "pow", arctan: "atan", arcsin: "asin", arccos: "acos",
  logistic: "sigmoid", swish: "silu", softmax: "logsumexp", avg: "mean", square: "pow", lse: "logsumexp", heaviside: "step",
};

// The known name that is meant by, or nearest to, what was typed, if one is near.
function nearest(name, known) {
  const meant = Object.hasOwn(ALIASES, name.toLowerCase()) ? ALIASES[name.toLowerCase()] : known.includes(name.toLowerCase()) ? name.toLowerCase() : null;
  const rate = other => [distance(name, other) / Math.max(name.length, other.length), Math.abs(name.length - other.length)];
  const [best] = known.map(other => [...rate(other), other]).sort(([a, b], [c, d]) => a - c || b - d);
  const found = meant ?? (best[0] <= 0.4 ? best[2] : null);
  return found ? filled(words.did_you_mean, { name: found }) : "";
}

// How many letters must be changed, put in, left out or exchanged with the next (Damerau 1964).
function distance(a, b) {
  const rows = [Array.from({ length: b.length + 1 }, (_, i) => i)];
  for (let i = 1; i <= a.length; i++) {
    rows.push([i]);
    for (let k = 1; k <= b.length; k++) {
      const exchanged = i > 1 && k > 1 && a[i - 1] === b[k - 2] && a[i - 2] === b[k - 1] ? rows[i - 2][k - 2] + 1 : Infinity;
      rows[i].push(Math.min(rows[i][k - 1] + 1, rows[i - 1][k] + 1, rows[i - 1][k - 1] + (a[i - 1] !== b[k - 1]), exchanged));
    }
  }
  return rows.at(-1).at(-1);
}
