"""A schedule with a place in memory for every value that is read later, and the tables of its sums.

Threaded and native code have this in common; they differ in how they do the stretches.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from math import nan
from typing import Any

from ..instructions.code import AFTER, BATCH, SAMPLE, START, SUMS, Pair
from ..llvm.machine import Machine
from ..llvm.text import Makers
from ..loops.even import distance
from ..loops.maps import VECTORS, Maps, families
from ..loops.places import WORD, Places
from ..loops.schedule import Schedule
from ..loops.stages import Call, Map, Outer, Stage, Stretch, Sums, Takes, unused_after
from . import gathers, products
from . import takes as loads

SLACK = 16  # doubles after the last scalar, which a vector may read, and none uses
CACHE = 1 << 20  # bytes of a panel, which the sums of products go through several times
NEAREST = 1 << 13  # bytes of a panel that is read once
MOST_BLOCKS = 16  # of a panel


class Plan:
    """The places of a schedule's values, and the tables of its sums.

    Args:
        schedule: what is done.
        machine: what for.
        width: numbers of a row.
        scalars: the first free place among the scalars; parameters have the first ones.
        gather: whether instructions of one kind on scalars are vectors wherever their operands lie.
        outputs: what has a place in a block, whether it depends on samples or not.

    Attributes:
        places: where values lie; `scalar`, `vector` and `at` are its own.
        row_at: where a row's numbers go.
        blocks: of a panel.
        totals_at: where the totals' means are among the scalars.
        count: how many totals, in whole vectors.
        totals: the calls of the totals.
        makers: the shared functions that it needs.
        fast: whether these are the fast ones.
        packed: the calls of what is copied before the samples, so that it lies side by side.
    """

    def __init__(
        self,
        schedule: Schedule,
        machine: Machine,
        width: int,
        scalars: int,
        gather: bool = False,
        outputs: Iterable[int] = (),
    ) -> None:
        self.schedule, self.machine = schedule, machine
        self.places = places = Places(schedule, machine.simd, machine.width if schedule.batched else 1, scalars)
        self.code, self.lanes = schedule.code, places.lanes
        self.scalar, self.vector, self.at = places.scalar, places.vector, places.at
        self.row_at = places.allocate_vectors(width) if schedule.batched else places.allocate(width)
        self.tables: list[array[int]] = []
        self._links: list[tuple[array[int], int, str]] = []
        self.makers: Makers = {}
        self.fast = False
        self.packed: list[Call] = []
        self._packs: dict[tuple[int, ...], int] = {}
        self._operands_at: dict[tuple[tuple[int, ...], bool], int] = {}
        self._total_place: dict[int, int] = {}
        self.count = 0
        self.outer = [self._turned(group) for group in schedule.totals.outer]
        self._place_totals()
        self.totals_at = self.places.allocate(self.count)
        self._moved: list[tuple[int, int]] = []
        if gather and not schedule.batched:
            self._move_inputs()
        self._place_leaves()
        self._maps = Maps(places, self._wishes(), gather)
        self.stages = {phase: list(self._stages(phase)) for phase in schedule.layers}
        self._place()
        if schedule.batched:
            self.places.renumber(width, *self._lives({*schedule.roots, *outputs, *schedule.totals.factors()}))
        for i in outputs:
            self.places.in_block(i)
        self.blocks = self._blocks()
        for stage in chain(*self.stages.values()):
            if isinstance(stage, Sums):
                stage.call = self._sums(stage)
            elif isinstance(stage, Map):
                stage.call = self._map(stage)
            elif isinstance(stage, Takes):
                stage.call = self._takes(stage)
        self.totals = [*map(self._outer, self.outer), *self._single()]

    def _place_leaves(self) -> None:
        scalars: dict[int, int] = {}
        for i in self.schedule.leaves:
            instruction = self.code.instructions[i]
            kind = instruction[0]
            if kind == "parameter":
                scalars[i] = instruction[1]
            elif kind == "total":
                scalars[i] = self.totals_at + self._total_place[instruction[1]]
            elif kind == "input" and self.schedule.batched:
                self.vector[i] = self.row_at + instruction[1]
            elif kind == "input" and i not in self.scalar:
                scalars[i] = self.row_at + instruction[1]
        self.places.put(scalars)

    def _move_inputs(self) -> None:
        """Give inputs places side by side that instructions of one kind read at even distances."""
        for family in families(self.code, self.schedule.needed, VECTORS * self.machine.simd):
            fresh = [
                i for i in dict.fromkeys(family) if self.code.instructions[i][0] == "input" and i not in self.scalar
            ]
            for i in fresh:
                self.scalar[i] = self.places.allocate(1)
                self._moved.append((self.row_at + self.code.instructions[i][1], self.scalar[i]))

    def moved(self) -> list[Call]:
        """Return the calls that copy inputs side by side."""
        first = [to for _, to in self._moved[:1]]
        words = [len(self._moved), *(WORD * to for to in first), *(WORD * place for place, _ in self._moved)]
        return [self._call(products.copy, words)] if first else []

    def _turned(self, group: Outer) -> Outer:
        """Return a table of totals with those as its columns that fill whole vectors better."""
        rows, columns = len(group.lefts), len(group.rights)
        turn = self.schedule.batched and self.places.whole(rows) * columns < rows * self.places.whole(columns)
        return group.transposed() if turn else group

    def _wishes(self) -> dict[int, tuple[int, int]]:
        """Return for values that a loop reads its number and in which order they should lie there."""
        lists = [
            side
            for phase in (BATCH, SAMPLE, AFTER)
            for layer in ([] if self.schedule.are_in_lanes(phase) else self.schedule.layers[phase])
            for group in layer.sums
            for side in dict.fromkeys(group.rights)
        ]
        if not self.schedule.batched:
            lists += [side for group in self.outer for side in zip(*group.rights, strict=True)]
        wished: dict[int, tuple[int, int]] = {}
        for number, side in enumerate(lists):
            for k, i in enumerate(side):
                wished.setdefault(i, (number, k))
        return wished

    def _stages(self, phase: int) -> Iterator[Stage]:
        """Yield the stages of a phase, and place their results; without lanes, instructions of one kind become maps."""
        schedule, maps = self.schedule, self._maps
        for layer in schedule.layers[phase]:
            for group in layer.sums:
                self.places.side_by_side(group.numbers, whole=True)
            self.places.side_by_side(sorted(layer.taken, key=maps.order))
        waiting: list[int] = []
        for layer in schedule.layers[phase]:
            if schedule.are_in_lanes(phase):
                yield from schedule.in_lanes_stretches(layer)
            for level in () if schedule.are_in_lanes(phase) else layer.levels.values():
                found, rest = maps.of(level)
                if found:
                    yield from schedule.stretches(waiting)
                    yield from found
                    waiting = []
                waiting += rest
            if layer.sums or layer.taken:
                yield from schedule.stretches(waiting)
                waiting = []
            yield from layer.sums
            if layer.taken:
                yield Takes(layer.taken)
        yield from schedule.stretches(waiting)

    def _place_totals(self) -> None:
        for group in self.outer:
            width = self.places.whole(len(group.rights))
            for row in group.totals:
                self._total_place.update({k: place for place, k in enumerate(row, self.count)})
                self.count += width
        for k, _ in self.schedule.totals.single:
            self._total_place[k] = self.count
            self.count += 1
        self.count = self.places.whole(self.count)

    def _place(self) -> None:
        """Give a place to what is read in another stage than it is made, by a loop, or by the caller."""
        schedule = self.schedule
        stages = [stage for phase in (BATCH, SAMPLE, AFTER) for stage in self.stages[phase]]
        groups = [stage for stage in stages if isinstance(stage, Sums)]
        for side in dict.fromkeys(side for group in groups for side in (*dict.fromkeys(group.rights), *group.lefts)):
            self.places.side_by_side(side)
        for outer in self.outer:
            for side in (*zip(*outer.rights, strict=True), *zip(*outer.lefts, strict=True)):
                self.places.side_by_side(side)
        self.places.side_by_side([i for _, pair in schedule.totals.single for i in pair])
        for stage in stages:
            if isinstance(stage, Takes):
                for i in self.read_by(stage):
                    self.places.keep(i)
        made: set[int] = set()  # in stretches before
        for stage in stages:
            if isinstance(stage, Stretch):
                for i in made.intersection(self.read_by(stage)):
                    self.places.keep(i)
                made.update([i for i in stage.numbers if i not in schedule.long])
        for i in schedule.roots:
            self.places.keep(i)
        for i in schedule.leaves:
            if self.code.instructions[i][0] == "seed":
                self.places.keep(i)

    def _lives(self, kept: set[int]) -> tuple[list[list[int]], list[list[int]]]:
        """Return for each stage of the samples the values that it makes, and those that nobody reads after it."""
        stages = self.stages[SAMPLE]
        made = [stage.numbers for stage in stages]
        over = unused_after((number, self.read_by(stage)) for number, stage in enumerate(stages))
        operands = self.code.operands
        return made, [[i for i in over.get(k, ()) if i not in kept and operands[i]] for k in range(len(stages))]

    def read_by(self, stage: Stage) -> Iterator[int]:
        """Yield what a stage reads from memory; of a stretch, what it needs, which may be its own."""
        if isinstance(stage, Stretch):
            return chain.from_iterable(map(self.schedule.reads, stage.numbers))
        if isinstance(stage, Takes):
            return chain.from_iterable(map(self.code.operands.__getitem__, stage.numbers))
        return chain.from_iterable(self.operands(stage) if isinstance(stage, Map) else (*stage.lefts, *stage.rights))

    def _blocks(self) -> int:
        """Return how many blocks a panel has, so that it stays in a cache, or two if each of them does.

        Tables are read once for all blocks of a panel, and totals written; where there are none, it stays in the cache
        that is nearest.
        """
        if not self.schedule.batched:
            return 1
        size = WORD * self.lanes * max(self.places.vectors, 1)
        if not self.count and all(isinstance(stage, Stretch) for stage in self.stages[SAMPLE]):
            return min(MOST_BLOCKS, max(NEAREST // size, 1))
        return min(MOST_BLOCKS, max(CACHE // size, 1 + (size <= CACHE)))

    # Tables.

    def table(self, words: Sequence[str | int]) -> int:
        """Return the address of a table, which lives as long as the plan; a name is a function's, see `link`."""
        numbers: list[Any] = list(words)
        try:
            table = array("q", numbers)
        except TypeError:
            names = [(k, word) for k, word in enumerate(numbers) if type(word) is str]
            table = array("q", [0 if type(word) is str else word for word in numbers])
            self._links += [(table, k, name) for k, name in names]
        self.tables.append(table)
        return table.buffer_info()[0]

    def link(self, fast: bool = False) -> None:
        """Put the functions' addresses into the tables, of the fast ones from now on if `fast`.

        Those that no program has needed yet are compiled.
        """
        self.fast = self.fast or fast
        self.machine.share(self.makers, self.fast, self.code.op_names)
        addresses = self.machine.addresses[self.fast]
        for table, k, name in self._links:
            table[k] = addresses[name]

    def function(self, make: products.Maker, opcode: str = "dot") -> str:
        """Return the name of a function that all programs share."""
        key, written = (make, opcode), self.machine.written
        if key not in written:
            written[key] = make(self.machine, opcode)
        f = written[key]
        self.makers[f.name] = lambda: f
        return f.name

    def _call(self, make: products.Maker, words: Sequence[str | int], opcode: str = "dot") -> Call:
        return self.function(make, opcode), self.table(words)

    def _sums(self, group: Sums) -> Call:
        tables = {"scalars": self._of_scalars, "inner": self._inner, "matrix": self._matrix}
        return self._call(*tables[group.kind](group), group.opcode)

    def _inner(self, group: Sums) -> tuple[products.Maker, list[str | int]]:
        count, *sums = self._listed(group)
        return products.inner, [count, products.number_of_first(group.first), *sums]

    def _listed(self, group: Sums) -> list[str | int]:
        words: list[str | int] = [len(group.numbers)]
        for i, pairs in zip(group.numbers, group.pairs(), strict=True):
            words += [self.at(i), len(pairs), *map(self.at, chain(*pairs))]
        return words

    def _matrix(self, group: Sums) -> tuple[products.Maker, list[str | int]]:
        right, *_ = group.rights  # all alike
        firsts, step = self._even(group.lefts)
        count = -(-len(firsts) // products.TILE)
        first = products.number_of_first(group.first)
        words: list[str | int] = [len(right), step, count, first, *map(self.at, right)]
        done = 0
        for number in range(count):  # tiles of the same size, or of one less
            m = len(firsts) // count + (number < len(firsts) % count)
            words += [self.function(products.tile(m), group.opcode), m]
            for k in range(done, done + m):
                words += [self.at(group.numbers[k]), firsts[k]]
            done += m
        return products.matrix, words

    def _even(self, lefts: Sequence[tuple[int, ...]]) -> tuple[list[int], int]:
        """Return where each list begins, and the distance between its members; uneven lists are copied first."""
        places = [[*map(self.at, left)] for left in lefts]
        step = distance(places[0])
        if step is not None and all(distance(row) == step for row in places):
            return [row[0] for row in places], step
        return [self._pack(tuple(row)) for row in places], WORD

    def _pack(self, places: tuple[int, ...]) -> int:
        """Return where copies of some scalars lie side by side."""
        if places not in self._packs:
            to = self._packs[places] = WORD * self.places.allocate(len(places))
            self.packed.append(self._call(products.copy, [len(places), to, *places]))
        return self._packs[places]

    def _of_scalars(self, group: Sums) -> tuple[products.Maker, list[str | int]]:
        """Return the function and the table of sums without lanes, of which neighbours are done as vectors."""
        side, *_ = group.rights
        results, right = [*map(self.at, group.numbers)], [*map(self.at, side)]
        lefts = [[*map(self.at, left)] for left in group.lefts]
        count = self.places.whole(len(results))
        if len(results) * 2 >= self.machine.simd and _adjacent(results):
            if _adjacent(right) and all(map(_adjacent, lefts)):
                firsts = [left[0] for left in lefts]
                padded = [*firsts, *firsts[-1:] * (count - len(firsts))]
                return products.row_sums, [count, len(right), right[0], results[0], *padded]
            if all(map(_adjacent, zip(*lefts, strict=True))):
                factors = [x for pair in zip(lefts[0], right, strict=True) for x in pair]
                return products.column_sums, [1, count, len(right), results[0], *factors]
        return products.list_sums, self._listed(group)

    def operands(self, stage: Map) -> list[list[int]]:
        """Return the operands of a map's instructions: the first of each, the second of each, and so on."""
        if stage.opcode == START:
            return [[*map(self.schedule.start, stage.numbers)]]
        if stage.opcode not in SUMS:
            return [[*column] for column in zip(*map(self.code.operands.__getitem__, stage.numbers), strict=True)]
        one, rows = self.code.constant(1.0), []
        for i in stage.numbers:
            _, pairs, terms = self.code.instructions[i]
            rows.append([*chain(*((one, t) for t in terms), *pairs)])
        return [[*column] for column in zip(*rows, strict=True)]

    def _map(self, stage: Map) -> Call:
        simd = self.machine.simd
        operands = [[*map(self.at, places)] for places in self.operands(stage)]
        words: list[str | int] = [self.places.whole(len(stage.numbers)) // simd, self.at(stage.numbers[0])]
        pattern = "".join(map(_letter, operands))
        if stage.opcode in SUMS and ("g" in pattern or len(operands) > gathers.MOST_FACTORS):
            padded = [*map(self._padded, operands)]
            words.append(len(operands) // 2)
            for first in range(0, len(padded[0]), simd):
                words += chain(*(places[first : first + simd] for places in padded))
            return self._call(gathers.sums, words, stage.opcode)
        for letter, places in zip(pattern, operands, strict=True):
            words.append(self.table(self._padded(places)) if letter == "g" else places[0])
        if stage.opcode not in SUMS:
            stage.pattern = pattern
        return self._call(gathers.mapped(stage.opcode, pattern), words)

    def _padded(self, places: Sequence[int]) -> list[int]:
        """Return as many places as whole vectors have, the last one again and again."""
        return [*places, *[places[-1]] * (self.places.whole(len(places)) - len(places))]

    def _takes(self, stage: Takes) -> Call:
        in_lanes = self.schedule.in_lanes(stage.numbers[0])
        groups: dict[tuple[int, int], list[int]] = {}
        for i in stage.numbers:
            index, *xs = self.code.operands[i]
            groups.setdefault((index, len(xs)), []).append(i)
        words: list[str | int] = [len(groups)]
        for (index, count), numbers in groups.items():
            words += [self.places.in_block(index) if in_lanes else self.at(index), count, len(numbers)]
            for i in numbers:
                operands = self.code.operands[i][1:]
                samples = any(map(self.schedule.in_lanes, operands))
                words += [self.at(i), WORD * samples, self._places_of(operands, samples)]
        return self._call(loads.takes if in_lanes else loads.takes_of_scalars, words)

    def _places_of(self, xs: tuple[int, ...], samples: bool) -> int:
        """Return the table of where some operands are, and after them a nan; one for all that have the same ones."""
        if (xs, samples) not in self._operands_at:
            place = self.places.in_block if samples else self.at
            self._operands_at[xs, samples] = self.table([place(i) for i in (*xs, self.code.constant(nan))])
        return self._operands_at[xs, samples]

    def _outer(self, group: Outer) -> Call:
        pairs, rows, columns = len(group.lefts[0]), len(group.totals), len(group.rights)
        place = WORD * self._total_place[group.totals[0][0]]
        lefts = [self.places.in_block(left[pair]) for pair in range(pairs) for left in group.lefts]
        rights = [[self.places.in_block(right[pair]) for right in group.rights] for pair in range(pairs)]
        words: list[str | int]
        if self.schedule.batched:
            size, inside = products.rows_of(self.machine), pairs > self.blocks
            whole, rest = (products.totals(r, inside) for r in (min(size, rows), rows % size or size))
            words = [pairs, rows, self.places.whole(columns), place]
            words += [self.function(whole), self.function(rest), *lefts]
            for row in rights:
                words += [*row, *row[-1:] * (self.places.whole(columns) - columns)]
            return self._call(products.outer, words)
        if all(map(_adjacent, rights)):
            width = self.places.whole(columns)
            words = [rows]
            for k in range(rows):
                words += [width, pairs, place + WORD * width * k]
                words += chain(*((right[0], lefts[pair * rows + k]) for pair, right in enumerate(rights)))
            return self._call(products.column_totals, words)
        found = [
            (k, [(a, right[pair]) for pair, a in enumerate(left)])
            for row, left in zip(group.totals, group.lefts, strict=True)
            for k, right in zip(row, group.rights, strict=True)
        ]
        return self._list_totals(found)

    def _list_totals(self, found: Sequence[tuple[int, Sequence[Pair]]]) -> Call:
        words = [len(found)]
        for k, pairs in found:
            words += [
                WORD * self._total_place[k],
                len(pairs),
                *(self.places.in_block(i) for pair in pairs for i in pair),
            ]
        return self._call(products.list_totals, words)

    def _single(self) -> list[Call]:
        single = self.schedule.totals.single
        if not single:
            return []
        if not self.schedule.batched:
            return [self._list_totals([(k, [pair]) for k, pair in single])]
        factors = [self.places.in_block(i) for _, pair in single for i in pair]
        count = self.places.whole(len(single))
        words = [count, WORD * self._total_place[single[0][0]], *factors, *factors[-2:] * (count - len(single))]
        return [self._call(products.single_totals, words)]

    def fill_call(self, places: Places) -> list[Call]:
        """Return the call that writes scalars into the vectors that hold them in all lanes."""
        if not places.filled:
            return []
        words = [len(places.filled)]
        for i in places.filled:
            words += [places.in_block(i), places.at(i)]
        return [self._call(products.fill, words)]


def _letter(places: Sequence[int]) -> str:
    """Return how operands lie: s, the same place for all; v, side by side; g, anywhere."""
    step = distance(places)
    return "s" if step == 0 else "v" if step == WORD else "g"


def _adjacent(places: Sequence[int]) -> bool:
    return len(places) == 1 or distance(places) == WORD
