"""Strategies reach every magnitude, reject no draw, and shrink to few steps with simple numbers."""

import itertools
import math
import os
import subprocess
import sys
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

import micrograd_cn as mc
from micrograd_cn import OPS, Op, Value
from micrograd_cn.ops.traits import REAL, Notation, Smoothness
from micrograd_cn.testing import (
    Expression,
    GradientMismatch,
    PartlyCompared,
    TooNoisy,
    expressions,
    gradcheck,
    networks,
    points,
    values,
)
from micrograd_cn.testing.drawing.smooth_steps import nudged_input, smooth_step
from micrograd_cn.testing.drawing.suspicious_intervals import suspicious_intervals

from .planted import NOISY, PLANTED

# Expressions.


@pytest.mark.parametrize("op", PLANTED.values(), ids=list(PLANTED))
def test_a_property_test_finds_a_planted_mistake_and_shrinks_it(op):
    @settings(settings.get_profile("ci"), phases=[Phase.generate, Phase.shrink], report_multiple_bugs=False)
    @given(expressions([op, mc.add, mc.mul, mc.tanh]))
    def every_gradient_is_right(f):
        gradcheck(f, *f.point, order=2)

    with pytest.raises(GradientMismatch) as caught:
        every_gradient_is_right()
    assert str(caught.value).count("bad(") == 1, "the smallest failing expression uses the bad operation once"


@pytest.mark.parametrize(
    "name", ["exp-1", "normal", *(pytest.param(name, marks=pytest.mark.slow) for name in ("1-cos", "log(cosh)"))]
)
def test_property_tests_accept_what_is_right_but_noisy(name):
    @given(expressions([NOISY[name], mc.add, mc.mul, mc.tanh]))
    def every_gradient_is_right(f):
        with suppress(TooNoisy, PartlyCompared):  # as where a rounded 0 is multiplied by a large number
            gradcheck(f, *f.point)

    every_gradient_is_right()
    for x in (1e-30, 1e-7, 3e-232):
        gradcheck(NOISY[name], x)


def test_refused_arguments():
    for refused in ({"ops": []}, {"max_inputs": 0}, {"max_steps": 0}):
        with pytest.raises(ValueError, match=r"^expressions: (ops has no operations|max_\w+ must be an int)"):
            expressions(**refused)


@pytest.mark.slow
def test_few_draws_are_wasted():
    drawn, empty, calls = [], 0, 0

    @settings(max_examples=600, database=None, derandomize=True)
    @given(expressions())
    def draw(f):
        nonlocal empty, calls
        calls += 1
        y = f(*f.point)
        assert math.isfinite(y)
        drawn.extend(op.name for op, _ in f.steps)
        empty += not f.steps

    draw()
    assert calls == 600, "no draw is rejected"
    assert empty < 0.03 * calls
    assert set(drawn) == set(OPS), "every operation of the table is drawn"


def drawn_from(strategy, count=300):
    """Return what the strategy draws."""
    found = []

    @settings(max_examples=count, database=None, derandomize=True, phases=[Phase.generate])
    @given(strategy)
    def draw(x):
        found.append(x)

    draw()
    return found


def numbers(f):
    """Return the inputs and constants of an expression."""
    return [*f.point, *[x for _, operands in f.steps for x in operands if not isinstance(x, int)]]


def reaches(xs):
    """Return whether the numbers are of every magnitude, with both zeros among them."""
    sizes = [abs(x) for x in xs]
    decades = {math.floor(math.log10(x)) for x in sizes if x}
    assert set(range(-6, 6)) <= decades
    assert min(decades) < -50
    assert max(decades) > 50
    assert {math.copysign(1.0, x) for x in xs if x == 0.0} == {1.0, -1.0}
    assert sum(x.is_integer() and abs(x) < 10 for x in sizes) > len(xs) / 10


@pytest.mark.slow
def test_numbers_are_of_every_magnitude():
    reaches([x for f in drawn_from(expressions([mc.neg, mc.relu, mc.mul]), 1000) for x in numbers(f)])
    reaches([v.data for v in drawn_from(values(), 1000)])


@pytest.mark.slow
@pytest.mark.parametrize(("low", "high"), [(200.0, 250.0), (-1e-3, 1e-3), (0.5, 0.75), (-math.inf, -7.0), (1.5, 1e300)])
def test_numbers_are_of_the_range_and_of_the_domains_of_their_operands(low, high):
    for f in drawn_from(expressions([mc.log, mc.mul, mc.asin, mc.tanh, mc.sum], min_value=low, max_value=high)):
        assert all(low <= x <= high for x in numbers(f))
        nodes = f.nodes(*f.point)
        for op, operands in f.steps:
            xs = [nodes[i] if isinstance(i, int) else i for i in operands]
            assert all(op.smoothness.domain[0][0] < x < op.smoothness.domain[0][1] for x in xs)
    assert all(low <= v.data <= high for v in drawn_from(values(low, high), 100))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_value": math.nan}, "expressions: min_value must be a number"),
        ({"min_value": 2, "max_value": 1}, "expressions: min_value must be at most max_value, .*, got 2 and 1"),
        ({"ops": [mc.log, mc.asin], "max_value": -1}, "no number from -inf to -1 is in the domain of log, asin"),
    ],
)
def test_a_range_in_which_nothing_can_be_drawn_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        expressions(**options)


@pytest.mark.parametrize("row", [mc.log, mc.asin, mc.log1p])
def test_numbers_are_drawn_near_the_ends_of_the_domain(row):
    low, high = row.smoothness.domain[0]
    xs = [x for f in drawn_from(expressions([row], max_steps=1), 240) for x in f.point]
    for end in (low, high):
        near = [abs(x - end) for x in xs if abs(x - end) < 0.01]
        assert math.isinf(end) or (len(near) > 3 and min(near) < 1e-3)


@pytest.mark.slow
def test_a_row_is_drawn_with_the_numbers_of_operands_that_it_takes():
    for arities in ((3,), (2, 4), range(5, 7), (11,)):
        op = Op("own", lambda *xs: mc.sum(xs), lambda y, *xs: (1.0,) * len(xs), arities=arities)
        counts = {len(operands) for f in drawn_from(expressions([op]), 60) for _, operands in f.steps}
        assert counts == {*arities} & {*range(12)} - {6}


@pytest.mark.slow
def test_numbers_are_drawn_densely_where_a_partial_is_not_the_slope():
    def wrong_between(low, high, factor):
        between = lambda x: mc.less(low, x) * mc.less(x, high)  # noqa: E731
        return Op("bad", lambda x: x * x, (lambda y, x: mc.where(between(x), factor, 2.0) * x,))

    for low, high, factor in ((1.3, 1.35, 2.02), (-6.21, -6.18, -2.0), (3e-4, 5e-4, 2.2), (5e3, 1e4, 2.2)):
        xs = [x for f in drawn_from(expressions([wrong_between(low, high, factor)], max_steps=1)) for x in f.point]
        assert sum(low < x < high for x in xs) > 20
        [[*found]] = suspicious_intervals(wrong_between(low, high, factor))
        assert any(a < high and low < b for a, b in found)


@pytest.mark.parametrize("op", OPS.values(), ids=list(OPS))
def test_no_row_of_the_table_is_suspicious(op):
    for low, high in itertools.chain(*suspicious_intervals(op)):
        assert op is mc.tan, "which is steep beside its poles"
        assert min(abs(math.cos(low)), abs(math.cos(high))) < 0.05


def test_no_point_is_drawn_at_a_kink_though_one_beside_it_is():
    def wrong(x):
        return mc.less(mc.abs(x), 1e-3)

    op = Op(
        "bad",
        lambda x: mc.relu(x),
        (lambda y, x: mc.step(x) + 0.1 * wrong(x),),
        smoothness=Smoothness(kink=lambda x: x),
    )
    [[below, above]] = suspicious_intervals(op)
    assert below[0] <= -1e-3 < below[1] < 0.0 < above[0] < 1e-3 <= above[1]


def test_a_narrow_feature_is_looked_at_densely_though_its_derivative_is_right():
    def bump(x):
        return mc.exp(-1e4 * (x - 1.3) * (x - 1.3))

    op = Op("own", lambda x: x + bump(x), (lambda y, x: 1.0 - 2e4 * (x - 1.3) * bump(x),))
    [[(low, high)]] = suspicious_intervals(op)
    assert 1.2 < low < 1.3 < high < 1.4


def test_a_row_whose_partial_raises_is_drawn_all_the_same():
    op = Op("bad", lambda x: x * x, (lambda y, x: 1 / 0,))
    assert suspicious_intervals(op) == ((),)
    assert any(f.steps for f in drawn_from(expressions([op]), 20))


@pytest.mark.parametrize(
    ("op", "xs"),
    [
        (mc.relu, [0.0]),
        (mc.relu, [1e-9]),
        (mc.relu, [-1e-300]),
        (mc.maximum, [2.0, 2.0]),
        (mc.div, [1.0, 0.0]),
        (mc.atan2, [0.0, -1.0]),
        (mc.exp, [800.0]),  # overflows
        (mc.exp, [-600.0]),  # so small that its derivatives underflow
        (mc.sin, [1e15]),  # oscillates between neighbouring floats
        (mc.exp, [20.0]),  # too steep
        (mc.add, [1e25, 1.0]),  # the second operand is lost
        (mc.mul, [1e-60, 1e-60]),
    ],
)
def test_a_step_at_a_kink_or_whose_result_is_hidden_is_left_out(op, xs):
    inputs = [nudged_input(x, i, REAL, True) for i, x in enumerate(xs)]
    assert smooth_step(op, inputs, inputs) is None


@pytest.mark.parametrize(
    ("op", "xs"),
    [
        (mc.relu, [1e-3]),
        (mc.relu, [-1e50]),
        (mc.sin, [-0.0]),
        (mc.sin, [1e6]),
        (mc.log, [1e50]),
        (mc.log, [1e-4]),
        (mc.neg, [1e-99]),
        (mc.add, [1e25, 1e24]),
        (mc.maximum, [2.0, 100.0]),
        (mc.tanh, [300.0]),
    ],
)
def test_a_step_of_any_magnitude_is_kept_where_it_is_smooth_and_told(op, xs):
    inputs = [nudged_input(x, i, op.smoothness.domain[i], op.smoothness.kink is not None) for i, x in enumerate(xs)]
    assert smooth_step(op, inputs, inputs) is not None


def test_what_rounding_has_hidden_is_not_brought_back():
    x = nudged_input(1.0, 0, REAL, False)
    large = smooth_step(mc.add, [x, 1e6], [x])
    assert large is not None
    lost = smooth_step(mc.sub, [large, 1e6], [x])
    assert lost is not None
    assert smooth_step(mc.sub, [lost, x], [x]) is None


def test_expressions_share_subexpressions_and_use_the_chosen_operations():
    f = find(expressions([mc.mul, mc.sin]), lambda f: any(len(operands) > len({*operands}) for _, operands in f.steps))
    assert [op for op, _ in f.steps] == [mc.mul]
    many = settings(phases=[Phase.generate], max_examples=2000)
    assert find(expressions(), lambda f: len(f.steps) >= 5, settings=many)


@pytest.mark.slow
def test_a_deep_expression_shrinks_to_as_few_steps_as_there_may_be():
    deep = find(expressions(), lambda f: len(f.steps) >= 5)
    assert len(deep.steps) == 5


def test_an_own_operation_is_drawn_and_said_to_be_ones_own():
    bump = Op("bump", lambda x: mc.exp(-x * x), (lambda y, x: -2.0 * x * y,))
    f = find(expressions([bump]), lambda f: len(f.steps) == 1)
    assert repr(f) == "# bump is an operation of your own\ndef f(x0):\n    return bump(x0)\n\nf(0.0)"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["f", "x0", "v1", "tanh", "squared", "f_"])
def test_the_names_of_ones_own_operations_are_not_taken_in_printed_code(name, table):
    own = Op(
        name,
        lambda x: x * x,
        (lambda y, x: 2.0 * x,),
        notation=Notation(text=(lambda x: f"squared({x})") if name == "squared" else None),
    )
    if name not in OPS:
        mc.define(own)
    f = find(expressions([own, mc.tanh]), lambda f: {op for op, _ in f.steps} == {own, mc.tanh} and len(f.steps) > 2)
    called = f"own_{name}" if name == "tanh" else name
    assert f"# {called} is an operation of your own\n" in repr(f)
    code, _, call = repr(f).rpartition("\n")
    namespace = {called: own}
    exec(code, namespace)
    assert eval(call, namespace) == f(*f.point)


def test_a_failing_expression_shrinks_to_the_smallest_with_simple_numbers():
    f = find(expressions(), lambda f: any(op is mc.tanh for op, _ in f.steps))
    assert (f.point, f.steps) == ((0.0,), ((mc.tanh, (0,)),))


def test_an_expression_refuses_a_wrong_number_of_inputs():
    with pytest.raises(TypeError, match="takes 2 inputs, got 1"):
        Expression((1.0, 2.0), ((mc.add, (0, 1)),))(1.0)


@pytest.mark.parametrize(
    ("bounds", "exception", "message"),
    [
        ((math.nan, 1), ValueError, "values: min_value must be a number, or an infinity for no bound, got nan"),
        ((1, math.nan), ValueError, "values: max_value must be a number, or an infinity for no bound, got nan"),
        ((2, 1), ValueError, "values: min_value must be at most max_value, .*, got 2 and 1"),
        ((math.inf, math.inf), ValueError, "values: .* with a finite number between, got inf and inf"),
        ((-math.inf, -math.inf), ValueError, "values: .* with a finite number between, got -inf and -inf"),
        (("a", 1), TypeError, "str 'a'"),
    ],
)
def test_refused_bounds_of_leaves(bounds, exception, message):
    with pytest.raises(exception, match=message):
        values(*bounds)


@given(values(-1, 1))
def test_values_are_leaves_in_the_interval(v):
    assert v.op is None
    assert -1 <= v.data <= 1


@given(values(-math.inf, math.inf))
def test_values_are_finite(v):
    assert math.isfinite(v.data)


def test_networks_have_one_to_three_layers_and_come_with_as_many_inputs_as_they_take():
    counts = set()

    @settings(derandomize=True, database=None)
    @given(networks(max_width=2))
    def look(network):
        model, x = network
        y = model(x)
        assert isinstance(y, Value) or len(y) == 2
        counts.add(len(model.layers))

    look()
    assert counts == {1, 2, 3}


plugins = pytest.mark.skipif("HYPOTHESIS_NO_PLUGINS" in os.environ, reason="Hypothesis loads no plugins")


@plugins
@given(st.from_type(Value))
def test_from_type_knows_value(v):
    assert isinstance(v, Value)


@plugins
def test_hypothesis_registers_value_by_itself_when_it_is_imported():
    code = (
        "import sys, hypothesis.strategies as st\n"
        "from micrograd_cn import Value\n"
        "from hypothesis import find\n"
        "print(find(st.from_type(Value), lambda v: v.data > 1))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "Value(data=2.0, grad=0.0)\n"


# Arrays.


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("shape", [(), 3, (2, 2), (50,)])
@pytest.mark.parametrize(
    ("low", "high", "apart"), [(-1e6, 1e6, 0.0), (-math.inf, math.inf, 0.0), (-10.0, 60.0, 0.3), (0.1, 80.0, 1.0)]
)
def test_points_are_numbers_of_the_type_in_the_range_and_apart(dtype, shape, low, high, apart):
    for x in drawn_from(points(shape, dtype, low, high, apart), 10):
        assert (x.dtype, x.shape) == (np.dtype(dtype), shape if isinstance(shape, tuple) else (shape,))
        ordered = np.sort(x.ravel().astype(float))
        assert np.isfinite(ordered).all()
        assert low <= ordered[0] <= ordered[-1] <= high
        if apart:
            assert min(np.diff(ordered), default=apart) >= apart * (1 - 1e-12)
            assert min(abs(ordered)) >= apart


@pytest.mark.thorough
def test_points_are_of_every_magnitude_and_those_of_one_array_of_one():
    arrays = drawn_from(points(3, min_value=-math.inf, max_value=math.inf), 1000)
    reaches([x for each in arrays for x in each.tolist()])
    spans = [np.ptp(np.log10(abs(each))) for each in arrays if all(each)]
    assert sum(span < 3.0 for span in spans) > 0.7 * len(spans) > 70
    large = drawn_from(points(200), 100)
    assert sum(np.ptp(np.log10(abs(each))) <= 3.0 for each in large) > 80
    assert max(abs(each).max() for each in large) > 1e4
    assert min(abs(each).max() for each in large) < 1e-3


def test_points_shrink_to_simple_numbers():
    xs = find(points(3), lambda x: x.max() > 4).tolist()
    assert all(x in (0.0, 4.1, 5.0) or math.log10(x).is_integer() for x in xs), "0, of few digits, or a power of ten"


def test_what_points_cannot_draw_is_refused():
    with pytest.raises(TypeError, match=r"points: dtype must be a type of floating-point numbers, .* got int64"):
        points(3, "int64")
    with pytest.raises(ValueError, match=r"points: no room between -1.0 and 1.0 for 3 numbers of float64 .* 0.9 apart"):
        points(3, min_value=-1, max_value=1, apart=0.9)
    with pytest.raises(ValueError, match="points: min_value must be at most max_value"):
        points(3, "float16", min_value=1e6, max_value=1e7)


def test_points_need_numpy(monkeypatch):
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(ImportError, match=r"points\(\) draws numpy arrays: pip install numpy"):
        points(3)
