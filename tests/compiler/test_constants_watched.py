"""A compiled program keeps the data of constants, and says so when they have other data, or require a gradient, later.

The plain function is the oracle: what a program computes is what the plain function computes, or an error.
"""

from array import array
from functools import lru_cache
from math import isnan
from types import SimpleNamespace

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value, functional
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.optim import SGD, AdamW

USES = {
    "an operand": lambda w, c, x: w * x * c,
    "data": lambda w, c, x: w * x * c.data,
    "part of a constant": lambda w, c, x: w * x * (c * 2),
    "a constant's function": lambda w, c, x: w * x * mc.exp(c),
    "detached": lambda w, c, x: w * x * c.detach(),
    "a constant sum": lambda w, c, x: w * x * mc.sum([c, c]),
    "a branch": lambda w, c, x: w * x if c > 0 else -7 * w,
    "a branch that is the same later": lambda w, c, x: w * x if c > -9 else -7 * w,
    "a branch of numpy": lambda w, c, x: w * x if np.array_equal(np.array([c]), [2.0]) else -7 * w,
    "the name of an operation": lambda w, c, x: w * x if (w**c)._op == "**2" else -7 * w,
    "a branch beside one of the sample": lambda w, c, x: w * x * c.data if x > 0 else -7 * w,
}


def constant_value(x, label="c"):
    return Value(x, label, requires_grad=False)


def raises_changed():
    return pytest.raises(ValueError, match=r"c is a constant of the program.* was 2\.0 then; now it is -5\.0, so")


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_constant_that_changes_is_refused_however_the_function_used_it(use):
    """Each way to compute with a new number is refused, and with the old number it works again."""
    w, c = Value(3.0), constant_value(2.0)
    f = compile(lambda x: use(w, c, x))
    before = f(1.0), f.gradient([(1.0,)]), f.backward([(1.0,)])
    c.data = -5.0
    calls = [lambda: f(1.0), lambda: f.forward([(1.0,)]), lambda: f.backward([(1.0,)]), lambda: f.gradient([(1.0,)])]
    for call in [*calls, lambda: f.fit([(1.0,)], SGD([w], 0.1), epochs=1)]:
        with raises_changed():
            call()
    c.data = 2.0
    assert (f(1.0), f.gradient([(1.0,)]), f.backward([(1.0,)])) == before


# The number k of a constant is a partial of each of these functions of z, or a part of one
PARTIALS = {
    "product": lambda z, k: k * z,
    "quotient": lambda z, k: z / k,
    "power": lambda z, k: mc.exp(z) ** k,
    "dot": lambda z, k: mc.dot([z, k], [k, 1.0]),
    "matrix product": lambda z, k: np.array([z * z, z]) @ np.array([k, 1.0]),
    "clip": lambda z, k: mc.clip(z * z, -9.0, k),
    "maximum": lambda z, k: mc.maximum(z, k),
    "index": lambda z, k: mc.take([z, z * z, 3.0 * z], mc.relu(k)),
    "condition": lambda z, k: mc.where(mc.less(k, 0.0), z, z**3),
    "structural zero": lambda z, k: z * (z * k - z * 2.0),
    "log of a sum": lambda z, k: mc.logsumexp([z * z, k, z]),
    "argument": lambda z, k: z * functional.grad(lambda t: t * t * t)(k),
    "no_grad": lambda z, k: z * mc.no_grad()(lambda: k * 1.0)() + z * z,
    "term": lambda z, k: z * z + mc.sum([z, k]) - k + mc.dot([z], [2.0], k),
}
DERIVATIVES = {
    "grad": lambda f, x: functional.grad(f)(x),
    "second derivative": lambda f, x: functional.grad(functional.grad(f))(x),
    "gradients": lambda f, x: mc.gradients(f(z := x * 1.0), [z], create_graph=True)[0],
    "value_and_grad": lambda f, x: functional.value_and_grad(f)(x)[1],
    "jvp": lambda f, x: functional.jvp(f, x, 1.0)[1],
    "vjp": lambda f, x: functional.vjp(f, x)[1](3.0),
    "hvp": lambda f, x: functional.hvp(lambda v: f(v[0]), [x], [1.0])[0],
    "hessian": lambda f, x: functional.hessian(lambda v: f(v[0]))([x])[0][0],
    "jacobian": lambda f, x: functional.jacobian(lambda v: [f(v[0])])([x])[0][0],
    "sparse Jacobian": lambda f, x: sum(functional.sparse_jacobian(lambda v: [f(v[0])])([x]).values),
    "sparse Hessian": lambda f, x: sum(functional.sparse_hessian(lambda v: f(v[0]))([x]).values),
    "inside no_grad": lambda f, x: mc.no_grad()(functional.grad(f))(x),
}


@pytest.mark.parametrize(("i", "derivative"), [*enumerate(DERIVATIVES.values())], ids=DERIVATIVES)
def test_derivatives_have_the_numbers_of_constants_only_as_long_as_these_are_the_same(i, derivative):
    """Each call gives the result of the plain function, or refuses the constant, for which the program has no node."""
    for name, partial in [*PARTIALS.items()][i % 3 :: 3]:
        k, w = constant_value(2.0, "k"), Value(1.0)

        def f(x, k=k, w=w, partial=partial):
            return derivative(lambda z: partial(z, k), x) + w

        def plain(f=f):
            y = f(Value(1.5))
            y.backward()
            return y.data

        compiled, before = compile(f), plain()
        assert compiled(1.5) == pytest.approx(before), name
        k.data = -5.0
        if plain() != before:
            with pytest.raises(ValueError, match=r"k is a constant of the program.* now it is -5\.0"):
                compiled(1.5)
        k.data, k.requires_grad, k.grad = 2.0, True, 0.0
        plain()
        optimizer = SGD([k, w], 0.1)
        for method, *options in (["backward"], ["value_and_grad", [k]], ["fit", optimizer, 1]) if k.grad else ():
            with pytest.raises(ValueError, match=r"is a constant of the program.*anew"):
                getattr(compiled, method)([(1.5,)], *options)


@pytest.mark.parametrize(
    "f",
    [
        lambda c, x: mc.gradients(c * x, [x], create_graph=True)[0] * x,
        lambda c, x: mc.gradients(x**c, [x], create_graph=True)[0],
        lambda c, x: mc.gradients(mc.sin(c * x), [x], create_graph=True)[0],
        lambda c, x: mc.gradients(mc.dot([x, 1.0], [c, x]), [x], create_graph=True)[0] * x,
    ],
)
def test_a_function_of_derivatives_refuses_a_constant_that_was_a_factor(f):
    """The derivative has the constant's number, and the constant is no operand of it."""
    c = Value(2.0, "c", requires_grad=False)
    compiled = compile(lambda x: f(c, x))
    assert compiled(3.0) == pytest.approx(f(c, Value(3.0)).data)
    c.data = 3.0
    with pytest.raises(ValueError, match="c is a constant of the program"):
        compiled(3.0)


def test_constants_that_no_partial_depends_on_are_not_watched():
    """The numbers of terms may change, and nobody can change what the function makes."""
    k = constant_value(2.0)

    def f(z):
        inner = constant_value(3.0)
        return PARTIALS["term"](z, k) + mc.clip(inner * z * z * 2.0, -1.0, inner) + mc.dot([z, inner], [inner, z])

    compiled = compile(functional.grad(functional.grad(f)))
    compiled(1.0)
    assert not compiled.program(1.0).compiled.data.watched
    k.data, k.requires_grad = 5.0, True
    assert compiled(0.5) == 14.0


def test_constants_that_the_function_makes_are_not_watched():
    """Nobody can change them after the call, so a call need not compare them."""
    c = constant_value(2.0)

    def f(x):
        inner = constant_value(3.0)
        return x * (c * 2 * 3) * inner.data * (inner * 2 if inner > 0 else 1.0)

    compiled = compile(f)
    compiled(1.0)
    assert [*compiled.program(1.0).compiled.data.watched] == [c]


def test_derivatives_refuse_a_constant_that_has_changed():
    """The same holds for derivatives that were compiled before, that are compiled later, and that are constants."""
    w, c = Value(3.0), constant_value(2.0)
    f = compile(lambda x: c * x * x * w)
    program = f.program(1.0)
    assert f.gradient([(1.0,)]) == [[12.0]]
    gradient = program.derivative("gradient").program
    linear = compile(lambda x: c * x)
    assert linear.gradient([(1.0,)]) == [[2.0]]
    c.data = -5.0
    for call in [
        lambda: f.gradient([(1.0,)]),
        lambda: f.gradient([(1.0,)], wrt="parameters"),
        lambda: f.jacobian([(1.0,)], dense=True),
        lambda: f.hessian([(1.0,)]),
        lambda: linear.gradient([(1.0,)]),
        lambda: gradient.forward([[1.0]]),
    ]:
        with raises_changed():
            call()
    c.data = 2.0
    assert f.hessian([(1.0,)]) == [[12.0]]


@pytest.mark.parametrize("f", [lambda c, x: c * x * x, lambda c, x: x * x * c.data if x > 0 else x])
def test_a_prepared_call_without_parameters_refuses_a_constant_that_has_changed(f):
    """It reads no parameters, but the constants are compared all the same."""
    np = pytest.importorskip("numpy")
    c = constant_value(2.0)
    out = np.zeros(1)
    run = compile(lambda x: f(c, x)).program(1.0).prepare(np.array([[1.0]]), out)
    assert run()[0] == 2.0
    c.data = -5.0
    with raises_changed():
        run()


def test_the_program_of_a_graph_keeps_the_data_of_constants_in_derivatives_too():
    """A derivative that is compiled after the constant has changed has the number of the program."""
    x, c = Value(1.0, "x"), constant_value(2.0)
    program = compile(c * x * x, [x])
    c.data, c.requires_grad = 5.0, True
    assert (program.forward([[1.0]]), program.gradient([[1.0]]), program.hessian([[1.0]])) == ([2.0], [[4.0]], [[4.0]])
    signed = constant_value(0.0)
    program = compile(x / signed, [x])
    signed.data = -0.0
    assert program.gradient([[1.0]]) == [[float("inf")]]


def test_checks_of_a_graph_use_the_constants_that_the_program_keeps():
    """`detect_anomaly`, and the search for an index that is out of range, compute the same numbers as the program."""
    x, w, c = Value(1.0, "x"), Value(1.0), constant_value(1.0)
    program = compile(x / c, [x])
    c.data = 0.0
    with mc.detect_anomaly():
        assert program.forward([[1.0]]) == [1.0]
    c.data = 1.0
    program = compile(w * mc.take([1.0, 2.0], x * c), [x])
    c.data = 5.0
    with pytest.raises(IndexError, match=r"row 1: an index or class is 2\.0, but there are 2"):
        program.fit([[1.0], [2.0]], SGD([w], 0.1), epochs=1)


@pytest.mark.parametrize("use", [lambda c: c, lambda c: c * 1.0], ids=["operand", "part of a constant"])
def test_a_callback_or_schedule_that_changes_a_constant_is_refused(use):
    """The steps before the change are taken, as in a loop, and the message names what to write."""

    def trained(steps, **options):
        b, w = constant_value(0.0, "b"), Value(1.0)

        def set_b(step, *_):
            if step == 1:
                b.data = 1.0
            return 0.1 if "schedule" in options else None

        def loss(x):
            return (w * x - 1) ** 2 + use(b) * w * w

        if steps:
            for _ in range(steps):
                w.grad = 0.0
                loss(Value(2.0)).backward()
                w.data -= 0.1 * w.grad
        else:
            with pytest.raises(ValueError, match=r"b is a constant of the program.* make it an argument"):
                compile(loss).fit(
                    [(2.0,)], SGD([w], 0.1), 5, **{name: set_b if x is None else x for name, x in options.items()}
                )
        return w.data

    assert trained(0, callback=None, progress=False) == pytest.approx(trained(2))
    assert trained(0, schedule=None) == pytest.approx(trained(1))
    assert trained(0, schedule=None, threads=2) == pytest.approx(trained(1))


def test_the_fit_of_a_graph_keeps_the_data_of_constants():
    """A callback may change a constant of a recorded graph, whose program keeps the old number."""
    x, w, b = Value(1.0), Value(1.0), constant_value(0.0)
    program = compile((w * x - 1) ** 2 + b * w * w, [x])
    program.fit([[2.0]], SGD([w], 0.1), 2, callback=lambda *_: setattr(b, "data", 9.0))
    assert w.data == pytest.approx(0.52)


def test_a_parameter_that_is_frozen_while_another_structure_is_recorded_may_not_change_unseen():
    """Its comparisons have no guard then, and what is computed from it alone is a number."""

    def branching(w, v, xs):
        return xs[0] * w * v if w > 0 else -xs[0] * v

    def squared(w, v, xs):
        return xs[0] * w * v if len(xs) == 2 else xs[0] * v * (w * w)

    for f in (branching, squared):
        w, v = Value(2.0, "w"), Value(3.0)
        compiled = compile(lambda xs, f=f, w=w, v=v: f(w, v, xs))
        compiled([1.0, 1.0])
        w.requires_grad = False
        assert compiled([1.0]) == f(w, v, [Value(1.0)]).data
        w.data = -3.0
        with pytest.raises(ValueError, match=r"w is a constant of the program.* was 2\.0 then; now it is -3\.0"):
            compiled([1.0])
        w.data, w.requires_grad = 2.0, True
        with pytest.raises(ValueError, match=r"backward\(\): w requires a gradient now"):
            compiled.backward([([1.0],)])
        with pytest.raises(ValueError, match=r"parameters\[0\] of the optimizer.* is a constant of the program"):
            compiled.fit([([1.0],)], SGD([w], 0.1), 1)


def test_backward_refuses_a_constant_that_requires_a_gradient_now():
    """The program has no gradient for it, so training would leave it as it is."""
    w, v, x = Value(2.0, "w", requires_grad=False), Value(3.0), Value(1.0)
    compiled, program = compile(lambda x: (w * v * x - 1.0) ** 2), compile((w * v * x - 1.0) ** 2, [x])
    assert compiled.backward([(1.0,)]) == program.backward([[1.0]]) == 25.0
    w.requires_grad = True
    for call in (lambda: compiled.backward([(1.0,)]), lambda: program.backward([[1.0]])):
        with pytest.raises(ValueError, match=r"backward\(\): w requires a gradient now, but is a constant.*anew"):
            call()
    assert (w.grad, v.grad) == (0.0, 40.0)
    assert compiled(1.0) == 25.0


def test_fit_notices_a_parameter_that_was_replaced_by_one_with_equal_data():
    """Equal data do not make it the same parameter."""

    class Line:
        def __init__(self):
            self.w, self.b = Value(2.0), Value(0.0)

    line = Line()
    loss = compile(lambda x, y: (line.w * x + line.b - y) ** 2)
    loss(1.0, 3.0)
    line.b = Value(0.0)
    with pytest.raises(ValueError, match="not the same Value in both of them; compile it anew"):
        loss.fit([(1.0, 3.0)], SGD([line.w, line.b], 0.1), 5)


counted = 0
rates = [Value(0.0), Value(0.0)]


def test_a_function_that_alternates_between_values_with_equal_data_is_refused():
    """The two recordings differ, although both values are 0."""

    def f(x):
        global counted
        counted += 1
        return x * rates[counted % 2]

    with pytest.raises(TypeError, match=r"does not do the same in each call.*not the same Value"):
        compile(f)(1.0)


def test_a_function_may_store_the_values_that_it_makes():
    """What it makes anew in each call counts as the same, also if it can be reached afterwards."""

    class Scaled:
        def __init__(self):
            self.w, self.factor = Value(1.0), Value(0.5, requires_grad=False)

        def loss(self, x):
            self.factor = Value(0.5, requires_grad=False)
            return (self.w * self.factor * x - 1.0) ** 2

    scaled = Scaled()
    loss = compile(scaled.loss)
    loss(1.0)
    loss.fit([(1.0,)], SGD([scaled.w], 0.1), 1)
    loss.fit([(1.0,)], SGD([scaled.w], 0.1), 1)
    assert scaled.w.data == pytest.approx(1.0975)


def held_in_a_cycle(w, x):
    s = Value(0.5)

    def total(n):  # a cell of its closure has the function itself
        return total(n - 1) + w * x if n else s

    return total(2)


def is_compared(w, x):
    s = Value(2.0)
    return s * w * x if s > 1.0 and s > x else w


MAKES_LEAVES = {
    "a sum that begins with a leaf": lambda w, x: sum([w * x, w], Value(0)),
    "an operand of an n-ary operation": lambda w, x: mc.sum([Value(1.0), w, x]),
    "an array": lambda w, x: (np.array([Value(1.0), Value(2.0)]) * w * x).sum(),
    "a comparison": is_compared,
    "a reference cycle": held_in_a_cycle,
    "the argument of a gradient": lambda w, x: functional.grad(lambda t: mc.sin(w * t))(0.5) * x,
    "the argument of a Hessian": lambda w, x: functional.hessian(lambda t: mc.sin(w * t))(0.5) * x,
    "the argument of a Jacobian": lambda w, x: functional.jacobian(lambda p: [w * p[0] * p[1]])([0.5, 2.0])[0][0] * x,
}


@pytest.mark.parametrize("f", MAKES_LEAVES.values(), ids=MAKES_LEAVES)
def test_leaves_that_the_function_makes_in_each_call_are_no_parameters(f):
    """A loop that trains all parameters leaves the plain function and the compiled one with the same loss."""
    w = Value(0.3)
    compiled = compile(lambda x: (f(w, x) - 1.0) ** 2)
    compiled(1.5)
    optimizer = SGD(compiled.parameters, lr=0.05)
    for _ in range(3):
        optimizer.zero_grad()
        compiled.backward([(1.5,)])
        optimizer.step()
    assert compiled.parameters == [w]
    assert w.data != 0.3
    assert compiled(1.5) == pytest.approx((f(w, 1.5).data - 1.0) ** 2, rel=1e-12)


def test_a_leaf_that_the_function_makes_and_returns_is_a_constant_of_its_branch():
    w = Value(0.3)

    def f(x):
        s = Value(2.0)
        return s if x < 0.0 else s + w * x

    compiled = compile(f, branches=True)
    assert (compiled(-1.0), compiled(1.0), compiled.parameters) == (2.0, 2.3, [w])
    with pytest.raises(RuntimeError, match="is a constant for these samples"):
        compiled.backward([(-1.0,)])


def test_leaves_that_the_function_stores_are_parameters_if_it_makes_them_only_once():
    """A layer may make its weights in its first call. A state that each call makes anew is a constant."""
    held, w = SimpleNamespace(), Value(0.5)

    def lazy(x):
        if not hasattr(held, "w"):
            held.w = [Value(2.0), Value(3.0)]
        held.state = Value(1.0)
        return held.state * w * x + held.w[0] * x + cached()

    cached = lru_cache(lambda: Value(5.0))
    compiled = compile(lazy)
    assert compiled(1.0) == 7.5
    assert {*compiled.parameters} == {w, held.w[0], cached()}


def captured_gradient(f, sample, records=()):
    """Return the gradient of w, first of the plain and then of the compiled function, where c is sqrt(w), w is 0."""
    found = []
    for compiled in (False, True):
        w = Value(0.0)
        c = mc.sqrt(w)
        if compiled:
            made = compile(lambda xs, c=c: f(xs, c))
            for record in records:
                made(record)
            made.backward([(sample,)])
        else:
            f([*map(Value, sample)], c).backward()
        found.append(w.grad)
    return found


def test_a_captured_value_that_no_gradient_reaches_passes_none_on():
    """0 times the infinite derivative of sqrt at 0 is nan, which the plain function gives only if c is used."""

    def chosen(xs, c):
        return mc.where(mc.less(0.0, xs[0]), xs[0], c)

    v = Value(1.0)

    def other_structure(xs, c):
        return xs[0] * v if len(xs) == 1 else xs[0] * c

    assert captured_gradient(chosen, [1.0]) == [0.0, 0.0]
    assert captured_gradient(chosen, [-1.0]) == [float("inf")] * 2
    assert captured_gradient(other_structure, [1.0], [[1.0, 2.0]]) == [0.0, 0.0]
    assert captured_gradient(lambda xs, c: xs[0] + mc.less(c, 5.0), [1.0]) == [0.0, 0.0]
    plain, compiled = captured_gradient(lambda xs, c: xs[0] * c, [0.0])
    assert isnan(plain)
    assert isnan(compiled)


def test_a_derivative_that_would_leave_out_a_captured_value_is_refused():
    """The program takes the value as it is, so a derivative with respect to its operand would be wrong."""
    w, v = Value(2.0, "w"), Value(5.0, "v")
    c = w * 3.0
    f = compile(lambda xs: c * xs[0] * w * v if len(xs) == 1 else xs[0] * w * v)
    f([1.0]), f([1.0, 1.0])
    for method in (f.gradient, f.jacobian, f.hessian):
        with pytest.raises(ValueError, match=r"the function uses mul\(\.\.\.\), which was computed from w before"):
            method([([1.0],)], wrt=[w])
    assert f.gradient([([1.0],)], wrt=[v]) == [[12.0]]
    assert f.gradient([([1.0, 1.0],)], wrt=[w]) == [[5.0]]
    assert sorted(f.gradient([([1.0],)], wrt="parameters")[0]) == [10.0, 12.0, 30.0]
    assert f.backward([([1.0],)]) == 60.0
    assert (w.grad, v.grad) == (60.0, 12.0)


@pytest.mark.parametrize("branches", [False, True])
@pytest.mark.parametrize("options", [{}, {"each": True}])
def test_the_gradient_of_all_parameters_would_leave_out_a_captured_value_so_it_is_refused(options, branches):
    """`value_and_grad` raises what `fit` raises, also where machine code is ready for arrays of this shape."""
    w = Value(2.0, "w")
    penalty = 0.1 * w * w
    f = compile(lambda x: w * x * x + penalty if not branches or x > 1.5 else w * x + penalty, branches=branches)
    samples = (np.array([1.0, 2.0]),)
    for _ in range(40):  # so it is computed by code that is ready, or by a program for both branches
        assert [*np.ravel(f.value_and_grad(samples, "parameters", **options)[1])][-1] == 1.0
    for methods in (f, f.program(2.0)):
        with pytest.raises(ValueError, match=r"uses mul\(\.\.\.\), which was computed from w before .* detach\(\) it"):
            methods.value_and_grad(samples if methods is f else [[2.0]], **options)
    w.requires_grad = False
    assert f.value_and_grad(samples, **options)
    g = compile(lambda x: w * x + penalty.detach())
    w.requires_grad = True
    assert sorted(g.value_and_grad(samples)[1]) == [0.0, 1.5]


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_a_parameter_that_no_program_of_a_batch_uses_keeps_a_grad_of_none(order):
    """AdamW decays what has a gradient, even one of 0, so the order of recordings must not decide which has one."""
    w, v, u = Value(2.0), Value(3.0), Value(4.0)
    f = compile(lambda xs: w * xs[0] * (1.0 if len(xs) == 1 else v * (u.detach() if v > u else mc.less(u, 5.0))))
    for n in order:
        f([1.0] * n)
    optimizer = AdamW([w, v, u], lr=0.1, weight_decay=0.5)
    optimizer.zero_grad(set_to_none=True)
    f.backward([([1.0],)])
    assert (w._grad, v._grad, u._grad) == (1.0, None, None)
    optimizer.step()
    assert (v.data, u.data) == (3.0, 4.0)
    f.backward([([1.0],), ([1.0, 1.0],)])
    assert (v._grad is None, u._grad) == (False, 0.0)  # as after `backward()`, since a comparison has used u


def test_a_gradient_of_negative_zero_stays_when_a_program_does_not_use_the_parameter():
    """What another program adds does not touch it."""
    w, v = Value(2.0), Value(3.0)
    f = compile(lambda xs: w * xs[0] if len(xs) == 1 else v * xs[0] * w)
    f([1.0, 1.0]), f([1.0])
    v.grad = -0.0
    f.backward([([1.0],)])
    assert array("d", [v.grad]).tobytes() == array("d", [-0.0]).tobytes()


@pytest.mark.parametrize("language", ["python", "c", "llvm"])
@pytest.mark.parametrize("branches", [False, True])
def test_a_text_has_no_number_that_a_constant_had_before(language, branches):
    """Each other method raises an error, too."""
    w, c = Value(1.0), Value(2.0, "c", requires_grad=False)
    f = compile(lambda x: w * x * c if not branches or x > 0.0 else x * w, branches=branches)
    f(1.0)
    assert f.source(language)
    c.data = 5.0
    with pytest.raises(ValueError, match=r"c is a constant of the program, .* was 2\.0 then; now it is 5\.0"):
        f.source(language)
    c.data = 2.0
    assert f.source(language)
