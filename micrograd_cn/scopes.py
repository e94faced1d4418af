"""Name a part of a computation, so that pictures and pages fold it into one box."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from . import modes
from .node import Group

__all__ = ["current", "inside", "scope"]

_current: ContextVar[Group | None] = ContextVar("micrograd_cn_scope", default=None)


@contextmanager
def scope(name: str) -> Iterator[Group]:
    """Put the nodes that are recorded inside the `with` block (or decorated function) into one box of a picture.

    Scopes may be nested, and hold layers. Each entry is a box of its own: the same name twice gives two boxes. It takes
    several times as long to record inside, where operators do not go their short way.

    Raises:
        TypeError: `name` is not a str.

    >>> from micrograd_cn import Value
    >>> x = Value(2, "x")
    >>> with scope("attention"):
    ...     with scope("scores"):
    ...         y = x * x
    >>> str(y.group)
    'attention.scores'
    """
    if not isinstance(name, str):
        raise TypeError(f'a scope\'s name must be a str, as in scope("attention"), got {name!r}')
    group = Group(name, _current.get(), scope=True)
    token = _current.set(group)
    try:
        with modes.Mode(0):  # which changes nothing, but has the engine ask what holds where it records
            yield group
    finally:
        _current.reset(token)


def current() -> Group | None:
    """Return the scope that new nodes belong to; None outside of all.

    >>> current() is None
    True
    """
    return _current.get()


def inside(group: Group) -> Group:
    """Return a network's part as it is inside the scope that holds here: the same one for every call in this scope.

    >>> with scope("step"):
    ...     str(inside(Group("neurons.0", Group("layers.1"))))
    'step.layers.1.neurons.0'
    """
    around = _current.get()
    return group if around is None else _placed(group, around)


def _placed(group: Group, around: Group) -> Group:
    if group not in around.parts:
        outer = _placed(group.outer, around) if group.outer else around
        around.parts[group] = Group(group.name, outer, of=group)
    return around.parts[group]
