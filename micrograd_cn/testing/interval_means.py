"""The mean of a derivative over an interval along a line, which rounding hides less than the derivative at a point."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from .compare import Comparison, hidden
from .directional_function import DirectionalFunction
from .numerical import Estimate, taylor_order
from .problem import length
from .tolerance import ArrayTolerance
from .vectors import Vector

__tracebackhide__ = True

POINTS = 17  # of an interval
SMALLER, LARGER = {1.0: 0.5, 0.5: 0.25}, {1.0: 2.0}  # intervals after one where the curve hides all, or the noise


class IntervalMean(NamedTuple):
    """The mean of a derivative over an interval.

    Attributes:
        slope: of the derivative that is checked.
        off: what is to be added to that.
        spread: how far values are rounded.
        noise: what that does to `off`.
        bias: what the curvature does.
    """

    slope: float
    off: float
    spread: float
    noise: float
    bias: float


def mean_over(line: DirectionalFunction, h: float) -> IntervalMean | None:
    """Return the mean of the derivative that is checked over an interval, and by how much it is off.

    The outputs' change, less the integral of the derivative that is checked, is a constant and noise. A line
    through that has the slope by which the derivative is off, known as exactly as the noise around the line says.
    """
    ts = np.linspace(-h, h, POINTS)
    changes, integral, error = integrated(line, ts)
    if not changes.any() or not np.isfinite(integral).all() or not np.isfinite(changes).all():
        return None
    rest = changes - integral
    off = float(ts @ rest / (ts @ ts))
    scatter = rest - off * ts
    spread = max(length(scatter - np.mean(scatter)) / math.sqrt(POINTS - 2), 0.6 * line.rounding)
    noise = 4.0 * spread / math.sqrt(float(ts @ ts))
    return IntervalMean(float(integral[-1]) / (2.0 * h), off, spread, noise, error / (2.0 * h))


def over_an_interval(line: DirectionalFunction, title: str, tolerance: ArrayTolerance) -> Comparison | None:
    """Compare mean derivatives over an interval, which rounding hides less than those at a point."""
    tolerance = replace(tolerance, error=0.5 * tolerance.error)  # of a mean, and its noise is seen
    best: Comparison | None = None
    following: float | None = 1.0
    while following:
        h = following
        over = mean_over(line, h)
        if over is None:
            following = SMALLER.get(h)
            continue
        mean, off, noise, bias = over.slope, over.off, over.noise, over.bias
        e = Estimate(mean + off, (noise + bias) / 5.0, noise / 5.0)
        allowed = tolerance.allowed(mean, e)
        sure = math.fabs(off) > 2.0 * allowed and allowed < 0.25 * max(math.fabs(e.slope), math.fabs(mean))
        agrees = math.fabs(off) <= allowed
        if tolerance.known(e, off if agrees else 0.0) or sure:
            order = math.nan if agrees else taylor_order(line, 0.0, line.slope, over.spread)
            return Comparison(title, mean, e, agrees, f"means over steps of {h:g} to both sides", order=order)
        if best is None or e.error < best.numeric.error:
            best = Comparison(title, mean, e, None, hidden(over.spread), noisy=True)
        following = SMALLER.get(h) if noise < bias else LARGER.get(h)
    return best


def integrated(line: DirectionalFunction, ts: Vector) -> tuple[Vector, Vector, float]:
    """Return the outputs' changes at `ts`, integrals of the derivative up to there, and the last one's error.

    It is the trapezoidal rule, between the points as the arguments' types hold them. Second differences of the
    derivative show its curvature, for which half of the points tell the error, its noise, and its jumps.
    """
    points = [line.problem.arguments.stored(line.x + t * line.v) for t in ts]
    changes = np.array([line.change(line.problem.value(x)) for x in points])
    slopes, before, after = np.zeros((3, len(ts)))
    for k, x in enumerate(points):
        slopes[k] = line.slope_along((ts[1] - ts[0]) * line.v, x)
        before[k] = line.slope_along(x - points[max(k - 1, 0)], x)
        after[k] = line.slope_along(points[min(k + 1, len(ts) - 1)] - x, x)
    integral, bends = np.cumsum([0.0, *0.5 * (after[:-1] + before[1:])]), np.diff(slopes, 2)
    curvature = 0.25 * math.fabs(float(np.sum(bends[::2])))  # half of what every second point would change
    usual = float(np.median(np.abs(bends)))
    jumps = 0.25 * float(np.sum(np.maximum(np.abs(bends) - 4.0 * usual, 0.0)))
    noise = 2.5 * usual * math.sqrt(len(ts))  # of independent errors: usual is 1.6 times theirs
    return changes, integral, curvature + jumps + noise
