"""Whether a function has a corner at a point, where many kinks meet, which a single line may not show."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from .directional_function import DirectionalFunction
from .vectors import Vector, tied

__tracebackhide__ = True

CORNERS = 8  # directions that are tried to see a corner: of three equal numbers, half of them show it


def is_corner(line: DirectionalFunction) -> bool:
    """Return whether f has a corner where numbers are equal.

    Derivatives along directions that move different numbers do not add up there, though along each the function may be
    smooth, as the middle one of three equal numbers is along one of them. Or the function bends along halves of a
    direction, though it may be smooth along the whole of it, as relu is at many zeros where their bends cancel.
    """
    equal = line.problem.equal if line.x is line.problem.x else tied(line.x)
    moved = np.count_nonzero(equal & (line.v != 0.0))
    if not moved:
        return False
    several = moved > 1
    for directions in _halves(line) if several else _besides(line, equal):
        lines = [DirectionalFunction(line.problem, line.u, v, line.x) for v in directions]
        if _lasting(lines, _departure) or (several and any(_lasting([half], _sides) for half in lines[:2])):
            return True
    return False


def _halves(line: DirectionalFunction) -> Iterator[tuple[Vector, Vector, Vector]]:
    """Yield halves of a direction, and the whole: first what goes up, which is where it goes uphill, and down."""
    random, v = np.random.default_rng(0), line.v
    for k in range(CORNERS):
        first = np.where(random.random(v.size) < 0.5 if k else v > 0.0, v, 0.0)
        yield first, v - first, v


def _besides(line: DirectionalFunction, equal: NDArray[np.bool_]) -> Iterator[tuple[Vector, Vector, Vector]]:
    """Yield a direction, others that move numbers which are equal to others and stay along it, and their sum."""
    random, v = np.random.default_rng(0), line.v
    for _ in range(CORNERS):
        other = np.where(equal & (v == 0.0), random.normal(size=v.size) * line.problem.scale, 0.0)
        yield v, other, v + other


def _departure(lines: Sequence[DirectionalFunction], h: float) -> list[float]:
    """Return the quotients of which the last is the sum of the others along directions that add, where f is smooth."""
    a, b, both = (line(h) / h for line in lines)
    return [a, b, -both]


def _sides(lines: Sequence[DirectionalFunction], h: float) -> list[float]:
    """Return the quotients on both sides, which cancel where f is smooth."""
    [line] = lines
    return [line(h) / h, line(-h) / h]


def _lasting(
    lines: Sequence[DirectionalFunction], quotients: Callable[[Sequence[DirectionalFunction], float], list[float]]
) -> bool:
    """Return whether a sum of quotients is no noise and stays in small steps: where f is smooth it becomes 0."""
    sums = []
    for h in lines[0].problem.steps.first[2:4]:
        terms = quotients(lines, h)
        sums.append(math.fabs(math.fsum(terms)))
        if sums[-1] <= max(1e-2 * max(map(math.fabs, terms)), 20.0 * lines[0].rounding / h):
            return False
    return 0.5 * sums[0] < sums[1] < 2.0 * sums[0]
