"""`Opaque`, an operation for a node of somebody's own class whose operation this package does not recognise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from keyword import iskeyword

from ..ops.number import number
from ..ops.operation import Op
from ..ops.traits import Notation

__all__ = ["Opaque"]


class Opaque(Op):
    """An operation that stands for an unknown operation: the one by which somebody's own `Value` class made a node.

    Args:
        symbol: the name that somebody's class gives the operation, or "" if it gives none.
        data: the node's data, which this operation always returns.
        count: the number of operands.
        claimed: the local derivatives that the node keeps. If it is None, the partials are nan.
        reason: the key in `words.WORDS` of the text that says why the operation is unknown. It is "" if several
            operations of this package have this value and these local derivatives, so only the name is unknown.
        shown: a string to insert into this text, such as "2 * 3 = 6".

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
                number(x)  # raises for a symbolic `Term`, because this operation has no formula
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
        """Return a string that says why the operation is unknown, or "" if only its name is unknown.

        `words` has the texts of the language to write in, such as `WORDS["en"]`.

        >>> from micrograd_cn.text.words import WORDS
        >>> Opaque("*", 7.0, 2, None, "opaque_value", "2 * 3 = 6").why(WORDS["en"])
        'but 2 * 3 = 6'
        """
        return words[self.reason].format(shown=self.shown) if self.reason else ""
