"""`check` calls a function with the numbers of its samples, too, and finds what it does differently for `Value`s."""

from fractions import Fraction
from functools import singledispatch

import numpy as np
import pytest

from micrograd_cn import Value
from micrograd_cn.compiler import Mismatch, compile  # noqa: A004 -- the field's name


def of_match(x):
    match x:
        case float():
            return W * x
        case _:
            return W * x * 2.0


@singledispatch
def dispatched(x):
    return W * x * 2.0


@dispatched.register
def _(x: float):
    return W * x


def written(x):
    h = x.copy()
    h[0] = 1.7
    return W * h.sum()


class Squared(Value):
    def __mul__(self, other):
        return super().__mul__(other) ** 2


SQUARED = Squared(2.0)
W, BYTES = Value(1.5), np.array([[200, 3]], np.uint8)
OF_NUMBERS = {
    "isinstance": (lambda x: W * x if isinstance(x, (int, float)) else W * x * 2.0, [3.0]),
    "type": (lambda x: W * x if type(x) in (int, float) else W * x * 2.0, [3]),
    "np.isscalar": (lambda x: W * x if np.isscalar(x) else W * x * 2.0, [np.float32(3.0)]),
    "match": (of_match, [3.0]),
    "singledispatch": (dispatched, [3.0]),
    "dtype": (lambda x: W * x.sum() if x.dtype.kind == "f" else W * x.sum() * 2.0, np.ones((1, 3), np.float32)),
    "numbers in a dict": (lambda x: W * x["a"][0] * (1.0 if isinstance(x["a"][0], int) else 2.0), [{"a": (1,)}]),
    "an operator of a subclass": (lambda x: x * SQUARED, [3.0]),
    "an overflow": (lambda x: W * (2 * x).sum(), BYTES),
    "a difference": (lambda x: W * np.diff(x).sum(), BYTES),
    "a quotient": (lambda x: W * np.reciprocal(x).sum(), BYTES.astype(int)),
    "bools": (lambda x: W * (x @ x), BYTES > 0),
    "a copy": (written, BYTES),
    "full_like": (lambda x: W * np.full_like(x, 0.5).sum(), BYTES),
}


@pytest.mark.parametrize("name", OF_NUMBERS)
def test_check_finds_a_function_that_gives_something_else_for_numbers_than_for_values(name):
    f, column = OF_NUMBERS[name]
    for samples in ((column,), [(x,) for x in column], ((x,) for x in column)):
        with pytest.raises(Mismatch, match=r"^sample 0, .* for numbers, but .* ask for a type\? Write isinstance"):
            compile(f).check(samples)


def test_check_takes_functions_of_values_alone_and_numbers_of_all_kinds():
    compile(lambda x: x.tanh() * W).check([(0.5,), (2,)])
    compile(lambda x, y: (W * x[0] + y) / 3.0).check(
        [((np.float32(0.1), 1), True), ((Fraction(1, 3), 1), np.int8(3)), ((0.1, 1), np.float64(0.7))]
    )
    compile(lambda x: W * (x * 0.1).sum() / 3.0).check((np.array([[0.1, 0.7]], np.float32),))
    compile(lambda x, n: W * x * (2.0 if n == "a" else 1.0), static="n").check([(3.0, "a"), (3, "b")])
    compile(lambda x, *, y=2.0: W * x * y).check([(3.0,)])
