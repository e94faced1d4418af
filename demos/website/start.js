// The start page: its figure moves, unless the reader prefers stillness. The search is in a file of its own.

import "./search.js";

const frame = document.getElementById("figure");
const play = () => frame.contentDocument.getElementById("play").click();

// A page from a disk may not reach into its frame; there the figure waits for the reader.
if (location.protocol !== "file:" && !matchMedia("(prefers-reduced-motion: reduce)").matches) {
  if (frame.contentDocument?.readyState === "complete" && frame.contentDocument.getElementById("play")) play();
  else frame.addEventListener("load", play, { once: true });
}
