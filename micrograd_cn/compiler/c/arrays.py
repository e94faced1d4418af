"""Write loops of C, which compute values in the arrays of a generated C function from other values in these arrays.

In a loop, the index of a number in its array is a linear expression in the loop variables, or is looked up in a table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from math import copysign, nan
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

from ..instructions.code import GATHER, MIN_LOOP_PRODUCTS, SUM_OPCODES, Code
from ..loops.places import Places
from ..loops.strides import stride, strided_groups
from .text import Text, block

Element: TypeAlias = tuple[str, int]  # an array's name, and an index in the array
ARRAYS = ("", "weights", "inputs", "gradient", "work")  # "" is for constants, which are in no array
ARRAY_SPAN = 1 << 40  # the distance between the first places of two arrays; no stride leads from one into the next
WORK = ARRAYS.index("work") * ARRAY_SPAN
SMALL_INTEGERS = 1 << 20  # an integer below this is its own place among the constants, so 0, 1, 2 have a stride
# The opcodes of loops that copy values, and that add values to totals, each of which an index selects. No operation can
# have one of these opcodes, since they are no names.
COPY, SCATTER = "(copy)", "(scatter)"
MIN_STRIDED_LOOP = 8  # at least this many items whose operands have constant strides become a loop of their own
CHECKED_OPERANDS = 4  # only this many operands of a row or column of totals are checked for constant strides


class Access(NamedTuple):
    """The values that a loop of C reads: for the indices `i` and `k`, the value of instruction `numbers[i][k]`.

    Attributes:
        numbers: a table of instruction numbers.
        i: the C variable that is the index of a row in the table.
        k: the C variable that is the index of a column.
    """

    numbers: list[list[int]]
    i: str = "i"
    k: str = "k"


class LoopNest(NamedTuple):
    """Nested loops of C that compute values of one opcode, none of which depends on another.

    Attributes:
        axes: the variables of the loops, from the innermost to the outermost, with their counts of iterations.
        opcode: the opcode. COPY copies its operand, and SCATTER adds a value to one of several elements, by an index.
        reads: the operands. For a sum, there are two: the left factors of its products, and the right factors; `k` is
            the index of the product. For a gather, they are the number that becomes the index `k`, and the values from
            which `k` selects. For a scatter, they are the number that becomes `k`, and the value that is added.
        write: the elements for the results, as a table. The index of a row is `i`, and that of a column is `j`, or `k`
            if there is no axis `j`.
        sign: "=" to store the results, or "+=" to add them to the numbers in their elements.
        terms: for a sum, the values to which its products are added.
    """

    axes: dict[str, int]
    opcode: str
    reads: Sequence[Access]
    write: list[list[Element]]
    sign: str = "="
    terms: Sequence[Access] = ()


class Arrays:
    """The arrays that hold the values of one C function, and the lines of C that are written for the function.

    A value is the result of an instruction. The methods identify it by the instruction's number, the index in the list
    of `instructions.code.Code`.

    Args:
        text: the writer of the tables and functions that all functions of the file share.
        places: the places of the values. The place of a value is an integer that stands for the element of an array
            that holds the value; see `place_of`.

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
        """The number of elements that the C function needs in the array `work`, which holds intermediate values."""
        return self.places.scalar_count - WORK

    def element(self, i: int) -> Element:
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

    def add(self, loop: LoopNest) -> None:
        """Write the lines of C for a loop. An axis of length 1 gets no `for`."""
        lines = self._body(loop)
        loops = [(name, count) for name, count in loop.axes.items() if count > 1]
        for name, count in loops:
            lines = for_loop(name, count, lines)
        self.lines += lines if loops else in_braces(lines)

    def _body(self, loop: LoopNest) -> list[str]:
        """Return the innermost lines of a loop, which compute one value, or one sum."""
        text, [array] = self.text, {array for row in loop.write for array, _ in row}
        indices = [[index for _, index in row] for row in loop.write]
        target = self._at(array, indices, "i", "j" if "j" in loop.axes else "k")
        if loop.opcode in SUM_OPCODES:
            return self._sum(loop, f"{target} {loop.sign}")
        xs = [*map(self.expression, loop.reads)]
        if loop.opcode == GATHER:
            count = len(loop.reads[1].numbers[0])
            return [self._index(xs[0], count), f"{target} = k < 0 ? {text.constant(nan)} : {xs[1]};"]
        if loop.opcode == SCATTER:
            return [self._index(xs[0], len(loop.write[0])), "if (k >= 0)", f"    {target} += {xs[1]};"]
        x = xs[0] if loop.opcode == COPY else text.apply(loop.opcode, xs)
        return [f"{target} {loop.sign} {x};"]

    def _index(self, x: str, count: int) -> str:
        """Return the line of C that defines `k`: `x` as an integer, or -1 if `x` is not an index below `count`.

        `x` is a C expression, whose value is a double.
        """
        return f"const long k = {self.text.index()}({x}, {count});"

    def _sum(self, loop: LoopNest, assign: str) -> list[str]:
        """Return the lines that compute a sum: one expression if it has few products, else a loop or a call of `dot`.

        `assign` is the beginning of the line that stores or adds the sum, such as "outputs[i] =".
        """
        text, count = self.text, len(loop.reads[0].numbers[0])
        terms = [*map(self.expression, loop.terms)]
        if count < MIN_LOOP_PRODUCTS:
            lefts, rights = ([*map(self.expression, columns(side.numbers, side.i))] for side in loop.reads)
            return [f"{assign} {text.sum(loop.opcode, zip(lefts, rights, strict=True), terms)};"]
        pointers = [*map(self._strided_pointer, loop.reads)]
        if all(pointers):
            lines = [f"y = {text.dot()}(y, {', '.join(pointers)}, {count});"]
        else:
            product = text.apply("fmul", [*map(self.expression, loop.reads)])
            lines = [f"for (long k = 0; k < {count}; k++)", f"    y += {product};"]
        return [f"{text.number_type} y = {text.sum(loop.opcode, (), terms)};", *lines, f"{assign} y;"]

    def expression(self, access: Access) -> str:
        """Return a C expression for a value that a loop reads.

        If the values are not all in one array, lines of C that copy them to the array `work` are written first.
        """
        numbers, i, k = access
        [array, *others] = {*self.arrays_of(chain(*numbers))}
        if others:
            return self._at("work", self._pack(numbers), i, k)
        if array:
            return self._at(array, [[*map(self.index_of, row)] for row in numbers], i, k)
        values = [self.code.constants.get(j, 1.0) for j in chain(*numbers)]  # the seed, which is 1, is no constant
        [literal, *others] = {self.text.constant(x) for x in values}
        return self._at(self.text.table(values), _contiguous(0, numbers), i, k) if others else literal

    def _strided_pointer(self, access: Access) -> str:
        """Return C text for a pointer and a stride, two arguments of a C function that reads values of `access`.

        The values are those of row `access.i` of the table `access.numbers`. The pointer is the address of the first of
        them, and the stride is the distance from each of them to the next, in elements. Return "" if the values of all
        rows are constants or in several arrays, or if the stride is not constant.
        """
        [array, *others] = {*self.arrays_of(chain(*access.numbers))}
        indices = [[*map(self.index_of, row)] for row in access.numbers]
        steps = {*map(stride, indices)}
        if others or not array or len(steps) > 1 or None in steps:
            return ""
        first = index_expression(self.text, [row[:1] for row in indices], access.i)
        return f"{self._name(array)} + {first}".removesuffix(" + 0") + f", {steps.pop()}"

    def _at(self, array: str, indices: list[list[int]], i: str, k: str) -> str:
        return f"{self._name(array)}[{index_expression(self.text, indices, i, k)}]"

    def _name(self, array: str) -> str:
        return self.text.weights if array == "weights" else array

    def copy(self, to: Sequence[Element], numbers: Sequence[int]) -> None:
        """Write loops that copy values to elements of arrays.

        Args:
            to: the elements that the values are copied to, one for each value.
            numbers: the instruction numbers of the values.
        """
        self.store([(element, (i,)) for element, i in zip(to, numbers, strict=True)], COPY, "=")

    def store(self, found: Sequence[tuple[Element, tuple[int, ...]]], opcode: str, sign: str) -> None:
        """Write loops that compute values, and store them in elements of arrays or add them to the numbers there.

        Args:
            found: for each value, its element and the instruction numbers of its operands.
            opcode: the opcode that computes each value from its operands.
            sign: "=" to store the values, or "+=" to add them.
        """
        for part in self.groups(found):
            reads = columns([found[n][1] for n in part])
            self.add(LoopNest({"i": len(part)}, opcode, reads, [[found[n][0]] for n in part], sign))

    def groups(self, found: Iterable[tuple[Element, tuple[int, ...]]]) -> Iterator[list[int]]:
        """Split values into groups that one loop can compute, and yield each group as a list of indices in `found`.

        Args:
            found: for each value, the element of a C array that holds it, and the instruction numbers of its operands.
                No two values have the same element.
        """
        groups: dict[Any, dict[int, tuple[int, ...]]] = defaultdict(dict)
        for n, ((array, index), operands) in enumerate(found):
            groups[array, self.arrays_of(operands)][n] = index, *map(self.index_of, operands[:CHECKED_OPERANDS])
        for indices in groups.values():
            yield from strided_groups(dict(sorted(indices.items(), key=itemgetter(1))), MIN_STRIDED_LOOP)

    def _pack(self, rows: list[list[int]]) -> list[list[int]]:
        """Write lines of C that copy values to contiguous elements of the array `work`.

        `rows` is a table of the instruction numbers of the values. Return a table of the same shape with the indices of
        the copies in `work`.
        """
        flat = tuple(chain(*rows))
        if flat not in self._packed:
            first = self._packed[flat] = self.places.allocate(len(flat)) - WORK
            self.copy([("work", first + n) for n in range(len(flat))], flat)
        return _contiguous(self._packed[flat], rows)


def place_of(element: Element) -> int:
    """Return the integer that the class `Places` uses for an element of an array.

    >>> place_of(("inputs", 3)) - place_of(("inputs", 1))
    2
    """
    array, index = element
    return ARRAYS.index(array) * ARRAY_SPAN + index


def constant_places(code: Code, numbers: Iterable[int]) -> dict[int, int]:
    """Return a dict from those instructions in `numbers` that are constants to their places.

    If a constant is one of the integers 0 to `SMALL_INTEGERS` - 1, this integer is its place. All other constants get
    the places from `SMALL_INTEGERS` on. So does the seed, the gradient 1 with which backpropagation starts, as it is
    constant.
    """
    known = {i: code.constants.get(i, 1.0) for i in numbers if i in code.constants or code.instructions[i] == ("seed",)}
    small = {
        i: int(x) for i, x in known.items() if 0.0 <= x < SMALL_INTEGERS and x.is_integer() and copysign(1.0, x) > 0.0
    }
    others = [i for i in known if i not in small or code.instructions[i] == ("seed",)]
    return small | {i: k for k, i in enumerate(others, SMALL_INTEGERS)}


def index_expression(text: Text, rows: list[list[int]], i: str = "i", k: str = "k") -> str:
    """Return a C expression for the index `rows[i][k]`, where `i` and `k` are C expressions.

    The expression is linear in each of the two variables in which the indices have a constant stride. Otherwise it
    looks up, in a table, the index or the part of it that depends on the variable.

    >>> text = Text("f", "double", {})
    >>> index_expression(text, [[5], [7], [9]]), index_expression(text, [[0, 1], [4, 5]]), index_expression(text, [[3]])
    ('5 + 2 * i', '4 * i + k', '3')
    >>> index_expression(text, [[5], [7], [8]])
    'f_table0[i]'
    """
    if len(rows) == len(rows[0]) == 1:  # a fast path, since most accesses of a deep graph are to a single element
        return str(rows[0][0])
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


def columns(rows: Iterable[Sequence[int]], i: str = "i") -> list[Access]:
    """Return, for each column of a table of instruction numbers, the `Access` by which a loop reads its values.

    `i` is the name of the C variable that is the index of the row.
    """
    return [Access([[j] for j in column], i) for column in zip(*rows, strict=True)]


def _contiguous(first: int, rows: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return a table of the same shape as `rows` with the indices first, first + 1, and so on, row after row."""
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
