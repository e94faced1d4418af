// Suggest the function that was probably meant by an unknown name.

import { page } from "../stepper/page.js";

// Return the known name that was meant, or the most similar one, or null if no name is similar.
export function meantName(name, known) {
  const { aliases } = page.grammar;
  const plain = name.toLowerCase();
  const meant = Object.hasOwn(aliases, plain) ? aliases[plain] : known.includes(plain) ? plain : null;
  const rate = other => [
    editDistance(name, other) / Math.max(name.length, other.length),
    Math.abs(name.length - other.length),
  ];
  const [best] = known.map(other => [...rate(other), other]).sort(([a, b], [c, d]) => a - c || b - d);
  return meant ?? (best[0] <= 0.4 ? best[2] : null);
}

// Return the number of letters that must be changed, inserted, removed or exchanged with the next one (Damerau 1964).
function editDistance(a, b) {
  const rows = [Array.from({ length: b.length + 1 }, (_, i) => i)];
  for (let i = 1; i <= a.length; i++) {
    rows.push([i]);
    for (let k = 1; k <= b.length; k++) {
      const exchanged =
        i > 1 && k > 1 && a[i - 1] === b[k - 2] && a[i - 2] === b[k - 1] ? rows[i - 2][k - 2] + 1 : Infinity;
      rows[i].push(
        Math.min(rows[i][k - 1] + 1, rows[i - 1][k] + 1, rows[i - 1][k - 1] + Number(a[i - 1] !== b[k - 1]), exchanged),
      );
    }
  }
  return rows.at(-1).at(-1);
}
