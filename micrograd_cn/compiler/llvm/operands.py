"""Define integers and addresses whose operators write LLVM instructions, so code for them reads like arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, Self, TypeVar


class Writer(Protocol):
    """An LLVM function that is being written, see `text.Function`."""

    def op(self, expression: str) -> str:
        """Write an instruction, and return the name of its result."""

    def do(self, line: str) -> None:
        """Write an instruction without a result."""


class Operand:
    """An operand of LLVM instructions in a function that is being written. `str` of it is its name.

    Args:
        f: the function that is being written.
        name: the operand's name in the function, or a constant as text.

    Attributes:
        type: LLVM's type of the operand.
    """

    __slots__ = ("f", "name")
    type = ""

    def __init__(self, f: Writer, name: str) -> None:
        self.f = f
        self.name = name

    def __str__(self) -> str:
        return self.name

    def __format__(self, _: str) -> str:
        return self.name

    def named(self, name: str) -> Self:
        """Return the operand of the same class that has the name `name`."""
        return self.__class__(self.f, name)


AnyOperand = TypeVar("AnyOperand", bound=Operand)


def typed(x: Operand | int | str) -> str:
    """Return an operand of a call with its type. An int becomes an i64 constant, and a text must begin with its type.

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
        called: the function that is called: its name, after an "@", or the name of its address.
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

    def to_double(self) -> str:
        """Write a conversion of this integer to a double, and return the name of the double."""
        return self.f.op(f"uitofp i64 {self.name} to double")

    def minimum(self, other: Integer | int) -> Integer:
        """Return the smaller of this integer and another one."""
        return (self < other).select(self, other)

    def maximum(self, other: Integer | int) -> Integer:
        """Return the larger of this integer and another one."""
        return (self > other).select(self, other)


class Condition(Operand):
    """A condition, which holds or does not when the function runs."""

    __slots__ = ()
    type = "i1"

    def __and__(self, other: Condition) -> Condition:
        return Condition(self.f, self.f.op(f"and i1 {self.name}, {other.name}"))

    def __or__(self, other: Condition) -> Condition:
        return Condition(self.f, self.f.op(f"or i1 {self.name}, {other.name}"))

    def __invert__(self) -> Condition:
        return Condition(self.f, self.f.op(f"xor i1 {self.name}, true"))

    def __bool__(self) -> bool:
        raise TypeError("whether a condition holds is known only when the function runs; use f.when(condition)")

    def to_integer(self) -> Integer:
        """Return 1 if the condition holds, and 0 if it does not."""
        return Integer(self.f, self.f.op(f"zext i1 {self.name} to i64"))

    def select(self, then: AnyOperand, other: AnyOperand | int) -> AnyOperand:
        """Return `then` if the condition holds, and `other` if it does not."""
        type_ = then.type
        return then.named(self.f.op(f"select i1 {self.name}, {type_} {then}, {type_} {other}"))

    def select_double(self, then: str, other: str) -> str:
        """Return the double `then` if the condition holds, and `other` if it does not."""
        return self.f.op(f"select i1 {self.name}, double {then}, double {other}")


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
        """Return the name of the address `index` elements further on."""
        if isinstance(index, int) and index == 0:
            return self.name
        return self.f.op(f"getelementptr {element}, ptr {self.name}, i64 {index}")

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
    """The address of an array of doubles. A double that is loaded or stored is the name of an LLVM value."""

    __slots__ = ()
    element = "double"

    def __getitem__(self, index: Integer | int) -> str:
        return self.f.op(f"load double, ptr {self._address(index, 'double')}, align 8")

    def __setitem__(self, index: Integer | int, value: str) -> None:
        self.f.do(f"store double {value}, ptr {self._address(index, 'double')}, align 8")
