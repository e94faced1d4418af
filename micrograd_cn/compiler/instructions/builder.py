"""Lower each operation to one opcode, to a constant, to a gather, to a sum of products, or to a formula.

A formula is a list of steps, which are simpler operations. The formula of an operation is traced when a program first
uses the operation: its Python code is run with symbols as operands. If the formula is short, it becomes an opcode of
its own: one kernel then computes the whole formula, and intermediate values stay in registers. A formula with long
sums, too many steps or too many operands is expanded into the instructions of its steps.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from math import nan
from typing import Any, NamedTuple

from ...ops import OPS
from ...ops.operation import Op
from ...ops.registry import is_known
from ...text.formula import FormulaError, FormulaSteps, Term, expand, formula_steps, trace
from .code import (
    ARITY,
    BATCH,
    FCMP_CONDITIONS,
    GATHER,
    LEAF_OPCODES,
    MIN_LOOP_PRODUCTS,
    SAMPLE,
    START,
    SUM_OPCODES,
    Code,
    bits,
    live,
    may_inline,
    register_formula,
)

FUNCTION_OR_COMPARISON = re.compile(r"fcmp.*|(?!formula)[A-Za-z_][\w.]*")  # an opcode that an operation may have
MAX_SPECIALIZATIONS = 4  # how often a formula is traced anew for other constant inputs, at most
MAX_FORMULA_OPERANDS = 4  # a formula with more operands is neither specialised for constants nor made one opcode
INLINE_CONSTANTS = {"0.0", "-0.0", "1.0", "-1.0"}  # always part of a formula's opcode; other constants may be operands
MAX_FORMULA_STEPS = 50  # a formula with more steps is expanded instead of being one instruction
MAX_TRACED = 1000  # at most so many formulas of the operations in `OPS` are kept for all programs of the process


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
        formulas: a dict with the formulas that were traced. A key has the operation, the kind of formula ("formula",
            "partials" or "contributions", see `_trace_formula`), and the bits of the inputs that are constants.
        specializations: for each operation and kind of formula, how many formulas with constant inputs have been
            requested that were not in `formulas`. The first MAX_SPECIALIZATIONS of them are traced. Later requests get
            the formula without constants.
        users_formulas: the formulas of users' operations, with keys like those of `formulas`.

    Args:
        users_formulas: a dict that becomes the attribute of this name. All builders for one graph share a dict, so a
            user's operation is the same in all code for the graph, even if its functions read something that changes.
    """

    def __init__(self, users_formulas: dict[Any, FormulaSteps] | None = None) -> None:
        super().__init__()
        self.formulas: dict[Any, FormulaSteps] = {}
        self.users_formulas = {} if users_formulas is None else users_formulas
        self.specializations: defaultdict[tuple[Op, str], int] = defaultdict(int)
        self._calls: dict[tuple[int, int, tuple[bool, ...]], FormulaCall | None] = {}
        self._inline_constants: dict[int, set[str]] = {}
        self._of_users: set[int] = set()
        self._checked: set[tuple[Op, int]] = set()

    def apply(self, op: Op, xs: Sequence[int], expand: bool = False) -> int:
        """Append the instructions that apply an operation, and return the instruction number of the result.

        An operation with an opcode, such as `mul` with "fmul", becomes one instruction, by `Code.emit`.

        Args:
            op: the operation.
            xs: the instruction numbers of the operation's operands.
            expand: whether a formula is expanded into the instructions of its steps, even if the formula is short
                enough to be an opcode of its own. It is False by default.
        """
        known = [*map(self.constant_value, xs)]
        if None not in known:
            return self.constant(op.forward(*known))
        if op.lowerings.is_gather:
            if known[0] is not None:
                number = op.forward(known[0], *map(float, range(1, len(xs))))
                return xs[int(number)] if number == number else self.constant(nan)
            if len(xs) > MAX_FORMULA_OPERANDS:  # otherwise one opcode selects, which is faster
                return self.add((GATHER, *xs))
        if op.lowerings.summands:
            pairs, terms = op.lowerings.summands(*xs)
            return self.sum_from_zero(pairs, terms, "dot" if pairs else "sum")
        if op.lowerings.machine:
            if (op, len(xs)) not in self._checked:
                self.check(op, len(xs))
            return self.emit(op.lowerings.machine, *xs, expand=expand)
        formula = self.formula((op, "formula"), known, op)
        [result] = self._expand_steps(formula, xs) if expand else self.instantiate(formula, xs)
        return result

    def check(self, op: Op, count: int) -> None:
        """Raise TypeError if the operation cannot be compiled with `count` operands.

        If the operation is lowered to an opcode, its name is recorded in `op_names` under this opcode.
        """
        if op.lowerings.summands or op.lowerings.is_gather or (op, count) in self._checked:
            return
        if op.lowerings.machine:
            _check_opcode(op, count)
            self.op_names[op.lowerings.machine] = op.name
        else:
            for row, used in self.formula((op, "formula"), [None] * count, op).steps:
                self.check(row, len(used))
        self._checked.add((op, count))

    def partials(self, op: Op, y: int, xs: Sequence[int]) -> list[int]:
        """Append instructions for an operation's partial derivatives. Return their numbers, one for each operand.

        Args:
            op: the operation.
            y: the instruction number of the operation's result.
            xs: the instruction numbers of the operation's operands.
        """
        return self.instantiate(self.formula((op, "partials"), [None, *map(self.constant_value, xs)], op), [y, *xs])

    def contributions(self, op: Op, upstream: int, xs: Sequence[int]) -> list[int]:
        """Append instructions for the contributions to the operands' gradients, for an operation that selects.

        Args:
            op: the operation, which must select one of its operands, as `where` and `maximum` do (`Op.selects`).
            upstream: the instruction number of the gradient of the operation's result.
            xs: the instruction numbers of the operation's operands.

        Returns:
            for each operand, the instruction number of the contribution to its gradient. The contribution is 0 if the
            operand is not selected, or if its partial derivative is no `Selection` (see `ops.operation`).
        """
        known = [*map(self.constant_value, xs)]
        if op.lowerings.is_gather and known[0] is not None:
            return [upstream if slot and known[0] == slot - 1 else self.constant(0.0) for slot in range(len(xs))]
        return self.instantiate(self.formula((op, "contributions"), [None, *known], op), [upstream, *xs])

    def formula(self, kind: tuple[Op, str], known: Sequence[float | None], op: Op) -> FormulaSteps:
        """Return a formula of an operation. The formula is traced when it is first needed.

        Args:
            kind: a pair: the operation, and "formula", "partials" or "contributions", see `_trace_formula`.
            known: for each input of the formula, its value if it is a constant, else None. A formula may be simpler if
                some inputs are constants.
            op: the operation, which is `kind[0]` too.

        Raises:
            TypeError: the operation's own code raises an error, or uses functions that are not operations of
                `micrograd_cn.ops`.
        """
        general: list[float | None] = [None] * len(known)
        if len(known) > MAX_FORMULA_OPERANDS:
            known = general
        key = kind, tuple([x if x is None else bits(x) for x in known])
        if key in self.formulas:
            return self.formulas[key]
        is_special = known.count(None) < len(known)
        if is_special:
            self.specializations[kind] += 1
            if self.specializations[kind] > MAX_SPECIALIZATIONS:
                return self.formula(kind, general, op)
        try:
            if is_known(op):
                found = _traced(key, known, op)
            elif key in self.users_formulas:
                found = self.users_formulas[key]
            else:
                # One trace serves for all constants, since the functions may read something that has changed since
                found = _specialized(self.formula(kind, general, op), known) if is_special else _traced(key, known, op)
                self.users_formulas[key] = found
            self.formulas[key] = found
            steps = self.formula(kind, general, op).steps if is_special else found.steps
        except FormulaError:
            raise
        except Exception as error:  # from the code of a user-defined operation
            what = f"{type(error).__name__} in its {kind[1]}: {error}"
            raise TypeError(f"the operation {op.name!r} cannot be compiled: {what}") from error
        self._inline_constants[id(found)] = self._constants_in(steps) | INLINE_CONSTANTS
        if not is_of_the_table(op):
            self._of_users.add(id(found))
        return found

    def _constants_in(self, steps: Sequence[tuple[Op, list[int | float]]]) -> set[str]:
        """Return, as text, the constants that occur in the steps of a formula.

        A step may be an operation that has a formula of its own. If this operation has no derivatives, like a
        polynomial that only the formula uses, the constants of the operation's formula are included.
        """
        found = set()
        for op, xs in steps:
            found |= {repr(x) for x in xs if isinstance(x, float)}
            if not op.lowerings.machine and type(op.partials) is tuple and not any(op.partials):
                found |= self._constants_in(self.formula((op, "formula"), [None] * len(xs), op).steps)
        return found

    def instantiate(self, formula: FormulaSteps, xs: Sequence[int]) -> list[int]:
        """Append the instructions that compute a formula, and return the instruction numbers of its results.

        If the formula is short and has few inputs, each result is one instruction where possible. Otherwise, the
        instructions of the formula's steps are appended.

        Args:
            formula: the formula.
            xs: the instruction numbers of its inputs.
        """
        steps, results = formula
        if 2 <= len(steps) <= MAX_FORMULA_STEPS and len(xs) <= MAX_FORMULA_OPERANDS:
            per_row = tuple([i in self.per_sample for i in xs])
            return [self._result(formula, k, xs, per_row) for k in range(len(results))]
        return self._expand_steps(formula, xs, expand=False)

    def _result(self, formula: FormulaSteps, k: int, xs: Sequence[int], per_row: tuple[bool, ...]) -> int:
        """Append one result of a short formula, as one instruction where possible. Return its instruction number.

        Args:
            formula: the formula.
            k: the index of the result in `formula.results`.
            xs: the instruction numbers of the formula's inputs.
            per_row: for each input, whether it depends on the row, the numbers of one sample.
        """
        result = formula.results[k]
        if isinstance(result, float):
            return self.constant(result)
        if result < len(xs):
            return xs[result]
        if (key := (id(formula), k, per_row)) not in self._calls:
            inline = self._inline_constants.get(id(formula), INLINE_CONSTANTS)
            self._calls[key] = self._formula_call(formula.steps, result, per_row, inline, id(formula) in self._of_users)
        if call := self._calls[key]:
            number = xs if call.direct else self._hoist(call, xs)
            used = [number[i] for i in call.operands] if number else []
            if None in map(self.constant_value, used):  # otherwise the result is folded to a constant below
                return self.add((call.opcode, *used))
        return self._expand_steps(FormulaSteps(formula.steps, [result]), xs)[0]

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

    def _formula_call(
        self,
        steps: list[tuple[Op, list[int | float]]],
        result: int,
        per_row: tuple[bool, ...],
        inline: set[str],
        is_of_user: bool,
    ) -> FormulaCall | None:
        """Return the `FormulaCall` for a formula's result, or None if the formula shall be expanded instead.

        It shall be expanded if at most one of its instructions depends on the row, or if it has a long sum or a gather.

        Args:
            steps: the formula's steps, see `text.formula.FormulaSteps`.
            result: the result's index among the inputs and steps, which are counted one after the other.
            per_row: for each input, whether it depends on the row, the numbers of one sample.
            inline: the constants, as text, that are part of the opcode. Other constants are operands, so formulas that
                differ only in such operands have the same opcode.
            is_of_user: whether the formula is that of a user's operation. Opcodes are never freed, and a user may
                define an operation again and again, each time with other numbers. So if there are several opcodes
                already that differ in nothing but constants, more constants are operands, see `may_inline`.
        """
        source = CodeBuilder()
        source.op_names, source.formulas, source.users_formulas = self.op_names, self.formulas, self.users_formulas
        source.specializations, source._inline_constants = self.specializations, self._inline_constants
        source._of_users = self._of_users
        inputs = [
            source.append(("input", i), SAMPLE if s or not any(per_row) else BATCH) for i, s in enumerate(per_row)
        ]
        [number] = source._expand_steps(FormulaSteps(steps, [result]), inputs)
        needed = live(source, [number])
        hoisted = [i for i in needed if i not in source.per_sample]
        body = [i for i in needed if i in source.per_sample and source.operands[i]]
        loops = any(
            source.instructions[i][0] in SUM_OPCODES and len(source.instructions[i][1]) >= MIN_LOOP_PRODUCTS
            for i in body
        )
        if len(body) < 2 or loops or any(source.instructions[i][0] == GATHER for i in needed):
            return None
        code, end, used = _as_formula(source, body, inline)
        if is_of_user and inline > INLINE_CONSTANTS:
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
            formula: the formula.
            xs: the instruction numbers of its inputs.
            expand: whether a step that is itself lowered to a formula is expanded, too. If not, such a step is one
                instruction where possible.
        """
        return formula.run(xs, lambda op, used: self.apply(op, used, expand), self.constant)


def _as_formula(source: Code, body: Sequence[int], inline: set[str]) -> tuple[Code, int, list[int]]:
    """Make the code of a formula from some of the instructions in `source`.

    Return three things: the new code, the number of the instruction in the new code that computes the result, and the
    operands of the formula, as instruction numbers in `source`. The new code begins with an "input" instruction for
    each operand, in the same order.

    Args:
        source: the code that has the instructions.
        body: the numbers of the instructions. The last one computes the result.
        inline: the constants, as text, that become part of the formula. All other constants are operands.
    """
    read = {j for i in body for j in source.operands[i]}
    fixed = {i for i in read if repr(source.constant_value(i)) in inline}
    used = sorted(read - fixed - set(body))
    code = Code()
    place = {i: code.append(("input", k), SAMPLE) for k, i in enumerate(used)}
    for i in sorted(fixed.union(body)):
        place[i] = code.add_copy(source.instructions[i], place)
    return code, place[body[-1]], used


def _check_opcode(op: Op, count: int) -> None:
    opcode = op.lowerings.machine
    if opcode in (GATHER, START, *SUM_OPCODES, *LEAF_OPCODES) or not FUNCTION_OR_COMPARISON.fullmatch(opcode):
        raise TypeError(f"the operation {op.name!r} has lowerings.machine={opcode!r}, which cannot name a function")
    if opcode.startswith("fcmp") and opcode not in ARITY:
        raise TypeError(
            f"the operation {op.name!r} has lowerings.machine={opcode!r}; a comparison is 'fcmp' and one of "
            + ", ".join(FCMP_CONDITIONS)
        )
    if ARITY.get(opcode, count) != count:
        raise TypeError(
            f"the operation {op.name!r} has {count} operands, but its lowerings.machine={opcode!r} takes "
            f"{ARITY[opcode]}"
        )


def is_of_the_table(op: Op) -> bool:
    """Return whether `op` is an operation of the package's table, and not a user's own."""
    return OPS.get(op.name) is op


_of_the_table: dict[Any, FormulaSteps] = {}


def _traced(key: tuple[tuple[Op, str], tuple[Any, ...]], known: Sequence[float | None], op: Op) -> FormulaSteps:
    """Return the formula of `op` whose key in `CodeBuilder.formulas` is `key`, see `_trace_formula`.

    The formulas of operations in `micrograd_cn.ops` are kept for the whole process, at most MAX_TRACED of them. A
    formula of a user's operation is traced for each graph, since the functions of this operation may depend on
    variables that change.
    """
    if not is_known(op):
        return _trace_formula(key[0][1], known, op)
    key_of_functions = key, op.partials, op.lowerings
    if (found := _of_the_table.get(key_of_functions)) is None:
        if len(_of_the_table) >= MAX_TRACED:
            _of_the_table.clear()
        found = _of_the_table[key_of_functions] = _trace_formula(key[0][1], known, op)
    return found


def _specialized(formula: FormulaSteps, known: Sequence[float | None]) -> FormulaSteps:
    """Return a formula with constants in the place of some inputs.

    For each input, `known` has its value if it is a constant, else None.
    """
    terms = [Term() if x is None else x for x in known]

    def apply(op: Op, xs: list[Any]) -> Any:
        return Term("", op, tuple(xs)) if Term in map(type, xs) else op.forward(*xs)

    return formula_steps(terms, formula.run(list[Any](terms), apply, float))


def _trace_formula(kind: str, known: Sequence[float | None], op: Op) -> FormulaSteps:
    """Trace one of an operation's formulas, and return its steps and results.

    Args:
        kind: which formula to trace. "formula" is the operation itself; its inputs are the operands. "partials"
            computes the partial derivatives; its first input is the operation's result, and the operands follow.
            "contributions" computes the numbers that an operation that selects, such as `where`, adds to the gradients
            of its operands; its first input is the gradient of the operation's result, and the operands follow.
        known: for each input, its value if it is a constant, else None. Constants are built into the formula.
        op: the operation.
    """
    terms = [Term() if x is None else x for x in known]
    if kind == "formula":
        return formula_steps(terms, (expand(op, *terms),))
    if kind == "contributions":
        return formula_steps(terms, trace(lambda g, *xs: _contributions(op, g, xs), *terms, of=op))
    return formula_steps(terms, trace(op.local_derivatives, *terms, of=op))


def _contributions(op: Op, g: Any, xs: Sequence[Any]) -> tuple[Any, ...]:
    found = [contribution(g) if contribution else None for contribution in op.selection(xs)]
    return tuple([0.0 if x is None else x for x in found])
