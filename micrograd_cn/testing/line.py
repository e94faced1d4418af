"""A problem along a line: the outputs, weighted, as a function of one number, and what is known of its rounding."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .analytic import dot, quiet_dot
from .problem import REFUSALS, REMEMBERED, Problem, length
from .vectors import Vector, blocks

__tracebackhide__ = True

TINY = 1e9  # times the smallest number, weighted ones are not rounded by more than their last bits
FAR = 8.0  # a step by which an output changes, if it depends on what is moved


class Line:
    """The outputs, weighted, along a line, as a function of a number: 0.0 at the point, known up to `rounding`.

    Args:
        problem: the function.
        u: the weights.
        v: the direction.
        x: the point.
        factor: a power of 2 by which the weights are divided.

    Attributes:
        u: the weights, divided.
        slope: the derivative that is checked.
        moved: which outputs have been seen to change.
    """

    def __init__(self, problem: Problem, u: Vector, v: Vector, x: Vector, factor: float = 1.0) -> None:
        self.problem, self.v, self.x = problem, v, x
        self.u = u if factor == 1.0 else u / factor
        self._undivided, self._factor = u, factor  # one gradient serves lines of many elements
        self._y = problem.y if x is problem.x else problem.value(x)
        self.slope = problem.derivative.slope(x, u, v) / factor
        self.moved = np.zeros(self._y.size, bool)
        self._all_moved = False
        self._rounding: float | None = None
        self._memo: dict[float, float] = {0.0: 0.0}

    @property
    def rounding(self) -> float:
        """How far the outputs' last bits may carry it: of those that change, or of all if none does."""
        if self._rounding is None:
            lengths, some_moved = [], bool(self.moved.any())
            for some in blocks(slice(0, self._y.size)):
                moved = self.moved[some]
                if some_moved and not moved.any():
                    continue
                products = self.u[some] * self._y[some]
                if some_moved and not self._all_moved:
                    products = np.where(moved, products, 0.0)
                lengths.append(length(products))
            outputs = self.problem.outputs
            self._rounding = 0.5 * outputs.eps * math.hypot(*lengths)
            if self._rounding < TINY * outputs.subnormal * math.sqrt(self._y.size):
                self._rounding = max(self._rounding, 0.5 * outputs.subnormal * length(self.u))
        return self._rounding

    @property
    def slope_rounding(self) -> float:
        """How far the last bits of a gradient may carry the slope; of what is not finite, not at all."""
        tiny = self.problem.arguments.subnormal * length(self.v) / math.fabs(self._factor)
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
        return 4.0 * self.problem.outputs.eps * math.hypot(*beside)

    def coarse_nearby(self) -> float:
        """How far an output may be off that is of another size on the way to 0, as log(1 + exp(-x)) far above 0 is."""
        moved = self.v != 0.0
        with np.errstate(all="ignore"):
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
            many = self.x.size + self._y.size > REMEMBERED
            change, off = (self._in_blocks(t) if many else None) or self._at_once(t)
            self._memo[t] = change - (off if abs(off) <= abs(change) else 0.0)  # a wrong one spoils nothing
        return self._memo[t]

    def _at_once(self, t: float) -> tuple[float, float]:
        """Return how far the outputs have changed, and what of that is the types'."""
        problem = self.problem
        with np.errstate(all="ignore"):
            exact = np.multiply(self.v, t, out=problem.moved)
            exact += self.x
            y, held = problem.at(exact)
            change = self._change(y)
            if problem.arguments.exact:
                return change, 0.0
            exact -= held
            gradient = problem.derivative.gradient(self.x, self._undivided)
            if gradient is None:
                off = problem.derivative.slope(self.x, self._undivided, exact)
            else:
                off = quiet_dot(gradient, exact)
            return change, -off / self._factor

    def _in_blocks(self, t: float) -> tuple[float, float] | None:
        """Return the same of many numbers, in blocks that stay near the processor; None if that cannot be."""
        problem = self.problem
        made = problem.arguments.blank() if problem.all_live else None
        gradient = None if made is None else problem.derivative.gradient(self.x, self._undivided)
        if made is None or gradient is None:
            return None
        tree, flats = made
        off, held = 0.0, problem.arguments.exact
        with np.errstate(all="ignore"):
            if self._is_narrow:
                for flat, point in zip(flats, problem.point, strict=True):
                    flat[...] = point
            for k, some, here, moves in self._blocks:
                if self._is_narrow and not moves:
                    continue
                into = flats[k][here]
                exact = self.v[some] * t
                exact += self.x[some]
                into[...] = exact
                if not held:
                    exact -= into
                    off -= float(exact.dot(gradient[some]))
            found = problem.result(tree)
            return (math.nan if found is None else self._change_of(*found)), off / self._factor

    @functools.cached_property
    def _blocks(self) -> list[tuple[int, slice, slice, bool]]:
        """Of each block its leaf, its place in the vector and in the leaf, and whether the line moves it."""
        return [
            (k, some, slice(some.start - place.start, some.stop - place.start), bool(self.v[some].any()))
            for k, place in enumerate(self.problem.arguments.slices())
            for some in blocks(place)
        ]

    @functools.cached_property
    def _is_narrow(self) -> bool:
        """Whether it moves few numbers, so that those at the point are copied, and most outputs may stay."""
        return self.x is self.problem.x and 4 * sum(moves for *_, moves in self._blocks) <= len(self._blocks)

    def _change_of(self, result: Any, flats: list[NDArray[Any]]) -> float:
        """Return how far the outputs have changed, of a result of many numbers."""
        outputs = self.problem.outputs
        total, moved = 0.0, None if self._all_moved else self.moved.copy()
        for place, flat, before in zip(outputs.slices(), flats, self.problem.results, strict=True):
            changed = flat != before if self._is_narrow else None
            for some in blocks(place):
                here = slice(some.start - place.start, some.stop - place.start)
                if changed is not None and not changed[here].any():
                    continue
                changes = flat[here] - self._y[some]
                total += float(changes.dot(self.u[some]))
                if moved is not None and changes.any():
                    moved[some] |= changes != 0.0
        if not math.isfinite(total):
            return self._change(outputs.pack(result))
        if moved is not None and (moved > self.moved).any():
            self._see(moved)
        return total

    def change(self, y: Vector) -> float:
        """Return how far the outputs have changed to become `y`."""
        with np.errstate(all="ignore"):
            return self._change(y)

    def _change(self, y: Vector) -> float:
        changes = y - self._y
        if not self._all_moved:
            moved = (changes != 0.0) & np.isfinite(changes)
            if (moved > self.moved).any():
                self._see(self.moved | moved)
        return quiet_dot(changes, self.u)

    def _see(self, moved: NDArray[np.bool_]) -> None:
        """Remember that more outputs have moved; what is known of their rounding is known no more."""
        self.moved, self._all_moved, self._rounding = moved, bool(moved.all()), None

    def slope_at(self, t: float) -> float:
        """Return the derivative that is checked, elsewhere on the line; nan where it refuses."""
        x = self.problem.arguments.stored(self.x + t * self.v)
        try:
            with np.errstate(all="ignore"):
                return self.problem.derivative.slope(x, self._undivided, self.v) / self._factor
        except REFUSALS:
            return float("nan")
