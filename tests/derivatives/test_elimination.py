"""Eliminating nodes takes work that grows like the graph, and the cheaper direction."""

import itertools
import math

import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.derivatives.arithmetic import DerivativeArithmetic
from micrograd_cn.derivatives.sparse import sparse_hessian as hessian_entries
from micrograd_cn.derivatives.sparse import sparse_jacobian as jacobian_entries
from micrograd_cn.engine import topological_order


def chained(n):
    xs = [Value(0.5 + i / n) for i in range(n)]
    total = 0.0
    for a, b in itertools.pairwise(xs):
        total = total + 100 * (b - a**2) ** 2 + (1 - a) ** 2
    return total, xs


def summed(n):
    xs = [Value(0.5 + i / n) for i in range(n)]
    hub = mc.sin(xs[0])
    return mc.sum([x * x * hub for x in xs] + [mc.exp(xs[1])]), xs


def deep(n):
    x = Value(0.5)
    y = x
    for _ in range(n):
        y = mc.sin(y) + x
    return y, [x]


@pytest.mark.parametrize("problem", [chained, summed, deep])
def test_the_work_grows_like_the_graph(problem, monkeypatch):
    counted = []
    for name in ("multiply", "add"):
        real = getattr(DerivativeArithmetic, name)

        def spy(self, *args, real=real):
            counted.append(sum(map(len, args)) if real.__name__ == "add" else 1)
            return real(self, *args)

        monkeypatch.setattr(DerivativeArithmetic, name, spy)

    def work(n):
        counted.clear()
        y, xs = problem(n)
        hessian_entries(y, xs)
        first = sum(counted)
        jacobian_entries([y, *xs], xs)
        return first, sum(counted) - first

    (a, b), (c, d) = work(200), work(800)
    assert a > 0
    assert b > 0
    assert c < 4.2 * a  # four times the graph, and little beside
    assert d < 4.2 * b


def layered(widths):
    """Return the inputs and outputs of dense layers."""
    inputs = values = [Value(0.1 * i) for i in range(widths[0])]
    for width in widths[1:]:
        values = [mc.tanh(mc.dot(values, [Value(0.1 + i + j) for i in range(len(values))])) for j in range(width)]
    return inputs, values


@pytest.mark.parametrize(
    ("widths", "most"),
    [
        ([1, 9, 9, 9, 9], 9 + 3 * 90 + 9),  # forward: each product of a layer once
        ([9, 9, 9, 9, 1], 9 + 3 * 90 + 9),  # reverse
        ([9, 9, 1, 9, 9], 1_152 // 2),  # a mixture: forward it would be 1,224, in reverse 1,152
    ],
)
def test_the_cheaper_direction_is_taken(widths, most):
    inputs, outputs = layered(widths)
    found = jacobian_entries(outputs, inputs).values
    made = {*topological_order(*found)} - {*topological_order(*outputs)}
    assert len(found) == widths[0] * widths[-1]
    products = sum(node.op is mc.mul and all(x.requires_grad for x in node.parents) for node in made)
    assert products - sum(node.op is mc.sech for node in made) <= most  # beside the square in a tanh's derivative


@pytest.mark.slow
def test_deep_graphs_need_no_recursion():
    x, y = Value(0.5), Value(0.25)
    total = x
    for _ in range(50_000):
        total = total * 1.0 + y
    found = hessian_entries(mc.sin(total), [x, y], lower=True)
    assert found.rows == [0, 1, 1]
    assert found.values[2].data == pytest.approx(-math.sin(total.data) * 50_000.0**2)
