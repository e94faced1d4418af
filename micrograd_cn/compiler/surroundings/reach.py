"""`Reach`: the code that a function may run, and the variables and objects that this code can read."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from types import FunctionType
from typing import Any

from ..threads.forks import cached_property
from .facts import facts_of, is_users_module
from .reachable_code import READING_ALL, SETUP, ReachableCode
from .surroundings import Surroundings


class Reach:
    """The code that a function may run, and the variables and objects that this code can read.

    Args:
        roots: the function, and other objects that it can reach.
        code: the code, if it is known already.
        names: further names by which the function may read attributes, besides those in the code.

    Attributes:
        roots: the function, and other objects that it can reach.
        code: the code that the function may run.
        names: the names in the code, and the further names.
        attributes: the names of the attributes that the code may read; None if it may read some by names that it
            computes.

    >>> from micrograd_cn.engine import Value
    >>> from micrograd_cn.module import Module
    >>> model = Module()
    >>> model.w = Value(1.0)
    >>> reach = Reach([lambda x: model.w * x])
    >>> sorted(reach.attributes), reach.code.writes, reach.surroundings.leaves == [model.w]
    (['model', 'w'], False, True)
    >>> Reach([lambda name: getattr(model, name)]).attributes is None
    True
    """

    def __init__(
        self, roots: Iterable[Any], code: ReachableCode | None = None, names: frozenset[str] = frozenset()
    ) -> None:
        self.roots = [*roots]
        self.code = code or ReachableCode(self.roots)
        self.names = self.code.names | names
        self.attributes = self.names if READING_ALL.isdisjoint(self.names) else None

    @cached_property
    def surroundings(self) -> Surroundings:
        """The variables and objects that the function can read by the names in its code."""
        return Surroundings(self.roots, self.attributes, self.names)

    @property
    def functions(self) -> list[FunctionType]:
        """The user's functions among the objects in `surroundings`, except methods that only set up an object."""
        functions = [x for x in self.surroundings.objects if type(x) is FunctionType]
        return [f for f in functions if is_users_module(f.__module__) and f.__name__ not in SETUP]

    def followed(self) -> Reach:
        """Return a `Reach` of the same function that also has what weak references refer to, and what generators hold.

        The `names` of the result include the names in the code of its `functions`.
        """
        reach = self
        while True:
            around, known = reach.surroundings, {*map(id, reach.roots)}
            further = [x for x in [ref() for ref in around.weak] if x is not None]
            for iterator in around.iterators:  # a generator refers to its function and its variables
                further += [x for x in gc.get_referents(iterator) if not isinstance(x, dict) or "__name__" not in x]
            further = [x for x in further if id(x) not in known]
            names = reach.names.union(*[facts_of(f.__code__).names for f in reach.functions])
            if not further and names == reach.names:
                return reach
            reach = Reach([*reach.roots, *further], names=names)
