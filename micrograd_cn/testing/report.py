"""What a check says: the exceptions, and the text that people read."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from math import nan

from .compare import Row

__tracebackhide__ = True

LINES = 25  # no failure is longer


class GradientMismatch(AssertionError):
    """A gradient differs from the numerical derivative by more than the latter's error and the tolerance.

    >>> from micrograd_cn import Op
    >>> from micrograd_cn.testing import gradcheck
    >>> half = Op("half", lambda x: x * x, (lambda y, x: x,))  # half of the derivative
    >>> gradcheck(half, 3.0)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    micrograd_cn.testing.report.GradientMismatch: gradcheck of half at 3.0: 1 of 1 derivatives wrong
    ...
    """


class NothingCompared(ValueError):
    """No gradient could be compared with a numerical derivative, so that nothing was checked.

    >>> from micrograd_cn.testing import gradcheck
    >>> gradcheck(lambda x: x.log(), -1.0)
    Traceback (most recent call last):
    micrograd_cn.testing.report.NothingCompared: gradcheck of <lambda> at -1.0: outside the domain, the function is \
nan there
    """


class TooNoisy(NothingCompared):
    """Rounding hides the derivative: no mistake was found, and none of 1 % could have been.

    Check at a point of another size, compute in a wider type, or say that it is expected: `suppress(TooNoisy)`.

    >>> from micrograd_cn.testing import gradcheck
    >>> gradcheck(lambda x: (x + 1e16) - 1e16, 0.5)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    micrograd_cn.testing.report.TooNoisy: gradcheck of <lambda> at 0.5: too noisy to tell
    ...
    """


class NotDeterministic(NothingCompared):
    """Two calls at one point gave two results, which have no derivative.

    >>> import itertools
    >>> from micrograd_cn.testing import gradcheck
    >>> calls = itertools.count()
    >>> gradcheck(lambda x: x * next(calls), 0.5)
    Traceback (most recent call last):
    micrograd_cn.testing.report.NotDeterministic: gradcheck of <lambda> at 0.5: not deterministic, two calls of it \
gave 0.0 and 0.5
    """


class PartlyCompared(UserWarning):
    """Some gradients could not be compared with a numerical derivative; the others agree.

    >>> from micrograd_cn.testing import gradcheck
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     gradcheck(lambda x, w: x.sqrt() + w, 0.0, 1.0)  # the square root's slope at 0 is inf
    >>> [warning.category.__name__ for warning in caught]
    ['PartlyCompared']
    """


def conclude(heading: str, code: str, rows: list[Row], stacklevel: int) -> None:
    """Raise, warn or be silent about `rows`; `code` is what computes the function, for the text."""
    wrong = sum(row.agrees is False for row in rows)
    unknown = [row for row in rows if row.agrees is None]
    if wrong:
        raise GradientMismatch(text(f"{heading}: {wrong} of {len(rows)} derivatives wrong", code, rows))
    if not any(row.agrees for row in rows):
        if unknown and all(row.noisy for row in unknown):
            raise TooNoisy(text(f"{heading}: too noisy to tell", code, rows))
        raise NothingCompared(text(f"{heading} compared nothing", code, rows))
    if unknown:
        title = f"{heading}: {len(unknown)} of {len(rows)} derivatives not compared"
        warnings.warn(PartlyCompared(text(title, code, rows)), stacklevel=stacklevel + 1)


def text(title: str, code: str, rows: Iterable[Row]) -> str:
    """Return the title, the code and a table of the rows, those that matter most first if not all find room.

    >>> from micrograd_cn.testing.numerical import Estimate
    >>> print(text("title", "", [Row("df/dx0", 6.06, Estimate(6.0, 1e-12), False, order=1.0)]))
    title
           derivative  analytic  numeric  estimated error  ratio  order
    WRONG  df/dx0      6.06      6        1e-12            1.01   1.00
    order: of f(x + h) - f(x) - h * derivative in h, 2 or more if the derivative is right, 1 if not
    """
    rows = list(rows)
    lines = [title, *([code] if code else [])]
    footer = [] if all(math.isnan(row.order) for row in rows) else [ORDER]
    room = LINES - sum(line.count("\n") + 1 for line in lines) - 1 - len(footer)
    shown = rows
    if len(rows) > room:
        first = sorted(range(len(rows)), key=lambda i: (_urgency(rows[i]), i))[: max(room - 1, 3)]
        shown = [rows[i] for i in sorted(first)]
        left = [row for i, row in enumerate(rows) if i not in set(first)]
        counted = [(sum(row.agrees is verdict for row in left), mark) for verdict, mark in MARKS.items()]
        footer = [f"and {', '.join(f'{n} more {mark}' for n, mark in counted if n)}", *footer]
    return "\n".join([*lines, *_table(shown), *footer])


ORDER = "order: of f(x + h) - f(x) - h * derivative in h, 2 or more if the derivative is right, 1 if not"
MARKS = {False: "WRONG", None: "not compared", True: "ok"}


def _urgency(row: Row) -> int:
    return list(MARKS).index(row.agrees)


def _table(rows: list[Row]) -> list[str]:
    lines = [("", "derivative", "analytic", "numeric", "estimated error", "ratio", "order", "")]
    for row in rows:
        slope = row.numeric.slope
        ratio = row.analytic / slope if slope else nan
        order = "" if math.isnan(row.order) else f"{row.order:.2f}"
        figures = (f"{row.analytic:.9g}", f"{slope:.9g}", f"{row.numeric.error:.1g}", f"{ratio:.6g}", order)
        lines.append((MARKS[row.agrees], row.title, *figures, row.note))
    if not any(line[6] for line in lines[1:]):
        lines = [(*line[:6], *line[7:]) for line in lines]  # type: ignore[misc]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
