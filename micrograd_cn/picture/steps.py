"""The steps of a backward pass, one for each edge, and the gradients that are known at a moment of the pass."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass

from ..engine import Value, topological_order


@dataclass(frozen=True)
class Step:
    """A step of a backward pass: an operand gets its contribution, or nothing.

    Attributes:
        node: the node that sends the contribution.
        slot: the index of the operand.
        operand: the operand of `node` at this index, which gets the contribution.
        partial: the local derivative.
        upstream: the gradient of `node`; None if no gradient reached it.
        contribution: what is added to the gradient of the operand; None if no gradient flows to the operand.
        before: the gradient of the operand before the step.
        after: the gradient of the operand after the step.
    """

    node: Value
    slot: int
    operand: Value
    partial: float
    upstream: float | None
    contribution: float | None
    before: float
    after: float

    @property
    def narration(self) -> str:
        """The key of the sentence in `WORDS` that describes this step."""
        assert self.node.op is not None
        if self.upstream is None:
            return "narrate_unreached"
        if not self.node.op.propagates_gradient_to(self.slot):
            return "narrate_still"
        return "narrate_unselected" if self.contribution is None else "narrate_edge"


@dataclass(frozen=True)
class Moment:
    """A moment of the forward and the backward pass.

    Attributes:
        edges: how many steps the backward pass has taken; None before it begins.
        unknown: the nodes whose data the forward pass has not computed yet.
    """

    edges: int | None
    unknown: frozenset[Value] = frozenset()


class BackwardPass:
    """The steps of one `root.backward()`, in its order. No `grad` is read or changed.

    An operand that requires no gradient has no step. An operand that an operation did not select has a step, but
    nothing flows in it.

    Attributes:
        root: the node where the pass begins, with the gradient 1.
        steps: the steps, in the order in which `backward()` takes them.
        index: a dict from (sending node, index of the operand) to the index of the step.
        sent: a dict with the same keys, whose values are the contributions. Steps in which nothing flows are left out.
        arrivals: for each node, the indices of the steps that send to it.

    >>> a = Value(2, "a")
    >>> [step.after for step in BackwardPass(a * a).steps]
    [2.0, 4.0]
    """

    def __init__(self, root: Value) -> None:
        self.root = root
        self.steps: list[Step] = []
        self.index: dict[tuple[Value, int], int] = {}
        self.sent: dict[tuple[Value, int], float] = {}
        self.arrivals: dict[Value, list[int]] = defaultdict(list)
        gradients: dict[Value, float] = {root: 1.0}
        for node in topological_order(root):
            upstream = gradients.get(node)
            sent = [None] * len(node.parents) if upstream is None else node._sent(upstream)
            for slot, (operand, partial) in enumerate(zip(node.parents, node.partials, strict=True)):
                if not operand.requires_grad:
                    continue
                before = gradients.get(operand, 0.0)
                contribution = sent[slot]
                if contribution is not None:
                    gradients[operand] = before + contribution
                    self.sent[node, slot] = contribution
                after = gradients.get(operand, 0.0)
                self.index[node, slot] = len(self.steps)
                self.arrivals[operand].append(len(self.steps))
                self.steps.append(Step(node, slot, operand, partial, upstream, contribution, before, after))

    def gradient(self, node: Value, moment: Moment) -> float | None:
        """Return the gradient of `node` at `moment`, or None if nothing has been sent to the node by then."""
        if moment.edges is None:
            return None
        if node is self.root:
            return 1.0
        arrivals = self.arrivals.get(node, ())
        count = bisect_left(arrivals, moment.edges)
        return self.steps[arrivals[count - 1]].after if count else None
