"""Property-based gradient checking, for this engine, for your own operations, and for functions of any library.

`gradcheck` needs nothing but this package for functions of `Value`s; for other functions it needs numpy.
`checks_gradient` makes a pytest test in one line. It needs hypothesis. So do `check_op` and the Hypothesis strategies
`expressions`, `networks`, `values` and `points`; `points` needs numpy, too. `find_functions` lists the functions of a
package whose gradients are written by hand. A pytest plugin prints a summary of all checks. The extra `pytest` of this
package installs hypothesis, numpy and pytest.

A check of a function goes through these modules. `gradcheck` collects the function and its arguments in a `Subject`
(module `subject`). If it is a function of `Value`s, `value_arguments` chooses the numbers to differentiate by, and
`gradcheck` compares each derivative. For another function, `array_check` packs the arguments into vectors (`problem`,
`vectors`, `pytrees`, `array_parts`, `libraries`), and checks rules that a backward pass must keep (`contract`). Then it
compares derivatives along directions, in which many numbers change at once (`directional_comparison`). Ways to compare
such a derivative are tried in order (`directional_stages`); if it seems wrong, other reasons than a mistake are looked
for (`excuses`). In both cases, derivatives are compared with numerical ones (`numerical`, `compare`). The table in
`thresholds` has the numbers that decide between verdicts. `report` writes the message.

`check_op` checks one operation at many points (`evaluation_points`). It also checks the lowerings of the operation: the
other forms, such as JavaScript, in which the package computes it (`lowerings`). `expressions` draws random graphs in
which every operation is smooth.
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
