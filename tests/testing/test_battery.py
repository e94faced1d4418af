"""What `check_op` does with an operation: which points it checks, to which order, and what it reports."""

import math
import types
from collections import Counter
from math import inf, nan

import pytest

import micrograd_cn as mc
from micrograd_cn import Op
from micrograd_cn.ops.traits import Smoothness
from micrograd_cn.testing import GradientMismatch, PartlyCompared, check_op
from micrograd_cn.testing.operations.evaluation_points import points_near_ends, special_points, spread_points

from .rows import grouped

ROOM = check_op.__globals__  # the names of its module, which is called as the function
_check = ROOM["_check"]
_check_kinks = ROOM["_check_kinks"]
_check_picture = ROOM["_check_picture"]
_check_point = ROOM["_check_point"]
_check_reference = ROOM["_check_reference"]
_check_domain = ROOM["_check_domain"]


def line(y=None, partial=None, **fields):
    """Return an operation of one operand; its value and its partial are x and 1.0 unless they are given."""
    return Op(
        "own", lambda x: x if y is None else y, (lambda y, x: 1.0 if partial is None else partial,), **grouped(**fields)
    )


# All together.


def test_a_row_is_checked_at_special_values_at_kinks_in_its_picture_over_its_domain_and_in_its_other_forms(monkeypatch):
    done = []
    monkeypatch.setitem(ROOM, "evaluate", lambda op, xs: (7.0, (repr(xs),)))
    monkeypatch.setitem(ROOM, "check_recording", lambda op, xs, partials: done.append((repr(xs), *partials)))
    monkeypatch.setitem(ROOM, "_check_kinks", lambda op, kink: done.append(("kinks", kink)))
    monkeypatch.setitem(ROOM, "_check_picture", lambda op: done.append("picture"))
    monkeypatch.setitem(ROOM, "_check_domain", lambda *given: done.append(given) or [(0.5,)])
    monkeypatch.setattr(ROOM["lowerings"], "compare_lowerings", lambda op, points: {"told": [*map(repr, points)]})
    for op in (mc.relu, mc.tanh):
        done.clear()
        points = [repr(xs) for xs in special_points(op)]
        assert _check(op, math.tanh, 7, ["partly"]) == {"told": [*points, "(0.5,)"]}
        kinks = [("kinks", op.smoothness.kink)] if op is mc.relu else []
        assert done == [*[(xs, xs) for xs in points], *kinks, "picture", (op, math.tanh, 7, ["partly"])]


def test_what_could_not_be_compared_is_returned_and_told(monkeypatch):
    def fake(op, reference, examples, partly):
        assert (op, reference, examples) == (mc.tanh, None, 50)
        partly += ["the first table", "another"]
        return {"JavaScript form": "is not installed"}

    monkeypatch.setitem(ROOM, "_check", fake)
    with pytest.warns(PartlyCompared, match="^check_op of tanh: at 2 points .*, first by the first table$") as caught:
        assert check_op(mc.tanh) == {"JavaScript form": "is not installed"}
    assert [told.filename for told in caught] == [__file__]
    monkeypatch.setitem(ROOM, "_check", lambda *given: {})
    assert check_op(mc.tanh) == {}, "and nothing is told"


def test_a_failure_is_of_its_kind_and_has_no_frames_but_one(monkeypatch):
    def fake(*given):
        raise GradientMismatch("it is wrong")

    monkeypatch.setitem(ROOM, "_check", fake)
    with pytest.raises(GradientMismatch, match=r"^it is wrong$") as caught:
        check_op(mc.tanh)
    assert caught.value.__context__ is None
    assert len(caught.traceback) == 2
    assert check_op.__code__.co_varnames.count("__tracebackhide__") == 1


# Over the domain.


@pytest.fixture
def looked_at(monkeypatch):
    """Return a function that returns the points that are checked, with their order, and those with shared operands."""

    def look(op, examples=60, result=lambda xs, order: order):
        points, shared = [], []

        def check_point(op, xs, reference, order, partly):
            assert (reference, partly) == ("reference", ["partly"])
            points.append((xs, order))
            return result(xs, order)

        monkeypatch.setitem(ROOM, "_check_point", check_point)
        monkeypatch.setitem(ROOM, "check_shared", lambda op, xs: shared.append(xs))
        found = _check_domain(op, "reference", examples, ["partly"])
        assert found == [xs for xs, _ in points]
        return points, shared

    return look


def test_two_thirds_of_the_points_of_second_order_are_spread_near_and_far_and_others_drawn(looked_at):
    for examples in (66, 12):
        points, shared = looked_at(mc.tanh, examples)
        near, far = list(spread_points(mc.tanh, examples // 2, 4.0)), list(spread_points(mc.tanh, examples // 6, 100.0))
        first_order = list(spread_points(mc.tanh, 2 * examples, 100.0))
        assert points[: len(near + far)] == [(xs, 2) for xs in near + far]
        assert points[len(near + far) : len(near + far + first_order)] == [(xs, 1) for xs in first_order]
        zeros, drawn = points[len(near + far + first_order) :][:2], points[len(near + far + first_order) :][2:]
        assert [(str(x), order) for (x,), order in zeros] == [("0.0", 1), ("-0.0", 1)]
        assert [order for _, order in drawn] == [2] * (examples // 3)
        assert all(abs(x) <= 100.0 for (x,), _ in drawn)
        assert shared == []
    assert looked_at(mc.tanh, 12)[0] == points, "they are the same each time"


def test_points_are_drawn_near_0_and_far_from_it(looked_at):
    points, _ = looked_at(mc.tanh, 120)
    drawn = [x for (x,), _ in points[-40:]]
    assert any(4.0 < abs(x) <= 100.0 for x in drawn)
    assert sum(abs(x) <= 4.0 for x in drawn) > 8


def test_at_least_one_point_is_drawn(looked_at):
    for examples in (0, 1):
        points, _ = looked_at(mc.tanh, examples)
        assert [order for _, order in points].count(2) == 1


def test_points_near_the_ends_of_the_domain_are_looked_at_to_first_order(looked_at):
    points, _ = looked_at(mc.asin)
    for xs in points_near_ends(mc.asin):
        assert points.count((xs, 1)) == 1
    assert all(-1.0 < x < 1.0 for (x,), _ in points)


def test_a_row_of_any_number_of_operands_is_looked_at_with_many(looked_at):
    points, _ = looked_at(mc.sum)
    many = Counter((len(xs), order) for xs, order in points if len(xs) > 5)
    assert many == dict.fromkeys([(count, 2) for count in (6, 9, 17, 33)], 3)
    far = [xs for xs, _ in points if len(xs) == 33 and max(map(abs, xs)) > 4.0]
    assert len(far) == 1
    drawn = [xs for xs, _ in points[-20:]]
    assert {*map(len, drawn)} <= {1, 2, 3, 4, 5}
    assert len({*map(len, drawn)}) > 2
    assert all(len(xs) == 2 for xs, _ in looked_at(mc.mul)[0])


def test_two_to_five_operands_are_also_one_value_where_second_order_was_compared(looked_at):
    points, shared = looked_at(mc.sum)
    assert shared == [xs for xs, order in points if order == 2 and 2 <= len(xs) <= 5]
    assert {*map(len, shared)} == {2, 3, 4, 5}
    assert looked_at(mc.sum, result=lambda xs, order: 1)[1] == []
    assert looked_at(mc.sum, result=lambda xs, order: 2 if len(xs) < 2 else 0)[1] == []
    assert looked_at(mc.tanh)[1] == []


def test_where_nothing_could_be_compared_it_is_said(looked_at):
    with pytest.raises(AssertionError, match=r"^check_op of tanh: nowhere in its domain could its derivatives be"):
        looked_at(mc.tanh, result=lambda xs, order: 0)
    with pytest.raises(AssertionError, match="nowhere"):
        looked_at(mc.tanh, result=lambda xs, order: 0 if order == 2 else 1)
    once = iter([1])
    assert looked_at(mc.tanh, result=lambda xs, order: next(once, 0))


def test_the_first_failure_of_points_that_are_drawn_is_raised_and_no_other(looked_at):
    calls = []

    def result(xs, order):
        calls.append(xs)
        if len(calls) > 160 and len(calls) % 2:
            raise AssertionError("check_op of own at 1.0: one mistake")
        if len(calls) > 160:
            raise AssertionError("check_op of own at 1.0: another mistake")
        return order

    with pytest.raises(AssertionError, match=r"^check_op of own at 1\.0: (one|another) mistake\b"):
        looked_at(mc.tanh, result=result)


# One point.


@pytest.fixture
def checked(monkeypatch):
    """Return a function that checks a point; it returns the order, and what was compared, which it says succeeds."""

    def check(op, *xs, order=2, reference=None, succeeds=True):
        compared = []
        name = lambda kind: lambda op, xs, order, *partly: compared.append((kind, order, *partly)) or succeeds  # noqa: E731
        monkeypatch.setitem(ROOM, "compare_derivatives", name("each"))
        monkeypatch.setitem(ROOM, "check_along", name("along"))
        return _check_point(op, xs, reference, order, ["partly"]), compared

    return check


def test_the_derivatives_of_a_few_operands_are_compared_each_and_of_many_along_a_direction(checked):
    assert checked(mc.tanh, 0.5) == (2, [("each", 2, ["partly"])])
    assert checked(mc.tanh, 0.5, order=1) == (1, [("each", 1, ["partly"])])
    for count in (1, 2, 5):
        assert checked(mc.sum, *[0.5] * count) == (2, [("each", 2, ["partly"])])
    for count in (6, 7, 33):
        assert checked(mc.sum, *[0.5] * count) == (2, [("along", 2)])


def test_beside_a_kink_nothing_is_compared(checked):
    assert checked(mc.relu, 0.04) == (0, [])
    assert checked(mc.relu, 0.06)[0] == 2
    with pytest.raises(AssertionError, match=r"own at 0\.0: the kink of own raised ZeroDivisionError"):
        checked(line(kink=lambda x: 1 / x), 0.0)


def test_where_the_value_is_infinite_nothing_is_compared_and_nan_is_refused(checked):
    assert checked(line(inf), 0.5) == (0, [])
    assert checked(line(-inf), 0.5) == (0, [])
    with pytest.raises(AssertionError, match=r"own at 0\.5: its value is nan, inside its domain"):
        checked(line(nan), 0.5)


def test_a_partial_is_a_number_unless_the_value_is_large(checked):
    for value, partial in ((1.0, nan), (1e9, nan), (1.0, inf), (1.0, -inf), (-1e6, inf)):
        with pytest.raises(AssertionError, match=rf"own at 0\.5: partial 0 is {partial}, inside its domain"):
            checked(line(value, partial), 0.5)
    assert checked(line(1e7, inf), 0.5)[0] == 1
    assert checked(line(-1e7, inf), 0.5)[0] == 1
    second = Op("own", lambda a, b: 1.0, (lambda y, a, b: 1.0, lambda y, a, b: nan))
    with pytest.raises(AssertionError, match="partial 1 is nan"):
        checked(second, 0.5, 0.5)


def test_a_large_value_or_partial_is_compared_to_first_order(checked):
    for value, partial, order in (
        (1e6, 1.0, 2),
        (1000000.5, 1.0, 1),
        (-1000000.5, 1.0, 1),
        (1.0, -1e6, 2),
        (1.0, 1000000.5, 1),
        (1.0, -1000000.5, 1),
    ):
        assert checked(line(value, partial), 0.5) == (order, [("each", order, ["partly"])])


def test_where_no_derivative_could_be_compared_to_second_order_the_row_should_say_why(checked):
    with pytest.raises(AssertionError, match="no derivative could be compared: state its kink or domain") as caught:
        checked(mc.tanh, 0.5, succeeds=False)
    assert str(caught.value).endswith("gradcheck(tanh, 0.5, order=2)")
    assert checked(mc.tanh, 0.5, order=1, succeeds=False)[0] == 0
    assert checked(mc.sum, *[0.5] * 6, succeeds=False)[0] == 0
    assert checked(line(1e7), 0.5, succeeds=False)[0] == 0, "it is large"


def test_a_point_is_compared_with_the_reference_and_what_is_recorded(checked):
    assert checked(mc.tanh, 0.5, reference=math.tanh)[0] == 2
    with pytest.raises(AssertionError, match=r"tanh at 0\.5: its value is .*, the reference gives 0\.25"):
        checked(mc.tanh, 0.5, reference=lambda x: x / 2.0)
    with pytest.raises(AssertionError, match=r"tanh at 0\.5: the reference raised ZeroDivisionError"):
        checked(mc.tanh, 0.5, reference=lambda x: x / 0)
    on_values = Op("own", lambda x: x, (lambda y, x: 1.0 if isinstance(x, float) else 2.0,))
    with pytest.raises(AssertionError, match=r"own at 0\.5: partial 0 is 1\.0 on floats, 1\.0 when recorded, 2\.0 on"):
        checked(on_values, 0.5)


# The reference.


def agrees(y, expected, xs=(0.0,), partials=(1.0,), **fields):
    try:
        _check_reference(line(**fields), xs, y, partials, expected)
    except AssertionError as error:
        return f"its value is {y}, the reference gives {expected}" not in str(error)
    return True


def test_the_reference_is_compared_to_twelve_digits():
    for sign in (1.0, -1.0):
        assert agrees(sign * (1000.0 + 0.9e-9), sign * 1000.0)
        assert agrees(sign * (1000.0 - 0.9e-9), sign * 1000.0)
        assert not agrees(sign * (1000.0 + 1.1e-9), sign * 1000.0)
        assert not agrees(sign * (1000.0 - 1.1e-9), sign * 1000.0)
    assert agrees(0.9e-300, 0.0)
    assert not agrees(1.1e-300, 0.0)
    assert not agrees(0.0, 3e-300)


def test_what_the_last_bits_of_the_operands_do_is_allowed():
    for x, p in ((1e3, 1.0), (-1e3, 1.0), (1.0, -1e3)):
        assert agrees(0.9e-12, 0.0, (x,), (p,))
        assert not agrees(1.1e-12, 0.0, (x,), (p,))
    assert agrees(1.8e-12, 0.0, (1e3, 1.0), (1.0, -1e3))
    assert not agrees(2.2e-12, 0.0, (1e3, 1.0), (1.0, -1e3))
    assert not agrees(2.2e-12, 0.0, (1e3, 1.0, 1.0), (1.0, -1e3, inf)), "an infinite one is no reason to pass"
    assert agrees(1.0 + 1.5e-12, 1.0, (1e3,), (1.0,))


def test_what_the_row_says_of_its_rounding_is_allowed():
    stated = {"rounding": lambda y, x: (9e3, 0.0)}
    assert agrees(1.0 + 0.9e-11, 1.0, **stated)
    assert not agrees(1.0 + 1.1e-11, 1.0, **stated)
    assert not agrees(1.0 + 0.9e-11, 1.0)


def test_infinities_and_nan_are_compared_too():
    assert agrees(inf, inf)
    assert agrees(nan, nan)
    for y, expected in ((inf, -inf), (1.0, nan), (nan, 1.0), (1.0, inf), (inf, 1.0), (1e308, -1e308)):
        assert not agrees(y, expected)


# Kinks and the picture.


def absolute(at_kink):
    def partial(y, x):
        return mc.where(x - 2.3, mc.step(x - 2.3) - mc.step(2.3 - x), at_kink)

    return Op("own", lambda x: mc.abs(x - 2.3), (partial,), smoothness=Smoothness(kink=lambda x: x - 2.3))


def test_a_derivative_at_a_kink_is_between_those_of_the_sides():
    _check_kinks(absolute(0.5), lambda x: x - 2.3)
    with pytest.raises(GradientMismatch, match=r"own at 2\.3: 1 of 1 derivatives wrong"):
        _check_kinks(absolute(3.0), lambda x: x - 2.3)


def test_a_kink_or_a_row_that_raises_at_a_kink_is_blamed():
    with pytest.raises(AssertionError, match=r"own at 0\.0: the kink of own raised ZeroDivisionError"):
        _check_kinks(line(), lambda x: 1 / x)
    with pytest.raises(AssertionError, match=r"own at 0\.0: own.forward gave int 0, not a float"):
        _check_kinks(Op("own", lambda x: x if x else 0, (lambda y, x: 1.0,)), lambda x: x)


def test_the_picture_of_few_operands_is_drawn(monkeypatch):
    _check_picture(mc.sum)
    drawn = []

    def draw_dot(root):
        drawn.append(len(root.parents))
        return types.SimpleNamespace(source="->" * (len(root.parents) if len(drawn) < 3 else 2))

    monkeypatch.setattr("micrograd_cn.picture.draw_dot", draw_dot)
    with pytest.raises(AssertionError, match=r"^check_op of sum: with 3 operands it is drawn with 2 edges") as caught:
        _check_picture(mc.sum)
    assert drawn == [1, 2, 3]
    assert str(caught.value).endswith("print(draw_dot(record(sum, [Value(0.5)] * 3)).source)")
    monkeypatch.setattr("micrograd_cn.picture.draw_dot", lambda root: types.SimpleNamespace(source="-> ->"))
    with pytest.raises(AssertionError, match=r"^check_op of sum: with 1 operands it is drawn with 2 edges"):
        _check_picture(mc.sum)
