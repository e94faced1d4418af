"""Operations, each with one mistake of another kind."""

import itertools
import math

import micrograd_cn as mc
from micrograd_cn import Op, Value
from micrograd_cn.ops.checks import RowError
from micrograd_cn.ops.traits import Lowerings, Smoothness

_calls = itertools.count(1)


def _unknown(x):
    raise ValueError(x if isinstance(x, str) else "unknown")


def _unary(y, a):
    return 1.0


def _ones(xs):
    return (1.0,) * len(xs)


forward_raises = Op("own", math.exp, (lambda y, x: y,))
forward_is_no_float = Op("own", lambda x: 1, (lambda y, x: 0.0,))
forward_is_no_function = Op("own", lambda x: float((next(_calls) + 1) % 2 + 1), (lambda y, x: 0.0,))
partial_raises = Op("own", lambda x: mc.exp(x), (lambda y, x: math.exp(x) if isinstance(x, float) else y,))
second_partial_raises = Op("own", lambda a, b: mc.div(a, b), (lambda y, a, b: mc.div(1.0, b), lambda y, a, b: -y / b))
partial_takes_too_few = Op("own", lambda a, b: a + b, (lambda y, a, b: 1.0, lambda *yab: _unary(*yab)))
partial_is_no_number = Op("own", lambda x: mc.sin(x), (lambda y, x: None,))
partials_raise = Op("own", lambda *xs: mc.sum(xs), lambda y, *xs: (1.0,) * len(xs) if len(xs) < 2 else (xs[len(xs)],))
too_few_partials = Op("own", lambda *xs: mc.sum(xs), lambda y, *xs: (1.0,))
partials_are_no_tuple = Op("own", lambda *xs: mc.sum(xs), lambda y, *xs: 1.0)
partial_of_math = Op("own", lambda x: mc.atan(x), (lambda y, x: math.exp(-math.log1p(min(math.fabs(x), 1e9) ** 2)),))
partial_differs_on_values = Op("own", lambda x: mc.sin(x), (lambda y, x: mc.cos(x) + 1e-3 * isinstance(x, Value),))
partial_is_no_function = Op("own", lambda x: 2.0 * x, (lambda y, x: 2.0 + next(_calls) * 1e-12,))
partial_raises_near_0 = Op("own", lambda x: 2.0 * x, (lambda y, x: {False: 2.0}[1e-9 < abs(x) < 1e-3],))
long_message = Op("own", lambda x: mc.sin(x), (lambda y, x: _unknown("much to say\n" * 30),))
called_otherwise = Op("own", lambda a, b: a * b, (lambda y, a, b: a, lambda y, a, b: a), signature=lambda xs: tuple(xs))
defined_elsewhere = Op(
    "own", lambda x: x * x, (lambda y, x: 3.0 * x,), smoothness=Smoothness(domain=((0.0, math.inf),))
)
one_of_many_wrong = Op("own", lambda *xs: mc.sum(xs), lambda y, *xs: tuple([1.0 + (i == 20) for i in range(len(xs))]))
kink_raises = Op(
    "own", lambda x: mc.abs(x), (lambda y, x: mc.step(x) - mc.step(-x),), smoothness=Smoothness(kink=lambda x: 1 / x)
)
reference_raises = Op("own", lambda x: 2.0 * x, (lambda y, x: 2.0,))
reference_differs = Op("own", lambda x: 2.0 * x, (lambda y, x: 2.0,))
value_is_nan = Op("own", lambda x: mc.log(x), (lambda y, x: mc.div(1.0, x),))
partial_is_nan = Op("own", lambda x: x * x * x, (lambda y, x: mc.div(3.0 * y, x),))
wrong_sign = Op("own", lambda x: x * x, (lambda y, x: -2.0 * x,))
wrong_from_the_sixth = Op(
    "own", lambda *xs: mc.sum(xs), lambda y, *xs: tuple([1.0 if i < 5 else 1.01 for i in range(len(xs))])
)
wrong_where_shared = Op(  # and at second order alone
    "own", lambda a, b: a * b, (lambda y, a, b: b.detach() if a is b and isinstance(b, Value) else b, lambda y, a, b: a)
)
wrong_at_its_kink = Op(
    "own",
    lambda x: mc.abs(x),
    (lambda y, x: mc.where(x, mc.step(x) - mc.step(-x), 3.0),),
    smoothness=Smoothness(kink=lambda x: x),
)
all_of_many_wrong = Op("own", lambda a, b: a * a * b * b, (lambda y, a, b: a * b, lambda y, a, b: a * b))
too_fast = Op("own", lambda x: mc.sin(1e17 * x), (lambda y, x: 1e6 * mc.cos(1e17 * x),))
infinite = Op("own", lambda x: math.inf, (lambda y, x: 0.0,))
formula_differs = Op(
    "own", lambda x: mc.cos(x), (lambda y, x: -mc.sin(x),), lowerings=Lowerings(formula=lambda x: mc.sin(x))
)
formula_raises = Op(
    "own", lambda x: mc.cos(x), (lambda y, x: -mc.sin(x),), lowerings=Lowerings(formula=lambda x: x / x * mc.cos(x))
)

ROWS = [name for name, row in list(globals().items()) if isinstance(row, Op) and name[0] != "_"]
REFERENCES = {"reference_raises": _unknown, "reference_differs": lambda x: x}
RAISING = {  # what the code of a failure raises; that of the others prints
    "forward_raises": OverflowError,
    "partial_raises": OverflowError,
    "second_partial_raises": ZeroDivisionError,
    "partial_takes_too_few": TypeError,
    "partial_is_no_number": RowError,
    "too_few_partials": RowError,
    "partials_are_no_tuple": RowError,
    "partials_raise": IndexError,
    "partial_of_math": TypeError,
    "partial_raises_near_0": KeyError,
    "long_message": ValueError,
    "called_otherwise": AssertionError,
    "defined_elsewhere": AssertionError,
    "one_of_many_wrong": AssertionError,
    "kink_raises": ZeroDivisionError,
    "wrong_sign": AssertionError,
    "wrong_from_the_sixth": AssertionError,
    "wrong_where_shared": AssertionError,
    "wrong_at_its_kink": AssertionError,
    "all_of_many_wrong": AssertionError,
    "too_fast": ValueError,
}
