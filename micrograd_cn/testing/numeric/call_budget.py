"""`CallBudget`: counts the calls of a function that is checked, and says how many more each comparison may make."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

__tracebackhide__ = True

T = TypeVar("T")


class OutOfCalls(Exception):
    """Raised instead of a call of the function, if the running comparison has used up its share of the calls."""


class CallBudget:
    """The calls of a function that comparisons may make together, and the share of the comparison that is running.

    Args:
        left: how many calls the comparisons may make together.

    Attributes:
        calls: how often the function has been called.
        left: how many calls the remaining comparisons may make together.
        limit: the number of calls at which the running comparison has used up its share; inf if it has no limit.

    >>> budget = CallBudget(300)
    >>> def compare() -> None:
    ...     budget.check()
    ...     budget.calls += 1  # here, the function is called
    >>> budget.run(100, compare)
    >>> budget.calls, budget.left
    (1, 299)
    """

    def __init__(self, left: float) -> None:
        self.calls, self.left = 0, left
        self.limit, self._is_firm = math.inf, False

    def check(self) -> None:
        """Check that the running comparison may call the function once more.

        Raises:
            OutOfCalls: the comparison has made all calls of its share.
        """
        if self.calls >= self.limit:
            raise OutOfCalls

    def run(self, share: float, compare: Callable[[], T], firm: bool = False) -> T:
        """Return the result of `compare()`, which runs a comparison and may call the function `share` times at most.

        `share` is a count of calls, which may have a fractional part. The calls of the comparison are subtracted from
        `left`. If something looks wrong, the comparison lifts the limit by `lift_limit`; then its calls are not
        subtracted, so the other comparisons keep their shares. A `firm` limit is lifted only if a mistake is certain.
        """
        before, self.limit, self._is_firm = self.calls, self.calls + share, firm
        found = compare()
        self.left -= self.calls - before if self.limit < math.inf else 0
        self.limit = math.inf
        return found

    def lift_limit(self, sure: bool = False) -> None:
        """Let the running comparison call the function as often as it wants, since something looks wrong.

        If the limit is firm, it is lifted only if `sure` says that a mistake is certain.
        """
        if sure or not self._is_firm:
            self.limit = math.inf
