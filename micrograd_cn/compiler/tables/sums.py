"""Sums of many products, as functions that all programs share: each goes through a table of where its operands are.

A matrix by vectors is the heart of it: sums with the same right factors, a row of the batch in each lane, in tiles of a
few sums by one block of rows, so that the sums stay in registers and each number that is loaded is used several times.
Totals over the rows, such as the gradients of a matrix, are tiles too: they stay in registers for all rows of a panel,
and their lanes are added up at the end. For a single row, and for what depends on
parameters alone, vectors run along the sums or along their products instead.

All functions have the same operands: `%t`, their table; `%s`, scalars; `%w`, the first block of a panel; `%a`, totals;
`%blocks`, how many blocks; `%stride`, the bytes of one. Tables hold counts, and offsets in bytes. A sum starts from
what its place holds; sums of samples from a constant where tables say so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache

from ..llvm.lanes import Lanes
from ..llvm.machine import Machine
from ..llvm.text import BYTE, KERNEL_PREFIX, Function

TILE = 6  # sums in registers, of two vectors each
DEPTH = 256  # products of each before the next tile: their operands stay in the cache
NEAR_COLUMNS = 32  # columns of such tiles whose operands stay in the cache
IN_REGISTERS = 4  # vectors of sums of scalars
ACCUMULATORS = 4  # sums into which one sum of scalars is divided, which need not wait for each other
KERNEL_ARGUMENTS = "ptr %t, ptr %s, ptr %w, ptr %a, i64 %blocks, i64 %stride"

KernelWriter = Callable[[Machine, str], Function]


@contextmanager
def each_block(f: Function, carried: Sequence[tuple[str, str]] = ()) -> Iterator[tuple[str, list[str], list[str]]]:
    """Repeat for every block of a panel: its address, what is carried, and the list of what is carried on."""
    with f.loop(f.times("%blocks", "%stride"), carried, step="%stride") as loop:
        yield f.at("%w", loop.index, BYTE), loop.carried, loop.next


def _at(f: Function, base: str, table: str, index: int | str = 0) -> str:
    """Return the address that an offset of a table means."""
    return f.at(base, f.word(table, index), BYTE)


# Rows in lanes.

FIRSTS = (None, 0.0, -0.0)  # what sums of samples start from, by its number in tables; None for what their places hold


def number_of_first(x: float | None) -> int:
    """Return the number that tables have for what sums start from.

    >>> number_of_first(None), number_of_first(0.0), number_of_first(-0.0)
    (0, 1, 2)
    """
    return [*map(repr, FIRSTS)].index(repr(x))


def _begun(lanes: Lanes, first: str, place: str, align: int) -> str:
    """Return what a sum starts from: a constant, or what its place holds."""
    f = lanes.f
    held = f.load(lanes.type, place, align)
    zero = f.op(f"select i1 {f.op(f'icmp eq i64 {first}, 1')}, double 0.0, double -0.0")
    fresh = f.op(f"icmp ne i64 {first}, 0")
    return f.op(f"select i1 {fresh}, {lanes.type} {lanes.splat(zero)}, {lanes.type} {held}")


def matrix(machine: Machine, opcode: str) -> Function:
    """Write sums of scalars by samples with the same samples.

    Table: products, bytes between the scalars of a sum, tiles, what the sums start from, the samples; for each
    tile its function, how many sums; for each sum its result and its first scalar.
    """
    f = Function(name("matrix", opcode), KERNEL_ARGUMENTS)
    depth, step, count, begin = (f.word("%t", k) for k in range(4))
    samples = f.at("%t", 4, "i64")
    first = f.at(samples, depth, "i64")
    with f.loop(depth, step=DEPTH) as part:
        products = f.smaller(f.subtract(depth, part.index), DEPTH)
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
    """Return what writes `m` sums for all blocks of a panel."""

    def make(machine: Machine, opcode: str) -> Function:
        f = Function(
            name(f"tile{m}", opcode),
            "ptr %sums, i64 %first, ptr %samples, i64 %products, i64 %step, ptr %s, ptr %w, i64 %blocks, i64 %stride",
        )
        lanes, align = Lanes(f, machine.width, machine.fused), 8 * machine.simd
        results = [f.word("%sums", k) for k in range(0, 2 * m, 2)]
        scalars = [_at(f, "%s", "%sums", k) for k in range(1, 2 * m, 2)]
        with each_block(f) as (block, _, _):
            places = [f.at(block, result, BYTE) for result in results]
            starts = [(lanes.type, _begun(lanes, "%first", place, align)) for place in places]
            with f.loop("%products", [*starts, ("i64", "0")]) as loop:
                x = f.load(lanes.type, _at(f, block, "%samples", loop.index), align)
                *totals, offset = loop.carried
                for scalar, total in zip(scalars, totals, strict=True):
                    c = lanes.splat(f.load("double", f.at(scalar, offset, BYTE)))
                    loop.next.append(lanes.multiply_add(c, x, total, opcode))
                loop.next.append(f.add(offset, "%step"))
            for total, place in zip(loop.next, places, strict=False):
                f.store(lanes.type, total, place, align)
        f.do("ret void")
        return f

    return make


def inner(machine: Machine, opcode: str) -> Function:
    """Write sums of samples by samples.

    Table: how many, what they start from; for each its result, how many products, and their factors.
    """
    f = Function(name("inner", opcode), KERNEL_ARGUMENTS)
    first = f.word("%t", 1)
    lanes, align = Lanes(f, machine.width, machine.fused), 8 * machine.simd
    with f.loop(f.word("%t"), [("ptr", f.at("%t", 2, "i64"))]) as item:
        [at] = item.carried
        result, count, pairs = f.word(at), f.word(at, 1), f.at(at, 2, "i64")
        with each_block(f) as (block, _, _):
            place = f.at(block, result, BYTE)
            with f.loop(count, [(lanes.type, _begun(lanes, first, place, align)), ("ptr", pairs)]) as loop:
                [total, pair] = loop.carried
                a, b = (f.load(lanes.type, _at(f, block, pair, k), align) for k in range(2))
                loop.next = [lanes.multiply_add(a, b, total, opcode), f.at(pair, 2, "i64")]
            f.store(lanes.type, loop.next[0], place, align)
        item.next = loop.next[1:]
    f.do("ret void")
    return f


def rows_of(machine: Machine) -> int:
    """Return the rows of a tile of totals, which fill the registers; its columns are the lanes of a SIMD vector."""
    return 3 * machine.registers // 16 if machine.simd <= 4 else 3


def outer(machine: Machine, opcode: str) -> Function:
    """Write totals of all products of some samples with others, over the rows of a panel and over several such pairs.

    Table: pairs, rows and columns of the totals, their place, the functions for a tile and for the rows left over, the
    rows' factors pair by pair, and the columns', which fill whole SIMD vectors.
    """
    f = Function(KERNEL_PREFIX + "outer", KERNEL_ARGUMENTS)
    size = rows_of(machine)
    pairs, rows, columns, place = (f.word("%t", k) for k in range(4))
    whole, rest = f.pointer("%t", 4), f.pointer("%t", 5)
    lefts = f.at("%t", 6, "i64")
    rights = f.at(lefts, f.times(pairs, rows), "i64")
    with f.loop(columns, step=NEAR_COLUMNS) as part:
        end = f.smaller(f.add(part.index, NEAR_COLUMNS), columns)
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
def totals(r: int, pairs_inside: bool = False) -> KernelWriter:
    """Return what writes a tile of totals: `r` rows, and as many columns as a SIMD vector has lanes.

    The loop that is inside goes through blocks, or through pairs, which is faster where there are more of these.
    """

    def make(machine: Machine, opcode: str) -> Function:
        f = Function(
            KERNEL_PREFIX + f"totals{r}{'_by_pair' if pairs_inside else ''}",
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
                for k, right in enumerate(rights):  # one after the other, since sums and `ys` fill the registers
                    x = f.load(lanes.type, f.at(right, at, BYTE), align)
                    places = range(k, r * simd, simd)
                    more = [lanes.multiply_add(y, x, sums[i]) for y, i in zip(ys, places, strict=True)]
                    sums = [more[i // simd] if i % simd == k else total for i, total in enumerate(sums)]
            return sums

        zeros = [(lanes.type, lanes.constant(0.0))] * (r * simd)
        if pairs_inside:
            with each_block(f, zeros) as (block, begun, sums):
                with f.loop("%pairs", [(lanes.type, total) for total in begun]) as pair:
                    pair.next = added(pair.carried, *factors(pair.index, block), 0)
                sums += pair.next
        else:
            with f.loop("%pairs", zeros) as pair:
                chosen, here = factors(pair.index, "%w"), [(lanes.type, total) for total in pair.carried]
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
    """Write totals of one product each. Table: how many, in whole SIMD vectors; their place; their factors."""
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
                sums = [lanes.multiply_add(a, b, total) for a, b, total in zip(xs[::2], xs[1::2], sums, strict=True)]
            after += sums
        place = f.at(to, loop.index)
        f.store(lanes.type, lanes.add(f.load(lanes.type, place), lanes.horizontal_sums(after)), place)
    f.do("ret void")
    return f


def broadcast(machine: Machine, opcode: str) -> Function:
    """Write scalars into all lanes. Table: how many; for each where to, and the scalar."""
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


# Scalars, and samples of a single row, which are scalars too.


def row_sums(machine: Machine, opcode: str) -> Function:
    """Write sums of neighbouring factors, several sums side by side.

    Table: how many, in whole SIMD vectors; products; the first right factor; the first result; for each sum its first
    left factor.
    """
    f = Function(name("row_sums", opcode), KERNEL_ARGUMENTS)
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
            for left, total in zip(chosen, loop.carried, strict=True):
                loop.next.append(lanes.multiply_add(f.load(lanes.type, f.at(left, k)), x, total, opcode))
        place = f.at(results, sums.index)
        start = lanes.add(f.load(lanes.type, place), lanes.horizontal_sums(loop.next))
        with f.repeat(f.subtract(products, whole), [(lanes.type, start)]) as rest:
            k = f.add(whole, rest.index)
            x, column = lanes.splat(f.load("double", f.at(right, k))), "poison"
            for lane, left in enumerate(chosen):
                one = f.load("double", f.at(left, k))
                column = f.op(f"insertelement {lanes.type} {column}, double {one}, i32 {lane}")
            [total] = rest.carried
            rest.next = [lanes.multiply_add(column, x, total, opcode)]
        [total] = rest.next
        f.store(lanes.type, total, place)
    f.do("ret void")
    return f


def column_sums(machine: Machine, opcode: str) -> Function:
    """Write sums as `_columns` does."""
    return _columns(machine, opcode, "column_sums", "%s")


def column_totals(machine: Machine, opcode: str) -> Function:
    """Add to totals as `_columns` does."""
    return _columns(machine, opcode, "column_totals", "%a")


def _columns(machine: Machine, opcode: str, called: str, base: str) -> Function:
    """Write sums whose results are neighbours, and so are their k-th left factors.

    Table: how many rows of such sums; for each how many sums, in whole SIMD vectors; products; the first result; for
    each product the first sum's left factor, and the right one, which is that of all.
    """
    f = Function(name(called, opcode), KERNEL_ARGUMENTS)
    simd = machine.simd
    lanes = Lanes(f, simd, machine.fused)
    with f.loop(f.word("%t"), [("ptr", f.at("%t", 1, "i64"))]) as row:
        [at] = row.carried
        count, products, results, factors = f.word(at), f.word(at, 1), _at(f, base, at, 2), f.at(at, 3, "i64")
        first = "0"
        for vectors in (IN_REGISTERS, 1):
            step = simd * vectors
            chosen = f.quotient(f.subtract(count, first), step)
            with f.repeat(chosen) as sums:
                start = f.add(f.times(sums.index, step), first)
                places = [f.at(results, f.add(start, simd * v)) for v in range(vectors)]
                begun = [(lanes.type, f.load(lanes.type, place)) for place in places]
                with f.loop(products, [*begun, ("ptr", factors)]) as loop:
                    *totals_, pair = loop.carried
                    left, x = f.at(_at(f, "%s", pair), start), lanes.splat(f.load("double", _at(f, "%s", pair, 1)))
                    for v, total in enumerate(totals_):
                        y = f.load(lanes.type, f.at(left, simd * v))
                        loop.next.append(lanes.multiply_add(y, x, total, opcode))
                    loop.next.append(f.at(pair, 2, "i64"))
                for total, place in zip(loop.next, places, strict=False):
                    f.store(lanes.type, total, place)
            first = f.times(chosen, step)
        row.next = [f.at(factors, f.times(products, 2), "i64")]
    f.do("ret void")
    return f


def list_sums(machine: Machine, opcode: str) -> Function:
    """Write sums as `_listed` does."""
    return _listed(machine, opcode, "list_sums", "%s")


def list_totals(machine: Machine, opcode: str) -> Function:
    """Add to totals as `_listed` does."""
    return _listed(machine, opcode, "list_totals", "%a")


def _listed(machine: Machine, opcode: str, called: str, base: str) -> Function:
    """Write sums of any factors. Table: how many; for each its result, how many products, and their factors."""
    f = Function(name(called, opcode), KERNEL_ARGUMENTS)
    one = Lanes(f, 1, machine.fused)
    with f.loop(f.word("%t"), [("ptr", f.at("%t", 1, "i64"))]) as item:
        [at] = item.carried
        place, count, pairs = _at(f, base, at), f.word(at, 1), f.at(at, 2, "i64")

        def product(pair: str, k: int, total: str) -> str:
            a, b = (f.load("double", _at(f, "%s", pair, place)) for place in range(2 * k, 2 * k + 2))
            return one.multiply_add(a, b, total, opcode)

        zero = ("double", one.constant(0.0))
        with f.repeat(f.quotient(count, ACCUMULATORS), [("ptr", pairs), *[zero] * ACCUMULATORS]) as loop:
            pair, *parts = loop.carried
            loop.next = [f.at(pair, 2 * ACCUMULATORS, "i64"), *(product(pair, k, part) for k, part in enumerate(parts))]
        rest, *sums = loop.next
        total = f.load("double", place)
        for part in sums:
            total = one.add(total, part)
        with f.repeat(f.op(f"urem i64 {count}, {ACCUMULATORS}"), [("ptr", rest), ("double", total)]) as last:
            [pair, total] = last.carried
            last.next = [f.at(pair, 2, "i64"), product(pair, 0, total)]
        f.store("double", last.next[1], place)
        item.next = last.next[:1]
    f.do("ret void")
    return f


def copy(machine: Machine, opcode: str) -> Function:
    """Copy scalars to neighbouring places. Table: how many, the first place, and where they are."""
    f = Function(KERNEL_PREFIX + "copy", KERNEL_ARGUMENTS)
    to, places = _at(f, "%s", "%t", 1), f.at("%t", 2, "i64")
    with f.loop(f.word("%t")) as loop:
        f.store("double", f.load("double", _at(f, "%s", places, loop.index)), f.at(to, loop.index))
    f.do("ret void")
    return f


def name(called: str, opcode: str) -> str:
    """Return the name of a function for sums of an opcode."""
    return KERNEL_PREFIX + (called if opcode == "dot" else f"{called}_{opcode}")
