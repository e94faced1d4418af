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

__all__ = ["SymbolicEdge", "gradients", "part_of", "paths", "symbolic_edges"]

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
    certain = {output}  # nodes that a gradient reaches whatever is selected
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
            sure = node in certain
            for x, edge in symbolic_edges(node, relevant):
                if sure and edge[2] is None:
                    certain.add(x)
                if (part := part_of(upstream, edge, sure)) is not None:
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


def part_of(g: Any, edge: SymbolicEdge, certain: bool = True) -> Any:
    """Return the part of a gradient g (or, forward, of a tangent) that passes an edge; None for nothing.

    If g is not certain to be there, because an operation may not have selected what it passes through, then g = 0
    stands for nothing, and the part is 0 even where the local derivative is inf or nan. Sums of products are taken as
    they are: their local derivatives are other operands.

    >>> x = Value(-1)
    >>> [(_, edge)] = symbolic_edges(x.sqrt(), {x})
    >>> part_of(Value(0), edge).data, part_of(Value(0), edge, certain=False).data
    (nan, 0.0)
    """
    op, partial, selection = edge
    if selection:
        part = selection(g)
        return None if isinstance(part, float) and part == 0.0 else part
    part = _product(g, partial)
    if certain or not isinstance(partial, Value) or not isinstance(g, Value) or op.lowerings.summands:
        return part
    return ops.where(g, part, 0.0)


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
