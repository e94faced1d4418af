"""Gradients as numbers, or as graphs, which can be differentiated again: derivatives of any order.

`gradients` visits the nodes in the same order as `Value.backward`. With `create_graph=True` it multiplies and adds
`Value`s instead of floats, so it records a graph for every gradient that it computes.
"""

from __future__ import annotations

import math
import operator
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import reduce
from typing import Any, Generic, Literal, Never, TypeAlias, TypeVar, overload

from . import ops
from .engine import Value, constant, topological_order
from .graph import context
from .graph.anomaly import describe
from .graph.subclasses import OVERRIDING, without_operators
from .ops.operation import Op
from .ops.options import refuse_options

__all__ = [
    *("GradientReach", "GraphReach", "SymbolicEdge", "contribution_through", "contributions", "gradients"),
    *("gradients_in_order", "paths", "symbolic_edges"),
]

# An edge from a node to one of its operands: the node's operation, the partial with respect to the operand, and a
# function. The function takes the node's gradient, and returns what the operand gets of it. It is None unless the
# operation may leave the operand unselected, as `relu` and `where` may (see `Selection`). The partial is a `Value`, or
# a float if it is constant or if the function is used in its place.
SymbolicEdge: TypeAlias = tuple[Op, Any, Callable[[Any], Any] | None]

S = TypeVar("S")
N = TypeVar("N")


_UNUSED = "leave it out, because the derivative by an input that is not used is 0"
# What to write instead of an option of another library
_INSTEAD = {
    **dict.fromkeys(("wrt", "sources", "xs", "argnums"), "pass a list of Values second, as in gradients(y, [x])"),
    **dict.fromkeys(("materialize_grads", "unconnected_gradients"), _UNUSED),
    "is_grads_batched": "write functional.jacobian(f)",
    "output_gradients": "write gradients(c * y, xs) for a factor c of the output y",
}


@overload
def gradients(output: Value, inputs: Iterable[Value], create_graph: Literal[False] = False) -> list[float]: ...
@overload
def gradients(output: Value, inputs: Iterable[Value], create_graph: Literal[True]) -> list[Value]: ...
def gradients(
    output: Value,
    inputs: Iterable[Value],
    create_graph: bool = False,
    *,
    retain_graph: None = None,
    allow_unused: None = None,
    grad_outputs: None = None,
    **wrong: Never,
) -> list[float] | list[Value]:
    """Return d(output)/dx for each x of `inputs`, without changing any `grad`.

    Args:
        output: the value to differentiate.
        inputs: leaves or interior nodes. If `output` does not depend on an input x, d(output)/dx is 0, as in jax.
            (PyTorch raises an error unless allow_unused is set.) An expression that you write again, such as the
            second `2 * x` in `y = (2 * x) ** 2; gradients(y, [2 * x])`, is a new node, on which `output` does not
            depend: give the node a name, and use it in both places.
        create_graph: whether to return `Value`s that can be differentiated again, instead of floats.
        retain_graph, allow_unused, grad_outputs: PyTorch options. If you set one, an error says what to write.

    Raises:
        TypeError: `output` or one of `inputs` is not a `Value`, `create_graph` is not a bool, or an option is set.
        ValueError: one of `inputs` requires no gradient.
        RuntimeError: `create_graph` is True, and the data of a node was changed after the graph had been recorded.
        FloatingPointError: inside `detect_anomaly()`, a gradient is not finite.

    >>> x = Value(2)
    >>> [first] = gradients(x ** 3, [x], create_graph=True)
    >>> first.data, gradients(first, [x])
    (12.0, [12.0])
    """
    if wrong:
        refuse_options("gradients()", wrong, _INSTEAD, ("create_graph",))
    if not isinstance(output, Value):
        why = "not a Value, so its graph was lost"
        if isinstance(output, (list, tuple)):
            why = "there is one output; write functional.jacobian, or the gradients of sum(ys)"
        raise TypeError(f"gradients() of {type(output).__name__} {output!r}: {why}")
    if isinstance(inputs, Value):
        raise TypeError("gradients() takes a sequence of inputs; write [x] for one")
    if isinstance(inputs, (set, frozenset)) or not isinstance(inputs, Iterable):
        write = (
            "a list, because a set has no order"
            if isinstance(inputs, (set, frozenset))
            else "[x], or model.parameters()"
        )
        raise TypeError(f"gradients() takes a sequence of inputs, got {type(inputs).__name__}; write {write}")
    if retain_graph is not None:
        raise TypeError("gradients() takes no retain_graph; write gradients(y, xs), which always keeps the graph")
    if allow_unused is not None:
        raise TypeError(f"gradients() takes no allow_unused; {_UNUSED}")
    if grad_outputs is not None:
        raise TypeError("gradients() takes no grad_outputs; write gradients(c * y, xs) for a factor c of the output y")
    if type(create_graph) is not bool:
        raise TypeError(
            f"gradients(): create_graph must be True or False, got {create_graph!r}; for a factor c of the output, "
            "write gradients(c * y, xs)"
        )
    given, inputs = inputs, list(inputs)
    for i, x in enumerate(inputs):
        if not isinstance(x, Value):
            write = "; write list(d.values())" if isinstance(given, Mapping) else ""
            if hasattr(given, "ravel"):
                write = "; write W.ravel()"
            elif isinstance(x, (list, tuple)):
                write = "; write [x for row in xs for x in row]"
            raise TypeError(f"gradients() with respect to inputs[{i}]: {type(x).__name__} {x!r} is not a Value{write}")
        if not x.requires_grad:
            raise ValueError(f"gradients() with respect to inputs[{i}]: the constant {x!r} requires no gradient")

    if context.active and not create_graph and (hooks := context.here().hooks):
        hooks.read(output, "the output of gradients() without create_graph=True")
    return gradients_in_order(topological_order(output), output, inputs, create_graph)


def gradients_in_order(order: list[Value], output: Value, inputs: list[Value], create_graph: bool) -> list[Any]:
    """Return the gradient of `output` for each of `inputs`, as `gradients` does, without checking the arguments.

    `order` is the topological order of the graph of `output`, which the caller has already computed. `create_graph`
    says whether to return `Value`s instead of floats.

    >>> x = Value(3)
    >>> y = x * x
    >>> gradients_in_order(topological_order(y), y, [x], create_graph=False)
    [6.0]
    """
    relevant = set(inputs)  # the nodes on a path from an input to the output
    selects = create_graph and any(node.op.selects for node in order if node.op)
    check = context.here().detect_anomaly
    # Without checks, it is faster to take all operands. Some nodes are then visited that send nothing to the inputs
    reads_edges = create_graph or check
    for node in reversed(order):
        operands = paths(node) if selects else [x for x, _ in node.edges()] if reads_edges else node.operands
        if not relevant.isdisjoint(operands):
            relevant.add(node)
    terms: dict[Value, list[Any]] = {x: [] for x in relevant}
    terms.setdefault(output, []).append(1.0)
    reach = GraphReach([output]) if selects else None
    for node in order:
        if node in relevant and terms[node]:
            upstream = _sum_of_terms(terms, node)
            if check:
                _check_gradient(upstream, node)
            if not create_graph:
                for x, term in node._terms(upstream):
                    if x in relevant:
                        terms[x].append(term)
                continue
            if reach is None:
                is_node = type(upstream) is not float
                for x, (_, partial, _) in symbolic_edges(node, relevant):
                    quick = is_node and type(partial) is not float  # skips a call, for speed
                    terms[x].append(upstream * partial if quick else _product(upstream, partial))
                continue
            if check and not reach.finds(node):
                # No gradient reaches this node, so it sends nothing, and inf and nan in its partials are no anomaly.
                with _unchecked():
                    _send(node, upstream, terms, reach)
            else:
                _send(node, upstream, terms, reach)
    found = [_sum_of_terms(terms, x) for x in inputs]
    if check:
        for g, x in zip(found, inputs, strict=True):
            _check_gradient(g, x)
    if create_graph:
        return [g if isinstance(g, Value) else constant(g) for g in found]
    return found


def _send(node: Value, upstream: Any, terms: dict[Value, list[Any]], reach: GraphReach) -> None:
    """Append what `node`, whose gradient is `upstream`, adds to the gradient of each operand to the operand's list.

    `terms` is a dict from nodes to these lists. Operands that are not its keys get nothing. `reach` finds out which
    nodes a gradient reaches; this function adds to it the edges that lead on from `node`.
    """
    edges = symbolic_edges(node, terms.keys())
    if plain := [x for x, edge in edges if edge[2] is None]:
        reach.spread(node, plain, None)
    certain = node in reach.certain
    in_sum = node.op is not None and node.op.lowerings.summands is not None
    is_node = type(upstream) is not float
    for x, edge in edges:
        _, partial, selection = edge
        if selection and x.op:  # a leaf sends nothing on
            reach.spread(node, (x,), selection)
        is_number = type(partial) is float
        # For these edges, `contribution_through` would find the same. For speed, it is not called for each of them.
        if selection is None and (
            certain or (math.isfinite(partial) if is_number else in_sum and isinstance(partial, Value))
        ):
            terms[x].append(upstream * partial if is_node and not is_number else _product(upstream, partial))
        elif (contribution := contribution_through(edge, upstream, reach, node)) is not None:
            terms[x].append(contribution)


@contextmanager
def _unchecked() -> Iterator[None]:
    """Record operations in the `with` block without the checks of `detect_anomaly`."""
    owner = object()
    context.enter(owner, detect_anomaly=False)
    try:
        yield
    finally:
        context.leave(owner)


def contributions(root: Value) -> dict[tuple[Value, int], float]:
    """Return the contributions that `root.backward()` sends, in a dict with keys (sending node, index of the operand).

    A contribution is the local derivative times the `grad` that the sending node has now. There is no entry for an
    operand that is sent nothing: one that is a constant, one that an operation such as `relu` or `where` did not
    select, or an operand of a node that no gradient reaches.

    >>> x = Value(-1)
    >>> y = x.relu()
    >>> z = y + x
    >>> z.backward()
    >>> contributions(z) == {(z, 0): 1.0, (z, 1): 1.0}
    True
    """
    found: dict[tuple[Value, int], float] = {}
    reached = {root}
    for node in topological_order(root):
        if node in reached:
            for slot, (x, partial) in enumerate(zip(node.parents, node._partials, strict=True)):
                if partial is not None and x.requires_grad:
                    found[node, slot] = (node.grad or 0.0) * partial
                    reached.add(x)
    return found


def _sum_of_terms(terms: dict[Value, list[Any]], node: Value) -> Any:
    """Return the gradient of `node`: the sum of the list `terms[node]`, or 0.0 if that list is empty.

    If the list has several items, the sum takes their place in the list.
    """
    received = terms[node]
    if len(received) > 1:
        received[:] = [received[0] + received[1] if len(received) == 2 else ops.sum(received)]
    return received[0] if received else 0.0


def _product(upstream: Any, partial: Any) -> Any:
    """Return upstream * partial. If one factor is the float 1.0, return the other factor itself."""
    # A factor 0.0 is multiplied, since 0 * inf is nan.
    if type(upstream) is float and upstream == 1.0:
        return partial
    return upstream if type(partial) is float and partial == 1.0 else upstream * partial


class GradientReach(ABC, Generic[S, N]):
    """Find out which nodes a gradient reaches, if operations on the way may leave operands unselected.

    Operations such as `relu`, `maximum` and `where` select an operand and send nothing to the others. A node receives
    no gradient if every path to it leads through an operand that was not selected. To treat this as a gradient of 0
    would be wrong, because 0 times an infinite local derivative is nan. So this class computes a second number for each
    interior node besides the gradient: 0 if no gradient reaches the node, and more than 0 if one does. The number is 1
    if a gradient reaches the node whichever operands are selected, as at the roots. Otherwise it is the sum of the
    numbers of the nodes that use this node, without those that did not select it.

    The type S is that of the argument `selection` of `spread`, which says whether an operand was selected, and N is the
    type that stands for the second number. In `GraphReach`, these are functions, and `Value`s or floats; in the
    compiler, they are indices of operands, and instructions.

    Args:
        roots: the nodes where gradients start.
        one: what stands for the number 1.

    Attributes:
        certain: the nodes that a gradient reaches, whatever operands the operations on the way select.

    >>> x, y = Value(1), Value(2)
    >>> z = x * y
    >>> reach = GraphReach([z])
    >>> reach.spread(z, [x, y], None)
    >>> x in reach.certain, reach.of(x)
    (True, 1.0)
    """

    def __init__(self, roots: Iterable[Value], one: N) -> None:
        self.certain, self._one = set(roots), one
        # The arguments of those calls of `spread` that are not in `_sources` yet: few graphs ever need them there
        self._spreads: list[tuple[Value, Sequence[Value], S | None]] = []
        # For each node, the nodes that may pass a gradient to it, each with the `selection` of `spread`
        self._sources: defaultdict[Value, list[tuple[Value, S | None]]] = defaultdict(list)
        self._found: dict[Value, N] = {}

    def spread(self, source: Value, targets: Sequence[Value], selection: S | None) -> None:
        """Record that a gradient that reaches `source` may flow on to `targets`.

        `source` is the result of an operation, and `targets` are operands of it. `selection` is None if the operation
        selects all operands in any case. Otherwise, it says how to find out whether the operation has selected
        `targets`. Call this method for all edges that lead to a node before you call it for the edges that lead on from
        the node.
        """
        if selection is None and source in self.certain:
            self.certain.update(targets)
        else:
            self._spreads.append((source, targets, selection))

    def of(self, node: Value) -> N:
        """Return a number, of type N, that is 0 if no gradient reaches `node`, and more than 0 if one does."""
        if node in self.certain:
            return self._one
        for source, targets, selection in self._spreads:
            for target in targets:
                self._sources[target].append((source, selection))
        self._spreads.clear()
        stack = [] if node in self._found else [node]
        while stack:
            sources = self._sources[stack[-1]]
            waiting = [x for x, _ in sources if x not in self.certain and x not in self._found]
            if waiting:
                stack += waiting
                continue
            target = stack.pop()
            terms = [self._through(x, selection, target) for x, selection in sources]
            self._found[target] = self._sum(terms) if len(terms) > 1 else terms[0]
        return self._found[node]

    @abstractmethod
    def _through(self, source: Value, selection: S | None, target: Value) -> N:
        """Return how much `source` adds to the number that `of` returns for its operand `target`.

        It is the number of `source` itself if its operation has selected `target`, and otherwise 0. The class explains
        these numbers. `selection` says whether the operation has selected `target`; see `spread`.
        """

    @abstractmethod
    def _sum(self, terms: list[N]) -> N:
        """Return the sum of these numbers."""


class GraphReach(GradientReach[Callable[[Any], Any], Any]):
    """A `GradientReach` in a graph of `Value`s: the number of a node is a `Value` if it depends on data, else a float.

    The number is 0 if no gradient reaches the node.

    In forward mode (`jvp`), the same is done with tangents in place of gradients, and edges are followed from operands
    to the nodes that use them. Here, the argument `selection` of `spread` is the function of an edge that
    `symbolic_edges` returns.

    Args:
        roots: the nodes where gradients, or tangents, start.

    >>> x = Value(-1)
    >>> y = x.sqrt()
    >>> z = ops.where(0.0, y, x)
    >>> reach = GraphReach([z])
    >>> for target, (_, _, selection) in symbolic_edges(z, {x, y}):
    ...     reach.spread(z, [target], selection)
    >>> reach.of(z), reach.of(y)
    (1.0, 0.0)
    """

    def __init__(self, roots: Iterable[Value]) -> None:
        super().__init__(roots, 1.0)

    def finds(self, node: Value) -> bool:
        """Return whether a gradient reaches `node` if operations select operands by the data that the graph has now."""
        found = self.of(node)
        return (found._data if isinstance(found, Value) else found) != 0.0

    def _through(self, source: Value, selection: Callable[[Any], Any] | None, target: Value) -> Any:
        of_source = self._found.get(source, 1.0)
        if not selection:
            return of_source
        term = selection(of_source)
        if isinstance(term, Value):  # a user-defined operation may send terms of both signs, which must not cancel
            return ops.where(term, of_source, 0.0)
        return of_source if term else 0.0

    def _sum(self, terms: list[Any]) -> Any:
        terms = [x for x in terms if isinstance(x, Value) or x != 0.0]
        return reduce(operator.add, terms) if terms else 0.0


def contribution_through(edge: SymbolicEdge, g: Any, reach: GraphReach, node: Value) -> Any:
    """Return the contribution that `node` sends along `edge`, or None if it sends nothing.

    g is the gradient of `node`, or its tangent in forward mode.

    An edge, as `symbolic_edges` returns it, has a function if the operation may leave the operand unselected. Then the
    result is what this function returns for g. Otherwise it is g * partial, or `where(reach.of(node), g * partial, 0)`
    if it is not certain that a gradient reaches the node. The `where` is left out if the partial is a finite constant.
    It is also left out in sums of products (`sum`, `dot`), unless the partial is an infinite constant: their local
    derivatives are just operands, and the `where` would cost as much as the product.

    >>> x = Value(3)
    >>> y = x * x
    >>> [contribution_through(edge, 5.0, GraphReach([y]), y).data for _, edge in symbolic_edges(y, {x})]
    [15.0, 15.0]
    """
    op, partial, selection = edge
    if selection:
        chosen = selection(g)
        return None if isinstance(chosen, float) and chosen == 0.0 else chosen
    product = _product(g, partial)
    needs_where = not op.lowerings.summands if isinstance(partial, Value) else not math.isfinite(partial)
    if not needs_where or node in reach.certain:
        return product
    return ops.where(reach.of(node), product, 0.0)


def paths(node: Value) -> list[Value]:
    """Return the operands of `node` to which a gradient may flow, whether its operation selects them now or not.

    For example, `relu` does not select a negative operand, but the operand is returned.

    >>> x = Value(-1)
    >>> paths(x.relu()) == [x], x.relu().edges()
    (True, [])
    """
    assert node.op is not None
    if not node.op.selects:
        return [x for x, _ in node.edges()]
    slots = enumerate(node.operands)
    return [x for k, x in slots if isinstance(x, Value) and x.requires_grad and node.op.propagates_gradient_to(k)]


def symbolic_edges(node: Value, relevant: Collection[Value]) -> list[tuple[Value, SymbolicEdge]]:
    """Return the operands of `node` that are in `relevant` and to which a gradient may flow, each with its edge.

    An edge is a tuple of the operation, the partial, and a function or None. There is a function if the operation may
    leave the operand unselected, as `where` may. This function takes the node's gradient, and returns the part of it
    that the operand gets.

    Raises:
        RuntimeError: the data of an operand was changed after the node had been recorded.

    >>> x = Value(3)
    >>> [(operand is x, partial is x) for operand, (_, partial, _) in symbolic_edges(x * x, {x})]
    [(True, True), (True, True)]
    """
    op = node.op
    assert op is not None
    parents, captured = node.parents, node._partials
    operands = tuple([x if x.requires_grad else x._data for x in parents])
    if context.active and float in map(type, operands):
        _note_constants(op, parents)
    if OVERRIDING:
        operands = (*map(without_operators, operands),)
    if op.selects:
        needed = [x in relevant and x.requires_grad and op.propagates_gradient_to(k) for k, x in enumerate(parents)]
        passing: Sequence[Any] = op.selection(operands)
        partials: Sequence[Any] = op.needed_partials(node._data, [x._data for x in parents], needed)
        plain = [want and function is None for want, function in zip(needed, passing, strict=True)]
        if True in plain:
            graphs = op.needed_partials(node, operands, plain)
            partials = [g if is_plain else p for p, g, is_plain in zip(partials, graphs, plain, strict=True)]
    else:
        needed = [x in relevant and partial is not None for x, partial in zip(parents, captured, strict=True)]
        passing = (None,) * len(parents)
        partials = op.needed_partials(node, operands, needed)
    edges = []
    slots = zip(parents, needed, partials, captured, passing, strict=True)
    for slot, (x, want, partial, then, function) in enumerate(slots):
        if want and (partial is not None or function):
            now = partial._data if isinstance(partial, Value) else partial or 0.0
            then = then or 0.0
            if now != then and not (math.isnan(now) or math.isnan(then)):
                raise RuntimeError(
                    f"data was changed after {describe(op, parents)} was recorded: operand {slot} had the "
                    f"partial {then}, now {now}; compute the output again"
                )
            edges.append((x, (op, partial, function)))
    return edges


def _note_constants(op: Op, operands: Sequence[Value]) -> None:
    """Call the hook `made_constant`, if hooks are installed, for the constants that partials of `op` may depend on.

    A graph of derivatives keeps these constants as plain numbers, or not at all, so the hook must learn of them here.
    It is not called for the terms of a sum, on which the partials do not depend.
    """
    if hooks := context.here().hooks:
        factors: Sequence[Any] = () if op.lowerings.machine in ("fadd", "fsub") else operands
        if op.lowerings.summands:
            factors = [x for pair in op.lowerings.summands(*operands)[0] for x in pair]
        hooks.made_constant([x for x in factors if isinstance(x, Value) and not x.requires_grad])


def _check_gradient(gradient: Any, node: Value) -> None:
    if not math.isfinite(gradient._data if isinstance(gradient, Value) else gradient):
        made = f" = {describe(node.op, node.parents)}" if node.op else ""
        raise FloatingPointError(f"gradients(): the gradient with respect to {node!r}{made} is {gradient}")
