"""Straight lines as threaded code: a table of numbers, through which small functions go, each calling the next one.

There is one function for each opcode, shared by all programs, so that hardly anything is left to compile.
It runs slower than code of its own, and gives the same numbers to the last bit. (Threaded code: Bell, Communications of
the ACM 16, 1973.) All values have a place in memory; scalars with which samples are computed are stored in every lane.

An entry of the table is the address of a function, the place of its result, and those of its operands, in bytes from
the beginning of a block, or of `%s` where scalars are computed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from itertools import chain

from ..instructions.code import SUM_OPCODES
from ..llvm.lanes import Lanes
from ..llvm.machine import Machine
from ..llvm.straight_line import compute
from ..llvm.text import BYTE, KERNEL_PREFIX, Function
from ..loops.stages import Call, StraightLine
from .sums import KERNEL_ARGUMENTS, each_block
from .tables import Tables

PASSED = "ptr %pc, ptr %s, ptr %w"
END = KERNEL_PREFIX + "threaded_end"


class Threaded:
    """The tables of a plan's straight lines, among its other ones.

    Attributes:
        places: those of the plan, and of all other values.
    """

    def __init__(self, tables: Tables) -> None:
        self.tables, self.code, self.machine = tables, tables.code, tables.machine
        self.places = tables.places.copy()
        self._names: dict[tuple[str, int, int], str] = {}

    def call(self, stage: StraightLine, batched: bool) -> Call:
        """Return the call of a straight line."""
        table: list[str | int] = []
        count, at = (self.places.lanes, self.places.block_offset) if batched else (1, self.places.offset)
        for i in stage.numbers:
            self.places.keep(i)
            table += self._entry(i, count, at)
        go = f"{KERNEL_PREFIX}threaded_{count}"
        self.tables.kernels |= {END: _end, go: partial(_go, count)}
        return go, self.tables.table([*table, END])

    def _name(self, opcode: str, count: int, operands: int) -> str:
        """Return the name of the function for an opcode that is no sum."""
        key = opcode, count, operands
        if key not in self._names:
            name = self._names[key] = (
                f"{KERNEL_PREFIX}threaded_{re.sub(r'[^A-Za-z0-9_.]', '_', opcode)}_{count}_{operands}"
            )
            self.tables.kernels[name] = partial(_plain, self.machine, name, opcode, count, operands)
        return self._names[key]

    def _entry(self, i: int, count: int, at: Callable[[int], int]) -> list[str | int]:
        opcode, *rest = self.code.instructions[i]
        if opcode not in SUM_OPCODES:
            return [self._name(opcode, count, len(rest)), at(i), *map(at, rest)]
        pairs, terms = rest
        one, nothing = self.code.constant(1.0), self.code.constant(-0.0)
        if i in self.tables.schedule.long_sums:
            pairs = ()
        products = [*((one, t) for t in terms), *pairs] or [(one, nothing)]
        name = f"{KERNEL_PREFIX}threaded_{opcode}_{count}"
        self.tables.kernels[name] = partial(_sum, self.machine, name, opcode, count)
        return [name, at(i), len(products), *map(at, chain(*products))]


# The functions.


def _go(count: int) -> Function:
    f = Function(f"{KERNEL_PREFIX}threaded_{count}", KERNEL_ARGUMENTS)
    if count > 1:
        with each_block(f) as (block, _, _):
            f.do(f"call void {f.pointer('%t')}(ptr %t, ptr %s, ptr {block})")
    else:
        f.do(f"call void {f.pointer('%t')}(ptr %t, ptr %s, ptr %w)")
    f.do("ret void")
    return f


def _end() -> Function:
    f = Function(END, PASSED)
    f.do("ret void")
    return f


class _Entry:
    """Write a function that does one entry of a table."""

    def __init__(self, machine: Machine, name: str, count: int) -> None:
        self.f = Function(name, PASSED)
        self.f.stack = False  # hardly any entry needs one, and each would save a register for it
        self.lanes = Lanes(self.f, count, machine.fused)
        self.base, self.align = ("%s", 8) if self.lanes.scalar else ("%w", 8 * machine.simd)

    def load(self, pc: str, place: int) -> str:
        """Load what a word of the table means."""
        return self.f.load(self.lanes.type, self._at(pc, place), self.align)

    def _at(self, pc: str, place: int) -> str:
        return self.f.at(self.base, self.f.word(pc, place), BYTE)

    def end(self, result: str, following: str) -> Function:
        """Store the result, and go on with the next entry; the jump needs no stack."""
        f = self.f
        f.store(self.lanes.type, result, self._at("%pc", 1), self.align)
        f.do(f"musttail call void {f.pointer(following)}(ptr {following}, ptr %s, ptr %w)")
        f.do("ret void")
        return f


def _plain(machine: Machine, name: str, opcode: str, count: int, operands: int) -> Function:
    entry = _Entry(machine, name, count)
    result = compute(entry.lanes, opcode, [entry.load("%pc", k) for k in range(2, 2 + operands)])
    return entry.end(result, entry.f.at("%pc", 2 + operands, "i64"))


def _sum(machine: Machine, name: str, opcode: str, count: int) -> Function:
    """Write a sum: the number of products, then their factors."""
    entry = _Entry(machine, name, count)
    f, lanes = entry.f, entry.lanes
    with f.loop(f.word("%pc", 2), [(lanes.type, lanes.constant(-0.0)), ("ptr", f.at("%pc", 3, "i64"))]) as loop:
        [total, pair] = loop.carried
        added = lanes.multiply_add(entry.load(pair, 0), entry.load(pair, 1), total, opcode)
        loop.next = [added, f.at(pair, 2, "i64")]
    return entry.end(*loop.next)
