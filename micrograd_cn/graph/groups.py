"""`Group`, a named part of a computation: one of a network's parts, or a scope that a user has named."""

from __future__ import annotations

__all__ = ["Group"]


class Group:
    """A named part of a computation, and the larger part that contains it.

    Attributes:
        name: its name inside the larger part.
        outer: the larger part, None for none.
        scope: whether a user named it with `scope`.
        of: the network's part that this one stands for inside a scope; itself otherwise.
        parts: for a scope, its own copy of each network part that was called inside it.

    >>> str(Group("neurons.0", Group("layers.1")))
    'layers.1.neurons.0'
    """

    __slots__ = ("name", "of", "outer", "parts", "scope")

    def __init__(self, name: str, outer: Group | None = None, scope: bool = False, of: Group | None = None) -> None:
        self.name = name
        self.outer = outer
        self.scope = scope
        self.of = of or self
        self.parts: dict[Group, Group] = {}

    def __str__(self) -> str:
        return f"{self.outer}.{self.name}" if self.outer else self.name

    def join(self, outer: Group | None, name: str) -> None:
        """Become a part of a larger one, under a name.

        >>> neuron = Group("neuron")
        >>> neuron.join(Group("layer"), "neurons.0"); str(neuron)
        'layer.neurons.0'
        """
        self.outer, self.name = outer, name

    def inside(self, scope: Group) -> Group:
        """Return this part as it is inside a scope: the same object for every call in this scope.

        >>> step = Group("step", scope=True)
        >>> str(Group("neurons.0", Group("layers.1")).inside(step))
        'step.layers.1.neurons.0'
        """
        if self not in scope.parts:
            outer = self.outer.inside(scope) if self.outer else scope
            scope.parts[self] = Group(self.name, outer, of=self)
        return scope.parts[self]
