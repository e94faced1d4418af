"""Rows divided among threads: each has memory of its own, and totals are added up in the threads' order."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


def check_threads(name: str, threads: Any) -> None:
    """Raise ValueError if a number of threads is none."""
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise ValueError(f"{name}(): threads must be an int of at least 1, got {threads!r}")


def shares(rows: int, lanes: int, threads: int) -> list[tuple[int, int]]:
    """Return the first row and the number of rows of each thread that has some: whole blocks, so that none is divided.

    >>> shares(20, 8, 2), shares(20, 8, 5), shares(2, 1, 4)
    ([(0, 16), (16, 4)], [(0, 8), (8, 8), (16, 4)], [(0, 1), (1, 1)])
    """
    blocks = -(-rows // lanes)
    size = -(-blocks // threads) * lanes
    return [(start, min(size, rows - start)) for start in range(0, rows, size)]


@cache
def _pool(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, "micrograd_cn")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # the threads are not there


class _Tasks:
    """Tasks of other threads, of which none may run any more when their memory is given back.

    `wait` of a future will not do: Ctrl-C ends it, and may come before the futures are known.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running = 0
        self._stopped = False

    def do(self, task: Callable[[], T]) -> T | None:
        """Return a task's result, None if it has not begun in time."""
        with self._changed:
            if self._stopped:
                return None
            self._running += 1
        try:
            return task()
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify()

    def stop(self) -> None:
        """Begin no more, and wait for those that run; another Ctrl-C meanwhile is the same as the first."""
        while True:
            try:
                with self._changed:
                    self._stopped = True
                    while self._running:
                        self._changed.wait()
                return
            except KeyboardInterrupt:
                continue


def run(tasks: Sequence[Callable[[], T]]) -> list[T]:
    """Return the results of all tasks, which run at the same time, the first one in this thread.

    An exception, Ctrl-C too, comes when none runs any more.

    >>> run([lambda: 1, lambda: 2, lambda: 3])
    [1, 2, 3]
    """
    first, *others = tasks
    if not others:
        return [first()]
    ours = _Tasks()
    try:
        futures = [_pool(len(others)).submit(ours.do, task) for task in others]
        return [first(), *(future.result() for future in futures)]  # type: ignore[list-item]  # they have begun
    except BaseException:
        ours.stop()
        raise
