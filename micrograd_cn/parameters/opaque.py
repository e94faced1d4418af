"""Find the leaves in objects that do not show their content, such as a queue, an exception or a `threading.local`.

`members` lists what an object has under a name, a key or an index. For all other objects, Python's garbage collector is
asked: it knows every object to which another one refers, whatever its class. It names no place and no order, so these
leaves are not parameters. `hidden` raises an error for them.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from functools import lru_cache
from struct import calcsize
from types import CodeType, FrameType, FunctionType, MethodType, ModuleType, TracebackType
from typing import Any
from weakref import ProxyTypes, ReferenceType

from ..engine import Value
from ..graph.callers import is_of_this_package
from .members import is_array, known_slots, members_of_known, of_object, values_in
from .model import Model

MOST_OBJECTS = 10_000  # objects that refer to more than that are not searched to the end

# The classes of objects from which a search would reach most of the program
_ENDS = (type, ModuleType, CodeType, FrameType, TracebackType, ReferenceType, *ProxyTypes)
_FUNCTIONS = (FunctionType, MethodType)
_ATOMS = {type, type(None), bool, int, float, str, bytes}
_BUILT_IN = {dict, list, tuple, set}


def behind(x: Any) -> Iterator[Any]:
    """Yield the leaves, models and functions to which `x` refers, also through other objects, but not its members.

    The members of `x` are its attributes and items, in which parameters are looked for anyway. The search does not go
    into models, functions, classes and modules, nor into objects of this package.

    >>> from queue import Queue
    >>> queue = Queue()
    >>> queue.put([Value(0.5)])
    >>> list(behind(queue))
    [Value(data=0.5, grad=0.0)]
    """
    entered = {id(x)}
    waiting = _beside_members(x)
    while waiting and len(entered) < MOST_OBJECTS:
        y = waiting.pop()
        cls = type(y)  # isinstance would ask a weak proxy for its class, which raises an error if its object is gone
        if cls in _ATOMS or id(y) in entered or issubclass(cls, _ENDS):
            continue
        entered.add(id(y))
        if cls in _BUILT_IN:  # a shortcut, for speed
            waiting += gc.get_referents(y)
        elif issubclass(cls, (Value, Model, *_FUNCTIONS)):
            yield y
        elif not is_of_this_package(cls):
            waiting += _referents(y)


def leaves_behind(x: Any) -> list[Value]:
    """Return the leaves to train to which `x` refers, apart from its members and from those in models and functions.

    The list is empty for objects that run code, such as an iterator or a thread. Leaves to which these refer are often
    numbers that the code works on, and not parameters.
    """
    cls: Any = type(x)
    if not _may_hide_leaves(cls) or (isinstance(x, ModuleType) and x.__name__ in sys.modules):
        return []
    return [y for y in behind(x) if isinstance(y, Value) and y.op is None and y.requires_grad]


# What iterators, awaitable objects, descriptors, threads and executors have
_OF_CODE = ("__next__", "__await__", "__get__", "run", "submit")


@lru_cache(1000)
def _may_hide_leaves(cls: type) -> bool:
    """Return whether `leaves_behind` has to search objects of the class `cls`.

    For an object with members, this is so if it has more memory than its attributes and slots need, as an exception
    has.
    """
    if members_of_known(cls) is not of_object:
        return not any(hasattr(cls, name) for name in _OF_CODE)
    pointers = (cls.__basicsize__ - object.__basicsize__) // calcsize("P")
    return pointers > len(known_slots[cls]) + (cls.__dictoffset__ > 0) + (cls.__weakrefoffset__ > 0)


def _beside_members(x: Any) -> list[Any]:
    """Return the objects to which `x` refers, without its class, its members and the dict that has its attributes."""
    if isinstance(x, ModuleType):  # other objects in it belong to the program
        return [y for y in vars(x).values() if isinstance(y, Value)]
    if members_of_known(type(x)) is not of_object:
        return _referents(x)
    listed = {id(getattr(x, "__dict__", None)), *[id(y) for _, y in of_object(x)]}
    return [y for y in _referents(x) if id(y) not in listed]


def _referents(x: Any) -> list[Any]:
    """Return the objects to which `x` refers directly.

    These are the objects that the garbage collector finds, and also what it does not find: the items of numpy's arrays,
    the array of an iterator, and the content of a context variable.
    """
    found = gc.get_referents(x)
    if isinstance(x, ContextVar):
        found.append(x.get(None))
    elif type(x).__module__.partition(".")[0] == "numpy":
        found += [x.base] if hasattr(x, "base") else []
    return [*found, *values_in(x)] if is_array(x) else found
