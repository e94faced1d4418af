"""Append the instructions of a gradient by the chain rule: reverse mode, as in `Value.backward`."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Container, Sequence
from itertools import chain, groupby
from typing import NamedTuple

from ... import ops
from ...derivatives.selected import Gates
from ...engine import Value
from ...gradients import GradientReach
from ...ops.operation import Op
from .code import AFTER, SAMPLE, Pair, Scatter
from .formulas import is_of_the_table
from .lowering import Lowering

# The gradient of a `take` from at most so many operands is made of selects instead of a `Scatter`. `CodeBuilder.apply`
# takes one of 4 operands by a gather, but for their gradients, selects are faster in threaded and in native code.
MAX_SELECTED_GRADIENTS = 4
FEW_OPERANDS = 8  # an operand is searched among so few one by one, and otherwise in a set


NO_GRADIENT = -1  # stands for the instruction number of a gradient that is not computed


def differentiate(lowering: Lowering, gates: Gates = Gates.ALL, variables: Collection[Value] | None = None) -> None:
    """Append instructions for the gradient of the only output's mean over the rows of a batch.

    The gradient is with respect to those of the parameters that are in `variables`, or to every parameter if
    `variables` is None. The number of every other gradient is `NO_GRADIENT`. The chain rule is applied as in
    `Value.backward`. If a node does not depend on the row, but the nodes that have it as an operand do, their
    contributions to its gradient are added up over the rows of a batch, in a total. The total divided by the number of
    rows is then propagated to the operands of the node.

    If an operation did not select a node, the node's gradient is 0, and its product with an infinite partial
    derivative would be nan. A gate prevents this: it replaces the partial derivative by 0 where no gradient
    reaches the node. A layer of a network has a gate for each weight, although factors are rarely infinite. So with
    `Gates.NONE`, gates are omitted for the factors of multiplications and of sums of products. If a factor is infinite
    after all, a gradient may be nan. If all gradients are finite, they are equal to those that code with all gates
    computes; see `micrograd_cn.compiler`. With `Gates.NOT_FOR_SUMS`, the factors in sums of products have no gates.
    Constants that are infinite or nan have gates in any case.
    """
    _ReverseMode(lowering, gates, variables).run()


class _Contributions(NamedTuple):
    """The summands of each node's gradient, which the backward pass collects.

    Attributes:
        pairs: for each node through which gradients flow to parameters, and for each parameter, the summands that are
            products, each as the instruction numbers of two factors.
        terms: for each of these nodes that has summands other than products, the instruction numbers of those summands.
    """

    pairs: dict[Value, list[Pair]]
    terms: defaultdict[Value, list[int]]


class _ReverseMode:
    """One pass of reverse mode through a lowered graph, see `differentiate`."""

    def __init__(self, lowering: Lowering, gates: Gates, variables: Collection[Value] | None) -> None:
        self._lowering, self._gates, self._graph = lowering, gates, lowering.graph
        self._variables = self._graph.parameters if variables is None else variables
        self.code, self.number_of, self._numbers = lowering.code, lowering.number_of, lowering.numbers
        lowering.totals, lowering.omits_gates = [], False  # an earlier call may have been interrupted
        self.totals = lowering.totals
        # Phases do not tell which nodes depend on the row: one folded to a constant may have a gradient for each row.
        self.per_sample = {*self._graph.inputs}
        [self._root] = self._graph.outputs
        self._reach = _InstructionReach(lowering, self.per_sample)
        self._scatters: dict[tuple[Value, ...], Scatter] = {}  # the keys are the operands from which `take` selects
        self._slots: dict[tuple[Op, int], tuple[list[bool], list[bool]]] = {}  # the results of `_slots_of`

    def run(self) -> None:
        """Append the instructions, and set the lowering's attributes `totals`, `gradients` and `omits_gates`."""
        wanted = self._find_wanted()
        contributions = _Contributions({node: [] for node in wanted}, defaultdict(list))
        if self._root in wanted:
            contributions.terms[self._root].append(self.code.append(("seed",), SAMPLE))
        for node, op in reversed(self._graph.operations):
            if node in wanted and (contributions.pairs[node] or node in contributions.terms):
                upstream = self._gradient_of(node, contributions)
                if op.lowerings.summands:
                    self._propagate_through_sum(op, node, upstream, contributions)
                else:
                    self._propagate(op, node, upstream, contributions)
        self._lowering.gradients = self._gradients_of_parameters(contributions)

    def _find_wanted(self) -> set[Value]:
        """Return the variables, which are parameters, and the nodes through which gradients flow to them.

        At first, the attribute `per_sample` has the nodes that stand for the numbers of a sample. All nodes that depend
        on these are added to it.
        """
        wanted = set(self._variables)
        for node, op in self._graph.operations:
            parents = node.operands
            if not self.per_sample.isdisjoint(parents):
                self.per_sample.add(node)
            if not wanted.isdisjoint(parents) and (op.lowerings.summands or _any_propagates(op, parents, wanted)):
                wanted.add(node)
        return wanted

    def _propagate(self, op: Op, node: Value, upstream: int, contributions: _Contributions) -> None:
        """Append instructions for a node's contributions to the gradients of its operands.

        A contribution is the node's gradient times the partial derivative.

        Args:
            op: the operation of `node`.
            node: the node whose gradient is propagated to its operands.
            upstream: the instruction number of the node's gradient.
            contributions: the summands of all gradients, to which this method adds the products.
        """
        pairs, terms = contributions
        parents, code = node.operands, self.code
        xs = self._numbers(parents)
        flows, left_out = self._slots_of(op, len(parents))
        if op.lowerings.is_gather and op.selects and self._scatter(op, node, upstream, contributions):
            return
        chosen = code.contributions(op, upstream, xs) if op.selects else []
        partials = chosen if op.selects and all(left_out) else code.partials(op, self.number_of[node], xs)
        factors: Container[int] = xs if len(xs) <= FEW_OPERANDS else {*xs}
        for slot, parent in enumerate(parents):
            if not flows[slot] or parent not in pairs:
                continue
            if left_out[slot]:
                self._reach.spread(node, (parent,), slot)
                if code.constant_value(chosen[slot]) != 0.0:
                    terms[parent].append(chosen[slot])
                continue
            self._reach.spread(node, (parent,), None)
            if code.constant_value(partials[slot]) == 1.0:
                terms[parent].append(upstream)
            else:
                partial = partials[slot]
                pairs[parent].append((upstream, self._gated_if_needed(node, partial, partial in factors)))

    def _slots_of(self, op: Op, count: int) -> tuple[list[bool], list[bool]]:
        """Return two lists, which have a boolean for each operand of an operation.

        The first list says whether a gradient may flow to the operand. The second list says whether the operation may
        leave the operand unselected, as `where` leaves one of its operands. `count` is the number of operands.
        """
        if (known := self._slots.get((op, count))) is None:
            flows = [op.propagates_gradient_to(slot) for slot in range(count)]
            known = self._slots[op, count] = flows, [op.may_leave_out(slot) for slot in range(count)]
        return known

    def _gated_if_needed(self, node: Value, partial: int, is_factor: bool) -> int:
        """Return the instruction number of a partial derivative, or of a gate that is appended for it if it needs one.

        A gate selects 0 instead of the partial derivative if no gradient reaches the node, see `_gate`. There is none
        if a gradient reaches the node for all inputs, or if the partial derivative is a finite constant. Gates of
        factors that are not constants may be omitted, see `_may_omit_gates`.

        Args:
            node: the node whose gradient is multiplied by the partial derivative.
            partial: the instruction number of the partial derivative.
            is_factor: whether the partial derivative is one of the node's operands, so the node multiplies by it.
        """
        if node in self._reach.certain:
            return partial
        value = self.code.constant_value(partial)
        if value is not None and math.isfinite(value):
            return partial
        if value is None and is_factor and self._may_omit_gates(node):
            self._lowering.omits_gates = True
            return partial
        return self._gate(node, partial)

    def _may_omit_gates(self, node: Value) -> bool:
        """Return whether the gradients of the factors of `node`, a product, may be computed without gates.

        A gate replaces a partial derivative, which may be infinite, by 0 where no gradient reaches the node. Without
        it, a gradient may be nan. Gates may be omitted if this is asked for, and if such a nan is noticed. The driver
        `finish` looks for nan in the totals over the rows, or, if no node depends on the row, in the gradients. The
        gradient of a node that does not depend on the row is computed after the totals, so a nan in it would not be
        noticed if other nodes depend on the row.
        """
        return self._gates is Gates.NONE and (node in self.per_sample or not self.per_sample)

    def _gate(self, node: Value, partial: int) -> int:
        """Append an instruction that selects `partial`, or 0 if no gradient reaches the node. Return its number.

        `partial` is the instruction number of a partial derivative of the node. If no gradient reaches the node, the
        node's gradient is 0, and the product of this 0 and an infinite partial derivative would be nan.
        """
        return self.code.apply(ops.where, [self._reach.of(node), partial, self.code.constant(0.0)])

    def _scatter(self, op: Op, node: Value, upstream: int, contributions: _Contributions) -> bool:
        """Scatter the gradient of a `take`: in each row it is added to the total of the operand that the index selects.

        Args:
            op: the operation of the node. A user's own gather is left alone, since it may pass only a part of the
                gradient to the operand that it loads.
            node: the node of the `take`.
            upstream: the instruction number of the node's gradient.
            contributions: the summands of all gradients, to which this method adds the totals.

        Returns:
            whether the gradient is scattered. It is scattered only if the operation is this package's, it selects one
            of more than MAX_SELECTED_GRADIENTS operands, its index depends on the row, and none of these operands
            depends on the row.
        """
        index, *xs = node.parents
        if not is_of_the_table(op):
            return False
        if len(xs) <= MAX_SELECTED_GRADIENTS or index not in self.per_sample or not self.per_sample.isdisjoint(xs):
            return False
        key, (pairs, terms) = tuple(xs), contributions
        if key not in self._scatters:
            self._scatters[key] = _new_scatter(self._lowering, len(xs))
            for total, x in zip(self._scatters[key].totals, xs, strict=True):
                if x in pairs:
                    terms[x].append(self.code.append(("mean", total), AFTER))
        self._scatters[key].sources.append((self.number_of[index], upstream))
        self._reach.scattered.add(node)
        for slot, x in enumerate(xs, 1):
            if x in pairs:
                self._reach.spread(node, (x,), slot)
        return True

    def _propagate_through_sum(self, op: Op, node: Value, upstream: int, contributions: _Contributions) -> None:
        """Append instructions for the contributions of a sum of products to the gradients of its operands.

        The operands are the factors of the products, and the terms that are added without a factor. The partial
        derivative with respect to a factor is the other factor of the product, and with respect to a term it is 1.

        Args:
            op: the operation that computes the sum.
            node: the node of the sum.
            upstream: the instruction number of the node's gradient.
            contributions: the summands of all gradients, to which this method adds those of the operands.
        """
        assert op.lowerings.summands
        pairs, terms = contributions
        products, added = op.lowerings.summands(*node.parents)
        reached = [x for x in chain(chain.from_iterable(products), added) if x in pairs]
        self._reach.spread(node, reached, None)
        one, number_of = self.code.constant(1.0), self.number_of
        certain = node in self._reach.certain
        omits = not certain and self._may_omit_gates(node)
        self._lowering.omits_gates |= omits
        each_gated = not (certain or omits or self._gates is Gates.NOT_FOR_SUMS)
        infinite = None if certain else self._lowering.infinite
        for sides in (products, [(b, a) for a, b in products]):
            for a, b in sides:
                if a in pairs:
                    if (factor := number_of[b]) == one:
                        terms[a].append(upstream)
                    elif each_gated or (infinite and factor in infinite):
                        pairs[a].append((upstream, self._gated_if_needed(node, factor, True)))
                    else:
                        pairs[a].append((upstream, factor))
        for x in added:
            if x in pairs:
                terms[x].append(upstream)

    def _gradients_of_parameters(self, contributions: _Contributions) -> list[int]:
        """Append the gradients of all parameters, and return their instruction numbers.

        Most parameters are weights of layers. The gradient of such a weight is one total: a sum, over the rows of a
        batch, of a product. The totals of such parameters that follow one another are appended together, which saves
        time.
        """
        (pairs, terms), per_sample, found = contributions, self.code.per_sample, list[int]()

        def is_one_total(leaf: Value) -> bool | None:
            """Return whether the gradient of a leaf is one total; None if it is not wanted."""
            if (products := pairs.get(leaf)) is None:
                return None
            return len(products) == 1 and products[0][0] in per_sample and leaf not in terms

        for one_total, leaves in groupby(self._graph.parameters, is_one_total):
            if one_total is None:
                found += [NO_GRADIENT for _ in leaves]
            elif one_total:
                first = len(self.totals)
                self.totals += [tuple(pairs[leaf]) for leaf in leaves]
                found += self.code.append_leaves([("mean", k) for k in range(first, len(self.totals))], AFTER)
            else:
                found += [self._gradient_of(leaf, contributions) for leaf in leaves]
        return found

    def _gradient_of(self, node: Value, contributions: _Contributions) -> int:
        """Append a node's gradient, the sum of the contributions to it, and return its instruction number."""
        code, pairs, terms = self.code, contributions.pairs[node], contributions.terms.get(node, [])
        if node in self.per_sample:
            return code.dot(pairs, terms)
        per_sample = code.per_sample
        products = [pair for pair in pairs if pair[0] in per_sample]
        others = [pair for pair in pairs if pair[0] not in per_sample]
        products += [(t, code.constant(1.0)) for t in terms if t in per_sample]
        rest = [t for t in terms if t not in per_sample]
        if products:
            rest.append(_total(self._lowering, tuple(products)))
        return code.dot(others, rest)


class _InstructionReach(GradientReach[int, int]):
    """Append instructions whose values say which nodes a gradient reaches: the value is 0 for a node that none reaches.

    A gradient flows from a source, a node, to a target, one of its operands. The `selection` of a target is its index
    among the operands if the operation of the source may leave it unselected, and otherwise None. If the source depends
    on the row, and the target does not, the value for the target is a total over the rows of a batch: it is 0 only if
    no gradient reaches the target in any row.

    Args:
        lowering: the lowered graph, to whose code the instructions are appended.
        per_sample: the nodes that depend on the row.

    Attributes:
        scattered: the nodes of `take` whose gradients are scattered.
    """

    def __init__(self, lowering: Lowering, per_sample: set[Value]) -> None:
        super().__init__(lowering.graph.outputs, lowering.code.constant(1.0))
        self._lowering, self._code, self._per_sample = lowering, lowering.code, per_sample
        self.scattered: set[Value] = set()
        # For some of these nodes, totals that tell whether a gradient reaches each operand in any row
        self._scatters: dict[Value, Scatter] = {}
        self._totals: dict[int, int] = {}  # the total of each number, where one is needed

    def _through(self, source: Value, selection: int | None, target: Value) -> int:
        lowering, code, reach = self._lowering, self._code, self._found.get(source, self._one)
        if selection is not None and source in self.scattered:
            if source not in self._scatters:
                self._scatters[source] = _new_scatter(lowering, len(source.operands) - 1)
                self._scatters[source].sources.append((lowering.number_of[source.operands[0]], reach))
            return code.append(("mean", self._scatters[source].totals[selection - 1]), AFTER)
        if selection is not None:
            assert source.op
            chosen = code.contributions(source.op, reach, lowering.numbers(source.operands))[selection]
            zero, (opcode, *used) = code.constant(0.0), code.instructions[chosen]
            if opcode == "select" and {*used[1:]} == {reach, zero}:
                reach = chosen
            else:  # contributions of a user's own operation may cancel, or underflow, but what reaches a node may not
                reach = code.apply(ops.where, [chosen, reach, zero])
        if target in self._per_sample or reach not in code.per_sample:
            return reach
        if reach not in self._totals:
            self._totals[reach] = _total(lowering, ((reach, self._one),))
        return self._totals[reach]

    def _sum(self, terms: list[int]) -> int:
        return self._code.dot([], [*dict.fromkeys(terms)])


def _total(lowering: Lowering, products: tuple[Pair, ...]) -> int:
    """Add a total to `lowering.totals`: the sum of these products over the rows of a batch.

    Return the instruction number of the mean, which is the total divided by the number of rows.
    """
    lowering.totals.append(products)
    return lowering.code.append(("mean", len(lowering.totals) - 1), AFTER)


def _new_scatter(lowering: Lowering, count: int) -> Scatter:
    """Append `count` totals, sums over the rows of a batch, to `lowering.totals`. Return a `Scatter` that has them.

    It has no sources yet.
    """
    first = len(lowering.totals)
    scatter = Scatter(range(first, first + count), [])
    lowering.totals += [scatter] * count
    return scatter


def _any_propagates(op: Op, parents: Sequence[Value], wanted: Container[Value]) -> bool:
    """Return whether an operation with the operands `parents` propagates a gradient to an operand in `wanted`."""
    return any(x in wanted and op.propagates_gradient_to(k) for k, x in enumerate(parents))
