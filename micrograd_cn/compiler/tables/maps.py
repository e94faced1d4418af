"""Write the kernels of maps. A map is a list of instructions of one opcode on scalars, computed as SIMD vectors.

A kernel is a function that all programs share; it reads in a table where its operands are. Operands that are contiguous
in memory are loaded as vectors, and others are gathered one by one. Results are contiguous. The module `sums` explains
the arguments of kernels and of the functions that write them, and the words of tables.
"""

from __future__ import annotations

from functools import cache, partial

from ..instructions.code import SUM_OPCODES
from ..llvm.lanes import Lanes, StraightLineLanes
from ..llvm.machine import Machine
from ..llvm.operands import Doubles, Integer, Vector, Words
from ..llvm.text import KERNEL_PREFIX, Function, word
from .sums import Kernel, KernelWriter, fuses, gather, kernel_name, sum_of_pairs

MAX_UNROLLED_FACTORS = 24  # a sum with more factors is computed by a loop instead of being written out


class _Operands:
    """Write the loads of a map's operands.

    The pattern of a map has a letter for each operand slot of its opcode, and the table has a word for each slot:

        s (splat)   all instructions have the same operand; the word is its offset
        v (vector)  the operands are contiguous; the word is the offset of the first one
        g (gather)  the operands are anywhere; the word is the address of a table with their offsets, in which the last
                    offset is repeated up to whole vectors
    """

    def __init__(self, f: Kernel, lanes: Lanes, pattern: str) -> None:
        self.f, self.lanes = f, lanes
        self.scalars: dict[int, Doubles] = {}
        self.tables: dict[int, Words] = {}
        for k, letter in enumerate(pattern):
            if letter == "g":
                self.tables[k] = f.table.words(k + 2)
            else:
                self.scalars[k] = f.scalars.bytes(f.table[k + 2])
        self.fixed = {k: lanes.splat(x[0]) for k, x in self.scalars.items() if pattern[k] == "s"}

    def load(self, k: int, first: Integer) -> Vector:
        """Write a load of the operands in slot `k` of neighbouring instructions, and return the vector.

        Each lane of the vector has the operand of one instruction. `first` is the position in the map of the first of
        these instructions.
        """
        if k in self.fixed:
            return self.fixed[k]
        if k in self.scalars:
            return self.lanes.load(self.scalars[k] + first)
        return gather(self.lanes, self.tables[k], first)


@cache
def map_kernel(opcode: str, pattern: str) -> KernelWriter:
    """Return the function that writes the kernel for maps with this opcode and this pattern of operands.

    The pattern has a letter for each operand slot, which says where the operands are; see `_Operands`. If the opcode is
    "sum" or "dot", the kernel has no loop over the products of a sum. The pattern and the table then have a slot for
    each factor of these products, pair by pair.

    The kernel's table has these words (see the module `sums`), with offsets in bytes: the count of vectors of results,
    the offset of the first result, and a word for each operand slot.
    """

    def make(machine: Machine, _: str) -> Function:
        f = Kernel(f"{KERNEL_PREFIX}mapped_{word(opcode)}_{pattern}", machine.fma)
        lanes = StraightLineLanes(f, machine.simd)
        operands, result = _Operands(f, lanes, pattern), f.scalars.bytes(f.table[1])
        with f.loop(f.table[0]) as loop:
            first = loop.index * machine.simd
            xs = [operands.load(k, first).name for k in range(len(pattern))]
            if opcode in SUM_OPCODES:
                found = lanes.sum(opcode, zip(xs[::2], xs[1::2], strict=True), ())
            else:
                found = lanes.apply(opcode, xs)
            lanes.store(lanes.named(found), result + first)
        f.do("ret void")
        return f

    return make


def gathered_sums(machine: Machine, opcode: str) -> Function:
    """Write the kernel for maps whose instructions are sums of factors anywhere in memory, loaded one by one.

    A map is a list of instructions of one opcode, computed as vectors. All sums of a map have the same count of
    products. They start from -0.0, not from a value in memory.

    The kernel's table has these words (see the module `sums`), with offsets in bytes: the count of vectors of results,
    the offset of the first result, and the count of products in each sum. Then, for each vector of results, and for
    each product: the offsets of the left factors, one for each lane, and then those of the right factors.
    """
    simd = machine.simd
    f = Kernel(kernel_name("gathered_sums", opcode), fuses(machine, opcode))
    lanes = Lanes(f, simd)
    result, products = f.scalars.bytes(f.table[1]), f.table[2]
    with f.loop(f.table[0], [f.table + 3]) as item:
        start, [pairs] = lanes.splat(-0.0), item.carried
        total, after = sum_of_pairs(f, start, products, pairs, partial(gather, lanes), simd)
        lanes.store(total, result + item.index * simd)
        item.next = [after]
    f.do("ret void")
    return f
