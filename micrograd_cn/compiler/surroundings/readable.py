"""`Readable`: the variables, collections and other places that a function's code can read, besides its arguments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ...engine import Value


@dataclass
class Readable:
    """The variables, collections, arrays and other places that code can read, as `Surroundings` finds them.

    Attributes:
        variables: pairs of a holder and a name. The holder is a cell of a closure, the globals of a module, a module or
            a class, and the name is that of a variable. Or the holder is an object, and the name is one of its slots, a
            descriptor. Or the holder is the `__dict__` of an object, and the name is that of an attribute.
        collections: dicts, lists, sets and the like.
        namespaces: the ids of those collections that are the `__dict__` of an object.
        arrays: arrays of numbers.
        object_arrays: numpy arrays of objects, such as `Value`s.
        generators: generators of random numbers.
        code: pairs of an object and the name of its attribute that decides which code runs: a function and, for
            example, "__code__"; a class and the name of a method; a module and the name of a function; any other object
            and "__class__" or "__dict__".
        growing: dicts to which an attribute may be added.
        readers: functions without arguments, each of which returns what another place holds, such as a `ContextVar`.
        opaque: objects whose contents `contents_of` finds, and collections in them.
        own: the ids of the `__dict__`s of objects of this package. In these, True may be replaced by 1, for example,
            without a change of what the package's code does.
        leaves: the leaf `Value`s in these places.
    """

    variables: list[tuple[Any, Any]] = field(default_factory=list)
    collections: list[Any] = field(default_factory=list)
    namespaces: set[int] = field(default_factory=set)
    arrays: list[Any] = field(default_factory=list)
    object_arrays: list[Any] = field(default_factory=list)
    generators: list[Any] = field(default_factory=list)
    code: list[tuple[Any, str]] = field(default_factory=list)
    growing: list[dict[str, Any]] = field(default_factory=list)
    readers: list[Callable[[], Any]] = field(default_factory=list)
    opaque: list[Any] = field(default_factory=list)
    own: set[int] = field(default_factory=set)
    leaves: list[Value] = field(default_factory=list)
