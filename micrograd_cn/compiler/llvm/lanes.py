"""Write operations on vectors or scalars as LLVM instructions, for the compiler's LLVM functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..instructions.code import FORMULAS
from ..instructions.straight_line import OpcodeWriter, StraightLineWriter
from .operands import Pointer
from .text import KERNEL_PREFIX, Function, literal

ARITHMETIC = ("fadd", "fsub", "fmul", "fdiv")


class Lanes(OpcodeWriter):
    """Write operations on vectors of doubles in an LLVM function.

    Each method writes LLVM instructions. Operands and results are names of values in the LLVM function, or constants as
    text.

    Args:
        f: the LLVM function that is being written.
        count: the count of lanes of a vector. If it is 1, operations are on scalars.
        fma: whether the machine can multiply and add with one rounding (FMA).
        align: the alignment in bytes of vectors in memory, where `load` and `store` get no other. For scalars it is 8.

    Attributes:
        type: LLVM's type of a vector.
        mask: LLVM's type of the result of a comparison.
        scalar: whether `count` is 1.

    >>> f = Function("twice", "<4 x double> %x", "<4 x double>")
    >>> Lanes(f, 4, fma=False).apply("fadd", ["%x", "%x"])
    '%v0'
    """

    def __init__(self, f: Function, count: int, fma: bool, align: int = 8) -> None:
        self.f = f
        self.count = count
        self.fma = fma
        self.type = vector(count)
        self.scalar = count == 1
        self.align = 8 if self.scalar else align
        self.mask = "i1" if self.scalar else f"<{count} x i1>"
        self._fma = "llvm.fma.f64" if self.scalar else f"llvm.fma.v{count}f64"

    def load(self, pointer: Pointer, align: int | None = None) -> str:
        """Write a load of a vector, and return its name. `align` is the alignment of the address in bytes."""
        return self.f.load(self.type, pointer, align or self.align)

    def store(self, x: str, pointer: Pointer, align: int | None = None) -> None:
        """Write a store of the vector `x`. `align` is the alignment of the address in bytes."""
        self.f.store(self.type, x, pointer, align or self.align)

    def splat(self, x: str) -> str:
        """Write a broadcast of the scalar `x` to all lanes, and return the vector's name."""
        if self.scalar:
            return x
        one = self.f.op(f"insertelement {self.type} poison, double {x}, i32 0")
        lanes = f"<{self.count} x i32> zeroinitializer"
        return self.f.op(f"shufflevector {self.type} {one}, {self.type} poison, {lanes}")

    def insert(self, x: str, number: str, lane: int) -> str:
        """Write the instruction that puts `number` into a lane of the vector `x`; return the name of the new vector."""
        return number if self.scalar else self.f.op(f"insertelement {self.type} {x}, double {number}, i32 {lane}")

    def extract(self, x: str, lane: int) -> str:
        """Write the instruction that reads a lane of the vector `x`, and return the name of the number."""
        return x if self.scalar else self.f.op(f"extractelement {self.type} {x}, i32 {lane}")

    def constant(self, x: float) -> str:
        """Return the text of a constant vector with the value `x` in all lanes."""
        if self.scalar:
            return literal(x)
        return f"<{', '.join([f'double {literal(x)}'] * self.count)}>"

    def operation(self, opcode: str, xs: Sequence[str]) -> str:
        """Apply an opcode to the vectors `xs`, and return the name of the result.

        The opcode is that of an LLVM instruction or intrinsic, or the name of a function of C's library. For a formula,
        an opcode that stands for several instructions, see `StraightLineLanes`.
        """
        if opcode in ARITHMETIC:
            return self._binary(opcode, *xs)
        if opcode == "fneg":
            return self.f.op(f"fneg {self.type} {xs[0]}")
        operands = [f"{self.type} {x}" for x in xs]
        if opcode.startswith("llvm."):
            return self.f.call(self.type, f"{opcode}.{'' if self.scalar else f'v{self.count}'}f64", *operands)
        if self.scalar:
            return self.f.call(self.type, opcode, *operands)
        self.f.vector_functions[opcode, self.count] = len(xs)
        return self.f.call(self.type, f"{KERNEL_PREFIX}vector_{opcode}_{self.count}", *operands)

    def compare(self, opcode: str, xs: Sequence[str]) -> str:
        """Return the mask of a comparison such as "fcmp olt", with one bit for each lane."""
        return self._binary(opcode, *xs)

    def _binary(self, instruction: str, a: str, b: str) -> str:
        return self.f.op(f"{instruction} {self.type} {a}, {b}")

    def select(self, condition: str, a: str, b: str) -> str:
        """Return a vector with the lanes of `a` where the mask `condition` is set, and the lanes of `b` elsewhere."""
        return self.f.op(f"select {self.mask} {condition}, {self.type} {a}, {self.type} {b}")

    def any(self, condition: str) -> str:
        """Return a boolean (i1) that is true if the mask `condition` is set in at least one lane."""
        if self.scalar:
            return condition
        bits = self.f.op(f"bitcast {self.mask} {condition} to i{self.count}")
        return self.f.op(f"icmp ne i{self.count} {bits}, 0")

    def add(self, a: str, b: str) -> str:
        """Write an addition of vectors, and return the name of a + b."""
        return self._binary("fadd", a, b)

    def sum(self, opcode: str, pairs: Iterable[tuple[str, str]], terms: Iterable[str]) -> str:
        """Write additions of vectors and of products, one after the other, and return the name of the sum.

        Args:
            opcode: "sum" if each product is rounded before it is added, else "dot".
            pairs: the two factors of each product.
            terms: the vectors that are added without a factor.
        """
        total = ""
        for t in terms:
            total = self.add(total, t) if total else t
        for a, b in pairs:
            total = self.multiply_add(a, b, total, opcode) if total else self.multiply(a, b)
        return total or self.constant(-0.0)

    def multiply(self, a: str, b: str) -> str:
        """Write a multiplication of vectors, and return the name of a * b."""
        return self._binary("fmul", a, b)

    def multiply_add(self, a: str, b: str, total: str, opcode: str = "dot") -> str:
        """Return the name of a * b + total. The product is rounded if the opcode is "sum" or the machine has no FMA."""
        if opcode != "sum" and self.fma:
            type_, name = self.type, self._fma
            self.f.called[name] = type_, (type_, type_, type_)
            return self.f.op(f"call {type_} @{name}({type_} {a}, {type_} {b}, {type_} {total})")
        return self.add(total, self.multiply(a, b))

    def transpose(self, xs: Sequence[str]) -> list[str]:
        """Transpose `count` vectors: lane j of vector i becomes lane i of vector j.

        In the first step, neighbouring vectors exchange every other lane. In the second step, vectors with a distance
        of two exchange every other pair of lanes, and so on. Processors have shuffle instructions for these steps.
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
        """Return a vector in which groups of `size` lanes of `a` and of `b` alternate.

        Only every other group of each vector is taken, and the first of these groups begins at lane `start`.
        """
        lanes = [start + k - k % (2 * size) + k % size + self.count * bool(k & size) for k in range(self.count)]
        chosen = ", ".join([f"i32 {lane}" for lane in lanes])
        return self.f.op(f"shufflevector {self.type} {a}, {self.type} {b}, <{self.count} x i32> <{chosen}>")

    def horizontal_sum(self, x: str) -> str:
        """Return the sum of all lanes as a scalar: the halves are added, then the halves of their sum, and so on."""
        half, type_ = self.count // 2, self.type
        while half:
            halves = []
            for start in (0, half):
                chosen = ", ".join([f"i32 {start + k}" for k in range(half)])
                halves.append(self.f.op(f"shufflevector {type_} {x}, {type_} poison, <{half} x i32> <{chosen}>"))
            type_ = f"<{half} x double>"
            x = self.f.op(f"fadd {type_} {', '.join(halves)}")
            half //= 2
        return x if self.scalar else self.f.op(f"extractelement {type_} {x}, i32 0")

    def horizontal_sums(self, xs: Sequence[str]) -> str:
        """Return a vector whose lane i is the sum of all lanes of xs[i].

        There must be as many vectors in `xs` as a vector has lanes. Neighbouring lanes are added until one sum is left
        of each vector.
        """
        while len(xs) > 1:
            xs = [self._neighbours(a, b) for a, b in zip(xs[::2], xs[1::2], strict=True)]
        return xs[0]

    def _neighbours(self, a: str, b: str) -> str:
        """Return the sums of lanes 0 and 1, of lanes 2 and 3, and so on: first those of `a`, then those of `b`."""
        halves = []
        for odd in (0, 1):
            chosen = ", ".join([f"i32 {k}" for k in range(odd, 2 * self.count, 2)])
            lanes = f"<{self.count} x i32> <{chosen}>"
            halves.append(self.f.op(f"shufflevector {self.type} {a}, {self.type} {b}, {lanes}"))
        return self.add(*halves)


class StraightLineLanes(Lanes):
    """Write operations in a basic block. Equal operations, except sums and selections, are written only once.

    The instructions of formulas are written one after the other, so formulas share common subexpressions.

    >>> f = Function("f", "double %x", "double")
    >>> lanes = StraightLineLanes(f, 1, fma=False)
    >>> lanes.apply("fneg", ["%x"]), lanes.apply("fneg", ["%x"])
    ('%v0', '%v0')
    """

    def __init__(self, f: Function, count: int, fma: bool, align: int = 8) -> None:
        super().__init__(f, count, fma, align)
        self._computed: dict[tuple[str, ...], str] = {}

    def compare(self, opcode: str, xs: Sequence[str]) -> str:
        """Return the mask of a comparison such as "fcmp olt", with one bit for each lane."""
        key = (opcode, *xs)
        if key not in self._computed:
            self._computed[key] = super().compare(opcode, xs)
        return self._computed[key]

    def operation(self, opcode: str, xs: Sequence[str]) -> str:
        """Apply an opcode, which may be a formula, to the vectors `xs`, and return the name of the result."""
        key = (opcode, *xs)
        if key not in self._computed:
            self._computed[key] = self._formula(opcode, xs) if opcode in FORMULAS else super().operation(opcode, xs)
        return self._computed[key]

    def _formula(self, opcode: str, xs: Sequence[str]) -> str:
        code, result = FORMULAS[opcode]
        writer = StraightLineWriter(self, code)
        writer.names.update(enumerate(xs))
        writer.write_all(range(len(xs), len(code.instructions)))
        return writer.name_of(result)


def vector(count: int) -> str:
    """Return LLVM's type of a vector of `count` doubles; it is the type of a scalar if `count` is 1.

    >>> vector(4), vector(1)
    ('<4 x double>', 'double')
    """
    return f"<{count} x double>" if count > 1 else "double"
