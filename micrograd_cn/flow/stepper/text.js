// Numbers as text, text as numbers, and what is filled into texts.

// Four digits, as Python's format(x, ".4g") writes them, ties to even included.
export function shown(x) {
  if (!Number.isFinite(x)) return exact(x);
  if (x === 0) return "0";
  let [digits, exponent] = x.toExponential(3).split("e");
  if (/^-?\d\.\d{3}50*e/.test(x.toExponential(60))) { // a tie, which toExponential() rounds away from 0
    const down = x.toExponential(60).slice(0, digits.length);
    if (Number(down.at(-1)) % 2 === 0) digits = down;
  }
  const ten = Number(exponent);
  if (ten >= -4 && ten < 4) return String(Number(`${digits}e${ten}`));
  return `${Number(digits)}e${ten < 0 ? "-" : "+"}${String(Math.abs(ten)).padStart(2, "0")}`;
}

// The shortest text that reads back as the same double; nan and inf as Python spells them.
export function exact(x) {
  if (Number.isNaN(x)) return "nan";
  if (Math.abs(x) === Infinity) return x > 0 ? "inf" : "-inf";
  return Object.is(x, -0) ? "-0" : String(x);
}

// The number that a text is, in Python's spelling or JavaScript's; null if it is none.
export function parsed(text) {
  const clean = text.trim().toLowerCase().replace(/[−–－]/g, "-");
  const special = /^([+-]?)(inf(?:inity)?|nan)$/.exec(clean);
  if (special) return special[2] === "nan" ? NaN : special[1] === "-" ? -Infinity : Infinity;
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/.test(clean) ? Number(clean) : null;
}

// Nine digits, in which one sees how close two numbers are.
export function precise(x) {
  return Number.isFinite(x) ? x.toPrecision(9) : exact(x);
}

// A number's text as part of a sum or beside another operator.
export function bracketed(text) {
  return text.startsWith("-") ? `(${text})` : text;
}

// The template with its {names} replaced, all at once, so that what is filled in may hold anything.
export function filled(template, values) {
  return template.replace(/\{(\w+)\}/g, (hole, name) => values[name] ?? hole);
}

// The same, with a space where Chinese meets letters or digits, as between a part's number and a verb.
export function filledApart(template, values) {
  const chinese = /[\u4e00-\u9fff]/, latin = /[A-Za-z0-9]/;
  const meet = (a, b) => (chinese.test(a) && latin.test(b)) || (latin.test(a) && chinese.test(b));
  return template.replace(/\{(\w+)\}/g, (hole, name, at) => {
    const text = String(values[name] ?? hole), before = template[at - 1] ?? "", after = template[at + hole.length] ?? "";
    return (meet(before, text[0] ?? "") ? " " : "") + text + (meet(text.at(-1) ?? "", after) ? " " : "");
  });
}

// The operation with its operands' texts filled in; numbers below 0 in parentheses, except as arguments.
export function expressionOf(template, operands) {
  return template.replace(/\{(\d+)\}/g, (_, slot, at) => {
    const text = operands[slot], before = template.slice(0, at).trimEnd().at(-1);
    return before && "([,".includes(before) ? text : bracketed(text);
  });
}

export const signed = x => (x > 0 ? `+${shown(x)}` : shown(x));
