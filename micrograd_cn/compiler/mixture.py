"""Training on samples of several forms, or of a function that branches: each step's batch goes to several programs."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable, Sequence
from typing import Any

from ..optim import Optimizer
from .executable import Buffers, Executable, accumulate_driver, update_driver
from .places import WORD
from .program import Program, Shuffler, check_fit, progress_bar
from .rows import address
from .samples import Table
from .training import Training

Divide = Callable[[Table, "array[int]", "Mixture"], Sequence[tuple[Program, "array[int]"]]]


class Mixture:
    """Samples in tables, and what says which program each row of a table belongs to, as the parameters are now.

    Args:
        tables: the samples.
        divide: from a table, the numbers of some of its rows and this training to programs and their rows.
    """

    def __init__(self, tables: Sequence[Table], divide: Divide) -> None:
        self._tables, self._divide = tables, divide
        self._place = {sample: (table, row) for table in tables for row, sample in enumerate(table.samples)}
        self._memories: dict[int, tuple[Executable, list[Buffers]]] = {}
        self._training: Training | None = None
        self._largest: Program | None = None  # that has the most parameters, of all that a row may belong to

    def parameters_of(self, program: Program) -> int:
        """Return where a program's parameters are meanwhile; 0 if they are what they are outside."""
        single = len(program.executables.lowering.outputs) == 1
        if single and (not self._largest or len(program.parameters) > len(self._largest.parameters)):
            self._largest = program
        if self._training and self._lacks(program):
            self.settle()
        return self._training.memories[0].s.address if self._training else 0

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
        threads: int,
        progress: bool,
        each_step: bool,
    ) -> list[float]:
        """Train as `Program.fit` does; every step comes back to Python."""
        check_fit(optimizer, epochs, batch_size, threads, schedule)
        n = len(self._place)
        batch = min(batch_size or n, n)
        order, losses = list(range(n)), []
        bar = progress_bar(epochs * -(-n // batch)) if progress else None
        try:
            for _ in range(epochs):
                if shuffle is not None:
                    shuffle.shuffle(order)
                    if sorted(order) != list(range(n)):
                        raise ValueError("fit(): shuffle must put the numbers of the samples in another order alone")
                losses += [0.0] * (not each_step)
                for start in range(0, n, batch):
                    chosen = order[start : start + batch]
                    groups = self._groups(chosen)
                    for program, *_ in groups:
                        self.parameters_of(program)
                    if self._training is None:
                        assert self._largest
                        self._training = Training(self._largest.executables, optimizer, 1, 1, schedule)
                    loss = self._step(self._training, groups, len(chosen), threads)
                    if each_step:
                        losses.append(loss)
                    else:
                        losses[-1] += loss * len(chosen) / n
                    if bar:
                        bar.set_postfix(loss=f"{losses[-1]:.4g}", refresh=False)
                        bar.update()
        finally:
            self.settle()
            for executable, memories in self._memories.values():
                for memory in memories:
                    executable.done(memory)
            self._memories.clear()
            if bar:
                bar.close()
        return losses

    def _lacks(self, program: Program) -> bool:
        """Return whether a program has parameters that the training has not met."""
        assert self._training
        return len(program.parameters) > len(self._training.executables.lowering.parameters)

    def _groups(self, samples: Sequence[int]) -> list[tuple[Program, Any, array[int]]]:
        """Return programs, each with the numbers of a table and the rows of it that are its own."""
        rows: dict[int, array[int]] = {}
        tables: dict[int, Table] = {}
        for sample in samples:
            table, row = self._place[sample]
            tables[id(table)] = table
            rows.setdefault(id(table), array("q")).append(row)
        return [
            (program, tables[key].numbers, own)
            for key, chosen in rows.items()
            for program, own in self._divide(tables[key], chosen, self)
        ]

    def _step(
        self,
        training: Training,
        groups: Sequence[tuple[Program, Any, array[int]]],
        count: int,
        threads: int,
    ) -> float:
        """Take a step, and return the mean loss of its batch before it."""
        executables, parameters = training.executables, training.memories[0].s
        total = executables.pitch
        gradient = parameters.address + WORD * total
        ctypes.memset(gradient, 0, WORD * total)
        mean = 0.0
        for program, data, rows in groups:
            executable, memories = self._memory(program, len(rows), threads)
            own = len(program.parameters)
            for memory in memories:
                ctypes.memmove(memory.s.address, parameters.address, WORD * own)
            share = len(rows) / count
            mean += share * executable.gradient(memories, address(data), address(rows), len(rows))
            found = memories[0].s.address + WORD * program.executables.pitch
            accumulate_driver()(gradient, found, share, own)
        rate = training.rate()
        update_driver()(
            training.update.record, parameters.address, gradient, address(rate), training.scalars.address,
            training.samples.address, training.own, training.blocks,
        )  # fmt: skip
        return mean

    def _memory(self, program: Program, rows: int, threads: int) -> tuple[Executable, list[Buffers]]:
        executable = program.executables.best("gradient", rows)
        if id(executable) not in self._memories:
            self._memories[id(executable)] = executable, [executable.memory([]) for _ in range(threads)]
        return self._memories[id(executable)]
