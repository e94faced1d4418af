"""`Value`, a scalar that remembers how it was computed, and backpropagation through what it remembers.

A node keeps its operands and, captured when it was made, the derivative with respect to each. Backward walks the graph
from the root, each node before its operands, and adds `grad * partial` to every operand's `grad`: the chain rule, one
edge at a time. There is no recursion anywhere: a graph may be as deep as memory allows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, SupportsFloat, TypeAlias

from . import branches, modes, ops, scopes
from .node import Node
from .operation import Op, number, number_or_none

__all__ = ["Number", "Value", "constant", "record", "topological_order", "values"]

_new = object.__new__


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
        """Apply `op` to values and numbers; return the node that remembers it, a constant if none requires a gradient.

        >>> record(ops.mul, (Value(2), 3)).partials
        (3.0, 0.0)
        """
        few = op.arity == 1 or op.arity == 2
        nodes: Sequence[Any] = [x if isinstance(x, Value) else number(x) for x in operands] if few else values(operands)
        inputs = [x if type(x) is float else x._data for x in nodes]
        data = op.forward(*inputs)
        if modes.active:
            modes.check_value(op, nodes, data)
            if modes.current() & modes.NO_GRAD and not branches.listening:
                return constant(data)
        for x in nodes:
            if type(x) is not float and x.requires_grad:
                break
        else:
            return constant(data)
        if few:
            partials = op.needed(data, inputs, [type(x) is not float and x.requires_grad for x in nodes])
            node = _node(op, data, *((*nodes, *partials) if len(nodes) == 2 else (*nodes, None, *partials, None)))
        elif op.arity is None:
            node = _node(op, data, nodes, op.partials(data, *inputs), None, None)  # type: ignore[operator]  # one function
        else:
            node = _node(op, data, nodes, op.needed(data, inputs, [x.requires_grad for x in nodes]), None, None)
        if modes.active:
            node.group = scopes.current()
            return node.detach() if modes.current() & modes.NO_GRAD else node
        return node

    @staticmethod
    def _below(*roots: Value) -> tuple[list[Value], set[Value]]:
        """Return the interior nodes below all `roots`, each before its operands; and the leaves.

        It is a depth-first search's order of finishing, reversed (Tarjan 1976); the search's stack is a list.
        """
        finished: list[Value] = []
        leaves: set[Value] = set()
        entered: set[Value] = set()
        stack: list[Any] = [root for root in roots if root.op]
        pop, push, leaf = stack.pop, stack.append, leaves.add
        while stack:
            node = pop()
            if node is None:  # all below the next one is finished, and so is it
                finished.append(pop())
            elif node not in entered:
                entered.add(node)
                push(node)
                push(None)
                a, b = node._a, node._b
                if type(a) is tuple:
                    for x in a:
                        if x.op is None:
                            leaf(x)
                        elif x not in entered:
                            push(x)
                    continue
                if type(a) is not float:
                    if a.op is None:
                        leaf(a)
                    elif a not in entered:
                        push(a)
                if b is not None and type(b) is not float:
                    if b.op is None:
                        leaf(b)
                    elif b not in entered:
                        push(b)
        finished.reverse()
        return finished, leaves

    def backward(self, gradient: SupportsFloat = 1.0) -> None:
        """Add to every leaf's `grad` the gradient of this value with respect to it.

        The chain rule: a node's gradient is the sum, over the places where it is used, of the user's gradient times the
        local derivative there. Interior nodes start at 0, leaves accumulate: call `zero_grad()` to start again.

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
        order, leaves = Value._below(self)
        before = []  # of the leaves: they get it back at the end, so that twice backward is exactly twice
        for leaf in leaves if self.op else [self]:
            if leaf.grad:
                before.append((leaf, leaf.grad))
            leaf.grad = 0.0
        for node in order:
            node.grad = 0.0
        self.grad = seed
        check = modes.active
        try:
            for node in order:
                upstream = node.grad
                if (partial := node._da) is not None:
                    a = node._a
                    if a.requires_grad:
                        a.grad += upstream * partial
                elif type(node._a) is tuple:
                    for x, partial in zip(node._a, node._b, strict=True):
                        if x.requires_grad and partial is not None:
                            x.grad += upstream * partial
                if (partial := node._db) is not None:
                    b = node._b
                    if b.requires_grad:
                        b.grad += upstream * partial
                if check:
                    modes.check_gradients(node)
        finally:
            for leaf, grad in before:
                leaf.grad += grad

    def _backward(self) -> None:
        """Send this node's gradient on to its operands, as micrograd's notebooks do by hand."""
        for x, partial in self._edges():
            x.grad = (x.grad or 0.0) + self.grad * partial  # PyTorch's habit is `x.grad = None`

    def zero_grad(self) -> None:
        """Set `grad` to 0 on every node of the graph, leaves included.

        >>> x = Value(2)
        >>> y = x * x
        >>> y.backward(); y.zero_grad(); x.grad
        0.0
        """
        order, leaves = Value._below(self)
        for node in (self, *order, *leaves):
            node.grad = 0.0

    def detach(self) -> Value:
        """Return a constant with the same data and label: no gradient flows through it.

        >>> x = Value(3); y = x * x.detach()
        >>> y.backward(); x.grad
        3.0
        """
        node: Value = branches.stopped(self) or constant(self._data)
        node.label = self.label
        return node

    # Operators and methods are `_record` written out for values and floats that need no more; and addition and
    # multiplication of two values, most of a graph, with the new node in line.

    def __add__(self, other: Any) -> Value:
        if self.requires_grad and not modes.active:
            if type(other) is Value and other.requires_grad:
                return _node(ops.add, self._data + other._data, self, other, 1.0, 1.0)
            if type(other) is float:
                return _node(ops.add, self._data + other, self, other, 1.0, None)
        return self._binary(ops.add, other)

    def __radd__(self, other: Any) -> Value:
        if type(other) is float and self.requires_grad and not modes.active:
            return _node(ops.add, other + self._data, other, self, None, 1.0)
        return self._reflected(ops.add, other)

    def __mul__(self, other: Any) -> Value:
        if self.requires_grad and not modes.active:
            a = self._data
            if type(other) is Value and other.requires_grad:
                b = other._data
                return _node(ops.mul, a * b, self, other, b, a)
            if type(other) is float:
                return _node(ops.mul, a * other, self, other, other, None)
        return self._binary(ops.mul, other)

    def __rmul__(self, other: Any) -> Value:
        if type(other) is float and self.requires_grad and not modes.active:
            return _node(ops.mul, other * self._data, other, self, None, other)
        return self._reflected(ops.mul, other)

    def _unary(self, op: Op) -> Value:
        partials: Any = op.partials
        if partials[0] is None or not self.requires_grad or modes.active:
            return record(op, (self,))
        x = self._data
        y = op.forward(x)
        return _node(op, y, self, None, partials[0](y, x), None)

    def _binary(self, op: Op, other: Any) -> Value:
        b: Any = other if type(other) is float or isinstance(other, Value) else number_or_none(other)
        if self.requires_grad and b is not None and not modes.active:
            partials: Any = op.partials
            x = self._data
            if type(b) is float:
                y = op.forward(x, b)
                return _node(op, y, self, b, partials[0](y, x, b), None)
            if b.requires_grad:
                z = b._data
                y = op.forward(x, z)
                return _node(op, y, self, b, partials[0](y, x, z), partials[1](y, x, z))
        return NotImplemented if b is None else record(op, (self, b))

    def _reflected(self, op: Op, other: Any) -> Value:
        a = other if type(other) is float else number_or_none(other)
        if self.requires_grad and a is not None and not modes.active:
            partials: Any = op.partials
            x = self._data
            y = op.forward(a, x)
            return _node(op, y, a, self, None, partials[1](y, a, x))
        return NotImplemented if a is None else record(op, (a, self))


Number: TypeAlias = Value | SupportsFloat
record = Value._record
constant = Value._constant
_ONLY_VALUES = {Value}


def topological_order(*roots: Value) -> list[Value]:
    """Return the interior nodes below all `roots`, each before its operands.

    >>> x = Value(1)
    >>> a = x.exp(); b = a * a
    >>> topological_order(b) == [b, a]
    True
    """
    return Value._below(*roots)[0]


def values(xs: Iterable[Number]) -> tuple[Value, ...]:
    """Return the sequence with its numbers made constants.

    >>> x = Value(1)
    >>> values([x, 2])[0] is x
    True
    """
    xs = tuple(xs)
    if _ONLY_VALUES.issuperset(map(type, xs)):
        return xs  # type: ignore[return-value]
    return tuple([x if isinstance(x, Value) else constant(x) for x in xs])


def _node(op: Op, data: float, a: Any, b: Any, da: float | None, db: float | None) -> Value:
    node: Value = _new(Value)
    node._data = data
    node.grad = 0.0
    node.op = op
    node._a = a
    node._b = b
    node._da = da
    node._db = db
    node.label = ""
    node.group = None
    node.requires_grad = True
    return node
