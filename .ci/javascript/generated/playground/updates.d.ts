// What flow/playground.py prints of the optimisers.

/** A step of each optimiser for one parameter: its new data, and the new numbers of its state. */
export const updates: Record<
  string,
  (rate: number, steps: number, data: number, grad: number, ...state: number[]) => [number, ...number[]]
>;
