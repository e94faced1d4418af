"""Write instructions as straight-line code, one after the other without loops, in LLVM or in C.

A `StraightLineWriter` walks the instructions. An `OpcodeWriter` says how a language writes an opcode.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from .code import COMPARISONS, SUM_OPCODES, Code


class OpcodeWriter(ABC):
    """Write single operations in a language. Operands and results are text, such as the names of variables.

    The result of a comparison is a condition, which has another type than numbers in LLVM and in C.
    """

    @abstractmethod
    def constant(self, x: float) -> str:
        """Return the text of a number."""

    @abstractmethod
    def compare(self, opcode: str, xs: Sequence[str]) -> str:
        """Write a comparison of two numbers, such as "fcmp olt", and return the condition."""

    @abstractmethod
    def select(self, condition: str, a: str, b: str) -> str:
        """Write an operation whose result is `a` where a condition holds, and `b` elsewhere. Return the result."""

    @abstractmethod
    def operation(self, opcode: str, xs: Sequence[str]) -> str:
        """Write an operation whose opcode is neither a sum, a comparison nor "select", and return the result."""

    @abstractmethod
    def sum(self, opcode: str, pairs: Iterable[tuple[str, str]], terms: Iterable[str]) -> str:
        """Write a sum of terms and products, and return the result.

        Args:
            opcode: "sum" if each product is rounded before it is added, else "dot".
            pairs: the two factors of each product. An implementation may take terms and factors from these iterables
                one by one, each just before it is added: loads of values, which are written when they are taken, then
                need few registers.
            terms: the values that are added without a factor.
        """

    def to_number(self, condition: str) -> str:
        """Write the number 1.0 where a condition holds, and 0.0 elsewhere. Return the number."""
        return self.select(condition, self.constant(1.0), self.constant(0.0))

    def is_nonzero(self, x: str) -> str:
        """Write the condition that a number is not 0, and return the condition. It holds for nan."""
        return self.compare("fcmp une", [x, self.constant(0.0)])

    def apply(self, opcode: str, xs: Sequence[str]) -> str:
        """Write an operation with any opcode that is not a sum, and return the result, which is always a number."""
        if opcode == "select":
            return self.select(self.is_nonzero(xs[0]), xs[1], xs[2])
        if opcode in COMPARISONS:
            return self.to_number(self.compare(opcode, xs))
        return self.operation(opcode, xs)


class StraightLineWriter:
    """Write instructions one after the other.

    A comparison gives a condition. It becomes a number only where its value is used as a number.

    Values that other code has computed are loaded by `load`, which a subclass defines.

    Args:
        opcodes: the writer of single operations in the language.
        code: the instructions.

    Attributes:
        names: a dict from instruction numbers to the names of the values.
        conditions: a dict from the instruction numbers of comparisons to conditions.
    """

    def __init__(self, opcodes: OpcodeWriter, code: Code) -> None:
        self.opcodes, self.code = opcodes, code
        self.names: dict[int, str] = {}
        self.conditions: dict[int, str] = {}

    def name_of(self, i: int) -> str:
        """Return the name of the value of instruction `i`. A value without a name is loaded or converted first."""
        if i not in self.names:
            if i in self.conditions:
                self.define(i, self.opcodes.to_number(self.conditions[i]))
            elif (x := self.code.constant_value(i)) is not None:
                self.names[i] = self.opcodes.constant(x)
            else:
                self.names[i] = self.load(i)
        return self.names[i]

    def condition_of(self, i: int) -> str:
        """Return the condition that the value of instruction `i` is not 0."""
        if i not in self.conditions:
            return self.opcodes.is_nonzero(self.name_of(i))
        return self.conditions[i]

    def load(self, i: int) -> str:
        """Write a load of the value of instruction `i`, which other code has computed, and return the value's name.

        This class raises KeyError. A subclass that needs such values defines the method.
        """
        raise KeyError(i)

    def define(self, i: int, value: str) -> None:
        """Record `value`, the text of the value of instruction `i`, as the name of this value."""
        self.names[i] = value

    def write(self, i: int) -> None:
        """Write instruction `i`, and record the name of its value, or its condition."""
        opcode, *rest = self.code.instructions[i]
        if opcode in SUM_OPCODES:
            pairs, terms = rest
            name_of = self.name_of
            self.define(i, self.opcodes.sum(opcode, ((name_of(a), name_of(b)) for a, b in pairs), map(name_of, terms)))
        elif opcode in COMPARISONS:
            self.conditions[i] = self.opcodes.compare(opcode, [self.name_of(j) for j in rest])
        elif opcode == "select":
            condition = self.condition_of(rest[0])
            self.define(i, self.opcodes.select(condition, self.name_of(rest[1]), self.name_of(rest[2])))
        else:
            self.define(i, self.opcodes.operation(opcode, [self.name_of(j) for j in rest]))

    def write_all(self, numbers: Iterable[int]) -> None:
        """Write the instructions with these numbers, in this order. Leaves, which have no operands, are left out."""
        for i in numbers:
            if self.code.operands[i]:
                self.write(i)
