// Open and close the menu of the page, and say on a button of it that something is done.

import { byId } from "./elements.js";
import { session } from "./session.js";

const isOpen = () => !byId("menu_items").hidden;

export function openMenu(opens) {
  byId("menu_items").hidden = !opens;
  byId("menu").setAttribute("aria-expanded", opens);
}

byId("menu").addEventListener("click", () => openMenu(!isOpen()));
document.addEventListener("pointerdown", event => isOpen() && !event.target.closest("#menu_place") && openMenu(false));
byId("menu_place").addEventListener("keydown", event => {
  if (event.key !== "Escape" || !isOpen()) return;
  event.stopPropagation();
  openMenu(false);
  byId("menu").focus();
});
byId("menu_place").addEventListener("focusout", event => {
  if (event.relatedTarget && !event.relatedTarget.closest("#menu_place")) openMenu(false);
});

// Show another text on a button for a moment, such as "Copied".
export function tellOn(button, told) {
  const word = (button.dataset.usual ??= button.dataset.word); // it may still show what it was told before
  button.dataset.word = told;
  button.textContent = session.words[told];
  setTimeout(() => {
    button.dataset.word = word;
    button.textContent = session.words[word];
  }, 1500);
}
