"""The checks of an operation at one point: evaluation, recording, and derivatives, also along a line and shared."""

import itertools
import math
import re
import warnings
from math import inf, nan

import pytest

import micrograd_cn as mc
from micrograd_cn import Op, Value
from micrograd_cn.ops.traits import REAL, Smoothness
from micrograd_cn.testing import GradientMismatch
from micrograd_cn.testing.operations.op_derivatives import (
    check_along,
    check_shared,
    compare_derivatives,
    comparison_code,
)
from micrograd_cn.testing.operations.op_recording import (
    RECORDED_CODE,
    check_recording,
    compare_recorded,
    evaluate,
    same_number,
)

from .rows import grouped

FAST = Op("own", lambda x: mc.sin(1e17 * x), (lambda y, x: 1e6 * mc.cos(1e17 * x),))  # rounding hides its derivative


def row(forward, *partials, **fields):
    return Op("own", forward, partials, **grouped(**fields))


def squares(partial, **fields):
    """Return a sum of squares with partials that are made from the operands."""
    return Op("own", lambda *xs: mc.sum([x * x for x in xs]), lambda y, *xs: tuple(partial(xs)), **grouped(**fields))


def detached(x):
    return x.detach() if isinstance(x, Value) else x


def code_of(error):
    return str(error).rpartition("\n\n")[2]


# What is evaluated.


def test_numbers_are_the_same_where_they_are_equal_or_both_nan():
    assert same_number(1.0, 1.0)
    assert same_number(0.0, -0.0)
    assert same_number(nan, nan)
    assert same_number(inf, inf)
    for a, b in ((1.0, 2.0), (2.0, 1.0), (nan, 1.0), (1.0, nan), (inf, -inf), (-inf, inf)):
        assert not same_number(a, b)


def test_the_value_and_the_partials_are_evaluated():
    assert evaluate(mc.mul, (2.0, 3.0)) == (6.0, (3.0, 2.0))
    assert evaluate(row(lambda a, b: a * 2.0, lambda y, a, b: y + b, None), (3.0, 1.0)) == (6.0, (7.0, 0.0))
    assert evaluate(squares(lambda xs: [2.0 * x for x in xs]), (1.0, 2.0)) == (5.0, (2.0, 4.0))
    assert evaluate(row(lambda x: x, lambda y, x: 1), (3.0,)) == (3.0, (1,)), "a whole number is one"
    value, partials = evaluate(row(lambda x: nan, lambda y, x: nan), (3.0,))
    assert math.isnan(value)
    assert math.isnan(*partials)


@pytest.mark.parametrize(
    ("op", "xs", "message"),
    [
        (row(lambda x: 1 / x, lambda y, x: 1.0), (0.0,), "own at 0.0: own.forward raised ZeroDivisionError"),
        (row(lambda x: 1, lambda y, x: 1.0), (0.0,), "own at 0.0: own.forward gave int 1, not a float"),
        (row(lambda x: x, lambda y, x: 1 / x), (0.0,), "own at 0.0: partial 0 of own raised ZeroDivisionError"),
        (row(lambda a, b: a, None, lambda y, a, b: 1 / b), (0.0, 0.0), "partial 1 of own raised ZeroDivisionError"),
        (row(lambda x: x, lambda y, x: "1"), (0.0,), "own at 0.0: partial 0 of own gave '1', not a number"),
        (row(lambda a, b: a, lambda y, *xs: 1.0, lambda y, *xs: []), (0.0, 0.0), "partial 1 of own gave [], not a"),
        (squares(lambda xs: 1 / 0), (1.0, 2.0), "the function of own's partials raised ZeroDivisionError"),
        (squares(lambda xs: xs[1:]), (1.0, 2.0), "for 2 operands, partials returned (2.0,)"),
        (
            squares(lambda xs: [*xs, 1.0]),
            (1.0, 2.0),
            "for 2 operands, partials returned (1.0, 2.0, 1.0)",
        ),
        (
            Op("own", lambda *xs: mc.sum(xs), lambda y, *xs: [1.0, 1.0]),
            (1.0, 2.0),
            "for 2 operands, partials returned [1.0, 1.0]",
        ),
    ],
)
def test_what_is_wrong_with_a_value_or_a_partial_is_said(op, xs, message):
    with pytest.raises(AssertionError) as caught:
        evaluate(op, xs)
    assert message in str(caught.value).splitlines()[0]


def test_a_row_that_gives_two_values_is_no_function():
    calls = itertools.count(1)
    with pytest.raises(AssertionError, match=r"own\.forward gave 1\.0, then 2\.0: it is not a function"):
        evaluate(row(lambda x: float(next(calls)), lambda y, x: 1.0), (0.5,))


# What is recorded.


def recorded(on_floats, in_record, on_values):
    """Check an operation with these partials."""
    given = iter([in_record, on_values])
    op = row(lambda x: 2.0 * x, lambda y, x: next(given))
    compare_recorded(op, (0.5,), [Value(0.5)], [on_floats], RECORDED_CODE)


def test_the_partials_are_those_on_floats_when_recorded_and_on_values():
    check_recording(mc.mul, (2.0, 3.0), (3.0, 2.0))
    with pytest.raises(AssertionError, match=r"mul at \(2\.0, 3\.0\): partial 1 is 7\.0 on floats, 2\.0 when recorded"):
        check_recording(mc.mul, (2.0, 3.0), (3.0, 7.0))
    recorded(1.0, 1.0, 1.0)
    recorded(nan, nan, 1.0)
    recorded(1.0, 1.0, nan)
    for partials in ((1.0, 1.0, 2.0), (1.0, 2.0, 1.0), (2.0, 1.0, 1.0), (nan, 1.0, 1.0), (1.0, nan, 1.0)):
        with pytest.raises(AssertionError, match=r"^check_op of own at 0\.5: partial 0 is .* on Values"):
            recorded(*partials)


def test_partials_must_be_written_with_the_tables_operations():
    with pytest.raises(AssertionError, match="the partials of own, which must be written with the table's op"):
        check_recording(row(lambda x: mc.sin(x), lambda y, x: math.cos(x)), (0.5,), (math.cos(0.5),))


# One point.


def test_derivatives_at_a_point_are_compared():
    assert compare_derivatives(mc.tanh, (0.5,), 2) is True
    assert compare_derivatives(FAST, (0.5,), 1) is False
    with pytest.raises(GradientMismatch, match=r"^check_op of own at 1\.5: 1 of 2 derivatives wrong\n"):
        compare_derivatives(row(lambda x: x * x * x, lambda y, x: 3.0 * x * detached(x)), (1.5,), 2)
    assert compare_derivatives(row(lambda x: x * x * x, lambda y, x: 3.0 * x * detached(x)), (1.5,), 1)


def test_derivatives_that_could_not_be_compared_are_told_where_others_could():
    partly = []
    op = row(lambda a, b: a + mc.sin(1e17 * b), lambda y, a, b: 1.0, lambda y, a, b: 1e6 * mc.cos(1e17 * b))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compare_derivatives(op, (0.5, 0.5), 1, partly)
        assert compare_derivatives(op, (0.5, 0.5), 1)
        assert compare_derivatives(mc.tanh, (0.5,), 1, partly)
    assert len(partly) == 1
    assert re.search(r"^not compared +df/dx1 ", partly[0], flags=re.MULTILINE)


def test_what_is_raised_on_the_way_is_said():
    op = row(lambda x: 2.0 * x, lambda y, x: {False: 2.0}[x != 0.5])
    with pytest.raises(AssertionError, match=r"own at 0\.5: differentiating it raised KeyError: True") as caught:
        compare_derivatives(op, (0.5,), 2)
    assert caught.value.__suppress_context__


def test_the_code_of_a_comparison_calls_the_row_as_it_is_called():
    assert comparison_code(mc.tanh, 2).splitlines()[-1] == "gradcheck(OP, XS, order=2)"
    called = row(lambda x: x, lambda y, x: 1.0, signature=lambda xs: tuple(xs))
    assert comparison_code(called, 1).splitlines()[-1] == "gradcheck(lambda *xs: record(OP, xs), XS, order=1)"


# Along a direction.


def test_many_operands_are_compared_along_one_direction():
    xs = tuple([0.1 * k - 1.0 for k in range(33)])
    assert check_along(squares(lambda xs: [2.0 * x for x in xs]), xs, 2) is True
    assert check_along(Op("own", lambda *xs: mc.sin(1e17 * xs[0]), lambda y, *xs: (1e6, *xs[1:])), xs, 1) is False
    near = squares(lambda xs: [(2.0 + 7.0 * (mc.less(3.0, x) + mc.less(x, -1.5))) * x for x in xs])
    assert check_along(near, xs, 2), "no point but this is compared"


@pytest.mark.parametrize("wrong", [0, 3, 6])
def test_a_wrong_partial_of_many_is_named(wrong):
    op = squares(lambda xs: [(2.02 if i == wrong else 2.0) * x for i, x in enumerate(xs)])
    with pytest.raises(GradientMismatch, match=r"^check_op of own at .*: 1 of 7 derivatives wrong") as caught:
        check_along(op, (0.5,) * 7, 1)
    assert re.search(rf"^WRONG +df/dx{wrong} ", str(caught.value), flags=re.MULTILINE)
    exec_fails(caught.value, op)


def exec_fails(error, op):
    """Assert that the code of a failure raises an AssertionError, too."""
    with pytest.raises(AssertionError):
        exec(code_of(error), {"own": op})


def test_a_mistake_of_second_order_is_shown_along_the_direction():
    op = squares(lambda xs: [2.0 * (detached(x) if i == 20 else x) for i, x in enumerate(xs)])
    xs = tuple([0.5 + 0.01 * k for k in range(33)])
    with pytest.raises(GradientMismatch, match="1 of 2 derivatives wrong") as caught:
        check_along(op, xs, 2)
    code = code_of(caught.value)
    assert code.endswith(", 0.0, order=2)")
    exec_fails(caught.value, op)
    [direction] = re.findall(r"us = \[(.*?)\]", code, flags=re.DOTALL)
    us = [float(u) for u in direction.split(",")]
    assert len({*us}) == 33, "no two operands change alike"
    assert all(1.0 < u < 2.0 for u in us)
    assert all(len(u.strip()) <= 5 for u in direction.split(","))


def test_mistakes_that_cancel_along_equal_steps_do_not_along_the_direction():
    op = squares(lambda xs: [2.0 * x + {2: 0.1, 5: -0.1}.get(i, 0.0) for i, x in enumerate(xs)])
    with pytest.raises(GradientMismatch, match="2 of 7 derivatives wrong"):
        check_along(op, (0.5,) * 7, 1)


# Operands that are one value.


def watched(seen, xs):
    """Note, in the set `seen`, the operands of `Value`s and which of them are the same one."""
    if len(xs) > 1 and all(isinstance(x, Value) for x in xs):
        seen.add((tuple([x.data for x in xs]), tuple([next(i for i, x in enumerate(xs) if x is y) for y in xs])))


@pytest.mark.parametrize(
    ("count", "xs", "shared"),
    [
        (1, (1.0,), set()),
        (2, (1.0, 2.0), {((1.0, 1.0), (0, 0))}),
        (
            3,
            (1.0, 2.0, 3.0),
            {
                ((1.0, 1.0, 1.0), (0, 0, 0)),
                ((1.0, 1.0, 3.0), (0, 0, 2)),
                ((1.0, 2.0, 1.0), (0, 1, 0)),
                ((1.0, 2.0, 2.0), (0, 1, 1)),
            },
        ),
        (
            4,
            (1.0, 2.0, 3.0, 4.0),
            {
                ((1.0, 1.0, 1.0, 1.0), (0, 0, 0, 0)),
                ((1.0, 1.0, 3.0, 4.0), (0, 0, 2, 3)),
                ((1.0, 2.0, 1.0, 4.0), (0, 1, 0, 3)),
                ((1.0, 2.0, 3.0, 1.0), (0, 1, 2, 0)),
                ((1.0, 2.0, 2.0, 4.0), (0, 1, 1, 3)),
                ((1.0, 2.0, 3.0, 2.0), (0, 1, 2, 1)),
                ((1.0, 2.0, 3.0, 3.0), (0, 1, 2, 2)),
            },
        ),
        (0, (4.0, 1.0, 2.0, 3.0, 5.0), {((4.0, 4.0), (0, 0)), ((4.0, 4.0, 4.0), (0, 0, 0))}),
    ],
)
def test_all_operands_are_one_value_and_each_two_of_three_or_four(count, xs, shared):
    seen = set()
    arities = {"arities": (count,)} if count else {}
    check_shared(Op("own", lambda *xs: mc.sum(xs), lambda y, *xs: watched(seen, xs) or (1.0,) * len(xs), **arities), xs)
    assert {found for found in seen if len({*found[1]}) < len(found[1])} == shared


def product(first, **fields):
    return row(lambda a, b, c: a * b * c, first, lambda y, a, b, c: a * c, lambda y, a, b, c: a * b, **fields)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("slots", [(0, 1), (0, 2), (1, 2)])
def test_what_is_wrong_where_operands_are_one_value_is_said_and_shown(slots, order):
    i, j = slots

    def first(y, *xs):
        shared = xs[i] is xs[j] is not xs[3 - i - j] and isinstance(xs[i], Value)
        right = xs[1] * xs[2]
        return right if not shared else 1.01 * right if order == 1 else right.detach()

    op = product(first)
    xs = tuple([{i: 0.3, j: 0.4}.get(k, 0.2) for k in range(3)])
    with pytest.raises(
        AssertionError, match=rf"^check_op of own at .*: where operands {i}, {j} are one value, "
    ) as caught:
        check_shared(op, xs)
    message = str(caught.value)
    code = code_of(message)
    if order == 1:
        assert "one value, partial 0 is " in message
        places = [i if k == j else k for k in range(3)]
        assert f"xs = [xs[i] for i in {places}]" in code
        exec(code, {"own": op})
    else:
        assert re.search("one value, [12] of 6 derivatives wrong", message)
        free = {(0, 1): "0.3, 0.2", (0, 2): "0.3, 0.2", (1, 2): "0.2, 0.3"}[slots]
        numbers = {(0, 1): [0, 0, 1], (0, 2): [0, 1, 0], (1, 2): [0, 1, 1]}[slots]
        assert code.endswith(f"gradcheck(lambda *xs: record(own, [xs[i] for i in {numbers}]), {free}, order=2)")
        exec_fails(message, op)


def test_operands_are_not_one_value_outside_a_domain_or_beside_a_kink():
    seen = []

    def note(*xs):
        seen.append(xs)
        return mc.sum(xs)

    def evaluated(xs, *domain, kink=None):
        """Return whether operands with these numbers are given as one `Value` where the domain is this."""
        seen.clear()
        check_shared(row(note, *[lambda y, *xs: 1.0] * len(xs), domain=domain, kink=kink), xs)
        return bool(seen)

    for x, domain, kink in (
        (2.0, (REAL, (-1.0, 1.0)), None),
        (0.99, (REAL, (-1.0, 1.0)), None),
        (2.0, ((3.0, inf), REAL), None),
        (101.0, (REAL, REAL), None),
        (-101.0, (REAL, REAL), None),
        (2.0, (REAL, REAL), lambda a, b: a - b),
    ):
        assert not evaluated((x, 0.5), *domain, kink=kink)
    for x in (2.0, 100.0, -100.0):
        assert evaluated((x, 0.5), REAL, REAL)
    assert not evaluated((0.5, 0.7, 0.6), REAL, REAL, (-inf, 0.0)), "the third operand stays positive"
    assert evaluated((0.5, 0.7, -0.6), REAL, REAL, (-inf, 0.0))
    many = Op("own", note, lambda y, *xs: (1.0,) * len(xs), smoothness=Smoothness(domain=((0.0, inf),)))
    seen.clear()
    check_shared(many, (0.5, 0.7, -0.5))
    assert {len(xs) for xs in seen} == {2, 3}
    assert all(x.data > 0.0 if isinstance(x, Value) else x > 0.0 for xs in seen for x in xs)
