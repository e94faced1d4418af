// Switch between light and dark colours. A printed page is light.

import { keep, recall } from "./kept.js";

export const themed = []; // functions that are called when the colours have changed

export function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  for (const watch of themed) watch();
}

export function switchTheme() {
  setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  keep("theme", document.documentElement.dataset.theme);
}

const darkness = matchMedia("(prefers-color-scheme: dark)");
darkness.addEventListener("change", () => setTheme(darkness.matches ? "dark" : "light"));
matchMedia("print").addEventListener("change", () => {
  for (const watch of themed) watch();
});
setTheme(recall("theme", ["dark", "light"]) ?? (darkness.matches ? "dark" : "light"));
