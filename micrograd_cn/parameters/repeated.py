"""Leave out the second occurrence of a parameter that a user's method `parameters` adds to those of its base class.

micrograd's `Module.parameters` finds nothing, and that of an `MLP` only the weights of its layers, so a subclass adds
its own, as in `super().parameters() + [self.scale]`. The methods of this package find `self.scale` in the attributes
already. Without this module, the list would have it twice, and a loop over the list would update it twice.
"""

from __future__ import annotations

import functools
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from threading import get_ident
from types import FrameType, FunctionType
from typing import Any, NamedTuple

from ..engine import Value
from ..graph.callers import local_variables
from .model import Model, names_its_parameters

__all__ = ["as_given", "list_once"]


class _Given(NamedTuple):
    """A list that a method `parameters` of this package has returned to a user's method.

    Attributes:
        listed: the list, as it was returned.
        expected: returns the leaves that micrograd's method of the same class lists.
    """

    listed: list[Value]
    expected: Callable[[], list[Value]]


# What was given to the methods `parameters` of users that are running, by the thread and the id of the model
_running: dict[tuple[int, int], list[_Given]] = {}


def list_once(cls: type[Model]) -> None:
    """Wrap the method `parameters` of the class `cls`, if a user has written it, so its result repeats no leaf.

    The class may have inherited the method, also from a base class that is no model.
    """
    method: Any = cls.parameters
    if not names_its_parameters(cls) or not isinstance(method, FunctionType) or hasattr(method, "lists_once"):
        return
    if "parameters" not in vars(cls):

        @functools.wraps(method)
        def inherited(self: Any, *args: Any, **options: Any) -> Any:
            return super(cls, self).parameters(*args, **options)

        method = inherited
    cls.parameters = _listing_once(method)  # type: ignore[method-assign]  # it has the signature of the method


def _listing_once(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method that runs `method`, a user's method `parameters`, and leaves repeated leaves out of its result.

    If `method` returns an iterator, so does the result.
    """

    @functools.wraps(method)
    def parameters(self: Any, *args: Any, **options: Any) -> Any:
        known = get_ident(), id(self)
        if known in _running:  # the method of a subclass calls this one
            return method(self, *args, **options)
        given = _running[known] = []
        try:
            listed = method(self, *args, **options)
            if isinstance(listed, Iterator):
                return iter(_without_repeated([*listed], given))
            once = _without_repeated(listed, given) if type(listed) in (list, tuple) else listed
            return once if once is listed else type(listed)(once)
        finally:
            del _running[known]

    parameters.lists_once = True  # type: ignore[attr-defined]
    return parameters


def _without_repeated(listed: Any, given: list[_Given]) -> Any:
    """Return the leaves in `listed`, a list or tuple, without those that a list in `given` has added to it.

    `given` has the lists that methods of this package have returned to the user's method. A leaf is left out at the
    place where such a list has it, if `listed` also has it elsewhere. The leaves that micrograd's method lists stay,
    since micrograd would repeat them too.
    """
    ids = [*map(id, listed)]
    if not given or len({*ids}) == len(ids):
        return listed
    counts, left_out = Counter(ids), set[int]()
    for part, expected in given:
        own = _ids_of(expected)
        wanted = [*map(id, part)]
        starts = [i for i, known in enumerate(ids) if wanted and known == wanted[0]]
        begin = next((i for i in starts if ids[i : i + len(wanted)] == wanted and i not in left_out), None)
        for offset, known in enumerate(wanted):
            if counts[known] > 1 and known not in own:
                first = next(i for i, x in enumerate(ids) if x == known and i not in left_out)
                left_out.add(first if begin is None else begin + offset)
                counts[known] -= 1
    return [x for i, x in enumerate(listed) if i not in left_out]


def _ids_of(expected: Callable[[], list[Value]]) -> set[int]:
    """Return the ids of the leaves that `expected` returns; the empty set if the model lacks its usual attributes."""
    try:
        return {*map(id, expected())}
    except AttributeError:  # in micrograd, super().parameters() raises it
        return set()


def as_given(model: Model, listed: list[Value], expected: Callable[[], list[Value]]) -> list[Value]:
    """Return `listed`, the parameters of `model` that a method of this package gives to a user's method.

    If the user's method was assigned to the class or the model later, so it is not wrapped, leave out those leaves that
    it adds itself. To find them, run the method once more.

    Args:
        model: a model that has a method `parameters` of a user.
        listed: all parameters of the model, each once.
        expected: returns the leaves that micrograd's method of the same class lists.
    """
    known = get_ident(), id(model)
    if known in _running:
        _running[known].append(_Given(listed.copy(), expected))
        return listed
    method: Any = model.parameters
    if not _is_running(method, model, sys._getframe(2)):
        return listed
    given = _running[known] = []
    try:
        found = [*map(id, method())]
    finally:
        del _running[known]
    counts = Counter(found)
    counts.subtract(Counter([id(p) for part, _ in given for p in part]))
    own = _ids_of(expected)
    return [p for p in listed if counts[id(p)] < 1 or id(p) in own]


def _is_running(method: Any, model: Model, frame: FrameType | None) -> bool:
    """Return whether `frame`, or a frame that has called it, runs `method` of the model `model`."""
    code = getattr(method, "__code__", None)
    while frame is not None:
        if frame.f_code is code:
            names = code.co_varnames[: code.co_argcount]
            return not names or local_variables(frame).get(names[0]) is model
        frame = frame.f_back
    return False
