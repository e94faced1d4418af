// Numbers of the language model as graphs for the stepper: the loss of a word, a chance, what a head attends to.

import { crossEntropy, gpt, meanOf, softmax } from "./gpt.js";
import { Recording } from "./recording.js";

// The number that one asks of some tokens: `ask` finds its node in what was recorded of each.
function openedGraph(learner, tokens, ask) {
  const { program, weights, letters } = learner, recording = new Recording(letters);
  const leaves = Object.fromEntries(Object.entries(weights).map(([name, rows]) => {
    const named = j => (name === "wte" || name === "lm_head" ? letters[j] : String(j));
    const row = (places, j) => recording.within(named(j), () => places.map((place, i) => recording.leaf(String(i), program.data[place])));
    return [name, insideOf(recording, name.split("."), () => rows.map(row))];
  }));
  return recording.finish(ask(recording, tokens.map(gpt(recording, leaves, learner))));
}

// Record inside parts that are in each other.
function insideOf(recording, [first, ...rest], record) {
  return first === undefined ? record() : recording.within(first, () => insideOf(recording, rest, record));
}

// The loss of a word, as a step has it.
export function lossGraph(learner, word) {
  const tokens = learner.tokensOf(word);
  return openedGraph(learner, tokens.slice(0, -1), (recording, positions) => recording.within("loss", () => {
    return meanOf(recording, positions.map(({ logits }, i) => crossEntropy(recording, logits, tokens[i + 1], `loss${i}`)), "loss");
  }));
}

// The chance of a token after others.
export function chanceGraph(learner, tokens, next) {
  return openedGraph(learner, tokens, (recording, positions) => recording.within("chance", () => softmax(recording, positions.at(-1).logits, "chance")[next]));
}

// How much of its attention a head gives to one of the tokens at the last of them; heads are counted through all layers.
export function attentionGraph(learner, tokens, head, seen) {
  return openedGraph(learner, tokens, (_, positions) => positions.at(-1).attention[head][seen]);
}
