"""A `Value` is never converted to a plain number in silence: the error says what to write instead."""

import builtins
import math
import re
import statistics
from math import exp

import numpy as np
import pytest

import micrograd_cn
from micrograd_cn import Value
from micrograd_cn.compiler import compile as compile_function
from micrograd_cn.functional import value_and_grad
from micrograd_cn.nn import MLP

MODEL = MLP(2, [1], activation="tanh", seed=0)


def spread(*xs):
    return math.fsum(xs)


def store(array):
    """Return a function that assigns its argument to the first element of the array."""

    def assign(x):
        array[0] = x

    return assign


@pytest.mark.parametrize(
    ("convert", "instead"),
    [
        (lambda x: float(x), "float() of a Value would lose its graph; write x.data for the number"),
        (
            lambda x: np.gradient([x, x]),
            "np.gradient() of a Value would lose its graph; write (x[2:] - x[:-2]) / 2, with",
        ),
        (lambda x: int(x), "int() of a Value would lose its graph; write x.data for the number"),
        (lambda x: round(x), "round() of a Value would lose its graph; write x.data for the number"),
        (
            lambda x: builtins.round(x, 2),
            "builtins.round() of a Value would lose its graph; write x.data for the number",
        ),
        (lambda x: "%.2f" % x, "float() of a Value would lose its graph; write x.data for the number"),  # noqa: UP031
        (
            lambda x: list(map(math.exp, [x])),
            "math.exp() of a Value would lose its graph; write micrograd_cn.exp(x), or",
        ),
        (
            lambda x: list(map(int, [x * math.sqrt(4.0)])),
            "list() of a Value would lose its graph; write x.data for the number",
        ),
        (lambda x: sorted([x, x], key=math.exp), "math.exp() of a Value would lose its graph; write micrograd_cn.exp"),
        (lambda x: math.exp(x), "math.exp() of a Value would lose its graph; write micrograd_cn.exp(x), or x.data for"),
        (
            lambda x: math.pow(x, 2),
            "math.pow() of a Value would lose its graph; write micrograd_cn.pow(x, y), or",
        ),
        (lambda x: math.fabs(x), "math.fabs() of a Value would lose its graph; write abs(x), or x.data for the number"),
        (lambda x: math.log2(x), "write micrograd_cn.log(x) / math.log(2), or x.data for the number alone"),
        (lambda x: spread(x, x), "math.fsum() of a Value would lose its graph; write micrograd_cn.sum(xs), or x.data"),
        (lambda x: math.trunc(x), "math.trunc() of a Value would lose its graph; write micrograd_cn.where("),
        (lambda x: np.trunc(np.array([x])), "x.floor()), whose derivative is 0, or x.data for the number alone"),
        (
            lambda x: math.exp(
                x + 1,
            ),
            "math.exp() of a Value would lose its graph; write micrograd_cn.exp(x)",
        ),
        (
            lambda x: exp(x),
            "exp() of a Value would lose its graph; write micrograd_cn.exp(x), or x.data for the number",
        ),
        (lambda x: math.log(x), "write micrograd_cn.log(x), or x.data for the number alone"),
        (lambda x: math.log(x, 2), "write micrograd_cn.log(x) / micrograd_cn.log(y), or x.data for the number alone"),
        (lambda x: math.log(8, x), "write micrograd_cn.log(x) / micrograd_cn.log(y), or x.data for the number alone"),
        (
            store(np.zeros(3)),
            "array of numbers would lose its graph; make the array with dtype=object, or write x.data",
        ),
        (store(np.zeros(3, int)), "array of numbers would lose its graph; make the array with dtype=object"),
        (lambda x: np.zeros(3).__setitem__(0, x), "float() of a Value would lose its graph; write x.data"),
        (
            lambda x: np.array([x], dtype=float),
            "np.array() of Values would lose their graph; write np.array(xs, dtype=object) for an array of Values, "
            "or [x.data for x in xs] for the numbers alone",
        ),
        (
            lambda x: np.array([x]).astype(float),
            "astype() of Values would lose their graph; write np.array(xs, dtype=object)",
        ),
        (
            lambda x: np.asarray([x], np.float32),
            "np.asarray() of Values would lose their graph; write np.array(xs, dtype=object)",
        ),
        (lambda x: np.interp(x, [0, 1], [1, 2]), "would lose its graph; write a + (x - x0) * (b - a) / (x1 - x0) betw"),
        (lambda x: setattr(x, "data", x - 0.1), "expected a real number, got Value; write x.data for the number"),
        (lambda x: eval("float(x)", {"x": x}), "float() of a Value would lose its graph; write x.data"),
        (lambda x: x.tanh(3), "Value.tanh() takes 1 positional argument but 2 were given"),
    ],
)
def test_a_conversion_to_a_plain_number_says_what_to_write(convert, instead):
    x = Value(3)
    with pytest.raises(TypeError, match=re.escape(instead)):
        convert(x)
    assert x.data == 3.0


@pytest.mark.parametrize(
    ("convert", "numbers"),
    [
        (lambda x, y: math.gamma(x), [(0.5, 0.0), (3.5, 0.0)]),
        (lambda x, y: math.remainder(x, y), [(5.0, 3.0), (-5.0, 3.0), (3.0, 2.0), (5.0, 2.0), (7.5, -2.0)]),
        (lambda x, y: math.fmod(x, y), [(5.0, 3.0), (1.25, 0.5)]),
        (lambda x, y: math.copysign(x, y), [(2.0, -1.0), (-2.0, 1.0), (-2.0, -1.0)]),
        (lambda x, y: math.dist([x, y], [y, 1.0]), [(0.5, 2.0)]),
        (lambda x, y: math.trunc(x), [(1.75, 0.0), (-1.75, 0.0), (-2.0, 0.0)]),
    ],
)
def test_what_an_error_says_to_write_gives_the_number_of_the_function(convert, numbers):
    """`math.remainder` rounds x / y to the next integer, so it is not the operation of this name, which is x % y."""
    for x, y in numbers:
        with pytest.raises(TypeError, match="would lose its graph") as error:
            convert(Value(x), Value(y))
        written = str(error.value).partition("; write ")[2].removesuffix(", or x.data for the number alone")
        written = re.split(", with z|, for x|, whose", written)[0]
        names = {"x": Value(x), "y": Value(y), "z": Value(x) / y, "xs": [Value(x), Value(y)], "ys": [Value(y), 1.0]}
        assert eval(written, names | {"micrograd_cn": micrograd_cn}).data == pytest.approx(convert(x, y), rel=1e-14)


def test_what_needs_no_conversion_works_as_before():
    x, y = Value(3), Value(1)
    assert [v.dtype for v in (np.array([x]), np.array([[x, 2], [3, y]]), np.asarray(x))] == [np.dtype("O")] * 3
    assert type(np.float64(2) * x) is Value
    assert max([y, x]) is x
    assert sorted([x, y]) == [y, x]
    assert sum([x, y]).data == 4.0
    assert math.prod([x, y]).data == 3.0
    assert (f"{x:.2f}", f"{x}") == ("3.00", repr(x))


def test_a_recorded_function_refuses_a_conversion_in_its_own_words():
    with pytest.raises(TypeError, match=r"^float\(\) of a Value would be the same number for every sample") as caught:
        compile_function(lambda x: x * float(x))(2.0)
    assert "is recorded with Values" in caught.value.__notes__[0]


def test_a_value_in_an_array_of_a_compiled_function_is_answered_without_the_number_alone():
    """The number would be that of one sample."""

    def f(x):
        array = np.zeros(2)
        array[0] = x
        return array.sum()

    with pytest.raises(TypeError, match=r"make the array with dtype=object$"):
        compile_function(f)(2.0)


@pytest.mark.parametrize("function", [statistics.mean, statistics.stdev, statistics.variance])
def test_the_module_statistics_is_answered_with_what_to_write(function):
    with pytest.raises(
        TypeError, match=r"in the module statistics, would lose its graph; write micrograd_cn\.mean\(xs\)"
    ):
        function([Value(1.0), Value(2.0)])


def test_scipy_is_given_numbers_by_a_compiled_derivative():
    """A function with parameters gives `Value`s to scipy, and the error says what to write."""
    optimize = pytest.importorskip("scipy.optimize")

    def with_parameters(v):
        return (MODEL(v) - 1.0) ** 2

    def from_a_leaf(v):
        return sum([(x - 1.0) ** 2 for x in v], Value(0))

    for f in (with_parameters, from_a_leaf):
        with pytest.raises((TypeError, ValueError)) as caught:
            optimize.minimize(value_and_grad(f), [0.3, 0.1], jac=True)
        told = f"{caught.value} {caught.value.__cause__}"  # some versions of scipy raise an error of their own from it
        assert "write compile(value_and_grad(f)), which gives numbers" in told
        assert optimize.minimize(compile_function(value_and_grad(f)), [0.3, 0.1], jac=True).fun < 1e-6
