"""Compare one derivative with a numerical one: right, wrong, at a kink, or not to be told."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf, nan
from typing import Protocol

from .numerical import Estimate, Steps, derivative, noise_level, taylor_order

__tracebackhide__ = True  # pytest leaves out the frames of this file

EXCUSED_ERROR = 1e-3  # of a derivative, by which one may be off that the default absolute tolerance excuses


@dataclass(frozen=True)
class Comparison:
    """One line of the comparison.

    Attributes:
        title: which derivative.
        analytic: the one that is checked.
        numeric: the numerical one.
        agrees: None if it could not be compared.
        note: why not, or what is special there.
        noisy: whether it is noise that hides the derivative.
        order: of the Taylor remainder, where they disagree.
        argument: which array the derivative is of.
        cause: what is likely wrong, where the comparison tells it.
    """

    title: str
    analytic: float
    numeric: Estimate
    agrees: bool | None
    note: str = ""
    noisy: bool = False
    remainder_order: float = nan
    argument: str = ""
    cause: str = ""


class Tolerance(Protocol):
    """Say how exact a numerical derivative must be to tell anything, and how far one may be from it."""

    def is_exact_enough(self, e: Estimate) -> bool:
        """Return whether it is exact enough to be compared with."""
        ...

    def allowed_error(self, analytic: float, *estimates: Estimate) -> float:
        """Return how far `analytic` may be from the estimates."""
        ...


@dataclass(frozen=True)
class ValueTolerance:
    """The tolerance for functions of `Value`s, whose rounding is known from their graphs."""

    rtol: float
    atol: float
    typical_slope: float

    def is_exact_enough(self, e: Estimate) -> bool:
        """Return whether it is exact enough to be compared with."""
        telling = max(
            self.atol, min(1e-12 * self.typical_slope, 1e-3), 0.1 * math.fabs(e.slope)
        )  # more would excuse anything
        return (
            e.error <= max(self.atol, self.rtol * max(math.fabs(e.slope), self.typical_slope))
            and 5.0 * e.error <= telling
        )

    def allowed_error(self, analytic: float, *estimates: Estimate) -> float:
        """Return how far `analytic` may be from the estimates."""
        larger = math.fabs(analytic) if math.isfinite(analytic) else 0.0
        return max(self.atol, *(max(self.rtol * max(math.fabs(e.slope), larger), 5.0 * e.error) for e in estimates))


@dataclass(frozen=True)
class Claim:
    """What is asked of one derivative: is it that of a function of one number?

    Attributes:
        title: which derivative.
        analytic: the one that is checked.
        g: the function.
        x: the point.
        y: the function there.
        rounding: how far rounding may carry `y`.
        tolerance: how exact a numerical derivative must be, and how far off the analytic one may be.
        steps: of the numerical derivative; by default those of what computes with doubles.
        needs_first_order: whether what rounding leaves of a mistake must look like one: a remainder of the first order.
        accept: whether the analytic derivative agrees with an estimate that no finer step would tell apart from it.
    """

    title: str
    analytic: float
    g: Callable[[float], float]
    x: float
    y: float
    rounding: float
    tolerance: Tolerance
    steps: Steps | None = None
    needs_first_order: bool = False
    accept: Callable[[Estimate], bool] | None = None

    @functools.cached_property
    def central(self) -> Estimate:
        """The numerical derivative from both sides."""
        return self.derivative(0)

    @property
    def looks_wrong(self) -> bool:
        """Whether the analytic derivative is farther from the numerical one than that seems to be known."""
        mismatch = math.fabs(self.analytic - self.central.slope)
        return not math.isfinite(self.analytic) or mismatch > self.tolerance.allowed_error(self.analytic, self.central)

    def derivative(self, side: int) -> Estimate:
        """Return the numerical derivative: central for side 0, from the right for 1, from the left for -1."""
        accept = None if side else self.accept
        return derivative(self.g, self.x, side, self.rounding, self.steps, accept)

    def remainder_order(self) -> float:
        """Return the Taylor remainder's order: on both sides less than 1.5 if the derivative is wrong."""
        first = self.steps.first_steps[0] if self.steps else 0.0
        orders = [
            taylor_order(self.g, self.x, self.analytic, self.rounding, step)
            for step in ((first, -first) if first else (0.0,))
        ]
        found = [order for order in orders if not math.isnan(order)]
        return max(found) if found else nan


def compare_value(claim: Claim, rtol: float, atol: float | None, loses_digits: Callable[[], bool]) -> Comparison:
    """Compare a derivative of a function of `Value`s.

    A mistake must stand out from the noise of `g`, too, which is measured. What the default absolute tolerance excuses
    is a mistake if the derivative is known to four digits and no value on the way has lost digits.
    """
    title, analytic, g, x = claim.title, claim.analytic, claim.g, claim.x
    if not math.isfinite(claim.y):
        return Comparison(title, analytic, Estimate(nan, inf), None, f"what is differentiated is {claim.y} there")
    comparison, rounding = compare(claim), claim.rounding
    if comparison.agrees is None:
        return comparison
    if comparison.agrees is False or comparison.note:
        measured = max(rounding, noise_level(g, x))
        unseen = comparison.agrees is False and comparison.numeric.slope == 0.0
        if unseen and math.fabs(analytic) * max(math.fabs(x), 1.0) <= 32.0 * measured:
            return replace(comparison, agrees=None, note=noise_note(measured), noisy=True)
        return compare(replace(claim, rounding=measured)) if measured > rounding else comparison
    enough = max(EXCUSED_ERROR, rtol)
    if atol is not None or _is_close(analytic, comparison.numeric.slope, enough) or loses_digits():
        return comparison
    measured = max(rounding, noise_level(g, x))
    again = derivative(g, x, 0, measured)
    is_exact_enough = again.slope != 0.0 and again.error <= 1e-4 * math.fabs(again.slope)
    if is_exact_enough and not _is_close(analytic, again.slope, enough):
        return Comparison(title, analytic, again, False, remainder_order=taylor_order(g, x, analytic, measured))
    return comparison


def _is_close(analytic: float, slope: float, part: float) -> bool:
    return math.fabs(analytic - slope) <= part * math.fabs(slope)


def compare(claim: Claim) -> Comparison:
    """Compare the derivative of `g` at `x` with the numerical one.

    At a kink it agrees between the derivatives of the two sides, at the edge of the domain with that of the one side.
    """
    comparison = _compare_once(claim)
    if comparison.agrees is not False:
        return comparison
    if claim.steps and _has_fine_feature(comparison, claim, claim.steps.finest):
        return replace(comparison, agrees=None, note="no numerical derivative: a feature as small as the finest steps")
    order = claim.remainder_order()
    if claim.needs_first_order and math.isfinite(comparison.analytic) and not order < 1.5:
        return replace(
            comparison, agrees=None, note="too noisy to tell: what is off vanishes in smaller steps", noisy=True
        )
    return replace(comparison, remainder_order=order)


def _has_fine_feature(comparison: Comparison, claim: Claim, finest: float) -> bool:
    """Return whether the finest steps show a jump, or something nearer to the derivative that is checked."""
    g, x, rounding = claim.g, claim.x, claim.rounding
    change, wider = g(x + finest) - g(x - finest), g(x + 8.0 * finest) - g(x - 8.0 * finest)
    mismatch = math.fabs(comparison.analytic - comparison.numeric.slope)
    nearer = math.fabs(change / (2.0 * finest) - comparison.analytic) < 0.7 * mismatch
    jumps = math.fabs(change) > max(0.5 * math.fabs(wider), 16.0 * rounding)
    return (nearer or jumps) and 40.0 * rounding < mismatch * finest


def _compare_once(claim: Claim) -> Comparison:
    title, analytic, rounding = claim.title, claim.analytic, claim.rounding
    is_exact_enough, allowed_error = claim.tolerance.is_exact_enough, claim.tolerance.allowed_error
    central = claim.central
    if is_exact_enough(central) and math.fabs(analytic - central.slope) <= allowed_error(analytic, central):
        return Comparison(title, analytic, central, True)
    left, right = claim.derivative(-1), claim.derivative(1)
    if is_exact_enough(left) and is_exact_enough(right):
        kink = f"kink: {left.slope:.6g} on the left, {right.slope:.6g} on the right"
        apart = math.fabs(left.slope - right.slope)
        if apart <= 10.0 * allowed_error(analytic, left, right):
            sides = (left, right)
            near = [math.fabs(analytic - side.slope) <= allowed_error(analytic, side) for side in sides]
            if any(near) and apart > sum(allowed_error(analytic, side) for side in sides):
                return Comparison(
                    title, analytic, central, None, kink
                )  # if it is that of one side, it is not wrong by chance
            agrees = all(near)  # not by chance
            return Comparison(title, analytic, central if is_exact_enough(central) and not agrees else right, agrees)
        lower, upper = sorted((left, right), key=lambda side: side.slope)
        inside = (
            lower.slope - allowed_error(analytic, lower) <= analytic <= upper.slope + allowed_error(analytic, upper)
        )
        return Comparison(title, analytic, central, None if math.isnan(analytic) else inside, kink)
    if is_exact_enough(left) or is_exact_enough(right):
        side, where = (left, "left") if is_exact_enough(left) else (right, "right")
        agrees = math.fabs(analytic - side.slope) <= allowed_error(analytic, side)
        beyond, y = claim.g(math.nextafter(claim.x, inf if where == "left" else -inf)), claim.y
        jump = math.fabs(beyond - y) > max(1e-6 * max(math.fabs(beyond), math.fabs(y)), 1e3 * rounding)
        if math.isfinite(beyond) and (jump or not agrees):
            return Comparison(title, analytic, side, None, f"a jump or a pole near: smooth on the {where} alone")
        return Comparison(title, analytic, side, agrees, f"edge of the domain: compared on the {where}")
    if central.noise > 0.1 * central.error:
        return Comparison(title, analytic, central, None, noise_note(rounding), noisy=True)
    return Comparison(title, analytic, central, None, "no numerical derivative: a jump, a pole, or too much noise")


def noise_note(rounding: float) -> str:
    """Return the note of what noise hides."""
    return f"too noisy to tell: values are rounded by {rounding:.1g}"
