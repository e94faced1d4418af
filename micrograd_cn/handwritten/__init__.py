"""Graphs of a `Value` class that somebody else wrote: drawn beside ours, stepped through, and compared with ours.

reading.py goes through such a graph, operands first, and makes each of its nodes one of ours, with its label, its data
and, as `grad`, the gradient that the other class computed. recognition.py says which row of the table made a node;
where none did, the node has an `Opaque` operation, of opaque.py. comparison.py compares each gradient with what the
node's users send it, and finds where the first one differs; causes.py says which mistake gives such a number, and
report.py puts that into words.
"""

from __future__ import annotations

from .comparison import Comparison
from .opaque import Opaque
from .reading import GraphNode, Handwritten, is_handwritten
from .report import compare_gradients

__all__ = ["Comparison", "GraphNode", "Handwritten", "Opaque", "compare_gradients", "is_handwritten"]
