"""Where values lie in memory: scalars, one after the other, and vectors of a block, each of as many lanes as it has.

Places that nobody reads any more are used again: scalars that are given back by `free`, vectors by `renumber`.
"""

from __future__ import annotations

from collections.abc import Iterable

from .schedule import Schedule

WORD = 8  # bytes


class Places:
    """Places for a schedule's values, given one after the other.

    Args:
        schedule: what is done.
        simd: doubles of a vector; results that are computed as vectors are padded to whole ones.
        lanes: of a block.
        scalars: the first free place among the scalars.

    Attributes:
        scalar: an instruction's place among the scalars.
        vector: an instruction's vector in a block.
        constants: what scalars hold from the start.
        filled: the vectors that hold a scalar in all lanes.
        at: returns for a value's number how many bytes after the beginning of the scalars, or of a block, it is.
    """

    def __init__(self, schedule: Schedule, simd: int, lanes: int, scalars: int) -> None:
        self.schedule, self.code = schedule, schedule.code
        self.simd, self.lanes = simd, lanes
        self.scalar: dict[int, int] = {}
        self.vector: dict[int, int] = {}
        self.constants: dict[int, float] = {}
        self.filled: dict[int, int] = {}
        self._scalars, self._vectors = scalars, 0
        self._free: list[tuple[int, int]] = []  # scalars: the first place and the one after the last, in order
        self._offsets = _Offsets(self)
        self.offset = self._offsets.__getitem__  # a method in C, which is asked for every operand of every table

    def copy(self) -> Places:
        """Return the same places, to which others may be added."""
        found = Places(self.schedule, self.simd, self.lanes, self._scalars)
        found.scalar, found.vector, found.constants = self.scalar.copy(), self.vector.copy(), self.constants.copy()
        found.filled, found._vectors = self.filled.copy(), self._vectors
        return found

    @property
    def scalar_count(self) -> int:
        """How many scalars there are."""
        return self._scalars

    @property
    def vector_count(self) -> int:
        """How many vectors there are."""
        return self._vectors

    def allocate(self, count: int) -> int:
        """Return the first of some places side by side among the scalars, of which none is in use.

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
        """Take note that places among the scalars are no longer in use."""
        free: list[tuple[int, int]] = []
        for first, after in sorted([*self._free, *((at, at + 1) for at in places)]):
            if free and free[-1][1] == first:
                free[-1] = free[-1][0], after
            else:
                free.append((first, after))
        self._free = free

    def allocate_vectors(self, count: int) -> int:
        """Return the first of some new vectors."""
        self._vectors += count
        return self._vectors - count

    def whole(self, count: int) -> int:
        """Return a count, rounded up to whole SIMD vectors."""
        return -(-count // self.simd) * self.simd

    def keep(self, i: int) -> None:
        """Give an instruction's value a place."""
        if i in self.scalar or i in self.vector:
            return
        if self.schedule.in_lanes(i):
            self.vector[i] = self.allocate_vectors(1)
        else:
            self.scalar[i] = self.allocate(1)
            if (x := self.code.value(i)) is not None:
                self.constants[self.scalar[i]] = x

    def put(self, scalars: dict[int, int]) -> None:
        """Give scalars their places."""
        self.scalar.update(scalars)
        self._offsets.update({i: WORD * place for i, place in scalars.items()})

    def side_by_side(self, numbers: Iterable[int], whole: bool = False) -> None:
        """Give those that have no place yet places side by side."""
        scalar, vector = self.scalar, self.vector
        fresh = [i for i in dict.fromkeys(numbers) if i not in scalar and i not in vector]
        if self.schedule.batched:
            for i in fresh:
                self.keep(i)
        else:
            first = self.allocate(len(fresh))
            places = dict(zip(fresh, range(first, first + len(fresh)), strict=True))
            self.scalar.update(places)
            known = self.code.constants
            self.constants.update({place: known[i] for i, place in places.items() if i in known})
        if whole and (count := len(fresh) - sum(map(self.schedule.in_lanes, fresh))):
            self.allocate(-count % self.simd)

    def renumber(self, first: int, made: Iterable[Iterable[int]], over: Iterable[Iterable[int]]) -> None:
        """Give the vectors of values that nobody reads any more to others, so that a block is small.

        Args:
            first: how many vectors stay what they are.
            made: the values that each stage makes.
            over: those that nobody reads after it.
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

    def fill(self, i: int) -> int:
        """Return the vector of a value, or of a scalar in all lanes."""
        if self.schedule.in_lanes(i):
            return self.vector[i]
        if i not in self.filled:
            self.keep(i)
            self.filled[i] = self.allocate_vectors(1)
        return self.filled[i]

    def block_offset(self, i: int) -> int:
        """Return the bytes from the beginning of a block to a value, or to a scalar in all lanes."""
        return WORD * self.lanes * self.fill(i) if self.schedule.batched else self.offset(i)


class _Offsets(dict[int, int]):
    """The bytes from the beginning of the scalars to a value, or from that of a block, by its number."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def __missing__(self, i: int) -> int:
        places = self._places
        if places.schedule.in_lanes(i):
            self[i] = WORD * places.lanes * places.vector[i]
        else:
            places.keep(i)
            self[i] = WORD * places.scalar[i]
        return self[i]
