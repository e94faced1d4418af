"""Property-based gradient checking, for this engine, for your own operations, and for functions of any library.

`gradcheck` needs nothing but this package for functions of `Value`s; for other functions it needs numpy.
`checks_gradient` makes a pytest test in one line. It needs hypothesis. So do `check_op` and the Hypothesis strategies
`expressions`, `networks`, `values` and `points`; `points` needs numpy, too. `find_functions` lists the functions of a
package whose gradients are written by hand. A pytest plugin prints a summary of all checks. The extra `pytest` of this
package installs hypothesis, numpy and pytest.

A check of a function goes through these folders. `gradcheck` collects the function and its arguments in a `Subject`
(folder `inputs`). If it is a function of `Value`s, the modules in `value_checks` compare each derivative. For another
function, the modules in `arrays` pack the arguments into vectors, check rules that a backward pass must keep, and
compare derivatives along directions, in which many numbers change at once. In both cases, stages are tried in order
until one of them reaches a verdict, and derivatives are compared with numerical ones (folder `numeric`). The table
`numeric.thresholds` has the numbers that decide between verdicts. `report` writes the message.

`check_op` checks one operation at many points. It also checks the lowerings of the operation: the other forms, such as
JavaScript, in which the package computes it (folder `operations`). `expressions` draws random graphs in which every
operation is smooth (folder `drawing`).
"""

from .checks_gradient import checks_gradient
from .drawing.array_strategies import points
from .drawing.expressions import Expression, expressions
from .find_functions import find_functions
from .gradcheck import gradcheck
from .operations.check_op import check_op
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
