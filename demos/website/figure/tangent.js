// Section 1: the tangent of a curve at x, and the secant through the points at x and x + h.

import { axes, line, paint } from "./axes.js";
import { makeFigure } from "./figure.js";
import { Recorded } from "./recorded.js";

const REACHED = [[-0.5, 5.5], [-4.5, 9]]; // x and y
const PIECES = 120; // of the curve
const f = new Recorded();

makeFigure([
  { name: "h", low: -2, high: 2, step: 0.05, first: 1.5 },
  { name: "x", low: 0, high: 5, step: 0.05, first: 3 },
], ({ picture, width, height, values: { x, h }, choose }) => {
  const { place, at, cut, low, high, elements } = axes({ width, height }, REACHED, ["x", "y"]);
  const y = f.value({ x }), end = f.value({ x: x + h }), tangent = f.gradient({ x }).x, secant = (end - y) / h;
  const curve = Array.from({ length: PIECES + 1 }, (_, i) => low[0] + ((high[0] - low[0]) * i) / PIECES).map(t => [t, f.value({ x: t })]);
  const straight = (slope, look) => line([low[0], high[0]].map(t => place([t, y + slope * (t - x)])), look);
  const lines = [line(curve.map(place), "curve"), straight(tangent, "tangent"), ...(h === 0 ? [] : [straight(secant, "secant")])];
  paint(picture, [...elements, cut(lines)], [
    { place: place([x + h, end]), look: "second", moved: where => choose({ h: at(where)[0] - x }) },
    { place: place([x, y]), look: "first", moved: where => choose({ x: at(where)[0] }) },
  ]);
  return h === 0 ? { kind: "same", x, tangent } : { kind: "slopes", x, h, tangent, secant };
});
