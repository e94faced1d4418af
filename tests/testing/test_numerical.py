"""Numerical derivatives: at which points they call the function, how exact they are, and how rounding is measured."""

import math
import random
import statistics

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Op, Value
from micrograd_cn.ops.traits import Smoothness
from micrograd_cn.testing import NothingCompared, gradcheck
from micrograd_cn.testing.numeric.call_budget import OutOfCalls
from micrograd_cn.testing.numeric.numerical import (
    Estimate,
    Steps,
    agree,
    derivative,
    loses_digits,
    noise_level,
    rounding_error,
    taylor_order,
    two_step_estimate,
)


class Recorded:
    """A function that records the points at which it was called."""

    def __init__(self, g):
        self.g, self.points = g, []

    def __call__(self, x):
        self.points.append(x)
        return self.g(x)


def rough(seed, size, smooth=lambda x: 0.0):
    """Return a function with random noise of up to `size`, always the same at the same point."""
    return lambda x: smooth(x) + size * random.Random(f"{seed} {x}").uniform(-1.0, 1.0)


# The quotients.


@pytest.mark.parametrize("side", [-1, 0, 1])
def test_steps_are_halved_to_the_finest_on_the_sides_that_are_wanted(side):
    g = Recorded(math.exp)
    derivative(g, 2.0, side, steps=Steps([1.0, 0.5], 0.25, 0.0))
    sides = [side] if side else [1, -1]
    moved = [sign * h for first in (1.0, 0.5) for h in (1.0, 0.5, 0.25) if h <= first for sign in sides]
    assert sorted(x - 2.0 for x in g.points if x != 2.0) == sorted(moved)


def test_three_central_quotients_are_exact_for_the_sixth_power_and_three_of_one_side_for_the_third():
    three = Steps([1.0], 0.25, 0.0)
    for n in (2, 4, 5, 6):
        assert derivative(lambda x, n=n: x**n, 1.0, steps=three).slope == pytest.approx(n, rel=1e-13)
    assert derivative(lambda x: x**7, 1.0, steps=three).slope != pytest.approx(7.0, rel=1e-3)
    for side in (-1, 1):
        for n in (1, 2, 3):
            estimate = derivative(lambda x, n=n: (3.0 + x) ** n, 1.0, side, steps=three)
            assert estimate.slope == pytest.approx(n * 4.0 ** (n - 1), rel=1e-13)


@pytest.mark.parametrize(
    "f", [lambda x: math.exp(3.0 * x), math.tan, lambda x: x**9, lambda x: 1.0 / (1.1 - x), math.log1p]
)
def test_what_two_steps_give_is_off_by_less_than_the_last_correction(f):
    exact = derivative(f, 0.5).slope
    two = derivative(f, 0.5, steps=Steps([0.25], 0.125, 0.0))
    coarse, fine = ((f(0.5 + h) - f(0.5 - h)) / (2.0 * h) for h in (0.25, 0.125))
    assert two.slope == pytest.approx((4.0 * fine - coarse) / 3.0)
    assert math.fabs(two.slope - exact) < two.error == pytest.approx(math.fabs(two.slope - coarse))


@pytest.mark.parametrize("rounding", [0.0, 1e-6])
def test_the_noise_of_a_quotient_is_two_last_bits_of_each_value_or_twice_the_rounding_of_each(rounding):
    estimate = derivative(lambda x: 4.0 + x, 0.0, 0, rounding, Steps([2.0**-3], 2.0**-4, 0.0))
    assert estimate.slope == 1.0  # values of about 4, whose last bit is 2**-50
    assert estimate.noise == estimate.error == 4.0 * max(2.0**-50, rounding) / 2.0**-3
    one = derivative(lambda x: 4.0 + x, 0.0, 1, rounding, Steps([2.0**-3], 2.0**-4, 0.0))
    assert one.noise == 4.0 * max(2.0**-50, rounding) / 2.0**-4


def test_without_two_steps_there_is_no_derivative():
    for steps in (Steps([1.0], 1.0, 0.0), Steps([1.0], 2.0, 0.0)):
        estimate = derivative(lambda x: x, 0.0, steps=steps)
        assert math.isnan(estimate.slope)
        assert estimate.error == math.inf


def test_steps_that_leave_the_domain_are_passed_over():
    estimate = derivative(lambda x: x**3 if 1.0 < x < 3.0 else math.nan, 2.0, steps=Steps([4.0], 0.125, 0.0))
    assert estimate.slope == pytest.approx(12.0, rel=1e-12)
    infinite = derivative(lambda x: x**3 if 1.0 < x < 3.0 else math.inf * x, 2.0, steps=Steps([4.0], 0.125, 0.0))
    assert infinite.slope == pytest.approx(12.0, rel=1e-12)


def test_an_extrapolation_ends_where_it_grows_worse():
    g = Recorded(rough(0, 1e-6, math.sin))
    derivative(g, 0.5, steps=Steps([0.125], 2.0**-30, 0.0))
    assert 8 <= len(g.points) <= 20, "not 14 halvings"
    smooth = Recorded(lambda x: x)
    derivative(smooth, 0.0, steps=Steps([0.125], 0.0, 0.0))
    assert len(smooth.points) == 28, "14 halvings, where each is as good as the first"


@pytest.mark.parametrize(("enough", "small"), [(1e-3, 0.0), (0.0, 6e-3)])
def test_an_estimate_is_enough_relative_to_the_slope_or_by_itself(enough, small):
    steps = Steps([1.0], 0.0, enough, small)
    exact = steps.relative_error * 6.0 + steps.absolute_error
    assert steps.suffice(Estimate(-6.0, exact))
    assert not steps.suffice(Estimate(-6.0, 1.01 * exact))
    assert not steps.suffice(Estimate(math.nan, math.inf))
    assert Steps([1.0], 0.0, 0.0).suffice(Estimate(0.0, 0.0))


def test_one_extrapolation_ends_where_it_is_exact_enough_if_it_shall():
    calls = []
    for steps in (Steps([0.125], 2.0**-20, 1e-6), Steps([0.125], 2.0**-20, 1e-6, stops_early=True)):
        g = Recorded(math.exp)
        estimate = derivative(g, 0.5, steps=steps)
        assert estimate.slope == pytest.approx(math.exp(0.5), rel=1e-6)
        calls.append(len(g.points))
    assert calls[1] == 6 < calls[0]


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_estimates_agree_up_to_ten_of_their_errors_together(sign):
    assert agree(Estimate(sign, 0.1), Estimate(sign * 3.9, 0.2))
    assert not agree(Estimate(sign, 0.1), Estimate(sign * 4.1, 0.2))
    assert agree(Estimate(0.0, 0.5), Estimate(sign * 10.0, 0.5)), "the limit itself"
    assert agree(Estimate(sign, 0.1), Estimate(math.nan, math.inf)), "what is not known does not disagree"


# The whole.


def test_the_first_steps_are_an_eighth_of_the_number_and_of_1_and_a_million_times_smaller():
    for x in (0.0, 5.0, 2.0**-30, -(2.0**20)):
        g = Recorded(lambda t: 1.0)
        assert derivative(g, x).slope == 0.0
        steps = {abs(t - x) for t in g.points} - {0.0}
        for size in {1.0, abs(x)} - {0.0}:
            assert {size / 8.0, size * 2.0**-24} <= steps
        assert max(steps) == max(1.0, abs(x)) / 8.0
        assert min(steps) == min(1.0, abs(x) or 1.0) * 2.0**-24


def test_a_function_that_stands_still_to_the_last_bit_has_the_slope_0_as_exactly_as_the_steps_show():
    for side, slope in ((-1, 1.0), (0, 0.5), (1, 0.0)):
        assert derivative(lambda x: min(x, 0.0), 0.0, side).slope == slope
    estimate = derivative(lambda x: 3.0 + 0.0 * x, 5.0)
    assert estimate == Estimate(0.0, 2.0**-51 / (5.0 / 8.0))
    assert estimate.noise == 0.0
    for side, slope in ((-1, 0.0), (1, 1.0)):
        assert derivative(lambda x: max(x, 0.0), 0.0, side).slope == pytest.approx(slope)
    assert derivative(lambda x: max(x, 0.0) ** 2, 0.0, -1).error < 1e-300


@pytest.mark.parametrize("side", [-1, 0, 1])
@pytest.mark.parametrize("scale", [2.0**-40, 2.0**30])
def test_a_derivative_is_scaled_and_mirrored_with_the_function(side, scale):
    for f in (math.exp, lambda x: 1.0 / (x + 1.25), lambda x: abs(x - 1e-3) + x * x, math.sin):
        for x in (0.0, 1.0, 0.3):
            e = derivative(f, x, side)
            scaled = derivative(lambda t, f=f: scale * f(t), x, side)
            mirrored = derivative(lambda t, f=f: -f(-t), -x, -side)
            assert scaled.slope == scale * e.slope
            assert scaled.error == scale * e.error
            assert scaled.noise == scale * e.noise
            assert mirrored == e


@pytest.mark.parametrize("distance", [2.0**-2, 2.0**-5, 2.0**-8, 2.0**-11, 2.0**-14, 2.0**-18, 2.0**-22])
def test_a_derivative_is_as_exact_as_the_distance_to_a_kink_or_to_the_edge_of_the_domain_allows(distance):
    for x in (0.0, 0.5):
        for f, exact in (
            (lambda t, x=x: math.exp(t) + abs(t - x - distance), math.exp(x) - 1.0),
            (lambda t, x=x: math.exp(t) if t < x + distance else math.nan, math.exp(x)),
        ):
            e = derivative(f, x)
            assert math.fabs(e.slope - exact) <= e.error <= 2.0**-44 / distance


def test_what_the_coarse_steps_pass_over_the_finer_ones_see():
    for period, ripple in ((2.0**-7, 1e-2), (2.0**-7, 1e-7), (2.0**-12, 1e-2), (2.0**-12, 1e-7), (2.0**-19, 1e-2)):
        wave = 2.0 * math.pi / period  # the coarse steps are multiples of the period
        e = derivative(lambda x, r=ripple, w=wave: x + r / w * math.sin(w * x), 1.0)
        assert math.fabs(e.slope - 1.0 - ripple) <= e.error < 1e-7


def test_a_derivative_costs_few_calls():
    for f in (math.exp, math.sin, math.sqrt, lambda x: x**5):
        g = Recorded(f)
        derivative(g, 1.0)
        assert len(g.points) <= 42


# Rounding.


def levels(smooth, size, count=300, **how):
    """Return the mean noise that is measured of a rough function, relative to `size`, and how often none is seen."""
    found = [noise_level(rough(seed, size, smooth), 1.0, **how) for seed in range(count)]
    seen = [level for level in found if level]
    return statistics.fmean(seen) / size, 1.0 - len(seen) / count


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_noise_on_a_polynomial_is_twice_its_standard_deviation(n):
    step = 0.7 * 2.0**-10
    level, missed = levels(lambda x: ((x - 1.0) / step) ** n, 0.01, steps=(10,))
    assert level == pytest.approx(2.0 / math.sqrt(3.0), rel=0.1), "of uniform errors"
    assert missed < 0.05


def noise_of(values):
    """Return the measured rounding error of a function that has these values at the points of the only spacing."""
    step = 0.7 * 2.0**-3
    return noise_level(lambda t: values[round(math.fabs(t) / step - 0.3)], 0.0, steps=[3])


def test_a_staircase_is_rounded_by_half_of_its_largest_step_and_a_single_step_is_a_jump():
    assert noise_of([0.0, 0.0, 1.0, 1.0, 1.0, 3.0, 3.0, 3.0, 4.0]) == 1.0
    assert noise_of([0.0, 0.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0]) == 0.5, "four of eight stand still"
    assert noise_of([0.0, 0.0, 1.0, 2.0, 3.0, 3.0, 4.0, 5.0, 5.0]) != 0.5, "three of eight"
    assert noise_of([0.0] * 8 + [1.0]) == noise_of([2.0] * 4 + [1.0] * 5) == noise_of([1.0] * 9) == 0.0
    assert noise_of([0.0] * 7 + [1.0, 2.0]) == 0.5
    assert noise_of([math.inf, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0]) == 0.0


def test_what_is_smooth_has_no_noise():
    assert noise_level(math.exp, 0.0) > 0.0, "but for its last bits"
    for f in (lambda x: x, lambda x: x**5, math.exp, math.log, math.tan, lambda x: 1.0 / x):
        assert noise_level(f, 1.0, steps=(5, 7)) < 1e-15
        assert noise_level(f, 1.0) < 1e-15


def test_a_value_that_is_almost_0_beside_larger_ones_is_compared():
    """It is a subnormal number at -27.1, so no slope is seen there, and its noise may be less than any number."""
    x = np.array([[0.0, -27.1, 66.3, 73.7], [-850.0, -0.0, -1430.0, -0.0], [266.0, -1000.0, 1520.0, -1050.0]])
    gradcheck(lambda x: np.exp(-x * x), x, vjp=lambda x, u: -2.0 * u * x * np.exp(-x * x))


@pytest.mark.parametrize("x", [0.0, 0.3, -0.3, 1e-9, 7.0, 1e3, -1e6])
@pytest.mark.parametrize("part", [2.0**10, 2.0**20, 2.0**30, 2.0**35])
def test_the_rounding_of_a_larger_part_is_seen(x, part):
    resolution = max(math.ulp(part), math.ulp(part + x))
    assert 0.25 * resolution <= noise_level(lambda t: (t + part) - part, x) <= 1.2 * resolution


def test_what_oscillates_in_seven_steps_and_a_half_is_no_noise():
    assert noise_of([float(i * i) for i in range(-4, 5)]) == 0.0
    for phase in (0.0, 1.0, 2.0, 3.0, 4.0):
        slow, fast = ([math.cos(2.0 * math.pi * i / period + phase) for i in range(9)] for period in (7.5, 6.5))
        assert noise_of(slow) == 0.0
        assert noise_of(fast) > 0.1


def test_noise_is_looked_for_on_the_other_side_where_the_domain_ends():
    for sign in (-1.0, 1.0):
        level = noise_level(lambda t, s=sign: (t + 1e6) - 1e6 if s * t <= 0.5 else math.nan, sign * 0.5)
        assert 3e-11 < level < 3e-10


def test_noise_costs_few_calls_and_none_at_the_point_itself():
    for x, scales in ((0.3, 2), (0.0, 1), (2.0, 1)):
        g = Recorded(math.exp)
        noise_level(g, x)
        assert len(g.points) <= 36 * scales
        assert x not in g.points
        right = Recorded(lambda t, x=x: math.nan if t > x else 0.0)
        noise_level(right, x)
        assert min(right.points) < x < max(right.points)


def test_noise_is_not_looked_for_in_steps_of_few_floats():
    g = Recorded(lambda t: t % 7.0)
    assert noise_level(g, 2.0**40) == 0.0
    assert g.points == []
    far = Recorded(lambda t: t % 7.0)
    noise_level(far, 2.0**23, steps=(26, 27))
    assert len(far.points) == 9, "steps of 5.6 floats, not of 2.8"


def test_beside_what_is_seen_near_the_point_only_large_noise_counts_further_away():
    def f(x):  # its noise is of the size of its values, and 0 near 0
        return 2.0**-50 * round(2.0**50 * math.exp(100.0 * x)) if x > 1e-10 else 1.0

    assert noise_level(f, 1e-12) == 0.0
    assert noise_level(lambda x: rough(0, 2.0**-40)(x) + 1.0 if x > 1e-10 else 1.0, 1e-12) > 2.0**-42
    for x in (0.0, 1.0, 8.0):  # only one scale is measured here, and all noise counts
        assert noise_level(lambda t: rough(0, 2.0**-51)(t) + 1.0, x) > 2.0**-53


# Far from 0.


DISTANT = 2.0**60  # the floats beside it are 2.0**7 and 2.0**8 away


def foretold(g, value, slope, rounding=0.0):
    """Return whether a right derivative at `DISTANT` can be compared with those of g, a function of floats.

    It is that of a function with this value and slope there. `rounding` is its stated rounding error, in units of
    1e-15.
    """
    smoothness = Smoothness(rounding=lambda y, x: (rounding, 0.0))
    f = Op("own", lambda x: value + slope * (x - DISTANT), (lambda y, x: slope,), smoothness=smoothness)
    try:
        gradcheck(f, DISTANT, like=lambda v: g(v.data), rtol=0.01)
    except NothingCompared:
        return False
    return True


@pytest.mark.parametrize("k", [-2, -1, 1, 2])
def test_a_slope_is_foretold_if_it_leads_to_the_neighbouring_floats(k):
    neighbour = DISTANT + k * math.ulp(DISTANT)
    for off in (0.0, 0.09, -0.09, 0.11, -0.11):

        def g(t, off=off):
            return 3.0 * (t - DISTANT) * (1.0 + rough(0, 1e-4)(t) + off * (t == neighbour))

        assert foretold(g, 0.0, 3.0) is (math.fabs(off) < 0.1)


@pytest.mark.parametrize("off", [3.9, -3.9, 4.1, -4.1])
def test_neighbouring_floats_may_be_off_by_what_rounding_does(off):
    assert foretold(lambda t: 1.0 + off * 1e-6 * (t != DISTANT), 1.0, 0.0, rounding=1e9) is (math.fabs(off) < 4.0)


def test_between_distant_floats_a_derivative_must_foretell_the_neighbours():
    for x, neighbours in ((2.0**44, 2.0**-8), (2.0**45, 2.0**-7)):

        def about(t, x=x):  # 3 (t - x) to four digits
            return 3.0 * (t - x) * (1.0 + rough(0, 1e-4)(t))

        def beside(t, x=x, gap=neighbours):
            return about(t, x) + 5.0 * gap * (0.0 < math.fabs(t - x) < 3.0 * gap)

        assert derivative(about, x).slope == pytest.approx(3.0, rel=1e-3)
        e = derivative(beside, x)
        assert math.isnan(e.slope) if neighbours > 2.0**-8 else e.slope == pytest.approx(3.0, rel=1e-3)


# The order of the remainder.


def test_the_order_is_that_of_the_smallest_steps_that_rounding_leaves():
    assert taylor_order(math.exp, 0.0, 1.0 + 1e-5) == pytest.approx(1.0, abs=0.05)
    assert taylor_order(math.exp, 0.0, 1.0 + 1e-3) == pytest.approx(1.0, abs=1e-3)
    for power in (2, 3, 4):
        assert taylor_order(lambda x, n=power: x**n, 0.0, 0.0) == pytest.approx(power)
        assert taylor_order(lambda x, n=power: x + (x - 100.0) ** n, 100.0, 1.0) == pytest.approx(power, abs=1e-3)
    assert math.isnan(taylor_order(lambda x: 3.0 * x, 0.5, 3.0)), "nothing is left"
    assert math.isnan(taylor_order(lambda x: math.inf if x else 0.0, 0.0, 1.0))


@pytest.mark.parametrize(("x", "size"), [(0.0, 1.0), (-0.5, 1.0), (4.0, 4.0), (-4.0, 4.0)])
def test_the_order_is_seen_from_an_eighth_of_the_number_to_a_ten_millionth(x, size):
    g = Recorded(math.exp)
    taylor_order(g, x, math.exp(x))
    steps = [t - x for t in g.points if t != x]
    assert (max(steps), min(steps)) == (size / 8.0, pytest.approx(size * 2.0**-24))
    assert len(steps) == 22


def test_one_disturbed_step_does_not_spoil_the_order():
    def g(x):
        return x * x * (1.0 + 9.0 * (x == 2.0**-23))

    assert taylor_order(g, 0.0, 0.0) == pytest.approx(2.0)


def test_remainders_that_are_noise_have_no_order():
    for rounding in (1e-9, 1e-6):
        g = rough(0, rounding, lambda x: (1.0 + x) ** 2)
        assert taylor_order(g, 0.0, 2.0, rounding) == pytest.approx(2.0, abs=0.2)
        assert taylor_order(g, 0.0, 2.2, rounding) == pytest.approx(1.0, abs=0.2)
    assert taylor_order(rough(1, 2.0**-53, lambda x: 1.0 + x * x), 0.0, 0.0) == pytest.approx(2.0, abs=0.2)


# The rounding of a graph.


def test_the_rounding_of_a_graph_is_that_of_each_node_times_what_it_does():
    x, w = Value(3.0), Value(5.0)
    assert rounding_error(x + w) == math.ulp(8.0)
    assert rounding_error((x + w) * 100.0) == math.ulp(800.0) + 100.0 * math.ulp(8.0)
    assert rounding_error((x + w) * 0.0) == math.ulp(0.0)
    assert rounding_error((x + w) * -1.0) == 2.0 * math.ulp(8.0)
    infinite = Op("infinite", lambda x: x + 1.0, (lambda y, x: math.inf,))
    assert rounding_error(infinite(x + w)) == pytest.approx(math.ulp(9.0), rel=0.5, abs=0.0), (
        "what is infinite is left out"
    )


def test_what_a_row_says_of_its_rounding_is_taken_if_it_is_more_than_the_last_bit():
    def rounded(bits):
        return Op(
            "rounded", lambda x: 4.0 + x, (lambda y, x: 1.0,), smoothness=Smoothness(rounding=lambda y, x: (bits, 0.0))
        )

    x = Value(1.0)
    assert rounding_error(rounded(2.0)(x)) == pytest.approx(2e-15 * 5.0, rel=1e-9, abs=0.0)
    assert rounding_error(rounded(0.01)(x)) == rounding_error(rounded(math.inf)(x)) == math.ulp(5.0)
    assert rounding_error(rounded(math.nan)(x)) == math.ulp(5.0)


FAR_AWAY = Op("far_away", lambda x: (x + 1e6) - 1e6, (lambda y, x: 1.0,))
BOTH = Op("both", lambda a, b: a + ((b + 1e6) - 1e6), (lambda y, a, b: 1.0, lambda y, a, b: 1.0))


def test_the_rounding_of_a_row_of_ones_own_is_measured_along_what_moves():
    a, b = Value(0.3), Value(0.4)
    assert 3e-11 < rounding_error(FAR_AWAY(a)) < 3e-10
    assert 3e-11 < rounding_error(BOTH(a, b)) < 3e-10
    assert 3e-11 < rounding_error(BOTH(a, b), b) < 3e-10
    assert rounding_error(BOTH(a, b), a) < 1e-15
    assert rounding_error(BOTH(a, mc.exp(b)), a) > 3e-11, "what is computed moves too"


def test_lost_digits_are_those_of_ones_own_rows():
    own = Op("own", lambda x: 1.0 - math.cos(x), (lambda y, x: math.sin(x),))
    assert loses_digits(mc.exp(own(Value(1e-4))))
    assert not loses_digits(own(Value(1.0)))
    assert not loses_digits(1.0 - mc.cos(Value(1e-4)))
    assert not loses_digits(Value(1.0) - (1.0 - 2.0**-50))
    named = Op("exp", lambda x: 1.0 - math.cos(x), (lambda y, x: math.sin(x),))
    assert loses_digits(named(Value(1e-4))), "a name of the table does not make it a row of the table"


def test_a_row_that_stands_still_where_its_partial_says_that_it_moves_has_lost_digits():
    def still(partial, x=1.0, width=2.0**-10):
        flat = Op("flat", lambda t: x + 0.0 * t if math.fabs(t - x) < width else t, (lambda y, t: partial,))
        return loses_digits(flat(Value(x)))

    assert still(1.0)
    assert still(-1.0)
    assert not still(0.0)
    assert not still(2.0**-40), "a change of less than the last bit"
    constant = Op("constant", lambda t: 1.0 + 0.0 * t, (lambda y, t: 1e-4,))
    assert loses_digits(constant(Value(1.0)))
    assert loses_digits(constant(Value(0.0)))
    assert not loses_digits(constant(Value(1e-9))), "a change of less than the last bit"
    for x in (1.0, -1.0, 4.0):
        assert still(1.0, x, 1.3e-4 * abs(x))
        assert not still(1.0, x, 1.1e-4 * abs(x)), "seen by a step of 2**-13 of the number"
    assert still(1.0, x=0.0)
    of_right = Op("right", lambda t: max(t, 1.0), (lambda y, t: 1.0,))
    of_left = Op("left", lambda t: min(t, 1.0), (lambda y, t: 1.0,))
    assert not loses_digits(of_right(Value(1.0)))
    assert not loses_digits(of_left(Value(1.0)))
    second = Op("second", lambda a, b: a, (lambda y, a, b: 1.0, lambda y, a, b: 1.0))
    assert loses_digits(second(Value(1.0), Value(1.0)))


def test_a_row_of_ones_own_may_refuse_what_is_outside_its_domain():
    def root(x):
        if x < 0.5:
            raise ValueError("too small")
        return math.sqrt(x) / (x != 0.7)

    own = Op("own", root, (lambda y, x: 0.5 / y,))
    assert 0.0 < rounding_error(own(Value(0.5))) < 1e-15
    assert not loses_digits(own(Value(0.5)))


def test_a_glance_is_one_quotient_of_a_small_step_extrapolated_from_one_with_a_large_step():
    g = Recorded(lambda x: math.sin(x) + 3.0 * x * x)
    found = two_step_estimate(g, 0.0, 2.0**-3, 2.0**-16, 0.0)
    assert {abs(x) for x in g.points} == {2.0**-3, 2.0**-16}
    assert abs(found.slope - 1.0) <= found.error < 1e-9
    assert found.noise == 2.0 * math.ulp(g(2.0**-16)) * 2.0**16
    rounded = two_step_estimate(lambda x: x, 0.0, 2.0**-3, 2.0**-16, 1e-9)
    assert rounded.noise == rounded.error == 2e-9 * 2.0**16, "what is known of the rounding counts"
    assert math.isnan(two_step_estimate(lambda x: x if abs(x) < 0.1 else math.nan, 0.0, 2.0**-3, 2.0**-16, 0.0).slope)


def test_a_derivative_that_has_no_calls_left_is_not_known():
    asked = iter(range(3))

    def spent(x):
        if next(asked, None) is None:
            raise OutOfCalls
        return x

    assert math.isnan(derivative(spent, 0.0, 0, 0.0, Steps([2.0**-3, 2.0**-9], 2.0**-20, 1e-12)).slope)


def test_what_satisfies_must_be_so_with_a_finer_first_step_too():
    """A kink is nearer than the first step: large steps see another slope, which would be accepted."""

    def g(x):
        return x + 2.0 * max(abs(x) - 2.0**-10, 0.0) * math.copysign(1.0, x)

    steps = Steps([2.0**3, 2.0**-12], 2.0**-30, 1e-12, stops_early=True)
    found = derivative(g, 0.0, 0, 0.0, steps, lambda e: abs(e.slope - 3.0) < 1e-2)
    assert found.slope == pytest.approx(1.0)


def test_noise_in_short_steps_is_no_excuse_for_what_longer_steps_have_shown():
    """The noise of the second extrapolation is so large that it would excuse what the first one shows."""
    accepted = []

    def accept(e):
        if abs(e.slope - 2.0001) <= 5.0 * e.error:
            accepted.append(e)
        return e in accepted

    steps = Steps([2.0**-2, 2.0**-11], 2.0**-13, 0.0, stops_early=True)
    found = derivative(lambda x: x * x, 1.0, 0, 1e-8, steps, accept)
    assert accepted
    assert abs(found.slope - 2.0) <= found.error < 1e-6


def test_noise_that_does_not_matter_takes_three_calls_for_each_spacing():
    noisy, calls = rough(0, 1e-9), []

    def g(x):
        calls.append(x)
        return noisy(x)

    level = noise_level(g, 1.0)
    several = len(calls)
    calls.clear()
    assert noise_level(g, 1.0, least=1e-10) == level
    assert len(calls) == several, "no value is computed twice"
    calls.clear()
    assert noise_level(g, 1.0, least=1e-3) == 0.0
    assert len(calls) == 12
