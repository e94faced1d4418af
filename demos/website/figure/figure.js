// A figure: numbers that the reader drags, in the picture or by sliders, and a sentence that says what the picture shows.

import { ask, words } from "./asking.js";
import { byId, html } from "../stepper/elements.js";
import { filled, shown } from "../stepper/text.js";

const digitsOf = step => Math.max(0, Math.ceil(-Math.log10(step)));

// Make sliders for numbers, and draw the figure whenever one of them changes.
//
// `numbers` has for each number its name, the limits `low` and `high`, the `step` between two of its values, and its
// `first` value. The function `draw` gets the picture's element, its width and height, and the values; it returns the
// values that the page's sentence is filled with.
export function makeFigure(numbers, draw) {
  const picture = byId("picture"), values = {}, sliders = {};
  const show = () => {
    const { clientWidth: width, clientHeight: height } = picture;
    if (!width || !height) return;
    picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    byId("told").textContent = tellIn(draw({ picture, width, height, values, choose }));
  };
  // Change some numbers, each to the nearest value that its slider has.
  const choose = changes => {
    for (const [name, x] of Object.entries(changes)) {
      const { low, high, step } = numbers.find(each => each.name === name);
      values[name] = Number(Math.min(high, Math.max(low, Math.round(x / step) * step)).toFixed(digitsOf(step)));
      sliders[name].value = values[name];
      sliders[name].nextElementSibling.textContent = shown(values[name]);
    }
    show();
  };
  for (const { name, low, high, step, first } of numbers) {
    const input = html("input", { type: "range", id: name, min: low, max: high, step, value: first });
    input.addEventListener("input", () => choose({ [name]: Number(input.value) }));
    const label = html("label", { for: name }, words.numbers[name]);
    byId("numbers").append(html("p", {}, label, input, html("output", { for: name }, shown(first))));
    Object.assign(values, { [name]: first });
    sliders[name] = input;
  }
  new ResizeObserver(show).observe(picture);
  ask(() => {
    byId("numbers").disabled = false;
    sliders[numbers[0].name].focus({ preventScroll: true });
  });
  return { values, choose, show };
}

// Return a sentence of the page with its numbers. `told` names the sentence in `kind`.
function tellIn({ kind, ...told }) {
  return filled(words.told[kind], Object.fromEntries(Object.entries(told).map(([key, x]) => [key, typeof x === "number" ? shown(x) : x])));
}
