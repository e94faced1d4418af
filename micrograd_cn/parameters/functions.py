"""Find the leaves that functions of a model read where no parameters are looked for: in closures, defaults, globals."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from functools import cached_property, lru_cache, partial, partialmethod
from types import CodeType, FunctionType, MethodType
from typing import Any
from weakref import ProxyTypes

from ..engine import Value
from ..graph.callers import is_of_this_package
from .class_attributes import attributes_of
from .hidden import called_by, content_of_cell, leaves_of_bound
from .members import items_if_values, members_of_known, of_hiding, values_in
from .model import Model, names_its_parameters, of_this_package


def leaves_in_functions(model: Model) -> list[tuple[str, Value]]:
    """Return the leaves to train that functions in attributes of `model`, and methods of users' classes, read.

    Each leaf is in a pair with the path of the function that reads it, such as "layers.0.neurons.0.activation". For a
    method, this is the name of the class and that of the method. The leaves are those in variables of the function, in
    its defaults, in arguments of a `functools.partial`, in models in these places, in the object of a method, and in
    what an iterator or a `functools.cache` keeps. Of variables that are collections, nothing is returned, since they
    may have data.
    """
    found: dict[Value, str] = {}
    looked: set[int] = set()  # the ids of functions that were looked at
    entered: set[int] = set()
    classes: dict[type[Model], None] = {}
    waiting: list[tuple[str, Any]] = [("", model)]
    while waiting:
        path, x = waiting.pop()
        members = members_of_known(type(x))
        if (members is of_hiding and not isinstance(x, type)) or (members is None and _is_iterator(x)):
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
        for name, x in () if names_its_parameters(cls) else attributes_of(cls).items():
            for f in _functions_of(x):
                for p in _leaves_read_by(f, model, looked):
                    found.setdefault(p, f"{cls.__name__}.{name}")
    return [(path, p) for p, path in found.items()]


# The classes of most attributes that are neither functions nor have any inside, for speed
_WITHOUT_LEAVES = {Value, str, bool, int, float, type(None)}


def _is_iterator(x: object) -> bool:
    """Return whether `x` is an iterator, and no proxy, since a proxy of an object that is gone raises errors."""
    return hasattr(type(x), "__next__") and type(x) not in ProxyTypes


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
    return [x] if isinstance(x, (FunctionType, partial, type(lru_cache(len)))) else []


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
            variables = [content_of_cell(cell) for cell in x.__closure__ or ()]
            variables += [x.__globals__[name] for name in _global_names(x.__code__, x.__globals__)]
            held = [y for y in variables if isinstance(y, (Value, Model))]
            held += [*(x.__defaults__ or ()), *(x.__kwdefaults__ or {}).values(), *vars(x).values()]
            # Functions of other modules do not read the variables of the user's module
            waiting += [y for y in variables if getattr(y, "__globals__", None) is x.__globals__]
        elif isinstance(x, partial):
            held = [*x.args, *x.keywords.values()]
        elif isinstance(x, MethodType):
            waiting.append(x.__func__)
        elif _is_iterator(x) or isinstance(x, type(lru_cache(len))):
            held = gc.get_referents(x)
        elif members_of_known(type(x)) is not of_hiding:  # the object of a method
            found += leaves_of_bound(x, model)
        for y in held:
            if isinstance(y, Model):
                found += leaves_of_bound(y, model)
            elif isinstance(y, (Value, list, tuple, dict)):
                found += [p for p in values_in(y) if p.op is None and p.requires_grad]
    return found


def _global_names(code: CodeType, variables: dict[str, Any]) -> list[str]:
    """Return the names of those global `variables` that code reads, and that are functions, leaves or models.

    The names of functions may also be names of attributes in the code.
    """
    parts = [code]
    for part in parts:  # functions that are defined inside others come last
        parts += [x for x in part.co_consts if isinstance(x, CodeType)]
    names = [name for part in parts for name in part.co_names if name in variables]
    if any(isinstance(variables[name], (Value, Model)) for name in names):
        import dis  # imported here, because most functions read no such variable

        names = [x.argval for part in parts for x in dis.get_instructions(part) if x.opname == "LOAD_GLOBAL"]
    return [name for name in names if isinstance(variables.get(name), (FunctionType, Value, Model))]
