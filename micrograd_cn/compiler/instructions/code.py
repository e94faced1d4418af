"""Define the compiler's intermediate representation: a list of instructions without duplicates, operands first.

An instruction is a tuple that begins with its opcode. The number of an instruction is its index in the list, and its
operands are given by the numbers of earlier instructions:

    ("constant", x)                 a float
    ("parameter", i), ("input", i)  the i-th parameter of the program, the i-th number of a row
    ("seed",)                       the gradient of the output for a row, with which backpropagation starts
    ("mean", k)                     the k-th total (a sum over the rows of a batch) divided by the number of rows
    (opcode, *operands)             an LLVM instruction or intrinsic, a function of C's library, or a formula
    ("gather", index, *operands)    the operand at this index, which is known at run time; nan if there is none
    ("dot", pairs, terms)           the terms plus the products of the pairs; FMA may be used
    ("sum", pairs, terms)           the terms plus the products of the pairs, with each product rounded

A row has the numbers of one sample, and a batch has several rows. Each instruction belongs to the phase in which it is
computed. BATCH instructions do not depend on the row, and are computed once for a batch; constants are among them.
SAMPLE instructions depend on the row, and are computed once for each row. AFTER instructions depend on totals, and are
computed once all rows of a batch are done. The value of a SAMPLE instruction is called a row value, and any other value
a scalar.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, compress
from math import frexp, inf
from typing import Any, NamedTuple, Self, TypeAlias, TypeVar

from ...ops import ieee
from ..threads.forks import ForkSafeLock

Instruction: TypeAlias = tuple[Any, ...]
_pack_double = struct.Struct("<d").pack
Pair: TypeAlias = tuple[int, int]
T = TypeVar("T")

BATCH, SAMPLE, AFTER = range(3)  # the phases
LEAF_OPCODES = ("constant", "parameter", "input", "seed", "mean")
SUM_OPCODES = ("sum", "dot")  # a "sum" rounds its products; a "dot" may compute them by FMA
IRREGULAR_OPCODES = frozenset([*LEAF_OPCODES, *SUM_OPCODES])  # their operands are not simply instruction[1:]
GATHER = "gather"
COMMUTATIVE: dict[str, Callable[..., float]] = {"fadd": operator.add, "fmul": operator.mul}
ARITY = {"fadd": 2, "fsub": 2, "fmul": 2, "fdiv": 2, "fneg": 1, "select": 3}
FCMP_CONDITIONS = ("oeq", "ogt", "oge", "olt", "ole", "one", "ord", "ueq", "ugt", "uge", "ult", "ule", "une", "uno")
COMPARISONS = frozenset([f"fcmp {condition}" for condition in FCMP_CONDITIONS])
ARITY |= dict.fromkeys(COMPARISONS, 2)
MIN_LOOP_PRODUCTS = 8  # a sum with fewer products is written out; a sum with at least as many may become a loop
HALF_INTEGER_EXPONENTS = (-1.5, -0.5, 0.5, 1.5)  # for these a square root is faster than `pow`
MAX_INLINED = 4  # at most so many opcodes of users' formulas differ in nothing but their constants
MIN_LOOP_TERMS = 16  # if a sum has more terms, they are written as products with 1, so the sum may become a loop


@dataclass(eq=False)
class Scatter:
    """Several totals, which are sums over the rows of a batch. In each row, a value is added to one of them.

    In each row, an index selects the total to which the value is added. The gradients of a gather's operands are
    computed from such totals, since in each row the gather takes only one of its operands.

    Attributes:
        totals: the indices of the totals in `Lowering.totals`. In each row, the index selects one of these.
        sources: pairs of instruction numbers, that of an index and that of a value. In each row, the value is added to
            the total that the index selects, or to none if the index is not an integer from 0 to len(totals) - 1.
    """

    totals: range
    sources: list[Pair]


class FormulaCode(NamedTuple):
    """The instructions for which the opcode of a formula stands.

    Attributes:
        code: the instructions. The first ones are the formula's inputs.
        result: the number of the instruction that computes the result.
        cost: the cost of all instructions, see `Code.cost_of_all`.
    """

    code: Code
    result: int
    cost: int


# Maps each opcode that is a formula to its code. All programs of the process share the dict, and the opcodes' kernels.
FORMULAS: dict[str, FormulaCode] = {}
_names: dict[str, str] = {}
_inlined: dict[str, set[str]] = {}  # see `may_inline`
_naming = ForkSafeLock()


class Code:
    """A list of instructions, each after its operands, to which `add` and `emit` append no instruction twice.

    Attributes:
        instructions: the instructions as tuples, each with its opcode first. The number of an instruction is its index.
        phase: the phase of each instruction.
        operands: for each instruction, the numbers of its operands. A leaf, for example a constant, has no operands.
        per_sample: the numbers of the instructions in phase SAMPLE.
        op_names: for each opcode that an operation is lowered to, the operation's name, for error messages.
        constants: a dict from the number of each constant to its value.
        constant_value: a function from an instruction number to the value of the constant, or to None if the
            instruction is not a constant.

    >>> code = Code()
    >>> x = code.append(("input", 0), SAMPLE)
    >>> code.emit("sin", x), code.emit("fadd", 1, x), code.emit("sin", x)
    (1, 2, 1)
    >>> code.instructions
    [('input', 0), ('sin', 0), ('fadd', 0, 1)]
    """

    def __init__(self) -> None:
        self.instructions: list[Instruction] = []
        self.phase: list[int] = []
        self.operands: list[tuple[int, ...]] = []
        self.per_sample: set[int] = set()
        self._number_of: dict[Any, int] = {}
        self.op_names: dict[str, str] = {}
        self.constants: dict[int, float] = {}
        self._number_of_constant: dict[float | str, int] = {}
        self.constant_value = self.constants.get

    def copy(self) -> Self:
        """Return a copy. Changes of the copy do not change this code."""
        found = copied(self)
        found.constant_value = found.constants.get
        return found

    def add(self, instruction: Instruction, phase: int | None = None, key: Any = None) -> int:
        """Append an instruction if the list has no equal one. Return the number of the instruction in the list.

        Args:
            instruction: the instruction to append.
            phase: the instruction's phase; by default the latest phase of its operands. A leaf must have one.
            key: instructions with equal keys count as equal (value numbering). By default the key is the instruction.
        """
        key = key or instruction
        known = self._number_of.get(key)
        if known is not None:
            return known
        used = operands(instruction) if instruction[0] in IRREGULAR_OPCODES else instruction[1:]
        if phase is None:
            phase = SAMPLE if not self.per_sample.isdisjoint(used) else max(map(self.phase.__getitem__, used))
        self._number_of[key] = number = self.append(instruction, phase, used)
        return number

    def add_copy(self, instruction: Instruction, number: dict[int, int]) -> int:
        """Append a copy of an instruction of another code as `add` does, and return the number of the copy.

        The instruction is a constant or has operands. `number` maps the number of each operand in the other code to its
        number in this code. If the opcode is a formula, the instructions of the formula are appended instead.

        >>> code = Code()
        >>> x, y = (code.append(("input", k), SAMPLE) for k in range(2))
        >>> code.instructions[code.add_copy(("dot", ((7, 8),), (7,)), {7: y, 8: x})]
        ('dot', ((1, 0),), (1,))
        """
        opcode, *rest = instruction
        if opcode == "constant":
            return self.constant(rest[0])
        if opcode in FORMULAS:
            return inline_formula(self, opcode, [number[i] for i in rest])
        if opcode not in SUM_OPCODES:
            return self.add((opcode, *[number[i] for i in rest]))
        pairs, terms = rest
        return self.add((opcode, tuple([(number[a], number[b]) for a, b in pairs]), tuple([number[t] for t in terms])))

    def extract(self, numbers: Iterable[int], inputs: Iterable[int]) -> tuple[Code, int]:
        """Return a formula that is a copy of some instructions: its code, and the number of the last one, its result.

        Args:
            numbers: the numbers of the instructions, each after its operands.
            inputs: the numbers of all other instructions that these read. The new code begins with an "input" for each.
        """
        code = Code()
        place = {i: code.append(("input", k), SAMPLE) for k, i in enumerate(inputs)}
        for i in numbers:
            place[i] = code.add_copy(self.instructions[i], place)
        return code, place[i]

    def append(self, instruction: Instruction, phase: int, used: tuple[int, ...] = ()) -> int:
        """Append an instruction without looking for an equal one, and return its number. `add` will not find it.

        Args:
            instruction: the instruction to append.
            phase: the instruction's phase.
            used: the numbers of the instruction's operands. It is empty for a leaf.
        """
        number = len(self.instructions)
        if phase == SAMPLE:
            self.per_sample.add(number)
        self.instructions.append(instruction)
        self.operands.append(used)
        self.phase.append(phase)
        return number

    def append_leaves(self, instructions: Sequence[Instruction], phase: int) -> range:
        """Append instructions without operands as `append` does, all in one phase, and return their numbers."""
        numbers = range(len(self.instructions), len(self.instructions) + len(instructions))
        if phase == SAMPLE:
            self.per_sample.update(numbers)
        self.instructions += instructions
        self.operands += [()] * len(instructions)
        self.phase += [phase] * len(instructions)
        return numbers

    def cost_of_all(self, numbers: Iterable[int]) -> int:
        """Return the cost of some instructions: about how many machine instructions LLVM must compile.

        Leaves cost nothing. An instruction outside phase SAMPLE does not depend on the row. It counts only a third of
        its `cost_of`, since it computes a scalar instead of a vector.
        """
        thirds, cost = 0, dict.fromkeys(LEAF_OPCODES, 0)
        for i in numbers:
            opcode = self.instructions[i][0]
            if opcode not in cost or opcode in SUM_OPCODES:
                cost[opcode] = self.cost_of(i)
            thirds += cost[opcode] * (3 if i in self.per_sample else 1)
        return thirds // 3

    def cost_of(self, i: int) -> int:
        """Return about how many machine instructions instruction `i`, which is not a leaf, becomes.

        It is 1 for arithmetic, 4 for a call, at most 10 for a sum, and the cost of all its instructions for a formula.
        """
        instruction = self.instructions[i]
        opcode = instruction[0]
        if opcode in ARITY:
            return 1
        if opcode in SUM_OPCODES:
            return min(10, len(instruction[1]) + len(instruction[2]))
        return FORMULAS[opcode].cost if opcode in FORMULAS else 4

    def constant(self, x: float) -> int:
        """Append the constant `x` if the list does not have it, and return its instruction number.

        0.0 and -0.0 are different constants, and so are nans with different bits.
        """
        key = x or str(x)  # 0.0 and -0.0 are equal
        if (known := self._number_of_constant.get(key)) is not None:
            return known
        number = self.add(("constant", x), BATCH, ("constant", bits(x)))
        self.constants[number] = x
        self._number_of_constant[key] = number
        return number

    def emit(self, opcode: str, *xs: int, known: Sequence[float | None] | None = None, expand: bool = False) -> int:
        """Append the instruction with this opcode and the operands `xs`, and return the number of the result.

        If the list has an equal instruction already, nothing is appended. A simpler instruction is appended instead if
        its result has the same bits. Sums and products of constants are folded, x * 1 is replaced by x, x**2 by x * x,
        and x / 4 by 0.25 * x. A power with one of the HALF_INTEGER_EXPONENTS becomes one instruction, whose opcode is a
        formula with a square root. If `expand` is set, the instructions of this formula are appended instead. `known`
        has the `constant_value` of each operand, if the caller has looked them up already.
        """
        known = known or [*map(self.constant_value, xs)]
        if opcode in COMMUTATIVE:
            a, b = xs
            if known[0] is not None and known[1] is not None:
                return self.constant(COMMUTATIVE[opcode](*known))
            if opcode == "fmul" and 1.0 in known:
                return a if known[0] is None else b
            return self.add((opcode, a, b) if a < b else (opcode, b, a))
        if opcode == "fdiv" and (reciprocal := _exact_reciprocal(known[1])) is not None:
            return self.emit("fmul", xs[0], self.constant(reciprocal))
        if opcode == "pow" and known[1] in (1.0, 2.0):
            return xs[0] if known[1] == 1.0 else self.emit("fmul", xs[0], xs[0])
        if opcode == "pow" and known[1] in HALF_INTEGER_EXPONENTS:
            power = _half_integer_power(known[1])
            return inline_formula(self, power, xs[:1]) if expand else self.add((power, xs[0]))
        return self.add((opcode, *xs))

    def dot(self, pairs: Iterable[Pair], terms: Iterable[int], opcode: str = "dot") -> int:
        """Append the sum of some products and terms, and return its instruction number.

        If only some of the products and terms depend on the row, the others are hoisted: they become a sum of their
        own, outside phase SAMPLE. If the sum is long enough for a loop, it keeps only products that one loop can
        compute, and a sum of all others is the term from which the loop starts.

        Args:
            pairs: for each product, the instruction numbers of its two factors.
            terms: the instruction numbers of the terms.
            opcode: "sum" if every product shall be rounded before it is added, else "dot".
        """
        pairs, terms = list(pairs), list(terms)
        if len(pairs) + len(terms) == 1:
            return terms[0] if terms else self.emit("fmul", *pairs[0])
        if (known := self._constant_sum(pairs, terms)) is not None:
            return known
        per_sample = self.per_sample
        hoisted: list[Pair] = []
        if not per_sample.issuperset([b for _, b in pairs]):
            hoisted = [(a, b) for a, b in pairs if b not in per_sample and a not in per_sample]
        scalars = [t for t in terms if t not in per_sample]
        if (hoisted or len(scalars) > 1) and (len(hoisted) < len(pairs) or len(scalars) < len(terms)):
            if hoisted:
                pairs = [(a, b) for a, b in pairs if a in per_sample or b in per_sample]
            terms = [self.dot(hoisted, scalars, opcode), *[t for t in terms if t in per_sample]]
        if len(terms) > MIN_LOOP_TERMS:
            one = self.constant(1.0)
            of_rows, scalars = separate(terms, per_sample.__contains__)  # a loop cannot add up both
            pairs, terms = [*pairs, *((one, t) for t in of_rows or scalars)], scalars if of_rows else []
        if not pairs and len(terms) < 3:
            return self.emit("fadd", *terms)
        if len(pairs) >= MIN_LOOP_PRODUCTS:
            pairs, terms = self._loop_products(pairs, terms, opcode)
        return self.add((opcode, tuple(pairs), tuple(terms)))

    def sum_from_zero(self, pairs: Iterable[Pair], terms: Iterable[int], opcode: str) -> int:
        """Append the sum of 0.0, some products and some terms, and return its instruction number.

        Because of the 0.0, a sum of -0.0 is 0.0, as in Python. `pairs` has the two factors of each product. `opcode` is
        "sum" if every product shall be rounded before it is added, else "dot".
        """
        return self.dot(pairs, [*terms, self.constant(0.0)], opcode)

    def as_products(self, pairs: Sequence[Pair], terms: Sequence[int]) -> list[Pair]:
        """Return a sum as a list of products only, each a pair of factors: a term x becomes the product 1 * x.

        The products of terms come first. A loop that computes only sums of products then needs no code for terms.
        """
        one = self.constant(1.0)
        return [*((one, t) for t in terms), *pairs]

    def _loop_products(self, pairs: list[Pair], terms: list[int], opcode: str) -> tuple[list[Pair], list[int]]:
        """Return the products that one loop can compute, and a list with the term that the loop starts from, if any.

        A row value is a value that depends on the row. One loop cannot compute both products of two row values and
        products of a scalar and a row value. So the smaller of these two groups and the terms become a sum of their
        own, from which the loop starts. The products of the larger group are returned, with scalars to the left. If
        neither group has MIN_LOOP_PRODUCTS products, no loop is possible, and all products are returned.
        """
        per_sample = self.per_sample
        of_rows, mixed = list[Pair](), pairs
        if not per_sample.isdisjoint([a for a, _ in pairs]):  # otherwise this is so already
            of_rows, mixed = separate(pairs, lambda pair: pair[0] in per_sample and pair[1] in per_sample)
            mixed = [(b, a) if a in per_sample else (a, b) for a, b in mixed]
        fewer, more = sorted((of_rows, mixed), key=len)
        if len(more) < MIN_LOOP_PRODUCTS:
            fewer, more = [], pairs
        if fewer or len(terms) > 1:
            terms = [self.dot(fewer, terms, opcode)]
        return more, terms

    def _constant_sum(self, pairs: list[Pair], terms: list[int]) -> int | None:
        """Append a constant: the sum of `terms` and of the products of the `pairs`. Return its instruction number.

        Return None if any of the factors and terms is not a constant.
        """
        if pairs and self.constant_value(pairs[0][0]) is None:
            return None
        if None in map(self.constant_value, chain(*pairs, terms)):
            return None
        products = [self.instructions[i][1] * self.instructions[j][1] for i, j in pairs]
        return self.constant(ieee.sum(*products, *[self.instructions[t][1] for t in terms]))


def copied(x: T) -> T:
    """Return a copy of an object, with copies of the lists, dicts and sets that are its attributes.

    The attributes are set one by one. If `copy.copy` made the copy, CPython would read its attributes more slowly.
    """
    found = object.__new__(type(x))
    for name, held in vars(x).items():
        setattr(found, name, held.copy() if isinstance(held, (list, dict, set)) else held)
    return found


def register_formula(code: Code, result: int) -> str:
    """Add a formula to FORMULAS, and return its opcode, which stands for several instructions.

    Equal formulas have the same opcode in the whole process.

    Args:
        code: the formula's instructions. The first ones are the formula's inputs.
        result: the number of the instruction that computes the formula's result.
    """
    formula = FormulaCode(code, result, code.cost_of_all(range(len(code.instructions))))
    with _naming():
        opcode = _names.setdefault(repr((code.instructions, result)), f"formula{len(_names)}")
        FORMULAS.setdefault(opcode, formula)
    return opcode


def may_inline(formula: tuple[Code, int], shared: tuple[Code, int]) -> bool:
    """Return whether a formula may have an opcode of its own, with its constants built in.

    Of the formulas that differ only in their constants, the first MAX_INLINED may have one. Their code is a little
    shorter and faster than code that has operands in place of the constants.

    Args:
        formula: the code with constants, and the number of the result in it.
        shared: the code with operands in place of the constants, and the number of the result in it.
    """
    text = repr((formula[0].instructions, formula[1]))
    with _naming():
        known = _inlined.setdefault(repr((shared[0].instructions, shared[1])), set())
        if len(known) < MAX_INLINED:
            known.add(text)
        return text in known


@cache
def _half_integer_power(exponent: float) -> str:
    """Return the opcode of a formula (a list of simpler instructions) that computes x**exponent by a square root.

    At -0.0 and -inf, too, the formula has the result of C's `pow`.
    """
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
    """Append the instructions of a formula to a code, and return the number of the result.

    Args:
        code: the list of instructions to append to.
        opcode: the formula's opcode.
        xs: the numbers in `code` of the formula's operands.
    """
    formula = FORMULAS[opcode]
    number, instructions = dict(enumerate(xs)), formula.code.instructions
    for i in range(len(xs), len(instructions)):
        number[i] = code.add_copy(instructions[i], number)
    return number[formula.result]


def separate(xs: Iterable[T], belongs: Callable[[T], bool]) -> tuple[list[T], list[T]]:
    """Return the items for which `belongs` is true, and the other items.

    >>> separate([1, 2, 3, 4], lambda x: x > 2)
    ([3, 4], [1, 2])
    """
    parts: tuple[list[T], list[T]] = [], []
    for x in xs:
        parts[not belongs(x)].append(x)
    return parts


def _exact_reciprocal(x: float | None) -> float | None:
    """Return 1 / x if |x| is a power of two, and x and 1 / x are normal numbers; else None.

    A product with this reciprocal has the same bits as a division by x.

    >>> [_exact_reciprocal(x) for x in (-4.0, 3.0, 0.0, 2.0**-1024, None)]
    [-0.25, None, None, None, None]
    """
    if x is None or abs(frexp(x)[0]) != 0.5:
        return None
    return 1.0 / x if 2.0**-1022 <= abs(x) <= 2.0**1022 else None


def bits(x: float) -> int:
    """Return the bits of a double as an integer. -0.0 and 0.0 have different bits, and nans may have different bits.

    >>> hex(bits(1.0)), bits(0.0) == bits(-0.0)
    ('0x3ff0000000000000', False)
    """
    return int.from_bytes(_pack_double(x), "little")


def live(code: Code, roots: Iterable[int]) -> list[int]:
    """Return the numbers of the live instructions, in order: the roots, and all instructions on which the roots depend.

    One pass from the end suffices, since an instruction has a higher number than its operands.
    """
    found, operands = bytearray(len(code.instructions)), code.operands
    for i in roots:
        found[i] = 1
    for i in range(len(found) - 1, -1, -1):
        if found[i]:
            for j in operands[i]:
                found[j] = 1
    return [*compress(range(len(found)), found)]


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
