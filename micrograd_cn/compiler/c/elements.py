"""Where the values of a C function are: how elements of its arrays are written, one by one and in loops."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from typing import Any, TypeAlias, TypeVar

from ..instructions.code import Code
from ..loops.even import distance, parts
from .text import Text, block, product

T = TypeVar("T")
Place: TypeAlias = tuple[str, int]  # an array, and the index in it
CONSTANT_ARRAY = ""
LOOP_FROM = 3  # like instructions that are a loop
MEAN = 3  # of those that lie at even distances, from which on such ones are loops of their own


class Elements:
    """The places of one function's values, and its lines.

    Args:
        text: of the file.
        code: the instructions.
        place: of the leaves; the others get theirs in the array `work`.

    Attributes:
        work: how many numbers that array has.
        lines: what was written since they were last taken.
    """

    def __init__(self, text: Text, code: Code, place: dict[int, Place]) -> None:
        self.text, self.code, self.place = text, code, place
        seeds = [i for i, instruction in enumerate(code.instructions) if instruction == ("seed",)]
        self.constants = code.constants | dict.fromkeys(seeds, 1.0)
        self.work = 0
        self.lines: list[str] = []
        self._free: list[tuple[int, int]] = []  # the first place and the one after the last, in order
        self._gathered: dict[tuple[int, ...], int] = {}

    def taken(self) -> list[str]:
        """Return the lines, of which there are none then."""
        lines, self.lines = self.lines, []
        return lines

    def take(self, count: int) -> int:
        """Return the first of some places side by side in the array `work`, of which none is in use.

        >>> places = Elements(Text("f", "double", {}), Code(), {})
        >>> places.take(5), places.give([2, 1, 4]), places.take(2), places.take(2), places.work
        (0, None, 1, 4, 6)
        """
        for k, (first, after) in enumerate(self._free):
            if after - first >= count or after == self.work:
                self.work = max(self.work, first + count)
                rest = range(first + count, after)
                self._free[k : k + 1] = [(rest.start, rest.stop)] if rest else []
                return first
        self.work += count
        return self.work - count

    def give(self, places: Iterable[int]) -> None:
        """Take note that places are no longer in use."""
        free: list[tuple[int, int]] = []
        for first, after in sorted([*self._free, *((at, at + 1) for at in places)]):
            if free and free[-1][1] == first:
                free[-1] = free[-1][0], after
            else:
                free.append((first, after))
        self._free = free

    def array(self, i: int) -> str:
        """Return the name of the array where a value is; a constant is in none."""
        return CONSTANT_ARRAY if i in self.constants else self.place[i][0]

    def arrays(self, numbers: Iterable[int]) -> tuple[str, ...]:
        """Return the names of the arrays where values are."""
        return tuple(map(self.array, numbers))

    def index_of(self, i: int) -> int:
        """Return the index of a value in its array; it is 0 for every constant."""
        return 0 if i in self.constants else self.place[i][1]

    def loop(self, count: int, lines: list[str]) -> None:
        """Write what is done for i from 0 on."""
        self.lines += repeated("i", count, lines) if count > 1 else braced(lines)

    def columns(self, rows: Sequence[Sequence[int]], i: str = "i") -> list[str]:
        """Return how the value of each column is written in the row of number `i`."""
        return [self.element([[j] for j in column], i) for column in zip(*rows, strict=True)]

    def strided(self, rows: list[list[int]], i: str) -> tuple[str, int] | None:
        """Return a pointer to the first of some numbers, and their distance, if it is the same everywhere."""
        [array, *others] = {self.array(j) for row in rows for j in row}
        if others or not array:
            return None
        places = [[self.place[j][1] for j in row] for row in rows]
        step = distance(places[0])
        if step is None or any(distance(row) != step for row in places):
            return None
        index = self.fit([row[:1] for row in places], i, "k")
        return f"{array} + {index}".removesuffix(" + 0"), step

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
                at = self.fit([[place[1]] for place, _ in part])
                value = reduce(self._product, self.columns([factors for _, factors in part]))
                self.loop(len(part), [f"{array}[{at}] {sign} {value};"])

    def _product(self, a: str, b: str) -> str:
        return product(a, b, self.text.literal(1.0))

    # Elements of arrays.

    def element(self, rows: list[list[int]], i: str = "i", k: str = "k") -> str:
        """Return how the value in a row, of number `i`, and a column, of number `k`, is written."""
        [array, *others] = {self.array(j) for row in rows for j in row}
        if others:
            return f"work[{self.fit(self._together(rows), i, k)}]"
        if array:
            return f"{array}[{self.fit([[self.place[j][1] for j in row] for row in rows], i, k)}]"
        values = [self.constants[j] for row in rows for j in row]
        [text, *others] = {self.text.literal(x) for x in values}
        return f"{self.text.table(values)}[{self.fit(_side_by_side(0, rows), i, k)}]" if others else text

    def _together(self, rows: list[list[int]]) -> list[list[int]]:
        """Return where copies of values of several arrays lie side by side."""
        flat = tuple([j for row in rows for j in row])
        if flat not in self._gathered:
            first = self._gathered[flat] = self.take(len(flat))
            self.copy([("work", first + n) for n in range(len(flat))], flat)
        return _side_by_side(self._gathered[flat], rows)

    def fit(self, rows: list[list[int]], i: str = "i", k: str = "k") -> str:
        """Return the index in row `i` and column `k`: at even distances, else by tables.

        >>> places = Elements(Text("f", "double", {}), Code(), {})
        >>> places.fit([[5], [7], [9]]), places.fit([[0, 1], [4, 5]]), places.fit([[3]])
        ('5 + 2 * i', '4 * i + k', '3')
        >>> places.fit([[5], [7], [8]])
        'f_table0[i]'
        """
        firsts, row = [row[0] for row in rows], [x - rows[0][0] for x in rows[0]]
        if any([x - first for x in other] != row for first, other in zip(firsts, rows, strict=True)):
            table = self.text.table([x for row in rows for x in row])
            return f"{table}[{linear(0, (len(row), i), (1, k))}]"
        base, terms = 0, []
        for values, name in ((firsts, i), (row, k)):
            if (step := distance(values)) is None:
                terms.append((1, f"{self.text.table(values)}[{name}]"))
            else:
                base += values[0]
                terms.append((step, name))
        return linear(base, *terms)


def split(items: Sequence[T], places: Callable[[T], Sequence[int]]) -> list[list[T]]:
    """Return lists of neighbours whose places are at even distances; all in one if these would be too short.

    >>> split([1, 2, 3, 10, 12, 14, 16, 18], lambda x: [x])
    [[1, 2, 3], [10, 12, 14, 16, 18]]
    """
    found = [[*items[part.start : part.stop]] for part in parts([places(item) for item in items])]
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
