"""Tests of `compiler.training.tracing`: which updates have one formula for all parameters and steps."""

import itertools
import logging
import time
import weakref
from functools import partial
from typing import ClassVar

import pytest

from micrograd_cn import Value
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
