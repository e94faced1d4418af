"""Check functions of many numbers: singly where they are few, else by random directions and a sample of elements."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .analytic import dot
from .compare import Row
from .lines import Line, compare_along, tells
from .problem import Problem, rms, unit
from .vectors import Indices, Vector

__tracebackhide__ = True

FEW = 16  # derivatives that are compared singly
DIRECTIONS, ELEMENTS = 4, 8  # how many are compared of more
WORST = 2  # directions whose worst elements are looked for
ENOUGH = 3  # elements that are wrong, to stop


def foreign_rows(
    heading: str,
    f: Callable[..., Any],
    args: tuple[Any, ...],
    named: dict[str, Callable[..., Any]],
    rtol: float | None,
    atol: float | None,
    seed: int,
) -> list[Row]:
    """Compare derivatives of a function of numbers and arrays.

    Raises:
        NothingCompared: the function is not finite there, or nothing varies.
        NotDeterministic: two calls gave different results.
    """
    problem = Problem(heading, f, args, named, rtol, atol)
    n, m = problem.arguments.vector.size, problem.outputs.vector.size
    return singly(problem) if n * m <= FEW else Sampled(problem, seed).rows()


def singly(problem: Problem) -> list[Row]:
    """Compare every derivative of every output."""
    rows = []
    for j in range(problem.y.size):
        u = unit(problem.y.size, j)
        typical = problem.typical(u)
        some = np.flatnonzero(problem.scale).tolist()
        rows += [compare_along(problem, problem.title(j, i), u, problem.along(i), typical)[0] for i in some]
    return rows


class Sampled:
    """Random directions and a sample of elements of a problem with many."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self._problem = problem
        self._random = np.random.default_rng(seed)

    def rows(self) -> list[Row]:
        """Compare directions and elements; look for the worst elements of directions that disagree."""
        problem = self._problem
        failed: list[Line] = []
        rows: list[Row] = []
        for k in range(DIRECTIONS):
            for part in (1.0 if k == 0 else 0.0, 0.5, 1.0):
                row, line = self._along(k, part)
                if tells(problem, row):
                    break  # else another may be steeper, and cross no kink
            if row.agrees is False:
                failed.append(line)
            elif row.agrees and not tells(problem, row):
                row = replace(row, agrees=None, note="too noisy to tell 1 %", noisy=True)
            rows.append(row)
        told = 2 * sum(row.agrees is not None for row in rows) >= DIRECTIONS
        if told:  # what noise hides is left to the others
            rows = [row for row in rows if not row.noisy]
        u = self._weights()
        typical = problem.typical(u)
        worst = [self._worst(line) for line in failed[:WORST]]
        wrong = 0
        for i in dict.fromkeys([*worst, *self._elements(problem.derivative.gradient(problem.x, u))]):
            row, line = compare_along(problem, self._title(i), u, problem.along(i), typical)
            if row.agrees is False and problem.y.size > 1:
                j = self._worst_output(line)
                of_one = unit(problem.y.size, j)
                named, _ = compare_along(
                    problem, problem.title(j, i), of_one, problem.along(i), problem.typical(of_one)
                )
                row = named if named.agrees is False else row
            if not (row.noisy and told):
                rows.append(row)
            wrong += row.agrees is False
            if wrong == ENOUGH:
                break
        return rows

    def _title(self, element: int) -> str:
        name = "f" if self._problem.y.size == 1 else "(w*f)"
        return f"d{name}/d{self._problem.arguments.names(element)}"

    def _along(self, k: int, part: float) -> tuple[Row, Line]:
        """Compare along a direction; where kinks hide what it is at the point, next to the point.

        In a part of the elements it goes uphill, by which there is more to be seen.
        """
        problem, title = self._problem, f"direction {k + 1}"
        u = self._weights()
        g = problem.derivative.gradient(problem.x, u)
        v = self._direction(g, part)
        with np.errstate(all="ignore"):
            squares = np.zeros(0) if g is None else (g * v) ** 2
        typical = float(np.sqrt(np.sum(squares[np.isfinite(squares)])))
        row, line = compare_along(problem, title, u, v, typical)
        if row.agrees is not True and row.note.startswith("kink"):
            beside = problem.arguments.stored(problem.x + 2.0**-6 * self._direction(None, 0.0))
            return compare_along(problem, f"{title}, next to the point", u, v, typical, beside)
        return row, line

    def _weights(self) -> Vector:
        """Return random weights of the outputs that every type holds, those of an array by its size."""
        problem = self._problem
        if problem.y.size == 1:
            return np.ones(1)
        parts = []
        for place in problem.outputs.places():
            y = problem.y[place]
            size = 2.0 ** np.clip(np.round(np.log2(rms(y))), -8, 8)
            parts.append(self._random.choice([-1.0, -0.75, -0.5, 0.5, 0.75, 1.0], y.size) / size)
        return np.concatenate(parts)

    def _direction(self, g: Vector | None, uphill: float) -> Vector:
        """Return a random direction that goes along the gradient in a part of the elements."""
        n = self._problem.x.size
        signs = self._random.choice([-1.0, 1.0], n)
        if g is not None:
            chosen = np.isfinite(g) & (g != 0.0) & (self._random.random(n) < uphill)
            signs[chosen] = np.sign(g[chosen])
        direction: Vector = signs * self._random.uniform(0.5, 1.0, n) * self._problem.scale
        return direction

    def _elements(self, g: Vector | None) -> list[int]:
        """Return elements to be compared: not finite, steepest, and of every array some."""
        problem = self._problem
        found: list[int] = []
        if g is not None:
            found += np.flatnonzero(~np.isfinite(g))[:2].tolist()
            found.append(int(np.argmax(np.where(np.isfinite(g), np.abs(g * problem.scale), 0.0))))
        places = [place for place in problem.arguments.places() if place.stop > place.start]
        while len(set(found)) < min(ELEMENTS, problem.x.size):
            place = places[len(found) % len(places)]
            found.append(int(self._random.integers(place.start, place.stop)))
            if len(found) > 100:
                break
        return list(dict.fromkeys(found))

    def _worst(self, line: Line) -> int:
        """Return the element of a direction that disagrees most, by halving the direction again and again."""
        some = np.flatnonzero(line.v)
        total = self._mismatch(line.u, line.v)
        while some.size > 1:
            left, right = np.array_split(some, 2)
            of_left = self._mismatch(line.u, np.where(_mask(line.v.size, left), line.v, 0.0))
            of_right = total - of_left
            some, total = (left, of_left) if math.fabs(of_left) >= math.fabs(of_right) else (right, of_right)
        return int(some[0])

    def _mismatch(self, u: Vector, v: Vector) -> float:
        """Return the difference of both derivatives along `v`, from few calls."""
        problem = self._problem
        line = Line(problem, u, v, problem.x)
        h = problem.steps.first[1]
        numeric = (8.0 * (line(0.5 * h) - line(-0.5 * h)) - (line(h) - line(-h))) / (6.0 * h)
        return numeric - line.slope if math.isfinite(numeric) else 0.0

    def _worst_output(self, line: Line) -> int:
        """Return the output whose derivative along a line disagrees most."""
        problem = self._problem
        h = problem.steps.first[1]
        values = [problem.value(problem.arguments.stored(problem.x + t * line.v)) for t in (h, -h, 0.5 * h, -0.5 * h)]
        numeric = (8.0 * (values[2] - values[3]) - (values[0] - values[1])) / (6.0 * h)
        some = np.flatnonzero(line.u)

        def mismatch(outputs: Indices) -> float:
            u = np.where(_mask(line.u.size, outputs), line.u, 0.0)
            return dot(numeric, u) - problem.derivative.slope(problem.x, u, line.v)

        total = mismatch(some)
        while some.size > 1:
            left, right = np.array_split(some, 2)
            of_left = mismatch(left)
            some, total = (
                (left, of_left) if math.fabs(of_left) >= math.fabs(total - of_left) else (right, total - of_left)
            )
        return int(some[0])


def _mask(n: int, some: Indices) -> NDArray[np.bool_]:
    mask = np.zeros(n, bool)
    mask[some] = True
    return mask
