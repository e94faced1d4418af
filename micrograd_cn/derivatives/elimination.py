"""The elimination of a linearised graph's interior nodes, in the order that takes the fewest products of those tried.

When a node is eliminated, the derivative on the edge from each user, times that on the edge to each operand, is added
to the edge between the two. Operands first is forward accumulation, users first is reverse accumulation, and the node
with the fewest products first (Markowitz' rule) is a mixture, often better than both (Griewank & Walther, Evaluating
Derivatives, 2008, chapters 9 and 10). To find the best order is NP-hard (Naumann 2008).
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from typing import Protocol, TypeAlias

from .elements import ONE, Derivative

__all__ = ["Arithmetic", "Edges", "add_pair", "eliminate"]

Edges: TypeAlias = dict[int, list[Derivative]]
TWO: Derivative = (2.0, None, 2)


class Arithmetic(Protocol):
    """What `elements.Derivatives` does with derivatives.

    Attributes:
        products: how many of what is no constant there have been.

    >>> from micrograd_cn.derivatives.elements import Derivatives
    >>> arithmetic: Arithmetic = Derivatives([])
    """

    products: int

    def times(self, a: Derivative, b: Derivative, /) -> Derivative:
        """Return the product."""

    def total(self, terms: Sequence[Derivative], /) -> Derivative | None:
        """Return the sum, None if it is zero."""


class _Counting:
    """Arithmetic that computes nothing, but counts the products of what is no constant."""

    def __init__(self) -> None:
        self.products = 0

    def times(self, a: Derivative, b: Derivative) -> Derivative:
        if a[1] is None:
            return b
        if b[1] is not None:
            self.products += 1
        return a

    def total(self, terms: Sequence[Derivative]) -> Derivative:
        for x in terms:
            if x[1] is not None:
                return x
        return ONE


def add_pair(pairs: list[Edges], j: int, k: int, derivative: Derivative) -> None:
    """Add to the second derivative with respect to two nodes, which both have.

    >>> pairs = [{}, {}]
    >>> add_pair(pairs, 1, 0, ONE)
    >>> pairs
    [{1: [(1.0, None, 1)]}, {0: [(1.0, None, 1)]}]
    """
    terms = pairs[j].get(k)
    if terms is None:
        terms = pairs[j][k] = pairs[k][j] = []
    terms.append(derivative)


def eliminate(arithmetic: Arithmetic, into: list[Edges], pairs: list[Edges], interior: range) -> None:
    """Eliminate the interior nodes.

    Args:
        arithmetic: of the derivatives.
        into: for each node the edges to its operands, which have lower numbers; derivatives on one edge are added up.
            First there are variables, then interior nodes, then outputs. When it is done, outputs have edges to
            variables alone.
        pairs: for each node the second derivatives of what is differentiated with respect to it and another node, or
            itself twice. When it is done, variables have pairs with variables alone.
        interior: the numbers of the interior nodes.

    >>> from micrograd_cn.derivatives.elements import Derivatives
    >>> into = [{}, {0: [(2.0, None, 2)]}, {1: [(3.0, None, 3)]}]
    >>> eliminate(Derivatives([]), into, [{}, {}, {}], range(1, 2))
    >>> into[2]
    {0: [(6.0, None, 6)]}
    """
    work = _Elimination(arithmetic, into, pairs, interior)
    kept = _copied(work.useful()), _shared(pairs)
    before = arithmetic.products
    work.cheapest_first()
    least, better = arithmetic.products - before, None
    if least > sum(map(len, kept[0])):  # one product an edge is little enough
        for order in (interior, interior[::-1]):
            counting = _Counting()
            trial = _Elimination(counting, _copied(kept[0]), _shared(kept[1]), interior)
            for v in order:
                trial.eliminate(v)
                if counting.products >= least:
                    break
            else:
                least, better = counting.products, order
    if better:
        into[:], pairs[:] = kept
        work = _Elimination(arithmetic, into, pairs, interior)
        for v in better:
            work.eliminate(v)


def _copied(edges: list[Edges]) -> list[Edges]:
    return [{j: [*terms] for j, terms in x.items()} if x else {} for x in edges]


def _shared(pairs: list[Edges]) -> list[Edges]:
    """Return a copy in which both nodes of a pair have the same list again."""
    found: list[Edges] = [{} for _ in pairs]
    for j, others in enumerate(pairs):
        if others:
            found[j].update({k: found[k].get(j) or [*terms] for k, terms in others.items()})
    return found


class _Elimination:
    """A graph of which nodes are being eliminated.

    Attributes:
        users: for each node those that have an edge to it, and are of use.
    """

    def __init__(self, arithmetic: Arithmetic, into: list[Edges], pairs: list[Edges], interior: range) -> None:
        self.arithmetic, self.into, self.pairs, self.interior = arithmetic, into, pairs, interior
        self.users: list[set[int]] = [set() for _ in into]
        for v in reversed(range(interior.start, len(into))):
            if self.users[v] or pairs[v] or v >= interior.stop:
                for j in into[v]:
                    self.users[j].add(v)

    def useful(self) -> list[Edges]:
        """Return the edges of nodes that are of use."""
        first = self.interior.stop
        return [x if v >= first or self.users[v] or self.pairs[v] else {} for v, x in enumerate(self.into)]

    def cheapest_first(self) -> None:
        """Eliminate all nodes that are of use, by Markowitz' rule."""
        into, users, pairs, interior = self.into, self.users, self.pairs, self.interior
        degree = [len(into[v]) * (len(users[v]) + len(pairs[v])) if v in interior else -1 for v in range(len(into))]
        heap = [(d, -v) for v, d in enumerate(degree) if d > 0]  # users first where it is the same
        heapify(heap)
        while heap:
            d, v = heappop(heap)
            if d != degree[v := -v]:
                continue
            degree[v] = -1
            touched = [*into[v], *users[v], *pairs[v]]
            self.eliminate(v)
            for u in touched:
                if degree[u] >= 0:
                    now = len(into[u]) * (len(users[u]) + len(pairs[u]))
                    if now != degree[u]:
                        degree[u] = now
                        heappush(heap, (now, -u))

    def eliminate(self, v: int) -> None:
        """Put a node's operands in its place."""
        into, users, pairs = self.into, self.users, self.pairs
        times, total = self.arithmetic.times, self.arithmetic.total
        of_use = users[v] or pairs[v]
        edges = []
        for j, terms in into[v].items():
            users[j].discard(v)
            if of_use and (below := terms[0] if len(terms) == 1 else total(terms)):
                edges.append((j, below))
        for k in users[v]:
            if above := total(into[k].pop(v)):
                for j, below in edges:
                    users[j].add(k)
                    into[k].setdefault(j, []).append(times(above, below))
        itself = pairs[v].pop(v, None)
        for k, terms in pairs[v].items():
            del pairs[k][v]
            if above := terms[0] if len(terms) == 1 else total(terms):
                for j, below in edges:
                    both = times(above, below)
                    add_pair(pairs, j, k, times(TWO, both) if j == k else both)
        if itself and (above := total(itself)):
            for n, (j, below) in enumerate(edges):
                both = times(above, below)
                for k, other in edges[: n + 1]:
                    add_pair(pairs, j, k, times(both, other))
        into[v], pairs[v] = {}, {}
