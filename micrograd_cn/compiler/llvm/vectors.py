"""Define vectors whose operators write LLVM instructions, so code for vectors reads like mathematics."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .lanes import Lanes


class Vector:
    """A vector of doubles in an LLVM function that is being written.

    Operations on a vector write instructions for all of its lanes.

    Args:
        lanes: the writer of vector operations in the function.
        name: the vector's name in the function.

    >>> from .text import Function
    >>> f = Function("f", "<4 x double> %x", "<4 x double>")
    >>> x = Vector(Lanes(f, 4, fma=True), "%x")
    >>> print((x * x + x).name, *f.lines, sep="\\n")
    %v1
      %v0 = fmul <4 x double> %x, %x
      %v1 = fadd <4 x double> %v0, %x
    """

    def __init__(self, lanes: Lanes, name: str) -> None:
        self.lanes = lanes
        self.name = name

    def _wrap(self, name: str) -> Vector:
        """Return the vector that has the name `name` in the same function."""
        return Vector(self.lanes, name)

    def splat(self, x: Vector | float) -> Vector:
        """Return a vector with the number `x` in all lanes. If `x` is a vector already, `x` itself is returned."""
        return x if isinstance(x, Vector) else self._wrap(self.lanes.constant(x))

    def op(self, opcode: str, *operands: Vector | float) -> Vector:
        """Apply an opcode to vectors. A number among the operands stands for a vector with this number in all lanes."""
        return self._wrap(self.lanes.apply(opcode, [self.splat(x).name for x in operands]))

    def __add__(self, other: Vector | float) -> Vector:
        return self.op("fadd", self, other)

    def __sub__(self, other: Vector | float) -> Vector:
        return self.op("fsub", self, other)

    def __mul__(self, other: Vector | float) -> Vector:
        return self.op("fmul", self, other)

    def __truediv__(self, other: Vector | float) -> Vector:
        return self.op("fdiv", self, other)

    def multiply_add(self, factor: Vector | float, term: Vector | float) -> Vector:
        """Return self * factor + term. The product is not rounded if the processor has FMA."""
        return self._wrap(self.lanes.multiply_add(self.name, self.splat(factor).name, self.splat(term).name))

    def polynomial(self, coefficients: Sequence[float]) -> Vector:
        """Return the value of a polynomial at this vector. The constant term is the first of the coefficients.

        Even and odd powers are added up separately, so two chains of instructions run in parallel.
        """
        square = self * self
        sums: list[Vector | float] = []
        for start in (0, 1):
            *rest, total = map(self.splat, coefficients[start::2])
            for c in reversed(rest):
                total = total.multiply_add(square, c)
            sums.append(total)
        return self.multiply_add(sums[1], sums[0])

    def abs(self) -> Vector:
        """Return the absolute value of each lane."""
        return self.op("llvm.fabs", self)

    def copysign(self, x: Vector) -> Vector:
        """Return a vector with the absolute values of this one and the signs of `x`."""
        return self.op("llvm.copysign", self, x)

    def on_bits(self, instruction: str, number: int) -> Vector:
        """Apply an instruction for 64-bit integers, such as "shl", to the bits of each lane and the integer `number`.

        The resulting integers are the bits of the doubles in the vector that is returned.
        """
        f, type_, count = self.lanes.f, self.lanes.type, self.lanes.count
        whole = f"<{count} x i64>"
        own = f.op(f"bitcast {type_} {self.name} to {whole}")
        result = f.op(f"{instruction} {whole} {own}, <{', '.join([f'i64 {number}'] * count)}>")
        return self._wrap(f.op(f"bitcast {whole} {result} to {type_}"))

    # Choices.

    def compare(self, comparison: str, bound: float) -> str:
        """Return the mask of a comparison with `bound`. `comparison` is LLVM's name, such as "olt" for less."""
        return self.lanes.compare(f"fcmp {comparison}", [self.name, self.lanes.constant(bound)])

    def where(self, comparison: str, bound: float, then: Vector | float, other: Vector | float) -> Vector:
        """Return `then` in the lanes where this vector's comparison with `bound` holds, and `other` elsewhere."""
        return self._wrap(
            self.lanes.select(self.compare(comparison, bound), self.splat(then).name, self.splat(other).name)
        )

    def clamp(self, low: float, high: float) -> Vector:
        """Return a vector with lanes below `low` replaced by `low`, and lanes above `high` by `high`. A nan stays."""
        x = self.where("olt", low, low, self)
        return x.where("ogt", high, high, x)

    def any_outside(self, low: float, high: float) -> str:
        """Return a boolean (i1) that is true if at least one lane is below `low`, above `high`, or nan."""
        mask = self.lanes.mask
        return self.lanes.any(self.lanes.f.op(f"or {mask} {self.compare('ult', low)}, {self.compare('ogt', high)}"))

    def rarely(self, condition: str, values: Sequence[Vector], others: Callable[[], Sequence[Vector]]) -> list[Vector]:
        """Return the vectors that `others` returns if the boolean (i1) `condition` holds, and `values` otherwise.

        The instructions that `others` writes are in a branch that is marked as rarely taken.
        """
        with self.lanes.f.rarely(condition, self.lanes.type, [x.name for x in values]) as branch:
            branch.next = [x.name for x in others()]
        return [self._wrap(name) for name in branch.carried]
