"""The two modes in which values are recorded: `no_grad`, without a graph, and `detect_anomaly`, with a check of each.

A mode holds in this thread and this async task alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import Any, TypeVar

from ..ops.operation import Op
from . import anomaly

__all__ = ["ANOMALY", "NO_GRAD", "Mode", "checked", "current", "detect_anomaly", "no_grad", "recording", "stops"]

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

NO_GRAD, ANOMALY = 1, 2


# of each `with` block, from the outermost: whose it is, its flag, and whether it switches that on
_blocks: ContextVar[tuple[tuple[object, int, bool], ...]] = ContextVar("micrograd_cn_blocks", default=())
_lock = Lock()
_begun = 0  # blocks, in all threads
active = False  # whether there are some; else nobody need ask for the flags


def current() -> int:
    """Return the flags that hold here, NO_GRAD and ANOMALY, 0 for none.

    >>> with no_grad(), detect_anomaly():
    ...     current() == NO_GRAD | ANOMALY
    True
    """
    flags = 0
    for _, flag, on in _blocks.get():
        flags = flags | flag if on else flags & ~flag
    return flags


def stops(op: Op, operands: Sequence[Any], data: float) -> bool:
    """Return whether a result is not recorded here, as in `no_grad()`; `detect_anomaly()` looks at it first.

    Raises:
        FloatingPointError: inside `detect_anomaly()`, it is not finite.

    >>> from micrograd_cn import log
    >>> with no_grad():
    ...     stops(log, (1.0,), 0.0)
    True
    """
    flags = current()
    if flags & ANOMALY:
        anomaly.check_value(op, operands, data)
    return bool(flags & NO_GRAD)


def checked(order: Iterable[T]) -> Iterable[T]:
    """Return the nodes of a backward pass; inside `detect_anomaly()` the gradients that each sent to are looked at.

    Raises:
        FloatingPointError: when the pass goes on from a node that sent to a gradient which is not finite now.

    >>> list(checked([]))
    []
    """
    return _checked(order) if current() & ANOMALY else order


def _checked(order: Iterable[T]) -> Iterator[T]:
    for node in order:
        yield node
        anomaly.check_gradients(node)


def _enter(owner: object, flag: int, on: bool = True) -> None:
    _blocks.set((*_blocks.get(), (owner, flag, on)))
    _count(1)


def _leave(owner: object) -> None:
    """End the last block of `owner`, which need not be the innermost: a generator may be closed inside another's."""
    blocks = [*_blocks.get()]
    for i in reversed(range(len(blocks))):  # none is found where a generator is closed in another context
        if blocks[i][0] is owner:
            del blocks[i]
            _blocks.set(tuple(blocks))
            break
    _count(-1)


def _count(change: int) -> None:
    global _begun, active
    with _lock:
        _begun += change
        active = _begun > 0


class Mode:
    """A mode to be switched on: by `with`, or as a decorator, also of generators, coroutines and async generators.

    A decorated generator runs in the mode whenever it runs, and what happens between its steps does not. (A `with`
    block in a generator's body is left only when the generator goes on, so what runs in between is in the mode too.)
    One object may be used any number of times, also inside itself.

    >>> @no_grad()
    ... def squares(xs):
    ...     for x in xs:
    ...         yield x * x
    >>> from micrograd_cn import Value
    >>> [(y.requires_grad, (y * Value(2)).requires_grad) for y in squares([Value(1)])]
    [(False, True)]
    """

    def __init__(self, flag: int) -> None:
        self.flag = flag

    def __enter__(self) -> None:
        _enter(self, self.flag)

    def __exit__(self, *_: object) -> None:
        _leave(self)

    def __call__(self, function: F) -> F:
        """Return the function, run in the mode."""
        from .stepwise import run_inside  # costs more than the rest of the module

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
    return Mode(NO_GRAD)


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
    return Mode(ANOMALY)


@contextmanager
def recording() -> Iterator[bool]:
    """Record inside the `with` block, even inside `no_grad()`; give whether that is around it.

    >>> from micrograd_cn import Value
    >>> with no_grad(), recording():
    ...     (Value(2) * 3).requires_grad
    True
    """
    flags, owner = current(), object()
    if not flags:  # nothing to switch off
        yield False
        return
    _enter(owner, NO_GRAD, on=False)
    try:
        yield bool(flags & NO_GRAD)
    finally:
        _leave(owner)
