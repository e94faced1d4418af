"""Inside `no_grad()`, no statement puts constants in the place of the leaves in an array without a word."""

import functools
import math
import operator
import re
import sys
import types
import warnings
import weakref
from contextlib import nullcontext

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value, compiler, functional, no_grad, quick
from micrograd_cn.graph import array_updates
from micrograd_cn.graph.callers import local_variables
from micrograd_cn.module import Module


@pytest.fixture(params=[True, False], ids=["quick", "plain"], autouse=True)
def engine(request):
    twins = quick.QUICK if request.param else quick.PLAIN
    before = {name: vars(Value).get(name, quick.PLAIN[name]) for name in twins}
    quick.install(twins)
    yield
    quick.install(before)


def divide_by_norm(w, k):
    w /= np.linalg.norm(w)


def subtract_mean(w, k):
    w -= w.mean()


def subtract_largest(w, k):
    w -= max(w.flat)


def multiply_by_leaf(w, k):
    w *= k


def multiply_by_constant(w, k):
    w *= k.detach()


def raise_to_power(w, k):
    w **= k


def reduce_modulo(w, k):
    w %= k


def divide_by_sum(w, k):
    w /= sum(list(w.flat))


def divide_by_deviation(w, k):
    w /= w.std()


def limit_norm(w, k):
    w *= np.minimum(1, 3.0 / np.linalg.norm(w))


def divide_row(w, k):
    w[1] /= np.linalg.norm(w[1])


def center_column(w, k):
    w[:, 0] -= w[:, 0].mean()


STATEMENTS = {
    "/": [divide_by_norm, divide_by_sum, divide_by_deviation, divide_row],
    "-": [subtract_mean, subtract_largest, center_column],
    "*": [multiply_by_leaf, multiply_by_constant, limit_norm],
    "**": [raise_to_power],
    "%": [reduce_modulo],
}
CALLS = {
    "divide": lambda w, k: np.divide(w, np.linalg.norm(w), out=w),
    "subtract": lambda w, k: np.subtract(k, w, out=w[:]),
    "add": lambda w, k: np.add.at(w, (0, 1), k),
    "maximum": lambda w, k: np.maximum(w, k, out=w),
    "negative": lambda w, k: np.negative(k, out=w),
    "multiply": lambda w, k: np.multiply(w, k, **{"out": w}),
}


def leaves():
    return np.array([[Value(1.0), Value(2.0)], [Value(3.0), Value(5.0)]])


def assert_refused(change, message):
    """The error comes with the statement, or when the block ends."""
    w, k = leaves(), Value(2.0)
    before = [*w.flat]
    for _ in range(2):
        with pytest.raises(TypeError, match=message), no_grad():
            change(w, k)
    assert all(a is b for a, b in zip(w.flat, before, strict=True))
    change(w, k)
    assert any(a is not b for a, b in zip(w.flat, before, strict=True)), "outside no_grad() it makes a graph"


@pytest.mark.parametrize(("sign", "change"), [(sign, f) for sign, fs in STATEMENTS.items() for f in fs])
def test_a_statement_with_one_value_on_the_right_leaves_no_constants_in_an_array_of_leaves(sign, change):
    what = f"W {sign}= g inside no_grad(), where W is an array of leaves and g a Value, would replace them by constants"
    instead = f"write c = g.data first, and then for w in W.flat: w.data {sign}= c to change the leaves"
    assert_refused(change, re.escape(f"{what}: {instead}"))


@pytest.mark.parametrize("function", CALLS)
def test_a_function_with_one_value_leaves_no_constants_in_an_array_of_leaves(function):
    assert_refused(CALLS[function], rf"np\.{function}\(\) would replace the leaves in an array W by constants")


def through_partial(w, k):
    functools.partial(np.exp, out=w)(w)


def in_a_slice(w, k):
    w[:] = 0.9 * w


def later(w, k):
    new = 0.9 * w
    w[...] = new


def by_a_list(w, k):
    w[:] = np.array([0.9 * x for x in w.flat]).reshape(2, 2)


def by_builtins(w, k):
    w[...] = abs(w)


def by_powers(w, k):
    w[0, 0] = pow(w[0, 0], 2)


def by_rows(w, k):
    w[0] = [sum(x * y for y in w[1]) for x in w[0]]


MATRIX = np.array([[1.0, 2.0], [3.0, 4.0]])
FILLING = {
    "exp": lambda w, k: np.exp(w, out=w),
    "negative, by position": lambda w, k: np.negative(w, w),
    "sum": lambda w, k: np.sum(w, axis=0, out=w[0]),
    "sum, a method": lambda w, k: w.sum(axis=0, out=w[0]),
    "mean": lambda w, k: np.mean(w, axis=0, out=w[0]),
    "mean, by position": lambda w, k: np.mean(w, 0, None, w[0]),
    "cumsum": lambda w, k: np.cumsum(w, axis=0, out=w),
    "einsum": lambda w, k: np.einsum("ij->j", w, out=w[1]),
    "outer": lambda w, k: np.outer(w[0].copy(), [1.0, 2.0], w),
    "degrees": lambda w, k: np.degrees(w, out=w),
    "radians": lambda w, k: np.radians(w, out=w),
    "exp2": lambda w, k: np.exp2(w, out=w),
    "sign": lambda w, k: np.sign(w, out=w),
    "ceil": lambda w, k: np.ceil(w, out=w),
    "hypot": lambda w, k: np.hypot(w, MATRIX, out=w),
    "arctan2": lambda w, k: np.arctan2(w, MATRIX, out=w),
    "clip": lambda w, k: np.clip(w, -2.5, 2.5, out=w),
    "maximum": lambda w, k: np.maximum(w, 2.5, out=w),
    "in two steps": lambda w, k: np.exp(np.abs(w), out=w),
    "a tuple": lambda w, k: np.exp(w, out=(w,)),
    "another shape": lambda w, k: np.exp(w.reshape(-1), out=w.reshape(-1)),
    "options": lambda w, k: np.exp(w, **{"out": w}),
    "partial": through_partial,
    "dot": lambda w, k: np.dot(MATRIX, w, out=w),
    "matmul": lambda w, k: np.matmul(w, MATRIX, out=w),
    "copyto": lambda w, k: np.copyto(w, w - 0.5),
    "isub": lambda w, k: operator.isub(w, 0.5),
    **{"a slice": in_a_slice, "a slice, later": later, "a slice of a list": by_a_list},
    **{"abs": by_builtins, "pow": by_powers, "sum": by_rows},
    "an operator": lambda w, k: np.exp(w * 0.5, out=w),
    "abs of Python": lambda w, k: np.exp(abs(w), out=w),
}


@pytest.mark.parametrize("function", FILLING)
def test_a_function_that_computes_with_leaves_puts_no_constants_in_an_array_of_leaves(function):
    message = r"replaced the leaves in the array w, .* put back: .* write for w, y in zip\(w\.flat, Y\.flat\)"
    assert_refused(FILLING[function], message)


class Weights:
    """An object with an array of leaves, and with leaves of its own."""

    def __init__(self):
        self.w, self.a, self.b = leaves(), Value(1.0), Value(2.0)


def test_the_error_names_the_array_wherever_it_is():
    layers, by_name = [Weights()], {"w": leaves()}
    with pytest.raises(TypeError, match=r"the array layers\[0\]\.w, which"), no_grad():
        np.exp(layers[0].w, out=layers[0].w)
    with pytest.raises(TypeError, match=r"the array by_name\['w'\], which"), no_grad():
        np.exp(by_name["w"], out=by_name["w"])
    assert isinstance(layers[0], Weights)


def test_results_may_go_into_a_copy_of_an_array_of_leaves_or_of_attributes():
    w, held = leaves(), Weights()
    with no_grad():
        for leaf in (w, held.w, np.array([held.a, held.b])):
            copied = leaf.copy()
            np.tanh(copied, out=copied)
            copied[:] = 0.5 * copied
            assert [x.data for x in copied.flat] == [0.5 * math.tanh(x.data) for x in leaf.flat]


def test_an_error_in_the_block_is_not_hidden_and_the_leaves_are_put_back():
    def fails(w):
        np.exp(w, out=w)
        raise KeyError

    w = leaves()
    before = [*w.flat]
    with pytest.raises(KeyError), no_grad():
        fails(w)
    assert all(a is b for a, b in zip(w.flat, before, strict=True))


def test_a_decorated_function_and_an_outer_block_are_looked_at_too():
    w = leaves()

    @no_grad()
    def shrink(w):
        np.multiply(w, 0.5, out=w)

    with pytest.raises(TypeError, match="the array w, which"):
        shrink(w)


def test_a_block_in_a_block_leaves_the_outer_one_as_it_is():
    def change(w):
        np.exp(w, out=w)
        with no_grad():
            np.exp(w * 1.0)

    w = leaves()
    with pytest.raises(TypeError, match="the array w, which"), no_grad():
        change(w)
    assert w[0, 0].data == 1.0


def matrix_product(w, k):
    w @= np.eye(2) + 1.0


def test_the_error_for_a_matrix_product_names_it_and_says_what_computes_it():
    assert_refused(matrix_product, r"W @= G inside no_grad\(\), .*: write Y = W @ G, and then for w, y in zip")
    w = leaves()
    with no_grad():
        for x, y in zip(w.flat, (w @ (np.eye(2) + 1.0)).flat, strict=True):
            x.data = y.data
    assert [x.data for x in w.flat] == [4.0, 5.0, 11.0, 13.0]


def test_an_array_of_leaves_that_a_function_only_reads_is_no_place_for_results():
    """The third argument of these functions is an operand."""
    w = leaves()
    with no_grad():
        assert [x.data for x in functools.reduce(operator.add, [1.0, 2.0], w[0])] == [4.0, 5.0]
        assert [x.data for x in np.einsum("ij,j->i", w, w[0])] == [5.0, 13.0]
        assert [x.data for x in np.linalg.multi_dot([w, w, w[0]])] == [31.0, 80.0]


def test_variables_are_looked_through_once_for_a_call_and_not_for_each_element(monkeypatch):
    """Else a function of n leaves would take quadratic time."""
    asked = []
    has_leaves = array_updates._has_leaves
    monkeypatch.setattr(array_updates, "_has_leaves", lambda array: asked.append(array) or has_leaves(array))
    weights, results = np.array([Value(float(i)) for i in range(100)]), np.empty(100, object)
    with no_grad():
        np.exp(weights, out=results)
    assert len(asked) == 2
    results[-1] = last = Value(1.0)  # a leaf that comes into the array later is found, too
    with pytest.raises(TypeError, match="constants replaced"), no_grad():
        np.exp(weights, out=results)
    assert results[-1] is last
    assert len(asked) == 6, "once more, for arrays that still have the leaves"


def test_variables_are_not_looked_through_for_functions_that_put_results_into_no_array(monkeypatch):
    """Else each `no_grad()` block of a program that evaluates a model would take as long as the search."""
    monkeypatch.setattr(array_updates.Remembered, "look", lambda *_: pytest.fail("looks through variables"))
    weights = leaves()
    with no_grad():
        found = sum(x * 2.0 for x in weights.flat)
        largest = max(weights.flat, key=lambda x: -x)
    assert (found.data, largest) == (2.0 * sum(x.data for x in weights.flat), weights[0, 0])


def test_lists_of_data_are_not_looked_through(monkeypatch):
    asked = []
    search_as = array_updates._search_as
    monkeypatch.setattr(array_updates, "_search_as", lambda cls: asked.append(cls) or search_as(cls))
    weights, results = leaves(), np.empty((2, 2), object)
    rows = [[float(i)] for i in range(200)]
    with no_grad():
        np.exp(weights, out=results)
    assert len(asked) < len(rows)


def test_what_the_error_says_to_write_changes_the_leaves():
    w = leaves()
    before = [*w.flat]
    with no_grad():
        c = np.linalg.norm(w).data
        for x in w.flat:
            x.data /= c
    assert all(a is b for a, b in zip(w.flat, before, strict=True))
    assert np.linalg.norm(w).data == pytest.approx(1.0)


def test_an_array_without_leaves_takes_results_inside_no_grad():
    k = Value(2.0)
    with no_grad():
        results, floats, new = leaves() * 1.0, np.array([1.0, 2.0], dtype=object), np.empty(2, dtype=object)
        results *= k
        floats *= k
        np.multiply([3.0, 4.0], k, out=new)
    assert [[x.data for x in row] for row in (*results, floats, new)] == [
        [2.0, 4.0],
        [6.0, 10.0],
        [2.0, 4.0],
        [6.0, 8.0],
    ]


def test_numpys_own_arrays_take_results_inside_no_grad():
    """The sum of one number is this number, so `np.mean` divides an array of the leaves themselves."""
    w = leaves()[:, :1]
    with no_grad():
        assert [x.data for x in w.mean(axis=1)] == [1.0, 3.0]
        assert [x.data for x in np.nanmean(w, axis=1)] == [1.0, 3.0]
        assert [x.data for x in w.var(axis=1)] == [0.0, 0.0]
    with pytest.raises(TypeError, match="constants replaced the leaves in the array w"), no_grad():
        np.mean(w, axis=1, out=w[:, 0])


def horner(x, coefficients):
    y = 0.0
    for c in reversed(coefficients):
        y *= x
        y += c
    return y


def all_operators(w):
    a, b, c, d, e, f = 1, 1.0, np.float64(2.0), 3, 2.0, 7.0
    a *= w
    b -= w
    c += w
    d /= w
    e **= w
    f %= w
    return [a, b, c, d, e, f]


def items(w):
    totals, losses = [0.0, 1], {"l": 0.0}
    totals[1] += w
    losses["l"] += w
    return [totals[1], losses["l"]]


def sum_of_rows(rows):
    total = 0
    for row in rows:
        total += row
    return total


def sum_in_array(b):
    out = np.zeros(2, dtype=object)
    out += b
    out += b
    return out


def test_a_plain_number_on_the_left_is_no_leaf():
    """The name on the left gets the result, as outside `no_grad()` and in PyTorch. No leaf is replaced."""
    w = leaves()
    before = [*w.flat]
    k = w[0, 1]
    coefficients = [Value(1.0), Value(2.0), Value(3.0)]
    with no_grad():
        assert horner(2.0, coefficients).data == 17.0
        assert [x.data for x in all_operators(k)] == [2.0, -1.0, 4.0, 1.5, 4.0, 1.0]
        assert [x.data for x in items(k)] == [3.0, 2.0]
        assert [x.data for x in sum_of_rows(w)] == [4.0, 7.0]
        assert [x.data for x in sum_in_array(w[1])] == [6.0, 10.0]
        assert not sum_of_rows(w)[0].requires_grad
    assert all(a is b for a, b in zip(w.flat, before, strict=True))
    assert [x.data for x in before] == [1.0, 2.0, 3.0, 5.0]


def test_a_plain_number_on_the_left_is_no_leaf_in_functions_that_are_differentiated_or_compiled():
    coefficients = [Value(1.0), Value(2.0), Value(3.0)]

    def f(x):
        with no_grad():
            y = 0.5
            y += coefficients[1]
            y *= x
        return x * y

    assert functional.grad(f)(3.0) == 7.5
    assert compiler.compile(f)(3.0) == 22.5


def test_a_compiled_function_replaces_no_leaves_and_may_not_change_the_array_of_its_argument():
    w = leaves()[0]
    before = [*w]

    def centered(x):
        with no_grad():
            x -= x.mean()
        return (x * w).sum()

    def decayed(x):
        with no_grad():
            w[:] -= x
        return (x * w).sum()

    with pytest.raises(TypeError, match=r"changes its argument x, .*; write x = x\.copy\(\)"):
        compiler.compile(centered)(np.array([1.0, 3.0]))
    with pytest.raises(TypeError, match="would replace"):
        compiler.compile(decayed)(np.array([1.0, 3.0]))
    assert all(a is b for a, b in zip(w, before, strict=True))


def test_a_copy_of_arguments_may_be_changed_without_gradients():
    """Inside functional, the elements of such a copy stand for plain numbers, and no parameter is replaced."""

    def f(v):
        with no_grad():
            s = v.copy()
            s /= s.sum()
        return (v * v).sum() + s.sum()

    assert functional.grad(f)(np.array([1.0, 2.0, 3.0])).tolist() == [2.0, 4.0, 6.0]


class Model(Module):
    def __init__(self):
        self.w, self.by_name, self.layers = leaves(), {"w": leaves()}, [leaves()]
        self.later = 0.0

    def reset(self):
        self.w[:] = 0.0


def fill(model):
    model.w.fill(0.0)


def fill_an_item(model):
    model.w[0, 0] = 0.0


def fill_a_dict(model):
    np.copyto(model.by_name["w"], 1.0)


def fill_a_list(model):
    np.fill_diagonal(model.layers[0], 0.0)


def fill_flat(model):
    model.w.flat = np.zeros(4)


def fill_with_softmax(model):
    model.w[0] = mc.softmax(model.w[0])


def call_a_method(model):
    model.reset()


def call_a_function(model):
    fill(model)


def fill_what_came_later(model):
    model.later.fill(0.0)


IN_MODELS = [
    *(fill, fill_an_item, fill_a_dict, fill_a_list, fill_flat, fill_with_softmax, call_a_method, call_a_function),
    fill_what_came_later,
]


@pytest.mark.parametrize("function", IN_MODELS)
@pytest.mark.parametrize("decorated", [False, True])
def test_an_array_of_a_model_is_filled_with_no_numbers(function, decorated):
    model = Model()
    model.later = leaves()
    before = model.parameters()
    message = r"constants replaced the leaves in the array model\.\w+"
    with pytest.raises(TypeError, match=message), nullcontext() if decorated else no_grad():
        (no_grad()(function) if decorated else function)(model)
    assert model.parameters() == before


FILLING_STATEMENTS = [
    *("model.w.flat = zeros", "model.w[0, 0] = 0.0", "model.w[:] = 0.0", "model.w[0][:] = 0.0", "model.w.fill(0.0)"),
    *("np.copyto(model.w, 0.0)", "np.put(model.w, [1], 0.0)", "np.exp(zeros, out=model.w)", "model.reset()"),
    *("fill(model)", "(lambda: fill(model))()", "[fill(m) for m in [model]]"),
]


@pytest.mark.parametrize("statement", FILLING_STATEMENTS)
def test_code_that_fills_an_array_of_a_model_is_recognised_by_this_statement_alone(statement):
    """Nothing else in the block, such as a local variable that is a function, could be why the arrays are compared."""
    model = Model()
    before = model.parameters()
    names = {"np": np, "no_grad": no_grad, "model": model, "fill": fill, "zeros": np.zeros((2, 2))}
    with pytest.raises(TypeError, match=r"constants replaced the leaves in the array model\.w,"):
        exec(f"with no_grad():\n    {statement}", names)
    assert model.parameters() == before


class Bare(Module):
    def __init__(self):
        self.b, self.later, self.rows = Value(1.0), 0.0, [0.0]

    def reset(self, name):
        held = getattr(self, name)
        (held[0] if isinstance(held, list) else held)[:] = 0.0


@pytest.mark.parametrize("new", [leaves, lambda: [leaves()]])
@pytest.mark.parametrize("name", ["later", "rows", "new"])
def test_the_first_arrays_of_a_model_are_looked_at_before_its_parameters_are_listed(name, new):
    """Whether an attribute is new or had no parameters before."""
    model = Bare()
    setattr(model, name, new())
    with pytest.raises(TypeError, match=rf"in the array model\.{name}"), no_grad():
        model.reset(name)


def test_the_arrays_of_a_model_are_looked_at_when_another_model_is_gone():
    model, other = Model(), Model()
    assert len(model.parameters()) == len(other.parameters())
    del other
    with pytest.raises(TypeError, match=r"in the array model\.w"), no_grad():
        call_a_function(model)


def test_an_array_of_a_model_that_was_filled_before_the_block_is_not_said_to_be_filled_in_it():
    model, w = Model(), leaves()
    model.w[:] = 0.0
    with (
        pytest.raises(TypeError, match=r"^inside this no_grad\(\) block or before it, .* in the array model\.w,"),
        no_grad(),
    ):
        w.flat[0].data = 1.0
    with pytest.raises(TypeError, match=r"^inside this no_grad\(\) block, .* in the array w,"), no_grad():
        w[:] = mc.tanh(w)


def test_an_array_of_a_model_may_get_other_leaves_and_its_numbers_may_change():
    model = Model()
    with no_grad():
        model.w[0, 0] = Value(5.0)
        model.w[0, 1] = Value(6.0, requires_grad=False)
        for w in model.w[1]:
            w.data = 0.0
        model.by_name["w"] = np.zeros(2)
        model.w = leaves()
    assert len(Model().parameters()) == 12


def test_an_array_in_a_list_may_be_replaced_by_leaves_and_not_by_numbers():
    model = Model()
    model.layers[0] = leaves()
    assert len(model.parameters()) == 12
    model.layers[0] = np.ones(4)
    with pytest.raises(
        TypeError, match=r"Model\.layers\[0\] is an array of numbers, .* zip\(model\.layers\[0\]\.flat, new"
    ):
        model.parameters()


def test_an_operation_of_this_package_puts_no_constants_in_an_array_of_leaves():
    w = leaves()
    with pytest.raises(TypeError, match="in the array w, which"), no_grad():
        w[:] = mc.tanh(w)


def does_nothing(model, xs):
    pass


def computes_in_a_block(model, xs):
    with no_grad():
        ys = np.multiply(model.w, 2.0)
        ys[0] = 0.0


def compares(model, xs):
    np.sort(xs)


def replaces_a_parameter(model, xs):
    model.b = Value(1.0)
    state = model.b
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.b = state * 2.0


class Large:
    pass


@pytest.mark.parametrize("work", [does_nothing, computes_in_a_block, compares, replaces_a_parameter])
def test_no_object_lives_longer_than_its_variable(work, monkeypatch):
    """`frame.f_locals` of CPython 3.11 and 3.12 refers to all variables until the function returns."""
    monkeypatch.setattr(array_updates, "_filling", {})
    monkeypatch.setattr(array_updates, "_kinds", {})

    def f(model, xs):
        large = Large()
        known = weakref.ref(large)
        work(model, xs)
        with no_grad():
            model.w[0, 0].data = 1.0
        del large
        return known()

    assert f(Model(), np.array([Value(2.0), Value(1.0)])) is None


@pytest.mark.parametrize("kind", ["trace", "profile"])
def test_a_trace_function_may_use_a_model(kind):
    """What it leaves in `frame.f_locals` becomes the variables of the function, before CPython 3.13."""
    install, before = getattr(sys, f"set{kind}"), getattr(sys, f"get{kind}")()

    def trace(frame, event, argument):
        local_variables(frame)
        return trace

    def f(x):
        return x

    try:
        install(trace)
        found = f(2.0)
    finally:
        install(before)
    assert found == 2.0


def test_variables_that_a_function_has_made_by_exec_or_keeps_as_locals_stay():
    held = {}

    def f(model, keeps):
        exec("added = 2.0")
        kept = held.setdefault("kept", locals()) if keeps else None
        with no_grad():
            model.w[0, 0].data = 1.0
        return kept, (eval("added") if sys.version_info < (3, 13) else 2.0)

    for keeps in (False, True):
        kept, added = f(Model(), keeps)
        assert added == 2.0
    assert kept["model"]


def test_code_is_read_for_what_fills_arrays_once_and_again_for_more_classes(monkeypatch):
    read, reaches = [], array_updates._reaches_filling
    monkeypatch.setattr(array_updates, "_reaches_filling", lambda code, *xs: read.append(code) or reaches(code, *xs))

    class Clearing:
        def clear(self):
            self.w[0] = 1.0

    def ask(model, classes):
        if model:
            model.clear()
        return array_updates.may_fill_arrays(sys._getframe(), classes)

    assert [ask(None, classes) for classes in ([], [], [Clearing], [Clearing])] == [False, False, True, True]
    assert read.count(ask.__code__) == 2


OTHER_VARIABLES = {
    "an array without leaves": np.zeros(2),
    "another array of leaves": leaves(),
    "an array of other objects": np.array([None]),
    "an empty list": [],
    "a row of numbers": [1.0, 2.0],
    "a long list": [Value(0.0)] * (array_updates.MAX_ITEMS + 1),
    "an object": types.SimpleNamespace(x=1.0),
    "lists in lists": [[[[[[[[Value(0.0)]]]]]]]],
    "the same list twice": [SHARED := [Value(0.0)], SHARED],
}


@pytest.mark.parametrize("other", OTHER_VARIABLES.values(), ids=OTHER_VARIABLES)
@pytest.mark.parametrize("order", [1, -1])
def test_an_array_of_leaves_is_found_beside_whatever_else_there_is(other, order):
    held = [leaves(), other][::order]
    place = int(order < 0)
    with pytest.raises(TypeError, match=rf"the array held\[{place}\], which"), no_grad():
        np.exp(held[place], out=held[place])
