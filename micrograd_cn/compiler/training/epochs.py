"""Check the options of `fit`, and run the part of it that is in Python.

This part calls a function that takes steps for about POLL_SECONDS. Between two calls it shuffles the rows, reports
progress, and calls a function at the end of an epoch.
"""

from __future__ import annotations

import sys
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial, wraps
from inspect import signature
from itertools import repeat
from math import inf
from operator import index, mul
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from ... import optim
from ...ops.number import flag, number
from ...ops.options import refuse_options
from ...optim import EarlyStopping, Optimizer
from ...optim.optimizer import refuse_misspelt_options
from ..data.rows import row_numbers
from ..threads.forks import cached_property
from ..threads.tasks import check_threads
from .shuffling import is_librarys, shuffled

P = ParamSpec("P")
S = TypeVar("S")
R = TypeVar("R")
OPTIMIZERS = [name for name, x in vars(optim).items() if isinstance(x, type) and issubclass(x, Optimizer)]
POLL_SECONDS = 0.05  # seconds of training between two returns to Python, which handles Ctrl-C
FIRST_SECONDS = 1e-3  # how long the second call of the compiled loop lasts, at most, if a step takes less time
Progress = bool | Callable[[Sequence[float]], object]
Callback = Callable[[int, float], object] | Callable[[int, float, float], object]


FIT_INSTEAD = {
    "lr": "write fit(samples, SGD(model.parameters(), lr=...), epochs)",
    "learning_rate": "write fit(samples, SGD(model.parameters(), lr=...), epochs)",
    "verbose": "write progress=True",
    **dict.fromkeys(("nb_epoch", "max_iter", "n_iter", "num_iter", "maxiter"), "write epochs=..."),
    **dict.fromkeys(
        ("steps", "num_steps", "n_steps", "iterations", "steps_per_epoch"),
        "write epochs=..., of which each has a step for each batch",
    ),
    "batch": "write batch_size=...",
    **dict.fromkeys(("sample_weight", "class_weight"), "make the weight an argument of the function, w * loss"),
    "weight_decay": "write fit(samples, AdamW(model.parameters(), lr=..., weight_decay=...), epochs)",
    **dict.fromkeys(("seed", "random_state"), "write shuffle=random.Random(seed)"),
    **dict.fromkeys(("tol", "min_delta"), "write callback=f, where f returns True to stop"),
    "validation_data": "write validation=...",
    "validation_split": "write validation=... with other samples",
    "callbacks": "write callback=f, with one function f",
    "early_stopping": "write validation=..., patience=...",
    "clip_grad_value": "write clip_grad_norm=..., or compute value_and_grad in a loop of your own",
    **dict.fromkeys(("x", "y", "X", "Y"), "samples are one argument, fit((X, y), optimizer, ...)"),
    **dict.fromkeys(("max_norm", "clip", "clipnorm", "grad_clip"), "write clip_grad_norm=..."),
    "initial_lr": "write fit(samples, SGD(model.parameters(), lr=...), epochs)",
    "initial_epoch": "leave it out, because fit goes on from the parameters and the optimiser as they are",
    "loss": "the compiled function is the loss",
    "wrt": "the optimiser says which parameters are trained",
}


def refuse_split_samples(fit: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Decorate a method `fit`, so a call such as `fit(X, y, optimizer, epochs=n)` raises a helpful error.

    Without the decorator, Python would only say that there are two values for `epochs`, or that one is missing.
    """

    known = [*signature(fit).parameters][1:]

    @wraps(fit)
    def checked(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        refuse_options("fit()", [option for option in kwargs if option not in known], FIT_INSTEAD, known)
        if len(args) > 2 and "epochs" in kwargs:
            raise TypeError("fit() takes samples as one argument; write fit((X, y), optimizer, epochs=...)")
        optimizer: Any = kwargs.get("optimizer", args[1] if len(args) > 1 else None)
        if isinstance(optimizer, (type, str, float)) or (len(args) == 2 and _is_array(optimizer)):
            raise no_optimizer(optimizer)
        return fit(self, *args, **kwargs)

    return checked


def _is_array(given: Any) -> bool:
    return isinstance(given, (list, tuple)) or hasattr(given, "shape")


def no_optimizer(given: Any) -> TypeError:
    """Return the error for a second argument of `fit` that is not an optimiser. It says what to write instead."""
    if isinstance(given, (list, tuple)) and any(isinstance(x, Optimizer) for x in given):
        write = "; for several, write a loop that calls loss.backward(samples), and each optimizer's zero_grad and step"
    elif _is_array(given):
        write = "; samples are one argument, fit((X, y), optimizer, ...)"
    elif isinstance(given, (str, type)):
        name = given if isinstance(given, str) else given.__name__
        known = {x.lower(): x for x in OPTIMIZERS}.get(name.lower(), "SGD")
        write = f"; write fit(samples, {known}(model.parameters(), lr=...), epochs=...)"
    else:
        write = "; write fit(samples, SGD(model.parameters(), lr=0.1), epochs=...)"
    shown = repr(given) if isinstance(given, (str, int, float)) else type(given).__name__
    if isinstance(given, type):
        shown = f"the class {given.__name__}"
    return TypeError(f"fit() takes an optimizer of micrograd_cn.optim, got {shown}{write}")


class Shuffler(Protocol):
    """The interface of an object that shuffles lists, such as a `random.Random` or the module `random`."""

    def shuffle(self, x: list[int], /) -> object:
        """Put a list in random order, in place. `fit` raises an error if this returns another list instead."""


@dataclass(frozen=True)
class TrainingOptions:
    """The arguments of `fit` except the samples and the validation data; `Program.fit` explains them.

    Their types and ranges are checked when the object is made.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: a number is out of range, or a count is not an int.
    """

    optimizer: Optimizer
    epochs: int
    batch_size: int | None = None
    shuffle: Shuffler | None = None
    schedule: Callable[[int], float] | None = None
    threads: int = 1
    progress: Progress = False
    each_step: bool = False
    clip_grad_norm: float | None = None
    callback: Callback | None = None
    patience: int | None = None

    def __post_init__(self) -> None:
        optimizer, shuffle, schedule, progress = self.optimizer, self.shuffle, self.schedule, self.progress
        if not isinstance(optimizer, Optimizer):
            raise no_optimizer(optimizer)
        refuse_misspelt_options(optimizer)
        optimizer.check_steps()
        count: Any
        counts = (("epochs", self.epochs, 0), ("batch_size", self.batch_size, 1), ("patience", self.patience, 1))
        for name, count, least in counts:
            if count is None and name != "epochs":
                continue
            if type(count) is not int and hasattr(type(count), "__index__") and not isinstance(count, bool):
                object.__setattr__(self, name, count := index(count))  # `count` is an integer of numpy, for example
            if type(count) is not int or count < least:
                raise ValueError(f"fit(): {name} must be an int of at least {least}, got {count!r}")
        if shuffle is not None and not hasattr(shuffle, "shuffle"):
            raise TypeError(
                f"fit(): shuffle must be a random.Random, or None, got {shuffle!r}; write shuffle=random.Random(0), or "
                "pass an object with a method shuffle(xs), which changes the list xs"
            )
        check_threads("fit", self.threads)
        if schedule is not None and not callable(schedule):
            raise TypeError(
                f"fit(): schedule must be a function of the number of the step, got {schedule!r}; for a constant rate, "
                "set optimizer.lr"
            )
        if isinstance(progress, type) and progress.__module__.partition(".")[0] == "tqdm":
            raise TypeError("fit(): write progress=True for a progress bar of tqdm")
        if not (isinstance(progress, bool) or callable(progress)):
            raise TypeError(f"fit(): progress must be a bool or a function of some steps' losses, got {progress!r}")
        flag("fit(): each_step", self.each_step)
        if self.callback is not None and not callable(self.callback):
            write = "; write validation=..., patience=..." if isinstance(self.callback, EarlyStopping) else ""
            raise TypeError(
                f"fit(): callback must be a function of an epoch's number and loss, got {self.callback!r}{write}"
            )
        if (norm := self.clip_grad_norm) is not None:
            try:
                if isinstance(norm, bool):
                    raise TypeError
                object.__setattr__(self, "clip_grad_norm", norm := number(norm))
            except TypeError:
                raise TypeError(
                    f"fit(): clip_grad_norm must be a number, the largest norm, or None, got {norm!r}"
                ) from None
            if not norm >= 0.0:
                raise ValueError(f"fit(): clip_grad_norm must be 0 or more, got {norm}")

    @property
    def takes_steps_alone(self) -> bool:
        """Whether each epoch is one step with all samples, and nothing but `callback` is called before or after it."""
        others = (self.batch_size, self.shuffle, self.schedule, self.clip_grad_norm, self.patience)
        return self.threads == 1 and self.progress is False and all(x is None for x in others)

    def without_first(self, epochs: int) -> TrainingOptions:
        """Return the options of a call that takes the epochs after the first `epochs` ones."""
        if not epochs:
            return self
        callback: Any = self.callback
        after = None if callback is None else lambda number, *losses: callback(number + epochs, *losses)
        return replace(self, epochs=self.epochs - epochs, callback=after)

    @property
    def calls_users_code(self) -> bool:
        """Whether a function that may be the user's runs between the steps, so it may change the arrays of samples."""
        return bool(self.callback or self.schedule or self.called_between_steps)

    @cached_property
    def called_between_steps(self) -> tuple[str, ...]:
        """The names of the arguments that are functions of the user's and run between steps.

        Only "schedule", "shuffle" and "progress" can be among them. A `callback` runs only between epochs.
        """
        own_shuffle = self.shuffle is not None and not is_librarys(self.shuffle)
        schedule: Any = self.schedule
        while type(schedule) is optim.warmup:
            schedule = schedule.schedule
        own_schedule = schedule is not None and type(schedule).__module__ != optim.warmup.__module__
        given = {"schedule": own_schedule, "shuffle": own_shuffle, "progress": callable(self.progress)}
        return tuple([name for name, is_given in given.items() if is_given])


@contextmanager
def naming_validation() -> Iterator[None]:
    """Put "validation: " before the message of any TypeError or ValueError that is raised inside the `with` block.

    The message then tells the user that the validation data are wrong, and not the samples of `fit`. Errors of
    subclasses, such as `GuardError`, are not changed.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        if type(error) not in (TypeError, ValueError):
            raise
        raise type(error)(f"validation: {error}") from error


class History(list[float]):
    """The list of losses that `fit` returns: the mean loss of each epoch or, with `each_step`, of each batch.

    Attributes:
        validation: the mean loss of the validation data after each epoch; empty without such data.
        best_epoch: the index of the epoch whose parameters early stopping has restored, counted from 0; None without
            early stopping.
    """

    def __init__(self, losses: Iterable[float] = ()) -> None:
        super().__init__(losses)
        self.validation: list[float] = []
        self.best_epoch: int | None = None


# For functions that `fit` calls, by the name of the option and the count of the function's arguments: what these are,
# and an example of such a function
CALLED_WITH = {
    ("callback", 2): ("the number and the mean loss of an epoch", "lambda epoch, loss: print(epoch, loss)"),
    ("callback", 3): (
        "the number of an epoch, its mean loss and that of the validation data",
        "lambda epoch, loss, validation: print(epoch, loss, validation)",
    ),
    ("schedule", 1): ("the number of a step", "lambda step: 0.1 * 0.99**step"),
    ("progress", 1): ("a list of some steps' losses", "lambda losses: print(losses[-1])"),
}


def call(name: str, f: Callable[..., Any], *arguments: Any) -> Any:
    """Return `f(*arguments)`, where `f` was passed to `fit` as the argument `name`.

    Raises:
        TypeError: `f` does not take these arguments, or it raises a TypeError itself.

    >>> call("schedule", lambda epoch, step: 0.1, 0)
    Traceback (most recent call last):
    TypeError: fit(): schedule is called with the number of a step; write schedule=lambda step: 0.1 * 0.99**step
    """
    try:
        return f(*arguments)
    except TypeError:
        try:
            signature(f).bind(*arguments)
        except TypeError as error:
            meant, example = CALLED_WITH[name, len(arguments)]
            raise TypeError(f"fit(): {name} is called with {meant}; write {name}={example}") from error
        except ValueError:  # Python does not know the arguments of some functions that are written in C
            pass
        raise


def asks_to_stop(callback: Callback, *arguments: Any) -> bool:
    """Call `callback(*arguments)`, and return whether it asks to end training, by True or by StopIteration.

    Raises:
        TypeError: the callback returns something other than True, False or None.

    >>> asks_to_stop(lambda epoch, loss: loss < 0.1, 7, 0.05)
    True
    """
    try:
        answer = call("callback", callback, *arguments)
    except StopIteration:
        return True
    if answer is None or isinstance(answer, bool) or str(getattr(answer, "dtype", "")) == "bool":
        return bool(answer)
    raise TypeError(f"fit(): callback must return True to stop, or False or None to go on, got {answer!r}")


def train(
    options: TrainingOptions,
    n: int,
    take_steps: Callable[[int, int], Sequence[float]],
    report_pace: Callable[[float, float], None],
    set_order: Callable[[array[int]], None],
    end_epoch: Callable[[int, float], bool] | None = None,
    publish: Callable[[str], object] = lambda _: None,
) -> History:
    """Take the training steps of `options.epochs` epochs, or of fewer if `end_epoch` says so.

    Return the mean loss of each epoch or, if `options.each_step` is set, the loss of each step.

    Each call of `take_steps`, the compiled loop, lasts about `POLL_SECONDS`. Between two calls, Python can handle
    Ctrl-C.

    Args:
        options: how to train.
        n: how many rows there are.
        take_steps: `take_steps(first, most)` takes at least one step and at most `most`, beginning with step `first` of
            the epoch. It returns the loss of each step's batch, computed before the step.
        report_pace: a function that is called after each call of `take_steps` with the seconds that its steps took, and
            the seconds that the remaining steps will take at the best pace that was measured until now. In the first
            call the second argument is 0: the first step is slow in new memory, so its pace says nothing about the
            others.
        set_order: a function that is called before each epoch with the row indices in a new order. It is not called if
            `options.shuffle` is None.
        end_epoch: a function that is called after each epoch with the epoch's index and mean loss, and returns whether
            to stop. If it is None, training does not stop early.
        publish: a function that is called with "shuffle" or "progress" before the function that the user has passed as
            this argument of `fit`. It copies the results of the steps back to the parameters and the optimiser if the
            user's function may read them.
    """
    losses, batch = array("d"), min(options.batch_size or n, n)
    means = array("d")  # the mean losses of finished epochs, if `losses` has only the losses of the unfinished epoch
    order = row_numbers(n)
    steps_per_epoch = -(-n // batch)
    total, done, pace = options.epochs * steps_per_epoch, 0, _Pace()
    bar = progress_bar(total) if options.progress is True else None
    report = partial(update_progress_bar, bar) if bar is not None else options.progress
    try:
        while left := total - done:
            first = done % steps_per_epoch
            if options.shuffle is not None or end_epoch:
                left = steps_per_epoch - first
                if options.shuffle is not None and not first:
                    publish("shuffle")
                    order = shuffled(order, options.shuffle)
                    set_order(order)
            start = time.perf_counter()
            step_losses = take_steps(first, min(pace.steps_per_call, left))
            losses.extend(step_losses)
            if not options.each_step and steps_per_epoch > 1:
                take_epoch_means(losses, means, n, batch)
            seconds = time.perf_counter() - start
            done += len(step_losses)
            report_pace(seconds, pace.seconds_left(len(step_losses), seconds, total - done))
            if callable(report):
                publish("progress")
                _refuse_iterator(call("progress", report, step_losses))
            if end_epoch and done % steps_per_epoch == 0:
                if options.each_step:
                    take_epoch_means(losses[-steps_per_epoch:], means, n, batch)
                if end_epoch(done // steps_per_epoch - 1, (means or losses)[-1]):
                    break
    finally:
        if bar is not None:
            bar.close()
    return History(losses if options.each_step or steps_per_epoch == 1 else means)


def _refuse_iterator(returned: Any) -> None:
    """Raise TypeError if a user's `progress` has returned an iterator, since its code would never run."""
    if isinstance(returned, Iterator):
        raise TypeError(
            "fit(): progress is called with the losses of some steps, and must do its work at once, but it returned "
            f"{type(returned).__name__}, whose items nobody asks for; write a loop without yield, or progress=True"
        )


class _Pace:
    """The measured speed of training, which decides how many steps a call of the compiled loop takes.

    Attributes:
        steps_per_call: how many steps the next call takes, at most, to last about `POLL_SECONDS`.
    """

    def __init__(self) -> None:
        self.steps_per_call = 1
        # The fewest seconds that a step has taken in a call; None before the first call, and inf after it
        self._best: float | None = None

    def seconds_left(self, steps: int, seconds: float, left: int) -> float:
        """Set `steps_per_call`, and return how many seconds the `left` last steps will take at the best pace so far.

        The latest call of the compiled loop took `steps` steps in `seconds`. After the first call, the result is 0: the
        first step is slow in new memory, so its pace says nothing about the others.
        """
        quick = FIRST_SECONDS * steps / seconds if seconds else inf
        in_time = POLL_SECONDS * steps / seconds if seconds else inf
        self.steps_per_call = max(1, int(min(max(2 * self.steps_per_call, quick), in_time, left)))
        if self._best is None:
            self._best = inf
            return 0.0
        self._best = min(self._best, seconds / steps)
        return self._best * left


def take_epoch_means(losses: array[float], means: array[float], n: int, batch: int) -> None:
    """Take the losses of whole epochs from the front of `losses`, and append the mean loss of each epoch to `means`.

    An epoch has n rows, and each batch has `batch` rows, except that the last batch of an epoch may have fewer. A mean
    is computed when its epoch has ended, so it does not depend on how many steps were taken at a time.

    >>> losses, means = array("d", [0.5, 1.0, 2.0]), array("d")
    >>> take_epoch_means(losses, means, n=3, batch=2)  # epochs of two steps: 2 rows, 1 row
    >>> [round(mean, 6) for mean in means], losses
    ([0.666667], array('d', [2.0]))
    """
    steps = -(-n // batch)
    if len(losses) < steps:
        return
    counts = [*repeat(batch, steps - 1), n - (steps - 1) * batch]
    ends = range(steps, len(losses) + 1, steps)
    means.extend([sum(map(mul, losses[end - steps : end], counts)) / n for end in ends])
    del losses[: steps * len(ends)]


def progress_bar(steps: int) -> Any:
    """Return a progress bar for this many training steps.

    Raises:
        ImportError: tqdm is not installed.
    """
    try:
        from tqdm import tqdm
    except ImportError as error:
        raise ImportError("fit(progress=True) needs tqdm: pip install tqdm") from error
    return tqdm(total=steps, desc="training", unit="step", file=sys.stderr)


def update_progress_bar(bar: Any, losses: Sequence[float]) -> None:
    """Advance a progress bar by one step for each of `losses`, and show the mean of `losses`."""
    bar.set_postfix(loss=f"{sum(losses) / len(losses):.4g}", refresh=False)
    bar.update(len(losses))
