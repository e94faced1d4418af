"""Write the kernels of long sums, totals and copies, and define what all kernels have in common.

A long sum is a sum of many products. A kernel is a function that all programs share; it reads in a table where its
operands are. The most important kernel multiplies a matrix of scalars by row values. A row value is a value that
depends on the row, a vector in which each lane holds the value for one row of the batch. A row has the numbers of the
arguments of one call. The kernel works in tiles: a few sums for one block of rows stay in registers, so each value that
is loaded is used several times. Totals, which are sums over the rows of the batch, such as the gradient of a matrix,
are computed in tiles, too. Such totals stay in registers for all blocks of a panel, and then their lanes are added up.
Values are scalars if they are computed once for a batch, before its rows or after them, or if rows are computed one at
a time. The lanes of a vector then hold several sums, or several products of one sum. All kernels have the same
arguments:

    %t       the address of the table
    %s       the address of the scalars
    %w       the address of a panel, which consists of blocks; a block has a vector for each row value
    %a       the address of the totals
    %blocks  the number of blocks
    %stride  the size of a block in bytes

A table consists of 64-bit words: counts, offsets in memory, and addresses of functions and of other tables. Offsets are
in bytes, from `%s` for a scalar, from the beginning of a block for a row value, and from `%a` for a total. A long sum
starts from its term, to which the products are added. If the sum has no term, it starts from the constant -0.0.

A function that writes a kernel takes the machine, and whatever distinguishes kernels of one kind from each other, such
as the opcode of sums. It returns the LLVM function; see `Tables.kernel`. The opcode is "dot" if the products of sums
may be computed by FMA, and "sum" if they are rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from ..llvm.lanes import Lanes
from ..llvm.machine import Machine
from ..llvm.operands import Doubles, Integer, Operand, Vector, Words, horizontal_sums
from ..llvm.text import KERNEL_PREFIX, Function, Loop
from ..loops.places import WORD

MAX_TILE_SUMS = 6  # at most so many sums in a tile; each of them takes two vector registers
PRODUCTS_PER_PASS = 256  # products that a tile adds to each sum before the next tile, so row values stay in the cache
COLUMNS_PER_PASS = 32  # columns of totals that are computed at a time, so factors stay in the cache
VECTORS_IN_REGISTERS = 4  # vectors of scalar sums that are accumulated at once
ACCUMULATORS = 4  # partial sums of one scalar sum; an addition then need not wait for the addition before it
KERNEL_ARGUMENTS = "ptr %t, ptr %s, ptr %w, ptr %a, i64 %blocks, i64 %stride"


class Kernel(Function):
    """A kernel that is being written. Its arguments are listed at the top of this module.

    Args:
        name: the kernel's name.
        fma: whether `Vector.multiply_add` multiplies and adds with one rounding.

    Attributes:
        table: the address of the table.
        scalars: the address of the scalars.
        totals: the address of the totals.
        panel: the address of the panel, the number of its blocks, and the size of a block in bytes.
    """

    def __init__(self, name: str, fma: bool = False) -> None:
        super().__init__(name, KERNEL_ARGUMENTS, fma=fma)
        self.table = Words(self, "%t")
        self.scalars = Doubles(self, "%s")
        self.totals = Doubles(self, "%a")
        self.panel = Doubles(self, "%w"), Integer(self, "%blocks"), Integer(self, "%stride")


def fuses(machine: Machine, opcode: str) -> bool:
    """Return whether sums with this opcode, "dot" or "sum", multiply and add with one rounding."""
    return machine.fma and opcode == "dot"


def block_loop(f: Function, carried: Sequence[Operand]) -> AbstractContextManager[Loop]:
    """Write a loop over the blocks of a panel. The loop's index is the offset of the block in bytes.

    A panel is the memory for the rows that are computed at a time; a block has a vector for each row value. `carried`
    has the first loop-carried values, see `Function.loop`.
    """
    blocks, stride = Integer(f, "%blocks"), Integer(f, "%stride")
    return f.loop(blocks * stride, carried, step=stride)


@contextmanager
def each_block(f: Function, carried: Sequence[Operand] = ()) -> Iterator[tuple[Doubles, list[Any], list[Any]]]:
    """Write a loop over blocks of memory, each of which has the values of several rows.

    This is a context manager: the code in its `with` block writes the loop's body. Yield three things: the address of
    the current block, the loop-carried values, and an empty list. The body must append the values for the next
    iteration to the list. After the loop, the list has the last values. `carried` has the first loop-carried values,
    see `Function.loop`.
    """
    with block_loop(f, carried) as loop:
        yield Doubles(f, "%w").bytes(loop.index), loop.carried, loop.next


@contextmanager
def each_block_of(f: Kernel, count: int) -> Iterator[Doubles]:
    """Write a loop over the blocks of a panel, whose vectors have `count` lanes, and yield the address of the block.

    If `count` is 1, the values are scalars, and their address is yielded. This is a context manager: the code in its
    `with` block writes the loop's body.
    """
    if count == 1:
        yield f.scalars
        return
    with each_block(f) as (block, _, _):
        yield block


def load_singly(lanes: Lanes, words: Words, first: Integer | int) -> Vector:
    """Write loads of scalars into the lanes of a vector, and return the vector.

    The offsets of the scalars in memory are in `words`, one after the other, from the index `first` on.
    """
    places, scalars = words + first, Doubles(lanes.f, "%s")
    return lanes.of(scalars.bytes(places[lane])[0] for lane in range(lanes.count))


def operand_loads(lanes: Lanes, word: Words, letter: str) -> Callable[[Integer], Vector]:
    """Return a function that writes code which loads scalars into a vector, one into each lane.

    The returned function takes an index: the scalars from this index on are loaded. How they are loaded depends on a
    letter, which `loops.strides.pattern_of` finds:

        s (splat)   all scalars are the same one; the word is its offset
        v (vector)  the scalars are contiguous; the word is the offset of the first one
        l (list)    the scalars are anywhere; the word is the address of a table with their offsets, in which the last
                    offset is repeated up to whole vectors

    Args:
        lanes: the vectors in the function that is being written.
        word: the address of the word.
        letter: "s", "v" or "l".
    """
    if letter == "l":
        places = word.words(0)
        return lambda first: load_singly(lanes, places, first)
    scalars = Doubles(lanes.f, "%s").bytes(word[0])
    if letter == "v":
        return lambda first: lanes.load(scalars + first)
    same = lanes.splat(scalars[0])
    return lambda first: same


# Rows in lanes.


def matrix(machine: Machine, opcode: str) -> Function:
    """Write the kernel that multiplies a matrix of scalars by a list of row values.

    A row value depends on the row of the batch, and a scalar does not. Each row of the matrix has the left factors of
    one sum.

    The kernel's table has these words, with offsets in bytes: the number of products in each sum, the distance in bytes
    from one scalar of a row of the matrix to the next, the number of tiles, and the offsets of the row values. Then,
    for each tile: the address of its function, and the number of its sums. Then, for each sum of the tile: the offset
    of the result, the offset of the first scalar in the sum's row of the matrix, and the offset of the value from which
    the sum starts. In a tile, all these values are scalars, or all of them are row values.
    """
    f = Kernel(kernel_name("matrix", opcode))
    depth, step, count = (f.table[k] for k in range(3))
    row_values = f.table + 3
    tiles = row_values + depth
    with f.loop(depth, step=PRODUCTS_PER_PASS) as part:
        products = (depth - part.index).minimum(PRODUCTS_PER_PASS)
        chosen = row_values + part.index
        scalars = f.scalars.bytes(part.index * step)
        first = (part.index == 0).to_integer()
        with f.loop(count, [tiles]) as tile:
            [at] = tile.carried
            sums = at + 2
            at.pointer(0).call(sums, first, chosen, products, step, scalars, *f.panel)
            tile.next = [sums + at[1] * 3]
    f.do("ret void")
    return f


def tile(machine: Machine, m: int, starts_in_lanes: bool, opcode: str) -> Function:
    """Write the function that the kernel `matrix` calls for a tile of `m` sums.

    The sums of a tile are computed together, in vector registers. One call adds some products to each sum, for all rows
    that are computed at a time. In the first call for a tile, `%first` is 1. In later calls it is 0, and the sums go on
    from the results of the call before.

    Args:
        machine: the machine that the function is for.
        m: the number of sums.
        starts_in_lanes: whether the value from which a sum starts depends on the row, and is a vector. If not, it is a
            scalar.
        opcode: the opcode of the sums.
    """
    f = Function(
        kernel_name(f"tile{m}{'_from_row_values' if starts_in_lanes else ''}", opcode),
        "ptr %sums, i64 %first, ptr %values, i64 %products, i64 %step, ptr %s, ptr %w, i64 %blocks, i64 %stride",
        fma=fuses(machine, opcode),
    )
    lanes = Lanes(f, machine.width, WORD * machine.simd)
    sums, row_values, scalars = Words(f, "%sums"), Words(f, "%values"), Doubles(f, "%s")
    products, step, is_first = Integer(f, "%products"), Integer(f, "%step"), Integer(f, "%first") != 0
    results, lefts, starts = ([sums[k] for k in range(word, 3 * m, 3)] for word in range(3))
    first_scalars = [scalars.bytes(left) for left in lefts]
    if starts_in_lanes:
        begins = [is_first.select(start, result) for start, result in zip(starts, results, strict=True)]
    else:
        start_scalars = [scalars.bytes(start) for start in starts]
    with each_block(f) as (block, _, _):
        places = [block.bytes(result) for result in results]
        if starts_in_lanes:
            begun = [lanes.load(block.bytes(begin)) for begin in begins]
        else:
            pairs = zip(start_scalars, places, strict=True)
            begun = [is_first.select(lanes.splat(x[0]), lanes.load(place)) for x, place in pairs]
        with f.loop(products, [*begun, Integer(f, "0")]) as loop:
            x = lanes.load(block.bytes(row_values[loop.index]))
            *accumulators, offset = loop.carried
            for left, accumulator in zip(first_scalars, accumulators, strict=True):
                c = lanes.splat(left.bytes(offset)[0])
                loop.next.append(c.multiply_add(x, accumulator))
            loop.next.append(offset + step)
        for accumulator, place in zip(loop.next, places, strict=False):
            lanes.store(accumulator, place)
    f.do("ret void")
    return f


def sum_of_pairs(
    f: Function, start: Vector, count: Integer, pairs: Words, load: Callable[[Words, int], Vector], size: int = 1
) -> tuple[Vector, Words]:
    """Write a loop that adds up products, whose factors a table lists pair by pair.

    Args:
        f: the function that is being written.
        start: the vector from which the sum starts.
        count: the number of products.
        pairs: the address of the list of factors.
        load: a function that writes code which loads a factor, and returns the factor. It takes the address of a pair
            in the list, and the index of the factor's first word in the pair.
        size: how many words a factor has in the list.

    Returns:
        the sum, and the address after the list.
    """
    with f.loop(count, [start, pairs]) as loop:
        accumulator, pair = loop.carried
        a, b = load(pair, 0), load(pair, size)
        loop.next = [a.multiply_add(b, accumulator), pair + 2 * size]
    total, after = loop.next
    return total, after


def inner(machine: Machine, opcode: str) -> Function:
    """Write the kernel of inner products of row values, which depend on the row.

    The kernel's table has these words, with offsets in bytes: the number of sums. Then, for each sum: the offset of the
    result, the offset of the value from which the sum starts, whether this value is a row value, the number of
    products, and the offsets of the factors of these products, pair by pair.
    """
    f = Kernel(kernel_name("inner", opcode), fuses(machine, opcode))
    lanes = Lanes(f, machine.width, WORD * machine.simd)
    with f.loop(f.table[0], [f.table + 1]) as item:
        [at] = item.carried
        result, count, pairs = at[0], at[3], at + 4
        in_lanes = at[2] != 0
        # Both a row value and a scalar are loaded, and the right one is selected. The offset of the other one is 0.
        in_block, scalar = at[1] * in_lanes.to_integer(), f.scalars.bytes(at[1] * (~in_lanes).to_integer())
        with each_block(f) as (block, _, _):
            place = block.bytes(result)

            def load(pair: Words, word: int) -> Vector:
                return lanes.load(block.bytes(pair[word]))

            start = in_lanes.select(lanes.load(block.bytes(in_block)), lanes.splat(scalar[0]))
            total, after = sum_of_pairs(f, start, count, pairs, load)
            lanes.store(total, place)
        item.next = [after]
    f.do("ret void")
    return f


def rows_per_tile(machine: Machine) -> int:
    """Return how many rows of a matrix are computed together in a tile. The entries of the matrix are totals.

    A tile has as many columns as a SIMD vector has lanes. The number of rows is chosen so that all totals of the tile
    stay in vector registers.
    """
    return 3 * machine.registers // 16 if machine.simd <= 4 else 3


def outer(machine: Machine) -> Function:
    """Write the kernel that adds outer products of row values to a matrix of totals, for all rows of a panel.

    A row value depends on the row of the batch, and a total is a sum over these rows. Each outer product multiplies a
    list of left factors, one for each row of the matrix, by a list of right factors, one for each column. "Rows" and
    "columns" below are those of the matrix. A tile is a part of the matrix that is computed in vector registers.

    The kernel's table has these words, with offsets in bytes: the number of outer products, the number of rows, the
    number of columns rounded up to whole SIMD vectors, the offset of the first total, the address of the function for a
    full tile, and the address of the function for the last tile, which may have fewer rows. Then for each outer
    product, the offsets of its left factors. Then for each outer product, the offsets of its right factors, with the
    last offset repeated up to whole SIMD vectors.
    """
    f = Kernel(KERNEL_PREFIX + "outer")
    size = rows_per_tile(machine)
    pairs, rows, columns, place = (f.table[k] for k in range(4))
    whole, rest = f.table.pointer(4), f.table.pointer(5)
    lefts = f.table + 6
    rights = lefts + pairs * rows
    with f.loop(columns, step=COLUMNS_PER_PASS) as part:
        end = (part.index + COLUMNS_PER_PASS).minimum(columns)
        with f.loop(rows, step=size) as row:
            tile = (rows - row.index >= size).select(whole, rest)
            left = lefts + row.index
            with f.loop(end, first=part.index, step=machine.simd) as column:
                element = row.index * columns + column.index
                to = f.totals.bytes(place + element * WORD)
                tile.call(left, rows, rights + column.index, columns, pairs, to, *f.panel)
    f.do("ret void")
    return f


def totals_tile(machine: Machine, r: int, pairs_innermost: bool) -> Function:
    """Write the function that the kernel `outer` calls for a tile with `r` rows of the matrix of totals.

    A total is a sum over the rows of a batch, and a tile is a part of the matrix that is computed in vector registers.
    A pair is the list of left factors and the list of right factors of one outer product. A tile has as many columns as
    a SIMD vector has lanes. For each of its totals, one SIMD vector adds up products, those of one row of the batch in
    each lane:

        for each pair:
            for each block:
                for each SIMD vector of rows of the batch in the block:
                    for each column:
                        for each row of the tile:
                            sums[row, column] += the row's left factors * the column's right factors
        for each row of the tile:
            add the lanes of its sums to its totals, which are contiguous

    If `pairs_innermost` is set, the loop over pairs is inside the loop over blocks, which is faster if there are more
    pairs than blocks.
    """
    f = Function(
        KERNEL_PREFIX + f"totals{r}{'_by_pair' if pairs_innermost else ''}",
        "ptr %lefts, i64 %rows, ptr %rights, i64 %columns, i64 %pairs, ptr %to, ptr %w, i64 %blocks, i64 %stride",
        fma=machine.fma,
    )
    simd = machine.simd
    lanes, align = Lanes(f, simd), WORD * simd
    all_lefts, rows, all_rights = Words(f, "%lefts"), Integer(f, "%rows"), Words(f, "%rights")
    columns, pairs, to = Integer(f, "%columns"), Integer(f, "%pairs"), Doubles(f, "%to")

    def factors(pair: Integer, block: Doubles) -> tuple[list[Doubles], list[Doubles]]:
        left, right = all_lefts + pair * rows, all_rights + pair * columns
        return [block.bytes(left[k]) for k in range(r)], [block.bytes(right[k]) for k in range(simd)]

    def added(
        sums: list[Vector], lefts: Sequence[Doubles], rights: Sequence[Doubles], offset: Integer | int
    ) -> list[Vector]:
        sums = [*sums]  # those of one row of the tile after the other
        for half in range(0, machine.width, simd):
            at = offset + WORD * half
            ys = [lanes.load(left.bytes(at), align) for left in lefts]
            for column, right in enumerate(rights):  # loaded one by one, since `sums` and `ys` fill the registers
                x = lanes.load(right.bytes(at), align)
                for row, y in enumerate(ys):
                    k = row * simd + column
                    sums[k] = y.multiply_add(x, sums[k])
        return sums

    zeros = [lanes.splat(0.0)] * (r * simd)
    if pairs_innermost:
        with each_block(f, zeros) as (block, begun, sums):
            with f.loop(pairs, begun) as pair:
                pair.next = added(pair.carried, *factors(pair.index, block), 0)
            sums += pair.next
    else:
        with f.loop(pairs, zeros) as pair:
            chosen = factors(pair.index, Doubles(f, "%w"))
            with block_loop(f, pair.carried) as loop:
                loop.next = added(loop.carried, *chosen, loop.index)
            pair.next = loop.next
        sums = pair.next
    for row in range(r):
        place = to + columns * row
        of_row = horizontal_sums(sums[row * simd : (row + 1) * simd])
        lanes.store(lanes.load(place) + of_row, place)
    f.do("ret void")
    return f


def single_totals(machine: Machine) -> Function:
    """Write the kernel that adds one product of two row values to each of several contiguous totals.

    A row value depends on the row, and a total is a sum over the rows of a batch.

    The kernel's table has these words, with offsets in bytes: the number of totals rounded up to whole SIMD vectors,
    and the offset of the first total. Then, for each total: the offsets of its two factors.
    """
    f = Kernel(KERNEL_PREFIX + "single_totals", machine.fma)
    simd = machine.simd
    lanes, align = Lanes(f, simd), WORD * simd
    to, pairs = f.totals.bytes(f.table[1]), f.table + 2
    with f.loop(f.table[0], step=simd) as loop:
        chosen = pairs + loop.index * 2
        factors = [chosen[k] for k in range(2 * simd)]
        with each_block(f, [lanes.splat(0.0)] * simd) as (block, sums, after):
            for half in range(0, machine.width, simd):
                start = block + half
                xs = [lanes.load(start.bytes(factor), align) for factor in factors]
                products = zip(xs[::2], xs[1::2], sums, strict=True)
                sums = [a.multiply_add(b, accumulator) for a, b, accumulator in products]
            after += sums
        place = to + loop.index
        lanes.store(lanes.load(place) + horizontal_sums(after), place)
    f.do("ret void")
    return f


def broadcast(machine: Machine) -> Function:
    """Write the kernel that copies scalars, each to all lanes of a vector in each block of a panel.

    The kernel's table has these words, with offsets in bytes: the number of scalars. Then, for each scalar: the offset
    of its vector in a block, and the offset of the scalar.
    """
    f = Kernel(KERNEL_PREFIX + "broadcast")
    lanes = Lanes(f, machine.width)
    pairs = f.table + 1
    with f.loop(f.table[0]) as loop:
        pair = pairs + loop.index * 2
        to, x = pair[0], lanes.splat(f.scalars.bytes(pair[1])[0])
        with each_block(f) as (block, _, _):
            lanes.store(x, block.bytes(to), WORD * machine.simd)
    f.do("ret void")
    return f


# Scalars. If rows are computed one at a time, row values are scalars, too.


def row_sums(machine: Machine, letter: str, opcode: str) -> Function:
    """Write the kernel that multiplies a matrix of scalars, in row-major order, by a list of scalars.

    The left factors of each sum are a row of the matrix, so they are contiguous. The right factors of all sums are the
    list, which is contiguous, too. The lanes of a vector hold several products of one sum.

    The kernel's table has these words, with offsets in bytes: the number of sums rounded up to whole SIMD vectors, the
    number of products in each sum, the offset of the first right factor, the offset of the first result, and a word for
    the values from which the sums start. `letter` says what this word is; see `operand_loads`. Then the offsets of the
    first left factor of each sum.
    """
    f = Kernel(kernel_name(f"row_sums_{letter}", opcode), fuses(machine, opcode))
    simd = machine.simd
    lanes = Lanes(f, simd)
    count, products = f.table[0], f.table[1]
    right, results, lefts = f.scalars.bytes(f.table[2]), f.scalars.bytes(f.table[3]), f.table + 5
    starts = operand_loads(lanes, f.table + 4, letter)
    vectors = products // simd
    whole = vectors * simd
    with f.loop(count, step=simd) as sums:
        chosen = [f.scalars.bytes((lefts + sums.index)[k]) for k in range(simd)]
        with f.repeat(vectors, [lanes.splat(0.0)] * simd) as loop:
            k = loop.index * simd
            x = lanes.load(right + k)
            for left, accumulator in zip(chosen, loop.carried, strict=True):
                loop.next.append(lanes.load(left + k).multiply_add(x, accumulator))
        place = results + sums.index
        start = starts(sums.index) + horizontal_sums(loop.next)
        with f.repeat(products - whole, [start]) as rest:
            k = whole + rest.index
            x = lanes.splat(right[k])
            column = lanes.of(left[k] for left in chosen)
            [accumulator] = rest.carried
            rest.next = [column.multiply_add(x, accumulator)]
        [accumulator] = rest.next
        lanes.store(accumulator, place)
    f.do("ret void")
    return f


def column_sums(machine: Machine, letter: str, opcode: str) -> Function:
    """Write the kernel that multiplies column-major matrices of scalars by lists of scalars.

    `_columns` describes the kernel's table, and what `letter` says about the values from which the sums start.
    """
    f = Kernel(kernel_name(f"column_sums_{letter}", opcode), fuses(machine, opcode))
    return _columns(machine, f, f.scalars, letter)


def column_totals(machine: Machine) -> Function:
    """Write the kernel that multiplies column-major matrices by lists of scalars, and adds the results to totals.

    A total is a sum over the rows of a batch. `_columns` describes the kernel's table.
    """
    f = Kernel(KERNEL_PREFIX + "column_totals", machine.fma)
    return _columns(machine, f, f.totals)


def _columns(machine: Machine, f: Kernel, base: Doubles, letter: str = "") -> Function:
    """Write a kernel that multiplies matrices of scalars, stored in column-major order, by vectors of scalars.

    The results of one matrix are a group of sums. The left factors of each sum are a row of the matrix, so the k-th
    left factors of all sums are contiguous, for each k. The right factors of each sum are the vector's entries. The
    results are contiguous, too. The lanes of a SIMD register hold several sums.

    The kernel's table has these words, with offsets in bytes: the number of groups. Then, for each group: the number of
    sums rounded up to whole SIMD vectors, the number of products in each sum, the offset of the first result and, if
    `letter` is not "", a word that says where the start values of the sums are. Then, for each k: the offset of the
    first sum's k-th left factor, and the offset of the k-th right factor.

    Args:
        machine: the machine that the kernel is for.
        f: the kernel.
        base: the kernel's argument from which the results' offsets count: the address of the scalars, or of the totals.
        letter: what the word for the start values means, as in `operand_loads`. If it is "", there is no such word, and
            each sum is added to the number that is stored where its result goes.
    """
    simd = machine.simd
    lanes = Lanes(f, simd)
    with f.loop(f.table[0], [f.table + 1]) as row:
        [at] = row.carried
        count, products, results = at[0], at[1], base.bytes(at[2])
        factors = at + 4 if letter else at + 3
        starts = operand_loads(lanes, at + 3, letter) if letter else lambda first: lanes.load(results + first)
        first = Integer(f, "0")
        for vectors in (VECTORS_IN_REGISTERS, 1):
            step = simd * vectors
            chosen = (count - first) // step
            with f.repeat(chosen) as sums:
                start = sums.index * step + first
                firsts = [start + simd * v for v in range(vectors)]
                places = [results + k for k in firsts]
                with f.loop(products, [*map(starts, firsts), factors]) as loop:
                    *accumulators, pair = loop.carried
                    left, x = f.scalars.bytes(pair[0]) + start, lanes.splat(f.scalars.bytes(pair[1])[0])
                    for v, accumulator in enumerate(accumulators):
                        y = lanes.load(left + simd * v)
                        loop.next.append(y.multiply_add(x, accumulator))
                    loop.next.append(pair + 2)
                for accumulator, place in zip(loop.next, places, strict=False):
                    lanes.store(accumulator, place)
            first = chosen * step
        row.next = [factors + products * 2]
    f.do("ret void")
    return f


def list_sums(machine: Machine, opcode: str) -> Function:
    """Write the kernel that computes scalar sums one by one, see `_one_by_one`."""
    f = Kernel(kernel_name("list_sums", opcode), fuses(machine, opcode))
    return _one_by_one(f, f.scalars)


def list_totals(machine: Machine) -> Function:
    """Write the kernel that computes scalar sums one by one, and adds them to totals, see `_one_by_one`.

    A total is a sum over the rows of a batch.
    """
    f = Kernel(KERNEL_PREFIX + "list_totals", machine.fma)
    return _one_by_one(f, f.totals)


def _one_by_one(f: Kernel, base: Doubles) -> Function:
    """Write a kernel of scalar sums whose factors may be anywhere among the scalars in memory.

    The kernel's table has these words, with offsets in bytes: the number of sums. Then, for each sum: the offset of the
    result, the offset of the value from which the sum starts, the number of products, and the offsets of the factors of
    these products, pair by pair.

    Args:
        f: the kernel.
        base: the kernel's argument from which the offsets of results and starts count: the address of the scalars, or
            of the totals.
    """
    with f.loop(f.table[0], [f.table + 1]) as item:
        [at] = item.carried
        result, start, count, pairs = base.bytes(at[0]), base.bytes(at[1]), at[2], at + 3

        def product(pair: Words, k: int, accumulator: Vector) -> Vector:
            a, b = (f.scalars.bytes(pair[word])[0] for word in range(2 * k, 2 * k + 2))
            return a.multiply_add(b, accumulator)

        zeros = [Lanes(f, 1).splat(0.0)] * ACCUMULATORS
        with f.repeat(count // ACCUMULATORS, [pairs, *zeros]) as loop:
            pair, *parts = loop.carried
            loop.next = [pair + 2 * ACCUMULATORS, *(product(pair, k, part) for k, part in enumerate(parts))]
        rest, *sums = loop.next
        accumulator = start[0]
        for part in sums:
            accumulator = accumulator + part
        with f.repeat(count % ACCUMULATORS, [rest, accumulator]) as last:
            [pair, accumulator] = last.carried
            last.next = [pair + 2, product(pair, 0, accumulator)]
        result[0] = last.next[1]
        item.next = last.next[:1]
    f.do("ret void")
    return f


def copy(machine: Machine) -> Function:
    """Write the kernel that copies scalars to contiguous places in memory.

    The kernel's table has these words, with offsets in bytes: the number of scalars, the offset of the first of these
    places, and the offset of each scalar.
    """
    f = Kernel(KERNEL_PREFIX + "copy")
    to, places = f.scalars.bytes(f.table[1]), f.table + 2
    with f.loop(f.table[0]) as loop:
        to[loop.index] = f.scalars.bytes(places[loop.index])[0]
    f.do("ret void")
    return f


def kernel_name(called: str, opcode: str) -> str:
    """Return the LLVM name of the kernel with the short name `called`.

    `opcode` is the opcode of the sums that the kernel computes: "dot" or "sum".
    """
    return KERNEL_PREFIX + (called if opcode == "dot" else f"{called}_{opcode}")
