"""Comparisons of values, by which Python code branches where no graph shows it: whoever records one may listen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock
from typing import Any, TypeAlias

__all__ = ["Listener", "comparisons", "tell"]

Listener: TypeAlias = Callable[[Any, str, Any, bool], object]

_listeners: ContextVar[tuple[Listener, ...]] = ContextVar("micrograd_cn_listeners", default=())
_lock = Lock()
listening = 0  # how many `with` blocks there are in all threads; while it is 0, there is nobody to tell


@contextmanager
def comparisons(listener: Listener) -> Iterator[None]:
    """Tell a function of every comparison of values inside the `with` block: a, "<", b, and whether it holds.

    >>> from micrograd_cn import Value
    >>> with comparisons(print):
    ...     max(Value(1), Value(2)).data
    Value(data=2.0, grad=0.0) > Value(data=1.0, grad=0.0) True
    2.0
    """
    global listening
    token = _listeners.set((*_listeners.get(), listener))
    with _lock:
        listening += 1
    try:
        yield
    finally:
        _listeners.reset(token)
        with _lock:
            listening -= 1


def tell(a: Any, symbol: str, b: Any, holds: bool) -> None:
    """Tell those who listen in this thread and this async task of a comparison.

    >>> tell(1.0, "<", 2.0, True)  # nobody does
    """
    for listener in _listeners.get():
        listener(a, symbol, b, holds)
