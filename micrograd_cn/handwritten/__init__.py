"""Draw graphs of a `Value` class that somebody else wrote, step through them, and check their gradients.

reading.py goes through such a graph, operands first. For each node of that class it makes a `Value` of ours, with the
node's label, its data, and the gradient that the class computed. recognition.py finds the operation of this package
that made a node. If there is none, the node gets an `Opaque` operation (opaque.py). comparison.py compares each
gradient with the sum of what the node's users (the nodes that have it as an operand) send it, and finds the first
gradient that differs. causes.py finds the mistake that explains a wrong gradient, and report.py writes the message.
"""

from __future__ import annotations

from .comparison import Comparison
from .opaque import Opaque
from .reading import GraphNode, Handwritten, is_handwritten
from .report import compare_gradients

__all__ = ["Comparison", "GraphNode", "Handwritten", "Opaque", "compare_gradients", "is_handwritten"]
