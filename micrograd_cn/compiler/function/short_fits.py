"""Define `ShortFits`, which takes the steps of short calls of `fit` by code that is kept from one call to the next.

If a loop of the user's own calls `fit` for one step at a time, most of the time would be spent on preparing each call.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import repeat
from math import isnan
from typing import Any

from ...engine import Value
from ...optim import Optimizer
from ...optim import optimizer as optimizers
from ..data.nodes import some_frozen, uses_machine_code, write_by_machine_code
from ..program import Program
from ..training.epochs import TrainingOptions
from ..training.run import training_alone
from ..training.single_steps import SingleSteps
from .array_calls import ArrayCalls
from .stale import StaleCheck
from .store import RecordingStore

MAX_EPOCHS = 8  # the compiled loop of `fit` takes more epochs in less time
MAX_COPIED = 20_000  # numbers; each step copies those of all samples, and the compiled loop reads them where they are


class _Training:
    """A call of `fit` that takes short steps, for `training_alone`."""

    def __init__(self, optimizer: Optimizer, parameters: list[Value]) -> None:
        self._optimizer, self._parameters = optimizer, parameters

    @property
    def trained(self) -> tuple[Optimizer, frozenset[Value]]:
        """The optimiser, and the set of its parameters."""
        return self._optimizer, frozenset(self._parameters)


class ShortFits:
    """Take the steps of calls of `fit` that are one or a few epochs, each of one step with all samples.

    Such steps are those of a loop of `backward` and `optimizer.step()`, and are taken by the machine code for these. A
    call takes them only if `FunctionFit` would have nothing to check, to compare or to warn of.

    Args:
        store: the recordings of the function.
        stale: checks that the recordings are not stale.
        arrays: has code for samples in arrays or in short lists.
    """

    def __init__(self, store: RecordingStore, stale: StaleCheck, arrays: ArrayCalls) -> None:
        self._store, self._stale, self._arrays = store, stale, arrays
        # A program, the parameters of all programs, and those of an optimiser, which are the same `Value`s
        self._same: tuple[Program | None, list[Value], list[Value]] = None, [], []

    def losses(self, options: TrainingOptions, samples: Any) -> list[float]:
        """Take the first steps of a call of `fit`, and return their losses. `FunctionFit` takes all other steps.

        Raises:
            ValueError: a `Value` that was a constant when the function was recorded has other data now.
        """
        optimizer, machine_code = options.optimizer, optimizers.machine_code
        if not (0 < options.epochs <= MAX_EPOCHS and options.takes_steps_alone):
            return []
        numbers, found = self._arrays.for_mean(samples)
        if not found or found.merged or found.runner.count * options.epochs > MAX_COPIED:
            return []
        optimizer.match_state()
        parameters = self._store.parameters
        if not self._trains_all(optimizer, found.program, parameters) or some_frozen(parameters):
            return []
        step = machine_code.ready(optimizer) if isinstance(machine_code, SingleSteps) else None
        if not step or not self._stale.agrees(found.program, optimizer):
            return []
        losses = list[float]()
        with training_alone(_Training(optimizer, parameters)) as alone:
            while alone and len(losses) < options.epochs:
                loss, gradient = found.runner.mean_gradient(numbers)
                if isnan(loss) or not step.take(optimizer, [_gradient_changes(parameters, gradient)]):
                    break
                losses.append(loss)
        return losses

    def _trains_all(self, optimizer: Optimizer, program: Program, parameters: list[Value]) -> bool:
        """Return whether an optimiser has all of `parameters` and no others, and a program uses all of them.

        `parameters` has the parameters of all programs of the function.
        """
        known, of_all, optimized = self._same
        if known is program and of_all is parameters and optimized == optimizer.parameters:  # nodes equal by identity
            return True
        if program.parameters != parameters or {*optimizer.parameters} != {*parameters}:
            return False
        self._same = program, parameters, [*optimizer.parameters]
        return True


def _gradient_changes(parameters: list[Value], gradient: array[float]) -> Iterator[object]:
    """Return an iterator, for `at_once`, that assigns the numbers of a gradient to the `grad` of parameters."""
    if uses_machine_code(parameters):
        return write_by_machine_code(parameters, "_grad", gradient)
    return map(setattr, parameters, repeat("_grad"), gradient)
