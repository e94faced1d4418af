"""One call of `fit`, in which one or several programs compute the samples.

A function has several programs if its arguments have several treedefs (are nested in several ways), if a static
argument has several values, or if it branches. Each batch is then split into sub-batches, one for each program. A
compiled loop takes the steps while the program for each sample is known. With several threads, Python code takes each
step, and machine code only computes the gradients and the update.
"""

from __future__ import annotations

import ctypes
import os
import time
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from math import isnan, nan
from threading import get_ident
from typing import Any, TypeAlias, TypeVar

from ...engine import Value
from ...graph import context
from ...graph.context import here
from ...optim import EarlyStopping, Optimizer
from ..data.anomalies import detect_anomaly
from ..data.columns import Numbers, address
from ..data.nodes import some_frozen
from ..data.partition import at_indices, gather_rows, has_nan, rows_by_label, scatter_rows
from ..data.rows import row_numbers
from ..data.samples import Bucket
from ..llvm.machine import Memory
from ..loops.places import WORD
from ..runtime.drivers import BatchWords, SubBatchWords
from ..runtime.executable import MAX_SCALAR_ROWS, CompiledGraph, driver, driver_address
from ..runtime.gradient_call import GradientCall
from ..threads.forks import ForkSafeLock, cached_property
from .epochs import History, TrainingOptions, asks_to_stop, train
from .fixed import without_fixed_part
from .observers import observers_of
from .state import AskedRates, Batches, ParameterLayout, TrainingState, check_trainable, parameter_layout, undo_of_steps

T = TypeVar("T")
MAX_KEPT_WORDS = 10_000  # a description of batches in more words than these is not kept for the next training
Dispatched: TypeAlias = "Sequence[tuple[CompiledGraph, array[int]]]"  # programs, each with the indices of its rows
Trained: TypeAlias = tuple[Optimizer, frozenset[Value]]  # an optimiser, and the set of its parameters
SubBatches: TypeAlias = "Sequence[tuple[GradientRunner, array[int]]]"  # runners, each with the rows that it computes


class Dispatcher(ABC):
    """The choice of the program that computes each row, in one call of `fit`.

    A bucket has samples whose arguments are nested alike. A row of the bucket has the numbers of one sample. The
    methods that are defined here suffice if each row's program exists before the first step, and never changes.

    Attributes:
        layouts: a list of at most one `ParameterLayout`, which says where each parameter is in the arrays that the
            compiled loop works on. It is kept so the next call of `fit` can use it again.
        validation_programs: the programs that have computed validation samples in this call.
    """

    layouts: list[ParameterLayout]
    validation_programs: Collection[CompiledGraph] = ()

    @abstractmethod
    def parameters(self) -> Sequence[Value]:
        """Return the parameters of all existing programs."""

    @abstractmethod
    def parameter_free(self, bucket: Bucket) -> Dispatched:
        """Return existing programs, each with its rows, for rows whose program does not depend on the parameters."""

    def known(self, bucket: Bucket, rows: array[int], parameters: Callable[[], int]) -> tuple[Dispatched, array[int]]:
        """Return the existing programs for some rows, each with its rows, and the rows that `record` has to handle.

        These are the rows that have no program yet, or a program that has to be compared with the function first.
        `parameters()` returns the address of the parameters' current values, or 0 if these are the data of the
        `Value`s. By default, both results are empty: the programs of all rows are those of `parameter_free`.
        """
        return (), array("q")

    def record(self, bucket: Bucket, rows: array[int]) -> Dispatched:
        """Return the programs for `rows` of a bucket, each with its rows, after recording or comparing the function.

        `rows` are those that the method `known` has found no program for, or a program that must be compared with the
        function first. The function is called, so the caller must first copy the parameters' current values back to the
        `Value`s. By default, nothing is recorded, since there are no such rows.
        """
        return ()

    def merged(self, bucket: Bucket, rows: int, steps: int) -> CompiledGraph | None:
        """Return a program that computes all branches, for all rows of a bucket.

        Where it cannot give the right result, the loss is nan; see `function.merged`. Return None if there is no such
        program, or if it is not worthwhile for about `steps` steps with `rows` rows each. By default, there is none.
        """
        return None

    def may_merge(self) -> bool:
        """Return whether the merged programs may still be used.

        They may not if a callback has changed something, and one of their branches could not be compared with the
        function since. By default, they may.
        """
        return True

    def check(self, whole: bool) -> bool:
        """Return whether the programs must be chosen anew, after functions of the user's have run between two steps.

        Such a function may have changed something that makes no difference for the rows of this call of `fit`. The
        programs then stay. Some objects that the compiled function can read cannot be checked for changes. If there are
        any, and `whole` is set, the programs are also compared with the function. By default, nothing is checked, and
        the programs stay.

        Raises:
            ValueError: something has changed, so the programs would be others now.
        """
        return False

    @abstractmethod
    def explain_nan(self) -> None:
        """Raise an error if an index, or a target of a loss, is out of range in a sample, after a loss was nan.

        Raises:
            IndexError, TypeError, ValueError: there is such a sample.
        """


# Each call of `fit` that runs, with its process, its thread, and a function that returns its optimiser and the set of
# the parameters, or None while the call works on no copy of these. A child process has none of its parent's threads
_runs: dict[object, tuple[int, int, Callable[[], Trained | None]]] = {}
_lock = ForkSafeLock()


@contextmanager
def training_alone(optimizer: Optimizer) -> Iterator[bool]:
    """Note for other threads that the `with` block trains with `optimizer`, unless other training is running.

    The `with` block gets True, and the note is removed at its end. If other training is running, the block gets False,
    and nothing is noted.
    """
    run = object()
    try:
        with _lock():
            if alone := not _runs:
                _runs[run] = os.getpid(), get_ident(), lambda: (optimizer, frozenset(optimizer.parameters))
        yield alone
    finally:
        _runs.pop(run, None)  # first, so no signal is handled before it


class GradientRunner(GradientCall):
    """The code, the buffers and the operands that compute the gradient of one program, step after step.

    The operands are those with which the compiled loop calls the driver `gradient` for rows of one bucket. A bucket has
    samples whose arguments are nested alike. The operands are kept with the buffers after training, so the next
    training need not make them anew.

    Args:
        compiled: the program whose gradient is computed.
        numbers: the numbers of all rows of the bucket.
        rows: how many rows a step computes.
        threads: how many threads compute.
    """

    def __init__(self, compiled: CompiledGraph, numbers: Numbers, rows: int, threads: int) -> None:
        super().__init__(compiled, rows, threads)
        kept, self.thread_buffers[0].kept = self.thread_buffers[0].kept, None
        self._uniform: tuple[int, int, array[int], array[int]] | None = None  # what `batches_of` has made last
        if kept:
            self.words, self._filled, self._uniform = kept
            self.address = address(self.words)
        self.read(numbers)

    def batches_of(self, order: array[int], batch: int) -> Batches:
        """Return the batches of an epoch in which this program computes all samples; `order` has the samples' indices.

        Each batch has `batch` samples, but the last one may have fewer.
        """
        n = len(order)
        if self._uniform and self._uniform[:2] == (n, batch):
            return Batches(order, *self._uniform[2:])
        count, last, called = -(-n // batch), n % batch or batch, self.address

        def described(first: int, rows: int) -> list[int]:
            return [*BatchWords(rows, sub_batches=1), *SubBatchWords(called, first, rows)]

        one = described(0, batch)
        words = array("q", one) * count
        words[len(BatchWords._fields) + SubBatchWords._fields.index("first") :: len(one)] = array(
            "q", range(0, n, batch)
        )
        words[-len(one) :] = array("q", described(n - last, last))
        starts = array("q", range(0, len(words), len(one)))
        self._uniform = n, batch, words, starts
        return Batches(order, words, starts)

    def release(self) -> None:
        """Give the buffers back to the executable. The operands are stored in them, for the next training to use."""
        uniform = self._uniform
        keeps = uniform and len(uniform[2]) <= MAX_KEPT_WORDS
        self.thread_buffers[0].kept = self.words, self._filled, uniform if keeps else None
        self.executable.release(*self.thread_buffers)


def _refuse_other_threads(own: Trained) -> None:
    """Raise ValueError if another thread trains a parameter in `own`, or trains with the same optimiser.

    The other thread works on a copy of the parameters, and will write the copy back, so the result of this thread
    would be lost. No error is raised while the other thread runs a callback, since it has no copy then.
    """
    here_and_now = os.getpid(), get_ident()
    for process, thread, trained in _runs.copy().values():
        theirs = trained()
        if not (theirs and process == here_and_now[0] and thread != here_and_now[1]):
            continue
        if own[0] is theirs[0] or not own[1].isdisjoint(theirs[1]):
            raise ValueError(
                "fit(): another thread is training a parameter of this optimizer by fit, so the result of one of "
                "them would be lost; write one fit after the other, or call the other one in a callback"
            )


class TrainingRun:
    """The training steps of one call of `fit`.

    Args:
        buckets: the samples. Each bucket has samples whose arguments are nested alike, as rows of numbers.
        dispatcher: finds the program for each row.
        options: how to train.
        validate: a function that returns the mean loss of the validation data; None if there is no such data. Its
            argument is a function that returns the address of the parameters' current values while they are trained, or
            0 if these are the data of the `Value`s. If it can compute only with the data of the `Value`s, but the
            address is not 0, it returns None.

    Raises:
        ValueError: the options have a patience, but there is no validation data.
    """

    def __init__(
        self,
        buckets: Sequence[Bucket],
        dispatcher: Dispatcher,
        options: TrainingOptions,
        validate: Callable[[Callable[[], int]], float | None] | None = None,
    ) -> None:
        self._explains_nan = True
        self._buckets, self._dispatcher, self._options, self._validate = buckets, dispatcher, options, validate
        self._validation_losses: list[float] = []
        self._stopping: EarlyStopping | None = None
        self._restored: Sequence[Value] | None = None  # the programs' parameters that early stopping restores
        if options.patience is not None:
            if validate is None:
                raise ValueError("fit(): patience needs validation data; write validation=...")
            optimizer = options.optimizer
            self._stopping = EarlyStopping(optimizer.parameters, options.patience, optimizer.maximize)
        self._n = sum([len(bucket.samples) for bucket in buckets])
        self._batch = min(options.batch_size or self._n, self._n)
        # For each sample, the place in `_assigned` of its program and its bucket if the program is the same for all
        # values of the parameters, and otherwise nan
        self._place = array("d", [nan]) * self._n
        self._assigned: dict[tuple[CompiledGraph, int], int] = {}
        self._only_program: CompiledGraph | None = None  # the program of all samples, if they all have the same program
        self._seen: set[tuple[CompiledGraph, int]] = set()
        # By program, index of the bucket, and whether a step computes rows in lanes
        self._runners: dict[tuple[CompiledGraph, int, bool], GradientRunner] = {}
        self._state: TrainingState | None = None
        self._paused: TrainingState | None = None  # what `_state` was before the results were last copied back
        self._merged: set[CompiledGraph] = set()  # the merged programs that are used
        self._rejected: set[CompiledGraph] = set()  # the merged programs that gave nan, and are used no more
        # The parameters of the optimiser that were last compared with the programs' constants, and the frozen ones
        self._checked, self._frozen = [*options.optimizer.parameters] if options.callback else [], list[Value]()
        self._observers = observers_of(options)  # what functions that run between steps may read and change
        self._seconds, self._asked = 0.0, AskedRates()
        # Undoes all steps. It is set while no program that is known reads a parameter of the optimiser
        self._untrained: Callable[[], None] | None = None
        if "schedule" in options.called_between_steps:
            self._asked.check_all = self._check_function
            if self._observers.schedule_writes:
                self._asked.check_each = self._check_function
        names = options.called_between_steps
        self._reports, self._shuffles = "progress" in names, "shuffle" in names  # whether the user's functions do
        self._set_order(row_numbers(self._n))

    def fit(self) -> History:
        """Train, and return the losses, as `Program.fit` does."""
        end_epoch = None if self._validate is None and self._options.callback is None else self._end_epoch
        try:
            for bucket in range(len(self._buckets)):
                self._remember_parameter_free(bucket)
            if self._only_program:
                self._runner(self._only_program, 0, self._batch)
                self._current_state()
            history = train(
                self._options, self._n, self._take_checked_steps, self._upgrade, self._set_order, end_epoch,
                self._publish,
            )  # fmt: skip
            if self._state:
                self._check_errors()
                self._check_parameters()
                self._check_copied()
            history.validation = self._validation_losses
            history.best_epoch = self._stopping.best_epoch if self._stopping else None
            return history
        finally:
            try:
                self._end()
            except KeyboardInterrupt:  # Ctrl-C may interrupt the first call, and a second call does the rest
                self._end()
                raise

    def _end(self) -> None:
        """Copy the results back, restore the best parameters, and release the buffers.

        If Ctrl-C interrupts a call, a second call does the rest. A further call after a complete one changes nothing.
        """
        self._write_back()
        if paused := self._paused:
            self._paused = None
            paused.release()
        if self._stopping:
            self._stopping.restore()
        _runs.pop(self, None)
        while self._runners:
            self._runners.popitem()[1].release()

    def _end_epoch(self, number: int, loss: float) -> bool:
        """Compute the validation loss and call the callback, with the parameters' new data; return whether to stop.

        The new data are copied back to the parameters first if a function of the user's may read them, or if early
        stopping is to keep them.
        """
        self._check_copied()
        self._check_errors()
        callback = self._options.callback
        if callback or self._reports:
            self._write_back()
        if self._validate and self._reports:
            self._check_function()
        found: tuple[float, ...] = ()
        if self._validate:
            validated = self._validate(self._address_of_parameters)
            if validated is None:
                self._write_back()
                validated = self._validate(self._address_of_parameters)
                assert validated is not None
            elif self._stopping and self._stopping.improves(validated):
                self._write_back()
            found = (validated,)
            self._validation_losses.append(validated)
        stops = bool(self._stopping and self._stops(self._stopping, *found))
        stops |= bool(callback and asks_to_stop(callback, number, loss, *found))
        self._drop_merged_if_uncompared()
        return stops

    def _stops(self, stopping: EarlyStopping, loss: float) -> bool:
        """Pass the validation loss of an epoch to early stopping, and return whether to stop.

        Early stopping restores all parameters that the programs read, and not only those of the optimiser, since the
        callback may train others. If new programs have further parameters, these are added here.
        """
        if (parameters := self._dispatcher.parameters()) is not self._restored:
            self._restored, known = parameters, {*stopping.parameters}
            stopping.parameters += [p for p in parameters if p not in known]
        return stopping.step(loss)

    def _write_back(self) -> None:
        """Copy the results of training back to the parameters and the optimiser. Training can be resumed later."""
        if self._state:
            self._state.write_back()
            self._paused = self._state
            self._state = None  # last, since Ctrl-C may come between two lines

    def _check_errors(self) -> None:
        """Raise ArithmeticError if an operator in the update of a user's optimiser would have raised one in Python.

        The steps since results were last copied back to parameters and optimiser are then undone.
        """
        if self._state:
            try:
                self._state.check_errors()
            except ArithmeticError:
                self._state = None  # nothing is copied back
                raise

    def _check_parameters(self) -> None:
        """Raise ValueError, and undo all steps, if no program that was used has a parameter of the optimiser."""
        assert self._state
        try:
            self._state.check_parameters()
        except ValueError:
            self._state = None  # nothing is copied back
            if self._untrained:
                self._untrained()
            raise

    def _publish(self, observer: str) -> None:
        """Copy the results of training back to the parameters and the optimiser, if a user's function may read them.

        The function is an argument of `fit`, which is going to call it next. `observer` is the name of this argument:
        "schedule", "shuffle" or "progress". `observers_of` says which of these functions may read the results.
        """
        if self._state and observer in self._observers.reading:
            self._check_errors()
            self._state.publish()

    def _current_state(self) -> TrainingState:
        """Return the `TrainingState`; make one if there is none, or if new programs have further parameters."""
        parameters = self._dispatcher.parameters()
        if self._state and len(self._state.parameters) < len(parameters):
            self._write_back()
        if self._state is None:
            paused, self._paused = self._paused, None
            if paused and paused.can_resume(parameters):
                paused.resume()
                state = paused
            else:
                if paused:
                    paused.release()
                state = self._new_state(parameters)
            with _lock():
                if len(_runs) > (self in _runs):  # other calls of `fit` run, too
                    _refuse_other_threads(state.trained)
                _runs[self], self._state = (os.getpid(), get_ident(), lambda: self.trained), state
            if state is not paused:
                if self._only_program and not self._merged:  # later programs may read others
                    state.check_parameters()
                if state.trains_none_read and self._untrained is None:
                    self._untrained = undo_of_steps(self._options.optimizer)
                self._drivers(state)  # compiled now, since steps are timed
        return self._state

    def _new_state(self, parameters: Sequence[Value]) -> TrainingState:
        """Return a `TrainingState` for programs that read `parameters`, with what Python's objects hold now."""
        self._check_constants()
        if self._options.callback:
            self._check_unfrozen()
        layouts = self._dispatcher.layouts
        return TrainingState(self._options, parameters, layouts, self._check_constants, self._asked)

    @property
    def trained(self) -> Trained | None:
        """The optimiser, and the set of its parameters; None while the results are copied back."""
        state = self._state  # another thread may ask
        return state.trained if state else None

    def _check_copied(self) -> None:
        """Raise ValueError if a function other than `callback` has changed the optimiser or its parameters."""
        if not self._state:
            return
        options = self._options
        # `TrainingState.run` has checked already if the only function is a schedule
        if options.threads > 1 or options.called_between_steps != ("schedule",):
            self._state.check_copied()

    def _check_unfrozen(self) -> None:
        """Raise ValueError if the callback has unfrozen a parameter of the optimiser that is constant in a program."""
        optimizer = self._options.optimizer
        if optimizer.parameters != self._checked or any(p.requires_grad for p in self._frozen):
            for program in self._programs():
                check_trainable(optimizer, program)
            self._checked = [*optimizer.parameters]
        frozen = some_frozen(optimizer.parameters)
        self._frozen = [p for p in optimizer.parameters if not p.requires_grad] if frozen else []

    def _check_constants(self) -> None:
        """Raise ValueError if a constant of a program has other data now; a callback may have changed it."""
        for program in self._programs():
            program.data.check_constants()

    def _programs(self) -> Iterator[CompiledGraph]:
        """Return the programs of the samples and of the validation samples. Programs of the samples may repeat."""
        return chain((program for program, *_ in self._runners), self._dispatcher.validation_programs)

    def _check_function(self, whole: bool = False) -> bool:
        """Check that the programs still compute the function, after functions of the user's have run between steps.

        Return whether the programs of the samples have to be chosen anew.

        Args:
            whole: whether to compare the programs with the function, too, if the function can read something that
                cannot be checked for changes.

        Raises:
            ValueError: something has changed, so the programs would be others now.
        """
        self._check_constants()
        changed = self._dispatcher.check(whole)
        if changed:
            self._drop_merged_if_uncompared()
        return changed

    def _drop_merged_if_uncompared(self) -> None:
        if self._merged and not self._dispatcher.may_merge():
            self._reject_merged()

    # Batches.

    def _set_order(self, order: array[int]) -> None:
        """Store the order of the samples in an epoch, and drop the descriptions of batches, which are made anew."""
        self._order, batches = order, -(-self._n // self._batch)
        self._batches = Batches(array("q"), array("q"), array("q", [-1]) * batches)  # -1: not described yet

    def _take_checked_steps(self, step: int, steps: int) -> Sequence[float]:
        """Call `_take_steps`. If an index or a target out of range makes a loss nan, undo the steps and raise an error.

        Earlier steps are undone, too, if they were taken since results were last copied back to parameters and
        optimiser.
        """
        losses = self._take_steps(step, steps)
        if self._explains_nan and isnan(sum(losses)) and any(map(isnan, losses)):  # the sum first, for speed
            graphs = [program.graph for program, *_ in self._runners]
            if not any(graph.has_gathers or graph.has_checks for graph in graphs):
                return losses
            self._explains_nan = False
            try:
                self._dispatcher.explain_nan()
            except (IndexError, TypeError, ValueError):
                self._state = None  # nothing is copied back
                raise
        return losses

    def _take_steps(self, step: int, steps: int) -> Sequence[float]:
        """Take up to `steps` training steps, from step `step` of the epoch on. Return the loss of each batch.

        The loss of a batch is computed with the parameters before its step.

        The compiled loop stops before the first batch that has a sample whose program is not known. If this is the
        batch of step `step`, missing programs are made, and only this step is taken.
        """
        self._check_copied()
        if self._shuffles or self._reports:
            self._check_function(whole=self._shuffles and not step)
        if "schedule" in self._observers.reading:  # it is called for a step when all steps before have been taken
            self._publish("schedule")
            steps = 1
        if here().detect_anomaly:  # a batch is checked with the parameters from which its step starts
            self._detect_anomaly(self._sub_batches(self._batch_samples(step)))
            steps = 1
        if self._options.threads > 1:
            count = steps if self._only_program else 1
            found = [self._sub_batches(self._batch_samples(step + k)) for k in range(count)]
            return self._timed(lambda: [*map(self._take_threaded_step, found)])
        ready_steps = self._steps_ready(step, steps)
        batches, first = self._batches, step
        if not ready_steps:
            batches, first, ready_steps = Batches(array("q"), array("q"), array("q", [0])), 0, 1
            self._append_batch(batches, self._sub_batches(self._batch_samples(step)))
        state, losses = self._current_state(), Memory(ready_steps)
        self._renew_calls()
        drivers = self._drivers(state)
        taken = self._timed(
            lambda: state.run(batches, first, ready_steps, losses, state.gradients, drivers, self._recover_from_nan)
        )
        if not taken:
            return self._take_steps(step, steps)
        computed: list[float] = losses.view[:taken].tolist()
        return computed

    def _drivers(self, state: TrainingState) -> tuple[Any, int]:
        """Return the driver `fit`, and the address of the driver `clip`, or 0 if gradients are not clipped.

        These are the optimised versions of the drivers if a program has optimised kernels.
        """
        fast = [runner.executable.tables.fast for runner in self._runners.values()]
        clip = driver_address("clip", 1, any(fast)) if state.clips else 0
        return driver("fit", fast=any(fast)), clip

    def _renew_calls(self) -> None:
        """Give the driver the operands for each program's gradient again: code or buffers may have been replaced."""
        runners = self._runners.values()
        # All programs use one panel, so it stays in the cache
        _, panel = max([runner.panel for runner in runners])
        for runner in runners:
            runner.renew(panel, runner.compiled in self._merged)

    def _recover_from_nan(self) -> bool:
        """Choose other code, after a loss or a gradient was nan where slower code may give a number.

        Merged programs, which compute all branches, may be the reason, so they are dropped first. If the programs that
        take their place give nan, too, or if there are none, code with gates is used from now on. Where no gradient
        reaches a node, a gate selects 0 instead of a partial derivative, which may be infinite.

        Return whether the compiled loop can go on. It cannot if merged programs are dropped, since each row then needs
        a program again.
        """
        if self._merged:
            self._reject_merged()
            return False
        for runner in self._runners.values():
            runner.use_gates()
        self._renew_calls()
        return True

    def _merge(self, bucket: int) -> CompiledGraph | None:
        """Return a merged program, which computes all branches, for all samples of a bucket.

        A bucket has samples that are nested alike. Return None if there is no merged program that can be used.
        """
        if self._options.threads > 1 or here().detect_anomaly:
            return None
        steps = self._options.epochs * len(self._batches.starts)
        merged = self._dispatcher.merged(self._buckets[bucket], self._batch, steps)
        if not merged or merged in self._rejected:
            return None
        self._merged.add(merged)
        self._set_order(self._order)  # batches that are described already have other programs
        return merged

    def _reject_merged(self) -> None:
        """Choose a program for each row from now on, instead of a merged program, which computes all branches."""
        self._rejected |= self._merged
        self._merged.clear()
        self._only_program, self._place = None, array("d", [nan]) * self._n
        self._assigned.clear()
        self._seen.clear()
        for key in [key for key in self._runners if key[0] in self._rejected]:
            self._runners.pop(key).release()
        self._set_order(self._order)
        for bucket in range(len(self._buckets)):
            self._remember_parameter_free(bucket)

    def _steps_ready(self, step: int, steps: int) -> int:
        """Return for how many steps, from `step` on and at most `steps`, the programs of all samples are known.

        The batches of these steps are described in integers that the compiled loop reads, see `Batches`.
        """
        starts = self._batches.starts
        if self._only_program:
            if starts[0] < 0:
                runner = self._runner(self._only_program, 0, self._batch)
                self._batches, runner.work = runner.batches_of(self._order, self._batch), 1
            return steps
        for k in range(min(steps, len(starts))):
            number = (step + k) % len(starts)
            if starts[number] < 0:
                chosen = self._batch_samples(number)
                places = self._places_of(chosen)
                if has_nan(places):
                    return k
                starts[number] = self._append_batch(self._batches, self._sub_batches_at(chosen, places))
        return steps

    def _batch_samples(self, number: int) -> array[int]:
        """Return the indices of the samples in batch `number` of the epoch. After the last batch, batch 0 follows."""
        start = number % len(self._batches.starts) * self._batch
        return self._order[start : start + self._batch]

    def _append_batch(self, batches: Batches, sub_batches: SubBatches) -> int:
        """Append the description of a batch to `batches`; return the index in `batches.words` at which it begins."""
        order, words, _ = batches
        start = len(words)
        words.extend(BatchWords(sum([len(rows) for _, rows in sub_batches]), len(sub_batches)))
        for runner, rows in sub_batches:
            runner.work += runner.cost * len(rows)
            words.extend(SubBatchWords(runner.address, len(order), len(rows)))
            order.extend(rows)
        return start

    def _places_of(self, samples: array[int]) -> array[float]:
        """Return, for each sample, the index of its program in the dict `_assigned`; nan if its program may change."""
        return gather_rows(self._place, samples, 1)

    def _sub_batches(self, samples: array[int]) -> SubBatches:
        """Split samples into sub-batches, one for each program and bucket. Make programs for samples that have none.

        A bucket has samples whose arguments are nested alike.
        """
        if self._only_program:
            return [(self._runner(self._only_program, 0, self._batch), samples)]
        places = self._places_of(samples)
        if not has_nan(places):
            return self._sub_batches_at(samples, places)
        found: dict[tuple[CompiledGraph, int], array[int]] = {}
        for bucket, some in enumerate(self._by_bucket(samples)):
            for program, chosen in self._dispatch(bucket, at_indices(self._row_of, some)) if some else ():
                found.setdefault((program, bucket), array("q")).extend(chosen)
        for program, bucket in found:
            if (program, bucket) not in self._seen:
                self._seen.add((program, bucket))
                self._remember_parameter_free(bucket)
        return [(self._runner(program, bucket, len(rows)), rows) for (program, bucket), rows in found.items()]

    def _sub_batches_at(self, samples: array[int], places: array[float]) -> SubBatches:
        """Split samples into sub-batches, one for each program and bucket (samples whose arguments are nested alike).

        `places` has, for each sample, the index of its program in the dict `_assigned`.
        """
        parts = zip(self._assigned, rows_by_label(samples, places, len(self._assigned)), strict=True)
        return [
            (self._runner(program, k, len(chosen)), at_indices(self._row_of, chosen))
            for (program, k), chosen in parts
            if chosen
        ]

    @cached_property
    def _row_of(self) -> Sequence[int]:
        """Return, for each sample, the index of its row in its bucket (the samples that are nested alike)."""
        if len(self._buckets) == 1:
            return range(self._n)
        found = array("q", bytes(WORD * self._n))
        for bucket in self._buckets:
            for row, sample in enumerate(bucket.samples):
                found[sample] = row
        return found

    @cached_property
    def _bucket_of(self) -> array[float]:
        """Return, for each sample, the index of its bucket. A bucket has samples whose arguments are nested alike."""
        found = array("d", bytes(WORD * self._n))
        for k, bucket in enumerate(self._buckets):
            for sample in bucket.samples:
                found[sample] = k
        return found

    def _by_bucket(self, samples: array[int]) -> list[array[int]]:
        """Return, for each bucket (samples whose arguments are nested alike), those of `samples` that belong to it."""
        if len(self._buckets) == 1:
            return [samples]
        return rows_by_label(samples, gather_rows(self._bucket_of, samples, 1), len(self._buckets))

    def _dispatch(self, bucket: int, rows: array[int]) -> Dispatched:
        """Return the programs for rows of a bucket, each with its rows; make programs that are missing.

        A bucket has samples whose arguments are nested alike. Which program a row has may depend on the current data of
        the parameters.
        """
        found, left = self._dispatcher.known(self._buckets[bucket], rows, self._address_of_parameters)
        if not left:
            return found
        self._write_back()
        return [*found, *self._dispatcher.record(self._buckets[bucket], left)]

    def _address_of_parameters(self) -> int:
        """Return the address of the parameters' current values; 0 if these are the data of the `Value`s."""
        return self._current_state().parameter_data.address if self._state else 0

    def _remember_parameter_free(self, bucket: int) -> None:
        """Assign a program to each sample of a bucket if the choice of the program does not depend on parameters.

        A bucket has samples whose arguments are nested alike. If there is a merged program, which computes all
        branches, it is assigned to all samples.
        """
        samples = self._buckets[bucket].samples
        merged = self._merge(bucket)
        found = (
            [(merged, row_numbers(len(samples)))] if merged else self._dispatcher.parameter_free(self._buckets[bucket])
        )
        for program, rows in found:
            if len(rows) == self._n:
                self._only_program = program
            else:
                place = self._assigned.setdefault((program, bucket), len(self._assigned))
                scatter_rows(self._place, array("d", [place]) * len(rows), at_indices(samples, rows), 1)

    # Steps.

    def _runner(self, program: CompiledGraph, bucket: int, rows: int) -> GradientRunner:
        """Return the `GradientRunner` that computes `rows` rows of a bucket by a program; make it if there is none."""
        key = program, bucket, rows > MAX_SCALAR_ROWS
        if key not in self._runners:
            check_trainable(self._options.optimizer, program)
            threads, numbers = min(self._options.threads, self._batch), self._buckets[bucket].numbers
            compiled, numbers = self._without_fixed_part(program, numbers)
            self._runners[key] = GradientRunner(compiled, numbers, rows, threads)
        return self._runners[key]

    def _without_fixed_part(self, program: CompiledGraph, numbers: Numbers) -> tuple[CompiledGraph, Numbers]:
        """Return a program and its rows, in which the part that no step changes is computed already; see `fixed`.

        The two are returned as they are unless one program computes all samples, and no function of the user's runs
        while `fit` trains: such a function may change anything.
        """
        options = self._options
        if program is not self._only_program or self._merged or context.active:
            return program, numbers
        if options.epochs < 2 or options.callback or options.called_between_steps:
            return program, numbers
        layout = parameter_layout(self._dispatcher.parameters(), options.optimizer, self._dispatcher.layouts)
        trained, key = layout.optimized_set, layout.optimized_mask
        if some_frozen(options.optimizer.parameters):
            trained = frozenset([p for p in trained if p.requires_grad])
            key = bytes(map(trained.__contains__, self._dispatcher.parameters()))
        return without_fixed_part(program, numbers, self._n, options.epochs, options.threads, trained, key)

    def _take_threaded_step(self, sub_batches: SubBatches) -> float:
        """Take a step with several threads, and return the loss of the batch, computed before the step.

        `sub_batches` has pairs of a runner and the rows of the batch that its program computes.
        """
        state, mean = self._current_state(), 0.0
        gradients = state.gradients
        size = sum([len(rows) for _, rows in sub_batches])
        ctypes.memset(gradients.address, 0, WORD * len(gradients.view))
        for runner, rows in sub_batches:
            program = runner.compiled
            own = len(program.graph.parameters)
            thread_buffers = runner.thread_buffers
            for buffers in thread_buffers:
                ctypes.memmove(buffers.scalars.address, state.parameter_data.address, WORD * own)
            batch = address(runner.numbers), address(rows), len(rows)
            weight, executable = len(rows) / size, runner.executable
            mean += weight * executable.gradient(thread_buffers, *batch)
            executable.mend(thread_buffers[0], *batch, program.select_executable)
            found = thread_buffers[0].scalars.address + WORD * program.padded_parameters
            if len(sub_batches) == 1 and own == len(state.parameters):
                state.step(found)
                return mean
            driver("accumulate")(gradients.address, found, weight, own)
        state.step(gradients.address)
        return mean

    def _detect_anomaly(self, sub_batches: SubBatches) -> None:
        """Inside `detect_anomaly()`, raise FloatingPointError if a value or gradient of a batch is not finite."""
        if self._state:
            self._state.publish()
        for runner, rows in sub_batches:
            detect_anomaly(runner.compiled.graph, runner.numbers, rows, backward=True)

    def _timed(self, work: Callable[[], T]) -> T:
        """Call `work`, and return its result. Note in `_seconds` how many seconds the call takes.

        `work` takes training steps. It makes no programs, since the time for this would be measured, too.
        """
        start = time.perf_counter()
        result = work()
        self._seconds = time.perf_counter() - start
        return result

    def _upgrade(self, seconds: float, left: float) -> None:
        """Switch to faster code where that is worthwhile; see `GradientRunner.upgrade`.

        The last steps took `seconds`, and the remaining steps will take about `left` seconds. Both include time outside
        machine code, so `left` is multiplied by the share of machine code in `seconds`. The seconds in machine code are
        divided among the programs in proportion to the instructions that they execute.
        """
        left *= self._seconds / seconds if seconds else 1.0
        if work := sum([runner.work for runner in self._runners.values()]):
            for runner in self._runners.values():
                runner.upgrade(self._seconds * runner.work / work, left * runner.work / work)
        else:  # with several threads, executables have counted their own seconds
            for runner in self._runners.values():
                runner.upgrade(0.0, left / len(self._runners))
