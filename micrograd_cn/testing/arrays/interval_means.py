"""The mean of a derivative over an interval, which rounding hides less than the derivative at a point."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..numeric.compare import Comparison, noise_note
from ..numeric.numerical import Estimate, taylor_order
from ..numeric.thresholds import (
    CURVED_SHARE,
    ESTIMATED_ERRORS,
    FEATURE,
    FEW_INTERVAL_POINTS,
    HALVED_CURVATURE,
    INTEGRAL_SCATTERS,
    INTERVAL_POINTS,
    JUMP_SHARE,
    LEAST_SCATTER,
    NEXT_LARGER,
    NEXT_SMALLER,
    NOISE_OF_DIFFERENCES,
    SCATTERS,
    SURE_SHARE,
    USUAL_BENDS,
)
from .analytic import dot
from .directional_function import DirectionalFunction
from .problem import Problem, norm
from .tolerance import ArrayTolerance
from .vectors import Vector

__tracebackhide__ = True

CLOSE = "agrees to the precision of the type"  # a note of comparisons in half precision


class IntervalMean(NamedTuple):
    """The mean of a directional derivative over an interval.

    Attributes:
        analytic: the mean of the derivative that is checked.
        mismatch: the mean of the numerical derivative, less `analytic`.
        rounding: the rounding error of the values of the function that is differentiated.
        noise: the error of `mismatch` that comes from rounding.
        bias: the error of `mismatch` that comes from curvature.
        jumps: the error of `mismatch` that comes from single jumps of the function, which its derivative does not have.
        noise_beside_curvature: like `noise`, but the scatter is measured around a parabola. The curvature that a wrong
            derivative leaves in the values, which looks like noise, is then not part of it.
    """

    analytic: float
    mismatch: float
    rounding: float
    noise: float
    bias: float
    jumps: float = 0.0
    noise_beside_curvature: float = math.inf


def mean_over_interval(phi: DirectionalFunction, h: float) -> IntervalMean | None:
    """Return the mean over [-h, h] of the derivative of `phi` that is checked, and its mismatch with the numerical one.

    `phi` is a weighted sum of the outputs of a function. None is returned if `phi` does not change over the interval,
    or if a value or derivative is not finite.

    If the derivative that is checked is correct, the change of `phi` less the integral of that derivative is a constant
    plus noise. A straight line is fitted to this difference: its slope is the mismatch, and the scatter around the line
    is the noise. If the derivative is wrong, the difference is curved where `phi` is. A parabola, which has the same
    slope in the middle, tells this curvature from noise.

    If there are very many numbers in half precision (`Problem.few_comparisons`), fewer values of `phi` are computed at
    points other than the problem's own: only the verdict is needed there.
    """
    few = phi.problem.few_comparisons and phi.x is not phi.problem.x
    ts = np.linspace(-h, h, FEW_INTERVAL_POINTS if few else INTERVAL_POINTS)
    changes, integral, error = changes_and_integrals(phi, ts)
    if not changes.any() or not np.isfinite(integral).all() or not np.isfinite(changes).all():
        return None
    rest = changes - integral
    mismatch = float(ts @ rest / (ts @ ts))
    scatter = rest - np.mean(rest) - mismatch * ts
    even = ts * ts - np.mean(ts * ts)  # orthogonal to a constant and to `ts`
    curved = scatter - float(even @ scatter / (even @ even)) * even
    least, size = LEAST_SCATTER * phi.rounding, norm(ts)
    spread, straight = (
        max(norm(left) / math.sqrt(ts.size - count), least) for left, count in ((scatter, 2), (curved, 3))
    )
    noise = SCATTERS * spread / size
    jumps = math.fabs(float(ts @ _jumps(rest, phi.rounding)) / float(ts @ ts))
    mean, bias = float(integral[-1]) / (2.0 * h), error / (2.0 * h)
    return IntervalMean(mean, mismatch, spread, noise, bias, jumps, SCATTERS * straight / size)


def _jumps(rest: Vector, rounding: float) -> Vector:
    """Return the part of `rest` that consists of single jumps between neighbouring points.

    `rest` has a number for each point: the change of the function up to the point, less the integral of its derivative.
    If the derivative is wrong, this difference grows from point to point. If two kinks lie between neighbouring points,
    no point shows the slope between the kinks, so the difference jumps there, and does not grow elsewhere. A jump
    differs from the median change by far more than most changes do, and by far more than `rounding`, the rounding error
    of the function's values.
    """
    changes = np.diff(rest)
    off = changes - np.median(changes)
    least = max(USUAL_BENDS * float(np.median(np.abs(off))), FEATURE * rounding)
    found: Vector = np.cumsum([0.0, *np.where(np.abs(off) > least, off, 0.0)])
    return found


def compare_interval_means(
    phi: DirectionalFunction,
    title: str,
    tolerance: ArrayTolerance,
    settled: Callable[[Comparison, Problem], bool] = lambda comparison, problem: False,
) -> Comparison | None:
    """Compare the means of two derivatives, the checked one and the numerical one, over an interval around the point.

    If noise or curvature hides whether the two agree, intervals of other lengths are tried. None is returned if no mean
    could be computed.

    Args:
        phi: the function of one number that is differentiated.
        title: the name of the derivative.
        tolerance: how exact the numerical derivative must be, and how far the checked one may be from it.
        settled: takes a comparison that is not as exact as `tolerance` demands, and returns whether it calls the
            derivative right all the same.
    """
    tolerance = tolerance._replace(analytic_error=0.5 * tolerance.analytic_error)  # the error of a mean is smaller
    best: Comparison | None = None
    following: float | None = 1.0
    while following:
        h = following
        over = mean_over_interval(phi, h)
        if over is None:
            following = NEXT_SMALLER.get(h)
            continue
        mean, mismatch, noise, bias = over.analytic, over.mismatch, over.noise, over.bias + over.jumps
        e = Estimate(mean + mismatch, (noise + bias) / ESTIMATED_ERRORS, noise / ESTIMATED_ERRORS)
        agrees = math.fabs(mismatch) <= tolerance.allowed_error(mean, e)
        is_exact = tolerance.is_exact_enough(e, mismatch if agrees else 0.0)
        if not is_exact and phi.problem.half_precision and over.noise_beside_curvature < CURVED_SHARE * noise:
            noise = over.noise_beside_curvature  # it may be a mistake, whose curvature looks like noise
        least = Estimate(e.slope, (noise + bias) / ESTIMATED_ERRORS, noise / ESTIMATED_ERRORS)
        allowed = tolerance.allowed_error(mean, least)
        sure = math.fabs(mismatch) > 2.0 * allowed and allowed < SURE_SHARE * max(math.fabs(e.slope), math.fabs(mean))
        if is_exact or sure:
            e, agrees = (e, agrees) if is_exact else (least, False)
            # Next to the problem's own point, only the verdict counts.
            # Of very many numbers, noise usually hides the order, which only messages show, and calls take long.
            told = not agrees and phi.x is phi.problem.x and not phi.problem.few_comparisons
            order = taylor_order(phi, 0.0, phi.analytic, over.rounding) if told else math.nan
            return Comparison(title, mean, e, agrees, f"means over steps of {h:g} to both sides", remainder_order=order)
        unclear = Comparison(title, mean, e, None, noise_note(over.rounding), noisy=True)
        if settled(unclear, phi.problem):
            return unclear._replace(agrees=True, note=CLOSE, noisy=False)
        if best is None or e.error < best.numeric.error:
            best = unclear
        hopeless = over.noise > max(math.fabs(mean), math.fabs(e.slope))  # half as much noise would tell nothing either
        following = NEXT_SMALLER.get(h) if over.noise < bias else None if hopeless else NEXT_LARGER.get(h)
    return best


def changes_and_integrals(phi: DirectionalFunction, ts: Vector) -> tuple[Vector, Vector, float]:
    """Return the change of `phi` at each t, the integrals of its derivative, and the error of the last integral.

    `phi` is a weighted sum of outputs along a direction. The derivative of `phi` that is checked is integrated from the
    first t to each t, by the trapezoidal rule. The rule uses the points as they are after rounding to the arguments'
    types. The error is estimated from second differences of the derivative, which show its curvature, noise and jumps.
    """
    changes, slopes, before, after = np.zeros((4, len(ts)))
    problem, equal, point, gradient = phi.problem, (ts[1] - ts[0]) * phi.v, None, None
    exact, *moves = np.empty((3, phi.v.size))  # these vectors may be large, so the same memory serves at each point

    def slope(d: Vector, x: Vector) -> float:
        return phi.analytic_along(d, x) if gradient is None else dot(gradient, d) / phi.divisor

    for k, t in enumerate((*ts, None)):  # few points are kept at a time
        following = following_gradient = None
        if t is not None:
            np.multiply(phi.v, t, out=exact)
            exact += phi.x
            y, x, following_gradient = problem.evaluate_with_gradient(exact, phi.u)
            following, changes[k] = x.copy(), phi.change(y)
        if point is not None:
            slopes[k - 1] = slope(equal, point)
            if k > 1:
                before[k - 1] = slope(moves[(k - 1) % 2], point)
            if following is not None:
                after[k - 1] = slope(np.subtract(following, point, out=moves[k % 2]), point)
        point, gradient = following, following_gradient
    integral, bends = np.cumsum([0.0, *0.5 * (after[:-1] + before[1:])]), np.diff(slopes, 2)
    curvature = HALVED_CURVATURE * math.fabs(float(np.sum(bends[::2])))
    usual = float(np.median(np.abs(bends)))
    jumps = JUMP_SHARE * float(np.sum(np.maximum(np.abs(bends) - USUAL_BENDS * usual, 0.0)))
    # Curvature that changes little from point to point is no noise, and differences of high order hardly show it.
    scatter = min(usual, *(part * float(np.median(np.abs(np.diff(bends, n)))) for n, part in NOISE_OF_DIFFERENCES))
    noise = INTEGRAL_SCATTERS * scatter * math.sqrt(len(ts))
    return changes, integral, curvature + jumps + noise
