"""A lock that still works in a child process after `os.fork`.

The child has only the thread that called `os.fork`. If another thread held an ordinary lock at the fork, the lock stays
locked in the child for ever, since the child does not have the thread that would release the lock.
"""

from __future__ import annotations

import operator
import os
import threading
from collections.abc import Callable
from itertools import compress
from typing import TypeVar
from weakref import WeakSet

T = TypeVar("T")
MAX_SECONDS_OF_WAITING = 0.5  # so long a thread waits for another thread that may run code of the user's
_locks: WeakSet[ForkSafeLock] = WeakSet()


class ForkSafeLock:
    """A reentrant lock, used as `with lock():`. In a child process it is replaced by a new lock.

    >>> lock = ForkSafeLock()
    >>> with lock(), lock():
    ...     pass
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _locks.add(self)

    def __call__(self) -> threading.RLock:
        """Return the lock of this process, for a `with` block."""
        return self._lock

    def in_turn(self, work: Callable[[], T]) -> T:
        """Return `work()`, which may run code of the user's. If another thread does such work, wait for it first.

        But no thread waits longer than MAX_SECONDS_OF_WAITING, since the user's code may itself wait for a thread that
        waits here. After that, several threads work at once.

        >>> ForkSafeLock().in_turn(lambda: 2)
        2
        """
        lock = self._lock
        held: list[Callable[[], None]] = []
        release = map(operator.call, held)
        try:  # Ctrl-C cannot interrupt a single call into C
            held.extend(compress([lock.release], map(lock.acquire, [True], [MAX_SECONDS_OF_WAITING])))
            return work()
        finally:
            any(release)

    def renew(self) -> None:
        """Replace the lock by a new lock, which no thread holds."""
        self._lock = threading.RLock()


def _renew() -> None:
    for lock in list(_locks):
        lock.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
