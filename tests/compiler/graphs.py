"""Draw random graphs for the campaign, as data, which the campaign can make smaller when a graph fails.

Each function of a `Pen` draws another family of graphs, because each family is compiled by other parts of the compiler:
expressions of all operations, chains of few functions, long sums, networks, recurrent networks, attention, overflowing
sums, derivatives, and stencils over a line of cells.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from itertools import pairwise
from math import inf, nan
from typing import Any, NamedTuple

import micrograd_cn as mc
from micrograd_cn import OPS, Op, Value, gradients
from micrograd_cn.engine import record, topological_order

EDGES = [0.0, -0.0, 1.0, -1.0, 2.0, 1e-20, -700.5, 36.5, 1e300, -1e300, 5e-324, inf, -inf, nan]
LARGE = [1e308, 1.7e308, -1e308, -1.7e308, 1e300, 1.0, -2.5, 1e-300, 0.0]
ACTIVATIONS = ["tanh", "relu", "sigmoid", "gelu", "silu", "softplus", "elu", "leaky_relu", "sin", "erf"]

# User-defined operations, which are written with rows of the table.

OWN = [
    Op("cube", lambda x: x * x * x, (lambda y, x: 3.0 * x * x,)),
    Op("bump", lambda x: mc.exp(-x * x), (lambda y, x: -2.0 * x * y,)),
    Op("mix", lambda a, b: mc.sum([a, b, a * b]) * a, (lambda y, a, b: 2.0 * a + b, lambda y, a, b: a + a * a)),
    Op("chosen", lambda a, b: mc.where(mc.less(a, b), a * b, a - b), (
        lambda y, a, b: mc.where(mc.less(a, b), b, 1.0), lambda y, a, b: mc.where(mc.less(a, b), a, -1.0)
    )),
    Op("gate", lambda a, b, c: mc.sigmoid(a) * b + (1.0 - mc.sigmoid(a)) * c, (
        lambda y, a, b, c: mc.sigmoid(a) * mc.sigmoid(-a) * (b - c),
        lambda y, a, b, c: mc.sigmoid(a),
        lambda y, a, b, c: mc.sigmoid(-a),
    )),
    Op("near", lambda a, b: mc.dot([a, b, 0.5], [b, a, a], b), (
        lambda y, a, b: mc.sum([b, b, 0.5]), lambda y, a, b: 2.0 * a + 1.0
    )),
    Op("held", lambda x, scale: x + 0.0, (lambda y, x, scale: scale, lambda y, x, scale: 0.0)),
    Op("rounded", lambda x: mc.step(x) + mc.step(x - 1.0), (None,)),
    Op("length", lambda *xs: mc.sum([x * x for x in xs]), lambda y, *xs: tuple([2.0 * x for x in xs])),
]  # fmt: skip
ROWS = [*OPS.values(), *OWN]


class Graph(NamedTuple):
    """A graph as data.

    A step is an operation and its operands. An operand or an output is either a constant, which is a float, or the
    number of a node, which is an int: inputs have the first numbers, then parameters, then steps.
    """

    inputs: tuple[float, ...]
    parameters: tuple[float, ...]
    steps: tuple[tuple[Op, tuple[int | float, ...]], ...]
    outputs: tuple[int | float, ...]

    def nodes(self, xs: Sequence[Any], ws: Sequence[Any]) -> list[Any]:
        """Record the steps, and return all nodes by their numbers."""
        nodes = [*xs, *ws]
        for op, operands in self.steps:
            nodes.append(record(op, [nodes[i] if isinstance(i, int) else i for i in operands]))
        return nodes

    def values(self, xs: Sequence[Any], ws: Sequence[Any]) -> list[Any]:
        """Record the steps, and return the outputs."""
        nodes = self.nodes(xs, ws)
        return [nodes[i] if isinstance(i, int) else Value._constant(i) for i in self.outputs]


class Case(NamedTuple):
    """A graph, the rows that it is computed for, and how it is trained."""

    graph: Graph
    rows: tuple[tuple[float, ...], ...]
    fit: tuple[str, int, int, int] | None  # the optimiser, rows in a batch, epochs, seed
    apart: bool  # whether threaded and native code are of two programs, instead of one that changes its tier
    native_first: bool


# Drawing


class Pen:
    """Draw numbers, leaves and lists of operands at random, and remember the leaves and hidden nodes of the graph."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.scale = rng.choice([1.0, 1.0, 1.0, 0.1, 3.0])
        self.special = rng.random() < 0.08
        self.xs = [Value(self.number()) for _ in range(rng.choice([1, 2, 3, 5, 8, 9, 13, 20, 33, 40]))]
        self.ws = [Value(self.number()) for _ in range(rng.choice([1, 2, 3, 5, 8, 9, 13, 20, 33, 40]))]
        self.hidden: list[Value] = []

    def number(self) -> float:
        """Return a number, now and then one that the compiler treats in another way, such as 0 or 1."""
        rng = self.rng
        if self.special and rng.random() < 0.1:
            return rng.choice(EDGES)
        if rng.random() < 0.03:
            return rng.choice([0.0, 1.0, -1.0, 0.5, 2.0])
        if rng.random() < 0.05:
            return rng.choice([-1.0, 1.0]) * 10.0 ** rng.uniform(-4.0, 3.0)
        return rng.gauss(0.0, self.scale)

    def kept(self, node: Value, most: float = 1e4) -> bool:
        """Return whether later nodes may use a node: if its number is not too large, and now and then anyway."""
        return abs(node.data) <= most or self.rng.random() < (0.3 if self.special else 0.02)

    def leaf(self, kinds: str = "xwwc") -> Any:
        """Return an input (x), a parameter (w), a constant (c) or a hidden node (h), by a letter drawn from `kinds`."""
        kind = self.rng.choice(kinds)
        if kind == "c":
            return self.number()
        return self.rng.choice({"x": self.xs, "w": self.ws, "h": self.hidden or self.xs}[kind])

    def weights(self, count: int, scale: float = 0.0) -> list[Value]:
        """Add so many parameters to the graph, and return them."""
        made = [Value(self.rng.gauss(0.0, scale or 0.5)) for _ in range(count)]
        self.ws += made
        return made

    def list(self, count: int, kinds: str) -> list[Any]:
        """Return operands, some in an order that a loop can read with a constant stride, and some in no such order."""
        rng = self.rng
        pools = {"x": self.xs, "w": self.ws, "h": self.hidden or self.ws}
        order = rng.choice(["straight", "straight", "backwards", "shuffled", "repeated", "strided", "mixed", "same"])
        if len(kinds) > 1 or kinds == "c" or order == "mixed":
            return [self.leaf(kinds) for _ in range(count)]
        pool = pools[kinds]
        start, step = (
            rng.randrange(len(pool)),
            {"backwards": -1, "strided": rng.randrange(1, 4), "same": 0}.get(order, 1),
        )
        places = [(start + step * k) % len(pool) for k in range(count)]
        if order == "shuffled":
            rng.shuffle(places)
        elif order == "repeated":
            places = [rng.randrange(len(pool)) for _ in range(count)]
        return [pool[i] for i in places]

    def length(self) -> int:
        """Return a length for a sum, often near a multiple of a vector's width, where loops have a remainder."""
        return self.rng.choice([1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 20, 31, 32, 33, 40, self.rng.randrange(1, 61)])


def expression(pen: Pen) -> Value:
    """Draw an expression of any operations of the table, and user-defined ones."""
    rng = pen.rng
    pool: list[Any] = [*pen.xs[:6], *pen.ws[:6]]
    count, tries = rng.choice([1, 2, 3, 5, 8, 13, 20, 30, 50]), 0
    node: Any = pool[0]
    made = 0
    while made < count and tries < 8 * count:
        tries += 1
        op = rng.choice(ROWS)
        n = op.arity
        if n is None:
            n = rng.choice([1, 2, 3, 4, 5, 9, 17, 20]) if rng.random() < 0.5 else rng.choice([2, 3])
            n += op is mc.dot and rng.choice([n, n + 1])
        operands = [
            pen.number() if rng.random() < 0.12 else pool[-1 - min(int(rng.expovariate(0.2)), len(pool) - 1)]
            if rng.random() < 0.7 else rng.choice(pool)
            for _ in range(n)
        ]  # fmt: skip
        if op.lowerings.is_gather and n > 1:  # the index is mostly in range, which random operands would not be
            numbers = [float(rng.randrange(n - (rng.random() < 0.9))) for _ in range(2)]
            operands[0] = mc.where(mc.less(rng.choice(pool), rng.choice(pool)), *numbers)
        found = record(op, operands)
        if found.op is not None and pen.kept(found):
            node, made = found, made + 1
            pool.append(found)
    pen.hidden += [x for x in pool if x.op]
    if rng.random() < 0.4 and len(pool) > 3:
        return mc.sum(rng.sample(pool, min(len(pool), rng.randrange(2, 20))))
    return node


def repeated(pen: Pen) -> Value:
    """Draw chains of at most three functions: many have the same shape, so large programs fuse them."""
    rng = pen.rng
    functions = [getattr(mc, name) for name in rng.sample(ACTIVATIONS, rng.choice([1, 2, 2, 3]))]
    for _ in range(rng.randrange(4, 20)):
        y = rng.choice([*pen.xs, *pen.ws, *pen.hidden[-4:]])
        for _ in range(rng.randrange(1, 4)):
            y = rng.choice(functions)(y)
        pen.hidden.append(y if rng.random() < 0.7 else y * rng.choice([*pen.ws, *pen.hidden]))
    return mc.sum(pen.hidden)


def sums(pen: Pen) -> Value:
    """Draw sums and dot products of many lengths, whose operands have orders of all kinds."""
    rng = pen.rng
    for _ in range(rng.choice([0, 3, 10, 40])):
        a, b = pen.leaf("xwh"), pen.leaf("xwh")
        made = rng.choice([lambda a, b: a * b, lambda a, b: mc.tanh(a), lambda a, b: a * a + b, mc.sub])(a, b)
        if made.op and abs(made.data) < 100:
            pen.hidden.append(made)
    found = []
    for _ in range(rng.choice([1, 2, 3, 6, 12])):
        n = pen.length()
        left, right = (rng.choice(["x", "w", "h", "c", "xw", "xwhc", "wc", "xh", "h"]) for _ in range(2))
        kind = rng.choice(["dot", "dot", "sum", "products", "both", "rows"])
        if kind == "dot":
            y = mc.dot(pen.list(n, left), pen.list(n, right), *([pen.leaf("xwhc")] if rng.random() < 0.5 else []))
        elif kind == "sum":
            y = mc.sum(pen.list(n, left))
        elif kind == "rows":  # several sums with the same right factors, which are computed as a matrix times a vector
            shared = pen.list(n, rng.choice(["x", "h", "w", "xw", "xh"]))
            several = [mc.dot(pen.list(n, left), shared, pen.leaf()) for _ in range(rng.randrange(2, 12))]
            pen.hidden += [y for y in several if isinstance(y, Value) and y.op]
            y = mc.sum(several)
        else:
            terms = [a * b for a, b in zip(pen.list(n, left), pen.list(n, right), strict=True)]
            if kind == "both":
                terms += pen.list(pen.length(), rng.choice(["x", "w", "h", "xwhc"]))
                rng.shuffle(terms)
            y = mc.sum(terms)
        if isinstance(y, Value) and y.op:
            y = rng.choice([lambda y: y, lambda y: y, lambda y: mc.tanh(0.1 * y), lambda y: y * pen.leaf("xwh")])(y)
            pen.hidden.append(y)
            found.append(y)
    if not found:
        return pen.xs[0] * pen.ws[0]
    way = rng.choice(["sum", "squares", "last", "join"])
    if way == "sum":
        return mc.sum(found) * rng.choice([1.0, pen.leaf("xw")])
    if way == "squares":
        return mc.dot(found, found)
    return mc.logsumexp(found) if way == "join" else found[-1]


def _layer(pen: Pen, xs: Sequence[Any], weights: Sequence[Sequence[Any]], biases: Sequence[Any], act: str) -> list[Any]:
    """Return the outputs of a layer, without an activation function if `act` is ""."""
    made = [mc.dot(list(row), list(xs), b) for row, b in zip(weights, biases, strict=True)]
    return [getattr(mc, act)(y) if act else y for y in made]


def _matrix(pen: Pen, rows: int, columns: int) -> list[list[Value]]:
    """Return a matrix of new parameters, whose size keeps the outputs of a layer near 1."""
    return [pen.weights(columns, columns**-0.5) for _ in range(rows)]


def network(pen: Pen) -> Value:
    """Draw a network of odd widths. Some weights are sparse, or those of an earlier layer, transposed."""
    rng = pen.rng
    xs: list[Any] = pen.xs[: rng.randrange(1, 21)]
    widths = [rng.randrange(1, 21) for _ in range(rng.choice([1, 1, 2, 2, 3]))]
    act = rng.choice(ACTIVATIONS)
    kept: list[list[list[Value]]] = []
    for width in widths:
        turned = [w for w in kept if len(w) == len(xs)]
        if turned and rng.random() < 0.5:  # the transpose of the last matrix that fits
            matrix = [list(column) for column in zip(*turned[-1], strict=True)]
        else:
            matrix = _matrix(pen, width, len(xs))
        kept.append(matrix)
        biases: list[Any] = pen.weights(len(matrix)) if rng.random() < 0.7 else [0.0] * len(matrix)
        if rng.random() < 0.15:  # each neuron reads only some of the inputs
            xs_of = [rng.sample(range(len(xs)), rng.randrange(1, len(xs) + 1)) for _ in matrix]
            made = [
                mc.dot([row[i] for i in few], [xs[i] for i in few], b)
                for row, few, b in zip(matrix, xs_of, biases, strict=True)
            ]
            xs = [getattr(mc, act)(y) for y in made]
        else:
            xs = _layer(pen, xs, matrix, biases, act)
        pen.hidden += xs
    targets = [rng.choice(pen.xs) for _ in xs]
    way = rng.choice(["squares", "cross", "one", "mean"])
    if way == "squares":
        return mc.sum([(y - t) ** 2 for y, t in zip(xs, targets, strict=True)]) * (1.0 / len(xs))
    if way == "cross":
        return mc.logsumexp(xs) - mc.dot(targets, xs)
    return mc.sum(xs) if way == "mean" else xs[0]


def recurrent(pen: Pen) -> Value:
    """Draw a recurrent network, which uses the same weights at several time steps."""
    rng = pen.rng
    size, steps = rng.choice([1, 2, 3, 5, 8, 9]), rng.choice([2, 3, 5, 8, 9, 20])
    if size > 3:
        steps = min(steps, 6)
    width = rng.randrange(1, 5)
    inner, outer = _matrix(pen, size, size), _matrix(pen, size, width)
    biases, act = pen.weights(size), rng.choice(["tanh", "sigmoid", "relu", "sin", "softplus"])
    state: list[Any] = pen.weights(size) if rng.random() < 0.4 else [rng.choice([0.0, 0.5])] * size
    losses = []
    for t in range(steps):
        xs = [pen.xs[(t * width + k) % len(pen.xs)] for k in range(width)]
        if rng.random() < 0.5:
            state = _layer(pen, [*state, *xs], [a + b for a, b in zip(inner, outer, strict=True)], biases, act)
        else:
            parts = _layer(pen, state, inner, [0.0] * size, ""), _layer(pen, xs, outer, biases, "")
            state = [getattr(mc, act)(a + b) for a, b in zip(*parts, strict=True)]
        losses.append((state[0] - rng.choice(pen.xs)) ** 2)
    pen.hidden += state
    return mc.sum(losses) if rng.random() < 0.5 else mc.sum(state)


def attention(pen: Pen) -> Value:
    """Draw an attention layer, whose dot products have no parameter among their factors."""
    rng = pen.rng
    count, size, width = rng.choice([2, 3, 4]), rng.choice([1, 3, 8, 9, 12]), rng.randrange(1, 4)
    tokens = [[pen.xs[(i * width + k) % len(pen.xs)] for k in range(width)] for i in range(count)]
    q, k, v = (_matrix(pen, size, width) for _ in range(3))
    queries, keys, vs = ([_layer(pen, t, m, [0.0] * size, "") for t in tokens] for m in (q, k, v))
    out: list[Any] = []
    for query in queries:
        weights = mc.softmax([mc.dot(query, key) * size**-0.5 for key in keys])
        out += [mc.dot(weights, [vector[j] for vector in vs]) for j in range(size)]
    pen.hidden += out
    return rng.choice(
        [lambda: mc.dot(out, out), lambda: mc.logsumexp(out), lambda: mc.dot(out, pen.weights(len(out)))]
    )()


def large(pen: Pen) -> Value:
    """Draw sums of numbers so large that the sums may overflow."""
    rng = pen.rng
    root = rng.random() < 0.5
    for x in (*pen.xs, *pen.ws):
        x.data = rng.choice([*LARGE, 1e308, -1e308])
        if root:
            x.data = math.copysign(abs(x.data) ** 0.5, x.data)
    pen.special = True
    y = sums(pen)
    return y * pen.leaf("xwc")


def derivative(pen: Pen) -> Value:
    """Draw the squared length of the gradient of a small graph, which has derivatives of second order."""
    node = pen.rng.choice([expression, expression, sums])(pen)
    leaves = [*pen.xs[:4], *pen.ws[:4]]
    if node.op is None or len(topological_order(node)) > 40:
        return node
    found = [g for g in gradients(node, leaves, create_graph=True) if isinstance(g, Value)]
    return mc.sum([g * g for g in found])


STEPS = [  # from the left neighbour, the cell itself and the right neighbour to the cell's next value
    lambda a, b, c: b + 0.1 * (c - 2.0 * b + a),
    lambda a, b, c: b - 0.05 * b * (b - a) + 0.02 * (c - 2.0 * b + a),
    lambda a, b, c: mc.relu(0.5 * b + a - 0.3 * c),
    lambda a, b, c: mc.where(mc.less(a, c), b, 0.5 * b + 0.1 * a),
    lambda a, b, c: mc.dot([a, b, c], [0.3, 0.5, 0.2]),
    lambda a, b, c: mc.tanh(0.9 * b + 0.1 * a) - a * c * 0.01,
    lambda a, b, c: 3.7 * b * (1.0 - b) / (2.0 + a * a),
]


def cells(pen: Pen) -> list[Value]:
    """Draw the values of neighbouring cells after some steps, with a periodic or a fixed border."""
    rng = pen.rng
    n, periodic = rng.choice([5, 8, 9, 16, 17, 24, 33]), rng.random() < 0.5
    us = [x * w for x, w in zip((pen.xs * n)[:n], pen.weights(n, 1.0), strict=True)]
    for _ in range(rng.choice([1, 2, 3, 5])):
        step = rng.choice(STEPS)
        found = [step(us[i - 1], us[i], us[(i + 1) % n]) for i in range(n)]
        us = found if periodic else [us[0], *found[1:-1], us[-1]]
    return us


def stencil(pen: Pen) -> Value:
    """Draw a stencil over a line of cells: the squared length of their values, or the squares of their differences."""
    us = cells(pen)
    pen.hidden += us
    return mc.sum([u * u for u in us]) if pen.rng.random() < 0.5 else mc.sum([(a - b) ** 2 for a, b in pairwise(us)])


FAMILIES = [repeated, *[expression] * 2, *[sums] * 3]
FAMILIES += [network, network, recurrent, attention, large, derivative, stencil]


def graph_of(outputs: Sequence[Value], xs: Sequence[Value]) -> Graph:
    """Return a recorded graph as data."""
    ws: list[Value] = []
    place: dict[Value, int | float] = {x: i for i, x in enumerate(xs)}
    interior = [node for y in outputs for node in reversed(topological_order(y)) if node.op]
    interior = list(dict.fromkeys(interior))
    for x in (*(x for node in interior for x in node.parents), *outputs):
        if x.op is None and x not in place:
            if x.requires_grad:
                place[x] = len(xs) + len(ws)
                ws.append(x)
            else:
                place[x] = x.data
    steps = []
    for node in interior:
        assert node.op is not None
        place[node] = len(xs) + len(ws) + len(steps)
        steps.append((node.op, tuple([place[x] for x in node.parents])))
    return Graph(
        tuple([x.data for x in xs]), tuple([w.data for w in ws]), tuple(steps), tuple([place[y] for y in outputs])
    )


def _begun(seed: str) -> tuple[random.Random, Pen, Callable[[Pen], Value]]:
    rng = random.Random(seed)
    pen = Pen(rng)
    return rng, pen, rng.choice(FAMILIES)


def family_of(seed: str) -> str:
    """Return the name of the family of which `draw(seed)` draws a case."""
    return _begun(seed)[-1].__name__


def draw(seed: str) -> tuple[str, Case]:
    """Return the name of a random family and a case of it, always the same for the same seed."""
    rng, pen, family = _begun(seed)
    y = family(pen)
    if rng.random() < 0.15 and family is not large:
        other = rng.choice(FAMILIES[:10])(pen)
        y = rng.choice([lambda: y + other, lambda: y * mc.tanh(other), lambda: mc.sum([y, other, y])])()
    if rng.random() < 0.03:
        y = rng.choice([pen.xs[0], pen.ws[0], pen.ws[0] * 1.0])
    outputs = [y]
    if rng.random() < 0.2 and family is not derivative:
        found = [*pen.hidden, *pen.xs, *pen.ws, Value._constant(pen.number())]
        outputs = [*rng.choices([*found, y], k=rng.randrange(2, 12)), y]
        rng.shuffle(outputs)
        if rng.random() < 0.3:
            outputs.append(outputs[0])
    graph = graph_of(outputs, pen.xs)
    most = 12000 // (len(graph.steps) + 10)
    n = rng.choice([1, 1, 2, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 25, 31, 33, 40, rng.randrange(1, 41), 130, 300])
    n = min(n, max(most, 3))
    if family is large:
        rows = [[rng.choice([x, -x, 1.0, 0.0, x]) for x in graph.inputs] for _ in range(n)]
    else:
        rows = [[pen.number() for _ in pen.xs] for _ in range(n)]
    rows[0] = list(graph.inputs)
    fit = None
    if len(outputs) == 1 and rng.random() < 0.3:
        kind = rng.choice(["SGD", "momentum", "nesterov", "decay", "RMSprop", "Adam", "AdamW", "frozen", "others"])
        fit = (kind, rng.choice([1, 2, 3, n, rng.randrange(1, n + 1)]), rng.choice([1, 2, 3]), rng.randrange(1000))
    case = Case(graph, tuple(map(tuple, rows)), fit, rng.random() < 0.3, rng.random() < 0.5)
    return family.__name__, case
