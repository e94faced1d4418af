"""Attributes that users look for, but that do not exist, with what to write instead."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..graph.callers import is_of_this_package


class Absent:
    """A descriptor for an attribute that users look for, but that does not exist. Its use raises a helpful error.

    Without the error, an assignment such as `layer.activation = "tanh"` would silently have no effect. A user's
    subclass may have an attribute of this name.

    Args:
        instead: the end of the message, which says what to write, such as "write optimizer.lr".
    """

    def __init__(self, instead: str) -> None:
        self.instead = instead
        self.name = ""
        self.owner: type = object

    def __set_name__(self, owner: type, name: str) -> None:
        self.owner, self.name = owner, name

    def __get__(self, instance: object, owner: type) -> Any:
        if instance is not None and self.name in vars(instance):
            return vars(instance)[self.name]
        if instance is not None and (held := self._of_mixin(owner)) is not None:
            return held.__get__(instance, owner) if hasattr(held, "__get__") else held
        raise AttributeError(f"{owner.__name__} has no {self.name}; {self.instead}")

    def __set__(self, instance: object, x: object) -> None:
        if is_of_this_package(type(instance)):
            self.__get__(None, type(instance))
        held = self._of_mixin(type(instance))
        if hasattr(held, "__set__"):  # a property, for example
            held.__set__(instance, x)
        else:
            vars(instance)[self.name] = x

    def _of_mixin(self, owner: type) -> Any:
        """Return the attribute of this name that a user's base class of `owner` has; None if there is none.

        Such a base class is Mixin in `class Net(MLP, Mixin)`, for example. It comes after the class of this package.
        """
        later = owner.__mro__[owner.__mro__.index(self.owner) :] if issubclass(owner, self.owner) else ()
        found = [vars(base)[self.name] for base in later if self.name in vars(base)]
        return next((held for held in found if not isinstance(held, Absent)), None)


SHORTEST_MISSPELT = 5  # a shorter name, such as eps, is spelt like too many other words


def refuse_misspelt(cls: type, name: str, known: Iterable[str]) -> None:
    """Raise AttributeError if `name` is not an attribute of `cls`, but nearly the name of one, so it may be misspelt.

    Args:
        cls: a class of this package.
        name: the name of the attribute that a user assigns to, on an object of `cls`.
        known: the names of the attributes that such an object has. This function adds those that `cls` has as `Absent`.
    """
    if hasattr(cls, name):
        return
    from difflib import get_close_matches  # imported here, because correct programs do not need it

    absent = {key: x.instead for base in cls.__mro__ for key, x in vars(base).items() if isinstance(x, Absent)}
    meant = [x for x in {*known, *absent} if len(x) >= SHORTEST_MISSPELT and not x.startswith("_") and x not in name]
    for close in get_close_matches(name, sorted(meant), n=1, cutoff=0.8):
        write = absent.get(close, f"read and set {cls.__name__.lower()}.{close}")
        raise AttributeError(f"{cls.__name__} has no {name}; {write}")
