"""Write C expressions for the numbers that a generated C function keeps in its arrays.

In a loop, the index of a number in its array is a linear expression in the loop variables, or is looked up in a table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import reduce
from math import copysign
from typing import Any, TypeAlias

from ..instructions.code import Code
from ..loops.places import Places
from ..loops.strides import stride, strided_groups
from .text import Text, block, product

Element: TypeAlias = tuple[str, int]  # an array's name, and an index in the array
ARRAYS = ("", "weights", "inputs", "gradient", "work")  # "" is for constants, which are in no array
ARRAY_SPAN = 1 << 40  # the distance between the first places of two arrays; no stride leads from one into the next
WORK = ARRAYS.index("work") * ARRAY_SPAN
SMALL_INTEGERS = 1 << 20  # an integer below this is its own place among the constants, so 0, 1, 2 have a stride
MIN_STRIDED_LOOP = 8  # at least this many items whose operands have constant strides become a loop of their own


class Arrays:
    """The arrays that hold the values of one C function, and the lines of C that are written for the function.

    A value is the result of an instruction. Methods take the number of this instruction, its index in the list of
    `instructions.code.Code`.

    Args:
        text: the writer of the tables and functions that all functions of the file share.
        places: the places of the values. Here a place is an integer that stands for an array and an index in this
            array; see `address`.

    Attributes:
        lines: the lines that were written since the last call of `take_lines`.
    """

    def __init__(self, text: Text, places: Places) -> None:
        self.text, self.places, self.code = text, places, places.code
        self.lines: list[str] = []
        self._packed: dict[tuple[int, ...], int] = {}

    def take_lines(self) -> list[str]:
        """Return `lines`, and set `lines` to an empty list."""
        lines, self.lines = self.lines, []
        return lines

    @property
    def work(self) -> int:
        """The count of elements that the C function needs in the array `work`, which holds intermediate values."""
        return self.places.scalar_count - WORK

    def place(self, i: int) -> Element:
        """Return the name of the array that holds the value of instruction `i`, and the value's index in the array."""
        array, index = divmod(self.places.scalar[i], ARRAY_SPAN)
        return ARRAYS[array], index

    def array(self, i: int) -> str:
        """Return the name of the array that holds the value of instruction `i`."""
        return ARRAYS[self.places.scalar[i] // ARRAY_SPAN]

    def arrays_of(self, numbers: Iterable[int]) -> tuple[str, ...]:
        """Return, for each of some instruction numbers, the name of the array that holds the instruction's value."""
        return tuple(map(self.array, numbers))

    def index_of(self, i: int) -> int:
        """Return the index that the value of instruction `i` has in the array that holds it."""
        return self.places.scalar[i] % ARRAY_SPAN

    def add_loop(self, count: int, lines: list[str]) -> None:
        """Write a C loop over `i` from 0 to count - 1 with the body `lines`; if `count` is 1, write only the body."""
        self.lines += for_loop("i", count, lines) if count > 1 else in_braces(lines)

    def operands(self, rows: Sequence[Sequence[int]], i: str = "i") -> list[str]:
        """Return C expressions for the values of the instructions in row `i` of `rows`: an expression for each column.

        Args:
            rows: the rows of a table of instruction numbers, all of the same length.
            i: the C expression for the index of the row.
        """
        return [self.element([[j] for j in column], i) for column in zip(*rows, strict=True)]

    def strided_pointer(self, rows: list[list[int]], i: str) -> tuple[str, int] | None:
        """Return a C expression for a pointer to the first value of row `i` of `rows`, and the stride of the values.

        Return None if the values are constants or in several arrays, or if the values of the rows do not all have the
        same constant stride.

        Args:
            rows: the rows of a table of instruction numbers.
            i: the C expression for the index of the row.
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

    def copy(self, to: Sequence[Element], numbers: Sequence[int]) -> None:
        """Write the lines of C that copy values to other places.

        Args:
            to: the places that the values are copied to, one for each value.
            numbers: the instruction numbers of the values.
        """
        self._store_each([(place, (i,)) for place, i in zip(to, numbers, strict=True)], "=")

    def _store_each(self, found: Iterable[tuple[Element, tuple[int, ...]]], sign: str) -> None:
        """Write the lines that store products in places, or add products to the values there, in loops if possible.

        Args:
            found: for each product, its place and the instruction numbers of its factors: two, or one to store the
                factor itself.
            sign: "=" to store the products, or "+=" to add them.
        """
        groups: dict[Any, dict[int, tuple[int, ...]]] = defaultdict(dict)
        for (array, index), factors in found:
            groups[array, self.arrays_of(factors)][index] = factors
        for (array, _), group in groups.items():
            places = {index: (index, *map(self.index_of, group[index])) for index in sorted(group)}
            for part in strided_groups(places, MIN_STRIDED_LOOP):
                at = index_expression(self.text, [[index] for index in part])
                value = reduce(self._product, self.operands([group[index] for index in part]))
                self.add_loop(len(part), [f"{self._name(array)}[{at}] {sign} {value};"])

    def _product(self, a: str, b: str) -> str:
        return product(a, b, self.text.constant(1.0))

    def _name(self, array: str) -> str:
        return self.text.weights if array == "weights" else array

    def element(self, rows: list[list[int]], i: str = "i", k: str = "k") -> str:
        """Return a C expression for the value of instruction `rows[i][k]`, where `i` and `k` are C expressions.

        If the values are not all in one array, lines of C that copy them to the array `work` are written first.
        """
        [array, *others] = {self.array(j) for row in rows for j in row}
        if others:
            return f"work[{index_expression(self.text, self._pack(rows), i, k)}]"
        if array:
            indices = [[self.index_of(j) for j in row] for row in rows]
            return f"{self._name(array)}[{index_expression(self.text, indices, i, k)}]"
        values = [self.code.constants.get(j, 1.0) for row in rows for j in row]  # the seed, which is 1, is no constant
        [text, *others] = {self.text.constant(x) for x in values}
        return (
            f"{self.text.table(values)}[{index_expression(self.text, _contiguous(0, rows), i, k)}]" if others else text
        )

    def _pack(self, rows: list[list[int]]) -> list[list[int]]:
        """Write lines of C that copy values to contiguous places in the array `work`.

        Return the indices of the copies in `work`, in as many rows and columns as `rows` has.
        """
        flat = tuple([j for row in rows for j in row])
        if flat not in self._packed:
            first = self._packed[flat] = self.places.allocate(len(flat)) - WORK
            self.copy([("work", first + n) for n in range(len(flat))], flat)
        return _contiguous(self._packed[flat], rows)


def address(place: Element) -> int:
    """Return a place (an array's name, and an index in the array) as one integer, for the class `Places`.

    >>> address(("inputs", 3)) - address(("inputs", 1))
    2
    """
    return ARRAYS.index(place[0]) * ARRAY_SPAN + place[1]


def constant_places(code: Code, numbers: Iterable[int]) -> dict[int, int]:
    """Return a dict with the places of those instructions in `numbers` that are constants.

    The seed, which is the gradient 1 with which backpropagation starts, is treated as a constant, too. If a
    constant is one of the integers 0 to `SMALL_INTEGERS` - 1, this integer is its place. The seed and all other
    constants get the places from `SMALL_INTEGERS` on.
    """
    known = {i: code.constants.get(i, 1.0) for i in numbers if i in code.constants or code.instructions[i] == ("seed",)}
    small = {
        i: int(x) for i, x in known.items() if 0.0 <= x < SMALL_INTEGERS and x.is_integer() and copysign(1.0, x) > 0.0
    }
    others = [i for i in known if i not in small or code.instructions[i] == ("seed",)]
    return small | {i: k for k, i in enumerate(others, SMALL_INTEGERS)}


def index_expression(text: Text, rows: list[list[int]], i: str = "i", k: str = "k") -> str:
    """Return a C expression for the index `rows[i][k]`, where `i` and `k` are C expressions.

    The expression is linear in `i` or `k` if the indices have a constant stride. Otherwise it looks the index up in a
    table.

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


def _contiguous(first: int, rows: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return the contiguous places from `first` on, arranged in as many rows and columns as `rows` has."""
    return [[*range(first + len(row) * n, first + len(row) * (n + 1))] for n, row in enumerate(rows)]


def linear(base: int, *parts: tuple[int, str]) -> str:
    """Return a C expression for `base` plus multiples of variables. Each part is a factor and a variable's name.

    >>> linear(0, (1, "i"), (0, "k")), linear(3, (-2, "k")), linear(0, (0, "i"))
    ('i', '3 - 2 * k', '0')
    """
    terms = [f"{step} * {name}".removeprefix("1 * ").replace("-1 * ", "-") for step, name in parts if step]
    return " + ".join([str(base)] * bool(base) + terms).replace("+ -", "- ") or "0"


def in_braces(lines: list[str]) -> list[str]:
    """Return lines as a block in braces; return a single line unchanged.

    >>> in_braces(["x;"]), in_braces(["int y;", "y = x;"])
    (['x;'], ['{', '    int y;', '    y = x;', '}'])
    """
    return block("", lines) if lines[1:] else lines


def for_loop(name: str, count: int, lines: list[str]) -> list[str]:
    """Return the lines of a `for` loop in which the variable `name` runs from 0 to count - 1; `lines` are the body.

    >>> for_loop("i", 3, ["x += i;"])
    ['for (long i = 0; i < 3; i++)', '    x += i;']
    """
    head = f"for (long {name} = 0; {name} < {count}; {name}++)"
    [line, *more] = lines
    return block(head, lines) if more else [head, f"    {line}"]
