"""Write a program's instructions, and its totals, the sums over the rows of a batch, as loops of C.

A `Vectorizer` finds instructions that one loop can compute.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any

from ..instructions.code import COMMUTATIVE, GATHER, MIN_LOOP_PRODUCTS, SUM_OPCODES, Code, Pair, Scatter, operands
from ..loops.places import Places
from ..loops.schedule import Schedule
from ..loops.stages import OuterProduct, dead_after
from ..loops.strides import strided_groups
from ..loops.vectorizer import Vectorizer
from .arrays import (
    MIN_STRIDED_LOOP,
    WORK,
    Arrays,
    Element,
    address,
    constant_places,
    for_loop,
    in_braces,
    index_expression,
)
from .text import Text

ARRAY_ORDER = {
    "constant": 0,
    "seed": 0,
    "parameter": 1,
    "total": 1,
    "input": 2,
}  # of two factors, that with the lower rank here is made the left one; all other opcodes have rank 3
SPLIT_FACTORS = 4  # only this many factors of a row or column of totals are checked for constant strides


class Loops(Arrays):
    """The arrays and lines of one C function, with the loops that compute instructions and totals.

    Args:
        text: the writer of the tables and functions that all functions of the file share.
        schedule: the instructions, in the order of their computation. The schedule's code is changed: the two factors
            of a product are exchanged if they are not in the order of `ARRAY_ORDER`, so that more left factors, and
            more right factors, are in one array.
        leaves: a dict from the instruction numbers of parameters and inputs to their places.
    """

    def __init__(self, text: Text, schedule: Schedule, leaves: dict[int, Element]) -> None:
        super().__init__(text, Places(schedule, simd=1, lanes=1, scalars=WORK))
        self.schedule = schedule
        _order_factors(schedule.code)
        self.assign_places(leaves)
        self.places.assign(constant_places(schedule.code, schedule.leaves))
        self._vectorizer = Vectorizer(
            self.places,
            {},
            gather=True,
            min_length=MIN_STRIDED_LOOP,
            split_by=lambda i: self.arrays_of(schedule.code.operands[i]),
        )

    def assign_places(self, found: dict[int, Element]) -> None:
        """Set the places of values; `found` is a dict from the values' instruction numbers to places."""
        self.places.assign({i: address(place) for i, place in found.items()})

    # Instructions.

    def write(self, phases: Iterable[int], kept: Container[int]) -> None:
        """Write the instructions of some phases of a program. Instructions of one opcode become a loop if possible.

        They are written level by level: instructions of one level do not depend on each other.

        Args:
            phases: the phases, such as BATCH, of the instructions that are written.
            kept: the instruction numbers of the values that are read later. The place of any other value is used again
                once no instruction of these phases needs the value.
        """
        layers = [layer for phase in phases for layer in self.schedule.layers[phase]]
        levels = [level for layer in layers for level in (*layer.levels.values(), layer.gathers)]
        operands = self.code.operands
        here = {i for level in levels for i in level}
        unused = dead_after((n, operands[i]) for n, level in enumerate(levels) for i in level)
        for n, level in enumerate(levels):
            maps, rest = self._vectorizer.find(level)
            for members in [*(stage.numbers for stage in maps), *([i] for i in rest)]:
                self._write_group(members)
            self.places.free([self.places.scalar[i] for i in unused.get(n, ()) if i in here and i not in kept])

    def _write_group(self, members: Sequence[int]) -> None:
        """Write the instructions with the numbers `members`, all of one opcode, as a loop if there are several."""
        opcode, *rest = self.code.instructions[members[0]]
        target = self.element([[i] for i in members])
        if opcode in SUM_OPCODES:
            lines = self._sums(members, target)
        elif opcode == GATHER:
            count = len(rest) - 1
            index = self.element([[self.code.operands[i][0]] for i in members])
            found = self.element([[*self.code.operands[i][1:]] for i in members], "i", "k")
            lines = [
                f"const long k = {self.text.index()}({index}, {count});",
                f"{target} = k < 0 ? {self.text.constant(float('nan'))} : {found};",
            ]
        else:
            operands_ = self.operands([self.code.operands[i] for i in members])
            lines = [f"{target} = {self.text.apply(opcode, operands_)};"]
        self.add_loop(len(members), lines)

    # Sums.

    def _sums(self, members: Sequence[int], target: str) -> list[str]:
        """Return the body of a loop over sums that all have the same counts of products and of terms.

        Args:
            members: the instruction numbers of the sums.
            target: the C expression to which the sum with index `i` is assigned.
        """
        opcode, pairs = self.code.instructions[members[0]][0], [self.code.instructions[i][1] for i in members]
        [count] = {*map(len, pairs)}
        long = count >= MIN_LOOP_PRODUCTS
        terms = self.operands([self.code.instructions[i][2] for i in members])
        lefts, rights = [[[a for a, _ in row] for row in pairs], [[b for _, b in row] for row in pairs]]
        products = [] if long else list(zip(self.operands(lefts), self.operands(rights), strict=True))
        start = self.text.sum(opcode, products, terms)
        if not long:
            return [f"{target} = {start};"]
        return [f"{self.text.number_type} y = {start};", *self.products(lefts, rights), f"{target} = y;"]

    def products(
        self, lefts: list[list[int]], rights: list[list[int]], outer: tuple[str, str] = ("i", "i")
    ) -> list[str]:
        """Return lines that add the many products of one sum to the variable `y`.

        The lines are a call of the function `dot` if the factors have constant strides, and a loop otherwise.

        Args:
            lefts: for each sum, the instruction numbers of the left factors of its products.
            rights: for each sum, the instruction numbers of the right factors of its products.
            outer: two C variables: the index of the sum's left factors in `lefts`, and that of its right factors in
                `rights`. For a list of sums, both are the index of the sum. For a matrix of totals, they are the row
                and the column of the total in the matrix.
        """
        [count], sides = {*map(len, lefts)}, list(zip((lefts, rights), outer, strict=True))
        strides = [self.strided_pointer(rows, i) for rows, i in sides]
        if None not in strides:
            found = ", ".join([f"{pointer}, {step}" for pointer, step in filter(None, strides)])
            return [f"y = {self.text.dot()}(y, {found}, {count});"]
        a, b = [self.element(rows, i, "k") for rows, i in sides]
        return [f"for (long k = 0; k < {count}; k++)", f"    y += {self._product(a, b)};"]

    # Totals of a batch.

    def add_outer(self, group: OuterProduct, place: dict[int, Element]) -> None:
        """Write the loops that add outer products, computed from the numbers of one sample, to a matrix of totals.

        Args:
            group: the matrix of totals, and the factors of the outer products.
            place: a dict from the index of each total in `Lowering.totals` to its place.
        """
        targets = [[place[k] for k in row] for row in group.totals]

        def parts(sides: Sequence[tuple[int, ...]], ends: Sequence[Element]) -> Iterator[list[int]]:
            groups: dict[Any, list[int]] = defaultdict(list)
            for number, side in enumerate(sides):
                groups[self.arrays_of(side)].append(number)
            for numbers in groups.values():
                places = {n: (ends[n][1], *map(self.index_of, sides[n][:SPLIT_FACTORS])) for n in numbers}
                yield from strided_groups(dict(sorted(places.items(), key=itemgetter(1))), MIN_STRIDED_LOOP)

        columns = [*parts(group.rights, targets[0])]
        for rows in parts(group.lefts, [row[0] for row in targets]):
            for chosen in columns:
                at = [[targets[i][j] for j in chosen] for i in rows]
                self._add_part_of_outer(at, [[*group.lefts[i]] for i in rows], [[*group.rights[j]] for j in chosen])

    def _add_part_of_outer(self, targets: list[list[Element]], lefts: list[list[int]], rights: list[list[int]]) -> None:
        [array] = {array for row in targets for array, _ in row}
        target = f"{array}[{index_expression(self.text, [[at for _, at in row] for row in targets], 'i', 'j')}]"
        [count] = {*map(len, lefts)}
        if count < MIN_LOOP_PRODUCTS:
            a, b = self.operands(lefts), self.operands(rights, "j")
            lines = [f"{target} += {' + '.join(map(self._product, a, b))};"]
        else:
            zero = self.text.constant(-0.0).strip("()")
            lines = [f"{self.text.number_type} y = {zero};", *self.products(lefts, rights, ("i", "j"))]
            lines.append(f"{target} += y;")
        loops = [(name, len(sides)) for name, sides in (("j", rights), ("i", lefts)) if sides[1:]]
        for name, count in loops:
            lines = for_loop(name, count, lines)
        self.lines += lines if loops else in_braces(lines)

    def add_scatters(self, scatters: Iterable[Scatter], place: dict[int, Element]) -> None:
        """Write the loops that add values to totals. In each sample, an index selects one of the totals.

        Args:
            scatters: the scatters.
            place: a dict from the index of each total in `Lowering.totals` to its place. The totals of a scatter are in
                one array.
        """
        groups: dict[tuple[int, str], list[tuple[Pair, list[int]]]] = defaultdict(list)
        for scatter in scatters:
            places = [place[k] for k in scatter.totals]
            [array] = {array for array, _ in places}
            groups[len(places), array] += [(source, [at for _, at in places]) for source in scatter.sources]
        for (count, array), found in groups.items():
            index, value = (self.element([[source[side]] for source, _ in found]) for side in (0, 1))
            target = f"{array}[{index_expression(self.text, [at for _, at in found], 'i', 'k')}]"
            lines = [
                f"const long k = {self.text.index()}({index}, {count});",
                "if (k >= 0)",
                f"    {target} += {value};",
            ]
            self.add_loop(len(found), lines)

    def add_each(self, totals: Sequence[tuple[int, Pair]], place: dict[int, Element]) -> None:
        """Write the loops that add one product to each of several totals.

        Args:
            totals: for each total, its index in `Lowering.totals`, and the instruction numbers of the two factors.
            place: a dict from the index of each total to its place.
        """
        self._store_each([(place[k], _in_order(self.code, pair)) for k, pair in totals], "+=")


def _in_order(code: Code, pair: Pair) -> Pair:
    """Return two factors, or two terms, sorted by the ranks of their opcodes in `ARRAY_ORDER`."""
    a, b = pair
    left, right = [ARRAY_ORDER.get(code.instructions[i][0], 3) for i in pair]
    return (b, a) if right < left else pair


def _order_factors(code: Code) -> None:
    """Bring the factors of all products, and the terms of additions, into the order of their ranks in `ARRAY_ORDER`.

    More loops then have constant strides.
    """
    for i, (opcode, *rest) in enumerate(code.instructions):
        if opcode in SUM_OPCODES:
            code.instructions[i] = opcode, tuple([_in_order(code, pair) for pair in rest[0]]), rest[1]
        elif opcode in COMMUTATIVE:
            code.instructions[i] = opcode, *_in_order(code, (rest[0], rest[1]))
        else:
            continue
        code.operands[i] = operands(code.instructions[i])
