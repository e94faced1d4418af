"""The set that the property `_prev` of a node returns: it can be read like any set, but not changed.

In micrograd, `_prev` is an attribute. Code may clear this set to cut a graph, or add operands to it. Here the property
makes a new set in each call, so a change of it would have no effect. It is an error instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

__all__ = ["NO_CHANGE", "OperandSet"]

NO_CHANGE = (
    "the operands of a Value cannot be changed; write x.detach() for a value through which no gradient flows to the "
    'operands of x, and give operands when a node is made, as in Value(data, (x,), "name")'
)


class OperandSet(set[Any]):
    """A set of operands. Its methods that would change it raise TypeError, and say what to write.

    What is made from it, as by `copy()`, `|` or `set(...)`, is an ordinary set.

    >>> from micrograd_cn import Value
    >>> x = Value(3)
    >>> (x * x)._prev == {x}, (x * x)._prev | {1} == {x, 1}
    (True, True)
    >>> (x * x)._prev.clear()
    Traceback (most recent call last):
    TypeError: _prev.clear(): the operands of a Value cannot be changed; write x.detach() for a value ...
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(set(self))

    def __reduce__(self) -> Any:
        return set, (list(self),)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__reduce__()


def _refused(name: str) -> Callable[..., NoReturn]:
    """Return a method that raises the error for a change of an `OperandSet` by its method `name`, such as "clear"."""

    def refuse(self: OperandSet, *others: Any) -> NoReturn:
        raise TypeError(f"_prev.{name}(): {NO_CHANGE}")

    refuse.__name__ = name
    return refuse


for _name in set(dir(set)).difference(dir(frozenset)):  # those that change a set, as `add` and `__ior__` do
    setattr(OperandSet, _name, _refused(_name))
