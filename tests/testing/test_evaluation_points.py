"""The points at which `check_op` evaluates an operation, and how a failing point is made simple."""

import itertools
import math
from collections import Counter
from math import inf, nan

import pytest

import micrograd_cn as mc
from micrograd_cn import Op
from micrograd_cn.ops.traits import Smoothness
from micrograd_cn.testing.operations import evaluation_points
from micrograd_cn.testing.operations.evaluation_points import (
    check_and_shrink,
    kink_points,
    points_near_ends,
    special_points,
    spread_points,
)

TWO = Op(  # operands of different domains
    "own",
    lambda a, b: mc.log(a) * b,
    (lambda y, a, b: mc.div(b, a), lambda y, a, b: mc.log(a)),
    smoothness=Smoothness(domain=((0.0, inf), (-1.0, 3.0))),
)


def summing(*arities):
    return Op("own", lambda *xs: mc.sum(xs), lambda y, *xs: (1.0,) * len(xs), arities=arities)


# Special values.


def test_one_operand_is_given_zeros_infinities_nan_and_what_over_and_underflows():
    xs = [x for (x,) in special_points(mc.tanh)]
    assert [math.copysign(1.0, x) for x in xs if x == 0.0] == [1.0, -1.0]
    assert {1.0, -1.0, inf, -inf} <= {*xs}
    assert any(map(math.isnan, xs))
    for sign in (1.0, -1.0):
        sizes = [sign * x for x in xs if math.isfinite(x)]
        assert any(x > 0.0 and x / 2.0 == 0.0 for x in sizes), "the least positive number"
        assert any(x > 0.0 and x * x == inf for x in sizes), "a number whose square overflows"
    assert any(x % 1.0 for x in xs if 1.0 < x < 10.0), "a number that is not whole"
    assert len(xs) == 12


def test_two_and_three_operands_are_given_special_values_each_with_each():
    for op, count in ((mc.mul, 2), (mc.where, 3)):
        points = [tuple(map(repr, xs)) for xs in special_points(op)]
        values = {xs[0] for xs in points}
        assert {"0.0", "-1.0", "5e-324", "1e+300", "inf", "-inf", "nan"} <= values
        assert sorted(points) == sorted(itertools.product(values, repeat=count))
        assert len(values) == (12 if count == 2 else 7), "fewer where there are many points"


def test_many_operands_are_given_a_special_value_in_the_first_the_sixth_and_the_last_place():
    for count in (6, 9, 33):
        points = list(special_points(summing(count)))
        assert all(len(xs) == count for xs in points)
        places_of = Counter(i for xs in points for i, x in enumerate(xs) if x != 1.0)
        assert places_of == dict.fromkeys({0, 5, count - 1}, 7), "seven values each, beside ones"
        assert {repr(xs[0]) for xs in points} == {"0.0", "-1.0", "5e-324", "1e+300", "inf", "-inf", "nan", "1.0"}
    assert {i for xs in special_points(summing(4)) for i, x in enumerate(xs) if x != 1.0} == {0, 1, 3}


def test_a_row_of_any_number_of_operands_is_given_few_and_one_more_than_blocks_have():
    counts = {len(xs) for xs in special_points(mc.sum)}
    assert counts == {1, 2, 3, 6, 8 + 1, 16 + 1, 32 + 1}


# Points all over the domain.


def test_points_fill_the_domain_evenly():
    xs = [x for (x,) in spread_points(mc.tanh, 1000, 4.0)]
    assert all(90 <= n <= 110 for n in Counter(math.floor(x / 0.8) for x in xs).values())
    assert (min(xs), max(xs)) == pytest.approx((-4.0, 4.0), abs=0.01)
    pairs = Counter((math.floor(a / 1.6 + 0.5), math.floor(b / 1.6 + 0.5)) for a, b in spread_points(mc.mul, 1000, 4.0))
    assert len(pairs) == 25 or len(pairs) == 36
    assert all(25 <= pairs[i, j] <= 55 for i, j in itertools.product((-1, 0, 1), repeat=2))


def test_every_operand_has_its_own_irrational_number():
    assert evaluation_points.PRIMES[:6] == [2, 3, 5, 7, 11, 13]
    assert len(evaluation_points.PRIMES) == 62, "the primes below 300, more than operands are given"
    assert not any(math.isqrt(n) ** 2 == n for n in evaluation_points.PRIMES)
    for xs in spread_points(mc.sum, 3, 4.0, [33]):
        assert len(xs) == len({*xs}) == 33


def test_the_numbers_of_operands_take_turns():
    assert Counter(map(len, spread_points(mc.sum, 20, 4.0))) == dict.fromkeys((1, 2, 3, 4, 5), 4)
    assert [len(xs) for xs in spread_points(mc.sum, 3, 4.0, [6, 9])] == [9, 6, 9]


def test_points_are_inside_the_domain_of_their_operand_be_it_narrow():
    assert all(0.05 <= a <= 4.0 and -0.95 <= b <= 2.95 for a, b in spread_points(TWO, 100, 4.0))
    narrow = Op("own", lambda x: x, (lambda y, x: 1.0,), smoothness=Smoothness(domain=((1e-9, 2e-9),)))
    xs = [x for (x,) in spread_points(narrow, 100, 4.0)]
    assert len({*xs}) == 100, "rounding to three digits would take them out of the domain"
    assert all(1.25e-9 <= x <= 1.75e-9 for x in xs)


def test_points_near_an_end_have_the_other_operands_well_inside():
    assert list(points_near_ends(TWO)) == [
        (pytest.approx(0.02), 1.0),
        (pytest.approx(0.004), 1.0),
        (pytest.approx(0.00005), 1.0),
        (2.025, pytest.approx(-0.98)),
        (2.025, pytest.approx(-0.996)),
        (2.025, pytest.approx(-0.99995)),
        (2.025, pytest.approx(2.98)),
        (2.025, pytest.approx(2.996)),
        (2.025, pytest.approx(2.99995)),
    ]
    assert list(points_near_ends(mc.tanh)) == []


def test_points_near_an_end_of_a_narrow_domain_are_nearer_to_it_than_to_the_other():
    narrow = Op("own", lambda x: x, (lambda y, x: 1.0,), smoothness=Smoothness(domain=((2.0, 2.08),)))
    assert [x for (x,) in points_near_ends(narrow)] == pytest.approx([2.008, 2.0016, 2.00002, 2.072, 2.0784, 2.07998])


def test_points_near_an_end_have_one_two_and_three_operands():
    row = Op(
        "own", lambda *xs: mc.sum(xs), lambda y, *xs: (1.0,) * len(xs), smoothness=Smoothness(domain=((0.0, inf),))
    )
    assert Counter(map(len, points_near_ends(row))) == {1: 3, 2: 6, 3: 9}


# Kinks.


def test_ties_are_found_at_simple_numbers_and_at_others():
    assert {*kink_points(mc.maximum, lambda a, b: a - b)} == {(x, x) for x in (0.0, 1.0, -1.0, 0.5, 3.0)}


def test_kinks_are_found_along_each_operand():
    found = {*kink_points(mc.maximum, lambda a, b: a - 2.0 * b)}
    assert found == {(0.0, 0.0), (1.0, 0.5), (0.5, 0.25), (3.0, 1.5), (6.0, 3.0)}


@pytest.mark.parametrize("place", [2.3, -0.7, 1e-30, 99.9, -100.0, 100.0])
def test_a_kink_is_found_where_it_is(place):
    assert {*kink_points(mc.tanh, lambda x: x - place)} == {(place,)}
    assert {*kink_points(mc.tanh, lambda x: place - x)} == {(place,)}


def test_every_kink_of_many_is_found():
    found = {x for (x,) in kink_points(mc.tanh, lambda x: math.sin(10.0 * x)) if abs(x) <= 4.0}
    assert sorted(found) == pytest.approx([k * math.pi / 10.0 for k in range(-12, 13)], abs=1e-14)
    touching = {x for (x,) in kink_points(mc.tanh, lambda x: (x * (x - 1.0)) ** 2)}
    assert touching == {0.0, 1.0}, "no sign changes there"


def test_a_kink_is_found_once_and_a_stretch_of_kinks_has_its_ends():
    found = [*kink_points(mc.maximum, lambda a, b: max(0.0, abs(a) - 2.0) + max(0.0, b - 2.5))]
    on_grid = [a for a, b in found if b == 0.5 and abs(a) not in (0.0, 0.5, 1.0)]
    assert sorted(on_grid) == [-2.0, 2.0]
    assert len({*found}) == len(found) < 50
    multiples = {x for (x,) in kink_points(mc.tanh, lambda x: math.remainder(x, 0.5))}
    assert multiples >= {float(k) for k in range(-100, 101)}, "the function is 0 at half of them, too, not throughout"


def test_a_jump_over_0_is_found_and_nothing_where_there_is_no_kink():
    [(x,)] = {*kink_points(mc.tanh, lambda x: math.copysign(1.0, x - 0.3))}
    assert x == pytest.approx(0.3)
    for kink in (lambda x: 1.0 + x * x, lambda x: -0.5, lambda x: nan):
        assert list(kink_points(mc.tanh, kink)) == []


def test_a_kink_is_asked_at_simple_numbers_and_inside_its_domain_alone():
    asked = []
    list(
        kink_points(
            Op("own", mc.log, (lambda y, x: 1.0,), smoothness=Smoothness(domain=((0.0, 50.0),))),
            lambda x: asked.append(x) or 1.0,
        )
    )
    assert {0.0, 1.0, -1.0, 0.5} <= {*asked}
    searched = {*asked} - {0.0, -1.0}
    assert (min(searched), max(searched)) == pytest.approx((0.05, 49.95))
    asked.clear()
    list(kink_points(mc.tanh, lambda x: asked.append(x) or 1.0))
    assert (min(asked), max(asked)) == (-100.0, 100.0)


# The simplest point.


def failing(where):
    """Return a check that fails at some points, and a list of the points at which it was called."""
    asked = []

    def check(xs):
        asked.append(xs)
        if where(xs):
            raise AssertionError(f"check_op of own at {xs}: it is too large")
        return len(xs)

    return check, asked


def simplest(op, xs, where):
    check, asked = failing(where)
    with pytest.raises(AssertionError) as caught:
        check_and_shrink(op, xs, check)
    assert asked[0] == xs
    assert len({*asked}) == len(asked), "no point is tried again"
    return str(caught.value)


def test_where_a_check_passes_its_result_is_returned_and_no_other_point_tried():
    check, asked = failing(lambda xs: False)
    assert check_and_shrink(mc.mul, (0.3, 7.1), check) == 2
    assert asked == [(0.3, 7.1)]


@pytest.mark.parametrize(
    ("where", "found"),
    [
        (lambda x: True, 0.0),
        (lambda x: x != 0.0, 1.0),
        (lambda x: x > 1.0, 2.0),
        (lambda x: x > 3.0, 10.0),
        (lambda x: 3.0 < x < 10.0, 8.0),
        (lambda x: 7.5 < x < 7.9, 7.8),
        (lambda x: 7.75 < x < 7.79, 7.78),
        (lambda x: 7.776 < x < 7.779, 7.7777),
    ],
)
def test_a_failure_is_shown_at_the_first_simpler_number_that_fails(where, found):
    assert simplest(mc.tanh, (7.7777,), lambda xs: where(xs[0])) == f"check_op of own at ({found},): it is too large"


def test_a_failure_is_shown_with_as_few_operands_as_fail():
    for count in (1, 2, 3, 5):
        message = simplest(mc.sum, (0.1, 0.2, 0.3, 0.4, 0.7), lambda xs, count=count: len(xs) >= count)
        assert message == f"check_op of own at {(0.0,) * count}: it is too large"
    assert simplest(summing(2, 4), (0.1,) * 4, lambda xs: True).startswith("check_op of own at (0.0, 0.0): ")
    assert simplest(mc.mul, (0.1, 0.2), lambda xs: xs[1] > 0.1) == "check_op of own at (0.0, 1.0): it is too large"


def test_a_simpler_point_is_inside_the_domain_of_each_operand():
    assert simplest(TWO, (1.234, 0.777), lambda xs: True) == "check_op of own at (1.0, 0.0): it is too large"
    assert simplest(TWO, (0.0617, 2.94), lambda xs: xs[0] < 0.1) == "check_op of own at (0.06, 0.0): it is too large"


def test_simpler_numbers_keep_the_margin_of_the_ends():
    for domain, numbers in (((-0.5, 2.0), [0.0, 1.0, 0.5, 1.9, 1.94]), ((0.95, 3.05), [1.0, 2.0, 3.0, 1.9, 1.94])):
        op = Op("own", mc.tanh, (None,), smoothness=Smoothness(domain=(domain,)))
        check, asked = failing(lambda xs: xs[0] == 1.9377)
        with pytest.raises(AssertionError):
            check_and_shrink(op, (1.9377,), check)
        assert asked == [(1.9377,), *[(x,) for x in numbers]]


def test_a_number_with_more_characters_is_not_simpler():
    assert simplest(mc.tanh, (7.0,), lambda xs: xs[0] in (7.0, -1.0)) == "check_op of own at (7.0,): it is too large"
    assert simplest(mc.tanh, (7.5,), lambda xs: xs[0] in (7.5, 1.0)) == "check_op of own at (1.0,): it is too large"


def test_another_failure_is_not_shown_but_one_with_other_numbers_is():
    def check(xs):
        if xs[0] in (0.0, 1.0):
            raise AssertionError(f"check_op of own at 0.0: {'it is nan' if xs[0] else 'the formula differs'}")
        raise AssertionError(
            f"check_op of own at {xs[0]}: its value is {xs[0] + 1e-7}, the reference gives -1e300, inf"
        )

    with pytest.raises(AssertionError, match=r"at -1\.0: its value is -0\.9999999,"):
        check_and_shrink(mc.tanh, (7.7777,), check)


def test_a_point_of_many_operands_is_not_simplified_for_long():
    check, asked = failing(lambda xs: xs == (7.7777,) * 33)
    with pytest.raises(AssertionError):
        check_and_shrink(mc.sum, (7.7777,) * 33, check)
    assert len(asked) == 1 + evaluation_points.SHRINK_TRIALS
