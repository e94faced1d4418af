"""The program of a function that branched refuses rows that take another branch, also as a text."""

import gc
import inspect
import math
import re
import weakref
from array import array

import numpy as np
import pytest

from micrograd_cn import Value
from micrograd_cn.compiler import GuardError, compile, scipy_functions  # noqa: A004 -- the field's name
from micrograd_cn.compiler.program import Program
from micrograd_cn.optim import SGD

from .c_files import HAS_C, File, library

REFUSED = r"f, row 1: .*test_branch.py, line \d+: x > 0 does not hold, but held in the sample that was recorded"


def branching(w):
    @compile
    def f(x):
        if x > 0:
            return w * x * x
        return -w * x

    f(1.0)
    return f


def test_the_program_of_a_branch_is_freed_by_reference_counting():
    """Nothing waits for the garbage collector, which compiled programs promise."""
    gc.collect()
    gc.disable()
    try:
        f = branching(Value(3.0))
        program = weakref.ref(f.program(2.0))
        assert f.program(2.0).row(array("d", [2.0]))[0] == 12.0
        del f
        assert program() is None
    finally:
        gc.enable()


def test_every_method_of_a_branch_refuses_rows_that_take_another_branch():
    """Whatever is computed for rows, their guards are checked before."""
    w = Value(3.0, "w")
    program = branching(w).program(2.0)
    good, bad = [[2.0], [3.0]], [[2.0], [-1.0]]
    calls = {
        "forward": program.forward,
        "gradient": program.gradient,
        "jacobian": program.jacobian,
        "hessian": program.hessian,
        "value_and_grad": program.value_and_grad,
        "backward": program.backward,
        "prepare": lambda rows: program.prepare(np.array(rows), np.zeros(2))(),
        "fit": lambda rows: program.fit(rows, SGD([w], 0.0), 1),
        "fit with validation": lambda rows: program.fit(good, SGD([w], 0.0), 1, validation=rows),
        "forward of an array": lambda rows: program.forward(np.array(rows)),
        "mean of a Hessian": lambda rows: program.hessian(rows, mean=True),
        "check": lambda rows: program.check(rows, lambda x: w * x * x),
        "derivative": lambda rows: program.derivative("gradient").program.forward(rows),
        "whole derivative": lambda rows: program.derivative("hessian").whole.forward(rows),
        "other outputs": lambda rows: program.with_outputs(program.outputs[0] * 2.0).forward(rows),
        "derivative of other outputs": lambda rows: program.with_outputs(program.outputs[0] * 2.0).gradient(rows),
    }
    methods = inspect.getmembers(Program, inspect.isfunction)
    take_rows = {name for name, method in methods if "rows" in inspect.signature(method).parameters}
    assert {name for name in take_rows if not name.startswith("_")} - {
        "explain_nan",
        "check_indices",
        "check_named",
    } <= calls.keys()
    assert program.derivative("hessian") is program.derivative("hessian")
    for call in calls.values():
        call(good)
        with pytest.raises(GuardError, match=REFUSED):
            call(bad)
    assert program.forward(good) == [12.0, 27.0]
    for call in (lambda x: program.row(array("d", [x]))[0], program):
        assert call(2.0) == 12.0
        with pytest.raises(GuardError, match="f, row 0: "):
            call(-2.0)


def test_of_several_rows_that_take_another_branch_the_first_is_named():
    program = branching(Value(3.0, "w")).program(2.0)
    with pytest.raises(GuardError, match=REFUSED):
        program.forward([(2.0,), (-2.0,), (3.0,), (-3.0,)])


def test_a_prepared_call_checks_the_rows_that_it_finds():
    """The numbers in the buffer may have changed since the call was prepared."""
    program = branching(Value(3.0, "w")).program(2.0)
    rows, out = np.array([[1.0], [2.0]]), np.zeros(2)
    run = program.prepare(rows, out)
    assert run().tolist() == [3.0, 12.0]
    rows[1] = -2.0
    with pytest.raises(GuardError, match=REFUSED):
        run()
    rows[1] = 3.0
    assert run().tolist() == [3.0, 27.0]


def test_a_branch_that_depends_on_a_parameter_is_trained_by_the_function():
    """A program cannot take another branch when training changes the parameter, and the function can."""
    w = Value(0.5, "w")
    f = compile(lambda x: (w * x - 1.0) ** 2 if w < 1 else w * x, branches=True)
    with pytest.raises(ValueError, match=r"training may change which branch <lambda> takes; write <lambda>.fit\("):
        f.program(1.0).fit([[1.0]], SGD([w], 0.1), 2)
    assert f.program(1.0).forward([[1.0]]) == [0.25]
    program = f.program(1.0)
    w.data = 2.0
    with pytest.raises(GuardError, match="w < 1 does not hold"):
        program.forward([[1.0]])
    assert f(3.0) == 6.0


def test_a_branch_shares_its_program_with_the_function():
    """No second program is made, and a function without comparisons has no branch."""
    f = branching(Value(3.0))
    assert f.program(2.0) is f.program(3.0)
    assert f.program(2.0).compiled is f.recording_of(2.0).program.compiled
    g = compile(lambda x: x * x)
    assert g.program(1.0) is g.recording_of(1.0).program


def test_scipy_takes_all_branches():
    """The functions for scipy choose the branch of each point."""
    f = compile(lambda v: v[0] * v[0] if v[0] > 0 else -v[0], branches=True)
    functions = scipy_functions(f)
    assert [functions["fun"](np.array([x])) for x in (3.0, -2.0, 1.0)] == [9.0, 2.0, 1.0]
    assert [float(functions["jac"](np.array([x]))[0]) for x in (3.0, -2.0)] == [6.0, -1.0]


def several(xs):
    """Return two numbers after three comparisons, one of which does not hold at [1, 2]."""
    a, b = xs
    big = a if a > b else b
    small = a if a <= 5 * b else b * 2
    return [big * small, big - small if big < 10 else small]


POINTS = [[1.0, 2.0], [2.0, 1.0], [1.0, 0.1], [4.0, 11.0], [0.5, 3.0]]


def expected(point):
    taken = [point[0] <= point[1], point[0] <= 5 * point[1], max(point) < 10]
    return several(point) if all(taken) else [math.nan, math.nan]


def test_a_text_in_python_says_what_it_assumes_and_gives_nan_otherwise():
    """The comment names the comparisons with their lines, without folders. Results of other branches are nan."""
    f = compile(several)
    f([1.0, 2.0])
    text = f.source("python")
    first = several.__code__.co_firstlineno
    assert text.startswith(
        "# One branch of several, for which the following comparisons hold. Otherwise the results are nan.\n"
        f"#     not xs[0] > xs[1] (test_branch.py, line {first + 3})\n"
        f"#     xs[0] <= mul(...) (test_branch.py, line {first + 4})\n"
        f"#     xs[1] < 10 (test_branch.py, line {first + 5})\n"
        "def f("
    )
    function = f.program([1.0, 2.0]).array_function({})
    for point in POINTS:
        assert function(math, {}, point) == pytest.approx(expected(point), nan_ok=True)
    found = np.array(function(np, {}, np.array(POINTS).T))
    wanted = np.array([expected(point) for point in POINTS])
    np.testing.assert_allclose(found.T, wanted)


@pytest.mark.skipif(not HAS_C, reason="needs a C compiler")
def test_a_text_in_c_says_what_it_assumes_and_gives_nan_otherwise(tmp_path):
    """A C file computes one branch. For numbers of another branch, outputs and mean are nan."""
    f = compile(several)
    text = f.program([1.0, 2.0]).source("c")
    assert text.startswith("/*\nOne branch of several, for which the following comparisons hold. Otherwise the")
    assert "    not xs[0] > xs[1] (test_branch.py, line " in text
    made = File(text, library(text, tmp_path))
    for point in POINTS:
        assert made.forward([], point) == pytest.approx(expected(point), nan_ok=True)
    w = Value(3.0, "w*/")
    text = branching(w).source("c")
    made = File(text, library(text, tmp_path))
    assert made.gradient([3.0], [[1.0], [2.0]]) == (7.5, [2.5])
    loss, [slope] = made.gradient([3.0], [[1.0], [-2.0]])
    assert math.isnan(loss)
    assert math.isnan(slope)


def test_a_text_in_llvm_says_that_it_checks_nothing():
    """The text is that of the code which runs after the guards have been checked."""
    text = branching(Value(3.0)).source("llvm")
    assert re.match(r"; One branch of f, .*They are not checked\.\n;     x > 0 \(test_branch\.py, line \d+\)\n", text)


def test_a_text_of_a_function_that_compares_nothing_has_no_such_comment():
    """Nothing is assumed where nothing is compared."""
    f = compile(lambda xs: xs[0] + xs[1])
    f([1.0, 2.0])
    assert f.source("python").startswith("def f(")
    assert f.source("c").startswith("/*\nGenerated by")
