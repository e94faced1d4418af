"""Instructions of one kind on scalars, found and placed so that they are computed as vectors."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

from ..instructions.code import START, SUM_OPCODES, Code, partition
from .places import Places
from .stages import Map, Stage
from .strides import runs

SHORTEST = 3  # instructions that are a map
VECTORS = 2  # a map of fewer is joined with others of its kind, and their operands are gathered
NEAR = 6  # next instructions, among which the one that continues a map is looked for
FAR = 1 << 32  # places between any two values that have none yet
DIGIT = 80  # bits for a place where several are packed into one number, with room for multiples of a distance
MANY_DIGITS = 16  # places that are packed by halves

Offsets: TypeAlias = tuple[int, ...]


class _Placed(NamedTuple):
    """An instruction, and where its operands are."""

    order: tuple[Any, ...]
    number: int
    places: Offsets


class Vectorizer:
    """Find maps, and place their results.

    Args:
        places: where values lie, and the results will.
        wished: for a value that a loop reads, the loop's number and the value's position in it.
        gather: whether maps may have operands that do not lie side by side.
        least: how many instructions are a map of their own then; shorter runs of one opcode are joined in one map.
        apart: returns for an instruction's number what else must be equal within a map.
    """

    def __init__(
        self,
        places: Places,
        wished: dict[int, tuple[int, int]],
        gather: bool,
        least: int = 0,
        apart: Callable[[int], Any] | None = None,
    ) -> None:
        self._given, self._code, self._schedule = places, places.code, places.schedule
        self._wished, self._gather, self._apart = wished, gather, apart
        self._least = least or VECTORS * places.simd

    def order(self, i: int) -> tuple[Any, ...]:
        """Return what instructions are sorted by, so that they lie as loops read them, or as their operands do."""
        [placed] = self._placed(self._code.instructions[i][0], [i])
        return placed.order

    def _placed(self, opcode: str, numbers: Iterable[int]) -> list[_Placed]:
        """Return where instructions of an opcode and their operands are, in order."""
        operands, wished = self._code.operands, self._wished
        sum_ = opcode in SUM_OPCODES
        by_number = sum_ and not self._gather
        found = []
        for i in numbers:
            places = self._places(operands[i])
            if i in wished:
                order: tuple[Any, ...] = (False, *wished[i])
            else:
                order = (True, True, i) if by_number else (True, sum_, *places)
            found.append(_Placed(order, i, places))
        found.sort()
        return found

    def _places(self, operands: Sequence[int]) -> Offsets:
        place = self._given.scalar
        return tuple([place[j] if j in place else -j * FAR - FAR for j in operands])

    def of(self, numbers: Sequence[int]) -> tuple[Sequence[Stage], Sequence[int]]:
        """Return the maps among instructions of which none needs another, and the other ones."""
        alike: dict[Any, list[int]] = {}
        if len(numbers) >= SHORTEST:
            for i in numbers:
                if kind := self._kind(i):
                    alike.setdefault(kind, []).append(i)
        if not alike or len(alike) == len(numbers):
            for i in numbers:
                self._given.keep(i)
            return [], numbers
        stages: list[Stage] = [*self._started(alike.pop(START, []))]
        for kind, found in alike.items():
            if len(found) >= SHORTEST:
                stages += self._of_kind(kind, found)
        inside = {i for stage in stages for i in stage.numbers}
        rest = [i for i in numbers if i not in inside]
        for i in sorted(rest, key=self.order):
            self._given.keep(i)
        return stages, rest

    def _kind(self, i: int) -> Any:
        """Return what is the same for instructions that may be a map, None if it is in none."""
        opcode, *rest = self._code.instructions[i]
        if i in self._schedule.long_sums:
            return START
        if opcode in SUM_OPCODES and not self._gather:
            return None
        if self._apart or opcode in SUM_OPCODES:
            return opcode, tuple(map(len, rest)) if opcode in SUM_OPCODES else (), self._apart and self._apart(i)
        return opcode

    def _of_kind(self, kind: Any, numbers: Sequence[int]) -> Iterator[Stage]:
        """Yield the maps of instructions of one kind, with their results placed."""
        opcode = kind[0] if isinstance(kind, tuple) else kind
        self._place_constants(numbers)
        placed = self._placed(opcode, numbers)
        if not self._gather:
            yield from self._long_enough(opcode, _beside(placed), SHORTEST, [])
            return
        least, apart, rest = self._least, list[_Placed](), list[_Placed]()
        yield from self._long_enough(opcode, _beside(placed), least, apart)
        wished, others = partition(apart, lambda one: one.number in self._wished)
        yield from self._long_enough(opcode, _chains(others, least), least, rest)
        if len(wished) + len(rest) >= SHORTEST:
            yield self._map(opcode, [*wished, *rest])

    def _long_enough(
        self, opcode: str, found: Iterable[Sequence[_Placed]], least: int, others: list[_Placed]
    ) -> Iterator[Map]:
        """Yield maps of those that are long enough, and add the others' instructions to a list."""
        for placed in found:
            if len(placed) < least:
                others += placed
            else:
                yield self._map(opcode, placed)

    def _map(self, opcode: str, placed: Sequence[_Placed]) -> Map:
        numbers = [i for _, i, _ in placed]
        self._given.side_by_side(numbers, whole=True)
        return Map(opcode, numbers)

    def _started(self, numbers: Iterable[int]) -> Iterator[Map]:
        """Yield maps of what long sums start from: full vectors alone, since padding would overwrite the next sums."""
        place = self._given.scalar
        placed = sorted(
            [_Placed((place[i],), i, (place[i], *self._places([self._schedule.start(i)]))) for i in numbers]
        )
        for found in _beside(placed):
            if whole := len(found) // self._given.simd * self._given.simd:
                yield Map(START, [i for _, i, _ in found[:whole]])

    def _place_constants(self, numbers: Sequence[int]) -> None:
        """Place constants side by side that are all in which some instructions differ, for a map."""
        operands, known = self._code.operands, self._code.constants
        beside: dict[tuple[int | None, ...], list[int]] = {}
        for i in numbers:
            constants = [j for j in operands[i] if j in known]
            if len(constants) == 1 < len(operands[i]):
                others = tuple([None if j in known else j for j in operands[i]])
                beside.setdefault(others, []).append(constants[0])
        for constants in beside.values():
            if len(constants) >= SHORTEST:
                self._given.side_by_side(constants)


def families(code: Code, numbers: Iterable[int], least: int) -> Iterator[list[int]]:
    """Yield inputs at even distances, more than 1, that `least` instructions of one kind read: to be copied together.

    >>> code, sample = Code(), 2
    >>> x = [code.append(("input", k), sample) for k in range(6)]
    >>> sines = [code.emit("sin", i) for i in x[::2]]
    >>> list(families(code, range(9), 3))
    [[0, 2, 4]]
    """
    opcodes = [instruction[0] for instruction in code.instructions]
    column = {i: code.instructions[i][1] for i in numbers if opcodes[i] == "input"}
    if len(column) < least:
        return
    read: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for i in numbers:
        if opcodes[i] not in SUM_OPCODES and (inputs := [j for j in code.operands[i] if j in column]):
            read[opcodes[i], *[opcodes[j] for j in code.operands[i]]] += inputs
    alike: dict[tuple[str, ...], set[int]] = defaultdict(set)
    for (opcode, *kinds), some in read.items():
        alike[opcode, *sorted(kinds)].update(some)
    for found in alike.values():
        beside = sorted(found, key=column.__getitem__)
        if column[beside[-1]] - column[beside[0]] == len(beside) - 1:  # one beside the other
            continue
        for chain in _chains([_Placed((), i, (column[i],)) for i in beside], least):
            if len(chain) >= least and chain[1].places[0] - chain[0].places[0] > 1:
                yield [one.number for one in chain]


def _beside(placed: Sequence[_Placed]) -> Iterator[Sequence[_Placed]]:
    """Yield the longest parts in which each operand lies beside that of the instruction before, or is the same one.

    >>> [len(one) for one in _beside([_Placed((), k, (place, 7)) for k, place in enumerate([0, 1, 2, 4, 5])])]
    [3, 2]
    """
    for part in runs([one.places for one in placed], {0, 1}.issuperset):
        yield placed[part.start : part.stop]


def _chains(placed: Sequence[_Placed], least: int) -> Iterator[Sequence[_Placed]]:
    """Yield sorted instructions at even distances, between which there may be others; alone if they are not `least`.

    >>> places = [(1, 1), (1, 7), (2, 3), (2, 7), (3, 5), (3, 9)]
    >>> [[k for _, k, _ in chain] for chain in _chains([_Placed((), k, place) for k, place in enumerate(places)], 3)]
    [[0, 2, 4], [1], [3], [5]]
    """
    waiting = {_digits(one.places): one for one in placed}
    codes = [*waiting]
    farther = 1 << DIGIT * (len(placed[0].places) - 1) if placed else 0
    for k, one in enumerate(placed):
        code = _digits(one.places)
        if code not in waiting:
            continue
        count, step = 1, 0
        beside = bisect_left(codes, code + farther)  # the next one has this first operand, or the same one
        for other in codes[k + 1 : k + 1 + NEAR] + codes[beside : beside + NEAR]:
            way = other - code
            if way != step and other in waiting and other + way in waiting:
                links = 3
                while code + way * links in waiting:
                    links += 1
                if links > count:
                    count, step = links, way
        yield [waiting.pop(code + step * n) for n in range(count if count >= least else 1)]


def _digits(places: Sequence[int]) -> int:
    """Return places as digits of one number, so that all of them are added at once.

    >>> _digits((2, 3)) + _digits((5, -4)) == _digits((7, -1))
    True
    >>> _digits(range(40)) == sum(place << 80 * (39 - place) for place in range(40))
    True
    """
    if len(places) > MANY_DIGITS:  # to lengthen one number by digit after digit would take the square of their count
        half = len(places) // 2
        return (_digits(places[:half]) << DIGIT * (len(places) - half)) + _digits(places[half:])
    code = 0
    for place in places:
        code = (code << DIGIT) + place
    return code
