"""Group totals, the sums over the rows of a batch from which gradients are computed. Many form outer products."""

from __future__ import annotations

from collections.abc import Sequence

from ..instructions.code import Code, Pair
from .stages import OuterProduct

MIN_OUTER_COLUMNS = 3  # totals with the same left factors that are a row of an outer product, at least


class Totals:
    """The totals of a program. Totals that form outer products are grouped into matrices, and the others are single.

    Args:
        code: the instructions. If a single total has several pairs of factors, an instruction for the sum of their
            products is added.
        totals: for each total, the instruction numbers of the pairs of factors whose products are added up.

    Attributes:
        outer_products: the matrices of totals. Each of them has at least MIN_OUTER_COLUMNS columns.
        single: for each other total, its index in `totals`, and the pair of factors whose product is added up over the
            rows.
    """

    def __init__(self, code: Code, totals: Sequence[tuple[Pair, ...]]) -> None:
        rows: dict[tuple[int, ...], list[tuple[int, tuple[int, ...]]]] = {}
        left: tuple[int, ...]
        right: tuple[int, ...]
        for k, pairs in enumerate(totals):
            left, right = zip(*pairs, strict=True) if len(pairs) > 1 else ((pairs[0][0],), (pairs[0][1],))
            rows.setdefault(left, []).append((k, right))
        outer: dict[tuple[tuple[int, ...], ...], OuterProduct] = {}
        self.single: list[tuple[int, Pair]] = []
        one = code.constant(1.0)
        for left, found in rows.items():
            if len(found) >= MIN_OUTER_COLUMNS:
                columns = tuple([right for _, right in found])
                group = outer.setdefault(columns, OuterProduct([], [], list(columns)))
                group.totals.append([k for k, _ in found])
                group.lefts.append(left)
                continue
            for k, _ in found:
                pair, *more = totals[k]
                self.single.append((k, (code.dot([pair, *more], []), one) if more else pair))
        self.single.sort()
        self.outer_products = list(outer.values())

    def factors(self) -> list[int]:
        """Return the instruction numbers of the factors of all totals. A factor with several uses may be repeated."""
        factors = [i for group in self.outer_products for side in (*group.lefts, *group.rights) for i in side]
        return [*factors, *(i for _, pair in self.single for i in pair)]
