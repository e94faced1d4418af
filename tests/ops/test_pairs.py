"""All ways to differentiate agree at special values, for every pair of operations f(g(x, c), c) and f(g(x, c), x)."""

import math
import random
from collections.abc import Callable, Iterable
from itertools import product
from typing import Any

import pytest

import micrograd_cn as mc
from micrograd_cn import OPS, Value, gradients
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.engine import topological_order

Function = Callable[[Any, Any], Any]

# Functions of x and a constant c, with every operation of the table.
UNARY = [name for name, op in OPS.items() if op.arity == 1]
BINARY = [name for name, op in OPS.items() if op.arity == 2]
SIMPLE: dict[str, Function] = {name: (lambda op: lambda x, c: op(x))(OPS[name]) for name in UNARY}
for name in BINARY:
    SIMPLE[f"{name}(x, c)"] = (lambda op: lambda x, c: op(x, c))(OPS[name])
    SIMPLE[f"{name}(c, x)"] = (lambda op: lambda x, c: op(c, x))(OPS[name])
    SIMPLE[f"{name}(x, x)"] = (lambda op: lambda x, c: op(x, x))(OPS[name])
SIMPLE |= {
    "clip(x, c)": lambda x, c: mc.clip(x, c, 1.0),
    "clip(c, x)": lambda x, c: mc.clip(c, x, 2.0),
    "clip to x": lambda x, c: mc.clip(0.5, c, x),
    "where(x, c)": lambda x, c: mc.where(x, c, 1.0),
    "where(c, x)": lambda x, c: mc.where(c, x, 1.0),
    "where(x < c)": lambda x, c: mc.where(mc.less(x, c), x, c),
    "sum": lambda x, c: mc.sum([x, c, x]),
    "dot": lambda x, c: mc.dot([x], [c]),
    "dot with a bias": lambda x, c: mc.dot([x, c], [c, x], x),
    "logsumexp of one": lambda x, c: mc.logsumexp([x]),
    "logsumexp of two": lambda x, c: mc.logsumexp([x, c]),
    "logsumexp of three": lambda x, c: mc.logsumexp([x, c, x]),
    "take at 0": lambda x, c: mc.take([x, c], 0.0),
    "take at c": lambda x, c: mc.take([x, 2.0], c),
    "take at x": lambda x, c: mc.take([2.0, c], x),
    "mean": lambda x, c: mc.mean([x, c]),
    "softmax": lambda x, c: mc.softmax([x, c, 0.5])[0],
    "log_softmax": lambda x, c: mc.log_softmax([x, c, 0.5])[0],
}
PAIRS = list(product(SIMPLE, SIMPLE))

TINY = 5e-324
NUMBERS = [0.0, -0.0, TINY, 1e-308, 1e-16, 0.5, 1.0, 1.5, math.pi / 2, 2.0, 3.0, 709.0, 745.0, 1e16, 1e154, 1e308]
SPECIAL = [*NUMBERS, *[-x for x in NUMBERS[2:]], math.inf, -math.inf, math.nan]
EXACT = {
    "less",
    "less_equal",
    "equal",
    "step",
    "where",
    "maximum",
    "minimum",
    "relu",
    "take",
    "neg",
    "abs",
    "clip",
    "floor",
}


def test_every_row_is_in_a_pair():
    used = {node.op for f in SIMPLE.values() for node in topological_order(f(Value(0.5), Value(1.0)))}
    assert {*OPS.values()} <= used


def same(a: float, b: float, tolerance: float) -> bool:
    return (math.isnan(a) and math.isnan(b)) or a == b or math.isclose(a, b, rel_tol=tolerance, abs_tol=1e-307)


def backward(f: Function, x: float, c: Any) -> tuple[float, float]:
    """Return f(x, c) and its derivative with respect to x."""
    leaf = Value(x)
    y = f(leaf, c)
    if y.requires_grad:
        y.backward()
    return y.data, leaf.grad


class Rounding:
    """How far f(x, c) and its derivative may move if every operation on the way is off by up to three units.

    Attributes:
        values: f(x, c), computed again with rounding errors.
        derivatives: its derivative, computed again with rounding errors.
        magnitude: the largest sum of the absolute values of the products whose sum the derivative is.
        overflows: whether a product or a sum on the way may be infinite although its operands are finite.
    """

    def __init__(self, f: Function, x: float, c: float) -> None:
        self.leaf = Value(x)
        self.root = f(self.leaf, c)
        self.order = topological_order(self.root)
        self.magnitude, self.overflows = 0.0, False
        self.rng = random.Random(0)
        self.values, self.derivatives = zip(*[self._compute() for _ in range(24)], strict=True)

    def _rounded(self, x: float) -> float:
        return x * (1.0 + self.rng.uniform(-6e-16, 6e-16)) + self.rng.choice((-TINY, 0.0, TINY))

    def _compute(self) -> tuple[float, float]:
        data = {x: x.data for node in self.order for x in node.parents} | {self.leaf: self.leaf.data}
        for node in reversed(self.order):
            if node.op:
                y = node.op.forward(*[data[x] for x in node.parents])
                data[node] = y if node.op.name in EXACT else self._rounded(y)
                self.overflows |= self._sum_may_overflow(node, data)
        terms: dict[Value, list[float]] = {self.root: [1.0]}
        sizes = {self.root: 1.0}
        for node in self.order:
            if node.op and node in terms:
                gradient, operands = mc.sum(terms[node]), [data[x] for x in node.parents]
                partials = node.op.needed_partials(data[node], operands, [x.requires_grad for x in node.parents])
                self.overflows |= may_overflow([p or 0.0 for p in partials])
                for x, partial in zip(node.parents, partials, strict=True):
                    if partial is not None and x.requires_grad:
                        terms.setdefault(x, []).append(gradient * self._rounded(partial))
                        sizes[x] = sizes.get(x, 0.0) + sizes[node] * math.fabs(partial)
                        self.overflows |= math.isinf(sizes[x]) and math.isfinite(partial)
        self.magnitude = max(self.magnitude, sizes.get(self.leaf, 0.0))
        return data[self.root], mc.sum(terms.get(self.leaf, [0.0]))

    def _sum_may_overflow(self, node: Value, data: dict[Value, float]) -> bool:
        if not (node.op and node.op.lowerings.summands):
            return False
        pairs, added = node.op.lowerings.summands(*node.parents)
        return may_overflow([*[data[a] * data[b] for a, b in pairs], *[data[x] for x in added]])

    def explains(self, a: float, b: float, possible: tuple[float, ...]) -> bool:
        """Return whether b may stand in place of a, since it is one of the numbers that are possible, or between them.

        Three times the range of the numbers that were tried counts as possible.
        """
        if any(same(b, z, 1e-9) for z in possible):
            return True
        tried = [z for z in (a, *possible) if math.isfinite(z)]
        width = max(tried, default=0.0) - min(tried, default=0.0)
        return width > 0.0 and min(tried) - 3.0 * width <= b <= max(tried) + 3.0 * width


def may_overflow(terms: Iterable[float]) -> bool:
    """Return whether the sum of the finite terms overflows if they are added up one by one, whatever their signs."""
    return math.isinf(sum([math.fabs(x) for x in terms if math.isfinite(x)]))


def is_the_same_everywhere(f: Function) -> bool:
    """Return whether compiled derivatives know that the derivative of f by x is the same number for all x and c."""
    x, c = Value(1.0), Value(0.5)
    structure = compile(f(x, c), [x, c]).jacobian_structure()
    return dict(zip(structure[1], structure.constant, strict=True)).get(0, True)


def disagreements(f: Function, points: list[tuple[float, float]], inner: Function | None = None) -> list[str]:
    """Return a message for each point (x, c) where the ways to f(x, c) and to its derivative by x do not agree.

    A way may differ from `backward` by rounding, as `Rounding` says. There are two other exceptions. The compiled
    gradient may be a number where `backward` gives nan, if f or its part `inner` has the same derivative everywhere, or
    if x occurs several times in a sum of products: its factors are added before they are multiplied by an infinite
    derivative.
    """
    x, c, w = Value(1.0), Value(0.5), Value(1.0)
    recorded = f(x, c)
    program, parametric = compile(recorded, [x, c]), compile(f(w, c), [c])
    sums = [node for node in topological_order(recorded) if node.op and node.op.lowerings.summands]
    adds_factors = any([operand is x for operand in node.operands].count(True) > 1 for node in sums)
    found = []
    for point, [gradient, _] in zip(points, program.gradient(points), strict=True):
        value, expected = backward(f, *point)
        leaf = Value(point[0])
        [symbolic] = gradients(f(leaf, point[1]), [leaf], create_graph=True)
        w.data, w.grad = point[0], 0.0
        parametric.backward([point[1:]])
        again = backward(f, point[0], Value(point[1]))
        derivatives = {
            "backward with c as a Value": again[1],
            "create_graph": symbolic.data,
            "compiled backward": w.grad,
            "compiled gradient": gradient,
        }
        compiled = program.forward([point])[0]
        rounding: Rounding | None = None
        if value.hex() != again[0].hex():
            found.append(f"at {point}: value {value}, with c as a Value {again[0]}")
        if not same(value, compiled, 1e-13):
            rounding = Rounding(f, *point)
            if not (rounding.overflows or rounding.explains(value, compiled, rounding.values)):
                found.append(f"at {point}: value {value}, compiled {compiled}")
        for way, derivative in derivatives.items():
            if same(expected, derivative, 1e-9):
                continue
            may_be_known = adds_factors or any(map(is_the_same_everywhere, (f, inner or f)))
            if way == "compiled gradient" and may_be_known and math.isnan(expected):
                continue
            rounding = rounding or Rounding(f, *point)
            close = abs(expected - derivative) <= 1e-12 * rounding.magnitude
            if not (close or rounding.overflows or rounding.explains(expected, derivative, rounding.derivatives)):
                found.append(f"at {point}: backward {expected}, {way} {derivative}")
    return found


def check(outer: str, inner: str, count: int) -> None:
    rng = random.Random(f"{outer} {inner}")
    points = [(x, c) for x in SPECIAL for c in SPECIAL]
    f, g = SIMPLE[outer], SIMPLE[inner]
    for composed in (lambda x, c: f(g(x, c), c), lambda x, c: f(g(x, c), x)):
        found = disagreements(composed, rng.sample(points, count), g)
        assert not found, f"{outer} of {inner}: " + "; ".join(found[:5])


@pytest.mark.parametrize("name", SIMPLE)
def test_all_ways_agree_at_special_values(name):
    f = SIMPLE[name]
    found = disagreements(f, [(x, c) for x in SPECIAL for c in (0.0, -0.5, math.inf, math.nan)])
    assert not found, "; ".join(found[:5])


@pytest.mark.parametrize("name", UNARY)
def test_second_derivatives_agree_at_special_values(name):
    op, leaf = OPS[name], Value(1.0)
    hessians = compile(op(leaf), [leaf]).hessian([(x,) for x in SPECIAL], dense=True)
    for x, [[entry]] in zip(SPECIAL, hessians, strict=True):
        leaf = Value(x)
        [first] = gradients(op(leaf), [leaf], create_graph=True)
        [second] = gradients(first, [leaf], create_graph=True)
        assert same(gradients(first, [leaf])[0], second.data, 1e-12), x
        assert same(second.data, entry, 1e-12), x


@pytest.mark.parametrize(
    "pairs", [slice(1), pytest.param(slice(1, 2), marks=pytest.mark.thorough)], ids=["one", "next"]
)
@pytest.mark.parametrize("outer", SIMPLE)
def test_all_ways_agree_for_some_pairs(outer, pairs):
    for inner in random.Random(outer).sample([*SIMPLE], 2)[pairs]:
        check(outer, inner, 12)


@pytest.mark.parametrize("comparison", ["step", "less(x, c)", "less_equal(c, x)", "equal(x, c)"])
def test_a_derivative_may_be_the_result_of_a_comparison(comparison):
    check("mul(c, x)", comparison, 12)


@pytest.mark.slow
@pytest.mark.parametrize("outer", SIMPLE)
def test_all_ways_agree_for_all_pairs(outer):
    for inner in SIMPLE:
        check(outer, inner, 30)
