"""`Surroundings`: the variables outside of a function that it can read, and the objects that the variables hold."""

from __future__ import annotations

import os
import sys
import weakref
from collections import deque
from collections.abc import Container, Iterable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import partial
from io import BytesIO, IOBase, StringIO
from itertools import chain
from types import FunctionType, GeneratorType, MethodType, ModuleType, SimpleNamespace
from typing import Any

from ...engine import Value
from ...module import Module
from ...ops.operation import Op
from .contents import Contents
from .facts import PACKAGE_NAME, facts_of, is_users, is_users_module, names_in_compiled
from .memory import (
    MAX_COMPARED,
    MAX_LARGE_NUMBERS,
    bytes_if_any,
    content_of_stream,
    hash_of_forms,
    is_array,
    is_large_array,
    is_object_array,
    plain_array,
    reader_of_foreign,
    shown_by,
)
from .objects import (
    BUILT_IN_METHODS,
    COLLECTIONS,
    DESCRIPTORS,
    EXACTLY_PLAIN,
    LRU_CACHE,
    METHOD_TYPES,
    METHODS,
    OPERATORS,
    PLAIN,
    VIEWS,
    attributes_of,
    content_of,
    contents_of,
    functions_of,
    generator_state,
    has_other_keys,
    has_results,
    held_by,
    holds_objects,
    is_closed,
    is_generator,
    is_iterator,
    is_made_ufunc,
    is_opaque,
    is_readable,
    is_record,
    is_structured,
    items_of,
    length_of,
    members_of,
    methods_of_users,
    progress_of,
    reads_by_names,
    referent_of,
    registry_of,
    results_of,
    shared_generators,
    slots_of,
    text_behind,
    unlike_parts,
    values_of,
    wrapped_by,
)
from .reachable_code import READING_MODULES
from .readable import Readable
from .snapshot import Snapshot

MAX_SURROUNDING = 20_000  # at most this many objects are looked at for what a function can read
MAX_OPAQUE = 1_000  # of these, at most so many are such as the elements of an XML tree
# Attributes of functions and classes, and of a `Value`, that are compared if the code has their names
NAMING, OF_VALUES = ("__name__", "__qualname__", "__doc__", "__module__"), ("label", "requires_grad")
READ = ("ndarray", "bytearray", "array")  # the classes of arrays whose numbers are read
ENVIRONMENT = ("environ", "environb", "getenv", "getenvb")  # names by which code reads environment variables
READING_STREAMS = ("getbuffer", "getvalue", "next", "read", "readinto", "readline", "readlines")
COMPILER = f"{PACKAGE_NAME}.compiler."  # the modules of the compiler


class Surroundings:
    """The variables outside of some functions that these functions can read, and the objects that the variables hold.

    Functions of other packages are not looked into. Nor are collections, and arrays of objects, of more than
    `MAX_COMPARED` items, and numpy arrays of more than `MAX_COMPARED_NUMBERS` numbers.

    Args:
        roots: the functions, and other objects that they can reach.
        attributes: the names of the attributes of users' objects to look at; None for all attributes.
        names: the names in the functions' code. If `label` is among them, for example, labels are looked at.

    Attributes:
        leaves: the `Value`s that the functions can reach and that no operation computed.
        weak: the weak references that they can reach; the objects to which these refer are not looked at.
        iterators: the iterators that they can reach, such as generators, and files that they read.
        has_computed: whether they can reach a `Value` that an operation has computed.
        complete: whether everything was looked at, apart from collections and arrays of objects of more than
            `MAX_COMPARED` items, and numpy arrays of more than `MAX_COMPARED_NUMBERS` numbers. It is False if there are
            more than `MAX_SURROUNDING` objects, or if an object holds something that Python code cannot find, as
            PyTorch tensors do.

    >>> weights, count = [Value(1.0)], 0
    >>> found = Surroundings([lambda x: weights[count] * x])
    >>> before = found.contents()
    >>> count += 1
    >>> found.leaves == weights, before.has_changed()
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
        self._code_names = {*names}  # to which those in the code of each visited function are added
        self._naming = [name for name in NAMING if name in names]
        self._of_values = [getattr(Value, name) for name in OF_VALUES if name in names]
        self._readable = Readable(leaves=self.leaves)
        self._large: list[Any] = []  # collections of more than `MAX_COMPARED` items
        self._large_arrays: list[Any] = []  # numpy arrays of more than `MAX_COMPARED` objects
        self._large_numbers: list[Any] = []  # numpy arrays of more than `MAX_COMPARED_NUMBERS` numbers
        self._shaped: list[Any] = []  # all numpy arrays, whose shapes and dtypes may be assigned to
        self._streams: list[Any] = []  # files, and texts and bytes that are read and written like files
        self._in_opaque: set[int] = set()  # the ids of the opaque objects, and of collections in them
        # For each class of an object: its bases that are the user's, their slots, the names of those bases that
        # are closed, and whether its objects are opaque
        self._kinds: dict[type, tuple[list[type], list[Any], frozenset[str], bool]] = {}
        self._other_kinds: set[type] = set()  # classes of objects that have nothing but attributes
        # For each class of an object: whether it is of this package, whether it is one of the compiler's, and whether
        # only those attributes are read that the code names
        self._attribute_kinds: dict[type, tuple[bool, bool, bool]] = {}
        self.complete = True
        self._seen: dict[int, Any] = {}  # as long as this object exists, no other object has the id of one of these
        self._waiting: deque[Any] = deque(roots)
        reads_modules = attributes is not None and not READING_MODULES.isdisjoint(attributes)
        # Modules whose attributes are all read, and the objects of which only the attributes with names were looked at
        self._modules: list[Module] | None = [] if reads_modules else None
        self._partly: list[Any] = []
        self._waiting += [f for name, f in methods_of_users().items() if name in OPERATORS or name in names]
        self._visit_waiting()
        if self._modules:
            modules, self._modules, self._attributes = self._modules, None, None
            for x in self._partly:
                del self._seen[id(x)]
            self._waiting += modules
            self._visit_waiting()
        methods = OPERATORS.union(self._names & METHODS)
        self._readable.code += [(Value, name) for name in methods]  # which may be replaced
        self.complete &= not self._waiting
        if not self._code_names.isdisjoint(READING_STREAMS):  # otherwise they are logs, which are written
            read = [x for x in self._streams if type(x).__module__ == "_io" and is_readable(x)]
            self.iterators += read
            self._readable.readers += [partial(progress_of, x) for x in read]
            in_memory = [x for x in self._streams if issubclass(type(x), (BytesIO, StringIO))]
            self._readable.readers += [partial(content_of_stream, x) for x in in_memory]

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
        """Note the places in `x` that code can read, such as attributes and items, to visit later what they hold.

        If several branches would fit `x`, the first one is taken. So the branch for files comes before the one for
        other iterators, and the one for objects of any class comes last. Otherwise, branches for frequent classes come
        first.
        """
        kind = type(x)
        if kind in self._other_kinds:  # a shortcut, for speed
            self._visit_object(x)
        elif issubclass(kind, FunctionType):
            self._visit_function(x)
        elif issubclass(kind, COLLECTIONS):
            self._visit_collection(x)
        elif is_array(x) or is_large_array(x):
            self._visit_numbers(x)
        elif is_object_array(x):
            self._visit_object_array(x)
        elif issubclass(kind, MethodType):
            self._add([x.__func__, x.__self__])
        elif issubclass(kind, partial):
            self._add([x.func, x.args, x.keywords])
        elif issubclass(kind, BUILT_IN_METHODS):  # such as d.get of a dict d
            self._code_names.add(x.__name__)
            self._add([getattr(x, "__self__", None)])
        elif issubclass(kind, VIEWS):
            self._add(held_by(x))
        elif is_generator(x):
            self._visit_generator(x)
        elif issubclass(kind, LRU_CACHE):
            self._visit_cache(x)
        elif issubclass(kind, type):
            self._visit_class(x)
        elif issubclass(kind, Op):
            self._waiting += functions_of(x)
        elif issubclass(kind, ContextVar):
            self._readable.readers.append(partial(x.get, None))
            self._add(held_by(x))
        elif issubclass(kind, weakref.ref):
            self.weak.append(x)
            self._visit_behind(x)
        elif issubclass(kind, memoryview):
            self._readable.readers.append(partial(bytes_if_any, x))
            self._add([shown_by(x)])
        elif is_structured(x):
            self._visit_opaque(x)
            self._visit_object(x, READ)
        elif is_record(x):
            self._visit_opaque(x)
            if not x.dtype.hasobject:
                self._add([x.base])
        elif is_made_ufunc(x):
            self._visit_opaque(x)
            self.complete &= any(map(callable, contents_of(x)))  # those of other releases of numpy may show no function
        elif issubclass(kind, weakref.ProxyTypes):
            self.complete = False
            self._visit_behind(x)
        elif issubclass(kind, ModuleType):
            self._visit_module(x)
        elif issubclass(kind, IOBase):
            self._streams.append(x)
            self._visit_object(x)
        elif is_iterator(x):
            self._visit_iterator(x)
        else:
            self._other_kinds.add(kind)
            self._visit_object(x)

    def _visit_numbers(self, x: Any) -> None:
        """Remember an array of numbers. If its class is none of `READ`, visit its attributes and its class, too."""
        (self._readable.arrays if is_array(x) else self._large_numbers).append(plain_array(x))
        self._note_form(x)
        if type(x).__name__ not in READ:
            self._visit_object(x, READ)

    def _visit_object_array(self, x: Any) -> None:
        """Visit a numpy array of objects, and the objects unless there are many."""
        plain = plain_array(x)
        is_large = plain.size > MAX_COMPARED
        (self._large_arrays if is_large else self._readable.object_arrays).append(plain)
        self._note_form(x)
        if not is_large:
            self._add(held_by(x))
        if type(x).__name__ != "ndarray":
            self._visit_object(x, READ)

    def _visit_generator(self, x: Any) -> None:
        """Visit a generator of random numbers."""
        self._readable.generators.append(x)
        if is_users_module(type(x).__module__):
            self._visit_object(x)

    def _visit_cache(self, x: Any) -> None:
        """Visit a function with an `lru_cache`, and the results in it."""
        results = results_of(x)
        self._readable.readers.append(partial(has_results, x, results))
        self._add(results)
        self._visit_object(x)

    def _visit_iterator(self, x: Any) -> None:
        """Visit an iterator, and the objects that it refers to as far as these are known."""
        self.iterators.append(x)
        self._readable.readers.append(partial(progress_of, x))
        kind = type(x)
        if kind is GeneratorType and x.gi_frame:
            self._add(x.gi_frame.f_locals.values())
        if kind.__name__ == "flatiter" and kind.__module__ == "numpy":  # a.flat of an array a
            self._add([x.base])
        self._visit_object(x)

    def _note_form(self, x: Any) -> None:
        """Note that the shape and the dtype of an array may change, if it is a numpy array."""
        numpy = sys.modules.get("numpy")
        if numpy is not None and issubclass(type(x), numpy.ndarray):
            if not self._shaped:
                self._readable.readers.append(partial(hash_of_forms, self._shaped))
            self._shaped.append(x)

    def _visit_function(self, f: FunctionType) -> None:
        if is_users(f.__code__.co_filename):
            self._visit_variables_of(f)
        else:
            self._waiting += [*wrapped_by(f), registry_of(f)]
            if f is os.getenv:  # under another name, or in a `partial`
                self._add([os.environ])
        self._visit_attributes(f, f.__dict__)
        self._readable.code += [(f, name) for name in self._naming]

    def _visit_collection(self, x: Any) -> None:
        """Visit the items of a collection. Also visit the keys of a dict that are not numbers or strings.

        If the class of the collection is not a built-in class, its attributes are visited, too.
        """
        kind = type(x)
        self._visit_items(x)
        if issubclass(kind, dict) and dict.__len__(x) <= MAX_COMPARED and has_other_keys(x):
            # Not a `Value`: those in the dicts of recordings are not held by the function
            self._add([y for y in dict.__iter__(x) if not issubclass(type(y), Value) and not _has_only_plain(y)])
        if kind not in COLLECTIONS:
            if holds_objects(kind):
                self._add(held_by(x))
            if is_users_module(kind.__module__) or attributes_of(x):
                self._visit_object(x)

    def _visit_class(self, kind: type) -> None:
        """Visit a class, its bases, its metaclass, and the bases of the metaclass, if they are the user's."""
        metaclass: type = type(kind)
        kinds = *kind.__mro__[1:-1], *metaclass.__mro__[:-1]
        self._waiting += [each for each in kinds if is_users_module(each.__module__)]
        if is_users_module(kind.__module__):
            self._visit_names_in_class(kind)
            self._add(members_of(kind))

    def _visit_behind(self, x: Any) -> None:
        """Visit the class of the object behind a weak reference, but not the object, since this would keep it alive."""
        self._readable.readers.append(partial(text_behind, x, self._attributes))
        self._add([type(referent_of(x))])
        if issubclass(type(x), weakref.WeakMethod):
            self._add([referent_of(x._func_ref)])

    def _visit_opaque(self, x: Any) -> None:
        """Visit the contents of an object for which `is_opaque` holds, or of a record, an array of records or a ufunc.

        A collection in the object is compared, but never put back, since the object's own methods may rely on it. At
        most `MAX_OPAQUE` such objects and collections are looked at.
        """
        waiting = [x]
        while waiting:
            x = waiting.pop()
            if id(x) in self._in_opaque or len(self._readable.opaque) >= MAX_OPAQUE:
                continue
            self._in_opaque.add(id(x))
            self._readable.opaque.append(x)
            for y in contents_of(x):
                if not issubclass(type(y), COLLECTIONS):
                    self._add([y])
                elif length_of(y) <= MAX_COMPARED:
                    waiting.append(y)
                else:
                    self.complete = False

    def _visit_object(self, x: Any, read: tuple[str, ...] = ()) -> None:
        """Visit the attributes of an object, its class, and the bases of the class.

        Classes that are not the user's are left out. `read` has the names of those built-in bases of the class whose
        contents the caller has read.
        """
        kind, held = type(x), attributes_of(x)
        is_new = kind not in self._kinds
        if is_new:
            users = [base for base in kind.__mro__[:-1] if is_users_module(base.__module__)]
            closed = frozenset([base.__name__ for base in kind.__mro__[:-1] if is_closed(base)])
            self._kinds[kind] = users, slots_of(kind) if users else [], closed, is_opaque(x)
        users, slots, closed, opaque = self._kinds[kind]
        if opaque:
            self._visit_opaque(x)
        if issubclass(type(held), dict):
            self._visit_attributes(x, held)
            if issubclass(kind, Module):  # also those whose attributes the code does not name
                self._waiting += unlike_parts(held.values())
        if is_new:
            self._waiting += users
            if issubclass(kind, Module):  # the method of a class of this package may be replaced
                self._readable.code += [(base, "__call__") for base in kind.__mro__ if "__call__" in vars(base)]
        if users and held is not None:
            self._readable.code.append((x, "__dict__"))
        if not closed.issubset(read):
            self.complete = False
            if reader := reader_of_foreign(x):
                self._readable.readers.append(reader)
        if users:
            self._readable.code.append((x, "__class__"))
        for slot in slots:
            if self._attributes is None or slot.__name__ in self._attributes:
                self._readable.variables.append((x, slot))
                self._add([content_of(x, slot)])

    def _visit_attributes(self, x: Any, held: dict[str, Any]) -> None:
        """Visit the attributes of an object, which are in its `__dict__`, the dict `held`."""
        self._readable.namespaces.add(id(held))
        kind = type(x)
        if kind not in self._attribute_kinds:
            module = kind.__module__  # a class may have a descriptor of this name, as those of Cython do
            own = isinstance(module, str) and module.partition(".")[0] == PACKAGE_NAME
            of_compiler = own and module.startswith(COMPILER) and not issubclass(kind, COLLECTIONS)
            by_names = issubclass(kind, FunctionType) or kind is SimpleNamespace or reads_by_names(kind)
            self._attribute_kinds[kind] = own, of_compiler, by_names
        own, of_compiler, by_names = self._attribute_kinds[kind]
        if own:
            self._readable.own.add(id(held))
        if own and ("_f" in held or "compiled" in held):  # its programs are left out: no code reads them
            self._visit_names(held, names_in_compiled(held))
        elif of_compiler:
            return  # machine code and its memory, as an optimiser refers to them
        elif self._attributes is None:
            self._visit_items(held)
        elif by_names:
            kinds = kind.__mro__[:-1]  # if x gets an attribute, it hides that of its class
            names = [name for name in self._attributes if name in held or any(name in vars(kind) for kind in kinds)]
            self._visit_names(held, names)
            self._partly.append(x)
        else:  # the methods of another package read attributes that the user's code does not name
            self._visit_items(held)

    def _visit_names(self, held: dict[str, Any], names: Iterable[str]) -> None:
        """Visit those attributes of an object whose names are in `names`; `held` is the `__dict__` of the object."""
        for name in names:
            self._readable.variables.append((held, name))
            if name in held:
                self._add([held[name]])
        self._readable.growing.append(held)  # `try: y = x.attribute` reads an attribute that is not there yet

    def _visit_names_in_class(self, kind: type) -> None:
        # Also names of the bases, which the class may come to hide
        names = {name for base in kind.__mro__[:-1] for name in vars(base)}
        if self._attributes is not None:
            names = {name for name in names if name in self._attributes or name.startswith("__")}
        self._readable.code += [(kind, name) for name in [*names, *self._naming, "__mro__"]]
        for base in kind.__mro__[1:-1]:  # numbers such as a counter of a base, which `type(self).n += 1` hides
            if is_users_module(base.__module__):
                hidden = [name for name, part in vars(base).items() if type(part) in EXACTLY_PLAIN]
                self._readable.variables += [(kind, name) for name in names.intersection(hidden) - vars(kind).keys()]
        for name, part in vars(kind).items():
            if name not in names:
                continue
            if issubclass(type(part), METHOD_TYPES):
                self._waiting.append(getattr(part, "fget", None) or getattr(part, "__func__", part))
            elif not name.startswith("__") and not issubclass(type(part), DESCRIPTORS):
                self._readable.variables.append((kind, name))
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
                    self._readable.variables += [(x, slot) for slot in self._of_values]
                if kind is not Value and is_users_module(kind.__module__):
                    self._waiting.append(x)
            elif not issubclass(kind, PLAIN) or is_users_module(kind.__module__):
                self._waiting.append(x)

    def _visit_items(self, x: Any) -> None:
        if length_of(x) > MAX_COMPARED:
            self._large.append(x)
            return
        if not issubclass(type(x), tuple):
            self._readable.collections.append(x)
        items = values_of(x)
        if type(items) is list and {*map(type, items)} == {Value} and not self._of_values:  # a shortcut, for speed
            leaves = [y for y in items if y.op is None]
            self.leaves += leaves
            self.has_computed |= len(leaves) < len(items)
        else:
            self._add(items)

    def _visit_variables_of(self, f: FunctionType) -> None:
        names = facts_of(f.__code__).names
        self._code_names |= names
        self._readable.code += [(f, name) for name in ("__code__", "__defaults__", "__kwdefaults__")]
        variables: list[tuple[Any, Any]] = [*zip(f.__closure__ or (), f.__code__.co_freevars, strict=True)]
        variables += [(f.__globals__, name) for name in names]  # also those without a value, which may get one
        self._readable.variables += variables
        self._add([content_of(*variable) for variable in variables])
        for name in names:
            if name in sys.modules and name not in f.__globals__:  # which the function may import
                self._add([sys.modules[name]])
        self._add([*(f.__defaults__ or ()), f.__kwdefaults__])
        if not names.isdisjoint(ENVIRONMENT):  # the module `os` is not looked into
            self._add([os.environ])

    def _visit_module(self, x: ModuleType) -> None:
        """If `x` is a user's module, visit those of its variables that the code may read.

        A module in such a variable is visited only if the code has its name. Otherwise most of a user's modules would
        be visited. If `x` is a module of another package, visit those of its variables that are modules, and whose
        names the code has. Functions in `x` with such names are compared later, since somebody may replace them.
        """
        if is_users_module(x.__name__):
            held, names = vars(x), {"__getattr__"}
            if self._attributes is None:
                others = [name for name, y in held.items() if not issubclass(type(y), ModuleType)]
                names |= self._code_names.union(others) - {"__builtins__"}
            else:
                names |= self._attributes
            self._readable.variables += [(held, name) for name in names]
            self._add([held[name] for name in names if name in held])
        else:  # its functions may be replaced
            held = vars(x)
            named = [(name, held[name]) for name in self._names if name in held]
            self._readable.code += [(x, name) for name, part in named if callable(part)]
            self._add([part for _, part in named if issubclass(type(part), ModuleType)])

    @property
    def _names(self) -> AbstractSet[str]:
        """The names of attributes that the code reads. Names that it computes at run time are not among them."""
        return self._code_names if self._attributes is None else self._attributes

    @property
    def has_values(self) -> bool:
        """Whether the functions can reach a leaf, or any `Value` in a collection that was too large to look into.

        For the items of such a collection, only the classes are looked at now.
        """
        return bool(self.leaves) or any(issubclass(kind, Value) for kind in self._kinds_in_large())

    @property
    def objects(self) -> list[Any]:
        """The objects that were looked at, except `Value`s, numbers and strings."""
        return [*self._seen.values()]

    @property
    def large_are_plain(self) -> bool:
        """Whether all items of the large collections and arrays, which were not searched, are numbers and strings.

        Only the classes of the items are looked at.
        """
        return self._kinds_in_large() <= EXACTLY_PLAIN

    def _kinds_in_large(self) -> set[type]:
        """Return the classes of the items of those collections and arrays that were too large to look into."""
        return {*map(type, self._items_of_large())}

    def _items_of_large(self) -> Iterator[Any]:
        return chain.from_iterable([*map(items_of, self._large), *[x.flat for x in self._large_arrays]])

    def places(self, assigned: Container[str]) -> set[Any]:
        """Return a set of keys: one for each collection, each array, and each variable whose name is in `assigned`."""
        known = self._readable
        found = {(id(holder), str(getattr(name, "__name__", name))) for holder, name in known.variables}
        return {place for place in found if place[1] in assigned}.union(map(id, [*known.collections, *known.arrays]))

    def contents(self) -> Contents:
        """Return what variables, collections, arrays, gradients and generators of random numbers hold now."""
        return Contents(self._readable, self._seen)

    def generator_states(self) -> list[str]:
        """Return the states of the generators of random numbers that the functions can reach.

        The generators behind the functions of the modules `random`, `numpy.random` and `torch` are among them.
        """
        return [*map(generator_state, [*self._readable.generators, *shared_generators()])]

    @contextmanager
    def restored(self) -> Iterator[Contents]:
        """Put back, at the end of the `with` block, what code in the block has changed; see `Contents.restore`.

        The block gets a `Contents`: a copy, made before the block, of all variables, collections and arrays that the
        functions can read.
        """
        before = self.contents()
        try:
            yield before
        finally:
            before.restore()

    def snapshot(self, most: int = 0) -> Snapshot:
        """Return a `Snapshot` of the variables, collections and arrays that the functions can read, as they are now.

        Collections and arrays of objects of more than `MAX_COMPARED` items were not looked into, nor arrays of more
        than `MAX_COMPARED_NUMBERS` numbers. If there are any of these, the snapshot has copies of them if they have at
        most `most` items together, if the arrays of numbers are not too large, and if all items are numbers, strings
        and `Value`s. Otherwise the snapshot has only their lengths and shapes, and is not complete.
        """
        if not (self._large or self._large_arrays or self._large_numbers):
            return Snapshot(self._readable, self.complete)
        simple = EXACTLY_PLAIN if self._of_values else EXACTLY_PLAIN | {Value}
        numbers = sum([x.size for x in self._large_numbers])
        count = sum(map(length_of, self._large)) + sum([x.size for x in self._large_arrays]) + numbers
        fit = count <= most and numbers <= MAX_LARGE_NUMBERS and self._kinds_in_large() <= simple
        known = self._readable
        if fit:
            large = replace(
                known,
                leaves=[*known.leaves, *[x for x in self._items_of_large() if type(x) is Value and x.op is None]],
                collections=[*known.collections, *[x for x in self._large if not issubclass(type(x), tuple)]],
                arrays=[*known.arrays, *self._large_numbers],
                object_arrays=[*known.object_arrays, *self._large_arrays],
            )
            return Snapshot(large, self.complete)
        lengths = [partial(length_of, x) for x in self._large]
        return Snapshot(replace(known, readers=[*known.readers, *lengths]), complete=False, leaves_out=True)


def _has_only_plain(key: Any) -> bool:
    """Return whether a key of a dict is a tuple of numbers and strings."""
    return type(key) is tuple and {*map(type, key)} <= EXACTLY_PLAIN
