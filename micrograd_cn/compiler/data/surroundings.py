"""What a function can read besides its arguments: the variables around it, and the objects that these hold.

A compiled program does not read them again. So a function that changes them while it is recorded, or that draws random
numbers or reads a clock, may do something else in each call. The module `function.jit` records such a function twice,
and compares the recordings.
"""

from __future__ import annotations

import dis
import random
import sys
from collections import defaultdict, deque
from collections.abc import Iterable
from copy import copy
from functools import lru_cache, partial
from itertools import islice
from operator import is_
from pathlib import Path
from types import BuiltinMethodType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

from ...engine import Value
from ...module import Module

PACKAGE_NAME = __name__.partition(".")[0]
PACKAGE = str(Path(__file__).parents[2] / "_")[:-1]
LIBRARY = str(Path(random.__file__).parent)  # the folder of Python's own modules
MAX_OBJECTS = 2000  # at most this many objects are looked at
MAX_ITEMS = 200  # a collection with more items is not looked into
MAX_ALIKE = 8  # only so many items of a collection are searched for code, since items are usually alike
# Modules whose functions may return something else in each call, and the names of these functions; None for all names
CHANGING: dict[str, set[str] | None] = {
    "random": None,
    "numpy.random": None,
    "numpy": {"random"},
    "torch": {"rand", "randn", "randint", "randperm", "dropout", "bernoulli", "normal"},
    "secrets": None,
    "uuid": None,
    "time": None,
    "datetime": {"now", "utcnow", "today"},
    "os": {"urandom"},
}
DRAWING = {f"{PACKAGE_NAME}.nn", f"{PACKAGE_NAME}.init"}  # our own modules that draw random numbers
PLAIN = (float, int, str, bytes, type(None))
COLLECTIONS = (list, tuple, dict, set, deque)
WRITING_OPCODES = {
    dis.opmap[name]
    for name in ("STORE_ATTR", "STORE_GLOBAL", "STORE_SUBSCR", "STORE_SLICE", "DELETE_ATTR", "DELETE_SUBSCR")
    if name in dis.opmap
}
WRITING_NAMES = {
    *("add", "append", "appendleft", "clear", "discard", "extend", "insert", "next", "pop", "popitem", "popleft"),
    *(
        "remove",
        "reverse",
        "send",
        "setattr",
        "setdefault",
        "sort",
        "update",
        "__setitem__",
        "__delitem__",
        "__setattr__",
    ),
}
# Methods that a function does not call if it only uses an object that exists
SETUP = {"__init__", "__new__", "__init_subclass__", "__setstate__", "__reduce__", "__copy__", "__deepcopy__"}


class Facts(NamedTuple):
    """What can be known from the code of a function, without running it.

    Attributes:
        names: the names of the global variables, attributes and methods that the code uses.
        writes: whether the code may change a variable or an object outside of the function.
    """

    names: frozenset[str]
    writes: bool


@lru_cache(4096)
def facts_of(code: CodeType) -> Facts:
    """Return what can be known from the code of a function, and from that of the functions defined inside it.

    >>> facts_of((lambda x: x.append(1)).__code__)
    Facts(names=frozenset({'append'}), writes=True)
    """
    inner = [facts_of(part) for part in code.co_consts if isinstance(part, CodeType)]
    names = frozenset(code.co_names).union(*[each.names for each in inner])
    opcodes = {*code.co_code[::2]}
    writes = not opcodes.isdisjoint(WRITING_OPCODES) or not WRITING_NAMES.isdisjoint(names)
    rebinds = bool(code.co_freevars) and dis.opmap["STORE_DEREF"] in opcodes
    return Facts(names, writes or rebinds or any(each.writes for each in inner))


class ReachableCode:
    """The code that a function may run, except for code of this package, of Python and of installed packages.

    Of several objects of a class that is no `Module`, only the first that is found is looked at.

    Args:
        roots: the function, and other objects that it can reach.

    Attributes:
        asks_for_types: whether the code uses the name `type` or `__class__`.
        asks_for_identity: whether the code uses the name `id`.
        may_change: whether the code uses something that may be different in each call, such as a clock.
        writes: whether the code may change variables or objects, or draws numbers from generators.

    >>> found = ReachableCode([lambda x: x if type(x) is float else -x])
    >>> found.asks_for_types, found.may_change, found.writes
    (True, False, False)
    """

    def __init__(self, roots: Iterable[Any]) -> None:
        self.asks_for_types = self.asks_for_identity = self.may_change = self.writes = False
        self._names: set[str] = set()
        self._seen: dict[Any, Any] = {}
        self._kinds = set[type]()
        self._classes: list[tuple[str, Any]] = []  # the methods that have not been looked at
        self._waiting = [*roots]
        while self._waiting and len(self._seen) < MAX_OBJECTS:
            self._visit(self._waiting.pop())
            if not self._waiting and self._classes:
                used = [method for method in self._classes if method[0] in self._names]
                if used:
                    self._classes = [method for method in self._classes if method[0] not in self._names]
                    self._waiting = [method for _, method in used]

    def _visit(self, x: Any) -> None:
        if isinstance(x, (Value, *PLAIN)):
            return
        key = type(x) if type(x).__module__ not in ("builtins", "functools") else id(x)
        if isinstance(x, Module):  # objects of a class may have different functions as attributes
            activation = vars(x).get("_activation", x)
            key = type(x), activation if isinstance(activation, str) else id(activation)
        if key in self._seen:
            return
        self._seen[key] = x
        if isinstance(x, FunctionType):
            self.may_change |= x.__module__ in DRAWING
            if _is_users(x.__code__.co_filename):
                self._visit_function(x)
            else:
                self._waiting += _wrapped_by(x)
        elif isinstance(x, COLLECTIONS):
            items = x.values() if isinstance(x, dict) else x
            self._waiting += islice(items, MAX_ALIKE)
        elif isinstance(x, MethodType):
            self._waiting += [x.__func__, x.__self__]
        elif isinstance(x, partial):
            self._waiting += [x.func, *x.args, *x.keywords.values()]
        elif isinstance(x, BuiltinMethodType):
            self.may_change |= x.__module__ in CHANGING or is_generator(x.__self__)
        elif is_generator(x):
            self.writes = True
        elif isinstance(x, (property, classmethod, staticmethod)):
            self._waiting += [getattr(x, "fget", None) or getattr(x, "__func__", None)]
        elif not isinstance(x, (ModuleType, type)):
            self.may_change |= hasattr(type(x), "__next__")  # next(x) returns something else in each call
            held = getattr(x, "__dict__", None)
            if type(x).__module__.partition(".")[0] != PACKAGE_NAME:
                self._waiting += held.values() if isinstance(held, dict) and len(held) <= MAX_ITEMS else ()
                self._visit_class(type(x))
            elif isinstance(held, dict) and "_f" in held:  # a compiled function
                self._waiting.append(held["_f"])
            elif isinstance(x, Module):
                self._waiting += _unlike_parts(held.values())

    def _visit_class(self, kind: type) -> None:
        if kind in self._kinds:
            return
        self._kinds.add(kind)
        for base in kind.__mro__:
            if _is_users(getattr(sys.modules.get(base.__module__), "__file__", None) or "<frozen"):
                for name, part in vars(base).items():
                    runs = name.startswith("__") or (name == "forward" and issubclass(kind, Module))
                    if runs and name not in SETUP:
                        self._waiting.append(part)
                    elif name not in SETUP:
                        self._classes.append((name, part))

    def _visit_function(self, f: FunctionType) -> None:
        names, writes = facts_of(f.__code__)
        self.writes |= writes
        self._names |= names
        self.asks_for_identity |= "id" in names
        self.asks_for_types |= "type" in names or "__class__" in names
        cells = [x for x in map(_cell_content, f.__closure__ or ()) if not isinstance(x, (Value, *PLAIN))]
        for x in [*cells, *[f.__globals__[name] for name in names & f.__globals__.keys()]]:
            if isinstance(x, (ModuleType, type)):
                self._visit_namespace(x, names)
            else:
                self._waiting.append(x)
        if not CHANGING.keys().isdisjoint(names):
            for name in names & CHANGING.keys() - f.__globals__.keys():
                if name in sys.modules:  # the function may import it
                    self._visit_namespace(sys.modules[name], names)
        if f.__defaults__ or f.__kwdefaults__:
            self._waiting += [*(f.__defaults__ or ()), *(f.__kwdefaults__ or {}).values()]

    def _visit_namespace(self, x: ModuleType | type, names: frozenset[str]) -> None:
        """Visit those attributes of a module or class whose names are among `names`, the names in a function's code."""
        module = x.__name__ if isinstance(x, ModuleType) else x.__module__
        if isinstance(x, type) and module in DRAWING:
            self.may_change = True  # a new layer draws its weights from a generator of random numbers
        changing = CHANGING.get(module, set())
        self.may_change |= changing is None or not changing.isdisjoint(names)
        if _is_users(getattr(sys.modules.get(module), "__file__", None) or "<frozen"):
            self._waiting += [vars(x)[name] for name in names & vars(x).keys()]


class Surroundings:
    """The variables around some functions, and the objects that the functions can reach from them.

    Functions of other packages are not looked into, nor are large collections.

    Args:
        roots: the functions, and other objects that they can reach.

    Attributes:
        leaves: the `Value`s that the functions can reach and that no operation computed.
        complete: whether all objects were looked at, and not only the first `MAX_OBJECTS`.

    >>> weights, count = [Value(1.0)], 0
    >>> found = Surroundings([lambda x: weights[count] * x])
    >>> before = found.state()
    >>> count += 1
    >>> found.leaves == weights, found.has_changed(before)
    (True, True)
    """

    def __init__(self, roots: Iterable[Any]) -> None:
        self.leaves: list[Value] = []
        self._variables: list[tuple[Any, str]] = []  # cells, the globals of modules, and classes; and names in them
        self._collections: list[Any] = []
        self._generators: list[Any] = []
        self._parents: defaultdict[int, list[Any]] = defaultdict(list)  # by the id of an object, what holds it
        seen: dict[int, Any] = {}
        self._waiting: deque[Any] = deque(roots)
        while self._waiting and len(seen) < MAX_OBJECTS:
            x = self._waiting.popleft()
            if id(x) not in seen:
                seen[id(x)] = x
                self._visit(x)
        self.complete = not self._waiting
        self._alive = seen  # as long as this object exists, no other object has the id of one of these

    def _visit(self, x: Any) -> None:
        if isinstance(x, FunctionType):
            if _is_users(x.__code__.co_filename):
                self._visit_function(x)
            else:
                self._waiting += _wrapped_by(x)
        elif isinstance(x, COLLECTIONS):
            if len(x) <= MAX_ITEMS:
                self._visit_items(x)
        elif isinstance(x, MethodType):
            self._add(x, [x.__func__, x.__self__])
        elif isinstance(x, partial):
            self._add(x, [x.func, x.args, x.keywords])
        elif is_generator(x):
            self._generators.append(x)
        elif not isinstance(x, (ModuleType, type, BuiltinMethodType)):
            held = getattr(x, "__dict__", None)
            if isinstance(held, dict) and len(held) <= MAX_ITEMS:
                self._parents[id(held)].append(x)
                self._visit_items(held)
                if isinstance(x, Module):  # a layer may have more neurons than `MAX_ITEMS`
                    self._waiting += _unlike_parts(held.values())
            for kind in type(x).__mro__:
                if _is_users(getattr(sys.modules.get(kind.__module__), "__file__", None) or "<frozen"):
                    parts = [*vars(kind).values()]
                    self._waiting += [getattr(part, "fget", None) or getattr(part, "__func__", part) for part in parts]

    def _add(self, holder: Any, items: Iterable[Any]) -> None:
        for x in items:
            if isinstance(x, Value):
                self._parents[id(x)].append(holder)
                if x.op is None:
                    self.leaves.append(x)
            elif not isinstance(x, PLAIN):
                self._parents[id(x)].append(holder)
                self._waiting.append(x)

    def _visit_items(self, x: Any) -> None:
        if not isinstance(x, tuple):
            self._collections.append(x)
        self._add(x, x.values() if isinstance(x, dict) else x)

    def _visit_function(self, f: FunctionType) -> None:
        names = facts_of(f.__code__).names
        variables: list[tuple[Any, str]] = [*zip(f.__closure__ or (), f.__code__.co_freevars, strict=True)]
        variables += [(f.__globals__, name) for name in names & f.__globals__.keys()]
        for variable in variables:
            self._variables.append(variable)
            x = _content(*variable)
            self._add(variable[0], [x])
            if isinstance(x, (ModuleType, type)):
                module = x if isinstance(x, ModuleType) else sys.modules.get(x.__module__)
                if _is_users(getattr(module, "__file__", None) or "<frozen"):
                    for name in names & vars(x).keys():
                        self._variables.append((x, name))
                        self._add(x, [vars(x)[name]])
        self._add(f, [*(f.__defaults__ or ()), *(f.__kwdefaults__ or {}).values()])

    def state(self) -> list[list[Any]]:
        """Return what the variables and collections hold now, and the states of generators of random numbers."""
        variables = [_content(holder, name) for holder, name in self._variables]
        return [[generator_state(x) for x in self._generators], variables, *map(_items, self._collections)]

    def has_changed(self, state: list[list[Any]]) -> bool:
        """Return whether anything has changed since the method `state` returned the list `state`."""
        now = self.state()
        return now[0] != state[0] or not all(map(_are_same, now[1:], state[1:]))

    def restore(self, state: list[list[Any]]) -> None:
        """Where a variable or collection has changed, put back what it held when the list `state` was returned."""
        _, variables, *collections = state
        for (holder, name), x in zip(self._variables, variables, strict=True):
            if _content(holder, name) is not x:
                if isinstance(holder, CellType):
                    holder.cell_contents = x
                elif isinstance(holder, dict):
                    holder[name] = x
                else:
                    setattr(holder, name, x)
        for collection, items in zip(self._collections, collections, strict=True):
            if _are_same(_items(collection), items):
                continue
            if isinstance(collection, dict):
                keys, values = items[::2], items[1::2]
                for key in [key for key, _ in [*collection.items()] if key not in keys]:
                    del collection[key]
                collection.update(zip(keys, values, strict=True))
            else:
                collection.clear()
                collection.update(items) if isinstance(collection, set) else collection.extend(items)

    def places_of(self, leaves: Iterable[Value]) -> Places:
        """Return the variables and collections through which the functions reach `leaves`."""
        waiting, relevant = [*leaves], set[int]()
        for x in waiting:
            if id(x) not in relevant:
                relevant.add(id(x))
                waiting += self._parents.get(id(x), ())
        variables = [place for place in self._variables if id(_content(*place)) in relevant]
        collections = [x for x in self._collections if id(x) in relevant and not isinstance(x, set)]
        return Places(variables, collections)


class Places:
    """Variables and collections, with the objects that they hold when this object is made.

    Args:
        variables: pairs of what has a variable, and the variable's name. It is a cell of a closure, the dict of a
            module's globals, a module or a class.
        collections: collections.
    """

    def __init__(self, variables: list[tuple[Any, str]], collections: list[Any]) -> None:
        self._variables, self._collections = variables, collections
        self._held = [_content(*place) for place in variables]
        self._items = [copy(x) for x in collections]

    def have_moved(self) -> bool:
        """Return whether a variable or collection holds something else now. Nodes are compared by identity.

        >>> weights = [Value(1.0), Value(2.0)]
        >>> places = Surroundings([lambda x: weights[0] * x]).places_of(weights[:1])
        >>> before = places.have_moved()
        >>> weights[0] = Value(1.0)
        >>> before, places.have_moved()
        (False, True)
        """
        try:
            now = [_content(*place) for place in self._variables]
            return now != self._held or self._collections != self._items
        except Exception:  # from a comparison that the user has defined, or from one of two arrays
            return True


def _content(holder: Any, name: Any) -> Any:
    """Return what the variable `name` of `holder` holds; None if it has no value."""
    if isinstance(holder, dict):
        return holder.get(name)
    if not isinstance(holder, CellType):
        return vars(holder).get(name)
    try:
        return holder.cell_contents
    except ValueError:
        return None


def _cell_content(cell: CellType) -> Any:
    return _content(cell, "")


def _wrapped_by(f: FunctionType) -> list[Any]:
    """Return the functions that `f`, a function of some package, may call because it was made from them.

    Examples are the results of `scope("a")(g)`, `no_grad()(g)` and `functional.grad(g)`, which call g.

    >>> from micrograd_cn import no_grad
    >>> def g(x):
    ...     return x
    >>> _wrapped_by(no_grad()(g)) == [g]
    True
    """
    if "__wrapped__" in vars(f):
        return [f.__wrapped__]  # type: ignore[attr-defined]
    held = map(_cell_content, f.__closure__ or ())
    return [x for x in held if callable(x) and not isinstance(x, (Value, type))]


def _unlike_parts(attributes: Iterable[Any]) -> list[Any]:
    """Return the objects in the attributes of a layer or a network, except the `Value`s.

    Of the neurons of a layer that have the same activation function, only the first is in the result.
    """
    found: dict[Any, Any] = {}
    for attribute in attributes:
        for x in attribute if type(attribute) is list else (attribute,):
            if not isinstance(x, (Value, *PLAIN)):
                found.setdefault((type(x), id(getattr(x, "_activation", x))), x)
    return [*found.values()]


def _items(x: Any) -> list[Any]:
    """Return the items of a collection. Those of a dict are its keys and values, without compiled methods."""
    if isinstance(x, dict):
        items = [*x.items()]  # at once, since another thread may change the dict
        return [y for key, z in items if not (type(key) is str and key.startswith("_compiled_")) for y in (key, z)]
    return [*x]


def _are_same(xs: list[Any], ys: list[Any]) -> bool:
    return len(xs) == len(ys) and all(map(is_, xs, ys))


def _is_users(file: str) -> bool:
    """Return whether `file` belongs neither to Python, nor to an installed package, nor to this package."""
    return not (file.startswith((PACKAGE, LIBRARY, "<frozen")) or "site-packages" in file or "dist-packages" in file)


def is_generator(x: Any) -> bool:
    """Return whether `x` is a generator of random numbers."""
    return isinstance(x, random.Random) or type(x).__module__.startswith("numpy.random")


def generator_state(x: Any) -> str:
    """Return a text that says in which state a generator of random numbers is."""
    if isinstance(x, random.Random):
        return repr(x.getstate())
    if hasattr(x, "bit_generator"):
        return repr(x.bit_generator.state)
    return repr(x.get_state() if hasattr(x, "get_state") else getattr(x, "state", None))
