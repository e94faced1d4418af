// Remember in the browser what a reader chose. In a frame this may not be allowed, and then nothing is remembered.
export function keep(name, value) {
  try {
    localStorage.setItem(`micrograd_cn.${name} ${location.pathname}`, value);
  } catch {
    /* not allowed here */
  }
}

/**
 * @param {string} name
 * @param {string[]} choices
 * @returns {any} one of the choices, or null
 */
export function recall(name, choices) {
  try {
    const value = localStorage.getItem(`micrograd_cn.${name} ${location.pathname}`);
    return choices.includes(value) ? value : null;
  } catch {
    return null;
  }
}
