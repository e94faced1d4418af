"""Compare the derivative of a function φ of one number with numerical ones, in stages until one of them decides.

`STAGES` lists the stages, and `HALF_PRECISION_STAGES` the stages for float16 and bfloat16. The stages are tried in
order, and each costs more than the stages before it. A stage returns a comparison if it can tell that the derivative is
right, that it is wrong, or that no comparison could tell. Otherwise the stage returns None. Functions of `Value`s are
compared by some of the last stages, too (`numeric.stages`).

φ is the weighted sum of the outputs of a function along a direction (see `DirectionalFunction`). Its derivative at 0,
which is checked, is called analytic, and its difference from a numerical derivative is called the mismatch.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..numeric.call_budget import OutOfCalls
from ..numeric.compare import Claim, Comparison, Stage, compare, first_verdict, noise_note
from ..numeric.numerical import Estimate, central_quotient, noise_level, two_step_estimate
from ..numeric.stages import agrees_by_known_rounding, measured_rounding_decides, noise_hides_it
from ..numeric.thresholds import (
    ALL_NOISE,
    BEYOND_NOISE,
    BEYOND_OWN_SIZE,
    BURIED,
    CHANGE_FACTOR,
    DOUBLE_PRECISION_BITS,
    ESTIMATED_ERRORS,
    EXACT_ENOUGH,
    FEATURE,
    FLAT_POWER,
    MAX_ANALYTIC_NOISE,
    MAX_SCATTER,
    MIN_SIGNAL_TO_NOISE,
    QUOTIENT_NOISE,
    SURE_IN_FINEST,
    TYPICAL_MOVE,
    VISIBLE_MISMATCH,
    VISIBLE_SHARE,
)
from . import half_precision
from .directional_function import DirectionalFunction
from .interval_means import compare_interval_means
from .problem import norm
from .staircases import climbs_by_rounding, may_be_rounding_steps, step_heights, tread_of
from .tolerance import ArrayTolerance

__tracebackhide__ = True

LOW_STEPS = "no numerical derivative: steps that a quantiser or rounding makes"  # a note
TOO_FEW_CALLS = "too noisy to tell within the limit of calls"


def compare_within_limit(title: str, phi: DirectionalFunction, typical_slope: float) -> Comparison:
    """Compare the derivative of φ with numerical ones, but only as long as calls of the user's function are left.

    If no calls are left, a comparison that says so is returned.

    Args:
        title: the name of the derivative.
        phi: the function φ of one number, which is the weighted sum of the outputs along a direction.
        typical_slope: about how large derivatives along directions like this one are, before they are divided by
            `phi.divisor`.
    """
    try:
        return compare_in_stages(title, phi, typical_slope / math.fabs(phi.divisor))
    except OutOfCalls:
        return Comparison(title, phi.analytic, _rough_estimate(phi), None, TOO_FEW_CALLS, True)


@dataclass(frozen=True)
class Attempt:
    """A comparison of a derivative along a direction.

    Several attempts may be made for one derivative. They move the same elements, but by steps of other sizes.

    Attributes:
        comparison: the result of comparing the derivative with a numerical one.
        phi: the function of one number that was differentiated.
        typical_slope: about how large derivatives along directions like this one are, before they are divided by
            `phi.divisor`.
        confirmed: whether an attempt with shorter steps shows the same mistake.
    """

    comparison: Comparison
    phi: DirectionalFunction
    typical_slope: float
    confirmed: bool = False

    @property
    def is_wrong(self) -> bool:
        """Whether the comparison calls the derivative wrong."""
        return self.comparison.agrees is False

    @property
    def is_kink(self) -> bool:
        """Whether the function seems to have a kink at the point, or near it."""
        return self.comparison.note.startswith("kink")

    @property
    def mismatch(self) -> float:
        """The distance of the analytic derivative from the numerical one."""
        return self.comparison.mismatch


def compare_in_stages(title: str, phi: DirectionalFunction, typical_slope: float) -> Comparison:
    """Return the comparison of the first stage that decides whether the derivative of φ at 0 is right.

    Args:
        title: the name of the derivative.
        phi: the function φ of one number, which is the weighted sum of the outputs along a direction.
        typical_slope: about how large derivatives along directions like that of φ are.

    Raises:
        OutOfCalls: the running comparison may not call the user's function any more.
        NotDeterministic: the function seems to jump, and two calls at the same point gave different results.
    """
    case = Case(title, phi, typical_slope)
    found = first_verdict(HALF_PRECISION_STAGES if case.half_precision else STAGES, case)
    phi.check_jump()
    flat = found.agrees and found.analytic == found.numeric.slope == 0.0 and not case.half_precision
    if flat and climbs_by_rounding(phi):  # only rounding makes f as flat as the derivative says
        return found._replace(agrees=None, numeric=_rough_estimate(phi), note=LOW_STEPS)
    return found


class Case:
    """A derivative that is compared in stages, and what the stages have found out about it so far.

    The function φ is first computed in the largest of the steps with which numerical derivatives begin,
    `Steps.first_steps`, to both sides. In half precision, it is also computed in the smallest of these steps, and in
    steps that are far larger than all of them.

    Args:
        title: the name of the derivative.
        phi: the function φ of one number, which is the weighted sum of the outputs along a direction. Its derivative at
            0 is compared.
        typical_slope: about how large derivatives along directions like that of φ are.

    Attributes:
        problem: the function of arrays from which φ is made, with its steps and tolerances.
        half_precision: whether the problem's numbers are in half precision (float16 or bfloat16).
        first: the largest step.
        change: how far φ changes in the largest step, to the side where it changes more.
        moved: the slope of φ over the largest step, `change / first`; 0.0 if φ is not finite there.
        first_look: the result of the cheapest comparison; None before it is made, or if it gives no clear verdict.
    """

    def __init__(self, title: str, phi: DirectionalFunction, typical_slope: float) -> None:
        self.title, self.phi, self.problem = title, phi, phi.problem
        self.half_precision = half = self.problem.half_precision
        if half:
            phi.changes_far_away()
        steps = self.problem.steps.first_steps
        self.first, last = steps[0], steps[-1 if half else 0]
        self.change = _change_over(phi, self.first)
        near = _change_over(phi, last) if half else self.change
        self.moved = self.change / self.first if math.isfinite(self.change) else 0.0
        if self.moved:  # the gradient may be wrong, or 0 at a stationary point, so the change bounds the typical slope
            beside = math.sqrt(self.problem.eps) * min(self.moved, near / last)
            phi.typical_slope = typical_slope = min(typical_slope, TYPICAL_MOVE * self.moved)
            typical_slope = max(typical_slope, beside)
        self.first_look: Comparison | None = None
        self._typical_slope = typical_slope
        self._tolerance: ArrayTolerance | None = None

    @property
    def tolerance(self) -> ArrayTolerance:
        """The tolerance of the comparison. It depends on how steeply `phi` changes over the largest step."""
        if self._tolerance is None:  # the lock of `cached_property` would cost one percent of a check in Python 3.11
            self._tolerance = self._choose_tolerance()
        return self._tolerance

    def _choose_tolerance(self) -> ArrayTolerance:
        """Return the tolerance, which grows with the typical slope of f.

        The typical slope is measured over a step of the numerical derivative. If f may be far flatter near the point,
        as x**4 is near 0, the slope over a shorter step is used instead.
        """
        problem, phi, moved, typical_slope = self.problem, self.phi, self.moved, self._typical_slope
        half = self.half_precision
        if not half and moved and typical_slope > phi.typical_slope:  # f may be far steeper in large steps, as x**4 is
            nearer = problem.steps.first_steps[1]
            beside = math.sqrt(problem.eps) * _change_over(phi, nearer) / nearer
            typical_slope = max(phi.typical_slope, min(beside or math.inf, typical_slope))
        own_slope = CHANGE_FACTOR * moved or math.inf
        flat_slope = 0.0 if half else problem.eps**FLAT_POWER * moved
        return ArrayTolerance(problem.rtol, problem.atol, typical_slope, phi.analytic_rounding, own_slope, flat_slope)

    def take_first_look(self) -> None:
        """Compare a few difference quotients, and set `first_look` to the result, or to None if there is no verdict.

        In half precision, means over intervals around the point are compared, and the result may be uncertain.
        """
        if self.half_precision:
            over = compare_interval_means(self.phi, self.title, self.tolerance, half_precision.has_settled)
            self.first_look = over
        else:
            self.first_look = _compare_quickly(self.phi, self.title, self.tolerance)

    @functools.cached_property
    def at_point(self) -> tuple[Comparison, ArrayTolerance]:
        """The comparison at the point with the measured rounding error of `phi`, and the tolerance that it used."""
        rounding = self._measured_rounding()
        return self._allowing_for_analytic_noise(self.compare_at_point(rounding, self.tolerance), rounding)

    @property
    def by_known_rounding(self) -> Comparison:
        """The comparison of derivatives at the point. It allows only for rounding of the last bits of the outputs."""
        return self.compare_at_point(self.phi.rounding, self.tolerance)

    @property
    def by_measured_rounding(self) -> Comparison:
        """The comparison of derivatives at the point. It allows for the measured rounding error of `phi`."""
        return self.at_point[0]

    def compare_at_point(self, rounding: float, tolerance: ArrayTolerance) -> Comparison:
        """Compare the derivative of `phi` at 0 with numerical derivatives there, which are extrapolated to steps of 0.

        `rounding` is the rounding error of the values of `phi`. A derivative that looks wrong gets no verdict if the
        mismatch is no larger than rounding explains in small outputs beside large ones, or in large intermediate
        results. This does not hold in half precision. There, a derivative that agrees gets no verdict if the numerical
        derivative is not exact enough, except at a kink.
        """
        problem, phi, half, title = self.problem, self.phi, self.half_precision, self.title
        steps = problem.steps._replace(absolute_error=EXACT_ENOUGH * problem.rtol * self.tolerance.typical_slope)
        needs_first_order = not half and problem.bits < DOUBLE_PRECISION_BITS
        accept = functools.partial(tolerance.accepts, phi.analytic)
        claim = Claim(title, phi.analytic, phi, 0.0, 0.0, rounding, tolerance, steps, needs_first_order, accept)
        if claim.looks_wrong:
            mismatch = math.fabs(claim.analytic - claim.central.slope)
            most = phi.largest_change / problem.steps.first_steps[0]
            coarse = math.nan if half else min(phi.rounding_beside_largest, most)
            if not mismatch <= coarse:
                problem.budget.lift_limit(sure=not math.isfinite(phi.analytic))
                coarse = math.nan if half else min(phi.intermediate_rounding, most)
            if mismatch <= coarse:
                return Comparison(title, phi.analytic, claim.central, None, noise_note(coarse), noisy=True)
            claim = replace(claim)
        comparison = compare(claim)
        if (
            half
            and comparison.agrees
            and not (
                comparison.note.startswith("kink") or tolerance.is_exact_enough(comparison.numeric, comparison.mismatch)
            )
        ):
            return comparison._replace(agrees=None, note=noise_note(rounding), noisy=True)
        return comparison

    def _measured_rounding(self) -> float:
        """Return the rounding error of the values of `phi`, measured near the point.

        It is at least the scatter of these values. If `phi` does not change in the largest step, but some output
        changes in far larger steps, rounding may have made a staircase of `phi`: its values stay the same along a tread
        and jump at its end. The result is then at least the height of the jump at the end of the tread around the
        point. In half precision, where no tread is looked for, or if none is found, the change that the checked
        derivative predicts for the largest step takes the place of this height. But if a mask makes the tread, such as
        that of relu, only the scatter counts: a mask makes no jump.
        """
        problem, phi = self.problem, self.phi
        rounding = max(phi.rounding, noise_level(phi, 0.0, problem.noise_exponents))
        if self.change == 0.0 and phi.changes_far_away():
            around = None if self.half_precision else tread_of(phi)
            if not (around and around.is_mask):
                rounding = max(rounding, around.height if around else self.first * math.fabs(phi.analytic))
        return rounding

    def _allowing_for_analytic_noise(
        self, comparison: Comparison, rounding: float
    ) -> tuple[Comparison, ArrayTolerance]:
        """Return a comparison that allows for rounding of the analytic derivative, and the tolerance that it used.

        If the derivative does not agree in `comparison`, the rounding of the analytic derivative is measured, and the
        derivative is compared once more. But `comparison` itself is returned if the derivative is infinite or nan, or,
        except in half precision, if rounding cannot change its verdict. `rounding` is the rounding error of the values
        of `phi`.
        """
        problem, phi, half, tolerance = self.problem, self.phi, self.half_precision, self.tolerance
        if comparison.agrees is True or not math.isfinite(phi.analytic):
            return comparison, tolerance
        most = math.inf if half else _max_analytic_noise(phi, rounding, tolerance.typical_slope)
        rounded = tolerance.analytic_error
        if not half and comparison.agrees is not None:  # no use in measuring if the largest noise changes no verdict
            noisiest = tolerance._replace(analytic_error=max(rounded, most))
            if self.compare_at_point(rounding, noisiest) == comparison:
                return comparison, tolerance
        needed = 0.0 if half else comparison.mismatch - tolerance.allowed_error(phi.analytic, comparison.numeric)
        needed = needed if 0.0 < needed < math.inf else 0.0  # less noise does not explain the mismatch
        rounded = max(rounded, min(noise_level(phi.analytic_at, 0.0, problem.noise_exponents, needed), most))
        tolerance = tolerance._replace(analytic_error=rounded)
        again = self.compare_at_point(rounding, tolerance)
        beyond = comparison.mismatch > BEYOND_NOISE * (rounded + ESTIMATED_ERRORS * comparison.numeric.error)
        return comparison if comparison.agrees is False and not half and beyond else again, tolerance


def leaves_domain(case: Case) -> Comparison | None:
    """Return a comparison without a verdict if the largest steps seem to leave the domain of f; else None.

    They probably do if `case.phi` is infinite or nan in these steps, and some element moves by far more than its
    absolute value. Smaller steps may stay inside the domain.
    """
    if math.isfinite(case.change) or not _moves_beyond_own_size(case.phi):
        return None
    note = "outside the domain: the steps are too large"
    return Comparison(case.title, case.phi.analytic, Estimate(math.nan, math.inf), None, note)


def nothing_changes(case: Case) -> Comparison | None:
    """Return a comparison that calls a derivative of 0 right if no output changes, not even in far larger steps.

    If an output changes in far larger steps alone, rounding may hide its changes in small steps, so the comparison has
    no verdict. None is returned if the derivative is not 0, or if `case.phi` changes in the largest step. In half
    precision, None is also returned if an output has changed in any step so far.
    """
    phi = case.phi
    if case.moved or phi.analytic != 0.0 or not math.isfinite(case.change):
        return None
    if case.half_precision and (phi.changed_outputs & (phi.u != 0.0)).any():
        return None
    moves = phi.changes_far_away()
    note = noise_note(phi.rounding) if moves else ""
    return Comparison(case.title, 0.0, Estimate(0.0, 0.0), None if moves else True, note, noisy=moves)


def rounding_hides_all(case: Case) -> Comparison | None:
    """Return a comparison without a verdict if rounding would hide an error of 1 % even in the largest step.

    None is returned if rounding would not hide such an error, or if the derivative is so wrong that the mistake shows
    in the largest step in spite of rounding.
    """
    phi, first = case.phi, case.first
    analytic, seen = first * math.fabs(phi.analytic), MIN_SIGNAL_TO_NOISE * phi.rounding
    if not max(case.change, analytic) < seen:
        return None
    slope = central_quotient(phi, 0.0, first)
    hidden = VISIBLE_MISMATCH * phi.rounding + VISIBLE_SHARE * math.fabs(phi.analytic) * first
    if not math.fabs(slope - phi.analytic) * first <= hidden:
        return None
    error = ALL_NOISE * phi.rounding / first
    return Comparison(case.title, phi.analytic, Estimate(slope, error, error), None, noise_note(phi.rounding), True)


def rounding_hides_both(case: Case) -> Comparison | None:
    """Return a comparison without a verdict if rounding hides both derivatives, the analytic and the numerical one.

    It hides the numerical derivative if the change of `case.phi` in the largest step is hardly larger than rounding,
    and the analytic one if this step times the derivative is hardly larger. Then means over intervals would not tell a
    mistake from noise either. None is returned in other cases, or if the noise is so small that a numerical derivative
    of 0 with this noise is exact enough for the tolerance.
    """
    phi, first = case.phi, case.first
    if not max(case.change, first * math.fabs(phi.analytic)) <= BURIED * phi.rounding:
        return None
    noise = phi.rounding / first
    if case.tolerance.is_exact_enough(Estimate(0.0, BURIED * noise), 0.0):
        return None
    estimate = _rough_estimate(phi)._replace(noise=noise)
    return Comparison(case.title, phi.analytic, estimate, None, noise_note(phi.rounding), True)


def agrees_at_first_look(case: Case) -> Comparison | None:
    """Make the cheapest comparison, and store it in `Case.first_look`. Return it if the derivative agrees.

    If the derivative does not agree, None is returned, and later stages use `Case.first_look`.
    """
    case.take_first_look()
    return case.first_look if case.first_look and case.first_look.agrees else None


def is_step(case: Case) -> Comparison | None:
    """Return a comparison that calls a derivative of 0 right if f is a step function along the direction; else None.

    An example of a step function is floor. The comparison has no verdict if rounding in a coarser type may have made
    the steps.
    """
    heights = step_heights(case.phi) if case.phi.analytic == 0.0 else None
    if heights is None:
        return None
    if not case.half_precision and may_be_rounding_steps(case.phi, heights):
        return Comparison(case.title, 0.0, _rough_estimate(case.phi), None, LOW_STEPS)
    return Comparison(case.title, 0.0, Estimate(0.0, 0.0), True)


def first_look_decides(case: Case) -> Comparison | None:
    """Return the cheapest comparison, `Case.first_look`, if it has a verdict; else None.

    In half precision, it is also returned without a verdict if later stages could hardly reach one (see `is_hopeless`).
    """
    seen = case.first_look
    if seen and case.half_precision and seen.agrees is None and not half_precision.is_hopeless(seen, case.phi):
        return None
    return seen


def first_look_is_more_exact(case: Case) -> Comparison | None:
    """Return the comparison `Case.first_look` if its error is less than that of `by_measured_rounding`; else None."""
    seen = case.first_look
    return seen if seen and seen.numeric.error < case.by_measured_rounding.numeric.error else None


def interval_means_decide(case: Case) -> Comparison | None:
    """Compare the mean of the derivative over intervals around the point with the mean slope of f there.

    Return the comparison if it has a verdict, else None.
    """
    over = compare_interval_means(case.phi, case.title, case.at_point[1])
    return None if over is None or over.agrees is None else over


STAGES: tuple[Stage[Case], ...] = (
    leaves_domain,
    nothing_changes,
    rounding_hides_all,
    agrees_at_first_look,
    is_step,
    first_look_decides,
    agrees_by_known_rounding,
    measured_rounding_decides,
    interval_means_decide,
    noise_hides_it,
)
HALF_PRECISION_STAGES: tuple[Stage[Case], ...] = (
    nothing_changes,
    rounding_hides_both,
    agrees_at_first_look,
    is_step,
    first_look_decides,
    agrees_by_known_rounding,
    measured_rounding_decides,
    first_look_is_more_exact,
    noise_hides_it,
)


def _change_over(phi: DirectionalFunction, step: float) -> float:
    """Return the larger of |φ(step)| and |φ(-step)|: how far φ changes in a step to either side."""
    return max(math.fabs(phi(step)), math.fabs(phi(-step)))


def _moves_beyond_own_size(phi: DirectionalFunction) -> bool:
    """Return whether `phi` moves some element by more than `BEYOND_OWN_SIZE` times the element's absolute value.

    Such a move may leave the domain of f, and a smaller one may not. Elements that are 0 do not count.
    """
    here, steps = np.abs(phi.x), np.abs(phi.v)
    return bool(np.any((here != 0.0) & (steps > BEYOND_OWN_SIZE * here)))


def _rough_estimate(phi: DirectionalFunction) -> Estimate:
    """Return a rough numerical derivative of φ, for a comparison without a verdict.

    It is made from the values at the largest steps, if they are known already, so f is not called. Its error is
    estimated as at least its own absolute value. If a value is not known or not finite, the derivative is nan, and its
    error is infinite.
    """
    h = phi.problem.steps.first_steps[0]
    above, below = phi.known(h), phi.known(-h)
    if not (math.isfinite(above) and math.isfinite(below)):
        return Estimate(math.nan, math.inf)
    absorbed = 0.5 * phi.problem.outputs.eps * norm(phi.u, phi.outputs) / math.fabs(phi.divisor)
    noise = 2.0 * max(phi.rounding, absorbed) / h
    size = max(math.fabs(above), math.fabs(below)) / h
    return Estimate((above - below) / (2.0 * h), size + noise, noise)


def _compare_quickly(phi: DirectionalFunction, title: str, tolerance: ArrayTolerance) -> Comparison | None:
    """Compare the derivative of `phi` with a few difference quotients; return None if these give no clear verdict."""
    steps = phi.problem.steps
    e = two_step_estimate(phi, 0.0, steps.first_steps[0], steps.first_steps[2], phi.rounding)
    if tolerance.accepts(phi.analytic, e):
        return Comparison(title, phi.analytic, e, True)
    mismatch = math.fabs(phi.analytic - e.slope)
    noise = _max_analytic_noise(phi, phi.rounding, tolerance.typical_slope)
    noisy = tolerance._replace(analytic_error=max(tolerance.analytic_error, noise))
    if not math.isfinite(mismatch) or mismatch <= noisy.allowed_error(phi.analytic, e):
        return None
    most = phi.largest_change / phi.problem.steps.first_steps[0]
    if mismatch <= most and mismatch <= phi.rounding_beside_largest:
        return None
    telling = (
        mismatch * steps.finest > SURE_IN_FINEST * phi.rounding
    )  # the finest steps show a mistake in spite of noise
    small = steps.first_steps[-2], steps.finest if telling else steps.first_steps[-1]
    if not _stands_out(phi, e.slope, mismatch, small):
        return None
    phi.problem.budget.lift_limit(sure=telling)
    if not telling and (
        _may_be_noise(phi, e.slope, mismatch * small[0]) or mismatch <= min(phi.intermediate_rounding, most)
    ):
        return None
    return Comparison(title, phi.analytic, e, False, remainder_order=_remainder_order(phi, *small))


def _stands_out(phi: DirectionalFunction, slope: float, mismatch: float, steps: Sequence[float]) -> bool:
    """Return whether difference quotients with small steps agree so well that the mismatch cannot be noise.

    They must agree with `slope` up to a small part of it and of the mismatch. Noise as large as the mismatch would
    scatter them far more. At a kink, or next to a feature as small as the steps, they do not agree either. If `slope`
    is 0, but an output changes in far larger steps, the result is False, since rounding may hide the changes in small
    steps.

    Args:
        phi: the function of one number that is differentiated.
        slope: the numerical derivative of `phi` at 0.
        mismatch: the distance of the analytic derivative from `slope`.
        steps: small steps, for which the difference quotients are computed, to both sides.
    """
    scatter = MAX_SCATTER * min(mismatch, math.fabs(slope))
    if not all(math.fabs(phi(t) / t - slope) <= scatter for h in steps for t in (h, -h)):
        return False
    return slope != 0.0 or not phi.changes_far_away()


def _may_be_noise(phi: DirectionalFunction, slope: float, off: float) -> bool:
    """Return whether values of `phi` in the finest steps show so much noise that it may explain the mismatch `off`.

    The mismatch is the difference of two derivatives of `phi`. Noise is how far `phi` is from a straight line with the
    slope `slope` in the finest steps. If `phi` does not change, although the change of the line is far larger than the
    known rounding error of `phi`, noise of unknown size hides the changes, and the result is True.
    """
    finest = phi.problem.steps.finest
    values = phi(finest), phi(-finest)
    noise = max(math.fabs(values[0] - finest * slope), math.fabs(values[1] + finest * slope))
    still = values == (0.0, 0.0) and math.fabs(slope) * finest > FEATURE * phi.rounding
    return still or off <= QUOTIENT_NOISE * noise


def _remainder_order(phi: DirectionalFunction, larger: float, smaller: float) -> float:
    """Return the order in t of the Taylor remainder φ(t) - t * φ.analytic, where φ is the function `phi`.

    It is computed from the sizes of the remainder at two small steps t, the `larger` and the `smaller`.
    """
    left = [math.hypot(*(phi(t) - t * phi.analytic for t in (h, -h))) for h in (larger, smaller)]
    return math.log(left[0] / left[1]) / math.log(larger / smaller)


def _max_analytic_noise(phi: DirectionalFunction, rounding: float, typical_slope: float) -> float:
    """Return how large the rounding error of a correct derivative may be, judged by the rounding error of `phi`.

    `rounding` is the rounding error of `phi`, and `typical_slope` is about how large derivatives of `phi` are.
    """
    problem = phi.problem
    largest = problem.max_magnitude(problem.y) * problem.max_magnitude(phi.u) / math.fabs(phi.divisor)
    digits = max(problem.eps, rounding / (largest or math.inf))
    return MAX_ANALYTIC_NOISE * digits * max(typical_slope, math.fabs(phi.analytic))
