"""Write threaded code: tables in which each entry names the ready-made kernel that computes an instruction.

Threaded code has nothing to do with threads that run in parallel (Bell, Threaded code, Communications of the ACM 16,
1973). Here it computes straight-line code, instructions without loops. There is a kernel for each opcode, count of
lanes and count of operands. But sums of one opcode share a kernel for each number of lanes, however many products they
have. A kernel computes one entry, and then calls the kernel of the next entry. All programs share the kernels, so there
is hardly anything to compile. Threaded code is slower than native code, which is compiled for one program, and has the
same results to the last bit. Every value has a place in memory. If each lane of a vector holds one row of a batch, the
program first copies each scalar operand to all lanes of a vector.

An entry consists of the address of a kernel, the offset of the result, and the offsets of the operands. In the entry of
a sum, the number of products comes before the offsets of their factors; see `_write_sum_entry`. Offsets are in bytes:
from the beginning of a block, which is memory for as many rows as a vector has lanes, or, if rows are computed one at a
time, from the beginning of the scalars.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from itertools import chain

from ..instructions.code import SUM_OPCODES
from ..llvm.lanes import StraightLineLanes
from ..llvm.machine import Machine
from ..llvm.operands import Doubles, Vector, Words
from ..llvm.text import KERNEL_PREFIX, Function, word
from ..loops.places import WORD
from ..loops.stages import Call, StraightLine
from .sums import Kernel, each_block_of, fuses, sum_of_pairs
from .tables import Tables

ENTRY_ARGUMENTS = "ptr %pc, ptr %s, ptr %w"
END = KERNEL_PREFIX + "threaded_end"


class Threaded:
    """The threaded code of a plan: tables for its straight-line code, which list the kernels of the instructions.

    Args:
        tables: the plan's tables, to which the new ones are added.

    Attributes:
        calls: for each phase, the calls of kernels that compute its stages.
        places: a copy of the plan's places in memory, to which a place for every value of the straight-line code is
            added.
        stored: whether the code itself stores the outputs, as in `native.NativeCode`. It is False: the driver `forward`
            copies them.
    """

    stored = False

    def __init__(self, tables: Tables) -> None:
        self.tables, self.code, self.machine = tables, tables.code, tables.machine
        self.places = tables.places.copy()
        self.calls = {phase: self._calls(phase) for phase in tables.plan.stages}

    def _calls(self, phase: int) -> list[Call]:
        in_lanes, stages = self.tables.schedule.phase_in_lanes(phase), self.tables.plan.stages[phase]
        return [self._call(s, in_lanes) if isinstance(s, StraightLine) else self.tables.calls[s] for s in stages]

    def _call(self, stage: StraightLine, in_lanes: bool) -> Call:
        """Add the table of a piece of straight-line code, and return the call that computes it.

        Args:
            stage: the piece of straight-line code.
            in_lanes: whether its values are vectors with one row in each lane.

        Returns:
            a `Call` with the name of the kernel that runs the table, and with the table's address. If `in_lanes` is
            set, the kernel runs the table once for each block of rows. `Tables.link` later replaces the names of
            kernels in the table by their addresses.
        """
        table: list[str | int] = []
        places, count = self.places, self.places.lanes if in_lanes else 1
        place, offset = (places.broadcast, places.block_offset) if in_lanes else (places.ensure, places.offset)
        kernel = cache(partial(self._entry_kernel, count))
        rows = [(i, *self._operands(i)) for i in stage.numbers]
        place(chain.from_iterable(rows))
        for row in rows:
            opcode = self.code.instructions[row[0]][0]
            table.append(kernel(opcode, len(row) - 1))
            table += map(offset, row)
            if opcode in SUM_OPCODES:
                table.insert(len(table) - len(row) + 1, len(row) // 2)  # after the offset of the result
        start = f"{KERNEL_PREFIX}threaded_{count}"
        self.tables.kernels |= {END: _write_end, start: partial(_loop_over_blocks, count)}
        return start, self.tables.table([*table, END])

    def _entry_kernel(self, count: int, opcode: str, operands: int) -> str:
        """Return the name of the kernel that computes entries with an opcode, and add the kernel to `Tables.kernels`.

        An entry is the part of a table of threaded code that says how one instruction is computed.

        Args:
            count: the number of lanes.
            opcode: the opcode.
            operands: the number of operands. The kernel of a sum does not depend on it.
        """
        if opcode in SUM_OPCODES:
            name = f"{KERNEL_PREFIX}threaded_{opcode}_{count}"
            write = partial(_write_sum_entry, self.machine, name, opcode, count)
        else:
            name = f"{KERNEL_PREFIX}threaded_{word(opcode)}_{count}_{operands}"
            write = partial(_write_entry, self.machine, name, opcode, count, operands)
        self.tables.kernels[name] = write
        return name

    def _operands(self, i: int) -> Sequence[int]:
        """Return the instruction numbers of the operands of instruction `i`, in the order of its table entry.

        Those of a sum are the factors of its products, pair by pair.
        """
        opcode, *rest = self.code.instructions[i]
        return [*chain(*self.code.as_products(*rest))] if opcode in SUM_OPCODES else rest


# The kernels.


def _loop_over_blocks(count: int) -> Function:
    f = Kernel(f"{KERNEL_PREFIX}threaded_{count}")
    with each_block_of(f, count) as block:
        f.table.pointer(0).call(f.table, f.scalars, block)
    f.do("ret void")
    return f


def _write_end() -> Function:
    f = Function(END, ENTRY_ARGUMENTS)
    f.do("ret void")
    return f


class _EntryWriter:
    """Write a kernel that computes one entry of a table of threaded code, and then calls the kernel of the next entry.

    Args:
        machine: the machine that the kernel is for.
        name: the kernel's name.
        count: the number of lanes. If it is 1, values are scalars.
        fma: whether `Vector.multiply_add` multiplies and adds with one rounding.
    """

    def __init__(self, machine: Machine, name: str, count: int, fma: bool) -> None:
        self.f = Function(name, ENTRY_ARGUMENTS, fma=fma)
        self.f.stack = False  # an aligned stack, which hardly any entry needs, would cost each of them a register
        self.lanes = StraightLineLanes(self.f, count, WORD * machine.simd)
        self.entry, self.memory = Words(self.f, "%pc"), Doubles(self.f, "%s" if count == 1 else "%w")

    def load(self, words: Words, k: int) -> Vector:
        """Write a load of the value whose offset is word `k` of `words`, and return the value."""
        return self.lanes.load(self.memory.bytes(words[k]))

    def end(self, result: Vector, following: Words) -> Function:
        """Write code that stores the result of the entry, and tail-calls the kernel of the next entry.

        A tail call does not let the stack grow.

        Args:
            result: the result.
            following: the address of the next entry.
        """
        f = self.f
        self.lanes.store(result, self.memory.bytes(self.entry[1]))
        f.do(f"musttail call void {following.pointer(0)}(ptr {following}, ptr %s, ptr %w)")
        f.do("ret void")
        return f


def _write_entry(machine: Machine, name: str, opcode: str, count: int, operands: int) -> Function:
    """Write the kernel that computes an instruction with the opcode `opcode`, which is not a sum, in threaded code.

    An entry of the table of threaded code has the address of the kernel and the offsets of the result and the operands.

    Args:
        machine: the machine that the kernel is for.
        name: the kernel's name.
        opcode: the opcode.
        count: the number of lanes. If it is 1, values are scalars.
        operands: the number of operands.

    >>> from micrograd_cn.compiler.llvm.machine import machine
    >>> lines = _write_entry(machine(), "product", "fmul", 1, 2).lines
    >>> for line in lines:
    ...     if "double" in line:
    ...         print(line.strip())
    %v3 = load double, ptr %v2, align 8
    %v7 = load double, ptr %v6, align 8
    %v8 = fmul double %v3, %v7
    store double %v8, ptr %v12, align 8
    """
    writer = _EntryWriter(machine, name, count, machine.fma)
    result = writer.lanes.apply(opcode, [writer.load(writer.entry, k).name for k in range(2, 2 + operands)])
    return writer.end(writer.lanes.named(result), writer.entry + (2 + operands))


def _write_sum_entry(machine: Machine, name: str, opcode: str, count: int) -> Function:
    """Write the kernel for the entries of threaded code that are sums of products.

    Such an entry consists of the address of the kernel, the offset of the result, the number of products, and the
    offsets of the factors of these products, pair by pair.
    """
    writer = _EntryWriter(machine, name, count, fuses(machine, opcode))
    entry, start = writer.entry, writer.lanes.splat(-0.0)
    return writer.end(*sum_of_pairs(writer.f, start, entry[2], entry + 3, writer.load))
