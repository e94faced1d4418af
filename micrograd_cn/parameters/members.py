"""List the members of an object, and walk through all of them.

Members are attributes (also those in `__slots__`), items of collections, and elements of arrays. A function `of_...`
returns an object's members as pairs of a name, key or index, and the member.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache, partial
from itertools import product
from numbers import Number
from types import CodeType, FunctionType, MappingProxyType, MemberDescriptorType, MethodType
from typing import Any, TypeAlias
from weakref import ProxyTypes, ReferenceType, WeakKeyDictionary

from ..engine import Value
from .model import Model

Members: TypeAlias = Callable[[Any], Iterable[tuple[Any, Any]]]


def of_leaf(x: object) -> Iterable[tuple[Any, Any]]:
    """Return () for x, a `Value` or a set: a `Value` has no members, and the items of a set have no order."""
    return ()


def of_sequence(x: Any) -> Iterable[tuple[Any, Any]]:
    """Return pairs (index, item) of the list or tuple x."""
    return enumerate(x)


def _of_deque(x: deque[Any]) -> Iterable[tuple[Any, Any]]:
    return enumerate([*x])


def _of_mapping(x: Mapping[Any, Any]) -> Iterable[tuple[Any, Any]]:
    items = [*x.items()]
    if any(isinstance(key, Model) for key, _ in items):  # to make the text of a model, its parameters are listed
        return [(f"{i}" if isinstance(key, Model) else key, item) for i, (key, item) in enumerate(items)]
    return items


def _of_array(x: Any) -> Iterable[tuple[Any, Any]]:
    if getattr(x.dtype, "names", None):  # a structured array, or one row of it: the elements of its fields
        fields = [(name, x[name]) for name in x.dtype.names]
        objects = [(name, part) for name, part in fields if not hasattr(part, "dtype")]  # in one row
        arrays = [(name, part) for name, part in fields if hasattr(part, "dtype")]
        return [*objects, *[(f"{place}.{name}", y) for name, part in arrays for place, y in _of_array(part)]]
    if x.dtype != object:
        return ()
    if x.ndim == 1:
        return [(f"{i}", item) for i, item in enumerate(x.tolist())]
    places = [".".join(map(str, place)) or "0" for place in product(*map(range, x.shape))]
    return zip(places, elements(x), strict=True)


def elements(x: Any) -> list[Any]:
    """Return a flat list of the elements of the array x.

    The attribute `A1` of an `np.matrix` is a flat array. Its method `ravel` would return a matrix of one row.
    """
    found: list[Any] = getattr(x, "A1", x).ravel().tolist()
    return found


def of_module(x: Any) -> Iterable[tuple[Any, Any]]:
    """Return pairs (name, attribute) for the slots and the `__dict__` of x, without running code of its class."""
    held = getattr(x, "__dict__", None)
    found = [*held.items()] if isinstance(held, dict) else []
    if slots := known_slots[type(x)]:
        in_slots = []
        for name, slot in slots:
            try:
                in_slots.append((name, slot.__get__(x)))
            except AttributeError:  # nothing has been assigned to it
                continue
        found[:0] = in_slots
    return found


def _of_module_with_items(x: Any) -> Iterable[tuple[Any, Any]]:
    """Return the items of x, a module whose class is also a list, tuple, deque or dict, and then its attributes."""
    return [*(_of_mapping(x) if isinstance(x, dict) else enumerate([*x])), *of_module(x)]


def of_object(x: Any) -> Iterable[tuple[Any, Any]]:
    """Return pairs (name, attribute) of x, an object that is neither a module nor a container.

    This is a function of its own, so `walk` can tell such an object from a module.
    """
    return of_module(x)


def _of_users_array(x: Any) -> Iterable[tuple[Any, Any]]:
    """Return the elements of x, an array of a user's class, and then its attributes."""
    return [*_of_array(x), *of_module(x)]


OF_ARRAYS = frozenset([_of_array, _of_users_array])


def of_hiding(x: object) -> Iterable[tuple[Any, Any]]:
    """Return () for x, an object such as a class, a function or a method, in which no parameters are looked for.

    If there are parameters in such an object, `refuse_hidden` raises an error.
    """
    return ()


def of_opaque(x: object) -> Iterable[tuple[Any, Any]]:
    """Return () for x, an object such as a queue, whose content has neither names nor an order.

    If there are parameters in such an object, `refuse_hidden` raises an error.
    """
    return ()


# The functions for objects in which no parameters are looked for, but may be
OF_HIDING = frozenset([of_hiding, of_opaque])


def _with_attributes(items: Members) -> Members:
    """Return a function that lists what the function `items` lists of an object, and then the object's attributes.

    Use the result for an object whose class is a user's subclass of list, dict and the like.
    """
    return lambda x: [*items(x), *of_module(x)]


# The classes of objects that may refer to parameters, but in which none are looked for: classes, functions with some of
# their arguments, functions that may call another one, methods of an object, and views of dicts
_CALLED: tuple[type, ...] = (partial, FunctionType, type(lru_cache(len)), MethodType)
_HIDING: tuple[type, ...] = (type, *_CALLED, type({}.keys()), type({}.values()), type({}.items()))
# The bit of a class's flags that says that the garbage collector knows to which other objects its objects refer
KNOWN_TO_GC = 1 << 14
# The classes of objects that the garbage collector knows, but that never keep a parameter
_WITHOUT_CONTENT = (Number, ReferenceType, *ProxyTypes, CodeType)
# For each class, the function that lists an object's members with their names, keys or indices. It is None for a class
# whose objects are not searched for parameters.
known_members: dict[type, Members | None] = {}


class _SlotsOfClasses(dict[type, list[tuple[str, Any]]]):
    """A dict from classes to their `__slots__` and those of their bases, each name with its descriptor.

    An item is made when it is first asked for.
    """

    def __missing__(self, cls: type) -> list[tuple[str, Any]]:
        in_class = [item for base in reversed(cls.__mro__) for item in vars(base).items()]
        found = [(k, slot) for k, slot in in_class if isinstance(slot, MemberDescriptorType) and k != "__dict__"]
        self[cls] = found
        return found


known_slots = _SlotsOfClasses()


def members_of(cls: type) -> Members | None:
    """Return the function that lists the members of objects of the class `cls`, and store it in `known_members`.

    Return None instead of a function if parameters are not looked for inside such an object.
    """
    found: Members | None = None
    origins = {str(base.__module__).partition(".")[0] for base in cls.__mro__ if base is not object}
    origin = str(cls.__module__).partition(".")[0]
    if issubclass(cls, (Value, set, frozenset)):
        found = of_leaf
    elif issubclass(cls, Model):
        found = _of_module_with_items if issubclass(cls, (list, tuple, dict, deque)) else of_module
    elif issubclass(cls, (dict, MappingProxyType, WeakKeyDictionary)):
        found = _of_mapping
    elif issubclass(cls, (list, tuple)):
        found = of_sequence
    elif issubclass(cls, deque):
        found = _of_deque
    elif "numpy" in origins:
        own = origin not in ("numpy", __name__.partition(".")[0])
        # The first two may call a function of the user
        found = of_hiding if cls.__name__ in ("vectorize", "ufunc") else of_opaque
        if hasattr(cls, "tolist") and hasattr(cls, "ndim"):
            found = _of_users_array if own else _of_array
    elif issubclass(cls, _HIDING) or ("pandas" in origins and hasattr(cls, "iloc")):
        found = of_hiding
    elif __name__.partition(".")[0] in origins:
        # An optimiser or a program only refers to the parameters of a model, but a compiled function may wrap a model
        found = of_hiding if "__call__" in dir(cls) else None
    elif origin not in sys.stdlib_module_names or origin in ("collections", "types"):
        found = of_object
    elif cls.__flags__ & KNOWN_TO_GC and not issubclass(cls, _WITHOUT_CONTENT):
        # A mock object says that it is of another class, as which it must not be searched
        found = None if any("__class__" in vars(base) for base in cls.__mro__[:-1]) else of_opaque
    is_weak = cls is WeakKeyDictionary  # whose attributes have what its items are made of
    has_attributes = (cls.__dictoffset__ and not is_weak) or any(vars(base).get("__slots__") for base in cls.__mro__)
    if found in (_of_mapping, of_sequence, _of_deque) and found is not None and has_attributes:
        found = _with_attributes(found)
    known_members[cls] = found
    return found


def members_of_known(cls: type) -> Members | None:
    """Return the function that `members_of` returns for `cls`. It is looked up in a dict first, which is faster."""
    return known_members[cls] if cls in known_members else members_of(cls)


def is_array(x: object) -> bool:
    """Return whether `x` is a numpy array, also one of a user's class."""
    return members_of_known(type(x)) in OF_ARRAYS


def walk(root: object, descends: Callable[[object], bool]) -> Iterator[tuple[str, Any]]:
    """Yield `root`, a module or container, and then everything inside it, each with its path, in preorder.

    Each item is a pair: a path such as "layers.0.w.1", and a `Value`, or an object that may contain some: a module,
    dict, sequence, array, set or object of another class. `descends(x)` says whether to go on to what is inside x. What
    is inside a set is never yielded. An object that contains itself is not yielded again inside itself. An object of
    another class is yielded only once, and everything else as often as it is found.
    """
    objects: set[int] = set()
    levels: list[tuple[str, frozenset[int], Iterator[tuple[Any, Any]]]] = [("", frozenset(), iter([("", root)]))]
    while levels:
        prefix, around, items = levels[-1]
        for name, x in items:
            members = known_members[type(x)] if type(x) in known_members else members_of(type(x))
            if members is None or members is of_opaque:
                continue
            path = f"{prefix}{name}"
            if members is of_leaf:
                yield path, x
            elif id(x) not in around and id(x) not in objects:
                if members is of_object:
                    objects.add(id(x))
                inside = members(x) if descends(x) else ()
                yield path, x
                if type(x) is list and inside and ONLY_VALUES.issuperset(map(type, x)):  # for speed
                    for i, leaf in enumerate(x):
                        yield f"{path}.{i}" if path else f"{i}", leaf
                    continue
                levels.append((f"{path}." if path else "", around | {id(x)}, iter(inside)))
                break
        else:
            levels.pop()


def descends_always(x: object) -> bool:
    """Return True for any x. Pass this function to `walk`, as `descends`, to go into every object."""
    return True


ONLY_VALUES, ONLY_LISTS = {Value}, {list}
COLLECTIONS = (list, tuple, dict, deque)


def contents(x: Any, in_modules: bool = False) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield the `Value`s and plain numbers in `x`, each as a pair: its path, and the `Value` or number.

    The path is a tuple of the names, keys and indices that lead to it. An array of numbers is yielded as if it were one
    number. The search goes into modules, also into `x` if it is one, only if `in_modules` is true. Every collection is
    entered once.
    """
    entered: set[int] = set()
    waiting: list[tuple[tuple[Any, ...], Any]] = [((), x)]
    while waiting:
        path, x = waiting.pop()
        members = members_of_known(type(x))
        numeric = _is_number(x) if members is None else members in OF_ARRAYS and x.dtype.kind in "iufc"
        if numeric or isinstance(x, Value):
            yield path, x
        elif members and id(x) not in entered and (in_modules or not isinstance(x, Model)):
            entered.add(id(x))
            waiting += [((*path, key), item) for key, item in members(x)]


def _is_number(x: object) -> bool:
    return isinstance(x, (Number, Decimal)) and not isinstance(x, bool)


def code_of(x: Any, path: tuple[Any, ...]) -> str:
    """Return the code that leads from `x` to the object at `path` in it, such as ".W[0]", for messages.

    `path` is a tuple of names, keys and indices, as `contents` yields it.
    """
    code = ""
    for key in path:
        if is_array(x):
            code += f"[{key.replace('.', ', ')}]"
        elif isinstance(x, (list, tuple, deque)) and isinstance(key, int):
            code += f"[{key}]"
        elif isinstance(x, (dict, MappingProxyType)) and key in x:
            code += f"[{key!r}]"
        else:
            code += f".{key}"
        members = members_of_known(type(x))
        x = dict(members(x))[key] if members else None
    return code


def may_hold_leaves(x: Any) -> bool:
    """Return whether there may be `Value`s in `x`. There are none in numbers, nor in lists and arrays of numbers."""
    if isinstance(x, (list, tuple)) and type(x) in (list, tuple):
        return any(members_of_known(cls) for cls in {*map(type, x)})
    members = members_of_known(type(x))
    return bool(members) and members not in OF_HIDING and not (members is _of_array and x.dtype.kind not in "OV")


def items_if_values(x: Any) -> Any:
    """Return the items of `x`, a list, a tuple or an array, if all of them are `Value`s, and otherwise None."""
    items = x if type(x) in (list, tuple) else elements(x) if is_array(x) and x.dtype.kind == "O" else None
    return items if items is not None and ONLY_VALUES.issuperset(map(type, items)) else None


def values_in(x: Any) -> Sequence[Value]:
    """Return the `Value`s in `x`, which may be in nested collections and objects, but not those in modules."""
    items: Sequence[Value] | None = items_if_values(x)
    if items is not None:
        return items
    return [item for _, item in contents(x) if isinstance(item, Value)]


def leaves_to_train(x: Any) -> set[Value]:
    """Return the set of leaves in `x`, also in modules inside it, that require a gradient."""
    found = [item for _, item in walk(x, descends_always) if isinstance(item, Value)]
    return {item for item in found if item.op is None and item.requires_grad}


def leaves_beside(model: Model, name: str) -> set[Value]:
    """Return the parameters of `model` that are in its attributes other than `name`."""
    return leaves_to_train([held for key, held in of_module(model) if key != name])


def leaves_in_set(held: Iterable[object]) -> Iterator[Value]:
    """Yield the leaf `Value`s in the set `held`, and those inside the items of the set."""
    for item in held:
        for _, x in walk(item, lambda _: True):
            if isinstance(x, (set, frozenset)):
                yield from leaves_in_set(x)
            elif isinstance(x, Value) and x.op is None:
                yield x


def is_part_of(module: Model, x: object) -> bool:
    """Return True if `x` is `module` itself or is not a module, so a search for the parts of `module` enters `x`.

    So `walk(module, partial(is_part_of, module))` yields the modules inside `module`, but not what is inside of them.
    """
    return x is module or not isinstance(x, Model)


def has_number(x: Any) -> bool:
    """Return whether `x` is a number, a bool or a string, or an array or collection with one of these inside."""
    if items_if_values(x) is not None:
        return False
    waiting, entered = [x], set[int]()
    while waiting:
        x = waiting.pop()
        if isinstance(x, Value):
            continue
        if isinstance(x, (list, tuple, dict, deque, set, frozenset)) or (is_array(x) and x.dtype.kind == "O"):
            if id(x) not in entered:
                entered.add(id(x))
                waiting += x.values() if isinstance(x, dict) else x.flat if is_array(x) else x
        elif is_array(x):
            if x.size and x.dtype.kind in "biufcSU":
                return True
        elif _is_number(x) or isinstance(x, (bool, str)):
            return True
    return False
