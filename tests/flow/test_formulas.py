"""The page has the rows that its graph needs and no others, and names an operation that has no formula."""

import math
import re

import pytest

from micrograd_cn import OPS, Op, Value, draw_flow, exp, where
from micrograd_cn.flow.graph import operation_facts
from micrograd_cn.flow.javascript import Rows
from micrograd_cn.text.formula import FormulaError

from .pages import same


def test_an_operation_that_is_no_formula_still_steps_and_the_page_names_it(opened):
    odd = Op("odd", lambda x: float(round(x.real, 3)), (lambda y, x: 2.0,))
    x = Value(0.5, "x")
    y = odd(x) * x
    page = opened(draw_flow(y, "en"))
    assert "the operation odd is not written" in page.page.locator("#message").inner_text()
    for label in ("Leaf", "Value"):
        assert page.page.get_by_label(label).is_disabled()
    page.press("End")
    y.backward()
    assert page.nodes()["x"]["grad"] == repr(x.grad)
    page.press("l")
    assert "运算 odd 不是" in page.page.locator("#message").inner_text()


def test_an_own_operation_that_is_a_formula_can_be_edited(opened):
    bump = Op("bump", lambda x: exp(-x * x), (lambda y, x: -2.0 * x * y,))
    other = Op("bump", lambda x: where(x, x, 1.0) * 3.0, (lambda y, x: 3.0,))
    x = Value(0.5, "x")
    page = opened(draw_flow(bump(other(x)), "en"))
    page.page.get_by_label("Value").fill("0.25")
    page.click("end")
    z = Value(0.25)
    y = bump(other(z))
    y.backward()
    assert same(float(page.nodes()["x"]["grad"]), z.grad, 1e-12)


@pytest.mark.parametrize(
    ("forward", "partials"),
    [
        (lambda x: x if x > 0.0 else 0.0, (lambda y, x: 1.0,)),
        (lambda x: math.sin(x), (lambda y, x: 1.0,)),
        (lambda x: x * 2.0, (lambda y, x: math.cos(x),)),
        (lambda x: x.hex() and 1.0, (lambda y, x: 1.0,)),
        (lambda x: x * 2.0, (lambda y, x: None,)),
        (lambda x: None, (lambda y, x: 1.0,)),
    ],
)
def test_rows_refuse_what_is_no_formula_and_stay_whole(forward, partials):
    rows = Rows()
    rows.add(OPS["tanh"], 1)
    with pytest.raises(FormulaError, match="'own'"):
        rows.add(Op("own", forward, partials), 1)
    rows.add(OPS["sin"], 1)
    assert '": ,' not in rows.module()


def test_only_the_rows_that_a_graph_needs_are_written():
    page = draw_flow(Value(1, "x").tanh() * 2).html
    assert re.search('"sech":.*', page)[0].count("forward.exp(") == 1  # a term that is used twice is computed once
    assert '"sigmoid":' not in page
    assert '"logsumexp":' not in page


@pytest.mark.parametrize("count", [9, 10, 11, 12])
def test_of_many_operands_the_first_and_the_last_are_named(count):
    every = ", ".join(f"{{{i}}}" for i in range(count))
    text = operation_facts(OPS["logsumexp"], count, Rows())["text"]
    assert text == (f"logsumexp([{every}])" if count < 10 else f"logsumexp({{0}}, {{1}}, …, {{{count - 1}}})")


def test_a_row_with_a_partial_too_many_is_refused():
    row = Op("odd_many", lambda *xs: sum(xs), lambda y, *xs: (1.0,) * (len(xs) + 1))
    with pytest.raises(FormulaError, match="odd_many: for 2 operands, partials returned"):
        Rows().add(row, 2)
