"""`check_op` finds a `Selection` whose contribution, weight and value do not agree."""

import math

import pytest

from micrograd_cn import OPS, Op, equal, less, where
from micrograd_cn.ops import Selection
from micrograd_cn.ops.traits import Lowerings, Smoothness
from micrograd_cn.testing import check_op, gradcheck
from micrograd_cn.testing.operations.op_selection import check_selection


def gate(contribution, weight):
    """Return the operation max(x, 0.5)."""
    return Op(
        "gate",
        lambda x: x if x > 0.5 else 0.5,
        (Selection(contribution, weight),),
        smoothness=Smoothness(kink=lambda x: x - 0.5),
        lowerings=Lowerings(formula=lambda x: where(less(0.5, x), x, 0.5)),
    )


def contribution(g, x):
    return where(less(0.5, x), g, 0.0)


def weight(x):
    return 1.0 if x > 0.5 else None


def test_a_right_selection_passes_and_is_compared_in_every_form():
    assert check_op(gate(contribution, weight), examples=5) == {}


@pytest.mark.parametrize(
    ("contribution", "weight", "said"),
    [
        (
            contribution,
            lambda x: 2.0 if x > 0.5 else None,
            "has the weight 2.0, but gets 1.0 of an upstream gradient of 1.0",
        ),
        (contribution, lambda x: 1.0, "has the weight 1.0, but gets 0.0 of an upstream gradient of 1.0"),
        (
            contribution,
            lambda x: 1.0 if x > 2.0 else None,
            "operand 0 was not selected, but gets 1.0 of an upstream gradient of 1.0",
        ),
        (contribution, lambda x: 1.0 if x > 0.5 else 0.0, "has the weight 0.0, but gets 0.0 of an upstream gradient"),
        (contribution, lambda x: "1", "partial 0 of gate gave '1', not a number"),
        (
            lambda g, x: where(less(0.5, x), 2.0 * g, 0.0),
            weight,
            "has the weight 1.0, but gets 2.0 of an upstream gradient of 1.0",
        ),
        (lambda g, x: where(less(0.5, x), 1.0, 0.0), weight, "has the weight 1.0, but gets 1.0 of an upstream grad"),
        (lambda g, x: where(less(0.5, x), abs(g), 0.0), weight, "gets 3.0 of an upstream gradient of -3.0"),
        (lambda g, x: g * less(0.5, x), weight, "operand 0 was not selected, but gets nan of an upstream gradient of"),
        (lambda g, x: where(less(0.5, x), g, g), weight, "operand 0 was not selected, but gets 1.0"),
        (lambda g, x: (g, g), weight, "contribution of a partial of gate raised TypeError"),
        (
            lambda g, x: where(less(0.5, x), 2.0 * g, 0.0),
            lambda x: 2.0 if x > 0.5 else None,
            r"WRONG +df/dx0 +2 +1 ",
        ),
    ],
)
def test_a_planted_mistake_is_found(contribution, weight, said):
    with pytest.raises(AssertionError, match=said):
        check_op(gate(contribution, weight), examples=5)


def pick(contributions, weights):
    """Return the operation that chooses one of two members, given an index."""
    return Op(
        "pick",
        lambda index, *xs: xs[int(index)] if index in (0.0, 1.0) else math.nan,
        Selection(contributions, weights),
        arities=(3,),
    )


def picked(g, index, *xs):
    return (None, *[where(equal(index, float(k)), g, 0.0) for k in range(len(xs))])


def weights(index, *xs):
    return (None, *[1.0 if index == k else None for k in range(len(xs))])


@pytest.mark.parametrize("index", [0.0, 1.0, 2.0, math.nan])
def test_an_operation_of_any_number_of_operands(index):
    xs = (index, 2.0, 3.0)
    check_selection(pick(picked, weights), xs, 2.0)
    wrong = {
        "gets": pick(lambda g, index, *xs: (None, g, g), weights),
        "operand 2 was not selected, but gets nan": pick(
            lambda g, index, *xs: (None, where(equal(index, 0.0), g, 0.0), g * equal(index, 1.0)), weights
        ),
        "raised IndexError": pick(lambda g, index, *xs: (None, g), lambda index, *xs: (None, 1.0, 1.0)),
    }
    for said, op in wrong.items():
        if index != 1.0 or "operand 2" not in said:
            with pytest.raises(AssertionError, match=said):
                check_selection(op, xs, 2.0)


def test_what_does_not_select_is_left_alone():
    check_selection(OPS["mul"], (2.0, math.inf), math.inf)


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda x: x.relu().sqrt(), -1.0),
        (lambda x: x.relu() ** 0.5, -1.0),
        (lambda x: where(less(0.0, x), x.sqrt(), 0.0), -1.0),
        (lambda x: where(less(0.0, x), x.log(), x), -1.0),
        (lambda x: OPS["asin"](OPS["minimum"](x, 1.0)), 2.0),
    ],
)
@pytest.mark.parametrize("order", [1, 2])
def test_gradcheck_accepts_what_flows_nowhere(f, x, order):
    gradcheck(f, x, order=order)
