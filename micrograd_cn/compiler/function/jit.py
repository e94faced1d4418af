"""`compile(f)`: a function is recorded when it is first called, and is a program from then on, one for each form."""

from __future__ import annotations

import copy
import functools
import inspect
import re
import reprlib
import sys
from array import array
from collections import OrderedDict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from itertools import chain
from types import FunctionType
from typing import Any, NoReturn, TypeAlias, TypeVar, overload

from ...derivatives.tree import flatten
from ...engine import Value, constant
from ...graph import context
from ...ops.number import number
from ...optim import Optimizer
from ..data.captured import CapturedValue
from ..data.parameters import add_gradients
from ..data.rows import row_numbers, writable_address
from ..data.samples import (
    Bucket,
    TreeDef,
    bucket_samples,
    first_invalid,
    flatten_arrays,
    leaf_paths,
    numpy_like,
    select_rows,
    static_value,
    treedef_of,
    unflatten,
)
from ..derivatives import Program, Variables
from ..python import ParameterNames
from ..runtime.executable import CompiledGraph, collector_off
from ..threads.forks import ForkSafeLock
from ..threads.tasks import check_threads
from ..training.epochs import Progress, Shuffler, TrainingOptions, refuse_split_samples
from ..training.run import Dispatched, Dispatcher, TrainingRun
from ..training.state import check_trainable
from .guards import (
    CompiledGuards,
    Guard,
    GuardError,
    RecordingHooks,
    TracedInput,
    inline_compiled,
    is_inlining,
    user_location,
)

# What Python or numpy says where a plain number is wanted: as an index, by int(), range(), round(), % or math.exp().
PLAIN_NUMBER_ERRORS = (
    r"not '?(Value|Traced\b)|cannot be interpreted|doesn't define|for (%|//|divmod\(\))|indices|non-int|no callable"
)
INSTEAD = "write take(xs, index) for xs[index], and the table's operations, such as exp(), for math's"
POSITIONAL_KINDS = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
F = TypeVar("F", bound=Callable[..., Any])


@overload
def compile(f: Value | Sequence[Value], inputs: Iterable[Value]) -> Program: ...  # noqa: A001
@overload
def compile(f: Callable[..., Any], *, static: Iterable[str] = (), branches: bool = False) -> CompiledFunction: ...  # noqa: A001
@overload
def compile(*, static: Iterable[str] = (), branches: bool = False) -> Callable[[F], CompiledFunction]: ...  # noqa: A001
def compile(  # noqa: A001 -- the field's name
    f: Any = None, inputs: Iterable[Value] | None = None, static: Iterable[str] = (), branches: bool = False
) -> Any:
    """Compile a function, also as a decorator; or, given `inputs`, a graph that has been recorded.

    A function is recorded when it is called with arguments of a new form: its numbers, in whatever nesting of lists,
    tuples, dicts and arrays, are `Value`s then, and other `Value`s that it uses are parameters, read at each call; of
    these, those that require no gradient then are constants, and stay what they are then. What the function does once,
    it does for all arguments of that form; a comparison of values, by which Python code may branch, is looked at for
    every sample, and one that comes out otherwise is an error, unless `branches` lets the function be recorded again
    for it. What is detached, or computed in `no_grad()`, is computed for every sample too, without a gradient. A number
    that is read of a value, as by `x.data`, its truth, or its hash would be the same for all samples: they are refused,
    but of constants; so are `requires_grad` that is another one for a part of the function, results of other programs,
    and what another thread computes of an argument. A `Value` that was computed before the call has the data that it
    has, as in the plain function, not what its operands have become. What else Python code does, such as reading a
    random number, a list or a `grad`, it does once: let `check` compare with the function.

    Numbers are the eager engine's but for rounding:

    - A sum is added up term by term, not rounded once; in `dot` and in sums of gradients, products are not rounded
      before they are added. Gradients are summed in another order than `backward()` has. So a sum may overflow on its
      way although the engine's, rounded once, is finite: `check` tells.
    - Functions of many rows at once are within the units in the last place that `compiler.llvm.functions.ULPS` names,
      at most 4, of the exact result. Single rows have C's functions, and those of many rows where several of one kind
      are computed together; x**2 is x * x.
    - Where what is compared is equal but for such rounding, a comparison may come out either way: the sample has the
      branch of the engine or, once there is a program for it, the other one.
    - Up to 2 rows are computed one at a time, with vectors along the operands of sums, and more rows side by side. So
      sums of at least 8 products differ between these by their rounding: n products by at most n units in the last
      place of the sum of their sizes.

    The program begins as threaded code, which is made in little time: about 85 us a node or less on a core of 2022, and
    for the first program of a process, or the first with an operation, some milliseconds more (about 20, and 1 or less
    for each kind of operation). Once that has run, or in `fit` is going to run, about as long as native code takes to
    make, the graph gets that, several times as fast, unless it is so large that it would take more than a few seconds.
    Numbers are the same to the last bit. A program holds about 6 numbers a parameter, `fit` twice as many and the
    optimiser's state, and besides a panel of rows, about a megabyte.

    Args:
        f: takes numbers, and returns a `Value` or lists, tuples and dicts of them; or a recorded `Value`, or a list.
        inputs: of a recorded graph, the leaves that change from sample to sample, in the order of a row. All other
            leaves that require a gradient are parameters; constants stay what they are now.
        static: the names of arguments that stay Python values: there is a program for each value of them.
        branches: whether samples for which a comparison comes out otherwise have a program of their own.

    Returns:
        a `CompiledFunction`, or of a recorded graph a `Program`.

    Raises:
        TypeError: what is given is neither, or an operation cannot be compiled; it is named.
        ValueError: one of `inputs` is no leaf, a constant, or there twice; there is no output; or `static` names no
            argument.

    >>> w = Value(3, "w")
    >>> @compile
    ... def f(x):
    ...     return w * x
    >>> f(10)
    30.0
    >>> f.backward([(1,), (10,)]), w.grad
    (16.5, 5.5)
    >>> x = Value(2, "x")
    >>> program = compile(w * x, inputs=[x])
    >>> program.forward([[1], [10]])
    [3.0, 30.0]
    """
    if inputs is not None:
        return Program(f, inputs)
    if f is None:
        return functools.partial(CompiledFunction, static=static, branches=branches)
    if isinstance(f, Value) or not callable(f):
        what = (
            "a recorded graph, and not its inputs"
            if isinstance(f, (Value, list, tuple))
            else f"{type(f).__name__} {f!r}"
        )
        raise TypeError(f"compile() takes a function, or a recorded graph and its inputs=; it was given {what}")
    return CompiledFunction(f, static, branches)


class Recording:
    """A function recorded for a sample: its program, and what must hold for other samples to have the same one.

    Attributes:
        outcomes: of its comparisons, in their order: how each came out, where it is, and what it compares.
        single: whether the function returns one number, not a list of one or more.
        count: how many numbers it returns.
        rebuild: puts numbers in the place of the outputs.
        program: of its outputs.
        guards: what must hold.
    """

    program: Program
    guards: CompiledGuards

    def __init__(
        self,
        name: str,
        call: Callable[..., Any],
        treedef: TreeDef,
        numbers: Sequence[float],
        captured: dict[Value, CapturedValue],
    ) -> None:
        labels = [label for argument, part in treedef for label in leaf_paths(part, argument)]
        self._inputs = [TracedInput(x, label) for x, label in zip(numbers, labels, strict=True)]
        values = iter(self._inputs)
        arguments = {argument: unflatten(part, values) for argument, part in treedef}
        recorded = RecordingHooks()
        try:
            with collector_off(), recorded.recording(self._inputs):
                result = call(arguments)
        except (TypeError, IndexError) as error:
            if re.search(PLAIN_NUMBER_ERRORS, str(error)):
                error.add_note(f"{name} is recorded with Values in its arguments' place; {INSTEAD}")
            raise
        leaves, self.rebuild = flatten(result)
        if not leaves:
            raise TypeError(f"{name} returned {result!r}, in which there is no number")
        outputs = [_output(name, path, x) for path, x in leaves]
        self.single, self.output_count = not leaves[0][0], len(leaves)
        self._outputs, self._guards = recorded.with_captured_leaves(outputs, captured)
        self.outcomes = [guard[1:] for guard in self._guards]

    def compile(self, make: Callable[..., Program]) -> None:
        """Make its programs."""
        self.guards = CompiledGuards(self._guards, self._inputs, make)
        outputs = self._outputs[0] if self.single else self._outputs
        self.program = make(outputs, self._inputs)  # it has the guards' parameters too


RecordingRows: TypeAlias = "tuple[Recording, array[int]]"  # with the rows that it is for


class CompiledFunction:
    """A function that is compiled; see `compile`.

    Attributes:
        parameters: the leaves that it has used so far beside its arguments: what they are is read at each call.

    >>> from micrograd_cn.compiler import compile
    >>> from micrograd_cn.optim import SGD
    >>> w = Value(0.0, "w")
    >>> @compile
    ... def loss(x, target):
    ...     return (w * x - target) ** 2
    >>> loss(1, 3)
    9.0
    >>> losses = loss.fit([(1, 3), (2, 6)], SGD([w], lr=0.1), epochs=50)
    >>> round(w.data, 6), round(loss(10, 0), 3)
    (3.0, 900.0)
    >>> loss  # doctest: +ELLIPSIS
    compiled loss(x, target): 1 program
      (x, target): 3 operations, 1 parameter, ... code, ... kB
    """

    def __init__(self, f: Callable[..., Any], static: Iterable[str] = (), branches: bool = False) -> None:
        functools.update_wrapper(self, f)
        self._f, self._branches = f, branches
        self._name = getattr(f, "__name__", type(f).__name__)
        self._signature = inspect.signature(f)
        self._static = (static,) if isinstance(static, str) else tuple(static)
        for argument in self._static:
            if argument not in self._signature.parameters:
                raise ValueError(f"static={argument!r} is no argument of {self._name}{self._signature}")
        kinds = {p.kind for p in self._signature.parameters.values()}
        plain = not self._static and kinds <= POSITIONAL_KINDS
        self._positional = tuple(self._signature.parameters) if plain else ()
        self._recordings: dict[Any, list[Recording]] = {}
        self.parameters: list[Value] = []
        self._programs: list[Program] = []
        self._captured: dict[Value, CapturedValue] = {}
        self._lock = ForkSafeLock()
        self._method: CompiledFunction | None = None  # what this is of an instance
        self._instance: Any = None
        self._attribute = self._name

    # What Python asks.

    def __set_name__(self, owner: type, name: str) -> None:
        """Know the name by which instances of a class have it."""
        self._attribute = name

    def __get__(self, instance: Any, owner: type | None = None) -> CompiledFunction:
        """Return the function of an instance, of which it is a method: compiled for each, as each has its parameters.

        Raises:
            TypeError: the instance has no room for it.

        >>> class Line:
        ...     def __init__(self, w):
        ...         self.w = Value(w)
        ...     @compile
        ...     def loss(self, x, y):
        ...         return (self.w * x - y) ** 2
        >>> a, b = Line(2), Line(5)
        >>> a.loss(1, 1), b.loss(1, 1), a.loss is a.loss, a.loss.parameters == [a.w]
        (1.0, 16.0, True, True)
        """
        bind = getattr(type(self._f), "__get__", None)
        if instance is None or bind is None:
            return self
        held = getattr(instance, "__dict__", None)
        if not isinstance(held, dict):  # a class has one that cannot be changed
            raise TypeError(
                f"{self._name} is a method of a {type(instance).__name__}, which has no __dict__ for its program; "
                "compile a function of the instance's values"
            )
        key = f"_compiled_{getattr(self._f, '__qualname__', self._attribute)}"  # which `super()` may call too
        found = held.get(key)
        if not (isinstance(found, CompiledFunction) and found._method is self and found._instance is instance):
            found = held[key] = CompiledFunction(bind(self._f, instance, owner), self._static, self._branches)
            found._method, found._instance = self, instance
        return found

    def __copy__(self) -> CompiledFunction:
        return CompiledFunction(self._f, self._static, self._branches)

    def __deepcopy__(self, memo: dict[int, Any]) -> CompiledFunction:
        """Return the same of a copy of the function: of a method, that of the copied instance."""
        if self._method:
            return self._method.__get__(copy.deepcopy(self._instance, memo))
        return CompiledFunction(copy.deepcopy(self._f, memo), self._static, self._branches)

    def __reduce__(self) -> Any:
        """Pickle the function by its name, as Python pickles functions: it is recorded anew where it is read.

        Raises:
            TypeError: it is local to another function, or a lambda, and has no name by which it could be found.
        """
        if self._method:
            return getattr, (self._instance, self._method._attribute)
        if isinstance(self._f, FunctionType):
            found: Any = sys.modules.get(self._f.__module__)
            for part in self._f.__qualname__.split("."):
                found = getattr(found, part, None)
            if found is self:
                return self._f.__qualname__
            if found is not self._f:
                raise TypeError(
                    f"cannot pickle compiled {self._name}{self._signature}: functions are pickled by their names, and "
                    f"{self._f.__module__} has none named {self._f.__qualname__}; define it at the top of a module"
                )
        return CompiledFunction, (self._f, self._static, self._branches)

    # What a user calls.

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the function's result for one sample, floats in the place of values.

        While another function is being recorded, which calls it, it is the plain function, and a part of that one.

        Raises:
            TypeError: an argument holds something else than numbers; or the function's own error.
            GuardError: a comparison comes out otherwise than while it was recorded.
        """
        if is_inlining():
            return self._f(*args, **kwargs)
        bucket = self._bucket_of(args, kwargs)
        if not (context.active and context.here().detect_anomaly):
            for recording in self._recordings.get((bucket.static, bucket.treedef), ()):
                if recording.guards.hold(bucket.numbers):
                    numbers = recording.program.row(bucket.numbers)
                    return numbers[0] if recording.single else recording.rebuild(numbers.tolist())
        [(recording, rows)] = self._dispatch(bucket, row_numbers(1))
        out = array("d", bytes(8 * recording.output_count))
        recording.program.outputs_of(bucket.numbers, rows, 1, out)
        return out[0] if recording.single else recording.rebuild(out.tolist())

    def forward(self, samples: Any, threads: int = 1, out: Any = None) -> Any:
        """Return the result for every sample: what calls return, in a fraction of their time.

        They are a list; numbers, and derivatives, of samples in numpy arrays are an array.

        Args:
            samples: as for `backward`.
            threads: as for `backward`.
            out: a buffer of doubles for the numbers of all results, one sample after the other, which is returned.

        Raises:
            TypeError, GuardError: as for a call.
            ValueError: `out` has room for more numbers or fewer, or results have not equally many.

        >>> f = compile(lambda x, y: {"sum": x + y, "product": x * y})
        >>> f.forward([(1, 2), (3, 4)])
        [{'sum': 3.0, 'product': 2.0}, {'sum': 7.0, 'product': 12.0}]
        """

        def results(recording: Recording, rows: Any, to: Any) -> Any:
            found = recording.program.forward(rows, threads, to)
            if to is not None or recording.single:
                return found
            return [recording.rebuild(numbers) for numbers in (found if isinstance(found, list) else found.tolist())]

        return self._map_samples("forward", samples, threads, out, results)

    def gradient(self, samples: Any, wrt: Variables = "inputs", threads: int = 1, out: Any = None) -> Any:
        """Return the gradient of the result for every sample: with respect to its arguments' numbers, in their order.

        Args:
            samples: as for `backward`.
            wrt: "inputs", the arguments' numbers; "parameters"; or some of `.parameters`.
            threads, out: as for `forward`.

        Raises:
            TypeError, ValueError, RuntimeError, GuardError: as for `Program.gradient` and `forward`.

        >>> compile(lambda p, scale: scale * p[0] * p[1]).gradient([([2, 3], 1), ([5, 7], 10)])
        [[3.0, 2.0, 6.0], [70.0, 50.0, 35.0]]
        """
        wrt = wrt if isinstance(wrt, str) else list(wrt)
        return self._map_samples(
            "gradient",
            samples,
            threads,
            out,
            lambda recording, rows, to: recording.program.gradient(rows, self._wrt(wrt, recording), threads, to),
        )

    def jacobian(
        self, samples: Any, wrt: Variables = "inputs", dense: bool = False, threads: int = 1, out: Any = None
    ) -> Any:
        """Return the Jacobian of the results for every sample: as for `Program.jacobian`.

        Entries are those of `program(...).jacobian_structure()` with the arguments of the sample.

        >>> compile(lambda x, y: [x * y, 3 * y]).jacobian([(5, 7)], dense=True)
        [[[7.0, 5.0], [0.0, 3.0]]]
        """
        wrt = wrt if isinstance(wrt, str) else list(wrt)
        return self._map_samples(
            "jacobian", samples, threads, out,
            lambda recording, rows, to: recording.program.jacobian(rows, self._wrt(wrt, recording), dense, threads, to),
        )  # fmt: skip

    def hessian(
        self,
        samples: Any,
        lower: bool = False,
        wrt: Variables = "inputs",
        dense: bool = False,
        threads: int = 1,
        out: Any = None,
    ) -> Any:
        """Return the second derivatives of the result for every sample: as for `Program.hessian`.

        Entries are those of `program(...).hessian_structure()` with the arguments of the sample.

        >>> compile(lambda p: p[0] ** 2 * p[1]).hessian([([2, 3],)], dense=True)
        [[[6.0, 4.0], [4.0, 0.0]]]
        """
        wrt = wrt if isinstance(wrt, str) else list(wrt)
        return self._map_samples(
            "hessian", samples, threads, out,
            lambda recording, rows, to: recording.program.hessian(rows, lower, self._wrt(wrt, recording), dense, threads, to),
        )  # fmt: skip

    def backward(self, samples: Any, threads: int = 1) -> float:
        """Return the mean result over the samples, and add its gradient to the `grad` of every parameter.

        Args:
            samples: tuples of arguments; or a tuple of arrays, one for each argument, of which the first index is the
                sample: arrays take a fraction of the time that tuples take to be read.
            threads: how many compute at the same time.

        Raises:
            TypeError: a sample is no tuple of arguments, or an argument holds something else than numbers.
            ValueError: there are no samples, or the function gives more than one number.
            GuardError: as for a call.
        """
        check_threads("backward", threads)
        found = self._buckets("backward", samples)
        n = sum(len(bucket.samples) for bucket in found)
        parts = []
        for bucket in found:
            for recording, rows in self._dispatch(bucket, row_numbers(len(bucket.samples)), threads):
                self._check_single("backward", recording)
                parts.append((recording.program, bucket, rows))
        self._check_gradient("backward", [program for program, *_ in parts])
        total, sums = 0.0, list[tuple[Sequence[Value], list[float], float]]()
        for program, bucket, rows in parts:  # a constant among others has the gradient 0
            loss, gradients = program.gradient_of(bucket.numbers, rows, threads)
            weight = len(rows) / n
            total += weight * loss
            sums.append((program.parameters, gradients, weight))
        for found_sums in sums:  # when no more can fail
            add_gradients(*found_sums)
        return total

    @refuse_split_samples
    def fit(
        self,
        samples: Any,
        optimizer: Optimizer,
        epochs: int,
        batch_size: int | None = None,
        shuffle: Shuffler | None = None,
        schedule: Callable[[int], float] | None = None,
        threads: int = 1,
        progress: Progress = False,
        each_step: bool = False,
    ) -> list[float]:
        """Train, and return the mean loss of each epoch; as a loop over the batches would, but compiled.

        Steps come back to Python where a sample has a new form, and where a parameter has a part in a comparison, or
        several threads compute samples of several forms; others follow each other in a compiled loop.

        Args:
            samples: as for `backward`; samples of several forms may be mixed, and keep their order.
            optimizer, epochs, batch_size, shuffle, schedule, threads, progress, each_step: as for `Program.fit`.

        Raises:
            TypeError, ValueError, GuardError: as for `backward` and `Program.fit`.
        """
        found = self._buckets("fit", samples)
        options = TrainingOptions(optimizer, epochs, batch_size, shuffle, schedule, threads, progress, each_step)
        for recording in chain.from_iterable([self._recordings.get((t.static, t.treedef), ()) for t in found]):
            for program in (recording.program, recording.guards.program):
                if program:
                    check_trainable(optimizer, program.compiled)
        if len(found) == 1:  # all of it is looked at before the first step
            groups = self._dispatch(found[0], row_numbers(len(found[0].samples)), threads)
            self._graphs_for_fit(groups)
            if all(recording.guards.parameter_free for recording, _ in groups):
                self._check_gradient("fit", [recording.program for recording, _ in groups])

        def known(bucket: Bucket, rows: array[int], parameters: Callable[[], int]) -> tuple[Dispatched, array[int]]:
            assigned, left = self._dispatch_known(bucket, rows, threads, parameters)
            return self._graphs_for_fit(assigned), array("q", left)

        def recorded(bucket: Bucket, rows: array[int]) -> Dispatched:
            return self._graphs_for_fit(self._record_missing(bucket, rows, threads))

        dispatcher = Dispatcher(known, recorded, self._parameter_free_rows, lambda: self.parameters)
        return TrainingRun(found, dispatcher, options).fit()

    def check(self, samples: Any, rtol: float = 1e-9, atol: float = 1e-12) -> None:
        """Compare the results for some samples with those of the function itself.

        Raises:
            Mismatch: an AssertionError; they differ for a sample, which is named: the function has read a number of
                something that it has computed.
            TypeError, ValueError, GuardError: as for `backward`.
        """
        for bucket in self._buckets("check", samples):
            for recording, rows in self._dispatch(bucket, row_numbers(len(bucket.samples))):
                width = bucket.width
                numbers = {bucket.samples[i]: list(bucket.numbers[i * width : (i + 1) * width]) for i in rows}
                recording.program.check_named("sample", numbers, self._flat_function(bucket), rtol, atol)

    def source(
        self,
        language: str = "llvm",
        parameters: ParameterNames | None = None,
        *,
        name: str = "f",
        precision: str = "double",
        weights: str = "passed",
        optimizer: Optimizer | None = None,
    ) -> str:
        """Return the text of the program, see `Program.source`.

        It computes the branch that was recorded, and looks at no comparison; where there may be others, write them with
        `where`.

        Raises:
            ValueError: it has been called for no form of arguments yet, or for several: `.program(...)` has each.
        """
        known = [recording for recordings in self._recordings.values() for recording in recordings]
        if len(known) != 1:
            raise ValueError(
                f"{self._name} has {len(known) or 'no'} programs; write {self._name}.program(...).source({language!r}) "
                "with the arguments of a sample"
            )
        return known[0].program.source(
            language, parameters, name=name, precision=precision, weights=weights, optimizer=optimizer
        )

    def program(self, *args: Any, **kwargs: Any) -> Program:
        """Return the program for the arguments of a sample, recorded if there is none yet; it has derivatives too.

        It computes the branch of that sample for all rows.
        """
        return self._dispatch(self._bucket_of(args, kwargs), row_numbers(1))[0][0].program

    def __repr__(self) -> str:
        known = [(key, recording) for key, recordings in self._recordings.items() for recording in recordings]
        count = f"{len(known)} program{'s' * (len(known) != 1)}" if known else "not called yet"
        lines = [f"compiled {self._name}{self._signature}: {count}"]
        for (static, treedef), recording in known:
            values = [f"{name}={x.value!r}" for name, x in static]
            lines.append(f"  ({', '.join([*map(_describe_argument, treedef), *values])}): {recording.program!r}")
        return "\n".join(lines)

    # From samples to recordings.

    def _split_static(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the values of static arguments, and the other ones by name."""
        if self._positional and len(args) == len(self._positional) and not kwargs:
            return (), dict(zip(self._positional, args, strict=True))
        bound = self._signature.bind(*args, **kwargs).arguments
        static = tuple([(name, static_value(name, bound.pop(name))) for name in self._static if name in bound])
        return static, bound

    def _bucket_of(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Bucket:
        """Return the bucket of one sample."""
        static, arguments = self._split_static(args, kwargs)
        numbers = array("d")
        try:
            treedef = tuple([(name, treedef_of(x, numbers)) for name, x in arguments.items()])
        except TypeError:
            raise TypeError(f"{self._name}: {first_invalid(arguments)}") from None
        bucket = Bucket(treedef, static)
        bucket.numbers, bucket.width, bucket.samples = numbers, len(numbers), [0]
        return bucket

    def _buckets(self, name: str, samples: Any, some: bool = True) -> list[Bucket]:
        if is_inlining():
            raise TypeError(
                f"{user_location()}: {name}() of {self._name} as a part of another function would be the same number for every "
                "sample; call it, or take its derivative by functional.grad"
            )
        wanted = [p for p in self._signature.parameters if p not in self._static]
        arrays = samples if isinstance(samples, tuple) else (samples,)
        if arrays and all(getattr(x, "shape", ()) for x in arrays) and len(arrays) <= len(wanted):
            if any(self._signature.parameters[p].kind is inspect.Parameter.VAR_POSITIONAL for p in wanted):
                raise TypeError(f"{name}(): an array for each argument of {self._name}{self._signature}; give tuples")
            treedefs, numbers, n = flatten_arrays(arrays)
            bucket = Bucket(tuple(zip(wanted, treedefs, strict=False)))
            bucket.numbers, bucket.samples = numbers, range(n)
            bucket.width = len(numbers) // n if n else 0
            found = [bucket]
        else:
            found = bucket_samples(samples, self._checked_split)
        found = [bucket for bucket in found if len(bucket.samples)]
        if some and not found:
            raise ValueError(f"{name}() was given no samples, of which there is no mean")
        return found

    def _wrt(self, wrt: Any, recording: Recording) -> Any:
        """Return what a derivative is with respect to: all parameters of the function, whichever a program has."""
        return (
            self.parameters if wrt == "parameters" and len(recording.program.parameters) < len(self.parameters) else wrt
        )

    def _map_samples(
        self, name: str, samples: Any, threads: int, out: Any, compute: Callable[[Recording, Any, Any], Any]
    ) -> Any:
        """Return what is computed of the samples by their recordings, in their order, or in `out`."""
        check_threads(name, threads)
        found = self._buckets(name, samples, some=False)
        groups = [
            (bucket, *group)
            for bucket in found
            for group in self._dispatch(bucket, row_numbers(len(bucket.samples)), threads)
        ]
        if len(groups) == 1:
            [(bucket, recording, rows)] = groups
            return compute(recording, numpy_like(samples, select_rows(bucket, rows)), out)
        results: list[Any] = [None] * sum(len(bucket.samples) for bucket in found)
        for bucket, recording, rows in groups:
            for row, result in zip(
                rows, compute(recording, numpy_like(samples, select_rows(bucket, rows)), None), strict=True
            ):
                results[bucket.samples[row]] = result
        if out is None:
            return numpy_like(samples, results)
        numbers = [[x for _, x in flatten(result)[0]] for result in results]
        if len({*map(len, numbers)}) > 1:
            raise ValueError(
                f"{name}(): results of {self._name} have not equally many numbers, so that out has no rows"
            )
        if writable_address(out, sum(map(len, numbers))):
            memoryview(out).cast("B")[:] = array("d", chain.from_iterable(numbers)).tobytes()
        return out

    def _checked_split(self, numbered: tuple[int, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        i, sample = numbered
        if not isinstance(sample, (tuple, list)):
            arrays = getattr(sample, "shape", ())
            instead = "write a tuple (X, y) of arrays" if arrays else "write (x,) for one argument"
            raise TypeError(
                f"sample {i} is {type(sample).__name__} {reprlib.repr(sample)}, not a tuple of arguments of "
                f"{self._name}{self._signature}; {instead}"
            )
        try:
            return self._split_static(sample, {})
        except TypeError as error:
            raise TypeError(f"sample {i} has not the arguments of {self._name}{self._signature}: {error}") from None

    def _dispatch(self, bucket: Bucket, rows: array[int], threads: int = 1) -> list[RecordingRows]:
        """Return the rows by what they are recorded as; one recording for all, unless the function branches."""
        found, left = self._dispatch_known(bucket, rows, threads)
        return [*found, *self._record_missing(bucket, array("q", left), threads)] if left else found

    def _dispatch_known(
        self, bucket: Bucket, rows: array[int], threads: int, parameters: Callable[[], int] = lambda: 0
    ) -> tuple[list[RecordingRows], dict[int, Guard | None]]:
        """Return those rows that a recording is for, and the others, each with a guard that it breaks, if there is one.

        While they are trained, `parameters` says where they are.
        """
        found: list[RecordingRows] = []
        left: dict[int, Guard | None] | None = None
        known = tuple(self._recordings.get((bucket.static, bucket.treedef), ()))
        address = parameters()  # of those of all these recordings, to which another thread may add some meanwhile
        for recording in known:
            left = {**recording.guards.broken(bucket.numbers, rows, threads, address)}
            if len(left) < len(rows):
                found.append((recording, _excluding(rows, left)))
            rows = array("q", left)
            if not left:
                break
        return found, dict.fromkeys(rows) if left is None else left

    def _record_missing(self, bucket: Bucket, rows: array[int], threads: int) -> list[RecordingRows]:
        """Return rows that no recording is for yet, by those that are made for them."""
        with self._lock():  # of each form and branch one thread makes the program, which others then find
            found, left = self._dispatch_known(bucket, rows, threads)
            known = self._recordings.setdefault((bucket.static, bucket.treedef), [])
            while left:
                [first, guard], *_ = left.items()
                made = self._record(bucket, first)
                if alike := [recording for recording in known if recording.outcomes == made.outcomes]:
                    found.append((alike[0], array("q", [first])))
                    del left[first]  # near a tie, where a program's rounding may decide otherwise
                    continue
                if guard and not self._branches:
                    self._raise_guard_error(bucket, first, guard)
                made.compile(self._make_program)
                known.append(made)
                self._programs.append(made.program)
                made.program.siblings = self._programs
                rows = array("q", left)
                broken = made.guards.broken(bucket.numbers, rows, threads)
                if broken.pop(first, None) and self._record(bucket, first).outcomes != made.outcomes:
                    raise RuntimeError(
                        f"{self._name} branches otherwise for the sample with which it was just recorded: does it "
                        "change a parameter?"
                    )
                found.append((made, _excluding(rows, broken)))
                left = {**broken}
        return found

    def _graphs_for_fit(self, found: Sequence[RecordingRows]) -> list[tuple[CompiledGraph, array[int]]]:
        """Return programs with their rows, if each has a single result."""
        for recording, _ in found:
            self._check_single("fit", recording)
        return [(recording.program.compiled, rows) for recording, rows in found]

    def _parameter_free_rows(self, bucket: Bucket) -> list[tuple[CompiledGraph, array[int]]]:
        """Return those rows whose program no parameter can change, by what they are recorded as."""
        found = []
        rows = row_numbers(len(bucket.samples))
        for recording in self._recordings.get((bucket.static, bucket.treedef), ()):
            if not (rows and recording.single and recording.guards.parameter_free):
                break
            broken = recording.guards.broken(bucket.numbers, rows)
            found.append((recording.program.compiled, _excluding(rows, broken)))
            rows = array("q", broken)
        return found

    def _record(self, bucket: Bucket, row: int) -> Recording:
        numbers = bucket.numbers[row * bucket.width : (row + 1) * bucket.width]
        return Recording(self._name, functools.partial(self._call, bucket), bucket.treedef, numbers, self._captured)

    def _call(self, bucket: Bucket, arguments: dict[str, Any]) -> Any:
        """Return what the function gives."""
        given = arguments | {name: x.value for name, x in bucket.static}
        order = [name for name in self._signature.parameters if name in given]
        bound = inspect.BoundArguments(self._signature, OrderedDict((name, given[name]) for name in order))
        return self._f(*bound.args, **bound.kwargs)

    def _make_program(self, outputs: Any, inputs: Sequence[Value]) -> Program:
        """Return a program whose parameters begin with those of the others, in the same order."""
        program = Program(outputs, inputs, self.parameters)
        self.parameters = program.parameters
        return program

    def _flat_function(self, bucket: Bucket) -> Callable[..., Any]:
        """Return the function of a row's numbers."""

        def flat(*values: Value) -> Any:
            numbers = iter(values)
            with inline_compiled():
                result = self._call(bucket, {name: unflatten(part, numbers) for name, part in bucket.treedef})
            return result if isinstance(result, Value) else [x for _, x in flatten(result)[0]]

        return flat

    def _raise_guard_error(self, bucket: Bucket, row: int, guard: Guard) -> NoReturn:
        raise GuardError(
            f"{self._name}, sample {bucket.samples[row]}: {guard.location}: {guard.text} "
            f"{'does not hold, but held' if guard.held else 'holds, but did not'} in the sample that was recorded; "
            f"write where(less(a, b), x, y) instead of a branch, or compile({self._name}, branches=True)"
        )

    def _check_single(self, name: str, recording: Recording) -> None:
        if not recording.single:
            raise ValueError(f"{name}() needs a function that returns one Value; {self._name} returns several")

    def _check_gradient(self, name: str, programs: Iterable[Program]) -> None:
        if not any(program.has_gradient for program in programs):
            raise RuntimeError(f"{name}() of {self._name}, which is a constant for these samples: it has no gradient")


def _excluding(rows: array[int], some: Container[int]) -> array[int]:
    return array("q", [i for i in rows if i not in some]) if some else rows


def _output(name: str, path: str, x: Any) -> Value:
    try:
        return x if isinstance(x, Value) else constant(number(x))
    except TypeError as error:
        raise TypeError(
            f"{name} returned something else than numbers{f' at {path}' if path else ''}: {error}"
        ) from None


def _describe_argument(argument: tuple[str, TreeDef]) -> str:
    """Return an argument's name, and how many numbers are in it.

    >>> _describe_argument(("x", None)), _describe_argument(("image", (list, 784)))
    ('x', 'image[784]')
    """
    name, treedef = argument
    return name if treedef is None else f"{name}[{len(leaf_paths(treedef, name))}]"
