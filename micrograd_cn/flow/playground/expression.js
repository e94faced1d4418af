// Read a typed expression and record it as a graph. This is the parser of micrograd_cn/text/expression.py, step by
// step.

import { Recorder, Ref } from "./recorder.js";
import { meantName } from "./spelling.js";
import { tokensOf } from "./tokens.js";
import { decoded, page } from "../stepper/page.js";
import { filled } from "../stepper/text.js";

// The text is not a valid expression. `key` and `details` give the message, and `column` the position.
export class ReadError extends Error {
  constructor(key, column, details) {
    super(key);
    this.unfinished = false; // whether the text may become valid if more is typed
    this.key = key;
    this.column = column;
    this.details = details;
  }

  told(words) {
    const { key, details } = this;
    return filled(words[key], details) + (details.near ? filled(words.did_you_mean, { name: details.near }) : "");
  }
}

const FIRST = [2, -3, 0.5, 1.5, -1, 0.25]; // the numbers that new variables get

/**
 * Return the graph of `text`, and a number for each variable. A variable that `values` lacks gets a new number.
 * @param {string} text
 * @param {Map<string, number>} values
 * @returns {{ values: Map<string, number>, value?: number, graph?: Graph, data?: number[], partials?: number[][] }}
 */
export function readExpression(text, values) {
  const reader = new Reader(text, values);
  const result = reader.read();
  const { recorder } = reader;
  if (!(result instanceof Ref)) return { value: result, values: new Map() };
  const found = new Map([...recorder.variables].map(([name, { i }]) => [name, recorder.data[i]]));
  return { ...recorder.finish(result), values: found };
}

class Reader {
  constructor(text, values) {
    this.next = 0;
    this.values = values;
    this.recorder = new Recorder();
    this.tokens = tokensOf(text);
    this.open = [bracketOf({ kind: "sign", text: "", column: 0 })];
  }

  read() {
    let wantsOperand = true;
    for (;;) {
      const token = this.take();
      if (wantsOperand) wantsOperand = this.operand(token);
      else if (token.kind !== "end") wantsOperand = this.operator(token);
      else if (this.open.length > 1) this.fail("parse_unclosed", this.open.at(-1).opening);
      else break;
    }
    this.endArgument(this.open[0]);
    return this.open[0].given[0].value;
  }

  take() {
    return this.tokens[this.next++];
  }

  operand(token) {
    const bracket = this.open.at(-1);
    const { prefix } = page.grammar;
    if (token.kind === "number") bracket.operands.push(Number(token.text));
    else if (token.kind === "name") return this.name(token);
    else if (token.text === "+") return true;
    else if (Object.hasOwn(prefix, token.text)) {
      bracket.operators.push([prefix[token.text][1], prefix[token.text][0], 1]);
      return true;
    } else if (token.text === "(") {
      this.open.push(bracketOf(token));
      return true;
    } else if (token.text === "[") {
      if (!bracket.callee || bracket.operators.length) this.fail("parse_list", token);
      this.open.push(bracketOf(token));
      return true;
    } else if (
      ")]".includes(token.text) &&
      token.text &&
      takesSeveral(bracket) &&
      untouched(bracket) &&
      !bracket.given.length
    )
      this.close(token);
    else if (token.kind === "end") this.fail("parse_end", token);
    else {
      this.checkSign(token);
      this.fail("parse_operand", token);
    }
    return false;
  }

  name(token) {
    const name = token.text;
    const following = this.tokens[this.next];
    const bracket = this.open.at(-1);
    const { functions, constants } = page.grammar;
    const product = [...name].indexOf("·"); // the normal form of a letter such as "ŀ" has this sign
    if (product >= 0)
      this.fail("parse_meant", { text: "·", column: token.column + product }, { meant: page.grammar.meant["·"] });
    if (page.keywords.includes(name)) {
      this.checkSign(token);
      this.fail("parse_reserved", token);
    }
    this.checkDots(token);
    const known = Object.hasOwn(functions, name);
    if (following.text === "(") {
      if (!known && this.values.has(name)) this.fail("parse_called_variable", token);
      if (!known) this.unknown(token);
      this.open.push(bracketOf(this.take(), token));
      return true;
    }
    if (following.text === "=" && bracket.callee && untouched(bracket)) {
      this.take();
      bracket.keyword = name;
      return true;
    }
    if (!this.values.has(name) && Object.hasOwn(constants, name)) bracket.operands.push(decoded(constants[name]));
    else if (!this.values.has(name) && known) {
      this.checkSign(following); // it may be a full-width bracket, which has a better message
      this.fail("parse_uncalled_function", token);
    } else {
      const { variables } = this.recorder;
      bracket.operands.push(
        this.recorder.variable(name, this.values.get(name) ?? FIRST[variables.size % FIRST.length]),
      );
    }
    return false;
  }

  operator(token) {
    const bracket = this.open.at(-1);
    const { infix } = page.grammar;
    if (Object.hasOwn(infix, token.text)) {
      if (Array.isArray(bracket.operands.at(-1))) this.fail("parse_list", token);
      const [name, precedence, right] = infix[token.text];
      this.reduce(bracket, precedence + right);
      bracket.operators.push([precedence, name, 2]);
      return true;
    }
    if (token.text === ",") {
      if (!takesSeveral(bracket)) this.fail("parse_comma", token);
      this.endArgument(bracket);
      return true;
    }
    if (token.text === ")" || token.text === "]") {
      this.endArgument(bracket);
      this.close(token);
      return false;
    }
    this.checkSign(token);
    this.fail("parse_operator", token);
  }

  reduce(bracket, precedence) {
    while (bracket.operators.length && bracket.operators.at(-1)[0] >= precedence) {
      const [, name, arity] = bracket.operators.pop();
      const operands = bracket.operands.splice(-arity);
      bracket.operands.push(this.recorder.apply(name, operands));
    }
  }

  endArgument(bracket) {
    this.reduce(bracket, 0);
    bracket.given.push({ keyword: bracket.keyword, value: bracket.operands.pop() });
    bracket.keyword = "";
  }

  close(token) {
    const bracket = this.open.pop();
    if (!["()", "[]"].includes(bracket.opening.text + token.text)) this.fail("parse_closing", token);
    const result = bracket.callee
      ? this.call(bracket.callee, bracket.given)
      : takesSeveral(bracket)
        ? bracket.given.map(({ value }) => value)
        : bracket.given[0].value;
    this.open.at(-1).operands.push(result);
  }

  // Bind arguments to parameters as Python does, and put them in the order of the operation's operands.
  call(token, given) {
    const { parameters, named, order, some, alike, usage } = page.grammar.functions[token.text];
    const bound = new Map();
    const refuse = key => this.fail(key, token, { usage });
    given.forEach(({ keyword, value }, i) => {
      const late = !keyword && given.slice(0, i).some(each => each.keyword);
      const name = keyword || parameters[i]?.[0];
      const known = parameters.some(([each]) => each === name);
      if (late || !known || bound.has(name) || (keyword && !named)) refuse("parse_call");
      bound.set(name, value);
    });
    for (const [name, list, fallback] of parameters) {
      if (bound.has(name) ? list && !Array.isArray(bound.get(name)) : !fallback.length) refuse("parse_call");
      if (!bound.has(name) && fallback[0] !== null) bound.set(name, fallback[0]);
    }
    const lists = parameters.filter(([, list]) => list).map(([name]) => bound.get(name));
    if (some && lists.some(list => !list.length)) refuse("parse_lists");
    if (alike && lists.some(list => list.length !== lists[0].length)) refuse("parse_lists");
    for (const [name, list] of parameters) if (!list && Array.isArray(bound.get(name))) refuse("parse_call");
    if (lists.flat().some(Array.isArray)) refuse("parse_call");
    const places = order ?? parameters.map(([name]) => name);
    const operands = places.flatMap(name => bound.get(name) ?? []);
    try {
      if (token.text in page.operations) return this.recorder.apply(token.text, operands);
      // mean() is no operation, so it has no row that the page could take it from. It is the only such function, and
      // records what mean() in ops/table.py does.
      return this.recorder.apply("div", [this.recorder.apply("sum", operands), operands.length]);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.fail("too_many_operands", token, { most: error.message });
    }
  }

  // Throw an error if the token is a sign or a word that no expression contains, and suggest what was meant. Names of
  // other kinds pass.
  checkSign(token) {
    const { infix, meant: meanings } = page.grammar;
    const { kind, text } = token;
    const isRead = sign => Object.hasOwn(infix, sign) || "()[],".includes(sign);
    const meaning = sign => (Object.hasOwn(meanings, sign) ? meanings[sign] : null);
    if (!["sign", "name"].includes(kind) || isRead(text)) return;
    const plain = text.normalize("NFKC");
    const meant = meaning(text) ?? meaning(plain) ?? plain;
    if (meant !== text && (meant !== plain || isRead(plain) || /^[0-9]+$/.test(plain)))
      this.fail("parse_meant", token, { meant });
    if (kind === "sign") this.fail("parse_sign", token, { operators: Object.keys(infix).join(" ") });
  }

  // Throw an error for the name of a function that does not exist, and suggest what was meant.
  unknown(token) {
    this.checkSign(token);
    this.fail("parse_unknown_function", token, { near: meantName(token.text, Object.keys(page.grammar.functions)) });
  }

  // Throw an error if the name begins a name with dots, as in np.tanh(x) or x.tanh(), and suggest tanh(x).
  checkDots(token) {
    const { functions, constants, libraries } = page.grammar;
    let at = this.next;
    let last = token;
    for (; this.tokens[at].text === "." && this.tokens[at + 1].kind === "name"; at += 2) last = this.tokens[at + 1];
    if (last === token) return;
    const isFunction = Object.hasOwn(functions, last.text);
    if (libraries.includes(token.text) && !this.values.has(token.text)) {
      const known = isFunction || Object.hasOwn(constants, last.text);
      if (!known) this.unknown(last);
      this.fail("parse_dot", token, { meant: isFunction ? `${last.text}(...)` : last.text });
    }
    if (isFunction && at === this.next + 2) this.fail("parse_dot", token, { meant: `${last.text}(${token.text})` });
  }

  fail(key, token, details = {}) {
    const error = new ReadError(key, token.column, { found: `'${token.text}'`, ...details });
    const last = this.tokens.at(-2) ?? token; // the last token before the end
    error.unfinished =
      ["parse_end", "parse_unclosed"].includes(key) || (key === "parse_uncalled_function" && token === last);
    throw error;
  }
}

const bracketOf = (opening, callee = null) => ({
  opening,
  callee,
  keyword: "",
  given: [],
  operands: [],
  operators: [],
});
const takesSeveral = bracket => Boolean(bracket.callee) || bracket.opening.text === "[";
const untouched = bracket => !bracket.keyword && !bracket.operators.length;
