// Open computations of the language model in the stepper.

import { attentionGraph, chanceGraph, lossGraph } from "./opened.js";
import { headName, letterOf, readNow, textOf, typedTokens } from "./reading.js";
import { model } from "./settings.js";
import { rooms, stepThrough } from "../playground/rooms.js";
import { chooseLeaf } from "../stepper/editing.js";
import { around } from "../stepper/fold.js";
import { session } from "../stepper/session.js";
import { filled } from "../stepper/text.js";
import { viewport } from "../stepper/viewport.js";

// Open a number of the model in the stepper. Training stops first and finishes its batch, so the graph that `make` returns
// has the numbers of a whole step. When the reader returns, training goes on if it was running. `opened` says in a link
// what it is, and `tell` says it to the reader. The parts around the root, or around another node, are open.
/** @param {() => { made: Recorded, opened: string, tell: (words: Words) => string, node?: number }} make */
function enterModel(make) {
  model.resumes = model.running !== null;
  rooms.get("model").left();
  const { made, opened, tell, node = made.graph.root } = make();
  const { graph } = made;
  model.opened = opened;
  const open = new Set(around(graph, graph.nodes[node].group));
  const step = model.learner.done.toLocaleString("en");
  const origin = () => filled(session.words.m_origin, { told: tell(session.words), step });
  stepThrough(made, origin, () => session.choose({ open, anchor: null }));
  if (node !== graph.root) chooseLeaf(node);
  lookAt(box => box.nodes.includes(node));
}

// Bring the boxes into view that `chosen` accepts.
export function lookAt(chosen) {
  viewport.bring(session.shape.boxes.filter(chosen));
  viewport.touched = true; // otherwise the window would move back when it gets its size
}

const lossOf = word => ({
  made: lossGraph(model.learner, word),
  opened: `word.${word}`,
  tell: words => filled(words.m_origin_loss, { word }),
});

export const openWord = word => enterModel(() => lossOf(word));
export const openNextWord = () => enterModel(() => lossOf(model.learner.next()[0]));

export function openChance(next) {
  const read = readNow();
  const told = { next: letterOf(next), text: textOf(read) };
  enterModel(() => ({
    made: chanceGraph(model.learner, read, next),
    opened: `chance.${next}`,
    tell: words => filled(words.m_origin_chance, told),
  }));
}

export function openAttention(head, seen) {
  const read = readNow();
  const told = { at: letterOf(read.at(-1)), seen: letterOf(read[seen]), text: textOf(read) };
  enterModel(() => ({
    made: attentionGraph(model.learner, read, head, seen),
    opened: `attention.${head}.${seen}`,
    tell: words => filled(words.m_origin_attention, { ...told, head: headName(head) }),
  }));
}

// Open the loss of a word that contains the token: the word that was typed, or else the next one in training.
export function openEmbedding({ token, column }) {
  const { learner, settings } = model;
  const { tokens, fault } = typedTokens();
  const own = tokens.length > 1 && !fault;
  const has = word =>
    token === learner.end || [...word].slice(0, learner.block - 1).includes(learner.characters[token]);
  const start = learner.done * learner.batch;
  const next = learner.words.map((_, i) => learner.words[(start + i) % learner.words.length]).find(has);
  const word = own && has(settings.typed) ? settings.typed : next;
  if (word === undefined) return;
  const told = { word, number: column + 1, box: column, token: letterOf(token) };
  enterModel(() => {
    const made = lossGraph(learner, word);
    return {
      made,
      opened: `embedding.${token}.${column}`,
      tell: words => filled(words.m_origin_embedding, told),
      node: made.graph.nodes.findIndex(({ name }) => name === `wte.${learner.letters[token]}.${column}`),
    };
  });
}

// Open what a link says, if the model has it.
export function openFromLink(opened) {
  const { learner } = model;
  const [, kind, rest] = /^(\w+)\.(.+)$/s.exec(opened) ?? [];
  const numbers = /^\d+(\.\d+)?$/.test(rest ?? "") ? rest.split(".").map(Number) : [];
  const [i, k] = numbers;
  const isToken = i < learner.letters.length;
  if (kind === "word" && [...rest].every(c => learner.number.has(c))) openWord(rest);
  if (kind === "chance" && isToken) openChance(i);
  if (kind === "attention" && i < learner.heads * learner.layers && k < readNow().length) openAttention(i, k);
  if (kind === "embedding" && isToken && k < learner.width) openEmbedding({ token: i, column: k });
}
