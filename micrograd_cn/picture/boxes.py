"""Decide which boxes and edges show a graph in a picture or a page, and fold parts of the graph into single boxes."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field

from ..engine import Value, graph_nodes, topological_order
from ..gradients import contributions
from ..graph.groups import Group
from .steps import BackwardPass, Moment

# A graph with at most FULL_LABELS boxes and READABLE_EDGES edges is readable, and is not folded further. In a picture
# with at most FULL_LABELS boxes, an edge shows its local derivative and its contribution.
FULL_LABELS = 60
READABLE_EDGES = 90
MOST_BOXES = 400  # A picture has at most this many boxes.
FOLDS = ("neuron", "layer", "scope")  # the kinds of parts to fold; "layer" folds more than "neuron", and "scope" most


@dataclass
class Box:
    """A box of the picture. It stands for one node, or for all nodes of a neuron, layer or scope that is folded.

    Attributes:
        name: the name of the box in the DOT text.
        nodes: the nodes that the box stands for.
        group: the folded neuron, layer or scope; None for a box of one node.
        results: the nodes that are operands of nodes in other boxes, and the root if it is in this box.
    """

    name: str
    nodes: list[Value] = field(default_factory=list)
    group: Group | None = None
    results: set[Value] = field(default_factory=set)

    @property
    def output(self) -> Value | None:
        """The only computed node in `results`, such as the output of a neuron; None if there is not exactly one.

        Parameters are not outputs, even if they are in `results` because a penalty on weights uses them outside their
        neuron.
        """
        computed = [node for node in self.results if node.op]
        return computed[0] if len(computed) == 1 else None


@dataclass
class Edge:
    """An edge of the picture. It stands for one operand of a node, or for all operands between two boxes.

    A slot is one operand of one operation: a + a has two slots, which have the same operand. An edge stands for several
    slots if one of its boxes stands for several nodes.

    Attributes:
        source: the box of the operand.
        target: the box of the operation's result.
        partial: the local derivative with respect to the operand; for several slots, that of the first slot.
        slots: for each slot, the node that has the operand and the index of the operand.
        contributions: for each slot, the local derivative times the gradient of the result; 0 if no gradient flows
            along the slot.
        constant: whether the operand is a constant; for several slots, whether that of the first slot is.
        flows: whether a gradient flows along at least one slot.
    """

    source: Box
    target: Box
    partial: float
    slots: list[tuple[Value, int]]
    contributions: list[float]
    constant: bool
    flows: bool

    @property
    def size(self) -> float:
        """The magnitude of the contribution; for several contributions, their Euclidean norm."""
        return math.hypot(*self.contributions)


class Flow:
    """The boxes and edges of the picture of a graph.

    Args:
        root: the node whose graph is drawn: this node, its operands, their operands, and so on.
        fold: the kind of parts that are folded into single boxes, which is one of FOLDS; None to fold nothing.
        steps: a backward pass to show step by step; None to show the gradients that the nodes have.

    Attributes:
        root: the node whose graph is drawn.
        ran: whether backward() has run, that is, whether the gradient of the root is not 0.
        nodes: the nodes of the graph, operands first.
        boxes: the boxes of the picture, each for a node or for a folded part of the graph.
        edges: the edges between boxes.
        box_of: the box of each node.
        received: a dict from each node to the list of the contributions to its gradient.
        largest: the largest finite `size` of an edge, or 0 if backward() has not run.
        steps: the backward pass that the picture shows step by step; None if it shows the gradients that nodes have.
        moment: the moment of this pass that the picture shows; None if `steps` is None.
    """

    moment: Moment | None = None

    def __init__(self, root: Value, fold: str | None, steps: BackwardPass | None = None):
        self.root = root
        self.steps = steps
        self.ran = bool(steps) or bool(root.grad)
        interior = topological_order(root)
        self.nodes = graph_nodes(root)
        groups = groups_of(interior)
        boxes: dict[Value | Group, Box] = {}
        self.box_of: dict[Value, Box] = {}
        for node in self.nodes:
            group = _folded(groups.get(node), fold)
            box = boxes.setdefault(group or node, Box(f"v{len(boxes)}", group=group))
            box.nodes.append(node)
            self.box_of[node] = box
        self.box_of[root].results.add(root)
        self.boxes = list(boxes.values())
        self.received: dict[Value, list[float]] = defaultdict(list)
        merged: dict[tuple[str, str], Edge] = {}
        self.edges: list[Edge] = []
        self._steps_of: dict[int, list[int]] = {}  # the steps of the slots of an edge, by its identity
        sent = steps.sent if steps else contributions(root)
        for node in reversed(interior):
            target = self.box_of[node]
            for slot, (parent, partial) in enumerate(zip(node.parents, node.partials, strict=True)):
                flows = (node, slot) in sent
                contribution = sent.get((node, slot), 0.0)
                if parent.requires_grad:
                    self.received[parent].append(contribution)
                source = self.box_of[parent]
                if source is target:
                    continue
                source.results.add(parent)
                edge = Edge(source, target, partial, [(node, slot)], [contribution], not parent.requires_grad, flows)
                if source.group or target.group:
                    known = merged.setdefault((source.name, target.name), edge)
                    if known is not edge:
                        known.slots.append((node, slot))
                        known.contributions.append(contribution)
                        known.flows |= flows
                        continue
                self.edges.append(edge)
        place = _reading_order(root)  # a renderer draws the operands of a folded part in the order of its edges
        self.edges.sort(key=lambda edge: place[edge.slots[0][0].parents[edge.slots[0][1]]] if edge.target.group else -1)
        self.largest = max((e.size for e in self.edges if math.isfinite(e.size)), default=0.0) if self.ran else 0.0

    def at(self, moment: Moment) -> Flow:
        """Return the same boxes and edges as they are at `moment`, another moment of the forward or backward pass."""
        flow = object.__new__(Flow)
        vars(flow).update(vars(self), moment=moment)
        return flow

    def gradient(self, node: Value) -> float | None:
        """Return the gradient of `node` at the moment that the picture shows, or None if there is none yet."""
        if self.steps and self.moment:
            return self.steps.gradient(node, self.moment)
        return (node.grad or 0.0) if self.ran else None  # a gradient may be reset to None, as PyTorch does

    def passed(self, edge: Edge) -> list[float]:
        """Return the list of contributions that `edge` has carried by the moment that the picture shows."""
        if not self.steps or not self.moment:
            return edge.contributions if self.ran else []
        done = self.moment.edges or 0
        if id(edge) not in self._steps_of:
            self._steps_of[id(edge)] = [self.steps.index.get(slot, len(self.steps.steps)) for slot in edge.slots]
        slots = zip(self._steps_of[id(edge)], edge.contributions, strict=True)
        return [contribution for step, contribution in slots if step < done]


def _reading_order(root: Value) -> dict[Value, int]:
    """Return a dict from each node of the graph below `root` to its index in the order in which people read the graph.

    A reader begins at the root, goes to its first operand and all that is below it, and then to the next operand.
    """
    place: dict[Value, int] = {}
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node not in place:
            place[node] = len(place)
            waiting.extend(reversed(node.parents))
    return place


def groups_of(interior: list[Value]) -> dict[Value, Group]:
    """Return a dict from nodes to the neuron or scope in whose box they are drawn. Other nodes have no entry.

    `interior` has the nodes of a graph that operations made, each before its operands.

    The activation function of a neuron may consist of several operations. Their nodes belong to the neuron, although
    their attribute `group` does not say so. Such a node is recognised because only nodes of this neuron use it, and
    because it depends on no other neuron. A constant that an activation function uses belongs to the neuron, too. An
    input of the neuron may be a constant as well, but does not belong to the neuron. The inputs are told apart because
    a neuron begins with a sum of products: a constant that no sum of products uses is not an input.

    A scope's constants are drawn in the scope. So are the parameters of a network that is used in that scope only.
    """
    below: dict[Value, set[Group]] = {}
    users: dict[Value, list[Value]] = defaultdict(list)
    # For each part of a network, such as a layer, the groups that its nodes belong to: a group for each scope in which
    # the part is used, or the part itself
    placed: dict[Group, set[Group]] = defaultdict(set)
    for node in reversed(interior):  # operands first
        own = node.group if node.group and not node.group.scope else None
        around = set().union(*(below[parent] for parent in node.parents if parent.op))
        below[node] = {own} if own else around if len(around) == 1 else set()
        if own:
            placed[own.of].add(own)
        for parent in node.parents:
            users[parent].append(node)
    found: dict[Value, Group] = {}
    for node in [*interior, *(leaf for leaf in users if leaf.op is None)]:  # users first
        if node.group and not node.group.scope:
            places = placed[node.group]
            found[node] = next(iter(places)) if node.op is None and len(places) == 1 else node.group
            continue
        if node.group:
            found[node] = node.group
        using = {found.get(user) for user in users[node]}
        [group] = using if len(using) == 1 else [None]
        if group and (node.group is None or _is_in(group, node.group)):
            constant = not node.requires_grad and not any(_sums_products(user) for user in users[node])
            if constant or below.get(node) == {group}:
                found[node] = group
    return found


def _is_in(group: Group | None, outer: Group) -> bool:
    """Return whether `group` is `outer` or inside `outer`."""
    while group and group is not outer:
        group = group.outer
    return group is outer


def _sums_products(node: Value) -> bool:
    """Return whether the node's operation is a sum of products, as its row in the table of operations says."""
    assert node.op is not None
    return node.op.lowerings.summands is not None and bool(node.op.lowerings.summands(*node.parents)[0])


def _folded(group: Group | None, fold: str | None) -> Group | None:
    """Return the group in whose single box a node of `group` is drawn, or None if the node has its own box.

    `fold` is one of FOLDS, or None to fold nothing.
    """
    if fold is None or group is None:
        return None
    if fold == "layer" and not group.scope and group.outer and not group.outer.scope:
        return group.outer
    while fold == "scope" and group.outer:
        group = group.outer
    return group


def readable_flow(root: Value, fold: str | None = "auto", steps: BackwardPass | None = None) -> Flow:
    """Return the boxes and edges of the graph below `root`. `steps` is the backward pass to show step by step, if any.

    `fold` is the kind of parts that are folded into single boxes, one of FOLDS, or None to fold nothing. If it is
    "auto", None is tried first and then each of FOLDS, until there are few enough boxes and edges to be read.
    """
    flow = Flow(root, None if fold == "auto" else fold, steps)
    if fold == "auto":
        for coarser in FOLDS:
            if len(flow.boxes) <= FULL_LABELS and len(flow.edges) <= READABLE_EDGES:
                break
            folded = Flow(root, coarser, steps)
            if len(folded.boxes) < len(flow.boxes):
                flow = folded
    return flow
