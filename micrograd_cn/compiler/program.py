"""A recorded graph that runs, and is trained, at the machine's speed."""

from __future__ import annotations

import ctypes
import math
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from ..engine import Value, topological_order
from ..graph import context
from ..ops.number import number
from ..optim import Optimizer
from .c import file as c
from .c.file import Options
from .data.anomalies import detect_anomaly
from .data.parameters import add_gradients
from .data.rows import Numbers, address, as_result, numpy_if_array, overlaps, read_rows, row_numbers, writable_address
from .data.samples import Bucket
from .llvm.machine import Memory
from .loops.places import WORD
from .python import ParameterNames, source
from .runtime.executable import CompiledGraph, no_collector
from .runtime.prepared import PreparedCall, RowRunner
from .threads.tasks import check_threads
from .training.epochs import Progress, Shuffler, TrainingOptions, refuse_split_samples
from .training.run import Dispatcher, TrainingRun
from .training.state import parameter_layout


class Mismatch(AssertionError):
    """The compiled graph and the Python function differ: the function branches on a value, or has changed.

    A function that chooses with `where` agrees with its graph everywhere:

    >>> from micrograd_cn import less, where
    >>> from micrograd_cn.compiler import compile
    >>> x = Value(2)
    >>> f = lambda x: where(less(0, x), x * x, -x)
    >>> compile(f(x), inputs=[x]).check([[3], [-1]], f)
    """


class Runnable:
    """What a compiled `Program` does beside derivatives.

    Attributes:
        outputs, inputs: what is computed, from what.
        parameters: the leaves that are neither inputs nor constants.
        row: computes the outputs of one row, an array, in little time.

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
        self.compiled = CompiledGraph(self.outputs, self.inputs, list(parameters))
        self.parameters = self.compiled.graph.parameters
        self.row = RowRunner(self.compiled)

    def __call__(self, *row: Any) -> Any:
        """Return the output of one row, whose numbers are the arguments; see `forward`."""
        return self.forward([row])[0]

    def forward(self, rows: Any, threads: int = 1, out: Any = None) -> Any:
        """Return the output of every row, a float or a list of floats; of a numpy array, they are one too.

        Args:
            rows: a sequence of rows, one number an input; or anything with the buffer protocol that holds numbers in
                two dimensions, such as a numpy array: doubles are read where they are, others are copied.
            threads: how many compute at the same time; the numbers are the same for any number of them.
            out: a buffer of doubles to write the outputs of all rows to, one row after the other, and to be returned:
                a list of floats takes longer to make than many a network to compute.

        Raises:
            TypeError: `rows` holds something else than rows of real numbers, or `out` than doubles to be written.
            ValueError: a row has another length than there are inputs, `threads` is less than 1, or `out` has not as
                many numbers as there are outputs.
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
        """Return the outputs of n rows, whose numbers are in a line, as `forward` does; numpy is that, or None."""
        width = len(self.outputs)
        shape = (n,) if self._single else (n, width)
        if n == 1 == threads:
            self.detect_anomaly(data, row_numbers(1), backward=False)
            return as_result(self.row(data), shape, numpy, out)
        if numpy:
            out = numpy.empty(shape)
        if out is not None:
            writable_address(out, n * width)
            self.outputs_of(array("d", data) if overlaps(data, out) else data, row_numbers(n), threads, out)
            return out
        to = Memory(n * width)

        def collect(first: int, count: int) -> list[Any]:
            flat = to.view[width * first : width * (first + count)].tolist()
            return flat if self._single else [flat[i : i + width] for i in range(0, len(flat), width)]

        outputs, *others = self.outputs_of(data, row_numbers(n), threads, to.data, collect=collect) or [[]]
        for more in others:
            outputs += more
        return outputs

    def prepare(self, rows: Any, out: Any) -> Callable[[], Any]:
        """Return a function without arguments that does the same, again and again, at hardly any cost of its own.

        It is for loops that need a value at a time, such as an optimiser's or a controller's: each call reads the
        numbers that `rows` has then, and the parameters' data, and writes to `out`; neither can be resized as long as
        the function lives. It compiles at once what `forward` compiles after a while. One thread at a time may call it;
        other threads of Python wait for calls of a few microseconds, and run during longer ones. It does not look for
        anomalies.

        Args:
            rows: a buffer of doubles in two dimensions, such as a numpy array.
            out: as for `forward`.

        Raises:
            TypeError: as for `forward`; or `rows` is no buffer of doubles that lie one after the other.
            ValueError: as for `forward`; or there are no rows, or `out` overlaps them.

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
            raise (TypeError if n else ValueError)(
                "prepare() needs rows in a writable buffer of doubles in two dimensions, which are read where they are"
                if n
                else "prepare() was given no rows"
            )
        to = writable_address(out, n * len(self.outputs))
        if overlaps(data, out):
            raise ValueError("prepare(): out overlaps the rows, which would change while they are read")
        executable = self.compiled.fastest_tier("forward", n)
        prepared = PreparedCall(self.compiled, executable, data, n, to, out, memoryview(out), self)
        if not self.parameters:
            return prepared.run

        def with_parameters() -> Any:
            prepared.renew()
            return prepared.run()

        return with_parameters

    def outputs_of(
        self,
        data: Numbers,
        index: array[int],
        threads: int,
        out: Any,
        parameters: int = 0,
        collect: Callable[[int, int], object] = no_collector,
    ) -> list[Any]:
        """Write the outputs of some rows, by number, to a buffer; `parameters` may be where these are meanwhile.

        Return what is collected of them as soon as some are there: see `Executable.forward`.
        """
        to = writable_address(out, len(index) * len(self.outputs))
        if not index:
            return []
        self.detect_anomaly(data, index, backward=False)
        executable = self.compiled.select_tier("forward", len(index))
        now = array("d") if parameters else self.compiled.data()
        with executable.acquired(now, threads) as buffers:
            for each in buffers if parameters else ():
                ctypes.memmove(each.scalars.address, parameters, WORD * len(self.parameters))
            return executable.forward(buffers, address(data), address(index), len(index), to, collect)

    def backward(self, rows: Any, threads: int = 1) -> float:
        """Return the mean output, and add its gradient to the `grad` of every parameter.

        Args:
            rows: as for `forward`.
            threads: how many compute at the same time; each number of them adds up in an order of its own.

        Raises:
            TypeError: as for `forward`.
            ValueError: as for `forward`; or there are no rows, or several outputs.
            RuntimeError: the output is a constant.
            FloatingPointError: inside `detect_anomaly()`, a value or a gradient is not finite.
        """
        check_threads("backward", threads)
        data, n = self._read_batch("backward", rows)
        loss, gradients = self.gradient_of(data, row_numbers(n), threads)
        add_gradients(self.parameters, gradients)
        return loss

    def gradient_of(self, data: Numbers, index: array[int], threads: int) -> tuple[float, list[float]]:
        """Return the mean output of some rows, by number, and its derivative with respect to every parameter."""
        self.detect_anomaly(data, index, backward=True)
        executable = self.compiled.select_tier("gradient", len(index))
        first = self.compiled.padded_parameters
        with executable.acquired(self.compiled.data(), threads) as buffers:
            loss = executable.gradient(buffers, address(data), address(index), len(index))
            gradients = buffers[0].scalars.view[first : first + len(self.parameters)].tolist()
        return float(loss), gradients

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
    ) -> list[float]:
        """Train, and return the mean loss of each epoch.

        It does what a loop of `optimizer.zero_grad()`, `backward(batch)` and `optimizer.step()` over the batches of
        every epoch does, without coming back to Python: the same parameters, gradients and state of the optimiser
        afterwards, also when it is interrupted by Ctrl-C. Gradients of parameters that the optimiser does not have are
        left alone.

        Args:
            rows: as for `forward`.
            optimizer: one of `optim`, or another whose `update` is written in the table's operations. Options but the
                learning rate are what they are when `fit` is called.
            epochs: how many times all rows are used.
            batch_size: rows a step; all for None. The last batch of an epoch may be smaller.
            shuffle: puts the rows in another order before each epoch: a `random.Random`, whose `shuffle` is called with
                the list of their numbers.
            schedule: returns the learning rate of a step when called with its number, `optimizer.steps` before it: one
                of `optim`, such as `cosine_lr(0.1, steps)`, or any function. It is called once for each step, in their
                order, some steps ahead. The optimiser's learning rate becomes that of the last step. Without a schedule
                it stays what it is.
            threads: as for `backward`; worth it where a step takes some hundred microseconds.
            progress: whether to show a progress bar (needs tqdm); or a function that is called several times a second
                with the losses of the steps since its last call; parameters have their new data when `fit` ends.
            each_step: whether to return the loss of each step before it, not the mean of those of an epoch.

        Raises:
            TypeError: as for `forward`; or the optimiser cannot be compiled; or the schedule is no function, or returns
                no number; or progress is neither a bool nor a function.
            ValueError: as for `backward`; or `epochs` or `batch_size` is out of range, or the optimiser changes an
                input, or what was a constant when the graph was compiled, or `shuffle` the numbers of the rows; or the
                schedule returns a number that is not 0 or more: the step is named, and those before it are taken.
            FloatingPointError: inside `detect_anomaly()`, a value or a gradient is not finite; steps before are taken.

        >>> from micrograd_cn.compiler import compile
        >>> from micrograd_cn.optim import SGD, linear_lr
        >>> x, w = Value(1), Value(0)
        >>> program, optimizer = compile(w * x, inputs=[x]), SGD([w])
        >>> losses = program.fit([[1]], optimizer, epochs=2, schedule=linear_lr(1.0, steps=4))
        >>> w.data, optimizer.lr
        (-1.75, 0.75)
        """
        options = TrainingOptions(optimizer, epochs, batch_size, shuffle, schedule, threads, progress, each_step)
        if trained := parameter_layout(self.parameters, optimizer).optimized_set.intersection(self.inputs):
            i, p = next((i, p) for i, p in enumerate(optimizer.parameters) if p in trained)
            raise ValueError(f"fit(): parameters[{i}] of the optimizer, {p!r}, is an input of the program")
        bucket = Bucket(())
        bucket.numbers, n = self._read_batch("fit", rows)
        bucket.samples = range(n)

        def parameter_free(_: Bucket) -> Any:
            return [(self.compiled, row_numbers(n))]

        dispatcher = Dispatcher(lambda *_: ((), array("q")), lambda *_: (), parameter_free, lambda: self.parameters)
        return TrainingRun([bucket], dispatcher, options).fit()

    def check(self, rows: Any, f: Callable[..., Any], rtol: float = 1e-9, atol: float = 1e-12) -> None:
        """Compare the outputs with those of the Python function that was recorded.

        Args:
            rows: as for `forward`; a few will do.
            f: takes a row's numbers as arguments, as `Value`s, and returns the output: a `Value`, a number, or a list.
            rtol: relative tolerance.
            atol: absolute tolerance.

        Raises:
            Mismatch: an AssertionError; they differ in a row, which is named. The function branches on a value, where
                the graph has the branch that was taken while recording.
            IndexError: in a row, which is named, the index of a `take` is that of no operand; so the graph gives nan.
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
            raise ValueError("check() was given no rows, so that nothing would be compared")
        width = len(self.inputs)
        taken = [list(data[i * width : (i + 1) * width]) for i in range(n)]  # `rows` may be an iterator, now at its end
        self.check_named("row", dict(enumerate(taken)), f, rtol, atol)

    def check_named(
        self, name: str, rows: Mapping[int, list[float]], f: Callable[..., Any], rtol: float, atol: float
    ) -> None:
        """Do so with rows that have a name and numbers in messages."""
        for (i, row), compiled in zip(rows.items(), self.forward([*rows.values()]), strict=True):
            try:
                given = f(*map(Value, row))
                _check_indices([given] if self._single else given)
            except IndexError as error:
                raise IndexError(f"{name} {i}, {row}: {error}") from error
            eager = [x.data if isinstance(x, Value) else number(x) for x in ([given] if self._single else given)]
            graph = [compiled] if self._single else compiled
            if len(eager) != len(graph) or not all(map(_close(rtol, atol), eager, graph)):
                function, ours = (eager[0], graph[0]) if self._single else (eager, graph)
                raise Mismatch(
                    f"{name} {i}, {row}: the function gives {function}, the graph {ours}; does the function branch on "
                    "a value, where it should use where()?"
                )

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
        """Return the program's text.

        "llvm" is the module that `backward`, or of several outputs `forward`, has when it has run for long. "python"
        is a function `f(xp, parameters, inputs)` without branches, in which `xp` is `math`, numpy, jax.numpy or torch,
        and `inputs` has a number or an array for each input. Its `parameters` are a dict by the names given here, as
        `array_function` says; without names a list in the order of `.parameters`, which is not a model's. With torch,
        all parameters or all inputs are tensors. With `math`, points outside Python's own domain raise as Python does
        (log(0), sqrt(-1), 1/0, exp(1000)) or give a complex number ((-8)**(1/3)), and so do plain numbers among the
        parameters of the others; their arrays give nan and inf there.

        "c" is a file of C99, which is C++ too: functions for the outputs of one row, and of one output for the mean of
        some rows and its gradient. It needs `math.h` alone, allocates nothing and keeps nothing; the comment at its top
        shows how it is called. Special values are those of the table. At ordinary points the value and the partial
        derivatives of an operation are within 4 ulps of the engine's; with float within 8 ulps of a float, of `erf`,
        `erfc` and `gelu` 32, since an exponential of a rounded square is a factor. Where terms cancel, as in `sum`,
        `dot`, `logsumexp` and in the slopes of `silu` and `gelu`, ulps are those of the largest term.

        Args:
            language: "llvm", "python" or "c".
            parameters: their names in "python", and their order in "c": of a module that of its `state_dict()`, not
                of its `parameters()`; without one that of the program's `.parameters`.
            name: of a C file's functions and macros, before their own.
            precision: of its numbers, "double" or "float".
            weights: "passed" to its functions, or "embedded" as constants, what they are now; then it has the outputs
                alone.
            optimizer: whose training step it has too, with the options that the optimiser has now.

        Raises:
            TypeError: an operation of one's own has a machine form, but is not written in the table's operations; or
                what is named is no `Value`; or the optimiser's update cannot be compiled, as for `fit`.
            ValueError: it is written in none of the languages; or "python" has no counterpart of what `detach()` or
                `no_grad()` made of a value while a function was recorded; or parameters are named for "llvm", or one
                that the program reads has no name, or two; or what is for "c" is not so there, or for another language.

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
            constants = self.compiled.graph.constants
            return source(self.outputs, self.inputs, self.parameters, constants, self._single, parameters)
        raise ValueError(f'source() is in "llvm", "python" or "c", got {language!r}')

    def array_function(self, parameters: ParameterNames) -> Callable[[Any, Any, Any], Any]:
        """Return the function that `source("python", parameters)` is the text of, for jax.jit, vmap, grad and the like.

        It takes a dict in the form of the model's `state_dict()`, of numbers or arrays, in any order: what jax.grad
        returns and an optimiser makes of it has the same form, and `load_state_dict` takes it back. What was a constant
        while recording (`requires_grad` is False) stays what it was then; names that the graph does not have are not
        read, and an entry of another shape is an error when it is unpacked.

        Args:
            parameters: a module, or a dict that gives a name to each of `.parameters`, or to nested lists of them.

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

    def detect_anomaly(self, data: Numbers, index: array[int], backward: bool) -> None:
        """Inside `detect_anomaly()`, compute every row by the engine, which looks at every node.

        Raises:
            FloatingPointError: a value or a gradient is not finite.
        """
        if context.active:
            detect_anomaly(self.compiled.graph, data, index, backward)

    def __repr__(self) -> str:
        return self.compiled.description()

    def __reduce__(self) -> Any:
        raise TypeError("cannot copy or pickle a compiled program; compile the graph again where it is needed")

    def _read_rows(self, rows: Any) -> tuple[Numbers, int]:
        """Return the rows' numbers in a line, and how many rows there are."""
        if context.active and (hooks := context.here().hooks):
            hooks.read(self.outputs[0], "the result of a program")
        return read_rows(rows, len(self.inputs))

    @property
    def has_gradient(self) -> bool:
        """Whether the first output is no constant."""
        return self.outputs[0].requires_grad

    def _check_gradient(self, name: str) -> None:
        if not self._single:
            raise ValueError(f"{name}() needs one output, the program has a list of {len(self.outputs)}")
        if not self.has_gradient:
            raise RuntimeError(f"{name}() of the constant {self.outputs[0]!r}: it has no gradient")

    def _read_batch(self, name: str, rows: Any) -> tuple[Numbers, int]:
        """Return the rows of what needs a gradient."""
        self._check_gradient(name)
        data, n = self._read_rows(rows)
        if not n:
            raise ValueError(f"{name}() was given no rows, of which there is no mean")
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


def _close(rtol: float, atol: float) -> Callable[[float, float], bool]:
    def close(a: float, b: float) -> bool:
        return math.isclose(a, b, rel_tol=rtol, abs_tol=atol) or (a != a and b != b)

    return close
