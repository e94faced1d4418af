"""A derivative of a problem along a line through a point, compared at the point, or over an interval around it."""

from __future__ import annotations

import functools
import math
import statistics
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from .analytic import dot
from .compare import Row, compare, hidden
from .numerical import Estimate, noise, taylor_order
from .problem import TELLING, Problem, power_of_2
from .vectors import Vector

__tracebackhide__ = True

TINY = 1e-300  # an error that is none
FEW_BITS = 12  # a type of so few is compared over an interval first
POINTS = 17  # of an interval
SMALLER, LARGER = {1.0: 0.5, 0.5: 0.25}, {1.0: 2.0}  # intervals after one where the curve hides all, or the noise
FARTHER = 8.0, 16.0  # intervals over which rounding that goes one way is less
FAR = 8.0  # a step by which an output changes, if it depends on what is moved
NEIGHBOURS, BESIDE = 8, 2.0**-4  # points by which a mistake is told from rounding, so far from the point, relatively


class Mean(NamedTuple):
    """The mean of a derivative over an interval.

    Attributes:
        slope: of the derivative that is checked.
        off: what is to be added to that.
        spread: how far values are rounded.
        noise: what that does to `off`.
        bias: what the curvature does.
    """

    slope: float
    off: float
    spread: float
    noise: float
    bias: float


@dataclass(frozen=True)
class ForArrays:
    """The tolerance for functions whose rounding is measured: one mistake in a hundred must be seen.

    `typical` is the size of a derivative of the same kind, `error` how far the analytic one is rounded.
    """

    rtol: float
    atol: float
    typical: float
    error: float

    def known(self, e: Estimate, off: float = 0.0) -> bool:
        """Return whether it is exact enough to be compared with; of one that is `off` by so much, to call that right.

        What looks right may be wrong by 1 % and be off the other way by noise.
        """
        telling = TELLING * max(math.fabs(e.slope), self.typical)
        return math.fabs(off) + 5.0 * e.error + self.error <= max(self.atol, telling, TINY)

    def allowed(self, analytic: float, *estimates: Estimate) -> float:
        """Return how far `analytic` may be from the estimates."""
        larger = max(self.typical, math.fabs(analytic) if math.isfinite(analytic) else 0.0)
        each = [max(self.rtol * max(math.fabs(e.slope), larger), 5.0 * e.error) for e in estimates]
        return max(self.atol, TINY, *each) + self.error


def compare_along(
    problem: Problem, title: str, u: Vector, v: Vector, typical: float, x: Vector | None = None
) -> tuple[Row, Line]:
    """Compare the derivative of the outputs weighted by `u` along `v`.

    Unless it agrees, it is tried again with steps of about 1, since there may be nothing of a small number left in the
    outputs, nor of what is special near 0 among large ones; and with steps of each number's own size, which suit it
    among larger ones and near the edge of a domain. In a type of few bits, rounding that looks like a mistake is
    another one at points next to it, or far less over larger steps.
    """
    first, line = _compare(problem, title, u, v, typical, x)
    size = np.abs(v)
    own = np.where(problem.x == 0.0, np.minimum(size, 1.0), power_of_2(np.abs(problem.x)))
    for other in (np.sign(size), own * np.sign(size)):
        factors = np.abs(np.log2(other[size > 0.0] / size[size > 0.0]))
        wrong = first.agrees is False and np.mean(factors > 4.0) > 0.1  # of the steps, maybe: many are far too large
        if wrong or (first.agrees is None and np.max(factors) > 2.0):
            part = float(np.max(other) / np.max(size))
            again, along = _compare(problem, title, u, np.sign(v) * other, typical * part, x)
            unseen = not line.moved.any() and along.moved.any()
            if again.agrees or unseen or (first.agrees is None and again.agrees is False):
                first, line = again, along
    if first.agrees is False and problem.bits <= FEW_BITS and math.isfinite(first.analytic):
        part = float(np.max(np.abs(line.v)) / np.max(size))
        if not _stays(problem, title, u, line.v, typical * part, problem.x if x is None else x):
            first = replace(first, agrees=None, note="too noisy to tell: not so next to the point", noisy=True)
        elif any(line.vanishes_over(first, steps) for steps in FARTHER):
            first = replace(first, agrees=None, note="too noisy to tell: not so over larger steps", noisy=True)
    return first, line


def tells(problem: Problem, row: Row) -> bool:
    """Return whether a comparison would have told 1 % of the derivative itself, whatever is typical, from noise.

    In a type of many bits all do that are compared.
    """
    if row.agrees and problem.bits <= FEW_BITS:
        return ForArrays(0.0, 0.0, 0.0, 0.0).known(row.numeric, row.analytic - row.numeric.slope)
    return row.agrees is not None


def _stays(problem: Problem, title: str, u: Vector, v: Vector, typical: float, x: Vector) -> bool:
    """Return whether the derivative is off by about as much at points next to `x`."""
    random = np.random.default_rng(0)
    off: list[float] = []
    agree = 0
    while len(off) < NEIGHBOURS:
        beside = problem.arguments.stored(x * (1.0 + BESIDE * random.uniform(-1.0, 1.0, x.size)))
        row, _ = _compare(problem, title, u, v, typical, beside)
        off.append(row.analytic - row.numeric.slope)
        agree += row.agrees is True
        if not off[-1] * off[0] > 0.0 or 2 * agree == NEIGHBOURS:
            return False
    return math.fabs(statistics.mean(off)) > 2.5 * statistics.stdev(off)


def _compare(problem: Problem, title: str, u: Vector, v: Vector, typical: float, x: Vector | None) -> tuple[Row, Line]:
    if np.count_nonzero(v) == 1:  # the derivative by an element, not by a multiple of it
        factor = float(np.sum(v))
        with np.errstate(all="ignore"):
            held = np.isfinite(problem.outputs.stored(u / factor)).all()
        if held:
            u, typical = u / factor, typical / math.fabs(factor)
        else:  # few bits do not hold the weight of so small a step
            title = f"{title} * {factor:g}"
    line = Line(problem, u, v, problem.x if x is None else x)
    few = problem.bits <= FEW_BITS
    first, last = problem.steps.first[0], problem.steps.first[-1 if few else 0]
    change, near = (max(math.fabs(line(h)), math.fabs(line(-h))) for h in (first, last))
    moved = change / first if math.isfinite(change) else 0.0
    if moved:  # a wrong gradient says nothing of what is typical; at a stationary point, no gradient does
        typical = max(min(typical, 1e4 * moved), math.sqrt(problem.eps) * min(moved, near / last))
    rounded = 0.5 * problem.eps * math.fabs(line.slope) if math.isfinite(line.slope) else 0.0
    tolerance = ForArrays(problem.rtol, problem.atol, typical, rounded)
    over = line.over_an_interval(title, tolerance) if few else None
    if over is not None and (over.agrees is not None or over.numeric.noise > 0.5 * over.numeric.error):
        return over, line

    steps = problem.steps._replace(small=1e-2 * problem.rtol * tolerance.typical)

    def at_the_point(rounding: float, tolerance: ForArrays) -> Row:
        row = compare(title, line.slope, line, 0.0, 0.0, rounding, tolerance, steps)
        off = row.analytic - row.numeric.slope
        if few and row.agrees and not (row.note.startswith("kink") or tolerance.known(row.numeric, off)):
            return replace(row, agrees=None, note=hidden(rounding), noisy=True)
        return row

    row = at_the_point(line.rounding, tolerance)
    if row.agrees and not row.note:
        return row, line
    rounding = max(line.rounding, noise(line, 0.0, problem.noise_steps))
    if change == 0.0 and line.moves_far_away():  # then rounding hides how it moves near the point
        rounding = max(rounding, first * math.fabs(line.slope))
    row = at_the_point(rounding, tolerance)
    if row.agrees is not True and math.isfinite(line.slope):
        rounded = max(rounded, noise(line.slope_at, 0.0, problem.noise_steps))
        tolerance = replace(tolerance, error=rounded)
        row = at_the_point(rounding, tolerance)
    if row.noisy and not few:
        over = line.over_an_interval(title, tolerance)
        row = row if over is None or over.agrees is None else over
    return row, line


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
        self._problem, self.u, self.v, self._x = problem, u, v, x
        self._y = problem.y if x is problem.x else problem.value(x)
        self.slope = problem.derivative.slope(x, u, v)
        self.moved = np.zeros(self._y.size, bool)
        self._memo: dict[float, float] = {0.0: 0.0}
        if problem.bits <= FEW_BITS:
            self.moves_far_away()

    @property
    def rounding(self) -> float:
        """How far the outputs' last bits may carry it: of those that change, or of all if none does."""
        weights = np.where(self.moved, self.u, 0.0) if self.moved.any() else self.u
        return 0.5 * self._problem.outputs.eps * float(np.linalg.norm(weights * self._y))

    def moves_far_away(self) -> bool:
        """Return whether the outputs change at large steps, at least."""
        for t in (FAR, -FAR, FAR * FAR):
            self._change(self._problem.value(self._problem.arguments.stored(self._x + t * self.v)))
        return bool((self.moved & (self.u != 0.0)).any())

    def __call__(self, t: float) -> float:
        """Return how far the outputs have changed at `t`.

        The arguments' types may not hold x + t v: for what they are off it, the derivative that is checked makes up.
        """
        if t not in self._memo:
            problem = self._problem
            exact = self._x + t * self.v
            x = problem.arguments.stored(exact)
            change = self._change(problem.value(x))
            off = 0.0 if problem.arguments.exact else problem.derivative.slope(self._x, self.u, x - exact)
            self._memo[t] = change - (off if math.fabs(off) <= math.fabs(change) else 0.0)  # a wrong one spoils nothing
        return self._memo[t]

    def _change(self, y: Vector) -> float:
        with np.errstate(all="ignore"):
            changes = y - self._y
        moved = changes != 0.0
        self.moved |= moved & np.isfinite(changes)
        return dot(changes, np.where(moved, self.u, 0.0))  # what stays the same has no noise

    def slope_at(self, t: float) -> float:
        """Return the derivative that is checked, elsewhere on the line."""
        x = self._problem.arguments.stored(self._x + t * self.v)
        with np.errstate(all="ignore"):
            return self._problem.derivative.slope(x, self.u, self.v)

    def vanishes_over(self, row: Row, steps: float) -> bool:
        """Return whether what is wrong is less than half as large, beside one of the slopes, with steps so large.

        Then it is rounding that always goes one way, as that of 1 + x * x where x is small.
        """
        over = self._mean(steps)
        if over is None:
            return False
        least, off = math.fabs(over.off) + over.noise + over.bias, math.fabs(row.analytic - row.numeric.slope)
        slopes = ((row.analytic, over.slope), (row.numeric.slope, over.slope + over.off))
        return any(least * math.fabs(near) < 0.5 * off * math.fabs(far) for near, far in slopes)

    def _mean(self, h: float) -> Mean | None:
        """Return the mean of the derivative that is checked over an interval, and by how much it is off.

        The outputs' change, less the integral of the derivative that is checked, is a constant and noise. A line
        through that has the slope by which the derivative is off, known as exactly as the noise around the line says.
        """
        ts = np.linspace(-h, h, POINTS)
        changes, integral, error = self._integrated(ts)
        if not changes.any() or not np.isfinite(integral).all() or not np.isfinite(changes).all():
            return None
        rest = changes - integral
        off = float(ts @ rest / (ts @ ts))
        spread = max(float(np.std(rest - off * ts, ddof=2)), 0.6 * self.rounding)
        noise = 4.0 * spread / math.sqrt(float(ts @ ts))
        return Mean(float(integral[-1]) / (2.0 * h), off, spread, noise, error / (2.0 * h))

    def over_an_interval(self, title: str, tolerance: ForArrays) -> Row | None:
        """Compare mean derivatives over an interval, which rounding hides less than those at a point."""
        tolerance = replace(tolerance, error=0.5 * tolerance.error)  # of a mean, and its noise is seen
        best: Row | None = None
        following: float | None = 1.0
        while following:
            h = following
            over = self._mean(h)
            if over is None:
                following = SMALLER.get(h)
                continue
            mean, off, noise, bias = over.slope, over.off, over.noise, over.bias
            e = Estimate(mean + off, (noise + bias) / 5.0, noise / 5.0)
            allowed = tolerance.allowed(mean, e)
            sure = math.fabs(off) > 2.0 * allowed and allowed < 0.25 * max(math.fabs(e.slope), math.fabs(mean))
            agrees = math.fabs(off) <= allowed
            if tolerance.known(e, off if agrees else 0.0) or sure:
                order = math.nan if agrees else taylor_order(self, 0.0, self.slope, over.spread)
                return Row(title, mean, e, agrees, f"means over steps of {h:g} to both sides", order=order)
            if best is None or e.error < best.numeric.error:
                best = Row(title, mean, e, None, hidden(over.spread), noisy=True)
            following = SMALLER.get(h) if noise < bias else LARGER.get(h)
        return best

    def _integrated(self, ts: Vector) -> tuple[Vector, Vector, float]:
        """Return the outputs' changes at `ts`, integrals of the derivative up to there, and the last one's error.

        It is the trapezoidal rule, between the points as the arguments' types hold them. Second differences of the
        derivative show its curvature, for which half of the points tell the error, its noise, and its jumps.
        """
        points = [self._problem.arguments.stored(self._x + t * self.v) for t in ts]
        changes = np.array([self._change(self._problem.value(x)) for x in points])
        slopes, before, after = np.zeros((3, len(ts)))
        with np.errstate(all="ignore"):
            for k, x in enumerate(points):
                along = functools.partial(self._problem.derivative.slope, x, self.u)
                slopes[k] = along((ts[1] - ts[0]) * self.v)
                before[k], after[k] = along(x - points[max(k - 1, 0)]), along(points[min(k + 1, len(ts) - 1)] - x)
            integral, bends = np.cumsum([0.0, *0.5 * (after[:-1] + before[1:])]), np.diff(slopes, 2)
        curvature = 0.25 * math.fabs(float(np.sum(bends[::2])))  # half of what every second point would change
        usual = float(np.median(np.abs(bends)))
        jumps = 0.25 * float(np.sum(np.maximum(np.abs(bends) - 4.0 * usual, 0.0)))
        noise = 2.5 * usual * math.sqrt(len(ts))  # of independent errors: usual is 1.6 times theirs
        return changes, integral, curvature + jumps + noise
