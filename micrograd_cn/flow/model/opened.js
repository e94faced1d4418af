// Make graphs for the stepper of numbers in the language model: a loss, a chance, or a share of a head's attention.

import { crossEntropy, gpt, meanOf, softmax } from "./gpt.js";
import { Recording } from "./recording.js";

// Return the graph of a number that the model computes from some tokens. `ask` returns the number's node, given what
// was recorded for each token.
function openedGraph(learner, tokens, ask) {
  const { program, weights, letters } = learner, recording = new Recording(letters);
  const leaves = Object.fromEntries(Object.entries(weights).map(([name, rows]) => {
    const named = j => (name === "wte" || name === "lm_head" ? letters[j] : String(j));
    const row = (places, j) => recording.within(named(j), () => places.map((place, i) => recording.leaf(String(i), program.data[place])));
    return [name, insideOf(recording, name.split("."), () => rows.map(row))];
  }));
  return recording.finish(ask(recording, tokens.map(gpt(recording, leaves, learner))));
}

// Record inside nested parts.
function insideOf(recording, [first, ...rest], record) {
  return first === undefined ? record() : recording.within(first, () => insideOf(recording, rest, record));
}

// Return the graph of a word's loss in a training step.
export function lossGraph(learner, word) {
  const tokens = learner.tokensOf(word);
  return openedGraph(learner, tokens.slice(0, -1), (recording, positions) => recording.within("loss", () => {
    return meanOf(recording, positions.map(({ logits }, i) => crossEntropy(recording, logits, tokens[i + 1], `loss${i}`)), "loss");
  }));
}

// Return the graph of the chance that a token follows some tokens.
export function chanceGraph(learner, tokens, next) {
  return openedGraph(learner, tokens, (recording, positions) => recording.within("chance", () => softmax(recording, positions.at(-1).logits, "chance")[next]));
}

// Return the graph of the share of attention that a head gives to one of the tokens, at the last of them. Heads are
// counted through all layers.
export function attentionGraph(learner, tokens, head, seen) {
  return openedGraph(learner, tokens, (_, positions) => positions.at(-1).attention[head][seen]);
}
