"""CodeBuilder as instructions: by their machine forms, or by formulas, each of which is one instruction."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from math import nan
from typing import Any, NamedTuple

from ...ops.operation import Op
from ...text.formula import FormulaError, StraightLine, Term, expand, straight_line, trace
from .code import (
    ARITY,
    BATCH,
    COMPARISONS,
    GATHER,
    LEAF_OPCODES,
    MIN_LOOP_PRODUCTS,
    SAMPLE,
    START,
    SUM_OPCODES,
    Code,
    bits,
    live,
    operands,
    register_formula,
    renumbered,
)

SELECTS = 4  # operands, the index among them, up to which one is chosen by instructions, not loaded
MOST_CHOICES = 4  # different constants for which a formula is traced anew, since it may be simpler with them
MOST_OPERANDS = 4  # of a formula that is traced so, and of one that is a function
FOLDED = {"0.0", "-0.0", "1.0", "-1.0"}  # constants that remain when others are folded
LONGEST = 50  # steps of a formula that is one instruction


class Called(NamedTuple):
    """A result of a formula as an instruction.

    Attributes:
        opcode: of the instruction.
        used: the numbers of its operands, among `whole`.
        early: the numbers of what needs no sample, and is computed before.
        whole: the formula's instructions.
        direct: whether its operands are the formula's, and nothing else.
    """

    opcode: str
    used: list[int]
    early: list[int]
    whole: Code
    direct: bool


class CodeBuilder(Code):
    """Instructions that operations become.

    Attributes:
        formulas: those of operations and of their partials, for some constants.
        choices: for how many constants each of them has been traced.
    """

    def __init__(self) -> None:
        super().__init__()
        self.formulas: dict[Any, StraightLine] = {}
        self.choices: Counter[tuple[Op, str]] = Counter()
        self._called: dict[tuple[int, int, tuple[bool, ...]], Called | None] = {}
        self._own: dict[int, set[str]] = {}
        self._checked: set[tuple[Op, int]] = set()

    def apply(self, op: Op, xs: Sequence[int], expand: bool = False) -> int:
        """Return the number of an operation's result: one instruction, or as many as its formula has."""
        known = [*map(self.value, xs)]
        if None not in known:
            return self.constant(op.forward(*known))
        if op.lowerings.is_gather:
            if known[0] is not None:
                number = op.forward(known[0], *map(float, range(1, len(xs))))
                return xs[int(number)] if number == number else self.constant(nan)
            if len(xs) > SELECTS:
                return self.add((GATHER, *xs))
        if op.lowerings.summands:
            pairs, terms = op.lowerings.summands(*xs)
            opcode = "dot" if pairs else "sum"
            return self.dot(pairs, [*terms, self.constant(0.0)], opcode)  # with 0.0, so that a sum of -0.0 is 0.0
        if op.lowerings.machine:
            if (op, len(xs)) not in self._checked:
                self.check(op, len(xs))
            return self.emit(op.lowerings.machine, *xs, expand=expand)
        formula = self.formula((op, "formula"), known, op)
        [result] = self._expanded(formula, xs) if expand else self.instantiate(formula, xs)
        return result

    def check(self, op: Op, count: int) -> None:
        """Raise TypeError if an operation of so many operands cannot be compiled."""
        if op.lowerings.summands or op.lowerings.is_gather or (op, count) in self._checked:
            return
        if op.lowerings.machine:
            _check_form(op, count)
            self.op_names[op.lowerings.machine] = op.name
        else:
            for row, used in self.formula((op, "formula"), [None] * count, op).steps:
                self.check(row, len(used))
        self._checked.add((op, count))

    def partials(self, op: Op, y: int, xs: Sequence[int]) -> list[int]:
        """Return the numbers of the local derivatives."""
        return self.instantiate(self.formula((op, "partials"), [None, *map(self.value, xs)], op), [y, *xs])

    def parts(self, op: Op, upstream: int, xs: Sequence[int]) -> list[int]:
        """Return the numbers of the parts of a gradient that an operation passes to the operands that it may select."""
        return self.instantiate(self.formula((op, "parts"), [None, *map(self.value, xs)], op), [upstream, *xs])

    def formula(self, kind: tuple[Op, str], known: Sequence[float | None], op: Op) -> StraightLine:
        """Return the steps of a formula for operands of which some are constants, traced once."""
        general = [None] * len(known)
        if len(known) > MOST_OPERANDS:
            known = general
        key = kind, tuple([x if x is None else bits(x) for x in known])
        if key in self.formulas:
            return self.formulas[key]
        if any(key[1]):
            self.choices[kind] += 1
            if self.choices[kind] > MOST_CHOICES:
                return self.formula(kind, general, op)
        try:
            found = self.formulas[key] = _formula(kind[1], known, op)
            steps = self.formula(kind, general, op).steps
        except FormulaError:
            raise
        except Exception as error:  # what is wrong is in a row of one's own
            what = f"{type(error).__name__} in its {kind[1]}: {error}"
            raise TypeError(f"the operation {op.name!r} cannot be compiled: {what}") from error
        self._own[id(found)] = {repr(x) for _, xs in steps for x in xs if isinstance(x, float)} | FOLDED
        return found

    def instantiate(self, formula: StraightLine, xs: Sequence[int]) -> list[int]:
        """Return the numbers of a formula's results for these operands: each one instruction, if it is a short one."""
        steps, results = formula
        if 2 <= len(steps) <= LONGEST and len(xs) <= MOST_OPERANDS:
            samples = tuple([i in self.per_sample for i in xs])
            return [self._call(formula, k, xs, samples) for k in range(len(results))]
        return self._expanded(formula, xs, expand=False)

    def _call(self, formula: StraightLine, k: int, xs: Sequence[int], samples: tuple[bool, ...]) -> int:
        """Return the number of one result."""
        result = formula.results[k]
        if isinstance(result, float):
            return self.constant(result)
        if result < len(xs):
            return xs[result]
        if (key := (id(formula), k, samples)) not in self._called:
            self._called[key] = self._form(formula.steps, result, samples, self._own.get(id(formula), FOLDED))
        if called := self._called[key]:
            number = xs if called.direct else self._early(called, xs)
            used = [number[i] for i in called.used] if number else []
            if None in map(self.value, used):
                return self.add((called.opcode, *used))
        return self._expanded(StraightLine(formula.steps, [result]), xs)[0]

    def _early(self, called: Called, xs: Sequence[int]) -> dict[int, int] | None:
        """Add what a formula computes without samples; return its numbers, None if one step has constants alone."""
        number = dict(enumerate(xs))
        for i in (*called.early, *called.used):
            if i in number:
                continue
            value = called.whole.value(i)
            if value is not None:
                number[i] = self.constant(value)
                continue
            instruction = renumbered(called.whole.instructions[i], number)
            if None not in map(self.value, operands(instruction)):
                return None
            number[i] = self.add(instruction)
        return number

    def _form(
        self, steps: list[tuple[Op, list[int | float]]], result: int, samples: tuple[bool, ...], own: set[str]
    ) -> Called | None:
        """Return one result of a formula as an instruction; None if it has a single one, a loop, or a load.

        Constants that are not the operation's `own` are operands, so that there is one opcode for all of them.
        """
        whole = CodeBuilder()
        whole.op_names, whole.formulas, whole.choices, whole._own = (
            self.op_names,
            self.formulas,
            self.choices,
            self._own,
        )
        inputs = [whole.append(("input", i), SAMPLE if s or not any(samples) else BATCH) for i, s in enumerate(samples)]
        [number] = whole._expanded(StraightLine(steps, [result]), inputs)
        needed = live(whole, [number])
        early = [i for i in needed if i not in whole.per_sample]
        body = [i for i in needed if i in whole.per_sample and whole.operands[i]]
        loops = any(
            whole.instructions[i][0] in SUM_OPCODES and len(whole.instructions[i][1]) >= MIN_LOOP_PRODUCTS for i in body
        )
        if len(body) < 2 or loops or any(whole.instructions[i][0] == GATHER for i in needed):
            return None
        read = {j for i in body for j in whole.operands[i]}
        fixed = {i for i in read if repr(whole.value(i)) in own}
        used = sorted(read - fixed - set(body))
        code = Code()
        place = {i: code.append(("input", k), SAMPLE) for k, i in enumerate(used)}
        for i in sorted(fixed.union(body)):
            instruction = whole.instructions[i]
            place[i] = code.constant(instruction[1]) if i in fixed else code.add(renumbered(instruction, place))
        opcode = register_formula(code, place[number])
        direct = {*used} <= {*inputs} and not any(whole.operands[i] for i in early)
        return Called(opcode, used, early, whole, direct)

    def _expanded(self, formula: StraightLine, xs: Sequence[int], expand: bool = True) -> list[int]:
        """Return the numbers of a formula's results; its steps are instructions, or what their formulas expand to."""
        steps, results = formula
        numbers = list(xs)

        def resolve(x: int | float) -> int:
            return numbers[x] if isinstance(x, int) else self.constant(x)

        for op, used in steps:
            numbers.append(self.apply(op, [resolve(x) for x in used], expand))
        return [resolve(x) for x in results]


def _check_form(op: Op, count: int) -> None:
    opcode = op.lowerings.machine
    if opcode in (GATHER, START, *SUM_OPCODES, *LEAF_OPCODES) or not re.fullmatch(
        r"fcmp.*|(?!formula)[A-Za-z_][\w.]*", opcode
    ):
        raise TypeError(f"the operation {op.name!r} has the machine form {opcode!r}, which is no name of a function")
    if opcode.startswith("fcmp") and opcode not in ARITY:
        raise TypeError(
            f"the operation {op.name!r} has the machine form {opcode!r}; comparisons are fcmp " + ", ".join(COMPARISONS)
        )
    if ARITY.get(opcode, count) != count:
        raise TypeError(f"the operation {op.name!r} has {count} operands, its machine form {opcode!r} {ARITY[opcode]}")


def _formula(kind: str, known: Sequence[float | None], op: Op) -> StraightLine:
    """Return the steps of an operation's "formula", of its "partials", or of the "parts" that it passes to operands.

    The first operand of "partials" is the operation's result, and that of "parts" the upstream gradient.
    """
    terms = [Term() if x is None else x for x in known]
    if kind == "formula":
        return straight_line(terms, (expand(op, *terms),))
    if kind == "parts":
        return straight_line(terms, trace(lambda g, *xs: _parts(op, g, xs), *terms, of=op))
    return straight_line(terms, trace(op.local_derivatives, *terms, of=op))


def _parts(op: Op, g: Any, xs: Sequence[Any]) -> tuple[Any, ...]:
    passed = [select(g) if select else None for select in op.selection(xs)]
    return tuple([0.0 if part is None else part for part in passed])
