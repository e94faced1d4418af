"""Write the kernels of long sums: functions that all programs share, which a table tells where their operands are.

The most important kernel multiplies a matrix of scalars by vectors of samples, with one row of the batch in each lane.
It works in tiles: a few sums for one block of rows stay in registers, so each number that is loaded is used several
times. Totals over the batch, such as the gradient of a matrix, are computed in tiles too. They stay in registers for
all rows of a panel, and their lanes are added up at the end. Where values are scalars, in phases BATCH and AFTER and
for a single row, the lanes of a vector hold several sums, or several products of one sum.

All kernels have the same arguments: `%t`, the table; `%s`, the scalars; `%w`, the first block of a panel; `%a`, the
totals; `%blocks`, the number of blocks; `%stride`, the bytes of a block. A table consists of 64-bit words: numbers of
items, offsets in bytes, and addresses of functions and tables. A sum starts from the value in its place, unless its
table has a start code, see `start_code`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache

from ..llvm.lanes import Lanes
from ..llvm.machine import Machine
from ..llvm.text import BYTE, KERNEL_PREFIX, Function

MAX_TILE_SUMS = 6  # sums of a tile, each of which takes two vector registers
PRODUCTS_PER_PASS = 256  # products of each sum before the next tile, so the samples stay in the cache
COLUMNS_PER_PASS = 32  # columns of totals before the next rows, so their factors stay in the cache
VECTORS_IN_REGISTERS = 4  # vectors of scalar sums that are accumulated at once
ACCUMULATORS = 4  # of one scalar sum, so that additions need not wait for each other
KERNEL_ARGUMENTS = "ptr %t, ptr %s, ptr %w, ptr %a, i64 %blocks, i64 %stride"

KernelWriter = Callable[[Machine, str], Function]


@contextmanager
def each_block(f: Function, carried: Sequence[tuple[str, str]] = ()) -> Iterator[tuple[str, list[str], list[str]]]:
    """Write a loop over the blocks of a panel.

    Yield the address of the block, the values that the loop carries, and a list to which the body must add their next
    values. After the loop the list holds their last values.
    """
    with f.loop(f.times("%blocks", "%stride"), carried, step="%stride") as loop:
        yield f.at("%w", loop.index, BYTE), loop.carried, loop.next


def _at(f: Function, base: str, table: str, index: int | str = 0) -> str:
    """Return an address: `base` plus the offset in bytes that is at an index of a table."""
    return f.at(base, f.word(table, index), BYTE)


# Rows in lanes.

STARTS = (None, 0.0, -0.0)  # what sums start from, by start code; None stands for the values in their places


def start_code(x: float | None) -> int:
    """Return the word by which a table says what sums start from: a constant, or None for the values in their places.

    >>> start_code(None), start_code(0.0), start_code(-0.0)
    (0, 1, 2)
    """
    return [*map(repr, STARTS)].index(repr(x))


def _start(lanes: Lanes, first: str, place: str, align: int) -> str:
    """Return the vector that a sum starts from, by the start code `first`."""
    f = lanes.f
    held = f.load(lanes.type, place, align)
    zero = f.op(f"select i1 {f.op(f'icmp eq i64 {first}, 1')}, double 0.0, double -0.0")
    fresh = f.op(f"icmp ne i64 {first}, 0")
    return f.op(f"select i1 {fresh}, {lanes.type} {lanes.splat(zero)}, {lanes.type} {held}")


def matrix(machine: Machine, opcode: str) -> Function:
    """Write the kernel that multiplies a matrix of scalars by a vector of samples.

    Table: the number of products, the bytes from one scalar of a sum to the next, the number of tiles, the start code,
    and the offsets of the samples. Then for each tile: its function, the number of its sums, and for each of these the
    offsets of the result and of the first scalar.
    """
    f = Function(kernel_name("matrix", opcode), KERNEL_ARGUMENTS)
    depth, step, count, begin = (f.word("%t", k) for k in range(4))
    samples = f.at("%t", 4, "i64")
    first = f.at(samples, depth, "i64")
    with f.loop(depth, step=PRODUCTS_PER_PASS) as part:
        products = f.smaller(f.subtract(depth, part.index), PRODUCTS_PER_PASS)
        chosen = f.at(samples, part.index, "i64")
        scalars = f.at("%s", f.times(part.index, step), BYTE)
        begun = f.op(f"select i1 {f.op(f'icmp eq i64 {part.index}, 0')}, i64 {begin}, i64 0")
        with f.loop(count, [("ptr", first)]) as tile:
            [at] = tile.carried
            sums = f.at(at, 2, "i64")
            operands = f"ptr {sums}, i64 {begun}, ptr {chosen}, i64 {products}, i64 {step}, ptr {scalars}, ptr %w"
            f.do(f"call void {f.pointer(at)}({operands}, i64 %blocks, i64 %stride)")
            tile.next = [f.at(sums, f.times(f.word(at, 1), 2), "i64")]
    f.do("ret void")
    return f


@cache
def tile(m: int) -> KernelWriter:
    """Return the writer of the function that `matrix` calls for a tile of `m` sums, for all blocks of a panel."""

    def make(machine: Machine, opcode: str) -> Function:
        f = Function(
            kernel_name(f"tile{m}", opcode),
            "ptr %sums, i64 %first, ptr %samples, i64 %products, i64 %step, ptr %s, ptr %w, i64 %blocks, i64 %stride",
        )
        lanes, align = Lanes(f, machine.width, machine.fused), 8 * machine.simd
        results = [f.word("%sums", k) for k in range(0, 2 * m, 2)]
        scalars = [_at(f, "%s", "%sums", k) for k in range(1, 2 * m, 2)]
        with each_block(f) as (block, _, _):
            places = [f.at(block, result, BYTE) for result in results]
            starts = [(lanes.type, _start(lanes, "%first", place, align)) for place in places]
            with f.loop("%products", [*starts, ("i64", "0")]) as loop:
                x = f.load(lanes.type, _at(f, block, "%samples", loop.index), align)
                *accumulators, offset = loop.carried
                for scalar, accumulator in zip(scalars, accumulators, strict=True):
                    c = lanes.splat(f.load("double", f.at(scalar, offset, BYTE)))
                    loop.next.append(lanes.multiply_add(c, x, accumulator, opcode))
                loop.next.append(f.add(offset, "%step"))
            for accumulator, place in zip(loop.next, places, strict=False):
                f.store(lanes.type, accumulator, place, align)
        f.do("ret void")
        return f

    return make


def inner(machine: Machine, opcode: str) -> Function:
    """Write the kernel of inner products of samples.

    Table: the number of sums and the start code. Then for each sum: the offset of the result, the number of products,
    and the offsets of their factors, pair by pair.
    """
    f = Function(kernel_name("inner", opcode), KERNEL_ARGUMENTS)
    first = f.word("%t", 1)
    lanes, align = Lanes(f, machine.width, machine.fused), 8 * machine.simd
    with f.loop(f.word("%t"), [("ptr", f.at("%t", 2, "i64"))]) as item:
        [at] = item.carried
        result, count, pairs = f.word(at), f.word(at, 1), f.at(at, 2, "i64")
        with each_block(f) as (block, _, _):
            place = f.at(block, result, BYTE)
            with f.loop(count, [(lanes.type, _start(lanes, first, place, align)), ("ptr", pairs)]) as loop:
                [accumulator, pair] = loop.carried
                a, b = (f.load(lanes.type, _at(f, block, pair, k), align) for k in range(2))
                loop.next = [lanes.multiply_add(a, b, accumulator, opcode), f.at(pair, 2, "i64")]
            f.store(lanes.type, loop.next[0], place, align)
        item.next = loop.next[1:]
    f.do("ret void")
    return f


def rows_per_tile(machine: Machine) -> int:
    """Return how many rows a tile of totals has, to fill the registers. It has a column for each lane of a vector."""
    return 3 * machine.registers // 16 if machine.simd <= 4 else 3


def outer(machine: Machine, opcode: str) -> Function:
    """Write the kernel that adds outer products of samples to a matrix of totals, over the rows of a panel.

    Table: the numbers of pairs, of rows and of columns, the offset of the first total, the functions for a tile and for
    the rows that are left over, then pair by pair the offsets of the rows' factors, and pair by pair those of the
    columns' factors, padded to whole vectors.
    """
    f = Function(KERNEL_PREFIX + "outer", KERNEL_ARGUMENTS)
    size = rows_per_tile(machine)
    pairs, rows, columns, place = (f.word("%t", k) for k in range(4))
    whole, rest = f.pointer("%t", 4), f.pointer("%t", 5)
    lefts = f.at("%t", 6, "i64")
    rights = f.at(lefts, f.times(pairs, rows), "i64")
    with f.loop(columns, step=COLUMNS_PER_PASS) as part:
        end = f.smaller(f.add(part.index, COLUMNS_PER_PASS), columns)
        with f.loop(rows, step=size) as row:
            full = f.op(f"icmp uge i64 {f.subtract(rows, row.index)}, {size}")
            chosen = f.op(f"select i1 {full}, ptr {whole}, ptr {rest}")
            left = f.at(lefts, row.index, "i64")
            with f.loop(end, first=part.index, step=machine.simd) as column:
                element = f.add(f.times(row.index, columns), column.index)
                to = f.at("%a", f.add(place, f.times(element, 8)), BYTE)
                right = f.at(rights, column.index, "i64")
                operands = f"ptr {left}, i64 {rows}, ptr {right}, i64 {columns}, i64 {pairs}, ptr {to}, ptr %w"
                f.do(f"call void {chosen}({operands}, i64 %blocks, i64 %stride)")
    f.do("ret void")
    return f


@cache
def totals_tile(r: int, pairs_innermost: bool = False) -> KernelWriter:
    """Return the writer of the function that `outer` calls for a tile of `r` rows of totals.

    It loops over pairs and over blocks. If `pairs_innermost` is set, the inner loop goes over pairs, which is faster if
    there are more pairs than blocks.
    """

    def make(machine: Machine, opcode: str) -> Function:
        f = Function(
            KERNEL_PREFIX + f"totals{r}{'_by_pair' if pairs_innermost else ''}",
            "ptr %lefts, i64 %rows, ptr %rights, i64 %columns, i64 %pairs, ptr %to, ptr %w, i64 %blocks, i64 %stride",
        )
        simd = machine.simd
        lanes, align = Lanes(f, simd, machine.fused), 8 * simd

        def factors(pair: str, block: str) -> tuple[list[str], list[str]]:
            left = f.at("%lefts", f.times(pair, "%rows"), "i64")
            right = f.at("%rights", f.times(pair, "%columns"), "i64")
            return [_at(f, block, left, k) for k in range(r)], [_at(f, block, right, k) for k in range(simd)]

        def added(sums: list[str], lefts: Sequence[str], rights: Sequence[str], offset: int | str) -> list[str]:
            for half in range(0, machine.width, simd):
                at = f.add(offset, 8 * half)
                ys = [f.load(lanes.type, f.at(left, at, BYTE), align) for left in lefts]
                for k, right in enumerate(rights):  # loaded one by one, since the sums and `ys` fill the registers
                    x = f.load(lanes.type, f.at(right, at, BYTE), align)
                    places = range(k, r * simd, simd)
                    more = [lanes.multiply_add(y, x, sums[i]) for y, i in zip(ys, places, strict=True)]
                    sums = [more[i // simd] if i % simd == k else accumulator for i, accumulator in enumerate(sums)]
            return sums

        zeros = [(lanes.type, lanes.constant(0.0))] * (r * simd)
        if pairs_innermost:
            with each_block(f, zeros) as (block, begun, sums):
                with f.loop("%pairs", [(lanes.type, accumulator) for accumulator in begun]) as pair:
                    pair.next = added(pair.carried, *factors(pair.index, block), 0)
                sums += pair.next
        else:
            with f.loop("%pairs", zeros) as pair:
                chosen, here = factors(pair.index, "%w"), [(lanes.type, accumulator) for accumulator in pair.carried]
                with f.loop(f.times("%blocks", "%stride"), here, step="%stride") as loop:
                    loop.next = added(loop.carried, *chosen, loop.index)
                pair.next = loop.next
            sums = pair.next
        for k in range(r):
            to = f.at("%to", f.times("%columns", k))
            horizontal_sums = lanes.horizontal_sums(sums[k * simd : (k + 1) * simd])
            f.store(lanes.type, lanes.add(f.load(lanes.type, to), horizontal_sums), to)
        f.do("ret void")
        return f

    return make


def single_totals(machine: Machine, opcode: str) -> Function:
    """Write the kernel that adds a product of two samples to each of some totals.

    Table: the number of totals, padded to whole vectors, the offset of the first total, and the offsets of their
    factors, pair by pair.
    """
    f = Function(KERNEL_PREFIX + "single_totals", KERNEL_ARGUMENTS)
    simd = machine.simd
    lanes, align = Lanes(f, simd, machine.fused), 8 * simd
    to, pairs = _at(f, "%a", "%t", 1), f.at("%t", 2, "i64")
    with f.loop(f.word("%t"), step=simd) as loop:
        chosen = f.at(pairs, f.times(loop.index, 2), "i64")
        factors = [f.word(chosen, k) for k in range(2 * simd)]
        with each_block(f, [(lanes.type, lanes.constant(0.0))] * simd) as (block, sums, after):
            for half in range(0, machine.width, simd):
                start = f.at(block, half)
                xs = [f.load(lanes.type, f.at(start, factor, BYTE), align) for factor in factors]
                sums = [
                    lanes.multiply_add(a, b, accumulator)
                    for a, b, accumulator in zip(xs[::2], xs[1::2], sums, strict=True)
                ]
            after += sums
        place = f.at(to, loop.index)
        f.store(lanes.type, lanes.add(f.load(lanes.type, place), lanes.horizontal_sums(after)), place)
    f.do("ret void")
    return f


def broadcast(machine: Machine, opcode: str) -> Function:
    """Write the kernel that broadcasts scalars to all lanes of a vector in each block.

    Table: the number of scalars, and for each the offset of the vector and that of the scalar.
    """
    f = Function(KERNEL_PREFIX + "broadcast", KERNEL_ARGUMENTS)
    lanes = Lanes(f, machine.width, machine.fused)
    pairs = f.at("%t", 1, "i64")
    with f.loop(f.word("%t")) as loop:
        pair = f.at(pairs, f.times(loop.index, 2), "i64")
        to, x = f.word(pair), lanes.splat(f.load("double", _at(f, "%s", pair, 1)))
        with each_block(f) as (block, _, _):
            f.store(lanes.type, x, f.at(block, to, BYTE), 8 * machine.simd)
    f.do("ret void")
    return f


# Scalars. Where rows are computed one at a time, samples are scalars too.


def row_sums(machine: Machine, opcode: str) -> Function:
    """Write the kernel of sums whose factors are contiguous, like a row of a matrix; vectors run along the products.

    Table: the number of sums, padded to whole vectors, the number of products, the offsets of the first right factor
    and of the first result, and for each sum the offset of its first left factor.
    """
    f = Function(kernel_name("row_sums", opcode), KERNEL_ARGUMENTS)
    simd = machine.simd
    lanes = Lanes(f, simd, machine.fused)
    count, products = f.word("%t"), f.word("%t", 1)
    right, results, lefts = _at(f, "%s", "%t", 2), _at(f, "%s", "%t", 3), f.at("%t", 4, "i64")
    vectors = f.quotient(products, simd)
    whole = f.times(vectors, simd)
    with f.loop(count, step=simd) as sums:
        chosen = [_at(f, "%s", f.at(lefts, sums.index, "i64"), k) for k in range(simd)]
        with f.repeat(vectors, [(lanes.type, lanes.constant(0.0))] * simd) as loop:
            k = f.times(loop.index, simd)
            x = f.load(lanes.type, f.at(right, k))
            for left, accumulator in zip(chosen, loop.carried, strict=True):
                loop.next.append(lanes.multiply_add(f.load(lanes.type, f.at(left, k)), x, accumulator, opcode))
        place = f.at(results, sums.index)
        start = lanes.add(f.load(lanes.type, place), lanes.horizontal_sums(loop.next))
        with f.repeat(f.subtract(products, whole), [(lanes.type, start)]) as rest:
            k = f.add(whole, rest.index)
            x, column = lanes.splat(f.load("double", f.at(right, k))), "poison"
            for lane, left in enumerate(chosen):
                one = f.load("double", f.at(left, k))
                column = f.op(f"insertelement {lanes.type} {column}, double {one}, i32 {lane}")
            [accumulator] = rest.carried
            rest.next = [lanes.multiply_add(column, x, accumulator, opcode)]
        [accumulator] = rest.next
        f.store(lanes.type, accumulator, place)
    f.do("ret void")
    return f


def column_sums(machine: Machine, opcode: str) -> Function:
    """Write the kernel of scalar sums by columns, see `_columns`."""
    return _columns(machine, opcode, "column_sums", "%s")


def column_totals(machine: Machine, opcode: str) -> Function:
    """Write the kernel that adds to totals by columns, see `_columns`."""
    return _columns(machine, opcode, "column_totals", "%a")


def _columns(machine: Machine, opcode: str, called: str, base: str) -> Function:
    """Write a kernel of sums whose results are contiguous, as are their k-th left factors; vectors run along the sums.

    Table: the number of groups of such sums. Then for each group: the number of sums, padded to whole vectors, the
    number of products, the offset of the first result, and for each product the offsets of the first sum's left factor
    and of the right factor, which all sums share.
    """
    f = Function(kernel_name(called, opcode), KERNEL_ARGUMENTS)
    simd = machine.simd
    lanes = Lanes(f, simd, machine.fused)
    with f.loop(f.word("%t"), [("ptr", f.at("%t", 1, "i64"))]) as row:
        [at] = row.carried
        count, products, results, factors = f.word(at), f.word(at, 1), _at(f, base, at, 2), f.at(at, 3, "i64")
        first = "0"
        for vectors in (VECTORS_IN_REGISTERS, 1):
            step = simd * vectors
            chosen = f.quotient(f.subtract(count, first), step)
            with f.repeat(chosen) as sums:
                start = f.add(f.times(sums.index, step), first)
                places = [f.at(results, f.add(start, simd * v)) for v in range(vectors)]
                begun = [(lanes.type, f.load(lanes.type, place)) for place in places]
                with f.loop(products, [*begun, ("ptr", factors)]) as loop:
                    *accumulators, pair = loop.carried
                    left, x = f.at(_at(f, "%s", pair), start), lanes.splat(f.load("double", _at(f, "%s", pair, 1)))
                    for v, accumulator in enumerate(accumulators):
                        y = f.load(lanes.type, f.at(left, simd * v))
                        loop.next.append(lanes.multiply_add(y, x, accumulator, opcode))
                    loop.next.append(f.at(pair, 2, "i64"))
                for accumulator, place in zip(loop.next, places, strict=False):
                    f.store(lanes.type, accumulator, place)
            first = f.times(chosen, step)
        row.next = [f.at(factors, f.times(products, 2), "i64")]
    f.do("ret void")
    return f


def list_sums(machine: Machine, opcode: str) -> Function:
    """Write the kernel of scalar sums one by one, see `_listed`."""
    return _listed(machine, opcode, "list_sums", "%s")


def list_totals(machine: Machine, opcode: str) -> Function:
    """Write the kernel that adds to totals one by one, see `_listed`."""
    return _listed(machine, opcode, "list_totals", "%a")


def _listed(machine: Machine, opcode: str, called: str, base: str) -> Function:
    """Write a kernel of sums with factors anywhere.

    Table: the number of sums. Then for each sum: the offset of the result, the number of products, and the offsets of
    their factors, pair by pair.
    """
    f = Function(kernel_name(called, opcode), KERNEL_ARGUMENTS)
    one = Lanes(f, 1, machine.fused)
    with f.loop(f.word("%t"), [("ptr", f.at("%t", 1, "i64"))]) as item:
        [at] = item.carried
        place, count, pairs = _at(f, base, at), f.word(at, 1), f.at(at, 2, "i64")

        def product(pair: str, k: int, accumulator: str) -> str:
            a, b = (f.load("double", _at(f, "%s", pair, place)) for place in range(2 * k, 2 * k + 2))
            return one.multiply_add(a, b, accumulator, opcode)

        zero = ("double", one.constant(0.0))
        with f.repeat(f.quotient(count, ACCUMULATORS), [("ptr", pairs), *[zero] * ACCUMULATORS]) as loop:
            pair, *parts = loop.carried
            loop.next = [f.at(pair, 2 * ACCUMULATORS, "i64"), *(product(pair, k, part) for k, part in enumerate(parts))]
        rest, *sums = loop.next
        accumulator = f.load("double", place)
        for part in sums:
            accumulator = one.add(accumulator, part)
        with f.repeat(f.op(f"urem i64 {count}, {ACCUMULATORS}"), [("ptr", rest), ("double", accumulator)]) as last:
            [pair, accumulator] = last.carried
            last.next = [f.at(pair, 2, "i64"), product(pair, 0, accumulator)]
        f.store("double", last.next[1], place)
        item.next = last.next[:1]
    f.do("ret void")
    return f


def copy(machine: Machine, opcode: str) -> Function:
    """Write the kernel that copies scalars to contiguous places.

    Table: the number of scalars, the offset of the first place, and the offset of each scalar.
    """
    f = Function(KERNEL_PREFIX + "copy", KERNEL_ARGUMENTS)
    to, places = _at(f, "%s", "%t", 1), f.at("%t", 2, "i64")
    with f.loop(f.word("%t")) as loop:
        f.store("double", f.load("double", _at(f, "%s", places, loop.index)), f.at(to, loop.index))
    f.do("ret void")
    return f


def kernel_name(called: str, opcode: str) -> str:
    """Return the name of a kernel for sums of an opcode, "dot" or "sum"."""
    return KERNEL_PREFIX + (called if opcode == "dot" else f"{called}_{opcode}")
