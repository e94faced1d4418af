"""Tell whether a function f has features, such as the teeth of a sawtooth, that are narrower than the steps.

Numerical derivatives may miss such features at points far from 0, since their steps grow with the point. At 1e5 in
float32, even the finest steps are about as long as a tooth of x - floor(x), and most steps show only the mean slope of
many teeth. If x moves by a few of its last bits only, f has another slope, namely that of the tooth. But f also has
another slope in such short moves if rounding makes a staircase of it. The two cases are told apart at points that are
nearer to 0: there, rounding is finer, and the teeth are as high as before.
"""

from __future__ import annotations

import math

import numpy as np

from ..numeric.numerical import central_quotient
from ..numeric.thresholds import (
    FEATURE,
    KEPT_HEIGHT,
    LONG_DIFFERENCE,
    MUCH_SMALLER,
    NEARER_POINTS,
    OFF_SLOPE,
    OTHER_SLOPE,
    SHORT_MOVES,
    SHORTEST_MOVE,
    SLOPE_STEPS,
    STRAIGHT,
    STRAIGHT_MOVES,
)
from .directional_function import DirectionalFunction
from .vectors import Vector

__tracebackhide__ = True


def takes_long_steps(phi: DirectionalFunction) -> bool:
    """Return whether numerical steps may pass over features of f that are about as wide as 1.

    `phi` is f along a line, and such a feature is, for example, a tooth of the sawtooth x - floor(x). The result is
    False in half precision, where no derivative at a point is compared, but the mean slope over an interval.
    """
    step = phi.problem.steps.first_steps[2]
    if phi.problem.half_precision or step * step * float(phi.v.dot(phi.v)) < LONG_DIFFERENCE * LONG_DIFFERENCE:
        return False  # no element moves farther than the norm of the move tells
    return longest_move(phi, step) >= LONG_DIFFERENCE


def longest_move(phi: DirectionalFunction, step: float) -> float:
    """Return the largest distance that an element moves if the point moves by `step` times the direction of `phi`."""
    return step * float(np.abs(phi.v).max(initial=0.0))


def has_features(phi: DirectionalFunction) -> bool:
    """Return whether f has features, such as teeth, that steps at the point may miss, and that are not rounding.

    Features are about as high at a point nearer to 0, and what rounding makes is lower there. So the heights at the
    point of `phi` and at a point nearer to 0 are compared. If neighbouring floats at the point of `phi` are too far
    apart to show features, the comparison is repeated for a pair of points nearer to 0.
    """
    x, arguments = phi.x, phi.problem.arguments
    moved = np.zeros(x.size, bool)  # whole arrays, since an element shares the rounding of the others in its array
    for place in arguments.slices():
        moved[place] = (phi.v[place] != 0.0).any()
    if _coarse(phi, x):
        phi.problem.budget.lift_limit()
    for k in range(NEARER_POINTS):
        move = _shortest_move(phi, x)
        if _has_short_slope(_Changes(phi, x, move, MUCH_SMALLER**-k)):
            phi.problem.budget.lift_limit()
            return True
        if height := _height(phi, x, move):
            phi.problem.budget.lift_limit()
            nearer = _height(phi, np.where(moved, x / MUCH_SMALLER**2, x), move)
            if height / KEPT_HEIGHT <= nearer <= KEPT_HEIGHT * height:
                return True
        if not _coarse(phi, x):
            return False
        x = np.where(moved, x / MUCH_SMALLER, x)
    return False


def has_slope(phi: DirectionalFunction, slope: float) -> bool:
    """Return whether the difference quotient of `phi` over very short steps is about `slope`.

    These steps are shorter than narrow features of f, such as the teeth of a sawtooth. The two slopes may differ by up
    to half of the larger one.
    """
    near = central_quotient(phi, 0.0, SHORTEST_MOVE / longest_move(phi, 1.0))
    return math.fabs(near - slope) <= 0.5 * max(math.fabs(near), math.fabs(slope))


def _coarse(phi: DirectionalFunction, x: Vector) -> bool:
    """Return whether floats at `x` are so far apart that steps skip features of f about as wide as 1, such as teeth."""
    return float(np.max(_spacings(phi, x))) >= SHORTEST_MOVE


def _spacings(phi: DirectionalFunction, x: Vector) -> Vector:
    """Return the distances from `x` to the next number of the arguments' type, for each element.

    The distance is 0 for elements that do not move along the direction of `phi`.
    """
    eps = phi.problem.arguments.eps
    _, exponent = np.frexp(np.abs(x))
    spacings: Vector = np.where(phi.v != 0.0, np.ldexp(eps, exponent - 1), 0.0)
    return spacings


def _shortest_move(phi: DirectionalFunction, x: Vector) -> Vector:
    """Return a move of each element that `phi` moves: an odd count of its spacings, and about `SHORTEST_MOVE`.

    The spacing of an element is the distance from its number to the next number of its type. So a move of a whole
    number of spacings is exact. The count is odd, and at least three, so that a function with a period of two spacings,
    or of any other even count, does not have the same value after the move.
    """
    spacings = _spacings(phi, x)
    half = np.maximum(1.0, np.floor(0.5 * SHORTEST_MOVE / np.where(spacings > 0.0, spacings, 1.0)))
    move: Vector = (2.0 * half + 1.0) * spacings * np.sign(phi.v)
    return move


class _Changes:
    """How far each output changes if the point `x` is moved by a multiple of the vector `move`.

    An object of this class is a function, which takes the multiple and returns the changes.

    Attributes:
        phi: the function f along a direction.
        long: the multiple of `move` that is called a long move, rounded to an odd number. In a long move, an element
            goes about as far as in `part * SLOPE_STEPS` times the step `Steps.first_steps[2]`, where `part` is the last
            argument of `__init__`.
        last_bits: half of the last bit of each output.
    """

    def __init__(self, phi: DirectionalFunction, x: Vector, move: Vector, part: float = 1.0) -> None:
        self.phi, self._problem, self._x, self._move = phi, phi.problem, x, move
        self._here = phi.outputs if x is phi.x else phi.problem.value(phi.problem.arguments.rounded(x))
        reach = part * SLOPE_STEPS * phi.problem.steps.first_steps[2] * float(np.max(np.abs(phi.v)))
        self.long = 2.0 * round(0.5 * reach / float(np.max(np.abs(move)))) + 1.0
        self.last_bits: Vector = 0.5 * phi.problem.eps * np.abs(self._here)

    def __call__(self, times: float) -> Vector:
        """Return the changes of the outputs if the vector `times` · `move` is added to the point."""
        point = self._problem.arguments.rounded(self._x + times * self._move)
        changes: Vector = self._problem.value(point) - self._here
        return changes


def _has_short_slope(changes: _Changes) -> bool:
    """Return whether an output changes linearly in short moves to one side, with another slope than in long moves.

    This tells teeth of f from rounding. The teeth of x * (x - floor(x)) grow with x, as rounding does. But the treads
    of the staircase that rounding makes of f have the slope 0. The slope of an output in long moves counts as another
    one only if the output is far less steep there, or if its slopes in long moves to the left and to the right are
    about the same. Neither is so for a smooth function that is curved, such as exp.
    """
    long = changes.long
    right, left = changes(long), changes(-long)
    slope = (right - left) / (2.0 * long)
    steepest = np.maximum(np.abs(right), np.abs(left)) / long
    even = np.abs(right + left) <= OTHER_SLOPE * np.maximum(np.abs(right), np.abs(left))
    shortest, *others = STRAIGHT_MOVES
    for sign in (1.0, -1.0):
        once = changes(sign * shortest)
        near = sign * once / shortest
        steep = np.abs(near)
        straight = (np.abs(once) > FEATURE * changes.last_bits) & (changes.phi.u != 0.0)
        for move in others:
            straight &= np.abs(changes(sign * move) - sign * move * near) <= STRAIGHT * np.abs(once)
        off = np.abs(near - slope) > OTHER_SLOPE * np.maximum(steep, steepest)
        if (straight & off & (even | (OTHER_SLOPE * steep > steepest))).any():
            return True
    return False


def _height(phi: DirectionalFunction, x: Vector, move: Vector) -> float:
    """Return how far f is from a straight line through `x`, as seen in several short moves.

    Each move goes a multiple of `move` away from `x`. The line has the slope of f in a long move. The distance in a
    short move is the sum over the outputs, weighted by the outputs' weights, of how far the output is from its line.
    An output does not count if its own last bits explain this, or if it is far less than the change that the slope
    predicts. The result is the second largest of the distances, since the largest may be that of a rare jump.
    """
    changes = _Changes(phi, x, move)
    long = changes.long
    right, left = changes(long), changes(-long)
    slope = (right - left) / (2.0 * long)
    steepest = np.maximum(np.abs(right), np.abs(left)) / long
    bits, heights = changes.last_bits, []
    for times in SHORT_MOVES:
        off = np.abs(changes(times) - times * slope)
        seen = off > np.maximum(FEATURE * bits, OFF_SLOPE * math.fabs(times) * steepest)
        heights.append(float(np.abs(phi.u[seen]).dot(off[seen])))
    return sorted(heights)[-2]
