"""Write the kernels of maps. A map is a list of instructions of one opcode on scalars, computed as SIMD vectors.

A kernel is a function that all programs share; it reads in a table where its operands are. Operands that are contiguous
in memory are loaded as vectors, and others one by one. Results are contiguous. The module `sums` explains the arguments
of kernels and of the functions that write them, and the words of tables.
"""

from __future__ import annotations

from functools import partial

from ..instructions.code import SUM_OPCODES
from ..llvm.lanes import Lanes, StraightLineLanes
from ..llvm.machine import Machine
from ..llvm.text import KERNEL_PREFIX, Function, word
from .sums import Kernel, fuses, kernel_name, load_singly, operand_loads, sum_of_pairs

MAX_UNROLLED_FACTORS = 24  # a sum with more factors is computed by a loop instead of being written out


def map_kernel(machine: Machine, opcode: str, pattern: str) -> Function:
    """Write the kernel for maps with this opcode and this pattern of operands.

    The pattern has a letter for each operand slot, which says where the operands are; see `operand_loads`. If the
    opcode is "sum" or "dot", the kernel has no loop over the products of a sum. The pattern and the table then have a
    slot for each factor of these products, pair by pair.

    The kernel's table has these words (see the module `sums`), with offsets in bytes: the number of vectors of results,
    the offset of the first result, and a word for each operand slot.
    """
    f = Kernel(f"{KERNEL_PREFIX}mapped_{word(opcode)}_{pattern}", machine.fma)
    lanes = StraightLineLanes(f, machine.simd)
    result = f.scalars.bytes(f.table[1])
    loads = [operand_loads(lanes, f.table + k, letter) for k, letter in enumerate(pattern, 2)]
    with f.loop(f.table[0]) as loop:
        first = loop.index * machine.simd
        xs = [load(first).name for load in loads]
        if opcode in SUM_OPCODES:
            found = lanes.sum(opcode, zip(xs[::2], xs[1::2], strict=True), ())
        else:
            found = lanes.apply(opcode, xs)
        lanes.store(lanes.named(found), result + first)
    f.do("ret void")
    return f


def listed_sums(machine: Machine, opcode: str) -> Function:
    """Write the kernel for maps whose instructions are sums of factors anywhere in memory, loaded one by one.

    A map is a list of instructions of one opcode, computed as vectors. All sums of a map have the same number of
    products. They start from -0.0, not from a value in memory.

    The kernel's table has these words (see the module `sums`), with offsets in bytes: the number of vectors of results,
    the offset of the first result, and the number of products in each sum. Then, for each vector of results, and for
    each product: the offsets of the left factors, one for each lane, and then those of the right factors.
    """
    simd = machine.simd
    f = Kernel(kernel_name("listed_sums", opcode), fuses(machine, opcode))
    lanes = Lanes(f, simd)
    result, products = f.scalars.bytes(f.table[1]), f.table[2]
    with f.loop(f.table[0], [f.table + 3]) as item:
        start, [pairs] = lanes.splat(-0.0), item.carried
        total, after = sum_of_pairs(f, start, products, pairs, partial(load_singly, lanes), simd)
        lanes.store(total, result + item.index * simd)
        item.next = [after]
    f.do("ret void")
    return f
