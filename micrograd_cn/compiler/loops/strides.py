"""Find constant strides: equal distances in memory from each operand to the next.

One loop can compute instructions of one opcode if their operands lie at constant strides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence


def stride(places: Sequence[int]) -> int | None:
    """Return the distance from each place to the next if it is constant, else None. For a single place, return 0.

    >>> stride([3, 5, 7]), stride([3, 3]), stride([3, 5, 8]), stride([4])
    (2, 0, None, 0)
    """
    first, count = places[0], len(places)
    step = places[1] - first if count > 1 else 0
    expected = list(range(first, first + step * count, step)) if step else [first] * count
    return step if list(places) == expected else None


def runs(places: Sequence[Sequence[int]], fits: Callable[[Sequence[int]], bool] | None = None) -> Iterator[range]:
    """Split items into runs in which each operand has a constant stride from item to item.

    An item is, for example, an instruction. Runs are found from the first item to the last, each as long as possible.
    The range of the items' indices is yielded for each run.

    Args:
        places: for each item, the places of its operands.
        fits: a function that gets a list of strides, one for each operand, and returns whether a run may have these
            strides. By default it may have any strides.

    >>> [*runs([[1], [2], [3], [10], [12], [14]])]
    [range(0, 3), range(3, 6)]
    >>> [*runs([(1, 7), (2, 7), (3, 7), (5, 7)], {0, 1}.issuperset)]
    [range(0, 3), range(3, 4)]
    """
    start, strides = 0, None
    for n in range(1, len(places)):
        found = [b - a for a, b in zip(places[n - 1], places[n], strict=True)]
        if found == strides:
            continue
        fitting = fits is None or fits(found)
        if strides is None and fitting:
            strides = found
        elif fitting and n - start == 2:  # the second of these two items begins another run
            yield range(start, n - 1)
            start, strides = n - 1, found
        else:
            yield range(start, n)
            start, strides = n, None
    yield range(start, len(places))


def contiguous_spans(places: Sequence[int], step: int) -> list[int]:
    """Return a list that describes spans of places, in each of which every place is `step` after the one before it.

    The list has three integers for each span: the first place, its index in `places`, and the count of places.

    >>> contiguous_spans([80, 88, 96, 40, 48], 8), contiguous_spans([], 8)
    ([80, 0, 3, 40, 3, 2], [])
    """
    found: list[int] = []
    for number, place in enumerate(places):
        if found and place == found[-3] + step * found[-1]:
            found[-1] += 1
        else:
            found += [place, number, 1]
    return found
