// What flow/playground.py prints of Adam for the language model.

/** A step of Adam for all parameters, which changes the arrays. */
export const updateModel: (
  rate: number,
  steps: number,
  data: Float64Array,
  grad: Float64Array,
  mean: Float64Array,
  square: Float64Array,
) => void;
