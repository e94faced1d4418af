"""A recorded graph, and its gradient, as instructions."""

from __future__ import annotations

from collections.abc import Sequence

from ..engine import Value, topological_order
from ..operation import Op
from .instructions import AFTER, BATCH, SAMPLE, Code, Pair, parted


def ordered(outputs: Sequence[Value]) -> list[Value]:
    """Return the interior nodes below all outputs, operands first, each once; then the outputs, which may be leaves.

    >>> x = Value(1)
    >>> a = x.exp(); b = a * a
    >>> ordered([a, b]) == [a, b, a, b]
    True
    """
    return [*reversed(topological_order(*reversed(outputs))), *outputs]


class Lowering:
    """A recorded graph as instructions.

    Attributes:
        code: the instructions.
        columns: how many inputs there are.
        parameters: the leaves that are neither inputs nor constants, in the order in which they are met.
        constants: the leaves that are constants, and what they are.
        outputs: the numbers of the outputs.
        totals: what is summed over the samples of a batch, each a sum of products; filled by `differentiate`.
        gradients: for each parameter, the number of its gradient, in phase AFTER; filled by `differentiate`.

    Args:
        outputs: what is computed.
        inputs: the leaves that are inputs.
        parameters: leaves that are the first parameters, whether they are met or not.
    """

    def __init__(self, outputs: Sequence[Value], inputs: Sequence[Value], parameters: Sequence[Value] = ()) -> None:
        self.code = Code()
        self.columns = len(inputs)
        self.constants: dict[Value, float] = {}
        self.parameters: list[Value] = []
        self.of: dict[Value, int] = {x: self.code.leaf(("input", i), SAMPLE) for i, x in enumerate(inputs)}
        for leaf in parameters:
            self._parameter(leaf)
        self.order: list[tuple[Value, Op]] = []  # interior nodes, operands first
        self.sampled = set(inputs)  # and what depends on them, be it by a partial alone; filled by `differentiate`
        for node in ordered(outputs):
            if node not in self.of:
                self._visit(node)
        self._outputs = outputs
        self.outputs = [self.of[output] for output in outputs]
        self.totals: list[tuple[Pair, ...]] = []
        self.gradients: list[int] = []

    def _parameter(self, leaf: Value) -> None:
        self.of[leaf] = self.code.leaf(("parameter", len(self.parameters)), BATCH)
        self.parameters.append(leaf)

    def _visit(self, node: Value) -> None:
        op = node.op
        for leaf in node.parents if op else (node,):
            if leaf.op is None and leaf not in self.of:
                if leaf.requires_grad:
                    self._parameter(leaf)
                else:
                    self.constants[leaf] = leaf.data
                    self.of[leaf] = self.code.constant(leaf.data)
        if not op:
            return
        self.order.append((node, op))
        if op.summands and not op.summands(*node.parents)[0]:
            _, addends = op.summands(*node.parents)
            pairs = [pair for p in addends for pair in self._factors(p)]
            terms = [self.of[p] for p in addends if not self._factors(p)]
            self.of[node] = self.code.dot(pairs, [*terms, self.code.constant(0.0)], "sum")
        else:
            self.of[node] = self.code.apply(op, [self.of[parent] for parent in node.parents])

    def _factors(self, node: Value) -> list[Pair]:
        """Return the pair of which a node is the product; a sum of these may be a loop."""
        factors = tuple(sorted([self.of[p] for p in node.parents]))
        return [factors] if self.code.instructions[self.of[node]] == ("fmul", *factors) else []  # type: ignore[list-item]

    def differentiate(self) -> None:
        """Add the gradient of the one output with respect to every parameter: the chain rule, as backward() has it.

        What a sample contributes to a node of an earlier phase is added to a total, of which the mean over the batch
        goes on to the operands of that node.
        """
        [root] = self._outputs
        wanted = set(self.parameters)
        for node, op in self.order:
            if any(x in wanted and op.flows(slot) for slot, x in enumerate(node.parents)):
                wanted.add(node)
            if not self.sampled.isdisjoint(node.parents):
                self.sampled.add(node)
        pairs: dict[Value, list[Pair]] = {node: [] for node in wanted}
        terms: dict[Value, list[int]] = {node: [] for node in wanted}
        if root in wanted:
            terms[root].append(self.code.leaf(("seed",), SAMPLE))
        for node, op in reversed(self.order):
            if node in wanted and (pairs[node] or terms[node]):
                upstream, parents = self._gradient(node, pairs, terms), node.parents
                slots = [self.of[parent] for parent in parents]
                for slot, (parent, partial) in enumerate(zip(parents, self._partials(node, op, slots), strict=True)):
                    if parent in wanted and op.flows(slot):
                        if self.code.value(partial) == 1.0:
                            terms[parent].append(upstream)
                        else:
                            pairs[parent].append((upstream, partial))
        self.gradients = [self._gradient(leaf, pairs, terms) for leaf in self.parameters]

    def _partials(self, node: Value, op: Op, slots: list[int]) -> list[int]:
        if op.summands:  # however many, its own operands
            pairs, terms = op.summands(*range(len(slots)))
            partials = dict.fromkeys(terms, self.code.constant(1.0))
            for a, b in pairs:
                partials[a], partials[b] = slots[b], slots[a]
            return [partials[i] for i in range(len(slots))]
        return self.code.partials(op, self.of[node], slots)

    def _gradient(self, node: Value, pairs: dict[Value, list[Pair]], terms: dict[Value, list[int]]) -> int:
        """Return the number of the sum of what a node received."""
        code = self.code
        if node in self.sampled:
            return code.dot(pairs[node], terms[node], "adjoint")
        products, others = parted(pairs[node], lambda pair: pair[0] in code.sampled)
        samples, rest = parted(terms[node], code.sampled.__contains__)
        products += [(t, code.constant(1.0)) for t in samples]
        if products:
            rest.append(code.leaf(("total", len(self.totals)), AFTER))
            self.totals.append(tuple(products))
        return code.dot(others, rest, "adjoint")
