// Find the line along which numbers on a grid cross a level.

// Return the line in pieces, each with its two ends. A row of the grid has `across` numbers. An end is a column and a row,
// counted from 0, with fractions.
export function levelLine(values, across, level = 0) {
  const pieces = [];
  const rows = values.length / across;
  const at = (a, b) => a / (a - b);
  for (let r = 0; r < rows - 1; r++)
    for (let c = 0; c < across - 1; c++) {
      const k = r * across + c;
      const a = values[k] - level;
      const b = values[k + 1] - level;
      const d = values[k + across + 1] - level;
      const e = values[k + across] - level;
      const crossings = [];
      if (a > 0 !== b > 0) crossings.push([c + at(a, b), r]);
      if (b > 0 !== d > 0) crossings.push([c + 1, r + at(b, d)]);
      if (e > 0 !== d > 0) crossings.push([c + at(e, d), r + 1]);
      if (a > 0 !== e > 0) crossings.push([c, r + at(a, e)]);
      for (let i = 0; i + 1 < crossings.length; i += 2) pieces.push([crossings[i], crossings[i + 1]]);
    }
  return pieces;
}
