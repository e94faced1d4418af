// A list in the other order, and with one of its members replaced, as new lists.
export const reversed = list => [...list].reverse();
export const replacedAt = (list, i, x) => list.map((each, k) => (k === i ? x : each));
