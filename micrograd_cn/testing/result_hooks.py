"""What checks have found, told to whoever watches: the summary of a test run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from .compare import Comparison

__tracebackhide__ = True


@dataclass(frozen=True)
class CheckResult:
    """What one check has found of one argument.

    Attributes:
        function: its name.
        argument: which; "" where a check is of all of them together.
        verdict: "right", "wrong", "not compared".
        error: the largest difference from the numerical derivative, relative to the larger of the two.
    """

    function: str
    argument: str
    verdict: str
    error: float


_watchers: ContextVar[tuple[Callable[[CheckResult], None], ...]] = ContextVar("watchers", default=())


@contextmanager
def watching(watcher: Callable[[CheckResult], None]) -> Iterator[None]:
    """Tell `watcher` what the checks inside find.

    >>> from micrograd_cn.testing import gradcheck
    >>> found = []
    >>> with watching(found.append):
    ...     gradcheck(lambda x: x * x, 3.0, gradient=lambda x: 2 * x)
    >>> found[0].function, found[0].argument, found[0].verdict
    ('<lambda>', 'x', 'right')
    """
    token = _watchers.set((*_watchers.get(), watcher))
    try:
        yield
    finally:
        _watchers.reset(token)


def tell(function: str, rows: Sequence[Comparison]) -> None:
    """Tell who watches what has been found of a function, argument by argument."""
    watchers = _watchers.get()
    if not watchers:
        return
    named = [row for row in rows if row.argument] or list(rows)
    for argument in dict.fromkeys(row.argument for row in named):
        of_it = [row for row in named if row.argument == argument]
        verdicts = {row.agrees for row in of_it}
        verdict = "wrong" if False in verdicts else "right" if True in verdicts else "not compared"
        found = CheckResult(function, argument, verdict, max(map(_error, of_it)))
        for watcher in watchers:
            watcher(found)


def fail(function: str) -> None:
    """Tell who watches that the backward pass of a function is wrong in another way than by its numbers."""
    for watcher in _watchers.get():
        watcher(CheckResult(function, "", "wrong", float("inf")))


def _error(row: Comparison) -> float:
    """Return how far a derivative is off, relatively, nothing where it could not be compared."""
    slope = row.numeric.slope
    size, off = max(abs(slope), abs(row.analytic)), abs(row.analytic - slope)
    if row.agrees is None or not off < float("inf"):
        return 0.0 if row.agrees is not False else float("inf")
    return off / size if size else 0.0
