"""`gradients` returns numbers, or graphs that can be differentiated again, and changes no `grad`."""

import math
import random

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Op, Value, gradients
from micrograd_cn.engine import constant
from micrograd_cn.nn import MLP

from .values import grads, leaves


def test_gradients_leave_grad_alone():
    a, b = leaves(2, 3)
    y = a * b + a
    assert gradients(y, [a, b, y]) == [4, 2, 1]
    assert gradients(y, [a], create_graph=True)[0].data == 4
    assert grads(a, b, y) == [0, 0, 0]


def test_gradients_with_respect_to_interior_and_unrelated_nodes():
    a, b, c = leaves(2, 3, 4)
    h = a * b
    y = h * h
    assert gradients(y, [h, c, a]) == [12, 0, 36]
    assert [g.data for g in gradients(y, [h, c, a], create_graph=True)] == [12, 0, 36]
    z = a * c + b.exp()
    assert gradients(z, [a]) == [g.data for g in gradients(z, [a], create_graph=True)] == [4]


def test_gradients_agree_with_backward():
    random.seed(3)
    model = MLP(3, [5, 4, 2], activation="tanh")
    out = model([0.3, -1, 2])
    y = mc.logsumexp(out) - out[0] * out[1] / (2 + mc.sin(out[1]))
    y.backward()
    expected = [p.grad for p in model.parameters()]
    assert gradients(y, model.parameters()) == pytest.approx(expected, rel=1e-14)
    symbolic = gradients(y, model.parameters(), create_graph=True)
    assert [g.data for g in symbolic] == pytest.approx(expected, rel=1e-14)


def test_third_derivative_of_a_composition():
    (x,) = leaves(0.7)
    y = mc.sin(x * x)
    for _ in range(3):
        [y] = gradients(y, [x], create_graph=True)
    t = 0.7
    expected = -12 * t * math.sin(t * t) - 8 * t**3 * math.cos(t * t)
    assert y.data == pytest.approx(expected, rel=1e-14)


def test_a_derivative_that_vanishes_is_a_constant_that_can_be_differentiated_again():
    """The second derivative of a linear function is a constant 0, and so is the third."""
    (x,) = leaves(3)
    y = 2 * x + 1
    [first] = gradients(y, [x], create_graph=True)
    [second] = gradients(first, [x], create_graph=True)
    assert (first.data, second.data, gradients(second, [x])) == (2, 0, [0])


def test_a_partial_that_is_zero_adds_nothing_to_a_recorded_gradient():
    """The recorded gradient of x * step(x) is the constant 1, without a term for the derivative of step."""
    x = Value(3)
    [slope] = gradients(x * mc.step(x), [x], create_graph=True)
    assert slope.data == 1


def test_backward_through_a_gradient():
    x, w = leaves(2, 3)
    [slope] = gradients(w * x**3, [x], create_graph=True)
    (slope * slope).backward()  # (3 w x^2)^2 = 9 w^2 x^4
    assert x.grad == 36 * 9 * 8
    assert w.grad == 18 * 3 * 16


@pytest.mark.parametrize("changed", [100, -100])
def test_create_graph_notices_that_data_was_changed(changed):
    a, b = leaves(2, 3)
    y = a * b
    b.data = changed
    with pytest.raises(
        RuntimeError, match=rf"changed after mul\(a=2.0, b={changed}.0\) .* operand 0 had .* 3.0, now {changed}.0"
    ):
        gradients(y, [a], create_graph=True)


def test_nan_is_not_taken_for_changed_data():
    """A partial derivative that is nan differs from itself, and must not be reported as changed data."""
    x, zero = leaves(math.nan, 0)
    gradients(x**zero, [x, zero], create_graph=True)


@pytest.mark.parametrize(("captured", "recorded"), [(math.nan, 3.0), (3.0, math.nan)])
def test_a_partial_that_is_nan_in_one_form_alone_is_no_changed_data(captured, recorded):
    """A partial derivative may be nan for numbers and finite for `Value`s, or the other way round."""
    odd = mc.Op("odd", lambda x: x, (lambda y, x: captured if isinstance(x, float) else x * recorded,))
    x = Value(1.0)
    [slope] = gradients(odd(x), [x], create_graph=True)
    assert slope.data == pytest.approx(recorded, nan_ok=True)


def test_simple_derivative_graphs_hold_no_zero_or_one_factors():
    x = Value(2)
    [g] = gradients(x + x * 3, [x], create_graph=True)
    assert g.data == 4
    assert g.op is None
    [g] = gradients(x.exp(), [x], create_graph=True)
    assert g.op is mc.exp


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x.sqrt() * 0.0,
        lambda x: 0.0 * x.sqrt(),
        lambda x: x.sqrt() * Value(0.0),
        lambda x: mc.dot([x.sqrt(), x], [0.0, 1.0]),
        lambda x: (x * math.inf) * 0.0,
        lambda x: (x.sqrt() * 0.0).exp() + x,
    ],
)
def test_zero_times_infinity_is_nan_in_every_kind_of_gradient(f):
    """If the chain rule multiplies 0 by inf, `backward` and both kinds of `gradients` give nan, as IEEE 754 says.

    A shortcut that skips products with 0 would hide the nan in some of them.
    """
    x = Value(0.0)
    y = f(x)
    y.backward()
    [number] = gradients(y, [x])
    [recorded] = gradients(y, [x], create_graph=True)
    assert math.isnan(x.grad)
    assert math.isnan(number)
    assert math.isnan(recorded.data)


STEPS = [
    lambda x: mc.less(x, 1.0),
    lambda x: mc.less(1.0, x),
    lambda x: mc.less_equal(x, 1.0),
    lambda x: mc.step(x),
    lambda x: mc.where(x, 2.0, 3.0),
    lambda x: mc.where(x, Value(2.0), Value(3.0)),
]


@pytest.mark.parametrize("f", STEPS)
@pytest.mark.parametrize("upstream", [lambda h: h * math.inf, lambda h: h * math.nan, lambda h: (h - h).sqrt() + h])
def test_no_gradient_flows_to_an_operand_in_which_the_result_is_piecewise_constant(f, upstream):
    """Nothing flows through a step or a comparison, even if the gradient above is infinite, and not inf * 0 = nan."""
    x = Value(2.0)
    h = f(x)
    y = upstream(h) + x
    y.backward()
    assert not math.isfinite(h.grad)
    assert x.grad == 1.0
    assert gradients(y, [x]) == [1.0]
    assert gradients(y, [x], create_graph=True)[0].data == 1.0


def test_the_condition_of_a_branch_gets_nothing_where_the_branch_gets_infinity():
    """If x is both the condition and a branch of `where`, it gets the infinite gradient of the branch alone."""
    x = Value(2.0)
    y = mc.where(x, x, 3.0) * math.inf
    y.backward()
    assert x.grad == gradients(y, [x])[0] == gradients(y, [x], create_graph=True)[0].data == math.inf


@pytest.mark.parametrize("f", STEPS)
def test_a_step_sends_nothing_on_by_hand_either(f):
    """`_backward()`, as code for micrograd calls it, sends nothing through a step either."""
    x = Value(2.0)
    h = f(x)
    h.grad = math.inf
    h._backward()
    assert x.grad == 0.0


def test_gradients_refuse_what_is_not_a_value():
    x = Value(2)
    with pytest.raises(TypeError, match=r"gradients\(\) of float 4.0"):
        gradients(4.0, [x])
    with pytest.raises(TypeError, match=r"inputs\[1\]: int 7"):
        gradients(x * 2, [x, 7])
    with pytest.raises(TypeError, match=r"write \[x\]"):
        gradients(x * 2, x)
    with pytest.raises(ValueError, match=r"inputs\[0\]: the constant Value\(data=3.0"):
        gradients(x * 2, [constant(3)])


def test_two_contributions_are_added_and_more_are_summed():
    """The graph of a gradient adds two contributions by `add`, and more by one `sum`."""
    x, ys = Value(2.0), [Value(3.0), Value(5.0), Value(7.0)]
    names = [gradients(mc.sum([x * y for y in ys[:n]]), [x], create_graph=True)[0].op.name for n in (2, 3)]
    assert names == ["add", "sum"]
    assert (ys[0].grad, gradients(x * 3.0, [x])) == (0.0, [3.0])


def test_gradients_flow_where_they_flowed_when_a_graph_was_recorded():
    """A use of w while it was frozen gets no gradient, although w requires one later."""
    x, w = Value(3.0), Value(2.0)
    w.requires_grad = False
    y = w * x
    w.requires_grad = True
    z = y * w
    assert gradients(z, [w, x]) == [g.data for g in gradients(z, [w, x], create_graph=True)] == [6.0, 4.0]


def test_what_gradients_refuses_is_answered_with_what_to_write():
    x, y = Value(2), Value(3)
    z = x * y
    for inputs, write in (
        ({x, y}, "got set; write a list, because a set has no order"),
        (MLP(1, [1]), r"got MLP; write \[x\], or model\.parameters\(\)"),
        (MLP(1, [1]).parameters, r"got method; write .*model\.parameters\(\)"),
        (None, "got NoneType"),
    ):
        with pytest.raises(TypeError, match=rf"gradients\(\) takes a sequence of inputs, {write}"):
            gradients(z, inputs)
    with pytest.raises(TypeError, match=r"gradients\(\) of list .*there is one output; write functional\.jacobian"):
        gradients([z], [x])
    for factor in (2.0, Value(1), 1, None):
        with pytest.raises(TypeError, match=r"create_graph must be True or False.*write gradients\(c \* y, xs\)"):
            gradients(z, [x], factor)


def test_gradients_refuses_pytorchs_option_to_keep_the_graph():
    x = Value(2)
    for keep in (True, False):
        with pytest.raises(TypeError, match=r"write gradients\(y, xs\), which always keeps the graph"):
            gradients(x * x, [x], retain_graph=keep)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: gradients(x, [x], allow_unused=True), "no allow_unused; leave it out, because the derivative by an"),
        (lambda x: gradients(x, [x], grad_outputs=1.0), r"no grad_outputs; write gradients\(c \* y, xs\) for a factor"),
        (lambda x: gradients(x, np.array([[x]])), r"is not a Value; write W\.ravel\(\)$"),
        (lambda x: gradients(x, [[x], [x]]), r"is not a Value; write \[x for row in xs for x in row\]$"),
        (lambda x: gradients(x, {"a": x}), r"is not a Value; write list\(d\.values\(\)\)$"),
    ],
)
def test_options_of_pytorch_and_nested_inputs_are_answered_with_what_to_write(call, message):
    with pytest.raises(TypeError, match=message):
        call(Value(2.0))
    x = Value(2.0)
    assert gradients(3 * x, np.array([[x]]).ravel()) == gradients(3 * x, [x for row in [[x]] for x in row]) == [3.0]
    assert gradients(x * x, [Value(1.0)]) == [0.0]


def test_the_operand_whose_partial_changed_is_named_although_another_operand_is_the_same():
    linear = Op("linear_and_square", lambda a, b: a + b * b / 2, (lambda y, a, b: 1.0, lambda y, a, b: b))
    x = Value(2.0)
    y = linear(x, x)
    x.data = 3.0
    with pytest.raises(RuntimeError, match=r"operand 1 had the partial 2\.0, now 3\.0"):
        gradients(y, [x], create_graph=True)
