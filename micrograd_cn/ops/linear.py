"""`solve`: the solution of a small system of linear equations, written with operations of the table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .number import number, numbers_in
from .table import abs, div, dot, less, where  # noqa: A004 -- the field's name

__all__ = ["solve"]


def solve(a: Iterable[Iterable[Any]], b: Iterable[Any]) -> list[Any]:
    """Return the x for which the matrix `a` times x is `b`, by Gaussian elimination with partial pivoting.

    The rows are exchanged by `where`, so a recorded or compiled solution chooses its pivots again for other numbers.
    If the matrix is singular, some numbers of the result are inf or nan.

    Args:
        a: n rows of n numbers or `Value`s, as lists or as an array.
        b: n numbers or `Value`s; or n rows of them, to solve for each column. Then the result is a list of n rows.

    Raises:
        ValueError: `a` is not square, or `b` has another number of rows, or rows of different lengths.
        TypeError: an element of `a` or `b` is neither a number nor a `Value`.

    >>> solve([[2, 1], [1, 3]], [3, 4])
    [1.0, 1.0]
    >>> solve([[2, 0], [0, 4]], [[1, 0], [0, 1]])
    [[0.5, 0.0], [0.0, 0.25]]
    """
    matrix = [list(numbers_in(row)) for row in numbers_in(a)]
    n, right = len(matrix), [*numbers_in(b)]
    if any(len(row) != n for row in matrix):
        lengths = " and ".join(map(str, sorted({len(row) for row in matrix})))
        raise ValueError(f"solve() needs a square matrix, got {n} rows of {lengths} numbers")
    if len(right) != n:
        raise ValueError(f"solve() needs as many numbers on the right as the matrix has rows, got {len(right)} and {n}")
    is_matrix = any(isinstance(x, (list, tuple)) or getattr(x, "shape", None) for x in right)
    columns = [list(numbers_in(x)) for x in right] if is_matrix else [[x] for x in right]
    width = {len(row) for row in columns}
    if len(width) > 1:
        raise ValueError(f"solve() needs rows of one length on the right, got {' and '.join(map(str, sorted(width)))}")
    rows = [
        [x if hasattr(x, "_record") else number(x) for x in (*left, *more)]
        for left, more in zip(matrix, columns, strict=True)
    ]
    for k in range(n):
        for i in range(k + 1, n):
            _bring_up(rows, k, i)
        for i in range(k + 1, n):
            factor = div(rows[i][k], rows[k][k])
            rows[i][k + 1 :] = [x - factor * y for x, y in zip(rows[i][k + 1 :], rows[k][k + 1 :], strict=True)]
    solved = [_back_substituted(rows, n, column) for column in range(n, n + sum(width))]
    return [list(row) for row in zip(*solved, strict=True)] if is_matrix else solved[0] if solved else []


def _bring_up(rows: list[list[Any]], k: int, i: int) -> None:
    """Exchange the rows k and i in place if, in column k, the element of row i has the larger magnitude.

    Columns before k, which are not read again, may stay as they are.
    """
    larger = less(abs(rows[k][k]), abs(rows[i][k]))
    if type(larger) is float:
        if larger:
            rows[k], rows[i] = rows[i], rows[k]
        return
    pairs = [*zip(rows[k][k:], rows[i][k:], strict=True)]
    rows[k][k:] = [where(larger, y, x) for x, y in pairs]
    rows[i][k:] = [where(larger, x, y) for x, y in pairs]


def _back_substituted(rows: Sequence[Sequence[Any]], n: int, column: int) -> list[Any]:
    """Return the list of the n unknowns of an upper triangular system of equations.

    `rows` has the rows of the matrix. The right sides of the equations are in the column `column` of the same rows.
    """
    found: list[Any] = []
    for k in reversed(range(n)):
        rest = rows[k][column] - dot(rows[k][k + 1 : n], found) if found else rows[k][column]
        found.insert(0, div(rest, rows[k][k]))
    return found
