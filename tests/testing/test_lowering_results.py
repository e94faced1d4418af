"""The results of an operation's lowerings at single points: how near they must be, and what a failure says."""

import contextlib
import math
import re
import shutil
import sys
import types
from math import inf, nan

import pytest

import micrograd_cn as mc
from micrograd_cn import Op
from micrograd_cn.ops.traits import Lowerings, Smoothness
from micrograd_cn.testing.operations import javascript
from micrograd_cn.testing.operations.lowerings import (
    Lowering,
    LoweringFailed,
    NotAvailable,
    _complexity,
    _field,
    _javascript,
    _literal,
    _machine_code,
    _numpy,
    _parsed,
    _rounding_on_the_way,
    _summands,
    compare_lowerings,
    lowerings,
    lowerings_of,
)

from .rows import grouped

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")


def line(factor=1.0, **fields):
    return Op("own", lambda x: factor * x, (lambda y, x: factor,), **grouped(**fields))


@pytest.fixture
def alone(monkeypatch):
    """Take away what runs the other languages."""
    monkeypatch.setenv("PATH", "")
    for name in ("quickjs", "numpy", "micrograd_cn.compiler"):
        monkeypatch.setitem(sys.modules, name, None)


# Which lowerings there are.


def fields_of(op):
    return {form.name: form.field for form in lowerings_of(op)}


def test_the_forms_of_a_row_are_named_by_the_fields_that_they_are_made_from():
    of_forward = dict.fromkeys(("JavaScript form", "machine code", "numpy form"), " (of its forward)")
    assert fields_of(line()) == of_forward
    of_formula = dict.fromkeys(of_forward, " (of its formula)")
    assert fields_of(line(formula=lambda x: x)) == {"formula": "", **of_formula}
    of_summands = dict.fromkeys(of_forward, " (of its summands)")
    assert fields_of(line(summands=lambda x: ((), (x,)))) == {"sum of its summands": "", **of_summands}
    assert fields_of(line(javascript="x => x", machine="fabs", array="abs")) == {
        "JavaScript form": " (javascript='x => x')",
        "machine code": " (machine='fabs')",
        "numpy form": " (array='abs')",
    }
    assert fields_of(line(symbol="-", precedence=3, array="abs"))["numpy form"] == " (symbol='-')"
    assert fields_of(line(symbol="-", array="abs"))["numpy form"] == " (array='abs')"
    both = fields_of(line(summands=lambda x: ((), (x,)), machine="fabs", array="abs", formula=lambda x: x))
    assert both["machine code"] == " (of its summands)", "loops are made of them"
    assert both["JavaScript form"] == " (of its formula)"


def test_a_long_field_is_not_shown():
    assert _field("javascript", "x" * 49, "formula") == f" (javascript={'x' * 49!r})"
    assert _field("javascript", "x" * 50, "formula") == " (javascript=...)"
    assert _field("javascript", "x" * 90, "formula") == " (javascript=...)"
    assert _field("javascript", "", "formula") == " (of its formula)"


# How near is near enough.


def agrees(row, lowered, xs=(0.0,), partials=(0.0,), rounding=None):
    """Return whether a formula that gives the number `lowered` agrees with a row that gives the number `row`."""
    smoothness = Smoothness(rounding=rounding)
    lowerings = Lowerings(formula=lambda *xs: lowered)
    op = Op("own", lambda *xs: row, lambda y, *xs: partials, smoothness=smoothness, lowerings=lowerings)
    try:
        compare_lowerings(op, [xs])
    except AssertionError as error:
        return f"the formula gives {lowered!r}, not {row!r}" not in str(error)
    return True


def test_numbers_are_near_to_twelve_digits_of_the_largest_or_of_what_is_rounded(alone):
    for a, b in (
        (1000.0, 1000.0 + 0.9e-9),
        (-1000.0, -1000.0 - 0.9e-9),
        (1000.0 + 0.9e-9, 1000.0),
        (inf, inf),
        (nan, nan),
    ):
        assert agrees(a, b)
    for a, b in (
        (1000.0, 1000.0 + 1.1e-9),
        (1000.0 + 1.1e-9, 1000.0),
        (1.0, -1.0),
        (inf, -inf),
        (nan, 1.0),
        (1.0, inf),
        (inf, 1.0),
    ):
        assert not agrees(a, b)
    for large in (1e200, 1.7e308):
        assert agrees(large, large * (1.0 + 1e-14))
    assert agrees(0.0, 0.9e-300)
    assert not agrees(0.0, 1.2e-300)


def test_what_each_operand_adds_to_the_value_may_be_rounded(alone):
    for xs, partials, size in (
        ((1000.0,), (1.0,), 1000.0),
        ((2.0, -3.0), (10.0, 100.0), 320.0),
        ((2.0, -3.0), (inf, 100.0), 300.0),
    ):
        assert agrees(0.0, 0.99e-12 * size, xs, partials)
        assert not agrees(0.0, 1.01e-12 * size, xs, partials)


def test_numbers_are_as_near_as_the_row_says_that_it_is_exact(alone):
    for stated, allowed in ((9e3, 1e-11), (nan, 1e-12), (inf, inf)):
        for off in (0.9e-12, 1.1e-12, 0.9e-11, 1.1e-11, 1.0):
            found = agrees(1.0, 1.0 + off, rounding=lambda y, x, stated=stated: (stated, 0.0))
            assert found is (off < allowed)


def test_a_partial_is_as_near_as_the_row_says_that_the_partial_is_exact(alone, monkeypatch):
    smoothness = Smoothness(rounding=lambda y, x: (0.0, 9e3))
    op = Op("own", lambda x: 1.0, (lambda y, x: 1.0,), smoothness=smoothness)
    for value, partial in ((1.0, 1.0 + 0.9e-11), (1.0, 1.0 + 1.1e-11), (1.0 + 1.1e-12, 1.0)):
        engine = "micrograd_cn.testing.operations.lowerings.javascript_engine"
        monkeypatch.setattr(engine, lambda found=f"{value!r} {partial!r}": lambda program: found)
        found = contextlib.nullcontext() if partial == 1.0 + 0.9e-11 else pytest.raises(AssertionError, match="gives")
        with found:
            compare_lowerings(op, [(0.0,)])


def test_what_is_lost_on_the_way_that_a_row_computes_is_known_of_its_formula_and_partials():
    row = Op("own", lambda x: (x + 1e6) - 1e6, (lambda y, x: (x + 1e9) - 1e9,))
    assert 1e-11 < _rounding_on_the_way(row, (0.5,), 0) < 1e-9
    assert 1e-8 < _rounding_on_the_way(row, (0.5,), 1) < 1e-6
    two = Op("own", lambda a, b: a * b, (lambda y, a, b: b, lambda y, a, b: (a + 1e9) - 1e9))
    assert _rounding_on_the_way(two, (0.5, 0.5), 1) < 1e-15 < 1e-8 < _rounding_on_the_way(two, (0.5, 0.5), 2)
    assert _rounding_on_the_way(Op("own", math.atan, (lambda y, x: math.cos(x),)), (0.5,), 0) == 0.0
    assert _rounding_on_the_way(Op("own", math.atan, (lambda y, x: math.cos(x),)), (0.5,), 1) == 0.0
    assert _rounding_on_the_way(line(), (0.5,), 1) == 0.0, "a partial that is a number"


def test_a_difference_of_what_is_lost_is_no_mistake(alone):
    compare_lowerings(line(formula=lambda x: (x + 1e6) - 1e6), [(0.1,)])
    for off in (1e-8, -1e-8):
        with pytest.raises(AssertionError, match="the formula gives"):
            compare_lowerings(line(formula=lambda x, off=off: (x + 1e6) - 1e6 + off), [(0.1,)])


def test_eight_times_what_is_lost_is_allowed(monkeypatch):
    row = Op("own", lambda x: (x + 1e6) - 1e6, (lambda y, x: 1.0,))
    lost = _rounding_on_the_way(row, (0.5,), 0)
    for times, is_near in ((7.5, True), (-7.5, True), (8.5, False), (-8.5, False)):
        copy = Lowering("copy", "", lambda op, points, times=times: [(0.5 + times * lost,)])
        monkeypatch.setitem(compare_lowerings.__globals__, "lowerings_of", lambda op, copy=copy: [copy])
        if is_near:
            assert compare_lowerings(row, [(0.5,)]) == {}
        else:
            with pytest.raises(AssertionError, match=r"^check_op of own at 0\.5: the copy gives "):
                compare_lowerings(row, [(0.5,)])


def test_as_many_results_as_points_are_compared(monkeypatch):
    copy = Lowering("copy", "", lambda op, points: [(0.5,)])
    monkeypatch.setitem(compare_lowerings.__globals__, "lowerings_of", lambda op: [copy])
    with pytest.raises(ValueError, match="zip"):
        compare_lowerings(line(), [(0.5,), (1.5,)])


def test_a_form_that_overflows_differs(alone):
    with pytest.raises(AssertionError, match=r"own at 1000\.0: the formula gives inf, not 1000\.0"):
        compare_lowerings(line(formula=lambda x: mc.log(mc.exp(x))), [(1.0,), (1000.0,)])


# What is compared.


def test_the_simplest_point_where_a_form_differs_is_shown(alone):
    row = Op(
        "own",
        lambda *xs: mc.sum(xs),
        lambda y, *xs: (1.0,) * len(xs),
        lowerings=Lowerings(formula=lambda *xs: mc.sum(xs) + 1.0),
    )
    points = [(0.5, 0.5), (inf,), (0.25,), (0.5,), (-0.5,), (0.0, 0.0)]
    with pytest.raises(AssertionError, match=r"^check_op of own at 0\.5: the formula gives 1\.5, not 0\.5\n"):
        compare_lowerings(row, points)
    assert _complexity((0.5,)) < _complexity((0.25,)) < _complexity((inf,)) < _complexity((0.0, 0.0))


def test_both_zeros_are_points_and_none_is_compared_twice(alone):
    asked = []
    compare_lowerings(line(formula=lambda x: asked.append(x) or x), [(0.0,), (-0.0,), (0.0,), (1.0,), (nan,), (nan,)])
    assert [*map(repr, asked)] == ["0.0", "-0.0", "1.0", "nan"]


def test_a_form_that_raises_or_gives_no_number_is_named(alone):
    with pytest.raises(AssertionError, match=r"own at 0\.0: the formula raised ZeroDivisionError: ") as caught:
        compare_lowerings(line(formula=lambda x: x / x * x), [(1.0,), (0.0,)])
    assert caught.value.__suppress_context__
    with pytest.raises(AssertionError, match=r"own at 1\.0: the formula raised TypeError: expected a real number"):
        compare_lowerings(line(formula=lambda x: "1"), [(1.0,)])


def test_a_partial_that_differs_is_named_by_its_number(monkeypatch):
    def other(*results):
        monkeypatch.setitem(
            compare_lowerings.__globals__,
            "lowerings_of",
            lambda op: [Lowering("copy", "", lambda op, points: [results])],
        )

    other(6.0, 3.0, 2.0)
    assert compare_lowerings(mc.mul, [(2.0, 3.0)]) == {}
    other(6.0, 0.0, 1.0, 9.0)
    with pytest.raises(AssertionError, match=r"the copy of partial 2 gives 9\.0, not 0\.0"):
        compare_lowerings(mc.where, [(1.0, 6.0, 5.0)])
    for slot, results in enumerate([(6.0, 9.0, 2.0), (6.0, 3.0, 9.0)]):
        other(*results)
        with pytest.raises(AssertionError, match=rf"^check_op of mul at .*: the copy of partial {slot} gives 9\.0"):
            compare_lowerings(mc.mul, [(2.0, 3.0)])


def test_a_form_that_cannot_be_made_is_named():
    pytest.importorskip("llvmlite")
    pytest.importorskip("numpy")
    for row, name in (
        (line(machine="nosuch"), "machine code .machine='nosuch'."),
        (line(array="nosuch"), "numpy form .*"),
    ):
        with pytest.raises(AssertionError, match=rf"^check_op of own at 0\.5: the {name} raised (Type|Attribute)Error"):
            compare_lowerings(row, [(0.5,), (1.5,)])


def test_what_is_not_installed_is_returned(alone):
    missing = compare_lowerings(line(formula=lambda x: x), [(0.5,)])
    assert {*missing} == {"JavaScript form", "machine code", "numpy form"}
    assert missing["JavaScript form"] == "neither the program node nor the package quickjs is installed"
    assert missing["numpy form"] == "numpy is not installed"
    assert lowerings(line(formula=lambda x: 2.0 * x), 0.5) == {"row": (0.5, 1.0), "formula": (1.0,), **missing}


def test_the_sum_of_summands_is_of_products_and_terms():
    row = line(summands=lambda a, b: ([(a, b), (2.0, b)], (a, 7.0)))
    assert _summands(row, [(3.0, 5.0), (1.0, 0.0)]) == [(3.0 + 7.0 + 15.0 + 10.0,), (8.0,)]
    assert _summands(line(summands=lambda *xs: ((), xs)), [(), (1.0, 2.0)]) == [(0.0,), (3.0,)]


# Other languages.


def test_machine_code_gives_the_value_and_the_partials_at_each_point():
    pytest.importorskip("llvmlite")
    points = [(2.0, 3.0), (4.0, 5.0, 6.0), (7.0, 8.0)]
    assert _machine_code(mc.mul, points[::2]) == [(6.0, 3.0, 2.0), (56.0, 8.0, 7.0)]
    assert _machine_code(mc.sum, points) == [(5.0, 1.0, 1.0), (15.0, 1.0, 1.0, 1.0), (15.0, 1.0, 1.0)]


def test_numpy_gives_the_value_at_each_point_in_their_order():
    pytest.importorskip("numpy")
    assert _numpy(mc.sum, [(2.0, 3.0), (4.0, 5.0, 6.0), (7.0, 8.0)]) == [(5.0,), (15.0,), (15.0,)]
    assert _numpy(mc.tanh, [(0.0,), (inf,), (-inf,)]) == [(0.0,), (1.0,), (-1.0,)]
    constant = Op("own", lambda x: 7.0, (None,), lowerings=Lowerings(formula=lambda x: 7.0))
    assert _numpy(constant, [(0.5,), (1.5,)]) == [(7.0,), (7.0,)]
    [(overflow,)] = _numpy(mc.exp, [(1e3,)])
    assert overflow == inf, "and nothing warns"


@needs_node
def test_javascript_gives_the_value_and_the_partials_at_each_point():
    points = [(2.0, 3.0), (4.0, 5.0, 6.0)]
    assert _javascript(mc.sum, points) == [(5.0, 1.0, 1.0), (15.0, 1.0, 1.0, 1.0)]
    [found] = _javascript(mc.mul, [(inf, -0.0)])
    assert math.isnan(found[0])
    assert found[1:] == (-0.0, inf)


@needs_node
def test_javascript_that_is_none_or_raises_is_refused():
    with pytest.raises(LoweringFailed, match=r"^raised SyntaxError") as caught:
        _javascript(line(javascript="x => ("), [(0.5,), (1.5,)])
    assert caught.value.xs == ()
    with pytest.raises(LoweringFailed, match=r"^raised Error: first$"):
        _javascript(line(javascript="(() => { throw new Error('first\\nsecond'); })()"), [(0.5,)] * 3)
    with pytest.raises(LoweringFailed, match=r"^raised ReferenceError: nosuch is not defined") as caught:
        _javascript(line(javascript="x => x > 1 ? nosuch(x) : x"), [(0.5,), (1.5,)])
    assert caught.value.xs == (1.5,)
    with pytest.raises(AssertionError, match=r"^check_op of own at 0\.5: the JavaScript form .* raised SyntaxError"):
        compare_lowerings(line(javascript="x => ("), [(0.5,), (1.5,)])


def test_what_javascript_writes_is_read():
    assert [*map(_literal, (0.5, -0.0, inf, -inf, nan, 1e-300))] == [
        "0.5",
        "-0.0",
        "Infinity",
        "-Infinity",
        "NaN",
        "1e-300",
    ]
    assert _parsed((0.5,), "1.5 -2 Infinity") == (1.5, -2.0, inf)
    with pytest.raises(LoweringFailed, match=r"^raised Error: no$") as caught:
        _parsed((0.5,), "raised Error: no")
    assert caught.value.xs == (0.5,)
    with pytest.raises(LoweringFailed, match=r"^gives undefined 1, not numbers$") as caught:
        _parsed((0.5,), "undefined 1")
    assert caught.value.__suppress_context__


# Engines.


def test_a_program_that_fails_says_the_end_of_what_it_said(monkeypatch, tmp_path):
    program = tmp_path / "node"
    program.write_text(f"#!/bin/sh\necho {'x' * 300}{'y' * 490}too old >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotAvailable, match=r"node failed: ") as caught:
        _javascript(line(), [(0.5,)])
    assert str(caught.value).rpartition(": ")[2] == "xxx" + "y" * 490 + "too old"


def test_a_program_is_given_an_expression_and_its_output_is_returned(monkeypatch, tmp_path):
    program = tmp_path / "node"
    program.write_text('#!/bin/sh\nread -r line\nprintf "%s|%s" "$1" "$line"\necho noise >&2\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert javascript.javascript_engine()("1 + 2") == "-|process.stdout.write(1 + 2)"


def test_a_program_that_does_not_end_is_stopped(monkeypatch, tmp_path):
    program = tmp_path / "node"
    program.write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setattr(javascript, "TIMEOUT", 0.05)
    with pytest.raises(javascript.subprocess.TimeoutExpired):
        javascript._node(str(program), "1")


def test_quickjs_is_asked_where_there_is_no_node_and_without_it_nothing_is(monkeypatch):
    asked = []
    context = types.SimpleNamespace(eval=lambda text: asked.append(text) or 12)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "quickjs", types.SimpleNamespace(Context=lambda: context))
    assert javascript.javascript_engine()("1 + 2") == "12"
    [text] = asked
    assert re.fullmatch(r"Array\.prototype\.at = .*;1 \+ 2", text)
    monkeypatch.setitem(sys.modules, "quickjs", None)
    assert javascript.javascript_engine() is None
