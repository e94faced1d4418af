"""Write the text of LLVM functions, without LLVM."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


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

    >>> f = Function("double @twice(double %x)")
    >>> f.do(f"ret double {f.op('fadd double %x, %x')}")
    >>> print(f)
    define double @twice(double %x) #0 {
    start:
      %v0 = fadd double %x, %x
      ret double %v0
    }
    <BLANKLINE>
    """

    def __init__(self, signature: str) -> None:
        self.signature = signature
        self.lines: list[str] = []
        self.label = "start"
        self.count = 0

    def name(self, kind: str = "%v") -> str:
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

    def at(self, pointer: str, index: int | str, of: str = "double") -> str:
        """Return the address of an element."""
        return pointer if index == 0 else self.op(f"getelementptr {of}, ptr {pointer}, i64 {index}")

    def load(self, kind: str, pointer: str, align: int = 8) -> str:
        """Load and return."""
        return self.op(f"load {kind}, ptr {pointer}, align {align}")

    def store(self, kind: str, value: str, pointer: str, align: int = 8) -> None:
        """Store."""
        self.do(f"store {kind} {value}, ptr {pointer}, align {align}")

    def open(self, label: str) -> None:
        """Begin a block."""
        self.lines.append(f"{label}:")
        self.label = label

    @contextmanager
    def loop(self, count: int | str, carried: Sequence[tuple[str, str]] = ()) -> Iterator[Loop]:
        """Repeat the body `count` times, at least once; `carried` are types and first values.

        The body must set `next`, which afterwards are the last values.
        """
        before, head, end = self.label, self.name("loop"), self.name("end")
        self.do(f"br label %{head}")
        self.open(head)
        place = len(self.lines)
        loop = Loop(self.name(), [self.name() for _ in carried])
        self.lines += [""] * (1 + len(carried))
        yield loop
        after = self.op(f"add nuw nsw i64 {loop.index}, 1")
        phis = zip([loop.index, *loop.carried], [("i64", "0"), *carried], [after, *loop.next], strict=True)
        for i, (name, (kind, first), last) in enumerate(phis):
            self.lines[place + i] = f"  {name} = phi {kind} [ {first}, %{before} ], [ {last}, %{self.label} ]"
        self.do(f"br i1 {self.op(f'icmp ult i64 {after}, {count}')}, label %{head}, label %{end}")
        self.open(end)

    @contextmanager
    def when(self, condition: str) -> Iterator[None]:
        """Run the body if the i1 `condition` holds."""
        then, end = self.name("then"), self.name("end")
        self.do(f"br i1 {condition}, label %{then}, label %{end}")
        self.open(then)
        yield
        self.do(f"br label %{end}")
        self.open(end)

    @contextmanager
    def rarely(self, condition: str, kind: str, names: Sequence[str]) -> Iterator[Loop]:
        """Run the body, which must set `next`, if `condition` holds; `carried` are then its values or `names`."""
        before, then, end = self.label, self.name("then"), self.name("end")
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
        return "\n".join([f"define {self.signature} #0 {{", "start:", *self.lines, "}", ""])
