"""Captured values: interior nodes that a compiled function uses, but that were computed before the function's call.

The program has a leaf in place of each captured value. The leaf has the data that the captured value has at the
time of the call. As in plain Python, the captured value keeps its number when the data of its operands change. The
gradient of the leaf is passed on to the captured value, whose own `backward()` continues from there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from typing import Any

from ...engine import Value, constant, traverse
from ...graph.node import Node
from ..instructions.graph import evaluation_order


class CapturedValue(Value):
    """A leaf that stands, in a program, for a node that was computed before the compiled function was called.

    Such a node is called a captured value. The data of the leaf are those of the node.

    Attributes:
        original: the captured value.

    >>> w = Value(2)
    >>> c = CapturedValue(w * 3)
    >>> c.data
    6.0
    """

    __slots__ = ("original",)

    def __init__(self, original: Value) -> None:
        self.original = original
        super().__init__(original._data, original.label)

    @property
    def _data(self) -> float:
        return self.original._data

    @_data.setter
    def _data(self, x: float) -> None:
        self.original._data = x


def describe(x: Any) -> str:
    """Return the text by which error messages name `x`.

    This is the label of a node, its operation if it has no label, or "a parameter" if it has neither. For anything else
    it is the `repr`.

    >>> describe(Value(2, "x")), describe(Value(2).exp()), describe(Value(2)), describe(2.0)
    ('x', 'exp(...)', 'a parameter', '2.0')
    """
    if not isinstance(x, Value):
        return repr(x)
    return x.label or (f"{x.op.name}(...)" if x.op else "a parameter")


def capture(
    roots: Sequence[Value],
    recorded: Collection[Value],
    captured: dict[Value, CapturedValue],
    made_elsewhere: Collection[int] = (),
) -> list[Value]:
    """Copy a graph, with a leaf in place of each captured value, and return the roots of the copy.

    An interior node is a captured value if it was computed before the function was recorded. Nodes that do not depend
    on a captured value are not copied.

    Args:
        roots: the roots of the graph.
        recorded: the nodes that were made while the function was recorded.
        captured: a dict from captured values to the leaves that replace them. New leaves are added to it.
        made_elsewhere: the addresses of the nodes that other threads have made while the function was recorded.

    Raises:
        TypeError: the graph has a node that another thread made while the function was recorded. A program would not
            compute it again.

    >>> w = Value(2)
    >>> c = w * 3
    >>> y = c * w
    >>> [z] = capture([y], {y}, {})
    >>> z.parents[0].original is c, z.parents[1] is w
    (True, True)
    """
    nodes = evaluation_order(roots)
    if all(node in recorded for node in nodes if node.op):
        return list(roots)
    copies: dict[Any, Value] = {}

    def replacement(x: Any) -> Any:
        if type(x) is not float and x.op and x not in recorded:
            if x not in captured:
                if id(x) in made_elsewhere:
                    raise TypeError(
                        f"{describe(x)} was computed in another thread while the function was recorded, and would be "
                        "the same number in all calls; compute it in the thread that calls the function"
                    )
                captured.setdefault(x, CapturedValue(x))  # another thread may have added one in the meantime
            return captured[x]
        return copies.get(x, x)

    _copy_changed([node for node in nodes if node in recorded], copies, replacement)
    return [replacement(root) for root in roots]


def with_kept_constants(roots: Sequence[Value], constants: Mapping[Value, float]) -> list[Value]:
    """Copy a graph, with new leaves in place of constants that have changed, and return the roots of the copy.

    A program keeps the data that its constants had when it was made. A constant has changed if it has other data now,
    or requires a gradient. Nodes that depend on no such constant are not copied.

    Args:
        roots: the roots of the graph.
        constants: a dict from the constants to the data that the new leaves get.

    >>> x, c = Value(2), Value(3, requires_grad=False)
    >>> y = x * c
    >>> with_kept_constants([y], {c: 3.0}) == [y]
    True
    >>> [z] = with_kept_constants([y], {c: 5.0})
    >>> z.parents[0] is x, z.parents[1].data
    (True, 5.0)
    """
    changed = {
        x: data
        for x, data in constants.items()
        if x.requires_grad or (x._data is not data and repr(x._data) != repr(data))
    }
    return with_leaves(roots, {x: constant(data) for x, data in changed.items()})


def with_leaves(roots: Sequence[Value], leaves: Mapping[Value, Value]) -> list[Value]:
    """Copy a graph, with other leaves in place of some of its leaves, and return the roots of the copy.

    Nodes that depend on none of these leaves are not copied. `leaves` is a dict from leaves to those that replace them.

    >>> w, x, other = Value(2), Value(3), Value(2)
    >>> [z] = with_leaves([w * x], {w: other})
    >>> z.parents == (other, x)
    True
    """
    if not leaves:
        return list(roots)
    copies: dict[Any, Value] = {**leaves}
    _copy_changed(evaluation_order(roots), copies, lambda x: copies.get(x, x))
    return [copies.get(root, root) for root in roots]


def with_folded(roots: Sequence[Value], exempt: Container[Value] = ()) -> list[Value]:
    """Copy a graph as it would be recorded now, if some of its leaves have been frozen since.

    An operation whose operands all require no gradient gives a constant, which has the number for the present data of
    the leaves. Nodes that depend on no such operation are not copied. Leaves in `exempt` count as if they required a
    gradient.

    >>> x, w = Value(2), Value(3)
    >>> y = x * (w * w)
    >>> with_folded([y]) == [y]
    True
    >>> w.requires_grad = False
    >>> [z] = with_folded([y])
    >>> z.parents[0] is x, z.parents[1].data, z.parents[1].op
    (True, 9.0, None)
    """
    nodes, copies = evaluation_order(roots), dict[Any, Value]()
    for node in nodes:
        if node.op:
            operands = [copies.get(x, x) if isinstance(x, Value) else x for x in node.operands]
            if not any(isinstance(x, Value) and (x.op or x.requires_grad or x in exempt) for x in operands):
                numbers = [x._data if isinstance(x, Value) else x for x in operands]
                copies[node] = constant(node.op.evaluate(*numbers))
    if not copies:
        return list(roots)
    _copy_changed(nodes, copies, lambda x: copies.get(x, x))
    return [copies.get(root, root) for root in roots]


def _copy_changed(nodes: Iterable[Value], copies: dict[Any, Value], replacement: Callable[[Any], Any]) -> None:
    """Copy those nodes that have an operand which is replaced, and add the copies to a dict.

    Args:
        nodes: the nodes, operands first. Leaves among them are left alone.
        copies: a dict from nodes to their copies. A node that is in it already is not copied.
        replacement: a function that takes an operand of a node, and returns the operand of the node's copy: the same
            object if it is not replaced, its copy in `copies`, or another node.
    """
    for node in nodes:
        if node.op and node not in copies:
            operands = tuple([replacement(x) for x in node.operands])
            if any(x is not y for x, y in zip(operands, node.operands, strict=True)):
                copies[node] = _copy_with_operands(node, operands)


def _copy_with_operands(node: Value, operands: tuple[Any, ...]) -> Value:
    """Return a copy of `node` with the operands `operands`, which must have the data of the operands of `node`."""
    other = object.__new__(Value)
    for slot in Node.__slots__:
        setattr(other, slot, getattr(node, slot))
    if type(node._a) is tuple:
        other._a = operands
    else:
        other._a, other._b = (*operands, None)[:2]
    return other


def check_captured(trained: Iterable[Value], captured: Iterable[CapturedValue]) -> None:
    """Raise ValueError if a parameter to be trained is a captured value, or if a captured value was computed from it.

    A captured value is a node that a compiled function uses, but that was computed before the call.

    A training step would change the parameter, but not the number that was computed from the parameter before.

    >>> w = Value(2, "w")
    >>> check_captured([w], [CapturedValue(w * 3)])
    Traceback (most recent call last):
    ValueError: fit(): the function uses mul(...), which was computed from w before it was called, so training w would \
not change it; compute it in the function, or detach() it
    """
    for p in captured:
        leaves = traverse(p.original)[1]
        for x in trained:
            if x.requires_grad and (x is p or x in leaves):
                raise ValueError(
                    f"fit(): the function uses {describe(p.original)}, which was computed from {describe(x)} before it "
                    f"was called, so training {describe(x)} would not change it; compute it in the function, or "
                    "detach() it"
                )
