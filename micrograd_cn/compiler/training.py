"""Training in compiled loops: what they work on, and how it goes in and comes out."""

from __future__ import annotations

import ctypes
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, compress, repeat
from typing import Any, TypeAlias

from .. import node as nodes
from ..node import Node
from ..optim import Optimizer
from ..optimizer import at_least_0
from .captured import check_captured
from .executable import Buffers, Executable, Executables, driver, mixed_driver, update_driver
from .machine import Memory
from .places import WORD
from .rows import address
from .update import compiled

SET_DATA, SET_GRAD = (vars(Node)[slot].__set__ for slot in ("_data", "grad"))  # functions of C's
Rates: TypeAlias = "array[float] | None"  # the learning rate of each step, or of all what it is


class Running:
    """A program whose gradients are computed again and again, by better code when that is worth it.

    Attributes:
        executable: the code.
        memories: of each thread.
    """

    def __init__(self, executables: Executables, rows: int, threads: int = 1) -> None:
        self.executables, self.executable = executables, executables.best("gradient", rows)
        self.memories = [self.executable.memory([]) for _ in range(threads)]

    def expect(self, taken: float, left: float) -> None:
        """Go on with native code if the seconds that it has run, or those that are left, are worth it."""
        self.executable.seconds += taken
        seconds = max(self.executable.seconds, left)
        if left:
            self.executables.hasten(self.executable, seconds)
        if left and self.executables.worth(self.executable, seconds):
            worse, memories = self.executable, self.memories
            better = self.executables.native(worse, "gradient")
            parameters = memories[0].s.data[: len(self.executables.lowering.parameters)]
            self.executable, self.memories = better, [better.memory(parameters) for _ in memories]
            _give_back(worse, memories)  # after that, since Ctrl-C may come between two lines

    def done(self) -> None:
        """Give the memory back."""
        _give_back(self.executable, self.memories)


def _give_back(executable: Executable, memories: Sequence[Buffers]) -> None:
    for memory in memories:
        executable.done(memory)


def check_constants(optimizer: Optimizer, executables: Executables) -> None:
    """Raise ValueError if a parameter that is to be trained was a constant when a program was made, or captured."""
    check_captured(optimizer.parameters, executables.graph.parameters)
    for i, p in enumerate(optimizer.parameters):
        if p.requires_grad and p in executables.graph.constants:
            raise ValueError(
                f"fit(): parameters[{i}] of the optimizer, {p!r}, is a constant of the program, since it required no "
                "gradient when the program was made; compile anew"
            )


class Training:
    """The compiled loop of `fit` for one optimiser, and what it works on."""

    def __init__(self, running: Running, optimizer: Optimizer, schedule: Callable[[int], float] | None = None) -> None:
        self.running, self.optimizer, self.schedule = running, optimizer, schedule
        self.executables = executables = running.executables
        parameters = executables.lowering.parameters
        place = {p: i for i, p in enumerate(parameters)}
        numbers = []
        others = executables.pitch  # where parameters that the program does not have begin
        check_constants(optimizer, executables)
        for p in optimizer.parameters:
            numbers.append(place.get(p, others))
            others += p not in place
        changed = {i for p, i in zip(optimizer.parameters, numbers, strict=True) if p.requires_grad}
        masked = not changed.issuperset(place.values())
        self.update = update = compiled(optimizer, masked)
        width = update.width
        data = [p.data for p in parameters]
        for memory in running.memories:
            memory.s.data[: len(data)] = data
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

    @property
    def parameters(self) -> int:
        """Where the parameters are; after them the program has room for their gradients."""
        return self.running.memories[0].s.address

    @property
    def _optimizer_at(self) -> tuple[int, ...]:
        """What an optimiser's step works on, see `drivers.update`."""
        return self.update.record, self.scalars.address, self.samples.address, self.own, self.blocks

    def run(self, data: Any, index: Any, n: int, batch: int, first: int, steps: int, losses: Memory) -> None:
        """Take steps `first` to `first + steps`, counted in an epoch; `losses` are of each, before it.

        Raises:
            ValueError: the schedule gives a number that is no learning rate; the steps before are taken.
            TypeError: it gives no number; likewise.
        """
        self._with_rates(steps, lambda *rates: self._take(data, index, n, batch, first, losses, *rates))

    def run_mixed(self, index: array[int], plans: array[int], steps: int, losses: Memory, gradients: Memory) -> None:
        """Take steps whose rows belong to several programs, see `drivers.fit_mixed`; `gradients` are added up there.

        Raises:
            ValueError, TypeError: as for `run`.
        """

        def take(steps: int, rates: Rates) -> None:
            mixed_driver()(
                address(index), address(plans), steps, losses.address, None if rates is None else address(rates),
                self.parameters, gradients.address, len(self.executables.lowering.parameters), *self._optimizer_at,
            )  # fmt: skip

        self._with_rates(steps, take)

    def _with_rates(self, steps: int, take: Callable[[int, Rates], None]) -> None:
        if self.schedule is None:
            take(steps, None)
            return
        rates, taken = array("d"), int(self.scalars.data[1])
        try:
            for step in range(taken, taken + steps):
                rates.append(_rate(self.schedule, step))
        finally:  # where the schedule fails, a loop of steps has taken those before
            if rates:
                take(len(rates), rates)

    def rate(self) -> array[float]:
        """Return the learning rate of the next step.

        Raises:
            ValueError, TypeError: as for `run`.
        """
        if self.schedule is None:
            return array("d", self.scalars.data[:1])
        return array("d", [_rate(self.schedule, int(self.scalars.data[1]))])

    def _take(
        self, data: Any, index: Any, n: int, batch: int, first: int, losses: Memory, steps: int, rates: Rates
    ) -> None:
        if len(self.running.memories) > 1:
            self._take_in_threads(data, index, n, batch, first, losses, steps, rates)
            return
        executable, [memory] = self.running.executable, self.running.memories
        driver("fit", executable.lanes, executable.plan.fast)(
            executable.record, address(data), address(index), n, batch, first, steps, losses.address,
            None if rates is None else address(rates), *self._optimizer_at, *memory.addresses,
        )  # fmt: skip

    def _take_in_threads(
        self, data: Any, index: Any, n: int, batch: int, first: int, losses: Memory, steps: int, rates: Rates
    ) -> None:
        batches, begin = -(-n // batch), self.executables.pitch * WORD
        executable, memories = self.running.executable, self.running.memories
        size = WORD * len(self.executables.lowering.parameters)
        for step in range(steps):
            t = first + step
            start = t % batches * batch
            count = min(batch, n - start)
            rows = address(index) + WORD * start
            loss = executable.gradient(memories, address(data), rows, count)
            losses.data[step] = loss
            rate = self.scalars.address if rates is None else address(rates) + WORD * step
            self.step(self.parameters + begin, rate)
            for other in memories[1:]:
                ctypes.memmove(other.s.address, self.parameters, size)

    def step(self, gradients: int, rate: int) -> None:
        """Take the optimiser's step with gradients and a learning rate, which are where."""
        record, *rest = self._optimizer_at
        update_driver()(record, self.parameters, gradients, rate, *rest)

    def write_back(self) -> None:
        """Give parameters, gradients and the optimiser what they have become: all of it, or nothing."""
        optimizer = self.optimizer
        steps = int(self.scalars.data[1])  # counted there, since Ctrl-C may come just before a line of Python
        if steps == optimizer.steps:
            return
        data = memoryview(self.samples.data).cast("B").cast("d")  # read faster than ctypes' arrays
        changed = [p.requires_grad for p in optimizer.parameters]
        trained, starts = list(compress(optimizer.parameters, changed)), list(compress(self.places, changed))
        states = list(compress(optimizer.state, changed))

        def column(k: int) -> list[float]:
            first = k * self.update.width
            return [data[start + first] for start in starts]

        changes: list[Iterable[object]] = [
            map(SET_DATA, trained, column(0)),
            map(setattr, [nodes], ["given_data"], [True]),
            map(SET_GRAD, optimizer.parameters, repeat(0.0)),
            map(SET_GRAD, trained, column(1)),
            *[map(dict.__setitem__, states, repeat(slot), column(k)) for k, slot in enumerate(optimizer.slots, 2)],
            map(setattr, [optimizer], ["steps"], [steps]),
        ]
        if self.schedule is not None:
            changes.append(map(setattr, [optimizer], ["lr"], [self.scalars.data[0]]))
        deque(chain.from_iterable(changes), maxlen=0)  # one call of C's: there is no Ctrl-C in the middle


def _rate(schedule: Callable[[int], float], step: int) -> float:
    """Return the learning rate of a step."""
    rate = schedule(step)
    try:
        return at_least_0("the learning rate", rate)
    except (TypeError, ValueError) as error:
        raise type(error)(f"fit(): step {step} of the schedule {schedule!r}: {error}") from None
