// The data for the network: points of the plane, each with a class, 0 or 1.

export const REACH = 1.6; // both coordinates of the plane go from -REACH to REACH

export const LEAST_POINTS = 2; // With fewer points there is nothing to learn.

const evenly = (n, i) => i / Math.max(1, n - 1);

// Each function takes a random generator, the number of points, and a factor for the usual noise.
export const DATA = {
  moons: (rng, n, noise = 1) =>
    halves(
      n,
      (k, t) => {
        const side = 1 - 2 * k;
        return [0.9 * (Math.cos(Math.PI * t) - 0.5) * side, (Math.sin(Math.PI * t) - 0.25) * side];
      },
      rng,
      0.1 * noise,
    ),
  circles: (rng, n, noise = 1) =>
    halves(
      n,
      (k, t) => [1.2 - 0.75 * k, 1.2 - 0.75 * k].map((r, i) => r * (i ? Math.sin : Math.cos)(2 * Math.PI * t)),
      rng,
      0.09 * noise,
    ),
  xor: (rng, n, noise = 1) =>
    Array.from({ length: n }, () => {
      const [x, y] = [0, 1].map(() => rng.uniform(0.12, 1.4) * (rng.random() < 0.5 ? -1 : 1));
      const moved = noise > 1 ? [x, y].map(at => at + rng.gauss(0, 0.06 * noise)) : [x, y];
      return pointOf(moved, x * y > 0 ? 0 : 1);
    }),
  spiral: (rng, n, noise = 1) =>
    halves(
      n,
      (k, t) => {
        const angle = 3.4 * Math.PI * t ** 0.75 + Math.PI * k;
        const radius = 0.12 + 1.3 * t;
        return [radius * Math.cos(angle), radius * Math.sin(angle)];
      },
      rng,
      0.03 * noise,
    ),
  bits: () =>
    Array.from({ length: 16 }, (_, i) => {
      const at = [i & 3, i >> 2].map(k => (k - 1.5) * (REACH / 2));
      const inputs = DATA_INPUTS.bits(...at);
      return { at, inputs, label: inputs.filter(bit => bit > 0).length % 2 };
    }),
  own: () => [],
};

// The inputs of the network at a place in the plane. For `bits`, the sixteen words of four bits lie in a square.
const DATA_INPUTS = {
  bits: (x, y) =>
    [x, y].flatMap(at => {
      const k = Math.min(3, Math.max(0, Math.floor((at + REACH) / (REACH / 2))));
      return [k & 2 ? 1 : -1, k & 1 ? 1 : -1];
    }),
};
export const inputsAt = kind => DATA_INPUTS[kind] ?? ((x, y) => [x, y]);

export function pointOf(at, label) {
  return { at, inputs: at, label };
}

function halves(n, place, rng, noise) {
  return Array.from({ length: n }, (_, i) => {
    const k = i % 2;
    const at = place(k, evenly(Math.ceil(n / 2), i >> 1));
    return pointOf(
      at.map(x => x + rng.gauss(0, noise)),
      k,
    );
  });
}
