"""Random graphs by the thousand: compiled programs against the eager engine, the two kinds of code with each other.

    python -m tests.compiler.campaign  # two thousand graphs: some minutes
    python -m tests.compiler.campaign --graphs 10000 --seed 7 --first 4000

Threaded and native code must agree to the last bit, with and without instructions inside others, `fit` with the loop
that it stands for too. Against the engine, numbers may differ by rounding: by as much as the engine's own numbers move
when every operation is disturbed in its last bits. The first difference is made smaller and printed as code, and the
exit status is 1.
"""

from __future__ import annotations

import argparse
import faulthandler
import math
import random
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from math import inf, nan
from typing import Any, NamedTuple

import micrograd_cn as mc
from micrograd_cn import OPS, Op, Value, gradients
from micrograd_cn.compiler import Program, compile, executable, fusion, schedule  # noqa: A004 -- the field's name
from micrograd_cn.compiler.lowering import ordered
from micrograd_cn.engine import record
from micrograd_cn.number import number
from micrograd_cn.operators import Operators
from micrograd_cn.optim import SGD, Adam, AdamW, RMSprop

EPS = 2.0**-52
MOST = 1.7e308  # a size that is larger is taken for this
TIERS = {"threaded": inf, "native": 0.0}
EDGES = [0.0, -0.0, 1.0, -1.0, 2.0, 1e-20, -700.5, 36.5, 1e300, -1e300, 5e-324, inf, -inf, nan]
LARGE = [1e308, 1.7e308, -1e308, -1.7e308, 1e300, 1.0, -2.5, 1e-300, 0.0]
EXACT = {"neg", "abs", "less", "less_equal", "equal", "step", "where", "take", "maximum", "minimum", "relu"}
ACTIVATIONS = ["tanh", "relu", "sigmoid", "gelu", "silu", "softplus", "elu", "leaky_relu", "sin", "erf"]

# Operations of one's own, written in rows.

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
    """A graph as data: an int is one of the inputs, then the parameters, then the steps; a float is a constant."""

    inputs: tuple[float, ...]
    parameters: tuple[float, ...]
    steps: tuple[tuple[Op, tuple[int | float, ...]], ...]
    outputs: tuple[int | float, ...]

    def nodes(self, xs: Sequence[Any], ws: Sequence[Any]) -> list[Any]:
        nodes = [*xs, *ws]
        for op, operands in self.steps:
            nodes.append(record(op, [nodes[i] if isinstance(i, int) else i for i in operands]))
        return nodes

    def values(self, xs: Sequence[Any], ws: Sequence[Any]) -> list[Any]:
        nodes = self.nodes(xs, ws)
        return [nodes[i] if isinstance(i, int) else Value._constant(i) for i in self.outputs]


class Case(NamedTuple):
    """A graph, the rows that it is given, and how it is trained."""

    graph: Graph
    rows: tuple[tuple[float, ...], ...]
    fit: tuple[str, int, int, int] | None  # the optimiser, rows a batch, epochs, seed
    apart: bool  # whether each kind of code is a program of its own
    native_first: bool


class Different(Exception):
    """A case fails; `kind` says what differs."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind


# Drawing.


class Pen:
    """Draw leaves and nodes with a generator of random numbers."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.scale = rng.choice([1.0, 1.0, 1.0, 0.1, 3.0])
        self.special = rng.random() < 0.08
        self.xs = [Value(self.number()) for _ in range(rng.choice([1, 2, 3, 5, 8, 9, 13, 20, 33, 40]))]
        self.ws = [Value(self.number()) for _ in range(rng.choice([1, 2, 3, 5, 8, 9, 13, 20, 33, 40]))]
        self.hidden: list[Value] = []

    def number(self) -> float:
        rng = self.rng
        if self.special and rng.random() < 0.1:
            return rng.choice(EDGES)
        if rng.random() < 0.03:
            return rng.choice([0.0, 1.0, -1.0, 0.5, 2.0])
        if rng.random() < 0.05:
            return rng.choice([-1.0, 1.0]) * 10.0 ** rng.uniform(-4.0, 3.0)
        return rng.gauss(0.0, self.scale)

    def kept(self, node: Value, most: float = 1e4) -> bool:
        """Return whether a node's number is one to go on with, and now and then that it is though it is not."""
        return abs(node.data) <= most or self.rng.random() < (0.3 if self.special else 0.02)

    def leaf(self, kinds: str = "xwwc") -> Any:
        kind = self.rng.choice(kinds)
        if kind == "c":
            return self.number()
        return self.rng.choice({"x": self.xs, "w": self.ws, "h": self.hidden or self.xs}[kind])

    def weights(self, count: int, scale: float = 0.0) -> list[Value]:
        """Return new parameters."""
        made = [Value(self.rng.gauss(0.0, scale or 0.5)) for _ in range(count)]
        self.ws += made
        return made

    def list(self, count: int, kinds: str) -> list[Any]:
        """Return operands in an order that loops can read, or cannot."""
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
        return self.rng.choice([1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 20, 31, 32, 33, 40, self.rng.randrange(1, 61)])


def expression(pen: Pen) -> Value:
    """A graph of any rows."""
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
        if op.forms.chooses and n > 1:  # by numbers of the operands, most of them
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


def sums(pen: Pen) -> Value:
    """Sums and dots of every length."""
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
        elif kind == "rows":  # several with the same right factors
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
    made = [mc.dot(list(row), list(xs), b) for row, b in zip(weights, biases, strict=True)]
    return [getattr(mc, act)(y) if act else y for y in made]


def _matrix(pen: Pen, rows: int, columns: int) -> list[list[Value]]:
    return [pen.weights(columns, columns**-0.5) for _ in range(rows)]


def network(pen: Pen) -> Value:
    """Layers of odd widths, some with weights that are missing, shared or turned round."""
    rng = pen.rng
    xs: list[Any] = pen.xs[: rng.randrange(1, 21)]
    widths = [rng.randrange(1, 21) for _ in range(rng.choice([1, 1, 2, 2, 3]))]
    act = rng.choice(ACTIVATIONS)
    kept: list[list[list[Value]]] = []
    for width in widths:
        turned = [w for w in kept if len(w) == len(xs)]
        if turned and rng.random() < 0.5:  # the transpose of an earlier one
            matrix = [list(column) for column in zip(*turned[-1], strict=True)]
        else:
            matrix = _matrix(pen, width, len(xs))
        kept.append(matrix)
        biases: list[Any] = pen.weights(len(matrix)) if rng.random() < 0.7 else [0.0] * len(matrix)
        if rng.random() < 0.15:  # sparse
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
    """The same weights at several steps."""
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
    """Products of samples, and weights that are a softmax."""
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
    """Sums of numbers so large that they may overflow."""
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
    """The gradient of a small graph, squared."""
    node = rng_graph(pen, [expression, expression, sums])
    leaves = [*pen.xs[:4], *pen.ws[:4]]
    if node.op is None or len(ordered([node])) > 40:
        return node
    found = [g for g in gradients(node, leaves, create_graph=True) if isinstance(g, Value)]
    return mc.sum([g * g for g in found])


def rng_graph(pen: Pen, families: Sequence[Callable[[Pen], Value]]) -> Value:
    return pen.rng.choice(families)(pen)


FAMILIES = [
    expression,
    expression,
    expression,
    sums,
    sums,
    sums,
    network,
    network,
    recurrent,
    attention,
    large,
    derivative,
]


def graph_of(outputs: Sequence[Value], xs: Sequence[Value]) -> Graph:
    """Return a recorded graph as data."""
    ws: list[Value] = []
    place: dict[Value, int | float] = {x: i for i, x in enumerate(xs)}
    interior = [node for node in dict.fromkeys(ordered(outputs)) if node.op]
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


def draw(seed: str) -> tuple[str, Case]:
    """Return a random case and what it is of."""
    rng = random.Random(seed)
    pen = Pen(rng)
    family = rng.choice(FAMILIES)
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


# The engine, and how far rounding carries its numbers.


class Noisy(Operators):
    """A number whose every operation is disturbed in its last bits."""

    __slots__ = ("data",)
    rng = random.Random(0)

    def __init__(self, data: float) -> None:
        self.data = data

    @staticmethod
    def _record(op: Op, operands: Sequence[Any]) -> Noisy:
        own = not (op.forms.machine or op.forms.summands or op.forms.formula) and OPS.get(op.name) is not op
        if own:
            found = op.forward(*operands)
            return found if isinstance(found, Noisy) else Noisy(number(found))
        xs = [x.data if isinstance(x, Noisy) else number(x) for x in operands]
        y = op.forward(*xs)
        if op.forms.summands:
            pairs, terms = op.forms.summands(*xs)
            finite = [(a, b) for a, b in (*pairs, *((1.0, t) for t in terms)) if math.isfinite(a) and math.isfinite(b)]
            if sum([abs(a * b) for a, b in finite]) == inf:  # it may overflow on its way, in any order
                return Noisy(Noisy.rng.choice([y, 1e308, inf, -inf, nan]))
        if op.name in EXACT or not math.isfinite(y):
            return Noisy(y)
        bits = 1.0 if op.name in ("add", "sub", "mul", "div") else 8.0
        size = abs(y)
        if op.forms.summands:
            pairs, terms = op.forms.summands(*xs)
            known = [*(a * b for a, b in pairs), *terms]
            size, bits = min(sum([abs(t) for t in known]), MOST), 2.0 + 0.5 * len(known)
            if abs(y) <= bits * EPS * size and Noisy.rng.random() < 0.3:  # term by term, all of it may be lost
                return Noisy(0.0)
        elif op.smooth.rounding is not None:
            told = op.smooth.rounding(y, *xs)[0]
            bits += 5.0 * told if math.isfinite(told) else 0.0
        return Noisy(y + disturbance(size, bits))


def disturbance(size: float, bits: float = 1.0) -> float:
    """Return a random number of a few units in the last place of a size."""
    return Noisy.rng.uniform(-1.0, 1.0) * bits * (EPS * size + 5e-324)


def noisy(graph: Graph, row: Sequence[float]) -> tuple[list[float], list[float], float]:
    """Return the outputs and the first one's gradient with noise, and the largest number on the way of that."""
    first = len(graph.inputs)
    nodes: list[Any] = [*map(Noisy, row), *map(Noisy, graph.parameters)]
    for op, operands in graph.steps:
        nodes.append(Noisy._record(op, [nodes[i] if isinstance(i, int) else i for i in operands]))
    outputs = [nodes[i].data if isinstance(i, int) else i for i in graph.outputs]
    grads, sizes, largest = [0.0] * len(nodes), [0.0] * len(nodes), 0.0
    root = graph.outputs[0]
    if isinstance(root, int):
        grads[root] = 1.0
    reached = [isinstance(root, int) and i == root for i in range(len(nodes))]
    leaves = first + len(graph.parameters)
    for k in range(len(graph.steps) - 1, -1, -1):
        i = leaves + k
        if not reached[i]:
            continue
        op, operands = graph.steps[k]
        partials = op.local(nodes[i], *[nodes[j] if isinstance(j, int) else j for j in operands])
        upstream = grads[i] + disturbance(min(sizes[i], MOST), 2.0)
        for slot, (j, partial) in enumerate(zip(operands, partials, strict=True)):
            if not isinstance(j, int) or not op.flows(slot):
                continue
            d = partial.data if isinstance(partial, Noisy) else float(partial)
            part = upstream * d
            if op.smooth.rounding is not None and op.arity is not None and math.isfinite(part):
                told = op.smooth.rounding(
                    nodes[i].data, *[nodes[j].data if isinstance(j, int) else j for j in operands]
                )
                bits = told[slot + 1] if len(told) > slot + 1 else 0.0
                part += disturbance(abs(part), 5.0 * bits if bits < 1e15 else 1e15)
            reached[j] = True
            grads[j] += part
            sizes[j] += abs(part)
            largest = max([largest, *(abs(t) for t in (part, upstream, d) if math.isfinite(t))])
    totals = [g + disturbance(min(size, MOST), 4.0) for g, size in zip(grads, sizes, strict=True)]
    return outputs, totals[first:leaves], largest


def eager(graph: Graph, rows: Sequence[Sequence[float]]) -> tuple[list[list[float]], list[float], list[float]]:
    """Return the outputs of every row, the mean gradient of the first output, and the mean of its terms' sizes."""
    ws = [Value(w) for w in graph.parameters]
    outputs, totals, sizes = [], [0.0] * len(ws), [0.0] * len(ws)
    for row in rows:
        for w in ws:
            w.grad = 0.0
        found = graph.values([Value(x) for x in row], ws)
        outputs.append([y.data for y in found])
        if len(found) == 1 and found[0].requires_grad:
            found[0].backward()
            for i, w in enumerate(ws):
                totals[i] += w.grad / len(rows)
                sizes[i] += abs(w.grad) / len(rows)
    return outputs, totals, sizes


def close(a: float, b: float, size: float = 0.0) -> bool:
    return a == b or (a != a and b != b) or abs(a - b) <= 1e-12 * max(abs(a), abs(b), min(size, MOST)) + 1e-300


def like(a: float, b: float, others: Sequence[float]) -> bool:
    """Return whether `a` is `b` but for noise, of which `others` are samples."""
    if math.isfinite(a) and math.isfinite(b):
        spread = max([abs(x - b) if math.isfinite(x) else inf for x in others])
        return abs(a - b) <= 24.0 * spread + 1e-12 * abs(b) + 1e-300
    return any(x == a or (x != x and a != a) or (math.isfinite(x) and math.isfinite(a)) for x in others)


def explained(a: float, b: float, draw: Callable[[], float]) -> bool:
    """Return whether noise explains the difference, with a few samples or many."""
    others: list[float] = []
    for count in (6, 60):
        others += [draw() for _ in range(count)]
        if like(a, b, others):
            return True
    return False


# Checks.


def bits(x: float) -> bytes:
    return struct.pack("d", x) if x == x else b"nan"


def fresh(graph: Graph) -> tuple[Program, list[Value]]:
    """Return a compiled graph and its parameters in the graph's order."""
    xs, ws = [Value(x) for x in graph.inputs], [Value(w) for w in graph.parameters]
    found = graph.values(xs, ws)
    return compile(found[0] if len(found) == 1 else found, xs), ws


def trainable(graph: Graph) -> bool:
    """Return whether there is one output, and it has a gradient."""
    xs, ws = [Value(x) for x in graph.inputs], [Value(w) for w in graph.parameters]
    return len(graph.outputs) == 1 and graph.values(xs, ws)[0].requires_grad


def numbers(program: Program, ws: Sequence[Value], rows: Sequence[Sequence[float]], single: bool, train: bool) -> Any:
    """Return the outputs of every row, the mean, and the gradients."""
    outputs = program.forward(rows)
    outputs = [[y] for y in outputs] if single else outputs
    for w in ws:
        w.grad = 0.0
    mean = program.backward(rows) if train else 0.0
    return outputs, mean, [w.grad for w in ws]


def check(case: Case) -> None:
    """Raise `Different` where compiled numbers are not what they should be."""
    graph, rows = case.graph, case.rows
    single, train = len(graph.outputs) == 1, trainable(graph)
    found = {}
    executable.ALIKE = schedule.LARGEST = inf
    fusion.COMMON = 1
    tiers = sorted(TIERS, reverse=not case.native_first) if case.apart else list(TIERS)
    program, ws = fresh(graph)
    for tier in tiers:
        if case.apart:
            program, ws = fresh(graph)
        executable.PATIENCE = TIERS[tier]
        found[tier] = numbers(program, ws, rows, single, train)
    _same_bits(found["threaded"], found["native"])
    _like_eager(graph, rows, found["threaded"], train)
    program, ws = fresh(graph)
    executable.PATIENCE, executable.ALIKE, executable.LEAST = inf, 0.0, 0  # as of single rows with many like ones
    gathered = numbers(program, ws, rows, single, train)
    _like_eager(graph, rows, gathered, train)
    schedule.LARGEST = -1  # as of a large graph, with instructions inside others
    program, ws = fresh(graph)
    fused = numbers(program, ws, rows, single, train)
    if len(rows) > executable.FEW:
        _same_bits(gathered, fused, ("gathered", "fused"))
    else:
        _like_eager(graph, rows, fused, train)
    executable.ALIKE = schedule.LARGEST = inf
    if case.fit and train and graph.parameters:
        _fit_like_loop(case)


def _same_bits(a: Any, b: Any, names: tuple[str, str] = ("threaded", "native")) -> None:
    one, other = names
    for row, (xs, ys) in enumerate(zip(a[0], b[0], strict=True)):
        for k, (x, y) in enumerate(zip(xs, ys, strict=True)):
            if bits(x) != bits(y):
                raise Different("tiers, forward", f"row {row}, output {k}: {one} {x!r}, {other} {y!r}")
    if bits(a[1]) != bits(b[1]):
        raise Different("tiers, mean", f"{one} {a[1]!r}, {other} {b[1]!r}")
    for k, (x, y) in enumerate(zip(a[2], b[2], strict=True)):
        if bits(x) != bits(y):
            raise Different("tiers, gradient", f"parameter {k}: {one} {x!r}, {other} {y!r}")


def _like_eager(graph: Graph, rows: Sequence[Sequence[float]], found: Any, train: bool) -> None:
    outputs, totals, sizes = eager(graph, rows)
    n = len(rows)
    for row, (xs, ys) in enumerate(zip(found[0], outputs, strict=True)):
        for k, (x, y) in enumerate(zip(xs, ys, strict=True)):
            if not close(x, y) and not explained(x, y, lambda row=row, k=k: noisy(graph, rows[row])[0][k]):
                raise Different("eager, forward", f"row {row}, output {k}: compiled {x!r}, eager {y!r}")
    if not train:
        return
    flat = [ys[0] for ys in found[0]]  # compared above
    size = math.fsum(min(abs(y), 1e300) for y in flat if math.isfinite(y)) / n
    mean = math.fsum(y / n for y in flat) if all(map(math.isfinite, flat)) else sum(flat)
    if not close(found[1], mean, size) and not (size > 1e290 and math.isfinite(mean)):
        raise Different("eager, mean", f"compiled {found[1]!r}, of the outputs {mean!r}")
    largest = 0.0
    samples: list[list[float]] = []

    def sample(k: int) -> float:
        nonlocal largest
        total = [0.0] * len(totals)
        for row in rows:
            _, grads, most = noisy(graph, row)
            largest = max(largest, most)
            total = [t + g / n for t, g in zip(total, grads, strict=True)]
        samples.append(total)
        return total[k]

    for k, (x, y) in enumerate(zip(found[2], totals, strict=True)):
        if close(x, y, sizes[k]) or (not math.isfinite(x) and not math.isfinite(y)):
            continue
        known = [total[k] for total in samples]
        if known and like(x, y, known):
            continue
        if explained(x, y, lambda k=k: sample(k)):
            continue
        if largest > 1e290 and not (math.isfinite(x) and math.isfinite(y)):  # a sum overflows in another order
            continue
        raise Different("eager, gradient", f"parameter {k}: compiled {x!r}, eager {y!r}, terms of size {sizes[k]!r}")


def _optimizer(kind: str, ws: Sequence[Value], rng: random.Random) -> Any:
    lr = 10.0 ** rng.uniform(-4, -1)
    chosen = list(ws)
    rng.shuffle(chosen)
    if kind == "others":  # fewer, and some that the program does not have
        chosen = [*chosen[: rng.randrange(len(chosen) + 1)], *(Value(0.5) for _ in range(rng.randrange(1, 20)))]
        rng.shuffle(chosen)
    if kind == "frozen":
        for w in chosen:
            w.requires_grad = rng.random() < 0.5
    made = {
        "momentum": lambda: SGD(chosen, lr, momentum=0.9),
        "nesterov": lambda: SGD(chosen, lr, momentum=0.8, weight_decay=0.01, nesterov=True),
        "decay": lambda: SGD(chosen, lr, weight_decay=0.1),
        "RMSprop": lambda: RMSprop(chosen, lr, momentum=rng.choice([0.0, 0.9])),
        "Adam": lambda: Adam(chosen, lr, weight_decay=rng.choice([0.0, 0.1])),
        "AdamW": lambda: AdamW(chosen, lr),
        "frozen": lambda: Adam(chosen, lr),
    }
    return chosen, made.get(kind, lambda: SGD(chosen, lr))()


def _fit_like_loop(case: Case) -> None:
    assert case.fit is not None
    kind, batch, epochs, seed = case.fit
    batch = min(batch, len(case.rows))
    n = len(case.rows)
    last = n % batch or batch
    exact = (batch > executable.FEW) == (last > executable.FEW)
    found = []
    for way in ("fit", "loop"):
        program, ws = fresh(case.graph)
        rng = random.Random(seed)
        executable.PATIENCE = rng.choice([0.0, inf, 1e-9])
        chosen, optimizer = _optimizer(kind, ws, rng)
        order = list(range(n))
        turns = random.Random(seed) if seed % 2 else None
        if way == "fit":
            losses = program.fit(case.rows, optimizer, epochs, batch, turns)
        else:
            losses, sizes = [], []
            for _ in range(epochs):
                loss = size = 0.0
                if turns:
                    turns.shuffle(order)
                for start in range(0, n, batch):
                    part = [case.rows[i] for i in order[start : start + batch]]
                    optimizer.zero_grad()
                    mean = program.backward(part)
                    loss += mean * len(part)
                    size += abs(mean) * len(part)
                    optimizer.step()
                losses.append(loss / n)
                sizes.append(size / n)
        state = [x for state in optimizer.state for x in state.values()]
        found.append([
            ("loss", losses),
            ("parameter", [w.data for w in (*ws, *chosen)]),
            ("gradient", [w.grad for w in chosen]),
            ("state", state),
            ("steps", [float(optimizer.steps)]),
        ])  # fmt: skip
    for k, (x, y, size) in enumerate(zip(found[0][0][1], found[1][0][1], sizes, strict=True)):
        if exact and not (abs(x - y) <= 1e-14 * size or bits(x) == bits(y)):  # means of steps, added up in other parts
            raise Different("fit", f"loss {k}: {x!r}, of a loop {y!r}, with {case.fit}")
    for (what, xs), (_, ys) in zip(*found, strict=True):
        for k, (x, y) in enumerate(zip(xs, ys, strict=True)):
            if exact and what != "loss" and bits(x) != bits(y) and not x == y == 0.0:
                raise Different("fit", f"{what} {k}: {x!r}, of a loop {y!r}, with {case.fit}")
            if not exact and not _near(x, y, kind):
                raise Different("fit, ragged", f"{what} {k}: {x!r}, of a loop {y!r}, with {case.fit}")


def _near(x: float, y: float, kind: str) -> bool:
    """Return whether two trainings agree that round in other ways, which only the plain ones do not magnify."""
    if kind in ("RMSprop", "Adam", "AdamW", "frozen") or not max(abs(x), abs(y)) < 1e3:
        return True
    return abs(x - y) <= 1e-6 * max(abs(x), abs(y), 1.0)


def failure(case: Case) -> Exception | None:
    """Return what is wrong with a case."""
    try:
        check(case)
    except Exception as error:
        return error
    return None


def kind_of(error: Exception | None) -> str:
    return error.kind if isinstance(error, Different) else type(error).__name__


# Making it smaller.


def reduced(case: Case, seconds: float) -> Case:
    """Return a smaller case that fails in the same way."""
    kind, end = kind_of(failure(case)), time.monotonic() + seconds
    changed = True
    while changed and time.monotonic() < end:
        changed = False
        for smaller in _smaller(case):
            if time.monotonic() > end:
                break
            try:
                smaller = smaller._replace(graph=pruned(smaller.graph))
                same = kind_of(failure(smaller)) == kind
            except Exception:
                continue
            if same and smaller != case:
                case, changed = smaller, True
                break
    return case


def _smaller(case: Case) -> Iterator[Case]:
    graph, rows = case.graph, case.rows
    if case.fit:
        yield case._replace(fit=None)
    for size in (len(rows) // 2, len(rows) // 4, 1):
        for start in range(0, len(rows), size) if size else ():
            if len(rows) > size:
                yield case._replace(rows=rows[:start] + rows[start + size :])
    if len(graph.outputs) > 1:
        for i in range(len(graph.outputs)):
            yield case._replace(graph=graph._replace(outputs=graph.outputs[:i] + graph.outputs[i + 1 :]))
    leaves = len(graph.inputs) + len(graph.parameters)
    for i in range(leaves, leaves + len(graph.steps) - 1):
        if len(graph.outputs) == 1:
            yield case._replace(graph=graph._replace(outputs=(i,)))
    for k, (op, operands) in enumerate(graph.steps):
        for shorter in _shorter(op, operands):
            yield case._replace(graph=graph._replace(steps=(*graph.steps[:k], (op, shorter), *graph.steps[k + 1 :])))
        for slot, x in enumerate(operands):
            if isinstance(x, int) and x >= leaves:
                below = [y for y in graph.steps[x - leaves][1] if isinstance(y, int)]
                for other in dict.fromkeys([*below[:2], 0 if graph.inputs else 1.0, leaves - 1]):
                    changed = (*operands[:slot], other, *operands[slot + 1 :])
                    yield case._replace(
                        graph=graph._replace(steps=(*graph.steps[:k], (op, changed), *graph.steps[k + 1 :]))
                    )
    plain = tuple([tuple([round(x, 1) if math.isfinite(x) and abs(x) < 1e6 else x for x in row]) for row in rows])
    if plain != rows:
        yield case._replace(rows=plain)


def _shorter(op: Op, operands: tuple[int | float, ...]) -> Iterator[tuple[int | float, ...]]:
    """Yield fewer operands of an operation that takes any number: a half, a quarter, or one less."""
    if op.arity is not None:
        return
    sides = [list(operands)]
    if op is mc.dot:
        half = len(operands) // 2
        sides = [list(operands[:half]), list(operands[half : 2 * half])]
        if len(operands) % 2 and half:
            yield operands[:-1]
    bias = operands[len(sides) * len(sides[0]) :]
    for size in dict.fromkeys([len(sides[0]) // 2, len(sides[0]) // 4, 1]):
        for start in range(0, len(sides[0]), size) if size else ():
            fewer = [side[:start] + side[start + size :] for side in sides]
            if fewer[0]:
                yield (*fewer[0], *(fewer[1] if len(fewer) > 1 else ()), *bias)


def pruned(graph: Graph) -> Graph:
    """Return the graph without nodes that no output needs, and without parameters; inputs stay."""
    leaves, first = len(graph.inputs) + len(graph.parameters), len(graph.inputs)
    needed = {i for i in graph.outputs if isinstance(i, int)}
    for k in range(len(graph.steps) - 1, -1, -1):
        if leaves + k in needed:
            needed.update([i for i in graph.steps[k][1] if isinstance(i, int)])
    kept = [i for i in range(leaves + len(graph.steps)) if i in needed or i < first]
    place = {i: number for number, i in enumerate(kept)}

    def moved(xs: Sequence[int | float]) -> tuple[int | float, ...]:
        return tuple([place[x] if isinstance(x, int) else x for x in xs])

    return Graph(
        graph.inputs,
        tuple([graph.parameters[i - first] for i in kept if first <= i < leaves]),
        tuple([(graph.steps[i - leaves][0], moved(graph.steps[i - leaves][1])) for i in kept if i >= leaves]),
        moved(graph.outputs),
    )


def code(case: Case) -> str:
    """Return a case as code."""
    graph = case.graph
    inputs, leaves = len(graph.inputs), len(graph.inputs) + len(graph.parameters)

    def name(x: int | float) -> str:
        if isinstance(x, float):
            return f"constant({x!r})"
        return f"xs[{x}]" if x < inputs else f"ws[{x - inputs}]" if x < leaves else f"v{x - leaves}"

    lines = [
        "from math import inf, nan",
        "import micrograd_cn as mc",
        "from micrograd_cn import Value",
        "from micrograd_cn.compiler import compile, executable",
        "from micrograd_cn.engine import constant, record",
        *(["from tests.compiler.campaign import OWN"] if any(op in OWN for op, _ in graph.steps) else []),
        "",
        f"xs = [Value(x) for x in {list(graph.inputs)}]",
        f"ws = [Value(w) for w in {list(graph.parameters)}]",
    ]
    for k, (op, operands) in enumerate(graph.steps):
        known = f"mc.OPS[{op.name!r}]"
        if op in OWN:
            known = f"OWN[{OWN.index(op)}]"
        elif OPS.get(op.name) is not op:
            known = f"mc.ops._{op.name}"
        lines.append(f"v{k} = record({known}, [{', '.join(map(name, operands))}])")
    outputs = [name(i) for i in graph.outputs]
    lines += [
        f"y = {outputs[0] if len(outputs) == 1 else '[' + ', '.join(outputs) + ']'}",
        f"rows = {[list(row) for row in case.rows]}",
        "for executable.PATIENCE in (inf, 0.0):",
        "    program = compile(y, xs)",
        "    for w in ws:",
        "        w.grad = 0.0",
        "    print(program.forward(rows))",
        *(["    print(program.backward(rows), [w.grad for w in ws])"] if len(outputs) == 1 else []),
        *([f"# trained with {case.fit}: see _fit_like_loop"] if case.fit else []),
    ]
    return "\n".join(lines)


def main() -> int:
    """Draw graphs until one fails or all are done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graphs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="the graph to begin with")
    parser.add_argument("--failures", type=int, default=1, help="stop after so many")
    parser.add_argument("--seconds", type=float, default=60.0, help="to make a failing graph smaller")
    options = parser.parse_args()
    faulthandler.enable()
    families: Counter[str] = Counter()
    failed, steps, fitted, begun = 0, 0, 0, time.monotonic()
    for k in range(options.first, options.first + options.graphs):
        seed = f"{options.seed}/{k}"
        family, case = draw(seed)
        families[family] += 1
        steps += len(case.graph.steps)
        fitted += case.fit is not None
        error = failure(case)
        if error:
            failed += 1
            size = len(case.graph.steps), len(case.rows)
            print(
                f"\ngraph {seed}, {family}, {size[0]} nodes, {size[1]} rows: {type(error).__name__}: {error}",
                flush=True,
            )
            small = reduced(case, options.seconds)
            print(f"smaller: {failure(small)}\n\n{code(small)}\n", flush=True)
            if failed >= options.failures:
                break
        if (k + 1 - options.first) % 100 == 0:
            taken = time.monotonic() - begun
            print(f"{k + 1 - options.first} graphs, {steps} nodes, {taken:.0f} s, {failed} failed", flush=True)
    told = ", ".join(f"{count} {name}" for name, count in families.most_common())
    print(f"{sum(families.values())} graphs ({told}; {fitted} trained), {steps} nodes: {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
