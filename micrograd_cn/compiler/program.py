"""Define `Runnable`: a recorded graph that is compiled, trained, checked, and printed in other languages."""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from math import isnan
from typing import Any

from ..engine import Value, topological_order
from ..graph import context
from ..ops.number import number
from ..optim import Optimizer
from .c import file as c
from .c.file import Options
from .data.arrays import FlatNumbers
from .data.captured import CapturedValue, with_kept_constants
from .data.columns import MAX_NUMBERS, Numbers, address
from .data.indices import indices_of, is_refused, out_of_range, rows_out_of_range
from .data.nodes import first_unfrozen
from .data.parameters import Gradients, add_gradients, reached_nodes, visited_nodes
from .data.rows import as_result, numpy_if_array, overlaps, read_rows, row_numbers, writable_address
from .data.samples import Bucket, copy_numbers
from .instructions.graph import DETACH
from .llvm.machine import Memory
from .python import ParameterNames, source
from .runtime.executable import CompiledGraph
from .runtime.prepared import FlatRunner, PreparedCall, prepare_or_count
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
from .training.run import Dispatcher, TrainingRun
from .training.state import parameter_layout

MAX_COUNTS = 4  # a program is ready for at most this many counts of rows, each of which needs about a megabyte


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


class Runnable:
    """A compiled graph, which can be computed, trained, checked and printed; its subclass `Program` has derivatives.

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

    >>> from micrograd_cn.compiler import compile
    >>> x, w = Value(2), Value(3)
    >>> compile(w * x, inputs=[x]).forward([[1], [10]])
    [3.0, 30.0]
    """

    def __init__(
        self, output: Value | Sequence[Value], inputs: Iterable[Value], parameters: Iterable[Value] = ()
    ) -> None:
        self._single = isinstance(output, Value)
        if not isinstance(output, (Value, Iterable)):
            raise TypeError(f"compile() takes a Value or a list of them, got {type(output).__name__} {output!r}")
        self.outputs: list[Value] = [output] if isinstance(output, Value) else list(output)
        self.inputs: list[Value] = [inputs] if isinstance(inputs, Value) else list(inputs)
        _check_graph(self.outputs, self.inputs)
        first = list(parameters)
        self.compiled = CompiledGraph(self.outputs, self.inputs, first)
        self._first_parameters = len(first)
        self._trainable: Value | None = None  # see `has_trainable`
        self.parameters = self.compiled.graph.parameters
        self.row = FlatRunner(self.compiled)
        # From the count of rows to the `FlatRunner` that computes them, or to the count of calls before there is one
        self._runners: dict[int, FlatRunner | int] = {}

    def __call__(self, *row: Any) -> Any:
        """Return the output for one row. The arguments are the row's numbers, one for each input; see `forward`."""
        return self.forward([row])[0]

    def forward(self, rows: Any, threads: int = 1, out: Any = None) -> Any:
        """Return the output for every row: a float, or a list of floats if there are several outputs.

        If `rows` is a numpy array, the result is a numpy array, too, unless `out` is passed.

        Args:
            rows: a sequence of rows with a number for each input; or a buffer of numbers in two dimensions, such as a
                numpy array. A writable, contiguous buffer of doubles is read in place, and any other buffer is copied.
            threads: how many threads compute. The results are the same for every count of threads.
            out: a buffer of doubles for the outputs of all rows, one row after the other; it is returned. If it is
                None, a new list (or numpy array) is made. To make a list often takes longer than to compute the
                outputs.

        Raises:
            TypeError: `rows` does not hold rows of real numbers, or `out` is not a writable buffer of doubles.
            OverflowError: an int in `rows` is too large for a float.
            ValueError: a row does not have one number for each input, `threads` is not an int of at least 1, `out` does
                not have one double for each output of each row, or a constant of a compiled function has other data
                now.
            FloatingPointError: inside `detect_anomaly()`, a value is not finite.

        >>> from array import array
        >>> from micrograd_cn.compiler import compile
        >>> x = Value(1)
        >>> compile([x * x, -x], inputs=[x]).forward([[2], [3]], out=array("d", [0, 0, 0, 0]))
        array('d', [4.0, -2.0, 9.0, -3.0])
        """
        check_threads("forward", threads)
        data, n = self._read_rows(rows)
        return self.computed(data, n, threads, numpy_if_array(rows) if out is None else None, out)

    def computed(self, data: Numbers, n: int, threads: int, numpy: Any, out: Any) -> Any:
        """Return the outputs of n rows as `forward` does.

        `data` has the numbers of all rows, one row after the other. `threads` and `out` are as for `forward`. `numpy`
        is the module numpy if the result is to be a numpy array, otherwise None.
        """
        width = len(self.outputs)
        if threads == 1 or numpy or out is not None:
            return as_result(self.flat(data, n, threads, out), (n,) if self._single else (n, width), numpy, out)
        to = Memory(n * width)  # while threads compute further rows, others make lists

        def collect(first: int, count: int) -> list[Any]:
            flat = to.view[width * first : width * (first + count)].tolist()
            return flat if self._single else [flat[i : i + width] for i in range(0, len(flat), width)]

        parts = self.compiled.write_outputs(data, row_numbers(n), threads, to.address, collect=collect)
        outputs, *others = parts or [[]]
        for more in others:
            outputs += more
        return outputs

    def flat(self, data: Numbers, n: int, threads: int, out: Any = None) -> FlatNumbers:
        """Return the outputs of n rows in one buffer, one row after the other.

        `data` has the numbers of all rows, one row after the other. `threads` is as for `forward`. If `out` is a buffer
        of doubles, the outputs are written to it, and a memoryview of it is returned. But if `out` is None or shares
        memory with the rows, or if a prepared call computes the rows, another buffer is returned, and `out` is not
        changed.
        """
        if threads == 1 and (run := self.row if n == 1 else self._runner(n)):
            if context.active:  # for speed, before `row_numbers`
                self.compiled.detect_anomaly(data, row_numbers(n), backward=False)
            return run(data)
        numpy, count = sys.modules.get("numpy"), n * len(self.outputs)
        found: FlatNumbers
        if out is not None and (to := writable_address(out, count)) and not overlaps(data, out):
            found = memoryview(out).cast("B").cast("d")
        else:
            found = memoryview(numpy.empty(count)) if numpy and count else array("d", bytes(8 * count))  # without zeros
            to = address(found)
        self.compiled.write_outputs(data, row_numbers(n), threads, to)
        return found

    def _runner(self, n: int) -> FlatRunner | None:
        """Return the `FlatRunner` that computes n rows, with memory that is kept from call to call.

        Return None if there are many rows, or if there were only few calls with n rows.
        """
        found = self._runners.get(n, 0)
        if isinstance(found, FlatRunner):
            return found
        if not 0 < n * max(len(self.inputs), len(self.outputs)) <= MAX_NUMBERS:
            return None
        made = prepare_or_count(self._runners, n, found, MAX_COUNTS, lambda: FlatRunner(self.compiled, n=n))
        return None if isinstance(made, int) else made

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

        >>> from array import array
        >>> from micrograd_cn.compiler import compile
        >>> x, y = Value(1), Value(1)
        >>> numbers, out = array("d", [2, 3]), array("d", [0])
        >>> product = compile(x * y, [x, y]).prepare(memoryview(numbers).cast("B").cast("d", (1, 2)), out)
        >>> product()
        array('d', [6.0])
        >>> numbers[0] = 5
        >>> product()
        array('d', [15.0])
        """
        data, n = self._read_rows(rows)
        if isinstance(data, array) or not n:
            if not n:
                raise ValueError("prepare() was given no rows")
            raise TypeError(
                "prepare() needs rows in a writable, contiguous buffer of doubles in two dimensions, which it reads in "
                "place"
            )
        to = writable_address(out, n * len(self.outputs))
        if overlaps(data, out):
            raise ValueError(
                "prepare(): out overlaps the rows, which would change while they are read; give another buffer"
            )
        executable = self.compiled.fastest_tier("forward", n)
        prepared = PreparedCall(self.compiled, executable, data, n, to, out, memoryview(out), self)
        if not (self.parameters or self.compiled.data.watched):
            return prepared.run

        def with_parameters() -> Any:
            prepared.renew()
            return prepared.run()

        return with_parameters

    def backward(self, rows: Any, threads: int = 1) -> float:
        """Return the mean output over the rows, and add the gradient of this mean to every parameter's `grad`.

        A parameter that the program does not use keeps its `grad`, even if that is None.

        Args:
            rows: rows with a number for each input, as for `forward`.
            threads: how many threads compute. Sums over the rows are rounded differently with another count of threads.

        Raises:
            TypeError: as for `forward`.
            ValueError: as for `forward`; or there are no rows, the program has several outputs, or a constant of the
                program requires a gradient now, which it did not when the program was made.
            RuntimeError: the output is a constant.
            FloatingPointError: inside `detect_anomaly()`, a value or a gradient is not finite.
        """
        check_threads("backward", threads)
        data, n = self._read_batch("backward", rows)
        self.check_frozen("backward")
        loss, gradients = self.compiled.gradient_of(data, row_numbers(n), threads)
        add_gradients([self.as_gradients(gradients)])
        return loss

    def as_gradients(self, numbers: array[float], weight: float = 1.0) -> Gradients:
        """Return the derivatives `numbers` with respect to the parameters as `Gradients`, for `add_gradients`.

        `weight` is a factor by which `add_gradients` multiplies them.
        """
        captured = (lambda: self._selected_nodes) if self.compiled.captured else None
        return Gradients(self.parameters, numbers, weight, self._unreached, captured)

    @cached_property
    def _unreached(self) -> Sequence[int]:
        """The indices of the parameters that this program does not use, or uses only detached."""
        if not self._first_parameters and all(op is not DETACH for _, op in self.compiled.graph.operations):
            return ()
        visited = visited_nodes(self.outputs)
        return [i for i, p in enumerate(self.parameters) if p not in visited]

    @cached_property
    def _selected_nodes(self) -> set[Value]:
        """The nodes that get a gradient regardless of which operands operations such as `where` select."""
        return reached_nodes(self.outputs, unselected=False)

    def check_frozen(self, name: str) -> None:
        """Raise ValueError if a constant of the program requires a gradient now, which the program does not compute.

        `name` is the method that needs the gradient.
        """
        if x := first_unfrozen(self._held_constants):
            raise ValueError(
                f"{name}(): {x.label or 'a Value'} requires a gradient now, but is a constant of the program, "
                "since it required none when the program was made; compile anew"
            )

    def unfrozen_constant(self) -> Value | None:
        """Return a constant of the program that requires a gradient now; None if there is none."""
        return first_unfrozen(self._held_constants)

    @cached_property
    def _held_constants(self) -> Sequence[Value]:
        """The constants that code outside of this program may change: those that are watched or, for a graph, all."""
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
        with the old number, and gives a warning. A second `fit` of the same parameters in another thread is refused. A
        call of `callback` may change everything, also by another `fit`.

        Args:
            rows: the samples to train on, as for `forward`. `fit` reads them once: if the callback changes an array in
                place, `fit` does not notice.
            optimizer: an optimiser of `optim`, or of a class of your own whose method `update` is written in the
                operations of `micrograd_cn.ops`. It is called a few times before the first step, to find its formula.
                So it may depend on its arguments and on numbers that the optimiser has, such as `self.lr` and
                `self.steps`, but not on other parameters, and it may change nothing beside its arguments. Only
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
            threads: how many threads compute. Sums over the rows are rounded differently with another count. More than
                one thread is worthwhile if a step takes some hundred microseconds or longer.
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
            ValueError: as for `backward`; or `epochs`, `batch_size`, `clip_grad_norm` or `patience` is out of range;
                `patience` is passed without `validation`; another thread is training one of the parameters by `fit`; a
                parameter of the optimiser is an input, or was a constant when the graph was compiled; the optimiser has
                none of the program's parameters; a constant of the program has other data now; `schedule`, `shuffle` or
                `progress` changes the optimiser or its parameters; `schedule` may read gradients; `shuffle` does not
                permute the list; `schedule` returns a number that is negative, inf or nan; or the norm of gradients to
                be clipped is inf or nan. In the last two cases the message names the step, and the steps before it have
                been taken.
            IndexError: an index of `take`, or a class label of a loss, is out of range in a row, so the output is nan.
                Parameters and optimiser are as they were before the call, or after the last epoch if there is
                `callback` or `validation`, or when `schedule`, `shuffle` or `progress` last saw them.
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
        options = TrainingOptions(
            optimizer, epochs, batch_size, shuffle, schedule, threads, progress, each_step,
            clip_grad_norm, callback, patience,
        )  # fmt: skip
        if trained := parameter_layout(self.parameters, optimizer).optimized_set.intersection(self.inputs):
            i, p = next((i, p) for i, p in enumerate(optimizer.parameters) if p in trained)
            raise ValueError(
                f"fit(): parameters[{i}] of the optimizer, {p!r}, is an input of the program; leave it out"
            )
        bucket = self._bucket_of(rows, options)

        def parameter_free(_: Bucket) -> Any:
            return [(self.compiled, row_numbers(len(bucket.samples)))]

        dispatcher = Dispatcher(lambda *_: ((), array("q")), lambda *_: (), parameter_free, lambda: self.parameters)
        validate = None
        if validation is not None:
            with naming_validation():
                other = self._bucket_of(validation, options)
                validate = self._mean_loss(other.numbers, len(other.samples), threads)
            if self.compiled.graph.has_gathers and isnan(validate()):
                self.check_indices("validation row", other, other.samples)
            if self.compiled.graph.has_checks and isnan(validate()):
                self._raise_for_refused("validation row", other, other.samples)

        def explain_nan() -> None:
            self.check_indices("row", bucket, bucket.samples)
            if self.compiled.graph.has_checks:
                self._raise_for_refused("row", bucket, bucket.samples)

        return TrainingRun([bucket], dispatcher, options, validate, explain_nan).fit()

    def _bucket_of(self, rows: Any, options: TrainingOptions) -> Bucket:
        """Return rows for `fit` as a bucket. They are copied if the options call code that could change them."""
        bucket = Bucket(())
        bucket.numbers, n = self._read_batch("fit", rows)
        bucket.samples, bucket.width = range(n), len(self.inputs)
        if options.calls_users_code:
            copy_numbers([bucket])
        return bucket

    def check_operations(self, name: str = "") -> None:
        """Raise ValueError if a user's operation computes something else now than when the program was made.

        Code that is made now would not fit the code that exists. `name` is how the message begins, such as "fit(): ".
        """
        if op := self.compiled.graph.changed_operation():
            raise ValueError(
                f"{name}the operation {op!r} is not what it was when the program was made, since its functions read "
                "something that has changed; compile anew, or pass what changes as an operand"
            )

    def check_indices(self, name: str, bucket: Bucket, rows: Sequence[int]) -> None:
        """Raise an error if an index of `take`, or a class label, makes the output nan for some row of a bucket.

        A bucket has samples whose arguments are nested in the same way, as rows of numbers. `rows` has the indices of
        the rows to check, and `name`, such as "row" or "sample", is the word for them in messages. If a `where`
        does not choose the result of such a `take`, the output is not nan, and no error is raised.

        Raises:
            IndexError: an index is out of range, or is no integer.
        """
        columns, computed, _ = indices_of(self.compiled.graph)
        found = rows_out_of_range(columns, bucket.numbers, len(self.inputs), rows)
        if computed and len(rows):
            kept = with_kept_constants([*computed], self.compiled.graph.constants)
            nodes = Runnable(kept, self.inputs, self.parameters)
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

    def _raise_for_refused(self, name: str, bucket: Bucket, rows: Sequence[int]) -> None:
        """Raise ValueError if the output is nan in one of some rows because the loss refuses a target or a probability.

        `name` is the word for a row in the message, such as "row".
        """
        outputs = self.compiled.outputs_of(bucket.numbers, array("q", rows))
        for row, output in zip(rows, outputs, strict=True):
            numbers = array("d", bucket.row(row))
            if isnan(output) and is_refused(self.compiled.graph, numbers):
                raise ValueError(
                    f"fit(): {name} {bucket.samples[row]}: a target or probability is out of the range that the loss "
                    "allows, so the loss is nan"
                )

    def _mean_loss(self, data: Numbers, n: int, threads: int) -> Callable[[], float]:
        """Return a function that computes the mean output of the n rows whose numbers are in `data`."""
        return lambda: sum(self.computed(data, n, threads, None, array("d", bytes(8 * n)))) / n

    def check(self, rows: Any, f: Callable[..., Any], rtol: float = 1e-9, atol: float = 1e-12) -> None:
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
        data, n = self._read_rows(rows)
        if not n:
            raise ValueError("check() was given no rows, so it would compare nothing")
        width = len(self.inputs)
        # The numbers are taken from `data`, since `rows` may be an iterator, which is exhausted now.
        taken = [list(data[i * width : (i + 1) * width]) for i in range(n)]
        self.check_named("row", dict(enumerate(taken)), f, rtol, atol)

    def check_named(
        self, name: str, rows: Mapping[int, list[float]], f: Callable[..., Any], rtol: float, atol: float
    ) -> list[tuple[str, list[Value], list[Any]]]:
        """Compare the program's outputs for some rows with those of the function `f`.

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
                _check_indices([given] if self._single else given)
            except IndexError as error:
                raise IndexError(f"{name} {i}, {row}: {error}") from error
            called.append((f"{name} {i}, {row}", arguments, [given] if self._single else [*given]))
            eager = [x.data if isinstance(x, Value) else number(x) for x in called[-1][2]]
            graph = [compiled] if self._single else compiled
            if len(eager) != len(graph) or not all(map(close(rtol, atol), eager, graph)):
                function, ours = (eager[0], graph[0]) if self._single else (eager, graph)
                raise Mismatch(
                    f"{name} {i}, {row}: the function gives {function}, the graph {ours}; does the function branch on "
                    "a value, where it should use where()?"
                )
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
        outside the domain.

        "c" is a C99 file, which is C++ too. It has a function for the outputs of one row and, if there is one output, a
        function for the mean over some rows and the gradient of this mean. It needs `math.h` alone, allocates no memory
        and keeps no state. The comment at its top shows how to call it. For special operands, such as 0, inf and nan,
        the results are those of the operations in `micrograd_cn.ops`. At ordinary points, the value and the partial
        derivatives of an operation are within 4 ulps (units in the last place) of the engine's. With the precision
        "float" they are within 8 ulps of a float. For `erf`, `erfc`, `erfinv` and `gelu` the bound is 32 ulps, since a
        factor of their derivatives is the exponential of a rounded square. Where terms cancel, as in `sum`, `dot`,
        `logsumexp`, `logaddexp`, `lgamma` and `digamma` of negative numbers, and the derivatives of `silu` and `gelu`,
        the bounds are in ulps of the largest term.

        Args:
            language: "llvm", "python" or "c".
            parameters: a module, or a dict from names to parameters or nested lists of them. "python" uses these names
                for the dict that the function takes, and "c" has the parameters in the order of the names. The order in
                a module is that of its `state_dict()`, not of its `parameters()`. If `parameters` is None, the order is
                that of `.parameters`.
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
                cannot have; or a constant of a compiled function has other data now.

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
        """Return the numbers of all rows, one row after the other, and the count of rows.

        While a compiled function is recorded, this raises an error if the output requires a gradient, since the result
        of the program would be a constant in the recording.
        """
        if context.active and (hooks := context.here().hooks):
            hooks.read(self.outputs[0], "the result of a program")
        return read_rows(rows, len(self.inputs))

    @property
    def has_gradient(self) -> bool:
        """Whether the first output depends on a leaf that requires a gradient."""
        return self.outputs[0].requires_grad

    @property
    def has_trainable(self) -> bool:
        """Whether a gradient of the first output reaches a leaf that is no input, and that requires a gradient now."""
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
        """Read rows, as `_read_rows` does, or raise an error if they cannot be used for a gradient.

        The message names `name`, the method that needs the gradient.

        Raises:
            TypeError: `rows` does not hold rows of real numbers.
            ValueError: there are no rows, a row does not have one number for each input, or the program was compiled
                from a list of outputs.
            RuntimeError: the output has no gradient.
        """
        self._check_gradient(name)
        data, n = self._read_rows(rows)
        if not n:
            raise ValueError(f"{name}() was given no rows")
        return data, n


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


def _check_indices(outputs: Sequence[Any]) -> None:
    for node in topological_order(*[y for y in outputs if isinstance(y, Value)]):
        if node.op and node.op.lowerings.is_gather:
            index, *xs = node.parents
            if math.isnan(node.op.forward(index.data, *map(float, range(len(xs))))):
                numbers = f"its operands have the numbers 0 to {len(xs) - 1}"
                raise IndexError(f"{node.op.name}() has the index {index.data}, but {numbers}")


def close(rtol: float, atol: float) -> Callable[[float, float], bool]:
    """Return a function that tells whether two numbers agree; a nan agrees with a nan.

    `rtol` is the relative tolerance, and `atol` the absolute tolerance.

    >>> close(0.0, 0.5)(1.0, 1.25)
    True
    """

    def agree(a: float, b: float) -> bool:
        return math.isclose(a, b, rel_tol=rtol, abs_tol=atol) or (a != a and b != b)

    return agree
