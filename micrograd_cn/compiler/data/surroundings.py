"""Find what a function can read besides its arguments: variables outside of it, and the objects that these hold.

A compiled program does not read them again. So a function that changes them while it is recorded, or that draws random
numbers or reads a clock, may do something else in each call. A `Recorder` (in `function.recording`) records such a
function twice, and compares the recordings.

To look at an object must not run code of the user, which could change the object or raise an error. So this module asks
for `type(x)`, since `isinstance(x, dict)` may call a method `__getattribute__` of `x`. It calls the methods of built-in
classes, such as `dict.items(x)`, since a subclass may override them.
"""

from __future__ import annotations

import dis
import gc
import operator
import os
import random
import sys
import weakref
from abc import ABC
from array import array
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from ctypes import _SimpleCData, addressof, memmove, sizeof, string_at
from functools import cached_property, lru_cache, partial, singledispatch
from io import IOBase
from itertools import chain, islice, repeat
from operator import is_
from pathlib import Path
from threading import Thread
from types import (
    BuiltinMethodType,
    CellType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    SimpleNamespace,
    WrapperDescriptorType,
)
from typing import Any, Generic, NamedTuple, Protocol

from ...engine import Value
from ...graph.callers import PACKAGE
from ...module import Module
from ...ops.operation import Op, Selection
from ...ops.registry import OPS

PACKAGE_NAME = __name__.partition(".")[0]
STDLIB = str(Path(random.__file__).parent)  # the folder of Python's own modules
MAX_OBJECTS = 2000  # at most this many objects are searched for code
MAX_SURROUNDING = 20_000  # at most this many objects are looked at for what a function can read
MAX_ATTRIBUTES = 200  # an object with more attributes is not searched for code
MAX_ALIKE = 8  # only this many items of a collection are searched for code, since items are usually alike
MAX_OF_A_CLASS = 50  # only this many objects of a class are searched for code
MAX_COMPARED = 10_000  # a collection of more items is neither compared with what it was, nor looked into
MAX_NUMBERS = 100_000  # an array of more numbers is not compared with what it was
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
    "posix": {"urandom"},  # where os.urandom comes from
    "nt": {"urandom"},
}
DRAWING = {f"{PACKAGE_NAME}.nn", f"{PACKAGE_NAME}.init"}  # our own modules that draw random numbers
PLAIN = (float, int, str, bytes, type(None))
EXACTLY_PLAIN = {*PLAIN, bool}  # objects of these classes have no attributes of the user's
COLLECTIONS = (list, tuple, dict, set, deque)
BUILT_IN_METHODS = (BuiltinMethodType, MethodWrapperType, MethodDescriptorType, WrapperDescriptorType)
# Objects whose contents are found through the garbage collector, since other ways would make copies
VIEWS: tuple[type, ...] = (MappingProxyType, type({}.keys()), type({}.values()), type({}.items()), frozenset)
CTYPES: Any = _SimpleCData.__base__  # the base of all ctypes classes
MISSING = "a variable without a value, " + PACKAGE_NAME  # compared by identity
# Attributes of functions and classes, and of a `Value`, that are compared if the code has their names
NAMING, OF_VALUES = ("__name__", "__qualname__", "__doc__", "__module__"), ("label", "requires_grad")
WRITING_OPCODES = {
    dis.opmap[name]
    for name in ("STORE_ATTR", "STORE_GLOBAL", "STORE_SUBSCR", "STORE_SLICE", "DELETE_ATTR", "DELETE_SUBSCR")
    if name in dis.opmap
}
MATCH_CLASS = dis.opmap["MATCH_CLASS"]
PUSH_EXC_INFO, WITH_EXCEPT_START = dis.opmap["PUSH_EXC_INFO"], dis.opmap["WITH_EXCEPT_START"]
# Methods that change a collection: those that a similar but immutable class does not have, as tuple is for list
CHANGING_METHODS = {
    name
    for changes, does_not in (
        *((list, tuple), (deque, tuple), (set, frozenset), (bytearray, bytes), (array, tuple)),
        *((dict, MappingProxyType), (OrderedDict, MappingProxyType), (Counter, MappingProxyType)),
    )
    for name in {*dir(changes)}.difference(dir(does_not))
    if not name.startswith("_") or name in ("__setitem__", "__delitem__") or name.startswith("__i")
}
WRITING_NAMES = {
    *CHANGING_METHODS.difference(("copy", "tolist", "tobytes", "elements", "most_common", "total", "maxlen")),
    *("next", "send", "setattr", "delattr", "__setattr__", "__delattr__"),
    *("fill", "partition", "resize", "setfield", "put", "at"),  # of numpy's arrays and functions
    *("copyto", "place", "putmask", "fill_diagonal", "put_along_axis"),
    *[f"i{name.strip('_')}" for name in dir(operator) if f"__i{name.strip('_')}__" in dir(operator)],  # such as iadd
    *("setitem", "delitem", "heappush", "heappop", "heapify", "heapreplace", "heappushpop", "shuffle"),
    *("insort", "insort_left", "insort_right"),
}
LRU_CACHE: Any = type(lru_cache(len))
DISPATCHER: Any = singledispatch(len)  # all functions that `singledispatch` makes have its code
CACHING = (cached_property, LRU_CACHE)  # decorators that keep results, by code that is not the user's
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
# Bases of users' classes whose methods read no other attributes of an object than `READING_MODULES` say
BASES = (object, ABC, Generic, Protocol, Module)
ASKING = {"hasattr", "getattr"}  # names by which code asks for an attribute whose name is a text
# Names by which code may tell a `Value` from a number without a look at its class, or leave out an error of a `Value`
ASKING_FOR_KINDS = {"dtype", "dir", "getsizeof", "__sizeof__", "suppress"}
ENVIRONMENT = ("environ", "environb", "getenv", "getenvb")  # names by which code reads environment variables
NAMESPACES = {"globals", "vars", "__dict__"}  # code that uses one of these may read variables by texts
# Collections that may be compared by ==, and copied: their methods are not the user's
COMPARABLE = {*COLLECTIONS, OrderedDict, defaultdict, Counter}
FACTORY: Any = defaultdict.__dict__["default_factory"]
METHOD_TYPES = (FunctionType, staticmethod, classmethod, property)
DESCRIPTORS = (*METHOD_TYPES, MemberDescriptorType, GetSetDescriptorType)
# Methods that make an object. A function that names the class may call them.
MAKING = ("__init__", "__new__", "__post_init__")
# Methods that a function does not call if it only uses an object that exists
SETUP = {"__init__", "__new__", "__init_subclass__", "__setstate__", "__reduce__", "__copy__", "__deepcopy__"}


class Facts(NamedTuple):
    """Facts about a function that are found in its code, without running it.

    Attributes:
        names: the names of the global variables, attributes and methods that the code uses.
        writes: whether the code may change a variable or an object outside of the function.
        asks: whether the code may tell a `Value` from a number: by an attribute, as `hasattr(x, "grad")` does, by the
            dtype of an array, by its size in bytes, by a class pattern, or by an error that it catches.
    """

    names: frozenset[str]
    writes: bool
    asks: bool


@lru_cache(4096)
def facts_of(code: CodeType) -> Facts:
    """Return which names the code of a function uses, whether it writes, and whether it asks for numbers, as `Facts`.

    The code of functions that are defined inside it is included.

    >>> facts_of((lambda x: x.append(1)).__code__)
    Facts(names=frozenset({'append'}), writes=True, asks=False)
    """
    inner = [facts_of(part) for part in code.co_consts if issubclass(type(part), CodeType)]
    names = frozenset(code.co_names).union(*[each.names for each in inner])
    if not NAMESPACES.isdisjoint(names):
        names = names.union([name for name in code.co_consts if type(name) is str and name.isidentifier()])
    instructions = code.co_code[::2]
    opcodes = {*instructions}
    if MATCH_CLASS in opcodes:  # `case Point(x=0)` has the names of attributes in a constant, and `case Point(0)` none
        names = names.union([x for part in code.co_consts if type(part) is tuple for x in part if type(x) is str])
        if any(code.co_code[i + 1] for i in range(0, len(code.co_code), 2) if code.co_code[i] == MATCH_CLASS):
            names = names.union(["__match_args__"])
    writes = not opcodes.isdisjoint(WRITING_OPCODES) or not WRITING_NAMES.isdisjoint(names)
    writes |= any("out" in constant for constant in code.co_consts if type(constant) is tuple)  # f(x, out=array)
    rebinds = bool(code.co_freevars) and dis.opmap["STORE_DEREF"] in opcodes
    texts = [x for x in code.co_consts if type(x) is str] if not ASKING.isdisjoint(names) else []
    asks = not ASKING_FOR_KINDS.isdisjoint(names) or MATCH_CLASS in opcodes
    asks |= any(hasattr(Value, name) is not hasattr(float, name) for name in texts)
    asks |= instructions.count(PUSH_EXC_INFO) > instructions.count(WITH_EXCEPT_START)  # as in except, but not in with
    return Facts(
        names, writes or rebinds or any(each.writes for each in inner), asks or any(each.asks for each in inner)
    )


class ReachableCode:
    """The code that a function may run, except for code of this package, of Python and of installed packages.

    At most `MAX_OBJECTS` objects are looked at, and at most `MAX_OF_A_CLASS` of a class.

    Args:
        roots: the function, and other objects that it can reach.

    Attributes:
        asks_for_types: whether the code uses the name `type` or `__class__`.
        asks_for_identity: whether the code uses the name `id`.
        may_change: whether the code uses something that may be different in each call, such as a clock.
        has_iterators: whether the code can reach an iterator, such as a generator.
        writes: whether the code may change variables or objects, draws numbers from generators, or keeps results in
            the caches of `functools`.

    >>> found = ReachableCode([lambda x: x if type(x) is float else -x])
    >>> found.asks_for_types, found.may_change, found.writes
    (True, False, False)
    """

    def __init__(self, roots: Iterable[Any]) -> None:
        self.asks_for_types = self.asks_for_identity = self.may_change = self.writes = False
        self.has_iterators = self._asks = self._has_value_class = False
        self._names: set[str] = set()
        self._seen: dict[Any, Any] = {}
        self._kinds: dict[type, list[Any]] = {}  # the classes whose methods have been looked at, and their slots
        self._counts: dict[type, int] = {}  # how many objects of a class have been looked at
        # The methods and attributes that have not been looked at, each with its name, and with the names of what may
        # read it without that name
        self._unread: list[tuple[str, set[str], Any]] = []
        self._waiting = [*roots]
        while self._waiting and len(self._seen) < MAX_OBJECTS:
            self._visit(self._waiting.pop())
            if not self._waiting:
                unread, self._unread = self._unread, []
                for part in unread:
                    if part[0] in self._names or not self._names.isdisjoint(part[1]):
                        self._waiting.append(part[2])
                    else:
                        self._unread.append(part)

    @property
    def names(self) -> frozenset[str]:
        """The names of the global variables, attributes and methods that the code uses."""
        return frozenset(self._names)

    @property
    def asks_for_kinds(self) -> bool:
        """Whether the code may tell a `Value` from a number in a way that runs no code of the `Value`.

        >>> ReachableCode([lambda x: x if isinstance(x, Value) else 0.0]).asks_for_kinds
        True
        """
        asks_for_value = self._has_value_class and "isinstance" in self._names
        return self._asks or self.asks_for_types or asks_for_value

    @property
    def attributes(self) -> frozenset[str] | None:
        """The names of the attributes that the code may read; None if it may read some by names that it computes.

        >>> model = Module()
        >>> sorted(ReachableCode([lambda x: model.w * x]).attributes)
        ['model', 'w']
        >>> ReachableCode([lambda name: getattr(model, name)]).attributes is None
        True
        """
        return frozenset(self._names) if READING_ALL.isdisjoint(self._names) else None

    def _visit(self, x: Any) -> None:
        kind = type(x)
        if _has_no_code(x):
            return
        key: Any = id(x)
        if issubclass(kind, COLLECTIONS):
            if key not in self._seen:
                self._seen[key] = x
                self._waiting += [item for item in islice(_values(x), MAX_ALIKE) if not _has_no_code(item)]
                self._visit_class_if_users(kind)
            return
        if key in self._seen:
            return
        if issubclass(kind, PLAIN):
            self._visit_class_if_users(kind)  # its operators
            return
        module = kind.__module__
        if module not in ("builtins", "functools"):
            if issubclass(kind, Module) and module.partition(".")[0] == PACKAGE_NAME:
                self._seen[key] = x
                self._waiting += _unlike_parts(vars(x).values())
                return
            count = self._counts[kind] = self._counts.get(kind, 0) + 1
            if count > MAX_OF_A_CLASS:
                return
        self._seen[key] = x
        if issubclass(kind, FunctionType):
            self.may_change |= x.__module__ in DRAWING or _is_changing(x.__module__, x.__name__)
            if _is_users(x.__code__.co_filename):
                self._visit_function(x)
            else:
                self._waiting += [*_wrapped_by(x), *_registry_of(x).values()]
        elif issubclass(kind, MethodType):
            self._waiting += [x.__func__, x.__self__]
        elif issubclass(kind, partial):
            self._waiting += [x.func, *x.args, *x.keywords.values()]
        elif issubclass(kind, BUILT_IN_METHODS):
            owner = getattr(x, "__self__", None)
            holder = owner if issubclass(type(owner), type) else x  # datetime.now belongs to a class
            self.asks_for_identity |= x is id  # under another name
            self._names.add(x.__name__)  # such as getattr in partial(getattr, x)
            self.writes |= x.__name__ in WRITING_NAMES
            self.may_change |= _is_changing(getattr(holder, "__module__", None), x.__name__) or is_generator(owner)
            if issubclass(type(owner), COLLECTIONS):
                self._waiting.append(owner)
        elif is_generator(x):
            self.writes = True
            self.may_change |= issubclass(kind, random.SystemRandom)
        elif _is_made_ufunc(x):
            self.writes = self.may_change = True  # since it shows nobody the function that it calls
        elif issubclass(kind, CACHING):
            self.writes = True
            self._waiting += [getattr(x, "func", None) or getattr(x, "__wrapped__", None)]
        elif issubclass(kind, (property, classmethod, staticmethod)):
            self._waiting += [getattr(x, "fget", None) or getattr(x, "__func__", None)]
        elif issubclass(kind, type):
            self._visit_type(x)
        elif issubclass(kind, Op):
            self._waiting += _functions_of(x)
        elif not issubclass(kind, ModuleType):
            self.has_iterators |= hasattr(kind, "__next__")  # next(x) returns something else in each call
            self.may_change |= module in QUEUES
            if module == "operator":
                self._names.add(kind.__name__)  # such as attrgetter
            held = attributes_of(x)
            if module.partition(".")[0] != PACKAGE_NAME:
                if issubclass(type(held), dict) and len(held) <= MAX_ATTRIBUTES:
                    parts = {name: part for name, part in held.items() if not _has_no_code(part)}
                    if _reads_by_names(kind):
                        others = READING_IN_MODULES if issubclass(kind, Module) else READING_ALL
                        self._unread += [(name, others, part) for name, part in parts.items()]
                    else:
                        self._waiting += parts.values()
                if kind not in self._kinds:
                    self._visit_class(kind)
                if slots := self._kinds[kind]:
                    self._waiting += [_content(x, slot) for slot in slots]
            elif issubclass(type(held), dict) and "_f" in held:
                self._waiting += [held[name] for name in names_in_compiled(held)]

    def _visit_type(self, kind: type) -> None:
        """Visit the code that makes an object of the class `kind`."""
        self.asks_for_types |= kind is type  # under another name
        self._has_value_class |= issubclass(kind, Value)
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
        self._kinds[kind] = _slots(kind)
        for base in kind.__mro__[:-1]:
            if is_users_module(base.__module__):
                for name, part in vars(base).items():
                    runs = name.startswith("__") or (name == "forward" and issubclass(kind, Module))
                    runs |= name == "run" and issubclass(kind, Thread)
                    if runs and name not in SETUP:
                        self._waiting.append(part)
                    elif name not in SETUP:
                        self._unread.append((name, READING_ALL, part))

    def _visit_function(self, f: FunctionType) -> None:
        names, writes, asks = facts_of(f.__code__)
        self.writes |= writes
        self._asks |= asks
        self._has_value_class |= "Value" in names  # an attribute of a module
        self._names |= names
        self.asks_for_identity |= "id" in names
        self.asks_for_types |= "type" in names or "__class__" in names
        variables = zip(f.__closure__ or (), f.__code__.co_freevars, strict=True)
        # super() has the class in a variable, but makes no object
        cells = [_cell_content(cell) for cell, name in variables if not (name == "__class__" and "super" in names)]
        cells = [x for x in cells if not _has_no_code(x)]
        for x in [*cells, *[f.__globals__[name] for name in sorted(names & f.__globals__.keys())]]:
            if issubclass(type(x), (ModuleType, type)):
                self._visit_namespace(x, names)
            if not issubclass(type(x), ModuleType):
                self._waiting.append(x)
        if f.__dict__:
            self._waiting += f.__dict__.values()
        if not CHANGING.keys().isdisjoint(names):
            for name in names & CHANGING.keys() - f.__globals__.keys():
                if name in sys.modules:  # the function may import it
                    self._visit_namespace(sys.modules[name], names)
        if f.__defaults__ or f.__kwdefaults__:
            self._waiting += [*(f.__defaults__ or ()), *(f.__kwdefaults__ or {}).values()]

    def _visit_namespace(self, x: ModuleType | type, names: frozenset[str]) -> None:
        """Visit those attributes of a module or class whose names are among `names`, the names in a function's code."""
        module = x.__name__ if issubclass(type(x), ModuleType) else x.__module__
        changing = CHANGING.get(module, set())
        self.may_change |= changing is None or not changing.isdisjoint(names)
        if is_users_module(module):
            self._waiting += [vars(x)[name] for name in names & vars(x).keys()]
            if issubclass(type(x), ModuleType) and "__getattr__" in vars(x):  # it makes what the module does not have
                self._waiting.append(vars(x)["__getattr__"])


class Surroundings:
    """The variables outside of some functions that these functions can read, and the objects that the variables hold.

    Functions of other packages are not looked into. Nor are collections of more than `MAX_COMPARED` items.

    Args:
        roots: the functions, and other objects that they can reach.
        attributes: the names of the attributes of users' objects to look at; None for all attributes.
        names: the names in the functions' code. If `label` is among them, for example, labels are looked at.

    Attributes:
        leaves: the `Value`s that the functions can reach and that no operation computed.
        weak: the weak references that they can reach; the objects to which these refer are not looked at.
        iterators: the iterators that they can reach, such as generators, except files.
        has_computed: whether they can reach a `Value` that an operation has computed.
        complete: whether everything was looked at, apart from collections of more than `MAX_COMPARED` items. It is
            False if there are more than `MAX_SURROUNDING` objects, if an array is too large, or if an object holds
            something that Python code cannot find, as PyTorch tensors do.

    >>> weights, count = [Value(1.0)], 0
    >>> found = Surroundings([lambda x: weights[count] * x])
    >>> before = found.state()
    >>> count += 1
    >>> found.leaves == weights, found.has_changed(before)
    (True, True)
    """

    def __init__(
        self, roots: Iterable[Any], attributes: frozenset[str] | None = None, names: frozenset[str] = frozenset()
    ) -> None:
        self.leaves: list[Value] = []
        self.weak: list[weakref.ref[Any]] = []
        self.iterators: list[Any] = []
        self.has_computed = False
        self._attributes = attributes
        self._naming = [name for name in NAMING if name in names]
        self._of_values = [getattr(Value, name) for name in OF_VALUES if name in names]
        # Pairs of a holder and a name. The holder is a cell, the globals of a module, a module or a class, and the name
        # is that of a variable. Or the holder is an object, and the name is one of its slots, a descriptor. Or the
        # holder is the `__dict__` of an object, and the name is that of an attribute.
        self._variables: list[tuple[Any, Any]] = []
        self._collections: list[Any] = []
        self._large: list[Any] = []  # collections of more than `MAX_COMPARED` items
        self._namespaces: set[int] = set()  # the ids of those collections that are the `__dict__` of an object
        self._arrays: list[Any] = []
        self._generators: list[Any] = []
        self._caches: list[Any] = []  # functions with an `lru_cache`
        self._object_arrays: list[Any] = []  # numpy arrays of objects, such as `Value`s
        # What decides which code runs: pairs of a function and the name of an attribute, such as "__code__"; of
        # a class and the name of a method; and of another object and "__class__"
        self._code: list[tuple[Any, str]] = []
        self._growing: list[dict[str, Any]] = []  # dicts to which an attribute may be added
        self._readers: list[Callable[[], Any]] = []  # functions that read what else the code can read
        # For each class of an object: those of its bases that are the user's, their slots, and whether it is closed
        self._kinds: dict[type, tuple[list[type], list[Any], bool]] = {}
        self._other_kinds: set[type] = set()  # classes of objects that have nothing but attributes
        self._own: set[int] = set()  # the ids of the `__dict__`s of objects of this package
        self.complete = True
        self._seen: dict[int, Any] = {}  # as long as this object exists, no other object has the id of one of these
        self._waiting: deque[Any] = deque(roots)
        reads_modules = attributes is not None and not READING_MODULES.isdisjoint(attributes)
        # Modules whose attributes are all read, and the objects of which only the attributes with names were looked at
        self._modules: list[Module] | None = [] if reads_modules else None
        self._partly: list[Any] = []
        self._visit_waiting()
        if self._modules:
            modules, self._modules, self._attributes = self._modules, None, None
            for x in self._partly:
                del self._seen[id(x)]
            self._waiting += modules
            self._visit_waiting()
        self.complete &= not self._waiting

    def _visit_waiting(self) -> None:
        while self._waiting and len(self._seen) < MAX_SURROUNDING:
            x = self._waiting.popleft()
            if id(x) not in self._seen:
                if self._modules is not None and issubclass(type(x), Module):
                    self._modules.append(x)
                else:
                    self._seen[id(x)] = x
                    self._visit(x)

    def _visit(self, x: Any) -> None:
        kind = type(x)
        if kind in self._other_kinds:  # a shortcut, for speed
            self._visit_object(x)
        elif issubclass(kind, FunctionType):
            if _is_users(x.__code__.co_filename):
                self._visit_function(x)
            else:
                self._waiting += [*_wrapped_by(x), _registry_of(x)]
                if x is os.getenv:  # under another name, or in a `partial`
                    self._add([os.environ])
            self._visit_attributes(x, x.__dict__)
            self._code += [(x, name) for name in self._naming]
        elif issubclass(kind, COLLECTIONS):
            self._visit_items(x)
            if issubclass(kind, dict) and dict.__len__(x) <= MAX_COMPARED and _has_other_keys(x):
                # Not a `Value`: those in the dicts of recordings are not held by the function
                self._waiting += [
                    y
                    for y in dict.__iter__(x)
                    if is_users_module(type(y).__module__) and not issubclass(type(y), Value)
                ]
            if kind not in COLLECTIONS:
                if issubclass(kind, defaultdict):
                    self._add([FACTORY.__get__(x)])
                if is_users_module(kind.__module__) or attributes_of(x):
                    self._visit_object(x)
        elif _is_array(x):
            self._arrays.append(_plain_array(x))
            if kind.__name__ not in ("ndarray", "bytearray", "array"):
                self._visit_object(x)
        elif _is_object_array(x):
            self._object_arrays.append(_plain_array(x))
            self._add(self._object_arrays[-1].flat)
        elif issubclass(kind, MethodType):
            self._add([x.__func__, x.__self__])
        elif issubclass(kind, partial):
            self._add([x.func, x.args, x.keywords])
        elif issubclass(kind, BUILT_IN_METHODS):  # such as d.get of a dict d
            self._add([getattr(x, "__self__", None)])
        elif issubclass(kind, VIEWS):
            self._add(gc.get_referents(x))
        elif is_generator(x):
            self._generators.append(x)
            if is_users_module(kind.__module__):
                self._visit_object(x)
        elif issubclass(kind, LRU_CACHE):
            self._caches.append(x)
            self._visit_object(x)
        elif issubclass(kind, type):
            metaclass: type = kind
            kinds = *x.__mro__[1:-1], *metaclass.__mro__[:-1]
            self._waiting += [kind for kind in kinds if is_users_module(kind.__module__)]
            if is_users_module(x.__module__):
                self._visit_class(x)
        elif issubclass(kind, Op):
            self._waiting += _functions_of(x)
        elif issubclass(kind, ContextVar):
            self._readers.append(partial(x.get, None))
            self._add([x.get(None)])
        elif issubclass(kind, weakref.ref):
            self.weak.append(x)
            self._readers.append(partial(_attributes_of, x))  # x() is not visited, since this would keep it alive
        elif issubclass(kind, memoryview):
            self._readers.append(partial(_bytes_if_any, x))
            self._add([_shown_by(x)])
        elif _is_made_ufunc(x) or issubclass(kind, weakref.ProxyTypes):  # what these lead to cannot be looked at
            self.complete = False
        elif not issubclass(kind, ModuleType):
            if hasattr(kind, "__next__") and not issubclass(kind, IOBase):  # a log file is written, not read
                self.iterators.append(x)
            else:
                self._other_kinds.add(kind)
            self._visit_object(x)

    def _visit_object(self, x: Any) -> None:
        """Visit the attributes of an object, and those classes of users that are its class or bases of its class."""
        held = attributes_of(x)
        if issubclass(type(held), dict):
            self._visit_attributes(x, held)
            if issubclass(type(x), Module):  # also those whose attributes the code does not name
                self._waiting += _unlike_parts(held.values())
        kind = type(x)
        if kind not in self._kinds:
            users = [base for base in kind.__mro__[:-1] if is_users_module(base.__module__)]
            self._kinds[kind] = users, _slots(kind) if users else [], any(map(_is_closed, kind.__mro__[:-1]))
            self._waiting += users
        users, slots, closed = self._kinds[kind]
        self.complete &= not closed
        if users:
            self._code.append((x, "__class__"))
        for slot in slots:
            if self._attributes is None or slot.__name__ in self._attributes:
                self._variables.append((x, slot))
                self._add([_content(x, slot)])

    def _visit_attributes(self, x: Any, held: dict[str, Any]) -> None:
        """Visit the attributes of an object, which are in its `__dict__`, the dict `held`."""
        self._namespaces.add(id(held))
        module = type(x).__module__  # a class may have a descriptor of this name, as those of Cython do
        own = isinstance(module, str) and module.partition(".")[0] == PACKAGE_NAME
        if own:
            self._own.add(id(held))
        if own and ("_f" in held or "compiled" in held):  # whose programs are not what the function reads
            self._visit_names(held, names_in_compiled(held))
        elif self._attributes is None:
            self._visit_items(held)
        elif issubclass(type(x), FunctionType) or type(x) is SimpleNamespace or _reads_by_names(type(x)):
            of_classes = {name for kind in type(x).__mro__[:-1] for name in vars(kind)}  # which x may come to hide
            self._visit_names(held, self._attributes & (held.keys() | of_classes))
            self._partly.append(x)
        else:  # the methods of another package read attributes that the user's code does not name
            self._visit_items(held)

    def _visit_names(self, held: dict[str, Any], names: Iterable[str]) -> None:
        """Visit those attributes in `held`, the `__dict__` of an object, that have one of the names."""
        for name in names:
            self._variables.append((held, name))
            if name in held:
                self._add([held[name]])
        self._growing.append(held)  # `try: y = x.attribute` reads an attribute that is not there yet

    def _visit_class(self, kind: type) -> None:
        # Also names of the bases, which the class may come to hide
        names = {name for base in kind.__mro__[:-1] for name in vars(base)}
        if self._attributes is not None:
            names = {name for name in names if name in self._attributes or name.startswith("__")}
        self._code += [(kind, name) for name in [*names, *self._naming]]
        for base in kind.__mro__[1:-1]:  # numbers such as a counter of a base, which `type(self).n += 1` hides
            if is_users_module(base.__module__):
                hidden = [name for name, part in vars(base).items() if type(part) in EXACTLY_PLAIN]
                self._variables += [(kind, name) for name in names.intersection(hidden) - vars(kind).keys()]
        for name, part in vars(kind).items():
            if name not in names:
                continue
            if issubclass(type(part), METHOD_TYPES):
                self._waiting.append(getattr(part, "fget", None) or getattr(part, "__func__", part))
            elif not name.startswith("__") and not issubclass(type(part), DESCRIPTORS):
                self._variables.append((kind, name))
                self._add([part])

    def _add(self, items: Iterable[Any]) -> None:
        for x in items:
            kind = type(x)
            if kind in EXACTLY_PLAIN:
                continue
            if issubclass(kind, Value):
                if x.op is None:
                    self.leaves.append(x)
                else:
                    self.has_computed = True
                if self._of_values:
                    self._variables += [(x, slot) for slot in self._of_values]
                if kind is not Value and is_users_module(kind.__module__):
                    self._waiting.append(x)
            elif not issubclass(kind, PLAIN) or is_users_module(kind.__module__):
                self._waiting.append(x)

    def _visit_items(self, x: Any) -> None:
        if _length(x) > MAX_COMPARED:
            self._large.append(x)
            return
        if not issubclass(type(x), tuple):
            self._collections.append(x)
        self._add(_values(x))

    def _visit_function(self, f: FunctionType) -> None:
        names = facts_of(f.__code__).names
        self._code += [(f, name) for name in ("__code__", "__defaults__", "__kwdefaults__")]
        variables: list[tuple[Any, Any]] = [*zip(f.__closure__ or (), f.__code__.co_freevars, strict=True)]
        variables += [(f.__globals__, name) for name in names]  # also those without a value, which may get one
        for variable in variables:
            self._variables.append(variable)
            x = _content(*variable)
            self._add([x])
            self._visit_module(x, names)
        for name in names & sys.modules.keys() - f.__globals__.keys():  # which the function may import
            self._visit_module(sys.modules[name], names)
        self._add([*(f.__defaults__ or ()), f.__kwdefaults__])
        if not names.isdisjoint(ENVIRONMENT):  # the module `os` is not looked into
            self._add([os.environ])

    def _visit_module(self, x: Any, names: frozenset[str]) -> None:
        """If `x` is a user's module, visit those of its variables whose names a function's code uses."""
        if issubclass(type(x), ModuleType) and is_users_module(x.__name__):
            for name in names.union(vars(x)) if self._attributes is None else names | {"__getattr__"}:
                self._variables.append((x, name))
                self._add([vars(x).get(name)])

    @property
    def has_values(self) -> bool:
        """Whether the functions can reach a `Value`: a leaf, or any one in a collection that is not looked into."""
        return bool(self.leaves) or any(
            issubclass(kind, Value) for x in self._large for kind in {*map(type, _items(x))}
        )

    @property
    def objects(self) -> list[Any]:
        """The objects that were looked at, except `Value`s, numbers and texts."""
        return [*self._seen.values()]

    @property
    def large_are_plain(self) -> bool:
        """Whether all items of the collections that were not looked into are numbers and texts."""
        return all({*map(type, _items(x))} <= EXACTLY_PLAIN for x in self._large)

    def places(self, assigned: Container[str]) -> set[Any]:
        """Return keys for the collections and arrays, and for the variables whose names are among `assigned`."""
        found = {(id(holder), str(getattr(name, "__name__", name))) for holder, name in self._variables}
        return {place for place in found if place[1] in assigned}.union(map(id, [*self._collections, *self._arrays]))

    def state(self) -> list[list[Any]]:
        """Return the present contents of variables, collections and arrays, gradients, and the states of generators.

        Of each `lru_cache`, the count of its results is returned.
        """
        variables = [_content(holder, name, MISSING) for holder, name in self._variables]
        gradients = [x.grad for x in self.leaves]
        generators = [generator_state(x) for x in self._generators]
        generators += [repr(held) for held in [read() for read in self._readers] if _is_plain(held)]
        generators += [str(x.cache_info().misses) for x in self._caches]  # how many results were added
        arrays = [*map(_bytes_of, self._arrays)]
        return [generators, arrays, variables, gradients, *map(_items, self._collections)]

    def has_changed(self, state: list[list[Any]]) -> bool:
        """Return whether anything has changed since the method `state` returned the list `state`."""
        now = self.state()
        return now[:2] != state[:2] or not all(map(_are_same, now[2:], state[2:]))

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Put back, at the end of the `with` block, what code in the block has changed; see `restore`."""
        before = self.state()
        try:
            yield
        finally:
            self.restore(before)

    def restore(self, state: list[list[Any]]) -> None:
        """Put back the contents that variables, collections, arrays and gradients had when `state` was returned.

        Generators of random numbers and each `lru_cache` keep their present states. Collections are changed by the
        methods of `dict`, `list`, `set` and `deque`, since a subclass such as `Counter` may have an `update` that does
        something else.
        """
        _, arrays, variables, gradients, *collections = state
        for x, held in zip(self._arrays, arrays, strict=True):
            if _bytes_of(x) != held:
                _refill(x, held)
        for x, grad in zip(self.leaves, gradients, strict=True):
            if x.grad is not grad:
                x.grad = grad
        for (holder, name), x in zip(self._variables, variables, strict=True):
            if _content(holder, name, MISSING) is not x:
                if x is MISSING:
                    _remove(holder, name)
                elif issubclass(type(holder), CellType):
                    holder.cell_contents = x
                elif issubclass(type(holder), dict):
                    holder[name] = x
                elif isinstance(name, MemberDescriptorType):
                    name.__set__(holder, x)
                else:
                    setattr(holder, name, x)
        for collection, items in zip(self._collections, collections, strict=True):
            if _are_same(_items(collection), items):
                continue
            if issubclass(type(collection), dict):
                kind = OrderedDict if issubclass(type(collection), OrderedDict) else dict  # it keeps the order itself
                keys, values = items[::2], items[1::2]
                kept = {*map(id, keys)}
                for key in [key for key, _ in [*dict.items(collection)] if id(key) not in kept]:
                    kind.__delitem__(collection, key)
                moved = id(collection) not in self._namespaces and not _are_same([*kind.__iter__(collection)], keys)
                for key, x in zip(keys, values, strict=True):
                    if moved and dict.__contains__(collection, key):  # a key that is set again stays where it is
                        kind.__delitem__(collection, key)
                    kind.__setitem__(collection, key, x)
            elif issubclass(type(collection), set):
                set.clear(collection)
                set.update(collection, items)
            elif issubclass(type(collection), list):
                list.__setitem__(collection, slice(None), items)
            else:
                deque.clear(collection)
                deque.extend(collection, items)

    def snapshot(self, most: int = 0) -> Snapshot:
        """Return the variables, collections and arrays that the functions can read, with what they hold now.

        The snapshot is not complete if there are collections of more than `MAX_COMPARED` items, unless these have at
        most `most` items together, and the items are numbers, texts and `Value`s, which need not be looked into.
        """
        simple = EXACTLY_PLAIN if self._of_values else EXACTLY_PLAIN | {Value}
        complete = self.complete and sum(map(_length, self._large)) <= most
        complete = complete and all({*map(type, _items(x))} <= simple for x in self._large)
        collections = [*self._collections, *[x for x in self._large if not issubclass(type(x), tuple)]]
        ordered = [x for x in collections if issubclass(type(x), dict) and id(x) not in self._namespaces]
        return Snapshot(
            self._variables, collections, ordered, self._arrays, self._object_arrays, self._code, self._growing,
            self._readers, self._own, complete,
        )  # fmt: skip


class Snapshot:
    """Variables, collections and arrays, with what they hold when this object is made.

    Args:
        variables: pairs of a holder and a name. The holder is a cell of a closure, a dict, a module or a class, and the
            name is that of a variable in it. Or the holder is an object, and the name is one of its slots, a
            descriptor.
        collections: dicts, lists, sets and the like.
        ordered: those dicts among the collections whose order matters.
        arrays: arrays of numbers.
        object_arrays: numpy arrays of objects.
        code: pairs of a function, a class or another object, and the name of an attribute that decides which code runs.
        growing: dicts whose keys are compared.
        readers: functions without arguments. Each returns the content of another place, such as a `ContextVar`.
        own: the ids of the `__dict__`s of objects of this package. The package's code does not ask for the types of
            numbers and texts there, so a True that is replaced by 1 counts as unchanged.
        complete: whether these are all places that can be read; see `Surroundings`.
    """

    def __init__(
        self,
        variables: list[tuple[Any, Any]],
        collections: list[Any],
        ordered: list[Any],
        arrays: list[Any],
        object_arrays: list[Any],
        code: list[tuple[Any, str]],
        growing: list[dict[str, Any]],
        readers: list[Callable[[], Any]],
        own: set[int],
        complete: bool,
    ) -> None:
        self.complete = complete
        if not complete:
            return
        of_dicts = [place for place in variables if issubclass(type(place[0]), dict)]
        self._dicts, self._keys = [holder for holder, _ in of_dicts], [key for _, key in of_dicts]
        self._variables = [place for place in variables if not issubclass(type(place[0]), dict)]
        self._arrays, self._object_arrays, self._code, self._readers = arrays, object_arrays, code, readers
        self._growing = growing
        may_equal: dict[type, bool] = {}
        # For speed, most collections are compared by ==. The items that may be equal to others are compared by
        # identity, too: those of dicts by their keys, and others in whole lists
        self._collections, self._exact = list[Any](), list[Any]()
        self._holders, self._indices = list[Any](), list[Any]()
        # Collections whose own methods, or those of their items, would run a user's code if they were compared by ==
        self._users = list[Any]()
        for x in collections:
            items = _values(x)
            if type(x) not in COMPARABLE:
                self._users.append(x)
                continue
            kinds = {*map(type, items)}
            for kind in kinds - may_equal.keys():
                may_equal[kind] = _may_equal_another(kind)
            equal = {kind for kind in kinds if may_equal[kind]}
            keys = {*map(type, x)} - {str} if issubclass(type(x), dict) else kinds & equal
            if any(is_users_module(kind.__module__) for kind in equal | keys):
                self._users.append(x)
                continue
            if issubclass(type(x), dict):
                if id(x) in own:
                    equal -= {bool, str}
                compared = [key for key, item in dict.items(x) if type(item) in equal] if equal else []
                self._holders += [x] * len(compared)
                self._indices += compared
                if keys:
                    self._exact.append(x)  # its keys
            (self._exact if issubclass(type(x), set) or (equal and items is x) else self._collections).append(x)
        self._copies = [dict(x) if issubclass(type(x), dict) else copy(x) for x in self._collections]
        by_items = {*map(id, self._users)}  # in their order
        self._ordered = [x for x in ordered if id(x) not in by_items]
        self._order = [*chain.from_iterable(self._ordered)]
        self._lengths = [*map(len, self._exact)]
        self._held, self._bytes = self._objects(), [*map(_bytes_of, self._arrays)]

    def _objects(self) -> list[Any]:
        """Return those objects in variables, collections and other places that are compared by identity.

        For speed, most of them are read by loops that run in C.
        """
        found = [
            *map(dict.get, self._dicts, self._keys, repeat(MISSING)),
            *chain.from_iterable(self._exact),
            *[y for x in self._users for y in (*_items(x), MISSING)],  # which says where the next collection begins
            *map(dict.get, self._holders, self._indices),
            *[_content(holder, name, MISSING) for holder, name in self._variables],
            *[_deciding(x, name) for x, name in self._code],
            *[read() for read in self._readers],
            *chain.from_iterable(self._growing),
        ]
        for x in self._object_arrays:
            found += x.flat
        return found

    def is_outdated(self) -> bool:
        """Return whether a variable, a collection or another place may hold something else than in the snapshot.

        Return True if the snapshot is not complete.

        Plain numbers are compared by type and text, other objects by identity.

        >>> weights, beta = [Value(1.0), Value(2.0)], 1.0
        >>> snapshot = Surroundings([lambda x: beta * weights[0] * x]).snapshot()
        >>> before = snapshot.is_outdated()
        >>> weights.reverse()
        >>> before, snapshot.is_outdated()
        (False, True)
        >>> weights.reverse(); before = snapshot.is_outdated()
        >>> beta = 0.5
        >>> before, snapshot.is_outdated()
        (False, True)
        """
        if not self.complete:
            return True
        try:
            if self._collections != self._copies or [*chain.from_iterable(self._ordered)] != self._order:
                return True
            held = self._objects()
            if [*map(len, self._exact)] != self._lengths:  # an item may have moved from one to the next
                return True
            if self._arrays and [*map(_bytes_of, self._arrays)] != self._bytes:
                return True
        except Exception:  # from a comparison that the user has defined, or since another thread has changed a dict
            return True
        if len(held) != len(self._held):
            return True
        return not all(map(is_, held, self._held)) and not all(map(_is_same, held, self._held))


def _deciding(x: Any, name: str) -> Any:
    """Return the attribute `name` of a function, a class or another object, which decides which code runs."""
    if name == "__class__":
        return type(x)
    return type.__getattribute__(x, "__dict__").get(name) if issubclass(type(x), type) else getattr(x, name)


def _may_equal_another(kind: type) -> bool:
    """Return whether an object of the class `kind` may be equal to another object, as 2 is to 2.0."""
    equal: Any = kind.__eq__
    return not (equal is object.__eq__ or equal is Value.__eq__ or kind is type(None))


def _is_same(x: Any, y: Any) -> bool:
    """Return whether `x` is `y`, or a plain number or text of the same type that prints as `y` does."""
    if x is y:
        return True
    return type(x) is type(y) and _is_plain(x) and MISSING not in (x, y) and repr(x) == repr(y)


def _is_plain(x: Any) -> bool:
    """Return whether `x` is a plain number or text, whose `repr` runs no code of the user."""
    kind = type(x)
    return kind in EXACTLY_PLAIN or (issubclass(kind, PLAIN) and not is_users_module(kind.__module__))


def _bytes_of(x: Any) -> bytes:
    """Return the bytes of an array. No method of its class is called, such as `__buffer__`, of Python 3.12 or later."""
    if issubclass(type(x), bytearray):
        return bytes(bytearray.copy(x))
    if issubclass(type(x), array):
        return array.tobytes(x)
    return string_at(addressof(x), sizeof(x)) if issubclass(type(x), CTYPES) else x.tobytes()


def _plain_array(x: Any) -> Any:
    """Return an array without the methods of its class, and without a mask. It has the same memory."""
    if not issubclass(type(x), (bytearray, array, CTYPES)):
        ndarray = sys.modules["numpy"].ndarray
        return ndarray.view(x, ndarray)
    return x


def _bytes_if_any(x: memoryview) -> bytes | None:
    """Return the bytes of `x`, or None if it was released."""
    try:
        return x.tobytes()
    except ValueError:
        return None


def _shown_by(x: memoryview) -> Any:
    """Return the object whose memory `x` shows, or None if it was released."""
    try:
        return x.obj
    except ValueError:
        return None


def _attributes_of(x: weakref.ref[Any]) -> str:
    """Return a text that changes if an attribute of the object that `x` refers to is replaced, or the object dies."""
    found = x()
    held = [(name, repr(y) if _is_plain(y) else id(y)) for name, y in (attributes_of(found) or {}).items()]
    return str(None if found is None else held)


def _content(holder: Any, name: Any, missing: Any = None) -> Any:
    """Return the value of the variable `name` of `holder`; `missing` if it has no value."""
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


def _remove(holder: Any, name: Any) -> None:
    """Delete the variable `name` of `holder`; a cell of a closure becomes empty."""
    if issubclass(type(holder), CellType):
        del holder.cell_contents
    elif issubclass(type(holder), dict):
        del holder[name]
    elif isinstance(name, MemberDescriptorType):
        name.__delete__(holder)
    else:
        delattr(holder, name)


def _cell_content(cell: CellType) -> Any:
    return _content(cell, "")


def _wrapped_by(f: FunctionType) -> list[Any]:
    """Return the functions that `f`, a function of some package, may call because `f` was made from them.

    For example, `no_grad()(g)` and `functional.grad(g)` are functions that were made from g, and call g. If `f` was
    made by a decorator from `contextlib`, the result also has the function from which this decorator was made.

    >>> from micrograd_cn import no_grad
    >>> def g(x):
    ...     return x
    >>> g in _wrapped_by(no_grad()(g))
    True
    """
    held = [vars(f).get("__wrapped__"), *map(_cell_content, f.__closure__ or ())]
    held = [getattr(x, "func", x) if type(x).__module__ == "contextlib" else x for x in held]
    return [x for x in held if callable(x) and not issubclass(type(x), (Value, type))]


def _registry_of(f: FunctionType) -> Any:
    """Return the functions by class among which `f` chooses if `functools.singledispatch` made it; else an empty dict.

    >>> from functools import singledispatch
    >>> _registry_of(singledispatch(len)), _registry_of(lambda x: x)
    (mappingproxy({<class 'object'>: <built-in function len>}), {})
    """
    registry = f.__dict__.get("registry")
    is_dispatcher = f.__code__ is DISPATCHER.__code__ and issubclass(type(registry), MappingProxyType)
    return registry if is_dispatcher else {}


def _functions_of(op: Op) -> list[Any]:
    """Return the functions of a user's operation, which run when it is applied; [] for an operation of the table.

    >>> square = Op("square", lambda x: x * x, (lambda y, x: 2.0 * x,))
    >>> _functions_of(square) == [square.forward, *square.partials]
    True
    """
    if OPS.get(op.name) is op:
        return []
    partials = op.partials if isinstance(op.partials, tuple) else (op.partials,)
    parts = [x for p in partials for x in ((p.contribution, p.weight) if isinstance(p, Selection) else (p,))]
    return [x for x in (op.forward, op.signature, op.lowerings.formula, *parts) if x]


def _unlike_parts(attributes: Iterable[Any]) -> list[Any]:
    """Return those modules and functions in the attributes of a layer or a network that may run a user's code.

    Of the neurons of a layer that have the same activation function, only one is in the result. Neurons of this
    package whose activation function is given by a text, such as "relu", are left out.
    """
    found: dict[Any, Any] = {}
    for attribute in attributes:
        for x in attribute if type(attribute) is list else (attribute,):
            if issubclass(type(x), Module):
                kind, activation = type(x), attributes_of(x).get("_activation", x)
                if type(activation) is not str or kind.__module__.partition(".")[0] != PACKAGE_NAME:
                    found[kind, id(activation)] = x
            elif callable(x):
                found[id(x)] = x
    return [*found.values()]


def _reads_by_names(kind: type) -> bool:
    """Return whether only users' code, which names the attributes, reads those of objects of the class `kind`.

    The methods of a base class from elsewhere, such as `MLP`, read attributes that the user's code does not name.

    >>> from micrograd_cn.nn import MLP
    >>> _reads_by_names(Module), _reads_by_names(MLP)
    (True, False)
    """
    return all(base in BASES or is_users_module(base.__module__) for base in kind.__mro__)


def names_in_compiled(held: dict[str, Any]) -> list[str]:
    """Return the names of those attributes of a compiled function or a program that a function may read.

    `held` is its `__dict__`. A user may have added some of the attributes. What holds machine code is left out.
    """
    return [name for name in held if name == "_f" or not (name.startswith("_") or name in ("compiled", "row"))]


def _items(x: Any) -> list[Any]:
    """Return the items of a collection. Those of a dict are its keys and values, except for compiled methods in it."""
    if issubclass(type(x), dict):
        # At once, since another thread may change the dict. An OrderedDict has an order that `dict.items` does not know
        items = [*(OrderedDict.items(x) if issubclass(type(x), OrderedDict) else dict.items(x))]
        return [y for key, z in items if not (type(key) is str and key.startswith("_compiled_")) for y in (key, z)]
    return [*_values(x)]


def _values(x: Any) -> Any:
    """Return the items of a collection, without the keys of a dict."""
    kind = type(x)
    if issubclass(kind, dict):
        return dict.values(x)
    return x if kind in COLLECTIONS else _base(kind).__iter__(x)


def _length(x: Any) -> int:
    """Return the number of the items of a collection."""
    kind = type(x)
    length: int = len(x) if kind in COLLECTIONS else _base(kind).__len__(x)
    return length


def _base(kind: type) -> Any:
    """Return the built-in class of a collection of the class `kind`."""
    return next(base for base in COLLECTIONS if issubclass(kind, base))


def _has_other_keys(x: dict[Any, Any]) -> bool:
    """Return whether a dict has keys that are no texts."""
    return not {*map(type, dict.__iter__(x))} <= {str}


def attributes_of(x: Any) -> Any:
    """Return the `__dict__` of an object; None if it has none. No method `__getattr__` of the object is called."""
    try:
        return object.__getattribute__(x, "__dict__")
    except AttributeError:
        return None


def _slots(kind: type) -> list[Any]:
    """Return the descriptors of the slots that users' classes among the bases of `kind` define."""
    bases = [base for base in kind.__mro__[:-1] if "__slots__" in vars(base) and is_users_module(base.__module__)]
    return [part for base in bases for part in vars(base).values() if type(part) is MemberDescriptorType]


def _is_array(x: Any) -> bool:
    """Return whether `x` is a small bytearray, `array.array`, numpy array of plain numbers, or ctypes object.

    A numpy array that cannot be written to counts, too, since it may show another array, which can.
    """
    if issubclass(type(x), CTYPES):
        return sizeof(x) <= 8 * MAX_NUMBERS
    if issubclass(type(x), (bytearray, array)):
        length: int = (bytearray if issubclass(type(x), bytearray) else array).__len__(x)
        return length <= MAX_NUMBERS
    numpy = sys.modules.get("numpy")
    if numpy is None or not issubclass(type(x), numpy.ndarray):
        return False
    plain = _plain_array(x)
    return not plain.dtype.hasobject and plain.size <= MAX_NUMBERS


def _is_made_ufunc(x: Any) -> bool:
    """Return whether `numpy.frompyfunc` made `x` from a function, which nobody can look at.

    >>> import numpy as np
    >>> _is_made_ufunc(np.frompyfunc(lambda x: x, 1, 1)), _is_made_ufunc(np.exp), _is_made_ufunc(len)
    (True, False, False)
    """
    return type(x).__name__ == "ufunc" and type(x).__module__ == "numpy" and x.__name__.endswith("(vectorized)")


def _has_no_code(x: Any) -> bool:
    """Return whether `x` is a `Value`, a number, a text or None, and its class is not a user's subclass of a number's.

    >>> _has_no_code(1.0), _has_no_code(Value(1.0)), _has_no_code([1.0])
    (True, True, False)
    """
    kind = type(x)
    if kind in EXACTLY_PLAIN or issubclass(kind, Value):
        return True
    return issubclass(kind, PLAIN) and not is_users_module(kind.__module__)


def _is_closed(kind: type) -> bool:
    """Return whether an object of the class `kind` may hold something that this module cannot find.

    This is so for arrays of other libraries than numpy, such as PyTorch's, and for other objects that are written in C.
    It is also so for numpy's arrays, since those that this module can read are looked at elsewhere.

    >>> _is_closed(object), _is_closed(range), _is_closed(bytearray)
    (False, False, True)
    """
    module = kind.__module__ if isinstance(kind.__module__, str) else ""
    root = module.partition(".")[0]
    if kind in (bytearray, array) or (kind.__name__ == "ndarray" and root == "numpy"):
        return True
    if root in ("numpy", PACKAGE_NAME) or root in sys.stdlib_module_names or is_users_module(module):
        return False
    return hasattr(kind, "__array__") or not kind.__dictoffset__


def _is_object_array(x: Any) -> bool:
    """Return whether `x` is a numpy array of objects, and is not large."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not issubclass(type(x), numpy.ndarray):
        return False
    plain = _plain_array(x)
    return plain.dtype.kind == "O" and bool(plain.size <= MAX_COMPARED)


def _refill(x: Any, content: bytes) -> None:
    """Write the bytes `content`, which were read from the array `x` before, to this array."""
    if issubclass(type(x), bytearray):
        bytearray.__setitem__(x, slice(None), content)
    elif issubclass(type(x), CTYPES):
        memmove(addressof(x), content, len(content))
    elif issubclass(type(x), array):
        held = array(x.typecode)
        held.frombytes(content)
        array.__setitem__(x, slice(None), held)
    elif x.flags.writeable:  # otherwise the array that it shows is refilled
        x[...] = sys.modules["numpy"].frombuffer(content, x.dtype).reshape(x.shape)


def _is_changing(module: str | None, name: str) -> bool:
    """Return whether the function `name` of the module `module` may return another result in each call."""
    names = CHANGING.get(module or "", ())
    return names is None or name in names


def _are_same(xs: list[Any], ys: list[Any]) -> bool:
    return len(xs) == len(ys) and all(map(is_, xs, ys))


def _is_users(file: str) -> bool:
    """Return whether `file` belongs neither to Python, nor to an installed package, nor to this package."""
    return not (file.startswith((PACKAGE, STDLIB, "<frozen")) or "site-packages" in file or "dist-packages" in file)


@lru_cache(1024)
def is_users_module(name: str) -> bool:
    """Return whether the module `name` belongs neither to Python, nor to an installed package, nor to this package.

    The module of a notebook or of the interactive interpreter has no file, but is the user's. Cython's module has no
    file, either, and is not the user's.
    """
    if not isinstance(name, str) or name.startswith("_cython_"):
        return False
    file = getattr(sys.modules.get(name), "__file__", None)
    return _is_users(file) if file else name.partition(".")[0] not in sys.stdlib_module_names


def is_generator(x: Any) -> bool:
    """Return whether `x` is a generator of random numbers."""
    if issubclass(type(x), random.Random):
        return True
    module = type(x).__module__  # a class may have a descriptor of this name, as those of Cython do
    return isinstance(module, str) and module.startswith("numpy.random")


def generator_state(x: Any) -> str:
    """Return a text that says in which state a generator of random numbers is; "" if it has no state."""
    if issubclass(type(x), random.SystemRandom):
        return ""
    if issubclass(type(x), random.Random):
        return repr(x.getstate())
    if hasattr(x, "bit_generator"):
        return repr(x.bit_generator.state)
    return repr(x.get_state() if hasattr(x, "get_state") else getattr(x, "state", None))
