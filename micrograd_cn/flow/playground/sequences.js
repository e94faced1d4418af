// The derivatives of operations of sequences of any length. The page has rows of the table for a few operands only.
//
// A row computes all its derivatives together. Here, each is computed from the result and the operand, or from the
// operand that it is multiplied with, so a loop needs no list of them. tests/flow/test_program.py proves that they are
// the rows'.

export const slopeOfFactor = other => other; // of a product in a sum of products
export const slopeOfSummand = 1; // such as a neuron's bias
export const slopeOfLogsumexp = (y, x) => Math.exp(x - y);

// All derivatives of an operation, as the rows give them.
export const slopesOf = {
  dot(_, ...xs) {
    const n = xs.length >> 1;
    return xs.map((_, i) => (i < 2 * n ? slopeOfFactor(xs[(i + n) % (2 * n)]) : slopeOfSummand));
  },
  logsumexp: (y, ...xs) => xs.map(x => slopeOfLogsumexp(y, x)),
};
