"""Training in a compiled loop: what it works on, and how that goes in and comes out."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, compress, repeat
from typing import Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from ...engine import Value
from ...graph import context
from ...optim import Optimizer
from ...optim.optimizer import States, at_least_0, copy_states
from ..data.captured import check_captured
from ..data.parameters import Data
from ..data.rows import address
from ..llvm.machine import Memory
from ..loops.places import WORD
from ..runtime.executable import Buffers, Executable, Executables, driver, pitch
from .epochs import Course
from .update import compiled

T = TypeVar("T")


class Batches(NamedTuple):
    """The batches of an epoch, as the compiled loop takes them; see `Drivers.fit`.

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

    def __init__(self, executables: Executables, rows: int, threads: int) -> None:
        self.executables, self.executable = executables, executables.best("gradient", rows)
        self.memories = [self.executable.memory() for _ in range(threads)]

    def expect(self, taken: float, left: float) -> None:
        """Go on with native code if the seconds that it has run, or those that are left, are worth it."""
        self.executable.seconds += taken
        seconds = max(self.executable.seconds, left)
        if left:
            self.executables.upgrade_kernels(self.executable, seconds)
        if left and self.executables.should_compile(self.executable, seconds):
            worse, memories = self.executable, self.memories
            better = self.executables.native(worse)
            self.executable, self.memories = better, [better.memory() for _ in memories]
            _give_back(worse, memories)  # after that, since Ctrl-C may come between two lines

    def done(self) -> None:
        """Give the memory back."""
        _give_back(self.executable, self.memories)


def _give_back(executable: Executable, memories: Sequence[Buffers]) -> None:
    for memory in memories:
        executable.done(memory)


def check_constants(optimizer: Optimizer, executables: Executables) -> None:
    """Raise ValueError if a parameter that is to be trained was a constant when a program was made, or captured."""
    check_captured(optimizer.parameters, executables.captured)
    constants = executables.graph.constants
    for i, p in enumerate(optimizer.parameters if constants else ()):
        if p.requires_grad and p in constants:
            raise ValueError(
                f"fit(): parameters[{i}] of the optimizer, {p!r}, is a constant of the program, since it required no "
                "gradient when the program was made; compile anew"
            )


class Layout:
    """Where the numbers of parameters are: those that are read have the first places, in order.

    Attributes:
        read: the data of the parameters that are read.
        given: the parameters of an optimiser.
        order: the indices of `given`, sorted by their places.
        trained: `given` in this order.
        places: those of `trained`.
        others: the data of those that are trained and not read.
        begin, end: the place of the first of those, and after the last.
        known: the set of `given`.
        covers: whether all that are read are trained.
    """

    def __init__(self, read: Sequence[Value], given: Sequence[Value]) -> None:
        self._read, self.given = read, [*given]
        place = {p: i for i, p in enumerate(read)}
        others = [p for p in given if p not in place]
        self.read, self.others = Data(read), Data(others)
        self.begin = pitch(len(read))
        self.end = self.begin + len(others)
        place |= {p: i for i, p in enumerate(others, self.begin)}
        self.order = sorted(range(len(given)), key=lambda k: place[given[k]])
        self.trained = [given[k] for k in self.order]
        self.places = [place[p] for p in self.trained]
        first, count = self.places[0], len(self.places)
        self._beside = slice(first, first + count) if self.places == [*range(first, first + count)] else None
        self.known = frozenset(given)
        self.covers = self.known.issuperset(read)

    def put(self, numbers: array[float], to: array[float]) -> None:
        """Write a number of each parameter that is trained to its place."""
        if self._beside:
            to[self._beside] = numbers
        else:
            for place, x in zip(self.places, numbers, strict=True):
                to[place] = x

    def of(self, numbers: array[float]) -> array[float]:
        """Return the numbers of the parameters that are trained."""
        return numbers[self._beside] if self._beside else array("d", [numbers[place] for place in self.places])

    def is_of(self, read: Sequence[Value], given: Sequence[Value]) -> bool:
        """Return whether it is that of such parameters."""
        return self._read == read and self.given == given  # quick, since a node is equal to itself alone


class Kept:
    """What an optimiser keeps of its parameters, an array of each slot; a call makes its `state` of it.

    Attributes:
        layout: in whose order the numbers are.
        arrays: the numbers by slot.
    """

    def __init__(self, layout: Layout, arrays: dict[str, array[float]]) -> None:
        self.layout, self.arrays = layout, arrays

    def __call__(self) -> States:
        """Return the state."""
        states: States = [{} for _ in self.layout.order]
        for slot, numbers in self.arrays.items():
            for k, x in zip(self.layout.order, numbers, strict=True):
                states[k][slot] = x
        return states

    def __reduce__(self) -> Any:
        """Copy and pickle the numbers alone, without the nodes whose places the layout has."""
        return partial, (copy_states, self())


def kept_by(optimizer: Optimizer, layout: Layout, slots: Sequence[str]) -> Kept:
    """Return what an optimiser keeps, these slots of it, or all if nobody has asked for its state."""
    kept = optimizer.lazy_state
    if isinstance(kept, Kept) and kept.layout is layout:
        return kept
    states, slots = (kept(), optimizer.state_names) if callable(kept) else (kept, slots)
    optimizer.check_parameter_count(len(states))
    found = Kept(layout, {slot: array("d", [states[k][slot] for k in layout.order]) for slot in slots})
    if callable(kept):
        optimizer.lazy_state = found  # the same numbers, in the order in which they are wanted
    return found


_layouts: WeakKeyDictionary[Optimizer, Layout] = WeakKeyDictionary()  # of the last call of `fit`


def layout_of(read: Sequence[Value], optimizer: Optimizer) -> Layout:
    """Return where parameters are, worked out again only if they are others than in the last call."""
    found = _layouts.get(optimizer)
    if found is None or not found.is_of(read, optimizer.parameters):
        found = _layouts[optimizer] = Layout(read, optimizer.parameters)
    return found


class Training:
    """What the compiled loop of `fit` works on: parameters, and an optimiser with its state.

    Attributes:
        parameters: those that are read; an optimiser may have others.
        numbers: what they are now.
        own: in how many blocks the optimiser's step has them.
        blocks: how many blocks it has, with those of other parameters.
    """

    def __init__(self, course: Course, parameters: Sequence[Value]) -> None:
        self.optimizer, self.schedule = course.optimizer, course.schedule
        self.parameters = parameters
        optimizer = course.optimizer
        self._layout = layout = layout_of(parameters, optimizer)
        self._changed = changed = [p.requires_grad for p in layout.trained]
        masked = not (all(changed) and layout.covers)
        self.update = update = compiled(optimizer, masked)
        data = layout.read()
        self.numbers = Memory(pitch(len(parameters)))
        self.numbers.view[: len(data)] = data
        self.scalars = Memory(update.scalars)
        for number, x in update.constants.items():
            self.scalars.data[number] = x
        self.scalars.data[0], self.scalars.data[1] = optimizer.lr, float(optimizer.steps)
        self.own = -(-len(parameters) // update.lanes)
        self.blocks = -(-layout.end // update.lanes)
        self.samples = Memory(self.blocks * update.block + update.outputs * update.lanes)
        before = array("d", bytes(WORD * self.blocks * update.lanes))
        before[: len(data)], before[layout.begin : layout.end] = data, layout.others()
        self._write(0, before)
        slots = {optimizer.state_names[k]: k for k in update.kept}
        kept = kept_by(optimizer, layout, [*slots]).arrays if slots else {}
        for slot, k in slots.items():
            layout.put(kept[slot], before)
            self._write(2 + k, before)
        if masked:
            before = array("d", bytes(WORD * len(before)))  # 0 for a parameter that the optimiser does not have
            layout.put(array("d", changed), before)
            self._write(update.numbers - 1, before)

    def _write(self, k: int, numbers: array[float]) -> None:
        """Write numbers of all parameters, by their places, as the k-th ones of the optimiser's blocks."""
        for lane, column in enumerate(self._lanes(k)):
            column[:] = memoryview(numbers)[lane :: self.update.lanes]

    def _read(self, k: int) -> array[float]:
        """Return the k-th numbers of the optimiser's parameters."""
        numbers = array("d", bytes(WORD * self.blocks * self.update.lanes))
        for lane, column in enumerate(self._lanes(k)):
            memoryview(numbers)[lane :: self.update.lanes] = column
        return self._layout.of(numbers)

    def _lanes(self, k: int) -> Iterator[memoryview[float]]:
        """Yield the k-th numbers in each lane, block by block."""
        lanes, block = self.update.lanes, self.update.block
        for first in range(k * lanes, (k + 1) * lanes):
            yield self.samples.view[first : first + (self.blocks - 1) * block + 1 : block]

    @property
    def _optimizer_at(self) -> tuple[int, ...]:
        """What an optimiser's step works on, see `Drivers.update`."""
        return self.update.header, self.scalars.address, self.samples.address, self.own, self.blocks

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

        def do(steps: int, rates: array[float] | None) -> None:
            driver("fit", fast=fast)(
                address(order), address(words), address(starts), len(starts), first, steps, losses.address,
                None if rates is None else address(rates), self.numbers.address, gradients.address,
                len(self.parameters), *self._optimizer_at,
            )  # fmt: skip

        if self.schedule is None:
            do(steps, None)
            return
        rates, taken = array("d"), int(self.scalars.data[1])
        try:
            for step in range(taken, taken + steps):
                rates.append(_rate(self.schedule, step))
        finally:  # where the schedule fails, a loop of steps has taken those before
            if rates:
                do(len(rates), rates)

    def step(self, gradients: int) -> None:
        """Take the optimiser's step with gradients at an address.

        Raises:
            ValueError, TypeError: as for `run`.
        """
        lr, steps = self.scalars.data[:2]
        rate = array("d", [lr if self.schedule is None else _rate(self.schedule, int(steps))])
        header, *rest = self._optimizer_at
        driver("update")(header, self.numbers.address, gradients, address(rate), *rest)

    def write_back(self) -> None:
        """Give parameters, gradients and the optimiser what they have become: all of it, or nothing."""
        optimizer = self.optimizer
        steps = int(self.scalars.data[1])  # counted there, since Ctrl-C may come just before a line of Python
        if steps == optimizer.steps:
            return
        layout, every = self._layout, all(self._changed)

        def of_trained(of_all: Sequence[T]) -> Sequence[T]:
            return of_all if every else [*compress(of_all, self._changed)]

        arrays = {optimizer.state_names[k]: self._read(2 + k) for k in self.update.kept}
        changes: list[Iterable[object]] = [
            map(setattr, of_trained(layout.trained), repeat("_data"), of_trained(self._read(0))),
            map(setattr, [context], ["data_changed"], [True]),
            map(setattr, () if every else optimizer.parameters, repeat("grad"), repeat(0.0)),
            map(setattr, of_trained(layout.trained), repeat("grad"), of_trained(self._read(1))),
            map(setattr, [optimizer], ["steps"], [steps]),
        ]
        if callable(optimizer.lazy_state):
            if arrays:
                kept = Kept(layout, kept_by(optimizer, layout, ()).arrays | arrays)
                changes.append(map(setattr, [optimizer], ["lazy_state"], [kept]))
        else:  # somebody may hold the state
            states = of_trained([optimizer.lazy_state[k] for k in layout.order])
            changes += [
                map(dict.__setitem__, states, repeat(slot), of_trained(numbers)) for slot, numbers in arrays.items()
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
