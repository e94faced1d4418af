"""`Value`, a scalar that remembers how it was computed, and backpropagation through what it remembers.

A node keeps its operands and, captured when it was made, the derivative with respect to each. Backward walks the graph
from the root, each node before its operands, and adds `grad * partial` to every operand's `grad`: the chain rule, one
edge at a time. There is no recursion anywhere: a graph may be as deep as memory allows.

This is the plain text. `quick` is the same written out for speed, and takes its place unless the environment variable
MICROGRAD_CN_PLAIN is set; a test holds that both give the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import SupportsFloat, TypeAlias

from .graph import context
from .graph.node import Node
from .ops.number import number
from .ops.operation import Op

__all__ = ["Number", "Value", "constant", "graph_nodes", "record", "topological_order", "traverse"]


class Value(Node):
    """Hold a number and how it was computed.

    Arguments, attributes and errors are those of `Node`. `==` and `hash` are identity; `<`, `<=`, `>`, `>=` compare
    data. There is no `float(v)`, which would lose the graph in silence: read `v.data`. A node has no room for further
    attributes: keep what belongs to it in a dict by node, or in a subclass.

    >>> x = Value(3, "x")
    >>> y = x * x + 2
    >>> y.backward()
    >>> x
    Value(data=3.0, grad=6.0, label='x')
    """

    __slots__ = ()

    @staticmethod
    def _record(op: Op, operands: Sequence[Number]) -> Value:
        """Compute the value, capture the derivatives, and keep both: what `record` does."""
        xs = [x if isinstance(x, Value) else number(x) for x in operands]
        inputs = [x._data if isinstance(x, Value) else x for x in xs]
        needed = [isinstance(x, Value) and x.requires_grad for x in xs]
        y = op.evaluate(*inputs)
        hooks = context.here().hooks
        if context.suppresses_recording(op, xs, y):
            return (hooks and hooks.suppressed(op, xs)) or constant(y)
        if not any(needed):
            if hooks:
                hooks.made_constant(xs)
            return constant(y)
        return Value._made_by(op, y, xs, op.needed_partials(y, inputs, needed))

    @staticmethod
    def _traverse(*roots: Value) -> tuple[list[Value], set[Value]]:
        """Search depth-first; a node is finished once all below it is, so in reverse each comes before its operands."""
        finished: list[Value] = []
        leaves: set[Value] = set()
        entered: set[Value] = set()
        stack = [(root, False) for root in roots]
        while stack:
            node, all_below_finished = stack.pop()
            if all_below_finished:
                finished.append(node)
            elif node.op is None:
                leaves.add(node)
            elif node not in entered:
                entered.add(node)
                stack.append((node, True))
                stack += [(x, False) for x in node.operands if isinstance(x, Value)]
        finished.reverse()
        return finished, leaves

    def backward(self, gradient: SupportsFloat = 1.0) -> None:
        """Add to every leaf's `grad` the gradient of this value with respect to it.

        The chain rule: a node's gradient is the sum, over the places where it is an operand, of the result's gradient
        times the local derivative there. Interior nodes start at 0, leaves accumulate: `zero_grad()` starts again.

        Args:
            gradient: this value's own, by which all others are multiplied.

        Raises:
            RuntimeError: this value is a constant, so there is nothing to differentiate.
            TypeError: called on something that is not a `Value`, or `gradient` is not a real number.
            FloatingPointError: inside `detect_anomaly()`, a gradient is not finite.

        >>> a, b = Value(2), Value(3)
        >>> (a * b + a).backward()
        >>> a.grad, b.grad
        (4.0, 2.0)
        """
        if not isinstance(self, Value):
            raise TypeError(f"backward() needs a Value, got {type(self).__name__}: the graph was lost on the way to it")
        if not self.requires_grad:
            raise RuntimeError(
                f"backward() on the constant {self!r}: it was made from constants alone, detached, or inside no_grad()"
            )
        seed = number(gradient)
        order, leaves = traverse(self)
        before = {leaf: leaf.grad for leaf in leaves if leaf.grad}  # added at the end, so that twice is exactly twice
        for node in (*order, *leaves):
            node.grad = 0.0
        self.grad = seed
        reached = {self}  # a gradient of 0 is sent on, for 0 * inf is nan; where none flows, nothing is
        try:
            for node in context.checked(node for node in order if node in reached):
                for x, partial in node.edges():
                    x.grad += node.grad * partial
                    reached.add(x)
        finally:
            for leaf, grad in before.items():
                leaf.grad += grad

    def zero_grad(self) -> None:
        """Set `grad` to 0 on every node of the graph, leaves included.

        >>> x = Value(2)
        >>> y = x * x
        >>> y.backward(); y.zero_grad(); x.grad
        0.0
        """
        order, leaves = traverse(self)
        for node in (*order, *leaves):
            node.grad = 0.0

    def detach(self) -> Value:
        """Return a constant with the same data and label: no gradient flows through it.

        >>> x = Value(3); y = x * x.detach()
        >>> y.backward(); x.grad
        3.0
        """
        hooks = context.here().hooks
        node: Value = (hooks and hooks.detached(self)) or constant(self._data)
        node.label = self.label
        return node


Number: TypeAlias = Value | SupportsFloat


def constant(x: SupportsFloat) -> Value:
    """Return a leaf that gets no gradient.

    >>> constant(2).requires_grad
    False
    """
    return Value._constant(x)


def record(op: Op, operands: Sequence[Number]) -> Value:
    """Apply `op` to values and numbers; return the node that remembers it, a constant if none requires a gradient.

    Raises:
        TypeError: an operand is no number, or the row's functions do not give what they must.
        FloatingPointError: inside `detect_anomaly()`, the result is not finite.

    >>> from micrograd_cn import mul
    >>> record(mul, (Value(2), 3)).partials
    (3.0, 0.0)
    """
    return Value._record(op, operands)


def traverse(*roots: Value) -> tuple[list[Value], set[Value]]:
    """Return the interior nodes of the graphs of all `roots`, each before its operands; and the leaves.

    It is a depth-first search's order of finishing, reversed (Tarjan 1976); the search's stack is a list.

    >>> x = Value(1)
    >>> y = x.exp()
    >>> traverse(y * y) == ([y * y, y], {x}), traverse(y * y)[0][1] is y
    (False, True)
    """
    return Value._traverse(*roots)


def topological_order(*roots: Value) -> list[Value]:
    """Return the interior nodes of the graphs of all `roots`, each before its operands.

    >>> x = Value(1)
    >>> a = x.exp(); b = a * a
    >>> topological_order(b) == [b, a]
    True
    """
    return Value._traverse(*roots)[0]


def graph_nodes(root: Value) -> list[Value]:
    """Return the root and every node below it, each once, operands first; numbers among operands become constants.

    >>> x = Value(2, "x")
    >>> [node.data for node in graph_nodes(x * x + 1)]
    [2.0, 4.0, 1.0, 5.0]
    """
    interior = reversed(topological_order(root))
    return list(dict.fromkeys(n for node in interior for n in (*node.parents, node))) or [root]
