// Functions that operations call and JavaScript lacks. They give the same results as micrograd_cn/ops/ieee.py.

// Return a**b. JavaScript's own operator gives nan in some cases where IEEE 754 says 1.
export function power(a, b) {
  return a === 1 || (a === -1 && Math.abs(b) === Infinity) ? 1 : a ** b;
}

// Return the sum of the numbers, correctly rounded.
export function sum(...xs) {
  if (!xs.every(Number.isFinite)) return xs.reduce((total, x) => total + (Number.isFinite(x) ? 0 : x), 0);
  const total = sumExactly(xs);
  return Number.isNaN(total) ? sumExactly(xs.map(x => x * 2 ** -64)) * 2 ** 64 : total;
}

// Shewchuk's algorithm (1997): the `parts` do not overlap, and add up to the exact sum. If one overflows, the result is
// nan.
function sumExactly(xs) {
  const parts = [];
  for (let x of xs) {
    let kept = 0;
    for (let y of parts) {
      if (Math.abs(x) < Math.abs(y)) [x, y] = [y, x];
      const high = x + y;
      const low = y - (high - x);
      if (low !== 0) parts[kept++] = low;
      x = high;
    }
    if (!Number.isFinite(x)) return NaN;
    parts.length = kept;
    if (x !== 0) parts.push(x);
  }
  let total = parts.pop() ?? 0;
  let rest = 0;
  while (parts.length && rest === 0) {
    const x = total;
    const y = parts.pop();
    total = x + y;
    rest = y - (total - x);
  }
  // `total` may have been rounded from a tie, which the smaller parts decide.
  if (parts.length && Math.sign(rest) === Math.sign(parts.at(-1))) {
    const nudged = total + 2 * rest;
    if (nudged - total === 2 * rest) total = nudged;
  }
  return total;
}

// Return x_1*y_1 + ... + x_n*y_n. The operands are x_1..x_n, then y_1..y_n, then perhaps a bias, which is added.
export function dot(...operands) {
  const n = operands.length >> 1;
  return sum(...operands.slice(0, n).map((x, i) => x * operands[n + i]), ...operands.slice(2 * n));
}

// Return the largest number, but a finite one instead of Infinity.
export const finitePeak = (...xs) => Math.min(Math.max(...xs), Number.MAX_VALUE);

// Return log(exp(x_1) + ... + exp(x_n)). The largest number is taken out of the sum, so exp() cannot overflow.
export function logsumexp(...xs) {
  const top = Math.max(...xs);
  const first = xs.indexOf(top);
  if (!Number.isFinite(top)) return top;
  return top + Math.log1p(sum(...xs.filter((_, k) => k !== first).map(x => Math.exp(x - top))));
}

// The series whose terms have one sign: 2/sqrt(pi) exp(-x*x) sum 2**n x**(2n+1) / (2n+1)!! (Abramowitz & Stegun 7.1.6).
export function erf(x) {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let total = x;
  for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(total); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    total += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * total;
}

// For large x, the continued fraction 1/(x + 1/2/(x + 2/2/(x + 3/2/(x + ...)))) converges quickly (7.1.14). It is
// computed from its end.
export function erfc(x) {
  if (!(x > 2)) return 1 - erf(x);
  let tail = x;
  for (let n = 120; n > 0; n--) tail = x + (0.5 * n) / tail;
  return Math.exp(-x * x) / (Math.sqrt(Math.PI) * tail);
}
