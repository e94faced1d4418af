"""Define the stages of a program, which run one after the other: straight lines, sums, maps and gathers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from ..instructions.code import Pair

Call: TypeAlias = tuple[str | int, int]  # a kernel's name, or the address of native code; the address of its table


@dataclass
class StraightLine:
    """Instructions that are computed one after the other, as in a basic block.

    The number of a long sum stands for storing the value that the sum starts from; a later stage computes the sum.

    Attributes:
        numbers: the numbers of the instructions.
    """

    numbers: list[int]


@dataclass
class Sums:
    """Long sums of one opcode, which loops compute.

    Attributes:
        kind: how they are computed. "matrix": a matrix of scalars by a vector of samples, which are the right factors
            of all sums. "inner": inner products of samples. "scalars": the sums are scalars, with the same right
            factors.
        opcode: "sum" or "dot".
        numbers: the numbers of the instructions.
        lefts: the left factors of each sum.
        rights: the right factors of each sum.
        start: the constant that all sums start from, 0.0 or -0.0; None if each starts from the value in its place.
        call: the kernel and the table that compute the sums. It is set once all values have places.
    """

    kind: str
    opcode: str
    numbers: list[int]
    lefts: list[tuple[int, ...]]
    rights: list[tuple[int, ...]]
    start: float | None = None
    call: Call = ("", 0)

    def pairs(self) -> list[list[Pair]]:
        """Return the pairs of factors of each sum."""
        return [list(zip(*sides, strict=True)) for sides in zip(self.lefts, self.rights, strict=True)]


@dataclass
class Map:
    """Instructions of one opcode on scalars, which are computed as vectors.

    If they are sums, they have the same number of products, and the same number of terms.

    Attributes:
        opcode: the opcode; START if the values that long sums start from are copied to the places of the sums.
        numbers: the numbers of the instructions.
        pattern: where the operands lie, see `tables.maps`; "" for sums, and until all values have places.
        call: the kernel and the table that compute the map. It is set once all values have places.
    """

    opcode: str
    numbers: list[int]
    pattern: str = ""
    call: Call = ("", 0)


@dataclass
class Gathers:
    """Gathers: each loads one of its operands, by an index that is known at run time.

    Attributes:
        numbers: the numbers of the instructions. The first operand of each is the index.
        call: the kernel and the table that compute the gathers. It is set once all values have places.
    """

    numbers: list[int]
    call: Call = ("", 0)


@dataclass
class OuterProduct:
    """Totals that form a matrix: a sum of outer products of columns of factors with rows of factors.

    The total in row i and column j adds up lefts[i][p] * rights[j][p] over the pairs p, and over the rows of the batch.

    Attributes:
        totals: the numbers of the totals, row by row.
        lefts: the left factors of each row of totals, one for each pair.
        rights: the right factors of each column of totals, one for each pair.
    """

    totals: list[list[int]]
    lefts: list[tuple[int, ...]]
    rights: list[tuple[int, ...]]

    def transpose(self) -> OuterProduct:
        """Return the transposed matrix of totals, with left and right factors exchanged."""
        return OuterProduct([list(column) for column in zip(*self.totals, strict=True)], self.rights, self.lefts)


Stage: TypeAlias = StraightLine | Map | Sums | Gathers


def dead_after(reads: Iterable[tuple[int, Iterable[int]]]) -> dict[int, list[int]]:
    """Return for each stage the values whose live ranges end there: it reads them, and no later stage does.

    Args:
        reads: the number of a stage and the values that it reads, in any order.

    >>> dead_after([(0, [7, 8]), (1, [8]), (3, [9])])
    {0: [7], 1: [8], 3: [9]}
    """
    last: dict[int, int] = {}
    for number, values in reads:
        for i in values:
            last[i] = max(last.get(i, number), number)
    found: dict[int, list[int]] = {}
    for i, number in last.items():
        found.setdefault(number, []).append(i)
    return found
