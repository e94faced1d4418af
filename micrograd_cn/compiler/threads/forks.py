"""A lock that still works in a child process after `os.fork`.

The child has only the thread that called `os.fork`. If another thread held an ordinary lock at the fork, the lock stays
locked in the child for ever, since the child does not have the thread that would release the lock.
"""

from __future__ import annotations

import os
import threading
from weakref import WeakSet

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

    def renew(self) -> None:
        """Replace the lock by a new lock, which no thread holds."""
        self._lock = threading.RLock()


def _renew() -> None:
    for lock in list(_locks):
        lock.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
