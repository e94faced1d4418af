"""A recorded graph, and its gradient, as instructions."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

from ... import ops
from ...engine import Value, topological_order, traverse
from ...ops.operation import Op
from .builder import CodeBuilder
from .code import AFTER, BATCH, SAMPLE, Pair

MOST_SELECTED = 4  # operands among which an operation selects by instructions; of more, a part is a product
DETACH = Op("detach", lambda x: x, (None,))  # what `detach()` is in a program: the number, and no gradient


def evaluation_order(outputs: Sequence[Value]) -> list[Value]:
    """Return the interior nodes below all outputs, operands first, each once; then the outputs, which may be leaves.

    >>> x = Value(1)
    >>> a = x.exp(); b = a * a
    >>> evaluation_order([a, b]) == [a, b, a, b]
    True
    """
    return [*reversed(topological_order(*reversed(outputs))), *outputs]


class _Received(NamedTuple):
    """What nodes receive on the way back, of which the sum is their gradient.

    Attributes:
        pairs: products.
        terms: what is added as it is.
    """

    pairs: dict[Value, list[Pair]]
    terms: dict[Value, list[int]]


class Graph:
    """A recorded graph as it is now: which of its leaves are parameters, and what the others are.

    Attributes:
        order: the interior nodes with their operations, operands first.
        parameters: the given ones, then other leaves that are neither inputs nor constants, in the order they are met.
        constants: the leaves that are constants, and what they are.
        code: without instructions yet, but with the formulas of the operations.

    Args:
        outputs: what is computed.
        inputs: the leaves that are inputs.
        given: leaves that are the first parameters, whether they are met or not.

    Raises:
        TypeError: an operation cannot be compiled.
        ValueError: a leaf requires a gradient now, and did not when it was used, so that none flows to it there.

    >>> x, w = Value(2), Value(3)
    >>> graph = Graph([w * x + w], [x])
    >>> len(graph.operations), graph.parameters == [w], graph.constants
    (2, True, {})
    """

    def __init__(self, outputs: Sequence[Value], inputs: Sequence[Value], given: Sequence[Value] = ()) -> None:
        self.outputs, self.inputs = outputs, inputs
        interior, leaves = traverse(*reversed(outputs))
        interior.reverse()
        self.operations = [(node, node.op) for node in interior if node.op]
        others = _met(interior, outputs, leaves.difference(inputs, given))
        self.parameters = [*given, *(x for x in others if x.requires_grad)]
        self.constants = {x: x.data for x in others if not x.requires_grad}
        self.code = CodeBuilder()
        for op, count in dict.fromkeys([(op, op.arity or len(node.operands)) for node, op in self.operations]):
            self.code.check(op, count)
        check_gradient_flow(
            interior, given
        )  # what was frozen when one of several programs was made may be trained in time


def _met(nodes: Iterable[Value], outputs: Iterable[Value], leaves: set[Value]) -> list[Value]:
    """Return leaves in the order in which nodes have them as operands, last those that are outputs alone."""
    if not leaves:
        return []
    met = chain(chain.from_iterable([node.operands for node in nodes]), outputs)
    return [x for x in dict.fromkeys(met) if x in leaves]


def check_gradient_flow(nodes: Iterable[Value], but: Collection[Value] = ()) -> None:
    """Raise ValueError if an operand requires a gradient now, and did not when a node was made of it.

    >>> x, w = Value(2), Value(3, "w")
    >>> w.requires_grad = False
    >>> y = w * x
    >>> check_gradient_flow([y])
    >>> w.requires_grad = True
    >>> check_gradient_flow([y])
    Traceback (most recent call last):
    ValueError: compile(): Value(data=3.0, grad=0.0, label='w') required no gradient when mul(...) was recorded with \
it, and does now, so that none flows there; record it anew, and write .detach() where none is to flow
    """
    for node in nodes:
        if node._da is not None and node._db is not None:
            continue
        for k, (x, partial) in enumerate(((node._a, node._da), (node._b, node._db))):
            if partial is not None or not isinstance(x, Value) or not x.requires_grad:
                continue
            assert node.op
            if node.op.selects and not _selected(node, k):
                continue
            if node.op.propagates_gradient_to(k) and x not in but:
                raise ValueError(
                    f"compile(): {x!r} required no gradient when {node.op.name}(...) was recorded with it, and does "
                    "now, so that none flows there; record it anew, and write .detach() where none is to flow"
                )


def _selected(node: Value, slot: int) -> bool:
    """Return whether an operation selected its operand."""
    assert node.op
    return bool(node.op.local_derivatives(node._data, *[x._data for x in node.parents])[slot])


class Lowering:
    """A recorded graph as instructions.

    Attributes:
        code: the instructions.
        width: how many inputs there are.
        parameters: those of the graph.
        outputs: the numbers of the outputs.
        totals: what is summed over the samples of a batch, each a sum of products; filled by `differentiate`.
        gradients: for each parameter, the number of its gradient, in phase AFTER; filled by `differentiate`.
    """

    def __init__(self, graph: Graph) -> None:
        self.code, self.parameters, self._constants = graph.code, graph.parameters, graph.constants
        self.width = len(graph.inputs)
        self.of: dict[Value, int] = {x: self.code.append(("input", i), SAMPLE) for i, x in enumerate(graph.inputs)}
        self._place = {leaf: k for k, leaf in enumerate(graph.parameters)}
        self.operations = graph.operations
        self.per_sample = {
            *graph.inputs
        }  # and, after `differentiate`, all above: what is folded may have such a gradient
        for node, op in self.operations:
            self._visit(node, op)
        self._outputs = graph.outputs
        self.outputs = [self.of[x] if x in self.of else self._leaf(x) for x in graph.outputs]
        self.totals: list[tuple[Pair, ...]] = []
        self.gradients: list[int] = []
        self._flowing: dict[Op, list[bool]] = {}  # whether a gradient flows to each operand

    def _visit(self, node: Value, op: Op) -> None:
        of, operands = self.of, node.parents if op.lowerings.summands else node.operands
        xs = [of[x] if x in of else self._leaf(x) for x in operands]
        products, addends = op.lowerings.summands(*operands) if op.lowerings.summands else (True, ())
        if products:
            of[node] = self.code.apply(op, xs)
            return
        pairs, terms = list[Pair](), list[int]()
        for x in addends:
            factors = self._factors(x)
            pairs += factors
            if not factors:
                terms.append(of[x])
        of[node] = self.code.dot(pairs, [*terms, self.code.constant(0.0)], "sum")

    def _leaf(self, leaf: Any) -> int:
        """Return the number of a leaf that is met for the first time, or of a float."""
        if type(leaf) is float:
            return self.code.constant(leaf)
        if leaf in self._place:
            number = self.code.append(("parameter", self._place[leaf]), BATCH)
        else:
            number = self.code.constant(self._constants.get(leaf, leaf.data))
        self.of[leaf] = number
        return number

    def _factors(self, node: Value) -> list[Pair]:
        """Return the pair of which a node is the product; a sum of these may be a loop."""
        factors = tuple(sorted([self.of[p] if p in self.of else self._leaf(p) for p in node.operands]))
        return [factors] if self.code.instructions[self.of[node]] == ("fmul", *factors) else []  # type: ignore[list-item]

    def differentiate(self) -> None:
        """Add the gradient of the one output with respect to every parameter: the chain rule, as backward() has it.

        Gradients that samples give to a node of an earlier phase are averaged over the batch, then passed on to its
        operands.
        """
        [root] = self._outputs
        wanted = set(self.parameters)
        for node, op in self.operations:
            parents = node.operands
            if not self.per_sample.isdisjoint(parents):
                self.per_sample.add(node)
            if not wanted.isdisjoint(parents) and (op.lowerings.summands or _flows(op, parents, wanted)):
                wanted.add(node)
        received = _Received({node: [] for node in wanted}, {node: [] for node in wanted})
        self._certain = {root}  # nodes that a gradient reaches, whatever operations on the way select
        self._sources: dict[Value, list[tuple[Value, int | None]]] = {}  # of others: nodes, and the slot if they select
        self._reach: dict[Value, int] = {}
        if root in wanted:
            received.terms[root].append(self.code.append(("seed",), SAMPLE))
        for node, op in reversed(self.operations):
            if node in wanted and (received.pairs[node] or received.terms[node]):
                upstream = self._gradient(node, received)
                if op.lowerings.summands:
                    self._pass_on_sum(op, node, upstream, received)
                else:
                    self._pass_on(op, node, upstream, received)
        self.gradients = [self._gradient(leaf, received) for leaf in self.parameters]

    def _pass_on(self, op: Op, node: Value, upstream: int, received: _Received) -> None:
        """Give the operands their part of a gradient."""
        pairs, terms = received
        parents, of, certain = node.operands, self.of, node in self._certain
        xs = [of[x] if x in of else self._leaf(x) for x in parents]
        selects = op.selects and len(parents) <= MOST_SELECTED
        partials = self.code.parts(op, upstream, xs) if selects else self.code.partials(op, of[node], xs)
        if (flows := self._flowing.get(op)) is None or len(flows) != len(parents):
            flows = self._flowing[op] = [op.propagates_gradient_to(k) for k in range(len(parents))]
        for slot, (parent, partial, flow) in enumerate(zip(parents, partials, flows, strict=True)):
            if not flow or parent not in pairs:
                continue
            self._spread(node, parent, slot if op.selects else None)
            if selects:
                if self.code.value(partial) != 0.0:
                    terms[parent].append(partial)
            elif self.code.value(partial) == 1.0:
                terms[parent].append(upstream)
            elif certain or op.selects or self.code.value(partial) is not None:
                pairs[parent].append((upstream, partial))
            else:  # a gradient of 0 may stand for nothing, and 0 times an infinite local derivative would be nan
                product = self.code.emit("fmul", upstream, partial)
                terms[parent].append(
                    self.code.apply(ops.where, [self._reach_of(node), product, self.code.constant(0.0)])
                )

    def _pass_on_sum(self, op: Op, node: Value, upstream: int, received: _Received) -> None:
        """Do the same for a sum of products and terms; the derivative of a product is its other factor."""
        assert op.lowerings.summands
        pairs, terms = received
        products, added = op.lowerings.summands(*node.parents)
        one, of = self.code.constant(1.0), self.of
        for x in (*chain.from_iterable(products), *added):
            if x in terms:
                self._spread(node, x, None)
        for sides in (products, [(b, a) for a, b in products]):
            for a, b in sides:
                if a in pairs:
                    if (factor := of[b]) == one:
                        terms[a].append(upstream)
                    else:
                        pairs[a].append((upstream, factor))
        for x in added:
            if x in terms:
                terms[x].append(upstream)

    def _spread(self, source: Value, target: Value, slot: int | None) -> None:
        """Note that a node passes on what reaches it; `slot` is the operand's if the node's operation selects."""
        if slot is None and source in self._certain:
            self._certain.add(target)
        elif target not in self._certain:
            self._sources.setdefault(target, []).append((source, slot))

    def _reach_of(self, node: Value) -> int:
        """Return the number of what is 0 if no gradient reaches a node, and more than 0 if one does.

        Nothing reaches a node if the operations on every way to it have selected other operands.
        """
        one = self.code.constant(1.0)
        stack = [node]
        while stack:
            sources = self._sources[stack[-1]]
            waiting = [x for x, _ in sources if x not in self._certain and x not in self._reach]
            if waiting:
                stack += waiting
                continue
            terms = []
            for source, slot in sources:
                passed = self._reach.get(source, one)
                if slot is not None:
                    assert source.op
                    xs = [self.of[x] if x in self.of else self._leaf(x) for x in source.operands]
                    passed = self.code.parts(source.op, passed, xs)[slot]
                terms.append(passed)
            self._reach[stack.pop()] = self.code.dot([], terms)
        return self._reach[node]

    def _gradient(self, node: Value, received: _Received) -> int:
        """Return the number of the sum of what a node received."""
        code, pairs, terms = self.code, received.pairs[node], received.terms[node]
        if node in self.per_sample:
            return code.dot(pairs, terms)
        per_sample = code.per_sample
        if len(pairs) == 1 and not terms and pairs[0][0] in per_sample:  # at once, since every weight of a layer is so
            return self._total(tuple(pairs))
        products = [pair for pair in pairs if pair[0] in per_sample]
        others = [pair for pair in pairs if pair[0] not in per_sample]
        products += [(t, code.constant(1.0)) for t in terms if t in per_sample]
        rest = [t for t in terms if t not in per_sample]
        if products:
            rest.append(self._total(tuple(products)))
        return code.dot(others, rest)

    def _total(self, products: tuple[Pair, ...]) -> int:
        """Return the number of what is summed over the samples."""
        self.totals.append(products)
        return self.code.append(("total", len(self.totals) - 1), AFTER)


def _flows(op: Op, parents: Sequence[Value], wanted: Container[Value]) -> bool:
    """Return whether a gradient flows to one of the wanted operands."""
    return any(x in wanted and op.propagates_gradient_to(k) for k, x in enumerate(parents))
