"""A lock, and a `cached_property`, that still work in a child process after `os.fork`.

The child has only the thread that called `os.fork`. If another thread held an ordinary lock at the fork, the lock stays
locked in the child forever, since the child does not have the thread that would release the lock.
"""

from __future__ import annotations

import functools
import operator
import os
import threading
from collections.abc import Callable
from itertools import compress
from typing import Any, Self, TypeVar, overload

T = TypeVar("T")
MAX_SECONDS_OF_WAITING = 0.5  # so long a thread waits for another thread that may run code of the user's
_process = object()  # another object in each child process
_renewing = threading.Lock()  # held while a lock is replaced in a child process


class ForkSafeLock:
    """A reentrant lock, used as `with lock():`. In a child process it is replaced by a new lock when it is first used.

    >>> lock = ForkSafeLock()
    >>> with lock(), lock():
    ...     pass
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._process = _process

    def __call__(self) -> threading.RLock:
        """Return the lock of this process, for a `with` block."""
        if self._process is not _process:
            self._renew()
        return self._lock

    def in_turn(self, work: Callable[[], T]) -> T:
        """Return `work()`, which may run the user's code. If another thread holds the lock, wait for it first.

        A thread waits at most MAX_SECONDS_OF_WAITING, and then calls `work` without the lock. Otherwise there would be
        a deadlock if the user's code waited for a thread that waits here.

        >>> ForkSafeLock().in_turn(lambda: 2)
        2
        """
        lock = self()
        held: list[Callable[[], None]] = []
        release = map(operator.call, held)
        try:  # Ctrl-C cannot interrupt a single call into C
            held.extend(compress([lock.release], map(lock.acquire, [True], [MAX_SECONDS_OF_WAITING])))
            return work()
        finally:
            any(release)

    def _renew(self) -> None:
        """Replace the lock, which the parent process made, by a new lock, which no thread holds."""
        with _renewing:
            if self._process is not _process:  # no other thread has done it
                self._lock = threading.RLock()
                self._process = _process  # last, since other threads then use the lock


class cached_property(functools.cached_property[T]):  # noqa: N801 -- the name of what it takes the place of
    """A `functools.cached_property` without the lock that the one of Python before 3.12 has.

    In Python before 3.12, all objects of a class share that lock. After `os.fork`, the child process would wait for it
    forever if another thread of the parent was computing the property of some object at that time. If several threads
    compute the property of one object, all get the first result.

    >>> class Circle:
    ...     @cached_property
    ...     def area(self):
    ...         return 3.0
    >>> circle = Circle()
    >>> circle.area, vars(circle)
    (3.0, {'area': 3.0})
    """

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> T: ...

    def __get__(self, instance: Any, owner: type[Any] | None = None) -> Any:
        """Return the property's value for `instance`, computed at the first time; for the class, return this object."""
        if instance is None:
            return self
        return vars(instance).setdefault(self.attrname, self.func(instance))


def _in_child() -> None:
    global _process, _renewing
    _process, _renewing = object(), threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
