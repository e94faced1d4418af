"""Instructions without duplicates, in order: what machine code is made of, and how operations become them.

An instruction is a tuple, and its number in the list is its name:
`("constant", x)`, `("parameter", i)`, `("input", i)`, `("seed",)`, `("total", k)`, `(machine form, *operands)`,
`("take", index, *operands)`, which is the operand with this number, and sums of products and terms,
`(form, pairs, terms)`, of which SUMS has the forms.

An instruction belongs to a phase: CONSTANT; BATCH, what depends on parameters alone and is computed once a batch;
SAMPLE, once a row; AFTER, what depends on sums over the batch.
"""

from __future__ import annotations

import operator
import re
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from functools import cache
from itertools import chain
from math import frexp, inf, nan
from typing import Any, NamedTuple, TypeAlias, TypeVar

from .. import ieee
from ..formula import FormulaError, StraightLine, Term, expand, straight_line, trace
from ..operation import Op

Instruction: TypeAlias = tuple[Any, ...]
Pair: TypeAlias = tuple[int, int]
T = TypeVar("T")

CONSTANT, BATCH, SAMPLE, AFTER = range(4)
LEAVES = ("constant", "parameter", "input", "seed", "total")
SUMS = ("sum", "dot", "adjoint")  # a "sum" rounds its products, a "dot" and an "adjoint", of gradients, need not
SPECIAL = frozenset([*LEAVES, *SUMS])  # whose operands are not what follows the form
TAKE = "take"
START = "start"  # what a long sum starts from, as it is
COMMUTATIVE: dict[str, Callable[..., float]] = {"fadd": operator.add, "fmul": operator.mul}
OPERANDS = {"fadd": 2, "fsub": 2, "fmul": 2, "fdiv": 2, "fneg": 1, "select": 3}
COMPARISONS = ("oeq", "ogt", "oge", "olt", "ole", "one", "ord", "ueq", "ugt", "uge", "ult", "ule", "une", "uno")
OPERANDS |= {f"fcmp {comparison}": 2 for comparison in COMPARISONS}
SELECTS = 4  # operands, the index among them, up to which one is chosen by instructions, not loaded
LONG = 8  # products from which a sum of them is a loop
MOST_CHOICES = 4  # of constants for which a formula is traced anew, since it may be simpler for them
MOST_OPERANDS = 4  # of a formula for which it is, and of a function
FOLDED = {"0.0", "-0.0", "1.0", "-1.0"}  # constants that may be all that is left of others
LONGEST = 50  # steps of a formula that is one instruction
HALF_POWERS = (-1.5, -0.5, 0.5, 1.5)  # exponents of powers that square roots give sooner
MANY = 16  # terms from which a sum is written as products with 1, and so may become a loop


# Formulas that are instructions, by form: their own instructions, of which the inputs come first, and the result's
# number. They are those of the whole process, since the functions for them are.
FORMULAS: dict[str, tuple[Code, int]] = {}
_forms: dict[str, str] = {}
_naming = threading.Lock()


class Called(NamedTuple):
    """A result of a formula as an instruction.

    Attributes:
        form: of the instruction.
        used: the numbers of its operands, among `whole`.
        early: the numbers of what needs no sample, and is computed before.
        whole: the formula's instructions.
        direct: whether its operands are the formula's, and nothing else.
    """

    form: str
    used: list[int]
    early: list[int]
    whole: Code
    direct: bool


class Code:
    """Instructions in order; the same one is never there twice.

    Attributes:
        instructions: each after its operands.
        phase: the phase of each.
        operands: the numbers of those that each needs; none of a leaf.
        sampled: the numbers of those that are computed once a row.
        rows: the name of an operation that has a machine form.
        formulas: those of operations and of their partials, for some constants.
        choices: for how many constants each of them has been traced.
        constants: what they are, by number.
        value: from a number to what a constant is, None for what is none.
    """

    def __init__(self) -> None:
        self.instructions: list[Instruction] = []
        self.phase: list[int] = []
        self.operands: list[tuple[int, ...]] = []
        self.sampled: set[int] = set()
        self.number: dict[Any, int] = {}
        self.formulas: dict[Any, StraightLine] = {}
        self.choices: Counter[tuple[Op, str]] = Counter()
        self.rows: dict[str, str] = {}
        self.constants: dict[int, float] = {}
        self._constant: dict[float, int] = {}
        self.value = self.constants.get
        self.total: int  # of a formula: about how many instructions of the machine
        self._called: dict[tuple[int, int, tuple[bool, ...]], Called | None] = {}
        self._own: dict[int, set[str]] = {}
        self._checked: set[tuple[Op, int]] = set()

    def copy(self) -> Code:
        """Return the same instructions, of which some may be changed, and to which others may be added."""
        found = copy(self)
        for name, x in vars(self).items():
            if isinstance(x, (list, dict, set)):
                setattr(found, name, x.copy())
        found.value = found.constants.get
        return found

    def add(self, instruction: Instruction, phase: int | None = None, key: Any = None) -> int:
        """Return the instruction's number; without `phase`, it has the latest one among its operands'."""
        key = key or instruction
        known = self.number.get(key)
        if known is not None:
            return known
        used = operands(instruction) if instruction[0] in SPECIAL else instruction[1:]
        if phase is None:
            phase = max(map(self.phase.__getitem__, used))
        self.number[key] = number = self.leaf(instruction, phase, used)
        return number

    def leaf(self, instruction: Instruction, phase: int, used: tuple[int, ...] = ()) -> int:
        """Return the number of a new instruction, without operands if none are given."""
        number = len(self.instructions)
        if phase == SAMPLE:
            self.sampled.add(number)
        self.instructions.append(instruction)
        self.operands.append(used)
        self.phase.append(phase)
        return number

    def size(self, numbers: Iterable[int]) -> int:
        """Return about how much there is to compile, in instructions.

        A loop counts as ten, a call as four, a formula as what it consists of, all of it as a third on scalars.
        """
        thirds, weight = 0, dict.fromkeys(LEAVES, 0)
        for i in numbers:
            form = self.instructions[i][0]
            if form not in weight or form in SUMS:
                weight[form] = self.weight(i)
            thirds += weight[form] * (3 if i in self.sampled else 1)
        return thirds // 3

    def weight(self, i: int) -> int:
        """Return about how many instructions of the machine an instruction is."""
        form, *rest = self.instructions[i]
        if form in FORMULAS:
            return FORMULAS[form][0].total
        return min(10, sum(map(len, rest[:2]))) if form in SUMS else 1 if form in OPERANDS else 4

    def constant(self, x: float) -> int:
        """Return a constant's number; -0.0 and every nan are constants of their own."""
        if x and (known := self._constant.get(x)) is not None:
            return known
        number = self.add(("constant", x), CONSTANT, ("constant", _bits(x)))
        self.constants[number] = x
        self._constant[x] = number
        return number

    def apply(self, op: Op, slots: Sequence[int], expand: bool = False) -> int:
        """Return the number of an operation's result: one instruction, or as many as its formula has."""
        known = [*map(self.value, slots)]
        if None not in known:
            return self.constant(op.forward(*known))
        if op.chooses:
            if known[0] is not None:
                number = op.forward(known[0], *map(float, range(1, len(slots))))
                return slots[int(number)] if number == number else self.constant(nan)
            if len(slots) > SELECTS:
                return self.add((TAKE, *slots))
        if op.summands:
            pairs, terms = op.summands(*slots)
            form = "dot" if pairs else "sum"
            return self.dot(pairs, [*terms, self.constant(0.0)], form)  # with 0.0, so that a sum of -0.0 is 0.0
        if op.machine:
            if (op, len(slots)) not in self._checked:
                self.check(op, len(slots))
            return self._machine(op.machine, slots, known, expand)
        formula = self.formula((op, "formula"), known, op)
        [result] = self._expanded(formula, slots) if expand else self.instantiate(formula, slots)
        return result

    def check(self, op: Op, count: int) -> None:
        """Raise TypeError if an operation of so many operands cannot be compiled."""
        if op.summands or op.chooses or (op, count) in self._checked:
            return
        if op.machine:
            _check_form(op, count)
            self.rows[op.machine] = op.name
        else:
            for row, used in self.formula((op, "formula"), [None] * count, op).steps:
                self.check(row, len(used))
        self._checked.add((op, count))

    def machine(self, form: str, *slots: int) -> int:
        """Return the number of a machine form's result.

        Sums and products of constants are constants; x**2 is x * x, and x / 4 is 0.25 * x, which has the same bits;
        x**0.5 and its like are made of a square root.
        """
        return self._machine(form, slots, [*map(self.value, slots)])

    def _machine(self, form: str, slots: Sequence[int], known: Sequence[float | None], expand: bool = False) -> int:
        if form in COMMUTATIVE:
            a, b = slots
            if known[0] is not None and known[1] is not None:
                return self.constant(COMMUTATIVE[form](*known))
            if form == "fmul" and 1.0 in known:
                return a if known[0] is None else b
            return self.add((form, a, b) if a < b else (form, b, a))
        if form == "fdiv" and (inverse := _exact_inverse(known[1])) is not None:
            return self.machine("fmul", slots[0], self.constant(inverse))
        if form == "pow" and known[1] in (1.0, 2.0):
            return slots[0] if known[1] == 1.0 else self.machine("fmul", slots[0], slots[0])
        if form == "pow" and known[1] in HALF_POWERS:
            power = _half_power(known[1])
            return inlined(self, power, slots[:1]) if expand else self.add((power, slots[0]))
        return self.add((form, *slots))

    def partials(self, op: Op, y: int, slots: Sequence[int]) -> list[int]:
        """Return the numbers of the local derivatives."""
        return self.instantiate(self.formula((op, "partials"), [None, *map(self.value, slots)], op), [y, *slots])

    def dot(self, pairs: Iterable[Pair], terms: Iterable[int], form: str = "dot") -> int:
        """Return the number of a sum of products and terms; what needs no sample is summed by itself."""
        pairs, terms = list(pairs), list(terms)
        if len(pairs) + len(terms) == 1:
            return terms[0] if terms else self.machine("fmul", *pairs[0])
        if (known := self._constant_sum(pairs, terms)) is not None:
            return known
        sampled = self.sampled
        samples_of = [(a in sampled) + (b in sampled) for a, b in pairs]
        early = [pair for pair, count in zip(pairs, samples_of, strict=True) if not count] if 0 in samples_of else []
        scalars = [t for t in terms if t not in sampled]
        if (early or len(scalars) > 1) and (len(early) < len(pairs) or len(scalars) < len(terms)):
            pairs = [(a, b) for a, b in pairs if a in sampled or b in sampled]
            terms = [self.dot(early, scalars, form), *[t for t in terms if t in sampled]]
        if len(terms) > MANY:
            one = self.constant(1.0)
            samples, scalars = parted(terms, sampled.__contains__)  # a loop reads these or those, not both
            pairs, terms = [*pairs, *((one, t) for t in samples or scalars)], scalars if samples else []
        if not pairs and len(terms) < 3:
            return self.machine("fadd", *terms)
        alike = []
        if len(pairs) >= 2 * LONG and 2 in samples_of:
            alike = [(a, b) for a, b in pairs if a in sampled and b in sampled]
        if min(len(alike), len(pairs) - len(alike)) >= LONG:  # a loop reads vectors and scalars, or vectors alone
            pairs = [(a, b) for a, b in pairs if a not in sampled or b not in sampled]
            terms = [self.dot(alike, [], form), *terms]
        return self.add((form, tuple(pairs), tuple(terms)))

    def _constant_sum(self, pairs: list[Pair], terms: list[int]) -> int | None:
        """Return the number of a sum of constants; None if not all are constants."""
        if pairs and self.value(pairs[0][0]) is None:
            return None
        if None in map(self.value, chain(*pairs, terms)):
            return None
        products = [self.instructions[i][1] * self.instructions[j][1] for i, j in pairs]
        return self.constant(ieee.sum(*products, *[self.instructions[t][1] for t in terms]))

    def formula(self, kind: tuple[Op, str], known: Sequence[float | None], op: Op) -> StraightLine:
        """Return the steps of a formula for operands of which some are constants, traced once."""
        general = [None] * len(known)
        if len(known) > MOST_OPERANDS:
            known = general
        key = kind, tuple([x if x is None else _bits(x) for x in known])
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

    def instantiate(self, formula: StraightLine, slots: Sequence[int]) -> list[int]:
        """Return the numbers of a formula's results for these operands: each one instruction, if it is a short one."""
        steps, results = formula
        if 2 <= len(steps) <= LONGEST and len(slots) <= MOST_OPERANDS:
            samples = tuple([i in self.sampled for i in slots])
            return [self._call(formula, k, slots, samples) for k in range(len(results))]
        return self._expanded(formula, slots, expand=False)

    def _call(self, formula: StraightLine, k: int, slots: Sequence[int], samples: tuple[bool, ...]) -> int:
        """Return the number of one result."""
        result = formula.results[k]
        if isinstance(result, float):
            return self.constant(result)
        if result < len(slots):
            return slots[result]
        if (key := (id(formula), k, samples)) not in self._called:
            self._called[key] = self._form(formula.steps, result, samples, self._own.get(id(formula), FOLDED))
        if called := self._called[key]:
            number = slots if called.direct else self._early(called, slots)
            used = [number[i] for i in called.used] if number else []
            if None in map(self.value, used):
                return self.add((called.form, *used))
        return self._expanded(StraightLine(formula.steps, [result]), slots)[0]

    def _early(self, called: Called, slots: Sequence[int]) -> dict[int, int] | None:
        """Add what a formula computes without samples; return the numbers of it, None if that reads constants alone."""
        number = dict(enumerate(slots))
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

        Constants that are not the operation's `own` are operands, so that there is one form for all of them.
        """
        whole = Code()
        whole.rows, whole.formulas, whole.choices, whole._own = self.rows, self.formulas, self.choices, self._own
        inputs = [whole.leaf(("input", i), SAMPLE if s or not any(samples) else BATCH) for i, s in enumerate(samples)]
        [number] = whole._expanded(StraightLine(steps, [result]), inputs)
        needed = below(whole, [number])
        early = [i for i in needed if i not in whole.sampled]
        body = [i for i in needed if i in whole.sampled and whole.operands[i]]
        loops = any(whole.instructions[i][0] in SUMS and len(whole.instructions[i][1]) >= LONG for i in body)
        if len(body) < 2 or loops or any(whole.instructions[i][0] == TAKE for i in needed):
            return None
        read = {j for i in body for j in whole.operands[i]}
        fixed = {i for i in read if repr(whole.value(i)) in own}
        used = sorted(read - fixed - set(body))
        code = Code()
        place = {i: code.leaf(("input", k), SAMPLE) for k, i in enumerate(used)}
        for i in sorted(fixed.union(body)):
            instruction = whole.instructions[i]
            place[i] = code.constant(instruction[1]) if i in fixed else code.add(renumbered(instruction, place))
        form = named(code, place[number])
        direct = {*used} <= {*inputs} and not any(whole.operands[i] for i in early)
        return Called(form, used, early, whole, direct)

    def _expanded(self, formula: StraightLine, slots: Sequence[int], expand: bool = True) -> list[int]:
        """Return the numbers of a formula's results; its steps are instructions, or what their formulas expand to."""
        steps, results = formula
        numbers = list(slots)

        def resolve(x: int | float) -> int:
            return numbers[x] if isinstance(x, int) else self.constant(x)

        for op, used in steps:
            numbers.append(self.apply(op, [resolve(x) for x in used], expand))
        return [resolve(x) for x in results]


def named(code: Code, result: int) -> str:
    """Return the form of a formula, of which the inputs come first."""
    code.total = code.size(range(len(code.instructions)))
    with _naming:
        form = _forms.setdefault(repr((code.instructions, result)), f"formula{len(_forms)}")
        FORMULAS.setdefault(form, (code, result))
    return form


@cache
def _half_power(exponent: float) -> str:
    """Return the form of x**exponent, of a square root; at -0.0 and -inf, where that is of no use, as `pow` has it."""
    code = Code()
    x = code.leaf(("input", 0), SAMPLE)
    power = code.add(("llvm.sqrt", x))
    if exponent < 0.0:
        power = code.add(("fdiv", code.constant(1.0), power))
    if abs(exponent) == 1.5:
        power = code.add(("fmul" if exponent > 0.0 else "fdiv", power, x))
    lowest = code.add(("fcmp oeq", x, code.constant(-inf)))
    end = code.constant(inf if exponent > 0.0 else 0.0)
    return named(code, code.add(("select", lowest, end, code.add(("llvm.fabs", power)))))


def inlined(code: Code, form: str, slots: Sequence[int]) -> int:
    """Add a formula's instructions, and return the number of its result."""
    formula, result = FORMULAS[form]
    number = dict(enumerate(slots))
    for i in range(len(slots), len(formula.instructions)):
        instruction = formula.instructions[i]
        constant = instruction[0] == "constant"
        number[i] = code.constant(instruction[1]) if constant else code.add(renumbered(instruction, number))
    return number[result]


def parted(xs: Iterable[T], belongs: Callable[[T], bool]) -> tuple[list[T], list[T]]:
    """Return those that belong, and the others.

    >>> parted([1, 2, 3, 4], lambda x: x > 2)
    ([3, 4], [1, 2])
    """
    parts: tuple[list[T], list[T]] = [], []
    for x in xs:
        parts[not belongs(x)].append(x)
    return parts


def _exact_inverse(x: float | None) -> float | None:
    """Return the inverse of a power of two, by which to multiply is to divide; None for any other number.

    >>> _exact_inverse(-4.0), _exact_inverse(3.0), _exact_inverse(0.0), _exact_inverse(2.0**-1024), _exact_inverse(None)
    (-0.25, None, None, None, None)
    """
    if x is None or abs(frexp(x)[0]) != 0.5:
        return None
    return 1.0 / x if 2.0**-1022 <= abs(x) <= 2.0**1022 else None


def _bits(x: float) -> bytes:
    return struct.pack("d", x)


def renumbered(instruction: Instruction, number: dict[int, int]) -> Instruction:
    """Return the same instruction of other operands.

    >>> renumbered(("dot", ((1, 2),), (3,)), {1: 4, 2: 5, 3: 6})
    ('dot', ((4, 5),), (6,))
    """
    form, *rest = instruction
    if form not in SUMS:
        return (form, *[number[i] for i in rest])
    pairs, terms = rest
    return form, tuple([(number[a], number[b]) for a, b in pairs]), tuple([number[t] for t in terms])


def _check_form(op: Op, count: int) -> None:
    form = op.machine
    if form in (TAKE, START, *SUMS, *LEAVES) or not re.fullmatch(r"fcmp.*|(?!formula)[A-Za-z_][\w.]*", form):
        raise TypeError(f"the operation {op.name!r} has the machine form {form!r}, which is no name of a function")
    if form.startswith("fcmp") and form not in OPERANDS:
        raise TypeError(
            f"the operation {op.name!r} has the machine form {form!r}; comparisons are fcmp " + ", ".join(COMPARISONS)
        )
    if OPERANDS.get(form, count) != count:
        raise TypeError(f"the operation {op.name!r} has {count} operands, its machine form {form!r} {OPERANDS[form]}")


def _formula(kind: str, known: Sequence[float | None], op: Op) -> StraightLine:
    """Return the steps of an operation's "formula", or of its "partials", whose first operand is its result."""
    terms = [Term() if x is None else x for x in known]
    if kind == "formula":
        return straight_line(terms, (expand(op, *terms),))
    results = trace(op.local, *terms, of=op)
    if len(results) != len(known) - 1:
        raise ValueError(f"{len(results)} partials for {len(known) - 1} operands")
    return straight_line(terms, results)


def below(code: Code, roots: Iterable[int]) -> list[int]:
    """Return the roots and all that they need, in order; what an instruction needs has a lower number."""
    found, operands = bytearray(len(code.instructions)), code.operands
    for i in roots:
        found[i] = 1
    for i in range(len(found) - 1, -1, -1):
        if found[i]:
            for j in operands[i]:
                found[j] = 1
    return [i for i, needed in enumerate(found) if needed]


def operands(instruction: Instruction) -> tuple[int, ...]:
    """Return the numbers of an instruction's operands.

    >>> operands(("dot", ((1, 2),), (3,))), operands(("fadd", 4, 5)), operands(("input", 6))
    ((1, 2, 3), (4, 5), ())
    """
    if instruction[0] in SUMS:
        return (*chain.from_iterable(instruction[1]), *instruction[2])
    if instruction[0] in LEAVES:
        return ()
    return instruction[1:]
