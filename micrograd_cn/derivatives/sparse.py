"""Sparse Jacobians, Hessians and gradients of graphs: the entries that can be nonzero, as graphs or numbers.

A Jacobian comes from a linearised graph. In this graph, every edge leads from an operand to its user (the node that was
computed from it), and carries the local derivative. When all interior nodes are eliminated (see `elimination`), the
edges from variables to outputs that are left are the Jacobian's entries.

A Hessian is a sum over the nodes v and pairs (j, k) of their operands: adjoint(v) * d2v/djdk * grad(j) grad(k)'. Here
adjoint(v) is the derivative of the output with respect to v, and grad(j) the gradient of j. Each term begins as a
nonlinear edge between j and k, with the derivative adjoint(v) * d2v/djdk. When a node is eliminated, each nonlinear
edge that ends at the node is replaced by nonlinear edges that end at the node's operands (edge pushing, Gower & Mello
2012, but in any order). At the end, all nonlinear edges join variables.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from ..engine import Value, topological_order
from ..graph import context
from .arithmetic import ONE, Derivative, DerivativeArithmetic, SumFactor
from .elimination import Edges, add_nonlinear_edge, eliminate
from .finite_field import field_element, folded_operands
from .selected import Gates

__all__ = ["LinearisedGraph", "Sparse", "sparse_gradient", "sparse_hessian", "sparse_jacobian"]


# What to write instead of attributes of scipy's sparse matrices
INSTEAD = {
    **dict.fromkeys(("toarray", "todense", "to_dense", "numpy", "A"), "sparse.dense() for a list of rows"),
    **dict.fromkeys(
        ("tocsr", "tocsc", "tocoo"),
        "scipy.sparse.coo_array((sparse.values, (sparse.rows, sparse.columns)), sparse.shape)",
    ),
    "data": "sparse.values",
    "nnz": "len(sparse.values)",
    **dict.fromkeys(("row", "col", "cols", "indices", "indptr"), "sparse.rows and sparse.columns"),
    "T": "Sparse(sparse.values, sparse.columns, sparse.rows, sparse.shape[::-1])",
}


class Sparse(NamedTuple):
    """The entries of a matrix that can be nonzero, row by row. All others are zero, whatever numbers the inputs are.

    Attributes:
        values: the entries, floats or `Value`s.
        rows: the index of the row of each entry, counted from 0.
        columns: the index of the column of each entry, counted from 0.
        shape: the number of rows and that of columns.

    >>> Sparse([5.0, 6.0], [0, 1], [1, 0], (2, 2)).dense()
    [[0.0, 5.0], [6.0, 0.0]]
    """

    values: list[Any]
    rows: list[int]
    columns: list[int]
    shape: tuple[int, int]

    # A type checker shall go on saying that there are no such attributes. mypy allows no `if` in a NamedTuple.
    if not TYPE_CHECKING:  # type: ignore[misc]

        def __getattr__(self, name: str) -> NoReturn:
            """Raise an error for an attribute that is not there. If scipy's matrices have it, it says what to write."""
            write = f"; write {INSTEAD[name]}" if name in INSTEAD else ""
            raise AttributeError(f"Sparse has no {name}{write}", name=name, obj=self)

    def dense(self) -> list[list[Any]]:
        """Return the matrix as a list of its rows."""
        matrix: list[list[Any]] = [[0.0] * self.shape[1] for _ in range(self.shape[0])]
        for x, i, j in zip(self.values, self.rows, self.columns, strict=True):
            matrix[i][j] = x
        return matrix


class LinearisedGraph:
    """The nodes on the way from variables to outputs, and the edges between these nodes with their local derivatives.

    The nodes are numbered: first the variables, then the other nodes, each of them after its operands.

    Args:
        outputs: the nodes to differentiate.
        variables: the nodes to differentiate with respect to.
        gates: which derivatives are 0 where an operation such as `relu` did not select an operand, even if a later
            factor is infinite.

    Attributes:
        arithmetic: multiplies and adds the derivatives.
        index: the number of each variable and of each node that depends on a variable.
        incoming: a list with the edges from the operands of each node, by the node's number. The edges are a dict from
            an operand's number to a list with one item, the local derivative.
        local: a list with an item for each node, by the node's number: a list of the operands that are variables or
            depend on one, each with the local derivative. An operand may be there twice.
    """

    def __init__(self, outputs: Sequence[Value], variables: Sequence[Value], gates: Gates = Gates.NOT_FOR_SUMS) -> None:
        order = topological_order(*outputs)
        if context.active and (hooks := context.here().hooks):
            # This class leaves out derivatives that are zero, which depends on the numbers of constants
            hooks.made_constant([x for v in order for x in v.operands if isinstance(x, Value) and not x.requires_grad])
        self.arithmetic = DerivativeArithmetic(variables, order, gates)
        self.index = {x: i for i, x in enumerate(variables)}
        self.incoming: list[Edges] = [{} for _ in variables]
        self.local: list[list[tuple[Value, Derivative]]] = [[] for _ in variables]
        self._nodes = list(variables)
        edges_of, index = self.arithmetic.edges, self.index
        for node in reversed(order):
            if node in index or not (found := edges_of(node, index)):
                continue
            edges: Edges = {index[x]: [derivative] for x, derivative in found}
            if len(edges) < len(found):
                edges = _summed(self.arithmetic, _grouped([(index[x], derivative) for x, derivative in found]))
            if gates < Gates.ALL and node.op is not None and node.op.lowerings.summands is not None:
                edges = {j: [SumFactor(d) if d[1] is not None else d for d in terms] for j, terms in edges.items()}
            if edges:
                index[node] = len(self.incoming)
                self.incoming.append(edges)
                self.local.append(found)
                self._nodes.append(node)

    def adjoints(self, output: Value, first: int = 0) -> list[Derivative | None]:
        """Return a list with d(output)/d(node) for each node, by reverse accumulation.

        Items are in the order of the nodes' numbers. An item is None if the derivative is zero whatever numbers the
        inputs are, or if the number of the node is less than `first`.
        """
        multiply, add = self.arithmetic.multiply, self.arithmetic.add
        received: list[list[Derivative]] = [[] for _ in self.incoming]
        if output in self.index:
            received[self.index[output]].append(ONE)
        found: list[Derivative | None] = [None] * len(self.incoming)
        for v in reversed(range(first, len(self.incoming))):
            if received[v] and (adjoint := add(received[v])):
                found[v] = adjoint
                for j, [edge] in self.incoming[v].items():
                    if j >= first:
                        received[j].append(multiply(adjoint, edge))
        return found

    def second_partials(self, v: int) -> dict[tuple[int, int], Derivative]:
        """Return the second derivatives of the node with the number v with respect to its operands.

        The keys are pairs (j, k) of the operands' numbers, with k <= j. Derivatives that are zero are left out.
        """
        arithmetic, index = self.arithmetic, self.index
        node = self._nodes[v]
        gradients: dict[Value, Edges] = {node: self.incoming[v]}
        for x in folded_operands(node):
            if type(x) is not float:
                gradients[x] = {index[x]: [ONE]} if x in index else {}
        found: dict[tuple[int, int], list[Derivative]] = {}
        for operand, (coefficient, partial, _) in self.local[v]:
            if partial is None:
                continue
            assert isinstance(partial, Value)
            j = index[operand]
            factor = coefficient, None, field_element(coefficient)
            gradient = gradients[partial] if partial in gradients else _gradient(arithmetic, partial, gradients)
            for k, [derivative] in gradient.items():
                if k <= j:
                    found.setdefault((j, k), []).append(arithmetic.multiply(factor, derivative))
        return {pair: total for pair, terms in found.items() if (total := arithmetic.add(terms))}


def _grouped(edges: Iterable[tuple[int, Derivative]]) -> Edges:
    """Return a dict from the number j of a node to the list of all derivatives that `edges` pairs with j.

    `edges` has pairs (j, derivative).
    """
    found: Edges = {}
    for j, derivative in edges:
        found.setdefault(j, []).append(derivative)
    return found


def _summed(arithmetic: DerivativeArithmetic, edges: Edges) -> Edges:
    """Return `edges` with the terms of each edge added up, but leave out edges whose sum is zero.

    `edges` is a dict from the number of the node at the other end of an edge to the terms of the edge's derivative.
    `arithmetic` adds them up.
    """
    return {j: [total] for j, terms in edges.items() if (total := arithmetic.add(terms))}


def _gradient(arithmetic: DerivativeArithmetic, partial: Value, gradients: dict[Value, Edges]) -> Edges:
    """Return the gradient of the node `partial` with respect to the nodes that have numbers in a `LinearisedGraph`.

    The gradient is a dict from the number of a node to the terms of the derivative with respect to it. `gradients`
    already has the gradients of some nodes, at which the chain rule ends. The gradient of `partial`, and those of the
    nodes in between, are added to it. `arithmetic` multiplies and adds the derivatives.
    """
    stack = [partial]
    while stack:
        node = stack[-1]
        if node not in gradients:
            waiting = [x for x in folded_operands(node) if type(x) is not float and x not in gradients]
            if waiting:
                stack += waiting
                continue
            varying = {x for x in folded_operands(node) if gradients.get(x)}
            edges = arithmetic.edges(node, varying) if node.op else ()
            products = [(k, arithmetic.multiply(d, g)) for x, d in edges for k, [g] in gradients[x].items()]
            gradients[node] = _summed(arithmetic, _grouped(products))
        stack.pop()
    return gradients[partial]


def sparse_jacobian(outputs: Sequence[Value], variables: Sequence[Value], gates: Gates = Gates.NOT_FOR_SUMS) -> Sparse:
    """Return the matrix of the derivatives of `outputs` (its rows) with respect to `variables` (its columns).

    An entry is a `Value`, or a float if it is constant. Entries that are zero whatever numbers the variables have are
    left out. `gates` says which derivatives are 0 where an operation such as `relu` did not select an operand, even if
    the derivative of the output with respect to the operation's result is infinite.

    >>> x, y = Value(2), Value(3)
    >>> found = sparse_jacobian([x * y, 5 * y], [x, y])
    >>> found.rows, found.columns, [getattr(v, "data", v) for v in found.values]
    ([0, 0, 1], [0, 1, 1], [3.0, 2.0, 5.0])
    """
    graph = LinearisedGraph(outputs, variables, gates)
    nodes = len(graph.incoming)
    copies: list[Edges] = [{graph.index[y]: [ONE]} if y in graph.index else {} for y in outputs]
    incoming = [*graph.incoming, *copies]  # an output may be an interior node, or a variable, or there twice
    eliminate(graph.arithmetic, incoming, [{} for _ in incoming], range(len(variables), nodes))
    found = {(i, j): terms for i, edges in enumerate(incoming[nodes:]) for j, terms in edges.items()}
    return _as_sparse(graph.arithmetic, found, (len(outputs), len(variables)))


def sparse_hessian(
    output: Value, variables: Sequence[Value], lower: bool = False, gates: Gates = Gates.NOT_FOR_SUMS
) -> Sparse:
    """Return the matrix of the second derivatives of `output` with respect to `variables`.

    An entry is a `Value`, or a float if it is constant. Entries that are zero whatever numbers the variables have are
    left out.

    Args:
        output: the node to differentiate.
        variables: the nodes to differentiate with respect to.
        lower: whether to return only the lower triangle, which includes the diagonal.
        gates: which derivatives are 0 where an operation such as `relu` did not select an operand, even if a later
            factor is infinite.

    >>> x, y = Value(2), Value(3)
    >>> found = sparse_hessian(x * x * y, [x, y])
    >>> found.rows, found.columns, [getattr(v, "data", v) for v in found.values]
    ([0, 0, 1], [0, 1, 0], [6.0, 4.0, 4.0])
    """
    graph = LinearisedGraph([output], variables, gates)
    n = len(variables)
    adjoints = graph.adjoints(output, first=n)
    nonlinear: list[Edges] = [{} for _ in graph.incoming]
    for v, adjoint in enumerate(adjoints):
        if adjoint and any(partial is not None for _, (_, partial, _) in graph.local[v]):
            for (j, k), second in graph.second_partials(v).items():
                add_nonlinear_edge(nonlinear, j, k, graph.arithmetic.multiply(adjoint, second))
    eliminate(graph.arithmetic, graph.incoming, nonlinear, range(n, len(nonlinear)))
    found = {(j, k): terms for j in range(n) for k, terms in nonlinear[j].items() if k <= j}
    entries = _as_sparse(graph.arithmetic, found, (n, n))
    return entries if lower else _symmetric(entries)


def sparse_gradient(
    output: Value, variables: Sequence[Value], gates: Gates = Gates.NOT_FOR_SUMS
) -> list[Value | float]:
    """Return a list of the derivatives of `output` with respect to each of `variables`.

    A derivative is a `Value`, or a float if it is constant. `gates` says which ones are 0 where an operation such as
    `relu` did not select an operand, even if a later factor is infinite.

    >>> x, y, z = Value(2), Value(3), Value(4)
    >>> [getattr(v, "data", v) for v in sparse_gradient(x * y + 5 * x, [x, y, z])]
    [8.0, 2.0, 0.0]
    """
    graph = LinearisedGraph([output], variables, gates)
    found = graph.adjoints(output)[: len(variables)]
    values = [graph.arithmetic.sum_as_value([x]) if x else None for x in found]
    return [0.0 if value is None else value for value in values]


def _as_sparse(
    arithmetic: DerivativeArithmetic, found: dict[tuple[int, int], list[Derivative]], shape: tuple[int, int]
) -> Sparse:
    """Return the matrix whose entries are the sums of the terms in `found`. Entries whose sum is zero are left out.

    Args:
        arithmetic: adds the terms.
        found: a dict from pairs (row, column) to lists of terms.
        shape: the number of rows and that of columns.
    """
    places, values = [], []
    for place in sorted(found):
        value = arithmetic.sum_as_value(found[place])
        if value is not None:
            places.append(place)
            values.append(value)
    return Sparse(values, [i for i, _ in places], [j for _, j in places], shape)


def _symmetric(lower: Sparse) -> Sparse:
    """Return the symmetric matrix whose lower triangle, with the diagonal, is `lower`."""
    entries = list(zip(lower.rows, lower.columns, lower.values, strict=True))
    entries += [(j, i, x) for i, j, x in entries if i != j]
    entries.sort(key=lambda entry: entry[:2])
    return Sparse([x for _, _, x in entries], [i for i, _, _ in entries], [j for _, j, _ in entries], lower.shape)
