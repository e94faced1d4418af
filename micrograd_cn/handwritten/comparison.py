"""Compare the gradients of a graph with the chain rule, one node at a time, and find the first that differs.

The nodes are `Value`s of this package, but their gradients were computed by a user's own code. Usually this is the
user's own `Value` class, whose graph reading.py has copied. It may also be a function that the user has assigned to
`_backward` of a `Value`.

A user of a node is a node that has it as an operand. By the chain rule, the gradient of a node is the sum of what its
users send it: local derivative × the user's gradient. The users' gradients are taken as the code to be checked computed
them, so only the last step to each node is judged. A mistake further up does not count against the node, and rounding
errors do not add up.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import NamedTuple

from ..engine import Value, topological_order
from ..gradients import contributions
from ..ops import ieee
from .opaque import Opaque

__all__ = ["Comparison", "Contribution"]

# The allowed error of a gradient, relative to the sum of the magnitudes of the contributions to it, is TOLERANCE, or
# ROUNDINGS rounding units if that is larger.
TOLERANCE = 4e-9
ROUNDINGS = 64  # the rounding unit is that of the numbers' type, so it is large for a type such as float32


class Contribution(NamedTuple):
    """What a node `user` sends to one of its operands in the backward pass: local derivative × upstream gradient.

    Attributes:
        user: the node that sends the contribution.
        slot: the index of the operand.
        local: the local derivative.
        upstream: the gradient of `user`.
        flows: whether the contribution is sent. It is not if `user` did not select the operand, or if no gradient
            reached `user`.
    """

    user: Value
    slot: int
    local: float
    upstream: float
    flows: bool  # False if nothing is sent: the user did not select the operand, or no gradient reached the user

    @property
    def value(self) -> float:
        """The number that `user` sends to the operand: `product`, or 0 if it sends nothing."""
        return self.product if self.flows else 0.0

    @property
    def product(self) -> float:
        """Local derivative × upstream gradient. Where no gradient flows, this may be 0 × inf, which is nan."""
        return self.local * self.upstream

    @property
    def is_compared(self) -> bool:
        """Whether the local derivative is that of a known operation, so it can be relied on."""
        return not (isinstance(self.user.op, Opaque) and self.user.op.reason)


class Comparison:
    """A comparison of each node's gradient with the sum of the contributions that the node's users send it.

    The users of a node are the nodes that have it as an operand.

    Args:
        root: the node on which `backward()` was called.
        unit: the rounding unit of the type of the numbers: 2**-52 for floats.

    Attributes:
        received: the contributions to each node. The contributions of users near the root come first.
        wrong: the nodes whose gradient is not the sum of the contributions to them, although no node that depends on
            them is wrong. Nodes near the root come first.
        reached: the nodes that a gradient reaches.
        unknown: a dict from each operation with unknown local derivatives to a node that the operation made.
        nodes: the nodes of the graph that require a gradient, as the keys of a dict.

    >>> x = Value(2)
    >>> y = x * x
    >>> y.backward()
    >>> Comparison(y, 2.0**-52).wrong
    []
    """

    def __init__(self, root: Value, unit: float) -> None:
        self.root = root
        self.unit = unit
        self.order = topological_order(root)
        self.received: dict[Value, list[Contribution]] = defaultdict(list)
        self.nodes = {root: None} | dict.fromkeys(self.order)
        self.unknown: dict[Opaque, Value] = {}
        sent = contributions(root)
        self.reached = {root, *(node.parents[slot] for node, slot in sent)}
        for node in self.order:
            if isinstance(node.op, Opaque) and node.op.reason:
                self.unknown[node.op] = node
            for slot, (x, partial) in enumerate(zip(node.parents, node.partials, strict=True)):
                if x.requires_grad:
                    self.nodes.setdefault(x)
                    self.received[x].append(Contribution(node, slot, partial, node.grad or 0.0, (node, slot) in sent))
        self.wrong: list[Value] = []
        self.tainted: dict[Value, None] = {}  # wrong nodes, and all nodes that these depend on
        self.doubtful: set[Value] = set()  # nodes whose gradient depends on an unknown local derivative
        self._find()

    def _find(self) -> None:
        for node in [*dict.fromkeys([self.root, *self.order]), *(x for x in self.nodes if x.op is None)]:
            sent = self.received.get(node, [])
            if any(c.user in self.doubtful or not c.is_compared for c in sent):
                self.doubtful.add(node)
            if any(c.user in self.tainted for c in sent):
                self.tainted[node] = None
            elif not self.is_right(node):
                self.tainted[node] = None
                self.wrong.append(node)

    def expected(self, node: Value) -> float:
        """Return what the gradient of `node` should be: the sum of its users' contributions, or 1 for the root."""
        return 1.0 if node is self.root else ieee.sum(*[c.value for c in self.received[node]])

    def is_right(self, node: Value) -> bool:
        """Return whether the gradient of `node` is, up to rounding, the sum of the contributions from its users.

        Return True also if this sum is unknown, because a local derivative is unknown.
        """
        if any(math.isnan(c.local) and not c.is_compared for c in self.received.get(node, [])):
            return True
        return self.same(node, node.grad or 0.0, self.expected(node))

    def same(self, node: Value, x: float, y: float) -> bool:
        """Return whether `x` and `y`, two values for the gradient of `node`, are equal except for rounding.

        The code to be checked may compute a local derivative by an expression such as 1 - tanh(x)**2. Its rounding
        error is relative to 1, and not to the derivative, which may be much smaller than 1. So if a user of the node is
        not written as an operator, as with tanh(x), an error of a few rounding units times the upstream gradient is
        allowed too.
        """
        if x == y or (math.isnan(x) and math.isnan(y)):
            return True
        if not (math.isfinite(x) and math.isfinite(y)):
            return False
        relative = max(TOLERANCE, ROUNDINGS * self.unit)
        allowed = relative if node is self.root else 2.0**-1070
        for user, _, local, upstream, flows in self.received.get(node, []):
            if not flows:
                continue
            absolute = 0.0 if user.op and user.op.notation.precedence else 8 * self.unit
            allowed += relative * abs(local) * abs(upstream) + absolute * abs(upstream)
        return abs(x - y) <= allowed
