"""Which finder finds which mistake: a table of planted mistakes, each in one place only.

The test holds it both ways: it fails if a finder no longer finds a mistake, and also if one begins to. demos/README
shows the table.
"""

import contextlib
import importlib.util
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import micrograd_cn as mc
from micrograd_cn import Op, Value
from micrograd_cn.ops.traits import Lowerings
from micrograd_cn.testing import NothingCompared, check_op, expressions, gradcheck, points
from micrograd_cn.testing.operations import javascript

from .rows import grouped

CI = settings(settings.get_profile("ci"), phases=[Phase.generate], report_multiple_bugs=False)


# The finders. Each raises an AssertionError where it finds a mistake.


def in_expressions(op, gradient):
    @CI
    @given(expressions([op, mc.add, mc.mul, mc.tanh]))
    def every_gradient_is_right(f):
        gradcheck(f, *f.point, order=2)

    every_gradient_is_right()


def by_the_battery(op, gradient):
    check_op(op)


def over_points(op, gradient):
    """Check the given derivative of a function of arrays."""
    several = op.arity is None

    def f(x):
        result = op.forward(*x.tolist()) if several else sum(map(op.forward, x.tolist()))
        return x.dtype.type(result)

    @CI
    @given(st.sampled_from(["float64", "float32"]).flatmap(lambda dtype: points(6, dtype)))
    def every_gradient_is_right(x):
        with contextlib.suppress(NothingCompared):
            gradcheck(f, x, gradient=gradient or (lambda x: derivative(op, x, several)))

    every_gradient_is_right()


def derivative(op, x, several):
    xs = x.tolist()
    where = [xs] if several else [[z] for z in xs]
    found = [d for point in where for d in op.local_derivatives(op.forward(*point), *point)]
    return np.array(found, x.dtype)


FINDERS = {"expressions": in_expressions, "check_op": by_the_battery, "gradcheck": over_points}


def finders(op, gradient=None, asked=FINDERS):
    found = set()
    for name in asked:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                FINDERS[name](op, gradient)
            except AssertionError:
                found.add(name)
    return found


# The mistakes.


def square(wrong, **fields):
    """Return an operation whose derivative is 10 % off where `wrong` is not 0."""
    return Op("square", lambda x: x * x, (lambda y, x: mc.where(wrong(x), 2.2, 2.0) * x,), **grouped(**fields))


def detached(x):
    return x.detach() if isinstance(x, Value) else x


def right(**fields):
    return Op("square", lambda x: x * x, (lambda y, x: 2.0 * x,), **grouped(**fields))


MISTAKES = {
    "only for x > 4": square(lambda x: mc.less(4.0, x)),
    "only for x > 200": square(lambda x: mc.less(200.0, x)),
    "only for 1.3 <= x <= 1.35": square(lambda x: mc.less_equal(1.3, x) * mc.less_equal(x, 1.35)),
    "only for abs(x) < 0.001": square(lambda x: mc.less(mc.abs(x), 1e-3)),
    "only at -0.0": Op(
        "line", lambda x: x + x * x, (lambda y, x: mc.where(mc.less(mc.div(1.0, x), -1e308), 2.0, 1.0) + 2.0 * x,)
    ),
    "only at second order": Op("cube", lambda x: x * x * x, (lambda y, x: 3.0 * x * detached(x),)),
    "only in the sixth operand": Op(
        "total", lambda *xs: mc.sum(xs), lambda y, *xs: tuple([1.1 if i == 5 else 1.0 for i in range(len(xs))])
    ),
    "only in float32": right(),
    "only in the JavaScript form": right(javascript="x => x * x * (x > 4 ? 1.1 : 1)"),
    "only in the machine form": Op(
        "curve", lambda x: mc.tanh(x), (lambda y, x: 1.0 - y * y,), lowerings=Lowerings(machine="atan")
    ),
}
GIVEN = {
    "only in float32": lambda x: (2.2 if x.dtype == np.float32 else 2.0) * x
}  # where it differs from the operation's own

FOUND = {
    "only for x > 4": {"expressions", "check_op", "gradcheck"},
    "only for x > 200": {"expressions", "gradcheck"},
    "only for 1.3 <= x <= 1.35": {"expressions"},
    "only for abs(x) < 0.001": {"expressions", "check_op", "gradcheck"},
    "only at -0.0": {"expressions", "check_op", "gradcheck"},
    "only at second order": {"expressions", "check_op"},
    "only in the sixth operand": {"expressions", "check_op", "gradcheck"},
    "only in float32": {"gradcheck"},
    "only in the JavaScript form": {"check_op"},
    "only in the machine form": {"check_op"},
}

LUCKY = {  # finders that may draw such a number: Hypothesis also draws constants from this file
    "only for x > 200": {"check_op"},
    "only for 1.3 <= x <= 1.35": {"check_op", "gradcheck"},
}


@pytest.mark.parametrize("asked", ["who finds it", pytest.param("all", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.thorough] * ("sixth" in name)) for name in MISTAKES]
)
def test_a_planted_mistake_is_found_by_whom_the_table_says(name, asked):
    if "JavaScript" in name and javascript.javascript_engine() is None:
        pytest.skip("needs an engine for JavaScript: Node.js or quickjs")
    if "machine" in name and importlib.util.find_spec("llvmlite") is None:
        pytest.skip("needs llvmlite")
    found = finders(MISTAKES[name], GIVEN.get(name), FINDERS if asked == "all" else FOUND[name])
    assert FOUND[name] <= found <= FOUND[name] | LUCKY.get(name, set())


def test_every_mistake_is_found():
    assert FOUND.keys() == MISTAKES.keys()
    assert all(FOUND.values())


@pytest.mark.thorough
@pytest.mark.parametrize(
    "op",
    [
        right(),
        pytest.param(Op("cube", lambda x: x * x * x, (lambda y, x: 3.0 * x * x,)), marks=pytest.mark.slow),
        pytest.param(Op("total", mc.sum.forward, mc.sum.partials), marks=pytest.mark.slow),
    ],
    ids=["square", "cube", "total"],
)
def test_nothing_is_found_where_there_is_no_mistake(op):
    assert finders(op) == set()


@pytest.mark.parametrize(("readme", "heading"), [("README.md", "The mistake is"), ("README.zh-CN.md", "错误出在")])
def test_the_readme_says_what_finds_which_mistake(readme, heading):
    lines = (Path(__file__).parents[2] / "demos" / readme).read_text("utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {heading} |"))
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[start : start + 2 + len(FOUND)]]
    names = [cell.strip("`") for cell in table[0][1:]]
    assert names == list(FINDERS)
    shown = [{name for name, cell in zip(names, row[1:], strict=True) if cell == "✓"} for row in table[2:]]
    assert shown == list(FOUND.values())
    assert not lines[start + 2 + len(FOUND)].startswith("|")
    if readme == "README.md":
        assert [row[0].replace("`", "") for row in table[2:]] == list(FOUND)
