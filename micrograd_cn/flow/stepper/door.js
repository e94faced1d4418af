// The one door into the page. Everything else is inside a function.
//
// A test puts a function into the window, under this name, before the page loads. It is given what the test may use,
// by name. Nobody else gets anything.

const DOOR = "openedForTests";

/** @param {Record<string, any>} inside */
export function openDoor(inside) {
  /** @type {any} */ (globalThis)[DOOR]?.(inside);
}
