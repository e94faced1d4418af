// The language model. The same lines record what trains and the graphs that the reader opens.
//
// `to` records the operations (playground/recorder.js). The model and the order of its random numbers are those of
// Andrej Karpathy's microgpt (2026), as in demos/microgpt.py.

import { Constant } from "../playground/recorder.js";

// Return the numbers of outputs and inputs of each matrix, in the order in which the matrices are drawn.
export function shapesOf({ width, block, layers, count }) {
  const shapes = { wte: [count, width], wpe: [block, width], lm_head: [count, width] };
  for (let l = 0; l < layers; l++) {
    for (const name of ["wq", "wk", "wv", "wo"]) shapes[`layer${l + 1}.${name}`] = [width, width];
    Object.assign(shapes, { [`layer${l + 1}.fc1`]: [4 * width, width], [`layer${l + 1}.fc2`]: [width, 4 * width] });
  }
  return shapes;
}

const vectorSum = (to, xs, ys, name) => xs.map((x, i) => to.apply("add", [x, ys[i]], `${name}${i}`));
const matrixTimes = (to, rows, xs, name) => rows.map((row, i) => to.dot(row, xs, `${name}${i}`));

// Scale a vector to a mean square of 1.
function normal(to, xs) {
  return to.within("norm", () => {
    const square = to.apply("div", [to.dot(xs, xs, "sum"), new Constant(xs.length)], "mean_square");
    const scale = to.apply(
      "pow",
      [to.apply("add", [square, new Constant(1e-5)], "nonzero"), new Constant(-0.5)],
      "scale",
    );
    return xs.map((x, i) => to.apply("mul", [scale, x], `y${i}`));
  });
}

// Return positive numbers with the sum 1, by exp(x - logsumexp(xs)).
export function softmax(to, xs, name) {
  const total = to.logsumexp(xs, "log_sum");
  return xs
    .map((x, i) => to.apply("sub", [x, total], `log_${name}${i}`))
    .map((x, i) => to.apply("exp", [x], `${name}${i}`));
}

// Return a function that reads one token after the other. For each token it returns the logits of the next one, and the
// attention of each head. No token sees what comes after it.
export function gpt(to, weights, { heads, layers }) {
  const seen = Array.from({ length: layers }, () => ({ keys: [], values: [] }));
  let position = 0;
  return token => {
    const place = weights.wpe[position];
    return to.within(to.tokenName(position++, token), () => {
      const attention = [];
      let x = to.within("embedding", () => {
        const own = place.map((_, i) =>
          to.take(
            token,
            weights.wte.map(row => row[i]),
          ),
        );
        return normal(to, vectorSum(to, own, place, "x"));
      });
      for (let l = 0; l < layers; l++) {
        const { keys, values } = seen[l];
        const matrix = name => weights[`layer${l + 1}.${name}`];
        x = to.within(`layer${l + 1}`, () => {
          // Attention: the token asks with its query. The better the key of a token so far fits, the more of its value
          // is read.
          const after = to.within("attention", () => {
            const y = normal(to, x);
            const size = x.length / heads;
            const root = new Constant(Math.sqrt(size));
            const query = to.within("query", () => matrixTimes(to, matrix("wq"), y, "q"));
            keys.push(to.within("key", () => matrixTimes(to, matrix("wk"), y, "k")));
            values.push(to.within("value", () => matrixTimes(to, matrix("wv"), y, "v")));
            const read = Array.from({ length: heads }, (_, h) =>
              to.within(`head${h + 1}`, () => {
                const own = vector => vector.slice(h * size, (h + 1) * size);
                const fits = keys.map((key, k) => to.dot(own(query), own(key), `fit${k}`));
                const shares = softmax(
                  to,
                  fits.map((product, k) => to.apply("div", [product, root], `score${k}`)),
                  "share",
                );
                attention.push(shares);
                return own(query).map((_, i) =>
                  to.dot(
                    shares,
                    values.map(value => own(value)[i]),
                    `read${i}`,
                  ),
                );
              }),
            ).flat();
            return to.within("sum", () => vectorSum(to, x, matrixTimes(to, matrix("wo"), read, "o"), "x"));
          });
          // An MLP then processes what was read.
          return to.within("mlp", () => {
            const y = normal(to, after);
            const hidden = to.within("hidden", () =>
              matrixTimes(to, matrix("fc1"), y, "a").map((a, i) => to.apply("relu", [a], `h${i}`)),
            );
            return to.within("sum", () => vectorSum(to, after, matrixTimes(to, matrix("fc2"), hidden, "o"), "x"));
          });
        });
      }
      return { attention, logits: to.within("logits", () => matrixTimes(to, weights.lm_head, x, "logit")) };
    });
  };
}

// Return -log(softmax(logits)[target]).
export const crossEntropy = (to, logits, target, name) =>
  to.apply("sub", [to.logsumexp(logits, `log_sum_${name}`), to.take(target, logits)], name);

// Return the mean of some numbers.
export const meanOf = (to, xs, name) =>
  to.dot(
    xs,
    xs.map(() => new Constant(1 / xs.length)),
    name,
  );
