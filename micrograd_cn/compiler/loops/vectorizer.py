"""Auto-vectorise scalar instructions of the same opcode.

A map is a list of such instructions, which SIMD instructions compute. The results of a map are contiguous in memory. If
a loop reads the results, they are in the order in which the loop can load them as SIMD vectors. Otherwise their order
lets the map load its own operands as SIMD vectors where possible.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from ..instructions.code import SUM_OPCODES
from .places import Places
from .stages import Map, Stage
from .strides import MIN_LOOP_LENGTH, contiguous_runs, strided_groups

UNPLACED_STRIDE = 1 << 32  # the distance at which values without places are assumed, farther than any two places

OperandPlaces: TypeAlias = tuple[int, ...]


class Vectorizer:
    """Find maps among scalar instructions, and place their results.

    A map is a list of instructions of one opcode on scalars, which SIMD instructions compute.

    Args:
        places: the places of values, to which the places of the maps' results are added.
        preferred: a dict from the instruction number of each value that a loop reads to the key by which the value is
            sorted, see `Plan._preferred_order`.
        loads_singly: whether a map may have operands that are not contiguous in memory, and are loaded one by one.
        min_rank: among fewer instructions than this, no maps are looked for.
        min_length: the length from which a run is a map of its own, if `loads_singly` is set. In a run, the operands
            lie at constant strides from instruction to instruction. The instructions of an opcode that are in no such
            run share one map, unless they are fewer than MIN_LOOP_LENGTH.
        split_by: a function from an instruction number to a key. All instructions of a map have the same key. By
            default instructions have no keys.
    """

    def __init__(
        self,
        places: Places,
        preferred: dict[int, tuple[int, int]],
        loads_singly: bool,
        min_rank: int,
        min_length: int,
        split_by: Callable[[int], Any] | None = None,
    ) -> None:
        self._places, self._code = places, places.code
        self._preferred, self._loads_singly, self._split_by = preferred, loads_singly, split_by
        self._min_rank, self._min_length = min_rank, min_length

    def sort_key(self, i: int) -> tuple[Any, ...]:
        """Return the key by which instruction `i` is sorted.

        Instructions whose values a loop reads come first, in the order in which the loop reads them. The other
        instructions are sorted by the places of their operands.
        """
        return self._sort_key(i, self._operand_places(self._code.operands[i]))

    def _sort_key(self, i: int, places: OperandPlaces) -> tuple[Any, ...]:
        if i in self._preferred:
            return (False, *self._preferred[i])
        sum_ = self._code.instructions[i][0] in SUM_OPCODES
        return (True, True, i) if sum_ and not self._loads_singly else (True, sum_, *places)

    def _sorted(self, numbers: Iterable[int]) -> dict[int, OperandPlaces]:
        """Return a dict from instruction numbers, sorted by `sort_key`, to the places of the instructions' operands."""
        places = {i: self._operand_places(self._code.operands[i]) for i in numbers}
        return {i: places[i] for i in sorted(places, key=lambda i: self._sort_key(i, places[i]))}

    def _operand_places(self, operands: Sequence[int]) -> OperandPlaces:
        place = self._places.scalar
        return tuple([place[j] if j in place else -j * UNPLACED_STRIDE - UNPLACED_STRIDE for j in operands])

    def find(self, numbers: Sequence[int]) -> tuple[Sequence[Stage], Sequence[int]]:
        """Return the maps among some instructions, and the numbers of the instructions that are in no map.

        A map is a list of instructions of one opcode, which a loop computes. The instructions with the given `numbers`
        must not depend on each other, as in a rank of a `Schedule`. The results of all of them get places in memory.
        """
        groups: dict[Any, list[int]] = {}
        if len(numbers) >= self._min_rank:
            for i in numbers:
                if signature := self._signature(i):
                    groups.setdefault(signature, []).append(i)
        if not groups or len(groups) == len(numbers):
            self._places.ensure(numbers)
            return [], numbers
        stages: list[Stage] = []
        for signature, found in groups.items():
            if len(found) >= MIN_LOOP_LENGTH:
                stages += self._maps_of(signature, found)
        inside = {i for stage in stages for i in stage.numbers}
        rest = [i for i in numbers if i not in inside] if inside else numbers
        self._places.ensure(sorted(rest, key=self.sort_key))
        return stages, rest

    def _signature(self, i: int) -> Any:
        """Return the signature of instruction `i`, which is equal for all instructions of a map.

        It is None if the instruction cannot be in a map. Otherwise it begins with the opcode. For a sum, the counts of
        its products and terms follow. If there is a `split_by`, the key that it returns follows.
        """
        opcode, *rest = self._code.instructions[i]
        if opcode in SUM_OPCODES and not self._loads_singly:
            return None
        if self._split_by or opcode in SUM_OPCODES:
            return opcode, tuple(map(len, rest)) if opcode in SUM_OPCODES else (), self._split_by and self._split_by(i)
        return opcode

    def _maps_of(self, signature: Any, numbers: Sequence[int]) -> Iterator[Stage]:
        """Yield maps of instructions that have the same opcode, and give places to the results of these maps.

        `signature` is what `_signature` returns for each of the instructions.
        """
        opcode = signature[0] if isinstance(signature, tuple) else signature
        self._place_constants_contiguously(numbers)
        places = self._sorted(numbers)
        if self._loads_singly:
            found = strided_groups(places, self._min_length, fixed=self._preferred)
        else:
            found = contiguous_runs(places)
        for members in found:
            if len(members) >= MIN_LOOP_LENGTH:
                yield self._map(opcode, members)

    def _map(self, opcode: str, numbers: list[int]) -> Map:
        self._places.place_contiguously(numbers, pad=True)
        return Map(opcode, numbers)

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
            if len(constants) >= MIN_LOOP_LENGTH:
                self._places.place_contiguously(constants)
