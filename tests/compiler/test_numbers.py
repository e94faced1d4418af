"""Compiled graphs give the eager engine's numbers: at special values, for any number of rows, in sums of any order."""

import math
import random
from itertools import product
from math import inf, nan

import pytest

import micrograd_cn as mc
from micrograd_cn import OPS, Op, Value, gradients
from micrograd_cn.compiler import Mismatch, compile  # noqa: A004 -- the field's name
from micrograd_cn.engine import constant, record
from micrograd_cn.nn import MLP

from .common import ACTIVATIONS, assert_like_eager, close, in_turn, lanes, settings

EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -3.0, 1e-20, -700.5, 36.5, 1e300, -1e300, inf, -inf, nan]


@pytest.mark.parametrize("op", OPS.values(), ids=lambda op: op.name)
@pytest.mark.parametrize("code", ["threaded", "native"], indirect=True)  # the other kinds differ in large graphs only
def test_every_row_is_compiled_with_its_special_values(code, op):
    """Each operation has the engine's values and derivatives at inf, nan, signed zeros and kinks.

    This holds where it is computed once for each row, and where it is computed once for a batch.
    """
    n = {"dot": 5, "take": 5}.get(op.name, op.arity or 3)
    ws, xs = [Value(1.0) for _ in range(n)], [Value(1.0) for _ in range(n)]
    by_sample = compile(record(op, tuple([w * x for w, x in zip(ws, xs, strict=True)])), xs)
    by_batch = compile(record(op, tuple(ws)), [])
    rng = random.Random(0)
    points = list(product(EDGES, repeat=n)) if n < 3 else [[rng.choice(EDGES) for _ in range(n)] for _ in range(200)]
    points += [[rng.gauss(0.0, 2.0) for _ in range(n)] for _ in range(20)]

    def size(point):
        if op.name == "dot":
            return mc.sum([abs(a * b) for a, b in zip(point[:2], point[2:4], strict=True)])
        return math.fsum(map(abs, point)) if op.name == "sum" else 0.0

    for point, found in zip(points, by_sample.forward(points), strict=True):
        assert close(found, record(op, tuple(map(Value, point))).data, size(point)), point
    for point in rng.sample(points, min(len(points), 30)):
        for w, x in zip(ws, point, strict=True):
            w.data = x
        y = record(op, tuple(ws))
        expected = [0.0 + g for g in gradients(y, ws)]
        for program, rows in ((by_sample, [[1.0] * n] * 3), (by_batch, [[]])):
            assert all(close(found, y.data, size(point)) for found in program.forward(rows)), point
            for w in ws:
                w.grad = 0.0
            program.backward(rows)
            assert all(close(w.grad, g) for w, g in zip(ws, expected, strict=True)), (point, [w.grad for w in ws])


@pytest.mark.parametrize(
    ("code", "exponent", "sampled"), in_turn([-2.5, -1.5, -0.5, 0.5, 1.5], [True, False]), indirect=["code"]
)
def test_powers_of_halves_have_the_eager_numbers_and_derivatives(code, exponent, sampled):
    """Powers with exponents such as 0.5 and -1.5 are compiled with square roots, and give the engine's numbers."""
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


def test_every_number_of_rows(code):
    """Results are right for any number of rows, also where it is no multiple of a vector's width."""
    w, v, x, y = Value(0.5), Value(-0.25), Value(1.0), Value(1.0)
    outputs = [w * x + y, v * w, mc.sum([w, v, x, y])]
    program, training = compile(outputs, [x, y]), compile(w * x * x + v * y, [x, y])
    rng = random.Random(0)
    for n in (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 40, 63, 64, 65, 128, 300):
        rows = [[rng.randrange(-8, 9) * 0.25, rng.randrange(-8, 9) * 0.5] for _ in range(n)]  # sums are exact
        assert program.forward(rows) == [[0.5 * x + y, -0.125, 0.25 + x + y] for x, y in rows]
        w.grad = v.grad = 0.0
        assert training.backward(rows) == pytest.approx(sum(0.5 * x * x - 0.25 * y for x, y in rows) / n, rel=1e-14)
        assert w.grad == pytest.approx(sum(x * x for x, _ in rows) / n, rel=1e-14)
        assert v.grad == pytest.approx(sum(y for _, y in rows) / n, rel=1e-14, abs=1e-14)


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_every_panel_and_every_lane_of_the_last_one_is_done(code, blocks):
    """No row is lost if the rows fill a panel of memory, several panels, or part of the last one."""
    ws, xs = [Value(0.1 * k - 0.3) for k in range(18)], [Value(0.1) for _ in range(9)]

    def f(*xs):
        layer = [mc.dot(ws[k : k + 9], xs) for k in range(4)]
        return mc.dot(layer, layer) + mc.dot([x * x for x in xs], xs)

    rng = random.Random(0)
    with settings({"loops.plan.MAX_BLOCKS": blocks}):
        for count in (3, blocks * lanes() - 1, blocks * lanes(), 2 * blocks * lanes() + 3):
            rows = [[rng.randrange(-8, 9) * 0.25 for _ in xs] for _ in range(count)]
            assert_like_eager(f, xs, ws, rows)


@pytest.mark.parametrize(("code", "activation"), in_turn(ACTIVATIONS), indirect=["code"])
def test_networks_of_every_activation(code, activation):
    model = MLP(9, [12, 10, 3], activation=activation, seed=1)
    rng = random.Random(0)
    rows = [[rng.gauss(0, 1) for _ in range(9)] + [float(k == i % 3) for k in range(3)] for i in range(21)]

    def loss(*row):
        logits = model(row[:9])
        return mc.logsumexp(logits) - mc.dot(row[9:], logits)

    assert_like_eager(loss, [Value(0.3) for _ in range(12)], model.parameters(), rows)


@pytest.mark.parametrize(
    ("code", "n", "order"),
    in_turn([1, 7, 8, 9, 12, 33, 70], ["straight", "backwards", "shuffled", "repeated"]),
    indirect=["code"],
)
def test_sums_of_products_of_every_length_and_order(code, n, order):
    """Sums are right for any length, and for operands in any order: with a stride, shuffled or repeated.

    The compiler chooses another loop for each of these.
    """
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
            mc.dot([ws[i] for i in places], xs, ws[0])  # parameters times inputs
            + mc.dot(hidden, [xs[i] for i in places])  # both factors depend on the row
            + mc.dot(ws, [ws[i] for i in places])  # parameters times parameters
            + mc.dot([hidden[i] for i in places], ws)
            + mc.sum([w * w for w in ws])
            + mc.sum([hidden[i] for i in places])
        )

    rows = [[rng.gauss(0, 1) for _ in range(n)] for _ in range(5)]
    assert_like_eager(f, xs, ws, rows, rel=1e-12)


@pytest.mark.parametrize(
    ("code", "n", "sampled", "name"), in_turn([4, 12, 40], [True, False], ["sum", "dot"]), indirect=["code"]
)
def test_a_compiled_sum_may_overflow_on_its_way_and_check_tells(code, name, sampled, n):
    """Where a compiled sum overflows before large terms cancel, and the engine's does not, `check` says so.

    This is a limit of compiled code that the package's docstring names.
    """
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
    """A sum of negative zeros is the engine's 0.0, so dividing by it gives inf and not -inf."""
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
    """A product is rounded before it is added where the graph has a product, so a * a - b * b is 0 for equal a and b.

    A fused multiply-add would round once, and give a small number whose square root may be nan.
    """
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
    """The gradient is right if a value is computed once for a batch and its partial derivative once for each row."""
    scaled = Op("scaled", lambda x, scale: x + 0.0, (lambda y, x, scale: scale, lambda y, x, scale: 0.0))
    w, v = Value(0.5), Value(2.0)
    rows = [[1.0], [2.0], [6.0]]
    assert_like_eager(lambda x: mc.tanh(scaled(w * v, x)) * v, [Value(1.0)], [w, v], rows)
    assert_like_eager(lambda x: mc.sin(scaled(w, x)) * x, [Value(1.0)], [w], rows)


def test_lanes_left_over_add_no_nan_to_an_infinite_gradient(code):
    """Lanes without a row, at the end of the last vector, do not change the sum over rows.

    Whatever such lanes contain may be infinite, and multiplying it by 0 would add nan.
    """
    w = Value(0.0)
    assert_like_eager(lambda x: mc.log(w * x), [Value(1.0)], [w], [[1.0], [1.0], [2.0]])
    assert_like_eager(lambda x: mc.sqrt(w * x), [Value(1.0)], [w], [[k + 1.0] for k in range(19)])


def test_several_outputs_the_same_one_twice_leaves_and_constants(code):
    """Outputs may be inputs, parameters and constants, or the same node twice."""
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
    """An input may be unused, an output may depend on parameters alone, and there may be no parameter."""
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
    """A parameter's data may change between calls, and a constant's data is read once, when the graph is compiled."""
    x, w, c = Value(2.0), Value(3.0), Value(4.0).detach()
    program = compile(w * x + c, [x])
    w.data, c.data = 10.0, 100.0
    assert program.forward([[1.0]]) == [14.0]
    assert program.parameters == [w]


@pytest.mark.parametrize(("code", "n"), in_turn([2, 4, 6, 3]), indirect=["code"])
def test_logarithms_of_sums_of_exponentials_are_the_engines_at_infinities_and_ties(code, n):
    """`logsumexp` and `softmax` have the engine's values if operands are equal, infinite, nan, or very different."""
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


def test_sums_of_negative_zeros_are_zeros_of_the_engines_sign(code):
    """A sum or dot product of negative zeros has the sign that the engine gives it, for short and long sums."""
    ws, xs = [Value(1.0) for _ in range(40)], [Value(-0.0) for _ in range(40)]
    for n in (1, 2, 3, 9, 40):
        f = [
            lambda xs, n=n: mc.dot(ws[:n], xs[:n]),
            lambda xs, n=n: mc.sum(xs[:n]),
            lambda xs, n=n: mc.dot(xs[:n], xs[:n]),
        ]
        outputs = [g(xs) for g in f]
        for rows in (1, 3):
            for found in compile(outputs, xs).forward([[-0.0] * 40] * rows):
                assert [math.copysign(1.0, y) for y in found] == [math.copysign(1.0, y.data) for y in outputs]


@pytest.mark.parametrize(
    "divisor", [1.0, -1.0, 2.0, -0.25, 2.0**1022, 2.0**-1022, 3.0, 0.0, -0.0, 2.0**1023, 5e-324, inf]
)
def test_quotients_have_the_engines_bits(divisor):
    """A division by a constant has the engine's bits, even where the compiler multiplies by the reciprocal.

    It may do so only if the reciprocal is exact, as for powers of two, and is not subnormal.
    """
    x = Value(1.0)
    program = compile([x / divisor if divisor else mc.div(x, divisor), x * 1.0, x + 0.0, x - 0.0], [x])
    numbers = [0.0, -0.0, 5e-324, -1.5e-323, 2.3e-308, 1.1, math.pi, 1.7e308, -inf]
    for number, found in zip(numbers, program.forward([[y] for y in numbers]), strict=True):
        assert repr(found) == repr([mc.div(number, divisor), number, number + 0.0, number])


def test_nothing_is_lost_where_numbers_are_the_same_but_for_their_sign(code):
    """The compiler does not take the constants 0.0 and -0.0 for the same number."""
    x, w = Value(1.0), Value(2.0)
    program = compile([w * x + 0.0, mc.div(1.0, w * 0.0 * x), mc.div(1.0, -0.0 * w * x), mc.atan2(x * 0.0, -1.0)], [x])
    for rows in (1, 3):
        assert program.forward([[1.0]] * rows) == [[2.0, inf, -inf, math.pi]] * rows
        assert program.forward([[-1.0]] * rows) == [[-2.0, -inf, inf, -math.pi]] * rows


@pytest.mark.parametrize("exponent", [-3.0, -1.0, 0.0, 1.0, 2.0, 3.0])
def test_whole_powers_have_the_engines_numbers(exponent):
    """Powers with small whole exponents have the engine's numbers, although x**2 is compiled as x * x."""
    x, w = Value(1.5), Value(1.0)
    rows = [[y] for y in (-2.5, -1.0, 0.5, 3.0, 1e-100)]
    assert_like_eager(lambda x: w * x**exponent + w**exponent, [x], [w], rows)


def test_long_sums_that_start_from_constants_of_their_own_have_their_own(code):
    """Long sums that are computed together in one loop may each start from other constants and terms."""
    xs, w = [Value(0.1 * k) for k in range(40)], Value(1.0)

    def f(*xs):
        return mc.sum([
            mc.tanh(mc.sum([*(w * (0.01 * (j + 1) * (k - 3)) * x for k, x in enumerate(xs)), *start]))
            for j, start in enumerate([[], [1.5], [2.5], [0.0], [w], [xs[3]], [w, 0.5], [xs[1], xs[2]], [xs[1] * w]])
        ])  # fmt: skip

    rng = random.Random(0)
    assert_like_eager(f, xs, [w], [[rng.gauss(0, 1) for _ in xs] for _ in range(19)])
