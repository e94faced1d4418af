"""Strategies reach every magnitude, draw nothing in vain, and shrink to few steps with simple numbers."""

import math
import subprocess
import sys

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

import micrograd_cn as mc
from micrograd_cn import OPS, Op, Value
from micrograd_cn.testing import (
    Expression,
    GradientMismatch,
    expressions,
    gradcheck,
    networks,
    values,
)

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


@pytest.mark.parametrize("name", ["exp-1", "1-cos", "log(cosh)", "normal"])
def test_property_tests_accept_what_is_right_but_noisy(name):
    @given(expressions([NOISY[name], mc.add, mc.mul, mc.tanh]))
    def every_gradient_is_right(f):
        gradcheck(f, *f.point)

    every_gradient_is_right()
    for x in (1e-30, 1e-7, 3e-232):
        gradcheck(NOISY[name], x)


def test_refused_arguments():
    for refused in ({"ops": []}, {"max_inputs": 0}, {"max_steps": 0}):
        with pytest.raises(ValueError, match=r"expressions\(\) of"):
            expressions(**refused)


def test_few_draws_are_wasted():
    drawn, empty = [], 0

    @settings(max_examples=600, database=None, derandomize=True)
    @given(expressions())
    def draw(f):
        nonlocal empty
        y = f(*f.point)
        assert math.isfinite(y)
        drawn.extend(op.name for op, _ in f.steps)
        empty += not f.steps

    draw()
    assert empty <= 30
    assert set(drawn) == set(OPS), "every operation of the table is drawn"


def test_expressions_share_subexpressions_and_use_the_chosen_operations():
    f = find(expressions([mc.mul, mc.sin]), lambda f: any(len(operands) > len({*operands}) for _, operands in f.steps))
    assert [op for op, _ in f.steps] == [mc.mul]
    deep = find(expressions(), lambda f: len(f.steps) >= 5)
    assert len(deep.steps) == 5


def test_an_own_operation_is_drawn_and_said_to_be_ones_own():
    bump = Op("bump", lambda x: mc.exp(-x * x), (lambda y, x: -2.0 * x * y,))
    f = find(expressions([bump]), lambda f: len(f.steps) == 1)
    assert repr(f) == "# bump is an operation of your own\ndef f(x0):\n    return bump(x0)\n\nf(0.0)"


@pytest.mark.parametrize("name", ["f", "x0", "v1", "tanh", "squared", "f_"])
def test_the_names_of_ones_own_operations_are_not_taken_in_printed_code(name, table):
    own = Op(
        name,
        lambda x: x * x,
        (lambda y, x: 2.0 * x,),
        notation=(lambda x: f"squared({x})") if name == "squared" else None,
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


@given(networks(max_width=2))
def test_networks_come_with_as_many_inputs_as_they_take(network):
    model, x = network
    y = model(x)
    assert isinstance(y, Value) or len(y) == 2


@given(st.from_type(Value))
def test_from_type_knows_value(v):
    assert isinstance(v, Value)


def test_hypothesis_registers_value_by_itself_when_it_is_imported():
    code = (
        "import sys, hypothesis.strategies as st\n"
        "from micrograd_cn import Value\n"
        "from hypothesis import find\n"
        "print(find(st.from_type(Value), lambda v: v.data > 1))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "Value(data=2.0, grad=0.0)\n"
