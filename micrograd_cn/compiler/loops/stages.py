"""Define the stages of a program, which run one after the other: straight lines, sums, maps and gathers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from ..instructions.code import Pair

# What is called, and the address of the table that is passed to it. A kernel is given by its name, native code by its
# address.
Call: TypeAlias = tuple[str | int, int]


@dataclass
class StraightLine:
    """Instructions that are computed one after the other, as in a basic block.

    For a long sum, a straight line only stores the value that the sum starts from. A later stage computes the sum.

    Attributes:
        numbers: the numbers of the instructions.
    """

    numbers: list[int]


@dataclass
class Sums:
    """Long sums of one opcode, which loops compute.

    Attributes:
        kind: "matrix" if a matrix of scalars is multiplied by a vector of samples in lanes: row n of the matrix has the
            left factors of sum n, and all sums have the vector as their right factors. "inner" if each sum is an inner
            product of two lists of samples in lanes. "scalars" if the sums are scalars; they have the same right
            factors.
        opcode: "sum" or "dot".
        numbers: the numbers of the instructions.
        lefts: for each sum, the instruction numbers of its left factors.
        rights: for each sum, the instruction numbers of its right factors.
        start: the constant that all sums start from, 0.0 or -0.0. If it is None, each sum starts from the value that is
            stored in its place before the loop.
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
        """Return, for each sum, the left and the right factor of each product."""
        return [list(zip(*sides, strict=True)) for sides in zip(self.lefts, self.rights, strict=True)]


@dataclass
class Map:
    """Instructions of one opcode on scalars, which are computed as vectors.

    If the opcode is "sum" or "dot", all sums have the same count of products, and the same count of terms.

    Attributes:
        opcode: the opcode; START if the values that long sums start from are copied to the places of the sums.
        numbers: the numbers of the instructions.
        pattern: a letter for each operand that says how it is loaded, see `tables.maps`. It is "" for sums, and until
            all values have places.
        call: the kernel and the table that compute the map. It is set once all values have places.
    """

    opcode: str
    numbers: list[int]
    pattern: str = ""
    call: Call = ("", 0)


@dataclass
class Gathers:
    """Gather instructions. Each of them loads one of its operands, by an index that is known only at run time.

    Attributes:
        numbers: the numbers of the instructions. The first operand of each is the index.
        call: the kernel and the table that compute the gathers. It is set once all values have places.
    """

    numbers: list[int]
    call: Call = ("", 0)


@dataclass
class OuterProduct:
    """A matrix of totals, which is a sum of outer products. A total is a sum over the rows of a batch.

    The total in row i and column j adds up lefts[i][p] * rights[j][p] for all p, and for all rows of the batch.

    Attributes:
        totals: the indices of the totals in `Lowering.totals`, row by row.
        lefts: for each row of the matrix, the instruction numbers of its left factors, in the order of p.
        rights: for each column of the matrix, the instruction numbers of its right factors, in the order of p.
    """

    totals: list[list[int]]
    lefts: list[tuple[int, ...]]
    rights: list[tuple[int, ...]]

    def transpose(self) -> OuterProduct:
        """Return the transposed matrix of totals. The left and right factors are exchanged."""
        return OuterProduct([list(column) for column in zip(*self.totals, strict=True)], self.rights, self.lefts)


Stage: TypeAlias = StraightLine | Map | Sums | Gathers


def dead_after(reads: Iterable[tuple[int, Iterable[int]]]) -> dict[int, list[int]]:
    """Return, for each stage, the values that it is the last one to read: their live ranges end there.

    Args:
        reads: the index of a stage and the values that it reads. A stage may occur several times, and in any order.

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
