"""Mistakes that hide where a numerical derivative is hard to compute: beside large numbers, near poles and kinks."""

import contextlib
import functools
import math
import sys
import warnings

import numpy as np
import pytest

from micrograd_cn.testing import GradientMismatch, NothingCompared, PartlyCompared, TooNoisy, gradcheck
from micrograd_cn.testing.arrays.problem import element_scales

from . import stand_ins
from .stand_ins import Saved, Tensor, elementwise


def passes(f, *args, **how):
    with warnings.catch_warnings():
        warnings.simplefilter("error", PartlyCompared)
        gradcheck(f, *args, **how)


def of_size(x, u, factor=1.0):
    """Return `factor` times the gradient of x**4, plus 3 for the first element."""
    return factor * u * (4 * x**3 + 3 * (np.arange(x.size) == 0).astype(x.dtype))


# Steps in which the function overflows.


@pytest.mark.parametrize("x", [np.array([600.0]), np.array([75.0], "f"), np.array([300.0, 500.0]), np.array([700.0])])
@pytest.mark.parametrize("factor", [-1.0, 7.0, 1.02, 0.0])
def test_a_mistake_is_found_where_large_steps_overflow(x, factor):
    passes(np.exp, x, vjp=lambda x, u: u * np.exp(x))
    with np.errstate(all="ignore"), pytest.raises(GradientMismatch):
        gradcheck(np.exp, x, vjp=lambda x, u: factor * u * np.exp(x))


def test_a_mistake_is_found_beside_elements_whose_size_lets_the_function_overflow():
    x = np.linspace(0, 255, 64).astype("f")
    passes(lambda x: np.exp(-x), x, vjp=lambda x, u: -u * np.exp(-x))
    with pytest.raises(GradientMismatch):
        gradcheck(lambda x: np.exp(-x), x, vjp=lambda x, u: -7 * u * np.exp(-x))


# Elements beside others that are far steeper.


@pytest.mark.parametrize("x", [np.array([0.0, 1e9]), np.array([0.0, 1e6], "f"), np.array([0.0, 1e6])])
def test_an_element_is_compared_by_itself_beside_one_that_is_far_steeper(x):
    passes(lambda x: x**4, x, vjp=lambda x, u: u * 4 * x**3)
    with pytest.raises(GradientMismatch, match="wrong for x"):
        gradcheck(lambda x: x**4, x, vjp=of_size)


def test_the_gradient_at_a_stationary_point_is_right():
    for f, df in (
        (lambda x: x * x, lambda x: 2 * x),
        (np.cos, lambda x: -np.sin(x)),
        (lambda x: np.exp(-x * x), lambda x: -2 * x * np.exp(-x * x)),
        (lambda x: x**8, lambda x: 8 * x**7),
        (lambda x: np.cosh(20 * x), lambda x: 20 * np.sinh(20 * x)),
    ):
        for x in ([0.0], [0.0, 3.0], np.float32([0.0]), np.float32([0.0, 3.0]), [1e-9, 1.0]):
            passes(f, np.array(x), vjp=lambda x, u, df=df: u * df(x))


@pytest.mark.parametrize(
    "x",
    [
        [[16100, -880000, 0, 8700], [1000000, -2270, 30000, 19200], [-1570, 0, 11200, -0.0]],
        [[0, 3200, 18100, 1320], [0, -0.0, -2140, 73400], [-290000, 0, 0, 46300]],
    ],
)
def test_kinks_at_0_beside_large_elements_are_no_mistakes(x):
    for slope in (0.0, 0.1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PartlyCompared)
            gradcheck(
                lambda x, slope=slope: np.where(x > 0.0, x, slope * x),
                np.array(x, float),
                vjp=lambda x, u, slope=slope: u * np.where(x > 0.0, 1.0, slope),
            )


# Near poles, where float32 has few digits.


@pytest.mark.parametrize("x", [[0.9], [0.99], [-0.999], [0.9, 0.99, -0.999]])
def test_a_wrong_sign_is_found_near_a_pole(x):
    x = np.array(x, "f")
    passes(np.arctanh, x, vjp=lambda x, u: u / (1 - x * x))
    with pytest.raises(GradientMismatch) as caught:
        gradcheck(np.arctanh, x, vjp=lambda x, u: -u / (1 - x * x))
    assert "too noisy" not in str(caught.value)


# Masks that the backward pass forgets.


def relu(x):
    return np.maximum(x, 0.0)


MASKED = [
    *[(relu, [x], lambda x: x > 0.0) for x in (-0.25, -0.5, -1.0, -5.0, -70.0, -1e4, -1e-5)],
    *[(lambda x: np.clip(x, -1.0, 1.0), [x], lambda x: abs(x) < 1.0) for x in (3.0, -3.0, 1.5)],
    (lambda x: np.clip(x, 0.0, 6.0), [8.0], lambda x: (x > 0.0) & (x < 6.0)),
    *[(relu, np.random.default_rng(seed).normal(size=4), lambda x: x > 0.0) for seed in range(8)],
]


@pytest.mark.parametrize("kind", ["d", "f"])
@pytest.mark.parametrize(("f", "x", "mask"), MASKED)
def test_a_forgotten_mask_is_no_rounding(f, x, mask, kind):
    x = np.array(x, kind)
    passes(f, x, vjp=lambda x, u: u * mask(x))
    with pytest.raises(GradientMismatch) as caught:
        gradcheck(f, x, vjp=lambda x, u: u)
    assert "too noisy" not in str(caught.value)


def test_a_huge_gradient_in_a_flat_part_is_wrong():
    def f(x):
        return np.arctanh(np.clip(x, -1 + 1e-15, 1 - 1e-15))

    passes(f, np.array([1.2]), vjp=lambda x, u: 0.0 * u)
    with pytest.raises(GradientMismatch):
        gradcheck(f, np.array([1.2]), vjp=lambda x, u: 5e14 * u)


def test_the_rounding_that_is_told_is_the_height_of_a_step():
    with pytest.raises(TooNoisy, match="values are rounded by 1e-16"):
        gradcheck(lambda x: 1 + np.tanh(x), np.array([-25.0]), vjp=lambda x, u: u * 4 * np.exp(2 * x))


# An array of the result beside one that is far larger.

Z = np.linspace(0.1, 1.0, 20)


def beside_large(z):
    return 1e11 * z, np.sin(z)


@pytest.mark.parametrize("factor", [0.0, 1.01])
@pytest.mark.parametrize("kind", ["d", "f"])
def test_an_array_of_the_result_does_not_hide_behind_a_larger_one(factor, kind):
    def vjp(z, u, factor):
        return (1e11 * u[0] + factor * np.cos(z) * u[1]).astype(kind)

    z = Z.astype(kind)
    passes(beside_large, z, vjp=lambda z, u: vjp(z, u, 1.0))
    with pytest.raises(GradientMismatch, match=r"WRONG +df\[1\]\[\d+\]/dz\[\d+\]"):
        gradcheck(beside_large, z, vjp=lambda z, u: vjp(z, u, factor))


def test_an_array_of_the_result_does_not_hide_from_a_jvp_nor_beside_several_arguments():
    passes(beside_large, Z, jvp=lambda z, t: (1e11 * t, np.cos(z) * t))
    with pytest.raises(GradientMismatch):
        gradcheck(beside_large, Z, jvp=lambda z, t: (1e11 * t, 1.01 * np.cos(z) * t))

    def f(z, w):
        return {"energy": 1e11 * z, "angle": np.sin(z * w)}

    def vjp(z, w, u, factor=1.0):
        of_angle = np.cos(z * w) * u["angle"]
        return 1e11 * u["energy"] + w * of_angle, factor * z * of_angle

    passes(f, Z, Z[::-1], vjp=vjp)
    with pytest.raises(GradientMismatch, match="wrong for w, right for z"):
        gradcheck(f, Z, Z[::-1], vjp=lambda z, w, u: vjp(z, w, u, 1.01))


# A backward pass that changes, or does not find, what its forward pass saved.


@pytest.mark.parametrize("n", [3, 30])
def test_a_backward_pass_does_not_change_what_was_saved(monkeypatch, n):
    monkeypatch.setitem(sys.modules, "torch", stand_ins.torch)
    x = Tensor(np.linspace(-1.0, 1.0, n))
    changed = []

    def halved(x):
        saved = np.exp(x)

        def read():
            found = saved.copy()
            np.multiply(saved, 0.5, out=saved)
            changed.append(saved)
            return found

        return Saved(read)

    gradcheck(elementwise(np.exp, lambda x: Saved(lambda: np.exp(x))), x)
    with pytest.raises(GradientMismatch, match="a second backward pass through the same graph gives another gradient"):
        gradcheck(elementwise(np.exp, halved), x)
    assert changed


@pytest.mark.parametrize("n", [3, 30])
def test_a_result_that_is_kept_outside_the_graph_is_that_of_another_call(monkeypatch, n):
    monkeypatch.setitem(sys.modules, "torch", stand_ins.torch)
    x = Tensor(np.linspace(-1.0, 1.0, n))
    kept = {}

    def value(x):
        kept["e"] = np.exp(x)
        return kept["e"]

    with pytest.raises(GradientMismatch, match="changes after calls of f elsewhere: does f store a result"):
        gradcheck(elementwise(value, lambda x: Saved(lambda: kept["e"])), x)


def test_a_backward_pass_that_cannot_run_twice_is_right(monkeypatch):
    """PyTorch's own error tells that a graph is gone."""
    monkeypatch.setitem(sys.modules, "torch", stand_ins.torch)

    def once(x):
        saved = [np.exp(x)]
        return Saved(lambda: saved.pop())

    gradcheck(elementwise(np.exp, once), Tensor(np.linspace(-1.0, 1.0, 3)))


# A mistake in one of many elements.


def swiglu(x, w):
    return w * x / (1.0 + np.exp(-x))


def of_swiglu(x, w, u):
    p = 1.0 / (1.0 + np.exp(-x))
    return u * w * p * (1.0 + x * (1.0 - p)), u * x * p


@pytest.mark.parametrize("seed", [0, *[pytest.param(seed, marks=pytest.mark.thorough) for seed in (1, 2)]])
def test_an_exhaustive_check_finds_a_mistake_in_one_of_many_elements(seed):
    random = np.random.default_rng(seed)
    x, w = random.normal(size=(2, 400)).astype("f")
    place = int(random.integers(400))
    factors = np.where(np.arange(400) == place, np.float32(1.1), np.float32(1.0))

    def vjp(x, w, u):
        of_x, of_w = of_swiglu(x, w, u)
        return of_x, factors * of_w

    gradcheck(swiglu, x, w, vjp=of_swiglu, exhaustive=True)
    with pytest.raises(GradientMismatch, match=rf"WRONG +df\[{place}\]/dw\[{place}\]") as caught:
        gradcheck(swiglu, x, w, vjp=vjp, exhaustive=True)
    assert "gradcheck(swiglu, x, w, vjp=vjp, exhaustive=True)" in str(caught.value)


def test_an_exhaustive_check_tells_of_each_element_that_noise_hides():
    def f(x):
        return np.float32(np.sum(x.astype(float) ** 3) + 1e6)

    x = np.random.default_rng(0).normal(size=40).astype("f")
    with pytest.raises(TooNoisy, match="and 32 more not compared"):
        gradcheck(f, x, gradient=lambda x: 3 * x**2, exhaustive=True)


def with_a_wrong_sign(df, x, size):
    """Return a gradient with a wrong sign in one element, and the size of this mistake relative to the norm.

    `size` says about how large the mistake should be. In the norm, each element counts with how far it may be moved.
    """
    moved = np.abs(df(x)) * element_scales(x.astype(float))
    sizes = 2.0 * moved / np.linalg.norm(moved)
    place = int(np.argmin(np.abs(sizes - size)))
    signs = np.where(np.arange(x.size) == place, np.float32(-1.0), np.float32(1.0))
    return (lambda x: signs * df(x)), sizes[place]


@pytest.mark.parametrize(
    ("seed", "size"),
    [
        *[(0, 0.006), (0, 0.008), (1, 0.009)],
        *[pytest.param(seed, size, marks=pytest.mark.thorough) for seed in range(6) for size in (0.005, 0.007, 0.02)],
    ],
)
def test_a_wrong_sign_in_one_of_many_elements_of_float32_is_found(seed, size):
    """Noise in short steps is no excuse for what longer steps have shown."""
    x = np.random.default_rng(seed).normal(size=1500).astype("f")
    gradient, _ = with_a_wrong_sign(lambda x: 2 * x, x, size)
    with pytest.raises(GradientMismatch):
        gradcheck(lambda x: (x * x).sum(), x, gradient=gradient, seed=seed)


@pytest.mark.parametrize(("seed", "size"), [(0, 0.004), (0, 0.012), (1, 0.012), (2, 0.006), (2, 0.01), (3, 0.004)])
def test_a_wrong_sign_that_noise_hides_is_smaller_than_the_result_tells(seed, size):
    """It is relative to the norm of the gradient, also where steps are shorter for small elements, as with seed 2."""

    def f(x):
        return np.log(np.exp(x).sum())

    def df(x):
        return np.exp(x) / np.exp(x).sum()

    x = np.random.default_rng(seed).normal(size=1500).astype("f")
    gradient, _ = with_a_wrong_sign(df, x, size)
    try:
        found = gradcheck(f, x, gradient=gradient, seed=seed)
    except GradientMismatch:
        return
    size = np.linalg.norm(gradient(x) - df(x)) / np.linalg.norm(df(x))
    assert size < min(c.hidden for c in found.comparisons if not math.isnan(c.hidden))


# Mistakes beside curvature, oscillation and rounding.


@pytest.mark.parametrize("beside", [[0.7], []])
def test_a_function_that_oscillates_quickly_is_not_taken_for_noise(beside):
    def f(a, *b):
        return math.sin(1e6 * a) + sum(b)

    def df(a, *b, factor=1.0):
        return (factor * 1e6 * math.cos(1e6 * a), *[1.0] * len(b)) if b else factor * 1e6 * math.cos(1e6 * a)

    passes(f, 0.3, *beside, gradient=df)
    with pytest.raises(GradientMismatch, match="a factor of 2 is missing"):
        gradcheck(f, 0.3, *beside, gradient=functools.partial(df, factor=0.5))


def logistic(a, x):
    for _ in range(30):
        x = a * x * (1.0 - x)
    return x


def of_logistic(a, x):
    da, dx = 0.0, 1.0
    for _ in range(30):
        da, dx, x = x * (1.0 - x) + a * (1.0 - 2.0 * x) * da, a * (1.0 - 2.0 * x) * dx, a * x * (1.0 - x)
    return da, dx


@pytest.mark.parametrize("wrong", ["a", "x"])
def test_a_mistake_in_the_derivative_of_a_chaotic_function_is_found(wrong):
    def df(a, x):
        da, dx = of_logistic(a, x)
        return (0.5 * da, dx) if wrong == "a" else (da, 0.5 * dx)

    passes(logistic, 3.9, 0.3, gradient=of_logistic)
    with pytest.raises(GradientMismatch, match=f"wrong for {wrong}, right for {'x' if wrong == 'a' else 'a'}"):
        gradcheck(logistic, 3.9, 0.3, gradient=df)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("size", [1e-8, 1e-4, 1e4])
def test_a_mistake_is_found_between_arguments_of_far_other_sizes(seed, size):
    x, s = np.random.default_rng(seed).normal(size=(2, 10)) * [[size], [1.0 / size]]

    def vjp(x, s, u, factor=1.0):
        slopes = u * (1.0 - np.tanh(x * s) ** 2)
        return slopes * s, slopes * x * np.where(np.arange(10) == 3, factor, 1.0)

    passes(lambda x, s: np.tanh(x * s), x, s, vjp=vjp)
    with pytest.raises(GradientMismatch, match="wrong for s, right for x"):
        gradcheck(lambda x, s: np.tanh(x * s), x, s, vjp=functools.partial(vjp, factor=1.03))


@pytest.mark.parametrize(
    ("seed", "missing"),
    [
        *[pytest.param(seed, 5000, marks=pytest.mark.thorough) for seed in (0, 1)],
        *[pytest.param(seed, 1024, marks=pytest.mark.slow) for seed in (2, 3, 4)],
    ],
)
def test_curvature_of_many_elements_of_float32_hides_no_missing_gradients(seed, missing):
    x = (4.0 * np.random.default_rng(seed).normal(size=100000)).astype("f")

    def df(x, missing):
        g = (1.0 / (1.0 + np.exp(-x)) / x.size).astype("f")
        g[x.size - missing :] = 0.0
        return g

    def f(x):
        return np.logaddexp(np.float32(0.0), x).mean()

    passes(f, x, gradient=lambda x: df(x, 0))
    with pytest.raises(GradientMismatch):
        gradcheck(f, x, gradient=lambda x: df(x, missing))


def gelu(x):
    x = np.asarray(x, float)
    return np.tanh(0.7978845608 * (x + 0.044715 * x**3))


@pytest.mark.parametrize("x", [[1.2], [2.0], [-1.5], [0.5]])
def test_a_mistake_in_half_precision_that_vanishes_over_larger_steps_is_no_rounding(x):
    def f(x):
        return (0.5 * x * (1.0 + gelu(x))).astype(np.float16)

    def vjp(x, u, part):
        second = (
            0.5 * x.astype(float) * (1.0 - gelu(x) ** 2) * 0.7978845608 * (1.0 + 3 * 0.044715 * x.astype(float) ** 2)
        )
        return (u * (0.5 * (1.0 + gelu(x)) + part * second)).astype(np.float16)

    passes(f, np.float16(x), vjp=lambda x, u: vjp(x, u, 1.0))
    with pytest.raises(GradientMismatch):
        gradcheck(f, np.float16(x), vjp=lambda x, u: vjp(x, u, 0.0))


def test_a_check_tells_what_noise_hides_in_a_large_array():
    """Along directions in which changes of the sum cancel, rounding of the large number hides a part of the norm."""

    def f(x):
        return np.float32(np.sum(x, dtype=float) + 1e7)

    x = np.random.default_rng(0).normal(size=40000).astype("f")
    with pytest.warns(
        PartlyCompared, match=r"whole gradient .* a mistake of \d+% of the gradient's norm would not show"
    ):
        found = gradcheck(f, x, gradient=lambda x: np.ones_like(x))
    assert "of the gradient's norm are hidden" in repr(found)
    assert "hidden" not in repr(gradcheck(lambda x: (x * x).sum(), x[:2000], gradient=lambda x: 2 * x))


def test_a_check_tells_of_mistakes_as_large_as_the_gradient_and_of_no_share_above_1():
    """Rounding of the large number hides changes that are larger than the gradient's norm."""

    def f(x):
        return np.float32(np.sum(x, dtype=float) + 1e8)

    x = np.random.default_rng(0).normal(size=40000).astype("f")
    with pytest.warns(PartlyCompared, match="whole gradient .* a mistake as large as the gradient's norm would not sh"):
        found = gradcheck(f, x, gradient=lambda x: np.ones_like(x))
    assert 1.0 < min(c.hidden for c in found.comparisons if not math.isnan(c.hidden)) < math.inf
    assert "mistakes as large as the gradient's norm are hidden" in repr(found)


# Functions that are no noise, and derivatives that are no mistakes.


def test_a_derivative_between_poles_that_are_nearer_than_the_steps_is_not_called_wrong():
    """At -41391.3, all steps that suit the size of the number are whole numbers, and so are the distances of poles."""

    def f(x):
        x = x.astype(float)
        return (x * np.log(np.abs(x)) - np.log(np.abs(np.sin(np.pi * x)))).astype("f")

    def vjp(x, u):
        x = x.astype(float)
        return (u * (np.log(np.abs(x)) + 1.0 - np.pi / np.tan(np.pi * x))).astype("f")

    for x in ([-41391.296875], [-2280.1067], [-8523.195]):
        with warnings.catch_warnings(), contextlib.suppress(NothingCompared):
            warnings.simplefilter("ignore", PartlyCompared)
            gradcheck(f, np.array(x, "f"), vjp=vjp)
    with pytest.raises(GradientMismatch):
        gradcheck(lambda x: x * np.log(-x), np.array([-41391.296875], "f"), vjp=vjp)


@pytest.mark.parametrize("seed", range(5))
def test_kinks_that_are_far_nearer_than_the_steps_are_no_mistakes(seed):
    """Rounding beside 1 absorbs steps of 1e-8, and larger ones step over the kinks of all elements."""

    def f(x):
        return (1.0 - np.abs(x.astype(float))).astype("f")

    x = (1e-8 * np.random.default_rng(seed).normal(size=5)).astype("f")
    with warnings.catch_warnings(), contextlib.suppress(TooNoisy):
        warnings.simplefilter("ignore", PartlyCompared)
        gradcheck(f, x, vjp=lambda x, u: -u * np.sign(x))


@pytest.mark.parametrize(("n", "factor", "seed"), [(60, 0.0, 0), (200, 1.2, 0), (200, 1.2, 1)])
def test_rounding_of_many_terms_in_half_precision_excuses_no_wrong_element(n, factor, seed):
    random = np.random.default_rng(seed)
    x, place = random.normal(size=n).astype(np.float16), int(random.integers(n))
    factors = np.where(np.arange(n) == place, factor, 1.0)

    def f(x):
        x = x.astype(float)
        return np.float16((x * x).sum() / 8 if factor == 0.0 else np.tanh(x))

    def vjp(x, u):
        x = x.astype(float)
        return np.float16(u * x / 4 if factor == 0.0 else u * (1.0 - np.tanh(x) ** 2))

    gradcheck(f, x, vjp=vjp, seed=seed)
    with pytest.raises(GradientMismatch):
        gradcheck(f, x, vjp=lambda x, u: vjp(x, u) * factors, seed=seed)


@pytest.mark.parametrize("factor", [0.0, 2.0])
def test_a_wrong_element_in_half_precision_is_found_beside_larger_ones(factor):
    weights = np.ones(20, np.float16)
    weights[7] = 0.0015
    wrong = weights.copy()
    wrong[7] *= factor
    x = np.linspace(0.5, 1.5, 20, dtype=np.float16)
    gradcheck(lambda x: x * weights, x, vjp=lambda x, u: u * weights, exhaustive=True)
    with pytest.raises(GradientMismatch):
        gradcheck(lambda x: x * weights, x, vjp=lambda x, u: u * wrong, exhaustive=True)


# What rounding hides is not called right.


@pytest.mark.parametrize(
    ("f", "x", "vjp"),
    [
        (lambda x: (x**4).sum(), np.array([0.0, 1e9]), of_size),
        (lambda x: (x**4).sum(), np.array([0.0, 1e6], "f"), of_size),
        (lambda x: 1e24 * x[0] + x[1], np.array([1.0, 1.0]), lambda x, u: u * np.array([1e24, -5.0])),
        (lambda x: np.exp(x).sum(), np.array([80.0, 1.0], "f"), lambda x, u: u * np.exp(x) * np.array([1, -1], "f")),
    ],
)
def test_a_derivative_far_below_the_estimated_error_counts_as_not_compared(f, x, vjp):
    with pytest.warns(PartlyCompared, match="1 of 2 derivatives not compared"):
        gradcheck(f, x, vjp=vjp)


def test_a_derivative_that_is_rounding_keeps_its_verdict():
    passes(np.cos, np.array([math.pi, 0.0]), vjp=lambda x, u: -u * np.sin(x))
    passes(lambda x: (x * x).sum(), np.array([1e-20, 1.0]), vjp=lambda x, u: 2 * u * x)
    passes(lambda x: (x**4).sum(), np.array([0.0, 1e9]), vjp=lambda x, u: 4 * u * x**3)


@pytest.mark.thorough
def test_a_mistake_in_some_of_many_elements_of_float32_is_found_along_several_directions():
    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    def gradient(x):
        found = sigmoid(x) * (1 + x * (1 - sigmoid(x)))
        found[-1000:] = 0
        return found

    for seed in range(4):
        x = (4 * np.random.default_rng(0).standard_normal(100_000)).astype("f")
        with pytest.raises(GradientMismatch, match="wrong for x"):
            gradcheck(lambda x: (x * sigmoid(x)).sum(), x, gradient=gradient, seed=seed)
