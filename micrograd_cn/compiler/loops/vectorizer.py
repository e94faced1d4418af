"""Auto-vectorise scalar instructions of the same opcode.

A map is a list of such instructions, which SIMD instructions compute. The results of a map are contiguous in memory. If
a loop reads the results, they are in the order in which the loop can load them as SIMD vectors. Otherwise their order
lets the map load its own operands as SIMD vectors where possible.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

from ..instructions.code import START, SUM_OPCODES, Code, separate
from .places import Places
from .stages import Map, Stage
from .strides import runs

MIN_MAP_LENGTH = 3  # a map has at least so many instructions
MIN_MAP_VECTORS = 2  # at least so many SIMD vectors in a map, if shorter maps can be joined by gathering operands
LOOKAHEAD = 6  # how many of the following instructions are tried as the second one of a strided run
UNPLACED_STRIDE = 1 << 32  # the distance at which values without places are assumed, farther than any two places
PLACE_BITS = 80  # the bits for each place in `_packed`, which suffice for multiples of UNPLACED_STRIDE
MAX_PACKED_ONE_BY_ONE = 16  # more places are packed by halves, since to append them one by one takes quadratic time

Offsets: TypeAlias = tuple[int, ...]


class _Candidate(NamedTuple):
    """An instruction that may be in a map, a list of instructions of one opcode that are computed as vectors.

    Attributes:
        order: the key by which candidates are sorted.
        number: the instruction's number.
        places: the places of its operands.
    """

    order: tuple[Any, ...]
    number: int
    places: Offsets


class Vectorizer:
    """Find maps among scalar instructions, and place their results.

    Args:
        places: the places of values, to which the places of the maps' results are added.
        preferred: a dict from the instruction number of each value that a loop reads to the key by which the value is
            sorted, see `Plan._preferred_order`.
        gather: whether a map may have operands that are not contiguous in memory, and are loaded one by one.
        min_length: the length from which a run is a map of its own, if `gather` is set. In a run, the operands lie at
            constant strides from instruction to instruction. The instructions of an opcode that are in no such run
            share one map. 0 stands for the length of MIN_MAP_VECTORS SIMD vectors.
        split_by: a function from an instruction number to a key. All instructions of a map have the same key. By
            default instructions have no keys.
    """

    def __init__(
        self,
        places: Places,
        preferred: dict[int, tuple[int, int]],
        gather: bool,
        min_length: int = 0,
        split_by: Callable[[int], Any] | None = None,
    ) -> None:
        self._places, self._code, self._schedule = places, places.code, places.schedule
        self._preferred, self._gather, self._split_by = preferred, gather, split_by
        self._min_length = min_length or MIN_MAP_VECTORS * places.simd

    def sort_key(self, i: int) -> tuple[Any, ...]:
        """Return the key by which instruction `i` is sorted.

        Instructions whose values a loop reads come first, in the order in which the loop reads them. The other
        instructions are sorted by the places of their operands.
        """
        [candidate] = self._candidates(self._code.instructions[i][0], [i])
        return candidate.order

    def _candidates(self, opcode: str, numbers: Iterable[int]) -> list[_Candidate]:
        """Return a `_Candidate` for each instruction in `numbers`, sorted by `order`. All have the opcode `opcode`."""
        operands, preferred = self._code.operands, self._preferred
        sum_ = opcode in SUM_OPCODES
        by_number = sum_ and not self._gather
        found = []
        for i in numbers:
            places = self._operand_places(operands[i])
            if i in preferred:
                order: tuple[Any, ...] = (False, *preferred[i])
            else:
                order = (True, True, i) if by_number else (True, sum_, *places)
            found.append(_Candidate(order, i, places))
        found.sort()
        return found

    def _operand_places(self, operands: Sequence[int]) -> Offsets:
        place = self._places.scalar
        return tuple([place[j] if j in place else -j * UNPLACED_STRIDE - UNPLACED_STRIDE for j in operands])

    def find(self, numbers: Sequence[int]) -> tuple[Sequence[Stage], Sequence[int]]:
        """Return the maps among some instructions, and the numbers of the instructions that are in no map.

        The instructions with the given `numbers` must not depend on each other, as in a level of a `Layer`. All their
        results get places.
        """
        groups: dict[Any, list[int]] = {}
        if len(numbers) >= MIN_MAP_LENGTH:
            for i in numbers:
                if signature := self._signature(i):
                    groups.setdefault(signature, []).append(i)
        if not groups or len(groups) == len(numbers):
            for i in numbers:
                self._places.ensure(i)
            return [], numbers
        stages: list[Stage] = [*self._maps_of_starts(groups.pop(START, []))]
        for signature, found in groups.items():
            if len(found) >= MIN_MAP_LENGTH:
                stages += self._maps_of(signature, found)
        inside = {i for stage in stages for i in stage.numbers}
        rest = [i for i in numbers if i not in inside]
        for i in sorted(rest, key=self.sort_key):
            self._places.ensure(i)
        return stages, rest

    def _signature(self, i: int) -> Any:
        """Return the signature of instruction `i`, which is equal for all instructions of a map.

        It is START for a long sum, and None if the instruction cannot be in a map. In all other cases it begins with
        the opcode. For a sum, the counts of its products and terms follow. If there is a `split_by`, the key that it
        returns follows.
        """
        opcode, *rest = self._code.instructions[i]
        if i in self._schedule.long_sums:
            return START
        if opcode in SUM_OPCODES and not self._gather:
            return None
        if self._split_by or opcode in SUM_OPCODES:
            return opcode, tuple(map(len, rest)) if opcode in SUM_OPCODES else (), self._split_by and self._split_by(i)
        return opcode

    def _maps_of(self, signature: Any, numbers: Sequence[int]) -> Iterator[Stage]:
        """Yield the maps among instructions with the same `_signature`, and give places to the results of the maps."""
        opcode = signature[0] if isinstance(signature, tuple) else signature
        self._place_constants_contiguously(numbers)
        candidates = self._candidates(opcode, numbers)
        if not self._gather:
            yield from self._maps_and_rest(opcode, _contiguous_runs(candidates), MIN_MAP_LENGTH, [])
            return
        min_length, short, rest = self._min_length, list[_Candidate](), list[_Candidate]()
        yield from self._maps_and_rest(opcode, _contiguous_runs(candidates), min_length, short)
        preferred, others = separate(short, lambda candidate: candidate.number in self._preferred)
        yield from self._maps_and_rest(opcode, _strided_runs(others, min_length), min_length, rest)
        if len(preferred) + len(rest) >= MIN_MAP_LENGTH:
            yield self._map(opcode, [*preferred, *rest])

    def _maps_and_rest(
        self, opcode: str, found: Iterable[Sequence[_Candidate]], min_length: int, others: list[_Candidate]
    ) -> Iterator[Map]:
        """Yield a map for each run of candidates that is long enough. Append the candidates of shorter runs to a list.

        Args:
            opcode: the opcode of all candidates.
            found: the runs.
            min_length: the least length of a run that is a map.
            others: the list to which the candidates of shorter runs are appended.
        """
        for candidates in found:
            if len(candidates) < min_length:
                others += candidates
            else:
                yield self._map(opcode, candidates)

    def _map(self, opcode: str, candidates: Sequence[_Candidate]) -> Map:
        numbers = [i for _, i, _ in candidates]
        self._places.place_contiguously(numbers, pad=True)
        return Map(opcode, numbers)

    def _maps_of_starts(self, numbers: Iterable[int]) -> Iterator[Map]:
        """Yield maps that copy the start values of long sums to the places of these sums.

        The length of such a map is a multiple of that of a SIMD vector, since padding would overwrite the places of
        other sums.
        """
        place = self._places.scalar
        candidates = sorted(
            [_Candidate((place[i],), i, (place[i], *self._operand_places([self._schedule.start(i)]))) for i in numbers]
        )
        for found in _contiguous_runs(candidates):
            if whole := len(found) // self._places.simd * self._places.simd:
                yield Map(START, [i for _, i, _ in found[:whole]])

    def _place_constants_contiguously(self, numbers: Sequence[int]) -> None:
        """If instructions differ only in one constant operand, place these constants contiguously in memory.

        A map of the instructions can then load the constants as SIMD vectors.
        """
        operands, known = self._code.operands, self._code.constants
        differing: dict[tuple[int | None, ...], list[int]] = {}
        for i in numbers:
            constants = [j for j in operands[i] if j in known]
            if len(constants) == 1 < len(operands[i]):
                others = tuple([None if j in known else j for j in operands[i]])
                differing.setdefault(others, []).append(constants[0])
        for constants in differing.values():
            if len(constants) >= MIN_MAP_LENGTH:
                self._places.place_contiguously(constants)


def strided_inputs(code: Code, numbers: Iterable[int], min_length: int) -> Iterator[list[int]]:
    """Yield lists of inputs that instructions of one opcode read, and whose distances in the row of inputs are equal.

    The distance from each input to the next is more than 1, so the inputs are not contiguous. If they are copied to
    contiguous places, a map can load them as SIMD vectors.

    Args:
        code: the instructions.
        numbers: the numbers of the instructions to look at.
        min_length: the least length of a list that is yielded.

    >>> code, sample = Code(), 2
    >>> x = [code.append(("input", k), sample) for k in range(6)]
    >>> sines = [code.emit("sin", i) for i in x[::2]]
    >>> list(strided_inputs(code, range(9), 3))
    [[0, 2, 4]]
    """
    opcodes = [instruction[0] for instruction in code.instructions]
    column = {i: code.instructions[i][1] for i in numbers if opcodes[i] == "input"}
    if len(column) < min_length:
        return
    read: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for i in numbers:
        if opcodes[i] not in SUM_OPCODES and (inputs := [j for j in code.operands[i] if j in column]):
            read[opcodes[i], *[opcodes[j] for j in code.operands[i]]] += inputs
    groups: dict[tuple[str, ...], set[int]] = defaultdict(set)
    for (opcode, *kinds), some in read.items():
        groups[opcode, *sorted(kinds)].update(some)
    for found in groups.values():
        in_order = sorted(found, key=column.__getitem__)
        if column[in_order[-1]] - column[in_order[0]] == len(in_order) - 1:  # contiguous already
            continue
        for run in _strided_runs([_Candidate((), i, (column[i],)) for i in in_order], min_length):
            if len(run) >= min_length and run[1].places[0] - run[0].places[0] > 1:
                yield [candidate.number for candidate in run]


def _contiguous_runs(candidates: Sequence[_Candidate]) -> Iterator[Sequence[_Candidate]]:
    """Split sorted candidates into the longest runs in which, slot by slot, operands are contiguous or all the same.

    >>> candidates = [_Candidate((), k, (place, 7)) for k, place in enumerate([0, 1, 2, 4, 5])]
    >>> [len(run) for run in _contiguous_runs(candidates)]
    [3, 2]
    """
    for part in runs([candidate.places for candidate in candidates], {0, 1}.issuperset):
        yield candidates[part.start : part.stop]


def _strided_runs(candidates: Sequence[_Candidate], min_length: int) -> Iterator[Sequence[_Candidate]]:
    """Split sorted candidates into runs with constant strides. Runs may be interleaved.

    The search takes the first candidate that is in no run yet, and looks for the longest run that begins with it. If
    that run is shorter than `min_length`, the candidate is yielded alone.

    >>> places = [(1, 1), (1, 7), (2, 3), (2, 7), (3, 5), (3, 9)]
    >>> candidates = [_Candidate((), k, place) for k, place in enumerate(places)]
    >>> [[candidate.number for candidate in run] for run in _strided_runs(candidates, 3)]
    [[0, 2, 4], [1], [3], [5]]
    """
    waiting = {_packed(candidate.places): candidate for candidate in candidates}
    keys = [*waiting]
    next_place = 1 << PLACE_BITS * (len(candidates[0].places) - 1) if candidates else 0
    for k, candidate in enumerate(candidates):
        key = _packed(candidate.places)
        if key not in waiting:
            continue
        count, step = 1, 0
        after = bisect_left(keys, key + next_place)  # from here on, first operands are at least one place further
        for other in keys[k + 1 : k + 1 + LOOKAHEAD] + keys[after : after + LOOKAHEAD]:
            distance = other - key
            if distance != step and other in waiting and other + distance in waiting:
                length = 3
                while key + distance * length in waiting:
                    length += 1
                if length > count:
                    count, step = length, distance
        yield [waiting.pop(key + step * n) for n in range(count if count >= min_length else 1)]


def _packed(places: Sequence[int]) -> int:
    """Pack places into one integer, as its digits, so a single addition of integers adds a stride to each place.

    >>> _packed((2, 3)) + _packed((5, -4)) == _packed((7, -1))
    True
    >>> _packed(range(40)) == sum(place << 80 * (39 - place) for place in range(40))
    True
    """
    if len(places) > MAX_PACKED_ONE_BY_ONE:
        half = len(places) // 2
        return (_packed(places[:half]) << PLACE_BITS * (len(places) - half)) + _packed(places[half:])
    number = 0
    for place in places:
        number = (number << PLACE_BITS) + place
    return number
