// What the reader sees at a moment of a run: the facts that the picture shows, what the step is about, and the
// sentences about it. A run has a shape, its numbers, moves and steps, the words, and what the reader has chosen.

import { narration } from "./narration.js";
import { activeIn, makeView, masked } from "./view.js";

/**
 * Return the moment after `done` moves. `step` is the step that they end with, and `next` is the step after it.
 * @param {Run} run
 * @param {number} done
 * @param {Step} [step]
 * @param {Step} [next]
 */
export function momentAt({ shape, numbers, moves, words, chosen }, done, step, next, fresh = false) {
  const view = makeView(shape, numbers, moves, done);
  const seen = masked(view, chosen.hides);
  const hidden = seen !== view;
  const told = narration(view, step, next, words, { fresh, asked: hidden && step?.kind === "send" });
  return { view, seen, told, active: activeIn(shape, step), step: hidden ? null : step };
}

/**
 * Return the moment at which the reader is. While a number is asked for, it is the moment before the step, and the
 * sentence about the step has a question mark. If the reader is `fresh`, they are also told what Step does.
 * @param {Run & { position: number, lastStep: Step | undefined }} run
 */
export function momentNow(run, fresh = run.chosen.fresh) {
  const {
    position: at,
    lastStep,
    steps,
    words,
    shape,
    numbers,
    moves,
    chosen: { done, asking },
  } = run;
  const now = momentAt(run, done, lastStep, steps[at], fresh);
  if (!asking) return now;
  const after = makeView(shape, numbers, moves, steps[at].end);
  return {
    ...now,
    active: activeIn(shape, steps[at]),
    step: null,
    told: narration(after, steps[at], steps[at + 1], words, { asked: true }),
  };
}
