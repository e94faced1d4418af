"""The text that a check prints: which comparisons are shown, and the likely cause."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from micrograd_cn.testing import GradientMismatch, NothingCompared, PartlyCompared, TooNoisy, gradcheck
from micrograd_cn.testing.inputs.pytrees import flatten_pytree
from micrograd_cn.testing.inputs.subject import Subject
from micrograd_cn.testing.numeric.compare import Comparison
from micrograd_cn.testing.numeric.numerical import Estimate
from micrograd_cn.testing.report import raise_or_warn, report_text, verdict_text
from micrograd_cn.testing.report.causes import likely_causes
from micrograd_cn.testing.report.reproduce import reproduction


def row(agrees, title="df/dx", analytic=6.0, slope=3.0, **how):
    return Comparison(title, analytic, Estimate(slope, 1e-9), agrees, **how)


def concluded(code, rows, half_precision=False):
    def f(x):
        return x

    asked = Subject(f, (1.0,), ["x0"], code or "check", frozenset(), {})
    return raise_or_warn(asked, rows, half_precision, 1)


def rows(*verdicts):
    return [row(verdict, f"d{i}") for i, verdict in enumerate(verdicts)]


def shown(title, code, rows):
    return report_text(title, code, rows).split("\n")


def test_a_table_shows_ratio_order_and_notes():
    lines = shown(
        "title", "", [row(False, remainder_order=1.0, note="here"), row(True, "longer", -1.5, 0.0), row(None, slope=-3)]
    )
    assert lines == [
        "title",
        "              derivative  analytic  numeric  estimated error  ratio  order",
        "WRONG         df/dx       6         3        1e-09            2      1.00   here",
        "ok            longer      -1.5      0        1e-09",
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


@pytest.mark.parametrize(("code", "room"), [("", 13), ("def f(x):\n    return x", 11)])
def test_a_text_has_at_most_15_lines(code, room):
    assert len(shown("title", code, rows(*[True] * room))) == 15
    assert "more" not in report_text("title", code, rows(*[True] * room))
    lines = shown("title", code, rows(*[True] * (room + 1)))
    assert len(lines) == 15
    assert lines[-1] == "and 2 more ok"
    ordered = [*rows(*[True] * (room - 1)), row(False, remainder_order=1.0)]
    assert len(shown("title", code, ordered)) == 15
    assert shown("title", code, ordered)[-2:][0] == "and 2 more ok"


def test_what_matters_most_is_shown_in_its_own_order():
    lines = shown("title", "", rows(*[True] * 30, None, *[True] * 30, False, None))
    marks = [line.split()[:2] for line in lines[2:-1]]
    assert marks[-3:] == [["not", "compared"], ["WRONG", "d61"], ["not", "compared"]]
    assert [mark[1] for mark in marks[:-3]] == [f"d{i}" for i in range(9)]
    assert lines[-1] == "and 51 more ok"
    assert (
        shown("", "", rows(*[False] * 30, *[None] * 5, True))[-1] == "and 18 more WRONG, 5 more not compared, 1 more ok"
    )


def test_at_least_two_rows_are_shown_beside_a_long_code():
    lines = shown("title", "\n".join("code" for _ in range(40)), rows(*[False] * 9))
    assert sum(line.startswith("WRONG") for line in lines) == 2
    assert lines[-1] == "and 7 more WRONG"
    lines = shown("title", "\n".join("code" for _ in range(8)), rows(*[False] * 9))
    assert sum(line.startswith("WRONG") for line in lines) == 4
    assert len(lines) == 15


def test_a_mistake_is_raised_whatever_else_is_not_known():
    with pytest.raises(GradientMismatch, match=r"^gradcheck of f at 1.0: 2 of 4 derivatives wrong\ndef f\n"):
        concluded("def f\n", rows(False, True, None, False))


def test_nothing_compared_is_raised_and_noise_told_apart():
    for verdicts in ([], rows(None, None), [row(None, noisy=True), row(None)]):
        with pytest.raises(NothingCompared, match=r"^gradcheck of check at 1.0 compared nothing") as caught:
            concluded("", verdicts)
        assert not isinstance(caught.value, TooNoisy)
    with pytest.raises(TooNoisy, match=r"^gradcheck of check at 1.0: too noisy to tell"):
        concluded("", [row(None, noisy=True), row(None, noisy=True)])
    with pytest.warns(PartlyCompared, match=r": too noisy to tell"):
        concluded("", [row(None, noisy=True)], half_precision=True)


def test_a_warning_points_to_who_called():
    asked = Subject(None, (1.0,), ["x0"], "check", frozenset(), {})
    with pytest.warns(PartlyCompared, match=r"^gradcheck of check at 1.0: 1 of 2 deriv.* not compared \(w\)") as caught:
        raise_or_warn(asked, [row(None, argument="w"), row(True)], False, 1)
    assert caught[0].filename == __file__
    assert concluded("", rows(True, True)) is None


@pytest.mark.parametrize("analytic", [math.inf, math.nan, 6.0])
def test_a_ratio_of_nothing_is_left_out(analytic):
    slope = 0.0 if analytic == 6.0 else 2.0
    cells = shown("title", "", [row(False, analytic=analytic, slope=slope)])[2].split()
    assert cells == ["WRONG", "df/dx", f"{analytic:g}", f"{slope:g}", "1e-09"]


def test_an_error_is_no_less_than_the_last_digit_of_the_derivative():
    [_, _, line] = report_text("", "", [Comparison("it", 3.0, Estimate(3.0, 2e-322), True)]).split("\n")
    assert line.split() == ["ok", "it", "3", "3", "3e-16", "1"]


def test_arguments_that_are_wrong_and_right_are_told():
    found = [row(False, argument="w"), row(True, argument="w"), row(True, argument="b"), row(True)]
    assert verdict_text(found) == "wrong for w, right for b"
    assert verdict_text(found[:2]) == "wrong for w"


def test_a_direction_is_left_out_where_an_element_is_shown():
    found = [row(False, "direction of w", argument="w"), row(False, "df/dw[1]", argument="w"), row(True, "direction 1")]
    lines = report_text("", "", found).split("\n")[2:]
    assert [re.split("  +", line)[1] for line in lines] == ["df/dw[1]", "direction 1"]
    [line] = report_text("", "", found[:1]).split("\n")[2:]
    assert "direction of w" in line, "where none is"


# The likely cause.


CONSTANT = "f is constant near the point: a mask is missing or, for a straight-through gradient, write like=surrogate"
MISSING = "a gradient is missing: 0 or None is returned; if w is a constant, such as a target, write static=['w']"


@pytest.mark.parametrize(
    ("pairs", "cause"),
    [
        ([(-3.0, 3.0), (2.0, -2.0)], "the sign is wrong"),
        ([(6.0, 3.0)], "a factor of 2 too much"),
        ([(1.5, 3.0)], "a factor of 2 is missing"),
        ([(1.0, 7.0), (2.0, 14.0)], "7 times as small as it should be, as if f had a mean and not a sum"),
        ([(-7.0, 1.0)], "-7 times as large as it should be, as if f had a sum and not a mean"),
        ([(1.3, 1.0), (2.6, 2.0)], "a factor, 1.3 everywhere"),
        ([(1.3, 1.0)], None),
        ([(0.0, 1.0), (0.0, 2.0)], MISSING),
        ([(1.5, 1.0), (2.5, 2.0)], "off by 0.5 everywhere: a term that is constant"),
        ([(1.0, 2.0), (2.0, 1.0)], "the right numbers in the wrong places: transposed, or reshaped in another order"),
        ([(math.inf, 2.0)], "it divides by 0, or takes a root or logarithm of 0"),
        ([(-4.0, 2.0)], "-2 times as large as it should be, as if f had a sum and not a mean"),
        ([(3.0, 0.0)], CONSTANT),
        ([(8.0, 1.0), (16.012, 2.0)], "8 times as large as it should be, as if f had a sum and not a mean"),
        ([(1.0, 2.0), (7.0, 3.0)], None),
    ],
)
def test_the_likely_cause_is_told_from_ratios_and_differences(pairs, cause):
    found = likely_causes([row(False, f"df/dw[{i}]", a, b, argument="w") for i, (a, b) in enumerate(pairs)])
    assert found == ([f"likely, for w: {cause}"] if cause else [])


def test_of_two_arguments_the_causes_are_told_and_one_that_all_derivatives_share_is_it():
    rows = [row(False, f"df/d{name}[0]", -6.0, 6.0, argument=name) for name in "abc"]
    assert likely_causes(rows) == ["likely, for a: the sign is wrong", "likely, for b: the sign is wrong"]
    transposed = [row(False, f"df/dw[{i}]", i, 6.0, argument="w")._replace(cause="a transposed matrix") for i in (1, 2)]
    assert likely_causes(transposed) == likely_causes(transposed[:1]) == ["likely, for w: a transposed matrix"]
    assert likely_causes([transposed[0], transposed[1]._replace(cause="")]) == []


def test_what_is_wrong_of_some_elements_alone_has_no_factor_of_all():
    wrong, right = row(False, "df/dw[0]", 7.0, 1.0, argument="w"), row(True, "df/dw[1]", 1.0, 1.0, argument="w")
    assert likely_causes([wrong, right]) == []
    none = row(False, "df/dw[0]", 0.0, 1.0, argument="w")
    assert likely_causes([none, right]) == ["likely, for w: some elements get no gradient"]
    assert likely_causes([none, wrong._replace(title="direction of w")]) == [
        "likely, for w: some elements get no gradient"
    ]
    missing = f"likely, for w: {MISSING}"
    assert likely_causes([none, wrong._replace(argument="b"), right._replace(argument="b")])[0] == missing


def test_an_order_that_tells_nothing_is_not_shown():
    lines = shown("title", "", [row(False, remainder_order=2.2)])
    assert len(lines) == 3
    assert "order" not in "".join(lines)
    assert "order" in shown("title", "", [row(False, remainder_order=2.2), row(False, remainder_order=1.1)])[1]


def test_what_is_nearly_0_and_less_than_0_is_shown_as_0():
    [_, _, line] = shown("title", "", [row(False, analytic=-2.0)._replace(numeric=Estimate(0.0, 2e-322))])
    assert line.split()[-1] == "2e-16", "an error far below the digits that are shown says nothing"
    [_, _, line] = shown("title", "", [row(False, analytic=0.0, slope=-2.0)])
    assert line.split()[-1] == "0"


def test_code_to_paste_runs_and_has_the_same_types_and_shapes():
    small, large = np.float32([[1.5, -2.0]]), np.linspace(0.5, 4.0, 300).reshape(3, 100)
    for args in ((small, 2.0), (large, {"w": small}), (np.ones(40, int), large)):
        lines = reproduction(Subject(None, args, ["x", "y"], "f", frozenset(), {}))
        found = []
        exec("\n".join(lines), {"f": None, "gradcheck": lambda f, *xs, found=found: found.extend(xs)})
        for x, y in zip(args, found, strict=True):
            for (_, a), (_, b) in zip(flatten_pytree(x)[0], flatten_pytree(y)[0], strict=True):
                assert (np.shape(a), np.asarray(a).dtype) == (np.shape(b), np.asarray(b).dtype)
    assert (found[1] > 0.0).all(), "positive numbers stay positive"


def square(x):
    return (x * x).sum()


def of_square(x):
    return 2.1 * x


def test_code_to_paste_fails_as_it_did():
    for x in (np.array([1.5, -2.0]), np.linspace(0.5, 4.0, 300), (np.ones(30), np.ones(30))):
        f, df = (square, of_square) if isinstance(x, np.ndarray) else (lambda x: square(x[0] * x[1]), lambda x: x)
        with pytest.raises(GradientMismatch) as caught:
            gradcheck(f, x, gradient=df)
        code = str(caught.value).partition("\n\n")[2]
        assert ("gradcheck(square, x, gradient=of_square)" in code) is (f is square)
        names = {"gradcheck": gradcheck, "square": square, "of_square": of_square, "f": f, "gradient": df}
        with pytest.raises(GradientMismatch):
            exec(code, names)
    assert (names["x"][0] != names["x"][1]).all(), "no two arrays have the same numbers"


def test_code_to_paste_has_tolerances_and_no_name_twice_and_none_that_it_does_not_have():
    x = np.array([1.0, 2.0])
    with pytest.raises(GradientMismatch, match=r"\ngradcheck\(f, x, gradient=gradient, rtol=1e-09\)$"):
        gradcheck(lambda x: square(x), x, gradient=lambda x: (2.0 + 1e-7) * x, rtol=1e-9)
    with pytest.raises(GradientMismatch, match=r"\ngradcheck\(f, x, gradient=gradient, rtol=0.0, atol=0.0, seed=2\)$"):
        gradcheck(lambda x: square(x), x, gradient=lambda x: 3.0 * x, rtol=0.0, atol=0.0, seed=2)
    said = r"\nf_ = np.*\ny = float\('nan'\)\ngradcheck\(f, f_, y, gradient=gradient\)$"
    with pytest.raises(GradientMismatch, match=said):
        gradcheck(lambda f, y: square(f), x, math.nan, gradient=lambda f, y: (3.0 * f, 0.0))
    with pytest.raises(GradientMismatch) as caught:
        gradcheck(lambda x, path: square(x), x, Path("a"), gradient=lambda x, path: 3.0 * x)
    assert "Path" not in str(caught.value).partition("\n")[2]
    with pytest.raises(GradientMismatch) as caught:
        gradcheck(lambda x, names: square(x), x, np.array(["a", "b"]), gradient=lambda x, names: 3.0 * x)
    assert "gradcheck(f" not in str(caught.value)


def test_a_transposed_matrix_is_told_and_what_is_no_such_is_not():
    x, w = np.random.default_rng(0).normal(size=(2, 5, 5))
    how = {"vjp": lambda x, w, g: (g @ w.T, g.T @ x)}
    with pytest.raises(GradientMismatch, match="likely, for w: a transposed matrix"):
        gradcheck(lambda x, w: x @ w, x, w, **how)
    with pytest.raises(GradientMismatch) as caught:
        gradcheck(lambda x, w: x @ w, x, w, vjp=lambda x, w, g: (g @ w.T, -x.T @ g))
    assert "likely, for w: the sign is wrong" in str(caught.value)


def test_elements_without_a_gradient_are_not_called_a_gradient_that_is_missing():
    x = np.random.default_rng(0).normal(size=(5, 5))
    with pytest.raises(GradientMismatch, match="likely, for x: some elements get no gradient"):
        gradcheck(lambda x: (x * x).sum(), x, gradient=lambda x: 2.0 * x * np.eye(5))
    with pytest.raises(GradientMismatch, match="likely, for x: a gradient is missing"):
        gradcheck(lambda x: (x * x).sum(), x, gradient=lambda x: 0.0 * x)


def test_an_error_that_is_none_is_shown_as_0():
    rows = [
        Comparison("tiny", 2e-300, Estimate(1e-300, 2e-322), False),
        Comparison("none", 0.0, Estimate(0.0, 2e-322), True),
    ]
    lines = report_text("", "", rows).splitlines()
    assert [line.split()[4] for line in lines[2:4]] == ["0", "0"]
    assert "e-322" not in "".join(lines)
