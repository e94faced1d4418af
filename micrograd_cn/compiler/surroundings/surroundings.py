"""`Surroundings`: the variables outside of a function and the objects in them, before and after it is recorded."""

from __future__ import annotations

import os
import sys
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from io import BytesIO, IOBase, StringIO
from itertools import chain
from types import FunctionType, GeneratorType, MethodType, ModuleType, SimpleNamespace
from typing import Any

from ...engine import Value
from ...module import Module
from ...ops.operation import Op
from .facts import PACKAGE_NAME, facts_of, is_users, is_users_module, names_in_compiled, reads
from .memory import (
    MAX_COMPARED,
    MAX_LARGE_NUMBERS,
    bytes_if_any,
    bytes_of,
    content_of_stream,
    hash_of_forms,
    is_array,
    is_large_array,
    is_object_array,
    plain_array,
    reader_of_foreign,
    refill,
    shown_by,
)
from .objects import (
    BUILT_IN_METHODS,
    COLLECTIONS,
    DESCRIPTORS,
    EXACTLY_PLAIN,
    LRU_CACHE,
    METHOD_TYPES,
    MISSING,
    PLAIN,
    VIEWS,
    are_same,
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
    is_plain,
    is_readable,
    is_record,
    is_structured,
    items_of,
    length_of,
    members_of,
    progress_of,
    reads_by_names,
    referent_of,
    registry_of,
    remove_content,
    results_of,
    set_content,
    shared_generators,
    slots_of,
    text_behind,
    unlike_parts,
    values_of,
    wrapped_by,
)
from .reachable_code import READING_MODULES
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
    `MAX_COMPARED` items, and numpy arrays of more than `MAX_NUMBERS` numbers.

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
            `MAX_COMPARED` items, and numpy arrays of more than `MAX_NUMBERS` numbers. It is False if there are more
            than `MAX_SURROUNDING` objects, or if an object holds something that Python code cannot find, as PyTorch
            tensors do.

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
        self._code_names = {*names}  # to which those in the code of each visited function are added
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
        self._object_arrays: list[Any] = []  # numpy arrays of objects, such as `Value`s
        self._large_arrays: list[Any] = []  # those of more than `MAX_COMPARED` objects
        self._large_numbers: list[Any] = []  # numpy arrays of more than `MAX_NUMBERS` numbers
        self._shaped: list[Any] = []  # all numpy arrays, whose shapes and dtypes may be assigned to
        # What decides which code runs: pairs of a function and the name of an attribute, such as "__code__"; of
        # a class and the name of a method; and of another object and "__class__" or "__dict__"
        self._code: list[tuple[Any, str]] = []
        self._growing: list[dict[str, Any]] = []  # dicts to which an attribute may be added
        self._readers: list[Callable[[], Any]] = []  # functions that read what else the code can read
        self._streams: list[Any] = []  # files, and texts and bytes that are read and written like files
        self._opaque: list[Any] = []  # objects whose contents `contents_of` finds, and collections in them
        self._in_opaque: set[int] = set()  # the ids of these
        # For each class of an object: its bases that are the user's, their slots, the names of those bases that
        # are closed, and whether its objects are opaque
        self._kinds: dict[type, tuple[list[type], list[Any], frozenset[str], bool]] = {}
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
        if not self._code_names.isdisjoint(READING_STREAMS):  # otherwise they are logs, which are written
            read = [x for x in self._streams if type(x).__module__ == "_io" and is_readable(x)]
            self.iterators += read
            self._readers += [partial(progress_of, x) for x in read]
            in_memory = [x for x in self._streams if issubclass(type(x), (BytesIO, StringIO))]
            self._readers += [partial(content_of_stream, x) for x in in_memory]

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
            self._visit_function(x)
        elif issubclass(kind, COLLECTIONS):
            self._visit_collection(x)
        elif is_array(x) or is_large_array(x):
            (self._arrays if is_array(x) else self._large_numbers).append(plain_array(x))
            self._note_form(x)
            if kind.__name__ not in READ:
                self._visit_object(x, READ)
        elif is_object_array(x):
            plain = plain_array(x)
            is_large = plain.size > MAX_COMPARED
            (self._large_arrays if is_large else self._object_arrays).append(plain)
            self._note_form(x)
            if not is_large:
                self._add(held_by(x))
            if kind.__name__ != "ndarray":
                self._visit_object(x, READ)
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
            self._generators.append(x)
            if is_users_module(kind.__module__):
                self._visit_object(x)
        elif issubclass(kind, LRU_CACHE):
            results = results_of(x)
            self._readers.append(partial(has_results, x, results))
            self._add(results)
            self._visit_object(x)
        elif issubclass(kind, type):
            self._visit_class(x)
        elif issubclass(kind, Op):
            self._waiting += functions_of(x)
        elif issubclass(kind, ContextVar):
            self._readers.append(partial(x.get, None))
            self._add(held_by(x))
        elif issubclass(kind, weakref.ref):
            self.weak.append(x)
            self._visit_behind(x)
        elif issubclass(kind, memoryview):
            self._readers.append(partial(bytes_if_any, x))
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
        else:
            if issubclass(kind, IOBase):
                self._streams.append(x)
            elif is_iterator(x):
                self.iterators.append(x)
                self._readers.append(partial(progress_of, x))
                if kind is GeneratorType and x.gi_frame:
                    self._add(x.gi_frame.f_locals.values())
                if kind.__name__ == "flatiter" and kind.__module__ == "numpy":  # a.flat of an array a
                    self._add([x.base])
            else:
                self._other_kinds.add(kind)
            self._visit_object(x)

    def _note_form(self, x: Any) -> None:
        """Note that the shape and the dtype of an array may change, if it is a numpy array."""
        numpy = sys.modules.get("numpy")
        if numpy is not None and issubclass(type(x), numpy.ndarray):
            if not self._shaped:
                self._readers.append(partial(hash_of_forms, self._shaped))
            self._shaped.append(x)

    def _visit_function(self, f: FunctionType) -> None:
        if is_users(f.__code__.co_filename):
            self._visit_variables_of(f)
        else:
            self._waiting += [*wrapped_by(f), registry_of(f)]
            if f is os.getenv:  # under another name, or in a `partial`
                self._add([os.environ])
        self._visit_attributes(f, f.__dict__)
        self._code += [(f, name) for name in self._naming]

    def _visit_collection(self, x: Any) -> None:
        """Visit the items of a collection. Also visit the keys of a dict that are no numbers and texts.

        If the class of the collection is no built-in class, its attributes are visited, too.
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
        self._readers.append(partial(text_behind, x, self._attributes))
        self._add([type(referent_of(x))])
        if issubclass(type(x), weakref.WeakMethod):
            self._add([referent_of(x._func_ref)])

    def _visit_opaque(self, x: Any) -> None:
        """Visit the contents of an object for which `is_opaque` holds, or of a record, an array of records or a ufunc.

        A collection in it may be one that its methods need, so it is compared, but never put back. What is beyond the
        first `MAX_OPAQUE` objects and collections of this kind is not looked at.
        """
        waiting = [x]
        while waiting:
            x = waiting.pop()
            if id(x) in self._in_opaque or len(self._opaque) >= MAX_OPAQUE:
                continue
            self._in_opaque.add(id(x))
            self._opaque.append(x)
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
        if users and held is not None:
            self._code.append((x, "__dict__"))
        if not closed.issubset(read):
            self.complete = False
            if reader := reader_of_foreign(x):
                self._readers.append(reader)
        if users:
            self._code.append((x, "__class__"))
        for slot in slots:
            if self._attributes is None or slot.__name__ in self._attributes:
                self._variables.append((x, slot))
                self._add([content_of(x, slot)])

    def _visit_attributes(self, x: Any, held: dict[str, Any]) -> None:
        """Visit the attributes of an object, which are in its `__dict__`, the dict `held`."""
        self._namespaces.add(id(held))
        module = type(x).__module__  # a class may have a descriptor of this name, as those of Cython do
        own = isinstance(module, str) and module.partition(".")[0] == PACKAGE_NAME
        if own:
            self._own.add(id(held))
        if own and ("_f" in held or "compiled" in held):  # whose programs are not what the function reads
            self._visit_names(held, names_in_compiled(held))
        elif own and module.startswith(COMPILER) and not issubclass(type(x), COLLECTIONS):
            return  # machine code and its memory, as an optimiser refers to them
        elif self._attributes is None:
            self._visit_items(held)
        elif issubclass(type(x), FunctionType) or type(x) is SimpleNamespace or reads_by_names(type(x)):
            kinds = type(x).__mro__[:-1]  # whose attributes x may come to hide
            names = [name for name in self._attributes if name in held or any(name in vars(kind) for kind in kinds)]
            self._visit_names(held, names)
            self._partly.append(x)
        else:  # the methods of another package read attributes that the user's code does not name
            self._visit_items(held)

    def _visit_names(self, held: dict[str, Any], names: Iterable[str]) -> None:
        """Visit those attributes of an object whose names are in `names`; `held` is the `__dict__` of the object."""
        for name in names:
            self._variables.append((held, name))
            if name in held:
                self._add([held[name]])
        self._growing.append(held)  # `try: y = x.attribute` reads an attribute that is not there yet

    def _visit_names_in_class(self, kind: type) -> None:
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
        if length_of(x) > MAX_COMPARED:
            self._large.append(x)
            return
        if not issubclass(type(x), tuple):
            self._collections.append(x)
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
        self._code += [(f, name) for name in ("__code__", "__defaults__", "__kwdefaults__")]
        variables: list[tuple[Any, Any]] = [*zip(f.__closure__ or (), f.__code__.co_freevars, strict=True)]
        variables += [(f.__globals__, name) for name in names]  # also those without a value, which may get one
        self._variables += variables
        self._add([content_of(*variable) for variable in variables])
        for name in names:
            if name in sys.modules and name not in f.__globals__:  # which the function may import
                self._add([sys.modules[name]])
        self._add([*(f.__defaults__ or ()), f.__kwdefaults__])
        if not names.isdisjoint(ENVIRONMENT):  # the module `os` is not looked into
            self._add([os.environ])

    def _visit_module(self, x: ModuleType) -> None:
        """If `x` is a user's module, visit those of its variables that the code may read.

        A module inside of it is visited only if the code has its name, since it would lead to most of a user's modules.
        """
        if is_users_module(x.__name__):
            held, names = vars(x), {"__getattr__"}
            if self._attributes is None:
                others = [name for name, y in held.items() if not issubclass(type(y), ModuleType)]
                names |= self._code_names.union(others) - {"__builtins__"}
            else:
                names |= self._attributes
            self._variables += [(held, name) for name in names]
            self._add([held[name] for name in names if name in held])

    @property
    def has_values(self) -> bool:
        """Whether the functions can reach a `Value`: a leaf, or one in a collection that was too large to look into."""
        return bool(self.leaves) or any(issubclass(kind, Value) for kind in self._kinds_in_large())

    @property
    def objects(self) -> list[Any]:
        """The objects that were looked at, except `Value`s, numbers and texts."""
        return [*self._seen.values()]

    @property
    def large_are_plain(self) -> bool:
        """Whether the collections that were too large to look into have only numbers and texts as items."""
        return self._kinds_in_large() <= EXACTLY_PLAIN

    def _kinds_in_large(self) -> set[type]:
        """Return the classes of the items of those collections and arrays that were too large to look into."""
        return {*map(type, self._items_of_large())}

    def _items_of_large(self) -> Iterator[Any]:
        return chain.from_iterable([*map(items_of, self._large), *[x.flat for x in self._large_arrays]])

    def places(self, assigned: Container[str]) -> set[Any]:
        """Return a set of keys: one for each collection, each array, and each variable whose name is in `assigned`."""
        found = {(id(holder), str(getattr(name, "__name__", name))) for holder, name in self._variables}
        return {place for place in found if place[1] in assigned}.union(map(id, [*self._collections, *self._arrays]))

    def state(self) -> list[list[Any]]:
        """Return the present contents of variables, collections and arrays, gradients, and the states of generators.

        Of each `lru_cache`, the count of its results is returned.
        """
        variables = [content_of(holder, name, MISSING) for holder, name in self._variables]
        gradients = [x.grad for x in self.leaves]
        generators = [generator_state(x) for x in self._generators]
        generators += [repr(held) for held in [read() for read in self._readers] if is_plain(held)]
        arrays = [*map(bytes_of, self._arrays)]
        return [generators, arrays, variables, gradients, *map(items_of, self._collections)]

    def generator_states(self) -> list[str]:
        """Return the states of the generators of random numbers that the functions can reach.

        The generators behind the functions of the modules `random`, `numpy.random` and `torch` are among them.
        """
        return [*map(generator_state, [*self._generators, *shared_generators()])]

    def numbers_read_and_changed(self, state: list[list[Any]], others: Iterable[Any] = ()) -> list[str]:
        """Return the names of what holds another number or text than when `state` was returned, and is read.

        These are variables, attributes and keys. A list or an array has the name of what holds it. What the functions
        only change, such as a count of their calls, is left out, and so is what only a bound method holds. `others` are
        other objects that have changed.
        """
        _, arrays, *_ = state
        changed = [*others, *[x for x, held in zip(self._arrays, arrays, strict=True) if bytes_of(x) != held]]
        names = self._changed_names(state, _has_other_number, _have_others, changed)
        return [name for name, is_read in names if is_read]

    def values_only_kept(self, state: list[list[Any]]) -> list[str]:
        """Return the names of what holds another computed `Value` than when `state` was returned, and is not read.

        These are variables, attributes and keys. A collection to which such a `Value` was added has the name of what
        holds it.
        """
        names = self._changed_names(state, _has_other_value, _have_other_values, [])
        return [name for name, is_read in names if not is_read]

    def _changed_names(
        self,
        state: list[list[Any]],
        is_other: Callable[[Any, Any], bool],
        have_others: Callable[[list[Any], list[Any]], bool],
        changed: list[Any],
    ) -> list[tuple[str, bool]]:
        """Return pairs: the name of what has changed since `state` was returned, and whether users' functions read it.

        Args:
            state: what the method `state` returned.
            is_other: takes what a variable, attribute or key held and what it holds now, and returns whether it counts
                as changed.
            have_others: takes the items of a collection then and now, and returns whether it counts as changed.
            changed: other objects that have changed.
        """
        _, _, variables, _, *collections = state
        places = [(holder, name, before) for (holder, name), before in zip(self._variables, variables, strict=True)]
        changed = [*changed]
        for x, items in zip(self._collections, collections, strict=True):
            now = items_of(x)
            if issubclass(type(x), dict):
                earlier = dict(zip(map(id, items[::2]), items[1::2], strict=True))
                places += [(x, key, earlier.get(id(key), MISSING)) for key in now[::2]]
            elif have_others(items, now):
                changed.append(x)
        known = {*map(id, changed)}
        for x in changed:  # also what holds a list of lists, and what holds that
            holders = [y for y in self._collections if id(y) not in known and any(x is z for z in values_of(y))]
            known.update(map(id, holders))
            changed += holders
        found = set[str]()
        for holder, name, before in places:
            now = content_of(holder, name, MISSING)
            if is_other(before, now) or any(_shows(x, now) for x in changed):
                found.add(str(getattr(name, "__name__", name)))
        functions = [x for x in self._seen.values() if type(x) is FunctionType]
        codes = [f.__code__ for f in functions if is_users(f.__code__.co_filename)]
        return [(name, any(reads(code, name) for code in codes)) for name in sorted(found)]

    def has_changed(self, state: list[list[Any]]) -> bool:
        """Return whether anything has changed since the method `state` returned the list `state`."""
        now = self.state()
        return now[:2] != state[:2] or not all(map(are_same, now[2:], state[2:]))

    @contextmanager
    def restored(self) -> Iterator[list[list[Any]]]:
        """Put back, at the end of the `with` block, what code in the block has changed; see `restore`.

        The block gets the `state` from before it.
        """
        before = self.state()
        try:
            yield before
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
            if bytes_of(x) != held:
                refill(x, held)
        for x, grad in zip(self.leaves, gradients, strict=True):
            if x.grad is not grad:
                x.grad = grad
        for (holder, name), x in zip(self._variables, variables, strict=True):
            if content_of(holder, name, MISSING) is not x:
                if x is MISSING:
                    remove_content(holder, name)
                else:
                    set_content(holder, name, x)
        for collection, items in zip(self._collections, collections, strict=True):
            if not are_same(items_of(collection), items):
                self._refill_collection(collection, items)

    def _refill_collection(self, collection: Any, items: list[Any]) -> None:
        """Let a collection have these items, as `items_of` returns them: for a dict, keys and values in turn."""
        if issubclass(type(collection), dict):
            self._refill_dict(collection, items[::2], items[1::2])
        elif issubclass(type(collection), set):
            set.clear(collection)
            set.update(collection, items)
        elif issubclass(type(collection), list):
            list.__setitem__(collection, slice(None), items)
        else:
            deque.clear(collection)
            deque.extend(collection, items)

    def _refill_dict(self, found: Any, keys: list[Any], values: list[Any]) -> None:
        """Let the dict `found` have these keys and values, in this order.

        The order does not matter if the dict is a namespace, such as the `__dict__` of an object, and is not restored
        then.
        """
        kind = OrderedDict if issubclass(type(found), OrderedDict) else dict  # it keeps the order itself
        kept = {*map(id, keys)}
        for key in [key for key, _ in [*dict.items(found)] if id(key) not in kept]:
            kind.__delitem__(found, key)
        moved = id(found) not in self._namespaces and not are_same([*kind.__iter__(found)], keys)
        for key, x in zip(keys, values, strict=True):
            if moved and dict.__contains__(found, key):  # a key that is set again stays where it is
                kind.__delitem__(found, key)
            kind.__setitem__(found, key, x)

    def snapshot(self, most: int = 0) -> Snapshot:
        """Return a `Snapshot` of the variables, collections and arrays that the functions can read, as they are now.

        Collections and arrays of objects of more than `MAX_COMPARED` items were not looked into, nor arrays of more
        than `MAX_NUMBERS` numbers. If there are any, they are compared only if they have at most `most` items together,
        and all of these items are numbers, texts and `Value`s. Otherwise the snapshot has their lengths and shapes, and
        is not complete.
        """
        simple = EXACTLY_PLAIN if self._of_values else EXACTLY_PLAIN | {Value}
        large_arrays, large_numbers = self._large_arrays, self._large_numbers
        numbers = sum([x.size for x in large_numbers])
        count = sum(map(length_of, self._large)) + sum([x.size for x in large_arrays]) + numbers
        fit = count <= most and numbers <= MAX_LARGE_NUMBERS and self._kinds_in_large() <= simple
        collections, readers, leaves = self._collections, self._readers, self.leaves
        arrays, object_arrays = self._arrays, self._object_arrays
        if fit:
            leaves = [*leaves, *[x for x in self._items_of_large() if type(x) is Value and x.op is None]]
            collections = [*collections, *[x for x in self._large if not issubclass(type(x), tuple)]]
            arrays, object_arrays = [*arrays, *large_numbers], [*object_arrays, *large_arrays]
        else:
            readers = [*readers, *[partial(length_of, x) for x in self._large]]
        ordered = [x for x in collections if issubclass(type(x), dict) and id(x) not in self._namespaces]
        return Snapshot(
            self._variables, collections, ordered, arrays, object_arrays, self._code, self._growing,
            readers, self._opaque, self._own, leaves, self.complete, not fit,
        )  # fmt: skip


def _shows(x: Any, held: Any) -> bool:
    """Return whether `x` is what a variable holds, or is a view of it, or of the same numpy array as it."""
    base = getattr(x, "base", None)
    return x is held or (base is not None and (base is held or base is getattr(held, "base", None)))


def _has_other_number(before: Any, now: Any) -> bool:
    """Return whether a number or text in one place was replaced by another number or text."""
    both = type(before) in EXACTLY_PLAIN and type(now) in EXACTLY_PLAIN
    return both and (type(before), repr(before)) != (type(now), repr(now))


def _have_others(before: list[Any], now: list[Any]) -> bool:
    """Return whether a collection with the items `before` has other numbers or texts among its items `now`."""
    return not are_same(*[[y for y in each if type(y) in EXACTLY_PLAIN] for each in (now, before)])


def _has_other_value(before: Any, now: Any) -> bool:
    """Return whether in one place there is another computed `Value`, or a list or tuple that has one."""
    if now is before:
        return False
    return any(isinstance(x, Value) and x.op is not None for x in (now if type(now) in (list, tuple) else [now]))


def _have_other_values(before: list[Any], now: list[Any]) -> bool:
    """Return whether a collection with the items `before` has another computed `Value` among its items `now`."""
    known = {*map(id, before)}
    return any(_has_other_value(None, x) for x in now if id(x) not in known)


def _has_only_plain(key: Any) -> bool:
    """Return whether a key of a dict is a tuple of numbers and texts."""
    return type(key) is tuple and {*map(type, key)} <= EXACTLY_PLAIN
