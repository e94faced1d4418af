// Tell what a step does, in one or two sentences.

import { earlierGradient, gradient, whyNothing } from "./engine.js";
import { flowsTo, isLeaf, isNamed, receiver } from "./graph.js";
import { called } from "./labels.js";
import { largestOf, smallestOf } from "./lists.js";
import { nodeName, operandName, partName, placedName } from "./parts.js";
import { expressionOf, filled, filledApart, marked, shown } from "./text.js";

/**
 * Return the sentences about a step. If its number is `asked` for, the sentence has a "?" in its place and ends there.
 * @param {View} view
 * @param {Step | undefined} step
 * @param {Step | undefined} next
 * @param {Words} words
 * @param {{ asked?: boolean, fresh?: boolean }} given
 */
export function narration(view, step, next, words, { asked = false, fresh = false }) {
  const { shape, state } = view;
  if (!step) return words.at_start;
  if (step.kind === "zero") return words.at_zero;
  if (step.kind === "forward") {
    const sentence = forwardSentence(view, words, step, asked);
    return fresh ? `${sentence}\n${words.forward_done}` : sentence;
  }
  const told =
    step.kind === "seed"
      ? [seedSentence(view, words, step, asked)]
      : shape.boxes[step.box].folded
        ? [foldedSentence(view, words, step)]
        : sendSentences(view, words, step, asked);
  if (!asked && next?.kind !== "send") {
    told.push(words.is_done);
    if (state.passes > 1) told.push(filled(words.is_done_again, { count: state.passes }));
  }
  return told.join("\n");
}

/**
 * @param {View} view
 * @param {Words} words
 * @param {Step} step
 * @param {boolean} asked
 */
function forwardSentence(view, words, step, asked) {
  const { shape, graph, numbers } = view;
  if (shape.boxes[step.box].folded) return seenSentence(view, words, step.box);
  const node = graph.nodes[step.node];
  const names = node.parents.map(i =>
    graph.nodes[i].gets || isNamed(graph.nodes[i]) ? operandName(shape, i, words) : shown(numbers.data[i]),
  );
  const inNumbers = expressionOf(
    node.text,
    node.parents.map(i => shown(numbers.data[i])),
  );
  const value = asked ? "?" : shown(numbers.data[step.node]);
  const sides = [nodeName(graph, step.node, words), expressionOf(node.text, names), inNumbers];
  return filled(words.at_forward, {
    formula: sides.filter((side, i) => side !== value && side !== sides[i - 1]).join(" = "),
    value,
  });
}

/**
 * Tell what a closed part has computed, and from which inputs.
 * @param {View} view
 * @param {Words} words
 * @param {number} b the index of the box
 */
function seenSentence({ shape, graph, numbers }, words, b) {
  const inputs = new Map();
  const box = shape.boxes[b];
  const own = new Set(box.nodes);
  const used = new Set([graph.root]);
  for (const { source, target, slots } of shape.edges) {
    if (target === b) inputs.set(source, shape.boxes[source]);
    if (source === b) for (const [node, slot] of slots) used.add(graph.nodes[node].parents[slot]);
  }
  const outputs = [...used].filter(i => own.has(i)).map(i => numbers.data[i]);
  const value = i => `${nodeName(graph, i, words)} = ${shown(numbers.data[i])}`;
  const texts = [...inputs.values()].map(each =>
    each.folded ? partName(graph, each.group, words) : value(each.nodes[0]),
  );
  const [least, most] = [smallestOf(outputs), largestOf(outputs)].map(shown);
  const told = {
    part: partName(graph, box.group, words),
    inputs: enumerated(texts, words),
    value: shown(outputs[0]),
    count: outputs.length,
    least,
    most,
  };
  return filledApart(
    texts.length ? (outputs.length === 1 ? words.at_part : words.at_part_several) : words.at_part_alone,
    told,
  );
}

/**
 * @param {string[]} texts
 * @param {Words} words
 */
function enumerated(texts, words, most = 6) {
  const some =
    texts.length > most
      ? [...texts.slice(0, most - 1), filled(words.others, { count: texts.length - most + 1 })]
      : texts;
  return some.join(words.comma);
}

/**
 * @param {View} view
 * @param {Words} words
 * @param {Step} step
 * @param {boolean} asked
 */
function seedSentence({ graph, state }, words, step, asked) {
  let template = asked ? words.at_seed_asked : words.at_seed;
  if (state.passes > 1) template = words.at_seed_again;
  const name = nodeName(graph, step.node, words);
  return filled(template, { name, value: asked ? "?" : shown(gradient(state, step.node)) });
}

/**
 * @param {View} view
 * @param {Words} words
 * @param {Step} step
 */
function foldedSentence({ shape, graph, state }, words, step) {
  const { group, nodes } = shape.boxes[step.box];
  const receivers = new Set(step.moves.map(move => shape.boxOf[receiver(graph, move)]));
  const names = [...receivers].map(b => {
    const box = shape.boxes[b];
    return b === step.box ? words.itself : box.folded ? partName(graph, box.group, words) : called(box.name);
  });
  let sent = 0;
  let all = 0;
  for (const i of nodes)
    graph.nodes[i].parents?.forEach((_, slot) => {
      if (!flowsTo(graph, graph.nodes[i], slot)) return;
      all++;
      sent += Number(state.sent[graph.nodes[i].slots + slot] !== undefined);
    });
  const told = {
    part: partName(graph, group, words),
    to: enumerated(names, words),
    count: step.moves.length,
    sent,
    all,
  };
  return filledApart(words.at_send_part, told);
}

const signOf = x => (x > 0 ? "product plus" : x < 0 ? "product minus" : "product");

/**
 * @param {View} view
 * @param {Words} words
 * @param {Step} step
 * @param {boolean} asked
 */
function sendSentences(view, words, { moves: [move] }, asked) {
  const { shape, graph, numbers, state } = view;
  const i = receiver(graph, move);
  const name = placedName(shape, i, words);
  const nothing = whyNothing(view, move.node, move.slot);
  const sender = graph.nodes[move.node];
  const template = nothing && asked ? words.at_nothing_asked : words[`narrate_${nothing ?? "edge"}`];
  const sentence = filled(template, {
    name: nothing ? name : nodeName(graph, i, words),
    node: nodeName(graph, move.node, words),
    op: sender.symbol,
    before: shown(earlierGradient(state, i)),
    local: marked("local", shown(numbers.partials[move.node][move.slot])),
    upstream: marked("upstream", shown(gradient(state, move.node))),
    after: asked ? "?" : marked(signOf(gradient(state, i)), shown(gradient(state, i))),
  });
  if (asked) return [sentence];
  const count = state.terms[i].length;
  const total = graph.expected[i];
  const leaf = isLeaf(graph.nodes[i]);
  if (nothing && count === total) return [sentence];
  const complete = leaf ? words.leaf_complete : words.is_complete;
  const waiting = leaf ? words.leaf_waiting : words.is_waiting;
  return [sentence, filled(count < total ? waiting : complete, { name, count, total })];
}
