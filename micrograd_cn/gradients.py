"""Gradients of graphs, as numbers or as graphs of their own, which can be differentiated again: any order."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from typing import Any, Literal, TypeAlias, overload

from . import ops
from .engine import Value, constant, topological_order
from .graph import context
from .graph.anomaly import in_words
from .ops.operation import Op

__all__ = ["Reach", "SymbolicEdge", "gradients", "part_of", "paths", "symbolic_edges"]

# The operation, the partial with respect to one of its operands, and, if the operation may leave this operand
# unselected, the function from an upstream gradient to its part. The partial is a `Value`, or a float where it is the
# same whatever the operands' numbers, or where only the function is used.
SymbolicEdge: TypeAlias = tuple[Op, Any, Callable[[Any], Any] | None]


@overload
def gradients(output: Value, inputs: Iterable[Value], create_graph: Literal[False] = False) -> list[float]: ...
@overload
def gradients(output: Value, inputs: Iterable[Value], create_graph: Literal[True]) -> list[Value]: ...
def gradients(output: Value, inputs: Iterable[Value], create_graph: bool = False) -> list[float] | list[Value]:
    """Return the gradient of `output` with respect to each of `inputs`, leaving every `grad` alone.

    Args:
        output: what to differentiate.
        inputs: leaves or interior nodes; the gradient is 0 with respect to one that `output` does not depend on.
        create_graph: return `Value`s, computed from those of the graph, which can be differentiated again.

    Raises:
        TypeError: `output` or one of `inputs` is not a `Value`.
        ValueError: one of `inputs` requires no gradient.
        RuntimeError: with create_graph, data was changed after the graph was recorded.
        FloatingPointError: inside `detect_anomaly()`, a gradient is not finite.

    >>> x = Value(2)
    >>> [first] = gradients(x ** 3, [x], create_graph=True)
    >>> first.data, gradients(first, [x])
    (12.0, [12.0])
    """
    if not isinstance(output, Value):
        raise TypeError(f"gradients() of {type(output).__name__} {output!r}: not a Value, so its graph was lost")
    if isinstance(inputs, Value):
        raise TypeError("gradients() takes a sequence of inputs; write [x] for one")
    inputs = list(inputs)
    for i, x in enumerate(inputs):
        if not isinstance(x, Value):
            raise TypeError(f"gradients() with respect to inputs[{i}]: {type(x).__name__} {x!r} is not a Value")
        if not x.requires_grad:
            raise ValueError(f"gradients() with respect to inputs[{i}]: the constant {x!r} requires no gradient")

    if context.active and not create_graph and (hooks := context.here().hooks):
        hooks.read(output, "the output of gradients() without create_graph=True")
    order = topological_order(output)
    relevant = set(inputs)  # the nodes on a path from an input to the output
    for node in reversed(order):
        if any(x in relevant for x in (paths(node) if create_graph else [x for x, _ in node.edges()])):
            relevant.add(node)
    check = context.here().detect_anomaly
    terms: dict[Value, list[Any]] = {x: [] for x in relevant}
    terms.setdefault(output, []).append(1.0)
    reach = Reach([output])
    for node in order:
        if node in relevant and terms[node]:
            upstream = _total(terms, node)
            if check:
                _check_total(upstream, node)
            if not create_graph:
                for x, partial in node.edges():
                    if x in relevant:
                        terms[x].append(_product(upstream, partial))
                continue
            for x, edge in symbolic_edges(node, relevant):
                reach.spread(node, x, edge)
                if (part := part_of(upstream, edge, reach, node)) is not None:
                    terms[x].append(part)
    totals = [_total(terms, x) for x in inputs]
    if check:
        for g, x in zip(totals, inputs, strict=True):
            _check_total(g, x)
    if create_graph:
        return [g if isinstance(g, Value) else constant(g) for g in totals]
    return totals


def _total(terms: dict[Value, list[Any]], node: Value) -> Any:
    """Return the sum of the contributions that `node` received, and keep it in their place."""
    received = terms[node]
    if len(received) > 1:
        received[:] = [received[0] + received[1] if len(received) == 2 else ops.sum(received)]
    return received[0] if received else 0.0


def _product(upstream: Any, partial: Any) -> Any:
    """Return the product; a factor that is the number 1 vanishes from the graph, none that is 0, for 0 * inf is nan."""
    for a, b in ((upstream, partial), (partial, upstream)):
        if isinstance(a, float) and a == 1.0:
            return b
    return upstream * partial


class Reach:
    """Which nodes a gradient (or, forward, a tangent) reaches, if operations on the way select among operands.

    A node that only unselected operands lead to receives nothing. As a number this is 0, and 0 times an infinite local
    derivative would be nan. So whether something reaches the node is a `Value` of its own, which is not 0 if it does.

    Args:
        roots: the nodes where gradients start.

    >>> x = Value(-1)
    >>> y = x.sqrt()
    >>> z = ops.where(0.0, y, x)
    >>> reach = Reach([z])
    >>> for node in (z, y):
    ...     for operand, edge in symbolic_edges(node, {x, y}):
    ...         reach.spread(node, operand, edge)
    >>> reach.of(z), reach.of(y)
    (1.0, 0.0)
    """

    def __init__(self, roots: Iterable[Value]) -> None:
        self._certain = set(roots)
        self._sources: dict[Value, list[tuple[Value, SymbolicEdge]]] = {}
        self._found: dict[Value, Any] = {}

    def spread(self, source: Value, target: Value, edge: SymbolicEdge) -> None:
        """Let a node pass on what reaches it. Sources are spread before what they reach."""
        if source in self._certain and edge[2] is None:
            self._certain.add(target)
        elif target not in self._certain:
            self._sources.setdefault(target, []).append((source, edge))

    def is_certain(self, node: Value) -> bool:
        """Return whether a gradient reaches a node, whatever is selected."""
        return node in self._certain

    def of(self, node: Value) -> Any:
        """Return a `Value` or float that is 0 if nothing reaches a node, and more than 0 if something does."""
        if node in self._certain:
            return 1.0
        stack = [node]
        while stack:
            sources = [x for x, _ in self._sources.get(stack[-1], ())]
            if waiting := [x for x in sources if x not in self._certain and x not in self._found]:
                stack += waiting
                continue
            target = stack.pop()
            total: Any = 0.0
            for source, (_, _, selection) in self._sources.get(target, ()):
                of_source = 1.0 if source in self._certain else self._found[source]
                part = selection(of_source) if selection else of_source
                if part is not None and not (isinstance(part, float) and part == 0.0):
                    total = part if isinstance(total, float) and total == 0.0 else total + part
            self._found[target] = total
        return self._found[node]


def part_of(g: Any, edge: SymbolicEdge, reach: Reach, node: Value) -> Any:
    """Return the part of a node's gradient g (or, forward, of its tangent) that passes an edge; None for nothing.

    Sums of products pass on g as it is where it may be nothing: their local derivatives are other operands.
    """
    op, partial, selection = edge
    if selection:
        part = selection(g)
        return None if isinstance(part, float) and part == 0.0 else part
    part = _product(g, partial)
    if reach.is_certain(node) or not isinstance(partial, Value) or op.lowerings.summands:
        return part
    return ops.where(reach.of(node), part, 0.0)


def paths(node: Value) -> list[Value]:
    """Return the operands to which a gradient may flow, also those that the operation did not select this time.

    >>> x = Value(-1)
    >>> paths(x.relu()) == [x], x.relu().edges()
    (True, [])
    """
    assert node.op is not None
    if not node.op.selects:
        return [x for x, _ in node.edges()]
    slots = enumerate(node.operands)
    return [x for k, x in slots if isinstance(x, Value) and x.requires_grad and node.op.propagates_gradient_to(k)]


def symbolic_edges(node: Value, relevant: Collection[Value]) -> list[tuple[Value, SymbolicEdge]]:
    """Return the operands in `relevant` to which a gradient may flow, each with its edge.

    Raises:
        RuntimeError: data was changed after the node was recorded.

    >>> x = Value(3)
    >>> [(operand is x, partial is x) for operand, (_, partial, _) in symbolic_edges(x * x, {x})]
    [(True, True), (True, True)]
    """
    op = node.op
    assert op is not None
    parents, captured, selects = node.parents, node.partials, op.selects
    operands = tuple([x if x.requires_grad else x.data for x in parents])
    if selects:
        needed = [x in relevant and x.requires_grad and op.propagates_gradient_to(k) for k, x in enumerate(parents)]
        partials = op.needed_partials(node._data, [x._data for x in parents], needed)
        passing = op.selection(operands)
    else:
        needed = [x in relevant and partial is not None for x, partial in zip(parents, node._partials, strict=True)]
        partials = op.needed_partials(node, operands, needed)
        passing = [None] * len(parents)
    edges = []
    for slot, (partial, then) in enumerate(zip(partials, captured, strict=True)):
        if needed[slot] and (partial is not None or selects):
            now = partial._data if isinstance(partial, Value) else partial or 0.0
            if now != then and not (math.isnan(now) or math.isnan(then)):
                raise RuntimeError(
                    f"data was changed after {in_words(op, parents)} was recorded: operand {slot} had the "
                    f"partial {then}, now {now}; compute the output again"
                )
            edges.append((parents[slot], (op, partial, passing[slot])))
    return edges


def _check_total(gradient: Any, node: Value) -> None:
    if not math.isfinite(gradient._data if isinstance(gradient, Value) else gradient):
        made = f" = {in_words(node.op, node.parents)}" if node.op else ""
        raise FloatingPointError(f"gradients(): with respect to {node!r}{made} it is {gradient}")
