// Twelve example expressions: the name of each, its text, and the numbers of its variables.

const nested = (n, inner) => (n ? `tanh(${nested(n - 1, inner)})` : inner);
const newton = (n, x) => (n ? newton(n - 1, `0.5*(${x} + a/(${x}))`) : x);

export const EXAMPLES = [
  ["neuron", "tanh(w1*x1 + w2*x2 + b)", { w1: -3, x1: 2, w2: 1, x2: 0.5, b: 6.4 }],
  ["twice", "a + a", { a: 3 }],
  ["paths", "(a*b + a) * (b - a)", { a: 2, b: 3 }],
  ["dead", "(relu(w1*x1 + w2*x2 + b) - 1) ** 2", { w1: 0.5, x1: 1, w2: 0.7, x2: -2, b: 0.1 }],
  ["softmax", "logsumexp([z1, z2, z3]) - z2", { z1: 2, z2: 1, z3: -1 }],
  ["newton", newton(3, "1"), { a: 2 }],
  ["vanishing", nested(10, "w*x"), { w: 1.5, x: 1 }],
  ["exploding", "w*w*w*w*w*w*w*w * x", { w: 3, x: 1 }],
  ["squares", "((w*1 + b - 2)**2 + (w*2 + b - 3)**2 + (w*3 + b - 5)**2) / 3", { w: 1, b: 0 }],
  ["logistic", "softplus(-y * (w*x + b))", { y: 1, w: 2, x: 1.5, b: -1 }],
  ["maximum", "maximum(a, b) + maximum(a, a)", { a: 1, b: 1 }],
  [
    "attention",
    "dot([exp(q*k1), exp(q*k2)], [v1, v2]) / (exp(q*k1) + exp(q*k2))",
    { q: 1, k1: 0.8, k2: -0.5, v1: 2, v2: -1 },
  ],
];
