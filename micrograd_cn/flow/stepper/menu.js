// Open and close the menu of the page.

import { byId } from "./elements.js";

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
