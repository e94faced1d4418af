"""Implement `micrograd_cn.detect_anomaly()` for compiled programs.

The engine computes the graph again node by node, since machine code does not check the values of nodes.
"""

from __future__ import annotations

from collections.abc import Iterable

from ...engine import Value, record
from ...graph.context import here, recording
from ..instructions.lowering import Graph, evaluation_order
from .columns import Numbers


def detect_anomaly(graph: Graph, data: Numbers, index: Iterable[int], backward: bool) -> None:
    """Inside `with detect_anomaly()`, raise FloatingPointError if a value or gradient is not finite for some row.

    A row has the numbers of one sample. Outside `with detect_anomaly()`, this is a no-op.

    Args:
        graph: the program's graph.
        data: the numbers of all rows, one row after the other.
        index: the indices of the rows to check.
        backward: whether to check the gradient of the first output too, if the output requires a gradient.

    >>> from array import array
    >>> from micrograd_cn import detect_anomaly as anomalies
    >>> x = Value(1, "x")
    >>> with anomalies():
    ...     detect_anomaly(Graph([x.exp()], [x]), array("d", [1, 1000]), [0, 1], backward=True)
    Traceback (most recent call last):
    FloatingPointError: row 1: exp(x=1000.0) gave inf
    """
    if not here().detect_anomaly:
        return
    width, nodes = len(graph.inputs), evaluation_order(graph.outputs)
    with recording():
        for row in index:
            numbers = data[row * width : (row + 1) * width]
            copies = {p: Value(p.data, p.label) for p in graph.parameters}
            copies |= {x: Value(number, x.label, requires_grad=False) for x, number in graph.constants.items()}
            copies |= {x: Value(number, x.label) for x, number in zip(graph.inputs, numbers, strict=True)}
            try:
                for node in nodes:
                    if node.op and node not in copies:
                        copies[node] = record(node.op, tuple([copies.get(p, p) for p in node.parents]))
                if backward and graph.outputs[0].requires_grad:
                    copies[graph.outputs[0]].backward()
            except FloatingPointError as error:
                raise FloatingPointError(f"row {row}: {error}") from None
