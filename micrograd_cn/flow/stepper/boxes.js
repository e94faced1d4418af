// The texts of a box, and its size.

import { textWidth } from "./fitting.js";
import { isLeaf, isNamed } from "./graph.js";
import { cleaned, isolated } from "./labels.js";
import { titleOf } from "./parts.js";
import { bracketed, shown } from "./text.js";

const LEAST = 62; // pixels that a box is wide inside
export const MOST_SUMMED = 3; // terms of a gradient for which a box has room
// Pixels beside texts, between a word and its number, for the lock, for a title, for a line, and above and below them.
// A box always has room for the `usual` number, and for the usual `term` in a sum, so it keeps its size while numbers
// change.
const ROOMY = { side: 9, between: 10, usual: "-0.8888", term: "-0.8888", lock: 40, title: 21, line: 18, top: 5 };
// These pixels in a graph whose letters would otherwise be small.
const TIGHT = { side: 4, between: 4, usual: "-0.88", term: "8.888", lock: 19, title: 20, line: 18, top: 4 };
// These pixels in a vertical graph, which has to be low for the screen of a phone.
const LOW = { ...TIGHT, between: 3, title: 17, line: 15, top: 3 };

/**
 * Give a box its size, rows and roles. `numbers` returns the texts of the numbers that it will show.
 * @param {Shape} shape
 * @param {Box} box
 * @param {Words} words
 * @param {(box: Box, key: string) => string[]} numbers
 * @param {number} passes
 * @param {Arrangement} arrangement
 */
export function measure(shape, box, words, numbers, passes, { vertical, tight }) {
  const style = vertical ? LOW : tight ? TIGHT : ROOMY;
  const { side, between, usual, term, lock } = style;
  const { graph, frames } = shape;
  const [i] = box.nodes;
  const node = graph.nodes[i];
  const gets = box.folded || node.gets;
  box.bare = !box.folded && isLeaf(node) && !node.gets && !isNamed(node); // a number that was written in an expression
  const inside = box.frame >= 0 ? `${frames[box.frame].name}.` : "";
  const name = box.name.startsWith(inside) ? box.name.slice(inside.length) : box.name;
  const shownName = box.folded ? `+ ${cleaned(titleOf(graph, box, words))}` : cleaned(name);
  box.title = box.bare ? "" : node.symbol && !box.folded ? `${isolated(shownName)} = ${node.symbol}` : shownName;
  const root = box.nodes.includes(graph.root);
  const met = !box.folded && node.gets && (graph.expected[i] > 1 || (isLeaf(node) && passes > 1));
  box.pairs = box.bare ? [] : box.folded ? ["count", "norm"] : node.gets ? ["data", "grad"] : ["data"];
  // One note says what the gradient waits for or adds up. A second note has the gradient that a class of the reader
  // computed.
  box.notes = gets
    ? Number(met || (root && !vertical) || box.folded) + Number(Boolean(graph.handwritten) && !box.folded)
    : 0;
  const widths = box.pairs.map(
    key =>
      textWidth(wordOf(key, words), "word") +
      between +
      Math.max(...[usual, ...numbers(box, key)].map(text => textWidth(text, "grad"))),
  );
  const terms = graph.expected[i] + Number(passes > 1 && isLeaf(node)); // a second pass adds to what a leaf has
  const usualSum = `= ${Array(terms > MOST_SUMMED ? 2 : terms)
    .fill(term)
    .join(" + ")}`;
  const notes = met ? Math.max(...[usualSum, ...numbers(box, "sum")].map(text => textWidth(text, "note"))) : 0;
  const own = Math.max(LEAST, ...widths, notes, textWidth(box.title, "title") + (gets ? lock : 0));
  box.style = { ...style, between: Math.min(between, 8) };
  box.width = Math.ceil((box.bare ? textWidth(ROOMY.usual, "number") : own) + 2 * side);
  box.rows = [...(box.bare ? ["bare"] : ["title"]), ...box.pairs, ...Array(box.notes).fill("note")];
  const { title, line, top } = style;
  box.height = (box.bare ? 4 : title) + line * (box.rows.length - Number(!box.bare)) + 2 * top - (box.notes ? 2 : 0);
  const plain = isLeaf(node) && node.gets && !box.folded;
  const kinds = [box.folded && "filled", !box.folded && !node.gets && "dashed", plain && node.parameter && "thick"];
  box.roles = [...kinds, plain && !node.parameter && "rounded", root && !isLeaf(graph.nodes[graph.root]) && "double"]
    .filter(Boolean)
    .join(" ");
}

const wordOf = (key, words) =>
  ({ count: words.node_count, norm: words.grad_norm, data: words.data, grad: words.grad })[key];

/**
 * Return the texts of each row. A row is a title, a note, or a word with its number.
 * @param {Box} box
 * @param {Graph} graph
 * @param {BoxFacts & { words: Words }} facts
 * @param {Words} words
 * @param {number} width
 * @returns {string[][]}
 */
export function boxLines(box, graph, facts, words, width) {
  const number = x => (x === null ? (facts.asked ? "?" : "–") : shown(x));
  if (box.bare) return [[number(facts.value)]];
  const numbers = {
    count: String(box.nodes.length),
    norm: number(facts.grad),
    data: number(facts.value),
    grad: number(facts.grad),
  };
  const lines = [[box.title], ...box.pairs.map(key => [wordOf(key, words), numbers[key]])];
  if (!box.notes) return lines;
  if (box.notes > Number(facts.theirs !== null)) lines.push([noteOf(box, graph, facts, words, width)]);
  if (facts.theirs !== null)
    lines.push([`${words.theirs} ${number(facts.theirs)}${facts.state === "complete" ? agreement(facts) : ""}`]);
  return lines;
}

// Return what a gradient adds up, or what it waits for. That of the root is the seed.
function noteOf(box, graph, facts, words, width) {
  const added = facts.terms.length > 1 ? sumText(facts.terms, width - 2 * box.style.side) : "";
  if (!facts.began || facts.still) return added;
  if (box.nodes[0] === graph.root && !box.folded && !isLeaf(graph.nodes[graph.root])) return words.seed;
  const waits = facts.count < facts.total;
  return added || (waits || box.folded ? `${facts.count}/${facts.total}` : "");
}

// Return a mark that says whether the gradient of the reader's own class follows the chain rule, up to rounding.
function agreement({ grad, theirs, terms }) {
  const size = terms.reduce((total, x) => total + Math.abs(x), 0);
  if (Object.is(grad, theirs) || Math.abs(grad - theirs) <= 1e-6 * size) return " ✓";
  return Number.isNaN(grad) ? "" : ` ≠ ${shown(grad)}`; // the gradient is nan if a local derivative is unknown
}

/**
 * Return the terms as a sum. If there is no room for all of them, the first ones are left out.
 * @param {number[]} terms
 * @param {number} width
 */
export function sumText(terms, width) {
  const texts = terms.map(x => bracketed(shown(x)));
  let shownTerms = texts.length;
  const text = () => `= ${shownTerms < texts.length ? "… + " : ""}${texts.slice(-shownTerms).join(" + ")}`;
  while (shownTerms > 1 && textWidth(text(), "note") > width) shownTerms--;
  return text();
}
