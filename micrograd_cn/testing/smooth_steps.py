"""Which steps a random expression may have: smooth at its point, and with no result that rounding hides."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass

from ..ops.operation import Op
from ..ops.traits import Interval
from .float_strategies import MARGIN

__all__ = ["NudgedValue", "fits", "input_node", "is_smooth", "smooth_step"]

TELLING = 3e7  # so many times more than rounding does, each input changes a result
QUIET = 5e-12  # unless rounding does less than this to the slope
CLOSEST = 1e-4  # to a kink, or a jump beside it is taken for noise in second derivatives
STEEPEST = 1e5  # slope of a result in an input
LEAST = 1e-100  # magnitude of a result that is not 0: derivatives of what is less may underflow
FAR = 1e12  # beyond, neighbouring floats are too far apart for small steps


@dataclass(eq=False)
class NudgedValue:
    """An input or a step's result at the point, and at points beside it: two an input, which is nudged both ways."""

    here: float
    beside: list[float]  # those of later inputs, which it does not depend on, are left out
    noise: float  # how far rounding may carry it
    inputs: int  # which inputs it is made of: bit j for the j-th
    step: tuple[Op, list[NudgedValue | float]] | None = None

    def at(self, k: int) -> float:
        """Return its number at the k-th point beside."""
        return self.beside[k] if k < len(self.beside) else self.here


def fits(node: NudgedValue, domain: Interval) -> bool:
    """Return whether it lies in the open interval, even where an input is nudged twice as far.

    >>> fits(input_node(1.0, 0, (0.0, math.inf), False), (0.0, 1.09))
    False
    """
    moved = 2.0 * max([math.fabs(x - node.here) for x in node.beside])  # or it might cross an end between
    low, high = domain
    return low + moved < node.here < high - moved


def input_node(x: float, place: int, domain: Interval, kinked: bool) -> NudgedValue:
    """Return an input, to be nudged a little: relative to its distance from ends of the domain, and kinks at 0.

    >>> input_node(0.5, 0, (-math.inf, math.inf), True).beside
    [0.475, 0.525]
    """
    size = math.fabs(x)
    nudge = MARGIN * (size if size > FAR or (kinked and 0.0 < size < 1.0) else 1.0)
    nudge = min(nudge, *[0.25 * math.fabs(x - end) for end in domain])
    return NudgedValue(x, [*[x] * 2 * place, x - nudge, x + nudge], 0.0, 1 << place)


def is_smooth(op: Op, xs: Sequence[float]) -> bool:
    """Return whether moving any operand by `MARGIN` reaches no kink.

    >>> from micrograd_cn import relu
    >>> is_smooth(relu, [0.04]), is_smooth(relu, [0.06])
    (False, True)
    """
    if op.smoothness.kink is None:
        return True
    here = op.smoothness.kink(*xs)
    around = [op.smoothness.kink(*xs[:i], x + d, *xs[i + 1 :]) for i, x in enumerate(xs) for d in (-MARGIN, MARGIN)]
    unmoved = here != 0.0 and all(there == here for there in around)
    return unmoved or (math.fabs(here) >= MARGIN and all(there * here > 0.0 for there in around))


def smooth_step(op: Op, operands: list[NudgedValue | float], inputs: list[NudgedValue]) -> NudgedValue | None:
    """Return the operation's result; None if it is not smooth here, or rounding hides how it depends on an input.

    The row's partials have no say, since they may be wrong, which is what a check of gradients is to find.

    >>> from micrograd_cn import relu, sin
    >>> x, y = input_node(0.01, 0, (-math.inf, math.inf), False), input_node(1e15, 1, (-math.inf, math.inf), False)
    >>> smooth_step(relu, [x], [x, y]), smooth_step(sin, [y], [x, y])
    (None, None)
    """
    moving = {i: x for i, x in enumerate(operands) if isinstance(x, NudgedValue)}
    if not moving:
        return None
    xs = [x.here if isinstance(x, NudgedValue) else x for x in operands]
    columns = max(len(x.beside) for x in moving.values())
    near = [[x.at(k) if isinstance(x, NudgedValue) else x for x in operands] for k in range(columns)]
    errors = {i: max(x.noise, 2.0 * math.ulp(x.here)) for i, x in moving.items()}
    if op.smoothness.kink:
        here = op.smoothness.kink(*xs)
        away = 0.5 * math.fabs(here)  # at half the way, it is seen that no kink is reached
        if not (away > CLOSEST and all(math.fabs(op.smoothness.kink(*there) - here) <= away for there in near)):
            return None
    y = op.forward(*xs)
    beside = [y if there == xs else op.forward(*there) for there in near]
    if not all(math.isfinite(z) and (z == 0.0 or math.fabs(z) >= LEAST) for z in (y, *beside)):
        return None
    noise = math.ulp(y) + (1e-15 * op.smoothness.rounding(y, *xs)[0] * math.fabs(y) if op.smoothness.rounding else 0.0)
    for i, error in errors.items():
        noise += max(math.fabs(_forward(op, xs, i, xs[i] + e) - y) for e in (-error, error))
    above = functools.reduce(operator.or_, [x.inputs for x in moving.values()])
    quiet = math.inf
    for j, source in enumerate(inputs):
        if above >> j & 1:
            low, high = beside[2 * j : 2 * j + 2]
            nudge = source.beside[-1] - source.here
            quiet = min(quiet, QUIET * nudge, QUIET * MARGIN)
            largest = max(math.fabs(low - y), math.fabs(high - y))
            if largest > STEEPEST * nudge or not (noise <= quiet or TELLING * noise <= 0.5 * math.fabs(high - low)):
                return None
    if noise > quiet:  # an operand may be lost beside another
        for i, x in moving.items():
            furthest = max(x.beside, key=lambda z: math.fabs(z - xs[i]))
            if furthest != x.here and math.fabs(_forward(op, xs, i, furthest) - y) < TELLING * noise:
                return None
    return NudgedValue(y, beside, noise, above, (op, operands))


def _forward(op: Op, xs: list[float], i: int, x: float) -> float:
    y: float = op.forward(*xs[:i], x, *xs[i + 1 :])
    return y
