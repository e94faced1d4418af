"""What no graph shows, comparisons by which Python code branches and `detach()`: whoever records one may listen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import Any, TypeAlias

__all__ = ["Listener", "comparisons", "keeps", "stopped", "tell"]

Listener: TypeAlias = Callable[[Any, str, Any, bool], object]
Stop: TypeAlias = Callable[[Any], Any]

_listeners: ContextVar[tuple[Listener, ...]] = ContextVar("micrograd_cn_listeners", default=())
_stop: ContextVar[Stop | None] = ContextVar("micrograd_cn_stop", default=None)
_lock = Lock()
listening = 0  # how many `with` blocks there are in all threads; while it is 0, there is nobody to tell


@contextmanager
def comparisons(listener: Listener, stop: Stop | None = None) -> Iterator[None]:
    """Tell a function of every comparison of values inside the `with` block: a, "<", b, and whether it holds.

    There `stop` returns what `detach()` and `no_grad()` make of a value; without it, or if it is None, a constant.

    >>> from micrograd_cn import Value
    >>> with comparisons(print):
    ...     max(Value(1), Value(2)).data
    Value(data=2.0, grad=0.0) > Value(data=1.0, grad=0.0) True
    2.0
    """
    global listening
    token, token_of_stop = _listeners.set((*_listeners.get(), listener)), _stop.set(stop)
    with _lock:
        listening += 1
    try:
        yield
    finally:
        _listeners.reset(token)
        _stop.reset(token_of_stop)
        with _lock:
            listening -= 1


def tell(a: Any, symbol: str, b: Any, holds: bool) -> None:
    """Tell those who listen in this thread and this async task of a comparison.

    >>> tell(1.0, "<", 2.0, True)  # nobody does
    """
    for listener in _listeners.get():
        listener(a, symbol, b, holds)


def keeps() -> bool:
    """Return whether those who listen here compute anew what is detached.

    >>> keeps()  # nobody does
    False
    """
    return _stop.get() is not None


def stopped(x: Any) -> Any:
    """Return what those who listen here make of a value through which no gradient is to flow; None for a constant.

    >>> stopped(1.0)  # nobody does
    """
    stop = _stop.get()
    return stop(x) if stop else None
