"""What a program does, in order: layers of instructions, with the long sums and the loads among them.

Long sums with the same right factors are done together: they are a matrix by a vector. How deep an instruction is says
how many long sums and loads lie one after the other below it; all that is equally deep is done at once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from ..instructions.code import AFTER, BATCH, GATHER, MIN_LOOP_PRODUCTS, SAMPLE, SUM_OPCODES, Code, Pair, live
from ..instructions.fusion import fused
from .stages import StraightLine, Sums
from .totals import Totals

ALONE = 32  # products from which a sum is a loop although no other sum has its right factors
ALIKE_FROM = 4  # instructions of a level; of fewer, each counts as a group of its own
LEVELS = 1 << 32  # the level numbers of a layer begin at its own number times this
MAX_NATIVE_COST = 10_000  # instructions for which native code is made at all: it takes seconds
MAX_STRAIGHT_LINE_COST = 300  # instructions of a straight line: the time to compile one grows faster than its length


class Layer(NamedTuple):
    """Instructions that need no long sum and no load of each other.

    Attributes:
        numbers: those that are no loads, in order.
        levels: the same by level, of which none needs another.
        sums: the long sums among them.
        gathers: those that are loaded by a number.
    """

    numbers: list[int]
    levels: dict[int, list[int]]
    sums: list[Sums]
    gathers: list[int]


class Schedule:
    """The stages of all instructions that some of them need.

    Args:
        code: the instructions; a few may be added.
        roots: those whose values are wanted.
        totals: what is added up over the samples, each a sum of products.
        batched: whether samples are in lanes; they are scalars if there is a single row at a time.
        sums: whether long sums are loops of their own; if not, they are treated as any instruction.

    Attributes:
        needed: all instructions that are needed, in order: leaves, and what is done.
        leaves: those without operands.
        done: the others.
        long: the long sums among them.
        firsts: long sums in lanes that start from a constant 0.0 or -0.0, which need not be stored, and that constant.
        gathers: those among them that are loaded by a number.
        layers: those of each phase.
        totals: what is added up over the samples.
        size: about how many instructions the straight lines have.
        large: whether these are so many that threaded code alone runs them.
    """

    def __init__(
        self, code: Code, roots: Sequence[int], totals: Sequence[tuple[Pair, ...]], batched: bool, sums: bool = True
    ) -> None:
        self.code, self.batched = code, batched
        self.roots = roots
        self.totals = Totals(code, totals)
        kept = {*roots, *self.totals.factors()}
        self._need(kept)
        long = [i for i in self.done if sums and code.instructions[i][0] in SUM_OPCODES and self._may_be_long(i)]
        rights = {i: tuple([b for _, b in code.instructions[i][1]]) for i in long}
        shared = Counter(rights.values())
        self.long_sums = {i for i in long if len(rights[i]) >= ALONE or shared[rights[i]] > 1}
        self.firsts = {i: x for i in self.long_sums if self.in_lanes(i) and (x := code.value(self.start(i))) == 0.0}
        self.gathers = {i for i in self.done if code.instructions[i][0] == GATHER}
        self.cost = code.cost_of_all(i for i in self.done if i not in self.long_sums and i not in self.gathers)
        self.threaded_only = sums and self.cost > MAX_NATIVE_COST
        if self.threaded_only:
            self.code = fused(code, self.needed, kept, sums=batched)
            self._need(kept)
        self.layers = {phase: self._layers(phase) for phase in (BATCH, SAMPLE, AFTER)}

    def _need(self, wanted: Iterable[int]) -> None:
        self.needed = live(self.code, wanted)
        operands = self.code.operands
        self.leaves = [i for i in self.needed if not operands[i]]
        self.done = [i for i in self.needed if operands[i]]

    def mean_group_size(self) -> float:
        """Return how many instructions of one kind a level has on average; 0 if samples are in lanes."""
        steps = groups = 0
        for layer in chain(*self.layers.values()):
            for level in () if self.batched else layer.levels.values():
                steps += (count := len(level))
                opcodes = [self.code.instructions[i][0] for i in level] if count >= ALIKE_FROM else ()
                groups += len({*opcodes}) or count
        return steps / max(groups, 1)

    def phase_in_lanes(self, phase: int) -> bool:
        """Return whether the values of a phase are vectors."""
        return self.batched and phase == SAMPLE

    def in_lanes(self, i: int) -> bool:
        """Return whether a value is a vector."""
        return self.batched and self.code.phase[i] == SAMPLE

    def _may_be_long(self, i: int) -> bool:
        """Return whether a sum can be a loop; in lanes all right factors are samples, and all left ones, or none."""
        pairs = self.code.instructions[i][1]
        if len(pairs) < MIN_LOOP_PRODUCTS or not self.in_lanes(i):
            return len(pairs) >= MIN_LOOP_PRODUCTS
        per_sample = self.code.per_sample
        return len({a in per_sample for a, _ in pairs}) == 1 and all(b in per_sample for _, b in pairs)

    def start(self, i: int) -> int:
        """Return the number of the value from which a long sum starts."""
        _, _, terms = self.code.instructions[i]
        return terms[0] if terms else self.code.constant(-0.0)

    def straight_lines_in_lanes(self, layer: Layer) -> Iterator[StraightLine]:
        """Yield the instructions of a layer of samples in lanes, in the order that suits what runs them."""
        if self.threaded_only:
            return self.straight_lines(self._by_form(layer.levels.values()))
        return self.straight_lines(self._in_order([i for i in layer.numbers if i not in self.firsts]))

    def _layers(self, phase: int) -> list[Layer]:
        """Return a phase's instructions in layers: each in that of the last that it needs, one later after a long sum.

        In a layer, each is a level above the highest that it needs of this layer.
        """
        code, long, gathers = self.code, self.long_sums, self.gathers
        layers: dict[int, Layer] = {}
        above = [0] * len(code.instructions)  # the lowest level at which something may use it, the layer in high digits
        for i in self.done:
            if code.phase[i] != phase:
                continue
            level = max(map(above.__getitem__, code.operands[i]))
            number = level // LEVELS
            if i in long:
                level = max([above[j] for j in self.reads(i)], default=0)
                level = max(level, number * LEVELS)
                above[i] = (number + 1) * LEVELS
            else:
                above[i] = (number + 1) * LEVELS if i in gathers else level + 1
            if number not in layers:
                layers[number] = Layer([], defaultdict(list), [], [])
            if i in gathers:
                layers[number].gathers.append(i)
            else:
                layers[number].numbers.append(i)
                layers[number].levels[level].append(i)
        for layer in layers.values():
            layer.sums.extend(self._sums([i for i in layer.numbers if i in long]))
        return [*layers.values()]

    def _in_order(self, numbers: Sequence[int]) -> list[int]:
        """Return instructions in such an order that a value is used soon: each with all that can then be done."""
        inside = set(numbers)
        needs = {i: inside.intersection(self.reads(i)) for i in numbers}
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

    def _by_form(self, levels: Iterable[Sequence[int]]) -> Iterator[int]:
        """Yield level by level, those of one kind together, since a processor foresees their jumps then."""
        for level in levels:
            yield from sorted([i for i in level if i not in self.firsts], key=lambda i: self.code.instructions[i][0])

    def straight_lines(self, numbers: Iterable[int]) -> Iterator[StraightLine]:
        """Yield instructions as straight lines that are not long."""
        chunk: list[int] = []
        weight = 0
        for i in numbers:
            chunk.append(i)
            weight += self.cost_of(i)
            if weight >= MAX_STRAIGHT_LINE_COST:
                yield StraightLine(chunk)
                chunk, weight = [], 0
        if chunk:
            yield StraightLine(chunk)

    def cost_of(self, i: int) -> int:
        """Return about how many instructions of the machine are done in a straight line."""
        return 2 if i in self.long_sums else self.code.cost_of(i)

    def _sums(self, numbers: Iterable[int]) -> Iterator[Sums]:
        groups: dict[tuple[str, str, tuple[int, ...], str], Sums] = {}
        for i in numbers:
            opcode, pairs, _ = self.code.instructions[i]
            left, right = (tuple(side) for side in zip(*pairs, strict=True))
            kind = "scalars" if not self.in_lanes(i) else "inner" if left[0] in self.code.per_sample else "matrix"
            first = self.firsts.get(i)
            key = kind, opcode, {"inner": ()}.get(kind, right), repr(first)  # 0.0 is not -0.0
            group = groups.setdefault(key, Sums(kind, opcode, [], [], [], first))
            group.numbers.append(i)
            group.lefts.append(left)
            group.rights.append(right)
        yield from groups.values()

    def reads(self, i: int) -> tuple[int, ...]:
        """Return what a straight line needs for an instruction in registers; the factors of a loop are in memory."""
        terms: tuple[int, ...] = self.code.instructions[i][2] if i in self.long_sums else self.code.operands[i]
        return terms
