"""Write the text of LLVM functions, without LLVM."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

BYTE = "i8"  # the type by which `at` counts offsets in bytes
KERNEL_PREFIX = "micrograd_cn."  # before the names of functions that programs share, which no function of C has
FAST_KERNEL_PREFIX = "micrograd_cn.fast."  # before those that are compiled with more effort


KernelWriters: TypeAlias = "dict[str, Callable[[], Function]]"


def literal(x: float) -> str:
    """Return a double as LLVM writes it, by its bits.

    >>> literal(1.0)
    '0x3FF0000000000000'
    """
    return f"0x{struct.unpack('<Q', struct.pack('<d', x))[0]:016X}"


class Loop:
    """A loop being written: its index, its carried values, and what the body makes of them."""

    def __init__(self, index: str, carried: list[str]) -> None:
        self.index = index
        self.carried = carried
        self.next: list[str] = []


class Function:
    """One function's lines: `do` writes one, `op` writes one with a result and returns the result's name.

    Attributes:
        name: the function's.
        called: the functions that it calls, by name, with the types of their results and operands.
        shared: of these, the functions of our own that all programs share, and what writes them.
        elementary: of these, functions of vectors: C's name and how many lanes, and how many operands.
        stack: whether vectors may wait on the stack, which is aligned for them then: LLVM puts them across the borders
            of the cache's lines unless a register is kept for that from the start.

    >>> f = Function("twice", "double %x", "double")
    >>> f.do(f"ret double {f.op('fadd double %x, %x')}")
    >>> print(f)
    define double @twice(double %x) #1 {
    start:
      %v0 = fadd double %x, %x
      ret double %v0
    }
    <BLANKLINE>
    """

    def __init__(self, name: str, arguments: str, result: str = "void") -> None:
        self.name = name
        self.signature = f"{result} @{name}({arguments})"
        self.called: dict[str, tuple[str, tuple[str, ...]]] = {}
        self.kernels: KernelWriters = {}
        self.elementary: dict[tuple[str, int], int] = {}
        self.stack = True
        self.lines: list[str] = []
        self.label = "start"
        self.count = 0

    def fresh(self, kind: str = "%v") -> str:
        """Return a new name."""
        self.count += 1
        return f"{kind}{self.count - 1}"

    def do(self, line: str) -> None:
        """Write an instruction without a result."""
        self.lines.append(f"  {line}")

    def op(self, expression: str) -> str:
        """Write an instruction and return its result's name."""
        name = f"%v{self.count}"
        self.count += 1
        self.lines.append(f"  {name} = {expression}")
        return name

    def call(self, kind: str, name: str, *operands: str) -> str:
        """Call a function; an operand is a type and a name, as in "double %x"."""
        self.called[name] = kind, tuple([_type_of(operand) for operand in operands])
        text = f"call {kind} @{name}({', '.join(operands)})"
        if kind != "void":
            return self.op(text)
        self.do(text)
        return ""

    def at(self, pointer: str, index: int | str, of: str = "double") -> str:
        """Return the address of an element."""
        return pointer if index == 0 else self.op(f"getelementptr {of}, ptr {pointer}, i64 {index}")

    def word(self, pointer: str, index: int | str = 0) -> str:
        """Return the whole number at a place of a table."""
        return self.op(f"load i64, ptr {self.at(pointer, index, 'i64')}")

    def pointer(self, pointer: str, index: int | str = 0) -> str:
        """Return the address at a place of a table."""
        return self.op(f"load ptr, ptr {self.at(pointer, index, 'i64')}")

    def add(self, a: int | str, b: int | str) -> str:
        """Return the sum of whole numbers."""
        return str(a) if b == 0 else str(b) if a == 0 else self.op(f"add i64 {a}, {b}")

    def subtract(self, a: int | str, b: int | str) -> str:
        """Return the difference of whole numbers."""
        return self.op(f"sub i64 {a}, {b}")

    def times(self, a: int | str, b: int | str) -> str:
        """Return the product of whole numbers."""
        return str(a) if b == 1 else self.op(f"mul i64 {a}, {b}")

    def quotient(self, a: int | str, b: int | str) -> str:
        """Return the quotient of whole numbers, rounded down."""
        return self.op(f"udiv i64 {a}, {b}")

    def smaller(self, a: int | str, b: int | str) -> str:
        """Return the smaller one of whole numbers."""
        return self.op(f"select i1 {self.op(f'icmp ult i64 {a}, {b}')}, i64 {a}, i64 {b}")

    def larger(self, a: int | str, b: int | str) -> str:
        """Return the larger one of whole numbers."""
        return self.op(f"select i1 {self.op(f'icmp ugt i64 {a}, {b}')}, i64 {a}, i64 {b}")

    def load(self, kind: str, pointer: str, align: int = 8) -> str:
        """Load and return."""
        return self.op(f"load {kind}, ptr {pointer}, align {align}")

    def store(self, kind: str, value: str, pointer: str, align: int = 8) -> None:
        """Store."""
        self.do(f"store {kind} {value}, ptr {pointer}, align {align}")

    def copy(self, to: str, pointer: str, count: str) -> None:
        """Copy some doubles."""
        size = self.times(count, 8)
        self.call("void", "llvm.memcpy.p0.p0.i64", f"ptr {to}", f"ptr {pointer}", f"i64 {size}", "i1 false")

    def clear(self, pointer: str, count: str) -> None:
        """Set some doubles to 0."""
        size = self.times(count, 8)
        self.call("void", "llvm.memset.p0.i64", f"ptr {pointer}", "i8 0", f"i64 {size}", "i1 false")

    def open(self, label: str) -> None:
        """Begin a block."""
        self.lines.append(f"{label}:")
        self.label = label

    @contextmanager
    def loop(
        self, count: int | str, carried: Sequence[tuple[str, str]] = (), *, first: int | str = 0, step: int | str = 1
    ) -> Iterator[Loop]:
        """Repeat the body for indices from `first` below `count`, at least once; `carried` are types and first values.

        The body must set `next`, which afterwards are the last values.
        """
        before, head, end = self.label, self.fresh("loop"), self.fresh("end")
        self.do(f"br label %{head}")
        self.open(head)
        place = len(self.lines)
        loop = Loop(self.fresh(), [self.fresh() for _ in carried])
        self.lines += [""] * (1 + len(carried))
        yield loop
        after = self.op(f"add nuw nsw i64 {loop.index}, {step}")
        phis = zip([loop.index, *loop.carried], [("i64", str(first)), *carried], [after, *loop.next], strict=True)
        for i, (name, (kind, start), last) in enumerate(phis):
            self.lines[place + i] = f"  {name} = phi {kind} [ {start}, %{before} ], [ {last}, %{self.label} ]"
        self.do(f"br i1 {self.op(f'icmp ult i64 {after}, {count}')}, label %{head}, label %{end}")
        self.open(end)

    @contextmanager
    def repeat(self, count: str, carried: Sequence[tuple[str, str]] = ()) -> Iterator[Loop]:
        """Repeat the body `count` times, which may be none; `carried` are then their first values."""
        some, before, body, end = self.op(f"icmp ne i64 {count}, 0"), self.label, self.fresh("some"), self.fresh("end")
        self.do(f"br i1 {some}, label %{body}, label %{end}")
        self.open(body)
        with self.loop(count, carried) as loop:
            yield loop
        after = self.label
        self.do(f"br label %{end}")
        self.open(end)
        loop.next = [
            self.op(f"phi {kind} [ {first}, %{before} ], [ {last}, %{after} ]")
            for (kind, first), last in zip(carried, loop.next, strict=True)
        ]

    @contextmanager
    def when(self, condition: str) -> Iterator[None]:
        """Run the body if the i1 `condition` holds."""
        then, end = self.fresh("then"), self.fresh("end")
        self.do(f"br i1 {condition}, label %{then}, label %{end}")
        self.open(then)
        yield
        self.do(f"br label %{end}")
        self.open(end)

    @contextmanager
    def rarely(self, condition: str, kind: str, names: Sequence[str]) -> Iterator[Loop]:
        """Run the body, which must set `next`, if `condition` holds; `carried` are then its values or `names`."""
        before, then, end = self.label, self.fresh("then"), self.fresh("end")
        self.do(f"br i1 {condition}, label %{then}, label %{end}, !prof !0")
        self.open(then)
        branch = Loop("", [])
        yield branch
        after = self.label
        self.do(f"br label %{end}")
        self.open(end)
        for name, other in zip(names, branch.next, strict=True):
            branch.carried.append(self.op(f"phi {kind} [ {name}, %{before} ], [ {other}, %{after} ]"))

    def __str__(self) -> str:
        return "\n".join([f"define {self.signature} #{int(self.stack)} {{", "start:", *self.lines, "}", ""])


def _type_of(operand: str) -> str:
    """Return the type of a type and a name or constant.

    >>> _type_of("double %x"), _type_of("<2 x double> <double 1.0, double 2.0>")
    ('double', '<2 x double>')
    """
    return operand[: operand.index(">") + 1] if operand.startswith("<") else operand.partition(" ")[0]
