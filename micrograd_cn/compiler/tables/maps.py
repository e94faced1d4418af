"""Write the kernels of maps, which compute instructions of one opcode on scalars as vectors.

Operands that are contiguous are loaded as vectors, others are gathered one by one. Results are contiguous. The kernels
have the arguments that `sums` describes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from ..instructions.code import SUM_OPCODES
from ..llvm.lanes import Lanes
from ..llvm.machine import Machine
from ..llvm.straight_line import compute
from ..llvm.text import BYTE, KERNEL_PREFIX, Function
from .sums import KERNEL_ARGUMENTS, KernelWriter, kernel_name

MAX_UNROLLED_FACTORS = 24  # of a sum whose products are written out; for longer sums there is a loop


class _Operands:
    """Write the loads of a map's operands. For each operand there is a word in the table, and a letter in the pattern.

    s (splat): all instructions have the same operand, and the word is its offset. v (vector): the operands are
    contiguous, and the word is the offset of the first one. g (gather): the word is the address of a table with the
    offset of each operand, padded to whole vectors.
    """

    def __init__(self, lanes: Lanes, pattern: str) -> None:
        self.lanes, f = lanes, lanes.f
        places = [f.pointer("%t", k) if letter == "g" else _at(f, "%t", k) for k, letter in enumerate(pattern, 2)]
        self.all = list(zip(places, pattern, strict=True))
        self.fixed = [lanes.splat(f.load("double", x)) if letter == "s" else "" for x, letter in self.all]

    def load(self, k: int, first: str) -> str:
        """Load operand k of as many instructions as a vector has lanes, from instruction `first` on."""
        x, letter = self.all[k]
        if letter == "s":
            return self.fixed[k]
        if letter == "v":
            return self.lanes.f.load(self.lanes.type, self.lanes.f.at(x, first))
        return _gather(self.lanes, self.lanes.f.at(x, first, "i64"))


@cache
def map_kernel(opcode: str, pattern: str) -> KernelWriter:
    """Return the writer of the kernel of an opcode, or of sums of a few products each.

    Table: the number of vectors, the offset of the first result, and a word for each operand, see `_Operands`. The
    operands of sums are the factors of the products, pair by pair.
    """

    def make(machine: Machine, _: str) -> Function:
        f = Function(f"{KERNEL_PREFIX}mapped_{re.sub('[^A-Za-z0-9_.]', '_', opcode)}_{pattern}", KERNEL_ARGUMENTS)
        lanes = Lanes(f, machine.simd, machine.fused)
        operands, result = _Operands(lanes, pattern), _at(f, "%t", 1)
        with f.loop(f.word("%t")) as loop:
            first = f.times(loop.index, machine.simd)
            xs = [operands.load(k, first) for k in range(len(pattern))]
            found = unrolled_sum(lanes, opcode, xs) if opcode in SUM_OPCODES else compute(lanes, opcode, xs)
            f.store(lanes.type, found, f.at(result, first))
        f.do("ret void")
        return f

    return make


def unrolled_sum(lanes: Lanes, opcode: str, factors: Sequence[str]) -> str:
    """Return the sum of products, given their factors pair by pair."""
    accumulator = lanes.constant(-0.0)
    for a, b in zip(factors[::2], factors[1::2], strict=True):
        accumulator = lanes.multiply_add(a, b, accumulator, opcode)
    return accumulator


def gathered_sums(machine: Machine, opcode: str) -> Function:
    """Write the kernel of sums with the same number of products, whose factors are gathered.

    Table: the number of vectors, the offset of the first result, and the number of products. Then for each vector and
    each product: the offsets of the left factors, then those of the right ones, one for each lane.
    """
    simd = machine.simd
    f = Function(kernel_name("gathered_sums", opcode), KERNEL_ARGUMENTS)
    lanes = Lanes(f, simd, machine.fused)
    result, products = _at(f, "%t", 1), f.word("%t", 2)
    with f.loop(f.word("%t"), [("ptr", f.at("%t", 3, "i64"))]) as item:
        with f.loop(products, [(lanes.type, lanes.constant(-0.0)), *[("ptr", x) for x in item.carried]]) as loop:
            [accumulator, pair] = loop.carried
            a, b = (_gather(lanes, f.at(pair, k * simd, "i64")) for k in range(2))
            loop.next = [lanes.multiply_add(a, b, accumulator, opcode), f.at(pair, 2 * simd, "i64")]
        [accumulator, *item.next] = loop.next
        f.store(lanes.type, accumulator, f.at(result, f.times(item.index, simd)))
    f.do("ret void")
    return f


def _at(f: Function, table: str, index: int | str = 0) -> str:
    return f.at("%s", f.word(table, index), BYTE)


def _gather(lanes: Lanes, places: str) -> str:
    """Return a vector of the scalars at the offsets that a table has from `places` on."""
    vector = "poison"
    for lane in range(lanes.count):
        x = lanes.f.load("double", _at(lanes.f, places, lane))
        vector = lanes.f.op(f"insertelement {lanes.type} {vector}, double {x}, i32 {lane}")
    return vector
