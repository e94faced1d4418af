"""`Group`, a named part of a computation, such as a neuron, a layer or a `scope`. Pictures draw a group as a box."""

from __future__ import annotations

import operator
from typing import Any, SupportsIndex

__all__ = ["Group"]


class Group:
    """A named part of a computation, which pictures draw as a box: a part of a network, such as a neuron, or a scope.

    Every node has at most one group, its attribute `group`. If a network is called inside a `scope`, its nodes do not
    belong to the network's own groups, but to copies of these, which are inside the scope.

    Attributes:
        name: the name, such as "neurons.0", without the names of the groups that contain this one.
        outer: the group that contains this one; None if there is none.
        scope: whether `scope` made this group.
        of: for a copy, the group that was copied; otherwise this group itself.
        parts: for a scope, the copies inside it, with the groups that were copied as keys.

    >>> str(Group("neurons.0", Group("layers.1")))
    'layers.1.neurons.0'
    """

    __slots__ = ("name", "of", "outer", "parts", "scope")

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        return object.__reduce_ex__(self, max(2, operator.index(protocol)))  # older protocols do not store slots

    def __init__(self, name: str, outer: Group | None = None, scope: bool = False, of: Group | None = None) -> None:
        self.name = name
        self.outer = outer
        self.scope = scope
        self.of = of or self
        self.parts: dict[Group, Group] = {}

    def __str__(self) -> str:
        return f"{self.outer}.{self.name}" if self.outer else self.name

    def join(self, outer: Group | None, name: str) -> None:
        """Become a part of the group `outer`, under the name `name`.

        >>> neuron = Group("neuron")
        >>> neuron.join(Group("layer"), "neurons.0"); str(neuron)
        'layer.neurons.0'
        """
        self.outer, self.name = outer, name

    def inside(self, scope: Group) -> Group:
        """Return the copy of this group that is inside `scope`. The first call makes the copy.

        >>> step = Group("step", scope=True)
        >>> str(Group("neurons.0", Group("layers.1")).inside(step))
        'step.layers.1.neurons.0'
        """
        if self not in scope.parts:
            outer = self.outer.inside(scope) if self.outer else scope
            scope.parts[self] = Group(self.name, outer, of=self)
        return scope.parts[self]
