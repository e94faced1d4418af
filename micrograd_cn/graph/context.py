"""The context in which nodes are recorded: the modes, hooks and scope that `with` blocks have set.

Every block is an entry of one stack, and each thread and async task has its own. `here()` returns the context that the
entries make together. The fast path reads only `active`, which says whether any thread is inside a block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import Any, NamedTuple, TypeVar

from ..ops.operation import Op
from . import anomaly
from .groups import Group

__all__ = [
    *("Context", "Hooks", "Mode", "detect_anomaly", "enter", "here", "hooked", "leave", "no_grad"),
    *("recording", "suppresses_recording", "with_anomaly_checks"),
]

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class Hooks:
    """Hooks for events that a graph cannot record, such as a comparison that Python code branches on.

    Each method is a no-op by default. A subclass overrides some of them, and `hooked` installs it.

    >>> class Printer(Hooks):
    ...     def compared(self, a, symbol, b, holds):
    ...         print(a.data, symbol, b.data, holds)
    >>> from micrograd_cn import Value
    >>> with hooked(Printer()):
    ...     max(Value(1), Value(2)).data
    2.0 > 1.0 True
    2.0
    """

    def compared(self, a: Any, symbol: str, b: Any, holds: bool) -> None:
        """Called after a comparison of `a` with `b`; `symbol` is "<", "<=", ">" or ">=", and `holds` the result."""

    def read(self, x: Any, how: str) -> None:
        """Called before the number of a value is read; `how` is ".data", ".item()" or other words for a message."""

    def before_write(self, x: Any) -> None:
        """Called before a number is assigned to the data of a value."""

    def detached(self, x: Any) -> Any:
        """Return the result of `x.detach()`; None for an ordinary constant."""

    def suppressed(self, op: Op, operands: Sequence[Any]) -> Any:
        """Return the result of an operation inside `no_grad()`; None for an ordinary constant."""

    def made_constant(self, operands: Sequence[Any]) -> None:
        """Called when the result of an operation is a constant because no operand requires a gradient."""

    def made_by_hand(self, op: Any, operands: Sequence[Any]) -> None:
        """Called when a node is made with its operands, as `Value(t, (x,), "tanh")`; `op` is its operation."""

    def new_node(self, kind: Any) -> Any:
        """Return an empty object of class `kind`, which becomes the node of an operation."""
        return object.__new__(kind)


class Context(NamedTuple):
    """How operations are recorded.

    Attributes:
        blocks: the `with` blocks around, from the outermost on: the owner of each, and the attributes that it sets.
        no_grad: whether results are constants.
        detect_anomaly: whether a result or gradient that is not finite raises.
        hooks: the hooks to call; None if there are none.
        scope: the scope that new nodes belong to; None outside of all scopes.
    """

    blocks: tuple[tuple[object, dict[str, Any]], ...] = ()
    no_grad: bool = False
    detect_anomaly: bool = False
    hooks: Hooks | None = None
    scope: Group | None = None


_context: ContextVar[Context] = ContextVar("micrograd_cn_context", default=Context())  # noqa: B039 -- immutable
_lock = Lock()
_entered = 0  # the number of blocks that all threads are in
active = False  # whether it is more than 0
data_changed = True  # set by an assignment to the data of any node; a reader that keeps a copy resets it
here: Callable[[], Context] = _context.get


def enter(owner: object, **changes: Any) -> None:
    """Begin a block that sets attributes of the context; `owner` is any object, by which `leave` finds the block.

    >>> owner = object()
    >>> enter(owner, no_grad=True)
    >>> here().no_grad
    True
    >>> leave(owner)
    >>> here().no_grad
    False
    """
    _set([*here().blocks, (owner, changes)])
    _count(1)


def leave(owner: object) -> None:
    """End the last block that `owner` has entered, which need not be the innermost one.

    A generator that is suspended inside a block may be closed inside another block, or in another thread or task. The
    stack of that thread or task does not contain the block, and is left as it is.
    """
    blocks = [*here().blocks]
    for i in reversed(range(len(blocks))):
        if blocks[i][0] is owner:
            del blocks[i]
            _set(blocks)
            break
    _count(-1)


def _set(blocks: Sequence[tuple[object, dict[str, Any]]]) -> None:
    attributes: dict[str, Any] = {}
    for _, changes in blocks:
        attributes |= changes
    _context.set(Context(tuple(blocks), **attributes))


def _count(change: int) -> None:
    global _entered, active
    with _lock:
        _entered += change
        active = _entered > 0


@contextmanager
def hooked(hooks: Hooks) -> Iterator[None]:
    """Install hooks for the `with` block, in the place of hooks that are installed around it."""
    owner = object()
    enter(owner, hooks=hooks)
    try:
        yield
    finally:
        leave(owner)


def suppresses_recording(op: Op, operands: Sequence[Any], data: float) -> bool:
    """Return whether we are inside `no_grad()`, where a result is a constant; check the result for anomalies.

    Raises:
        FloatingPointError: inside `detect_anomaly()`, the result is not finite.
    """
    context = here()
    if context.detect_anomaly:
        anomaly.check_value(op, operands, data)
    return context.no_grad


def with_anomaly_checks(nodes: Iterable[T]) -> Iterable[T]:
    """Return the nodes of a backward pass; inside `detect_anomaly()`, check what each of them has sent.

    A node sends its gradient in the body of the loop over these nodes, and is checked when the loop asks for the next.

    Raises:
        FloatingPointError: a gradient is not finite.
    """
    return _with_anomaly_checks(nodes) if here().detect_anomaly else nodes


def _with_anomaly_checks(nodes: Iterable[T]) -> Iterator[T]:
    for node in nodes:
        yield node
        anomaly.check_gradients(node)


class Mode:
    """A mode, for a `with` block or as a decorator, also of generators, coroutines and async generators.

    A decorated generator is in the mode while it runs, and its caller is not. (A `with` block in the body of a
    generator is different: it stays open while the generator is suspended, so the caller is in the mode too.) You can
    use one object any number of times, also inside itself.

    >>> @no_grad()
    ... def squares(xs):
    ...     for x in xs:
    ...         yield x * x
    >>> from micrograd_cn import Value
    >>> [(y.requires_grad, (y * Value(2)).requires_grad) for y in squares([Value(1)])]
    [(False, True)]
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        enter(self, **{self.name: True})

    def __exit__(self, *_: object) -> None:
        leave(self)

    def __call__(self, function: F) -> F:
        """Return the function decorated with the mode."""
        from .stepwise import run_inside  # here, because importing it takes longer than the rest of the module

        return run_inside(self, function)


def no_grad() -> Mode:
    """Record no graph inside the `with` block (or decorated function): results are constants.

    >>> from micrograd_cn import Value
    >>> x = Value(2)
    >>> with no_grad():
    ...     y = x * x
    >>> y.data, y.requires_grad
    (4.0, False)
    """
    return Mode("no_grad")


def detect_anomaly() -> Mode:
    """Raise an error at the first value or gradient inside the `with` block (or decorated function) that is inf or nan.

    Raises:
        FloatingPointError: a number is not finite; the message names the operation, its operands and their labels.

    >>> from micrograd_cn import Value
    >>> with detect_anomaly():
    ...     Value(0, "x").log()
    Traceback (most recent call last):
    FloatingPointError: log(x=0.0) gave -inf
    """
    return Mode("detect_anomaly")


@contextmanager
def recording() -> Iterator[bool]:
    """Record a graph inside the `with` block, even inside `no_grad()`; yield whether it is inside `no_grad()`.

    >>> from micrograd_cn import Value
    >>> with no_grad(), recording():
    ...     (Value(2) * 3).requires_grad
    True
    """
    if not here().no_grad:
        yield False
        return
    owner = object()
    enter(owner, no_grad=False)
    try:
        yield True
    finally:
        leave(owner)
