"""The checker is checked: it finds planted mistakes, knows kinks and edges, and refuses to pass on nothing."""

import math
import subprocess
import sys
import warnings

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st
from mpmath import mp, mpf

import micrograd_cn as mc
from micrograd_cn import OPS, Op, Value
from micrograd_cn.testing import (
    Expression,
    GradientMismatch,
    NothingCompared,
    PartlyCompared,
    check_op,
    expressions,
    gradcheck,
    networks,
    values,
)
from micrograd_cn.testing.gradcheck import derivative

from .references import REFERENCES

# Every row of the table.


@pytest.mark.parametrize("op", OPS.values(), ids=list(OPS))
def test_every_operation_of_the_table_passes_the_battery(op):
    value = REFERENCES[op.name][0]
    with mp.workdps(50):
        check_op(op, reference=lambda *xs: float(value(*map(mpf, xs))))


# Planted mistakes: each must be found by the battery, and by a property test with the ci profile's examples.


PLANTED = {
    "sign": Op("bad", lambda x: x * x, (lambda y, x: -2.0 * x,)),
    "factor": Op("bad", lambda x: x * x, (lambda y, x: x,)),
    "swapped operands": Op("bad", lambda a, b: a * b, (lambda y, a, b: a, lambda y, a, b: b)),
    "off by 1 %": Op("bad", lambda x: x * x, (lambda y, x: 2.02 * x,)),
    "wrong below 0": Op("bad", lambda x: x * x, (lambda y, x: 2.0 * x if x > 0.0 else 2.1 * x,)),
    **{
        f"{wrong} below -0.5": Op(
            "bad", lambda x: x * x, (lambda y, x, wrong=wrong: mc.where(mc.less(x, -0.5), wrong, 2 * x),)
        )
        for wrong in (math.nan, math.inf, 1e9)
    },
    "wrong at second order": Op(
        "bad", lambda x: x * x * x, (lambda y, x: 3.0 * x * (x.detach() if isinstance(x, Value) else x),)
    ),
    "wrong where shared": Op("bad", lambda a, b: a * b, (lambda y, a, b: 0.0 * b if a is b else b, lambda y, a, b: a)),
}


@pytest.mark.parametrize("op", PLANTED.values(), ids=list(PLANTED))
def test_the_battery_finds_a_planted_mistake(op):
    with pytest.raises(AssertionError, match="bad"):
        check_op(op)


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
    ("op", "message"),
    [
        (Op("bad", math.exp, (lambda y, x: y,)), "raises OverflowError"),
        (Op("bad", lambda x: 1, (lambda y, x: 0.0,)), "gave int, not a float"),
        (Op("bad", lambda *xs: math.fsum(xs) if math.inf not in xs else math.inf, lambda y, *xs: (1.0,)), "bad"),
        (Op("bad", lambda x: mc.relu(x), (lambda y, x: 2.0 * mc.step(x),), kink=lambda x: x), "bad"),
        (Op("bad", lambda x: mc.abs(x), (lambda y, x: 1.0 - 4.0 * mc.less(x, 0.0),), kink=lambda x: x), "bad"),
        (
            Op(
                "bad", lambda x: mc.abs(x), (lambda y, x: mc.where(x, mc.step(x) - mc.step(-x), 3.0),), kink=lambda x: x
            ),
            "kink",
        ),
        (
            Op("bad", lambda x: mc.sin(x), (lambda y, x: mc.cos(x) if isinstance(x, float) else mc.cos(x) + 1e-3,)),
            "on Values",
        ),
        (
            Op("bad", lambda x: mc.sin(x), (lambda y, x: math.cos(x) if abs(x) < 1e9 else math.nan,)),
            "table's operations",
        ),
        (Op("bad", lambda x: mc.sin(x), (lambda y, x: None,)), "partial 0 is None, not a number"),
        (Op("bad", lambda x: x * x * x, (lambda y, x: mc.div(3.0 * y, x),)), "partial 0 is nan, inside its domain"),
        (Op("bad", mc.log, (lambda y, x: mc.div(1.0, x),)), "is nan, inside its domain"),
        (Op("bad", lambda x: math.inf, (lambda y, x: 0.0,)), "nowhere in its domain"),
        (Op("bad", lambda *xs: mc.sum(xs), lambda y, *xs: tuple([1.0, 1.0, 1.0, 1.0, 7.0][: len(xs)])), "bad"),
        (
            Op("bad", lambda *xs: mc.sum(xs), lambda y, *xs: (1, 1, 1, -1.0) if len(xs) == 4 else (1.0,) * len(xs)),
            "bad",
        ),
        (Op("bad", lambda x: 1e-23 * x, (lambda y, x: -4e-12,)), "bad"),
        (Op("bad", lambda x: x * x, (lambda y, x: 2.1 * x,), domain=((1e-9, 2e-9),)), "bad"),
    ],
)
def test_the_battery_finds_other_mistakes(op, message):
    with pytest.raises(AssertionError, match=message):
        check_op(op)


@pytest.mark.parametrize("factor", [-2.0, 2.02])
@pytest.mark.parametrize("low", [-49.0, -16.0, -2.0, -1.0, 0.0, 1.0, 2.0, 5.5, 10.0, 66.0])
def test_the_battery_leaves_out_no_part_of_the_domain(low, factor):
    high = low + (1.0 if abs(low) < 3.0 else 10.0)
    between = lambda x: mc.less(low, x) * mc.less(x, high)  # noqa: E731
    op = Op("bad", lambda x: x * x, (lambda y, x: mc.where(between(x), factor * x, 2.0 * x),))
    with pytest.raises(GradientMismatch):
        check_op(op)


@pytest.mark.parametrize(
    ("row", "low", "high"), [(mc.log, 0.0, 0.05), (mc.asin, 0.95, 1.0), (mc.asin, -1.0, -0.95), (mc.sqrt, 0.0, 0.001)]
)
def test_the_battery_looks_near_the_ends_of_the_domain(row, low, high):
    def partial(y, x):
        return mc.where(mc.less(low, x) * mc.less(x, high), 2.0, 1.0) * row.local(y, x)[0]

    with pytest.raises(GradientMismatch):
        check_op(Op("bad", lambda x: row(x), (partial,), domain=row.domain))


@pytest.mark.parametrize(
    ("forward", "partial"),
    [
        (lambda x: 1e12 * mc.sin(x), lambda y, x: 1e12),
        (lambda x: 1e12 * mc.tanh(x), lambda y, x: 1e12),
        (lambda x: 1.0 + 1e-10 * mc.sin(x), lambda y, x: -1e-10 * mc.cos(x)),
    ],
)
def test_the_battery_compares_large_rows_and_small_slopes(forward, partial):
    with pytest.raises(GradientMismatch):
        check_op(Op("bad", forward, (partial,)))


def variance(*xs):
    m = mc.mean(xs)
    return mc.mean([(x - m) * (x - m) for x in xs])


NOISY = {  # right, though they lose digits on the way, or are large, small, or undefined where they say so
    "log(1+exp)": Op("own", lambda x: mc.log(1 + mc.exp(x)), (lambda y, x: mc.sigmoid(x),)),
    "1-sigmoid": Op("own", lambda x: 1 - mc.sigmoid(x), (lambda y, x: -mc.sigmoid(x) * mc.sigmoid(-x),)),
    "normal": Op(
        "own",
        lambda x: 0.5 * (1 + mc.erf(x * 0.5**0.5)),
        (lambda y, x: (2 * math.pi) ** -0.5 * mc.exp(-0.5 * x * x),),
    ),
    "1-erf": Op("own", lambda x: 1 - mc.erf(x), (lambda y, x: -2 * math.pi**-0.5 * mc.exp(-x * x),)),
    "exp-1": Op("own", lambda x: mc.exp(x) - 1, (lambda y, x: mc.exp(x),)),
    "1-cos": Op("own", lambda x: 1 - mc.cos(x), (lambda y, x: mc.sin(x),)),
    "log(cosh)": Op("own", lambda x: mc.log(mc.cosh(x)), (lambda y, x: mc.tanh(x),)),
    "variance": Op("own", variance, lambda y, *xs: tuple([2 * (x - mc.mean(xs)) / len(xs) for x in xs])),
    "deviation": Op(
        "own",
        lambda *xs: mc.sqrt(1e-5 + variance(*xs)),
        lambda y, *xs: tuple([(x - mc.mean(xs)) / (len(xs) * y) for x in xs]),
    ),
    "six operands": Op("own", lambda *xs: mc.sum(xs), tuple([lambda y, *xs: 1.0] * 6)),
    "large": Op("own", lambda x: 1e7 * (2 + mc.sin(x)), (lambda y, x: 1e7 * mc.cos(x),)),
    "small": Op("own", lambda x: 1e-20 * mc.sin(x), (lambda y, x: 1e-20 * mc.cos(x),)),
    "fast": Op("own", lambda x: mc.sin(50 * x), (lambda y, x: 50 * mc.cos(50 * x),)),
    "far": Op("own", mc.log, (lambda y, x: mc.div(1.0, x),), domain=((1e15, math.inf),)),
    "poles": Op(
        "own",
        lambda a, b: mc.div(a, b) + mc.div(b, a),
        (
            lambda y, a, b: mc.div(1.0, b) - mc.div(b, a * a),
            lambda y, a, b: mc.div(1.0, a) - mc.div(a, b * b),
        ),
        kink=lambda a, b: a * b,
    ),
}


@pytest.mark.parametrize("x", [0.0, 6e-140, -2e-229, 1e-9, 1e-5])
def test_what_cancels_near_0_is_no_mistake(x):
    gradcheck(lambda x: mc.sin(x) - x, x)
    gradcheck(lambda x: mc.sin(-x) + x, x, order=2)
    with pytest.raises(GradientMismatch):
        gradcheck(lambda x: mc.sin(x) - Op("bad", lambda x: x, (lambda y, x: 1.01,))(x), x)


@pytest.mark.parametrize("op", NOISY.values(), ids=list(NOISY))
def test_the_battery_accepts_what_is_right_but_noisy(op):
    check_op(op, examples=50 if op.arity == 1 else 20)


@pytest.mark.parametrize("name", ["exp-1", "1-cos", "log(cosh)", "normal"])
def test_property_tests_accept_what_is_right_but_noisy(name):
    @given(expressions([NOISY[name], mc.add, mc.mul, mc.tanh]))
    def every_gradient_is_right(f):
        gradcheck(f, *f.point)

    every_gradient_is_right()
    for x in (1e-30, 1e-7, 3e-232):
        gradcheck(NOISY[name], x)


@pytest.mark.parametrize("place", [2.0, 0.3, -1.7, 4.5])
def test_the_battery_finds_kinks_where_they_are(place):
    def row(at_kink):
        def partial(y, x):
            return mc.where(x - place, mc.step(x - place) - mc.step(place - x), at_kink)

        return Op("bad", lambda x: mc.abs(x - place), (partial,), kink=lambda x: x - place)

    check_op(row(0.0))
    with pytest.raises(GradientMismatch, match="kink: -1 on the left, 1 on the right"):
        check_op(row(5.0))


@pytest.mark.parametrize(
    "formula", [lambda x: 1.0001 * mc.exp(-x * x), lambda x: mc.where(mc.less_equal(x, 1e300), mc.exp(-x * x), 1.0)]
)
def test_the_battery_compares_machine_code(formula):
    row = Op("bad", lambda x: mc.exp(-x * x), (lambda y, x: -2.0 * x * y,), formula=formula)
    with pytest.raises(AssertionError, match="in machine code"):
        check_op(row)


def test_the_battery_compares_with_the_reference():
    for op, reference in (
        (mc.tanh, lambda x: math.tanh(x) * (1 + 1e-9)),
        (Op("tiny", lambda x: 1e-18 * x, (lambda y, x: 1e-18,)), lambda x: 7e-18 * x),
        (Op("square", lambda x: mc.where(mc.less(x, 0.0), 1e9, x * x), (lambda y, x: 2.0 * x,)), lambda x: x * x),
        (Op("cancelled", lambda x: 1.0 - mc.erf(x), (lambda y, x: -1.1283791670955126 * mc.exp(-x * x),)), math.erfc),
    ):
        with pytest.raises(AssertionError, match="the reference gives"):
            check_op(op, reference)


def test_the_battery_accepts_ones_own_rows():
    check_op(Op("bump", lambda x: mc.exp(-x * x), (lambda y, x: -2.0 * x * y,)), reference=lambda x: math.exp(-x * x))
    check_op(Op("squares", lambda *xs: mc.sum([x * x for x in xs]), lambda y, *xs: tuple([2.0 * x for x in xs])))
    check_op(Op("of_math", lambda x: math.atan(x), (lambda y, x: mc.div(1.0, 1.0 + x * x),)))  # is not compiled
    check_op(
        Op(
            "branching",
            lambda x: x * x if x >= 0 else -x,
            (lambda y, x: mc.where(mc.less(x, 0.0), -1.0, 2.0 * x),),
            kink=lambda x: x,
        )
    )


# Numerical derivatives.

WRONG_ZERO = Op("wrong_zero", lambda w: 0.0 * w, (lambda y, w: 1.0,))


@pytest.mark.parametrize(
    ("g", "x", "exact"),
    [
        (math.exp, 1.0, math.e),
        (math.sin, 1e6, math.cos(1e6)),
        (math.log, 1e-9, 1e9),
        (math.log, 1e-300, 1e300),
        (math.sqrt, 1e12, 5e-7),
        (lambda x: x**3, 0.0, 0.0),
        (math.tanh, 20.0, 4 * math.exp(-40)),
        (lambda x: abs(x), 1e-9, 1.0),
        (lambda x: 1 / x, -1e-5, -1e10),
    ],
)
def test_a_numerical_derivative_is_right_within_its_own_error(g, x, exact):
    def total(x):
        try:
            return g(x)
        except (ValueError, ZeroDivisionError):
            return math.nan

    estimate = derivative(total, x)
    assert abs(estimate.slope - exact) <= 10 * estimate.error + 1e-12 * abs(exact)
    assert estimate.error <= 1e-6 * max(abs(exact), 1e-6)


def test_one_sided_derivatives_at_a_kink():
    assert derivative(abs, 0.0, side=1).slope == pytest.approx(1)
    assert derivative(abs, 0.0, side=-1).slope == pytest.approx(-1)


# gradcheck.


@pytest.mark.parametrize("order", [1, 2, 3])
def test_gradcheck_passes_silently(order, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert gradcheck(lambda x, w, b: mc.tanh(w * x + b), 0.5, -2, 1.0, order=order) is None
    assert capsys.readouterr() == ("", "")


def test_gradcheck_takes_nested_arguments():
    gradcheck(lambda p, xs: mc.dot(p["w"], xs, p["b"]).sigmoid(), {"w": [1, 2.0], "b": 0.5}, (0.25, -1))


def test_a_mismatch_shows_a_table_with_argument_analytic_numeric_error_and_ratio():
    op = PLANTED["off by 1 %"]
    with pytest.raises(GradientMismatch) as caught:
        gradcheck(lambda x, w: op(x) + w, 3.0, 2.0)
    title, header, wrong, right = str(caught.value).splitlines()
    assert title.endswith("at (3.0, 2.0): 1 of 2 derivatives wrong")
    assert header.split() == ["derivative", "analytic", "numeric", "estimated", "error", "ratio"]
    assert wrong.split()[:4] == ["WRONG", "df/dx0", "6.06", "6"]
    assert wrong.split()[-1] == "1.01"
    assert float(wrong.split()[-2]) < 1e-9
    assert right.split()[:4] == ["ok", "df/dx1", "1", "1"]
    assert isinstance(caught.value, AssertionError)


def test_a_small_relative_error_is_found_and_tolerances_are_kept():
    op = Op("bad", lambda x: x * x, (lambda y, x: 2.0 * x * (1 + 1e-5),))
    with pytest.raises(GradientMismatch):
        gradcheck(op, 3.0)
    gradcheck(op, 3.0, rtol=1e-4)
    gradcheck(op, 3.0, atol=1e-3)


@pytest.mark.parametrize("x", [0.0, 1e-12, -1e-12, 1e-6, -1e-3])
@pytest.mark.parametrize("op", [mc.relu, mc.abs, mc.leaky_relu, mc.elu], ids=repr)
def test_a_kink_near_or_at_the_point_is_no_mistake(op, x):
    gradcheck(op, x)


def test_at_a_kink_a_slope_between_both_sides_passes_and_another_does_not():
    def kinked(slope):
        return Op("kinked", lambda x: mc.abs(x), (lambda y, x: mc.where(x, mc.step(x) - mc.step(-x), slope),))

    gradcheck(kinked(0.5), 0.0)
    gradcheck(kinked(-1.0), 0.0)
    with pytest.raises(GradientMismatch, match="kink: -1 on the left, 1 on the right"):
        gradcheck(kinked(1.5), 0.0)


def test_at_the_edge_of_the_domain_one_side_is_compared():
    edge = Op("edge", lambda x: x * mc.sqrt(x), (lambda y, x: 1.5 * mc.sqrt(x),))
    gradcheck(edge, 1e-4)
    one_sided = Op("one_sided", lambda x: x * x if x >= 1.0 else math.nan, (lambda y, x: 2.0 * x,))
    gradcheck(one_sided, 1.0)
    with pytest.raises(GradientMismatch, match="edge of the domain: compared on the right"):
        gradcheck(Op("bad", one_sided.forward, (lambda y, x: 3.0 * x,)), 1.0)


def test_a_function_may_refuse_what_is_outside_its_domain():
    def f(x):
        if x.data > 0.75:
            raise ValueError("too large")
        return x * x

    gradcheck(f, 0.74)
    gradcheck(f, 0.75)
    with pytest.raises(ValueError, match="too large"):
        gradcheck(f, 0.8)


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda v: mc.exp(-((1e3 * v) ** 2)), 5e-5),
        (lambda v: mc.exp(-((1e3 * v) ** 2)), 1.28e-4),
        (lambda v: (50 * v).sin().relu(), -1.3532589275561508),
        *[(lambda v: mc.sin(1e4 * v), 0.1 * k) for k in range(20)],
        *[(lambda v: v + 1e-3 * mc.sin(1e4 * v), 0.1 * k) for k in range(20)],
    ],
)
def test_what_a_coarse_step_passes_over_is_no_mistake(f, x):
    gradcheck(f, x)


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda x: mc.log(0.5**x), 4.398694990957796e-107),
        (lambda x: mc.exp(x).log(), 2.2250738585072014e-308),
        (lambda x: (1.0 + x) - 1.0, 2.7519318774600196e-289),
        (lambda x: (1.0 + x) - 1.0, 1e-5),
        (lambda x: mc.log(mc.cos(mc.erfc(mc.exp(x)))), 0.984375),
        (lambda x: mc.log(mc.cos(x)), 0.008245481427641366),
        (lambda x: mc.dot([1.0], [x], 1.0) + mc.dot([-0.99999], [x], -1.0), -1.0),  # two products of about 1
    ],
)
def test_a_change_that_rounding_hides_is_not_taken_for_none(f, x):
    gradcheck(f, x)
    wrong = Op("wrong", lambda x: x, (lambda y, x: 1.05,))
    with pytest.raises(GradientMismatch):
        gradcheck(lambda x: f(wrong(x)), x)


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda x: x * 1e-20, 1e-200),
        (lambda x: mc.relu(x), -1e-200),
        (lambda x: mc.step(x), 1e-200),
        (lambda x: x * 0.0, 1e-200),
        (lambda x: mc.relu(x - 1e-3), 1e-200),
    ],
)
def test_a_function_that_does_not_change_has_the_derivative_0(f, x):
    gradcheck(f, x)


def test_noise_does_not_hide_that_nothing_depends_on_an_argument():
    gradcheck(lambda x, w: w.tan().tan(), 0.0, 0.98828125, order=2)
    with pytest.raises(GradientMismatch, match="d2f/dx1/dx0"):
        gradcheck(lambda x, w: w.tan().tan() + 1e-3 * x * WRONG_ZERO(w), 0.0, 0.98828125, order=2)


@pytest.mark.parametrize("partial", [math.inf, -math.inf, math.nan])
def test_an_infinite_gradient_agrees_with_no_finite_one(partial):
    with pytest.raises(GradientMismatch):
        gradcheck(Op("bad", lambda x: x * x, (lambda y, x: partial,)), 3.0)
    with pytest.raises(GradientMismatch):
        gradcheck(lambda x, w: x * w + Op("bad", lambda x: x * x, (lambda y, x: partial,))(w), 3.0, 2.0)
    at_kink = Op("bad", lambda x: mc.abs(x), (lambda y, x: mc.where(x, 2.0 * mc.step(x) - 1.0, partial),))
    with pytest.raises(NothingCompared if math.isnan(partial) else GradientMismatch, match="kink: -1"):
        gradcheck(at_kink, 0.0)


@pytest.mark.parametrize("scale", [1e-10, 1e-30, 1e-200])
def test_small_functions_are_compared_by_their_own_size(scale):
    gradcheck(lambda x: x * scale, 3.0)
    gradcheck(lambda x: (x * x - 9.0) * scale, 3.0, order=2)
    with pytest.raises(GradientMismatch):
        gradcheck(Op("bad", lambda x: x * scale, (lambda y, x: -scale,)), 3.0)


@pytest.mark.parametrize("x", [1e15, 1e17, 1e20, 1e300])
def test_nothing_is_compared_where_no_step_is_small_enough(x):
    gradcheck(mc.log, x)
    gradcheck(lambda n: n * 1.380649e-23, x)
    for op in (mc.sin, Op("bad", lambda x: mc.sin(x), (lambda y, x: 0.0,))):
        with pytest.raises(NothingCompared):
            gradcheck(op, x)


@pytest.mark.parametrize(
    ("f", "point"),
    [
        (mc.step, (0.0,)),
        (mc.less, (1.0, 1.0)),
        (lambda x: x * x + 5.0 * mc.step(x - 1.0), (1.0,)),
        (lambda x: x * x + 5.0 * mc.step(1.0 - x), (1.0,)),
        (mc.hypot, (0.0, 0.0)),  # nan, by convention
    ],
)
def test_nothing_is_compared_at_a_jump_or_where_nan_is_the_convention(f, point):
    with pytest.raises(NothingCompared):
        gradcheck(f, *point)


def test_a_leaf_may_be_given_for_a_number():
    gradcheck(lambda x, w: x * w["w"], Value(2.0), {"w": Value(3.0)})


@pytest.mark.parametrize("offset", [1e12, 1e15])
def test_noise_excuses_no_wrong_derivative(offset):
    op = Op("bad", lambda x: offset + x, (lambda y, x: 3.0,))
    with pytest.raises((GradientMismatch, NothingCompared)):
        gradcheck(op, 0.5)


def test_domains_far_from_zero_and_narrow_ones_are_drawn_from():
    for low, high in ((10.0, math.inf), (-math.inf, -20.0), (0.0, 0.08)):
        op = Op("far", lambda x: mc.sin(x), (lambda y, x: mc.cos(x),), domain=((low, high),))
        f = find(expressions([op]), lambda f: len(f.steps) == 1)
        assert f.steps[0][1] == (0,) or low < f.steps[0][1][0] < high
        check_op(op)


def test_the_battery_looks_further_than_a_few_units():
    wrong = Op("bad", lambda x: mc.sin(x), (lambda y, x: mc.cos(x) * mc.where(mc.less(x, 4.5), 1.0, -1.0),))
    with pytest.raises(AssertionError, match="bad"):
        check_op(wrong)


def test_nothing_compared_is_refused():
    with pytest.raises(NothingCompared, match="outside the domain, the function is nan"):
        gradcheck(mc.log, -1.0)
    with pytest.raises(NothingCompared, match="compared nothing"):
        gradcheck(mc.sqrt, 0.0)
    with pytest.raises(NothingCompared, match="compared nothing"):
        gradcheck(lambda: Value(1.0))


def test_what_could_not_be_compared_is_said():
    with pytest.warns(PartlyCompared, match="not compared"):
        gradcheck(lambda x, w: mc.sqrt(x) + w, 0.0, 1.0)


def test_refused_arguments():
    with pytest.raises(ValueError, match="order must be at least 1, got 0"):
        gradcheck(mc.sin, 1.0, order=0)
    with pytest.raises(TypeError, match=r"returned float .*its graph was lost"):
        gradcheck(lambda x: x.data * 2, 1.0)
    with pytest.raises(TypeError, match="str 'a'"):
        gradcheck(mc.sin, "a")
    for refused in ({"ops": []}, {"max_inputs": 0}, {"max_steps": 0}):
        with pytest.raises(ValueError, match=r"expressions\(\) of"):
            expressions(**refused)


# Strategies.


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


def test_gradcheck_needs_no_hypothesis():
    code = (
        "import sys\n"
        "sys.modules['hypothesis'] = None\n"
        "from micrograd_cn import tanh\n"
        "from micrograd_cn.testing import gradcheck, expressions\n"
        "gradcheck(tanh, 0.5)\n"
        "try: expressions()\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "strategies need hypothesis: pip install 'micrograd-cn[test]'\n"
