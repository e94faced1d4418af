"""Define the stages of a program, which run one after the other: straight-line code, sums, maps and gathers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from ..instructions.code import Pair

# The name of a kernel, and the address of the table that is passed to it; or the address of native code, and 0.
Call: TypeAlias = tuple[str | int, int]
END_OF_CALLS: Call = (0, 0)  # ends a list of calls in memory


@dataclass(eq=False)
class StraightLine:
    """Straight-line code: instructions that are computed one after the other, as in a basic block.

    Attributes:
        numbers: the numbers of the instructions.
    """

    numbers: list[int]


@dataclass(eq=False)
class Sums:
    """Sums of many products (long sums) with the same opcode, which loops compute.

    Attributes:
        form: "matrix", "inner" or "scalars". "matrix" means that the sums are the product of a matrix of scalars and a
            list of row values. For each sum, the matrix has a row with the sum's left factors, and the list has the
            right factors of all sums. A row value depends on the row of numbers for which the program is run; it is a
            vector with one such row in each lane. "inner" means that each sum is an inner product of two lists of row
            values. "scalars" means that the sums are scalars, which all have the same right factors.
        opcode: "sum" if every product is rounded before it is added, else "dot".
        numbers: the instruction numbers of the sums.
        lefts: for each sum, the instruction numbers of its left factors.
        rights: for each sum, the instruction numbers of its right factors.
        starts: for each sum, the instruction number of the value to which the products are added.
    """

    form: str
    opcode: str
    numbers: list[int]
    lefts: list[tuple[int, ...]]
    rights: list[tuple[int, ...]]
    starts: list[int]

    def pairs(self) -> list[list[Pair]]:
        """Return a list of pairs for each sum: the left and the right factor of each product in the sum."""
        return [list(zip(*sides, strict=True)) for sides in zip(self.lefts, self.rights, strict=True)]


@dataclass(eq=False)
class Map:
    """Instructions of one opcode on scalars, which are computed as vectors.

    If the opcode is "sum" or "dot", each instruction adds products of two factors, and terms without a factor. All
    instructions of the map then have equally many products and equally many terms.

    Attributes:
        opcode: the opcode.
        numbers: the numbers of the instructions.
    """

    opcode: str
    numbers: list[int]


@dataclass(eq=False)
class Gathers:
    """Gather instructions. Each of them loads one of its operands, by an index that is known only at run time.

    Attributes:
        numbers: the numbers of the instructions. The first operand of each is the index.
    """

    numbers: list[int]


@dataclass
class OuterProduct:
    """A matrix of totals, which is a sum of outer products. A total is a sum over the rows of a batch.

    The total in row i and column j of the matrix adds up lefts[i][p] * rights[j][p] for all p, and for all rows of the
    batch. A row of the batch has the numbers of one sample.

    Attributes:
        totals: for each row of the matrix, the indices of its totals in `Lowering.totals`.
        lefts: for each row of the matrix, the instruction numbers of its left factors, in the order of p.
        rights: for each column of the matrix, the instruction numbers of its right factors, in the order of p.
    """

    totals: list[list[int]]
    lefts: list[tuple[int, ...]]
    rights: list[tuple[int, ...]]

    def transpose(self) -> OuterProduct:
        """Return the transposed matrix: its left factors are the right factors of this one, and the other way round."""
        return OuterProduct([list(column) for column in zip(*self.totals, strict=True)], self.rights, self.lefts)


Loop: TypeAlias = Map | Sums | Gathers
Stage: TypeAlias = StraightLine | Loop


def dead_after(reads: Iterable[tuple[int, Iterable[int]]]) -> dict[int, list[int]]:
    """Return a dict from the index of each stage to the values that die in it: no later stage reads them.

    Args:
        reads: pairs of the index of a stage and the values that the stage reads, in the order of the stages. The same
            stage may be in several pairs.

    >>> dead_after([(0, [7, 8]), (1, [8]), (3, [9])])
    {0: [7], 1: [8], 3: [9]}
    """
    last: dict[int, int] = {}
    for number, values in reads:
        last.update(dict.fromkeys(values, number))
    found: dict[int, list[int]] = {}
    for i, number in last.items():
        found.setdefault(number, []).append(i)
    return found
