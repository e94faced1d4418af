// Draw an edge: a smooth curve through its points, and an arrow head at the operand.

/**
 * Draw the curve through the points from the operand to the result. It is level at its ends and where it turns. There
 * is a head at the operand once the gradient has passed (`sent`).
 * @param {SVGPathElement} line
 * @param {SVGPathElement} head
 * @param {Point[]} points
 * @param {number} width
 * @param {boolean} sent
 * @param {boolean} vertical
 */
export function drawArrow(line, head, points, width, sent, vertical) {
  /** @param {number[]} point */
  const turned = ([x, y]) => (vertical ? `${y},${x}` : `${x},${y}`);
  const flat = points.map(([x, y]) => (vertical ? [y, x] : [x, y]));
  const [x, y] = flat[0];
  const length = 7 + 1.6 * width;
  const half = 3 + 0.8 * width;
  const way = sent ? [[x + 0.7 * length, y], ...flat.slice(1)] : flat;
  const slopes = way.slice(1).map(([x1, y1], i) => (y1 - way[i][1]) / (x1 - way[i][0] || 1));
  const level = way.map((_, i) => {
    const [a, b] = [slopes[i - 1] ?? 0, slopes[i] ?? 0];
    return a * b > 0 ? (2 * a * b) / (a + b) : 0; // a monotone curve (Fritsch & Butland 1984)
  });
  const curve = way.slice(1).map(([x1, y1], i) => {
    const [x0, y0] = way[i];
    const reach = (x1 - x0) / 2;
    return `C${turned([x0 + reach, y0 + level[i] * reach])} ${turned([x1 - reach, y1 - level[i + 1] * reach])} ${turned([x1, y1])}`;
  });
  line.setAttribute("d", `M${turned(way[0])} ${curve.join(" ")}`);
  line.setAttribute("stroke-width", String(width));
  head.setAttribute(
    "d",
    sent ? `M${turned([x, y])} L${turned([x + length, y - half])} L${turned([x + length, y + half])} Z` : "",
  );
}
