"""Write a plan's sums, maps, gathers and totals as tables for kernels, functions that all programs share.

Threaded code and native code use the same tables. They differ in how they compute straight-line code: threaded code by
tables, too, and native code by functions that are compiled for one program.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from math import nan
from typing import Any, NamedTuple

from ..instructions.code import AFTER, BATCH, SAMPLE, SUM_OPCODES, Pair
from ..llvm.machine import Machine
from ..llvm.text import Function, KernelWriters
from ..loops.places import WORD, Places
from ..loops.plan import Plan
from ..loops.stages import END_OF_CALLS, Call, Gathers, Map, OuterProduct, Stage, Sums
from ..loops.strides import contiguous_spans, pattern_of, stride
from . import gathers, maps, sums


class Tables:
    """The tables of a plan, which kernels read. Their memory is freed with this object.

    Args:
        plan: the stages, and the places of values in memory.
        machine: the machine that the tables are for.

    Attributes:
        calls: for each stage that is not straight-line code, the name of the kernel that computes the stage, and the
            address of its table.
        all: every table that was stored. The list keeps the memory of the tables alive.
        kernels: a dict from the name of each kernel that the tables need to the function that writes the kernel.
        fast: whether the tables have the addresses of the optimised versions of the kernels.
        pack_calls: the calls that copy scalars to contiguous places. The program makes them before it computes the rows
            of a batch, and after the stages that it computes once for a batch.
        totals: the calls that add products to the totals, which are sums over the rows of a batch. The program makes
            them after it has computed the values of some rows.
    """

    def __init__(self, plan: Plan, machine: Machine) -> None:
        self.plan, self.machine = plan, machine
        self.schedule, self.places, self.code, self.offset = plan.schedule, plan.places, plan.code, plan.offset
        self.all: list[array[int]] = []
        self._links: list[tuple[array[int], int, str]] = []
        self.kernels: KernelWriters = {}
        self.fast = False
        self.pack_calls: list[Call] = []
        self._packs: dict[tuple[int, ...], int] = {}
        self._operand_tables: dict[tuple[tuple[int, ...], bool], int] = {}
        self.calls: dict[Stage, Call] = {}
        for stage in chain(*plan.stages.values()):
            if isinstance(stage, Sums):
                self.calls[stage] = self._sums(stage)
            elif isinstance(stage, Map):
                self.calls[stage] = self._map(stage)
            elif isinstance(stage, Gathers):
                self.calls[stage] = self._gathers(stage)
        plan.places.broadcast(plan.schedule.totals.factors())
        self.totals = [*map(self._outer, plan.outer_products), *self._scatters(), *self._single_totals()]

    def table(self, words: Sequence[str | int]) -> int:
        """Store a table that consists of `words`, and return its address.

        A word may be the name of a kernel. `link` replaces it by the kernel's address later.
        """
        numbers: list[Any] = list(words)
        try:
            table = array("q", numbers)
        except TypeError:
            names = [(k, word) for k, word in enumerate(numbers) if type(word) is str]
            for k, _ in names:
                numbers[k] = 0
            table = array("q", numbers)
            self._links += [(table, k, name) for k, name in names]
        self.all.append(table)
        return table.buffer_info()[0]

    def link(self, fast: bool = False) -> None:
        """Compile the kernels that no program has needed yet, and put the addresses of all kernels into the tables.

        If `fast` is set, the addresses are those of the kernels' optimised versions, at this call and at all later
        calls.
        """
        fast = self.fast or fast
        self.machine.compile_kernels(self.kernels, fast, self.code.op_names)
        addresses = self.machine.addresses[fast]
        for table, k, name in self._links:
            table[k] = addresses[name]
        self.fast = fast  # last, since Ctrl-C may come between two lines

    def kernel(self, make: Callable[..., Function], *arguments: str | int) -> str:
        """Add a kernel to `kernels`, and return the kernel's name.

        Args:
            make: the function that writes the kernel.
            arguments: what `make` takes besides the machine, such as the opcode of sums.
        """
        f = written(self.machine, make, *arguments)
        self.kernels[f.name] = lambda: f
        return f.name

    def call_lists(self, calls: Mapping[int, Sequence[Call]], places: Places) -> dict[str, int]:
        """Store the lists of calls that the drivers run, and return a dict with the address of each list.

        The keys are the names that these lists have in the header, see `runtime.drivers.Header`.

        Args:
            calls: for each phase, the calls that compute its stages.
            places: the places of all values.
        """
        lists = {
            "batch": [*calls[BATCH], *self.pack_calls],
            "broadcast": self._broadcast_calls(places),
            "sample": [*calls[SAMPLE], *self.totals],
            "after": calls[AFTER],
        }
        return {name: self.table([*chain(*found, END_OF_CALLS)]) for name, found in lists.items()}

    def kernel_names(self, lists: Container[int]) -> list[str]:
        """Return the names of the kernels that some lists of calls need. `lists` has the addresses of the lists.

        A list names the kernel of each call. The table that is passed to a call may name further kernels.
        """
        tables = {address for t in self.all if t.buffer_info()[0] in lists for address in t[1::2]}
        named = [[name for t, _, name in self._links if t.buffer_info()[0] in found] for found in (lists, tables)]
        return [*dict.fromkeys(chain(*named))]

    def _sums(self, group: Sums) -> Call:
        calls = {"scalars": self._scalar_sums, "inner": self._inner, "matrix": self._matrix}
        return calls[group.form](group)

    def _inner(self, group: Sums) -> Call:
        words = self._listed(group, [*map(self._start, group.starts)])
        return self.kernel(sums.inner, group.opcode), self.table(words)

    def _listed(self, group: Sums, starts: Sequence[Sequence[int]]) -> list[str | int]:
        return _list_products([*map(self.offset, group.numbers)], starts, group.pairs(), self.offset)

    def _start(self, i: int) -> tuple[int, bool]:
        """Return two words of a table for a value that a sum starts from: its offset, and whether it is in lanes.

        `i` is the value's instruction number. A value is in lanes if it is a vector with one row of the batch in each
        lane.
        """
        return self.offset(i), self.schedule.in_lanes(i)

    def _matrix(self, group: Sums) -> Call:
        right, *_ = group.rights  # the same for all sums
        firsts, step = self._strided(group.lefts)
        tiles = [*self._tiles(group)]
        words: list[str | int] = [len(right), step, len(tiles), *map(self.offset, right)]
        for starts_in_lanes, chosen in tiles:
            words += [self.kernel(sums.tile, len(chosen), starts_in_lanes, group.opcode), len(chosen)]
            for k in chosen:
                words += [self.offset(group.numbers[k]), firsts[k], self.offset(group.starts[k])]
        return self.kernel(sums.matrix, group.opcode), self.table(words)

    def _tiles(self, group: Sums) -> Iterator[tuple[bool, list[int]]]:
        """Yield a pair for each tile, a part of the group's sums that is computed in registers.

        The first item says whether the values from which the tile's sums start are vectors with a row in each lane. The
        second item has the positions of these sums in `group`. For each of the two kinds of tiles, their sizes differ
        by one at most.
        """
        in_lanes = [*map(self.schedule.in_lanes, group.starts)]
        for kind in (False, True):
            found = [k for k, x in enumerate(in_lanes) if x is kind]
            count, done = -(-len(found) // sums.MAX_TILE_SUMS), 0
            for number in range(count):
                m = len(found) // count + (number < len(found) % count)
                yield kind, found[done : done + m]
                done += m

    def _strided(self, lefts: Sequence[tuple[int, ...]]) -> tuple[list[int], int]:
        """Return where the left factors of some sums of products are: an offset for each sum, and the stride, in bytes.

        The offset is that of the left factor of the sum's first product, from the start of the scalars. The stride is
        the distance from there to the left factor of the next product, and is the same for all sums. If the left
        factors have no common stride, the program copies them to contiguous places first, and the offsets are those of
        the copies.
        """
        places = [[*map(self.offset, left)] for left in lefts]
        step = stride(places[0])
        if step is not None and all(stride(row) == step for row in places):
            return [row[0] for row in places], step
        return [self._pack(tuple(row)) for row in places], WORD

    def _pack(self, places: tuple[int, ...]) -> int:
        """Add a call that copies scalars to contiguous places, and return the offset of the first copy.

        `places` has the offsets of the scalars in bytes.
        """
        if places not in self._packs:
            to = self._packs[places] = WORD * self.places.allocate(len(places))
            self.pack_calls.append((self.kernel(sums.copy), self.table([len(places), to, *places])))
        return self._packs[places]

    def _scalar_sums(self, group: Sums) -> Call:
        """Return the call that computes some scalar sums.

        The kernel computes the sums by SIMD instructions if there are enough of them, and if the places of factors and
        results allow this: the results must be contiguous, for example.
        """
        side, *_ = group.rights
        results, right = [*map(self.offset, group.numbers)], [*map(self.offset, side)]
        starts = [*map(self.offset, group.starts)]
        lefts = [[*map(self.offset, left)] for left in group.lefts]
        count = self.places.padded(len(results))
        if len(results) * 2 >= self.machine.simd and _contiguous(results):
            letter = pattern_of([starts])
            word = self._operand_word(letter, starts)
            if _contiguous(right) and all(map(_contiguous, lefts)):
                firsts = self._padded([left[0] for left in lefts])
                words = [count, len(right), right[0], results[0], word, *firsts]
                return self.kernel(sums.row_sums, letter, group.opcode), self.table(words)
            if all(map(_contiguous, zip(*lefts, strict=True))):
                factors = [x for pair in zip(lefts[0], right, strict=True) for x in pair]
                words = [1, count, len(right), results[0], word, *factors]
                return self.kernel(sums.column_sums, letter, group.opcode), self.table(words)
        listed = self._listed(group, [[start] for start in starts])
        return self.kernel(sums.list_sums, group.opcode), self.table(listed)

    def _map(self, stage: Map) -> Call:
        simd = self.machine.simd
        numbers = self.plan.operands(stage)
        self.places.ensure(chain(*numbers))  # constants have no places yet
        operands = [[*map(self.offset, column)] for column in numbers]
        words: list[str | int] = [self.places.padded(len(stage.numbers)) // simd, self.offset(stage.numbers[0])]
        pattern = pattern_of(operands)
        if stage.opcode in SUM_OPCODES and ("l" in pattern or len(operands) > maps.MAX_UNROLLED_FACTORS):
            padded = [*map(self._padded, operands)]
            words.append(len(operands) // 2)
            for first in range(0, len(padded[0]), simd):
                words += chain(*(places[first : first + simd] for places in padded))
            return self.kernel(maps.listed_sums, stage.opcode), self.table(words)
        words += map(self._operand_word, pattern, operands)
        return self.kernel(maps.map_kernel, stage.opcode, pattern), self.table(words)

    def _operand_word(self, letter: str, places: Sequence[int]) -> int:
        """Return the word that says where some scalars are. `letter` is the form of the word; see `sums.operand_loads`.

        `places` has the offsets of the scalars in bytes.
        """
        return self.table(self._padded(places)) if letter == "l" else places[0]

    def _padded(self, places: Sequence[int]) -> list[int]:
        """Return `places`, with the last place repeated until the length is a multiple of that of a SIMD vector."""
        return [*places, *[places[-1]] * (self.places.padded(len(places)) - len(places))]

    def _gathers(self, stage: Gathers) -> Call:
        in_lanes = self.schedule.in_lanes(stage.numbers[0])
        # By the index, the number of operands and their distance; 0 if they are not at equal distances
        groups: dict[tuple[int, int, int], list[int]] = {}
        for i in stage.numbers:
            index, *xs = self.code.operands[i]
            groups.setdefault((index, len(xs), self._distance(xs)), []).append(i)
        if in_lanes:
            self.places.broadcast([index for index, _, _ in groups])
        listed, columns = list[int](), list[int]()
        for (index, count, distance), numbers in groups.items():
            at = self.places.block_offset(index) if in_lanes else self.offset(index)
            if distance:
                columns += [at, count, distance, len(numbers)]
                for i in numbers:
                    columns += [self.offset(i), self.offset(self.code.operands[i][1])]
                continue
            listed += [at, count, len(numbers)]
            for i in numbers:
                operands = self.code.operands[i][1:]
                vectors = any(map(self.schedule.in_lanes, operands))
                listed += [self.offset(i), WORD * vectors, self._operand_table(operands, vectors)]
        of_columns = sum(distance > 0 for _, _, distance in groups)
        words = [len(groups) - of_columns, of_columns, *listed, *columns]
        return self.kernel(gathers.gather if in_lanes else gathers.gather_scalars), self.table(words)

    def _distance(self, xs: Sequence[int]) -> int:
        """Return the distance in bytes from one operand of a gather to the next; 0 if the operands are no column.

        The operands of a column are parameters at equal distances. `xs` has their instruction numbers.
        """
        if any(self.code.instructions[x][0] != "parameter" for x in xs):
            return 0
        return max(stride([*map(self.offset, xs)]) or 0, 0)

    def _operand_table(self, xs: tuple[int, ...], vectors: bool) -> int:
        """Return the address of a table with the offsets of a gather's operands and of a nan.

        Gathers with the same operands share the table.

        Args:
            xs: the instruction numbers of the operands.
            vectors: whether the operands are vectors in a block. If not, the operands are scalars.
        """
        if (xs, vectors) not in self._operand_tables:
            numbers = [*xs, self.code.constant(nan)]
            if vectors:
                self.places.broadcast(numbers)
            else:
                self.places.ensure(numbers)
            offset = self.places.block_offset if vectors else self.offset
            self._operand_tables[xs, vectors] = self.table([*map(offset, numbers)])
        return self._operand_tables[xs, vectors]

    def _outer(self, group: OuterProduct) -> Call:
        pairs, rows, columns = len(group.lefts[0]), len(group.totals), len(group.rights)
        place = WORD * self.plan.total_place[group.totals[0][0]]
        lefts = [self.places.block_offset(left[pair]) for pair in range(pairs) for left in group.lefts]
        rights = [[self.places.block_offset(right[pair]) for right in group.rights] for pair in range(pairs)]
        words: list[str | int]
        if self.schedule.rows_in_lanes:
            size, inside = sums.rows_per_tile(self.machine), pairs > self.plan.blocks
            tiles = [self.kernel(sums.totals_tile, r, inside) for r in (min(size, rows), rows % size or size)]
            words = [pairs, rows, self.places.padded(columns), place]
            words += [*tiles, *lefts]
            for row in rights:
                words += [*row, *row[-1:] * (self.places.padded(columns) - columns)]
            return self.kernel(sums.outer), self.table(words)
        if all(map(_contiguous, rights)):
            width = self.places.padded(columns)
            words = [rows]
            for k in range(rows):
                words += [width, pairs, place + WORD * width * k]
                words += chain(*((right[0], lefts[pair * rows + k]) for pair, right in enumerate(rights)))
            return self.kernel(sums.column_totals), self.table(words)
        found = [
            (k, [(a, right[pair]) for pair, a in enumerate(left)])
            for row, left in zip(group.totals, group.lefts, strict=True)
            for k, right in zip(row, group.rights, strict=True)
        ]
        return self._list_totals(found)

    def _list_totals(self, found: Sequence[tuple[int, Sequence[Pair]]]) -> Call:
        places = [WORD * self.plan.total_place[k] for k, _ in found]
        starts = [[place] for place in places]  # the products are added to what the totals are already
        words = _list_products(places, starts, [pairs for _, pairs in found], self.places.block_offset)
        return self.kernel(sums.list_totals), self.table(words)

    def _single_totals(self) -> list[Call]:
        single = self.schedule.totals.single
        if not single:
            return []
        if not self.schedule.rows_in_lanes:
            return [self._list_totals([(k, [pair]) for k, pair in single])]
        factors = [self.places.block_offset(i) for _, pair in single for i in pair]
        count = self.places.padded(len(single))
        words = [count, WORD * self.plan.total_place[single[0][0]], *factors, *factors[-2:] * (count - len(single))]
        return [(self.kernel(sums.single_totals), self.table(words))]

    def _scatters(self) -> list[Call]:
        plan, touched = self.plan, self.plan.touched
        # By the index, the number of totals and their distance
        groups: dict[tuple[int, int, int], list[int]] = {}
        spans: dict[tuple[int, int, int], list[int]] = {}  # the first touched totals that the index 0 selects
        for scatter in self.schedule.totals.scatters:
            places = [plan.total_place[k] for k in scatter.totals]
            distance = stride(places) or 1
            for index, value in scatter.sources:
                key = index, len(places), WORD * distance
                items = groups.setdefault(key, [])
                items += [self.places.block_offset(value), WORD * places[0]]
                if touched and scatter in touched.scatters:
                    spans.setdefault(key, []).append(places[0] - plan.touched_at)
        if not groups:
            return []
        lists = touched_words(plan)
        words: list[str | int] = [lists.touched, lists.flags, len(groups)]
        for key, items in groups.items():
            index, count, distance = key
            firsts = sorted({*spans.get(key, ())})
            found = contiguous_spans(firsts, 1)
            pairs = [[firsts[k], firsts[k] + n - 1] for k, n in zip(found[1::3], found[2::3], strict=True)]
            words += [self.places.block_offset(index), count, distance, len(pairs), len(items) // 2]
            words += [*chain(*pairs), *items]
        make = gathers.scatter if self.schedule.rows_in_lanes else gathers.scatter_scalars
        return [(self.kernel(make), self.table(words))]

    def _broadcast_calls(self, places: Places) -> list[Call]:
        """Return a list with the call that copies each scalar in `places.broadcasts` to all lanes of a vector.

        The list is empty if there are no such scalars.
        """
        if not places.broadcasts:
            return []
        words = [len(places.broadcasts)]
        for i in places.broadcasts:
            words += [places.block_offset(i), places.offset(i)]
        return [(self.kernel(sums.broadcast), self.table(words))]


class TouchedWords(NamedTuple):
    """Where the lists of touched blocks are, as offsets in bytes from the address of the totals; see `loops.touched`.

    Attributes:
        touched: the blocks that the rows of the latest batch have touched: their count, and then the blocks.
        updated: the blocks that the latest step of an optimiser has updated, in the same form.
        kept: the gradients of these blocks, in the order of the list.
        flags: a flag, which is a byte, for each block; it is set if the block is in the first list.
    """

    touched: int
    updated: int
    kept: int
    flags: int


def touched_words(plan: Plan) -> TouchedWords:
    """Return where the lists of touched blocks of a plan are. If it has no touched totals, all offsets are 0."""
    if not (touched := plan.touched):
        return TouchedWords(0, 0, 0, 0)
    numbers, size = touched.blocks * touched.lanes, touched.list_words
    kept = plan.touched_at + numbers
    lists = kept + numbers
    return TouchedWords(WORD * lists, WORD * (lists + size), WORD * kept, WORD * (lists + 2 * size))


@cache
def written(machine: Machine, make: Callable[..., Function], *arguments: str | int) -> Function:
    """Write a kernel, and return its LLVM function.

    The function is cached, since a kernel must be written to know its name.
    """
    return make(machine, *arguments)


def _list_products(
    results: Sequence[int],
    starts: Sequence[Sequence[int]],
    products: Sequence[Sequence[Pair]],
    offset: Callable[[int], int],
) -> list[str | int]:
    """Return the words of a table that lists sums of products.

    The first word is the number of sums. Then, for each sum: the offset of the result, the words for the value from
    which the sum starts, the number of products, and the offsets of the factors of these products, pair by pair.

    Args:
        results: the offset of each sum's result.
        starts: for each sum, the words for the value from which it starts.
        products: for each sum, the factors of its products, as instruction numbers.
        offset: a function that takes the instruction number of a value, and returns the offset of the value.
    """
    words: list[str | int] = [len(results)]
    for place, start, pairs in zip(results, starts, products, strict=True):
        words += [place, *start, len(pairs), *map(offset, chain(*pairs))]
    return words


def _contiguous(places: Sequence[int]) -> bool:
    return len(places) == 1 or stride(places) == WORD
