"""The context in which nodes are recorded: modes, hooks and the scope that `with` blocks have set.

Every block is an entry of one stack, which belongs to this thread and this async task. `here()` returns what all of the
blocks together say. The fast path asks only for `active`, which tells whether there is any block in any thread.
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
    *("Context", "Hooks", "Mode", "checked", "detect_anomaly", "enter", "here", "hooked", "leave", "no_grad"),
    *("recording", "suppresses_recording"),
]

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class Hooks:
    """Hooks for events that a graph cannot record, such as a comparison that Python code branches on.

    Each method does nothing by default. A subclass overrides some, and `hooked` installs it.

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
        """Called after the comparison of `a` with `b` by `symbol`, such as "<", has given `holds`."""

    def read(self, x: Any, how: str) -> None:
        """Called before a value's number is read, by ".data", ".item()" or as formatted text."""

    def before_write(self, x: Any) -> None:
        """Called before a value gets another number."""

    def detached(self, x: Any) -> Any:
        """Return the result of `x.detach()`; None for an ordinary constant."""

    def suppressed(self, op: Op, operands: Sequence[Any]) -> Any:
        """Return the result of an operation inside `no_grad()`; None for an ordinary constant."""

    def made_constant(self, operands: Sequence[Any]) -> None:
        """Called when an operation gives a constant, since none of its operands requires a gradient."""

    def new_node(self, kind: Any) -> Any:
        """Return the object, still empty, that becomes the node of an operation."""
        return object.__new__(kind)


class Context(NamedTuple):
    """What holds for operations that are recorded here.

    Attributes:
        blocks: the `with` blocks around, from the outermost: who entered each, and the attributes that it changes.
        no_grad: whether results are constants.
        detect_anomaly: whether results and gradients that are not finite raise.
        hooks: what is called for events that a graph cannot record; None for nothing.
        scope: the scope that new nodes belong to; None outside of all scopes.
    """

    blocks: tuple[tuple[object, dict[str, Any]], ...] = ()
    no_grad: bool = False
    detect_anomaly: bool = False
    hooks: Hooks | None = None
    scope: Group | None = None


_context: ContextVar[Context] = ContextVar("micrograd_cn_context", default=Context())  # noqa: B039 -- immutable
_lock = Lock()
_entered = 0  # blocks in all threads
active = False  # whether there are any
data_changed = True  # set whenever a node's data is; a reader that keeps a copy of data resets it
here: Callable[[], Context] = _context.get


def enter(owner: object, **changes: Any) -> None:
    """Begin a block that changes attributes of the context.

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

    A generator that is suspended inside a block may be closed inside another one, or in another thread or task. There,
    the block is not found, and nothing changes.
    """
    blocks = [*here().blocks]
    for i in reversed(range(len(blocks))):
        if blocks[i][0] is owner:
            del blocks[i]
            _set(blocks)
            break
    _count(-1)


def _set(blocks: Sequence[tuple[object, dict[str, Any]]]) -> None:
    together: dict[str, Any] = {}
    for _, changes in blocks:
        together |= changes
    _context.set(Context(tuple(blocks), **together))


def _count(change: int) -> None:
    global _entered, active
    with _lock:
        _entered += change
        active = _entered > 0


@contextmanager
def hooked(hooks: Hooks) -> Iterator[None]:
    """Call `hooks` inside the `with` block, instead of those that were called around it.

    >>> hooks = Hooks()
    >>> with hooked(hooks):
    ...     here().hooks is hooks
    True
    """
    owner = object()
    enter(owner, hooks=hooks)
    try:
        yield
    finally:
        leave(owner)


def suppresses_recording(op: Op, operands: Sequence[Any], data: float) -> bool:
    """Return whether a result becomes a constant here, as in `no_grad()`; inside `detect_anomaly()`, check it first.

    Raises:
        FloatingPointError: inside `detect_anomaly()`, the result is not finite.

    >>> from micrograd_cn import log
    >>> with no_grad():
    ...     suppresses_recording(log, (1.0,), 0.0)
    True
    """
    context = here()
    if context.detect_anomaly:
        anomaly.check_value(op, operands, data)
    return context.no_grad


def checked(order: Iterable[T]) -> Iterable[T]:
    """Return the nodes of a backward pass; inside `detect_anomaly()`, check the gradients that each node has sent.

    Raises:
        FloatingPointError: a gradient is not finite. It is raised when the pass goes on from the node that sent it.
    """
    return _checked(order) if here().detect_anomaly else order


def _checked(order: Iterable[T]) -> Iterator[T]:
    for node in order:
        yield node
        anomaly.check_gradients(node)


class Mode:
    """A mode to be switched on: by `with`, or as a decorator, also of generators, coroutines and async generators.

    A decorated generator runs in the mode whenever it runs, and what happens between its steps does not. (A `with`
    block in a generator's body is left only when the generator goes on, so what runs in between is in the mode too.)
    You can use one object any number of times, also inside itself.

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
        """Return the function, run in the mode."""
        from .stepwise import run_inside  # importing it takes longer than the rest of the module

        return run_inside(self, function)


def no_grad() -> Mode:
    """Record nothing inside the `with` block (or decorated function): results are constants.

    >>> from micrograd_cn import Value
    >>> x = Value(2)
    >>> with no_grad():
    ...     y = x * x
    >>> y.data, y.requires_grad
    (4.0, False)
    """
    return Mode("no_grad")


def detect_anomaly() -> Mode:
    """Raise at the first value or gradient inside the `with` block (or decorated function) that is inf or nan.

    Raises:
        FloatingPointError: it names the operation, its operands and their labels.

    >>> from micrograd_cn import Value
    >>> with detect_anomaly():
    ...     Value(0, "x").log()
    Traceback (most recent call last):
    FloatingPointError: log(x=0.0) gave -inf
    """
    return Mode("detect_anomaly")


@contextmanager
def recording() -> Iterator[bool]:
    """Record inside the `with` block, even inside `no_grad()`; yield whether `no_grad()` is around it.

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
