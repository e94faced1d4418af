"""A function that does something else in its second recording is refused, with a text that says how the two differ."""

import re
from collections import deque

import pytest

from micrograd_cn import Value
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name

w, b, other_w = Value(2.0, "w"), Value(2.0, "b"), Value(2.0, "w")


def one_after_the_other(*functions):
    """Return a function that calls another one of the functions in each call."""
    turn = [0]

    def f(x):
        turn[0] += 1
        return functions[(turn[0] - 1) % len(functions)](x)

    return f


@pytest.mark.parametrize(
    ("first", "second", "difference"),
    [
        (lambda x: w * x, lambda x: w + x, "one of them has mul(...), where the other has add(...)"),
        (lambda x: w * x, lambda x: b * x, "an operand of mul(...) is w in one of them, and b in the other"),
        (lambda x: w * x, lambda x: w * 2.0, "an operand of mul(...) is x in one of them, and 2.0 in the other"),
        (lambda x: w * x, lambda x: other_w * x, "an operand of mul(...) is w, but not the same Value in both of them"),
        (lambda x: [w * x, x], lambda x: [w * x, w], "one of them returns x, the other w"),
        (lambda x: [w * x], lambda x: {"a": w * x}, "one of them returns [0], the other ['a']"),
        (lambda x: w * x, lambda x: [w * x, x], "one of them returns a number, the other [0], [1]"),
        (lambda x: w * x, lambda x: w * x if x > 0 else x, "one of them makes other comparisons"),
    ],
)
def test_the_first_difference_between_two_recordings_is_named(first, second, difference):
    with pytest.raises(TypeError, match=re.escape(difference)):
        compile(one_after_the_other(first, second))(3.0)


KEPT = re.escape("the x of an earlier call (the function has kept it)")


class Baseline:
    first = None

    def __call__(self, x):
        if self.first is None:
            self.first = x
        return w * (x - self.first)


def first_of_a_list():
    seen = []

    def f(x):
        seen.append(x)
        return w * seen[0]

    return f


def first_of_a_dict():
    memo = {}
    return lambda x: memo.setdefault("first", x)


def first_in_a_variable():
    first = None

    def f(x):
        nonlocal first
        first = x if first is None else first
        return w * first

    return f


def first_of_the_last_two():
    last = deque(maxlen=2)

    def f(x):
        last.append(x)
        return w * last[0]

    return f


def first_in_a_default():
    def f(x, seen=[]):  # noqa: B006 -- the list is to be kept
        seen.append(x)
        return w * seen[0]

    return f


@pytest.mark.parametrize(
    "make",
    [Baseline, first_of_a_list, first_of_a_dict, first_in_a_variable, first_of_the_last_two, first_in_a_default],
)
@pytest.mark.parametrize("call", [lambda f: f(3.0), lambda f: f.forward(([3.0, 4.0],)), lambda f: f.backward(([3.0],))])
def test_a_function_that_uses_an_argument_of_an_earlier_call_is_refused(make, call):
    with pytest.raises(TypeError, match=KEPT):
        call(compile(make()))


def test_a_function_may_keep_arguments_that_it_does_not_use_again():
    seen = []

    def f(x):
        seen.append(x)
        return w * x

    assert compile(f).forward(([3.0, 4.0],)) == [6.0, 8.0]
