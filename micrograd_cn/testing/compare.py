"""Compare one derivative with a numerical one: right, wrong, at a kink, or not to be told."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf, nan
from typing import Protocol

from .numerical import Estimate, Steps, derivative, noise, taylor_order

__tracebackhide__ = True  # pytest leaves out the frames of this file

CLOSE = 1e-3  # of a derivative, by which one may be off that the default absolute tolerance excuses


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
    order: float = nan
    argument: str = ""
    cause: str = ""


class Tolerance(Protocol):
    """Say how exact a numerical derivative must be to tell anything, and how far one may be from it."""

    def known(self, e: Estimate) -> bool:
        """Return whether it is exact enough to be compared with."""
        ...

    def allowed(self, analytic: float, *estimates: Estimate) -> float:
        """Return how far `analytic` may be from the estimates."""
        ...


@dataclass(frozen=True)
class ValueTolerance:
    """The tolerance for functions of `Value`s, whose rounding is known from their graphs."""

    rtol: float
    atol: float
    size: float

    def known(self, e: Estimate) -> bool:
        """Return whether it is exact enough to be compared with."""
        telling = max(self.atol, min(1e-12 * self.size, 1e-3), 0.1 * math.fabs(e.slope))  # more would excuse anything
        return e.error <= max(self.atol, self.rtol * max(math.fabs(e.slope), self.size)) and 5.0 * e.error <= telling

    def allowed(self, analytic: float, *estimates: Estimate) -> float:
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
        doubtful: whether what rounding leaves of a mistake must look like one: a remainder of the first order.
        satisfied: whether the analytic derivative agrees with an estimate that no finer step would tell apart from it.
    """

    title: str
    analytic: float
    g: Callable[[float], float]
    x: float
    y: float
    rounding: float
    tolerance: Tolerance
    steps: Steps | None = None
    doubtful: bool = False
    satisfied: Callable[[Estimate], bool] | None = None

    @functools.cached_property
    def central(self) -> Estimate:
        """The numerical derivative from both sides."""
        return self.derivative(0)

    @property
    def looks_wrong(self) -> bool:
        """Whether the analytic derivative is farther from the numerical one than that seems to be known."""
        off = math.fabs(self.analytic - self.central.slope)
        return not math.isfinite(self.analytic) or off > self.tolerance.allowed(self.analytic, self.central)

    def derivative(self, side: int) -> Estimate:
        """Return the numerical derivative: central for side 0, from the right for 1, from the left for -1."""
        satisfied = None if side else self.satisfied
        return derivative(self.g, self.x, side, self.rounding, self.steps, satisfied)

    def order(self) -> float:
        """Return the Taylor remainder's order: on both sides less than 1.5 if the derivative is wrong."""
        first = self.steps.first[0] if self.steps else 0.0
        orders = [
            taylor_order(self.g, self.x, self.analytic, self.rounding, step)
            for step in ((first, -first) if first else (0.0,))
        ]
        found = [order for order in orders if not math.isnan(order)]
        return max(found) if found else nan


def compare_value(question: Claim, rtol: float, atol: float | None, lost_digits: Callable[[], bool]) -> Comparison:
    """Compare a derivative of a function of `Value`s.

    A mistake must stand out from the noise of `g`, too, which is measured. What the default absolute tolerance excuses
    is a mistake if the derivative is known to four digits and no value on the way has lost digits.
    """
    title, analytic, g, x = question.title, question.analytic, question.g, question.x
    if not math.isfinite(question.y):
        return Comparison(title, analytic, Estimate(nan, inf), None, f"what is differentiated is {question.y} there")
    row, rounding = compare(question), question.rounding
    if row.agrees is None:
        return row
    if row.agrees is False or row.note:
        measured = max(rounding, noise(g, x))
        unseen = row.agrees is False and row.numeric.slope == 0.0
        if unseen and math.fabs(analytic) * max(math.fabs(x), 1.0) <= 32.0 * measured:
            return replace(row, agrees=None, note=hidden(measured), noisy=True)
        return compare(replace(question, rounding=measured)) if measured > rounding else row
    enough = max(CLOSE, rtol)
    if atol is not None or _is_close(analytic, row.numeric.slope, enough) or lost_digits():
        return row
    measured = max(rounding, noise(g, x))
    again = derivative(g, x, 0, measured)
    known = again.slope != 0.0 and again.error <= 1e-4 * math.fabs(again.slope)
    if known and not _is_close(analytic, again.slope, enough):
        return Comparison(title, analytic, again, False, order=taylor_order(g, x, analytic, measured))
    return row


def _is_close(analytic: float, slope: float, part: float) -> bool:
    return math.fabs(analytic - slope) <= part * math.fabs(slope)


def compare(question: Claim) -> Comparison:
    """Compare the derivative of `g` at `x` with the numerical one.

    At a kink it agrees between the derivatives of the two sides, at the edge of the domain with that of the one side.
    """
    row = _judged(question)
    if row.agrees is not False:
        return row
    if question.steps and _is_too_fine(row, question, question.steps.finest):
        return replace(row, agrees=None, note="no numerical derivative: a feature as small as the finest steps")
    order = question.order()
    if question.doubtful and math.isfinite(row.analytic) and not order < 1.5:
        return replace(row, agrees=None, note="too noisy to tell: what is off vanishes in smaller steps", noisy=True)
    return replace(row, order=order)


def _is_too_fine(row: Comparison, question: Claim, finest: float) -> bool:
    """Return whether the finest steps show a jump, or something nearer to the derivative that is checked."""
    g, x, rounding = question.g, question.x, question.rounding
    change, wider = g(x + finest) - g(x - finest), g(x + 8.0 * finest) - g(x - 8.0 * finest)
    off = math.fabs(row.analytic - row.numeric.slope)
    nearer = math.fabs(change / (2.0 * finest) - row.analytic) < 0.7 * off
    jumps = math.fabs(change) > max(0.5 * math.fabs(wider), 16.0 * rounding)
    return (nearer or jumps) and 40.0 * rounding < off * finest


def _judged(question: Claim) -> Comparison:
    title, analytic, rounding = question.title, question.analytic, question.rounding
    known, allowed = question.tolerance.known, question.tolerance.allowed
    central = question.central
    if known(central) and math.fabs(analytic - central.slope) <= allowed(analytic, central):
        return Comparison(title, analytic, central, True)
    left, right = question.derivative(-1), question.derivative(1)
    if known(left) and known(right):
        kink = f"kink: {left.slope:.6g} on the left, {right.slope:.6g} on the right"
        apart = math.fabs(left.slope - right.slope)
        if apart <= 10.0 * allowed(analytic, left, right):
            sides = (left, right)
            near = [math.fabs(analytic - side.slope) <= allowed(analytic, side) for side in sides]
            if any(near) and apart > sum(allowed(analytic, side) for side in sides):
                return Comparison(
                    title, analytic, central, None, kink
                )  # if it is that of one side, it is not wrong by chance
            agrees = all(near)  # not by chance
            return Comparison(title, analytic, central if known(central) and not agrees else right, agrees)
        lower, upper = sorted((left, right), key=lambda side: side.slope)
        inside = lower.slope - allowed(analytic, lower) <= analytic <= upper.slope + allowed(analytic, upper)
        return Comparison(title, analytic, central, None if math.isnan(analytic) else inside, kink)
    if known(left) or known(right):
        side, where = (left, "left") if known(left) else (right, "right")
        agrees = math.fabs(analytic - side.slope) <= allowed(analytic, side)
        beyond, y = question.g(math.nextafter(question.x, inf if where == "left" else -inf)), question.y
        jump = math.fabs(beyond - y) > max(1e-6 * max(math.fabs(beyond), math.fabs(y)), 1e3 * rounding)
        if math.isfinite(beyond) and (jump or not agrees):
            return Comparison(title, analytic, side, None, f"a jump or a pole near: smooth on the {where} alone")
        return Comparison(title, analytic, side, agrees, f"edge of the domain: compared on the {where}")
    if central.noise > 0.1 * central.error:
        return Comparison(title, analytic, central, None, hidden(rounding), noisy=True)
    return Comparison(title, analytic, central, None, "no numerical derivative: a jump, a pole, or too much noise")


def hidden(rounding: float) -> str:
    """Return the note of what noise hides."""
    return f"too noisy to tell: values are rounded by {rounding:.1g}"
