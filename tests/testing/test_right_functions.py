"""Right functions at the points that `points` draws by default: none is accused, and smooth layers give no warning.

The whole campaign, also of PyTorch and jax, is in `right_functions.py`.
"""

import contextlib
import warnings

import numpy as np
import pytest
from hypothesis import strategies

from micrograd_cn.testing import GradientMismatch, PartlyCompared, TooNoisy, checks_gradient, gradcheck
from micrograd_cn.testing.arrays import analytic, problem

from .right_functions import LIBRARIES, compiled_once, in_numpy, outcome, selected

NUMPY = in_numpy()
SMOOTH_LAYERS = "linear", "layer norm", "affine layer norm", "two layers", "attention", "cross entropy"


QUICK, MORE = ("linear", "batch norm"), ("one minus cos", "floor", "attention")


@pytest.mark.parametrize("name", [*QUICK, *[pytest.param(name, marks=pytest.mark.thorough) for name in MORE]])
def test_no_right_function_is_accused(name):
    assert [message for word, message in runs(name, 2) if word not in ("passed", "warned")] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", NUMPY)
def test_no_right_function_is_accused_in_a_hundred_runs(name):
    assert [message for word, message in runs(name, 100) if word == "GradientMismatch"] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", SMOOTH_LAYERS)
def test_a_smooth_layer_is_not_warned_about(name):
    assert {word for word, _ in runs(name, 40)} == {"passed"}


SATURATED = [[-1000.0, -245.0, 1280.0, 0.0], [-30.3, 651.0, 400.0, 43.7], [0.0, 485.0, 0.0, 17.8]]
UNEVEN = [[-594.0, 0.0, -994.0, -330.0], [-7220.0, -238.0, -540.0, -1e4], [-1000.0, 26.8, -5140.0, 742.0]]
OF_LAYERS = [
    [[8790.0, 0.0, 1e4, 0.0], [45.0, 1120.0, -85.7, 3970.0], [0.0, 0.0, 0.0, -31.6]],
    [[68.9, 0.0, -1e4, 0.0], [398.0, -79.4, 578.0, -32.2]],
    [10.0, 13.0],
    [10.0, 13.0],
]
HARD = {"arctan": [UNEVEN], "two layers": OF_LAYERS}  # comparisons along directions take more calls than usual


@pytest.mark.parametrize("name", HARD)
def test_at_a_hard_point_all_arrays_are_compared(name):
    right, args = NUMPY[name], [np.array(x) for x in HARD[name]]
    with warnings.catch_warnings():
        warnings.simplefilter("error", PartlyCompared)
        found = gradcheck(right.f, *args, vjp=right.vjp).comparisons
    assert all(comparison.agrees for comparison in found)
    assert sum(comparison.title.startswith("direction") for comparison in found) >= 4


@pytest.mark.parametrize("wrong", range(4))
def test_at_a_hard_point_a_wrong_gradient_of_any_array_is_found(wrong):
    right, args = NUMPY["two layers"], [np.array(x) for x in OF_LAYERS]

    def vjp(*args):
        return [1.01 * g if i == wrong else g for i, g in enumerate(right.vjp(*args))]

    with pytest.raises(GradientMismatch, match=f"wrong for {'xwbv'[wrong]}"):
        gradcheck(right.f, *args, vjp=vjp)


def test_a_point_that_saturates_a_softmax_fails_no_test_but_a_check_of_it_alone_warns():
    softmax, x = NUMPY["softmax"], np.array(SATURATED)
    with pytest.warns(PartlyCompared, match="4 of 11 derivatives not compared"):
        gradcheck(softmax.f, x, vjp=softmax.vjp)
    scales = strategies.sampled_from([1e-3, 1e-3, 1e-3, 1.0])
    checks_gradient(softmax.f, scales.map(lambda scale: scale * x), vjp=softmax.vjp)()
    with pytest.warns(PartlyCompared, match="derivatives not compared"):
        checks_gradient(softmax.f, strategies.just(x), vjp=softmax.vjp)()


def test_a_softmax_without_the_sum_is_wrong_where_it_is_saturated():
    softmax = NUMPY["softmax"].f
    with pytest.raises(GradientMismatch, match="wrong for x"):
        gradcheck(softmax, np.array(SATURATED), vjp=lambda x, u: softmax(x) * u)


def test_a_wrong_function_is_accused():
    linear = NUMPY["linear"]

    def wrong(x, w, b, u):
        of_x, of_w, of_b = linear.vjp(x, w, b, u)
        return of_x, 1.01 * of_w, of_b

    assert outcome(linear._replace(vjp=wrong), "numpy", 0)[0] == "GradientMismatch"


def test_the_campaign_has_many_functions():
    assert set(LIBRARIES) == {"numpy", "torch", "jax"}
    assert len(NUMPY) >= 40
    assert [name for _, name, _ in selected(["numpy"], ["tanh"])] == ["tanh"]


def test_the_campaign_compiles_a_function_and_its_backward_pass_once_for_all_points(monkeypatch):
    compiled = []
    monkeypatch.setattr(analytic, "jit_compiled", lambda f: compiled.append(f) or f)
    for _ in range(2):
        with compiled_once():
            for _ in range(3):
                problem.jit_compiled(lambda: 1.0)
                analytic.jit_compiled(lambda: 2.0)
    assert len(compiled) == 4


def runs(name, seeds):
    return [outcome(NUMPY[name], "numpy", seed) for seed in range(seeds)]


# Right functions at points where a mistake is easily suspected: a feature of f is hidden by rounding, or f overflows.

TABLE = np.random.default_rng(3).normal(size=(6, 4))


def interpolated(x):  # a kink at each whole number
    i, rows = np.floor(x + 1.0).astype(int), np.arange(len(x))
    return TABLE[rows, i] + (x + 1.0 - i) * (TABLE[rows, i + 1] - TABLE[rows, i])


def interpolated_vjp(x, u):
    i, rows = np.floor(x + 1.0).astype(int), np.arange(len(x))
    return u * (TABLE[rows, i + 1] - TABLE[rows, i])


def distance(x, y):
    return np.sqrt(((x - y) ** 2).sum(-1, keepdims=True))


def triplet(a, p, n):
    return np.maximum(distance(a, p) - distance(a, n) + 0.5, 0.0).sum()


def triplet_vjp(a, p, n, u):
    near, far = (u * (distance(a, p) - distance(a, n) > -0.5) * (a - x) / distance(a, x) for x in (p, n))
    return near - far, -near, far


def focal(x):  # rounding makes a staircase of p where it is tiny; where p is 0 or 1, log is not finite
    p = 0.5 + 0.5 * np.tanh(0.5 * x)
    return -((1.0 - p) ** 2 * np.log(p) + 0.0 * np.log(1.0 - p)).mean()


def focal_vjp(x, u):
    p = 0.5 + 0.5 * np.tanh(0.5 * x)
    return u * (1.0 - p) ** 2 * (2.0 * p * np.log(p) - (1.0 - p)) / x.size


def of_norm_1(w):
    return w / np.linalg.norm(w, 2)


def of_norm_1_vjp(w, u):
    left, sizes, right = np.linalg.svd(w)
    return u / sizes[0] - (u * w).sum() / sizes[0] ** 2 * np.outer(left[:, 0], right[0])


TRIPLETS = {seed: 1e-20 * np.random.default_rng(seed).normal(size=(3, 4, 3)) for seed in range(2)}
HARDLY_TOLD = {
    "kinks at numbers that are absorbed": (
        interpolated,
        interpolated_vjp,
        [np.array([0.0, -1e-19, 0.0, 0.0, -3e-18, 0.0])],
    ),
    "difference of tiny distances": (triplet, triplet_vjp, TRIPLETS[0]),
    "difference of other tiny distances": (triplet, triplet_vjp, TRIPLETS[1]),
    "staircase between poles": (focal, focal_vjp, [np.array([0.5, -33.3, -1.0])]),
    "absorbed near the edge of the domain": (
        lambda x: np.log(-np.expm1(-x)),
        lambda x, u: u / np.expm1(x),
        [np.array([1270.0, 3240.0, 1e4, 1e4, 161.0])],
    ),
    "factor of what overflows": (
        lambda c, x: c * np.exp(x),
        lambda c, x, u: (u * np.exp(x), u * c * np.exp(x)),
        [np.array([1.0, 2.0]), np.array([800.0, 1.0])],
    ),
}


@pytest.mark.parametrize("name", HARDLY_TOLD)
def test_a_right_function_is_not_accused_where_it_can_hardly_be_told(name):
    f, vjp, args = HARDLY_TOLD[name]
    with warnings.catch_warnings(), contextlib.suppress(TooNoisy), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", PartlyCompared)
        gradcheck(f, *args, vjp=vjp)


@pytest.mark.parametrize("name", HARDLY_TOLD)
def test_a_wrong_sign_is_found_where_the_same_function_is_easily_told(name):
    f, vjp, args = HARDLY_TOLD[name]
    easy = [np.random.default_rng(k).uniform(0.2, 0.8, x.shape) for k, x in enumerate(args)]
    gradcheck(f, *easy, vjp=vjp)

    def wrong(*args):
        found = vjp(*args)
        return tuple(-x for x in found) if isinstance(found, tuple) else -found

    with pytest.raises(GradientMismatch):
        gradcheck(f, *easy, vjp=wrong)


def test_a_derivative_that_is_only_rounding_of_far_larger_ones_causes_no_warning():
    w = np.zeros((3, 3))
    w[1, 1] = 8.744375e-65
    gradcheck(of_norm_1, w, vjp=of_norm_1_vjp)
