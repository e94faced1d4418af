"""The verdict on one derivative: right, wrong, at a kink, at an edge of the domain, or unknown."""

import itertools
import math
from dataclasses import replace

import pytest

from micrograd_cn.testing.arrays.tolerance import ArrayTolerance
from micrograd_cn.testing.numeric.compare import Claim, compare
from micrograd_cn.testing.numeric.numerical import Estimate, Steps, derivative
from micrograd_cn.testing.value_checks.value_stages import ValueTolerance, compare_value

SIDES = pytest.mark.parametrize("sign", [-1.0, 1.0])


def judged(g, analytic, x=0.0, rounding=0.0, rtol=1e-6, atol=1e-9, size=0.0, steps=None):
    return compare(Claim("it", analytic, g, x, g(x), rounding, ValueTolerance(rtol, atol, size), steps))


def of_values(g, analytic, x=0.5, rounding=0.0, rtol=1e-6, atol=None, lost=False):
    tolerance = ValueTolerance(rtol, 1e-9 if atol is None else atol, math.fabs(g(x)) / max(math.fabs(x), 1.0))
    return compare_value(Claim("it", analytic, g, x, g(x), rounding, tolerance), rtol, atol, lambda: lost)


# The tolerance.


@SIDES
def test_a_numerical_derivative_is_known_if_its_error_is_within_the_tolerance_and_a_tenth_of_it(sign):
    def is_exact_enough(error, slope=1.0, rtol=0.0, atol=0.0, size=0.0):
        return ValueTolerance(rtol, atol, size).is_exact_enough(Estimate(sign * slope, error))

    for limit, how in (
        (0.01, {"rtol": 0.01}),  # of the slope
        (0.015, {"rtol": 0.01, "size": 1.5}),  # of the values
        (0.02, {"rtol": 0.5}),  # five errors are a tenth of the slope
        (0.02, {"atol": 0.02, "rtol": 0.001}),
        (0.2, {"atol": 1.0, "rtol": 0.001}),  # five errors are the absolute tolerance
        (2e-5, {"slope": 0.0, "rtol": 1.0, "size": 1e8}),  # five errors are 1e-12 of the values
        (2e-4, {"slope": 0.0, "rtol": 1.0, "size": 1e30}),  # at most 1e-3
    ):
        assert is_exact_enough(0.99 * limit, **how)
        assert not is_exact_enough(1.01 * limit, **how)
    assert is_exact_enough(0.0, slope=0.0)
    assert is_exact_enough(0.25, slope=1.0, rtol=0.25, atol=1.25), "the limits themselves"
    assert not is_exact_enough(math.inf, slope=math.nan, rtol=1.0)


def test_what_is_allowed_is_the_largest_of_the_tolerances():
    def allowed(analytic, *estimates, rtol=0.0, atol=0.0):
        return ValueTolerance(rtol, atol, 0.0).allowed_error(analytic, *estimates)

    assert allowed(1.0, Estimate(-2.0, 0.0), rtol=0.25) == 0.5
    assert allowed(-4.0, Estimate(-2.0, 0.0), rtol=0.25) == 1.0
    assert allowed(-4.0, Estimate(-2.0, 0.25), rtol=0.25) == 1.25
    assert allowed(1.0, Estimate(-2.0, 0.0), rtol=0.25, atol=3.0) == 3.0
    assert allowed(1.0, Estimate(0.0, 0.0), Estimate(1.0, 1.0)) == 5.0
    assert allowed(math.inf, Estimate(-2.0, 0.0), rtol=0.25) == 0.5
    assert allowed(0.0, Estimate(0.0, 0.0)) == allowed(math.inf, Estimate(0.0, 0.0), rtol=0.25) == 0.0


# Kinks, edges and jumps.


@SIDES
def test_a_smooth_derivative_is_right_within_the_tolerance_and_tells_the_order_if_not(sign):
    for off, agrees in ((0.9e-3, True), (-0.9e-3, True), (1.1e-3, False), (-1.1e-3, False)):
        comparison = judged(lambda x: sign * 2.0 * math.sin(x), sign * 2.0 * (1.0 + off), rtol=1e-3)
        assert comparison.agrees is agrees
        assert (comparison.note, comparison.title, comparison.analytic) == ("", "it", sign * 2.0 * (1.0 + off))
        assert comparison.numeric.slope == pytest.approx(sign * 2.0)
        assert comparison.numeric == derivative(lambda x: sign * 2.0 * math.sin(x), 0.0) or not agrees
        assert (
            math.isnan(comparison.remainder_order)
            if agrees
            else comparison.remainder_order == pytest.approx(1.0, abs=0.1)
        )


@SIDES
def test_at_a_kink_what_lies_between_both_sides_is_right(sign):
    def g(x):
        return sign * (2.0 * x if x < 0.0 else 5.0 * x)

    for slope, agrees in ((2.0, True), (3.0, True), (5.0, True), (1.99, False), (5.01, False), (-3.0, False)):
        comparison = judged(g, sign * slope)
        assert comparison.agrees is agrees
        assert comparison.note == f"kink: {sign * 2.0:g} on the left, {sign * 5.0:g} on the right"
    for slope, agrees in ((1.97, True), (5.09, True), (1.95, False), (5.11, False)):
        assert judged(g, sign * slope, rtol=0.02).agrees is agrees
    for slope in (1.75, 5.25):
        assert judged(g, sign * slope, rtol=0.0, atol=0.25).agrees, "at the limit itself"
    assert judged(g, math.nan).agrees is None
    assert judged(g, math.inf).agrees is judged(g, -math.inf).agrees is False


@SIDES
def test_slopes_of_both_sides_within_ten_tolerances_are_one(sign):
    for apart, note in ((0.0099, ""), (0.0103, "kink")):

        def g(x, apart=apart):
            return sign * x * (1.0 if x < 0.0 else 1.0 + apart)

        comparison = judged(g, sign * 0.9, rtol=1e-3, atol=0.0)
        assert comparison.agrees is False
        assert comparison.note.startswith(note)
        assert bool(comparison.note) is bool(note)
        assert comparison.numeric.slope == pytest.approx(sign * (1.0 + 0.5 * apart))
    near = judged(lambda x: sign * x * (1.0 if x < 0.0 else 1.0015), sign * 1.0007, rtol=1e-3, atol=0.0)
    assert near.agrees


@SIDES
def test_what_lies_between_the_sides_of_a_small_kink_is_not_wrong(sign):
    """It would be right at a larger kink. Here the two sides may be one slope that is known less well than it seems."""

    def g(x):
        return sign * x * (1.0 if x < 0.0 else 1.009)

    for slope, agrees in ((1.0045, True), (1.002, None), (1.007, None), (0.99, False), (1.019, False)):
        comparison = judged(g, sign * slope, rtol=1e-3, atol=0.0)
        assert comparison.agrees is agrees
        assert comparison.note.startswith("kink") is (agrees is None)


def test_what_only_one_side_allows_is_not_right_by_chance():
    for slope in (0.9985, 1.0045):
        comparison = judged(lambda x: x * (1.0 if x < 0.0 else 1.003), slope, rtol=1e-3, atol=0.0)
        assert comparison.agrees is False
        assert comparison.note == ""


@SIDES
def test_at_the_edge_of_the_domain_the_derivative_is_that_of_the_one_side(sign):
    def g(x):
        return math.exp(x) if sign * x <= 0.0 else math.nan

    where = "left" if sign > 0.0 else "right"
    for slope, agrees in ((1.0, True), (1.01, False), (0.99, False)):
        comparison = judged(g, slope)
        assert comparison.agrees is agrees
        assert comparison.note == f"edge of the domain: compared on the {where}"
        assert comparison.numeric.slope == pytest.approx(1.0)


@SIDES
def test_the_edge_may_be_where_the_function_is_0(sign):
    comparison = judged(lambda x: x if sign * x <= 0.0 else math.nan, 1.25, rtol=0.0, atol=0.25)
    assert comparison.agrees, "at the limit itself"
    assert comparison.note.startswith("edge of the domain")


@SIDES
def test_beside_a_jump_nothing_is_told(sign):
    where = "left" if sign > 0.0 else "right"
    for size, told in ((2e-6, False), (0.5e-6, True)):  # of the value, one float further

        def g(x, size=size):
            return 9.0 * (1.0 + x + (size + math.sqrt(abs(x)) if sign * x > 0.0 else 0.0))

        comparison = judged(g, 9.0)
        assert comparison.agrees is (True if told else None)
        assert comparison.note.startswith(
            "edge of the domain" if told else f"a jump or a pole nearby: smooth on the {where} "
        )
        assert judged(g, 9.1).agrees is None, "beyond it is finite"


@SIDES
def test_a_jump_must_stand_out_from_rounding(sign):
    for rounding, told in ((0.9e-7, False), (1.1e-7, True)):
        comparison = judged(
            lambda x: 1.0 + x + (1e-4 + abs(x) ** 0.5 if sign * x > 0 else 0.0), 1.0, 0.0, rounding, 0.01
        )
        assert comparison.agrees is (True if told else None)


def test_where_neither_side_is_smooth_nothing_is_told():
    comparison = judged(lambda x: math.copysign(1.0, x) * abs(x) ** 0.3, 1.0)
    assert comparison.agrees is None
    assert comparison.note == "no numerical derivative: a jump, a pole, or too much noise"
    assert not comparison.noisy


def test_noise_that_hides_a_derivative_is_told_from_other_reasons():
    comparison = judged(lambda x: 1.0 + x, 1.0, rounding=1.0)
    assert comparison.agrees is None
    assert comparison.noisy
    assert comparison.note == "too noisy to tell: values are rounded by 1"
    assert judged(lambda x: 1.0 + x, 1.0, rounding=1e-8, rtol=1e-12, atol=1e-12).noisy


# Features as small as the finest steps.


STEPS = Steps([2.0**-3, 2.0**-9, 2.0**-16, 2.0**-24], 2.0**-39, 1e-8, stops_early=True)
FINE = STEPS.finest


def in_steps(g, analytic, rounding=0.0):
    """Return the verdict on a derivative at 0, and whether a feature as small as the finest steps is the reason."""
    comparison = judged(g, analytic, rounding=rounding, steps=STEPS)
    return comparison.agrees, "a feature as small as the finest steps" in comparison.note


@SIDES
def test_a_derivative_is_not_wrong_if_the_finest_steps_are_nearer_to_it(sign):
    def bent(x):
        return sign * (x + 4.0 * min(max(x, -2.0 * FINE), 2.0 * FINE))  # its slope is 5 in the finest steps alone

    assert in_steps(bent, sign * 1.0) == (True, False)
    for analytic in (4.0, 5.0, 8.0):
        assert in_steps(bent, sign * analytic) == (None, True)
    for analytic in (-5.0, 0.5, 60.0):
        assert in_steps(bent, sign * analytic) == (False, False), "it is far from both slopes"
    assert in_steps(lambda x: sign * x, sign * 5.0) == (False, False)


@SIDES
def test_a_derivative_is_not_wrong_if_the_function_jumps_in_the_finest_steps(sign):
    def jumping(x, wider=1.0):
        return x + sign * 2.0**-30 * math.copysign(wider if 7.0 < abs(x) / FINE < 9.0 else 1.0, x)

    assert in_steps(jumping, 5.0) == (None, True)
    assert in_steps(lambda x: jumping(x, 4.0), 5.0) == (False, False), "in wider steps it changes far more"
    assert in_steps(jumping, 1e6, rounding=2.0**-36) == (None, True)
    assert in_steps(jumping, 1e6, rounding=2.0**-32) == (False, False), "rounding may make the jump"


def test_finest_steps_are_no_excuse_where_rounding_hides_what_they_show():
    for rounding, verdict in ((0.0, (None, True)), (2.0**-56, (None, True)), (2.0**-40, (False, False))):
        assert in_steps(lambda x: x + 1e-3 * min(max(x, -2.0 * FINE), 2.0 * FINE), 1.001, rounding) == verdict


def test_a_small_feature_excuses_a_derivative_only_where_steps_are_given():
    def g(x):
        return x / max(abs(x), 2.0**-13)

    steps = Steps([0.125], 2.0**-12, 1e-8)
    comparison = judged(lambda x: 3.0 * x + g(x), 3.0 + 2.0**13, steps=steps)
    assert comparison.agrees is None or comparison.note
    smooth = judged(math.sin, 1.5, steps=steps)
    assert smooth.agrees is False
    assert smooth.remainder_order == pytest.approx(1.0, abs=0.1)
    step = judged(lambda x: x + (0.0 if abs(x) < 2.0**-11 else 1e-3 * x), 1.5, steps=Steps([0.125], 2.0**-9, 1e-8))
    assert step.agrees is False


# Functions of `Value`s.


def test_the_value_must_be_finite():
    for y in (math.inf, math.nan):
        comparison = of_values(lambda x, y=y: y, 1.0)
        assert comparison.agrees is None
        assert comparison.note == f"not finite at the point: the function is {y}"


def test_by_default_a_derivative_may_be_off_by_a_thousand_millionth():
    for slope, off, agrees in (
        (1e-5, 0.9e-9, True),
        (1e-5, 1.1e-9, False),
        (1e-8, 0.5e-9, False),
        (1e-6, 0.9e-9, True),
    ):
        for s, sign in itertools.product((-1.0, 1.0), repeat=2):
            comparison = of_values(lambda x, slope=s * slope: slope * x, s * slope + sign * off)
            assert comparison.agrees is agrees
            assert (
                math.isnan(comparison.remainder_order)
                if agrees
                else comparison.remainder_order == pytest.approx(1.0, abs=0.1)
            )
    assert of_values(lambda x: 1e-8 * x, 1.05e-8, lost=True).agrees, "where digits are lost"
    assert of_values(lambda x: 1e-8 * x, 1.05e-8, atol=1e-9).agrees, "where that is given"
    assert of_values(lambda x: 0.0, 1e-10).agrees, "where nothing is known relative to it"
    assert of_values(lambda x: 1e-8 * x, 1.0009e-8).agrees, "up to a thousandth"
    assert of_values(lambda x: 1e-8 * x, 1.0011e-8).agrees is False
    assert of_values(lambda x: 1e-8 * x, 1.009e-8, rtol=0.01).agrees, "or as far as the relative tolerance goes"
    assert of_values(lambda x: 1e-8 * x, 1.011e-8, rtol=0.01).agrees is False
    assert of_values(lambda x: 2.0 * x, 2.019, rtol=0.01).agrees
    assert of_values(lambda x: 2.0 * x, 2.021, rtol=0.01).agrees is False


def test_where_nothing_changes_but_0_nothing_is_known_relative_to_it():
    for x in (0.5, -20.0, 1e3):
        assert of_values(lambda t: 0.0 * t, 2e-14, x).agrees


def test_what_is_known_to_less_than_four_digits_excuses():
    for rounding, agrees in ((1e-15, False), (1e-12, True)):
        comparison = of_values(lambda x: 1e-8 * (x + 0.3 * math.sin(4.0 * x)), 1e-8 * 2.2 * 1.02, 0.0, rounding)
        assert comparison.agrees is agrees


@SIDES
def test_a_derivative_that_rounding_may_hide_is_not_wrong_where_the_function_stands_still(sign):
    for x, part in ((0.5, 1.0), (-4.0, 4.0)):
        for factor, agrees in ((31.0, None), (33.0, False)):
            comparison = of_values(lambda t: 1.0 + 0.0 * t, sign * factor * 1e-6 / part, x, rounding=1e-6)
            assert comparison.agrees is agrees
            assert comparison.noisy is (agrees is None)
            assert agrees is False or comparison.note == "too noisy to tell: values are rounded by 1e-06"
    moving = of_values(lambda t: 1e-3 * t, sign * 1.1e-3, 0.5, rounding=1e-12)
    assert moving.agrees is False
    assert of_values(lambda t: sign * t, 0.0).agrees is False


def test_a_mistake_must_stand_out_from_the_noise_that_is_measured():
    def far(x):
        return (1.1 * x + 1e8) - 1e8

    assert of_values(far, 1.1 * (1.0 + 2e-6)).agrees is not False
    assert of_values(far, 1.1 * 1.01).agrees is False
    assert of_values(lambda x: 1.1 * x, 1.1 * (1.0 + 2e-6)).agrees is False


def test_the_size_of_the_values_tells_how_exact_a_derivative_must_be():
    for x, y in ((0.5, 1e8), (100.0, 1e10), (-100.0, -1e10)):  # values by numbers of 1e8, of which 1e-12 is 1e-4
        for part, agrees in ((0.3, True), (3.0, None)):
            step = max(abs(x), 1.0) / 8.0
            rounding = part * 1e-4 / 20.0 * step  # five errors are twenty roundings by the step
            comparison = of_values(lambda t, x=x, y=y: y + 1e-5 * (t - x), 1e-5, x, rounding)
            assert comparison.agrees is agrees


def test_a_remainder_is_of_the_first_order_if_it_is_so_on_both_sides():
    one_side = Claim(
        "it", 0.0, lambda t: 2.0 * t if t > 0.0 else t * t, 0.0, 0.0, 0.0, ArrayTolerance(1e-6, 0.0, 0.0, 0.0)
    )
    steps = Steps([2.0**-3, 2.0**-9, 2.0**-16], 2.0**-39, 1e-12)
    assert replace(one_side, steps=steps).remainder_order() == pytest.approx(2.0)
    assert replace(one_side, g=lambda t: 2.0 * t, steps=steps).remainder_order() == pytest.approx(1.0)
