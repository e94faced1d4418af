"""Compiled derivatives are first made without gates, and with gates once an entry is nan without them.

A gate chooses 0 where an operation did not select an operand, although a later factor is infinite.
"""

from __future__ import annotations

from array import array
from math import inf, isnan, nan

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value, functional, maximum, relu, sqrt
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler import program as programs
from micrograd_cn.compiler.data.columns import Columns
from micrograd_cn.compiler.function.minimize import scipy_functions

PLAIN = [[1.0, 2.0], [0.5, 2.0]]  # no factor is infinite; in the second row, relu does not select its operand
SPECIAL = [
    [1.0, 2.0],
    [-1.0, 0.0],
]  # relu does not select the root of the second row, whose slope is infinite


def function(x):
    return relu(x[0] * sqrt(x[1]) - 1.0) + sqrt(relu(x[0])) + maximum(x[1], x[0]) * x[0]


KINDS = {
    "gradient": lambda f, rows, **options: f.gradient(rows, **options),
    "jacobian": lambda f, rows, **options: f.jacobian(rows, dense=True, **options),
    "hessian": lambda f, rows, **options: f.hessian(rows, dense=True, **options),
}


def expected(kind, rows):
    derive = {"gradient": functional.grad, "jacobian": functional.jacobian, "hessian": functional.hessian}[kind]
    found = [derive(function)(row) for row in rows]
    return np.array([[x] for x in found] if kind == "jacobian" else found)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [PLAIN, SPECIAL], ids=["plain", "special"])
def test_a_derivative_is_that_of_the_engine_with_and_without_infinite_factors(kind, rows):
    """The function is called as often as it takes to keep code for arrays of this shape, and with other results."""
    true, numbers = expected(kind, rows), np.array(rows)
    assert not np.isnan(true).any()
    compute, f = KINDS[kind], compile(function)
    for _ in range(60):
        assert np.array_equal(compute(f, (numbers,)), true)
    assert np.array_equal(compute(f, [(row,) for row in rows]), true)
    assert np.array_equal(compute(f, (numbers,), threads=2), true)
    out = np.full(true.shape, nan)
    assert compute(f, (numbers,), out=out) is out
    assert np.array_equal(out, true)


@pytest.mark.parametrize("kind", KINDS)
def test_gates_are_used_from_the_first_nan_on(kind):
    compute, program = KINDS[kind], compile(function).program(PLAIN[0])
    for _ in range(8):
        assert np.array_equal(compute(program, PLAIN), expected(kind, PLAIN))
        assert not program.derivative_for_calls(kind).gated
    assert np.array_equal(compute(program, SPECIAL), expected(kind, SPECIAL))
    assert program.derivative_for_calls(kind) is program.derivative(kind)
    assert program.derivative(kind).gated
    assert np.array_equal(compute(program, SPECIAL), expected(kind, SPECIAL))


@pytest.mark.parametrize("kind", KINDS)
def test_code_for_arrays_is_made_anew_with_gates(kind):
    compute, f = KINDS[kind], compile(function)
    plain, special = np.array(PLAIN), np.array(SPECIAL)
    for rows in [plain] * 60 + [special] * 60 + [plain] * 2:
        assert np.array_equal(compute(f, (rows,)), expected(kind, rows.tolist()))
    [ready] = f._arrays.runners.values()
    made = f._store.programs[0].derivative(kind)
    assert ready.program in (made.program, made.whole)


@pytest.mark.parametrize("repeats", [1, 1000])  # few rows have memory of their own, many are written to `out` at once
@pytest.mark.parametrize("threads", [1, 2])
def test_the_results_may_be_written_over_the_rows(repeats, threads):
    program = compile(function).program(PLAIN[0])
    for pattern in (PLAIN, SPECIAL, PLAIN):
        rows = np.array(pattern * repeats)
        right = np.tile(expected("gradient", pattern), (repeats, 1))
        assert program.gradient(rows, threads=threads, out=rows) is rows
        assert np.array_equal(rows, right)


@pytest.mark.parametrize("kind", KINDS)
def test_many_results_are_written_where_they_belong(kind):
    """A part of a buffer is a buffer, too, and there may be no rows."""
    compute, program = KINDS[kind], compile(function).program(PLAIN[0])
    for pattern in (PLAIN, SPECIAL):
        right = np.concatenate([expected(kind, pattern)] * 1000)
        whole = np.full(right.size + 2, 7.0)
        for out in (whole[1:-1], memoryview(whole)[1:-1]):
            whole[1:-1] = 0.0
            assert compute(program, np.array(pattern * 1000), out=out) is out
            assert np.array_equal(whole[1:-1].reshape(right.shape), right)
            assert whole[0] == whole[-1] == 7.0
    assert compute(program, np.empty((0, 2))).shape == (0, *right.shape[1:])
    assert compute(program, []) == []
    mean = np.empty((2, 2))
    assert program.hessian(SPECIAL, dense=True, mean=True, out=mean) is mean
    assert np.array_equal(mean, expected("hessian", SPECIAL).mean(0))


def made_derivatives(monkeypatch, compute):
    """Return what `compute` returns, and whether each derivative that it has made has gates."""
    found, derive = [], programs._derive

    def counted(program, kind, variables, lower, gates):
        found.append(bool(gates))
        return derive(program, kind, variables, lower, gates)

    monkeypatch.setattr(programs, "_derive", counted)
    return compute(), found


@pytest.mark.parametrize("kind", KINDS)
def test_rows_whose_derivative_is_rightly_nan_make_one_derivative(monkeypatch, kind):
    """Some numbers in the rows are nan, or the function gives nan for the row with which it was recorded."""
    compute = KINDS[kind]
    f = compile(function)
    rows = [*PLAIN, [nan, 2.0]]
    found, gated = made_derivatives(monkeypatch, lambda: compute(f, (np.array(rows),)))
    assert gated == [True]
    assert np.isnan(found[2]).any()
    assert np.array_equal(found[:2], expected(kind, PLAIN))

    columns = Columns([array("d", [1.0, 0.5, 1.0]), array("d", [2.0, 2.0, nan])], 3)
    program = compile(function).program(PLAIN[0])
    _, gated = made_derivatives(monkeypatch, lambda: compute(program, columns))
    assert gated == [True]

    root = compile(lambda x: relu(x) * sqrt(x - 2.0))
    _, gated = made_derivatives(monkeypatch, lambda: compute(root, [(1.0,)]))
    assert gated == [True]
    program = compile(lambda x: relu(x) * sqrt(x - 2.0)).program(1.0)
    _, gated = made_derivatives(monkeypatch, lambda: compute(program, [[3.0]]))
    assert gated == [False]


def test_variables_may_be_an_iterator_when_a_derivative_is_computed_again():
    for compute in KINDS.values():
        program = compile(function).program(PLAIN[0])
        assert compute(program, SPECIAL, wrt=iter(program.inputs)) == compute(program, SPECIAL)
    program = compile(function).program(PLAIN[0])
    right = expected("hessian", SPECIAL).mean(0).tolist()
    assert program.hessian(SPECIAL, wrt=iter(program.inputs), mean=True, dense=True) == right
    found = program.value_and_grad(SPECIAL, wrt=iter(program.inputs))
    assert found == program.value_and_grad(SPECIAL, wrt=program.inputs)


def test_the_mean_of_hessians_and_the_values_with_gradients_are_right_at_infinite_factors():
    f, rows = compile(function), np.array(SPECIAL)
    assert np.array_equal(f.hessian((rows,), dense=True, mean=True), expected("hessian", SPECIAL).mean(0))
    values, gradients = f.value_and_grad((rows,), wrt="inputs", each=True)
    assert values.tolist() == [function(row) for row in SPECIAL]
    assert np.array_equal(gradients, expected("gradient", SPECIAL))


def test_scipys_functions_are_right_at_infinite_factors():
    functions = scipy_functions(compile(function))
    for row in [*PLAIN, *SPECIAL]:
        assert np.array_equal(functions["jac"](np.array(row)), expected("gradient", [row])[0])


def test_a_printed_derivative_has_gates():
    program = compile(function).program(PLAIN[0])
    program.gradient(PLAIN)
    assert program.derivative("gradient").gated
    assert program.derivative("gradient").program.forward(SPECIAL) == expected("gradient", SPECIAL).tolist()


def test_a_branch_checks_its_guards_with_and_without_gates():
    f = compile(lambda x: function(x) if x[0] < 2.0 else x[1])
    program = f.program(PLAIN[0])
    assert np.array_equal(program.gradient(SPECIAL), expected("gradient", SPECIAL))
    with pytest.raises(ValueError, match="does not hold"):
        program.gradient([[3.0, 1.0]])
    assert np.array_equal(program.gradient(SPECIAL), expected("gradient", SPECIAL))


def test_a_nan_that_is_right_stays():
    f = compile(lambda x: relu(x[0]) * x[1])
    for _ in range(8):
        [[first, second]] = f.gradient((np.array([[1.0, nan]]),))
        assert isnan(first)
        assert second == 1.0
    assert f.gradient((np.array([[-1.0, inf], [1.0, 2.0]]),)).tolist() == [[0.0, 0.0], [2.0, 1.0]]


def test_a_function_without_selections_has_one_derivative():
    program = compile(Value(2.0) * (x := Value(3.0)) ** 2, [x])
    assert program.derivative_for_calls("hessian") is program.derivative("hessian")


def of_a_sum(x):
    return relu(mc.dot([x[0], x[1]], [1.0 / x[1], -x[1]]) + x[0]) + x[0] * x[0] + 3.0 * x[1]


UNSELECTED = {"gradient": [-4.0, 3.0], "jacobian": [[-4.0, 3.0]], "hessian": [[2.0, 0.0], [0.0, 0.0]]}


@pytest.mark.parametrize("kind", KINDS)
def test_factors_of_a_sum_that_was_not_selected_give_0_even_if_they_are_infinite(kind):
    rows = [[-2.0, 0.0], [3.0, 2.0], [-2.0, inf], [1.0, 0.5]]
    derive = {"gradient": functional.grad, "jacobian": functional.jacobian, "hessian": functional.hessian}[kind]
    first, second = map(derive(of_a_sum), rows[1::2])
    one_output = [[first], [second]] if kind == "jacobian" else [first, second]
    true = np.array([UNSELECTED[kind], one_output[0], UNSELECTED[kind], one_output[1]])
    compute, f = KINDS[kind], compile(of_a_sum)
    for some in (slice(1, None, 2), slice(None)):
        for _ in range(60):
            assert np.array_equal(compute(f, (np.array(rows[some]),)), true[some])
    program = f.program(rows[1])
    assert program.derivative(kind) is not program.derivative_with_gates(kind)
    assert program.derivative_with_gates(kind) is program.derivative_for_calls(kind)
