// Make new lists: one in reverse order, and one with another member. Compute numbers of long lists.

/**
 * @template Item
 * @param {Item[]} list
 */
export const reversed = list => [...list].reverse();
/**
 * @template Item
 * @param {Item[]} list
 * @param {number} i
 * @param {Item} x
 */
export const replacedAt = (list, i, x) => list.map((each, k) => (k === i ? x : each));

/**
 * A call such as Math.max(...list) fails if the list has more than some hundred thousand members, so these take the
 * list itself.
 * @param {number[]} list
 */
export const largestOf = (list, least = -Infinity) => list.reduce((most, x) => Math.max(most, x), least);
/** @param {number[]} list */
export const smallestOf = (list, most = Infinity) => list.reduce((least, x) => Math.min(least, x), most);

const MOST_ARGUMENTS = 50_000;

/**
 * Return the square root of the sum of squares.
 * @param {number[]} list
 * @returns {number}
 */
export function norm(list) {
  if (list.length <= MOST_ARGUMENTS) return Math.hypot(...list);
  const parts = [];
  for (let i = 0; i < list.length; i += MOST_ARGUMENTS) parts.push(Math.hypot(...list.slice(i, i + MOST_ARGUMENTS)));
  return norm(parts);
}
