"""Write the kernels of long sums, which have many products.

A kernel is a function that all programs share; it reads in a table where its operands are. The most important kernel
multiplies a matrix of scalars by vectors of samples. Here a sample is a value that depends on the row, and each lane of
a vector holds the value for one row of the batch. A row has the numbers of the arguments of one call. The kernel works
in tiles: a few sums for one block of rows stay in registers, so each value that is loaded is used several times.
Totals, which are sums over the rows of the batch, such as the gradient of a matrix, are computed in tiles, too. Such
totals stay in registers for all rows of a panel, and then their lanes are added up. In phases BATCH and AFTER, and if
rows are computed one at a time, values are scalars. The lanes of a vector then hold several sums, or several products
of one sum.

All kernels have the same arguments:

    %t       the address of the table
    %s       the address of the scalars
    %w       the address of a panel, which consists of blocks; a block has a vector for each sample
    %a       the address of the totals
    %blocks  the count of blocks
    %stride  the size of a block in bytes

A table consists of 64-bit words: counts, offsets in memory, and addresses of functions and of other tables. Offsets are
in bytes, from `%s` for a scalar, from the beginning of a block for a sample, and from `%a` for a total. A sum starts
from the value that is stored in the place of its result, unless the table has a start code for a constant, see
`start_code`.

A function that writes a kernel takes the machine and an opcode, and returns the LLVM function. The opcode is "dot" if
the products of sums may be computed by FMA, and "sum" if they are rounded. Kernels without sums ignore the opcode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache

from ..llvm.lanes import Lanes
from ..llvm.machine import Machine
from ..llvm.text import BYTE, KERNEL_PREFIX, Function

MAX_TILE_SUMS = 6  # at most so many sums in a tile; each of them takes two vector registers
PRODUCTS_PER_PASS = 256  # products that a tile adds to each sum before the next tile, so samples stay in the cache
COLUMNS_PER_PASS = 32  # columns of totals that are computed at a time, so factors stay in the cache
VECTORS_IN_REGISTERS = 4  # vectors of scalar sums that are accumulated at once
ACCUMULATORS = 4  # partial sums of one scalar sum; an addition then need not wait for the addition before it
KERNEL_ARGUMENTS = "ptr %t, ptr %s, ptr %w, ptr %a, i64 %blocks, i64 %stride"

KernelWriter = Callable[[Machine, str], Function]


@contextmanager
def each_block(f: Function, carried: Sequence[tuple[str, str]] = ()) -> Iterator[tuple[str, list[str], list[str]]]:
    """Write a loop over the blocks of a panel. The `with` block writes the loop's body.

    Yield three things: the address of the current block, the names of the loop-carried values, and a list. The body
    must append the names of the values in the next iteration to the list. After the loop, the list has the names of the
    last values. `carried` has the types and first values of the loop-carried values.
    """
    with f.loop(f.times("%blocks", "%stride"), carried, step="%stride") as loop:
        yield f.at("%w", loop.index, BYTE), loop.carried, loop.next


def _at(f: Function, base: str, table: str, index: int | str = 0) -> str:
    """Write the address `base` plus the offset in word `index` of a table, and return the address's name."""
    return f.at(base, f.word(table, index), BYTE)


# Rows in lanes.

# For each start code, a word of a table, the value that sums start from. None stands for the value that is stored in
# the place of the result.
STARTS = (None, 0.0, -0.0)


def start_code(x: float | None) -> int:
    """Return the start code of `x`, the word in a table that tells a kernel which value its sums start from.

    `x` is a constant, or None if each sum starts from the value that is stored in the place of its result.

    >>> start_code(None), start_code(0.0), start_code(-0.0)
    (0, 1, 2)
    """
    return [*map(repr, STARTS)].index(repr(x))


def _start(lanes: Lanes, first: str, place: str, align: int) -> str:
    """Write instructions that choose the vector from which a sum starts, and return the vector's name.

    Args:
        lanes: the writer of vector operations.
        first: the LLVM name of the start code, see `start_code`.
        place: the address of the result.
        align: the alignment of this address in bytes.
    """
    f = lanes.f
    held = f.load(lanes.type, place, align)
    zero = f.op(f"select i1 {f.op(f'icmp eq i64 {first}, 1')}, double 0.0, double -0.0")
    fresh = f.op(f"icmp ne i64 {first}, 0")
    return f.op(f"select i1 {fresh}, {lanes.type} {lanes.splat(zero)}, {lanes.type} {held}")


def matrix(machine: Machine, opcode: str) -> Function:
    """Write the kernel that multiplies a matrix of scalars by a vector of values that differ from sample to sample.

    Each row of the matrix has the left factors of one sum. The start code says what the sums start from, see
    `start_code`.

    The kernel's table, with offsets in bytes: the count of products in each sum, the distance in bytes from one scalar
    of a row of the matrix to the next, the count of tiles, the start code, and the offsets of the samples. Then, for
    each tile: the address of its function, and the count of its sums. Then, for each sum of the tile: the offset of the
    result, and the offset of the first scalar in the sum's row of the matrix.
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
    """Return the writer of the function that the kernel `matrix` calls for a tile of `m` sums.

    The sums of a tile are computed together, in vector registers. One call computes the sums for all blocks of a panel.
    """

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
    """Write the kernel of inner products of samples, values that depend on the row.

    The kernel's table, with offsets in bytes: the count of sums and the start code. Then, for each sum: the offset of
    the result, the count of products, and the offsets of the factors of these products, pair by pair.
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
    """Return how many rows of a matrix are computed together in a tile. The entries of the matrix are totals.

    A tile has as many columns as a SIMD vector has lanes. The count of rows is chosen so that the tile fills the vector
    registers.
    """
    return 3 * machine.registers // 16 if machine.simd <= 4 else 3


def outer(machine: Machine, opcode: str) -> Function:
    """Write the kernel that adds outer products of samples to a matrix of totals, for all rows of the batch in a panel.

    A sample is a value that depends on the row of the batch, and a total is a sum over these rows. Each outer product
    multiplies a list of left factors, one for each row of the matrix, by a list of right factors, one for each column.
    "Rows" and "columns" below are those of the matrix. A tile is a part of the matrix that is computed in vector
    registers.

    The kernel's table, with offsets in bytes: the count of outer products, the count of rows, the count of columns
    rounded up to whole SIMD vectors, the offset of the first total, the address of the function for a full tile, and
    the address of the function for the last tile, which may have fewer rows. Then for each outer product, the offsets
    of its left factors. Then for each outer product, the offsets of its right factors, with the last offset repeated up
    to whole SIMD vectors.
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
    """Return the writer of the function that the kernel `outer` calls for a tile with `r` rows of the matrix of totals.

    A total is a sum over the rows of a batch, and a tile is a part of the matrix that is computed in vector registers.
    A pair is the list of left factors and the list of right factors of one outer product. The function for a tile has a
    loop over pairs and a loop over blocks. If `pairs_innermost` is set, the inner loop is the one over pairs, which is
    faster if there are more pairs than blocks.
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
                for k, right in enumerate(rights):  # loaded one by one, since `sums` and `ys` fill the registers
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
    """Write the kernel that adds one product of two samples to each of several contiguous totals.

    A sample is a value that depends on the row, and a total is a sum over the rows of a batch.

    The kernel's table, with offsets in bytes: the count of totals rounded up to whole SIMD vectors, and the offset of
    the first total. Then, for each total: the offsets of its two factors.
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
    """Write the kernel that copies scalars, each to all lanes of a vector in each block of a panel.

    The kernel's table, with offsets in bytes: the count of scalars. Then, for each scalar: the offset of its vector in
    a block, and the offset of the scalar.
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


# Scalars. If rows are computed one at a time, samples are scalars too.


def row_sums(machine: Machine, opcode: str) -> Function:
    """Write the kernel of scalar sums whose left factors are the rows of a matrix in row-major order.

    The left factors of each sum are therefore contiguous. All sums have the same right factors, which are contiguous,
    too. The lanes of a vector hold several products of one sum.

    The kernel's table, with offsets in bytes: the count of sums rounded up to whole SIMD vectors, the count of products
    in each sum, the offset of the first right factor, and the offset of the first result. Then, for each sum: the
    offset of its first left factor.
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
    """Write the kernel of scalar sums whose left factors are a matrix in column-major order, see `_columns`."""
    return _columns(machine, opcode, "column_sums", "%s")


def column_totals(machine: Machine, opcode: str) -> Function:
    """Write the kernel that adds sums to totals, with left factors in column-major order, see `_columns`."""
    return _columns(machine, opcode, "column_totals", "%a")


def _columns(machine: Machine, opcode: str, called: str, base: str) -> Function:
    """Write a kernel of scalar sums whose left factors are the rows of a matrix in column-major order.

    For each k, the k-th left factors of all sums are therefore contiguous. The results are contiguous too, and all sums
    have the same right factors. The lanes of a vector hold several sums. One table may have several groups of such
    sums.

    The kernel's table, with offsets in bytes: the count of groups. Then, for each group: the count of sums rounded up
    to whole SIMD vectors, the count of products in each sum, and the offset of the first result. Then, for each k: the
    offset of the first sum's k-th left factor, and the offset of the k-th right factor.

    Args:
        machine: the machine.
        opcode: "dot" or "sum".
        called: the kernel's short name.
        base: the kernel's argument from which the results' offsets count: "%s", the address of the scalars, or "%a",
            the address of the totals.
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
    """Write the kernel that computes scalar sums one by one, see `_listed`."""
    return _listed(machine, opcode, "list_sums", "%s")


def list_totals(machine: Machine, opcode: str) -> Function:
    """Write the kernel that adds sums to totals, sums over the rows of a batch, one by one, see `_listed`."""
    return _listed(machine, opcode, "list_totals", "%a")


def _listed(machine: Machine, opcode: str, called: str, base: str) -> Function:
    """Write a kernel of scalar sums whose factors may be anywhere among the scalars in memory.

    The kernel's table, with offsets in bytes: the count of sums. Then, for each sum: the offset of the result, the
    count of products, and the offsets of the factors of these products, pair by pair.

    Args:
        machine: the machine.
        opcode: "dot" or "sum".
        called: the kernel's short name.
        base: the kernel's argument from which the results' offsets count: "%s", the address of the scalars, or "%a",
            the address of the totals.
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
    """Write the kernel that copies scalars to contiguous places in memory.

    The kernel's table, with offsets in bytes: the count of scalars, the offset of the first of these places, and the
    offset of each scalar.
    """
    f = Function(KERNEL_PREFIX + "copy", KERNEL_ARGUMENTS)
    to, places = _at(f, "%s", "%t", 1), f.at("%t", 2, "i64")
    with f.loop(f.word("%t")) as loop:
        f.store("double", f.load("double", _at(f, "%s", places, loop.index)), f.at(to, loop.index))
    f.do("ret void")
    return f


def kernel_name(called: str, opcode: str) -> str:
    """Return the LLVM name of a kernel with the short name `called`, for sums of the opcode "dot" or "sum"."""
    return KERNEL_PREFIX + (called if opcode == "dot" else f"{called}_{opcode}")
