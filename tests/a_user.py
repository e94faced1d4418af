"""A user's file that uses every public name. `test_wheel.py` has `mypy --strict` check it, and runs it."""

import math
import random
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, assert_type

from hypothesis import given, reject

import micrograd_cn as mc
from micrograd_cn import (
    Op,
    Tape,
    Value,
    compare_gradients,
    compiler,
    draw_dot,
    flow,
    functional,
    init,
    losses,
    nn,
    optim,
    picture,
    testing,
)
from micrograd_cn.module import Module
from micrograd_cn.nn import MLP, Activation, Layer, Neuron


def the_first_example(folder: Path) -> None:
    w, x, b = Value(-3, "w"), Value(2, "x"), Value(6.88, "b")
    y = (w * x + b).tanh()
    y.backward()
    assert_type(y, Value)
    assert_type(w.grad, float)
    assert_type(compare_gradients(y), None)
    assert_type(draw_dot(y, parameters=[w, b]).source, Any)  # graphviz has no types
    assert_type(draw_dot(y), picture.Picture)
    assert_type(draw_dot(y).render(outfile=folder / "neuron.svg"), str)
    assert_type(mc.draw_flow(y).save(folder / "flow.html"), Path)
    assert_type(mc.playground().save(folder / "playground.html"), Path)
    tape = Tape()
    tape.snapshot(y)
    assert_type(tape.save(folder / "training.html"), Path)
    for draw in (picture.draw_dot, mc.draw_dot, mc.picture.draw_dot):
        assert draw is draw_dot
    assert (flow.Tape, flow.draw_flow, flow.playground) == (mc.Tape, mc.draw_flow, mc.playground)
    try:
        draw_dot(y, format="pdf").pipe()
    except picture.RenderError as error:
        assert_type(error, picture.RenderError)


def operations(a: Value, b: Value, one: float) -> Value:
    assert_type([a + 1, 1 - a, a * b, a / 2, 2**a, -a, abs(a), a.relu(), a.elu(0.5), a.log()], list[Value])
    assert_type(a > b, bool)
    assert_type(a.data, float)
    of_one = [
        *(mc.abs, mc.acos, mc.asin, mc.atan, mc.cos, mc.cosh, mc.elu, mc.erf, mc.erfc, mc.exp, mc.expm1, mc.gelu),
        *(mc.leaky_relu, mc.log, mc.log1p, mc.neg, mc.relu, mc.sech, mc.sigmoid, mc.silu, mc.sin, mc.sinh),
        *(mc.softplus, mc.sqrt, mc.step, mc.tan, mc.tanh, mc.digamma, mc.erfinv, mc.floor, mc.lgamma),
    ]
    of_two = [mc.add, mc.atan2, mc.div, mc.equal, mc.hypot, mc.less, mc.less_equal, mc.maximum, mc.minimum, mc.mul]
    of_two += [mc.pow, mc.sub, mc.logaddexp, mc.remainder]
    assert_type(of_one, list[Op])
    every = [op(a) for op in of_one] + [op(a, 2.0) for op in of_two] + [op(one) for op in of_one]
    assert_type(mc.relu(a), Value)
    assert_type(mc.leaky_relu(a, negative_slope=0.1), Value)
    assert_type(mc.add(2, a), Value)
    assert_type([mc.sum([a, 2.0]), mc.logsumexp([2.0, a]), mc.mean([a, 1]), *mc.softmax([a, 1])], list[Value])
    assert_type([mc.relu(one), mc.add(one, 2), mc.sum([one, 2]), mc.mean([1, 2]), *mc.softmax([1, 2])], list[float])
    assert_type(mc.dot([one], [Fraction(1, 2)]), float)
    total: Value = mc.sum(every, 0.0) + mc.dot([a, b], [b, 1.0], a) + mc.logsumexp([a, 2.0]) + mc.mean([a, b])
    total += mc.where(mc.less(a, b), a, b) + mc.take([a, b], 1) + mc.softmax([a, b])[0]
    number: float = mc.relu(one) + mc.add(one, 2) + mc.sum([one, 2]) + mc.dot([one], [Fraction(1, 2)])
    assert_type([mc.clip(a, 0.0, 1.0), mc.polygamma(1, a), *mc.log_softmax([a, 1])], list[Value])
    assert_type(mc.solve([[a, 0.0], [0.0, b]], [1.0, 2.0]), list[Any])
    assert mc.OPS["tanh"] is mc.tanh
    return total * number


def modes_scopes_and_gradients(x: Value) -> None:
    with mc.no_grad(), mc.scope("part"):
        y = x * x
    with mc.detect_anomaly():
        z = x * x + y
    assert_type(mc.gradients(z, [x]), list[float])
    assert_type(mc.gradients(z, [x], create_graph=True), list[Value])

    @mc.no_grad()
    def double(x: Value) -> Value:
        return 2 * x

    assert_type(double(x), Value)


def functions() -> None:
    def f(v: list[Value]) -> Value:
        return v[0] ** 2 * v[1]

    slopes: list[float] = functional.grad(f)([2, 3])
    value, again = functional.value_and_grad(f)([2, 3])
    rows: list[list[float]] = functional.hessian(f)([2, 3])
    assert_type(functional.sparse_hessian(f, lower=True)([2, 3]), functional.Sparse)
    assert_type(functional.sparse_jacobian(f)([2, 3]).rows, list[int])
    _, along = functional.jvp(f, [2, 3], [1, 0])
    _, pull = functional.vjp(f, [2, 3])
    assert slopes == again == functional.jacobian(f)([2, 3]) == pull(1)
    assert (rows[0], along) == (functional.hvp(f, [2, 3], [1, 0]), 12.0)
    assert value == 12.0


class Line(Module):
    def __init__(self) -> None:
        self.slope, self.offset = Value(2), Value(1)

    def __call__(self, x: Value) -> Value:
        return self.slope * x + self.offset


def training(folder: Path) -> None:
    rng = random.Random(0)
    drawn = [init.kaiming_normal(rng, 2, 3), init.kaiming_uniform(rng, 2, 3), init.uniform(rng, 2, 3)]
    drawn += [init.xavier_normal(rng, 2, 3), init.xavier_uniform(rng, 2, 3), init.zeros(rng, 2, 3)]
    assert_type(drawn, list[float])
    activation: Activation = Line()
    parts: list[Module] = [Neuron(2, activation=activation, init=init.constant(0.5)), Layer(2, 3), Line()]
    assert_type(Neuron(2)([1, 2.5]), Value)
    assert isinstance(parts[0], nn.Module)
    assert nn.init is init
    model = mc.nn.MLP(2, [2, 1], activation="tanh", seed=0)
    assert_type(model, MLP)
    output: Value = model([0.5, Value(1)])
    labels = [1.0, 0.0]
    loss = losses.binary_cross_entropy_with_logits([output, output], labels)
    loss += losses.mse_loss(output, 1.0) + losses.l1_loss([output], [1]) + losses.huber_loss(output, 0, delta=0.5)
    loss += losses.hinge_loss([output], [1]) + losses.cross_entropy([output, 1.0], 0)
    loss += losses.nll_loss([[output, 1.0]], [0], reduction="sum")
    loss += losses.binary_cross_entropy(output.sigmoid(), 1)
    optimizers: list[optim.Optimizer] = [
        optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
        optim.RMSprop(model.parameters(), momentum=0.9),
        optim.Adam(model.parameters()),
        optim.AdamW(model.parameters(), lr=optim.warmup(optim.cosine_lr(0.1, 10), 2)(1)),
    ]
    rates: list[Callable[[int], float]] = [optim.linear_lr(0.1, 10), optim.step_lr(0.1, 5)]
    for step, optimizer in enumerate(optimizers):
        optimizer.zero_grad()
        loss.backward()
        assert_type(optim.clip_grad_norm(model.parameters(), 1.0), float)
        optimizer.lr = rates[0](step)
        optimizer.step()
    assert_type(model.parameters(), list[Value])
    model.save(folder / "model.json")
    model.load(folder / "model.json")


def checking() -> None:
    cube = Op("cube", lambda x: x * x * x, (lambda y, x: 3.0 * x * x,))
    assert_type(mc.define(Op("a_users_cube", cube.forward, cube.partials)), Op)

    @given(testing.expressions([cube, mc.add]))
    def agrees(f: testing.Expression) -> None:
        try:
            testing.gradcheck(f, *f.point)
        except testing.TooNoisy:  # a cube of a cube may be flat beside a large number
            reject()

    agrees()
    try:
        testing.gradcheck(lambda x: math.exp(x), 0.5, gradient=lambda x: 2 * math.exp(x))
    except testing.GradientMismatch:
        pass
    except (testing.NotDeterministic, testing.TooNoisy, testing.NothingCompared):
        raise
    test_square = testing.checks_gradient(lambda x: (x * x).sum(), (3,), gradient=lambda x: 2 * x)
    assert_type(test_square(), None)
    assert_type(list(testing.find_functions("math")), list[str])
    assert issubclass(testing.PartlyCompared, Warning)
    assert_type(testing.check_op(cube), dict[str, str])
    testing.points(3), testing.values(0, 1), testing.networks()


def compiling() -> None:
    w = Value(3, "w")

    @compiler.compile
    def f(x: Value) -> Value:
        return w * x

    assert_type(f, compiler.CompiledFunction)
    result: float = f(10)
    assert_type(f.backward([(1,), (10,)]), float)
    history: list[float] = f.fit([(1,)], optim.SGD([w], lr=0.1), epochs=1)
    stopping = optim.EarlyStopping([w], patience=2)
    assert_type(stopping.improves(history[-1]), bool)
    assert_type(stopping.step(history[-1]), bool)
    x = Value(2, "x")
    program = compiler.compile(w * x * x, inputs=[x])
    assert_type(program, compiler.Program)
    assert program.forward([[1.0]]) is not None
    assert_type(program.derivative("hessian"), compiler.CompiledDerivative)
    assert_type(program.hessian_structure(), compiler.Structure)
    assert_type(compiler.scipy_functions(program), dict[str, Any])
    assert_type(compiler.parameters_to_vector([w]), Any)
    assert_type(compiler.vector_to_parameters([3.0], [w]), None)
    try:
        f.check([(1,)])
    except (compiler.GuardError, compiler.Mismatch):
        raise
    assert result == 30.0


def main(folder: Path) -> None:
    the_first_example(folder)
    operations(Value(0.5), Value(0.25), 0.5)
    modes_scopes_and_gradients(Value(2))
    functions()
    training(folder)
    checking()
    compiling()
