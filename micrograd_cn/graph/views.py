"""`Views`: how a node is compared, shown, copied and traced, as Python, PyTorch and micrograd's notebooks expect it."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, SupportsIndex

from ..ops.number import number
from . import watching

__all__ = ["Views"]

A_ROW_INSTEAD = """\
Value() takes a number and a label: a node gets its operands and its _op from an operation, which is a row. Write
from micrograd_cn import Op, tanh
own = Op("own", lambda x: tanh(x), (lambda y, x: 1.0 - y * y,))  # the value, and the derivative of each operand
out = own(x)"""


def _comparison(holds: Callable[[float, float], bool], symbol: str) -> Callable[[Any, Any], bool]:
    """Return a comparison of data."""

    def compare(self: Any, other: Any) -> Any:
        try:
            held = holds(self._data, other._data if isinstance(other, Views) else number(other))
        except TypeError:
            return NotImplemented
        if watching.active and (by := watching.watcher()):
            by.compared(self, symbol, other, held)
        return held

    return compare


class Views:
    """What is read of a node with `_data`, `grad`, `label`, `op`, `parents` and `edges()`.

    >>> from micrograd_cn import Value
    >>> x = Value(3, "x")
    >>> x > 2, f"{x:.2f}", (x * x)._prev == {x}, (x * x)._op
    (True, '3.00', True, '*')
    """

    __slots__ = ()

    _data: float

    __lt__ = _comparison(float.__lt__, "<")
    __le__ = _comparison(float.__le__, "<=")
    __gt__ = _comparison(float.__gt__, ">")
    __ge__ = _comparison(float.__ge__, ">=")

    def item(self: Any) -> float:
        """Return the data, as PyTorch spells it.

        >>> from micrograd_cn import Value
        >>> Value(3).item()
        3.0
        """
        if watching.active:
            watching.read(self, ".item()")
        x: float = self._data
        return x

    @property
    def _prev(self: Any) -> set[Any]:
        """The operands, as micrograd's notebooks trace them."""
        return set(self.parents)

    @property
    def _op(self: Any) -> str:
        """The operation's symbol, as micrograd's notebooks show it."""
        return self.op.notation.symbol if self.op else ""

    def _backward(self: Any) -> None:
        """Send this node's gradient on to its operands, as micrograd's notebooks do by hand."""
        for x, partial in self.edges():
            x.grad = (x.grad or 0.0) + self.grad * partial  # PyTorch's habit is `x.grad = None`

    def __repr__(self: Any) -> str:
        label = f", label={self.label!r}" if self.label else ""
        return f"Value(data={self._data}, grad={self.grad}{label})"

    def __format__(self: Any, spec: str) -> str:
        if spec and watching.active:
            watching.read(self, "a formatted text")
        return format(self._data, spec) if spec else repr(self)

    def __reduce_ex__(self: Any, protocol: SupportsIndex) -> Any:
        if self.op:
            raise TypeError(
                f"cannot copy or pickle {self!r}, an interior node ({self.op.name}): "
                "its graph would come along; detach() it, or copy the leaves and compute it again"
            )
        if watching.active:
            watching.read(self, "a copy")
        return object.__reduce_ex__(self, max(2, operator.index(protocol)))  # older protocols do not know of slots
