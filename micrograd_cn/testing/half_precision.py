"""A derivative along a line in types of few digits, where rounding looks like a mistake and is told from it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

import numpy as np

from .compare import Comparison
from .directional_function import DirectionalFunction
from .interval_means import mean_over
from .problem import Problem
from .tolerance import ArrayTolerance
from .vectors import Vector

__tracebackhide__ = True

FARTHER = 8.0, 16.0  # intervals over which rounding that goes one way is less
NEIGHBOURS, BESIDE = 8, 2.0**-4  # points by which a mistake is told from rounding, so far from the point, relatively

Compare = Callable[[Vector], Comparison]  # at another point


def tells(row: Comparison) -> bool:
    """Return whether a comparison would have told 1 % of the derivative itself, whatever is typical, from noise."""
    if row.agrees:
        return ArrayTolerance(0.0, 0.0, 0.0, 0.0).known(row.numeric, row.analytic - row.numeric.slope)
    return row.agrees is not None


def excuse(problem: Problem, row: Comparison, line: DirectionalFunction, compare: Compare) -> str:
    """Return why what seems wrong along a line may be rounding: it is not so nearby, or over larger steps; else ""."""
    if not _stays(problem, line.x, compare):
        return "too noisy to tell: not so next to the point"
    if any(vanishes_over(line, row, steps) for steps in FARTHER):
        return "too noisy to tell: not so over larger steps"
    return ""


def _stays(problem: Problem, x: Vector, compare: Compare) -> bool:
    """Return whether the derivative is off by about as much at points next to `x`."""
    random = np.random.default_rng(0)
    off: list[float] = []
    agree = 0
    while len(off) < NEIGHBOURS:
        row = compare(problem.arguments.stored(x * (1.0 + BESIDE * random.uniform(-1.0, 1.0, x.size))))
        off.append(row.analytic - row.numeric.slope)
        agree += row.agrees is True
        if not off[-1] * off[0] > 0.0 or 2 * agree == NEIGHBOURS:
            return False
    return math.fabs(statistics.mean(off)) > 2.5 * statistics.stdev(off)


def vanishes_over(line: DirectionalFunction, row: Comparison, steps: float) -> bool:
    """Return whether what is wrong is less than half as large, beside one of the slopes, with steps so large.

    Then it is rounding that always goes one way, as that of 1 + x * x where x is small.
    """
    over = mean_over(line, steps)
    if over is None:
        return False
    least, off = math.fabs(over.off) + over.noise + over.bias, math.fabs(row.analytic - row.numeric.slope)
    slopes = ((row.analytic, over.slope), (row.numeric.slope, over.slope + over.off))
    return any(least * math.fabs(near) < 0.5 * off * math.fabs(far) for near, far in slopes)
