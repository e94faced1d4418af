// Write numbers as texts, read texts as numbers, and fill gaps in texts.

/**
 * Return a number in four digits, exactly as Python's format(x, ".4g") writes it.
 * @param {number} x
 * @returns {string}
 */
export function rounded(x) {
  if (!Number.isFinite(x)) return exact(x);
  if (x === 0) return "0";
  let [digits, exponent] = x.toExponential(3).split("e");
  // Python rounds a tie to the even digit, but toExponential() rounds it away from 0.
  if (/^-?\d\.\d{3}50*e/.test(x.toExponential(60))) {
    const down = x.toExponential(60).slice(0, digits.length);
    if (Number(down.at(-1)) % 2 === 0) digits = down;
  }
  const ten = Number(exponent);
  if (ten >= -4 && ten < 4) return String(Number(`${digits}e${ten}`));
  return `${Number(digits)}e${ten < 0 ? "-" : "+"}${String(Math.abs(ten)).padStart(2, "0")}`;
}

/**
 * Return a number in four digits, with a power of ten as people write it: 1.218×10⁻⁷.
 * @param {number} x
 * @returns {string}
 */
export const shown = x =>
  rounded(x).replace(
    /e\+?(-?)0*(\d+)$/,
    (_, minus, digits) => `×10${minus && "⁻"}${[...digits].map(d => SUPERSCRIPTS[d]).join("")}`,
  );

const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/**
 * Return the shortest text that reads back as the same number. nan and inf are spelled as in Python.
 * @param {number} x
 */
export function exact(x) {
  if (Number.isNaN(x)) return "nan";
  if (Math.abs(x) === Infinity) return x > 0 ? "inf" : "-inf";
  return Object.is(x, -0) ? "-0" : String(x);
}

/**
 * Return the number that a text spells as in Python, in JavaScript or on this page, or null if it spells no number. Its
 * digits may have the full width that Chinese input methods type.
 * @param {string} text
 * @returns {number | null}
 */
export function parsed(text) {
  const written = text.replace(
    /[×·*]\s*10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)$/,
    (_, raised) => `e${[...raised].map(c => (c === "⁻" ? "-" : SUPERSCRIPTS.indexOf(c))).join("")}`,
  );
  const clean = written.normalize("NFKC").trim().toLowerCase().replace(/[−–]/g, "-");
  const special = /^([+-]?)(inf(?:inity)?|nan)$/.exec(clean);
  if (special) return special[2] === "nan" ? NaN : special[1] === "-" ? -Infinity : Infinity;
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/.test(clean) ? Number(clean) : null;
}

/**
 * Return a number in nine digits, which show how close two numbers are.
 * @param {number} x
 */
export function precise(x) {
  return Number.isFinite(x) ? x.toPrecision(9) : exact(x);
}

/**
 * Put the text of a negative number in parentheses, for a sum or another operator.
 * @param {string} text
 */
export function bracketed(text) {
  return text.startsWith("-") ? `(${text})` : text;
}

/**
 * Mark a part of a text for the colour of a class. The marks are characters that no text has.
 * @param {string} look
 * @param {string} text
 */
export const marked = (look, text) => `\ue000${look}\ue001${text}\ue002`;

/**
 * Return the pieces of a text with marks, each with its class, or with "" for plain text.
 * @param {string} text
 * @returns {[look: string, text: string][]}
 */
export function piecesOf(text) {
  return text
    .split(/(\ue000[^\ue002]*\ue002)/)
    .filter(Boolean)
    .map(piece => {
      const [, look, inside] = /^\ue000([^\ue001]*)\ue001([^\ue002]*)\ue002$/.exec(piece) ?? [];
      return look === undefined ? ["", piece] : [look, inside];
    });
}

/**
 * Fill the {gaps} of a template. They are filled all at once, so a value that contains braces does no harm.
 * @param {string} template
 * @param {Record<string, any>} values
 */
export function filled(template, values) {
  return template.replace(/\{(\w+)\}/g, (hole, name) => values[name] ?? hole);
}

/**
 * Fill the {gaps} of a template, and add a space wherever a Chinese character meets a Latin letter or a digit.
 * @param {string} template
 * @param {Record<string, any>} values
 */
export function filledApart(template, values) {
  const chinese = /[\u4e00-\u9fff]/;
  const latin = /[A-Za-z0-9]/;
  const meet = (a, b) => (chinese.test(a) && latin.test(b)) || (latin.test(a) && chinese.test(b));
  return template.replace(/\{(\w+)\}/g, (hole, name, at) => {
    const text = String(values[name] ?? hole);
    const before = template[at - 1] ?? "";
    const after = template[at + hole.length] ?? "";
    return (meet(before, text[0] ?? "") ? " " : "") + text + (meet(text.at(-1) ?? "", after) ? " " : "");
  });
}

/**
 * Fill the operands into the template of an operation. A negative number gets parentheses, unless it is an argument.
 * @param {string} template
 * @param {string[]} operands
 */
export function expressionOf(template, operands) {
  return template.replace(/\{(\d+)\}/g, (_, slot, at) => {
    const text = operands[slot];
    const before = template.slice(0, at).trimEnd().at(-1);
    return before && "([,".includes(before)
      ? text
      : text.includes("×") && template !== "{0}"
        ? `(${text})`
        : bracketed(text);
  });
}

export const signed = x => (x > 0 ? `+${shown(x)}` : shown(x));
