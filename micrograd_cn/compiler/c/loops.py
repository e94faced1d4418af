"""Instructions as loops of C: the maps of a schedule, each with its operands at even distances or by tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Any

from ..instructions.code import COMMUTATIVE, GATHER, MIN_LOOP_PRODUCTS, SUM_OPCODES, Code, Pair, operands
from ..loops.places import Places
from ..loops.schedule import Schedule
from ..loops.stages import OuterProduct, dead_after
from ..loops.vectorizer import Vectorizer
from .arrays import WORK, Arrays, Place, address, braced, constants, fit, repeated, split
from .text import Text

SIDES = {"constant": 0, "seed": 0, "parameter": 1, "total": 1, "input": 2}  # of leaves; of two, the left one first
OWN_LOOP = 8  # instructions of one kind that are a loop of their own if their operands are at even distances
FIRST = 4  # factors by which rows and columns of totals are split


class Loops(Arrays):
    """The lines of one function that compute instructions and totals.

    Args:
        text: of the file.
        schedule: what is done; factors are swapped so that each side reads one array.
        leaves: where parameters and inputs are.
    """

    def __init__(self, text: Text, schedule: Schedule, leaves: dict[int, Place]) -> None:
        super().__init__(text, Places(schedule, simd=1, lanes=1, scalars=WORK))
        self.schedule = schedule
        _orient(schedule.code)
        self.put(leaves)
        self.places.put(constants(schedule.code, schedule.leaves))
        self._maps = Vectorizer(
            self.places, {}, gather=True, least=OWN_LOOP, apart=lambda i: self.arrays(schedule.code.operands[i])
        )

    def put(self, found: dict[int, Place]) -> None:
        """Take note where values are."""
        self.places.put({i: address(place) for i, place in found.items()})

    # Instructions.

    def write(self, phases: Iterable[int], kept: Container[int]) -> None:
        """Write the instructions of some phases, level by level, those of one kind together.

        The places of those that are not `kept` are free when the last one that needs them is done.
        """
        layers = [layer for phase in phases for layer in self.schedule.layers[phase]]
        levels = [level for layer in layers for level in (*layer.levels.values(), layer.gathers)]
        operands = self.code.operands
        here = {i for level in levels for i in level}
        unused = dead_after((n, operands[i]) for n, level in enumerate(levels) for i in level)
        for n, level in enumerate(levels):
            maps, rest = self._maps.of(level)
            for members in [*(stage.numbers for stage in maps), *([i] for i in rest)]:
                self._group(members)
            self.places.free([self.places.scalar[i] for i in unused.get(n, ()) if i in here and i not in kept])

    def _group(self, members: Sequence[int]) -> None:
        """Write instructions of one kind, which are one loop if there are several."""
        opcode, *rest = self.code.instructions[members[0]]
        target = self.element([[i] for i in members])
        if opcode in SUM_OPCODES:
            lines = self._sums(members, target)
        elif opcode == GATHER:
            count = len(rest) - 1
            index = self.element([[self.code.operands[i][0]] for i in members])
            found = self.element([[*self.code.operands[i][1:]] for i in members], "i", "k")
            lines = [
                f"const long k = {self.text.index()}({index}, {count});",
                f"{target} = k < 0 ? {self.text.literal(float('nan'))} : {found};",
            ]
        else:
            operands_ = self.operands([self.code.operands[i] for i in members])
            lines = [f"{target} = {self.text.expression(opcode, operands_)};"]
        self.loop(len(members), lines)

    # Sums.

    def _sums(self, members: Sequence[int], target: str) -> list[str]:
        """Return what computes sums of one opcode, as long as each other."""
        pairs = [self.code.instructions[i][1] for i in members]
        [count] = {*map(len, pairs)}
        long = count >= MIN_LOOP_PRODUCTS
        terms = self.operands([self.code.instructions[i][2] for i in members])
        lefts, rights = [[[a for a, _ in row] for row in pairs], [[b for _, b in row] for row in pairs]]
        products = [] if long else list(zip(self.operands(lefts), self.operands(rights), strict=True))
        total = self.text.sum(terms, products)
        if not long:
            return [f"{target} = {total};"]
        return [f"{self.text.kind} y = {total};", *self.products(lefts, rights), f"{target} = y;"]

    def products(
        self, lefts: list[list[int]], rights: list[list[int]], outer: tuple[str, str] = ("i", "i")
    ) -> list[str]:
        """Return what adds long lists of products to `y`: a call if they lie at even distances, or a loop."""
        [count], sides = {*map(len, lefts)}, list(zip((lefts, rights), outer, strict=True))
        strides = [self.strided(rows, i) for rows, i in sides]
        if None not in strides:
            found = ", ".join([f"{pointer}, {step}" for pointer, step in filter(None, strides)])
            return [f"y = {self.text.dot()}(y, {found}, {count});"]
        a, b = [self.element(rows, i, "k") for rows, i in sides]
        return [f"for (long k = 0; k < {count}; k++)", f"    y += {self._product(a, b)};"]

    # Totals of a batch.

    def add_outer(self, group: OuterProduct, place: dict[int, Place]) -> None:
        """Add an outer product to its totals, row by row."""
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
                self._part_of_outer(at, [[*group.lefts[i]] for i in rows], [[*group.rights[j]] for j in chosen])

    def _part_of_outer(self, targets: list[list[Place]], lefts: list[list[int]], rights: list[list[int]]) -> None:
        [array] = {array for row in targets for array, _ in row}
        target = f"{array}[{fit(self.text, [[at for _, at in row] for row in targets], 'i', 'j')}]"
        [count] = {*map(len, lefts)}
        if count < MIN_LOOP_PRODUCTS:
            a, b = self.operands(lefts), self.operands(rights, "j")
            lines = [f"{target} += {' + '.join(map(self._product, a, b))};"]
        else:
            zero = self.text.literal(-0.0).strip("()")
            lines = [f"{self.text.kind} y = {zero};", *self.products(lefts, rights, ("i", "j"))]
            lines.append(f"{target} += y;")
        loops = [(name, len(sides)) for name, sides in (("j", rights), ("i", lefts)) if sides[1:]]
        for name, count in loops:
            lines = repeated(name, count, lines)
        self.lines += lines if loops else braced(lines)

    def add_each(self, totals: Sequence[tuple[int, Pair]], place: dict[int, Place]) -> None:
        """Add one product to each of some totals."""
        self._each([(place[k], _sides(self.code, pair)) for k, pair in totals], "+=")


def _sides(code: Code, pair: Pair) -> Pair:
    """Return two factors, or what is added, on the sides that those of their arrays have."""
    a, b = pair
    left, right = [SIDES.get(code.instructions[i][0], 3) for i in pair]
    return (b, a) if right < left else pair


def _orient(code: Code) -> None:
    """Let factors of products, and what is added, change sides."""
    for i, (opcode, *rest) in enumerate(code.instructions):
        if opcode in SUM_OPCODES:
            code.instructions[i] = opcode, tuple([_sides(code, pair) for pair in rest[0]]), rest[1]
        elif opcode in COMMUTATIVE:
            code.instructions[i] = opcode, *_sides(code, (rest[0], rest[1]))
        else:
            continue
        code.operands[i] = operands(code.instructions[i])
