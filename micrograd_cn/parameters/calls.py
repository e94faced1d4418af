"""Find the leaves that a call of a model reads, but that neither the model nor the arguments of the call have.

Such a leaf may be anywhere: in a global list, in an object in the closure of a function, or behind `grad(f)`. So the
graph of the call's result is compared with the graphs of what the model and the arguments hold. To see the arguments,
the methods of the models' classes that users call are wrapped until a few calls have been looked at. Calls take no
longer at any other time.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any

from ..engine import Value, traverse
from .members import OF_HIDING, descends_always, members_of_known, walk
from .model import NAMES_OF_CALLS, Model, names_its_parameters, of_this_package

__all__ = ["watch_calls"]

MOST_CALLS = 4  # calls that are looked at, since each may take another branch


def watch_calls(models: Iterable[Model], leaves: Iterable[tuple[Value, float]], report: Report) -> None:
    """Look at the next calls of `models`, and report which of `leaves` they read without having them.

    This ends after `MOST_CALLS` calls, after a report, or when it begins for other models. A call inside another one is
    not looked at.

    Args:
        models: models whose classes may be those of users or of this package.
        leaves: pairs of a leaf and its number. A leaf that has another number by then is trained, and not reported.
        report: a function that is called with the model, the name of the method that was called, and a list of leaves.
    """
    global _watch
    if _watch is not None:
        _watch.end()
    found = [[x for _, x in walk(model, descends_always) if isinstance(x, Model)] for model in models]
    classes = dict.fromkeys(type(x) for inside in found for x in inside if type(x) not in of_this_package)
    classes |= dict.fromkeys(type(inside[0]) for inside in found)
    _watch = _Watch({*leaves}, report)
    for cls in classes:
        if not names_its_parameters(cls):
            _watch.begin(cls)


class _Watch:
    """A search of a few calls for the leaves that they read. See `watch_calls` for the arguments."""

    def __init__(self, leaves: set[tuple[Value, float]], report: Report) -> None:
        self._leaves, self._report = leaves, report
        self._left = MOST_CALLS
        self._is_in_call = False
        self._replaced: list[tuple[type, str, FunctionType | None, FunctionType]] = []

    def begin(self, cls: type[Model]) -> None:
        """Wrap the methods of `cls` by which its objects are called."""
        for name in NAMES_OF_CALLS:
            method = getattr(cls, name, None)
            if isinstance(method, FunctionType):
                wrapped = self._wrapped(method)
                self._replaced.append((cls, name, vars(cls).get(name), wrapped))
                setattr(cls, name, wrapped)

    def end(self) -> None:
        """Put the methods back, except where the user has assigned others meanwhile."""
        global _watch
        if _watch is self:
            _watch = None
        self._left, self._leaves = 0, set()
        while self._replaced:
            cls, name, before, wrapped = self._replaced.pop()
            if vars(cls).get(name) is wrapped:
                delattr(cls, name) if before is None else setattr(cls, name, before)

    def _wrapped(self, method: FunctionType) -> FunctionType:
        """Return a method that runs `method` and then looks at the graph of its result."""

        @functools.wraps(method)
        def watched(model: Any, /, *args: Any, **kwargs: Any) -> Any:
            if self._is_in_call or not self._left:
                return method(model, *args, **kwargs)
            self._is_in_call = True
            try:
                held = [x for _, x in walk([model, *args, *kwargs.values()], descends_always) if isinstance(x, Value)]
                y = method(model, *args, **kwargs)
            finally:
                self._is_in_call = False
            try:
                if not any(members_of_known(type(x)) in OF_HIDING for x in (*args, *kwargs.values())):
                    self._look(model, method.__name__, held, y)
            finally:  # the warning may be an error
                self._left -= 1
                if self._left <= 0:
                    self.end()
            return y

        assert isinstance(watched, FunctionType)  # to a type checker, it is any callable
        return watched

    def _look(self, model: Model, name: str, held: list[Value], y: Any) -> None:
        """Report the leaves that the call of `model` has read to compute its result `y`, unless they are in `held`.

        `name` is the name of the method that has returned `y`. `held` has the `Value`s that the model and the arguments
        had before the call.
        """
        results = [x for _, x in walk([y], descends_always) if isinstance(x, Value)]
        # A model may keep the result of its last call, whose graph has the leaves that this call read
        made_before = {*traverse(*held)[0]} if held else set[Value]()
        reached = _leaves_of_new_nodes(results, made_before).difference(held)
        hidden = [p for p, data in self._leaves if p in reached and p.requires_grad and p._data == data]
        if hidden:
            self._left = 1  # this call is the last one
            self._report(model, name, hidden)


def _leaves_of_new_nodes(results: list[Value], made_before: set[Value]) -> set[Value]:
    """Return the leaves among `results`, and those that are operands of new nodes in the graphs of `results`.

    New nodes are all but those in `made_before`.
    """
    seen, waiting = {*results}, [x for x in results if x not in made_before]
    leaves = set[Value]()
    while waiting:
        node = waiting.pop()
        if node.op is None:
            leaves.add(node)
        new = [x for x in node.operands if isinstance(x, Value) and x not in seen and x not in made_before]
        seen.update(new)
        waiting += new
    return leaves


Report = Callable[[Model, str, list[Value]], None]
_watch: _Watch | None = None  # the search that goes on; None if there is none
