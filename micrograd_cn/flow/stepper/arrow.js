// How an edge is drawn: a smooth curve through its points, and what moves along it.

const FLIGHT = 650; // of a contribution along its edge, in milliseconds

const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

// The smooth curve through the points from the operand to the result, level at its ends and where it turns. Once the gradient has passed
// (`sent`), its head is at the operand; before that, there is none.
function drawArrow(line, head, points, width, sent, vertical) {
  const turned = ([x, y]) => (vertical ? `${y},${x}` : `${x},${y}`), flat = points.map(([x, y]) => (vertical ? [y, x] : [x, y]));
  const [x, y] = flat[0], length = 7 + 1.6 * width, half = 3 + 0.8 * width;
  const way = sent ? [[x + 0.7 * length, y], ...flat.slice(1)] : flat;
  const slopes = way.slice(1).map(([x1, y1], i) => (y1 - way[i][1]) / (x1 - way[i][0] || 1));
  const level = way.map((_, i) => {
    const [a, b] = [slopes[i - 1] ?? 0, slopes[i] ?? 0];
    return a * b > 0 ? (2 * a * b) / (a + b) : 0; // monotone: Fritsch & Butland 1984
  });
  const curve = way.slice(1).map(([x1, y1], i) => {
    const [x0, y0] = way[i], reach = (x1 - x0) / 2;
    return `C${turned([x0 + reach, y0 + level[i] * reach])} ${turned([x1 - reach, y1 - level[i + 1] * reach])} ${turned([x1, y1])}`;
  });
  line.setAttribute("d", `M${turned(way[0])} ${curve.join(" ")}`);
  line.setAttribute("stroke-width", width);
  head.setAttribute("d", sent ? `M${turned([x, y])} L${turned([x + length, y - half])} L${turned([x + length, y + half])} Z` : "");
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
