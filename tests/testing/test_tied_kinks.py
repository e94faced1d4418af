"""Points where a function has many kinks at once: right gradients are right there, and mistakes are found."""

import contextlib
import random
import warnings

import numpy as np
import pytest

from micrograd_cn.testing import GradientMismatch, PartlyCompared, gradcheck
from micrograd_cn.testing.arrays.directional_function import DirectionalFunction
from micrograd_cn.testing.arrays.problem import Problem
from micrograd_cn.testing.arrays.tied_kinks import has_tied_kink


def zeros(draw, size=200):
    """Return an array of which most elements are 0."""
    return np.where(draw.random(size) < 0.8, 0.0, draw.normal(size=size))


def kept(x, g):
    """Return the upstream gradient where the largest of each four elements is; if several are, at the first."""
    rows = x.reshape(-1, 4)
    found = np.zeros_like(rows)
    found[np.arange(len(rows)), rows.argmax(1)] = g
    return found.reshape(x.shape)


def placed(x, g):
    found = np.zeros_like(x)
    found[np.argsort(x, kind="stable")] = g
    return found


def layer(x, w, g):
    through = g * (x @ w > 0)
    return through @ w.T, x.T @ through


def network(x, w, b, v, g):
    through = (g @ v.T) * (x @ w + b > 0)
    return through @ w.T, x.T @ through, through.sum(0), np.maximum(x @ w + b, 0).T @ g


CASES = {  # function, vector-Jacobian product, arguments
    "relu": (lambda x: np.maximum(x, 0), lambda x, g: g * (x > 0), lambda draw: [zeros(draw)]),
    "leaky relu": (
        lambda x: np.where(x > 0, x, x / 64),
        lambda x, g: np.where(x > 0, g, g / 64),
        lambda draw: [zeros(draw)],
    ),
    "abs": (np.abs, lambda x, g: np.where(x >= 0, g, -g), lambda draw: [zeros(draw)]),
    "clip": (
        lambda x: np.clip(x, -1, 1),
        lambda x, g: g * (np.abs(x) < 1),
        lambda draw: [np.clip(2.0 * draw.normal(size=200), -1, 1)],
    ),
    "pool": (lambda x: x.reshape(-1, 4).max(1), kept, lambda draw: [np.maximum(draw.normal(size=400), 0.5)]),
    "sort": (np.sort, placed, lambda draw: [np.maximum(draw.normal(size=100), 0)]),
    "maximum": (
        np.maximum,
        lambda x, y, g: (g * (x >= y), g * (x < y)),
        lambda draw: [x := draw.normal(size=60), np.where(draw.random(60) < 0.7, x, x + 0.3)],
    ),
    "layer": (
        lambda x, w: np.maximum(x @ w, 0),
        layer,
        lambda draw: [draw.normal(size=(20, 8)) * (draw.random((20, 1)) < 0.5), draw.normal(size=(8, 6))],
    ),
    "network of weights 0": (
        lambda x, w, b, v: np.maximum(x @ w + b, 0) @ v,
        network,
        lambda draw: [draw.normal(size=(8, 6)), np.zeros((6, 10)), np.zeros(10), draw.normal(size=(10, 3))],
    ),
    "sum of relu": (
        lambda x, y: np.maximum(x, 0).sum() - np.maximum(y, 0).sum(),
        lambda x, y, g: (g * (x > 0), -g * (y > 0)),
        lambda draw: [zeros(draw, 30), zeros(draw, 30)],
    ),
}


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.thorough)])
@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize("case", CASES)
def test_right_gradients_at_many_kinks_are_right(case, kind, seed):
    f, vjp, arguments = CASES[case]
    xs = [x.astype(kind) for x in arguments(np.random.default_rng(seed))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PartlyCompared)
        gradcheck(f, *xs, vjp=vjp, seed=seed)


@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize("case", CASES)
def test_gradients_that_are_wrong_where_there_are_kinks_are_wrong(case, kind):
    f, vjp, arguments = CASES[case]

    def wrong(*args):
        found = vjp(*args)
        return tuple([kind(1.05) * g for g in found]) if isinstance(found, tuple) else kind(1.05) * found

    xs = [x.astype(kind) for x in arguments(np.random.default_rng(0))]
    with pytest.raises(GradientMismatch):
        gradcheck(f, *xs, vjp=wrong)


@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize("case", ["relu", "leaky relu", "abs"])
@pytest.mark.parametrize("mean", [False, True])
def test_at_a_kink_of_one_number_the_derivative_is_between_those_on_both_sides(case, kind, mean):
    of_all, vjp, arguments = CASES[case]
    x = arguments(np.random.default_rng(0))[0].astype(kind)
    share = kind(1 / x.size) if mean else kind(1)

    def f(x):
        return of_all(x).mean() if mean else of_all(x)

    gradcheck(f, x, vjp=lambda x, g: vjp(x, share * g))
    with pytest.raises(GradientMismatch):
        gradcheck(f, x, vjp=lambda x, g: vjp(x, share * g) + 5 * share * g * (x == 0))


def nearly_a_sum(x):
    """Return a sum in which the middle one of three numbers has a slightly larger weight than the others."""
    return np.sort(x) @ [1.0, 1.0 + 2.0**-9, 1.0]


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_a_kink_that_is_small_beside_the_slope_explains_a_mismatch_of_its_size_alone(kind):
    def vjp(x, g):
        return g * (1.0 + 2.0**-9 * (np.argsort(np.argsort(x, kind="stable")) == 1))

    x = np.array([0.3, 0.3, 0.3], kind)
    with pytest.warns(PartlyCompared, match="kink"):
        gradcheck(nearly_a_sum, x, vjp=vjp)
    with pytest.raises(GradientMismatch):
        gradcheck(nearly_a_sum, x, vjp=lambda x, g: 1.05 * vjp(x, g))


# What a corner is.


def corner(f, v=(1.0, -1.0, 0.0), x=(0.0, 0.0, 3.0), kind=float):
    problem = Problem("check", f, (np.array(x, kind),), {"vjp": lambda x, g: g * x}, None, None)
    return has_tied_kink(DirectionalFunction(problem, np.ones(problem.y.size), np.array(v), problem.x))


def test_where_the_derivatives_along_directions_are_not_that_along_their_sum_there_is_a_corner():
    one, same = (1.0, 0.0, 0.0), (2.0, 2.0, 2.0)
    assert corner(np.median, one, same)
    assert corner(lambda x: 0.01 * np.median(x), one, same)
    assert corner(lambda x: 100.0 * np.median(x), (-1.0, 0.0, 0.0), same)
    assert not corner(lambda x: np.sum(np.maximum(x - 2.0, 0.0) ** 2), one, same), "smooth once"
    assert not corner(np.prod, one, same)
    assert not corner(np.median, (0.0, 0.0, 1.0), (2.0, 2.0, 5.0)), "of what is equal to no other"
    assert not corner(np.median, one, (1.0, 2.0, 5.0))
    assert not corner(lambda x: np.prod(x) + 1e-9 * random.Random(str(x)).gauss(), one, same), "rounding is none"


@pytest.mark.parametrize("kind", [float, np.float32])
def test_where_a_function_bends_along_halves_of_a_direction_there_is_a_corner(kind):
    def relu(x):
        return np.sum(np.maximum(x, 0.0) * [1.0, -1.0, 1.0])

    assert corner(relu, kind=kind), "along the whole, bends cancel"
    assert corner(relu, kind=kind, v=(-1.0, -1.0, 0.0)), "all go down, and random halves tell"
    assert not corner(relu, v=(1.0, 0.0, 0.0), kind=kind), "of one, nothing cancels"
    assert not corner(relu, x=(1.0, 1.0, 3.0), kind=kind), "it does not bend there"
    assert not corner(lambda x: np.sum(np.maximum(x, 0.0) ** 2), kind=kind), "nor where it is smooth once"
    assert not corner(lambda x: np.sum(x * x), x=(1.0, 1.0, 3.0), kind=kind)
    assert corner(lambda x: np.maximum(x[0] + x[1], 0.0), v=(1.0, 0.0, 0.0), kind=kind), "of several in one number"
    assert not corner(lambda x: np.maximum(x[0] + x[1], 0.0), x=(1.0, 1.0, 3.0), v=(1.0, 0.0, 0.0), kind=kind)


def test_of_a_corner_the_numbers_must_be_equal_to_others():
    assert corner(lambda x: np.sum(np.maximum(x, 2.0)), x=(2.0, 2.0, 2.0), v=(0.0, 1.0, 1.0))
    assert not corner(lambda x: np.sum(np.maximum(x, 2.0)), x=(2.0, 5.0, 2.0), v=(0.0, 1.0, 1.0)), "one of them moves"
    for x in ((2.0, 3.0, 7.0), (2.0, 3.0, 3.0)):
        assert not corner(lambda x: np.maximum(x[0] + x[1], 5.0), x=x, v=(1.0, 0.0, 0.0)), "nothing equal is moved"


@pytest.mark.parametrize(("power", "is_one"), [(1.0, True), (1.1, True), (1.15, False), (0.9, True), (0.85, False)])
def test_a_corner_is_of_the_same_size_in_small_steps(power, is_one):
    """From 2**-16 to 2**-24, the quotients of |x|**p change by 2**(8 - 8 p)."""
    assert corner(lambda x: np.sum(np.abs(x) ** power * [1.0, -1.0, 1.0])) is is_one


@pytest.mark.parametrize(("power", "is_one"), [(1.0, True), (1.3, True), (1.4, False), (2.0, False)])
def test_in_half_precision_curvature_is_no_corner_though_steps_are_nearly_as_long_as_each_other(power, is_one):
    """From 2**-3 to 2**-5, the quotients of |x|**p change by 2**(2 - 2 p), which must be nearer to 1 than to 2**-2."""
    assert corner(lambda x: np.sum(np.abs(x.astype(float)) ** power * [1.0, -1.0, 1.0]), kind=np.float16) is is_one


def test_a_corner_is_no_noise_and_of_a_hundredth_of_the_quotients():
    for part, is_one in ((0.0055, True), (0.0045, False)):  # twice it is seen
        assert corner(lambda x, part=part: np.sum(x * [1.0, -1.0, 1.0]) + part * np.abs(x[0])) is is_one
    for exponent, is_one in (
        (25, True),
        (26, False),
    ):  # 2.0 are 2**-23 in the smaller step, 20 last bits 20 * 2**(e - 53)
        assert corner(lambda x, e=exponent: 2.0**e + np.sum(np.abs(x) * [1.0, -1.0, 1.0])) is is_one


def test_of_many_bends_those_of_what_goes_up_are_seen_though_random_halves_of_them_cancel():
    n = 200_000
    sign = np.where(np.arange(n) % 2 == 0, 1.0, -1.0)
    x, v = np.zeros(n), sign * np.random.default_rng(1).uniform(0.5, 1.0, n)

    def f(x):
        return sign @ np.where(x > 0.0, x, x / 64.0)

    for direction in (v, -v):
        problem = Problem("check", f, (x,), {"vjp": lambda x, g: g * sign / 64.0}, None, None)
        assert has_tied_kink(DirectionalFunction(problem, np.ones(1), direction, problem.x))


def test_medians_of_numbers_of_which_three_are_0_are_not_called_wrong():
    """Most halves of a direction do not show such a kink, so many are tried."""
    x = np.array([[0.0, 3.0, -0.0, -2.25, -0.0], [-3.0, 2.0, 1.31, 1.1, -1.77], [0.0, -7.9, -0.0, -1.0, -2.0]])

    def vjp(x, u):
        found = np.zeros_like(x)
        found[np.arange(3), np.argsort(x, 1, kind="stable")[:, 2]] = u
        return found

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PartlyCompared)
        for seed in range(20):
            gradcheck(lambda x: np.sort(x, 1)[:, 2], x, vjp=vjp, seed=seed)


@pytest.mark.parametrize(
    ("seed", "last"), [(0, True), *[pytest.param(1, last, marks=pytest.mark.thorough) for last in (False, True)]]
)
def test_a_right_sort_is_not_called_wrong_among_the_smallest_numbers_of_a_type(seed, last):
    """There are 16 such numbers up to 1e-6 in float16, so the usual steps move no element, or move it past others."""

    def vjp(x, u):
        order = np.argsort(x[:, ::-1], 1, kind="stable")
        places = x.shape[1] - 1 - order if last else np.argsort(x, 1, kind="stable")
        found = np.zeros_like(x)
        np.put_along_axis(found, places, u, 1)
        return found

    x = np.float16([[-7.7e-7, -1e-6, 1e-6, 0.0], [-1e-6, 0.0, 0.0, 0.0], [0.0, 0.0, -0.0, -9.5e-7]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PartlyCompared)
        gradcheck(lambda x: np.sort(x, 1), x, vjp=vjp, seed=seed)


def test_a_median_of_equal_numbers_has_a_kink_though_another_row_changes_its_order_in_a_small_step():
    """In a step of 2**-7, the median of the second row moves on to the number beside it."""
    x = np.float32(
        [[-7.63, -2.2315e-4, 1.01, -2.0, -4.77], [-0.0122, 0.0, 1.37, -0.0999, 0.681], [1.0, -0.0113, 0.0, 0.0, 0.0]]
    )

    def vjp(x, u):
        found = np.zeros_like(x)
        found[np.arange(3), np.argsort(x, 1, kind="stable")[:, 2]] = u
        return found

    assert gradcheck(lambda x: np.sort(x, 1)[:, 2], x, vjp=vjp)


@pytest.mark.parametrize("seed", [0, 2, 6, 9, 23])
@pytest.mark.parametrize("off", [1.0, 1.01])
def test_kinks_of_several_elements_that_cancel_make_no_derivative_wrong_and_hide_no_mistake(seed, off):
    at_kinks = np.array([6.2, 2.0, 3.0, -1.0, -1.08, 1.0, 0.0413, -0.0, -1.92, -2.74, -3.0, 1.16])
    with pytest.raises(GradientMismatch) if off != 1.0 else contextlib.nullcontext():
        gradcheck(lambda x: np.clip(x, -1, 1), at_kinks, vjp=lambda x, g: off * g * (np.abs(x) < 1), seed=seed)


@pytest.mark.parametrize("seed", range(4))
def test_a_gradient_of_0_next_to_a_kink_is_no_error(seed):
    at_kink = np.array([1.0, *[5.0] * 11])
    gradcheck(lambda x: np.clip(x, -1, 1), at_kink, vjp=lambda x, g: g * (np.abs(x) <= 1), seed=seed)
