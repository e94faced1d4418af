"""Remember what was found in a model for as long as the model has the same parts.

To list the parameters of a model, or the entries of its state, takes a search of the whole model, which also looks for
mistakes. The result stays the same until something in the model is another object. A `Structure` has all objects of the
model, so a few loops in C tell whether this is so. This takes about a twentieth of the time of a search.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, chain, pairwise
from operator import attrgetter, is_
from types import FunctionType
from typing import Any, Literal

from ..engine import Value
from ..graph import context
from ..graph.callers import is_of_this_package
from ..graph.groups import Group
from ..ops.operation import Op
from ..ops.registry import is_known
from .class_attributes import may_have_shared
from .members import KNOWN_TO_GC, ONLY_VALUES, is_array, known_slots, members_of_known
from .model import Model, names_its_parameters, of_this_package, overrides
from .records import is_kept, structures
from .states import is_computed

_dict, _data, _requires_grad, _method = [
    attrgetter(name) for name in ("__dict__", "_data", "requires_grad", "parameters")
]
# Attributes with these names would take the place of methods of a module
_METHODS = frozenset(("parameters", "named_parameters", "entries", "activation_entries"))
# At most so many structures are remembered. A structure keeps the parts of its model alive, so if a part gets a
# reference to the model after the search, Python frees the model only after its structure is dropped
MAX_STRUCTURES = 256
_KEYS = {str, int}  # the classes of keys whose comparison runs no code of users


class _Unusual(Exception):
    """A model has something whose changes a `Structure` would not notice."""


class Structure:
    """All objects in a model, and what was found in them.

    Args:
        model: the model. It consists of modules, lists, tuples, dicts, arrays, leaves, numbers, strings, and functions
            that refer to no other objects. All classes of its modules use the methods of this package to find
            parameters.

    Attributes:
        parameters: the list that `model.parameters()` has returned; None if the method was not called yet.
        entries: the dict that `model.entries()` has returned when the model was found to be without mistakes; None if
            the method was not called yet.
        holds_no_functions: whether all functions in the model, if there are any, are functions of this package.
        classes_of_users: the classes of modules in the model that users have defined, in the order of their modules.

    Raises:
        _Unusual: the model has a part of another kind, or one of its classes finds parameters in its own way.
    """

    def __init__(self, model: Model) -> None:
        self.parameters: list[Value] | None = None
        self.entries: dict[str, Any] | None = None
        self._in_order: list[Value] = []  # the leaves in those entries that are lists of leaves, or lists of such lists
        # For each entry, its name, and where its leaves are in `_in_order`: a slice, or several for a list of lists.
        # None stands for an entry that is neither
        self._places: list[tuple[str, slice | list[slice] | None]] = []
        self.holds_no_functions = True
        self._modules: list[Model] = []  # those inside the model: the model itself must not be kept alive
        self._dicts: list[dict[Any, Any]] = []  # those that are not the attributes of a module
        self._rows: list[list[Value]] = []  # the lists of `Value`s
        self._lists: list[list[Any]] = []  # the others
        self._arrays: list[Any] = []
        self._leaves: dict[Value, None] = {}
        entered: set[int] = {id(model)}
        held = [*self._items_of(vars(model), model)]
        if known_slots[type(model)]:
            raise _Unusual
        for x in held:  # which grows
            cls = type(x)
            if cls is Value:
                if x.op is not None or is_computed(x) or is_kept(x):
                    raise _Unusual
                self._leaves[x] = None
            elif issubclass(cls, Model):
                if id(x) == id(model) or known_slots[cls]:
                    raise _Unusual
                if id(x) not in entered:
                    entered.add(id(x))
                    self._modules.append(x)
                    held += self._items_of(vars(x), x)
            elif cls is list or cls is tuple:
                if id(x) not in entered:
                    entered.add(id(x))
                    if cls is list:
                        (self._rows if ONLY_VALUES.issuperset(map(type, x)) else self._lists).append(x)
                    held += x
            elif cls is dict:
                if id(x) not in entered:
                    entered.add(id(x))
                    self._dicts.append(x)
                    held += self._items_of(x, None)
            elif is_array(x):
                if type(x).__module__ != "numpy" or x.dtype.kind == "V":
                    raise _Unusual
                if x.dtype.kind == "O" and id(x) not in entered:
                    entered.add(id(x))
                    self._arrays.append(x)
                    held += x.ravel().tolist()
            elif (members_of_known(cls) or cls.__flags__ & KNOWN_TO_GC) and not _refers_to_no_model(x):
                raise _Unusual
            elif cls is FunctionType and not is_of_this_package(x):
                self.holds_no_functions = False
        self._classes = [*dict.fromkeys(map(type, (model, *self._modules)))]
        self._methods = [*map(_method, self._classes)]  # a user may assign others, also to classes of this package
        self.classes_of_users = [cls for cls in self._classes if cls not in of_this_package]
        if self._have_changed() or any(map(names_its_parameters, self._classes)):
            raise _Unusual
        self._facts = self._facts_of(model)
        self._held = [*self._parts(model)]
        self._copies = [x.copy() for x in self._rows]

    def note_entries(self, entries: dict[str, Any]) -> None:
        """Remember `entries`, the dict that `model.entries()` has returned."""
        self.entries, self._in_order, self._places = entries, [], []
        for name, entry in entries.items():
            rows = entry if type(entry) is list and entry and {*map(type, entry)} == {list} else [entry]
            if not all(type(row) is list and ONLY_VALUES.issuperset(map(type, row)) for row in rows):
                self._places.append((name, None))
                continue
            begin, ends = len(self._in_order), [*accumulate(map(len, rows), initial=len(self._in_order))]
            self._in_order += chain.from_iterable(rows)
            spans = [slice(i, j) for i, j in pairwise(ends)]
            self._places.append((name, spans if rows is entry else slice(begin, ends[-1])))

    def state(self, numbers_of: Callable[[Any], Any]) -> dict[str, Any]:
        """Return the data of the entries by name; `numbers_of` reads those entries that are not lists of leaves."""
        assert self.entries is not None
        numbers, state = [*map(_data, self._in_order)], {}
        for name, place in self._places:
            if place is None:
                state[name] = numbers_of(self.entries[name])
            else:
                state[name] = numbers[place] if type(place) is slice else [*map(numbers.__getitem__, place)]
        return state

    def _items_of(self, x: dict[Any, Any], module: Model | None) -> Iterable[Any]:
        """Return the values in the dict `x`, which is the `__dict__` of `module` unless `module` is None.

        Raises:
            _Unusual: `x` has keys of unusual classes, or replaces a method of `module`.
        """
        if not _KEYS.issuperset(map(type, x)) or (module is not None and not _METHODS.isdisjoint(x)):
            raise _Unusual
        return [*x.values()]

    def _have_changed(self) -> bool:
        """Return whether a user's class in the model has changed so much that this structure no longer describes it.

        This is so if the class finds parameters in its own way now, or if an attribute of the class may contain some.
        """
        return any(
            overrides(cls, "entries") or names_its_parameters(cls) or may_have_shared(cls) or not _is_plain(cls)
            for cls in self.classes_of_users
        )  # fmt: skip

    def _parts(self, model: Model) -> Iterator[Any]:
        """Iterate over the attributes of the model and of the modules in it, and over the items in its dicts and lists.

        The items of a list that has only `Value`s are left out.
        """
        return chain(
            vars(model).values(),
            chain.from_iterable(map(dict.values, map(_dict, self._modules))),
            chain.from_iterable(map(dict.values, self._dicts)),
            chain.from_iterable(self._lists),
        )

    def _facts_of(self, model: Model) -> tuple[Any, ...]:
        """Return names, lengths and classes of what is in the model, to be compared with those of a later call.

        They differ if a part was added to the model, taken out of it, or exchanged for one of another class.
        """
        return (
            [type(model), *map(type, self._modules)],
            [*vars(model), *chain.from_iterable(map(_dict, self._modules))],
            [*map(len, self._lists)],
            [[*x] for x in self._dicts],
            [(x.shape, x.tobytes()) for x in self._arrays],
            # The records of users' models say which leaves are trained, so a change of `requires_grad` counts for them
            [*map(_requires_grad, self._leaves)] if self.classes_of_users else [],
        )

    def fits(self, model: Model) -> bool:
        """Return whether the model has the same parts as when this object was made."""
        if self._facts_of(model) != self._facts or [*map(_method, self._classes)] != self._methods:
            return False
        if self._rows != self._copies or not all(map(is_, self._parts(model), self._held)):  # a `Value` equals itself
            return False
        return not (self.classes_of_users and self._have_changed())


def _refers_to_no_model(x: Any) -> bool:
    """Return whether it is known that `x`, an object in a model, refers to no model.

    A `Structure` refers to all objects in its model, so Python's garbage collector would never free the model if one of
    its functions referred to it.
    """
    cls = type(x)
    if cls is FunctionType:
        return is_of_this_package(x) or not (x.__closure__ or x.__defaults__ or x.__kwdefaults__ or x.__dict__)
    return cls is Group or (cls is Op and is_known(x))


def _is_plain(cls: type) -> bool:
    """Return whether a user's class inherits from no class of this package but `Module`.

    Methods of others, such as `Layer.entries`, read attributes for which a user's class may have properties.
    """
    return len([base for base in cls.__mro__ if base in of_this_package]) == 1


def structure_of(model: Model) -> Structure | None:
    """Return the `Structure` that is remembered for `model`, if the model still has the same parts.

    Return None if there is none, or while any thread is in a block such as `no_grad()`.
    """
    known: Structure | Literal[False] | None = structures.get(id(model), (None, None))[1]
    if not known or context.active:
        return None
    if known.fits(model):
        return known
    structures.pop(id(model), None)
    return None


def note_structure(model: Model) -> Structure | None:
    """Return the `Structure` of a model that was searched before, and remember it; None for other models.

    At the first search, only remember that there was one: many models are searched once. The result is also None if the
    model has unusual parts, or is also a tuple, list or dict.
    """
    known = id(model)
    made: Structure | Literal[False] | None = None
    if known in structures:
        if (found := structure_of(model)) or context.active or structures.get(known, (None, False))[1] is False:
            return found
        try:
            made = Structure(model)
        except (_Unusual, TypeError):
            made = False
    if not isinstance(model, (tuple, list, dict)):  # Python does not tell when a tuple is gone
        structures[known] = weakref.ref(model, lambda _: structures.pop(known, None)), made
        if len(structures) > MAX_STRUCTURES:
            structures.pop(next(iter(structures)), None)
    return made or None
