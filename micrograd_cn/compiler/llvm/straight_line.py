"""Write instructions as straight-line LLVM code, one after the other without loops, which keeps values in registers."""

from __future__ import annotations

from collections.abc import Sequence

from ..instructions.code import FORMULAS, START, SUM_OPCODES, Code, Pair
from .lanes import Lanes


class StraightLineWriter:
    """Write LLVM code that computes instructions one after the other.

    Values that other code has computed are loaded by `load`, which a subclass defines.

    Args:
        lanes: the writer of vector operations in the LLVM function.
        code: the instructions.
        computed: the initial value of the attribute `computed`. None stands for an empty dict.

    Attributes:
        names: a dict from instruction numbers to the names of the values in the LLVM function.
        conditions: a dict from the instruction numbers of comparisons to the names of their masks. A mask is converted
            to 1.0 and 0.0 only where it is used as a number.
        computed: a dict from an opcode and the names of its operands to the name of the result, so formulas share
            common subexpressions.
    """

    def __init__(self, lanes: Lanes, code: Code, computed: dict[tuple[str, ...], str] | None = None) -> None:
        self.lanes, self.code, self.f = lanes, code, lanes.f
        self.names: dict[int, str] = {}
        self.conditions: dict[int, str] = {}
        self.computed: dict[tuple[str, ...], str] = {} if computed is None else computed

    def name_of(self, i: int) -> str:
        """Return the name of the value of instruction `i`. A value without a name is loaded or converted first."""
        if i not in self.names:
            if i in self.conditions:
                self.names[i] = self.lanes.to_number(self.conditions[i])
            elif (x := self.code.constant_value(i)) is not None:
                self.names[i] = self.lanes.constant(x)
            else:
                self.names[i] = self.load(i)
        return self.names[i]

    def load(self, i: int) -> str:
        """Write a load of the value of instruction `i`, which other code has computed, and return the value's name.

        This class raises KeyError. A subclass that needs such values defines the method.
        """
        raise KeyError(i)

    def define(self, i: int, name: str) -> None:
        """Record that the value of instruction `i` has the name `name` in the LLVM function."""
        self.names[i] = name

    def write(self, i: int) -> None:
        """Write LLVM code that computes instruction `i`, and record the name of its value or mask."""
        opcode, *rest = self.code.instructions[i]
        if opcode in SUM_OPCODES:
            self.define(i, self.sum(opcode, *rest))
        elif opcode.startswith("fcmp"):
            names = [self.name_of(j) for j in rest]
            key = (opcode, *names)
            if key not in self.computed:
                self.computed[key] = self.lanes.compare(opcode, names)
            self.conditions[i] = self.computed[key]
        elif opcode == "select" and rest[0] in self.conditions:
            self.define(i, self.lanes.select(self.conditions[rest[0]], self.name_of(rest[1]), self.name_of(rest[2])))
        else:
            names = [self.name_of(j) for j in rest]
            key = (opcode, *names)
            if key not in self.computed:
                self.computed[key] = compute(self.lanes, opcode, names, self.computed)
            self.define(i, self.computed[key])

    def sum(self, opcode: str, pairs: Sequence[Pair], terms: Sequence[int]) -> str:
        """Write LLVM code that adds up products and single values, and return the name of the sum.

        Args:
            opcode: "sum" if each product is rounded before it is added, else "dot".
            pairs: for each product, the instruction numbers of its two factors.
            terms: the instruction numbers of the values that are added without a factor.
        """
        total = ""
        for t in terms:
            total = self.lanes.add(total, self.name_of(t)) if total else self.name_of(t)
        for a, b in pairs:
            if total:
                total = self.lanes.multiply_add(self.name_of(a), self.name_of(b), total, opcode)
            else:
                total = self.lanes.multiply(self.name_of(a), self.name_of(b))
        return total or self.lanes.constant(-0.0)


def compute(lanes: Lanes, opcode: str, names: Sequence[str], computed: dict[tuple[str, ...], str] | None = None) -> str:
    """Write LLVM code that applies one opcode, and return the name of the result.

    Args:
        lanes: the writer of vector operations.
        opcode: the opcode, which is no sum. It may be a formula, which stands for several instructions, or START, which
            copies its operand.
        names: the names of the operands.
        computed: the values that are computed already, see `StraightLineWriter`. If the opcode is a formula, the values
            of its instructions are added to this dict. None stands for an empty dict.
    """
    if opcode == START:
        return names[0]
    if opcode not in FORMULAS:
        return lanes.apply(opcode, names)
    code, result = FORMULAS[opcode]
    writer = StraightLineWriter(lanes, code, computed)
    writer.names.update(enumerate(names))
    for i in range(len(names), len(code.instructions)):
        if code.operands[i]:
            writer.write(i)
    return writer.name_of(result)
