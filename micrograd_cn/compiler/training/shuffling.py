"""Put the rows in random order before an epoch, by the method `shuffle` that the user has passed to `fit`.

For the generators of Python and numpy, machine code or numpy puts an array of row numbers into the same order, which is
faster than to shuffle a list.
"""

from __future__ import annotations

import random
import sys
from array import array
from collections.abc import Iterable
from functools import cache
from types import ModuleType
from typing import Any

from ..data.partition import machine_code_is_ready, shuffle_by_machine_code
from ..data.rows import checked_order

# The classes of generators whose own method `shuffle` runs no code of the user's
GENERATORS, SHUFFLE = (random.Random, random.SystemRandom), random.Random.shuffle
GENERATORS_OF_NUMPY = ("numpy.random._generator", "Generator"), ("numpy.random.mtrand", "RandomState")
NUMBERS_PER_ROW = 4  # Python copies so many numbers in the time in which it shuffles a row


def shuffled(order: array[int], shuffle: Any) -> array[int]:
    """Return the row numbers that are in `order`, in the order in which `shuffle.shuffle` puts a list of them.

    Raises:
        TypeError: the method returns a new order instead of changing the list.
        ValueError: after the call, a row number is missing, or the list has something other than row numbers.
    """
    generator: Any = getattr(shuffle.shuffle, "__self__", None)
    kind: Any = type(generator)  # Any, since mypy does not know that a type is hashable
    rows = order[:]
    if is_librarys(shuffle) and rows:
        if kind is random.Random and machine_code_is_ready(NUMBERS_PER_ROW * len(rows)) and _does_as_python():
            shuffle_by_machine_code(rows, generator.getrandbits)
            return rows
        if kind not in GENERATORS and _shuffles_arrays_as_lists(kind):
            shuffle.shuffle(sys.modules["numpy"].frombuffer(rows, "q"))
            return rows
    listed = order.tolist()
    returned = shuffle.shuffle(listed)
    if returned is not listed and isinstance(returned, Iterable):
        raise TypeError(
            f"fit(): shuffle.shuffle must reorder the list that it gets, but it returned {type(returned).__name__}, "
            "which would be ignored; write order[:] = ... in it"
        )
    return checked_order(listed, len(order))


def is_librarys(shuffle: Any) -> bool:
    """Return whether `shuffle.shuffle` is a method of a generator of Python or numpy, and runs no code of the user's.

    `shuffle` is the generator, or a module, such as `random` or `numpy.random`.
    """
    method = getattr(shuffle, "shuffle", None)
    generator = getattr(method, "__self__", None)
    if generator is not shuffle and not (type(shuffle) is ModuleType and "shuffle" in vars(shuffle)):
        return False
    kind, own = type(generator), None
    if kind in GENERATORS and vars(generator).keys() <= {"gauss_next"}:  # the user has assigned no method
        own = SHUFFLE
    elif (kind.__module__, kind.__qualname__) in GENERATORS_OF_NUMPY:
        own = vars(kind).get("shuffle")
    return own is not None and getattr(method, "__func__", None) is own


@cache
def _does_as_python() -> bool:
    """Return whether machine code gives the same order and the same new generator state as `random.shuffle`."""
    ours, pythons, rows, expected = random.Random(0), random.Random(0), array("q", range(100)), [*range(100)]
    shuffle_by_machine_code(rows, ours.getrandbits)
    SHUFFLE(pythons, expected)
    return rows.tolist() == expected and ours.getstate() == pythons.getstate()


@cache
def _shuffles_arrays_as_lists(kind: type) -> bool:
    """Return whether numpy's generators of the class `kind` shuffle an array into the same order as a list.

    If so, an array can be shuffled in place of a list, which takes far longer.
    """
    import numpy as np

    makes = np.random.RandomState if kind is np.random.RandomState else np.random.default_rng
    one, other, rows, expected = makes(0), makes(0), np.arange(100), [*range(100)]
    one.shuffle(rows)
    other.shuffle(expected)
    return bool(rows.tolist() == expected and one.random() == other.random())
