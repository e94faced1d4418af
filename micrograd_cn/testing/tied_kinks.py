"""Find kinks at points where several elements are equal, as for sorting; one direction alone may not show them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from .directional_function import DirectionalFunction
from .vectors import Vector, tied

__tracebackhide__ = True

TRIED_DIRECTIONS = 8  # so many directions are tried; at three equal numbers, half of all directions show the kink


def has_tied_kink(phi: DirectionalFunction) -> bool:
    """Return whether f has a kink at the point because some of its numbers are equal.

    There, the derivatives along two directions do not add up to that along their sum, even if f is smooth along each of
    them. An example is the median of three equal numbers: it does not change when a single one moves. Or f has a kink
    along each half of a direction, even if the kinks cancel along the whole, as those of relu at many zeros do.
    """
    equal = phi.problem.tied_elements if phi.x is phi.problem.x else tied(phi.x)
    moved = np.count_nonzero(equal & (phi.v != 0.0))
    if not moved:
        return False
    several = moved > 1
    for directions in _halves(phi) if several else _with_other_ties(phi, equal):
        functions = [DirectionalFunction(phi.problem, phi.u, v, phi.x) for v in directions]
        if _stays_nonzero(functions, _additivity_terms) or (
            several and any(_stays_nonzero([half], _one_sided_terms) for half in functions[:2])
        ):
            return True
    return False


def _halves(phi: DirectionalFunction) -> Iterator[tuple[Vector, Vector, Vector]]:
    """Yield two random parts of the direction that add up to it, and the direction itself.

    The first time, the parts move the numbers that grow, and those that shrink.
    """
    random, v = np.random.default_rng(0), phi.v
    for k in range(TRIED_DIRECTIONS):
        first = np.where(random.random(v.size) < 0.5 if k else v > 0.0, v, 0.0)
        yield first, v - first, v


def _with_other_ties(phi: DirectionalFunction, equal: NDArray[np.bool_]) -> Iterator[tuple[Vector, Vector, Vector]]:
    """Yield the direction of `phi`, a random one, and their sum.

    The random direction moves only elements that are equal to others, and that the direction of `phi` does not move.
    """
    random, v = np.random.default_rng(0), phi.v
    for _ in range(TRIED_DIRECTIONS):
        other = np.where(equal & (v == 0.0), random.normal(size=v.size) * phi.problem.scale, 0.0)
        yield v, other, v + other


def _additivity_terms(functions: Sequence[DirectionalFunction], h: float) -> list[float]:
    """Return quotients with step h along two directions, and minus that along their sum, from three functions.

    If f is smooth, the sum of the three vanishes with h.
    """
    a, b, both = (phi(h) / h for phi in functions)
    return [a, b, -both]


def _one_sided_terms(functions: Sequence[DirectionalFunction], h: float) -> list[float]:
    """Return the quotients with steps h and -h of a single function; if f is smooth, their sum vanishes with h."""
    [phi] = functions
    return [phi(h) / h, phi(-h) / h]


def _stays_nonzero(
    functions: Sequence[DirectionalFunction], quotients: Callable[[Sequence[DirectionalFunction], float], list[float]]
) -> bool:
    """Return whether a sum of difference quotients does not vanish with the step, as it would if f were smooth.

    The sum must exceed noise, and be about the same for two steps. `quotients` returns its terms for a step.
    """
    sums = []
    for h in functions[0].problem.steps.first_steps[2:4]:
        terms = quotients(functions, h)
        sums.append(math.fabs(math.fsum(terms)))
        if sums[-1] <= max(1e-2 * max(map(math.fabs, terms)), 20.0 * functions[0].rounding / h):
            return False
    return 0.5 * sums[0] < sums[1] < 2.0 * sums[0]
