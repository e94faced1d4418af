// Parts of the page's data that a copy of the page keeps in files beside it: the words of another language, or a list
// that one room alone needs. `page.later` has their addresses by their names. A page that is one file has all its data.
//
// Such a file is a script, because a page from a disk may load no other files. It adds its part to `pageParts`.

import { html } from "./elements.js";
import { tellFailure } from "./failure.js";
import { page } from "./page.js";

const isLater = name => Object.hasOwn(page.later ?? {}, name ?? "");

// Call `use` when the page has these parts: at once, or after their files have come.
export function whenThere(names, use) {
  const missing = new Set(names.filter(isLater));
  if (!missing.size) return use();
  for (const name of missing) {
    const script = html("script", { src: page.later[name] });
    script.addEventListener("load", () => {
      const { words, ...others } = globalThis.pageParts[name];
      Object.assign(page, others);
      Object.assign(page.words, words);
      delete page.later[name];
      missing.delete(name);
      if (!missing.size) use();
    });
    script.addEventListener("error", () => tellFailure(script.src));
    document.head.append(script);
  }
}
