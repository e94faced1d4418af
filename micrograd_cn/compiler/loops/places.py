"""Where values lie in memory: scalars, one after the other, and slots of a block, each of as many lanes as it has.

Places that nobody reads any more are used again: scalars that are given back by `give`, slots by `renumber`.
"""

from __future__ import annotations

from collections.abc import Iterable

from .schedule import Schedule

WORD = 8  # bytes


class Places:
    """Places for a schedule's values, given one after the other.

    Args:
        schedule: what is done.
        native: doubles of a vector; results that are computed as vectors are padded to whole ones.
        lanes: of a block.
        scalars: the first free place among the scalars.

    Attributes:
        scalar: an instruction's place among the scalars.
        slot: an instruction's slot in a block.
        constants: what scalars hold from the start.
        filled: the slots that hold a scalar in all lanes.
        at: returns for a value's number how many bytes after the beginning of the scalars, or of a block, it is.
    """

    def __init__(self, schedule: Schedule, native: int, lanes: int, scalars: int) -> None:
        self.schedule, self.code = schedule, schedule.code
        self.native, self.lanes = native, lanes
        self.scalar: dict[int, int] = {}
        self.slot: dict[int, int] = {}
        self.constants: dict[int, float] = {}
        self.filled: dict[int, int] = {}
        self._scalars, self._slots = scalars, 0
        self._free: list[tuple[int, int]] = []  # scalars: the first place and the one after the last, in order
        self._offsets = _Offsets(self)
        self.at = self._offsets.__getitem__  # a method in C, which is asked for every operand of every table

    def copy(self) -> Places:
        """Return the same places, to which others may be added."""
        found = Places(self.schedule, self.native, self.lanes, self._scalars)
        found.scalar, found.slot, found.constants = self.scalar.copy(), self.slot.copy(), self.constants.copy()
        found.filled, found._slots = self.filled.copy(), self._slots
        return found

    @property
    def scalars(self) -> int:
        """How many scalars there are."""
        return self._scalars

    @property
    def slots(self) -> int:
        """How many slots there are."""
        return self._slots

    def take(self, count: int) -> int:
        """Return the first of some places side by side among the scalars, of which none is in use.

        >>> from micrograd_cn.compiler.instructions.code import Code
        >>> places = Places(Schedule(Code(), [], [], lanes=False), native=1, lanes=1, scalars=0)
        >>> places.take(5), places.give([2, 1, 4]), places.take(2), places.take(2), places.scalars
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

    def give(self, places: Iterable[int]) -> None:
        """Take note that places among the scalars are no longer in use."""
        free: list[tuple[int, int]] = []
        for first, after in sorted([*self._free, *((at, at + 1) for at in places)]):
            if free and free[-1][1] == first:
                free[-1] = free[-1][0], after
            else:
                free.append((first, after))
        self._free = free

    def take_slots(self, count: int) -> int:
        """Return the first of some new slots."""
        self._slots += count
        return self._slots - count

    def whole(self, count: int) -> int:
        """Return a count, rounded up to whole native vectors."""
        return -(-count // self.native) * self.native

    def keep(self, i: int) -> None:
        """Give an instruction's value a place."""
        if i in self.scalar or i in self.slot:
            return
        if self.schedule.in_lanes(i):
            self.slot[i] = self.take_slots(1)
        else:
            self.scalar[i] = self.take(1)
            if (x := self.code.value(i)) is not None:
                self.constants[self.scalar[i]] = x

    def put(self, scalars: dict[int, int]) -> None:
        """Give scalars their places."""
        self.scalar.update(scalars)
        self._offsets.update({i: WORD * place for i, place in scalars.items()})

    def side_by_side(self, numbers: Iterable[int], whole: bool = False) -> None:
        """Give those that have no place yet places side by side."""
        scalar, slot = self.scalar, self.slot
        fresh = [i for i in dict.fromkeys(numbers) if i not in scalar and i not in slot]
        if self.schedule.lanes:
            for i in fresh:
                self.keep(i)
        else:
            first = self.take(len(fresh))
            places = dict(zip(fresh, range(first, first + len(fresh)), strict=True))
            self.scalar.update(places)
            known = self.code.constants
            self.constants.update({place: known[i] for i, place in places.items() if i in known})
        if whole and (count := len(fresh) - sum(map(self.schedule.in_lanes, fresh))):
            self.take(-count % self.native)

    def renumber(self, columns: int, made: Iterable[Iterable[int]], over: Iterable[Iterable[int]]) -> None:
        """Give the slots of values that nobody reads any more to others, so that a block is small.

        Args:
            columns: the first slots, which stay what they are.
            made: the values that each stage makes.
            over: those that nobody reads after it.
        """
        free: list[int] = []
        slots = {i: slot for i, slot in self.slot.items() if slot < columns}
        self._slots = columns
        for some, others in zip(made, over, strict=True):
            for i in some:
                if i in self.slot and i not in slots:
                    slots[i] = free.pop() if free else self.take_slots(1)
            free += [slots[i] for i in others if i in slots]
        for i in self.slot:
            if i not in slots:
                slots[i] = self.take_slots(1)
        self.slot.update(slots)
        for i in slots:
            self._offsets.pop(i, None)

    def fill(self, i: int) -> int:
        """Return the slot of a value, or of a scalar in all lanes."""
        if self.schedule.in_lanes(i):
            return self.slot[i]
        if i not in self.filled:
            self.keep(i)
            self.filled[i] = self.take_slots(1)
        return self.filled[i]

    def in_block(self, i: int) -> int:
        """Return the bytes from the beginning of a block to a value, or to a scalar in all lanes."""
        return WORD * self.lanes * self.fill(i) if self.schedule.lanes else self.at(i)


class _Offsets(dict[int, int]):
    """The bytes from the beginning of the scalars to a value, or from that of a block, by its number."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def __missing__(self, i: int) -> int:
        places = self._places
        if places.schedule.in_lanes(i):
            self[i] = WORD * places.lanes * places.slot[i]
        else:
            places.keep(i)
            self[i] = WORD * places.scalar[i]
        return self[i]
