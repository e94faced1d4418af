"""A row that is malformed, or whose functions do not give what they must, is refused in words."""

import math
import re
import sys
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import OPS, Op, Value
from micrograd_cn.gradients import symbolic_edges
from micrograd_cn.graph import operators
from micrograd_cn.ops.traits import Smoothness

from ..values import leaves


def test_a_users_operation_must_return_a_partial_for_each_operand():
    a, b = leaves(2, 3)
    for given in ((1.0,), (1.0, 1.0, 1.0), 1.0, None, [1.0, 1.0]):
        op = mc.Op("short", lambda *xs: 0.0, lambda y, *xs, given=given: given)
        with pytest.raises(
            TypeError, match=rf"short: for 2 operands, partials returned {re.escape(repr(given))}; one function"
        ):
            op(a, b)
    uneven = mc.Op("uneven", lambda *xs: 0.0, lambda y, *xs: (1.0,) * (len(xs) if isinstance(y, float) else 1))
    with pytest.raises(TypeError, match=r"uneven: for 2 operands, partials returned"):
        symbolic_edges(uneven(a, b), {a, b})


def test_a_partial_that_forgets_to_return_is_no_gradient_of_zero():
    def forgetful(y, *xs):
        2.0 * xs[0]

    unary = mc.Op("unary", lambda x: x * x, (forgetful,))
    binary = mc.Op("binary", lambda a, b: a * b, (lambda y, a, b: b, forgetful))
    a, b = leaves(2, 3)
    recorded = (lambda: unary(a), lambda: operators.method(unary)(a), lambda: binary(a, b), lambda: binary(2.0, b))
    for slot, record_it in zip((0, 0, 1, 1), recorded, strict=True):
        with pytest.raises(TypeError, match=f"ary: the partial of operand {slot} returned None; is its `return` miss"):
            record_it()
    assert binary(a, 3.0).partials == (3.0, 0.0)
    for count in (1, 2, 3, 4, 5):
        for slot in range(count):
            partials = [lambda y, *xs: 1.0] * count
            partials[slot] = forgetful
            op = mc.Op("fixed", lambda *xs: float(len(xs)), tuple(partials))
            xs = [Value(1.0) for _ in range(count)]
            with pytest.raises(TypeError, match=f"fixed: the partial of operand {slot} returned None; is its `return`"):
                op(*xs)
            if count > 1:
                assert op(*xs[:slot], 1.0, *xs[slot + 1 :]).data == count, "no partial is needed for a constant"


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("result", [3, np.float32(3.0), Fraction(3), True])
def test_a_forward_may_return_any_real_number_which_becomes_a_float(count, result):
    op = mc.Op("counted", lambda *xs: result, tuple([lambda y, *xs: 1.0] * count))
    node = op(*[Value(1.0) for _ in range(count)])
    assert (type(node.data), node.data) == (float, float(result))


class Slope:
    def of(self, y, x):
        return 2.0 * x

    def of_two(self, y, a, b):
        return b


def test_a_partial_may_be_a_method_or_have_defaults_but_takes_the_result_and_each_operand():
    for partial in (
        Slope().of,
        lambda y, x, factor=2.0: factor * x,
        lambda y=0.0, x=0.0: 2.0 * x,
        lambda *yx: 2.0 * yx[1],
    ):
        x = Value(3)
        mc.Op("square", lambda x: x * x, (partial,))(x).backward()
        assert x.grad == 6.0
    for partial in (Slope().of_two, Slope.of, lambda y: 1.0, lambda y, x, z: 1.0, lambda y, x, z, w=1.0: 1.0):
        with pytest.raises(
            TypeError, match=r"square: a partial takes the result and 1 operand; .* takes other arguments"
        ):
            mc.Op("square", lambda x: x * x, (partial,))
    with pytest.raises(TypeError, match="product: a partial takes the result and 2 operands; "):
        mc.Op("product", lambda a, b: a * b, (lambda y, a, b: b, Slope().of))


def test_a_value_is_a_real_number_whatever_the_row_returns():
    for given, expected in ((2, 2.0), (np.float32(0.5), 0.5), (Fraction(1, 4), 0.25), (True, 1.0)):
        op = mc.Op("given", lambda x, given=given: given, (lambda y, x: 1.0,))
        for y in (
            op(Value(1)),
            operators.method(op)(Value(1)),
            mc.Op("n", op.forward, lambda y, *xs: (1.0,))(Value(1)),
        ):
            assert (type(y.data), y.data) == (float, expected)
    forgetful = mc.Op("forgetful", lambda x: None, (lambda y, x: 1.0,))
    for recorded in (forgetful, operators.method(forgetful)):
        with pytest.raises(TypeError, match="forgetful: forward returned None, not a real number; is its `return`"):
            recorded(Value(1))


@pytest.mark.parametrize(
    ("arguments", "exception", "message"),
    [
        ((3, abs, (abs,)), TypeError, "name must be a str, got 3"),
        (("two words", abs, (abs,)), ValueError, "must be an identifier, got 'two words'"),
        (("", abs, (abs,)), ValueError, "must be an identifier, got ''"),
        (("lambda", abs, (abs,)), ValueError, "must be an identifier, got 'lambda'"),
        (("bad", 5, (abs,)), TypeError, "bad: forward must be a function, got 5"),
        (("bad", abs, ()), TypeError, r"bad: partials must be .*, got \(\)"),
        (("bad", abs, (abs, 7)), TypeError, "bad: partials must be .* 7"),
        (("bad", abs, [abs]), TypeError, "bad: partials must be "),
        (("bad", abs, None), TypeError, "bad: partials must be .*None"),
    ],
)
def test_a_malformed_row_is_refused(arguments, exception, message):
    with pytest.raises(exception, match=message):
        Op(*arguments)


def test_a_domain_has_an_interval_for_each_partial():
    with pytest.raises(ValueError, match="bad: 1 partials but 2 domain intervals"):
        Op("bad", abs, (abs,), smoothness=Smoothness(domain=((0.0, 1.0), (0.0, 1.0))))
    with pytest.raises(ValueError, match="bad: 2 partials but 1 domain intervals"):
        Op("bad", max, (max, max), smoothness=Smoothness(domain=((0.0, 1.0),)))


@pytest.mark.parametrize("op", [op for op in OPS.values() if op.arity and not op.signature], ids=repr)
def test_a_wrong_number_of_operands_is_refused(op):
    words = "1 operand" if op.arity == 1 else f"{op.arity} operands"
    for wrap, n in product((int, float, Value), {0, op.arity - 1, op.arity + 1}):
        with pytest.raises(TypeError, match=rf"^{op.name}\(\) takes {words}, got {n}(; write .*)?$"):
            op(*[wrap(1)] * n)


@pytest.mark.parametrize(
    ("arities", "taken", "words"),
    [
        ((), (0, 1, 2, 9), None),
        ((3,), (3,), "3"),
        ((2, 4), (2, 4), "2 or 4"),
        (range(2, 5), (2, 3, 4), "2 to 4"),
        (range(2, sys.maxsize), (2, 3, 4, 5, 9), "at least 2"),
    ],
)
def test_an_n_ary_row_says_how_many_operands_it_takes(arities, taken, words):
    op = Op("own", lambda *xs: math.fsum(xs), lambda y, *xs: (1.0,) * len(xs), arities=arities)
    for wrap, n in product((int, float, Value), {0, 1, 2, 3, 4, 5, 9}):
        if n in taken:
            result = op(*[wrap(1)] * n)
            assert getattr(result, "data", result) == n
        elif words:
            with pytest.raises(TypeError, match=rf"^own\(\) takes {words} operands, got {n}$"):
                op(*[wrap(1)] * n)
    assert mc.mul.arities == (2,)


def test_a_row_does_not_say_twice_how_many_operands_it_takes():
    with pytest.raises(ValueError, match=r"^bad: arities are .* for an n-ary operation only; got \(2,\)"):
        Op("bad", abs, (abs,), arities=(2,))
    with pytest.raises(ValueError, match=r"^bad: arities are numbers of operands, .* got \(-1, 2\)"):
        Op("bad", abs, abs, arities=(-1, 2))


def test_a_partial_with_the_names_of_the_operands_before_that_of_the_result_is_refused():
    """It would get the result in the place of the first operand, and give a wrong derivative."""
    message = (
        r"square: a partial takes the result and then the operands, but .* has x first, .*; write lambda y, x: \.\.\."
    )
    with pytest.raises(TypeError, match=message):
        Op("square", lambda x: x * x, (lambda x, y: 2.0 * x,))
    with pytest.raises(TypeError, match=r"product: .* has a first, .*; write lambda y, a, b: \.\.\."):
        Op("product", lambda a, b: a * b, (lambda y, a, b: b, lambda a, b, y: a))
    right = (
        Op("square", lambda x: x * x, (lambda y, x: 2.0 * x,)),
        Op("square", lambda x: x * x, (lambda _, v: 2.0 * v,)),
    )
    assert [op.partials[0](9.0, 3.0) for op in right] == [6.0, 6.0]
