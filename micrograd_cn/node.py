"""`Node`: what a node of a computation graph keeps, and how it is read, shown and copied."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Self, SupportsFloat, SupportsIndex

from . import branches
from .operation import Op, number
from .operators import Operators

__all__ = ["Group", "Node"]

A_ROW_INSTEAD = """\
Value() takes a number and a label: a node gets its operands and its _op from an operation, which is a row. Write
from micrograd_cn import Op, tanh
own = Op("own", lambda x: tanh(x), (lambda y, x: 1.0 - y * y,))  # the value, and the derivative of each operand
out = own(x)"""


def _comparison(holds: Callable[[float, float], bool], symbol: str) -> Callable[[Node, Any], bool]:
    """Return a comparison of data."""

    def compare(self: Node, other: Any) -> Any:
        try:
            held = holds(self._data, other._data if isinstance(other, Node) else number(other))
        except TypeError:
            return NotImplemented
        if branches.listening:
            branches.tell(self, symbol, other, held)
        return held

    return compare


class Group:
    """A part of a computation, of a network or one that a user named: a name, and the larger part that it is in.

    >>> str(Group("neurons.0", Group("layers.1")))
    'layers.1.neurons.0'
    """

    __slots__ = ("name", "of", "outer", "parts", "scope")

    def __init__(self, name: str, outer: Group | None = None, scope: bool = False, of: Group | None = None) -> None:
        self.name = name
        self.outer = outer
        self.scope = scope  # whether a user named it
        self.of = of or self  # the network's part that this is inside a scope
        self.parts: dict[Group, Group] = {}  # of networks, as they are inside this scope

    def __str__(self) -> str:
        return f"{self.outer}.{self.name}" if self.outer else self.name


class Node(Operators):
    """Keep a number, the operation that made it, its operands and its local derivatives: one object.

    Args:
        data: a real number.
        label: a name, for messages and drawings.

    Attributes:
        data: the number, a float; any real number may be assigned.
        grad: the gradient with respect to this value of what `backward()` was called on; 0.0 before.
        op: the operation that made it, None for a leaf.
        parents: its operands, one entry an operand slot: `a + a` has two.
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
    >>> node.data, node.op, node.parents, node.partials
    (6.0, <operation mul>, (Value(data=3.0, grad=0.0, label='x'), Value(data=2.0, grad=0.0)), (2.0, 0.0))
    """

    # Python's garbage collector passes through every object again and again, and finds nothing in a graph. So a node of
    # one or two operands is one object: _a and _b are the operands, _da and _db the partials, a number among the
    # operands stays a float until somebody asks for its node, a partial is None where no gradient flows. If there are
    # more operands, _a is the tuple of the nodes, _b the tuple of the partials, and _da and _db are None.
    __slots__ = ("_a", "_b", "_da", "_data", "_db", "grad", "group", "label", "op", "requires_grad")

    _data: float
    grad: float
    op: Op | None
    _a: Any
    _b: Any
    _da: float | None
    _db: float | None
    label: str
    group: Group | None
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

    @property
    def data(self) -> float:
        """The number."""
        return self._data

    @data.setter
    def data(self, x: SupportsFloat) -> None:
        self._data = number(x)

    @property
    def parents(self) -> tuple[Self, ...]:
        """The operands; a number among them has a constant node from now on."""
        if type(self._a) is float:
            self._a = self._constant(self._a)
        if type(self._b) is float:
            self._b = self._constant(self._b)
        return self._operands

    @property
    def _operands(self) -> tuple[Any, ...]:
        """The operands; a number among them is a float."""
        a, b = self._a, self._b
        return a if type(a) is tuple else () if a is None else (a,) if b is None else (a, b)

    @property
    def partials(self) -> tuple[float, ...]:
        """The derivative with respect to each operand."""
        if type(self._a) is tuple:
            partials = self._b
        else:
            partials = () if self._a is None else (self._da,) if self._b is None else (self._da, self._db)
        return tuple([0.0 if p is None else p for p in partials]) if None in partials else partials

    def _edges(self) -> list[tuple[Self, float]]:
        """Return the operands to which a gradient flows, each with its partial."""
        several = type(self._a) is tuple
        edges = zip(self._a, self._b, strict=True) if several else ((self._a, self._da), (self._b, self._db))
        return [(x, partial) for x, partial in edges if partial is not None and x.requires_grad]

    @classmethod
    def _constant(cls, x: SupportsFloat) -> Self:
        """Return a leaf that gets no gradient.

        >>> from micrograd_cn.engine import constant
        >>> constant(2).requires_grad
        False
        """
        leaf = cls(x)
        leaf.requires_grad = False
        return leaf

    __lt__ = _comparison(float.__lt__, "<")
    __le__ = _comparison(float.__le__, "<=")
    __gt__ = _comparison(float.__gt__, ">")
    __ge__ = _comparison(float.__ge__, ">=")

    def item(self) -> float:
        """Return the data, as PyTorch spells it.

        >>> from micrograd_cn import Value
        >>> Value(3).item()
        3.0
        """
        return self._data

    @property
    def _prev(self) -> set[Self]:
        """The operands, as micrograd's notebooks trace them."""
        return set(self.parents)

    @property
    def _op(self) -> str:
        """The operation's symbol, as micrograd's notebooks show it."""
        return self.op.symbol if self.op else ""

    def __repr__(self) -> str:
        label = f", label={self.label!r}" if self.label else ""
        return f"Value(data={self._data}, grad={self.grad}{label})"

    def __format__(self, spec: str) -> str:
        return format(self._data, spec) if spec else repr(self)

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        if self.op:
            raise TypeError(
                f"cannot copy or pickle {self!r}, an interior node ({self.op.name}): "
                "its graph would come along; detach() it, or copy the leaves and compute it again"
            )
        return super().__reduce_ex__(max(2, operator.index(protocol)))  # older protocols do not know of slots
