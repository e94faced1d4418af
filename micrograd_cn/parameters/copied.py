"""Warn of functions in a model that a deep copy of the model shares, and that use the parameters of the original."""

from __future__ import annotations

import copy
from collections.abc import Container, Iterable, Iterator
from functools import partial
from types import FrameType, FunctionType, MethodType
from typing import Any

from ..engine import Value
from ..graph.callers import is_of_this_package, warn_at_user
from .hidden import content_of_cell
from .members import OF_HIDING, items_if_values, leaves_to_train, members_of_known
from .model import Model


def warn_of_shared_functions(model: Model, caller: FrameType) -> None:
    """Warn if `copy.deepcopy` copies a model that has a function which reads parameters of the model.

    Python does not copy functions. So in the copy, a lambda that reads `self.w` goes on reading the `w` of the
    original, and the parameters of the copy have no effect on it. A bound method is copied, so there is no warning for
    it. `caller` is the frame that copies the model. If it is not a frame of `copy.deepcopy`, nothing is done.
    """
    if caller.f_code is not copy.deepcopy.__code__:
        return
    being_copied: Container[int] = caller.f_locals.get("memo") or ()
    leaves: set[Value] | None = None
    for path, x in _functions_in(model):
        for read in _read_by(x, is_copied=True, entered=set()):
            if leaves is None:
                leaves = leaves_to_train(model)
            is_original = isinstance(read, (Model, Value)) and id(read) in being_copied
            if is_original or (read is model and leaves) or not leaves.isdisjoint(leaves_to_train([read])):
                warn_at_user(
                    f"The deep copy of this {type(model).__name__} has the same function {path} as the original, "
                    "since Python does not copy functions. It goes on using the parameters and attributes of the "
                    "original, and not those of the copy; make it a method, or assign it anew in the copy",
                    copy.__file__,
                )
                return


def _functions_in(model: Model) -> Iterator[tuple[str, Any]]:
    """Yield the functions, methods and the like in `model`, also inside collections and objects, each with its path.

    What a deep copy of a `functools.partial` or of a method copies is searched, too: the arguments of the partial, and
    the object of the method. What is in other models is left out, since each model looks for its own functions.
    """
    entered: set[int] = set()
    waiting: list[tuple[str, Any]] = [("", model)]
    while waiting:
        path, x = waiting.pop()
        members = members_of_known(type(x))
        if not members or id(x) in entered or (issubclass(type(x), (Model, Value)) and x is not model):
            continue
        entered.add(id(x))
        inside: Iterable[tuple[Any, Any]] = ()
        if members in OF_HIDING:
            yield path, x
            if isinstance(x, MethodType):
                inside = [("__self__", x.__self__)]
            elif isinstance(x, partial):
                inside = [*enumerate(x.args), *x.keywords.items()]
        elif isinstance(x, (set, frozenset)):
            inside = enumerate(x)
        elif items_if_values(x) is None:
            inside = members(x)
        waiting += [(f"{path}.{key}".removeprefix("."), item) for key, item in reversed([*inside])]


def _read_by(x: Any, is_copied: bool, entered: set[int]) -> Iterator[Any]:
    """Yield the objects that `x`, if it is a function, has in variables and defaults, also through other functions.

    Args:
        x: any object.
        is_copied: whether a deep copy of the model has a copy of `x`. It has copies of bound methods, of the arguments
            of a `functools.partial`, and of a compiled function. But if a function refers to one of these, the same
            function in the copy refers to the original.
        entered: the ids of the objects that are already looked into.
    """
    if id(x) in entered:
        return
    entered.add(id(x))
    if isinstance(x, FunctionType):
        variables = [content_of_cell(cell) for cell in x.__closure__ or ()]
        for y in (*variables, *(x.__defaults__ or ()), *(x.__kwdefaults__ or {}).values(), *vars(x).values()):
            yield from _read_by(y, False, entered)
    elif isinstance(x, MethodType):
        if not is_copied:
            yield x.__self__
    elif isinstance(x, partial):
        yield from _read_by(x.func, is_copied, entered)
        if not is_copied:
            yield from (*x.args, *x.keywords.values())
    elif "__wrapped__" in (attributes := getattr(x, "__dict__", {})):
        yield from _read_by(x.__wrapped__, is_copied and is_of_this_package(type(x)), entered)
    elif "pyfunc" in attributes:  # the function of np.vectorize
        yield from _read_by(x.pyfunc, is_copied, entered)
    elif not is_copied:
        yield x
