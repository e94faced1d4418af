// New lists: one in reverse order, and one in which a member is replaced.
export const reversed = list => [...list].reverse();
export const replacedAt = (list, i, x) => list.map((each, k) => (k === i ? x : each));
