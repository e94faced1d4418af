"""Define `ArrayCalls`, which computes the methods of a function for samples in arrays in one call of machine code.

The first axis of an array runs over the samples. If a method was called a few times with arrays of the same shapes,
code is prepared that reads the numbers from the arrays. Python then makes no `Bucket` of them. The same is done for
short lists of samples in `forward`, `gradient`, `backward` and the gradient of the mean; the numbers of such a list are
copied to an array first.
"""

from __future__ import annotations

import functools
import sys
from array import array
from collections.abc import Callable, Sequence
from math import isnan, prod
from typing import Any, NamedTuple, cast

from ...graph import context, outdated
from ..data.columns import MAX_NUMBERS
from ..data.nodes import some_frozen
from ..data.parameters import add_gradients
from ..data.partition import has_nan
from ..data.rows import as_result
from ..data.treedef import ArrayDef, TreeDef
from ..derivatives import Kind
from ..program import CompiledDerivative, Program
from ..runtime.arrays import (
    MAX_DOUBLES,
    MAX_KINDS,
    MAX_RESULTS,
    MAX_SHAPES,
    ArrayRunner,
    ListedSamples,
    Shape,
    forms_of_sample,
    listed_samples,
    numbers_as_before,
    shapes_of,
    shapes_of_columns,
    treedef_of_shapes,
)
from ..runtime.executable import has_prepared_driver
from ..runtime.prepared import FrequentCalls
from .arguments import Arguments
from .batch import MeanGradient
from .hooks import is_inlining
from .merged import MergedRecordings
from .recording import Recording
from .refusals import check_has_trainable
from .stale import StaleCheck
from .store import RecordingStore
from .variables import GradientVariables

GRADIENTS: dict[str, Kind] = {"gradient": "gradient", "value_and_grad": "value_and_grad"}
# For each method that returns matrices, the kind of derivative, and whether the matrices are whole
MATRICES: dict[str, tuple[Kind, bool]] = {
    "jacobian": ("jacobian", True),
    "hessian": ("hessian", True),
    "sparse_jacobian": ("jacobian", False),
    "sparse_hessian": ("hessian", False),
}


class ArrayCall(NamedTuple):
    """A prepared call of a method, such as `forward`, for samples in arrays of known shapes.

    Attributes:
        runner: the code and its memory.
        program: the program to which the code belongs.
        recording: the recording of the program, or the first one if several are merged.
        merged: if the program is merged from several recordings, these recordings, otherwise None. If a result of such
            a program is nan, the rows have to be sorted by their branches, and computed by other programs.
        derivative: for "mean_hessian", the derivative whose means the code computes.
        reads: whether `ArrayRunner.read` may read the samples. They must be in arrays, or in a list with one sample,
            whose arguments are arrays and numbers.
        adds: whether the code may add the gradient to the `grad` of the parameters, for `backward`, because nothing
            else has to be checked first. It adds nothing to a frozen parameter.
    """

    runner: ArrayRunner
    program: Program
    recording: Recording
    merged: MergedRecordings | None
    derivative: CompiledDerivative | None = None
    reads: bool = False
    adds: bool = False


class _Repeated(NamedTuple):
    """The prepared call of a method whose last calls had the same shapes. It is kept for the next call of the method.

    Attributes:
        noted: the method that the user called and a key for the shapes, as in `StaleCheck.latest`.
        method: the method whose code was run, as for `ArrayCalls.runner`.
        variables: the variables to differentiate with respect to, or None.
        parameter_count: how many parameters the function had.
        shapes: the shapes of the arrays.
        inside: how each argument is nested (its treedef) if the samples were in a list, otherwise None.
        call: the prepared call.
        missed: whether a call had other shapes. The next such call drops this object, since the shapes may be others in
            each call, such as the count of rows.
    """

    noted: tuple[str, Any]
    method: str
    variables: GradientVariables | None
    parameter_count: int
    shapes: tuple[Any, ...]
    inside: tuple[TreeDef, ...] | None
    call: ArrayCall
    missed: bool = False


NOT_YET = cast("ArrayCall", object())  # there is no code yet, while None says that there can be none


class ArrayCalls:
    """Run a function's methods on arrays, by code that is kept for arrays of the same shapes.

    Args:
        arguments: the function and its arguments.
        store: the recordings of the function.
        stale: says whether the function may compute something else now than when it was recorded. If it may, no code
            is returned.

    Attributes:
        runners: a dict from pairs of a method and the shapes of its arrays to the code that computes such a call, or to
            None if there can be none. For a list of samples, the key also has the treedef of each argument, which
            describes how it is nested.
    """

    def __init__(self, arguments: Arguments, store: RecordingStore, stale: StaleCheck) -> None:
        self._arguments, self._store, self._stale = arguments, store, stale
        self.runners = FrequentCalls[Any, ArrayCall | None](MAX_KINDS)
        # By the method that the user called, for speed: without it, each call would look up its key
        self._repeated = dict[str, _Repeated]()
        self._latest_keys = dict[str, Any]()  # by the method, too: the keys of the latest calls in `runners`

    def results(self, method: str, samples: Any, out: Any, variables: GradientVariables | None = None) -> Any:
        """Return the results of a method for samples in numpy arrays or in a list.

        Return None if the samples are in another form, if there is no code for these shapes (see `runner`), or if a
        result is nan for which slower code may give a number: code with gates, which keep derivatives from being 0
        times infinity, or the program of the sample's own branch. `listed_samples` says which lists are read.
        """
        ready = self.loaded(method, samples, variables)
        return self._computed(method, *ready, out, type(samples) is list) if ready else None

    def loaded(
        self, method: str, samples: Any, variables: GradientVariables | None = None, called: str = ""
    ) -> tuple[ArrayCall, Any] | None:
        """Return the prepared call of a method for samples, and rows that have the numbers of the samples.

        Return None if there is no such call, or if the samples are not in numpy arrays or in a list as in
        `listed_samples`. The arguments are those of `runner`.
        """
        latest = self._repeated.get(called or method)
        if (
            latest is not None
            and latest.method == method
            and latest.variables is variables
            and not context.active
            and latest.parameter_count == len(self._store.parameters)
            and not is_inlining()
        ):
            rows = _loaded_as_before(latest, samples)
            if rows is not None:
                if self._is_current(latest):
                    return latest.call, rows
                latest.call.runner.release(rows)
                return None
        if type(samples) is list:
            arrays, found = self._of_list(method, samples, variables, called)
        else:
            found = self.runner(method, arrays := as_tuple(samples), variables, called=called)
        if not found:
            return None
        return found, found.runner.loaded_with_reader(arrays) if found.reads else found.runner.loaded(arrays)

    def _computed(self, method: str, found: ArrayCall, rows: Any, out: Any, is_listed: bool) -> Any:
        """Compute the samples in `rows` by the prepared call `found`, and return the results of the method.

        Return None if a result is nan for which slower code may give a number; see `results`.
        """
        found.runner.run(rows)
        results = None
        if not rows.finds_nan():
            if out is not None:
                results = as_result(rows.out, (), None, out)
            else:
                results = rows.listed_results() if is_listed else rows.results.copy()
                if method == "forward" and not found.recording.single:
                    results = found.recording.nested_results(results)
        elif not found.merged:
            self._make_anew()
        found.runner.release(rows)
        return results

    def values_and_gradients(self, variables: GradientVariables, samples: Any, each: bool) -> tuple[Any, Any] | None:
        """Return the values and the gradients for `value_and_grad`, for samples in numpy arrays or in a list.

        The variables must be arguments of the function, parameters in a list, or all parameters. For parameters,
        `each`, which asks for a value and a gradient of each sample, must be set, and samples must be in arrays. Return
        None for other variables, and for samples for which the method `results` would return None. `listed_samples`
        says which lists are read.
        """
        if type(samples) is list:
            ready = self.loaded("value_and_grad", samples, variables) if variables.arguments else None
            results = self._computed("value_and_grad", *ready, None, is_listed=True) if ready else None
            if not ready or results is None:
                return None
            values, flat = [row[0] for row in results], [row[1:] for row in results]
            return variables.of_list(values, flat, [ready[0].recording] * len(results), each)
        if not (variables.arguments or variables.may_be_columns(self._store.parameters)):
            return None
        found = self.results("value_and_grad", samples, None, variables)
        if found is None:
            return None
        if not variables.arguments:
            return found[:, 0].copy(), found[:, 1:].copy()
        given = as_tuple(samples)
        arrays = dict(zip(self._arguments.names_of(len(given)), given, strict=True))
        names = () if variables.are_inputs else variables.arguments
        shapes = [getattr(arrays[name], "shape", ())[1:] for name in names]
        return variables.of_arrays(found[:, 0].copy(), found[:, 1:], shapes, each)

    def mean_hessian(self, samples: Any, wrt: list[Any], dense: bool, out: Any) -> Any:
        """Return the Hessian of the mean result for samples in numpy arrays; `wrt` is a list of `Value`s.

        Return None if the samples are in a list, if there is no code for arrays of these shapes (see `runner`), if an
        entry is nan for which slower code may give a number, or if some of `wrt` are frozen or are not parameters.
        """
        if type(samples) is list or not (found := self.runner("mean_hessian", as_tuple(samples), wrt=wrt)):
            return None
        derivative = found.derivative
        if derivative is None or some_frozen(wrt):  # an error says so
            return None
        rows = found.runner.computed(as_tuple(samples))
        entries = derivative.mean_program[1](rows.gradients)
        found.runner.release(rows)
        if not derivative.gated and has_nan(entries):
            self._make_anew()
            return None
        return derivative.shaped_mean(entries, 1, sys.modules["numpy"] if out is None else None, out, dense)

    def _make_anew(self) -> None:
        """Drop all prepared calls, since a derivative was nan.

        The next ones are made for derivatives with gates, in which no 0 is multiplied by infinity.
        """
        self.runners.clear()
        self._repeated.clear()

    def runner(
        self,
        method: str,
        arrays: Sequence[Any],
        variables: GradientVariables | None = None,
        wrt: Sequence[Any] = (),
        called: str = "",
    ) -> ArrayCall | None:
        """Return code that computes a method for samples in numpy arrays of numbers, an array for each argument.

        Return None if the samples are not in such arrays, if the method was called only a few times with arrays of
        these shapes, if the function has branches that cannot be merged, or if it may have changed since it was
        recorded.

        `method` is "call", "forward", "gradient", "backward", "value_and_grad", "mean_hessian" or a key of MATRICES. In
        a "call", the arrays are the arguments of one sample, and numbers may be among them. For "value_and_grad",
        `variables` are those that `values_and_gradients` takes, and for "backward" parameters in a list, or None for
        all. For "mean_hessian", `wrt` has the variables. All other derivatives for each sample are with respect to all
        arguments. `called` is the method that the user called, if this is another one.
        """
        if is_inlining() or context.active:
            return None
        shapes = shapes_of(arrays, may_be_numbers=True) if method == "call" else shapes_of_columns(arrays)
        if shapes is None:
            self._note_other_form(called or method)
            return None
        return self._runner(method, shapes, variables, wrt, called=called)

    def _note_other_form(self, called: str) -> None:
        """Note a call with samples in a form for which no code is prepared, such as a column in a list.

        `called` is the method that the user called, or "call". `StaleCheck` tells such calls from calls with arrays:
        the first call of one sort after several of the other looks whether something that the function reads has
        changed.
        """
        self._stale.note_call("" if called == "call" else called, "another form")

    def _of_list(
        self, method: str, samples: list[Any], variables: GradientVariables | None = None, called: str = ""
    ) -> tuple[Any, ArrayCall | None]:
        """Return the numbers of the samples in a list, and the code that computes a method for them, as `runner` does.

        Return () and None if there is no such code, or if the samples are not lists of numbers.
        """
        if is_inlining() or context.active:
            return (), None
        if len(samples) == 1 and type(sample := samples[0]) is tuple and (forms := forms_of_sample(sample)):
            return sample, self._runner(method, forms[0], variables, inside=forms[1], called=called)
        if not (listed := self._listed(samples)):
            self._note_other_form(called or method)
            return (), None
        numbers, shapes, inside = listed
        return numbers, self._runner(method, shapes, variables, inside=inside, called=called)

    def _listed(self, samples: list[Any]) -> ListedSamples | None:
        """Return the numbers of samples as `listed_samples` does; None for namedtuples that are refused."""
        fields = getattr(type(samples[0]), "_fields", ()) if samples else ()
        return None if fields and self._arguments.in_other_order(fields) else listed_samples(samples)

    def _runner(
        self,
        method: str,
        shapes: tuple[Any, ...],
        variables: GradientVariables | None = None,
        wrt: Sequence[Any] = (),
        inside: tuple[TreeDef, ...] | None = None,
        now: bool = False,
        called: str = "",
    ) -> ArrayCall | None:
        """Return code that computes a method for arrays of these shapes, or for samples in a list; otherwise None.

        The cases of None, and the other arguments, are those of `runner`. For a list, `inside` says how each argument
        is nested (its treedef); see `listed_samples`. If `now` is set, code is prepared even if there were few calls.
        """
        stale, latest = self._stale, self._repeated.get(called or method)
        if (
            latest is not None
            and latest.method == method
            and latest.shapes == shapes
            and latest.inside == inside
            and latest.variables is variables
            and latest.parameter_count == len(self._store.parameters)
            and not (wrt or now)
        ):
            return latest.call if self._is_current(latest) else None
        if latest is not None and not (wrt or now):
            if latest.missed:
                self._repeated.pop(called or method, None)
            else:
                self._repeated[called or method] = latest._replace(missed=True)
        of: Any = method
        if variables is not None:
            of = variables.key if variables.arguments else (method, variables.key, len(self._store.parameters))
        key = (of, *map(id, wrt)) if wrt else of, shapes if inside is None else (shapes, inside)
        if not now:
            stale.note_call("" if method == "call" else called or method, key)
        if stale.is_due and stale.has_changed():
            return None
        found = self.runners.get(key, NOT_YET)
        if found is not NOT_YET:
            if found is None or found.merged is None or found.merged.is_current(self._store.parameters):
                if found and not (wrt or now):
                    name = called or method
                    if self._latest_keys.get(name) == key:
                        count = len(self._store.parameters)
                        self._repeated[name] = _Repeated(stale.latest, method, variables, count, shapes, inside, found)
                    self._latest_keys[name] = key
                return found
            self.runners.count_anew(key)
        kind, rows = "gradient" if method == "backward" else "forward", 1
        if method != "call" and shapes and shapes[0]:
            rows = shapes[0][0]
        if not (now or self.runners.is_due(key, functools.partial(has_prepared_driver, kind, rows))):
            return None
        made = self._make(method, shapes, variables, wrt, inside)
        if made is NOT_YET or (now and not made):  # the function may not be recorded yet
            self.runners.count_anew(key)
            return None
        if made:
            made = made._replace(
                reads=method != "call" and (inside is None or (shapes[0][0] == 1 and _are_arrays(inside))),
                adds=method == "backward" and made.program.adds_to_all and not made.program.has_held_constants,
            )
        self.runners.add(key, made)
        if made:
            self._limit_memory(key)
        return made

    def _is_current(self, latest: _Repeated) -> bool:
        """Note a call like the latest ones of its method, and return whether their code may be used for it, too.

        It may not if something that the function can read has changed, or if the function has a new recording that is
        to be merged.
        """
        stale = self._stale
        if latest.noted is not stale.latest or not stale.is_repeated:
            stale.note_kind(latest.noted)
        if (merged := latest.call.merged) and not merged.is_current(self._store.parameters):
            self._repeated.clear()
            return False
        return not (stale.is_due and stale.has_changed())

    def _limit_memory(self, key: Any) -> None:
        """Drop all prepared calls but the one with this key if there are many and their memory is large."""
        ready = {k: x.runner for k, x in [*self.runners.items()] if x}
        if len(ready) > MAX_SHAPES and sum([runner.doubles for runner in ready.values()]) > MAX_DOUBLES:
            for other in ready.keys() - {key}:
                self.runners.pop(other, None)
            self._repeated.clear()

    def copied(self, samples: Any) -> ListedSamples | None:
        """Return a copy of the numbers of samples, for `prepared_for_mean`.

        Return None if the samples are in a form that no code is prepared for.
        """
        if type(samples) is list:
            found = self._listed(samples)
        else:
            shapes = shapes_of_columns(arrays := as_tuple(samples))
            found = None if shapes is None else ListedSamples(arrays, shapes, None)
        if found and type(found.numbers) is tuple:
            return found._replace(numbers=tuple(map(sys.modules["numpy"].array, found.numbers)))
        return found

    def prepared_for_mean(self, samples: ListedSamples) -> ArrayCall | None:
        """Return code that computes the mean result and its gradient; None if there can be none.

        The code is prepared even if there were few calls.
        """
        if is_inlining() or context.active:
            return None
        return self._runner("backward", samples.shapes, inside=samples.treedefs, now=True)

    def add_gradient(self, samples: Any) -> float | None:
        """Return the mean result for samples, and add its gradient to that of the parameters, for `backward`.

        Return None, and add nothing, if there is no code for this, or if the mean is nan and the reason may be an index
        out of range. The samples, and the errors, are those of `gradient`.
        """
        ready = self.loaded("backward", samples, called="backward")
        if ready is None:
            return None
        found, rows = ready
        program = found.program
        if found.adds and not (found.merged and found.merged.leaves_gradients_out()):
            mean, left = found.runner.add_mean_gradient_of(rows)
            found.runner.release(rows)
            if not program.has_trainable:  # all parameters are frozen, so nothing was added
                check_has_trainable("backward", self._arguments.name, [program])
            if left is None:
                if outdated.expected:
                    outdated.note_gradients(program.parameters)
                return mean
            if isnan(mean) and (found.merged or found.recording.has_indices):
                return None
        elif (gradient := self._gradient("backward", found, rows)) is None:
            return None
        else:
            _, program, _, mean, left = gradient
        add_gradients([program.as_gradients(left)])
        return mean

    def gradient(self, name: str, samples: Any, variables: GradientVariables | None = None) -> MeanGradient | None:
        """Return the mean result and its gradient for samples in numpy arrays, or in a list as in `listed_samples`.

        `name` is the method that needs the gradient. If `variables` is not None, the derivatives with respect to other
        parameters may be 0 instead. Return None if there is no code for such samples (see `runner`), if the mean is nan
        and the reason may be an index out of range, or if the program is merged from several branches, and cannot be
        used: `MergedRecordings.mean_gradient` says when.

        Raises:
            ValueError: the program is not merged, and one of its constants requires a gradient now.
            RuntimeError: it is not merged, and `backward` would give no parameter a gradient.
        """
        ready = self.loaded("backward", samples, variables, called=name)
        return self._gradient(name, *ready) if ready else None

    def _gradient(self, name: str, found: ArrayCall, rows: Any) -> MeanGradient | None:
        """Return what `gradient` returns for the samples in `rows`, computed by code that was found for them."""
        runner, program, recording, merged = found[:4]

        def compute() -> tuple[float, array[float]]:
            computed = runner.mean_gradient_of(rows)
            runner.release(rows)
            return computed

        if merged:
            return merged.mean_gradient(name, program, compute)
        program.check_frozen(name)
        if name == "backward" and not program.has_trainable:
            check_has_trainable(name, self._arguments.name, [program])
        mean, gradient = compute()
        return None if isnan(mean) and recording.has_indices else (recording, program, 1.0, mean, gradient)

    def _make(
        self,
        method: str,
        shapes: tuple[Any, ...],
        variables: GradientVariables | None,
        wrt: Sequence[Any],
        inside: tuple[TreeDef, ...] | None,
    ) -> ArrayCall | None:
        """Return code that computes a method for samples in arrays of some shapes; see `_runner`.

        Return None if the method cannot be computed in this way, or if there is no recording for such arrays. Return
        NOT_YET if a merged program, which computes all branches, is needed and is not ready yet. The caller then
        counts calls from 0 again before the next attempt.
        """
        if method == "call":
            shapes = tuple([(1, *shape) for shape in shapes])
        collecting = self._arguments.collecting if method == "call" else ""
        treedef = treedef_of_shapes(self._arguments.names_of(len(shapes)), shapes, collecting, inside)
        recordings = self._store.recordings.get(((), treedef), ())
        if not recordings:
            return None
        first, merged = recordings[0], self._store.merged_of(recordings)
        if matrix := MATRICES.get(method):
            is_listed = inside is not None
            return None if merged or first.indices.counts else _matrix_call(*matrix, first, shapes, is_listed)
        if not (first.single or method in ("call", "forward")):
            return None
        if method == "mean_hessian":
            return None if merged else _mean_call(first, wrt, shapes)
        of_each = variables and method != "backward" and not variables.arguments
        if variables and of_each and (merged or not _have_columns(variables, first.program)):
            return None
        if merged:
            program = self._merged_program(merged, method, variables)
            if program is None:
                return NOT_YET
            nan_stride = len(program.outputs)  # the first output of a row is nan if there is no program for its branch
        else:
            program, nan_stride = self._program(first, method, variables)
        if program is None or (method == "backward" and not (program.has_gradient and self._store.parameters)):
            return None
        kind = "gradient" if method == "backward" else "forward"
        of_result = () if program.has_one_output else (len(program.outputs),)
        if kind == "forward" and _has_many_results(shapes, of_result):
            return None
        compiled = program.compiled
        if variables and method == "backward" and not merged:
            compiled = compiled.with_gradient_of(variables.values)
        runner = ArrayRunner(compiled, kind, shapes, of_result, nan_stride, is_listed=inside is not None)
        return ArrayCall(runner, program, first, merged)

    def _merged_program(
        self, merged: MergedRecordings, method: str, variables: GradientVariables | None
    ) -> Program | None:
        """Return the program that computes a method in all branches; None if it is not ready yet."""
        if kind := GRADIENTS.get(method):
            return merged.derivative(kind, self._wrt_of(variables), variables.key if variables else "inputs", 0)
        if method == "backward":
            return merged.loss(0)
        return merged.call(0) if method == "call" else merged.forward(0)

    def _program(
        self, recording: Recording, method: str, variables: GradientVariables | None
    ) -> tuple[Program | None, int]:
        """Return the program that computes a method for samples of a recording, and the `nan_stride` for `ArrayRunner`.

        The program is None if each call may have to raise an error, or if all results are constants. The `nan_stride`
        is 1 if any result may be nan where it should not be, and 0 otherwise.
        """
        if not (kind := GRADIENTS.get(method)):
            return recording.program, 0
        if recording.indices.counts or not recording.program.has_gradient:
            return None, 0
        derivative = recording.program.derivative_for_calls(kind, self._wrt_of(variables)(recording))
        return derivative.program, int(not derivative.gated)

    def _wrt_of(self, variables: GradientVariables | None) -> Callable[[Recording], Any]:
        """Return a function that takes a recording, and returns the argument `wrt` for it: "inputs", or `variables`."""
        if variables is None:
            return lambda recording: "inputs"
        return functools.partial(variables.in_program, parameters=self._store.parameters)


def _loaded_as_before(latest: _Repeated, samples: Any) -> Any:
    """Return what `ArrayRunner.loaded` returns, for samples with the shapes of the last calls, which were `latest`.

    Return None for samples of other shapes, and for those that cannot be read in this way, which takes less time.
    """
    call, kind = latest.call, type(samples)
    if call.reads:
        arrays = None
        if latest.inside is None:
            arrays = samples if kind is tuple else (samples,)
        elif kind is list and len(samples) == 1:
            arrays = samples[0]
        return call.runner.read(arrays)
    if latest.inside is None or kind is not list or len(samples) != latest.shapes[0][0]:
        return None
    numbers = numbers_as_before(samples, latest.inside)
    return None if numbers is None else call.runner.loaded(numbers)


def _are_arrays(treedefs: Sequence[TreeDef]) -> bool:
    """Return whether arguments that are nested as `treedefs` say are all arrays or numbers."""
    return all(type(each) is ArrayDef or each is None for each in treedefs)


def _have_columns(variables: GradientVariables, program: Program) -> bool:
    """Return whether a prepared call can compute the derivatives with respect to `variables`, which are not arguments.

    It cannot if a variable is not a parameter of the program. If the variables are all parameters of the function, it
    cannot if a constant of the program may require a gradient by now, since each call then has to check this.
    """
    if not variables.values:
        return not program.has_held_constants
    return {*map(id, program.parameters)}.issuperset(map(id, variables.values))


def _matrix_call(
    kind: Kind, dense: bool, recording: Recording, shapes: Sequence[Any], is_listed: bool
) -> ArrayCall | None:
    """Return a prepared call that computes Jacobians or Hessians for samples in arrays of some shapes, or in a list.

    `kind` is "jacobian" or "hessian". If `dense` is set, the results are whole matrices. Otherwise they have only the
    entries that can be nonzero. Return None if all entries of the matrix are constants, if the results for all samples
    have so many numbers that a prepared call would save little time, or if `dense` is set and more than three quarters
    of the entries are always 0.
    """
    derivative = recording.program.derivative_for_calls(kind)
    made, structure = derivative.whole if dense else derivative.program, derivative.structure
    if not made or not (dense or len(made.outputs) * shapes[0][0] <= MAX_NUMBERS):
        return None
    of_result, nan_stride = structure.shape if dense else (structure.entries,), int(not derivative.gated)
    if _has_many_results(shapes, of_result):
        return None
    runner = ArrayRunner(made.compiled, "forward", shapes, of_result, nan_stride, is_listed)
    return ArrayCall(runner, made, recording, None)


def _has_many_results(shapes: Sequence[Shape], of_result: Sequence[int]) -> bool:
    """Return whether the results have so many numbers that copying them would cost more than a prepared call saves.

    Args:
        shapes: the shapes of the arrays of samples. Their first axis runs over the samples.
        of_result: the shape of the result for one sample.
    """
    return shapes[0][0] * prod(of_result) > MAX_RESULTS


def _mean_call(recording: Recording, wrt: Sequence[Any], shapes: Sequence[Any]) -> ArrayCall | None:
    """Return a prepared call that computes the Hessian of the mean result for samples in arrays of some shapes.

    `wrt` has variables. Return None if one of them is not a parameter of the recording's program, or is frozen, if all
    entries are constants, if an argument of the function is an index, which may be out of range, if the function uses
    nodes that were computed before the call, or if its result has no gradient.
    """
    program = recording.program
    if not {*map(id, program.parameters)}.issuperset(map(id, wrt)):  # by identity, since anything may be in `wrt`
        return None
    if recording.indices.counts or program.compiled.captured or not program.has_gradient or some_frozen(wrt):
        return None
    derivative = program.derivative_for_calls("hessian", wrt)
    if not derivative.program:
        return None
    made, _ = derivative.mean_program
    runner = ArrayRunner(made.compiled, "gradient", shapes, ())
    return ArrayCall(runner, made, recording, None, derivative)


def as_tuple(samples: Any) -> tuple[Any, ...]:
    """Return `samples` unchanged if it is a tuple of arrays; return an array as a tuple of this array alone."""
    return samples if type(samples) is tuple else (samples,)
