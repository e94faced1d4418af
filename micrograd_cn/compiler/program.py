"""`compile`: a recorded graph to a program that runs it, and trains it, at the machine's speed."""

from __future__ import annotations

import math
import sys
import time
from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from ..engine import Value, record
from ..modes import ANOMALY, current, recording
from ..operation import number
from ..optim import Optimizer
from .executable import Executables
from .lowering import ordered
from .machine import Memory
from .python import Named, source
from .rows import Numbers, address, in_order, read_rows, shuffled, writable
from .threads import check_threads
from .training import Training

TURN = 0.05  # seconds of training between two looks at Ctrl-C


class Shuffler(Protocol):
    """What `random.Random` and the module `random` have."""

    def shuffle(self, x: list[int], /) -> None:
        """Put a list in random order."""


class Mismatch(AssertionError):
    """The compiled graph and the Python function differ: the function branches on a value, or has changed.

    A function that chooses with `where` agrees with its graph everywhere:

    >>> from micrograd_cn import less, where
    >>> x = Value(2)
    >>> f = lambda x: where(less(0, x), x * x, -x)
    >>> compile(f(x), inputs=[x]).check([[3], [-1]], f)
    """


def compile(output: Value | Sequence[Value], inputs: Iterable[Value]) -> Program:  # noqa: A001 -- the field's name
    """Return the program of a recorded graph.

    A branch of Python code taken on a value while recording is invisible: the graph has the one that was taken. Write
    `where(less(0, x), a, b)` instead of `a if x > 0 else b`, and let `Program.check` compare with the function.

    Numbers are the eager engine's but for rounding:

    - A sum is added up term by term, not rounded once; in `dot` and in sums of gradients, products are not rounded
      before they are added. Gradients are summed in another order than `backward()` has, which shows where a sum of
      them overflows on the way; `sum` and `dot` do not overflow on the way to a finite result.
    - Functions of many rows at once are within the units in the last place that `compiler.functions.ULPS` names, at
      most 4, of the exact result. Single rows have C's functions, or where many like ones lie side by side the former.
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
        output: what is computed, or a list of it.
        inputs: the leaves that change from sample to sample, in the order of a row. All other leaves that require a
            gradient are parameters, read from `.data` at each call; constants stay what they are now.

    Raises:
        TypeError: `output` or one of `inputs` is not a `Value`, or an operation cannot be compiled; it is named.
        ValueError: one of `inputs` is no leaf, a constant, or there twice; or there is no output.

    >>> x, w = Value(2, "x"), Value(3, "w")
    >>> program = compile(w * x, inputs=[x])
    >>> program.forward([[1], [10]])
    [3.0, 30.0]
    >>> program.backward([[1], [10]]), w.grad
    (16.5, 5.5)
    """
    return Program(output, inputs)


class Program:
    """A compiled graph; several threads may run it at the same time.

    Attributes:
        parameters: the leaves that are neither inputs nor constants.

    >>> from micrograd_cn.optim import SGD
    >>> x, target, w = Value(1), Value(1), Value(0, "w")
    >>> program = compile((w * x - target) ** 2, inputs=[x, target])
    >>> losses = program.fit([[1, 3], [2, 6]], SGD(program.parameters, lr=0.1), epochs=50)
    >>> round(w.data, 6)
    3.0
    """

    def __init__(self, output: Value | Sequence[Value], inputs: Iterable[Value]) -> None:
        self._single = isinstance(output, Value)
        if not isinstance(output, (Value, Iterable)):
            raise TypeError(f"compile() takes a Value or a list of them, got {type(output).__name__} {output!r}")
        self._outputs: list[Value] = [output] if isinstance(output, Value) else list(output)
        self._inputs: list[Value] = [inputs] if isinstance(inputs, Value) else list(inputs)
        _check(self._outputs, self._inputs)
        self._executables = Executables(self._outputs, self._inputs)
        self.parameters = self._executables.lowering.parameters

    def forward(self, rows: Any, threads: int = 1, out: Any = None) -> Any:
        """Return the output of every row, a float or a list of floats.

        Args:
            rows: a sequence of rows, one number an input; or anything with the buffer protocol that holds doubles in
                two dimensions, such as a numpy array.
            threads: how many compute at the same time; the numbers are the same for any number of them.
            out: a buffer of doubles to write the outputs of all rows to, one row after the other, and to be returned:
                a list of floats takes longer to make than many a network to compute.

        Raises:
            TypeError: `rows` holds something else than rows of real numbers, or `out` than doubles to be written.
            ValueError: a row has another length than there are inputs, `threads` is less than 1, or `out` has not as
                many numbers as there are outputs.
            FloatingPointError: inside `detect_anomaly()`, a value is not finite.

        >>> from array import array
        >>> x = Value(1)
        >>> compile([x * x, -x], inputs=[x]).forward([[2], [3]], out=array("d", [0, 0, 0, 0]))
        array('d', [4.0, -2.0, 9.0, -3.0])
        """
        check_threads("forward", threads)
        data, n = self._rows(rows)
        memory = Memory(n * len(self._outputs)) if out is None else None
        to = memory.address if memory else writable(out, n * len(self._outputs))
        if not n:
            return [] if out is None else out
        self._detect_anomaly(data, n, backward=False)
        executable = self._executables.best("forward", n)
        index = in_order(n)
        with executable.memories([p.data for p in self.parameters], threads) as memories:
            executable.forward(memories, address(data), address(index), n, to)
        if not memory:
            return out
        flat = memoryview(memory.data).cast("B").cast("d").tolist()
        if self._single:
            return flat
        width = len(self._outputs)
        return [flat[i : i + width] for i in range(0, len(flat), width)]

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
        data, n = self._batch("backward", rows)
        self._detect_anomaly(data, n, backward=True)
        executable = self._executables.best("gradient", n)
        index = in_order(n)
        first = self._executables.pitch
        with executable.memories([p.data for p in self.parameters], threads) as memories:
            loss = executable.gradient(memories, address(data), address(index), n)
            gradients = memories[0].s.data[first : first + len(self.parameters)]
        for p, gradient in zip(self.parameters, gradients, strict=True):
            if p.requires_grad:  # it may have been frozen since
                p.grad += gradient
        return float(loss)

    def fit(
        self,
        rows: Any,
        optimizer: Optimizer,
        epochs: int,
        batch_size: int | None = None,
        shuffle: Shuffler | None = None,
        progress: bool = False,
        threads: int = 1,
    ) -> list[float]:
        """Train, and return the mean loss of each epoch.

        It does what a loop of `optimizer.zero_grad()`, `backward(batch)` and `optimizer.step()` over the batches of
        every epoch does, without coming back to Python: the same parameters, gradients and state of the optimiser
        afterwards, also when it is interrupted by Ctrl-C. Gradients of parameters that the optimiser does not have are
        left alone.

        Args:
            rows: as for `forward`.
            optimizer: an `SGD`, `Adam`, `AdamW`, or another whose `update` is written in the table's operations; its
                learning rate stays what it is.
            epochs: how many times all rows are used.
            batch_size: rows a step; all for None. The last batch of an epoch may be smaller.
            shuffle: puts the rows in another order before each epoch: a `random.Random`, whose `shuffle` is called with
                the list of their numbers.
            progress: show a progress bar (needs tqdm).
            threads: as for `backward`; worth it where a step takes some hundred microseconds.

        Raises:
            TypeError: as for `forward`; or the optimiser cannot be compiled.
            ValueError: as for `backward`; or `epochs` or `batch_size` is out of range, or the optimiser changes an
                input, or `shuffle` the numbers of the rows.
        """
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"fit() takes an optimizer of micrograd_cn.optim, got {type(optimizer).__name__}")
        for name, count, least in (("epochs", epochs, 0), ("batch_size", batch_size, 1)):
            if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < least):
                raise ValueError(f"fit(): {name} must be an int of at least {least}, got {count!r}")
        check_threads("fit", threads)
        inputs = set(self._inputs)
        for i, p in enumerate(optimizer.parameters):
            if p in inputs:
                raise ValueError(f"fit(): parameters[{i}] of the optimizer, {p!r}, is an input of the program")
        data, n = self._batch("fit", rows)
        training = Training(self._executables, optimizer, min(batch_size or n, n), threads)
        losses = array("d")
        order = list(range(n))
        batch = min(batch_size or n, n)
        a_epoch = -(-n // batch)
        total, taken, turn = epochs * a_epoch, 0, 1
        bar = _bar(total) if progress else None
        index = array("q", order)
        try:
            while taken < total:
                left = total - taken
                if shuffle is not None:
                    left = a_epoch - taken % a_epoch
                    if left == a_epoch:
                        shuffle.shuffle(order)
                        index = shuffled(order, n)
                steps = min(turn, left)
                start = time.perf_counter()
                begun = taken % a_epoch
                part = Memory(-(-(begun + steps) // a_epoch))  # of as many epochs as these steps are of
                if begun:
                    part.data[0] = losses.pop()
                training.run(data, index, n, batch, begun, steps, part)
                losses.extend(part.data)
                seconds = time.perf_counter() - start
                taken += steps
                training.expect(seconds, seconds / steps * (total - taken))
                turn = max(1, min(turn * 2, int(steps * TURN / seconds))) if seconds else 2 * turn
                if bar:
                    bar.set_postfix(loss=f"{losses[-1]:.4g}", refresh=False)
                    bar.update(steps)
        finally:
            training.write_back()
            if bar:
                bar.close()
        return list(losses)

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
            ValueError: as for `forward`; or there are no rows.

        >>> x = Value(2)
        >>> f = lambda x: x * x if x > 0 else -x
        >>> compile(f(x), inputs=[x]).check([[3], [-2]], f)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        micrograd_cn.compiler.program.Mismatch: row 1, [-2.0]: the function gives 2.0, the graph 4.0; ...
        """
        data, n = self._rows(rows)
        if not n:
            raise ValueError("check() was given no rows, so that nothing would be compared")
        width = len(self._inputs)
        taken = [list(data[i * width : (i + 1) * width]) for i in range(n)]  # `rows` may be an iterator, now at its end
        for i, (row, compiled) in enumerate(zip(taken, self.forward(taken), strict=True)):
            given = f(*map(Value, row))
            eager = [x.data if isinstance(x, Value) else number(x) for x in ([given] if self._single else given)]
            graph = [compiled] if self._single else compiled
            if len(eager) != len(graph) or not all(map(_close(rtol, atol), eager, graph)):
                function, ours = (eager[0], graph[0]) if self._single else (eager, graph)
                raise Mismatch(
                    f"row {i}, {row}: the function gives {function}, the graph {ours}; does the function branch on a "
                    "value, where it should use where()?"
                )

    def source(self, language: str = "llvm", parameters: Named | None = None) -> str:
        """Return the program's text.

        "llvm" is the module that `backward`, or of several outputs `forward`, has when it has run for long. "python"
        is a function `f(xp, parameters, inputs)` without branches, in which `xp` is `math`, numpy, jax.numpy or torch,
        and `inputs` has a number or an array for each input. Its `parameters` are a dict by the names given here, as
        `array_function` says; without names a list in the order of `.parameters`, which is not a model's. With torch,
        all parameters or all inputs are tensors. With `math`, points outside Python's own domain raise as Python does
        (log(0), sqrt(-1), 1/0, exp(1000)) or give a complex number ((-8)**(1/3)), and so do plain numbers among the
        parameters of the others; their arrays give nan and inf there.

        Raises:
            TypeError: an operation of one's own has a machine form, but is not written in the table's operations; or
                what is named is no `Value`.
            ValueError: it is written in neither language; or parameters are named for "llvm", or one of the program's
                has no name, or two.

        >>> x, w = Value(2), Value(3)
        >>> print(compile((w * x).tanh(), inputs=[x]).source("python"))
        def f(xp, parameters, inputs):
            [w0] = parameters
            [x0] = inputs
            v0 = w0 * x0
            v1 = xp.tanh(v0)
            return v1
        <BLANKLINE>
        """
        if language == "llvm":
            if parameters is not None:
                raise ValueError('source(): parameters have names in "python" alone, not in "llvm"')
            kind = "gradient" if self._single and self._outputs[0].requires_grad else "forward"
            return self._executables.text(kind)
        if language == "python":
            constants = self._executables.lowering.constants
            return source(self._outputs, self._inputs, self.parameters, constants, self._single, parameters)
        raise ValueError(f'source() is in "llvm" or "python", got {language!r}')

    def array_function(self, parameters: Named) -> Callable[[Any, Any, Any], Any]:
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

    def _detect_anomaly(self, data: Numbers, n: int, backward: bool) -> None:
        """Inside `detect_anomaly()`, compute every row by the engine, which looks at every node.

        Raises:
            FloatingPointError: a value or a gradient is not finite.
        """
        if not current() & ANOMALY:
            return
        width = len(self._inputs)
        nodes = ordered(self._outputs)
        with recording():
            for row in range(n):
                numbers = data[row * width : (row + 1) * width]
                copies = {p: Value(p.data, p.label) for p in self.parameters}
                copies |= {x: Value(number, x.label) for x, number in zip(self._inputs, numbers, strict=True)}
                try:
                    for node in nodes:
                        if node.op and node not in copies:
                            copies[node] = record(node.op, tuple([copies.get(p, p) for p in node.parents]))
                    if backward:
                        copies[self._outputs[0]].backward()
                except FloatingPointError as error:
                    raise FloatingPointError(f"row {row}: {error}") from None

    def __reduce__(self) -> Any:
        raise TypeError("cannot copy or pickle a compiled program; compile the graph again where it is needed")

    def _rows(self, rows: Any) -> tuple[Numbers, int]:
        """Return the rows' numbers in a line, and how many rows there are."""
        return read_rows(rows, len(self._inputs))

    def _batch(self, name: str, rows: Any) -> tuple[Numbers, int]:
        """Return the rows of what needs a gradient."""
        if not self._single:
            raise ValueError(f"{name}() needs one output, the program has a list of {len(self._outputs)}")
        if not self._outputs[0].requires_grad:
            raise RuntimeError(f"{name}() of the constant {self._outputs[0]!r}: it has no gradient")
        data, n = self._rows(rows)
        if not n:
            raise ValueError(f"{name}() was given no rows, of which there is no mean")
        return data, n


def _check(outputs: Sequence[Any], inputs: Sequence[Any]) -> None:
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


def _close(rtol: float, atol: float) -> Callable[[float, float], bool]:
    def close(a: float, b: float) -> bool:
        return math.isclose(a, b, rel_tol=rtol, abs_tol=atol) or (a != a and b != b)

    return close


def _bar(steps: int) -> Any:
    try:
        from tqdm import tqdm
    except ImportError as error:
        raise ImportError("fit(progress=True) needs tqdm: pip install tqdm") from error
    return tqdm(total=steps, desc="training", unit="step", file=sys.stderr)
