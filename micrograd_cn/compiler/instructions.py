"""Instructions without duplicates, in order: what machine code is made of, and how operations become them.

An instruction is a tuple, and its number in the list is its name:
`("constant", x)`, `("parameter", i)`, `("input", i)`, `("seed",)`, `("total", k)`, `(machine form, *operands)`,
and sums of products and terms, `(form, pairs, terms, *twins)`, of which SUMS has the forms.

An instruction belongs to a phase: CONSTANT; BATCH, what depends on parameters alone and is computed once a batch;
SAMPLE, once a row; AFTER, what depends on sums over the batch.
"""

from __future__ import annotations

import operator
import re
import struct
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from math import copysign
from typing import Any, TypeAlias

from .. import ieee
from ..formula import FormulaError, Term, expand, trace
from ..operation import Op

Instruction: TypeAlias = tuple[Any, ...]
Pair: TypeAlias = tuple[int, int]
Template: TypeAlias = tuple[list[tuple[Op, list[int | float]]], list[int | float]]

CONSTANT, BATCH, SAMPLE, AFTER = range(4)
LEAVES = ("constant", "parameter", "input", "seed", "total")
# A "sum" rounds its products, a "dot" and an "adjoint" need not. A "sum" or a "dot" does not overflow on the way to a
# finite result; where its first terms are such sums themselves, `twins` are these in units of 1 / SCALE: "scaled".
SUMS = ("sum", "dot", "adjoint", "scaled")
SCALE = 2.0**-64
COMMUTATIVE: dict[str, Callable[..., float]] = {"fadd": operator.add, "fmul": operator.mul}
OPERANDS = {"fadd": 2, "fsub": 2, "fmul": 2, "fdiv": 2, "fneg": 1, "select": 3}
COMPARISONS = ("oeq", "ogt", "oge", "olt", "ole", "one", "ord", "ueq", "ugt", "uge", "ult", "ule", "une", "uno")
OPERANDS |= {f"fcmp {comparison}": 2 for comparison in COMPARISONS}
LONG = 8  # products from which a sum of them is a loop
MOST_CHOICES = 4  # of constants for which a formula is traced anew, since it may be simpler for them
MOST_OPERANDS = 4  # of a formula for which it is, and of a function
MANY = 16  # terms from which a sum is written as products with 1, and so may become a loop


class Lowering:
    """Collect instructions; the same one is never there twice.

    Attributes:
        code: the instructions, each after its operands.
        phase: the phase of each.
        level: the length of the longest chain of instructions below each.
        rows: the name of an operation that has a machine form.
        templates: formulas, by operation and constants.
        choices: for how many constants each of them has been traced.
    """

    def __init__(self) -> None:
        self.code: list[Instruction] = []
        self.phase: list[int] = []
        self.level: list[int] = []
        self.number: dict[Any, int] = {}
        self.templates: dict[Any, Template] = {}
        self.choices: dict[Any, int] = {}
        self.rows: dict[str, str] = {}
        self._checked: set[tuple[Op, int]] = set()

    def add(self, instruction: Instruction, phase: int | None = None, key: Any = None) -> int:
        """Return the instruction's number; without `phase`, it has the latest one among its operands'."""
        key = key or instruction
        known = self.number.get(key)
        if known is not None:
            return known
        used = list(operands(instruction))
        self.code.append(instruction)
        self.phase.append(max([self.phase[i] for i in used]) if phase is None else phase)
        self.level.append(max([self.level[i] for i in used], default=-1) + 1)
        self.number[key] = number = len(self.code) - 1
        return number

    def size(self, numbers: Iterable[int]) -> int:
        """Return about how much there is to compile, in instructions.

        A loop counts as ten, a call as four, a formula as what it consists of, all of it as a third on scalars.
        """
        thirds = 0
        for i in numbers:
            if self.code[i][0] not in LEAVES:
                thirds += self.weight(i) * (3 if self.phase[i] == SAMPLE else 1)
        return thirds // 3

    def weight(self, i: int) -> int:
        """Return about how many instructions of the machine an instruction is."""
        form, *rest = self.code[i]
        return min(10, sum(map(len, rest[:2]))) if form in SUMS else 1 if form in OPERANDS else 4

    def constant(self, x: float) -> int:
        """Return a constant's number; -0.0 and every nan are constants of their own."""
        return self.add(("constant", x), CONSTANT, ("constant", struct.pack("d", x)))

    def value(self, i: int) -> float | None:
        """Return what a constant is, None for what is none."""
        return self.code[i][1] if self.code[i][0] == "constant" else None

    def apply(self, op: Op, slots: Sequence[int]) -> int:
        """Return the number of an operation's result: one instruction, or as many as its formula has."""
        known = [self.value(i) for i in slots]
        if None not in known:
            return self.constant(op.forward(*known))
        if op.summands:
            pairs, terms = op.summands(*slots)
            form = "dot" if pairs else "sum"
            return self.dot(pairs, [*terms, self.constant(0.0)], form)  # with 0.0, so that a sum of -0.0 is 0.0
        if op.machine:
            if (op, len(slots)) not in self._checked:
                _check_form(op, len(slots))
                self._checked.add((op, len(slots)))
                self.rows[op.machine] = op.name
            return self.machine(op.machine, *slots)
        [result] = self.instantiate(self.template((op, "formula"), known, op), slots)
        return result

    def machine(self, form: str, *slots: int) -> int:
        """Return the number of a machine form's result; of a sum or product of constants it is a constant."""
        known = [self.value(i) for i in slots]
        if form in COMMUTATIVE:
            if None not in known:
                return self.constant(COMMUTATIVE[form](*known))
            if form == "fmul" and 1.0 in known:
                return slots[1 - known.index(1.0)]
            slots = tuple(sorted(slots))
        return self.add((form, *slots))

    def partials(self, op: Op, y: int, slots: Sequence[int]) -> list[int]:
        """Return the numbers of the local derivatives."""
        return self.instantiate(self.template((op, "partials"), [None, *map(self.value, slots)], op), [y, *slots])

    def dot(self, pairs: Iterable[Pair], terms: Iterable[int], form: str = "dot") -> int:
        """Return the number of a sum of products and terms; what needs no sample is summed by itself."""
        pairs, terms = list(pairs), list(terms)
        if len(pairs) + len(terms) == 1:
            return terms[0] if terms else self.machine("fmul", *pairs[0])
        if all(self.phase[i] == CONSTANT for i in chain(*pairs, terms)):
            known = [self.code[i][1] * self.code[j][1] for i, j in pairs]
            return self.constant(ieee.sum(*known, *[self.code[t][1] for t in terms]))
        twins: list[int] = []
        early = [p for p in pairs if self.phase[p[0]] != SAMPLE != self.phase[p[1]]]
        rest = [t for t in terms if self.phase[t] != SAMPLE]
        if (early or len(rest) > 1) and len(early) + len(rest) < len(pairs) + len(terms):
            pairs = [p for p in pairs if SAMPLE in (self.phase[p[0]], self.phase[p[1]])]
            terms = [self._part(early, rest, form, twins), *(t for t in terms if self.phase[t] == SAMPLE)]
        if len(terms) > MANY:
            one = self.constant(1.0)
            samples = [t for t in terms if self.phase[t] == SAMPLE]  # a loop reads these or scalars, not both
            scalars = [t for t in terms if self.phase[t] != SAMPLE]
            pairs, terms = [*pairs, *((one, t) for t in samples or scalars)], scalars if samples else []
        if not pairs and len(terms) < 3 and not twins:
            return terms[0] if len(terms) == 1 else self.machine("fadd", *terms) if terms else self.constant(0.0)
        mixed = [p for p in pairs if SAMPLE in (self.phase[p[0]], self.phase[p[1]]) and not self._of_samples(p)]
        if LONG <= len(mixed) <= len(pairs) - LONG:  # a loop reads vectors and scalars, or vectors alone
            terms = [self._part([p for p in pairs if self._of_samples(p)], [], form, twins), *terms]
            pairs = mixed
        return self.add((form, tuple(pairs), tuple(terms), *twins))

    def _part(self, pairs: list[Pair], terms: list[int], form: str, twins: list[int]) -> int:
        """Return the number of a part of a sum, and put its twin into the list if it has one."""
        added = [t for t in terms if self.value(t) != 0.0]
        if form in ("sum", "dot") and len(pairs) + len(added) > 1:
            if all(self.phase[i] == CONSTANT for i in chain(*pairs, added)):
                scaled = [self.code[i][1] * self.code[j][1] * SCALE for i, j in pairs]
                twins.insert(0, self.constant(ieee.sum(*scaled, *[self.code[t][1] * SCALE for t in added])))
            else:
                twins.insert(0, self.add(("scaled", tuple(pairs), tuple(added))))
        return self.dot(pairs, terms, form)

    def _of_samples(self, pair: Pair) -> bool:
        return self.phase[pair[0]] == self.phase[pair[1]] == SAMPLE

    def template(self, key: Any, known: Sequence[float | None], op: Op) -> Template:
        """Return the steps of a formula for operands of which some are constants, traced once."""
        if len(known) > MOST_OPERANDS:
            known = [None] * len(known)
        signs = tuple([None if x is None else (x, copysign(1.0, x)) for x in known])
        found = self.templates.get((key, signs))
        if found is None and any(signs):
            self.choices[key] = self.choices.get(key, 0) + 1
            if self.choices[key] > MOST_CHOICES:
                return self.template(key, [None] * len(known), op)
        if found is None:
            try:
                found = self.templates[key, signs] = _template(key[1], known, op)
            except FormulaError:
                raise
            except Exception as error:  # what is wrong is in a row of one's own
                what = f"{type(error).__name__} in its {key[1]}: {error}"
                raise TypeError(f"the operation {op.name!r} cannot be compiled: {what}") from error
        return found

    def instantiate(self, template: Template, slots: Sequence[int]) -> list[int]:
        """Return the numbers of a formula's results for these operands."""
        steps, results = template
        numbers = list(slots)

        def resolve(x: int | float) -> int:
            return numbers[x] if isinstance(x, int) else self.constant(x)

        for op, used in steps:
            numbers.append(self.apply(op, [resolve(x) for x in used]))
        return [resolve(x) for x in results]


def _check_form(op: Op, count: int) -> None:
    form = op.machine
    if form in (*SUMS, *LEAVES) or not re.fullmatch(r"fcmp.*|(?!formula)[A-Za-z_][\w.]*", form):
        raise TypeError(f"the operation {op.name!r} has the machine form {form!r}, which is no name of a function")
    if form.startswith("fcmp") and form not in OPERANDS:
        raise TypeError(
            f"the operation {op.name!r} has the machine form {form!r}; comparisons are fcmp " + ", ".join(COMPARISONS)
        )
    if OPERANDS.get(form, count) != count:
        raise TypeError(f"the operation {op.name!r} has {count} operands, its machine form {form!r} {OPERANDS[form]}")


def _template(kind: str, known: Sequence[float | None], op: Op) -> Template:
    """Return the steps of an operation's "formula", or of its "partials", whose first operand is its result."""
    terms = [Term() if x is None else x for x in known]
    if kind == "formula":
        return steps_of(terms, (expand(op, *terms),))
    results = trace(op.local, *terms, of=op)
    if len(results) != len(known) - 1:
        raise ValueError(f"{len(results)} partials for {len(known) - 1} operands")
    return steps_of(terms, results)


def below(code: Lowering, roots: Iterable[int]) -> set[int]:
    """Return the roots and all that they need."""
    found: set[int] = set()
    stack = list(roots)
    while stack:
        i = stack.pop()
        if i not in found:
            found.add(i)
            stack += operands(code.code[i])
    return found


def operands(instruction: Instruction) -> Iterable[int]:
    """Return the numbers of an instruction's operands.

    >>> list(operands(("dot", ((1, 2),), (3,)))), list(operands(("fadd", 4, 5))), list(operands(("input", 6)))
    ([1, 2, 3], [4, 5], [])
    """
    if instruction[0] in SUMS:
        return [i for pair in instruction[1] for i in pair] + [*instruction[2], *instruction[3:]]
    if instruction[0] in LEAVES:
        return ()
    return instruction[1:]


def steps_of(terms: Sequence[Term | float], results: Sequence[Any]) -> Template:
    """Return formulas as steps in order; an integer counts operands, then earlier steps; a float is itself."""
    number: dict[int, int] = {id(t): i for i, t in enumerate(terms) if isinstance(t, Term)}
    steps: list[tuple[Op, list[int | float]]] = []
    stack = [t for t in results if isinstance(t, Term)]
    while stack:
        term = stack[-1]
        if id(term) in number:
            stack.pop()
            continue
        waiting = [t for t in term.operands if isinstance(t, Term) and id(t) not in number]
        if waiting:
            stack += waiting
            continue
        assert term.op is not None
        number[id(term)] = len(terms) + len(steps)
        steps.append((term.op, [number[id(t)] if isinstance(t, Term) else t for t in term.operands]))
        stack.pop()
    return steps, [number[id(t)] if isinstance(t, Term) else float(t) for t in results]
