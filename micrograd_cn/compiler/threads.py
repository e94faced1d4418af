"""Rows divided among threads: each has memory of its own, and totals are added up in the threads' order."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
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


def run(tasks: Sequence[Callable[[], T]]) -> list[T]:
    """Return the results of all tasks, which run at the same time, the first one in this thread.

    An exception, Ctrl-C too, comes when all have ended.

    >>> run([lambda: 1, lambda: 2, lambda: 3])
    [1, 2, 3]
    """
    first, *others = tasks
    futures = [_pool(len(others)).submit(task) for task in others]
    try:
        result = first()
    finally:
        wait(futures)
    return [result, *(future.result() for future in futures)]
