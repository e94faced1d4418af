// Record the loss of a training step as a graph for the stepper. It has the same nodes as in the library.

import { Recorder } from "./recorder.js";

const MOST_TERMS = 16; // A sum has at most so many terms. More terms are added up in groups.

export function computationOf(trainer, samples) {
  const recorder = new Recorder(), groups = [], { network, points, loss } = trainer;
  const group = (name, outer) => groups.push([name, outer]) - 1;
  const alone = samples.length === 1;
  const places = outer => network.layers.map(({ nout }, l) => {
    const layer = group(`layers.${l}`, outer);
    return Array.from({ length: nout }, (_, j) => group(`neurons.${j}`, layer));
  });
  const parts = places(-1);
  const weights = network.layers.map(({ nin, nout, first }, l) => Array.from({ length: nout }, (_, j) => {
    const at = first + j * (nin + 1), path = `layers.${l}.neurons.${j}`;
    return Array.from({ length: nin + 1 }, (_, i) => recorder.leaf(`${path}.${i < nin ? `w${i}` : "b"}`, 3, network.data[at + i], parts[l][j]));
  }));
  const terms = samples.map(i => {
    const sample = alone ? -1 : group(`sample ${i + 1}`, -1), inside = alone ? parts : places(sample);
    let xs = points[i].inputs.map((x, k) => recorder.leaf(`x${k + 1}${alone ? "" : `#${i + 1}`}`, 1, x, sample));
    network.layers.forEach(({ nin, nout, last }, l) => {
      xs = Array.from({ length: nout }, (_, j) => {
        const w = weights[l][j], total = recorder.apply("dot", [...w.slice(0, nin), ...xs, w[nin]], inside[l][j]);
        return last ? total : recorder.apply(network.activation, [total, ...network.extra], inside[l][j]);
      });
    });
    const values = [xs[0]];
    for (const [name, operands] of loss.steps[points[i].label]) {
      values.push(recorder.apply(name, operands.map(x => (Array.isArray(x) ? x[0] : values[x])), sample));
    }
    return values.at(-1);
  });
  const root = alone ? terms[0] : recorder.apply("div", [addedUp(recorder, terms), samples.length]);
  return recorder.finish(root, groups, "loss");
}

function addedUp(recorder, terms) {
  if (terms.length <= MOST_TERMS) return recorder.apply("sum", terms);
  const some = [];
  for (let i = 0; i < terms.length; i += MOST_TERMS) some.push(addedUp(recorder, terms.slice(i, i + MOST_TERMS)));
  return addedUp(recorder, some);
}
