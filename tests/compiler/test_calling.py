"""Calling a compiled function for one sample gives what the plain function gives, whatever has changed meanwhile."""

import random
import sys
from array import array
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import GuardError, compile  # noqa: A004 -- the field's name
from micrograd_cn.functional import grad, hessian, jacobian, sparse_hessian, sparse_jacobian, value_and_grad
from micrograd_cn.nn import MLP, Layer
from micrograd_cn.optim import SGD, Adam

from .common import in_turn, is_native, settings

SELDOM = 300  # calls without a change, after which a change must still be seen


def network(seed=0):
    """Return a network, and a function that computes its output."""
    model = MLP(3, [5, 1], activation="tanh", seed=seed)
    return model, lambda x: model(x) + 0.0


# Ways to change parameters: by an assignment, by loading a state, by an eager step, and by `fit` in three ways


def by_hand(model):
    model.parameters()[0].data += 1.0


def by_state(model):
    model.load_state_dict(MLP(3, [5, 1], seed=7).state_dict())


def by_step(model):
    mc.mean([model([1.0, 2.0, 3.0])]).backward()
    Adam(model.parameters(), 0.1).step()


def by_fit(model):
    compile(lambda x: model(x) ** 2).fit([([1.0, 2.0, 3.0],)], SGD(model.parameters(), 0.1), 2)


def by_forms(model):
    f = compile(lambda x: model([*x, *[0.5] * (3 - len(x))]) ** 2)
    f.fit([([1.0, 2.0, 3.0],), ([1.0],)], SGD(model.parameters(), 0.1), 2, batch_size=1)


def by_interrupted_fit(model):
    def stop(losses):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compile(lambda x: model(x) ** 2).fit([([1.0, 2.0, 3.0],)], SGD(model.parameters(), 0.1), 9, progress=stop)


@pytest.mark.parametrize(
    ("code", "calls", "change"),
    in_turn([1, 3, 2 * SELDOM], [by_hand, by_state, by_step, by_fit, by_forms, by_interrupted_fit]),
    indirect=["code"],
)
def test_a_call_has_the_parameters_as_they_are(change, calls, code):
    """A call computes with the parameters' present data, whatever has changed them.

    To be quick, a call reads the parameters again only if some data has been assigned since the last call. A way to
    assign data that does not report it would leave old numbers in the program.
    """
    model, f = network()
    compiled = compile(f)
    program = compiled.program([0.0, 0.0, 0.0])
    numbers, out = array("d", [0.3, -0.2, 0.1]), array("d", [0.0])
    run = program.prepare(memoryview(numbers).cast("B").cast("d", (1, 3)), out)
    before = model.state_dict()
    for _ in range(3):
        for _ in range(calls):
            assert compiled([0.3, -0.2, 0.1]) == pytest.approx(f([0.3, -0.2, 0.1]).data, rel=1e-13)
        assert run()[0] == pytest.approx(compiled([0.3, -0.2, 0.1]), rel=1e-13)
        change(model)
    assert model.state_dict() != before


def test_guards_are_computed_with_parameters_as_they_are():
    """A call chooses its branch by the parameters' present data, or refuses if no branches are allowed."""
    w = Value(1.0, "w")
    f = compile(lambda x: w * x if w * x > 1 else x, branches=True)
    g = compile(lambda x: w * x if w * x > 1 else x)
    for x, data in [(2.0, 1.0), (2.0, 0.1), (30.0, 0.1), (-1.0, 0.1), (-1.0, -5.0)] * 3:
        w.data = data
        assert f(x) == (data * x if data * x > 1 else x)
    w.data = 1.0
    assert g(2.0) == 2.0
    w.data = 0.1
    with pytest.raises(GuardError):
        g(2.0)


def test_rows_follow_each_other_in_the_code_that_is_best():
    """A function that is called often gets native code, and gives the same numbers before and after."""
    _, f = network()
    compiled, rng = compile(f), random.Random(0)
    with settings({"runtime.executable.SECONDS_BEFORE_NATIVE": 1e-7}):
        for _ in range(50):
            row = [rng.gauss(0, 1) for _ in range(3)]
            assert compiled(row) == pytest.approx(f(row).data, rel=1e-13)
    assert is_native(compiled)


def test_threads_call_at_the_same_time():
    _, f = network()
    compiled = compile(f)
    expected = [f([k / 10, 1.0, -k / 5]).data for k in range(50)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda k: compiled([k % 50 / 10, 1.0, -(k % 50) / 5]), range(2000)))
    finally:
        sys.setswitchinterval(before)
    assert found == pytest.approx(expected * 40, rel=1e-13)


def test_samples_without_numbers_and_constants_are_called():
    """A function may have no arguments, or may ignore them and return constants and parameters."""
    w = Value(3.0)
    assert compile(lambda: w * 2.0)() == 6.0
    f = compile(lambda x: [1.0, w])
    assert (f(5.0), f(6.0)) == ([1.0, 3.0], [1.0, 3.0])


def test_defaults_keywords_and_wrong_numbers_of_arguments():
    f = compile(lambda x, y=2, /, z=3: x + 10 * y + 100 * z)
    assert (f(1), f(1, 1), f(1, 1, 1), f(1, z=0)) == (321.0, 311.0, 111.0, 21.0)
    with pytest.raises(TypeError, match="too many positional arguments"):
        f(1, 2, 3, 4)


def test_samples_in_several_arguments_and_other_things_than_optimizers_are_refused_with_what_to_write():
    w = Value(2.0)
    f, xs = compile(lambda x, y: (w * x - y) ** 2), np.array([1.0, 2.0])
    with pytest.raises(TypeError, match=r"samples are one argument, fit\(\(X, y\), optimizer, ...\)"):
        f.fit(xs, xs, epochs=2)
    for method in (f.gradient, f.value_and_grad, f.jacobian):
        with pytest.raises(TypeError, match=r"samples are one argument.* \w+\(\(X, Y\)\)"):
            method(xs, xs)
    with pytest.raises(TypeError, match=r"for its columns, or \(\(X, Y\), ...\) for the values of two"):
        f.check(xs)
    fields = np.array([(1.0, 2.0)], dtype=[("a", float), ("b", float)])
    with pytest.raises(TypeError, match=r"for an array x with fields write \(x\['a'\], x\['b'\]\)"):
        f.forward(fields)
    assert f.forward((fields["a"], fields["b"])) == [0.0]
    for given, write in ((SGD, "SGD"), (Adam, "Adam"), ("adam", "Adam"), (0.1, "SGD")):
        for rest in ({}, {"epochs": 2}):
            with pytest.raises(TypeError, match=rf"write fit\(samples, {write}\(model.parameters\(\), lr="):
                f.fit((xs, xs), given, **rest)
    for call in (lambda g: g(3.0), lambda g: g.forward(xs)):
        with pytest.raises(TypeError, match="'Value' object is not subscriptable: a Value is in the place of each"):
            call(compile(lambda v: v[0] * v[1]))


def test_networks_layers_and_neurons_are_compiled_as_functions_of_one_argument():
    """Their `*others: Never` collects wrong arguments alone, so all ways to pass samples are open."""
    model = MLP(2, [3, 1], activation="tanh", seed=0)
    x = np.array([[1.0, 2.0], [3.0, -4.0], [0.5, 0.25]])
    for part in (model, model.layers[0].neurons[0], Layer(2, 1, seed=1)):
        plain, compiled = compile(lambda x, part=part: part(x)), compile(part)
        for _ in range(4):
            for samples in ((x,), x, [(row,) for row in x]):
                expected = plain.forward(samples)
                assert np.array_equal(compiled.forward(samples), expected)
                assert np.array_equal(compiled.gradient(samples), plain.gradient(samples))
                found = compiled.value_and_grad(samples, "x", each=True)
                assert np.array_equal(np.squeeze(found[1]), np.squeeze(plain.gradient(samples)))
        with pytest.raises(TypeError, match=r"it takes x, but got 2 arguments; .* so write \(X,\), with an array X"):
            compiled.forward((x, x))
        with pytest.raises(TypeError, match=r"sample 0 .*; write \(x,\) for one argument, \[\(x,\) for x in samples\]"):
            compiled.forward([*x])
        with pytest.raises(TypeError, match="takes one list of inputs, got 2 arguments"):
            compiled([1.0, 2.0], [3.0, 4.0])
    with pytest.raises(TypeError, match="it takes any number of arguments; give a list of tuples"):
        compile(lambda *xs: xs[0]).forward((x,))


def test_a_call_with_values_is_refused_and_the_advice_gives_the_right_derivative():
    """The number `x.data` alone would leave out how the result of the call depends on x."""
    c = compile(lambda v: v[0] * v[0] * v[1])
    for arguments in (lambda x: [x, 2.0], lambda x: np.array([x, 2.0 * x])):
        with pytest.raises(TypeError, match=r"write f\.__wrapped__\(x\) to differentiate through the call f\(x\)"):
            grad(lambda x, arguments=arguments: c(arguments(x)) * x)(3.0)
    assert grad(lambda x: c.__wrapped__([x, 2.0]) * x)(3.0) == 54.0


def test_a_namedtuple_whose_fields_are_the_arguments_in_another_order_is_refused():
    swapped, same, others = namedtuple("Swapped", "y x"), namedtuple("Same", "x y"), namedtuple("Others", "a b")
    c = compile(lambda x, y: x - 2.0 * y)
    assert c.forward([same(1.0, 2.0), others(1.0, 2.0)]) == [-3.0, -3.0]
    assert list(c.forward(same([1.0, 2.0], [3.0, 4.0]))) == [-5.0, -6.0]
    for samples in ([swapped(1.0, 2.0)], swapped([1.0], [2.0]), swapped(np.ones(2), np.ones(2))):
        with pytest.raises(TypeError, match=r"fields y, x, which is read by position, .* write \(s\.x, s\.y\) for a"):
            c.forward(samples)
    row = namedtuple("Row", "a b y")  # as `itertuples` of a DataFrame gives
    with pytest.raises(TypeError, match=r"but y is in another place in .*; write \(\.\.\., s\.y\) for a namedtuple s"):
        c.forward([row(1.0, 2.0, 3.0)])
    with pytest.raises(TypeError, match=r"write \(s\.y,\) for a namedtuple s"):
        compile(lambda y: 2.0 * y).forward([row(1.0, 2.0, 3.0)])
    assert compile(lambda p: p.x - 2.0 * p.y)(swapped(1.0, 2.0)) == 0.0


def nested(levels):
    return [nested(levels - 1)] if levels else 2.0


def containing_itself():
    x = [1.0]
    x.append({"again": x})
    return x


@pytest.mark.parametrize("deep", [nested(101), nested(900), containing_itself()], ids=["101", "900", "itself"])
def test_an_argument_nested_in_more_than_a_hundred_lists_is_refused(deep):
    def innermost(x):
        while isinstance(x, (list, dict)):
            x = x[0]
        return x * x

    c = compile(innermost)
    assert (c(nested(100)), c.forward([(nested(100),)])) == (4.0, [4.0])
    for call in (lambda: c(deep), lambda: c.forward([(deep,)]), lambda: c.gradient([(deep,)])):
        with pytest.raises(TypeError, match="x: more than 100 lists, tuples or dicts inside each other"):
            call()


@pytest.mark.parametrize(
    "function", [lambda x: map(abs, [x, x]), lambda x: zip([x], [x], strict=True), lambda x: iter([x])]
)
def test_a_function_that_returns_an_iterator_is_told_to_return_a_list(function):
    with pytest.raises(TypeError, match=r"is not a number: expected a real number, got .*; return list\(...\) of it"):
        compile(function)(1.0)


class Point:
    def __init__(self, x, y):
        self.x, self.y = x, y


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda x: None, "got NoneType; it may lack a return"),
        (lambda x: [x, None], r"at \[1\]: .* got NoneType; or leave it out"),
        (lambda x: Point(x, x), "got Point; return its numbers in a list, a tuple or a dict"),
    ],
)
def test_a_result_that_is_no_number_is_refused_and_the_error_says_what_to_return(f, message):
    with pytest.raises(TypeError, match=f"returned something that is not a number.*{message}"):
        compile(f)(1.0)


def test_a_derivative_has_the_arguments_of_its_function():
    """So they have names: for static arguments, for columns of samples, for calls by name, and for `wrt`."""

    def f(w, x, power=2):
        return (w * x) ** power

    for derivative in (grad(f), value_and_grad(f), jacobian(f), hessian(f)):
        assert compile(derivative)(w=2.0, x=3.0) == compile(derivative)(2.0, 3.0) == derivative(2.0, 3.0)
        assert compile(derivative).forward(([1.0, 2.0], 3.0)) == [derivative(1.0, 3.0), derivative(2.0, 3.0)]
        fixed = compile(derivative, static="power")
        assert fixed(2.0, 3.0, 3) == fixed(2.0, 3.0, power=3) == derivative(2.0, 3.0, 3)
    assert compile(grad(grad(f))).gradient([(2.0, 3.0)], wrt="w") == [[0.0]]
    assert compile(grad(f, 1)).gradient([(2.0, 3.0)], wrt="x") == [[8.0]]
    rows = np.arange(6.0).reshape(3, 2)
    for found, row in zip(compile(hessian(lambda v: v[0] ** 2 * v[1])).forward((rows,)), rows, strict=True):
        assert found.tolist() == [[2.0 * row[1], 2.0 * row[0]], [2.0 * row[0], 0.0]]
    model = MLP(2, [3, 1], activation="tanh", seed=0)
    for found, row in zip(compile(grad(model)).forward((rows,)), rows.tolist(), strict=True):
        assert [*found] == pytest.approx([x.data for x in grad(model)(row)], rel=1e-12)
    chosen = compile(grad(lambda x, mode: mc.exp(x) if mode == "exp" else x * x), static="mode")
    assert (chosen(0.0, "exp"), chosen(3.0, mode="square")) == (1.0, 6.0)
    assert compile(sparse_hessian(f, lower=True), static="power")(2.0, 3.0, 2).values == [18.0]
    assert compile(sparse_jacobian(lambda v, n: [v[0] ** n, v[1]]), static="n")([2.0, 3.0], 3).values == [12.0, 1.0]


def test_a_derivative_of_a_function_with_unknown_or_other_arguments_takes_any():
    assert compile(grad(max))(3.0, 2.0) == 1.0  # Python does not tell which arguments max has
    assert compile(grad(mc.tanh))(0.5) == grad(mc.tanh)(0.5)
    assert compile(grad(lambda x, *others, scale=1.0: x * x * sum(others) * scale))(3.0, 2.0, scale=0.5) == 6.0
    assert compile(grad(lambda x, *, power: x**power), static="power")(3.0, power=3) == 27.0
    with pytest.raises(ValueError, match=r"static='z' is not an argument of <lambda>\(x, y\)"):
        compile(grad(lambda x, y: x * y), static="z")
