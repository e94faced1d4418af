"""Look for an element or an output whose derivative is far off, once the derivative along a direction is wrong."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..numeric.numerical import central_quotient
from ..numeric.thresholds import AROUND_CENTRE, CLEAR_OUTPUT_MISMATCH, MANY_TO_HALVE
from .analytic import dot
from .directional_function import DirectionalFunction
from .problem import Problem
from .vectors import Indices, Vector

__tracebackhide__ = True


def worst_element(phi: DirectionalFunction) -> int:
    """Return the index of an element with a large mismatch.

    The mismatch of an element is the numerical derivative with respect to it, less the derivative that is checked.
    `phi` is the weighted sum of the outputs along a direction, and its derivative is wrong. The element that
    contributes most to the wrong derivative is tried first. It is returned if its mismatch is at least the average over
    all elements that the direction moves. Otherwise, the elements are narrowed down to those around the index at which
    the mismatch is centred (see `_around_centre`), as long as they have at least half of it, and then by bisection.
    """
    some, problem = phi.moved_elements, phi.problem
    total = _mismatch_of(phi) if phi.x is problem.x else mismatch_along(problem, phi.u, phi.v)
    g = problem.derivative.gradient(problem.x, phi.u)
    if g is not None:
        steepest = int(some[np.argmax(np.abs(g[some] * phi.v[some]))])
        along = problem.element_direction(steepest)
        part = float(phi.v[steepest] / along[steepest])
        if some.size * math.fabs(part * mismatch_along(problem, phi.u, along)) >= math.fabs(total):
            return steepest

    def mismatch(part: Indices) -> float:
        return mismatch_along(problem, phi.u, _masked(phi.v, part))

    while some.size > MANY_TO_HALVE:
        around = _around_centre(phi, some, total)
        of_part = mismatch(around) if around.size else 0.0
        if not math.fabs(of_part) >= 0.5 * math.fabs(total):
            break
        some, total = around, of_part
    return _bisect(some, total, mismatch)


def _around_centre(phi: DirectionalFunction, some: Indices, total: float) -> Indices:
    """Return the elements of `some` around the one at which the mismatch is centred; an empty array if there is none.

    The mismatch is the numerical derivative less the checked one, along a direction that moves the elements `some`. It
    is `total` if each element moves by its entry in `phi.v`. It is computed once more with weights: each element moves
    by its entry in `phi.v` times a weight, which grows evenly from 0.5 for the first element of `some` to 1 for the
    last. The new mismatch divided by `total` is the mean weight of the wrong elements, so it shows where in `some`
    their mismatch is centred, like a centre of mass. A single wrong element lies there, so this takes far fewer calls
    than halving. The centre of several wrong elements may have no wrong element around it.
    """
    weights = np.linspace(0.5, 1.0, some.size)
    weighted = _masked(phi.v, some)
    weighted[some] *= weights
    share = mismatch_along(phi.problem, phi.u, weighted) / total if total else math.nan
    if not 0.5 <= share <= 1.0:
        return some[:0]
    centre, reach = round((2.0 * share - 1.0) * (some.size - 1)), round(AROUND_CENTRE * some.size)
    return some[max(centre - reach, 0) : centre + reach + 1]


def mismatch_along(problem: Problem, u: Vector, v: Vector) -> float:
    """Return the numerical derivative of u · f along the direction `v`, less the derivative that is checked.

    u · f is the sum of the outputs with the weights `u`. The numerical derivative takes two calls of f. The result
    is 0.0 if the numerical derivative is infinite or nan.
    """
    return _mismatch_of(DirectionalFunction(problem, u, v, problem.x))


def _mismatch_of(phi: DirectionalFunction) -> float:
    """Return the numerical derivative of u · f along the direction of `phi`, less the derivative that is checked.

    u · f is the weighted sum of the outputs. `phi` is this sum along the direction, divided by `phi.divisor`, so the
    difference of its two derivatives is multiplied by `phi.divisor`. The result is 0.0 if the numerical derivative is
    infinite or nan.
    """
    numeric = central_quotient(phi, 0.0, phi.problem.steps.first_steps[2])
    return (numeric - phi.analytic) * phi.divisor if math.isfinite(numeric) else 0.0


def wrong_output(phi: DirectionalFunction) -> Vector:
    """Return a vector of weights: 1.0 for an output whose derivative is far off, and 0.0 for all other outputs.

    `phi` is the weighted sum of the outputs along a direction, and its derivative is wrong. First the output is tried
    that contributes most to the numerical derivative of `phi`. It is chosen if its own derivative is clearly wrong, if
    at least half of the mismatch of `phi` comes from it, or if the derivative of `phi` that is checked is infinite or
    nan. Otherwise, bisection finds an output.
    """
    problem = phi.problem
    h = problem.steps.first_steps[2]
    above, below = (problem.value(problem.arguments.rounded(problem.x + t * phi.v)) for t in (h, -h))
    numeric = (above - below) / (2.0 * h)
    steepest = int(np.argmax(np.where(phi.u != 0.0, np.nan_to_num(np.abs(numeric * phi.u)), -1.0)))
    of_one = problem.unit_cotangent(steepest)
    if not math.isfinite(phi.analytic):
        return of_one

    def mismatch(u: Vector) -> float:
        return dot(numeric, u) - problem.derivative.slope(problem.x, u, phi.v)

    of_steepest, total = mismatch(of_one), mismatch(phi.u)
    if math.fabs(of_steepest) > CLEAR_OUTPUT_MISMATCH * math.fabs(numeric[steepest]):
        return of_one
    if math.fabs(phi.u[steepest] * of_steepest) >= 0.5 * math.fabs(total):  # it makes up most of the mismatch
        return of_one
    found = _bisect(np.flatnonzero(phi.u), total, lambda part: mismatch(_masked(phi.u, part)))
    return problem.unit_cotangent(found)


def _bisect(some: Indices, total: float, mismatch: Callable[[Indices], float]) -> int:
    """Return one of the indices `some`: they are halved again and again, and the half with the larger mismatch is kept.

    `mismatch` takes an array of indices, and returns their mismatch: how far the derivative is off if only the elements
    or outputs with these indices take part in it. `total` is the mismatch of all indices.
    """
    while some.size > 1:
        left, right = np.array_split(some, 2)
        of_left = mismatch(left)
        of_right = total - of_left
        some, total = (left, of_left) if math.fabs(of_left) >= math.fabs(of_right) else (right, of_right)
    return int(some.item())


def _masked(x: Vector, some: Indices) -> Vector:
    """Return the vector `x`, but with 0 in place of the entries whose indices are not in `some`."""
    masked = np.zeros(x.size)
    masked[some] = x[some]
    return masked
