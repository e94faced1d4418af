"""Convert rows to the form that machine code reads: the numbers of a batch as doubles, one row after the other.

A row has the numbers of one sample, a number for each input of a program.
"""

from __future__ import annotations

import ctypes
import sys
from array import array
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from numbers import Real
from typing import Any

from ...ops.number import number
from .arrays import (
    DOUBLE_FORMATS,
    FlatNumbers,
    doubles_in_place,
    flat_doubles,
    is_column,
    iterable_data,
    number_without_axes,
    shape_of,
)
from .columns import Columns, Numbers, address


def read_rows(rows: Any, width: int) -> tuple[Numbers, int]:
    """Return the numbers of all rows as one flat array or buffer, and the number of rows; a row has `width` numbers.

    `Columns` are returned as they are. A writable, contiguous buffer of doubles in two dimensions is read in place, and
    a memoryview of it is returned. Everything else is copied to an array. Numbers of other types are converted to
    doubles, and arrays of wider floating-point numbers, which would lose digits, are refused. But integers and
    fractions in lists are rounded.

    Raises:
        TypeError: `rows` does not hold rows of real numbers.
        OverflowError: an integer or a fraction is too large for a float.
        ValueError: a row does not have `width` numbers.

    >>> read_rows([[1, 2], [3, 4]], 2)
    (array('d', [1.0, 2.0, 3.0, 4.0]), 2)
    """
    shape = getattr(rows, "shape", None)
    kind = type(rows)
    if kind is Columns:
        return rows, rows.row_count
    if not shape or not (kind is memoryview or kind.__module__ == "numpy"):  # these skip the checks, for speed
        if kind is list:
            return _read_sequences(rows, width)
        if isinstance(rows, ctypes.Array):
            rows = memoryview(rows)
        if not is_column(rows):
            return _read_sequences(rows, width)
        shape = shape_of(rows)
    if len(shape) != 2:
        instead = "[x], or x.reshape(1, -1), for one row" if len(shape) == 1 else "x.reshape(len(x), -1)"
        raise TypeError(f"rows must be in two dimensions, one row after the other, got {len(shape)}; write {instead}")
    n, columns = shape
    try:
        numbers = doubles_in_place(rows)
        if numbers is None:
            converted = flat_doubles(rows)
            numbers = converted if isinstance(converted, array) else array("d", converted.tobytes())
    except TypeError as error:
        if getattr(getattr(rows, "dtype", None), "kind", "") == "O":
            return _read_sequences(rows.tolist(), width)  # raises an error that names the row
        raise TypeError(f"rows: {error}") from error
    if columns != width:
        raise ValueError(f"rows have {columns} numbers, the program {width} inputs")
    return numbers, n


def writable_address(out: Any, count: int) -> int:
    """Return the address of `out`, a writable buffer of exactly `count` doubles; return 0 if `count` is 0.

    Raises:
        TypeError: `out` is not a writable, contiguous buffer of doubles.
        ValueError: `out` has more or fewer than `count` doubles.
    """
    try:
        view = memoryview(out)
    except TypeError as error:
        raise TypeError(f"out must be a buffer of doubles, got {type(out).__name__}") from error
    if view.format not in DOUBLE_FORMATS or view.readonly or not view.c_contiguous:
        kind = "readonly" if view.readonly else f"of format {view.format!r}" if view.c_contiguous else "not contiguous"
        raise TypeError(f"out must be a buffer of doubles, to be written one after the other; it is {kind}")
    if view.nbytes != 8 * count:
        raise ValueError(f"out has room for {view.nbytes // 8} numbers, not for {count}")
    return address(view.cast("B")) if count else 0


def numpy_if_array(rows: Any) -> Any:
    """Return the module numpy if `rows` is a numpy array, so results are to be numpy arrays, too; otherwise None.

    For `Columns`, the attribute `gives_numpy` decides.
    """
    numpy = sys.modules.get("numpy")
    if isinstance(rows, Columns):
        return numpy if rows.gives_numpy else None
    return numpy if numpy and isinstance(rows, numpy.ndarray) else None


def as_result(numbers: FlatNumbers, shape: tuple[int, ...], numpy: Any, out: Any) -> Any:
    """Return `numbers` in the given `shape`; but if `out` is not None, copy them to the buffer `out`, and return `out`.

    Without `out`, the result is a numpy array if `numpy` is the module numpy, and nested lists if `numpy` is None.
    Nothing is copied to `out` if `numbers` are a memoryview of all of `out`. Lists of rows without numbers are separate
    lists, as the second example shows.

    Raises:
        TypeError: `out` is not a writable, contiguous buffer of doubles.
        ValueError: `out` has room for more or fewer numbers.

    >>> numbers = array("d", [1, 2])
    >>> as_result(numbers, (1, 2), None, None), as_result(numbers, (1, 2), None, array("d", [0, 0]))
    ([[1.0, 2.0]], array('d', [1.0, 2.0]))
    >>> first, second = as_result(array("d"), (2, 0), None, None)
    >>> first is second
    False
    """
    if out is not None:
        if not (type(numbers) is memoryview and numbers.obj is out):
            ctypes.memmove(writable_address(out, len(numbers)), address(numbers), 8 * len(numbers))
        return out
    if numpy:
        return numpy.frombuffer(numbers).reshape(shape) if numbers else numpy.empty(shape)
    return memoryview(numbers).cast("B").cast("d", shape).tolist() if numbers else [[] for _ in range(shape[0])]


def overlaps(data: Numbers, out: Any) -> bool:
    """Return whether `data` and `out` share memory, so writing to `out` would change `data`, which is still read.

    An `array.array` counts as a copy of the caller's rows, so it shares no memory with `out` unless it is `out` itself.

    >>> numbers = memoryview(array("d", [1, 2, 3]))
    >>> overlaps(numbers[:2], numbers[1:]), overlaps(numbers[:1], numbers[1:])
    (True, False)
    """
    if isinstance(data, Columns):
        return any(overlaps(part, out) for part in data.parts)
    view = memoryview(out)
    if isinstance(data, array) or not len(data) or not view.nbytes:
        return data is out
    first, to = address(data), address(view.cast("B"))
    return first < to + view.nbytes and to < first + data.nbytes


def _read_sequences(rows: Any, width: int) -> tuple[array[float], int]:
    """Return the numbers of a sequence of rows as one array, and the number of rows; each row has `width` numbers.

    Raises:
        TypeError: `rows` is a dict, a set, a string, a tuple of columns or not iterable; or a row contains something
            other than numbers.
        OverflowError: an integer or a fraction is too large for a float.
        ValueError: a row does not have `width` numbers.
    """
    expected = f"rows, each a sequence of {width} numbers"
    _refuse_without_order(rows, expected)
    flat: list[Any] = []
    n = 0
    for i, row in enumerate(iterable_data(rows, expected, "[row] for one row")):
        # An iterator may give more or fewer than its len() says
        flat.extend(row if type(row) is list or type(row) is tuple else _checked_row(row, i))
        n = i + 1
        if len(flat) != n * width:
            raise ValueError(f"rows[{i}] has {len(flat) - i * width} numbers, the program {width} inputs")
    kinds = set(map(type, flat))
    if all(issubclass(kind, Real) and kind.__name__ != "timedelta64" for kind in kinds):  # numpy says it is an integer
        with suppress(OverflowError):  # for an integer beyond the largest float, `_number` says in which row it is
            return array("d", flat), n
    return array("d", [_number(x, i // width) for i, x in enumerate(flat)]), n


def _refuse_without_order(rows: Any, expected: str) -> None:
    """Raise TypeError if `rows` is a dict, a set, or a tuple of lists or arrays, which could be columns.

    `expected` is the part of the message that says what `rows` must be.
    """
    kind = type(rows).__name__
    if isinstance(rows, Mapping):
        raise TypeError(f"expected {expected}, got {kind}, read by its keys; write list(zip(*x.values()))")
    if isinstance(rows, (set, frozenset)):
        raise TypeError(f"expected {expected}, got {kind}, which has no order; write a list")
    if isinstance(rows, tuple) and any(isinstance(row, list) or is_column(row) for row in rows):
        columns = "list(zip(*x))" if all(isinstance(row, (list, tuple)) for row in rows) else "np.column_stack(x)"
        raise TypeError(
            f"expected {expected}, got a tuple of {type(rows[0]).__name__}s, which could be columns; write list(x) for "
            f"rows, or {columns} for columns"
        )


def _checked_row(row: Any, i: int) -> Iterable[Any]:
    """Return the numbers of a row that is neither a list nor a tuple, such as an array.

    Raises:
        TypeError: the row is not a sequence of numbers. The message names its index, `i`.
    """
    if is_column(row):
        if len(shape := shape_of(row)) != 1:
            raise TypeError(f"rows[{i}] must be a sequence of numbers, got an array of shape {shape}")
        try:
            return flat_doubles(row)
        except TypeError as error:
            raise TypeError(f"rows[{i}]: {error}") from error
    texts_and_sets = (str, bytes, bytearray, Mapping, set, frozenset)
    if hasattr(row, "__len__") and not hasattr(row, "shape") and not isinstance(row, texts_and_sets):
        found: Iterable[Any] = row
        return found
    one = "; write [x] for one row" if isinstance(row, Real) or hasattr(row, "shape") else ""
    one = "; write list(row) for each" if hasattr(row, "__next__") else one
    raise TypeError(f"rows[{i}] must be a sequence of numbers, got {type(row).__name__} {row!r}{one}")


def _number(x: Any, i: int) -> float:
    """Return `x` as a float.

    Raises:
        TypeError, OverflowError: `x` is not a real number, or is too large. The message names `i`, the index of its
            row.
    """
    try:
        return number_without_axes(x) if getattr(x, "shape", None) == () else number(x)
    except (TypeError, OverflowError) as error:
        raise type(error)(f"rows[{i}]: {error}") from error


@lru_cache(8)
def row_numbers(n: int) -> array[int]:
    """Return 0, 1, ..., n - 1: the indices of n rows. Calls with the same n share the array; nobody may change it."""
    numpy = sys.modules.get("numpy")
    return array("q", numpy.arange(n, dtype=numpy.int64).tobytes()) if numpy else array("q", range(n))


def checked_order(order: list[int], n: int) -> array[int]:
    """Return a shuffled list of row indices as an array, after checking that it holds each of 0, ..., n - 1 once.

    Without the check, machine code would read memory outside the rows if an index were out of range.

    Raises:
        ValueError: an index is missing, or the list has something other than row indices.
    """
    try:
        index = array("q", order)
    except (TypeError, OverflowError):
        index = array("q")
    seen = bytearray(n)
    if len(index) == n and (numpy := sys.modules.get("numpy")):
        found = numpy.frombuffer(index, numpy.int64)
        if found.min() >= 0 and found.max() < n:
            numpy.frombuffer(seen, numpy.uint8)[found] = 1
    elif len(index) == n and min(index) >= 0 and max(index) < n:
        for i in index:
            seen[i] = 1
    if 0 in seen:
        raise ValueError("fit(): shuffle must permute the list of row numbers, and neither add nor remove any")
    return index
