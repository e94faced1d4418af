"""Write accesses to the arrays of a C function, in loops and outside: by strides, or by tables of indices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from math import copysign
from typing import Any, TypeAlias, TypeVar

from ..instructions.code import Code
from ..loops.places import Places
from ..loops.strides import runs, stride
from .text import Text, block, product

T = TypeVar("T")
Place: TypeAlias = tuple[str, int]  # an array's name, and an index in it
ARRAYS = ("", "weights", "inputs", "gradient", "work")  # "" is for constants, which are in no array
ARRAY_SPAN = 1 << 40  # between the places of two arrays' first elements, so that no stride leads into another array
WORK = ARRAYS.index("work") * ARRAY_SPAN
SMALL_INTEGERS = 1 << 20  # a smaller integer is its own place among the constants, so 0, 1, 2 have a constant stride
MIN_LOOP_ITEMS = 3  # items in a run, from which it is a loop
MIN_MEAN_RUN = 3  # items in a run on average, from which runs are loops instead of one loop with a table


class Arrays:
    """The arrays of one function, in which its values are, and the lines that are written for it.

    Args:
        text: the file.
        places: the places of the values. A place is an array and an index as one number, see `address`.

    Attributes:
        lines: the lines that were written since the last call of `take_lines`.
    """

    def __init__(self, text: Text, places: Places) -> None:
        self.text, self.places, self.code = text, places, places.code
        self.lines: list[str] = []
        self._packed: dict[tuple[int, ...], int] = {}

    def take_lines(self) -> list[str]:
        """Return and clear the pending lines."""
        lines, self.lines = self.lines, []
        return lines

    @property
    def work(self) -> int:
        """The size of the array `work`."""
        return self.places.scalar_count - WORK

    def place(self, i: int) -> Place:
        """Return a value's array and its index in it."""
        array, index = divmod(self.places.scalar[i], ARRAY_SPAN)
        return ARRAYS[array], index

    def array(self, i: int) -> str:
        """Return the array that holds a value."""
        return ARRAYS[self.places.scalar[i] // ARRAY_SPAN]

    def arrays_of(self, numbers: Iterable[int]) -> tuple[str, ...]:
        """Return the array of each of some values."""
        return tuple(map(self.array, numbers))

    def index_of(self, i: int) -> int:
        """Return the index of a value in its array."""
        return self.places.scalar[i] % ARRAY_SPAN

    def add_loop(self, count: int, lines: list[str]) -> None:
        """Write a loop over `i` from 0 to count - 1; with a count of 1 only its body."""
        self.lines += for_loop("i", count, lines) if count > 1 else in_braces(lines)

    def operands(self, rows: Sequence[Sequence[int]], i: str = "i") -> list[str]:
        """Return an expression for each column of values, for the row with the index `i`."""
        return [self.element([[j] for j in column], i) for column in zip(*rows, strict=True)]

    def strided_pointer(self, rows: list[list[int]], i: str) -> tuple[str, int] | None:
        """Return a pointer to the first value of row `i`, and the stride of its values.

        Return None if the values are in several arrays, or have no constant stride that is the same for all rows.
        """
        [array, *others] = {self.array(j) for row in rows for j in row}
        if others or not array:
            return None
        places = [[self.index_of(j) for j in row] for row in rows]
        step = stride(places[0])
        if step is None or any(stride(row) != step for row in places):
            return None
        index = index_expression(self.text, [row[:1] for row in places], i)
        return f"{self._name(array)} + {index}".removesuffix(" + 0"), step

    def copy(self, to: Sequence[Place], numbers: Sequence[int]) -> None:
        """Copy values to other places."""
        self._store_each([(place, (i,)) for place, i in zip(to, numbers, strict=True)], "=")

    def _store_each(self, found: Iterable[tuple[Place, tuple[int, ...]]], sign: str) -> None:
        """Store products in some places, or add them to these, in loops where strides allow it.

        Args:
            found: for each place, the numbers of the factors.
            sign: "=" or "+=".
        """
        groups: dict[Any, list[tuple[Place, tuple[int, ...]]]] = defaultdict(list)
        for place, factors in found:
            groups[place[0], self.arrays_of(factors)].append((place, factors))
        for (array, _), group in groups.items():
            for part in split_by_stride(sorted(group), lambda one: [one[0][1], *map(self.index_of, one[1])]):
                at = index_expression(self.text, [[place[1]] for place, _ in part])
                value = reduce(self._product, self.operands([factors for _, factors in part]))
                self.add_loop(len(part), [f"{self._name(array)}[{at}] {sign} {value};"])

    def _product(self, a: str, b: str) -> str:
        return product(a, b, self.text.literal(1.0))

    def _name(self, array: str) -> str:
        return self.text.weights if array == "weights" else array

    def element(self, rows: list[list[int]], i: str = "i", k: str = "k") -> str:
        """Return an expression for the value in row `i` and column `k`, where `i` and `k` are C expressions."""
        [array, *others] = {self.array(j) for row in rows for j in row}
        if others:
            return f"work[{index_expression(self.text, self._pack(rows), i, k)}]"
        if array:
            indices = [[self.index_of(j) for j in row] for row in rows]
            return f"{self._name(array)}[{index_expression(self.text, indices, i, k)}]"
        values = [self.code.constants.get(j, 1.0) for row in rows for j in row]  # or it is the seed
        [text, *others] = {self.text.literal(x) for x in values}
        return (
            f"{self.text.table(values)}[{index_expression(self.text, _contiguous(0, rows), i, k)}]" if others else text
        )

    def _pack(self, rows: list[list[int]]) -> list[list[int]]:
        """Copy values of several arrays to contiguous places in `work`, and return the indices of the copies."""
        flat = tuple([j for row in rows for j in row])
        if flat not in self._packed:
            first = self._packed[flat] = self.places.allocate(len(flat)) - WORK
            self.copy([("work", first + n) for n in range(len(flat))], flat)
        return _contiguous(self._packed[flat], rows)


def address(place: Place) -> int:
    """Return a place as one number, for `Places`.

    >>> address(("inputs", 3)) - address(("inputs", 1))
    2
    """
    return ARRAYS.index(place[0]) * ARRAY_SPAN + place[1]


def constant_places(code: Code, numbers: Iterable[int]) -> dict[int, int]:
    """Return a place for each constant and for the seed, which is 1.

    A small integer is its own place; the other constants come after all of these.
    """
    known = {i: code.constants.get(i, 1.0) for i in numbers if i in code.constants or code.instructions[i] == ("seed",)}
    small = {
        i: int(x) for i, x in known.items() if 0.0 <= x < SMALL_INTEGERS and x.is_integer() and copysign(1.0, x) > 0.0
    }
    others = [i for i in known if i not in small or code.instructions[i] == ("seed",)]
    return small | {i: k for k, i in enumerate(others, SMALL_INTEGERS)}


def index_expression(text: Text, rows: list[list[int]], i: str = "i", k: str = "k") -> str:
    """Return a C expression for an index that depends on a row `i` and a column `k`.

    It is linear where the indices have constant strides. Otherwise tables are looked up.

    >>> text = Text("f", "double", {})
    >>> index_expression(text, [[5], [7], [9]]), index_expression(text, [[0, 1], [4, 5]]), index_expression(text, [[3]])
    ('5 + 2 * i', '4 * i + k', '3')
    >>> index_expression(text, [[5], [7], [8]])
    'f_table0[i]'
    """
    firsts, row = [row[0] for row in rows], [x - rows[0][0] for x in rows[0]]
    if any([x - first for x in other] != row for first, other in zip(firsts, rows, strict=True)):
        table = text.table([x for row in rows for x in row])
        return f"{table}[{linear(0, (len(row), i), (1, k))}]"
    base, terms = 0, []
    for values, name in ((firsts, i), (row, k)):
        if (step := stride(values)) is None:
            terms.append((1, f"{text.table(values)}[{name}]"))
        else:
            base += values[0]
            terms.append((step, name))
    return linear(base, *terms)


def split_by_stride(items: Sequence[T], places: Callable[[T], Sequence[int]]) -> list[list[T]]:
    """Split items into runs with constant strides. If the runs would be too short, all items stay in one list.

    >>> split_by_stride([1, 2, 3, 10, 12, 14, 16, 18], lambda x: [x])
    [[1, 2, 3], [10, 12, 14, 16, 18]]
    """
    found = [[*items[part.start : part.stop]] for part in runs([places(item) for item in items])]
    if len(items) >= MIN_LOOP_ITEMS and len(found) * MIN_MEAN_RUN > len(items):
        return [list(items)]
    return [few for part in found for few in ([part] if len(part) >= MIN_LOOP_ITEMS else [[one] for one in part])]


def _contiguous(first: int, rows: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return contiguous places, from `first` on, for the elements of rows of equal length."""
    return [[*range(first + len(row) * n, first + len(row) * (n + 1))] for n, row in enumerate(rows)]


def linear(base: int, *parts: tuple[int, str]) -> str:
    """Return a C expression for a number plus multiples of variables.

    >>> linear(0, (1, "i"), (0, "k")), linear(3, (-2, "k")), linear(0, (0, "i"))
    ('i', '3 - 2 * k', '0')
    """
    terms = [f"{step} * {name}".removeprefix("1 * ").replace("-1 * ", "-") for step, name in parts if step]
    return " + ".join([str(base)] * bool(base) + terms).replace("+ -", "- ") or "0"


def in_braces(lines: list[str]) -> list[str]:
    """Return lines as a block in braces; a single line is returned as it is.

    >>> in_braces(["x;"]), in_braces(["int y;", "y = x;"])
    (['x;'], ['{', '    int y;', '    y = x;', '}'])
    """
    return block("", lines) if lines[1:] else lines


def for_loop(name: str, count: int, lines: list[str]) -> list[str]:
    """Return a `for` loop over a variable from 0 to count - 1.

    >>> for_loop("i", 3, ["x += i;"])
    ['for (long i = 0; i < 3; i++)', '    x += i;']
    """
    head = f"for (long {name} = 0; {name} < {count}; {name}++)"
    [line, *more] = lines
    return block(head, lines) if more else [head, f"    {line}"]
