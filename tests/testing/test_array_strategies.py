"""The arrays that `points` draws: mostly of one magnitude, numbers of their type, between the bounds, and apart."""

import math
import sys
from math import inf

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from micrograd_cn.testing import GradientMismatch, checks_gradient, points
from micrograd_cn.testing.drawing import array_strategies
from micrograd_cn.testing.drawing.array_strategies import magnitude_windows

from .drawing import QUICK, drawn_from

FLOAT64, FLOAT16 = np.float64, np.float16


# Magnitudes. The windows are asked themselves: only thousands of arrays would show which magnitudes are drawn, and how
# often.


def test_an_array_has_a_magnitude_and_few_of_its_elements_are_far_less():
    windows = magnitude_windows(-1e6, 1e6, 1e-300)
    *single, every = windows
    assert single[0] == ((-1.0, 1.0), (1e-3, 1.0)), "the simplest magnitude first"
    assert every == ((-1e6, 1e6), (1e-6, 1e6))
    assert all(magnitudes == (high / 1e3, high) for (_, high), magnitudes in single)
    assert all(low == -high for (low, high), _ in single)
    sizes = [high for (_, high), _ in single]
    assert len({*sizes}) == len(sizes)
    assert {1.0, 10.0, 0.1, 100.0, 0.01, 1e4, 1e-4} <= {*sizes}
    assert max(sizes) <= 1e6
    assert min(sizes) < 1e-30, "of every magnitude down"


def test_without_bounds_arrays_are_of_every_magnitude_up():
    sizes = [high for (_, high), _ in magnitude_windows(-1e308, 1e308, 1e-308)]
    assert any(size > 1e50 for size in sizes)
    assert all(size**3 < inf for size in sizes[:-1])
    assert magnitude_windows(-1e308, 1e308, 1e-308)[-1] == ((-1e308, 1e308), (1e-6, 1e308))


def test_magnitudes_are_those_between_the_bounds():
    assert magnitude_windows(0.5, 20.0, 1e-300) == [
        ((0.5, 1.0), (1e-3, 1.0)),
        ((0.5, 10.0), (1e-2, 10.0)),
        ((0.5, 20.0), (1e-6, 1e6)),
    ]
    assert magnitude_windows(-20.0, -0.5, 1e-300) == [
        ((-1.0, -0.5), (1e-3, 1.0)),
        ((-10.0, -0.5), (1e-2, 10.0)),
        ((-20.0, -0.5), (1e-6, 1e6)),
    ]
    assert [high for (_, high), _ in magnitude_windows(1.0, 10.0, 1e-300)] == [1.0, 10.0, 10.0]
    assert [window for window, _ in magnitude_windows(-0.3, 1.0, 0.9e-3)] == [(-0.3, 1.0), (-0.3, 1.0)]
    assert [window for window, _ in magnitude_windows(-1.0, 0.3, 0.9e-3)] == [(-1.0, 0.3), (-1.0, 0.3)]
    assert len(magnitude_windows(0.0, 1.0, 0.9e-4)) == 3
    assert len(magnitude_windows(-1.0, 0.0, 0.9e-4)) == 3
    assert len(magnitude_windows(-5e-3, 1.0, 0.9e-4)) == 3
    assert [high for (_, high), _ in magnitude_windows(-4.0, 4.0, 0.9e-4)] == [1.0, 4.0, 0.1, 4.0]


@pytest.mark.parametrize("x", [(3,), (2, 3), points((3,), min_value=-4.0, max_value=4.0), points(3, max_value=5.0)])
def test_a_mistake_far_from_0_is_found_within_bounds(x):
    # With 20 examples, one test in twelve would draw no such element.
    test = checks_gradient(lambda x: (x * x).sum(), x, gradient=lambda x: 2.0 * x + (np.abs(x) > 2.0), examples=100)
    with pytest.raises(GradientMismatch):
        test()


def test_a_magnitude_is_so_large_that_no_element_underflows_in_the_type():
    smallest = float(np.finfo(FLOAT16).tiny)
    found = magnitude_windows(-65504.0, 65504.0, smallest)
    assert all(least >= 0.9 * smallest for _, (least, _) in found)
    assert min(high for (_, high), _ in found) == 0.1
    assert found[-1] == ((-65504.0, 65504.0), (smallest, 1e6))
    assert magnitude_windows(-1.0, 1.0, 1e-3)[0] == ((-1.0, 1.0), (1e-3, 1.0))


# Large arrays.


def of_seeds(low, high):
    """Return large arrays between two bounds."""
    return drawn_from(points(1000, min_value=low, max_value=high), 3)


def test_elements_of_a_large_array_are_of_both_signs_and_of_all_its_magnitudes_alike():
    for x in of_seeds(-1e6, 1e6):
        assert 430 < sum(x > 0.0) < 570
        middle = math.sqrt(abs(x).min() * abs(x).max())
        assert 430 < sum(abs(x) < middle) < 570
        assert abs(x).max() > 900.0 * abs(x).min()
    assert {*np.sign(np.concatenate(of_seeds(0.0, 5.0)))} == {1.0}
    assert {*np.sign(np.concatenate(of_seeds(-5.0, 0.0)))} == {-1.0}
    assert {*np.concatenate(of_seeds(0.0, 0.0))} == {0.0}


def test_elements_of_a_large_array_are_spread_between_the_bounds():
    for x in of_seeds(3.0, 4.0):
        assert 3.0 <= x.min() < 3.03
        assert 3.97 < x.max() <= 4.0
        assert 430 < sum(x < 3.5) < 600
    for x in of_seeds(-4.0, -3.0):
        assert -4.0 <= x.min() < -3.97
        assert -3.03 < x.max() <= -3.0
    assert all(-0.5 <= x.min() < -0.1 for x in of_seeds(-0.5, 100.0) if largest(x) > 5.0)


# Numbers of a type.


@pytest.mark.parametrize(
    ("low", "high"), [(0.7, 0.702), (0.698, 0.7), (-0.7, -0.698), (-0.702, -0.7), (0.2993, 0.3), (0.3, 0.3007)]
)
def test_a_number_is_rounded_to_its_type_but_not_over_a_bound(low, high):
    xs = np.concatenate(drawn_from(points(99, "float16", min_value=low, max_value=high), 3)).astype(float)
    halves = FLOAT16(np.arange(-1.0, 1.0, 2.0**-13)).astype(float)
    assert {*xs} == {x for x in halves if low <= x <= high}


def test_a_number_of_its_type_that_is_both_bounds_is_drawn():
    assert {*np.concatenate(drawn_from(points(2, "float64", min_value=0.1, max_value=0.1), 3))} == {0.1}


# Apart.


@pytest.mark.parametrize(
    ("dtype", "low", "high", "apart", "negative", "positive"),
    [
        ("float64", -10.0, 60.0, 0.3, 33, 199),  # 60.0 itself may be lost in rounding
        ("float64", 0.1, 80.0, 1.0, 0, 79),
        ("float64", -80.0, -0.1, 1.0, 79, 0),
        ("float64", 5.0, 8.1, 1.0, 0, 4),
        ("float64", -8.1, -5.0, 1.0, 4, 0),
        ("float64", -1.1, 1.1, 1.0, 1, 1),
        ("float64", -1.1, 0.9, 1.0, 1, 0),
        ("float64", 0.0, 3.5, 1.0, 0, 3),
        ("float16", 1000.0, 1010.05, 1.0, 0, 7),  # where they are half apart, as each may be rounded
        ("float16", -1010.05, -1000.0, 1.0, 7, 0),
        ("float16", 0.1, 0.9, 0.2, 0, 4),
        ("float16", 0.5, 0.7, 0.199, 0, 2),  # the nearest number to 0.7 is over it
        ("float16", -65504.0, 65504.0, 60000.0, 1, 1),
        ("float64", -1.5, 1.7e308, 1e308, 0, 1),  # twice the last bit of half does not overflow
    ],
)
def test_where_there_is_just_room_for_so_many_numbers_they_are_apart(dtype, low, high, apart, negative, positive):
    with pytest.raises(ValueError, match=f"for {negative + positive + 1} numbers of {dtype} that are .* apart"):
        points(negative + positive + 1, dtype, low, high, apart)
    for x in drawn_from(points(negative + positive, dtype, low, high, apart), 3):
        xs = x.astype(float)
        assert (sum(xs < 0.0), sum(xs > 0.0)) == (negative, positive)
        assert low <= xs.min()
        assert xs.max() <= high
        assert abs(xs).min() >= apart
        rounding = 0.0 if dtype == "float16" else np.spacing(abs(xs).max())
        assert np.diff(np.sort(xs)).min(initial=inf) >= apart - rounding


def moved(low, high, size=40, count=6):
    """Return arrays of numbers, each with what is made of it so that the numbers are 0.5 apart."""
    pairs = [drawn_from(points(size, "float64", low, high, apart), count) for apart in (0.0, 0.5)]
    return [*zip(*pairs, strict=True)]


def test_numbers_are_moved_apart_and_from_0_in_the_order_they_are_in():
    for x, y in moved(-100.0, 100.0):
        assert np.diff(np.sort(y)).min() >= 0.5 - 1e-13
        assert abs(y).min() >= 0.5
        assert all((y[x < a] < b).all() for a, b in zip(x, y, strict=True))
        assert (np.sign(y) == np.where(x < 0.0, -1.0, 1.0)).all()
        assert abs(y - x).max() <= 40 * 0.5 + 1e-12
    for x, y in moved(-1e9, 1e9, size=3):
        if abs(x).min() >= 0.5 <= np.diff(np.sort(x)).min():
            assert (x == y).all()


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_numbers_for_which_there_is_no_room_on_their_side_of_0_go_to_the_other(sign):
    low, high = sorted((-100.0 * sign, 1.3 * sign))
    for x, y in moved(low, high):
        assert sum(y * sign > 0.0) == 2
        assert all((y[x < a] < b).all() for a, b in zip(x, y, strict=True))


# Arrays.


@pytest.mark.parametrize(("shape", "dtype"), [((), "float64"), (3, "float32"), ((2, 3), "float16"), ((0,), "float64")])
def test_arrays_are_of_their_shape_and_type(shape, dtype):
    for x in drawn_from(points(shape, dtype), 9):
        assert x.shape == (shape if isinstance(shape, tuple) else (shape,))
        assert x.dtype == np.dtype(dtype)
        assert np.isfinite(x).all()


def test_a_million_is_the_largest_number_unless_it_is_said_otherwise(monkeypatch):
    asked = []

    def windows(low, high, tiny):
        asked.append((low, high, tiny))
        return magnitude_windows(low, high, tiny)

    monkeypatch.setattr(array_strategies, "magnitude_windows", windows)
    points(2)
    points(2, "float16", min_value=-inf, max_value=7)
    assert asked == [(-1e6, 1e6, sys.float_info.min), (-65504.0, 7.0, 2.0**-14)]


def largest(x):
    return float(np.abs(x).max())


def test_four_of_five_examples_are_of_magnitudes_that_layers_meet():
    sizes = [largest(x) for x in single_draws(points(6), 300)]
    usual = [size for size in sizes if 1e-4 < size <= 10.0]
    assert 0.7 * len(sizes) < len(usual) < 0.95 * len(sizes)
    assert any(size > 1e3 for size in sizes)
    assert any(0.0 < size < 1e-14 for size in sizes)


def test_the_arrays_of_an_example_are_extreme_together():
    """A layer whose weights are about 1e-64 beside inputs of about 1 would only show how rounding absorbs them."""
    for x, w in single_draws(st.tuples(points(6), points(6, "float64")), 100):
        if 0.0 < largest(x) < 1e-14 and largest(w):
            assert largest(w) < 1e-7
    assert {largest(x) > 100.0 for x in single_draws(points(6, min_value=200.0), 20)} == {True}


def single_draws(strategy, count):
    found = []

    @settings(QUICK, max_examples=count)
    @given(strategy)
    def draw(x):
        found.append(x)

    draw()
    return found


def test_elements_of_a_large_array_come_from_a_seed():
    xs = [x.tolist() for x in drawn_from(points(40, min_value=0.5), 30)]
    assert len({x[0] for x in xs}) > 10, "there are many seeds"
    found = find(points(40, min_value=0.5), lambda x: True, settings=QUICK)
    assert len({*found.tolist()}) > 35, "elements of a seed are not simplified one by one"


def test_elements_of_a_small_array_are_drawn_one_by_one():
    xs = drawn_from(points(3), 120)
    assert sum(len({*x.tolist()}) == 3 for x in xs) > 30
    assert any(np.signbit(x[x == 0.0]).any() for x in xs), "-0.0 is among them"


def test_elements_are_apart_where_there_is_just_room_for_them():
    for x in drawn_from(points(4, min_value=-1.1, max_value=1.1, apart=0.5), 30):
        assert np.diff(np.sort(x)).min() >= 0.5 - 1e-13
        assert abs(x).min() >= 0.5
    with pytest.raises(ValueError, match=r"no room between -1\.1 and 1\.1 for 5 numbers of .* are 0\.5 apart"):
        points(5, min_value=-1.1, max_value=1.1, apart=0.5)
    with pytest.raises(ValueError, match="for 6 numbers"):
        points((2, 3), min_value=-1.1, max_value=1.1, apart=0.5)


@pytest.mark.parametrize("apart", [-1.0, -1e-9, math.nan])
def test_a_distance_that_is_none_is_refused(apart):
    with pytest.raises(ValueError, match="apart"):
        points(2, apart=apart)


def test_bounds_are_those_of_the_type():
    assert max(abs(x).max() for x in drawn_from(points(2, "float16", -inf, inf), 100)) <= 65504.0
    with pytest.raises(ValueError, match="points: min_value must be at most max_value"):
        points(2, "float16", min_value=65505.0)
    for other in ("int32", "complex64", "bool"):
        with pytest.raises(TypeError, match=f"floating-point numbers, such as float32, got {other}"):
            points(2, other)


def test_points_without_numpy_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(ImportError, match=r"pip install numpy"):
        points(2)
