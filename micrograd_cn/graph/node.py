"""`Node`: what a node of a computation graph keeps, and how it is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self, SupportsFloat

from ..ops.number import number
from ..ops.operation import Op
from . import scopes, watching
from .operators import Operators
from .views import A_ROW_INSTEAD, Views

__all__ = ["Node"]


class Node(Operators, Views):
    """Keep a number, the operation that made it, its operands and its local derivatives: one object.

    Args:
        data: a real number.
        label: a name, for messages and drawings.

    Attributes:
        data: the number, a float; any real number may be assigned.
        grad: the gradient with respect to this value of what `backward()` was called on; 0.0 before.
        op: the operation that made it, None for a leaf.
        operands: what it was made of, one entry an operand slot: `a + a` has two. A number among them is a float.
        parents: the operands as nodes: a number among them becomes a constant node when they are first asked for.
        partials: the derivative with respect to each operand, captured when the node was made; 0.0 for a constant
            operand where it would have taken work.
        label: the name.
        requires_grad: False for a constant (a number that an operator wrapped, a detached value): it gets no gradient,
            and no work is spent on one.
        group: the neuron or the `scope` that it belongs to, by which pictures fold; None for none.

    Raises:
        TypeError: `data` is not a real number, or `label` is not a str.

    >>> from micrograd_cn import Value
    >>> node = Value(3, "x") * 2
    >>> node.data, node.op, node.operands, node.partials
    (6.0, <operation mul>, (Value(data=3.0, grad=0.0, label='x'), 2.0), (2.0, 0.0))
    """

    # Python's garbage collector passes through every object again and again, and finds nothing in a graph. So a node of
    # one or two operands is one object: _a and _b are the operands, _da and _db the partials, a partial is None where
    # no gradient flows. Of any other number of operands, _a is the tuple of the nodes and _b that of the partials.
    __slots__ = ("_a", "_b", "_da", "_data", "_db", "grad", "group", "label", "op", "requires_grad")

    _data: float
    grad: float
    op: Op | None
    _a: Any
    _b: Any
    _da: float | None
    _db: float | None
    label: str
    group: scopes.Group | None
    requires_grad: bool

    def __init__(
        self, data: SupportsFloat, label: str = "", *made_by: object, _children: object = None, _op: object = None
    ) -> None:
        if isinstance(data, Node):
            raise TypeError("Value() takes a number, got a Value; use it as it is, or .detach() it for a constant")
        if made_by or _children is not None or _op is not None or isinstance(label, (tuple, list, set)):
            raise TypeError(A_ROW_INSTEAD)
        if not isinstance(label, str):
            raise TypeError(f"a label must be a str, got {type(label).__name__} {label!r}")
        self._data = number(data)
        self.grad = 0.0
        self.op = None
        self._a = self._b = self._da = self._db = None
        self.label = label
        self.group = None
        self.requires_grad = True

    @classmethod
    def _constant(cls, x: SupportsFloat) -> Self:
        leaf = cls(x)
        leaf.requires_grad = False
        return leaf

    @classmethod
    def _made_by(cls, op: Op, data: float, operands: Sequence[Any], partials: Sequence[float | None]) -> Self:
        """Return the node that an operation made of nodes and floats; a partial is None where no gradient flows."""
        node: Self = watching.new(cls)
        Node.__init__(node, data)
        node.op = op
        node.group = scopes.current()
        if op.arity in (1, 2):
            node._a, node._b = (*operands, None)[:2]
            node._da, node._db = (*partials, None)[:2]
        else:
            node._a = tuple([x if isinstance(x, Node) else cls._constant(x) for x in operands])
            node._b = tuple(partials)
        return node

    @property
    def data(self) -> float:
        """The number."""
        if watching.active:
            watching.read(self, ".data")
        return self._data

    @data.setter
    def data(self, x: SupportsFloat) -> None:
        if watching.active:
            watching.given(self)
        self._data = number(x)
        watching.given_data = True

    @property
    def operands(self) -> tuple[Any, ...]:
        """The operands; a number among them is a float."""
        a, b = self._a, self._b
        return a if type(a) is tuple else () if a is None else (a,) if b is None else (a, b)

    @property
    def parents(self) -> tuple[Self, ...]:
        """The operands; a number among them becomes a constant node when they are first asked for."""
        if type(self._a) is float:
            self._a = self._constant(self._a)
        if type(self._b) is float:
            self._b = self._constant(self._b)
        return self.operands

    @property
    def partials(self) -> tuple[float, ...]:
        """The derivative with respect to each operand."""
        return tuple([0.0 if partial is None else partial for partial in self._partials])

    @property
    def _partials(self) -> tuple[float | None, ...]:
        if type(self._a) is tuple:
            partials: tuple[float | None, ...] = self._b
            return partials
        return () if self._a is None else (self._da,) if self._b is None else (self._da, self._db)

    def edges(self) -> list[tuple[Self, float]]:
        """Return the operands to which a gradient flows, each with its partial.

        >>> from micrograd_cn import Value
        >>> x = Value(3)
        >>> (x * x).edges() == [(x, 3.0), (x, 3.0)], (x * 2).edges() == [(x, 2.0)]
        (True, True)
        """
        slots = zip(self.operands, self._partials, strict=True)
        return [(x, partial) for x, partial in slots if partial is not None and x.requires_grad]
