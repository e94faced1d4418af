"""`Value`, a number that remembers how it was computed, and backpropagation.

Let u1, u2, ... be the nodes that have x as an operand, and y a result that is computed from them. The chain rule says

    dy/dx = dy/du1 * du1/dx + dy/du2 * du2/dx + ...

The local derivatives du/dx are known when u is computed, so `record` keeps them in the node u, as `partials`. The
derivatives dy/du are the `grad` of the nodes. `backward` begins at y, where dy/dy = 1, and visits every node before the
node's operands, so the `grad` of a node is complete when the node is visited. During the visit, it adds the node's
`grad * partial` to the `grad` of each operand: one term of the sum for each edge.

Nothing here is recursive, so a graph may be as deep as memory allows. And nothing here is written for speed: `quick`
has faster versions of the same functions, which replace these on import, unless the environment variable
MICROGRAD_CN_PLAIN is set. A test checks that both give the same results.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Never, SupportsFloat, TypeAlias

from .graph import context, outdated, subclasses
from .graph.node import Node
from .ops.number import number
from .ops.operation import Op
from .ops.options import refuse_options

__all__ = ["Number", "Value", "constant", "graph_nodes", "record", "topological_order", "traverse"]


class Value(Node):
    """A number that remembers how it was computed.

    Arguments, attributes and errors are those of `Node`. `==` and `hash` go by identity, while `<`, `<=`, `>` and `>=`
    compare the data. (A warning says so where `==` is False for a number that the data is equal to. A `Value` that is
    nan is not equal to itself, like a float, so `x != x` asks for nan. In a function that `functional` differentiates,
    `==` compares the data of `Value`s that are computed from arguments that are numbers; see `functional`.) There is no
    `float(v)`, because it would silently lose the graph: read `v.data`. You cannot add attributes to a `Value`: keep
    them in a dict with the nodes as keys, or define a subclass.

    Code written for micrograd runs and gives the same numbers, with these differences. Local derivatives are those of
    the forward pass, even if data is changed before `backward()`. A plain number in an expression, such as the 2 in
    `a**2`, is a constant, whose `grad` stays 0. It counts as an operand: `_prev` of `a**2` has the nodes of a and of 2.
    The data is one number, never an array.

    A subclass may override operators: if it overrides `__add__`, `__mul__`, `__pow__` or `__neg__`, then `3 * x`,
    `x - y`, `x / y` and the like call the methods of the subclass, as in micrograd. It cannot override `data` and
    `grad`. If you assign to `Value.__mul__` itself, only `x * y` calls your function: `3 * x`, `x / y` and neurons do
    not.

    If you assign a function to `y._backward`, as code for micrograd does, the `grad` of an operand has only what this
    function adds, while it runs. So clip or test the total after `backward()`, and not in this function.

    A `Value` is true whatever its number, as any object is, so `if v:` and `not v` do not test the number: write
    `if v.data:`, or `where` for a choice that a graph records. The result of a comparison operation, as in
    `if less(a, b):`, raises an error instead. In functions that `functional` differentiates, arguments that are numbers
    are true unless they are 0, as numbers are.

    >>> x = Value(3, "x")
    >>> y = x * x + 2
    >>> y.backward()
    >>> x
    Value(data=3.0, grad=6.0, label='x')
    """

    __slots__ = ()

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        subclasses.adapt(cls, Value)

    @staticmethod
    def _record(op: Op, operands: Sequence[Number]) -> Value:
        """Return a new node with the result and the local derivatives of `op` for `operands`.

        Inside `no_grad()`, or if no operand requires a gradient, return a constant instead. Inside `no_grad()`, hooks
        may replace this constant by a node of their own.
        """
        xs = [x if isinstance(x, Value) else number(x) for x in operands]
        inputs = [x._data if isinstance(x, Value) else x for x in xs]
        needed = [isinstance(x, Value) and x.requires_grad for x in xs]
        y = op.evaluate(*inputs)
        hooks = context.here().hooks
        if context.suppresses_recording(op, xs, y):
            node: Value | None = hooks.suppressed(op, xs) if hooks else None
            return Value._constant_result(y, of_parameters=True) if node is None else node
        if not any(needed):
            if hooks:
                hooks.made_constant(xs)
            return Value._constant_result(y, any(isinstance(x, Value) and x._is_of_parameters for x in xs))
        return Value._made_by(op, y, xs, op.needed_partials(y, inputs, needed))

    @staticmethod
    def _traverse(*roots: Value) -> tuple[list[Value], set[Value]]:
        """Return a list of the interior nodes below `roots`, each before its operands, and the set of leaves.

        The order of the list is the reverse of the order in which a depth-first search finishes the nodes.
        """
        finished: list[Value] = []
        leaves: set[Value] = set()
        entered: set[Value] = set()
        stack = [(root, False) for root in roots]
        while stack:
            node, operands_are_finished = stack.pop()
            if operands_are_finished:
                finished.append(node)
            elif node.op is None:
                leaves.add(node)
            elif node not in entered:
                entered.add(node)
                stack.append((node, True))
                stack += [(x, False) for x in node.operands if isinstance(x, Value)]
        finished.reverse()
        return finished, leaves

    def backward(
        self,
        gradient: SupportsFloat = 1.0,
        *,
        retain_graph: None = None,
        create_graph: None = None,
        inputs: None = None,
    ) -> None:
        """Add d(this value)/d(leaf) to the `grad` of every leaf, and set the `grad` of every interior node.

        The `grad` of leaves accumulates from call to call, until `zero_grad()` sets it to 0. A leaf that requires no
        gradient keeps its `grad`, even if that is None, as in PyTorch. If there is an error, or Ctrl-C interrupts the
        call, leaves keep the `grad` that they had.

        A graph may be used again, but a node keeps its number and its partials. So after an optimiser's step, compute
        the loss anew. After the first step and a few later ones, `backward` warns if you have not.

        Args:
            gradient: the gradient of this value itself. All other gradients are multiplied by it.
            retain_graph, create_graph, inputs: PyTorch options. If you set one, an error says what to write instead.

        Raises:
            RuntimeError: this value is a constant, so there is nothing to differentiate.
            TypeError: the method was called on something that is not a `Value`, `gradient` is not a real number, or a
                PyTorch option is set.
            FloatingPointError: inside `detect_anomaly()`, a gradient is not finite.

        >>> a, b = Value(2), Value(3)
        >>> (a * b + a).backward()
        >>> a.grad, b.grad
        (4.0, 2.0)
        """
        if create_graph is not None:
            raise TypeError("backward() takes no create_graph; write gradients(y, xs, create_graph=True)")
        if retain_graph is not None:
            raise TypeError("backward() takes no retain_graph; write backward(), which always keeps the graph")
        if inputs is not None:
            raise TypeError("backward() takes no inputs; write gradients(y, xs), which changes no grad")
        if not isinstance(self, Value):
            raise TypeError(f"backward() needs a Value, got {type(self).__name__}: the graph was lost on the way to it")
        if not self.requires_grad:
            raise RuntimeError(
                f"backward() on the constant {self!r}: it was made from constants alone, detached, or inside "
                "no_grad(); to train a weight inside no_grad(), write w.data -= ... and not w = w - ..., which makes a "
                "constant"
            )
        seed = number(gradient)
        order, leaves = traverse(self)
        if outdated.expected:
            outdated.warn_of_outdated(order, leaves)
        before = {leaf: leaf.grad for leaf in leaves}
        reached = {self}  # send a gradient of 0 on too, since 0 * inf is nan; skip only nodes that got none
        try:
            for node in (*order, *leaves):
                node.grad = 0.0
            self.grad = seed
            for node in context.with_anomaly_checks(node for node in order if node in reached):
                for x, term in node._terms(node.grad):
                    x.grad += term
                    reached.add(x)
            for leaf, grad in before.items():  # added last: two calls give exactly twice as much
                if grad:
                    leaf.grad += grad
                elif grad is None and not leaf.requires_grad:
                    leaf.grad = None
        except BaseException:  # an error, or Ctrl-C: leaves keep the gradients that they had
            for leaf, grad in before.items():
                leaf.grad = grad
            raise

    def zero_grad(self, **wrong: Never) -> None:
        """Set the `grad` of this value and of all nodes that it depends on to 0, leaves included.

        Raises:
            TypeError: an option of another library is passed, such as PyTorch's `set_to_none`, as one of `wrong`.

        >>> x = Value(2)
        >>> y = x * x
        >>> y.backward(); y.zero_grad(); x.grad
        0.0
        """
        refuse_options("zero_grad() of a Value", wrong, {"set_to_none": "write x.grad = None for each leaf x"})
        order, leaves = traverse(self)
        for node in (*order, *leaves):
            node.grad = 0.0

    def detach(self) -> Value:
        """Return a constant with the same data and label, through which no gradient flows.

        A model whose calls keep such constants does not count them among its parameters; see `help(Module)`.

        >>> x = Value(3); y = x * x.detach()
        >>> y.backward(); x.grad
        3.0
        """
        hooks = context.here().hooks
        node: Value | None = hooks.detached(self) if hooks else None
        if node is None:
            node = constant(self._data)
            node._db = 0.0  # by this, a model that keeps the constant tells it from a parameter that is frozen
        node.label = self.label
        return node


Number: TypeAlias = Value | SupportsFloat


def constant(x: SupportsFloat) -> Value:
    """Return the number x as a leaf that gets no gradient.

    >>> constant(2).requires_grad
    False
    """
    return Value._constant(x)


# `record`, `traverse` and `topological_order` only call static methods of `Value`, which `quick` replaces. So these
# functions are quick too, even in a module that imported them by name before that.


def record(op: Op, operands: Sequence[Number]) -> Value:
    """Apply the operation `op` to `operands`, which are `Value`s and numbers, and return the new node.

    Inside `no_grad()`, or if no operand requires a gradient, nothing is recorded, and the result is a constant.
    Partials with respect to constants are not computed: they are 0.0, like the second one in the example.

    Raises:
        TypeError: an operand is not a number, or `op.forward` or one of `op.partials` returned something invalid.
        FloatingPointError: inside `detect_anomaly()`, the result is not finite.

    >>> from micrograd_cn import mul
    >>> record(mul, (Value(2), 3)).partials
    (3.0, 0.0)
    """
    return Value._record(op, operands)


def traverse(*roots: Value) -> tuple[list[Value], set[Value]]:
    """Return the interior nodes of the graphs of all `roots`, each before its operands, and the set of leaves.

    A depth-first search finishes a node after its operands, so the reverse of its finishing order is a topological
    order (Tarjan 1976).

    >>> x = Value(1)
    >>> y = x.exp(); z = y * y
    >>> traverse(z) == ([z, y], {x})
    True
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
    """Return all nodes of the graph of `root`, each after its operands. An operand that is a number becomes a constant.

    >>> x = Value(2, "x")
    >>> [node.data for node in graph_nodes(x * x + 1)]
    [2.0, 4.0, 1.0, 5.0]
    """
    interior = reversed(topological_order(root))
    return list(dict.fromkeys(n for node in interior for n in (*node.parents, node))) or [root]
