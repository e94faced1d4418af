"""Tests of `compiler.function.caught`: functions that catch an arithmetic error which only numbers raise."""

from contextlib import suppress

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.guards import GuardError
from micrograd_cn.optim import SGD


def sinc(x):
    try:
        return mc.sin(x) / x
    except ZeroDivisionError:
        return 1.0


def safe_square(x):
    try:
        return x**2
    except OverflowError:
        return 7.0


def safe_power(x):
    try:
        return x**-1
    except ArithmeticError:
        return 7.0


def remainder(x):
    try:
        return 1 % x
    except Exception:  # the handler that is tested
        return 7.0


def suppressed(x):
    found = 0.0
    with suppress(ZeroDivisionError):
        found = 1 / x
    return found + x


def ratio(x, y):
    try:
        return x / y
    except ZeroDivisionError:
        return 0.0


@pytest.mark.parametrize(
    ("function", "x", "singular", "error"),
    [
        (sinc, 0.5, 0.0, "ZeroDivisionError"),
        (safe_square, 0.5, 1e200, "OverflowError"),
        (safe_power, 0.5, 0.0, "ZeroDivisionError"),
        (remainder, 0.5, 0.0, "ZeroDivisionError"),
        (suppressed, 0.5, 0.0, "ZeroDivisionError"),
        (lambda xs: ratio(1.0, xs[1]), [0.0, 2.0], [2.0, 0.0], "ZeroDivisionError"),
    ],
)
@pytest.mark.parametrize("branches", [False, True])
def test_a_function_that_catches_an_error_is_refused_where_numbers_raise_it(function, x, singular, error, branches):
    """The sample may be the first one or a later one. Other samples are computed."""
    compiled = compile(function, branches=branches)
    assert compiled(x) == pytest.approx(function(x))
    for f in (compiled, compile(function, branches=branches)):
        with pytest.raises(
            TypeError, match=rf"line \d+, an operator raises {error} for numbers, which the code catches"
        ):
            f(singular)
    assert compiled(x) == pytest.approx(function(x))


@pytest.mark.parametrize("branches", [False, True])
@pytest.mark.parametrize("place", range(4))
def test_an_operator_that_raises_is_found_beside_others_that_raise_nothing(place, branches):
    """They are a sum, a division by a parameter, and one by a number."""
    w = Value(4.0)

    def function(x):
        steps = [lambda: x + 1.0, lambda: 1.0 / w, lambda: x / 2.0]
        steps.insert(place, lambda: 1.0 / x)
        try:
            return sum([step() for step in steps])
        except ArithmeticError:
            return 7.0

    compiled = compile(function, branches=branches)
    assert compiled(2.0) == 4.75
    with pytest.raises(TypeError, match="an operator raises ZeroDivisionError for numbers, which the code catches"):
        compiled(0.0)


def test_numpys_errors_are_seen_where_the_code_switches_them_on():
    """np.log of 0 raises FloatingPointError inside `np.errstate(divide="raise")`, and -inf without it."""

    def function(x):
        with np.errstate(divide="raise"):
            try:
                return np.log(x).sum()
            except FloatingPointError:
                return 7.0

    compiled = compile(function)
    assert compiled(np.ones(2)) == 0.0
    with pytest.raises(TypeError, match="an operator raises FloatingPointError for numbers"):
        compiled(np.zeros(2))

    def without(x):
        try:
            return (1 / x).sum()
        except (ZeroDivisionError, FloatingPointError):
            return 7.0

    assert compile(without)(np.zeros(2)) == np.inf


def test_fit_is_refused_before_it_spoils_a_parameter():
    """The row that raises the error need not be the first one."""
    w = Value(2.0)
    with pytest.raises(TypeError, match=r"which the code catches.*where.equal"):
        compile(lambda x, y: (w * ratio(1.0, x) - y) ** 2).fit([(2.0, 1.0), (0.0, 1.0)], SGD([w], lr=0.1), epochs=1)
    assert w.data == 2.0


def test_a_handler_that_does_what_a_value_does_is_not_refused():
    """The program for numbers that raise the error is another branch."""

    def inverse(x):
        try:
            return 1 / x
        except ZeroDivisionError:
            return mc.div(1.0, x)

    compiled = compile(inverse, branches=True)
    assert [compiled(2.0), compiled(0.0), compiled(4.0)] == [0.5, np.inf, 0.25]
    fixed = compile(inverse)
    assert fixed(2.0) == 0.5
    with pytest.raises(GuardError, match=r"where the code catches ZeroDivisionError: x == 0.0 holds, but did not"):
        fixed(0.0)


def test_what_raises_no_error_for_numbers_either_has_no_guard():
    """These are a division by a parameter, by a number, by `div`, and a handler for another error or another line."""
    w = Value(4.0)

    def function(x):
        try:
            k = float("2")
        except ValueError:
            k = 1.0
        try:
            return x / w + x / k + mc.div(1.0, x) * 0.0
        except ZeroDivisionError:
            return 7.0

    compiled = compile(function)
    assert compiled(1.0) == 0.75
    assert not compiled.recording_of(1.0).outcomes
