// Draw what a head of attention reads, as arcs between the letters: from the last token back to each token so far. The
// wider an arc, the larger the share.

import { svg } from "../stepper/elements.js";

const ARC = { apart: 46, rim: 26, least: 0.6, widest: 11, height: 84, base: 62 }; // pixels

// Return how wide the arcs of so many letters are, in pixels, if they are not drawn larger or smaller.
export const widthOfArcs = count => 2 * ARC.rim + (count - 1) * ARC.apart;

export function drawArcs(root, letters, shares) {
  const { texts, paths } = elementsIn(root, letters);
  if (texts.some((text, i) => text.textContent !== letters[i]))
    texts.forEach((text, i) => (text.textContent = letters[i]));
  paths.forEach((path, i) => {
    path.setAttribute("stroke-width", (ARC.least + ARC.widest * shares[i]).toFixed(2));
    path.setAttribute("stroke-opacity", (0.25 + 0.75 * shares[i]).toFixed(2));
  });
}

// Return the texts and the arcs of a drawing. They are made again if the number of letters is another one.
function elementsIn(root, letters) {
  if (root.querySelectorAll("text").length !== letters.length) {
    const last = letters.length - 1;
    const place = i => ARC.rim + i * ARC.apart;
    root.setAttribute("viewBox", `0 0 ${widthOfArcs(letters.length)} ${ARC.height}`);
    root.replaceChildren(
      ...letters.map((_, i) => svg("path", { d: wayOf(last - i, place(last), place(i)) })),
      ...letters.map((_, i) =>
        svg("text", { x: place(i), y: ARC.height - 4, ...(i === last ? { class: "last" } : {}) }),
      ),
    );
  }
  return { texts: [...root.querySelectorAll("text")], paths: [...root.querySelectorAll("path")] };
}

// Return the SVG path of an arc from the last letter back to a letter, or of a loop at the last letter itself.
function wayOf(back, from, to) {
  const { base } = ARC;
  if (!back) return `M${from - 7},${base}C${from - 16},${base - 26} ${from + 16},${base - 26} ${from + 7},${base}`;
  const top = base - 1.3 * Math.min(base - 8, 20 + 11 * back);
  return `M${from},${base}C${from},${top} ${to},${top} ${to},${base}`;
}
