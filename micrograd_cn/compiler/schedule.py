"""What a program does, in order: stretches of single instructions, between them sums of many products, and loads.

Long sums with the same right factors are done together: they are a matrix by a vector. How deep an instruction is says
how many long sums and loads lie one after the other below it; all that is equally deep is done at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple, TypeAlias

from .instructions import AFTER, BATCH, LONG, SAMPLE, SUMS, TAKE, Code, Pair, below, checked

ALONE = 32  # products from which a sum is a loop that shares its factors with no other one
COLUMNS = 3  # from which totals are a table
TOGETHER = 6  # sums that are checked together
CHUNK = 300  # instructions of a stretch: the time to compile one grows faster than its length


class Step(NamedTuple):
    """An instruction to be done.

    Attributes:
        number: the instruction's.
        starts: of a long sum only what it starts from is done, the terms and the few other products.
        together: what sums have in common that are checked together for whether one has overflowed; 0 for others.
    """

    number: int
    starts: bool = False
    together: int = 0


@dataclass
class Stretch:
    """Instructions, one after the other."""

    steps: list[Step]


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
    """

    kind: str
    form: str
    numbers: list[int]
    lefts: list[tuple[int, ...]]
    rights: list[tuple[int, ...]]


@dataclass
class Run:
    """Instructions of one form, whose operands lie side by side, or are the same; they are computed as vectors.

    Attributes:
        form: of the instructions.
        numbers: of the instructions.
        firsts: the operands of the first one.
        steps: for each operand, whether those of the next ones lie beside it.
    """

    form: str
    numbers: list[int]
    firsts: tuple[int, ...]
    steps: tuple[bool, ...]


@dataclass
class Takes:
    """Operands that are loaded by their number.

    Attributes:
        numbers: of the instructions, each with the index first among its operands.
    """

    numbers: list[int]


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


Stage: TypeAlias = Stretch | Run | Sums | Takes


class Long(NamedTuple):
    """A sum with so many products that they are a loop, and the few that are not."""

    kind: str
    pairs: list[Pair]
    others: list[Pair]


class Schedule:
    """The stages of all instructions that some of them need.

    Args:
        code: the instructions; a few may be added.
        roots: those whose values are wanted.
        totals: what is added up over the samples, each a sum of products.
        lanes: whether samples are in lanes; they are scalars if there is a single row at a time.

    Attributes:
        needed: the instructions that are done, in order.
        long: the long sums among them.
        taken: those among them that are loaded by a number.
        stages: those of each phase.
        outer: totals that are tables of products.
        single: the other totals, each with its product.
        size: about how many instructions the stretches have.
    """

    def __init__(self, code: Code, roots: Sequence[int], totals: Sequence[tuple[Pair, ...]], lanes: bool) -> None:
        self.code, self.lanes = code, lanes
        self.roots = roots
        self.outer, self.single = _grouped(code, totals)
        factors = [i for group in self.outer for side in (*group.lefts, *group.rights) for i in side]
        factors += [i for _, pair in self.single for i in pair]
        self.needed = sorted(below(code, [*roots, *factors]))
        found = {i: self._long(i) for i in self.needed if code.operands[i] and code.instructions[i][0] in SUMS}
        long = {i: sum_ for i, sum_ in found.items() if sum_.kind}
        rights = {i: tuple([b for _, b in sum_.pairs]) for i, sum_ in long.items() if len(sum_.pairs) < ALONE}
        shared = Counter(rights.values())
        self.long = {i: sum_ for i, sum_ in long.items() if i not in rights or shared[rights[i]] > 1}
        self.taken = {i for i in self.needed if code.instructions[i][0] == TAKE}
        self._depth = self._depths()
        self.stages: dict[int, list[Stage]] = {phase: list(self._stages(phase)) for phase in (BATCH, SAMPLE, AFTER)}
        self.size = code.size(i for i in self.needed if i not in self.long and i not in self.taken)

    def in_lanes(self, i: int) -> bool:
        """Return whether a value is a vector."""
        return self.lanes and self.code.phase[i] == SAMPLE

    def _long(self, i: int) -> Long:
        """Return a sum's products that are computed in a loop, the samples' factors on the right, and the others."""
        phase = self.code.phase
        pairs = [(b, a) if phase[a] == SAMPLE != phase[b] else (a, b) for a, b in self.code.instructions[i][1]]
        if not self.in_lanes(i):
            return Long("scalars", pairs, []) if len(pairs) >= LONG else Long("", [], pairs)
        mixed = [p for p in pairs if phase[p[0]] != SAMPLE]
        alike = [p for p in pairs if phase[p[0]] == SAMPLE]
        if len(mixed) >= LONG:
            return Long("matrix", mixed, alike)
        return Long("inner", alike, mixed) if len(alike) >= LONG else Long("", [], pairs)

    def _depths(self) -> dict[int, int]:
        code, depth = self.code, dict[int, int]()
        apart = self.taken | self.long.keys()
        for i in self.needed:
            if code.operands[i]:
                phase = code.phase[i]
                found = [depth[j] + (j in apart) for j in code.operands[i] if j in depth and code.phase[j] == phase]
                depth[i] = max(found, default=0)
        return depth

    def _stages(self, phase: int) -> Iterator[Stage]:
        code = self.code
        at: dict[int, list[int]] = {}
        taken: dict[int, list[int]] = {}
        for i in self.needed:
            if code.operands[i] and code.phase[i] == phase:
                (taken if i in self.taken else at).setdefault(self._depth[i], []).append(i)
        for depth in sorted(at.keys() | taken.keys()):
            found = at.get(depth, [])
            if self.lanes and phase == SAMPLE:
                yield from self._stretches(self._in_order(found))
            else:
                yield from map(Stretch, self._levels(found))
            yield from self._sums([i for i in found if i in self.long])
            if depth in taken:
                yield Takes(taken[depth])

    def _levels(self, numbers: Sequence[int]) -> Iterator[list[Step]]:
        """Yield steps of which none needs another, level by level."""
        level: dict[int, int] = {}
        levels: list[list[Step]] = []
        for i in numbers:
            step = Step(i, i in self.long)
            below_it = [level[j] + 1 for j in self.reads(step) if j in level and j not in self.long]
            level[i] = max(below_it, default=0)
            if level[i] == len(levels):
                levels.append([])
            levels[level[i]].append(step)
        yield from levels

    def _in_order(self, numbers: Sequence[int]) -> list[Step]:
        """Return steps in such an order that a value is used soon; sums that are checked come TOGETHER."""
        code = self.code
        inside = set(numbers)
        needs = {
            i: {j for j in self.reads(Step(i, i in self.long)) if j in inside and j not in self.long} for i in numbers
        }
        users: dict[int, list[int]] = {}
        for i in numbers:
            for j in needs[i]:
                users.setdefault(j, []).append(i)
        batched = [
            i
            for i in numbers
            if i not in self.long and code.instructions[i][0] in SUMS and checked(code.instructions[i])
        ]
        waiting = set(batched)
        first = 0  # of those that may still be waiting
        steps: list[Step] = []
        done: set[int] = set()

        def do(number: int, together: int = 0) -> None:
            stack = [number]
            while stack:
                i = stack.pop()
                if i in done or not needs[i] <= done:
                    continue
                done.add(i)
                waiting.discard(i)
                steps.append(Step(i, i in self.long, together))
                if together:
                    return
                stack += [j for j in reversed(users.get(i, ())) if j not in waiting]

        for i in numbers:
            if i in waiting:
                form = code.instructions[i][0]
                batch = [i]
                while batched[first] in done:
                    first += 1
                for j in batched[first : first + 4 * TOGETHER]:
                    alike = j in waiting and j != i and code.instructions[j][0] == form
                    if alike and len(batch) < TOGETHER and needs[j] <= done:
                        batch.append(j)
                for j in batch:
                    do(j, together=i + 1)
                for j in batch:
                    for user in users.get(j, ()):
                        if user not in waiting:
                            do(user)
            do(i)
        return steps

    def _stretches(self, steps: Iterable[Step]) -> Iterator[Stretch]:
        chunk: list[Step] = []
        weight = 0
        for step in steps:
            chunk.append(step)
            weight += self.weight(step)
            if weight >= CHUNK:
                yield Stretch(chunk)
                chunk, weight = [], 0
        if chunk:
            yield Stretch(chunk)

    def weight(self, step: Step) -> int:
        """Return about how many instructions of the machine a step is."""
        if not step.starts:
            return self.code.weight(step.number)
        return 1 + len(self.long[step.number].others) + len(self.code.instructions[step.number][2])

    def _sums(self, numbers: Iterable[int]) -> Iterator[Sums]:
        groups: dict[tuple[str, str, tuple[int, ...]], Sums] = {}
        for i in numbers:
            kind, pairs, _ = self.long[i]
            left, right = (tuple(side) for side in zip(*pairs, strict=True))
            form = self.code.instructions[i][0]
            group = groups.setdefault((kind, form, right if kind != "inner" else ()), Sums(kind, form, [], [], []))
            group.numbers.append(i)
            group.lefts.append(left)
            group.rights.append(right)
        yield from groups.values()

    def reads(self, step: Step) -> tuple[int, ...]:
        """Return the instructions that a step needs by name; a loop's factors are read from memory."""
        if not step.starts:
            return self.code.operands[step.number]
        _, _, terms, *twins = self.code.instructions[step.number]
        return (*chain.from_iterable(self.long[step.number].others), *terms, *twins)


def _grouped(code: Code, totals: Sequence[tuple[Pair, ...]]) -> tuple[list[Outer], list[tuple[int, Pair]]]:
    """Return totals that are tables, with at least COLUMNS columns, and the others as one product each."""
    rows: dict[tuple[int, ...], list[tuple[int, tuple[int, ...]]]] = {}
    for k, pairs in enumerate(totals):
        left, right = (tuple(side) for side in zip(*pairs, strict=True))
        rows.setdefault(left, []).append((k, right))
    tables: dict[tuple[tuple[int, ...], ...], Outer] = {}
    single = []
    one = code.constant(1.0)
    for left, found in rows.items():
        if len(found) >= COLUMNS:
            columns = tuple([right for _, right in found])
            table = tables.setdefault(columns, Outer([], [], list(columns)))
            table.totals.append([k for k, _ in found])
            table.lefts.append(left)
            continue
        for k, _ in found:
            pairs = totals[k]
            single.append((k, pairs[0] if len(pairs) == 1 else (code.dot(pairs, [], "adjoint"), one)))
    return list(tables.values()), sorted(single)
