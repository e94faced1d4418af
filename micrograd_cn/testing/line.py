"""A problem along a line: the outputs, weighted, as a function of one number, and what is known of its rounding."""

from __future__ import annotations

import numpy as np

from .analytic import dot
from .problem import REFUSALS, Problem
from .vectors import Vector

__tracebackhide__ = True

FAR = 8.0  # a step by which an output changes, if it depends on what is moved


class Line:
    """The outputs, weighted, along a line, as a function of a number: 0.0 at the point, known up to `rounding`.

    Args:
        problem: the function.
        u: the weights.
        v: the direction.
        x: the point.

    Attributes:
        slope: the derivative that is checked.
        moved: which outputs have been seen to change.
    """

    def __init__(self, problem: Problem, u: Vector, v: Vector, x: Vector) -> None:
        self.problem, self.u, self.v, self.x = problem, u, v, x
        self._y = problem.y if x is problem.x else problem.value(x)
        self.slope = problem.derivative.slope(x, u, v)
        self.moved = np.zeros(self._y.size, bool)
        self._memo: dict[float, float] = {0.0: 0.0}

    @property
    def rounding(self) -> float:
        """How far the outputs' last bits may carry it: of those that change, or of all if none does."""
        weights = np.where(self.moved, self.u, 0.0) if self.moved.any() else self.u
        return 0.5 * self.problem.outputs.eps * float(np.linalg.norm(weights * self._y))

    @property
    def coarse(self) -> float:
        """How far an output may be off that is computed beside the largest of its array, as gelu far below 0 is."""
        weights = np.where(self.moved, self.u, 0.0) if self.moved.any() else self.u
        beside = [
            np.linalg.norm(weights[place]) * np.max(np.abs(self._y[place]), initial=0.0)
            for place in self.problem.outputs.slices()
        ]
        return 4.0 * self.problem.outputs.eps * float(np.linalg.norm(beside))

    def coarse_nearby(self) -> float:
        """How far an output may be off that is of another size on the way to 0, as log(1 + exp(-x)) far above 0 is."""
        moved = self.v != 0.0
        values = [self.problem.value(np.where(moved, part * self.x, self.x)) for part in (0.0, -1.0)]
        changes = [dot(np.abs(y - self._y), np.abs(self.u)) for y in values]
        return 4.0 * self.problem.eps * max((change for change in changes if change < np.inf), default=0.0)

    def moves_far_away(self) -> bool:
        """Return whether the outputs change at large steps, at least."""
        for t in (FAR, -FAR, FAR * FAR):
            self.change(self.problem.value(self.problem.arguments.stored(self.x + t * self.v)))
        return bool((self.moved & (self.u != 0.0)).any())

    def __call__(self, t: float) -> float:
        """Return how far the outputs have changed at `t`.

        The arguments' types may not hold x + t v: for what they are off it, the derivative that is checked makes up.
        """
        if t not in self._memo:
            problem = self.problem
            exact = np.multiply(self.v, t, out=problem.moved)
            exact += self.x
            y, held = problem.at(exact)
            change = self.change(y)
            off = 0.0
            if not problem.arguments.exact:
                exact -= held
                off = -problem.derivative.slope(self.x, self.u, exact)
            self._memo[t] = change - (off if abs(off) <= abs(change) else 0.0)  # a wrong one spoils nothing
        return self._memo[t]

    def change(self, y: Vector) -> float:
        """Return how far the outputs have changed to become `y`."""
        with np.errstate(all="ignore"):
            changes = y - self._y
        if y.size == 1:
            self.moved |= bool(changes[0] != 0.0 and np.isfinite(changes[0]))
            return float(changes[0] * self.u[0])
        moved = changes != 0.0
        self.moved |= moved & np.isfinite(changes)
        return dot(changes, np.where(moved, self.u, 0.0))  # what stays the same has no noise

    def slope_at(self, t: float) -> float:
        """Return the derivative that is checked, elsewhere on the line; nan where it refuses."""
        x = self.problem.arguments.stored(self.x + t * self.v)
        try:
            with np.errstate(all="ignore"):
                return self.problem.derivative.slope(x, self.u, self.v)
        except REFUSALS:
            return float("nan")
