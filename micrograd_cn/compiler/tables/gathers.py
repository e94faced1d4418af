"""Write the kernels of gathers and scatters, which load an operand, or add to a total, by an index known at run time.

A kernel is a function that all programs share; it reads in a table where its operands are. The operands of most gathers
are a column of a matrix of parameters: their offsets in memory are an offset plus the index times a distance. Other
gathers have a second table, which gathers of the same operands share, with the offsets of the operands, followed by the
offset of a nan. An index that is invalid, such as -1, 0.5 or nan, gives nan, and nothing outside the operands is ever
read. A row value depends on the row, and a total is a sum over the rows of a batch. The module `sums` explains the
arguments of kernels and of the functions that write them, and the words of tables.
"""

from __future__ import annotations

from math import nan

from ..llvm.lanes import Lanes
from ..llvm.machine import Machine
from ..llvm.operands import Condition, Flags, Integer, Vector, Words
from ..llvm.text import KERNEL_PREFIX, Function
from ..loops.places import WORD
from .sums import Kernel, each_block_of


def gather(machine: Machine) -> Function:
    """Write the kernel of gathers whose index is a vector. Each lane has the index for one row of a batch."""
    return _gather(machine, "gather", machine.width)


def gather_scalars(machine: Machine) -> Function:
    """Write the kernel of gathers whose index and operands are scalars."""
    return _gather(machine, "gather_scalars", 1)


def _gather(machine: Machine, name: str, count: int) -> Function:
    """Write a kernel of gathers, whose values are vectors of `count` lanes, or scalars if `count` is 1.

    A gather loads the operand that its index selects. Its operands are row values, which depend on the row, or scalars.

    The gathers of a group have the same index, and the same number of operands. The kernel's table has these words (see
    the module `sums`), with offsets in bytes: the number of groups of gathers from lists, and the number of groups of
    gathers from columns. Then come the groups.

    A group of gathers from lists has: the offset of the index, the number of operands, and the number of results. Then,
    for each result: its offset, the distance in bytes from one lane of an operand to the next lane, which is 0 if the
    operands are scalars, and the address of a table with the offsets of the operands and of a nan.

    A group of gathers from columns, whose operands are scalars, has: the offset of the index, the number of operands,
    the distance in bytes from an operand to the next one, and the number of results. Then, for each result: its offset,
    and the offset of the first operand.
    """
    f = Kernel(KERNEL_PREFIX + name)
    lanes = Lanes(f, count, WORD * machine.simd)
    listed, columns = f.table[0], f.table[1]
    with f.repeat(listed, [f.table + 2]) as group:
        [at] = group.carried
        index, operands, results = (at[k] for k in range(3))
        first = at + 3
        with each_block_of(f, count) as block:
            valid, numbers = _indices(lanes, lanes.load(block.bytes(index)), operands)
            numbers = [valid.lane(lane).select(number, operands) for lane, number in enumerate(numbers)]
            with f.loop(results) as loop:
                result = first + loop.index * 3
                distance, places = result[1], result.words(2)
                base = (distance != 0).select(block, f.scalars)
                chosen = lanes.poison
                for lane, number in enumerate(numbers):
                    base = base.bytes(distance if lane else 0)
                    chosen = chosen.insert(base.bytes(places[number])[0], lane)
                lanes.store(chosen, block.bytes(result[0]))
        group.next = [first + results * 3]
    with f.repeat(columns, group.next) as group:
        [at] = group.carried
        index, operands, distance, results = (at[k] for k in range(4))
        first = at + 4
        with each_block_of(f, count) as block:
            valid, numbers = _indices(lanes, lanes.load(block.bytes(index)), operands)
            rows = [f.scalars.bytes(number * distance) for number in numbers]
            with f.loop(results) as loop:
                result = first + loop.index * 2
                place = result[1]
                found = lanes.of(row.bytes(place)[0] for row in rows)
                lanes.store(valid.select(found, nan), block.bytes(result[0]))
        group.next = [first + results * 2]
    f.do("ret void")
    return f


def scatter(machine: Machine) -> Function:
    """Write the kernel of scatters whose index is a vector. Each lane has the index for one row of a batch."""
    return _scatter(machine, "scatter", machine.width)


def scatter_scalars(machine: Machine) -> Function:
    """Write the kernel of scatters whose index and value are scalars."""
    return _scatter(machine, "scatter_scalars", 1)


def _scatter(machine: Machine, name: str, count: int) -> Function:
    """Write a kernel of scatters, whose values are vectors of `count` lanes, or scalars if `count` is 1.

    For each row, the kernel adds a value to the total that the index selects. A total is a sum over the rows of a
    batch. If some totals are touched totals, see `loops.touched`, the kernel also notes which blocks of them it
    touches.

    The scatters of a group have the same index, the same number of totals, and the same distance from a total to the
    next one. A span is a range of touched totals, one after the other, that the group adds to if the index is 0. The
    kernel's table has these words (see the module `sums`), with offsets in bytes: the offset of the list of touched
    blocks, the offset of the flags of these blocks, and the number of groups. Then, for each group: the offset of the
    index, the number of totals, the distance in bytes, the number of spans, and the number of scatters. For each span
    follow the places of its first and last total, and for each scatter the offset of the value, and the offset of the
    first total.
    """
    f = Kernel(KERNEL_PREFIX + name)
    lanes = Lanes(f, count, WORD * machine.simd)
    touched, flags = Words(f, f.totals.bytes(f.table[0]).name), Flags(f, f.totals.bytes(f.table[1]).name)
    with f.loop(f.table[2], [f.table + 3]) as group:
        [at] = group.carried
        index, totals, distance, spans, scatters = (at[k] for k in range(5))
        first_span = at + 5
        first = first_span + spans * 2
        with each_block_of(f, count) as block:
            valid, numbers = _indices(lanes, lanes.load(block.bytes(index)), totals)
            starts = [number * distance for number in numbers]
            with f.repeat(spans) as loop:
                span = first_span + loop.index * 2
                for start in starts:
                    place = start // WORD
                    begin, last = (place + span[0]) // machine.width, (place + span[1]) // machine.width
                    with f.loop(last + 1, first=begin) as block_number:
                        touch(touched, flags, block_number.index)
            rows = [f.totals.bytes(start) for start in starts]
            with f.loop(scatters) as loop:
                item = first + loop.index * 2
                values = valid.select(lanes.load(block.bytes(item[0])), 0.0)
                place = item[1]
                for lane, row in enumerate(rows):
                    total = row.bytes(place)
                    total[0] = total[0] + values[lane]
        group.next = [first + scatters * 2]
    f.do("ret void")
    return f


def touch(touched: Words, flags: Flags, block: Integer) -> None:
    """Write instructions that append a block to the list of touched blocks, unless its flag says that it is there.

    `touched` is the address of the count of the blocks in the list, which the list follows.
    """
    count = touched[0]
    touched[count + 1] = block  # after the end of the list if the block is there already
    touched[0] = count + flags.is_clear(block).to_integer()
    flags.set(block)


def _indices(lanes: Lanes, x: Vector, count: Integer) -> tuple[Condition, list[Integer]]:
    """Write code that converts the index in each lane of `x`, a double, to an integer.

    An index is valid if it is one of the integers 0 to count - 1, where `count` is the count of the operands. Return
    the mask of the lanes with a valid index, and the integer of each lane, which is 0 if the index is not valid.
    """
    f = lanes.f
    whole = f"<{x.count} x i32>" if x.count > 1 else "i32"
    inside = (x >= 0.0) & (x < lanes.splat(count.to_double()))
    bounded = inside.select(x, 0.0)  # since converting a double that fits no integer is undefined
    back = x.named(f.op(f"sitofp {whole} {f.op(f'fptosi {x.type} {bounded} to {whole}')} to {x.type}"))
    valid = inside & (back == bounded)
    number = f.op(f"fptosi {x.type} {valid.select(x, 0.0)} to {whole}")
    parts = [number]
    if x.count > 1:
        parts = [f.op(f"extractelement {whole} {number}, i32 {lane}") for lane in range(x.count)]
    return valid, [Integer(f, f.op(f"zext i32 {part} to i64")) for part in parts]
