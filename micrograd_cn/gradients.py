"""Gradients of graphs, as numbers or as graphs of their own, which can be differentiated again: any order."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from typing import Any, Literal, overload

from . import ops
from .engine import Value, constant, topological_order
from .graph import context
from .graph.anomaly import in_words

__all__ = ["gradients", "symbolic_edges"]


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
        if any(x in relevant for x, _ in node.edges()):
            relevant.add(node)
    check = context.here().detect_anomaly
    terms: dict[Value, list[Any]] = {x: [] for x in relevant}
    terms.setdefault(output, []).append(1.0)
    for node in order:
        if node in relevant and terms[node]:
            upstream = _total(terms, node)
            if check:
                _check_total(upstream, node)
            edges: list[tuple[Value, Any]] = symbolic_edges(node, relevant) if create_graph else node.edges()
            for x, partial in edges:
                if x in relevant:
                    terms[x].append(_product(upstream, partial))
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


def symbolic_edges(node: Value, relevant: Collection[Value]) -> list[tuple[Value, Any]]:
    """Return the operands in `relevant` to which a gradient flows, each with its partial as the table's formula of it.

    A partial is a `Value`, or a float where it is the same whatever the operands' numbers.

    Raises:
        RuntimeError: data was changed after the node was recorded.

    >>> x = Value(3)
    >>> [(operand is x, partial is x) for operand, partial in symbolic_edges(x * x, {x})]
    [(True, True), (True, True)]
    """
    assert node.op is not None
    parents, captured = node.parents, node.partials
    needed = [x in relevant and partial is not None for x, partial in zip(parents, node._partials, strict=True)]
    operands = tuple([x if x.requires_grad else x.data for x in parents])
    edges = []
    for slot, (partial, then) in enumerate(zip(node.op.needed_partials(node, operands, needed), captured, strict=True)):
        if needed[slot] and partial is not None:
            now = partial._data if isinstance(partial, Value) else partial
            if now != then and not (math.isnan(now) or math.isnan(then)):
                raise RuntimeError(
                    f"data was changed after {in_words(node.op, parents)} was recorded: operand {slot} had the "
                    f"partial {then}, now {now}; compute the output again"
                )
            edges.append((parents[slot], partial))
    return edges


def _check_total(gradient: Any, node: Value) -> None:
    if not math.isfinite(gradient._data if isinstance(gradient, Value) else gradient):
        made = f" = {in_words(node.op, node.parents)}" if node.op else ""
        raise FloatingPointError(f"gradients(): with respect to {node!r}{made} it is {gradient}")
