"""The loop of `fit`: epochs, and between steps a look at the clock, at Ctrl-C and at the progress bar."""

from __future__ import annotations

import sys
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, wraps
from math import inf
from operator import mul
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from ...optim import Optimizer
from ..data.rows import shuffled
from ..threads.tasks import check_threads

P = ParamSpec("P")
S = TypeVar("S")
R = TypeVar("R")
TURN = 0.05  # seconds of training between two looks at Ctrl-C
Progress = bool | Callable[[Sequence[float]], object]


def samples_first(fit: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Return a method `fit` that says how samples are given where fit(X, y, optimizer, epochs=n) is written.

    Python would say that it got two values for epochs.
    """

    @wraps(fit)
    def checked(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        if len(args) > 2 and "epochs" in kwargs:
            raise TypeError("fit() takes samples as one argument; write fit((X, y), optimizer, epochs=...)")
        return fit(self, *args, **kwargs)

    return checked


class Shuffler(Protocol):
    """What `random.Random` and the module `random` have."""

    def shuffle(self, x: list[int], /) -> None:
        """Put a list in random order."""


@dataclass(frozen=True)
class Course:
    """How `fit` trains; see `Program.fit`.

    Raises:
        TypeError, ValueError: something is out of range.
    """

    optimizer: Optimizer
    epochs: int
    batch_size: int | None = None
    shuffle: Shuffler | None = None
    schedule: Callable[[int], float] | None = None
    threads: int = 1
    progress: Progress = False
    each_step: bool = False

    def __post_init__(self) -> None:
        optimizer, shuffle, schedule, progress = self.optimizer, self.shuffle, self.schedule, self.progress
        if not isinstance(optimizer, Optimizer):
            arrays = (
                "; samples are one argument, fit((X, y), optimizer, ...)" if getattr(optimizer, "shape", ()) else ""
            )
            raise TypeError(f"fit() takes an optimizer of micrograd_cn.optim, got {type(optimizer).__name__}{arrays}")
        for name, count, least in (("epochs", self.epochs, 0), ("batch_size", self.batch_size, 1)):
            if count is None and name == "batch_size":
                continue
            if isinstance(count, bool) or not isinstance(count, int) or count < least:
                raise ValueError(f"fit(): {name} must be an int of at least {least}, got {count!r}")
        if shuffle is not None and not hasattr(shuffle, "shuffle"):
            raise TypeError(f"fit(): shuffle must be a random.Random, or None, got {shuffle!r}")
        check_threads("fit", self.threads)
        if schedule is not None and not callable(schedule):
            raise TypeError(f"fit(): schedule must be a function of the number of the step, got {schedule!r}")
        if not (isinstance(progress, bool) or callable(progress)):
            raise TypeError(f"fit(): progress must be a bool or a function of some steps' losses, got {progress!r}")


def train(
    course: Course,
    n: int,
    do: Callable[[int, int], Sequence[float]],
    expect: Callable[[float, float], None],
    reorder: Callable[[array[int]], None],
) -> list[float]:
    """Take all steps of some epochs, and return the losses: of each step, or their means over each epoch.

    Args:
        course: how many epochs, in which batches and which order, and who is told.
        n: rows.
        do: takes some steps from one of an epoch on, at least one, and returns the loss of each before it.
        expect: is told how many seconds they took, and how many are left, at the best pace so far; 0 at the first time,
            since the first step, in memory that is new, takes longer.
        reorder: is given the rows' numbers in the order of the epoch that begins, where they are shuffled.
    """
    losses, order, batch = array("d"), list(range(n)), min(course.batch_size or n, n)
    a_epoch = -(-n // batch)
    total, taken, turn, pace = course.epochs * a_epoch, 0, 1, inf
    bar = progress_bar(total) if course.progress is True else None
    tell = partial(advance, bar) if bar is not None else course.progress
    try:
        while left := total - taken:
            begun = taken % a_epoch
            if course.shuffle is not None:
                left = a_epoch - begun
                if not begun:
                    course.shuffle.shuffle(order)
                    reorder(shuffled(order, n))
            start = time.perf_counter()
            found = do(begun, min(turn, left))
            steps = len(found)
            if course.each_step or a_epoch == 1:
                losses.extend(found)
            else:
                add_means(losses, found, begun, n, batch)
            seconds = time.perf_counter() - start
            pace = min(pace, seconds / steps) if taken else inf
            expect(seconds, pace * (total - taken - steps) if taken else 0.0)
            taken += steps
            turn = max(1, min(turn * 2, int(steps * TURN / seconds))) if seconds else 2 * turn
            if callable(tell):
                tell(found)
    finally:
        if bar is not None:
            bar.close()
    return list(losses)


def add_means(losses: array[float], of_steps: Sequence[float], begun: int, n: int, batch: int) -> None:
    """Add the losses of steps, from one of an epoch on, to the means of this epoch and the following ones.

    >>> losses = array("d", [0.5])
    >>> add_means(losses, [1.0, 2.0, 4.0], begun=1, n=3, batch=2)  # an epoch has steps of two and of one of the rows
    >>> [round(loss, 6) for loss in losses]
    [0.833333, 2.666667]
    """
    steps = -(-n // batch)
    for start in range(-begun, len(of_steps), steps):
        part = of_steps[max(start, 0) : start + steps]
        counts = [batch] * (len(part) - 1) + [min(batch, n - (max(start, 0) - start + len(part) - 1) * batch)]
        mean = sum(map(mul, part, counts)) / n
        if start < 0:
            losses[-1] += mean
        else:
            losses.append(mean)


def progress_bar(steps: int) -> Any:
    """Return a bar that counts steps."""
    try:
        from tqdm import tqdm
    except ImportError as error:
        raise ImportError("fit(progress=True) needs tqdm: pip install tqdm") from error
    return tqdm(total=steps, desc="training", unit="step", file=sys.stderr)


def advance(bar: Any, losses: Sequence[float]) -> None:
    """Let a bar show the last steps' mean loss."""
    bar.set_postfix(loss=f"{sum(losses) / len(losses):.4g}", refresh=False)
    bar.update(len(losses))
