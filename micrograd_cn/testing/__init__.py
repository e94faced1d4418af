"""Property-based gradient checking, for this engine, for rules of your own, and for anybody's functions.

`gradcheck` needs nothing but the library for functions of `Value`s, numpy for others; the strategies and `check_op`
need the extra `test` (hypothesis).
"""

from .battery import check_op
from .gradcheck import gradcheck
from .report import GradientMismatch, NotDeterministic, NothingCompared, PartlyCompared, TooNoisy
from .strategies import Expression, expressions, networks, values

__all__ = [
    "Expression",
    "GradientMismatch",
    "NotDeterministic",
    "NothingCompared",
    "PartlyCompared",
    "TooNoisy",
    "check_op",
    "expressions",
    "gradcheck",
    "networks",
    "values",
]
