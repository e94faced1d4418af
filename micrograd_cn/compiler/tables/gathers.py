"""Operands that are loaded by their number, as functions that all programs share: a table says where they are.

An index that is too large, negative, nan or not whole is replaced by that of the table's last word, which says where a
nan is: so nothing is read beside the operands. The functions take what those of `products` take.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..llvm.lanes import Lanes
from ..llvm.machine import Machine
from ..llvm.text import BYTE, KERNEL_PREFIX, Function
from .sums import KERNEL_ARGUMENTS, each_block


def gather(machine: Machine, opcode: str) -> Function:
    """Write operands chosen in each lane; they are samples, or scalars.

    Table: how many groups with the same index; for each the index, how many operands there are, how many results; for
    each result its place, the bytes from an operand's lane to the next one, which are 0 where all operands are scalars,
    and the table of where they and a nan are.
    """
    f = Function(KERNEL_PREFIX + "gather", KERNEL_ARGUMENTS)
    lanes, align = Lanes(f, machine.width, machine.fused), 8 * machine.simd
    with _groups(f) as (index, count, results, first), each_block(f) as (block, _, _):
        numbers = _numbers(lanes, f.load(lanes.type, f.at(block, index, BYTE), align), count)
        with f.loop(results) as loop:
            result = f.at(first, f.times(loop.index, 3), "i64")
            distance, places = f.word(result, 1), f.pointer(result, 2)
            base = f.op(f"select i1 {f.op(f'icmp ne i64 {distance}, 0')}, ptr {block}, ptr %s")
            chosen = "poison"
            for lane, number in enumerate(numbers):
                base = f.at(base, distance if lane else 0, BYTE)
                x = f.load("double", f.at(base, f.word(places, number), BYTE))
                chosen = f.op(f"insertelement {lanes.type} {chosen}, double {x}, i32 {lane}")
            f.store(lanes.type, chosen, f.at(block, f.word(result), BYTE), align)
    f.do("ret void")
    return f


def gather_scalars(machine: Machine, opcode: str) -> Function:
    """Write chosen operands where all are scalars. Table: as `gather` has it."""
    f = Function(KERNEL_PREFIX + "gather_scalars", KERNEL_ARGUMENTS)
    with _groups(f) as (index, count, results, first):
        [number] = _numbers(Lanes(f, 1, machine.fused), f.load("double", f.at("%s", index, BYTE)), count)
        with f.loop(results) as loop:
            result = f.at(first, f.times(loop.index, 3), "i64")
            x = f.load("double", f.at("%s", f.word(f.pointer(result, 2), number), BYTE))
            f.store("double", x, f.at("%s", f.word(result), BYTE))
    f.do("ret void")
    return f


@contextmanager
def _groups(f: Function) -> Iterator[tuple[str, str, str, str]]:
    """Repeat for every group: its index, how many operands and results, and where the results' table begins."""
    with f.loop(f.word("%t"), [("ptr", f.at("%t", 1, "i64"))]) as group:
        [at] = group.carried
        index, count, results = (f.word(at, k) for k in range(3))
        first = f.at(at, 3, "i64")
        yield index, count, results, first
        group.next = [f.at(first, f.times(results, 3), "i64")]


def _numbers(lanes: Lanes, x: str, count: str) -> list[str]:
    """Return the whole number that each lane holds, `count` where it is none from 0 up to that."""
    f = lanes.f
    whole = f"<{lanes.count} x i32>" if lanes.count > 1 else "i32"
    end = lanes.splat(f.op(f"uitofp i64 {count} to double"))
    inside = f.op(
        f"and {lanes.mask} {lanes.condition('fcmp oge', [x, lanes.constant(0.0)])}, "
        f"{lanes.condition('fcmp olt', [x, end])}"
    )
    bounded = lanes.choose(inside, x, end)  # what is too large for a whole number must not become one
    rounded = f.op(f"fptosi {lanes.type} {bounded} to {whole}")
    back = f.op(f"sitofp {whole} {rounded} to {lanes.type}")
    number = f.op(
        f"fptosi {lanes.type} {lanes.choose(lanes.condition('fcmp oeq', [back, bounded]), back, end)} to {whole}"
    )
    if lanes.count == 1:
        return [f.op(f"zext i32 {number} to i64")]
    return [f.op(f"zext i32 {f.op(f'extractelement {whole} {number}, i32 {k}')} to i64") for k in range(lanes.count)]
