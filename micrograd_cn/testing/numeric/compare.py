"""Compare one derivative with a numerical one: it is right, wrong, or not comparable.

A `Claim` holds the derivative that is checked, the function, and the point. A `Comparison` is the verdict. It is
reached in stages: `STAGES_AT_POINT` lists them, and the first one that can decide does (`first_verdict`). Functions of
`Value`s and functions of arrays have further stages, which come before these. The derivative that is checked is called
analytic.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf, nan
from typing import NamedTuple, Protocol, TypeAlias, TypeVar

from .numerical import Estimate, Steps, agree, derivative, is_off_in_first_order, taylor_order
from .thresholds import (
    FINEST_JUMP,
    FIRST_ORDER,
    JUMP_ROUNDING,
    KNOWN_ROUGHLY,
    MAX_JUMP,
    NEARER_SLOPE,
    NOISE_SHARE,
    OUTSIDE,
    SAME_SLOPE,
    SURE_IN_FINEST,
    WIDER_THAN_FINEST,
)

__tracebackhide__ = True  # pytest leaves out the frames of this file

FINE_FEATURE = "no numerical derivative: a feature as small as the finest steps"  # a note


class Comparison(NamedTuple):
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
        hidden: about how large a mistake in one element of the gradient may be without showing along any of the
            directions that were compared, relative to the norm of the gradient; nan if it is not known, as for a single
            derivative. If there are several arrays, which may have different units, the gradient with respect to each
            array is first multiplied by the smallest entry of `Problem.scale` for this array.
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


C = TypeVar("C")
Stage: TypeAlias = Callable[[C], Comparison | None]


class Tolerance(Protocol):
    """Decide how exact a numerical derivative must be, and how far from it the derivative that is checked may be."""

    def is_exact_enough(self, e: Estimate) -> bool:
        """Return whether the numerical derivative `e` is exact enough to compare another derivative with it."""
        ...

    def allowed_error(self, analytic: float, *estimates: Estimate) -> float:
        """Return how far `analytic`, the derivative that is checked, may be from the numerical ones in `estimates`."""
        ...


def first_verdict(stages: Iterable[Stage[C]], case: C) -> Comparison:
    """Return the comparison of the first stage that decides. The last stage of a list always decides.

    Args:
        stages: functions that take the case, and return a comparison, or None if they cannot decide.
        case: what the stages look at: the derivative that is compared, and what earlier stages have found out.
    """
    return next(comparison for stage in stages if (comparison := stage(case)) is not None)


@dataclass(frozen=True)
class Claim:
    """The claim that the number `analytic` is the derivative of `g`, a function of one number, at `x`.

    Attributes:
        title: the name of the derivative.
        analytic: the derivative that is checked.
        g: the function of one number that is differentiated.
        x: the point at which `g` is differentiated.
        y: the value g(x); if it is not finite, there is no derivative.
        rounding: the absolute rounding error of the values of `g`.
        tolerance: how exact the numerical derivative must be, and how far from it the analytic one may be.
        steps: the steps of the numerical derivative; the default suits a function that computes in doubles.
        needs_first_order: whether a derivative counts as wrong only if its Taylor remainder is of first order in the
            step (see `taylor_order`).
        accept: tells whether `analytic` agrees with a numerical derivative; None if that one is not exact enough to
            tell (see `numerical.derivative`).
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
    accept: Callable[[Estimate], bool | None] | None = None

    @functools.cached_property
    def central(self) -> Estimate:
        """The numerical derivative that uses values of `g` on both sides of `x`."""
        return self.derivative(0)

    @functools.cached_property
    def left(self) -> Estimate:
        """The numerical derivative that uses values of `g` on the left of `x`."""
        return self.derivative(-1)

    @functools.cached_property
    def right(self) -> Estimate:
        """The numerical derivative that uses values of `g` on the right of `x`."""
        return self.derivative(1)

    @property
    def looks_wrong(self) -> bool:
        """Whether the analytic derivative is not finite, or farther from the numerical one than is allowed."""
        mismatch = math.fabs(self.analytic - self.central.slope)
        return not math.isfinite(self.analytic) or mismatch > self.tolerance.allowed_error(self.analytic, self.central)

    def derivative(self, side: int) -> Estimate:
        """Return the numerical derivative of `g`: central for side 0, from the right for 1, from the left for -1."""
        accept = None if side else self.accept
        return derivative(self.g, self.x, side, self.rounding, self.steps, accept)

    def allowed_error(self, *estimates: Estimate) -> float:
        """Return how far the analytic derivative may be from the numerical ones in `estimates`."""
        return self.tolerance.allowed_error(self.analytic, *estimates)

    def is_near(self, e: Estimate) -> bool:
        """Return whether the analytic derivative is as near to the numerical one in `e` as the tolerance allows."""
        return math.fabs(self.analytic - e.slope) <= self.allowed_error(e)

    def knows(self, *estimates: Estimate) -> bool:
        """Return whether all these numerical derivatives are exact enough to judge the analytic one by them."""
        return all(map(self.tolerance.is_exact_enough, estimates))

    def verdict(self, numeric: Estimate, agrees: bool | None, note: str = "", noisy: bool = False) -> Comparison:
        """Return a `Comparison` of the analytic derivative with `numeric`. The arguments become its attributes."""
        return Comparison(self.title, self.analytic, numeric, agrees, note, noisy)

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

        `numeric` is the numerical derivative. The method works even if the function curves so strongly that the order
        of the Taylor remainder does not show a mistake (see `numerical.is_off_in_first_order`).
        """
        assert self.steps is not None
        first, mismatch = self.steps.first_steps[0], self.analytic - numeric
        return is_off_in_first_order(self.g, self.x, self.analytic, self.rounding, first, mismatch)


def compare(claim: Claim) -> Comparison:
    """Compare the derivative in a claim with a numerical one, by the first stage in `STAGES_AT_POINT` that decides.

    At a kink, the derivative is right if it lies between the two one-sided derivatives. At the edge of the domain, it
    is right if it is the one-sided derivative. In three cases, the verdict of the stage is changed:

    - A wrong derivative counts as not compared if the function seems to have a feature, such as a jump or a spike, that
      is as narrow as the finest step in `Claim.steps`.
    - If `needs_first_order` is set, a wrong derivative counts as not compared unless the order of the Taylor remainder
      or `is_off_in_first_order` shows the mistake.
    - If `needs_first_order` is set, a derivative that noise hides counts as wrong if the central numerical derivative
      and `is_off_in_first_order` show the mistake.
    """
    comparison = first_verdict(STAGES_AT_POINT, claim)
    if comparison.noisy and claim.needs_first_order and _is_off_though_noisy(claim):
        return comparison._replace(agrees=False, note="", noisy=False)
    if comparison.agrees is not False:
        return comparison
    if claim.steps and _has_fine_feature(comparison, claim, claim.steps.finest):
        return comparison._replace(agrees=None, note=FINE_FEATURE)
    order = claim.remainder_order()
    if (
        claim.needs_first_order
        and math.isfinite(comparison.analytic)
        and not (order < FIRST_ORDER or claim.is_off_in_first_order(comparison.numeric.slope))
    ):
        return comparison._replace(
            agrees=None, note="too noisy to tell: the mismatch vanishes in smaller steps", noisy=True
        )
    return comparison._replace(remainder_order=order)


def _is_off_though_noisy(claim: Claim) -> bool:
    """Return whether the central numerical derivative shows a mistake, even if noise hides the one-sided ones."""
    central = claim.central
    return (
        claim.knows(central)
        and claim.looks_wrong
        and math.isfinite(claim.analytic)
        and claim.is_off_in_first_order(central.slope)
    )


def _has_fine_feature(comparison: Comparison, claim: Claim, finest: float) -> bool:
    """Return whether the function seems to have a jump or another feature that is as narrow as the step `finest`.

    The result is True if the function jumps within this step, or if its slope over this step is nearer to the
    derivative that is checked than the numerical derivative in `comparison` is. The result is False if noise may hide
    the difference of the two derivatives in this step.
    """
    g, x, rounding = claim.g, claim.x, claim.rounding
    far = WIDER_THAN_FINEST * finest
    change, wider = g(x + finest) - g(x - finest), g(x + far) - g(x - far)
    mismatch = comparison.mismatch
    nearer = math.fabs(change / (2.0 * finest) - comparison.analytic) < NEARER_SLOPE * mismatch
    jumps = math.fabs(change) > max(0.5 * math.fabs(wider), FINEST_JUMP * rounding)
    return (nearer or jumps) and SURE_IN_FINEST * rounding < mismatch * finest


def agrees_on_both_sides(claim: Claim) -> Comparison | None:
    """Return the comparison if the derivative agrees with the central numerical one; else None."""
    central = claim.central
    return claim.verdict(central, True) if claim.knows(central) and claim.is_near(central) else None


def has_one_slope(claim: Claim) -> Comparison | None:
    """Compare the derivative with the left and the right numerical one if these two are nearly equal; else return None.

    None is also returned if either is not exact enough. If the two sides differ by more than their errors allow, there
    is a small kink. The comparison then has no verdict if the derivative agrees with one side alone, or lies between
    the two.
    """
    left, right = claim.left, claim.right
    if not claim.knows(left, right):
        return None
    apart = math.fabs(left.slope - right.slope)
    if not apart <= SAME_SLOPE * claim.allowed_error(left, right):
        return None
    near = claim.is_near(left), claim.is_near(right)
    between = min(left.slope, right.slope) <= claim.analytic <= max(left.slope, right.slope)
    if (any(near) or between) and apart > claim.allowed_error(left) + claim.allowed_error(right):
        return claim.verdict(claim.central, None, _kink_note(claim))
    agrees = all(near)
    return claim.verdict(claim.central if claim.knows(claim.central) and not agrees else right, agrees)


def lies_at_kink(claim: Claim) -> Comparison | None:
    """Call the derivative right if it lies between the left and the right numerical one, and wrong if it does not.

    A derivative of nan gets no verdict. None is returned instead of a comparison if either of the numerical derivatives
    is not exact enough. The function has a kink at the point, since `has_one_slope` has found that they differ.
    """
    if not claim.knows(claim.left, claim.right):
        return None
    lower, upper = sorted((claim.left, claim.right), key=lambda side: side.slope)
    low, high = lower.slope - claim.allowed_error(lower), upper.slope + claim.allowed_error(upper)
    agrees = None if math.isnan(claim.analytic) else low <= claim.analytic <= high
    return claim.verdict(claim.central, agrees, _kink_note(claim))


def lies_at_edge(claim: Claim) -> Comparison | None:
    """Return a comparison of the derivative with the numerical derivative of one side, as at the edge of the domain.

    The left side is taken, unless only the numerical derivative of the right side is exact enough. None is returned if
    neither is. A derivative that disagrees counts as wrong if the function is smooth on the other side, too, or is not
    finite there. If it disagrees and neither is so, or if the function jumps at the point, there is no verdict.
    """
    sides = {"left": claim.left, "right": claim.right}
    known = [where for where, side in sides.items() if claim.knows(side)]
    if not known:
        return None
    where = known[0]
    side, central, y = sides[where], claim.central, claim.y
    agrees = claim.is_near(side)
    if not agrees and claim.knows(central) and agree(central, side):  # it is smooth on the other side, too
        return claim.verdict(central, False)
    beyond = y
    if not claim.steps:  # a function along a direction is the same at neighbouring floats
        beyond = claim.g(math.nextafter(claim.x, inf if where == "left" else -inf))
    jump = math.fabs(beyond - y) > max(MAX_JUMP * max(math.fabs(beyond), math.fabs(y)), JUMP_ROUNDING * claim.rounding)
    if math.isfinite(beyond) and (jump or not agrees):
        return claim.verdict(side, None, f"a jump or a pole nearby: smooth on the {where} only")
    return claim.verdict(side, agrees, f"edge of the domain: compared on the {where}")


def lies_far_outside(claim: Claim) -> Comparison | None:
    """Return a comparison that calls the derivative wrong if it is far from all three numerical derivatives; else None.

    These are the central, the left and the right one. None is also returned if the estimated error of one of them is
    more than `KNOWN_ROUGHLY` times its size.
    """
    estimates = claim.central, claim.left, claim.right
    if not all(e.error <= KNOWN_ROUGHLY * math.fabs(e.slope) for e in estimates):
        return None
    ends = [e.slope + sign * OUTSIDE * e.error for e in estimates for sign in (1.0, -1.0)]
    return None if min(ends) <= claim.analytic <= max(ends) else claim.verdict(claim.central, False)


def is_unknown(claim: Claim) -> Comparison:
    """Return a comparison without a verdict, the last resort. Its note says whether noise hides the derivative."""
    central = claim.central
    if central.noise > NOISE_SHARE * central.error:
        return claim.verdict(central, None, noise_note(claim.rounding), noisy=True)
    return claim.verdict(central, None, "no numerical derivative: a jump, a pole, or too much noise")


STAGES_AT_POINT: tuple[Stage[Claim], ...] = (
    agrees_on_both_sides,
    has_one_slope,
    lies_at_kink,
    lies_at_edge,
    lies_far_outside,
    is_unknown,
)


def _kink_note(claim: Claim) -> str:
    """Return a note for messages that gives the slopes on the left and on the right of a kink."""
    return f"kink: {claim.left.slope:.6g} on the left, {claim.right.slope:.6g} on the right"


def noise_note(rounding: float) -> str:
    """Return a note for messages, which says that rounding of about `rounding` in the function hides its derivative."""
    return f"too noisy to tell: values are rounded by {rounding:.1g}"
