"""Property-based gradient checking, for this engine and for rules of your own.

`gradcheck` needs nothing but the library; the strategies and `check_op` need the extra `test` (hypothesis; `points`
draws numpy arrays).
"""

from .arrays import points
from .check_op import check_op
from .expressions import Expression, expressions
from .gradcheck import GradientMismatch, NothingCompared, PartlyCompared, gradcheck
from .strategies import networks, values

__all__ = [
    "Expression",
    "GradientMismatch",
    "NothingCompared",
    "PartlyCompared",
    "check_op",
    "expressions",
    "gradcheck",
    "networks",
    "points",
    "values",
]
