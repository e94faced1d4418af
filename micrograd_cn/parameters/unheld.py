"""Find computed values to whose leaves nothing but a graph refers, so nothing will ever train these leaves."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

from ..engine import Value, traverse
from ..graph.references import operands_once, unheld
from .members import ONLY_VALUES, known_members, members_of
from .model import Model
from .records import records, structures


def with_unheld_leaves(
    computed: list[tuple[str, Value]], in_any_graph: bool = False, lost: Collection[int] = ()
) -> list[tuple[str, Value]]:
    """Return those items of `computed` to whose leaves nothing but the graph of the computed values refers.

    Args:
        computed: pairs of a path and a computed value.
        in_any_graph: whether references from any other graph, such as that of an old loss, do not count either. To find
            these graphs, the function looks at all objects of the program.
        lost: the ids of leaves that count as if only the graph referred to them.

    >>> x = Value(2)
    >>> [path for path, _ in with_unheld_leaves([("kept", x * 3), ("lost", Value(2) * 3)])]
    ['lost']
    """
    if not computed or not hasattr(sys, "getrefcount"):
        return []
    for record in records.values():
        record.items, record.arrays, record.lists = {}, {}, []
    structures.clear()  # these refer to leaves, too
    order, leaves = traverse(*[x for _, x in computed])
    held = [leaf for leaf in leaves if leaf.requires_grad]
    del leaves
    counts = Counter(map(id, operands_once(users_of(held) if in_any_graph else order)))
    known = {x: counts[id(x)] for x in held}
    del held
    reachable = {*map(id, known)}.difference(map(id, unheld(known)), lost)
    if len(reachable) == len(known):
        return []
    return [(path, x) for path, x in computed if reachable.isdisjoint(map(id, traverse(x)[1]))]


def refuse_computed(model: Model, computed: list[tuple[str, Value]]) -> None:
    """Raise TypeError for a value in `computed` if nothing but the graph of these values refers to any of its leaves.

    Such a value was probably meant to be a parameter of `model`. `computed` has pairs of a path in `model` and a value.
    """
    for path, x in with_unheld_leaves(computed):
        assert x.op
        raise TypeError(
            f"{type(model).__name__}.{path} is computed ({x.op.name}), so it is no parameter and would never be "
            "trained; for a parameter, compute the number first, as in Value(0.1 * x); for a constant, write "
            ".detach() after it"
        )


def users_of(leaves: list[Value]) -> list[Value]:
    """Return all nodes that have one of `leaves` as an operand.

    `gc.get_referrers` would compare each reference of the process with each leaf, which takes seconds for thousands.
    """
    wanted = {*leaves}
    nodes = [x for x in gc.get_objects() if issubclass(type(x), Value)]
    return [x for x in nodes if not wanted.isdisjoint(getattr(x, "operands", ()))]  # another thread may make a node


def may_hold_computed(
    model: Model, in_modules: bool = False, modules: list[Model] | None = None, constants: bool = False
) -> bool:
    """Return whether `model` contains a computed value. This is faster than a search with `walk`.

    Args:
        model: the model to search.
        in_modules: whether to search modules inside it, too.
        modules: a list to which the modules that were searched are added.
        constants: whether constants that an operation or `detach` gave count as well.
    """
    entered: set[int] = set()
    waiting: list[Iterable[Any]] = [[model]]
    while waiting:
        items = waiting.pop()
        if ONLY_VALUES.issuperset(map(type, items)):
            if [x for x in items if x.op is not None]:
                return True
            if constants and [x for x in items if x._da is not None or x._db is not None]:
                return True
            continue
        for x in items:
            cls = type(x)
            if cls is Value:
                if x.op is not None or (constants and (x._da is not None or x._db is not None)):
                    return True
            elif cls is list or cls is tuple:
                if id(x) not in entered:
                    entered.add(id(x))
                    waiting.append(x)
            elif (members := known_members[cls] if cls in known_members else members_of(cls)) and id(x) not in entered:
                entered.add(id(x))
                if isinstance(x, Value):
                    if x.op is not None or (constants and (x._da is not None or x._db is not None)):
                        return True
                    continue
                if modules is not None and isinstance(x, Model):
                    modules.append(x)
                if in_modules or x is model or not isinstance(x, Model):
                    waiting.append([item for _, item in members(x)])
    return False
