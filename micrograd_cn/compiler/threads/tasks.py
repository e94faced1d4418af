"""Run tasks in parallel on a pool of threads, and split rows of numbers among the threads.

Every thread computes totals, which are sums over its rows, in buffers of its own. The totals of all threads are added
up in the order of the threads. So the result depends on the number of threads, but not on the order in which the
threads finish.
"""

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
    """Raise ValueError unless `threads` is an int of at least 1. The message names the method `name`."""
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        together = f"; write {name}((X, Y)) for all values of two arguments" if hasattr(threads, "__len__") else ""
        raise ValueError(f"{name}(): threads must be an int of at least 1, got {threads!r}{together}")


def divide_rows(rows: int, lanes: int, threads: int) -> list[tuple[int, int]]:
    """Split `rows` rows, at least one, among at most `threads` threads.

    Return, for each thread, the index of its first row and the number of its rows. A block of `lanes` rows is never
    split between two threads.

    >>> divide_rows(20, 8, 2), divide_rows(20, 8, 5), divide_rows(2, 1, 4)
    ([(0, 16), (16, 4)], [(0, 8), (8, 8), (16, 4)], [(0, 1), (1, 1)])
    """
    blocks = -(-rows // lanes)
    size = -(-blocks // threads) * lanes
    return [(start, min(size, rows - start)) for start in range(0, rows, size)]


@cache
def _pool(count: int) -> SimpleQueue[Callable[[], object] | None]:
    """Return the queue of a pool of `count` threads, which run the functions that are put into the queue."""
    queue: SimpleQueue[Callable[[], object] | None] = SimpleQueue()

    def work() -> None:
        while task := queue.get():
            task()

    try:
        for _ in range(count):
            threading.Thread(target=work, name="micrograd_cn", daemon=True).start()
        return queue
    except BaseException:  # nobody will use this queue, so the threads that have been started end
        for _ in range(count):
            queue.put(None)
        raise


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a child has no thread of a pool


class _TaskGroup:
    """Tasks that run in other threads. They can be stopped before the memory that they use is freed.

    Ctrl-C may come between any two lines of the main thread. If the main thread then holds a lock of Python's
    `threading`, the lock is never released. This class uses no lock of `threading`: each operation on a queue or a list
    is a single call into C.
    """

    def __init__(self) -> None:
        self.done: SimpleQueue[tuple[int, Any, BaseException | None]] = SimpleQueue()
        self._running: list[int] = []
        self._stopped = False

    def run_one(self, k: int, task: Callable[[], object]) -> None:
        """Run task number k unless `stop` has been called. Put k with the task's result or exception into `done`."""
        result = error = None
        self._running.append(k)
        try:
            if not self._stopped:
                result = task()
        except BaseException as found:
            error = found
        self._running.remove(k)
        self.done.put((k, result, error))

    def collect(self, results: dict[int, Any], count: int) -> None:
        """Put what the tasks return into `results` by their numbers, until it has `count` results.

        Raises:
            BaseException: the exception of the first task that has raised one.
        """
        while len(results) < count:
            k, results[k], error = self.done.get()
            if error:
                raise error

    def stop(self) -> None:
        """Start no more tasks, and wait for the tasks that are running."""
        self._stopped = True
        while self._running:
            time.sleep(1e-4)


def run_parallel(tasks: Sequence[Callable[[], T]]) -> list[T]:
    """Run all tasks at the same time, the first of them in this thread. Return their results in the order of `tasks`.

    If a task raises, or the user presses Ctrl-C, the exception is raised here as soon as no task is running any more.

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
        group.collect(results, len(tasks))
    except BaseException:
        while True:
            try:
                group.stop()
                break
            except KeyboardInterrupt:  # a further Ctrl-C changes nothing, even if `stop` has not begun yet
                continue
        raise
    return [results[k] for k in range(len(tasks))]
