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
from micrograd_cn.testing.operations.lowerings import compare_lowerings, lowerings, lowerings_of

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
    assert fields_of(line(javascript="x" * 40))["JavaScript form"] == f" (javascript={'x' * 40!r})"
    assert fields_of(line(javascript="x" * 90))["JavaScript form"] == " (javascript=...)"


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


def tell(monkeypatch, *results):
    """Let the JavaScript of any operation give these numbers at the only point: the value and the partials."""
    text = " ".join(map(repr, results))
    engine = "micrograd_cn.testing.operations.lowerings.javascript_engine"
    monkeypatch.setattr(engine, lambda: lambda program: text)


def test_a_partial_is_as_near_as_the_row_says_that_the_partial_is_exact(alone, monkeypatch):
    smoothness = Smoothness(rounding=lambda y, x: (0.0, 9e3))
    op = Op("own", lambda x: 1.0, (lambda y, x: 1.0,), smoothness=smoothness)
    for value, partial in ((1.0, 1.0 + 0.9e-11), (1.0, 1.0 + 1.1e-11), (1.0 + 1.1e-12, 1.0)):
        tell(monkeypatch, value, partial)
        found = contextlib.nullcontext() if partial == 1.0 + 0.9e-11 else pytest.raises(AssertionError, match="gives")
        with found:
            compare_lowerings(op, [(0.0,)])


# Operations, the errors that other languages may make in each result, and whether this is what rounding may lose.
LOST = [
    # the value loses about 1e-10, the partial about 1e-7
    (lambda x: (x + 1e6) - 1e6, [lambda y, x: (x + 1e9) - 1e9], [1e-10, 1e-8], True),
    (lambda x: (x + 1e6) - 1e6, [lambda y, x: (x + 1e9) - 1e9], [1e-8, 0.0], False),
    (lambda x: (x + 1e6) - 1e6, [lambda y, x: (x + 1e9) - 1e9], [0.0, 1e-5], False),
    (lambda a, b: a * b, [lambda y, a, b: b, lambda y, a, b: (a + 1e9) - 1e9], [0.0, 0.0, 1e-8], True),
    (lambda a, b: a * b, [lambda y, a, b: b, lambda y, a, b: (a + 1e9) - 1e9], [0.0, 1e-8, 0.0], False),
    # nothing is known of what is not written with the package's operations, or is a number
    (math.atan, [lambda y, x: 1.0 / (1.0 + x * x)], [1e-11, 0.0], False),
    (lambda x: x, [lambda y, x: 1.0], [0.0, 1e-11], False),
]


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize(("forward", "partials", "errors", "is_near"), LOST)
def test_what_is_lost_on_the_way_may_differ_in_a_value_and_in_each_partial(
    alone, monkeypatch, forward, partials, errors, is_near, sign
):
    form = Lowerings(javascript="Math.atan" if forward is math.atan else "")
    op, xs = Op("own", forward, tuple(partials), lowerings=form), (0.5,) * len(partials)
    right = lowerings(op, *xs)["row"]
    tell(monkeypatch, *[true + sign * error for true, error in zip(right, errors, strict=True)])
    if is_near:
        assert "JavaScript form" not in compare_lowerings(op, [xs])
    else:
        slot = max(range(len(errors)), key=errors.__getitem__)
        of = f" of partial {slot - 1}" if slot else ""
        with pytest.raises(AssertionError, match=rf"own at .*: the JavaScript form \(.*\){of} gives "):
            compare_lowerings(op, [xs])


def test_a_difference_of_what_is_lost_is_no_mistake(alone):
    compare_lowerings(line(formula=lambda x: (x + 1e6) - 1e6), [(0.1,)])
    for off in (1e-8, -1e-8):
        with pytest.raises(AssertionError, match="the formula gives"):
            compare_lowerings(line(formula=lambda x, off=off: (x + 1e6) - 1e6 + off), [(0.1,)])


def test_as_many_results_as_points_are_compared(alone, monkeypatch):
    tell(monkeypatch, 0.5, 1.0)
    assert "JavaScript form" not in compare_lowerings(line(), [(0.5,)])
    with pytest.raises(AssertionError, match=r"own at 0\.5: the JavaScript form \(of its forward\) 0\.5 1\.0\n"):
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
        lowerings=Lowerings(formula=lambda *xs: -mc.sum(xs)),
    )
    for points, shown in (
        ([(0.5, 0.5), (inf,), (0.25,), (0.5,), (-0.5,)], "0.5"),
        ([(inf,), (0.125,)], "0.125"),
        ([(1.0, 1.0), (0.123456789,)], "0.123456789"),
    ):
        with pytest.raises(AssertionError, match=rf"^check_op of own at {shown}: the formula gives -{shown}, not "):
            compare_lowerings(row, points)


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


def test_a_partial_that_differs_is_named_by_its_number(alone, monkeypatch):
    tell(monkeypatch, 6.0, 3.0, 2.0)
    assert "JavaScript form" not in compare_lowerings(mc.mul, [(2.0, 3.0)])
    tell(monkeypatch, 6.0, 0.0, 1.0, 9.0)
    with pytest.raises(AssertionError, match=r"the JavaScript form .* of partial 2 gives 9\.0, not 0\.0"):
        compare_lowerings(mc.where, [(1.0, 6.0, 5.0)])
    for slot, results in enumerate([(6.0, 9.0, 2.0), (6.0, 3.0, 9.0)]):
        tell(monkeypatch, *results)
        with pytest.raises(AssertionError, match=rf"^check_op of mul at .* of partial {slot} gives 9\.0"):
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
    def ones(y, *xs):
        return (1.0,) * len(xs)

    row = Op("own", lambda a, b: 0.0, ones, lowerings=Lowerings(summands=lambda a, b: ([(a, b), (2.0, b)], (a, 7.0))))
    assert lowerings(row, 3.0, 5.0)["sum of its summands"] == (3.0 + 7.0 + 15.0 + 10.0,)
    assert lowerings(row, 1.0, 0.0)["sum of its summands"] == (8.0,)
    row = Op("own", lambda *xs: 0.0, ones, lowerings=Lowerings(summands=lambda *xs: ((), xs)))
    assert lowerings(row)["sum of its summands"] == (0.0,)
    assert lowerings(row, 1.0, 2.0)["sum of its summands"] == (3.0,)


# Other languages.


@needs_node
def test_other_languages_give_the_results_at_each_point():
    pytest.importorskip("llvmlite")
    pytest.importorskip("numpy")
    found = lowerings(mc.mul, 7.0, 8.0)
    assert found["machine code"] == found["JavaScript form"] == found["row"] == (56.0, 8.0, 7.0)
    assert found["numpy form"] == (56.0,)
    points = [(2.0, 3.0), (4.0, 5.0, 6.0), (7.0, 9.0)]
    assert compare_lowerings(mc.sum, points) == {}
    for form in lowerings_of(mc.sum)[1:]:
        assert [y for y, *_ in form.evaluate(mc.sum, points)] == [5.0, 15.0, 16.0], form.name
    for x in (inf, -inf, nan, -0.0, 1e-300):
        own = line(javascript="x => x", array="positive")
        assert compare_lowerings(own, [(x,), (0.5,)]) == {}
    constant = Op("own", lambda x: 7.0, (None,), lowerings=Lowerings(formula=lambda x: 7.0))
    assert compare_lowerings(constant, [(0.5,), (1.5,)]) == {}
    assert compare_lowerings(mc.exp, [(1e3,)]) == {}, "the form of numpy overflows, and nothing warns"
    assert compare_lowerings(mc.mul, [(inf, -0.0)]) == {}


@needs_node
def test_javascript_that_is_none_or_raises_is_refused():
    def title(javascript, *points):
        with pytest.raises(AssertionError) as caught:
            compare_lowerings(line(javascript=javascript), [(x,) for x in points])
        assert caught.value.__suppress_context__
        place, _, rest = str(caught.value).splitlines()[0].partition(": the JavaScript form (javascript=")
        return place, rest.partition(") raised ")[2] or rest.partition(") gives ")[2]

    own = "check_op of own at"
    place, raised = title("x => (", 0.5, 1.5)
    assert place == f"{own} 0.5"
    assert raised.startswith("SyntaxError")
    throws = "(() => { throw new Error('1\\n2'); })()"
    assert title(throws, 0.5, 0.5, 1.5) == (f"{own} 0.5", "Error: 1")
    assert title("x => x > 1 ? no(x) : x", 0.5, 1.5) == (f"{own} 1.5", "ReferenceError: no is not defined")
    assert title("x => x > 1 ? void 0 : x", 0.5, 1.5) == (f"{own} 1.5", "undefined 1, not numbers")


# Engines.


def test_a_program_that_fails_says_the_end_of_what_it_said(monkeypatch, tmp_path):
    program = tmp_path / "node"
    program.write_text(f"#!/bin/sh\necho {'x' * 300}{'y' * 490}too old >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    reason = compare_lowerings(line(), [(0.5,)])["JavaScript form"]
    assert re.fullmatch(r".*node failed: x{3,}y{490}too old", reason)
    assert "x" * 290 not in reason


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
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(javascript.subprocess.TimeoutExpired):
        javascript.javascript_engine()("1")


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
