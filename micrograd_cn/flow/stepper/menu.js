// Open and close the menu of the page, and say on a button of it that something is done.

import { byId, targetOf } from "./elements.js";
import { session } from "./session.js";

const isOpen = () => !byId("menu_items").hidden;

// A button of the menu that had the focus gives it to the menu's own button, so a dialog that it opens returns it there.
/** @param {boolean} opens */
export function openMenu(opens) {
  if (!opens && byId("menu_items").contains(document.activeElement)) byId("menu").focus({ preventScroll: true });
  byId("menu_items").hidden = !opens;
  byId("menu").setAttribute("aria-expanded", String(opens));
}

byId("menu").addEventListener("click", () => openMenu(!isOpen()));
document.addEventListener(
  "pointerdown",
  event => isOpen() && !targetOf(event).closest("#menu_place") && openMenu(false),
);
byId("menu_place").addEventListener("keydown", event => {
  if (event.key !== "Escape" || !isOpen()) return;
  event.stopPropagation();
  openMenu(false);
  byId("menu").focus();
});
byId("menu_place").addEventListener("focusout", event => {
  const next = /** @type {Element | null} */ (event.relatedTarget);
  if (next && !next.closest("#menu_place")) openMenu(false);
});

/**
 * Show another text on a button for a moment, such as "Copied".
 * @param {HTMLElement} button
 * @param {string} told
 */
export function tellOn(button, told) {
  button.dataset.usual ??= button.dataset.word; // it may still show what it was told before
  const word = button.dataset.usual;
  button.dataset.word = told;
  button.textContent = session.words[told];
  setTimeout(() => {
    button.dataset.word = word;
    button.textContent = session.words[word];
  }, 1500);
}
