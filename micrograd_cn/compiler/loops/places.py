"""Allocate places in memory for values: an index among the scalars, or among the vectors of a block.

A block holds one vector for every value that depends on the row, with one row in each lane. Places of dead values are
used again: scalars once they are given to `free`, vectors by `reuse_vectors`.
"""

from __future__ import annotations

from collections.abc import Iterable

from .schedule import Schedule

WORD = 8  # bytes


class Places:
    """The places of a schedule's values.

    Args:
        schedule: the instructions.
        simd: doubles in a SIMD vector. Results that are computed as vectors are padded to whole ones.
        lanes: lanes in a block.
        scalars: the first free place among the scalars.

    Attributes:
        scalar: for each instruction that has one, its place among the scalars.
        vector: for each instruction that has one, the index of its vector in a block.
        constants: for places among the scalars, the constants that they hold from the beginning.
        broadcasts: for scalars that are needed in all lanes, the index of a vector that holds them there.
        offset: a function from an instruction's number to the bytes between its value and the beginning of the scalars,
            or of a block. An instruction without a place is given one.
    """

    def __init__(self, schedule: Schedule, simd: int, lanes: int, scalars: int) -> None:
        self.schedule, self.code = schedule, schedule.code
        self.simd, self.lanes = simd, lanes
        self.scalar: dict[int, int] = {}
        self.vector: dict[int, int] = {}
        self.constants: dict[int, float] = {}
        self.broadcasts: dict[int, int] = {}
        self._scalars, self._vectors = scalars, 0
        self._free: list[tuple[int, int]] = []  # free ranges of scalars: the first place, and the one after the last
        self._offsets = _Offsets(self)
        self.offset = self._offsets.__getitem__  # C code, which is fast: every operand in every table needs it

    def copy(self) -> Places:
        """Return a copy, to which places may be added."""
        found = Places(self.schedule, self.simd, self.lanes, self._scalars)
        found.scalar, found.vector, found.constants = self.scalar.copy(), self.vector.copy(), self.constants.copy()
        found.broadcasts, found._vectors = self.broadcasts.copy(), self._vectors
        return found

    @property
    def scalar_count(self) -> int:
        """How many places for scalars there are."""
        return self._scalars

    @property
    def vector_count(self) -> int:
        """How many vectors a block has."""
        return self._vectors

    def allocate(self, count: int) -> int:
        """Return the first of `count` contiguous free places among the scalars.

        >>> from micrograd_cn.compiler.instructions.code import Code
        >>> places = Places(Schedule(Code(), [], [], batched=False), simd=1, lanes=1, scalars=0)
        >>> places.allocate(5), places.free([2, 1, 4]), places.allocate(2), places.allocate(2), places.scalar_count
        (0, None, 1, 4, 6)
        """
        for k, (first, after) in enumerate(self._free):
            if after - first >= count or after == self._scalars:
                self._scalars = max(self._scalars, first + count)
                rest = range(first + count, after)
                self._free[k : k + 1] = [(rest.start, rest.stop)] if rest else []
                return first
        self._scalars += count
        return self._scalars - count

    def free(self, places: Iterable[int]) -> None:
        """Let places among the scalars be used again."""
        free: list[tuple[int, int]] = []
        for first, after in sorted([*self._free, *((at, at + 1) for at in places)]):
            if free and free[-1][1] == first:
                free[-1] = free[-1][0], after
            else:
                free.append((first, after))
        self._free = free

    def allocate_vectors(self, count: int) -> int:
        """Return the index of the first of `count` new vectors."""
        self._vectors += count
        return self._vectors - count

    def padded(self, count: int) -> int:
        """Return a count, rounded up to whole SIMD vectors."""
        return -(-count // self.simd) * self.simd

    def ensure(self, i: int) -> None:
        """Give an instruction's value a place if it has none."""
        if i in self.scalar or i in self.vector:
            return
        if self.schedule.in_lanes(i):
            self.vector[i] = self.allocate_vectors(1)
        else:
            self.scalar[i] = self.allocate(1)
            if (x := self.code.constant_value(i)) is not None:
                self.constants[self.scalar[i]] = x

    def assign(self, scalars: dict[int, int]) -> None:
        """Set the places of scalars, by the instructions' numbers."""
        self.scalar.update(scalars)
        self._offsets.update({i: WORD * place for i, place in scalars.items()})

    def place_contiguously(self, numbers: Iterable[int], pad: bool = False) -> None:
        """Give contiguous places to those values that have none yet; pad them to whole SIMD vectors if `pad` is set."""
        scalar, vector = self.scalar, self.vector
        fresh = [i for i in dict.fromkeys(numbers) if i not in scalar and i not in vector]
        if self.schedule.batched:
            for i in fresh:
                self.ensure(i)
        else:
            first = self.allocate(len(fresh))
            places = dict(zip(fresh, range(first, first + len(fresh)), strict=True))
            self.scalar.update(places)
            known = self.code.constants
            self.constants.update({place: known[i] for i, place in places.items() if i in known})
        if pad and (count := len(fresh) - sum(map(self.schedule.in_lanes, fresh))):
            self.allocate(-count % self.simd)

    def reuse_vectors(self, first: int, made: Iterable[Iterable[int]], over: Iterable[Iterable[int]]) -> None:
        """Reallocate the vectors of a block so that a value takes over the vector of one that is dead (liveness).

        Args:
            first: how many vectors, from the first one on, stay as they are.
            made: for each stage, the values that it computes.
            over: for each stage, the values that are dead after it.
        """
        free: list[int] = []
        vectors = {i: vector for i, vector in self.vector.items() if vector < first}
        self._vectors = first
        for some, others in zip(made, over, strict=True):
            for i in some:
                if i in self.vector and i not in vectors:
                    vectors[i] = free.pop() if free else self.allocate_vectors(1)
            free += [vectors[i] for i in others if i in vectors]
        for i in self.vector:
            if i not in vectors:
                vectors[i] = self.allocate_vectors(1)
        self.vector.update(vectors)
        for i in vectors:
            self._offsets.pop(i, None)

    def broadcast(self, i: int) -> int:
        """Return the index of the vector that holds a value in all lanes; a scalar is broadcast to a new one."""
        if self.schedule.in_lanes(i):
            return self.vector[i]
        if i not in self.broadcasts:
            self.ensure(i)
            self.broadcasts[i] = self.allocate_vectors(1)
        return self.broadcasts[i]

    def block_offset(self, i: int) -> int:
        """Return the bytes from the beginning of a block to a value's vector; a scalar is broadcast."""
        return WORD * self.lanes * self.broadcast(i) if self.schedule.batched else self.offset(i)


class _Offsets(dict[int, int]):
    """A cache of what `Places.offset` returns."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def __missing__(self, i: int) -> int:
        places = self._places
        if places.schedule.in_lanes(i):
            self[i] = WORD * places.lanes * places.vector[i]
        else:
            places.ensure(i)
            self[i] = WORD * places.scalar[i]
        return self[i]
