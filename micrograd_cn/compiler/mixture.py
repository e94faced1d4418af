"""Training on samples of several forms, or of a function that branches: each step's batch goes to several programs.

While it is known beforehand which program each row of a step belongs to, a compiled loop takes step after step; for
others, and with several threads, each step comes back to Python.
"""

from __future__ import annotations

import ctypes
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import NamedTuple, TypeAlias

from ..modes import ANOMALY, current
from ..optim import Optimizer
from .epochs import Progress, Shuffler, train
from .executable import FEW, Executable, accumulate_driver, address_of_driver, mixed_driver
from .machine import Memory
from .places import WORD
from .program import Program
from .rows import Numbers, address
from .samples import Table
from .training import Running, Training

Divided: TypeAlias = "Sequence[tuple[Program, array[int]]]"  # programs, each with the numbers of its rows


class Division(NamedTuple):
    """What says which program the rows of a table belong to.

    Attributes:
        now: of some rows, as the parameters are now in a training.
        always: of those rows of which it is known whatever the parameters are.
    """

    now: Callable[[Table, array[int], Mixture], Divided]
    always: Callable[[Table], Divided]


class _Part:
    """A program with a table of which rows are its own, as the compiled loop takes them.

    Attributes:
        words: see `drivers.fit_mixed`.
        work: about how many instructions it has computed since the last look at the clock.
    """

    def __init__(self, running: Running, numbers: Numbers) -> None:
        self.running, self._numbers = running, numbers
        self.words = array("q", bytes(8 * WORD))
        self.size = running.executable.plan.schedule.size + 1
        self.work = 0
        self._taken: tuple[Executable, bool, int] | None = None

    def renew(self, panel: int) -> None:
        """Take the code that is used now, its memory, and the address of a panel."""
        executable, memory = self.running.executable, self.running.memories[0]
        taken = executable, executable.plan.fast, panel
        if self._taken == taken:
            return
        self._taken = taken
        gradient = address_of_driver("gradient", executable.lanes, executable.plan.fast)
        found = memory.s.address + WORD * self.running.executables.pitch
        own = len(self.running.executables.lowering.parameters)
        scalars, samples, totals = memory.addresses
        if executable.lanes > 1:
            samples = panel
        given = executable.record, address(self._numbers), scalars, samples, totals
        self.words[:] = array("q", [gradient, *given, found, own])


class _Plan(NamedTuple):
    """What the compiled loop does in a step.

    Attributes:
        words: see `drivers.fit_mixed`.
        work: its parts, and about how many instructions each computes.
    """

    words: list[int]
    work: list[tuple[_Part, int]]


class Mixture:
    """Samples in tables, and what says which program each row of a table belongs to.

    Args:
        tables: the samples.
        division: says it.
        threads: how many compute at the same time.
    """

    def __init__(self, tables: Sequence[Table], division: Division, threads: int) -> None:
        self._tables, self._division, self._threads = tables, division, threads
        self._place = {sample: (k, row) for k, table in enumerate(tables) for row, sample in enumerate(table.samples)}
        self._known: dict[int, tuple[Program, int]] = {}  # of a sample its program, and the number of its table
        self._met: set[tuple[Program, int]] = set()
        self._running: dict[tuple[Program, bool], Running] = {}
        self._parts: dict[tuple[Program, int, bool], _Part] = {}
        self._order: list[int] = []
        self._index = array("q")  # of the rows of all plans
        self._plans: dict[int, _Plan] = {}  # of the steps of an epoch, by the first sample
        self._training: Training | None = None
        self._gradients = Memory(0)
        self._panel = Memory(0)  # of all programs, since one computes after the other
        self._seconds = 0.0
        self._largest: Program | None = None  # that has the most parameters, of all that a row may belong to

    def parameters_of(self, program: Program) -> int:
        """Return where a program's parameters are meanwhile; 0 if they are what they are outside."""
        single = len(program.executables.graph.outputs) == 1
        if single and (not self._largest or len(program.parameters) > len(self._largest.parameters)):
            self._largest = program
        if self._training and self._lacks(program):
            self.settle()
        return self._training.parameters if self._training else 0

    def settle(self) -> None:
        """Give parameters, gradients and the optimiser what they have become."""
        training, self._training = self._training, None
        if training:
            training.write_back()

    def fit(
        self,
        optimizer: Optimizer,
        epochs: int,
        batch_size: int | None,
        shuffle: Shuffler | None,
        schedule: Callable[[int], float] | None,
        progress: Progress,
        each_step: bool,
    ) -> list[float]:
        """Train as `Program.fit` does."""
        n = len(self._place)
        self._order = list(range(n))
        batch = min(batch_size or n, n)
        batches = -(-n // batch)

        def take(begun: int, steps: int) -> Sequence[float]:
            starts = [k % batches * batch for k in range(begun, begun + steps)]
            return self._steps(starts, batch, optimizer, schedule)

        try:
            return train(
                take, self._expect, self._reorder,
                n=n, batch=batch, epochs=epochs, shuffle=shuffle, progress=progress, each_step=each_step,
            )  # fmt: skip
        finally:
            self.settle()
            for running in self._running.values():
                running.done()

    def _reorder(self, order: array[int]) -> None:
        self._order = list(order)
        self._index, self._plans = array("q"), {}

    def _lacks(self, program: Program) -> bool:
        """Return whether a program has parameters that the training has not met."""
        assert self._training
        return len(program.parameters) > len(self._training.executables.lowering.parameters)

    def _steps(
        self, starts: Sequence[int], batch: int, optimizer: Optimizer, schedule: Callable[[int], float] | None
    ) -> Sequence[float]:
        """Take the steps of some batches, as many as the compiled loop can take, or one; return the losses before."""
        plans: list[_Plan] = []
        watched = current() & ANOMALY  # each step is looked at, with the parameters as they are before it
        for start in starts if self._threads == 1 and not watched else ():
            plan = self._planned(start, batch)
            if not plan:
                break
            plans.append(plan)
        if not plans:
            chosen = self._order[starts[0] : starts[0] + batch]
            groups, training = self._groups(chosen), self._trained(optimizer, schedule, len(chosen))
            if watched:
                training.write_back()
                for program, table, rows in groups:
                    program.detect_anomaly(self._tables[table].numbers, rows, backward=True)
            with self._timed():
                return [self._step(training, groups, len(chosen))]
        losses, words = Memory(len(plans)), array("q", chain.from_iterable([plan.words for plan in plans]))
        for part, work in chain.from_iterable([plan.work for plan in plans]):
            part.work += work
        training = self._trained(optimizer, schedule, batch)
        self._renew()
        with self._timed():
            training.run_mixed(self._index, words, len(plans), losses, self._gradients)
        return losses.data[:]  # type: ignore[no-any-return]

    def _planned(self, start: int, batch: int) -> _Plan | None:
        """Return what the compiled loop does in a step; None if it is not known which programs its rows belong to."""
        if start not in self._plans:
            chosen = self._order[start : start + batch]
            rows: dict[tuple[Program, int], list[int]] = {}
            for sample in chosen:
                known = self._known.get(sample)
                if not known:
                    return None
                rows.setdefault(known, []).append(self._place[sample][1])
            self._plans[start] = plan = _Plan([len(chosen), len(rows)], [])
            for (program, table), own in rows.items():
                part = self._part(program, table, len(own))
                plan.words.extend((part.words.buffer_info()[0], len(self._index), len(own)))
                plan.work.append((part, part.size * len(own)))
                self._index.extend(own)
        return self._plans[start]

    def _groups(self, samples: Sequence[int]) -> list[tuple[Program, int, array[int]]]:
        """Return programs, each with the number of a table and the rows of it that are its own."""
        rows: dict[int, array[int]] = {}
        for sample in samples:
            table, row = self._place[sample]
            rows.setdefault(table, array("q")).append(row)
        found = []
        for table, chosen in rows.items():
            for program, own in self._division.now(self._tables[table], chosen, self):
                found.append((program, table, own))
        for program, table, _ in found:
            self.parameters_of(program)
            if (program, table) not in self._met:
                self._met.add((program, table))
                self._know(table)
        return found

    def _know(self, table: int) -> None:
        """Note what rows of a table belong to, of which it is known."""
        for program, rows in self._division.always(self._tables[table]):
            self.parameters_of(program)
            samples = self._tables[table].samples
            self._known.update(dict.fromkeys([samples[row] for row in rows], (program, table)))

    def _run(self, program: Program, rows: int) -> Running:
        key = program, rows > FEW
        if key not in self._running:
            self._running[key] = Running(program.executables, rows, self._threads)
        return self._running[key]

    def _part(self, program: Program, table: int, rows: int) -> _Part:
        key = program, table, rows > FEW
        if key not in self._parts:
            self._parts[key] = _Part(self._run(program, rows), self._tables[table].numbers)
        return self._parts[key]

    def _renew(self) -> None:
        """Have all parts take the code that is used now, and the same panel, which then stays in the cache."""
        parts = self._parts.values()
        most = max([len(part.running.memories[0].w.data) for part in parts])
        if most > len(self._panel.data):
            self._panel = Memory(most)
        for part in parts:
            part.renew(self._panel.address)

    def _trained(self, optimizer: Optimizer, schedule: Callable[[int], float] | None, rows: int) -> Training:
        if self._training is None:
            assert self._largest
            self._training = Training(self._run(self._largest, rows), optimizer, schedule)
            self._gradients = Memory(self._largest.executables.pitch)
            mixed_driver()  # compiled before any time is taken
        return self._training

    def _step(self, training: Training, groups: Sequence[tuple[Program, int, array[int]]], count: int) -> float:
        gradients, mean = self._gradients, 0.0
        ctypes.memset(gradients.address, 0, WORD * len(gradients.data))
        for program, table, rows in groups:
            running, own = self._run(program, len(rows)), len(program.parameters)
            memories = running.memories
            for memory in memories:
                ctypes.memmove(memory.s.address, training.parameters, WORD * own)
            share, numbers = len(rows) / count, address(self._tables[table].numbers)
            mean += share * running.executable.gradient(memories, numbers, address(rows), len(rows))
            found = memories[0].s.address + WORD * program.executables.pitch
            accumulate_driver()(gradients.address, found, share, own)
        rate = training.rate()
        training.step(gradients.address, address(rate))
        return mean

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """Measure the time of steps, without what is recorded and made before them."""
        begun = time.perf_counter()
        yield
        self._seconds = time.perf_counter() - begun

    def _expect(self, seconds: float, left: float) -> None:
        """Go over to better code where the seconds of the steps, or of those that are left, are worth it."""
        left *= self._seconds / seconds if seconds else 1.0
        parts = self._parts.values()
        if work := sum([part.work for part in parts]):
            for part in parts:
                part.running.expect(self._seconds * part.work / work, left * part.work / work)
                part.work = 0
        else:  # the code has counted its seconds itself
            for running in self._running.values():
                running.expect(0.0, left / len(self._running))
