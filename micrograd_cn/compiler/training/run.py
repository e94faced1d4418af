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
from ..runtime.executable import MAX_SCALAR_ROWS, Executables, address_of_driver, driver
from .epochs import Course, train
from .state import Batches, Running, Training, check_constants

T = TypeVar("T")
Divided: TypeAlias = "Sequence[tuple[Executables, array[int]]]"  # programs, each with the numbers of its rows


class Division(NamedTuple):
    """What says which program the rows of a bucket belong to.

    Attributes:
        known: `known(bucket, rows, address)` returns the programs of rows among those that there are, and the rows that
            belong to none; `address()` is where the parameters are now, 0 if they are those of the `Value`s.
        recorded: returns programs for such other rows, made for them.
        always: returns the programs of those rows whose program is the same whatever the parameters are.
        parameters: returns those of all programs that there are.
    """

    known: Callable[[Bucket, array[int], Callable[[], int]], tuple[Divided, array[int]]]
    recorded: Callable[[Bucket, array[int]], Divided]
    always: Callable[[Bucket], Divided]
    parameters: Callable[[], Sequence[Value]]


class Share(NamedTuple):
    """Rows of a batch that one program computes.

    Attributes:
        program: computes them.
        bucket: the number of the one in which they are.
        rows: their numbers.
    """

    program: Executables
    bucket: int
    rows: array[int]


class _Source:
    """A program and a bucket that it reads rows of, as the compiled loop takes them.

    Attributes:
        words: see `Drivers.fit`.
        work: about how many instructions it has in the batches that have been looked at.
    """

    def __init__(self, running: Running, numbers: Numbers) -> None:
        self.running, self._numbers = running, numbers
        self.words = array("q", bytes(8 * WORD))
        self.work = 0

    def renew(self, panel: int) -> None:
        """Take the code that is used now, its memory, and the address of a panel."""
        executable, memory = self.running.executable, self.running.memories[0]
        executables = self.running.executables
        scalars, samples, totals = memory.addresses
        self.words[:] = array("q", [
            address_of_driver("gradient", executable.lanes, executable.tables.fast), executable.header,
            address(self._numbers), scalars, panel if executable.lanes > 1 else samples, totals,
            scalars + WORD * executables.pitch, len(executables.graph.parameters),
        ])  # fmt: skip


class Mixture:
    """Samples in buckets, and what says which program each row of a bucket belongs to.

    Args:
        buckets: the samples.
        division: says which.
        course: how to train on them.
    """

    def __init__(self, buckets: Sequence[Bucket], division: Division, course: Course) -> None:
        self._buckets, self._division, self._course = buckets, division, course
        self._n = sum([len(bucket.samples) for bucket in buckets])
        self._batch = min(course.batch_size or self._n, self._n)
        self._known: dict[int, tuple[Executables, int]] = {}  # of a sample its program, and the number of its bucket
        self._only: Executables | None = None  # of all samples
        self._met: set[tuple[Executables, int]] = set()
        self._running: dict[tuple[Executables, bool], Running] = {}
        self._sources: dict[tuple[Executables, int, bool], _Source] = {}
        self._training: Training | None = None
        self._gradients = Memory(0)
        self._seconds = 0.0
        self._reorder(array("q", range(self._n)))

    def fit(self) -> list[float]:
        """Train as `Program.fit` does."""
        try:
            for bucket in range(len(self._buckets)):
                self._know(bucket)
            if self._only:
                self._source(self._only, 0, self._batch)
                self._trained()
            return train(self._course, self._n, self._do, self._expect, self._reorder)
        finally:
            self._settle()
            for running in self._running.values():
                running.done()

    def _settle(self) -> None:
        """Give parameters, gradients and the optimiser what they have become."""
        if self._training:
            self._training.write_back()
            self._training = None  # after that, since Ctrl-C may come between two lines

    def _trained(self) -> Training:
        """Return what is trained, with all parameters that there are."""
        parameters = self._division.parameters()
        if self._training and len(self._training.parameters) < len(parameters):
            self._settle()
        if self._training is None:
            self._training = Training(self._course, parameters)
            self._gradients = Memory(len(self._training.numbers.data))
            driver("fit", fast=self._is_fast())  # compiled before any time is taken
        return self._training

    def _is_fast(self) -> bool:
        return any(running.executable.tables.fast for running in self._running.values())

    # Batches.

    def _reorder(self, order: array[int]) -> None:
        """Take note of the order of the samples."""
        self._order, batches = order, -(-self._n // self._batch)
        self._batches = Batches(array("q"), array("q"), array("q", [-1]) * batches)  # none is known yet

    def _do(self, begun: int, steps: int) -> Sequence[float]:
        """Take some steps, as many as the compiled loop can take, or one; return the losses before."""
        if here().detect_anomaly:  # each step is looked at, with the parameters as they are before it
            self._detect_anomaly(self._shares(self._samples(begun)))
            steps = 1
        if self._course.threads > 1:
            found = [self._shares(self._samples(begun + k)) for k in range(steps if self._only else 1)]
            return self._timed(lambda: [*map(self._step, found)])
        ready = self._known_from(begun, steps)
        batches, first = self._batches, begun
        if not ready:
            batches, first, ready = Batches(array("q"), array("q"), array("q", [0])), 0, 1
            self._add(batches, self._shares(self._samples(begun)))
        training, losses = self._trained(), Memory(ready)
        widest = max([source.running.memories[0].w for source in self._sources.values()], key=lambda w: len(w.data))
        for source in self._sources.values():
            source.renew(widest.address)  # of one panel, which then stays in the cache
        fast = self._is_fast()
        self._timed(lambda: training.run(batches, first, ready, losses, self._gradients, fast))
        return losses.data[:]  # type: ignore[no-any-return]

    def _known_from(self, begun: int, steps: int) -> int:
        """Return of how many steps the compiled loop can be told which programs their rows belong to."""
        starts = self._batches.starts
        if self._only:
            if starts[0] < 0:
                self._batches = self._even()
            return steps
        for k in range(min(steps, len(starts))):
            number = (begun + k) % len(starts)
            if starts[number] < 0:
                chosen = self._samples(number)
                if not all(map(self._known.__contains__, chosen)):
                    return k
                starts[number] = self._add(self._batches, self._shares(chosen))
        return steps

    def _samples(self, number: int) -> array[int]:
        """Return the samples of a batch, counted from the first one of an epoch on."""
        start = number % len(self._batches.starts) * self._batch
        return self._order[start : start + self._batch]

    def _even(self) -> Batches:
        """Return the batches of an epoch in which one program computes all samples."""
        assert self._only
        count, last = len(self._batches.starts), self._n % self._batch or self._batch
        source = self._source(self._only, 0, self._batch)
        source.work = 1
        one = [self._batch, 1, source.words.buffer_info()[0], 0, self._batch]
        words = array("q", one) * count
        words[3 :: len(one)] = array("q", range(0, self._n, self._batch))
        words[-len(one)] = words[-1] = last
        return Batches(self._order, words, array("q", range(0, len(words), len(one))))

    def _add(self, batches: Batches, shares: Sequence[Share]) -> int:
        """Add a batch to others, and return where its words begin."""
        order, words, _ = batches
        start = len(words)
        words.extend([sum([len(share.rows) for share in shares]), len(shares)])
        for program, bucket, rows in shares:
            source = self._source(program, bucket, len(rows))
            source.work += (source.running.executable.plan.schedule.cost + 1) * len(rows)
            words.extend([source.words.buffer_info()[0], len(order), len(rows)])
            order.extend(rows)
        return start

    def _shares(self, samples: Sequence[int]) -> list[Share]:
        """Return samples by bucket and program; where it is not known, programs are asked, and made."""
        if self._only:
            return [Share(self._only, 0, array("q", samples))]
        found: dict[tuple[Executables, int], array[int]] = {}
        others: dict[int, array[int]] = {}
        every = all(map(self._known.__contains__, samples))
        for sample in samples:
            bucket, row = self._place[sample]
            if every:
                found.setdefault(self._known[sample], array("q")).append(row)
            else:
                others.setdefault(bucket, array("q")).append(row)
        for bucket, rows in others.items():
            for program, chosen in self._divided(bucket, rows):
                found.setdefault((program, bucket), array("q")).extend(chosen)
        for program, bucket in found:
            if (program, bucket) not in self._met:
                self._met.add((program, bucket))
                self._know(bucket)
        return [Share(program, bucket, rows) for (program, bucket), rows in found.items()]

    @cached_property
    def _place(self) -> dict[int, tuple[int, int]]:
        """Of each sample the number of its bucket, and its row there."""
        return {sample: (k, row) for k, bucket in enumerate(self._buckets) for row, sample in enumerate(bucket.samples)}

    def _divided(self, bucket: int, rows: array[int]) -> Divided:
        """Return programs for rows of a bucket, as the parameters are now."""

        def parameters() -> int:
            return self._trained().numbers.address if self._training else 0

        found, left = self._division.known(self._buckets[bucket], rows, parameters)
        if not left:
            return found
        self._settle()
        return [*found, *self._division.recorded(self._buckets[bucket], left)]

    def _know(self, bucket: int) -> None:
        """Take note of the programs of those rows of a bucket of which they are known for good."""
        samples = self._buckets[bucket].samples
        for program, rows in self._division.always(self._buckets[bucket]):
            if len(rows) == self._n:
                self._only = program
            else:
                self._known.update(dict.fromkeys([samples[row] for row in rows], (program, bucket)))

    # Steps.

    def _run(self, program: Executables, rows: int) -> Running:
        key = program, rows > MAX_SCALAR_ROWS
        if key not in self._running:
            check_constants(self._course.optimizer, program)
            self._running[key] = Running(program, rows, self._course.threads)
        return self._running[key]

    def _source(self, program: Executables, bucket: int, rows: int) -> _Source:
        key = program, bucket, rows > MAX_SCALAR_ROWS
        if key not in self._sources:
            self._sources[key] = _Source(self._run(program, rows), self._buckets[bucket].numbers)
        return self._sources[key]

    def _step(self, shares: Sequence[Share]) -> float:
        """Take a step whose rows several threads compute."""
        training, gradients, mean = self._trained(), self._gradients, 0.0
        size = sum([len(share.rows) for share in shares])
        ctypes.memset(gradients.address, 0, WORD * len(gradients.data))
        for program, bucket, rows in shares:
            running, own = self._run(program, self._batch if self._only else len(rows)), len(program.graph.parameters)
            memories = running.memories
            for memory in memories:
                ctypes.memmove(memory.s.address, training.numbers.address, WORD * own)
            part, numbers = len(rows) / size, address(self._buckets[bucket].numbers)
            mean += part * running.executable.gradient(memories, numbers, address(rows), len(rows))
            found = memories[0].s.address + WORD * program.pitch
            if len(shares) == 1 and own == len(training.parameters):
                training.step(found)
                return mean
            driver("accumulate")(gradients.address, found, part, own)
        training.step(gradients.address)
        return mean

    def _detect_anomaly(self, shares: Sequence[Share]) -> None:
        """Raise FloatingPointError if a value, or a gradient, of a batch is not finite."""
        if self._training:
            self._training.write_back()
        for program, bucket, rows in shares:
            detect_anomaly(program.graph, self._buckets[bucket].numbers, rows, backward=True)

    def _timed(self, work: Callable[[], T]) -> T:
        """Measure the time of steps, without what is recorded and made before them."""
        begun = time.perf_counter()
        result = work()
        self._seconds = time.perf_counter() - begun
        return result

    def _expect(self, seconds: float, left: float) -> None:
        """Go over to better code where the seconds of the steps, or of those that are left, are worth it."""
        left *= self._seconds / seconds if seconds else 1.0
        if work := sum([source.work for source in self._sources.values()]):
            for source in self._sources.values():
                source.running.expect(self._seconds * source.work / work, left * source.work / work)
        else:  # the code has counted its seconds itself
            for running in self._running.values():
                running.expect(0.0, left / len(self._running))
