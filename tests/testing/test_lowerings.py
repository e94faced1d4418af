"""The lowerings of an operation are compared with its row: formula, JavaScript, machine code and numpy."""

import math
import re
import shutil
import sys
import types

import pytest

import micrograd_cn as mc
from micrograd_cn import Op
from micrograd_cn.ops.traits import POSITIVE, Lowerings
from micrograd_cn.testing import check_op
from micrograd_cn.testing.operations import javascript
from micrograd_cn.testing.operations.lowerings import compare_lowerings, lowerings

from .rows import grouped

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")


def cosine(**fields):
    return Op("own", lambda x: mc.cos(x), (lambda y, x: -mc.sin(x),), **grouped(**fields))


def root(**fields):
    """Return an operation that numpy, C and JavaScript have under the same name."""
    return Op("own", lambda x: mc.sqrt(x), (lambda y, x: mc.div(0.5, y),), **grouped(domain=(POSITIVE,), **fields))


def difference(**fields):
    return Op("own", lambda a, b: a - b, (lambda y, a, b: 1.0, lambda y, a, b: -1.0), **grouped(**fields))


def sums(**fields):
    return Op("own", lambda *xs: mc.sum(xs), lambda y, *xs: (1.0,) * len(xs), **grouped(**fields))


SINE = math.sin(0.0), math.cos(0.0)


@pytest.mark.parametrize(
    ("op", "title"),
    [
        (cosine(formula=lambda x: mc.sin(x)), "own at 0.0: the formula gives 0.0, not 1.0"),
        (cosine(formula=lambda x: mc.cos(x) + 1e-9), "own at 0.0: the formula gives 1.000000001, not 1.0"),
        (
            cosine(formula=lambda x: "1"),
            "the formula raised TypeError: expected a real number, got the str",
        ),
        (
            sums(summands=lambda *xs: ((), xs[:5])),
            "1.0): the sum of its summands gives 4.0, not 5.0",
        ),
        (sums(summands=lambda *xs: ((), [*xs, 1.0])), "own at 0.0: the sum of its summands gives 1.0, not 0.0"),
        (sums(summands=lambda *xs: [(x, x) for x in xs]), "own at 0.0: the sum of its summands raised ValueError"),
        (
            Op(
                "own",
                lambda a, b: a * b,
                (lambda y, a, b: b, lambda y, a, b: a),
                lowerings=Lowerings(summands=lambda a, b: ([(a, a)], ())),
            ),
            "the sum of its summands gives",
        ),
        (
            Op(
                "own",
                lambda a, b: a + b,
                (lambda y, a, b: 1.0, lambda y, a, b: 1.0),
                lowerings=Lowerings(
                    formula=lambda a, b: mc.where(mc.less(-1.5, a + b) * mc.less(a + b, 1e301), a + b, 0.0)
                ),
            ),
            "own at (-1.0, -1.0): the formula gives 0.0, not -2.0",
        ),
        (
            Op(
                "own",
                lambda x: 1e-20 * mc.sin(x),
                (lambda y, x: 1e-20 * mc.cos(x),),
                lowerings=Lowerings(formula=lambda x: 1.01e-20 * mc.sin(x)),
            ),
            "the formula gives",
        ),
        (cosine(machine="sin"), "own at 0.0: the machine code (machine='sin') gives 0.0, not 1.0"),
        (
            cosine(machine="nosuch"),
            "the machine code (machine='nosuch') raised TypeError: the operation 'own' has",
        ),
        (
            difference(machine="fneg"),
            "the machine code (machine='fneg') raised TypeError: the operation 'own' has 2 operands",
        ),
        (difference(machine="fadd"), "the machine code (machine='fadd') gives"),
        (cosine(array="sin"), "own at 0.0: the numpy form (array='sin') gives 0.0, not 1.0"),
        (
            cosine(array="nosuch"),
            "own at 0.0: the numpy form (array='nosuch') raised AttributeError: module 'numpy' has no",
        ),
        (difference(symbol="+", precedence=1), "the numpy form (symbol='+') gives"),
        (difference(symbol="⊖", precedence=1), "the numpy form (symbol='⊖') raised SyntaxError"),
        pytest.param(
            cosine(javascript="Math.sin"),
            "own at 0.0: the JavaScript form (javascript='Math.sin') gives 0.0, not 1.0",
            marks=needs_node,
        ),
        pytest.param(
            cosine(javascript="x => Math.cos(x) * (Math.abs(x) > 90 ? 1.001 : 1)"),
            "the JavaScript form (javascript='x => Math.cos(x) * (Math.abs(x) > 90 ? 1.001 : 1)') gives",
            marks=needs_node,
        ),
        pytest.param(
            cosine(javascript="x => { // as long as this is, it is not told in the title\n  return Math.cos(x) + 1; }"),
            "own at 0.0: the JavaScript form (javascript=...) gives 2.0, not 1.0",
            marks=needs_node,
        ),
        pytest.param(
            cosine(javascript="x => Math.cos(x"),
            "own at 0.0: the JavaScript form (javascript='x => Math.cos(x') raised SyntaxError",
            marks=needs_node,
        ),
        pytest.param(
            cosine(javascript="x => nosuch(x)"),
            "the JavaScript form (javascript='x => nosuch(x)') raised ReferenceError: nosuch is not defined",
            marks=needs_node,
        ),
        pytest.param(
            cosine(javascript="x => x < 50 ? Math.cos(x) : true"),
            "gives true 0.8178819121159085, not numbers",
            marks=needs_node,
        ),
        pytest.param(
            cosine(javascript="x => { if (x < 50) return Math.cos(x); }"), "gives undefined ", marks=needs_node
        ),
        pytest.param(
            Op(
                "own",
                lambda x: mc.neg(x),
                (lambda y, x: -1.0,),
                lowerings=Lowerings(javascript="x => Object.is(x, -0) ? 1 : -x"),
            ),
            "own at -0.0: the JavaScript form (javascript='x => Object.is(x, -0) ? 1 : -x') gives 1.0, not 0.0",
            marks=needs_node,
        ),
        pytest.param(
            sums(javascript="(...xs) => xs.slice(0, 8).reduce((a, b) => a + b, 0)"), "JavaScript form", marks=needs_node
        ),
    ],
)
def test_a_wrong_form_is_found_and_named(op, title):
    with pytest.raises(AssertionError) as caught:
        check_op(op, examples=12 if "> 90" in title else 4)  # few points are so far out
    assert title in str(caught.value).splitlines()[0]


@needs_node
def test_a_partial_that_asks_what_it_is_given_differs_in_other_languages():
    op = Op("own", lambda x: mc.sin(x), (lambda y, x: mc.cos(x) if hasattr(x, "data") or type(x) is float else 2,))
    with pytest.raises(AssertionError, match=r"the JavaScript form \(of its forward\) .* but 2.0 for a symbol"):
        check_op(op)


@needs_node
def test_a_form_of_another_row_is_named_where_it_is_used(monkeypatch):
    monkeypatch.setattr(mc.sech, "lowerings", Lowerings(formula=lambda x: 1.0))
    with pytest.raises(AssertionError, match=r"the JavaScript form \(javascript='Math.tanh'\) of partial 0"):
        check_op(mc.tanh)


def test_right_forms_pass_and_none_is_left_out():
    pytest.importorskip("llvmlite")
    pytest.importorskip("numpy")
    for op in (
        cosine(machine="cos", array="cos", javascript="Math.cos", formula=lambda x: mc.cos(-x)),
        root(machine="llvm.sqrt", array="sqrt", javascript="Math.sqrt"),
        difference(machine="fsub", symbol="-", precedence=1, javascript="(a, b) => a - b"),
        sums(summands=lambda *xs: ((), xs), javascript="sum"),
    ):
        assert set(check_op(op, examples=4)) == set() if shutil.which("node") else {"JavaScript form"}


def test_what_is_not_compared_is_told_and_why(monkeypatch):
    monkeypatch.setenv("PATH", "")
    for name in ("quickjs", "numpy", "micrograd_cn.compiler"):
        monkeypatch.setitem(sys.modules, name, None)
    told = compare_lowerings(cosine(javascript="Math.sin", array="sin", machine="sin"), [(0.5,)])
    assert told["JavaScript form"] == "neither the program node nor the package quickjs is installed"
    assert told["numpy form"] == "numpy is not installed"
    assert set(told) == {"JavaScript form", "numpy form", "machine code"}
    with pytest.raises(AssertionError, match="the formula gives"):
        compare_lowerings(cosine(formula=lambda x: mc.sin(x)), [(0.5,)])


def test_a_row_that_is_not_written_in_the_tables_operations_has_no_other_forms():
    told = check_op(Op("own", lambda x: math.atan(x), (lambda y, x: mc.div(1.0, 1.0 + x * x),)))
    assert set(told) >= {"machine code", "numpy form"}
    for reason in told.values():
        assert re.search("own' is not written in the table's operations|is installed|needs", reason)


def test_quickjs_is_asked_where_there_is_no_node(monkeypatch):
    asked = []

    class Context:
        def eval(self, text):
            asked.append(text)
            return 12

    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "quickjs", types.SimpleNamespace(Context=Context))
    run = javascript.javascript_engine()
    assert run("1 + 2") == "12"
    [text] = asked
    assert text.endswith("1 + 2")


@pytest.mark.parametrize("program", ["node", "quickjs"])
def test_an_engine_gives_the_text_of_an_expression(program, monkeypatch):
    if program == "node":
        if not shutil.which("node"):
            pytest.skip("needs Node.js")
    else:
        pytest.importorskip("quickjs")
        monkeypatch.setenv("PATH", "")
    run = javascript.javascript_engine()
    assert run('[1 / 0, 0 / 0, -0, 0.1].join(" ")') == "Infinity NaN 0 0.1"
    with pytest.raises(AssertionError, match=r"own at 0\.0: the JavaScript form \(javascript='Math.sin'\) gives 0"):
        check_op(cosine(javascript="Math.sin"))
    assert "JavaScript form" not in check_op(mc.erfc)


def test_a_program_that_fails_is_no_engine(monkeypatch, tmp_path):
    program = tmp_path / "node"
    program.write_text("#!/bin/sh\necho too old >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert re.fullmatch(r".*node failed: too old", check_op(cosine())["JavaScript form"])


def test_the_forms_at_a_point_can_be_looked_at():
    pytest.importorskip("llvmlite")
    pytest.importorskip("numpy")
    found = lowerings(cosine(formula=lambda x: 1 / x, machine="cos", array="cos", javascript="Math.cos"), 0.0)
    assert found["row"] == (1.0, -0.0)
    assert found["formula"] == "raised ZeroDivisionError: float division by zero"
    assert found["machine code"] == (1.0, -0.0)
    assert found["numpy form"] == (1.0,)
    assert found["JavaScript form"] == (1.0, 0.0) or "installed" in found["JavaScript form"]


def test_a_value_that_loses_digits_may_lose_others_in_another_language():
    op = Op("own", lambda x: 1.0 - mc.erf(x), (lambda y, x: -2.0 * math.pi**-0.5 * mc.exp(-x * x),))
    check_op(op)
    wrong = Op("own", op.forward, op.partials, lowerings=Lowerings(javascript="x => (1 - erf(x)) * (1 + 1e-9)"))
    if shutil.which("node"):
        with pytest.raises(AssertionError, match="JavaScript form"):
            check_op(wrong)
