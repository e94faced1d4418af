// Make one animated SVG of the pictures of several moments. It has no script, so it moves wherever a picture is shown.
//
// As in micrograd_cn/picture/animation.py, what is the same at all moments is there once. Anything else is there once
// for each of its forms, and CSS shows each form at its moments. A viewer without animation, or whose user prefers
// reduced motion, shows the last moment. The pictures themselves are the page's, so boxes are where the reader has seen
// them.

/**
 * Return the text of each element with all its forms, and the style that shows them. `moments` has a list of texts for
 * each moment; texts at the same index are of the same element. Each moment is shown for its `seconds`.
 * @param {string[][]} moments
 * @param {number[]} seconds
 */
export function animated(moments, seconds) {
  const names = new Map();
  const last = moments.length - 1;
  const prefix = `p${hashOf(moments.join())}-`;
  const elements = moments[0].map((_, k) => {
    const forms = new Map();
    moments.forEach((texts, i) => forms.set(texts[k], [...(forms.get(texts[k]) ?? []), i]));
    return [...forms]
      .filter(([text]) => text)
      .map(([text, found]) => {
        if (found.length > last) return text;
        const key = found.join();
        if (!names.has(key)) names.set(key, { name: prefix + names.size, found });
        return `<g class="${names.get(key).name}"${found.at(-1) === last ? "" : ' visibility="hidden"'}>${text}</g>`;
      })
      .join("");
  });
  return { elements, style: styleOf([...names.values()], seconds) };
}

/**
 * Return a number of a text (FNV-1a), so names of classes differ if a page has two animations.
 * @param {string} text
 */
function hashOf(text) {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return (hash >>> 0).toString(36);
}

/**
 * @param {{ name: string, found: number[] }[]} names
 * @param {number[]} seconds
 */
function styleOf(names, seconds) {
  const total = seconds.reduce((all, x) => all + x, 0);
  const starts = [0];
  for (const x of seconds.slice(0, -1)) starts.push(starts.at(-1) + (100 * x) / total);
  const rules = names.map(({ name, found }) => {
    const is = i => (found.includes(i) ? "visible" : "hidden");
    const keys = starts.flatMap((start, i) =>
      i && is(i) === is(i - 1) ? [] : [`${Number(start.toFixed(3))}%{visibility:${is(i)}}`],
    );
    return `.${name}{animation-name:${name}}@keyframes ${name}{${keys.join("")}100%{visibility:${is(starts.length - 1)}}}`;
  });
  const timing = names.map(({ name }) => `.${name}`).join(",");
  return `@media screen and (prefers-reduced-motion:no-preference){${timing}{animation:${Number(total.toFixed(3))}s step-end infinite}${rules.join("")}}`;
}
