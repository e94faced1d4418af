"""Find constant strides: equal distances in memory from each operand to the next.

One loop can compute instructions of one opcode if their operands lie at constant strides. The functions below split
items into groups by the places of their operands. An item is, for example, the number of an instruction.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import chain, pairwise

from .places import WORD

MIN_LOOP_LENGTH = 3  # a loop computes at least so many instructions
LOOKAHEAD = 6  # how many of the following items are tried as the second one of an interleaved run
PLACE_BITS = 80  # the bits for each place in `_packed`
MAX_PACKED_ONE_BY_ONE = 16  # more places are packed by halves, since to append them one by one takes quadratic time


def stride(places: Sequence[int]) -> int | None:
    """Return the distance from each place to the next if it is constant, else None. For a single place, return 0.

    >>> stride([3, 5, 7]), stride([3, 3]), stride([3, 5, 8]), stride([4])
    (2, 0, None, 0)
    """
    first, count = places[0], len(places)
    step = places[1] - first if count > 1 else 0
    expected = list(range(first, first + step * count, step)) if step else [first] * count
    return step if list(places) == expected else None


def pattern_of(slots: Iterable[Sequence[int]]) -> str:
    """Return a letter for each operand slot of a map, which says how the operands in the slot are loaded.

    `slots` has, for each slot, the offsets in bytes of the operands of the map's instructions. The letter is "s" if all
    of them have the same place, "v" if their places are contiguous, and "l" otherwise; see `tables.sums.operand_loads`.

    >>> pattern_of([[8, 8, 8], [16, 24, 32], [0, 40, 8]])
    'svl'
    """
    steps = map(stride, slots)
    return "".join(["s" if step == 0 else "v" if step == WORD else "l" for step in steps])


def contiguous_runs(places: Mapping[int, Sequence[int]]) -> Iterator[list[int]]:
    """Split items into runs. In a run, the operands in each slot are contiguous in memory, or all are the same one.

    Items are added to a run, in their order, as long as this stays true. A run of only two items is cut to one if its
    second item and the item after it can begin a run.

    Args:
        places: a dict from each item to the places of its operands, in the order in which runs are found.

    >>> [*contiguous_runs({k: (place, 7) for k, place in enumerate([0, 1, 2, 4, 5])})]
    [[0, 1, 2], [3, 4]]
    """
    items, start, strides = [*places], 0, None
    for n in range(1, len(items)):
        found = [b - a for a, b in zip(places[items[n - 1]], places[items[n]], strict=True)]
        if found == strides:
            continue
        fits = {0, 1}.issuperset(found)
        if strides is None and fits:
            strides = found
        elif fits and n - start == 2:  # the second of these two items begins another run
            yield items[start : n - 1]
            start, strides = n - 1, found
        else:
            yield items[start:n]
            start, strides = n, None
    yield items[start:]


def interleaved_runs(places: Mapping[int, Sequence[int]], min_length: int) -> Iterator[list[int]]:
    """Split items into runs with constant strides. Runs may be interleaved.

    The search takes the first item that is in no run yet, and looks for the longest run that begins with it. Only some
    items, see LOOKAHEAD, are tried as the second one of such a run. If the longest run is shorter than `min_length`,
    the item is yielded alone.

    Args:
        places: a dict from each item to the places of its operands, sorted by the places, which differ from item to
            item.
        min_length: the least length of a run.

    >>> places = [(1, 1), (1, 7), (2, 3), (2, 7), (3, 5), (3, 9)]
    >>> [*interleaved_runs(dict(enumerate(places)), 3)]
    [[0, 2, 4], [1], [3], [5]]
    """
    waiting = {_packed(at): item for item, at in places.items()}
    keys = [*waiting]
    next_place = 1 << PLACE_BITS * (len(next(iter(places.values()))) - 1) if places else 0
    for k, key in enumerate(keys):
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


def strided_groups(
    places: Mapping[int, Sequence[int]], min_length: int, fixed: Container[int] = ()
) -> Iterator[list[int]]:
    """Split items into groups, each of which a loop can compute.

    The first groups are runs, in which the operands of neighbouring items are contiguous or all the same. The next
    groups are runs with constant strides, which may be interleaved. All other items form a single group, for a loop
    that looks up places in a table. If they are fewer than MIN_LOOP_LENGTH, each of them is a group.

    Args:
        places: a dict from each item to the places of its operands, sorted by the places, which differ from item to
            item.
        min_length: the least length of a run.
        fixed: items whose order must not change, so no interleaved run may have them. They need not be sorted by their
            places.

    >>> [*strided_groups({x: [x] for x in (1, 2, 3, 10, 12, 14, 16, 20)}, 3)]
    [[1, 2, 3], [10, 12, 14, 16], [20]]
    """
    short, rest = list[int](), list[int]()
    for run in contiguous_runs(places) if len(places) >= min_length else [[*places]]:
        if len(run) >= min_length:
            yield run
        else:
            short += run
    others = [item for item in short if item not in fixed]
    for run in interleaved_runs({i: places[i] for i in others}, min_length) if len(others) >= min_length else [others]:
        if len(run) >= min_length:
            yield run
        else:
            rest += run
    rest = [*(item for item in short if item in fixed), *rest]
    yield from [rest] if len(rest) >= MIN_LOOP_LENGTH else [[item] for item in rest]


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


def contiguous_spans(places: Sequence[int], step: int) -> list[int]:
    """Return a list that describes spans of places, in each of which every place is `step` after the one before it.

    The list has three integers for each span: the first place, its index in `places`, and the number of places.

    >>> contiguous_spans([80, 88, 96, 40, 48], 8), contiguous_spans([], 8)
    ([80, 0, 3, 40, 3, 2], [])
    """
    breaks = [k for k, (x, y) in enumerate(pairwise(places), 1) if y - x != step]
    starts = [0, *breaks] if places else []
    return [*chain.from_iterable((places[k], k, end - k) for k, end in pairwise([*starts, len(places)]))]
