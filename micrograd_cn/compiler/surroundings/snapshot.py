"""`Snapshot`: what variables, collections and arrays hold at one time, to see later whether it has changed."""

from __future__ import annotations

import sys
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Collection, Iterable
from itertools import chain, compress, repeat
from operator import attrgetter, is_, itemgetter, not_, or_
from types import CellType, FunctionType, MemberDescriptorType, ModuleType
from typing import Any

from ...engine import Value
from ..threads.forks import cached_property
from .facts import is_users_module
from .memory import bytes_of
from .objects import COLLECTIONS, MISSING, attributes_of, content_of, contents_of, is_plain, items_of, values_of
from .readable import Readable

# Collections that may be compared by ==, and copied: their methods are not the user's
COMPARABLE = {*COLLECTIONS, OrderedDict, defaultdict, Counter}
_cell_contents = attrgetter("cell_contents")
_mro_of = vars(type)["__mro__"].__get__  # without a property of the metaclass
_first, _second = itemgetter(0), itemgetter(1)

MAX_WATCHED = 16  # so many variables and attributes are compared at every call
MAX_WATCHED_COLLECTIONS = 4  # so many collections and arrays of numbers, together
MAX_WATCHED_ITEMS = 16  # of a collection or an array


class Snapshot:
    """Variables, collections and arrays, and a copy of what they hold when this object is made.

    They are sorted by how they are read, since most of them are read by loops that run in C.

    Args:
        readable: the variables, collections and other places.
        complete: whether these are all places that can be read; see `Surroundings`.
        leaves_out: whether the items of large collections and arrays are left out of the comparison.
    """

    def __init__(self, readable: Readable, complete: bool, leaves_out: bool = False) -> None:
        self._leaves, self.complete, self.leaves_out = readable.leaves, complete, leaves_out
        variables = readable.variables
        in_dicts = [issubclass(type(holder), dict) for holder, _ in variables]
        in_cells = [type(x) is CellType and content_of(x, name, MISSING) is not MISSING for x, name in variables]
        self._dicts, self._keys = _columns(compress(variables, in_dicts))
        self._cells, _ = _columns(compress(variables, in_cells))
        self._variables = [*compress(variables, map(not_, map(or_, in_dicts, in_cells)))]
        quick = [
            (type(x) is FunctionType or type(x) is ModuleType or x is Value) and name not in ("__class__", "__dict__")
            for x, name in readable.code
        ]
        self._owners, self._names = _columns(compress(readable.code, quick))
        self._code = [*compress(readable.code, map(not_, quick))]
        self._growing, self._opaque, self._readers = readable.growing, readable.opaque, readable.readers
        self._collections = found = _Collections(readable)
        self._has_others = bool(found.users or self._variables or self._code or self._readers or self._opaque)
        self._arrays, self._object_arrays = readable.arrays, readable.object_arrays
        self._pointers = [*map(bytes_of, self._object_arrays)]  # of an array of objects: their addresses
        self._items = [[*x.flat] for x in self._object_arrays]  # which keep their addresses while they are held here
        self._held, self._bytes = self._objects(), [*map(bytes_of, self._arrays)]
        self.watched = Watched(readable)

    @cached_property
    def leaves(self) -> frozenset[Value]:
        """The leaf `Value`s in the places of this snapshot."""
        return frozenset(self._leaves)

    def has_items_of(self, attributes: dict[str, Any]) -> bool:
        """Return whether items of `attributes`, the `__dict__` of an object, are among the places in this snapshot."""
        collections = self._collections
        return any(x is attributes for x in (*self._dicts, *collections.equal, *collections.exact, *collections.users))

    def _objects(self) -> list[Any]:
        """Return a list of all objects that are compared by identity: those in variables, collections and other places.

        For speed, most of them are read by loops that run in C.
        """
        collections = self._collections
        found = [
            *map(dict.get, self._dicts, self._keys, repeat(MISSING)),
            *chain.from_iterable(collections.exact),
            *map(dict.get, collections.holders, collections.keys),
            *map(getattr, self._owners, self._names),
            *map(_cell_contents, self._cells),  # raises an error for a cell that has become empty
            *chain.from_iterable(self._growing),
        ]
        if self._has_others:
            # MISSING says where the next collection begins
            found += [y for x in collections.users for y in (*items_of(x), MISSING)]
            found += [content_of(holder, name, MISSING) for holder, name in self._variables]
            found += [_deciding(x, name) for x, name in self._code]
            found += [read() for read in self._readers]
            found += [y for x in self._opaque for y in (*contents_of(x), MISSING)]
        return found

    def may_have_changed(self) -> bool:
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
            found = self._collections
            if found.equal != found.copies or [*chain.from_iterable(found.ordered)] != found.order:
                return True
            held = self._objects()
            if found.exact and [*map(len, found.exact)] != found.lengths:  # an item may have moved from one to the next
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


class Watched:
    """The variables and attributes that a user most easily replaces, to be compared at every call.

    To compare a whole snapshot at every call would take too long. This object has at most `MAX_WATCHED` variables and
    attributes, numbers and texts first, and at most `MAX_WATCHED_COLLECTIONS` small lists, dicts and arrays of numbers
    or `Value`s. No attribute of an object of this package is among them. The objects that a place holds now and held
    before are compared with `==`. So `have_changed` does not notice if they differ only in type, as 1 and 1.0 do, but
    `Snapshot.has_changed` does.

    Args:
        readable: the places that code can read.
        leaves_out: places that are not watched, as `changed` returns them.
    """

    def __init__(self, readable: Readable, leaves_out: Collection[Any] = ()) -> None:
        self._readable, own = readable, readable.own
        places = [place for place in readable.variables if id(place[0]) not in own and _place(place) not in leaves_out]
        held = [(place, content_of(*place, MISSING)) for place in places]
        held.sort(key=lambda pair: not _is_number(pair[1]))
        # To read a cell takes longest, and objects in cells are rarely replaced
        held = [
            (place, x) for place, x in held if x is not MISSING and (type(place[0]) is not CellType or _is_number(x))
        ]
        watched = [place for place, _ in held[:MAX_WATCHED]]
        names = defaultdict[int, list[Any]](list)
        for holder, name in watched:
            names[0 if type(holder) is CellType else id(holder)].append((holder, name))  # all cells together
        self._places = [[*map(_place, group)] for group in names.values()]
        readers = [*map(_reader, names.values())]
        collections = [x for x in readable.collections if type(x) in (dict, list) and id(x) not in own]
        small = [x for x in collections if 0 < len(x) <= MAX_WATCHED_ITEMS and all(map(_is_simple, values_of(x)))]
        self._collections = [x for x in small if id(x) not in leaves_out][:MAX_WATCHED_COLLECTIONS]
        arrays = [x for x in readable.arrays if len(bytes_of(x)) <= 8 * MAX_WATCHED_ITEMS and id(x) not in leaves_out]
        for x in arrays[: MAX_WATCHED_COLLECTIONS - len(self._collections)]:
            readers.append((lambda x: (bytes_of(x),), x))
            self._places.append([id(x)])
        self._held = [(read, x, read(x)) for read, x in readers]
        self._copies = [x.copy() for x in self._collections]

    def __bool__(self) -> bool:
        return bool(self._held or self._copies)

    def have_changed(self) -> bool:
        """Return whether one of the places holds something else now, or may do so."""
        try:
            for read, x, before in self._held:
                if read(x) != before:
                    return True
            return self._collections != self._copies
        except Exception:  # a variable was deleted, arrays have no single answer, or another thread changes a dict
            return True

    def changed(self) -> list[Any]:
        """Return keys of the places that hold something else now, for the method `without`."""
        found = [id(x) for x, before in zip(self._collections, self._copies, strict=True) if x != before]
        for (read, x, before), places in zip(self._held, self._places, strict=True):
            try:
                now = read(x)
            except Exception:  # a variable was deleted
                found += places
                continue
            found += [place for place, a, b in zip(places, now, before) if not _is_same(a, b)]  # noqa: B905 -- see `_reader`
        return found

    def without(self, places: Collection[Any]) -> Watched:
        """Return another such object, which does not watch `places`."""
        return Watched(self._readable, places)


def _place(variable: tuple[Any, Any]) -> Any:
    holder, name = variable
    return id(holder) if type(holder) is CellType else (id(holder), name)


def _reader(variables: list[tuple[Any, Any]]) -> tuple[Callable[[Any], tuple[Any, ...]], Any]:
    """Return a function and its argument, so that a call gives a tuple of what some variables hold.

    The variables are all in one holder, or they are all in cells of closures. The results of two calls are compared by
    ==. Python takes items of tuples that are the same object for equal, without a call of their `__eq__`, which an
    array would answer with an array.
    """
    holder, name = variables[0]
    if type(holder) is CellType:
        return lambda cells: (*map(_cell_contents, cells),), [cell for cell, _ in variables]
    names = [name for _, name in variables]
    if isinstance(name, MemberDescriptorType):
        return lambda x: tuple([slot.__get__(x) for slot in names]), holder
    # With one name, an itemgetter would return no tuple
    return itemgetter(*names, name), holder if issubclass(type(holder), dict) else vars(holder)


def _is_simple(x: Any) -> bool:
    return type(x) is Value or _is_number(x)


def _is_number(x: Any) -> bool:
    """Return whether `x` is a plain number or text, or a number of numpy."""
    return is_plain(x) or (type(x).__module__ == "numpy" and issubclass(type(x), sys.modules["numpy"].generic))


class _Collections:
    """Collections, and copies of their items, sorted by how the items are compared with their copies later.

    Attributes:
        equal: collections that are compared by ==, which is fastest.
        copies: copies of those in `equal`.
        exact: collections whose items (for a dict, its keys) are compared by identity, since they may be equal to
            others, as 2 is to 2.0.
        lengths: the lengths of those in `exact`.
        holders, keys: for each value that is compared by identity, and stands in a dict that is in `equal`: the dict
            and the value's key.
        users: collections whose own methods, or those of their items, would run a user's code if they were compared by
            ==. Their items are compared by identity.
        ordered: dicts whose order matters, apart from those in `users`.
        order: the keys of those in `ordered`.
    """

    def __init__(self, readable: Readable) -> None:
        self.equal, self.exact, self.users = list[Any](), list[Any](), list[Any]()
        self.holders, self.keys = list[Any](), list[Any]()
        may_equal, users = dict[type, bool](), set[type]()  # by the class of an item; users' classes
        for x in readable.collections:
            if type(x) not in COMPARABLE:
                self.users.append(x)
                continue
            items, is_dict = values_of(x), issubclass(type(x), dict)
            kinds = {*map(type, items)}
            if type(x) is list and kinds == {Value}:  # a shortcut, for speed
                self.equal.append(x)
                continue
            of_keys = {*map(type, x)} - {str} if is_dict else set[type]()
            for kind in (kinds | of_keys) - may_equal.keys():
                may_equal[kind] = _may_equal_another(kind)
                if is_users_module(kind.__module__):
                    users.add(kind)
            like_others = {kind for kind in kinds if may_equal[kind]}
            if not users.isdisjoint(like_others | of_keys):
                self.users.append(x)
            elif is_dict:
                if id(x) in readable.own:  # no code asks for the types there, so a True may be replaced by 1
                    like_others -= {bool, str}
                keys = [key for key, item in dict.items(x) if type(item) in like_others] if like_others else []
                self.holders += [x] * len(keys)
                self.keys += keys
                self.equal.append(x)
                if of_keys:
                    self.exact.append(x)
            else:
                (self.exact if like_others or issubclass(type(x), set) else self.equal).append(x)
        self.copies = [dict(x) if issubclass(type(x), dict) else x.copy() for x in self.equal]
        self.lengths = [*map(len, self.exact)]
        by_items = {*map(id, self.users)}  # in their order
        dicts = [x for x in readable.collections if issubclass(type(x), dict)]
        self.ordered = [x for x in dicts if id(x) not in readable.namespaces and id(x) not in by_items]
        self.order = [*chain.from_iterable(self.ordered)]


def _columns(pairs: Iterable[tuple[Any, Any]]) -> tuple[list[Any], list[Any]]:
    """Return the first items of some pairs, and the second ones."""
    found = [*pairs]
    return [*map(_first, found)], [*map(_second, found)]


def _deciding(x: Any, name: str) -> Any:
    """Return the attribute `name` of `x`. Such attributes, for example `__code__`, decide which code runs."""
    if name == "__class__":
        return type(x)
    if name == "__mro__":  # Python makes a new tuple if `__bases__` is assigned
        return _mro_of(x)
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
