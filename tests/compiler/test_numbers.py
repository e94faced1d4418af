"""Compiled graphs have the eager numbers: special values, every count of rows."""

import math
import operator
import random
from itertools import product
from math import inf, nan

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import micrograd_cn as mc
from micrograd_cn import OPS, Op, Value, gradients
from micrograd_cn.compiler import Mismatch, compile  # noqa: A004 -- the field's name
from micrograd_cn.engine import constant, record
from micrograd_cn.nn import MLP
from micrograd_cn.testing import expressions
from micrograd_cn.testing.numerical import rounding_error

from .common import ACTIVATIONS, assert_like_eager, choose, close, sizes

EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -3.0, 1e-20, -700.5, 36.5, 1e300, -1e300, inf, -inf, nan]


@given(expressions(), st.integers(0, 3))
@settings(
    max_examples=max(20, settings().max_examples // 2), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_expressions_give_the_eager_numbers(code, f, count):
    count = min(count, len(f.point))
    inputs, parameters = [[Value(x) for x in part] for part in (f.point[:count], f.point[count:])]
    y = f(*inputs, *parameters)
    if not isinstance(y, Value) or y.op is None:
        return
    row = f.point[:count]
    program = compile(y, inputs)
    expected, size = gradients(y, parameters, create_graph=True), sizes(y)
    for rows in ([row], [row] * 3):
        for found in program.forward(rows):
            assert abs(found - y.data) <= 1e-12 * abs(y.data) + 16 * rounding_error(y)
        for p in parameters:
            p.grad = 0.0
        program.backward(rows)
        for p, g in zip(parameters, expected, strict=True):
            assert abs(p.grad - g.data) <= 1e-12 * abs(g.data) + 16 * (rounding_error(g) + 2.0**-53 * size[p])


@pytest.mark.parametrize("op", OPS.values(), ids=lambda op: op.name)
@pytest.mark.parametrize("kind", ["threaded", "native"])  # the others are for many operations
def test_every_row_is_compiled_with_its_special_values(kind, op, monkeypatch):
    choose(monkeypatch, kind)
    n = {"dot": 5, "take": 5}.get(op.name, op.arity or 3)
    ws, xs = [Value(0.5) for _ in range(n)], [Value(1.0) for _ in range(n)]
    by_sample = compile(record(op, tuple([w * x for w, x in zip(ws, xs, strict=True)])), xs)
    by_batch = compile(record(op, tuple(ws)), [])
    points = list(product(EDGES, repeat=n)) if n < 3 else []
    rng = random.Random(0)
    points += [[rng.choice(EDGES) for _ in range(n)] for _ in range(200 if n > 2 else 0)]
    points += [[rng.gauss(0.0, 2.0) for _ in range(n)] for _ in range(20)]
    for point in points:
        for w, x in zip(ws, point, strict=True):
            w.data = x
        y = record(op, tuple(ws))
        expected = [0.0 + g for g in gradients(y, ws)]
        magnitude = math.fsum(map(abs, point)) if op.name == "sum" else 0.0
        if op.name == "dot":
            magnitude = mc.sum([abs(a * b) for a, b in zip(point[:2], point[2:4], strict=True)])
        for program, row in ((by_sample, [1.0] * n), (by_batch, [])):
            for rows in ([row], [row] * 3):
                assert all(close(found, y.data, magnitude) for found in program.forward(rows)), point
                for w in ws:
                    w.grad = 0.0
                program.backward(rows)
                assert all(close(w.grad, g) for w, g in zip(ws, expected, strict=True)), (point, [w.grad for w in ws])


@pytest.mark.parametrize("exponent", [-2.5, -1.5, -0.5, 0.5, 1.5])
@pytest.mark.parametrize("sampled", [True, False])
def test_powers_of_halves_have_the_eager_numbers_and_derivatives(code, exponent, sampled):
    w, x = Value(0.5), Value(1.0)

    def f():
        return w * (x if sampled else w) ** exponent

    program = compile(f(), [x])
    rng = random.Random(0)
    points = [*EDGES, *(10.0 ** rng.uniform(-307, 307) for _ in range(20)), 5e-324, 1e-310, 1.7e308]
    for point in points:
        (x if sampled else w).data = point
        z = f()
        [expected] = [0.0 + g for g in gradients(z, [w])]
        for rows in ([[x.data]], [[x.data]] * 20):
            for found in program.forward(rows):
                assert close(found, z.data), point
                assert found != found or math.copysign(1.0, found) == math.copysign(1.0, z.data), point
            w.grad = 0.0
            program.backward(rows)
            assert close(w.grad, expected), point


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 8, 9, 16, 17, 40, 128, 300])
def test_every_number_of_rows(code, rows):
    model = MLP(3, [4, 1], activation="tanh", seed=0)
    rng = random.Random(rows)
    data = [[rng.uniform(-1, 1) for _ in range(4)] for _ in range(rows)]
    assert_like_eager(
        lambda a, b, c, t: (model([a, b, c]) - t) ** 2, [Value(0.1) for _ in range(4)], model.parameters(), data
    )


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_networks_of_every_activation(code, activation):
    model = MLP(9, [12, 10, 3], activation=activation, seed=1)
    rng = random.Random(0)
    rows = [[rng.gauss(0, 1) for _ in range(9)] + [float(k == i % 3) for k in range(3)] for i in range(21)]

    def loss(*row):
        logits = model(row[:9])
        return mc.logsumexp(logits) - mc.dot(row[9:], logits)

    assert_like_eager(loss, [Value(0.3) for _ in range(12)], model.parameters(), rows)


@pytest.mark.parametrize("n", [1, 7, 8, 9, 33, 70])
@pytest.mark.parametrize("order", ["straight", "backwards", "shuffled", "repeated"])
def test_sums_of_products_of_every_length_and_order(code, n, order):
    rng = random.Random(n)
    ws, xs = [Value(rng.gauss(0, 1)) for _ in range(n)], [Value(0.1) for _ in range(n)]
    places = list(range(n))
    if order == "backwards":
        places.reverse()
    elif order == "shuffled":
        rng.shuffle(places)
    elif order == "repeated":
        places = [rng.randrange(n) for _ in range(n)]

    def f(*xs):
        hidden = [x * x for x in xs]
        return (
            mc.dot([ws[i] for i in places], xs, ws[0])  # parameters by inputs
            + mc.dot(hidden, [xs[i] for i in places])  # samples by samples
            + mc.dot(ws, [ws[i] for i in places])  # parameters by parameters
            + mc.dot([hidden[i] for i in places], ws)
            + mc.sum([w * w for w in ws])
            + mc.sum([hidden[i] for i in places])
        )

    rows = [[rng.gauss(0, 1) for _ in range(n)] for _ in range(5)]
    assert_like_eager(f, xs, ws, rows, rel=1e-12)


@pytest.mark.parametrize("place", [0, 9, 20])
def test_a_long_sum_of_samples_may_have_one_other_term(code, place):
    xs, w = [Value(0.5 + i) for i in range(20)], Value(100.0)
    rows = [[i - 0.5 * k for i in range(20)] for k in range(3)]
    for other in (w, 3.0):
        assert_like_eager(lambda *xs, other=other: w * mc.sum([*xs[:place], other, *xs[place:]]), xs, [w], rows)


@pytest.mark.parametrize("n", [4, 12, 40])
@pytest.mark.parametrize("sampled", [True, False])
@pytest.mark.parametrize("name", ["sum", "dot"])
def test_a_compiled_sum_may_overflow_on_its_way_and_check_tells(code, name, sampled, n):
    xs, ws, one = [Value(1.0) for _ in range(n)], [Value(1.0) for _ in range(n)], Value(1.0)

    def f(*xs):
        operands = xs if sampled else ws
        return mc.sum([*operands, one]) if name == "sum" else mc.dot(operands, [one] * n, one)

    program = compile(f(*xs), xs)
    for size in (1.0, 1.7e308):
        row = [(size, size, -size, -size)[k % 4] for k in range(n)]
        for w, x in zip(ws, row, strict=True):
            w.data = x
        assert f(*map(Value, row)).data == 1.0
        for rows in ([row], [row] * 3):
            if size == 1.0:
                program.check(rows, f)
            else:
                assert not any(map(math.isfinite, program.forward(rows)))
                with pytest.raises(Mismatch):
                    program.check(rows, f)


def test_sums_have_no_negative_zero(code):
    x, w = Value(1.0), Value(-0.0)
    for n in (1, 2, 3, 9, 17):
        for f in (
            lambda x, n=n: mc.sum([x] * n),
            lambda x, n=n: mc.sum([w, *[x] * n]),
            lambda x, n=n: mc.dot([x] * n, [1.0] * n),
            lambda x, n=n: mc.dot([x * x * w] * n, [1.0] * n, w),
        ):
            assert compile(mc.div(1.0, f(x)), [x]).forward([[-0.0]]) == [mc.div(1.0, f(Value(-0.0))).data] == [inf]


def test_products_are_rounded_as_in_the_graph(code):
    a, b, c, w = Value(0.1), Value(0.1), Value(-0.1), Value(1.0)
    tenths = [k / 10 for k in range(1, 10)]
    for f in (lambda a, b, c: mc.sqrt(a * a - b * b), lambda a, b, c: mc.sqrt(mc.sum([a * a, b * c]))):
        program = compile(w * f(a, b, c), [a, b, c])
        assert program.forward([[x, x, -x] for x in tenths]) == [0.0] * 9
        w.grad = 0.0
        program.backward([[0.1, 0.1, -0.1], [0.5, 0.3, -0.3]])
        assert w.grad == 0.5 * f(0.5, 0.3, -0.3)
    for f, row in (
        (lambda a, b, c: mc.sum([a * a, b, c]), [1e200, -inf, 0.0]),
        (lambda a, b, c: mc.sum([a * a, b, c]), [1.35e154, -1e308, 0.0]),
        (lambda a, b, c: a * a - b, [1e200, inf, 0.0]),
        (lambda a, b, c: a * a - b, [1.35e154, 1e308, 0.0]),
    ):
        [found] = compile(f(a, b, c), [a, b, c]).forward([row])
        assert found == f(*row) or math.isnan(found) == math.isnan(f(*row)) is True


def test_a_partial_may_depend_on_a_row_where_the_value_does_not(code):
    scaled = Op("scaled", lambda x, scale: x + 0.0, (lambda y, x, scale: scale, lambda y, x, scale: 0.0))
    w, v = Value(0.5), Value(2.0)
    rows = [[1.0], [2.0], [6.0]]
    assert_like_eager(lambda x: mc.tanh(scaled(w * v, x)) * v, [Value(1.0)], [w, v], rows)
    assert_like_eager(lambda x: mc.sin(scaled(w, x)) * x, [Value(1.0)], [w], rows)


def test_a_large_graph_and_one_of_many_functions(code):
    rng = random.Random(0)
    ws = [Value(rng.uniform(-1, 1)) for _ in range(30)]
    choices = [(rng.randrange(5), rng.randrange(30), rng.randrange(30)) for _ in range(1500)]

    kinds = [operator.mul, operator.add, lambda x, y: mc.tanh(x), lambda x, y: mc.relu(y), lambda x, y: 0.5 * x - y]

    def f(*xs):
        pool = [*xs, *ws]
        for kind, a, b in choices:
            made = kinds[kind](pool[-1 - a], pool[-1 - b])
            pool.append(mc.tanh(made) if len(pool) % 7 == 0 else made * 0.7)
        return mc.sum(pool[-30:])

    rows = [[rng.uniform(-1, 1) for _ in range(3)] for _ in range(18)]
    assert_like_eager(f, [Value(0.5) for _ in range(3)], ws, rows, rel=1e-9)


def test_a_hessian_compiles(code):
    a, b, x = Value(0.3), Value(-0.7), Value(1.5)

    def f(x):
        return mc.tanh(a * x) * mc.exp(b * x * a)

    def entries(x):
        first = gradients(f(x), [a, b], create_graph=True)
        return [second for g in first for second in gradients(g, [a, b], create_graph=True)]

    program = compile(entries(x), [x])
    for row, compiled in zip(rows := [[1.5], [-0.4], [0.0]], program.forward(rows), strict=True):
        assert compiled == pytest.approx([y.data for y in entries(Value(row[0]))], rel=1e-12)
    penalty = mc.sum([g * g for g in gradients(f(x), [a, b], create_graph=True)])
    compile(penalty, [x]).backward([[1.5]])
    compiled, a.grad, b.grad = (a.grad, b.grad), 0.0, 0.0
    mc.sum([g * g for g in gradients(f(x), [a, b], create_graph=True)]).backward()
    assert compiled == pytest.approx((a.grad, b.grad), rel=1e-12)


def test_lanes_left_over_add_no_nan_to_an_infinite_gradient(code):
    w = Value(0.0)
    assert_like_eager(lambda x: mc.log(w * x), [Value(1.0)], [w], [[1.0], [1.0], [2.0]])
    assert_like_eager(lambda x: mc.sqrt(w * x), [Value(1.0)], [w], [[k + 1.0] for k in range(19)])


def test_several_outputs_the_same_one_twice_leaves_and_constants(code):
    x, w = Value(2.0), Value(3.0)
    y = w * x
    program = compile([y, y, x, w, constant(7.0), mc.exp(w)], [x])
    assert program.forward([[5.0], [1.0]]) == [
        [15.0, 15.0, 5.0, 3.0, 7.0, math.exp(3.0)],
        [3.0, 3.0, 1.0, 3.0, 7.0, math.exp(3.0)],
    ]
    assert compile(w, [x]).backward([[1.0]] * 3) == 3.0
    assert w.grad == 1.0
    assert compile(x, [x]).forward([[4.0]]) == [4.0]
    assert compile(x, [x]).backward([[4.0], [6.0]]) == 5.0


def test_what_does_not_depend_on_an_input_or_a_parameter(code):
    x, unused, w = Value(2.0), Value(1.0), Value(3.0)
    program = compile(w * x, [x, unused])
    assert program.forward([[5.0, nan]]) == [15.0]
    program.backward([[5.0, nan]])
    assert w.grad == 5.0
    program = compile(mc.exp(w), [x])
    w.grad = 0.0
    assert program.backward([[1.0]] * 20) == pytest.approx(math.exp(3.0))
    assert w.grad == pytest.approx(math.exp(3.0))
    assert compile(x * 2, [x]).parameters == []
    assert compile(x * 2, [x]).backward([[1.0], [2.0]]) == 3.0


def test_parameters_are_read_at_each_call_and_constants_when_compiled():
    x, w, c = Value(2.0), Value(3.0), Value(4.0).detach()
    program = compile(w * x + c, [x])
    w.data, c.data = 10.0, 100.0
    assert program.forward([[1.0]]) == [14.0]
    assert program.parameters == [w]


@pytest.mark.parametrize("n", [2, 4, 6])
def test_logarithms_of_sums_of_exponentials_are_the_engines_at_infinities_and_ties(code, n):
    rng = random.Random(n)
    rows = [*product([0.0, 2.5, inf, -inf, nan], repeat=n)]
    rows = [
        *rng.sample(rows, min(len(rows), 300)),
        [1e308] * n,
        [-745.0, *[0.0] * (n - 1)],
        [-1.0, *[-900.0] * (n - 1)],
    ]
    xs = [Value(0.5) for _ in range(n)]
    found = compile([mc.logsumexp(xs), *mc.softmax(xs)], xs).forward(rows)
    singles = [compile([mc.logsumexp(xs), *mc.softmax(xs)], xs).forward([row])[0] for row in rows[-20:]]
    for row, numbers in zip([*rows, *rows[-20:]], [*found, *singles], strict=True):
        assert numbers == pytest.approx([mc.logsumexp(row), *mc.softmax(row)], rel=1e-14, abs=0.0, nan_ok=True), row
