"""Parts of a computation, by which pictures and pages fold it: a network's, and those that a user names by `scope`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from . import watching

__all__ = ["Group", "current", "inside", "scope"]


class Group:
    """A part of a computation, of a network or one that a user named: a name, and the larger part that it is in.

    >>> str(Group("neurons.0", Group("layers.1")))
    'layers.1.neurons.0'
    """

    __slots__ = ("name", "of", "outer", "parts", "scope")

    def __init__(self, name: str, outer: Group | None = None, scope: bool = False, of: Group | None = None) -> None:
        self.name = name
        self.outer = outer
        self.scope = scope  # whether a user named it
        self.of = of or self  # the network's part that this is inside a scope
        self.parts: dict[Group, Group] = {}  # of networks, as they are inside this scope

    def __str__(self) -> str:
        return f"{self.outer}.{self.name}" if self.outer else self.name

    def join(self, outer: Group | None, name: str) -> None:
        """Become a part of a larger one, by a name.

        >>> neuron = Group("neuron")
        >>> neuron.join(Group("layer"), "neurons.0"); str(neuron)
        'layer.neurons.0'
        """
        self.outer, self.name = outer, name


current_scope: ContextVar[Group | None] = ContextVar("micrograd_cn_scope", default=None)


@contextmanager
def scope(name: str) -> Iterator[Group]:
    """Put the nodes that are recorded inside the `with` block (or decorated function) into one box of a picture.

    Scopes may be nested, and hold layers. Each entry is a box of its own: the same name twice gives two boxes.

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
    group = Group(name, current_scope.get(), scope=True)
    token = current_scope.set(group)
    with watching.counted():
        try:
            yield group
        finally:
            current_scope.reset(token)


def current() -> Group | None:
    """Return the scope that new nodes belong to; None outside of all.

    >>> current() is None
    True
    """
    return current_scope.get()


def inside(group: Group) -> Group:
    """Return a network's part as it is inside the scope that holds here: the same one for every call in this scope.

    >>> with scope("step"):
    ...     str(inside(Group("neurons.0", Group("layers.1"))))
    'step.layers.1.neurons.0'
    """
    around = current_scope.get()
    return group if around is None else _placed(group, around)


def _placed(group: Group, around: Group) -> Group:
    if group not in around.parts:
        outer = _placed(group.outer, around) if group.outer else around
        around.parts[group] = Group(group.name, outer, of=group)
    return around.parts[group]
