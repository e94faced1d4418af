"""What a `Value` does not have is refused with the code to write instead, and code that looks for it is not misled."""

import copy
import inspect
import math
import pickle
import random
import re
import timeit

import numpy as np
import pytest

import micrograd_cn
from micrograd_cn import Value, equal, less, less_equal, no_grad, step, where
from micrograd_cn.compiler import compile as compile_function
from micrograd_cn.graph.unsupported import INSTEAD

# What comes after the code in a message.
NOTE = re.compile(r" itself\b| after backward\(\)| for (a (?!in )|the |two |lists|arrays)|, wh(ich|ose) |, because ")


@pytest.mark.parametrize("name", INSTEAD)
def test_an_attribute_of_another_library_is_refused_with_code_that_runs(name):
    x, y, z = Value(0.5, "x"), Value(0.25), Value(1.0)
    with pytest.raises(AttributeError) as refused:
        getattr(x, name)
    assert str(refused.value) == f"'Value' object has no attribute {name!r}; write {INSTEAD[name]}"
    with pytest.raises(AttributeError, match=f"no attribute {name!r}; write"):
        setattr(x, name, 1)
    if re.search(r"data.*=", INSTEAD[name]):
        y, z = y.data, z.data
    names = {**vars(micrograd_cn), "max": max, "min": min, "abs": abs, "round": round, "np": np, "math": math}
    names |= {"random": random, "draw_dot": micrograd_cn.draw_dot, "x": x, "y": y, "z": z}
    names |= {"xs": [Value(1.0), Value(2.0)], "ys": [Value(3.0), 1.0]}
    for alternative in INSTEAD[name].split(", or "):
        exec(NOTE.split(alternative)[0], names)


FORMULAS = {
    "square": lambda x: x * x,
    "rsqrt": lambda x: x**-0.5,
    "sign": np.sign,
    "acosh": np.arccosh,
    "asinh": np.arcsinh,
    "atanh": np.arctanh,
    "logit": lambda x: np.log(x / (1 - x)),
    "ln": np.log,
    "cube": lambda x: x * x * x,
    "logsigmoid": lambda x: np.log(1 / (1 + np.exp(-x))),
    "swish": lambda x: x / (1 + np.exp(-x)),
    "mish": lambda x: x * np.tanh(np.log1p(np.exp(x))),
    "softsign": lambda x: x / (1 + abs(x)),
    "relu6": lambda x: np.clip(x, 0, 6),
    "ceil": np.ceil,
    "trunc": np.trunc,
    "round": np.round,
    "isnan": np.isnan,
    "isinf": np.isinf,
    "isfinite": np.isfinite,
}


@pytest.mark.parametrize("name", FORMULAS)
def test_the_code_has_the_number_of_the_other_library(name):
    x = Value(1.25 if name == "acosh" else 0.75)
    y = eval(INSTEAD[name].partition(", whose")[0], {**vars(micrograd_cn), "x": x, "math": math, "round": round})
    assert getattr(y, "data", y) == pytest.approx(FORMULAS[name](x.data))
    assert ".data" not in INSTEAD[name]  # which a compiled function refuses


def test_code_that_looks_for_an_attribute_finds_none():
    x = Value(3.0)
    assert not any(hasattr(x, name) or hasattr(Value, name) for name in INSTEAD)
    assert getattr(x, "clamp", None) is None
    assert not set(INSTEAD) & set(dir(x))
    assert {"data", "tanh", "backward"} <= set(dir(x))
    assert not any(hasattr(x, name) for name in ("__len__", "__iter__", "__getitem__", "__call__"))
    assert np.array([x, x]).shape == (2,)
    assert copy.deepcopy(x).data == pickle.loads(pickle.dumps(x)).data == 3.0
    assert inspect.getdoc(Value.__dict__.get("clamp", inspect.getattr_static(Value, "clamp"))).startswith("There is no")


def test_a_subclass_may_have_the_attribute():
    class Named(Value):
        def __init__(self, data, name):
            super().__init__(data)
            self.name = name

        def clamp(self, low, high):
            return min(max(self.data, low), high)

        @property
        def value(self):
            return self.data

    x = Named(3.0, "x")
    assert (x.name, x.clamp(0, 1), x.value) == ("x", 1, 3.0)
    assert {"name", "clamp", "value"} <= set(dir(x))
    del x.name
    with pytest.raises(AttributeError, match="'Named' object has no attribute 'name'; write x"):
        _ = x.name


def test_numpy_finds_that_a_value_has_no_array_interface_as_fast_as_for_an_object():
    class Plain:
        __slots__ = ()

    times = [
        min(timeit.repeat(lambda xs=xs: np.array(xs), number=200, repeat=5))
        for xs in ([Value(1.0)] * 20, [Plain() for _ in range(20)])
    ]
    assert times[0] < 4 * times[1]  # with a `__getattr__`, it is 18


@pytest.mark.parametrize(
    ("apply", "instead"),
    [
        (lambda x: x @ x, r"@ of a Value; write dot\(xs, ys\) for lists of numbers, x \* y for two numbers"),
        (lambda x: [1.0] @ x, r"@ of a Value; write dot\(xs, ys\)"),
        (lambda x: x @ np.ones(2), r"@ of a Value; write dot\(xs, ys\)"),
        (lambda x: x << 1, r"<< of a Value; write x \* 2 \*\* y"),
        (lambda x: 1 << x, r"<< of a Value; write x \* 2 \*\* y"),
        (lambda x: x >> 1, r">> of a Value; write x / 2 \*\* y"),
        (lambda x: 1 >> x, r">> of a Value; write x / 2 \*\* y"),
        (lambda x: divmod(x, 2), r"divmod\(\) of a Value; write floor\(x / y\) and x % y"),
        (lambda x: divmod(2, x), r"divmod\(\) of a Value; write floor\(x / y\) and x % y"),
    ],
)
def test_an_operator_without_an_operation_says_what_to_write(apply, instead):
    with pytest.raises(TypeError, match=f"there is no operation for {instead}"):
        apply(Value(3.0))


@pytest.mark.parametrize(
    "use",
    [
        lambda x: [1, 2][x],
        lambda x: [1, 2][x:],
        lambda x: range(x),
        lambda x: [1] * x,
        lambda x: x * [1],
        lambda x: hex(x),
        lambda x: math.factorial(x),
    ],
)
def test_an_index_or_a_count_says_what_to_write(use):
    with pytest.raises(TypeError, match=r"an index or a count would lose its graph; write take\(xs, x\) .*\* a for"):
        use(Value(1.0))


def all_of_one(x):
    return all([x])


@pytest.mark.parametrize("condition", [less, less_equal, equal, lambda x, y: step(x)])
@pytest.mark.parametrize("x", [1.0, 3.0])
def test_the_result_of_a_comparison_is_no_condition_of_python(condition, x):
    c = condition(Value(x), 2.0)
    for use in (
        bool,
        lambda c: not c,
        lambda c: 1 if c else 2,
        lambda c: all([c]),
        lambda c: np.where(np.array([c]), 1, 2),
    ):
        with pytest.raises(TypeError, match=r"gives a Value, which is true whatever its number; write x < y, or where"):
            use(c)
    assert where(c, 5.0, 6.0).data == (5.0 if c.data else 6.0)


def test_other_values_are_true():
    assert all([Value(0.0), Value(0.0) * 2, Value(-1.0).relu(), where(less(Value(3.0), 2), 1.0, 0.0)])
    with no_grad():
        assert Value(0.0)
    assert compile_function(lambda x: where(less(x, 2.0), x, 0.0))(1.0) == 1.0


TRUTH = {
    "any": lambda z: np.any(z),
    "all": lambda z: np.all(z),
    "a method": lambda z: z.any(),
    "nonzero": lambda z: np.nonzero(z),
    "count_nonzero": lambda z: np.count_nonzero(z),
    "argwhere": lambda z: np.argwhere(z),
    "astype": lambda z: z.astype(bool),
    "astype of an expression": lambda z: (z * 1.0).astype(bool),
    "array": lambda z: np.array(z, dtype=bool),
    "where": lambda z: np.where(z, 1.0, 2.0),
    "compress": lambda z: np.compress(z, [1, 2]),
    "logical_not": lambda z: np.logical_not(z),
    "reduce": lambda z: np.logical_and.reduce(z, dtype=bool),
}


@pytest.mark.parametrize("name", TRUTH)
def test_functions_that_would_take_a_zero_for_true_are_refused(name):
    zeros, ones = np.array([Value(0.0), Value(0.0)]), np.array([Value(1.0), Value(-2.0)])
    with pytest.raises(TypeError, match="would take a 0 among them for true; write a comparison, such as x > 0"):
        TRUTH[name](zeros)
    if name in ("any", "all", "nonzero", "argwhere"):
        with pytest.raises(TypeError, match=rf"^np\.{name}\(\) of an array of Values"):
            TRUTH[name](zeros)
    assert np.array_equal(TRUTH[name](ones), TRUTH[name](np.array([1.0, -2.0])))
    assert np.array_equal(TRUTH[name](abs(zeros) > 0), TRUTH[name](np.zeros(2) > 0)) or "astype" in name


def test_python_takes_a_zero_for_true_beside_functions_of_numpy():
    x = Value(0.0)
    assert [np.where([bool(v)], 1, 2)[0] for v in (x, Value(1.0)) if v] == [1, 1]
    assert all([x, x])
    assert np.array([x]).astype(object)[0] is x


def test_the_parts_of_a_complex_number_say_that_a_value_is_real():
    x = Value(2.0)
    with pytest.raises(AttributeError, match="write x itself, which is a real number"):
        x.real  # noqa: B018 -- reading the attribute raises the error
    with pytest.raises(AttributeError, match=r"write 0\.0, because a Value is a real number"):
        x.imag  # noqa: B018 -- reading the attribute raises the error
    assert np.asarray(np.real(x), dtype=object).item() is x  # newer versions of numpy give x without an array
