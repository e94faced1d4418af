"""Look at an object without running code of the user, which could change the object or raise an error.

So this module asks for `type(x)`, since `isinstance(x, dict)` may call a method `__getattribute__` of `x`. It calls the
methods of built-in classes, such as `dict.items(x)`, since a subclass may override them.
"""

from __future__ import annotations

import gc
import random
import sys
import threading
import warnings
import weakref
from abc import ABC
from array import array
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable
from contextvars import ContextVar
from enum import EnumType
from functools import lru_cache, singledispatch
from io import IOBase
from itertools import chain, count, cycle, islice, repeat, starmap
from operator import is_, length_hint
from types import (
    BuiltinMethodType,
    CellType,
    FunctionType,
    GeneratorType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodWrapperType,
    ModuleType,
    TracebackType,
    WrapperDescriptorType,
)
from typing import Any, Generic, Protocol

from ...engine import Value
from ...module import Module
from ...ops.operation import Op, Selection
from ...ops.registry import OPS
from .facts import PACKAGE_NAME, is_users, is_users_module
from .memory import MAX_COMPARED, bytes_of, is_array, is_object_array, plain_array

PLAIN = (float, int, str, bytes, type(None))
EXACTLY_PLAIN = {*PLAIN, bool}  # objects of these classes have no attributes of the user's
SIGNS = ("add", "sub", "mul", "truediv", "mod", "pow", "neg", "abs")  # of the operators of a `Value`
COLLECTIONS = (list, tuple, dict, set, deque)
BUILT_IN_METHODS = (BuiltinMethodType, MethodWrapperType, MethodDescriptorType, WrapperDescriptorType)
# Objects whose contents are found through the garbage collector, since other ways would make copies
VIEWS: tuple[type, ...] = (MappingProxyType, type({}.keys()), type({}.values()), type({}.items()), frozenset)
REFERENCES: tuple[type, ...] = (weakref.ref, *weakref.ProxyTypes)
MAX_BEHIND = 1_000  # at most so many objects behind a weak reference are looked at
MISSING = "a variable without a value, " + PACKAGE_NAME  # compared by identity
LRU_CACHE: Any = type(lru_cache(len))
FACTORY: Any = defaultdict.__dict__["default_factory"]
DISPATCHER: Any = singledispatch(len)  # all functions that `singledispatch` makes have its code
# Bases of users' classes. Their methods read attributes that the user's code does not name only if `READING_MODULES`
# has the name of the method.
BASES = (ABC, Generic, Protocol, *Module.__mro__)
# Iterators that hold other objects
ITERATORS: tuple[type, ...] = (
    chain,
    cycle,
    repeat,
    islice,
    starmap,
    map,
    filter,
    zip,
    enumerate,
    type(iter([])),
    type(iter(())),
)
OPAQUE, ELEMENTS = (CellType, property, BaseException, *ITERATORS), "xml.etree.ElementTree"
HOLDERS = (*REFERENCES, ContextVar, defaultdict, *VIEWS, *OPAQUE)  # classes of objects whose contents `held_by` finds
LEFT_OUT = (type, ModuleType, TracebackType)  # by `contents_of`; a traceback has the frames of an exception
METHOD_TYPES = (FunctionType, staticmethod, classmethod, property)
DESCRIPTORS = (*METHOD_TYPES, MemberDescriptorType, GetSetDescriptorType)


def is_plain(x: Any) -> bool:
    """Return whether `x` is a plain number or text, whose `repr` runs no code of the user."""
    kind = type(x)
    return kind in EXACTLY_PLAIN or (issubclass(kind, PLAIN) and not is_users_module(kind.__module__))


def referent_of(x: Any) -> Any:
    """Return the object that a weak reference or a proxy refers to; None if it has died."""
    if issubclass(type(x), weakref.ref):
        return weakref.ref.__call__(x)  # a `WeakMethod` refers to the object, and makes a new bound method if called
    try:
        return x.__init__.__self__  # of a bound method, since a proxy shows nobody the object itself
    except (AttributeError, ReferenceError):
        return None


def text_behind(x: Any, attributes: frozenset[str] | None) -> str:
    """Return a string that changes if the object behind the weak reference `x` dies, or a part of it is replaced.

    The string is made from the numbers and strings in the object, and from the ids of all other objects in it, so it
    keeps no object alive. At most `MAX_BEHIND` objects are looked at. `attributes` has the names of the attributes of
    users' objects to look at; None for all attributes.
    """
    found: list[str] = []
    waiting, seen = deque([referent_of(x)]), set[int]()
    while waiting and len(found) < MAX_BEHIND:
        y = waiting.popleft()
        kind = type(y)
        if is_plain(y):
            found.append(repr(y))
            continue
        found.append(str(id(y)))
        if id(y) in seen or issubclass(kind, (Value, type, ModuleType, FunctionType)):
            continue
        seen.add(id(y))
        if is_array(y):
            found.append(str(hash(bytes_of(plain_array(y)))))
        elif is_generator(y):
            found.append(generator_state(y))
        elif issubclass(kind, COLLECTIONS):
            waiting += items_of(y) if length_of(y) <= MAX_BEHIND else []
        elif holds_objects(kind):
            waiting += islice(held_by(y), MAX_BEHIND)
        held = attributes_of(y)
        for name, part in [*held.items()] if issubclass(type(held), dict) else ():
            if attributes is None or name in attributes or not reads_by_names(kind):
                waiting += name, part
        waiting += [content_of(y, slot) for slot in slots_of(kind)]
    return " ".join(found)


def content_of(holder: Any, name: Any, missing: Any = None) -> Any:
    """Return the value of a variable; `missing` if it has no value.

    `holder` is a cell of a closure, a dict, a module, a class or an object with slots. `name` is the name of the
    variable; for a slot, it is the slot's descriptor, and for a cell, it is ignored.
    """
    if issubclass(type(holder), dict):
        return holder.get(name, missing)
    if isinstance(name, MemberDescriptorType):
        try:
            return name.__get__(holder)
        except AttributeError:
            return missing
    if not issubclass(type(holder), CellType):
        return vars(holder).get(name, missing)
    try:
        return holder.cell_contents
    except ValueError:
        return missing


def set_content(holder: Any, name: Any, x: Any) -> None:
    """Assign `x` to the variable `name` of `holder`.

    The holder is a cell of a closure, a dict, a module, a class or an object with slots; see `content_of`.
    """
    if issubclass(type(holder), CellType):
        holder.cell_contents = x
    elif issubclass(type(holder), dict):
        holder[name] = x
    elif isinstance(name, MemberDescriptorType):
        name.__set__(holder, x)
    else:
        setattr(holder, name, x)


def remove_content(holder: Any, name: Any) -> None:
    """Delete the variable `name` of `holder`; a cell of a closure becomes empty."""
    if issubclass(type(holder), CellType):
        del holder.cell_contents
    elif issubclass(type(holder), dict):
        del holder[name]
    elif isinstance(name, MemberDescriptorType):
        name.__delete__(holder)
    else:
        delattr(holder, name)


def cell_content(cell: CellType) -> Any:
    """Return the value of the variable that a cell of a closure holds; None if it has no value yet."""
    return content_of(cell, "")


def wrapped_by(f: FunctionType) -> list[Any]:
    """Return the functions that `f`, a function of some package, may call because `f` was made from them.

    For example, `no_grad()(g)` and `functional.grad(g)` are functions that were made from g, and call g. If `f` was
    made by a decorator from `contextlib`, the result also has the function from which this decorator was made.

    >>> from micrograd_cn import no_grad
    >>> def g(x):
    ...     return x
    >>> g in wrapped_by(no_grad()(g))
    True
    """
    held = [vars(f).get("__wrapped__"), *map(cell_content, f.__closure__ or ())]
    held = [getattr(x, "func", x) if type(x).__module__ == "contextlib" else x for x in held]
    return [x for x in held if callable(x) and not issubclass(type(x), (Value, type))]


def registry_of(f: FunctionType) -> Any:
    """Return the mapping from classes to functions that `f` chooses from; an empty dict if `f` does not choose.

    Functions that `functools.singledispatch` has made choose by the class of their first argument.

    >>> from functools import singledispatch
    >>> registry_of(singledispatch(len)), registry_of(lambda x: x)
    (mappingproxy({<class 'object'>: <built-in function len>}), {})
    """
    registry = f.__dict__.get("registry")
    is_dispatcher = f.__code__ is DISPATCHER.__code__ and issubclass(type(registry), MappingProxyType)
    return registry if is_dispatcher else {}


def functions_of(op: Op) -> list[Any]:
    """Return the functions of a user's operation, which run when it is applied; [] for an operation of the table.

    >>> square = Op("square", lambda x: x * x, (lambda y, x: 2.0 * x,))
    >>> functions_of(square) == [square.forward, *square.partials]
    True
    """
    if OPS.get(op.name) is op:
        return []
    partials = op.partials if isinstance(op.partials, tuple) else (op.partials,)
    parts = [x for p in partials for x in ((p.contribution, p.weight) if isinstance(p, Selection) else (p,))]
    return [x for x in (op.forward, op.signature, op.lowerings.formula, *parts) if x]


def unlike_parts(attributes: Iterable[Any]) -> list[Any]:
    """Return those modules and functions in the attributes of a layer or a network that may run a user's code.

    If several neurons of a layer have the same class and activation function, only one of them is in the result.
    Of the neurons of this package whose activation function is given by a string, such as "relu", there is one for each
    string.
    """
    found: dict[Any, Any] = {}
    for attribute in attributes:
        if type(attribute) is list and {*map(type, attribute)} == {Value}:  # a shortcut, for speed
            continue
        for x in attribute if type(attribute) is list else (attribute,):
            if issubclass(type(x), Module):
                kind, activation = type(x), attributes_of(x).get("_activation", x)
                is_named = type(activation) is str and kind.__module__.partition(".")[0] == PACKAGE_NAME
                found[kind, activation if is_named else id(activation)] = x
            elif callable(x):
                found[id(x)] = x
    return [*found.values()]


def reads_by_names(kind: type) -> bool:
    """Return whether only code of the user reads attributes of objects of the class `kind`.

    If so, the names in the user's code tell which attributes are read. It is not so if `kind` has a base class that is
    not the user's, such as `MLP`: its methods read attributes that the user's code does not name.

    >>> from micrograd_cn.nn import MLP
    >>> reads_by_names(Module), reads_by_names(MLP)
    (True, False)
    """
    return all(base in BASES or is_users_module(base.__module__) for base in kind.__mro__)


def items_of(x: Any) -> list[Any]:
    """Return the items of a collection. Those of a dict are its keys and values, except for compiled methods in it."""
    if issubclass(type(x), dict):
        # At once, since another thread may change the dict. An OrderedDict has an order that `dict.items` does not know
        items = [*(OrderedDict.items(x) if issubclass(type(x), OrderedDict) else dict.items(x))]
        return [y for key, z in items if not (type(key) is str and key.startswith("_compiled_")) for y in (key, z)]
    return [*values_of(x)]


def values_of(x: Any) -> Any:
    """Return the items of a collection, without the keys of a dict."""
    kind = type(x)
    if issubclass(kind, dict):
        return dict.values(x)
    return x if kind in COLLECTIONS else _base(kind).__iter__(x)


def length_of(x: Any) -> int:
    """Return the number of the items of a collection."""
    kind = type(x)
    length: int = len(x) if kind in COLLECTIONS else _base(kind).__len__(x)
    return length


def _base(kind: type) -> Any:
    """Return the class of collections, such as dict, from which `kind` inherits, or which it is."""
    return next(base for base in COLLECTIONS if issubclass(kind, base))


def has_other_keys(x: dict[Any, Any]) -> bool:
    """Return whether a dict has keys that are not strings."""
    return not {*map(type, dict.__iter__(x))} <= {str}


def attributes_of(x: Any) -> Any:
    """Return the `__dict__` of an object; None if it has none. No method `__getattr__` of the object is called.

    The `__dict__` of a `threading.local` is that of this thread.
    """
    try:
        held = object.__getattribute__(x, "__dict__")
    except AttributeError:
        held = None
    if issubclass(type(x), threading.local):
        held = threading.local.__getattribute__(x, "__dict__")
    return held


def slots_of(kind: type) -> list[Any]:
    """Return the descriptors of the slots that users' classes among the bases of `kind` define."""
    bases = [base for base in kind.__mro__[:-1] if "__slots__" in vars(base) and is_users_module(base.__module__)]
    return [part for base in bases for part in vars(base).values() if type(part) is MemberDescriptorType]


def is_opaque(x: Any) -> bool:
    """Return whether `x` has contents that are not attributes in a `__dict__`, and that `contents_of` finds.

    Other objects that are written in C are left out: what is in an asynchronous task or in a queue is not what a
    function computes with.

    >>> from itertools import repeat
    >>> is_opaque(repeat([1.0])), is_opaque(ValueError(1.0)), is_opaque(1.0), is_opaque(Value(1.0))
    (True, True, False, False)
    """
    kind = type(x)
    return issubclass(kind, OPAQUE) or (kind.__module__ == ELEMENTS and attributes_of(x) is None)


def contents_of(x: Any) -> list[Any]:
    """Return the contents of an object for which `is_opaque`, `is_record` or `is_structured` holds.

    The contents of a record are its bytes or, if it has fields for objects, its numbers and other objects. The contents
    of an array of records are those of all its records. For any other object, they are what the garbage collector finds
    in it, apart from classes, modules and tracebacks.

    >>> from itertools import repeat
    >>> contents_of(repeat(1.5))
    [1.5]
    """
    if is_record(x):
        return _fields(x)
    if is_structured(x):
        return [y for row in plain_array(x).reshape(-1) for y in _fields(row)]
    return [y for y in gc.get_referents(x) if not issubclass(type(y), LEFT_OUT)]


def holds_objects(kind: type) -> bool:
    """Return whether `held_by` finds what objects of the class `kind` hold.

    It does for frozenset, for example, but not for lists and dicts.

    >>> holds_objects(frozenset), holds_objects(ValueError), holds_objects(list), holds_objects(Value)
    (True, True, False, False)
    """
    if issubclass(kind, HOLDERS):
        return True
    numpy = sys.modules.get("numpy")
    return numpy is not None and issubclass(kind, (numpy.ndarray, numpy.void, numpy.ufunc))


def held_by(x: Any) -> Iterable[Any]:
    """Return the objects that `x` holds in another way than in attributes or slots, for example those in a frozenset.

    The class of `x` is one for which `holds_objects` returns True, such as frozenset, an exception or a weak reference.
    The items of lists, tuples, dicts, sets and deques are not returned. Those of a numpy array are returned if they are
    objects, and not numbers.
    """
    kind = type(x)
    if issubclass(kind, REFERENCES):
        return [referent_of(x), *([x._func_ref] if issubclass(kind, weakref.WeakMethod) else [])]
    if issubclass(kind, ContextVar):
        return [x.get(None)]
    if issubclass(kind, defaultdict):
        return [FACTORY.__get__(x)]
    if issubclass(kind, VIEWS):
        return gc.get_referents(x)  # also classes
    if is_object_array(x):
        items: Iterable[Any] = plain_array(x).flat
        return items
    if is_array(x) or (is_record(x) and not x.dtype.hasobject):
        return ()
    return contents_of(x)


def is_record(x: Any) -> bool:
    """Return whether `x` is a row of a numpy array with named fields. A number that is assigned to it changes the row.

    >>> import numpy as np
    >>> rows = np.array([(2.0, "a")], [("gain", float), ("name", object)])
    >>> is_record(rows[0]), is_record(rows), contents_of(rows[0])
    (True, False, [2.0, 'a'])
    """
    numpy = sys.modules.get("numpy")
    return numpy is not None and issubclass(type(x), numpy.void)


def is_structured(x: Any) -> bool:
    """Return whether `x` is a numpy array of records that have fields for objects, and is not large.

    >>> import numpy as np
    >>> rows = np.array([(2.0, "a")], [("gain", float), ("name", object)])
    >>> is_structured(rows), is_structured(rows["name"]), contents_of(rows)
    (True, False, [2.0, 'a'])
    """
    numpy = sys.modules.get("numpy")
    if numpy is None or not issubclass(type(x), numpy.ndarray):
        return False
    plain = plain_array(x)
    return plain.dtype.kind == "V" and plain.dtype.hasobject and bool(plain.size <= MAX_COMPARED)


def _fields(x: Any) -> list[Any]:
    if not x.dtype.hasobject:
        return [x.tobytes()]
    found: list[Any] = []
    for part in [x[name] for name in x.dtype.names]:
        if is_record(part):
            found += _fields(part)
        elif type(part).__module__ == "numpy":  # an array or a number in the row
            found += part.ravel().tolist()
        else:
            found.append(part)
    return found


def is_made_ufunc(x: Any) -> bool:
    """Return whether `numpy.frompyfunc` made `x` from a function. `contents_of` finds this function.

    >>> import numpy as np
    >>> is_made_ufunc(np.frompyfunc(lambda x: x, 1, 1)), is_made_ufunc(np.exp), is_made_ufunc(len)
    (True, False, False)
    """
    return type(x).__name__ == "ufunc" and type(x).__module__ == "numpy" and x.__name__.endswith("(vectorized)")


def has_no_code(x: Any) -> bool:
    """Return whether `x` is a `Value`, a number, a string or None, so no code of the user is found in it.

    The result is False if the class of the `Value`, number or text is the user's.

    >>> has_no_code(1.0), has_no_code(Value(1.0)), has_no_code([1.0])
    (True, True, False)
    """
    kind = type(x)
    if kind in EXACTLY_PLAIN or kind is Value:
        return True
    return issubclass(kind, (Value, *PLAIN)) and not is_users_module(kind.__module__)


METHODS = frozenset(name for base in Value.__mro__[:-1] for name in vars(base) if callable(vars(base)[name]))
OPERATORS = METHODS.intersection(f"__{r}{name}__" for name in SIGNS for r in ("", "r"))
_NAMES = [*METHODS]
_OURS = [
    None if issubclass(type(f), FunctionType) and is_users(f.__code__.co_filename) else f
    for f in [getattr(Value, name) for name in _NAMES]
]


def methods_of_users() -> dict[str, Any]:
    """Return those methods of `Value` that a user has replaced, by name."""
    now = [getattr(Value, name) for name in _NAMES]
    if are_same(now, _OURS):  # for speed
        return {}
    return {name: f for name, f, own in zip(_NAMES, now, _OURS, strict=True) if f is not own}


def members_of(kind: type) -> list[Any]:
    """Return the members of an enumeration; [] for other classes."""
    return [*vars(kind).get("_member_map_", {}).values()] if issubclass(type(kind), EnumType) else []


def is_closed(kind: type) -> bool:
    """Return whether objects of the class `kind` may hold something that is not found by looking at their attributes.

    This is so for all arrays, such as numpy's or PyTorch's, even if this package can read their numbers. It is so, too,
    for classes of other packages whose objects have no `__dict__`, like most classes that are written in C.

    >>> is_closed(object), is_closed(range), is_closed(bytearray)
    (False, False, True)
    """
    module = kind.__module__ if isinstance(kind.__module__, str) else ""
    root = module.partition(".")[0]
    if kind in (bytearray, array) or (kind.__name__ == "ndarray" and root == "numpy"):
        return True
    if root in ("numpy", PACKAGE_NAME) or root in sys.stdlib_module_names or is_users_module(module):
        return False
    return hasattr(kind, "__array__") or not kind.__dictoffset__


def are_same(xs: list[Any], ys: list[Any]) -> bool:
    """Return whether two lists have the same objects in the same order."""
    return len(xs) == len(ys) and all(map(is_, xs, ys))


_reads = count()


def progress_of(x: Any) -> str:
    """Return a string that differs once an iterator or a file has returned a further item, if Python shows this.

    Python shows it for generators, for files that can tell their position, and for iterators of built-in collections,
    of `csv` and of `itertools`. For other iterators, the string is always empty. No user's code runs.

    >>> xs = zip([1, 1], [2, 2])
    >>> before = progress_of(xs)
    >>> next(xs)
    (1, 2)
    >>> progress_of(xs) == before
    False
    """
    kind = type(x)
    if kind is GeneratorType:
        if x.gi_frame is None:
            return "ended"
        held = x.gi_frame.f_locals.items()
        texts = [f"{name}={y!r}" if type(y) in EXACTLY_PLAIN else f"{name} {id(y)}" for name, y in held]
        inner = [progress_of(y) for _, y in held if type(y) is not kind and is_iterator(y)]
        return f"at {x.gi_frame.f_lasti} " + " ".join([*texts, *inner])
    if issubclass(kind, IOBase) and kind.__module__ == "_io":
        try:
            return str(x.tell())
        except OSError:  # a pipe; or `next` has read a line of a text file, which then hides its position
            return str(next(_reads)) if x.seekable() else ""
        except ValueError:  # it is closed
            return ""
    if kind.__module__ not in ("builtins", "itertools", "_collections", "collections", "_csv"):
        return ""
    if kind is count:
        return repr(x)
    if kind is cycle:  # which alone hides where it is in the items that it has stored
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12 and later, for `__reduce__`
            try:
                held_again = x.__reduce__()
            except TypeError:  # of a Python without it
                return ""
        return " ".join([progress_of(y) for y in held_again[1]] + [repr(held_again[2][1:])])
    inside = gc.get_referents(x)
    inside += chain.from_iterable([y for y in inside if type(y) is tuple])
    parts = [progress_of(y) for y in inside if is_iterator(y) or issubclass(type(y), IOBase)]
    return " ".join([str(length_hint(x, -1)), *parts])


def results_of(x: Any) -> list[Any]:
    """Return the results that the function `x`, which has an `lru_cache`, has stored.

    The garbage collector shows what is in the cache. If the cache has a `maxsize`, this includes its keys, which are
    made of the arguments, so they are in the result, too. If it has `maxsize=None`, they are not.

    >>> @lru_cache
    ... def weights(count):
    ...     return [0.5] * count
    >>> results_of(weights), weights(2) in results_of(weights)
    ([], True)
    """
    found = gc.get_referents(x)  # arguments and results, a dict with them, the function, and what is no result
    end = next((k for k, y in enumerate(found) if y is x.__wrapped__), 0)
    if not end or type(stored := found[end - 1]) is not dict:
        return []
    results = [y for y in stored.values() if type(y).__name__ != "_lru_list_elem"]  # without links to results
    return [*[y for y in found[: end - 1] if not issubclass(type(y), type)], *results]


def has_results(x: Any, results: list[Any]) -> bool:
    """Return whether the cache of `x`, a function with an `lru_cache`, still has the same objects as before.

    `results` has the objects that `results_of(x)` returned before.
    """
    return {*map(id, results_of(x))} == {*map(id, results)}  # a call of the function may change their order


def is_readable(x: Any) -> bool:
    """Return whether a file is open and may be read. A log, for example, is open for writing alone."""
    try:
        return bool(x.readable())
    except ValueError:  # it is closed
        return False


def is_iterator(x: Any) -> bool:
    """Return whether `x` is an iterator, such as a generator, and not a file."""
    return hasattr(type(x), "__next__") and not issubclass(type(x), IOBase)


def is_generator(x: Any) -> bool:
    """Return whether `x` is a generator of random numbers."""
    if issubclass(type(x), random.Random):
        return True
    module = type(x).__module__  # a class may have a descriptor of this name, as those of Cython do
    return isinstance(module, str) and module.startswith("numpy.random")


def shared_generators() -> list[Any]:
    """Return the generators behind the functions of the modules `random`, `numpy.random` and `torch`, if imported."""
    pythons: Any = random.random
    numpys, torchs = sys.modules.get("numpy.random"), sys.modules.get("torch")
    return [
        pythons.__self__,
        *([numpys.random.__self__] if numpys else []),
        *([torchs.default_generator] if torchs else []),
    ]


def generator_state(x: Any) -> str:
    """Return the state of a random number generator as text; "" if it has no state."""
    if issubclass(type(x), random.SystemRandom):
        return ""
    if issubclass(type(x), random.Random):
        return repr(x.getstate())
    if hasattr(x, "bit_generator"):
        return repr(x.bit_generator.state)
    if hasattr(x, "initial_seed"):  # PyTorch's
        return repr(x.get_state().tolist())
    return repr(x.get_state() if hasattr(x, "get_state") else getattr(x, "state", None))
