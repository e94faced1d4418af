"""Learning-rate schedules: functions from the index of a step, counted from 0, to the learning rate of the step.

Set `optimizer.lr = schedule(optimizer.steps)` before `optimizer.step()`, or pass `schedule=` to `fit` of a compiled
function. You can use any function of a step's index as a schedule.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from ..ops.options import refuse_options
from ..text.absent import Absent
from .optimizer import SET_RATE, Optimizer, at_least_0

__all__ = ["cosine_lr", "linear_lr", "step_lr", "warmup"]

INSTEAD = {
    "T_max": "write steps=...",
    "total_iters": "write steps=...",
    "warmup_steps": "write steps=...",
    "eta_min": "write lr_min=...",
    "end_factor": "write lr_end=..., the last rate itself",
    "start_factor": "write lr=..., the first rate itself",
    "base_lr": "write lr=...",
    "learning_rate": "write lr=...",
    "optimizer": "write lr=optimizer.lr",
    "last_epoch": f"write {SET_RATE} before each optimizer.step(), which begins at any step",
}


class _Schedule:
    """The base class of schedules. Its attribute `step` raises an error that says what to write.

    PyTorch's schedules have a method of this name.
    """

    if not TYPE_CHECKING:
        step = Absent(f"write {SET_RATE} before each optimizer.step()")
        get_lr, get_last_lr = [Absent("write schedule(step), or read optimizer.lr") for _ in range(2)]
        last_epoch = Absent("read optimizer.steps")

        def __new__(cls, *args: Any, **options: Any) -> Any:
            """Return a new object. Raise TypeError for `options` that the class does not have, such as `T_max`.

            PyTorch's schedules have an option of this name.
            """
            known: Collection[str] = [field.name for field in fields(cls)]
            if any(name not in known for name in options):
                # An __init__ that is wrapped may take options that the function inside does not have
                parameters = inspect.signature(cls.__init__, follow_wrapped=False).parameters
                if all(p.kind is not p.VAR_KEYWORD for p in parameters.values()):
                    known = [*parameters][1:]
                    instead = {name: write for name, write in INSTEAD.items() if _is_advice_for(write, known)}
                    refuse_options(cls.__name__, [name for name in options if name not in known], instead, known)
            return super().__new__(cls)


@dataclass(frozen=True)
class cosine_lr(_Schedule):
    """A schedule that falls along half a cosine, from `lr` at step 0 to `lr_min` at step `steps`, and then stays there.

    rate(t) = lr_min + (lr - lr_min) * (1 + cos(pi * t / steps)) / 2 (Loshchilov & Hutter 2017). Up to step `steps` it
    is the same as PyTorch's CosineAnnealingLR, which rises again after that.

    Args:
        lr: learning rate of step 0.
        steps: the index of the first step with the rate `lr_min`.
        lr_min: learning rate from step `steps` on.

    Raises:
        ValueError: `lr` or `lr_min` is negative, inf or nan, or `steps` is not an int of at least 1.
        TypeError: `lr` or `lr_min` is not a number.

    >>> schedule = cosine_lr(0.1, steps=100)
    >>> schedule(0), round(schedule(50), 6), schedule(100), schedule(1000)
    (0.1, 0.05, 0.0, 0.0)
    >>> schedule
    cosine_lr(lr=0.1, steps=100, lr_min=0.0)
    """

    lr: float
    steps: int
    lr_min: float = 0.0

    def __post_init__(self) -> None:
        _check_first_rate("cosine_lr", self.lr)
        at_least_0("cosine_lr: lr_min", self.lr_min)
        _at_least_1("cosine_lr: steps", self.steps)

    def __call__(self, step: int) -> float:
        """Return the learning rate of the step with the index `step`."""
        part = min(step, self.steps) / self.steps
        return _between(self.lr_min, self.lr, 0.5 * (1.0 + math.cos(math.pi * part)))


@dataclass(frozen=True)
class step_lr(_Schedule):
    """A schedule that begins with `lr` and multiplies the rate by `gamma` after every `step_size` steps.

    rate(t) = lr * gamma ** (t // step_size). It is the same as PyTorch's StepLR.

    Args:
        lr: learning rate of the first `step_size` steps.
        step_size: how many steps in a row have the same rate.
        gamma: the factor by which the rate is multiplied.

    Raises:
        ValueError: `lr` or `gamma` is negative, inf or nan, or `step_size` is not an int of at least 1.
        TypeError: `lr` or `gamma` is not a number.

    >>> schedule = step_lr(1.0, step_size=10)
    >>> schedule(9), schedule(10)
    (1.0, 0.1)
    """

    lr: float
    step_size: int
    gamma: float = 0.1

    def __post_init__(self) -> None:
        _check_first_rate("step_lr", self.lr)
        at_least_0("step_lr: gamma", self.gamma)
        _at_least_1("step_lr: step_size", self.step_size)

    def __call__(self, step: int) -> float:
        """Return the learning rate of the step with the index `step`."""
        return float(self.lr * self.gamma ** (step // self.step_size))


@dataclass(frozen=True)
class linear_lr(_Schedule):
    """A schedule whose rate changes linearly from `lr` at step 0 to `lr_end` at step `steps`, and then stays there.

    rate(t) = lr + (lr_end - lr) * t / steps for t up to `steps`. It is PyTorch's LinearLR with start_factor 1,
    end_factor lr_end / lr and total_iters `steps`.

    Args:
        lr: learning rate of step 0.
        steps: the index of the first step with the rate `lr_end`.
        lr_end: learning rate from step `steps` on, which may be larger than `lr`.

    Raises:
        ValueError: `lr` or `lr_end` is negative, inf or nan, or `steps` is not an int of at least 1.
        TypeError: `lr` or `lr_end` is not a number.

    >>> schedule = linear_lr(0.5, steps=4)
    >>> [schedule(step) for step in range(6)]
    [0.5, 0.375, 0.25, 0.125, 0.0, 0.0]
    """

    lr: float
    steps: int
    lr_end: float = 0.0

    def __post_init__(self) -> None:
        _check_first_rate("linear_lr", self.lr)
        at_least_0("linear_lr: lr_end", self.lr_end)
        _at_least_1("linear_lr: steps", self.steps)

    def __call__(self, step: int) -> float:
        """Return the learning rate of the step with the index `step`."""
        return _between(self.lr, self.lr_end, min(step, self.steps) / self.steps)


@dataclass(frozen=True)
class warmup(_Schedule):
    """A schedule that rises for `steps` steps to the first learning rate of another schedule, which then takes over.

    rate(t) = schedule(0) * (start_factor + (1 - start_factor) * t / steps) before step `steps`, and
    schedule(t - steps) from step `steps` on. In PyTorch it is a SequentialLR with a milestone at `steps`, made of a
    LinearLR with total_iters `steps` and of `schedule`.

    Args:
        schedule: the schedule to follow after the rise, any function of a step's index.
        steps: how many steps the rise takes.
        start_factor: the rate of step 0, divided by `schedule(0)`; from 0 to 1. The default is PyTorch's.

    Raises:
        ValueError: `start_factor` is not from 0 to 1, or `steps` is not an int of at least 1.
        TypeError: `schedule` is not a function, or `start_factor` is not a number.

    >>> schedule = warmup(step_lr(1.0, step_size=2), steps=4, start_factor=0.0)
    >>> [schedule(step) for step in range(8)]
    [0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 0.1, 0.1]
    """

    schedule: Callable[[int], float]
    steps: int
    start_factor: float = 1.0 / 3.0

    def __post_init__(self) -> None:
        if not callable(self.schedule):
            raise TypeError(
                f"warmup: schedule must be a function of the number of the step, got {self.schedule!r}; for a constant "
                "rate, write lambda step: 0.1"
            )
        if at_least_0("warmup: start_factor", self.start_factor) > 1.0:
            raise ValueError(f"warmup: start_factor must be 1 or less, got {self.start_factor!r}")
        _at_least_1("warmup: steps", self.steps)

    def __call__(self, step: int) -> float:
        """Return the learning rate of the step with the index `step`."""
        if step >= self.steps:
            return self.schedule(step - self.steps)
        return self.schedule(0) * _between(self.start_factor, 1.0, step / self.steps)


def _is_advice_for(write: str, known: Collection[str]) -> bool:
    """Return whether `write`, such as "write steps=...", is advice for a schedule that has the options `known`.

    Advice that names an option is right only if the schedule has this option.
    """
    option = write.removeprefix("write ").partition("=")[0]
    return not option.isidentifier() or option in known


def _check_first_rate(name: str, lr: Any) -> None:
    """Raise an error if `lr`, the first argument of a schedule, is not a learning rate. Messages begin with `name`.

    Users of PyTorch might pass an optimiser by mistake, because PyTorch's schedules take one.

    Raises:
        TypeError: `lr` is not a number.
        ValueError: `lr` is negative, inf or nan.
    """
    if isinstance(lr, Optimizer):
        raise TypeError(
            f"{name} takes the learning rate of step 0, not an optimiser; write schedule = {name}(optimizer.lr, ...), "
            f"and before each optimizer.step() {SET_RATE}"
        )
    at_least_0(f"{name}: lr", lr)


def _between(a: float, b: float, part: float) -> float:
    """Return a + part * (b - a), which is exactly a for part = 0 and exactly b for part = 1."""
    return a * (1.0 - part) + b * part


def _at_least_1(name: str, x: int) -> None:
    if isinstance(x, bool) or not isinstance(x, int) or x < 1:
        raise ValueError(f"{name} must be an int of at least 1, got {x!r}")
