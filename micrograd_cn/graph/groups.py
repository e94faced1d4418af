"""`Group`, a named part of a computation: a part of a network, such as a neuron, or a scope."""

from __future__ import annotations

__all__ = ["Group"]


class Group:
    """A named part of a computation, inside a larger part or on its own.

    Attributes:
        name: the name inside the larger part.
        outer: the larger part; None if there is none.
        scope: whether it was made by `scope`.
        of: for a copy inside a scope, the part of the network that was copied; otherwise this group itself.
        parts: for a scope, the copies of the parts of networks that were called inside it, by original.

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
        """Become a part of a larger group, under a name.

        >>> neuron = Group("neuron")
        >>> neuron.join(Group("layer"), "neurons.0"); str(neuron)
        'layer.neurons.0'
        """
        self.outer, self.name = outer, name

    def inside(self, scope: Group) -> Group:
        """Return the copy of this part for a scope: the same object for every call inside the scope.

        >>> step = Group("step", scope=True)
        >>> str(Group("neurons.0", Group("layers.1")).inside(step))
        'step.layers.1.neurons.0'
        """
        if self not in scope.parts:
            outer = self.outer.inside(scope) if self.outer else scope
            scope.parts[self] = Group(self.name, outer, of=self)
        return scope.parts[self]
