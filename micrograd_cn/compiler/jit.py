"""`compile(f)`: a function is recorded when it is first called, and is a program from then on, one for each form."""

from __future__ import annotations

import functools
import inspect
import re
from array import array
from collections import OrderedDict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NoReturn, TypeAlias, TypeVar, overload

from ..engine import Value, constant
from ..operation import number
from ..optim import Optimizer
from ..tree import flatten
from .epochs import Course, Progress, Shuffler
from .executable import Executables, collector_off
from .guards import Guard, GuardError, Guards, Input, as_recorded, guards, is_recorded
from .mixture import Divided, Division, Mixture
from .program import Program
from .python import Named
from .rows import in_order
from .samples import Form, Table, columns, form_of, paths, rebuilt, static_value, tables, where_wrong
from .threads import check_threads
from .training import check_constants

# What Python or numpy says where a plain number is wanted: as an index, by int(), range(), round(), % or math.exp().
PLAIN_NUMBER = r"not '?Value|cannot be interpreted|doesn't define|for (%|//|divmod\(\))|indices|non-int|no callable"
INSTEAD = "write take(xs, index) for xs[index], and the table's operations, such as exp(), for math's"
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
    for it. What is detached, or computed in `no_grad()`, is computed for every sample too, without a gradient. What is
    neither, such as `x.data` of something computed, is the same number ever after: let `check` compare with the
    function.

    Numbers are the eager engine's but for rounding:

    - A sum is added up term by term, not rounded once; in `dot` and in sums of gradients, products are not rounded
      before they are added. Gradients are summed in another order than `backward()` has. So a sum may overflow on its
      way although the engine's, rounded once, is finite: `check` tells.
    - Functions of many rows at once are within the units in the last place that `compiler.functions.ULPS` names, at
      most 4, of the exact result. Single rows have C's functions, but where several like ones are computed together the
      former; x**2 is x * x.
    - Where what is compared is equal but for such rounding, a comparison may come out either way: the sample has the
      branch of the engine or, once there is a program for it, the other one.
    - Up to 2 rows are computed one at a time, with vectors along the operands of sums, and more rows side by side. So
      sums of at least 8 products differ between these by their rounding: n products by at most n units in the last
      place of the sum of their sizes.

    The program begins as threaded code, which is made in little time: about 85 us a node or less on a core of 2022, and
    for the first program of a process, or the first with an operation, some milliseconds more (about 20, and 1 or less
    for each kind of operation). Once that has run, or in `fit` is going to run, about as long as native code takes to
    make, the graph gets that, several times as fast, unless it is so large that it would take more than a few seconds.
    Numbers are the same to the last bit. A program holds about 5 numbers a parameter, `fit` twice as many and the
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
    guards: Guards

    def __init__(self, name: str, call: Callable[..., Any], form: Form, numbers: Sequence[float]) -> None:
        labels = [label for argument, part in form for label in paths(part, argument)]
        self._inputs = [Input(x, label) for x, label in zip(numbers, labels, strict=True)]
        values = iter(self._inputs)
        arguments = {argument: rebuilt(part, values) for argument, part in form}
        try:
            with collector_off(), guards() as self._found:
                result = call(arguments)
        except (TypeError, IndexError) as error:
            if re.search(PLAIN_NUMBER, str(error)):
                error.add_note(f"{name} is recorded with Values in its arguments' place; {INSTEAD}")
            raise
        leaves, self.rebuild = flatten(result)
        if not leaves:
            raise TypeError(f"{name} returned {result!r}, in which there is no number")
        self._outputs = [_output(name, path, x) for path, x in leaves]
        self.single, self.count = not leaves[0][0], len(leaves)
        self.outcomes = [guard[1:] for guard in self._found]

    def compile(self, make: Callable[..., Program]) -> None:
        """Make its programs."""
        self.guards = Guards(self._found, self._inputs, make)
        outputs = self._outputs[0] if self.single else self._outputs
        self.program = make(outputs, self._inputs)  # it has the guards' parameters too


Chosen: TypeAlias = "tuple[Recording, array[int]]"  # with the rows that it is for


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
        self._recordings: dict[Any, list[Recording]] = {}
        self.parameters: list[Value] = []

    # What a user calls.

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the function's result for one sample, floats in the place of values.

        While another function is being recorded, which calls it, it is the plain function, and a part of that one.

        Raises:
            TypeError: an argument holds something else than numbers; or the function's own error.
            GuardError: a comparison comes out otherwise than while it was recorded.
        """
        if is_recorded():
            return self._f(*args, **kwargs)
        table = self._table(args, kwargs)
        [(recording, rows)] = self._divided(table, in_order(1))
        out = array("d", bytes(8 * recording.count))
        recording.program.outputs_of(table.numbers, rows, 1, out)
        return out[0] if recording.single else recording.rebuild(out.tolist())

    def backward(self, samples: Any, threads: int = 1) -> float:
        """Return the mean result over the samples, and add its gradient to the `grad` of every parameter.

        Args:
            samples: tuples of arguments; or a tuple of arrays, one for each argument, of which the first index is the
                sample.
            threads: how many compute at the same time.

        Raises:
            TypeError: a sample is no tuple of arguments, or an argument holds something else than numbers.
            ValueError: there are no samples, or the function gives more than one number.
            GuardError: as for a call.
        """
        check_threads("backward", threads)
        found = self._tables("backward", samples)
        n = sum(len(table.samples) for table in found)
        total = 0.0
        for table in found:
            for recording, rows in self._divided(table, in_order(len(table.samples)), threads):
                self._check_single("backward", recording)
                loss, gradients = recording.program.gradient_of(table.numbers, rows, threads)
                share = len(rows) / n
                total += share * loss
                for p, gradient in zip(recording.program.parameters, gradients, strict=True):
                    if p.requires_grad:
                        p.grad = (p.grad or 0.0) + share * gradient
        return total

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
        found = self._tables("fit", samples)
        course = Course(optimizer, epochs, batch_size, shuffle, schedule, threads, progress, each_step)
        for recording in chain.from_iterable([self._recordings.get((t.static, t.form), ()) for t in found]):
            for program in (recording.program, recording.guards.program):
                if program:
                    check_constants(optimizer, program.executables)
        if len(found) == 1:  # all of it is looked at before the first step
            self._of_fit(self._divided(found[0], in_order(len(found[0].samples)), threads))

        def known(table: Table, rows: array[int], parameters: int) -> tuple[Divided, array[int]]:
            chosen, left = self._known(table, rows, threads, parameters)
            return self._of_fit(chosen), left

        def recorded(table: Table, rows: array[int]) -> Divided:
            return self._of_fit(self._recorded(table, rows, threads))

        division = Division(known, recorded, self._always, lambda: self.parameters)
        return Mixture(found, division, course).fit()

    def check(self, samples: Any, rtol: float = 1e-9, atol: float = 1e-12) -> None:
        """Compare the results for some samples with those of the function itself.

        Raises:
            Mismatch: an AssertionError; they differ for a sample, which is named: the function has read a number of
                something that it has computed.
            TypeError, ValueError, GuardError: as for `backward`.
        """
        for table in self._tables("check", samples):
            for recording, rows in self._divided(table, in_order(len(table.samples))):
                width = table.width
                chosen = {table.samples[i]: list(table.numbers[i * width : (i + 1) * width]) for i in rows}
                recording.program.check_named("sample", chosen, self._flat(table), rtol, atol)

    def source(
        self,
        language: str = "llvm",
        parameters: Named | None = None,
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
        return self._divided(self._table(args, kwargs), in_order(1))[0][0].program

    def __repr__(self) -> str:
        known = [(key, recording) for key, recordings in self._recordings.items() for recording in recordings]
        count = f"{len(known)} program{'s' * (len(known) != 1)}" if known else "not called yet"
        lines = [f"compiled {self._name}{self._signature}: {count}"]
        for (static, form), recording in known:
            values = [f"{name}={x.value!r}" for name, x in static]
            lines.append(f"  ({', '.join([*map(_written, form), *values])}): {recording.program!r}")
        return "\n".join(lines)

    # From samples to recordings.

    def _split(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the values of static arguments, and the other ones by name."""
        bound = self._signature.bind(*args, **kwargs).arguments
        static = tuple([(name, static_value(name, bound.pop(name))) for name in self._static if name in bound])
        return static, bound

    def _table(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Table:
        """Return the table of one sample."""
        static, arguments = self._split(args, kwargs)
        numbers = array("d")
        try:
            form = tuple([(name, form_of(x, numbers)) for name, x in arguments.items()])
        except TypeError:
            raise TypeError(f"{self._name}: {where_wrong(arguments)}") from None
        table = Table(form, static)
        table.numbers, table.width, table.samples = numbers, len(numbers), [0]
        return table

    def _tables(self, name: str, samples: Any) -> list[Table]:
        wanted = [p for p in self._signature.parameters if p not in self._static]
        arrays = samples if isinstance(samples, tuple) else (samples,)
        if arrays and all(getattr(x, "shape", ()) for x in arrays) and len(arrays) <= len(wanted):
            if any(self._signature.parameters[p].kind is inspect.Parameter.VAR_POSITIONAL for p in wanted):
                raise TypeError(f"{name}(): an array for each argument of {self._name}{self._signature}; give tuples")
            forms, numbers, n = columns(arrays)
            table = Table(tuple(zip(wanted, forms, strict=False)))
            table.numbers, table.samples = numbers, range(n)
            table.width = len(numbers) // n if n else 0
            found = [table]
        else:
            found = tables(samples, self._split_sample)
        if not any(len(table.samples) for table in found):
            raise ValueError(f"{name}() was given no samples, of which there is no mean")
        return found

    def _split_sample(self, numbered: tuple[int, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        i, sample = numbered
        if not isinstance(sample, (tuple, list)):
            raise TypeError(
                f"sample {i} is {type(sample).__name__} {sample!r}, not a tuple of arguments of "
                f"{self._name}{self._signature}; write (x,) for one argument"
            )
        try:
            return self._split(sample, {})
        except TypeError as error:
            raise TypeError(f"sample {i} has not the arguments of {self._name}{self._signature}: {error}") from None

    def _divided(self, table: Table, rows: array[int], threads: int = 1) -> list[Chosen]:
        """Return the rows by what they are recorded as; one recording for all, unless the function branches."""
        found, left = self._known(table, rows, threads)
        return [*found, *self._recorded(table, left, threads)]

    def _known(
        self, table: Table, rows: array[int], threads: int, parameters: int = 0
    ) -> tuple[list[Chosen], array[int]]:
        """Return those rows that a recording is for, and the others; `parameters` may be where these are meanwhile."""
        found = []
        for recording in self._recordings.get((table.static, table.form), ()):
            if not rows:
                break
            broken = recording.guards.broken(table.numbers, rows, threads, parameters)
            if len(broken) < len(rows):
                found.append((recording, _without(rows, broken)))
            rows = array("q", broken)
        return found, rows

    def _recorded(self, table: Table, rows: array[int], threads: int) -> list[Chosen]:
        """Return rows that no recording is for yet, by those that are made for them."""
        known = self._recordings.setdefault((table.static, table.form), [])
        found: list[Chosen] = []
        while rows:
            made = self._record(table, rows[0])
            if alike := [recording for recording in known if recording.outcomes == made.outcomes]:
                found.append((alike[0], rows[:1]))  # near a tie, where a program's rounding may decide otherwise
                rows = rows[1:]
                continue
            if known and not self._branches:
                self._refuse(table, rows[0], known[-1].guards.broken(table.numbers, rows[:1])[rows[0]])
            made.compile(self._program)
            known.append(made)
            broken = made.guards.broken(table.numbers, rows, threads)
            if broken.pop(rows[0], None) and self._record(table, rows[0]).outcomes != made.outcomes:
                raise RuntimeError(
                    f"{self._name} branches otherwise for the sample with which it was just recorded: does it change "
                    "a parameter?"
                )
            found.append((made, _without(rows, broken)))
            rows = array("q", broken)
        return found

    def _of_fit(self, found: Sequence[Chosen]) -> list[tuple[Executables, array[int]]]:
        """Return programs with their rows, if each has a single result."""
        for recording, _ in found:
            self._check_single("fit", recording)
        return [(recording.program.executables, rows) for recording, rows in found]

    def _always(self, table: Table) -> list[tuple[Executables, array[int]]]:
        """Return those rows whose program no parameter can change, by what they are recorded as."""
        found = []
        rows = in_order(len(table.samples))
        for recording in self._recordings.get((table.static, table.form), ()):
            if not (rows and recording.single and recording.guards.fixed):
                break
            broken = recording.guards.broken(table.numbers, rows)
            found.append((recording.program.executables, _without(rows, broken)))
            rows = array("q", broken)
        return found

    def _record(self, table: Table, row: int) -> Recording:
        numbers = table.numbers[row * table.width : (row + 1) * table.width]
        return Recording(self._name, functools.partial(self._call, table), table.form, numbers)

    def _call(self, table: Table, arguments: dict[str, Any]) -> Any:
        """Return what the function gives."""
        given = arguments | {name: x.value for name, x in table.static}
        order = [name for name in self._signature.parameters if name in given]
        bound = inspect.BoundArguments(self._signature, OrderedDict((name, given[name]) for name in order))
        return self._f(*bound.args, **bound.kwargs)

    def _program(self, outputs: Any, inputs: Sequence[Value]) -> Program:
        """Return a program whose parameters begin with those of the others, in the same order."""
        program = Program(outputs, inputs, self.parameters)
        self.parameters = program.parameters
        return program

    def _flat(self, table: Table) -> Callable[..., Any]:
        """Return the function of a row's numbers."""

        def flat(*values: Value) -> Any:
            numbers = iter(values)
            with as_recorded():
                result = self._call(table, {name: rebuilt(part, numbers) for name, part in table.form})
            return result if isinstance(result, Value) else [x for _, x in flatten(result)[0]]

        return flat

    def _refuse(self, table: Table, row: int, guard: Guard) -> NoReturn:
        raise GuardError(
            f"{self._name}, sample {table.samples[row]}: {guard.where}: {guard.text} "
            f"{'does not hold, but held' if guard.held else 'holds, but did not'} in the sample that was recorded; "
            f"write where(less(a, b), x, y) instead of a branch, or compile({self._name}, branches=True)"
        )

    def _check_single(self, name: str, recording: Recording) -> None:
        if not recording.single:
            raise ValueError(f"{name}() needs a function that returns one Value; {self._name} returns several")


def _without(rows: array[int], some: Container[int]) -> array[int]:
    return array("q", [i for i in rows if i not in some]) if some else rows


def _output(name: str, path: str, x: Any) -> Value:
    try:
        return x if isinstance(x, Value) else constant(number(x))
    except TypeError as error:
        raise TypeError(
            f"{name} returned something else than numbers{f' at {path}' if path else ''}: {error}"
        ) from None


def _written(argument: tuple[str, Form]) -> str:
    """Return an argument's name, and how many numbers are in it.

    >>> _written(("x", None)), _written(("image", (list, 784)))
    ('x', 'image[784]')
    """
    name, form = argument
    return name if form is None else f"{name}[{sum(1 for _ in paths(form, name))}]"
