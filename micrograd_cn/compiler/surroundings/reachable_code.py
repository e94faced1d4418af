"""`ReachableCode`: all code that a function may run, and facts about it, such as the names that it reads.

It says, for example, whether this code may change variables, or may draw random numbers.
"""

from __future__ import annotations

import functools
import random
import sys
from collections.abc import Iterable, Mapping, Set
from functools import partial
from itertools import islice
from threading import Thread
from types import FunctionType, MethodType, ModuleType
from typing import Any

from ...engine import Value
from ...module import Module
from ...ops.operation import Op
from .facts import PACKAGE_NAME, WRITING_NAMES, facts_of, is_users, is_users_module, names_in_compiled
from .objects import (
    BUILT_IN_METHODS,
    COLLECTIONS,
    LRU_CACHE,
    OPERATORS,
    attributes_of,
    cell_content,
    content_of,
    functions_of,
    has_no_code,
    held_by,
    holds_objects,
    is_generator,
    is_made_ufunc,
    members_of,
    methods_of_users,
    reads_by_names,
    registry_of,
    slots_of,
    unlike_parts,
    values_of,
    wrapped_by,
)

MAX_OBJECTS = 2000  # at most this many objects are searched for code
MAX_ATTRIBUTES = 200  # an object with more attributes is not searched for code
MAX_ALIKE = 8  # only this many items of a collection are searched for code, since items are usually alike
MAX_OF_A_CLASS = 50  # only this many objects of a class are searched for code
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
    "os": {"urandom", "getrandom"},
    "posix": {"urandom", "getrandom"},  # where those of `os` come from
    "nt": {"urandom"},
}
COMPARING = {"id", "is_", "is_not"}  # functions that compare objects, or from whose results code may compare them
DRAWING = {f"{PACKAGE_NAME}.nn", f"{PACKAGE_NAME}.init"}  # our own modules that draw random numbers
CACHING = (functools.cached_property, LRU_CACHE)  # decorators that keep results, by code that is not the user's
QUEUES = ("queue", "_queue", "multiprocessing.queues")
# The names of functions and methods that may read attributes whose names are not in the code that calls them
READING_ALL = {
    *("getattr", "hasattr", "vars", "dir", "eval", "exec", "attrgetter", "methodcaller", "getmembers"),
    *("format", "format_map"),
    *("__dict__", "__getattribute__", "asdict", "astuple", "fields", "replace", "__dataclass_fields__", "__slots__"),
    "__match_args__",
}
# The names of methods that read all attributes of a module, and of the objects inside it
READING_MODULES = {"parameters", "named_parameters", "modules", "named_modules", "children", "entries", "state_dict"}
READING_IN_MODULES = READING_ALL | READING_MODULES
# Methods that make an object. A function that names the class may call them.
MAKING = ("__init__", "__new__", "__post_init__")
# Methods that a function does not call if it only uses an object that exists
SETUP = {"__init__", "__new__", "__init_subclass__", "__setstate__", "__reduce__", "__copy__", "__deepcopy__"}


class ReachableCode:
    """The code that a function may run, except for code of this package, of Python and of installed packages.

    At most `MAX_OBJECTS` objects are looked at, and at most `MAX_OF_A_CLASS` of a class.

    Args:
        roots: the function, and other objects that it can reach.

    Attributes:
        asks_for_types: whether the code uses the name `type` or `__class__`.
        asks_for_identity: whether the code uses the name `id`.
        may_change: whether the code uses something that may be different in each call, such as a clock.
        catches: whether the code catches errors.
        has_iterators: whether the code can reach an iterator, such as a generator.
        writes: whether the code may change variables or objects, draws numbers from generators, or keeps results in
            the caches of `functools`.

    >>> found = ReachableCode([lambda x: x if type(x) is float else -x])
    >>> found.asks_for_types, found.may_change, found.writes
    (True, False, False)
    """

    def __init__(self, roots: Iterable[Any]) -> None:
        self.asks_for_types = self.asks_for_identity = self.may_change = self.writes = False
        self.catches = False
        self.has_iterators = self._asks = self._has_value_class = self._compares_identity = False
        self._makes_cycles = self._asks_for_bools = False
        self._names: set[str] = set()
        self._seen: dict[Any, Any] = {}
        # The classes whose methods have been looked at, their slots, and whether `held_by` finds more in their objects
        self._kinds: dict[type, tuple[list[Any], bool]] = {}
        self._counts: dict[type, int] = {}  # how many objects of a class have been looked at
        # The methods and attributes that have not been looked at, each with its name, and with the names of what may
        # read it without that name
        self._unread: list[tuple[str, set[str], Any]] = []
        self._modules: list[ModuleType] = []  # modules that the code may reach by other ways than by their names
        searched = 0, 0  # how many modules and names there were when the names were looked up in the modules
        self._waiting = [*roots]
        for name, f in methods_of_users().items():
            if name in OPERATORS:
                self._waiting.append(f)
            else:
                self._unread.append((name, READING_ALL, f))
        while self._waiting and len(self._seen) < MAX_OBJECTS:
            self._visit(self._waiting.pop())
            if not self._waiting:
                found = len(self._modules), len(self._names)
                if self._modules and found != searched:
                    searched = found
                    for module in self._modules:
                        self._visit_namespace(module, self._names)
                unread, self._unread = self._unread, []
                for part in unread:
                    if part[0] in self._names or not self._names.isdisjoint(part[1]):
                        self._waiting.append(part[2])
                    else:
                        self._unread.append(part)
        # Keep no objects alive that have only weak references
        self._seen, self._unread, self._waiting = {}, [], []

    @property
    def names(self) -> frozenset[str]:
        """The names of the global variables, attributes and methods that the code uses."""
        return frozenset(self._names)

    @property
    def asks_for_kinds(self) -> bool:
        """Whether the code may tell a `Value` from a number in a way that the `Value` does not notice.

        >>> ReachableCode([lambda x: x if isinstance(x, Value) else 0.0]).asks_for_kinds
        True
        """
        asks_for_value = self._has_value_class and "isinstance" in self._names
        return self._asks or self.asks_for_types or asks_for_value or self._asks_for_bools

    @property
    def asks_for_bools(self) -> bool:
        """Whether the code may find out whether a number is True or False, which a `Value` never is.

        >>> ReachableCode([lambda x, flag: x if flag is True else -x]).asks_for_bools
        True
        """
        return self._asks_for_bools or "bool" in self._names

    @property
    def compares_identity(self) -> bool:
        """Whether the code may find out whether two objects are the same object, as `is` does.

        In a recording, a `Value` takes the place of an element of a numpy array, and is another object than the
        element.

        >>> ReachableCode([lambda xs, y: [x for x in xs if x is not y]]).compares_identity
        True
        >>> ReachableCode([lambda x: 0.0 if x is None else x]).compares_identity
        False
        """
        return self._compares_identity or not COMPARING.isdisjoint(self._names)

    @property
    def makes_cycles(self) -> bool:
        """Whether the code may make leaves, and reference cycles that hold them."""
        return self._has_value_class and (self._makes_cycles or self.writes or self.catches)

    def _visit(self, x: Any) -> None:
        kind = type(x)
        if has_no_code(x):
            return
        key: Any = id(x)
        if key in self._seen:
            return
        if issubclass(kind, COLLECTIONS):
            self._seen[key] = x
            self._waiting += [item for item in islice(values_of(x), MAX_ALIKE) if not has_no_code(item)]
            if issubclass(kind, dict):
                self._waiting += [item for item in islice(dict.__iter__(x), MAX_ALIKE) if not has_no_code(item)]
            if kind not in COLLECTIONS:
                self._visit_object(x)
            return
        module = kind.__module__
        if module not in ("builtins", "functools"):
            if issubclass(kind, Module) and module.partition(".")[0] == PACKAGE_NAME:
                self._seen[key] = x
                self._add_activation(vars(x))
                self._waiting += unlike_parts(vars(x).values())
                return
            count = self._counts[kind] = self._counts.get(kind, 0) + 1
            if count > MAX_OF_A_CLASS:
                return
        self._seen[key] = x
        if issubclass(kind, FunctionType):
            self.may_change |= x.__module__ in DRAWING or _is_changing(x.__module__, x.__name__)
            if is_users(x.__code__.co_filename):
                self._visit_function(x)
            else:
                self._waiting += [*wrapped_by(x), *registry_of(x).values()]
        elif issubclass(kind, MethodType):
            self._waiting += [x.__func__, x.__self__]
        elif issubclass(kind, partial):
            self._waiting += [x.func, *x.args, *x.keywords.values()]
        elif issubclass(kind, BUILT_IN_METHODS):
            self._visit_built_in(x)
        elif is_generator(x):
            self.writes = True
            self.may_change |= issubclass(kind, random.SystemRandom)
        elif is_made_ufunc(x):
            self.writes = self.may_change = True  # since not every release of numpy shows the function that it calls
            self._waiting += held_by(x)
        elif issubclass(kind, CACHING):
            self.writes = True
            self._waiting += [getattr(x, "func", None) or getattr(x, "__wrapped__", None)]
        elif issubclass(kind, (property, classmethod, staticmethod)):
            self._waiting += [getattr(x, "fget", None) or getattr(x, "__func__", None)]
        elif issubclass(kind, type):
            self._visit_type(x)
        elif issubclass(kind, Op):
            self._waiting += functions_of(x)
        elif issubclass(kind, ModuleType):
            if is_users_module(x.__name__) or x.__name__ in CHANGING:
                self._modules.append(x)
        else:
            self._visit_object(x)

    def _add_activation(self, held: Mapping[str, Any]) -> None:
        """Add the name of the method that a neuron calls as its activation to the names that the code uses.

        `held` has the attributes of the neuron or of its class. If they name no method, nothing is added.
        """
        if type(name := held.get("_activation")) is str:
            self._names.add(name)

    def _visit_built_in(self, x: Any) -> None:
        """Visit a function or method that is written in C."""
        owner = getattr(x, "__self__", None)
        holder = owner if issubclass(type(owner), type) else x  # datetime.now belongs to a class
        self.asks_for_identity |= x is id  # under another name
        self._names.add(x.__name__)  # such as getattr in partial(getattr, x)
        self.writes |= x.__name__ in WRITING_NAMES
        self.may_change |= _is_changing(getattr(holder, "__module__", None), x.__name__) or is_generator(owner)
        if issubclass(type(owner), COLLECTIONS):
            self._waiting.append(owner)

    def _visit_object(self, x: Any) -> None:
        """Visit the attributes and the class of an object, if its class is none of those that `_visit` knows."""
        kind, held = type(x), attributes_of(x)
        self.has_iterators |= hasattr(kind, "__next__")  # next(x) returns something else in each call
        self.may_change |= kind.__module__ in QUEUES
        if kind.__module__ == "operator":
            self._names.add(kind.__name__)  # such as attrgetter
        elif kind.__module__ == "numpy" and getattr(x, "__name__", "") == "nan_to_num":
            self._names.add("nan_to_num")  # under another name
        if kind.__module__.partition(".")[0] == PACKAGE_NAME:
            if issubclass(type(held), dict) and "_f" in held:
                self._waiting += [held[name] for name in names_in_compiled(held)]
            return
        if issubclass(type(held), dict) and len(held) <= MAX_ATTRIBUTES:
            parts = {name: part for name, part in held.items() if not has_no_code(part)}
            if reads_by_names(kind):
                others = READING_IN_MODULES if issubclass(kind, Module) else READING_ALL
                self._unread += [(name, others, part) for name, part in parts.items()]
            else:
                self._waiting += parts.values()
        if kind not in self._kinds:
            self._visit_class(kind)
        slots, holds = self._kinds[kind]
        if slots:
            self._waiting += [content_of(x, slot) for slot in slots]
        if holds:
            self._waiting += [y for y in islice(held_by(x), MAX_ALIKE) if not has_no_code(y)]

    def _visit_type(self, kind: type) -> None:
        """Visit the code that runs when an object of the class `kind` is made, such as `__init__`."""
        self.asks_for_types |= kind is type  # under another name
        self._has_value_class |= issubclass(kind, Value)
        self._waiting += members_of(kind)
        self.may_change |= kind.__module__ in DRAWING  # a new layer draws its weights from a generator
        for base in kind.__mro__[:-1]:
            if is_users_module(base.__module__):
                self._waiting += [vars(base)[name] for name in MAKING if name in vars(base)]
                self._waiting += [
                    field.default_factory for field in vars(base).get("__dataclass_fields__", {}).values()
                ]
        self._visit_class_if_users(kind)
        self._visit_class_if_users(type(kind))  # its metaclass

    def _visit_class_if_users(self, kind: type) -> None:
        if kind not in self._kinds and is_users_module(kind.__module__):
            self._visit_class(kind)

    def _visit_class(self, kind: type) -> None:
        self._kinds[kind] = slots_of(kind), holds_objects(kind)
        for base in kind.__mro__[:-1]:
            if not is_users_module(base.__module__):
                self._add_activation(vars(base))
            else:
                for name, part in vars(base).items():
                    runs = name.startswith("__") or (name == "forward" and issubclass(kind, Module))
                    runs |= name == "run" and issubclass(kind, Thread)
                    if runs and name not in SETUP:
                        self._waiting.append(part)
                    elif name not in SETUP:
                        self._unread.append((name, READING_ALL, part))

    def _visit_function(self, f: FunctionType) -> None:
        names, writes, asks, compares_identity, asks_for_bools, catches, makes_cycles = facts_of(f.__code__)
        self.catches |= catches
        self.writes |= writes
        self._asks |= asks
        self._compares_identity |= compares_identity
        self._asks_for_bools |= asks_for_bools
        self._makes_cycles |= makes_cycles
        self._has_value_class |= "Value" in names  # an attribute of a module
        self._names |= names
        self.asks_for_identity |= "id" in names
        self.asks_for_types |= "type" in names or "__class__" in names
        variables = zip(f.__closure__ or (), f.__code__.co_freevars, strict=True)
        # super() has the class in a variable, but makes no object
        cells = [cell_content(cell) for cell, name in variables if not (name == "__class__" and "super" in names)]
        cells = [x for x in cells if not has_no_code(x)]
        for x in [*cells, *[f.__globals__[name] for name in sorted(names & f.__globals__.keys())]]:
            if issubclass(type(x), (ModuleType, type)):
                self._visit_namespace(x, names)
            if not issubclass(type(x), ModuleType) or is_users_module(x.__name__):
                self._waiting.append(x)
        if f.__dict__:
            self._waiting += f.__dict__.values()
        for name in names:
            if name not in sys.modules or name in f.__globals__:
                continue
            if name in CHANGING:  # the function may import it
                self._visit_namespace(sys.modules[name], names)
            elif is_users_module(name):
                self._waiting.append(sys.modules[name])
        if f.__defaults__ or f.__kwdefaults__:
            self._waiting += [*(f.__defaults__ or ()), *(f.__kwdefaults__ or {}).values()]

    def _visit_namespace(self, x: ModuleType | type, names: Set[str]) -> None:
        """Visit those attributes of a module or class that a function names; `names` has all names in its code."""
        module = x.__name__ if issubclass(type(x), ModuleType) else x.__module__
        changing = CHANGING.get(module, set())
        self.may_change |= changing is None or not changing.isdisjoint(names)
        if is_users_module(module):
            self._waiting += [vars(x)[name] for name in names & vars(x).keys()]
            if issubclass(type(x), ModuleType) and "__getattr__" in vars(x):  # it makes what the module does not have
                self._waiting.append(vars(x)["__getattr__"])


def _is_changing(module: str | None, name: str) -> bool:
    """Return whether the function `name` of the module `module` may return another result in each call."""
    names = CHANGING.get(module or "", ())
    return names is None or name in names
