// In a narrow window, the settings of a room are a sheet at its lower edge, which a button opens.

import { byId, targetOf } from "../stepper/elements.js";

function openSheet(button, opens) {
  byId(button.getAttribute("aria-controls")).classList.toggle("open", opens);
  button.setAttribute("aria-expanded", String(opens));
}

/** @returns {HTMLElement | null} */
const openedSheet = () => document.querySelector('.opens_sheet[aria-expanded="true"]');

for (const button of document.querySelectorAll(".opens_sheet"))
  button.addEventListener("click", () => openSheet(button, openedSheet() !== button));
document.addEventListener("pointerdown", event => {
  const button = openedSheet();
  if (button && !targetOf(event).closest(".sheet, .opens_sheet")) openSheet(button, false);
});
document.addEventListener("keydown", event => {
  const button = openedSheet();
  if (event.key !== "Escape" || !button) return;
  openSheet(button, false);
  button.focus();
});
