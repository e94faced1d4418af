"""A function f of vectors along a line: φ(t) = u · (f(x + t v) - f(x)), with an estimate of the rounding of φ.

The point is x, the direction v says how far each element of x moves, and u has a weight for each output of f.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..numeric.numerical import DOMAIN_ERRORS, jump_near
from ..numeric.thresholds import COARSE_BITS, FAR_STEP
from ..report import GradientMismatch
from .analytic import dot
from .problem import Problem, max_magnitude, norm
from .vectors import Indices, Vector, chunks

__tracebackhide__ = True


class DirectionalFunction:
    """The function φ(t) = u · (f(x + t v) - f(x)) of one number t, where u has a weight for each output of f.

    Args:
        problem: the function f, and its derivative.
        u: the cotangent, which has the weights of the outputs.
        v: the direction, which says how far each element of x moves.
        x: the point.
        per_element: whether φ is divided by the entry of v that is not 0, if v has only one such entry. The derivative
            of φ at 0 is then the partial derivative.

    Attributes:
        divisor: the number by which φ and its derivatives are divided; 1.0 unless `per_element` is set.
        analytic: the derivative that is checked, u · Df(x) v / divisor.
        typical_slope: about how large derivatives along directions like v are; inf until a comparison sets it.
        changed_outputs: a mask of the outputs that have changed in any of the steps taken so far.
    """

    def __init__(self, problem: Problem, u: Vector, v: Vector, x: Vector, per_element: bool = False) -> None:
        self.problem, self.u, self.v, self.x = problem, u, v, x
        count = int(np.count_nonzero(v != 0.0))
        self._few = 4 * count <= v.size
        self.divisor = float(v[self.moved_elements[0]]) if per_element and count == 1 else 1.0
        self._y = problem.y if x is problem.x else problem.value(x)
        gradient = problem.derivative.gradient(x, u) if self._few else None
        if gradient is None:
            self.analytic = self.analytic_along(v, x)
        else:
            self.analytic = dot(gradient[self.moved_elements], v[self.moved_elements]) / self.divisor
        self.typical_slope = math.inf
        self.changed_outputs = np.zeros(self._y.size, bool)
        self._all_changed = False
        self._rounding: float | None = None
        self._rounding_beside: float | None = None  # what `rounding_beside_largest` has returned
        self._rounding_floor: float | None = None  # the part of the rounding that all outputs share
        self._memo: dict[float, float] = {0.0: 0.0}
        self._moving: dict[float, bool] = {}  # what `moves_all` has returned

    @functools.cached_property
    def moved_elements(self) -> Indices:
        """The indices of the elements of the point that the direction moves."""
        moved: Indices = (self.v != 0.0).nonzero()[0]  # quicker for booleans than for doubles
        return moved

    @property
    def moved_arrays(self) -> list[slice]:
        """The arrays of the arguments in which the direction moves something, as slices of the vector of elements."""
        return [place for place in self.problem.arguments.slices() if self.v[place].any()]

    def known(self, t: float) -> float:
        """Return φ(t), the value of this function at t, if it has been computed before; otherwise nan."""
        return self._memo.get(t, math.nan)

    @property
    def known_changes(self) -> list[float]:
        """The absolute values of this function at all steps taken so far, without those that are infinite or nan."""
        return [*filter(math.isfinite, map(math.fabs, self._memo.values()))]

    @property
    def outputs(self) -> Vector:
        """The outputs of the user's function at the point."""
        return self._y

    @property
    def rounding(self) -> float:
        """How far rounding of the outputs of f, and of the point x + t v, may change the value of this function φ.

        φ is a weighted sum of the outputs of f. Only outputs that have changed in some step so far count. If no output
        has changed, all outputs count.
        """
        if self._rounding is None:
            u, y, outputs = self.u, self._y, self.problem.outputs
            if self._all_changed or not self.changed_outputs.any():
                of_outputs = self.problem.norm(u, y)
            else:
                of_outputs = norm(u[self.changed_outputs], y[self.changed_outputs])
            if self._rounding_floor is None:
                self._rounding_floor = math.hypot(
                    0.5 * outputs.smallest_subnormal * self.problem.norm(u), self._argument_rounding
                )
            self._rounding = math.hypot(0.5 * outputs.eps * of_outputs, self._rounding_floor) / math.fabs(self.divisor)
        return self._rounding

    @contextlib.contextmanager
    def raised_rounding(self, least: float) -> Iterator[None]:
        """Raise the attribute `rounding` to at least `least` within a `with` statement.

        `least` is a rounding error of φ that may explain a mistake. At the end of the block, the attribute gets its
        former value back, since other explanations are looked for.
        """
        _ = self.rounding
        assert self._rounding_floor is not None
        floor = self._rounding_floor
        self._rounding_floor, self._rounding = max(floor, least * math.fabs(self.divisor)), None
        try:
            yield
        finally:
            self._rounding_floor, self._rounding = floor, None

    @property
    def _argument_rounding(self) -> float:
        """How far rounding of the point x + t v may change the weighted sum u · f at this point.

        The result is 0.0 if `__call__` subtracts this change. It subtracts the change except in one case: many elements
        are moved, and the point is computed in the types of their arrays, such as float32. The result is also 0.0 if
        these types are doubles.
        """
        arguments, gradient = self.problem.arguments, self._gradient_in_own_types
        if arguments.in_doubles or gradient is None or self._moves_few:
            return 0.0
        return arguments.eps * self.problem.norm(gradient, self.v)

    @property
    def terms(self) -> Vector:
        """How much each element that moves contributes to `analytic`; `analytic` alone if the gradient is not known."""
        gradient, some = self.problem.derivative.gradient(self.x, self.u), self.moved_elements
        return np.array([self.analytic]) if gradient is None else gradient[some] * self.v[some] / self.divisor

    @property
    def analytic_rounding(self) -> float:
        """How far rounding in the last bit of the gradient may change the attribute `analytic`.

        The result is 0.0 if `analytic` is not finite.
        """
        steps = self.v[self.moved_elements] if self._few else self.v
        tiny = self.problem.arguments.smallest_subnormal * norm(steps) / math.fabs(self.divisor)
        last_bits = 0.5 * max(self.problem.eps * math.fabs(self.analytic), tiny)
        return last_bits if math.isfinite(last_bits) else 0.0

    @property
    def rounding_beside_largest(self) -> float:
        """The error of φ if each output is wrong by a few last bits of the largest output in its array.

        `COARSE_BITS` says how many last bits. An output that is much smaller than the largest, such as gelu(x) for x
        far below 0, may have few correct digits.
        """
        if self._rounding_beside is None:
            weights = np.where(self.changed_outputs, self.u, 0.0) if self.changed_outputs.any() else self.u
            beside = [
                norm(weights[place]) * largest
                for place, largest in zip(self.problem.outputs.slices(), self._largest_outputs, strict=True)
            ]
            coarse_bits = COARSE_BITS * self.problem.outputs.eps
            self._rounding_beside = coarse_bits * math.hypot(*beside) / math.fabs(self.divisor)
        return self._rounding_beside

    @functools.cached_property
    def _largest_outputs(self) -> list[float]:
        """The largest absolute value of an output at the point, for each array of the result."""
        return [max_magnitude(self._y[place]) for place in self.problem.outputs.slices()]

    @property
    def largest_change(self) -> float:
        """The largest absolute value of this function that has been computed.

        The function can hardly have a larger rounding error than that. The result is inf if no finite value but 0 has
        been computed.
        """
        return max(self.known_changes) or math.inf

    def absorbed_part(self) -> float:
        """Return how much of `analytic` comes from unchanged outputs.

        An output such as 1000 + 1e-20 * x does not change in steps of x, since rounding absorbs the change. The result
        is `analytic` less the derivative of the changed outputs alone. So it also includes an error of `analytic`,
        which may have lost derivatives of changed outputs to rounding. A saturated softmax is an example: the
        derivatives of tiny probabilities are lost when they are added to that of the probability 1, which does not
        change.
        """
        unchanged = (self.u != 0.0) & ~self.changed_outputs
        if not unchanged.any():
            return 0.0
        rest = self.problem.derivative.slope(self.x, np.where(unchanged, 0.0, self.u), self.v)
        return self.analytic - rest / self.divisor

    def absorbed_rounding(self) -> float:
        """Return the largest change of φ that would not show, because rounding loses it in outputs that did not change.

        These are the outputs that no step has changed so far.
        """
        unchanged = (self.u != 0.0) & ~self.changed_outputs
        rounding = 0.5 * self.problem.outputs.eps * norm(self.u[unchanged], self._y[unchanged])
        return rounding / math.fabs(self.divisor)

    @functools.cached_property
    def intermediate_rounding(self) -> float:
        """How far this function may be off because f has intermediate results that are larger than its outputs.

        The function log(1 + exp(-x)) may have such intermediate results. Their size is estimated from the outputs at
        two other points: the elements that the direction moves are 0 at one of them, and have the opposite sign at the
        other.
        """
        moved = self.v != 0.0
        values = [self.problem.value(np.where(moved, part * self.x, self.x)) for part in (0.0, -1.0)]
        changes = [dot(np.abs(y - self._y), np.abs(self.u)) for y in values]
        return (
            COARSE_BITS * self.problem.eps * max(filter(math.isfinite, changes), default=0.0) / math.fabs(self.divisor)
        )

    def check_jump(self) -> None:
        """If values of this function near 0 jump, check that the user's function gives the same results again.

        Raises:
            NotDeterministic: two calls at the same point gave different results.
        """
        t = jump_near(self._memo, self.analytic, self.rounding)
        if t is not None:
            self.problem.check_jump(self.problem.arguments.rounded(self.x + t * self.v))

    def changes_far_away(self) -> bool:
        """Take large steps from x along v, and return whether some output has changed in these or in earlier steps.

        Outputs of weight 0 do not count.
        """
        for t in (FAR_STEP, -FAR_STEP, FAR_STEP * FAR_STEP):
            self.change(self.problem.value(self.problem.arguments.rounded(self.x + t * self.v)))
        return bool((self.changed_outputs & (self.u != 0.0)).any())

    def __call__(self, t: float) -> float:
        """Return φ(t) = u · (f(x + t v) - f(x)), divided by `divisor`.

        The point x + t v is rounded to the arguments' types, which moves it by an offset. The change of φ that is due
        to this offset is computed with the derivative that is checked. It is subtracted, unless it is larger than the
        whole change. If `v` moves many elements, and the point is computed in the types of their arrays, nothing is
        subtracted; the attribute `rounding` includes the effect of the offset instead.

        If rounding keeps some elements from moving, φ(t) tells nothing about their derivatives. Then nan is returned if
        no output changes, or if most of the change may be missing. In half precision, nan is not returned for this
        reason, since steps in which some elements do not move are needed there to measure the noise of f.
        """
        if t not in self._memo:
            gradient = self._gradient_in_own_types
            change, offset = self._change_in_doubles(t) if gradient is None else self._change_in_own_types(t, gradient)
            if not 0.0 != abs(change) >= abs(offset):
                offset = 0.0  # a wrong derivative may give a huge offset, which must not spoil the change
                if not self.problem.half_precision and not self.moves_all(t):
                    change = math.nan
            self._memo[t] = change - offset
        return self._memo[t]

    def moves_all(self, t: float) -> bool:
        """Return whether each element of x that v moves is moved by more than half of its entry in t v.

        Rounding of x + t v to the arguments' types may keep elements from moving.
        """
        if t not in self._moving:
            move = t * self.v
            moved = self.problem.arguments.rounded(self.x + move) - self.x
            np.abs(move, out=move)
            move *= 0.5
            far = np.count_nonzero(np.abs(moved, out=moved) > move)
            self._moving[t] = far == self.moved_elements.size  # no other element moves
        return self._moving[t]

    def _change_in_doubles(self, t: float) -> tuple[float, float]:
        """Return the change of the weighted sum u · f from x to x + t v, and the part that comes from rounding x + t v.

        The point x + t v is computed in doubles, and rounded to the arguments' types. Both results are divided by
        `divisor`.
        """
        problem = self.problem
        exact = np.multiply(self.v, t, out=problem.scratch)
        exact += self.x
        y, held = problem.evaluate(exact)
        change = self.change(y)
        if problem.arguments.in_doubles:
            return change, 0.0
        exact -= held
        return change, -self.analytic_along(exact, self.x)

    def _change_in_own_types(self, t: float, gradient: Vector) -> tuple[float, float]:
        """Return the change of the weighted sum u · f from x to x + t v, and the part that comes from rounding x + t v.

        Both are divided by `divisor`. numpy computes x + t v in the types of the arrays, such as float32. For many
        elements, this is quicker than `_change_in_doubles`. The second number is computed only if few elements are
        moved; otherwise it is 0. `gradient` is the gradient of u · f.
        """
        problem = self.problem
        tree, flats = problem.arguments.empty_tree()
        offset = 0.0
        for flat, (point, move), place in zip(flats, self._leaves, problem.arguments.slices(), strict=True):
            if not self._moves_few:
                np.multiply(move, t, out=flat)
                flat += point
                continue
            flat[...] = point
            some = self.moved_elements[(self.moved_elements >= place.start) & (self.moved_elements < place.stop)]
            exact = self.x[some] + self.v[some] * t
            flat[some - place.start] = exact
            offset += float(gradient[some].dot(flat[some - place.start] - exact))
        found = problem.evaluate_tree(tree)
        return (math.nan if found is None else self._change_of_result(*found)), offset / self.divisor

    @property
    def _gradient_in_own_types(self) -> Vector | None:
        """The gradient of u · f, the weighted sum of the outputs, if `Problem.steps_in_own_types` is set; else None.

        It is also None if the derivative gives no gradient.
        """
        problem = self.problem
        return problem.derivative.gradient(self.x, self.u) if problem.steps_in_own_types else None

    @property
    def _moves_few(self) -> bool:
        """Whether the direction moves so few elements that it is quicker to copy the others from the problem's point.

        It is False if the point x of this function is another one than the problem's.
        """
        return self._few and self.x is self.problem.x

    @functools.cached_property
    def _leaves(self) -> list[tuple[NDArray[Any], NDArray[Any]]]:
        """A pair for each array of the arguments: its elements at x, and the entries of v that move these elements.

        Both are in the array's type. If few elements are moved, the entries of v are not needed, and the pair has the
        elements at x twice.
        """
        arguments = self.problem.arguments
        point = self.problem.point_leaves if self.x is self.problem.x else arguments.split(self.x)
        return list(zip(point, point if self._moves_few else arguments.split(self.v), strict=True))

    def _change_of_result(self, result: Any, flats: list[NDArray[Any]]) -> float:
        """Return u · (y - f(x)), divided by the attribute `divisor`, where y has the outputs in `result`.

        f has returned `result` at another point. Outputs that have changed are marked in `changed_outputs`. `flats` has
        the arrays of `result` as flat arrays. They are processed in chunks, which saves memory.
        """
        outputs = self.problem.outputs
        few = self._moves_few
        total, moved = 0.0, None if self._all_changed or few else self.changed_outputs.copy()
        for place, flat, before in zip(outputs.slices(), flats, self.problem.output_leaves, strict=True):
            changed = [np.flatnonzero(flat != before)] if few else None
            if changed and not self.changed_outputs[place][changed[0]].all():
                moved = self.changed_outputs.copy() if moved is None else moved
            for some in changed or chunks(slice(0, flat.size)):
                changes = flat[some] - self._y[place][some]
                total += float(changes.dot(self.u[place][some]))
                if moved is not None and changes.any():
                    moved[place][some] |= changes != 0.0
        if not math.isfinite(total):
            return self.change(outputs.pack(result))
        if moved is not None and (moved > self.changed_outputs).any():
            self._mark_changed(moved)
        return total / self.divisor

    def change(self, y: Vector) -> float:
        """Return u · (y - f(x)) / divisor for outputs `y`, and mark in `changed_outputs` which of them have changed."""
        changes = y - self._y
        if not self._all_changed:
            moved = changes != 0.0
            if np.count_nonzero(moved > self.changed_outputs):  # a quarter of the time of `any`
                moved &= np.isfinite(changes)
                if np.count_nonzero(moved > self.changed_outputs):
                    self._mark_changed(self.changed_outputs | moved)
        return dot(changes, self.u) / self.divisor

    def _mark_changed(self, moved: NDArray[np.bool_]) -> None:
        """Set `changed_outputs` to the mask `moved`, and clear the cached roundings, which depend on the mask."""
        self.changed_outputs, self._all_changed = moved, bool(moved.all())
        self._rounding = self._rounding_beside = None

    def analytic_along(self, d: Vector, x: Vector) -> float:
        """Return u · Df(x) d / divisor: the checked derivative at the point `x` along the direction `d`."""
        return self.problem.derivative.slope(x, self.u, d) / self.divisor

    def analytic_at(self, t: float) -> float:
        """Return the checked derivative of this function φ at t; nan if its computation raises a domain error."""
        x = self.problem.arguments.rounded(self.x + t * self.v)
        try:
            return self.analytic_along(self.v, x)
        except GradientMismatch:  # the derivative contains a check, which has failed; this is no edge of its domain
            raise
        except DOMAIN_ERRORS:
            return float("nan")
