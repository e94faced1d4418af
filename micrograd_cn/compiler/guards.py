"""Guards: while a function is recorded, each comparison of values that may come out otherwise for another sample."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from ..engine import Value, below, record
from ..modes import recording
from ..number import number_or_none
from ..operation import Op
from ..table import OPS
from ..watching import Watcher, watched
from .lowering import DETACH
from .program import Program

PACKAGE = str(Path(__file__).parents[1])
_recorded: ContextVar[bool] = ContextVar("micrograd_cn_recorded", default=False)
TURNED = {">": "<", ">=": "<="}  # what holds with the operands the other way around


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
    micrograd_cn.compiler.guards.GuardError: size, sample 0: <doctest ...>, line 3: x > 0 does not hold, but held ...
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
    where: str
    text: str


class Input(Value):
    """A number of an argument while a function is recorded: what is read of it would be the same for all samples."""

    __slots__ = ()

    @property
    def data(self) -> float:
        """Refuse to be read."""
        self._refuse(".data")

    @data.setter
    def data(self, x: Any) -> None:
        self._refuse(".data =")

    def item(self) -> float:
        """Refuse to be read."""
        self._refuse(".item()")

    def __bool__(self) -> bool:
        """Refuse to be a condition."""
        self._refuse("a condition", "where(x, a, b), or a comparison, such as x > 0")

    def __eq__(self, other: object) -> bool:
        """Refuse to be compared with a number, which it is not; with values it is compared by identity."""
        if not isinstance(other, Value) and number_or_none(other) is not None:
            self._refuse("an operand of ==", "where(equal(x, y), a, b)")
        return super().__eq__(other)

    __hash__ = Value.__hash__

    def __index__(self) -> int:
        self._refuse("an index or a plain number", "take(xs, index), or the table's operations, such as exp()")

    def __format__(self, spec: str) -> str:
        return f"{self.label}: {format(self._data, spec)}"

    def _refuse(self, what: str, instead: str = "the table's operations, such as where() and less()") -> NoReturn:
        raise TypeError(
            f"{where()}: {self.label} as {what} would be the same number for every sample; write {instead}, "
            f'or compile(f, static=["{self.label.partition("[")[0]}"]) for a program for each of its values'
        )


def where() -> str:
    """Return the file and the line outside this package that are running."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}, line {frame.f_lineno}"


@contextmanager
def as_recorded() -> Iterator[None]:
    """Have compiled functions be plain ones inside the `with` block."""
    token = _recorded.set(True)
    try:
        yield
    finally:
        _recorded.reset(token)


class Recorder(Watcher):
    """Watches a function while it is recorded: its comparisons, and what it detaches, which a program computes anew.

    Attributes:
        comparisons: each once: its operands, its sign, whether it held, and the file and the line.
    """

    def __init__(self) -> None:
        self.comparisons: dict[tuple[str, int, int], tuple[Any, str, Any, bool, str]] = {}

    def compared(self, a: Any, symbol: str, b: Any, holds: bool) -> None:
        """Keep a comparison."""
        self.comparisons.setdefault((symbol, id(a), id(b)), (a, symbol, b, holds, where()))

    def detached(self, x: Value) -> Value | None:
        """Return a node with the value's number, through which no gradient flows."""
        if not x.requires_grad:
            return None
        with recording():
            return record(DETACH, (x,))

    def stopped(self, op: Op, operands: Sequence[Any]) -> Value | None:
        """Return the same of an operation inside `no_grad()`."""
        with recording():
            return self.detached(record(op, operands))


@contextmanager
def guards() -> Iterator[list[Guard]]:
    """Record inside the `with` block; afterwards the list has the comparisons that may come out otherwise."""
    found: list[Guard] = []
    recorder = Recorder()
    with recording(), watched(recorder), as_recorded():
        yield found
    for a, symbol, b, held, place in recorder.comparisons.values():
        [op] = [op for op in OPS.values() if op.forms.array == TURNED.get(symbol, symbol)]
        node = record(op, (b, a) if symbol in TURNED else (a, b))
        if node.requires_grad:
            found.append(Guard(node, held, place, f"{_shown(a)} {symbol} {_shown(b)}"))


def is_recorded() -> bool:
    """Return whether a function is being recorded here, or computed as if it were.

    >>> with as_recorded():
    ...     is_recorded()
    True
    """
    return _recorded.get()


def _shown(x: Any) -> str:
    if not isinstance(x, Value):
        return repr(x)
    return x.label or (f"{x.op.name}(...)" if x.op else "a parameter")


class Guards:
    """The guards of a recorded function, compiled.

    Attributes:
        program: computes them, if there are any.
        fixed: whether no parameter has a part in them, so that they hold for a row once and for all.
    """

    def __init__(self, found: Sequence[Guard], inputs: Sequence[Value], make: Callable[..., Program]) -> None:
        self._guards = found
        self.program = make([guard.node for guard in found], inputs) if found else None
        leaves = below(*[guard.node for guard in found])[1]
        self.fixed = all(leaf in set(inputs) or not leaf.requires_grad for leaf in leaves)
        self._expected = array("d", [float(guard.held) for guard in found])

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
        found = {}
        for k, row in enumerate(index):
            for guard, x in zip(self._guards, out[k * width : (k + 1) * width], strict=True):
                if x != float(guard.held):
                    found[row] = guard
                    break
        return found

    def __len__(self) -> int:
        return len(self._guards)
