// What flow/playground.py prints of the optimisers.

/** A step of each optimiser for all parameters, which changes the arrays. */
export const updates: Record<
  string,
  (rate: number, steps: number, data: Float64Array, grad: Float64Array, ...state: Float64Array[]) => void
>;
