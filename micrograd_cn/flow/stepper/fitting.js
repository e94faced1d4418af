// Texts within the room that they have, whatever the fonts.

const FONTS = { title: "600 14px", number: "13.5px", grad: "700 13.5px", word: "12px", note: "12px", local: "12px", sent: "700 12.5px" };

const measuring = document.createElement("canvas").getContext("2d");
const family = getComputedStyle(document.documentElement).fontFamily;
const knownWidths = new Map();

export function textWidth(text, kind) {
  const key = `${kind} ${text}`;
  if (!knownWidths.has(key)) {
    measuring.font = `${FONTS[kind]} ${family}`;
    knownWidths.set(key, measuring.measureText(text).width);
  }
  return knownWidths.get(key);
}

const unfitted = []; // pairs of a text and the room that it has

const WIDER = 1.35; // as which a text may come out than it was measured: its digits are all of one width

// Set the text, of a kind that FONTS has; it is kept within `room` pixels by fitChanged().
export function fit(element, text, room, kind) {
  if (!element || element.textContent === text) return;
  element.textContent = text;
  element.removeAttribute("textLength");
  if (text && WIDER * textWidth(text, kind) > room) unfitted.push([element, room]);
}

// Keep all texts that have changed within their room, whatever the fonts. To measure a text, the browser lays the page
// out if anything has changed: so all are measured before one is changed.
export function fitChanged() {
  const wide = unfitted.splice(0).filter(([element, room]) => element.getComputedTextLength() > room);
  for (const [element, room] of wide) {
    element.setAttribute("textLength", room);
    element.setAttribute("lengthAdjust", "spacingAndGlyphs");
  }
}
