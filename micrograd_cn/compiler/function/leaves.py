"""Define `Leaves`, which says for each leaf of a recording how the recording's program uses the leaf."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain

from ...engine import Value, constant, traverse
from ...graph.references import operands_once, unheld
from ..data.captured import CapturedValue
from ..runtime.executable import CompiledGraph
from .hooks import RecordingHooks


class Leaves:
    """The leaves of a recording. What its program does with a leaf depends on the leaf's kind.

        input       It stands for a number of an argument, and so has another number in each row.
        captured    A `CapturedValue` stands for a node that was computed before the call. The node's number is read at
                    each call, and the gradient is passed on to the node.
        made        The function makes it anew in each call, so nobody can train it. It becomes a constant.
        constant    It requires no gradient, so its number is part of the program. If somebody else holds it, it is
                    watched: a call raises an error if it has another number by then.
        parameter   any other leaf. Its number is read at each call, and it can be trained.

    Args:
        inputs: the leaves that stand for the numbers of the arguments.
        hooks: the hooks of the recording, which has ended. The caller has not kept operands of the recorded nodes in
            any other object yet: a leaf to which another object refers counts as held.

    Attributes:
        inputs: the leaves that stand for the numbers of the arguments.
        unheld: the leaves that the function makes, and to which only the recorded nodes and comparisons refer. The
            program freezes them.
    """

    def __init__(self, inputs: Sequence[Value], hooks: RecordingHooks) -> None:
        self.inputs = inputs
        self._noted = hooks.noted_constants()
        self.unheld = {*hooks.unheld}
        self._held = set[Value]()  # leaves that the function makes and keeps, as a further recording has shown

    def of(self, nodes: Iterable[Value]) -> set[Value]:
        """Return the leaves from which some nodes are computed, without inputs."""
        return traverse(*nodes)[1].difference(self.inputs)

    def trainable(self, nodes: Iterable[Value]) -> list[Value]:
        """Return the leaves that require a gradient, without inputs and leaves that the function makes anew."""
        return [x for x in self.of(nodes) - self.unheld - self._held if x.requires_grad]

    @staticmethod
    def captured(nodes: Iterable[Value]) -> set[CapturedValue]:
        """Return the leaves that stand for nodes which were computed before the function was called."""
        return {x for x in traverse(*nodes)[1] if isinstance(x, CapturedValue)}

    def note_made(self, found: Iterable[Value]) -> None:
        """Note leaves that a further recording of the same sample does not have, so the function makes them anew."""
        self._held |= {x for x in found if x.requires_grad}

    def constants_for_made(self, results: Sequence[Value], outputs: Sequence[Value]) -> dict[Value, Value]:
        """Return a dict from leaves that the function makes anew to constants that take their places in the graph.

        Leaves to which only the graph refers are left out: the program freezes them, so they need not be replaced.

        Args:
            results: the nodes that the function has returned.
            outputs: these nodes, with leaves in place of captured values, which were computed before the call.
        """
        for x in self.unheld:  # nobody else can see this
            x.requires_grad = False
        made = self._held - self.unheld
        if returned := {x for x in results if x.op is None and x.requires_grad}.difference(self.inputs):
            made |= {*_held_by_graph(returned, [outputs, results])}
        return {x: constant(x._data) for x in made} if made else {}

    def watch_constants(self, compiled: Sequence[CompiledGraph]) -> None:
        """Let compiled graphs watch the constants that somebody may change; see `CachedData.watch`.

        The function has read the numbers of some of them, so they need not be operands of the graphs. The first graph,
        which is the only one that `fit` checks, watches the constants of all graphs.
        """
        operands = {x for each in compiled for x in each.graph.constants}
        # Operands are left out, since `watch` counts the references to them
        noted = self._noted = {x: data for x, data in self._noted.items() if x not in operands}
        del operands
        for each in reversed(compiled):
            each.data.watch(each.graph.constants, noted)
            noted = each.data.watched


def _held_by_graph(leaves: set[Value], roots: Sequence[Sequence[Value]]) -> list[Value]:
    """Return those of `leaves` to which only the lists `roots` and the graphs that begin at their items refer.

    The set `leaves` is emptied, since it refers to them, too.
    """
    counts = Counter(map(id, [*chain(*roots), *operands_once(traverse(*chain(*roots))[0])]))
    known = {x: counts[id(x)] for x in leaves}
    leaves.clear()
    return unheld(known)
