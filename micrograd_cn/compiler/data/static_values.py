"""Keys of static arguments: two values have the same key if a program made for one of them is right for the other."""

from __future__ import annotations

import itertools
from array import array
from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import is_dataclass
from enum import Enum
from enum import property as enum_property
from functools import partial
from operator import is_
from types import FunctionType, MethodType, ModuleType, NoneType
from typing import Any, NamedTuple

from ...engine import Value
from ...module import Module
from ..surroundings.facts import PACKAGE_NAME, facts_of, is_users_module, names_in_compiled
from ..surroundings.memory import reader_of_foreign
from ..surroundings.objects import DESCRIPTORS, METHOD_TYPES

MAX_STATIC_ITEMS = 1000  # a collection inside a static value is compared item by item if it has at most this many items
MAX_CLASSES = 100  # the keys of at most this many classes are kept
BY_IDENTITY = (*METHOD_TYPES, ModuleType)  # attributes of classes and modules that are compared by identity
READ_IN_CLOSURES = (float, complex, tuple, list, dict, set, frozenset, deque, FunctionType, MethodType, partial, Value)
FIXED = (*DESCRIPTORS, ModuleType, Enum)  # attributes of classes that do not change
# For a class, its bases, those of them that are the user's, their attributes and the key for these
_class_identities: dict[type, tuple[tuple[type, ...], list[type], list[Any], Any]] = {}
STATIC_COLLECTIONS = (tuple, list, dict, set, frozenset, deque)
EXACT_COLLECTIONS = {*STATIC_COLLECTIONS}  # classes of collections without attributes of the user's
NAMED_BY_VALUE = {bool, int, str, bytes, NoneType}  # two values of one of these types are the same if they are equal


class StaticValue(NamedTuple):
    """The value of a static argument, or a key of a dict. Samples with different `StaticValue`s never share a program.

    Attributes:
        value: the argument or key itself.
        identity: a hashable key. It differs even between values that Python calls equal, such as 1 and True.
    """

    value: Any
    identity: Any


class Same:
    """A key for an object, which need not be hashable. Two keys are equal if their objects are identical.

    The key keeps the object alive.

    >>> x = [1]
    >>> Same(x) == Same(x), Same(x) == Same([1])
    (True, False)
    """

    __slots__ = ("_x",)

    def __init__(self, x: Any) -> None:
        self._x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self._x is other._x

    def __hash__(self) -> int:
        return id(self._x)


def static_value(name: str, x: Any, module_keys: dict[int, ModuleKey] | None = None) -> StaticValue:
    """Return the value `x` of the static argument `name` as a `StaticValue`, which can be a part of a dict's key.

    If `module_keys` is passed, keys of modules are kept in it, by the `id` of the module. It keeps the modules alive.

    Raises:
        TypeError: the value is not hashable.

    >>> static_value("n", 1) == static_value("n", True), static_value("n", (0.0,)) == static_value("n", (-0.0,))
    (False, False)
    """
    try:
        hash(x)
    except TypeError as error:
        if is_dataclass(x) and getattr(type(x), "__hash__", None) is None:
            frozen = f", or @dataclass(frozen=True) if a {type(x).__name__} with equal fields is the same value"
            raise TypeError(
                f"static argument {name}, {x!r}: {error}, since it compares by its fields; write @dataclass(eq=False)"
                f"{'' if isinstance(x, Module) else frozen}"
            ) from None
        raise TypeError(
            f"static argument {name}, {x!r}: {error}; give a hashable value, such as a tuple for a list or an array, "
            f"with np.array({name}) in the function, since programs are looked up by it"
        ) from None
    return StaticValue(x, identity(x, module_keys))


class _Visited(NamedTuple):
    """The functions and objects that have been found in a static value until now.

    Attributes:
        functions: the functions whose contents have not been read yet.
        numbers: a dict from the `id` of each object whose attributes have been read to its number: 0 for the object
            that was found first, 1 for the next, and so on.
        objects: these objects, which are kept so no other object gets the same `id` meanwhile.
    """

    functions: list[FunctionType]
    numbers: dict[int, int]
    objects: list[Any]


def identity(x: Any, module_keys: dict[int, ModuleKey] | None = None) -> Any:
    """Return a key for the value `x` that differs even between values that Python calls equal.

    For example, the keys of 1, 1.0 and True differ from each other, and so do the keys of 0.0 and -0.0. The key of an
    object has the attributes that the object has now, and those of its class if the class is the user's. Attributes
    that are numbers, strings, collections or arrays are in the key by value, and so are objects with such attributes.
    For a function, see `_function_identity`, and for a `Module`, see `_module_identity`. The key is made at each call
    of a compiled function, so the contents of collections of more than `MAX_STATIC_ITEMS` items inside an object are
    left out, since they would take too long.
    """
    if isinstance(x, Module) and type(x).__eq__ is object.__eq__:
        module_keys = {} if module_keys is None else module_keys
        held = module_keys.get(id(x))
        if held is None or not held.is_current():
            held = module_keys[id(x)] = ModuleKey(x)
        return type(x), x, held.key
    visited = _Visited([], {}, [])
    functions = visited.functions
    is_function = type(x) is FunctionType
    key = _function_identity(x, visited) if is_function else _part_identity(x, (), visited)
    if not functions:
        return key
    # The contents of each function are read once, however many functions name it. They are read one after the other, so
    # a long chain of functions is not a deep recursion.
    found, known = [key], {x} if is_function else set[FunctionType]()
    while functions:
        f = functions.pop()
        if f not in known:
            known.add(f)
            found.append(_function_identity(f, visited))
    return tuple(found)


def _part_identity(x: Any, around: tuple[Any, ...], visited: _Visited) -> Any:
    """Return a key for `x`, a part of a static value. Values with equal keys are taken to be the same.

    A function is in the key by its identity alone. The caller adds keys for the objects to which the function refers.

    Args:
        x: the part.
        around: the objects that contain `x`, so an object that contains itself has a key, too.
        visited: the functions and objects that have been found so far. Those inside `x` are added.
    """
    kind = type(x)
    if kind in NAMED_BY_VALUE:
        return kind, x
    if kind is float:
        return kind, repr(x)
    if isinstance(x, (float, complex)):
        base: Any = float if isinstance(x, float) else complex
        return kind, base.__repr__(x), *_own_identity(x, (*around, x), visited)
    size = getattr(x, "size", 0)  # a method, if x is a tensor
    if any(x is other for other in around) or (around and isinstance(size, int) and size > MAX_STATIC_ITEMS):
        return kind, id(x)
    if around and isinstance(x, (set, dict, list, deque, array)) and len(x) > MAX_STATIC_ITEMS:
        return kind, id(x), len(x)
    around = (*around, x)
    if isinstance(x, STATIC_COLLECTIONS):
        parts: Any
        if isinstance(x, dict):
            parts = tuple(
                [(_part_identity(k, around, visited), _part_identity(y, around, visited)) for k, y in x.items()]
            )
        else:
            parts = [_part_identity(item, around, visited) for item in x]
            parts = frozenset(parts) if isinstance(x, (frozenset, set)) else tuple(parts)
        return (kind, parts) if kind in EXACT_COLLECTIONS else (kind, parts, *_own_identity(x, around, visited))
    if isinstance(x, Value):
        return kind, x
    if isinstance(x, FunctionType):
        visited.functions.append(x)
        return kind, x
    if isinstance(x, (type, ModuleType)):
        if isinstance(x, type):
            return kind, x, _class_identity(x, around, visited)
        users = is_users_module(x.__name__)
        return kind, x, _attributes_identity(vars(x), around, visited) if users else ()
    if isinstance(x, Enum):
        held = [(name, part) for name, part in vars(x).items() if name[0] != "_"]
        return kind, x, _named_identity(held, around, visited), _class_identity(kind, around, visited)
    if hasattr(x, "tobytes") and hasattr(x, "tolist"):  # numpy's arrays and numbers, and array.array
        flat = getattr(getattr(x, "dtype", None), "kind", "") != "O"
        content = (x.tobytes(),) if flat else _part_identity(x.tolist(), around, visited)
        return kind, getattr(x, "shape", ()), str(getattr(x, "dtype", "")), *content
    if reader := reader_of_foreign(x):
        return kind, id(x), reader()
    return _object_identity(x, around, visited)


def _object_identity(x: Any, around: tuple[Any, ...], visited: _Visited) -> Any:
    """Return a key for an object `x` that has attributes. Objects with equal keys are taken to be the same.

    `around` has the objects that contain `x`, and `x` itself at the end. The functions and objects that are found are
    added to `visited`.
    """
    kind = type(x)
    same: Any = x if isinstance(x, Hashable) else id(x)
    if isinstance(x, (MethodType, partial)):
        inside = (x.__self__, x.__func__) if isinstance(x, MethodType) else (x.func, x.args, x.keywords)
        return kind, same, _part_identity(inside, around, visited)
    if id(x) in visited.numbers:  # its attributes are in the key already
        return kind, visited.numbers[id(x)]
    visited.numbers[id(x)] = len(visited.numbers)
    visited.objects.append(x)
    if isinstance(x, Module):
        return kind, same, _module_identity(x, around, visited)
    state = dict(named_attributes(x))
    held = _named_identity(state.items(), around, visited) if state else repr(x)
    return kind, same, held, _class_identity(kind, around, visited)


def _named_identity(parts: Iterable[tuple[str, Any]], around: tuple[Any, ...], visited: _Visited) -> tuple[Any, ...]:
    """Return a key for `parts`, pairs of an attribute's name and its value: the names, and a key for each value.

    `around` has the objects that contain the attributes. The functions and objects that are found are added to
    `visited`.
    """
    return tuple([(name, _part_identity(part, around, visited)) for name, part in parts])


def _own_identity(x: Any, around: tuple[Any, ...], visited: _Visited) -> tuple[Any, ...]:
    """Return keys for the attributes and the class of a number or a collection `x`; () if its class is not a user's."""
    kind = type(x)
    if (kind.__base__ is tuple and hasattr(kind, "_fields")) or not is_users_module(kind.__module__):
        return ()  # a namedtuple has no attributes but its fields
    return _named_identity(named_attributes(x), around, visited), _class_identity(kind, around, visited)


def _module_identity(x: Module, around: tuple[Any, ...], visited: _Visited) -> Any:
    """Return a key for the class of a `Module`, and for its attributes that are numbers, strings, functions or modules.

    Functions are in the key by identity. Modules may also be in collections. Other attributes are left out, such as
    parameters, whose data programs read at each call. `around` has the objects that contain `x`. The functions and
    objects that are found are added to `visited`.
    """
    held: list[tuple[str, Any]] = []
    for name, part in named_attributes(x):
        if _is_number_or_text(part) or _has_modules(part):
            held.append((name, _part_identity(part, around, visited)))
        elif callable(part):
            held.append((name, Same(part)))
    return tuple(held), _class_identity(type(x), around, visited)


def _has_modules(x: Any) -> bool:
    """Return whether `x` is a module, or a collection that has one and is not large."""
    if isinstance(x, (list, tuple, dict, deque)):
        return len(x) <= MAX_STATIC_ITEMS and any(map(_has_modules, x.values() if isinstance(x, dict) else x))
    return isinstance(x, Module)


class ModuleKey:
    """A key for what a `Module` holds, and a copy of what the module held when the key was made.

    To compare what it holds now with this copy takes less time than to make the key anew.

    Attributes:
        key: a key for the module's numbers, strings, functions, modules and class; see `_module_identity`.
    """

    def __init__(self, module: Module) -> None:
        visited = _Visited([], {id(module): 0}, [module])
        self.key = HashedKey(_module_identity(module, (module,), visited))
        modules, waiting, found = list[Module](), [*visited.objects], list[Any]()
        self._is_whole = True
        for x in waiting:
            if isinstance(x, Module):
                modules.append(x)
                found.append(vars(x))
                waiting += [part for part in vars(x).values() if not isinstance(part, Module) and _has_modules(part)]
            else:
                found += () if isinstance(x, tuple) else [x]
                items = x.values() if isinstance(x, dict) else x
                waiting += [part for part in items if not isinstance(part, Module) and _has_modules(part)]
                self._is_whole &= all(map(_is_noticed, items))
        self._ordered = [x for x in waiting if isinstance(x, dict)]
        self._order = self._keys()
        classes = {base for x in modules for base in type(x).__mro__[:-1]}
        # Other objects, and slots, are not compared
        self._is_whole &= len(modules) == len(visited.objects) and not visited.functions
        self._is_whole &= not any(vars(base).get("__slots__") for base in classes)
        self._module = module  # so no other module gets its `id`
        self._holders, self._copies = found, [dict(x) if isinstance(x, dict) else x.copy() for x in found]
        # Equal numbers may have different types, about which the code of this package does not ask
        dicts = [vars(x) for x in modules if type(x).__module__.partition(".")[0] != PACKAGE_NAME]
        plain = [(x, name) for x in dicts for name in x if _is_number_or_text(x[name])]
        self._plain, self._names = [x for x, _ in plain], [name for _, name in plain]
        self._numbers = [x[name] for x, name in plain]
        self._classes = [vars(base) for base in classes if is_users_module(base.__module__)]
        self._parts = [part for each in self._classes for part in each.values()]

    def _keys(self) -> list[Any]:
        """Return the keys of all dicts that have modules, in order, since `==` of dicts ignores the order."""
        return [*itertools.chain.from_iterable(self._ordered)]

    def is_current(self) -> bool:
        """Return whether the module holds what it held when the key was made. Return False if this is not known."""
        if not self._is_whole:
            return False
        try:
            if self._holders != self._copies or (self._order and self._keys() != self._order):
                return False
            if not all(map(is_, map(dict.get, self._plain, self._names), self._numbers)):
                return False
            parts = [part for each in self._classes for part in each.values()]
            return len(parts) == len(self._parts) and all(map(is_, parts, self._parts))
        except Exception:  # from a comparison that the user has defined, or of arrays, or of a changing dict
            return False


def _is_noticed(x: Any) -> bool:
    """Return whether a `ModuleKey` sees that `x` has been replaced in a collection that it compares by `==`.

    It does not see this for a number, which may be equal to another one, as 0.0 is to -0.0. Nor does it see that an
    array or a list of numbers has changed in place. If `x` is a collection that has modules, the result is True, since
    the `ModuleKey` compares its items, too.
    """
    return type(x) is str or isinstance(x, (Module, Value)) or _has_modules(x)


class HashedKey:
    """A key that keeps its hash, since to compute the hash of long nested tuples takes time.

    >>> HashedKey((1, 2)) == HashedKey((1, 2)), HashedKey((1, 2)) == HashedKey((1, 3))
    (True, False)
    """

    __slots__ = ("_hash", "_key")

    def __init__(self, key: Any) -> None:
        self._key, self._hash = key, hash(key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HashedKey) and self._key == other._key

    def __hash__(self) -> int:
        return self._hash


def _function_identity(f: FunctionType, visited: _Visited) -> Any:
    """Return a key for the attributes, the defaults, the closure and the globals of a function; see `identity`.

    Of the objects in its closure and its defaults, only numbers, strings, collections and arrays are in the key by
    value. Of its globals, only numbers and strings are in the key, since to read more would take too long in each call.
    Functions in its closure and its defaults are in the key by identity. They are added to `visited`, so `identity`
    makes keys for their contents, too.
    """
    around = (f,)
    found: list[Any] = [Same(f.__code__)]
    if f.__dict__:
        found.append(_attributes_identity(f.__dict__, around, visited))
    if f.__defaults__:
        found += [_content_identity(x, around, visited) for x in f.__defaults__]
    if f.__kwdefaults__:
        found += [(name, _content_identity(x, around, visited)) for name, x in f.__kwdefaults__.items()]
    for cell in f.__closure__ or ():
        try:
            found.append(_content_identity(cell.cell_contents, around, visited))
        except ValueError:  # a variable without a value
            found.append(None)
    for name in facts_of(f.__code__).names if is_users_module(f.__module__) else ():  # those of inner functions, too
        if name in f.__globals__ and _is_number_or_text(f.__globals__[name]):
            found.append((name, identity(f.__globals__[name])))
    return tuple(found)


def _content_identity(x: Any, around: tuple[Any, ...], visited: _Visited) -> Any:
    is_read = isinstance(x, READ_IN_CLOSURES) or type(x) in NAMED_BY_VALUE or hasattr(x, "tobytes")
    return _part_identity(x, around, visited) if is_read else Same(x)


def _attributes_identity(attributes: Mapping[str, Any], around: tuple[Any, ...], visited: _Visited) -> Any:
    """Return a key for `attributes`, a dict with the attributes of a function, a class or a module.

    A method is in the key by identity, without its own attributes. Other attributes are left out if Python, `enum` or
    this package set them, which their names or types show. `around` has the objects that contain the attributes. The
    functions and objects that are found are added to `visited`.
    """
    found: list[tuple[str, Any]] = []
    for name, part in attributes.items():
        if isinstance(part, BY_IDENTITY):
            found.append((name, part))
        elif not (name[:1] == name[-1:] == "_" or name.startswith("_compiled_") or type(part) is enum_property):
            found.append((name, _part_identity(part, around, visited)))
    return tuple(found)


def _class_identity(kind: type, around: tuple[Any, ...], visited: _Visited) -> Any:
    """Return a key for the attributes of a class and of its bases, as far as these are the user's.

    Members of an `Enum` are left out, and so is everything but numbers and strings if `kind` is a subclass of `Module`.
    If no attribute can change in place, as methods, numbers and strings cannot, the key is cached and used as long as
    the class has the same attributes, since comparing these takes less time than making the key. `around` has the
    objects and classes in which the class was found. The functions and objects that are found are added to `visited`.
    """
    if not is_users_module(kind.__module__):
        return ()
    known = _class_identities.get(kind)
    if known and known[0] is kind.__mro__:
        parts = [part for base in known[1] for part in vars(base).values()]
        if len(parts) == len(known[2]) and all(map(is_, parts, known[2])):
            return known[3]
    if any(kind is other for other in around[:-1]):
        return ()
    found: list[Any] = []
    bases = [base for base in kind.__mro__[:-1] if is_users_module(base.__module__)]
    for base in bases:
        attributes: Mapping[str, Any] = vars(base)
        if issubclass(kind, Module):
            attributes = {name: part for name, part in attributes.items() if _is_number_or_text(part)}
        elif issubclass(kind, Enum):
            attributes = {name: part for name, part in attributes.items() if not isinstance(part, Enum)}
        found.append(_attributes_identity(attributes, (*around, kind), visited))
    key = tuple(found)
    named = [(name, part) for base in bases for name, part in vars(base).items()]
    if all(name[:1] == name[-1:] == "_" or isinstance(part, FIXED) or _is_number_or_text(part) for name, part in named):
        if len(_class_identities) >= MAX_CLASSES:
            _class_identities.clear()
        _class_identities[kind] = kind.__mro__, bases, [part for _, part in named], key
    return key


def _is_number_or_text(x: Any) -> bool:
    return type(x) in NAMED_BY_VALUE or type(x) is float


def named_attributes(x: object) -> Iterator[tuple[str, Any]]:
    """Yield the name and the value of each attribute of the object `x`, except for methods compiled for this object.

    Of a compiled function or a program, yield only what a function may read, and not its machine code.

    >>> from types import SimpleNamespace
    >>> [*named_attributes(SimpleNamespace(a=1))]
    [('a', 1)]
    """
    held = getattr(x, "__dict__", {})
    is_compiled = ("_f" in held or "compiled" in held) and str(type(x).__module__).partition(".")[0] == PACKAGE_NAME
    for name in names_in_compiled(held) if is_compiled else held:
        if not name.startswith("_compiled_"):
            yield name, held[name]
    for kind in type(x).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__"):
                private = name.startswith("__") and not name.endswith("__")
                name = f"_{kind.__name__.lstrip('_')}{name}" if private else name
                if hasattr(x, name):
                    yield name, getattr(x, name)
