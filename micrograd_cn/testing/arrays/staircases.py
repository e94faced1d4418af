"""Tell whether a function that does not change in small steps is a step function, such as floor, or is rounded.

For example, rounding makes a staircase of 1 - cos(x) near 0: the computed values stay the same in small steps, and then
jump by the last bit of 1. At 0 the value is 0, so its own last bit does not show how far it is rounded, but the height
of a tread does. A step function such as floor looks similar, but it has few treads, and they are high.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..numeric.thresholds import (
    BISECTIONS,
    CHANGING_SHARE,
    CONTINUED_STEPS,
    FAR,
    FAR_STEP,
    GROWTH,
    HALF_PRECISION_JUMP,
    LEAST_SUBNORMALS,
    LOW_STEP_BITS,
    MANY_TREADS,
    MAX_CONTINUOUS_START,
    MUCH_SMALLER,
    NEXT_STEPS,
    STEP_BITS,
    TREADS_SEEN,
)
from .directional_function import DirectionalFunction
from .vectors import Vector

__tracebackhide__ = True


class Tread(NamedTuple):
    """The tread of a staircase around the point, along a direction.

    Attributes:
        width: the step after which the function first changes.
        height: how far the function jumps there. It is small if the function begins to change continuously.
        is_rounding: whether the function has so many treads that rounding may have made them.
        is_mask: whether the function does not jump there, but begins to change continuously, as relu does at 0.
    """

    width: float
    height: float
    is_rounding: bool
    is_mask: bool = False


def tread_of(phi: DirectionalFunction) -> Tread | None:
    """Return the narrower of the two treads on both sides of the point; None if an output changes in the finest steps.

    A tread is an interval in which no output changes. None is also returned if no output changes in large steps. The
    changes of single outputs count, and not that of their weighted sum, in which they may cancel.
    """
    finest = phi.problem.steps.finest
    if _total_change(phi, finest) != 0.0 or _total_change(phi, -finest) != 0.0:
        return None
    moved = phi.moved_elements
    longest = float(np.max(np.abs(phi.v[moved]), initial=0.0))
    if not longest:
        return None
    reach = FAR * max(1.0, 1.0 / longest, float(np.max(np.abs(phi.x[moved]))) / longest)
    if not (_total_change(phi, reach) or _total_change(phi, -reach)):
        return None
    found = [tread for sign in (1.0, -1.0) if (tread := _tread_on(phi, sign, finest, reach))]
    return min(found, default=None)


def _tread_on(phi: DirectionalFunction, sign: float, finest: float, reach: float) -> Tread | None:
    """Return the tread on one side of the point; None if no output changes in steps up to `reach`.

    A tread is an interval in which no output changes. `sign` is 1.0 for the side of the direction, and -1.0 for the
    other side. In the step `finest`, no output changes.
    """
    still, changed = finest, finest
    while _total_change(phi, sign * changed) == 0.0:
        if changed >= reach:
            return None
        still, changed = changed, changed * GROWTH
    for _ in range(BISECTIONS):
        middle = math.sqrt(still * changed)
        if _total_change(phi, sign * middle) == 0.0:
            still = middle
        else:
            changed = middle
    height = _total_change(phi, sign * changed)
    treads = 2.0 ** (MANY_TREADS * phi.problem.bits)
    highest = max(_total_change(phi, sign * changed * treads**part) for part in (1.0, 0.5))
    is_mask = height < MAX_CONTINUOUS_START * max(_total_change(phi, sign * changed * part) for part in CONTINUED_STEPS)
    return Tread(changed, height, highest > TREADS_SEEN * treads * height, is_mask)


def _total_change(phi: DirectionalFunction, t: float) -> float:
    """Return the sum of |u_j| times |change of output j| in the step t, divided by the divisor of `phi`.

    u_j is the weight of output j.
    """
    return float(np.abs(phi.u).dot(_changes(phi, phi.x, phi.outputs, t * phi.v))) / math.fabs(phi.divisor)


def is_step_function(phi: DirectionalFunction) -> bool:
    """Return whether f is a step function along the direction of `phi`, so its slope at the point is 0.

    The outputs of a step function stay the same in the smallest steps, or jump at the point itself. At least half of
    them jump by far more than rounding could explain. In half precision, rounding may change some outputs in the
    smallest steps, but at least half must stay the same. In other types, two calls of f suffice to return False if an
    output changes in the smallest steps by less than a jump.
    """
    problem, half = phi.problem, phi.problem.half_precision
    here, weighted = np.abs(phi.outputs), phi.u != 0.0
    smallest = problem.eps * np.abs(phi.x) * np.sign(phi.v) if half else problem.steps.finest * phi.v
    at_once = [_changes(phi, phi.x, phi.outputs, move) for move in (smallest, -smallest)]
    moved_at_once = (at_once[0] != 0.0) | (at_once[1] != 0.0)
    tall = 2.0 ** (-STEP_BITS * problem.bits) * here
    if not half and (moved_at_once & weighted & (np.maximum(*at_once) < tall)).any():  # others jump at the point itself
        return False
    if not half:  # on each side of the point, a step function keeps its value; rounding alone changes it all the time
        for part in NEXT_STEPS:
            other = weighted & (_changes(phi, phi.x, phi.outputs, part * smallest) != at_once[int(part < 0.0)])
            if np.count_nonzero(other) > CHANGING_SHARE * np.count_nonzero(weighted):
                return False
    problem.budget.lift_limit()
    jumps, farthest = _first_jumps(phi, phi.x, phi.outputs)
    jumps = np.where(at_once[0] != 0.0, at_once[0], np.where(at_once[1] != 0.0, at_once[1], jumps))
    moving = weighted & (jumps > (0.0 if half else LEAST_SUBNORMALS) * problem.outputs.smallest_subnormal)
    count = np.count_nonzero(moving)
    if not count or (half and 2 * np.count_nonzero(~moved_at_once & moving) < count):
        return False
    if half:
        return bool(2 * np.count_nonzero((jumps >= HALF_PRECISION_JUMP * problem.eps * here) & moving) >= count)
    for direction in (
        np.sign(phi.v),
        FAR_STEP * np.sign(phi.v),
    ):  # rounding has many more treads than the steps have shown
        farthest = np.maximum(farthest, _changes(phi, phi.x, phi.outputs, direction))
    height = jumps / np.maximum(farthest, here, out=np.ones(here.size), where=moving)
    if 2 * np.count_nonzero((height >= 2.0 ** -(STEP_BITS * problem.bits)) & moving) >= count:
        return True
    if 2 * np.count_nonzero((height >= 2.0 ** -(LOW_STEP_BITS * problem.bits)) & moving) < count:
        return False
    nearer = problem.arguments.rounded(phi.x / MUCH_SMALLER)  # rounding in a coarser type makes lower treads there
    others, _ = _first_jumps(phi, nearer, problem.value(nearer))
    return bool(2 * np.count_nonzero((others >= 0.5 * jumps) & moving) >= count)


def _first_jumps(phi: DirectionalFunction, x: Vector, here: Vector) -> tuple[Vector, Vector]:
    """Return the first change and the largest change of each output, in growing steps from `x` to both sides in turn.

    `here` has the outputs at `x`.
    """
    problem, half = phi.problem, phi.problem.half_precision
    jumps, farthest = np.zeros(here.size), np.zeros(here.size)
    first = -problem.bits if half else math.log2(problem.steps.finest) + 1.0
    for k, h in enumerate((2.0 ** np.arange(first, 4.0, 1.0 if half else 2.0)).tolist()):
        change = _changes(phi, x, here, (h if k % 2 else -h) * phi.v)
        jumps = np.where(jumps == 0.0, change, jumps)
        farthest = np.maximum(farthest, change)
    return jumps, farthest


def _changes(phi: DirectionalFunction, x: Vector, here: Vector, move: Vector) -> Vector:
    """Return how far each output changes if `x` is moved by `move`; 0 for an output that is not finite there.

    `here` has the outputs at `x`.
    """
    change: Vector = np.abs(phi.problem.value(phi.problem.arguments.rounded(x + move)) - here)
    change[~np.isfinite(change)] = 0.0
    return change
