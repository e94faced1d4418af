"""Build the steps of a random expression, and leave out steps whose derivatives `gradcheck` could not compare.

A step applies an operation to operands. It must be smooth at the point of the expression, and rounding of its result
must not hide the effect of an input of the expression.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass

from ...ops.operation import Op
from ...ops.traits import Interval
from ..numeric.numerical import stated_rounding
from .float_strategies import MARGIN

__all__ = ["NudgedValue", "fits_domain", "is_smooth", "nudged_input", "smooth_step"]

MIN_EFFECT_TO_NOISE = 3e7  # a nudged input must change a result by at least this many times the result's rounding
MAX_SLOPE_NOISE = 5e-12  # otherwise, rounding must change the slope with respect to the input by less than this
MIN_KINK_DISTANCE = 1e-4  # closer to a kink, a jump would look like noise in second derivatives
MAX_SLOPE = 1e5  # the largest slope of a result with respect to an input
MIN_RESULT = 1e-100  # the smallest result other than 0: derivatives of a smaller one may underflow
LARGE_INPUT = 1e12  # a nudge of 0.05 suits no larger input, since neighbouring floats are too far apart there


@dataclass(eq=False)
class NudgedValue:
    """The values of an input or a result in a random expression: at the expression's point, and with an input nudged.

    A nudge is a small change of one input, while the others stay the same. Each input in turn is nudged down and up.

    Attributes:
        value: the value at the point.
        nudged: the values for all nudges: input 0 down, input 0 up, input 1 down, input 1 up, and so on. The list ends
            after the last input on which the value depends.
        noise: how far rounding may change the value.
        input_mask: the inputs on which the value depends, as an integer with bit j set for input j.
        step: the operation and its operands; None for an input.
    """

    value: float
    nudged: list[float]
    noise: float
    input_mask: int
    step: tuple[Op, list[NudgedValue | float]] | None = None

    def nudged_value(self, k: int) -> float:
        """Return the value for nudge k: input k // 2 is nudged down if k is even, and up if k is odd.

        If the list `nudged` ends before k, the value does not depend on this input.
        """
        return self.nudged[k] if k < len(self.nudged) else self.value


def fits_domain(node: NudgedValue, domain: Interval) -> bool:
    """Return whether the value of `node` lies in an open interval, even if inputs were nudged twice as far as they are.

    In the example, the input 1.0 is nudged by 0.05, and 1.0 + 2 * 0.05 is outside of the interval.

    >>> fits_domain(nudged_input(1.0, 0, (0.0, math.inf), False), (0.0, 1.09))
    False
    """
    moved = 2.0 * max([math.fabs(x - node.value) for x in node.nudged])
    low, high = domain
    return low + moved < node.value < high - moved


def nudged_input(x: float, place: int, domain: Interval, kinked: bool) -> NudgedValue:
    """Return an input of a random expression. Its nudges down and up are small changes, which stay in its domain.

    Args:
        x: the number.
        place: the index of the input.
        domain: the open interval in which the input must stay.
        kinked: whether there may be a kink at 0. Then a nudge of a number near 0 is small compared with the number.

    >>> nudged_input(0.5, 0, (-math.inf, math.inf), True).nudged
    [0.475, 0.525]
    """
    size = math.fabs(x)
    nudge = MARGIN * (size if size > LARGE_INPUT or (kinked and 0.0 < size < 1.0) else 1.0)
    nudge = min(nudge, *[0.25 * math.fabs(x - end) for end in domain])
    return NudgedValue(x, [*[x] * 2 * place, x - nudge, x + nudge], 0.0, 1 << place)


def is_smooth(op: Op, xs: Sequence[float]) -> bool:
    """Return whether an operation stays away from its kinks when an operand is moved by `MARGIN`, down or up.

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
    """Return the result of applying an operation, as a step of a random expression; None if the step is to be left out.

    It is left out if it is not smooth at the operands, or if rounding of the result hides the effect of an input. It is
    also left out if all operands are constants, or if the result is infinite, nan, nearly 0, or changes too fast with
    an input. The partials of the operation are not used, since a gradient check is to find out whether they are wrong.

    Args:
        op: the operation that is applied.
        operands: its operands; a float is a constant.
        inputs: all inputs of the expression up to this step. They tell how far each input is nudged.

    >>> from micrograd_cn import relu, sin
    >>> x, y = nudged_input(0.01, 0, (-math.inf, math.inf), False), nudged_input(1e15, 1, (-math.inf, math.inf), False)
    >>> smooth_step(relu, [x], [x, y]), smooth_step(sin, [y], [x, y])
    (None, None)
    """
    moving = {i: x for i, x in enumerate(operands) if isinstance(x, NudgedValue)}
    if not moving:
        return None
    xs = [x.value if isinstance(x, NudgedValue) else x for x in operands]
    columns = max(len(x.nudged) for x in moving.values())
    near = [[x.nudged_value(k) if isinstance(x, NudgedValue) else x for x in operands] for k in range(columns)]
    errors = {i: max(x.noise, 2.0 * math.ulp(x.value)) for i, x in moving.items()}
    if op.smoothness.kink:
        here = op.smoothness.kink(*xs)
        away = 0.5 * math.fabs(here)  # no nudge may go more than half the way to a kink
        if not (
            away > MIN_KINK_DISTANCE and all(math.fabs(op.smoothness.kink(*there) - here) <= away for there in near)
        ):
            return None
    y = op.forward(*xs)
    nudged = [y if there == xs else op.forward(*there) for there in near]
    if not all(math.isfinite(z) and (z == 0.0 or math.fabs(z) >= MIN_RESULT) for z in (y, *nudged)):
        return None
    noise = math.ulp(y) + stated_rounding(op, y, xs) * math.fabs(y)
    for i, error in errors.items():
        noise += max(math.fabs(_forward_with(op, xs, i, xs[i] + e) - y) for e in (-error, error))
    above = functools.reduce(operator.or_, [x.input_mask for x in moving.values()])
    quiet = math.inf
    for j, source in enumerate(inputs):
        if above >> j & 1:
            low, high = nudged[2 * j : 2 * j + 2]
            nudge = source.nudged[-1] - source.value
            quiet = min(quiet, MAX_SLOPE_NOISE * nudge, MAX_SLOPE_NOISE * MARGIN)
            largest = max(math.fabs(low - y), math.fabs(high - y))
            if largest > MAX_SLOPE * nudge or not (
                noise <= quiet or MIN_EFFECT_TO_NOISE * noise <= 0.5 * math.fabs(high - low)
            ):
                return None
    if noise > quiet:  # an operand may be lost beside another one
        for i, x in moving.items():
            furthest = max(x.nudged, key=lambda z: math.fabs(z - xs[i]))
            if furthest != x.value and math.fabs(_forward_with(op, xs, i, furthest) - y) < MIN_EFFECT_TO_NOISE * noise:
                return None
    return NudgedValue(y, nudged, noise, above, (op, operands))


def _forward_with(op: Op, xs: list[float], i: int, x: float) -> float:
    """Return the result of the operation with `x` as the operand with the index `i`, and the others from `xs`."""
    y: float = op.forward(*xs[:i], x, *xs[i + 1 :])
    return y
