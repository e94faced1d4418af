// Name layers and neurons, counted as in textbooks: the inputs are no layer, and the first hidden layer is number 1.

import { filled, filledApart } from "../stepper/text.js";

export function layerName({ layers }, l, words) {
  return l === layers.length - 1 ? words.output_layer : filled(words.hidden_layer, { number: l + 1 });
}

export function neuronName(network, l, j, words) {
  return filledApart(words.part_of, {
    inner: filled(words.part_neuron, { number: j + 1 }),
    outer: layerName(network, l, words),
  });
}
