"""Group a program's live instructions into layers, and the instructions of a layer into ranks.

An instruction is live if a wanted value depends on it. A long sum is a sum that a loop computes: it has at least
MIN_LONE_LOOP_PRODUCTS products, or at least MIN_LOOP_PRODUCTS if another such sum has the same right factors. If the
sum is in lanes, its right factors must be in lanes, too, and either all or none of its left factors. A gather loads one
of its operands, by an index that is known at run time.

The layer of an instruction is the largest count of long sums and gathers of the same phase on a path to an operand of
the instruction. In a layer, the long sums are computed after the straight-line code and the maps, and the gathers come
last. Long sums with the same right factors are computed as a matrix times a vector. But if all factors are in lanes,
the sums are computed one by one, as inner products. Instructions of one rank do not depend on each other.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple, TypeVar

from ..instructions.code import AFTER, BATCH, GATHER, MIN_LOOP_PRODUCTS, SAMPLE, SUM_OPCODES, Code, Pair, Scatter, live
from ..instructions.fusion import fuse
from .stages import StraightLine, Sums
from .totals import Totals

T = TypeVar("T")
MIN_LONE_LOOP_PRODUCTS = 32  # a sum of at least so many products is a loop even if no other sum has its right factors
MIN_GROUPED_RANK = 4  # in a rank with fewer instructions, each of these counts as a group by itself
MAX_UNFUSED_COST = 10_000  # a larger program is fused: it runs as threaded code for long before native code is made
MAX_NATIVE_COST = 200_000  # at most so many machine instructions become native code, in some seconds and 80 MB
MAX_STRAIGHT_LINE_COST = 300  # machine instructions in one piece of straight-line code; long ones compile slowly


class Layer(NamedTuple):
    """A layer of instructions, none of which depends on a long sum or a gather of the same layer.

    A long sum is a sum that a loop computes. A gather loads one of its operands, by an index.

    Attributes:
        ranks: a dict from each rank to the numbers of its instructions, which are neither long sums nor gathers, in
            order. They do not depend on each other.
        sums: the long sums of the layer, grouped by how they are computed.
        gathers: the numbers of the gathers.
    """

    ranks: dict[int, list[int]]
    sums: list[Sums]
    gathers: list[int]


def split_by_cost(items: Iterable[T], cost_of: Callable[[T], int], limit: int) -> Iterator[list[T]]:
    """Split items into lists. A list ends when its cost reaches `limit`.

    >>> [*split_by_cost([1, 2, 3, 4], lambda x: x, 3)]
    [[1, 2], [3], [4]]
    """
    found: list[T] = []
    cost = 0
    for x in items:
        found.append(x)
        cost += cost_of(x)
        if cost >= limit:
            yield found
            found, cost = [], 0
    if found:
        yield found


class Schedule:
    """The live instructions of a program, in the order in which they are computed.

    Args:
        code: the instructions, to which a few may be added.
        roots: the numbers of the instructions whose values are wanted.
        totals: the wanted totals, which are sums over the rows of a batch; see `Lowering.totals`.
        batched: whether row values, the values that depend on the row, are vectors with one row in each lane. If not,
            rows are computed one at a time, and row values are scalars.
        sums: whether long sums are separate loops. If not, no sum counts as a long sum.

    Attributes:
        live: the numbers of the live instructions, in order.
        leaves: the numbers of the live instructions without operands.
        computed: the numbers of the other live instructions.
        long_sums: the numbers of the sums that loops compute: they have many products.
        gathers: the numbers of the live gathers.
        layers: a dict from each phase to the layers of the phase, in order.
        totals: the totals, grouped into scatters, outer products and single totals.
        cost: the cost of all straight-line code, see `Code.cost_of_all`.
        is_large: whether the program is large. To make native code for it then takes long, and until that is done the
            program runs as threaded code, which consists of tables that kernels read. So if `is_large` is true,
            instructions are fused into formulas, and are in an order in which threaded code is fast. It is always
            False if `sums` is not set.
        may_be_native: whether the program is small enough for native code, which would otherwise take too long to
            compile.
    """

    def __init__(
        self,
        code: Code,
        roots: Sequence[int],
        totals: Sequence[tuple[Pair, ...] | Scatter],
        batched: bool,
        sums: bool = True,
    ) -> None:
        self.code, self.batched = code, batched
        self.roots = roots
        self.totals = Totals(code, totals)
        kept = {*roots, *self.totals.factors()}
        self._find_live(kept)
        long = [i for i in self.computed if sums and code.instructions[i][0] in SUM_OPCODES and self._can_be_loop(i)]
        rights = {i: tuple([b for _, b in code.instructions[i][1]]) for i in long}
        shared = Counter(rights.values()) if long else {}
        self.long_sums = {i for i in long if len(rights[i]) >= MIN_LONE_LOOP_PRODUCTS or shared[rights[i]] > 1}
        self.gathers = {i for i in self.computed if code.instructions[i][0] == GATHER}
        self.cost = code.cost_of_all(i for i in self.computed if i not in self.long_sums and i not in self.gathers)
        self.is_large = sums and self.cost > MAX_UNFUSED_COST
        self.may_be_native = self.cost <= MAX_NATIVE_COST
        if self.is_large:
            self.code = fuse(code, self.live, kept, sums=batched)
            self._find_live(kept)
        computed: dict[int, list[int]] = defaultdict(list)
        for i in self.computed:
            computed[self.code.phase[i]].append(i)
        self.layers = {phase: self._layers(computed[phase]) for phase in (BATCH, SAMPLE, AFTER)}

    def _find_live(self, wanted: Iterable[int]) -> None:
        self.live = live(self.code, wanted)
        operands = self.code.operands
        self.leaves = [i for i in self.live if not operands[i]]
        self.computed = [i for i in self.live if operands[i]]

    def mean_group_size(self) -> float:
        """Return the mean count of instructions with the same opcode in a rank; 0 if the schedule is `batched`.

        Instructions of one rank do not depend on each other. In a rank with fewer than MIN_GROUPED_RANK
        instructions, each instruction counts as the only one with its opcode.
        """
        steps = groups = 0
        for layer in chain(*self.layers.values()):
            for rank in () if self.batched else layer.ranks.values():
                steps += (count := len(rank))
                opcodes = [self.code.instructions[i][0] for i in rank] if count >= MIN_GROUPED_RANK else ()
                groups += len({*opcodes}) or count
        return steps / max(groups, 1)

    def phase_in_lanes(self, phase: int) -> bool:
        """Return whether the values that are computed in a phase are vectors, with one row in each lane."""
        return self.batched and phase == SAMPLE

    def in_lanes(self, i: int) -> bool:
        """Return whether the value of instruction `i` is a vector, with one row in each lane."""
        return self.batched and self.code.phase[i] == SAMPLE

    def _can_be_loop(self, i: int) -> bool:
        """Return whether a loop can compute the sum with instruction number `i`.

        The sum must have at least MIN_LOOP_PRODUCTS products. If the sum is a vector with one row in each lane, all
        right factors must depend on the row, and either all left factors or none of them must.
        """
        pairs = self.code.instructions[i][1]
        if len(pairs) < MIN_LOOP_PRODUCTS or not self.in_lanes(i):
            return len(pairs) >= MIN_LOOP_PRODUCTS
        per_sample = self.code.per_sample
        return len({a in per_sample for a, _ in pairs}) == 1 and all(b in per_sample for _, b in pairs)

    def straight_lines_in_lanes(self, layer: Layer) -> Iterator[StraightLine]:
        """Yield the straight-line code of a layer whose values are vectors, with one row in each lane.

        The instructions are in the order that suits native code or, if the program `is_large`, threaded code, which
        consists of tables that kernels read.
        """
        if self.is_large:
            return self.straight_lines(self._by_opcode(layer.ranks.values()))
        return self.straight_lines(self._depth_first(sorted(chain(*layer.ranks.values()))))

    def _layers(self, numbers: Sequence[int]) -> list[Layer]:
        """Return the layers of a phase, whose instructions have these numbers.

        A long sum is a sum that a loop computes. An instruction is in the highest layer of its operands, or in the next
        layer if the operand in the highest layer is a long sum or a gather. The rank of the instruction is one more
        than the highest rank of those of its operands that are in the same layer.
        """
        code, long, gathers = self.code, self.long_sums, self.gathers
        layers: dict[int, Layer] = {}
        sums: dict[int, list[int]] = defaultdict(list)
        # For each instruction, the lowest layer that its users can be in, and their lowest rank if they are in this one
        above = [(0, 0)] * len(code.instructions) if numbers else []
        for i in numbers:
            number, rank = max(map(above.__getitem__, code.operands[i]))
            above[i] = (number + 1, 0) if i in long or i in gathers else (number, rank + 1)
            if number not in layers:
                layers[number] = Layer(defaultdict(list), [], [])
            if i in gathers:
                layers[number].gathers.append(i)
            elif i in long:
                sums[number].append(i)
            else:
                layers[number].ranks[rank].append(i)
        for number, some in sums.items():
            layers[number].sums.extend(self._group_sums(some))
        return [*layers.values()]

    def _depth_first(self, numbers: Sequence[int]) -> list[int]:
        """Return instructions in an order that uses a value soon after it is computed, to keep live ranges short.

        Each instruction is followed by those instructions that use its value and have no other operand left to compute.
        """
        inside, operands = set(numbers), self.code.operands
        needs = {i: inside.intersection(operands[i]) for i in numbers}
        users: dict[int, list[int]] = defaultdict(list)
        for i in numbers:
            for j in needs[i]:
                users[j].append(i)
        done: dict[int, None] = {}
        stack = [*numbers][::-1]
        while stack:
            i = stack.pop()
            if i not in done and needs[i] <= done.keys():
                done[i] = None
                stack += reversed(users[i])
        return [*done]

    def _by_opcode(self, ranks: Iterable[Sequence[int]]) -> Iterator[int]:
        """Yield instructions rank by rank, sorted by opcode within a rank.

        Threaded code jumps to a kernel, a ready-made function, for each instruction. In this order, a processor can
        predict the jumps.
        """
        for rank in ranks:
            yield from sorted(rank, key=lambda i: self.code.instructions[i][0])

    def straight_lines(self, numbers: Iterable[int]) -> Iterator[StraightLine]:
        """Split instructions into pieces of straight-line code.

        A piece ends when its cost reaches MAX_STRAIGHT_LINE_COST.
        """
        return map(StraightLine, split_by_cost(numbers, self.code.cost_of, MAX_STRAIGHT_LINE_COST))

    def _group_sums(self, numbers: Iterable[int]) -> Iterator[Sums]:
        groups: dict[tuple[str, str, tuple[int, ...]], Sums] = {}
        for i in numbers:
            opcode, pairs, terms = self.code.instructions[i]
            left, right = (tuple(side) for side in zip(*pairs, strict=True))
            form = "scalars" if not self.in_lanes(i) else "inner" if left[0] in self.code.per_sample else "matrix"
            key = form, opcode, {"inner": ()}.get(form, right)
            group = groups.setdefault(key, Sums(form, opcode, [], [], [], []))
            group.numbers.append(i)
            group.lefts.append(left)
            group.rights.append(right)
            group.starts.append(*terms or [self.code.constant(-0.0)])  # `Code.dot` leaves one term at most
        yield from groups.values()
