"""Gradients where an operation has not selected a product with an infinite factor, with and without gates."""

from __future__ import annotations

import weakref
from math import inf, isnan, nan

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value, log, maximum, relu, where
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.instructions.gradient import differentiate
from micrograd_cn.compiler.instructions.graph import Graph
from micrograd_cn.compiler.instructions.lowering import Lowering
from micrograd_cn.compiler.runtime.executable import forget_tiers
from micrograd_cn.derivatives.selected import Gates
from micrograd_cn.optim import SGD

from .common import lanes

ROWS = [1, 2, 5, 40]  # rows one at a time, an unfinished block, and several blocks


def _parameters():
    return Value(2.0, "a"), Value(inf, "b"), Value(3.0, "c")


def _product(a, b, c):
    return lambda x: relu(x * b * a) + c * x * x  # x is negative, so relu does not select the infinite product


def _sum_of_products(a, b, c):
    return lambda x: relu(mc.dot([a, a, c], [x * b, x, x])) + c * x * x


FUNCTIONS = pytest.mark.parametrize("function", [_product, _sum_of_products])


def _by_the_engine(f, parameters, xs):
    for p in parameters:
        p.zero_grad()
    loss = sum([f(x) for x in xs], 0.0) / len(xs)
    loss.backward()
    return [loss.data, *[p.grad for p in parameters]]


def _samples(n):
    return [-1.0 - k / 8 for k in range(n)]


def _selects(y, inputs, gated):
    """Return how many selections the code has that computes the gradient of a graph."""
    lowering = Lowering(Graph([y], inputs))
    differentiate(lowering, Gates.ALL if gated else Gates.NONE)
    return sum(opcode == "select" for opcode, *_ in lowering.code.instructions)


def test_gates_of_the_weights_of_a_layer_are_omitted():
    x, w, v = (np.vectorize(Value, otypes=[object])(np.ones(shape)) for shape in (4, (4, 6), (6, 5)))
    y = mc.sum([*relu(relu(x @ w) @ v)])
    assert _selects(y, [*x], gated=True) >= 6 * 5
    assert _selects(y, [*x], gated=False) == 0  # relu has an opcode of its own


def test_the_partial_derivative_of_a_logarithm_has_a_gate_since_it_is_often_infinite():
    x, w = Value(0.0), Value(2.0)
    program = compile(where(x, log(w * x), 0.0), [x])
    program.backward([[0.0], [1.0]])
    assert w.grad == 0.25
    assert "gated" not in program.compiled._lowerings  # nothing was computed anew


@FUNCTIONS
@pytest.mark.parametrize("n", ROWS)
def test_backward_gives_what_the_engine_gives(function, n, code):
    parameters = _parameters()
    f, xs = function(*parameters), _samples(n)
    compiled = compile(f)
    for threads in (1, 2):
        expected = _by_the_engine(f, parameters, xs)
        for p in parameters:
            p.zero_grad()
        loss = compiled.backward([(x,) for x in xs], threads=threads)
        assert [loss, *[p.grad for p in parameters]] == pytest.approx(expected)
        assert [p.grad for p in parameters[:2]] == [0.0, 0.0]


@FUNCTIONS
@pytest.mark.parametrize("n", ROWS)
def test_prepared_calls_give_what_the_engine_gives(function, n, code):
    parameters = _parameters()
    f, xs = function(*parameters), _samples(n)
    compiled, expected = compile(f), _by_the_engine(f, parameters, xs)
    for _ in range(120):
        loss, found = compiled.value_and_grad((np.array(xs),))
        of = dict(zip(compiled.parameters, found, strict=True))
        assert [loss, *[of[p] for p in parameters]] == pytest.approx(expected)


def test_a_gradient_that_is_nan_with_gates_is_nan():
    a, b = Value(2.0), Value(inf)
    compile(lambda x: relu(x * b * a) * 0.0).backward([(1.0,)])  # relu selects the product, and 0 * inf is nan
    assert isnan(a.grad)
    assert b.grad == 0.0


def _train_by_hand(f, parameters, xs, batch, epochs, rates, norm):
    optimizer, losses = SGD(parameters, lr=0.1), []
    for _ in range(epochs):
        for k in range(0, len(xs), batch):
            loss, *gradients = _by_the_engine(f, parameters, xs[k : k + batch])
            losses.append(loss)
            size = sum(g * g for g in gradients) ** 0.5
            scale = min(1.0, norm / size) if norm else 1.0
            optimizer.lr = rates(len(losses) - 1)
            for p, g in zip(parameters, gradients, strict=True):
                p.grad = g * scale
            optimizer.step()
    return losses


TRAINED = [lambda x, a, b: relu(x * b * a), lambda x, a, b: relu(mc.dot([a, a], [x * b, x]))]


@pytest.mark.parametrize("selected", TRAINED, ids=["product", "sum of products"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("scheduled", "norm"), [(False, None), (True, None), (False, 0.5), (True, 0.5)])
def test_fit_computes_a_step_anew_where_a_row_spoils_it(scheduled, norm, threads, selected, code):
    xs = [*_samples(9), -inf, *_samples(10)]  # the infinite row is in the fourth batch

    def rates(step):
        return 0.1 / (1 + step) if scheduled else 0.1

    def made():
        a, b, c = Value(0.3), Value(0.5), Value(0.2)
        return [a, b, c], lambda x: selected(x, a, b) * 3.0 + relu(c + 1.0)

    (expected, f), (found, g) = made(), made()
    losses = _train_by_hand(f, expected, xs, 3, 2, rates, norm)
    asked = []
    schedule = (lambda step: asked.append(step) or rates(step)) if scheduled else None
    history = compile(g).fit(
        (np.array(xs),), SGD(found, lr=0.1), 2, 3, schedule=schedule, clip_grad_norm=norm, each_step=True,
        threads=threads,
    )  # fmt: skip
    assert [p.data for p in found] == pytest.approx([p.data for p in expected], rel=1e-5)
    assert list(history) == pytest.approx(losses, rel=1e-5)
    assert asked == (list(range(14)) if scheduled else [])


def test_fit_with_several_programs_computes_a_step_anew():
    a, b = Value(0.5), Value(2.0)

    def f(x):
        return relu(x * b * a) + a * a if x < 0 else a * b * x

    xs = [-1.0, 2.0, -inf, 3.0, -2.0, 0.5]
    expected = [Value(0.5), Value(2.0)]
    compiled = compile(f, branches=True)
    compiled.fit([(x,) for x in xs], SGD([a, b], lr=0.01), 3)
    p, q = expected
    _train_by_hand(lambda x: relu(x * q * p) + p * p if x < 0 else p * q * x, expected, xs, 6, 3, lambda _: 0.01, None)
    assert [a.data, b.data] == pytest.approx([p.data, q.data])


def test_the_c_source_has_gates_whatever_was_computed_before():
    a, b, x = Value(2.0, "a"), Value(nan, "b"), Value(-1.0, "x")
    texts = []
    for differentiated in (False, True):
        program = compile(relu(x * a * b), [x])
        if differentiated:
            program.backward([[-1.0]])
        texts.append(program.source("c", optimizer=SGD([a, b], lr=0.1)))
    assert texts[0] == texts[1]


def test_code_with_gates_is_freed_with_its_program():
    parameters = _parameters()
    x = Value(-1.0)
    program = compile(_product(*parameters)(x), [x])
    program.backward([[-1.0]])
    held = weakref.ref(program.compiled.select_executable("gated", 1))
    assert held()
    del program
    forget_tiers()
    assert held() is None


@pytest.mark.parametrize("unselected", [lambda a, b, c: a * b * c, lambda a, b, c: mc.dot([a, c], [b, 2.0])])
def test_factors_that_do_not_depend_on_the_row_have_gates(unselected):
    a, b, c = Value(2.0), Value(inf), Value(3.0)
    compiled = compile(lambda x: where(mc.less(x, 0.0), unselected(a, b, c), a * x))
    for n in ROWS:
        for p in (a, b, c):
            p.zero_grad()
        compiled.backward([(1.0,)] * n)
        assert [a.grad, b.grad, c.grad] == pytest.approx([1.0, 0.0, 0.0])


def test_no_step_is_taken_after_a_norm_that_is_not_finite_though_a_later_step_is_computed_anew():
    a, b, c = Value(0.5), Value(2.0), Value(0.1)

    def f(xs):
        return relu(xs[0] * b * a) + c * c if len(xs) == 2 else c * xs[0]

    one, two = [1.0], [-1.0, 0.0]
    samples = [(xs,) for xs in (two, one, two, one, [inf], [-inf, 0.0], two)]
    optimizer = SGD([a, b, c], lr=0.1)
    with pytest.raises(ValueError, match="norm"):
        compile(f).fit(samples, optimizer, 1, 1, clip_grad_norm=1.0)
    assert optimizer.steps == 4


@pytest.mark.parametrize("xs", [[-1.0], [2.0], [-1.0, 2.0]])
@pytest.mark.parametrize("factors", [lambda x: [inf, x], lambda x: [x, nan], lambda x: [-inf, nan]])
def test_a_constant_factor_of_a_sum_that_is_infinite_or_nan_counts_where_the_sum_is_selected_alone(xs, factors):
    parameters = v, w = Value(3.0), Value(5.0)

    def f(x):
        return where(mc.less(0.0, x), mc.dot([v, w], factors(x)), 0.0)

    expected = _by_the_engine(f, parameters, [Value._constant(x) for x in xs])
    for p in parameters:
        p.zero_grad()
    loss = compile(f).backward([(x,) for x in xs])
    assert repr([loss, *[p.grad for p in parameters]]) == repr(expected)


ALONE = [lambda a, b: a * b, lambda a, b: mc.dot([a, a], [b, 2.0]), lambda a, b: mc.sum([a * b, b])]


@pytest.mark.parametrize("product", ALONE)
@pytest.mark.parametrize("others", [lambda a, c: c * c, lambda a, c: maximum(a, c * c)])
def test_gates_of_a_program_without_inputs(product, others):
    """Totals do not tell that a factor was infinite if nothing depends on a row, but the gradients do."""
    a, b, c = Value(2.0), Value(-inf), Value(3.0)
    program = compile(relu(product(a, b)) + others(a, c), [])
    for _ in range(3):
        for p in (a, b, c):
            p.zero_grad()
        program.backward([[]])
        assert [a.grad, b.grad, c.grad] == [0.0, 0.0, 6.0]


def test_a_branch_that_is_not_taken_may_have_an_infinite_factor():
    """The rows of the first calls are sorted by branches. Later calls use one program, which computes all branches."""
    a, b = Value(0.5), Value(2.0)
    f = compile(lambda x: mc.dot([a, b], [1.0 / x, x]) if x > 0.0 else a * x, branches=True)
    for _ in range(120):
        a.zero_grad(), b.zero_grad()
        f.backward((np.array([2.0, 0.0, -1.0, 4.0]),))
        assert [a.grad, b.grad] == [(0.5 + 0.0 - 1.0 + 0.25) / 4, 1.5]


@pytest.mark.parametrize("extra", [1, 2, 5])
@pytest.mark.parametrize("blocks", [0, 1, 40])
def test_lanes_without_a_row_spoil_no_total(code, blocks, extra):
    """A derivative that is infinite in all rows makes its own total infinite, not nan, and leaves all others alone."""
    n, w, v, u = blocks * lanes() + extra, Value(0.0), Value(0.5), Value(2.0)
    rows = [(1.0 + 0.25 * k, -0.5 * k) for k in range(n)]
    program = compile(lambda x, y: mc.sqrt(w * x) + v * y + mc.tanh(u * x) * v)
    mean, gradients = program.value_and_grad(rows, [w, v, u])
    for k, p in enumerate((w, v, u)):
        total = sum([mc.sqrt(w * x) + v * y + mc.tanh(u * x) * v for x, y in rows])
        w.grad = v.grad = u.grad = 0.0
        total.backward()
        assert gradients[k] == pytest.approx(p.grad / n, rel=1e-12)
    assert gradients[0] == inf
    assert mean == pytest.approx(total.data / n)


def test_the_operands_of_a_wide_operation_are_not_searched_one_by_one(monkeypatch):
    """For 10,000 operands, this took as long as all other steps of compiling together."""
    searched = []

    class Operands(list[int]):
        def __contains__(self, x):
            searched.append(x)
            return super().__contains__(x)

    x, ws = Value(0.5), [Value(0.1 * k) for k in range(30)]
    lowering = Lowering(Graph([mc.logsumexp(ws) * x], [x]))
    numbers = lowering.numbers
    monkeypatch.setattr(lowering, "numbers", lambda nodes: Operands(numbers(nodes)))
    differentiate(lowering)
    assert len(searched) <= 2  # of the multiplication
