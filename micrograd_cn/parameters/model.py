"""`Model`, the base class of `Module`, with only the methods that the functions of this folder call.

The functions of this module find out which methods of `Module` a user's class overrides, and which models are being
called now.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, TypeVar

from ..engine import Value
from ..graph.callers import local_variables

Method = TypeVar("Method", bound=Callable[..., Any])


class Model:
    """The base class of `Module`, with only the methods that the functions of this folder call."""

    expands_in_repr = True  # whether `repr` also shows the modules inside this one
    made_by_init: frozenset[str] = frozenset()  # the attributes of a class of this package; users may add others

    def parameters(self) -> list[Value]:
        """Return every parameter once."""
        raise NotImplementedError

    def named_parameters(self) -> Iterator[tuple[str, Value]]:
        """Yield every parameter once, with its path."""
        raise NotImplementedError

    def entries(self) -> dict[str, Any]:
        """Return the entries of the model's state by name."""
        raise NotImplementedError

    def _micrograds_parameters(self) -> list[Value]:
        """Return the leaves that the method `parameters` of micrograd's class of the same name lists.

        `Neuron`, `Layer` and `MLP` override this method. micrograd's `Module` lists nothing.
        """
        return []

    def _refuse_untrained(self, path: str, found: set[int], computed: bool) -> None:
        """Do nothing. `Neuron` overrides this method, and raises TypeError if nothing would train one of its weights.

        It is called for each module in a model when the parameters of the model are listed.

        Args:
            path: the path of this module in the model whose parameters are listed.
            found: the ids of the objects that were found in this model.
            computed: whether computed values were found in this model.
        """


of_this_package: set[type] = set()  # the classes of modules that this package defines
# The methods that `Module`, `Neuron`, `Layer` and `MLP` define and users' classes may override, by name and by id
_parameters: dict[int, Any] = {}
_named_parameters: dict[int, Any] = {}
_defined = {"parameters": _parameters, "named_parameters": _named_parameters}


def overridable(method: Method) -> Method:
    """Return `method`, a method of `Module`, and register it, so `overrides` can tell whether a class overrides it.

    `Neuron`, `Layer` and `MLP` have the same method `parameters` under their own names, as in micrograd. They register
    it too, because they do not override it either.
    """
    _defined.setdefault(method.__name__, {})[id(method)] = method
    return method


def overrides(cls: type[Model], name: str) -> bool:
    """Return whether the class `cls` has its own method `name` in place of that of `Module`."""
    return id(getattr(cls, name)) not in _defined[name]


def names_its_parameters(cls: type[Model]) -> bool:
    """Return whether the class `cls` overrides `parameters` or `named_parameters`.

    A class that was written for micrograd does, because micrograd's own `Module.parameters` finds no parameters.
    """
    return id(cls.parameters) not in _parameters or id(cls.named_parameters) not in _named_parameters


def lists_its_parameters(x: Model) -> bool:
    """Return whether `x` overrides `parameters` or `named_parameters`, by its class or by an attribute `parameters`."""
    return names_its_parameters(type(x)) or callable(vars(x).get("parameters"))


beginning: set[int] = set()  # the ids of the modules whose `__init__` is running; `check_after` checks them at its end


def is_checked(cls: type[Model]) -> bool:
    """Return whether the `__init__` of the class `cls` is wrapped by `check_after`, which checks each new object."""
    return hasattr(cls.__init__, "__wrapped__")


NAMES_OF_CALLS = ("__call__", "forward", "call")


def running_models() -> Iterator[Model]:
    """Yield the models whose `__call__`, `forward` or `call` is running; the innermost call comes first."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_name in NAMES_OF_CALLS and code.co_argcount:
            model = local_variables(frame).get(code.co_varnames[0])
            if isinstance(model, Model):
                yield model
        frame = frame.f_back
