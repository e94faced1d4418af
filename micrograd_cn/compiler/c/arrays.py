"""Where the values of a C function are: how elements of its arrays are written, one by one and in loops."""

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
Place: TypeAlias = tuple[str, int]  # an array, and the index in it
ARRAYS = ("", "weights", "inputs", "gradient", "work")  # constants are in none
BETWEEN = 1 << 40  # places between the beginnings of arrays, so many that no distance leads from one to another
WORK = ARRAYS.index("work") * BETWEEN
WHOLE = 1 << 20  # whole numbers below it are their own places among the constants, so that 0, 1, 2 are even
LOOP_FROM = 3  # items at even distances that are a loop
MEAN = 3  # items that runs at even distances must have on average to be loops of their own


class Arrays:
    """The places of one function's values, and its lines.

    Args:
        text: of the file.
        places: of the values, by array and index, see `address`.

    Attributes:
        lines: what was written since they were last taken.
    """

    def __init__(self, text: Text, places: Places) -> None:
        self.text, self.places, self.code = text, places, places.code
        self.lines: list[str] = []
        self._gathered: dict[tuple[int, ...], int] = {}

    def take_lines(self) -> list[str]:
        """Return the lines, of which there are none then."""
        lines, self.lines = self.lines, []
        return lines

    @property
    def work(self) -> int:
        """How many numbers the array `work` has."""
        return self.places.scalar_count - WORK

    def place(self, i: int) -> Place:
        """Return where a value is."""
        array, index = divmod(self.places.scalar[i], BETWEEN)
        return ARRAYS[array], index

    def array(self, i: int) -> str:
        """Return the array where a value is."""
        return ARRAYS[self.places.scalar[i] // BETWEEN]

    def arrays(self, numbers: Iterable[int]) -> tuple[str, ...]:
        """Return the arrays where values are."""
        return tuple(map(self.array, numbers))

    def index_of(self, i: int) -> int:
        """Return the index of a value in its array."""
        return self.places.scalar[i] % BETWEEN

    def loop(self, count: int, lines: list[str]) -> None:
        """Write what is done for i from 0 on."""
        self.lines += repeated("i", count, lines) if count > 1 else braced(lines)

    def operands(self, rows: Sequence[Sequence[int]], i: str = "i") -> list[str]:
        """Return how the value of each column is written in the row of number `i`."""
        return [self.element([[j] for j in column], i) for column in zip(*rows, strict=True)]

    def strided(self, rows: list[list[int]], i: str) -> tuple[str, int] | None:
        """Return a pointer to the first of some numbers, and their distance, if it is the same everywhere."""
        [array, *others] = {self.array(j) for row in rows for j in row}
        if others or not array:
            return None
        places = [[self.index_of(j) for j in row] for row in rows]
        step = stride(places[0])
        if step is None or any(stride(row) != step for row in places):
            return None
        index = fit(self.text, [row[:1] for row in places], i)
        return f"{self._name(array)} + {index}".removesuffix(" + 0"), step

    def copy(self, to: Sequence[Place], numbers: Sequence[int]) -> None:
        """Write values to other places."""
        self._each([(place, (i,)) for place, i in zip(to, numbers, strict=True)], "=")

    def _each(self, found: Iterable[tuple[Place, tuple[int, ...]]], sign: str) -> None:
        """Write or add values, or products, to some places."""
        groups: dict[Any, list[tuple[Place, tuple[int, ...]]]] = defaultdict(list)
        for place, factors in found:
            groups[place[0], self.arrays(factors)].append((place, factors))
        for (array, _), group in groups.items():
            for part in split(sorted(group), lambda one: [one[0][1], *map(self.index_of, one[1])]):
                at = fit(self.text, [[place[1]] for place, _ in part])
                value = reduce(self._product, self.operands([factors for _, factors in part]))
                self.loop(len(part), [f"{self._name(array)}[{at}] {sign} {value};"])

    def _product(self, a: str, b: str) -> str:
        return product(a, b, self.text.literal(1.0))

    def _name(self, array: str) -> str:
        return self.text.weights if array == "weights" else array

    def element(self, rows: list[list[int]], i: str = "i", k: str = "k") -> str:
        """Return how the value in a row, of number `i`, and a column, of number `k`, is written."""
        [array, *others] = {self.array(j) for row in rows for j in row}
        if others:
            return f"work[{fit(self.text, self._together(rows), i, k)}]"
        if array:
            return f"{self._name(array)}[{fit(self.text, [[self.index_of(j) for j in row] for row in rows], i, k)}]"
        values = [self.code.constants.get(j, 1.0) for row in rows for j in row]  # or it is the seed
        [text, *others] = {self.text.literal(x) for x in values}
        return f"{self.text.table(values)}[{fit(self.text, _side_by_side(0, rows), i, k)}]" if others else text

    def _together(self, rows: list[list[int]]) -> list[list[int]]:
        """Return where copies of values of several arrays lie side by side."""
        flat = tuple([j for row in rows for j in row])
        if flat not in self._gathered:
            first = self._gathered[flat] = self.places.allocate(len(flat)) - WORK
            self.copy([("work", first + n) for n in range(len(flat))], flat)
        return _side_by_side(self._gathered[flat], rows)


def address(place: Place) -> int:
    """Return the array and the index as one number.

    >>> address(("inputs", 3)) - address(("inputs", 1))
    2
    """
    return ARRAYS.index(place[0]) * BETWEEN + place[1]


def constants(code: Code, numbers: Iterable[int]) -> dict[int, int]:
    """Return a place for each constant and for the seed: of a small whole number itself, of the others behind these."""
    known = {i: code.constants.get(i, 1.0) for i in numbers if i in code.constants or code.instructions[i] == ("seed",)}
    small = {i: int(x) for i, x in known.items() if 0.0 <= x < WHOLE and x.is_integer() and copysign(1.0, x) > 0.0}
    others = [i for i in known if i not in small or code.instructions[i] == ("seed",)]
    return small | {i: k for k, i in enumerate(others, WHOLE)}


def fit(text: Text, rows: list[list[int]], i: str = "i", k: str = "k") -> str:
    """Return the index in row `i` and column `k`: at even distances, else by tables.

    >>> text = Text("f", "double", {})
    >>> fit(text, [[5], [7], [9]]), fit(text, [[0, 1], [4, 5]]), fit(text, [[3]])
    ('5 + 2 * i', '4 * i + k', '3')
    >>> fit(text, [[5], [7], [8]])
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


def split(items: Sequence[T], places: Callable[[T], Sequence[int]]) -> list[list[T]]:
    """Return lists of neighbours whose places are at even distances; all in one if these would be too short.

    >>> split([1, 2, 3, 10, 12, 14, 16, 18], lambda x: [x])
    [[1, 2, 3], [10, 12, 14, 16, 18]]
    """
    found = [[*items[part.start : part.stop]] for part in runs([places(item) for item in items])]
    if len(items) >= LOOP_FROM and len(found) * MEAN > len(items):
        return [list(items)]
    return [few for part in found for few in ([part] if len(part) >= LOOP_FROM else [[one] for one in part])]


def _side_by_side(first: int, rows: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return places for the elements of some rows, which are as long as each other."""
    return [[*range(first + len(row) * n, first + len(row) * (n + 1))] for n, row in enumerate(rows)]


def linear(base: int, *parts: tuple[int, str]) -> str:
    """Return a sum of multiples as C writes it.

    >>> linear(0, (1, "i"), (0, "k")), linear(3, (-2, "k")), linear(0, (0, "i"))
    ('i', '3 - 2 * k', '0')
    """
    terms = [f"{step} * {name}".removeprefix("1 * ").replace("-1 * ", "-") for step, name in parts if step]
    return " + ".join([str(base)] * bool(base) + terms).replace("+ -", "- ") or "0"


def braced(lines: list[str]) -> list[str]:
    """Return a block, or the line if there is one alone.

    >>> braced(["x;"]), braced(["int y;", "y = x;"])
    (['x;'], ['{', '    int y;', '    y = x;', '}'])
    """
    return block("", lines) if lines[1:] else lines


def repeated(name: str, count: int, lines: list[str]) -> list[str]:
    """Return a loop for a name from 0 on.

    >>> repeated("i", 3, ["x += i;"])
    ['for (long i = 0; i < 3; i++)', '    x += i;']
    """
    head = f"for (long {name} = 0; {name} < {count}; {name}++)"
    [line, *more] = lines
    return block(head, lines) if more else [head, f"    {line}"]
