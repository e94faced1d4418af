"""numpy's functions work on arrays of `Value`s, or say what to write instead."""

import math

import numpy as np
import pytest

from micrograd_cn import Value, gradients
from micrograd_cn.compiler import compile as compile_function
from micrograd_cn.graph.numpy_methods import NumpyMethods

ONE = ["arcsin", "arccos", "arctan", "fabs", "exp2", "deg2rad", "rad2deg", "radians", "degrees", "conjugate"]
TWO = ["arctan2", "hypot"]
NONE = ["log2", "log10", "cbrt", "arcsinh", "arccosh", "arctanh", "rint"]
POINTS = [-0.75, -0.25, 0.5]


def slope(f, x):
    return (f(x + 1e-6) - f(x - 1e-6)) / 2e-6


def test_every_method_is_tested_here():
    assert {name for name in vars(NumpyMethods) if not name.startswith("_")} == {*ONE, *TWO, *NONE}


@pytest.mark.parametrize("name", ONE)
def test_a_function_of_one_array_has_numpys_values_and_slopes(name):
    f = getattr(np, name)
    xs = np.array([Value(x) for x in POINTS])
    ys = f(xs)
    assert [y.data for y in ys] == pytest.approx(f(np.array(POINTS)).tolist(), rel=1e-15)
    for x, y in zip(xs, ys, strict=True):
        assert gradients(y, [x]) == pytest.approx([slope(f, x.data)], rel=1e-8)
    assert f(Value(0.5)).data == pytest.approx(f(0.5), rel=1e-15)
    assert compile_function(lambda x: f(x))(0.5) == pytest.approx(f(0.5), rel=1e-15)


@pytest.mark.parametrize("name", TWO)
def test_a_function_of_two_arrays_has_numpys_values_and_slopes(name):
    f = getattr(np, name)
    xs = np.array([Value(x) for x in POINTS])
    ys = f(xs, 2.0)
    assert [y.data for y in ys] == pytest.approx(f(np.array(POINTS), 2.0).tolist(), rel=1e-15)
    for x, y in zip(xs, ys, strict=True):
        assert gradients(y, [x]) == pytest.approx([slope(lambda t: f(t, 2.0), x.data)], rel=1e-8)


def test_variance_and_standard_deviation():
    xs = np.array([Value(1), Value(3), Value(8)])
    assert np.var(xs).data == pytest.approx(np.var([1, 3, 8]), rel=1e-15)
    y = np.std(xs)
    assert y.data == pytest.approx(np.std([1, 3, 8]), rel=1e-15)
    assert gradients(y, [xs[2]]) == pytest.approx([slope(lambda t: np.std([1, 3, t]), 8)], rel=1e-8)


@pytest.mark.parametrize("name", NONE)
def test_a_function_without_an_operation_says_what_to_write(name):
    x = Value(1.5 if name == "arccosh" else 0.5)
    with pytest.raises(
        TypeError, match=rf"^np\.{name}\(\) of a Value: there is no operation for it; write (.*)$"
    ) as found:
        getattr(np, name)(np.array([x]))
    code = found.value.args[0].partition("; write ")[2].partition(", ")[0]
    if name == "arcsinh":
        code = "(x + hypot(x, 1)).log()"
    y = eval(code, {"x": x, "math": math, "hypot": __import__("micrograd_cn").hypot})
    assert getattr(y, "data", y) == pytest.approx(getattr(np, name)(x.data), rel=1e-12)
