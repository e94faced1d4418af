"""All optimisers check their parameters, and save, load and copy their state. A wrong state changes nothing."""

import copy
import gc
import json
import math
import pickle
import subprocess
import sys
import warnings
from contextlib import nullcontext
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, partial

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value, compiler, no_grad, quick
from micrograd_cn.module import Module
from micrograd_cn.nn import MLP, Layer, Neuron
from micrograd_cn.optim import SGD, Adam, AdamW, EarlyStopping, Optimizer, RMSprop, clip_grad_norm, step_lr
from micrograd_cn.optim import optimizer as optimizers
from micrograd_cn.optim.by_optimizer import ByOptimizer
from micrograd_cn.optim.optimizer import look_for_mistakes
from micrograd_cn.parameters.unheld import users_of


@pytest.mark.parametrize(
    ("change", "exception", "message"),
    [
        (lambda s: s.pop("steps"), ValueError, "'steps' is missing in state_dict"),
        (lambda s: s.update(extra=1), ValueError, "'extra' is unexpected in state_dict"),
        (lambda s: s["options"].pop("lr"), ValueError, "'lr' is missing in options"),
        (lambda s: s["options"].update(lr=-1.0), ValueError, "lr must be 0 or more, got -1.0"),
        (lambda s: s["options"].update(lr="1"), ValueError, "lr must be 0 or more, got '1'"),
        (lambda s: s["state"].pop(), ValueError, "state of 1 parameters for 2"),
        (lambda s: s["state"].append(s["state"][0]), ValueError, "state of 3 parameters for 2"),
        (lambda s: s["state"][1].pop("exp_avg"), ValueError, r"'exp_avg' is missing in state\[1\]"),
        (lambda s: s["state"][0].update(exp_avg="0"), TypeError, r"state\[0\]\['exp_avg'\] must be a number, got str"),
        (lambda s: s["state"][0].update(exp_avg=True), TypeError, r"\['exp_avg'\] must be a number, got bool True"),
        (lambda s: s.update(steps=-1), ValueError, "steps must be 0 or more, got -1"),
        (lambda s: s.update(state=3), TypeError, "state must be a list, got int"),
        (lambda s: s["options"].update(lr=None), TypeError, "wrong options"),
        (lambda s: s["options"].update(betas=3), TypeError, "wrong options .*: Adam: betas must be two numbers, got 3"),
        (lambda s: s["options"].update(betas=[0.9, 0.9, 0.9]), ValueError, r"betas must be two numbers, got \[0.9, 0"),
        (lambda s: s["state"][1].update(exp_avg_sq=-1.0), ValueError, r"state\[1\]\['exp_avg_sq'\] must be 0 or more"),
        (lambda s: s.update(steps=1.5), TypeError, "steps must be an int, got 1.5"),
        (lambda s: s.update(steps=True), TypeError, "steps must be an int, got True"),
        (lambda s: s.update(options=3), TypeError, "options must be a dict, got int"),
    ],
)
def test_a_wrong_state_is_refused_and_changes_nothing(change, exception, message):
    optimizer = Adam([Value(1), Value(2)], lr=0.5)
    before = optimizer.state_dict()
    state = Adam([Value(1), Value(2)]).state_dict()
    change(state)
    with pytest.raises(exception, match=message):
        optimizer.load_state_dict(state)
    assert optimizer.state_dict() == before


def test_a_state_is_of_its_moment_and_of_floats():
    p = Value(1)
    optimizer = SGD([p], lr=1, momentum=Fraction(1, 2))
    before = optimizer.state_dict()
    p.grad = 2.0
    optimizer.step()
    assert before["state"] == [{"momentum_buffer": 0.0}]
    before["state"][0]["momentum_buffer"] = 3
    optimizer.load_state_dict(before)
    p.grad = 0.0
    optimizer.step()
    assert before["state"] == [{"momentum_buffer": 3}], "what was loaded belongs to its owner"
    numbers = [optimizer.lr, optimizer.momentum, optimizer.state[0]["momentum_buffer"]]
    assert (numbers, set(map(type, numbers))) == ([1, 0.5, 1.5], {float})


def test_a_state_of_hundreds_of_parameters_is_loaded():
    optimizer = Adam([Value(k) for k in range(300)])
    optimizer.load_state_dict(optimizer.state_dict())
    assert len(optimizer.state) == 300


def test_the_state_of_another_kind_of_optimizer_is_told_apart():
    with pytest.raises(ValueError, match=r"in options; make an optimizer of the class that the state is from$"):
        SGD([Value(1)]).load_state_dict(Adam([Value(1)]).state_dict())


def test_loaded_whole_numbers_are_floats():
    optimizer = Adam([Value(1)])
    optimizer.load_state_dict({**optimizer.state_dict(), "state": [{"exp_avg": 1, "exp_avg_sq": 2}]})
    assert repr(optimizer.state) == "[{'exp_avg': 1.0, 'exp_avg_sq': 2.0}]"


def test_all_missing_entries_are_named_in_order():
    with pytest.raises(ValueError, match="Adam: 'options', 'state', 'steps' are missing in state_dict"):
        Adam([Value(1)]).load_state_dict({})


def test_the_learning_rate_may_be_set_between_steps():
    p = Value(1)
    optimizer = SGD([p], lr=0.1)
    p.grad = 1.0
    optimizer.step()
    optimizer.lr = 0.5
    optimizer.step()
    assert p.data == pytest.approx(0.4)


@pytest.mark.parametrize("make", [SGD, RMSprop, Adam, AdamW])
def test_refused_parameters(make):
    a, b = Value(1, "a"), Value(2)
    with pytest.raises(ValueError, match=f"{make.__name__} was given no parameters"):
        make([])
    with pytest.raises(ValueError, match=r"parameters\[1\], Value\(data=2.0.*is computed \(mul\), not a leaf"):
        make([a, a * b])
    with pytest.raises(ValueError, match=r"parameters\[2\], Value\(data=1.0.*'a'\), is there twice; write list"):
        make([a, b, a])
    assert make(list(dict.fromkeys([a, b, a]))).parameters == [a, b]  # as the message says
    with pytest.raises(TypeError, match=r"parameters\[1\] is float 0.5, not a Value$"):
        make([a, 0.5])
    with pytest.raises(TypeError, match=r"write \[p\] for one"):
        make(a)


def test_a_subclass_says_which_of_its_state_is_0_or_more():
    class Counted(SGD):
        state_names = ("count", "other")
        nonnegative = ("count",)

    optimizer = Counted([Value(1)])
    state = optimizer.state_dict()
    state["state"][0] = {"count": 0, "other": -1}
    optimizer.load_state_dict(state)
    state["state"][0]["count"] = -1
    with pytest.raises(ValueError, match=r"Counted: state\[0\]\['count'\] must be 0 or more, got -1"):
        optimizer.load_state_dict(state)
    assert optimizer.state == [{"count": 0, "other": -1}]


def test_a_subclass_of_sgd_steps_by_its_own_update():
    class Half(SGD):
        def update(self, p, state):
            p.data -= 0.5 * self.lr * p.grad

    p = Value(1.0)
    p.grad = 2.0
    Half([p], lr=0.5).step()
    assert p.data == 0.5


@pytest.mark.parametrize("kind", [SGD, RMSprop, Adam, AdamW])
@pytest.mark.parametrize("count", [1, 40])  # single steps of 32 parameters or more may run in machine code
def test_a_step_calls_the_update_that_was_assigned_to_the_optimizer_or_its_class(kind, count, monkeypatch):
    parameters = [Value(1.0) for _ in range(count)]
    optimizer = kind(parameters, lr=0.1)
    optimizer.update = lambda p, state: setattr(p, "data", 2.0)
    optimizer.zero_grad()
    optimizer.step()
    assert {p.data for p in parameters} == {2.0}
    del optimizer.update
    monkeypatch.setattr(kind, "update", lambda self, p, state: setattr(p, "data", 3.0))
    optimizer.step()
    assert {p.data for p in parameters} == {3.0}


def test_what_a_compiled_loop_keeps_is_copied_and_loaded_without_the_nodes_that_it_read():
    compiler = pytest.importorskip("micrograd_cn.compiler")
    w, c = Value(1.0), Value(0.5)
    before = c * 3.0  # it is computed before the call, by a deep graph
    for _ in range(5000):
        before = before + 0.0
    f = compiler.compile(lambda x: (w * x - before) ** 2)
    optimizer = RMSprop([w], lr=0.1)
    f.fit([(1.0,), (2.0,)], optimizer, 3)
    again, other = pickle.loads(pickle.dumps(optimizer)), copy.deepcopy(optimizer)
    saved = optimizer.state_dict()
    assert again.state == other.state == saved["state"] != RMSprop([w]).state
    assert set(saved["state"][0]) == set(RMSprop.state_names)
    held = optimizer.state  # another state is loaded in the middle of training
    f.fit([(1.0,), (2.0,)], optimizer, 2, callback=lambda epoch, loss: optimizer.load_state_dict(saved))
    assert set(optimizer.state[0]) == set(RMSprop.state_names)
    assert held is not optimizer.state


TAKERS = [SGD, Adam, lambda p: clip_grad_norm(p, 1.0), lambda p: EarlyStopping(p, 2)]


@pytest.mark.parametrize("take", TAKERS, ids=["SGD", "Adam", "clip_grad_norm", "EarlyStopping"])
def test_what_is_no_sequence_of_parameters_is_answered_with_what_to_write(take):
    model, p = MLP(1, [1]), Value(1)
    given = [
        (model, r"takes a sequence of parameters, got MLP; write model\.parameters\(\)"),
        (model.parameters, r"takes a sequence of parameters, got method; write model\.parameters\(\)"),
        (p, r"write \[p\] for one"),
        ({"p": p}, r"got a dict; write list\(d\.values\(\)\)"),
        (model.state_dict(), r"got a dict; write model\.parameters\(\)"),
        ({p}, "got a set; write a list, because a set has no order"),
        (model.named_parameters(), r"parameters\[0\] is tuple, not a Value; write model\.parameters\(\)"),
        (model.layers, r"parameters\[0\] is Layer, .*; write \[p for part in parts for p in part\.parameters\(\)\]"),
        ([[p]], r"parameters\[0\] is list, not a Value; write \[p for part in parts for p in part\]"),
        (np.array([[p]]), r"parameters\[0\] is ndarray, not a Value; write \[p for part in parts for p in part\]"),
        (
            [type("Parameter", (list,), {"__module__": "torch.nn"})()],
            r"Parameter, not a Value; .*optimisers of torch\.optim",
        ),
        ([{"params": [p], "lr": 1}], r"parameters\[0\] is dict, not a Value; .*an optimiser for each group"),
        ([p, 0.5], r"parameters\[1\] is float 0\.5, not a Value$"),
    ]
    for wrong, message in given:
        with pytest.raises(TypeError, match=message):
            take(wrong)
    with pytest.raises(ValueError, match=r"parameters\[1\], Value.*is computed \(mul\), not a leaf; write Value\(x\)"):
        take([p, p * 2])
    with pytest.raises(ValueError, match=r"was given no parameters; write model\.parameters\(\)$"):
        take([])
    generator = (p for p in [p])
    take(generator)
    with pytest.raises(ValueError, match="was given no parameters; a generator is empty after its first use"):
        take(generator)


@pytest.mark.parametrize("make", [SGD, partial(SGD, momentum=0.5), RMSprop, Adam, AdamW])
def test_a_learning_rate_that_was_set_is_checked_by_the_next_step(make):
    p = Value(1)
    optimizer = make([p], lr=0.1)
    p.grad = 1.0
    for wrong, error in ((-1.0, ValueError), (math.nan, ValueError), (math.inf, ValueError), ("a", ValueError)):
        optimizer.lr = wrong
        with pytest.raises(error, match="lr must be 0 or more"):
            optimizer.step()
    for wrong, write in (
        (None, "got None$"),
        (Value(0.1), r"got Value.*; write x\.data for the number"),
        (step_lr(0.1, 5), r"got step_lr.*; write optimizer\.lr = schedule\(optimizer\.steps\)$"),
    ):
        optimizer.lr = wrong
        with pytest.raises(TypeError, match=f"lr must be 0 or more, {write}"):
            optimizer.step()
    assert (p.data, optimizer.steps) == (1.0, 0)
    other = make([q := Value(1)], lr=0.5)
    q.grad, optimizer.lr = 1.0, np.float64(0.5)
    optimizer.step()
    other.step()
    assert (p.data, type(optimizer.lr)) == (q.data, float)


def test_fit_checks_a_learning_rate_that_was_set():
    compiler = pytest.importorskip("micrograd_cn.compiler")
    w = Value(2.0)
    f = compiler.compile(lambda x: (w * x - 1.0) ** 2)
    optimizer = SGD([w])
    for wrong in (-1.0, "a", None, Value(0.1)):
        optimizer.lr = wrong
        with pytest.raises((TypeError, ValueError), match="SGD: lr must be 0 or more"):
            f.fit([(1.0,)], optimizer, epochs=1)
    assert w.data == 2.0


@pytest.mark.parametrize(
    ("kind", "option", "wrong"),
    [
        (SGD, "maximize", "False"),
        (SGD, "momentum", "0.5"),
        (SGD, "momentum", -0.5),
        (SGD, "dampening", None),
        (SGD, "weight_decay", -1),
        (SGD, "nesterov", True),  # without momentum
        (RMSprop, "alpha", 1.0),
        (RMSprop, "maximize", Value(1)),
        (Adam, "betas", 0.5),
        (Adam, "betas", (0.9,)),
        (Adam, "betas", (2, 3)),
        (Adam, "betas", (None, 0.9)),
        (Adam, "eps", -1),
        (AdamW, "weight_decay", math.nan),
    ],
)
def test_the_first_step_and_fit_check_what_was_assigned_as_the_constructor_does(kind, option, wrong):
    w = Value(1.0)
    w.grad = 1.0
    optimizer = kind([w])
    with pytest.raises((TypeError, ValueError)) as of_the_constructor:
        kind([w], **{option: wrong})
    setattr(optimizer, option, wrong)
    f = compiler.compile(lambda x: w * x)
    for train in (optimizer.step, lambda: f.fit([(1.0,)], optimizer, 1)):
        with pytest.raises(of_the_constructor.type) as refused:
            train()
        assert str(refused.value) == str(of_the_constructor.value)
    assert (w.data, optimizer.steps) == (1.0, 0)


def test_fit_checks_options_again_if_they_may_have_changed(monkeypatch):
    """Options that are the same objects as in the last check are right, but the numbers in a list may be others."""
    checked, check = [], Optimizer._checked_option
    monkeypatch.setattr(Optimizer, "_checked_option", lambda *given: (checked.append(given[1]), check(*given))[1])
    optimizer = Adam([w := Value(1.0)])
    f = compiler.compile(lambda x: w * x)
    checked.clear()
    for steps in (1, 2, 3):
        f.fit([(1.0,)], optimizer, 1)
        assert (optimizer.steps, len(checked)) == (steps, len(Adam.options))
    optimizer.betas = betas = [0.9, 0.99]
    f.fit([(1.0,)], optimizer, 1)
    betas[1] = 1.0
    with pytest.raises(ValueError, match=r"betas\[1\] must be at least 0 and less than 1, got 1.0"):
        f.fit([(1.0,)], optimizer, 1)


def test_a_users_optimizer_may_give_the_options_another_meaning():
    class Adan(Adam):
        def update(self, p, state):
            p.data -= sum(self.betas)

    optimizer = Adan([p := Value(1.0)])
    p.grad, optimizer.betas = 1.0, (0.25, 0.5, 1.0)
    optimizer.step()
    assert p.data == -0.75


@pytest.mark.parametrize("wrong", ["False", [1.0], Value(1.0), 10**400, None])
@pytest.mark.parametrize("kind", [SGD, Adam])
def test_the_first_step_refuses_a_requires_grad_that_is_no_bool(kind, wrong):
    a, b = Value(1.0), Value(2.0)
    b.grad, b.requires_grad = 1.0, wrong
    optimizer = kind([a, b], lr=0.1)
    with pytest.raises(TypeError, match=r"parameters\[1\]\.requires_grad must be True or False, got"):
        optimizer.step()
    assert (b.data, optimizer.steps) == (2.0, 0)
    b.requires_grad = np.bool_(False)
    optimizer.step()
    assert (b.data, b.requires_grad) == (2.0, False)


@pytest.mark.parametrize("options", [{}, {"momentum": 0.5}])
@pytest.mark.parametrize("count", [2, 40])
def test_any_step_refuses_a_requires_grad_that_is_no_bool(count, options):
    """A text such as "False" would count as true; the numbers 1 and 0 count as bools, as in other options."""
    ps = [Value(1.0) for _ in range(count)]
    optimizer = SGD(ps, lr=0.5, **options)

    def step(requires_grad):
        ps[0].requires_grad = requires_grad
        before = ps[0].data
        for p in ps:
            p.grad = 1.0
        optimizer.step()
        return ps[0].data != before, ps[0].requires_grad

    for _ in range(5):
        step(True)
    data = ps[0].data
    with pytest.raises(TypeError, match=r"SGD: parameters\[0\]\.requires_grad must be True or False, got 'False'"):
        step("False")
    assert ps[0].data == data
    for requires_grad in (1, np.True_, 0, np.False_):
        assert step(requires_grad) == (bool(requires_grad), bool(requires_grad))


def test_attributes_of_other_libraries_say_what_to_write():
    optimizer = SGD([Value(1)])
    with pytest.raises(AttributeError, match=r"SGD has no param_groups; read and set optimizer\.lr"):
        optimizer.param_groups[0]["lr"] = 0.1
    with pytest.raises(AttributeError, match=r"SGD has no learning_rate; read and set optimizer\.lr"):
        optimizer.learning_rate = 0.1
    with pytest.raises(AttributeError, match="SGD has no add_param_group; make another optimiser"):
        optimizer.add_param_group({})
    assert not hasattr(optimizer, "param_groups")
    for name, write in (
        ("minimize", r"write optimizer\.zero_grad\(\), loss\.backward\(\) and then optimizer\.step\(\)"),
        ("set_lr", r"read and set optimizer\.lr"),
        ("params", r"read optimizer\.parameters"),
        ("iterations", r"read optimizer\.steps"),
        ("get_config", r"write optimizer\.state_dict\(\)"),
    ):
        with pytest.raises(AttributeError, match=rf"SGD has no {name}; {write}"):
            getattr(optimizer, name)
    with pytest.raises(AttributeError, match=r"SGD has no betas; its options are lr, momentum,"):
        optimizer.betas = 0.9, 0.99
    for name, meant in (("decay", "weight_decay"), ("weightdecay", "weight_decay"), ("eta", "lr"), ("step_size", "lr")):
        with pytest.raises(AttributeError, match=rf"SGD has no {name}; read and set optimizer\.{meant}$"):
            setattr(optimizer, name, 0.1)


def test_an_attribute_that_looks_like_the_short_option_eps_is_no_mistake():
    p = Value(1.0)
    optimizer = Adam([p], lr=0.1)
    optimizer.ep = 1
    p.grad = 1.0
    optimizer.step()
    assert p.data == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("LR", r"SGD has no LR; read and set optimizer\.lr"),
        ("momentun", r"SGD has no momentun; read and set optimizer\.momentum"),
        ("weight_deacy", r"read and set optimizer\.weight_decay"),
        ("beats", r"Adam has no beats; read and set optimizer\.betas"),
        ("wd", r"read and set optimizer\.weight_decay"),
        ("gamma", r"SGD has no gamma; write optimizer\.lr = schedule\(optimizer\.steps\)"),
        ("scheduler", r"SGD has no scheduler; write optimizer\.lr = schedule\(optimizer\.steps\) before each step"),
        ("lr_schedule", r"SGD has no lr_schedule; write optimizer\.lr = schedule\(optimizer\.steps\) before each step"),
        ("clip", r"write clip_grad_norm\(parameters, max_norm\) before step\(\), or fit\("),
    ],
)
def test_an_attribute_that_is_no_option_but_looks_like_one_is_refused(name, message):
    """Such an assignment would have no effect. It is refused at once, or by the next step if it is misspelt."""
    p = Value(1.0)
    kind = Adam if name in ("weight_deacy", "beats") else SGD
    optimizer = kind([p], lr=0.1)
    p.grad = 1.0

    def step():
        setattr(optimizer, name, 0.9)
        optimizer.step()

    def fit():
        setattr(optimizer, name, 0.9)
        compiler.compile(lambda x: p * x).fit([(1.0,)], optimizer, 1)

    for train in (step, fit):
        with pytest.raises(AttributeError, match=message):
            train()
    assert p.data == 1.0


def test_an_optimiser_may_have_attributes_of_the_users():
    class Own(SGD):
        pass

    for kind, names in ((SGD, ("model", "lrs", "history", "momentum0", "_momentum")), (Own, ("momentun", "gamma"))):
        p = Value(1.0)
        optimizer = kind([p], lr=0.5)
        p.grad = 1.0
        for name in names:
            setattr(optimizer, name, 3.0)
        optimizer.step()
        assert (p.data, getattr(optimizer, names[0])) == (0.5, 3.0)


def test_a_subclass_may_have_an_attribute_of_such_a_name():
    class Own(SGD):
        def __init__(self, parameters, learning_rate):
            super().__init__(parameters, lr=learning_rate)
            self.learning_rate = learning_rate

    assert copy.deepcopy(Own([Value(1)], 0.25)).learning_rate == 0.25


def test_constants_that_have_taken_the_place_of_parameters_are_refused():
    """`ws = [0.9 * w for w in ws]` inside `no_grad()` gives constants, which nothing would train."""
    weights = [Value(1.0), Value(2.0)]
    with no_grad():
        weights = [0.9 * w for w in weights]
    with pytest.raises(
        ValueError, match=r"parameters\[0\], Value.* is a constant that an operation computed.*p.data = x"
    ):
        SGD(weights, lr=0.1)
    for p in weights:
        p.requires_grad = True
    assert SGD(weights, lr=0.1).parameters == weights
    assert SGD([Value(1.0, requires_grad=False), Value(1.0).detach()], lr=0.1).parameters  # frozen, not computed


class OfConstants(Module):
    def __init__(self):
        self.w, self.c = Value(1.0), Value(2.0, requires_grad=False)
        self.k, self.ks = self.c * 3.0, [self.c + 1.0, mc.exp(self.c * 2.0).detach() * 2.0]
        self.mean = Value(0.0, requires_grad=False)

    def __call__(self, x):
        self.mean = 0.5 * self.mean + 0.5 * Value(x, requires_grad=False)
        return self.w * self.k * x


def test_constants_that_a_model_computes_from_constants_are_no_parameters():
    model = OfConstants()
    model.later = model.c * 4.0
    assert SGD(model.parameters()).parameters == [model.w, model.c, model.mean]
    model(4.0)
    assert SGD(model.parameters()).parameters == [model.w, model.c, model.mean]
    assert model.state_dict() == {"w": 1.0, "c": 2.0, "mean": 2.0}
    model.k.requires_grad = True
    assert model.k in model.parameters()


class OfParameters(Module):
    def __init__(self, make):
        self.v = Value(1.0)
        with no_grad():
            scaled = self.v * 0.5
        self.w = make(scaled, self.v)


def scaled_again(scaled, v):
    return [scaled * 2.0]


def frozen_sum(scaled, v):
    y = v + 1.0
    y.requires_grad = False
    return y * 2.0


@pytest.mark.parametrize("make", [lambda scaled, v: scaled, scaled_again, frozen_sum])
@pytest.mark.parametrize("engine", [quick.PLAIN, quick.QUICK])
def test_constants_that_a_model_computes_from_parameters_are_refused(make, engine):
    before = {name: vars(Value).get(name, quick.PLAIN[name]) for name in engine}
    quick.install(engine)
    try:
        with pytest.raises(ValueError, match=r"parameters\[1\], Value.* is a constant that an operation computed"):
            SGD(OfParameters(make).parameters())
    finally:
        quick.install(before)


class WithoutInit(Optimizer):
    """An optimiser whose `__init__` forgets to call that of the base class."""

    def __init__(self, parameters):
        self.parameters, self.lr = list(parameters), 0.1


@pytest.mark.parametrize(
    ("call", "exception", "message"),
    [
        (lambda p: SGD([p], learning_rate=0.1), TypeError, r"^SGD has no option learning_rate; write lr=\.\.\.$"),
        (lambda p: Adam([p], beta1=0.9), TypeError, r"^Adam has no option beta1; write betas=\(beta1, beta2\)$"),
        (lambda p: AdamW([p], epsilon=0.9), TypeError, r"^AdamW has no option epsilon; write eps=\.\.\.$"),
        (
            lambda p: RMSprop([p], foo=1),
            TypeError,
            "^RMSprop has no option foo; its options are lr, alpha, eps, weight_decay, momentum",
        ),
        (lambda p: Adam([p], fused=True), TypeError, "^Adam has no option fused; leave it out$"),
        (lambda p: RMSprop([p], centered=True), TypeError, "^RMSprop has no option centered; .* class of your own$"),
        (lambda p: Adam([p], decoupled_weight_decay=True), TypeError, r"; write AdamW\(\.\.\.\) for it$"),
        (lambda p: SGD([p], weigth_decay=1), TypeError, r"^SGD has no option weigth_decay; write weight_decay=\.\.\.$"),
        (lambda p: AdamW([p], beta=(0.9, 0.9)), TypeError, r"^AdamW has no option beta; write betas=\.\.\.$"),
        (
            lambda p: SGD([p]).step(lambda: None),
            TypeError,
            r"takes no closure; write .*backward\(\) and then",
        ),
        (
            lambda p: Adam([p]).step(lambda: None),
            TypeError,
            r"takes no closure; write .*backward\(\) and then",
        ),
        (lambda p: SGD(params=[p], lr=0.1), TypeError, "^SGD has no option params; pass the parameters first, without"),
        (
            lambda p: WithoutInit([p]).step(),
            AttributeError,
            r"WithoutInit has no state; call super\(\)\.__init__\(",
        ),
        (
            lambda p: type("Own", (Optimizer,), {})([p], lr=0.1).step(),
            NotImplementedError,
            r"^define update\(self, p, state\) in the class Own, such as p\.data -= self\.lr",
        ),
    ],
)
def test_what_other_libraries_write_is_answered_with_what_to_write(call, exception, message):
    with pytest.raises(exception, match=message):
        call(Value(1.0))


def test_state_that_was_cleared_is_refused_by_its_name():
    """An optimiser has an item of state for each parameter, so an empty list cannot mean a new beginning."""
    p = Value(1.0)
    optimizer = Adam([p])
    optimizer.state.clear()
    p.grad = 1.0
    with pytest.raises(ValueError, match=r"the list `state` of Adam is empty.*; to begin anew, make another optimizer"):
        optimizer.step()
    assert p.data == 1.0


def test_a_state_that_is_no_dict_is_answered_with_what_to_write(tmp_path):
    """An optimiser has no `load`, so a path is read as JSON, which is exact."""
    optimizer, other = (Adam([Value(1.0)], 0.1) for _ in range(2))
    with pytest.raises(TypeError, match=r"got Adam; write optimizer.load_state_dict\(other.state_dict\(\)\)"):
        optimizer.load_state_dict(other)
    path = tmp_path / "o.json"
    with pytest.raises(TypeError, match=r"got \w+Path; write json.loads\(Path\(path\).read_text\(\)\) for a file"):
        optimizer.load_state_dict(path)
    other.parameters[0].grad = 0.3
    other.step()
    path.write_text(json.dumps(other.state_dict()))
    optimizer.load_state_dict(json.loads(path.read_text()))
    assert optimizer.state_dict() == other.state_dict()


def three_parameters():
    """Return three parameters with the gradient 1."""
    parameters = [Value(1.0), Value(2.0), Value(3.0)]
    for p in parameters:
        p.grad = 1.0
    return parameters


@pytest.mark.parametrize("make", [partial(SGD, momentum=0.9), Adam, RMSprop])
def test_state_belongs_to_a_parameter_and_not_to_a_place(make):
    """A parameter that takes the place of another one begins with zeros, and the others keep their state."""
    a, b, c = three_parameters()
    optimizer, fresh = make([a, b], lr=0.1), Value(3.0)
    fresh.grad = 1.0
    for _ in range(5):
        optimizer.step()
    kept = dict(optimizer.state[0])
    optimizer.parameters[:] = [c, a]
    assert optimizer.state_dict()["state"][1] == kept
    optimizer.step()
    make([fresh], lr=0.1).step()
    assert c.data == fresh.data, "the first step of c, with the bias correction of a first step"


def test_steps_in_machine_code_give_a_new_parameter_a_new_state_too():
    """Steps of many parameters may be taken in machine code."""
    parameters, fresh = [Value(float(i)) for i in range(100)], Value(3.0)
    optimizer = Adam(parameters, lr=0.1)
    for p in (*parameters, fresh):
        p.grad = 1.0
    for _ in range(5):
        optimizer.step()
    optimizer.parameters[7] = fresh
    optimizer.parameters[2], optimizer.parameters[50] = optimizer.parameters[50], optimizer.parameters[2]
    optimizer.step()
    assert fresh.data == pytest.approx(2.9, abs=1e-8)
    assert optimizer.state[2] == optimizer.state[50] == optimizer.state[0]
    assert optimizer.state[7] != optimizer.state[0]


def test_fit_gives_a_new_parameter_a_new_state():
    a, b, c = three_parameters()
    optimizer, loss = Adam([a, b], lr=0.1), compiler.compile(lambda x: (a * x - 1) ** 2 + b)
    loss.fit([(2.0,)], optimizer, epochs=5)
    optimizer.parameters[1] = c
    alone = Adam([Value(3.0)], lr=0.1)
    for trained, f in ((optimizer, lambda x: (a * x - 1) ** 2 + c), (alone, lambda x: alone.parameters[0] * 1.0)):
        compiler.compile(f).fit([(2.0,)], trained, epochs=2)
    assert c.data == alone.parameters[0].data
    assert optimizer.state[1] == alone.state[0]


class WithBeta(SGD):
    """An optimiser that takes other options than its base class."""

    def __init__(self, params, lr=0.1, beta=0.9):
        super().__init__(params, lr=2 * lr, momentum=beta)


class Doubled(SGD):
    """An optimiser that takes an option of its base class, and passes another number on."""

    def __init__(self, params, lr=0.1, **options):
        super().__init__(params, lr=2 * lr, **options)


@pytest.mark.parametrize("kind", [WithBeta, Doubled])
def test_a_subclass_with_an_init_of_its_own_loads_its_state(kind):
    a, b, _ = three_parameters()
    saved = kind([a], lr=0.25)
    saved.step()
    loaded = kind([b])
    loaded.load_state_dict(saved.state_dict())
    assert (type(loaded), loaded.lr, loaded.momentum) == (kind, 0.5, saved.momentum)
    assert (loaded.parameters, loaded.state, loaded.steps) == ([b], saved.state, 1)
    with pytest.raises(ValueError, match="lr must be 0 or more"):
        loaded.load_state_dict(saved.state_dict() | {"options": saved.state_dict()["options"] | {"lr": -1.0}})


def test_a_subclass_may_call_its_parameters_params():
    assert WithBeta(params=[Value(1.0)]).lr == 0.2


class Pair(Module):
    def __init__(self):
        self.body, self.head = MLP(1, [2, 1]), [Value(0.5), Value(0.0)]

    def __call__(self, x):
        return self.head[0] * self.body([x]) + self.head[1]


def replace_an_attribute(model):
    model.head = [Value(1.0), Value(1.0)]


def replace_an_item(model):
    model.head[1] = Value(1.0)


def replace_a_layer(model):
    model.body.layers[-1] = Layer(2, 1, nonlin=False)


def replace_behind_its_back(model):
    vars(model)["body"] = MLP(1, [2, 1])


def replace_the_first(model):
    object.__setattr__(model.body.layers[0].neurons[0], "w", [Value(1.0)])


REPLACED = {
    replace_an_attribute: r"Pair\.head\.0",
    replace_an_item: r"Pair\.head\.1",
    replace_a_layer: r"Pair\.body\.layers\.1\.neurons\.0\.w\.0",
    replace_behind_its_back: r"Pair\.body\.layers\.0\.neurons\.0\.w\.0",
    replace_the_first: r"Pair\.body\.layers\.0\.neurons\.0\.w\.0",
}


@pytest.mark.parametrize(("replace", "path"), REPLACED.items())
@pytest.mark.parametrize("kind", [SGD, Adam])
@pytest.mark.parametrize("after", [0, 1])
def test_a_parameter_that_the_model_has_replaced_is_named(kind, replace, path, after):
    model, other = Pair(), Value(1.0)
    optimizer = kind([other, *model.parameters(), Value(2.0)])
    for i in range(3):
        if i == after:
            replace(model)
        model.zero_grad()
        (model(1.0) ** 2).backward()
        message = f"{path} has come into the model since {kind.__name__} was made, which does not train it"
        with pytest.warns(UserWarning, match=message) if i == 1 else nullcontext():
            optimizer.step()


@pytest.mark.parametrize("kept", ["kept", "gone", "grown"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_of_several_models_each_that_has_replaced_a_parameter_is_named(kept, place):
    """The others are as they were, or nothing refers to them any more, or have a further parameter that is trained."""
    models = [Pair() for _ in range(3)]
    optimizer = SGD([p for model in models for p in model.parameters()])
    replace_an_attribute(models[place])
    model = models[place]
    if kept == "gone":
        del models[:]
    elif kept == "grown":
        for other in models:
            if other is not model:
                other.further = Value(1.0)
        trained = SGD([other.further for other in models if other is not model])
        assert len(trained.parameters) == 2
    for i in range(3):
        model.zero_grad()
        (model(1.0) ** 2).backward()
        warns = pytest.warns(UserWarning, match=r"Pair\.head\.0 has come into the model")
        with warns if i == 1 else nullcontext():
            optimizer.step()


class Slotted(SGD):
    """A subclass with an attribute that is in no `__dict__`."""

    __slots__ = ("note",)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_of_an_optimiser_has_what_is_in_the_slots_of_its_class(duplicate):
    optimizer = Slotted([Value(1.0)], lr=0.5, momentum=0.9)
    optimizer.note = "as it was"
    other = duplicate(optimizer)
    assert (other.note, other.lr, other.momentum) == ("as it was", 0.5, 0.9)


def test_inputs_that_each_call_keeps_as_leaves_are_no_lost_parameters():
    class Saliency(Module):
        def __init__(self, x=None):
            self.w = Value(0.5)
            if x is not None:
                self.x = x

        def forward(self, xs):
            self.x = [Value(x) for x in xs]
            self.first = Value(xs[0])
            return self.x[0] * self.w

    for model in (Saliency(), Saliency([]), Saliency(0)):
        model([1.0])
        optimizer = SGD(model.parameters(), lr=0.1)
        for _ in range(3):  # the optimiser looks for lost parameters before its second step; warnings are errors
            model.zero_grad()
            model([1.0]).backward()
            optimizer.step()
        assert model.w.data == pytest.approx(0.2)


def test_a_leaf_with_the_id_of_one_that_a_model_gave_up_is_none_of_the_model():
    class Factor(Module):
        def __init__(self):
            self.w = Value(1.0)

    model = Factor()
    former = id(model.parameters()[0])
    model.w = Value(2.0)
    leaves = [Value(3.0) for _ in range(200)]  # one of them gets the memory of the former leaf
    leaf = next((x for x in leaves if id(x) == former), leaves[0])
    optimizer = SGD([leaf], lr=0.5)
    for _ in range(2):  # warnings are errors
        optimizer.zero_grad()
        (leaf * 1.0).backward()
        optimizer.step()
    assert (leaf.data, model.w.data) == (2.0, 2.0)


def test_fit_names_a_parameter_that_the_model_has_replaced():
    model = Pair()
    optimizer = SGD(model.parameters())
    replace_an_attribute(model)
    with pytest.warns(UserWarning, match=r"Pair\.head\.0 has come into the model"):
        compiler.compile(lambda x: model(x) ** 2).fit([(1.0,)], optimizer, epochs=1)


class Lazy(Module):
    def __init__(self):
        self.b, self.gain, self.inputs = Value(0.0), None, []

    @cached_property
    def w(self):
        return Value(0.5)

    def forward(self, x):
        self.gain = self.gain or Value(2.0)
        self.x = Value(x)
        self.inputs.append(Value(x))  # inputs are new leaves in each call
        return self.w * self.x * self.gain + self.inputs[-1] * 0.1 + self.b


def by_hand(model):
    for p in (model.w, model.gain):
        p.data -= 0.01 * p.grad


def freeze(model):
    model.w.requires_grad = model.gain.requires_grad = False


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (lambda m: None, lambda m: None, r"Lazy\.gain has come into the model since SGD was made, .*; make the opt"),
        (lambda m: SGD([m.w, m.gain], lr=0.1), lambda m: None, None),
        (lambda m: None, by_hand, None),
        (freeze, lambda m: None, None),
    ],
)
@pytest.mark.parametrize("clear", [Module.zero_grad, lambda model: None])
def test_a_parameter_that_comes_later_and_that_nothing_trains_is_warned_of_once(before, after, message, clear):
    model = Lazy()
    optimizer = SGD(model.parameters(), lr=0.01)
    model(1.0)
    other = before(model)
    for i in range(32):
        clear(model)
        (model(1.0 + i % 3) - 3.0).backward()
        with pytest.warns(UserWarning, match=message) if message and i == 1 else nullcontext():
            optimizer.step()
        after(model)
    assert other is None or len(other.parameters) == 2


@pytest.mark.parametrize("place", range(3))
def test_a_parameter_that_comes_later_into_one_of_several_models_is_warned_of(place):
    models = [MLP(1, [1], seed=0), MLP(1, [1], seed=1)]
    models.insert(place, Lazy())
    optimizer = SGD([p for model in models for p in model.parameters()], lr=0.01)
    for i in range(2):
        optimizer.zero_grad()
        (sum(model(1.0 if type(model) is Lazy else [1.0]) for model in models) - 3.0).backward()
        message = r"Lazy\.gain has come into the model since SGD was made"
        with pytest.warns(UserWarning, match=message) if i == 1 else nullcontext():
            optimizer.step()


def test_the_nodes_that_use_parameters_are_found_in_one_walk(monkeypatch):
    """A step whose gradients are all 0 looks for them. With `gc.get_referrers`, it took 10 s for 30,000 parameters."""
    monkeypatch.setattr(gc, "get_referrers", None)
    w = [Value(0.5) for _ in range(4)]
    nodes = [2.0 * w[0], w[1] * w[2], mc.sum([*w, 1.0])]
    assert {*users_of(w)} == {*nodes}
    assert users_of([w[3]]) == nodes[2:]


class OnlyOfParameters(Optimizer):
    def __init__(self, parameters):  # which does not call that of Optimizer
        self.parameters = parameters


class Restored(SGD):
    def __setstate__(self, state):
        vars(self).update(state)


WAYS_TO_MAKE = {
    "copy": lambda made: copy.copy(made()),
    "deepcopy": lambda made: copy.deepcopy(made()),
    **{f"pickle {k}": lambda made, k=k: pickle.loads(pickle.dumps(made(), k)) for k in (0, 1, 2, 5)},
    "without init": lambda made: OnlyOfParameters([]),
    "own setstate": lambda made: copy.copy(made(Restored)),
    "init alone": lambda made: (one := object.__new__(SGD), one.__init__([Value(1.0)], 0.1))[0],
}


@pytest.mark.parametrize("way", WAYS_TO_MAKE)
def test_a_parameter_that_comes_later_may_be_in_another_optimiser_however_that_was_made(way):
    model = Lazy()
    optimizer = SGD(model.parameters(), lr=0.01)
    model(1.0)
    other = WAYS_TO_MAKE[way](lambda kind=SGD: kind([Value(1.0)], lr=0.1))
    other.parameters = [model.w, model.gain]
    for i in range(3):  # warnings are errors
        model.zero_grad()
        (model(1.0 + i) - 3.0).backward()
        optimizer.step()


@pytest.mark.parametrize("cleared", [0, None])
@pytest.mark.parametrize("width", [2, 20])  # with many parameters, machine code takes the steps
@pytest.mark.parametrize("use", [lambda p: None, lambda p: p * 2.0])  # nodes that `backward` does not reach
def test_gradients_that_are_cleared_by_hand_after_backward_are_warned_of_once(cleared, width, use):
    model = MLP(1, [width, 1], "tanh", seed=0)
    optimizer, before = SGD(model.parameters(), lr=0.1), model.state_dict()
    for i in range(32):
        optimizer.zero_grad()
        unused = [use(p) for p in optimizer.parameters]
        loss = (model([1.0]) - 3.0) ** 2
        loss.backward()
        for p in optimizer.parameters:
            p.grad = cleared
        advice = r"all gradients of SGD are 0, but backward\(\) has sent others.*clear them before"
        with pytest.warns(UserWarning, match=advice) if i == 1 else nullcontext():
            optimizer.step()
        del unused
    assert model.state_dict() == before


def test_gradients_that_are_0_since_earlier_losses_are_kept_are_not_warned_of():
    w, losses = Value(1.0), []
    optimizer = SGD([w], lr=1.0)
    for _ in range(3):
        optimizer.zero_grad()
        losses.append(mc.relu(w - 0.5))  # after the first step, w is 0, and its gradient too
        losses[-1].backward()
        optimizer.step()
    assert w.data == 0.0


@pytest.mark.parametrize("start", [1, 17])
def test_a_layer_that_comes_later_is_warned_of_at_the_step_after_the_one_that_finds_it(start):
    model = MLP(1, [2, 1], "tanh", seed=0)
    optimizer = SGD(model.parameters(), lr=0.01)
    for i in range(40):
        if i == start:
            model.layers.insert(1, Layer(2, 2, seed=0))
        optimizer.zero_grad()
        model([1.0 + i % 3]).backward()
        is_next = i == start + 1
        with pytest.warns(UserWarning, match=r"^MLP\.layers\.1\..* has come into") if is_next else nullcontext():
            optimizer.step()


def replace_a_layer_of_the_list(model):
    model.body.layers[0] = Layer(1, 2, activation="tanh", seed=0)


def replace_a_neuron(model):
    model.body.layers[0].neurons[0] = Neuron(1, activation="tanh", seed=0)


def replace_a_bias(model):
    model.body.layers[0].neurons[0].b = Value(0.5)


def append_a_neuron(model):
    model.body.layers[0].neurons.append(Neuron(1, activation="tanh", seed=0))
    model.body.layers[1].neurons[0].w.append(Value(0.5))


def add_an_attribute(model):
    model.scale = Value(2.0)


def unpickle(model):
    return pickle.loads(pickle.dumps(model))


def make_anew(model):
    return Late()


def load(model):
    made = Late()
    made.load_state_dict(model.state_dict())
    return made


class Late(Pair):
    def __init__(self):
        self.body, self.head = MLP(1, [2, 1], "tanh", seed=0), [Value(0.5), Value(0.0)]

    def __call__(self, x):
        return getattr(self, "scale", 1.0) * super().__call__(x)


CHANGED = [replace_an_attribute, replace_a_layer_of_the_list, replace_a_neuron, replace_a_bias, append_a_neuron]
CHANGED += [add_an_attribute, copy.copy, copy.deepcopy, unpickle, make_anew, load]


@pytest.mark.parametrize("clears", ["model", "optimizer"])
@pytest.mark.parametrize("change", CHANGED)
def test_a_model_that_is_changed_copied_or_made_anew_late_is_noticed_soon_and_once(change, clears):
    """Python tells the optimiser of a new part or model, so it looks again in the next two steps."""
    model = Late()
    optimizer, noticed = SGD(model.parameters(), lr=0.001), []
    for i in range(70):
        if i == 20:
            model = change(model) or model
        {"model": model, "optimizer": optimizer}[clears].zero_grad()
        ((model(1.0 + i % 3) - 1.0) ** 2).backward()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            optimizer.step()
        noticed += [i] * len(caught)
    shares = change is copy.copy  # a shallow copy has the same parameters
    assert noticed == [] if shares else noticed in ([20], [21]), caught


def test_a_change_is_noticed_soon_beside_an_optimiser_without_a_count_of_steps():
    other, model = OnlyOfParameters([]), Late()
    optimizer = SGD(model.parameters(), lr=0.001)
    for i in range(22):
        if i == 20:
            add_an_attribute(model)
        optimizer.zero_grad()
        ((model(1.0 + i % 3) - 1.0) ** 2).backward()
        with pytest.warns(UserWarning, match="has come into the model") if i == 21 else nullcontext():
            optimizer.step()
    assert not hasattr(other, "steps")


@pytest.mark.parametrize("kind", [SGD, Adam, RMSprop])
def test_a_numpy_bool_trains_a_parameter_as_true_does_also_after_steps_that_left_it_alone(kind):
    found = []
    for true in (True, np.True_):
        parameters = [Value(0.5), Value(1.0)]
        optimizer = kind(parameters, lr=0.1)
        for i in range(9):
            optimizer.zero_grad()
            sum((p - 2.0) ** 2 for p in parameters).backward()
            parameters[0].requires_grad = False if 2 <= i < 5 else true
            optimizer.step()
        found.append(([p.data for p in parameters], optimizer.steps, optimizer.skipped, optimizer.state))
    assert found[0] == found[1]
    assert found[0][1:3] == (9, {0: 3})


@pytest.mark.parametrize("clears", [True, False])
@pytest.mark.filterwarnings("error")  # a warning would say that the optimiser has former parameters
def test_an_optimiser_may_have_gradients_that_the_user_assigns_and_not_those_of_backward(clears):
    w, other = Value(0.5), Value(1.0)
    optimizer = SGD([w], lr=0.125)
    for i in range(6):
        if clears:
            optimizer.zero_grad()
        (other * 2.0).backward()
        w.grad = 2.0 if clears else 2.0 + i  # 2.0 is the same object each time
        optimizer.step()
    assert w.data == 0.5 - 0.125 * (12.0 if clears else 27.0)


def test_each_replacement_is_warned_of_also_where_a_freed_parameter_was_in_memory():
    model = Late()
    optimizer, told = SGD(model.parameters(), lr=0.001), []
    for k in range(6):
        # From the third one on, Python frees the one before the last, and may give its place in memory to the new one
        model.body.layers[0].neurons[0].b = Value(0.5 + k)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for i in range(3 + 2 ** (k + 2)):
                optimizer.zero_grad()
                ((model(1.0 + i % 3) - 1.0) ** 2).backward()
                optimizer.step()
        told.append([str(each.message).partition(" has come into")[0] for each in caught])
    assert told == [["Late.body.layers.0.neurons.0.b"]] * 6


def test_an_optimiser_that_waits_looks_soon_though_another_one_has_seen_many_changes():
    """While models are made again and again, each optimiser puts off its looks, but only by its own steps."""
    model, other = Late(), Late()
    waiting, busy = SGD(model.parameters(), lr=0.001), SGD(other.parameters(), lr=0.001)

    def train(model, optimizer, steps):
        for i in range(steps):
            optimizer.zero_grad()
            model(1.0 + i % 3).backward()
            optimizer.step()

    train(model, waiting, 10)
    for _ in range(40):
        copy.deepcopy(other)
        train(other, busy, 2)
    replace_a_neuron(model)
    with pytest.warns(UserWarning, match="goes on with a parameter that the model has no longer"):
        train(model, waiting, 3)


@pytest.fixture
def no_further_looks():
    """Let optimisers look in no steps that optimisers of earlier tests have asked for."""
    optimizers.LOOKING_STEPS.difference_update(optimizers._further_looks)
    optimizers._further_looks.clear()


@pytest.mark.usefixtures("no_further_looks")
def test_an_optimiser_looks_seldom_if_models_are_made_again_and_again(monkeypatch):
    looks = []

    def look(optimizer):
        looks.append(optimizer.steps)
        look_for_mistakes(optimizer)

    monkeypatch.setattr("micrograd_cn.optim.sgd.look_for_mistakes", look)
    model = Late()
    optimizer = SGD(model.parameters(), lr=0.001)
    for i in range(200):
        copy.deepcopy(model)
        optimizer.zero_grad()
        model(1.0 + i % 3).backward()
        optimizer.step()
    assert len(looks) < 40
    assert max(np.diff(looks)) < 70


def misspell(model, optimizer):
    optimizer.momentun = 0.5


def replace(model, optimizer):
    vars(model.layers[0].neurons[1])["b"] = Value(0.0)  # no method of the model runs


def lose(model, optimizer):
    model.layers[0].neurons[1].w[0] = 0.5


def read_in_function(model, optimizer):
    factor = Value(0.5)
    model.scale = lambda y: y * factor


LATE_MISTAKES = {
    misspell: "read and set",
    replace: "has come into the model",
    lose: "is 0.5, which is no parameter",
    read_in_function: "which gets a gradient, but is in no optimizer",
}


@pytest.mark.parametrize("mistake", LATE_MISTAKES)
def test_a_mistake_that_is_made_later_is_noticed_though_the_look_is_spread_over_steps(mistake):
    """An optimiser looks in its first two steps, and later in the steps 30 to 33."""
    model = MLP(1, [20, 1], "tanh", seed=0)
    optimizer, noticed = SGD(model.parameters(), lr=0.01), {}
    for i in range(34):
        if i == 17:
            mistake(model, optimizer)
        optimizer.zero_grad()
        y = model([1.0 + i % 3])
        (getattr(model, "scale", lambda y: y)(y) - 3.0).backward()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                optimizer.step()
            except (AttributeError, TypeError, UserWarning) as error:
                noticed[optimizer.steps] = str(error)
    assert noticed
    assert {*noticed} <= {30, 31, 32, 33}
    assert [message for message in noticed.values() if LATE_MISTAKES[mistake] not in message] == []


CALLS_OF_STEPS = """
import sys
from micrograd_cn.nn import MLP
from micrograd_cn.optim import SGD, Adam

for kind in SGD, Adam:
    model = MLP(4, [8, 8, 1], "tanh", seed=0)
    optimizer = kind(model.parameters(), lr=0.01)
    for _ in range(36):
        optimizer.zero_grad()
        model([1.0] * 4).backward()
        calls = []
        sys.setprofile(lambda *_: calls.append(None))
        optimizer.step()
        sys.setprofile(None)
        print(len(calls))
"""


def test_no_later_look_for_mistakes_does_all_at_once():
    """Such a step took 15 times as long as those around it, a pause in a loop that draws or controls something."""
    # In a process of its own, since the looks search all living models, also those of other tests
    done = subprocess.run([sys.executable, "-c", CALLS_OF_STEPS], capture_output=True, text=True, check=True)
    counts = [*map(int, done.stdout.split())]
    for calls in (counts[:36], counts[36:]):
        usual, most, whole = calls[20], max(calls[20:]), calls[1]
        assert usual < min(calls[30:33])
        assert most - usual < 0.7 * (whole - usual)


def test_fit_warns_of_a_parameter_that_has_come_since_the_optimiser_was_made():
    model = Pair()
    optimizer = SGD(model.parameters(), lr=0.01)
    model.head.append(Value(2.0))

    def fit():
        loss = compiler.compile(lambda x: (sum(model.head) * x - 3.0) ** 2)
        loss.fit([(1.0,), (2.0,)], optimizer, epochs=1)

    with pytest.warns(
        UserWarning, match=r"Pair\.head\.\d has come into the model since SGD was made, .*; make the opt"
    ):
        fit()
    added = model.head[-1]
    added.requires_grad = False
    fit()
    added.requires_grad = True
    other = SGD([added])
    fit()
    assert other.steps == 0


def test_a_model_may_grow_shrink_and_be_trained_by_several_optimisers():
    model = Pair()
    optimizer = SGD(model.parameters())
    pickle.loads(pickle.dumps(optimizer)).step()
    model.head.append(Value(2.0))
    for _ in range(2):  # it may be in the list on purpose
        optimizer.step()
    optimizer.steps = 1
    del model.head[1:]
    optimizer.step()
    optimizer.steps = 1
    replace_an_attribute(model)
    other = Adam(model.head)  # it trains what has come
    optimizer.step()
    del other
    optimizer.steps = 1
    model.head[0].requires_grad = model.head[1].requires_grad = False
    optimizer.step()
    optimizer.steps = 1
    del model
    optimizer.step()


def test_another_list_of_parameters_takes_over_the_state_and_then_has_it():
    a, b, c, d = map(Value, (1.0, 2.0, 3.0, 4.0))
    optimizer = SGD([a, b], momentum=0.9)
    optimizer.state[0]["momentum_buffer"] = 5.0
    for parameters, expected in (
        ([c, d], [5.0, 0.0]),
        ([c, d], [5.0, 0.0]),
        ([d, c], [0.0, 5.0]),
        ([a, d], [0.0, 0.0]),
    ):
        optimizer.parameters = parameters
        assert [state["momentum_buffer"] for state in optimizer.state] == expected


@dataclass
class Fields(Optimizer):
    """An optimiser as a dataclass, whose objects have no hash, since they are compared by their fields."""

    parameters: list[Value]
    lr: float = 0.25

    def __post_init__(self):
        super().__init__(self.parameters, self.lr)

    def update(self, p, state):
        p.data -= self.lr * p.grad


@dataclass(unsafe_hash=True)
class Hashed(Fields):
    """As `Fields`, but its hash would be made of a list, which has none."""


class Alike(SGD):
    """An optimiser that counts as equal to each other one."""

    def __eq__(self, other):
        return isinstance(other, Alike)

    def __hash__(self):
        return 1


@pytest.mark.parametrize("kind", [Fields, Hashed, Alike])
@pytest.mark.parametrize("hidden", [2, 12])  # a few parameters, and enough for steps in machine code
def test_optimizers_are_told_apart_by_identity(kind, hidden):
    """Optimisers train their own parameters, also if their class calls them equal, or gives them no hash."""
    models = [MLP(2, [hidden, 1], activation="tanh", seed=seed) for seed in (0, 1)]
    others = [MLP(2, [hidden, 1], activation="tanh", seed=seed) for seed in (0, 1)]
    optimizers = [kind(model.parameters(), 0.25) for model in models]
    expected = [SGD(model.parameters(), 0.25) for model in others]
    for _ in range(3):
        for model, optimizer in zip(models + others, optimizers + expected, strict=True):
            optimizer.zero_grad()
            ((model([0.5, -1.0]) - 1.0) ** 2).backward()
            optimizer.step()
    for model, optimizer in zip(models + others, optimizers + expected, strict=True):
        compiler.compile(lambda x, model=model: model(x) ** 2).fit([([0.5, 0.25],)], optimizer, epochs=2)
    assert [optimizer.steps for optimizer in optimizers] == [5, 5]
    for model, other in zip(models, others, strict=True):
        assert [p.data for p in model.parameters()] == pytest.approx([p.data for p in other.parameters()], rel=1e-12)


def test_what_is_known_of_an_optimizer_goes_with_it():
    """An entry of a `ByOptimizer` goes when its optimiser does, and a new optimiser at its address has none."""
    names, value = ByOptimizer[str](), Value(1.0)
    for _ in range(3):
        optimizer = Fields([value])
        assert optimizer not in names
        names[optimizer] = "first"
        names[optimizer] = "second"
        assert (names.get(optimizer), optimizer in names) == ("second", True)
        del optimizer
    assert names.pop(Fields([value])) is None
    assert not names._found


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("is_replaced", [True, False])
def test_every_model_of_an_optimiser_is_looked_at(place, is_replaced):
    """The others have not changed, and are before it or after it."""
    models = [Pair() for _ in range(3)]
    optimizer = SGD([p for model in models for p in model.parameters()], lr=0.01)
    if is_replaced:
        models[place].head = [Value(2.0)]
    else:
        models[place].head.append(Value(2.0))

    def fit():
        loss = compiler.compile(lambda x: (sum(sum(model.head) for model in models) * x - 3.0) ** 2)
        loss.fit([(1.0,), (2.0,)], optimizer, epochs=1)

    with pytest.warns(UserWarning, match=r"Pair\.head\.\d has come into the model since SGD was made"):
        fit()


@pytest.mark.parametrize("option", ["lr", "momentum", "weight_decay"])
@pytest.mark.parametrize("wrong", [np.array([0.1, 0.2]), np.array([0.1]), [0.1, 0.2], (0.1,)], ids=str)
def test_several_numbers_for_an_option_say_to_make_several_optimizers(option, wrong):
    p = Value(1.0)
    message = rf"{option} must be one number, got .*; write one number, and make an optimizer for each group"
    with pytest.raises(TypeError, match=message):
        SGD([p], **{"lr": 0.1, option: wrong})
    optimizer = SGD([p], lr=0.1)
    optimizer.lr, p.grad = wrong, 1.0
    with pytest.raises(TypeError, match=message.replace(option, "lr")):
        optimizer.step()
    assert p.data == 1.0
    assert getattr(SGD([p], **{"lr": 0.1, option: np.array(0.25)}), option) == 0.25


@pytest.mark.parametrize("kind", [Adam, RMSprop])
@pytest.mark.parametrize(("steps", "error"), [(-1, ValueError), (-2, ValueError), ("3", TypeError), (None, TypeError)])
def test_steps_that_are_no_count_are_refused(kind, steps, error):
    p = Value(1.0)
    p.grad = 1.0
    optimizer = kind([p], lr=0.1)
    optimizer.steps = steps
    with pytest.raises(error, match=rf"^{kind.__name__}: steps must be .*got {steps!r}; write optimizer\.steps = 0"):
        optimizer.step()
    assert p.data == 1.0
