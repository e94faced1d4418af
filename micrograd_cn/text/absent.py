"""Attributes that users look for, but that do not exist, with what to write instead."""

from __future__ import annotations

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

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: object, owner: type) -> Any:
        if instance is not None and self.name in vars(instance):
            return vars(instance)[self.name]
        raise AttributeError(f"{owner.__name__} has no {self.name}; {self.instead}")

    def __set__(self, instance: object, x: object) -> None:
        if is_of_this_package(type(instance)):
            self.__get__(None, type(instance))
        vars(instance)[self.name] = x
