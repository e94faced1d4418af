"""Do work, such as making native code, in a background thread, while the caller goes on."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from _thread import allocate_lock, start_new_thread
from collections.abc import Callable
from typing import Any

from .forks import ForkSafeLock

# Python runs one thread at a time. A thread that waits for its turn asks for it after the switch interval, which is 5
# milliseconds by default. That is many times as long as a call of compiled code, so the interval is this short, in
# seconds, while a background thread works.
SWITCH_INTERVAL = 5e-5
IN_BACKGROUND = True  # whether tasks are done in threads of their own


class _ShortInterval:
    """A context manager that makes Python's switch interval short, so threads hand over the GIL more often.

    The interval stays short as long as any thread is inside a `with` block of this context manager.
    """

    def __init__(self) -> None:
        self._lock = ForkSafeLock()
        self._threads = 0  # inside a `with` block
        self._intervals: tuple[float, float] | None = None  # the usual one and the short one, while it is short

    def shorten(self) -> None:
        """Make the switch interval short, as it is inside the `with` block.

        The thread that begins background work calls this before the new thread has entered the block. Otherwise the new
        thread would still wait for the GIL as long as the usual interval.
        """
        with self._lock():
            if not self._intervals:
                usual = sys.getswitchinterval()
                sys.setswitchinterval(min(usual, SWITCH_INTERVAL))
                self._intervals = usual, sys.getswitchinterval()

    def lengthen(self) -> None:
        """Set Python's switch interval to what it was before `shorten`, unless a thread is inside the `with` block.

        If the user has set another interval meanwhile, this interval stays.
        """
        with self._lock():
            if self._intervals and not self._threads:
                usual, short = self._intervals
                self._intervals = None
                if sys.getswitchinterval() == short:  # otherwise the user has chosen another interval meanwhile
                    sys.setswitchinterval(usual)

    def __enter__(self) -> None:
        with self._lock():
            self._threads += 1
            self.shorten()

    def __exit__(self, *error: object) -> None:
        with self._lock():
            self._threads -= 1
            self.lengthen()

    def end(self) -> None:
        """Set the usual switch interval in a child process after `os.fork`.

        The child process does not have those threads of its parent that were inside the `with` block.
        """
        self._threads = 0
        self.lengthen()


_short_interval = _ShortInterval()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_short_interval.end)


_this_thread = threading.local()


def in_background() -> bool:
    """Return whether the calling thread does the work of a `BackgroundWork`.

    >>> in_background()
    False
    """
    return getattr(_this_thread, "in_background", False)


class BackgroundWork:
    """A call of `work` in a new thread.

    When Python exits, it waits for the thread, since the thread may be inside LLVM, which is taken down at the exit. In
    a child process after `os.fork`, the work counts as done: the child does not have the thread.

    The thread is none of `threading.Thread`, whose `start` waits until the thread has begun. That takes half a
    millisecond, or several if other processes are busy, while a call of compiled code takes microseconds.

    Attributes:
        error: the exception that `work` has raised, or None.

    >>> found = []
    >>> work = BackgroundWork(lambda: found.append(3))
    >>> while not work.done:
    ...     pass
    >>> found, work.error
    ([3], None)
    """

    def __init__(self, work: Callable[[], object]) -> None:
        self.error: Exception | None = None
        self._held = allocate_lock()  # until the work has ended
        self._held.acquire()
        begun: list[int] = []
        try:
            _running.add(self)
            _short_interval.shorten()
            begun.extend(map(start_new_thread, [self._run], [(work,)]))  # Ctrl-C cannot interrupt a single call into C
        except BaseException:  # no new thread is allowed, or Ctrl-C came; if the thread runs, the interval stays short
            if not begun:
                _running.discard(self)
            _short_interval.lengthen()
            raise

    def _run(self, work: Callable[[], object]) -> None:
        try:
            _this_thread.in_background = True
            with _short_interval:
                work()
        except Exception as error:  # whatever it is, a later call raises it, where the user sees it
            self.error = error
        finally:
            _running.discard(self)
            self._held.release()

    def wait(self) -> None:
        """Wait until the work has ended."""
        if self in _running:  # a child process has none of its parent's threads
            with self._held:
                pass

    @property
    def done(self) -> bool:
        """Whether the work has ended."""
        return self not in _running


_running: set[BackgroundWork] = set()  # in this process


def is_idle() -> bool:
    """Return whether no background thread works now.

    >>> BackgroundWork(lambda: None).wait()
    >>> is_idle()
    True
    """
    return not _running


@atexit.register
def _wait_for_all() -> None:
    """Wait until no background thread works, when Python exits."""
    while _running:
        for work in [*_running]:
            work.wait()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_running.clear)


class BackgroundTasks:
    """Tasks that are done in threads of their own. No task is begun a second time while it is running.

    If IN_BACKGROUND is not set, or no thread can be started, a task is done in the thread that begins it.

    Attributes:
        begun: a dict from the keys of tasks that were begun in threads to their `BackgroundWork`.

    >>> tasks, found = BackgroundTasks(), []
    >>> while not found:
    ...     tasks.do("key", lambda: found.append(3))
    >>> found
    [3]
    """

    def __init__(self) -> None:
        self.begun: dict[Any, BackgroundWork] = {}
        self._in_callers: set[Any] = set()  # the keys of tasks that are being done by the threads that began them

    def do(self, key: Any, work: Callable[[], object]) -> None:
        """Begin the task `work` in a thread, unless the task with this key is running.

        The first call after a task's thread has ended begins nothing. It forgets the key and, if the task has raised an
        error, raises this error. The next call begins the task again. In a child process after `os.fork`, a task that
        was running has ended, since the child does not have the thread.
        """
        if key in self._in_callers:  # another thread does this
            return
        begun = self.begun.get(key)
        if begun is None:
            try:
                if IN_BACKGROUND:
                    self.begun[key] = BackgroundWork(work)
                    return
            except RuntimeError:  # the system, or the end of the process, allows no new thread
                pass
            try:
                self._in_callers.add(key)
                work()
            finally:
                self._in_callers.discard(key)
        elif begun.done:
            self.begun.pop(key, None)
            if begun.error:
                raise begun.error
