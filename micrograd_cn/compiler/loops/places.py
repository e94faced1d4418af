"""Allocate places in memory for values.

Scalars are in one array, and the place of a scalar is its index in this array. A row has the numbers of one sample. If
rows are computed in lanes, a value that depends on the row is a vector, in which each lane has the value for one row. A
block has the vectors of all such values, for as many rows as a vector has lanes. The place of such a value is the index
of its vector in the block.

Places are given first, by methods such as `ensure`, `place_contiguously` and `broadcast`. Code and tables are written
afterwards, and look places up by `offset` and `block_offset`.

A value is dead once nothing reads it any more. `Places.reuse_vectors` gives the vector of a dead value to another
value. Machine code has a place for each scalar. C uses the place of a dead scalar again, by `Places.free`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .schedule import Schedule

WORD = 8  # bytes


class Places:
    """The places in memory of a schedule's values.

    A value that all rows share is a scalar, and its place is an index in the array of scalars. A value that depends on
    the row is a vector with a lane for each row. Its place is the index of a vector in a block, the memory for as many
    rows as there are lanes.

    Args:
        schedule: the instructions whose values are placed.
        simd: the number of doubles in a SIMD vector. Scalars that are computed together by SIMD instructions are padded
            to whole SIMD vectors.
        lanes: the number of lanes of a block.
        scalars: the first free place among the scalars. The places before it are those of the parameters, for example.

    Attributes:
        scalar: a dict from instruction numbers to places among the scalars, for the values that have such a place.
        vector: a dict from instruction numbers to indices of vectors in a block, for the values that have a vector.
        constants: a dict from places among the scalars to the constants that they hold from the beginning.
        broadcasts: a dict from the instruction number of each scalar that is needed in all lanes to the index of a
            vector in a block. The program copies the scalar to all lanes of this vector.
        offset: a function from an instruction number to the offset of the instruction's value in bytes. The offset is
            counted from the beginning of the block if the value is in lanes, else from the beginning of the scalars. It
            raises KeyError if the value has no place.
    """

    def __init__(self, schedule: Schedule, simd: int, lanes: int, scalars: int) -> None:
        self.schedule, self.code = schedule, schedule.code
        self.simd, self.lanes = simd, lanes
        self.scalar: dict[int, int] = {}
        self.vector: dict[int, int] = {}
        self.constants: dict[int, float] = {}
        self.broadcasts: dict[int, int] = {}
        self._scalars, self._vectors = scalars, 0
        self._free: list[tuple[int, int]] = []  # free ranges of places: the first place, and the place after the last
        self._offsets: dict[int, int] = {}
        self.offset = self._offsets.__getitem__  # a method written in C, since it is called for each operand in a table

    def copy(self) -> Places:
        """Return a copy. Places that are added to the copy are not added to this object."""
        found = Places(self.schedule, self.simd, self.lanes, self._scalars)
        found.scalar, found.vector, found.constants = self.scalar.copy(), self.vector.copy(), self.constants.copy()
        found.broadcasts, found._vectors = self.broadcasts.copy(), self._vectors
        found._offsets.update(self._offsets)
        return found

    @property
    def scalar_count(self) -> int:
        """The number of places for scalars."""
        return self._scalars

    @property
    def vector_count(self) -> int:
        """The number of vectors in a block."""
        return self._vectors

    def allocate(self, count: int) -> int:
        """Take `count` contiguous free places among the scalars, and return the first of them.

        In the example, the places 0 to 4 are taken, and 1, 2 and 4 are freed. Two places are then found at 1. For two
        more, there is only place 4, and the new place 5 after it.

        >>> from micrograd_cn.compiler.instructions.code import Code
        >>> places = Places(Schedule(Code(), [], [], rows_in_lanes=False), simd=1, lanes=1, scalars=0)
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
        """Mark these places among the scalars as free, so they can be allocated again."""
        free: list[tuple[int, int]] = []
        for first, after in sorted([*self._free, *((at, at + 1) for at in places)]):
            if free and free[-1][1] == first:
                free[-1] = free[-1][0], after
            else:
                free.append((first, after))
        self._free = free

    def allocate_vectors(self, count: int) -> int:
        """Add `count` vectors to each block, and return the index of the first new vector.

        The index is the same in all blocks.
        """
        self._vectors += count
        return self._vectors - count

    def padded(self, count: int) -> int:
        """Return `count`, rounded up to a multiple of the number of doubles in a SIMD vector."""
        return -(-count // self.simd) * self.simd

    def ensure(self, numbers: Iterable[int]) -> None:
        """Give places to those values that have none yet. `numbers` has the instruction numbers of the values."""
        scalar, vector = self.scalar, self.vector
        for i in numbers:
            if i not in scalar and i not in vector:
                self._place(i)

    def _place(self, i: int) -> None:
        if self.schedule.in_lanes(i):
            vector = self.allocate_vectors(1)
            self._offsets[i] = WORD * self.lanes * vector
            self.vector[i] = vector
        else:
            place = self.allocate(1)
            if (x := self.code.constant_value(i)) is not None:
                self.constants[place] = x
            self._offsets[i] = WORD * place
            self.scalar[i] = place  # this line comes last, since Ctrl-C may come between two lines

    def assign(self, scalars: dict[int, int]) -> None:
        """Set the places of scalars; `scalars` is a dict from instruction numbers to places."""
        self._offsets.update(zip(scalars, [WORD * place for place in scalars.values()], strict=True))
        self.scalar.update(scalars)

    def assign_vectors(self, vectors: dict[int, int]) -> None:
        """Set the places of vectors; `vectors` is a dict from instruction numbers to indices of vectors in a block."""
        size = WORD * self.lanes
        self._offsets.update({i: size * vector for i, vector in vectors.items()})
        self.vector.update(vectors)

    def fill(self, scalars: Any) -> None:
        """Write the constants to their places in `scalars`, a buffer of doubles."""
        for place, x in self.constants.items():
            scalars[place] = x

    def place_contiguously(self, numbers: Iterable[int], pad: bool = False) -> None:
        """Give contiguous places to the values in `numbers` that have no places yet.

        Args:
            numbers: the instruction numbers of the values, in the order of the new places.
            pad: whether unused places are added after the scalars, so their count is a multiple of `simd`.
        """
        scalar, vector = self.scalar, self.vector
        fresh = [i for i in dict.fromkeys(numbers) if i not in scalar and i not in vector]
        if not fresh:
            return
        if self.schedule.rows_in_lanes:
            self.ensure(fresh)
        else:
            first = self.allocate(len(fresh))
            places = dict(zip(fresh, range(first, first + len(fresh)), strict=True))
            known = self.code.constants
            self.constants.update({place: known[i] for i, place in places.items() if i in known})
            self.assign(places)
        if pad and (count := len(fresh) - sum(map(self.schedule.in_lanes, fresh))):
            self.allocate(-count % self.simd)

    def reuse_vectors(self, first: int, made: Iterable[Iterable[int]], over: Iterable[Iterable[int]]) -> None:
        """Reallocate the vectors of a block: a value may get the vector of another value that is dead by then.

        Args:
            first: the index of the first vector that may be reallocated. The vectors before it keep their values.
            made: for each stage, the instruction numbers of the values that it computes.
            over: for each stage, the instruction numbers of the values that no later stage reads.
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
        self.assign_vectors(vectors)

    def broadcast(self, numbers: Iterable[int]) -> None:
        """Give the values of some instructions places from which code that computes rows can load them.

        If rows are in lanes, a scalar gets a vector in a block, and the program copies the scalar to all lanes of this
        vector; see the attribute `broadcasts`. Otherwise each value gets a place among the scalars. `block_offset`
        returns where the value is.
        """
        if not self.schedule.rows_in_lanes:
            self.ensure(numbers)
            return
        vector, broadcasts = self.vector, self.broadcasts
        for i in numbers:
            if i not in vector and i not in broadcasts:
                if i not in self.scalar:
                    self._place(i)
                if i in self.scalar:
                    broadcasts[i] = self.allocate_vectors(1)

    def block_offset(self, i: int) -> int:
        """Return the offset in bytes at which code that computes rows finds the value of instruction `i`.

        If rows are in lanes, this is the offset of a vector in a block. A scalar has such a vector only if it was
        passed to `broadcast`. If rows are computed one at a time, it is the offset of the value among the scalars.

        Raises:
            KeyError: the value has no such place.
        """
        if not self.schedule.rows_in_lanes:
            return self.offset(i)
        vector = self.broadcasts[i] if i in self.broadcasts else self.vector[i]
        return WORD * self.lanes * vector
