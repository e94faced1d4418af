"""What a program consists of: stages, one after the other, of instructions or of loops."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from ..instructions.code import Pair

Call: TypeAlias = tuple[str | int, int]  # a shared function's name, or the address of own code; that of its table


@dataclass
class StraightLine:
    """Instructions, one after the other; of a long sum what it starts from.

    Attributes:
        numbers: of the instructions.
    """

    numbers: list[int]


@dataclass
class Sums:
    """Long sums of one opcode.

    Attributes:
        kind: "matrix" if they have the same right factors, which are samples, and left ones that are none; "inner" if
            all factors are samples; "scalars" if none is in lanes, and the right factors are the same.
        opcode: of the instructions.
        numbers: of the instructions.
        lefts: the left factors of each.
        rights: the right factors of each.
        first: the zero that they start from, 0.0 or -0.0; None if a place in memory has what each starts from.
        call: computes them; it is set when all values have their places.
    """

    kind: str
    opcode: str
    numbers: list[int]
    lefts: list[tuple[int, ...]]
    rights: list[tuple[int, ...]]
    first: float | None = None
    call: Call = ("", 0)

    def pairs(self) -> list[list[Pair]]:
        """Return the products of each."""
        return [list(zip(*sides, strict=True)) for sides in zip(self.lefts, self.rights, strict=True)]


@dataclass
class Map:
    """Instructions of one kind on scalars, computed as vectors; sums have as many products and terms as each other.

    Attributes:
        opcode: of the instructions; START for what long sums start from.
        numbers: of the instructions.
        pattern: how their operands lie, see `tables.maps.mapped`; "" of sums, and until they have places.
        call: computes them; it is set when all values have their places.
    """

    opcode: str
    numbers: list[int]
    pattern: str = ""
    call: Call = ("", 0)


@dataclass
class Gathers:
    """Operands that are loaded by their number.

    Attributes:
        numbers: of the instructions, each with the index first among its operands.
        call: computes them; it is set when all values have their places.
    """

    numbers: list[int]
    call: Call = ("", 0)


@dataclass
class OuterProduct:
    """Totals of all products of some factors with others, or of several pairs of these, added up.

    Attributes:
        totals: the numbers of the totals, row by row.
        lefts: of each row its factors, one a pair.
        rights: of each column its factors, one a pair.
    """

    totals: list[list[int]]
    lefts: list[tuple[int, ...]]
    rights: list[tuple[int, ...]]

    def transpose(self) -> OuterProduct:
        """Return the same totals with the columns as rows."""
        return OuterProduct([list(column) for column in zip(*self.totals, strict=True)], self.rights, self.lefts)


Stage: TypeAlias = StraightLine | Map | Sums | Gathers


def dead_after(reads: Iterable[tuple[int, Iterable[int]]]) -> dict[int, list[int]]:
    """Return for each stage, by its number, the values that are read in it and in no later one.

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
