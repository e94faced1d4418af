"""Define the operands of LLVM instructions: integers, conditions, doubles, vectors and addresses.

Their operators write instructions, so code for them reads like arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Protocol, Self, TypeVar

from ..instructions.code import bits


class Writer(Protocol):
    """An LLVM function that is being written, see `text.Function`."""

    fma: bool

    def op(self, expression: str) -> str:
        """Write an instruction, and return the name of its result."""

    def do(self, line: str) -> None:
        """Write an instruction without a result."""

    def call(self, type_: str, name: str, *operands: Operand | int | str) -> str:
        """Write a call, and return the name of its result, or "" if there is none."""

    def rarely(
        self, condition: Condition, values: Sequence[AnyOperand], others: Callable[[], Sequence[AnyOperand]]
    ) -> list[AnyOperand]:
        """Write code that chooses what `others` returns if `condition` holds, else `values`. Return the choice.

        The condition should hold rarely: `others` writes its instructions into a branch that is marked as rarely taken.
        """


class Operand:
    """An operand of LLVM instructions in a function that is being written. `str` of it is its name.

    Args:
        f: the function that is being written.
        name: the operand's name in the function, or a constant as text.

    Attributes:
        type: LLVM's type of the operand.
    """

    __slots__ = ("f", "name")
    type: str

    def __init__(self, f: Writer, name: str) -> None:
        self.f = f
        self.name = name

    def __str__(self) -> str:
        return self.name

    def __format__(self, _: str) -> str:
        return self.name

    def named(self, name: str) -> Self:
        """Return the operand of the same class and type that has the name `name`."""
        return self.__class__(self.f, name)

    def text_of(self, other: Operand | float) -> str:
        """Return the name of an operand of the same type, or a number as a constant of this type."""
        return other.name if isinstance(other, Operand) else str(other)


AnyOperand = TypeVar("AnyOperand", bound="Operand")


def typed(x: Operand | int | str) -> str:
    """Return an operand of a call with its type. An int becomes an i64 constant, and a string must begin with its type.

    >>> typed(1), typed("double %x")
    ('i64 1', 'double %x')
    """
    if isinstance(x, Operand):
        return f"{x.type} {x.name}"
    return x if isinstance(x, str) else f"i64 {x}"


def write_call(f: Writer, returns: str, called: str, operands: Sequence[str]) -> str:
    """Write a call in the function `f`, and return the name of its result, or "" if there is none.

    Args:
        f: the function that is being written, which makes the call.
        returns: the type of the result, or "void".
        called: what is called, as it stands in the text: "@" and the name of a function, as in "@exp", or the name of
            a pointer to a function, as in "%v3".
        operands: the operands with their types.
    """
    text = f"call {returns} {called}({', '.join(operands)})"
    if returns != "void":
        return f.op(text)
    f.do(text)
    return ""


class Integer(Operand):
    """A 64-bit integer that is not negative. Comparisons return a `Condition`.

    >>> from .text import Function
    >>> f = Function("f", "i64 %n, i64 %k", "i64")
    >>> n, k = Integer(f, "%n"), Integer(f, "%k")
    >>> print((n * 8 + k).name, *f.lines, sep="\\n")
    %v1
      %v0 = mul i64 %n, 8
      %v1 = add i64 %v0, %k
    """

    __slots__ = ()
    type = "i64"

    def _op(self, instruction: str, other: Integer | int) -> Integer:
        operand = other if isinstance(other, int) else other.name
        return Integer(self.f, self.f.op(f"{instruction} i64 {self.name}, {operand}"))

    def _compare(self, comparison: str, other: Integer | int) -> Condition:
        operand = other if isinstance(other, int) else other.name
        return Condition(self.f, self.f.op(f"icmp {comparison} i64 {self.name}, {operand}"))

    def __add__(self, other: Integer | int) -> Integer:
        return self if isinstance(other, int) and other == 0 else self._op("add", other)

    def __sub__(self, other: Integer | int) -> Integer:
        return self._op("sub", other)

    def __mul__(self, other: Integer | int) -> Integer:
        return self if isinstance(other, int) and other == 1 else self._op("mul", other)

    def __rmul__(self, other: int) -> Integer:
        return Integer(self.f, self.f.op(f"mul i64 {other}, {self.name}"))

    def __floordiv__(self, other: Integer | int) -> Integer:
        return self._op("udiv", other)

    def __mod__(self, other: Integer | int) -> Integer:
        return self._op("urem", other)

    def __eq__(self, other: Integer | int) -> Condition:  # type: ignore[override]  # `object` has it return a bool
        return self._compare("eq", other)

    def __ne__(self, other: Integer | int) -> Condition:  # type: ignore[override]  # `object` has it return a bool
        return self._compare("ne", other)

    def __lt__(self, other: Integer | int) -> Condition:
        return self._compare("ult", other)

    def __gt__(self, other: Integer | int) -> Condition:
        return self._compare("ugt", other)

    def __ge__(self, other: Integer | int) -> Condition:
        return self._compare("uge", other)

    def to_double(self) -> Vector:
        """Return this integer, converted to a double."""
        return Vector(self.f, self.f.op(f"uitofp i64 {self.name} to double"))

    def minimum(self, other: Integer | int) -> Integer:
        """Return the smaller of this integer and another one."""
        return (self < other).select(self, other)

    def maximum(self, other: Integer | int) -> Integer:
        """Return the larger of this integer and another one."""
        return (self > other).select(self, other)


class Condition(Operand):
    """A condition, which holds or does not when the function runs; or a mask, which has a condition for each lane.

    Args:
        f: the function that is being written.
        name: the name of the condition or mask.
        count: the number of lanes of a mask; 1 for a condition.
    """

    __slots__ = ("count", "type")

    def __init__(self, f: Writer, name: str, count: int = 1) -> None:
        super().__init__(f, name)
        self.count = count
        self.type = "i1" if count == 1 else f"<{count} x i1>"

    def named(self, name: str) -> Self:
        """Return the condition that has the name `name`; for a mask, the mask with as many lanes."""
        return self.__class__(self.f, name, self.count)

    def __and__(self, other: Condition) -> Condition:
        return self.named(self.f.op(f"and {self.type} {self.name}, {other.name}"))

    def __or__(self, other: Condition) -> Condition:
        return self.named(self.f.op(f"or {self.type} {self.name}, {other.name}"))

    def __invert__(self) -> Condition:
        return Condition(self.f, self.f.op(f"xor i1 {self.name}, true"))

    def __bool__(self) -> bool:
        raise TypeError("whether a condition holds is known only when the function runs; use f.when(condition)")

    def lane(self, lane: int) -> Condition:
        """Return the condition in a lane of this mask."""
        if self.count == 1:
            return self
        return Condition(self.f, self.f.op(f"extractelement {self.type} {self.name}, i32 {lane}"))

    def any(self) -> Condition:
        """Return the condition that this mask holds in at least one lane."""
        if self.count == 1:
            return self
        bits = self.f.op(f"bitcast {self.type} {self.name} to i{self.count}")
        return Condition(self.f, self.f.op(f"icmp ne i{self.count} {bits}, 0"))

    def to_integer(self) -> Integer:
        """Return 1 if the condition holds, and 0 if it does not."""
        return Integer(self.f, self.f.op(f"zext i1 {self.name} to i64"))

    def select(self, then: AnyOperand | float, other: AnyOperand | float) -> AnyOperand:
        """Return `then` if the condition holds, and `other` if it does not. A mask selects in each lane.

        One of the two may be a number.
        """
        kind = then if isinstance(then, Operand) else other
        assert isinstance(kind, Operand)
        texts = [f"{kind.type} {kind.text_of(x)}" for x in (then, other)]
        return kind.named(self.f.op(f"select {self.type} {self.name}, {', '.join(texts)}"))


class Vector(Operand):
    """Doubles in the lanes of a vector, or a single double. Operators write instructions for all lanes.

    A number in place of a vector stands for a vector with this number in all lanes.

    Args:
        f: the function that is being written.
        name: the vector's name in the function, or a constant as text.
        count: the number of lanes; 1 for a double.

    >>> from .text import Function
    >>> f = Function("f", "<4 x double> %x", "<4 x double>")
    >>> x = Vector(f, "%x", 4)
    >>> print((x * x + x).name, *f.lines, sep="\\n")
    %v1
      %v0 = fmul <4 x double> %x, %x
      %v1 = fadd <4 x double> %v0, %x
    """

    __slots__ = ("count", "type")

    def __init__(self, f: Writer, name: str, count: int = 1) -> None:
        self.f, self.name, self.count, self.type = f, name, count, vector_type(count)

    def named(self, name: str) -> Self:
        """Return the vector with the name `name`, which has as many lanes as this one."""
        return self.__class__(self.f, name, self.count)

    def text_of(self, other: Operand | float) -> str:
        """Return the name of a vector with as many lanes, or the text of a constant vector."""
        return other.name if isinstance(other, Operand) else constant_text(other, self.count)

    def _op(self, instruction: str, other: Vector | float) -> Vector:
        return self.named(self.f.op(f"{instruction} {self.type} {self.name}, {self.text_of(other)}"))

    def __add__(self, other: Vector | float) -> Vector:
        return self._op("fadd", other)

    def __sub__(self, other: Vector | float) -> Vector:
        return self._op("fsub", other)

    def __mul__(self, other: Vector | float) -> Vector:
        return self._op("fmul", other)

    def __truediv__(self, other: Vector | float) -> Vector:
        return self._op("fdiv", other)

    def multiply_add(self, factor: Vector | float, term: Vector | float) -> Vector:
        """Return self * factor + term. The product is not rounded if the function has FMA, see `text.Function`."""
        if self.f.fma:
            return self.intrinsic("llvm.fma", factor, term)
        return self.constant(term) + self * factor

    def constant(self, x: Vector | float) -> Vector:
        """Return a vector with the number `x` in all lanes. If `x` is a vector already, `x` itself is returned."""
        return x if isinstance(x, Vector) else self.named(self.text_of(x))

    def intrinsic(self, name: str, *others: Vector | float) -> Vector:
        """Return the result of an intrinsic of LLVM, such as "llvm.fabs", for this vector and further operands."""
        operands = [f"{self.type} {self.text_of(x)}" for x in (self, *others)]
        return self.named(self.f.call(self.type, intrinsic_name(name, self.count), *operands))

    def on_bits(self, instruction: str, number: int) -> Vector:
        """Apply an instruction for 64-bit integers, such as "shl", to the bits of each lane and the integer `number`.

        The resulting integers are the bits of the doubles in the vector that is returned.
        """
        whole = f"<{self.count} x i64>"
        own = self.f.op(f"bitcast {self.type} {self.name} to {whole}")
        result = self.f.op(f"{instruction} {whole} {own}, splat (i64 {number})")
        return self.named(self.f.op(f"bitcast {whole} {result} to {self.type}"))

    # Comparisons. Those by operators do not hold for nan.

    def compare(self, comparison: str, other: Vector | float) -> Condition:
        """Return the mask of the lanes in which a comparison of this vector with `other` holds.

        `comparison` is LLVM's name of the comparison, such as "olt" for less, or "ult" for less or nan.
        """
        text = f"fcmp {comparison} {self.type} {self.name}, {self.text_of(other)}"
        return Condition(self.f, self.f.op(text), self.count)

    def __lt__(self, other: Vector | float) -> Condition:
        return self.compare("olt", other)

    def __gt__(self, other: Vector | float) -> Condition:
        return self.compare("ogt", other)

    def __ge__(self, other: Vector | float) -> Condition:
        return self.compare("oge", other)

    def __eq__(self, other: Vector | float) -> Condition:  # type: ignore[override]  # `object` has it return a bool
        return self.compare("oeq", other)

    def is_nan(self) -> Condition:
        """Return the mask of the lanes that hold nan."""
        return self.compare("uno", 0.0)

    # Lanes.

    def __getitem__(self, lane: int) -> Vector:
        """Return the double in a lane."""
        if self.count == 1:
            return self
        return Vector(self.f, self.f.op(f"extractelement {self.type} {self.name}, i32 {lane}"))

    def insert(self, x: Vector, lane: int) -> Vector:
        """Return this vector with the double `x` in a lane."""
        if self.count == 1:
            return x
        return self.named(self.f.op(f"insertelement {self.type} {self.name}, double {x}, i32 {lane}"))

    def shuffle(self, lanes: Sequence[int], other: Vector | None = None) -> Vector:
        """Return a vector of the lanes whose numbers are in `lanes`.

        Lane k of this vector has the number k. Lane k of `other` has the number n + k, where n is the number of lanes
        of this vector.
        """
        chosen = ", ".join([f"i32 {lane}" for lane in lanes])
        pair = f"{self.type} {self.name}, {self.type} {other or 'poison'}"
        text = f"shufflevector {pair}, <{len(lanes)} x i32> <{chosen}>"
        return Vector(self.f, self.f.op(text), len(lanes))

    def horizontal_sum(self) -> Vector:
        """Return the sum of all lanes: the halves are added, then the halves of their sum, and so on."""
        x = self
        while x.count > 2:
            half = x.count // 2
            x = x.shuffle(range(half)) + x.shuffle(range(half, x.count))
        return x[0] + x[1] if x.count == 2 else x


def transpose(xs: Sequence[Vector]) -> list[Vector]:
    """Transpose as many vectors as each of them has lanes: lane j of vector i becomes lane i of vector j.

    In the first step, neighbouring vectors exchange every other lane. In the second step, vectors with a distance of
    two exchange every other pair of lanes, and so on. Processors have shuffle instructions for these steps.
    """
    rows, size, count = list(xs), 1, len(xs)

    def exchanged(a: Vector, b: Vector, start: int) -> Vector:
        """Return a vector with groups of lanes of `a` and of `b` in turns.

        Each of the two vectors consists of groups of `size` neighbouring lanes. Every other group of each vector is
        taken, beginning with lane `start`. For vectors of four lanes, a size of 1 and `start` 0, the result has the
        lanes a[0], b[0], a[2] and b[2].
        """
        return a.shuffle([start + k - k % (2 * size) + k % size + count * bool(k & size) for k in range(count)], b)

    while size < count:
        for i in range(count):
            if not i & size:
                a, b = rows[i], rows[i + size]
                rows[i], rows[i + size] = exchanged(a, b, 0), exchanged(a, b, size)
        size *= 2
    return rows


def horizontal_sums(xs: Sequence[Vector]) -> Vector:
    """Return a vector whose lane i is the sum of all lanes of xs[i].

    There must be as many vectors as each of them has lanes. Neighbouring lanes are added until one sum is left of each
    vector: a step adds lanes 0 and 1, lanes 2 and 3, and so on, first those of one vector, then those of the next.
    """
    while len(xs) > 1:
        size = 2 * xs[0].count
        xs = [a.shuffle(range(0, size, 2), b) + a.shuffle(range(1, size, 2), b) for a, b in _pairs(xs)]
    return xs[0]


def _pairs(xs: Sequence[Vector]) -> Iterable[tuple[Vector, Vector]]:
    return zip(xs[::2], xs[1::2], strict=True)


@cache
def vector_type(count: int) -> str:
    """Return LLVM's type of a vector of `count` doubles; it is the type of a double if `count` is 1.

    >>> vector_type(4), vector_type(1)
    ('<4 x double>', 'double')
    """
    return f"<{count} x double>" if count > 1 else "double"


def literal(x: float) -> str:
    """Return a double as LLVM text: the bits of the double in hexadecimal digits.

    >>> literal(1.0)
    '0x3FF0000000000000'
    """
    return f"0x{bits(x):016X}"


def constant_text(x: float, count: int) -> str:
    """Return the text of a constant vector with the value `x` in all of its `count` lanes.

    >>> constant_text(1.0, 1), constant_text(1.0, 16)
    ('0x3FF0000000000000', 'splat (double 0x3FF0000000000000)')
    """
    return literal(x) if count == 1 else f"splat (double {literal(x)})"


@cache
def intrinsic_name(name: str, count: int) -> str:
    """Return LLVM's name of an intrinsic for vectors with `count` lanes, or for doubles if `count` is 1.

    >>> intrinsic_name("llvm.sqrt", 4)
    'llvm.sqrt.v4f64'
    """
    return f"{name}.{'' if count == 1 else f'v{count}'}f64"


class Pointer(Operand):
    """An address in memory. The sum of a pointer and an integer is the address so many elements further on.

    Attributes:
        element: LLVM's type of the elements in memory. Those of this class are bytes.
    """

    __slots__ = ()
    type = "ptr"
    element = "i8"

    def __add__(self, index: Integer | int) -> Self:
        return self.__class__(self.f, self._address(index, self.element))

    def bytes(self, offset: Integer | int) -> Self:
        """Return the address `offset` bytes further on."""
        return self.__class__(self.f, self._address(offset, "i8"))

    def _address(self, index: Integer | int, element: str) -> str:
        """Return the name of the address `index` elements further on. `element` is LLVM's type of the elements."""
        if isinstance(index, int) and index == 0:
            return self.name
        return self.f.op(f"getelementptr {element}, ptr {self.name}, i64 {index}")

    def differs(self, other: Pointer) -> Condition:
        """Return whether this address differs from another one."""
        return Condition(self.f, self.f.op(f"icmp ne ptr {self.name}, {other.name}"))

    def call(self, *operands: Operand | int | str, returns: str = "void") -> str:
        """Write a call of the function at this address, and return the name of its result, or "" if there is none.

        Args:
            operands: the operands, see `typed`.
            returns: the type of the result, or "void".
        """
        return write_call(self.f, returns, self.name, [typed(x) for x in operands])


class Words(Pointer):
    """The address of an array of words. A word is a 64-bit integer or an address.

    >>> from .text import Function
    >>> f = Function("f", "ptr %t, i64 %k", "i64")
    >>> table, k = Words(f, "%t"), Integer(f, "%k")
    >>> print((table + 4)[k].name, *f.lines, sep="\\n")
    %v2
      %v0 = getelementptr i64, ptr %t, i64 4
      %v1 = getelementptr i64, ptr %v0, i64 %k
      %v2 = load i64, ptr %v1
    """

    __slots__ = ()
    element = "i64"

    def __getitem__(self, index: Integer | int) -> Integer:
        return Integer(self.f, self.f.op(f"load i64, ptr {self._address(index, 'i64')}"))

    def __setitem__(self, index: Integer | int, value: Integer) -> None:
        self.f.do(f"store i64 {value.name}, ptr {self._address(index, 'i64')}, align 8")

    def pointer(self, index: Integer | int) -> Pointer:
        """Return the address that word `index` holds."""
        return Pointer(self.f, self._load_address(index))

    def words(self, index: Integer | int) -> Words:
        """Return the address that word `index` holds, which must be the address of an array of words."""
        return Words(self.f, self._load_address(index))

    def doubles(self, index: Integer | int) -> Doubles:
        """Return the address that word `index` holds, which must be the address of an array of doubles."""
        return Doubles(self.f, self._load_address(index))

    def _load_address(self, index: Integer | int) -> str:
        return self.f.op(f"load ptr, ptr {self._address(index, 'i64')}")


class Doubles(Pointer):
    """The address of an array of doubles."""

    __slots__ = ()
    element = "double"

    def __getitem__(self, index: Integer | int) -> Vector:
        return Vector(self.f, self.f.op(f"load double, ptr {self._address(index, 'double')}, align 8"))

    def __setitem__(self, index: Integer | int, value: Vector) -> None:
        self.f.do(f"store double {value}, ptr {self._address(index, 'double')}, align 8")


class Flags(Pointer):
    """The address of an array of flags, each of which is a byte: 0 if the flag is clear, and 1 if it is set."""

    __slots__ = ()

    def is_clear(self, index: Integer) -> Condition:
        """Return whether a flag is clear."""
        return Condition(self.f, self.f.op(f"icmp eq i8 {self.f.op(f'load i8, ptr {self + index}')}, 0"))

    def set(self, index: Integer, to: int = 1) -> None:
        """Set a flag, or clear it if `to` is 0."""
        self.f.do(f"store i8 {to}, ptr {self + index}")
