"""Define `Program`: a recorded graph that is compiled, differentiated, trained, checked, and printed as text.

A derivative of a program, such as its Jacobian, is computed for each row of numbers by a further program. A
`CompiledDerivative` has this program, and the position of each of its outputs in the matrix. The programs for the
Jacobian and the Hessian compute only the entries that can be nonzero. If a whole matrix is wanted, and at least a
quarter of its entries can be nonzero, a further program computes it.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextvars import Context
from functools import partial
from itertools import chain
from math import isnan
from typing import Any, Never

from ..derivatives.selected import Gates
from ..derivatives.sparse import Sparse
from ..engine import Value, constant, topological_order, traverse
from ..gradients import gradients
from ..graph import context
from ..ops import dot
from ..ops.number import flag, number, number_or_none
from ..optim import Optimizer
from .agreement import agree, differing_derivative
from .c import file as c
from .c.file import Options
from .data.arrays import FlatNumbers
from .data.captured import CapturedValue, describe, with_kept_constants, with_leaves
from .data.columns import MAX_NUMBERS, Columns, Numbers, address, flat
from .data.indices import indices_of, is_refused, out_of_range, rows_out_of_range
from .data.nodes import first_unfrozen, some_frozen
from .data.parameters import Gradients, add_gradients, reached_nodes, refuse_in_no_grad, visited_nodes
from .data.partition import gather_rows, has_nan
from .data.rows import as_result, numpy_if_array, overlaps, read_rows, row_numbers, writable_address
from .data.samples import Bucket, copy_numbers
from .derivatives import Kind, Structure, as_list, entries, split, with_leaves_of_captured
from .guards import CompiledGuards
from .instructions.formulas import is_of_the_table
from .instructions.graph import DETACH
from .llvm.machine import Memory
from .python import ParameterNames, source
from .runtime.executable import CompiledGraph, has_prepared_driver
from .runtime.prepared import FrequentCalls, PreparedRunner, prepare_outputs
from .threads.collector import without_collector
from .threads.forks import cached_property
from .threads.tasks import check_threads
from .training.epochs import (
    Callback,
    History,
    Progress,
    Shuffler,
    TrainingOptions,
    naming_validation,
    refuse_split_samples,
)
from .training.run import Dispatched, Dispatcher, TrainingRun
from .training.state import ParameterLayout, parameter_layout
from .wrt import (
    PARAMETERS,
    Default,
    StandIn,
    Variables,
    frozen_variable,
    listed,
    refuse_check_options,
    refuse_method_options,
    reusable,
    unfrozen,
    zero_frozen,
)

MAX_COUNTS = 4  # a program is ready for at most this many counts of rows, each of which needs about a megabyte
MAX_SPARSITY = 4  # a matrix is computed whole if it has at most this many times as many entries as can be nonzero


class Mismatch(AssertionError):
    """A compiled graph and the Python function that was recorded give different results, or different derivatives.

    Usually the function branches on a value, and the graph has only the recorded branch. Or something differs between
    calls, such as random numbers or a changed constant. Or a compiled sum overflows. A function that chooses with
    `where` instead of branching has both cases in its graph:

    >>> from micrograd_cn import less, where
    >>> from micrograd_cn.compiler import compile
    >>> x = Value(2)
    >>> f = lambda x: where(less(0, x), x * x, -x)
    >>> compile(f(x), inputs=[x]).check([[3], [-1]], f)
    """


class CompiledDerivative:
    """The gradient, Jacobian or Hessian of a program: the positions of its entries, and a program that computes them.

    Args:
        entries: the entries (of a Jacobian or Hessian, those that can be nonzero), and their positions. An entry is a
            `Value` or, if it is a constant, a float.
        program: a program that computes all entries, including constants, from rows of the program that was
            differentiated. It is None if all entries are constants, or if there are no entries.
        gated: False if an entry may be nan where it should be a number, because the derivative 0 of an operand that an
            operation did not select is multiplied by an infinite factor; see `Program.derivative_for_calls`.

    Attributes:
        entries, program, gated: as in the arguments.
        structure: the row and column indices of the entries, as a `Structure`.
        outputs: the entries as `Value`s.

    >>> from micrograd_cn.compiler import compile
    >>> x, y = Value(1), Value(2)
    >>> hessian = compile(x**2 * y, [x, y]).derivative("hessian", lower=True)
    >>> hessian.structure, hessian.program.forward([[3, 5]])
    (((0, 1), (0, 0)), [[10.0, 6.0]])
    """

    def __init__(self, entries: Sparse, program: Program | None, gated: bool = True) -> None:
        self.entries, self.program, self.gated = entries, program, gated
        values, rows, columns, shape = entries
        self.structure = Structure(rows, columns, shape, [isinstance(x, float) for x in values])
        self._constants = array("d") if program else array("d", values)
        self.outputs = program.outputs if program else [*map(constant, values)]

    def flat(self, numbers: Numbers, n: int, threads: int, dense: bool = False, out: Any = None) -> FlatNumbers:
        """Return the entries for n rows in one buffer, in which the entries of each row follow those of the row before.

        Args:
            numbers: the numbers of the rows, one row after the other.
            n: how many rows there are.
            threads: how many threads compute.
            dense: whether to return the whole matrices, including zeros. If the attribute `whole` is None, no program
                computes whole matrices. Then the buffer has only the entries that can be nonzero, and the method
                `shaped` adds the zeros.
            out: the user's buffer of doubles for the result, or None. Entries are written to it directly if `shaped`
                need not add zeros. Otherwise `flat` does not use it, and `shaped` fills it.
        """
        if not self.program or not n:
            return self._constants * n
        if dense:
            return self.whole.flat(numbers, n, threads, out) if self.whole else self.program.flat(numbers, n, threads)
        return self.program.flat(numbers, n, threads, out)

    def shaped(self, flat: FlatNumbers, n: int, numpy: Any, out: Any, dense: bool) -> Any:
        """Return the entries for n rows or, if `dense` is set, the whole matrices, including zeros.

        They are written to the buffer of doubles `out`, which is returned. If `out` is None, they are a numpy array if
        `numpy` is the module numpy, and otherwise nested lists. `flat` is what the method `flat` has returned.
        """
        if dense and not (n and self.whole):
            return self.structure.scattered(flat, n, numpy, out)
        shape = self.structure.shape if dense else (self.structure.entries,)
        return as_result(flat, (n, *shape), numpy, out)

    @cached_property
    def whole(self) -> Program | None:
        """A program that computes all entries of the matrix, row after row.

        It is None if more than three quarters of the entries are always 0, or if all entries are constants.
        """
        (rows, columns), (height, width) = self.structure, self.structure.shape
        if not self.program or height * width > MAX_SPARSITY * self.structure.entries:
            return None
        outputs = [constant(0.0)] * (height * width)
        for x, i, j in zip(self.program.outputs, rows, columns, strict=True):
            outputs[i * width + j] = x
        return self.program.with_outputs(outputs)

    def shaped_mean(self, flat: FlatNumbers, n: int, numpy: Any, out: Any, dense: bool) -> Any:
        """Return the derivative's mean over the rows: its entries, or the whole matrix if `dense` is set.

        `flat` has the means of the entries, as the method `mean` has returned them. `numpy` and `out` are as for
        `shaped`. `n` is not used; it is there since callers use `shaped` in the same way.
        """
        if not dense:
            return as_result(flat, (self.structure.entries,), numpy, out)
        whole = self.structure.scattered(flat, 1, numpy, out)
        return whole[0] if out is None else whole

    def mean(self, numbers: Numbers, n: int, threads: int) -> array[float]:
        """Return each entry of the derivative, averaged over the n rows whose numbers are in `numbers`."""
        if not self.program:
            return self._constants * 1
        program, entries = self.mean_program
        return entries(program.compiled.gradient_of(numbers, row_numbers(n), threads)[1])

    @cached_property
    def mean_program(self) -> tuple[Program, Callable[[Any], array[float]]]:
        """A pair: a program whose gradient begins with the means of the derivative's entries over rows, and a function.

        The function takes this gradient, a buffer, and returns the mean of each entry. The output of the program is a
        sum of the entries times weights, which are the program's first parameters. The derivative of the output with
        respect to a weight is the entry. At least one entry must not be a constant.
        """
        assert self.program
        outputs = self.program.outputs
        nodes = dict.fromkeys([x for x in outputs if x.requires_grad])
        place = {x: k for k, x in enumerate(nodes)}
        weights = [Value(0.0) for _ in nodes]
        output = Context().run(lambda: dot(weights, [DETACH(x) for x in nodes]))
        constants = [x for x in outputs if x not in place]
        place |= {x: k for k, x in enumerate(constants, len(nodes))}
        numbers, places = array("d", [x._data for x in constants]), array("q", map(place.__getitem__, outputs))

        def entries(means: Any) -> array[float]:
            return gather_rows(array("d", memoryview(means)[: len(nodes)].tobytes()) + numbers, places, 1)

        return self.program.with_outputs(output, weights), entries


class _OneProgram(Dispatcher):
    """The choice of the program for each row in `Program.fit`: it is always the same program."""

    def __init__(self, program: Program, bucket: Bucket, layouts: list[ParameterLayout]) -> None:
        self._program, self._bucket, self.layouts = program, bucket, layouts

    def parameters(self) -> Sequence[Value]:
        """Return the program's parameters."""
        return self._program.parameters

    def parameter_free(self, bucket: Bucket) -> Dispatched:
        """Return a list with one pair: the compiled program, and the indices of all rows of `bucket`."""
        return [(self._program.compiled, row_numbers(len(bucket.samples)))]

    def explain_nan(self) -> None:
        """Raise an error if a row has an index, or a target of a loss, that is out of range."""
        self._program.explain_nan("row", self._bucket)


class Programs(list["Program"]):
    """The programs of one compiled function.

    Each of them has a weak reference to this list, so they are freed without the garbage collector.
    """


class Program:
    """A compiled graph, which can be computed, differentiated, trained, checked and printed.

    Several threads may run a program at the same time. A derivative is compiled when it is first needed.

    Args:
        output: the node to compute, or a list of nodes.
        inputs: the leaves whose numbers change from sample to sample. A row has these numbers for one sample, in this
            order.
        parameters: leaves that come first in the attribute `parameters`, whether the graph uses them or not. The other
            parameters of the graph follow.

    Attributes:
        outputs: the nodes that are computed.
        inputs: the leaves for which a row has numbers, in the order of these numbers.
        compiled: the `CompiledGraph`, which holds the graph and its code.
        parameters: the leaves that are neither inputs nor constants.
        row: a function that takes the numbers of one row as an array of doubles, and returns the outputs for this row
            as another array. A call takes less time than a call of `forward`.
        siblings: a function that returns all programs of the same compiled function; None once that function is freed,
            and an empty tuple for a program that was made from a recorded graph. The derivative with respect to a
            parameter that only other programs of the function have is 0.

    >>> from micrograd_cn.compiler import compile
    >>> from micrograd_cn.optim import SGD
    >>> x, target, w = Value(1), Value(1), Value(0, "w")
    >>> program = compile((w * x - target) ** 2, inputs=[x, target])
    >>> losses = program.fit([[1, 3], [2, 6]], SGD(program.parameters, lr=0.1), epochs=50)
    >>> round(w.data, 6)
    3.0
    """

    _guards: CompiledGuards | None = None  # see `with_guards`
    _guarded: dict[CompiledDerivative, CompiledDerivative]  # from derivatives without guards to the same with guards

    def __init__(
        self, output: Value | Sequence[Value], inputs: Iterable[Value], parameters: Iterable[Value] = ()
    ) -> None:
        self._single = isinstance(output, Value)
        if not isinstance(output, (Value, Iterable)):
            raise TypeError(f"compile() takes a Value or a list of them, got {type(output).__name__} {output!r}")
        self.outputs: list[Value] = [output] if isinstance(output, Value) else list(output)
        self.inputs: list[Value] = [inputs] if isinstance(inputs, Value) else list(inputs)
        _check_graph(self.outputs, self.inputs)
        self.compiled = CompiledGraph(self.outputs, self.inputs, list(parameters))
        self._trainable: Value | None = None  # see `has_trainable`
        self.parameters = self.compiled.graph.parameters
        self.row: Callable[[Numbers], array[float]] = PreparedRunner(self.compiled)
        self._runners = FrequentCalls[int, PreparedRunner](MAX_COUNTS)  # by the count of rows
        self._derivatives: dict[Any, CompiledDerivative] = {}
        self.siblings: Callable[[], Sequence[Program] | None] = tuple
        self._known = -1, set[Value]()  # the count of the siblings, and the inputs and parameters of all of them
        self._layouts: list[ParameterLayout] = []  # the one that `fit` has used last

    def with_guards(self, guards: CompiledGuards) -> Program:
        """Return this program as one that raises GuardError for rows for which the function takes another branch.

        A guard is a comparison that must have the same outcome for each row as for the sample that was recorded. Both
        programs have the same code and the same derivatives, but the new one checks the guards for all rows that it is
        given.

        >>> from micrograd_cn.compiler import compile
        >>> size = compile(lambda x: x if x > 0 else -x)
        >>> size.program(2.0).forward([[3.0]])
        [3.0]
        >>> size.program(2.0).forward([[3.0], [-1.0]])  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        micrograd_cn.compiler.guards.GuardError: <lambda>, row 1: <doctest ...>, line 1: x > 0 does not hold, but ...
        """
        made = object.__new__(Program)
        vars(made).update(vars(self), _guards=guards, _guarded={})
        made.row = partial(guards.checked_row, self.row)  # no method of `made`, which would be a cycle
        return made

    def __call__(self, *row: Any) -> Any:
        """Return the output for one row. The arguments are the row's numbers, one for each input; see `forward`."""
        return self.forward([row])[0]

    def forward(self, rows: Any, threads: int = 1, out: Any = None, **wrong: Never) -> Any:
        """Return the output for every row: a float, or a list of floats if there are several outputs.

        If `rows` is a numpy array, the result is a numpy array, too, unless `out` is passed.

        Args:
            rows: a sequence of rows with a number for each input; or a buffer of numbers in two dimensions, such as a
                numpy array. A writable, contiguous buffer of doubles is read in place, and any other buffer is copied.
            threads: how many threads compute. The results are the same for every number of threads.
            out: a buffer of doubles for the outputs of all rows, one row after the other; it is returned. If it is
                None, a new list (or numpy array) is made. Making a list often takes longer than computing the outputs.

        Raises:
            TypeError: `rows` does not hold rows of real numbers, or `out` is not a writable buffer of doubles.
            OverflowError: an int in `rows` is too large for a float.
            ValueError: a row does not have one number for each input, `threads` is not an int of at least 1, `out` does
                not have one double for each output of each row, or the data of a constant of a compiled function has
                changed since it was recorded.
            FloatingPointError: inside `detect_anomaly()`, a value is not finite.

        >>> from array import array
        >>> from micrograd_cn.compiler import compile
        >>> x = Value(1)
        >>> compile([x * x, -x], inputs=[x]).forward([[2], [3]], out=array("d", [0, 0, 0, 0]))
        array('d', [4.0, -2.0, 9.0, -3.0])
        """
        if wrong:
            refuse_method_options("forward", wrong, ("threads", "out"))
        check_threads("forward", threads)
        numbers, n = self._read_rows(rows)
        return self.computed(numbers, n, threads, numpy_if_array(rows) if out is None else None, out)

    def computed(self, numbers: Numbers, n: int, threads: int, numpy: Any, out: Any) -> Any:
        """Return the outputs of n rows as `forward` does.

        `numbers` has the numbers of all rows, one row after the other. `threads` and `out` are as for `forward`.
        `numpy` is the module numpy if the result is to be a numpy array, otherwise None.
        """
        width = len(self.outputs)
        if threads == 1 or numpy or out is not None:
            return as_result(self.flat(numbers, n, threads, out), (n,) if self._single else (n, width), numpy, out)
        to = Memory(n * width)  # while threads compute further rows, others make lists

        def collect(first: int, count: int) -> list[Any]:
            flat = to.view[width * first : width * (first + count)].tolist()
            return flat if self._single else [flat[i : i + width] for i in range(0, len(flat), width)]

        chunks = self.compiled.write_outputs(numbers, row_numbers(n), threads, to.address, collect=collect)
        outputs, *others = chunks or [[]]
        for more in others:
            outputs += more
        return outputs

    def flat(self, numbers: Numbers, n: int, threads: int, out: Any = None) -> FlatNumbers:
        """Return the outputs of n rows in one buffer, one row after the other.

        `numbers` has the numbers of all rows, one row after the other. `threads` is as for `forward`. If `out` is a
        buffer of doubles, the outputs are written to it, and a memoryview of it is returned. But if `out` is None or
        shares memory with the rows, or if a prepared call computes the rows, another buffer is returned, and `out` is
        not changed.
        """
        if threads == 1 and (run := self.row if n == 1 else self._runner(n)):
            if context.active:  # for speed, before `row_numbers`
                self.compiled.detect_anomaly(numbers, row_numbers(n), backward=False)
            return run(numbers)
        numpy, count = sys.modules.get("numpy"), n * len(self.outputs)
        found: FlatNumbers
        if out is not None and (to := writable_address(out, count)) and not overlaps(numbers, out):
            found = memoryview(out).cast("B").cast("d")
        else:
            found = memoryview(numpy.empty(count)) if numpy and count else array("d", bytes(8 * count))  # without zeros
            to = address(found)
        self.compiled.write_outputs(numbers, row_numbers(n), threads, to)
        return found

    def _runner(self, n: int) -> PreparedRunner | None:
        """Return the `PreparedRunner` that computes n rows, with memory that is kept from call to call.

        Return None if there are no rows or many numbers, if there were only few calls with n rows, or if the driver of
        such calls is not compiled yet.
        """
        if found := self._runners.get(n):
            return found
        if not 0 < n * max(len(self.inputs), len(self.outputs)) <= MAX_NUMBERS or not self._runners.is_due(
            n, partial(has_prepared_driver, "forward", n)
        ):
            return None
        return self._runners.add(n, PreparedRunner(self.compiled, n=n))

    def prepare(self, rows: Any, out: Any) -> Callable[[], Any]:
        """Return a function without arguments that computes the outputs of the rows in the buffer `rows` at each call.

        A call takes hardly longer than the machine code that it runs. The function is meant for loops that need one
        value at a time, for example in an optimiser or a controller. Each call reads the numbers that are in `rows` at
        that time, and the parameters' data. It writes the outputs to `out`, and returns `out`. Neither `rows` nor `out`
        can be resized as long as the function exists. The fastest code is compiled at once, while `forward` first runs
        code that is slower, but is made sooner. Only one thread at a time may call the function. Calls of more than a
        few microseconds release the GIL. `detect_anomaly()` does not affect the calls.

        Args:
            rows: a buffer of doubles in two dimensions, such as a numpy array.
            out: a buffer of doubles for the outputs of all rows, one row after the other.

        Raises:
            TypeError: as for `forward`; or `rows` is not a writable, contiguous buffer of doubles.
            ValueError: as for `forward`; or there are no rows, or `out` overlaps `rows` in memory.
            GuardError: the program computes one branch of a compiled function, which takes another branch for a row. A
                call of the returned function may raise it, too.

        >>> from array import array
        >>> from micrograd_cn.compiler import compile
        >>> x, y = Value(1), Value(1)
        >>> numbers, out = array("d", [2, 3]), array("d", [0])
        >>> product = compile(x * y * y, [x, y]).prepare(memoryview(numbers).cast("B").cast("d", (1, 2)), out)
        >>> product()
        array('d', [18.0])
        >>> numbers[0] = 5
        >>> product()
        array('d', [45.0])
        """
        numbers, n = self._read_rows(rows)
        if isinstance(numbers, array) or not n:
            if not n:
                raise ValueError("prepare() was given no rows")
            raise TypeError(
                "prepare() needs rows in a writable, contiguous buffer of doubles in two dimensions, which it reads in "
                "place"
            )
        to = writable_address(out, n * len(self.outputs))
        if overlaps(numbers, out):
            raise ValueError(
                "prepare(): out overlaps the rows, which would change while they are read; give another buffer"
            )
        run = prepare_outputs(self.compiled, numbers, n, to, out, memoryview(out), self)
        return self._guards.checked_call(run, numbers, n) if self._guards else run

    def backward(self, rows: Any, threads: int = 1, **wrong: Never) -> float:
        """Return the mean output over the rows, and add the gradient of this mean to every parameter's `grad`.

        A parameter that the program does not use keeps its `grad`, even if that is None.

        Args:
            rows: rows with a number for each input, as for `forward`.
            threads: how many threads compute. Sums over the rows are rounded differently with another number of
                threads.

        Raises:
            TypeError: as for `forward`.
            ValueError: as for `forward`; or there are no rows, the program has several outputs, or a constant of the
                program requires a gradient now, which it did not when the program was made.
            RuntimeError: the output is a constant, or the call is inside `no_grad()`.
            FloatingPointError: inside `detect_anomaly()`, a value or a gradient is not finite.
        """
        if wrong:
            refuse_method_options("backward", wrong, ("threads",))
        check_threads("backward", threads)
        if context.active:
            refuse_in_no_grad("backward")
        numbers, n = self._read_batch("backward", rows)
        self.check_frozen("backward")
        loss, gradients = self.compiled.gradient_of(numbers, row_numbers(n), threads)
        add_gradients([self.as_gradients(gradients)])
        return loss

    def as_gradients(self, numbers: array[float], weight: float = 1.0) -> Gradients:
        """Return the derivatives `numbers` with respect to the parameters as `Gradients`, for `add_gradients`.

        `weight` is a factor by which `add_gradients` multiplies them.
        """
        captured = (lambda: self._selected_nodes) if self.compiled.captured else None
        return Gradients(self.parameters, numbers, weight, self._unreached, captured)

    @cached_property
    def reaches_all(self) -> bool:
        """Whether the first output has a gradient that reaches every parameter, even if it is 0 for some of them."""
        return self.has_gradient and not self._unreached

    @cached_property
    def adds_to_all(self) -> bool:
        """Whether `backward` adds to the `grad` of every parameter, and no parameter is a `CapturedValue`.

        A `CapturedValue` stands for a node that was computed before the call, so `backward` adds to the `grad` of the
        leaves from which this node was computed.
        """
        return not (self._unreached or self.compiled.captured)

    @cached_property
    def _unreached(self) -> Sequence[int]:
        """The indices of the parameters that this program does not use, or uses only detached."""
        graph = self.compiled.graph
        if not graph.first_parameters and all(op is not DETACH for _, op in graph.operations):
            return ()
        visited = visited_nodes(self.outputs)
        return [i for i, p in enumerate(self.parameters) if p not in visited]

    @cached_property
    def _selected_nodes(self) -> set[Value]:
        """The nodes that a gradient reaches in any case, whichever operands `where` and the like select."""
        return reached_nodes(self.outputs, unselected=False)

    def check_frozen(self, name: str) -> None:
        """Raise ValueError if a constant of the program requires a gradient now, which the program cannot compute.

        `name` is the method that needs the gradient, for the message.
        """
        if self._held_constants and (x := self.unfrozen_constant()):  # the first condition is for speed
            raise ValueError(
                f"{name}(): {x.label or 'a Value'} requires a gradient now, but is a constant of the program, "
                "since it required none when the program was made; compile anew"
            )

    def unfrozen_constant(self) -> Value | None:
        """Return a constant of the program that requires a gradient now; None if there is none.

        A constant required no gradient when the program was made.
        """
        return first_unfrozen(self._held_constants)

    @property
    def has_held_constants(self) -> bool:
        """Whether code outside of this program may unfreeze a constant, so that `check_frozen` raises an error."""
        return bool(self._held_constants)

    @cached_property
    def _held_constants(self) -> Sequence[Value]:
        """The constants that code outside of this program may change.

        If the program was made from a recorded graph, these are all constants of the graph. In a compiled function,
        they are those that are watched (see `CachedData.watch`).
        """
        return [*(self.compiled.data.watched if self.compiled.data.watches else self.compiled.graph.constants)]

    @refuse_split_samples
    def fit(
        self,
        rows: Any,
        optimizer: Optimizer,
        epochs: int,
        batch_size: int | None = None,
        shuffle: Shuffler | None = None,
        schedule: Callable[[int], float] | None = None,
        threads: int = 1,
        progress: Progress = False,
        each_step: bool = False,
        *,
        clip_grad_norm: float | None = None,
        callback: Callback | None = None,
        validation: Any = None,
        patience: int | None = None,
    ) -> History:
        """Train the parameters on the rows, and return the mean loss of each epoch.

        This does the same as a Python loop over the batches of every epoch that calls `optimizer.zero_grad()`,
        `backward(batch)` and `optimizer.step()`, but does not return to Python for each step. Afterwards, parameters,
        gradients and the optimiser's state are what that loop would have left, even if Ctrl-C interrupts `fit`.
        Gradients of parameters that the optimiser does not have are left alone.

        `fit` works on a copy of the parameters, which it writes back when it ends and, if there is `callback` or
        `validation`, after each epoch. Another thread may read the parameters meanwhile, and sees the numbers that were
        last written back. If it changes the data of a parameter, `optimizer.lr` or `optimizer.steps`, `fit` goes on
        with the old number, and gives a warning. A second `fit` of the same parameters in another thread is refused.
        `callback` may change everything, and may itself call `fit`.

        Args:
            rows: the samples to train on, as for `forward`. `fit` reads them once: if the callback changes an array in
                place, `fit` does not notice.
            optimizer: an optimiser of `optim`, or of a class of your own whose method `update` is written in the
                operations of `micrograd_cn.ops`. `update` is called a few times before the first step, to find its
                formula. So it may depend on its arguments and on numbers that the optimiser has, such as `self.lr` and
                `self.steps`, but not on other parameters, and it may change nothing but its arguments. Only
                `callback` may change the optimiser and its parameters, or freeze and unfreeze them. If `schedule`,
                `shuffle` or `progress` does, an error is raised.
            epochs: how many times all rows are used.
            batch_size: how many rows a step uses; None for all. The last batch of an epoch may be smaller.
            shuffle: a `random.Random`, whose method `shuffle` is called with the list of row indices before each epoch.
                None keeps the rows in order.
            schedule: a function from the index of a step, which is `optimizer.steps` before the step, to the learning
                rate, such as `cosine_lr(0.1, steps)` of `optim`. The function is called once for each step, in order,
                before the gradients of the step are computed. Usually it is called some steps ahead of the training. If
                it can reach the optimiser or one of its parameters, `fit` takes one step at a time, which is slower,
                and the function sees what the steps before have left. If it may read gradients, an error is raised.
                Afterwards the optimiser has the learning rate of the last step. Without a schedule the learning rate
                does not change.
            threads: how many threads compute. With another number, sums over the rows are rounded differently. More
                than one thread is worthwhile if a step takes some hundred microseconds or longer.
            progress: whether to show a progress bar, which needs tqdm; or a function that is called several times a
                second with the losses of the steps since its last call. As for `schedule`, it sees what these steps
                have left in the optimiser and its parameters, and so does `shuffle`.
            each_step: whether to return the loss of every batch instead of the mean loss of each epoch. The loss of a
                batch is computed with the parameters before its step.
            clip_grad_norm: the largest norm that the gradients of the optimiser's parameters may have. Before each step
                the gradients are scaled as by `optim.clip_grad_norm(optimizer.parameters, clip_grad_norm)`, except that
                the norm is rounded a little differently. None clips nothing.
            callback: a function that is called after each epoch with the index of the epoch (counted from 0), the mean
                loss of the epoch and, if there is `validation`, the validation loss. Parameters and optimiser have
                their new values by then, and the function may change these. It may also freeze parameters, and unfreeze
                those that required a gradient when the graph was compiled. If the function returns True or raises
                StopIteration, training ends.
            validation: rows, as for `forward`. After each epoch the mean loss of these rows is computed with the new
                parameters. The returned list has these losses in its attribute `validation`.
            patience: training ends after this many epochs in a row without a new best validation loss. The best loss is
                the smallest, or the largest if the optimiser maximizes. However `fit` ends, the parameters then have
                the values of the best epoch, also those that only the callback trains, by another optimiser. The
                attribute `best_epoch` of the returned list is the index of this epoch. If `patience` is None, training
                does not end early. See `optim.EarlyStopping`. The optimiser's state is that of the last step.

        Raises:
            TypeError: as for `forward`; or the optimiser cannot be compiled, `schedule` is not a function or returns
                something that is not a number, `progress` is neither a bool nor a function, or `callback` is not a
                function or returns something other than a bool or None.
            ArithmeticError: in the update of a class of your own, an operator would raise such an error for floats, as
                `/` does for a divisor of 0. The epochs since the last call of `callback` are undone.
            ValueError: as for `backward`; or training may change which branch of a compiled function a row takes;
                `epochs`, `batch_size`, `clip_grad_norm` or `patience` is out of range; `patience` is passed without
                `validation`; another thread is training one of the parameters by `fit`; a parameter of the optimiser is
                an input, or was a constant when the graph was compiled; the optimiser has none of the program's
                parameters; a constant of the program has other data now; `schedule`, `shuffle` or `progress` changes
                the optimiser or its parameters; `schedule` may read gradients; `shuffle` does not permute the list;
                `schedule` returns a number that is negative, inf or nan; or the norm of gradients to be clipped is inf
                or nan. In the last two cases the message names the step, and the steps before it have been taken.
            IndexError: an index of `take`, or a class label of a loss, is out of range in a row, so the output is nan.
                Parameters and optimiser are as they were at the latest of these times: before the call, after the last
                epoch if there is `callback` or `validation`, and at the last call of `schedule`, `shuffle` or
                `progress`.
            FloatingPointError: inside `detect_anomaly()`, a value or a gradient is not finite. All steps before this
                step have been taken.

        >>> from micrograd_cn.compiler import compile
        >>> from micrograd_cn.optim import SGD, linear_lr
        >>> x, w = Value(1), Value(0)
        >>> program, optimizer = compile(w * x, inputs=[x]), SGD([w])
        >>> losses = program.fit([[1]], optimizer, epochs=2, schedule=linear_lr(1.0, steps=4))
        >>> w.data, optimizer.lr
        (-1.75, 0.75)
        """
        if context.active:
            refuse_in_no_grad("fit")
        if self._guards and not self._guards.parameter_free:
            name = self._guards.name
            raise ValueError(
                f"fit(): training may change which branch {name} takes; write {name}.fit(samples, ...), which checks "
                "it in each step"
            )
        options = TrainingOptions(
            optimizer, epochs, batch_size, shuffle, schedule, threads, progress, each_step,
            clip_grad_norm, callback, patience,
        )  # fmt: skip
        layout = parameter_layout(self.parameters, optimizer, self._layouts)
        if trained := layout.optimized_set.intersection(self.inputs):
            i, p = next((i, p) for i, p in enumerate(optimizer.parameters) if p in trained)
            raise ValueError(
                f"fit(): parameters[{i}] of the optimizer, {p!r}, is an input of the program; leave it out"
            )
        bucket = self._bucket_of(rows, options)
        validate = None
        if validation is not None:
            with naming_validation():
                other = self._bucket_of(validation, options)
                validate = self._mean_loss(other.numbers, len(other.samples), threads)
            if (self.compiled.graph.has_gathers or self.compiled.graph.has_checks) and isnan(validate() or 0.0):
                self.explain_nan("validation row", other)
        return TrainingRun([bucket], _OneProgram(self, bucket, self._layouts), options, validate).fit()

    def _bucket_of(self, rows: Any, options: TrainingOptions) -> Bucket:
        """Return rows for `fit` as a `Bucket`: their numbers, one row after the other, and the indices of the rows.

        The numbers are copied if a function of the user's that runs between steps could change them.
        """
        numbers, n = self._read_batch("fit", rows)
        bucket = Bucket((), (), numbers, len(self.inputs), range(n))
        if options.calls_users_code:
            copy_numbers([bucket])
        return bucket

    def explain_nan(self, name: str, bucket: Bucket) -> None:
        """Raise an error if a row of a bucket (samples whose arguments are nested alike) explains why an output is nan.

        `name` is the word for a row in messages, such as "row" or "sample".

        Raises:
            IndexError: an index of `take`, or a class label, is out of range, or is not an integer.
            ValueError: a loss refuses a target or a probability.
        """
        graph, rows = self.compiled.graph, row_numbers(len(bucket.samples))
        self.check_indices(name, bucket, rows)
        outputs = self.compiled.outputs_of(bucket.numbers, rows) if graph.has_checks else ()
        for row, output in enumerate(outputs):
            if isnan(output) and is_refused(graph, array("d", bucket.row(row))):
                raise ValueError(
                    f"fit(): {name} {bucket.samples[row]}: a target or probability is out of the range that the loss "
                    "allows, so the loss is nan"
                )

    def check_indices(self, name: str, bucket: Bucket, rows: Sequence[int]) -> None:
        """Raise IndexError if an index of `take`, or a class label, makes the output nan for some row of a bucket.

        If a `where` does not choose the result of such a `take`, the output is not nan, and no error is raised.

        Args:
            name: the word for a row in messages, such as "row" or "sample".
            bucket: samples whose arguments are nested in the same way, as rows of numbers.
            rows: the indices of the rows to check.
        """
        counts, computed, _ = indices_of(self.compiled.graph)
        found = rows_out_of_range(counts, bucket.numbers, len(self.inputs), rows)
        if computed and len(rows):
            kept = with_kept_constants([*computed], self.compiled.graph.constants)
            nodes = Program(kept, self.inputs, self.parameters)
            numbers = nodes.compiled.outputs_of(bucket.numbers, array("q", rows))
            places = dict(enumerate(computed.values()))
            found.update([rows[k] for k in rows_out_of_range(places, numbers, len(places), range(len(rows)))])
        if not found:
            return
        outputs = self.compiled.outputs_of(bucket.numbers, array("q", sorted(found)))
        for row, output in zip(sorted(found), outputs, strict=True):
            numbers = array("d", bucket.row(row))
            if isnan(output) and (text := out_of_range(self.compiled.graph, numbers)):
                raise IndexError(f"fit(): {name} {bucket.samples[row]}: {text}")

    def _mean_loss(self, numbers: Numbers, n: int, threads: int) -> Callable[..., float | None]:
        """Return a function that computes the mean output of the n rows whose numbers are in `numbers`.

        The returned function takes a function that returns the address of the parameters' current data, or 0 if the
        `Value`s have these data. In a thread or task inside a block such as `detect_anomaly()`, the outputs are
        computed by operations on the `Value`s. So the result is None there if the address is not 0.
        """

        def mean_loss(parameters: Callable[[], int] = lambda: 0) -> float | None:
            if not (address := parameters()):
                return float(sum(self.computed(numbers, n, threads, None, array("d", bytes(8 * n)))) / n)
            if context.active:
                return None
            return sum(self.compiled.outputs_of(numbers, row_numbers(n), threads, address)) / n

        return mean_loss

    def check(self, rows: Any, f: Callable[..., Any], rtol: float = 1e-9, atol: float = 1e-12, **wrong: Never) -> None:
        """Compare the outputs and their derivatives with those of the Python function that was recorded.

        The engine computes the function's derivatives with respect to all inputs and parameters. The program computes
        those with respect to inputs by `gradient`, and those with respect to parameters as in `backward`. If it has
        several outputs, it computes both by `jacobian`. Inside `no_grad()`, only outputs are compared.

        Args:
            rows: rows with a number for each input, as for `forward`; a few are enough.
            f: a function that takes the numbers of a row as `Value` arguments, and returns the output: a `Value`, a
                number, or a list of these.
            rtol: the relative tolerance. For a derivative, it is relative to the largest derivative of the same output
                in the same row, because a smaller derivative may be the difference of large terms.
            atol: the absolute tolerance.

        Raises:
            Mismatch: an AssertionError: the outputs, or derivatives, differ in a row, which the message names. Usually
                the function branches on a value, while the graph has only the recorded branch.
            IndexError: in a row, which the message names, an index of `take` is beyond the operands. The graph gives
                nan for such an index.
            ValueError: as for `forward`; or there are no rows.

        >>> from micrograd_cn.compiler import compile
        >>> x = Value(2)
        >>> f = lambda x: x * x if x > 0 else -x
        >>> compile(f(x), inputs=[x]).check([[3], [-2]], f)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        micrograd_cn.compiler.program.Mismatch: row 1, [-2.0]: the function gives 2.0, the graph 4.0; ...
        """
        refuse_check_options(wrong, rtol, atol, "check(rows, f)")
        numbers, n = self._read_rows(rows)
        if not n:
            raise ValueError("check() was given no rows, so it would compare nothing")
        width = len(self.inputs)
        # The numbers are taken from `numbers`, since `rows` may be an iterator, which is exhausted now.
        taken = [list(numbers[i * width : (i + 1) * width]) for i in range(n)]
        self.check_named("row", dict(enumerate(taken)), f, rtol, atol)

    def check_named(
        self, name: str, rows: Mapping[int, list[float]], f: Callable[..., Any], rtol: float, atol: float
    ) -> list[tuple[str, list[Value], list[Any]]]:
        """Compare the program's outputs and derivatives for some rows with those of the function `f`.

        Args:
            name: the word for a row in messages, such as "row" or "sample". Messages call row i "{name} {i}".
            rows: a dict from the index by which messages call a row to the numbers of the row.
            f: a function that takes the numbers of a row as `Value`s, and returns the output or a list of the outputs.
            rtol, atol: the relative and the absolute tolerance.

        Returns:
            for each row, its name in messages, the arguments with which `f` was called, and a list of the outputs of
            `f`.

        Raises:
            Mismatch, IndexError: as for `check`.
        """
        called: list[tuple[str, list[Value], list[Any]]] = []
        for (i, row), compiled in zip(rows.items(), self.forward([*rows.values()]), strict=True):
            arguments = [*map(Value, row)]
            try:
                given = f(*arguments)
                _check_taken([given] if self._single else given)
            except IndexError as error:
                raise IndexError(f"{name} {i}, {row}: {error}") from error
            called.append((f"{name} {i}, {row}", arguments, [given] if self._single else [*given]))
            eager = [x.data if isinstance(x, Value) else number(x) for x in called[-1][2]]
            graph = [compiled] if self._single else compiled
            if not agree(eager, graph, rtol, atol):
                function, ours = (eager[0], graph[0]) if self._single else (eager, graph)
                raise Mismatch(
                    f"{name} {i}, {row}: the function gives {function}, the graph {ours}; does the function branch on "
                    "a value, where it should use where()?"
                )
        if any(y.requires_grad for y in self.outputs) and not context.here().no_grad:
            for row, (title, arguments, outputs) in zip(rows.values(), called, strict=True):
                for k, (y, derivatives) in enumerate(zip(outputs, self._derivatives_of(row), strict=True)):
                    if not isinstance(y, Value):  # `f` may compute numbers alone
                        continue
                    which = title if self._single else f"{title}, output {k}"
                    self._compare_derivatives(which, arguments, y, derivatives, rtol, atol)
        return called

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
        """Return the text of the program in a language.

        "llvm" is the LLVM module of the native code for `backward` or, if the program has no gradient, for `forward`.

        "python" is a function `f(xp, parameters, inputs)` without branches. `xp` is `math`, numpy, jax.numpy or torch,
        and `inputs` has a number or an array for each input. If `source` gets names for the parameters, the function
        takes its parameters as a dict; see `array_function`. Otherwise the function takes them as a list in the order
        of `.parameters`, which may differ from the order of `model.parameters()`. With torch, all parameters or all
        inputs must be tensors. With `math`, points outside the domain of Python's functions raise as in Python (log(0),
        sqrt(-1), 1/0, exp(1000)) or give a complex number ((-8)**(1/3)). With the other modules, operators between
        plain numbers, such as 1/0, behave in the same way, while arrays and the modules' functions give nan and inf
        outside the domain. If jax or torch differentiates the function, the derivatives follow its own rules. They may
        then be nan where an operation did not select an operand whose derivative is infinite. For example, jax gives
        nan for `where(less(0, x), 1 / x, 0)` at x = 0, where `gradient` gives 0.

        "c" is a C99 file, which is C++ too. It has a function for the outputs of one row and, if there is one output, a
        function for the mean over some rows and the gradient of this mean. It needs `math.h` alone, allocates no memory
        and keeps no state. The comment at its top shows how to call it. For special operands, such as 0, inf and nan,
        the results are those of the operations in `micrograd_cn.ops`. If an operation such as `where` did not select a
        sum of products (`dot`), and a factor in the sum is infinite, a gradient may be nan, while the engine gives 0.
        At ordinary points, the value and the partial derivatives of an operation are within 4 ulps (units in the last
        place) of the engine's. With the precision "float" they are within 8 ulps of a float. For `erf`, `erfc`,
        `erfinv` and `gelu` the bound is 32 ulps, since a factor of their derivatives is the exponential of a rounded
        square. Where terms cancel, as in `sum`, `dot`, `logsumexp`, `logaddexp`, `lgamma` and `digamma` of negative
        numbers, and the derivatives of `silu` and `gelu`, the bounds are in ulps of the largest term.

        If the program computes one branch of a compiled function, a comment says which comparisons the text assumes. In
        C and Python, the text checks them: the outputs and their derivatives are nan for numbers for which the function
        takes another branch. The text in LLVM checks nothing.

        Args:
            language: "llvm", "python" or "c".
            parameters: a module, or a dict from names to parameters or nested lists of them. "python" uses these names
                for the dict that the function takes, and "c" has the parameters in the order of the names. The order in
                a module is that of its `state_dict()`, not of its `parameters()`. A C file has no places for named
                values that the program does not read, or that are constants; there is a warning if it leaves out some
                of them. If `parameters` is None, the order is that of `.parameters`.
            name: the prefix of the names of a C file's functions and macros.
            precision: the type of a C file's numbers, "double" or "float".
            weights: whether parameters are "passed" to a C file's functions, or "embedded" as constants with the data
                that they have now. A file with embedded parameters computes outputs, but no gradient.
            optimizer: an optimiser, for which the C file gets a further function. This function takes a training step
                with the options that the optimiser has now. None adds no such function.

        Raises:
            TypeError: a user-defined operation has a `lowerings.machine`, but no formula in the operations of
                `micrograd_cn.ops`; something named in `parameters` is not a `Value`; or the optimiser cannot be
                compiled, as for `fit`.
            ValueError: there is no such language; the graph has a value that was detached by `detach()` or `no_grad()`,
                which "python" cannot express; `parameters` are passed for "llvm"; a parameter that the program reads
                has no name or two names; an option for "c" is passed with another language, or has a value that it
                cannot have; or the data of a constant of a compiled function has changed since it was recorded.

        >>> from micrograd_cn.compiler import compile
        >>> x, w = Value(2), Value(3)
        >>> print(compile((w * x).tanh(), inputs=[x]).source("python"))
        def f(xp, parameters, inputs):
            [w0] = parameters
            [x0] = inputs
            v0 = w0 * x0
            v1 = xp.tanh(v0)
            return v1
        <BLANKLINE>
        >>> print(compile((w * x).tanh(), inputs=[x]).source("c", weights="embedded").partition("*/")[2])
        <BLANKLINE>
        <BLANKLINE>
        #include <math.h>
        <BLANKLINE>
        #define F_INPUTS 1
        #define F_OUTPUTS 1
        #define F_PARAMETERS 1
        #define F_WORK 2
        <BLANKLINE>
        static const double f_weights[1] = {
            3.0
        };
        <BLANKLINE>
        void f_forward(const double *inputs, double *outputs, double *work)
        {
            work[0] = f_weights[0] * inputs[0];
            work[1] = tanh(work[0]);
            outputs[0] = work[1];
        }
        <BLANKLINE>
        """
        self.compiled.data.check_constants()
        options = Options(name, precision, weights, optimizer)
        if not self._guards:
            return self._text(language, parameters, options)
        assert self._guards.compiled
        self._guards.compiled.data.check_constants()
        checks = language in ("c", "python")
        program = self._with_nan if checks else self
        return self._guards.commented(program._text(language, parameters, options), language, checks)

    @cached_property
    def _with_nan(self) -> Program:
        """A program without guards, whose outputs are nan where a guard of this program is broken."""
        assert self._guards
        outputs = self._guards.nan_where_broken(self.outputs)
        return Program(outputs[0] if self._single else outputs, self.inputs, self.parameters)

    def _text(self, language: str, parameters: ParameterNames | None, options: Options) -> str:
        """Return the text of the program as `source` does, but without guards."""
        if language == "c":
            write = partial(c.source, inputs=self.inputs, outputs=self.outputs, named=parameters, options=options)
            return self.compiled.with_lowering(write)
        for option, given, default in zip(Options._fields, options, Options(), strict=True):
            if given != default:
                raise ValueError(f'source(): {option} is an option of "c" alone, not of {language!r}')
        if language == "llvm":
            if parameters is not None:
                raise ValueError('source(): parameters have names in "python" and "c" alone, not in "llvm"')
            kind = "gradient" if self._single and self.outputs[0].requires_grad else "forward"
            return self.compiled.llvm_text(kind)
        if language == "python":
            graph = self.compiled.graph
            return source(
                self.outputs, self.inputs, self.parameters, graph.constants, self._single, parameters,
                graph.users_formulas,
            )  # fmt: skip
        raise ValueError(f'source() is in "llvm", "python" or "c", got {language!r}')

    def array_function(self, parameters: ParameterNames) -> Callable[[Any, Any, Any], Any]:
        """Return the graph as a Python function of arrays, for jax.jit, jax.vmap, jax.grad and functions like these.

        The text of the function is `source("python", parameters)`. The function takes `xp`, the parameters and the
        inputs. The parameters are a dict with the keys and nested lists of the model's `state_dict()`, and its keys may
        be in any order. The leaves of the dict are numbers or arrays. The gradient that jax.grad returns is such a
        dict, too, and so are the new parameters that a jax optimiser returns, which `load_state_dict` can load. A
        leaf that was a constant while the graph was recorded (`requires_grad` was False) keeps its number. Entries of
        the dict that the graph does not use are not read. A list in the dict that has another length than in
        `parameters` raises an error.

        Args:
            parameters: a module; or a dict from names to the members of `.parameters`, or to nested lists of them.

        Raises:
            TypeError: as for `source`.
            ValueError: as for `source`.

        >>> from micrograd_cn.compiler import compile
        >>> from micrograd_cn.nn import Neuron
        >>> x, model = Value(2), Neuron(1, nonlin=False)
        >>> program = compile(model([x]), inputs=[x])
        >>> print(program.source("python", model))
        def f(xp, parameters, inputs):
            [w0] = parameters["weight"]
            w1 = parameters["bias"]
            [x0] = inputs
            v0 = w0 * x0 + w1
            return v0
        <BLANKLINE>
        >>> program.array_function(model)(math, {"bias": 1.0, "weight": [3.0]}, [2.0])
        7.0
        """
        names: dict[str, Any] = {}
        exec(self.source("python", parameters), names)
        f: Callable[[Any, Any, Any], Any] = names["f"]
        return f

    def __repr__(self) -> str:
        return self.compiled.description()

    def __reduce__(self) -> Any:
        raise TypeError("cannot copy or pickle a compiled program; compile the graph again where it is needed")

    def _read_rows(self, rows: Any) -> tuple[Numbers, int]:
        """Return the numbers of all rows, one row after the other, and the number of rows.

        If the program has guards, this raises GuardError for a row for which the function takes another branch. While a
        compiled function is recorded, this raises an error if the output requires a gradient, since the result of the
        program would be a constant in the recording.
        """
        if context.active and (hooks := context.here().hooks):
            hooks.read(self.outputs[0], "the result of a program")
        numbers, n = read_rows(rows, len(self.inputs))
        if self._guards:
            self._guards.check(numbers, n)
        return numbers, n

    @property
    def has_gradient(self) -> bool:
        """Whether the first output depends on a leaf that requires a gradient."""
        return self.outputs[0].requires_grad

    @property
    def has_trainable(self) -> bool:
        """Whether a gradient of the first output reaches a leaf that is not an input, and requires a gradient now."""
        if self._trainable is None or not self._trainable.requires_grad:
            self._trainable = self._find_trainable()
        return self._trainable is not None

    def _find_trainable(self) -> Value | None:
        inputs, waiting, seen = {*self.inputs}, [self.outputs[0]], set[Value]()
        while waiting:
            node = waiting.pop()
            if node in seen or node in inputs or not node.requires_grad or node.op is DETACH:
                continue
            if node.op is None:
                original = node.original if isinstance(node, CapturedValue) else node
                if original.requires_grad:
                    return original
            seen.add(node)
            waiting += [x for x in node.operands if isinstance(x, Value)]
        return None

    @property
    def has_one_output(self) -> bool:
        """Whether the program was compiled from one output, and not from a list."""
        return self._single

    def _check_gradient(self, name: str) -> None:
        if not self._single:
            raise ValueError(
                f"{name}() needs one output, but the program has a list of {len(self.outputs)}; compile a single Value"
            )
        if not self.has_gradient:
            raise RuntimeError(f"{name}() of the constant {self.outputs[0]!r}: it has no gradient")

    def _read_batch(self, name: str, rows: Any) -> tuple[Numbers, int]:
        """Return what `_read_rows` returns, after checks that the program has a gradient, and that there are rows.

        The message names `name`, the method that needs the gradient.

        Raises:
            TypeError: `rows` does not hold rows of real numbers.
            ValueError: there are no rows, a row does not have one number for each input, or the program was compiled
                from a list of outputs.
            RuntimeError: the output has no gradient.
        """
        self._check_gradient(name)
        numbers, n = self._read_rows(rows)
        if not n:
            raise ValueError(f"{name}() was given no rows")
        return numbers, n

    # Derivatives for each row

    def with_outputs(
        self, output: Value | Sequence[Value], first: Sequence[Value] = (), extends: bool = False
    ) -> Program:
        """Return a program that computes other outputs from the same inputs, with the same guards.

        The new program keeps the data that the constants of this program had when this program was made. It raises
        ValueError if a constant has other data when it runs.

        Args:
            output: the outputs, as for `Program`.
            first: further parameters. They come before those of this program, which keep their order.
            extends: whether the outputs may be computed from most nodes of this program. If so, the instructions for
                these nodes are not made again. `first` must be empty then.
        """
        made = self._with_outputs(output, first, extends)
        return made.with_guards(self._guards) if self._guards else made

    def _with_outputs(self, output: Value | Sequence[Value], first: Sequence[Value], extends: bool) -> Program:
        """Return a program that computes other outputs, without guards. The arguments are those of `with_outputs`."""
        self.compiled.check_operations()
        made = Program(output, self.inputs, [*first, *self.parameters])
        made.compiled.base = self.compiled if extends else None
        made.compiled.data.watch_as(self.compiled.data)
        return made

    def gradient(
        self, rows: Any, wrt: Variables = "inputs", threads: int = 1, out: Any = None, **wrong: Never
    ) -> list[list[float]] | Any:
        """Return the gradient of the output for every row of `rows`: a number for each variable, even if it is 0.

        A derivative that is 0 whatever the inputs are, as that of sqrt(x - x), is found to be 0. `backward` gives nan
        for it, since it multiplies the local derivatives 0 and inf.

        Args:
            rows: rows with a number for each input, as for `forward`.
            wrt: the variables to differentiate with respect to: "inputs", or the name of an argument, or a list of
                names; "parameters", which are in the order of `.parameters`; or a list of `Value`s, each an input or a
                leaf that requires a gradient. The derivative with respect to a leaf that the program does not use is 0.
                For the order of a model's parameters, write `wrt=model.parameters()`. For "parameters", the derivative
                with respect to a parameter that is frozen now is 0; in a list it is an error.
            threads: how many threads compute.
            out: a buffer of doubles for the numbers of all rows, one row after the other; it is returned.

        Raises:
            TypeError: as for `forward`; or `wrt` contains something that is neither a `Value` nor a name; or a partial
                of a user-defined operation is something else in each call.
            ValueError: as for `forward`; or the program has several outputs; or a string in `wrt` is not the name of an
                argument; or a `Value` in it is neither an input nor a leaf, is frozen, or occurs twice; or the function
                uses a value that was computed from a `Value` in `wrt` before the function was called.
            RuntimeError: the output is a constant.
            FloatingPointError: as for `forward`.

        >>> from micrograd_cn.compiler import compile
        >>> x, y, w = Value(1), Value(2), Value(3)
        >>> program = compile(w * x * y, [x, y])
        >>> program.gradient([[1, 2], [5, 7]]), program.gradient([[5, 7]], wrt="parameters")
        ([[6.0, 3.0], [21.0, 15.0]], [[35.0]])
        """
        if wrong:
            refuse_method_options("gradient", wrong, ("wrt", "threads", "out"))
        return self._evaluate("gradient", rows, wrt, threads, out)

    def value_and_grad(
        self, rows: Any, wrt: Variables = PARAMETERS, each: bool = False, threads: int = 1, **wrong: Never
    ) -> tuple[Any, Any]:
        """Return the mean output over the rows, and the gradient of this mean; no `grad` is changed.

        With `each`, return the outputs of all rows, and the gradients of all rows, instead.

        The results are lists, or numpy arrays if `rows` is a numpy array. A function that returns such a pair is what
        `scipy.optimize.minimize(fun, x0, jac=True)` takes.

        Args:
            rows: rows with a number for each input, as for `forward`.
            wrt: the variables, as for `gradient`, but by default the parameters. The gradient of the mean with respect
                to inputs has a row for each row of `rows`.
            each: whether to return the output and the gradient of each row.
            threads: how many threads compute.

        Raises:
            TypeError, RuntimeError, FloatingPointError: as for `gradient`.
            ValueError: as for `gradient`; or there are no rows; or `wrt` has inputs and parameters, and `each` is not
                set; or `wrt` is not passed, and the compiled function uses a value that was computed from a parameter
                before the call.

        >>> from micrograd_cn.compiler import compile
        >>> x, w = Value(1), Value(3)
        >>> program = compile(w * x**2, [x])
        >>> program.value_and_grad([[1], [2]]), program.value_and_grad([[1], [2]], each=True)
        ((7.5, [2.5]), ([3.0, 12.0], [[1.0], [4.0]]))
        """
        if wrong:
            refuse_method_options("value_and_grad", wrong, ("wrt", "each", "threads"))
        check_threads("value_and_grad", threads)
        if type(each) is not bool:
            each = flag("value_and_grad(): each", each)
        if type(wrt) is Default:
            wrt = "parameters"
            self.check_no_captured("value_and_grad")
        numpy = numpy_if_array(rows)
        if each:
            return split(self._evaluate("value_and_grad", rows, wrt, threads, None), numpy)
        numbers, n = self._read_batch("value_and_grad", rows)
        is_text = isinstance(wrt, str)
        variables: Any = wrt if is_text else self._variables("value_and_grad", wrt)
        if wrt != "parameters" if is_text else self._are_inputs("value_and_grad", variables):
            matrix = memoryview(flat(numbers)).cast("B").cast("d", (n, len(self.inputs))) if self.inputs else rows
            values, found = split(self._evaluate("value_and_grad", matrix, variables, threads, None), None)
            slopes = [[x / n for x in row] for row in found]
            return sum(values) / n, numpy.array(slopes) if numpy else slopes
        self.check_frozen("value_and_grad")
        loss, gradients = self.compiled.gradient_of(numbers, row_numbers(n), threads)
        gradients = zero_frozen(gradients, self.parameters)
        if not is_text:  # a variable that is not a parameter of this program gets 0
            place = {p: i for i, p in enumerate(self.parameters)}
            gradients = array("d", [gradients[place[p]] if p in place else 0.0 for p in variables])
        return loss, as_list(gradients, numpy)

    def _are_inputs(self, kind: str, variables: Sequence[Value]) -> bool:
        """Return whether the variables are inputs, and not parameters. `kind` is the method, for messages.

        Raises:
            ValueError: there are both inputs and parameters.
        """
        found = {x in self._input_set for x in variables}
        if len(found) > 1:
            raise ValueError(f"{kind}(): wrt has inputs and parameters; write each=True, or call it for each of them")
        return found == {True}

    @cached_property
    def _input_set(self) -> frozenset[Value]:
        return frozenset(self.inputs)

    def jacobian(
        self,
        rows: Any,
        wrt: Variables = "inputs",
        dense: bool = False,
        threads: int = 1,
        out: Any = None,
        **wrong: Never,
    ) -> list[list[float]] | Any:
        """Return the entries of the Jacobian that can be nonzero, for every row of `rows`.

        The entries are in the order of `jacobian_structure`. The Jacobian has a row for each output, and a column for
        each variable in `wrt`.

        Args:
            rows: rows with a number for each input, as for `forward`.
            wrt: the variables to differentiate with respect to, as for `gradient`. "parameters" are in the order of
                `.parameters`; for the order of a model's parameters, write `wrt=model.parameters()`.
            dense: whether to return, for every row of `rows`, the whole matrix, including zeros. It is nested lists, or
                a numpy array if `rows` is a numpy array.
            threads: how many threads compute.
            out: a buffer of doubles for the numbers of all rows; it is returned.

        Raises:
            TypeError: as for `gradient`.
            ValueError: as for `gradient`, but several outputs are allowed.
            FloatingPointError: as for `forward`.

        >>> from micrograd_cn.compiler import compile
        >>> x, y = Value(1), Value(2)
        >>> program = compile([x * y, 3 * y], [x, y])
        >>> program.jacobian([[5, 7]]), program.jacobian([[5, 7]], dense=True)
        ([[7.0, 5.0, 3.0]], [[[7.0, 5.0], [0.0, 3.0]]])
        """
        if wrong:
            refuse_method_options("jacobian", wrong, ("wrt", "dense", "threads", "out"))
        if type(dense) is not bool:
            dense = flag("jacobian(): dense", dense)
        return self._evaluate("jacobian", rows, wrt, threads, out, dense)

    def hessian(
        self,
        rows: Any,
        lower: bool = False,
        wrt: Variables = "inputs",
        dense: bool = False,
        threads: int = 1,
        out: Any = None,
        mean: bool = False,
        **wrong: Never,
    ) -> list[list[float]] | Any:
        """Return the second derivatives that can be nonzero, for every row of `rows`.

        The derivatives are in the order of `hessian_structure`. Two entries that mirror each other are computed once.
        At a singular point, such as (0, 0.5) of x**y, `functional.hessian` may give different numbers for these two.

        To get the Hessian of a Lagrangian f + l * g with respect to x alone, while the multiplier l is an input too,
        write `wrt=[x]`.

        Args:
            rows: rows with a number for each input, as for `forward`.
            lower: whether to return only the lower triangle, including the diagonal.
            wrt: the variables to differentiate with respect to, as for `gradient`. "parameters" are in the order of
                `.parameters`; for the order of a model's parameters, write `wrt=model.parameters()`.
            dense: whether to return, for every row of `rows`, the whole matrix, including zeros. It is nested lists, or
                a numpy array if `rows` is a numpy array.
            threads: how many threads compute.
            out: a buffer of doubles for the numbers of all rows, or of the mean; it is returned.
            mean: whether to return the Hessian of the mean output over the rows, and not one Hessian for each row. It
                is added up in machine code.

        Raises:
            TypeError: as for `gradient`.
            ValueError: as for `gradient`; or `mean` is set, and there are no rows.
            RuntimeError: as for `gradient`.
            FloatingPointError: as for `forward`.

        >>> from micrograd_cn.compiler import compile
        >>> x, y, l = Value(1), Value(2), Value(3)
        >>> lagrangian = compile(x * y + l * (x**2 - 1), [x, y, l])
        >>> lagrangian.hessian_structure(lower=True, wrt=[x, y]), lagrangian.hessian([[5, 6, 7]], True, wrt=[x, y])
        (((0, 1), (0, 0)), [[14.0, 1.0]])
        """
        if wrong:
            refuse_method_options("hessian", wrong, ("lower", "wrt", "dense", "threads", "out", "mean"))
        if not (type(lower) is type(dense) is type(mean) is bool):
            lower, dense = flag("hessian(): lower", lower, "wrt"), flag("hessian(): dense", dense)
            mean = flag("hessian(): mean", mean)
        return self._evaluate("hessian", rows, wrt, threads, out, dense, lower, mean)

    def jacobian_structure(self, wrt: Variables = "inputs") -> Structure:
        """Return the row and column indices of the Jacobian's entries that can be nonzero.

        `micrograd_cn.derivatives.finite_field` explains how entries that are always zero are found. `wrt` and the
        errors are those of `jacobian`.

        >>> from micrograd_cn.compiler import compile
        >>> x, y = Value(1), Value(2)
        >>> found = compile([x * y, 3 * y], [x, y]).jacobian_structure()
        >>> found, found.shape, found.constant
        (((0, 0, 1), (0, 1, 1)), (2, 2), (False, False, True))
        """
        return self.derivative_for_calls("jacobian", wrt).structure

    def hessian_structure(self, lower: bool = False, wrt: Variables = "inputs") -> Structure:
        """Return two tuples, the row indices and the column indices of the second derivatives that can be nonzero.

        With `lower`, return those of the lower triangle and the diagonal alone. `wrt` and the errors are those of
        `hessian`.

        >>> from micrograd_cn.compiler import compile
        >>> x, y = Value(1), Value(2)
        >>> compile(x * y, [x, y]).hessian_structure()
        ((0, 1), (1, 0))
        """
        lower = flag("hessian_structure(): lower", lower, "wrt")
        return self.derivative_for_calls("hessian", wrt, lower).structure

    def derivative(self, kind: Kind, wrt: Variables = "inputs", lower: bool = False) -> CompiledDerivative:
        """Return a derivative: the positions of its entries, and the program that computes them, which can be printed.

        If an operation such as `relu` did not select a sum of products, such as `dot`, and a factor of the sum is
        infinite, an entry may be nan where `gradient`, `jacobian` and `hessian` give a number.

        Args:
            kind: "gradient", "jacobian" or "hessian"; or "value_and_grad" for the output, followed by the gradient.
            wrt: the variables to differentiate with respect to, as for `gradient`.
            lower: for a Hessian, whether to compute only the lower triangle, including the diagonal.

        Raises:
            TypeError: as for `gradient`.
            ValueError: as for `gradient`, but a Jacobian may have several outputs; or `kind` is none of the four.
            RuntimeError: as for `gradient`.

        >>> from micrograd_cn.compiler import compile
        >>> x, w = Value(1), Value(2)
        >>> print(compile(w * x**3, [x]).derivative("gradient").program.source("python"))
        def f(xp, parameters, inputs):
            [w0] = parameters
            [x0] = inputs
            v0 = x0 ** 2.0
            v1 = w0 * v0
            v2 = 3.0 * v1
            return [v2]
        <BLANKLINE>
        """
        found = self._derivative(kind, wrt, flag("derivative(): lower", lower), Gates.NOT_FOR_SUMS)
        if not self._guards:
            return found
        if found not in self._guarded:
            program = found.program and found.program.with_guards(self._guards)
            self._guarded[found] = CompiledDerivative(found.entries, program, found.gated)
        return self._guarded[found]

    def derivative_for_calls(self, kind: Kind, wrt: Variables = "inputs", lower: bool = False) -> CompiledDerivative:
        """Return a derivative as `derivative` does, but one whose entries may be nan where they should not be.

        Operations such as `relu` and `maximum` pass no gradient to an operand that they did not select. The gradient of
        the operand must be 0 even if a later factor is infinite or nan, so a gate chooses between each product and 0.
        To make a derivative with gates takes up to 1.5 times as long as to make one without, and up to twice as long if
        factors of sums have gates, too. Infinite factors are rare. So this method returns a derivative that always
        multiplies, in which 0 times an infinite factor is nan. A caller that finds a nan calls `derivative_with_gates`
        instead. From then on, this method returns the derivative with gates, too.

        The arguments and the errors are those of `derivative`.
        """
        return self._derivative(kind, wrt, lower, Gates.NONE)

    def derivative_with_gates(self, kind: Kind, wrt: Variables = "inputs", lower: bool = False) -> CompiledDerivative:
        """Return a derivative that is 0, and never nan, for an operand that an operation such as `relu` did not select.

        `derivative_for_calls` is faster, but does not guarantee this; it explains why, and what gates are.
        """
        return self._derivative(kind, wrt, lower, Gates.ALL)

    @cached_property
    def _selects(self) -> bool:
        return any(op.selects for _, op in self.compiled.graph.operations)

    @cached_property
    def _needs_gates_for_sums(self) -> bool:
        return self._selects and any(op.lowerings.summands for _, op in self.compiled.graph.operations)

    def _derivative(
        self, kind: Kind, wrt: Variables, lower: bool, gates: Gates, numbers: Numbers | None = None
    ) -> CompiledDerivative:
        """Return a derivative of the program, which is compiled at the first call and then kept.

        `gates` says which entries are 0 and not nan where an operation such as `relu` did not select an operand (see
        `Gates`). For `Gates.NONE`, return the derivative with all gates if it was made already.

        `numbers` has the numbers of the rows for which the derivative is going to be computed. If the derivative does
        not exist yet, and its entries are probably nan for these rows without gates, it gets all gates. If it were made
        without gates, the same derivative would probably have to be made again at once, with all gates. `lower` says
        whether a Hessian has only the entries of its lower triangle.
        """
        if gates is Gates.NOT_FOR_SUMS and not self._needs_gates_for_sums:
            gates = Gates.ALL  # there are no gates for sums, so both are the same
        if wrt == "parameters":
            wrt = self.all_parameters(kind, self.parameters)
        variables = None if isinstance(wrt, str) else self._variables(kind, wrt)
        of = wrt if variables is None else tuple(variables)
        known = self._derivatives
        found = known.get((kind, of, lower, gates))
        if gates is Gates.NONE:
            found = known.get((kind, of, lower, Gates.ALL)) or found
        if found is not None:
            return found
        variables = variables or self._variables(kind, wrt)
        if kind not in ("gradient", "jacobian", "hessian", "value_and_grad"):
            raise ValueError(f'derivative() is a "gradient", "jacobian" or "hessian", got {kind!r}')
        if kind != "jacobian" and not (self._single and any(program.has_gradient for program in self.siblings() or ())):
            self._check_gradient(kind)
        self.compiled.graph.check_partials()
        wanted = variables
        if not (gates or self._selects) or (not gates and numbers is not None and self._gives_nan(numbers)):
            gates = Gates.ALL
        key = kind, of, lower, gates

        def derived() -> CompiledDerivative:
            found = known.get(key)
            if found is None:  # in an empty context: the first caller may be inside `no_grad()`
                made = Context().run(_derive, self, kind, wanted, lower, gates)
                found = known.setdefault(key, made)
            return found

        return self.compiled.in_turn(derived)

    def _gives_nan(self, rows: Numbers) -> bool:
        """Return whether the program will probably give nan for `rows`.

        It probably will if a number in `rows` is nan. It also will if the first row has the numbers for which the graph
        was recorded, and an output was nan then.
        """
        if any(map(has_nan, rows.parts if isinstance(rows, Columns) else [rows])):
            return True
        recorded = [x._data for x in self.inputs]
        return any(isnan(y._data) for y in self.outputs) and [*rows[: len(recorded)]] == recorded

    def _derivatives_of(self, row: list[float]) -> list[list[float]]:
        """Return, for each output, the compiled derivatives with respect to all inputs, then to all parameters."""
        if self._single:
            found = self.gradient([row])[0] if self.inputs else []
            return [[*found, *self.compiled.gradient_of(array("d", row), row_numbers(1), threads=1)[1]]]
        inputs, parameters = (self.jacobian([row], wrt, dense=True)[0] for wrt in ("inputs", "parameters"))
        return [[*a, *b] for a, b in zip(inputs, parameters, strict=True)]

    def _compare_derivatives(
        self, title: str, arguments: list[Value], y: Value, compiled: list[float], rtol: float, atol: float
    ) -> None:
        """Compare the derivatives of an output of the recorded function with those that the program has computed.

        Args:
            title: the text that names the row and the output in the message.
            arguments: the arguments with which the function was called.
            y: the output of the function.
            compiled: the program's derivatives, first those with respect to inputs, then those with respect to
                parameters.
            rtol, atol: the relative and the absolute tolerance. `rtol` is relative to the largest of the derivatives.

        Raises:
            Mismatch: a derivative differs. The message begins with `title`.
        """
        ours = with_leaves_of_captured(dict(zip((*arguments, *self.parameters), compiled, strict=True)))
        leaves = traverse(y)[1]
        for x in self._held_constants:
            if x.requires_grad and x in leaves:
                raise Mismatch(
                    f"{title}: the function has a derivative with respect to {x!r}, which is a constant of the "
                    "program, since it required no gradient when the program was made; compile anew"
                )
        # A leaf that the function makes itself, such as `Value(0.0)` before a loop, is another one in each call.
        made = {x._data for x in leaves if x.requires_grad and x not in ours}
        variables = [x for x in ours if x.requires_grad and (x in leaves or x._data not in made)]
        found = gradients(y, variables) if y.requires_grad else [0.0] * len(variables)
        k = differing_derivative(found, [ours[x] for x in variables], rtol, atol)
        if k is not None:
            x = variables[k]
            what = f"input {arguments.index(x)}" if x in arguments else f"the parameter {x!r}"
            raise Mismatch(
                f"{title}: the derivative of the function with respect to {what} is {found[k]}, that of the graph "
                f"{ours[x]}; does the function read something that was recorded once?"
            )

    def all_parameters(self, kind: str, parameters: Sequence[Value]) -> Variables:
        """Return what to pass as `wrt` to differentiate with respect to all of `parameters`.

        This is the text "parameters" if they are the parameters of this program, and none is frozen now. Otherwise it
        is a list, with another `Value` in place of each frozen parameter. Nothing depends on this `Value`, so the
        derivative with respect to it is 0.

        Args:
            kind: the name of the method, for messages.
            parameters: the parameters of this program, or all parameters of the compiled function, which begin with
                those of this program.

        Raises:
            ValueError: a constant of the program requires a gradient now, so it may be a parameter, too.
        """
        self.check_frozen(kind)
        if len(parameters) == len(self.parameters) and not some_frozen(parameters):
            return "parameters"
        return unfrozen(parameters)

    def check_variables(self, kind: str, wrt: Sequence[Value]) -> None:
        """Raise an error if one of `wrt` is an input, or if the program cannot be differentiated with respect to it.

        `kind` is the name of the method, for messages.

        Raises:
            TypeError, ValueError: as for `gradient`; or one of `wrt` is an input.
        """
        if self._are_inputs(kind, self._variables(kind, wrt)):
            raise ValueError(f"{kind}(): wrt has inputs; write the names of arguments")

    def _variables(self, kind: str, wrt: Any) -> list[Value]:
        if isinstance(wrt, str):
            if wrt in ("inputs", "parameters"):
                return list(self.inputs if wrt == "inputs" else self.parameters)
            wrt = [wrt]
        wrt = listed(kind, wrt)
        if wrt and all(isinstance(x, str) for x in wrt):
            wrt = [x for name in wrt for x in self._inputs_of(kind, name)]
        siblings = self.siblings() or ()
        known = self._known_leaves(siblings)
        found: dict[Value, None] = {}
        for i, x in enumerate(wrt):
            if not (isinstance(x, Value) and x.requires_grad and (x in known or not x.op)):
                raise _wrong_variable(kind, i, x)
            if x in found:
                raise ValueError(f"{kind}(): wrt[{i}], {x!r}, is there twice")
            found[x] = None
        # A leaf may be a constant of this program although it is a parameter of another program of the function
        if not found.keys().isdisjoint(self._held_constants):
            self.check_frozen(kind)
        # The derivative with respect to a leaf that no program has is 0, unless the leaf was frozen
        if unused := {x for x in found if x not in known and type(x) is not StandIn}:
            for program in siblings:
                if not unused.isdisjoint(program._held_constants):
                    program.check_frozen(kind)
        self._check_captured(kind, found)
        return list(found)

    def _known_leaves(self, siblings: Sequence[Program]) -> set[Value]:
        """Return the set of all inputs, and of the parameters of this program and of the programs in `siblings`."""
        count, known = self._known
        if count != len(siblings):
            count = len(siblings)  # first, since another thread may add one
            known = {*self.inputs, *self.parameters, *chain.from_iterable([p.parameters for p in siblings])}
            self._known = count, known
        return known

    def _inputs_of(self, kind: str, name: str) -> list[Value]:
        """Return the inputs that stand for the numbers in the argument called `name`.

        Raises:
            ValueError: no argument has this name. The message begins with `kind`, the name of the method.
        """
        names = dict.fromkeys([x.label.partition("[")[0] for x in self.inputs])
        if name not in names:
            known = " or ".join(map(repr, filter(None, names))) or "no input has a label"
            raise ValueError(
                f'{kind}(): wrt must be "inputs", "parameters", the name of an argument ({known}), or some of their '
                f"Values, got {name!r}"
            )
        return [x for x in self.inputs if x.label.partition("[")[0] == name]

    def _check_captured(self, kind: str, wrt: Container[Value]) -> None:
        """Raise ValueError if the program uses a captured value that was computed from one of the variables `wrt`.

        A captured value was computed before the compiled function was called, so the program does not compute it. A
        derivative with respect to the variable would leave out how the captured value depends on it. It is not an error
        if the captured value is itself among the variables. `kind` is the name of the method, for messages.
        """
        for p in self._used_captured:
            for x in traverse(p.original)[1]:
                if x in wrt and p not in wrt:
                    raise ValueError(
                        f"{kind}(): the function uses {describe(p.original)}, which was computed from {describe(x)} "
                        f"before it was called, so the derivative with respect to {describe(x)} would leave this out; "
                        'compute it in the function, detach() it, or write wrt="parameters", in which it is a variable'
                    )

    def check_no_captured(self, kind: str) -> None:
        """Raise ValueError if the program uses a captured value that was computed from a leaf which is not frozen.

        A captured value was computed before the compiled function was called, so a gradient with respect to all
        parameters would not reach the leaf through it. `kind` is the name of the method, for messages.
        """
        if used := self._used_captured:
            self._check_captured(kind, [x for p in used for x in traverse(p.original)[1] if x.requires_grad])

    @cached_property
    def _used_captured(self) -> Sequence[CapturedValue]:
        """The captured values on which the outputs of this program depend, and to which a gradient can flow.

        A captured value was computed before the compiled function was called.
        """
        reached = reached_nodes(self.outputs) if self.compiled.captured else ()
        return [p for p in self.compiled.captured if p in reached]

    def _evaluate(
        self,
        kind: Kind,
        rows: Any,
        wrt: Variables,
        threads: int,
        out: Any,
        dense: bool = False,
        lower: bool = False,
        mean: bool = False,
    ) -> Any:
        """Return the entries of a derivative for every row of `rows` or, with `mean`, their means over the rows.

        `kind` is the name of the method, and the other arguments are those of `hessian`.

        Raises:
            ValueError: `mean` is set, and there are no rows.
        """
        check_threads(kind, threads)
        wrt = reusable(wrt)
        numbers, n = self._read_rows(rows)
        if mean and not n:
            raise ValueError(f"{kind}(): there are no rows, so they have no mean")
        derivative = self._derivative(kind, wrt, lower, Gates.NONE, numbers)
        self.compiled.data()  # refuses constants that have other data, even if no derivative is computed
        if context.active:  # for speed, before `row_numbers`
            self.compiled.detect_anomaly(numbers, row_numbers(n), backward=kind != "jacobian")
        numpy = numpy_if_array(rows) if out is None else None
        while True:
            found = derivative.mean(numbers, n, threads) if mean else derivative.flat(numbers, n, threads, dense, out)
            if derivative.gated or not has_nan(found):
                return (derivative.shaped_mean if mean else derivative.shaped)(found, n, numpy, out, dense)
            derivative = self.derivative_with_gates(kind, wrt, lower)


def _check_graph(outputs: Sequence[Any], inputs: Sequence[Any]) -> None:
    if not outputs:
        raise ValueError("compile() needs an output, got an empty list")
    for name, given in (("output", outputs), ("inputs", inputs)):
        for i, x in enumerate(given):
            if not isinstance(x, Value):
                raise TypeError(f"compile(): {name}[{i}] is {type(x).__name__} {x!r}, not a Value")
    seen: set[Value] = set()
    for i, x in enumerate(inputs):
        if x.op is not None:
            raise ValueError(f"compile(): inputs[{i}], {x!r}, is computed ({x.op.name}), not a leaf")
        if not x.requires_grad:
            raise ValueError(f"compile(): inputs[{i}], {x!r}, is a constant of the graph; record it with a Value there")
        if x in seen:
            raise ValueError(f"compile(): inputs[{i}], {x!r}, is there twice")
        seen.add(x)


def _check_taken(outputs: Sequence[Any]) -> None:
    """Raise IndexError if an index of `take` in the graph of `outputs` is beyond its operands."""
    for node in topological_order(*[y for y in outputs if isinstance(y, Value)]):
        if node.op and node.op.lowerings.is_gather:
            index, *xs = node.parents
            if math.isnan(node.op.forward(index.data, *map(float, range(len(xs))))):
                numbers = f"its operands have the numbers 0 to {len(xs) - 1}"
                raise IndexError(f"{node.op.name}() has the index {index.data}, but {numbers}")


def _wrong_variable(kind: str, i: int, x: Any) -> Exception:
    """Return the error to raise because `x`, which is `wrt[i]`, is neither an input nor a leaf requiring a gradient.

    `kind` is the name of the method.
    """
    if not isinstance(x, Value):
        write = f"; samples are one argument, {kind}((X, Y))" if number_or_none(x) is not None else ""
        return TypeError(f"{kind}(): wrt[{i}] is {type(x).__name__} {x!r}, not a Value{write}")
    if not x.requires_grad:
        return frozen_variable(kind, f"[{i}]", x)
    return ValueError(
        f"{kind}(): wrt[{i}], {x!r}, is neither an input nor a parameter of the program; write the leaves from which "
        "it is computed"
    )


def _derive(program: Program, kind: Kind, variables: list[Value], lower: bool, gates: Gates) -> CompiledDerivative:
    """Return a derivative of a program. The derivative reads the parameters at each call, like the program.

    A gate keeps an entry from being 0 times infinity, which is nan, for an operand that an operation such as `relu` did
    not select. `gates` says for which derivatives there are gates; see `Program.derivative_for_calls`.

    A parameter that the user has frozen since the program was recorded must not become a constant of the derivative.
    While the graph is differentiated, a new leaf that requires a gradient therefore takes the place of each frozen
    leaf. To unfreeze the leaf itself for that time would be wrong: another thread that trains would then change it.
    """
    program.compiled.check_operations(f"{kind}(): ")
    _check_partials_are_repeatable(program)
    leaves = (*program.parameters, *program.inputs)
    instead = {x: Value(x._data, x.label) for x in leaves if not x.requires_grad}
    kept = with_leaves(with_kept_constants(program.outputs, program.compiled.graph.constants), instead)
    inner = [instead.get(x, x) for x in variables]

    def derive() -> CompiledDerivative:
        found = entries(kept, kind, inner, lower, gates)
        nodes = [x for x in found.values if isinstance(x, Value)]
        replaced = iter(with_leaves(nodes, {other: x for x, other in instead.items()}))
        values = [next(replaced) if isinstance(x, Value) else x for x in found.values]
        outputs = [constant(x) if isinstance(x, float) else x for x in values]
        # A gradient may need most of the nodes of the program. A Hessian needs less.
        extends = kind in ("gradient", "value_and_grad")
        made = program._with_outputs(outputs, (), extends) if nodes else None
        return CompiledDerivative(found._replace(values=values), made, gates is Gates.ALL)

    derivative = without_collector(derive)
    if all(x.requires_grad or x in instead for x in leaves):
        return derivative
    return _derive(program, kind, variables, lower, gates)  # another thread has frozen a parameter in the meantime


def _check_partials_are_repeatable(program: Program) -> None:
    """Raise TypeError if a partial derivative of a user's operation differs between two calls for the same operands."""
    nodes = {op: node for node, op in program.compiled.graph.operations if not is_of_the_table(op)}
    for op, node in nodes.items():
        numbers = [x._data if isinstance(x, Value) else x for x in node.operands]
        first, second = (op.local_derivatives(node._data, *numbers) for _ in range(2))
        if repr(first) != repr(second):
            raise TypeError(
                f"a partial of the operation {op.name!r} is something else in each call: {first}, then {second}; pass "
                "what changes from call to call, such as a random number, as an operand"
            )
