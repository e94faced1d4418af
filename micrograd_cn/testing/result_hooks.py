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


_hooks: ContextVar[tuple[Callable[[CheckResult], None], ...]] = ContextVar("watchers", default=())


@contextmanager
def result_hook(watcher: Callable[[CheckResult], None]) -> Iterator[None]:
    """Tell `watcher` what the checks inside find.

    >>> from micrograd_cn.testing import gradcheck
    >>> found = []
    >>> with result_hook(found.append):
    ...     gradcheck(lambda x: x * x, 3.0, gradient=lambda x: 2 * x)
    >>> found[0].function, found[0].argument, found[0].verdict
    ('<lambda>', 'x', 'right')
    """
    token = _hooks.set((*_hooks.get(), watcher))
    try:
        yield
    finally:
        _hooks.reset(token)


def notify(function: str, comparisons: Sequence[Comparison]) -> None:
    """Tell who watches what has been found of a function, argument by argument."""
    watchers = _hooks.get()
    if not watchers:
        return
    named = [comparison for comparison in comparisons if comparison.argument] or list(comparisons)
    for argument in dict.fromkeys(comparison.argument for comparison in named):
        of_it = [comparison for comparison in named if comparison.argument == argument]
        verdicts = {comparison.agrees for comparison in of_it}
        verdict = "wrong" if False in verdicts else "right" if True in verdicts else "not compared"
        found = CheckResult(function, argument, verdict, max(map(_relative_error, of_it)))
        for watcher in watchers:
            watcher(found)


def notify_failure(function: str) -> None:
    """Tell who watches that the backward pass of a function is wrong in another way than by its numbers."""
    for watcher in _hooks.get():
        watcher(CheckResult(function, "", "wrong", float("inf")))


def _relative_error(comparison: Comparison) -> float:
    """Return how far a derivative is off, relatively, nothing where it could not be compared."""
    slope = comparison.numeric.slope
    size, off = max(abs(slope), abs(comparison.analytic)), abs(comparison.analytic - slope)
    if comparison.agrees is None or not off < float("inf"):
        return 0.0 if comparison.agrees is not False else float("inf")
    return off / size if size else 0.0
