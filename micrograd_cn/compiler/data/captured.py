"""Values that a function uses, computed before it was called: its program has a leaf for each, with its number now.

In plain Python such a value does not change when what it was computed from does, and a gradient that it gets goes on to
that. The program does the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from ...engine import Value, traverse
from ...graph.node import Node
from ..instructions.lowering import evaluation_order


class Captured(Value):
    """What stands for a value that was computed before.

    Attributes:
        of: the value.

    >>> w = Value(2)
    >>> c = Captured(w * 3)
    >>> c.data
    6.0
    """

    __slots__ = ("of",)

    def __init__(self, of: Value) -> None:
        self.of = of
        super().__init__(of._data, of.label)

    @property
    def _data(self) -> float:
        return self.of._data

    @_data.setter
    def _data(self, x: float) -> None:
        self.of._data = x


def shown(x: Any) -> str:
    """Return what something is called in a message.

    >>> shown(Value(2, "x")), shown(Value(2).exp()), shown(Value(2)), shown(2.0)
    ('x', 'exp(...)', 'a parameter', '2.0')
    """
    if not isinstance(x, Value):
        return repr(x)
    return x.label or (f"{x.op.name}(...)" if x.op else "a parameter")


def capture(
    roots: Sequence[Value], made: Collection[Value], known: dict[Value, Captured], inputs: Collection[Value] = ()
) -> list[Value]:
    """Return the roots of a graph with a leaf in the place of each value that is not among those made while recording.

    Args:
        roots: of the graph.
        made: the nodes that were made.
        known: leaves that stand for others, by these; to which new ones are added.
        inputs: numbers of the function's arguments.

    Raises:
        TypeError: a value was made of an input, and not while recording: in another thread.

    >>> w = Value(2)
    >>> c = w * 3
    >>> y = c * w
    >>> [z] = capture([y], {y}, {})
    >>> z.parents[0].of is c, z.parents[1] is w
    (True, True)
    """
    nodes = evaluation_order(roots)
    if all(node in made for node in nodes if node.op):
        return list(roots)
    found: dict[Any, Value] = {}

    def new(x: Any) -> Any:
        if type(x) is not float and x.op and x not in made:
            if x not in known:
                if not traverse(x)[1].isdisjoint(inputs):
                    raise TypeError(
                        f"{shown(x)} of an argument was computed in another thread, where nothing is recorded; compute "
                        "it in the thread that calls the function"
                    )
                known[x] = Captured(x)
            return known[x]
        return found.get(x, x)

    for node in nodes:
        if node.op and node in made and node not in found:
            operands = tuple([new(x) for x in node.operands])
            if any(x is not y for x, y in zip(operands, node.operands, strict=True)):
                found[node] = _with_operands(node, operands)
    return [new(root) for root in roots]


def _with_operands(node: Value, operands: tuple[Any, ...]) -> Value:
    """Return the same of a node with operands of the same numbers."""
    other = object.__new__(Value)
    for slot in Node.__slots__:
        setattr(other, slot, getattr(node, slot))
    if type(node._a) is tuple:
        other._a = operands
    else:
        other._a, other._b = (*operands, None)[:2]
    return other


def check_captured(trained: Iterable[Value], captured: Iterable[Captured]) -> None:
    """Raise ValueError if one of the values that are to be trained has its part in a captured one, which stays.

    >>> w = Value(2, "w")
    >>> check_captured([w], [Captured(w * 3)])
    Traceback (most recent call last):
    ValueError: fit(): the function uses mul(...), which was computed from w before it was called, and stays what it \
is; compute it in the function, or detach() it
    """
    for p in captured:
        leaves = traverse(p.of)[1]
        for x in trained:
            if x.requires_grad and (x is p or x in leaves):
                raise ValueError(
                    f"fit(): the function uses {shown(p.of)}, which was computed from {shown(x)} before it was "
                    "called, and stays what it is; compute it in the function, or detach() it"
                )
