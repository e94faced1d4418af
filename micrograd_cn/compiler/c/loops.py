"""Find the loops of C that compute a program's instructions, and those that add up its totals.

A total is a sum over the rows of a batch. A `Vectorizer` finds instructions that one loop can compute.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Sequence

from ..instructions.code import COMMUTATIVE, GATHER, SUM_OPCODES, Code, Pair, Scatter, operands
from ..loops.places import Places
from ..loops.schedule import Schedule
from ..loops.stages import OuterProduct, dead_after
from ..loops.strides import MIN_LOOP_LENGTH
from ..loops.vectorizer import Vectorizer
from .arrays import (
    MIN_STRIDED_LOOP,
    SCATTER,
    WORK,
    Access,
    Arrays,
    Element,
    LoopNest,
    columns,
    constant_places,
    place_of,
)
from .text import Text

ARRAY_ORDER = {
    "constant": 0,
    "seed": 0,
    "parameter": 1,
    "mean": 1,
    "input": 2,
}  # of two factors, that with the lower number here is made the left one; all other opcodes have the number 3


class Loops(Arrays):
    """The arrays and lines of one C function, with the loops that compute instructions and totals.

    Args:
        text: the writer of the tables and functions that all functions of the file share.
        schedule: the instructions, in the order of their computation. The schedule's code is changed: the two factors
            of a product are exchanged if they are not in the order of `ARRAY_ORDER`. Then the left factors of a sum are
            more often all in one array, and so are the right factors.
        leaves: a dict from the instruction numbers of parameters and inputs to the elements of C arrays that hold them.
    """

    def __init__(self, text: Text, schedule: Schedule, leaves: dict[int, Element]) -> None:
        super().__init__(text, Places(schedule, simd=1, lanes=1, scalars=WORK))
        self.schedule = schedule
        _order_factors(schedule.code)
        self.assign(leaves)
        self.places.assign(constant_places(schedule.code, schedule.leaves))
        self._vectorizer = Vectorizer(
            self.places,
            {},
            loads_singly=True,
            min_rank=MIN_LOOP_LENGTH,
            min_length=MIN_STRIDED_LOOP,
            split_by=lambda i: self.arrays_of(schedule.code.operands[i]),
        )

    def assign(self, found: dict[int, Element]) -> None:
        """Set the places of values; `found` is a dict from the values' instruction numbers to elements of arrays."""
        self.places.assign({i: place_of(element) for i, element in found.items()})

    # Instructions.

    def write(self, phases: Iterable[int], kept: Container[int]) -> None:
        """Write the instructions of some phases of a program. Instructions of one opcode become a loop if possible.

        They are written rank by rank: instructions of one rank do not depend on each other.

        Args:
            phases: the phases, such as BATCH, of the instructions that are written.
            kept: the instruction numbers of the values that are read later. The place of any other value is used again
                once no instruction of these phases needs the value.
        """
        found = [rank for phase in phases for rank in self.schedule.ranks[phase]]
        ranks = [rank if isinstance(rank, list) else rank.numbers for rank in found]
        operands = self.code.operands
        here = {i for rank in ranks for i in rank}
        unused = dead_after((n, operands[i]) for n, rank in enumerate(ranks) for i in rank)
        for n, rank in enumerate(ranks):
            maps, rest = self._vectorizer.find(rank)
            for members in [*(stage.numbers for stage in maps), *([i] for i in rest)]:
                self.add(self._loop(members))
            self.places.free([self.places.scalar[i] for i in unused.get(n, ()) if i in here and i not in kept])

    def _loop(self, members: Sequence[int]) -> LoopNest:
        """Return the loop that computes the instructions with the numbers `members`, all of one opcode."""
        rows, terms = [self.code.instructions[i] for i in members], list[Access]()
        opcode = rows[0][0]
        if opcode in SUM_OPCODES:
            reads = [Access([[pair[side] for pair in pairs] for _, pairs, _ in rows]) for side in (0, 1)]
            terms = columns([row[2] for row in rows])
        elif opcode == GATHER:
            reads = [Access([[index] for _, index, *_ in rows]), Access([xs for _, _, *xs in rows])]
        else:
            reads = columns([operands for _, *operands in rows])
        return LoopNest({"i": len(members)}, opcode, reads, [[self.element(i)] for i in members], terms=terms)

    # Totals of a batch.

    def add_outer(self, group: OuterProduct, element: dict[int, Element]) -> None:
        """Write the loops that add outer products, computed from the numbers of one row, to a matrix of totals.

        A total is a sum over the rows of a batch.

        Args:
            group: the matrix of totals, and the factors of the outer products.
            element: a dict from the index of each total in `Lowering.totals` to the element of a C array that has the
                total.
        """
        targets = [[element[k] for k in row] for row in group.totals]
        matrix_columns = [*self.groups(zip(targets[0], group.rights, strict=True))]
        for rows in self.groups(zip([row[0] for row in targets], group.lefts, strict=True)):
            for chosen in matrix_columns:
                lefts = Access([[*group.lefts[i]] for i in rows])
                rights = Access([[*group.rights[j]] for j in chosen], "j")
                write = [[targets[i][j] for j in chosen] for i in rows]
                self.add(LoopNest({"j": len(chosen), "i": len(rows)}, "dot", [lefts, rights], write, "+="))

    def add_scatters(self, scatters: Iterable[Scatter], element: dict[int, Element]) -> None:
        """Write the loops that add values to totals. In each row, an index selects one of the totals.

        A total is a sum over the rows of a batch.

        Args:
            scatters: the totals, each group of them with the indices that select, and the values that are added.
            element: a dict from the index of each total in `Lowering.totals` to the element of a C array that has the
                total. The totals of a scatter are in one array.
        """
        groups: dict[tuple[int, str], list[tuple[Pair, list[Element]]]] = defaultdict(list)
        for scatter in scatters:
            elements = [element[k] for k in scatter.totals]
            groups[len(elements), elements[0][0]] += [(source, elements) for source in scatter.sources]
        for found in groups.values():
            reads = columns([source for source, _ in found])
            self.add(LoopNest({"i": len(found)}, SCATTER, reads, [elements for _, elements in found]))

    def add_each(self, totals: Sequence[tuple[int, Pair]], element: dict[int, Element]) -> None:
        """Write the loops that add one product to each of several totals, which are sums over the rows of a batch.

        Args:
            totals: for each total, its index in `Lowering.totals`, and the instruction numbers of the product's two
                factors.
            element: a dict from the index of each total in `Lowering.totals` to the element of a C array that has the
                total.
        """
        self.store([(element[k], _in_order(self.code, pair)) for k, pair in totals], "fmul", "+=")


def _in_order(code: Code, pair: Pair) -> Pair:
    """Return two factors, or two terms, sorted by the numbers of their opcodes in `ARRAY_ORDER`."""
    a, b = sorted(pair, key=lambda i: ARRAY_ORDER.get(code.instructions[i][0], 3))
    return a, b


def _order_factors(code: Code) -> None:
    """Bring the factors of all products, and the terms of additions, into the order of `ARRAY_ORDER`.

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
