"""What a program does, in order: stretches of single instructions, between them sums of many products, and loads.

Long sums with the same right factors are done together: they are a matrix by a vector. How deep an instruction is says
how many long sums and loads lie one after the other below it; all that is equally deep is done at once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple, TypeAlias

from .fusion import fused
from .instructions import AFTER, BATCH, LONG, SAMPLE, SUMS, TAKE, Code, Pair, below

ALONE = 32  # products from which a sum is a loop that shares its factors with no other one
COLUMNS = 3  # from which totals are a table
ALIKE_FROM = 4  # instructions of a level, below which they do not count as alike
LEVELS = 1 << 32  # of a layer, at most
LARGEST = 10_000  # instructions for which native code is made at all: it takes seconds
CHUNK = 300  # instructions of a stretch: the time to compile one grows faster than its length


Entry: TypeAlias = tuple[str | int, int]  # a function that programs share, by its name, or another's address; its table


@dataclass
class Stretch:
    """Instructions, one after the other; of a long sum what it starts from.

    Attributes:
        numbers: of the instructions.
    """

    numbers: list[int]


@dataclass
class Sums:
    """Long sums of one form.

    Attributes:
        kind: "matrix" if they have the same right factors, which are samples, and left ones that are none; "inner" if
            all factors are samples; "scalars" if none is in lanes, and the right factors are the same.
        form: of the instructions.
        numbers: of the instructions.
        lefts: the left factors of each.
        rights: the right factors of each.
        first: the zero that they start from, 0.0 or -0.0; None if a place in memory has what each starts from.
        entry: what does them, once all has its place.
    """

    kind: str
    form: str
    numbers: list[int]
    lefts: list[tuple[int, ...]]
    rights: list[tuple[int, ...]]
    first: float | None = None
    entry: Entry = ("", 0)

    def pairs(self) -> list[list[Pair]]:
        """Return the products of each."""
        return [list(zip(*sides, strict=True)) for sides in zip(self.lefts, self.rights, strict=True)]


@dataclass
class Map:
    """Like instructions on scalars, or sums of as many products and terms, which are computed as vectors.

    Attributes:
        form: of the instructions; START for what long sums start from.
        numbers: of the instructions.
        pattern: how their operands lie, see `gathers.mapped`; "" of sums, and until they have places.
        entry: what does them, once all has its place.
    """

    form: str
    numbers: list[int]
    pattern: str = ""
    entry: Entry = ("", 0)


@dataclass
class Takes:
    """Operands that are loaded by their number.

    Attributes:
        numbers: of the instructions, each with the index first among its operands.
        entry: what does them, once all has its place.
    """

    numbers: list[int]
    entry: Entry = ("", 0)


@dataclass
class Outer:
    """Totals of all products of some factors with others, or of several pairs of these, added up.

    Attributes:
        totals: the numbers of the totals, row by row.
        lefts: of each row its factors, one a pair.
        rights: of each column its factors, one a pair.
    """

    totals: list[list[int]]
    lefts: list[tuple[int, ...]]
    rights: list[tuple[int, ...]]

    def transposed(self) -> Outer:
        """Return the same totals with the columns as rows."""
        return Outer([list(column) for column in zip(*self.totals, strict=True)], self.rights, self.lefts)


Stage: TypeAlias = Stretch | Map | Sums | Takes


class _Layer(NamedTuple):
    """Instructions that need no long sum and no load of each other.

    Attributes:
        numbers: those that are no loads, in order.
        levels: the same by level, of which none needs another.
        taken: those that are loaded by a number.
    """

    numbers: list[int]
    levels: dict[int, list[int]]
    taken: list[int]


class Schedule:
    """The stages of all instructions that some of them need.

    Args:
        code: the instructions; a few may be added.
        roots: those whose values are wanted.
        totals: what is added up over the samples, each a sum of products.
        lanes: whether samples are in lanes; they are scalars if there is a single row at a time.

    Attributes:
        needed: all instructions that are needed, in order: leaves, and what is done.
        leaves: those without operands.
        done: the others.
        long: the long sums among them.
        firsts: of long sums in lanes, the zero that they start from, 0.0 or -0.0, where it is one.
        taken: those among them that are loaded by a number.
        stages: those of each phase.
        totals: what is added up over the samples.
        size: about how many instructions the stretches have.
        large: whether these are so many that threaded code alone runs them.
    """

    def __init__(self, code: Code, roots: Sequence[int], totals: Sequence[tuple[Pair, ...]], lanes: bool) -> None:
        self.code, self.lanes = code, lanes
        self.roots = roots
        self.totals = Totals(code, totals)
        kept = {*roots, *self.totals.factors()}
        self._need(kept)
        sums = [i for i in self.done if code.instructions[i][0] in SUMS and self._may_be_long(i)]
        rights = {i: tuple([b for _, b in code.instructions[i][1]]) for i in sums}
        shared = Counter(rights.values())
        self.long = {i for i in sums if len(rights[i]) >= ALONE or shared[rights[i]] > 1}
        self.firsts = {i: x for i in self.long if self.in_lanes(i) and (x := code.value(self.start(i))) == 0.0}
        self.taken = {i for i in self.done if code.instructions[i][0] == TAKE}
        self.size = code.size(i for i in self.done if i not in self.long and i not in self.taken)
        self.large = self.size > LARGEST
        if self.large:
            self.code = fused(code, self.needed, kept, sums=lanes)
            self._need(kept)
        self.stages: dict[int, list[Stage]] = {phase: list(self._stages(phase)) for phase in (BATCH, SAMPLE, AFTER)}

    def _need(self, wanted: Iterable[int]) -> None:
        self.needed = below(self.code, wanted)
        operands = self.code.operands
        self.leaves = [i for i in self.needed if not operands[i]]
        self.done = [i for i in self.needed if operands[i]]

    def alike(self) -> float:
        """Return how many like instructions a level has on average; 0 if samples are in lanes."""
        steps = groups = 0
        for stage in chain(*self.stages.values()):
            if isinstance(stage, Stretch) and not self.lanes:
                steps += (count := len(stage.numbers))
                forms = [self.code.instructions[i][0] for i in stage.numbers] if count >= ALIKE_FROM else ()
                groups += len({*forms}) or count
        return steps / max(groups, 1)

    def are_in_lanes(self, phase: int) -> bool:
        """Return whether the values of a phase are vectors."""
        return self.lanes and phase == SAMPLE

    def in_lanes(self, i: int) -> bool:
        """Return whether a value is a vector."""
        return self.lanes and self.code.phase[i] == SAMPLE

    def _may_be_long(self, i: int) -> bool:
        """Return whether a sum has enough products for a loop: in lanes, of samples alone or by none on the left."""
        pairs = self.code.instructions[i][1]
        if len(pairs) < LONG or not self.in_lanes(i):
            return len(pairs) >= LONG
        sampled = self.code.sampled
        return len({a in sampled for a, _ in pairs}) == 1 and all(b in sampled for _, b in pairs)

    def start(self, i: int) -> int:
        """Return the number of the value from which a long sum starts."""
        _, _, terms = self.code.instructions[i]
        return terms[0] if terms else self.code.constant(-0.0)

    def _stages(self, phase: int) -> Iterator[Stage]:
        for layer in self._layers(phase):
            found = layer.numbers
            if not self.are_in_lanes(phase):
                for level in layer.levels.values():
                    yield Stretch(level)
            elif self.large:
                yield from self.stretches(self._by_form(layer.levels.values()))
            else:
                yield from self.stretches(self._in_order([i for i in found if i not in self.firsts]))
            yield from self._sums([i for i in found if i in self.long])
            if layer.taken:
                yield Takes(layer.taken)

    def _layers(self, phase: int) -> Iterable[_Layer]:
        """Return a phase's instructions in layers, each in the one of the highest that it needs, or above a long one.

        In a layer, each is a level above the highest that it needs of this layer.
        """
        code, long, taken = self.code, self.long, self.taken
        layers: dict[int, _Layer] = {}
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
                above[i] = (number + 1) * LEVELS if i in taken else level + 1
            if number not in layers:
                layers[number] = _Layer([], defaultdict(list), [])
            if i in taken:
                layers[number].taken.append(i)
            else:
                layers[number].numbers.append(i)
                layers[number].levels[level].append(i)
        return layers.values()

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
        """Yield level by level, like instructions together, as a processor expects the jumps between them."""
        for level in levels:
            yield from sorted([i for i in level if i not in self.firsts], key=lambda i: self.code.instructions[i][0])

    def stretches(self, numbers: Iterable[int]) -> Iterator[Stretch]:
        """Yield instructions as stretches that are not long."""
        chunk: list[int] = []
        weight = 0
        for i in numbers:
            chunk.append(i)
            weight += self.weight(i)
            if weight >= CHUNK:
                yield Stretch(chunk)
                chunk, weight = [], 0
        if chunk:
            yield Stretch(chunk)

    def weight(self, i: int) -> int:
        """Return about how many instructions of the machine are done in a stretch."""
        return 2 if i in self.long else self.code.weight(i)

    def _sums(self, numbers: Iterable[int]) -> Iterator[Sums]:
        groups: dict[tuple[str, str, tuple[int, ...], str], Sums] = {}
        for i in numbers:
            form, pairs, _ = self.code.instructions[i]
            left, right = (tuple(side) for side in zip(*pairs, strict=True))
            kind = "scalars" if not self.in_lanes(i) else "inner" if left[0] in self.code.sampled else "matrix"
            first = self.firsts.get(i)
            key = kind, form, {"inner": ()}.get(kind, right), repr(first)  # 0.0 is not -0.0
            group = groups.setdefault(key, Sums(kind, form, [], [], [], first))
            group.numbers.append(i)
            group.lefts.append(left)
            group.rights.append(right)
        yield from groups.values()

    def reads(self, i: int) -> tuple[int, ...]:
        """Return what is read by name where an instruction is done in a stretch; a loop's factors are in memory."""
        terms: tuple[int, ...] = self.code.instructions[i][2] if i in self.long else self.code.operands[i]
        return terms


def unused_after(reads: Iterable[tuple[int, Iterable[int]]]) -> dict[int, list[int]]:
    """Return for each stage, by its number, the values that are read in it and in no later one.

    >>> unused_after([(0, [7, 8]), (1, [8]), (3, [9])])
    {0: [7], 1: [8], 3: [9]}
    """
    last: dict[int, int] = {}
    for number, values in reads:
        for i in values:
            last[i] = max(last.get(i, number), number)
    found: dict[int, list[int]] = {}
    for i, number in last.items():
        found.setdefault(number, []).append(i)
    return found


class Totals:
    """What is added up over the samples.

    Args:
        code: the instructions; a few may be added.
        totals: each a sum of products.

    Attributes:
        outer: totals that are tables of products, with at least COLUMNS columns.
        single: the other totals, each with its product.
    """

    def __init__(self, code: Code, totals: Sequence[tuple[Pair, ...]]) -> None:
        rows: dict[tuple[int, ...], list[tuple[int, tuple[int, ...]]]] = {}
        left: tuple[int, ...]
        right: tuple[int, ...]
        for k, pairs in enumerate(totals):
            left, right = zip(*pairs, strict=True) if len(pairs) > 1 else ((pairs[0][0],), (pairs[0][1],))
            rows.setdefault(left, []).append((k, right))
        tables: dict[tuple[tuple[int, ...], ...], Outer] = {}
        self.single: list[tuple[int, Pair]] = []
        one = code.constant(1.0)
        for left, found in rows.items():
            if len(found) >= COLUMNS:
                columns = tuple([right for _, right in found])
                table = tables.setdefault(columns, Outer([], [], list(columns)))
                table.totals.append([k for k, _ in found])
                table.lefts.append(left)
                continue
            for k, _ in found:
                pair, *more = totals[k]
                self.single.append((k, (code.dot([pair, *more], [], "adjoint"), one) if more else pair))
        self.single.sort()
        self.outer = list(tables.values())

    def factors(self) -> list[int]:
        """Return the factors of the totals."""
        factors = [i for group in self.outer for side in (*group.lefts, *group.rights) for i in side]
        return [*factors, *(i for _, pair in self.single for i in pair)]
