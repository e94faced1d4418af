"""Training in compiled loops: what they work on, and how it goes in and comes out."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable
from typing import Any, TypeAlias

from ..optim import Optimizer
from ..optimizer import at_least_0
from .executable import Executables, driver, update_driver
from .machine import Memory
from .places import WORD
from .rows import address
from .update import compiled

Rates: TypeAlias = "array[float] | None"  # the learning rate of each step, or of all what it is


class Training:
    """The compiled loop of `fit` for one optimiser, and what it works on."""

    def __init__(
        self,
        executables: Executables,
        optimizer: Optimizer,
        rows: int,
        threads: int = 1,
        schedule: Callable[[int], float] | None = None,
    ) -> None:
        self.executables, self.optimizer, self.schedule = executables, optimizer, schedule
        self.executable = executables.best("gradient", rows)
        parameters = executables.lowering.parameters
        place = {p: i for i, p in enumerate(parameters)}
        numbers = []
        others = executables.pitch  # where parameters that the program does not have begin
        for p in optimizer.parameters:
            numbers.append(place.get(p, others))
            others += p not in place
        changed = {i for p, i in zip(optimizer.parameters, numbers, strict=True) if p.requires_grad}
        masked = not changed.issuperset(place.values())
        self.update = update = compiled(optimizer, masked)
        width = update.width
        self.threads = threads
        driver("fit", self.executable.lanes, self.executable.plan.fast)  # compiled before any time is taken
        self.memories = [self.executable.memory([p.data for p in parameters]) for _ in range(threads)]
        self.scalars = Memory(update.scalars)
        for number, x in update.constants.items():
            self.scalars.data[number] = x
        self.scalars.data[0], self.scalars.data[1] = optimizer.lr, float(optimizer.steps)
        self.own = -(-len(place) // width)
        self.blocks = -(-others // width)
        self.samples = Memory(self.blocks * update.block + update.outputs * width)

        def at(i: int) -> int:
            return i // width * update.block + i % width

        samples = self.samples.data
        data = [p.data for p in parameters]
        for first in range(0, len(data), width):
            samples[at(first) : at(first) + min(width, len(data) - first)] = data[first : first + width]
        self.places = [at(i) for i in numbers]  # where the optimiser's parameters have their data
        for p, i, start, state in zip(optimizer.parameters, numbers, self.places, optimizer.state, strict=True):
            if i >= len(data):
                samples[start] = p.data
            for k, slot in enumerate(optimizer.slots, 2):
                samples[start + k * width] = state[slot]
            if masked:
                samples[start + (update.columns - 1) * width] = float(p.requires_grad)

    def run(self, data: Any, index: Any, n: int, batch: int, first: int, steps: int, losses: Memory) -> None:
        """Take steps `first` to `first + steps`, counted in an epoch; `losses` are of each, before it.

        Raises:
            ValueError: the schedule gives a number that is no learning rate; the steps before are taken.
            TypeError: it gives no number; likewise.
        """
        if self.schedule is None:
            self._take(data, index, n, batch, first, steps, losses, None)
            return
        rates, taken = array("d"), int(self.scalars.data[1])
        try:
            for step in range(taken, taken + steps):
                rates.append(_rate(self.schedule, step))
        finally:  # where the schedule fails, a loop of steps has taken those before
            if rates:
                self._take(data, index, n, batch, first, len(rates), losses, rates)

    def rate(self) -> array[float]:
        """Return the learning rate of the next step.

        Raises:
            ValueError, TypeError: as for `run`.
        """
        if self.schedule is None:
            return array("d", self.scalars.data[:1])
        return array("d", [_rate(self.schedule, int(self.scalars.data[1]))])

    def _take(
        self, data: Any, index: Any, n: int, batch: int, first: int, steps: int, losses: Memory, rates: Rates
    ) -> None:
        if self.threads > 1:
            self._take_in_threads(data, index, n, batch, first, steps, losses, rates)
            return
        driver("fit", self.executable.lanes, self.executable.plan.fast)(
            self.executable.record, address(data), address(index), n, batch, first, steps, losses.address,
            None if rates is None else address(rates), self.update.record, self.scalars.address, self.samples.address,
            self.own, self.blocks, *self.memories[0].addresses,
        )  # fmt: skip

    def _take_in_threads(
        self, data: Any, index: Any, n: int, batch: int, first: int, steps: int, losses: Memory, rates: Rates
    ) -> None:
        batches, begin = -(-n // batch), self.executables.pitch * WORD
        memory, *others = self.memories
        size = WORD * len(self.executables.lowering.parameters)
        for step in range(steps):
            t = first + step
            start = t % batches * batch
            count = min(batch, n - start)
            rows = address(index) + WORD * start
            loss = self.executable.gradient(self.memories, address(data), rows, count)
            losses.data[step] = loss
            rate = self.scalars.address if rates is None else address(rates) + WORD * step
            update_driver()(
                self.update.record, memory.s.address, memory.s.address + begin, rate, self.scalars.address,
                self.samples.address, self.own, self.blocks,
            )  # fmt: skip
            for other in others:
                ctypes.memmove(other.s.address, memory.s.address, size)

    def expect(self, taken: float, left: float) -> None:
        """Go on with native code if the seconds that the training has taken, or those that are left, are worth it."""
        self.executable.seconds += taken
        seconds = max(self.executable.seconds, left)
        if left:
            self.executables.hasten(self.executable, seconds)
        if left and self.executables.worth(self.executable, seconds):
            worse, memories = self.executable, self.memories
            better = self.executables.native(worse, "gradient")
            parameters = memories[0].s.data[: len(self.executables.lowering.parameters)]
            self.executable, self.memories = better, [better.memory(parameters) for _ in memories]
            for memory in memories:
                worse.done(memory)  # after that, since Ctrl-C may come between two lines

    def write_back(self) -> None:
        """Give parameters, gradients and the optimiser what they have become."""
        optimizer = self.optimizer
        steps = int(self.scalars.data[1])  # counted there, since Ctrl-C may come just before a line of Python
        if steps != optimizer.steps:
            width = self.update.width
            data = memoryview(self.samples.data).cast("B").cast("d")  # read faster than ctypes' arrays
            for p, start, state in zip(optimizer.parameters, self.places, optimizer.state, strict=True):
                if p.requires_grad:
                    p.data, p.grad = data[start], data[start + width]
                    for k, slot in enumerate(optimizer.slots, 2):
                        state[slot] = data[start + k * width]
                else:
                    p.grad = 0.0
            optimizer.steps = steps
            if self.schedule is not None:
                optimizer.lr = self.scalars.data[0]
        for memory in self.memories:
            self.executable.done(memory)


def _rate(schedule: Callable[[int], float], step: int) -> float:
    """Return the learning rate of a step."""
    rate = schedule(step)
    try:
        return at_least_0("the learning rate", rate)
    except (TypeError, ValueError) as error:
        raise type(error)(f"fit(): step {step} of the schedule {schedule!r}: {error}") from None
