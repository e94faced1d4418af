"""Take an optimiser's steps in machine code where a loop of the user's own calls `optimizer.step()`.

The parameters stay nodes: the machine code reads their data and gradients, and assigns the new data (see `data.nodes`).
The optimiser's state stays in the memory of the compiled update until somebody reads it. The numbers are the same, to
the last bit, as those of the update in Python.
"""

from __future__ import annotations

import copy
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import repeat
from math import inf
from operator import call, gt, methodcaller
from sys import getrefcount
from types import SimpleNamespace
from typing import Any

from ...engine import Value
from ...graph import context
from ...graph.interrupts import at_once
from ...optim import Optimizer
from ...optim.by_optimizer import ByOptimizer
from ...optim.optimizer import SkippedCounts, common_state
from ..data.nodes import (
    clear_gradients,
    finds_leaves,
    finds_trained,
    first_unfrozen,
    norm_of_gradients,
    scale_gradients,
    slot_offset,
    some_frozen,
    steps_are_possible,
)
from ..llvm.builtin import METH_O, builtin_function
from ..llvm.machine import Memory, machine
from ..runtime.drivers import StepWords
from ..runtime.executable import driver_address, has_driver
from ..threads.background import BackgroundTasks
from .state import PackedState, ParameterBlocks, StateInArrays
from .update import CompiledUpdate, OptionsInUse, compiled_update, is_compiled, update_key

# Python code takes about as long to change this many parameters as it takes to make machine code
PARAMETERS_BEFORE_CODE = 20_000
# Python code takes about as long to change this many parameters as it takes to load machine code that has been made
PARAMETERS_BEFORE_LOADING = 100
MAX_GROUPS = 8  # with more groups, Python code takes the steps: it takes no longer than machine code for so many groups
MAX_COUNTED = 100  # for at most so many kinds of optimisers, Python's steps are counted together
FIRST_PAUSE, MAX_PAUSE = 16, 1024  # after this many steps in Python, at first and at most, machine code is tried again


class StateInBlocks(StateInArrays):
    """The state of an optimiser, read on demand from the memory on which its compiled update works.

    Args:
        groups: the parameters in this memory. The blocks of a group have the numbers of the state in their columns from
            column 2 on. Columns 0 and 1 have the data and the gradients of the parameters.
        names: the names of the numbers that the state has for each parameter.
        count: how many parameters the optimiser has.

    Attributes:
        others: the arrays from which the state of parameters in no group is read; {} if one group has all parameters.
    """

    def __init__(self, groups: Sequence[Group], names: Sequence[str], count: int) -> None:
        super().__init__(range(count))
        self._groups, self._names = groups, names
        self.others: dict[str, array[float]] = {}

    @property
    def arrays(self) -> dict[str, array[float]]:
        """A dict from the names of the state's numbers to arrays, which have the numbers of all parameters.

        These are the numbers after the last step.
        """
        # One call into C, so all numbers are those after one and the same step, if another thread takes steps
        copies = [*map(methodcaller("tobytes"), [group.blocks.memory.view for group in self._groups])]
        whole = {name: self.others[name][:] for name in self._names} if self.others else {}
        for group, copied in zip(self._groups, copies, strict=True):
            columns = group.blocks.read_columns(range(2, 2 + len(self._names)), array("d", copied))
            count = len(group.indices)  # the last lanes have no parameter
            found = {name: column[:count] for name, column in zip(self._names, columns, strict=True)}
            if not self.others:
                return found
            for name, column in found.items():
                deque(map(whole[name].__setitem__, group.indices, column), maxlen=0)
        return whole


class Group:
    """Parameters of an optimiser that earlier steps have skipped equally often, in the memory of a compiled update.

    Args:
        update: the compiled method `update` of the optimiser.
        indices: the indices of the parameters among those of the optimiser.

    Attributes:
        indices: as in the arguments.
        parameters: the parameters.
        blocks: the memory.
        skipped: how many steps have skipped each of the parameters.
        run: a built-in function that takes a step for the list of the parameters; see `Drivers.step`.
    """

    def __init__(self, update: CompiledUpdate, indices: list[int]) -> None:
        self.indices, self.skipped = indices, 0
        self.parameters: list[Value] = []
        self.blocks = ParameterBlocks(update.executable, len(indices))
        self._scalars = update.executable.new_scalars()
        self._gradients, self._data = Memory(self.blocks.places), Memory(self.blocks.places)
        self._rate = array("d", [0.0])
        words = StepWords(
            parameter_count=len(indices),
            header=update.executable.header,
            rate=self._rate.buffer_info()[0],
            scalars=self._scalars.address,
            blocks=self.blocks.memory.address,
            block_count=self.blocks.count,
            gradients=self._gradients.address,
            data=self._data.address,
        )
        # The machine is kept, since the machine code is freed with it
        code = driver_address("step", 1, fast=True)
        self.run = builtin_function(code, words, None, machine(), flag=METH_O)

    def set_scalars(self, rate: float, steps: int) -> None:
        """Set the learning rate of the next step, and the count of the optimiser's steps before it."""
        self._rate[0], self._scalars.view[1] = rate, steps - self.skipped


class SingleStep:
    """Take steps of one optimiser in machine code, as long as the same parameters are frozen in each step.

    Args:
        optimizer: the optimiser whose steps are taken. No reference to it is kept.
        update: the compiled method `update` of the optimiser.
        frozen: the indices of the parameters that are frozen.
        groups: the indices of the other parameters, in groups; see `Group`.

    Attributes:
        fits: a function that returns whether an optimiser still has the options and the methods for which its update
            was compiled.
        trained, frozen: the parameters that are not frozen, and those that are, both in the optimiser's order.
        calls: how often `take` or `may_take` has been called.
    """

    def __init__(
        self, optimizer: Optimizer, update: CompiledUpdate, frozen: list[int], groups: Sequence[list[int]]
    ) -> None:
        self._count, self._names = len(optimizer.parameters), optimizer.state_names
        self._names_set = {*self._names}
        self._groups = [Group(update, indices) for indices in groups]
        self._frozen_indices = frozen
        self._parameters: list[Value] = []
        self.trained: list[Value] = []
        self.frozen: list[Value] = []
        self._counts: SkippedCounts | None = None  # what was put into the optimiser
        self.calls = 0
        self._update = update
        self._state = StateInBlocks(self._groups, self._names, self._count) if update.used_state_indices else None
        self.fits = OptionsInUse(optimizer).are_those_of

    @property
    def has_own_counts(self) -> bool:
        """Whether the update depends on counts of steps that differ from the optimiser's own count."""
        return self._update.uses_count and any(group.skipped for group in self._groups)

    def may_take(self, optimizer: Optimizer) -> bool:
        """Return whether this object can take the optimiser's next step.

        Exactly those parameters must be frozen that were frozen when this object was made. The optimiser must also have
        counted equally many skipped steps for all parameters of a group. If the result is False, another object has to
        be made.
        """
        self.calls += 1
        return (
            self._has_parameters(optimizer)
            and self._counts_fit(optimizer, optimizer.steps)
            and not any(some_frozen(group.parameters) for group in self._groups)
        )

    def take(self, optimizer: Optimizer, before: Sequence[Iterator[object]] = ()) -> bool:
        """Make the changes in `before`, take a step and return True; return False if machine code cannot take the step.

        `before` has iterators as for `at_once`, so Ctrl-C cannot interrupt between these changes and the step. If the
        result is False, no parameter and no option of the optimiser has changed, but the changes in `before` may have
        been made.
        """
        self.calls += 1
        rate, steps = optimizer.lr, optimizer.steps
        if type(rate) is not float or not 0.0 <= rate < inf or type(steps) is not int:
            return False
        if not self._has_parameters(optimizer) or not self._counts_fit(optimizer, steps):
            return False
        if self._state and optimizer.lazy_state is not self._state and not self._load(optimizer):
            return False
        changes: list[Callable[[], object]] = []
        if len(self._groups) > 1:  # a group must not be changed if the step is impossible for a later group
            checks = [steps_are_possible(group.parameters) for group in self._groups]
            if not all(checks):
                return False
            changes += filter(None, checks)
        for group in self._groups:
            group.set_scalars(rate, steps)
            changes.append(partial(group.run, group.parameters))
        changes += partial(setattr, optimizer, "steps", steps + 1), context.note_change
        if self._counts:
            changes.append(partial(setattr, self._counts, "steps", steps + 1))
        return at_once(map(any, [*before, map(call, changes)]) if before else map(call, changes))

    def _has_parameters(self, optimizer: Optimizer) -> bool:
        """Return whether this object suits the optimiser's list of parameters, as the list is now.

        It does not if a user has assigned something other than a list, or a list of another length, or if a parameter
        is in it twice. Nor does it if a parameter that was frozen when this object was made is no longer frozen.
        """
        parameters: Any = optimizer.parameters
        if self._parameters != parameters:
            if type(parameters) is not list or not len({*map(id, parameters)}) == len(parameters) == self._count:
                return False
            self._parameters = [*parameters]
            self.frozen = [*map(parameters.__getitem__, self._frozen_indices)]
            frozen = {*self._frozen_indices}
            self.trained = [p for k, p in enumerate(parameters) if k not in frozen] if frozen else self._parameters
            for group in self._groups:
                group.parameters = [*map(parameters.__getitem__, group.indices)]
        return not self.frozen or first_unfrozen(self.frozen) is None

    def _counts_fit(self, optimizer: Optimizer, steps: int) -> bool:
        """Return whether machine code can count skipped steps from now on, after `steps` steps.

        The optimiser then has an object `SkippedCounts` in place of the dict `skipped`, if it needs one. This is not
        possible if the user's code refers to this dict, since each step must then change the dict, or if the dict has
        counts that are not integers. Nor is it possible if the counts of the parameters in one group differ, and the
        update depends on them.
        """
        known, held = self._counts, optimizer._skipped
        if known is not None and known is held and known.steps == steps:
            return True
        self._counts = None
        if not held and type(held) is dict and not self._frozen_indices:
            for group in self._groups:
                group.skipped = 0
            return True
        del held
        skipped: Any = optimizer.skipped
        if type(skipped) is not dict or not {int}.issuperset(map(type, skipped.values())):
            return False
        for group in self._groups:
            counts = {*map(skipped.get, group.indices, repeat(0))}
            if len(counts) > 1 and self._update.uses_count:
                return False
            group.skipped = min(counts)
        del skipped
        alone = SimpleNamespace(_skipped={0: 0})
        if getrefcount(optimizer._skipped) > getrefcount(alone._skipped):
            return False
        self._counts = optimizer._skipped = SkippedCounts(optimizer.skipped, self._frozen_indices, steps)
        return True

    def _load(self, optimizer: Optimizer) -> bool:
        """Copy the optimiser's state to the memory of the compiled update. Return whether this was possible.

        It is not possible if other code refers to the dicts of the state, since a step must then change these dicts.
        Nor is it possible if the state has other names than the optimiser's `state_names`, or has something other than
        floats.
        """
        if not callable(optimizer.lazy_state) and _is_held(optimizer):
            return False
        state: Any = optimizer.lazy_state
        arrays = None
        if isinstance(state, PackedState):
            arrays = state.in_order_of(optimizer.parameters)
        elif isinstance(state, StateInBlocks):
            arrays = state.arrays
        if common := common_state(optimizer):
            arrays = {name: array("d", [x]) * self._count for name, x in common.items()}
        elif arrays is None:
            states = state() if callable(state) else state
            if len(states) != self._count or any(each.keys() != self._names_set for each in states):
                return False
            columns = {name: [each[name] for each in states] for name in self._names}
            if any({*map(type, column)} != {float} for column in columns.values()):
                return False
            arrays = {name: array("d", column) for name, column in columns.items()}
        if arrays.keys() != self._names_set or any(len(numbers) != self._count for numbers in arrays.values()):
            return False
        is_whole = len(self._groups) == 1 and not self._frozen_indices
        for group in self._groups:
            padding = array("d", bytes(8 * (group.blocks.places - len(group.indices))))
            for k, name in enumerate(self._names):
                numbers = arrays[name]
                if not is_whole:
                    numbers = array("d", map(numbers.__getitem__, group.indices))
                group.blocks.write_column(2 + k, numbers + padding)
        assert self._state is not None
        self._state.others = {} if is_whole else arrays
        optimizer.lazy_state = self._state
        return True


def _is_made(key: Any) -> bool:
    """Return whether there is machine code for the steps of optimisers with this `update_key`, and for taking steps."""
    return is_compiled(key) and has_driver("step", 1, fast=True)


def _is_held(optimizer: Optimizer) -> bool:
    """Return whether anything but the optimiser refers to its list `state`, or to one of the dicts in it."""
    found, alone = _references(optimizer), _references(SimpleNamespace(lazy_state=[{}]))
    return any(map(gt, found, alone))


def _references(holder: Any) -> tuple[int, int]:
    """Return the number of references to the list `holder.lazy_state`, and the largest count for one of its items."""
    state = holder.lazy_state
    return getrefcount(state), max(map(getrefcount, state), default=0)


class _Waiting:
    """How long Python code still takes the steps of an optimiser.

    Attributes:
        left: how many parameters Python code still changes, in all steps together, before machine code is tried.
        pause: the number of steps that Python code takes if machine code cannot take one. Then machine code is tried
            again.
        key: the `update_key` of the optimiser if no machine code has been made yet; None otherwise, and if there is no
            key.
    """

    def __init__(self, left: int, pause: int, key: Any = None) -> None:
        self.left, self.pause, self.key = left, pause, key


class SingleSteps:
    """Take the steps of optimisers in machine code; see `optim.optimizer.MachineCode`."""

    def __init__(self) -> None:
        self._waiting: ByOptimizer[_Waiting] = ByOptimizer()
        self._ready: ByOptimizer[SingleStep] = ByOptimizer()
        self._tasks = BackgroundTasks()
        self._has_driver = False
        # By `update_key`: how many parameters Python code has changed in steps of all optimisers with this key together
        self._changed: dict[Any, int] = {}

    def step(self, optimizer: Optimizer) -> bool:
        """Take a step of an optimiser by machine code. Return whether this was possible; if not, change nothing."""
        count = len(optimizer.parameters)
        if context.active:
            return False
        found = self._ready.get(optimizer)
        if found and found.fits(optimizer) and found.take(optimizer):
            return True
        waiting = self._waiting.get(optimizer)
        if waiting is None:
            waiting = self._waiting[optimizer] = self._new_waiting(optimizer)
        if found is None:
            waiting.left -= count
            if waiting.left > 0:
                if waiting.key is not None:
                    self._changed[waiting.key] = self._changed.get(waiting.key, 0) + count
                return False
        if found is None or (found.calls > FIRST_PAUSE and not found.may_take(optimizer)):
            self._ready.pop(optimizer)
            found = self._compiled(optimizer)
            if found and found.fits(optimizer) and found.take(optimizer):
                return True
        pause = waiting.pause
        self._waiting[optimizer] = _Waiting(pause * count, min(2 * pause, MAX_PAUSE))
        self._ready.pop(optimizer)
        return False

    def ready(self, optimizer: Optimizer) -> SingleStep | None:
        """Return machine code that takes steps of an optimiser, as its options are now; None while there is none."""
        found = self._ready.get(optimizer) or self._compiled(optimizer)
        if found is None:
            return None
        fits = found.fits(optimizer)
        if fits and found.may_take(optimizer):
            return found
        if fits and found.calls < FIRST_PAUSE:  # if a user freezes others for each step, it does not pay to begin anew
            return None
        self._ready.pop(optimizer)
        found = self._compiled(optimizer)
        return found if found and found.may_take(optimizer) else None

    def _compiled(self, optimizer: Optimizer) -> SingleStep | None:
        """Return the `SingleStep` of an optimiser; None if its class is the user's, or if machine code is not ready.

        Return None, too, if all parameters are frozen, or if there are more than `MAX_GROUPS` groups of parameters.
        """
        key = update_key(optimizer, False, False)
        if not slot_offset("_data") or key is None:
            return None
        parameters, skipped, frozen = optimizer.parameters, optimizer.skipped, list[int]()
        trained: Sequence[int] = range(len(parameters))
        if not finds_trained(parameters):
            trained = [k for k, p in enumerate(parameters) if getattr(p, "requires_grad", True)]
            frozen = [k for k, p in enumerate(parameters) if not getattr(p, "requires_grad", True)]
        if not trained or not isinstance(skipped, dict):
            return None
        if not _is_made(key):
            # A copy, since this thread may change options
            self._tasks.do(key, partial(self._make, copy.copy(optimizer)))
        if not _is_made(key):
            return None
        update = compiled_update(optimizer, False, False)
        groups: dict[int, list[int]] = {0: [*trained]}
        if skipped and update.uses_count:
            groups = {}
            for k in trained:
                groups.setdefault(skipped.get(k, 0), []).append(k)
            if len(groups) > MAX_GROUPS:
                return None
        found = self._ready[optimizer] = SingleStep(optimizer, update, frozen, [*groups.values()])
        self._has_driver = True
        return found

    def _make(self, optimizer: Optimizer) -> None:
        """Compile the driver that takes steps, and the update of an optimiser, so later calls find them compiled."""
        driver_address("step", 1, fast=True)
        self._has_driver = True
        compiled_update(optimizer, False, False)

    def _new_waiting(self, optimizer: Optimizer) -> _Waiting:
        """Return how long Python code takes the steps of an optimiser that is about to take its first step.

        If machine code exists, since other optimisers have the same update, this optimiser uses it after few steps. If
        not, machine code is made once all optimisers with this update have together taken enough steps, since each of
        them may take only a few. `fit` compiles updates, too, but not the driver that takes single steps.
        """
        key = update_key(optimizer, False, False)
        if self._has_driver and key is not None and is_compiled(key):
            return _Waiting(PARAMETERS_BEFORE_LOADING, FIRST_PAUSE)
        if len(self._changed) > MAX_COUNTED:
            self._changed.clear()
        return _Waiting(PARAMETERS_BEFORE_CODE - self._changed.get(key, 0), FIRST_PAUSE, key)

    def clear_gradients(self, parameters: list[Value]) -> bool:
        """Set the gradients of parameters to 0 by machine code, and return True.

        If this is not possible, change nothing, and return False.
        """
        return clear_gradients(parameters)

    def norm_of_gradients(self, parameters: list[Value]) -> float | None:
        """Return the norm of the gradients of parameters, computed by machine code; None if this is not possible."""
        return norm_of_gradients(parameters)

    def scale_gradients(self, parameters: list[Value], factor: float) -> bool:
        """Multiply the gradients of parameters by a factor in machine code, and return True.

        If this is not possible, change nothing, and return False.
        """
        return scale_gradients(parameters, factor)

    def finds_leaves(self, parameters: list[Any]) -> bool:
        """Return True if machine code finds that all of `parameters` are leaves of the class `Value`."""
        return finds_leaves(parameters)

    def finds_trained(self, parameters: list[Value]) -> bool:
        """Return True if machine code finds that the `requires_grad` of all `parameters` is True."""
        return finds_trained(parameters)
