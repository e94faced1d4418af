// Bars that stick to an edge of the window cover what scrolls under them. The browser is told how much they cover, so
// what it scrolls to, such as the element with the focus, is beside them.

import { byId } from "./elements.js";

// Keep the height of a bar in a custom property as long as it sticks. The style sheet reserves it.
export function reserve(bar, property) {
  const tell = () => {
    const sticks = getComputedStyle(bar).position === "sticky";
    document.documentElement.style.setProperty(property, `${sticks ? bar.offsetHeight : 0}px`);
  };
  new ResizeObserver(tell).observe(bar);
  addEventListener("resize", tell);
  tells.push(tell);
}

const tells = [];

// Measure the bars now. The observer does so a little later.
export function measureBars() {
  for (const tell of tells) tell();
}

reserve(document.querySelector("footer"), "--below");
reserve(byId("narration"), "--told");

// Tell how far below the top of the page the graph begins. Where the page scrolls, the style sheet lets the graph end
// where the bars begin, so they cover no part of it at first.
function tellStart() {
  const stage = byId("stage");
  if (!stage.checkVisibility()) return;
  const start = Math.ceil(stage.getBoundingClientRect().top + scrollY);
  document.documentElement.style.setProperty("--start", `${start}px`);
}
const aboveStage = new ResizeObserver(tellStart);
for (const each of document.querySelectorAll("#stage, :has(~ :is(#stage, #stepping))")) aboveStage.observe(each);
tells.push(tellStart);
