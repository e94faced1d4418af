"""Property-based gradient checking, for this engine and for rules of your own.

`gradcheck` needs nothing but the library; the strategies and `check_op` need the extra `test` (hypothesis).
"""

from .battery import check_op
from .gradcheck import GradientMismatch, NothingCompared, PartlyCompared, gradcheck
from .strategies import Expression, expressions, networks, values

__all__ = [
    "Expression",
    "GradientMismatch",
    "NothingCompared",
    "PartlyCompared",
    "check_op",
    "expressions",
    "gradcheck",
    "networks",
    "values",
]
