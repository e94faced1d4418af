// The texts of this page, and the line in which the page says what happens.

const data = document.getElementById("cells_data");

export const facts = data ? JSON.parse(data.textContent) : {};
export const words = facts.words ?? {};

export function filled(text, values) {
  return text.replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);
}

export function announce(text) {
  const line = document.getElementById("said");
  if (line && line.textContent !== text) line.textContent = text;
}

export function button(text, act, kind) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = kind;
  made.textContent = text;
  made.addEventListener("click", act);
  return made;
}

export function element(name, kind, text) {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  if (text !== undefined) made.textContent = text;
  return made;
}
