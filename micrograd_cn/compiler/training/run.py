"""Training on samples of one program or of several: of several forms, or of a function that branches.

Each step's batch consists of shares, rows that one program computes. A compiled loop takes step after step, as long as
it is known which program each row belongs to; with several threads, each step comes back to Python.
"""

from __future__ import annotations

import ctypes
import time
from array import array
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple, TypeAlias, TypeVar

from ...engine import Value
from ...graph.context import here
from ..data.anomalies import detect_anomaly
from ..data.rows import Numbers, address
from ..data.samples import Bucket
from ..llvm.machine import Memory
from ..loops.places import WORD
from ..runtime.executable import MAX_SCALAR_ROWS, CompiledGraph, driver, driver_address
from .epochs import TrainingOptions, train
from .state import Batches, GradientRunner, TrainingState, check_trainable

T = TypeVar("T")
Dispatched: TypeAlias = "Sequence[tuple[CompiledGraph, array[int]]]"  # programs, each with the numbers of its rows


class Dispatcher(NamedTuple):
    """What says which program the rows of a bucket belong to.

    Attributes:
        known: `known(bucket, rows, address)` returns the programs of rows among those that there are, and the rows that
            belong to none; `address()` is where the parameters are now, 0 if they are those of the `Value`s.
        recorded: returns programs for such other rows, made for them.
        always: returns the programs of those rows whose program is the same whatever the parameters are.
        parameters: returns those of all programs that there are.
    """

    known: Callable[[Bucket, array[int], Callable[[], int]], tuple[Dispatched, array[int]]]
    record: Callable[[Bucket, array[int]], Dispatched]
    parameter_free: Callable[[Bucket], Dispatched]
    parameters: Callable[[], Sequence[Value]]


class SubBatch(NamedTuple):
    """Rows of a batch that one program computes.

    Attributes:
        program: computes them.
        bucket: the number of the one in which they are.
        rows: their numbers.
    """

    program: CompiledGraph
    bucket: int
    rows: array[int]


class _GradientCall:
    """A program and a bucket that it reads rows of, as the compiled loop takes them.

    Attributes:
        words: see `Drivers.fit`.
        work: about how many instructions it has in the batches that have been looked at.
    """

    def __init__(self, runner: GradientRunner, numbers: Numbers) -> None:
        self.runner, self._numbers = runner, numbers
        self.words = array("q", bytes(8 * WORD))
        self.work = 0

    def renew(self, panel: int) -> None:
        """Take the code that is used now, its memory, and the address of a panel."""
        executable, buffers = self.runner.executable, self.runner.thread_buffers[0]
        compiled = self.runner.compiled
        scalars, samples, totals = buffers.addresses
        self.words[:] = array("q", [
            driver_address("gradient", executable.lanes, executable.tables.fast), executable.header,
            address(self._numbers), scalars, panel if executable.lanes > 1 else samples, totals,
            scalars + WORD * compiled.padded_parameters, len(compiled.graph.parameters),
        ])  # fmt: skip


class TrainingRun:
    """Samples in buckets, and what says which program each row of a bucket belongs to.

    Args:
        buckets: the samples.
        division: says which.
        course: how to train on them.
    """

    def __init__(self, buckets: Sequence[Bucket], dispatcher: Dispatcher, options: TrainingOptions) -> None:
        self._buckets, self._dispatcher, self._options = buckets, dispatcher, options
        self._n = sum([len(bucket.samples) for bucket in buckets])
        self._batch = min(options.batch_size or self._n, self._n)
        self._program_of: dict[
            int, tuple[CompiledGraph, int]
        ] = {}  # of a sample its program, and the number of its bucket
        self._only_program: CompiledGraph | None = None  # of all samples
        self._seen: set[tuple[CompiledGraph, int]] = set()
        self._runners: dict[tuple[CompiledGraph, bool], GradientRunner] = {}
        self._gradient_calls: dict[tuple[CompiledGraph, int, bool], _GradientCall] = {}
        self._state: TrainingState | None = None
        self._gradients = Memory(0)
        self._seconds = 0.0
        self._set_order(array("q", range(self._n)))

    def fit(self) -> list[float]:
        """Train as `Program.fit` does."""
        try:
            for bucket in range(len(self._buckets)):
                self._remember_parameter_free(bucket)
            if self._only_program:
                self._gradient_call(self._only_program, 0, self._batch)
                self._current_state()
            return train(self._options, self._n, self._take_steps, self._upgrade, self._set_order)
        finally:
            self._write_back()
            for runner in self._runners.values():
                runner.release()

    def _write_back(self) -> None:
        """Give parameters, gradients and the optimiser what they have become."""
        if self._state:
            self._state.write_back()
            self._state = None  # after that, since Ctrl-C may come between two lines

    def _current_state(self) -> TrainingState:
        """Return what is trained, with all parameters that there are."""
        parameters = self._dispatcher.parameters()
        if self._state and len(self._state.parameters) < len(parameters):
            self._write_back()
        if self._state is None:
            self._state = TrainingState(self._options, parameters)
            self._gradients = Memory(len(self._state.parameter_data.data))
            driver("fit", fast=self._kernels_are_fast())  # compiled before any time is taken
        return self._state

    def _kernels_are_fast(self) -> bool:
        return any(runner.executable.tables.fast for runner in self._runners.values())

    # Batches.

    def _set_order(self, order: array[int]) -> None:
        """Take note of the order of the samples."""
        self._order, batches = order, -(-self._n // self._batch)
        self._batches = Batches(array("q"), array("q"), array("q", [-1]) * batches)  # none is known yet

    def _take_steps(self, step: int, steps: int) -> Sequence[float]:
        """Take some steps, as many as the compiled loop can take, or one; return the losses before."""
        if here().detect_anomaly:  # each step is looked at, with the parameters as they are before it
            self._detect_anomaly(self._sub_batches(self._batch_samples(step)))
            steps = 1
        if self._options.threads > 1:
            found = [
                self._sub_batches(self._batch_samples(step + k)) for k in range(steps if self._only_program else 1)
            ]
            return self._timed(lambda: [*map(self._take_threaded_step, found)])
        ready_steps = self._steps_ready(step, steps)
        batches, first = self._batches, step
        if not ready_steps:
            batches, first, ready_steps = Batches(array("q"), array("q"), array("q", [0])), 0, 1
            self._append_batch(batches, self._sub_batches(self._batch_samples(step)))
        state, losses = self._current_state(), Memory(ready_steps)
        widest = max(
            [gradient_call.runner.thread_buffers[0].panel for gradient_call in self._gradient_calls.values()],
            key=lambda w: len(w.data),
        )
        for gradient_call in self._gradient_calls.values():
            gradient_call.renew(widest.address)  # of one panel, which then stays in the cache
        fast = self._kernels_are_fast()
        self._timed(lambda: state.run(batches, first, ready_steps, losses, self._gradients, fast))
        return losses.data[:]  # type: ignore[no-any-return]

    def _steps_ready(self, step: int, steps: int) -> int:
        """Return of how many steps the compiled loop can be told which programs their rows belong to."""
        starts = self._batches.starts
        if self._only_program:
            if starts[0] < 0:
                self._batches = self._uniform_batches()
            return steps
        for k in range(min(steps, len(starts))):
            number = (step + k) % len(starts)
            if starts[number] < 0:
                chosen = self._batch_samples(number)
                if not all(map(self._program_of.__contains__, chosen)):
                    return k
                starts[number] = self._append_batch(self._batches, self._sub_batches(chosen))
        return steps

    def _batch_samples(self, number: int) -> array[int]:
        """Return the samples of a batch, counted from the first one of an epoch on."""
        start = number % len(self._batches.starts) * self._batch
        return self._order[start : start + self._batch]

    def _uniform_batches(self) -> Batches:
        """Return the batches of an epoch in which one program computes all samples."""
        assert self._only_program
        count, last = len(self._batches.starts), self._n % self._batch or self._batch
        gradient_call = self._gradient_call(self._only_program, 0, self._batch)
        gradient_call.work = 1
        one = [self._batch, 1, gradient_call.words.buffer_info()[0], 0, self._batch]
        words = array("q", one) * count
        words[3 :: len(one)] = array("q", range(0, self._n, self._batch))
        words[-len(one)] = words[-1] = last
        return Batches(self._order, words, array("q", range(0, len(words), len(one))))

    def _append_batch(self, batches: Batches, sub_batches: Sequence[SubBatch]) -> int:
        """Add a batch to others, and return where its words begin."""
        order, words, _ = batches
        start = len(words)
        words.extend([sum([len(sub_batch.rows) for sub_batch in sub_batches]), len(sub_batches)])
        for program, bucket, rows in sub_batches:
            gradient_call = self._gradient_call(program, bucket, len(rows))
            gradient_call.work += (gradient_call.runner.executable.plan.schedule.cost + 1) * len(rows)
            words.extend([gradient_call.words.buffer_info()[0], len(order), len(rows)])
            order.extend(rows)
        return start

    def _sub_batches(self, samples: Sequence[int]) -> list[SubBatch]:
        """Return samples by bucket and program; where it is not known, programs are asked, and made."""
        if self._only_program:
            return [SubBatch(self._only_program, 0, array("q", samples))]
        found: dict[tuple[CompiledGraph, int], array[int]] = {}
        others: dict[int, array[int]] = {}
        every = all(map(self._program_of.__contains__, samples))
        for sample in samples:
            bucket, row = self._row_of[sample]
            if every:
                found.setdefault(self._program_of[sample], array("q")).append(row)
            else:
                others.setdefault(bucket, array("q")).append(row)
        for bucket, rows in others.items():
            for program, chosen in self._dispatch(bucket, rows):
                found.setdefault((program, bucket), array("q")).extend(chosen)
        for program, bucket in found:
            if (program, bucket) not in self._seen:
                self._seen.add((program, bucket))
                self._remember_parameter_free(bucket)
        return [SubBatch(program, bucket, rows) for (program, bucket), rows in found.items()]

    @cached_property
    def _row_of(self) -> dict[int, tuple[int, int]]:
        """Of each sample the number of its bucket, and its row there."""
        return {sample: (k, row) for k, bucket in enumerate(self._buckets) for row, sample in enumerate(bucket.samples)}

    def _dispatch(self, bucket: int, rows: array[int]) -> Dispatched:
        """Return programs for rows of a bucket, as the parameters are now."""

        def parameters() -> int:
            return self._current_state().parameter_data.address if self._state else 0

        found, left = self._dispatcher.known(self._buckets[bucket], rows, parameters)
        if not left:
            return found
        self._write_back()
        return [*found, *self._dispatcher.record(self._buckets[bucket], left)]

    def _remember_parameter_free(self, bucket: int) -> None:
        """Take note of the programs of those rows of a bucket of which they are known for good."""
        samples = self._buckets[bucket].samples
        for program, rows in self._dispatcher.parameter_free(self._buckets[bucket]):
            if len(rows) == self._n:
                self._only_program = program
            else:
                self._program_of.update(dict.fromkeys([samples[row] for row in rows], (program, bucket)))

    # Steps.

    def _runner(self, program: CompiledGraph, rows: int) -> GradientRunner:
        key = program, rows > MAX_SCALAR_ROWS
        if key not in self._runners:
            check_trainable(self._options.optimizer, program)
            self._runners[key] = GradientRunner(program, rows, self._options.threads)
        return self._runners[key]

    def _gradient_call(self, program: CompiledGraph, bucket: int, rows: int) -> _GradientCall:
        key = program, bucket, rows > MAX_SCALAR_ROWS
        if key not in self._gradient_calls:
            self._gradient_calls[key] = _GradientCall(self._runner(program, rows), self._buckets[bucket].numbers)
        return self._gradient_calls[key]

    def _take_threaded_step(self, sub_batches: Sequence[SubBatch]) -> float:
        """Take a step whose rows several threads compute."""
        state, gradients, mean = self._current_state(), self._gradients, 0.0
        size = sum([len(sub_batch.rows) for sub_batch in sub_batches])
        ctypes.memset(gradients.address, 0, WORD * len(gradients.data))
        for program, bucket, rows in sub_batches:
            runner, own = (
                self._runner(program, self._batch if self._only_program else len(rows)),
                len(program.graph.parameters),
            )
            thread_buffers = runner.thread_buffers
            for buffers in thread_buffers:
                ctypes.memmove(buffers.scalars.address, state.parameter_data.address, WORD * own)
            part, numbers = len(rows) / size, address(self._buckets[bucket].numbers)
            mean += part * runner.executable.gradient(thread_buffers, numbers, address(rows), len(rows))
            found = thread_buffers[0].scalars.address + WORD * program.padded_parameters
            if len(sub_batches) == 1 and own == len(state.parameters):
                state.step(found)
                return mean
            driver("accumulate")(gradients.address, found, part, own)
        state.step(gradients.address)
        return mean

    def _detect_anomaly(self, sub_batches: Sequence[SubBatch]) -> None:
        """Raise FloatingPointError if a value, or a gradient, of a batch is not finite."""
        if self._state:
            self._state.write_back()
        for program, bucket, rows in sub_batches:
            detect_anomaly(program.graph, self._buckets[bucket].numbers, rows, backward=True)

    def _timed(self, work: Callable[[], T]) -> T:
        """Measure the time of steps, without what is recorded and made before them."""
        start = time.perf_counter()
        result = work()
        self._seconds = time.perf_counter() - start
        return result

    def _upgrade(self, seconds: float, left: float) -> None:
        """Go over to better code where the seconds of the steps, or of those that are left, are worth it."""
        left *= self._seconds / seconds if seconds else 1.0
        if work := sum([gradient_call.work for gradient_call in self._gradient_calls.values()]):
            for gradient_call in self._gradient_calls.values():
                gradient_call.runner.upgrade(
                    self._seconds * gradient_call.work / work, left * gradient_call.work / work
                )
        else:  # the code has counted its seconds itself
            for runner in self._runners.values():
                runner.upgrade(0.0, left / len(self._runners))
