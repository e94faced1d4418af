"""Property-based gradient checking, for this engine, for rules of your own, and for anybody's functions.

`gradcheck` needs nothing but the library for functions of `Value`s, numpy for others; the strategies and `check_op`
need the extra `test` (hypothesis; for `points`, numpy).
"""

from .arrays import points
from .check_op import check_op
from .expressions import Expression, expressions
from .gradcheck import gradcheck
from .report import GradientMismatch, NotDeterministic, NothingCompared, PartlyCompared, TooNoisy
from .strategies import networks, values

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
    "points",
    "values",
]
