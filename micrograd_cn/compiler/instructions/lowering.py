"""Lower a graph to instructions.

Each operation becomes one opcode, a constant, a gather, a sum of products, or a formula (a list of steps, which are
simpler operations). If the formula is short, it becomes an opcode of its own: one kernel then computes the whole
formula, and intermediate values stay in registers. A formula with long sums, too many steps or too many operands is
expanded into the instructions of its steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from contextlib import suppress
from itertools import repeat
from math import nan
from typing import Any, NamedTuple, Self

from ...engine import Value
from ...ops.operation import Op
from ...text.formula import FormulaSteps
from .code import (
    BATCH,
    GATHER,
    MIN_LOOP_PRODUCTS,
    SAMPLE,
    SUM_OPCODES,
    Code,
    Pair,
    Scatter,
    copied,
    live,
    may_inline,
    register_formula,
)
from .formulas import INLINE_CONSTANTS, MAX_FORMULA_OPERANDS, Formula, Formulas
from .graph import Graph

MANY_OPERANDS = 8  # as those of a neuron
MAX_FORMULA_STEPS = 50  # a formula with more steps is expanded instead of being one instruction


class Lowering:
    """The instructions that compute a graph and, once `gradient.differentiate` was called, its gradient.

    Args:
        graph: the recorded graph that is lowered.
        base: the instructions of another graph with the same inputs, whose parameters are the first ones of `graph`.
            This object begins with these instructions, so the nodes that both graphs have are not lowered again.

    Attributes:
        graph: the recorded graph.
        code: the instructions.
        width: the number of inputs, which is the length of a row.
        parameters: the graph's parameters.
        number_of: for each node that was lowered, the number of the instruction that computes it.
        infinite: the instruction numbers of constant leaves that are infinite or nan.
        outputs: the instruction numbers of the outputs.
        totals: the sums over the rows of a batch that the gradients need. A row has the numbers of one sample. Most
            totals are tuples of pairs of instruction numbers. Such a total adds up the products of its pairs for all
            rows. The others belong to a `Scatter`: in each row, an index selects the total to which a value is added.
            `differentiate` fills this list.
        gradients: the instruction number of each parameter's gradient, in the order of `parameters`; -1 for a gradient
            that is not computed. `differentiate` fills this list.
        omits_gates: whether `differentiate` has omitted gates, so gradients may be nan that should not be.

    >>> x, y = Value(2), Value(3)
    >>> lowering = Lowering(Graph([x * y], [x, y]))
    >>> lowering.code.instructions[:3], lowering.outputs
    ([('input', 0), ('input', 1), ('fmul', 0, 1)], [2])
    """

    def __init__(self, graph: Graph, base: Lowering | None = None) -> None:
        self.graph, self.parameters = graph, graph.parameters
        self.width, formulas = len(graph.inputs), graph.take_formulas()
        self.code: CodeBuilder = base.code.extended(formulas) if base else CodeBuilder(formulas)
        self.number_of: dict[Value, int] = {}
        self.infinite: set[int] = set()
        if base:
            self.number_of |= base.number_of
            self.infinite |= base.infinite
        else:
            self._append_leaves("input", graph.inputs, SAMPLE)
        self._append_leaves("parameter", graph.parameters, BATCH)
        number_of, apply = self.number_of, self.code.apply
        for node, op in graph.operations:
            if node not in number_of:
                adds = op.lowerings.summands is not None
                number_of[node] = self._lower_sum(node, op) if adds else apply(op, self.numbers(node.operands))
        self.outputs = self.numbers(graph.outputs)
        # These are all constants that schedules and tables need, so those of forward code add no instruction
        for x in (1.0, -0.0, *[math.nan] * graph.has_gathers):
            self.code.constant(x)
        self.totals: list[tuple[Pair, ...] | Scatter] = []
        self.gradients: list[int] = []
        self.omits_gates = False

    def copy(self) -> Self:
        """Return a copy, whose changes do not change this object. `differentiate` must not have been called before."""
        found = copied(self)
        found.code = self.code.copy()
        return found

    def _lower_sum(self, node: Value, op: Op) -> int:
        """Append the instructions of a node that is a sum of products and terms. Return the number of the result.

        If the node only adds its operands, and an operand is a product, the sum has the product's factors instead.
        """
        assert op.lowerings.summands
        operands = node.parents
        xs = self.numbers(operands)
        pairs, terms = op.lowerings.summands(*xs)
        if pairs:
            return self.code.apply_sum(op, xs, pairs, terms)
        pairs, terms = [], []
        for x in op.lowerings.summands(*operands)[1]:
            factors = self._factors(x)
            pairs += factors
            if not factors:
                terms.append(self.number_of[x])
        return self.code.sum_from_zero(pairs, terms, "sum")

    def _append_leaves(self, opcode: str, leaves: Sequence[Value], phase: int) -> None:
        """Append an instruction for each leaf that has none yet: `opcode`, followed by the leaf's index in `leaves`."""
        known = self.number_of
        fresh: Sequence[int] = range(len(leaves))
        if not known.keys().isdisjoint(leaves):
            fresh = [k for k, leaf in enumerate(leaves) if leaf not in known]
        numbers = self.code.append_leaves([*zip(repeat(opcode), fresh)], phase)
        known.update(zip([leaves[k] for k in fresh], numbers, strict=True))

    def _lower_constant(self, leaf: Value) -> int:
        """Append the instruction for a constant leaf that has none yet, and return the instruction's number."""
        data = self.graph.constants.get(leaf, leaf.data)
        self.number_of[leaf] = number = self.code.constant(data)
        if not math.isfinite(data):
            self.infinite.add(number)
        return number

    def _factors(self, node: Value) -> list[Pair]:
        """Return a list with the pair of factors of a node if it was lowered to a product, else an empty list.

        A node that adds such products is lowered to a sum of pairs of factors, since a loop may compute such a sum
        without storing the products.
        """
        number = self.number_of[node]
        if self.code.instructions[number][0] != "fmul" or not (node.op and node.op.lowerings.machine == "fmul"):
            return []
        if number in map(self.number_of.get, node.operands):  # x * 1 is lowered to x, which may be any operation
            return []
        a, b = self.code.operands[number]
        return [(a, b)]

    def numbers(self, operands: Sequence[Any]) -> list[int]:
        """Return the instruction numbers of operands. Constants that have no instruction yet get one."""
        number_of, constant, lower = self.number_of, self.code.constant, self._lower_constant
        if len(operands) > MANY_OPERANDS:  # for speed
            with suppress(KeyError):  # of an operand that is a constant
                return [*map(number_of.__getitem__, operands)]
        return [constant(x) if type(x) is float else number_of[x] if x in number_of else lower(x) for x in operands]


class FormulaCall(NamedTuple):
    """The one instruction that computes a result of a formula, and the instructions that are hoisted out of it.

    A formula is an operation written as simpler operations. Those of its instructions that do not depend on the row
    (the numbers of one sample) are hoisted: they are computed only once for a batch. An instruction can be hoisted
    in one call of the formula and not in another, since the calls differ in which inputs depend on the row.

    Attributes:
        opcode: the instruction's opcode.
        operands: the instruction's operands, as instruction numbers in `source`.
        hoisted: the numbers of the instructions in `source` that do not depend on the row. The code that calls the
            formula gets them as separate instructions in phase BATCH, which are computed once for a batch.
        source: a code with an "input" instruction for each input of the formula, followed by the instructions of the
            formula's steps.
        direct: whether all operands are inputs of the formula. Then no instruction has to be hoisted.
    """

    opcode: str
    operands: list[int]
    hoisted: list[int]
    source: Code
    direct: bool


class CodeBuilder(Code):
    """A `Code`, a list of instructions, to which operations and formulas can be appended.

    Attributes:
        formulas: the formulas of the operations.

    Args:
        formulas: an object that has, or traces, the formulas of the operations; by default a new one.
    """

    def __init__(self, formulas: Formulas | None = None) -> None:
        super().__init__()
        self.formulas = formulas or Formulas()
        self.op_names = self.formulas.op_names
        self._calls: dict[tuple[Formula, int, tuple[bool, ...]], FormulaCall | None] = {}

    def copy(self) -> Self:
        """Return a copy. Changes of the copy do not change this code."""
        found = super().copy()
        found.formulas = copied(self.formulas)
        found.op_names = found.formulas.op_names
        return found

    def extended(self, formulas: Formulas) -> Self:
        """Return a copy that has other formulas, `formulas`, for the operations that are appended to it."""
        found = super().copy()
        found.formulas, found.op_names = formulas, formulas.op_names
        found._calls = {}  # its keys contain the old formulas
        return found

    def apply(self, op: Op, xs: Sequence[int], expand: bool = False) -> int:
        """Append the instructions that apply an operation, and return the instruction number of the result.

        An operation with an opcode, such as `mul` with "fmul", becomes one instruction, by `Code.emit`.

        Args:
            op: the operation to apply.
            xs: the instruction numbers of the operation's operands.
            expand: whether a formula is expanded into the instructions of its steps, even if the formula is short
                enough to be an opcode of its own. It is False by default.
        """
        lowerings = op.lowerings
        if lowerings.summands:
            return self.apply_sum(op, xs, *lowerings.summands(*xs))
        known = [*map(self.constant_value, xs)]
        if None not in known:
            return self.constant(op.forward(*known))
        if lowerings.is_gather:
            if known[0] is not None:
                number = op.forward(known[0], *map(float, range(1, len(xs))))
                return xs[int(number)] if number == number else self.constant(nan)
            if len(xs) > MAX_FORMULA_OPERANDS:  # otherwise one opcode selects, which is faster
                return self.add((GATHER, *xs))
        if lowerings.machine:
            self.formulas.check(op, len(xs))
            return self.emit(lowerings.machine, *xs, known=known, expand=expand)
        formula = self.formulas.of(op, "formula", known)
        [result] = self._expand_steps(formula.traced, xs) if expand else self.instantiate(formula, xs)
        return result

    def apply_sum(self, op: Op, xs: Sequence[int], pairs: Sequence[Pair], terms: Sequence[int]) -> int:
        """Apply a sum as `apply` does. `pairs` and `terms` are what `op.lowerings.summands` returns for `xs`."""
        if None not in map(self.constant_value, xs):  # which ends at the first operand that is no constant
            return self.constant(op.forward(*map(self.constants.__getitem__, xs)))
        return self.sum_from_zero(pairs, terms, "dot" if pairs else "sum")

    def partials(self, op: Op, y: int, xs: Sequence[int]) -> list[int]:
        """Append instructions for an operation's partial derivatives. Return their numbers, one for each operand.

        Args:
            op: the operation whose partial derivatives are computed.
            y: the instruction number of the operation's result.
            xs: the instruction numbers of the operation's operands.
        """
        return self.instantiate(self.formulas.of(op, "partials", [None, *map(self.constant_value, xs)]), [y, *xs])

    def contributions(self, op: Op, upstream: int, xs: Sequence[int]) -> list[int]:
        """Append instructions for the contributions to the operands' gradients, for an operation that selects.

        Args:
            op: the operation, which must select one of its operands, as `where` and `maximum` do (`Op.selects`).
            upstream: the instruction number of the gradient of the operation's result.
            xs: the instruction numbers of the operation's operands.

        Returns:
            for each operand, the instruction number of the contribution to its gradient. The contribution is 0 if the
                operand is not selected, or if its partial derivative is not a `Selection` (see `ops.operation`).
        """
        known = [*map(self.constant_value, xs)]
        if op.lowerings.is_gather and known[0] is not None:
            return [upstream if slot and known[0] == slot - 1 else self.constant(0.0) for slot in range(len(xs))]
        return self.instantiate(self.formulas.of(op, "contributions", [None, *known]), [upstream, *xs])

    def instantiate(self, formula: Formula, xs: Sequence[int]) -> list[int]:
        """Append the instructions that compute a formula, and return the instruction numbers of its results.

        If the formula is short and has few inputs, each result is one instruction where possible. Otherwise, the
        instructions of the formula's steps are appended.

        Args:
            formula: the formula that the instructions compute.
            xs: the instruction numbers of its inputs.
        """
        steps, results = formula.traced
        if 2 <= len(steps) <= MAX_FORMULA_STEPS and len(xs) <= MAX_FORMULA_OPERANDS:
            per_sample = tuple([i in self.per_sample for i in xs])
            return [self._result(formula, k, xs, per_sample) for k in range(len(results))]
        return self._expand_steps(formula.traced, xs, expand=False)

    def _result(self, formula: Formula, k: int, xs: Sequence[int], per_sample: tuple[bool, ...]) -> int:
        """Append one result of a short formula, as one instruction where possible. Return its instruction number.

        Args:
            formula: the formula whose result is computed.
            k: the index of the result in `formula.traced.results`.
            xs: the instruction numbers of the formula's inputs.
            per_sample: for each input, whether it depends on the row, the numbers of one sample.
        """
        result = formula.traced.results[k]
        if isinstance(result, float):
            return self.constant(result)
        if result < len(xs):
            return xs[result]
        if (key := (formula, k, per_sample)) not in self._calls:
            self._calls[key] = self._formula_call(formula, result, per_sample)
        if call := self._calls[key]:
            number = xs if call.direct else self._hoist(call, xs)
            used = [number[i] for i in call.operands] if number else []
            if None in map(self.constant_value, used):  # otherwise the result is folded to a constant below
                return self.add((call.opcode, *used))
        return self._expand_steps(formula.of_result(k, len(xs)), xs)[0]

    def _hoist(self, call: FormulaCall, xs: Sequence[int]) -> dict[int, int] | None:
        """Append those instructions of a formula that do not depend on the row, the numbers of one sample.

        Args:
            call: how one instruction computes a result of the formula.
            xs: the instruction numbers of the formula's inputs.

        Returns:
            a dict from instruction numbers in `call.source` to the numbers of the same instructions in this code. The
            dict has all operands of the call. If all operands of some hoisted instruction are constants, None is
            returned instead of the dict: the caller then expands the formula, which folds the hoisted instruction to a
            constant.
        """
        number, source = dict(enumerate(xs)), call.source
        for i in (*call.hoisted, *call.operands):
            if i in number:
                continue
            used = source.operands[i]
            if used and None not in [self.constant_value(number[j]) for j in used]:
                return None
            number[i] = self.add_copy(source.instructions[i], number)
        return number

    def _formula_call(self, formula: Formula, result: int, per_sample: tuple[bool, ...]) -> FormulaCall | None:
        """Return the `FormulaCall` for a formula's result, or None if the formula shall be expanded instead.

        It shall be expanded if at most one of its instructions depends on the row, or if it has a long sum or a gather.

        Each formula gets an opcode, with its constants built in. Opcodes are never freed, and a user may define an
        operation again and again, each time with other constants. So if several opcodes already differ in nothing but
        constants, the constants become operands instead; see `may_inline`.

        Args:
            formula: the formula.
            result: the result's index among the inputs and steps, which are counted one after the other.
            per_sample: for each input, whether it depends on the row, the numbers of one sample.
        """
        source = CodeBuilder(self.formulas)
        inputs = [
            source.append(("input", i), SAMPLE if s or not any(per_sample) else BATCH) for i, s in enumerate(per_sample)
        ]
        [number] = source._expand_steps(FormulaSteps(formula.traced.steps, [result]), inputs)
        needed = live(source, [number])
        hoisted = [i for i in needed if i not in source.per_sample]
        body = [i for i in needed if i in source.per_sample and source.operands[i]]
        loops = any(
            source.instructions[i][0] in SUM_OPCODES and len(source.instructions[i][1]) >= MIN_LOOP_PRODUCTS
            for i in body
        )
        if len(body) < 2 or loops or any(source.instructions[i][0] == GATHER for i in needed):
            return None
        code, end, used = _as_formula(source, body, formula.inline_constants)
        if formula.is_of_user and formula.inline_constants > INLINE_CONSTANTS:
            shared = _as_formula(source, body, INLINE_CONSTANTS)
            if not may_inline((code, end), shared[:2]):
                code, end, used = shared
        opcode = register_formula(code, end)
        if not any(source.operands[i] for i in hoisted):
            hoisted = []  # they are constants, and those that the opcode needs are in `used`
        direct = {*used} <= {*inputs} and not hoisted
        return FormulaCall(opcode, used, hoisted, source, direct)

    def _expand_steps(self, formula: FormulaSteps, xs: Sequence[int], expand: bool = True) -> list[int]:
        """Append the instructions for each step of a formula, and return the instruction numbers of its results.

        Args:
            formula: the formula whose steps become instructions.
            xs: the instruction numbers of its inputs.
            expand: whether a step that is itself lowered to a formula is expanded, too. If not, such a step is one
                instruction where possible.
        """
        return formula.run(xs, lambda op, used: self.apply(op, used, expand), self.constant)


def _as_formula(source: Code, body: Sequence[int], inline: Set[str]) -> tuple[Code, int, list[int]]:
    """Make a formula of some of the instructions in `source`, by `Code.extract`.

    Return its code, the number of the result in the code, and its operands, as instruction numbers in `source`.

    Args:
        source: the code that has the instructions.
        body: the numbers of the instructions. The last one computes the result.
        inline: the constants, as text, that become part of the formula. All other constants are operands.
    """
    read = {j for i in body for j in source.operands[i]}
    fixed = {i for i in read if repr(source.constant_value(i)) in inline}
    used = sorted(read - fixed - set(body))
    return *source.extract(sorted(fixed.union(body)), used), used
