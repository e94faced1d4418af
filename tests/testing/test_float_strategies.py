"""The floats that strategies draw: between the bounds, of every magnitude, and more of them where it matters."""

import math
import sys
from math import inf

import pytest
from hypothesis import find

from micrograd_cn.ops.traits import POSITIVE, REAL
from micrograd_cn.testing.drawing import float_strategies as module
from micrograd_cn.testing.drawing.float_strategies import (
    bounds,
    enumerate_three_digits,
    floats_between,
    interior,
    interval_near_0,
    numbers_near_end,
    numbers_of_every_magnitude,
    reals,
    three_digit_numbers,
    tidied,
    tidy_power_of_10,
    whole_numbers,
)

from .drawing import QUICK, drawn_from

MIN_RESULT = 5e-324  # the least positive number


# Bounds.


def test_bounds_are_within_the_finite_numbers_of_the_type():
    assert bounds("f", -inf, inf) == (-sys.float_info.max, sys.float_info.max)
    assert bounds("f", -inf, inf, 65504.0) == (-65504.0, 65504.0)
    assert bounds("f", 3, 3) == (3.0, 3.0)
    assert bounds("f", 65504.0, inf, 65504.0) == (65504.0, 65504.0)
    assert bounds("f", -inf, -65504.0, 65504.0) == (-65504.0, -65504.0)


@pytest.mark.parametrize(("low", "high"), [(2.0, 1.0), (65505.0, 1e9), (-1e9, -65505.0), (inf, inf), (-inf, -inf)])
def test_bounds_without_a_number_between_are_refused(low, high):
    with pytest.raises(ValueError, match=r"^f: min_value must be at most max_value, .*, got "):
        bounds("f", low, high, 65504.0)


def test_a_bound_that_is_nan_is_refused_by_its_name():
    with pytest.raises(ValueError, match=r"^f: min_value must be a number"):
        bounds("f", math.nan, 1.0)
    with pytest.raises(ValueError, match=r"^f: max_value must be a number"):
        bounds("f", 1.0, math.nan)


@pytest.mark.parametrize(
    ("domain", "part"),
    [
        (REAL, (-3.0, 3.0)),
        (POSITIVE, (0.05, 3.0)),
        ((-inf, 0.0), (-3.0, -0.05)),
        ((-1.0, inf), (-0.95, 3.0)),
        ((10.0, inf), (10.05, 16.05)),
        ((-inf, -10.0), (-16.05, -10.05)),
        ((10.0, 11.0), (10.05, 10.95)),
        ((-11.0, -10.0), (-10.95, -10.05)),
        ((0.0, 0.1), (0.025, 0.075)),
        ((-0.1, 0.1), (-0.05, 0.05)),
    ],
)
def test_the_inside_of_a_domain_is_near_0_or_near_its_end(domain, part):
    assert interior(domain, 3.0) == pytest.approx(part, rel=1e-14)


def test_the_margin_of_an_inside_may_be_chosen():
    assert interior(POSITIVE, 3.0, 1e-6) == (1e-6, 3.0)
    assert interior((-2.0, 2.0), 3.0, 0.0) == (-2.0, 2.0)


def test_numbers_with_all_digits_are_near_0_or_the_end_of_the_domain_or_of_the_bounds():
    assert interval_near_0(REAL, -1e9, 1e9) == (-3.0, 3.0)
    assert interval_near_0(POSITIVE, MIN_RESULT, 2.0) == (0.05, 2.0)
    assert interval_near_0((-1.0, 1.0), -0.3, 0.9999) == (-0.3, 0.95)
    assert interval_near_0(REAL, 200.0, 1e9) == (200.0, 206.0)
    assert interval_near_0(REAL, -1e9, -200.0) == (-206.0, -200.0)
    assert interval_near_0(POSITIVE, 1e-9, 0.01) == (1e-9, 0.01)
    assert interval_near_0(REAL, 3.0, 5.0) == (3.0, 3.0)


# Single kinds of numbers.


def test_tiny_numbers_have_three_digits_and_none_is_less_than_the_least():
    assert tidied(1.23456e-3, -1.0, 1.0, 1e-100) == 1.23456e-3
    assert tidied(-1e-6 * 1.23456, -1.0, 1.0, 1e-100) == -1.23456e-6
    assert tidied(9.87654e-7, -1.0, 1.0, 1e-100) == 9.88e-7
    assert tidied(9.87654e-7, -1.0, 9.879e-7, 1e-100) == 9.879e-7
    assert tidied(9.87123e-7, 9.871e-7, 1.0, 1e-100) == 9.871e-7
    assert tidied(-9.87e-101, -1.0, 1.0, 1e-100) == 0.0
    assert tidied(9.87e-101, 0.0, 1.0, 1e-100) == 0.0
    assert tidied(-9.87e-101, -1.0, 0.0, 1e-100) == 0.0
    assert tidied(9.87e-101, MIN_RESULT, 0.5, 1e-100) == 0.5
    assert tidied(-9.87e-101, -0.5, -MIN_RESULT, 1e-100) == -0.5
    assert tidied(0.0, -1.0, 1.0, 1e-100) == 0.0


def test_whole_numbers_of_an_interval():
    assert {*drawn_from(whole_numbers(-1.5, 2.5))} == {-1.0, 0.0, 1.0, 2.0}
    assert {*drawn_from(whole_numbers(2.0, 2.0))} == {2.0}
    assert whole_numbers(0.2, 0.8).is_empty
    assert all(isinstance(x, float) for x in drawn_from(whole_numbers(0.0, 9.0), 5))


def test_floats_of_an_interval_have_whole_numbers_among_them():
    xs = drawn_from(floats_between(0.5, 5.5))
    assert all(0.5 <= x <= 5.5 for x in xs)
    assert {1.0, 2.0, 3.0, 4.0, 5.0} <= {*xs}
    assert sum(not x.is_integer() for x in xs) > 20
    assert all(0.2 <= x <= 0.8 for x in drawn_from(floats_between(0.2, 0.8)))
    assert all(x == 0.0 or abs(x) > 1e-308 for x in drawn_from(floats_between(-1e-300, 1e-300))), "none is subnormal"


def test_numbers_of_three_digits_are_numbered_from_1_on():
    count, numbered = enumerate_three_digits(-1e6, 1e6, 1e-6, 1e6)
    assert [numbered(k) for k in (0, 1, 998, 999, 1000, 1997)] == [1.0, 2.0, 999.0, -1.0, -2.0, -999.0]
    xs = [numbered(k) for k in range(count)]
    decades = [math.floor(math.log10(abs(x))) for x in xs]
    assert {*decades} == set(range(-6, 7))
    assert decades[-100:].count(0) == 0 < decades[:100].count(0), "those near 1 come first"
    digits = {float(f"{d}e{e}") for d in range(1, 1000) for e in range(-8, 7)}
    assert {abs(x) for x in xs} == {x for x in digits if 1e-6 <= x <= 1e6}
    assert {x > 0.0 for x in xs} == {True, False}


@pytest.mark.parametrize(
    ("low", "high", "least", "most", "numbers"),
    [
        (0.99, 1.03, 1e-6, 1e6, {0.99, 0.991, 0.995, 0.999, 1.0, 1.01, 1.02, 1.03}),
        (-1.03, -0.99, 1e-6, 1e6, {-0.99, -0.995, -1.0, -1.01, -1.03}),
        (-0.2, 0.3, 0.199, 1e6, {-0.2, 0.2, 0.3, 0.25, 0.203, -0.199}),
        (-1e9, 1e9, 5.0, 7.0, {5.0, 7.0, -5.0, -7.0, 6.99, -5.01}),
        (1234.0, 1236.0, 1e-6, 1e6, set()),
        (7.0, 7.0, 1e-6, 1e6, {7.0}),
        (2.0, 3.0, 5.0, 1e6, set()),
    ],
)
def test_numbers_of_three_digits_are_between_the_bounds(low, high, least, most, numbers):
    count, numbered = enumerate_three_digits(low, high, least, most)
    xs = {numbered(k) for k in range(count)}
    assert numbers <= xs
    assert bool(xs) == bool(numbers)
    assert all(low <= x <= high and least <= abs(x) <= most for x in xs)
    assert enumerate_three_digits(-high, -low, least, most)[0] == count
    strategy = three_digit_numbers(low, high, least, most)
    assert strategy.is_empty == (not numbers)
    if numbers:
        assert {*drawn_from(strategy, 50)} <= xs


def test_the_numbers_of_three_digits_are_drawn_to_the_last():
    strategy = three_digit_numbers(0.97, 1.0, 1e-6, 1e6)
    count, numbered = enumerate_three_digits(0.97, 1.0, 1e-6, 1e6)
    assert count == 1 + 1 + 4 + 30, "of 1.0, of 1.0 to one and to two digits, and of 0.970 to 0.999"
    assert {*drawn_from(strategy, 300)} == {numbered(k) for k in range(count)}


def test_magnitudes_are_drawn_alike_on_both_sides():
    xs = drawn_from(numbers_of_every_magnitude(-1e9, 1e9, 1e-4, 1e4), 300)
    for sign in (1.0, -1.0):
        decades = [math.floor(math.log10(sign * x)) for x in xs if sign * x > 0.0]
        assert {*range(-4, 4)} <= {*decades} <= {*range(-4, 5)}
    assert all(x == float(f"{x:.2e}") for x in xs)


@pytest.mark.parametrize(
    ("low", "high", "least", "most"),
    [
        (-0.2, 3.3, 1e-3, 1e9),
        (0.5, 0.7, 1e-3, 1e9),
        (-7.7, -7.1, 1e-3, 1e9),
        (-9.0, 9.0, 5.0, 1e9),
        (3.0, 3.0, 1.0, 9.0),
    ],
)
def test_magnitudes_are_between_the_bounds(low, high, least, most):
    xs = drawn_from(numbers_of_every_magnitude(low, high, least, most))
    assert all(low <= x <= high and 0.99 * least <= abs(x) <= most for x in xs)
    assert any(x > 0.0 for x in xs) == (high > 0.0)
    assert any(x < 0.0 for x in xs) == (low < 0.0)
    assert len({*xs}) > 10 or low == high
    assert numbers_of_every_magnitude(low, high, 10.0, most).is_empty


def test_a_power_of_ten_is_exact_where_it_is_whole():
    assert [tidy_power_of_10(float(e)) for e in (-100, -1, 0, 5, 30)] == [1e-100, 0.1, 1.0, 1e5, 1e30]
    assert tidy_power_of_10(-0.5) == 0.316
    assert tidy_power_of_10(1.25) == 17.8


def test_numbers_near_an_end_have_distances_of_every_magnitude():
    for end, low, high in ((0.0, MIN_RESULT, 10.0), (1.0, -1.0, math.nextafter(1.0, 0.0))):
        distances = [abs(x - end) for x in drawn_from(numbers_near_end(end, low, high), 200)]
        assert all(4e-8 <= d <= 0.0501 for d in distances)
        assert {math.floor(math.log10(d)) for d in distances} >= {-7, -6, -5, -4, -3, -2}
    for end in (2.0, 2.08):
        xs = drawn_from(numbers_near_end(end, math.nextafter(2.0, 3.0), math.nextafter(2.08, 2.0)))
        assert all(2.0 < x < 2.08 and abs(x - end) <= 0.02 for x in xs)
        assert max(abs(x - end) for x in xs) > 0.01


# All kinds.


def test_numbers_are_inside_the_domain_and_between_the_bounds():
    for low, high, domain in (
        (-inf, inf, POSITIVE),
        (-inf, inf, (-1.0, 1.0)),
        (-3.5, 0.25, (-1.0, 1.0)),
        (-5.0, 5.0, (-inf, 0.0)),
        (-5.0, 5.0, (-inf, -1.0)),
        (-1e-3, 1e-3, REAL),
        (1e-200, 1e-199, POSITIVE),
        (0.0, 5e-101, POSITIVE),
        (4.0, 4.0, REAL),
    ):
        for x in drawn_from(reals(low, high, domain), 80):
            assert low <= x <= high
            assert domain[0] < x < domain[1]
    assert reals(5.0, 6.0, (0.0, 5.0)).is_empty
    assert reals(-1.0, 0.0, POSITIVE).is_empty
    assert not reals(-1.0, 0.0, (-1.0, 1.0)).is_empty


def test_numbers_of_all_kinds_are_drawn():
    xs = drawn_from(reals(-1e300, 1e300, (-7.0, inf)), 500)
    sizes = [abs(x) for x in xs]
    assert {math.copysign(1.0, x) for x in xs if x == 0.0} == {1.0, -1.0}
    assert {1.0, -1.0, 2.0, -2.0, 3.0, -3.0} <= {*xs}
    assert any(1e-7 < x + 7.0 < 1e-2 for x in xs), "near the end of the domain"
    assert any(x > 1e10 for x in sizes)
    assert any(0.0 < x < 1e-10 for x in sizes)
    assert max(sizes) <= 1e100
    assert min(x for x in sizes if x) >= 0.99e-100
    assert any(len(repr(x)) > 10 for x in sizes if x < 3.0), "with all digits"
    assert sum(10.0 < x < 1e6 for x in sizes) > 10
    assert sum(1e-6 <= x < 0.01 for x in sizes) > 5


def test_the_other_zero_is_drawn_where_0_is_between_the_bounds():
    for low, high, drawn in ((0.0, 5.0, True), (-5.0, 0.0, True), (-0.5, 0.5, True), (0.5, 5.0, False)):
        xs = drawn_from(reals(low, high))
        assert any(x == 0.0 and math.copysign(1.0, x) < 0.0 for x in xs) == drawn


def test_the_magnitudes_may_be_limited():
    xs = drawn_from(reals(-1e300, 1e300, magnitudes=(1e-3, 1e3)), 300)
    assert max(map(abs, xs)) <= 1e3
    assert any(abs(x) > 100.0 for x in xs)
    large = drawn_from(reals(-1e300, 1e300, magnitudes=(5.0, 1e9)), 120)
    assert all(x == 0.0 or 4.99 <= abs(x) <= 1e9 for x in large)
    assert 0.0 in large
    assert any(x % 1.0 and abs(x) < 3.0 for x in drawn_from(reals(-1e300, 1e300, magnitudes=(2.0, 1e9)), 120))
    far = drawn_from(reals(-1e300, 1e300, magnitudes=(1e-200, 1e200)), 300)
    assert max(map(abs, far)) > 1e120
    assert min(abs(x) for x in far if x) < 1e-120


def test_every_second_number_is_of_a_dense_interval():
    dense = ((1.3, 1.35), (2.6, 2.7))
    xs = drawn_from(reals(-1e300, 1e300, REAL, dense), 300)
    inside_of = [sum(low <= x <= high for x in xs) for low, high in dense]
    assert all(count > 20 for count in inside_of)
    assert 90 < sum(inside_of) < 230
    assert sum(1.3 <= x <= 1.325 for x in drawn_from(reals(-9.0, 1.325, REAL, dense), 60)) > 10
    assert sum(1.32 <= x <= 1.35 for x in drawn_from(reals(1.32, 2.0, REAL, dense), 60)) > 10
    assert all(3.1 <= x <= 9.0 for x in drawn_from(reals(3.1, 9.0, REAL, dense), 30)), "none is drawn outside"
    assert drawn_from(reals(1.35, 9.0, REAL, dense), 60).count(1.35) > 4, "an end of an interval is of it"
    assert drawn_from(reals(-9.0, 1.3, REAL, dense), 60).count(1.3) > 4
    tiny = drawn_from(reals(-1.0, 1.0, REAL, ((1e-9, 2e-9),)))
    assert any(1e-9 <= x <= 2e-9 for x in tiny)
    assert all(x == float(f"{x:.2e}") for x in tiny if 0.0 < abs(x) < 1e-6)


def test_numbers_shrink_to_simple_ones():
    for low, high, domain, simplest in ((-1e9, 1e9, POSITIVE, 1.0), (-20.0, -10.0, REAL, -10.0)):
        assert find(reals(low, high, domain), lambda x: True, settings=QUICK) == simplest


def test_a_strategy_is_made_once():
    assert reals(-1.0, 1.0) is reals(-1.0, 1.0)


def test_strategies_without_hypothesis_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(ImportError, match=r"strategies need hypothesis: pip install hypothesis, or from a clone"):
        module.import_strategies()


def test_the_cubes_of_useful_numbers_are_floats():
    least, largest = module.DRAWN_MAGNITUDES
    assert least**3 > 0.0
    assert largest**3 < inf
