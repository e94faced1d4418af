// The question that comes before a figure. Until the reader has chosen an answer, the figure is still.

import { byId, html } from "../stepper/elements.js";
import { page } from "../stepper/page.js";

export const words = page.words;

// Ask the question of the page, and call `begins` after the reader has answered.
export function ask(begins) {
  const { right } = page;
  const buttons = words.choices.map((text, i) => {
    const button = html("button", { type: "button" }, text);
    button.addEventListener("click", () => {
      const first = document.body.classList.contains("asks");
      buttons.forEach((each, k) => (each.className = k === right ? "right" : k === i ? "wrong" : ""));
      byId("verdict").textContent = `${i === right ? words.right : words.wrong}${words.because}`;
      document.body.classList.remove("asks");
      if (first) begins();
    });
    return button;
  });
  byId("choices").append(...buttons);
}
