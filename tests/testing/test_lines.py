"""The derivative along a line through arrays: at a point, and as a mean over an interval."""

import functools
import math
import random

import numpy as np
import pytest

from micrograd_cn.testing import GradientMismatch, gradcheck
from micrograd_cn.testing.arrays import half_precision
from micrograd_cn.testing.arrays.directional_comparison import can_tell_one_percent, compare_along
from micrograd_cn.testing.arrays.directional_function import DirectionalFunction
from micrograd_cn.testing.arrays.directional_stages import compare_within_limit
from micrograd_cn.testing.arrays.excuses import rounding_nearby
from micrograd_cn.testing.arrays.half_precision import mismatch_vanishes_over
from micrograd_cn.testing.arrays.interval_means import IntervalMean, compare_interval_means
from micrograd_cn.testing.arrays.interval_means import changes_and_integrals as integral_along
from micrograd_cn.testing.arrays.problem import Problem
from micrograd_cn.testing.arrays.tolerance import ArrayTolerance
from micrograd_cn.testing.numeric.compare import Comparison
from micrograd_cn.testing.numeric.numerical import Estimate


@pytest.fixture(autouse=True)
def quiet():
    """Ignore numpy's warnings, as the check does at all points but the first."""
    with np.errstate(all="ignore"):
        yield


class Counted:
    """A function of an array that records the points at which it was called."""

    def __init__(self, f):
        self.f, self.points = f, []

    def __call__(self, x):
        self.points.append(np.array(x))
        return self.f(x)


def normal(seed, x):
    """Return a normally distributed number, always the same at the same point."""
    return random.Random(f"{seed} {x}").gauss()


def problem_of(f, x, vjp, rtol=None, atol=None):
    problem = Problem("check", f, (np.asarray(x),), {"vjp": vjp}, rtol, atol)
    if isinstance(f, Counted):
        f.points.clear()
    return problem


def phi_of(f, x, vjp, u=None, v=None):
    problem = problem_of(f, x, vjp)
    u = np.ones(problem.y.size) if u is None else np.array(u)
    v = np.ones(problem.x.size) if v is None else np.array(v, float)
    return DirectionalFunction(problem, u, v, problem.x)


def compared(f, x, vjp, v=None, typical=0.0, u=None, **how):
    problem = problem_of(f, x, vjp, **how)
    u = np.ones(problem.y.size) if u is None else np.array(u)
    v = np.ones(problem.x.size) if v is None else np.array(v, float)
    return compare_along(problem, "it", u, v, typical)[0]


# The tolerance.


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_a_numerical_derivative_is_exact_enough_if_its_error_cannot_hide_one_percent(sign):
    def exact_enough(error, slope=1.0, atol=0.0, typical=0.0, analytic=0.0):
        return ArrayTolerance(1e-6, atol, typical, analytic).is_exact_enough(Estimate(sign * slope, error))

    for size, how in (
        (1.0, {}),
        (2.0**-20, {"slope": 2.0**-20}),
        (2.0, {"typical": 2.0}),
        (10.0, {"atol": 0.1}),  # which is 1 % of 10
    ):
        found = [exact_enough(size * 2.0**-k, **how) for k in range(40)]  # ever smaller errors
        assert found == sorted(found)
        assert not any(found[:7]), "an error of more than 1 %"
        assert all(found[10:]), "an error of a thousandth"
        rounded = [exact_enough(size * 2.0**-k, **how, analytic=0.005 * size) for k in range(40)]
        assert rounded == sorted(rounded)
        assert all(without or not beside for without, beside in zip(found, rounded, strict=True))
        assert not exact_enough(0.0, **how, analytic=0.02 * size), "the analytic derivative is not known to 1 %"
    assert exact_enough(0.0, slope=0.0)
    assert not exact_enough(0.1, slope=0.0)
    assert not ArrayTolerance(1e-6, 0.0, 0.0, 0.0).is_exact_enough(Estimate(math.nan, math.inf))


def test_an_estimate_is_not_exact_enough_for_what_is_off_by_more_than_one_percent():
    tolerance, e = ArrayTolerance(1e-6, 0.0, 0.0, 0.0), Estimate(1.0, 1e-4)
    for sign in (1.0, -1.0):
        found = [tolerance.is_exact_enough(e, mismatch=sign * 2.0**-k) for k in range(40)]
        assert found == sorted(found)
        assert not any(found[:7])
        assert all(found[8:])


def test_what_is_allowed_is_the_largest_of_the_tolerances_and_the_error_of_the_analytic_derivative():
    def allowed(analytic, *estimates, rtol=0.0, atol=0.0, typical=0.0, error=0.0):
        return ArrayTolerance(rtol, atol, typical, error).allowed_error(analytic, *estimates)

    e = Estimate(-2.0, 0.0)
    assert allowed(1.0, e, rtol=0.25) == 0.5
    assert allowed(-4.0, e, rtol=0.25) == 1.0
    assert allowed(1.0, e, rtol=0.25, typical=800.0) == 2.0, "a hundredth of what is typical"
    assert allowed(1.0, e, rtol=0.25, atol=3.0) == 3.0
    assert allowed(1.0, e, rtol=0.25, error=3.0) == 3.5
    assert allowed(1.0, Estimate(-2.0, 0.25)) == 1.25
    assert allowed(1.0, e, Estimate(1.0, 1.0)) == 5.0
    assert allowed(math.inf, e, rtol=0.25) == allowed(math.nan, e, rtol=0.25) == 0.5
    assert allowed(1.0, e) == 0.0
    assert allowed(math.inf, Estimate(0.0, 0.0), rtol=0.25) == 0.0


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_an_estimate_that_no_finer_step_betters_accepts_what_is_a_few_errors_off(sign):
    e, tolerance = Estimate(1.0, 2e-5, noise=1e-5), ArrayTolerance(1e-6, 0.0, 0.0, 0.0)
    found = [tolerance.accepts(1.0 + sign * factor * e.error, e) for factor in (0.0, 0.5, 1.0, 2.0, 20.0, 200.0)]
    assert found == [True] * 4 + [False] * 2
    assert tolerance.accepts(1.0, e._replace(noise=1e-7)) is None, "finer steps have smaller errors"
    assert tolerance.accepts(math.nan, e) is tolerance.accepts(1.0, e._replace(slope=math.nan)) is None


# The line.


def test_a_line_is_the_weighted_change_of_the_outputs_and_asks_for_each_once():
    f = Counted(lambda x: np.array([x[0] * x[1], x[0], 7.0]))
    phi = phi_of(f, [2.0, 3.0], lambda x, g: np.array([g[0] * x[1] + g[1], g[0] * x[0]]), [1.0, 10.0, 5.0], [1, 2.0])
    assert phi.analytic == 3.0 + 10.0 + 2.0 * 2.0
    assert phi(0.0) == 0.0
    assert f.points == []
    assert phi(0.5) == phi(0.5) == (2.5 * 4.0 - 6.0) + 10.0 * 0.5
    assert phi(-0.5) == (1.5 * 2.0 - 6.0) - 10.0 * 0.5
    assert len(f.points) == 2
    assert phi.changed_outputs.tolist() == [True, True, False]
    assert phi.analytic_at(0.5) == 4.0 + 10.0 + 2.0 * 2.5
    assert phi_of(f.f, [2.0, 3.0], lambda x, g: 0.0 * x)(0.5) == phi_of(f.f, [2.0, 3.0], lambda x, g: x)(0.5)


def test_along_a_line_a_type_makes_up_for_what_it_does_not_hold_by_a_derivative_along_tangents_too():
    x = np.float32([0.1, 0.7])
    df = {"vjp": lambda x, g: 2.0 * x.astype(float) * g, "jvp": lambda x, t: 2.0 * x.astype(float) * t}
    v = np.array([1.0, 0.5])
    for name, derivative in df.items():
        problem = Problem("it", lambda x: x.astype(float) ** 2, (x,), {name: derivative}, None, None)
        phi = DirectionalFunction(problem, np.ones(2), v, problem.x)
        for t in (1e-3, -1e-3):
            assert phi(t) == pytest.approx(float(np.sum((x + t * v) ** 2 - x.astype(float) ** 2)), rel=1e-7)


def test_a_line_through_another_point_begins_there():
    problem = problem_of(np.square, [1.0], lambda x, g: 2.0 * x * g)
    phi = DirectionalFunction(problem, np.ones(1), np.ones(1), np.array([3.0]))
    assert phi.analytic == phi.analytic_at(0.0) == 6.0
    assert phi(1.0) == 7.0
    divided = DirectionalFunction(problem, np.ones(1), np.full(1, 4.0), np.array([3.0]), per_element=True)
    assert (divided.analytic, divided.analytic_at(0.5), divided(1.0)) == (6.0, 10.0, 10.0)


def test_beside_the_point_a_derivative_may_be_undefined_but_a_mismatch_inside_it_is_raised():
    def df(x, g):
        if x[0] > 4.0:
            raise GradientMismatch("inside")
        if x[0] > 3.0:
            raise ValueError
        return 2.0 * x * g

    phi = phi_of(np.square, [3.0], df)
    assert phi.analytic_at(-1.0) == 4.0
    assert math.isnan(phi.analytic_at(0.5))
    with pytest.raises(GradientMismatch, match="inside"):
        phi.analytic_at(2.0)


# Many numbers, in their own types.


def both(phi, t):
    """Return the changes of φ computed in own types and in doubles, each with the changed outputs and the rounding."""
    found = []
    for way in (lambda t: phi._change_in_own_types(t, phi._gradient_in_own_types), phi._change_in_doubles):
        phi.changed_outputs, phi._all_changed, phi._rounding = np.zeros(phi.changed_outputs.size, bool), False, None
        found.append((way(t), phi.changed_outputs.copy(), phi.rounding))
    return found


def many(kind, library):
    """Return arrays of more numbers than a chunk, of numpy or PyTorch."""
    random = np.random.default_rng(0)
    xs = [random.normal(size=shape).astype(kind) for shape in ((3, 7000), (10,), (9000,))]
    return [pytest.importorskip("torch").from_numpy(x) for x in xs] if library == "torch" else xs


WAYS = {
    "all": lambda v: v,
    "one": lambda v: np.where(np.arange(v.size) == 8200, 0.5, 0.0),
    "a short array": lambda v: np.where((np.arange(v.size) >= 21000) & (np.arange(v.size) < 21010), v, 0.0),
}


@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize("kind", ["float64", "float32"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("elsewhere", [False, True])
def test_many_numbers_are_computed_as_few_are(library, kind, way, elsewhere):
    def f(a, b, c):
        return [a * a + b[3], (c * b[2]).sum(), 2.0 * a]

    def vjp(a, b, c, upstream):
        u, v, w = upstream
        more = [0.0 * b[0], 0.0 * b[0], (v * c).sum(), u.sum()]
        g = np.zeros(10) if library == "numpy" else b.new_zeros(10)
        for i, x in enumerate(more):
            g[i] = x
        return 2.0 * u * a + 2.0 * w, g, v * b[2] * (0.0 * c + 1.0)

    xs = many(kind, library)
    problem = Problem("check", f, tuple(xs), {"vjp": vjp}, None, None)
    random = np.random.default_rng(1)
    x = problem.arguments.rounded(problem.x * 1.25) if elsewhere else problem.x
    v = WAYS[way](random.uniform(-1.0, 1.0, problem.x.size).astype(np.float32).astype(float))
    phi = DirectionalFunction(problem, random.choice([-0.5, 0.25, 1.0], problem.y.size), v, x, per_element=True)
    for t in (0.25, -(2.0**-7)):
        ((change, off), moved, rounding), ((change_at_once, off_at_once), moved_at_once, rounded) = both(phi, t)
        assert change == pytest.approx(change_at_once, rel=1e-12)
        made_up = kind == "float32" and way == "a short array" and not elsewhere
        assert off == (pytest.approx(off_at_once, rel=1e-9) if made_up else 0.0)
        assert (off_at_once != 0.0) is (kind == "float32" and way != "one")
        assert (moved == moved_at_once).all()
        assert moved.any()
        assert rounding == pytest.approx(rounded)


@pytest.mark.parametrize("way", ["all", "one"])
def test_what_is_not_finite_or_refused_is_so_among_many(way):
    x = np.linspace(0.5, 1.5, 20000, dtype=np.float32)

    def refusing(x):
        if x.max() > 2.0:
            raise ValueError("too large")
        return np.where(x > 1.6, np.inf, x)

    problem = problem_of(refusing, x, lambda x, g: g)
    v = WAYS[way](np.ones(20000))
    phi = DirectionalFunction(problem, np.where(np.arange(20000) == 8200, 0.0, 1.0), v, problem.x)
    ((change, _), moved, _), ((at_once, _), moved_at_once, _) = both(phi, 1.5 if way == "one" else 0.2)
    assert change == pytest.approx(at_once, nan_ok=True)
    assert (moved == moved_at_once).all()
    assert moved.any() is np.bool_(way == "all")
    assert math.isnan(phi(4.0))


def test_a_result_of_another_size_is_refused_among_many():
    sizes = [20000, 20000, 20000, 5000]
    problem = problem_of(lambda x: x[: sizes.pop(0)], np.ones(20000), lambda x, g: g)
    phi = DirectionalFunction(problem, np.ones(20000), np.ones(20000), problem.x)
    assert phi(1.0) == 20000.0
    assert math.isnan(phi(2.0))


def test_what_numpy_cannot_write_is_computed_at_once():
    """Tensors of 16 bits, strided arrays, outputs that are not finite, and derivatives known along directions only."""
    x = np.ones((2, 6000))
    for f, where, derivative in (
        (lambda x: 2.0 * x, np.asfortranarray(np.ones((6000, 2))), {"vjp": lambda x, g: 2.0 * g}),
        (lambda x: np.where(np.arange(6000) == 3, np.nan, x), x, {"vjp": lambda x, g: g}),
        (lambda x: 2.0 * x, x, {"jvp": lambda x, t: 2.0 * t}),
        (lambda x: 2.0 * x, x.astype(np.float16), {"vjp": lambda x, g: 2.0 * g}),
    ):
        problem = Problem("check", f, (where,), derivative, None, None)
        phi = DirectionalFunction(problem, np.where(problem.finite_outputs, 1.0, 0.0), np.ones(12000), problem.x)
        assert phi._gradient_in_own_types is None
        assert phi(0.5) > 0.0


@pytest.mark.parametrize(("size", "few"), [(999, True), (1000, False)])
def test_many_are_a_thousand_with_the_outputs(size, few):
    phi = phi_of(np.sum, np.ones(size), lambda x, g: g * np.ones(size))
    assert (phi._gradient_in_own_types is None) is few


def test_what_many_arguments_are_off_a_line_is_in_its_rounding():
    """Each argument is off by up to a last bit. At worst, all are off in the same direction."""
    off = []
    for seed in range(40):
        random = np.random.default_rng(seed)
        x, c, v = random.normal(size=2000).astype(np.float32), random.normal(size=2000), random.uniform(0.5, 1.0, 2000)
        phi = phi_of(lambda x, c=c: x.astype(float) @ c, x, lambda x, g, c=c: g * c, v=v)
        for t in (0.5, -(2.0**-9)):
            off.append((phi(t) - t * (c @ v)) / phi.rounding)
        assert phi.rounding == pytest.approx(math.hypot(2.0**-53 * (x @ c), 2.0**-23 * np.linalg.norm(c * v)))
    assert 0.05 < np.std(off) < 0.5
    assert np.max(np.abs(off)) < 1.5
    for x, v in ((np.ones(2000), np.ones(2000)), (np.ones(2000, np.float32), np.eye(2000)[3])):
        phi = phi_of(np.sum, x, lambda x, g: g * np.ones(2000), v=v)
        assert phi.rounding == 0.5 * phi.problem.outputs.eps * 2000.0, "doubles hold it, and of one it is made up for"


@pytest.mark.parametrize("count", [500, 501])
def test_few_are_a_quarter(count):
    x, v = np.float32(np.linspace(0.1, 1.0, 2000)), np.where(np.arange(2000) < count, 1.0, 0.0)
    phi = phi_of(np.sum, x, lambda x, g: g * np.ones(2000, np.float32), v=v)
    assert phi._moves_few is (count == 500)
    assert phi(0.5) == pytest.approx(0.5 * count, rel=1e-4)


def test_the_rounding_of_a_line_is_half_a_last_bit_of_what_changes_or_of_all_if_nothing_does():
    x = np.array([3.0, 5.0, 4.0])
    phi = phi_of(lambda x: x * np.array([0.0, 1.0, 1.0]) + np.array([6.0, 0.0, 0.0]), x, lambda x, g: x, [2.0, 1, 1])
    assert phi.rounding == 2.0**-53 * math.sqrt(144.0 + 25.0 + 16.0)
    phi(1.0)
    assert phi.changed_outputs.tolist() == [False, True, True]
    assert phi.rounding == 2.0**-53 * math.sqrt(25.0 + 16.0)


def test_a_derivative_may_be_as_noisy_as_its_function_and_not_much_noisier():
    def function(x):
        return x + 1e-10 * np.array([normal(0, t) for t in x])

    def derivative(size):
        return lambda x, g: g * (1.0 + size * np.array([normal(1, t) for t in x]))

    assert compared(function, [0.3], derivative(1e-9)).agrees
    assert compared(function, [0.3], derivative(0.1)).agrees is not True
    assert compared(lambda x: x, [0.3], derivative(1e-15)).agrees
    assert compared(lambda x: x, [0.3], derivative(1e-4)).agrees is False


def test_the_rounding_of_what_is_hardly_a_number_is_half_of_the_smallest():
    phi = phi_of(lambda x: 1e-310 * x, [1.0, 1.0], lambda x, g: g, [3.0, -4.0])
    assert phi.rounding == 2.5 * phi.problem.outputs.smallest_subnormal > 0.0


def test_an_output_may_be_off_by_four_last_bits_of_the_largest_of_its_array_or_on_the_way_to_0():
    phi = phi_of(lambda x: [np.array([x[0], -1000.0]), x[0] / 8.0], [4.0], lambda x, g: x, [1.0, 2.0, 8.0])
    assert phi.rounding_beside_largest == 2.0**-50 * math.hypot(1000.0 * math.hypot(1.0, 2.0), 8.0 * 0.5), (
        "while none has moved"
    )
    phi(1.0)
    assert phi.rounding_beside_largest == 2.0**-50 * math.hypot(1000.0, 8.0 * 0.5)
    inverse = phi_of(lambda x: 1.0 / x, [4.0, 2.0], lambda x, g: x, [1.0, -2.0], [1.0, 0.0])
    assert inverse.intermediate_rounding == 2.0**-50 * 0.5, "that at -4, as 1 / 0 says nothing"
    assert phi_of(lambda x: x * x, [4.0], lambda x, g: x, [-2.0]).intermediate_rounding == 2.0**-50 * 32.0
    assert phi_of(lambda x: x * x, [4.0], lambda x, g: x, [-2.0], [-1.0]).intermediate_rounding == 2.0**-50 * 32.0


def test_what_is_not_finite_has_not_moved():
    phi = phi_of(lambda x: np.where(x > 1.5, np.inf, x), [1.0, 1.0], lambda x, g: g, v=[1.0, 0.5])
    assert phi(1.0) == math.inf
    assert phi.changed_outputs.tolist() == [False, True]


@pytest.mark.parametrize(
    ("f", "moves"),
    [
        (lambda x: np.abs(x - 8.25) < 0.5, True),
        (lambda x: np.abs(x + 7.75) < 0.5, True),
        (lambda x: np.abs(x - 59.0) < 0.5, True),
        (lambda x: (np.abs(x) > 0.5) & (np.abs(x) < 7.3) | (x > 8.5) & (x < 58.5) | (x > 59.5) | (x < -8.5), False),
        (lambda x: x > 1e3, False),
    ],
)
def test_far_away_is_about_eight_and_sixty_steps(f, moves):
    for size in (1.0, -1.0, 0.5):
        assert (
            phi_of(lambda x, s=size: 1.0 * f(x / s), [0.25 * size], lambda x, g: g, v=[size]).changes_far_away()
            is moves
        )


def test_what_has_no_weight_does_not_count_as_moving():
    phi = phi_of(lambda x: np.array([x[0], 0.0]), [1.0], lambda x, g: g[:1], u=[0.0, 1.0])
    assert not phi.changes_far_away()
    assert phi.changed_outputs.tolist() == [True, False]
    assert phi_of(lambda x: x, [1.0], lambda x, g: g, u=[-1.0]).changes_far_away(), "a negative weight is one"


def test_what_a_type_does_not_hold_the_derivative_makes_up():
    x = np.float32([1.0 / 3.0])
    for t in (1e-5, -3e-6, 0.1):
        right = phi_of(lambda x: x.astype(float) * 3.0, x, lambda x, g: 3.0 * g)
        assert right(t) == pytest.approx(3.0 * t, rel=1e-9)
        stored = 3.0 * (float(np.float32(float(x[0]) + t)) - float(x[0]))
        assert stored != pytest.approx(3.0 * t, rel=1e-9)
        wrong = phi_of(lambda x: x.astype(float) * 3.0, x, lambda x, g: 1e12 * g)
        assert wrong(t) == pytest.approx(stored, rel=1e-12), "a wrong one spoils nothing"
        double = phi_of(lambda x: x * 3.0, x.astype(float), lambda x, g: 1e12 * g)
        assert double(t) == pytest.approx(3.0 * t, rel=1e-9)


# At the point.


@pytest.mark.parametrize("size", [4.0, -0.25])
def test_the_derivative_by_one_element_is_no_multiple_of_it(size):
    comparison = compared(lambda x: np.sum(x * x), [3.0, 1.0], lambda x, g: 2.0 * x * g, v=[size, 0.0])
    assert comparison.agrees
    assert comparison.analytic == 6.0
    assert comparison.numeric.slope == pytest.approx(6.0)


@pytest.mark.parametrize("x", [1e-6, -1e-6, -2e-7])
def test_in_few_digits_the_derivative_by_a_number_that_is_moved_by_little_is_no_multiple_of_it_either(x):
    for f, df in ((lambda x: np.maximum(x, 0), lambda x: x > 0), (np.abs, np.sign), (lambda x: 3 * x, lambda x: 3.0)):
        for size in (np.float16(abs(x)), 1.0):
            comparison = compared(f, np.float16([x]), lambda x, g, df=df: np.float16(g * df(x)), v=[size])
            assert comparison.agrees is not False
            assert math.isfinite(comparison.analytic)
    comparison = compared(lambda x: 3 * x, np.float16([x]), lambda x, g: 3 * g, v=[2.0**-20])
    assert comparison.agrees
    assert comparison.analytic == 3.0
    assert compared(lambda x: 3 * x, np.float16([x]), lambda x, g: 4 * g, v=[2.0**-20]).agrees is False


@pytest.mark.parametrize("size", [4.0, -0.25])
@pytest.mark.parametrize(("typical", "rtol", "allowed"), [(80000.0, 1e-3, 0.8), (1e9, 1e-6, 8e-4), (0.0, 1e-3, 8e-3)])
def test_an_element_may_be_off_by_what_is_small_beside_typical_ones(size, typical, rtol, allowed):
    for off in (0.97, 1.03):
        comparison = compared(
            lambda x: 8.0 * x[0] + 5.0 * x[1],
            [0.5, 1.0],
            lambda x, g, off=off: np.array([8.0 + off * allowed, 5.0]) * g,
            v=[size, 0.0],
            typical=typical * abs(size),
            rtol=rtol,
        )
        assert comparison.agrees is (off < 1.0)


def test_at_a_stationary_point_0_is_right():
    for scale in (1.0, 1e-12, 1e12):
        comparison = compared(lambda x, s=scale: s * x * x + 0.0, [0.0], lambda x, g, s=scale: 2.0 * s * x * g)
        assert comparison.agrees
        comparison = compared(lambda x, s=scale: s + s * x * x, [0.0], lambda x, g, s=scale: 2.0 * s * x * g)
        assert comparison.agrees, "beside a larger part, too"
        comparison = compared(lambda x, s=scale: s * x * x + 0.0, [0.0], lambda x, g, s=scale: s * (2.0 * x + 1e-3) * g)
        assert comparison.agrees is False


def test_a_right_derivative_of_what_is_exact_costs_few_calls():
    f = Counted(lambda x: np.sum(np.sin(x)))
    assert compared(f, [0.5, 1.0], lambda x, g: np.cos(x) * g).agrees
    assert len(f.points) <= 12


def test_a_mistake_that_stands_out_takes_few_calls():
    """The rounding of f and of its derivative is only measured where it may explain the mismatch."""
    f, vjp = Counted(lambda x: np.sin(x).sum()), Counted(lambda x: 1.1 * np.cos(x))
    x = np.linspace(0.5, 2.0, 24)
    assert compared(f, x, lambda x, g: g * vjp(x)).agrees is False
    assert len(f.points) <= 12
    assert len(vjp.points) == 1
    noisy = Counted(lambda x: np.sin(x).sum() + 1e-9 * normal(3, x))
    compared(noisy, x, lambda x, g: g * (1.0 + 1e-5) * np.cos(x))
    assert len(noisy.points) > 70


def test_two_quotients_tell_what_is_right_and_by_how_much_and_of_which_order_the_other_is_off():
    right = compared(np.sin, [1.0], lambda x, g: g * np.cos(x))
    assert math.fabs(right.numeric.slope - math.cos(1.0)) <= right.numeric.error < 1e-10
    wrong = compared(np.sin, [1.0], lambda x, g: 1.1 * g * np.cos(x))
    assert wrong.remainder_order == pytest.approx(1.0, abs=0.01)
    assert wrong.numeric == right.numeric
    for low, high, analytic in ((1.0, 1.0, 2.0), (1.0, 0.0, 1.9), (0.0, 1.0, 1.9)):
        feature = compared(
            lambda x, low=low, high=high: x + np.clip(x, -low * 2.0**-35, high * 2.0**-35),
            [0.0],
            lambda x, g, analytic=analytic: analytic * g,
        )
        assert feature.agrees is not False, "as the finest steps show"
    for y in (0.0, 1e-12, 5e11):
        f = Counted(lambda x, y=y: y + (y or 1.0) * (np.sin(x) + 2.0 * x))
        assert compared(f, [0.0], lambda x, g, y=y: 3.3 * (y or 1.0) * g).agrees is False
        assert len(f.points) <= 12, "of whatever size the value is"


def test_a_derivative_that_is_nothing_beside_the_whole_gradient_may_be_hidden():
    problem = problem_of(lambda x: x + 2.0**41, [1.0], lambda x, g: g)
    for whole, agrees, note in (
        (2e4, True, "negligible beside the other derivatives"),
        (5e3, None, "too noisy to tell: values are rounded by 0.0002"),
    ):
        comparison, _ = compare_along(problem, "it", np.ones(1), np.ones(1), 0.0, gradient_norm=whole)
        assert (comparison.agrees, comparison.note, comparison.noisy) == (agrees, note, agrees is None)
        assert can_tell_one_percent(problem, comparison) is (agrees is True)


def test_near_the_edge_of_the_domain_smaller_steps_tell_it_unless_these_are_far_too_large():
    assert compared(lambda x: np.sqrt(x - 0.95), [1.0], lambda x, g: 0.5 * g / np.sqrt(x - 0.95)).agrees
    beside_0 = compared(lambda x: np.log(0.05 - x).sum(), [0.0, -1.0], lambda x, g: -g / (0.05 - x), v=[0.5, -0.5])
    assert beside_0.agrees, "of 0 no step is too large"
    ends = np.array([0.02, 8.0])
    far = Counted(lambda x: np.sqrt(ends - x))
    problem = problem_of(far, [0.01, 4.0], lambda x, g: -0.5 * g / np.sqrt(ends - x))
    lost = compare_within_limit("it", DirectionalFunction(problem, np.ones(2), np.array([4.0, 4.0]), problem.x), 0.0)
    assert lost.agrees is None
    assert lost.note == "outside the domain: the steps are too large"
    assert len(far.points) == 2


def test_what_the_largest_step_hides_is_said_at_once_unless_a_mistake_of_a_tenth_shows():
    for slope, calls in ((1.0, 2), (1.14, 2), (0.9, 2)):
        f = Counted(lambda x: x + 2.0**41)
        comparison = compared(f, [1.0], lambda x, g, slope=slope: slope * g)
        assert comparison.agrees is None
        assert comparison.noisy
        assert comparison.note == "too noisy to tell: values are rounded by 0.0002"
        assert comparison.numeric.slope == 1.0
        assert comparison.numeric.error == comparison.numeric.noise == pytest.approx(4.0 * 2.0**-12 * 2.0**3)
        assert len(f.points) == calls
    for slope in (1.3, 0.7):
        f = Counted(lambda x: x + 2.0**41)
        compared(f, [1.0], lambda x, g, slope=slope: slope * g)
        assert len(f.points) > 2


def test_a_stair_is_no_mistake_if_larger_steps_climb_as_fast():
    """In doubles, 1 + erf(x) at -5.5 stands still in small steps; so does what computes in half precision."""
    erf, slope = np.vectorize(math.erf), 2.0 / math.sqrt(math.pi)

    def float16(x):
        return (np.float16(10.0) + np.float16(x)).astype(float)

    kinked = compared(float16, [0.7], lambda x, g: g * np.where(x == 0.7, 5.0, 1.0), v=[0.5])
    assert kinked.agrees is False, "at the point it is none of its means"
    for f, df, x in (
        (lambda x: 1.0 + erf(x), lambda x: slope * np.exp(-x * x), -5.5),
        (lambda x: (np.float16(10.0) + np.float16(x)).astype(float), lambda x: 1.0, 0.7),
        (lambda x: (np.float16(10.0) + np.float16(x)).astype(float) + np.log(0.8 - x) * 0.0, lambda x: 1.0, 0.7),
    ):
        right = compared(f, [x], lambda x, g, df=df: g * df(x), v=[0.5])
        assert right.agrees is None
        assert right.noisy
        assert right.note.startswith("too noisy to tell: values are rounded by")
        for factor in (2.0, -1.0):
            assert compared(f, [x], lambda x, g, df=df, by=factor: by * g * df(x), v=[0.5]).agrees is False


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_derivative_of_what_does_not_depend_on_an_argument_is_wrong_in_few_calls(dtype):
    f = Counted(lambda x: dtype(0.0) * x + dtype(5.0))
    comparison = compared(f, np.array([0.3], dtype), lambda x, g: g)
    assert comparison.agrees is False
    assert len(f.points) <= 24


def test_what_is_off_in_float32_by_less_than_noise_in_the_finest_steps_takes_few_calls_too():
    f = Counted(lambda x: np.sin(x).sum())
    assert compared(f, np.linspace(0.5, 2.0, 24, dtype=np.float32), lambda x, g: 1.2 * g * np.cos(x)).agrees is False
    assert len(f.points) <= 16


@pytest.mark.parametrize("size", [1e-290, 1e-301, 1e-308, 1e-315])
def test_derivatives_are_told_however_small_they_are(size):
    for off, agrees in ((1.0, True), (1.02, False), (0.0, False)):
        comparison = compared(lambda x: size * np.sin(x), [0.3], lambda x, g, off=off: off * size * np.cos(x) * g)
        assert comparison.agrees is agrees
    assert compared(lambda x: 0.0 * x, [0.3], lambda x, g: 0.0 * g).agrees


@pytest.mark.parametrize("size", [1e-321, np.float32(1e-44), np.float32(1e-43)])
def test_of_numbers_so_small_that_they_have_no_digits_it_is_said_that_nothing_can_be_told(size):
    x = np.array([0.3, 0.7, -1.3], getattr(size, "dtype", float))
    three = np.array([3.0], x.dtype)
    for i in range(3):
        v = np.eye(3)[i]
        comparison = compared(lambda x: size * x**3, x, lambda x, g: (size * (three * x * x * g)).astype(x.dtype), v)
        assert comparison.agrees is None
        assert comparison.noisy


def test_the_weight_of_an_element_says_how_far_its_derivative_is_rounded():
    far = problem_of(np.log, np.array([1e30], np.float32), lambda x, g: g / x)
    comparison, phi = compare_along(far, "it", np.ones(1), far.element_direction(0), 0.0)
    assert comparison.agrees
    assert phi.analytic_rounding < 1e-35
    wrong = problem_of(np.log, np.array([1e30], np.float32), lambda x, g: np.float32(1.1) * g / x)
    assert compare_along(wrong, "it", np.ones(1), wrong.element_direction(0), 0.0)[0].agrees is False


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_a_slope_is_rounded_by_half_a_last_bit_of_it_or_of_the_least_numbers_that_are_summed(kind):
    x, v = np.ones(4, kind), [3.0, 4.0, 0.0, 0.0]
    eps, least = np.finfo(kind).eps, 1e-37 if kind is np.float32 else 1e-307
    assert phi_of(np.sum, x, lambda x, g: g * x, v=v).analytic_rounding == 0.5 * eps * 7.0
    flat = phi_of(lambda x: 0.0 * x.sum(), x, lambda x, g: 0.0 * x, v=v)
    assert flat.analytic_rounding == pytest.approx(0.5 * least * eps * 5.0)
    one = DirectionalFunction(flat.problem, np.ones(1), np.array([0.0, 4.0, 0.0, 0.0]), flat.x, per_element=True)
    assert one.analytic_rounding == pytest.approx(0.5 * least * eps)


def test_kinks_where_all_numbers_are_moved_are_no_rounding_and_what_cancels_is():
    x = np.where(np.arange(2000) == 5, -1.0, 0.0).astype(np.float32)
    kinks = phi_of(lambda x: np.maximum(x, 0).sum(), x, lambda x, g: g * (x < 0), v=np.eye(2000)[5])
    assert rounding_nearby(kinks, 1.0) == 0.0
    noise = phi_of(lambda x: (np.log(np.exp(x)) - x).sum(), x + np.float32(1.3), lambda x, g: 0.0 * g * x)
    assert 1e-7 < rounding_nearby(noise, 1e-7) < 1e-3


def test_the_derivative_of_what_does_not_move_is_0():
    comparison = compared(lambda x: 0.0 * x.sum(), np.ones(4), lambda x, g: 0.0 * x)
    assert (comparison.agrees, comparison.analytic, comparison.numeric.slope, comparison.numeric.error) == (
        True,
        0.0,
        0.0,
        0.0,
    )


def test_the_rounding_of_a_function_that_loses_digits_is_measured():
    def far(x):
        return (1.1 * x + 1e8) - 1e8

    for off, agrees in ((1.0, True), (1.02, False)):
        comparison = compared(far, [0.3], lambda x, g, off=off: 1.1 * off * g)
        assert comparison.agrees is agrees
        assert 1e-9 < comparison.numeric.error < 2e-3


def test_what_moves_far_away_alone_is_hidden_by_rounding():
    comparison = compared(lambda x: (3.0 * x + 1e17) - 1e17, [0.3], lambda x, g: 3.0 * g)
    assert comparison.agrees is None
    assert comparison.noisy
    assert comparison.note.endswith("values are rounded by 2e+01"), "16 is the distance of doubles near 1e17"
    still = compared(lambda x: 0.0 * x, [0.3], lambda x, g: g, typical=1.0)
    assert still.agrees is False


def test_a_derivative_that_is_rounded_itself_is_not_wrong():
    def noisy_cosine(x, g):
        return g * np.float32(np.cos(x)).astype(float)

    def noisy_sine(x):
        return np.float32(np.sin(x)).astype(float)

    assert compared(np.sin, [0.3], noisy_cosine).agrees
    assert compared(np.sin, [0.3], noisy_cosine, rtol=1e-9).agrees is False, "the sine is not so noisy"
    assert compared(noisy_sine, [0.3], noisy_cosine, rtol=1e-9).agrees
    assert compared(noisy_sine, [0.3], lambda x, g: 1.02 * noisy_cosine(x, g), rtol=1e-9).agrees is False


def test_a_derivative_that_is_not_finite_is_wrong():
    for bad in (math.inf, -math.inf, math.nan):
        assert compared(np.sin, [0.3], lambda x, g, bad=bad: bad * g).agrees is False
        assert compared(np.sin, np.float16([0.3]), lambda x, g, bad=bad: bad * g).agrees is not True


# Other steps.


def far_steps(far, of=20):
    """Return steps, some of which are much larger than the numbers, whose own size is 1."""
    return np.where(np.arange(of) < far, 64.0, 1.0)


@pytest.mark.parametrize(("far", "again"), [(0, False), (1, False), (2, False), (3, True), (20, True)])
def test_a_wrong_derivative_is_tried_again_if_many_steps_are_far_too_large(far, again):
    f = Counted(lambda x: np.sum(x))
    assert compared(f, np.ones(20), lambda x, g: 1.5 * g * np.ones(20), v=far_steps(far)).agrees is False
    assert any(np.ptp(x) == 0.0 and abs(x[0]) not in (0.0, 1.0) for x in f.points) is (again or far == 0)


def test_what_is_wrong_in_far_too_large_steps_alone_is_right():
    x = np.float32([1.0, 0.5])
    comparison = compared(lambda x: np.tanh(x).sum(), x, lambda x, g: g / np.cosh(x) ** 2, v=[2.0**20, 2.0**20])
    assert comparison.agrees
    assert comparison.numeric.slope == pytest.approx(1.0 / math.cosh(1.0) ** 2 + 1.0 / math.cosh(0.5) ** 2, rel=1e-3)


def test_far_too_large_or_small_is_more_than_sixteen_times():
    def calls(factor):
        f = Counted(lambda x: np.sum(x))
        comparison = compared(f, np.ones(2), lambda x, g: 1.5 * g * np.ones(2), v=[factor, factor])
        assert comparison.agrees is False
        assert comparison.analytic == pytest.approx(3.0 * factor), "along what was asked for, if it is wrong there too"
        return len(f.points)

    assert calls(17.0) >= calls(16.0) + 6, "the steps of another comparison"
    assert calls(1.0 / 17.0) == calls(1.0 / 16.0), "larger steps see less of what is plain"


@pytest.mark.parametrize("x", [3.0, -3.0, 0.0])
@pytest.mark.parametrize("size", [1.0, 2.0**12, 2.0**-12])
def test_an_element_that_is_lost_in_large_or_small_steps_is_seen_in_its_own(x, size):
    right = compared(lambda t: np.tanh(t) + 0.0 * t, [x], lambda t, g: g / np.cosh(t) ** 2, v=[size])
    assert right.agrees
    assert right.numeric.slope == pytest.approx(1.0 / math.cosh(x) ** 2, rel=1e-3)
    wrong = compared(lambda t: np.tanh(t) + 0.0 * t, [x], lambda t, g: 1.5 * g / np.cosh(t) ** 2, v=[size])
    assert wrong.agrees is False


def test_typical_is_scaled_with_the_steps():
    def comparison(off):
        return compared(
            lambda x: np.diff(np.where(np.abs(x - 1.0) < 0.5, x, np.nan)),
            np.ones(2),
            lambda x, g: (1.0 + off) * g * np.array([-1.0, 1.0]),
            v=[-(2.0**50), 2.0**50],
            typical=5000.0 * 2.0**50,
            rtol=1e-3,
        )

    assert comparison(0.02).agrees
    assert comparison(0.02).analytic == 2.04, "along steps of 1"
    assert comparison(0.03).agrees is False


def test_near_the_edge_of_the_domain_each_number_moves_by_its_own_size():
    x = 2.0 ** np.array([-60, -50])
    comparison = compared(lambda x: np.diff(np.log(x)), x, lambda x, g: g * np.array([-1.0, 1.0]) / x, v=[-1.0, 1.0])
    assert comparison.agrees
    assert comparison.analytic == 2.0


# Over an interval.


def interval(n=17, h=1.0):
    return np.linspace(-h, h, n)


def changes_and_integrals(df, f=lambda x: 0.0 * x, v=2.0, ts=interval()):  # noqa: B008
    """Return the integral of a derivative along a line through 0, in steps of 2, and its error."""
    phi = phi_of(f, [0.0], lambda x, g: df(x) * g, v=[v])
    return integral_along(phi, np.array(ts))


def test_the_integral_of_a_straight_derivative_is_exact():
    ts = interval()
    changes, integral, error = changes_and_integrals(lambda x: 3.0 + x, lambda x: 3.0 * x + 0.5 * x * x)
    assert changes == pytest.approx(3.0 * 2.0 * ts + 2.0 * ts * ts, abs=1e-14)
    assert integral == pytest.approx(changes - changes[0], abs=1e-14)
    assert error < 1e-13


def test_the_integral_goes_between_the_points_that_the_type_holds():
    x = np.float16([0.1])
    phi = phi_of(lambda x: x.astype(float) ** 2, x, lambda x, g: 2.0 * x.astype(float) * g)
    changes, integral, _ = integral_along(phi, interval(h=0.01))
    assert integral == pytest.approx(changes - changes[0], abs=1e-14)


def test_the_error_of_an_integral_covers_its_curvature():
    for n in (9, 17):
        for df, exact in ((np.exp, math.e**2 - math.e**-2), (np.cos, 2.0 * math.sin(2.0)), (lambda x: x**2, 16 / 3.0)):
            _, integral, error = changes_and_integrals(df, ts=interval(n))
            assert math.fabs(integral[-1] - exact) < error < 30.0 * math.fabs(integral[-1] - exact)
    assert error < 10.0 * math.fabs(integral[-1] - exact), "of a parabola"


def test_half_of_a_step_times_its_height_is_the_error_of_an_integral_over_a_jump():
    for place in (0.3, -0.6):
        _, integral, error = changes_and_integrals(lambda x, c=place: 5.0 * (x > c))
        assert math.fabs(integral[-1] - 5.0 * (2.0 - place)) <= 0.5 * 5.0 * 0.25
        jump = 0.5 * 5.0 * 0.25
        assert jump <= error <= 1.5 * jump


def test_a_bend_is_a_jump_by_what_it_is_above_four_usual_ones():
    bends = np.array([1.0, -1.0, 1.0, -1.0, 9.0, -1.0, 1.0])  # second differences of the slope, in steps of 2
    slopes = np.concatenate([[0.0, 0.0], np.cumsum(np.cumsum(bends))])
    ts = interval(9, 4.0)
    _, _, error = changes_and_integrals(lambda x: np.interp(x, ts, slopes), v=1.0, ts=ts)
    assert error == pytest.approx(0.25 * abs(1 + 1 + 9 + 1) + 0.25 * (9.0 - 4.0) + 2.5 * math.sqrt(9.0))


def test_the_error_of_an_integral_of_what_is_rounded_is_about_five_times_its_standard_deviation():
    ratios = []
    for seed in range(60):
        _, _, error = changes_and_integrals(lambda x, seed=seed: 1.0 + 0.01 * normal(seed, x))
        ratios.append(error / (0.01 * 0.25 * math.sqrt(16.0)))
    assert 4.0 < np.median(ratios) < 5.5


def over(f, df, x=0.0, h=None, **how):
    """Return the comparison over an interval around a float16, and how far from it the function was called."""
    f = Counted(f)
    phi = phi_of(f, np.float16([x]), lambda x, g: df(x.astype(float)) * g, **how)
    f.points.clear()
    phi.problem._cache = None  # so f is called at all points of each interval
    comparison = compare_interval_means(phi, "it", ArrayTolerance(5e-3, 0.0, 0.0, 0.0))
    return comparison, [float(np.max(np.abs(p - np.float16(x)))) for p in f.points]


def test_a_mean_over_an_interval_is_the_secant():
    comparison, asked = over(lambda x: np.float16(3.0 * x), lambda x: 3.0 + 0.0 * x)
    assert comparison.agrees
    assert comparison.note == "means over steps of 1 to both sides"
    assert comparison.analytic == pytest.approx(3.0)
    assert comparison.numeric.slope == pytest.approx(3.0, abs=2e-3)
    assert len(asked) == 17
    comparison, _ = over(lambda x: np.float16(3.0 * x), lambda x: 3.1 + 0.0 * x)
    assert comparison.agrees is False
    assert comparison.numeric.slope == pytest.approx(3.0, abs=2e-3)
    assert comparison.analytic == pytest.approx(3.1)
    assert comparison.remainder_order == pytest.approx(1.0, abs=0.1)


def test_an_interval_is_made_shorter_where_the_curve_hides_all():
    comparison, asked = over(lambda x: np.float16(np.sin(40.0 * x)), lambda x: 40.0 * np.cos(40.0 * x))
    assert comparison.agrees is None
    assert comparison.noisy
    assert asked[::17] == [1.0, 0.5, 0.25, 0.0625]


def test_an_interval_is_made_shorter_where_the_domain_ends():
    for width, sizes in ((0.3, [1.0, 0.5, 0.25]), (0.6, [1.0, 0.5]), (0.05, [1.0, 0.5, 0.25, 0.0625])):
        comparison, asked = over(
            lambda x, w=width: np.where(np.abs(x) < w, 3 * x, np.nan).astype(np.float16), lambda x: 3.0
        )
        assert asked[::17] == sizes
        assert comparison.analytic == pytest.approx(3.0) if width > 0.25 else comparison is None
        assert comparison is None or comparison.agrees
        comparison, asked = over(lambda x: np.float16(3 * x), lambda x, w=width: np.where(np.abs(x) < w, 3.0, np.inf))
        assert asked[::17] == sizes
        assert comparison.agrees if width > 0.25 else comparison is None


def test_an_interval_is_doubled_once_where_noise_hides_all():
    def noisy(x):
        return np.float16(x + 0.5 * np.sin(1e4 * x.astype(float)))

    comparison, asked = over(noisy, lambda x: 1.0 + 0.0 * x)
    assert comparison.agrees is None
    assert comparison.note.startswith("too noisy to tell: values are rounded by 0.")
    assert sorted(set(asked[::17])) == [1.0, 2.0]
    assert comparison.numeric.noise == pytest.approx(comparison.numeric.error)


@pytest.mark.parametrize("part", [0.002, 0.006])
def test_of_one_percent_wrong_noise_makes_nothing_right(part):
    verdicts = []
    for seed in range(8):

        def noisy(x, seed=seed):
            return np.float16([float(t) + part * normal(seed, float(t)) for t in x])

        verdicts.append([compared(noisy, np.float16([0.0]), lambda x, g, s=s: s * g).agrees for s in (0.99, 1.01, 1.0)])
    assert not any(low or high for low, high, _ in verdicts)
    assert part > 0.002 or all(right for _, _, right in verdicts)


@pytest.mark.parametrize("size", [0.02, 0.03])
def test_rounding_that_goes_one_way_is_no_mistake_as_larger_steps_show(size):
    def near_one(x):
        return np.sqrt(np.float16(1) + x * x)  # 1 for every small x

    def derivative(x, g):
        x = x.astype(float)
        return g * x / np.sqrt(1.0 + x * x)

    x = np.float16(size * np.random.default_rng(0).normal(size=100))
    for sign in (1.0, -1.0):
        comparison = compared(near_one, x, derivative, u=np.full(100, sign), v=np.copysign(2.0**-6, x))
        assert comparison.agrees is None
        assert comparison.noisy
        assert comparison.note == "too noisy to tell: the mismatch vanishes over larger steps"


def test_a_mistake_that_grows_over_larger_steps_does_not_vanish_even_if_the_slope_grows_more():
    phi = phi_of(lambda x: 8.0 * x.astype(float), np.float16([0.0]), lambda x, g: 5.0 * g)
    comparison = Comparison("it", 2.0, Estimate(1.0, 0.01), False)
    assert not mismatch_vanishes_over(phi, comparison, 8.0)


@pytest.mark.slow
def test_curvature_is_no_kink_at_equal_numbers_of_bfloat16():
    """Steps of 2**-2 and 2**-3 showed curvature and a kink alike, so a wrong softmax was tried at point after point."""
    torch = pytest.importorskip("torch")
    calls = 0

    def softmax(x):
        nonlocal calls
        calls += 1
        y = x.softmax(-1)
        return y.detach() + 1.1 * (y - y.detach())

    x = torch.randn(600, 600, generator=torch.Generator().manual_seed(0)).bfloat16()
    with pytest.raises(GradientMismatch):
        gradcheck(softmax, x)
    assert calls < 400


@pytest.mark.slow
def test_a_layer_in_bfloat16_is_checked_by_few_calls():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    layer = torch.nn.TransformerDecoderLayer(32, 4, 64, dropout=0.0, batch_first=True).bfloat16()
    calls = []
    layer.register_forward_hook(lambda *args: calls.append(1))
    gradcheck(layer, torch.randn(2, 5, 32).bfloat16(), torch.randn(2, 6, 32).bfloat16())
    assert len(calls) < 1300


def test_a_smooth_curve_is_not_taken_for_noise_in_the_mean_over_an_interval():
    phi = phi_of(lambda x: np.exp(x.astype(float)), np.float16([0.0]), lambda x, g: g * np.exp(x.astype(float)))
    ts = np.linspace(-1.0, 1.0, 17)
    changes, integral, error = integral_along(phi, ts)
    off = abs(integral[-1] - (changes[-1] - changes[0]))
    assert off < error < 3.0 * off


@pytest.mark.thorough
def test_in_few_digits_a_network_is_checked_by_few_calls():
    """Where all weights move, the derivative is far from constant, and shorter intervals tell more than more calls."""
    normal, calls = np.random.default_rng(0).normal, []
    args = [np.float16(0.5 * normal(size=shape)) for shape in ((6, 16), (16, 32), (32,), (32, 16), (16,))]

    def f(x, w1, b1, w2, b2):
        calls.append(1)
        return np.exp(np.tanh(x @ w1 + b1) @ w2 + b2)

    def vjp(*args, part=1.0):
        x, w1, b1, w2, b2, g = [a.astype(float) for a in args]
        h = np.tanh(x @ w1 + b1)
        d = g * np.exp(h @ w2 + b2)
        e = part * (d @ w2.T) * (1.0 - h * h)
        return e @ w1.T, x.T @ e, e.sum(0), h.T @ d, d.sum(0)

    gradcheck(f, *args, vjp=vjp)
    assert len(calls) < 1000
    with pytest.raises(GradientMismatch, match="wrong for x"):
        gradcheck(f, *args, vjp=functools.partial(vjp, part=1.1))


@pytest.mark.parametrize("factor", [0.9, 1.1, 2.0, -1.0, 0.0])
def test_a_mistake_is_as_large_over_larger_steps(factor):
    comparison = compared(
        lambda x: np.float16(np.sin(x)), np.float16([0.1]), lambda x, g: factor * g * np.cos(x.astype(float))
    )
    assert comparison.agrees is False
    phi = phi_of(lambda x: np.float16(np.sin(x)), np.float16([0.1]), lambda x, g: factor * g * np.cos(x.astype(float)))
    assert not mismatch_vanishes_over(phi, comparison, 2.0)
    still = phi_of(lambda x: np.float16(0.0 * x), np.float16([0.1]), lambda x, g: g)
    assert not mismatch_vanishes_over(still, comparison, 2.0)


def test_what_does_not_change_has_no_mean():
    comparison, asked = over(lambda x: np.float16(0.0 * x), lambda x: 0.0 * x)
    assert comparison is None
    assert asked[::17] == [1.0, 0.5, 0.25, 0.0625]


def test_the_noise_around_a_line_tells_how_exact_its_slope_is():
    errors, noises = [], []
    for seed in range(60):
        comparison, _ = over(
            lambda x, seed=seed: 3.0 * x.astype(float) + 0.01 * normal(seed, x), lambda x: 3.0 + 0.0 * x
        )
        errors.append(comparison.numeric.slope - 3.0)
        noises.append(5.0 * comparison.numeric.noise)
    assert np.median(noises) == pytest.approx(4.0 * np.std(errors), rel=0.25)
    assert np.median(noises) == pytest.approx(4.0 * 0.01 / math.sqrt(np.sum(interval() ** 2)), rel=0.15)


def test_a_mean_is_right_within_one_percent_and_wrong_beyond():
    for off in (0.004, 0.006):
        comparison, _ = over(lambda x: 3.0 * x.astype(float), lambda x, off=off: 3.0 * (1.0 + off) + 0.0 * x)
        assert comparison.agrees is (off < 0.005)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_in_noise_a_mistake_is_sure_if_it_is_twice_what_is_allowed_and_that_a_quarter_of_the_slope(sign):
    def of(size, analytic):
        comparison, _ = over(
            lambda x: sign * 3.0 * x.astype(float) + size * np.sign(normal(0, abs(x))),  # the same at x and -x
            lambda x: sign * analytic + 0.0 * x,
        )
        return comparison

    def agrees(size, analytic):
        return of(size, analytic).agrees

    assert agrees(0.001, 3.0) is True
    # over the larger interval the slope is known up to 0.83 times the noise
    assert of(0.05, 3.0).numeric.error == pytest.approx(0.83 * 0.05 / 5.0, rel=0.01)
    assert agrees(0.05, 3.0) is agrees(0.05, 3.08) is agrees(0.05, 2.92) is None
    assert agrees(0.05, 3.09) is agrees(0.05, 2.91) is False
    assert agrees(0.85, -3.0) is False
    assert agrees(0.95, -3.0) is None
    assert agrees(0.95, 7.0) is False, "of the larger of both"


def test_in_few_digits_an_interval_decides_unless_the_curve_hides_it():
    def right(x, g):
        return g * 40.0 * np.cos(40.0 * x.astype(float))

    curved = compared(lambda x: np.sin(40.0 * x.astype(float)), np.float16([0.0]), right)
    assert curved.agrees
    assert curved.note == ""
    f = Counted(lambda x: np.float16(x + 300.0))
    noisy = compared(f, np.float16([0.0]), lambda x, g: 1.005 * g)
    assert noisy.agrees is None
    assert noisy.noisy
    assert len(f.points) < 60, "after the interval nothing else is tried"
    straight = compared(lambda x: 3.0 * x, np.float16([0.5]), lambda x, g: 3.0 * g)
    assert straight.note.startswith("means over steps of 1")
    double = compared(lambda x: 3.0 * x, [0.5], lambda x, g: 3.0 * g)
    assert double.note == ""


@pytest.mark.parametrize("off", [0.0, 0.06])
def test_a_mistake_in_few_digits_is_one_next_to_the_point(off):
    def gradient(x, g):
        near = abs(float(x[1]) - 0.7) < 0.1
        return g * np.array([2.0 + (off if near else 0.0), 0.0])

    comparison = compared(lambda x: np.float16(2 * x[0]), np.float16([0.3, 0.7]), gradient, v=[1.0, 0.0])
    assert comparison.agrees is (off == 0.0)


def test_the_error_of_a_mean_is_that_of_the_integral_by_the_length():
    def f(x):
        return np.where(np.abs(x) < 0.6, np.exp(0.1 * x.astype(float)), np.nan)

    comparison, asked = over(f, lambda x: 0.1 * np.exp(0.1 * x))
    assert asked[::17] == [1.0, 0.5]
    phi = phi_of(f, np.float16([0.0]), lambda x, g: 0.1 * np.exp(0.1 * x.astype(float)) * g)
    _, integral, error = integral_along(phi, interval(h=0.5))
    assert comparison.analytic == pytest.approx(integral[-1])
    assert 5.0 * (comparison.numeric.error - comparison.numeric.noise) == pytest.approx(error)


# Rounding in few digits.


def comparison_of(analytic, slope, agrees=False, error=0.0):
    return Comparison("it", analytic, Estimate(slope, error), agrees)


def test_what_would_show_one_percent_of_a_derivative_tells():
    for comparisons, telling in (
        ([comparison_of(0.1, 0.1, True, 0.1 * 2.0**-k) for k in range(40)], 10),  # ever smaller errors
        ([comparison_of(-0.1 * (1.0 + 2.0**-k), -0.1, True) for k in range(40)], 8),  # ever smaller mismatches
    ):
        found = [half_precision.can_tell_one_percent(comparison) for comparison in comparisons]
        assert found == sorted(found)
        assert not any(found[:7]), "more than 1 %"
        assert all(found[telling:])
    assert half_precision.can_tell_one_percent(comparison_of(1.0, 5.0, False, math.inf))
    assert not half_precision.can_tell_one_percent(comparison_of(1.0, 1.0, None))


def stays(offs, agrees=(), few=False):
    """Return whether the mismatch is as large at points next to (2, -3), where it is as given, and those points."""
    problem = problem_of(lambda x: x, [2.0, -3.0], lambda x, g: g)
    problem.few_comparisons = few
    found = []

    def compare(x):
        found.append(x)
        k = len(found) - 1
        return comparison_of(5.0 + offs[k], 5.0, k in agrees)

    return half_precision._is_off_nearby(problem, problem.x, compare), np.array(found)


def test_a_mistake_is_one_if_it_is_about_as_large_at_eight_points_nearby():
    stayed, points = stays([0.5] * 8)
    assert stayed
    assert points.shape == (8, 2)
    away = points / [2.0, -3.0] - 1.0
    assert np.max(np.abs(away)) <= 2.0**-4
    assert np.min(away) < -(2.0**-5)
    assert np.max(away) > 2.0**-5
    for sign in (1.0, -1.0):
        for part, same in ((0.36, True), (0.39, False)):  # of the mean two and a half standard deviations
            assert stays([sign * (1.0 + part), sign * (1.0 - part)] * 4)[0] is same


def test_a_mistake_that_is_none_nearby_or_of_the_other_sign_is_given_up_at_once():
    for off in (-1.0, 0.0, math.nan):
        stayed, points = stays([1.0, 1.0, 1.0, off])
        assert (stayed, len(points)) == (False, 4)
    assert stays([1.0] * 8, agrees=(1, 4, 6))[0] is True
    stayed, points = stays([1.0] * 8, agrees=(0, 2, 3, 5))
    assert (stayed, len(points)) == (False, 6)


def test_among_many_numbers_three_points_suffice_if_the_mistake_is_nearly_the_same_there():
    for offs, agrees, count in (
        ([0.5, 0.53, 0.47] * 3, (), 3),  # a tenth of the mean is two standard deviations
        ([0.5, 0.56, 0.44] * 3, (), 8),
        ([0.5] * 8, (1,), 8),
    ):
        stayed, points = stays(offs, agrees, few=True)
        assert (stayed, len(points)) == (True, count)


def test_a_mistake_vanishes_if_it_is_less_than_half_as_large_beside_one_of_the_slopes(monkeypatch):
    def vanishes(analytic, slope, mean, off, noise=0.0, bias=0.0):
        asked = []
        monkeypatch.setattr(
            half_precision,
            "mean_over_interval",
            lambda phi, h: asked.append(h) or IntervalMean(mean, off, 9.0, noise, bias),
        )
        found = mismatch_vanishes_over(None, comparison_of(analytic, slope), 4.0)
        assert asked == [4.0]
        return found

    for sign in (1.0, -1.0):
        # beside the derivative that is checked: 4 here and 8 there
        assert vanishes(4.0, 5.0, 8.0 * sign, 0.99 * sign)
        assert vanishes(4.0 * sign, 5.0 * sign, 8.0, -0.5, 0.25, 0.24)
        assert not vanishes(4.0, 5.0, 8.0 * sign, -1.01 * sign)
        assert not vanishes(4.0 * sign, 5.0 * sign, 8.0, -0.5, 0.25, 0.26)
        # beside the numerical one: 2 here, about 4 there
        assert vanishes(3.0 * sign, 2.0 * sign, 3.2, 0.94)
        assert not vanishes(3.0 * sign, 2.0 * sign, 3.2, 1.09)
    monkeypatch.setattr(half_precision, "mean_over_interval", lambda phi, h: None)
    assert not mismatch_vanishes_over(None, comparison_of(4.0, 3.0), 4.0)


def test_steps_of_eight_and_sixteen_are_asked_what_is_rounding(monkeypatch):
    steps = []
    problem = problem_of(lambda x: x, np.float16([1.0]), lambda x, g: g)
    phi = DirectionalFunction(problem, np.ones(1), np.ones(1), problem.x)
    close = comparison_of(1.0 + 2.0**-8, 1.0)
    for large, said in ((8.0, [8.0]), (16.0, [8.0, 16.0]), (32.0, [8.0, 16.0])):
        steps.clear()
        monkeypatch.setattr(
            half_precision,
            "mismatch_vanishes_over",
            lambda phi, comparison, h, large=large: steps.append(h) or h == large,
        )
        excuse = half_precision.rounding_excuse(problem, close, phi, lambda x: close)
        assert excuse == ("" if large == 32.0 else "too noisy to tell: the mismatch vanishes over larger steps")
        assert steps == said
    steps.clear()
    far = comparison_of(2.0, 1.0)
    assert half_precision.rounding_excuse(problem, far, phi, lambda x: far) == "", "rounding is less than that"
    assert steps == []
    assert half_precision.rounding_excuse(
        problem, comparison_of(2.0, 1.0), phi, lambda x: comparison_of(1.0, 1.0)
    ).endswith("no such mismatch next to the point")
    assert steps == []


@pytest.mark.parametrize("seed", [564, 972, 2684])
def test_parts_that_cancel_are_rounded_by_more_than_the_result_shows(seed):
    """A batch norm that computes x * a - mean * a is rounded by last bits of x * a, however near x is to the mean."""
    draw = np.random.default_rng(seed)
    x = draw.uniform(0.01, 1.0) + 1e-9 * draw.normal(size=5)
    mean, inverse = x.mean(), 1.0 / np.sqrt(x.var() + 1e-5)

    def norm(w):
        a = w * inverse
        return x * a - mean * a

    assert gradcheck(norm, np.ones(1), vjp=lambda w, u: np.dot(u, (x - mean) * inverse)[None])
    with pytest.raises(GradientMismatch):
        gradcheck(norm, np.ones(1), vjp=lambda w, u: 1.01 * np.dot(u, (x - mean) * inverse)[None])


# For right functions of which a part is nothing but rounding: a warning says rightly that this part was not compared
PARTLY_ROUNDING = pytest.mark.filterwarnings("ignore::micrograd_cn.testing.PartlyCompared")


@PARTLY_ROUNDING
@pytest.mark.parametrize("t", [8.5e-13, 9.2e-13, 1.14e-12])
def test_a_part_that_is_rounded_in_wide_treads_beside_a_smooth_one_makes_no_derivative_wrong(t):
    """A batch norm adds x * a to -mean * a with one rounding; the second product is rounded by last bits of a."""
    x = np.array([1.0 - t, 1.0, 1.0, 1.0, 1.0])
    mean, inverse = x.mean(), 1.0 / np.sqrt(x.var() + 1e-5)

    def norm(w):
        a = w * inverse
        return np.concatenate([(a - mean * a) + (x[0] - 1.0) * a, w])

    def vjp(w, u, factor=1.0):
        return u[:1] * factor * (x[0] - mean) * inverse + u[1:]

    assert gradcheck(norm, np.ones(1), vjp=vjp)
    with pytest.raises(GradientMismatch):
        gradcheck(norm, np.ones(1), vjp=functools.partial(vjp, factor=1.2))


def normalised(z):
    away = z - z.mean(0)
    deviation = np.sqrt((away * away).mean(0) + 1e-5)
    return away / deviation, deviation


def norm_vjp(z, u):
    y, deviation = normalised(z)
    return (u - u.mean(0) - y * (u * y).mean(0)) / deviation


@PARTLY_ROUNDING
@pytest.mark.parametrize("seed", range(3))
def test_a_derivative_that_is_nothing_but_rounding_is_not_wrong_and_hides_no_mistake(seed):
    """A bias before a batch norm changes nothing; the sum of the upstream gradients less their mean is not quite 0."""
    draw = np.random.default_rng(seed)
    point = draw.normal(size=(5, 4)), 1e-34 * draw.normal(size=(3, 4)), np.zeros(3)

    def vjp(x, w, b, u, of_bias=0.0):
        dz = norm_vjp(x @ w.T + b, u)
        return dz @ w, dz.T @ x, dz.sum(0) + of_bias * u.sum(0)

    def layer(x, w, b):
        return normalised(x @ w.T + b)[0]

    assert gradcheck(layer, *point, vjp=vjp)
    with pytest.raises(GradientMismatch):
        gradcheck(layer, *point, vjp=functools.partial(vjp, of_bias=1e-6))


@PARTLY_ROUNDING
def test_a_change_that_parts_absorb_before_they_cancel_is_not_missing():
    """The logarithm of a sum of exponentials, less the largest number, is 0 at these points."""
    x = np.array([[207.0, -1690.0, -79.4, -19.9], [4580.0, 0.0, 351.0, 617.0], [294.0, 87.5, -14.9, 0.0]])

    def f(x):
        largest = x.max(1)
        return (largest + np.log(np.exp(x - largest[:, None]).sum(1))) - largest

    def vjp(x, u, off=0.0):
        p = np.exp(x - x.max(1, keepdims=True))
        p[np.arange(3), x.argmax(1)] = 0.0
        return u[:, None] * (p + off)

    assert gradcheck(f, x, vjp=vjp)
    with pytest.raises(GradientMismatch):
        gradcheck(f, x, vjp=functools.partial(vjp, off=1e-6))
