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
from .numerical import Estimate, derivative, noise, rounding_error


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
    tolerance excuses is none if the derivative is known to four digits.
    """
    absolute = 1e-9 if atol is None else atol
    row = _compare_within(title, analytic, g, x, y, rounding, rtol, absolute)
    if row.note or row.agrees is None:
        return row
    excused = atol is None and math.fabs(analytic - row.numeric.slope) > 1e-3 * math.fabs(row.numeric.slope)
    if row.agrees and not excused:
        return row
    measured = max(rounding, noise(g, x))
    if not row.agrees:
        return _compare_within(title, analytic, g, x, y, measured, rtol, absolute) if measured > rounding else row
    again = derivative(g, x, 0, measured)
    mistaken = _is_known(again) and math.fabs(analytic - again.slope) > 1e-3 * math.fabs(again.slope)
    return Row(title, analytic, again, False, "") if mistaken else row


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
