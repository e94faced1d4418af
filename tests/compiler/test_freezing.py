"""Compiled code follows `requires_grad` as the engine does where it can, and refuses a function where it cannot.

A value may be frozen, so it requires no gradient, while a part of a function is recorded. The recording must neither
let a gradient flow there nor keep the value's number of one call.
"""

from contextlib import contextmanager
from functools import partial

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value, less, maximum, where
from micrograd_cn.compiler import Mismatch, compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.data import nodes
from micrograd_cn.compiler.runtime import prepared
from micrograd_cn.engine import constant
from micrograd_cn.nn import MLP
from micrograd_cn.optim import SGD


@contextmanager
def frozen(*values):
    """Let some values require no gradient inside the block."""
    for x in values:
        x.requires_grad = False
    yield
    for x in values:
        x.requires_grad = True


def test_a_use_to_which_no_gradient_flows_is_not_compiled_as_if_one_did():
    """A parameter that was frozen in one use, and requires a gradient later, is refused, and `detach` is not.

    A program has one list of parameters, so it would let the gradient flow through the frozen use too.
    """

    def loss(z):
        with frozen(d):
            return d * (g * z)

    d, g, before = Value(2.0), Value(3.0), Value(4.0).exp()
    with pytest.raises(
        ValueError, match=r"data=2\.0.* requires a gradient, but did not when mul\(\.\.\.\) was recorded with it"
    ):
        compile(loss)(1.0)
    with pytest.raises(ValueError, match="requires a gradient, but did not when mul"):
        compile(lambda x: loss(x) + before)(1.0)
    compiled = compile(lambda xs: d * xs[0] if len(xs) == 1 else loss(xs[0]))
    compiled([1.0])
    with pytest.raises(ValueError, match="requires a gradient, but did not when mul"):
        compiled([1.0, 2.0])
    x = Value(1.0)
    y = loss(x)
    with pytest.raises(ValueError, match="requires a gradient, but did not when mul"):
        compile(y, [x])
    compiled = compile(lambda z: d.detach() * (g * z))
    compiled.fit([(1.0,)], SGD([d, g], lr=0.1), epochs=1)
    assert (d.data, g.data) == (2.0, pytest.approx(2.8))


def test_what_was_frozen_when_a_function_was_recorded_is_trained_when_it_is_no_more():
    """A parameter that was frozen while one structure was recorded gets its gradient once it is not frozen any more."""
    w, v = Value(2.0), Value(3.0)
    compiled = compile(lambda xs: mc.sum([w * v * x for x in xs]))
    compiled([1.0])
    w.requires_grad = False
    compiled([1.0, 2.0])
    assert compiled.gradient([([1.0, 2.0],)], wrt="parameters") == [[0.0, 6.0]]
    w.requires_grad = True
    assert compiled.gradient([([1.0, 2.0],)], wrt="parameters") == [[9.0, 6.0]]
    compiled.backward([([1.0, 2.0],)])
    assert (w.grad, v.grad) == (9.0, 6.0)


def with_frozen_branch():
    """Return a function whose program for x > 0 has a as a constant, while another has it as a parameter; and a, b."""
    a, b = Value(2.0, "a"), Value(3.0, "b")
    f = compile(lambda x: a * a * x if x > 0 else a * b * x, branches=True)
    with frozen(a):
        f(1.0)
    f(-1.0)
    return f, a, b


@pytest.mark.parametrize("wrt", ["parameters", "list"])
@pytest.mark.parametrize(
    ("method", "options", "right"),
    [
        ("gradient", {}, [[-3.0, -2.0]]),
        ("value_and_grad", {}, (-6.0, [-3.0, -2.0])),
        ("value_and_grad", {"each": True}, ([-6.0], [[-3.0, -2.0]])),
        ("jacobian", {"dense": True}, [[[-3.0, -2.0]]]),
        ("hessian", {"dense": True}, [[[0.0, -1.0], [-1.0, 0.0]]]),
        ("hessian", {"dense": True, "mean": True}, [[0.0, -1.0], [-1.0, 0.0]]),
    ],
)
def test_no_derivative_is_0_because_a_parameter_was_frozen_in_one_branch(method, options, right, wrt):
    """That branch is refused, also when calls are so many that programs are merged. The other has its derivatives."""
    for samples in ([(1.0,), (-1.0,)], [(-1.0,)]):
        f, a, b = with_frozen_branch()
        variables = "parameters" if wrt == "parameters" else [a, b]
        for _ in range(30):
            if samples == [(-1.0,)]:
                assert getattr(f, method)(samples, wrt=variables, **options) == right
                if method == "value_and_grad" and not options and wrt == "parameters":
                    value, gradient = f.value_and_grad(np.array([-1.0]))
                    assert (value, gradient.tolist()) == right
                    assert f.backward(np.array([-1.0])) == value
            else:
                with pytest.raises(ValueError, match=rf"{method}\(\): a requires a gradient now, but is a constant"):
                    getattr(f, method)(samples, wrt=variables, **options)


@pytest.mark.parametrize("method", ["backward", "value_and_grad"])
def test_a_merged_program_computes_no_gradient_for_an_array_whose_branch_was_frozen(method):
    a, b = Value(2.0, "a"), Value(3.0, "b")
    f = compile(lambda x: a * a * b * x if x > 0 else a * b * x, branches=True)
    with frozen(a):
        f(1.0)
    for _ in range(100):
        getattr(f, method)(np.array([-1.0]))
        with pytest.raises(ValueError, match=rf"{method}\(\): a requires a gradient now, but is a constant"):
            getattr(f, method)(np.array([1.0]))


def test_derivatives_and_check_refuse_a_constant_that_requires_a_gradient_now():
    """This holds between structures, for the program of one structure, and if no program has it as a parameter."""
    a, b = Value(2.0, "a"), Value(3.0, "b")
    f = compile(lambda xs: sum(xs) * a + b)
    with frozen(a):
        f([1.0])
    alone = compile(lambda x: a * b * x)
    with frozen(a):
        for _ in range(5):
            assert alone.gradient([(1.0,)], wrt="parameters") == [[2.0]]
    said = "a requires a gradient now, but is a constant"
    for wrt in ([a], [b, a], "parameters"):
        with pytest.raises(ValueError, match=said):
            alone.gradient([(1.0,)], wrt=wrt)
        with pytest.raises(ValueError, match=said):
            alone.program(1.0).value_and_grad([[1.0]], wrt=wrt)
    f([1.0, 2.0])
    assert f.gradient([([1.0, 2.0],)], wrt=[a, b]) == [[3.0, 1.0]]
    with pytest.raises(ValueError, match=said):
        f.gradient([([1.0],)], wrt=[a])
    assert f.gradient([([1.0],)], wrt=[b]) == [[1.0]]
    f.check([([1.0, 2.0],)])
    with pytest.raises(Mismatch, match=r"sample 0, .*derivative with respect to Value\(.*'a'\), which is a constant"):
        f.check([([1.0],)])


@pytest.mark.parametrize("is_frozen", [False, True])
@pytest.mark.parametrize(
    "f",
    [
        lambda w, v, x: w * v * x,
        lambda w, v, x: where(less(x, 5.0), v, w) * x,
        lambda w, v, x: maximum(v * x, w),
        lambda w, v, x: w.detach() * v * x,
    ],
)
def test_backward_leaves_a_gradient_of_none_where_the_plain_one_does(f, is_frozen):
    """Where it is a number, even 0, weight decay changes the parameter. A parameter that is frozen has none."""
    w, v = Value(-1.0), Value(3.0)

    def branching(x):
        return f(w, v, x) if x > 0.0 else (w * v - 1.0) * x

    def made(frozen_first, *calls):
        w.requires_grad = not frozen_first
        compiled = compile(branching, branches=True)
        for x in calls:
            compiled(x)
        return partial(compiled.backward, [(1.0,)])

    ways = [lambda: branching(Value(1.0)).backward(), made(False, 1.0), made(False, -1.0, 1.0), made(is_frozen, 1.0)]
    w.requires_grad = not is_frozen
    found = []
    for backward in ways:
        w.grad = v.grad = None
        backward()
        found.append((w.grad, v.grad))
    assert found == found[:1] * len(ways)
    assert not is_frozen or w.grad is None


# Ways to freeze a value inside a function


def constant_of_parameter(x, w):
    with frozen(w):
        return (w * w) * x


def number_of_parameter(x, w):
    with frozen(w):
        return w.data * x


def argument(x, w):
    with frozen(x):
        square = x * x
    return square * w


def argument_left(x, w):
    x.requires_grad = False
    return w * x


def computed(x, w):
    h = w * x
    h.requires_grad = False
    return h * x


def detached(x, w):
    with frozen(x):
        return x.detach() * w


@pytest.mark.parametrize("f", [constant_of_parameter, number_of_parameter, argument, argument_left, computed, detached])
def test_what_would_be_the_number_of_one_call_is_refused(f):
    """Changing `requires_grad` in a function is refused where compiled and eager calls would give different numbers.

    The error says to write `.detach()`.
    """
    w = Value(2.0, "w")
    said = r"requires_grad of (x|w|mul\(\.\.\.\)) changes while the function is recorded; write \.detach\(\)"
    with pytest.raises(TypeError, match=said):
        compile(lambda x: f(x, w))(1.0)


def test_the_error_names_the_line_that_uses_what_was_frozen():
    w = Value(2.0)

    def f(x):
        h = w * x
        h.requires_grad = False
        return (
            h * 3.0  # this line
            + w
        )

    with pytest.raises(
        TypeError, match=rf"test_freezing\.py, line {f.__code__.co_firstlineno + 4}: requires_grad of mul"
    ):
        compile(f)(1.0)


def test_the_number_of_what_is_frozen_is_not_read():
    """Reading the data of a frozen value is refused, because it depends on the sample all the same."""

    def f(x):
        with frozen(h := w * x):
            return h.data * x

    w = Value(2.0)
    with pytest.raises(TypeError, match=r"mul\(\.\.\.\) as \.data would be the same number for every sample"):
        compile(f)(1.0)
    assert f(Value(3.0)).data == 18.0


def test_what_is_frozen_is_compared_for_each_sample():
    """A comparison of a frozen argument is a guard, so each sample takes its own branch."""

    def f(x, w):
        with frozen(x):
            return w if x > 0.0 else -w

    w = Value(2.0)
    compiled = compile(lambda x: f(x, w), branches=True)
    assert (compiled(1.0), compiled(-1.0)) == (2.0, -2.0)


def test_constants_stay_what_they_are():
    """Reading the data of what is computed from constants alone is allowed, since it is the same in all calls."""
    c = constant(3.0)
    compiled = compile(lambda x: (c * c).data * x + c)
    assert (compiled(1.0), compiled(2.0)) == (12.0, 21.0)


def test_a_parameter_that_is_frozen_after_it_was_used_is_refused():
    w = Value(2.0)

    def f(x):
        y = w * x
        w.requires_grad = False
        return y

    with pytest.raises(TypeError, match=r"requires_grad of .* changes while the function is recorded"):
        compile(f)(2.0)


@pytest.mark.parametrize("count", [2, 100])
@pytest.mark.parametrize("branches", [False, True])
@pytest.mark.parametrize("arrays", [False, True])
def test_a_parameter_that_is_frozen_after_it_was_recorded_gets_no_derivative(monkeypatch, count, branches, arrays):
    """It is 0 among "parameters", so a loop of your own does not move it. In a list, it is refused, as in `gradients`.

    Both hold for each method, with few and with many parameters, and for prepared calls and merged programs.
    """
    monkeypatch.setattr(prepared, "CALLS_BEFORE_PREPARED", 0)
    monkeypatch.setattr(nodes, "NODES_BEFORE_CODE", 0)
    parameters = [Value(float(i + 1)) for i in range(count)]
    a, b, *others = parameters
    f = compile(
        lambda x: (a * x if not branches or x > 0 else -a * x) + b * b * x * x + mc.sum(others), branches=branches
    )
    samples = (np.array([1.0, -1.0]),) if arrays else [(1.0,), (-1.0,)]
    slope = 0.0 if not branches else 1.0
    rest = [1.0] * len(others)

    def found():
        of_mean = f.value_and_grad(samples)[1]
        each = f.value_and_grad(samples, "parameters", each=True)[1]
        matrix = f.jacobian(samples, "parameters", dense=True)
        hessian = f.hessian(samples, False, "parameters", dense=True)
        gradients = f.gradient(samples, "parameters")
        own = f.program(1.0).value_and_grad([[1.0]])[1]
        return [np.asarray(x).tolist() for x in (of_mean, each, matrix, gradients, own, hessian)]

    for _ in range(8):
        f.value_and_grad(samples)
        f.gradient(samples, "parameters")
        f.gradient(samples, parameters)
        f.value_and_grad(samples, parameters, each=True)
    order = [f.parameters.index(p) for p in parameters]
    for frozen_now in (False, True, True, False, True):
        a.requires_grad = not frozen_now
        of_mean, each, matrix, gradients, own, hessian = found()
        one = 0.0 if frozen_now else 1.0
        assert [of_mean[i] for i in order] == [one * slope, 4.0, *rest]
        of_each = [[one, 4.0, *rest], [one if branches else -one, 4.0, *rest]]
        assert [[row[i] for i in order] for row in each] == of_each
        assert [[row[0][i] for i in order] for row in matrix] == of_each
        assert [[row[i] for i in order] for row in gradients] == of_each
        assert [own[i] for i in order] == of_each[0]
        assert hessian[0][order[1]][order[1]] == 2.0
        for method in (f.gradient, f.jacobian, lambda s, w: f.hessian(s, wrt=w), f.value_and_grad):
            for wrt in ([a, b], [b, a]):
                if not frozen_now:
                    method(samples, wrt)
                    continue
                with pytest.raises(ValueError, match=r"wrt\[[01]\], .* requires no gradient; write wrt=\[p for p in"):
                    method(samples, wrt)
        if frozen_now:
            with pytest.raises(ValueError, match="requires no gradient"):
                f.value_and_grad(samples, {"a": a}, each=True)
            with pytest.raises(ValueError, match="requires no gradient"):
                f.program(1.0).value_and_grad([[1.0]], [a])


def loop(loss, optimizer, rows, steps):
    found = []
    for _ in range(steps):
        optimizer.zero_grad()
        mean = mc.mean([loss(*map(Value, row)) for row in rows])
        mean.backward()
        optimizer.step()
        found.append(mean.data)
    return found


def regularised(a, w, v):
    return lambda x: (a * x - 1.0) ** 2 + 0.1 * w * w + mc.exp(v - w) * a


def compared(a, w, v):
    return lambda x: (a * x - 1.0) ** 2 + w * w if w < 3.0 and a < 9.0 else a * x * v


def compared_as_an_expression(a, w, v):
    return lambda x: (a * x - 1.0) ** 2 + w * v if w * v < x else a * x


def detached(a, w, v):
    return lambda x: (a * x - (w * v).detach()) ** 2 + mc.sum([w * w, v.tanh(), a * a])


def only_frozen(a, w, v):
    return lambda x: (w * v if x < 2.5 else a * x) ** 2


@pytest.mark.parametrize("make", [regularised, compared, compared_as_an_expression, detached, only_frozen])
@pytest.mark.parametrize("fits", [0, 1, 3])
@pytest.mark.parametrize("count", [1, 2])
def test_fit_goes_on_after_parameters_were_frozen_that_an_expression_has_alone(make, fits, count):
    """A new recording has a number in the place of the expression, which does not mean that the function changed."""
    ours, theirs = [[Value(1.0), Value(2.0), Value(0.5)] for _ in range(2)]
    f, plain, rows = compile(make(*ours), branches=True), make(*theirs), [(2.0,), (3.0,)]
    f(2.0), f(3.0)
    for _ in range(fits):
        f.fit(rows, SGD(ours, lr=0.01), 2)
        loop(plain, SGD(theirs, lr=0.01), rows, 2)
    before = [x.data for x in ours]
    for i in range(2):
        for x in (*ours[1 : 1 + count], *theirs[1 : 1 + count]):
            x.requires_grad = False
        assert f.fit(rows, SGD(ours[:1], lr=0.01), 2) == pytest.approx(loop(plain, SGD(theirs[:1], lr=0.01), rows, 2))
        assert [x.data for x in ours] == pytest.approx([x.data for x in theirs])
        assert [x.data for x in ours][1 : 1 + count] == before[1 : 1 + count]
        for x in (*ours, *theirs):
            x.requires_grad = True
        if i == 0:
            assert f.fit(rows, SGD(ours, lr=0.01), 2) == pytest.approx(loop(plain, SGD(theirs, lr=0.01), rows, 2))
            before = [x.data for x in ours]


def test_the_first_layer_of_a_regularised_network_may_be_frozen():
    model = MLP(2, [2, 1], seed=0)
    f = compile(lambda x, y: (model([x, y]) - 1.0) ** 2 + 0.01 * sum(p * p for p in model.parameters()))
    f.fit([(1.0, 2.0)], SGD(model.parameters(), lr=0.01), 1)
    for p in model.layers[0].parameters():
        p.requires_grad = False
    before = [p.data for p in model.parameters()]
    f.fit([(1.0, 2.0)], SGD(model.layers[1].parameters(), lr=0.01), 3)
    changed = [p.data != data for p, data in zip(model.parameters(), before, strict=True)]
    assert changed == [p.requires_grad for p in model.parameters()]


@pytest.mark.parametrize("fits", [0, 1, 3])
@pytest.mark.parametrize("before", [0, 1, 3])
def test_another_frozen_parameter_in_an_expression_is_noticed(before, fits):
    """The number may be the same at first, so the function is compared again in each call of `fit`."""
    a, held = Value(1.0), {"w": Value(2.0), "k": 0.1}
    f, optimizer = compile(lambda x: (a * x - 1.0) ** 2 + held["k"] * held["w"] ** 2), SGD([a], lr=0.01)
    f(2.0)
    for _ in range(before):
        f.fit([(2.0,)], optimizer, 1)
    held["w"].requires_grad = False
    for _ in range(fits):
        f.fit([(2.0,)], optimizer, 1)
    old, held["w"] = held["w"], Value(2.0, requires_grad=False)
    f.fit([(2.0,)], optimizer, 1)  # it has the same number
    held["w"].data = 3.0
    with pytest.raises(ValueError, match="is not what it was when its program was made"):
        f.fit([(2.0,)], optimizer, 1)
    held["w"] = old
    f.fit([(2.0,)], optimizer, 1)
    held["k"] = 0.2
    with pytest.raises(ValueError, match="is not what it was when its program was made"):
        f.fit([(2.0,)], optimizer, 1)


def test_backward_says_that_a_constant_requires_a_gradient_now_if_there_are_no_parameters():
    a = Value(2.0, requires_grad=False)
    f = compile(lambda x: a * a * x)
    f(1.0)
    a.requires_grad = True
    with pytest.raises(ValueError, match="requires a gradient now, but is a constant of the program"):
        f.backward([(1.0,)])
