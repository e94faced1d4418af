// The curve of the root's value over the steps of a training run.

import { svg } from "./elements.js";
import { largestOf, smallestOf } from "./lists.js";

export function makeCurve(values, width = 640, height = 120) {
  const finite = values.filter(Number.isFinite);
  const low = smallestOf(finite);
  const span = largestOf(finite) - low || 1;
  const rim = 8;
  const place = (value, i) => [
    rim + (i / Math.max(values.length - 1, 1)) * (width - 2 * rim),
    height - rim - ((value - low) / span) * (height - 2 * rim),
  ];
  const points = values.map(place);
  const known = points.filter((_, i) => Number.isFinite(values[i]));
  const mark = svg("circle", { r: 5 });
  const line = svg("polyline", { points: known.join(" ") });
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" }, line, mark);
  const show = i => {
    mark.setAttribute("visibility", Number.isFinite(values[i]) ? "visible" : "hidden");
    if (Number.isFinite(values[i])) [mark.cx, mark.cy].forEach((axis, k) => (axis.baseVal.value = points[i][k]));
  };
  return { root, show };
}
