"""Say how the graphs of two recordings of a function differ."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

from ...engine import Value, traverse
from ..data.captured import describe


class RecordedGraph:
    """The graph of one recording.

    Args:
        roots: the results of the function, followed by the nodes of its comparisons.
        inputs: the leaves that stand for the numbers of the arguments.
        made: leaves that were made while the function was recorded, and required a gradient then.

    Attributes:
        roots: the results of the function, followed by the nodes of its comparisons.
        nodes: the interior nodes from which the roots are computed.
        index_of: a dict from each node in `nodes` to its index in `nodes`, and from each input to its index among the
            inputs.
        made: leaves that were made while the function was recorded, and required a gradient then.
    """

    def __init__(self, roots: Sequence[Value], inputs: Sequence[Value], made: Container[Value] = ()) -> None:
        self.made = made
        self.roots, (self.nodes, _) = roots, traverse(*roots)
        self.index_of = {x: i for i, x in enumerate(self.nodes)} | {x: k for k, x in enumerate(inputs)}


def graph_difference(ours: RecordedGraph, theirs: RecordedGraph, known: Container[Value]) -> str:
    """Return a string that says how the graphs `ours` and `theirs` differ; "" if they do not.

    Leaves that were made while the function was recorded count as the same if they have the same data, and both or
    neither require a gradient. `known` has the leaves that were there before. Such a leaf is the same only as itself.
    """

    def same(a: Any, b: Any) -> bool:
        a, b = [_plain(x, known, graph.made) for x, graph in ((a, ours), (b, theirs))]
        return _is_same(a, b, ours, theirs, known)

    for a, b in zip(ours.nodes, theirs.nodes, strict=False):
        if a is not b and (a.op is not b.op or len(a.operands) != len(b.operands)):
            return f"one of them has {describe(a)}, where the other has {describe(b)}"
        for x, y in zip(a.operands, b.operands, strict=True):
            if not same(x, y):
                shown, other_shown = _shown(x), _shown_of(y, ours)
                if shown == other_shown:
                    return f"an operand of {describe(a)} is {shown}, but not the same Value in both of them"
                return f"an operand of {describe(a)} is {shown} in one of them, and {other_shown} in the other"
    if len(ours.nodes) != len(theirs.nodes):
        return f"one of them has {len(ours.nodes)} operations, the other {len(theirs.nodes)}"
    for x, y in zip(ours.roots, theirs.roots, strict=True):
        if not same(x, y):
            return f"one of them returns {_shown(x)}, the other {_shown_of(y, ours)}"
    return ""


def _plain(x: Any, known: Container[Value], made: Container[Value]) -> Any:
    """Return `x`; but if `x` is a constant that was made while the function was recorded, return its number.

    `known` has the leaves that were there before, and `made` has leaves that were made while it was recorded and
    required a gradient then. Such constants are compared by number and not by identity, since the engine makes a new
    node of a plain number whenever the operands of a node are read.
    """
    is_number = isinstance(x, Value) and not (x.op or x.requires_grad or x in known or x in made)
    return x._data if is_number else x


def _is_same(a: Any, b: Any, ours: RecordedGraph, theirs: RecordedGraph, known: Container[Value]) -> bool:
    if not (isinstance(a, Value) and isinstance(b, Value)):
        return a is b or (type(a) is type(b) and repr(a) == repr(b))
    i, j = ours.index_of.get(a), theirs.index_of.get(b)
    if i is not None or j is not None:  # an input that the function has kept may be in the graph of a later call
        return i == j and (a.op is None) == (b.op is None)
    if a is b:
        return True
    if a in known or b in known:
        return False
    requires = [x.requires_grad or x in graph.made for x, graph in ((a, ours), (b, theirs))]
    return requires[0] == requires[1] and repr(a._data) == repr(b._data)


def _shown(x: Any) -> str:
    return describe(x) if isinstance(x, Value) and (x.op or x.requires_grad) else str(getattr(x, "_data", x))


def _shown_of(x: Any, before: RecordedGraph) -> str:
    """Return the text of `x`, a node in a graph that was recorded after `before`; say if it is an input of `before`."""
    kept = isinstance(x, Value) and x.op is None and x in before.index_of
    return f"the {describe(x)} of an earlier call (the function has kept it)" if kept else _shown(x)
