"""Vectors in a function that is being written, with the signs of arithmetic, so that a formula reads as mathematics."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from .lanes import Lanes


class Vector:
    """A vector of doubles in a function: what Python computes with it becomes instructions for all lanes at once.

    Args:
        lanes: what writes the function.
        name: the vector's name in it.

    >>> from .text import Function
    >>> f = Function("f", "<4 x double> %x", "<4 x double>")
    >>> x = Vector(Lanes(f, 4, fused=True), "%x")
    >>> print((x * x + x).name, *f.lines, sep="\\n")
    %v1
      %v0 = fmul <4 x double> %x, %x
      %v1 = fadd <4 x double> %v0, %x
    """

    def __init__(self, lanes: Lanes, name: str) -> None:
        self.lanes = lanes
        self.name = name

    def named(self, name: str) -> Vector:
        """Return another vector of the same function."""
        return Vector(self.lanes, name)

    def all(self, x: Vector | float) -> Vector:
        """Return the vector with a number in every lane; a vector stays as it is."""
        return x if isinstance(x, Vector) else self.named(self.lanes.constant(x))

    def op(self, opcode: str, *operands: Vector | float) -> Vector:
        """Return what a machine form makes of vectors and numbers."""
        return self.named(self.lanes.apply(opcode, [self.all(x).name for x in operands]))

    def __add__(self, other: Vector | float) -> Vector:
        return self.op("fadd", self, other)

    def __sub__(self, other: Vector | float) -> Vector:
        return self.op("fsub", self, other)

    def __mul__(self, other: Vector | float) -> Vector:
        return self.op("fmul", self, other)

    def __truediv__(self, other: Vector | float) -> Vector:
        return self.op("fdiv", self, other)

    def times(self, factor: Vector | float, term: Vector | float) -> Vector:
        """Return self * factor + term, rounded once if the processor can."""
        return self.named(self.lanes.multiply_add(self.name, self.all(factor).name, self.all(term).name))

    def polynomial(self, coefficients: Sequence[float]) -> Vector:
        """Return a polynomial, the constant term first; even and odd powers are summed apart, so that none waits."""
        square = self * self
        sums: list[Vector | float] = []
        for start in (0, 1):
            *rest, total = map(self.all, coefficients[start::2])
            for c in reversed(rest):
                total = total.times(square, c)
            sums.append(total)
        return self.times(sums[1], sums[0])

    def size(self) -> Vector:
        """Return the absolute value."""
        return self.op("llvm.fabs", self)

    def signed(self, x: Vector) -> Vector:
        """Return it with the sign of another."""
        return self.op("llvm.copysign", self, x)

    def bits(self, instruction: str, number: int) -> Vector:
        """Return the doubles whose bits are an instruction's, of the bits of these ones and of a whole number."""
        f, kind, count = self.lanes.f, self.lanes.type, self.lanes.count
        whole = f"<{count} x i64>"
        own = f.op(f"bitcast {kind} {self.name} to {whole}")
        result = f.op(f"{instruction} {whole} {own}, <{', '.join([f'i64 {number}'] * count)}>")
        return self.named(f.op(f"bitcast {whole} {result} to {kind}"))

    # Choices.

    def holds(self, comparison: str, bound: float) -> str:
        """Return the mask of the lanes in which a comparison holds."""
        return self.lanes.condition(f"fcmp {comparison}", [self.name, self.lanes.constant(bound)])

    def where(self, comparison: str, bound: float, then: Vector | float, other: Vector | float) -> Vector:
        """Return `then` where a comparison with a number holds, `other` elsewhere."""
        return self.named(self.lanes.choose(self.holds(comparison, bound), self.all(then).name, self.all(other).name))

    def between(self, low: float, high: float) -> Vector:
        """Return the nearest between two numbers; nan stays."""
        x = self.where("olt", low, low, self)
        return x.where("ogt", high, high, x)

    def outside(self, low: float, high: float) -> str:
        """Return whether any lane is below `low`, above `high`, or nan."""
        mask = self.lanes.mask
        return self.lanes.any(self.lanes.f.op(f"or {mask} {self.holds('ult', low)}, {self.holds('ogt', high)}"))

    def rarely(self, condition: str, values: Sequence[Vector], others: Callable[[], Sequence[Vector]]) -> list[Vector]:
        """Return `values`, or, in a branch that is rarely taken, what the function makes."""
        with self.lanes.f.rarely(condition, self.lanes.type, [x.name for x in values]) as branch:
            branch.next = [x.name for x in others()]
        return [self.named(name) for name in branch.carried]


def bits(x: float) -> int:
    """Return a double's bits as a whole number.

    >>> hex(bits(1.0))
    '0x3ff0000000000000'
    """
    return int.from_bytes(struct.pack("<d", x), "little")
