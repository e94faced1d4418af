"""The page computes values and partials as the table does."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from micrograd_cn import OPS, Op, where
from micrograd_cn.flow.bundle import joined
from micrograd_cn.flow.javascript import Rows
from micrograd_cn.flow.sheet import scripts

from ..ops.test_higher_orders import reached
from .pages import same

inf, nan = math.inf, math.nan


SPECIAL = (-inf, -1e308, -30.5, -2.5, -1.0, -0.3, -1e-9, -1e-300, -0.0, 0.0, 5e-324, 1e-300, 1e-9, 0.3, 1.0, 2.0)
SPECIAL += (3.0, 5.5, 30.5, 710.5, 1e17, 1e308, inf, nan)


def computed(blank, rows, cases):
    """Return the value and the partials that the page computes for each (row, operands)."""
    script = joined("rows.js", {**scripts(), "rows.js": rows.module()})
    return blank.evaluate(
        f"cases => {{ {script} return cases.map(([row, xs]) => {{"
        "const y = forward[row](...xs); return [y, partials[row](y, ...xs)]; }); }",
        cases,
    )


@pytest.mark.parametrize("op", OPS.values(), ids=lambda op: op.name)
def test_every_operation_agrees_with_python(op, blank):
    rows = Rows()
    if op.arity is None:
        points = [*itertools.product(SPECIAL[::2], repeat=3), *itertools.product(SPECIAL[1::2], repeat=3), SPECIAL]
    else:
        points = list(itertools.product(SPECIAL if op.arity < 3 else SPECIAL[::2], repeat=op.arity))
    for (y, partials), xs in zip(
        computed(blank, rows, [[rows.add(op, len(xs)), xs] for xs in points]), points, strict=True
    ):
        true = op.forward(*xs)
        assert close(y, true), (xs, y, true)
        for got, partial in zip(partials, op.local_derivatives(true, *xs), strict=True):
            assert close(got, partial), (xs, partials, op.local_derivatives(true, *xs))


def test_rows_of_which_derivatives_are_made_agree_with_python(blank):
    rows, cases, expected = Rows(), [], []
    for op, count in reached():
        for xs in itertools.product(SPECIAL[1::3], repeat=min(count, 2)):
            xs = (*xs, 0.5, 2.0, -1.0, 3.0, 0.7)[:count]
            cases.append([rows.add(op, count), xs])
            expected.append((y := op.forward(*xs), op.local_derivatives(y, *xs)))
    for (y, partials), true, case in zip(computed(blank, rows, cases), expected, cases, strict=True):
        assert close(y, true[0]), (case, y, true)
        assert all(map(close, partials, true[1])), (case, partials, true)


def close(a, b):
    return same(a, b, 1e-12) or abs(a - b) <= 4 * 5e-324


@pytest.mark.parametrize("number", [nan, inf, -inf, -2.5, -0.0, 1e300, 5e-324])
def test_a_formula_s_numbers_are_written_whole(number, blank):
    rows = Rows()
    own = Op("own", lambda x: where(x, number, x), (lambda y, x: 0.0,))
    [(y, _)] = computed(blank, rows, [[rows.add(own, 1), [1.0]]])
    assert same(y, number)
    assert math.copysign(1.0, y) == math.copysign(1.0, number)


@given(st.lists(st.floats(), min_size=1, max_size=9).map(lambda xs: [*xs, *[-x / 3 for x in xs[::2]], *xs[1::3]]))
def test_sum_and_dot_are_rounded_as_in_python(blank, xs):
    rows = Rows()
    cases = [[rows.add(OPS[name], len(xs)), xs] for name in ("sum", "dot")]
    for (y, _), name in zip(computed(blank, rows, cases), ("sum", "dot"), strict=True):
        assert same(y, OPS[name].forward(*xs)), name


def test_erf_and_erfc_hold_everywhere(blank):
    rows = Rows()
    xs = [sign * x for x in [10.0**k for k in range(-320, 3)] + [i / 64 for i in range(1800)] for sign in (1, -1)]
    for name in ("erf", "erfc"):
        row = rows.add(OPS[name], 1)
        for (y, _), x in zip(computed(blank, rows, [[row, [x]] for x in xs]), xs, strict=True):
            assert close(y, OPS[name].forward(x)), (name, x)


@given(st.floats())
def test_numbers_are_shown_as_in_pictures_and_in_full(blank, x):
    script = joined("stepper/text.js", scripts())
    short, full, back = blank.evaluate(f"x => {{ {script} return [rounded(x), exact(x), parsed(exact(x))]; }}", x)
    assert short == f"{x + 0.0:.4g}"
    assert float(full) == x or x != x
    assert same(back, x)


@pytest.mark.parametrize("x", [2.0625, 0.15625, -12.125, 12.375, 1.00005, 1e22, 123450000.0, 2.5e-5])
def test_ties_are_shown_as_in_pictures(blank, x):
    script = joined("stepper/text.js", scripts())
    assert blank.evaluate(f"x => {{ {script} return rounded(x); }}", x) == f"{x:.4g}"
