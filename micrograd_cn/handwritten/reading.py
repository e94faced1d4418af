"""Read the graph of somebody's own `Value` class, and make a graph of this package's `Value`s with the same numbers.

The new graph has the same data, and the gradients that somebody's class has computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from ..engine import Value, record, topological_order
from ..graph.closures import Closure
from ..graph.context import recording
from ..ops.number import number
from .opaque import Opaque
from .recognition import Operand, Rows, explained, unit_of

__all__ = ["GraphNode", "Handwritten", "is_handwritten", "without_closures"]

# The attributes in which micrograd, our tutorial and microgpt keep a node's operands and local derivatives.
OPERANDS = ("_prev", "parents", "_children")
PARTIALS = ("partials", "_local_grads")


class GraphNode(Protocol):
    """A node that can be drawn: a `Value`, or a node of somebody's own class.

    A node of somebody's own class also needs the attributes that `is_handwritten` lists.

    >>> def print_data(node: GraphNode) -> None:
    ...     print(node.data)
    >>> print_data(Value(2.0))
    2.0
    """

    data: Any
    grad: Any


def is_handwritten(x: object) -> bool:
    """Return whether `x` is a node of somebody's own `Value` class that can be drawn.

    Such a node has `data`, `grad`, its operands in `_prev` (or in `parents` or `_children`), and the name of its
    operation in `_op`. Instead of the name, it may have its local derivatives in `partials` (or in `_local_grads`).

    >>> class Mine:
    ...     def __init__(self, data, _prev=(), _op=""):
    ...         self.data, self.grad, self._prev, self._op = data, 0.0, _prev, _op
    >>> is_handwritten(Mine(2.0)), is_handwritten(2.0), is_handwritten(Value(2.0))
    (True, False, False)
    """
    if isinstance(x, (Value, type)):
        return False
    known = hasattr(x, "data") and hasattr(x, "grad") and any(hasattr(x, name) for name in OPERANDS)
    return known and any(hasattr(x, name) for name in ("_op", *PARTIALS))


class Handwritten:
    """The graph of a node of somebody's own `Value` class, made of `Value`s of this package ("our" nodes).

    Each of our nodes stands for one of their nodes. Our node has the label and the data of their node, and the gradient
    that their class computed. The operation of our node is one of this package that computes the same data from the
    operands. It is found by the name in `_op`, such as "tanh", or, if their class keeps no names, by the local
    derivatives that their node keeps. If none is found, it is an `Opaque` operation.

    Args:
        root: a node that `is_handwritten` accepts.

    Attributes:
        root: our node that stands for the argument `root`.
        unit: the rounding unit of the type of the numbers: 2**-52 for floats.

    Raises:
        TypeError: a node has no number, or operands that are neither nodes nor numbers.
        ValueError: a node depends on itself.

    >>> class Mine:
    ...     def __init__(self, data, _prev=(), _op=""):
    ...         self.data, self.grad, self._prev, self._op = data, 0.0, set(_prev), _op
    >>> a = Mine(3.0)
    >>> Handwritten(Mine(6.0, (a, a), "+")).root.partials
    (1.0, 1.0)
    """

    def __init__(self, root: Any) -> None:
        self.unit = unit_of(root.data)
        # Their node and ours, by the id() of theirs, which stays unique only as long as their node is kept alive.
        self._nodes: dict[int, tuple[Any, Value]] = {}
        rows = Rows()
        with recording():
            for theirs, operands in _operands_first(root):
                self._nodes[id(theirs)] = theirs, self._read(theirs, operands, rows)
        self.root = self._nodes[id(root)][1]

    def of(self, theirs: object) -> Value | None:
        """Return the `Value` that stands for `theirs`, a node of somebody's own engine, or None if there is none."""
        found = self._nodes.get(id(theirs))
        return found[1] if found else None

    def _read(self, theirs: Any, kept: Sequence[Any], rows: Rows) -> Value:
        data = _number(theirs, "data")
        label = getattr(theirs, "label", "")
        label = label if isinstance(label, str) else ""
        if kept:
            known = [self.of(x) for x in kept]
            operands: list[Operand] = [number(x) if node is None else node for x, node in zip(kept, known, strict=True)]
            ordered = not isinstance(_kept_as(theirs)[1], (set, frozenset))
            text, claimed = getattr(theirs, "_op", None), _partials_of(theirs, len(kept)) if ordered else None
            text = text if isinstance(text, str) and text else None if claimed else "?"
            op, operands[:] = explained(rows, text, data, operands, ordered, claimed, self.unit)
            node = record(op, operands)
            node.data = data
            node.label = label
        else:
            node = Value(data, label)
        node.grad = _number(theirs, "grad")
        return node


def without_closures(root: Value) -> Value:
    """Return a copy of the graph of `root` in which no node has a `_backward` that a user has written.

    The local derivatives of a node with such a `_backward` come from the user's function, which is to be checked. So
    the copy of the node has the operation that its `_op`, such as "tanh", stands for, if this operation computes the
    node's data from its operands. If there is none, the copy has an `Opaque` operation, whose local derivatives are
    unknown. All other nodes keep their operation and local derivatives, and all nodes keep data, label and gradient. If
    the graph has no node of this kind, `root` itself is returned.

    >>> x = Value(3)
    >>> y, wrong = Value(-3, (x,), "neg"), Value(6, (x,), "neg")  # nodes that are made as micrograd makes them
    >>> without_closures(y).partials, without_closures(wrong).partials, without_closures(x) is x
    ((-1.0,), (nan,), True)
    """
    order = topological_order(root)
    if not any(isinstance(node.op, Closure) for node in order):
        return root
    rows, unit, copies = Rows(), 2.0**-52, dict[Value, Value]()

    def copy_of(x: Any) -> Any:
        if isinstance(x, Value) and x not in copies:
            copies[x] = Value(x.data, x.label, requires_grad=x.requires_grad)
            copies[x].grad = x.grad
        return copies[x] if isinstance(x, Value) else x

    with recording():
        for node in reversed(order):
            operands = [copy_of(x) for x in node.operands]
            assert node.op
            if isinstance(node.op, Closure):
                symbol = node.op.notation.symbol or "?"
                op, chosen = explained(rows, symbol, node.data, operands, False, None, unit)
                if isinstance(op, Opaque):  # a constant may be in the name, like the 2 of "**2", and an operand as well
                    variables = [x for x in operands if x.requires_grad]
                    again = explained(rows, symbol, node.data, variables, False, None, unit)
                    op, chosen = (op, chosen) if isinstance(again[0], Opaque) else again
                copy = record(op, chosen)
                copy.data = node.data
            else:
                copy = Value._made_by(node.op, node.data, operands, node._partials)
            copy.label, copy.grad = node.label, node.grad
            copies[node] = copy
    return copies[root]


def operands_of(node: Any) -> Sequence[Any]:
    """Return the operands that a node of somebody's own class keeps. A set is sorted by labels and data.

    Raises:
        TypeError: the operands are not in a set, a tuple or a list, or one of them is neither a node nor a number.
    """
    kind = type(node).__name__
    name, operands = _kept_as(node)
    if operands is None:
        return ()
    if not isinstance(operands, (set, frozenset, tuple, list)):
        raise TypeError(f"{kind}.{name} must be a set, a tuple or a list of operands, got {type(operands).__name__}")
    for x in operands:
        if isinstance(x, Value) or not (is_handwritten(x) or hasattr(x, "__float__")):
            raise TypeError(f"{kind}.{name} has a {type(x).__name__}, which is neither a node like it nor a number")
    return operands if isinstance(operands, (tuple, list)) else sorted(operands, key=_place)


def _kept_as(node: Any) -> tuple[str, Any]:
    """Return the name of the attribute in which `node` has its operands, such as "_prev", and the attribute itself."""
    return next((name, getattr(node, name)) for name in OPERANDS if hasattr(node, name))


def _place(x: Any) -> tuple[bool, str, str]:
    """Return a key by which the operands in a set are sorted, so a graph is drawn in the same way each time.

    `x` is an operand. Those with a label come first, sorted by label and then by data.
    """
    label = str(getattr(x, "label", ""))
    return not label, label, repr(getattr(x, "data", x))


def _partials_of(node: Any, count: int) -> tuple[float, ...] | None:
    """Return the local derivatives that `node` keeps, or None if it does not keep one for each of `count` operands."""
    kept = next((getattr(node, name) for name in PARTIALS if hasattr(node, name)), None)
    return tuple(map(number, kept)) if isinstance(kept, (tuple, list)) and len(kept) == count else None


def _number(node: Any, name: str) -> float:
    x = getattr(node, name)
    if x is None and name == "grad":  # there is no gradient yet
        return 0.0
    try:
        return number(x)
    except TypeError as error:
        raise TypeError(f"{type(node).__name__}.{name}: {error}") from None


def _operands_first(root: Any) -> list[tuple[Any, Sequence[Any]]]:
    """Return a list of pairs (node, its operands) for the graph of `root`, in which operands come before their users.

    The search is not recursive, so no graph is too deep.

    Raises:
        ValueError: a node depends on itself.
    """
    finished: list[tuple[Any, Sequence[Any]]] = []
    done: dict[int, bool] = {}  # by id(), since a class may define ==; False until all operands are done
    stack = [root]
    entered: list[tuple[Any, Sequence[Any]]] = []
    while stack:
        node = stack[-1]
        if id(node) not in done:
            done[id(node)] = False
            operands = operands_of(node)
            entered.append((node, operands))
            for x in operands:
                if is_handwritten(x) and not done.get(id(x), False):
                    if id(x) in done:
                        name = getattr(x, "label", "") or f"with the data {x.data}"
                        raise ValueError(f"the graph has a circle: the {type(x).__name__} {name} is below itself")
                    stack.append(x)
        else:
            stack.pop()
            if not done[id(node)]:
                done[id(node)] = True
                finished.append(entered.pop())  # the node that was entered last is finished first
    return finished
