"""The engine: recording, backward, gradients of gradients, modes, and what it refuses."""

import asyncio
import contextvars
import copy
import gc
import math
import operator
import pickle
import random
import re
import threading
import tracemalloc
from decimal import Decimal
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value, detect_anomaly, gradients, no_grad
from micrograd_cn.engine import constant, topological_order
from micrograd_cn.gradients import symbolic_edges
from micrograd_cn.graph import context, operators
from micrograd_cn.graph.context import Hooks, hooked, recording
from micrograd_cn.graph.operators import method
from micrograd_cn.graph.scopes import Group
from micrograd_cn.nn import MLP

ARITHMETIC = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]


def leaves(*data):
    return [Value(x, label) for x, label in zip(data, "abcdefgh", strict=False)]


def grads(*values):
    return [v.grad for v in values]


# The pitfalls of scalar engines.


def test_a_shared_node_gets_all_its_gradient_before_it_sends():
    (a,) = leaves(1)
    b = a * 2
    (b + b * 3).backward()
    assert a.grad == 8


def test_a_diamond_of_sums_and_products():
    a, b = leaves(2, 3)
    c, d = a + b, a * b
    y = (c + d) + c * d
    y.backward()
    assert (y.data, *grads(a, b)) == (41, 25, 19)


def test_backward_twice_with_the_leaf_reset_between_gives_the_same():
    (x,) = leaves(3)
    y = x * x * x
    y.backward()
    assert x.grad == 27
    x.grad = 0.0
    y.backward()
    assert x.grad == 27


def test_backward_twice_without_a_reset_is_exactly_twice():
    a, b, d = leaves(0.1, 0.7, -1.3)
    e = ((a + b) * d).tanh() * a
    e.backward()
    once = grads(a, b, d)
    e.backward()
    assert grads(a, b, d) == [2 * g for g in once]


def test_backward_twice_is_exactly_twice_where_sums_round():
    (x,) = leaves(2)
    y = x.sqrt() + x
    y.backward()
    once = x.grad
    y.backward()
    assert x.grad == 2 * once


def test_two_roots_over_one_graph_do_not_leak_into_each_other():
    (x,) = leaves(3)
    h = x * x
    y, z = h * 2, h + x
    y.backward()
    assert (h.grad, x.grad) == (2, 12)
    z.backward()
    assert (h.grad, x.grad) == (1, 12 + 7)


def test_changing_data_after_the_forward_pass_cannot_corrupt_the_gradient():
    a, b = leaves(2, 3)
    y = a * b
    b.data = 100
    y.backward()
    assert a.grad == 3


@pytest.mark.parametrize(
    ("f", "slope"),
    [(lambda a: a + a, 2), (lambda a: a * a, 6), (lambda a: a - a, 0), (lambda a: a / a, 0)],
)
def test_an_operand_used_twice_has_two_slots(f, slope):
    a = Value(3)
    y = f(a)
    assert y.parents == (a, a)
    assert len(y.partials) == 2
    y.backward()
    assert a.grad == pytest.approx(slope, abs=1e-16)


def test_power_with_both_sides_values():
    a, b = leaves(2, 3)
    y = a**b
    y.backward()
    assert (y.data, a.grad, b.grad) == (8, 12, pytest.approx(5.545177444479562, rel=1e-15))
    (x,) = leaves(2)
    (x**x).backward()
    assert x.grad == pytest.approx(6.772588722239782, rel=1e-15)


def test_power_of_a_number_to_a_value():
    (x,) = leaves(3)
    y = 2**x
    y.backward()
    assert (y.data, x.grad) == (8, pytest.approx(8 * math.log(2), rel=1e-15))


def test_a_negative_base_squared_has_no_nan_anywhere():
    x = Value(-3)
    y = x**2
    y.backward()
    assert x.grad == -6
    assert all(math.isfinite(number) for n in (x, y, *y.parents) for number in (n.data, n.grad, *n.partials))


# Depth, width and memory.


def test_a_chain_of_100_000_additions():
    x = y = Value(0)
    for _ in range(100_000):
        y = y + 1
    y.backward()
    assert (y.data, x.grad) == (100_000, 1)
    y.zero_grad()
    assert x.grad == 0
    assert gradients(y, [x]) == [1]


def test_a_sum_of_100_000_terms():
    xs = [Value(i) for i in range(100_000)]
    y = mc.sum(xs)
    y.backward()
    assert y.data == sum(range(100_000))
    assert {x.grad for x in xs} == {1.0}


def test_doubling_60_times_takes_no_exponential_time():
    x = y = Value(1)
    for _ in range(60):
        y = y + y
    y.backward()
    assert x.grad == 2**60
    assert len(topological_order(y)) == 60
    [again] = gradients(y, [x], create_graph=True)
    assert again.data == 2**60


@pytest.mark.slow
def test_a_chain_of_a_million_nodes_is_built_differentiated_and_freed():
    x = y = Value(1)
    for _ in range(1_000_000):
        y = y * x
    y.backward()
    assert x.grad == 1_000_001
    del y


def values_alive():
    return [type(thing) for thing in gc.get_objects()].count(Value)


def test_a_graph_is_freed_at_once_by_reference_counting():
    random.seed(0)
    model = MLP(2, [4, 1])
    gc.collect()
    gc.disable()
    try:
        before = values_alive()
        for _ in range(3):
            loss = (model([1.0, -2.0]) - 1) ** 2
            model.zero_grad()
            loss.backward()
            gradients(loss, model.parameters(), create_graph=True)
            for p in model.parameters():
                p.data -= 0.1 * p.grad
        assert values_alive() > before
        del loss
        assert values_alive() == before
        assert gc.collect() == 0
    finally:
        gc.enable()


@pytest.mark.parametrize("f", [lambda a, b: a + b, lambda a, b: a * b, lambda a, b: a / b, lambda a, b: a - b])
def test_a_binary_node_takes_at_most_300_bytes(f):
    a, b = Value(1.000001), Value(0.999999)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(10_000):
            a = f(a, b)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after - before) / 10_000 <= 300


# Constants.


def test_a_number_becomes_a_constant_node_without_a_gradient():
    x = Value(3)
    y = 2 * x + 1
    y.backward()
    assert x.grad == 2
    constants = [p for n in topological_order(y) for p in n.parents if not p.requires_grad]
    assert [(c.data, c.grad, c.op) for c in constants] == [(1, 0, None), (2, 0, None)]


def test_what_is_made_of_constants_alone_is_a_constant():
    y = constant(2) * 3 + Value(1).detach()
    assert (y.data, y.requires_grad, y.parents) == (7, False, ())
    with pytest.raises(RuntimeError, match=r"constant Value\(data=7"):
        y.backward()


def test_no_partial_is_computed_for_a_constant():
    def partial(y, x, c):
        raise AssertionError("computed the partial of a constant")

    op = mc.Op("first", lambda x, c: x * c, (lambda y, x, c: c, partial))
    y = op(Value(3), 4.0)
    assert y.partials == (4, 0)
    assert gradients(y, [y.parents[0]], create_graph=True)[0].data == 4
    x, c = Value(3), constant(4)
    assert [y.partials for y in (x * c, c * x, x + c, c + x)] == [(4, 0), (0, 4), (1, 0), (0, 1)]


def test_a_leaf_can_be_frozen():
    x, w = Value(2), Value(3)
    w.requires_grad = False
    (x * w).backward()
    assert (x.grad, w.grad) == (3, 0)


def test_detach_gives_a_constant_with_the_same_data_and_label():
    x = Value(3, "x")
    c = x.detach()
    assert (c.data, c.label, c.requires_grad, c is x) == (3, "x", False, False)
    (x * c).backward()
    assert (x.grad, c.grad) == (3, 0)


# Gradients.


def test_backward_on_a_leaf_accumulates_one():
    x = Value(5)
    x.backward()
    x.backward()
    assert x.grad == 2


def test_backward_multiplies_by_the_gradient_that_it_is_given():
    a, b = leaves(2, 3)
    y = a * b
    y.backward(5)
    assert grads(y, a, b) == [5.0, 15.0, 10.0]
    y.backward(gradient=np.float32(0.5))
    assert grads(y, a, b) == [0.5, 16.5, 11.0]
    a.backward(-1)
    assert a.grad == 15.5
    assert [type(g) for g in grads(y, a, b)] == [float, float, float]
    for refused in ("1", None, [1.0], Value(1)):
        with pytest.raises(TypeError, match="real number"):
            y.backward(refused)
    assert grads(a, b) == [15.5, 11.0]


def test_a_gradient_of_none_counts_as_zero():
    a, b = leaves(2, 3)
    y = a * b + a
    for go in (y.backward, lambda: y.backward(2.0)):
        a.grad = None
        go()
    assert (a.grad, b.grad) == (8.0, 6.0)
    a.grad = y.grad = None
    y.backward()
    assert (a.grad, y.grad) == (4.0, 1.0)
    a.grad = None
    (a * 1).zero_grad()
    assert a.grad == 0.0
    a.grad = None
    a.backward()
    assert a.grad == 1.0


def test_a_node_sends_its_gradient_on_by_hand():
    a, b, c = leaves(2, -3, 10)
    e = a * b
    d = e + c
    d.grad = 4.0
    d._backward()
    assert grads(e, c, a, b) == [4, 4, 0, 0]
    e._backward()
    e._backward()
    assert grads(a, b) == [-24, 16]
    a._backward()
    y = a + a
    y.grad, a.grad = 1.5, None
    y._backward()
    assert a.grad == 3
    n = mc.dot([a, b], [b, 2.0], c)
    n.grad, a.grad, b.grad, c.grad = 2.0, 0.0, 0.0, 0.0
    c.requires_grad = False
    n._backward()
    assert grads(a, b, c, n.parents[3]) == [-6, 8, 0, 0]


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
    (x,) = leaves(3)
    y = 2 * x + 1
    [first] = gradients(y, [x], create_graph=True)
    [second] = gradients(first, [x], create_graph=True)
    assert (first.data, second.data, gradients(second, [x])) == (2, 0, [0])


def test_a_partial_that_is_zero_adds_nothing_to_a_recorded_gradient():
    x = Value(3)
    [slope] = gradients(x * mc.step(x), [x], create_graph=True)
    assert slope.data == 1


def test_backward_through_a_gradient():
    x, w = leaves(2, 3)
    [slope] = gradients(w * x**3, [x], create_graph=True)
    (slope * slope).backward()  # (3 w x^2)^2 = 9 w^2 x^4
    assert x.grad == 36 * 9 * 8
    assert w.grad == 18 * 3 * 16


@pytest.mark.parametrize("closed_inside", [detect_anomaly, no_grad])
def test_a_generator_that_is_closed_inside_another_block_ends_its_own_mode_alone(closed_inside):
    def quiet():
        with no_grad():
            yield

    generator = quiet()
    next(generator)
    with closed_inside():
        generator.close()
        assert getattr(context.here(), closed_inside().name)
        assert len(context.here().blocks) == 1
    assert context.here() == context.Context()
    assert not context.active


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
    x, zero = leaves(math.nan, 0)
    gradients(x**zero, [x, zero], create_graph=True)


def test_a_users_operation_must_return_a_partial_for_each_operand():
    a, b = leaves(2, 3)
    for given in ((1.0,), (1.0, 1.0, 1.0), 1.0, None, [1.0, 1.0]):
        op = mc.Op("short", lambda *xs: 0.0, lambda y, *xs, given=given: given)
        with pytest.raises(
            TypeError, match=rf"short: of 2 operands, its partials gave {re.escape(repr(given))}; one function"
        ):
            op(a, b)
    uneven = mc.Op("uneven", lambda *xs: 0.0, lambda y, *xs: (1.0,) * (len(xs) if isinstance(y, float) else 1))
    with pytest.raises(TypeError, match=r"uneven: of 2 operands, its partials gave"):
        symbolic_edges(uneven(a, b), {a, b})


def test_a_partial_that_forgets_to_return_is_no_gradient_of_zero():
    def forgetful(y, *xs):
        2.0 * xs[0]

    unary = mc.Op("unary", lambda x: x * x, (forgetful,))
    binary = mc.Op("binary", lambda a, b: a * b, (lambda y, a, b: b, forgetful))
    a, b = leaves(2, 3)
    recorded = (lambda: unary(a), lambda: operators.method(unary)(a), lambda: binary(a, b), lambda: binary(2.0, b))
    for slot, record_it in zip((0, 0, 1, 1), recorded, strict=True):
        with pytest.raises(TypeError, match=f"ary: the partial of operand {slot} returned None; is its `return` miss"):
            record_it()
    assert binary(a, 3.0).partials == (3.0, 0.0)


class Slope:
    def of(self, y, x):
        return 2.0 * x

    def of_two(self, y, a, b):
        return b


def test_a_partial_may_be_a_method_or_have_defaults_but_takes_the_result_and_each_operand():
    for partial in (
        Slope().of,
        lambda y, x, factor=2.0: factor * x,
        lambda y=0.0, x=0.0: 2.0 * x,
        lambda *yx: 2.0 * yx[1],
    ):
        x = Value(3)
        mc.Op("square", lambda x: x * x, (partial,))(x).backward()
        assert x.grad == 6.0
    for partial in (Slope().of_two, Slope.of, lambda y: 1.0, lambda y, x, z: 1.0, lambda y, x, z, w=1.0: 1.0):
        with pytest.raises(
            TypeError, match=r"square: a partial takes the result and 1 operand; .* takes other arguments"
        ):
            mc.Op("square", lambda x: x * x, (partial,))
    with pytest.raises(TypeError, match="product: a partial takes the result and 2 operands; "):
        mc.Op("product", lambda a, b: a * b, (lambda y, a, b: b, Slope().of))


def test_a_value_is_a_real_number_whatever_the_row_returns():
    for given, expected in ((2, 2.0), (np.float32(0.5), 0.5), (Fraction(1, 4), 0.25), (True, 1.0)):
        op = mc.Op("given", lambda x, given=given: given, (lambda y, x: 1.0,))
        for y in (
            op(Value(1)),
            operators.method(op)(Value(1)),
            mc.Op("n", op.forward, lambda y, *xs: (1.0,))(Value(1)),
        ):
            assert (type(y.data), y.data) == (float, expected)
    forgetful = mc.Op("forgetful", lambda x: None, (lambda y, x: 1.0,))
    for recorded in (forgetful, operators.method(forgetful)):
        with pytest.raises(TypeError, match="forgetful: forward returned None, not a real number; is its `return`"):
            recorded(Value(1))


@pytest.mark.parametrize(("captured", "recorded"), [(math.nan, 3.0), (3.0, math.nan)])
def test_a_partial_that_is_nan_in_one_form_alone_is_no_changed_data(captured, recorded):
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
    x = Value(2.0)
    h = f(x)
    y = upstream(h) + x
    y.backward()
    assert not math.isfinite(h.grad)
    assert x.grad == 1.0
    assert gradients(y, [x]) == [1.0]
    assert gradients(y, [x], create_graph=True)[0].data == 1.0


def test_the_condition_of_a_branch_gets_nothing_where_the_branch_gets_infinity():
    x = Value(2.0)
    y = mc.where(x, x, 3.0) * math.inf
    y.backward()
    assert x.grad == gradients(y, [x])[0] == gradients(y, [x], create_graph=True)[0].data == math.inf


@pytest.mark.parametrize("f", STEPS)
def test_a_step_sends_nothing_on_by_hand_either(f):
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


def test_backward_refuses_what_is_not_a_value():
    with pytest.raises(TypeError, match="needs a Value, got float"):
        Value.backward(3.0)


def test_topological_order_puts_every_node_before_its_operands():
    random.seed(5)
    nodes = [Value(i) for i in range(5)]
    for _ in range(200):
        nodes.append(random.choice(nodes) * random.choice(nodes[-20:]))
    order = topological_order(nodes[-1])
    place = {node: i for i, node in enumerate(order)}
    assert len(place) == len(order)
    for node in order:
        assert all(parent.op is None or place[parent] > place[node] for parent in node.parents)


def test_zero_grad_reaches_every_node_and_leaf():
    a, b = leaves(2, 3)
    h = a * b
    y = h.tanh() + a
    y.backward()
    y.zero_grad()
    assert grads(a, b, h, y) == [0, 0, 0, 0]
    a.backward()
    a.zero_grad()
    assert a.grad == 0


# Modes.


def test_no_grad_is_no_detector_of_anomalies():
    x = Value(0)
    y = x.sqrt()
    with no_grad():
        assert x.log().data == -math.inf
        assert gradients(y, [x]) == [math.inf]
        y.backward()
    assert x.grad == math.inf


def test_no_grad_records_nothing():
    x = Value(2)
    with no_grad():
        results = [x + x, x * x, x * 3, x.tanh(), mc.dot([x], [x]), -x]
    assert all(not y.requires_grad and y.parents == () for y in results)
    assert [y.data for y in results[:3]] == [4, 4, 6]
    assert (x * x).requires_grad


def test_no_grad_decorates_and_nests_and_ends_with_an_exception():
    x = Value(2)

    @no_grad()
    def f():
        with no_grad():
            assert not (x * x).requires_grad
        return x * x

    assert not f().requires_grad
    assert not f().requires_grad
    with pytest.raises(KeyError), no_grad():
        raise KeyError
    assert (x * x).requires_grad


def test_recording_ends_no_grad_for_a_while_and_changes_nothing_else():
    x = Value(2)
    with no_grad():
        with recording() as ended:
            assert ended is True
            assert (x * x).requires_grad
            assert (x - 2).log().data == -math.inf
        assert not (x * x).requires_grad
    with recording() as ended:
        assert ended is False
        assert (x - 2).log().requires_grad
    with detect_anomaly(), recording() as ended:
        assert ended is False
        with pytest.raises(FloatingPointError, match="log"):
            (x - 2).log()


def test_no_grad_holds_in_its_own_thread_alone():
    inside, done = threading.Event(), threading.Event()
    seen = []

    def other():
        inside.wait(10)
        seen.append((Value(2) * Value(3)).requires_grad)
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with no_grad():
        inside.set()
        done.wait(10)
        assert not (Value(2) * Value(3)).requires_grad
    thread.join()
    assert seen == [True]


def test_no_grad_holds_in_its_own_task_alone():
    async def quiet(entered, leave):
        with no_grad():
            entered.set()
            await leave.wait()
            return (Value(1) + Value(1)).requires_grad

    async def recording(entered, leave):
        await entered.wait()
        result = (Value(1) + Value(1)).requires_grad
        leave.set()
        return result

    async def both():
        entered, leave = asyncio.Event(), asyncio.Event()
        return await asyncio.gather(quiet(entered, leave), recording(entered, leave))

    assert asyncio.run(both()) == [False, True]


MODES = [
    (no_grad, lambda: not (Value(1) * Value(1)).requires_grad),
    (detect_anomaly, lambda: raises_anomaly()),
]


def raises_anomaly():
    try:
        Value(0).log()
    except FloatingPointError:
        return True
    return False


both_modes = pytest.mark.parametrize(("mode", "holds"), MODES, ids=["no_grad", "detect_anomaly"])


@pytest.fixture(autouse=True)
def no_mode_is_left():
    assert not context.active
    yield
    if context.active:
        gc.collect()  # what was left in the middle
    assert not context.active
    assert context.here() == context.Context()


@both_modes
def test_a_decorated_generator_runs_in_the_mode_and_its_caller_does_not(mode, holds):
    @mode()
    def steps(n):
        """Count."""
        seen = []
        try:
            for i in range(n):
                seen.append((i, holds(), (yield i)))
        except KeyError:
            seen.append(("thrown", holds(), (yield "caught")))
        finally:
            closed.append(holds())
        return seen

    closed = []
    assert (steps.__name__, steps.__doc__) == ("steps", "Count.")
    running = steps(3)
    assert next(running) == 0
    assert not holds()
    assert running.send("a") == 1
    assert running.throw(KeyError) == "caught"
    assert not holds()
    with pytest.raises(StopIteration) as end:
        running.send("b")
    assert end.value.value == [(0, True, "a"), ("thrown", True, "b")]

    abandoned = steps(3)
    next(abandoned)
    assert not context.active
    del abandoned
    gc.collect()
    stopped = steps(3)
    next(stopped)
    stopped.close()
    assert closed == [True, True, True]
    failing = steps(2)
    next(failing)
    with pytest.raises(ValueError, match="thrown in"):
        failing.throw(ValueError("thrown in"))
    assert not holds()


@both_modes
def test_a_decorated_coroutine_runs_in_the_mode_and_other_tasks_do_not(mode, holds):
    @mode()
    async def inside(turn, others):
        seen = [holds()]
        turn.set()
        await others.wait()
        seen.append(holds())
        with pytest.raises(ZeroDivisionError):
            await failing()
        return [*seen, holds()]

    @mode()
    async def failing():
        await asyncio.sleep(0)
        raise ZeroDivisionError

    async def outside(turn, others):
        await turn.wait()
        seen = holds(), context.active
        others.set()
        return seen

    async def run():
        turn, others = asyncio.Event(), asyncio.Event()
        return await asyncio.gather(inside(turn, others), outside(turn, others))

    assert asyncio.run(run()) == [[True, True, True], (False, 0)]


@both_modes
def test_a_cancelled_decorated_coroutine_leaves_the_mode(mode, holds):
    @mode()
    async def forever():
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(holds())

    async def run():
        task = asyncio.create_task(forever())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return holds()

    cleaned = []
    assert asyncio.run(run()) is False
    assert cleaned == [True]


@both_modes
def test_a_decorated_async_generator_runs_in_the_mode_and_its_caller_does_not(mode, holds):
    @mode()
    async def steps(n):
        try:
            for i in range(n):
                await asyncio.sleep(0)
                try:
                    got = yield i, holds()
                except KeyError:
                    got = yield "caught", holds()
                received.append(got)
        finally:
            await asyncio.sleep(0)
            closed.append(holds())

    async def run():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: errors.append(context))
        seen = []
        async for step in steps(2):
            seen.append((step, holds(), context.active))
        running = steps(3)
        seen += [await running.asend(None), await running.asend("sent"), await running.athrow(KeyError)]
        await running.aclose()
        async for _ in steps(3):
            break  # abandoned: the event loop closes it
        for _ in range(5):
            await asyncio.sleep(0)
        seen.append(holds())
        abandoned.append(steps(3))
        seen.append(await abandoned[0].asend(None))
        return [*seen, holds(), context.active]

    received, closed, abandoned, errors = [], [], [], []
    assert asyncio.run(run()) == [
        *[((i, True), False, 0) for i in range(2)],
        *[(0, True), (1, True), ("caught", True)],
        *[False, (0, True), False, 0],
    ]
    assert received == [None, None, "sent"]
    assert closed == [True] * 4
    assert errors == []


def test_a_generator_that_is_closed_inside_another_mode_does_not_end_that():
    def waiting():
        with no_grad():
            yield

    def run():
        abandoned = waiting()
        next(abandoned)
        with detect_anomaly():
            abandoned.close()
            with pytest.raises(FloatingPointError):
                mc.log(Value(0))

    contextvars.copy_context().run(run)


def test_a_generator_that_is_closed_in_another_context_ends_nothing_there():
    def waiting():
        with no_grad():
            yield

    abandoned = waiting()
    contextvars.copy_context().run(next, abandoned)
    abandoned.close()
    assert (context.here(), context.active) == (context.Context(), False)


@both_modes
def test_one_object_is_used_again_and_inside_itself_and_in_threads(mode, holds):
    again = mode()
    for _ in range(2):
        with again:
            assert holds()
            with again, again:
                assert holds()
            assert holds()
        assert not holds()

    @again
    def factorial(n):
        assert holds()
        return 1 if n == 0 else n * factorial(n - 1)

    @again
    def count(n):
        assert holds()
        if n:
            yield from count(n - 1)
        assert holds()
        yield n

    barrier, seen = threading.Barrier(4, timeout=10), []

    def thread(entering):
        barrier.wait()
        if not entering:
            seen.append(holds())
            barrier.wait()
            return
        with again:
            barrier.wait()
            seen.append(holds() and factorial(5) == 120 and list(count(3)) == [0, 1, 2, 3] and holds())
        seen.append(not holds())

    threads = [threading.Thread(target=thread, args=(i < 3,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(seen) == [False] + [True] * 6
    with again:
        assert factorial(3) == 6
        assert holds()
    assert not holds()


@both_modes
def test_generators_in_a_mode_may_be_run_in_turns_and_end_in_any_order(mode, holds):
    @mode()
    def steps():
        yield holds()
        yield holds()

    first, second = steps(), steps()
    assert [next(first), next(second), next(first)] == [True, True, True]
    assert list(first) == []
    assert [holds(), next(second), holds()] == [False, True, False]
    with mode():
        assert list(second) == []
        assert holds()


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda x: x.log(), r"log\(x=0.0\) gave -inf"),
        (lambda x: 1 / x, r"div\(1.0, x=0.0\) gave inf"),
        (lambda x: x * math.inf, r"mul\(x=0.0, inf\) gave nan"),
        (lambda x: (x + 710).exp(), r"exp\(710.0\) gave inf"),
        (
            lambda x: mc.sum([x] * 20 + [math.nan]),
            r"sum\(x=0.0, x=0.0, x=0.0, x=0.0, ..., x=0.0, x=0.0, nan\) gave nan",
        ),
        (lambda x: mc.sum([1, 2, 3, 4, 5, 6, x, math.nan]), r"sum\(1.0, 2.0, 3.0, 4.0, 5.0, 6.0, x=0.0, nan\)"),
        (lambda x: mc.sum([1, 2, 3, 4, 5, 6, 7, x, math.nan]), r"sum\(1.0, 2.0, 3.0, 4.0, ..., 7.0, x=0.0, nan\)"),
    ],
)
def test_detect_anomaly_names_the_first_value_that_is_not_finite(f, message):
    x = Value(0, "x")
    assert not math.isfinite(f(x).data)
    with detect_anomaly(), pytest.raises(FloatingPointError, match=message):
        f(x)


def test_detect_anomaly_names_the_first_gradient_that_is_not_finite():
    x = Value(0, "x")
    root = x.sqrt()
    root.label = "root"
    y = root * 2
    y.backward()
    assert x.grad == math.inf
    with detect_anomaly(), pytest.raises(FloatingPointError, match=r"'root' sqrt\(x=0.0\): .* operand 0 became inf"):
        y.backward()


def test_detect_anomaly_watches_gradients_too():
    x = Value(0, "x")
    y = x.sqrt()
    with detect_anomaly(), pytest.raises(FloatingPointError, match=r"with respect to Value\(data=0.0.*'x'\) it is inf"):
        gradients(y, [x])
    with detect_anomaly(), pytest.raises(FloatingPointError, match=r"div\(0.5, 0.0\) gave inf"):
        gradients(y, [x], create_graph=True)
    z = (x * 3).sqrt()
    with detect_anomaly(), pytest.raises(FloatingPointError, match=r"= mul\(x=0.0, 3.0\) it is inf"):
        gradients(z, [x])


def test_a_method_takes_its_operations_options():
    assert Value(-1).leaky_relu(negative_slope=0.25).data == -0.25
    assert Value(-1).elu(alpha=2).data == 2 * math.expm1(-1)


def test_a_backward_that_fails_loses_no_earlier_gradient():
    x, z = Value(0, "x"), Value(2, "z")
    (z * 3).backward()
    y = z * x.sqrt()
    with detect_anomaly(), pytest.raises(FloatingPointError):
        y.backward()
    assert z.grad == 3


def test_detect_anomaly_also_watches_inside_no_grad_and_lets_finite_graphs_pass():
    x = Value(2)
    with detect_anomaly():
        y = x * x + x.log()
        assert gradients(y, [x]) == [4.5]
        y.backward()
        with no_grad(), pytest.raises(FloatingPointError, match="log"):
            (x - 2).log()
    assert x.grad == 4.5


# What a Value is.


def test_a_new_value_has_no_gradient_and_no_label():
    x = Value(2, "x")
    for y in (Value(2), constant(2), x + x, x * x, x + 1, x.tanh(), x.detach() * 2):
        assert (y.grad, y.label) == (0, "")


@pytest.mark.parametrize(
    "number",
    [3, True, 2.5, Fraction(1, 4), Decimal("0.5"), np.float32(1.5), np.float64(2), np.int64(7), np.array(4.0)],
)
def test_real_numbers_are_taken_and_stored_as_float(number):
    for v in (
        Value(number),
        Value(1) * number,
        number * Value(1) if not isinstance(number, np.ndarray) else Value(number),
    ):
        assert isinstance(v, Value)
        assert type(v.data) is float
        assert v.data == float(number)


ASSIGNED = [
    *[(10, 10.0), (-3, -3.0), (0, 0.0), (True, 1.0), (10**400, math.inf), (-(10**400), -math.inf)],
    *[(np.int64(7), 7.0), (np.int8(-2), -2.0), (np.float32(0.5), 0.5), (Fraction(1, 4), 0.25)],
    *[(Fraction(10**400, 3), math.inf), (Decimal("-0.5"), -0.5), (Decimal("1e400"), math.inf)],
]


@pytest.mark.parametrize(("assigned", "expected"), ASSIGNED, ids=lambda x: f"{type(x).__name__} {str(x)[:5]}")
def test_data_may_be_assigned_any_real_number_and_then_every_operation_takes_it(assigned, expected):
    x = Value(1.5)
    x.data = assigned
    for data in (x.data, Value(assigned).data):
        assert (data, type(data)) == (expected, float)
    for op in mc.OPS.values():
        arity = op.arity or 3
        y = op.forward(*[expected] * arity)
        node = mc.engine.record(op, (x,) * arity)
        assert node.data == pytest.approx(y, rel=0, abs=0, nan_ok=True)
        node.backward()
        x.grad = 0.0
    for operation in ARITHMETIC:
        for y in (operation(x, assigned), operation(x, 0.5), operation(2, x)):
            assert isinstance(y, Value)


@pytest.mark.parametrize("refused", ["3", b"3", None, 1j, [1.0], Value(1), np.array([1.0])])
def test_data_refuses_what_is_no_real_number_and_keeps_its_own(refused):
    x = Value(1.5)
    with pytest.raises(TypeError, match="real number"):
        x.data = refused
    assert x.data == 1.5


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        ("3", "str '3'"),
        (b"3", "bytes b'3'"),
        (None, "NoneType"),
        (1j, "complex 1j"),
        (np.complex128(1j), "complex"),
        ([1], "list"),
        ((1,), "tuple"),
        ({}, "dict"),
        (object(), "object"),
    ],
)
def test_refused_data_is_a_type_error_that_names_it(refused, message):
    with pytest.raises(TypeError, match=f"real number.*{message}"):
        Value(refused)
    name = type(refused).__name__.removesuffix("128")
    for operation in (lambda v: v + refused, lambda v: v / refused, lambda v: v**refused, lambda v: v < refused):
        with pytest.raises(TypeError, match=name):
            operation(Value(1))
    for operation in (lambda v: refused + v, lambda v: refused * v, lambda v: refused**v, lambda v: refused >= v):
        with pytest.raises(TypeError):
            operation(Value(1))


def test_an_array_is_no_data():
    with pytest.raises(TypeError, match=r"one real number, got the sequence ndarray"):
        Value(np.array([1.0]))


def test_a_value_of_a_value_and_a_label_that_is_no_text_are_refused():
    with pytest.raises(TypeError, match=r"got a Value.*detach"):
        Value(Value(1))
    with pytest.raises(TypeError, match="label must be a str, got int 5"):
        Value(1, 5)


def test_operators_agree_with_floats():
    for a, b in [(3.5, -2.0), (-3.5, 2.0), (0.25, 8.0)]:
        x, y = Value(a), Value(b)
        for f in (
            lambda p, q: p + q,
            lambda p, q: p - q,
            lambda p, q: p * q,
            lambda p, q: p / q,
            lambda p, q: abs(p) ** q,
            lambda p, q: -p + +q,
        ):
            assert f(x, y).data == f(x, b).data == f(a, y).data == f(a, b)


def test_equality_and_hash_are_identity_and_order_is_of_data():
    a, b, c = Value(1), Value(1), Value(2)
    assert a != b
    assert a == a
    assert len({a, b}) == 2
    assert max([a, c, b]) is c
    for p, q in product((-1.0, 0.0, 2.0, math.nan), repeat=2):
        for x, y in ((Value(p), Value(q)), (Value(p), q), (p, Value(q))):
            assert (x < y, x <= y, x > y, x >= y) == (p < q, p <= q, p > q, p >= q)


NUMPY_SCALARS = [
    *[np.bool_, np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64],
    *[np.float16, np.float32, np.float64, np.longdouble, np.array],
]


@pytest.mark.parametrize("kind", NUMPY_SCALARS, ids=lambda kind: kind.__name__)
def test_a_numpy_scalar_on_either_side_gives_a_value(kind):
    one, v = kind(1), Value(3)
    for operation in ARITHMETIC:
        for result, expected in ((operation(one, v), operation(1.0, 3.0)), (operation(v, one), operation(3.0, 1.0))):
            assert type(result) is Value
            assert (result.data, type(result.data)) == (expected, float)
            v.grad = 0.0
            result.backward()
            assert v.grad == pytest.approx(gradients(result, [v])[0])
    for less in (operator.lt, operator.le):
        assert less(one, v)
        assert not less(v, one)
    for more in (operator.gt, operator.ge):
        assert more(v, one)
        assert not more(one, v)
    assert one != v
    assert v != kind(3)


@pytest.mark.parametrize("kind", [np.complex64, np.complex128])
def test_a_complex_numpy_scalar_is_refused_on_either_side(kind):
    for operation in ARITHMETIC:
        with pytest.raises(TypeError):
            operation(kind(1), Value(3))
        with pytest.raises(TypeError):
            operation(Value(3), kind(1))


@pytest.mark.parametrize("operation", ARITHMETIC)
def test_a_numpy_array_and_a_value_make_an_array_of_values(operation):
    v = Value(3)
    for other in (np.array([1.0, 2.0]), np.array([Value(1), Value(2)])):
        for result, expected in (
            (operation(other, v), [operation(x, 3.0) for x in (1.0, 2.0)]),
            (operation(v, other), [operation(3.0, x) for x in (1.0, 2.0)]),
        ):
            assert isinstance(result, np.ndarray)
            assert [type(y) for y in result] == [Value, Value]
            assert [y.data for y in result] == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("f", [math.exp, float, int, complex, math.sqrt, round])
def test_no_conversion_loses_the_graph_in_silence(f):
    with pytest.raises(TypeError):
        f(Value(1))


def test_item_repr_and_format():
    v = Value(2 / 3, "x")
    v.grad = -1.5
    assert v.item() == 2 / 3
    assert repr(v) == "Value(data=0.6666666666666666, grad=-1.5, label='x')"
    assert repr(Value(1)) == "Value(data=1.0, grad=0.0)"
    assert f"{v:.4f}" == "0.6667"
    assert f"{v:>8.2f}|" == "    0.67|"
    assert f"{v}" == str(v) == repr(v)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda v: pickle.loads(pickle.dumps(v))])
def test_a_leaf_is_copied_and_an_interior_node_is_not(duplicate):
    v = Value(0.1, "x")
    v.grad, v.requires_grad = 3.0, False
    w = duplicate(v)
    assert w is not v
    assert (w.data, w.grad, w.label, w.requires_grad, w.parents) == (0.1, 3.0, "x", False, ())
    with pytest.raises(TypeError, match=r"cannot copy or pickle Value\(data=0.2.* \(add\)"):
        duplicate(Value(0.1) + Value(0.1))


class Weight(Value):
    """A leaf with attributes of its own."""

    def __init__(self, data, label="", decay=0.0):
        super().__init__(data, label)
        self.decay = decay
        self.shared = [self.decay]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_copy_of_a_subclass_is_of_the_subclass_with_its_attributes(protocol):
    w = Weight(0.1, "w", decay=0.5)
    w.grad, w.requires_grad = 3.0, False
    for copied in (copy.copy(w), copy.deepcopy(w), pickle.loads(pickle.dumps(w, protocol))):
        assert (type(copied), copied is w) == (Weight, False)
        assert (copied.data, copied.grad, copied.label, copied.requires_grad) == (0.1, 3.0, "w", False)
        assert vars(copied) == {"decay": 0.5, "shared": [0.5]}
    assert copy.copy(w).shared is w.shared
    assert copy.deepcopy(w).shared is not w.shared
    pair = copy.deepcopy([w, w])
    assert pair[0] is pair[1]
    copied.requires_grad = True
    (copied * 2).backward()
    assert copied.grad == 5.0


class Slotted(Value):
    __slots__ = ("decay",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_copy_of_a_subclass_with_slots_has_what_is_in_them(protocol):
    w = Slotted(0.1, "w")
    w.decay = 0.5
    for copied in (copy.copy(w), copy.deepcopy(w), pickle.loads(pickle.dumps(w, protocol))):
        assert (type(copied), copied.data, copied.label, copied.decay) == (Slotted, 0.1, "w", 0.5)


def test_a_model_with_subclassed_weights_is_copied_and_pickled():
    model = MLP(2, [1])
    model.layers[0].neurons[0].w[0] = Weight(2.0, "w0", decay=0.25)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        w = twin.layers[0].neurons[0].w[0]
        assert (type(w), w.decay, w.data) == (Weight, 0.25, 2.0)
        assert twin([1, 1]).data == model([1, 1]).data


def test_a_deep_copy_of_a_model_keeps_shared_parameters_shared():
    model = MLP(1, [1])
    model.layers[0].neurons[0].b = model.layers[0].neurons[0].w[0]
    twin = copy.deepcopy(model)
    neuron = twin.layers[0].neurons[0]
    assert neuron.b is neuron.w[0]
    assert neuron.b is not model.layers[0].neurons[0].b


def test_micrograds_views_are_read_only():
    a, b = leaves(2, 3)
    y = a * b
    assert y._prev == {a, b}
    assert (y._op, a._op, (a**2)._op, a._prev) == ("*", "", "**", set())
    with pytest.raises(AttributeError):
        y._prev = ()
    with pytest.raises(AttributeError):
        y._op = "+"


def test_prev_is_a_set_of_ones_own():
    a, b = leaves(2, 3)
    y = a * b
    y._prev.pop()
    y._prev.clear()
    assert y._prev == {a, b}
    assert y.parents == (a, b)
    assert type(y._prev) is set


MICROGRADS_NODES = [
    lambda t, a: Value(t, (a,), "tanh"),
    lambda t, a: Value(t, (a, a), "+"),
    lambda t, a: Value(t, {a}),
    lambda t, a: Value(t, [a]),
    lambda t, a: Value(t, (), "", "label"),
    lambda t, a: Value(data=t, _children=(a,), _op="exp"),
    lambda t, a: Value(t, _children=()),
    lambda t, a: Value(t, _op=""),
    lambda t, a: Value(t, "label", _op="+"),
]


@pytest.mark.parametrize("make", MICROGRADS_NODES)
def test_a_node_made_as_in_micrograd_is_answered_with_code_that_runs(make):
    x = Value(0.5)
    with pytest.raises(TypeError, match=r"operands and its _op from an operation") as refused:
        make(0.5, x)
    _, code = str(refused.value).split("Write\n")
    names = {"x": x}
    exec(code, names)
    y = names["out"]
    assert (y.data, y.parents) == (math.tanh(0.5), (x,))
    y.backward()
    assert x.grad == pytest.approx(1 - math.tanh(0.5) ** 2, rel=1e-15)


def test_an_unknown_keyword_is_named():
    with pytest.raises(TypeError, match="unexpected keyword argument 'lable'"):
        Value(1, lable="x")


def test_a_value_takes_no_other_attributes_but_a_subclass_does_and_a_dict_by_node():
    v = Value(1)
    with pytest.raises(AttributeError, match="'Value' object has no attribute 'm'"):
        v.m = 0
    assert "a dict by node, or in a subclass" in " ".join(Value.__doc__.split())
    w = Weight(1)
    w.m = 0.5
    momentum = {v: 0.5}
    assert (w.m, momentum[v]) == (0.5, 0.5)


def test_a_modulus_is_refused_in_words():
    v = Value(2)
    with pytest.raises(TypeError, match=r"pow\(\) of a Value takes a base and an exponent, and no modulus"):
        pow(v, 2, 3)
    assert v.__rpow__(2, 3) is NotImplemented
    with pytest.raises(TypeError, match="pow"):
        pow(2, v, 3)
    with pytest.raises(TypeError, match=r"^pow\(\) takes 2 operands, got 3"):
        mc.pow(v, 2, 3)
    assert (pow(v, 3).data, pow(3, v).data) == (8, 9)


def test_a_value_has_no_name_by_accident():
    assert "_" not in dir(Value)
    documented = {"data", "grad", "group", "label", "op", "parents", "partials", "requires_grad", "item"}
    documented |= {"backward", "detach", "edges", "operands", "zero_grad"}
    assert {name for name in dir(Value) if not name.startswith("_")} == documented | {
        name for name, op in mc.OPS.items() if op.unary
    }
    slots = {name for kind in Value.__mro__ for name in getattr(kind, "__slots__", ())}
    for kind in Value.__mro__[:-1]:
        for name, thing in vars(kind).items():
            if name.startswith("_") and not name.endswith("__") and name not in slots:
                inner = getattr(thing, "fget", None) or getattr(thing, "__func__", thing)
                assert inner.__name__ == name


def test_a_group_is_named_by_its_place():
    layer = Group("layer")
    assert (str(layer), str(Group("neuron", layer))) == ("layer", "layer.neuron")


def test_a_subclass_of_value_works_as_an_operand():
    class Weight(Value):
        pass

    w, x = Weight(3), Value(2)
    for y in (w * x, x * w, w + 1, mc.dot([w], [x]), w.tanh() * w):
        assert y.requires_grad
    (x * w).backward()
    assert w.grad == 2


@pytest.mark.parametrize("name", [name for name, op in mc.OPS.items() if op.unary])
def test_every_operation_of_one_operand_is_a_method(name):
    x, op = Value(0.3), mc.OPS[name]
    y = getattr(x, name)()
    assert y.op is op
    assert (y.data, y.partials) == (op(0.3), op(Value(0.3)).partials)
    assert (getattr(Value, name).__name__, getattr(Value, name).__doc__) == (name, op.doc.split("\n")[0])


def test_an_operation_of_any_arity_may_be_a_method():
    squares = mc.Op("squares", lambda *xs: math.fsum(x * x for x in xs), lambda y, *xs: tuple([2.0 * x for x in xs]))
    x, y = leaves(2, 3)
    assert method(squares)(x, y).data == 13
    assert method(mc.atan2)(x, y).data == math.atan2(2, 3)


def test_what_is_decorated_keeps_its_name_and_documentation():
    def plain():
        """Do it."""

    def generator():
        """Do it."""
        yield

    async def coroutine():
        """Do it."""

    async def async_generator():
        """Do it."""
        yield

    for function in (plain, generator, coroutine, async_generator):
        decorated = no_grad()(function)
        assert decorated is not function
        assert (decorated.__name__, decorated.__doc__, decorated.__wrapped__) == (
            function.__name__,
            "Do it.",
            function,
        )


@pytest.mark.parametrize("symbol", ["-", "/", "**"])
def test_what_is_no_number_is_left_to_python_on_the_left_too(symbol):
    with pytest.raises(TypeError, match="unsupported operand type"):
        eval(f"'a' {symbol} value", {"value": Value(1.0)})


def test_that_a_node_was_given_data_is_marked():
    x = Value(1.0)
    context.data_changed = False
    x.data = 2.0
    assert context.data_changed


def test_blocks_that_new_nodes_depend_on_are_counted():
    assert (context.active, context._entered) == (False, 0)
    with hooked(Hooks()):
        with hooked(Hooks()):
            assert (context.active, context._entered) == (True, 2)
        assert (context.active, context._entered) == (True, 1)
    assert (context.active, context._entered) == (False, 0)
    with pytest.raises(KeyError), hooked(Hooks()):
        raise KeyError
    assert (context.active, context._entered) == (False, 0)


def test_two_contributions_are_added_and_more_are_summed():
    x, ys = Value(2.0), [Value(3.0), Value(5.0), Value(7.0)]
    names = [gradients(mc.sum([x * y for y in ys[:n]]), [x], create_graph=True)[0].op.name for n in (2, 3)]
    assert names == ["add", "sum"]
    assert (ys[0].grad, gradients(x * 3.0, [x])) == (0.0, [3.0])
