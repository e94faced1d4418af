"""Flatten samples, which are tuples of nested arguments, into rows of numbers.

A treedef describes how an argument is nested in lists, tuples, dicts and arrays, without its numbers, as in JAX. A
static argument is passed to the function unchanged. Samples with the same treedefs and the same static arguments form a
bucket, which is an array with a row for each sample.
"""

from __future__ import annotations

import itertools
import sys
from array import array
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from enum import Enum
from enum import property as enum_property
from functools import partial
from operator import is_
from types import FunctionType, MethodType, ModuleType, NoneType
from typing import Any, NamedTuple, TypeAlias

from ...engine import Value
from ...module import Module
from ...ops.number import number, number_or_none, own_operator
from ...parameters.tree import flatten
from ..surroundings.facts import PACKAGE_NAME, facts_of, is_users_module, names_in_compiled
from ..surroundings.objects import DESCRIPTORS, METHOD_TYPES
from .alike import group_alike
from .arrays import (
    FlatNumbers,
    flat_doubles,
    is_column,
    is_matrix,
    iterable_data,
    number_without_axes,
    refuse_collection,
    shape_of,
)
from .columns import MAX_NUMBERS, Columns, Numbers, flat, together
from .partition import gather_rows

# The treedef of a number is None, and that of an array is an ArrayDef. For a list or tuple, it is a pair: the type, and
# either the count of items, if all are numbers, or the treedefs of the items. For a dict, it is a tuple of the type,
# the keys, and the treedefs of the values. A key that is no string is a `StaticValue`.
TreeDef: TypeAlias = Any
PYTHON_NUMBERS = {float, int}
NESTINGS = {list, tuple, dict, OrderedDict, defaultdict}
MAX_STATIC_ITEMS = 1000  # a collection inside a static value is compared item by item if it has at most this many items
MIN_ALIKE = 8  # this many samples or more are read argument by argument, if they are alike; see `alike`
MAX_CLASSES = 100  # the keys of at most this many classes are kept
BY_IDENTITY = (*METHOD_TYPES, ModuleType)  # attributes of classes and modules that are compared by identity
READ_IN_CLOSURES = (float, complex, tuple, list, dict, set, frozenset, deque, FunctionType, MethodType, partial, Value)
FIXED = (*DESCRIPTORS, ModuleType, Enum)  # attributes of classes that do not change
# For a class, its bases, those of them that are the user's, their attributes and the key for these
_class_identities: dict[type, tuple[tuple[type, ...], list[type], list[Any], Any]] = {}
NAMED_BY_VALUE = {bool, int, str, bytes, NoneType}  # two values of one of these types are the same if they are equal


class ArrayDef(NamedTuple):
    """The treedef of an array.

    Attributes:
        shape: the shape of the array.
        is_numpy: whether the array has the method `__array__`, as the arrays of most libraries have. If so, the
            function that is recorded gets a numpy array of `Value`s. If not, as for a memoryview, it gets nested lists.
    """

    shape: tuple[int, ...]
    is_numpy: bool


class Bucket:
    """Samples with the same treedefs and the same static arguments, as rows of numbers.

    Attributes:
        treedef: the name and the treedef of each argument.
        static: the name and the `StaticValue` of each static argument.
        numbers: the numbers of all rows, one row after the other. They are `Columns` if they are in several arrays.
        width: how many numbers a row has.
        samples: for each row, the index of its sample.
    """

    def __init__(self, treedef: TreeDef, static: tuple[Any, ...] = ()) -> None:
        self.treedef, self.static = treedef, static
        self.numbers: Numbers = array("d")
        self.samples: Sequence[int] = []
        self.width = 0

    def row(self, i: int) -> Numbers:
        """Return the numbers of a row."""
        return self.numbers[i * self.width : (i + 1) * self.width]


def select_rows(bucket: Bucket, rows: array[int]) -> Any:
    """Return some rows of a bucket as a two-dimensional buffer, or as `Columns`, for a program.

    If a row has no numbers, return empty lists instead. `rows` has the indices of the rows to return. If it has the
    indices of all rows, they must be in order, and the numbers are not copied.
    """
    width, numbers = bucket.width, bucket.numbers
    if not width:
        return [[]] * len(rows)
    if len(rows) != len(bucket.samples):
        numbers = bucket.numbers = flat(numbers)  # kept, since rows for other programs are selected next
        numbers = gather_rows(numbers, rows, width)
    elif isinstance(numbers, Columns):
        return numbers
    elif type(numbers) is memoryview and numbers.readonly and len(numbers) > MAX_NUMBERS:
        return Columns([numbers], len(rows))  # it would be copied as another buffer
    return memoryview(numbers).cast("B").cast("d", (len(rows), width))


def copy_numbers(buckets: Iterable[Bucket]) -> None:
    """Copy the numbers of buckets, so the user's code cannot change them even if they were in a user's array."""
    for bucket in buckets:
        bucket.numbers = array("d", memoryview(flat(bucket.numbers)).tobytes())


def numpy_like(samples: Any, numbers: Any) -> Any:
    """Return the results `numbers` as a numpy array if the samples are in numpy arrays, and otherwise unchanged.

    A list of results is also returned unchanged unless all are floats, or arrays of the same shape.

    >>> numpy_like([(1.0,)], [[2.0]])
    [[2.0]]
    """
    numpy = sys.modules.get("numpy")
    entries = samples if isinstance(samples, tuple) else (samples,)
    arrays = [x for x in entries if isinstance(x, (list, tuple)) or number_or_none(x) is None]
    if not (numpy and arrays and all(isinstance(x, numpy.ndarray) for x in arrays)):
        return numbers
    if isinstance(numbers, Columns):
        return numbers.giving_numpy()
    shapes = {() if type(x) is float else getattr(x, "shape", None) for x in numbers} if type(numbers) is list else {()}
    return numbers if None in shapes or len(shapes) > 1 else numpy.asarray(numbers)


def treedef_of(x: Any, numbers: array[float]) -> TreeDef:
    """Return the treedef of the argument `x`: how it is nested. Append the numbers in `x` to the array `numbers`.

    Raises:
        TypeError: the argument contains something that is not a number.

    >>> found = array("d")
    >>> treedef_of({"x": [1, 2], "y": (3, [4.0])}, found), list(found)
    ((<class 'dict'>, ('x', 'y'), ((<class 'list'>, 2), (<class 'tuple'>, (None, (<class 'list'>, 1))))), [1.0, 2.0, \
3.0, 4.0])
    """
    kind = type(x)
    if kind is float:
        numbers.append(x)
        return None
    if kind in PYTHON_NUMBERS:
        numbers.append(number(x))
        return None
    if isinstance(x, float) and kind.__module__ == "numpy":
        numbers.append(x)
        return None
    if kind not in NESTINGS and isinstance(x, (list, tuple, dict)):
        refuse_subclass(x)
    if isinstance(x, (list, tuple)):
        kinds = {*map(type, x)}
        if kinds <= PYTHON_NUMBERS:
            numbers.extend(array("d", x) if kinds == {float} else map(number, x))
            return kind, len(x)
        inside = tuple([treedef_of(item, numbers) for item in x])
        return kind, len(x) if inside.count(None) == len(x) else inside
    if isinstance(x, dict):
        keys = [key if type(key) is str else StaticValue(key, _identity(key)) for key in x]
        return kind, tuple(keys), tuple([treedef_of(item, numbers) for item in x.values()])
    if isinstance(x, Value):
        raise TypeError(f"a Value; {INSTEAD_OF_VALUE}")
    if hasattr(x, "shape"):
        if shape := tuple(x.shape):
            definition = array_def(x, shape)
            numbers.extend(flat_doubles(x))
            return definition
        if kind.__module__ != "numpy":
            _refuse_own_operators(kind)
        numbers.append(number_without_axes(x))
        return None
    if hasattr(x, "tolist") and hasattr(x, "__len__"):  # array.array
        return treedef_of(x.tolist(), numbers)
    if not hasattr(x, "__float__"):
        refuse_collection(x)
    if kind is not bool:
        _refuse_own_operators(kind)
    numbers.append(number(x))
    return None


def _refuse_own_operators(kind: type) -> None:
    """Raise TypeError if `kind` is a class of numbers whose operators are the user's, which a `Value` would not have.

    Numbers of other packages that are no subclasses of float or int, such as those of mpmath, are read as floats.
    """
    if (issubclass(kind, (float, int)) or is_users_module(kind.__module__)) and (operator := own_operator(kind)):
        raise TypeError(
            f"a {kind.__name__}, whose {operator} a Value in its place would not have; write float(x) for it"
        )


def refuse_subclass(x: list[Any] | tuple[Any, ...] | dict[Any, Any]) -> None:
    """Raise TypeError unless `x`, whose class is a subclass of list, tuple or dict, is a namedtuple.

    Such a class may read its items or add two lists in its own way, which a plain list of `Value`s would not do. A
    namedtuple with further attributes raises TypeError, too.
    """
    kind = type(x)
    if isinstance(x, tuple) and hasattr(kind, "_fields") and not getattr(x, "__dict__", None):
        return
    base = next(base for base in (list, tuple, dict) if isinstance(x, base)).__name__
    raise TypeError(f"a {kind.__name__}, which may not work as a {base} does; write {base}(x) for it")


def array_def(x: Any, shape: tuple[int, ...]) -> ArrayDef:
    """Return the treedef of an argument that is an array of the shape `shape`.

    A treedef describes how an argument is nested, without its numbers. The argument is the array `x`, or a part of it.

    Raises:
        TypeError: Python code does not use the array as it uses a numpy array: it is an `np.matrix`, has labels, or has
            operators of a user's class.
    """
    kind = type(x)
    if kind.__name__ == "matrix" or kind.__module__ != "numpy":
        if is_matrix(x):
            raise TypeError("an np.matrix, whose * is the product of matrices; write np.asarray(x), and @ for *")
        if hasattr(x, "iloc"):
            raise TypeError(f"a {kind.__name__}, which code may read by its labels; write x.to_numpy()")
        if is_users_module(kind.__module__) and (operator := own_operator(kind)):
            raise TypeError(
                f"a {kind.__name__}, whose {operator} an array in its place would not have; write np.asarray(x) for it"
            )
    return ArrayDef(shape, hasattr(x, "__array__"))


def unflatten(treedef: TreeDef, numbers: Iterator[Any]) -> Any:
    """Return an argument that is nested as `treedef` says; the inverse of `treedef_of`.

    The leaves of the argument come from the iterator `numbers`. They may be anything in the place of numbers, for
    example `Value`s.

    >>> unflatten((list, (None, (tuple, 2))), iter("abc"))
    ['a', ('b', 'c')]
    """
    if treedef is None:
        return next(numbers)
    if isinstance(treedef, ArrayDef):
        return _unflatten_array(treedef, numbers)
    kind, inside, *parts = treedef
    if isinstance(inside, int):
        items = [next(numbers) for _ in range(inside)]
    else:
        items = [unflatten(part, numbers) for part in (parts[0] if parts else inside)]
    if parts:
        made = zip([key if type(key) is str else key.value for key in inside], items, strict=True)
        return OrderedDict(made) if kind is OrderedDict else dict(made)
    return tuple.__new__(kind, items) if issubclass(kind, tuple) else items


def _unflatten_array(treedef: ArrayDef, numbers: Iterator[Any]) -> Any:
    if treedef.is_numpy:
        import numpy as np

        from ...graph.value_arrays import ValueArray  # imported here, because it needs numpy

        made = np.empty(treedef.shape, dtype=object)
        for place in np.ndindex(*treedef.shape):
            made[place] = next(numbers)
        return made.view(ValueArray)

    def nested(shape: tuple[int, ...]) -> Any:
        return [nested(shape[1:]) for _ in range(shape[0])] if shape else next(numbers)

    return nested(treedef.shape)


def plain_argument(x: Any) -> Any:
    """Return a copy of an argument that has numbers as the plain function gets them, but with floats as doubles.

    The result is nested as the argument that a function gets while it is recorded.

    >>> plain_argument({"x": [1, True], "y": (2.5,)})
    {'x': [1, True], 'y': (2.5,)}
    """
    if isinstance(x, (list, tuple, dict)):
        items = [plain_argument(item) for item in (x.values() if isinstance(x, dict) else x)]
        if isinstance(x, dict):
            return (OrderedDict if isinstance(x, OrderedDict) else dict)(zip(x, items, strict=True))
        return tuple.__new__(type(x), items) if isinstance(x, tuple) else items
    if hasattr(x, "__array__"):
        import numpy as np

        made = np.array(x)
        return (made if made.dtype.kind in "biu" else made.astype(float))[()]
    return x.tolist() if hasattr(x, "tolist") else x if type(x) in (int, bool) else number(x)


def leaf_paths(treedef: TreeDef, name: str) -> list[str]:
    """Return, for each number in an argument called `name`, the Python expression that reads this number.

    >>> leaf_paths((dict, ("w", "b"), ((list, 2), None)), "p")
    ["p['w'][0]", "p['w'][1]", "p['b']"]
    """
    return [path for path, _ in flatten(unflatten(treedef, itertools.repeat(0.0)), name)[0]]


class StaticValue(NamedTuple):
    """The value of a static argument, or a key of a dict. Samples share a program only if their values are equal.

    Attributes:
        value: the value.
        identity: a hashable key. It differs even between values that Python calls equal, such as 1 and True.
    """

    value: Any
    identity: Any


INSTEAD_OF_VALUE = (
    "write f.__wrapped__(x) to differentiate through the call f(x), x.data for its number alone, or use it inside the "
    "function, which makes it a parameter"
)


class Same:
    """A key for an object, which need not be hashable. Two keys are equal if they are for the same object.

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
    return StaticValue(x, _identity(x, module_keys))


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


def _identity(x: Any, module_keys: dict[int, ModuleKey] | None = None) -> Any:
    """Return a key for the value `x` that differs even between values that Python calls equal.

    For example, the keys of 1, 1.0 and True differ from each other, and so do the keys of 0.0 and -0.0. The key of an
    object has the attributes that the object has now, and those of its class if the class is the user's. Attributes
    that are numbers, texts, collections or arrays are in the key by value, and so are objects with such attributes. For
    a function, see `_function_identity`, and for a `Module`, see `_module_identity`. The key is made at each call of a
    compiled function, so the contents of collections of more than `MAX_STATIC_ITEMS` items inside an object are left
    out, since they would take too long.
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

    A function is in the key by its identity alone, and the caller adds what it refers to.

    Args:
        x: the part.
        around: the objects that contain `x`, so an object that contains itself has a key, too.
        visited: the functions and objects that have been found. Those among the parts are added.
    """
    kind = type(x)
    if kind in NAMED_BY_VALUE:
        return kind, x
    if isinstance(x, (float, complex)):
        return kind, repr(x)
    if any(x is other for other in around) or (around and getattr(x, "size", 0) > MAX_STATIC_ITEMS):
        return kind, id(x)
    if around and isinstance(x, (set, dict, list, deque, array)) and len(x) > MAX_STATIC_ITEMS:
        return kind, id(x), len(x)
    around = (*around, x)
    if isinstance(x, (frozenset, set)):
        return kind, frozenset([_part_identity(item, around, visited) for item in x])
    if isinstance(x, dict):
        pairs = [[_part_identity(part, around, visited) for part in pair] for pair in x.items()]
        return kind, tuple(map(tuple, pairs))
    if isinstance(x, (tuple, list, deque)):
        return kind, tuple([_part_identity(item, around, visited) for item in x])
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
        held = [(name, _part_identity(part, around, visited)) for name, part in vars(x).items() if name[0] != "_"]
        return kind, x, tuple(held), _class_identity(kind, around, visited)
    if hasattr(x, "tobytes") and hasattr(x, "tolist"):  # numpy's arrays and numbers, and array.array
        flat = getattr(getattr(x, "dtype", None), "kind", "") != "O"
        return (
            kind,
            getattr(x, "shape", ()),
            str(getattr(x, "dtype", "")),
            *((x.tobytes(),) if flat else _part_identity(x.tolist(), around, visited)),
        )
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
    state = dict(attributes_of(x))
    if not state:
        return kind, same, repr(x), _class_identity(kind, around, visited)
    held = [(name, _part_identity(part, around, visited)) for name, part in state.items()]
    return kind, same, tuple(held), _class_identity(kind, around, visited)


def _module_identity(x: Module, around: tuple[Any, ...], visited: _Visited) -> Any:
    """Return a key for those attributes of a `Module` that are numbers, texts, functions or modules, and of its class.

    Functions are in the key by identity. Modules may also be in collections. Other attributes are left out, such as
    parameters, whose data programs read at each call. `around` has the objects that contain `x`. The functions and
    objects that are found are added to `visited`.
    """
    held: list[tuple[str, Any]] = []
    for name, part in attributes_of(x):
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
        key: a key for the module's numbers, texts, functions, modules and class; see `_module_identity`.
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
        """Return the keys of the dicts that have modules, in their order, which == of dicts does not compare."""
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
    """Return whether a `ModuleKey` notices if `x`, an item of a collection that it compares by ==, is replaced.

    It does not notice this for a number, which may be equal to another one, such as 0.0 to -0.0, nor a change of an
    array or a list of numbers in place. A collection that has modules is compared itself.
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
    """Return a key for the attributes, the defaults, the closure and the globals of a function; see `_identity`.

    Of the objects in its closure and its defaults, only numbers, texts, collections and arrays are in the key by value.
    Of its globals, only numbers and texts are in the key, since to read more would take too long in each call.
    Functions in its closure and its defaults are in the key by identity. They are added to `visited`, so `_identity`
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
            found.append((name, _identity(f.__globals__[name])))
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

    Members of an `Enum` are left out, and so is everything but numbers and texts if `kind` is a subclass of `Module`.
    The key is cached if no attribute can change in place, as methods, numbers and texts cannot. To look whether the
    class still has the same attributes takes less time than to make the key anew. `around` has the objects that contain
    an object of the class. The functions and objects that are found are added to `visited`.
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


def attributes_of(x: object) -> Iterator[tuple[str, Any]]:
    """Yield the name and the value of each attribute of the object `x`, except for methods compiled for this object.

    Of a compiled function or a program, yield only what a function may read, and not its machine code.

    >>> from types import SimpleNamespace
    >>> [*attributes_of(SimpleNamespace(a=1))]
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


def first_invalid(arguments: dict[str, Any]) -> str:
    """Return a text for error messages: the path to the first part of the arguments that is not a number, and why.

    >>> first_invalid({"x": [1, [2, "3"]]})
    "x[1][1]: expected a real number, got the str '3'; convert it with float() first"
    """
    for name, x in arguments.items():
        for path, part in _nestings(x, name):
            try:
                refuse_subclass(part)
            except TypeError as error:
                return f"{path}: {error}"
        for path, part in flatten(x, name, arrays=False)[0]:
            try:
                treedef_of(part, array("d"))
            except TypeError as error:
                message = f"{path}: {error}"
                if path == name and _may_be_option(part):
                    message += f"; for an option, write compile(f, static={name!r})"
                inside = flatten(part, path)[0] if getattr(getattr(part, "dtype", None), "kind", "") == "O" else []
                return next((f"{place}: {said}" for place, x in inside if (said := _refusal(x))), message)
    return "unknown"


def _nestings(x: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Find collections in an argument whose class is a subclass of list, tuple or dict that is not in `NESTINGS`.

    Yield the path to each, and the collection itself.
    """
    if isinstance(x, (list, tuple, dict)):
        if type(x) not in NESTINGS:
            yield path, x
        for key, item in [*x.items()] if isinstance(x, dict) else enumerate(x):
            yield from _nestings(item, f"{path}[{key!r}]")


def _may_be_option(x: Any) -> bool:
    """Return whether an argument that is not a number could be meant as an option, such as a text or a function."""
    return isinstance(x, (str, NoneType)) or not (hasattr(x, "__iter__") or hasattr(x, "dtype") or isinstance(x, Value))


def _refusal(x: Any) -> str:
    """Return why `x` is not a number; return "" if it is one, or if it is a list or an array."""
    if isinstance(x, (list, tuple)) or is_column(x):
        return ""
    try:
        number(x)
    except TypeError as error:
        return str(error)
    return ""


def columns_of(samples: Any) -> tuple[Any, ...] | None:
    """Return the values of each argument if `samples` has them in columns, and otherwise None.

    It has them in columns if it is a tuple with a list or an array for each argument, or one array. The first axis of
    each list or array runs over the samples. A number in the tuple is the value in all samples, if another entry is a
    list or an array.

    Raises:
        TypeError: an entry of the tuple is no list, no array and no number, or all entries are numbers.

    >>> columns_of(([1.0, 2.0], [3.0, 4.0])), columns_of([(1.0, 3.0), (2.0, 4.0)])
    (([1.0, 2.0], [3.0, 4.0]), None)
    """
    if type(samples) is list:
        return None
    if is_column(samples):
        return (samples,)
    if not isinstance(samples, tuple) or not samples:
        return None
    columns = [entry for entry in samples if isinstance(entry, (list, range)) or is_column(entry)]
    if len(columns) == len(samples):
        return samples
    found = []
    for entry in samples:
        if isinstance(entry, (list, range)) or is_column(entry):
            found.append(entry)
        elif columns and not isinstance(entry, Value) and number_or_none(entry) is not None:
            found.append(Repeated([entry]) * len(columns[0]))
        else:
            kind = type(entry).__name__
            instead = (
                "write [(x, y), ...], a list, for one entry for each sample"
                if isinstance(entry, (tuple, dict))
                else "write [(x, y)] for one sample"
                if hasattr(entry, "__float__")
                else "write list(x) for it"
            )
            raise TypeError(
                f"a tuple has one entry for each argument, a list or an array of its values, but got a {kind}; "
                f"{instead}"
            )
    return tuple(found)


class Repeated(list[Any]):
    """A list that repeats one number for all samples. It takes the place of a number that was passed for a column."""

    def __mul__(self, count: Any) -> Repeated:
        """Return the list, repeated `count` times, as an object of this class."""
        return Repeated(super().__mul__(count))


def bucket_columns(columns: dict[str, Any]) -> Bucket | None:
    """Make one bucket of all samples. `columns` has the values of each argument in an array or a list of numbers.

    A bucket has samples whose arguments are nested in the same way. Return None if one of the lists has items other
    than floats and ints, since these may be nested in several ways.

    Raises:
        TypeError: an array is an `np.matrix`, or has entries that are not numbers.
        ValueError: the arrays or lists have different lengths.
    """
    shapes = [None if isinstance(x, (list, range)) else shape_of(x) for x in columns.values()]
    lengths = [shape[0] if shape else len(x) for x, shape in zip(columns.values(), shapes, strict=True)]
    refuse_lengths(columns, lengths)
    treedef: list[tuple[str, TreeDef]] = []
    numbers: list[FlatNumbers] = []
    for (name, x), shape in zip(columns.items(), shapes, strict=True):
        if shape:
            if shape[1:] and is_matrix(x):
                array_def(x, shape)  # raises an error
            try:
                numbers.append(flat_doubles(x))
            except TypeError as error:
                raise TypeError(f"{name}: {error}") from error
            treedef.append((name, ArrayDef(shape[1:], hasattr(x, "__array__")) if shape[1:] else None))
        elif type(x) is Repeated and x and type(x[0]) in PYTHON_NUMBERS:
            numbers.append(array("d", [number(x[0])]) * len(x))
            treedef.append((name, None))
        elif {*map(type, x)} <= PYTHON_NUMBERS:
            numbers.append(array("d", map(number, x)))
            treedef.append((name, None))
        else:
            return None
    bucket = Bucket(tuple(treedef))
    n = lengths[0]
    bucket.samples, bucket.numbers = range(n), together(numbers, n)
    bucket.width = len(bucket.numbers) // n if n else 0
    return bucket


def refuse_lengths(names: Iterable[str], lengths: Sequence[int]) -> None:
    """Raise ValueError if columns with values of arguments differ in length. `lengths` are in the order of `names`."""
    if len({*lengths}) > 1:
        counts = ", ".join([f"{n} of {name}" for name, n in zip(names, lengths, strict=True)])
        raise ValueError(f"a tuple has one entry for each argument, of equal length, but got {counts}")


def rows_of_columns(columns: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    """Return an iterator of samples, each a tuple of arguments. `columns` has a list or an array for each argument."""
    return zip(*map(_items, columns), strict=True)


def _items(column: Any) -> Any:
    """Return the items of a list or an array along its first axis."""
    if not is_column(column):
        return column
    numbers, shape = flat_doubles(column), shape_of(column)
    if not shape[1:]:
        return numbers
    if not hasattr(column, "__array__"):
        return column.tolist()
    import numpy as np

    return np.asarray(numbers).reshape(shape)


def bucket_samples(samples: Any, split: Callable[[Any], tuple[tuple[Any, ...], dict[str, Any]]]) -> list[Bucket]:
    """Sort samples into buckets, and return the buckets in the order of their first samples.

    A bucket has samples whose arguments are nested in the same way, and whose static arguments are equal.

    Args:
        samples: tuples of arguments.
        split: a function that takes a pair, the index of a sample and the sample. It returns the static arguments as
            pairs of a name and a `StaticValue`, and a dict of the other arguments by name.

    Raises:
        TypeError: a sample is not a tuple of arguments, or contains something that is not a number. The message names
            the sample.
    """
    if alike := _buckets_of_alike(samples, split):
        return alike
    found: dict[Any, Bucket] = {}
    rows: dict[Any, array[float]] = {}
    for i, sample in enumerate(_iterable(samples)):
        static, arguments = split((i, sample))
        numbers = array("d")
        try:
            treedef = tuple([(name, treedef_of(x, numbers)) for name, x in arguments.items()])
        except TypeError:
            raise TypeError(f"sample {i}: {first_invalid(arguments)}") from None
        key = (static, treedef)
        if key not in found:
            found[key] = Bucket(treedef, static)
            found[key].width = len(numbers)
            rows[key] = array("d")
        rows[key].extend(numbers)
        found[key].samples.append(i)  # type: ignore[attr-defined]
    for key, bucket in found.items():
        bucket.numbers = rows[key]
    return list(found.values())


def _buckets_of_alike(
    samples: Any, split: Callable[[Any], tuple[tuple[Any, ...], dict[str, Any]]]
) -> list[Bucket] | None:
    """Sort samples into buckets, as `bucket_samples` does, by reading them argument by argument.

    A bucket has samples whose arguments are nested in the same way. Return None if the samples have to be read one by
    one; see `group_alike`.
    """
    if type(samples) is not list or len(samples) < MIN_ALIKE or not {*map(type, samples)} <= {tuple, list}:
        return None
    if len({*map(len, samples)}) > 1:
        return None
    static, arguments = split((0, samples[0]))
    if (
        static
        or not arguments
        or not (len(arguments) == len(samples[0]) and all(map(is_, arguments.values(), samples[0])))
    ):
        return None
    groups = group_alike([*zip(*samples, strict=True)])
    buckets = []
    for rows, numbers in groups or ():
        own = array("d")
        treedef = tuple([(name, treedef_of(x, own)) for name, x in zip(arguments, samples[rows[0]], strict=True)])
        bucket = Bucket(treedef)
        bucket.samples, bucket.numbers, bucket.width = rows, numbers, len(own)
        buckets.append(bucket)
    return buckets or None


def _iterable(samples: Any) -> Iterable[Any]:
    """Return the samples as an iterable, with an item for each sample.

    Raises:
        TypeError: `samples` is a dict, a set, or no collection.
    """
    if type(samples) is list:  # skips the checks, for speed
        return samples
    kind = type(samples).__name__
    if isinstance(samples, Mapping):
        raise TypeError(
            f"expected samples, each a tuple of arguments, got a {kind}; write tuple(x.values()), with the values in "
            "the order of the arguments"
        )
    if isinstance(samples, (set, frozenset)):
        raise TypeError(f"expected samples, each a tuple of arguments, got a {kind}, which has no order; write a list")
    return iterable_data(samples, "samples, each a tuple of arguments")
