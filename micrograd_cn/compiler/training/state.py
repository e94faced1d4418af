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
from ..data.parameters import CachedData
from ..data.rows import address
from ..llvm.machine import Memory
from ..loops.places import WORD
from ..runtime.executable import Buffers, CompiledGraph, Executable, driver, padded_count
from .epochs import TrainingOptions
from .update import compiled_update

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


class GradientRunner:
    """A program whose gradients are computed again and again, by better code when that is worth it.

    Attributes:
        executable: the code.
        memories: of each thread.
    """

    def __init__(self, compiled: CompiledGraph, rows: int, threads: int) -> None:
        self.compiled, self.executable = compiled, compiled.select_tier("gradient", rows)
        self.thread_buffers = [self.executable.acquire() for _ in range(threads)]

    def upgrade(self, taken: float, left: float) -> None:
        """Go on with native code if the seconds that it has run, or those that are left, are worth it."""
        self.executable.seconds += taken
        seconds = max(self.executable.seconds, left)
        if left:
            self.compiled.upgrade_kernels(self.executable, seconds)
        if left and self.compiled.should_compile(self.executable, seconds):
            worse, thread_buffers = self.executable, self.thread_buffers
            better = self.compiled.native_gradient(worse)
            self.executable, self.thread_buffers = better, [better.acquire() for _ in thread_buffers]
            _release_all(worse, thread_buffers)  # after that, since Ctrl-C may come between two lines

    def release(self) -> None:
        """Give the memory back."""
        _release_all(self.executable, self.thread_buffers)


def _release_all(executable: Executable, thread_buffers: Sequence[Buffers]) -> None:
    for buffers in thread_buffers:
        executable.release(buffers)


def check_trainable(optimizer: Optimizer, compiled: CompiledGraph) -> None:
    """Raise ValueError if a parameter that is to be trained was a constant when a program was made, or captured."""
    check_captured(optimizer.parameters, compiled.captured)
    constants = compiled.graph.constants
    for i, p in enumerate(optimizer.parameters if constants else ()):
        if p.requires_grad and p in constants:
            raise ValueError(
                f"fit(): parameters[{i}] of the optimizer, {p!r}, is a constant of the program, since it required no "
                "gradient when the program was made; compile anew"
            )


class ParameterLayout:
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

    def __init__(self, read: Sequence[Value], optimized: Sequence[Value]) -> None:
        self._read_parameters, self.optimized = read, [*optimized]
        place = {p: i for i, p in enumerate(read)}
        others = [p for p in optimized if p not in place]
        self.read_data, self.unread_data = CachedData(read), CachedData(others)
        self.unread_begin = padded_count(len(read))
        self.unread_end = self.unread_begin + len(others)
        place |= {p: i for i, p in enumerate(others, self.unread_begin)}
        self.order = sorted(range(len(optimized)), key=lambda k: place[optimized[k]])
        self.trained = [optimized[k] for k in self.order]
        self.places = [place[p] for p in self.trained]
        first, count = self.places[0], len(self.places)
        self._slice = slice(first, first + count) if self.places == [*range(first, first + count)] else None
        self.optimized_set = frozenset(optimized)
        self.trains_all_read = self.optimized_set.issuperset(read)

    def scatter(self, numbers: array[float], to: array[float]) -> None:
        """Write a number of each parameter that is trained to its place."""
        if self._slice:
            to[self._slice] = numbers
        else:
            for place, x in zip(self.places, numbers, strict=True):
                to[place] = x

    def gather(self, numbers: array[float]) -> array[float]:
        """Return the numbers of the parameters that are trained."""
        return numbers[self._slice] if self._slice else array("d", [numbers[place] for place in self.places])

    def matches(self, read: Sequence[Value], optimized: Sequence[Value]) -> bool:
        """Return whether it is that of such parameters."""
        return (
            self._read_parameters == read and self.optimized == optimized
        )  # quick, since a node is equal to itself alone


class PackedState:
    """What an optimiser keeps of its parameters, an array of each slot; a call makes its `state` of it.

    Attributes:
        layout: in whose order the numbers are.
        arrays: the numbers by slot.
    """

    def __init__(self, layout: ParameterLayout, arrays: dict[str, array[float]]) -> None:
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


def packed_state(optimizer: Optimizer, layout: ParameterLayout, slots: Sequence[str]) -> PackedState:
    """Return what an optimiser keeps, these slots of it, or all if nobody has asked for its state."""
    kept = optimizer.lazy_state
    if isinstance(kept, PackedState) and kept.layout is layout:
        return kept
    states, slots = (kept(), optimizer.state_names) if callable(kept) else (kept, slots)
    optimizer.check_parameter_count(len(states))
    found = PackedState(layout, {slot: array("d", [states[k][slot] for k in layout.order]) for slot in slots})
    if callable(kept):
        optimizer.lazy_state = found  # the same numbers, in the order in which they are wanted
    return found


_layouts: WeakKeyDictionary[Optimizer, ParameterLayout] = WeakKeyDictionary()  # of the last call of `fit`


def parameter_layout(read: Sequence[Value], optimizer: Optimizer) -> ParameterLayout:
    """Return where parameters are, worked out again only if they are others than in the last call."""
    found = _layouts.get(optimizer)
    if found is None or not found.matches(read, optimizer.parameters):
        found = _layouts[optimizer] = ParameterLayout(read, optimizer.parameters)
    return found


class TrainingState:
    """What the compiled loop of `fit` works on: parameters, and an optimiser with its state.

    Attributes:
        parameters: those that are read; an optimiser may have others.
        numbers: what they are now.
        own: in how many blocks the optimiser's step has them.
        blocks: how many blocks it has, with those of other parameters.
    """

    def __init__(self, options: TrainingOptions, parameters: Sequence[Value]) -> None:
        self.optimizer, self.schedule = options.optimizer, options.schedule
        self.parameters = parameters
        optimizer = options.optimizer
        self._layout = layout = parameter_layout(parameters, optimizer)
        self._trainable = trainable = [p.requires_grad for p in layout.trained]
        masked = not (all(trainable) and layout.trains_all_read)
        self.update = update = compiled_update(optimizer, masked)
        data = layout.read_data()
        self.parameter_data = Memory(padded_count(len(parameters)))
        self.parameter_data.view[: len(data)] = data
        self.scalars = Memory(update.scalars)
        for number, x in update.constants.items():
            self.scalars.data[number] = x
        self.scalars.data[0], self.scalars.data[1] = optimizer.lr, float(optimizer.steps)
        self.read_blocks = -(-len(parameters) // update.lanes)
        self.blocks = -(-layout.unread_end // update.lanes)
        self.panel = Memory(self.blocks * update.block + update.outputs * update.lanes)
        before = array("d", bytes(WORD * self.blocks * update.lanes))
        before[: len(data)], before[layout.unread_begin : layout.unread_end] = data, layout.unread_data()
        self._write_column(0, before)
        slots = {optimizer.state_names[k]: k for k in update.used_slots}
        kept = packed_state(optimizer, layout, [*slots]).arrays if slots else {}
        for slot, k in slots.items():
            layout.scatter(kept[slot], before)
            self._write_column(2 + k, before)
        if masked:
            before = array("d", bytes(WORD * len(before)))  # 0 for a parameter that the optimiser does not have
            layout.scatter(array("d", trainable), before)
            self._write_column(update.columns - 1, before)

    def _write_column(self, k: int, numbers: array[float]) -> None:
        """Write numbers of all parameters, by their places, as the k-th ones of the optimiser's blocks."""
        for lane, column in enumerate(self._column_lanes(k)):
            column[:] = memoryview(numbers)[lane :: self.update.lanes]

    def _read_column(self, k: int) -> array[float]:
        """Return the k-th numbers of the optimiser's parameters."""
        numbers = array("d", bytes(WORD * self.blocks * self.update.lanes))
        for lane, column in enumerate(self._column_lanes(k)):
            memoryview(numbers)[lane :: self.update.lanes] = column
        return self._layout.gather(numbers)

    def _column_lanes(self, k: int) -> Iterator[memoryview[float]]:
        """Yield the k-th numbers in each lane, block by block."""
        lanes, block = self.update.lanes, self.update.block
        for first in range(k * lanes, (k + 1) * lanes):
            yield self.panel.view[first : first + (self.blocks - 1) * block + 1 : block]

    @property
    def _update_arguments(self) -> tuple[int, ...]:
        """What an optimiser's step works on, see `Drivers.update`."""
        return self.update.header, self.scalars.address, self.panel.address, self.read_blocks, self.blocks

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
                None if rates is None else address(rates), self.parameter_data.address, gradients.address,
                len(self.parameters), *self._update_arguments,
            )  # fmt: skip

        if self.schedule is None:
            do(steps, None)
            return
        rates, taken = array("d"), int(self.scalars.data[1])
        try:
            for step in range(taken, taken + steps):
                rates.append(_learning_rate(self.schedule, step))
        finally:  # where the schedule fails, a loop of steps has taken those before
            if rates:
                do(len(rates), rates)

    def step(self, gradients: int) -> None:
        """Take the optimiser's step with gradients at an address.

        Raises:
            ValueError, TypeError: as for `run`.
        """
        lr, steps = self.scalars.data[:2]
        rate = array("d", [lr if self.schedule is None else _learning_rate(self.schedule, int(steps))])
        header, *rest = self._update_arguments
        driver("update")(header, self.parameter_data.address, gradients, address(rate), *rest)

    def write_back(self) -> None:
        """Give parameters, gradients and the optimiser what they have become: all of it, or nothing."""
        optimizer = self.optimizer
        steps = int(self.scalars.data[1])  # counted there, since Ctrl-C may come just before a line of Python
        if steps == optimizer.steps:
            return
        layout, every = self._layout, all(self._trainable)

        def of_trained(of_all: Sequence[T]) -> Sequence[T]:
            return of_all if every else [*compress(of_all, self._trainable)]

        arrays = {optimizer.state_names[k]: self._read_column(2 + k) for k in self.update.used_slots}
        changes: list[Iterable[object]] = [
            map(setattr, of_trained(layout.trained), repeat("_data"), of_trained(self._read_column(0))),
            map(setattr, [context], ["data_changed"], [True]),
            map(setattr, () if every else optimizer.parameters, repeat("grad"), repeat(0.0)),
            map(setattr, of_trained(layout.trained), repeat("grad"), of_trained(self._read_column(1))),
            map(setattr, [optimizer], ["steps"], [steps]),
        ]
        if callable(optimizer.lazy_state):
            if arrays:
                kept = PackedState(layout, packed_state(optimizer, layout, ()).arrays | arrays)
                changes.append(map(setattr, [optimizer], ["lazy_state"], [kept]))
        else:  # somebody may hold the state
            states = of_trained([optimizer.lazy_state[k] for k in layout.order])
            changes += [
                map(dict.__setitem__, states, repeat(slot), of_trained(numbers)) for slot, numbers in arrays.items()
            ]
        if self.schedule is not None:
            changes.append(map(setattr, [optimizer], ["lr"], [self.scalars.data[0]]))
        deque(chain.from_iterable(changes), maxlen=0)  # one call of C's: there is no Ctrl-C in the middle


def _learning_rate(schedule: Callable[[int], float], step: int) -> float:
    """Return the learning rate of a step."""
    rate = schedule(step)
    try:
        return at_least_0("the learning rate", rate)
    except (TypeError, ValueError) as error:
        raise type(error)(f"fit(): step {step} of the schedule {schedule!r}: {error}") from None
