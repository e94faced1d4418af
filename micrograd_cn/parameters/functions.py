"""Find the leaves that functions of a model read where no parameters are looked for: in closures, defaults, globals."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable
from functools import cached_property, lru_cache, partial, partialmethod
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any

from ..engine import Value
from ..graph.callers import is_of_this_package
from .class_attributes import users_bases
from .hidden import called_by, content_of_cell, leaves_of_bound
from .members import (
    COLLECTIONS,
    OF_HIDING,
    is_array,
    items_if_values,
    may_hold_leaves,
    members_of_known,
    of_hiding,
    of_opaque,
    walk,
)
from .model import Model, names_its_parameters, of_this_package
from .opaque import behind
from .structures import structure_of


def leaves_in_functions(model: Model) -> list[tuple[str, Value]]:
    """Return the leaves to train that functions in attributes of `model`, and methods of users' classes, read.

    Each leaf is in a pair with the path of the function that reads it, such as "layers.0.neurons.0.activation". For a
    method, this is the name of the class and that of the method. The leaves are those in variables of the function, in
    its defaults, in arguments of a `functools.partial`, in models in these places, in the object of a method, and in
    what an iterator, a `functools.cache` or an object such as a queue keeps. A collection in a global variable, or in a
    variable of a function that still runs, may have data that are not to be trained, so the leaves in it are left out.
    """
    found: dict[Value, str] = {}
    looked: set[int] = set()  # the ids of functions that were looked at
    entered: set[int] = set()
    known = structure_of(model)
    has_none = known is not None and known.holds_no_functions
    classes: dict[type[Model], None] = dict.fromkeys(known.classes_of_users) if known and has_none else {}
    waiting: list[tuple[str, Any]] = [] if has_none else [("", model)]
    while waiting:
        path, x = waiting.pop()
        members = members_of_known(type(x))
        if members in OF_HIDING and not isinstance(x, type):
            for p in _leaves_read_by(x, model, looked):
                found.setdefault(p, path)
        elif members and id(x) not in entered and items_if_values(x) is None:
            entered.add(id(x))
            if isinstance(x, Model) and type(x) not in of_this_package:
                classes[type(x)] = None
            inside = [(f"{name}", item) for name, item in members(x) if type(item) not in _WITHOUT_LEAVES]
            if type(x) in of_this_package:  # a property of a neuron reads its attribute `_activation`
                inside = [(name.removeprefix("_"), item) for name, item in inside]
            waiting += [(f"{path}.{name}".removeprefix("."), item) for name, item in reversed(inside)]
    for cls in classes:
        bases = () if names_its_parameters(cls) else users_bases(cls)
        # A method that overrides another one may call it
        for owner, name, x in [(base, *item) for base in bases for item in [*vars(base).items()]]:
            for f in _functions_of(x):
                for p in _leaves_read_by(f, model, looked):
                    found.setdefault(p, f"{owner.__name__}.{name}")
    return [(path, p) for p, path in found.items()]


_CACHED = type(lru_cache(len))  # the class of functions with a cache
# The classes of most attributes that are neither functions nor have any inside, for speed
_WITHOUT_LEAVES = {Value, str, bool, int, float, type(None)}


def _functions_of(x: Any) -> list[Any]:
    """Return the functions that `x`, an attribute of a class, calls, such as those of a property."""
    if isinstance(x, (staticmethod, classmethod)):
        return [x.__func__]
    if isinstance(x, property):
        return [f for f in (x.fget, x.fset) if f]
    if isinstance(x, cached_property):
        return [x.func]
    if isinstance(x, partialmethod):
        return [partial(x.func, *x.args, **x.keywords)]
    is_read = isinstance(x, (FunctionType, partial, _CACHED)) or members_of_known(type(x)) is of_opaque
    return [x] if is_read else []


def _leaves_read_by(f: Any, model: Model, looked: set[int]) -> list[Value]:
    """Return the leaves to train that `f`, a function in `model`, reads; also through other functions.

    Functions whose ids are in `looked` are left out. The ids of those that are looked at are added to it.
    """
    found: list[Value] = []
    waiting = [] if id(f) in looked else [f, *[y for _, y in called_by(f)]]
    while waiting:
        x = waiting.pop()
        if id(x) in looked:
            continue
        looked.add(id(x))
        held: Iterable[Any] = ()
        if isinstance(x, FunctionType) and not is_of_this_package(x):
            held = _contents_of_closures(x)  # it counts references, so there are no others to the variables yet
            variables = [content_of_cell(cell) for cell in x.__closure__ or ()]
            variables += [x.__globals__[name] for name in _global_names(x.__code__, x.__globals__)]
            held += [y for y in variables if isinstance(y, (Value, Model))]
            held += [*(x.__defaults__ or ()), *(x.__kwdefaults__ or {}).values(), *vars(x).values()]
            # Functions of other modules do not read the variables of the user's module
            waiting += [y for y in variables if getattr(y, "__globals__", None) is x.__globals__]
        elif isinstance(x, partial):
            held = [*x.args, *x.keywords.values()]
        elif isinstance(x, MethodType):
            waiting.append(x.__func__)
        elif isinstance(x, _CACHED) or members_of_known(type(x)) is of_opaque:
            inside = [*behind(x)]
            held = [y for y in inside if isinstance(y, (Value, Model))]
            waiting += [y for y in inside if not isinstance(y, (Value, Model))]
        elif members_of_known(type(x)) is not of_hiding:  # the object of a method
            found += leaves_of_bound(x, model)
        for y in held:
            if isinstance(y, (Value, Model)) or _is_collection(y):
                found += _leaves_held(y, model)
            elif members_of_known(type(y)) is of_opaque:
                waiting.append(y)
    return found


def _leaves_held(x: Any, model: Model) -> list[Value]:
    """Return the leaves to train in `x`, also in models inside it, but not in modules that contain `model`."""
    found: list[Value] = []
    for _, y in walk(x, lambda y: not isinstance(y, Model) and may_hold_leaves(y)):
        if isinstance(y, Model):
            found += leaves_of_bound(y, model)
        elif isinstance(y, Value) and y.op is None and y.requires_grad:
            found.append(y)
    return found


def _contents_of_closures(f: FunctionType) -> list[Any]:
    """Return the collections, queues and the like in the closure of `f`, the variables of the function around it.

    If that function is still running, its variables are left out.
    """
    cells = tuple(filter(_has_content, f.__closure__ or ()))
    if not cells or not hasattr(sys, "getrefcount"):
        return []
    ended = _closure_of([0.0])
    cells += ended.__closure__ or ()
    # While a function runs, its frame has a reference to each variable, which is counted, but which gc does not find.
    # How many references the code here has is seen at the variable of a function that has ended
    *counts, fewest = [sys.getrefcount(x) for x in cells]
    found: list[Any] = []
    for i, count in enumerate(counts):
        if count == fewest or count - fewest == _references(cells[i]) - _references(cells[-1]):
            found.append(cells[i].cell_contents)
    return found


def _references(cell: CellType) -> int:
    """Return how many references to `cell` gc finds, in any object. This takes long."""
    return sum([sum([y is cell for y in gc.get_referents(x)]) for x in gc.get_referrers(cell)])


def _has_content(cell: CellType) -> bool:
    """Return whether a cell of a closure holds a collection that may have `Value`s, or an object such as a queue."""
    x = content_of_cell(cell)
    return (_is_collection(x) and may_hold_leaves(x)) or members_of_known(type(x)) is of_opaque


def _is_collection(x: object) -> bool:
    return isinstance(x, COLLECTIONS) or is_array(x)


def _closure_of(x: object) -> FunctionType:
    def f() -> object:
        return x

    assert isinstance(f, FunctionType)  # to a type checker, it is any callable
    return f


def _global_names(code: CodeType, variables: dict[str, Any]) -> list[str]:
    """Return the names of those global `variables` that code reads, and that are functions, leaves or models.

    A name of a function may be in the result although the code reads only an attribute of this name.
    """
    parts = [code]
    for part in parts:  # functions that are defined inside others come last
        parts += [x for x in part.co_consts if isinstance(x, CodeType)]
    names = [name for part in parts for name in part.co_names if name in variables]
    if any(isinstance(variables[name], (Value, Model)) for name in names):
        import dis  # imported here, because most functions read no such variable

        names = [x.argval for part in parts for x in dis.get_instructions(part) if x.opname == "LOAD_GLOBAL"]
    return [name for name in names if isinstance(variables.get(name), (FunctionType, Value, Model))]
