"""Suspicious intervals: where a partial is not the slope of the values, or changes fast."""

import itertools
import math
from math import inf, nan

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Op
from micrograd_cn.ops.traits import POSITIVE, REAL, Smoothness
from micrograd_cn.testing.drawing import suspicious_intervals as module
from micrograd_cn.testing.drawing.suspicious_intervals import (
    arities_among,
    fast_cells,
    find_suspicious,
    grid_over,
    kink_finder,
    persistent_part,
    sample_along,
    suspicious_intervals,
    unexplained_change,
)


def sampled(value, partial):
    """Return a function that samples a function and its partial."""
    return lambda x: (x, value(x), partial(x))


# The grid.


def test_the_grid_is_even_near_0_and_has_eight_points_a_decade_beyond():
    grid = np.array(grid_over(REAL))
    assert list(grid) == sorted({*grid}) == sorted(-grid)
    assert set(np.arange(-320, 321) / 40) <= {*grid}
    np.testing.assert_allclose(grid[grid > 8.0], np.logspace(-6, 6, 97)[:-1][-40:], rtol=1e-14)
    np.testing.assert_allclose(grid[(grid > 0.0) & (grid < 0.025)][:35], np.logspace(-6, 6, 97)[:35], rtol=1e-14)
    assert grid.max() == pytest.approx(10**5.875)
    assert len(grid) == 641 + 2 * 94, "1 and 0.1 are among the even ones"


def test_the_grid_is_dense_at_the_ends_of_a_domain_and_within_a_narrow_one():
    for domain in (POSITIVE, (10.0, inf), (-1.0, inf), (-inf, -3.0), (-1.0, 1.0), (2.0, 2.5)):
        grid = np.array(grid_over(domain))
        for end, sign in zip(domain, (1.0, -1.0), strict=True):
            if math.isfinite(end):
                beside = np.logspace(-6, -1, 41)[:-1]
                assert all(np.abs(grid - (end + sign * d)).min() < 1e-9 for d in beside), "eight points a decade"
        assert domain[0] < grid[0] < grid[-1] < domain[1]
    narrow = np.array(grid_over((0.0, 1e-5)))
    np.testing.assert_allclose([np.abs(narrow - x).min() for x in np.linspace(1e-6, 9e-6, 101)], 0.0, atol=1e-20)
    np.testing.assert_allclose((narrow.min(), narrow.max()), (1e-6, 9e-6))
    np.testing.assert_allclose((grid_over((0.0, 2e-6))[0], grid_over((0.0, 2e-6))[-1]), (5e-7, 1.5e-6))


def test_a_grid_is_made_once():
    assert grid_over(REAL) is grid_over(REAL)
    assert suspicious_intervals(mc.tanh) is suspicious_intervals(mc.tanh)


# What is sampled.


def test_a_row_is_sampled_along_one_operand_with_its_own_partial():
    row = Op("own", lambda a, b: a * b * b, (lambda y, a, b: b * b, lambda y, a, b: 2 * a * b))
    assert sample_along(row, 0, [5.0, 3.0])(2.0) == (2.0, 18.0, 9.0)
    assert sample_along(row, 1, [5.0, 3.0])(2.0) == (2.0, 20.0, 20.0)
    whole = sample_along(Op("own", lambda x: x, (lambda y, x: 1,)), 0, [0.0])(2.0)
    assert isinstance(whole[2], float)


def test_what_raises_is_sampled_as_nan():
    for row in (
        Op("bad", lambda x: x, (lambda y, x: 1 / 0,)),
        Op("bad", lambda x: 1 / 0, (lambda y, x: 1.0,)),
        Op("bad", lambda x: x, (lambda y, x: None,)),
    ):
        x, y, partial = sample_along(row, 0, [0.0])(2.0)
        assert x == 2.0
        assert math.isnan(y)
        assert math.isnan(partial)


def test_the_other_operands_differ_and_are_inside_their_domains_near_0():
    asked = []

    def forward(*xs):
        asked.append(xs)
        return 0.0

    domains = ((10.0, inf), (-inf, inf), (-1.0, 1.0))
    suspicious_intervals(Op("own", forward, (lambda y, *xs: 0.0,) * 3, smoothness=Smoothness(domain=domains)))
    assert all(low < x < high for xs in asked for x, (low, high) in zip(xs, domains, strict=True))
    constant = [max({*column}, key=column.count) for column in zip(*asked, strict=True)]
    fractions = [(x - low) / (high - low) for x, low, high in zip(constant, (10, -3, -1), (16, 3, 1), strict=True)]
    assert fractions == sorted({*fractions}, reverse=True)
    assert all(0.2 < part < 0.7 for part in fractions), "well inside"
    assert all(len({*column}) > 100 for column in zip(*asked, strict=True)), "each is moved while others rest"


def test_a_row_of_any_number_of_operands_is_looked_at_with_four():
    counts = set()

    def forward(*xs):
        counts.add(len(xs))
        assert len({*xs}) > 1, "a row of no tie"
        return mc.sum(xs)

    def partials(y, *xs):
        return tuple([1.1 if i == 3 and 1.3 < x < 1.4 else 1.0 for i, x in enumerate(xs)])

    assert suspicious_intervals(Op("bad", forward, partials)) == (((1.3, 1.4),),)
    assert counts == {4}


def test_each_operand_of_a_row_has_its_own_dense_intervals():
    def wrong(x, low, high):
        return mc.where(mc.less(low, x) * mc.less(x, high), 1.5, 1.0)

    bad = Op(
        "bad",
        lambda a, b: a + 2.0 * b,
        (lambda y, a, b: wrong(a, -2.0, -1.9), lambda y, a, b: 2.0 * wrong(b, 0.5, 0.6)),
    )
    assert suspicious_intervals(bad) == (((-2.0, -1.9),), ((0.5, 0.6),))


def test_the_worst_eight_of_many_intervals_are_kept_in_order():
    sizes = [3, 9, 1, 8, 7, 2, 6, 5, 10, 4]

    def partial(y, x):
        k = math.floor(x)
        return 1.0 + (sizes[k] if 0 <= k < 10 and 0.25 <= x - k <= 0.5 and k < 8 else 0.0)

    lows = [
        low for ((low, _),) in [(interval,) for interval in suspicious_intervals(Op("bad", lambda x: x, (partial,)))[0]]
    ]
    assert [math.floor(low) for low in lows] == [0, 1, 2, 3, 4, 5, 6, 7]
    assert len(lows) == module.MAX_INTERVALS

    def of_ten(y, x):
        k = math.floor(x + 5.0)
        return 1.0 + (0.01 * sizes[k] if 0 <= k < 10 and 0.25 <= x + 5.0 - k <= 0.5 else 0.0)

    [found] = suspicious_intervals(Op("bad", lambda x: x, (of_ten,)))
    assert [math.floor(low + 5.0) for low, _ in found] == [k for k in range(10) if sizes[k] > 2]


# Which part of a change the partials explain.


@pytest.mark.parametrize(
    ("a", "b", "part"),
    [
        ((0.0, 0.0, 0.0), (1.0, 1.0, 2.0), 0.0),  # x * x: the trapezoidal rule is exact
        ((1.0, 5.0, 1.0), (3.0, 11.0, 1.0), 0.5),  # 6, of which 2 is explained, of 6 + 2
        ((1.0, 5.0, -1.0), (3.0, -1.0, -1.0), 0.5),
        ((1.0, 5.0, -3.0), (3.0, 11.0, -3.0), 1.0),
        ((0.0, 4.0, 2.0), (1.0, 4.0, -2.0), 0.0),  # about a maximum
        ((0.0, 4.0, 3.0), (2.0, 6.0, -1.0), 0.0),
        ((0.0, 4.0, 3.0), (2.0, 10.0, -1.0), 0.4),  # 6, of which 2 is explained, of 6 + 4
        ((0.0, 7.0, 0.0), (1.0, 7.0, 0.0), 0.0),
        ((0.0, 0.0, 0.0), (1.0, inf, 0.0), 0.0),
        ((0.0, nan, 0.0), (1.0, 0.0, 0.0), 0.0),
        ((0.0, 0.0, nan), (1.0, 0.0, 0.0), 1.0),
        ((0.0, 0.0, 0.0), (1.0, 0.0, -inf), 1.0),
        ((0.0, 0.0, 6e307), (4.0, 0.0, 6e307), 0.0),  # overflows
        ((0.0, 0.0, 1e308), (1.0, 0.0, 1e308), 1.0),
    ],
)
def test_the_part_of_a_change_that_the_partials_do_not_explain(a, b, part):
    assert unexplained_change(a, b) == pytest.approx(part, abs=1e-13)


def test_a_change_of_a_few_last_bits_is_rounding():
    assert math.ulp(1e16) == 2.0
    assert unexplained_change((0.0, 1e16, 0.0), (1.0, 1e16 + 32.0, 0.0)) == 0.0
    assert unexplained_change((0.0, 1e16, 0.0), (1.0, 1e16 + 2.0, 0.0)) < 0.0
    assert unexplained_change((0.0, 1e16, 0.0), (1.0, 1e16 + 64.0, 0.0)) == 0.5
    assert unexplained_change((0.0, 1e16 + 64.0, 0.0), (1.0, 1e16, 0.0)) == 0.5
    assert unexplained_change((0.0, 0.0, 1.0), (1e-30, 0.0, 1.0)) == 1.0, "0 has no last bits but the least"


# Which part of a cell stays unexplained.


def cell_of(value, partial, low, high):
    at = sampled(value, partial)
    return at, at(low), at(high)


def test_of_a_smooth_cell_nothing_stays_unexplained():
    for low, value, partial in (
        (0.1, lambda x: x**5, lambda x: 5.0 * x**4),
        (-0.4, lambda x: math.tanh(1e4 * x), lambda x: 1e4 / math.cosh(min(1e4 * abs(x), 300.0)) ** 2),
    ):
        cell = cell_of(value, partial, low, 1.7)
        assert unexplained_change(*cell[1:]) > 0.01
        assert persistent_part(*cell) is None


def test_of_a_cell_with_a_jump_the_thirty_second_part_around_it_is_returned():
    for place in (0.3, 0.7001, 0.98):
        cell = cell_of(lambda x, place=place: 0.0 if x < place else 1.0, lambda x: 0.0, 0.0, 1.0)
        low, high = persistent_part(*cell)
        assert low < place < high
        assert high - low == 1.0 / 32.0


def test_a_cell_is_not_narrowed_where_both_halves_are_wrong():
    assert persistent_part(*cell_of(lambda x: x, lambda x: 1.1, 1.0, 2.0)) == (1.0, 2.0)
    quarter = cell_of(lambda x: x, lambda x: 1.1 if 1.25 <= x <= 1.5 else 1.0, 1.0, 2.0)
    assert persistent_part(*quarter) in ((1.0, 2.0), (1.0, 1.5), (1.25, 1.5))
    two = cell_of(lambda x: (x > 1.1) + (x > 1.9), lambda x: 0.0, 1.0, 2.0)
    assert persistent_part(*two) == (1.0, 2.0)
    close = cell_of(lambda x: (x > 1.55) + (x > 1.7), lambda x: 0.0, 1.0, 2.0)
    assert persistent_part(*close) == (1.5, 1.75)


def test_a_mistake_of_a_thousandth_is_suspicious_and_none_of_a_hundredth_of_that():
    assert persistent_part(*cell_of(lambda x: x, lambda x: 1.003, 1.0, 2.0)) == (1.0, 2.0)
    assert persistent_part(*cell_of(lambda x: x, lambda x: 1.00001, 1.0, 2.0)) is None


# Where the partial changes fast.


def cells_of(rates, width=0.1, start=0.0, partial=0.0):
    """Return cells of equal width in which the partial changes at these rates."""
    samples = [(start, 0.0, partial)]
    for rate in rates:
        x, _, p = samples[-1]
        samples.append((x + width, 0.0, p + rate * width))
    return list(itertools.pairwise(samples))


def rates(**others):
    """Return rates that are 1 except in the cells given as `at12=3.0`."""
    return [others.get(f"at{k}", 1.0) for k in range(25)]


@pytest.mark.parametrize(
    ("around", "fast"),
    [
        ({"at12": 4.1}, [12]),
        ({"at12": -4.1}, [12]),
        ({"at12": 3.9}, []),
        ({"at6": 9.0, "at18": 9.0}, [6, 18]),
        ({"at5": 9.0, "at19": 9.0}, []),  # too near the ends to say
        ({"at12": 9.0, "at11": 9.0, "at13": 9.0}, [11, 12, 13]),  # a feature of several cells
        ({"at12": 9.0, "at15": 3.0, "at9": 3.0}, [12]),
        ({"at12": 9.0, "at16": 3.0}, []),
        ({"at12": 9.0, "at8": 3.0}, []),
        ({"at12": 9.0, "at18": 3.0}, []),
        ({"at12": 9.0, "at6": 3.0}, []),
        ({"at12": 9.0, "at17": 3.0}, []),
        ({"at12": 9.0, "at7": 3.0}, []),
        ({"at12": 9.0, "at19": 3.0, "at5": 3.0}, [12]),
        ({"at12": 9.0, "at16": inf}, []),
        ({"at12": 9.0, "at6": nan}, []),
        ({"at12": inf}, []),
    ],
)
def test_cells_in_which_the_partial_changes_four_times_as_fast_as_on_both_sides(around, fast):
    assert fast_cells(cells_of(rates(**around))) == fast


def test_it_is_the_rate_that_is_compared_not_the_change():
    assert fast_cells(cells_of([0.1 * rate for rate in rates(at12=4.1)])) == [12]
    assert fast_cells(cells_of([0.1 * rate for rate in rates(at12=3.9)])) == []
    places = [0.1 * k + (0.8 if k > 12 else 0.0) for k in range(26)]  # one cell is nine times as wide
    assert fast_cells(list(itertools.pairwise([(x, 0.0, x) for x in places]))) == []


def test_a_fast_change_is_none_beside_a_large_partial_or_far_out():
    peak = rates(at12=9.0)
    assert fast_cells(cells_of(peak, partial=800.0)) == [12], "0.9 is more than a thousandth of 801.2"
    assert fast_cells(cells_of(peak, partial=-800.0)) == [12]
    assert fast_cells(cells_of(peak, partial=900.0)) == []
    assert fast_cells(cells_of(peak, partial=-910.0)) == []
    for start in (-7.5, 5.0):
        assert fast_cells(cells_of(peak, start=start)) == [12]
    for start in (-8.5, 6.5):
        assert fast_cells(cells_of(peak, start=start)) == []


# Kinks.


def test_an_interval_with_a_kink_is_told_from_those_beside():
    row = Op("own", mc.relu, (lambda y, x: mc.step(x),), smoothness=Smoothness(kink=lambda x: x - 1.0))
    has_kink = kink_finder(row, 0, [0.0])
    assert not has_kink((1.001, 2.0))
    assert not has_kink((-3.0, 0.999))
    assert has_kink((0.999, 1.001))
    assert has_kink((1.0, 2.0))
    assert has_kink((0.0, 1.0))
    assert not kink_finder(mc.tanh, 0, [0.0])((-1.0, 1.0))


def test_two_kinks_and_those_of_a_period_are_seen_between_points_of_one_sign():
    of_period = Op("own", mc.tan, (lambda y, x: 1.0,), smoothness=Smoothness(kink=math.cos))
    assert kink_finder(of_period, 0, [0.0])((0.0, 2000.0 * math.pi))
    assert kink_finder(of_period, 0, [0.0])((1.0, 6.0))
    assert all(kink_finder(of_period, 0, [0.0])((k, 1.3 * k + 4.0)) for k in range(0, 100_000, 997))


def test_a_kink_is_asked_about_at_both_ends_and_evenly_between_with_the_other_operands():
    asked = []
    row = Op(
        "own",
        mc.maximum,
        (lambda y, a, b: 1.0,) * 2,
        smoothness=Smoothness(kink=lambda a, b: asked.append((a, b)) or 1.0),
    )
    kink_finder(row, 1, [5.0, 7.0])((2.0, 4.0))
    xs = sorted(b for _, b in asked)
    assert {a for a, _ in asked} == {5.0}
    assert (xs[0], xs[-1]) == (2.0, 4.0)
    assert max(b - a for a, b in itertools.pairwise(xs)) < 0.3
    assert len({*xs}) == 17, "three of the square roots to 19 are whole"
    asked.clear()
    kink_finder(row, 0, [5.0, 7.0])((2.0, 4.0))
    assert {b for _, b in asked} == {7.0}


# All together.


def intervals_of(value, partial, grid, has_kink=lambda interval: False):
    return find_suspicious(sampled(value, partial), grid, has_kink)


def test_suspicious_cells_beside_each_other_are_one_interval_as_suspicious_as_the_worst():
    grid = [float(k) for k in range(10)]
    wrong = lambda x: 2.0 if 2.0 <= x <= 4.0 else 1.1 if 6.0 <= x <= 7.0 else 1.0  # noqa: E731
    found = intervals_of(lambda x: x, wrong, grid)
    assert [*found] == [(1.96875, 4.03125), (5.96875, 7.03125)]
    assert found[1.96875, 4.03125] == pytest.approx(1.0 / 3.0), "of 1 and 2 together"
    assert found[5.96875, 7.03125] == pytest.approx(0.1 / 2.1)


def test_an_interval_with_a_kink_is_left_out_and_not_joined():
    grid = [float(k) for k in range(10)]
    wrong = lambda x: 2.0 if 2.0 <= x <= 5.0 else 1.0  # noqa: E731
    found = intervals_of(lambda x: x, wrong, grid, has_kink=lambda interval: interval[0] < 3.5 < interval[1])
    assert [*found] == [(1.96875, 3.0), (4.0, 5.03125)]
    assert intervals_of(lambda x: x, wrong, grid, has_kink=lambda interval: True) == {}


def test_a_cell_in_which_a_right_partial_changes_fast_is_the_least_suspicious():
    def bump(x):
        return 0.01 * math.exp(-400.0 * (x - 2.05) ** 2)

    grid = [0.1 * k for k in range(60)]
    found = intervals_of(lambda x: 2.0 * x + bump(x), lambda x: 2.0 - 800.0 * (x - 2.05) * bump(x), grid)
    [(low, high)] = found
    assert 1.8 < low < 2.05 < high < 2.3
    assert found[low, high] == module.UNEXPLAINED_PART


def test_the_operands_that_a_row_takes():
    assert arities_among(mc.mul, (1, 2, 3)) == (2,)
    assert arities_among(Op("own", max, max, arities=(4, 7)), (1, 7)) == (7,)
    assert arities_among(Op("own", max, max, arities=(4, 7)), (1, 2)) == (4,)
