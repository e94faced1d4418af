"""Tests of `compiler.training.tracing`: which updates have one formula for all parameters and steps."""

import itertools
import logging
import random
import time
import weakref
from functools import partial
from typing import ClassVar

import pytest

from micrograd_cn import Value, div, equal, where
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.training import tracing
from micrograd_cn.module import Module
from micrograd_cn.optim import SGD, Optimizer


class Line(Module):
    def __init__(self):
        self.w, self.b = Value(1.0), Value(0.25)

    def forward(self, x):
        return self.w * x + self.b

    def norm(self):
        return sum(p.grad**2 for p in self.parameters())


class Holder:
    """An object that counts its calls, and holds something."""

    def __init__(self, held=None):
        self.held, self.calls = held, 0

    def count(self):
        self.calls += 1
        return 0.5 if self.calls <= 9 else 0.25

    def norm(self):
        return sum(p.grad**2 for p in self.held)

    def memo(self):
        if "rate" not in self.held:
            self.held["rate"] = 0.5
        return self.held["rate"]


class Own(Optimizer):
    """An optimiser whose attribute `f` gives a factor of the gradient."""

    times = 0
    log: ClassVar = []

    def update(self, p, state):
        p.data -= self.lr * self.f() * p.grad

    def norm(self):
        return sum(p.grad**2 for p in self.parameters)

    def halving(self):
        return self.lr / self.steps

    def counting(self):
        type(self).times += 1
        return 0.5 if self.times <= 9 else 0.25


class Halving(Own):
    """A class that hides the count of its base when it counts."""


LOG, logger = [], logging.getLogger(__name__)
counted = 0


def count_global():
    global counted
    counted += 1
    return 0.5 if counted <= 9 else 0.25


def count_nonlocal():
    count = 0

    def counted():
        nonlocal count
        count += 1
        return 0.5 if count <= 9 else 0.25

    return counted


def linked():
    """Return a function that holds two objects with weak references to each other."""
    first, second = Holder(), Holder()
    first.held, second.held = weakref.ref(second), weakref.ref(first)
    return lambda pair=(first, second): 0.5 + pair[0].held().calls


def fitted(f, kind=Own, schedule=None):
    """Return the weights after `fit`, and after `backward` and `step`; `f(model, optimizer)` returns the factor."""
    found = []
    for fits in (True, False):
        model = Line()
        optimizer = kind(model.parameters(), 0.25)
        optimizer.f = f(model, optimizer)
        loss = compile(lambda x, model=model: (model(x) - 1.0) ** 2)
        if fits:
            loss.fit([(2.0,), (1.0,)], optimizer, 3, schedule=schedule)
            assert (type(optimizer.lr), optimizer.steps, optimizer.parameters) == (float, 3, model.parameters())
        for step in range(0 if fits else 3):
            optimizer.lr = schedule(step) if schedule else 0.25
            optimizer.zero_grad()
            loss.backward([(2.0,), (1.0,)])
            optimizer.step()
        found.append([p.data for p in model.parameters()])
    return found


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda model, _: lambda: model.norm(), "read other parameters"),
        (lambda model, _: lambda: model.w.grad, "read other parameters"),
        (lambda model, _: partial(Line.norm, model), "read other parameters"),
        (lambda model, _: model.norm, "read other parameters"),
        (lambda model, _: Holder(model.parameters()).norm, "read other parameters"),
        (lambda model, _: Holder([[Value(1.0)] * 10_001]).norm, "read other parameters"),
        (lambda model, _: partial(lambda refer: refer().norm(), weakref.ref(model)), "read other parameters"),
        (lambda _, o: o.norm, r"it reads self\.parameters.*write self\.count = len\(self\.parameters\) in __init__"),
        (lambda _, o: lambda: len(o.state), r"it reads self\.state.*write state\['"),
        (lambda _, o: lambda: 0.5 ** (o.steps // 4), r"write \(x / y\)\.floor\(\)"),
        (lambda _, o: lambda: float(o.steps), "micrograd_cn's functions"),
        (lambda *_: Holder().count, "changes something beside p.data and state"),
        (lambda *_: count_global, "changes something beside"),
        (lambda *_: count_nonlocal(), "changes something beside"),
        (lambda _, o: o.counting, "changes something beside"),
        (lambda _, o: lambda: LOG.append(o.lr) or 1.0, "changes something beside"),
        (lambda _, o: lambda: o.log.append(o.lr) or 1.0, "changes something beside"),
        (lambda *_: partial(next, itertools.cycle([0.5] * 9 + [0.25])), "an iterator"),
        (lambda *_: lambda: 0.5 if time.time() else 1.0, "a clock"),
    ],
)
def test_an_update_that_differs_between_parameters_or_steps_is_refused_and_changes_nothing(f, message):
    with pytest.raises(TypeError, match=rf"cannot compile the update of Halving.*{message}.*use backward\(rows\)"):
        fitted(f, Halving)
    assert (LOG, Own.log, counted, "times" in vars(Halving)) == ([], [], 0, False)


@pytest.mark.parametrize(
    "f",
    [
        lambda _, o: lambda: 1.0 / (1.0 + o.steps),
        lambda _, o: o.halving,
        lambda *_: lambda: logger.debug("a step") or 0.5,
        lambda *_: Holder({}).memo,
        lambda *_: linked(),
        lambda model, o: setattr(o, "model", model) or (lambda: 0.5),
    ],
)
def test_an_update_may_call_functions_that_read_its_optimiser_and_that_keep_a_number(f):
    """They get the learning rate and the count of each step, whatever way they reach the optimiser."""
    ours, theirs = fitted(f, schedule=lambda step: 0.25 / (1.0 + step))
    assert ours == pytest.approx(theirs, rel=1e-12)


def test_the_update_of_one_optimiser_reads_the_rate_of_the_schedule():
    """An object may have its own `update`, which reads the object by a variable."""
    w = Value(1.0)
    optimizer = SGD([w], lr=9.0)
    optimizer.update = lambda p, state: setattr(p, "data", p.data - optimizer.lr * p.grad)
    compile(lambda x: w * x).fit([(1.0,)], optimizer, 2, schedule=lambda step: 0.25)
    assert w.data == 0.5


def test_an_update_may_call_that_of_another_optimiser_which_it_holds():
    """The parameters of the other optimiser are not read, and it has its own learning rate."""

    class Slowed(Optimizer):
        state_names = SGD.state_names

        def __init__(self, parameters, lr):
            super().__init__(parameters, lr)
            self.inner = SGD(parameters, lr=0.5, momentum=0.9)

        def update(self, p, state):
            before = p.data
            self.inner.update(p, state)
            p.data = before + self.lr * (p.data - before)

    ours, theirs = fitted(lambda *_: None, Slowed)
    assert ours == pytest.approx(theirs, rel=1e-12)


def test_an_interrupted_trace_leaves_the_optimiser_as_it_was():
    def interrupt():
        optimizer.own = 1.0
        raise KeyboardInterrupt

    w = Value(1.0)
    optimizer = Own([w], 0.25)
    optimizer.f, optimizer.inner = interrupt, SGD([w])
    before = [dict(vars(x)) for x in (optimizer, optimizer.inner)]
    with pytest.raises(KeyboardInterrupt):
        tracing.trace_update(optimizer, is_users=True)
    assert [vars(x) for x in (optimizer, optimizer.inner)] == before


def caught_inverse(self, p, state):
    try:
        factor = 1 / p.grad
    except ZeroDivisionError:
        factor = 0.0
    p.data -= self.lr * factor


def caught_power(self, p, state):
    try:
        factor = p.grad**-1
    except ArithmeticError:
        factor = 0.0
    p.data -= self.lr * factor


def caught_remainder(self, p, state):
    try:
        factor = p.data % p.grad
    except Exception:  # the handler that is tested
        factor = 0.0
    p.data -= self.lr * factor


def sign(self, p, state):
    p.data -= self.lr * p.grad / abs(p.grad)


def rate_by_steps(self, p, state):
    p.data -= self.lr * p.grad * (1 / (self.steps - 1))


def overflow(self, p, state):
    p.data -= self.lr * (p.grad * 1e200) ** 2


def caught_for_no_float(self, p, state):
    try:
        p.data -= self.lr * p.grad / 2.0 + (p.grad * p.grad) ** 0.5
    except ArithmeticError:
        p.data = 0.0


def with_div(self, p, state):
    p.data -= self.lr * where(equal(p.grad, 0.0), 0.0, div(p.grad, abs(p.grad))) + p.grad / (1e-8 + p.grad * p.grad)


def parameters_after(update, compiled):
    """Train two parameters, one of which has the gradient 0, and return their data or the class of the error."""
    parameters = [Value(0.5), Value(-1.0)]
    optimizer = type("Own", (Optimizer,), {"update": update})(parameters, lr=0.125)

    def loss(x):
        return parameters[0] * x + (parameters[1] * x).relu()

    try:
        if compiled:
            compile(loss).fit([(1.0,)], optimizer, epochs=3)
        for _ in range(0 if compiled else 3):
            optimizer.zero_grad()
            loss(1.0).backward()
            optimizer.step()
    except (ArithmeticError, TypeError) as error:
        assert not compiled or [p.data for p in parameters] == [0.5, -1.0]
        return error
    return [p.data for p in parameters]


@pytest.mark.parametrize("update", [caught_inverse, caught_power, caught_remainder])
def test_an_update_that_catches_an_arithmetic_error_is_refused(update):
    """Python's operators raise this error for some floats, and machine code gives inf."""
    with pytest.raises(TypeError, match=r"raises ZeroDivisionError, which the code catches.*write where"):
        raise parameters_after(update, compiled=True)


@pytest.mark.parametrize("update", [sign, rate_by_steps, overflow])
def test_fit_raises_an_error_where_an_operator_of_a_users_update_would(update):
    """Machine code goes on with inf or nan, so it counts the errors. What it has computed is dropped."""
    assert isinstance(parameters_after(update, compiled=False), ArithmeticError)
    with pytest.raises(ArithmeticError, match=r"for parameters.*would raise ZeroDivisionError or OverflowError"):
        raise parameters_after(update, compiled=True)


@pytest.mark.parametrize("option", ["schedule", "shuffle", "progress"])
def test_a_function_of_the_user_sees_no_parameter_after_such_an_error(option):
    """In Python, the error comes before the function is called. The first step goes well, and the second does not."""
    w, seen = Value(1.0), []

    class Inverse(Optimizer):
        def update(self, p, state):
            p.data -= self.lr / p.data

    def look(xs):
        seen.append(w.data)
        return xs

    class Order(random.Random):
        def shuffle(self, order):
            look(order)

    looking = {
        "schedule": lambda step: look(1.0),
        "shuffle": Order(),
        "progress": look,
    }[option]
    with pytest.raises(ArithmeticError, match=r"for parameters\[0\] of the optimizer"):
        compile(lambda x: w * x).fit([(1.0,)], Inverse([w], lr=1.0), 4, **{option: looking})
    assert seen == ([0.0] if option == "progress" else [1.0, 0.0])


@pytest.mark.parametrize("update", [with_div, caught_for_no_float])
def test_an_update_that_divides_without_an_error_trains_as_in_python(update):
    """A division by 0 in `div` raises no error for floats, either, and neither do x / 2 and x ** 0.5."""
    assert parameters_after(update, compiled=True) == pytest.approx(parameters_after(update, compiled=False))


def test_the_count_of_errors_is_beside_the_state_and_the_frozen_parameters():
    """A parameter that is frozen, or was skipped before, does not change, and its division by 0 is no error."""
    parameters = [Value(0.5), Value(-1.0), Value(2.0)]

    class Momentum(Optimizer):
        state_names = ("momentum",)

        def update(self, p, state):
            state["momentum"] = 0.5 * state["momentum"] + p.grad / abs(p.grad) / self.steps
            p.data -= self.lr * state["momentum"]

    def trained(compiled):
        for p, data in zip(parameters, (0.5, -1.0, 2.0), strict=True):
            p.data, p.requires_grad = data, True
        optimizer = Momentum(parameters, lr=0.125)
        loss = lambda x: parameters[0] * x * parameters[2] + (parameters[1] * x).relu()  # noqa: E731
        for frozen in (1, 2), (1,):
            for k, p in enumerate(parameters):
                p.requires_grad = k not in frozen
            if compiled:
                compile(loss).fit([(1.0,)], optimizer, epochs=2)
            for _ in range(0 if compiled else 2):
                optimizer.zero_grad()
                loss(1.0).backward()
                optimizer.step()
        return [p.data for p in parameters]

    assert trained(True) == pytest.approx(trained(False))
    parameters[1].requires_grad = True
    with pytest.raises(ArithmeticError, match=r"for parameters\[1\] of the optimizer"):
        compile(lambda x: sum(parameters) * x + (parameters[1] * x - parameters[1] * x)).fit(
            [(0.0,)], Momentum([Value(1.0), parameters[1]], lr=0.125), epochs=1
        )
