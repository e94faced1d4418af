"""`compile`: a recorded graph to a program that runs it, and trains it, at the machine's speed."""

from __future__ import annotations

import ctypes
import math
import sys
import threading
import time
from array import array
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Protocol

from ..engine import Value
from ..operation import number
from ..optim import Optimizer
from . import drivers
from .lowering import Lowered
from .machine import Compiled, Machine, Memory
from .update import lower_update

ALIGNED = 16  # parameters are copied in blocks of the widest width
TURN = 0.05  # seconds of training between two looks at Ctrl-C
POINTER, COUNT, DOUBLE = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double


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
        self._outputs: list[Value] = [output] if isinstance(output, Value) else list(output)
        self._inputs = list(inputs) if not isinstance(inputs, Value) else [inputs]
        _check(self._outputs, self._inputs)
        self._machine = Machine()
        self._code = Lowered(self._outputs, self._inputs)
        self.parameters = self._code.parameters
        self._pitch = -(-max(len(self.parameters), 1) // ALIGNED) * ALIGNED
        self._modules: dict[Any, Any] = {}
        self._lock = threading.Lock()

    def forward(self, rows: Any) -> Any:
        """Return the output of every row, a float or a list of floats.

        Args:
            rows: a sequence of rows, one number an input; or anything with the buffer protocol that holds doubles in
                two dimensions, such as a numpy array.

        Raises:
            TypeError: `rows` holds something else than real numbers.
            ValueError: a row has another length than there are inputs.
        """
        data, n = self._rows(rows)
        if not n:
            return []
        module = self._module("forward")
        memory = module.memory(self.parameters)
        out = Memory(n * len(self._outputs))
        index = _order(n)
        module.run(_address(data), _address(index), n, out.address, *memory.addresses)
        module.done(memory)
        flat = out.data[:]
        if self._single:
            return flat
        width = len(self._outputs)
        return [flat[i : i + width] for i in range(0, len(flat), width)]

    def backward(self, rows: Any) -> float:
        """Return the mean output, and add its gradient to the `grad` of every parameter.

        Args:
            rows: as for `forward`.

        Raises:
            TypeError: as for `forward`.
            ValueError: as for `forward`; or there are no rows, or several outputs.
            RuntimeError: the output is a constant.
        """
        data, n = self._batch("backward", rows)
        module = self._module("gradient")
        memory = module.memory(self.parameters)
        index = _order(n)
        loss = module.run(_address(data), _address(index), n, *memory.addresses)
        gradients = memory.s.data[self._pitch : self._pitch + len(self.parameters)]
        module.done(memory)
        for p, gradient in zip(self.parameters, gradients, strict=True):
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
    ) -> list[float]:
        """Train, and return the mean loss of each epoch.

        It does what a loop of `optimizer.zero_grad()`, `backward(batch)` and `optimizer.step()` over the batches of
        every epoch does, without coming back to Python: the same parameters, gradients and state of the optimiser
        afterwards, also when it is interrupted by Ctrl-C.

        Args:
            rows: as for `forward`.
            optimizer: an `SGD`, `Adam`, `AdamW`, or another whose `update` is written in the table's operations; its
                learning rate stays what it is.
            epochs: how many times all rows are used.
            batch_size: rows a step; all for None. The last batch of an epoch may be smaller.
            shuffle: puts the rows in another order before each epoch: a `random.Random`, whose `shuffle` is called with
                the list of their numbers.
            progress: show a progress bar (needs tqdm).

        Raises:
            TypeError: as for `forward`; or the optimiser cannot be compiled.
            ValueError: as for `backward`; or `epochs` or `batch_size` is out of range, or the optimiser changes an
                input.
        """
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"fit() takes an optimizer of micrograd_cn.optim, got {type(optimizer).__name__}")
        for name, count, least in (("epochs", epochs, 0), ("batch_size", batch_size, 1)):
            if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < least):
                raise ValueError(f"fit(): {name} must be an int of at least {least}, got {count!r}")
        inputs = set(self._inputs)
        for i, p in enumerate(optimizer.parameters):
            if p in inputs:
                raise ValueError(f"fit(): parameters[{i}] of the optimizer, {p!r}, is an input of the program")
        data, n = self._batch("fit", rows)
        training = _Training(self, optimizer)
        losses = Memory(max(epochs, 1))
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
                        index = array("q", order)
                steps = min(turn, left)
                start = time.perf_counter()
                training.run(data, index, n, batch, taken, steps, losses)
                seconds = time.perf_counter() - start
                taken += steps
                turn = max(1, min(turn * 2, int(turn * TURN / seconds))) if seconds else 2 * turn
                if bar:
                    bar.set_postfix(loss=f"{losses.data[(taken - 1) // a_epoch]:.4g}", refresh=False)
                    bar.update(steps)
        finally:
            training.write_back()
            if bar:
                bar.close()
        return list(losses.data[:epochs])

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
        for i, compiled in enumerate(self.forward(rows)):
            row = list(data[i * width : (i + 1) * width])
            given = f(*map(Value, row))
            eager = [x.data if isinstance(x, Value) else number(x) for x in ([given] if self._single else given)]
            graph = [compiled] if self._single else compiled
            if len(eager) != len(graph) or not all(map(_close(rtol, atol), eager, graph)):
                function, ours = (eager[0], graph[0]) if self._single else (eager, graph)
                raise Mismatch(
                    f"row {i}, {row}: the function gives {function}, the graph {ours}; does the function branch on a "
                    "value, where it should use where()?"
                )

    def source(self, language: str = "llvm") -> str:
        """Return the program's text.

        "llvm" is the module that `backward` runs (`forward`, of several outputs). "python" is a function
        `f(xp, parameters, inputs)` without branches, in which `xp` is `math`, numpy, jax.numpy or torch, `parameters`
        has a number for each of `.parameters`, and `inputs` a number or an array for each input.

        Raises:
            ValueError: it is written in neither language.

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
            return self._module("gradient" if self._single and self._outputs[0].requires_grad else "forward").text
        if language == "python":
            from .python import source

            return source(self._outputs, self._inputs, self.parameters, self._single)
        raise ValueError(f'source() is in "llvm" or "python", got {language!r}')

    def _rows(self, rows: Any) -> tuple[array[float] | memoryview[Any], int]:
        """Return the rows' numbers in a line, and how many rows there are."""
        width = len(self._inputs)
        try:
            view = memoryview(rows)
        except TypeError:
            return _listed(rows, width)
        if view.ndim != 2 or view.format not in ("d", "@d", "=d", "<d"):
            raise TypeError(
                f"rows must be in two dimensions and hold doubles, got {view.ndim} of format {view.format!r}; "
                "of an array in one dimension use memoryview(a).cast('B').cast('d', shape)"
            )
        assert view.shape is not None  # it has two dimensions
        n, columns = view.shape
        if columns != width:
            raise ValueError(f"rows have {columns} numbers, the program {width} inputs")
        if not view.c_contiguous or view.readonly or not n:
            copied = array("d")
            copied.frombytes(view.tobytes())
            return copied, n
        flat: memoryview[Any] = view.cast("B").cast("d")
        return flat, n

    def _batch(self, name: str, rows: Any) -> tuple[array[float] | memoryview[Any], int]:
        """Return the rows of what needs a gradient."""
        if not self._single:
            raise ValueError(f"{name}() needs one output, the program has a list of {len(self._outputs)}")
        if not self._outputs[0].requires_grad:
            raise RuntimeError(f"{name}() of the constant {self._outputs[0]!r}: it has no gradient")
        data, n = self._rows(rows)
        if not n:
            raise ValueError(f"{name}() was given no rows, of which there is no mean")
        return data, n

    def _module(self, kind: str) -> _Module:
        with self._lock:
            if kind not in self._modules:
                self._modules[kind] = _Module(self, kind)
            module: _Module = self._modules[kind]
            return module

    def _update(self, optimizer: Optimizer, masked: bool, columns: int) -> _Update:
        """Return the loop of `fit`, compiled once for all optimisers that differ in learning rate and state alone."""
        varying = {"parameters", "lr", "steps", "state"}
        options = {name: x for name, x in vars(optimizer).items() if name not in varying}
        plain = all(isinstance(x, (float, int, str)) for value in options.values() for x in _listed_or_one(value))
        key = (type(optimizer), masked, repr(options)) if plain else object()
        with self._lock:
            if key not in self._modules:
                self._modules[key] = _Update(self, optimizer, masked, columns)
            update: _Update = self._modules[key]
            return update


class _Module:
    """The compiled functions of `forward` or `backward`."""

    def __init__(self, program: Program, kind: str) -> None:
        code, machine = program._code, program._machine
        first, slots = 2 * program._pitch, len(program._inputs)
        if kind == "forward":
            self.assembly = machine.assemble(code, code.outputs, first, slots)
            functions = [drivers.forward(self.assembly, code.outputs)]
            signature: list[Any] = [None, POINTER, POINTER, COUNT, POINTER, POINTER, POINTER, POINTER]
        else:
            code.differentiate()
            roots = [code.outputs[0], *code.gradients]
            self.assembly = machine.assemble(code, roots, first, slots, totals=code.totals)
            functions = drivers.gradient(self.assembly, code.outputs[0], code.gradients, program._pitch)
            signature = [DOUBLE, POINTER, POINTER, COUNT, POINTER, POINTER, POINTER]
        self.text = machine.text(self.assembly, [drivers.loader(self.assembly, slots), *functions])
        self.compiled = Compiled(self.text, machine, code.size())
        self.run = self.compiled.function(kind, *signature)
        self.address = ctypes.cast(self.run, POINTER).value
        self._unused: list[_Memory] = []

    def memory(self, parameters: Sequence[Value]) -> _Memory:
        """Return memory that no other thread uses, with the parameters' data in it."""
        memory = self._unused.pop() if self._unused else _Memory(self)
        memory.s.data[: len(parameters)] = [p.data for p in parameters]
        return memory

    def done(self, memory: _Memory) -> None:
        """Take memory back."""
        self._unused.append(memory)


class _Memory:
    """What one run writes to."""

    def __init__(self, module: _Module) -> None:
        assembly = module.assembly
        self.s = Memory(assembly.free)
        self.w = Memory(max(assembly.slots, 1) * assembly.width)
        self.a = Memory((len(assembly.totals) + assembly.native) * assembly.native)
        for place, x in assembly.constants.items():
            self.s.data[place] = x
        self.addresses = (self.s.address, self.w.address, self.a.address)


class _Update:
    """The compiled loop of `fit` for a kind of optimiser."""

    def __init__(self, program: Program, optimizer: Optimizer, masked: bool, columns: int) -> None:
        machine = program._machine
        code, outputs = lower_update(optimizer, masked)
        self.assembly = machine.assemble(code, outputs, 2, columns, fuse=False)
        text = machine.text(self.assembly, [drivers.fit(self.assembly, outputs, program._pitch)])
        self.compiled = Compiled(text, machine, code.size())
        arguments = [POINTER, POINTER, POINTER, COUNT, COUNT, COUNT, COUNT] + [POINTER] * 6 + [COUNT] * 2
        self.run = self.compiled.function("fit", None, *arguments)


class _Training:
    """The compiled loop of `fit` for one optimiser, and what it works on."""

    def __init__(self, program: Program, optimizer: Optimizer) -> None:
        self.program, self.optimizer = program, optimizer
        self.module = program._module("gradient")
        place = {p: i for i, p in enumerate(program.parameters)}
        start = -(-len(place) // ALIGNED) * ALIGNED  # where parameters that the program does not have begin
        self.places: list[int] = []
        for p in optimizer.parameters:
            self.places.append(place.get(p, start))
            start += p not in place
        changed = {i for p, i in zip(optimizer.parameters, self.places, strict=True) if p.requires_grad}
        masked = not changed.issuperset(place.values())
        columns = 2 + len(optimizer.slots) + masked
        compiled = program._update(optimizer, masked, columns)
        self.update, self.fit = compiled.assembly, compiled.run

        self.memory = self.module.memory(program.parameters)
        self.scalars = Memory(self.update.free)
        for at, x in self.update.constants.items():
            self.scalars.data[at] = x
        self.scalars.data[0], self.scalars.data[1] = optimizer.lr, float(optimizer.steps)
        width = self.update.width
        self.own = -(-len(place) // width)
        self.blocks = max(-(-start // width), 1)
        self.samples = Memory(self.blocks * self.update.slots * width)
        size = self.blocks * width
        contents = [[0.0] * size for _ in range(columns)]
        for p, i in place.items():
            contents[0][i] = p.data
        for p, i, state in zip(optimizer.parameters, self.places, optimizer.state, strict=True):
            contents[0][i] = p.data
            for column, slot in zip(contents[2:], optimizer.slots, strict=False):
                column[i] = state[slot]
            if masked:
                contents[-1][i] = float(p.requires_grad)
        for k, column in enumerate(contents):
            for block, start in enumerate(self._starts(k)):
                self.samples.data[start : start + width] = column[block * width : (block + 1) * width]

    def _starts(self, column: int) -> range:
        """Return where each block of a column starts."""
        step = self.update.slots * self.update.width
        return range(column * self.update.width, self.blocks * step, step)

    def _column(self, column: int) -> list[float]:
        width = self.update.width
        return [x for start in self._starts(column) for x in self.samples.data[start : start + width]]

    def run(self, data: Any, index: Any, n: int, batch: int, first: int, steps: int, losses: Memory) -> None:
        """Take steps `first` to `first + steps` of the training."""
        self.fit(
            self.module.address, _address(data), _address(index), n, batch, first, steps,
            losses.address, *self.memory.addresses, self.scalars.address, self.samples.address, self.own, self.blocks,
        )  # fmt: skip

    def write_back(self) -> None:
        """Give parameters, gradients and the optimiser what they have become."""
        optimizer = self.optimizer
        steps = int(self.scalars.data[1])  # counted there, since Ctrl-C may come just before a line of Python
        if steps != optimizer.steps:
            data, gradients, *kept = (self._column(k) for k in range(2 + len(optimizer.slots)))
            for p, i, state in zip(optimizer.parameters, self.places, optimizer.state, strict=True):
                if p.requires_grad:
                    p.data, p.grad = data[i], gradients[i]
                    for column, slot in zip(kept, optimizer.slots, strict=True):
                        state[slot] = column[i]
                else:
                    p.grad = 0.0
            optimizer.steps = steps
        self.module.done(self.memory)


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


def _listed(rows: Any, width: int) -> tuple[array[float], int]:
    """Return nested sequences as one array."""
    rows = list(rows)
    for i, row in enumerate(rows):
        if not hasattr(row, "__len__") or isinstance(row, (str, bytes)):
            raise TypeError(f"rows[{i}] must be a sequence of numbers, got {type(row).__name__} {row!r}")
        if len(row) != width:
            raise ValueError(f"rows[{i}] has {len(row)} numbers, the program {width} inputs")
    try:
        return array("d", chain.from_iterable(rows)), len(rows)
    except TypeError:
        return array("d", map(number, chain.from_iterable(rows))), len(rows)


def _listed_or_one(x: Any) -> Iterable[Any]:
    return x if isinstance(x, tuple) else (x,)


@lru_cache(8)
def _order(n: int) -> array[int]:
    return array("q", range(n))


def _address(data: Any) -> int:
    if isinstance(data, array):
        return data.buffer_info()[0]
    return ctypes.addressof(ctypes.c_char.from_buffer(data)) if len(data) else 0


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
