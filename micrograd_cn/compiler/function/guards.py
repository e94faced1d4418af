"""Guards: while a function is recorded, each comparison of values that may come out otherwise for another sample."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from ...engine import Value, constant, record, traverse
from ...graph.context import Hooks, here, hooked, recording
from ...ops.number import number_or_none
from ...ops.operation import Op
from ...ops.registry import OPS
from ..data.captured import CapturedValue, capture, describe
from ..derivatives import Program
from ..instructions.lowering import DETACH, check_gradient_flow

READ_INSTEAD = (
    "the value itself, or its detach() without a gradient; for a branch compare it, or write where(less(x, y), a, b)"
)
PACKAGE = str(Path(__file__).parents[2] / "_")[:-1]  # with what separates it from a file's name
_inlining: ContextVar[bool] = ContextVar("micrograd_cn_recorded", default=False)
MIRRORED = {">": "<", ">=": "<="}  # what holds with the operands the other way around


class GuardError(ValueError):
    """A row for which a comparison of values comes out otherwise than while the function was recorded.

    >>> from micrograd_cn.compiler import compile
    >>> @compile
    ... def size(x):
    ...     return x if x > 0 else -x
    >>> size(2)
    2.0
    >>> size(-3)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    micrograd_cn.compiler.function.guards.GuardError: size, sample 0: <doctest ...>, line 3: x > 0 does not hold, ...
    """


class Guard(NamedTuple):
    """A comparison, and how it came out.

    Attributes:
        node: 1.0 where it holds.
        held: whether it did.
        where: the file and the line.
        text: the comparison.
    """

    node: Value
    held: bool
    location: str
    text: str


class Traced(Value):
    """What is computed while a function is recorded: what is read of it would be the same for all samples.

    It is a plain `Value` again once the function is recorded.
    """

    __slots__ = ()

    @classmethod
    def _constant(cls, x: Any) -> Any:  # of a number among the operands
        return constant(x)

    def backward(self, gradient: Any = 1.0) -> None:
        """Refuse to leave gradients that are numbers."""
        self._refuse("what backward() starts from", "gradients(y, xs, create_graph=True), or functional.grad")

    def __bool__(self) -> bool:
        """Refuse to be a condition."""
        if self._varies():
            self._refuse("a condition", "where(x, a, b), or a comparison, such as x > 0")
        return True

    def __eq__(self, other: object) -> bool:
        """Refuse to be equal to a number; of two values that differ, tell those who listen that they do."""
        if self is other or (not isinstance(other, Value) and number_or_none(other) is None) or not self._varies():
            return self is other
        if not isinstance(other, Value) or other._data == self._data:
            self._refuse("an operand of ==", "where(equal(x, y), a, b)")
        if hooks := here().hooks:
            hooks.compared(self, "==", other, False)
        return False

    def __repr__(self) -> str:
        """Name itself without its number, of which a text would be the same for all samples."""
        return f"Value({describe(self)})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Refuse to be copied, which would be a number."""
        self._refuse("a copy", READ_INSTEAD)

    @property
    def partials(self) -> tuple[float, ...]:
        """Refuse to have its derivatives read, unless it is this package that reads them."""
        if self._varies():
            self._refuse("what derivatives are read of", "gradients(y, xs, create_graph=True), or functional.grad")
        return super().partials

    def edges(self) -> list[tuple[Any, float]]:
        """Refuse to have its derivatives read with its operands, too."""
        if self._varies():
            self._refuse("what derivatives are read of", "gradients(y, xs, create_graph=True), or functional.grad")
        return super().edges()

    def _backward(self) -> None:
        """Refuse to leave gradients that are numbers."""
        self._refuse("what _backward() starts from", "gradients(y, xs, create_graph=True), or functional.grad")

    def __hash__(self) -> int:
        """Refuse to be looked up."""
        if self._varies():
            self._refuse("a key", "take(xs, index), or where(equal(x, y), a, b)")
        return super().__hash__()

    def _varies(self) -> bool:
        """Return whether the number varies, and it is not this package that asks, which means the node itself."""
        if sys._getframe(2).f_code.co_filename.startswith(PACKAGE):
            return False
        return isinstance(self, TracedInput) or any(isinstance(x, TracedInput) for x in traverse(self)[1])

    def _refuse(self, what: str, instead: str) -> NoReturn:
        refuse(self, what, instead)


class TracedInput(Traced):
    """A number of an argument while a function is recorded."""

    __slots__ = ()

    def __index__(self) -> int:
        self._refuse("an index or a plain number", "take(xs, index), or the table's operations, such as exp()")

    def __format__(self, spec: str) -> str:
        return f"{self.label}: {format(self._data, spec)}"

    @property
    def data(self) -> float:
        """Refuse to be read."""
        refuse(self, ".data", READ_INSTEAD)

    @data.setter
    def data(self, x: Any) -> None:
        refuse(self, ".data =", "a value of its own for what is computed")


def refuse(x: Value, what: str, instead: str) -> NoReturn:
    """Raise TypeError since something of a value would be the same for all samples.

    Args:
        x: the value.
        what: it would be.
        instead: what to write.
    """
    inputs = [leaf for leaf in (traverse(x)[1] or [x]) if isinstance(leaf, TracedInput)]
    when = "for every sample" if inputs else "in all calls, whatever it becomes"
    static = f', or compile(f, static=["{x.label.partition("[")[0]}"]) for a program for each of its values'
    other = static if isinstance(x, TracedInput) else "" if inputs else ", or read it before the function is called"
    raise TypeError(
        f"{user_location()}: {describe(x)} as {what} would be the same number {when}; write {instead}{other}"
    )


def _refuse_changed_flag(x: Value) -> NoReturn:
    raise TypeError(
        f"{user_location()}: requires_grad of {describe(x)} is another one for a part of the function that is recorded; write "
        ".detach() where no gradient is to flow to it"
    )


def user_location() -> str:
    """Return the file and the line outside this package that are running."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}, line {frame.f_lineno}"


@contextmanager
def inline_compiled() -> Iterator[None]:
    """Have compiled functions be plain ones inside the `with` block."""
    token = _inlining.set(True)
    try:
        yield
    finally:
        _inlining.reset(token)


class RecordingHooks(Hooks):
    """What is noticed while a function is recorded.

    Attributes:
        guards: the comparisons that may come out otherwise, once it is recorded.
    """

    def __init__(self) -> None:
        self.guards: list[Guard] = []
        self._comparisons: dict[tuple[str, int, int], tuple[Any, str, Any, bool, str]] = {}
        self._nodes: list[Value] = []
        self._constants: dict[Value, None] = {}  # leaves that were used as such
        self._inputs: Sequence[Value] = ()
        self._self_contained = True  # whether all operands of what was made were made too, or are leaves

    @contextmanager
    def recording(self, inputs: Sequence[Value]) -> Iterator[None]:
        """Record inside the `with` block a function of some inputs."""
        self._inputs = inputs
        try:
            with recording(), hooked(self), inline_compiled():
                yield
                for a, symbol, b, held, place in self._comparisons.values():
                    op = next(op for op in OPS.values() if op.lowerings.array == MIRRORED.get(symbol, symbol))
                    node = record(op, (b, a) if symbol in MIRRORED else (a, b))
                    if node.requires_grad:
                        self.guards.append(Guard(node, held, place, f"{describe(a)} {symbol} {describe(b)}"))
                self._self_contained = not any(map(_reads_captured, self._nodes))
                check_gradient_flow(self._nodes)
                others = [x for x in (*inputs, *self._nodes) if not x.requires_grad]
                for x in (*others, *[x for x in self._constants if x.requires_grad]):
                    _refuse_changed_flag(x)
        finally:
            for x in (*self._nodes, *inputs):
                x.__class__ = Value  # which has the same slots

    def with_captured_leaves(
        self, outputs: Sequence[Value], known: dict[Value, CapturedValue]
    ) -> tuple[list[Value], list[Guard]]:
        """Return outputs and guards with leaves in the place of values that were computed before; see `capture`."""
        made = set(self._nodes)
        if self._self_contained and made.issuperset([x for x in outputs if x.op]):
            return list(outputs), self.guards
        nodes = capture([*outputs, *[guard.node for guard in self.guards]], made, known, self._inputs)
        checks = [guard._replace(node=x) for guard, x in zip(self.guards, nodes[len(outputs) :], strict=True)]
        return nodes[: len(outputs)], checks

    def compared(self, a: Any, symbol: str, b: Any, holds: bool) -> None:
        """Keep a comparison."""
        self._comparisons.setdefault((symbol, id(a), id(b)), (a, symbol, b, holds, user_location()))

    def read(self, x: Value, how: str) -> None:
        """Refuse that a number is read which may be another one in the next call."""
        if x.requires_grad or isinstance(x, Traced):
            refuse(x, how, READ_INSTEAD)
        self._constants[x] = None

    def before_write(self, x: Value) -> None:
        """Refuse that a number is given which would be given in this call alone."""
        raise TypeError(
            f"{user_location()}: {describe(x)} is given data while a function is recorded, which its later calls would not do; "
            "give it outside the function"
        )

    def detached(self, x: Value) -> Value | None:
        """Return a node with the value's number, through which no gradient flows."""
        if not x.requires_grad:
            self.made_constant((x,))
            return None
        with recording():
            return record(DETACH, (x,))

    def suppressed(self, op: Op, operands: Sequence[Any]) -> Value | None:
        """Return the same of an operation inside `no_grad()`."""
        with recording():
            return self.detached(record(op, operands))

    def made_constant(self, operands: Sequence[Any]) -> None:
        """Refuse that what varies is a constant."""
        for x in operands:
            if isinstance(x, Traced):
                _refuse_changed_flag(x)
            if isinstance(x, Value):
                self._constants[x] = None

    def new_node(self, kind: Any) -> Value:
        """Return an object for a node that is made."""
        node = object.__new__(Traced)
        self._nodes.append(node)
        return node


def _reads_captured(node: Value) -> bool:
    """Return whether a node that was made while a function is recorded has an operand that was computed before."""
    return any(type(x) is Value and x.op is not None for x in node.operands)


def is_inlining() -> bool:
    """Return whether a function is being recorded here, or computed as if it were.

    >>> with inline_compiled():
    ...     is_inlining()
    True
    """
    return _inlining.get()


class CompiledGuards:
    """The guards of a recorded function, compiled.

    Attributes:
        program: computes them, if there are any.
        fixed: whether no parameter has a part in them, so that they hold for a row once and for all.
    """

    def __init__(self, guards: Sequence[Guard], inputs: Sequence[Value], make: Callable[..., Program]) -> None:
        self._guards = guards
        self.program = make([guard.node for guard in guards], inputs) if guards else None
        leaves = traverse(*[guard.node for guard in guards])[1]
        self.parameter_free = all(leaf in set(inputs) or not leaf.requires_grad for leaf in leaves)
        self._expected = array("d", [float(guard.held) for guard in guards])

    def hold(self, numbers: Any) -> bool:
        """Return whether they hold for a row."""
        return self.program is None or self.program.row(numbers) == self._expected

    def broken(self, data: Any, index: array[int], threads: int = 1, parameters: int = 0) -> dict[int, Guard]:
        """Return, of some rows, those that break a guard, each with the first that it breaks.

        While they are trained, `parameters` is where they are.
        """
        if self.program is None or not index:
            return {}
        width = len(self._guards)
        out = array("d", bytes(8 * width * len(index)))
        self.program.outputs_of(data, index, threads, out, parameters)
        if out == self._expected * len(index):
            return {}
        broken = {}
        for k, row in enumerate(index):
            for guard, x in zip(self._guards, out[k * width : (k + 1) * width], strict=True):
                if x != float(guard.held):
                    broken[row] = guard
                    break
        return broken
