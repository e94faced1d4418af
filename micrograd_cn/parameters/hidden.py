"""Raise an error for parameters where none are looked for, as in the keys of a dict or in a `functools.partial`."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from functools import partial
from types import CellType, FunctionType, MethodType
from typing import Any

from ..engine import Value
from ..graph.callers import is_of_this_package
from .members import (
    OF_HIDING,
    descends_always,
    items_if_values,
    known_slots,
    leaves_to_train,
    may_hold_leaves,
    members_of_known,
    of_hiding,
    of_module,
    of_object,
    of_opaque,
    values_in,
    walk,
)
from .model import Model, beginning
from .opaque import leaves_behind


def refuse_hidden(model: Model, attributes: Iterable[tuple[Any, Any]]) -> None:
    """Raise TypeError if `attributes` have parameters where none are looked for, such as the keys of a dict.

    It is no error if the model has all of these parameters in another place, too.

    Args:
        model: the model, whose class the message names.
        attributes: pairs of a name and an attribute: all attributes of the model, or only a new one.
    """
    entered = {id(model)}
    known = set[Value]()  # the leaves to train of the model, once they are needed
    waiting = [(f"{name}", x) for name, x in attributes]
    while waiting:
        path, x = waiting.pop()
        members = members_of_known(type(x))
        if members is None or type(x) is Value or id(x) in entered:
            continue
        entered.add(id(x))
        hidden = [p for _, p in hidden_leaves(x, model)]
        if hidden and not known:
            known = leaves_to_train(model)
        if lost := [p for p in hidden if p not in known]:
            kind, write = _what_hides(x, model)
            raise TypeError(
                f"{type(model).__name__}.{path} is {kind}, where no parameters are looked for, but it has "
                f"{lost[0]!r}, which would be neither trained nor saved; {write}"
            )
        if not isinstance(x, Model) and may_hold_leaves(x) and items_if_values(x) is None:
            waiting += [(f"{path}.{key}", item) for key, item in members(x)]


def hidden_leaves(x: Any, owner: object) -> list[tuple[str, Value]]:
    """Return the leaves to train that `x` has where `parameters()` does not look for them, as in the keys of a dict.

    Each item of the list is a pair of a string and a leaf. The string, such as ".args", is the code to write after `x`
    to get the leaf, or the collection that has it. `owner` is the model or the class that has `x`.
    """
    held: list[tuple[str, Any]] = []
    if isinstance(x, dict):
        held = [("", p) for p in x if isinstance(p, Value)]
    elif isinstance(x, Value):
        held = [(f".{name}", p) for name, p in _attributes_of_value(x)]
    elif (members := members_of_known(type(x))) is of_opaque or members is of_object:
        return [("", p) for p in leaves_behind(x)]
    elif members is not of_hiding:
        return []
    elif isinstance(x, type):
        if not is_of_this_package(x) and not issubclass(x, (Model, Value)):
            held = [(f".{name}", p) for name, p in [*vars(x).items()] if isinstance(p, Value)]
    elif callable(x):
        held = [(code, _leaves_of_called(y, owner)) for code, y in [("", x), *called_by(x)]]
    elif hasattr(x, "iloc"):
        held = [("", x.iloc[:FIRST_ROWS].to_numpy())]
    else:
        held = [("", [*x])]
    return [(code, p) for code, y in held for p in values_in(y) if p.op is None and p.requires_grad]


def _leaves_of_called(x: Any, owner: object) -> list[Value]:
    """Return the trainable leaves of `x`, an object that a function or a method in an attribute of `owner` calls.

    If `x` is a function, these are the leaves in its attributes. If `x` is a `functools.partial`, they are the leaves
    in its arguments. Leaves in models, and in collections of models, count in both cases.
    """
    if not isinstance(x, (partial, FunctionType)):
        return leaves_of_bound(x, owner)
    inside = [*x.args, *x.keywords.values()] if isinstance(x, partial) else [*vars(x).values()]
    found: list[Value] = []
    for x in inside:
        items = x.values() if isinstance(x, dict) else x if isinstance(x, (list, tuple)) else [x]
        for item in items:
            found += leaves_of_bound(item, owner) if isinstance(item, Model) else values_in(item)
    return [p for p in found if p.op is None and p.requires_grad]


def _attributes_of_value(x: Value) -> list[tuple[str, Any]]:
    """Return pairs (name, attribute) for the attributes that the user's class of `x` gives it, also in slots."""
    if type(x) is Value or members_of_known(type(x)) is None:
        return []
    slots = [(name, slot) for name, slot in known_slots[type(x)] if not is_of_this_package(slot.__objclass__)]
    in_slots = [(name, getattr(x, name)) for name, _ in slots if hasattr(x, name)]
    return [*in_slots, *getattr(x, "__dict__", {}).items()]


def called_by(x: Any) -> list[tuple[str, Any]]:
    """Return what `x` may call, if it is a method or a function that wraps another one, such as a `partial`.

    For a method, this is the object that it is bound to. Functions that are wrapped more than once are followed, and
    all that are found are in the result. Each is in a pair with the code that leads from `x` to it. If a user has
    written a function, what it calls is not known, except for a function that it wraps, as with `functools.wraps`.

    >>> numbers = []
    >>> called_by(partial(partial(numbers.append), 1.0)) == [(".func", numbers.append)]
    True
    """
    found: list[tuple[str, Any]] = []
    waiting = [("", x)]
    while waiting and len(found) < MOST_CALLED:
        code, x = waiting.pop()
        held = getattr(x, "__dict__", None) or {}
        inside = [(f".{name}", held[name]) for name in ("__wrapped__", "pyfunc") if name in held]
        if isinstance(x, MethodType):
            inside = [(".__self__", x.__self__)]
        elif isinstance(x, partial):
            inside = [(".func", x.func)]
        elif isinstance(x, FunctionType) and is_of_this_package(x):  # such as the result of grad(f)
            inside += [("", content_of_cell(cell)) for cell in x.__closure__ or ()]
        elif type(x).__name__ == "ufunc":
            inside = [("", y) for y in gc.get_referents(x)]  # the function that np.frompyfunc got
        inside = [(code + more, y) for more, y in inside]
        found += inside
        waiting += [(code, y) for code, y in inside if members_of_known(type(y)) in OF_HIDING]
    return found


def content_of_cell(cell: CellType) -> Any:
    """Return what a variable of a function has; None if nothing has been assigned to it yet."""
    try:
        return cell.cell_contents
    except ValueError:
        return None


MOST_CALLED = 20  # more functions around each other are not looked into


def leaves_of_bound(x: Any, owner: object) -> list[Value]:
    """Return the trainable leaves of `x`, an object that a function or a method in an attribute of `owner` is bound to.

    The list is empty if `x` contains `owner`. It is also empty if `x` is a model whose `__init__` is running, since
    `owner` may still become a part of it. If `x` is not a module, only leaves and collections of leaves in its
    attributes count, because it may be a program that has several models.
    """
    if x is owner or id(x) in beginning or isinstance(x, type) or members_of_known(type(x)) is None:
        return []
    if isinstance(x, Model):
        found = [*leaves_to_train(x)]
    else:
        held = [[y] if isinstance(y, Value) else items_if_values(y) for _, y in of_module(x)]
        found = [p for items in held if items is not None for p in items]
    return found if found and not any(y is owner for _, y in walk(x, descends_always)) else []


FIRST_ROWS = 100  # only so many rows of a table are searched for parameters, since a table of texts may be long


def _what_hides(x: Any, owner: object) -> tuple[str, str]:
    """Return (kind, advice) for `x`, an object in which no parameters are looked for: what it is, and what to write."""
    if isinstance(x, dict):
        return "a dict with a parameter as a key", "keep the parameters as its values"
    if isinstance(x, type):
        return f"the class {x.__name__}", f"assign an object, {x.__name__}(), whose __init__ makes the parameters"
    if isinstance(x, MethodType):
        kind = type(x.__self__).__name__
        return f"a method of a {kind}", f"keep the {kind} itself in an attribute, and call its method"
    if members_of_known(type(x)) in (of_opaque, of_object):
        return f"a {type(x).__name__}", (
            "keep it in an attribute of the model or in a list, too, or set its requires_grad = False if it is not to "
            "be trained"
        )
    if callable(x) and not isinstance(x, Value):
        return _what_calls(x, owner)
    if hasattr(x, "iloc"):
        return f"a pandas {type(x).__name__}", "write x.to_numpy() or a dict for x"
    if isinstance(x, Value):
        return f"a {type(x).__name__}, with a parameter in an attribute", "keep it in an attribute of the model"
    return f"a {type(x).__name__}", "write list(...), or keep the dict"


def _what_calls(x: Any, owner: object) -> tuple[str, str]:
    """Return (kind, advice) for `x`, a callable that holds trainable parameters, or calls an object that has some.

    The first text says what `x` is, and the second one what to write instead.
    """
    called = next(y for y in [*[y for _, y in reversed(called_by(x))], x] if _leaves_of_called(y, owner))
    name = "functools.partial" if isinstance(x, partial) else type(x).__name__.removeprefix("_")
    if isinstance(called, partial):
        kind = f"a {name}" if called is x else f"a {name} that calls a functools.partial"
        return kind, "keep the parameter in an attribute of its own, or the model that has it, and pass it in the call"
    if isinstance(called, FunctionType):
        return f"a {name} with a parameter in an attribute", "keep it in an attribute of the model"
    kind = type(called).__name__
    return f"a {name} that calls a {kind}", (
        f"keep the {kind} itself in an attribute, too, or set requires_grad = False for its parameters if they are not "
        "to be trained"
    )
