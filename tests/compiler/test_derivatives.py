"""Compiled gradients, Jacobians and Hessians have the right entries, and the numbers that `functional` computes."""

import math
import pickle
import random
from array import array
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings

import micrograd_cn as mc
from micrograd_cn import Op, Value, gradients
from micrograd_cn.compiler import compile as compile_graph
from micrograd_cn.compiler import scipy_functions
from micrograd_cn.engine import constant
from micrograd_cn.functional import grad, hessian, jacobian, sparse_hessian
from micrograd_cn.optim import SGD
from micrograd_cn.testing.drawing.expressions import expressions

from ..derivatives.test_sparse import KINKED, SMOOTH, points, random_graph
from .common import python


def first(x, y, z):
    return mc.exp(x * y) * z + mc.sum([x**2, y, z]) ** 2 + mc.where(mc.less(x, y), z**3, x * z)


def second(x, y, z):
    return mc.tanh(x) / (2.0 + z * z) + 3.0 * y


def problem():
    """Return three inputs, and 37 rows for them."""
    inputs = [Value(0.1), Value(0.2), Value(0.3)]
    rng = random.Random(1)
    return inputs, [[rng.uniform(-1.0, 1.0) for _ in range(3)] for _ in range(37)]


def close(ours, theirs):
    """Assert that two arrays differ by rounding only."""
    size = np.abs(np.asarray(theirs)).max(initial=0.0)
    assert np.asarray(ours) == pytest.approx(np.asarray(theirs), rel=1e-10, abs=1e-11 * size + 1e-12)


@pytest.mark.parametrize("count", [1, 2, 37])
def test_every_row_has_the_numbers_of_the_functions_derivatives(count, code):
    """Each row's gradient, Jacobian and Hessian, sparse or dense, are those that `functional` computes for the row."""
    inputs, rows = problem()
    rows = rows[:count]
    program = compile_graph(first(*inputs), inputs)
    both = compile_graph([first(*inputs), second(*inputs)], inputs)
    close(program.gradient(rows), [grad(lambda v: first(*v))(row) for row in rows])
    close(program.hessian(rows, dense=True), [hessian(lambda v: first(*v))(row) for row in rows])
    close(both.jacobian(rows, dense=True), [jacobian(lambda v: [first(*v), second(*v)])(row) for row in rows])
    close(program.jacobian(rows), program.gradient(rows))
    for lower in (False, True):
        expected = [sparse_hessian(lambda v: first(*v), lower=lower)(row) for row in rows]
        close(program.hessian(rows, lower), [found.values for found in expected])
        assert program.hessian_structure(lower) == (tuple(expected[0].rows), tuple(expected[0].columns))


@pytest.mark.thorough
@settings(max_examples=40, deadline=None)
@given(expressions(max_inputs=3, min_value=-20.0, max_value=20.0))
def test_random_programs_have_the_numbers_of_functions(f):
    """The compiled Hessian of a random expression is the sparse Hessian that `functional` computes."""
    inputs = [Value(x) for x in f.point]
    program = compile_graph(f(*inputs) + 0.0 * inputs[0], inputs)
    expected = sparse_hessian(lambda v: f(*v), lower=True)(list(f.point))
    for count in (1, 3):
        for ours in program.hessian([f.point] * count, lower=True):
            assert ours == pytest.approx(expected.values, rel=1e-8, abs=1e-8, nan_ok=True)


@pytest.mark.parametrize("seed", range(10))
def test_programs_that_choose_have_the_numbers_of_functions_in_rows_that_were_not_recorded(seed):
    """A graph with kinks, such as `relu`, has the right derivatives in rows on the other side of a kink.

    The derivative was recorded at one point, and entries that are 0 there may not be 0 elsewhere.
    """
    f, rows = random_graph(seed, SMOOTH + KINKED * 2), points(seed, 9)
    inputs = [Value(0.5) for _ in range(4)]
    program = compile_graph(f(inputs)[0] + 0.0 * inputs[0], inputs)
    both = compile_graph(f(inputs), inputs)
    for part in (rows, rows[:1]):
        for ours, row in zip(program.hessian(part, lower=True, dense=True), part, strict=True):
            theirs = hessian(lambda xs: f(xs)[0])(row)
            close(ours, np.tril(theirs))
        close(both.jacobian(part, dense=True), [jacobian(f)(row) for row in part])


def test_they_are_written_to_buffers_by_several_threads():
    """With `out` and several threads, derivatives are written into `out`, and are those of one thread."""
    inputs, rows = problem()
    program = compile_graph(first(*inputs), inputs)
    table = np.array(rows)
    for method, size in ((program.gradient, 3), (program.hessian, 9), (program.jacobian, 3)):
        expected = method(rows)
        assert len(expected[0]) == size
        out = np.full((len(rows), size), np.nan)
        assert method(table, threads=2, out=out) is out
        assert out.tolist() == expected == method(table, threads=2).tolist()
        dense = np.full((len(rows), *program.derivative("hessian").structure.shape), np.nan)
        if size == 9:
            assert program.hessian(table, dense=True, out=dense) is dense
            assert dense.tolist() == program.hessian(rows, dense=True)
        with pytest.raises(ValueError, match="out has room for"):
            method(rows, out=array("d", [0.0]))


# The nodes to differentiate by


def test_a_lagrangian_is_differentiated_by_some_of_its_inputs():
    """`wrt` names the inputs and parameters to differentiate by, in the order of the result's columns."""
    x, y, multiplier, w = Value(1.0), Value(2.0), Value(3.0), Value(4.0)
    program = compile_graph(x * x * y + multiplier * (x * y * w - 1.0), [x, y, multiplier])
    row = [[5.0, 6.0, 7.0]]
    assert program.hessian_structure(lower=True, wrt=[x, y]) == ((0, 1), (0, 0))
    assert program.hessian(row, lower=True, wrt=[x, y]) == [[12.0, 38.0]]
    assert program.hessian(row, wrt=[y, x], dense=True) == [[[0.0, 38.0], [38.0, 12.0]]]
    assert program.gradient(row, wrt=[multiplier, w]) == [[119.0, 210.0]]
    assert program.gradient(row, wrt="parameters") == [[210.0]]
    assert program.hessian_structure(wrt="parameters") == ((), ())
    assert program.hessian(row, wrt=[w, multiplier]) == [[30.0, 30.0]]
    assert program.gradient(row, wrt=[]) == [[]]


def test_parameters_are_read_at_each_call_whatever_became_of_them():
    """A derivative reads the parameters' present data: after `fit`, after an assignment, and frozen or not."""
    x, target, w, b = Value(1.0), Value(2.0), Value(0.5), Value(0.25)
    program = compile_graph((w * x + b - target) ** 2, [x, target])
    program.fit([[1.0, 3.0], [2.0, 5.0]], SGD([w, b], lr=0.05), epochs=3)  # before the derivative is compiled
    w.requires_grad = False
    row = [2.0, 3.0]

    def expected():
        return [2.0 * (w.data * 2.0 + b.data - 3.0) * w.data, -2.0 * (w.data * 2.0 + b.data - 3.0)]

    assert program.gradient([row])[0] == pytest.approx(expected())
    assert not w.requires_grad
    w.data, b.data = -7.0, 0.125
    assert program.gradient([row])[0] == pytest.approx(expected())
    assert program.hessian([row])[0] == pytest.approx([98.0, 14.0, 14.0, 2.0])
    assert program.derivative("hessian").program.parameters == program.parameters


def test_what_is_frozen_stays_frozen_while_a_derivative_is_taken():
    """No flag of a frozen parameter changes meanwhile, which threads would see, and the parameter is no constant."""
    x, w, frozen, seen = Value(1.5), Value(0.5), Value(2.0, "frozen"), []

    def slope(y, x):
        seen.append(frozen.requires_grad)
        return 3.0 * x * x

    cube = Op("cube", lambda x: x * x * x, (slope,))
    program = compile_graph(cube(x * frozen) + w * frozen * frozen + cube(frozen), [x])
    row, wrt = [[3.0]], [x, w]
    order = [program.parameters.index(p) for p in (w, frozen)]
    expected = [program.hessian(row, wrt=wrt), program.gradient(row, [w]), program.hessian(row)]
    program = compile_graph(cube(x * frozen) + w * frozen * frozen + cube(frozen), [x])
    frozen.requires_grad = False
    seen.clear()
    found = [program.hessian(row, wrt=wrt), program.gradient(row, [w]), program.hessian(row)]
    assert found == expected
    assert set(seen) == {False}
    frozen.data = 3.0
    assert program.hessian(row) == [[6.0 * 3.0 * 3.0**3]]
    [gradient] = program.gradient(row, wrt="parameters")
    assert [gradient[i] for i in order] == [9.0, 0.0]
    frozen.requires_grad = True
    assert program.gradient(row, wrt=[frozen]) == [[3.0 * 9.0**2 * 3.0 + 2.0 * 0.5 * 3.0 + 27.0]]


# Structures


def test_constants_are_filled_in_and_known():
    """Entries of a Hessian that are constant are in each result, and `structure.constant` says which they are."""
    x, y = Value(1.0), Value(2.0)
    program = compile_graph(5.0 * x * x + x * y + y**3, [x, y])
    structure = program.hessian_structure(lower=True)
    assert (structure, structure.shape, structure.constant) == (((0, 1, 1), (0, 0, 1)), (2, 2), (True, True, False))
    for rows in ([[1.0, 2.0]], [[3.0, 4.0]] * 5):
        assert program.hessian(rows, lower=True) == [[10.0, 1.0, 6.0 * y] for _, y in rows]
    f = python(program.derivative("hessian", lower=True).program)
    assert f(math, [], [1.0, 2.0]) == [10.0, 1.0, 12.0]
    out = array("d", [math.nan]) * 8
    program.hessian([[1.0, 2.0], [3.0, 4.0]], lower=True, dense=True, out=out)
    assert out.tolist() == [10.0, 0.0, 1.0, 12.0, 10.0, 0.0, 1.0, 24.0]
    copied = pickle.loads(pickle.dumps(structure))
    assert (copied, copied.shape, copied.constant) == (structure, structure.shape, structure.constant)


@pytest.mark.parametrize(("steps", "begins"), [(8, True), (2, False)])
def test_the_code_of_a_gradient_begins_with_that_of_its_function_if_it_has_most_of_the_nodes(steps, begins):
    """A parameter that only the function reads needs no name in C all the same."""
    w, b, x = Value(2.0), Value(3.0), Value(1.0)
    y = w * x
    for _ in range(steps):
        y = mc.exp(-y)
    program = compile_graph(mc.sin(y) + b, [x])
    found = program.derivative("gradient").program
    instructions = program.compiled.lowering.code.instructions
    assert (found.compiled.lowering.code.instructions[: len(instructions)] == instructions) is begins
    assert found.forward([[1.0]])[0] == pytest.approx(gradients(program.outputs[0], [x]))
    assert "weights[1]" not in found.source("c", {"w": w})
    with pytest.raises(ValueError, match="is not among those that are named"):
        found.source("c", {"b": b})


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_what_has_no_numbers_to_compute_is_not_compiled(count, dense):
    """A derivative whose entries are all constant has no program, and gives the right number of rows all the same."""
    x, y, w = Value(1.0), Value(2.0), Value(3.0)
    linear = compile_graph([2.0 * x - y, constant(1.0), y, x], [x, y])
    rows = iter([[5.0, 6.0]] * count)
    every = [[2.0, -1.0], [0.0, 0.0], [0.0, 1.0], [1.0, 0.0]] if dense else [2.0, -1.0, 1.0, 1.0]
    assert linear.jacobian(rows, dense=dense) == [every] * count
    assert linear.derivative("jacobian").program is None
    program = compile_graph(w * x + y, [x, y])
    assert program.hessian(iter([[5.0, 6.0]] * count), dense=dense) == [[[0.0, 0.0]] * 2 if dense else []] * count
    none = compile_graph(w * w, [])
    assert none.hessian(iter([[]] * count), dense=dense) == none.jacobian([[]] * count, dense=False) == [[]] * count
    assert none.hessian([[]] * count, wrt="parameters", dense=dense) == [[[2.0]] if dense else [2.0]] * count
    assert compile_graph(w**3, []).hessian([[]] * count, wrt="parameters") == [[18.0]] * count
    out = array("d", [math.nan]) * (count * (8 if dense else 4))
    linear.jacobian([[5.0, 6.0]] * count, dense=dense, out=out)
    assert out.tolist() == np.array([every] * count).ravel().tolist()


def test_outputs_may_be_inputs_constants_and_each_other():
    """A Jacobian has rows for outputs that are inputs, constants, parameters, or the same as another output."""
    x, y, w = Value(1.0), Value(2.0), Value(3.0)
    z = x * y
    program = compile_graph([z, y, z, constant(2.0), mc.sin(z), w], [x, y])
    assert program.jacobian_structure() == ((0, 0, 1, 2, 2, 4, 4), (0, 1, 1, 0, 1, 0, 1))
    c = math.cos(0.5)
    assert program.jacobian([[0.25, 2.0]])[0] == pytest.approx([2.0, 0.25, 1.0, 2.0, 0.25, 2.0 * c, 0.25 * c])
    assert program.jacobian([[0.25, 2.0]], wrt="parameters") == [[1.0]]


# Caching, modes and mistakes


def test_a_derivative_is_made_once_whatever_mode_it_is_asked_for_in():
    """A derivative is compiled once, also inside `no_grad` and `detect_anomaly`, and where it is not finite."""
    x, w = Value(0.0), Value(1.0)
    program = compile_graph(w * mc.log(x) * x, [x])  # it is not finite at x = 0, where it is recorded
    with mc.no_grad(), mc.detect_anomaly():
        made = program.derivative("hessian")
        assert program.hessian([[2.0]]) == [[0.5]]
        with pytest.raises(FloatingPointError, match="row 1"):
            program.hessian([[2.0], [0.0]])
    assert program.derivative("hessian") is made is program.derivative("hessian", wrt="inputs", lower=False)
    assert program.derivative("hessian", wrt=[x]) is program.derivative("hessian", wrt=(x,)) is not made
    assert "0.5" in repr(program.hessian([[2.0]]))


def test_mistakes_are_named():
    x, w = Value(1.0), Value(2.0)
    y = w * x * x
    program = compile_graph(y, [x])
    for call, exception, message in (
        (lambda: compile_graph([y, y], [x]).gradient([[1.0]]), ValueError, r"gradient\(\) needs one output"),
        (lambda: compile_graph([y, y], [x]).hessian_structure(), ValueError, r"hessian\(\) needs one output"),
        (lambda: compile_graph(constant(1.0), [x]).gradient([[1.0]]), RuntimeError, r"gradient\(\) of the constant"),
        (lambda: program.hessian([[1.0, 2.0]]), ValueError, "inputs"),
        (lambda: program.hessian([[1.0]], threads=0), ValueError, "threads"),
        (lambda: program.hessian([[1.0]], wrt="weights"), ValueError, 'wrt must be "inputs", "parameters"'),
        (lambda: program.hessian([[1.0]], wrt=[y]), ValueError, r"wrt\[0\].* is neither an input nor a parameter"),
        (lambda: program.jacobian([[1.0]], wrt=[x, x]), ValueError, r"jacobian\(\): wrt\[1\].* is there twice"),
        (lambda: program.gradient([[1.0]], wrt=[1.0]), TypeError, r"wrt\[0\] is float"),
        (lambda: program.gradient([[1.0]], wrt=x), TypeError, r"write \[x\] for one"),
        (lambda: program.derivative("curl"), ValueError, "curl"),
        (lambda: compile_graph(w * x, [x]).hessian([["1"]]), TypeError, "rows"),
        (lambda: compile_graph(w * x, [x]).hessian([[1.0]], threads=0), ValueError, "threads"),
    ):
        with pytest.raises(exception, match=message):
            call()


def test_an_output_that_is_an_input_has_a_derivative():
    x, y = Value(1.0), Value(2.0)
    assert compile_graph(x, [x, y]).gradient([[5.0, 6.0]]) == [[1.0, 0.0]]
    assert compile_graph(x, [x, y]).hessian_structure() == ((), ())


def rosenbrock(n):
    """Return a program of Rosenbrock's function of n inputs, whose minimum is at 1 and whose Hessian is tridiagonal."""
    xs = [Value(0.1 * (i % 7)) for i in range(n)]
    total = 0.0
    for a, b in pairwise(xs):
        total = total + 100.0 * (b - a**2) ** 2 + (1.0 - a) ** 2
    return compile_graph(total, xs)


@pytest.mark.parametrize("method", ["trust-ncg", "dogleg"])
def test_scipys_methods_for_dense_matrices_get_one(method):
    """With `dense=True`, scipy's methods that need a dense Hessian get one, and find the minimum."""
    optimize = pytest.importorskip("scipy.optimize")
    x, y = Value(0.0), Value(0.0)
    functions = scipy_functions(compile_graph((y - x**2) ** 2 + (1 - x) ** 2 + y**2, [x, y]), dense=True)
    assert functions["hess"](np.array([0.5, 0.25])).shape == (2, 2)
    found = optimize.minimize(x0=[0.5, 0.3], method=method, **functions)
    assert functions["jac"](found.x) == pytest.approx([0, 0], abs=1e-3)


def test_scipy_minimizes():
    """scipy minimises Rosenbrock's function with the compiled gradient and the sparse compiled Hessian."""
    optimize = pytest.importorskip("scipy.optimize")
    functions = scipy_functions(rosenbrock(20))
    for method in ("trust-constr", "Newton-CG"):
        found = optimize.minimize(x0=[0.5] * 20, method=method, tol=1e-10, **functions)
        assert found.x == pytest.approx([1.0] * 20, abs=1e-4)
    x = np.linspace(0.0, 1.0, 20)
    assert isinstance(functions["fun"](x), float)
    assert functions["jac"](x).shape == (20,)
    assert functions["hess"](x).nnz == 58
    with pytest.raises(ValueError, match="one output"):
        scipy_functions(compile_graph([Value(1.0), Value(2.0)], []))


@pytest.mark.parametrize("out", [None, array("d", [0.0])])
@pytest.mark.parametrize("kind", ["gradient", "jacobian", "hessian"])
def test_inside_detect_anomaly_derivatives_raise_where_the_output_is_no_number(kind, out):
    """Inside `detect_anomaly`, a derivative raises for a row whose output is nan, although the derivative is finite."""
    x = Value(1.0, "x")
    program = compile_graph(mc.log(x), [x])
    derivative = getattr(program, kind)
    with mc.detect_anomaly():
        assert len(derivative([[2.0]])) == 1
        with pytest.raises(FloatingPointError, match=r"row 1: log\(x=-1.0\) gave nan"):
            derivative([[1.0], [-1.0]], out=out and array("d", [0.0, 0.0]))
    assert derivative([[-1.0]], out=out)[0] in ([-1.0], [1.0], -1.0)


def test_variables_may_be_named_by_arguments():
    """`wrt` takes the name of an argument, or several names, whose numbers come in this order."""
    w = Value(3.0)
    f = compile_graph(lambda p, v, scale: scale * (p["a"] * p["b"] + mc.dot(v, v) * w))
    sample = ({"a": 2.0, "b": 5.0}, [1.0, -1.0], 2.0)
    assert f.gradient([sample], wrt="p") == [[10.0, 4.0]]
    assert f.gradient([sample], wrt=["scale", "v"]) == [[16.0, 12.0, -12.0]]
    assert f.gradient([sample], wrt=iter(["v"])) == [[12.0, -12.0]]
    assert f.hessian([sample], wrt="p", dense=True) == [[[0.0, 2.0], [2.0, 0.0]]]
    assert f.jacobian([sample], wrt=["v", "p"], dense=True) == [[[12.0, -12.0, 10.0, 4.0]]]
    assert f.program(*sample).jacobian_structure(wrt="p").shape == (1, 2)
    x, y = Value(2.0, "x"), Value(3.0, "y")
    assert compile_graph(x * y, [x, y]).gradient([[2.0, 3.0]], wrt="y") == [[2.0]]
    product = compile_graph(lambda inputs, parameters: inputs * parameters)
    assert product.gradient([(2.0, 3.0)], wrt=["inputs"]) == [[3.0]]


def test_a_name_of_no_argument_is_refused():
    f = compile_graph(lambda x, n: x * n, static=["n"])
    for wrt in ("y", "n", ["x", "y"], ["x", "x"], ["x", Value(1.0)]):
        with pytest.raises((ValueError, TypeError), match=r"gradient\(\): wrt"):
            f.gradient([(2.0, 3.0)], wrt=wrt)
    with pytest.raises(ValueError, match="the name of an argument \\('x'\\)"):
        f.gradient([(2.0, 3.0)], wrt="y")
    x = Value(1.0)
    with pytest.raises(ValueError, match="the name of an argument \\(no input has a label\\)"):
        compile_graph(x * x, [x]).gradient([[2.0]], wrt="x")


def test_backward_without_parameters_says_so():
    f = compile_graph(lambda x: x * x)
    with pytest.raises(RuntimeError, match=r"no parameters to give a gradient to; write gradient\(\)"):
        f.backward([(2.0,)])


@pytest.mark.parametrize("threads", [1, 2])
def test_the_hessian_of_the_mean_is_the_mean_of_the_hessians(threads):
    """It has the same entries, sparse and dense, also where an entry is constant, or the same as another one."""
    xs, ws = [Value(0.1 * k) for k in range(3)], [Value(0.3 * k - 0.2) for k in range(4)]
    y = mc.exp(ws[0] * xs[0] * ws[1]) + ws[2] ** 2 * 3 + (ws[3] * xs[1]).tanh() * ws[2] + xs[2] * ws[1]
    program, rng = compile_graph(y, xs), np.random.default_rng(0)
    for n in (1, 2, 9, 40):
        rows = rng.standard_normal((n, 3))
        for wrt in ("inputs", "parameters", [ws[2], ws[0]]):
            for lower in (False, True):
                for dense in (False, True):
                    each = program.hessian(rows, lower, wrt, dense)
                    mean = program.hessian(rows, lower, wrt, dense, threads, mean=True)
                    assert mean == pytest.approx(each.mean(axis=0), rel=1e-12, abs=1e-14)
                    as_lists = program.hessian(rows.tolist(), lower, wrt, dense, mean=True)
                    assert np.array(as_lists) == pytest.approx(mean, rel=1e-12, abs=1e-14)
                    out = np.full(mean.shape, 7.0)
                    assert program.hessian(rows, lower, wrt, dense, out=out, mean=True) is out
                    assert out == pytest.approx(mean, rel=1e-12, abs=1e-14)
    ws[0].data = 0.9
    assert program.hessian(rows, mean=True) == pytest.approx(program.hessian(rows).mean(axis=0), rel=1e-12)
    assert {w.grad for w in ws} == {0.0}
    with pytest.raises(ValueError, match="no rows"):
        program.hessian(rows[:0], mean=True)


def test_the_hessian_of_the_mean_of_a_function_and_of_constant_entries():
    w, v = Value(2.0), Value(3.0)
    f = compile_graph(lambda x: (w * x) ** 2 * v if x > 0 else w * v * 5, branches=True)
    samples = [(1.0,), (-2.0,), (3.0,)]
    each = f.hessian(samples, wrt=[w, v], dense=True)
    assert f.hessian(samples, wrt=[w, v], dense=True, mean=True) == pytest.approx(np.mean(each, axis=0))
    with pytest.raises(ValueError, match="dense=True"):
        f.hessian(samples, wrt=[w, v], mean=True)
    assert f.hessian(np.array([1.0, 3.0]), wrt=[w, v], dense=True, mean=True) == pytest.approx(
        np.mean([each[0], each[2]], axis=0)
    )
    quadratic = compile_graph(lambda x: 3 * w * w + x * v * v)
    assert quadratic.hessian([(1.0,), (2.0,)], wrt=[w, v], mean=True) == [6.0, 3.0]
    assert compile_graph(lambda x: 3 * w * w + x).hessian([(1.0,)], wrt=[w, v][:1], mean=True) == [6.0]


@pytest.mark.parametrize("dense", [False, True])
def test_the_hessian_of_the_mean_of_arrays_is_prepared(dense):
    """Further calls with arrays of one shape give what lists of samples give, and raise the same errors."""
    w, v, k = Value(2.0), Value(3.0), Value(0.5, "k", requires_grad=False)
    f, xs = compile_graph(lambda x: mc.relu(w * x) ** 1.5 * v + v * v * x + k * w * w), np.array([1.0, -0.25, 2.5])
    options = {"dense": dense, "mean": True}
    for calls in range(130):
        w.data = 1.0 + 0.01 * calls
        xs[1] = 1.0 if calls < 60 else -0.25  # then 0 times an infinite factor is nan without gates
        found = f.hessian((xs,), wrt=[w, v], **options)
        assert type(found) is np.ndarray
        samples = [(x,) for x in xs.tolist()]
        assert found == pytest.approx(np.array(f.hessian(samples, wrt=[w, v], **options)), rel=1e-12)
    assert any(key[0][0] == "mean_hessian" and ready for key, ready in f._arrays.runners.items())
    out = np.full(found.shape, 7.0)
    assert f.hessian((xs,), wrt=[w, v], out=out, **options) is out
    assert out.tolist() == found.tolist()
    assert f.hessian((xs,), wrt=[v], **options).ravel().tolist() == [2.0 * xs.mean()]
    v.requires_grad = False
    with pytest.raises(ValueError, match="requires no gradient"):
        f.hessian((xs,), wrt=[w, v], **options)
    v.requires_grad, k.data = True, 0.75
    with pytest.raises(ValueError, match="k is a constant"):
        f.hessian((xs,), wrt=[w, v], **options)


@pytest.mark.parametrize("count", [3, 40])
def test_a_whole_matrix_is_the_same_whether_it_is_computed_or_scattered(count):
    """A matrix with many zeros is scattered; one with few is computed with its zeros."""
    xs = [Value(0.1 * k) for k in range(count)]
    chain = sum((b - a**2) ** 2 for a, b in pairwise(xs))
    program, rng = compile_graph(chain, xs), np.random.default_rng(1)
    (rows, columns), shape = program.hessian_structure(), (count, count)
    for n in (1, 2, 7, 30):
        points = rng.standard_normal((n, count))
        expected = np.zeros((n, *shape))
        expected[:, rows, columns] = program.hessian(points)
        for _ in range(2):
            assert (program.hessian(points, dense=True) == expected).all()
        assert program.hessian(points.tolist(), dense=True) == expected.tolist()
        for out in (np.full(n * count**2, 7.0), array("d", [7.0] * n * count**2)):
            assert program.hessian(points, dense=True, out=out) is out
            assert (np.frombuffer(out) == expected.ravel()).all()


def test_derivatives_at_singular_points_are_what_their_methods_say():
    """`Program.gradient` and `Program.hessian` say where they differ from `backward` and from `functional.hessian`."""
    w = Value(1.0)
    f = compile_graph(lambda x: mc.sqrt(w * x - w * x))
    f.backward([(1.0,)])
    assert math.isnan(w.grad)
    assert f.gradient([(1.0,)], wrt=[w]) == f.gradient([(1.0,)]) == [[0.0]]
    assert compile_graph(lambda x, y: x**y).hessian([(0.0, 0.5)], dense=True) == [
        [[-math.inf, -math.inf], [-math.inf, 0.0]]
    ]
