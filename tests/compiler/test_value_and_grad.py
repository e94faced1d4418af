"""`value_and_grad` gives what `backward` gives, as arrays, for parameters and for arguments, and changes no grad."""

import functools
import sys
from collections import OrderedDict, namedtuple

import numpy as np
import pytest

from micrograd_cn import Value, dot, exp, gradients, less, relu, sqrt, take, tanh, where
from micrograd_cn import sum as add_up
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.function.array_calls import ArrayCalls
from micrograd_cn.compiler.function.variables import GradientVariables
from micrograd_cn.compiler.runtime import prepared
from micrograd_cn.compiler.runtime.arrays import ArrayRunner
from micrograd_cn.compiler.runtime.executable import MAX_PARTS
from micrograd_cn.functional import grad, value_and_grad
from micrograd_cn.losses import cross_entropy
from micrograd_cn.nn import MLP
from micrograd_cn.ops.number import number
from micrograd_cn.optim import SGD
from micrograd_cn.parameters.tree import flatten

from .common import PREPARED_AT_ONCE, settings


@pytest.fixture(autouse=True)
def _prepared():
    """Prepare calls with arrays of a shape that was seen in the call before."""
    with settings(PREPARED_AT_ONCE):
        yield


RANDOM = np.random.default_rng(3)
X, Y = RANDOM.standard_normal((7, 3)), RANDOM.standard_normal(7)
AS_LISTS = [(x.tolist(), float(y)) for x, y in zip(X, Y, strict=True)]


def made():
    model = MLP(3, [4, 1], activation="tanh", seed=0)
    return model, compile(lambda x, y: (model(x) - y) ** 2)


def by_backward(model, f, samples):
    """Return the mean and its gradient in the order of the model's parameters, from `backward`."""
    for p in model.parameters():
        p.grad = 0.0
    mean = f.backward(samples)
    return mean, [p.grad for p in model.parameters()]


@pytest.mark.parametrize("samples", [(X, Y), AS_LISTS], ids=["arrays", "lists"])
def test_the_mean_and_its_gradient_are_those_of_backward(samples):
    model, f = made()
    mean, expected = by_backward(model, f, samples)
    for _ in range(3):  # arrays of a shape that was seen before take another way
        value, gradient = f.value_and_grad(samples)
        assert value == mean
        assert [*gradient] == [p.grad for p in f.parameters]
        assert isinstance(gradient, np.ndarray) == (samples[0] is X)
    assert [*f.value_and_grad(samples, model.parameters())[1]] == expected
    weight, bias = model.parameters()[0], model.parameters()[-1]
    other = model.parameters()[3]
    nested = f.value_and_grad(samples, {"w": [weight, (bias,)], "b": np.array([other])})[1]
    assert nested == {"w": [weight.grad, (bias.grad,)], "b": np.array([other.grad])}
    array = np.array([[bias, weight]])
    assert f.value_and_grad(samples, array)[1].tolist() == [[bias.grad, weight.grad]]
    assert [p.grad for p in model.parameters()] == expected


def test_a_parameter_that_only_samples_of_another_structure_have_has_the_derivative_0():
    w, v = Value(2.0), Value(3.0)
    f = compile(lambda x: x[0] * w if len(x) == 1 else x[0] * v)
    narrow, wide = np.ones((4, 1)), np.ones((4, 2))
    for samples in (narrow, narrow, wide):  # the calls with the narrow array are prepared before v is known
        f.value_and_grad(samples)
    for requires_grad in (True, True, False, False):
        v.requires_grad = requires_grad
        mean, gradient = f.value_and_grad(narrow)
        assert (mean, type(gradient), gradient.tolist()) == (2.0, np.ndarray, [1.0, 0.0])
    v.requires_grad = True
    for _ in range(3):
        mean, gradient = f.value_and_grad(wide)
        assert (mean, gradient.tolist()) == (3.0, [0.0, 1.0])


@pytest.mark.parametrize("samples", [(X, Y), AS_LISTS], ids=["arrays", "lists"])
def test_each_sample_has_its_value_and_its_gradient(samples):
    model, f = made()
    for _ in range(2):
        values, gradients = f.value_and_grad(samples, model.parameters(), each=True)
        assert np.shape(gradients) == (7, len(model.parameters()))
        for sample, value, gradient in zip(AS_LISTS, values, gradients, strict=True):
            mean, expected = by_backward(model, f, [sample])
            assert value == pytest.approx(mean, rel=1e-13)
            assert [*gradient] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("samples", [(X, Y), AS_LISTS], ids=["arrays", "lists"])
def test_gradients_of_arguments_are_nested_as_the_arguments_are(samples):
    _, f = made()
    values, (xs, ys) = f.value_and_grad(samples, ("x", "y"), each=True)
    assert [*values] == pytest.approx([*f.forward(samples)])
    assert np.hstack([xs, np.reshape(ys, (7, 1))]) == pytest.approx(np.array(f.gradient(samples)))
    assert np.array(f.value_and_grad(samples, ["y", "x"], each=True)[1][1]).tolist() == np.array(xs).tolist()
    mean, gradient = f.value_and_grad(samples, "y")
    assert mean == pytest.approx(np.mean(values))
    assert np.array(gradient) * 7 == pytest.approx(np.array(ys))
    assert np.array(f.value_and_grad(samples, "inputs", each=True)[1]) == pytest.approx(np.array(f.gradient(samples)))


def test_arguments_of_any_nesting():
    f = compile(lambda p, s=1.0: s * p["w"][0, 1] * p["b"] + p["w"][1, 0])
    samples = [({"w": np.array([[1.0, 2.0], [3.0, 4.0]]), "b": 5.0}, 2.0), ({"w": np.ones((2, 2)), "b": 1.0}, 1.0)]
    values, gradients = f.value_and_grad(samples, "p", each=True)
    assert values == [23.0, 2.0]
    assert gradients[0]["w"].tolist() == [[0.0, 10.0], [1.0, 0.0]]
    assert gradients[0]["w"].dtype == float
    assert [g["b"] for g in gradients] == [4.0, 1.0]


def test_functions_with_branches_and_samples_of_several_structures():
    w = Value(2.0)
    f = compile(lambda xs: w * sum(xs) if xs[0] > 0 else w * w * xs[0], branches=True)
    samples = [([1.0, 2.0],), ([-1.0],), ([-3.0, 1.0],), ([4.0],)]
    for _ in range(2):
        w.grad = 0.0
        mean = f.backward(samples)
        assert f.value_and_grad(samples) == (pytest.approx(mean), [pytest.approx(w.grad)])
    values, gradients = f.value_and_grad(samples, "xs", each=True)
    assert values == [6.0, -4.0, -12.0, 8.0]
    assert gradients == [[2.0, 2.0], [4.0], [4.0, 0.0], [2.0]]
    column = np.array([1.0, -1.0, 2.0])
    g = compile(lambda x: w * x if x > 0 else w * w * x, branches=True)
    for _ in range(3):
        values, gradients = g.value_and_grad(column, each=True)
        assert values.tolist() == [2.0, -4.0, 4.0]
        assert gradients.tolist() == [[1.0], [-4.0], [2.0]]


def test_auxiliary_results():
    model, f = made()
    g = compile(lambda x, y: ((model(x) - y) ** 2, {"prediction": model(x), "first": [x[0]]}))
    for samples in ((X, Y), AS_LISTS):
        (value, aux), gradient = g.value_and_grad(samples, model.parameters(), has_aux=True)
        assert value == f.value_and_grad(samples)[0]
        assert [*gradient] == [*f.value_and_grad(samples, model.parameters())[1]]
        predictions = compile(lambda x: model(x)).forward([(x,) for x, _ in AS_LISTS])
        assert [a["prediction"] for a in aux] == pytest.approx(predictions)
        assert [a["first"] for a in aux] == [[x[0]] for x, _ in AS_LISTS]
    (values, aux), gradients = g.value_and_grad((X, Y), "x", each=True, has_aux=True)
    assert np.shape(gradients) == (7, 3)
    assert len(values) == len(aux) == 7
    with pytest.raises(TypeError, match="returns a pair"):
        f.value_and_grad((X, Y), has_aux=True)


def test_the_functional_has_auxiliary_results_too_and_is_compiled():
    def f(p, scale):
        y = sum(scale * x * x for x in p["w"]) * p["b"]
        return y, {"y": tanh(y), "count": 2}

    arguments = {"w": np.array([1.0, 2.0]), "b": 3.0}, 0.5
    for g in (value_and_grad(f, has_aux=True), compile(value_and_grad(f, has_aux=True))):
        (value, aux), gradient = g(*arguments)
        assert (value, aux["count"], gradient["b"]) == (7.5, 2, 2.5)
        assert aux["y"] == pytest.approx(np.tanh(7.5))
        assert gradient["w"].tolist() == [3.0, 6.0]
    with pytest.raises(TypeError, match="pair"):
        value_and_grad(lambda x: x * x, has_aux=True)(1.0)


def test_scipy_takes_such_functions():
    optimize = pytest.importorskip("scipy.optimize")
    fun = compile(value_and_grad(lambda v: (v[0] - 1) ** 2 + (v[1] + v[0]) ** 2))
    assert optimize.minimize(fun, [0.0, 0.0], jac=True).x == pytest.approx([1.0, -1.0], abs=1e-4)


def test_a_program_has_it_too():
    x, w, v = Value(1), Value(3), Value(2)
    program = compile(w * x**2 + v, [x])
    for rows in ([[1], [2]], np.array([[1.0], [2.0]])):
        for _ in range(3):
            mean, gradient = program.value_and_grad(rows)
            assert (mean, [*gradient]) == (9.5, [2.5, 1.0])
        assert [*program.value_and_grad(rows, [v, w])[1]] == [1.0, 2.5]
        assert np.array(program.value_and_grad(rows, "inputs")[1]).tolist() == [[3.0], [6.0]]
        values, gradients = program.value_and_grad(rows, [v, w], each=True)
        assert [*values] == [5.0, 14.0]
        assert np.array(gradients).tolist() == [[1.0, 1.0], [1.0, 4.0]]
    assert (w.grad, v.grad) == (0.0, 0.0)
    with pytest.raises(ValueError, match="inputs and parameters"):
        program.value_and_grad([[1]], [x, w])
    assert program.value_and_grad([[2]], [x, w], each=True) == ([14.0], [[12.0, 4.0]])


def test_a_program_without_inputs_has_no_derivatives_with_respect_to_inputs():
    w = Value(3.0)
    program = compile(w * w, inputs=[])
    assert (
        program.value_and_grad([[]], "inputs") == (9.0, [[]]) == compile(lambda: w * w).value_and_grad([()], "inputs")
    )
    assert program.value_and_grad([[]], "inputs", each=True) == ([9.0], [[]])
    assert program.value_and_grad([[]], []) == (9.0, [])
    assert program.value_and_grad([[]]) == program.value_and_grad([[]], iter([w])) == (9.0, [6.0])


def test_what_is_wrong_says_what_to_write():
    model, f = made()
    for wrt, error, message in (
        ("z", ValueError, "some of 'x', 'y'"),
        (("x", "z"), ValueError, "no argument 'z'"),
        ([3], TypeError, r"wrt\[0\] is int 3"),
        (model, TypeError, r"model.parameters\(\)"),
        ([Value(1.0).exp()], ValueError, "neither an input nor a parameter"),
    ):
        with pytest.raises(error, match=message):
            f.value_and_grad((X, Y), wrt)
    with pytest.raises(ValueError, match="static"):
        compile(lambda x, n: x**n, static=["n"]).value_and_grad([(2.0, 3)], "n")
    with pytest.raises(ValueError, match="no samples"):
        f.value_and_grad([])
    with pytest.raises(RuntimeError, match="no gradient"):
        compile(lambda x: 3.0).value_and_grad([(1.0,)])


def test_arrays_of_a_shape_that_was_seen_are_read_anew_at_each_call():
    """Arrays may change in place, be views, have the numbers of other rows, or another shape again."""
    w = Value(2.0)
    f = compile(lambda x, y: w * x[0] * y + x[1])
    for turn in range(12):
        x = np.asfortranarray(RANDOM.standard_normal((5 + turn % 2, 4)))[:, ::2]
        y = RANDOM.standard_normal(5 + turn % 2)
        if turn % 3 == 0:
            w.data = float(turn)
        expected = w.data * x[:, 0] * y + x[:, 1]
        assert f.forward((x, y)) == pytest.approx(expected)
        assert f(x[1], y[1:2].reshape(())) == pytest.approx(expected[1])
        assert f.gradient((x, y)) == pytest.approx(np.stack([w.data * y, np.ones_like(y), w.data * x[:, 0]], axis=1))
        w.grad = 0.0
        assert f.backward((x, y)) == pytest.approx(expected.mean())
        assert w.grad == pytest.approx((x[:, 0] * y).mean())
        out = np.zeros(len(x))
        assert f.forward((x, y), out=out) is out
        assert out == pytest.approx(expected)
        with pytest.raises(ValueError, match="room for"):
            f.forward((x, y), out=np.zeros(3))
        held = f.forward((x, y))
        before = held.copy()
        f.forward((x + 1, y))
        assert (held == before).all()


NUMBERS_BESIDE_ARRAYS = {
    "finite": (2.0, 3, True, np.float64(0.1), np.float32(0.1), np.int64(-7), np.uint8(200), np.bool_(False), 2**53 + 1),
    "large": (10**300, -(2**1023), 2**1023, float("inf"), float("nan"), np.uint64(2**64 - 1)),
}


@pytest.mark.parametrize("numbers", NUMBERS_BESIDE_ARRAYS.values(), ids=NUMBERS_BESIDE_ARRAYS)
def test_numbers_of_every_type_stand_beside_an_array_at_every_call(numbers):
    w, x = Value(3.0), np.array([0.5, 0.25])
    f = compile(lambda x, y: w * x[0] * y)
    expected = [3.0 * 0.5 * number(y) for y in numbers]
    for _ in range(4):
        assert [f(x, y) for y in numbers] == pytest.approx(expected, rel=0, nan_ok=True)
    for wrong in ("2", None, 1j, Value(1.0), [1.0]):
        with pytest.raises((TypeError, ValueError)):
            f(x, wrong)


def test_arrays_of_a_shape_that_was_seen_are_checked_as_before():
    w = Value(1.0)
    f, x = compile(lambda x: w * x), np.ones(5)
    for _ in range(3):
        f.forward(x)
        f.backward(x)
    constant = Value(2.0, requires_grad=False)
    g = compile(lambda x: constant * w * x)
    for _ in range(3):
        g.forward(x)
        g.backward(x)
    constant.data = 3.0
    for method in (g.forward, g.backward, g.value_and_grad):
        with pytest.raises(ValueError, match="constant of the program"):
            method(x)
    constant.data, constant.requires_grad = 2.0, True
    for method in (g.backward, g.value_and_grad):
        with pytest.raises(ValueError, match="requires a gradient now"):
            method(x)
    table = [Value(0.5), Value(0.25)]
    h = compile(lambda k, z: cross_entropy([table[0] * z, table[1]], k))
    samples, wrong = (np.array([0.0, 1.0]), np.ones(2)), (np.array([0.0, 2.0]), np.ones(2))
    for method in (h.backward, h.gradient, h.value_and_grad):
        for _ in range(3):
            method(samples)
        with pytest.raises(IndexError, match="sample 1"):
            method(wrong)
    guarded = compile(lambda x: w * x if x > 0 else x)
    for _ in range(3):
        assert guarded.forward(x).tolist() == [1.0] * 5
        with pytest.raises(Exception, match="does not hold"):
            guarded.forward(-x)


W = Value(0.7)


def smooth(x, y):
    return (W * x[0, 1]).exp() * y + x[1, 0] * x[1, 0]


def branching(x, y):
    return W * y * x[0, 0] if x[0, 1] > y else x[1, 1] * x[0, 1]


def masked(x, y):  # where y is 0, relu does not select its operand, whose derivative is infinite
    return relu(x[0, 0] * sqrt(y) - 1.0) + x[1, 0] * y


@pytest.mark.parametrize(
    ("f", "wrt"),
    [(smooth, "x"), (smooth, "y"), (smooth, ["y", "x"]), (smooth, "inputs"), (branching, "x"), (masked, ("x", "y"))],
)
def test_prepared_calls_give_the_gradients_of_arguments_in_arrays_as_others_do(f, wrt):
    """Arrays of a shape that was seen before are served without a `Bucket`, and other samples never are."""
    f = compile(f, branches=True)
    for k in range(4):
        W.data = 0.7 + k
        for n in (1, 5):
            x, y = RANDOM.standard_normal((n, 2, 2)), RANDOM.random(n) * (k != 2)
            for each in (True, False):
                values, gradients = f.value_and_grad([*zip(x, y, strict=True)], wrt, each)
                found, of_arrays = f.value_and_grad((x, y), wrt, each)
                # From Python 3.12 on, the mean of a list is rounded once, and that of an array after each addition
                rounding = 0.0 if each else 1e-13
                assert np.asarray(found) == pytest.approx(np.asarray(values), rel=0.0, abs=rounding)
                listed = [(of_arrays, gradients)] if isinstance(wrt, str) else zip(of_arrays, gradients, strict=True)
                for of_array, expected in listed:
                    assert of_array.tolist() == np.array(expected).tolist()
                    of_array[...] = 0.0  # the result of this call alone
    assert any(ready for ready in f._arrays.runners.values())


@pytest.mark.parametrize("others", [(), (np.array([2.0]),), (0.5,), (np.array(0.5), 2.0)])
def test_calls_with_arrays_are_prepared_for_a_function_that_collects_its_arguments(others):
    """A derivative of `functional` has the arguments `*args, **kwargs`; its calls with arrays make no `Bucket`."""

    def plain(x, *others, shift=0.0):
        y = tanh(x[0] * x[1] + shift)
        for k, other in enumerate(others, 1):
            y = y * (k + (other[0] if getattr(other, "shape", ()) else other))
        return y

    derivative = value_and_grad(plain)
    f = compile(derivative)
    for k in range(4):
        x = np.array([0.3 + k, -0.7])
        for given in ((x, *others), (x.tolist(), *others)):
            expected, found = derivative(*given), f(*given)
            assert found[0] == expected[0]
            assert type(found[1]) is type(expected[1])
            assert [*found[1]] == [*expected[1]]
        assert f(x, *others, shift=k)[0] == derivative(x, *others, shift=k)[0]
    product = compile(lambda *xs: xs[0] * xs[-1])
    assert [product(np.array(0.5), 3.0) for _ in range(3)] == [1.5] * 3
    assert all(ready.runner for made in (f, product) for ready in made._arrays.runners.values())
    assert len(f._arrays.runners) == len(product._arrays.runners) == 1


def test_every_call_with_an_array_raises_the_same_error():
    f, constant = compile(lambda x, *, y=1.0: x * y), compile(lambda x: 3.0)
    for _ in range(3):
        f.value_and_grad(np.ones(4), "x")
        with pytest.raises(ValueError, match="wrt has 'y', which is a static argument or not passed"):
            f.value_and_grad(np.ones(4), "y")
        with pytest.raises(RuntimeError, match="which is a constant for these samples"):
            constant.value_and_grad(np.ones(4), "x")


def test_known_variables_are_taken_again_only_if_they_are_the_same():
    w, f = np.array([[Value(2.0), Value(3.0)], [Value(4.0), Value(5.0)]]), Value(7.0)
    loss = compile(lambda x: (w @ x).sum() * x[0] + w[0, 1] * w[1, 0])
    x = np.array([[1.0, 10.0], [2.0, 20.0]])
    slopes = {w[0, 0]: 2.5, w[0, 1]: 29.0, w[1, 0]: 5.5, w[1, 1]: 25.0, f: 0.0}
    nestings = [[w, f], [w.T, f], [w[0], [w[1, 1]]], [w[0], (w[1, 1],)], {"a": [f, w[0, 0]]}, {"b": [f, w[0, 0]]}]
    for nesting in nestings * 4 + nestings:
        for _ in range(2):
            value, found = loss.value_and_grad(x, nesting)
            assert value == 227.0
            leaves, nested = flatten(nesting)
            expected = nested([slopes[p] for _, p in leaves])
            assert repr(found) == repr(expected)
    changing = [w[0, 0], w[1, 1]]
    for _ in range(3):
        assert loss.value_and_grad(x, changing)[1].tolist() == [2.5, 25.0]
    changing[0] = w[0, 1]
    assert loss.value_and_grad(x, changing)[1].tolist() == [29.0, 25.0]
    w[1, 1].requires_grad = False
    with pytest.raises(ValueError, match=r"wrt\[1\].* requires no gradient"):
        loss.value_and_grad(x, changing)
    w[1, 1].requires_grad = True
    assert loss.value_and_grad(x, changing)[1].tolist() == [29.0, 25.0]


def test_calls_that_leave_arguments_to_their_defaults_are_prepared():
    w = Value(2.0)

    def f(x, t, scale=w, shift=1.0):
        return scale * x[0] * t + shift

    compiled, bound = compile(f), compile(functools.partial(f, shift=3.0))
    x, t = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([5.0, 6.0])
    for _ in range(3):
        assert [compiled(x[1], 6.0), bound(x[1], 6.0), compiled([3], 2, 1)] == [37.0, 39.0, 7.0]
        assert compiled.forward((x, t)).tolist() == [11.0, 37.0]
        assert [*compiled.value_and_grad((x, t))[1]] == [11.5]
        assert compiled.value_and_grad((x, t), "t", each=True)[1].tolist() == [2.0, 6.0]
        for wrong in ((x,), (x, t, t, t, t)):
            with pytest.raises(TypeError, match=r"missing a required argument: 't'|too many positional arguments"):
                compiled.forward(wrong)
    assert {method for (method, _), found in compiled._arrays.runners.items() if found} == {
        "call", "forward", "backward", ("t",),
    }  # fmt: skip


@pytest.mark.parametrize("branches", [False, True])
def test_results_that_are_no_numbers_are_nested_alike_in_prepared_calls(branches):
    w = Value(2.0)

    def f(x, t):
        if branches and x[0] > 0.0:
            t = -t
        return {"list": [w * x[0], x[1]], "array": np.array([x[0] * t, x[1]]), "count": 3, "pair": (t, [t * t])}

    compiled = compile(f, branches=branches)
    rng = np.random.default_rng(5)
    for k in range(8):  # a merged program is made after some calls
        w.data = float(k)
        x, t = rng.normal(size=(3, 2)), rng.normal(size=3)
        expected = [compiled(row.tolist(), float(y)) for row, y in zip(x, t, strict=True)]
        assert repr([compiled(row, y) for row, y in zip(x, t, strict=True)]) == repr(expected)
        assert repr([compiled(row, float(y)) for row, y in zip(x, t, strict=True)]) == repr(expected)
        assert repr(compiled.forward((x, t))) == repr(expected)
    ready = {method for (method, _), found in compiled._arrays.runners.items() if found}
    assert ready == {"call", "forward"}


@pytest.mark.parametrize("kind", ["jacobian", "hessian"])
@pytest.mark.parametrize("n", [1, 2, 5, 20])
def test_matrices_of_arrays_are_the_same_in_prepared_calls(kind, n):
    w = Value(0.7)

    def f(x, y):
        found = [(w * x[0]).exp() * y, x[0] * x[1] + y * y]
        return found if kind == "jacobian" else found[0] * found[1]

    compiled = compile(f)
    rng = np.random.default_rng(n)
    for k in range(4):
        w.data = 0.7 + k
        arrays = rng.normal(size=(n, 2)), rng.normal(size=n)
        expected = getattr(compiled, kind)([*zip(*(x.tolist() for x in arrays), strict=True)], dense=True)
        found = getattr(compiled, kind)(arrays, dense=True)
        out = np.empty_like(found)
        assert getattr(compiled, kind)(arrays, dense=True, out=out) is out
        assert found.shape == (n, 2 if kind == "jacobian" else 3, 3)
        assert found.tolist() == out.tolist() == expected
        found[:] = 0.0  # the result of this call alone
    assert any(method == kind and ready for (method, _), ready in compiled._arrays.runners.items())


@pytest.mark.parametrize("kind", ["jacobian", "hessian"])
def test_entries_of_sparse_matrices_are_the_same_in_prepared_calls(kind):
    w = Value(0.5)

    def f(x, t):
        found = [(x[0] * w).exp() * t, (x[2] - 1.0).relu() ** 0.5, 2.0 * x[1]]
        return found if kind == "jacobian" else found[0] + found[1] * found[2]

    compiled = compile(f)
    rng = np.random.default_rng(3)
    for k in range(5):
        w.data = float(k)
        arrays = rng.normal(size=(4, 3)), rng.normal(size=4)
        expected = getattr(compiled, kind)([*zip(*(x.tolist() for x in arrays), strict=True)])
        found = getattr(compiled, kind)(arrays)
        assert type(found) is np.ndarray
        assert found.tolist() == getattr(compiled, kind)(arrays, out=np.empty_like(found)).tolist() == expected
        assert found.shape[1] == getattr(compiled.program(arrays[0][0], 1.0), f"{kind}_structure")().entries
        found[:] = 0.0  # the result of this call alone
    assert any(method == f"sparse_{kind}" and ready for (method, _), ready in compiled._arrays.runners.items())


def test_matrices_of_a_function_that_branches_and_sparse_ones_are_not_prepared():
    w = Value(0.5)
    branching = compile(lambda x: [w * x[0] * x[1] if x[0] > 0 else x[1] * x[1]], branches=True)
    sparse = compile(lambda x: [v * v * w for v in x])
    for _ in range(4):
        found = branching.jacobian((np.array([[1.0, 2.0], [-1.0, 3.0]]),), dense=True)
        assert found.tolist() == [[[1.0, 0.5]], [[0.0, 6.0]]]
        assert sparse.jacobian((np.eye(6),), dense=True).tolist() == [np.diag(row).tolist() for row in np.eye(6)]


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool", "float32", "float16", ">i4", ">f8"])
def test_arrays_of_other_numbers_take_the_way_of_arrays_of_doubles(dtype):
    w = [Value(0.5), Value(-1.5), Value(2.0)]
    f = compile(lambda x, k: take(w, k) * x[0] + w[1] * x[1] ** 2)
    x, k = np.array([[1, 0], [1, 1], [0, 1]]), np.array([1, 0, 1])
    for _ in range(4):
        value, gradient = f.value_and_grad((x.astype(dtype), k.astype(dtype)))
        expected, of_doubles = f.value_and_grad((x.astype(float), k.astype(float)))
        assert (value, gradient.tolist()) == (expected, of_doubles.tolist())
        assert f.forward((x.astype(dtype), k)).tolist() == f.forward((x.astype(float), k.astype(float))).tolist()
    assert len(f._arrays.runners) == 2  # `value_and_grad` and `forward`, each with code for these shapes
    assert all(f._arrays.runners.values())


@pytest.mark.parametrize("method", ["gradient", "jacobian", "hessian", "value_and_grad"])
def test_an_argument_called_inputs_or_parameters_is_no_variable_by_this_text(method):
    """The text means all arguments, or the parameters; a list of names means arguments, and so does no clash."""
    w = Value(3.0)
    f = compile(lambda inputs, targets: w * inputs**2 * targets)
    g = compile(lambda parameters, x: w * parameters * x)
    expected = {"hessian": [[60.0]]}.get(method, [[120.0]])
    for _ in range(4):
        with pytest.raises(ValueError, match=r'wrt="inputs" means all arguments.* write wrt=\["inputs"\] for the arg'):
            getattr(f, method)([(2.0, 10.0)], wrt="inputs")
        with pytest.raises(ValueError, match=r'wrt="parameters" means the parameters.* or wrt=<lambda>\.parameters'):
            getattr(g, method)((np.ones(2), np.ones(2)), wrt="parameters")
        if method == "value_and_grad":
            assert f.value_and_grad([(2.0, 10.0)], wrt=["inputs"]) == (120.0, ([120.0],))
            assert f.value_and_grad([(2.0, 10.0)]) == (120.0, [40.0])
            assert g.value_and_grad([(2.0, 10.0)], wrt=("parameters",)) == (60.0, ([30.0],))
            assert g.value_and_grad([(2.0, 10.0)]) == (60.0, [20.0])
        else:
            assert getattr(f, method)([(2.0, 10.0)], wrt=["inputs"]) == expected
            assert getattr(f, method)([(2.0, 10.0)]) == getattr(f, method)([(2.0, 10.0)], wrt=["inputs", "targets"])
    alone = compile(lambda inputs: inputs**2)
    assert alone.gradient([(2.0,)], wrt="inputs") == alone.gradient([(2.0,)], wrt=["inputs"]) == [[4.0]]
    h = compile(lambda parameters: parameters["x"] * parameters["y"])
    with pytest.raises(ValueError, match="have the keys of a dict in another order"):
        h.gradient([({"x": 1.0, "y": 2.0},), ({"y": 1.0, "x": 2.0},)], wrt=["parameters"])


def test_the_derivative_with_respect_to_a_leaf_that_the_function_does_not_use_is_0():
    """This is so in `gradients`, too, as for the last bias of a network in a gradient penalty."""
    model = MLP(2, [3, 1], activation="tanh", seed=0)
    ps, n = model.parameters(), len(model.parameters())
    slope = grad(lambda x: model(x))
    f = compile(lambda x: sum(g * g for g in slope(x)))
    eager = [0.0] * n
    samples = [([0.3, -0.7],), ([0.1, 0.2],)]
    for (x,) in samples:
        found = gradients(sum(g * g for g in slope([Value(x[0]), Value(x[1])])), ps)
        eager = [a + b / 2 for a, b in zip(eager, found, strict=True)]
    assert eager[-1] == 0.0
    for _ in range(3):
        value, gradient = f.value_and_grad(samples, ps)
        assert gradient == pytest.approx(eager)
        assert gradient[-1] == 0.0
        assert f.value_and_grad(samples, {"b": ps[-1]}) == (value, {"b": 0.0})
        assert f.gradient(samples, [ps[-1]]) == f.jacobian(samples, [ps[-1]], dense=True)[0] * 2 == [[0.0]] * 2
        assert f.hessian(samples, wrt=[ps[-1]], dense=True, mean=True) == [[0.0]]
        assert f.program(samples[0][0]).gradient([[0.3, -0.7]], [ps[-1], Value(1.0)]) == [[0.0, 0.0]]


@pytest.mark.parametrize("method", ["gradient", "jacobian", "hessian", "value_and_grad"])
def test_a_parameter_that_has_been_replaced_is_not_taken_for_one_that_is_not_used(method):
    """The program has the old one, so 0 would be wrong. A parameter that was a constant has no derivative, either."""
    held = {"w": Value(2.0), "c": Value(3.0, requires_grad=False)}
    f = compile(lambda x: held["w"] * held["c"] * x * x)
    samples = [(2.0,)]
    f.forward(samples)
    getattr(f, method)(samples, wrt=[held["w"], Value(1.0)])
    held["c"].requires_grad = True
    with pytest.raises(
        ValueError, match=rf"{method}\(\): .* requires a gradient now, but is a constant of the program"
    ):
        getattr(f, method)(samples, wrt=[held["c"]])
    held["c"].requires_grad = False
    held["w"] = Value(5.0)
    for _ in range(2):
        with pytest.raises(ValueError, match=rf"{method}\(\): <lambda> is not what it was .* compile it anew"):
            getattr(f, method)(samples, wrt=[held["w"]])


@pytest.mark.parametrize("branches", [False, True])
@pytest.mark.parametrize(("method", "options"), [("value_and_grad", {}), ("hessian", {"mean": True, "dense": True})])
def test_code_for_arrays_does_not_take_a_parameter_that_has_been_replaced_for_one_that_is_not_used(
    method, options, branches
):
    """Such code runs without a look at what the function can read, for some time after the last look."""
    held = {"w": Value(2.0)}
    f = compile(lambda x: held["w"] ** 2 * x if not branches or x > 0 else held["w"] ** 3 * x, branches=branches)
    samples = (np.array([1.0, -2.0]),)
    for _ in range(200):
        getattr(f, method)(samples, wrt=[held["w"]], **options)
    f._stale.due = float("inf")
    held["w"] = Value(5.0)
    with pytest.raises(ValueError, match=rf"{method}\(\): <lambda> is not what it was"):
        getattr(f, method)(samples, wrt=[held["w"]], **options)


@pytest.mark.parametrize("method", ["gradient", "jacobian", "hessian", "value_and_grad"])
def test_each_branch_is_compared_before_the_derivative_with_respect_to_an_unused_leaf_is_0(method):
    """To have compared the recording of one branch says nothing about that of another."""
    held = {"a": Value(2.0), "b": Value(5.0)}
    f = compile(lambda x: held["a"] * x * x if x > 0.0 else held["b"] * x * x, branches=True)
    f.forward([(1.0,), (-1.0,)])
    held["b"] = Value(7.0)
    for _ in range(2):
        getattr(f, method)([(1.0,)], wrt=[held["a"], held["b"]])
        with pytest.raises(ValueError, match=rf"{method}\(\): <lambda> is not what it was"):
            getattr(f, method)([(-1.0,)], wrt=[held["a"], held["b"]])


@pytest.mark.parametrize("method", ["gradient", "jacobian", "hessian", "value_and_grad"])
def test_a_leaf_that_was_not_used_before_is_noticed_when_the_function_uses_it(method):
    held, spare = {"w": Value(2.0)}, Value(3.0)
    f = compile(lambda x: held["w"] * x * x)
    for _ in range(2):
        getattr(f, method)([(1.0,)], wrt=[held["w"], spare])
    held["w"] = spare
    for _ in range(2):
        with pytest.raises(ValueError, match=rf"{method}\(\): <lambda> is not what it was"):
            getattr(f, method)([(1.0,)], wrt=[spare])


def test_an_unused_leaf_costs_a_recording_only_once():
    calls, w = [], Value(2.0)

    @compile
    def f(x):
        calls.append(1)
        return w * x

    spares = [Value(1.0), Value(1.0)]
    f.gradient([(3.0,)], wrt=[w, *spares])
    before = len(calls)
    for _ in range(3):
        assert f.gradient([(3.0,)], wrt=[*spares, w]) == [[0.0, 0.0, 3.0]]
    assert len(calls) == before


def test_constants_are_read_once_for_all_unused_leaves():
    """Whether a leaf was a constant is looked up, since it took quadratic time to compare each with each."""
    w, c = Value(2.0), Value(3.0, requires_grad=False)
    f = compile(lambda x: w * c * x)
    program, reads = f.program(1.0), []

    class Counted(list):
        def __iter__(self):
            reads.append(1)
            return super().__iter__()

    vars(program)["_held_constants"] = Counted(program._held_constants)
    spares = [Value(1.0) for _ in range(50)]
    assert program.gradient([[5.0]], wrt=[w, *spares]) == [[15.0] + [0.0] * 50]
    assert 0 < len(reads) < 10


@pytest.mark.parametrize("wrong", [[], {}, np.ones(2)], ids=["list", "dict", "array"])
def test_what_is_not_hashable_is_no_variable(wrong):
    w = Value(2.0)
    f = compile(lambda x: w * x)
    f.forward([(1.0,)])
    for wrt in ([wrong], [w, wrong], [Value(1.0), wrong]):
        for _ in range(2):
            with pytest.raises(TypeError, match=r"gradient\(\): wrt"):
                f.gradient([(1.0,)], wrt=wrt)


def test_derivatives_of_arrays_are_plain_arrays_of_doubles():
    """The numpy functions give floats for them, and not objects."""
    f = compile(lambda w: (w["a"] ** 2).sum())
    _, [found] = f.value_and_grad([({"a": np.array([1.0, -2.0])},)], wrt="w")
    assert type(found["a"]) is np.ndarray
    assert np.clip(found["a"], -1, 1).tolist() == [1.0, -1.0]


def test_the_parameters_are_not_known_before_the_first_call():
    """A loop over `zip(loss.parameters, gradient)` with a list that was read too early would train nothing."""
    w = Value(2.0)
    f = compile(lambda x: w * x)
    with pytest.raises(AttributeError, match=r"has not been called yet, .* after the first call, or write model\."):
        f.parameters  # noqa: B018 -- to read it raises the error
    assert not hasattr(f, "parameters")
    f.value_and_grad([(1.0,)])
    assert f.parameters == [w]
    g = compile(lambda x: x * x)
    g(1.0)
    assert g.parameters == []


VALUES = [Value(float(k)) for k in range(4)]
NESTINGS = [
    VALUES[0],
    VALUES[:2],
    tuple(VALUES[:2]),
    VALUES[1::-1],
    VALUES[:3],
    [VALUES[:2], VALUES[2]],
    [VALUES[0], VALUES[1:3]],
    {"a": VALUES[0], "b": VALUES[1]},
    {"a": VALUES[0], "c": VALUES[1]},
    {"b": VALUES[1], "a": VALUES[0]},
    {"a": VALUES[:2], "b": {"c": VALUES[2:]}},
    np.array(VALUES[:2]),
    np.array(VALUES[:2]).reshape(1, 2),
    [np.array(VALUES).reshape(2, 2), VALUES[0]],
]


def copied(x):
    """Return the same nesting in other lists, dicts and arrays."""
    if isinstance(x, (list, tuple)):
        return type(x)(map(copied, x))
    return {key: copied(item) for key, item in x.items()} if isinstance(x, dict) else x


def test_wrt_is_known_again_if_it_is_nested_in_the_same_way_and_has_the_same_values():
    """Otherwise each call would prepare its variables anew."""
    for i, first in enumerate(NESTINGS):
        variables = GradientVariables(first, {})
        assert [j for j, other in enumerate(NESTINGS) if variables.is_for(copied(other))] == [i]
    frozen = Value(1.0)
    variables = GradientVariables([frozen], {})
    frozen.requires_grad = False
    assert not variables.is_for([frozen])


NUMBERS = np.array([1.5, -0.5, 2.0, 0.25])
IN_LISTS = {
    "floats": [(1.5, 2.0), (-0.5, 0.25), (3.0, -1.0)],
    "one sample": [(1.5, 2.0)],
    "lists as samples": [[1.5, 2.0], [-0.5, 0.25]],
    "integers": [(2, 10**300), (-3, 4.0)],
    "numbers of numpy": [*zip(NUMBERS, np.arange(4), strict=True)],
    "lists": [([1.0, 2.0], 3), ([4, 5.0], 6.0)],
    "arrays": [(NUMBERS, 1.0), (NUMBERS + 1, 2.0)],
    "arrays of two axes": [(NUMBERS.reshape(2, 2), NUMBERS)],
    "a number and an array": [(1.0, NUMBERS[::-1])],
    "an array and a number of numpy": [(NUMBERS.astype(">f8"), NUMBERS[1])],
    "an array and an int": [(NUMBERS, 2)],
    "an array and a list": [(NUMBERS, [2.0, 1.0])],
    "an empty list": [([], 2.0), ([], 3.0)],
    "twenty lists": [([k, 0.5 * k, 7.0 - k], 1.0 / (k + 1)) for k in range(20)],
    "twenty lists after numbers": [(1.0 / (k + 1), [k, 0.5 * k, 7.0 - k]) for k in range(20)],
    "lists and arrays": [([1.0, 2.0], NUMBERS), ([3, 4.0], NUMBERS + 1)],
    # what has to be read one by one
    "booleans": [(True, 2.0), (False, 1.0)],
    "single precision": [(NUMBERS.astype("float32"), 1.0)],
    "lists of two lengths": [([1.0], 3.0), ([1.0, 2.0], 3.0)],
    "twenty lists of two lengths": [([0.1] * (1 + k // 19), 3.0) for k in range(20)],
    "a list in the place of a number": [(2.0, 3.0), ([2.0], 3.0)],
    "a number in the place of a list": [*[([2.0], 3.0)] * 10, (2.0, 3.0)],
    "arrays of two shapes": [(NUMBERS, 1.0), (NUMBERS[:1], 2.0)],
    "arrays and lists": [(NUMBERS, 1.0), (NUMBERS.tolist(), 2.0)],
    "tuples": [((1.0, 2.0), 3.0), ((1.0, 4.0), 3.0)],
    "large integers": [(1.0, 2**1020), (2.0, 1.0)],
}


def numbers_in(x):
    return [y for _, y in flatten(x)[0]]


@pytest.mark.parametrize("kind", IN_LISTS)
def test_a_list_of_samples_gives_the_same_however_often_it_is_passed(kind, monkeypatch):
    w, b, samples = Value(0.5), Value(-1.0), IN_LISTS[kind]
    f = compile(lambda x, y: tanh(sum(numbers_in(x), 0.0) * w + b) * (sum(numbers_in(y)) * 1e-300 + 1.0))
    both = compile(lambda x, y: (f.__wrapped__(x, y), w * 1.0))
    monkeypatch.setattr(prepared, "CALLS_BEFORE_PREPARED", 10)
    for change in (0.0, 0.25, 0.5):
        w.data += change
        values, slopes = [], []
        for _ in range(13):
            w.grad = b.grad = 0.0
            mean = f.backward(samples)
            value, gradient = f.value_and_grad(samples, [w, b])
            assert (mean, [w.grad, b.grad], type(gradient)) == (value, gradient, list)
            values.append([value, *gradient])
            slopes.append(f.gradient(samples))
            results, pairs = f.forward(samples), both.forward(samples)
            assert type(results) is type(pairs) is list
            assert results == [total for total, _ in pairs]
            assert sum(results) / len(results) == pytest.approx(value, rel=1e-14)
        np.testing.assert_allclose(values, values[:1] * 13, rtol=1e-14)
        assert all(type(x) is list for found in slopes for x in (found, *found))
        np.testing.assert_allclose([numbers_in(x) for x in slopes], [numbers_in(slopes[0])] * 13, rtol=1e-14)
        expected = gradients(sum(f.__wrapped__(x, y) for x, y in samples) / len(samples), [w, b])
        np.testing.assert_allclose(values[-1][1:], expected, rtol=1e-13)


def nested_types(x):
    """Return the type of an object and, if it is a list or a tuple, of all that is in it."""
    return (type(x), *map(nested_types, x)) if isinstance(x, (list, tuple)) else type(x)


@pytest.mark.parametrize("branches", [False, True])
@pytest.mark.parametrize("kind", IN_LISTS)
def test_derivatives_by_arguments_in_a_list_are_the_same_however_often_it_is_passed(kind, branches, monkeypatch):
    w, samples, computed = Value(0.5), IN_LISTS[kind], ArrayRunner.run

    def f(x, y):
        total = sum(numbers_in(x), 0.0) * w
        return tanh(total) * (sum(numbers_in(y)) * 1e-300 + 1.0) if not branches or total > 2.0 else exp(total) * total

    f = compile(f, branches=branches)
    monkeypatch.setattr(prepared, "CALLS_BEFORE_PREPARED", 3)
    for wrt in ("x", ("y", "x"), "inputs"):
        for each in (True, False):
            runs = []
            monkeypatch.setattr(ArrayRunner, "run", lambda *xs, runs=runs: runs.append(1) or computed(*xs))
            found = []
            for k in range(8):
                w.data = 0.5 + (k == 7)
                found.append(f.value_and_grad(samples, wrt, each=each))
            assert len({*map(nested_types, found)}) == 1
            numbers = [numbers_in(x) for x in found]
            np.testing.assert_allclose(numbers[:7], numbers[:1] * 7, rtol=1e-14)
            fresh = compile(f.__wrapped__, branches=branches).value_and_grad(samples, wrt, each=each)
            np.testing.assert_allclose(numbers[7], numbers_in(fresh), rtol=1e-14)
            if [*IN_LISTS].index(kind) < [*IN_LISTS].index("booleans") and not branches:
                assert len(runs) == (4 if each else 8)


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("method", ["jacobian", "hessian"])
@pytest.mark.parametrize("kind", IN_LISTS)
def test_matrices_of_samples_in_a_list_are_the_same_however_often_it_is_passed(kind, method, dense, monkeypatch):
    w, samples, computed, runs = Value(0.5), IN_LISTS[kind], ArrayRunner.run, []
    if method == "jacobian":
        f = compile(lambda x, y: [tanh(sum(numbers_in(x), 0.0) * w), exp(-sum(numbers_in(y)) * 1e-300) * w, w * 2.0])
    else:
        f = compile(lambda x, y: tanh(sum(numbers_in(x), 0.0) * w) * exp(-sum(numbers_in(y)) * 1e-300))
    monkeypatch.setattr(ArrayRunner, "run", lambda *xs: runs.append(1) or computed(*xs))
    monkeypatch.setattr(prepared, "CALLS_BEFORE_PREPARED", 3)
    found = []
    for k in range(8):
        w.data = 0.5 + (k == 7)
        found.append(getattr(f, method)(samples, dense=dense))
    fresh = getattr(compile(f.__wrapped__), method)(samples, dense=dense)
    assert {*map(nested_types, found)} == {nested_types(fresh)}
    numbers = [numbers_in(x) for x in found]
    np.testing.assert_allclose(numbers[:7], numbers[:1] * 7, rtol=1e-14)
    np.testing.assert_allclose(numbers[7], numbers_in(fresh), rtol=1e-14)
    if [*IN_LISTS].index(kind) < [*IN_LISTS].index("booleans"):
        assert len(runs) == 4


def test_a_list_whose_structure_was_seen_is_read_by_prepared_code(monkeypatch):
    runs, run = [], ArrayRunner.loaded
    monkeypatch.setattr(ArrayRunner, "loaded", lambda self, arrays: runs.append(arrays) or run(self, arrays))
    w = Value(2.0)
    f = compile(lambda x, y: (x[0] * w - y) ** 2)
    for k in range(5):
        assert f.value_and_grad([([1.0 + k], 1), ([2.0], 3.0)])[0] == ((1 + 2 * k) ** 2 + 1) / 2
    assert [x.tolist() for x in runs] == [[1.0 + k, 1.0, 2.0, 3.0] for k in (1, 2, 3, 4)]


def test_lists_are_read_by_prepared_code_without_numpy(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "numpy"]:
        monkeypatch.delitem(sys.modules, name)
    runs, loaded = [], ArrayRunner.loaded
    monkeypatch.setattr(ArrayRunner, "loaded", lambda self, rows: runs.append(len(rows)) or loaded(self, rows))
    w, samples = Value(2.0), [([1.0, 5], 1), ([2.0, 5], 3.0)]
    f = compile(lambda x, y: (x[0] * w - y) ** 2)
    both = compile(lambda x, y: [f.__wrapped__(x, y), x[1] * w])
    for _ in range(3):
        assert f.value_and_grad(samples) == (1.0, [3.0])
        assert f.forward(samples) == [1.0, 1.0]
        assert f.gradient(samples) == [[4.0, 0.0, -2.0], [4.0, 0.0, -2.0]]
        assert both.forward(samples) == [[1.0, 10.0], [1.0, 10.0]]
    assert runs == [6] * 8
    assert "numpy" not in sys.modules


def test_lists_whose_structure_was_seen_are_checked_as_before():
    w = Value(2.0)
    f = compile(lambda x, k: cross_entropy([x * w, x], k))
    for _ in range(3):
        before = f.value_and_grad([(3.0, 0)])
    with pytest.raises(IndexError, match="sample 0"):
        f.value_and_grad([(3.0, 2)])
    with pytest.raises(TypeError, match=r"sample 0: .*Value"):
        f.backward([(w, 0)])
    with pytest.raises(TypeError, match="sample 0 does not have the arguments"):
        f.backward([(3.0,)])
    with pytest.raises(ValueError, match="no samples"):
        f.backward([])
    w.requires_grad = False
    with pytest.raises(RuntimeError):
        f.backward([(3.0, 0)])
    assert f.value_and_grad([(3.0, 0)]) == (before[0], [0.0])


def test_lists_of_samples_of_several_branches_are_sorted_as_before():
    w = Value(2.0)
    f = compile(lambda x: x * w if x < 1.0 else x * w * w, branches=True)
    for k in range(8):
        value, gradient = f.value_and_grad([(0.5,), (3.0 + k,), (0.25,)])
        assert value == pytest.approx((0.75 * 2 + (3 + k) * 4) / 3, rel=1e-15)
        assert gradient == pytest.approx([(0.75 + (3 + k) * 4) / 3], rel=1e-15)


def test_lists_and_arrays_of_the_same_numbers_have_programs_of_their_own():
    w = Value(2.0)
    f = compile(lambda x: w * len(x * 2))  # twice as many items of a list, and as many elements of an array
    array = np.array([1.0, 3.0])
    for _ in range(4):
        assert f.value_and_grad([([1.0, 3.0],)]) == (8.0, [4.0])
        assert f.value_and_grad([(array,)]) == (4.0, [2.0])
        assert f.value_and_grad((array[None],))[0] == 4.0
        assert (f.forward([([1.0, 3.0],)]), f.forward([(array,)])) == ([8.0], [4.0])


def test_an_integer_that_is_no_double_raises_the_same_error_in_every_call():
    w = Value(2.0)
    f = compile(lambda x, y: w * x + y)
    for _ in range(4):
        assert f.backward([(3.0, 1)]) == 7.0
        with pytest.raises(OverflowError, match="an int that is too large for a float"):
            f.backward([(3.0, 2**1100)])


def test_samples_in_a_list_may_leave_arguments_to_their_defaults():
    w = Value(2.0)
    f = compile(lambda x, y=3.0: w * x * y)
    for _ in range(4):
        assert f.value_and_grad([(1.0,), (1.0, 5.0)]) == (8.0, [4.0])
        assert f.value_and_grad([(1.0,), (2.0,)]) == (9.0, [4.5])


@pytest.mark.parametrize("wrong", [NUMBERS * 1j, np.array([Value(1.0)] * 4)], ids=["complex", "objects"])
def test_a_list_of_arrays_is_checked_as_before(wrong):
    w = Value(2.0)
    f = compile(lambda x: w * x[0] * x[1])
    for _ in range(3):
        assert f.value_and_grad([(NUMBERS,), (2 * NUMBERS,)]) == (-3.75, [-1.875])
        with pytest.raises(TypeError, match="sample 1: "):
            f.value_and_grad([(NUMBERS,), (wrong,)])


def test_gradients_of_each_sample_by_parameters_are_those_of_calls_with_one_sample(monkeypatch):
    """Code for arrays of one shape gives a row for each sample: in the order of a list, or that of `.parameters`."""
    model, f = made()
    prepared_calls = []
    method = ArrayCalls.values_and_gradients

    def noted(self, *arguments):
        found = method(self, *arguments)
        prepared_calls.append(found is not None)
        return found

    monkeypatch.setattr(ArrayCalls, "values_and_gradients", noted)
    some = model.parameters()[5:1:-1]
    for k in range(4):
        model.parameters()[2].data += 0.25
        for wrt, is_prepared in ((some, True), ("parameters", True), ({"w": some}, False), (("x", "y"), True)):
            values, gradients = f.value_and_grad((X, Y), wrt, each=True)
            assert k < 3 or prepared_calls[-1] is is_prepared  # earlier ones prepare
            assert type(values) is np.ndarray
            for i in range(len(X)):
                value, gradient = f.value_and_grad((X[i : i + 1], Y[i : i + 1]), wrt, each=wrt == ("x", "y"))
                assert values[i] == pytest.approx(value, rel=1e-12)
                expected = np.concatenate([np.ravel(g) for _, g in flatten(gradient)[0]])
                rows = [g[i] for g in gradients] if wrt == ("x", "y") else [gradients[i]]
                found = np.concatenate([np.ravel(g) for row in rows for _, g in flatten(row)[0]])
                assert found == pytest.approx(expected, rel=1e-12)
            if type(wrt) is not dict:
                values[:], gradients[0][:] = 0.0, 0.0  # the results are the caller's own


def test_frozen_parameters_have_columns_of_zeros_in_prepared_calls():
    """By default, a parameter that is frozen by now has derivative 0, and a list with it is refused."""
    w, b = Value(2.0), Value(1.0)
    f = compile(lambda x: w * x + b)
    x = np.array([1.0, 2.0, 3.0, 4.0])
    for _ in range(3):
        assert f.value_and_grad(x, each=True)[1].tolist() == [[1.0, k] for k in x] or f.parameters[0] is w
        assert f.value_and_grad(x, [w, b], each=True)[1].tolist() == [[k, 1.0] for k in x]
    w.requires_grad = False
    column = [*f.parameters].index(w)
    assert f.value_and_grad(x, each=True)[1][:, column].tolist() == [0.0] * 4
    with pytest.raises(ValueError, match="requires no gradient"):
        f.value_and_grad(x, [w, b], each=True)


def test_prepared_gradients_of_each_sample_refuse_what_others_refuse():
    """A constant that requires a gradient now, a variable that is there twice, and one that the function never uses."""
    w, c, other = Value(2.0), Value(3.0, "c", requires_grad=False), Value(1.0)
    f = compile(lambda x: w * x + c)
    x = np.array([1.0, 2.0, 3.0, 4.0])
    for _ in range(3):
        assert f.value_and_grad(x, each=True)[1].tolist() == [[k] for k in x]
        assert f.value_and_grad(x, [w, other], each=True)[1].tolist() == [[k, 0.0] for k in x]
        with pytest.raises(ValueError, match="twice"):
            f.value_and_grad(x, [w, w], each=True)
    c.requires_grad = True
    with pytest.raises(ValueError, match="c requires a gradient now"):
        f.value_and_grad(x, each=True)
    square = w * w
    g = compile(lambda x: w * x + square)
    for _ in range(3):
        assert g.value_and_grad(x, "parameters", each=True)[1].sum() == 14.0
        with pytest.raises(ValueError, match="before"):
            g.value_and_grad(x, [w], each=True)


def test_what_is_not_selected_has_gradient_zero_for_each_sample():
    """A gradient that would be 0 * inf = nan is computed by code with gates, by parameters too."""
    w, v = Value(1.0), Value(0.5)
    f = compile(lambda x, y: relu(dot([w, v], [x, y])) + w)
    x, y = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, -np.inf, 1.0, 1.0])
    for _ in range(4):
        assert f.value_and_grad((x, x), [w, v], each=True)[1].tolist() == [[k + 1.0, k] for k in x]
    for _ in range(4):
        found = f.value_and_grad((x, y), [w, v], each=True)[1].tolist()
        assert found == [[2.0, 1.0], [1.0, 0.0], [4.0, 1.0], [5.0, 1.0]]


def test_a_number_for_all_samples_beside_arrays_leaves_the_results_arrays():
    """A number in the tuple stands for a column, as in `forward` and `gradient`, and not for a list."""
    _, f = made()
    expected = f.value_and_grad((X, np.full(7, 0.5)), "x", each=True)
    for _ in range(3):
        values, gradients = f.value_and_grad((X, 0.5), "x", each=True)
        assert type(values) is type(gradients) is np.ndarray
        assert np.array_equal(values, expected[0])
        assert np.array_equal(gradients, expected[1])
        assert type(f.value_and_grad((X, 0.5))[1]) is np.ndarray
        assert type(f.value_and_grad((X.tolist(), 0.5))[1]) is list


def test_derivatives_of_lists_are_nested_as_each_sample_is():
    """Samples of a batch may be nested in different ways, and their derivatives are lists, tuples, arrays and dicts."""
    f = compile(lambda x, y: sum([2.0 * v for v in (x.values() if isinstance(x, dict) else x)]) * y)
    samples = [([1.0, 2.0], 3.0), ((1.0,), 4.0), (np.array([1.0, 2.0]), 5.0), ({"a": 1.0, "b": 2.0}, 6.0)]
    _, (xs, ys) = f.value_and_grad(samples, ("x", "y"), each=True)
    assert ys == [6.0, 2.0, 6.0, 6.0]
    assert [type(x) for x in xs] == [list, tuple, np.ndarray, dict]
    assert [[*x.values()] if isinstance(x, dict) else [*x] for x in xs] == [[6.0, 6.0], [8.0], [10.0, 10.0], [12.0] * 2]


def test_auxiliary_results_are_nested_as_the_function_returns_them():
    """Plain integers stay integers, at the place where the function has them."""
    w = Value(2.0)
    f = compile(lambda x: (w * x, {"n": 3, "products": [w * x, w + x], "last": (x,)}))
    for samples in ([(1.0,), (5.0,)], np.array([1.0, 5.0])):
        (mean, aux), _ = f.value_and_grad(samples, has_aux=True)
        assert mean == 6.0
        assert repr(aux) == repr([{"n": 3, "products": [2.0 * x, 2.0 + x], "last": (x,)} for x in (1.0, 5.0)])


def test_arrays_that_calls_return_are_the_callers_own():
    """A later call, also a prepared one, changes no array that an earlier call has returned."""
    w = Value(2.0)
    functions = [compile(lambda x: w * x), compile(lambda x: {"a": np.array([x, x]) * w, "b": [x[0], w]})]
    for f in functions:
        found = [f(np.array([1.0 * k, 3.0])) for k in range(6)]
        assert [repr(x) for x in found] == [repr(f(np.array([1.0 * k, 3.0]))) for k in range(6)]
        assert len({*map(repr, found)}) == 6


Pair = namedtuple("Pair", "left right")
SECOND = {
    "numbers": [2.0, 3.0, 4.0],
    "lists": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],
    "ragged lists": [[1.0, 2.0], [3.0], [4.0, 5.0, 6.0]],
    "a tuple among lists": [[1.0, 2.0], (3.0, 4.0), [5.0, 6.0]],
    "a number among lists": [[1.0, 2.0], 3.0, [4.0, 5.0]],
    "a list among numbers": [1.0, [2.0, 3.0], 4.0],
    "ints": [[1, 2], [3, 4], [5, 6]],
    "arrays": [np.array([1.0, 2.0]), np.array([3.0, 4.0]), np.array([5.0, 6.0])],
    "ragged arrays": [np.array([1.0, 2.0]), np.array([3.0]), np.array([4.0, 5.0])],
    "a list among arrays": [np.array([1.0, 2.0]), [3.0, 4.0], np.array([5.0, 6.0])],
    "tuples": [(1.0, 2.0), (3.0, 4.0), (5.0, 6.0)],
    "a namedtuple among tuples": [(1.0, 2.0), Pair(3.0, 4.0), (5.0, 6.0)],
    "dicts": [{"a": 1.0, "b": 2.0}, {"a": 3.0, "b": 4.0}, {"a": 5.0, "b": 6.0}],
    "dicts of ints": [{"a": 1, "b": 2}, {"a": 3, "b": 4}, {"a": 5, "b": np.float64(6.0)}],
    "a dict in another order": [{"a": 1.0, "b": 2.0}, {"b": 3.0, "a": 4.0}, {"a": 5.0, "b": 6.0}],
    "a dict with another key": [{"a": 1.0, "b": 2.0}, {"a": 3.0, "c": 4.0}, {"a": 5.0, "b": 6.0}],
    "a longer dict": [{"a": 1.0, "b": 2.0}, {"a": 3.0}, {"a": 5.0, "b": 6.0}],
    "an ordered dict among dicts": [{"a": 1.0, "b": 2.0}, OrderedDict(a=3.0, b=4.0), {"a": 5.0, "b": 6.0}],
    "dicts with ints as keys": [{1: 1.0, 2: 2.0}, {1: 3.0, 2: 4.0}, {1: 5.0, 2: 6.0}],
    "dicts of lists": [{"a": [1.0], "b": 2.0}, {"a": [3.0], "b": 4.0}, {"a": [5.0], "b": 6.0}],
    "a list among dicts": [{"a": 1.0, "b": 2.0}, [3.0, 4.0], {"a": 5.0, "b": 6.0}],
    "empty dicts": [{}, {}, {}],
    "empty tuples": [(), (), ()],
}


def weighted(x):
    """Return the sum of the numbers in an argument, each times a factor that depends on its place and its key."""
    if isinstance(x, dict):
        return add_up([(len(str(key)) + ord(str(key)[0])) * weighted(item) for key, item in x.items()])
    if isinstance(x, (list, tuple, np.ndarray)):
        return add_up([k * weighted(item) for k, item in enumerate(x, 1)])
    return x


@pytest.mark.parametrize("second", SECOND)
@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("first", [np.array, list])
@pytest.mark.parametrize("copies", [1, 4])
def test_listed_samples_of_arrays_and_others_give_the_mean_of_each_alone(second, swapped, first, copies):
    """Samples of one shape are computed together, and others are not taken for such samples."""
    firsts = [first([1.0, -2.0]), first([3.0, 0.5]), first([-1.0, 4.0])]
    samples = [*zip(firsts, SECOND[second], strict=True)]
    w = Value(0.5)

    def f(x, y):
        x, y = (y, x) if swapped else (x, y)
        return w * w * x[0] * x[1] * (1 + weighted(y))

    samples = [sample[::-1] for sample in samples] if swapped else samples
    compiled = compile(f)
    each = [compile(f).value_and_grad([sample]) for sample in samples]
    expected = sum(value for value, _ in each) / 3, sum(slopes[0] for _, slopes in each) / 3
    for _ in range(3):  # later calls are prepared
        value, [slope] = compiled.value_and_grad(samples * copies)
        assert (value, slope) == pytest.approx(expected, rel=1e-14)


BESIDE = [0.3, -2, True, np.float64(0.5), np.float32(0.1), np.int64(3), float("nan"), -0.0, np.array(0.7), 10**400]
METHODS = {
    "forward": lambda f, samples: f.forward(samples),
    "gradient": lambda f, samples: f.gradient(samples),
    "the mean's gradient": lambda f, samples: f.value_and_grad(samples),
    "of the number": lambda f, samples: f.value_and_grad(samples, "k"),
    "of all": lambda f, samples: f.value_and_grad(samples, ("x", "k"), each=True),
    "each": lambda f, samples: f.value_and_grad(samples, wrt=f.parameters, each=True) if f.parameters else None,
    "Jacobian": lambda f, samples: f.jacobian(samples, dense=True),
    "Hessian": lambda f, samples: f.hessian(samples, dense=True),
    "mean Hessian": lambda f, samples: f.hessian(samples, wrt=f.parameters, dense=True, mean=True),
    "training": lambda f, samples: f.fit(samples, SGD(f.parameters, lr=1e-3), 1),
}


def plain(x):
    """Return a nesting of arrays and numbers as lists, tuples and floats, with the type of each part beside it."""
    items = [*map(plain, x)] if isinstance(x, (list, tuple)) else np.asarray(x).tolist()
    return type(x), np.shape(x) if isinstance(x, np.ndarray) else (), items


def shown(call):
    """Return what a call returns, or the error that it raises, in a form that can be compared."""
    try:
        return plain(call())
    except (TypeError, ValueError, OverflowError) as error:
        return type(error), str(error)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rows", [1, 5, 40])
@pytest.mark.parametrize("number_first", [False, True])
def test_a_number_beside_arrays_is_that_of_all_samples_in_prepared_calls_too(method, rows, number_first, monkeypatch):
    """The first call for each number is prepared, and gives what a call that reads the samples gives."""

    def made():
        w = Value(0.5)
        g = (lambda k, x: exp(w * k * x[0]) * x[1]) if number_first else (lambda x, k: exp(w * k * x[0]) * x[1])
        f = compile(g)
        f.forward([(1.0, [1.0, 2.0]) if number_first else ([1.0, 2.0], 1.0)])
        return f

    x = RANDOM.standard_normal((rows, 2))
    prepared_calls, read = made(), made()
    for _ in range(2):
        METHODS[method](prepared_calls, (1.5, x) if number_first else (x, 1.5))
        METHODS[method](read, (np.full(rows, 1.5), x) if number_first else (x, np.full(rows, 1.5)))
    for k in BESIDE:
        samples = (k, x) if number_first else (x, k)
        with monkeypatch.context() as patch:
            patch.setattr(ArrayCalls, "_runner", lambda *arguments, **options: None)
            expected = shown(lambda samples=samples: METHODS[method](read, samples))
        found = shown(lambda samples=samples: METHODS[method](prepared_calls, samples))
        assert repr(found) == repr(expected)


def test_numbers_alone_are_no_samples():
    f = compile(lambda x, k: x * k)
    for _ in range(4):
        f.forward((np.ones(3), 2.0))
        with pytest.raises(TypeError, match="a list or an array"):
            f.forward((1.0, 2.0))


def test_large_arrays_may_have_a_number_beside_them():
    f = compile(lambda x, k: x * k)
    for _ in range(4):
        assert f.forward((np.ones(5000), 2.0)).tolist() == [2.0] * 5000


def test_a_namedtuple_with_the_arguments_in_another_order_is_refused_in_prepared_calls_too():
    right, wrong = namedtuple("right", "x y"), namedtuple("wrong", "y x")
    w = Value(2.0)
    f = compile(lambda x, y: w * x / y)
    for _ in range(4):
        assert f.value_and_grad([right(3.0, 4.0), right(6.0, 8.0)]) == (1.5, [0.75])
        assert f.value_and_grad([(3.0, 4.0), right(6.0, 8.0)]) == (1.5, [0.75])
    for samples in ([wrong(4.0, 3.0)] * 2, [right(3.0, 4.0), wrong(4.0, 3.0)], [(3.0, 4.0), wrong(4.0, 3.0)]):
        with pytest.raises(TypeError, match="namedtuple with the fields y, x"):
            f.value_and_grad(samples)


def costs_of_gradients(f):
    """Return the cost of each gradient's code that belongs to the recordings of a function, by its parameters."""
    found = {}
    for recordings in f._store.recordings.values():
        for recording in recordings:
            compiled = recording.loss.compiled
            for part in (compiled, *compiled._parts.values()):
                for (kind, _), tiers in part._tiers.items():
                    if kind == "gradient":
                        found[part._variables] = tiers.tables.schedule.cost
    return found


@pytest.mark.parametrize("samples", [(X, Y), AS_LISTS, AS_LISTS[:1]], ids=["arrays", "lists", "one sample"])
@pytest.mark.parametrize("part", [slice(-5, None), slice(0, 3), slice(6, 7)])
def test_only_the_derivatives_that_are_asked_for_are_computed(samples, part):
    """Their numbers are those of all derivatives, and the code for them is shorter."""
    model, f = made()
    mean, expected = by_backward(model, f, samples)
    some = model.parameters()[part]
    for _ in range(4):
        value, gradient = f.value_and_grad(samples, some)
        assert value == pytest.approx(mean, rel=1e-14)
        assert gradient == pytest.approx(expected[part], rel=1e-12)
    costs = costs_of_gradients(f)
    assert min(costs.values()) < costs[None]
    value, gradient = f.value_and_grad(samples, {"some": some[::-1], "w": model.parameters()[4]})
    assert [*gradient["some"], gradient["w"]] == pytest.approx([*expected[part][::-1], expected[4]], rel=1e-12)
    assert by_backward(model, f, samples) == (mean, expected)


def test_choices_of_parameters_alternate_and_only_some_of_them_keep_code():
    model, f = made()
    mean, expected = by_backward(model, f, (X, Y))
    parameters = model.parameters()
    for k in range(len(parameters) - 1):
        for _ in range(3):
            value, gradient = f.value_and_grad((X, Y), [parameters[k + 1], parameters[k]])
            assert value == pytest.approx(mean, rel=1e-14)
            assert gradient == pytest.approx([expected[k + 1], expected[k]], rel=1e-12)
            values, each = f.value_and_grad((X, Y), [parameters[k + 1], parameters[k]], each=True)
            assert (values.shape, each.shape) == ((7,), (7, 2))
            assert each.mean(0) == pytest.approx(gradient, rel=1e-12)
    [[recording]] = f._store.recordings.values()
    assert 0 < len(recording.loss.compiled._parts) <= MAX_PARTS < len(parameters)


def test_a_gradient_of_some_parameters_that_needs_gates_is_right():
    """The code for some parameters has code with gates of its own, and leaves the other derivatives at 0."""
    w, v, u = Value(0.5), Value(2.0), Value(3.0)

    def f(x):
        huge = w * (x * 1e308)
        return where(less(x, 5.0), w * x + v * v * x, huge * huge * u)

    compiled = compile(f)
    x = np.array([1.0, -30.0, 2.0, 0.5])
    compiled.backward(x)
    for some in ([w], [v], [u], [w, u], [v, w]):
        for _ in range(3):
            _, gradient = compiled.value_and_grad(x, some)
            assert [*gradient] == pytest.approx([p.grad for p in some])
            assert np.isfinite(gradient).all()


def test_rows_of_a_table_are_differentiated_alone():
    """Some rows of a table are variables: what the other rows have is not computed, and is not among the numbers."""
    rng = np.random.default_rng(1)
    table = [[Value(x) for x in row] for row in rng.standard_normal((90, 8)).tolist()]
    v = Value(0.5)
    f = compile(lambda i, y: (dot(take(table, i), table[0]) * v - y) ** 2)
    i, y = rng.integers(0, 90, 40).astype(float), rng.standard_normal(40)
    f.backward((i, y))
    for some in ([v], table[1], [p for row in table[1:] for p in row], [*table[0], v]):
        for _ in range(3):
            _, gradient = f.value_and_grad((i, y), some)
            assert [*gradient] == pytest.approx([p.grad for p in some], rel=1e-11, abs=1e-13)


def test_code_for_some_parameters_is_not_taken_for_that_of_all():
    """Programs with equal instructions share code, but not if they differentiate with respect to other parameters."""
    model = MLP(3, [5, 2, 1], seed=2)
    f = compile(lambda x, y: (model(x) - y) ** 2)
    f.value_and_grad((X, Y), model.parameters()[:2])
    _, found = by_backward(model, f, (X, Y))
    for p in model.parameters():
        p.grad = 0.0
    (add_up([(model(x) - y) ** 2 for x, y in AS_LISTS]) / len(AS_LISTS)).backward()
    assert found == pytest.approx([p.grad for p in model.parameters()], rel=1e-12)


def test_an_iterator_of_variables_is_answered_with_what_to_write():
    w = Value(2.0)
    f = compile(lambda x: w * x)
    with pytest.raises(TypeError, match=r"wrt is generator .*, not a Value; write list\(...\) for an iterator"):
        f.value_and_grad(([1.0],), (p for p in [w]))
