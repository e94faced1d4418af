"""What is done: once a batch, once for all who need it, and not at all where nobody asked."""

import pytest

import micrograd_cn as mc
from micrograd_cn import Op, Value
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.instructions import AFTER, BATCH, SAMPLE

from .common import assert_like_eager, calls_of_samples, forms, plan_of


def test_what_depends_on_parameters_alone_is_computed_once_a_batch():
    x, w = Value(2.0), Value(3.0)
    program = compile(mc.sin(w) * x + mc.dot([w] * 9, [w] * 9), [x])
    for lanes in (True, False):
        plan = plan_of(program, lanes)
        assert forms(plan, BATCH)["sin"] == 1
        assert forms(plan, BATCH)["dot"] == 1
        assert (forms(plan, BATCH) + forms(plan, AFTER))["cos"] == 1
        assert not {"sin", "cos", "dot"} & set(forms(plan, SAMPLE))


def test_constants_are_computed_when_the_graph_is_compiled():
    x, w, c = Value(2.0), Value(3.0), Value(0.5).detach()
    plan = plan_of(compile(w * x * (mc.sin(c) + mc.exp(c) * 2.0), [x]))
    assert not {"sin", "exp", "fadd"} & {form for phase in (BATCH, SAMPLE, AFTER) for form in forms(plan, phase)}


def test_common_subexpressions_are_computed_once():
    x, w = Value(2.0), Value(3.0)
    program = compile(mc.sin(w * x) + mc.sin(x * w) * 2.0, [x])
    for lanes in (True, False):
        assert forms(plan_of(program, lanes), SAMPLE)["sin"] == 1
        assert forms(plan_of(program, lanes), SAMPLE)["cos"] == 1
    once, twice = mc.silu(w * x), mc.silu(w * x) + mc.silu(x * w) * 2.0
    counts = [calls_of_samples(plan_of(compile(y, [x])), "exp") for y in (once, twice)]
    assert counts[0] == counts[1] > 0


def test_a_value_and_its_partial_share_their_common_parts():
    x, w = Value(2.0), Value(3.0)
    own = Op("own", lambda x: mc.exp(x) * mc.sin(x), (lambda y, x: mc.exp(x) * mc.sin(x) + mc.exp(x) * mc.cos(x),))
    plan = plan_of(compile(own(w * x), [x]))
    assert [calls_of_samples(plan, name) for name in ("exp", "sin", "cos")] == [1, 1, 1]


def test_gradients_that_nobody_asked_for_are_not_computed():
    x, w = Value(2.0), Value(3.0)
    for lanes in (True, False):
        assert forms(plan_of(compile(w * mc.sin(x), [x]), lanes), SAMPLE)["cos"] == 0
        assert forms(plan_of(compile(w * mc.sin(w * x), [x]), lanes), SAMPLE)["cos"] == 1
        program = compile(mc.sin(w * x), [x])
        assert forms(plan_of(program, lanes, "forward"), SAMPLE)["cos"] == 0
        assert forms(plan_of(program, lanes), SAMPLE)["cos"] == 1


def test_a_value_that_only_a_dropped_gradient_needs_is_not_computed():
    x, w = Value(2.0), Value(3.0)
    plan = plan_of(compile(w + mc.exp(x), [x]))  # whose gradient is 1
    assert plan_of(compile(w, [x])).count == plan.count
    assert forms(plan, SAMPLE) == {"exp": 1, "fadd": 1}


def test_products_and_their_sum_are_one_loop():
    parameters = [Value(0.1 * k) for k in range(100)]
    x = Value(2.0)
    penalty = mc.sum([p * p for p in parameters])
    program = compile([penalty * x], inputs=[x])
    assert program.forward([[2.0]])[0] == pytest.approx([2.0 * penalty.data], rel=1e-14)
    for lanes in (True, False):
        plan = plan_of(program, lanes, "forward")
        assert forms(plan, BATCH) == {"sum": 1}
        assert forms(plan, SAMPLE) == {"fmul": 1}


def test_a_result_that_is_a_constant_may_have_partials_that_are_formulas(code):
    straight = Op("straight", lambda q, x: q, (lambda y, q, x: 0.0, lambda y, q, x: mc.sech(y) * mc.sech(y)))
    w, x = Value(0.3), Value(2.0)
    compile(straight(0.25, w) * x, [x]).backward([[2.0]])
    assert w.grad == pytest.approx(2.0 * mc.sech(0.25) ** 2, rel=1e-14)


def test_what_depends_on_parameters_alone_in_a_formula_is_computed_once_a_batch():
    tempered = Op(
        "tempered",
        lambda x, w: x * mc.tanh(x) * mc.div(1.0, mc.sinh(mc.softplus(w))),
        (lambda y, x, w: x * x * mc.div(1.0, mc.sinh(mc.softplus(w))), lambda y, x, w: 0.0 * x),
    )
    x, ws = Value(0.5), [Value(0.1 * k) for k in (1, 4, 9)]
    program = assert_like_eager(lambda x: mc.sum([tempered(x, w) for w in ws]), [x], ws, [[0.5], [-2.0], [3.0]])
    plan = plan_of(program)
    assert forms(plan, BATCH)["sinh"] == 3
    assert forms(plan, SAMPLE)["sinh"] == 0
    assert calls_of_samples(plan, "tanh") == 1
