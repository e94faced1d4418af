"""`scope`, a `with` block that names a part of a computation; pictures and pages draw this part as a box."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import _GeneratorContextManager, contextmanager

from . import context
from .groups import Group

__all__ = ["scope"]


def scope(name: str) -> _GeneratorContextManager[Group]:
    """Put the nodes that are recorded inside the `with` block or decorated function into one box of a picture.

    Scopes may be nested, and layers may be called inside them. Each time a block is entered there is a new box, even if
    the name is the same. `with scope(name) as group:` gives the box, a `Group`.

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
    return _block(name)


@contextmanager
def _block(name: str) -> Iterator[Group]:
    group = Group(name, context.here().scope, scope=True)
    context.enter(group, scope=group)
    try:
        yield group
    finally:
        context.leave(group)
