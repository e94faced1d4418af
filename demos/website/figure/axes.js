// The axes of a figure, and points of it that a reader drags.

import { svg } from "../stepper/elements.js";

const RIM = { left: 42, right: 14, top: 12, bottom: 34 }; // pixels around the axes, for numbers and names
const GAP = 56; // pixels between two numbers of an axis, at least

// Return the distance between the numbers of an axis: 1, 2 or 5 times a power of ten.
function gapOf(span, pixels) {
  const least = (span * GAP) / Math.max(pixels, GAP), ten = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map(n => n * ten).find(gap => gap >= least);
}

// Draw axes for `x0` to `x1` and `y0` to `y1`. Return their elements, the function from a point to its place in the
// picture, its inverse, and a function that cuts what it is given at the frame. With `alike`, both axes have the same
// scale, so the picture may show more than it must.
export function axes({ width, height }, [[x0, x1], [y0, y1]], names, { alike = false, written = String } = {}) {
  const room = [width - RIM.left - RIM.right, height - RIM.top - RIM.bottom];
  let span = [x1 - x0, y1 - y0];
  if (alike) {
    const scale = Math.min(room[0] / span[0], room[1] / span[1]);
    span = room.map(pixels => pixels / scale);
  }
  const low = [(x0 + x1 - span[0]) / 2, (y0 + y1 - span[1]) / 2], high = low.map((each, k) => each + span[k]);
  const place = ([x, y]) => [RIM.left + ((x - low[0]) / span[0]) * room[0], RIM.top + ((high[1] - y) / span[1]) * room[1]];
  const at = ([left, top]) => [low[0] + ((left - RIM.left) / room[0]) * span[0], high[1] - ((top - RIM.top) / room[1]) * span[1]];
  const frame = { x: RIM.left, y: RIM.top, width: room[0], height: room[1] };
  const cut = lines => svg("svg", { ...frame, viewBox: Object.values(frame).join(" ") }, ...lines);
  const elements = [svg("rect", { class: "frame", ...frame })];
  for (const [k, name] of names.entries()) {
    const gap = gapOf(span[k], k ? 1.6 * room[k] : room[k]);
    for (let n = Math.ceil(low[k] / gap - 1e-9); n * gap <= high[k] + 1e-9; n++) {
      const [x, y] = place(k ? [low[0], n * gap] : [n * gap, low[1]]), text = written(Number((n * gap).toPrecision(12)), k);
      elements.push(svg("line", k ? { class: "tick", x1: x, y1: y, x2: x + room[0], y2: y } : { class: "tick", x1: x, y1: y, x2: x, y2: RIM.top }));
      elements.push(svg("text", k ? { x: x - 6, y: y + 4, class: "end" } : { x, y: y + 16, class: "middle" }, text));
    }
    const where = k ? { x: RIM.left + 6, y: RIM.top + 16 } : { x: RIM.left + room[0], y: height - 4, class: "end" };
    elements.push(svg("text", { ...where, class: `name ${where.class ?? ""}` }, name));
  }
  return { place, at, cut, low, high, elements };
}

export const line = (points, look) => svg("polyline", { class: look, points: points.map(point => point.map(x => x.toFixed(2)).join()).join(" ") });

// Show elements in the picture, and above them points that a reader drags. A point has its place, a `look`, and a
// function `moved`, which is called with the place of the pointer. The points stay when the picture is drawn again: a
// finger goes on to move the element on which it was put down.
export function paint(picture, elements, points = []) {
  if (!picture.firstChild) picture.append(svg("g"), ...points.map(({ look }) => handle(picture, look)));
  picture.firstChild.replaceChildren(...elements);
  points.forEach(({ place: [x, y], moved }, i) => {
    const point = picture.children[i + 1];
    point.setAttribute("transform", `translate(${x} ${y})`);
    drags.set(point, moved);
  });
}

const drags = new Map(); // from points to what is called when they move

function handle(picture, look) {
  const point = svg("g", { class: `handle ${look}` }, svg("circle", { class: "reach", r: 22 }), svg("circle", { r: 7 }));
  const waits = () => document.body.classList.contains("asks");
  // Not every browser knows the property touch-action for a part of an SVG, so this keeps the page from scrolling.
  point.addEventListener("touchstart", event => waits() || event.preventDefault(), { passive: false });
  point.addEventListener("pointerdown", event => {
    if (waits()) return;
    event.preventDefault();
    point.setPointerCapture(event.pointerId);
  });
  point.addEventListener("pointermove", ({ pointerId, clientX, clientY }) => {
    if (!point.hasPointerCapture(pointerId)) return;
    const { left, top } = picture.getBoundingClientRect();
    drags.get(point)([clientX - left, clientY - top]);
  });
  return point;
}
