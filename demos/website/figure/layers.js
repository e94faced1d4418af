// Section 13: how large activations and gradients are in each of twenty layers, for weights of a standard deviation.

import { axes, line, paint } from "./axes.js";
import { words } from "./asking.js";
import { makeFigure } from "./figure.js";
import { Network } from "../playground/network.js";
import { Random } from "../playground/random.js";
import { openDoor } from "../stepper/door.js";
import { byId, html, svg } from "../stepper/elements.js";
import { page } from "../stepper/page.js";
import { shown } from "../stepper/text.js";

const WIDTH = 24; // neurons in each layer
const DEPTH = 20;
const SAMPLES = 30;
const EXTENT = [[0.5, DEPTH + 0.5], [-16, 12]]; // layers, and powers of ten
const FAR = 99; // a power of ten far outside the picture

const sizes = [WIDTH, ...Array(DEPTH).fill(WIDTH), 1];
const chosen = { activation: page.activations[0] };

const rng = new Random(0);
const normal = count => Float64Array.from({ length: count }, () => rng.gauss(0, 1));
const inputs = Array.from({ length: SAMPLES }, () => normal(WIDTH));
const networks = Object.fromEntries(page.activations.map(name => [name, new Network(sizes, name, "zeros", 0)]));
const drawn = normal(networks[chosen.activation].data.length);

// Give the weights of the network another standard deviation. Biases are 0, and a random sum of the last outputs stands
// in for a loss.
function spread(network, deviation) {
  for (const { nin, nout, first, last } of network.layers) {
    for (let j = 0; j < nout; j++) for (let i = 0; i < nin; i++) {
      const at = first + j * (nin + 1) + i;
      network.data[at] = (last ? 1 : deviation) * drawn[at];
    }
  }
}

// Return the root of the mean square of the activations in each layer, and of the gradients with respect to them.
function sizesOf(network) {
  const hidden = network.layers.slice(0, -1), total = hidden.map(() => [0, 0]);
  for (const each of inputs) {
    network.forward(each);
    network.backwardFrom(1);
    hidden.forEach(({ out, back }, l) => [out, back].forEach((numbers, k) => numbers.forEach(x => (total[l][k] += x * x))));
  }
  return [0, 1].map(k => total.map(sums => Math.sqrt(sums[k] / (inputs.length * WIDTH))));
}

const figure = makeFigure([
  { name: "deviation", low: 0.05, high: 1, step: 0.002, first: 0.204 },
], ({ picture, width, height, values: { deviation } }) => {
  const network = networks[chosen.activation], written = (x, k) => (k && x ? shown(10 ** x).replace("1×", "") : String(k ? 1 : x));
  spread(network, deviation);
  const [activations, gradients] = sizesOf(network);
  const { place, cut, elements } = axes({ width, height }, EXTENT, [words.layer, ""], { written });
  const up = size => Math.max(-FAR, Math.min(FAR, Math.log10(size))); // of 0, too
  const curve = (numbers, look) => {
    const points = numbers.map((size, l) => place([l + 1, up(size)]));
    const marks = points.map(([x, y]) => (look === "forward" ? svg("circle", { class: look, cx: x, cy: y, r: 4 }) : svg("path", { class: look, d: `M${x - 5} ${y}l8-5v10z` })));
    return [line(points, look), ...marks];
  };
  paint(picture, [...elements, cut([...curve(activations, "forward"), ...curve(gradients, "backward")])]);
  const told = { activation: chosen.activation, deviation, first: gradients[0], last: gradients.at(-1), share: gradients[0] / gradients.at(-1) };
  return { kind: "sizes", ...told, early: activations[0], late: activations.at(-1) };
});

const field = html("select", { id: "activation" }, ...page.activations.map(name => html("option", {}, name)));
field.addEventListener("change", () => {
  chosen.activation = field.value;
  figure.show();
});
byId("numbers").append(html("p", {}, html("label", { for: "activation" }, words.activation), field));
openDoor({ inputs });
