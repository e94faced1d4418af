"""The two modes in which values are recorded: `no_grad`, without a graph, and `detect_anomaly`, with a check of each.

A mode holds in this thread and this async task alone.
"""

from __future__ import annotations

import math
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from threading import Lock
from types import coroutine
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast

from .operation import Op

__all__ = [
    "ANOMALY",
    "NO_GRAD",
    "Mode",
    "check_gradients",
    "check_tangent",
    "check_value",
    "current",
    "detect_anomaly",
    "in_words",
    "no_grad",
    "recording",
]

F = TypeVar("F", bound=Callable[..., Any])
Steps: TypeAlias = Generator[Any, Any, Any]

NO_GRAD, ANOMALY = 1, 2


class _Entered(NamedTuple):
    """The flags that hold inside a `with` block; which it switched on and off, whose block it is, what is around it."""

    flags: int
    on: int
    off: int
    owner: object
    outer: _Entered | None


_entered: ContextVar[_Entered | None] = ContextVar("micrograd_cn_mode", default=None)
_lock = Lock()
active = 0  # how many `with` blocks of a mode there are in all threads; while it is 0, nobody need ask for the flags


def current() -> int:
    """Return the flags that hold here, NO_GRAD and ANOMALY, 0 for none.

    >>> with no_grad(), detect_anomaly():
    ...     current() == NO_GRAD | ANOMALY
    True
    """
    entered = _entered.get()
    return entered.flags if entered else 0


def _inside(outer: _Entered | None, on: int, off: int, owner: object) -> _Entered:
    return _Entered(((outer.flags if outer else 0) | on) & ~off, on, off, owner, outer)


def _enter(owner: object, on: int = 0, off: int = 0) -> None:
    global active
    _entered.set(_inside(_entered.get(), on, off, owner))
    with _lock:
        active += 1


def _leave(owner: object) -> None:
    """End the block of `owner`, which need not be the innermost: a generator may be closed inside another's block."""
    global active
    entered, inner = _entered.get(), []
    while entered and entered.owner is not owner:
        inner.append(entered)
        entered = entered.outer
    if entered:  # else the generator that has the block is closed in another context than it was entered in
        rest = entered.outer
        for block in reversed(inner):
            rest = _inside(rest, block.on, block.off, block.owner)
        _entered.set(rest)
    with _lock:
        active -= 1


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
        _enter(self, on=self.flag)

    def __exit__(self, *_: object) -> None:
        _leave(self)

    def __call__(self, function: F) -> F:
        """Return the function, run in the mode."""
        import inspect  # costs more than the rest of the module

        if inspect.isgeneratorfunction(function):

            @wraps(function)
            def decorated(*args: Any, **kwargs: Any) -> Any:
                return (yield from self._stepwise(function(*args, **kwargs)))

        elif inspect.iscoroutinefunction(function):

            @wraps(function)
            async def decorated(*args: Any, **kwargs: Any) -> Any:
                return await self._awaited(function(*args, **kwargs))

        elif inspect.isasyncgenfunction(function):

            @wraps(function)
            async def decorated(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
                steps = function(*args, **kwargs)
                hooks = sys.get_asyncgen_hooks()
                sys.set_asyncgen_hooks(None, None)  # an event loop is to close this one, not both at once
                try:
                    step = steps.asend(None)
                finally:
                    sys.set_asyncgen_hooks(*hooks)
                while True:
                    try:
                        result = await self._awaited(step)
                    except StopAsyncIteration:
                        return
                    try:
                        step = steps.asend((yield result))
                    except GeneratorExit:
                        await self._awaited(steps.aclose())
                        raise
                    except BaseException as error:
                        step = steps.athrow(error)

        else:

            @wraps(function)
            def decorated(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return function(*args, **kwargs)

        return cast(F, decorated)

    def _stepwise(self, steps: Steps) -> Steps:
        """Run a generator, or what else has its methods, each step of it in the mode."""
        step, given = steps.send, None
        while True:
            try:
                with self:
                    result = step(given)
            except StopIteration as end:
                return end.value
            try:
                step, given = steps.send, (yield result)
            except GeneratorExit:
                with self:
                    steps.close()
                raise
            except BaseException as error:
                step, given = steps.throw, error

    def _awaited(self, steps: Any) -> Awaitable[Any]:
        return coroutine(self._stepwise)(steps)


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
    _enter(owner, off=NO_GRAD)
    try:
        yield bool(flags & NO_GRAD)
    finally:
        _leave(owner)


# What `detect_anomaly` looks at: nodes, which are defined above this module, and floats among operands.


def in_words(op: Op, operands: Sequence[Any]) -> str:
    """Return an operation with its operands' labels and data.

    >>> from micrograd_cn import Value, add
    >>> in_words(add, (Value(1, "x"), 2.0))
    'add(x=1.0, 2.0)'
    """
    shown = [f"{x.label}={x._data}" if getattr(x, "label", "") else str(getattr(x, "_data", x)) for x in operands]
    if len(shown) > 8:
        shown[4:-3] = ["..."]
    return f"{op.name}({', '.join(shown)})"


def check_value(op: Op, operands: Sequence[Any], data: float) -> None:
    """Raise inside `detect_anomaly()` if a result is not finite.

    Raises:
        FloatingPointError: it is not.

    >>> from micrograd_cn import log
    >>> check_value(log, (0.0,), log(0.0))  # silent outside
    """
    if current() & ANOMALY and not math.isfinite(data):
        raise FloatingPointError(f"{in_words(op, operands)} gave {data}")


def check_gradients(node: Any) -> None:
    """Raise inside `detect_anomaly()` if a gradient that a node sent to is not finite.

    Raises:
        FloatingPointError: one is not.

    >>> from micrograd_cn import Value
    >>> check_gradients(Value(1) * 2)
    """
    if not current() & ANOMALY:
        return
    for slot, (parent, partial) in enumerate(zip(node.parents, node.partials, strict=True)):
        if parent.requires_grad and not math.isfinite(parent.grad):
            name = f" {node.label!r}" if node.label else ""
            raise FloatingPointError(
                f"backward through{name} {in_words(node.op, node.parents)}: the gradient of operand {slot} became "
                f"{parent.grad}; upstream gradient {node.grad}, local derivative {partial}"
            )


def check_tangent(node: Any, tangent: Any) -> None:
    """Raise inside `detect_anomaly()` if a node's derivative in the direction of a `jvp` is not finite.

    Raises:
        FloatingPointError: it is not.

    >>> from micrograd_cn import Value
    >>> check_tangent(Value(0).sqrt(), math.inf)  # silent outside
    """
    if current() & ANOMALY and not math.isfinite(getattr(tangent, "data", tangent)):
        name = f" {node.label!r}" if node.label else ""
        raise FloatingPointError(
            f"jvp through{name} {in_words(node.op, node.parents)}: the tangent became {tangent}; "
            f"local derivatives {node.partials}"
        )
