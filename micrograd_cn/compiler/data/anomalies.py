"""Implement `micrograd_cn.detect_anomaly()` for compiled programs.

The engine computes the graph again node by node, since machine code does not check the values of nodes.
"""

from __future__ import annotations

from collections.abc import Iterable

from ...engine import Value
from ...graph.context import here, recording
from ..instructions.graph import Graph
from .columns import Numbers
from .replay import copied_leaves, replay


def detect_anomaly(graph: Graph, numbers: Numbers, index: Iterable[int], backward: bool) -> None:
    """Inside `with detect_anomaly()`, raise FloatingPointError if a value or gradient is not finite for some row.

    A row has the numbers of one sample. Outside `with detect_anomaly()`, this is a no-op.

    Args:
        graph: the program's graph.
        numbers: the numbers of all rows, one row after the other.
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
    width = len(graph.inputs)
    with recording():
        for row in index:
            own = numbers[row * width : (row + 1) * width]
            copies = {p: Value(p.data, p.label) for p in graph.parameters}
            copies |= copied_leaves(graph, own)
            try:
                for _ in replay(graph, copies):
                    pass  # the engine checks each node that is recorded
                if backward and graph.outputs[0].requires_grad:
                    copies[graph.outputs[0]].backward()
            except FloatingPointError as error:
                raise FloatingPointError(f"row {row}: {error}") from None
