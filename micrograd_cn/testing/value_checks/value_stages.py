"""Compare a derivative of a function of `Value`s with a numerical one, in stages until one of them decides."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf, nan

from ..numeric.compare import Claim, Comparison, Stage, compare, first_verdict, noise_note
from ..numeric.numerical import Estimate, derivative, noise_level, taylor_order
from ..numeric.stages import agrees_by_known_rounding, measured_rounding_decides, noise_hides_it
from ..numeric.thresholds import (
    ESTIMATED_ERRORS,
    EXCUSED_ERROR,
    HIDDEN_VALUE_CHANGE,
    KNOWN_WELL,
    MAX_ZERO_ERROR,
    TELLING_SHARE,
    ZERO_SHARE,
)

__tracebackhide__ = True


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


class ValueCase:
    """A derivative of a function of `Value`s that is compared in stages.

    The attributes are computed when a stage first needs them, and later stages use them again.

    Args:
        claim: the derivative, the function and the point.
        rtol: relative tolerance.
        atol: the absolute tolerance that the user gave; None for the default.
        loses_digits: tells whether an intermediate value has lost digits, for example by cancellation.
    """

    def __init__(self, claim: Claim, rtol: float, atol: float | None, loses_digits: Callable[[], bool]) -> None:
        self.claim, self.rtol, self.atol, self.loses_digits = claim, rtol, atol, loses_digits

    @functools.cached_property
    def by_known_rounding(self) -> Comparison:
        """The comparison in which the rounding error of the function is `claim.rounding`, computed from the graph."""
        return compare(self.claim)

    @functools.cached_property
    def by_measured_rounding(self) -> Comparison:
        """The comparison that takes `measured_rounding` as the rounding error of the function."""
        measured = self.measured_rounding
        return (
            compare(replace(self.claim, rounding=measured))
            if measured > self.claim.rounding
            else self.by_known_rounding
        )

    @functools.cached_property
    def measured_rounding(self) -> float:
        """The rounding error of the function, measured near the point, but at least the one computed from the graph."""
        return max(self.claim.rounding, noise_level(self.claim.g, self.claim.x))


def compare_value(claim: Claim, rtol: float, atol: float | None, loses_digits: Callable[[], bool]) -> Comparison:
    """Compare the derivative of a function of `Value`s with a numerical one.

    Args:
        claim: the derivative, the function and the point.
        rtol: relative tolerance.
        atol: the absolute tolerance that the user gave; None for the default.
        loses_digits: tells whether an intermediate value has lost digits, for example by cancellation.
    """
    return first_verdict(VALUE_STAGES, ValueCase(claim, rtol, atol, loses_digits))


def is_not_finite(case: ValueCase) -> Comparison | None:
    """Return a comparison, marked as not compared, if the function is infinite or nan at the point; else None."""
    y = case.claim.y
    if math.isfinite(y):
        return None
    return case.claim.verdict(Estimate(nan, inf), None, f"not finite at the point: the function is {y}")


def default_atol_hides_mistake(case: ValueCase) -> Comparison | None:
    """Return a comparison that calls the derivative wrong if it agrees only because of the default `atol`; else None.

    None is also returned if the numerical derivative is not known to four digits, or if an intermediate value may have
    lost digits.
    """
    claim, comparison = case.claim, case.by_known_rounding
    if case.atol is not None or not comparison.agrees or comparison.note:
        return None
    enough = max(EXCUSED_ERROR, case.rtol)
    if _is_close(claim.analytic, comparison.numeric.slope, enough) or case.loses_digits():
        return None
    again = derivative(claim.g, claim.x, 0, case.measured_rounding)
    known = again.slope != 0.0 and again.error <= KNOWN_WELL * math.fabs(again.slope)
    if not known or _is_close(claim.analytic, again.slope, enough):
        return None
    order = taylor_order(claim.g, claim.x, claim.analytic, case.measured_rounding)
    return claim.verdict(again, False)._replace(remainder_order=order)


def cannot_be_compared(case: ValueCase) -> Comparison | None:
    """Return the comparison that allows for the computed rounding error, if it says neither right nor wrong; else None.

    If the computed rounding error is too large for a verdict, so is the measured one, which later stages would take,
    since it counts only if it is larger.
    """
    return case.by_known_rounding if case.by_known_rounding.agrees is None else None


def rounding_hides_change(case: ValueCase) -> Comparison | None:
    """Return a comparison, marked as not compared, if rounding may hide how the function changes; else None.

    Rounding may hide the change if the numerical derivative is 0, and if the checked derivative predicts a change that
    is hardly larger than the measured rounding.
    """
    claim, comparison = case.claim, case.by_known_rounding
    if comparison.agrees or comparison.numeric.slope != 0.0:
        return None
    predicted = math.fabs(claim.analytic) * max(math.fabs(claim.x), 1.0)
    if not predicted <= HIDDEN_VALUE_CHANGE * case.measured_rounding:
        return None
    return comparison._replace(agrees=None, note=noise_note(case.measured_rounding), noisy=True)


VALUE_STAGES: tuple[Stage[ValueCase], ...] = (
    is_not_finite,
    default_atol_hides_mistake,
    agrees_by_known_rounding,
    cannot_be_compared,
    rounding_hides_change,
    measured_rounding_decides,
    noise_hides_it,
)


def _is_close(analytic: float, slope: float, part: float) -> bool:
    """Return whether `analytic` differs from `slope` by at most `part` times the size of `slope`."""
    return math.fabs(analytic - slope) <= part * math.fabs(slope)
