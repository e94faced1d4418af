"""Draw the directions and the elements that are compared if there are too many derivatives to compare each.

A direction is a vector that says how far each element moves.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from ..numeric.thresholds import ELEMENTS, MAX_GROUPS
from .problem import Problem, norm
from .vectors import Vector, chunks, draw_from

__tracebackhide__ = True

STEP_SIZES = np.arange(256, 512) / 512  # absolute values of a direction's entries, relative to `Problem.scale`


def array_places(problem: Problem) -> list[tuple[str, slice]]:
    """Return a pair for each array of the arguments that is not empty: its path, and its slice of the vector.

    The vector has the elements of all arrays, one array after the other.
    """
    return [(path, place) for path, place in problem.arguments.leaf_slices() if place.stop > place.start]


def array_groups(problem: Problem, g: Vector | None) -> list[tuple[str, Vector]]:
    """Return a name and a mask for each array of the arguments; if there are many arrays, for each group of them.

    A group has arrays whose gradients have similar norms. The mask is a vector that is 1.0 for the elements of the
    array or group, and 0.0 for all others. `g` is the whole gradient, or None if it is not known.
    """
    arrays = array_places(problem)
    steep = [0.0 if g is None else norm(g[place], problem.scale[place]) for _, place in arrays]
    order = np.argsort(steep, kind="stable") if len(steep) > MAX_GROUPS else np.arange(len(steep))
    groups = []
    for part in np.array_split(order, min(len(steep), MAX_GROUPS)):
        mask = np.zeros(problem.x.size)
        for i in part:
            mask[arrays[i][1]] = 1.0
        first, *others = [arrays[i][0] for i in sorted(part.tolist())]
        groups.append((f"{first} and {len(others)} others" if others else first, mask))
    return groups


def random_direction(problem: Problem, random: np.random.Generator, g: Vector | None, uphill: float) -> Vector:
    """Return a random direction, a vector that says how far each element moves.

    An element moves uphill if its move has the sign of its entry in the gradient `g`, so the function grows. The share
    `uphill` of the elements is sure to move uphill, and so does about half of the others. If `g` is None, the signs of
    all moves are random. Each element moves by at least half of its entry in `Problem.scale`, and by less than the
    whole entry. An element does not move if both the element and its entry in `g` are infinite or nan.
    """
    if g is None:
        uphill = 0.0
    v = draw_from(_signed_steps(uphill), problem.x.size, random)
    finite = np.ones(0, bool) if g is None else np.isfinite(g)
    if g is not None and uphill:
        for some in chunks(slice(0, v.size)):
            v[some] *= np.copysign(1.0, g[some])
        level = (g == 0.0) | ~finite
        if level.any():
            v[level] = np.copysign(v[level], random.random(np.count_nonzero(level)) - 0.5)
    v *= problem.scale
    if not finite.all():
        v[~(finite | np.isfinite(problem.x))] = 0.0  # at an infinite argument, an infinite gradient may be correct
    return v


def choose_elements(
    problem: Problem, random: np.random.Generator, g: Vector | None, among: NDArray[np.bool_], count: int = ELEMENTS
) -> list[int]:
    """Return indices of elements to compare: up to two with an infinite or nan gradient, the steepest, and random ones.

    An element with an infinite or nan gradient is taken only if its own number is finite. The steepest element is that
    for which the absolute value of the gradient times the element's entry in `Problem.scale` is largest. The random
    elements are drawn from one array after the other.

    Args:
        problem: the function, its derivative and the point.
        random: a generator of random numbers.
        g: the gradient; None if it is not known.
        among: a mask. The steepest element is chosen where it is True, and the random elements from arrays in which
            it is True somewhere.
        count: how many indices are returned; fewer if there are not so many elements to choose from.
    """
    found: list[int] = []
    if g is not None:
        finite = np.isfinite(g)
        if not finite.all():
            found += np.flatnonzero(~finite & np.isfinite(problem.x))[:2].tolist()
        steep = np.abs(np.multiply(g, problem.scale, out=problem.scratch), out=problem.scratch)
        steep[~(finite & among)] = 0.0
        found.append(int(np.argmax(steep)))
    places = [place for _, place in array_places(problem) if among[place].any()]
    while len(set(found)) < min(count, sum(place.stop - place.start for place in places)):
        place = places[len(found) % len(places)]
        found.append(int(random.integers(place.start, place.stop)))
    return list(dict.fromkeys(found))


@functools.cache
def _signed_steps(uphill: float) -> Vector:
    """Return `STEP_SIZES` with signs: the share `uphill` of them is positive, and so is half of the others."""
    return np.where(np.arange(STEP_SIZES.size) % 8 < 4 * (1 - uphill), -STEP_SIZES, STEP_SIZES)
