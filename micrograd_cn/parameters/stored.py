"""Find in the code of a model's calls in which attributes they store values, without running it."""

from __future__ import annotations

import dis
from functools import lru_cache
from inspect import getattr_static
from types import CodeType, FunctionType
from typing import Any, NamedTuple

from ..graph.callers import is_of_this_package
from .model import NAMES_OF_CALLS, Model

# Names by which code may store a value in an attribute whose name is a text
BY_TEXT = {"setattr", "__setattr__", "__dict__", "vars"}
# Methods that put a value into a collection
PUTTING = {"append", "appendleft", "extend", "insert", "update", "setdefault", "__setitem__", "fill"}


class _Code(NamedTuple):
    """The names of the attributes in which some code stores values, and all names that the code uses."""

    stored: frozenset[str]
    names: frozenset[str]


@lru_cache(1000)
def stored_by_calls(classes: tuple[type[Model], ...]) -> set[str] | None:
    """Return the names of the attributes in which calls of models of the given classes store values.

    The result is None if some code may store values in any attribute, or cannot be read. The calls are `__call__`,
    `forward` and `call`, with the methods of the classes and the functions of the same module that they use.
    """
    stored: set[str] = set()
    entered: set[Any] = set()
    waiting = [_attribute(cls, name) for cls in classes for name in NAMES_OF_CALLS]
    while waiting:
        f = waiting.pop()
        f = getattr(f, "__func__", getattr(f, "fget", f))  # of a class method, a static method or a property
        if f is None or f in entered:
            continue
        entered.add(f)
        if hasattr(f, "__wrapped__"):
            waiting.append(f.__wrapped__)
        if is_of_this_package(f):
            continue
        if not isinstance(f, FunctionType):
            return None
        code = _read(f.__code__)
        if not BY_TEXT.isdisjoint(code.names):
            return None
        stored |= code.stored
        for name in code.names:
            used = [_attribute(cls, name) for cls in classes] + [f.__globals__.get(name)]
            waiting += [x for x in used if isinstance(x, (FunctionType, classmethod, staticmethod, property))]
    return stored


def _attribute(cls: type, name: str) -> Any:
    """Return the attribute `name` of the class `cls` without running code of a descriptor; None if there is none."""
    return getattr_static(cls, name, None)


@lru_cache(4096)
def _read(code: CodeType) -> _Code:
    """Return the names that a code object uses, and the attributes in which it stores values.

    The code of functions inside it counts, too.

    An attribute counts as stored in if the code assigns to it, to an item of it, or calls a method such as `append` of
    it. In the last two cases, the code reads the attribute earlier in the same statement, or reads a variable there to
    which the attribute was assigned.
    """
    stored, names = set[str](), {*code.co_names}
    before: dis.Instruction | None = None
    attributes: dict[str, str] = {}  # for each variable to which the content of an attribute is assigned, its name
    in_line: list[str] = []  # the attributes that are read, also by such variables, since the statement began
    for x in dis.get_instructions(code):
        kind, above = x.opname, before.opname if before else ""
        if kind in ("CACHE", "EXTENDED_ARG", "PRECALL"):
            continue
        if x.starts_line or above == "GET_ITER" or "STORE_FAST" in above:
            in_line = []
        if kind == "STORE_ATTR":
            stored.add(x.argval)
        elif kind == "STORE_SUBSCR":
            stored.update(in_line)
        elif kind in ("LOAD_ATTR", "LOAD_METHOD"):
            if x.argval in PUTTING:
                stored.update(in_line[-1:] if above == "LOAD_ATTR" or "LOAD_FAST" in above else in_line)
            in_line.append(x.argval)
        elif "_FAST" in kind:  # some instructions of CPython 3.13 have two variables
            variables = x.argval if isinstance(x.argval, tuple) else (x.argval,)
            if kind.startswith("STORE") and before and above == "LOAD_ATTR":
                attributes[variables[0]] = before.argval
            in_line += [attributes.get(name, "") for name in variables if "LOAD_FAST" in kind]
        before = x
    for part in code.co_consts:
        if isinstance(part, CodeType):
            stored |= _read(part).stored
            names |= _read(part).names
    return _Code(frozenset(stored), frozenset(names))
