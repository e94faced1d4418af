"""A derivative along a line in types of few digits, where rounding looks like a mistake and is told from it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

import numpy as np

from .compare import Comparison
from .directional_function import DirectionalFunction
from .interval_means import mean_over_interval
from .problem import Problem
from .tolerance import ArrayTolerance
from .vectors import Vector

__tracebackhide__ = True

WIDER_INTERVALS = 8.0, 16.0  # intervals over which rounding that goes one way is less
NEIGHBOURS, NEIGHBOUR_DISTANCE = (
    8,
    2.0**-4,
)  # points by which a mistake is told from rounding, so far from the point, relatively

CompareAt = Callable[[Vector], Comparison]  # at another point


def can_tell_one_percent(comparison: Comparison) -> bool:
    """Return whether a comparison would have told 1 % of the derivative itself, whatever is typical, from noise."""
    if comparison.agrees:
        return ArrayTolerance(0.0, 0.0, 0.0, 0.0).is_exact_enough(
            comparison.numeric, comparison.analytic - comparison.numeric.slope
        )
    return comparison.agrees is not None


def rounding_excuse(problem: Problem, comparison: Comparison, phi: DirectionalFunction, compare: CompareAt) -> str:
    """Return why what seems wrong along a line may be rounding: it is not so nearby, or over larger steps; else ""."""
    if not _is_off_nearby(problem, phi.x, compare):
        return "too noisy to tell: not so next to the point"
    if any(mismatch_vanishes_over(phi, comparison, steps) for steps in WIDER_INTERVALS):
        return "too noisy to tell: not so over larger steps"
    return ""


def _is_off_nearby(problem: Problem, x: Vector, compare: CompareAt) -> bool:
    """Return whether the derivative is off by about as much at points next to `x`."""
    random = np.random.default_rng(0)
    mismatch: list[float] = []
    agree = 0
    while len(mismatch) < NEIGHBOURS:
        comparison = compare(
            problem.arguments.rounded(x * (1.0 + NEIGHBOUR_DISTANCE * random.uniform(-1.0, 1.0, x.size)))
        )
        mismatch.append(comparison.analytic - comparison.numeric.slope)
        agree += comparison.agrees is True
        if not mismatch[-1] * mismatch[0] > 0.0 or 2 * agree == NEIGHBOURS:
            return False
    return math.fabs(statistics.mean(mismatch)) > 2.5 * statistics.stdev(mismatch)


def mismatch_vanishes_over(phi: DirectionalFunction, comparison: Comparison, steps: float) -> bool:
    """Return whether what is wrong is less than half as large, beside one of the slopes, with steps so large.

    Then it is rounding that always goes one way, as that of 1 + x * x where x is small.
    """
    over = mean_over_interval(phi, steps)
    if over is None:
        return False
    least, mismatch = (
        math.fabs(over.mismatch) + over.noise + over.bias,
        math.fabs(comparison.analytic - comparison.numeric.slope),
    )
    slopes = ((comparison.analytic, over.analytic), (comparison.numeric.slope, over.analytic + over.mismatch))
    return any(least * math.fabs(near) < 0.5 * mismatch * math.fabs(far) for near, far in slopes)
