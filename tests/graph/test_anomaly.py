"""Inside `detect_anomaly()`, the first number that is not finite is an error that says where it came from."""

import math

import pytest

import micrograd_cn as mc
from micrograd_cn import Value, detect_anomaly, gradients, less, maximum, no_grad, relu, take, where


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda x: x.log(), r"log\(x=0.0\) gave -inf"),
        (lambda x: 1 / x, r"div\(1.0, x=0.0\) gave inf"),
        (lambda x: x * math.inf, r"mul\(x=0.0, inf\) gave nan"),
        (lambda x: (x + 710).exp(), r"exp\(710.0\) gave inf"),
        (
            lambda x: mc.sum([x] * 20 + [math.nan]),
            r"sum\(x=0.0, x=0.0, x=0.0, x=0.0, ..., x=0.0, x=0.0, nan\) gave nan",
        ),
        (lambda x: mc.sum([1, 2, 3, 4, 5, 6, x, math.nan]), r"sum\(1.0, 2.0, 3.0, 4.0, 5.0, 6.0, x=0.0, nan\)"),
        (lambda x: mc.sum([1, 2, 3, 4, 5, 6, 7, x, math.nan]), r"sum\(1.0, 2.0, 3.0, 4.0, ..., 7.0, x=0.0, nan\)"),
    ],
)
def test_detect_anomaly_names_the_first_value_that_is_not_finite(f, message):
    x = Value(0, "x")
    assert not math.isfinite(f(x).data)
    with detect_anomaly(), pytest.raises(FloatingPointError, match=message):
        f(x)


def test_detect_anomaly_names_the_first_gradient_that_is_not_finite():
    x = Value(0, "x")
    root = x.sqrt()
    root.label = "root"
    y = root * 2
    y.backward()
    assert x.grad == math.inf
    with detect_anomaly(), pytest.raises(FloatingPointError, match=r"'root' sqrt\(x=0.0\): .* operand 0 became inf"):
        y.backward()


def test_detect_anomaly_watches_gradients_too():
    x = Value(0, "x")
    y = x.sqrt()
    with detect_anomaly(), pytest.raises(FloatingPointError, match=r"with respect to Value\(data=0.0.*'x'\) is inf"):
        gradients(y, [x])
    with detect_anomaly(), pytest.raises(FloatingPointError, match=r"div\(0.5, 0.0\) gave inf"):
        gradients(y, [x], create_graph=True)
    z = (x * 3).sqrt()
    with detect_anomaly(), pytest.raises(FloatingPointError, match=r"= mul\(x=0.0, 3.0\) is inf"):
        gradients(z, [x])


def test_detect_anomaly_also_watches_inside_no_grad_and_lets_finite_graphs_pass():
    x = Value(2)
    with detect_anomaly():
        y = x * x + x.log()
        assert gradients(y, [x]) == [4.5]
        y.backward()
        with no_grad(), pytest.raises(FloatingPointError, match="log"):
            (x - 2).log()
    assert x.grad == 4.5


@pytest.mark.parametrize(
    "f",
    [
        lambda x: where(0.0, x.sqrt(), x),
        lambda x: where(less(1.0, x), x.sqrt(), x) + x.relu(),
        lambda x: take([x, x.sqrt()], 0),
        lambda x: maximum(x.sqrt(), 1.0),
        lambda x: relu(-x.sqrt()),
    ],
)
def test_detect_anomaly_lets_pass_what_flows_nowhere(f):
    x = Value(0, "x")
    with detect_anomaly():
        y = f(x)
        y.backward()
        [first] = gradients(y, [x], create_graph=True)
        assert (first.data, gradients(y, [x])) == (x.grad, [x.grad])
        assert gradients(first, [x]) == [0.0]
