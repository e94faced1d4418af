"""Hooks that are called with the results of `gradcheck`. The pytest plugin collects its summary with one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from .compare import Comparison

__tracebackhide__ = True


@dataclass(frozen=True, repr=False)
class Compared:
    """What `gradcheck` compared, if no derivative is wrong. The object is always true.

    Attributes:
        comparisons: the comparisons of derivatives with numerical ones.
    """

    comparisons: tuple[Comparison, ...]

    def __repr__(self) -> str:
        """Return how many derivatives agree, and how many could not be compared."""
        agree = sum(comparison.agrees is True for comparison in self.comparisons)
        others = len(self.comparisons) - agree
        text = "1 derivative agrees" if agree == 1 else f"{agree} derivatives agree"
        return f"<{text}{f', {others} not compared' if others else ''}>"


@dataclass(frozen=True)
class CheckResult:
    """The result of one call of `gradcheck` for one argument of the function.

    Attributes:
        function: the name of the function.
        argument: the name of the argument; "" if the result is about all arguments together.
        verdict: "right", "wrong" or "not compared".
        error: the largest relative difference between a derivative that was checked and a numerical one. It is relative
            to the larger of the two.
    """

    function: str
    argument: str
    verdict: str
    error: float


_hooks: ContextVar[tuple[Callable[[CheckResult], None], ...]] = ContextVar("micrograd_cn_result_hooks", default=())


@contextmanager
def result_hook(hook: Callable[[CheckResult], None]) -> Iterator[None]:
    """Call `hook` with a `CheckResult` for each argument that `gradcheck` checks inside the `with` block.

    >>> from micrograd_cn.testing import gradcheck
    >>> found = []
    >>> with result_hook(found.append):
    ...     _ = gradcheck(lambda x: x * x, 3.0, gradient=lambda x: 2 * x)
    >>> found[0].function, found[0].argument, found[0].verdict
    ('<lambda>', 'x', 'right')
    """
    token = _hooks.set((*_hooks.get(), hook))
    try:
        yield
    finally:
        _hooks.reset(token)


def notify(function: str, comparisons: Sequence[Comparison]) -> None:
    """Call the hooks with one `CheckResult` for each argument of the function whose name is `function`."""
    hooks = _hooks.get()
    if not hooks:
        return
    named = [comparison for comparison in comparisons if comparison.argument] or list(comparisons)
    for argument in dict.fromkeys(comparison.argument for comparison in named):
        of_it = [comparison for comparison in named if comparison.argument == argument]
        verdicts = {comparison.agrees for comparison in of_it}
        verdict = "wrong" if False in verdicts else "right" if True in verdicts else "not compared"
        found = CheckResult(function, argument, verdict, max(map(_relative_error, of_it)))
        for hook in hooks:
            hook(found)


def notify_failure(function: str) -> None:
    """Call the hooks for a function whose backward pass breaks a rule (see `contract`)."""
    for hook in _hooks.get():
        hook(CheckResult(function, "", "wrong", float("inf")))


def _relative_error(comparison: Comparison) -> float:
    """Return the difference of the derivative that was checked and the numerical one, relative to the larger of them.

    It is 0.0 if the derivative was not compared, and inf if it is wrong and the difference is not finite.
    """
    slope = comparison.numeric.slope
    size, off = max(abs(slope), abs(comparison.analytic)), abs(comparison.analytic - slope)
    if comparison.agrees is None or not off < float("inf"):
        return 0.0 if comparison.agrees is not False else float("inf")
    return off / size if size else 0.0
