"""Write the kernels of gathers and scatters, which load an operand, or add to a total, by an index known at run time.

A kernel is a function that all programs share; it reads in a table where its operands are. A second table, which
gathers of the same operands share, has the offsets in memory of the operands, followed by the offset of a nan. An index
that is invalid, such as -1, 0.5 or nan, is replaced by the number of operands, so the nan is loaded, and nothing
outside the operands is ever read. A row value depends on the row, and a total is a sum over the rows of a batch. The
module `sums` explains the arguments of kernels and of the functions that write them, and the words of tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..llvm.lanes import Lanes
from ..llvm.machine import Machine
from ..llvm.operands import Doubles, Integer, Vector, Words
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
    the module `sums`), with offsets in bytes: the number of groups. Then, for each group: the offset of the index, the
    number of operands, and the number of results. Then, for each result of the group: its offset, the distance in bytes
    from one lane of an operand to the next lane, which is 0 if the operands are scalars, and the address of a table
    with the offsets of the operands and of a nan.
    """
    f = Kernel(KERNEL_PREFIX + name)
    lanes = Lanes(f, count, WORD * machine.simd)
    with _groups(f, 3) as (index, operands, results, first), each_block_of(f, count) as block:
        indices = _indices(lanes, lanes.load(block.bytes(index)), operands)
        with f.loop(results) as loop:
            result = first + loop.index * 3
            distance, places = result[1], result.words(2)
            base = (distance != 0).select(block, f.scalars)
            chosen = lanes.poison
            for lane, number in enumerate(indices):
                base = base.bytes(distance if lane else 0)
                chosen = chosen.insert(base.bytes(places[number])[0], lane)
            lanes.store(chosen, block.bytes(result[0]))
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
    batch.

    The scatters of a group have the same index, and the same number of totals. The kernel's table has these words (see
    the module `sums`), with offsets in bytes: the number of groups. Then, for each group: the offset of the index, the
    number of totals, and the number of scatters. Then, for each scatter: the offset of the value, and the offset of the
    first total.
    """
    f = Kernel(KERNEL_PREFIX + name)
    lanes = Lanes(f, count, WORD * machine.simd)
    with _groups(f, 2) as (index, totals, scatters, first), each_block_of(f, count) as block:
        numbers = _indices(lanes, lanes.load(block.bytes(index)), totals)
        with f.loop(scatters) as loop:
            item = first + loop.index * 2
            values, to = lanes.load(block.bytes(item[0])), f.totals.bytes(item[1])
            for lane, number in enumerate(numbers):
                _add_to(to, number, totals, values[lane])
    f.do("ret void")
    return f


def _add_to(totals: Doubles, number: Integer, count: Integer, x: Vector) -> None:
    """Write instructions that add `x` to the total with the index `number`, if this index is less than `count`.

    If the index equals `count`, 0 is added to the first total instead, so the code needs no branch. `totals` is the
    address of the first total.
    """
    valid = number != count
    place = totals + valid.select(number, 0)
    value = valid.select(x, 0.0)
    place[0] = place[0] + value


@contextmanager
def _groups(f: Kernel, size: int) -> Iterator[tuple[Integer, Integer, Integer, Words]]:
    """Write a loop over the groups of gathers or scatters in a table, see `_gather` and `_scatter`.

    This is a context manager: the code in its `with` block writes the loop's body.

    Yield four values: the offset of the group's index, the number of operands or totals, the number of the group's
    items, and the address of the first item's words in the table. An item has `size` words. It is one result of a
    gather, or one scatter.
    """
    with f.loop(f.table[0], [f.table + 1]) as group:
        [at] = group.carried
        index, count, items = (at[k] for k in range(3))
        first = at + 3
        yield index, count, items, first
        group.next = [first + items * size]


def _indices(lanes: Lanes, x: Vector, count: Integer) -> list[Integer]:
    """Write code that converts the index in each lane of `x`, a double, to an i64, and return these integers.

    An index that is not one of the integers 0 to count - 1 becomes `count`, the number of operands.
    """
    f = lanes.f
    whole = f"<{x.count} x i32>" if x.count > 1 else "i32"
    end = lanes.splat(count.to_double())
    bounded = ((x >= 0.0) & (x < end)).select(x, end)  # since converting a double that fits no integer is undefined
    rounded = f.op(f"fptosi {x.type} {bounded} to {whole}")
    back = x.named(f.op(f"sitofp {whole} {rounded} to {x.type}"))
    number = f.op(f"fptosi {x.type} {(back == bounded).select(back, end)} to {whole}")
    parts = (f.op(f"extractelement {whole} {number}, i32 {k}") for k in range(x.count))
    return [Integer(f, f.op(f"zext i32 {part} to i64")) for part in ([number] if x.count == 1 else parts)]
