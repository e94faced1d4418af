// Find elements of the page by their id, and make new ones of HTML or SVG.

/**
 * Return the element with an id of ../elements.d.ts.
 * @template {keyof PageElements} Id
 * @param {Id} id
 * @returns {PageElements[Id]}
 */
export const byId = id => /** @type {any} */ (document.getElementById(id));

/**
 * Return a button or a field whose id is put together, or null if there is none.
 * @param {string} id
 * @returns {HTMLInputElement}
 */
export const fieldById = id => /** @type {any} */ (document.getElementById(id));

/**
 * Return the element of the page that an event is about.
 * @param {Event} event
 * @returns {HTMLElement}
 */
export const targetOf = event => /** @type {HTMLElement} */ (event.target);

/**
 * Give an element a text. If it has this text already, the browser need not lay it out again.
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {Record<string, any>} attributes
 * @param {(Node | string)[]} children
 */
export function html(name, attributes = {}, ...children) {
  return built(document.createElement(name), attributes, children);
}

/**
 * @template {keyof SVGElementTagNameMap} Name
 * @param {Name} name
 * @param {Record<string, any>} attributes
 * @param {(Node | string)[]} children
 */
export function svg(name, attributes = {}, ...children) {
  return built(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

/**
 * @template {Element} Built
 * @param {Built} element
 * @param {Record<string, any>} attributes
 * @param {(Node | string)[]} children
 */
function built(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}
