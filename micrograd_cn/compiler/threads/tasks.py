"""Rows divided among threads: each has memory of its own, and totals are added up in the threads' order."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


def check_threads(name: str, threads: Any) -> None:
    """Raise ValueError if a number of threads is none."""
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise ValueError(f"{name}(): threads must be an int of at least 1, got {threads!r}")


def split_rows(rows: int, lanes: int, threads: int) -> list[tuple[int, int]]:
    """Return the first row and the number of rows of each thread that has some: whole blocks, so that none is divided.

    >>> split_rows(20, 8, 2), split_rows(20, 8, 5), split_rows(2, 1, 4)
    ([(0, 16), (16, 4)], [(0, 8), (8, 8), (16, 4)], [(0, 1), (1, 1)])
    """
    blocks = -(-rows // lanes)
    size = -(-blocks // threads) * lanes
    return [(start, min(size, rows - start)) for start in range(0, rows, size)]


@cache
def _pool(count: int) -> SimpleQueue[Callable[[], object]]:
    """Return the queue of so many threads that do what is put there."""
    queue: SimpleQueue[Callable[[], object]] = SimpleQueue()

    def work() -> None:
        while True:
            queue.get()()

    for _ in range(count):
        threading.Thread(target=work, name="micrograd_cn", daemon=True).start()
    return queue


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # they are not there


class _TaskGroup:
    """Tasks of other threads, of which none may run any more when their memory is given back.

    Ctrl-C may come between any two lines of the first thread, with a lock of Python's that is then never released; so
    there is none, but queues, each a single call of C's, and lists.
    """

    def __init__(self) -> None:
        self.done: SimpleQueue[tuple[int, Any, BaseException | None]] = SimpleQueue()
        self._running: list[int] = []
        self._stopped = False

    def run_one(self, k: int, task: Callable[[], object]) -> None:
        """Do the k-th task, unless it has been stopped before."""
        result = error = None
        self._running.append(k)
        try:
            if not self._stopped:
                result = task()
        except BaseException as found:
            error = found
        self._running.remove(k)
        self.done.put((k, result, error))

    def stop(self) -> None:
        """Begin no more, and wait for those that run."""
        self._stopped = True
        while self._running:
            time.sleep(1e-4)


def run_parallel(tasks: Sequence[Callable[[], T]]) -> list[T]:
    """Return the results of all tasks, which run at the same time, the first one in this thread.

    An exception, Ctrl-C too, comes when none runs any more.

    >>> run_parallel([lambda: 1, lambda: 2, lambda: 3])
    [1, 2, 3]
    """
    first, *others = tasks
    if not others:
        return [first()]
    group, results = _TaskGroup(), dict[int, Any]()
    try:
        for k, task in enumerate(others, 1):
            _pool(len(others)).put(partial(group.run_one, k, task))
        results[0] = first()
        while len(results) <= len(others):
            k, results[k], error = group.done.get()
            if error:
                raise error
    except BaseException:
        while True:
            try:
                group.stop()
                break
            except KeyboardInterrupt:  # another one is the same as the first, even where `stop` has not begun
                continue
        raise
    return [results[k] for k in range(len(tasks))]
