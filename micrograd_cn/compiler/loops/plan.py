"""Turn a schedule into stages, and give places in memory to values.

Stages run one after the other: straight-line code, sums, maps or gathers. Every scalar that is computed gets a place. A
vector, which has a value for several rows, one in each lane, gets a place if a loop, another stage or the
caller reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from ..instructions.code import AFTER, BATCH, SAMPLE, SUM_OPCODES
from .places import WORD, Places
from .schedule import Schedule
from .stages import Gathers, Map, OuterProduct, Stage, StraightLine, Sums, dead_after
from .strides import MIN_LOOP_LENGTH
from .touched import touched_totals
from .vectorizer import Vectorizer

# A panel consists of the blocks that are computed together.
L2_BYTES = 1 << 20  # a panel that loops read several times has at most so many bytes, to stay in the L2 cache
L1_BYTES = 1 << 13  # a panel that is read once has at most so many bytes, to stay in the L1 cache
MAX_BLOCKS = 16  # blocks in a panel, at most

# In code for single rows, a map may load each of its operands from anywhere in memory if a rank has on average at least
# MIN_ALIKE_PER_RANK instructions of each of its opcodes, and the schedule's cost is at least MIN_SINGLY_LOADED_SIZE.
# Otherwise it is faster to keep values in registers. In programs that are so large that they are fused, every map may.
MIN_ALIKE_PER_RANK, MIN_SINGLY_LOADED_SIZE = 8.0, 200
MIN_MAPPED_RANK = 8  # in a smaller rank, to load the operands of a map one by one takes longer than without a map
MIN_MAP_VECTORS = 2  # at least so many SIMD vectors in a map, if operands of shorter maps can be loaded one by one


class Plan:
    """The stages of a schedule, and the places of its values.

    Args:
        schedule: the instructions, grouped into ranks, which are in the order of their computation.
        simd: the number of doubles in a SIMD vector.
        lanes: the number of lanes of a block, see the module `places`. It is ignored if rows are computed one at a
            time.
        width: the length of a row of numbers, which is the number of inputs.
        scalars: the first free place among the scalars. The places before it are those of the parameters.
        outputs: the instruction numbers of values that need a vector in a block, even if they do not depend on the row.
        gradients: the instruction number of each parameter's gradient, or -1 if it is not computed; empty if there is
            no gradient.
        gradients_at: the place, among the scalars, to which the first gradient is copied. The gradients have as many
            places as the parameters, which are before them.

    Attributes:
        places: the places of all values. Its `scalar`, `vector` and `offset` are attributes of the plan too.
        stages: a dict from each phase to its stages, in order.
        row_at: where the inputs of a row are stored, one after the other: the place of the first input among the
            scalars, or if rows are in lanes, the index of the first input's vector in a block.
        blocks: the number of blocks in a panel. Each stage is computed for all blocks of a panel before the next stage.
        total_count: the length of the array in which totals, the sums over the rows of a batch, are added up. It is a
            multiple of the number of doubles in a SIMD vector. The touched totals are not among them.
        touched: the touched totals (see the module `touched`); None if there are none.
        touched_at: the place of the first block of touched totals, in the same array.
        totals_at: the place, among the scalars, of the first total divided by the number of rows. The quotients of the
            other totals follow it. Those of touched totals are where the gradients of their parameters are.
        total_place: a dict from the index of each total in `Lowering.totals` to its index in the array of totals.
        outer_products: the matrices of totals. Each of them is a sum of outer products, see `OuterProduct`.

    >>> from micrograd_cn.compiler.instructions.code import Code
    >>> code = Code()
    >>> x, y = (code.append(("input", k), SAMPLE) for k in range(2))
    >>> product = code.emit("fmul", x, y)
    >>> plan = Plan(Schedule(code, [product], [], rows_in_lanes=False), simd=4, lanes=8, width=2, scalars=0)
    >>> plan.stages[SAMPLE], [plan.scalar[i] for i in (x, y, product)]
    ([StraightLine(numbers=[2])], [0, 1, 2])
    """

    def __init__(
        self,
        schedule: Schedule,
        simd: int,
        lanes: int,
        width: int,
        scalars: int,
        outputs: Iterable[int] = (),
        gradients: Sequence[int] = (),
        gradients_at: int = 0,
    ) -> None:
        self.schedule, self.simd, self._gradients_at = schedule, simd, gradients_at
        self.places = places = Places(schedule, simd, lanes if schedule.rows_in_lanes else 1, scalars)
        self.code, self.lanes = schedule.code, places.lanes
        self.scalar, self.vector, self.offset = places.scalar, places.vector, places.offset
        # A value keeps the first place that it is given, so the order of these steps matters. Leaves come first.
        self.row_at = places.allocate_vectors(width) if schedule.rows_in_lanes else places.allocate(width)
        self.total_place: dict[int, int] = {}
        self.total_count = self.touched_at = 0
        self.outer_products = [self._best_orientation(group) for group in schedule.totals.outer_products]
        scatters = schedule.totals.scatters
        self.touched = touched_totals(scatters, schedule.code, gradients, gradients_at, lanes)
        self._place_totals()
        self.totals_at = self.places.allocate(self.total_count)
        self._place_leaves()
        # Then come the results of loops, in the order in which other loops read them, and other scalars.
        loads_singly = self._loads_singly()
        min_rank = MIN_MAPPED_RANK if loads_singly else MIN_LOOP_LENGTH
        self._vectorizer = Vectorizer(places, self._preferred_order(), loads_singly, min_rank, MIN_MAP_VECTORS * simd)
        self.stages = {phase: list(self._stages(phase)) for phase in schedule.ranks}
        # Then come other values that code reads from memory. Only now do vectors get the places of dead ones.
        self._place_values_in_memory()
        if schedule.rows_in_lanes:
            self.places.reuse_vectors(
                width, *self._live_ranges({*schedule.roots, *outputs, *schedule.totals.factors()})
            )
        self.places.broadcast(outputs)
        self.blocks = self._blocks_per_panel()

    def _loads_singly(self) -> bool:
        """Return whether scalar instructions are vectorised even if their operands must be loaded one by one.

        Such operands are not contiguous in memory.
        """
        schedule = self.schedule
        return schedule.stays_threaded or (
            schedule.cost >= MIN_SINGLY_LOADED_SIZE and schedule.mean_group_size() >= MIN_ALIKE_PER_RANK
        )

    def _place_leaves(self) -> None:
        scalars, vectors = dict[int, int](), dict[int, int]()
        for i in self.schedule.leaves:
            instruction = self.code.instructions[i]
            opcode = instruction[0]
            if opcode == "parameter":
                scalars[i] = instruction[1]
            elif opcode == "mean" and self.touched and instruction[1] in self.touched.place:
                scalars[i] = self._gradients_at + self.touched.place[instruction[1]]
            elif opcode == "mean":
                scalars[i] = self.totals_at + self.total_place[instruction[1]]
            elif opcode == "input" and self.schedule.rows_in_lanes:
                vectors[i] = self.row_at + instruction[1]
            elif opcode == "input":
                scalars[i] = self.row_at + instruction[1]
        self.places.assign(scalars)
        self.places.assign_vectors(vectors)

    def _best_orientation(self, group: OuterProduct) -> OuterProduct:
        """Return `group`, a matrix of totals, or its transpose if that takes less memory.

        A total is a sum over the rows of a batch. In memory, each row of the matrix is padded to whole SIMD vectors. If
        rows are computed one at a time, the matrix is never transposed.
        """
        rows, columns = len(group.lefts), len(group.rights)
        turn = self.schedule.rows_in_lanes and self.places.padded(rows) * columns < rows * self.places.padded(columns)
        return group.transpose() if turn else group

    def _preferred_order(self) -> dict[int, tuple[int, int]]:
        """Return a sort key for scalars that are factors in loops: scalars of one list of factors get successive keys.

        A list of factors has, for example, the right factors that several sums share. A loop over scalars is fast if
        they are contiguous in memory, so they are placed in the order of these keys. A key is the index of the list,
        and the position of the scalar in it; for a scalar in several lists, the first of them counts.
        """
        lists = [
            side
            for phase in (BATCH, SAMPLE, AFTER)
            for rank in ([] if self.schedule.phase_in_lanes(phase) else self.schedule.ranks[phase])
            if isinstance(rank, Sums)
            for side in dict.fromkeys(rank.rights)
        ]
        if not self.schedule.rows_in_lanes:
            lists += [side for group in self.outer_products for side in zip(*group.rights, strict=True)]
        preferred: dict[int, tuple[int, int]] = {}
        for number, side in enumerate(lists):
            for k, i in enumerate(side):
                preferred.setdefault(i, (number, k))
        return preferred

    def _stages(self, phase: int) -> Iterator[Stage]:
        """Yield the stages of a phase, and give places to the results of sums and gathers, which loops compute.

        Where possible, scalar instructions of the same opcode are vectorised: they become a stage of the class `Map`.
        """
        ranks, vectorizer, in_lanes = self.schedule.ranks[phase], self._vectorizer, self.schedule.phase_in_lanes(phase)
        for rank in ranks:
            if isinstance(rank, Sums):
                self.places.place_contiguously(rank.numbers, pad=True)
            elif isinstance(rank, Gathers):
                self.places.place_contiguously(sorted(rank.numbers, key=vectorizer.sort_key))
        waiting: list[Sequence[int]] = []  # the ranks that become straight-line code before the next loop
        for rank in ranks:
            loops: Sequence[Stage]
            if isinstance(rank, list):
                loops, rest = ([], rank) if in_lanes else vectorizer.find(rank)
            else:
                loops, rest = [rank], []
            if loops:
                yield from self.schedule.straight_lines(waiting, in_lanes)
                yield from loops
                waiting = []
            waiting.append(rest)
        yield from self.schedule.straight_lines(waiting, in_lanes)

    def _place_totals(self) -> None:
        for group in self.outer_products:
            width = self.places.padded(len(group.rights))
            for row in group.totals:
                self.total_place.update({k: place for place, k in enumerate(row, self.total_count)})
                self.total_count += width
        for scatter in self.schedule.totals.scatters:
            if not self.touched or scatter not in self.touched.scatters:
                self.total_place.update({k: place for place, k in enumerate(scatter.totals, self.total_count)})
                self.total_count += self.places.padded(len(scatter.totals))
        for k, _ in self.schedule.totals.single:
            self.total_place[k] = self.total_count
            self.total_count += 1
        self.total_count = self.places.padded(self.total_count)
        if self.touched:
            lanes = self.touched.lanes
            self.touched_at = -(-self.total_count // lanes) * lanes
            self.total_place.update({k: self.touched_at + place for k, place in self.touched.place.items()})

    def _place_values_in_memory(self) -> None:
        """Give a place in memory to each value that a loop, another stage or the caller reads.

        All other values stay in registers. The operands of loops get their places first, since these must be
        contiguous, or at equal distances. No place is given here to two kinds of constants: `Tables` does so for those
        that a map (a loop over instructions of one opcode) reads, and `Threaded` for those that threaded code reads.
        """
        schedule = self.schedule
        stages = [stage for phase in (BATCH, SAMPLE, AFTER) for stage in self.stages[phase]]
        self._place_operands_of_loops(stages)
        made: set[int] = set()  # the values that straight-line code before this stage computes
        for stage in stages:
            if isinstance(stage, StraightLine):
                self.places.ensure(made.intersection(self.reads(stage)))
                made.update(stage.numbers)
        self.places.ensure(schedule.roots)
        self.places.ensure(schedule.seed())

    def _place_operands_of_loops(self, stages: Iterable[Stage]) -> None:
        """Give places to the values that loops read: the loops among `stages`, and the loops that add up totals.

        A total is a sum over the rows of a batch.
        """
        totals = self.schedule.totals
        groups = [stage for stage in stages if isinstance(stage, Sums)]
        for side in dict.fromkeys(side for group in groups for side in (*dict.fromkeys(group.rights), *group.lefts)):
            self.places.place_contiguously(side)
        self.places.ensure([i for group in groups for i in group.starts])
        for outer in self.outer_products:
            for side in (*zip(*outer.rights, strict=True), *zip(*outer.lefts, strict=True)):
                self.places.place_contiguously(side)
        self.places.place_contiguously([i for _, pair in totals.single for i in pair])
        self.places.place_contiguously([i for scatter in totals.scatters for i in chain(*scatter.sources)])
        for stage in stages:
            if isinstance(stage, Gathers):
                self.places.ensure(self.reads(stage))

    def _live_ranges(self, kept: set[int]) -> tuple[list[list[int]], list[list[int]]]:
        """Return two lists with an item for each stage of phase SAMPLE.

        An item of the first list has the values that the stage computes, and an item of the second list the values that
        die in the stage, all as instruction numbers. A value dies in the last stage that reads the value. Values in
        `kept` and leaves never die.
        """
        stages = self.stages[SAMPLE]
        made = [stage.numbers for stage in stages]
        over = dead_after((number, self.reads(stage)) for number, stage in enumerate(stages))
        operands = self.code.operands
        return made, [[i for i in over.get(k, ()) if i not in kept and operands[i]] for k in range(len(stages))]

    def operands(self, stage: Map) -> list[list[int]]:
        """Return the operands of a map's instructions by slot: all first operands, all second operands, and so on.

        The operands of sums are the factors of their products. A term, which is added without a factor, counts as a
        product with 1.
        """
        if stage.opcode not in SUM_OPCODES:
            return [[*column] for column in zip(*map(self.code.operands.__getitem__, stage.numbers), strict=True)]
        rows = [[*chain(*self.code.as_products(*self.code.instructions[i][1:]))] for i in stage.numbers]
        return [[*column] for column in zip(*rows, strict=True)]

    def operand_offsets(self, stage: Map) -> list[list[int]]:
        """Return the offsets in bytes of the operands of a map's instructions, by slot; see `operands`."""
        return [[*map(self.offset, column)] for column in self.operands(stage)]

    def reads(self, stage: Stage) -> Iterator[int]:
        """Yield the instruction numbers of the values that a stage reads.

        For straight-line code, values that it computes and then reads itself are included.
        """
        if isinstance(stage, Map):
            return chain.from_iterable(self.operands(stage))
        return chain.from_iterable(map(self.code.operands.__getitem__, stage.numbers))

    def _blocks_per_panel(self) -> int:
        """Return how many blocks a panel has: 1 if rows are computed one at a time, and at most MAX_BLOCKS.

        The panel of a program with loops or totals has as many blocks as fit into L2_BYTES, but two if only one fits.
        Many blocks are better than few, since tables are read once for a panel, and totals are written once for a
        panel. All other programs do not gain from many blocks, so their panels have as many as fit into L1_BYTES. If
        none fits, a panel has one block.
        """
        if not self.schedule.rows_in_lanes:
            return 1
        size = WORD * self.lanes * max(self.places.vector_count, 1)
        if not (self.total_count or self.touched) and all(
            isinstance(stage, StraightLine) for stage in self.stages[SAMPLE]
        ):
            return min(MAX_BLOCKS, max(L1_BYTES // size, 1))
        return min(MAX_BLOCKS, max(L2_BYTES // size, 1 + (size <= L2_BYTES)))
