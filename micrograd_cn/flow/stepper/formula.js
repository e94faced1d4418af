// Typeset the formula of a step in MathML: what a node is computed from, or the chain rule at an edge.

import { gradient, whyNothing } from "./engine.js";
import { isNamed, receiver } from "./graph.js";
import { called } from "./labels.js";
import { exact, rounded } from "./text.js";

const MATHML = "http://www.w3.org/1998/Math/MathML";
const LONGEST = 14; // letters of a name; a formula with a longer one would be too wide
const MOST_OPERANDS = 4;

/**
 * @param {string} name
 * @param {(Node | string)[]} children
 */
function math(name, ...children) {
  const element = document.createElementNS(MATHML, name);
  element.append(...children);
  return element;
}

const mathRow = (...children) => math("mrow", ...children);
const mathSign = text => math("mo", text);

/**
 * Return a number, with a power of ten as people write it.
 * @param {number} x
 */
function mathNumber(x) {
  const [digits, exponent] = Number.isFinite(x) ? rounded(Math.abs(x)).split("e") : [exact(Math.abs(x))];
  const ten = exponent
    ? [mathSign("×"), math("msup", math("mn", "10"), math("mn", String(Number(exponent)).replace("-", "−")))]
    : [];
  return mathRow(...(x < 0 ? [mathSign("−")] : []), math("mn", digits), ...ten);
}

// Return a number for a product or a power, with brackets around a negative one.
const inBrackets = x => (x < 0 ? mathRow(mathSign("("), mathNumber(x), mathSign(")")) : mathNumber(x));

/**
 * Return a name. Digits at its end are an index.
 * @param {string} name
 */
function nameOf(name) {
  const [, letters, digits] = /^(\p{L}+)(\d+)$/u.exec(name) ?? [];
  return letters ? math("msub", math("mi", letters), math("mn", digits)) : math("mi", called(name));
}

// Return the sides of an equation, with fractions in full size. A line may end before an equals sign.
function equation(...sides) {
  return sides.map((side, i) => {
    const element = math("math", ...(i ? [mathSign("=")] : []), side);
    element.setAttribute("displaystyle", "true");
    return element;
  });
}

const coloured = (look, element) => {
  element.setAttribute("class", look);
  return element;
};

// Return the derivative of one thing with respect to another.
const mathDerivative = (of, by) =>
  math("mfrac", mathRow(math("mi", "∂"), nameOf(of)), mathRow(math("mi", "∂"), nameOf(by)));

// How the page typesets operations that mathematics does not write as Python does. This is of drawing alone, so it is no
// fact of the operation's row. It is found by the text that the row gives, and a text without a layout is set as it is.
// An operand is an element, with brackets if it needs them.
/** @type {Record<string, (...operands: Element[]) => Element>} */
const LAYOUTS = {
  "{0} / {1}": (a, b) => math("mfrac", a, b),
  "{0} ** {1}": (a, b) => math("msup", a, b),
  "sqrt({0})": a => math("msqrt", a),
  "exp({0})": a => math("msup", math("mi", "e"), a),
  "{0} * {1}": (a, b) => mathRow(a, mathSign("·"), b),
};

// Return the result of a template such as "tanh({0})" for these operands.
function mathApplied(template, operands) {
  if (LAYOUTS[template]) return LAYOUTS[template](...operands);
  const pieces = template.split(/(\{\d+\}|\w+|[^\s\w{}]+)/).filter(piece => piece.trim());
  return mathRow(
    ...pieces.map(piece => {
      const slot = /^\{(\d+)\}$/.exec(piece);
      return slot ? operands[Number(slot[1])] : /^\w/.test(piece) ? math("mi", piece) : mathSign(piece);
    }),
  );
}

// Return an operand of a node: its name, or the number of a constant.
function operandOf({ graph, numbers }, i) {
  const node = graph.nodes[i];
  if (node.gets || isNamed(node)) return nameOf(node.name);
  return inBrackets(numbers.data[i]);
}

/**
 * Return the sides of the equation of a step, or none if it has no equation that is short.
 * @param {View} view
 * @param {Step | null | undefined} step
 * @returns {Element[]}
 */
export function formulaOf(view, step) {
  const { shape, graph, numbers, state } = view;
  if (!step || shape.boxes[step.box].folded || !["forward", "send"].includes(step.kind)) return [];
  const node = graph.nodes[step.node];
  const near = [node, ...node.parents.map(i => graph.nodes[i]), graph.nodes[graph.root]];
  if (node.parents.length > MOST_OPERANDS || near.some(({ name }) => name.length > LONGEST)) return [];
  if (step.kind === "forward") {
    const operands = node.parents.map(i => operandOf(view, i));
    return equation(nameOf(node.name), mathApplied(node.text, operands));
  }
  const [{ slot }] = step.moves;
  const i = receiver(graph, step.moves[0]);
  if (whyNothing(view, step.node, slot)) return [];
  const [root, own, by] = [graph.nodes[graph.root].name, node.name, graph.nodes[i].name];
  const local = numbers.partials[step.node][slot];
  const upstream = gradient(state, step.node);
  const product = local * upstream;
  return equation(
    mathRow(coloured("local", mathDerivative(own, by)), mathSign("·"), coloured("upstream", mathDerivative(root, own))),
    mathRow(coloured("local", inBrackets(local)), mathSign("·"), coloured("upstream", inBrackets(upstream))),
    coloured(product > 0 ? "product plus" : product < 0 ? "product minus" : "product", mathNumber(product)),
  );
}
