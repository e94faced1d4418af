// Keep texts within the room that they have, in whatever font the browser uses.

const FONTS = {
  title: "600 14px",
  number: "13.5px",
  grad: "700 13.5px",
  word: "12px",
  note: "12px",
  local: "12px",
  sent: "700 12.5px",
  heading: "600 19px",
  told: "16px",
};

const LARGER = { word: "13.5px", note: "13.5px", local: "13.5px", sent: "700 13.5px" };
const USUAL = { ...FONTS };

/**
 * Say whether small texts are as large as numbers. The style sheet does the same where the page is shown to a room.
 * @param {boolean} larger
 */
export function enlarge(larger) {
  Object.assign(FONTS, USUAL, larger && LARGER);
  knownWidths.clear();
}

const measuring = document.createElement("canvas").getContext("2d");
const family = getComputedStyle(document.documentElement).fontFamily;
const knownWidths = new Map();

/**
 * @param {string} text
 * @param {string} kind a key of FONTS
 * @returns {number}
 */
export function textWidth(text, kind) {
  const key = `${kind} ${text}`;
  if (!knownWidths.has(key)) {
    measuring.font = `${FONTS[kind]} ${family}`;
    knownWidths.set(key, measuring.measureText(text).width);
  }
  return knownWidths.get(key);
}

const unfitted = []; // pairs of a text element and its room

// A text may become wider than it was measured by this factor, because the style sheet asks for digits of equal width.
const WIDER = 1.35;

/**
 * Set the text of an element. The kind is a key of FONTS. fitChanged() keeps the text within `room` pixels.
 * @param {SVGTextElement | undefined} element
 * @param {string} text
 * @param {number} room
 * @param {string} kind
 */
export function fit(element, text, room, kind) {
  if (!element || element.textContent === text) return;
  element.textContent = text;
  element.removeAttribute("textLength");
  if (text && WIDER * textWidth(text, kind) > room) unfitted.push([element, room]);
}

// Keep all changed texts within their room. To measure a text after a change, the browser must lay out the page again.
// So all texts are measured before the first one is changed.
export function fitChanged() {
  const wide = unfitted.splice(0).filter(([element, room]) => element.getComputedTextLength() > room);
  for (const [element, room] of wide) {
    element.setAttribute("textLength", room);
    element.setAttribute("lengthAdjust", "spacingAndGlyphs");
  }
}

/**
 * Divide pieces of a text, which are pairs of a look and a text, into lines that are at most `width` wide. A Chinese
 * text is divided between characters, and no line begins with a comma. `measured` returns the width of a text.
 * @param {[look: string, text: string][]} pieces
 * @param {number} width
 * @param {(text: string) => number} measured
 * @returns {[look: string, text: string][][]}
 */
export function wrapped(pieces, width, measured) {
  const lines = [[]];
  let used = 0;
  for (const [look, text] of pieces) {
    for (const word of text.match(
      /\n|[（“]*[\u2e80-\uffef][，。：；、！？）”]*|[^\s\u2e80-\uffef]+[，。：；、！？）”]* ?| +/g,
    ) ?? []) {
      const room = measured(word);
      if (word === "\n" || (used && used + room > width)) {
        lines.push([]);
        used = 0;
      }
      if (word.trim() || used) lines.at(-1).push([look, word.replace("\n", "")]);
      used += word === "\n" ? 0 : room;
    }
  }
  return lines;
}
