"""CodeBuilder on vectors or scalars as LLVM's text: what every function of the compiler is made of."""

from __future__ import annotations

from collections.abc import Sequence

from .text import KERNEL_PREFIX, Function, literal

ARITHMETIC = ("fadd", "fsub", "fmul", "fdiv")


class Lanes:
    """Write operations on `count` doubles at once; on a scalar if it is 1.

    Attributes:
        kind: LLVM's type.
        scalar: whether `count` is 1.
        fused: whether this machine multiplies and adds with one rounding.

    >>> f = Function("twice", "<4 x double> %x", "<4 x double>")
    >>> Lanes(f, 4, fused=False).apply("fadd", ["%x", "%x"])
    '%v0'
    """

    def __init__(self, f: Function, count: int, fused: bool) -> None:
        self.f = f
        self.count = count
        self.fused = fused
        self.type = vector(count)
        self.scalar = count == 1
        self.mask = "i1" if self.scalar else f"<{count} x i1>"

    def splat(self, x: str) -> str:
        """Return a scalar in every lane."""
        if self.scalar:
            return x
        one = self.f.op(f"insertelement {self.type} poison, double {x}, i32 0")
        lanes = f"<{self.count} x i32> zeroinitializer"
        return self.f.op(f"shufflevector {self.type} {one}, {self.type} poison, {lanes}")

    def constant(self, x: float) -> str:
        """Return a number in every lane."""
        if self.scalar:
            return literal(x)
        return f"<{', '.join([f'double {literal(x)}'] * self.count)}>"

    def apply(self, opcode: str, xs: Sequence[str]) -> str:
        """Return what a machine form gives: an instruction, an intrinsic of LLVM, or a function of C's library."""
        if opcode in ARITHMETIC:
            return self.f.op(f"{opcode} {self.type} {xs[0]}, {xs[1]}")
        if opcode == "fneg":
            return self.f.op(f"fneg {self.type} {xs[0]}")
        if opcode == "select":
            return self.choose(self.condition("fcmp une", [xs[0], self.constant(0.0)]), xs[1], xs[2])
        if opcode.startswith("fcmp"):
            return self.number(self.condition(opcode, xs))
        operands = [f"{self.type} {x}" for x in xs]
        if opcode.startswith("llvm."):
            return self.f.call(self.type, f"{opcode}.{'' if self.scalar else f'v{self.count}'}f64", *operands)
        if self.scalar:
            return self.f.call(self.type, opcode, *operands)
        self.f.elementary[opcode, self.count] = len(xs)
        return self.f.call(self.type, f"{KERNEL_PREFIX}vector_{opcode}_{self.count}", *operands)

    def condition(self, opcode: str, xs: Sequence[str]) -> str:
        """Return what a comparison gives, one bit a lane."""
        return self.f.op(f"{opcode} {self.type} {xs[0]}, {xs[1]}")

    def choose(self, condition: str, a: str, b: str) -> str:
        """Return `a` where the condition holds, else `b`."""
        return self.f.op(f"select {self.mask} {condition}, {self.type} {a}, {self.type} {b}")

    def number(self, condition: str) -> str:
        """Return 1.0 where the condition holds, else 0.0."""
        return self.choose(condition, self.constant(1.0), self.constant(0.0))

    def any(self, condition: str) -> str:
        """Return whether the condition holds in a lane."""
        if self.scalar:
            return condition
        bits = self.f.op(f"bitcast {self.mask} {condition} to i{self.count}")
        return self.f.op(f"icmp ne i{self.count} {bits}, 0")

    def add(self, a: str, b: str) -> str:
        """Return the sum."""
        return self.f.op(f"fadd {self.type} {a}, {b}")

    def multiply(self, a: str, b: str) -> str:
        """Return the product."""
        return self.f.op(f"fmul {self.type} {a}, {b}")

    def multiply_add(self, a: str, b: str, total: str, opcode: str = "dot") -> str:
        """Return a * b + total, of a "sum" with the product rounded."""
        if opcode != "sum" and self.fused:
            return self.apply("llvm.fma", [a, b, total])
        return self.add(total, self.multiply(a, b))

    def transpose(self, xs: Sequence[str]) -> list[str]:
        """Return `count` vectors of which the first has the first lanes of as many others, and so on.

        Neighbours exchange every other lane, then those two apart every other pair of lanes, and so on: a processor
        has instructions for these steps.
        """
        rows, size = list(xs), 1
        while size < self.count:
            for i in range(self.count):
                if not i & size:
                    a, b = rows[i], rows[i + size]
                    rows[i], rows[i + size] = self._exchanged(a, b, size, 0), self._exchanged(a, b, size, size)
            size *= 2
        return rows

    def _exchanged(self, a: str, b: str, size: int, start: int) -> str:
        """Return every other group of lanes of `a`, from one on, each followed by that of `b`."""
        lanes = [start + k - k % (2 * size) + k % size + self.count * bool(k & size) for k in range(self.count)]
        chosen = ", ".join([f"i32 {lane}" for lane in lanes])
        return self.f.op(f"shufflevector {self.type} {a}, {self.type} {b}, <{self.count} x i32> <{chosen}>")

    def horizontal_sum(self, x: str) -> str:
        """Return the sum of all lanes as a scalar: of halves, of their halves, and so on."""
        half, kind = self.count // 2, self.type
        while half:
            halves = []
            for start in (0, half):
                chosen = ", ".join([f"i32 {start + k}" for k in range(half)])
                halves.append(self.f.op(f"shufflevector {kind} {x}, {kind} poison, <{half} x i32> <{chosen}>"))
            kind = f"<{half} x double>"
            x = self.f.op(f"fadd {kind} {', '.join(halves)}")
            half //= 2
        return x if self.scalar else self.f.op(f"extractelement {kind} {x}, i32 0")

    def horizontal_sums(self, xs: Sequence[str]) -> str:
        """Return a vector of the sums of the lanes of `count` vectors: of neighbours, of theirs, and so on."""
        while len(xs) > 1:
            xs = [self._neighbours(a, b) for a, b in zip(xs[::2], xs[1::2], strict=True)]
        return xs[0]

    def _neighbours(self, a: str, b: str) -> str:
        """Return the sums of neighbouring lanes, first of `a`, then of `b`."""
        halves = []
        for odd in (0, 1):
            chosen = ", ".join([f"i32 {k}" for k in range(odd, 2 * self.count, 2)])
            lanes = f"<{self.count} x i32> <{chosen}>"
            halves.append(self.f.op(f"shufflevector {self.type} {a}, {self.type} {b}, {lanes}"))
        return self.add(*halves)


def vector(count: int) -> str:
    """Return the type of a vector, or of a scalar.

    >>> vector(4), vector(1)
    ('<4 x double>', 'double')
    """
    return f"<{count} x double>" if count > 1 else "double"
