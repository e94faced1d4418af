"""Formulas as functions: less to compile than formulas as instructions, of which each occurrence has its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from ..operation import Op
from .instructions import (
    BATCH,
    CONSTANT,
    LEAVES,
    LONG,
    MOST_OPERANDS,
    SAMPLE,
    SUMS,
    Instruction,
    Lowering,
    Template,
    below,
    operands,
)

MOST_FORMULAS = 100  # that are functions
LONGEST = 50  # steps of one: the time to compile a function grows faster than its length

# A part of a formula of many operands, as a formula, with the numbers in the whole one of its operands and result.
Part: TypeAlias = tuple[Template, list[int], int]


class Formula(NamedTuple):
    """A result of a formula, of which the samples' part is a function.

    Attributes:
        name: of the instruction that calls the function.
        code: the formula's own instructions.
        early: those of them that need no sample.
        used: those that are the function's operands.
        body: those that it computes; the last one is its result.
    """

    name: str
    code: Lowering
    early: list[int]
    used: list[int]
    body: list[int]


class Outlined(Lowering):
    """Instructions of which some call functions: a formula, or a part of one, that has several instructions.

    Attributes:
        outline: whether there are such instructions. The formulas share no parts then.
        formulas: the functions by the name of the instruction.
    """

    def __init__(self, outline: bool) -> None:
        super().__init__()
        self.outline = outline
        self.formulas: dict[str, Formula] = {}
        self._called: dict[Any, Formula | None] = {}  # of a template, a result, and which operands are samples
        self._parts: dict[int, list[Part]] = {}
        self._same: dict[Any, Template] = {}

    def instantiate(self, template: Template, slots: Sequence[int]) -> list[int]:
        """Return the numbers of a formula's results for these operands."""
        steps, results = template
        if not (self.outline and steps):
            return super().instantiate(template, slots)
        if len(slots) <= MOST_OPERANDS and len(steps) <= LONGEST:
            return [self._call(template, k, slots) for k in range(len(results))]
        if id(template) not in self._parts:
            self._parts[id(template)] = [self._part_of(steps, part, len(slots)) for part in cones(template, len(slots))]
        number = dict(enumerate(slots))
        for part, used, result in self._parts[id(template)]:
            taken = [number[i] for i in used]
            if len(taken) <= MOST_OPERANDS:
                number[result] = self._call(part, 0, taken)
            else:
                [number[result]] = super().instantiate(part, taken)
        return [number[x] if isinstance(x, int) else self.constant(x) for x in results]

    def _part_of(self, steps: list[tuple[Op, list[int | float]]], chosen: list[int], count: int) -> Part:
        """Return some steps of a formula of `count` operands as a formula; like ones are the same object."""
        inner = {count + k for k in chosen}
        used = list(dict.fromkeys(x for k in chosen for x in steps[k][1] if isinstance(x, int) and x not in inner))
        place = {x: i for i, x in enumerate([*used, *sorted(inner)])}
        part = [(steps[k][0], [place[x] if isinstance(x, int) else x for x in steps[k][1]]) for k in chosen]
        key = len(used), repr([(id(op), xs) for op, xs in part])
        return self._same.setdefault(key, (part, [len(place) - 1])), used, count + chosen[-1]

    def weight(self, i: int) -> int:
        """Return about how many instructions of the machine an instruction is."""
        formula = self.formulas.get(self.code[i][0])
        return sum(map(formula.code.weight, formula.body)) if formula else super().weight(i)

    def _call(self, template: Template, k: int, slots: Sequence[int]) -> int:
        """Return the number of one result of a formula: of a call, unless little of it needs samples."""
        steps, results = template
        result = results[k]
        if isinstance(result, float) or result < len(slots):
            return self.constant(result) if isinstance(result, float) else slots[result]
        samples = tuple([self.phase[i] == SAMPLE for i in slots])
        key = id(template), k, samples
        if key not in self._called:
            self._called[key] = self._formula(steps, result, samples)
        formula = self._called[key]
        number = formula and self._early(formula, slots)
        if not formula or not number:
            return super().instantiate((steps, [result]), slots)[0]
        return self.add((formula.name, *[number[i] for i in formula.used]))

    def _early(self, formula: Formula, slots: Sequence[int]) -> dict[int, int] | None:
        """Add what a formula computes without samples, and return the numbers of its operands.

        It is None where constants alone are added up or are all that it reads: such sums are rounded once.
        """
        number = dict(enumerate(slots))  # of the formula's instructions; its inputs come first
        fixed = {i for i, slot in number.items() if self.phase[slot] == CONSTANT}
        for i in formula.early:
            instruction = formula.code.code[i]
            if instruction[0] == "constant":
                number[i] = self.constant(instruction[1])
                fixed.add(i)
                continue
            if fixed.issuperset(operands(instruction)):
                if instruction[0] in SUMS:
                    return None
                fixed.add(i)
            renamed = _renamed(instruction, number)
            number[i] = self.add(renamed, max(BATCH, *[self.phase[j] for j in operands(renamed)]))
        return None if fixed.issuperset(formula.used) else number

    def _formula(
        self, steps: list[tuple[Op, list[int | float]]], result: int, samples: Sequence[bool]
    ) -> Formula | None:
        """Return one result of a formula as a function, None if it would be a short one."""
        code = Lowering()
        code.rows, code.templates, code.choices = self.rows, self.templates, self.choices
        for i, sample in enumerate(samples):
            code.add(("input", i), SAMPLE if sample or not any(samples) else BATCH)
        [number] = code.instantiate((steps, [result]), range(len(samples)))
        needed = sorted(below(code, [number]))
        body = [i for i in needed if code.phase[i] == SAMPLE and code.code[i][0] not in LEAVES]
        loops = any(code.code[i][0] in SUMS and sum(map(len, code.code[i][1:3])) >= LONG for i in body)
        if len(body) < 2 or len(body) > 4 * LONGEST or loops or len(self.formulas) == MOST_FORMULAS:
            return None
        inner = set(body)
        read = {j for i in body for j in operands(code.code[i])} - inner
        used = sorted(j for j in read if code.phase[j] != CONSTANT)
        early = sorted(i for i in below(code, used) if code.code[i][0] != "input")
        name = f"formula{len(self.formulas)}"
        self.formulas[name] = formula = Formula(name, code, early, used, body)
        return formula


def cones(template: Template, count: int) -> list[list[int]]:
    """Return the steps of a formula of `count` operands in groups: a step with those that only its group needs.

    A group has one result and, unless it is a single step, at most MOST_OPERANDS operands: a fanout-free cone. It has
    at most LONGEST steps.

    >>> from micrograd_cn import add, exp, sub
    >>> cones(([(sub, [0, 1]), (exp, [5]), (sub, [2, 1]), (exp, [7]), (add, [6, 8])], [6, 9]), 5)
    [[0, 1], [2, 3, 4]]
    """
    steps, results = template
    readers: dict[int, set[int]] = {}
    for k, (_, used) in enumerate(steps):
        for x in used:
            if isinstance(x, int):
                readers.setdefault(x, set()).add(k)
    for x in results:
        if isinstance(x, int):
            readers.setdefault(x, set()).add(-1)
    groups: list[list[int]] = []
    taken: set[int] = set()
    for root in reversed(range(len(steps))):
        if root in taken or count + root not in readers:
            continue
        group = best = frozenset([root])
        outside = {x for x in steps[root][1] if isinstance(x, int)}
        while len(group) < LONGEST and len(outside) <= 2 * MOST_OPERANDS:  # more on the way than in the end
            inner = [x for x in outside if x >= count and len(readers[x]) <= len(group) and readers[x] <= group]
            if not inner:
                break
            group |= {max(inner) - count}
            outside = outside - {max(inner)} | {x for x in steps[max(inner) - count][1] if isinstance(x, int)}
            if len(outside) <= MOST_OPERANDS:
                best = group
        group = best
        taken |= group
        groups.append(sorted(group))
    return groups[::-1]


def _renamed(instruction: Instruction, number: dict[int, int]) -> Instruction:
    form, *rest = instruction
    if form not in SUMS:
        return (form, *[number[i] for i in rest])
    pairs, terms, *twins = rest
    return (
        form,
        tuple([(number[a], number[b]) for a, b in pairs]),
        tuple([number[t] for t in terms]),
        *[number[t] for t in twins],
    )
