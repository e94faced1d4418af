"""Gradients as numbers, or as graphs, which can be differentiated again: derivatives of any order.

The loop is that of `backward`. With `create_graph`, it multiplies and adds `Value`s instead of floats, so it records a
graph of the gradient on its way.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from typing import Any, Literal, overload

from . import ops
from .engine import Value, constant, topological_order
from .graph import context
from .graph.anomaly import describe

__all__ = ["gradients", "symbolic_edges"]


@overload
def gradients(output: Value, inputs: Iterable[Value], create_graph: Literal[False] = False) -> list[float]: ...
@overload
def gradients(output: Value, inputs: Iterable[Value], create_graph: Literal[True]) -> list[Value]: ...
def gradients(output: Value, inputs: Iterable[Value], create_graph: bool = False) -> list[float] | list[Value]:
    """Return d(output)/dx for each x of `inputs`, without changing any `grad`.

    Args:
        output: the value to differentiate.
        inputs: leaves or interior nodes; the derivative is 0 if `output` does not depend on one.
        create_graph: whether to return `Value`s that can be differentiated again, instead of floats.

    Raises:
        TypeError: `output` or one of `inputs` is not a `Value`.
        ValueError: one of `inputs` requires no gradient.
        RuntimeError: with create_graph, data was changed after the graph had been recorded.
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
            upstream = _sum_of_terms(terms, node)
            if check:
                _check_gradient(upstream, node)
            edges: list[tuple[Value, Any]] = symbolic_edges(node, relevant) if create_graph else node.edges()
            for x, partial in edges:
                if x in relevant:
                    terms[x].append(_product(upstream, partial))
    found = [_sum_of_terms(terms, x) for x in inputs]
    if check:
        for g, x in zip(found, inputs, strict=True):
            _check_gradient(g, x)
    if create_graph:
        return [g if isinstance(g, Value) else constant(g) for g in found]
    return found


def _sum_of_terms(terms: dict[Value, list[Any]], node: Value) -> Any:
    """Return the gradient of `node`, the sum of the terms it received, which replaces them."""
    received = terms[node]
    if len(received) > 1:
        received[:] = [received[0] + received[1] if len(received) == 2 else ops.sum(received)]
    return received[0] if received else 0.0


def _product(upstream: Any, partial: Any) -> Any:
    """Return the product; drop a factor that is the number 1, but not one that is 0, since 0 * inf is nan."""
    for a, b in ((upstream, partial), (partial, upstream)):
        if isinstance(a, float) and a == 1.0:
            return b
    return upstream * partial


def symbolic_edges(node: Value, relevant: Collection[Value]) -> list[tuple[Value, Any]]:
    """Return the operands in `relevant` to which a gradient flows, each with its partial as a graph.

    A partial is a `Value`, computed from the node and its operands, or a float if it is constant.

    Raises:
        RuntimeError: data was changed after the node had been recorded.

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
                    f"data was changed after {describe(node.op, parents)} was recorded: operand {slot} had the "
                    f"partial {then}, now {now}; compute the output again"
                )
            edges.append((parents[slot], partial))
    return edges


def _check_gradient(gradient: Any, node: Value) -> None:
    if not math.isfinite(gradient._data if isinstance(gradient, Value) else gradient):
        made = f" = {describe(node.op, node.parents)}" if node.op else ""
        raise FloatingPointError(f"gradients(): the gradient with respect to {node!r}{made} is {gradient}")
