"""Locks that a process does not keep which was forked while another thread had one: that thread is not in the child."""

from __future__ import annotations

import os
import threading
from weakref import WeakSet

_locks: WeakSet[ForkSafeLock] = WeakSet()


class ForkSafeLock:
    """A lock that its thread may take again: `with lock():`. In a child process it is a new one.

    >>> lock = ForkSafeLock()
    >>> with lock(), lock():
    ...     pass
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _locks.add(self)

    def __call__(self) -> threading.RLock:
        """Return what a `with` block takes."""
        return self._lock

    def renew(self) -> None:
        """Be a new one."""
        self._lock = threading.RLock()


def _renew() -> None:
    for lock in list(_locks):
        lock.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
