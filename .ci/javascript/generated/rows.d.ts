// What flow/javascript.py prints of the table of operations.

/** The value of each operation, by its name. */
export const forward: Record<string, (...operands: number[]) => number>;
/** All partial derivatives of each operation, given its value and its operands. */
export const partials: Record<string, (value: number, ...operands: number[]) => number[]>;
