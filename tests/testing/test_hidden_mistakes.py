"""Mistakes that hide where a numerical derivative is hard to compute: beside large numbers, near poles and kinks."""

import warnings

import numpy as np
import pytest

from micrograd_cn.testing import GradientMismatch, PartlyCompared, gradcheck


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


# Near poles, where float32 has few digits.


@pytest.mark.parametrize("x", [[0.9], [0.99], [-0.999], [0.9, 0.99, -0.999]])
def test_a_wrong_sign_is_found_near_a_pole(x):
    x = np.array(x, "f")
    passes(np.arctanh, x, vjp=lambda x, u: u / (1 - x * x))
    with pytest.raises(GradientMismatch) as caught:
        gradcheck(np.arctanh, x, vjp=lambda x, u: -u / (1 - x * x))
    assert "too noisy" not in str(caught.value)
