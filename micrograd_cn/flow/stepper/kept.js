// What a reader chose, kept for the next time; in a frame without a place of its own, it is not.
export function keep(name, value) {
  try {
    localStorage.setItem(`micrograd_cn.${name} ${location.pathname}`, value);
  } catch { /* not allowed here */ }
}

export function recall(name, choices) {
  try {
    const value = localStorage.getItem(`micrograd_cn.${name} ${location.pathname}`);
    return choices.includes(value) ? value : null;
  } catch {
    return null;
  }
}
