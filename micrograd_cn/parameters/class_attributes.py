"""Refuse parameters in attributes of a class, which all its objects would share."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from functools import partial
from typing import Any

from ..engine import Value
from ..graph.callers import is_of_this_package, warn_at_user
from .hidden import hidden_leaves
from .members import OF_HIDING, descends_always, leaves_to_train, may_hold_leaves, members_of_known, walk
from .model import Model, names_its_parameters, of_this_package


def message_of_class(cls: type, name: str, path: str) -> str:
    """Return the error message for a parameter that is found in the attribute `name` of the class `cls`.

    `path` is the path of the parameter in the class, such as "layers.0".
    """
    return (
        f"{cls.__name__}.{path} is an attribute of the class, where no parameters are looked for, and all instances "
        f"would share it; assign self.{name} in __init__ (in a dataclass, write field(default_factory=lambda: "
        "Value(x))), or write a number, or Value(x, requires_grad=False), for a constant"
    )


def attributes_of(cls: type) -> dict[str, Any]:
    """Return a dict of the attributes of a user's class and of its bases, without those of this package's classes."""
    found: dict[str, Any] = {}
    for base in users_bases(cls):
        found.update(vars(base))
    return found


def users_bases(cls: type) -> list[type]:
    """Return the class `cls` and its bases, base classes first, without `object` and the classes of this package."""
    return _users_among(cls.__mro__)


@functools.lru_cache(maxsize=1000)
def _users_among(classes: tuple[type, ...]) -> list[type]:
    """Return the classes in `classes`, the `__mro__` of a class, that users have defined, base classes first."""
    return [base for base in reversed(classes) if base is not object and not is_of_this_package(base)]


def refuse_class_attributes(cls: type[Model]) -> None:
    """Raise TypeError if an attribute of the class, or of a base that is not a module, contains a `Value` to train.

    Parameters are looked for in the model object alone. For an attribute that is set after the class has been made, and
    for a default as in `field(default=Value(1))`, `named_parameters` raises the error.
    """
    if names_its_parameters(cls):
        return
    own = vars(cls)
    for name, held in attributes_of(cls).items():
        owner = next(base for base in cls.__mro__ if name in vars(base))
        if owner is not cls and issubclass(owner, Model):  # the base class may have a list of its instances by now
            continue
        descends = descends_always if name in own else _is_builtin_or_module
        if name in own and not name.startswith("__") and (hidden := hidden_leaves(held, cls)):
            raise TypeError(message_of_class(cls, name, f"{name}{hidden[0][0]}"))
        for path, x in () if name.startswith("__") else walk(held, descends):
            if isinstance(x, Value) and x.requires_grad:
                raise TypeError(message_of_class(cls, name, f"{name}.{path}".removesuffix(".")))


def _is_builtin_or_module(x: object) -> bool:
    return isinstance(x, (list, tuple, dict, Model))


def _is_no_instance(owner: type, x: object) -> bool:
    return not isinstance(x, owner)


def parameters_in_class(cls: type[Model]) -> list[tuple[str, Value]]:
    """Return pairs (name, `Value`) of the attributes of a user's class `cls`, and of its bases, that are parameters.

    Parameters in containers are left out, because `refuse_shared` looks for them.
    """
    if cls in of_this_package or names_its_parameters(cls):
        return []
    if not [x for _, _, x in _holders_in_class(cls) if isinstance(x, Value)]:  # for speed
        return []
    held = attributes_of(cls).items()
    return [(name, x) for name, x in held if isinstance(x, Value) and x.op is None and x.requires_grad]


def _holders_in_class(cls: type) -> list[tuple[type, str, Any]]:
    """Return the attributes of a user's class `cls`, and of its bases, that are `Value`s or may contain `Value`s.

    Each is a tuple of the class that has the attribute, the name, and the attribute itself.
    """
    bases = users_bases(cls)
    ids = [i for base in bases for i in map(id, vars(base).values())]
    if (known := _holders.get(cls)) is not None and known[0] == ids:
        return known[2]
    held = [(base, name, x) for base in bases for name, x in [*vars(base).items()]]
    found = [item for item in held if members_of_known(type(item[2])) and not item[1].startswith("__")]
    _holders[cls] = [id(x) for _, _, x in held], held, found
    return found


# For each user's class the ids of all its attributes, the attributes themselves, so nothing else gets these ids, and
# what `_holders_in_class` returns while the class has these attributes.
_holders: dict[type, tuple[list[int], list[Any], list[tuple[type, str, Any]]]] = {}


def has_holders(cls: type) -> bool:
    """Return whether `_holders_in_class` has found attributes of the class `cls` that may contain `Value`s."""
    return bool(cls in _holders and _holders[cls][2])


def may_have_shared(cls: type) -> bool:
    """Return whether an attribute of a user's class `cls` or its bases may contain parameters, as a list may.

    Functions and other objects in which no parameters are looked for do not count.
    """
    return any(members_of_known(type(x)) not in OF_HIDING for _, _, x in _holders_in_class(cls))


def refuse_shared(objects: Sequence[Any], model: Model) -> None:
    """Raise TypeError if an attribute of the class of one of `objects` contains parameters that a model lacks.

    `__init__` may have filled a list of the class, as in `self.layers.append(Layer(2, 1))` after `layers = []` in the
    class. It is no error if the model has some of the parameters in the attribute: a class may have a list of the
    parameters of all instances. Parameters of instances of the class do not count either: a class may have a list of
    its instances.

    Args:
        objects: modules, and objects of other classes, in `model`.
        model: the model whose parameters are looked for.
    """
    for cls in dict.fromkeys(map(type, objects)):
        if cls in of_this_package or (issubclass(cls, Model) and names_its_parameters(cls)):
            continue
        for base, name, held in _holders_in_class(cls):
            if not may_hold_leaves(held):
                continue
            inside = walk(held, partial(_is_no_instance, base))
            lost = [(path, x) for path, x in inside if isinstance(x, Value) and x.op is None and x.requires_grad]
            in_class = next(vars(each)[name] for each in cls.__mro__ if name in vars(each))  # runs no descriptor
            if not lost or in_class is not held:
                continue
            if not leaves_to_train(model).isdisjoint([x for _, x in lost]):
                continue
            if any(type(x) is cls and getattr(x, "__dict__", {}).get(name, held) is held for x in objects):
                raise TypeError(message_of_class(cls, name, f"{name}.{lost[0][0]}".removesuffix(".")))


# Attributes that micrograd's classes have too, or that only this package reads
_OF_MICROGRAD = {"parameters", "zero_grad", "w", "b", "nonlin", "neurons", "layers", "group", "made_by_init"}


def warn_of_hidden_methods(cls: type[Model]) -> None:
    """Warn if a method of this package hides one that a user's base class of `cls` has under the same name.

    In micrograd, `class Net(MLP, Saver)` calls the method `save` of Saver, because `MLP` has no such method there.
    """
    known = {name for base in cls.__bases__ for name in _hidden_methods(base)}
    found: dict[tuple[str, str], list[str]] = {}  # the names by the base classes of `cls` that have them
    for name, classes in _hidden_methods(cls).items():
        if name not in known:
            first, later = [next(base for base in cls.__bases__ if issubclass(base, x)).__name__ for x in classes]
            found.setdefault((first, later), []).append(name)
    for (first, later), names in found.items():
        warn_at_user(
            f"class {cls.__name__}: the methods of {first} hide those of {later} with the same names, "
            f"{', '.join(names)}; in micrograd, {first} has none of these; write class {cls.__name__}({later}, {first})"
        )


def _hidden_methods(cls: type) -> dict[str, tuple[type, type]]:
    """Return the methods of users that classes of this package hide in `cls`, by name.

    Each item is a pair: the class of this package that is found first, and the user's class that is found later.
    """
    found: dict[str, tuple[type, type]] = {}
    first: dict[str, type] = {}  # the class in which each name is found
    for base in cls.__mro__:
        for name, held in vars(base).items():
            owner = first.setdefault(name, base)
            if owner not in of_this_package or is_of_this_package(base) or name in found or name.startswith("_"):
                continue
            if name not in _OF_MICROGRAD and not _is_absent(owner, name) and hasattr(held, "__get__"):
                found[name] = owner, base
    return found


def _is_absent(owner: type, name: str) -> bool:
    """Return whether the class `owner` has the attribute `name` only to raise an error. A user's class may have it."""
    return hasattr(vars(owner)[name], "instead")
