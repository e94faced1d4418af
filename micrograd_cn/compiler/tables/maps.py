"""Instructions of one kind on scalars, as functions that all programs share: a table says where their operands are.

Vectors of operands are read where these lie side by side, and gathered where they lie anywhere. The results lie side by
side. The functions take what those of `products` take.
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
from .sums import KERNEL_ARGUMENTS, KernelWriter, name

MOST_FACTORS = 24  # operands of sums that are written one by one


class _Operands:
    """Write what loads the operands of a table as the letters of a pattern say.

    s: where one is, for all; v: the first one, of neighbours; g: the table of where they are, in whole vectors.
    """

    def __init__(self, lanes: Lanes, pattern: str) -> None:
        self.lanes, f = lanes, lanes.f
        places = [f.pointer("%t", k) if letter == "g" else _at(f, "%t", k) for k, letter in enumerate(pattern, 2)]
        self.all = list(zip(places, pattern, strict=True))
        self.fixed = [lanes.splat(f.load("double", x)) if letter == "s" else "" for x, letter in self.all]

    def load(self, k: int, first: str) -> str:
        """Load one operand of the instructions from `first` on."""
        x, letter = self.all[k]
        if letter == "s":
            return self.fixed[k]
        if letter == "v":
            return self.lanes.f.load(self.lanes.type, self.lanes.f.at(x, first))
        return _gather(self.lanes, self.lanes.f.at(x, first, "i64"))


@cache
def mapped(opcode: str, pattern: str) -> KernelWriter:
    """Return what writes one instruction for many scalars, or one sum of as many products.

    Table: how many vectors; the first result; the operands as `pattern` says, of a sum the factors of each product.
    """

    def make(machine: Machine, _: str) -> Function:
        f = Function(f"{KERNEL_PREFIX}mapped_{re.sub('[^A-Za-z0-9_.]', '_', opcode)}_{pattern}", KERNEL_ARGUMENTS)
        lanes = Lanes(f, machine.simd, machine.fused)
        operands, result = _Operands(lanes, pattern), _at(f, "%t", 1)
        with f.loop(f.word("%t")) as loop:
            first = f.times(loop.index, machine.simd)
            xs = [operands.load(k, first) for k in range(len(pattern))]
            found = added(lanes, opcode, xs) if opcode in SUM_OPCODES else compute(lanes, opcode, xs)
            f.store(lanes.type, found, f.at(result, first))
        f.do("ret void")
        return f

    return make


def added(lanes: Lanes, opcode: str, factors: Sequence[str]) -> str:
    """Return the sum of products, of which the factors follow each other."""
    total = lanes.constant(-0.0)
    for a, b in zip(factors[::2], factors[1::2], strict=True):
        total = lanes.multiply_add(a, b, total, opcode)
    return total


def sums(machine: Machine, opcode: str) -> Function:
    """Write sums of as many products.

    Table: how many vectors; the first result; how many products; for each vector where the left factors of each product
    are, then the right ones.
    """
    simd = machine.simd
    f = Function(name("gathered_sums", opcode), KERNEL_ARGUMENTS)
    lanes = Lanes(f, simd, machine.fused)
    result, products = _at(f, "%t", 1), f.word("%t", 2)
    with f.loop(f.word("%t"), [("ptr", f.at("%t", 3, "i64"))]) as item:
        with f.loop(products, [(lanes.type, lanes.constant(-0.0)), *[("ptr", x) for x in item.carried]]) as loop:
            [total, pair] = loop.carried
            a, b = (_gather(lanes, f.at(pair, k * simd, "i64")) for k in range(2))
            loop.next = [lanes.multiply_add(a, b, total, opcode), f.at(pair, 2 * simd, "i64")]
        [total, *item.next] = loop.next
        f.store(lanes.type, total, f.at(result, f.times(item.index, simd)))
    f.do("ret void")
    return f


def _at(f: Function, table: str, index: int | str = 0) -> str:
    return f.at("%s", f.word(table, index), BYTE)


def _gather(lanes: Lanes, places: str) -> str:
    """Return a vector of the scalars at the next places of a table."""
    vector = "poison"
    for lane in range(lanes.count):
        x = lanes.f.load("double", _at(lanes.f, places, lane))
        vector = lanes.f.op(f"insertelement {lanes.type} {vector}, double {x}, i32 {lane}")
    return vector
