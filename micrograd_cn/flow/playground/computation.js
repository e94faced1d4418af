// Record the loss of a training step as a graph for the stepper. It has the same nodes as in the library.

import { recordLoss, recordNetwork } from "./network.js";
import { Recorder } from "./recorder.js";

const MOST_TERMS = 16; // A sum has at most so many terms. More terms are added up in groups.

export function computationOf(trainer, samples) {
  const recorder = new Recorder();
  const { network, points, loss } = trainer;
  const alone = samples.length === 1;
  const within = (name, record) => (name ? recorder.within(name, record) : record());
  const leaf = (name, x) => recorder.leaf(recorder.path(name), 3, x);
  const weights = network.layers.map(({ nin, nout, first }, l) =>
    within(`layers.${l}`, () =>
      Array.from({ length: nout }, (_, j) => {
        const at = first + j * (nin + 1);
        return within(`neurons.${j}`, () =>
          Array.from({ length: nin + 1 }, (_, i) => leaf(i < nin ? `w${i}` : "b", network.data[at + i])),
        );
      }),
    ),
  );
  const terms = samples.map(i =>
    within(alone ? "" : `samples.${i}`, () => {
      const inputs = points[i].inputs.map((x, k) => recorder.leaf(`x${k + 1}${alone ? "" : `#${i + 1}`}`, 1, x));
      const [output] = recordNetwork(recorder, weights, inputs, network).at(-1).out;
      return recordLoss(recorder, loss.steps[points[i].label], output);
    }),
  );
  const root = alone ? terms[0] : recorder.apply("div", [addedUp(recorder, terms), samples.length]);
  return recorder.finish(root, "loss");
}

function addedUp(recorder, terms) {
  if (terms.length <= MOST_TERMS) return recorder.apply("sum", terms);
  const some = [];
  for (let i = 0; i < terms.length; i += MOST_TERMS) some.push(addedUp(recorder, terms.slice(i, i + MOST_TERMS)));
  return addedUp(recorder, some);
}
