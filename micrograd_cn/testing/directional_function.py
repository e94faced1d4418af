"""A problem along a line: the outputs, weighted, as a function of one number, and what is known of its rounding."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .analytic import dot
from .problem import REFUSALS, Problem, length
from .vectors import Indices, Vector, blocks

__tracebackhide__ = True

FAR = 8.0  # a step by which an output changes, if it depends on what is moved


class DirectionalFunction:
    """The outputs, weighted, along a line, as a function of a number: 0.0 at the point, known up to `rounding`.

    Args:
        problem: the function.
        u: the weights.
        v: the direction.
        x: the point.
        single: whether what moves one number alone gives the derivative by that, and no multiple of it.

    Attributes:
        factor: by which all is divided.
        slope: the derivative that is checked.
        moved: which outputs have been seen to change.
    """

    def __init__(self, problem: Problem, u: Vector, v: Vector, x: Vector, single: bool = False) -> None:
        self.problem, self.u, self.v, self.x = problem, u, v, x
        count = int(np.count_nonzero(v != 0.0))
        self._few = 4 * count <= v.size
        self.factor = float(v[self.some[0]]) if single and count == 1 else 1.0
        self._y = problem.y if x is problem.x else problem.value(x)
        gradient = problem.derivative.gradient(x, u) if self._few else None
        if gradient is None:
            self.slope = self.slope_along(v, x)
        else:
            self.slope = dot(gradient[self.some], v[self.some]) / self.factor
        self.moved = np.zeros(self._y.size, bool)
        self._all_moved = False
        self._rounding: float | None = None
        self._least: float | None = None  # of it, whichever outputs change
        self._memo: dict[float, float] = {0.0: 0.0}

    @functools.cached_property
    def some(self) -> Indices:
        """Which numbers are moved."""
        return np.flatnonzero(self.v != 0.0)  # of truth values, which is quicker

    @property
    def rounding(self) -> float:
        """How far the outputs' last bits may carry it: of those that change, or of all if none does."""
        if self._rounding is None:
            u, y, outputs = self.u, self._y, self.problem.outputs
            if self._all_moved or not self.moved.any():
                of_outputs = self.problem.length(u, y)
            else:
                of_outputs = length(u[self.moved], y[self.moved])
            if self._least is None:
                self._least = math.hypot(0.5 * outputs.subnormal * self.problem.length(u), self._argument_rounding)
            self._rounding = math.hypot(0.5 * outputs.eps * of_outputs, self._least) / math.fabs(self.factor)
        return self._rounding

    @property
    def _argument_rounding(self) -> float:
        """How far the last bits of many arguments may carry it, where they are moved in their own types."""
        arguments, gradient = self.problem.arguments, self._gradient_of_many
        if arguments.exact or gradient is None or self._moves_few:
            return 0.0
        return arguments.eps * self.problem.length(gradient, self.v)

    @property
    def slope_rounding(self) -> float:
        """How far the last bits of a gradient may carry the slope; of what is not finite, not at all."""
        steps = self.v[self.some] if self._few else self.v
        tiny = self.problem.arguments.subnormal * length(steps) / math.fabs(self.factor)
        last_bits = 0.5 * max(self.problem.eps * math.fabs(self.slope), tiny)
        return last_bits if math.isfinite(last_bits) else 0.0

    @property
    def coarse(self) -> float:
        """How far an output may be off that is computed beside the largest of its array, as gelu far below 0 is."""
        weights = np.where(self.moved, self.u, 0.0) if self.moved.any() else self.u
        beside = [
            length(weights[place]) * float(np.max(np.abs(self._y[place]), initial=0.0))
            for place in self.problem.outputs.slices()
        ]
        return 4.0 * self.problem.outputs.eps * math.hypot(*beside) / math.fabs(self.factor)

    def coarse_nearby(self) -> float:
        """How far an output may be off that is of another size on the way to 0, as log(1 + exp(-x)) far above 0 is."""
        moved = self.v != 0.0
        values = [self.problem.value(np.where(moved, part * self.x, self.x)) for part in (0.0, -1.0)]
        changes = [dot(np.abs(y - self._y), np.abs(self.u)) for y in values]
        return 4.0 * self.problem.eps * max(filter(math.isfinite, changes), default=0.0) / math.fabs(self.factor)

    def moves_far_away(self) -> bool:
        """Return whether the outputs change at large steps, at least."""
        for t in (FAR, -FAR, FAR * FAR):
            self.change(self.problem.value(self.problem.arguments.stored(self.x + t * self.v)))
        return bool((self.moved & (self.u != 0.0)).any())

    def __call__(self, t: float) -> float:
        """Return how far the outputs have changed at `t`.

        The arguments' types may not hold x + t v: for what they are off it, the derivative that is checked makes up,
        but where many are moved, which `rounding` takes into account.
        """
        if t not in self._memo:
            gradient = self._gradient_of_many
            change, off = self._at_once(t) if gradient is None else self._of_many(t, gradient)
            self._memo[t] = change - (off if abs(off) <= abs(change) else 0.0)  # a wrong one spoils nothing
        return self._memo[t]

    def _at_once(self, t: float) -> tuple[float, float]:
        """Return how far the outputs have changed, and what of that is the types'."""
        problem = self.problem
        exact = np.multiply(self.v, t, out=problem.scratch)
        exact += self.x
        y, held = problem.at(exact)
        change = self.change(y)
        if problem.arguments.exact:
            return change, 0.0
        exact -= held
        return change, -self.slope_along(exact, self.x)

    def _of_many(self, t: float, gradient: Vector) -> tuple[float, float]:
        """Return the same of many numbers, moved in their own types."""
        problem = self.problem
        tree, flats = problem.arguments.blank()
        off = 0.0
        for flat, (point, move), place in zip(flats, self._leaves, problem.arguments.slices(), strict=True):
            if not self._moves_few:
                np.multiply(move, t, out=flat)
                flat += point
                continue
            flat[...] = point
            some = self.some[(self.some >= place.start) & (self.some < place.stop)]
            exact = self.x[some] + self.v[some] * t
            flat[some - place.start] = exact
            off += float(gradient[some].dot(flat[some - place.start] - exact))
        found = problem.result(tree)
        return (math.nan if found is None else self._change_of(*found)), off / self.factor

    @property
    def _gradient_of_many(self) -> Vector | None:
        """The gradient, if numbers are so many that numpy moves them in their own types."""
        problem = self.problem
        return problem.derivative.gradient(self.x, self.u) if problem.in_types else None

    @property
    def _moves_few(self) -> bool:
        """Whether it moves so few numbers that those at the point are copied, and most outputs may stay."""
        return self._few and self.x is self.problem.x

    @functools.cached_property
    def _leaves(self) -> list[tuple[NDArray[Any], NDArray[Any]]]:
        """Of each leaf the numbers at the point, and by how much they are moved, of its type."""
        arguments = self.problem.arguments
        point = self.problem.point if self.x is self.problem.x else arguments.typed(self.x)
        return list(zip(point, point if self._moves_few else arguments.typed(self.v), strict=True))

    def _change_of(self, result: Any, flats: list[NDArray[Any]]) -> float:
        """Return how far the outputs have changed, of a result of many numbers."""
        outputs = self.problem.outputs
        total, moved = 0.0, None if self._all_moved else self.moved.copy()
        for place, flat, before in zip(outputs.slices(), flats, self.problem.results, strict=True):
            changed = [np.flatnonzero(flat != before)] if self._moves_few else None
            for some in changed or blocks(slice(0, flat.size)):
                changes = flat[some] - self._y[place][some]
                total += float(changes.dot(self.u[place][some]))
                if moved is not None and changes.any():
                    moved[place][some] |= changes != 0.0
        if not math.isfinite(total):
            return self.change(outputs.pack(result))
        if moved is not None and (moved > self.moved).any():
            self._see(moved)
        return total / self.factor

    def change(self, y: Vector) -> float:
        """Return how far the outputs have changed to become `y`."""
        changes = y - self._y
        if not self._all_moved:
            moved = (changes != 0.0) & np.isfinite(changes)
            if (moved > self.moved).any():
                self._see(self.moved | moved)
        return dot(changes, self.u) / self.factor

    def _see(self, moved: NDArray[np.bool_]) -> None:
        """Remember that more outputs have moved; what is known of their rounding is known no more."""
        self.moved, self._all_moved, self._rounding = moved, bool(moved.all()), None

    def slope_along(self, d: Vector, x: Vector) -> float:
        """Return the derivative that is checked, at a point along a direction."""
        return self.problem.derivative.slope(x, self.u, d) / self.factor

    def slope_at(self, t: float) -> float:
        """Return the derivative that is checked, elsewhere on the line; nan where it refuses."""
        x = self.problem.arguments.stored(self.x + t * self.v)
        try:
            return self.slope_along(self.v, x)
        except REFUSALS:
            return float("nan")
