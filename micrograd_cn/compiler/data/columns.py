"""Keep the numbers of rows in several arrays, one for each argument, and say where machine code finds them.

A row has the numbers of one sample. Usually the rows are one array, one row after the other. If the samples are large
arrays, such as `X` and `y`, to copy them side by side into one array takes as long as to compute with them, so machine
code reads them where they are.
"""

from __future__ import annotations

import ctypes
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from .arrays import FlatNumbers

MAX_NUMBERS = 20_000  # rows that have more numbers in all are read where they are, which takes longer to prepare
MIN_WIDTH = 8  # rows that are read in random order are copied side by side if none of their columns is as wide
# If this bit of an address is set, which no address of memory has, the rest is the address of a table: the count of
# columns and, for each of them, the address of its numbers and how many numbers each row has there.
TABLE_BIT = 1 << 62
Numbers: TypeAlias = "FlatNumbers | Columns"


class ColumnTable:
    """A table that says where machine code finds the numbers of rows, which are in several arrays; see `TABLE_BIT`.

    Args:
        widths: how many numbers each row has in each array.

    Attributes:
        address: the address that is passed to machine code as that of the rows.
    """

    def __init__(self, widths: Iterable[int]) -> None:
        words = [word for width in widths for word in (0, width)]
        self._words = array("q", [len(words) // 2, *words])
        self.address = address(self._words) | TABLE_BIT

    def __setitem__(self, k: int, address: int) -> None:
        """Write to the table that the numbers of array `k` begin at `address`."""
        self._words[1 + 2 * k] = address

    def address_of(self, k: int) -> int:
        """Return where in memory the table has the address of the numbers of array `k`."""
        return address(self._words) + 8 * (1 + 2 * k)


class Columns(Sequence[float]):
    """The numbers of all rows, in one array for each part of a row.

    It is a sequence of the numbers as if they were in one array, one row after the other.

    Args:
        parts: arrays of doubles. Each has equally many numbers of every row, one row after the other.
        row_count: the number of rows.
        gives_numpy: whether results for these rows are to be numpy arrays.

    Attributes:
        parts, row_count, gives_numpy: as in the arguments.
        width: how many numbers a row has.
        shape: the number of rows, and `width`.
        address: the address that is passed to machine code as that of the rows; see `TABLE_BIT`.

    >>> rows = Columns([array("d", [1, 2, 3, 4]), array("d", [10, 20])], 2)
    >>> list(rows), rows[3:6].tolist(), rows[2::3].tolist(), rows[4]
    ([1.0, 2.0, 10.0, 3.0, 4.0, 20.0], [3.0, 4.0, 20.0], [10.0, 20.0], 4.0)
    """

    def __init__(self, parts: Sequence[FlatNumbers], row_count: int, gives_numpy: bool = False) -> None:
        self.parts, self.row_count, self.gives_numpy = parts, row_count, gives_numpy
        self._widths = [len(part) // row_count for part in parts]
        self.width = sum(self._widths)
        self.shape = row_count, self.width
        self._table = ColumnTable(self._widths)
        for k, part in enumerate(parts):
            self._table[k] = address(part)
        self.address = self._table.address

    def giving_numpy(self) -> Columns:
        """Return a copy of these `Columns` in which `gives_numpy` is set. It shares the arrays of numbers."""
        return Columns(self.parts, self.row_count, gives_numpy=True)

    @property
    def are_narrow(self) -> bool:
        """Whether each array has only few numbers of a row, so one row is read from many places in memory."""
        return max(self._widths) < MIN_WIDTH

    def flat(self) -> FlatNumbers:
        """Return the numbers as one array or buffer, one row after the other."""
        return side_by_side(self.parts, self.row_count)

    def __len__(self) -> int:
        return self.row_count * self.width

    def __iter__(self) -> Iterator[float]:
        return iter(self.flat())

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, slice):
            row, place = divmod(range(len(self))[key], self.width)
            part, first, width = self._part(place)
            return part[row * width + place - first]
        start, stop, step = key.indices(len(self))
        if step == self.width and start < step and stop == len(self):
            part, first, width = self._part(start)
            return part[start - first :: width]
        if step == 1 and start % self.width == stop % self.width == 0:
            rows = slice(start // self.width, stop // self.width)
            cut = [p[rows.start * w : rows.stop * w] for p, w in zip(self.parts, self._widths, strict=True)]
            return side_by_side(cut, rows.stop - rows.start)
        return self.flat()[key]

    def _part(self, place: int) -> tuple[FlatNumbers, int, int]:
        """Return the part that has the number at `place` of a row, the place where the part begins, and its width.

        Raises:
            IndexError: a row has at most `place` numbers.
        """
        first = 0
        for part, width in zip(self.parts, self._widths, strict=True):
            if place < first + width:
                return part, first, width
            first += width
        raise IndexError(place)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        import numpy as np

        return np.asarray(self.flat(), dtype).reshape(self.shape)


def together(columns: Sequence[FlatNumbers], count: int) -> Numbers:
    """Return the numbers of `count` rows as one sequence, in which the parts of a row follow each other.

    Each array in `columns` has a part of every row, one row after the other. Large arrays are not copied: the result is
    then a `Columns`, which refers to them.

    >>> list(together([array("d", [1, 2]), array("d", [10, 20])], 2))
    [1.0, 10.0, 2.0, 20.0]
    """
    if len(columns) == 1:
        return columns[0]
    if count == 1 or sum(map(len, columns)) <= MAX_NUMBERS:
        return side_by_side(columns, count)
    return Columns(columns, count)


def side_by_side(columns: Sequence[FlatNumbers], count: int) -> FlatNumbers:
    """Return the numbers of `count` rows as one array, one row after the other.

    Each array in `columns` has a part of every row, such as the numbers of one argument, one row after the other.
    """
    if len(columns) == 1:
        return columns[0]
    if not count:
        return array("d")
    width = sum(map(len, columns)) // count
    if width and (numpy := sys.modules.get("numpy")):
        parts = [numpy.frombuffer(x).reshape(count, len(x) // count) for x in columns if len(x)]
        return memoryview(numpy.concatenate(parts, axis=1).reshape(count * width))
    found, start = array("d", bytes(8 * count * width)), 0
    for x in columns:
        part = len(x) // count
        for k in range(part):
            found[start + k :: width] = array("d", x[k::part])
        start += part
    return found


def flat(numbers: Numbers) -> FlatNumbers:
    """Return the numbers of rows as one array or buffer, one row after the other."""
    return numbers.flat() if isinstance(numbers, Columns) else numbers


def address(data: Any) -> int:
    """Return the address of the first number of an array or a buffer; return 0 for an empty buffer.

    For `Columns` and a `ColumnTable`, return the address that is passed to machine code as that of the rows. If the
    buffer is read-only, numpy must have been imported.
    """
    if isinstance(data, array):
        return data.buffer_info()[0]
    if isinstance(data, (Columns, ColumnTable)):
        return data.address
    if type(data) is memoryview and data.readonly:
        return int(sys.modules["numpy"].frombuffer(data).__array_interface__["data"][0]) if len(data) else 0
    return ctypes.addressof(ctypes.c_char.from_buffer(data)) if len(data) else 0
