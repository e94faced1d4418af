"""Find kinks that do not show along one direction alone.

At kinks of one kind, several elements are equal, as in sorting and in the median. At kinks of the other kind, each of
several elements is at a kink, and along the direction these kinks cancel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from ..numeric.thresholds import (
    EXPLAINING_KINK,
    KINK_NOISE,
    KINK_SHARE,
    MANY_TIES,
    SAME_SUMS,
    SHORT_DIGITS,
    SHORT_SHARE,
    SHORTER_STEP,
    SHORTEST_MOVED_PART,
    TRIED_AMONG_MANY,
    TRIED_DIRECTIONS,
    UNEVEN_DIRECTIONS,
)
from .directional_function import DirectionalFunction
from .vectors import Vector, tied

__tracebackhide__ = True


def has_tied_kink(phi: DirectionalFunction, mismatch: float = math.inf) -> bool:
    """Return whether the function in `phi` has a kink at the point because some elements of the point are equal.

    At such a kink, the derivatives along two directions do not add up to the derivative along the sum of the
    directions, even if the function is smooth along each of them. An example is the median of three equal numbers,
    which does not change when a single number moves. The function also has such a kink if it has a kink along a
    direction that moves only some of the equal elements. The kinks along two such directions may cancel along their
    sum, as those of relu at many zeros may.

    A kink that is small compared with the slopes of the function counts only if it may explain `mismatch`, the distance
    of the derivative of `phi` that is checked from the numerical one.
    """
    mismatch *= math.fabs(phi.divisor)
    equal = phi.problem.tied_elements if phi.x is phi.problem.x else tied(phi.x)
    moved = np.count_nonzero(equal & (phi.v != 0.0))
    if not moved:
        return False
    several = moved > 1
    count = TRIED_DIRECTIONS if moved <= MANY_TIES else TRIED_AMONG_MANY  # kinks of many elements hardly all cancel
    along = DirectionalFunction(phi.problem, phi.u, phi.v, phi.x)
    for directions in _halves(phi, count) if several else _with_other_ties(phi, equal):
        functions = [along if v is phi.v else DirectionalFunction(phi.problem, phi.u, v, phi.x) for v in directions]
        if _stays_nonzero(functions, _additivity_terms, mismatch) or (
            several and any(_stays_nonzero([half], _one_sided_terms, mismatch) for half in functions[:2])
        ):
            return True
    return False


def has_cancelling_kinks(phi: DirectionalFunction, mismatch: float) -> bool:
    """Return whether kinks of several elements cancel along the direction of `phi`, so f seems smooth along it.

    An example is min(max(x, -1), 1) at (-1, 1): if both elements grow, one begins to change f, and the other one ceases
    to. Along a direction that moves the elements by other distances, such kinks do not cancel, so f is computed along
    some of these directions. An element is hardly ever at a kink unless its number has few digits, as -1 and 0.25 have.
    So if there are few such elements, the result is False, and f is not called.

    `mismatch` is the distance of the derivative of `phi` that is checked from the numerical one. A kink that is small
    compared with the slopes counts only if it may explain the mismatch.
    """
    short = _are_short(phi.x[phi.moved_elements], phi.problem.arguments.eps)
    if np.count_nonzero(short) < max(2.0, SHORT_SHARE * short.size):
        return False
    random = np.random.default_rng(0)
    uneven = (phi.v * random.uniform(SHORTEST_MOVED_PART, 1.0, phi.v.size) for _ in range(UNEVEN_DIRECTIONS))
    along = (DirectionalFunction(phi.problem, phi.u, v, phi.x) for v in uneven)
    return any(_stays_nonzero([each], _one_sided_terms, mismatch * math.fabs(phi.divisor)) for each in along)


def _are_short(x: Vector, eps: float) -> NDArray[np.bool_]:
    """Return a mask of the numbers that have at most `SHORT_DIGITS` decimal digits, but for rounding by `eps`."""
    size = np.where(x == 0.0, 1.0, np.abs(x))
    digits = 10.0 ** (SHORT_DIGITS - 1.0 - np.floor(np.log10(size)))
    found: NDArray[np.bool_] = np.abs(np.rint(x * digits) / digits - x) <= 0.5 * eps * np.abs(x)
    return found


def _halves(phi: DirectionalFunction, count: int) -> Iterator[tuple[Vector, Vector, Vector]]:
    """Yield `count` triples: two random parts of the direction of `phi` that add up to it, and the direction itself.

    The parts in the first triple are not random: one has the positive entries of the direction, and the other has the
    negative entries.
    """
    random, v = np.random.default_rng(0), phi.v
    for k in range(count):
        first = np.where(random.random(v.size) < 0.5 if k else v > 0.0, v, 0.0)
        yield first, v - first, v


def _with_other_ties(phi: DirectionalFunction, equal: NDArray[np.bool_]) -> Iterator[tuple[Vector, Vector, Vector]]:
    """Yield triples: the direction of `phi`, a random direction, and the sum of the two.

    The random direction moves only elements that are equal to others, and that the direction of `phi` does not move.
    Relative to their sizes (`Problem.scale`), these elements move about as far as the direction of `phi` moves its own
    elements. `equal` is a mask of the elements that are equal to others.
    """
    random, v = np.random.default_rng(0), phi.v
    moved = phi.moved_elements
    longest = phi.problem.scale * float(np.max(np.abs(v[moved]) / phi.problem.scale[moved]))
    for _ in range(TRIED_DIRECTIONS):
        parts = random.choice([-1.0, 1.0], v.size) * random.uniform(0.5, 1.0, v.size)
        other = np.where(equal & (v == 0.0), parts * longest, 0.0)
        yield v, other, v + other


def _additivity_terms(functions: Sequence[DirectionalFunction], h: float) -> list[float]:
    """Return the difference quotients with step h along two directions, and minus the quotient along their sum.

    `functions` has the same function along the first direction, along the second, and along the sum of the two. If the
    function is smooth, the sum of the returned terms vanishes with h.
    """
    a, b, both = (phi(h) / h for phi in functions)
    return [a, b, -both]


def _one_sided_terms(functions: Sequence[DirectionalFunction], h: float) -> list[float]:
    """Return φ(h) / h and φ(-h) / h for φ, the only item of `functions`. If φ is smooth, their sum vanishes with h."""
    [phi] = functions
    return [phi(h) / h, phi(-h) / h]


def _stays_nonzero(
    functions: Sequence[DirectionalFunction],
    quotients: Callable[[Sequence[DirectionalFunction], float], list[float]],
    mismatch: float,
) -> bool:
    """Return whether the sum of the terms that `quotients` returns stays away from 0 when the step is made smaller.

    The terms are difference quotients. If the functions are smooth, their sum vanishes with the step, so a sum that
    stays away from 0 shows a kink. The result is True only if the sum exceeds noise, and is about the same for two
    steps in a row. Curvature makes the sum proportional to the step, so the ratio of the two sums must be nearer to 1
    than to the ratio of the steps. The sum must not be negligible compared with its terms, unless it is large enough to
    explain `mismatch`.

    Args:
        functions: the user's function along one or several directions.
        quotients: `_additivity_terms` or `_one_sided_terms`, which returns the terms of the sum for `functions` and a
            step.
        mismatch: the distance of a derivative from the numerical one, which a kink may explain.
    """
    before, step_before = 0.0, math.inf
    for h, same in zip(_small_steps(functions), SAME_SUMS, strict=False):
        terms = quotients(functions, h)
        total = math.fabs(math.fsum(terms))
        least = min(KINK_SHARE * max(map(math.fabs, terms)), EXPLAINING_KINK * mismatch)
        if total <= max(least, KINK_NOISE * functions[0].rounding / h):
            return False
        if min(total, before) > max(same, 0.5 * (1.0 + h / step_before)) * max(total, before):
            return True
        before, step_before = total, h
    return False


def _small_steps(functions: Sequence[DirectionalFunction]) -> Sequence[float]:
    """Return the shortest steps of numerical derivatives in which all elements move; the longest of these comes first.

    Rounding may keep elements from moving in shorter steps. There are up to three steps, or two in half precision. If
    all elements move in none of them, the shortest steps are returned.
    """
    problem = functions[0].problem
    first = problem.steps.first_steps
    steps = first if problem.half_precision else [*first, SHORTER_STEP * first[-1]]
    count = 2 if problem.half_precision else 3
    moving = (h for h in reversed(steps) if all(phi.moves_all(h) for phi in functions))
    return [*islice(moving, count)][::-1] or steps[-count:]
