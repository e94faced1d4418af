"""`Snapshot`: the content of collections and objects, to see later whether it has changed."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from copy import copy
from functools import cached_property
from itertools import chain, compress, repeat
from operator import attrgetter, is_, itemgetter, not_
from types import CellType, FunctionType
from typing import Any

from ...engine import Value
from .facts import is_users_module
from .memory import bytes_of
from .objects import COLLECTIONS, MISSING, attributes_of, content_of, contents_of, is_plain, items_of, values_of

# Collections that may be compared by ==, and copied: their methods are not the user's
COMPARABLE = {*COLLECTIONS, OrderedDict, defaultdict, Counter}
_cell_contents = attrgetter("cell_contents")


class Snapshot:
    """Variables, collections and arrays, and a copy of what they hold when this object is made.

    Args:
        variables: pairs of a holder and a name. The holder is a cell of a closure, a dict, a module or a class, and the
            name is that of a variable in it. Or the holder is an object, and the name is one of its slots, a
            descriptor.
        collections: dicts, lists, sets and the like.
        ordered: those dicts among the collections whose order matters.
        arrays: arrays of numbers.
        object_arrays: numpy arrays of objects.
        code: pairs of a function, a class or another object, and the name of an attribute that decides which code runs.
        growing: dicts to which a key may be added. Their keys are compared, too.
        opaque: objects whose contents `contents_of` finds.
        readers: functions without arguments. Each returns the content of another place, such as a `ContextVar`.
        own: the ids of the `__dict__`s of objects of this package. The package's code does not ask for the types of
            numbers and texts there, so a True that is replaced by 1 counts as unchanged.
        leaves: the leaf `Value`s in these places.
        complete: whether these are all places that can be read; see `Surroundings`.
        leaves_out: whether the items of large collections are left out, which could be compared.
    """

    def __init__(
        self,
        variables: list[tuple[Any, Any]],
        collections: list[Any],
        ordered: list[Any],
        arrays: list[Any],
        object_arrays: list[Any],
        code: list[tuple[Any, str]],
        growing: list[dict[str, Any]],
        readers: list[Callable[[], Any]],
        opaque: list[Any],
        own: set[int],
        leaves: list[Value],
        complete: bool,
        leaves_out: bool,
    ) -> None:
        self._leaves, self.complete, self.leaves_out = leaves, complete and not leaves_out, leaves_out
        of_dicts = [place for place in variables if issubclass(type(place[0]), dict)]
        self._dicts, self._keys = [holder for holder, _ in of_dicts], [key for _, key in of_dicts]
        others = [place for place in variables if not issubclass(type(place[0]), dict)]
        of_cells = [type(x) is CellType and content_of(x, name, MISSING) is not MISSING for x, name in others]
        self._cells = [x for x, _ in compress(others, of_cells)]
        self._variables = [*compress(others, map(not_, of_cells))]
        self._arrays, self._object_arrays, self._readers = arrays, object_arrays, readers
        of_functions = [type(x) is FunctionType and name not in ("__class__", "__dict__") for x, name in code]
        self._functions, self._names = [[*compress(map(itemgetter(k), code), of_functions)] for k in (0, 1)]
        self._code = [*compress(code, map(not_, of_functions))]
        self._growing, self._opaque = growing, opaque
        may_equal: dict[type, bool] = {}
        # For speed, most collections are compared by ==. The items that may be equal to others are compared by
        # identity, too: those of dicts by their keys, and others in whole lists
        self._collections, self._exact = list[Any](), list[Any]()
        self._holders, self._indices = list[Any](), list[Any]()
        # Collections whose own methods, or those of their items, would run a user's code if they were compared by ==
        self._users = list[Any]()
        for x in collections:
            items = values_of(x)
            if type(x) not in COMPARABLE:
                self._users.append(x)
                continue
            kinds = {*map(type, items)}
            for kind in kinds - may_equal.keys():
                may_equal[kind] = _may_equal_another(kind)
            equal = {kind for kind in kinds if may_equal[kind]}
            keys = {*map(type, x)} - {str} if issubclass(type(x), dict) else kinds & equal
            if any(is_users_module(kind.__module__) for kind in equal | keys):
                self._users.append(x)
                continue
            if issubclass(type(x), dict):
                if id(x) in own:
                    equal -= {bool, str}
                compared = [key for key, item in dict.items(x) if type(item) in equal] if equal else []
                self._holders += [x] * len(compared)
                self._indices += compared
                if keys:
                    self._exact.append(x)  # its keys
            (self._exact if issubclass(type(x), set) or (equal and items is x) else self._collections).append(x)
        self._copies = [dict(x) if issubclass(type(x), dict) else copy(x) for x in self._collections]
        by_items = {*map(id, self._users)}  # in their order
        self._ordered = [x for x in ordered if id(x) not in by_items]
        self._order = [*chain.from_iterable(self._ordered)]
        self._lengths = [*map(len, self._exact)]
        self._has_others = bool(self._users or self._variables or self._code or self._readers or self._opaque)
        self._pointers = [*map(bytes_of, self._object_arrays)]  # of an array of objects: their addresses
        self._items = [[*x.flat] for x in self._object_arrays]  # which keep their addresses while they are held here
        self._held, self._bytes = self._objects(), [*map(bytes_of, self._arrays)]

    @cached_property
    def leaves(self) -> frozenset[Value]:
        """The leaf `Value`s in the places of this snapshot."""
        return frozenset(self._leaves)

    def _objects(self) -> list[Any]:
        """Return a list of all objects that are compared by identity: those in variables, collections and other places.

        For speed, most of them are read by loops that run in C.
        """
        found = [
            *map(dict.get, self._dicts, self._keys, repeat(MISSING)),
            *chain.from_iterable(self._exact),
            *map(dict.get, self._holders, self._indices),
            *map(getattr, self._functions, self._names),
            *map(_cell_contents, self._cells),  # raises an error for a cell that has become empty
            *chain.from_iterable(self._growing),
        ]
        if self._has_others:
            found += [y for x in self._users for y in (*items_of(x), MISSING)]  # says where the next collection begins
            found += [content_of(holder, name, MISSING) for holder, name in self._variables]
            found += [_deciding(x, name) for x, name in self._code]
            found += [read() for read in self._readers]
            found += [y for x in self._opaque for y in (*contents_of(x), MISSING)]
        return found

    def is_outdated(self) -> bool:
        """Return whether a variable, a collection or another place may hold something else than in the snapshot.

        Return True if the snapshot is not complete.
        """
        return not self.complete or self.has_changed()

    def has_changed(self) -> bool:
        """Return whether one of the places in this snapshot may hold something else now.

        If the snapshot is not complete, there are other places, which are not looked at.

        Plain numbers are compared by type and text, other objects by identity.

        >>> from micrograd_cn.compiler.surroundings.surroundings import Surroundings
        >>> weights, beta = [Value(1.0), Value(2.0)], 1.0
        >>> snapshot = Surroundings([lambda x: beta * weights[0] * x]).snapshot()
        >>> before = snapshot.has_changed()
        >>> weights.reverse()
        >>> before, snapshot.has_changed()
        (False, True)
        >>> weights.reverse(); before = snapshot.has_changed()
        >>> beta = 0.5
        >>> before, snapshot.has_changed()
        (False, True)
        """
        try:
            if self._collections != self._copies or [*chain.from_iterable(self._ordered)] != self._order:
                return True
            held = self._objects()
            if self._exact and [*map(len, self._exact)] != self._lengths:  # an item may have moved from one to the next
                return True
            if self._arrays and [*map(bytes_of, self._arrays)] != self._bytes:
                return True
            if self._object_arrays and [*map(bytes_of, self._object_arrays)] != self._pointers:
                now = [[*x.flat] for x in self._object_arrays]
                if not all(map(_is_same, chain.from_iterable(now), chain.from_iterable(self._items))):
                    return True
        except Exception:  # from a comparison that the user has defined, or since another thread has changed a dict
            return True
        if len(held) != len(self._held):
            return True
        return not all(map(is_, held, self._held)) and not all(map(_is_same, held, self._held))


def _deciding(x: Any, name: str) -> Any:
    """Return the attribute `name` of a function, a class or another object, which decides which code runs."""
    if name == "__class__":
        return type(x)
    if name == "__dict__" and not issubclass(type(x), type):
        return attributes_of(x)
    return type.__getattribute__(x, "__dict__").get(name) if issubclass(type(x), type) else getattr(x, name)


def _may_equal_another(kind: type) -> bool:
    """Return whether an object of the class `kind` may be equal to another object, as 2 is to 2.0."""
    equal: Any = kind.__eq__
    return not (equal is object.__eq__ or equal is Value.__eq__ or kind is type(None))


def _is_same(x: Any, y: Any) -> bool:
    """Return whether `x` is `y`, or a plain number or text of the same type that prints as `y` does."""
    if x is y:
        return True
    return type(x) is type(y) and is_plain(x) and MISSING not in (x, y) and repr(x) == repr(y)
