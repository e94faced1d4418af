// Show the page in a frame of another page: compact, and without catching the wheel, by which the outer page scrolls.

import { viewport } from "./viewport.js";

export function embed(embeds) {
  document.documentElement.classList.toggle("embedded", embeds);
  viewport.embedded = embeds;
}
