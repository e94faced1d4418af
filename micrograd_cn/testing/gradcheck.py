"""Compare gradients with numerical derivatives that know their own error."""

from __future__ import annotations

import itertools
import math
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, nan
from typing import Any

from ..engine import Value, topological_order
from ..gradients import gradients
from ..operation import number
from ..tree import flatten

LEVELS = 14  # halvings of the step in one extrapolation
COARSEST = 2.0**-8  # distance of neighbouring floats beyond which few steps are small
SIXTH = (1, -6, 15, -20, 15, -6, 1)  # difference, in which what is smooth vanishes and noise stays


class GradientMismatch(AssertionError):
    """A gradient differs from the numerical derivative by more than the latter's error and the tolerance.

    >>> from micrograd_cn import Op
    >>> half = Op("half", lambda x: x * x, (lambda y, x: x,))  # half of the derivative
    >>> gradcheck(half, 3.0)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    micrograd_cn.testing.gradcheck.GradientMismatch: gradcheck of ... at 3.0: 1 of 1 derivatives wrong
    ...
    """


class NothingCompared(ValueError):
    """No gradient could be compared with a numerical derivative, so that nothing was checked.

    >>> gradcheck(lambda x: x.log(), -1.0)
    Traceback (most recent call last):
    micrograd_cn.testing.gradcheck.NothingCompared: gradcheck of <lambda> at -1.0: outside the domain, the function is \
nan there
    """


class PartlyCompared(UserWarning):
    """Some gradients could not be compared with a numerical derivative; the others agree.

    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     gradcheck(lambda x, w: x.sqrt() + w, 0.0, 1.0)  # the square root's slope at 0 is inf
    >>> [warning.category.__name__ for warning in caught]
    ['PartlyCompared']
    """


@dataclass(frozen=True)
class Estimate:
    """A numerical derivative and an estimate of its absolute error; both are nan or inf where there is none."""

    slope: float
    error: float


def derivative(g: Callable[[float], float], x: float, side: int = 0, rounding: float = 0.0) -> Estimate:
    """Return the derivative of `g` at `x`: central for side 0, from the right for 1, from the left for -1.

    `rounding` is how far rounding in what `g` computes on the way may carry its value.

    Difference quotients with steps h, h/2, h/4, ... are extrapolated to h = 0 until the differences within the tableau,
    which estimate the error, grow again (Ridders 1982, Advances in Engineering Software 4, 75). Several first steps are
    tried, since only a step smaller than the distance to the next kink, pole or edge of the domain can be right.

    >>> estimate = derivative(lambda x: x**3, 2.0)
    >>> abs(estimate.slope - 12) <= estimate.error < 1e-8
    True
    """
    scale = max(math.fabs(x), 1.0)
    sizes = dict.fromkeys([scale, 1.0, math.fabs(x)])
    first_steps = sorted({size * 2.0**-k for size in sizes for k in (3, 9, 16, 24) if size}, reverse=True)
    here = g(x)
    sides = [sign for sign in (1, -1) if sign != -side]
    if all(g(x + sign * h) == here for h in first_steps for sign in sides):  # to the last bit: it does not depend on x
        return Estimate(0.0, 4.0 * math.ulp(here) / first_steps[0])
    found: list[Estimate] = []
    for i, h in enumerate(first_steps):
        estimate = _extrapolate(g, x, h, side, rounding)
        found.append(estimate)
        if estimate.error <= 1e-11 * math.fabs(estimate.slope):
            finer = [_extrapolate(g, x, h, side, rounding, levels=3) for h in first_steps[i + 1 :][-2:]]
            if all(_agree(estimate, other) for other in finer):
                return estimate
    # what a coarse step says is believed only as far as finer ones agree: it may have stepped over something
    kept = [e for i, e in enumerate(found) if all(_agree(e, finer) for finer in found[i + 1 :])]
    best = min(kept, key=lambda e: e.error, default=Estimate(nan, inf))
    if math.ulp(x) > COARSEST and not _foretells(best, g, x, rounding):
        return Estimate(nan, inf)
    return best


def _foretells(e: Estimate, g: Callable[[float], float], x: float, rounding: float) -> bool:
    """Return whether the slope is that of neighbouring floats too, between which the function might oscillate."""
    here, gap = g(x), math.ulp(x)
    for step in (-2.0 * gap, -gap, gap, 2.0 * gap):
        there = g(x + step)
        noise = 4.0 * max(math.ulp(here), math.ulp(there), rounding)
        if not math.fabs(there - here - e.slope * step) <= noise + 0.1 * math.fabs(e.slope * step):
            return False
    return True


def _noise(g: Callable[[float], float], x: float, size: float) -> float:
    """Return how far `g` is rounded near `x`, measured by sixth differences (Hamming 1962; Moré and Wild 2011)."""
    found = 0.0
    for k in (40, 25, 10):
        step = size * 2.0**-k
        values = [g(x + (i + 0.3) * step) for i in range(-3, 4)]  # not symmetric, or that of odd functions would vanish
        found = max(found, math.fabs(sum(c * value for c, value in zip(SIXTH, values, strict=True))) / 30.0)
    return found if math.isfinite(found) else inf


def _agree(a: Estimate, b: Estimate) -> bool:
    return not math.fabs(a.slope - b.slope) > 10.0 * (a.error + b.error)


def _extrapolate(
    g: Callable[[float], float], x: float, h: float, side: int, rounding: float, levels: int = LEVELS
) -> Estimate:
    order = 1 if side else 2  # the quotient's error is a series in h, the central one's in h * h
    best = Estimate(nan, inf)
    previous: list[float] = []
    for _ in range(levels):
        right, left = (x + h if side >= 0 else x), (x - h if side <= 0 else x)
        if right == left:
            break
        high, low = g(right), g(left)
        row = [(high - low) / (right - left)]
        noise = 4.0 * max(math.ulp(max(math.fabs(high), math.fabs(low))), rounding) / (right - left)
        for j, before in enumerate(previous, 1):
            factor = 2.0 ** (order * j)
            row.append((factor * row[j - 1] - before) / (factor - 1.0))
            error = max(math.fabs(row[j] - row[j - 1]), math.fabs(row[j] - before)) + noise
            if error < best.error:
                best = Estimate(row[j], error)
        if previous and math.isfinite(row[-1]) and math.fabs(row[-1] - previous[-1]) > 4.0 * best.error + noise:
            break
        previous = row if math.isfinite(row[0]) else []
        h /= 2.0
    return best


@dataclass(frozen=True)
class Row:
    """One line of the comparison."""

    argument: str
    analytic: float
    numeric: Estimate
    agrees: bool | None  # None: not compared
    note: str


def gradcheck(f: Callable[..., Any], *args: Any, order: int = 1, rtol: float = 1e-6, atol: float | None = None) -> None:
    """Compare the derivatives of `f` at `args`, up to `order`, with numerical ones; return None if they agree.

    A derivative agrees if it differs from the numerical one by no more than atol, rtol times the larger of the two, or
    five times the numerical one's estimated error. At a kink it agrees if it lies between the derivatives of the two
    sides, at the edge of the domain if it is that of the one side; nan at a kink is a convention, and not compared.

    Args:
        f: takes `Value`s in place of the numbers of `args`, returns a `Value`.
        args: numbers or `Value`s, of which the data count, or nested lists, tuples and dicts of them.
        order: how many times to differentiate.
        rtol: relative tolerance.
        atol: absolute tolerance; by default 1e-9, less where the numerical derivative is smaller and yet known to four
            digits.

    Raises:
        GradientMismatch: an AssertionError with a table of every derivative.
        NothingCompared: no derivative could be compared: the point is outside the domain, at a jump or at a pole.
        TypeError: an argument holds something that is not a number, or `f` does not return a `Value`.
        ValueError: `order` is less than 1.

    Warns:
        PartlyCompared: some, not all, derivatives could not be compared.

    >>> gradcheck(lambda x, w: (x * w).tanh(), 0.5, -2.0, order=2)
    """
    if order < 1:
        raise ValueError(f"order must be at least 1, got {order}")
    leaves, rebuild = flatten(args, "args")
    names = [re.sub(r"^args\[(\d+)\]", r"x\1", path) for path, _ in leaves]
    point = [x.data if isinstance(x, Value) else number(x) for _, x in leaves]

    def at(xs: list[float], slots: tuple[int, ...]) -> tuple[Value, list[Value]]:
        """Return the partial derivative of `f` in `slots` at `xs` as a `Value`, and the leaves it depends on."""
        inputs = [Value(x) for x in xs]
        y = f(*rebuild(inputs))
        if not isinstance(y, Value):
            raise TypeError(f"gradcheck: f returned {type(y).__name__} {y!r}, not a Value: its graph was lost")
        for slot in slots:
            [y] = gradients(y, [inputs[slot]], create_graph=True)
        return y, inputs

    name = getattr(f, "__name__", None) or str(f)
    value = at(point, ())[0].data
    if not math.isfinite(value):
        raise NothingCompared(
            f"gradcheck of {name} at {_shown(args)}: outside the domain, the function is {value} there"
        )
    rows: list[Row] = []
    for level in range(order):
        for slots in itertools.product(range(len(point)), repeat=level):
            y, inputs = at(point, slots)
            noise = rounding_error(y)
            for i, analytic in enumerate(gradients(y, inputs)):

                def along(t: float, slots: tuple[int, ...] = slots, i: int = i) -> float:
                    try:
                        return at([*point[:i], t, *point[i + 1 :]], slots)[0].data
                    except (ArithmeticError, ValueError):  # f refuses what is outside its domain
                        return nan

                title = "/".join([f"d{level + 1 if level else ''}f", *(f"d{names[j]}" for j in (*slots, i))])
                rows.append(_compare(title, analytic, along, point[i], y.data, noise, rtol, atol))

    if any(row.agrees is False for row in rows):
        raise GradientMismatch(_table(f"gradcheck of {name} at {_shown(args)}", rows))
    if not any(row.agrees for row in rows):
        raise NothingCompared(_table(f"gradcheck of {name} at {_shown(args)} compared nothing", rows))
    if any(row.agrees is None for row in rows):
        warnings.warn(PartlyCompared(_table(f"gradcheck of {name} at {_shown(args)}", rows)), stacklevel=2)


def rounding_error(y: Value) -> float:
    """Return how far rounding may carry `y`: what the last bits of every node of its graph do to it."""
    nodes = topological_order(y)
    effects = [math.fabs(slope) * _last_bits(node) for slope, node in zip(gradients(y, nodes), nodes, strict=True)]
    return math.fsum(effect for effect in effects if math.isfinite(effect))


def _last_bits(node: Value) -> float:
    """Return the rounding error of one operation: the result's last bit, or what its row says of it."""
    assert node.op is not None
    last_bit = math.ulp(node.data)
    if node.op.rounding is None:
        return last_bit
    stated = 1e-15 * node.op.rounding(node.data, *[parent.data for parent in node.parents])[0] * math.fabs(node.data)
    return max(last_bit, stated) if math.isfinite(stated) else last_bit


def _compare(
    title: str,
    analytic: float,
    g: Callable[[float], float],
    x: float,
    y: float,
    rounding: float,
    rtol: float,
    atol: float | None,
) -> Row:
    """Compare one derivative; `y` is g(x), known up to `rounding`.

    Where the verdict depends on how exact the numerical derivative is, the noise of `g` is measured, since a row of
    one's own may round more than its last bit. A mistake must stand out from it; and what the default absolute
    tolerance excuses is none if the derivative is known to four digits. Near x = 0 the smallest steps may be below the
    resolution of `g`, which is seen at steps of about 1.
    """
    row = _compare_within(title, analytic, g, x, y, rounding, rtol, 1e-9 if atol is None else atol)
    if row.note or row.agrees is None:
        return row
    sizes = [math.fabs(x), 1.0] if 0.0 < math.fabs(x) < 1e-6 else [math.fabs(x) or 1.0]
    if row.agrees:
        excused = atol is None and math.fabs(analytic - row.numeric.slope) > 1e-3 * math.fabs(row.numeric.slope)
        again = _with_noise(g, x, rounding, sizes) if excused else row.numeric
        mistaken = excused and _is_known(again) and math.fabs(analytic - again.slope) > 1e-3 * math.fabs(again.slope)
        return Row(title, analytic, again, False, "") if mistaken else row
    for size in sizes:
        again = _with_noise(g, x, rounding, [size])
        tolerance = max(rtol * math.fabs(again.slope), 5.0 * again.error)
        if _is_known(again) and math.fabs(analytic - again.slope) <= tolerance:
            return Row(title, analytic, again, True, "")
    return row


def _with_noise(g: Callable[[float], float], x: float, rounding: float, sizes: Sequence[float]) -> Estimate:
    return derivative(g, x, 0, max(rounding, *(5.0 * _noise(g, x, size) for size in sizes)))


def _is_known(e: Estimate) -> bool:
    return e.slope != 0.0 and e.error <= 1e-4 * math.fabs(e.slope)


def _compare_within(
    title: str,
    analytic: float,
    g: Callable[[float], float],
    x: float,
    y: float,
    rounding: float,
    rtol: float,
    atol: float,
) -> Row:
    """Compare one derivative within an absolute tolerance."""
    if not math.isfinite(y):
        return Row(title, analytic, Estimate(nan, inf), None, f"what is differentiated is {y} there")
    size = math.fabs(y) / max(math.fabs(x), 1.0)

    def known(e: Estimate) -> bool:
        telling = max(atol, min(1e-12 * size, 1e-3), 0.1 * math.fabs(e.slope))  # a larger error would excuse anything
        return e.error <= max(atol, rtol * max(math.fabs(e.slope), size)) and 5.0 * e.error <= telling

    def allowed(*estimates: Estimate) -> float:
        larger = math.fabs(analytic) if math.isfinite(analytic) else 0.0
        return max(atol, *(max(rtol * max(math.fabs(e.slope), larger), 5.0 * e.error) for e in estimates))

    central = derivative(g, x, 0, rounding)
    if known(central) and math.fabs(analytic - central.slope) <= allowed(central):
        return Row(title, analytic, central, True, "")
    left, right = derivative(g, x, -1, rounding), derivative(g, x, 1, rounding)
    if known(left) and known(right):
        if math.fabs(left.slope - right.slope) <= 10.0 * allowed(left, right):
            agrees = all(math.fabs(analytic - side.slope) <= allowed(side) for side in (left, right))  # not by chance
            return Row(title, analytic, central if known(central) and not agrees else right, agrees, "")
        lower, upper = sorted((left.slope, right.slope))
        inside = lower - allowed(left) <= analytic <= upper + allowed(right)
        note = f"kink: {left.slope:.6g} on the left, {right.slope:.6g} on the right"
        return Row(title, analytic, central, None if math.isnan(analytic) else inside, note)
    if known(left) or known(right):
        side, where = (left, "left") if known(left) else (right, "right")
        agrees = math.fabs(analytic - side.slope) <= allowed(side)
        beyond = g(math.nextafter(x, inf if where == "left" else -inf))
        jump = math.fabs(beyond - y) > max(1e-6 * max(math.fabs(beyond), math.fabs(y)), 1e3 * rounding)
        if math.isfinite(beyond) and (jump or not agrees):
            return Row(title, analytic, side, None, f"a jump or a pole near: smooth on the {where} alone")
        return Row(title, analytic, side, agrees, f"edge of the domain: compared on the {where}")
    return Row(title, analytic, central, None, "no numerical derivative: a jump, a pole, or too much noise")


def _table(title: str, rows: list[Row]) -> str:
    wrong = sum(row.agrees is False for row in rows)
    header = ("", "derivative", "analytic", "numeric", "estimated error", "ratio", "")
    lines = [header]
    for row in rows:
        slope = row.numeric.slope
        ratio = row.analytic / slope if slope else nan
        mark = {True: "ok", False: "WRONG", None: "not compared"}[row.agrees]
        figures = (f"{row.analytic:.9g}", f"{slope:.9g}", f"{row.numeric.error:.1g}", f"{ratio:.6g}")
        lines.append((mark, row.argument, *figures, row.note))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    body = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([f"{title}: {wrong} of {len(rows)} derivatives wrong", *body])


def _shown(args: tuple[Any, ...]) -> str:
    text = repr(args if len(args) != 1 else args[0])
    return text if len(text) <= 200 else f"{text[:200]}..."
