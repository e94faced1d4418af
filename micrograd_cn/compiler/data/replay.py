"""Compute a recorded graph again, node by node, for one row, to find the node at which something went wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...engine import Value, record
from ...ops.operation import Op
from ..instructions.graph import Graph


def copied_leaves(graph: Graph, numbers: Sequence[float]) -> dict[Value, Value]:
    """Return a dict from the inputs and the constants of a graph to new leaves with the same labels.

    The data of a new leaf for an input are the input's entry of `numbers`. The data of a new leaf for a constant are
    those that the graph keeps for the constant.

    Args:
        graph: the graph that is going to be computed again.
        numbers: a row: a number for each input of the graph, in the order of the inputs.
    """
    copies = {x: Value(data, x.label, requires_grad=False) for x, data in graph.constants.items()}
    return copies | {x: Value(number, x.label) for x, number in zip(graph.inputs, numbers, strict=True)}


def replay(graph: Graph, copies: dict[Value, Value]) -> Iterator[tuple[Value, Op]]:
    """Record the operations of a graph again, with new leaves. Yield each node of the graph with its operation.

    When a node is yielded, `copies` already has the node that was recorded again for it.

    Args:
        graph: the graph whose operations are recorded.
        copies: a dict from leaves of the graph to the leaves that take their place. A leaf that is not in the dict is
            used itself. For each node, the node that was recorded again for it is added to the dict.

    >>> x, w = Value(2), Value(3)
    >>> graph, copies = Graph([w * x + 1], [x]), {x: Value(5)}
    >>> [(op.name, copies[node].data) for node, op in replay(graph, copies)]
    [('mul', 15.0), ('add', 16.0)]
    """
    for node, op in graph.operations:
        copies[node] = record(op, tuple([copies.get(x, x) for x in node.operands]))
        yield node, op
