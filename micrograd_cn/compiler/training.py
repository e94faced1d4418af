"""Training in a compiled loop: what it works on, and how that goes in and comes out."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, compress, repeat
from typing import NamedTuple

from .. import node as nodes
from ..engine import Value
from ..node import Node
from ..optim import Optimizer
from ..optimizer import at_least_0
from .captured import check_captured
from .epochs import Course
from .executable import Buffers, Executable, Executables, fit_driver, pitch, update_driver
from .machine import Memory
from .rows import address
from .update import compiled

SET_DATA, SET_GRAD = (vars(Node)[slot].__set__ for slot in ("_data", "grad"))  # functions of C's


class Batches(NamedTuple):
    """The batches of an epoch, as the compiled loop takes them; see `drivers.fit`.

    Attributes:
        order: the numbers of rows.
        words: what each batch consists of.
        starts: where its words begin.
    """

    order: array[int]
    words: array[int]
    starts: array[int]


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
            self.executable, self.memories = better, [better.memory([]) for _ in memories]
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
    """What the compiled loop of `fit` works on: parameters, and an optimiser with its state.

    Attributes:
        parameters: those that are read; an optimiser may have others.
        numbers: what they are now.
        own: in how many blocks the optimiser's step has them.
        blocks: how many blocks it has, with those of other parameters.
        places: where the optimiser's parameters have their data in these.
    """

    def __init__(self, course: Course, parameters: Sequence[Value]) -> None:
        self.optimizer, self.schedule = course.optimizer, course.schedule
        self.parameters = parameters
        optimizer = course.optimizer
        place = {p: i for i, p in enumerate(parameters)}
        numbers = []
        others = pitch(len(parameters))  # where parameters that are not read begin
        self.numbers = Memory(others)
        for p in optimizer.parameters:
            numbers.append(place.get(p, others))
            others += p not in place
        changed = {i for p, i in zip(optimizer.parameters, numbers, strict=True) if p.requires_grad}
        masked = not changed.issuperset(place.values())
        self.update = update = compiled(optimizer, masked)
        width = update.width
        data = [p.data for p in parameters]
        self.numbers.data[: len(data)] = data
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
        self.places = [at(i) for i in numbers]
        for p, i, start, state in zip(optimizer.parameters, numbers, self.places, optimizer.state, strict=True):
            if i >= len(data):
                samples[start] = p.data
            for k, slot in enumerate(optimizer.slots, 2):
                samples[start + k * width] = state[slot]
            if masked:
                samples[start + (update.columns - 1) * width] = float(p.requires_grad)

    @property
    def _optimizer_at(self) -> tuple[int, ...]:
        """What an optimiser's step works on, see `drivers.update`."""
        return self.update.record, self.scalars.address, self.samples.address, self.own, self.blocks

    def run(self, batches: Batches, first: int, steps: int, losses: Memory, gradients: Memory, fast: bool) -> None:
        """Take steps from that of batch `first` on, over and over; `losses` are of each, before it.

        Args:
            batches: of an epoch.
            first: the first step's.
            steps: how many.
            losses: of each step, before it.
            gradients: where those of several programs are added up.
            fast: whether the loop is made with more effort.

        Raises:
            ValueError: the schedule gives a number that is no learning rate; the steps before are taken.
            TypeError: it gives no number; likewise.
        """
        order, words, starts = batches

        def take(steps: int, rates: array[float] | None) -> None:
            fit_driver(fast)(
                address(order), address(words), address(starts), len(starts), first, steps, losses.address,
                None if rates is None else address(rates), self.numbers.address, gradients.address,
                len(self.parameters), *self._optimizer_at,
            )  # fmt: skip

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

    def step(self, gradients: int) -> None:
        """Take the optimiser's step with gradients at an address.

        Raises:
            ValueError, TypeError: as for `run`.
        """
        lr, steps = self.scalars.data[:2]
        rate = array("d", [lr if self.schedule is None else _rate(self.schedule, int(steps))])
        record, *rest = self._optimizer_at
        update_driver()(record, self.numbers.address, gradients, address(rate), *rest)

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
