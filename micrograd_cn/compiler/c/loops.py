"""Instructions as loops of C: like ones of one level together, their operands at even distances or by tables."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Any

from ..instructions.code import COMMUTATIVE, LONG, SUMS, TAKE, Code, Pair
from ..loops.stages import Outer, unused_after
from .elements import Elements, Place, braced, linear, repeated, split
from .text import Text

RANK = {"": -1, "inputs": 1, "work": 2}  # of arrays: which of two factors is the left one
FIRST = 4  # operands by which instructions are sorted


class Loops(Elements):
    """The lines of one function that compute instructions and totals."""

    def __init__(self, text: Text, code: Code, place: dict[int, Place]) -> None:
        super().__init__(text, code, place)
        self._oriented_pairs: dict[int, list[Pair]] = {}

    # Instructions.

    def write(self, numbers: Iterable[int], kept: Container[int]) -> None:
        """Write instructions, of which all others are known that they need: level by level, like ones together.

        The places of those that are not `kept` are free when the last one that needs them is done.
        """
        level: Counter[int] = Counter()  # 0 of what is known
        levels: dict[int, list[int]] = defaultdict(list)
        for i in numbers:
            if self.code.operands[i]:
                level[i] = 1 + max([level[j] for j in self.code.operands[i]])
                levels[level[i]].append(i)
        unused = unused_after((level[i], self.code.operands[i]) for i in level)
        for depth in sorted(levels):
            groups: dict[Any, list[int]] = defaultdict(list)
            for i in levels[depth]:
                groups[self._key(i)].append(i)
            for group in groups.values():
                for part in split(sorted(group, key=self._order), self._order):
                    self._group(part)
            self.give([self.place[i][1] for i in unused.get(depth, ()) if i in level and i not in kept])

    def _key(self, i: int) -> Any:
        """Return what is equal for instructions that are done in one loop."""
        form, *rest = self.code.instructions[i]
        if form not in SUMS:
            return form, self.arrays(self._operands(i))
        return form, *[self.arrays(pair) for pair in self._pairs(i)], self.arrays(rest[1])

    def _oriented(self, pairs: Iterable[Pair]) -> list[Pair]:
        """Return pairs of factors, or of what is added, with those of the same array on the same side."""
        return [(b, a) if RANK.get(self.array(b), 0) < RANK.get(self.array(a), 0) else (a, b) for a, b in pairs]

    def _pairs(self, i: int) -> list[Pair]:
        if i not in self._oriented_pairs:
            self._oriented_pairs[i] = self._oriented(self.code.instructions[i][1])
        return self._oriented_pairs[i]

    def _operands(self, i: int) -> Sequence[int]:
        form, *operands = self.code.instructions[i]
        if form not in COMMUTATIVE:
            return operands
        a, b = operands
        [pair] = self._oriented([(a, b)])
        return pair

    def _order(self, i: int) -> list[int]:
        """Return where the first operands are: so instructions are sorted, and what is even in it is one loop."""
        form, *rest = self.code.instructions[i]
        if form in SUMS:
            pairs = self._oriented(rest[0][:FIRST])
            return [*map(self.index_of, (j for pair in pairs for j in pair)), *map(self.index_of, rest[1][:FIRST])]
        return [*map(self.index_of, self._operands(i)[:FIRST])]

    def _group(self, members: Sequence[int]) -> None:
        """Write like instructions, which are one loop if there are several."""
        one, *others = members
        form, *rest = self.code.instructions[one]
        first = self.take(len(members))
        target = f"work[{linear(first, (int(bool(others)), 'i'))}]"
        if form in SUMS:
            lines = self._sums(members, target)
        elif form == TAKE:
            count = len(rest) - 1
            index = self.element([[self.code.operands[i][0]] for i in members])
            found = self.element([[*self.code.operands[i][1:]] for i in members], "i", "k")
            lines = [
                f"const long k = {self.text.index()}({index}, {count});",
                f"{target} = k < 0 ? {self.text.literal(float('nan'))} : {found};",
            ]
        else:
            columns = zip(*map(self._operands, members), strict=True)
            operands = [self.element([[j] for j in column]) for column in columns]
            lines = [f"{target} = {self.text.expression(form, operands)};"]
        self.loop(len(members), lines)
        self.place |= {i: ("work", place) for place, i in enumerate(members, first)}

    # Sums.

    def _sums(self, members: Sequence[int], target: str) -> list[str]:
        """Return what computes sums of one form, as long as each other."""
        pairs = [self._pairs(i) for i in members]
        [count] = {*map(len, pairs)}
        long = count >= LONG
        terms = self.columns([self.code.instructions[i][2] for i in members])
        lefts, rights = [[[a for a, _ in row] for row in pairs], [[b for _, b in row] for row in pairs]]
        products = [] if long else list(zip(self.columns(lefts), self.columns(rights), strict=True))
        total = self.text.sum(terms, products)
        if not long:
            return [f"{target} = {total};"]
        return [f"{self.text.kind} y = {total};", *self.products("y", lefts, rights), f"{target} = y;"]

    def products(
        self,
        name: str,
        lefts: list[list[int]],
        rights: list[list[int]],
        outer: tuple[str, str] = ("i", "i"),
    ) -> list[str]:
        """Return what adds long lists of products to a variable: a call if they lie at even distances, or a loop."""
        [count], sides = {*map(len, lefts)}, list(zip((lefts, rights), outer, strict=True))
        strides = [self.strided(rows, i) for rows, i in sides]
        if None not in strides:
            found = ", ".join([f"{pointer}, {step}" for pointer, step in filter(None, strides)])
            return [f"{name} = {self.text.dot()}({name}, {found}, {count});"]
        a, b = [self.element(rows, i, "k") for rows, i in sides]
        return [f"for (long k = 0; k < {count}; k++)", f"    {name} += {self._product(a, b)};"]

    # Totals of a batch.

    def add_table(self, group: Outer, place: dict[int, Place]) -> None:
        """Add products to totals that are a table, row by row."""
        targets = [[place[k] for k in row] for row in group.totals]

        def parts(sides: Sequence[tuple[int, ...]], ends: Sequence[Place]) -> Iterator[list[int]]:
            groups: dict[Any, list[int]] = defaultdict(list)
            for number, side in enumerate(sides):
                groups[self.arrays(side)].append(number)
            for numbers in groups.values():
                yield from split(numbers, lambda n: [ends[n][1], *map(self.index_of, sides[n][:FIRST])])

        columns = [*parts(group.rights, targets[0])]
        for rows in parts(group.lefts, [row[0] for row in targets]):
            for chosen in columns:
                at = [[targets[i][j] for j in chosen] for i in rows]
                self._part_of_table(at, [[*group.lefts[i]] for i in rows], [[*group.rights[j]] for j in chosen])

    def _part_of_table(self, targets: list[list[Place]], lefts: list[list[int]], rights: list[list[int]]) -> None:
        [array] = {array for row in targets for array, _ in row}
        target = f"{array}[{self.fit([[at for _, at in row] for row in targets], 'i', 'j')}]"
        [count] = {*map(len, lefts)}
        if count < LONG:
            a, b = self.columns(lefts), self.columns(rights, "j")
            lines = [f"{target} += {' + '.join(map(self._product, a, b))};"]
        else:
            zero = self.text.literal(-0.0).strip("()")
            lines = [f"{self.text.kind} y = {zero};", *self.products("y", lefts, rights, ("i", "j"))]
            lines.append(f"{target} += y;")
        loops = [(name, len(sides)) for name, sides in (("j", rights), ("i", lefts)) if sides[1:]]
        for name, count in loops:
            lines = repeated(name, count, lines)
        self.lines += lines if loops else braced(lines)

    def add_each(self, totals: Sequence[tuple[int, Pair]], place: dict[int, Place]) -> None:
        """Add one product to each of some totals."""
        self._each(
            [
                (place[k], pair)
                for k, pair in zip([k for k, _ in totals], self._oriented([p for _, p in totals]), strict=True)
            ],
            "+=",
        )
