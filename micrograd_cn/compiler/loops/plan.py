"""A schedule as stages in order, with a place in memory for every value that is read later: what is printed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from ..instructions.code import AFTER, BATCH, SAMPLE, START, SUM_OPCODES
from .places import WORD, Places
from .schedule import Schedule
from .stages import Gathers, Map, OuterProduct, Stage, StraightLine, Sums, dead_after
from .vectorizer import VECTORS, Vectorizer, families

CACHE = 1 << 20  # bytes of a panel, which the sums of products go through several times
NEAREST = 1 << 13  # bytes of a panel that is read once
MOST_BLOCKS = 16  # of a panel


class Plan:
    """The stages of a schedule, and the places of its values.

    Args:
        schedule: what is done.
        simd: doubles of a vector.
        lanes: of a block, if samples are in lanes.
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
        outer: the totals that are outer products.
        total_place: where each total is among them.
        moved: inputs that are copied, so that they lie side by side: from where, and where to.
    """

    def __init__(
        self,
        schedule: Schedule,
        simd: int,
        lanes: int,
        width: int,
        scalars: int,
        gather: bool = False,
        outputs: Iterable[int] = (),
    ) -> None:
        self.schedule, self.simd = schedule, simd
        self.places = places = Places(schedule, simd, lanes if schedule.batched else 1, scalars)
        self.code, self.lanes = schedule.code, places.lanes
        self.scalar, self.vector, self.offset = places.scalar, places.vector, places.offset
        self.row_at = places.allocate_vectors(width) if schedule.batched else places.allocate(width)
        self.total_place: dict[int, int] = {}
        self.total_count = 0
        self.outer = [self._turned(group) for group in schedule.totals.outer]
        self._place_totals()
        self.totals_at = self.places.allocate(self.total_count)
        self.moved: list[tuple[int, int]] = []
        if gather and not schedule.batched:
            self._move_inputs()
        self._place_leaves()
        self._maps = Vectorizer(places, self._wishes(), gather)
        self.stages = {phase: list(self._stages(phase)) for phase in schedule.layers}
        self._place()
        if schedule.batched:
            self.places.renumber(width, *self._lives({*schedule.roots, *outputs, *schedule.totals.factors()}))
        for i in outputs:
            self.places.block_offset(i)
        self.blocks = self._blocks()

    def _place_leaves(self) -> None:
        scalars: dict[int, int] = {}
        for i in self.schedule.leaves:
            instruction = self.code.instructions[i]
            kind = instruction[0]
            if kind == "parameter":
                scalars[i] = instruction[1]
            elif kind == "total":
                scalars[i] = self.totals_at + self.total_place[instruction[1]]
            elif kind == "input" and self.schedule.batched:
                self.vector[i] = self.row_at + instruction[1]
            elif kind == "input" and i not in self.scalar:
                scalars[i] = self.row_at + instruction[1]
        self.places.put(scalars)

    def _move_inputs(self) -> None:
        """Give inputs places side by side that instructions of one kind read at even distances."""
        for family in families(self.code, self.schedule.needed, VECTORS * self.simd):
            fresh = [i for i in family if i not in self.scalar]
            self.places.side_by_side(fresh)
            self.moved += [(self.row_at + self.code.instructions[i][1], self.scalar[i]) for i in fresh]

    def _turned(self, group: OuterProduct) -> OuterProduct:
        """Return a table of totals with those as its columns that fill whole vectors better."""
        rows, columns = len(group.lefts), len(group.rights)
        turn = self.schedule.batched and self.places.whole(rows) * columns < rows * self.places.whole(columns)
        return group.transpose() if turn else group

    def _wishes(self) -> dict[int, tuple[int, int]]:
        """Return for values that a loop reads its number and in which order they should lie there."""
        lists = [
            side
            for phase in (BATCH, SAMPLE, AFTER)
            for layer in ([] if self.schedule.phase_in_lanes(phase) else self.schedule.layers[phase])
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
            self.places.side_by_side(sorted(layer.gathers, key=maps.order))
        waiting: list[int] = []
        for layer in schedule.layers[phase]:
            if schedule.phase_in_lanes(phase):
                yield from schedule.straight_lines_in_lanes(layer)
            for level in () if schedule.phase_in_lanes(phase) else layer.levels.values():
                found, rest = maps.of(level)
                if found:
                    yield from schedule.straight_lines(waiting)
                    yield from found
                    waiting = []
                waiting += rest
            if layer.sums or layer.gathers:
                yield from schedule.straight_lines(waiting)
                waiting = []
            yield from layer.sums
            if layer.gathers:
                yield Gathers(layer.gathers)
        yield from schedule.straight_lines(waiting)

    def _place_totals(self) -> None:
        for group in self.outer:
            width = self.places.whole(len(group.rights))
            for row in group.totals:
                self.total_place.update({k: place for place, k in enumerate(row, self.total_count)})
                self.total_count += width
        for k, _ in self.schedule.totals.single:
            self.total_place[k] = self.total_count
            self.total_count += 1
        self.total_count = self.places.whole(self.total_count)

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
            if isinstance(stage, Gathers):
                for i in self.read_by(stage):
                    self.places.keep(i)
        made: set[int] = set()  # in straight lines before
        for stage in stages:
            if isinstance(stage, StraightLine):
                for i in made.intersection(self.read_by(stage)):
                    self.places.keep(i)
                made.update([i for i in stage.numbers if i not in schedule.long_sums])
        for i in schedule.roots:
            self.places.keep(i)
        for i in schedule.leaves:
            if self.code.instructions[i][0] == "seed":
                self.places.keep(i)

    def _lives(self, kept: set[int]) -> tuple[list[list[int]], list[list[int]]]:
        """Return for each stage of the samples the values that it makes, and those that nobody reads after it."""
        stages = self.stages[SAMPLE]
        made = [stage.numbers for stage in stages]
        over = dead_after((number, self.read_by(stage)) for number, stage in enumerate(stages))
        operands = self.code.operands
        return made, [[i for i in over.get(k, ()) if i not in kept and operands[i]] for k in range(len(stages))]

    def operands(self, stage: Map) -> list[list[int]]:
        """Return the operands of a map's instructions: the first of each, the second of each, and so on."""
        if stage.opcode == START:
            return [[*map(self.schedule.start, stage.numbers)]]
        if stage.opcode not in SUM_OPCODES:
            return [[*column] for column in zip(*map(self.code.operands.__getitem__, stage.numbers), strict=True)]
        one, rows = self.code.constant(1.0), []
        for i in stage.numbers:
            _, pairs, terms = self.code.instructions[i]
            rows.append([*chain(*((one, t) for t in terms), *pairs)])
        return [[*column] for column in zip(*rows, strict=True)]

    def read_by(self, stage: Stage) -> Iterator[int]:
        """Yield what a stage reads from memory; of a straight line, what it needs, which may be its own."""
        if isinstance(stage, StraightLine):
            return chain.from_iterable(map(self.schedule.reads, stage.numbers))
        if isinstance(stage, Gathers):
            return chain.from_iterable(map(self.code.operands.__getitem__, stage.numbers))
        return chain.from_iterable(self.operands(stage) if isinstance(stage, Map) else (*stage.lefts, *stage.rights))

    def _blocks(self) -> int:
        """Return how many blocks a panel has: as many as stay in the cache, two if one of them does.

        Tables are read once for all blocks of a panel, and totals written; where there are none, it stays in the cache
        that is nearest.
        """
        if not self.schedule.batched:
            return 1
        size = WORD * self.lanes * max(self.places.vector_count, 1)
        if not self.total_count and all(isinstance(stage, StraightLine) for stage in self.stages[SAMPLE]):
            return min(MOST_BLOCKS, max(NEAREST // size, 1))
        return min(MOST_BLOCKS, max(CACHE // size, 1 + (size <= CACHE)))
