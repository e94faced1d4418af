// The fields for the settings of a room. The field of a setting has the id of the room and the setting's name.

import { fieldById, html } from "../stepper/elements.js";

// Fill the lists of choices, and call `chosen` with the name and the text of a setting that changes, or `refused` if
// the text is none of its values. `words` has, for some settings, what the words for its choices begin with.
export function fillFields(prefix, { choices, names, words, fits, chosen, refused }) {
  for (const [name, values] of Object.entries(choices)) {
    fieldById(prefix + name).replaceChildren(
      ...values.map(value => {
        const text = Number(value) >= 1000 ? Number(value).toLocaleString("en") : value;
        return html("option", { value, ...(words[name] ? { "data-word": words[name] + value } : {}) }, text);
      }),
    );
  }
  for (const name of names) {
    const field = fieldById(prefix + name);
    field?.addEventListener("input", () => {
      const right = fits(name, field.value);
      field.setAttribute("aria-invalid", String(!right));
      if (right) chosen(name, field.value);
      else refused();
    });
  }
}

// Show these settings in their fields.
export function showFields(prefix, settings) {
  for (const [name, value] of Object.entries(settings)) {
    const field = fieldById(prefix + name);
    if (!field) continue;
    field.value = value;
    if (field.type !== "range") field.setAttribute("aria-invalid", String(false));
  }
}
