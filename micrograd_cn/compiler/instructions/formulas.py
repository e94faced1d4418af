"""Trace the formulas of operations: lists of steps, which are simpler operations.

The formula of an operation is traced when it is first needed: the operation's Python code is run with symbols as
operands. In the same way, the formulas of its partial derivatives are found.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ...ops import OPS
from ...ops.operation import Op
from ...ops.registry import is_known
from ...text.formula import FormulaError, FormulaSteps, Term, expand, formula_steps, trace
from .code import ARITY, FCMP_CONDITIONS, GATHER, LEAF_OPCODES, SUM_OPCODES, bits

FUNCTION_OR_COMPARISON = re.compile(r"fcmp.*|(?!formula)[A-Za-z_][\w.]*")  # an opcode that an operation may have
MAX_SPECIALIZATIONS = 4  # how often a formula is traced anew for other constant inputs, at most
MAX_FORMULA_OPERANDS = 4  # a formula with more operands is neither specialised for constants nor made one opcode
# These are always part of the opcode of a formula, while other constants may be operands
INLINE_CONSTANTS = frozenset(["0.0", "-0.0", "1.0", "-1.0"])
MAX_TRACED = 1000  # at most so many formulas of the operations in `OPS` are kept for all programs of the process


# An operation, the kind of formula ("formula", "partials" or "contributions", see `_trace_formula`), and for each input
# of the formula its bits if it is a constant, else None
FormulaKey: TypeAlias = "tuple[Op, str, tuple[int | None, ...]]"


@dataclass(eq=False)
class Formula:
    """A formula that was traced, and what decides how code computes it.

    Attributes:
        traced: the steps and the results of the formula.
        inline_constants: the constants, as text, that are part of the formula's opcode. Other constants may be
            operands, so formulas that differ only in these have the same opcode.
        is_of_user: whether the formula is that of a user's operation.
    """

    traced: FormulaSteps
    inline_constants: Set[str] = INLINE_CONSTANTS
    is_of_user: bool = False
    _of_results: dict[int, FormulaSteps] = field(default_factory=dict)  # what `of_result` has returned

    def of_result(self, k: int, inputs: int) -> FormulaSteps:
        """Return a formula that computes only the result with the index k; see `FormulaSteps.of_result`.

        `inputs` is the number of inputs. It is the same in all calls for one formula, so results are cached by `k`
        alone.
        """
        if (found := self._of_results.get(k)) is None:
            found = self._of_results[k] = self.traced.of_result(k, inputs)
        return found


class Formulas:
    """The formulas of operations that code uses. Each is traced when it is first needed.

    Args:
        of_users: a dict with formulas of users' operations that were traced before; newly traced ones are added to it.
            By default it is empty. All code for one graph shares this dict, so a user's operation is the same in all of
            it, even if the operation's functions read something that changes.

    Attributes:
        of_users: a dict from each `FormulaKey` to the formula of a user's operation.
        op_names: for each opcode that a checked operation is lowered to, the operation's name, for error messages.
    """

    def __init__(self, of_users: dict[FormulaKey, FormulaSteps] | None = None) -> None:
        self.of_users = {} if of_users is None else of_users
        self.op_names: dict[str, str] = {}
        self._known: dict[FormulaKey, Formula] = {}
        # For each operation and kind of formula, how many formulas with constant inputs have been requested that were
        # not traced yet. Once there are MAX_SPECIALIZATIONS, later requests get the formula without constants.
        self._specializations: defaultdict[tuple[Op, str], int] = defaultdict(int)
        self._checked: set[tuple[Op, int]] = set()

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
            for step, used in self.of(op, "formula", [None] * count).traced.steps:
                self.check(step, len(used))
        self._checked.add((op, count))

    def of(self, op: Op, kind: str, known: Sequence[float | None]) -> Formula:
        """Return a formula of an operation. The formula is traced when it is first needed.

        Args:
            op: the operation that has the formula.
            kind: "formula", "partials" or "contributions", see `_trace_formula`.
            known: for each input of the formula, its value if it is a constant, else None. A formula may be simpler if
                some inputs are constants.

        Raises:
            TypeError: the operation's own code raises an error, or uses functions that are not operations of
                `micrograd_cn.ops`.
        """
        general: list[float | None] = [None] * len(known)
        if len(known) > MAX_FORMULA_OPERANDS:
            known = general
        key = op, kind, tuple([x if x is None else bits(x) for x in known])
        if key in self._known:
            return self._known[key]
        is_special = known.count(None) < len(known)
        if is_special:
            self._specializations[op, kind] += 1
            if self._specializations[op, kind] > MAX_SPECIALIZATIONS:
                return self.of(op, kind, general)
        try:
            traced = _of_this_package(key, known) if is_known(op) else self._of_user(key, known)
            without_constants = self.of(op, kind, general).traced if is_special else traced
        except FormulaError:
            raise
        except Exception as error:  # from the code of a user-defined operation
            what = f"{type(error).__name__} in its {kind}: {error}"
            raise TypeError(f"the operation {op.name!r} cannot be compiled: {what}") from error
        inline = self._constants_in(without_constants.steps) | INLINE_CONSTANTS
        formula = self._known[key] = Formula(traced, inline, not is_of_the_table(op))
        return formula

    def _of_user(self, key: FormulaKey, known: Sequence[float | None]) -> FormulaSteps:
        """Return the formula of a user's operation for `key`; trace it if the dict `of_users` does not have it yet.

        An operation is traced only once, with no input known as a constant. A formula with constants is made from the
        traced one. If the operation were traced again, its functions might read something that has changed since.
        `known` has the constants, as for `of`.
        """
        op, kind, _ = key
        if key not in self.of_users:
            general: list[float | None] = [None] * len(known)
            if general == [*known]:
                self.of_users[key] = _trace_formula(kind, known, op)
            else:
                self.of_users[key] = _specialized(self.of(op, kind, general).traced, known)
        return self.of_users[key]

    def _constants_in(self, steps: Sequence[tuple[Op, list[int | float]]]) -> set[str]:
        """Return, as text, the constants that occur in the steps of a formula.

        A step may be an operation that has a formula of its own. The constants of that formula are included only if the
        operation has no partial derivatives, like a polynomial that is defined only for use in formulas.
        """
        found = set()
        for op, xs in steps:
            for x in xs:
                if isinstance(x, float):
                    found.add(repr(x))
            if not op.lowerings.machine and type(op.partials) is tuple and not any(op.partials):
                found |= self._constants_in(self.of(op, "formula", [None] * len(xs)).traced.steps)
        return found


def _check_opcode(op: Op, count: int) -> None:
    opcode = op.lowerings.machine
    if opcode in (GATHER, *SUM_OPCODES, *LEAF_OPCODES) or not FUNCTION_OR_COMPARISON.fullmatch(opcode):
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


def _of_this_package(key: FormulaKey, known: Sequence[float | None]) -> FormulaSteps:
    """Return the formula of an operation of this package that has this key; trace it if necessary.

    `known` has, for each input of the formula, its value if it is a constant, else None. At most MAX_TRACED formulas
    are kept for the whole process.
    """
    op, kind, _ = key
    key_of_functions = key, op.partials, op.lowerings
    if (found := _of_the_table.get(key_of_functions)) is None:
        if len(_of_the_table) >= MAX_TRACED:
            _of_the_table.clear()
        found = _of_the_table[key_of_functions] = _trace_formula(kind, known, op)
    return found


def _specialized(formula: FormulaSteps, known: Sequence[float | None]) -> FormulaSteps:
    """Return a formula with constants in place of some inputs.

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
        op: the operation whose formula is traced.
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
