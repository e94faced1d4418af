"""Records of where a model had its parameters when they were last listed, and of the arrays that it has."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Collection, Iterable
from itertools import product
from operator import is_
from types import FrameType
from typing import Any, NamedTuple, TypeAlias

from ..engine import Value
from ..graph import context
from ..graph.array_updates import Remembered, may_fill_arrays
from .members import (
    OF_ARRAYS,
    ONLY_LISTS,
    ONLY_VALUES,
    contents,
    elements,
    is_array,
    items_if_values,
    may_hold_leaves,
    members_of_known,
    of_leaf,
    of_module,
    of_opaque,
    of_sequence,
)
from .model import Model, of_this_package


class Places(NamedTuple):
    """Where a collection has leaves that are trained. The collection is an attribute of a model.

    Attributes:
        paths: the path of each `Value` that is no state (see `states`), as `contents` yields it. For speed, three kinds
            of collections have something else here, which gives the same paths: None for a list of `Value`s, the
            lengths of the rows for a list of lists of `Value`s, and the shape for an array of `Value`s.
        ids: for each `Value`, its id if it is a leaf that is trained, and 0 otherwise.
        numbers: how many plain numbers and states are in the collection.
    """

    paths: list[tuple[Any, ...]] | list[int] | tuple[int, ...] | None
    ids: list[int]
    numbers: int

    def trained(self) -> list[tuple[tuple[Any, ...], int]]:
        """Return a list of pairs (path, id), one for each leaf that is trained."""
        return [(path, known) for path, known in self.all() if known]

    def all(self) -> list[tuple[tuple[Any, ...], int]]:
        """Return a list of pairs (path, id), one for each `Value`. The id is 0 for a `Value` that is not trained."""
        paths: Iterable[Any] = self.paths if self.paths is not None else [(i,) for i in range(len(self.ids))]
        if isinstance(self.paths, tuple):
            paths = [(".".join(map(str, place)) or "0",) for place in product(*map(range, self.paths))]
        elif self.paths and isinstance(self.paths[0], int):
            paths = [(i, j) for i, length in enumerate(paths) for j in range(length)]
        return [*zip(paths, self.ids, strict=True)]


Arrays: TypeAlias = list[tuple[str, Any, list[Any], bytes]]


class _Record:
    """Where a model had parameters when they were last listed.

    Python does not report an assignment to an item of a collection, so `refuse_lost` compares the collections with this
    record. The record has copies of the collections. `with_unheld_leaves` deletes these copies before it counts
    references to parameters.

    Attributes:
        model: a weak reference to the model.
        places: for each attribute, by name, the `Places` of the parameters in it.
        items: for each attribute that is a list of `Value`s or an array, its items when its places were recorded.
            Items of other lists might keep the model alive.
        arrays: for each attribute that is an array or has arrays in it, these arrays, each with the code that leads to
            it from the model, the list of its items, and their addresses in memory, which are compared fast.
        frozen: the names of attributes with parameters that are not trained, such as running means. A constant that
            replaces such a parameter is a parameter, too, and not a state. The attribute is a collection in which no
            parameter is trained, or a computed value that replaced such a parameter.
        lists: copies of all lists in the model, if it consists of modules, lists and leaves alone. Items that are no
            `Value`s are replaced by their classes, since the items could keep the model alive. If the lists still give
            the same, nothing else is compared.
    """

    __slots__ = ("arrays", "frozen", "items", "lists", "model", "places")

    def __init__(self) -> None:
        self.model: weakref.ref[Model] | None = None
        self.places: dict[Any, Places] = {}
        self.items: dict[Any, list[Any]] = {}
        self.arrays: dict[Any, Arrays] = {}
        self.frozen: set[str] = set()
        self.lists: list[list[Any]] = []


records: dict[int, _Record] = {}  # the record of each model by the model's id, for as long as the model exists
additions: set[int] = set()  # the ids of those among these models whose class is one of this package


# For each model that was searched, by id: a weak reference to it, and its `structures.Structure`; None in its place if
# the model was searched once, and False if the model has unusual parts
structures: dict[int, tuple[weakref.ref[Model], Any]] = {}


def record_of(model: Model) -> _Record:
    """Return the record of where `model` had parameters. If it has none, make an empty record and store it.

    The record of a module that is also a tuple is not stored, because Python does not tell when such an object is gone.
    """
    known = id(model)
    if (record := records.get(known)) is None:
        record = _Record()
        if not isinstance(model, tuple):

            def forget(_: object) -> None:
                records.pop(known, None)
                additions.discard(known)
                if _with_arrays.pop(known, None) and not _with_arrays:
                    context.look_at_models = None

            record.model = weakref.ref(model, forget)
            records[known] = record
            if type(model) in of_this_package:
                additions.add(known)
    return record


def is_kept(x: Value) -> bool:
    """Return whether `x` is a state: a constant that a model keeps and that is none of its parameters.

    `mark_kept` of the module `states` marks such constants.
    """
    return x.op is None and x._da is not None and x._db is not None and not x.requires_grad


def places_in(x: Any) -> Places:
    """Return the `Places` of the leaves to train in `x`, a collection or another object."""
    items: Any = None
    if type(x) is list:
        if ONLY_VALUES.issuperset(map(type, x)):
            paths, items = None, x
        elif ONLY_LISTS.issuperset(map(type, x)) and all(map(ONLY_VALUES.issuperset, [map(type, row) for row in x])):
            paths, items = [*map(len, x)], [p for row in x for p in row]
    elif is_array(x):
        paths, items = x.shape, items_if_values(x)
    if items is not None:
        ids = [id(p) if p.requires_grad and p.op is None else 0 for p in items]
        if 0 not in ids or not any(map(is_kept, items)):
            return Places(paths, ids, 0)
    held = [*contents(x)]
    values = [(path, p) for path, p in held if isinstance(p, Value) and not is_kept(p)]
    ids = [id(p) if p.requires_grad and p.op is None else 0 for _, p in values]
    return Places([path for path, _ in values], ids, len(held) - len(values))


def collections_of(model: Model, known: Collection[Any]) -> list[tuple[Any, Any]]:
    """Return pairs (name, attribute) of those attributes of `model` that are collections or objects with members.

    `Value`s and modules are left out. If `model` is itself a list, tuple, deque or dict, its items are one such
    collection, whose name is None. A list or tuple of numbers is left out, unless its name is in `known`: these are the
    names of attributes that had parameters when they were last looked at.
    """
    found: list[tuple[Any, Any]] = []
    if isinstance(model, (list, tuple, deque)):
        found.append((None, [*model]))
    elif isinstance(model, dict):
        found.append((None, dict(model)))
    for name, x in of_module(model):
        members = members_of_known(type(x))
        if members is None or members is of_leaf or members is of_opaque or isinstance(x, Model):
            continue
        if members is not of_sequence or name in known or may_hold_leaves(x):  # a list of numbers has no places
            found.append((name, x))
    return found


def is_flat(places: Places, x: Any) -> bool:
    """Return whether `places` are those of a collection like `x` whose items are all `Value`s, and not nested.

    If `x` is a list, the collection has to be a list. If `x` is an array, it has to be an array of the same shape.
    """
    return places.paths == (None if type(x) is list else x.shape)


def are_same(a: list[Any] | None, b: list[Any]) -> bool:
    """Return whether the lists a and b are equal; False if a is None, or if Python cannot compare them.

    Python cannot compare lists of numpy arrays.
    """
    try:
        return a == b
    except ValueError:  # numpy arrays are compared item by item
        return False


def arrays_in(name: Any, x: Any) -> Arrays:
    """Return a list of tuples (code, array, items, addresses), one for each numpy array of objects in `x`.

    `x` is the attribute `name` of a model; the name is None if `x` has the items of the model itself. An array counts
    if it is `x` itself, or an item of `x`, which may be a list, tuple or dict. The code, such as ".W", leads from the
    model to the array. The items are those that the array has now, and the addresses are where they are in memory, as
    bytes.
    """
    code, found = "" if name is None else f".{name}", []
    if is_array(x):
        found = [(code, x)]
    elif isinstance(x, dict):
        found = [(f"{code}[{key!r}]", item) for key, item in x.items() if is_array(item)]
    elif isinstance(x, (list, tuple)) and not OF_ARRAYS.isdisjoint(map(members_of_known, {*map(type, x)})):
        found = [(f"{code}[{i}]", item) for i, item in enumerate(x) if is_array(item)]
    return [(code, array, elements(array), array.tobytes()) for code, array in found if array.dtype.kind == "O"]


_with_arrays: dict[int, _Record] = {}  # the records of models with arrays, by the model's id, while the models exist
_have_arrays: dict[type[Model], None] = {}  # the classes of such models


def watch_arrays(model: Model, record: _Record) -> None:
    """Have each `no_grad()` block check at its end whether it has put results into arrays of parameters in `model`.

    `record` is the record of `model`, which lists these arrays.
    """
    if id(model) in records:
        _with_arrays[id(model)] = record
        _have_arrays[type(model)] = None
        context.look_at_models = _look_at_arrays


def _look_at_arrays(remembered: Remembered | None, caller: FrameType) -> Remembered | None:
    """Return `remembered`, to which those arrays of models are added that the code of a `no_grad()` block has filled.

    If `remembered` is None, return a new `Remembered` with these arrays, or None if the code has filled none.

    Args:
        remembered: the arrays that were noticed while the block ran; None if there are none.
        caller: the frame of the code of the block.
    """
    if not _with_arrays or not may_fill_arrays(caller, _have_arrays):
        return remembered
    for record in [*_with_arrays.values()]:
        for arrays in record.arrays.values():
            for code, array, items, addresses in arrays:
                if array.tobytes() == addresses:
                    continue
                now = elements(array)
                if len(now) == len(items) and not all(map(is_, now, items)):
                    remembered = remembered or Remembered()
                    if id(array) not in remembered.arrays:
                        remembered.arrays[id(array)] = f"model{code}", array, items
                        remembered.of_models.add(id(array))
    return remembered


def renew_arrays(model: Model, record: _Record, name: str, x: Any) -> None:
    """Replace the arrays that `record` has for the attribute `name` of `model` by the arrays in `x`.

    `record` is the record of `model`, and `x` is about to become this attribute. The items that the record has of the
    attribute are dropped.
    """
    record.items.pop(name, None)
    record.arrays.pop(name, None)
    if arrays := arrays_in(name, x):
        record.arrays[name] = arrays
        watch_arrays(model, record)
