"""Count references to leaves, to find the leaves to which nothing but known objects refers, so nobody can train them.

CPython counts the references to each object. Those from the operands of nodes and from collections are known. Other
references come from the code that asks, and how many these are depends on the version of Python and on each variable.
So a new leaf, which is counted together with the others, shows how many references a leaf has that nobody else holds.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from operator import sub
from typing import Any

from .node import Node


def operands_once(nodes: Iterable[Any]) -> list[Any]:
    """Return the operands of nodes. An operand is in the list as often as the nodes refer to it.

    A tuple of operands that several nodes share is read once. If a node has only one operand, None is in the list in
    place of the second one. Each node must be in `nodes` only once.

    >>> from micrograd_cn import Value, exp, sum
    >>> x = Value(1.0)
    >>> both = x, x
    >>> len(operands_once([sum(both), sum(both)])), operands_once([exp(x)]) == [x, None]
    (2, True)
    """
    found: list[Any] = []
    tuples: set[int] = set()
    for node in nodes:
        operands = node._a
        if type(operands) is not tuple:
            found += operands, node._b
        elif id(operands) not in tuples:
            tuples.add(id(operands))
            found += operands
    return found


def unheld(known: dict[Any, int]) -> list[Any]:
    """Return those keys of `known` to which nothing refers but this dict and the references that it counts.

    The keys of `known` are `Value`s. Each item is the number of known references to its key. The caller's variables
    must not refer to the keys in another way, since such a reference counts, too.

    >>> from micrograd_cn import Value
    >>> held = Value(1.0)
    >>> [x.data for x in unheld({held: 0, Value(2.0): 0})]
    [2.0]
    """
    counts, fewest = _other_references(known)
    return [x for x, count in zip(known, counts, strict=True) if count <= fewest]


def held_elsewhere(known: dict[Any, int]) -> list[Any]:
    """Return those keys of `known` to which something refers besides this dict and the references that it counts.

    The keys of `known` are `Value`s. Each item is the number of known references to its key, as for `unheld`.
    """
    counts, fewest = _other_references(known)
    return [x for x, count in zip(known, counts, strict=True) if count > fewest]


def _other_references(known: dict[Any, int]) -> tuple[list[int], int]:
    """Return how many unknown references there are to each key of `known`, and how many there are to an unused leaf.

    The items of `known` are the numbers of known references, which are subtracted. The second result is for a new leaf
    that nothing else uses. It is not 0, since the dict and the call that counts references refer to this leaf, too. So
    a key has an unknown reference if its number in the list is larger than the second result.
    """
    known[Node(0.0)] = 0  # nothing else refers to this leaf
    *counts, fewest = map(sub, map(sys.getrefcount, known), known.values())
    known.popitem()
    return counts, fewest
