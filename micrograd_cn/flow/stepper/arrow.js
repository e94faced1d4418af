// How an edge is drawn: a smooth curve through its points, and what moves along it.

const FLIGHT = 650; // of a contribution along its edge, in milliseconds

const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

// The curve through the points, level at each of them, which ends inside its arrowhead.
function drawArrow(line, head, points, width) {
  const [x, y] = points.at(-1), length = 7 + 2 * width, half = 3 + width;
  const way = [...points.slice(0, -1), [x - 0.7 * length, y]];
  const curve = way.slice(1).map(([x1, y1], i) => {
    const [x0, y0] = way[i], middle = (x0 + x1) / 2;
    return Math.abs(y1 - y0) < 0.5 ? `L${x1},${y1}` : `C${middle},${y0} ${middle},${y1} ${x1},${y1}`;
  });
  line.setAttribute("d", `M${way[0]} ${curve.join(" ")}`);
  line.setAttribute("stroke-width", width);
  head.setAttribute("d", `M${x},${y} L${x - length},${y - half} L${x - length},${y + half} Z`);
}

// Let the contribution move from the result to the operand, over all that is drawn.
function fly(layer, { line }, text, sign, speed) {
  if (still() || !line.getTotalLength) return;
  const width = 8 * text.length + 14, length = line.getTotalLength(), began = performance.now();
  const token = svg("g", { class: `token ${sign}` },
    svg("rect", { x: -width / 2, y: -12, width, height: 24, rx: 12 }), svg("text", { y: 4.5 }, text));
  layer.append(token);
  const move = now => {
    const share = Math.min(1, Math.max(0, ((now - began) / FLIGHT) * speed)), eased = share * share * (3 - 2 * share);
    const { x, y } = line.getPointAtLength(length * (1 - eased));
    token.setAttribute("transform", `translate(${x},${y})`);
    if (share < 1 && token.isConnected) requestAnimationFrame(move);
    else token.classList.add("landed");
  };
  move(began);
}

// Let the boxes that were there before move from where they were, and the new ones appear.
function settleIn(picture, before, dx, dy) {
  if (still()) return;
  const timing = { duration: 320, easing: "ease-in-out" };
  for (const { group, key, x, y } of [...picture.frames, ...picture.boxes]) {
    const was = before.get(key);
    if (was) group.animate([{ transform: `translate(${was.x - x + dx}px, ${was.y - y + dy}px)` }, { transform: "none" }], timing);
    else group.animate([{ opacity: 0 }, { opacity: 1 }], timing);
  }
  for (const { group, label } of picture.edges) for (const element of [group, label]) element.animate([{ opacity: 0 }, { opacity: 1 }], timing);
}
