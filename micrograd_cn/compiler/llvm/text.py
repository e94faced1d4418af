"""Write LLVM functions as text. LLVM itself is not needed for this."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from .operands import AnyOperand, Condition, Integer, Operand, typed, write_call

KERNEL_PREFIX = "micrograd_cn."  # all kernels' names begin with this, so no function of C's library has the same name
FAST_KERNEL_PREFIX = "micrograd_cn.fast."  # the names of the kernels' optimised versions begin with this

_NOT_IN_NAMES = re.compile("[^A-Za-z0-9_.]")
# Maps the name of each kernel to the function that writes the kernel.
KernelWriters: TypeAlias = "dict[str, Callable[[], Function]]"
Name: TypeAlias = "Operand | str"  # the name of an operand, or the operand itself


def word(opcode: str) -> str:
    """Return an opcode as a part of a kernel's name: `_` replaces each character but letters, digits, `_` and `.`.

    >>> word("fcmp olt")
    'fcmp_olt'
    """
    return _NOT_IN_NAMES.sub("_", opcode)


class Loop:
    """A loop of an LLVM function that is being written.

    Attributes:
        index: the loop's index.
        carried: the loop-carried values (phi nodes), which are operands, in this iteration.
        next: the same values in the next iteration. The body must set this list. After the loop, the list has the last
            values.
    """

    def __init__(self, index: Integer, carried: list[Any]) -> None:
        self.index = index
        self.carried = carried
        self.next: list[Any] = []


class Function:
    """The text of an LLVM function. Methods write LLVM instructions, and return the names of their results.

    The operands that methods take are such names, constants as text, or instances of `Operand`, whose operators write
    instructions, too.

    Args:
        name: the function's name.
        arguments: the types and names of the arguments as LLVM text, for example "double %x, ptr %a".
        result: the type of the result.
        fma: whether `Vector.multiply_add` multiplies and adds with one rounding, which needs a machine with FMA.

    Attributes:
        name, arguments, result, fma: as in the arguments.
        called: for the name of each function that this function calls by its name, the type of the result and the types
            of the operands.
        kernels: for the name of each kernel that this function calls, the Python function that writes the kernel.
        vector_functions: the elementary functions of vectors that this function calls. A key is the name of the
            function in C and the number of lanes, and the value is the number of operands.
        stack: whether vectors may be spilled to the stack. If so, the stack is aligned by means of a frame pointer,
            since otherwise LLVM lets spilled vectors cross cache lines.

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

    def __init__(self, name: str, arguments: str, result: str = "void", fma: bool = False) -> None:
        self.name, self.arguments, self.result, self.fma = name, arguments, result, fma
        self.called: dict[str, tuple[str, tuple[str, ...]]] = {}
        self.kernels: KernelWriters = {}
        self.vector_functions: dict[tuple[str, int], int] = {}
        self.stack = True
        self.lines: list[str] = []
        self.label = "start"
        self.count = 0

    def fresh(self, prefix: str = "%v") -> str:
        """Return a name that the function does not use yet."""
        self.count += 1
        return f"{prefix}{self.count - 1}"

    def do(self, line: str) -> None:
        """Write an instruction without a result."""
        self.lines.append(f"  {line}")

    def op(self, expression: str) -> str:
        """Write an instruction, and return the name of its result."""
        name = f"%v{self.count}"
        self.count += 1
        self.lines.append(f"  {name} = {expression}")
        return name

    def call(self, type_: str, name: str, *operands: Operand | int | str) -> str:
        """Write a call, and return the name of its result, or "" if there is none.

        Args:
            type_: the type of the result, or "void".
            name: the name of the function that is called.
            operands: the operands, see `operands.typed`.
        """
        texts = [typed(x) for x in operands]
        if name not in self.called:
            self.called[name] = type_, tuple(map(_type_of, texts))
        return write_call(self, type_, f"@{name}", texts)

    def copy(self, to: Name, pointer: Name, count: Integer) -> None:
        """Write code that copies `count` doubles from the address `pointer` to the address `to`."""
        self.call("void", "llvm.memcpy.p0.p0.i64", f"ptr {to}", f"ptr {pointer}", count * 8, "i1 false")

    def clear(self, pointer: Name, count: Integer) -> None:
        """Write code that sets `count` doubles to 0, from the address `pointer` on."""
        self.call("void", "llvm.memset.p0.i64", f"ptr {pointer}", "i8 0", count * 8, "i1 false")

    def open(self, label: str) -> None:
        """Begin a basic block with the name `label`."""
        self.lines.append(f"{label}:")
        self.label = label

    @contextmanager
    def loop(
        self, count: int | Name, carried: Sequence[Operand] = (), *, first: int | Name = 0, step: int | Name = 1
    ) -> Iterator[Loop]:
        """Write a loop. The instructions that are written inside the `with` block are the loop's body.

        The body must set `Loop.next`, with one operand for each carried value.

        Args:
            count: the bound of the index. The loop ends once the index is not below the bound, but its body runs at
                least once.
            carried: the first values of loop-carried values.
            first: the first index.
            step: the integer that is added to the index after each iteration.
        """
        before, head, end = self.label, self.fresh("loop"), self.fresh("end")
        self.do(f"br label %{head}")
        self.open(head)
        place = len(self.lines)
        loop = Loop(Integer(self, self.fresh()), [x.named(self.fresh()) for x in carried])
        self.lines += [""] * (1 + len(carried))
        yield loop
        after = self.op(f"add nuw nsw i64 {loop.index}, {step}")
        phis = zip([loop.index, *loop.carried], [first, *carried], [after, *loop.next], strict=True)
        for i, (x, start, last) in enumerate(phis):
            self.lines[place + i] = f"  {x} = phi {x.type} [ {start}, %{before} ], [ {last}, %{self.label} ]"
        self.do(f"br i1 {self.op(f'icmp ult i64 {after}, {count}')}, label %{head}, label %{end}")
        self.open(end)

    @contextmanager
    def repeat(self, count: Name, carried: Sequence[Operand] = ()) -> Iterator[Loop]:
        """Write a loop that runs `count` times, see `loop`.

        After the `with` block, `Loop.next` has the last loop-carried values. They are the first values if `count` is 0.
        """
        some, before, body, end = self.op(f"icmp ne i64 {count}, 0"), self.label, self.fresh("some"), self.fresh("end")
        self.do(f"br i1 {some}, label %{body}, label %{end}")
        self.open(body)
        with self.loop(count, carried) as loop:
            yield loop
        after = self.label
        self.do(f"br label %{end}")
        self.open(end)
        loop.next = [
            x.named(self.op(f"phi {x.type} [ {x}, %{before} ], [ {last}, %{after} ]"))
            for x, last in zip(carried, loop.next, strict=True)
        ]

    @contextmanager
    def when(self, condition: Name) -> Iterator[None]:
        """Write a branch: the instructions written inside the `with` block are run if the i1 `condition` holds."""
        then, end = self.fresh("then"), self.fresh("end")
        self.do(f"br i1 {condition}, label %{then}, label %{end}")
        self.open(then)
        yield
        self.do(f"br label %{end}")
        self.open(end)

    def end_unless(self, condition: Name, result: str) -> None:
        """Write code that ends the function, and returns `result`, unless the i1 `condition` holds.

        `result` is the text of a value with its type.
        """
        stop, rest = self.fresh("stop"), self.fresh("rest")
        self.do(f"br i1 {condition}, label %{rest}, label %{stop}")
        self.open(stop)
        self.do(f"ret {result}")
        self.open(rest)

    def rarely(
        self, condition: Condition, values: Sequence[AnyOperand], others: Callable[[], Sequence[AnyOperand]]
    ) -> list[AnyOperand]:
        """Write code that chooses what `others` returns if `condition` holds, else `values`. Return the choice.

        The instructions that `others` writes are in a branch that is marked as rarely taken.
        """
        before, then, end = self.label, self.fresh("then"), self.fresh("end")
        self.do(f"br i1 {condition}, label %{then}, label %{end}, !prof !0")
        self.open(then)
        found = others()
        after = self.label
        self.do(f"br label %{end}")
        self.open(end)
        return [
            x.named(self.op(f"phi {x.type} [ {x}, %{before} ], [ {other}, %{after} ]"))
            for x, other in zip(values, found, strict=True)
        ]

    def __str__(self) -> str:
        head = f"define {self.result} @{self.name}({self.arguments}) #{int(self.stack)} {{"
        return "\n".join([head, "start:", *self.lines, "}", ""])


def _type_of(operand: str) -> str:
    """Return the type of an operand. The operand's text is the type, followed by a name or a constant.

    >>> _type_of("double %x"), _type_of("<2 x double> <double 1.0, double 2.0>")
    ('double', '<2 x double>')
    """
    return operand[: operand.index(">") + 1] if operand.startswith("<") else operand.partition(" ")[0]
