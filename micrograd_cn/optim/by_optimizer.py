"""Define `ByOptimizer`, a dict whose keys are optimisers, which does not keep the optimisers alive."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from functools import partial
from typing import Any, Generic, TypeVar

__all__ = ["ByOptimizer"]

T = TypeVar("T")


class ByOptimizer(Generic[T]):
    """A dict whose keys are optimisers. An entry goes when its optimiser does.

    Keys are compared by identity. A user's class may call two optimisers equal, or give them no hash, as a dataclass
    does. A `WeakKeyDictionary` would take such optimisers for one, or refuse them.

    >>> class Always:
    ...     __hash__, __eq__ = None, lambda self, other: True
    >>> a, b = Always(), Always()
    >>> names = ByOptimizer(); names[a] = "a"
    >>> names.get(a), names.get(b), a in names, b in names
    ('a', None, True, False)
    >>> [*names] == [a]
    True
    """

    __slots__ = ("_found",)

    def __init__(self) -> None:
        self._found: dict[int, tuple[weakref.ref[Any], T]] = {}  # by the addresses of the optimisers

    def get(self, optimizer: object) -> T | None:
        """Return the value that is stored for `optimizer`; None if there is none."""
        found = self._found.get(id(optimizer))
        return None if found is None else found[1]

    def pop(self, optimizer: object) -> T | None:
        """Remove the value that is stored for `optimizer`, and return it; None if there is none."""
        found = self._found.pop(id(optimizer), None)
        return None if found is None else found[1]

    def __contains__(self, optimizer: object) -> bool:
        return id(optimizer) in self._found

    def __iter__(self) -> Iterator[Any]:
        """Yield the optimisers, in the order in which they came into the dict."""
        for reference, _ in [*self._found.values()]:
            if (optimizer := reference()) is not None:
                yield optimizer

    def __setitem__(self, optimizer: object, known: T) -> None:
        key = id(optimizer)
        before = self._found.get(key)
        reference = before[0] if before else weakref.ref(optimizer, partial(_forget, self._found, key))
        self._found[key] = reference, known


def _forget(found: dict[int, tuple[weakref.ref[Any], Any]], key: int, reference: weakref.ref[Any]) -> None:
    """Remove the entry of an optimiser that no longer exists from `found`, unless another optimiser has its key now.

    `key` was the address of the optimiser, and `reference` is the weak reference to it.
    """
    if (known := found.get(key)) and known[0] is reference:
        del found[key]
