"""In the arrays that a compiled function gets, numpy's functions are operations where they mean the same."""

import math

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value, gradients
from micrograd_cn.compiler import GuardError, compile  # noqa: A004 -- the field's name
from micrograd_cn.functional import grad
from micrograd_cn.graph.value_arrays import ValueArray

X = np.array([[1.0, -2.0, 0.5], [3.0, 0.0, -1.0]])
SAMPLES = [X, 0.1 - 0.3 * X, np.zeros((2, 3)), np.array([[2.0, 2.0, 2.0], [-0.25, 0.75, 9.0]])]

FUNCTIONS = {
    "maximum": lambda x: np.maximum(x, 0.0).sum(),
    "maximum of a Value": lambda x: np.maximum(x[0, 0], x).sum(),
    "minimum": lambda x: np.sum(np.minimum(x[0], x[1])),
    "clip": lambda x: np.sum(np.clip(x, -1, 1) * x),
    "clip with one end": lambda x: np.sum(x.clip(None, 0.25) * x) + np.sum(np.clip(x, 0.5, None)),
    "where": lambda x: np.sum(np.where(x > 0, x * x, -x)),
    "where of a row": lambda x: np.where(x[0] >= x[1], x[0], 3.0).sum(),
    "where with several conditions": lambda x: np.sum(np.where(((x > 0) & (x < 2)) | ~(x > -1.5), x * x, -x)),
    "where with equal": lambda x: np.sum(np.where(np.logical_xor(x == 0, x != 2.0), x, 7.0)),
    "a condition as a factor": lambda x: np.sum((x > 0) * x),
    "a condition as a number": lambda x: np.mean((x > 0).astype(float)) + np.sum(x <= 0.5),
    "select": lambda x: np.sum(np.select([x > 1, x < -1], [x * 2, x * 3], 0.5 * x)),
    "max": lambda x: np.max(x) + x.max(axis=0)[1] + np.min(x, axis=1)[0] + np.max(x, axis=1, keepdims=True)[0, 0],
    "logaddexp": lambda x: np.logaddexp(x[0], x[1]).sum() + np.logaddexp.reduce(x[0]),
    "sign": lambda x: np.sum(np.sign(x) * x),
    "floor": lambda x: np.sum(np.floor(x) % 2 + np.ceil(x) * x),
    "after other functions": lambda x: np.maximum(x @ x.T, 0.0).sum() + np.maximum(np.exp(x) - 1.0, 0.0).sum(),
    "solve": lambda x: np.linalg.solve(x[:, :2] + 4.0 * np.eye(2), x[:, 2]).sum(),
    "relu of an array": lambda x: np.sum(mc.relu(x)) + np.sum(mc.where(mc.less(x, 0.0), 0.1 * x, x)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_of_arrays_is_compiled_once_and_computes_what_numpy_does(name):
    f = FUNCTIONS[name]
    compiled = compile(f)
    for x in SAMPLES:
        assert compiled(x) == pytest.approx(float(f(x)), rel=1e-14), x
    [numbers] = compiled.gradient([(SAMPLES[1],)])
    moved = [SAMPLES[1] + 1e-6 * np.eye(1, 6, k).reshape(2, 3) for k in range(6)]
    back = [SAMPLES[1] - 1e-6 * np.eye(1, 6, k).reshape(2, 3) for k in range(6)]
    slopes = [(float(f(a)) - float(f(b))) / 2e-6 for a, b in zip(moved, back, strict=True)]
    assert numbers == pytest.approx(slopes, rel=1e-6, abs=1e-8)


def test_at_ties_gradients_are_those_of_the_operations():
    tie = np.array([2.0, 2.0, 1.0])
    assert compile(lambda x: np.maximum(x[0], x[1:]).sum()).gradient([(tie,)]) == [[1.5, 0.5, 0.0]]
    assert compile(lambda x: np.clip(x, 0.0, 2.0).sum()).gradient([(tie,)]) == [[1.0, 1.0, 1.0]]
    assert compile(grad(lambda x: np.maximum(x, 1.0).sum()))(tie).tolist() == [1.0, 1.0, 0.5]
    assert math.isnan(compile(lambda x: np.maximum(x, 1.0).sum())(np.array([math.nan, 0.0])))


def test_code_that_branches_on_a_comparison_of_arrays_has_a_guard():
    def f(x):
        return x.sum() if (x > 0).all() else (x * x).sum()

    compiled = compile(f)
    assert compiled(X) == f(X)
    with pytest.raises(GuardError, match=r"0.0 < x\[0\]\[1\] holds, but did not in the sample"):
        compiled(np.abs(X) + 1.0)
    branching = compile(f, branches=True)
    assert [branching(x) for x in SAMPLES] == [f(x) for x in SAMPLES]
    masked = compile(lambda x: x[x > 0].sum() + x[0][x[0] > 0].sum(), branches=True)
    assert [masked(x) for x in SAMPLES] == [x[x > 0].sum() + x[0][x[0] > 0].sum() for x in SAMPLES]
    counted = compile(lambda x: np.count_nonzero((x > 0) & (x < 2)) * x[0, 0], branches=True)
    assert [counted(x) for x in SAMPLES] == [np.count_nonzero((x > 0) & (x < 2)) * x[0, 0] for x in SAMPLES]


def test_a_comparison_of_constants_gives_bools_and_of_nothing_recorded_too():
    a = np.array([Value(1.0), Value(-1.0)]).view(ValueArray)
    assert (a > 0).tolist() == [True, False]
    assert a[a > 0].tolist() == [a[0]]
    assert np.where(a > 0, a, 0.0).tolist() == [a[0], 0.0]
    limits = np.array([0.5, -0.5])
    assert compile(lambda x: np.where(limits > 0, x, 2 * x).sum())(np.array([1.0, 2.0])) == 5.0


def test_a_comparison_with_what_is_no_number_gives_bools():
    assert compile(lambda x: x[0] * (1.0 + np.sum(x == None)))(np.array([2.0, 3.0])) == 2.0  # noqa: E711 -- the case
    assert compile(lambda x: x[0] * np.all(x != "a"))(np.array([2.0, 3.0])) == 2.0


def test_other_functions_treat_the_array_as_objects():
    a = np.array([Value(1.0), Value(-2.0)]).view(ValueArray)
    assert type(a + 1) is type(np.exp(a)) is ValueArray
    assert np.add(a, 1.0, out=np.empty(2, object))[1].data == -1.0
    assert gradients(np.sum(a * a), [*a]) == [2.0, -4.0]
    assert type(a.sum()) is type(np.max(a)) is Value
    with pytest.raises(ValueError, match="zero-size array"):
        np.max(a[:0])


@pytest.mark.parametrize("op", [mc.exp, mc.lgamma, mc.relu, mc.elu], ids=repr)
def test_an_operation_of_an_array_is_applied_to_its_elements(op):
    numbers = np.array([[0.5, 2.0], [-0.25, 1.5]])
    values = np.array([[Value(x) for x in row] for row in numbers])
    assert op(numbers).tolist() == [[op(x) for x in row] for row in numbers.tolist()]
    assert op(numbers).dtype == np.float64
    found = op(values)
    assert [y.data for y in found.flat] == [op(x) for x in numbers.ravel().tolist()]
    assert found.shape == (2, 2)
    assert gradients(np.sum(found), [values[0, 0]]) == gradients(op(values[0, 0]), [values[0, 0]])
    assert compile(lambda x: op(x).sum())(numbers) == pytest.approx(op(numbers).sum())


def test_operations_of_arrays_are_broadcast():
    a, x = np.array([Value(1.0), Value(3.0)]), Value(2.0)
    assert [y.data for y in mc.maximum(a, x)] == [2.0, 3.0]
    assert [y.data for y in mc.where(mc.less(x, a), a, 0.0)] == [0.0, 3.0]
    assert mc.add(np.ones((2, 1)), np.arange(3.0)).shape == (2, 3)
    assert mc.clip(np.arange(4.0), 1, 2).tolist() == [1.0, 1.0, 2.0, 2.0]
    with pytest.raises(ValueError, match="broadcast"):
        mc.add(np.ones(2), np.ones(3))
    for call in (lambda: mc.exp(np.array(["1"])), lambda: mc.exp([1.0]), lambda: mc.exp(np.ma.array([1.0]))):
        with pytest.raises(TypeError):
            call()
