"""Instructions without duplicates, in order: what machine code is made of.

An instruction is a tuple, and its number in the list is its name:
`("constant", x)`, `("parameter", i)`, `("input", i)`, `("seed",)`, `("total", k)`, `(machine form, *operands)`,
`("take", index, *operands)`, which picks `operands[index]`, and sums of products and terms, `(opcode, pairs, terms)`,
whose opcodes are SUM_OPCODES.

An instruction belongs to a phase: CONSTANT; BATCH, what depends on parameters alone and is computed once a batch;
SAMPLE, once a row; AFTER, what depends on sums over the batch.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from functools import cache
from itertools import chain
from math import frexp, inf
from typing import Any, TypeAlias, TypeVar

from ...ops import ieee
from ..threads.forks import ForkSafeLock

Instruction: TypeAlias = tuple[Any, ...]
Pair: TypeAlias = tuple[int, int]
T = TypeVar("T")

CONSTANT, BATCH, SAMPLE, AFTER = range(4)
LEAF_OPCODES = ("constant", "parameter", "input", "seed", "total")
SUM_OPCODES = ("sum", "dot")  # a "sum" rounds its products, a "dot" need not
IRREGULAR_OPCODES = frozenset([*LEAF_OPCODES, *SUM_OPCODES])  # their operands are not simply instruction[1:]
GATHER = "gather"
START = "start"  # copies the value that a long sum starts from
COMMUTATIVE: dict[str, Callable[..., float]] = {"fadd": operator.add, "fmul": operator.mul}
ARITY = {"fadd": 2, "fsub": 2, "fmul": 2, "fdiv": 2, "fneg": 1, "select": 3}
COMPARISONS = ("oeq", "ogt", "oge", "olt", "ole", "one", "ord", "ueq", "ugt", "uge", "ult", "ule", "une", "uno")
ARITY |= {f"fcmp {comparison}": 2 for comparison in COMPARISONS}
MIN_LOOP_PRODUCTS = 8  # products from which a sum of them is a loop
HALF_INTEGER_EXPONENTS = (-1.5, -0.5, 0.5, 1.5)  # exponents of powers that square roots give sooner
MIN_LOOP_TERMS = 16  # terms from which a sum is written as products with 1, and so may become a loop


# Formulas that are one instruction, by its opcode: a code that begins with their inputs, and the number of the result
# in it. There is one dict for the whole process, as there is one function for each opcode.
FORMULAS: dict[str, tuple[Code, int]] = {}
_names: dict[str, str] = {}
_naming = ForkSafeLock()


class Code:
    """Instructions in order; the same one is never there twice.

    Attributes:
        instructions: each after its operands.
        phase: the phase of each.
        operands: the numbers of those that each needs; none of a leaf.
        per_sample: the numbers of those that are computed once a row.
        op_names: the name of an operation that has a machine form.
        constants: what they are, by number.
        value: `value(i)` is the number of constant i, None if i is no constant.
    """

    def __init__(self) -> None:
        self.instructions: list[Instruction] = []
        self.phase: list[int] = []
        self.operands: list[tuple[int, ...]] = []
        self.per_sample: set[int] = set()
        self.number: dict[Any, int] = {}
        self.op_names: dict[str, str] = {}
        self.constants: dict[int, float] = {}
        self._constant: dict[float, int] = {}
        self.value = self.constants.get
        self.formula_cost: int  # of a formula: about how many instructions of the machine

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
        used = operands(instruction) if instruction[0] in IRREGULAR_OPCODES else instruction[1:]
        if phase is None:
            phase = max(map(self.phase.__getitem__, used))
        self.number[key] = number = self.append(instruction, phase, used)
        return number

    def append(self, instruction: Instruction, phase: int, used: tuple[int, ...] = ()) -> int:
        """Return the number of a new instruction, without operands if none are given."""
        number = len(self.instructions)
        if phase == SAMPLE:
            self.per_sample.add(number)
        self.instructions.append(instruction)
        self.operands.append(used)
        self.phase.append(phase)
        return number

    def cost_of_all(self, numbers: Iterable[int]) -> int:
        """Return about how much there is to compile, in instructions.

        A loop counts as ten, a call as four, a formula as what it consists of, all of it as a third on scalars.
        """
        thirds, weight = 0, dict.fromkeys(LEAF_OPCODES, 0)
        for i in numbers:
            opcode = self.instructions[i][0]
            if opcode not in weight or opcode in SUM_OPCODES:
                weight[opcode] = self.cost_of(i)
            thirds += weight[opcode] * (3 if i in self.per_sample else 1)
        return thirds // 3

    def cost_of(self, i: int) -> int:
        """Return about how many instructions of the machine an instruction is."""
        opcode, *rest = self.instructions[i]
        if opcode in FORMULAS:
            return FORMULAS[opcode][0].formula_cost
        return min(10, sum(map(len, rest[:2]))) if opcode in SUM_OPCODES else 1 if opcode in ARITY else 4

    def constant(self, x: float) -> int:
        """Return a constant's number; -0.0 and every nan are constants of their own."""
        if x and (known := self._constant.get(x)) is not None:
            return known
        number = self.add(("constant", x), CONSTANT, ("constant", bits(x)))
        self.constants[number] = x
        self._constant[x] = number
        return number

    def emit(self, opcode: str, *xs: int, expand: bool = False) -> int:
        """Return the number of a machine form's result, without formulas if it is to `expand`.

        Sums and products of constants are constants; x**2 is x * x, and x / 4 is 0.25 * x, which has the same bits;
        x**0.5 and its like are made of a square root.
        """
        known = [*map(self.value, xs)]
        if opcode in COMMUTATIVE:
            a, b = xs
            if known[0] is not None and known[1] is not None:
                return self.constant(COMMUTATIVE[opcode](*known))
            if opcode == "fmul" and 1.0 in known:
                return a if known[0] is None else b
            return self.add((opcode, a, b) if a < b else (opcode, b, a))
        if opcode == "fdiv" and (inverse := _exact_inverse(known[1])) is not None:
            return self.emit("fmul", xs[0], self.constant(inverse))
        if opcode == "pow" and known[1] in (1.0, 2.0):
            return xs[0] if known[1] == 1.0 else self.emit("fmul", xs[0], xs[0])
        if opcode == "pow" and known[1] in HALF_INTEGER_EXPONENTS:
            power = _half_power(known[1])
            return inline_formula(self, power, xs[:1]) if expand else self.add((power, xs[0]))
        return self.add((opcode, *xs))

    def dot(self, pairs: Iterable[Pair], terms: Iterable[int], opcode: str = "dot") -> int:
        """Return the number of a sum of products and terms; what needs no sample is summed by itself."""
        pairs, terms = list(pairs), list(terms)
        if len(pairs) + len(terms) == 1:
            return terms[0] if terms else self.emit("fmul", *pairs[0])
        if (known := self._constant_sum(pairs, terms)) is not None:
            return known
        per_sample = self.per_sample
        samples_of = [(a in per_sample) + (b in per_sample) for a, b in pairs]
        early = [pair for pair, count in zip(pairs, samples_of, strict=True) if not count] if 0 in samples_of else []
        scalars = [t for t in terms if t not in per_sample]
        if (early or len(scalars) > 1) and (len(early) < len(pairs) or len(scalars) < len(terms)):
            pairs = [(a, b) for a, b in pairs if a in per_sample or b in per_sample]
            terms = [self.dot(early, scalars, opcode), *[t for t in terms if t in per_sample]]
        if len(terms) > MIN_LOOP_TERMS:
            one = self.constant(1.0)
            samples, scalars = partition(terms, per_sample.__contains__)  # a loop reads these or those, not both
            pairs, terms = [*pairs, *((one, t) for t in samples or scalars)], scalars if samples else []
        if not pairs and len(terms) < 3:
            return self.emit("fadd", *terms)
        if len(pairs) >= MIN_LOOP_PRODUCTS:
            pairs, terms = self._loop(pairs, terms, opcode)
        return self.add((opcode, tuple(pairs), tuple(terms)))

    def _loop(self, pairs: list[Pair], terms: list[int], opcode: str) -> tuple[list[Pair], list[int]]:
        """Return products that may be a loop, and at most one number from which it starts.

        A loop reads samples on its right; on its left scalars, or samples too.
        """
        per_sample = self.per_sample
        alike, mixed = partition(pairs, lambda pair: pair[0] in per_sample and pair[1] in per_sample)
        mixed = [(b, a) if a in per_sample else (a, b) for a, b in mixed]
        fewer, more = sorted((alike, mixed), key=len)
        if len(more) < MIN_LOOP_PRODUCTS:
            fewer, more = [], pairs
        if fewer or len(terms) > 1:
            terms = [self.dot(fewer, terms, opcode)]
        return more, terms

    def _constant_sum(self, pairs: list[Pair], terms: list[int]) -> int | None:
        """Return the number of a sum of constants; None if not all are constants."""
        if pairs and self.value(pairs[0][0]) is None:
            return None
        if None in map(self.value, chain(*pairs, terms)):
            return None
        products = [self.instructions[i][1] * self.instructions[j][1] for i, j in pairs]
        return self.constant(ieee.sum(*products, *[self.instructions[t][1] for t in terms]))


def register_formula(code: Code, result: int) -> str:
    """Return the opcode of a formula, of which the inputs come first."""
    code.formula_cost = code.cost_of_all(range(len(code.instructions)))
    with _naming():
        opcode = _names.setdefault(repr((code.instructions, result)), f"formula{len(_names)}")
        FORMULAS.setdefault(opcode, (code, result))
    return opcode


@cache
def _half_power(exponent: float) -> str:
    """Return the opcode of x**exponent by a square root; at -0.0 and -inf, where that is of no use, as by `pow`."""
    code = Code()
    x = code.append(("input", 0), SAMPLE)
    power = code.add(("llvm.sqrt", x))
    if exponent < 0.0:
        power = code.add(("fdiv", code.constant(1.0), power))
    if abs(exponent) == 1.5:
        power = code.add(("fmul" if exponent > 0.0 else "fdiv", power, x))
    lowest = code.add(("fcmp oeq", x, code.constant(-inf)))
    end = code.constant(inf if exponent > 0.0 else 0.0)
    return register_formula(code, code.add(("select", lowest, end, code.add(("llvm.fabs", power)))))


def inline_formula(code: Code, opcode: str, xs: Sequence[int]) -> int:
    """Add a formula's instructions, and return the number of its result."""
    formula, result = FORMULAS[opcode]
    number = dict(enumerate(xs))
    for i in range(len(xs), len(formula.instructions)):
        instruction = formula.instructions[i]
        constant = instruction[0] == "constant"
        number[i] = code.constant(instruction[1]) if constant else code.add(renumbered(instruction, number))
    return number[result]


def partition(xs: Iterable[T], belongs: Callable[[T], bool]) -> tuple[list[T], list[T]]:
    """Return those that belong, and the others.

    >>> partition([1, 2, 3, 4], lambda x: x > 2)
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


def bits(x: float) -> bytes:
    """Return what tells numbers apart: -0.0 from 0.0, and nan from no nan."""
    return struct.pack("d", x)


def renumbered(instruction: Instruction, number: dict[int, int]) -> Instruction:
    """Return the same instruction of other operands.

    >>> renumbered(("dot", ((1, 2),), (3,)), {1: 4, 2: 5, 3: 6})
    ('dot', ((4, 5),), (6,))
    """
    opcode, *rest = instruction
    if opcode not in SUM_OPCODES:
        return (opcode, *[number[i] for i in rest])
    pairs, terms = rest
    return opcode, tuple([(number[a], number[b]) for a, b in pairs]), tuple([number[t] for t in terms])


def live(code: Code, roots: Iterable[int]) -> list[int]:
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
    if instruction[0] in SUM_OPCODES:
        return (*chain.from_iterable(instruction[1]), *instruction[2])
    if instruction[0] in LEAF_OPCODES:
        return ()
    return instruction[1:]
