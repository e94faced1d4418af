"""What a compiled function reads, branches on and captures: as the function itself has it, or refused, never silent."""

import pickle

import pytest

import micrograd_cn as mc
from micrograd_cn import Value, functional, gradients
from micrograd_cn.compiler import GuardError, compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.captured import Captured
from micrograd_cn.losses import binary_cross_entropy_with_logits
from micrograd_cn.nn import MLP
from micrograd_cn.optim import SGD

w = Value(2.0, "w")
constant = mc.no_grad()(lambda: Value(3.0, "c") * 2)()
table = {0.0: 1.0, 2.0: 3.0}


def test_what_is_read_of_a_computed_value_does_not_choose_a_branch_for_all():
    def f(x):
        d = w * x
        return d if d.item() > 0 else -d

    with pytest.raises(
        TypeError, match=r"mul\(...\) as .item\(\) would be the same number for every sample; write the"
    ):
        compile(f)(1.0)

    def pinball(x):
        d = w * x
        return 0.9 * d if d.data > 0 else -0.1 * d

    with pytest.raises(TypeError, match=r"mul\(...\) as .data would be"):
        compile(pinball).backward([(1.0,), (-1.0,)])
    assert w.grad == 0.0


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda x: x * (2 * x).data, r"mul\(...\) as .data would be"),
        (lambda x: x * (x + 1).exp().item(), r"exp\(...\) as .item\(\) would be"),
        (lambda x: 1.0 if x - 1 else -x, r"sub\(...\) as a condition would be"),
        (lambda x: -x if not x * 2 else x, r"mul\(...\) as a condition would be"),
        (lambda x: x if x - 1 == 0 else 2 * x, r"sub\(...\) as an operand of == would be"),
        (lambda x: x if 0 == x - 1 else 2 * x, r"sub\(...\) as an operand of == would be"),  # noqa: SIM300
        (lambda x: 2 * x if x in {0, 1} else x, "x as a key would be the same number for every sample; write take"),
        (lambda x: table.get(x, 5.0) * x, "x as a key would be"),
        (lambda x: table.get(x - 1, 5.0) * x, r"sub\(...\) as a key would be"),
        (lambda x: w * (2 * x).detach().data, r"detach\(...\) as .data would be"),
        (lambda x: mc.no_grad()(lambda: (w * x).data)() * x, r"detach\(...\) as .data would be"),
        (
            lambda x: (w * x).backward() or x,
            r"mul\(...\) as what backward\(\) starts from would be .* create_graph=True",
        ),
        (lambda x: x if x * 1.0 == x + 0.0 else 2 * x, r"mul\(...\) as an operand of == would be"),
        (
            lambda x: x * w.data,
            "w as .data would be the same number in all calls, whatever it becomes; write the value",
        ),
        (lambda x: x * (w * 2).item(), r"mul\(...\) as .item\(\) would be the same number in all calls"),
        (lambda x: x * float(f"{x * w:.17g}"), r"mul\(...\) as a formatted text would be"),
        (lambda x: x * float(f"{w:.17g}"), "w as a formatted text would be the same number in all calls"),
        (lambda x: x * (x * w).partials[1], r"mul\(...\) as what derivatives are read of would be"),
        (lambda x: x * gradients(x * x * w, [x])[0], r"mul\(...\) as the output of gradients\(\) without create_graph"),
        (lambda x: x * pickle.loads(pickle.dumps(x)), "x as a copy would be"),
        (lambda x: setattr(w, "data", 5.0) or x * w, "w is given data while a function is recorded"),
        (lambda x: setattr(y := x * w, "data", 5.0) or y * w, r"mul\(...\) is given data while a function is recorded"),
    ],
)
@pytest.mark.parametrize("mode", [lambda f: f, mc.no_grad()], ids=["recorded", "no_grad"])
def test_what_would_be_silent_is_refused_where_it_is_read(f, message, mode):
    with pytest.raises(TypeError, match=message) as caught:
        mode(compile(f))(1)
    assert str(caught.value).startswith(f"{__file__}, line {f.__code__.co_firstlineno}: ")


def test_a_value_that_is_read_after_it_was_recorded_is_a_plain_one():
    seen = []

    def f(x):
        seen.extend((x, x * w, w * 2))
        return seen[1] * 1.0

    compile(f)(3.0)
    assert [v.data for v in seen] == [3.0, 6.0, 4.0]
    assert [type(v) for v in seen] == [Value] * 3
    assert {seen[0]: 1}[seen[0]] == bool(seen[1]) == 1
    with pytest.raises(ZeroDivisionError):
        compile(lambda x: seen.append(x * 2) or 1 / 0)(1.0)
    assert seen[-1].item() == 2.0


def test_what_is_read_of_a_constant_is_that_number():
    assert compile(lambda x: x * constant.data if constant.item() > 1 else x)(2.0) == 12.0
    inside = compile(lambda x: x * mc.no_grad()(lambda: Value(4.0) * 2)().data)
    with pytest.raises(TypeError, match="in all calls"):
        inside(1.0)


def test_values_are_told_from_each_other():
    first = compile(lambda xs: 1.0 * xs.index(max(xs)))
    assert (first([1.0, 5.0, 2.0]), first([1.5, 3.0, 2.0])) == (1.0, 1.0)
    with pytest.raises(GuardError):
        first([7.0, 5.0, 2.0])
    same = compile(lambda x, y: 1.0 if x == y else 2.0 * x, branches=True)
    assert [same(1, 3), same(2, 3)] == [2.0, 4.0]
    with pytest.raises(TypeError, match="x as an operand of =="):
        same(3, 3)
    strict = compile(lambda x, y: 1.0 if x + 1 == y else 2.0 * x)
    assert strict(1, 3) == 2.0
    with pytest.raises(TypeError, match="y as an operand of =="):
        strict(2, 3)
    assert compile(lambda x: x if x == x and x != None and x != "x" else 0.0)(3) == 3.0  # noqa: E711


def test_the_truth_of_a_parameter_is_that_there_is_one():
    b = Value(0.0)
    assert compile(lambda x: x + b if b else x)(1.0) == 1.0


def test_derivatives_of_numbers_with_respect_to_which_parameters_have_a_part_are_those_of_every_call():
    a = Value(2.0)
    f = compile(lambda x: functional.grad(lambda t: a * t * t)(3.0) * x)
    assert f(1.0) == 12.0
    a.data = 5.0
    assert f(1.0) == 30.0


# Guards are recorded in any mode


@pytest.mark.parametrize("first", [lambda f: f(2.0), lambda f: f.program(2.0), lambda f: f.check([(2.0,)])])
def test_a_function_that_is_first_called_without_gradients_has_its_guards(first):
    w = Value(1.0)
    f = compile(lambda x: w * x if x > 0 else -w * x, branches=True)
    g = compile(lambda x: w * x if w * x > 0 else -w * x)
    with mc.no_grad():
        first(f)
        first(g)
    assert f(-3.0) == 3.0
    with pytest.raises(GuardError):
        g(-3.0)


# Values that were computed before


def captured():
    a, b = Value(2.0, "a"), Value(5.0, "b")
    c = a * 3.0
    d = (a * b).exp().tanh()
    return a, b, c, lambda x: c * x * b + mc.tanh(c) * d + (c if x > 0 else -d * c)


@pytest.mark.parametrize("mode", [lambda f: f, mc.no_grad()], ids=["recorded", "no_grad"])
def test_what_was_computed_before_stays_what_it_was(mode):
    a, b, c, f = captured()
    compiled = compile(f, branches=True)

    def agree():
        for x in (1.0, -2.0, 4.0):
            assert mode(compiled)(x) == pytest.approx(f(x).data, rel=1e-14)

    agree()
    a.data, b.data = 7.0, -3.0
    agree()
    c.data = 100.0
    agree()
    assert [type(p) for p in compiled.parameters].count(Captured) == 2


@pytest.mark.parametrize("samples", [[(1.0,), (2.0,)], [(1.0,), (-2.0,), (0.5,)]])
def test_its_gradient_goes_on_to_what_it_was_computed_from(samples):
    (a, b, _, f), (other, other_b, _, g) = captured(), captured()
    for p in (a, other):
        p.data = 9.0  # which changes nothing in what was computed before
    compiled = compile(f, branches=True)
    for _ in range(2):
        loss = mc.mean([g(x) for (x,) in samples])
        loss.backward()
        assert compiled.backward(samples) == pytest.approx(loss.data, rel=1e-12)
        assert (a.grad, b.grad) == pytest.approx((other.grad, other_b.grad), rel=1e-12)


def test_fit_trains_nothing_that_has_its_part_there():
    a, b = Value(2.0, "a"), Value(5.0, "b")
    c = a * 3.0
    f = compile(lambda x: (c * x - b) ** 2)
    message = r"fit\(\): the function uses mul\(...\), which was computed from a before it was called, and stays"
    for samples in ([(1.0,)], [(1.0,), (2.0,)]):
        with pytest.raises(ValueError, match=message):
            f.fit(samples, SGD([b, a]), 2)
    with pytest.raises(ValueError, match=message):
        f.program(1.0).fit([[1.0]], SGD([a]), 2)
    f.fit([(1.0,), (1.0,)], SGD([b], 0.25), 30)
    assert (round(b.data, 6), a.data, c.data) == (6.0, 2.0, 6.0)


def test_a_function_may_return_or_compare_what_was_computed_before():
    a = Value(2.0)
    c = a * 3.0
    f = compile(lambda x: [c, x if c > 5 else -x])
    assert f(1.0) == [6.0, 1.0]
    a.data = -1.0
    assert f(1.0) == [6.0, 1.0]
    c.data = 1.0
    with pytest.raises(GuardError):
        f(1.0)


def test_a_graph_that_was_recorded_is_computed_from_its_leaves():
    a, x = Value(2.0), Value(1.0)
    program = compile(a * 3.0 * x, [x])
    a.data = 5.0
    assert program(1.0) == 15.0


def test_networks_and_losses_read_nothing():
    model = MLP(2, [4, 1], seed=0)
    ps = model.parameters()
    f = compile(lambda x, t: binary_cross_entropy_with_logits(model(x), t) + 0.1 * mc.sum([p * p for p in ps]))
    g = f.__wrapped__
    assert f([1.0, 2.0], 1.0) == pytest.approx(g([1.0, 2.0], 1.0).data)
    assert len(f.parameters) == len(ps)
