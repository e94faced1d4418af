"""Places at even distances, by which instructions of one kind are one loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence


def stride(places: Sequence[int]) -> int | None:
    """Return how far apart neighbours are, None if not all are as far; of a single place it is 0.

    >>> stride([3, 5, 7]), stride([3, 3]), stride([3, 5, 8]), stride([4])
    (2, 0, None, 0)
    """
    first, count = places[0], len(places)
    step = places[1] - first if count > 1 else 0
    even = list(range(first, first + step * count, step)) if step else [first] * count
    return step if list(places) == even else None


def runs(places: Sequence[Sequence[int]], fits: Callable[[Sequence[int]], bool] | None = None) -> Iterator[range]:
    """Yield the numbers of neighbours, as many as can be, each at the same distances from the one before.

    Args:
        places: of the operands of each.
        fits: whether such distances may be; any if there is none.

    >>> [*runs([[1], [2], [3], [10], [12], [14]])]
    [range(0, 3), range(3, 6)]
    >>> [*runs([(1, 7), (2, 7), (3, 7), (5, 7)], {0, 1}.issuperset)]
    [range(0, 3), range(3, 4)]
    """
    start, step = 0, None
    for n in range(1, len(places)):
        found = [b - a for a, b in zip(places[n - 1], places[n], strict=True)]
        if found == step:
            continue
        fitting = fits is None or fits(found)
        if step is None and fitting:
            step = found
        elif fitting and n - start == 2:  # of two, the second one begins another
            yield range(start, n - 1)
            start, step = n - 1, found
        else:
            yield range(start, n)
            start, step = n, None
    yield range(start, len(places))
