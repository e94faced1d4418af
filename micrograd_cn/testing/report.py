"""What a check says: the exceptions, and the text that people read."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Iterable, Sequence

from .causes import likely
from .compare import Comparison
from .reproduce import pasted
from .result_hooks import tell
from .subject import Subject

__tracebackhide__ = True

TINY = 1e-300  # an error that is none
LINES = 15  # no failure is longer


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
    micrograd_cn.testing.report.NothingCompared: gradcheck of <lambda> at x = -1.0: outside the domain, the \
function is nan there
    """


class TooNoisy(NothingCompared):
    """Rounding hides the derivative: no mistake was found, and none of 1 % could have been.

    Check at a point of another size, compute in a wider type, or say that it is expected: `suppress(TooNoisy)`.

    >>> from micrograd_cn.testing import gradcheck
    >>> gradcheck(lambda x: (x + 1e16) - 1e16, 0.5)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    micrograd_cn.testing.report.TooNoisy: gradcheck of <lambda> at x = 0.5: too noisy to tell
    ...
    """


class NotDeterministic(NothingCompared):
    """Two calls at one point gave two results, which have no derivative.

    >>> import itertools
    >>> from micrograd_cn.testing import gradcheck
    >>> calls = itertools.count()
    >>> gradcheck(lambda x: x * next(calls), 0.5)
    Traceback (most recent call last):
    micrograd_cn.testing.report.NotDeterministic: gradcheck of <lambda> at x = 0.5: not deterministic, two calls of it \
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


def conclude(asked: Subject, rows: list[Comparison], few_bits: bool, stacklevel: int) -> None:
    """Raise, warn or be silent about `rows`.

    What noise hides of a type of few bits is no failure: it is warned of.
    """
    tell(asked.called, rows)
    unknown = [row for row in rows if row.agrees is None]
    told = functools.partial(text, code=asked.code, rows=rows)
    if any(row.agrees is False for row in rows):
        raise GradientMismatch(told(f"{asked.heading}: {verdict(rows)}", end=[*likely(rows), *pasted(asked)]))
    if any(row.agrees for row in rows):
        if unknown:
            hidden = list(dict.fromkeys(row.argument for row in unknown if row.argument))
            of = f" ({', '.join(hidden)})" if hidden else ""
            title = f"{asked.heading}: {len(unknown)} of {len(rows)} derivatives not compared{of}"
            warnings.warn(PartlyCompared(told(title)), stacklevel=stacklevel + 1)
    elif unknown and all(row.noisy for row in unknown):
        title = f"{asked.heading}: too noisy to tell"
        if not few_bits:
            raise TooNoisy(told(title))
        warnings.warn(PartlyCompared(told(title)), stacklevel=stacklevel + 1)
    else:
        raise NothingCompared(told(f"{asked.heading} compared nothing"))


def verdict(rows: list[Comparison]) -> str:
    """Return which arguments' derivatives are wrong and which are right; where they have no names, how many.

    >>> from micrograd_cn.testing.numerical import Estimate
    >>> wrong = Comparison("df/dw", 6.0, Estimate(3.0, 0.0), False, argument="w")
    >>> verdict([wrong, Comparison("df/db", 1.0, Estimate(1.0, 0.0), True, argument="b")])
    'wrong for w, right for b'
    """
    wrong = list(dict.fromkeys(row.argument for row in rows if row.agrees is False and row.argument))
    if not wrong:
        return f"{sum(row.agrees is False for row in rows)} of {len(rows)} derivatives wrong"
    right = dict.fromkeys(row.argument for row in rows if row.agrees and row.argument not in ("", *wrong))
    also = f", right for {', '.join(right)}" if right else ""
    return f"wrong for {', '.join(wrong)}{also}"


def text(title: str, code: str, rows: Iterable[Comparison], end: Sequence[str] = ()) -> str:
    """Return the title, the code, a table of the rows, those that matter most first if not all find room, and the end.

    >>> from micrograd_cn.testing.numerical import Estimate
    >>> print(text("title", "", [Comparison("df/dx0", 6.06, Estimate(6.0, 1e-12), False, order=1.0)]))
    title
           derivative  analytic  numeric  estimated error  ratio  order
    WRONG  df/dx0      6.06      6        1e-12            1.01   1.00
    order: of f(x + h) - f(x) - h * derivative in h, 2 or more if the derivative is right, 1 if not
    """
    rows = list(rows)
    wrong = [row for row in rows if row.agrees is False]
    if any(row.argument and not row.title.startswith("direction") for row in wrong):  # they say more than a direction
        rows = [row for row in rows if row.agrees is not False or not row.title.startswith("direction")]
    lines = [title, *([code] if code else [])]
    footer = [*([ORDER] if any(row.order < FIRST for row in rows) else []), *end]
    room = LINES - sum(line.count("\n") + 1 for line in lines) - 1 - len(footer)
    shown = rows
    if len(rows) > room:
        first = sorted(range(len(rows)), key=lambda i: (_urgency(rows[i]), i))[: max(room - 1, 2)]
        shown = [rows[i] for i in sorted(first)]
        left = [row for i, row in enumerate(rows) if i not in set(first)]
        counted = [(sum(row.agrees is verdict for row in left), mark) for verdict, mark in MARKS.items()]
        footer = [f"and {', '.join(f'{n} more {mark}' for n, mark in counted if n)}", *footer]
    return "\n".join([*lines, *_table(shown), *footer])


ORDER = "order: of f(x + h) - f(x) - h * derivative in h, 2 or more if the derivative is right, 1 if not"
FIRST = 1.5  # a remainder is of the first order below it
MARKS = {False: "WRONG", None: "not compared", True: "ok"}


def _urgency(row: Comparison) -> int:
    return list(MARKS).index(row.agrees)


def _size(row: Comparison) -> float:
    return max(math.fabs(x) if math.isfinite(x) else 0.0 for x in (row.analytic, row.numeric.slope))


def _table(rows: list[Comparison]) -> list[str]:
    lines = [("", "derivative", "analytic", "numeric", "estimated error", "ratio", "order", "")]
    for row in rows:
        slope, error = row.numeric.slope, row.numeric.error
        times = row.analytic / slope if slope else math.nan
        ratio = f"{times + 0.0:.6g}" if math.isfinite(times) else ""
        order = f"{row.order:.2f}" if row.order < FIRST else ""  # curvature hides that of a small mistake
        # an error far below the last digit that is shown says nothing
        error = max(error, 1e-16 * _size(row))
        known = "" if not math.isfinite(error) else f"{error if error > TINY else 0.0:.1g}"
        figures = (f"{row.analytic:.9g}", "" if math.isnan(slope) else f"{slope:.9g}", known, ratio, order)
        lines.append((MARKS[row.agrees], row.title, *figures, row.note))
    if not any(line[6] for line in lines[1:]):
        lines = [(*line[:6], *line[7:]) for line in lines]  # type: ignore[misc]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
