"""Right gradients at points where a function has many kinks at once are right, and what is wrong there is found."""

import warnings

import numpy as np
import pytest

from micrograd_cn.testing import GradientMismatch, PartlyCompared, gradcheck


def zeros(random, size=200):
    """Return an array that is 0 for the most part."""
    return np.where(random.random(size) < 0.8, 0.0, random.normal(size=size))


def kept(x, g):
    """Return the upstream gradient where the largest of four stand, each time the first one."""
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


CASES = {  # function, vector-Jacobian product, arguments
    "relu": (lambda x: np.maximum(x, 0), lambda x, g: g * (x > 0), lambda random: [zeros(random)]),
    "leaky relu": (
        lambda x: np.where(x > 0, x, x / 64),
        lambda x, g: np.where(x > 0, g, g / 64),
        lambda random: [zeros(random)],
    ),
    "abs": (np.abs, lambda x, g: np.where(x >= 0, g, -g), lambda random: [zeros(random)]),
    "clip": (
        lambda x: np.clip(x, -1, 1),
        lambda x, g: g * (np.abs(x) < 1),
        lambda random: [np.clip(2.0 * random.normal(size=200), -1, 1)],
    ),
    "pool": (lambda x: x.reshape(-1, 4).max(1), kept, lambda random: [np.maximum(random.normal(size=400), 0.5)]),
    "sort": (np.sort, placed, lambda random: [np.maximum(random.normal(size=100), 0)]),
    "maximum": (
        np.maximum,
        lambda x, y, g: (g * (x >= y), g * (x < y)),
        lambda random: [x := random.normal(size=60), np.where(random.random(60) < 0.7, x, x + 0.3)],
    ),
    "layer": (
        lambda x, w: np.maximum(x @ w, 0),
        layer,
        lambda random: [random.normal(size=(20, 8)) * (random.random((20, 1)) < 0.5), random.normal(size=(8, 6))],
    ),
    "sum of relu": (
        lambda x, y: np.maximum(x, 0).sum() - np.maximum(y, 0).sum(),
        lambda x, y, g: (g * (x > 0), -g * (y > 0)),
        lambda random: [zeros(random, 30), zeros(random, 30)],
    ),
}


@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize("case", CASES)
def test_right_gradients_at_many_kinks_are_right(case, kind):
    f, vjp, arguments = CASES[case]
    for seed in range(4):
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

    for seed in range(2):
        xs = [x.astype(kind) for x in arguments(np.random.default_rng(seed))]
        with pytest.raises(GradientMismatch):
            gradcheck(f, *xs, vjp=wrong, seed=seed)


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
