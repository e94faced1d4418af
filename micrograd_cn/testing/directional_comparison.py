"""Compare a derivative of a problem along a line through a point: at the point, or as a mean around it."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from . import half_precision
from .compare import Claim, Comparison, compare, hidden
from .directional_function import DirectionalFunction
from .interval_means import mean_over, over_an_interval
from .numerical import Estimate, OutOfCalls, glance, noise, quotient
from .problem import Problem, power_of_2
from .tied_kinks import is_corner
from .tolerance import ArrayTolerance
from .vectors import Vector

__tracebackhide__ = True

FEW_CALLS = "too noisy to tell in few calls"
MANY_BITS = 40  # a type of so many shows a mistake of the size of the tolerance
SHOWN = 20.0  # times what rounding does, a mistake must do in the largest step to be shown by that
HIDDEN = 1000.0  # times what rounding does, a derivative must do in the largest step so that 1 % of it is told
BELIEVED = 2.0**13  # last bits by which an analytic derivative may be noisy without being wrong
SCATTER = 0.1  # of a derivative, and of what it is off, by which quotients may differ if no noise explains what is off
PLAIN = 100.0  # times the error of a derivative by which another one is wrong whatever other steps say
OWN = 2.0  # times what the outputs are moved, of which 1 % must be known, however steep other derivatives are
NEGLIGIBLE = 1e-4  # of the whole gradient: rounding that hides less of it hides nothing


def compare_along(
    problem: Problem, title: str, u: Vector, v: Vector, typical: float, x: Vector | None = None, whole: float = 0.0
) -> tuple[Comparison, DirectionalFunction]:
    """Compare the derivative of the outputs weighted by `u` along `v`.

    Unless it agrees, it is tried again with steps of about 1, since there may be nothing of a small number left in the
    outputs, nor of what is special near 0 among large ones; and with steps of each number's own size, which suit it
    among larger ones and near the edge of a domain.

    Args:
        problem: the function, its derivative and the point.
        title: what is compared.
        u: the weights of the outputs.
        v: the direction.
        typical: the size of derivatives of the same kind.
        x: another point.
        whole: the size of the whole gradient; a derivative that is nothing beside it may be hidden by rounding.
    """
    (first, line), of_first = _compare(problem, title, u, v, typical, x), typical
    if first.agrees and not first.noisy:
        return first, line
    moved = line.some  # few of many, along an element
    steps, here = np.abs(v[moved]), np.abs(problem.x[moved])
    own = np.where(here > 0.0, power_of_2(here), np.minimum(steps, 1.0))
    for other in (np.ones(steps.size), own):
        factors = np.abs(np.log2(other / steps))
        many = np.count_nonzero(factors > 4.0) > 0.1 * factors.size  # of the steps are far too large, maybe
        plain = other.max() > steps.max() and _is_plain(first)
        if (first.agrees is False and many and not plain) or (first.agrees is None and factors.max() > 2.0):
            of_other = typical * float(other.max() / steps.max())
            along_other = np.zeros(v.size)
            along_other[moved] = np.sign(v[moved]) * other
            again, along = _compare(problem, title, u, along_other, of_other, x)
            unseen = not line.moved.any() and along.moved.any()
            if again.agrees or unseen or (first.agrees is None and again.agrees is False):
                first, line, of_first = again, along, of_other
    if first.agrees is False and math.isfinite(first.analytic):
        try:
            note = _excuse(problem, first, line, title, u, of_first)
        except OutOfCalls:
            note = FEW_CALLS
        if note:
            first = replace(first, agrees=None, note=note, noisy=not note.startswith("kink"))
    if first.noisy and 5.0 * first.numeric.error + math.fabs(first.analytic) <= NEGLIGIBLE * whole:
        first = replace(first, agrees=True, note="nothing beside the others", noisy=False)
    return first, line


def _is_plain(row: Comparison) -> bool:
    """Return whether what is wrong is far more than the numerical derivative's error: larger steps see less of it."""
    off = math.fabs(row.analytic - row.numeric.slope)
    return row.numeric.slope != 0.0 and math.isfinite(off) and off > PLAIN * row.numeric.error


def tells(problem: Problem, row: Comparison) -> bool:
    """Return whether a comparison would have told 1 % of the derivative itself: in a type of many bits all do."""
    return half_precision.tells(row) if problem.of_few_bits else row.agrees is not None


def _excuse(problem: Problem, row: Comparison, line: DirectionalFunction, title: str, u: Vector, typical: float) -> str:
    """Return why what seems wrong may be right: rounding, or a kink in several arguments at once; else ""."""
    if problem.of_few_bits:
        return half_precision.excuse(problem, row, line, lambda x: _compare(problem, title, u, line.v, typical, x)[0])
    off = math.fabs(row.analytic - row.numeric.slope)
    if row.numeric.slope == 0.0 and (rounding := _rounding_elsewhere(line, off)):
        return hidden(rounding)
    tread = problem.steps.finest
    still = line(tread) == line(-tread) == 0.0 and line.moves_far_away()  # as what computes in float32 among doubles
    if still and _is_stair(line, row.analytic, off):
        return "too noisy to tell: not so over larger steps"  # it may be what rounding leaves of 1 + erf(x) at -8
    return "kink: not differentiable, as where numbers that are sorted are equal" if is_corner(line) else ""


def _rounding_elsewhere(line: DirectionalFunction, off: float) -> float:
    """Return how far the outputs are rounded where all numbers are moved, if that hides what is off; else 0.0.

    Where one number is moved, they may stay by chance, as what log(exp(x)) - x is rounded to. In steps on both sides
    slopes cancel, and what is left of kinks grows with the steps.
    """
    problem, small = line.problem, 2.0 ** -line.problem.noise_steps[1]
    v = problem.scale * np.random.default_rng(0).uniform(0.5, 1.0, problem.x.size)
    along = DirectionalFunction(problem, line.u, v, line.x)
    near = along(small) + along(-small)
    left = [along(k * small) + along(-k * small) - k * near for k in (3.0, 5.0)]
    rounding = max(map(math.fabs, left)) / math.fabs(line.factor)
    return rounding if SHOWN * rounding >= problem.steps.first[0] * off else 0.0


def _is_stair(line: DirectionalFunction, analytic: float, off: float) -> bool:
    """Return whether the derivative is about its means over steps that pass many treads, and these are hardly off."""
    means = [mean_over(line, h) for h in (0.25, 2.0**-4, 2.0**-6)]
    return any(
        mean is not None
        and math.fabs(mean.off) + mean.noise + mean.bias < 0.5 * off
        and math.fabs(mean.slope - analytic) < 0.5 * off
        for mean in means
    )


def _compare(
    problem: Problem, title: str, u: Vector, v: Vector, typical: float, x: Vector | None
) -> tuple[Comparison, DirectionalFunction]:
    line = DirectionalFunction(problem, u, v, problem.x if x is None else x, single=True)
    try:
        return _told(problem, title, line, typical / math.fabs(line.factor)), line
    except OutOfCalls:
        return Comparison(title, line.slope, Estimate(math.nan, math.inf), None, FEW_CALLS, True), line


def _told(problem: Problem, title: str, line: DirectionalFunction, typical: float) -> Comparison:
    """Compare the derivative along a line."""
    few = problem.of_few_bits
    if few:
        line.moves_far_away()
    first, last = problem.steps.first[0], problem.steps.first[-1 if few else 0]
    change = max(math.fabs(line(first)), math.fabs(line(-first)))
    near = max(math.fabs(line(last)), math.fabs(line(-last))) if few else change
    if not few and not math.isfinite(change) and _is_far(line):
        return Comparison(title, line.slope, Estimate(math.nan, math.inf), None, "outside the domain, so far away")
    moved = change / first if math.isfinite(change) else 0.0
    if moved:  # a wrong gradient says nothing of what is typical; at a stationary point, no gradient does
        typical = max(min(typical, 1e4 * moved), math.sqrt(problem.eps) * min(moved, near / last))
    elif line.slope == 0.0 and math.isfinite(change) and not (few and line.moved.any()):
        return _unmoved(title, line)
    if not few and _is_hidden(line, first, change):  # before the costly ways to tell a little more
        error = 4.0 * line.rounding / first
        estimate = Estimate(_central(line, first), error, error)
        return Comparison(title, line.slope, estimate, None, hidden(line.rounding), True)
    rounded = line.slope_rounding
    tolerance = ArrayTolerance(problem.rtol, problem.atol, typical, rounded, OWN * moved or math.inf)
    over = over_an_interval(line, title, tolerance) if few else None
    if over is not None and (over.agrees is not None or over.numeric.noise > 0.5 * over.numeric.error):
        return over

    if not few and (seen := _at_a_glance(line, title, tolerance, typical)):
        return seen

    steps = problem.steps._replace(small=1e-2 * problem.rtol * tolerance.typical)
    doubtful = not few and problem.bits < MANY_BITS

    def at_the_point(rounding: float, tolerance: ArrayTolerance) -> Comparison:
        satisfied = functools.partial(tolerance.satisfied, line.slope)
        question = Claim(title, line.slope, line, 0.0, 0.0, rounding, tolerance, steps, doubtful, satisfied)
        if question.looks_wrong:
            off = math.fabs(question.analytic - question.central.slope)
            coarse = math.nan if few else line.coarse
            if not off <= coarse:
                problem.suspect(sure=not math.isfinite(line.slope))
                coarse = math.nan if few else line.coarse_nearby()
            if off <= coarse:
                return Comparison(title, line.slope, question.central, None, hidden(coarse), noisy=True)
            question = replace(question)
        row = compare(question)
        off = row.analytic - row.numeric.slope
        if few and row.agrees and not (row.note.startswith("kink") or tolerance.known(row.numeric, off)):
            return replace(row, agrees=None, note=hidden(rounding), noisy=True)
        return row

    row = at_the_point(line.rounding, tolerance)
    if row.agrees and not row.note:
        return row
    rounding = max(line.rounding, noise(line, 0.0, problem.noise_steps))
    if change == 0.0 and line.moves_far_away():  # then rounding hides how it moves near the point
        rounding = max(rounding, first * math.fabs(line.slope))
    row = at_the_point(rounding, tolerance)
    if row.agrees is not True and math.isfinite(line.slope):
        most = math.inf if few else _most_noise(line, rounding, typical)
        if few or row.agrees is None or at_the_point(rounding, replace(tolerance, error=max(rounded, most))) != row:
            rounded = max(rounded, min(noise(line.slope_at, 0.0, problem.noise_steps), most))
            tolerance = replace(tolerance, error=rounded)
            row = at_the_point(rounding, tolerance)
    if row.noisy and not few:
        over = over_an_interval(line, title, tolerance)
        row = row if over is None or over.agrees is None else over
    return row


def _is_far(line: DirectionalFunction) -> bool:
    """Return whether some numbers are moved by many times their own size, so that smaller steps are to be tried."""
    here, steps = np.abs(line.x), np.abs(line.v)
    return bool(np.any((here != 0.0) & (steps > 4.0 * here)))


def _central(line: DirectionalFunction, h: float) -> float:
    return quotient(line, 0.0, h)


def _is_hidden(line: DirectionalFunction, first: float, change: float) -> bool:
    """Return whether even the largest step moves the outputs too little to tell 1 %, and shows no mistake beyond."""
    if not max(change, first * math.fabs(line.slope)) < HIDDEN * line.rounding:
        return False
    return (
        math.fabs(_central(line, first) - line.slope) * first
        <= SHOWN * line.rounding + 0.1 * math.fabs(line.slope) * first
    )


def _unmoved(title: str, line: DirectionalFunction) -> Comparison:
    """Return what is said where the outputs do not change, and should not: they must not far away, either."""
    moves = line.moves_far_away()
    estimate = Estimate(0.0, 0.0)
    return Comparison(
        title, 0.0, estimate, None if moves else True, hidden(line.rounding) if moves else "", noisy=moves
    )


def _at_a_glance(line: DirectionalFunction, title: str, tolerance: ArrayTolerance, typical: float) -> Comparison | None:
    """Return what few quotients tell: that a derivative is right, or wrong beyond doubt; None if they tell neither."""
    steps = line.problem.steps
    e = glance(line, 0.0, steps.first[0], steps.first[2], line.rounding)
    if tolerance.satisfied(line.slope, e):
        return Comparison(title, line.slope, e, True)
    off = math.fabs(line.slope - e.slope)
    noisy = replace(tolerance, error=max(tolerance.error, _most_noise(line, line.rounding, typical)))
    if not math.isfinite(off) or off <= max(noisy.allowed(line.slope, e), line.coarse):
        return None
    telling = off * steps.finest > 40.0 * line.rounding  # else noise hides what the finest steps would show
    small = steps.first[-2], steps.finest if telling else steps.first[-1]
    if not _stands_out(line, e.slope, off, small):
        return None
    line.problem.suspect(sure=telling)
    if not telling and off <= line.coarse_nearby():
        return None
    return Comparison(title, line.slope, e, False, order=_order(line, *small))


def _stands_out(line: DirectionalFunction, slope: float, off: float, steps: Sequence[float]) -> bool:
    """Return whether a derivative is off by far more than the quotients on both sides, with small steps, scatter.

    Noise that hid it would carry these by thousands of times what is off; at a kink, or beside a feature as small as
    the steps, they differ. What does not change with these must not change far away, either.
    """
    scatter = SCATTER * min(off, math.fabs(slope))
    if not all(math.fabs(line(t) / t - slope) <= scatter for h in steps for t in (h, -h)):
        return False
    return slope != 0.0 or not line.moves_far_away()


def _order(line: DirectionalFunction, larger: float, smaller: float) -> float:
    """Return the Taylor remainder's order between two small steps."""
    left = [math.hypot(*(line(t) - t * line.slope for t in (h, -h))) for h in (larger, smaller)]
    return math.log(left[0] / left[1]) / math.log(larger / smaller)


def _most_noise(line: DirectionalFunction, rounding: float, typical: float) -> float:
    """Return how far the analytic derivative may be rounded: as far as the function's own noise explains."""
    problem = line.problem
    largest = float(np.max(np.abs(problem.y))) * float(np.max(np.abs(line.u))) / math.fabs(line.factor)
    digits = max(problem.eps, rounding / (largest or math.inf))
    return BELIEVED * digits * max(typical, math.fabs(line.slope))
