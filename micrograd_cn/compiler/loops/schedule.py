"""Group a program's live instructions into ranks. Instructions of one rank do not depend on each other.

An instruction is live if a wanted value depends on it. Some instructions are computed once for a batch, before its rows
or after them, and the others for each row. These three parts of a program are its phases. A value is in lanes if the
lanes of a SIMD vector hold it for several rows.

A long sum is a sum of products, of a left and a right factor each, that a loop computes. It has at least
MIN_LONE_LOOP_PRODUCTS products, or at least MIN_LOOP_PRODUCTS if another such sum has the same right factors. If the
sum is in lanes, its right factors must be in lanes, too, and either all or none of its left factors. A gather loads one
of its operands, by an index that is known at run time.

The ranks of a phase are in the order of their computation. Each instruction has a count: the largest number of the
phase's long sums and gathers that come before it on one path of operands. The ranks are sorted by this count. Of the
ranks with the same count, those of long sums are computed after those of other instructions, and the gathers come last.
Long sums with the same right factors are a rank by themselves, and are computed as a matrix times a vector. But if all
factors are in lanes, the sums are computed one by one, as inner products.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from itertools import chain
from typing import TypeAlias, TypeVar

from ..instructions.code import AFTER, BATCH, GATHER, MIN_LOOP_PRODUCTS, SAMPLE, SUM_OPCODES, Code, Pair, Scatter, live
from ..instructions.fusion import fuse
from .chains import chains_of_products, with_sums
from .stages import Gathers, StraightLine, Sums
from .totals import Totals

T = TypeVar("T")
# The numbers of instructions that do not depend on each other; or long sums or gathers, which a loop computes
Rank: TypeAlias = list[int] | Sums | Gathers
OTHERS, LONG_SUMS, GATHERS = range(3)  # the kinds of ranks, in the order of their computation
MIN_LONE_LOOP_PRODUCTS = 32  # a sum of at least so many products is a loop even if no other sum has its right factors
MIN_GROUPED_RANK = 4  # in a rank with fewer instructions, each of these counts as a group by itself
MAX_UNFUSED_COST = 10_000  # a larger program is fused: it runs as threaded code for long before native code is made
MAX_STRAIGHT_LINE_COST = 300  # machine instructions in one piece of straight-line code; long ones compile slowly


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
        rows_in_lanes: whether row values, the values that depend on the row, are vectors with one row in each lane. If
            not, rows are computed one at a time, and row values are scalars.
        for_c: whether the schedule is for the text of C. No sum then counts as a long sum, which would be a separate
            loop, and no instructions are fused.

    Attributes:
        live: the numbers of the live instructions, in order.
        leaves: the numbers of the live instructions without operands.
        computed: the numbers of the other live instructions.
        long_sums: the numbers of the sums that loops compute: they have many products.
        gathers: the numbers of the live gathers.
        ranks: a dict from each phase (BATCH, SAMPLE and AFTER in code.py) to lists of its instructions, in the order of
            their computation. The instructions of one list, which is called a rank, do not depend on each other.
        totals: the totals, grouped into scatters, outer products and single totals.
        cost: the cost of all straight-line code, see `Code.cost_of_all`.
        stays_threaded: whether the program runs as threaded code (tables that kernels read) for long, since it is so
            large that it takes long to make native code for it. Its instructions are then fused into formulas, and are
            in an order in which threaded code is fast.
    """

    def __init__(
        self,
        code: Code,
        roots: Sequence[int],
        totals: Sequence[tuple[Pair, ...] | Scatter],
        rows_in_lanes: bool,
        for_c: bool = False,
    ) -> None:
        self.code, self.rows_in_lanes = code, rows_in_lanes
        self.roots = roots
        self.totals = Totals(code, totals)
        kept = {*roots, *self.totals.factors()}
        self._find_live(kept)
        self.long_sums = set() if for_c else self._find_long_sums(kept)
        code = self.code
        self.gathers = {i for i in self.computed if code.instructions[i][0] == GATHER}
        self.cost = code.cost_of_all(i for i in self.computed if i not in self.long_sums and i not in self.gathers)
        self.stays_threaded = self.cost > MAX_UNFUSED_COST and not for_c
        if self.stays_threaded:
            self.code = fuse(code, self.live, kept, sums=rows_in_lanes)
            self._find_live(kept)
        computed: dict[int, list[int]] = defaultdict(list)
        for i in self.computed:
            computed[self.code.phase[i]].append(i)
        self.ranks = {phase: [*self._ranks(computed[phase])] for phase in (BATCH, SAMPLE, AFTER)}

    def _find_long_sums(self, kept: Set[int]) -> set[int]:
        """Return the numbers of the sums that loops compute. Those that are chains of additions become sums.

        `kept` has the numbers of the instructions whose values are read by other code, too, such as the caller.
        """
        instructions = self.code.instructions
        pairs = {i: instructions[i][1] for i in self.computed if instructions[i][0] in SUM_OPCODES}
        chains = chains_of_products(self.code, self.computed, kept)
        pairs |= {i: x.pairs for i, x in chains.items()}
        rights = {i: tuple([b for _, b in x]) for i, x in pairs.items() if self._can_be_loop(i, x)}
        shared = Counter(rights.values())
        found = {i for i, x in rights.items() if len(x) >= MIN_LONE_LOOP_PRODUCTS or shared[x] > 1}
        if not found.isdisjoint(chains):
            self.code = with_sums(self.code, [(i, x) for i, x in chains.items() if i in found])
            self._find_live(kept)
        return found

    def _find_live(self, wanted: Iterable[int]) -> None:
        self.live = live(self.code, wanted)
        operands = self.code.operands
        self.leaves = [i for i in self.live if not operands[i]]
        self.computed = [i for i in self.live if operands[i]]

    def seed(self) -> list[int]:
        """Return a list with the number of the live instruction "seed", in code for a gradient; otherwise []."""
        instructions = self.code.instructions
        return [i for i in self.code.per_sample.intersection(self.leaves) if instructions[i][0] == "seed"]

    def mean_group_size(self) -> float:
        """Return the mean number of instructions with the same opcode in a rank; 0 if rows are in lanes.

        Instructions of one rank do not depend on each other. In a rank with fewer than MIN_GROUPED_RANK
        instructions, each instruction counts as the only one with its opcode.
        """
        steps = groups = 0
        for rank in () if self.rows_in_lanes else chain(*self.ranks.values()):
            if isinstance(rank, list):
                steps += (count := len(rank))
                opcodes = [self.code.instructions[i][0] for i in rank] if count >= MIN_GROUPED_RANK else ()
                groups += len({*opcodes}) or count
        return steps / max(groups, 1)

    def phase_in_lanes(self, phase: int) -> bool:
        """Return whether the values that are computed in a phase are vectors, with one row in each lane."""
        return self.rows_in_lanes and phase == SAMPLE

    def in_lanes(self, i: int) -> bool:
        """Return whether the value of instruction `i` is a vector, with one row in each lane."""
        return self.rows_in_lanes and self.code.phase[i] == SAMPLE

    def _can_be_loop(self, i: int, pairs: Sequence[Pair]) -> bool:
        """Return whether a loop can compute the sum with instruction number `i`, of the products of `pairs`.

        The sum must have at least MIN_LOOP_PRODUCTS products. If the sum is a vector with one row in each lane, all
        right factors must depend on the row, and either all left factors or none of them must.
        """
        if len(pairs) < MIN_LOOP_PRODUCTS or not self.in_lanes(i):
            return len(pairs) >= MIN_LOOP_PRODUCTS
        per_sample = self.code.per_sample
        return len({a in per_sample for a, _ in pairs}) == 1 and all(b in per_sample for _, b in pairs)

    def _ranks(self, numbers: Sequence[int]) -> Iterator[Rank]:
        """Yield the instructions with these numbers in ranks: groups of instructions that do not depend on each other.

        The ranks are in the order of their computation, and all instructions belong to one phase. Long sums and gathers
        are loops. A loop comes after all instructions that need no more loops before them than the loop itself does.
        """
        code, long, gathers = self.code, self.long_sums, self.gathers
        ranks: dict[tuple[int, int, int], list[int]] = defaultdict(list)
        # For the users of each instruction: how many loops are before them at least and, if it is the same count for
        # the instruction itself, how many other ranks after the last of these loops
        before = [(0, 0)] * len(code.instructions) if numbers else []
        for i in numbers:
            loops, others = max(map(before.__getitem__, code.operands[i]))
            if i in gathers or i in long:
                before[i] = loops + 1, 0
                ranks[loops, GATHERS if i in gathers else LONG_SUMS, 0].append(i)
            else:
                before[i] = loops, others + 1
                ranks[loops, OTHERS, others].append(i)
        for key in sorted(ranks):
            _, kind, _ = key
            if kind == LONG_SUMS:
                yield from self._group_sums(ranks[key])
            else:
                yield Gathers(ranks[key]) if kind == GATHERS else ranks[key]

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

    def straight_lines(self, ranks: Sequence[Sequence[int]], in_lanes: bool) -> Iterator[StraightLine]:
        """Return the straight-line code of successive ranks, in pieces with a cost of about MAX_STRAIGHT_LINE_COST.

        If the values are vectors, with one row in each lane, the instructions are in the order that suits native code
        or, if the program `stays_threaded`, threaded code, which consists of tables that kernels read.
        """
        numbers: Iterable[int] = chain(*ranks)
        if in_lanes:
            numbers = self._by_opcode(ranks) if self.stays_threaded else self._depth_first(sorted(numbers))
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
