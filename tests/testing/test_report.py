"""The text of a check: which rows are shown, and what they say."""

import math

import pytest

from micrograd_cn.testing import GradientMismatch, NothingCompared, PartlyCompared, TooNoisy
from micrograd_cn.testing.compare import Row
from micrograd_cn.testing.numerical import Estimate
from micrograd_cn.testing.report import conclude, text


def row(agrees, title="df/dx", analytic=6.0, slope=3.0, **how):
    return Row(title, analytic, Estimate(slope, 1e-9), agrees, **how)


def rows(*verdicts):
    return [row(verdict, f"d{i}") for i, verdict in enumerate(verdicts)]


def shown(title, code, rows):
    return text(title, code, rows).split("\n")


def test_a_table_shows_ratio_order_and_notes():
    lines = shown(
        "title", "", [row(False, order=1.0, note="here"), row(True, "longer", -1.5, 0.0), row(None, slope=-3)]
    )
    assert lines == [
        "title",
        "              derivative  analytic  numeric  estimated error  ratio  order",
        "WRONG         df/dx       6         3        1e-09            2      1.00   here",
        "ok            longer      -1.5      0        1e-09            nan",
        "not compared  df/dx       6         -3       1e-09            -2",
        "order: of f(x + h) - f(x) - h * derivative in h, 2 or more if the derivative is right, 1 if not",
    ]


def test_without_an_order_its_column_is_left_out():
    assert shown("title", "code", [row(True, note="here")]) == [
        "title",
        "code",
        "    derivative  analytic  numeric  estimated error  ratio",
        "ok  df/dx       6         3        1e-09            2      here",
    ]


@pytest.mark.parametrize(("code", "room"), [("", 23), ("def f(x):\n    return x", 21)])
def test_a_text_has_at_most_25_lines(code, room):
    assert len(shown("title", code, rows(*[True] * room))) == 25
    assert "more" not in text("title", code, rows(*[True] * room))
    lines = shown("title", code, rows(*[True] * (room + 1)))
    assert len(lines) == 25
    assert lines[-1] == "and 2 more ok"
    ordered = [*rows(*[True] * (room - 1)), row(False, order=1.0)]
    assert len(shown("title", code, ordered)) == 25
    assert shown("title", code, ordered)[-2:][0] == "and 2 more ok"


def test_what_matters_most_is_shown_in_its_own_order():
    lines = shown("title", "", rows(*[True] * 30, None, *[True] * 30, False, None))
    marks = [line.split()[:2] for line in lines[2:-1]]
    assert marks[-3:] == [["not", "compared"], ["WRONG", "d61"], ["not", "compared"]]
    assert [mark[1] for mark in marks[:-3]] == [f"d{i}" for i in range(19)]
    assert lines[-1] == "and 41 more ok"
    assert (
        shown("", "", rows(*[False] * 30, *[None] * 5, True))[-1] == "and 8 more WRONG, 5 more not compared, 1 more ok"
    )


def test_at_least_three_rows_are_shown_beside_a_long_code():
    lines = shown("title", "\n".join("code" for _ in range(40)), rows(*[False] * 9))
    assert sum(line.startswith("WRONG") for line in lines) == 3
    assert lines[-1] == "and 6 more WRONG"
    lines = shown("title", "\n".join("code" for _ in range(18)), rows(*[False] * 9))
    assert sum(line.startswith("WRONG") for line in lines) == 4
    assert len(lines) == 25


def test_a_mistake_is_raised_whatever_else_is_not_known():
    with pytest.raises(GradientMismatch, match=r"^check: 2 of 4 derivatives wrong\ncode\n"):
        conclude("check", "code", rows(False, True, None, False), 1)


def test_nothing_compared_is_raised_and_noise_told_apart():
    for verdicts in ([], rows(None, None), [row(None, noisy=True), row(None)]):
        with pytest.raises(NothingCompared, match=r"^check compared nothing") as caught:
            conclude("check", "", verdicts, 1)
        assert not isinstance(caught.value, TooNoisy)
    with pytest.raises(TooNoisy, match=r"^check: too noisy to tell"):
        conclude("check", "", [row(None, noisy=True), row(None, noisy=True)], 1)


def test_a_warning_points_to_who_called():
    with pytest.warns(PartlyCompared, match="^check: 1 of 2 derivatives not compared") as caught:
        conclude("check", "", rows(None, True), 1)
    assert caught[0].filename == __file__
    assert conclude("check", "", rows(True, True), 1) is None


def test_a_ratio_of_nothing_is_nan():
    assert "nan" in shown("title", "", [row(False, analytic=math.inf, slope=0.0)])[2]
