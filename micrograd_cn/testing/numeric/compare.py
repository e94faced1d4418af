"""Compare one derivative with a numerical one: it is right, wrong, or not comparable.

A `Claim` holds the derivative that is checked, the function, and the point. A `Comparison` is the verdict. The
derivative that is checked is called analytic.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf, nan
from typing import Protocol

from .numerical import Estimate, Steps, agree, derivative, is_off_in_first_order, noise_level, taylor_order
from .thresholds import (
    ESTIMATED_ERRORS,
    EXCUSED_ERROR,
    FINEST_JUMP,
    FIRST_ORDER,
    HIDDEN_VALUE_CHANGE,
    JUMP_ROUNDING,
    KNOWN_ROUGHLY,
    KNOWN_WELL,
    MAX_JUMP,
    MAX_ZERO_ERROR,
    NEARER_SLOPE,
    NOISE_SHARE,
    OUTSIDE,
    SAME_SLOPE,
    SURE_IN_FINEST,
    TELLING_SHARE,
    WIDER_THAN_FINEST,
    ZERO_SHARE,
)

__tracebackhide__ = True  # pytest leaves out the frames of this file


@dataclass(frozen=True)
class Comparison:
    """The result of comparing one derivative with a numerical one; in a message, it is one line of the table.

    Attributes:
        title: the name of the derivative, such as "df/dx0".
        analytic: the derivative that is checked.
        numeric: the numerical derivative.
        agrees: True if it is right, False if it is wrong, None if it could not be compared.
        note: why it could not be compared, or what is special at the point.
        noisy: whether rounding noise of the function hides the derivative.
        remainder_order: the order of the Taylor remainder (see `taylor_order`), if the derivative is wrong; else nan.
        argument: the name of the array that the derivative is with respect to; "" if it has no name.
        cause: what is likely wrong, if the comparison shows it.
        hidden: about how large a mistake in the gradient may be without showing along any direction, relative to the
            norm of the gradient. It is nan where it is not known, as for a single derivative.
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
    hidden: float = nan

    @property
    def mismatch(self) -> float:
        """The distance of the analytic derivative from the numerical one."""
        return math.fabs(self.analytic - self.numeric.slope)


class Tolerance(Protocol):
    """Tells how exact a numerical derivative must be, and how far from it the derivative that is checked may be."""

    def is_exact_enough(self, e: Estimate) -> bool:
        """Return whether the numerical derivative `e` is exact enough to compare another derivative with it."""
        ...

    def allowed_error(self, analytic: float, *estimates: Estimate) -> float:
        """Return how far `analytic`, the derivative that is checked, may be from the numerical ones in `estimates`."""
        ...


@dataclass(frozen=True)
class ValueTolerance:
    """The tolerance for functions of `Value`s, whose rounding errors are known from their graphs.

    Attributes:
        rtol: relative tolerance.
        atol: absolute tolerance.
        typical_slope: |y| / max(|x|, 1) for the point x and the value y. With this slope, the function changes by about
            its own value in a step of max(|x|, 1).
    """

    rtol: float
    atol: float
    typical_slope: float

    def is_exact_enough(self, e: Estimate) -> bool:
        """Return whether the numerical derivative `e` is exact enough to compare another derivative with it."""
        # An estimate with a larger error would excuse any derivative.
        telling = max(
            self.atol, min(ZERO_SHARE * self.typical_slope, MAX_ZERO_ERROR), TELLING_SHARE * math.fabs(e.slope)
        )
        return (
            e.error <= max(self.atol, self.rtol * max(math.fabs(e.slope), self.typical_slope))
            and ESTIMATED_ERRORS * e.error <= telling
        )

    def allowed_error(self, analytic: float, *estimates: Estimate) -> float:
        """Return how far `analytic`, the derivative that is checked, may be from the numerical ones in `estimates`."""
        larger = math.fabs(analytic) if math.isfinite(analytic) else 0.0
        return max(
            self.atol,
            *(max(self.rtol * max(math.fabs(e.slope), larger), ESTIMATED_ERRORS * e.error) for e in estimates),
        )


@dataclass(frozen=True)
class Claim:
    """The claim that the number `analytic` is the derivative of `g`, a function of one number, at `x`.

    Attributes:
        title: the name of the derivative.
        analytic: the derivative that is checked.
        g: the function.
        x: the point.
        y: the value g(x); if it is not finite, there is no derivative.
        rounding: the absolute rounding error of the values of `g`.
        tolerance: how exact the numerical derivative must be, and how far from it the analytic one may be.
        steps: the steps of the numerical derivative; the default suits a function that computes in doubles.
        needs_first_order: whether a derivative counts as wrong only if its Taylor remainder is of first order in the
            step (see `taylor_order`).
        accept: tells whether a numerical derivative is exact enough (see `numerical.derivative`).
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
        """The numerical derivative that uses values of `g` on both sides of `x`."""
        return self.derivative(0)

    @property
    def looks_wrong(self) -> bool:
        """Whether the analytic derivative is not finite, or farther from the numerical one than is allowed."""
        mismatch = math.fabs(self.analytic - self.central.slope)
        return not math.isfinite(self.analytic) or mismatch > self.tolerance.allowed_error(self.analytic, self.central)

    def derivative(self, side: int) -> Estimate:
        """Return the numerical derivative of `g`: central for side 0, from the right for 1, from the left for -1."""
        accept = None if side else self.accept
        return derivative(self.g, self.x, side, self.rounding, self.steps, accept)

    def remainder_order(self) -> float:
        """Return the order of the Taylor remainder (see `taylor_order`); it is about 1 for a wrong derivative.

        If `steps` is set, the order is computed on both sides of the point, and the larger one is returned. Otherwise,
        the order is computed on the right side alone. The result is nan if rounding hides the remainder.
        """
        first = self.steps.first_steps[0] if self.steps else 0.0
        orders = [
            taylor_order(self.g, self.x, self.analytic, self.rounding, step)
            for step in ((first, -first) if first else (0.0,))
        ]
        found = [order for order in orders if not math.isnan(order)]
        return max(found) if found else nan

    def is_off_in_first_order(self, numeric: float) -> bool:
        """Return whether values on both sides of the point show that the analytic derivative is wrong.

        `numeric` is the numerical derivative. The method works even if the curvature of `g` is so large that the order
        of the Taylor remainder does not show a mistake (see `numerical.is_off_in_first_order`).
        """
        assert self.steps is not None
        first, mismatch = self.steps.first_steps[0], self.analytic - numeric
        return is_off_in_first_order(self.g, self.x, self.analytic, self.rounding, first, mismatch)


def compare_value(claim: Claim, rtol: float, atol: float | None, loses_digits: Callable[[], bool]) -> Comparison:
    """Compare the derivative of a function of `Value`s with a numerical one.

    A difference counts as a mistake only if it exceeds the measured rounding noise of the function. A derivative that
    agrees only because of the default absolute tolerance is still wrong if the numerical one is known to four digits
    and no intermediate value has lost digits.

    Args:
        claim: the derivative, the function and the point.
        rtol: relative tolerance.
        atol: the absolute tolerance that the user gave; None for the default.
        loses_digits: tells whether an intermediate value has lost digits, for example by cancellation.
    """
    title, analytic, g, x = claim.title, claim.analytic, claim.g, claim.x
    if not math.isfinite(claim.y):
        return Comparison(
            title, analytic, Estimate(nan, inf), None, f"not finite at the point: the function is {claim.y}"
        )
    comparison, rounding = compare(claim), claim.rounding
    if comparison.agrees is None:
        return comparison
    if comparison.agrees is False or comparison.note:
        measured = max(rounding, noise_level(g, x))
        unseen = comparison.agrees is False and comparison.numeric.slope == 0.0
        if unseen and math.fabs(analytic) * max(math.fabs(x), 1.0) <= HIDDEN_VALUE_CHANGE * measured:
            return replace(comparison, agrees=None, note=noise_note(measured), noisy=True)
        return compare(replace(claim, rounding=measured)) if measured > rounding else comparison
    enough = max(EXCUSED_ERROR, rtol)
    if atol is not None or _is_close(analytic, comparison.numeric.slope, enough) or loses_digits():
        return comparison
    measured = max(rounding, noise_level(g, x))
    again = derivative(g, x, 0, measured)
    is_exact_enough = again.slope != 0.0 and again.error <= KNOWN_WELL * math.fabs(again.slope)
    if is_exact_enough and not _is_close(analytic, again.slope, enough):
        return Comparison(title, analytic, again, False, remainder_order=taylor_order(g, x, analytic, measured))
    return comparison


def _is_close(analytic: float, slope: float, part: float) -> bool:
    """Return whether `analytic` differs from `slope` by at most `part` times the size of `slope`."""
    return math.fabs(analytic - slope) <= part * math.fabs(slope)


def compare(claim: Claim) -> Comparison:
    """Compare the derivative in a claim with a numerical one.

    At a kink, the derivative is right if it lies between the two one-sided derivatives. At the edge of the domain, it
    is right if it is the one-sided derivative. A derivative that differs may still count as not compared. It does if
    the function seems to have a feature, such as a jump or a spike, that is as narrow as the finest step in
    `Claim.steps`. If `needs_first_order` is set, it also does if neither the order of the Taylor remainder nor
    `is_off_in_first_order` shows a mistake.
    """
    comparison = _compare_once(claim)
    if comparison.noisy and claim.needs_first_order and _is_off_though_noisy(claim):
        return replace(comparison, agrees=False, note="", noisy=False)
    if comparison.agrees is not False:
        return comparison
    if claim.steps and _has_fine_feature(comparison, claim, claim.steps.finest):
        return replace(comparison, agrees=None, note="no numerical derivative: a feature as small as the finest steps")
    order = claim.remainder_order()
    if (
        claim.needs_first_order
        and math.isfinite(comparison.analytic)
        and not (order < FIRST_ORDER or claim.is_off_in_first_order(comparison.numeric.slope))
    ):
        return replace(
            comparison, agrees=None, note="too noisy to tell: the mismatch vanishes in smaller steps", noisy=True
        )
    return replace(comparison, remainder_order=order)


def _is_off_though_noisy(claim: Claim) -> bool:
    """Return whether the central numerical derivative shows a mistake, even if noise hides the one-sided ones."""
    central = claim.central
    return (
        claim.tolerance.is_exact_enough(central)
        and claim.looks_wrong
        and math.isfinite(claim.analytic)
        and claim.is_off_in_first_order(central.slope)
    )


def _has_fine_feature(comparison: Comparison, claim: Claim, finest: float) -> bool:
    """Return whether the function seems to have a jump or another feature that is as narrow as the step `finest`.

    It does if it jumps within this step, or if its slope over this step is nearer to the derivative that is checked
    than the numerical derivative in `comparison` is. If noise may hide the mismatch in this step, the result is False.
    """
    g, x, rounding = claim.g, claim.x, claim.rounding
    far = WIDER_THAN_FINEST * finest
    change, wider = g(x + finest) - g(x - finest), g(x + far) - g(x - far)
    mismatch = comparison.mismatch
    nearer = math.fabs(change / (2.0 * finest) - comparison.analytic) < NEARER_SLOPE * mismatch
    jumps = math.fabs(change) > max(0.5 * math.fabs(wider), FINEST_JUMP * rounding)
    return (nearer or jumps) and SURE_IN_FINEST * rounding < mismatch * finest


def _compare_once(claim: Claim) -> Comparison:
    """Compare the claimed derivative with the central numerical one or, if that is not exact, with one-sided ones."""
    title, analytic, rounding = claim.title, claim.analytic, claim.rounding
    is_exact_enough, allowed_error = claim.tolerance.is_exact_enough, claim.tolerance.allowed_error
    central = claim.central
    if is_exact_enough(central) and math.fabs(analytic - central.slope) <= allowed_error(analytic, central):
        return Comparison(title, analytic, central, True)
    left, right = claim.derivative(-1), claim.derivative(1)
    if is_exact_enough(left) and is_exact_enough(right):
        kink = f"kink: {left.slope:.6g} on the left, {right.slope:.6g} on the right"
        apart = math.fabs(left.slope - right.slope)
        if apart <= SAME_SLOPE * allowed_error(analytic, left, right):
            sides = (left, right)
            near = [math.fabs(analytic - side.slope) <= allowed_error(analytic, side) for side in sides]
            if any(near) and apart > sum(allowed_error(analytic, side) for side in sides):
                # The derivative is that of one side, hardly by coincidence: this is a kink, so it is not called wrong.
                return Comparison(title, analytic, central, None, kink)
            agrees = all(near)
            return Comparison(title, analytic, central if is_exact_enough(central) and not agrees else right, agrees)
        lower, upper = sorted((left, right), key=lambda side: side.slope)
        inside = (
            lower.slope - allowed_error(analytic, lower) <= analytic <= upper.slope + allowed_error(analytic, upper)
        )
        return Comparison(title, analytic, central, None if math.isnan(analytic) else inside, kink)
    if is_exact_enough(left) or is_exact_enough(right):
        side, where = (left, "left") if is_exact_enough(left) else (right, "right")
        agrees = math.fabs(analytic - side.slope) <= allowed_error(analytic, side)
        if not agrees and is_exact_enough(central) and agree(central, side):  # it is smooth on the other side, too
            return Comparison(title, analytic, central, False)
        y = beyond = claim.y
        if not claim.steps:  # a function along a direction is the same at neighbouring floats
            beyond = claim.g(math.nextafter(claim.x, inf if where == "left" else -inf))
        jump = math.fabs(beyond - y) > max(MAX_JUMP * max(math.fabs(beyond), math.fabs(y)), JUMP_ROUNDING * rounding)
        if math.isfinite(beyond) and (jump or not agrees):
            return Comparison(title, analytic, side, None, f"a jump or a pole nearby: smooth on the {where} only")
        return Comparison(title, analytic, side, agrees, f"edge of the domain: compared on the {where}")
    known = [side for side in (central, left, right) if side.error <= KNOWN_ROUGHLY * math.fabs(side.slope)]
    if len(known) == 3:  # at a kink, the derivative may be anywhere between those of the two sides
        ends = [side.slope + sign * OUTSIDE * side.error for side in known for sign in (1.0, -1.0)]
        if not min(ends) <= analytic <= max(ends):
            return Comparison(title, analytic, central, False)
    if central.noise > NOISE_SHARE * central.error:
        return Comparison(title, analytic, central, None, noise_note(rounding), noisy=True)
    return Comparison(title, analytic, central, None, "no numerical derivative: a jump, a pole, or too much noise")


def noise_note(rounding: float) -> str:
    """Return a note for messages: rounding changes the function by about `rounding`, too much to tell a derivative."""
    return f"too noisy to tell: values are rounded by {rounding:.1g}"
