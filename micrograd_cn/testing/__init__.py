"""Property-based gradient checking, for this engine, for rules of your own, and for anybody's functions.

`gradcheck` needs nothing but the library for functions of `Value`s, numpy for others; `checks_gradient`, which makes a
test in one line, the strategies and `check_op` need hypothesis (for `points`, numpy). `find_functions` tells what a
package has to check, and the plugin of pytest sums up: the extra `pytest` brings all of them.
"""

from .array_strategies import points
from .check_op import check_op
from .checks_gradient import checks_gradient
from .expressions import Expression, expressions
from .find_functions import find_functions
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
    "checks_gradient",
    "expressions",
    "find_functions",
    "gradcheck",
    "networks",
    "points",
    "values",
]
