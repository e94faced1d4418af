// Draw what a head of attention reads, as arcs between the letters: from the last token back to each token so far. The
// wider an arc, the larger the share.

import { svg } from "../stepper/elements.js";

const ARC = { apart: 46, rim: 26, least: 0.6, widest: 11, height: 84, base: 62 }; // pixels

export function drawArcs(root, letters, shares) {
  const last = letters.length - 1;
  const place = i => ARC.rim + i * ARC.apart;
  const width = 2 * ARC.rim + last * ARC.apart;
  root.setAttribute("viewBox", `0 0 ${width} ${ARC.height}`);
  root.style.width = `calc(${width}px * var(--wide, 1))`;
  const arcs = shares.map((share, i) => {
    const [from, to] = [place(last), place(i)];
    const tall = Math.min(ARC.base - 8, 20 + 11 * (last - i));
    const way =
      i === last
        ? `M${from - 7},${ARC.base}C${from - 16},${ARC.base - 26} ${from + 16},${ARC.base - 26} ${from + 7},${ARC.base}`
        : `M${from},${ARC.base}C${from},${ARC.base - 1.3 * tall} ${to},${ARC.base - 1.3 * tall} ${to},${ARC.base}`;
    return svg("path", {
      d: way,
      "stroke-width": (ARC.least + ARC.widest * share).toFixed(2),
      "stroke-opacity": (0.25 + 0.75 * share).toFixed(2),
    });
  });
  const texts = letters.map((letter, i) =>
    svg("text", { x: place(i), y: ARC.height - 4, ...(i === last ? { class: "last" } : {}) }, letter),
  );
  root.replaceChildren(...arcs, ...texts);
}
