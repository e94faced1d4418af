"""What no graph shows, such as comparisons by which Python code branches: whoever records a function may watch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import Any

from ..ops.operation import Op

__all__ = ["Watcher", "detached", "given", "made_constant", "read", "stopped", "watched", "watcher"]


class Watcher:
    """Is told of what no graph shows, in this thread and this async task; a subclass does something about it.

    >>> class Printer(Watcher):
    ...     def compared(self, a, symbol, b, holds):
    ...         print(a.data, symbol, b.data, holds)
    >>> from micrograd_cn import Value
    >>> with watched(Printer()):
    ...     max(Value(1), Value(2)).data
    2.0 > 1.0 True
    2.0
    """

    def compared(self, a: Any, symbol: str, b: Any, holds: bool) -> None:
        """Be told that `a` is compared with `b`, by "<" or the like, and whether that holds."""

    def read(self, x: Any, how: str) -> None:
        """Be told that a value's number is going to be read, by ".data", ".item()" or as a formatted text."""

    def given(self, x: Any) -> None:
        """Be told that a value is going to be given another number."""

    def detached(self, x: Any) -> Any:
        """Return what `x.detach()` gives; None for a constant."""

    def stopped(self, op: Op, operands: Sequence[Any]) -> Any:
        """Return what an operation gives inside `no_grad()`; None for a constant."""

    def made_constant(self, operands: Sequence[Any]) -> None:
        """Be told of operands of which none requires a gradient, so that an operation gives a constant."""

    def new(self, kind: Any) -> Any:
        """Return an object for a node that an operation makes."""
        return object.__new__(kind)


_watcher: ContextVar[Watcher | None] = ContextVar("micrograd_cn_watcher", default=None)
_lock = Lock()
_blocks = 0  # of watchers and of scopes, in all threads
active = False  # whether there are some; else nobody need ask
given_data = True  # whether some node was, since somebody who copies data asked last


@contextmanager
def watched(by: Watcher) -> Iterator[None]:
    """Let `by` watch inside the `with` block, instead of who does so around it.

    >>> by = Watcher()
    >>> with watched(by):
    ...     watcher() is by
    True
    """
    token = _watcher.set(by)
    with counted():
        try:
            yield
        finally:
            _watcher.reset(token)


@contextmanager
def counted() -> Iterator[None]:
    """Count a `with` block by which new nodes may be others.

    >>> from micrograd_cn.graph import watching
    >>> with counted():
    ...     watching.active
    True
    """
    _count(1)
    try:
        yield
    finally:
        _count(-1)


def watcher() -> Watcher | None:
    """Return who watches here.

    >>> watcher() is None
    True
    """
    return _watcher.get()


def new(kind: Any) -> Any:
    """Return the object for a node that an operation makes.

    >>> from micrograd_cn import Value
    >>> type(new(Value)) is Value
    True
    """
    by = _watcher.get()
    return by.new(kind) if by else object.__new__(kind)


def given(x: Any) -> None:
    """Tell who watches that a value is going to be given another number.

    >>> given(1.0)  # nobody watches
    """
    if by := _watcher.get():
        by.given(x)


def read(x: Any, how: str) -> None:
    """Tell who watches that a value's number is going to be read.

    >>> read(1.0, ".data")  # nobody watches
    """
    if by := _watcher.get():
        by.read(x, how)


def detached(x: Any) -> Any:
    """Return what who watches makes of a detached value; None for a constant.

    >>> detached(1.0)  # nobody watches
    """
    by = _watcher.get()
    return by.detached(x) if by else None


def stopped(op: Op, operands: Sequence[Any]) -> Any:
    """Return what who watches makes of an operation inside `no_grad()`; None for a constant.

    >>> from micrograd_cn import exp
    >>> stopped(exp, (1.0,))  # nobody watches
    """
    by = _watcher.get()
    return by.stopped(op, operands) if by else None


def made_constant(operands: Sequence[Any]) -> None:
    """Tell who watches that an operation gives a constant.

    >>> made_constant((1.0,))  # nobody watches
    """
    if by := _watcher.get():
        by.made_constant(operands)


def _count(change: int) -> None:
    global _blocks, active
    with _lock:
        _blocks += change
        active = _blocks > 0
