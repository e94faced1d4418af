"""The operation of a node that no row of the table explains: its data are known, its local derivatives are not ours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from keyword import iskeyword

from ..ops.number import number
from ..ops.operation import Op
from ..ops.traits import Notation

__all__ = ["Opaque"]


class Opaque(Op):
    """Stand for an operation that made one node, of which the table has no row.

    Args:
        symbol: what the other class calls it; "" if it does not say.
        data: the node's number, which is all that it computes.
        count: how many operands it has.
        claimed: the local derivatives that the other class keeps, if it keeps them; else they are nan.
        reason: why it is no row: a key of `words.WORDS`; "" if only its name is missing, and some row of the table has
            this value and these local derivatives.
        shown: what the reason's words have to be filled with.

    >>> from micrograd_cn import Value
    >>> Opaque("smooth", 2.0, 1)(Value(3)).partials
    (nan,)
    """

    def __init__(
        self,
        symbol: str,
        data: float,
        count: int,
        claimed: Sequence[float] | None = None,
        reason: str = "opaque_unknown",
        shown: str = "",
    ) -> None:
        def forward(*operands: float) -> float:
            for x in operands:
                number(x)  # it is no formula, and says so where one is needed
            return data

        super().__init__(
            symbol if symbol.isidentifier() and not iskeyword(symbol) else "unknown",
            forward,
            tuple([lambda *_, p=p: p for p in claimed or (math.nan,) * count]),
        )
        self.notation = Notation(symbol, text=lambda *texts: f"{symbol or '?'}({', '.join(texts)})")
        self.reason = reason
        self.shown = shown
        self.has_partials = claimed is not None

    def why(self, words: Mapping[str, str]) -> str:
        """Return the reason in the words of a language; "" where only the name is missing.

        >>> from micrograd_cn.text.words import WORDS
        >>> Opaque("*", 7.0, 2, None, "opaque_value", "2 * 3 = 6").why(WORDS["en"])
        'but 2 * 3 = 6'
        """
        return words[self.reason].format(shown=self.shown) if self.reason else ""
