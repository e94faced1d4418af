"""The memory that the compiled loop of `fit` works on.

Parameters and the optimiser's state are copied into this memory before the loop, and back to Python's objects after it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import chain, compress, repeat
from math import isfinite
from operator import add, attrgetter, not_
from typing import Any, NamedTuple, TypeVar
from weakref import ref

from ...engine import Value
from ...graph import context
from ...graph.callers import warn_at_user
from ...graph.interrupts import at_once
from ...graph.node import assign_data
from ...optim import Optimizer
from ...optim.by_optimizer import ByOptimizer
from ...optim.optimizer import States, at_least_0, common_state, copy_states, warn_of_functions, warn_of_replaced
from ..data.captured import check_captured, describe
from ..data.columns import address
from ..data.nodes import some_frozen, uses_machine_code, write_by_machine_code
from ..data.parameters import CachedData, data_version, new_version
from ..data.partition import gather_rows, machine_code_is_ready, scatter_rows
from ..llvm.machine import Memory
from ..loops.places import WORD
from ..runtime.drivers import BLOCKS_PER_UPDATE
from ..runtime.executable import CompiledGraph, Executable, driver, padded_count
from ..threads.forks import cached_property
from .epochs import TrainingOptions, call
from .update import (
    OPTIMIZER_METHODS,
    CompiledUpdate,
    compiled_update,
    names_of_options,
    options_in_use,
    snapshot_of_options,
)

T = TypeVar("T")
_requires_grad = attrgetter("requires_grad")
# The memory for norms if no gradients are clipped. It is never written to: the norm of the last step stays 0
NO_NORMS = Memory(2)
MAX_KEPT_NUMBERS = 1_000_000  # memory for more numbers is not kept: to make it takes little of the time of a step


class Batches(NamedTuple):
    """The batches of an epoch, described by integers that the compiled loop reads; see the driver `Drivers.fit`.

    Attributes:
        order: the indices of the rows, one batch after the other.
        words: the descriptions of the batches, one after the other.
        starts: for each batch, the index in `words` at which its description begins; -1 if it is not described yet.
    """

    order: array[int]
    words: array[int]
    starts: array[int]


@dataclass
class AskedRates:
    """The learning rates that a schedule has returned for steps that were not taken yet.

    The compiled loop may end before some of these steps, because another program has to compute their gradients. The
    schedule is not called again for such steps: it may count its calls, or raise an error in the first call only.

    Attributes:
        rates: the learning rates of the next steps.
        failure: the error that the schedule raised for the step that follows these steps, or None.
        check_each: the function `check_all` if it is called after each call of the schedule, too, and otherwise None.
        check_all: a function that is called after the calls of the schedule. It raises an error if these calls have
            changed something that the compiled function reads, so the programs no longer compute what the function
            does. Otherwise, it returns whether the programs have to be chosen anew.
    """

    rates: array[float] = field(default_factory=lambda: array("d"))
    failure: BaseException | None = None
    check_each: Callable[[], bool] | None = None
    check_all: Callable[[], bool] = lambda: False

    def ask(
        self, schedule: Callable[[int], float], done: int, steps: int, check_constants: Callable[[], object]
    ) -> array[float] | None:
        """Return the learning rates of the next steps. Call the schedule for those that it has not returned before.

        If the schedule raises an error, the error becomes `failure`, and only the rates of the steps before are
        returned: these steps are still taken, as in a loop in Python. If the programs have to be chosen anew first,
        None is returned, and the next call returns the rates.

        Args:
            schedule: the schedule.
            done: how many steps were taken, which is the index of the next step.
            steps: how many rates are needed.
            check_constants: a function that raises an error if constants of the programs have other data now.
        """
        rates = self.rates[:steps]
        if self.failure is not None or len(rates) == steps:
            return rates
        changed, check_each = False, self.check_each
        try:
            for step in range(done + len(rates), done + steps):
                rate = _learning_rate(schedule, step)
                if context.data_changed:
                    check_constants()
                if check_each:
                    changed |= check_each()
                rates.append(rate)
        except BaseException as error:
            self.failure = error
        else:
            changed |= self.check_all()
        if changed:
            self.rates[: len(rates)] = rates
            return None
        return rates


def check_trainable(optimizer: Optimizer, compiled: CompiledGraph) -> None:
    """Raise ValueError if a parameter of the optimiser cannot be trained by a program.

    A parameter cannot be trained if it was a constant when the program was made. Nor can it be trained if the program
    uses a value that was computed from the parameter before the program was recorded. It is also an error if a constant
    of the program has other data now.
    """
    check_captured(optimizer.parameters, compiled.captured)
    compiled.data.check_constants()
    unfrozen = {*filter(_requires_grad, chain(compiled.graph.constants, compiled.data.watched_nodes))}
    for i, p in enumerate(optimizer.parameters if unfrozen else ()):
        if p in unfrozen:
            raise ValueError(
                f"fit(): parameters[{i}] of the optimizer, {p!r}, is a constant of the program, since it required no "
                "gradient when the program was made; compile anew, or freeze it only after the program is made"
            )


def undo_of_steps(optimizer: Optimizer) -> Callable[[], None]:
    """Return a function that undoes all steps that `optimizer` takes after this call."""
    parameters, data = [*optimizer.parameters], [p._data for p in optimizer.parameters]
    steps, skipped, state = optimizer.steps, dict(optimizer.skipped), optimizer.lazy_state
    states = state if callable(state) else copy_states(state)

    def undo() -> None:
        assign_data(parameters, data)
        vars(optimizer).update(steps=steps, skipped=skipped, lazy_state=states)

    return undo


class ParameterLayout:
    """The place of each parameter, which is its index in the arrays that the compiled loop works on.

    The parameters that the programs read come first, in the order of `read`. The parameters that only the optimiser has
    follow, from `unread_begin` on.

    Args:
        read: the parameters that the programs read.
        optimized: the optimiser's parameters.

    Attributes:
        read_data: a function that returns the data of the parameters that the programs read.
        unread_data: a function that returns the data of the parameters that only the optimiser has.
        unread_begin, unread_end: the first place of parameters that only the optimiser has, and the place after the
            last one.
        optimized: the optimiser's parameters, in the optimiser's order.
        optimized_set: the set of the optimiser's parameters.
        order: the indices of the parameters in `optimized`, sorted by the places of the parameters.
        trained: the optimiser's parameters, sorted by place.
        places: the places of the parameters in `trained`.
        trains_all_read: whether the optimiser has all parameters that the programs read.
        trains_none_read: whether the programs read parameters, but none that the optimiser has.
        unused: a list with the `TrainingMemory` of the last training. It is empty if there is none, or if a training
            uses it now.
    """

    def __init__(self, read: Sequence[Value], optimized: Sequence[Value]) -> None:
        self._read_parameters, self.optimized = read, [*optimized]
        place = {p: i for i, p in enumerate(read)}
        others = [p for p in optimized if p not in place]
        self.read_data, self.unread_data = CachedData(read), CachedData(others)
        self.unread_begin = padded_count(len(read))
        self.unread_end = self.unread_begin + len(others)
        place |= {p: i for i, p in enumerate(others, self.unread_begin)}
        places = [*map(place.__getitem__, optimized)]
        self.order = sorted(range(len(places)), key=places.__getitem__)
        self.trained = [*map(optimized.__getitem__, self.order)]
        self.places = sorted(places)
        first, count = self.places[0], len(self.places)
        self._slice = slice(first, first + count) if self.places == [*range(first, first + count)] else None
        self.optimized_set = frozenset(optimized)
        self.trains_all_read = self.optimized_set.issuperset(read)
        self.trains_none_read = bool(read) and self.optimized_set.isdisjoint(read)
        self.unused: list[TrainingMemory] = []

    def scatter(self, numbers: array[float], to: array[float]) -> None:
        """Write `numbers`, which has a number for each parameter in `trained`, to these parameters' places in `to`."""
        if self._slice:
            to[self._slice] = numbers
        else:
            for place, x in zip(self.places, numbers, strict=True):
                to[place] = x

    def gather(self, numbers: array[float]) -> array[float]:
        """Return the entries of `numbers` at the places of the parameters in `trained`; the inverse of `scatter`."""
        return numbers[self._slice] if self._slice else array("d", [numbers[place] for place in self.places])

    def memory_for(self, update: CompiledUpdate) -> TrainingMemory:
        """Return memory for a training with a compiled update. No other training uses it until it is released."""
        try:
            memory = self.unused.pop()  # one call into C, so no two threads get the same memory
        except IndexError:
            return TrainingMemory(self, update)
        return memory if memory.update is update else TrainingMemory(self, update)

    @cached_property
    def optimized_mask(self) -> bytes:
        """A byte for each parameter that the programs read: 1 if the optimiser has it, and otherwise 0."""
        return bytes(map(self.optimized_set.__contains__, self._read_parameters))

    def matches(self, read: Sequence[Value], optimized: Sequence[Value]) -> bool:
        """Return whether this layout was made for the parameters `read` and `optimized`, in the same order."""
        return self._read_parameters == read and self.optimized == optimized  # fast: nodes are compared by identity


class StateInArrays(ABC):
    """An optimiser's state as arrays, one for each of the optimiser's `state_names`, such as a momentum buffer.

    An object of this class can be an optimiser's `lazy_state`, which is called when the state is first read. The call
    returns the state as dicts.

    Args:
        order: for each number of an array, the index of its parameter among the optimiser's parameters.
    """

    def __init__(self, order: Sequence[int]) -> None:
        self._order = order

    @property
    @abstractmethod
    def arrays(self) -> dict[str, array[float]]:
        """A dict from all state names to arrays, which have a number for each of the optimiser's parameters."""

    def __call__(self) -> States:
        """Return a list of dicts with the state of each of the optimiser's parameters, in the optimiser's order."""
        states: States = [{} for _ in self._order]
        for name, numbers in self.arrays.items():
            for k, x in zip(self._order, numbers, strict=True):
                states[k][name] = x
        return states

    def __reduce__(self) -> Any:
        """Make a copy or a pickle of this object hold only the state, as dicts, and no memory of the compiled loop."""
        return partial, (copy_states, self())


class PackedState(StateInArrays):
    """The state of an optimiser after a call of `fit`.

    Attributes:
        layout: as in the arguments.

    Args:
        layout: the places of the parameters. Its attribute `trained` says which parameter each number of an array
            belongs to.
        arrays: a dict from state names to arrays, which have a number for each parameter of `layout.trained`.
        read_others: a function that returns such a dict for the other state names; None if there are none. It is called
            when somebody asks for the arrays.
    """

    def __init__(
        self,
        layout: ParameterLayout,
        arrays: dict[str, array[float]],
        read_others: Callable[[], dict[str, array[float]]] | None = None,
    ) -> None:
        super().__init__(layout.order)
        self.layout, self._arrays, self._read_others = layout, arrays, read_others

    @property
    def arrays(self) -> dict[str, array[float]]:
        """A dict from all state names to arrays, which have a number for each parameter of `layout.trained`."""
        if read := self._read_others:
            self._arrays = read() | self._arrays
            self._read_others = None  # last, since another thread may ask meanwhile
        return self._arrays

    def arrays_of(self, names: Iterable[str]) -> dict[str, array[float]]:
        """Return a dict with the arrays for some state names; call `read_others` only if it is needed for them."""
        known = self._arrays
        names = [*names]
        if not all(name in known for name in names):
            known = self.arrays
        return {name: known[name] for name in names}

    def in_order_of(self, parameters: Sequence[Value]) -> dict[str, array[float]] | None:
        """Return the arrays in the order of `parameters`; None unless these are `layout.optimized`, in this order."""
        if self.layout.optimized != parameters:
            return None
        place = {k: i for i, k in enumerate(self.layout.order)}
        order = [place[k] for k in range(len(place))]
        return {name: array("d", [numbers[i] for i in order]) for name, numbers in self.arrays.items()}


def packed_state(optimizer: Optimizer, layout: ParameterLayout, names: Sequence[str]) -> PackedState:
    """Return an optimiser's state as arrays.

    Until `optimizer.state` is read, the optimiser keeps its state packed: the arrays that are returned also become its
    `lazy_state`. Once `optimizer.state` has been read, the optimiser keeps dicts, and the arrays are a copy.

    Args:
        optimizer: the optimiser whose state is returned.
        layout: the places of the optimiser's parameters. The arrays are in the order of its attribute `trained`.
        names: the state names to copy from the dicts. They are ignored as long as `optimizer.state` has not been read:
            there is then an array for each of `optimizer.state_names`.
    """
    state = optimizer.lazy_state
    if isinstance(state, PackedState) and state.layout is layout:
        return state
    if common := common_state(optimizer):
        arrays = {name: array("d", [common[name]]) * len(layout.order) for name in optimizer.state_names}
    else:
        states, names = (state(), optimizer.state_names) if callable(state) else (state, names)
        optimizer.check_parameter_count(len(states))
        arrays = {name: array("d", [states[k][name] for k in layout.order]) for name in names}
    packed = PackedState(layout, arrays)
    if callable(state):
        optimizer.lazy_state = packed  # the same numbers, in the order that the next call of `fit` needs
    return packed


# For each optimiser, the layout of its last `fit`
_layouts: ByOptimizer[ParameterLayout] = ByOptimizer()


def parameter_layout(read: Sequence[Value], optimizer: Optimizer, known: list[ParameterLayout]) -> ParameterLayout:
    """Return the `ParameterLayout` of `read`, the parameters that programs read, and of the optimiser's parameters.

    If the last layout that was made for this optimiser or these programs has the same parameters, it is returned again.

    Args:
        read: the parameters that the programs read.
        optimizer: the optimiser.
        known: a list that the programs keep for the last layout. A layout with parameters that the programs do not read
            is not put into it, since it would keep these alive.
    """
    found = _layouts.get(optimizer)
    if found is None or not found.matches(read, optimizer.parameters):
        for found in known[:1]:
            if found.matches(read, optimizer.parameters):
                break
        else:
            found = ParameterLayout(read, optimizer.parameters)
        _layouts[optimizer] = found
    if found.unread_end == found.unread_begin:
        known[:] = [found]
    return found


class Copied:
    """The data, options and state that a `TrainingState` has copied, and that training does not read again.

    If a function that runs between two steps, such as a schedule, changes the original, this has no effect on training.
    The method `check` raises an error then.

    Args:
        options: how to train.
        layout: the places of the parameters in the arrays of the compiled loop.
        states: the arrays with those numbers of the optimiser's state that the update uses.
    """

    def __init__(self, options: TrainingOptions, layout: ParameterLayout, states: dict[str, array[float]]) -> None:
        self._options, self._layout, self._states = options, layout, states
        self._has_schedule = options.schedule is not None
        self._names = names_of_options(options.optimizer)
        self._trainable, self._data, self._optimizer = self._flags(), self._numbers(), self._attributes()
        self._snapshot = snapshot_of_options(options.optimizer)

    def _flags(self) -> list[bool]:
        trained = self._layout.trained
        return [*map(_requires_grad, trained)] if some_frozen(trained) else []

    def _numbers(self) -> tuple[array[float], ...]:
        return self._layout.read_data(), self._layout.unread_data()

    def _attributes(self) -> dict[str, Any]:
        optimizer = self._options.optimizer
        found = {name: getattr(optimizer, name, None) for name in self._names}
        for name in OPTIMIZER_METHODS:  # an object may have a method of its own, which hides the method of its class
            found[name] = vars(optimizer).get(name)
        if self._has_schedule:  # the schedule sets the learning rate
            found.pop("lr", None)
        found["steps"] = optimizer.steps
        return found

    def check(self) -> None:
        """Raise ValueError if the data, an option or the state of the optimiser has changed since it was copied."""
        if changed := self._changed():
            names = " or ".join(self._options.called_between_steps)
            raise ValueError(
                f"fit(): {names} has changed {changed}, which fit does not read again between steps; change it in a "
                "function that you pass as callback="
            )

    def _changed(self) -> str:
        optimizer, layout = self._options.optimizer, self._layout
        if optimizer.parameters != layout.optimized:
            return "the parameters of the optimizer"
        if (flags := self._flags()) != self._trainable:
            every = [True] * len(layout.trained)  # for speed, `_flags` returns an empty list instead of this one
            pairs = zip(layout.trained, flags or every, self._trainable or every, strict=True)
            return f"requires_grad of {describe(next(p for p, now, before in pairs if now is not before))}"
        for now, before in zip(self._numbers(), self._data, strict=True):
            if now is not before and now.tobytes() != before.tobytes():
                return "the data of a parameter"
        for name, x in self._attributes().items():
            if x is not (y := self._optimizer[name]) and repr(x) != repr(y):
                return f"{name} of the optimizer"
        if self._snapshot and self._snapshot.may_have_changed():
            return f"something that the update of {type(optimizer).__name__} reads"
        if self._states:
            for name, numbers in packed_state(optimizer, layout, [*self._states]).arrays.items():
                known = self._states.get(name, numbers)
                if numbers is not known and numbers.tobytes() != known.tobytes():
                    return f"{name} in the state of the optimizer"
        return ""


class ParameterBlocks:
    """The blocks of memory that a compiled update works on.

    A block holds as many parameters as a vector has lanes, one in each lane. A column of a block has one number for
    each parameter in the block, such as its gradient.

    Args:
        update: the executable of a `CompiledUpdate`.
        lanes: how many lanes are needed at least. A caller may leave some lanes without a parameter: in a
            `ParameterLayout`, there may be such lanes between the parameters that the programs read and the others.

    Attributes:
        count: how many blocks there are.
        memory: the memory of the blocks, followed by memory for the new values that the update computes for one block,
            and by memory for copies of some blocks, which the driver `update_touched` needs.
    """

    def __init__(self, update: Executable, lanes: int) -> None:
        self._update = update
        self.count: int = -(-lanes // update.lanes)
        self.memory = Memory((self.count + BLOCKS_PER_UPDATE) * update.block + update.outputs * update.lanes)

    @property
    def places(self) -> int:
        """How many parameters have room in the blocks: the number of blocks times the lanes of each."""
        return int(self.count * self._update.lanes)

    def write_column(self, k: int, numbers: array[float]) -> None:
        """Write `numbers` to column k. They have one number for each lane of all blocks, one block after the other."""
        view, lanes, block = self.memory.view, self._update.lanes, self._update.block
        if machine_code_is_ready(self.places):
            scatter_rows(view, numbers, _column_rows(lanes, block, self.count, k), lanes)
            return
        source = memoryview(numbers)
        for inside, outside in _column_parts(lanes, block, self.count, k):
            view[inside] = source[outside]

    def copied(self) -> array[float]:
        """Return a copy of the blocks.

        All numbers in it are those after one and the same step, even if another thread takes steps meanwhile.
        """
        found = array("d")
        found.frombytes(self.memory.view[: self.count * self._update.block].cast("B"))  # one call into C
        return found

    def read_columns(self, columns: Iterable[int], copied: array[float]) -> list[array[float]]:
        """Return an array for each of some columns, with its numbers. `copied` is a copy of the memory."""
        return _columns_in(copied, columns, self._update.lanes, self._update.block, self.count)

    def state_in(
        self, copied: array[float], columns: dict[str, int], layout: ParameterLayout
    ) -> Callable[[], dict[str, array[float]]]:
        """Return a function that returns arrays of the optimiser's state, for the parameters in `layout.trained`.

        `copied` is a copy of the memory of the blocks, from which the function reads the state. `columns` is a dict
        from state names to the indices of their columns. The function does not keep the memory itself alive.
        """
        places = self._update.lanes, self._update.block, self.count

        def read() -> dict[str, array[float]]:
            numbers = map(layout.gather, _columns_in(copied, columns.values(), *places))
            return dict(zip(columns, numbers, strict=True))

        return read


def _columns_in(copied: array[float], columns: Iterable[int], lanes: int, block: int, count: int) -> list[array[float]]:
    """Return the numbers in some columns of a copy of the memory of `ParameterBlocks`.

    There are `count` blocks. A block has `block` doubles, and a column of it has `lanes` numbers.
    """
    if count == 1:
        return [copied[k * lanes : (k + 1) * lanes] for k in columns]
    if machine_code_is_ready(count * lanes):
        return [gather_rows(copied, _column_rows(lanes, block, count, k), lanes) for k in columns]
    found = []
    for k in columns:
        numbers = array("d", bytes(WORD * count * lanes))
        for inside, outside in _column_parts(lanes, block, count, k):
            numbers[outside] = copied[inside]  # arrays are copied faster than memoryviews
        found.append(numbers)
    return found


@lru_cache(maxsize=16)  # for a million parameters, each result takes a megabyte
def _column_rows(lanes: int, block: int, count: int, k: int) -> array[int]:
    """Return where column `k` of `ParameterBlocks` is in their memory, as indices of groups of `lanes` doubles.

    A column has one such group in each of the `count` blocks. `block` is the number of doubles in a block.
    """
    rows = block // lanes
    return array("q", range(k, count * rows, rows))


@lru_cache(maxsize=256)
def _column_parts(lanes: int, block: int, count: int, k: int) -> list[tuple[slice, slice]]:
    """Return pairs of slices by which column `k` of `ParameterBlocks` is copied, to or from an array with its numbers.

    The first slice of a pair is one of the memory of the blocks, and the second is one of the array. There is a pair
    for each of the `lanes` lanes or, if there are fewer blocks than lanes, for each of the `count` blocks. `block` is
    the number of doubles in a block. The result is cached, since to make it takes longer than to copy a few hundred
    numbers.
    """
    if count < lanes:
        firsts = [i * block + k * lanes for i in range(count)]
        return [(slice(x, x + lanes), slice(i * lanes, (i + 1) * lanes)) for i, x in enumerate(firsts)]
    end = (count - 1) * block + 1
    firsts = [k * lanes + lane for lane in range(lanes)]
    return [(slice(x, x + end, block), slice(lane, None, lanes)) for lane, x in enumerate(firsts)]


class TrainingMemory:
    """The arrays that a `TrainingState` works on. After training, they are kept for the next one.

    Args:
        layout: the places of the parameters in these arrays.
        update: the compiled update of the optimiser.

    Attributes:
        update: the compiled update of the optimiser.
        parameter_data: the current data of the parameters that the programs read.
        gradients: memory for a gradient, in which the gradients of several programs are added up.
        scalars: the scalars of the compiled update, which begin with the learning rate and the number of steps taken.
        blocks: the blocks of parameters that the update works on.
        packed: a weak reference to the `PackedState` whose numbers are in the blocks; it returns None if there is none.
            The reference is weak since the `PackedState` refers to the layout, which refers to this object.
        version: the `data_version` whose data are in `parameter_data` and in the blocks; -1 if there is none.
    """

    def __init__(self, layout: ParameterLayout, update: CompiledUpdate) -> None:
        self.update = update
        self.parameter_data, self.gradients = Memory(layout.unread_begin), Memory(layout.unread_begin)
        self.scalars = update.executable.new_scalars()
        self.blocks = ParameterBlocks(update.executable, layout.unread_end)
        self.packed: Callable[[], PackedState | None] = _no_state
        self.version = -1


def _no_state() -> None:
    """Return None. This function stands for a weak reference to a `PackedState` if no `PackedState` is up to date."""


class TrainingState:
    """The data, gradients and optimiser state that the compiled loop works on.

    The columns of its `ParameterBlocks` are: the data, the gradient, the numbers of the state, the number of errors (if
    the update counts them, see `CompiledUpdate`), the number of steps that skipped the parameter (if any parameter was
    skipped), and 0 for each parameter that must not change, and 1 for all others (if not all parameters are trained).

    Args:
        options: how to train.
        parameters: the parameters that the programs read.
        layouts: a list that keeps the last `ParameterLayout`, so it is not made again for the same parameters; see
            `parameter_layout`.
        check_constants: a function that raises an error if constants of the programs have other data now. It is called
            after the schedule, which may change them.
        asked: the learning rates that the schedule has returned for steps that were not taken yet, and the functions
            that are called after the schedule, to check that it has changed nothing that the programs use.

    Attributes:
        parameters: the parameters that the programs read; the optimiser may have others.
        parameter_data: the current data of the parameters in `parameters`.
        gradients: memory in which the gradients of several programs are added up.
        update: the `CompiledUpdate` of the optimiser.
        scalars: the scalars of the compiled update, which begin with the learning rate and the number of steps taken.
        clips: whether gradients are clipped.
    """

    def __init__(
        self,
        options: TrainingOptions,
        parameters: Sequence[Value],
        layouts: list[ParameterLayout],
        check_constants: Callable[[], object],
        asked: AskedRates,
    ) -> None:
        self._check_constants, self._asked = check_constants, asked
        self.optimizer, self.schedule = options.optimizer, options.schedule
        self.parameters = parameters
        optimizer = options.optimizer
        optimizer.match_state()
        rate = optimizer.check_lr()  # it makes a float of the number, which is no change by another thread
        self._version = data_version()  # before the data are read, so a later change is noticed
        self._layout = layout = parameter_layout(parameters, optimizer, layouts)
        trainable = [True] * len(layout.trained)
        if some_frozen(layout.trained):
            trainable = [*map(_requires_grad, layout.trained)]
        self._trainable, self._trains_every = trainable, all(trainable)
        self._trains_all = self._trains_every and layout.trains_all_read
        some_fixed = not self._trains_all
        skipped = [*map(optimizer.skipped.get, layout.order, repeat(0))] if optimizer.skipped else []
        counts_skipped = any(compress(skipped, trainable))
        self.update = update = compiled_update(optimizer, some_fixed, counts_skipped)
        self._memory = memory = layout.memory_for(update)
        self._begun_with = data, unread, *_ = self._seen_by_others()
        self.parameter_data, self.scalars, self.gradients = memory.parameter_data, memory.scalars, memory.gradients
        self.scalars.view[0], self.scalars.view[1] = rate, float(optimizer.steps)
        self._blocks = blocks = memory.blocks
        trained_places = layout.places if self._trains_every else [*compress(layout.places, trainable)]
        lanes = update.executable.lanes
        read_blocks = -(-len(parameters) // lanes)  # those with the parameters that the programs read
        fixed_blocks = trained_places[0] // lanes if trained_places else 0  # those before the first trained parameter
        # The operands of the driver `Drivers.update` that are the same in all steps
        self._update_operands = (
            update.executable.header, self.scalars.address, blocks.memory.address, fixed_blocks, read_blocks,
            blocks.count,
        )  # fmt: skip
        if memory.version != self._version:
            self._copy_data(data, unread)
        memory.version = -1  # steps change the numbers in the blocks
        packed = self._fill_columns(skipped if counts_skipped else [], some_fixed)
        self._options = options
        self._copied = None
        if options.called_between_steps:
            self._copied = Copied(options, layout, packed.arrays if packed else {})
        self._options_in_use = None  # what the memory depends on, if `can_resume` can compare all of it
        if not (self._copied or some_fixed or optimizer.skipped):
            self._options_in_use = options_in_use(optimizer)
        # The operands of the driver `Drivers.clip` beside the gradients: indices of gradients, their count, and norms
        self.clips, self._norms, self._clip_operands = False, NO_NORMS, (0, 0, NO_NORMS.address)
        if options.clip_grad_norm is not None:
            self.clips, self._norms = True, Memory(2)
            self._norms.view[0] = options.clip_grad_norm
            self._clipped = array("q", [place for place in trained_places if place < len(parameters)])
            self._clip_operands = address(self._clipped), len(self._clipped), self._norms.address

    def _fill_columns(self, skipped: Sequence[int], some_fixed: bool) -> PackedState | None:
        """Copy the optimiser's state to the blocks of memory of the compiled update.

        If the update uses them, also copy `skipped`, and a flag for each parameter that says whether it is trained. The
        data of the parameters are copied by `_copy_data`.

        Args:
            skipped: for each parameter, how many steps have skipped it; empty if the update does not use this.
            some_fixed: whether some of the parameters must not change.

        Returns:
            the state; None if the update uses none.
        """
        optimizer, layout, update, blocks = self.optimizer, self._layout, self.update, self._blocks
        numbers = array("d", bytes(WORD * blocks.places))
        names = {optimizer.state_names[k]: k for k in update.used_state_indices}
        packed = packed_state(optimizer, layout, [*names]) if names else None
        if packed and packed is not self._memory.packed():
            for name, k in names.items():
                layout.scatter(packed.arrays[name], numbers)
                blocks.write_column(2 + k, numbers)
        self._memory.packed = _no_state  # steps change the numbers in the blocks
        if skipped:
            layout.scatter(array("d", skipped), numbers)
            blocks.write_column(2 + len(optimizer.state_names) + update.counts_errors, numbers)
        if some_fixed:
            numbers = array("d", bytes(WORD * len(numbers)))  # 0 for a parameter that must not change
            layout.scatter(array("d", self._trainable), numbers)
            blocks.write_column(update.columns - 1, numbers)
        return packed

    def can_resume(self, parameters: Sequence[Value]) -> bool:
        """Return whether training can go on with this memory after `write_back`, for programs that read `parameters`.

        It cannot if something that is in the memory has been changed since, such as the optimiser's state or an option,
        or if this is not known. The data of parameters may have changed: `resume` copies them again.
        """
        optimizer, layout = self.optimizer, self._layout
        return (
            self._options_in_use is not None
            and self.parameters is parameters
            and optimizer.parameters == layout.optimized  # fast: nodes are compared by identity
            and optimizer.steps == self.scalars.view[1]
            and not optimizer.skipped
            and (optimizer.lazy_state is self._memory.packed() or not self.update.used_state_indices)
            and self._options_in_use.are_those_of(optimizer)
            and not some_frozen(layout.trained)
        )

    def resume(self) -> None:
        """Go on with this memory after `write_back`, if `can_resume` is true.

        The learning rate and the data of parameters may have changed.

        Raises:
            ValueError: constants of the programs have other data now, or the learning rate is out of range.
            TypeError: the learning rate is not a number.
        """
        data, unread, rate, _ = self._begun_with
        optimizer, version = self.optimizer, data_version()
        if type(optimizer.lr) is not float or optimizer.lr is not rate:
            rate = optimizer.check_lr()
        self._memory.packed = _no_state  # steps change the numbers in the blocks
        self.scalars.view[0] = rate
        if version != self._version:  # read before the data, so a later change is noticed
            self._check_constants()
            data, unread = self._layout.read_data(), self._layout.unread_data()
            self._copy_data(data, unread)
            self._version = version
        self._begun_with = data, unread, rate, optimizer.steps

    def _copy_data(self, data: array[float], unread: array[float]) -> None:
        """Copy `data`, of the parameters that the programs read, and `unread`, of the others, to the memory."""
        numbers = array("d", bytes(WORD * self._blocks.places))
        numbers[: len(data)], numbers[self._layout.unread_begin : self._layout.unread_end] = data, unread
        self.parameter_data.view[: len(data)] = data
        self._blocks.write_column(0, numbers)

    @property
    def trains_none_read(self) -> bool:
        """Whether the programs read parameters, but none that the optimiser has."""
        return self._layout.trains_none_read

    def check_parameters(self) -> None:
        """Raise ValueError if the optimiser has no parameter of the programs.

        If it lacks only some of them, warn of those that a model has got since the optimiser was made, and of those
        that are hidden from the model in one of its functions.
        """
        if self.trains_none_read:
            frozen = [i for i, p in enumerate(self.optimizer.parameters) if not p.requires_grad]
            rest = "if the parameters were made anew since, make the optimizer anew and compile anew"
            if frozen:
                rest = (
                    f"parameters[{frozen[0]}] of the optimizer is frozen; set its requires_grad = True before you "
                    "compile the function"
                )
            raise ValueError(
                f"fit(): the optimizer has none of the program's {len(self.parameters)} parameters, so it would train "
                f"nothing; {rest}"
            )
        if not self._layout.trains_all_read:
            warn_of_replaced(self.optimizer, self.parameters)
            warn_of_functions(self.optimizer, {*self.parameters})

    def check_errors(self) -> None:
        """Raise ArithmeticError if an operator in the update of a user's optimiser would have raised one in Python."""
        if not self.update.counts_errors:
            return
        optimizer = self.optimizer
        [errors] = map(
            self._layout.gather, self._blocks.read_columns([2 + len(optimizer.state_names)], self._blocks.copied())
        )
        if failed := next(compress(self._layout.trained, errors), None):
            raise ArithmeticError(
                f"fit(): in the update of {type(optimizer).__name__}, a division by 0, or a power that overflows, for "
                f"parameters[{optimizer.parameters.index(failed)}] of the optimizer would raise ZeroDivisionError or "
                "OverflowError in Python, so training stops; add a small eps to the divisor, or write "
                "where(equal(y, 0.0), a, div(x, y)) with micrograd_cn's functions"
            )

    @property
    def trained(self) -> tuple[Optimizer, frozenset[Value]]:
        """The optimiser, and the set of its parameters."""
        return self.optimizer, self._layout.optimized_set

    def _seen_by_others(self) -> tuple[Any, ...]:
        """Return what the user's objects have: the data of all parameters, the learning rate and the number of steps.

        Another thread may change them while this object works on copies.
        """
        optimizer = self.optimizer
        return self._layout.read_data(), self._layout.unread_data(), optimizer.lr, optimizer.steps

    def _warn_of_lost_changes(self) -> None:
        """Warn if another thread has changed parameters or the optimiser since they were copied to this memory."""
        before, unread, lr_before, steps_before = self._begun_with
        lr, steps = self.optimizer.lr, self.optimizer.steps
        # If functions run between steps, `Copied` compares
        if self._copied or (self._version == data_version() and lr is lr_before and steps is steps_before):
            return
        for x, y in zip(self._seen_by_others()[:2], (before, unread), strict=True):
            if x is not y and x.tobytes() != y.tobytes():
                self._warn_of_lost("the data of a parameter")
                return
        if self.schedule is None and lr != lr_before:  # a schedule may set it, too
            self._warn_of_lost("lr of the optimizer")
        elif steps != steps_before:
            self._warn_of_lost("steps of the optimizer")

    def _warn_of_lost(self, what: str) -> None:
        warn_at_user(
            f"fit(): another thread has changed {what} while fit trained, and fit went on with what it was "
            "before; change it in a function that you pass as callback=, or after fit has ended"
        )

    def check_copied(self) -> None:
        """Raise ValueError if a user's function has changed the optimiser or its parameters since they were copied."""
        if self._copied:
            self._copied.check()

    def run(
        self,
        batches: Batches,
        first: int,
        steps: int,
        losses: Memory,
        gradients: Memory,
        drivers: tuple[Any, int],
        goes_on: Callable[[], bool],
    ) -> int:
        """Take training steps in the compiled loop.

        Args:
            batches: the batches of an epoch. After the last batch, the first batch is used again.
            first: the index of the first step's batch.
            steps: how many steps to take.
            losses: memory for the loss of each batch, computed before the batch's step.
            gradients: memory in which the gradients are added up if several programs compute a batch.
            drivers: the driver `fit`, and the address of the driver `clip`, or 0 if gradients are not clipped.
            goes_on: a function that is called when the compiled loop has stopped before a step, because its code gave
                nan in the step's loss or gradient where other code may give a number. The function may put that other
                code in the gradient calls that `batches` refers to. It then returns True, and the loop takes the
                remaining steps, beginning with this one. If it returns False, the remaining steps are not taken.

        Returns:
            how many steps were taken. It may be 0 if programs have to be chosen anew.

        Raises:
            ValueError: the schedule returns a number that is not a learning rate, or changes the data of a constant of
                the program, or something else that the compiled function reads; or the norm of gradients to be clipped
                is inf or nan. All steps before the failing step have been taken. Or the schedule has changed the
                optimiser or its parameters.
            TypeError: the schedule does not return a number. All steps before the failing step have been taken.
            BaseException: whatever the schedule raises itself. All steps before the failing step have been taken.
        """
        (order, words, starts), (fit, clip) = batches, drivers
        described = address(order), address(words), address(starts), len(starts)
        skips = self.update.skips_zeros and self._trains_all
        memory = gradients.address, len(self.parameters), *self._update_operands, skips, clip, *self._clip_operands

        def take(steps: int, rates: array[float] | None) -> int:
            step: int = 0
            while True:
                step += fit(
                    *described, first + step, steps - step, losses.address + WORD * step,
                    None if rates is None else address(rates) + WORD * step, self.parameter_data.address, *memory,
                )  # fmt: skip
                if step == steps or not goes_on():
                    break
            if self.clips:
                self._check_norm()
            return step

        if self.schedule is None:
            return take(steps, None)
        asked = self._asked
        rates = asked.ask(self.schedule, int(self.scalars.view[1]), steps, self._check_constants)
        if rates is None:
            return 0
        self.check_copied()
        taken = take(len(rates), rates) if rates else 0
        asked.rates[: len(rates)] = rates[taken:]
        ends = taken == len(rates) < steps or not isinstance(asked.failure, Exception)
        if asked.failure is not None and ends:
            raise asked.failure
        return taken

    def _check_norm(self) -> None:
        """Raise ValueError if the norm of the gradients in the last step was not finite, so clipping was impossible."""
        if not isfinite(norm := self._norms.view[1]):
            step = int(self.scalars.view[1])
            raise ValueError(f"fit(): the norm of the gradients is {norm} in step {step}, which no factor corrects")

    def step(self, gradients: int) -> None:
        """Take one step of the optimiser. `gradients` is the address of the gradients.

        Raises:
            ValueError: the schedule returns a number that is not a learning rate, or changes the data of a constant of
                the program, or something else that the compiled function reads; or the norm of gradients to be clipped
                is inf or nan.
            TypeError: the schedule does not return a number.
        """
        lr, steps = self.scalars.view[:2]
        rate = array("d", [lr if self.schedule is None else _learning_rate(self.schedule, int(steps))])
        if self.schedule:
            if context.data_changed:
                self._check_constants()
            self._asked.check_all()
        header, *rest = self._update_operands
        if self.clips:
            driver("clip")(gradients, *self._clip_operands)
            self._check_norm()
        driver("update")(header, self.parameter_data.address, gradients, address(rate), *rest)

    def publish(self) -> None:
        """Copy the results of the steps to Python's objects, before a user's function runs between two steps.

        The next steps go on from the numbers in this object's memory, which are not read anew.
        """
        self.write_back()
        self._memory.packed = _no_state
        self._begun_with = self._seen_by_others()
        if self._copied:
            names = [self.optimizer.state_names[k] for k in self.update.used_state_indices]
            packed = packed_state(self.optimizer, self._layout, names).arrays if names else {}
            self._copied = Copied(self._options, self._layout, packed)

    def release(self) -> None:
        """Keep the memory for the next training with this optimiser. This object must not be used any more.

        The results must have been copied back before, by `write_back`.
        """
        if self._trains_all and self._begun_with[3] == self.scalars.view[1]:
            self._memory.version = self._version
        if not self._layout.unused and len(self._blocks.memory.view) <= MAX_KEPT_NUMBERS:
            self._layout.unused.append(self._memory)

    def write_back(self) -> None:
        """Copy data, gradients and the optimiser's state back to Python's objects.

        Ctrl-C cannot leave this half done: either everything is copied, or nothing is.
        """
        optimizer = self.optimizer
        # Machine code counts the steps, since Ctrl-C may interrupt Python between any two lines.
        steps = int(self.scalars.view[1])
        self._warn_of_lost_changes()
        if steps == optimizer.steps:
            return
        layout, nodes = self._layout, self._of_trained(self._layout.trained)
        copied = self._blocks.copied()
        columns = self._blocks.read_columns([0, 1], copied)
        data, gradients = map(layout.gather, columns)
        lr = optimizer.lr if self.schedule is None else self.scalars.view[0]
        of_all = columns[0]
        now = of_all[: len(self.parameters)], of_all[layout.unread_begin : layout.unread_end], lr, steps
        version, noted = new_version()
        changes: list[Iterable[object]] = [
            noted,
            map(vars(self).__setitem__, ["_version", "_begun_with"], [version, now]),
            map(setattr, [optimizer], ["steps"], [steps]),
            *self._state_changes(copied),
            *self._skipped_changes(steps - optimizer.steps),
        ]
        if self.schedule is not None:
            changes.append(map(setattr, [optimizer], ["lr"], [lr]))
        if self._trains_every and uses_machine_code(nodes):
            written = [write_by_machine_code(nodes, "_grad", gradients), write_by_machine_code(nodes, "_data", data)]
            if at_once(map(any, [*written, *changes])):
                if self._trains_all:  # all of `now` was written
                    layout.read_data.note(version, now[0])
                    layout.unread_data.note(version, now[1])
                return
        written = [
            map(setattr, () if self._trains_every else optimizer.parameters, repeat("_grad"), repeat(0.0)),
            map(setattr, nodes, repeat("_grad"), self._of_trained(gradients)),
            map(setattr, nodes, repeat("_data"), self._of_trained(data)),
        ]
        at_once(map(any, [*written, *changes]))

    def _of_trained(self, of_all: Sequence[T]) -> Sequence[T]:
        """Return the items of `of_all` for parameters that are not frozen.

        `of_all` has an item for each of the optimiser's parameters.
        """
        return of_all if self._trains_every else [*compress(of_all, self._trainable)]

    def _state_changes(self, copied: array[float]) -> list[Iterable[object]]:
        """Return iterators that write the optimiser's state, for `at_once`.

        `copied` is a copy of the memory of the blocks.
        """
        optimizer, layout = self.optimizer, self._layout
        names = {optimizer.state_names[k]: 2 + k for k in self.update.used_state_indices}
        if not names:
            return []
        read = self._blocks.state_in(copied, names, layout)
        if callable(optimizer.lazy_state):
            others = [name for name in optimizer.state_names if name not in names]
            packed = PackedState(layout, packed_state(optimizer, layout, ()).arrays_of(others), read)
            self._memory.packed = ref(packed)
            return [map(setattr, [optimizer], ["lazy_state"], [packed])]
        # Somebody may hold these dicts, so they are changed in place
        held = self._of_trained([optimizer.lazy_state[k] for k in layout.order])
        return [
            map(dict.__setitem__, held, repeat(name), self._of_trained(numbers)) for name, numbers in read().items()
        ]

    def _skipped_changes(self, steps: int) -> list[Iterable[object]]:
        """Return a list with an iterator that counts `steps` more skipped steps for each frozen parameter.

        The iterator makes the change when the caller passes it to `at_once`. The list is empty if no parameter is
        frozen.
        """
        if self._trains_every:
            return []
        skipped, frozen = self.optimizer.skipped, [*compress(self._layout.order, map(not_, self._trainable))]
        now = skipped | dict(zip(frozen, map(add, map(skipped.get, frozen, repeat(0)), repeat(steps)), strict=True))
        return [map(setattr, [self.optimizer], ["_skipped"], [now])]


def _learning_rate(schedule: Callable[[int], float], step: int) -> float:
    """Return the schedule's learning rate for a step, after checking that it is a number of at least 0.

    Raises:
        TypeError: the schedule does not return a number.
        ValueError: the number is negative, inf or nan.
    """
    rate = call("schedule", schedule, step)
    try:
        return at_least_0("the learning rate", rate)
    except (TypeError, ValueError) as error:
        raise type(error)(f"fit(): step {step} of the schedule {schedule!r}: {error}") from None
