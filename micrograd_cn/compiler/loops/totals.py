"""What is added up over the samples of a batch: totals of products, those together that are outer products."""

from __future__ import annotations

from collections.abc import Sequence

from ..instructions.code import Code, Pair
from .stages import OuterProduct

COLUMNS = 3  # from which totals are an outer product


class Totals:
    """What is added up over the samples.

    Args:
        code: the instructions; a few may be added.
        totals: each a sum of products.

    Attributes:
        outer: totals that are outer products, with at least COLUMNS columns.
        single: the other totals, each with its product.
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
            if len(found) >= COLUMNS:
                columns = tuple([right for _, right in found])
                group = outer.setdefault(columns, OuterProduct([], [], list(columns)))
                group.totals.append([k for k, _ in found])
                group.lefts.append(left)
                continue
            for k, _ in found:
                pair, *more = totals[k]
                self.single.append((k, (code.dot([pair, *more], []), one) if more else pair))
        self.single.sort()
        self.outer = list(outer.values())

    def factors(self) -> list[int]:
        """Return the factors of the totals."""
        factors = [i for group in self.outer for side in (*group.lefts, *group.rights) for i in side]
        return [*factors, *(i for _, pair in self.single for i in pair)]
