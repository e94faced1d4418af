// Section 10: a path of gradient descent over the contours of a loss of two parameters.

import { axes, line, paint } from "./axes.js";
import { makeFigure } from "./figure.js";
import { Recorded } from "./recorded.js";
import { levelLine } from "../playground/contour.js";
import { svg } from "../stepper/elements.js";

const SHOWN = [[-1, 5], [-4, 3]]; // w and b
const LEVELS = [0.05, 0.3, 1, 3, 6, 12, 20, 30, 45];
const SPACING = 1 / 16; // of the grid on which the loss is computed for the contours
const STEPS = 25;
const loss = new Recorded();
const landscape = { key: "", lines: [] };

// Return the contours between two corners, each as a path. They are kept until the corners change.
function contours(low, high, place) {
  const key = [...low, ...high, ...place(low)].join();
  if (landscape.key === key) return landscape.lines;
  const [wide, tall] = [0, 1].map(k => Math.ceil((high[k] - low[k]) / SPACING) + 1);
  const point = (column, row) => [low[0] + column * SPACING, low[1] + row * SPACING];
  const heights = Float64Array.from({ length: wide * tall }, (_, i) => {
    const [w, b] = point(i % wide, Math.floor(i / wide));
    return loss.value({ w, b });
  });
  const lines = LEVELS.map(level => levelLine(heights, wide, level).map(([start, end]) => `M${place(point(...start))}L${place(point(...end))}`).join(""));
  return Object.assign(landscape, { key, lines }).lines;
}

makeFigure([
  { name: "rate", low: 0.01, high: 0.3, step: 0.005, first: 0.05 },
  { name: "w", low: -1, high: 5, step: 0.05, first: 0.6 },
  { name: "b", low: -4, high: 3, step: 0.05, first: 1.2 },
], ({ picture, width, height, values: { rate, w, b }, choose }) => {
  const { place, at, cut, low, high, elements } = axes({ width, height }, SHOWN, ["w", "b"], { alike: true });
  const path = [{ w, b }];
  while (path.length <= STEPS) {
    const last = path.at(-1), slope = loss.gradient(last);
    path.push({ w: last.w - rate * slope.w, b: last.b - rate * slope.b });
  }
  const points = path.map(each => place([each.w, each.b]));
  const lines = [...contours(low, high, place).map(d => svg("path", { class: "contour", d })), line(points, "way")];
  const steps = points.slice(1).map(([cx, cy]) => svg("circle", { class: "step", cx, cy, r: 3 }));
  const moved = where => {
    const [toW, toB] = at(where);
    choose({ w: toW, b: toB });
  };
  paint(picture, [...elements, cut([...lines, ...steps])], [{ place: points[0], look: "first", moved }]);
  const before = loss.value(path[0]), after = loss.value(path.at(-1));
  return { kind: after < before ? "falls" : after > before ? "rises" : "stays", rate, w, b, before, after, count: STEPS };
});
