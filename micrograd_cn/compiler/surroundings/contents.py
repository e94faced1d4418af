"""Define `Contents`: a copy of what variables, collections and arrays hold, to find changes and to undo them.

A function may change what it can read while it is recorded, or called for a test. The copy is made before that.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from types import FunctionType
from typing import Any

from ...engine import Value, topological_order
from .facts import is_users, reads
from .memory import bytes_of, refill
from .objects import (
    EXACTLY_PLAIN,
    MISSING,
    are_same,
    content_of,
    generator_state,
    is_plain,
    items_of,
    remove_content,
    set_content,
    values_of,
)
from .readable import Readable


class Contents:
    """What variables, collections, arrays, gradients and generators of random numbers hold when this object is made.

    Unlike a `Snapshot`, this object can restore what it keeps, and names what has changed. To make it takes longer.

    Args:
        readable: the variables, collections and other places.
        objects: all objects that the code can read, by their ids. The functions among them say which names are read.
    """

    def __init__(self, readable: Readable, objects: Mapping[int, Any]) -> None:
        self._readable, self._objects = readable, objects
        self._variables = [content_of(holder, name, MISSING) for holder, name in readable.variables]
        self._gradients = [x.grad for x in readable.leaves]
        # The states of generators, and texts of what other places hold, such as how many results an `lru_cache` has
        self._texts = [generator_state(x) for x in readable.generators]
        self._texts += [repr(held) for held in [read() for read in readable.readers] if is_plain(held)]
        self._arrays = [*map(bytes_of, readable.arrays)]
        self._collections = [*map(items_of, readable.collections)]

    def has_changed(self) -> bool:
        """Return whether one of the places holds something else now than when this object was made."""
        now = Contents(self._readable, self._objects)
        if now._texts != self._texts or now._arrays != self._arrays:
            return True
        lists, before = [[x._variables, x._gradients, *x._collections] for x in (now, self)]
        return not all(map(are_same, lists, before))

    def numbers_read_and_changed(self, others: Iterable[Any] = ()) -> list[str]:
        """Return the names of variables, attributes and keys that functions read and whose number or text has changed.

        If an item of a list or an array has changed, the result has the name of the variable, attribute or key that
        holds the list or array. Names that the functions only change and do not read, such as a count of their calls,
        are left out. `others` has further objects of which the caller knows that they have changed. The variables,
        attributes and keys that hold them are named, too.
        """
        arrays = zip(self._readable.arrays, self._arrays, strict=True)
        changed = [*others, *[x for x, held in arrays if bytes_of(x) != held]]
        return [name for name, is_read in self._changed_names(_has_other_number, _have_others, changed) if is_read]

    def values_kept(self) -> list[str]:
        """Return the names of variables, attributes and keys that hold another computed `Value` now than before.

        Names that the code of the functions reads are left out, unless the new `Value` is computed from one that was
        there before, as a running mean is. If the `Value` is in a collection, the name is that of the variable,
        attribute or key that holds the collection.
        """
        only_kept = [name for name, is_read in self._changed_names(_has_other_value, _have_other_values) if not is_read]
        continued = [name for name, _ in self._changed_names(_continues, _continues)]
        return sorted({*only_kept, *continued})

    def _changed_names(
        self,
        is_other: Callable[[Any, Any], bool],
        have_others: Callable[[list[Any], list[Any]], bool],
        changed: Iterable[Any] = (),
    ) -> list[tuple[str, bool]]:
        """Return pairs: the name of a variable, attribute or key that has changed, and whether users' code reads it.

        Args:
            is_other: takes what a variable, attribute or key held and what it holds now, and returns whether it counts
                as changed.
            have_others: takes the items of a collection then and now, and returns whether it counts as changed.
            changed: arrays and other objects that have changed. The names of the variables, attributes and keys that
                hold them are in the result, too.
        """
        readable, changed = self._readable, [*changed]
        variables = zip(readable.variables, self._variables, strict=True)
        places = [(holder, name, before) for (holder, name), before in variables]
        for x, items in zip(readable.collections, self._collections, strict=True):
            now = items_of(x)
            if issubclass(type(x), dict):
                earlier = dict(zip(map(id, items[::2]), items[1::2], strict=True))
                places += [(x, key, earlier.get(id(key), MISSING)) for key in now[::2]]
            elif have_others(items, now):
                changed.append(x)
        known = {*map(id, changed)}
        for x in changed:  # the list grows: a collection that holds a changed one counts as changed, too
            holders = [y for y in readable.collections if id(y) not in known and any(x is z for z in values_of(y))]
            known.update(map(id, holders))
            changed += holders
        found = set[str]()
        for holder, name, before in places:
            now = content_of(holder, name, MISSING)
            if is_other(before, now) or any(_shows(x, now) for x in changed):
                found.add(str(getattr(name, "__name__", name)))
        functions = [x for x in self._objects.values() if type(x) is FunctionType]
        codes = [f.__code__ for f in functions if is_users(f.__code__.co_filename)]
        return [(name, any(reads(code, name) for code in codes)) for name in sorted(found)]

    def restore(self) -> None:
        """Put back what variables, collections, arrays and gradients held when this object was made.

        Generators of random numbers and each `lru_cache` keep their present states. Collections are changed by the
        methods of `dict`, `list`, `set` and `deque`, since a subclass such as `Counter` may have an `update` that does
        something else.
        """
        readable = self._readable
        for x, held in zip(readable.arrays, self._arrays, strict=True):
            if bytes_of(x) != held:
                refill(x, held)
        for x, grad in zip(readable.leaves, self._gradients, strict=True):
            if x.grad is not grad:
                x.grad = grad
        for (holder, name), x in zip(readable.variables, self._variables, strict=True):
            if content_of(holder, name, MISSING) is not x:
                if x is MISSING:
                    remove_content(holder, name)
                else:
                    set_content(holder, name, x)
        for collection, items in zip(readable.collections, self._collections, strict=True):
            if not are_same(items_of(collection), items):
                self._refill_collection(collection, items)

    def _refill_collection(self, collection: Any, items: list[Any]) -> None:
        """Let a collection have these items, as `items_of` returns them: for a dict, keys and values in turn."""
        if issubclass(type(collection), dict):
            self._refill_dict(collection, items[::2], items[1::2])
        elif issubclass(type(collection), set):
            set.clear(collection)
            set.update(collection, items)
        elif issubclass(type(collection), list):
            list.__setitem__(collection, slice(None), items)
        else:
            deque.clear(collection)
            deque.extend(collection, items)

    def _refill_dict(self, found: Any, keys: list[Any], values: list[Any]) -> None:
        """Let the dict `found` have these keys and values, in this order.

        If the dict is the `__dict__` of an object, the order is not restored, since it does not matter.
        """
        kind = OrderedDict if issubclass(type(found), OrderedDict) else dict  # an OrderedDict stores the order itself
        kept = {*map(id, keys)}
        for key in [key for key, _ in [*dict.items(found)] if id(key) not in kept]:
            kind.__delitem__(found, key)
        moved = id(found) not in self._readable.namespaces and not are_same([*kind.__iter__(found)], keys)
        for key, x in zip(keys, values, strict=True):
            if moved and dict.__contains__(found, key):  # a key that is set again stays where it is
                kind.__delitem__(found, key)
            kind.__setitem__(found, key, x)


def _shows(x: Any, held: Any) -> bool:
    """Return whether `x` is the object `held`, or a view of it, or whether both are views of the same numpy array."""
    base = getattr(x, "base", None)
    return x is held or (base is not None and (base is held or base is getattr(held, "base", None)))


def _has_other_number(before: Any, now: Any) -> bool:
    """Return whether a number or text in one place was replaced by another number or text."""
    both = type(before) in EXACTLY_PLAIN and type(now) in EXACTLY_PLAIN
    return both and (type(before), repr(before)) != (type(now), repr(now))


def _have_others(before: list[Any], now: list[Any]) -> bool:
    """Return whether a collection with the items `before` has other numbers or strings among its items `now`."""
    return not are_same(*[[y for y in each if type(y) in EXACTLY_PLAIN] for each in (now, before)])


def _has_other_value(before: Any, now: Any) -> bool:
    """Return whether `now` is another object than `before`, and is or contains a computed `Value`.

    Only lists and tuples are looked into.
    """
    if now is before:
        return False
    return any(isinstance(x, Value) and x.op is not None for x in (now if type(now) in (list, tuple) else [now]))


def _have_other_values(before: list[Any], now: list[Any]) -> bool:
    """Return whether the items `now` of a collection include a computed `Value` that its items `before` did not."""
    known = {*map(id, before)}
    return any(_has_other_value(None, x) for x in now if id(x) not in known)


def _continues(before: Any, now: Any) -> bool:
    """Return whether `now` is or contains a `Value` that is computed from another one, which `before` is or contains.

    Only lists and tuples are looked into.
    """
    earlier, later = [
        {x for x in (held if type(held) in (list, tuple) else [held]) if isinstance(x, Value) and x.op is not None}
        for held in (before, now)
    ]
    return bool(earlier and later - earlier) and not earlier.isdisjoint(
        y for x in topological_order(*(later - earlier)) for y in x.operands if isinstance(y, Value)
    )
