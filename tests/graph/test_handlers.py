"""Tests of `graph.handlers`: which code would catch an arithmetic error at the operator that it is running."""

import sys
from contextlib import nullcontext, suppress

import pytest

from micrograd_cn.graph.handlers import catching_place

SEVERAL = KeyError, ArithmeticError


class Divisor:
    def __rtruediv__(self, other):
        return catching_place(sys._getframe(1), ZeroDivisionError)

    def under(self, other):
        return self.__rtruediv__(other)


def ratio(x):
    return 1 / x


def second_clause(x):
    try:
        return next(1 / x for _ in range(1))
    except OverflowError:
        return None
    except ZeroDivisionError as error:
        return error


def bare(x):
    try:
        return ratio(x)
    except:  # noqa: E722 -- the clause that is tested
        return None


def outer(x):
    try:
        for _ in range(2):
            try:
                return 1 / x
            except TypeError as error:
                return error
            finally:
                ratio(1.0)
    except SEVERAL:
        return None


def suppressed(x):
    with suppress(ZeroDivisionError):
        return 1 / x


def other_error(x):
    try:
        return 1 / x
    except (TypeError, OverflowError):
        return None


def only_finally(x):
    try:
        return 1 / x
    finally:
        ratio(1.0)


def other_with(x):
    with nullcontext():
        return 1 / x


def outside(x):
    try:
        ratio(1.0)
    except ZeroDivisionError:
        return 1 / x
    return 1 / x


def by_a_call(x):
    try:
        return x.under(1)
    except ZeroDivisionError:
        return None


@pytest.mark.parametrize("function", [second_clause, bare, outer, suppressed])
def test_a_handler_of_the_error_or_of_a_base_of_it_catches_it(function):
    """The handler may be in any clause, around an inner `try`, or in a function that calls the one that divides."""
    assert function(Divisor()).startswith(f"{__file__}, line ")


@pytest.mark.parametrize("function", [other_error, only_finally, other_with, outside, by_a_call])
def test_what_handles_other_errors_or_other_lines_catches_nothing(function):
    """A `finally`, a `with`, a handler of other errors, and a function that is called, such as `div`, catch nothing."""
    namespace = {"f": function, "x": Divisor()}
    exec(compile("y = f(x)", sys.modules["micrograd_cn"].__file__, "exec"), namespace)  # the package calls it
    assert namespace["y"] == ""
