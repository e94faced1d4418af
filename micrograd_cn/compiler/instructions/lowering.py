"""Lower a graph, and its gradient by the chain rule, to a list of instructions, `Code`."""

from __future__ import annotations

import math
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any, NamedTuple

from ... import ops
from ...engine import Value, topological_order, traverse
from ...ops.operation import Op, Selection
from ...ops.registry import is_known
from ...text.formula import FormulaSteps
from .builder import CodeBuilder, is_of_the_table
from .code import AFTER, BATCH, SAMPLE, Pair, Scatter

# The gradient of a `take` from at most so many operands is made of selects instead of a `Scatter`. `CodeBuilder.apply`
# takes one of 4 operands by a gather, but for their gradients, selects are faster in threaded and in native code.
MAX_SELECTED_GRADIENTS = 4


class _Detach(Op):
    """The operation that `detach()` records in a compiled function: the identity, but no gradient flows through it."""

    is_step = False


DETACH = _Detach("detach", lambda x: x, (None,))


def evaluation_order(outputs: Sequence[Value]) -> list[Value]:
    """Return the interior nodes from which outputs are computed, followed by the outputs.

    Each interior node is in the first part once, after its operands. The outputs are added at the end because an output
    may be a leaf.

    >>> x = Value(1)
    >>> a = x.exp(); b = a * a
    >>> evaluation_order([a, b]) == [a, b, a, b]
    True
    """
    return [*reversed(topological_order(*reversed(outputs))), *outputs]


def is_check(operation: tuple[Value, Op]) -> bool:
    """Return whether an operation of a graph, given with its node, is a `where` that chooses between a value and nan.

    >>> x = Value(1)
    >>> is_check((x, ops.where)), [is_check((y, y.op)) for y in (ops.where(x, x, math.nan), ops.where(x, x, 0.0))]
    (False, [True, False])
    """
    node, op = operation
    return op.lowerings.machine == "select" and any(map(is_nan, node.operands))


def is_nan(x: Any) -> bool:
    """Return whether an operand is the constant nan, and not a node whose data are nan only at the moment."""
    return math.isnan(x._data) and not (x.op or x.requires_grad) if isinstance(x, Value) else math.isnan(x)


class _Contributions(NamedTuple):
    """The summands of each node's gradient, which the backward pass collects.

    Attributes:
        pairs: for each node, the summands that are products, each as the instruction numbers of two factors.
        terms: for each node, the instruction numbers of the other summands.
    """

    pairs: dict[Value, list[Pair]]
    terms: dict[Value, list[int]]


class Graph:
    """The operations of a recorded graph in order, and its leaves, sorted into inputs, parameters and constants.

    Attributes:
        operations: the interior nodes with their operations, operands first.
        parameters: the nodes in `first_parameters`, followed by the other leaves that require a gradient and are no
            inputs, in the order in which the graph uses them first.
        constants: a dict from each leaf that is neither an input nor a parameter to its value.
        has_gathers: whether an operation is a gather: its first operand is an index, and it takes one of the others.
        runs_users_code: whether an operation is a user's own. Its functions are called when the graph is lowered or
            differentiated.
        users_formulas: the traced formulas of users' operations, which all `CodeBuilder`s for this graph share.
        has_checks: whether an operation is a `where` that chooses between a number and nan, as losses do to check their
            targets.

    Args:
        outputs: the nodes whose values are computed.
        inputs: the leaves that are inputs.
        first_parameters: leaves that are the first parameters, whether the graph uses them or not.

    Raises:
        TypeError: an operation cannot be compiled.
        ValueError: a node requires a gradient now, but did not when it became an operand of another node, see
            `check_gradient_flow`.

    >>> x, w = Value(2), Value(3)
    >>> graph = Graph([w * x + w], [x])
    >>> len(graph.operations), graph.parameters == [w], graph.constants
    (2, True, {})
    """

    def __init__(
        self, outputs: Sequence[Value], inputs: Sequence[Value], first_parameters: Sequence[Value] = ()
    ) -> None:
        self.outputs, self.inputs = outputs, inputs
        interior, leaves = traverse(*reversed(outputs))
        interior.reverse()
        self.operations = [(node, node.op) for node in interior if node.op]
        others = _in_order_of_use(interior, outputs, leaves.difference(inputs, first_parameters))
        self.parameters = [*first_parameters, *(x for x in others if x.requires_grad)]
        self.constants = {x: x.data for x in others if not x.requires_grad}
        self._kinds = dict.fromkeys([(op, op.arity or len(node.operands)) for node, op in self.operations])
        self.users_formulas: dict[Any, FormulaSteps] = {}
        self._code = self._checked_code(self.users_formulas)
        self.runs_users_code = not all(is_of_the_table(op) for op, _ in self._kinds)
        self._traced = self._trace_users_operations(self._code) if self.runs_users_code else {}
        self.has_gathers = any(op.lowerings.is_gather for op, _ in self._kinds)
        choosing = {op for op, _ in self._kinds if op.lowerings.machine == "select"}
        self.has_checks = any(map(is_check, [pair for pair in self.operations if pair[1] in choosing]))
        check_gradient_flow(interior, first_parameters)  # first parameters may be frozen while the graph is recorded

    def _checked_code(self, users_formulas: dict[Any, FormulaSteps]) -> CodeBuilder:
        code = CodeBuilder(users_formulas)
        for op, count in self._kinds:
            code.check(op, count)
        return code

    def _trace_users_operations(self, code: CodeBuilder) -> dict[Any, FormulaSteps]:
        """Have `code` trace the partials of users' operations. Return all formulas that it has of these operations.

        The partials are left out if no output requires a gradient. If the partials of an operation cannot be traced,
        the error is raised only when they are needed, which may be never.
        """
        for op, count in self._kinds if any(y.requires_grad for y in self.outputs) else ():
            if not is_known(op):
                for kind in ("partials", "contributions") if op.selects else ("partials",):
                    with suppress(TypeError):  # of a partial that no formula can stand for
                        for row, used in code.formula((op, kind), [None] * (count + 1), op).steps:
                            code.check(row, len(used))
        return dict(code.users_formulas)

    def changed_operation(self) -> str:
        """Return the name of a user's operation that computes something else now than when the graph was made.

        Return "" if there is none. The functions of such an operation may read a variable, which can change. Code
        for this graph would go on computing what they computed when the graph was made.
        """
        if not self.runs_users_code:
            return ""
        now: dict[tuple[str, str, int], set[str]] = {}
        with suppress(TypeError):  # if an operation cannot be traced any more, it counts as changed
            now = _texts(self._trace_users_operations(self._checked_code({})))
        return next((key[0] for key, texts in _texts(self._traced).items() if now.get(key) != texts), "")

    def take_code(self) -> CodeBuilder:
        """Return a `CodeBuilder` without instructions. Its method `check` has checked all operations of the graph.

        Each call returns another object, even if several threads call the method at the same time.
        """
        code: CodeBuilder | None = vars(self).pop("_code", None)  # one call into C, so one thread alone gets it
        return code or self._checked_code(self.users_formulas)


def _texts(formulas: Mapping[Any, FormulaSteps]) -> dict[tuple[str, str, int], set[str]]:
    """Return formulas of users' operations as texts, without the formulas in which an input is a constant.

    The keys of the result have the name of the operation, the kind of formula, and the count of its inputs.
    """
    found: dict[tuple[str, str, int], set[str]] = {}
    for ((op, kind), known), steps in formulas.items():
        if {*known} <= {None}:
            found.setdefault((op.name, kind, len(known)), set()).add(str(steps))
    return found


def _in_order_of_use(nodes: Iterable[Value], outputs: Iterable[Value], leaves: set[Value]) -> list[Value]:
    """Return `leaves` in the order in which `nodes` have them as operands; leaves that are only outputs come last."""
    if not leaves:
        return []
    met = chain(chain.from_iterable([node.operands for node in nodes]), outputs)
    return [x for x in dict.fromkeys(met) if x in leaves]


def check_gradient_flow(nodes: Iterable[Value], exempt: Collection[Value] = ()) -> None:
    """Raise ValueError if an operand of a node requires a gradient now, but did not when the node was recorded.

    Such a node kept no partial derivative for the operand, so no gradient would flow to the operand. No error is raised
    for operands in `exempt`, and for operands to which the node's operation would pass no gradient anyway.

    >>> x, w = Value(2), Value(3, "w")
    >>> w.requires_grad = False
    >>> y = w * x
    >>> check_gradient_flow([y])
    >>> w.requires_grad = True
    >>> check_gradient_flow([y])
    Traceback (most recent call last):
    ValueError: compile(): Value(data=3.0, grad=0.0, label='w') requires a gradient, but did not when mul(...) was \
recorded with it, so it would get none there; record the graph again, and write .detach() where no gradient is wanted
    """
    for node in nodes:
        if node._da is None:
            _check_operand(node, 0, node._a, exempt)
        if node._db is None and node._b is not None:
            _check_operand(node, 1, node._b, exempt)


def _check_operand(node: Value, slot: int, x: Any, exempt: Collection[Value]) -> None:
    """Raise ValueError if the operand `x` in `slot` requires a gradient, since `node` has no partial derivative for it.

    No error is raised if x is in `exempt`, or if the operation of `node` passes no gradient to x in any case.
    """
    if not isinstance(x, Value) or not x.requires_grad:
        return
    op: Any = node.op
    partial = op.partials[slot]
    if type(partial) is Selection:  # which may not select x, so it sends nothing to x whether x is frozen or not
        partial = partial.weight(*[each._data if isinstance(each, Value) else each for each in node.operands])
    if partial and x not in exempt:
        raise ValueError(
            f"compile(): {x!r} requires a gradient, but did not when {op.name}(...) was recorded with it, so it would "
            "get none there; record the graph again, and write .detach() where no gradient is wanted"
        )


class Lowering:
    """The instructions that compute a graph and, once `differentiate` was called, its gradient.

    Args:
        graph: the graph.

    Attributes:
        code: the instructions.
        width: the count of inputs, which is the length of a row.
        parameters: the graph's parameters.
        number_of: for each node that was lowered, the number of the instruction that computes it.
        operations: the interior nodes with their operations, operands first.
        per_sample: a set with the inputs. `differentiate` adds the nodes that depend on inputs.
        outputs: the instruction numbers of the outputs.
        totals: the sums over the rows of a batch that the gradients need. A row has the numbers of one sample. A total
            is a tuple of pairs of instruction numbers, and adds up the products of these pairs for all rows. Or it is
            one of the totals of a `Scatter`. `differentiate` fills this list.
        gradients: the instruction number of each parameter's gradient, in the order of `parameters`. `differentiate`
            fills this list.
        omits_gates: whether `differentiate` has omitted gates, so totals may be nan that should not be.

    >>> x, y = Value(2), Value(3)
    >>> lowering = Lowering(Graph([x * y], [x, y]))
    >>> lowering.code.instructions[:3], lowering.outputs
    ([('input', 0), ('input', 1), ('fmul', 0, 1)], [2])
    """

    def __init__(self, graph: Graph) -> None:
        self.code, self.parameters, self._constants = graph.take_code(), graph.parameters, graph.constants
        self.width = len(graph.inputs)
        self.number_of: dict[Value, int] = {
            x: self.code.append(("input", i), SAMPLE) for i, x in enumerate(graph.inputs)
        }
        self._infinite: set[int] = set()  # the instruction numbers of constant leaves that are inf or nan
        self._index_of_parameter = {leaf: k for k, leaf in enumerate(graph.parameters)}
        self.operations = graph.operations
        # Phases do not tell which nodes depend on the row: one folded to a constant may have a gradient for each row.
        self.per_sample = {*graph.inputs}
        for node, op in self.operations:
            self._lower(node, op)
        self._output_nodes = graph.outputs
        self.outputs = self._numbers(graph.outputs)
        # These are all constants that schedules and tables need, so those of forward code add no instruction
        for x in (1.0, -0.0, *[math.nan] * graph.has_gathers):
            self.code.constant(x)
        self.totals: list[tuple[Pair, ...] | Scatter] = []
        self.gradients: list[int] = []
        self.omits_gates = False
        self._slots: dict[tuple[Op, int], tuple[list[bool], list[bool]]] = {}  # the results of `_slots_of`

    def _lower(self, node: Value, op: Op) -> None:
        """Append the instructions of a node, by `CodeBuilder.apply`.

        But a node that only adds its operands, such as a `sum`, becomes a sum here. If an operand is a product, the sum
        has the product's factors instead.
        """
        number_of, operands = self.number_of, node.parents if op.lowerings.summands else node.operands
        xs = self._numbers(operands)
        products, addends = op.lowerings.summands(*operands) if op.lowerings.summands else (True, ())
        if products:
            number_of[node] = self.code.apply(op, xs)
            return
        pairs, terms = list[Pair](), list[int]()
        for x in addends:
            factors = self._factors(x)
            pairs += factors
            if not factors:
                terms.append(number_of[x])
        number_of[node] = self.code.sum_from_zero(pairs, terms, "sum")

    def _lower_leaf(self, leaf: Any) -> int:
        """Return the number of the instruction for a float or a leaf. The instruction is appended if it is missing."""
        if type(leaf) is float:
            return self.code.constant(leaf)
        if leaf in self._index_of_parameter:
            number = self.code.append(("parameter", self._index_of_parameter[leaf]), BATCH)
        else:
            data = self._constants.get(leaf, leaf.data)
            number = self.code.constant(data)
            if not math.isfinite(data):
                self._infinite.add(number)
        self.number_of[leaf] = number
        return number

    def _factors(self, node: Value) -> list[Pair]:
        """Return a list with the pair of factors of a node if it was lowered to a product, else an empty list.

        A node that adds such products is lowered to a sum of pairs of factors, since a loop may compute such a sum
        without storing the products.
        """
        factors = tuple(sorted(self._numbers(node.operands)))
        return [factors] if self.code.instructions[self.number_of[node]] == ("fmul", *factors) else []  # type: ignore[list-item]

    def differentiate(self, gated: bool = True) -> None:
        """Append instructions for the gradient of the only output's mean over the rows of a batch.

        The gradient is with respect to every parameter. The chain rule is applied as in `Value.backward`. If a node
        does not depend on the row, but the nodes that have it as an operand do, their contributions to its gradient are
        added up over the rows of a batch, in a total. The total divided by the count of rows is then propagated to the
        operands of the node.

        If an operation did not select a node, the node's gradient is 0, and its product with an infinite partial
        derivative would be nan. A gate prevents this: it replaces the partial derivative by 0 where no gradient
        reaches the node. A layer of a network would have a gate for each weight, although factors are rarely
        infinite. So if `gated` is not set, gates are omitted for the factors of multiplications that are computed for
        each row. If a factor is infinite after all, a total may be nan. If all totals are finite, all gradients are
        equal to those that code with gates computes. Code without gates is called optimistic; see
        `micrograd_cn.compiler`.
        """
        self._gated, self.omits_gates = gated, False
        self.totals = []  # an earlier call may have been interrupted
        [root] = self._output_nodes
        wanted = set(self.parameters)
        for node, op in self.operations:
            parents = node.operands
            if not self.per_sample.isdisjoint(parents):
                self.per_sample.add(node)
            if not wanted.isdisjoint(parents) and (op.lowerings.summands or _any_propagates(op, parents, wanted)):
                wanted.add(node)
        contributions = _Contributions({node: [] for node in wanted}, {node: [] for node in wanted})
        self._certain = {root}  # nodes that a gradient reaches, whatever the operations on the path select
        # For each other node, the users that may pass a gradient to it, each with the `slot` of `_spread`.
        self._sources: dict[Value, list[tuple[Value, int | None]]] = {}
        # The arguments of those calls of `_spread` that are not in `_sources` yet: few graphs ever need them there
        self._spreads: list[tuple[Value, Sequence[Value], int | None]] = []
        self._reach: dict[Value, int] = {}  # the numbers that `_reach_of` has returned
        self._reach_totals: dict[int, int] = {}  # the total of each of these numbers, where one is needed
        self._scatters: dict[tuple[Value, ...], Scatter] = {}  # by the operands from which `take` selects
        self._scattered: set[Value] = set()  # the nodes of `take` whose gradients are scattered
        self._reach_scatters: dict[Value, Scatter] = {}  # for some of them, in which rows a gradient is scattered
        if root in wanted:
            contributions.terms[root].append(self.code.append(("seed",), SAMPLE))
        for node, op in reversed(self.operations):
            if node in wanted and (contributions.pairs[node] or contributions.terms[node]):
                upstream = self._gradient_of(node, contributions)
                if op.lowerings.summands:
                    self._propagate_through_sum(op, node, upstream, contributions)
                else:
                    self._propagate(op, node, upstream, contributions)
        self.gradients = [self._gradient_of(leaf, contributions) for leaf in self.parameters]

    def _propagate(self, op: Op, node: Value, upstream: int, contributions: _Contributions) -> None:
        """Append instructions for a node's contributions to the gradients of its operands.

        A contribution is the node's gradient times the partial derivative.

        Args:
            op: the node's operation.
            node: the node.
            upstream: the instruction number of the node's gradient.
            contributions: the summands of all gradients, to which this method adds the products.
        """
        pairs, terms = contributions
        parents, code, certain = node.operands, self.code, node in self._certain
        xs = self._numbers(parents)
        flows, left_out = self._slots_of(op, len(parents))
        if op.lowerings.is_gather and op.selects and self._scatter(op, node, upstream, terms):
            return
        chosen = code.contributions(op, upstream, xs) if op.selects else []
        partials = chosen if op.selects and all(left_out) else code.partials(op, self.number_of[node], xs)
        for slot, parent in enumerate(parents):
            if not flows[slot] or parent not in pairs:
                continue
            if left_out[slot]:
                self._spread(node, (parent,), slot)
                if code.constant_value(chosen[slot]) != 0.0:
                    terms[parent].append(chosen[slot])
                continue
            self._spread(node, (parent,), None)
            value = code.constant_value(partials[slot])
            if value == 1.0:
                terms[parent].append(upstream)
            elif certain or (value is not None and math.isfinite(value)):
                pairs[parent].append((upstream, partials[slot]))
            elif not self._gated and partials[slot] in xs and value is None and node in self.per_sample:
                self.omits_gates = True
                pairs[parent].append((upstream, partials[slot]))
            else:
                pairs[parent].append((upstream, self._if_reached(node, partials[slot])))

    def _slots_of(self, op: Op, count: int) -> tuple[list[bool], list[bool]]:
        """Return two lists: for each operand, whether a gradient may flow to it, and whether it may be left unselected.

        `count` is the count of the operation's operands.
        """
        if (known := self._slots.get((op, count))) is None:
            flows = [op.propagates_gradient_to(slot) for slot in range(count)]
            known = self._slots[op, count] = flows, [op.may_leave_out(slot) for slot in range(count)]
        return known

    def _if_reached(self, node: Value, partial: int) -> int:
        """Append a value that is `partial`, or 0 if no gradient reaches the node. Return its instruction number.

        `partial` is the instruction number of a partial derivative of the node.

        If no gradient reaches the node, the node's gradient is 0, and the product of this 0 and an infinite partial
        derivative would be nan.
        """
        return self.code.apply(ops.where, [self._reach_of(node), partial, self.code.constant(0.0)])

    def _scatter(self, op: Op, node: Value, upstream: int, terms: dict[Value, list[int]]) -> bool:
        """Scatter the gradient of a `take`: in each row it is added to the total of the operand that the index selects.

        Args:
            op: the operation of the node. A user's own gather is left alone, since it may pass only a part of the
                gradient to the operand that it loads.
            node: the node of the `take`.
            upstream: the instruction number of the node's gradient.
            terms: the summands of all gradients, to which this method adds the totals.

        Returns:
            whether the gradient is scattered. It is not if the operation is a user's own, if it selects one of at most
            MAX_SELECTED_GRADIENTS operands, if the index does not depend on the row, or if another operand does.
        """
        index, *xs = node.parents
        if not is_of_the_table(op):
            return False
        if len(xs) <= MAX_SELECTED_GRADIENTS or index not in self.per_sample or not self.per_sample.isdisjoint(xs):
            return False
        key = tuple(xs)
        if key not in self._scatters:
            self._scatters[key] = self._new_scatter(len(xs))
            for total, x in zip(self._scatters[key].totals, xs, strict=True):
                if x in terms:
                    terms[x].append(self.code.append(("mean", total), AFTER))
        self._scatters[key].sources.append((self.number_of[index], upstream))
        self._scattered.add(node)
        for slot, x in enumerate(xs, 1):
            if x in terms:
                self._spread(node, (x,), slot)
        return True

    def _new_scatter(self, count: int) -> Scatter:
        """Append `count` totals, sums over the rows of a batch, to `totals`. Return a `Scatter` that has them.

        It has no sources yet.
        """
        first = len(self.totals)
        scatter = Scatter(range(first, first + count), [])
        self.totals += [scatter] * count
        return scatter

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
        reached = [x for x in chain(chain.from_iterable(products), added) if x in terms]
        self._spread(node, reached, None)
        one, number_of = self.code.constant(1.0), self.number_of
        infinite = None if node in self._certain else self._infinite
        for sides in (products, [(b, a) for a, b in products]):
            for a, b in sides:
                if a in pairs:
                    if (factor := number_of[b]) == one:
                        terms[a].append(upstream)
                    elif infinite and factor in infinite:
                        pairs[a].append((upstream, self._if_reached(node, factor)))
                    else:
                        pairs[a].append((upstream, factor))
        for x in added:
            if x in terms:
                terms[x].append(upstream)

    def _numbers(self, operands: Sequence[Any]) -> list[int]:
        """Return the instruction numbers of operands. Instructions for constants and other leaves are appended first.

        An instruction is appended only if the operand has none yet.
        """
        return [self.number_of[x] if x in self.number_of else self._lower_leaf(x) for x in operands]

    def _spread(self, source: Value, targets: Sequence[Value], slot: int | None) -> None:
        """Record that a gradient may flow from a node to some of its operands, for `_reach_of`.

        Args:
            source: the node.
            targets: the operands.
            slot: the index of the operand among the node's operands, if the node's operation may leave the operand
                unselected; else None. If there are several operands, it may leave none unselected.
        """
        if slot is None and source in self._certain:
            self._certain.update(targets)
        else:
            self._spreads.append((source, targets, slot))

    def _reach_of(self, node: Value) -> int:
        """Append a value that is 0 if no gradient reaches the node, else positive. Return its instruction number.

        No gradient reaches a node if, on every path from the root to it, an operation has selected another operand.
        """
        for source, targets, slot in self._spreads:
            for target in targets:
                self._sources.setdefault(target, []).append((source, slot))
        self._spreads.clear()
        stack = [] if node in self._reach else [node]
        while stack:
            sources = self._sources[stack[-1]]
            waiting = [x for x, _ in sources if x not in self._certain and x not in self._reach]
            if waiting:
                stack += waiting
                continue
            target = stack.pop()
            terms = dict.fromkeys(self._reach_through(*source, target) for source in sources)  # often only one
            self._reach[target] = self.code.dot([], [*terms])
        return self._reach[node]

    def _reach_through(self, source: Value, slot: int | None, target: Value) -> int:
        """Append a value that is 0 if no gradient reaches `target` from `source`, a node that has it as an operand.

        Return the value's instruction number. `slot` is the index of `target` among the operands if the operation of
        `source` may leave it unselected, else None.

        If `source` depends on the row, and `target` does not, the value is a total over the rows of a batch. It is 0 if
        no gradient reaches `target` in any row.
        """
        reach = self._reach.get(source, self.code.constant(1.0))
        if slot is not None and source in self._scattered:
            if source not in self._reach_scatters:
                self._reach_scatters[source] = self._new_scatter(len(source.operands) - 1)
                self._reach_scatters[source].sources.append((self.number_of[source.operands[0]], reach))
            return self.code.append(("mean", self._reach_scatters[source].totals[slot - 1]), AFTER)
        if slot is not None:
            assert source.op
            chosen = self.code.contributions(source.op, reach, self._numbers(source.operands))[slot]
            zero, (opcode, *used) = self.code.constant(0.0), self.code.instructions[chosen]
            if opcode == "select" and {*used[1:]} == {reach, zero}:
                reach = chosen
            else:  # contributions of a user's own operation may cancel, or underflow, but what reaches a node may not
                reach = self.code.apply(ops.where, [chosen, reach, zero])
        if target in self.per_sample or reach not in self.code.per_sample:
            return reach
        if reach not in self._reach_totals:
            self._reach_totals[reach] = self._total(((reach, self.code.constant(1.0)),))
        return self._reach_totals[reach]

    def _gradient_of(self, node: Value, contributions: _Contributions) -> int:
        """Append a node's gradient, the sum of the contributions to it, and return its instruction number."""
        code, pairs, terms = self.code, contributions.pairs[node], contributions.terms[node]
        if node in self.per_sample:
            return code.dot(pairs, terms)
        per_sample = code.per_sample
        if (
            len(pairs) == 1 and not terms and pairs[0][0] in per_sample
        ):  # a shortcut, since every weight of a layer is like this
            return self._total(tuple(pairs))
        products = [pair for pair in pairs if pair[0] in per_sample]
        others = [pair for pair in pairs if pair[0] not in per_sample]
        products += [(t, code.constant(1.0)) for t in terms if t in per_sample]
        rest = [t for t in terms if t not in per_sample]
        if products:
            rest.append(self._total(tuple(products)))
        return code.dot(others, rest)

    def _total(self, products: tuple[Pair, ...]) -> int:
        """Add a total: the sum of these products over the rows of a batch.

        Return the instruction number of the mean, which is the total divided by the count of rows.
        """
        self.totals.append(products)
        return self.code.append(("mean", len(self.totals) - 1), AFTER)


def _any_propagates(op: Op, parents: Sequence[Value], wanted: Container[Value]) -> bool:
    """Return whether an operation with the operands `parents` propagates a gradient to an operand in `wanted`."""
    return any(x in wanted and op.propagates_gradient_to(k) for k, x in enumerate(parents))
