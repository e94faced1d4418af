"""Sparse Jacobians and Hessians of graphs: which entries there are, and each of them as a graph or a number.

A graph is linearised: an edge from a node to each operand, with the local derivative. Eliminating the interior nodes
leaves edges from the outputs to the variables alone, which are the Jacobian.

A Hessian is the sum, over the pairs of operands (j, k) of each node v, of adjoint(v) * d2v/djdk * grad(j) grad(k)'. The
elimination of a node puts its operands in its place in all pairs (edge pushing, Gower & Mello 2012, but in any order).

What is zero is found by computing with numbers modulo the prime 2**61 - 1 (Schwartz 1980, Zippel 1979): see `elements`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ..engine import Value, topological_order
from .elements import ONE, Derivative, Derivatives, operands
from .elimination import Edges, add_pair, eliminate

__all__ = ["Sparse", "sparse_gradient", "sparse_hessian", "sparse_jacobian"]


class Sparse(NamedTuple):
    """The entries of a matrix that are not always zero, by rows; all others are.

    Attributes:
        values: floats, or `Value`s.
        rows: of each entry.
        columns: of each entry.
        shape: numbers of rows and columns.

    >>> Sparse([5.0, 6.0], [0, 1], [1, 0], (2, 2)).dense()
    [[0.0, 5.0], [6.0, 0.0]]
    """

    values: list[Any]
    rows: list[int]
    columns: list[int]
    shape: tuple[int, int]

    def dense(self) -> list[list[Any]]:
        """Return the matrix as a list of its rows."""
        matrix: list[list[Any]] = [[0.0] * self.shape[1] for _ in range(self.shape[0])]
        for x, i, j in zip(self.values, self.rows, self.columns, strict=True):
            matrix[i][j] = x
        return matrix


class _Linearised:
    """The graph from variables to outputs by numbers: the variables, the nodes that depend on them, operands first.

    Attributes:
        into: for each of them the edges to its operands.
        partials: of each those that are no constants, one a slot, with the operand.
    """

    def __init__(self, outputs: Sequence[Value], variables: Sequence[Value]) -> None:
        order = topological_order(*outputs)
        self.derivatives = Derivatives(variables, order)
        self.number = {x: i for i, x in enumerate(variables)}
        self.into: list[Edges] = [{} for _ in variables]
        self.partials: list[list[tuple[int, Derivative]]] = [[] for _ in variables]
        self.nodes = list(variables)
        edges_of, number = self.derivatives.edges, self.number
        for node in reversed(order):
            if node in number or not (found := edges_of(node, number)):
                continue
            edges: Edges = {number[x]: [derivative] for x, derivative in found}
            if len(edges) < len(found):
                edges = _summed(self.derivatives, _grouped([(number[x], derivative) for x, derivative in found]))
            if edges:
                number[node] = len(self.into)
                self.into.append(edges)
                self.partials.append([(number[x], derivative) for x, derivative in found if derivative[1] is not None])
                self.nodes.append(node)

    def adjoints(self, output: Value, first: int = 0) -> list[Derivative | None]:
        """Return the derivative of `output` with respect to each node from the first one on: reverse accumulation."""
        times, total = self.derivatives.times, self.derivatives.total
        received: list[list[Derivative]] = [[] for _ in self.into]
        if output in self.number:
            received[self.number[output]].append(ONE)
        found: list[Derivative | None] = [None] * len(self.into)
        for v in reversed(range(first, len(self.into))):
            if received[v] and (adjoint := total(received[v])):
                found[v] = adjoint
                for j, [edge] in self.into[v].items():
                    if j >= first:
                        received[j].append(times(adjoint, edge))
        return found

    def curvatures(self, v: int) -> dict[tuple[int, int], Derivative]:
        """Return the second derivatives of a node with respect to its operands (j, k), k <= j."""
        derivatives, number = self.derivatives, self.number
        node = self.nodes[v]
        slopes: dict[Value, Edges] = {node: self.into[v]}
        for x in operands(node):
            if type(x) is not float:
                slopes[x] = {number[x]: [ONE]} if x in number else {}
        found: dict[tuple[int, int], list[Derivative]] = {}
        for j, (coefficient, partial, _) in self.partials[v]:
            assert partial is not None
            factor = coefficient, None, derivatives.elements.of(coefficient)
            known = slopes[partial] if partial in slopes else _slopes(derivatives, partial, slopes)
            for k, [slope] in known.items():
                if k <= j:
                    found.setdefault((j, k), []).append(derivatives.times(factor, slope))
        return {pair: total for pair, terms in found.items() if (total := derivatives.total(terms))}


def _grouped(edges: Iterable[tuple[int, Derivative]]) -> Edges:
    """Return the derivatives of each edge."""
    found: Edges = {}
    for j, derivative in edges:
        found.setdefault(j, []).append(derivative)
    return found


def _summed(derivatives: Derivatives, edges: Edges) -> Edges:
    """Return each edge with one derivative; those that are zero are left out."""
    return {j: [total] for j, terms in edges.items() if (total := derivatives.total(terms))}


def _slopes(derivatives: Derivatives, partial: Value, slopes: dict[Value, Edges]) -> Edges:
    """Return the derivatives of a partial with respect to what `slopes` begins with, and keep those on the way."""
    stack = [partial]
    while stack:
        node = stack[-1]
        if node not in slopes:
            waiting = [x for x in operands(node) if type(x) is not float and x not in slopes]
            if waiting:
                stack += waiting
                continue
            moving = {x for x in operands(node) if slopes.get(x)}
            found = derivatives.edges(node, moving) if node.op else ()
            products = [(k, derivatives.times(d, slope)) for x, d in found for k, [slope] in slopes[x].items()]
            slopes[node] = _summed(derivatives, _grouped(products))
        stack.pop()
    return slopes[partial]


def sparse_jacobian(outputs: Sequence[Value], variables: Sequence[Value]) -> Sparse:
    """Return the derivative of each output (row) with respect to each variable (column): `Value`s, constants as floats.

    >>> x, y = Value(2), Value(3)
    >>> found = sparse_jacobian([x * y, 5 * y], [x, y])
    >>> found.rows, found.columns, [getattr(v, "data", v) for v in found.values]
    ([0, 0, 1], [0, 1, 1], [3.0, 2.0, 5.0])
    """
    graph = _Linearised(outputs, variables)
    nodes = len(graph.into)
    seeds: list[Edges] = [{graph.number[y]: [ONE]} if y in graph.number else {} for y in outputs]
    into = [*graph.into, *seeds]
    eliminate(graph.derivatives, into, [{} for _ in into], range(len(variables), nodes))
    found = {(i, j): terms for i, edges in enumerate(into[nodes:]) for j, terms in edges.items()}
    return _gathered(graph.derivatives, found, (len(outputs), len(variables)))


def sparse_hessian(output: Value, variables: Sequence[Value], lower: bool = False) -> Sparse:
    """Return the second derivatives of `output`: `Value`s, constants as floats.

    Args:
        output: what to differentiate.
        variables: with respect to which.
        lower: whether to give the lower triangle alone, diagonal included.

    >>> x, y = Value(2), Value(3)
    >>> found = sparse_hessian(x * x * y, [x, y])
    >>> found.rows, found.columns, [getattr(v, "data", v) for v in found.values]
    ([0, 0, 1], [0, 1, 0], [6.0, 4.0, 4.0])
    """
    graph = _Linearised([output], variables)
    n = len(variables)
    adjoints = graph.adjoints(output, first=n)
    pairs: list[Edges] = [{} for _ in graph.into]
    for v, adjoint in enumerate(adjoints):
        if adjoint and graph.partials[v]:
            for (j, k), curvature in graph.curvatures(v).items():
                add_pair(pairs, j, k, graph.derivatives.times(adjoint, curvature))
    eliminate(graph.derivatives, graph.into, pairs, range(n, len(pairs)))
    found = {(j, k): terms for j in range(n) for k, terms in pairs[j].items() if k <= j}
    entries = _gathered(graph.derivatives, found, (n, n))
    return entries if lower else _mirrored(entries)


def sparse_gradient(output: Value, variables: Sequence[Value]) -> list[Value | float]:
    """Return the derivative of `output` with respect to every variable: `Value`s, constants as floats, zeros too.

    >>> x, y, z = Value(2), Value(3), Value(4)
    >>> [getattr(v, "data", v) for v in sparse_gradient(x * y + 5 * x, [x, y, z])]
    [8.0, 2.0, 0.0]
    """
    graph = _Linearised([output], variables)
    found = graph.adjoints(output)[: len(variables)]
    return [graph.derivatives.result([x]) or 0.0 if x else 0.0 for x in found]


def _gathered(
    derivatives: Derivatives, found: dict[tuple[int, int], list[Derivative]], shape: tuple[int, int]
) -> Sparse:
    """Return the entries that are not zero, in order."""
    places, values = [], []
    for place in sorted(found):
        value = derivatives.result(found[place])
        if value is not None:
            places.append(place)
            values.append(value)
    return Sparse(values, [i for i, _ in places], [j for _, j in places], shape)


def _mirrored(lower: Sparse) -> Sparse:
    """Return a symmetric matrix of which the lower triangle is given."""
    entries = list(zip(lower.rows, lower.columns, lower.values, strict=True))
    entries += [(j, i, x) for i, j, x in entries if i != j]
    entries.sort(key=lambda entry: entry[:2])
    return Sparse([x for _, _, x in entries], [i for i, _, _ in entries], [j for _, j, _ in entries], lower.shape)
