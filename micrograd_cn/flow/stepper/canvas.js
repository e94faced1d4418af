// Fit canvases to their elements, and read the colours of the style sheet for them.

import { themed } from "./theme.js";

export const colours = {};
function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["plus", "minus", "paper", "ink", "quiet", "line", "rim", "panel", "glow"])
    colours[name] = style.getPropertyValue(`--${name}`).trim();
  const rgb = text =>
    [1, 3, 5].map(i => parseInt((text.length === 4 ? text.replace(/[^#]/g, "$&$&") : text).slice(i, i + 2), 16));
  colours.table = new Uint32Array(512);
  const [plus, minus, paper] = [colours.plus, colours.minus, colours.paper].map(rgb);
  for (let i = 0; i < 512; i++) {
    const x = (i - 255.5) / 255.5;
    const end = x > 0 ? plus : minus;
    const share = 0.62 * Math.abs(x);
    const [r, g, b] = paper.map((c, k) => Math.round(c + (end[k] - c) * share));
    colours.table[i] = (255 << 24) | (b << 16) | (g << 8) | r;
  }
}

themed.push(readColours);
readColours();

// Fit a canvas to the size of its element. Its context then draws in CSS pixels.
export function fitted(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const scale = Math.min(2, devicePixelRatio || 1);
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  return { context, width, height };
}
