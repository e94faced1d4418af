// Animations in the picture.

import { svg } from "./elements.js";

const FLIGHT = 650; // milliseconds that a contribution takes along its edge
const MOST_MOVED = 400; // boxes and edges that are animated; if there are more, they change at once

export const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

// Move a contribution along its edge, from the result to the operand, above everything else.
export function fly(layer, { line }, text, sign, speed) {
  if (still() || !line.getTotalLength) return;
  const width = 8 * text.length + 14;
  const length = line.getTotalLength();
  const began = performance.now();
  const token = svg(
    "g",
    { class: `token ${sign}` },
    svg("rect", { x: -width / 2, y: -12, width, height: 24, rx: 12 }),
    svg("text", { y: 4.5 }, text),
  );
  layer.append(token);
  const move = now => {
    const share = Math.min(1, Math.max(0, ((now - began) / FLIGHT) * speed));
    const eased = share * share * (3 - 2 * share);
    const { x, y } = line.getPointAtLength(length * (1 - eased));
    token.setAttribute("transform", `translate(${x},${y})`);
    if (share < 1 && token.isConnected) requestAnimationFrame(move);
    else token.classList.add("landed");
  };
  move(began);
}

// Move boxes from where they were before, and fade new boxes in.
export function settleIn(picture, before, dx, dy) {
  if (still() || picture.boxes.length + picture.edges.length > MOST_MOVED) return;
  const timing = { duration: 320, easing: "ease-in-out" };
  for (const { group, key, x, y } of [...picture.frames, ...picture.boxes]) {
    const was = before.get(key);
    if (was)
      group.animate(
        [{ transform: `translate(${was.x - x + dx}px, ${was.y - y + dy}px)` }, { transform: "none" }],
        timing,
      );
    else group.animate([{ opacity: 0 }, { opacity: 1 }], timing);
  }
  for (const { group, label } of picture.edges)
    for (const element of [group, label]) element.animate([{ opacity: 0 }, { opacity: 1 }], timing);
}
