"""Parameters' numbers, read again only if they may have changed, and the gradients that are added to them."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from threading import Lock

from ...engine import Value
from ...graph import context
from .captured import CapturedValue

_lock = Lock()
_version = 0


class CachedData:
    """The data of some nodes, read again only if any node has been given data since: the same array until then.

    >>> x = Value(1)
    >>> data = CachedData([x])
    >>> before = data()
    >>> data() is before
    True
    >>> x.data = 2
    >>> before, data()
    (array('d', [1.0]), array('d', [2.0]))
    """

    def __init__(self, nodes: Sequence[Value]) -> None:
        self._nodes = nodes
        self._cached = -1, array("d")  # of which version, and the numbers

    def __call__(self) -> array[float]:
        """Return the data."""
        version, numbers = self._cached
        if version != (now := _data_version()):
            numbers = array("d", [p._data for p in self._nodes])
            self._cached = now, numbers
        return numbers


def _data_version() -> int:
    """Return a number that is another one once some node has been given data."""
    global _version
    if context.data_changed:
        with _lock:
            _version += 1
            context.data_changed = False  # last: data written until now belong to the new version, which is read next
    return _version


def add_gradients(parameters: Iterable[Value], gradients: Iterable[float], weight: float = 1.0) -> None:
    """Add gradients, times a weight, to the `grad` of parameters; of a captured value, as its `backward()` does.

    >>> w = Value(2)
    >>> add_gradients([w, CapturedValue(w * 3)], [1.0, 10.0]); w.grad
    31.0
    """
    for p, gradient in zip(parameters, gradients, strict=True):
        if type(p) is CapturedValue:
            if p.original.requires_grad:
                p.original.backward(weight * gradient)
        elif p.requires_grad:  # it may have been frozen since
            p.grad = (p.grad or 0.0) + weight * gradient
