"""Walk over a whole graph: every node, with the constants that numbers among operands are."""

from __future__ import annotations

from .engine import Value, topological_order

__all__ = ["nodes_below"]


def nodes_below(root: Value) -> list[Value]:
    """Return the root and every node below it, each once, operands before what is made of them.

    >>> x = Value(2, "x")
    >>> [node.data for node in nodes_below(x * x + 1)]
    [2.0, 4.0, 1.0, 5.0]
    """
    interior = reversed(topological_order(root))
    return list(dict.fromkeys(n for node in interior for n in (*node.parents, node))) or [root]
