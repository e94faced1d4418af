"""In the arrays that a compiled function gets, numpy's functions are operations where they mean the same."""

import copy
import io
import math
import operator
import pickle
import re
import sys

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value, gradients
from micrograd_cn.compiler import GuardError, compile  # noqa: A004 -- the field's name
from micrograd_cn.functional import grad, hessian, jacobian, jvp, value_and_grad, vjp
from micrograd_cn.graph.numpy_errors import numpy_advice
from micrograd_cn.graph.value_arrays import ValueArray
from micrograd_cn.testing import check_op, gradcheck

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


TIES = {
    "maximum": lambda x: np.maximum(x, 0.0).sum() + 2 * np.maximum(0.5, x).sum() + np.maximum(x, x[::-1]).sum(),
    "minimum": lambda x: np.minimum(x, 0.0).sum() + 2 * np.minimum(0.5, x).sum() + (np.minimum(x[::-1], x)[:2]).sum(),
    "max": lambda x: np.max(x) + 2 * x.max() + (3 * x.reshape(2, 2).max(axis=1)).sum() + x.reshape(2, 2).T.max(),
    "min": lambda x: np.min(x) + 2 * x.min() + (3 * x.reshape(2, 2).min(axis=0)).sum() + np.amin(x[2:]),
    "clip": lambda x: np.clip(x, 0, None).sum() + 2 * np.clip(x, None, 0).sum() + 3 * np.clip(x, 0, 1).sum(),
    "clip with arrays": lambda x: np.clip(x, x[::-1], x + x).sum() + 2 * np.clip(x, 0, 0).sum(),
    "ptp": lambda x: np.ptp(x) + 2 * np.ptp(x.reshape(2, 2), axis=0).sum(),
    "fmax": lambda x: np.fmax(x, 0.0).sum() + 2 * np.fmin(x, x[::-1]).sum() + 3 * np.fmax.reduce(x),
    "accumulate": lambda x: (np.maximum.accumulate(x) * np.arange(4.0)).sum(),
    "one Value": lambda x: np.maximum(x[1], x).sum() + 2 * np.minimum(x, x[2]).sum() + np.maximum(x[0], 0.0),
    "the operation": lambda x: mc.maximum(x, 0.0).sum() + 2 * mc.minimum(x, x[::-1]).sum(),
}


@pytest.mark.parametrize("name", TIES)
def test_at_ties_the_gradients_of_all_modes_are_the_same(name):
    f = TIES[name]
    compiled = compile(f, branches=True)
    for row in ([0.0, 0.0, 1.0, 0.0], [0.5, 0.0, 0.5, 0.0], [0.5, 0.5, 0.5, 0.5], [-1.0, 2.0, 0.0, -1.0]):
        x, values = np.array(row), np.array([Value(v) for v in row])
        expected = gradients(f(values), [*values])
        assert grad(f)(x).tolist() == compiled.gradient([(x,)])[0] == expected, row
        assert compile(grad(f), branches=True)(x).tolist() == expected, row


def test_at_a_tie_the_first_element_gets_the_gradient_in_an_array_and_half_of_it_from_the_operation():
    zeros = np.zeros(2)
    assert compile(lambda x: np.maximum(x, 0.0).sum()).gradient([(zeros,)]) == [[1.0, 1.0]]
    assert compile(lambda x: np.maximum(0.0, x).sum()).gradient([(zeros,)]) == [[0.0, 0.0]]
    assert compile(lambda x: mc.maximum(0.0, x).sum()).gradient([(zeros,)]) == [[0.5, 0.5]]
    w = Value(0.0)
    compiled = compile(lambda x: np.maximum(w * x, 0.0).sum())
    assert compiled.value_and_grad([(np.array([1.0, 2.0]),)], wrt=[w])[1] == [3.0]


@pytest.mark.parametrize("choose", [np.maximum, np.minimum])
def test_at_a_tie_with_a_users_array_of_values_the_first_element_gets_the_gradient(choose):
    w = np.array([Value(1.0), Value(1.0)])
    first, second = compile(lambda x: choose(w, x).sum()), compile(lambda x: choose(x, w).sum())
    assert first.gradient([(np.ones(2),)], wrt=[*w]) == [[1.0, 1.0]]
    assert second.gradient([(np.ones(2),)], wrt=[*w]) == [[0.0, 0.0]]


SELECTIONS = {
    "max": lambda q: [q.max(), np.min(q), np.nanmax(q), np.maximum.reduce(q), np.max(q, initial=0.0)],
    "maximum": lambda q: [np.maximum(q, 1.0)[1], np.minimum(q[:2], q[1:])[1], np.fmax(q, 0.2)[1], np.fmin(q, 9.0)[2]],
    "clip": lambda q: [np.clip(q, 0, 9)[1], q.clip(0.7, None)[0], q.clip(0, 1.2)[1]],
    "where": lambda q: [np.where(q > 1, q, 0.0)[1], np.where(q > 1, q, q[0])[2]],
    "select": lambda q: [*np.select([q > 1.2, q > 0.7], [q, q * 2.0], q)],
    "nan_to_num": lambda q: [*np.nan_to_num(q)],
    "of one element": lambda q: [q[1:2].sum(), np.prod(q[:1]), *q.reshape(3, 1).sum(axis=1), np.nansum(q[2:])],
    "computed": lambda q: [q.sum(), np.maximum(q[0], q)[1], np.sign(q)[0], q[1:2].mean(), np.ptp(q)],
}


@pytest.mark.parametrize("name", SELECTIONS)
def test_inside_no_grad_an_element_that_numpy_selects_keeps_its_gradient(name):
    def loss(x):
        q = 0.5 * x
        with mc.no_grad():
            selected = SELECTIONS[name](q)
        return sum((k + 2.0) * q[0] * y for k, y in enumerate(selected))

    x = np.array([1.0, 3.0, 2.0])
    values = np.array([Value(y) for y in x])
    expected = gradients(loss(values), [*values])
    assert grad(loss)(x).tolist() == expected
    program = compile(loss).recording_of(x).program
    assert gradients(program.outputs[0], program.inputs) == expected


def test_the_sum_of_one_element_is_the_element():
    minus_zero = np.array([-0.0])
    assert [math.copysign(1.0, y) for y in compile(lambda x: [x.sum(), np.add.reduce(x)])(minus_zero)] == [-1.0, -1.0]
    assert str(compile(lambda x: [x[1:].sum(), x[1:].prod()])(minus_zero)) == "[0.0, 1.0]"


@pytest.mark.parametrize(
    "count",
    [np.sum, np.prod, np.nansum, np.add.reduce, lambda c: np.cumsum(c)[0], lambda c: np.add.reduceat(c, [0])[0]],
)
def test_the_count_of_one_comparison_is_a_number_that_is_added(count):
    """The + of two bools would be their or."""
    assert compile(lambda x: count(x[:1] > 0.0) + count(x[1:] > 0.0)).recording_of(np.ones(2)).results == [2.0]


@pytest.mark.parametrize("name", ["fmax", "fmin", "logaddexp", "maximum", "minimum", "sign"])
def test_a_function_of_numbers_gives_numbers_also_where_no_value_is_among_them(name):
    numbers, function = np.array([0.5, -2.0, 0.0, 3.0]), getattr(np, name)
    arguments = [numbers, numbers[::-1]][: function.nin]
    found = function(*[x.astype(object).view(ValueArray) for x in arguments])
    assert repr(found.tolist()) == repr(function(*arguments).tolist())


@pytest.mark.parametrize("name", ["bitwise_and", "bitwise_or", "bitwise_xor", "invert"])
def test_bits_of_bools_are_a_mask_also_where_no_value_is_among_them(name):
    bools, function = np.array([True, False, True, True]), getattr(np, name)
    arguments = [bools, bools[::-1]][: function.nin]
    mask = function(*[x.astype(object).view(ValueArray) for x in arguments])
    assert np.arange(4)[mask].tolist() == np.arange(4)[function(*arguments)].tolist()


@pytest.mark.parametrize("way", ["accumulate", "reduceat", "outer"])
@pytest.mark.parametrize("name", ["bitwise_and", "bitwise_or", "bitwise_xor", "fmax", "fmin", "maximum", "minimum"])
def test_what_is_neither_a_sum_nor_a_product_of_bools_is_a_bool(name, way):
    bools, function = np.array([True, False, True, True]), getattr(getattr(np, name), way)
    arguments = {"outer": lambda c: (c, c), "accumulate": lambda c: (c,), "reduceat": lambda c: (c, [0, 1, 3])}[way]
    found = function(*arguments(bools.astype(object).view(ValueArray)))
    assert repr(found.tolist()) == repr(function(*arguments(bools)).tolist())


@pytest.mark.parametrize(
    "product",
    [
        lambda c: np.einsum("i,i->", c, c),
        lambda c: np.einsum("i->", c),
        lambda c: np.convolve(c, c)[2],
        lambda c: np.correlate(c, c, "full")[2],
        lambda c: np.tensordot(c, c, 1),
    ],
)
def test_sums_of_products_of_comparisons_are_bools(product):
    x = np.array([1.0, -2.0, 3.0])
    assert compile(lambda x: product(x > 0.0) * 1.0).recording_of(x).results == [product(x > 0.0) * 1.0] == [1.0]


@pytest.mark.parametrize("f", [np.maximum, np.minimum, np.fmax, np.fmin], ids=lambda f: f.__name__)
def test_the_extrema_of_nan_are_numpys(f):
    values = [math.nan, 1.0, 2.0, math.nan, math.nan], [2.0, math.nan, 3.0, math.nan, 0.0]
    compiled = compile(lambda a, b: list(f(a, b)))
    compiled(np.arange(5.0), np.ones(5))
    for a, b in (values, values[::-1]):
        assert np.array_equal(compiled(np.array(a), np.array(b)), f(a, b), equal_nan=True)
    reduced = compile(lambda a: f.reduce(a))
    assert [reduced(np.array(a)) for a in values] == pytest.approx([f.reduce(a) for a in values], nan_ok=True)


def test_the_extrema_of_arrays_are_printed_differentiated_twice_and_pickled():
    compiled = compile(lambda x: (np.maximum(x**3, 8.0) + np.minimum(8.0, x**3)).sum())
    x = np.array([1.0, 2.0, 3.0])
    assert compiled(x) == 60.0
    assert compiled.hessian([(x,)])[0] == [6.0, 12.0, 18.0]
    scope = {}
    exec(compiled.source("python"), scope)
    assert scope["f"](np, [], [*x]) == 60.0
    node = compiled.program(x).outputs[0]
    extrema = {y.op for y in mc.engine.traverse(node)[0] if "np_" in y.op.name}
    assert len(extrema) == 2
    assert pickle.loads(pickle.dumps(extrema)) == copy.deepcopy(extrema) == extrema


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


A, INDEX, MASK = np.array([1.0, 2.0, 4.0]), np.array([2, 0, 1]), np.array([True, False, False])
INDICES = {
    "a mask": (lambda x, m: x[m].sum(), MASK),
    "integers": (lambda x, p: x[p].sum(), INDEX),
    "two arrays": (lambda x, p: np.outer(x, x)[np.arange(3), p].sum(), INDEX),
    "a slice and an array": (lambda x, m: np.outer(x, x)[:, m].sum(), MASK),
    "a list": (lambda x, p: x[[p[0], p[1]]].sum(), INDEX),
    "an integer": (lambda x, p: x[p[0]], INDEX),
    "conditions as numbers": (lambda x, p: x[(x > 1) * 1].sum(), INDEX),
    "the complement of a mask": (lambda x, m: x[1 - m].sum(), MASK),
    "bools that astype makes": (lambda x, m: x[m.astype(bool)].sum(), MASK),
    "an assignment": (lambda x, m: operator.setitem(y := x.copy(), m, 0.0) or y.sum(), MASK),
    "np.putmask": (lambda x, m: np.putmask(y := x.copy(), m, 0.0) or y.sum(), MASK),
    "np.extract": (lambda x, m: np.extract(m, x).sum(), MASK),
    "np.nonzero": (lambda x, m: x[np.nonzero(m)].sum(), MASK),
    "np.where with one argument": (lambda x, m: x[np.where(m)].sum(), MASK),
}


@pytest.mark.parametrize("name", INDICES)
def test_numbers_of_an_argument_are_refused_as_an_index(name):
    f, index = INDICES[name]
    with pytest.raises(TypeError, match=r"would be the same number for every sample; write .*(x|m) > 0") as caught:
        compile(f)(A, index)
    assert __file__ in str(caught.value)


@pytest.mark.parametrize(
    "f",
    [
        lambda x, m: x[m > 0].sum(),
        lambda x, m: x[np.array(m == 1, dtype=bool)].sum(),
        lambda x, m: np.outer(x, x)[1:, m != 0].sum(),
        lambda x, m: x[~(m == 0) & (x < 3)].sum(),
        lambda x, m: operator.setitem(y := x.copy(), m > 0, 5.0) or (y * y).sum(),
        lambda x, m: operator.setitem(y := x.copy(), x < 2, 0.0) or (y * y).sum(),
    ],
)
def test_a_mask_of_comparisons_is_an_index_with_a_guard(f):
    compiled, other = compile(f, branches=True), np.array([False, True, True])
    for mask in (MASK, other):
        assert compiled(A, mask) == float(f(A, mask))
        compiled.check([(A, mask)])
    compiled = compile(f)
    compiled(A, MASK)
    with pytest.raises(GuardError):
        compiled(4.0 - A, other)


def test_an_index_may_be_a_static_argument():
    compiled = compile(lambda x, p: x[np.array(p)].sum(), static=["p"])
    assert [compiled(A, (2, 0)), compiled(A, (True, False, False))] == [5.0, 1.0]
    with pytest.raises(TypeError, match=r"such as a tuple for a list or an array, with np.array\(p\) in the function"):
        compiled(A, INDEX)


LOGICAL = {
    "x.all": lambda x: x.sum() * (1 if x.all() else 10),
    "np.all": lambda x: x.sum() * (1 if np.all(x) else 10),
    "x.any": lambda x: (x.sum() + 1) * (1 if x.any() else 10),
    "np.any of an axis": lambda x: x.sum() * (1 + np.any(x, axis=0)) + np.all(np.stack([x, x + 1]), axis=1).sum(),
    "np.logical_and": lambda x: x.sum() * np.logical_and(x, [2.0, 1.0, 0.0]).sum(),
    "np.logical_or": lambda x: x.sum() * np.logical_or(x, x > 2).sum(),
    "np.logical_xor": lambda x: x.sum() * np.logical_xor(x, 1.0).sum(),
    "np.logical_not": lambda x: x.sum() * np.logical_not(x).sum(),
    "with a dtype": lambda x: x.sum() * np.logical_not(x, dtype=bool).sum(),
    "reduce": lambda x: x.sum() * (np.logical_or.reduce(x) + 2 * np.logical_xor.reduce(x)),
    "accumulate": lambda x: np.sum(x * np.logical_and.accumulate(x)),
}


@pytest.mark.parametrize("name", LOGICAL)
def test_logical_functions_of_numbers_ask_whether_they_are_0(name):
    f = LOGICAL[name]
    compiled = compile(f, branches=True)
    for x in np.array([[2.0, 0.0, 3.0], [2.0, 3.0, 3.0], [0.0, 0.0, 0.0], [math.nan, 1.0, 1.0]]):
        assert compiled(x) == pytest.approx(float(f(x)), nan_ok=True)
        compiled.check([(x,)])


BOOLS = {
    "+": lambda x: ((x > 1) + (x < 2.5)).sum() + ((x > 1)[0] + (x < 2.5)[0]) * 1.0,
    "* and +": lambda x: ((x > 1) * (x < 5) + (x < 2.5)).sum(),
    "+=": lambda x: operator.iadd(x > 1, x < 2.5).sum(),
    "astype": lambda x: ((x > 1).astype(float) + (x < 2.5).astype(int)).sum(),
    "sums": lambda x: np.sum(x > 1) + (x > 1).sum(axis=0) + np.mean(x > 1) + np.cumsum(x > 0).sum() + sum(x > 1),
    "np.diff": lambda x: np.diff(x > 1).sum() + np.diff(x > 2, n=2).sum(),
    "products": lambda x: ((x > 0) @ (x > 0)) * 1.0 + np.dot(x > 0, x > 0) * 2.0 + (x > 0).dot(x > 1) * 3,
    "np.where": lambda x: (np.where(x > 1, x > 2, x < 0.5) + (x > 0)).sum(),
    "np.maximum": lambda x: (np.maximum(x > 1, x > 2) + (x > 0)).sum(),
    "np.isnan": lambda x: np.isnan(x).sum() + 2 * np.isinf(x).sum() + 4 * np.isfinite(x).sum() + x[~np.isnan(x)][0],
}
ORDERS = {
    "np.sort": lambda x: (np.sort(x) * np.array([1.0, 2.0, 0.0])).sum(),
    "sort": lambda x: x.copy().sort() or np.partition(x, 1)[1],
    "argsort": lambda x: (x.argsort() * np.arange(3)).sum() + np.argsort(x)[0],
    "argmax": lambda x: 3.0 * np.argmax(x) + np.argmin(x) + x.argmax() * 9.0,
    "searchsorted": lambda x: np.searchsorted(np.array([1.0, 2.0]), x).sum() + np.digitize(x, [0.5]).sum() * 9.0,
    "nanmean": lambda x: np.nanmean(x) + np.nansum(x) + np.nanmax(x) + np.nanmin(x) + np.nanstd(x) + np.nanmedian(x),
    "x != x": lambda x: 1.0 if x[0] != x[0] else 2.0,
    "where=": lambda x: np.sum(x, where=x > 1) + np.max(x, where=x > 0, initial=-1.0) + np.all(x, where=x > 1),
    "where= of a mean": lambda x: np.mean(x, where=x > 0) + x.std(where=x > 0) + np.prod(x, where=x > 0),
}


@pytest.mark.parametrize("name", [*BOOLS, *ORDERS])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_functions_of_bools_and_of_nan_are_numpys(name):
    f, nan = {**BOOLS, **ORDERS}[name], math.nan
    compiled = compile(f, branches=True)
    for row in (
        *([2.0, 0.0, 3.0], [0.5, 1.5, 2.5], [3.0, 2.0, 1.0], [1.0, 1.0, 1.0], [math.inf, 2.0, 0.5]),
        *([nan, 1.0, 2.0], [1.0, nan, 2.0], [3.0, 2.0, nan], [nan, nan, 1.0]),
    ):
        x = np.array(row)
        assert compiled(x) == pytest.approx(float(f(x)), nan_ok=True), row
        if name in BOOLS:
            compiled.check([(x,)])


def test_a_median_of_nan_is_refused():
    compiled = compile(np.median, branches=True)
    assert compiled(np.array([3.0, 1.0, 2.0])) == 2.0
    with pytest.raises(ValueError, match=r"np.median\(\) of Values among which is nan"):
        compiled(np.array([3.0, math.nan, 2.0]))
    strict = compile(np.sort)
    strict(np.array([1.0, 2.0]))
    with pytest.raises(GuardError, match=r"a\[0\] is nan, but was not in the sample that was recorded"):
        strict(np.array([math.nan, 2.0]))


def test_where_may_not_have_numbers_of_an_argument():
    with pytest.raises(TypeError, match=r"m\[0\] as a condition would be the same number for every sample"):
        compile(lambda x, m: np.sum(x, where=m))(A, MASK)


def test_a_guard_names_the_users_line():
    def of_sorted(x):
        return np.sort(x)[0] + np.median(x)

    compiled = compile(of_sorted)
    compiled(np.array([1.0, 2.0, 3.0]))
    with pytest.raises(GuardError, match=f"{__file__}, line {of_sorted.__code__.co_firstlineno + 1}: "):
        compiled(np.array([3.0, 1.0, 2.0]))


def test_a_branching_function_that_is_recorded_twice_may_compare_arrays():
    calls = [0]

    def f(x):
        calls[0] += 0
        return x.sum() if (x > 0).all() else 10 * x.sum()

    assert compile(f)(np.array([2.0, 0.0, 3.0])) == 50.0


ADVICE = {
    "np.average": (lambda x: np.average(x, weights=x), r"write \(x \* w\).sum\(\) / w.sum\(\)"),
    "np.array_equal": (lambda x: x[0] * np.array_equal(x, 2.0 * x), r"write \(x == y\).all\(\)"),
    "np.isin": (lambda x: x[0] * np.isin(x, [1.0, 2.0]).sum(), r"write \(x == a\) \| \(x == b\)"),
    "np.cov": (lambda x: np.cov(np.stack([x, x]))[0, 0], r"for np.cov\(x, y\) write"),
    "np.linalg.inv": (lambda x: np.linalg.inv(np.outer(x, x)).sum(), r"micrograd_cn.solve\(A, b\)"),
    "np.linalg.det": (lambda x: np.linalg.det(np.outer(x, x)), r"such as a \* d - b \* c"),
    "np.round": (lambda x: np.round(x).sum(), r"^np.round\(\) of a Value: there is no operation for it; write \(x / 2"),
    "np.isclose": (lambda x: x[0] * np.isclose(x[1], 1.0), r"write abs\(x - y\) <= 1e-8"),
    "np.allclose": (lambda x: x[0] * np.allclose(x[1], x[1]), r"write abs\(x - y\) <= 1e-8"),
    "np.histogram": (lambda x: np.histogram(x)[0].sum(), r"^np.histogram\(\) of a Value: there is no operation for it"),
    "np.gradient": (lambda x: np.gradient(x).sum(), r"np.gradient\(\) of a Value .* \(x\[2:\] - x\[:-2\]\) / 2"),
    "np.matrix": (lambda x: (np.ones((1, 2)).view(np.matrix) * x[0]).sum(), r"write np.asarray\(m\) \* x"),
    "a mask": (lambda x: A[x > 0].sum() * x[0], r"write np.where\(x > 0, b, 0.0\), or b\[np.array\(x > 0, dtype=bool"),
    "np.interp": (lambda x: np.interp(x, [0.0, 1.0], [2.0, 3.0]).sum(), "write the formula, for np.interp as a sum"),
    "np.bincount": (lambda x: np.bincount([0, 1, 0], weights=x).sum(), "for np.bincount a loop"),
    "np.exp of a list": (lambda x: np.exp([x[0], 1.0]).sum(), r"write micrograd_cn.exp\(xs\)"),
    "np.take": (lambda x: np.take(x, x).sum(), r"write \[take\(xs, i\) for i in index\]"),
    "np.take_along_axis": (lambda x: np.take_along_axis(x, x, 0).sum(), r"write \[take\(xs, i\) for i in index\]"),
    "np.fft.fft": (lambda x: abs(np.fft.fft(x)[0]), r"write np.cos\(a\) @ x and -np.sin\(a\) @ x"),
    "np.fft.rfft": (lambda x: abs(np.fft.rfft(x)[0]), r"write np.cos\(a\) @ x and -np.sin\(a\) @ x"),
    "np.savetxt": (lambda x: np.savetxt(io.StringIO(), x), "numpy's savetxt takes numbers alone: write its formula"),
    "x.tanh()": (lambda x: x.tanh().sum(), r"an array has no method tanh: write micrograd_cn.tanh\(x\)"),
    "x.maximum(y)": (lambda x: x.maximum(0.0).sum(), r"write micrograd_cn.maximum\(x, y\), which takes arrays"),
    "A[x[0]]": (lambda x: A[x[0]] * x[1], r"write take\(xs, i\) for xs\[i\]"),
    "an index of numbers": (lambda x: A[x].sum(), r"write \[take\(xs, i\) for i in index\]"),
}


@pytest.mark.parametrize("name", ADVICE)
def test_errors_of_numpy_come_with_what_to_write(name):
    f, advice = ADVICE[name]
    with pytest.raises((TypeError, IndexError, AttributeError)) as caught:
        compile(f)(np.array([1.0, 2.0, 0.0]))
    assert re.search(advice, "\n".join([str(caught.value), *getattr(caught.value, "__notes__", ())]))


@pytest.mark.parametrize("name", ["np.cov", "np.linalg.inv", "np.fft.fft", "x.tanh()", "x.maximum(y)", "A[x[0]]"])
def test_derivatives_of_functions_say_the_same(name):
    f, advice = ADVICE[name]
    with pytest.raises((TypeError, IndexError, AttributeError)) as caught:
        grad(f)(np.array([1.0, 2.0, 0.0]))
    assert re.search(advice, "\n".join(caught.value.__notes__))


def test_a_compiled_function_names_static_arguments_for_an_index_of_an_array():
    with pytest.raises(IndexError) as caught:
        compile(lambda i: A[i] * 2.0)(1)
    assert 'compile(f, static=["i"])' in "\n".join(caught.value.__notes__)


@pytest.mark.parametrize(
    "error",
    [
        SystemError("<class 'type'> returned a result with an exception set"),
        TypeError("unsupported operand type(s) for +: 'float' and 'Value'"),
    ],
)
def test_values_that_are_added_at_places_of_an_array_of_numbers_are_told_the_type_of_array(error):
    """It depends on the state of memory which of these errors `np.add.at` raises."""
    assert "np.zeros(n, dtype=object)" in numpy_advice(error)


OF_OTHERS = [
    ("can't convert np.ndarray of type numpy.object_. The only supported types are: float64", "PyTorch's functions"),
    ("Could not infer dtype of Value", "PyTorch's functions"),
    ("expected Tensor as element 0 in argument 0, but got Value", "PyTorch's functions"),
    ("exp(): argument 'input' (position 1) must be Tensor, not Value", "PyTorch's functions"),
    ("max() received an invalid combination of arguments - got (Value, Value), but", "PyTorch's functions"),
    ("unsupported operand type(s) for *: 'Value' and 'Tensor'", "PyTorch's functions"),
    ("unsupported operand type(s) for *: 'jaxlib._jax.ArrayImpl' and 'Value'", "jax's functions"),
    ("Value 'Value(x[0])' with dtype object is not a valid JAX array type.", "jax's functions"),
    ("Error interpreting argument to <function exp at 0x7f> as an abstract array.", "jax's functions"),
    ("Error interpreting argument to custom_jvp_call as a JAX value.", "jax's functions"),
    ("unsupported operand type(s) for *: 'Value' and 'complex'", "a Value is a real number"),
]


@pytest.mark.parametrize(("text", "advice"), OF_OTHERS)
def test_errors_of_other_libraries_come_with_what_to_write(text, advice):
    """The texts are those of PyTorch 2, jax and Python."""

    def f(x):
        raise (RuntimeError if "infer" in text else TypeError)(text)

    for call in (grad(f), compile(f)):
        with pytest.raises((TypeError, RuntimeError)) as caught:
            call([1.0])
        assert advice in "\n".join([str(caught.value), *getattr(caught.value, "__notes__", ())])


def test_errors_of_numpy_come_with_what_to_write_in_derivatives_too():
    with pytest.raises(TypeError) as caught:
        grad(lambda x: np.signbit(x).sum() * x[0])(A)
    assert "write x != x for nan" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("f", "advice"),
    [
        (
            lambda x: np.float_power(x, 2.0).sum(),
            r"of Values: for each Value x of an array write x \*\* y$",
        ),
        (lambda x: np.heaviside(x, 0.5).sum(), r"write x\.step\(\)"),
        (lambda x: np.divmod(x, 2.0)[1].sum(), r"write floor\(x / y\) and x % y"),
        (lambda x: pytest.importorskip("scipy.special").expit(x).sum(), r"write x\.sigmoid\(\)"),
        (lambda x: pytest.importorskip("scipy.special").logsumexp(x), r"write micrograd_cn\.logsumexp\(xs\)"),
    ],
)
def test_functions_without_an_operation_come_with_what_to_write(f, advice):
    for run in (grad(f), compile(f)):
        with pytest.raises((TypeError, IndexError)) as caught:
            run(A)
        assert re.search(advice, " ".join(caught.value.__notes__))


def test_a_mask_chooses_elements_of_sums_and_of_copies():
    def copied(x):
        y = x.copy()
        np.copyto(y, 0.0, where=x < 0)
        return (y * y).sum()

    for f in (lambda x: np.sum(x * x, where=x > 0), lambda x: 2 * np.mean(x * x, where=x > 0), copied):
        x = np.array([1.0, -1.0, 3.0])
        assert grad(f)(x).tolist() == [2.0, 0.0, 6.0]
        assert compile(f, branches=True)(x) == 10.0


def test_the_operators_of_bools_are_refused_for_numbers():
    for f in (lambda x, m: x[~m].sum(), lambda x, m: x[m & m].sum(), lambda x, m: np.sum(x * (m | m))):
        with pytest.raises(TypeError, match=r"of an array of numbers; for conditions write comparisons, .*x == 0"):
            compile(f)(A, MASK)


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


@pytest.mark.parametrize(("f", "name"), [(np.maximum, "maximum"), (np.minimum, "minimum")])
def test_the_maximum_of_an_array_is_an_operation_with_a_kink_that_messages_call_by_numpys_name(f, name):
    node = f(np.array([Value(2.0)]).view(ValueArray), 2.0)[0]
    assert node.op.smoothness.kink(2.0, 2.0) == 0.0 != node.op.smoothness.kink(2.0, 1.0)
    assert "the first operand has derivative 1" in node.op.smoothness.convention
    assert (node.op.text("x", "0.0"), node.op.notation.symbol) == (f"np.{name}(x, 0.0)", name)
    check_op(node.op, examples=8)
    with (
        mc.detect_anomaly(),
        pytest.raises(FloatingPointError, match=rf"np_{name}\(x=inf, 2.0\) gave|np_{name}\(x=-inf"),
    ):
        f(np.array([Value(math.inf if name == "maximum" else -math.inf, "x")]).view(ValueArray), 2.0)


DOCUMENTED = {
    "clip": (lambda x: np.clip(x, 1.0, 2.0).sum(), [1.0, 1.0, 1.0]),
    "clip with equal bounds": (lambda x: np.clip(x, 1.0, 1.0).sum(), [1.0, 1.0, 0.0]),
    "clip with one bound": (lambda x: x.clip(max=1.0).sum(), [1.0, 1.0, 0.0]),
    "clip with bounds that are Values": (lambda x: np.clip(x, x[0], x[1]).sum(), [1.0, 2.0, 0.0]),
    "clip with one bound that is a Value": (lambda x: np.clip(x, None, x[0]).sum(), [2.5, 0.5, 0.0]),
    "clip of a Value": (lambda x: np.clip(x[0], 1.0, None) + np.clip(x[1], 0.0, 1.0), [1.0, 1.0, 0.0]),
    "maximum": (lambda x: np.maximum(1.0, x).sum() + 2 * np.maximum(x, 1.0).sum(), [2.0, 2.0, 3.0]),
    "maximum of a Value": (lambda x: np.maximum(x[0], 1.0), [0.5, 0.0, 0.0]),
}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_at_a_tie_arrays_of_all_kinds_have_the_gradient_that_the_documentation_says(name):
    f, expected = DOCUMENTED[name]
    x = np.array([1.0, 1.0, 2.0])
    values = [Value(v) for v in x]
    f(np.array(values)).backward()
    assert [v.grad for v in values] == expected
    assert grad(f)(x).tolist() == compile(grad(f))(x).tolist() == expected


def test_a_maximum_in_another_precision_is_refused():
    x = np.array([Value(0.1), Value(-0.3)]).view(ValueArray)
    assert np.maximum.reduce(x, dtype=float).data == np.max(x).data == 0.1
    with pytest.raises(TypeError, match="would lose its graph"):
        np.maximum.reduce(x, dtype="float32")


@pytest.mark.parametrize("f", [lambda x: x.all(dtype=object), lambda x: np.logical_or.reduce(x, dtype=object)])
def test_an_element_instead_of_a_bool_is_refused(f):
    with pytest.raises(TypeError, match="with dtype=object gives an element instead of a bool; leave dtype out"):
        compile(lambda x: f(x) * x[0])(np.array([2.0, 3.0]))
    assert compile(lambda x: x.all() * x[0])(np.array([2.0, 3.0])) == 2.0


POINTS = np.array([0.5, -1.0, 0.9])
CAUSAL = np.tril(np.ones((3, 3))) > 0
BESIDE_NUMBERS = {
    "maximum": lambda x: np.exp(np.maximum(x, 0)).sum(),
    "clip": lambda x: np.log(np.clip(x, 1e-7, 1 - 1e-7)).sum(),
    "where": lambda x: np.sqrt(np.where(x > 0, x, 4.0)).sum(),
    "pad": lambda x: np.cos(np.pad(x, 1)).sum(),
    "append": lambda x: np.tanh(np.append(x, 1.0)).sum(),
    "concatenate": lambda x: np.arctan(np.concatenate([[1, 2.0], x])).sum(),
    "stack of lists": lambda x: np.expm1(np.stack([x, [1.0, 2.0, 3.0]])).sum(),
    "tril": lambda x: np.sinh(np.tril(np.outer(x, x))).sum(),
    "a mask of attention": lambda x: np.exp(np.where(CAUSAL, np.outer(x, x), -np.inf)).sum(),
    "two operands": lambda x: np.hypot(np.maximum(x, 0), 1.0).sum() + np.arctan2(POINTS, x).sum(),
    "numbers alone": lambda x: np.exp(np.maximum(0, x - 9.0)).sum() + x.sum(),
    "a slice": lambda x: np.log1p(np.maximum(x[:2], 0.0)[::-1].reshape(2, 1)).mean(),
    "a choice and a mean": lambda x: (np.deg2rad(np.maximum(x, 0.25)) * x).mean() + np.var(np.minimum(x, 0.0)),
}


@pytest.mark.parametrize("name", BESIDE_NUMBERS)
def test_functions_of_elements_take_results_in_which_numbers_are_beside_values(name):
    f = BESIDE_NUMBERS[name]
    moved = [0.5e-6 * row for row in np.eye(3)]
    slopes = [(float(f(POINTS + d)) - float(f(POINTS - d))) / 1e-6 for d in moved]
    assert grad(f)(POINTS) == pytest.approx(slopes, rel=1e-6, abs=1e-8)
    assert compile(f).gradient([(POINTS,)])[0] == pytest.approx(slopes, rel=1e-6, abs=1e-8)
    check = grad(lambda x: grad(f)(x) @ np.array([1.0, 2.0, 3.0]))
    ends = [(grad(f)(POINTS + d) - grad(f)(POINTS - d)) / 1e-6 @ np.array([1.0, 2.0, 3.0]) for d in moved]
    assert check(POINTS) == pytest.approx(ends, rel=1e-5, abs=1e-6)
    assert gradcheck(f, POINTS)


@pytest.mark.parametrize("end", ["prepend", "append"])
def test_differences_of_comparisons_take_no_ends(end):
    with pytest.raises(TypeError, match=r"np\.diff\(\) of comparisons takes no .*; write np\.concatenate first"):
        compile(lambda x: np.diff(x > 1, **{end: True}).sum() * x[0], branches=True)(POINTS)


def test_nan_to_num_replaces_nan_and_infinity_in_arguments():
    def f(x):
        return (np.nan_to_num(x, nan=x[1] * 2.0, posinf=5.0) * [1.0, 10.0, 100.0, 1000.0]).sum()

    x = np.array([math.nan, 2.0, math.inf, 0.0])
    assert (compile(f)(x), f(x), grad(f)(x).tolist()) == (524.0, 524.0, [0.0, 12.0, 0.0, 1000.0])
    assert np.array_equal(compile(np.nan_to_num)(-x), np.nan_to_num(-x))
    for wrapper in (compile, grad):
        with pytest.raises(TypeError, match=r"write x = np.nan_to_num\(x\) without copy="):
            wrapper(lambda x: np.nan_to_num(x, copy=False).sum())(x)


@pytest.mark.parametrize("wrapper", [compile, grad])
def test_nan_to_num_replaces_nan_and_infinity_that_the_function_has_put_into_a_copy(wrapper):
    def f(x):
        x = x.copy()
        x[1:3] = math.nan, -math.inf
        return (np.nan_to_num(x, nan=7.0, neginf=-8.0) * [1.0, 10.0, 100.0, 1000.0]).sum()

    expected = {compile: -730.0 + 2000.0, grad: [1.0, 0.0, 0.0, 1000.0]}[wrapper]
    assert np.array_equal(wrapper(f)(np.array([0.0, 1.0, 1.0, 2.0])), expected)


def test_nan_to_num_of_other_arguments_is_refused_in_compiled_functions():
    """numpy makes an array of objects of them, and leaves it as it is, but the plain function has numbers."""
    weight = Value(2.0)

    def indirectly(x):
        return np.nan_to_num(x)

    def compiled(f):
        return compile(lambda x: weight + f(x))

    for f in (np.nan_to_num, indirectly, lambda x: np.nan_to_num([x, x])[0], lambda x: np.nan_to_num(np.array([x]))[0]):
        program = compiled(f)
        for call in (lambda p=program: p(math.nan), lambda p=program: p.forward([(math.nan,)])):
            with pytest.raises(TypeError, match=r"write where\(equal\(x, x\), x, 0\.0\)"):
                call()
        assert sys.getprofile() is None
    assert compile(lambda x: weight * x + np.nan_to_num([1.0, math.nan])[1])(3.0) == 6.0


def test_nan_to_num_of_nan_in_other_arguments_is_refused_in_functions_that_are_differentiated():
    """It gave nan with the derivative 1, while the plain function has the number 0 there."""

    def total(x):
        return np.nan_to_num(np.array(x)).sum() + np.sum([np.nan_to_num(y) for y in x])

    for wrapper in (grad, value_and_grad, jacobian, hessian):
        for bad in (math.nan, math.inf, -math.inf):
            with pytest.raises(TypeError, match=r"write where\(equal\(x, x\), x, 0\.0\)"):
                wrapper(total)([1.0, bad])
            with pytest.raises(TypeError, match=r"write where\(equal\(x, x\), x, 0\.0\)"):
                wrapper(np.nan_to_num)(bad)
    with pytest.raises(TypeError, match=r"write where\(equal\(x, x\), x, 0\.0\)"):
        grad(lambda xs: mc.sum(sorted(xs, key=lambda x: -np.nan_to_num(x))))([1.0, math.nan])
    assert sys.getprofile() is None
    assert (grad(total)([1.0, 2.0]), grad(np.nan_to_num)(3.0)) == ([2.0, 2.0], 1.0)
    assert grad(lambda xs: mc.sum([mc.where(mc.equal(x, x), x, 0.0) for x in xs]))([1.0, math.nan]) == [1.0, 0.0]
    assert grad(lambda x: x * np.nan_to_num([1.0, math.nan])[1])(3.0) == 0.0


def test_sinc_has_the_derivatives_of_its_taylor_series_at_0():
    def derivative(n):
        return (lambda x: np.sinc(x).sum()) if n == 0 else lambda x: grad(derivative(n - 1))(x).sum()

    derived = [float(derivative(n)(np.array([0.0]))) for n in (1, 2, 3, 4)]
    assert derived == pytest.approx([0.0, -(math.pi**2) / 3.0, 0.0, math.pi**4 / 5.0])
    for f in (lambda x: np.sinc(x).sum(), lambda x: np.sinc(x * 1.0).sum()):
        x = np.array([0.0, 0.3, -1.7])
        assert compile(f)(x) == pytest.approx(float(f(x)), rel=1e-14)
        slopes = [(float(f(x + d)) - float(f(x - d))) / 1e-5 for d in 0.5e-5 * np.eye(3)]
        assert grad(f)(x) == pytest.approx(slopes, abs=1e-8)
        assert compile(f).gradient([(x,)])[0] == pytest.approx(slopes, abs=1e-8)


def test_arrays_in_a_structure_take_numbers_too():
    found = grad(lambda p: np.exp(np.maximum(p["w"][0], 0)).sum() * p["b"])({"w": [np.array([1.0, -1.0])], "b": 2.0})
    assert found["w"][0].tolist() == [2.0 * math.e, 0.0]
    assert found["b"] == math.e + 1.0


def test_an_argument_and_a_parameter_share_the_gradient_at_a_tie():
    x = np.array([1.0, 3.0])
    for f in (lambda x: np.maximum(x[0], x).sum(), lambda x: np.maximum(x, x[0]).sum()):
        assert grad(f)(x).tolist() == [1.0, 1.0]


def test_gradcheck_says_what_to_write_for_a_list_of_values_and_numbers():
    with pytest.raises(TypeError, match=r"makes an array of Values and numbers .*: write micrograd_cn.exp\(xs\)"):
        gradcheck(lambda v: np.exp(np.array([v[0], 1.0])).sum(), [0.5])
    assert gradcheck(lambda v: np.sum(mc.exp(np.array([v[0], 1.0]))), [0.5])


def test_a_hinge_loss_whose_margins_all_hold_is_a_value_if_it_is_written_so():
    margins = np.array([Value(2.0), Value(3.0)])
    for f in (lambda s: mc.maximum(0, 1 - s).mean(), lambda s: mc.relu(1 - s).mean()):
        loss = f(margins)
        loss.backward()
        assert (loss.data, margins[0].grad) == (0.0, 0.0)


class Tenfold(np.ndarray):
    """A subclass of numpy's arrays with an operator of its own."""

    def __rmul__(self, other):
        return 10.0 * other * np.asarray(self)


def matrix():
    return np.asmatrix(2.0 * np.eye(3))  # numpy warns of it


MASKED = np.ma.array([1.0, 1.0, 1.0], mask=[0, 1, 0])
FOREIGN = {
    "masked": (lambda v: (v * MASKED).sum(), 4.0, [1, 0, 1]),
    "masked sum": (lambda v: (v + MASKED).sum(), 6.0, [1, 0, 1]),
    "masked function": (lambda v: np.multiply(v, MASKED).sum(), 4.0, [1, 0, 1]),
    "made masked": (lambda v: np.ma.array(v, mask=[0, 1, 0]).sum(), 4.0, [1, 0, 1]),
    "matrix": (lambda v: ((matrix() @ v.reshape(3, 1)).T * (matrix() @ v.reshape(3, 1)))[0, 0], 56.0, [8, 16, 24]),
    "matrix on the right": (lambda v: (v[None, :] * matrix()).sum(), 12.0, [2, 2, 2]),
    "own class": (lambda v: (v * np.ones(3).view(Tenfold)).sum(), 60.0, [10, 10, 10]),
}


@pytest.mark.parametrize(("f", "value", "slopes"), FOREIGN.values(), ids=FOREIGN)
@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_arrays_of_other_subclasses_compute_as_with_a_plain_array(f, value, slopes):
    """A masked array keeps its mask, a matrix multiplies as a matrix, and an operator of another class is called."""
    found, gradient = value_and_grad(f)(np.array([1.0, 2.0, 3.0]))
    assert found == value
    assert gradient.tolist() == slopes
    assert compile(f)(np.array([1.0, 2.0, 3.0])) == value


def test_results_with_other_values_are_plain_arrays():
    """The class that arrays of arguments have inside a function is not seen outside of it."""
    p, x = Value(1.0), np.array([1.0, 2.0])
    arrays = [vjp(lambda v: v * p, x)[0], *jvp(lambda v: v * p, x, x), grad(lambda v: (v * p).sum())(x)]
    assert [type(found) for found in arrays] == [np.ndarray] * 4


@pytest.mark.parametrize("run", [lambda f: grad(f), lambda f: compile(f)], ids=["differentiated", "compiled"])
def test_plain_numbers_from_functions_of_numpy_are_plain_arrays(run):
    found = []

    def f(x):
        found.append(np.argsort(x))
        return (x * x).sum()

    run(f)(np.array([1.0, -2.0]))
    assert {type(order) for order in found} == {np.ndarray}


def test_a_differentiated_function_may_ask_for_nan():
    def f(x):
        assert np.isnan(x).tolist() == [False, True, False]
        assert np.isinf(x).tolist() == [False, False, True]
        return x[np.isfinite(x)].sum()

    assert grad(f)(np.array([1.0, math.nan, math.inf])).tolist() == [1.0, 0.0, 0.0]


def assigned(z):
    z[z == 0] = 9.0
    return z


def placed(z):
    np.place(z, z == 0, [9.0])
    return z


@pytest.mark.filterwarnings("ignore:== of a Value and an equal number")  # which is what this test looks at
@pytest.mark.parametrize(
    "function",
    [
        lambda z: np.where(z == 0, 9.0, z),
        lambda z: np.where(z != 0, z, 9.0),
        lambda z: z[z != 0],
        assigned,
        placed,
        lambda z: np.select([z == 0], [2.0 * z], z),
        lambda z: z * (0.0 in z),
        np.nan_to_num,
    ],
)
def test_elements_that_are_computed_from_parameters_are_not_compared_by_number(function):
    """In the plain function, `==` of two `Value`s goes by identity, also for elements of arrays."""
    weights = np.array([Value(1.0), Value(1.0)])
    x = np.array([0.0, 3.0])
    assert function(x * weights).sum().data in (0.0, 3.0)  # nothing is 9, since no element equals 0
    with pytest.raises(TypeError, match=r"write where\(equal\(x, [xy]\), "):
        compile(lambda x: function(x * weights).sum())(x)


def test_elements_that_stand_for_numbers_are_compared_by_number():
    """These are elements of an argument, and what is computed from them alone, also inside of `grad`."""
    weights = np.array([Value(1.0), Value(2.0)])
    x = np.array([0.0, 3.0])

    def function(x):
        inner = grad(lambda t: np.where(t * 2 == 0, 9.0, t * t).sum())(x)
        z = x * weights
        return (
            np.where(x * 2 == 6, z, 1.0) + inner + mc.where(mc.equal(z, 0.0), 9.0, z) + np.where(z != z, 5.0, z)
        ).sum()

    assert compile(function)(x) == function(x).data


@pytest.mark.parametrize("wrapper", [compile, grad])
def test_the_order_of_an_argument_in_memory_is_refused(wrapper):
    """An argument may be transposed, and the array in its place is not, so the numbers would be exchanged."""
    x, weights = np.array([[1.0, 2.0], [3.0, 4.0]]).T, np.arange(4.0)

    def plain(x):
        return x.ravel() @ weights

    asking = (
        *(lambda x: x.ravel("K"), lambda x: x.flatten(order="A"), lambda x: x.reshape(-1, order="A")),
        *(lambda x: np.ravel(x + 1.0, order="K"), lambda x: np.reshape(x, 4, order="A")),
    )
    for flat in asking:
        with pytest.raises(ValueError, match=r"write x\.(ravel|flatten|reshape)\(.*'\), or 'F'") as caught:
            wrapper(lambda x, flat=flat: flat(x) @ weights)(x)
        write = str(caught.value).partition("; write ")[2].partition(", or 'F'")[0]
        assert np.all(wrapper(lambda x, write=write: eval(write, {"x": x}) @ weights)(x) == wrapper(plain)(x))
    for flat in (lambda x: x.ravel(), lambda x: x.flatten("F"), lambda x: x.reshape(-1), lambda x: x[0].ravel("K")):
        asked = wrapper(lambda x, flat=flat: (flat(x) * weights[: flat(x).size]).sum())
        assert np.all(asked(x) == asked(x.copy(order="C")))
