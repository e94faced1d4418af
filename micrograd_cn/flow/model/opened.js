// Make graphs for the stepper of numbers in the language model: a loss, a chance, or a share of a head's attention.

import { crossEntropy, gpt, meanOf, softmax } from "./gpt.js";
import { Recorder } from "../playground/recorder.js";

/**
 * Return the graph of a number that the model computes from some tokens. `ask` returns the number's node, given what
 * was recorded for each token.
 * @param {import("./learner.js").Learner} learner
 * @param {number[]} tokens
 * @param {(recorder: Recorder, positions: any[]) => import("../playground/recorder.js").Ref} ask
 * @returns {Recorded}
 */
function openedGraph(learner, tokens, ask) {
  const { sweeps, weights, letters } = learner;
  const recorder = new Recorder(letters);
  const leaves = Object.fromEntries(
    Object.entries(weights).map(([name, rows]) => {
      const named = j => (name === "wte" || name === "lm_head" ? letters[j] : String(j));
      const row = (places, j) =>
        recorder.within(named(j), () =>
          places.map((place, i) => recorder.leaf(recorder.path(String(i)), 3, sweeps.data[place])),
        );
      return [name, insideOf(recorder, name.split("."), () => rows.map(row))];
    }),
  );
  return recorder.finish(ask(recorder, tokens.map(gpt(recorder, leaves, learner))));
}

/**
 * Record inside nested parts.
 * @template Result
 * @param {Recorder} recorder
 * @param {string[]} path
 * @param {() => Result} record
 * @returns {Result}
 */
function insideOf(recorder, [first, ...rest], record) {
  return first === undefined ? record() : recorder.within(first, () => insideOf(recorder, rest, record));
}

// Return the graph of a word's loss in a training step.
export function lossGraph(learner, word) {
  const tokens = learner.tokensOf(word);
  return openedGraph(learner, tokens.slice(0, -1), (recorder, positions) =>
    recorder.within("loss", () => {
      return meanOf(
        recorder,
        positions.map(({ logits }, i) => crossEntropy(recorder, logits, tokens[i + 1], `loss${i}`)),
        "loss",
      );
    }),
  );
}

// Return the graph of the chance that a token follows some tokens.
export function chanceGraph(learner, tokens, next) {
  return openedGraph(learner, tokens, (recorder, positions) =>
    recorder.within("chance", () => softmax(recorder, positions.at(-1).logits, "chance")[next]),
  );
}

// Return the graph of the share of attention that a head gives to one of the tokens, at the last of them. Heads are
// counted through all layers.
export function attentionGraph(learner, tokens, head, seen) {
  return openedGraph(learner, tokens, (_, positions) => positions.at(-1).attention[head][seen]);
}
