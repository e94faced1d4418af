"""Rows of numbers, from lists or buffers, as machine code reads them."""

from __future__ import annotations

import ctypes
from array import array
from functools import lru_cache
from itertools import chain
from typing import Any, TypeAlias

from ..operation import number

Numbers: TypeAlias = "array[float] | memoryview[Any]"


def read_rows(rows: Any, width: int) -> tuple[Numbers, int]:
    """Return the rows' numbers in a line, and how many rows there are; a writable buffer is used where it is.

    Raises:
        TypeError: they are not real numbers in rows.
        ValueError: a row has not `width` numbers.

    >>> read_rows([[1, 2], [3, 4]], 2)
    (array('d', [1.0, 2.0, 3.0, 4.0]), 2)
    """
    try:
        view = memoryview(rows)
    except TypeError:
        return _listed(rows, width)
    if view.ndim != 2 or view.format not in ("d", "@d", "=d", "<d"):
        raise TypeError(
            f"rows must be in two dimensions and hold doubles, got {view.ndim} of format {view.format!r}; "
            "of an array in one dimension use memoryview(a).cast('B').cast('d', shape)"
        )
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


def _listed(rows: Any, width: int) -> tuple[array[float], int]:
    """Return nested sequences as one array."""
    rows = list(rows)
    for i, row in enumerate(rows):
        if not hasattr(row, "__len__") or isinstance(row, (str, bytes)):
            raise TypeError(f"rows[{i}] must be a sequence of numbers, got {type(row).__name__} {row!r}")
        if len(row) != width:
            raise ValueError(f"rows[{i}] has {len(row)} numbers, the program {width} inputs")
    try:
        return array("d", chain.from_iterable(rows)), len(rows)
    except TypeError:
        return array("d", map(number, chain.from_iterable(rows))), len(rows)


@lru_cache(8)
def in_order(n: int) -> array[int]:
    """Return the numbers of n rows in order."""
    return array("q", range(n))


def address(data: Any) -> int:
    """Return where an array's or buffer's first number is."""
    if isinstance(data, array):
        return data.buffer_info()[0]
    return ctypes.addressof(ctypes.c_char.from_buffer(data)) if len(data) else 0
