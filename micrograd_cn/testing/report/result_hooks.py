"""Hooks that are called with the results of `gradcheck`. The pytest plugin collects its summary with one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from ..numeric.compare import Comparison
from ..numeric.thresholds import DEFAULT_RTOL, ESTIMATED_ERRORS, TOLD_HIDDEN

__tracebackhide__ = True

MOST_NAMES = 8  # `repr` names at most this many constants


@dataclass(frozen=True, repr=False)
class Compared:
    """The result of a call of `gradcheck` in which no derivative was wrong. The object is always true.

    Attributes:
        comparisons: the comparisons of derivatives with numerical ones.
        constants: the paths of whole numbers that a function of `Value`s was not differentiated with respect to, since
            it uses them as counts, indices or flags, or has no derivative with respect to them.
    """

    comparisons: tuple[Comparison, ...]
    constants: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Return a string that says how many derivatives agree, and how many could not be compared.

        The string also says up to which size noise may hide mistakes in large arrays, and names the whole numbers in
        `constants`, which count as constants.
        """
        agree = sum(comparison.agrees is True for comparison in self.comparisons)
        others = len(self.comparisons) - agree
        text = "1 derivative agrees" if agree == 1 else f"{agree} derivatives agree"
        hidden = min((c.hidden for c in self.comparisons if not math.isnan(c.hidden)), default=0.0)
        also = ""
        if TOLD_HIDDEN < hidden < math.inf:
            size = f"below {hidden:.2g} of the gradient's norm" if hidden < 1.0 else "as large as the gradient's norm"
            also = f", mistakes {size} are hidden"
        shown = [*self.constants[:MOST_NAMES], *(["..."] if len(self.constants) > MOST_NAMES else [])]
        kept = f"; constants: {', '.join(shown)}" if shown else ""
        return f"<{text}{f', {others} not compared' if others else ''}{also}{kept}>"


@dataclass(frozen=True)
class CheckResult:
    """The result of one call of `gradcheck` for one argument of the function.

    Attributes:
        function: the name of the function.
        argument: the name of the argument; "" if the result is about all arguments together.
        verdict: "right", "wrong" or "not compared".
        error: the largest relative difference between a derivative that was checked and a numerical one. It is relative
            to the larger of the two.
        share: the largest difference between a derivative that was checked and a numerical one, as a multiple of what
            is allowed. It is more than 1 if and only if a derivative is wrong. Derivatives that are right by other
            rules than tolerances, as at a kink, do not count.
        types: the types of the floating-point arrays among the arguments, such as "float32"; "" if there are none.
        partly: whether some derivatives were right, and others could not be compared.
    """

    function: str
    argument: str
    verdict: str
    error: float
    share: float = 0.0
    types: str = ""
    partly: bool = False


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


def notify(
    function: str, comparisons: Sequence[Comparison], rtol: float = DEFAULT_RTOL, atol: float = 0.0, types: str = ""
) -> None:
    """Call the hooks with one `CheckResult` for each argument of the function whose name is `function`.

    `rtol` and `atol` are the tolerances of the comparisons, and `types` are the types of the arguments.
    """
    hooks = _hooks.get()
    if not hooks:
        return
    named = [comparison for comparison in comparisons if comparison.argument] or list(comparisons)
    of_all = {comparison.agrees for comparison in comparisons if not comparison.argument}
    for argument in dict.fromkeys(comparison.argument for comparison in named):
        of_it = [comparison for comparison in named if comparison.argument == argument]
        verdicts = {comparison.agrees for comparison in of_it}
        verdict = "wrong" if False in verdicts else "right" if True in verdicts else "not compared"
        share = max(_share_of_allowed(comparison, rtol, atol) for comparison in of_it)
        partly = verdict == "right" and None in verdicts | of_all
        found = CheckResult(function, argument, verdict, max(map(_relative_error, of_it)), share, types, partly)
        for hook in hooks:
            hook(found)


def notify_failure(function: str) -> None:
    """Call the hooks with the verdict "wrong", for a function whose backward pass breaks a rule (see `contract`)."""
    for hook in _hooks.get():
        hook(CheckResult(function, "", "wrong", float("inf"), float("inf")))


def _share_of_allowed(comparison: Comparison, rtol: float, atol: float) -> float:
    """Return the difference of a derivative from the numerical one, as a multiple of what is allowed.

    It is 0.0 if the derivative was not compared, or is right by another rule than the tolerances. It is more than 1 if
    the derivative is wrong.
    """
    slope, error = comparison.numeric.slope, comparison.numeric.error
    off, size = comparison.mismatch, max(abs(comparison.analytic), abs(slope))
    allowed = max(atol, rtol * size, ESTIMATED_ERRORS * error)
    if comparison.agrees is False:
        share = off / allowed if allowed and off < float("inf") else float("inf")
        return share if share > 1.0 else float("inf")
    return off / allowed if comparison.agrees and 0.0 < off <= allowed else 0.0


def _relative_error(comparison: Comparison) -> float:
    """Return the difference of the derivative that was checked and the numerical one, relative to the larger of them.

    It is 0.0 if the derivative was not compared, and inf if it is wrong and the difference is not finite.
    """
    slope = comparison.numeric.slope
    size, off = max(abs(slope), abs(comparison.analytic)), comparison.mismatch
    if comparison.agrees is None or not off < float("inf"):
        return 0.0 if comparison.agrees is not False else float("inf")
    return off / size if size else 0.0
