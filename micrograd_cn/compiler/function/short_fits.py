"""Define `ShortFits`, which takes steps of `fit` one at a time, by code that is kept from one call to the next.

If a loop of the user's own calls `fit` for one step at a time, most of the time would be spent on preparing each call.
If a callback runs after each step, most of the time would be spent on copying the parameters to the memory of the
compiled loop and back.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from itertools import repeat
from math import isnan, prod
from typing import Any
from weakref import ref

from ...engine import Value
from ...graph import context
from ...optim import Optimizer
from ...optim import optimizer as optimizers
from ...optim.optimizer import warn_of_functions, warn_of_replaced
from ..data.nodes import uses_machine_code, write_by_machine_code
from ..data.partition import gather_rows
from ..program import Program
from ..runtime.arrays import ListedSamples
from ..runtime.prepared import PreparedRows
from ..training.epochs import TrainingOptions, asks_to_stop
from ..training.run import training_alone
from ..training.single_steps import SingleStep, SingleSteps
from .array_calls import ArrayCall, ArrayCalls
from .stale import StaleCheck
from .store import RecordingStore

MAX_EPOCHS = 8  # the compiled loop of `fit` takes more epochs in less time
# With a callback and more numbers in the samples than this, the compiled loop of `fit` takes no longer than code for
# single steps, since it reads arrays column by column
MAX_NUMBERS = 20_000


def _nothing() -> None:
    """Return None, as a call of a weak reference does when its object is gone.

    An attribute that later gets a weak reference is this function at first.
    """


class ShortFits:
    """Take the steps of a call of `fit` that is short, or that calls a Python function after each step.

    Each epoch of such a call must have a single step, for all samples. The call is short if it has at most `MAX_EPOCHS`
    epochs. Most of the time of such a call is that of Python code around the steps. So the steps are taken with little
    Python code, by the machine code that `backward` and `optimizer.step()` use. `FunctionFit` takes all steps for which
    something has to be checked, compared or warned of.

    Args:
        store: the recordings of the function.
        stale: checks that the function would still be recorded as it was.
        arrays: has code for samples in arrays or in short lists.
    """

    def __init__(self, store: RecordingStore, stale: StaleCheck, arrays: ArrayCalls) -> None:
        self._store, self._stale, self._arrays = store, stale, arrays
        # A program, the parameters of all programs, those that are trained, and the places of these in the program
        self._latest: tuple[Program | None, list[Value], list[Value], array[int]] = None, [], [], array("q")
        self._warned: Callable[[], object] = _nothing  # returns the optimiser that `_places` has checked last

    def losses(self, options: TrainingOptions, samples: Any) -> list[float]:
        """Take the first steps of a call of `fit` without a callback, and return their losses.

        `FunctionFit` takes all other steps: all of them if the list is empty.

        Raises:
            ValueError: a `Value` that was a constant when the function was recorded has other data now.
        """
        if not (0 < options.epochs <= MAX_EPOCHS and options.takes_steps_alone):
            return []
        if not (ready := self._arrays.loaded("backward", samples, called="fit")):
            return []
        found, rows = ready
        losses = self._take(options.optimizer, found, rows, options.epochs)
        found.runner.release(rows)
        return losses

    def losses_and_callback(
        self, options: TrainingOptions, samples: ListedSamples, first: int
    ) -> tuple[list[float], bool]:
        """Train from the epoch `first` on, one step an epoch, and call the callback after each epoch.

        Return the losses, and whether the callback has asked to end training. If there are fewer losses than epochs
        left, such as none because there is no code for the samples, `FunctionFit` has to do the other epochs.

        Raises:
            ValueError: a `Value` that was a constant when the function was recorded has other data now.
        """
        losses, callback, found = list[float](), options.callback, self._code_for(samples)
        if not found:
            return losses, False
        runner, ended = found.runner, False
        rows = runner.loaded(samples.numbers)
        while not ended and first + len(losses) < options.epochs and not context.active:
            if not runner.uses_code_of(rows):
                rows = runner.loaded(samples.numbers)
            taken = self._take(options.optimizer, found, rows, 1)
            if not taken:
                break
            losses += taken
            ended = bool(callback and asks_to_stop(callback, first + len(losses) - 1, *taken))
        runner.release(rows)
        return losses, ended

    def is_ready(self, options: TrainingOptions, samples: ListedSamples) -> bool:
        """Return whether `losses_and_callback` can run: there is code for the gradient and for the optimiser's step."""
        found = self._code_for(samples)
        return bool(found and self._step(options.optimizer, found))

    def _code_for(self, samples: ListedSamples) -> ArrayCall | None:
        """Return code for the gradient of the mean result; None if there is none, or there are many numbers."""
        if sum(map(prod, samples.shapes)) > MAX_NUMBERS:
            return None
        return self._arrays.prepared_for_mean(samples)

    def _take(self, optimizer: Optimizer, found: ArrayCall, rows: PreparedRows, most: int) -> list[float]:
        """Take at most `most` steps by code that was found for the gradient, and return their losses.

        `rows` has the samples.
        """
        if not (step := self._step(optimizer, found)):
            return []
        with training_alone(optimizer) as alone:
            return self._losses_of_steps(optimizer, found, *step, rows, most) if alone else []

    def _losses_of_steps(
        self,
        optimizer: Optimizer,
        found: ArrayCall,
        step: SingleStep,
        places: array[int],
        rows: PreparedRows,
        most: int,
    ) -> list[float]:
        """Take at most `most` steps by `step`, the machine code of the optimiser, and return their losses.

        `places` is what `_places` has returned for the optimiser and the program.
        """
        losses, parameters = list[float](), step.trained if places else self._store.parameters
        others, zeros = step.frozen, array("d", bytes(8 * len(step.frozen)))
        while len(losses) < most:
            loss, gradient = found.runner.mean_gradient_of(rows)
            if places:
                gradient = gather_rows(gradient, places, 1)
            changes = [_gradient_changes(parameters, gradient)]
            if others:  # as `zero_grad` does
                changes.append(_gradient_changes(others, zeros))
            if isnan(loss) or not step.take(optimizer, changes):
                break
            losses.append(loss)
        return losses

    def _step(self, optimizer: Optimizer, found: ArrayCall) -> tuple[SingleStep, array[int]] | None:
        """Return machine code that takes a step of `optimizer`, and what `_places` returns.

        Return None if `FunctionFit` has to take the step. It also takes the step if there is no machine code for the
        optimiser yet. `found` is the code for the gradient.
        """
        machine_code, program = optimizers.machine_code, found.program
        optimizer.match_state()
        if found.merged or not isinstance(machine_code, SingleSteps) or not (step := machine_code.ready(optimizer)):
            return None
        if (places := self._places(optimizer, step.trained, program)) is None:
            return None
        if step.has_own_counts:  # `FunctionFit` raises to these powers in vectors, with other last bits
            return None
        agrees = self._stale.agrees(program, optimizer) and program.has_trainable
        return (step, places) if agrees else None

    def _places(self, optimizer: Optimizer, trained: list[Value], program: Program) -> array[int] | None:
        """Return the indices of the trained parameters among the parameters of a program.

        The array is empty if all parameters of the program are trained. `trained` has those of the optimiser's
        parameters that are not frozen. Return None if the program does not have all of them, or not all parameters of
        the function's programs, or if it has a parameter that stands for a node which was computed before the call,
        perhaps from the optimiser's parameters.
        """
        parameters = self._store.parameters
        known, of_all, optimized, places = self._latest
        if not (known is program and of_all is parameters and optimized == trained):  # by identity
            place = {p: k for k, p in enumerate(program.parameters)}
            if program.parameters != parameters or program.compiled.captured or not {*trained} <= {*place}:
                return None
            places = array("q", () if {*trained} == {*place} else map(place.__getitem__, trained))
            self._latest = program, parameters, [*trained], places
            self._warned = _nothing
        if places and self._warned() is not optimizer:
            warn_of_replaced(optimizer, parameters)
            warn_of_functions(optimizer, {*parameters})
            self._warned = ref(optimizer)
        return places


def _gradient_changes(parameters: list[Value], gradient: array[float]) -> Iterator[object]:
    """Return an iterator, for `at_once`, that assigns the numbers of a gradient to the `grad` of parameters."""
    if uses_machine_code(parameters):
        return write_by_machine_code(parameters, "_grad", gradient)
    return map(setattr, parameters, repeat("_grad"), gradient)
