"""The steps that an expression may have: smooth near its point, with a result that rounding does not hide."""

import math
from math import inf

import pytest

import micrograd_cn as mc
from micrograd_cn import Op
from micrograd_cn.ops.traits import POSITIVE, REAL
from micrograd_cn.testing.drawing.smooth_steps import NudgedValue, fits_domain, is_smooth, nudged_input, smooth_step

from .rows import grouped


def row(forward, count=1, **fields):
    """Return an operation without partials, which these steps do not use."""
    return Op("own", forward, (None,) * count, **grouped(**fields))


def at(x, place=0, domain=REAL, kinked=False):
    return nudged_input(x, place, domain, kinked)


def is_kept(op, *xs, domain=REAL):
    inputs = [at(x, i, domain) for i, x in enumerate(xs)]
    return smooth_step(op, inputs, inputs) is not None


# Inputs.


@pytest.mark.parametrize(
    ("x", "domain", "kinked", "nudge"),
    [
        (3.0, REAL, False, 0.05),
        (0.0, REAL, False, 0.05),
        (-0.5, REAL, False, 0.05),
        (-0.5, REAL, True, 0.025),  # relative to the distance from a kink at 0
        (1e-9, REAL, True, 5e-11),
        (0.0, REAL, True, 0.05),
        (3.0, REAL, True, 0.05),
        (-7e15, REAL, False, 3.5e14),  # neighbouring floats are far apart
        (7e11, REAL, False, 0.05),
        (0.1, POSITIVE, False, 0.025),  # a quarter of the way to the end
        (0.9, (-1.0, 1.0), False, 0.025),
        (-0.9, (-1.0, 1.0), False, 0.025),
        (0.1, POSITIVE, True, 0.005),
        (0.6, (0.5, inf), False, 0.025),
        (1.5, REAL, True, 0.05),
    ],
)
def test_an_input_is_nudged_by_a_step_that_suits_its_size(x, domain, kinked, nudge):
    node = nudged_input(x, 0, domain, kinked)
    assert node.nudged == [pytest.approx(x - nudge, abs=0.01 * nudge), pytest.approx(x + nudge, abs=0.01 * nudge)]
    assert (node.value, node.noise, node.input_mask, node.step) == (x, 0.0, 1, None)


def test_a_later_input_stays_where_it_is_while_earlier_ones_are_nudged():
    node = nudged_input(3.0, 2, REAL, False)
    assert node.nudged == pytest.approx([3.0, 3.0, 3.0, 3.0, 2.95, 3.05])
    assert node.input_mask == 0b100
    assert [at(3.0).nudged_value(k) for k in (0, 1, 2, 5)] == pytest.approx([2.95, 3.05, 3.0, 3.0])


def test_inputs_are_told_apart_though_they_have_the_same_numbers():
    assert at(1.0) != at(1.0)
    assert len({at(1.0), at(1.0)}) == 2


def test_a_node_fits_a_domain_where_twice_its_nudge_stays_inside():
    assert fits_domain(at(1.0), (0.89, 1.11))
    assert not fits_domain(at(1.0), (0.91, 2.0))
    assert not fits_domain(at(1.0), (0.0, 1.09))
    assert not fits_domain(at(1.0), (1.5, 2.0))
    one_sided = NudgedValue(1.0, [1.0, 1.4], 0.0, 1)
    assert fits_domain(one_sided, (0.1, 1.9))
    assert not fits_domain(one_sided, (0.3, 1.9)), "it may go as far to the other side"


# Points of `check_op`.


def test_a_point_is_smooth_where_no_operand_reaches_a_kink():
    for x, smooth in ((0.04, False), (-0.04, False), (0.06, True), (-0.06, True), (0.0, False), (0.05, False)):
        assert is_smooth(mc.relu, [x]) == smooth
    for xs, smooth in (((1.0, 1.04), False), ((1.0, 1.06), True), ((1.06, 1.0), True), ((2.0, 2.0), False)):
        assert is_smooth(mc.maximum, xs) == smooth
    assert is_smooth(mc.tanh, [0.0])


def test_a_kink_of_one_operand_alone_is_seen():
    assert not is_smooth(row(math.fabs, kink=lambda x: 10.0 * x), [0.03])
    for i in range(3):
        op = row(lambda *xs: 1.0, 3, kink=lambda *xs, i=i: xs[i])
        assert not is_smooth(op, [0.04 if j == i else 5.0 for j in range(3)])
        assert is_smooth(op, [5.0 if j == i else 0.0 for j in range(3)])


def test_a_kink_that_is_touched_is_kept_away_from():
    touched = row(math.fabs, kink=lambda x: x * x)
    assert not is_smooth(touched, [0.2])
    assert is_smooth(touched, [0.3])
    assert not is_smooth(row(math.fabs, kink=lambda x: -x * x), [0.2])
    assert is_smooth(row(math.fabs, kink=lambda x: 0.05 + 0.1 * x), [0.0])


def test_a_kink_function_that_is_constant_nearby_is_away_from_0_be_it_small():
    assert is_smooth(row(math.fabs, kink=lambda x: 1e-3), [1.0])
    assert is_smooth(row(math.fabs, kink=lambda x: -1e-3 * math.copysign(1.0, x)), [1.0])
    assert not is_smooth(row(math.fabs, kink=lambda x: 0.0), [1.0])
    assert not is_smooth(row(math.fabs, kink=lambda x: 1e-3 if x <= 1.0 else 1e-4), [1.0])
    assert not is_smooth(row(math.fabs, kink=lambda x: 1e-3 if x <= 1.0 else 2e-3), [1.0])


# Steps.


def test_a_step_knows_its_value_at_and_beside_the_point():
    x, y = at(1.0), at(3.0, 1)
    node = smooth_step(mc.mul, [x, y], [x, y])
    assert node.value == 3.0
    assert node.nudged == pytest.approx([0.95 * 3.0, 1.05 * 3.0, 2.95, 3.05])
    assert node.input_mask == 0b11
    assert node.step == (mc.mul, [x, y])
    later = smooth_step(mc.add, [y, 10.0], [x, y])
    assert later.nudged == pytest.approx([13.0, 13.0, 12.95, 13.05])
    assert later.input_mask == 0b10
    of_first = smooth_step(mc.mul, [2.0, x], [x, y])
    assert of_first.nudged == pytest.approx([1.9, 2.1])


def test_a_step_of_constants_alone_is_none():
    x = at(1.0)
    assert smooth_step(mc.add, [1.0, 2.0], [x]) is None


def test_the_noise_of_a_step_is_what_last_bits_do_to_it():
    last = math.ulp(1.0)
    x, y = at(1.0), at(3.0, 1)
    product = smooth_step(mc.mul, [x, y], [x, y])
    assert product.noise == 2 * last + 3 * 2 * last + 1 * 4 * last, "its last bit, and two of each operand"
    doubled = smooth_step(mc.mul, [product, 2.0], [x, y])
    assert doubled.noise == 4 * last + 2 * product.noise
    alone = smooth_step(mc.mul, [x, 3.0], [x])
    assert alone.noise == 2 * last + 3 * 2 * last
    for bent in (lambda x: x if x <= 1.0 else 16.0 * x - 15.0, lambda x: x if x >= 1.0 else 16.0 * x - 15.0):
        assert smooth_step(row(bent), [x], [x]).noise == last + 16 * 2 * last, "the worse of both sides"


def test_a_row_may_state_how_inexact_it_is():
    x = at(-2.0)
    exact = smooth_step(row(lambda x: x), [x], [x])
    stated = smooth_step(row(lambda x: x, rounding=lambda y, x: (5.0, 0.0)), [x], [x])
    assert stated.noise - exact.noise == pytest.approx(5.0 * 1e-15 * 2.0, rel=0.1, abs=0.0)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_step_is_left_out_where_it_is_too_steep(sign):
    assert is_kept(row(lambda x: sign * 9.9e4 * x), 1.0)
    assert not is_kept(row(lambda x: sign * 1.01e5 * x), 1.0)
    for bent in (
        lambda x: x if x <= 1.0 else 1.01e5 * (x - 1.0) + 1.0,
        lambda x: x if x >= 1.0 else 1.01e5 * (x - 1.0) + 1.0,
    ):
        assert not is_kept(row(bent), 1.0)
    assert is_kept(row(lambda x: sign * 9e4 * x), 1e15), "relative to the nudge"
    assert is_kept(row(lambda x: sign * 9.9e4 * x), 0.1, domain=POSITIVE)
    assert not is_kept(row(lambda x: sign * 1.01e5 * x), 0.1, domain=POSITIVE)


def test_a_step_is_left_out_where_it_or_one_beside_overflows_or_underflows():
    assert is_kept(row(lambda x: 1e-99 * x), 1.0)
    assert is_kept(row(lambda x: -1e-99 * x), 1.0)
    assert not is_kept(row(lambda x: 1e-101 * x), 1.0)
    assert not is_kept(row(lambda x: -1e-101 * x), 1.0)
    assert is_kept(row(lambda x: x - 1.0), 1.0), "0 itself is no underflow"
    assert not is_kept(row(lambda x: 1e-99 if x >= 1.0 else 1e-101), 1.0)
    assert not is_kept(row(lambda x: inf if x > 1.01 else x), 1.0)
    assert not is_kept(row(lambda x: math.nan), 1.0)


def test_a_step_is_left_out_where_rounding_hides_what_an_input_does():
    assert is_kept(row(lambda x: x + 8.0e6), 1.0)
    assert not is_kept(row(lambda x: x + 9.0e6), 1.0)
    assert is_kept(row(lambda x: 9.0e6 - 4.0 * x), 1.0)
    assert not is_kept(row(lambda x: 9.0e6 - x), 1.0)
    inputs = [at(1.0, i) for i in range(3)]
    for hidden in range(3):
        factors = [1.0 if i == hidden else 1e4 for i in range(3)]
        node = smooth_step(row(lambda *xs, f=factors: sum(map(math.prod, zip(f, xs, strict=True))), 3), inputs, inputs)
        assert smooth_step(mc.add, [node, 1e5], inputs) is not None
        assert smooth_step(mc.add, [node, 1e7], inputs) is None
    x, y = at(1.0), at(1.0, 1)
    large = row(lambda a, b: 1e4 * a + b + 1e6, 2)
    assert smooth_step(large, [x, y], [x, y]) is not None
    hiding = row(lambda a, b: 1e4 * a + b + 1e7, 2)
    assert smooth_step(hiding, [x, y], [x, y]) is None
    assert smooth_step(hiding, [y, x], [x, y]) is None
    assert smooth_step(hiding, [x, 1.0], [x, y]) is not None, "an input that it does not depend on is not hidden"
    assert smooth_step(hiding, [y, 1.0], [x, y]) is not None


def test_a_constant_result_is_kept_where_rounding_does_next_to_nothing():
    def constant(size):
        return row(lambda x: size)

    assert is_kept(constant(0.0), 1.0)
    assert is_kept(constant(2000.0), 1.0)
    assert not is_kept(constant(2100.0), 1.0)
    assert is_kept(constant(1000.0), 0.1, domain=POSITIVE)
    assert not is_kept(constant(1100.0), 0.1, domain=POSITIVE), "its nudge is half as large"
    assert is_kept(constant(2000.0), 1e15)
    assert not is_kept(constant(2100.0), 1e15), "large as its nudge is"


def test_a_step_is_left_out_where_an_operand_is_lost_beside_another():
    x = at(1.0)
    large = smooth_step(row(lambda x: 9e4 * x + 1e9), [x], [x])

    def added(forward):
        small = smooth_step(row(forward), [x], [x])
        return smooth_step(mc.add, [large, small], [x]), smooth_step(mc.add, [small, large], [x])

    assert added(lambda x: x) == (None, None)
    assert added(lambda x: -x) == (None, None)
    assert None not in added(lambda x: 1e4 * x)
    assert None not in added(lambda x: x - x), "it does not move at all"
    falling = row(lambda x: 80.0 - math.exp(100.0 - 100.0 * x))
    assert smooth_step(falling, [x], [x]).nudged == pytest.approx([-68.4, 80.0], abs=0.1)
    assert None not in added(falling.forward), "to one side it moves far"
    exact = smooth_step(row(lambda x: x), [x], [x])
    flat = smooth_step(row(lambda a, b: 0.0, 2), [exact, exact], [x])
    assert flat is not None, "rounding does nothing at all"


def test_a_step_is_left_out_where_a_nudge_goes_half_the_way_to_a_kink():
    def kinked(place):
        return row(lambda x: math.fabs(x - place), kink=lambda x: x - place)

    for x in (1.09, 0.91, 1.0, 1.04):
        assert not is_kept(kinked(1.0), x)
    for x in (1.11, 0.89):
        assert is_kept(kinked(1.0), x)
    one_sided = row(lambda x: x, kink=lambda x: 1.0 if x <= 2.0 else 0.4)
    assert not is_kept(one_sided, 2.0)
    assert is_kept(row(lambda x: x, kink=lambda x: 1.0 if x <= 2.0 else 0.5), 2.0)
    of_second = row(lambda a, b: a * b, 2, kink=lambda a, b: b - 1.0)
    assert not is_kept(of_second, 5.0, 1.05)
    assert is_kept(of_second, 5.0, 1.2)


def test_a_step_is_left_out_where_a_kink_is_so_close_that_a_jump_hides_second_derivatives():
    for sign in (1.0, -1.0):
        near, away = at(sign * 1.9e-4, 0, REAL, True), at(sign * 2.1e-4, 0, REAL, True)
        assert smooth_step(mc.relu, [near], [near]) is None
        assert smooth_step(mc.relu, [away], [away]) is not None
