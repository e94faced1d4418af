"""Tell a mistake from rounding in the half precision types, float16 and bfloat16, where they look alike."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

import numpy as np

from ..numeric.compare import Comparison
from ..numeric.thresholds import (
    DETECTABLE_ERROR,
    FEW_NEIGHBOURS,
    NEIGHBOUR_DISTANCE,
    NEIGHBOURS,
    ONE_WAY,
    SHORT_STEP,
    STEADY_MISMATCH,
    SURELY_STEADY,
    VISIBLE,
    WELL_KNOWN,
    WIDER_INTERVALS,
)
from .directional_function import DirectionalFunction
from .interval_means import mean_over_interval
from .problem import Problem
from .tolerance import ArrayTolerance
from .vectors import Vector

__tracebackhide__ = True


CompareAt = Callable[[Vector], Comparison]  # compares the derivative at another point


def can_tell_one_percent(comparison: Comparison) -> bool:
    """Return whether the comparison was exact enough to show an error of 1 % of the derivative that was compared."""
    if comparison.agrees:
        return ArrayTolerance(0.0, 0.0, 0.0, 0.0).is_exact_enough(comparison.numeric, comparison.mismatch)
    return comparison.agrees is not None


def agrees_closely(comparison: Comparison, problem: Problem, known_to: float = 0.5) -> bool:
    """Return whether the checked derivative and the numerical one are equal up to their last bit.

    A wrong derivative would hardly be that close by chance, even if the numerical one is uncertain. The result is False
    if the estimated error of the numerical derivative is more than `known_to` times its size, and in other types than
    float16 and bfloat16.
    """
    analytic, e = comparison.analytic, comparison.numeric
    if not (problem.half_precision and math.isfinite(analytic)):
        return False
    close = math.fabs(analytic - e.slope) <= problem.eps * max(math.fabs(analytic), math.fabs(e.slope))
    return close and e.slope != 0.0 and e.error <= known_to * math.fabs(e.slope)


def has_settled(comparison: Comparison, problem: Problem) -> bool:
    """Return whether two derivatives in half precision are so nearly equal that no more calls of f are needed.

    They must be equal up to their last bit, and the estimated error of the numerical one must be small.
    """
    return agrees_closely(comparison, problem, WELL_KNOWN)


def is_hopeless(comparison: Comparison, phi: DirectionalFunction) -> bool:
    """Return whether it is no use to compare the derivative with a numerical one at the point itself.

    `comparison` has compared means over intervals. A numerical derivative at the point takes shorter steps, in which
    noise is larger. It cannot be exact enough if the means are uncertain more because of noise than because of
    curvature. Nor can it be if rounding of the outputs alone would hide an error of 1 % in such steps, unless the two
    derivatives differ by far more than that rounding.
    """
    analytic, e = comparison.analytic, comparison.numeric
    hidden = phi.rounding / SHORT_STEP
    size = max(math.fabs(analytic), math.fabs(e.slope))
    shows = math.fabs(analytic - e.slope) > VISIBLE * hidden
    return e.noise > 0.5 * e.error or (hidden > DETECTABLE_ERROR * size and not shows)


def rounding_excuse(problem: Problem, comparison: Comparison, phi: DirectionalFunction, compare: CompareAt) -> str:
    """Return why rounding may make the derivative in `comparison` differ from the numerical one; else "".

    Rounding may explain the difference if points nearby show no such difference. Rounding may also explain it if the
    difference vanishes over intervals of larger steps, unless the difference is too large for rounding. `phi` is the
    function that was differentiated, and `compare` repeats the comparison at another point.
    """
    if not _is_off_nearby(problem, phi.x, compare):
        return "too noisy to tell: no such mismatch next to the point"
    if _is_beyond_rounding(comparison, phi):
        return ""
    if any(mismatch_vanishes_over(phi, comparison, steps) for steps in WIDER_INTERVALS):
        return "too noisy to tell: the mismatch vanishes over larger steps"
    return ""


def _is_beyond_rounding(comparison: Comparison, phi: DirectionalFunction) -> bool:
    """Return whether a mismatch of two derivatives is too large for rounding, even if rounding always goes one way.

    The mismatch times a step is how far the two derivatives disagree about the change of `phi` in this step. The step
    is the longest one of numerical derivatives (`Problem.steps`). There are three bounds of how far rounding that
    always goes one way may change `phi`: `ONE_WAY` last bits of each output, `COARSE_BITS` last bits of the largest
    output in each array, and `COARSE_BITS` last bits of intermediate results. If the disagreement exceeds the largest
    of the three bounds, the result is True.
    """
    mismatch = comparison.mismatch
    one_way = ONE_WAY * phi.problem.eps * float(np.abs(phi.u).dot(np.abs(phi.outputs) * phi.changed_outputs))
    most = max(one_way / math.fabs(phi.divisor), phi.rounding_beside_largest, phi.intermediate_rounding)
    return math.isfinite(mismatch) and mismatch * phi.problem.steps.first_steps[0] > most


def _is_off_nearby(problem: Problem, x: Vector, compare: CompareAt) -> bool:
    """Return whether the derivative is off by about the same amount at each of several random points next to `x`.

    A mistake gives about the same amount at all of these points. Rounding does not, since the last bits of the elements
    change at random from point to point. `compare` takes a point, and compares the derivative with a numerical one
    there.
    """
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
        sure = problem.few_comparisons and len(mismatch) == FEW_NEIGHBOURS and not agree
        if sure and math.fabs(statistics.mean(mismatch)) > SURELY_STEADY * statistics.stdev(mismatch):
            return True
    return math.fabs(statistics.mean(mismatch)) > STEADY_MISMATCH * statistics.stdev(mismatch)


def mismatch_vanishes_over(phi: DirectionalFunction, comparison: Comparison, steps: float) -> bool:
    """Return whether the mismatch over an interval of the half width `steps` is much smaller than at the point.

    A mismatch is the difference between the derivative that is checked and the numerical one. Over the interval, the
    mismatch is the difference between their means, plus the error of this difference. Two conditions must hold. First,
    the mismatch over the interval is smaller than that at the point. Second, the relative mismatch over the interval is
    less than half of the relative mismatch at the point. For the second condition, both mismatches are divided by the
    checked derivative or both by the numerical one, and it is enough if one of the two ways fulfils it. A mismatch that
    vanishes like this comes from rounding that always goes one way, such as the rounding of 1 + x * x for small x.
    """
    over = mean_over_interval(phi, steps)
    if over is None:
        return False
    least, mismatch = math.fabs(over.mismatch) + over.noise + over.bias, comparison.mismatch
    slopes = ((comparison.analytic, over.analytic), (comparison.numeric.slope, over.analytic + over.mismatch))
    return least < mismatch and any(least * math.fabs(near) < 0.5 * mismatch * math.fabs(far) for near, far in slopes)
