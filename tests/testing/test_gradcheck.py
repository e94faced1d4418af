"""`gradcheck` of functions of `Value`s: it finds mistakes, knows kinks and edges, and reports nothing that is right."""

import math
import os
import re
import subprocess
import sys
import warnings
from collections import Counter

import pytest

import micrograd_cn as mc
from micrograd_cn import Op, Value
from micrograd_cn.testing import (
    GradientMismatch,
    NotDeterministic,
    NothingCompared,
    PartlyCompared,
    TooNoisy,
    gradcheck,
)
from micrograd_cn.testing.numeric.numerical import derivative, noise_level, taylor_order

from .cancelling import accusations

SQUARE_OFF = Op("bad", lambda x: x * x, (lambda y, x: 2.02 * x,))


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


@pytest.fixture
def pytester_run(tmp_path):
    """Return a function that runs a file of tests, and returns what pytest prints."""

    def run(source):
        path = tmp_path / "test_it.py"
        path.write_text(source, "utf-8")
        options = ["-q", "-c", os.devnull, "-p", "no:cacheprovider", "-p", "no:hypothesispytest"]  # no file of options
        command = [sys.executable, "-m", "pytest", *options, str(path)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout

    return run


@pytest.mark.parametrize("order", [1, 2, 3])
def test_gradcheck_passes_silently(order, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gradcheck(lambda x, w, b: mc.tanh(w * x + b), 0.5, -2, 1.0, order=order)
    assert capsys.readouterr() == ("", "")


def test_gradcheck_takes_nested_arguments():
    gradcheck(lambda p, xs: mc.dot(p["w"], xs, p["b"]).sigmoid(), {"w": [1, 2.0], "b": 0.5}, (0.25, -1))


def test_a_mismatch_shows_a_table_with_argument_analytic_numeric_error_and_ratio():
    with pytest.raises(GradientMismatch) as caught:
        gradcheck(lambda x, w: SQUARE_OFF(x) + w, 3.0, 2.0)
    title, header, wrong, right, footer = str(caught.value).splitlines()
    assert title == "gradcheck of <lambda> at x = 3.0, w = 2.0: 1 of 2 derivatives wrong"
    assert header.split() == ["derivative", "analytic", "numeric", "estimated", "error", "ratio", "order"]
    assert wrong.split()[:4] == ["WRONG", "df/dx", "6.06", "6"]
    assert wrong.split()[-2:] == ["1.01", "1.00"]
    assert float(wrong.split()[-3]) < 1e-9
    assert footer.startswith("order: of f(x + h) - f(x) - h * derivative in h, 2 or more if")
    assert right.split()[:4] == ["ok", "df/dw", "1", "1"]
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
    with pytest.raises(GradientMismatch, match="d2f/dw/dx"):
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


@pytest.mark.parametrize("digits", [2.0**38, 2.0**39])
def test_large_values_at_large_numbers_excuse_no_more_than_their_ratio(digits):
    with pytest.raises(TooNoisy):
        gradcheck(lambda x: ((x * 1e-5 + digits) - digits) + 1e10, 100.0)


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


def test_nothing_compared_is_refused():
    with pytest.raises(NothingCompared, match="outside the domain, the function is nan"):
        gradcheck(mc.log, -1.0)
    with pytest.raises(NothingCompared, match="compared nothing"):
        gradcheck(mc.sqrt, 0.0)
    with pytest.raises(NothingCompared, match="compared nothing"):
        gradcheck(lambda: Value(1.0))


def test_what_could_not_be_compared_is_said_where_it_was_asked():
    with pytest.warns(PartlyCompared, match="not compared") as caught:
        gradcheck(lambda x, w: mc.sqrt(x) + w, 0.0, 1.0)
    assert caught[0].filename == __file__


def test_a_function_is_called_once_at_each_point_that_a_number_is_moved_to():
    calls = Counter()

    def f(x, w):
        calls[x.data, w.data] += 1
        return x * w.sin()

    for order in (1, 2):
        gradcheck(f, 0.5, 2.0, order=order)
        del calls[0.5, 2.0]
        assert set(calls.values()) == {1}
        calls.clear()


def test_every_derivative_has_a_name_that_tells_by_what_and_how_often():
    bad = Op("bad", lambda x: x * x * x, (lambda y, x: 3.1 * x * x,))
    with pytest.raises(GradientMismatch) as caught:
        gradcheck(lambda x, p: bad(x) + bad(p["w"][1]) * p["w"][0], 2.0, {"w": (3.0, 5.0)}, order=2)
    titles = [line.split()[1] for line in str(caught.value).splitlines() if line.startswith(("WRONG", "ok"))]
    names = ["dx", "dp['w'][0]", "dp['w'][1]"]
    assert titles == [f"df/{a}" for a in names] + [f"d2f/{a}/{b}" for a in names for b in names]
    with pytest.raises(GradientMismatch, match=r"df/dx0 (.*\n)*.*d2f/dx0/dx0 (.*\n)*.*d3f/dx0/dx0/dx0 "):
        gradcheck(SQUARE_OFF, 3.0, order=3)


def test_a_long_point_is_shortened():
    for first, dots in ((-12, ""), (-1000.5, "...")):
        xs = [first] + [0.5] * 38
        with pytest.raises(NothingCompared) as caught:
            gradcheck(lambda xs: mc.log(xs[0]), xs)
        assert (len(f"xs = {xs}") > 200) == bool(dots)
        assert str(caught.value).startswith(f"gradcheck of <lambda> at {f'xs = {xs}'[:200]}{dots}: outside")
    with pytest.raises(NothingCompared, match=r"at x = -1.0, w = 2.0: outside"):
        gradcheck(lambda x, w: mc.log(x), -1.0, 2.0)


def test_refused_arguments():
    with pytest.raises(ValueError, match="order must be an int of at least 1, got 0"):
        gradcheck(mc.sin, 1.0, order=0)
    with pytest.raises(TypeError, match=r"returned float .*its graph was lost"):
        gradcheck(lambda x: x.data * 2, 1.0)
    with pytest.raises(TypeError, match="str 'a'"):
        gradcheck(mc.sin, "a")


@pytest.mark.parametrize("x", [0.0, 6e-140, -2e-229, 1e-9, 1e-5])
def test_what_cancels_near_0_is_no_mistake(x):
    gradcheck(lambda x: mc.sin(x) - x, x)
    gradcheck(lambda x: mc.sin(-x) + x, x, order=2)
    with pytest.raises(GradientMismatch):
        gradcheck(lambda x: mc.sin(x) - Op("bad", lambda x: x, (lambda y, x: 1.01,))(x), x)


# Right derivatives of what loses digits.

LOG_COSH = Op("log_cosh", lambda x: mc.log(mc.cosh(x)), (lambda y, x: mc.tanh(x),))
ONE_LESS_COS = Op("one_less_cos", lambda x: 1 - mc.cos(x), (lambda y, x: mc.sin(x),))
EXP_LOG1P = Op("exp_log1p", lambda x: mc.exp(mc.log1p(x * x)) - 1, (lambda y, x: 2 * x,))
FAR_AWAY = Op("far_away", lambda x: (x + 1e6) - 1e6, (lambda y, x: 1.0,))
CUBE = Op("cube", lambda x: (x + 10) ** 3 - 1000 - 300 * x - 30 * x * x, (lambda y, x: 3 * x * x,))


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("times", range(1, 9))
def test_a_row_that_loses_digits_is_right_however_often_it_is_applied(times, order):
    def f(x):
        for _ in range(times):
            x = LOG_COSH(x)
        return x

    gradcheck(f, 1.0, order=order)


@pytest.mark.parametrize(
    ("f", "x", "order"),
    [
        (lambda x: CUBE(x), 1.5842181727218213e-11, 2),
        (lambda x: mc.exp(ONE_LESS_COS(FAR_AWAY(mc.exp(x)))) - LOG_COSH(mc.exp(x)), 2.444103120672702, 1),
        (lambda x: (x + ONE_LESS_COS(x)) * ONE_LESS_COS(x), 3.488073689713456e-08, 1),
        (lambda x: EXP_LOG1P(EXP_LOG1P(x)), 1.2672965901875795e-07, 2),
    ],
)
def test_no_right_derivative_is_accused_where_digits_are_lost(f, x, order):
    gradcheck(f, x, order=order)


@pytest.mark.parametrize("count", [40, pytest.param(100_000, marks=pytest.mark.slow)])
def test_no_right_derivative_is_accused_in_random_compositions_that_cancel(count):
    assert list(accusations(count, count, Counter())) == []


def test_what_oscillates_far_from_0_is_no_noise():
    gradcheck(lambda x: ONE_LESS_COS(x * x), 285.0)
    bad = Op("bad", ONE_LESS_COS.forward, (lambda y, x: 1.01 * mc.sin(x),))
    with pytest.raises(GradientMismatch):
        gradcheck(bad, 81225.0)


def test_lost_digits_excuse_no_wrong_derivative():
    bad = Op("bad", LOG_COSH.forward, (lambda y, x: 1.01 * mc.tanh(x),))
    for x in (1.0, 0.3, 0.01):
        with pytest.raises(GradientMismatch):
            gradcheck(bad, x)


@pytest.mark.parametrize(
    ("g", "x", "rounded"),
    [
        (math.sin, 1.0, 1e-16),
        (lambda x: math.log(math.cosh(x)), 1e-9, 1e-16),
        (lambda x: (x + 1e6) - 1e6, 0.5, 1e-10),
        (lambda x: 1e7 * (2 + math.sin(x)), 1.0, 3e-9),
        (lambda x: math.sin(50.0 * x), 0.3, 3e-15),
        (math.sin, 81225.0, 7e-12),
    ],
)
def test_noise_is_measured(g, x, rounded):
    assert rounded / 5 < noise_level(g, x) < 5 * rounded


def test_a_kink_is_no_noise():
    assert noise_level(abs, 0.0) < 1e-18


def test_the_order_of_the_remainder_tells_right_from_wrong():
    for f, x, slope in ((math.exp, 1.0, math.e), (math.sin, 1e3, math.cos(1e3))):
        assert taylor_order(f, x, slope) == pytest.approx(2.0, abs=0.05)
        assert taylor_order(f, x, 1.01 * slope) == pytest.approx(1.0, abs=0.05)


# What it says.


def test_several_outputs_are_compared_each():
    gradcheck(lambda x, w: {"y": [x * w, mc.sin(x)]}, 0.5, 2.0, order=2)
    with pytest.raises(GradientMismatch, match=r"WRONG  df\['y'\]\[1\]/dx "):
        gradcheck(lambda x, w: {"y": [x * w, SQUARE_OFF(x)]}, 0.5, 2.0)


def test_noise_that_hides_the_derivative_is_a_verdict_of_its_own():
    with pytest.raises(TooNoisy, match=r"at x = 0.5: too noisy to tell\n.*\nnot compared .* values are rounded by"):
        gradcheck(lambda x: (x + 1e16) - 1e16, 0.5)
    with pytest.raises(NothingCompared) as caught:
        gradcheck(lambda x: mc.step(x), 0.0)
    assert not isinstance(caught.value, TooNoisy)


def test_a_function_of_chance_is_not_deterministic():
    calls = iter(range(10))
    message = "gradcheck of <lambda> at x = 2.0: not deterministic, two calls of it gave 0.0 and 2.0"
    with pytest.raises(NotDeterministic, match=message):
        gradcheck(lambda x: next(calls) * x, 2.0)


@pytest.mark.parametrize(("first", "second"), [(math.nan, 2.0), (2.0, math.nan)])
def test_a_function_that_is_nan_at_one_of_two_calls_is_not_deterministic(first, second):
    factors = iter([first, *[second] * 9])
    with pytest.raises(NotDeterministic, match=f"two calls of it gave {first} and {second}"):
        gradcheck(lambda x: x * next(factors), 1.0)


def wrong_in(*slots):
    bad = [Op("bad", lambda x: x, (lambda y, x, k=k: 2.0 if k in slots else 1.0,)) for k in range(40)]
    return lambda xs: mc.sum([op(x) for op, x in zip(bad, xs, strict=True)])


@pytest.mark.parametrize("slots", [(37,), (3, 37), tuple(range(40))])
def test_a_failure_is_short_and_shows_what_is_wrong(slots):
    with pytest.raises(GradientMismatch) as caught:
        gradcheck(wrong_in(*slots), [0.5] * 40)
    title, *lines = str(caught.value).splitlines()
    assert len(lines) <= 14
    assert title.endswith(f": {len(slots)} of 40 derivatives wrong")
    for slot in slots[:8]:
        assert sum(line.startswith(f"WRONG  df/dxs[{slot}] ") for line in lines) == 1
    shown = sum(line.startswith(("WRONG", "ok")) for line in lines)
    assert any(re.fullmatch(rf"and .*\b{40 - shown} more (ok|WRONG)", line) for line in lines)


def test_the_title_is_one_line_and_code_comes_after_it():
    class Shown:
        def __call__(self, x):
            return SQUARE_OFF(x)

        def __str__(self):
            return "def f(x):\n    return bad(x)"

    with pytest.raises(GradientMismatch) as caught:
        gradcheck(Shown(), 3.0)
    title, first, second, *_ = str(caught.value).splitlines()
    assert title == "gradcheck of f at 3.0: 1 of 1 derivatives wrong"
    assert [first, second] == ["def f(x):", "    return bad(x)"]


def test_pytest_shows_none_of_our_frames(pytester_run):
    shown = pytester_run(
        "from micrograd_cn import Op\n"
        "from micrograd_cn.testing import gradcheck\n"
        "bad = Op('bad', lambda x: x * x, (lambda y, x: x,))\n"
        "def test_bad():\n"
        "    gradcheck(bad, 3.0)\n"
        "def test_bad_array():\n"
        "    import numpy\n"
        "    gradcheck(lambda x: (x * x).sum(), numpy.ones(3), gradient=lambda x: x)\n"
        "def test_raises():\n"
        "    gradcheck(lambda x: {}['a'], 1.0)\n"
    )
    assert "3 failed" in shown
    assert "WRONG  df/dx0 " in shown
    assert "gradcheck.py" not in shown
    assert "report.py" not in shown
    assert len(shown.splitlines()) < 80


def test_a_function_that_is_none_of_values_is_told_what_to_do():
    for f in (math.sin, lambda x: math.exp(x) * x):
        with pytest.raises(TypeError, match=r"does not take a Value \(\w*\.?\w+\(\) of a Value would.*\); give "):
            gradcheck(f, 1.0)
    with pytest.raises(TypeError, match=r"its graph was lost; give .*gradcheck\(f, x, gradient=df\)"):
        gradcheck(lambda x: 2.0 * x.data, 1.0)
    with pytest.raises(TypeError, match="no number"):
        gradcheck(lambda x: [], 1.0)
    with pytest.raises(KeyError):
        gradcheck(lambda x: {}["a"], 1.0)


def test_gradcheck_needs_no_hypothesis():
    code = (
        "import sys\n"
        "sys.modules['hypothesis'] = None\n"
        "from micrograd_cn import tanh\n"
        "from micrograd_cn.testing import gradcheck, expressions\n"
        "gradcheck(tanh, 0.5)\n"
        "try: expressions()\n"
        "except ImportError as error: print(error)\n"
        "from micrograd_cn.testing import checks_gradient\n"
        "try: checks_gradient(tanh, 0.5)\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    message = "strategies need hypothesis: pip install hypothesis, or from a clone pip install -e '.[pytest]'\n"
    assert done.stdout == message * 2


@pytest.mark.parametrize("x", [-3.21e-6, 5e-6, 1e-4])
def test_a_jump_on_the_way_is_no_noise(x):
    gradcheck(lambda x: mc.exp(mc.hypot(x, 0.0)), x, order=2)  # whose derivative is -1 or 1


def test_of_several_outputs_the_one_is_named_that_is_chance_or_outside_the_domain():
    calls = iter(range(10))
    with pytest.raises(NotDeterministic, match=r"two calls of output\['b'\]\[1\] gave 0.0 and 6.0$"):
        gradcheck(lambda x: {"a": x, "b": [x, next(calls) * x]}, 2.0)
    with pytest.raises(NothingCompared, match="outside the domain, the function is inf there"):
        gradcheck(lambda x: [x, x * math.inf], 2.0)


@pytest.mark.parametrize(
    "error", [TypeError("mine"), TypeError("a Value is bad"), TypeError("no ufunc"), AttributeError("not Value")]
)
def test_what_f_raises_itself_is_not_taken_for_a_function_of_floats(error):
    def f(x):
        raise error

    told = str(error) == "not Value"
    with pytest.raises(type(error) if not told else TypeError) as caught:
        gradcheck(f, 1.0)
    assert (caught.value is error) is not told


def test_lists_are_no_arrays_and_a_hundred_numbers_in_arrays_are_not_too_many():
    np = pytest.importorskip("numpy")
    with pytest.raises(TypeError, match=r"f does not take a Value .*; give the derivative"):
        gradcheck(lambda x: float(x[0]), np.ones(100))
    with pytest.raises(TypeError, match="101 numbers in a ndarray are too many"):
        gradcheck(lambda x, y: float(x[0]), np.ones(100), 1.0)
    with pytest.raises(GradientMismatch, match="1 of 101 derivatives wrong"):
        gradcheck(lambda xs: SQUARE_OFF(xs[0]) + xs[100], [1.0] * 101)


def test_of_a_constant_there_is_no_derivative_and_others_keep_their_names():
    with pytest.raises(GradientMismatch) as caught:
        gradcheck(lambda a, n, b: a**n * SQUARE_OFF(b["b"]), 2.0, 3, {"b": 1.5}, static=[1])
    titles = [line.split()[1] for line in str(caught.value).splitlines() if line.startswith(("WRONG", "ok"))]
    assert titles == ["df/da", "df/db['b']"]


def test_the_tolerances_are_those_that_are_given_or_a_millionth():
    def off_by(part):
        return Op("off", lambda x: x * x, (lambda y, x: 2.0 * x * (1.0 + part),))

    gradcheck(off_by(0.9e-6), 3.0)
    gradcheck(off_by(0.9e-3), 3.0, rtol=1e-3)
    for how in ({}, {"rtol": 1e-7}, {"rtol": 0.0, "atol": 6.5e-6}):
        with pytest.raises(GradientMismatch):
            gradcheck(off_by(1.1e-6), 3.0, **how)
    gradcheck(off_by(1.1e-6), 3.0, rtol=0.0, atol=6.7e-6)


def test_what_f_asserts_is_the_edge_of_its_domain_but_a_mismatch_inside_f_is_raised():
    np = pytest.importorskip("numpy")

    def at_most_1(x):
        assert x <= 1.0
        return x * x

    [comparison] = gradcheck(at_most_1, 1.0).comparisons
    assert comparison.agrees
    assert comparison.note.startswith("edge of the domain")

    def nested(x):
        if x > 1.0:
            raise GradientMismatch("inside")
        return x * x

    with pytest.raises(GradientMismatch, match="inside"):
        gradcheck(nested, 1.0)
    with pytest.raises(GradientMismatch, match="inside"):
        gradcheck(nested, 1.0, gradient=lambda x: 2.0 * x)
    for n in (1, 2000):
        with pytest.raises(GradientMismatch, match="inside"):
            gradcheck(lambda x: x + nested(np.max(2.0 - x)), np.ones(n), vjp=lambda x, u: u)


def test_a_static_name_of_another_argument_does_not_hide_a_derivative_among_the_arguments():
    with pytest.raises(TypeError, match="to check it as the gradient of f"):
        gradcheck(lambda x, a: x * a, 2.0, 3.0, lambda x, a: a, static=["a"])


def doubled(x):
    return 2.0 * x


@pytest.mark.parametrize(
    ("args", "static"),
    [
        ((doubled, 0.5), ()),
        ((0.5, doubled), ()),
        ((doubled, 0.5, math.sin), [2]),
        ((doubled, 0.5, math.sin), [-1]),
        ((math.sin, 0.5, doubled), [0]),
    ],
)
def test_a_derivative_is_refused_as_the_first_and_as_the_last_argument(args, static):
    with pytest.raises(TypeError, match=rf"to check it as the gradient of f, .* static=\[{args.index(doubled)}\]"):
        gradcheck(lambda x: x * x, *args, static=static)


def test_a_function_among_the_arguments_that_f_calls_is_a_constant():
    def wrong(x):
        return SQUARE_OFF(x)

    assert repr(gradcheck(lambda x, g: g(x), 0.5, lambda x: x * x)) == "<1 derivative agrees>"
    with pytest.raises(GradientMismatch, match="1 of 1 derivatives wrong"):
        gradcheck(lambda x, g: g(x), 0.5, wrong)
    with pytest.raises(TypeError, match=r"to check it as the gradient of f, write .*gradient=wrong"):
        gradcheck(lambda x: x * x, 0.5, wrong)


@pytest.mark.parametrize(("option", "x"), [("rtol", 1e-5), ("atol", 1e-5), ("seed", 3), ("exhaustive", True)])
def test_the_code_that_shows_a_mistake_repeats_each_option_and_no_others(option, x):
    np = pytest.importorskip("numpy")

    def vjp(x, u):
        return 3.0 * x * u

    def code(**how):
        with pytest.raises(GradientMismatch) as caught:
            gradcheck(lambda x: x * x, np.ones(2), vjp=vjp, **how)
        return str(caught.value).splitlines()[-1]

    assert code() == "gradcheck(f, x, vjp=vjp)"
    assert code(**{option: x}) == f"gradcheck(f, x, vjp=vjp, {option}={x!r})"
