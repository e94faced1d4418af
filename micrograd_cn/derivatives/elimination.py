"""Eliminate the interior nodes of a linearised graph. Up to three orders are tried, and the cheapest is used.

In a linearised graph, each edge leads from an operand to its user (the node that was computed from it), and carries the
local derivative d(user)/d(operand). To eliminate a node v is to connect its users with its operands: the product
d(user)/dv * dv/d(operand) is added to d(user)/d(operand). To eliminate operands before their users is forward
accumulation, and users before their operands is reverse accumulation. Markowitz' rule always eliminates the node that
takes the fewest products, and often takes fewer products in all than forward or reverse accumulation (Griewank &
Walther, Evaluating Derivatives, 2008, chapters 9 and 10). To find the best of all orders is NP-hard (Naumann 2008).
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from typing import Protocol, TypeAlias

from .arithmetic import ONE, Derivative

__all__ = ["Arithmetic", "Edges", "add_nonlinear_edge", "eliminate"]

Edges: TypeAlias = dict[int, list[Derivative]]  # from the node at an edge's other end to the derivative's terms
TWO: Derivative = (2.0, None, 2)


class Arithmetic(Protocol):
    """The type of objects that multiply and add derivatives, as `DerivativeArithmetic` does.

    Attributes:
        multiplications: how many products of two nodes have been made. This is the cost of an order of elimination.
    """

    multiplications: int

    def multiply(self, a: Derivative, b: Derivative, /) -> Derivative:
        """Return the product of the derivatives a and b."""

    def add(self, terms: Sequence[Derivative], /) -> Derivative | None:
        """Return the sum of the derivatives `terms`, or None if it is zero."""


class _CountingArithmetic:
    """Arithmetic that only counts the products of two nodes, to find out what an order of elimination costs."""

    def __init__(self) -> None:
        self.multiplications = 0

    def multiply(self, a: Derivative, b: Derivative) -> Derivative:
        if a[1] is None:
            return b
        if b[1] is not None:
            self.multiplications += 1
        return a

    def add(self, terms: Sequence[Derivative]) -> Derivative:
        for x in terms:
            if x[1] is not None:
                return x
        return ONE


def add_nonlinear_edge(nonlinear: list[Edges], j: int, k: int, derivative: Derivative) -> None:
    """Add the term `derivative` to the second derivative of the output with respect to the nodes j and k.

    That second derivative is the sum of the terms in `nonlinear[j][k]`, which is the same list as `nonlinear[k][j]`.

    >>> nonlinear = [{}, {}]
    >>> add_nonlinear_edge(nonlinear, 1, 0, ONE)
    >>> nonlinear
    [{1: [(1.0, None, 1)]}, {0: [(1.0, None, 1)]}]
    """
    terms = nonlinear[j].get(k)
    if terms is None:
        terms = nonlinear[j][k] = nonlinear[k][j] = []
    terms.append(derivative)


def eliminate(arithmetic: Arithmetic, incoming: list[Edges], nonlinear: list[Edges], interior: range) -> None:
    """Eliminate the interior nodes of a linearised graph: change the edges `incoming` and `nonlinear` in place.

    Nodes are numbered: first the variables, then the interior nodes, then the outputs. Operands have lower numbers than
    their users. A derivative is a list of terms, which are added up. Each term is a `Derivative`: a coefficient, a node
    by which it is multiplied (None for 1), and the same product computed modulo a large prime, with a random number for
    each variable. If these residues add up to 0, so do the terms, whatever numbers the variables have.

    Args:
        arithmetic: multiplies and adds the derivatives.
        incoming: for each node, the edges from its operands: a dict from an operand's number to the terms of the
            derivative. At the end only the outputs have edges, and these come from variables.
        nonlinear: for each node v, the second derivatives with respect to v and a node w, which may be v: a dict from
            the number of w to the terms. For a Hessian, they are second derivatives of its one output. For a Jacobian,
            the dicts are empty. At the end only the variables have entries.
        interior: the numbers of the interior nodes.

    >>> from micrograd_cn.derivatives.arithmetic import DerivativeArithmetic
    >>> incoming = [{}, {0: [(2.0, None, 2)]}, {1: [(3.0, None, 3)]}]
    >>> eliminate(DerivativeArithmetic([]), incoming, [{}, {}, {}], range(1, 2))
    >>> incoming[2]
    {0: [(6.0, None, 6)]}
    """
    work = _Elimination(arithmetic, incoming, nonlinear, interior)
    saved = _copied(work.used()), _copied_nonlinear(nonlinear)
    before = arithmetic.multiplications
    work.cheapest_first()
    least, better = arithmetic.multiplications - before, None
    if least > sum(map(len, saved[0])):  # otherwise there is at most one multiplication per edge, which is few enough
        for order in (interior, interior[::-1]):
            counting = _CountingArithmetic()
            trial = _Elimination(counting, _copied(saved[0]), _copied_nonlinear(saved[1]), interior)
            for v in order:
                trial.eliminate(v)
                if counting.multiplications >= least:
                    break
            else:
                least, better = counting.multiplications, order
    if better:
        incoming[:], nonlinear[:] = saved
        work = _Elimination(arithmetic, incoming, nonlinear, interior)
        for v in better:
            work.eliminate(v)


def _copied(edges: list[Edges]) -> list[Edges]:
    return [{j: [*terms] for j, terms in x.items()} if x else {} for x in edges]


def _copied_nonlinear(nonlinear: list[Edges]) -> list[Edges]:
    """Return a copy of `nonlinear`, in which the entries [j][k] and [k][j] are also one and the same list of terms."""
    found: list[Edges] = [{} for _ in nonlinear]
    for j, others in enumerate(nonlinear):
        if others:
            found[j].update({k: found[k].get(j) or [*terms] for k, terms in others.items()})
    return found


class _Elimination:
    """A graph whose nodes are being eliminated.

    Attributes:
        users: for each node, the numbers of those nodes that have it as an operand, and that an output or a second
            derivative depends on. Other nodes need not be eliminated.
    """

    def __init__(self, arithmetic: Arithmetic, incoming: list[Edges], nonlinear: list[Edges], interior: range) -> None:
        self.arithmetic, self.incoming, self.nonlinear, self.interior = arithmetic, incoming, nonlinear, interior
        self.users: list[set[int]] = [set() for _ in incoming]
        for v in reversed(range(interior.start, len(incoming))):
            if self.users[v] or nonlinear[v] or v >= interior.stop:
                for j in incoming[v]:
                    self.users[j].add(v)

    def used(self) -> list[Edges]:
        """Return a copy of the list `incoming`. A node on which no result depends has no edges in the copy."""
        first = self.interior.stop
        return [x if v >= first or self.users[v] or self.nonlinear[v] else {} for v, x in enumerate(self.incoming)]

    def cheapest_first(self) -> None:
        """Eliminate all interior nodes that a result depends on; always choose one that takes the fewest products."""
        incoming, users, nonlinear, interior = self.incoming, self.users, self.nonlinear, self.interior
        cost = [-1] * len(incoming)
        for v in interior:
            cost[v] = len(incoming[v]) * (len(users[v]) + len(nonlinear[v]))
        heap = [(d, -v) for v, d in enumerate(cost) if d > 0]  # at equal cost, nodes near outputs first
        heapify(heap)
        while heap:
            d, v = heappop(heap)
            if d != cost[v := -v]:
                continue
            cost[v] = -1
            touched = [*incoming[v], *users[v], *nonlinear[v]]
            self.eliminate(v)
            for u in touched:
                if cost[u] >= 0:
                    now = len(incoming[u]) * (len(users[u]) + len(nonlinear[u]))
                    if now != cost[u]:
                        cost[u] = now
                        heappush(heap, (now, -u))

    def eliminate(self, v: int) -> None:
        """Eliminate the node with the number v: connect its users with its operands, and remove its edges."""
        incoming, users, nonlinear = self.incoming, self.users, self.nonlinear
        multiply, add = self.arithmetic.multiply, self.arithmetic.add
        is_used = users[v] or nonlinear[v]
        edges = []
        for j, terms in incoming[v].items():
            users[j].discard(v)
            if is_used and (below := terms[0] if len(terms) == 1 else add(terms)):
                edges.append((j, below))
        for k in users[v]:
            if above := add(incoming[k].pop(v)):
                for j, below in edges:
                    users[j].add(k)
                    incoming[k].setdefault(j, []).append(multiply(above, below))
        itself = nonlinear[v].pop(v, None)
        for k, terms in nonlinear[v].items():
            del nonlinear[k][v]
            if above := terms[0] if len(terms) == 1 else add(terms):
                for j, below in edges:
                    both = multiply(above, below)
                    add_nonlinear_edge(nonlinear, j, k, multiply(TWO, both) if j == k else both)
        if itself and (above := add(itself)):
            for n, (j, below) in enumerate(edges):
                both = multiply(above, below)
                for k, other in edges[: n + 1]:
                    add_nonlinear_edge(nonlinear, j, k, multiply(both, other))
        incoming[v], nonlinear[v] = {}, {}
