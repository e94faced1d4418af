"""Convert rows to the form that machine code reads: the numbers of a batch as doubles, one row after the other."""

from __future__ import annotations

import ctypes
import sys
from array import array
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from numbers import Real
from typing import Any, TypeAlias

from ...ops.number import number

DOUBLE_FORMATS = ("d", "@d", "=d", "<d")  # the ways in which buffers write the format of doubles
CONVERTED_FORMATS = "fbBhHiIlLqQ?"  # float32, integers and bools, which are converted
Numbers: TypeAlias = "array[float] | memoryview[Any]"


def read_rows(rows: Any, width: int) -> tuple[Numbers, int]:
    """Return the numbers of all rows as one flat array or buffer, and the count of rows; a row has `width` numbers.

    A writable, contiguous buffer of doubles in two dimensions is read in place. Everything else is copied. Numbers of
    other types are converted to doubles, and types whose numbers could lose digits are refused. But integers and
    fractions in lists are rounded, and become inf if they are too large.

    Raises:
        TypeError: `rows` does not hold rows of real numbers.
        ValueError: a row does not have `width` numbers.

    >>> read_rows([[1, 2], [3, 4]], 2)
    (array('d', [1.0, 2.0, 3.0, 4.0]), 2)
    """
    try:
        view = memoryview(rows)
    except (
        TypeError,
        ValueError,
    ):  # it is not a buffer, or an array of something that buffers cannot hold, such as dates
        return _read_sequences(rows, width)
    if view.ndim != 2:
        raise TypeError(
            f"rows must be in two dimensions, one row after the other, got {view.ndim}; "
            f"write {'[x], or x.reshape(1, -1), for one row' if view.ndim == 1 else 'x.reshape(len(x), -1)'}"
        )
    if view.format and view.format in CONVERTED_FORMATS:
        return _read_sequences(view.tolist(), width)
    if view.format not in DOUBLE_FORMATS:
        if not hasattr(rows, "astype"):
            raise TypeError(f"rows must hold real numbers, got a buffer of format {view.format!r}")
        if rows.dtype.kind == "O":
            return _read_sequences(rows.tolist(), width)
        if (
            rows.dtype.kind not in "fiub" or rows.dtype.itemsize > 8
        ):  # other dtypes would lose digits, or are not numbers
            instead = "; write x.astype(float), which rounds them" if rows.dtype.kind == "f" else ""
            raise TypeError(f"rows must hold real numbers, doubles at most, got an array of {rows.dtype}{instead}")
        return read_rows(rows.astype("d"), width)
    assert view.shape is not None  # it has two dimensions
    n, columns = view.shape
    if columns != width:
        raise ValueError(f"rows have {columns} numbers, the program {width} inputs")
    if not view.c_contiguous or view.readonly or not n * width:
        copied = array("d")
        copied.frombytes(view.tobytes())
        return copied, n
    flat: memoryview[Any] = view.cast("B").cast("d")
    return flat, n


def writable_address(out: Any, count: int) -> int:
    """Return the address of `out`, a writable buffer of exactly `count` doubles; return 0 if `count` is 0.

    Raises:
        TypeError: `out` is not a writable, contiguous buffer of doubles.
        ValueError: `out` has another count of doubles.
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
    """Return the module numpy if `rows` is a numpy array, which makes the results numpy arrays; otherwise None.

    >>> numpy_if_array([[1.0]])
    """
    numpy = sys.modules.get("numpy")
    return numpy if numpy and isinstance(rows, numpy.ndarray) else None


def as_result(numbers: array[float], shape: tuple[int, ...], numpy: Any, out: Any) -> Any:
    """Copy `numbers` to the buffer `out`, and return `out`.

    If `out` is None, return the numbers in `shape` instead: as a numpy array if `numpy` is the module numpy, as nested
    lists if `numpy` is None.

    Raises:
        TypeError, ValueError: as for `writable_address`.

    >>> numbers = array("d", [1, 2])
    >>> as_result(numbers, (1, 2), None, None), as_result(numbers, (1, 2), None, array("d", [0, 0]))
    ([[1.0, 2.0]], array('d', [1.0, 2.0]))
    >>> first, second = as_result(array("d"), (2, 0), None, None)
    >>> first is second
    False
    """
    if out is not None:
        ctypes.memmove(writable_address(out, len(numbers)), numbers.buffer_info()[0], 8 * len(numbers))
        return out
    if numpy:
        return numpy.frombuffer(numbers).reshape(shape) if numbers else numpy.empty(shape)
    return memoryview(numbers).cast("B").cast("d", shape).tolist() if numbers else [[] for _ in range(shape[0])]


def overlaps(data: Numbers, out: Any) -> bool:
    """Return whether two buffers share memory, so that writing to `out` would change `data` while `data` is read.

    An array `data` is a copy of rows, so it shares memory with `out` only if it is `out` itself.

    >>> numbers = memoryview(array("d", [1, 2, 3]))
    >>> overlaps(numbers[:2], numbers[1:]), overlaps(numbers[:1], numbers[1:])
    (True, False)
    """
    view = memoryview(out)
    if isinstance(data, array) or not len(data) or not view.nbytes:
        return data is out
    first, to = address(data), address(view.cast("B"))
    return first < to + view.nbytes and to < first + data.nbytes


def _read_sequences(rows: Any, width: int) -> tuple[array[float], int]:
    """Return the numbers of a sequence of rows as one array, and the count of rows; each row has `width` numbers."""
    if isinstance(rows, Mapping):
        raise TypeError(
            f"expected rows, each a sequence of {width} numbers, got {type(rows).__name__}, read by its keys"
        )
    try:
        numbered = enumerate(rows)
    except TypeError as error:
        raise TypeError(f"expected rows, each a sequence of {width} numbers, got {type(rows).__name__}") from error
    flat: list[Any] = []
    n = 0
    for i, row in numbered:
        if not hasattr(row, "__len__") or isinstance(row, (str, bytes, Mapping)):
            one = "; write [x] for one row" if isinstance(row, Real) else ""
            raise TypeError(f"rows[{i}] must be a sequence of numbers, got {type(row).__name__} {row!r}{one}")
        flat.extend(row)  # an iterator may give more or fewer than its len() says
        n = i + 1
        if len(flat) != n * width:
            raise ValueError(f"rows[{i}] has {len(flat) - i * width} numbers, the program {width} inputs")
    if all(issubclass(kind, Real) for kind in set(map(type, flat))):
        with suppress(OverflowError):  # array() refuses integers beyond the largest float, which are infinities
            return array("d", flat), n
    return array("d", [_number(x, i // width) for i, x in enumerate(flat)]), n


def _number(x: Any, i: int) -> float:
    """Return `x` as a float. Error messages name `i`, the index of the row that contains `x`."""
    try:
        return number(x)
    except TypeError as error:
        raise TypeError(f"rows[{i}]: {error}") from error


@lru_cache(8)
def row_numbers(n: int) -> array[int]:
    """Return 0, 1, ..., n - 1: the indices of n rows. Calls with the same n share the array; nobody may change it."""
    return array("q", range(n))


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
    if len(index) == n and min(index) >= 0 and max(index) < n:
        for i in index:
            seen[i] = 1
    if 0 in seen:
        raise ValueError("fit(): shuffle must permute the list of row numbers, and neither add nor remove any")
    return index


def address(data: Any) -> int:
    """Return the address of the first number of an array or a writable buffer; return 0 for an empty buffer."""
    if isinstance(data, array):
        return data.buffer_info()[0]
    return ctypes.addressof(ctypes.c_char.from_buffer(data)) if len(data) else 0
