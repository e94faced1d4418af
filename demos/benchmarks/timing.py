"""Time pieces of work in turns, and compare the numbers that contenders compute before their times are compared."""

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from statistics import median
from typing import Any

Row = dict[str, str | int | float | None]  # a row of a table: its cells by their headings
Work = Callable[[int], None]  # does the work as many times as it is told

ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


class Asynchronous:
    """Work of several steps that overlap: JAX computes a step while Python dispatches the next one.

    The work waits for the last step at its end. `time_in_turns` divides the time of a long run by its count of steps.
    It does not subtract the time of a shorter run, in which fewer steps would overlap.
    """

    def __init__(self, work: Work) -> None:
        self.work = work

    def __call__(self, times: int) -> None:
        """Do the work `times` times."""
        self.work(times)


def time_in_turns(works: Sequence[Work | None], seconds: float = 0.8, turns: int = 7) -> list[float | None]:
    """Return the median seconds of each piece of work; None stands for a peer that is not installed.

    Each turn times all pieces one after another, so a machine that slows down slows all of them alike.

    Args:
        works: the pieces of work.
        seconds: a piece is repeated until one turn of it takes a quarter to a half of these.
        turns: how many times each piece is timed.

    Raises:
        RuntimeError: other work has disturbed the measurement so much that a piece seems to take no time.
    """
    counts, times = [], [list[float]() for _ in works]
    for work in works:
        count = 1
        # The fixed cost of a call may be most of its time, and does not count.
        while work and 2 * count * _seconds_each(work, count) < seconds / 8:
            count *= 2
        counts.append(count)
    for _ in range(turns):
        for work, count, of_one in zip(works, counts, times, strict=True):
            if work:
                of_one.append(_seconds_each(work, count))
    found = [median(of_one) if of_one else None for of_one in times]
    if any(x is not None and x <= 0.0 for x in found):
        raise RuntimeError(
            "other work disturbs the measurement; measure on an idle machine, on more than one processor"
        )
    return found


def _seconds(work: Work, count: int) -> float:
    start = time.perf_counter()
    work(count)
    return time.perf_counter() - start


def _seconds_each(work: Work, count: int) -> float:
    """Return the seconds for each repetition of the work, without the constant cost of a call.

    The work is done `count` times and three times as often, and the difference of the two times is divided.
    """
    once, more = _seconds(work, count), _seconds(work, 3 * count)
    return more / (3 * count) if isinstance(work, Asynchronous) else (more - once) / (2 * count)


def median_milliseconds(f: Callable[[], object], turns: int = 9) -> float:
    """Return the median time of `turns` calls of `f`, in milliseconds."""
    seconds = []
    for _ in range(turns):
        start = time.perf_counter()
        f()
        seconds.append(time.perf_counter() - start)
    return 1e3 * median(seconds)


def ratio(ours: float | None, peer: float | None) -> float | None:
    """Return the peer's time divided by ours, or None if one of them is None."""
    return peer / ours if ours and peer else None


def check_agreement(losses: Mapping[str, float], where: str) -> None:
    """Raise RuntimeError if the losses of contenders differ, since then they do not compute the same."""
    first = next(iter(losses.values()), 0.0)
    if not all(math.isclose(loss, first, rel_tol=1e-6) for loss in losses.values()):
        shown = ", ".join(f"{name}: {loss}" for name, loss in losses.items())
        raise RuntimeError(f"the contenders' losses {where} must agree, got {shown}")


def jax_on_one_thread() -> Any:
    """Return the module jax, in double precision and on one thread, or None if it is not installed."""
    if not find_spec("jax"):
        return None
    os.environ.setdefault("XLA_FLAGS", ONE_THREAD)
    jax = import_module("jax")
    jax.config.update("jax_enable_x64", True)
    return jax
