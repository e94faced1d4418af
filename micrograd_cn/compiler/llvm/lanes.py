"""Load and store vectors, and write the opcodes of straight-line code as LLVM instructions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ...engine import Value
from ..instructions.code import FORMULAS
from ..instructions.straight_line import OpcodeWriter, StraightLineWriter
from .operands import Condition, Integer, Pointer, Vector, constant_text, intrinsic_name
from .text import KERNEL_PREFIX, Function

ARITHMETIC = ("fadd", "fsub", "fmul", "fdiv")
FUNCTION = 20  # an elementary function takes as long as this many operands of arithmetic


def cost_in_operands(node: Value) -> int:
    """Return the cost of computing an interior node, in units of about the time that arithmetic takes for an operand.

    The cost is the number of the node's operands. It is `FUNCTION` more if the operation is an elementary function,
    which is any operation but arithmetic, comparisons, selections and sums.

    >>> x = Value(1)
    >>> cost_in_operands(x + x), cost_in_operands(x.tanh())
    (2, 21)
    """
    op = node.op
    assert op
    opcode = op.lowerings.machine
    cheap = opcode in (*ARITHMETIC, "fneg", "select", "llvm.fabs", "llvm.sqrt") or opcode.startswith("fcmp")
    return len(node.operands) + (0 if cheap or op.lowerings.summands is not None else FUNCTION)


class Lanes:
    """Vectors of `count` lanes in an LLVM function that is being written.

    Args:
        f: the LLVM function that is being written.
        count: the number of lanes of a vector. If it is 1, the vectors are doubles.
        align: the alignment in bytes that addresses have in calls of `load` and `store` which pass no `align`; it is
            ignored if `count` is 1, since doubles have the alignment 8.

    Attributes:
        type: LLVM's type of a vector.

    >>> f = Function("first_lane", "ptr %p", "double")
    >>> lanes = Lanes(f, 4)
    >>> x = lanes.load(Pointer(f, "%p"))
    >>> (x * x + lanes.splat(1.0))[0].name
    '%v3'
    """

    def __init__(self, f: Function, count: int, align: int = 8) -> None:
        self.f = f
        self.count = count
        self.align = 8 if count == 1 else align
        self.poison = Vector(f, "poison", count)
        self.type = self.poison.type

    def named(self, name: str) -> Vector:
        """Return the vector that has this name in the function."""
        return Vector(self.f, name, self.count)

    def load(self, pointer: Pointer, align: int | None = None) -> Vector:
        """Write a load of a vector, and return it.

        `align` is the alignment of the address in bytes. None stands for the `align` of the class.
        """
        return self.named(self.f.op(f"load {self.type}, ptr {pointer}, align {align or self.align}"))

    def load_first(self, pointer: Pointer, valid: Integer) -> Vector:
        """Write a load of the first `valid` doubles into the first lanes. No other memory is read.

        The other lanes have arbitrary values.
        """
        words = f"<{self.count} x i64>"
        text = f"insertelement {words} poison, i64 {valid}, i32 0"
        text = f"shufflevector {words} {self.f.op(text)}, {words} poison, <{self.count} x i32> zeroinitializer"
        lanes = ", ".join([f"i64 {lane}" for lane in range(self.count)])
        mask = Condition(self.f, self.f.op(f"icmp ult {words} <{lanes}>, {self.f.op(text)}"), self.count)
        load = intrinsic_name("llvm.masked.load", self.count) + ".p0"
        return self.named(self.f.call(self.type, load, f"ptr {pointer}", "i32 8", mask, self.poison))

    def store(self, x: Vector, pointer: Pointer, align: int | None = None) -> None:
        """Write a store of the vector `x`.

        `align` is the alignment of the address in bytes. None stands for the `align` of the class.
        """
        self.f.do(f"store {self.type} {x}, ptr {pointer}, align {align or self.align}")

    def splat(self, x: Vector | float) -> Vector:
        """Return a vector with the double `x` in all lanes. The result is a constant if `x` is a number."""
        if not isinstance(x, Vector):
            return self.named(constant_text(x, self.count))
        if self.count == 1:
            return x
        lanes = f"<{self.count} x i32> zeroinitializer"
        text = f"shufflevector {self.type} {self.poison.insert(x, 0)}, {self.type} poison, {lanes}"
        return self.named(self.f.op(text))

    def of(self, numbers: Iterable[Vector]) -> Vector:
        """Return a vector of these doubles, one in each lane.

        If `numbers` is a generator that writes instructions for each double, they come just before the double is
        inserted.
        """
        x = self.poison
        for lane, number in enumerate(numbers):
            x = x.insert(number, lane)
        return x


class StraightLineLanes(Lanes, OpcodeWriter):
    """Write operations in a basic block. Equal operations, except sums and selections, are written only once.

    Operands and results of the methods of `OpcodeWriter` are names of values in the LLVM function, or constants as
    text. The instructions of formulas are written one after the other, so formulas share common subexpressions.

    >>> f = Function("f", "double %x", "double")
    >>> lanes = StraightLineLanes(f, 1)
    >>> lanes.apply("fneg", ["%x"]), lanes.apply("fneg", ["%x"])
    ('%v0', '%v0')
    """

    def __init__(self, f: Function, count: int, align: int = 8) -> None:
        super().__init__(f, count, align)
        self._computed: dict[tuple[str, ...], str] = {}

    def constant(self, x: float) -> str:
        """Return the text of a constant vector with the value `x` in all lanes."""
        return constant_text(x, self.count)

    def compare(self, opcode: str, xs: Sequence[str]) -> str:
        """Return the mask of a comparison such as "fcmp olt", with one bit for each lane."""
        key = (opcode, *xs)
        if key not in self._computed:
            self._computed[key] = self._binary(opcode, xs)
        return self._computed[key]

    def select(self, condition: str, a: str, b: str) -> str:
        """Return a vector with the lanes of `a` where the mask `condition` is set, and the lanes of `b` elsewhere."""
        mask = "i1" if self.count == 1 else f"<{self.count} x i1>"
        return self.f.op(f"select {mask} {condition}, {self.type} {a}, {self.type} {b}")

    def operation(self, opcode: str, xs: Sequence[str]) -> str:
        """Apply an opcode to the vectors `xs`, and return the name of the result.

        The opcode is that of an LLVM instruction or intrinsic, the name of a function of C's library, or a formula,
        which stands for several instructions.
        """
        key = (opcode, *xs)
        if key not in self._computed:
            self._computed[key] = self._formula(opcode, xs) if opcode in FORMULAS else self._operation(opcode, xs)
        return self._computed[key]

    def _operation(self, opcode: str, xs: Sequence[str]) -> str:
        if opcode in ARITHMETIC:
            return self._binary(opcode, xs)
        if opcode == "fneg":
            return self.f.op(f"fneg {self.type} {xs[0]}")
        operands = [f"{self.type} {x}" for x in xs]
        if opcode.startswith("llvm."):
            return self.f.call(self.type, intrinsic_name(opcode, self.count), *operands)
        if self.count == 1:
            return self.f.call(self.type, opcode, *operands)
        self.f.vector_functions[opcode, self.count] = len(xs)
        return self.f.call(self.type, f"{KERNEL_PREFIX}vector_{opcode}_{self.count}", *operands)

    def _binary(self, instruction: str, xs: Sequence[str]) -> str:
        return self.f.op(f"{instruction} {self.type} {xs[0]}, {xs[1]}")

    def _formula(self, opcode: str, xs: Sequence[str]) -> str:
        code, result, _ = FORMULAS[opcode]
        writer = StraightLineWriter(self, code)
        writer.names.update(enumerate(xs))
        writer.write_all(range(len(xs), len(code.instructions)))
        return writer.name_of(result)

    def sum(self, opcode: str, pairs: Iterable[tuple[str, str]], terms: Iterable[str]) -> str:
        """Write additions of vectors and of products, one after the other, and return the name of the sum.

        Args:
            opcode: "sum" if each product is rounded before it is added, else "dot".
            pairs: the two factors of each product.
            terms: the vectors that are added without a factor.
        """
        total, fused = "", opcode == "dot" and self.f.fma
        for t in terms:
            total = self._binary("fadd", (total, t)) if total else t
        for a, b in pairs:
            if total and fused:
                total = self._operation("llvm.fma", (a, b, total))
            else:
                product = self._binary("fmul", (a, b))
                total = self._binary("fadd", (total, product)) if total else product
        return total or self.constant(-0.0)
