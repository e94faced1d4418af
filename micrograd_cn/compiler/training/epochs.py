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
from ..data.rows import checked_order
from ..threads.tasks import check_threads

P = ParamSpec("P")
S = TypeVar("S")
R = TypeVar("R")
POLL_SECONDS = 0.05  # seconds of training between two looks at Ctrl-C
Progress = bool | Callable[[Sequence[float]], object]


def refuse_split_samples(fit: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
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
class TrainingOptions:
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
    options: TrainingOptions,
    n: int,
    take_steps: Callable[[int, int], Sequence[float]],
    report_pace: Callable[[float, float], None],
    set_order: Callable[[array[int]], None],
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
    losses, order, batch = array("d"), list(range(n)), min(options.batch_size or n, n)
    steps_per_epoch = -(-n // batch)
    total, done, steps_per_call, pace = options.epochs * steps_per_epoch, 0, 1, inf
    bar = progress_bar(total) if options.progress is True else None
    report = partial(update_progress_bar, bar) if bar is not None else options.progress
    try:
        while left := total - done:
            first = done % steps_per_epoch
            if options.shuffle is not None:
                left = steps_per_epoch - first
                if not first:
                    options.shuffle.shuffle(order)
                    set_order(checked_order(order, n))
            start = time.perf_counter()
            step_losses = take_steps(first, min(steps_per_call, left))
            steps = len(step_losses)
            if options.each_step or steps_per_epoch == 1:
                losses.extend(step_losses)
            else:
                add_epoch_means(losses, step_losses, first, n, batch)
            seconds = time.perf_counter() - start
            pace = min(pace, seconds / steps) if done else inf
            report_pace(seconds, pace * (total - done - steps) if done else 0.0)
            done += steps
            steps_per_call = (
                max(1, min(steps_per_call * 2, int(steps * POLL_SECONDS / seconds))) if seconds else 2 * steps_per_call
            )
            if callable(report):
                report(step_losses)
    finally:
        if bar is not None:
            bar.close()
    return list(losses)


def add_epoch_means(losses: array[float], of_steps: Sequence[float], first: int, n: int, batch: int) -> None:
    """Add the losses of steps, from one of an epoch on, to the means of this epoch and the following ones.

    >>> losses = array("d", [0.5])
    >>> add_epoch_means(losses, [1.0, 2.0, 4.0], first=1, n=3, batch=2)  # an epoch has steps of two and of one of the rows
    >>> [round(loss, 6) for loss in losses]
    [0.833333, 2.666667]
    """
    steps = -(-n // batch)
    for start in range(-first, len(of_steps), steps):
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


def update_progress_bar(bar: Any, losses: Sequence[float]) -> None:
    """Let a bar show the last steps' mean loss."""
    bar.set_postfix(loss=f"{sum(losses) / len(losses):.4g}", refresh=False)
    bar.update(len(losses))
