"""Group totals, the sums over the rows of a batch from which gradients are computed.

Many totals form a matrix, which is a sum of outer products. A row of the batch has the numbers of one sample.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..instructions.code import Code, Pair, Scatter
from .stages import OuterProduct

MIN_OUTER_COLUMNS = 3  # at least so many totals with the same left factors are a row of an outer product


class Totals:
    """The totals of a program, which are sums over the rows of a batch.

    There are three kinds: totals of a scatter, where each row adds a value to one of several totals, totals that form
    the matrix of an outer product, and single totals.

    Args:
        code: the instructions. If a single total has several pairs of factors, an instruction for the sum of their
            products is appended.
        totals: for each total, the instruction numbers of the pairs of factors whose products are added up, or the
            `Scatter` that it is part of.

    Attributes:
        outer_products: the matrices of totals. Each of them has at least MIN_OUTER_COLUMNS columns.
        single: for each other total, its index in `totals`, and the pair of factors whose product is added up over the
            rows.
        scatters: the scatters, each with the totals to which it adds values.
    """

    def __init__(self, code: Code, totals: Sequence[tuple[Pair, ...] | Scatter]) -> None:
        # For each tuple of left factors, the totals that have them, and the right factors of each of these totals
        rows: dict[tuple[int, ...], tuple[list[int], list[tuple[int, ...]]]] = {}
        left: tuple[int, ...]
        right: tuple[int, ...]
        scatters: dict[Scatter, None] = {}
        for k, pairs in enumerate(totals):
            if isinstance(pairs, Scatter):
                scatters[pairs] = None
            else:
                left, right = zip(*pairs, strict=True) if len(pairs) > 1 else ((pairs[0][0],), (pairs[0][1],))
                if (row := rows.get(left)) is None:
                    row = rows[left] = [], []
                row[0].append(k)
                row[1].append(right)
        self.scatters = [*scatters]
        outer: dict[tuple[tuple[int, ...], ...], OuterProduct] = {}
        self.single: list[tuple[int, Pair]] = []
        one = code.constant(1.0)
        for left, (found, rights) in rows.items():
            if len(found) >= MIN_OUTER_COLUMNS:
                group = outer.setdefault(tuple(rights), OuterProduct([], [], rights))
                group.totals.append(found)
                group.lefts.append(left)
                continue
            for k, right in zip(found, rights, strict=True):
                pair, *more = zip(left, right, strict=True)
                self.single.append((k, (code.dot([pair, *more], []), one) if more else pair))
        self.single.sort()
        self.outer_products = list(outer.values())

    def factors(self) -> list[int]:
        """Return the instruction numbers of the values from which totals are computed, some of them repeatedly.

        These are the factors of products, and the indices and values of scatters.
        """
        factors = [i for group in self.outer_products for side in (*group.lefts, *group.rights) for i in side]
        factors += [i for _, pair in self.single for i in pair]
        return [*factors, *(i for scatter in self.scatters for source in scatter.sources for i in source)]
