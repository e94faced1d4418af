"""Check that the contribution and the weight of a `Selection` agree.

A `Selection` is a partial of an operation that may leave an operand unselected, as relu does. The contribution is a
function that gives the operand its part of the upstream gradient, which is the gradient of the result. The weight is
the factor by which the contribution should multiply that gradient, or None if the operand was not selected.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ...engine import Value
from ...ops.operation import Op
from ..numeric.thresholds import SAME_VALUE
from .op_failures import Point, op_failure, reraise_as_failure
from .op_recording import same_number

# Gradients of the result. The first two show whether a contribution is linear, and inf shows whether it selects.
UPSTREAM_GRADIENTS = (1.0, -3.0, math.inf)
CODE = """\
from math import inf
xs = [XS]
print(OP.needed_partials(OP.forward(*xs), xs, [True] * len(xs)))
print([contribution and contribution(G) for contribution in OP.selection(xs)])"""


def check_selection(op: Op, xs: Point, y: float) -> None:
    """Check that each operand gets its weight times the upstream gradient, whether operands are floats or `Value`s.

    The upstream gradient is the gradient of the result, and the weight of an operand is what its `Selection` gives for
    floats. An operand whose weight is None was not selected. It must get nothing, even if the upstream gradient is
    infinite.

    Args:
        op: the operation; nothing is checked unless one of its partials is a `Selection`.
        xs: the operands.
        y: the result of the operation for `xs`.

    Raises:
        AssertionError: an operand gets something else. The message names the operand and the upstream gradient.

    >>> from micrograd_cn import Op, less, relu
    >>> from micrograd_cn.ops import Selection
    >>> weight = lambda x: None if x <= 0.0 else 1.0
    >>> own = Op("own", lambda x: relu(x), (Selection(lambda g, x: g * less(0.0, x), weight),))
    >>> check_selection(own, (-1.0,), 0.0)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    AssertionError: check_op of own at -1.0: operand 0 was not selected, but gets nan of an upstream gradient of inf
    ...
    """
    if not op.selects:
        return
    with reraise_as_failure(op, xs, f"the weight of a partial of {op.name}", CODE.replace("G", "1.0")):
        weights = op.needed_partials(y, xs, [True] * len(xs))
    for g in UPSTREAM_GRADIENTS:
        code = CODE.replace("G", repr(g))
        inputs = [Value(x) for x in xs]
        with reraise_as_failure(op, xs, f"the contribution of a partial of {op.name}", code):
            found = [_contributions(op, operands, g) for operands in (xs, inputs)]
        for slot, (weight, *got) in enumerate(zip(weights, *found, strict=True)):
            expected = 0.0 if weight is None else weight * g
            for contribution in got:
                if contribution is not None and not _is_near(contribution, expected):
                    gets = f"gets {contribution} of an upstream gradient of {g}"
                    said = "was not selected, but" if weight is None else f"has the weight {weight}, but"
                    raise op_failure(op, xs, f"operand {slot} {said} {gets}", code)


def _contributions(op: Op, operands: Sequence[Any], g: float) -> list[float | None]:
    """Return, for each operand that the operation may leave unselected, how much of the upstream gradient g it gets.

    The partial of such an operand is a `Selection`. For all other operands, the list has None.
    """

    def number(contribution: Callable[[Any], Any] | None) -> float | None:
        if contribution is None:
            return None
        found = contribution(g)
        return found.data if isinstance(found, Value) else 0.0 if found is None else float(found)

    return [number(contribution) for contribution in op.selection(operands)]


def _is_near(a: float, b: float) -> bool:
    return same_number(a, b) or math.isclose(a, b, rel_tol=SAME_VALUE)
