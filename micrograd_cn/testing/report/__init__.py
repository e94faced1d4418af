"""How `gradcheck` ends: the exceptions that it raises, the warning that it gives, and the text of their messages."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from ..inputs.pytrees import leaves
from ..inputs.subject import Subject
from ..numeric.compare import Comparison
from ..numeric.thresholds import DEFAULT_RTOL, FIRST_ORDER
from .causes import likely_causes
from .reproduce import reproduction
from .result_hooks import notify

__tracebackhide__ = True

NEGLIGIBLE_ERROR = 1e-300  # an estimated error below it is shown as 0
MAX_LINES = 15  # of a message, code to paste included


class GradientMismatch(AssertionError):
    """A gradient differs from the numerical derivative by more than the tolerance and the estimated error allow.

    The error is also raised if a function or a backward pass breaks a rule, for example by changing an argument.

    >>> from micrograd_cn import Op
    >>> from micrograd_cn.testing import gradcheck
    >>> half = Op("half", lambda x: x * x, (lambda y, x: x,))  # half of the derivative
    >>> gradcheck(half, 3.0)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    micrograd_cn.testing.report.GradientMismatch: gradcheck of half at 3.0: 1 of 1 derivatives wrong
    ...
    """


class NothingCompared(ValueError):
    """No gradient could be compared with a numerical derivative, so nothing was checked.

    >>> from micrograd_cn.testing import gradcheck
    >>> gradcheck(lambda x: x.log(), -1.0)
    Traceback (most recent call last):
    micrograd_cn.testing.report.NothingCompared: gradcheck of <lambda> at x = -1.0: outside the domain, the \
function is nan there
    """


class TooNoisy(NothingCompared):
    """Rounding hides the derivative: no mistake was found, but a mistake of 1 % would not have been found either.

    Check with larger or smaller arguments, or compute in a wider type, such as float64. If you expect this exception,
    suppress it: `with contextlib.suppress(TooNoisy)`.

    >>> from micrograd_cn.testing import gradcheck
    >>> gradcheck(lambda x: (x + 1e16) - 1e16, 0.5)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    micrograd_cn.testing.report.TooNoisy: gradcheck of <lambda> at x = 0.5: too noisy to tell
    ...
    """


class NotDeterministic(NothingCompared):
    """Two calls of the function at the same point gave different results, so there is no derivative.

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
    ...     _ = gradcheck(lambda x, w: x.sqrt() + w, 0.0, 1.0)  # the square root's slope at 0 is inf
    >>> [warning.category.__name__ for warning in caught]
    ['PartlyCompared']
    """


_hide: ContextVar[Callable[[PartlyCompared | TooNoisy], None] | None] = ContextVar("micrograd_cn_hide", default=None)


@contextmanager
def collected_noise() -> Iterator[list[PartlyCompared | TooNoisy]]:
    """Collect each `TooNoisy` and `PartlyCompared` that rounding alone causes, instead of raising it or warning.

    A test that checks a gradient at many points can then decide whether it was compared at enough of them.
    """
    found: list[PartlyCompared | TooNoisy] = []
    token = _hide.set(found.append)
    try:
        yield found
    finally:
        _hide.reset(token)


def raise_or_warn(
    subject: Subject,
    comparisons: list[Comparison],
    half_precision: bool,
    stacklevel: int,
    rtol: float = DEFAULT_RTOL,
    atol: float = 0.0,
) -> None:
    """Pass results of a check to the hooks of `result_hooks`, then raise an exception or give a warning if necessary.

    Inside `collected_noise`, an exception or a warning for which noise is the only reason is collected instead.

    Args:
        subject: the function that was checked.
        comparisons: the result of comparing each derivative with a numerical one.
        half_precision: whether the function computes in float16 or bfloat16. Noise is common there, so a warning is
            given, and no error is raised, if noise hides all derivatives.
        stacklevel: the stack level of the warning, as for `warnings.warn`.
        rtol: the relative tolerance of the comparisons.
        atol: their absolute tolerance.

    Raises:
        GradientMismatch: a derivative is wrong.
        NothingCompared: no derivative could be compared. It is the subclass `TooNoisy` if noise hides all of them.

    Warns:
        PartlyCompared: some derivatives agree, and others could not be compared.
    """
    kinds = (str(getattr(x, "dtype", "")).rpartition(".")[2] for x in leaves(subject.args))
    types = ", ".join(dict.fromkeys(kind for kind in kinds if "float" in kind))
    notify(subject.short_name, comparisons, rtol, atol, types)
    unknown = [comparison for comparison in comparisons if comparison.agrees is None]
    text = functools.partial(report_text, code=subject.code, comparisons=comparisons)
    if any(comparison.agrees is False for comparison in comparisons):
        raise GradientMismatch(
            text(
                f"{subject.heading}: {verdict_text(comparisons)}",
                end=[*likely_causes(comparisons), *reproduction(subject)],
            )
        )
    noisy = all(comparison.noisy for comparison in unknown)
    failure: PartlyCompared | TooNoisy
    if any(comparison.agrees for comparison in comparisons):
        if not unknown:
            return
        hidden = list(dict.fromkeys(comparison.argument for comparison in unknown if comparison.argument))
        of = f" ({', '.join(hidden)})" if hidden else ""
        title = f"{subject.heading}: {len(unknown)} of {len(comparisons)} derivatives not compared{of}"
        failure = PartlyCompared(text(title))
    elif unknown and noisy:
        title = f"{subject.heading}: too noisy to tell"
        failure = PartlyCompared(text(title)) if half_precision else TooNoisy(text(title))
    else:
        raise NothingCompared(text(f"{subject.heading} compared nothing"))
    if noisy and (hide := _hide.get()):
        hide(failure)
    else:
        raise_or_warn_of(failure, stacklevel + 1)


def raise_or_warn_of(failure: PartlyCompared | TooNoisy, stacklevel: int) -> None:
    """Raise `failure` if it is an error; otherwise give it as a warning, with `stacklevel` as for `warnings.warn`."""
    if isinstance(failure, TooNoisy):
        raise failure
    warnings.warn(failure, stacklevel=stacklevel + 1)


def verdict_text(comparisons: list[Comparison]) -> str:
    """Return a string that says for which arguments derivatives are wrong, and for which they are right.

    If the arguments have no names, the string says how many derivatives are wrong.

    >>> from micrograd_cn.testing.numeric.numerical import Estimate
    >>> wrong = Comparison("df/dw", 6.0, Estimate(3.0, 0.0), False, argument="w")
    >>> verdict_text([wrong, Comparison("df/db", 1.0, Estimate(1.0, 0.0), True, argument="b")])
    'wrong for w, right for b'
    """
    wrong = list(
        dict.fromkeys(
            comparison.argument for comparison in comparisons if comparison.agrees is False and comparison.argument
        )
    )
    if not wrong:
        return (
            f"{sum(comparison.agrees is False for comparison in comparisons)} of {len(comparisons)} derivatives wrong"
        )
    right = dict.fromkeys(
        comparison.argument
        for comparison in comparisons
        if comparison.agrees and comparison.argument not in ("", *wrong)
    )
    also = f", right for {', '.join(right)}" if right else ""
    return f"wrong for {', '.join(wrong)}{also}"


def report_text(title: str, code: str, comparisons: Iterable[Comparison], end: Sequence[str] = ()) -> str:
    """Return a message of the title, the code of the function, a table of the comparisons, and the lines in `end`.

    The message has at most `MAX_LINES` lines, unless the code is too long for that. If the table is too long, correct
    derivatives are left out first.

    >>> from micrograd_cn.testing.numeric.numerical import Estimate
    >>> wrong = Comparison("df/dx0", 6.06, Estimate(6.0, 1e-12), False, remainder_order=1.0)
    >>> print(report_text("title", "", [wrong]))
    title
           derivative  analytic  numeric  estimated error  ratio  order
    WRONG  df/dx0      6.06      6        1e-12            1.01   1.00
    order: of f(x + h) - f(x) - h * derivative in h, 2 or more if the derivative is right, 1 if not
    """
    comparisons = list(comparisons)
    wrong = [comparison for comparison in comparisons if comparison.agrees is False]
    if any(
        comparison.argument and not comparison.title.startswith("direction") for comparison in wrong
    ):  # derivatives with respect to single elements say more than those along directions
        comparisons = [
            comparison
            for comparison in comparisons
            if comparison.agrees is not False or not comparison.title.startswith("direction")
        ]
    lines = [title, *([code] if code else [])]
    footer = [
        *([ORDER_FOOTER] if any(comparison.remainder_order < FIRST_ORDER for comparison in comparisons) else []),
        *end,
    ]
    room = MAX_LINES - sum(line.count("\n") + 1 for line in lines) - 1 - len(footer)
    shown = comparisons
    if len(comparisons) > room:
        first = sorted(range(len(comparisons)), key=lambda i: (_urgency(comparisons[i]), i))[: max(room - 1, 2)]
        shown = [comparisons[i] for i in sorted(first)]
        left = [comparison for i, comparison in enumerate(comparisons) if i not in set(first)]
        counted = [(sum(comparison.agrees is verdict for comparison in left), mark) for verdict, mark in MARKS.items()]
        footer = [f"and {', '.join(f'{n} more {mark}' for n, mark in counted if n)}", *footer]
    return "\n".join([*lines, *_table(shown), *footer])


ORDER_FOOTER = "order: of f(x + h) - f(x) - h * derivative in h, 2 or more if the derivative is right, 1 if not"
MARKS = {False: "WRONG", None: "not compared", True: "ok"}


def _urgency(comparison: Comparison) -> int:
    """Return a key to sort by: 0 for a wrong derivative, 1 for one that was not compared, 2 for a correct one."""
    return list(MARKS).index(comparison.agrees)


def _magnitude(comparison: Comparison) -> float:
    """Return the larger absolute value of two derivatives: the one that was checked and the numerical one.

    A derivative that is infinite or nan counts as 0.
    """
    return max(math.fabs(x) if math.isfinite(x) else 0.0 for x in (comparison.analytic, comparison.numeric.slope))


def _table(comparisons: list[Comparison]) -> list[str]:
    """Return the lines of a table: a header, then a line for each comparison."""
    lines = [("", "derivative", "analytic", "numeric", "estimated error", "ratio", "order", "")]
    for comparison in comparisons:
        slope, error = comparison.numeric.slope, comparison.numeric.error
        times = comparison.analytic / slope if slope else math.nan
        ratio = f"{times + 0.0:.6g}" if math.isfinite(times) else ""
        order = (
            f"{comparison.remainder_order:.2f}" if comparison.remainder_order < FIRST_ORDER else ""
        )  # for a small mistake, curvature hides the order
        # an error far below the last digit that is shown says nothing
        error = max(error, 1e-16 * _magnitude(comparison))
        known = "" if not math.isfinite(error) else f"{error if error > NEGLIGIBLE_ERROR else 0.0:.1g}"
        figures = (f"{comparison.analytic:.9g}", "" if math.isnan(slope) else f"{slope:.9g}", known, ratio, order)
        lines.append((MARKS[comparison.agrees], comparison.title, *figures, comparison.note))
    if not any(line[6] for line in lines[1:]):
        lines = [(*line[:6], *line[7:]) for line in lines]  # type: ignore[misc]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
