// Write elements of the page as the text of an SVG file that stands alone. The file has no style sheet of the page, so
// each element gets as attributes what the style sheet says of it.

// The attributes, and the value that each has in SVG where nothing is said.
const LOOKS = {
  fill: "#000000",
  stroke: "none",
  "stroke-width": "1",
  "stroke-dasharray": "none",
  "stroke-linejoin": "miter",
  "paint-order": "normal",
  "fill-rule": "nonzero",
  "font-size": "",
  "font-weight": "400",
  "text-anchor": "start",
  opacity: "1",
};
const SHAPE = ["x", "y", "dx", "width", "height", "rx", "d", "transform", "textLength", "lengthAdjust"];
const GLOW = 7; // pixels by which the glow of an edge is wider than the edge

/** @param {string} text */
export const escaped = text => text.replace(/[&<>"]/g, c => `&#${c.charCodeAt(0)};`);

/**
 * Return a colour as #rrggbb, which every program reads.
 * @param {string} colour
 */
function hex(colour) {
  const [, ...rgb] = /^rgb\((\d+), (\d+), (\d+)\)$/.exec(colour) ?? [];
  return rgb.length ? `#${rgb.map(x => Number(x).toString(16).padStart(2, "0")).join("")}` : colour;
}

/**
 * Return the text of an element, or "" if nothing of it is seen.
 * @param {Element} element
 * @returns {string}
 */
export function markupOf(element) {
  const { tagName: name } = element;
  const style = getComputedStyle(element);
  if (style.visibility === "hidden" || style.display === "none" || name === "title") return "";
  const children = [...element.childNodes].map(child =>
    child instanceof Element ? markupOf(child) : escaped(child.textContent),
  );
  const attributes = SHAPE.filter(key => element.hasAttribute(key)).map(key => [key, element.getAttribute(key)]);
  if (name === "g") return children.join("");
  if (name === "path" ? !element.getAttribute("d") : name !== "rect" && !children.join("")) return "";
  const looks = Object.keys(LOOKS)
    .filter(key => name !== "tspan" || key === "fill" || key === "font-weight")
    .map(key => [key, lookOf(element, style, key)]);
  const own = looks.filter(
    ([key, value]) => value !== LOOKS[key] && (name.startsWith("t") || !/^(font|text)/.test(key)),
  );
  if (
    own.some(([key, value]) => key === "fill" && /^(none|rgba\(.*, 0\))$/.test(value)) &&
    !own.some(([key]) => key === "stroke")
  )
    return "";
  const text = `<${name}${[...attributes, ...own].map(([key, value]) => ` ${key}="${escaped(value)}"`).join("")}>${children.join("")}</${name}>`;
  return glowOf(element, style) + text;
}

/**
 * @param {Element} element
 * @param {CSSStyleDeclaration} style
 * @param {string} key
 */
function lookOf(element, style, key) {
  // While an edge becomes wider, the style has a width on the way.
  const value = key === "stroke-width" ? (element.getAttribute(key) ?? style.strokeWidth) : style.getPropertyValue(key);
  return hex(value).replace(/px\b/g, "");
}

/**
 * An edge that the step is about glows. Few programs draw the shadow of the style sheet, so the glow is a wider line.
 * @param {Element} element
 * @param {CSSStyleDeclaration} style
 */
function glowOf(element, style) {
  if (!element.matches(".edge.active .line")) return "";
  const width = Number(element.getAttribute("stroke-width")) + GLOW;
  const colour = style.getPropertyValue("--glow").trim();
  return `<path d="${element.getAttribute("d")}" fill="none" stroke="${colour}" stroke-width="${width}" opacity="0.5"></path>`;
}
