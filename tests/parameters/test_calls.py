"""An optimiser warns of leaves that a call of a model reads, and that neither the model nor the arguments have."""

import functools
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from micrograd_cn import Value
from micrograd_cn.functional import grad, hessian, jacobian, jvp, value_and_grad
from micrograd_cn.module import Module
from micrograd_cn.nn import MLP, Layer
from micrograd_cn.optim import SGD
from micrograd_cn.parameters import calls

WARNING = r"^forward of this \w+ reads Value\(.*\), which gets a gradient, but is in no optimizer, so nothing trains it"


class Slope:
    """An object that is no module, and has a leaf."""

    def __init__(self):
        self.w = Value(0.5)

    def times(self, x):
        return self.w * x * x


class OfClass:
    w = Value(0.5)


LIST, DICT, ARRAY, OBJECT = [Value(0.5)], {"w": Value(0.5)}, np.array([Value(0.5)], dtype=object), Slope()
NET = SimpleNamespace(net=MLP(1, [2, 1], "tanh", seed=0))
DERIVATIVE = grad(OBJECT.times)


def times_item(x):
    return LIST[0] * x


def in_closure(make):
    """Return the function of `x` that `make` returns for an object with a leaf, which is in its closure."""
    return make(Slope())


# Functions of an input, which read a leaf or a network that is hidden somewhere
HIDDEN = {
    "a global list": lambda x: LIST[0] * x,
    "a global list in a function": times_item,
    "a global dict": lambda x: DICT["w"] * x,
    "a global array": lambda x: (ARRAY * x)[0],
    "a global object": lambda x: OBJECT.times(x),
    "a global object with a network": lambda x: NET.net([x]),
    "a class": lambda x: OfClass.w * x,
    "an object in a closure": in_closure(lambda s: lambda x: s.w * x),
    "a method in a closure": in_closure(lambda s: (lambda f: lambda x: f(x))(s.times)),
    "grad": in_closure(lambda s: lambda x: grad(lambda t: s.w * t * t)(x)),
    "grad outside": lambda x: DERIVATIVE(x),
    "value_and_grad": in_closure(lambda s: lambda x: value_and_grad(s.times)(x)[1]),
    "jacobian": in_closure(lambda s: lambda x: jacobian(lambda t: [s.times(t)])(x)[0]),
    "a partial of jvp": in_closure(lambda s: lambda x: functools.partial(jvp, s.times)(x, 1.0)[1]),
    "hessian": in_closure(lambda s: lambda x: hessian(lambda t: s.times(t) * t)(x)),
    "a setattr": in_closure(lambda s: lambda x: vars(s)["w"] * x),
}


class Scaled(Module):
    """A model that computes w * x and applies `f`, a function that is not in an attribute of the model."""

    def __init__(self, f):
        self.w = Value(1.0)
        FUNCTIONS[id(self)] = f

    def forward(self, x):
        return FUNCTIONS[id(self)](self.w * x)


FUNCTIONS = {}


@pytest.fixture(autouse=True)
def _no_search():
    """End a search that an earlier test has begun."""
    if calls._watch:
        calls._watch.end()


class Around(Module):
    """A model whose part is called, and that is an attribute of no other model."""

    def __init__(self, f):
        self.first, self.scaled = Layer(1, 1, activation="tanh", seed=0), Scaled(f)

    def __call__(self, x):
        return self.scaled(self.first([x]))


def warnings_of(model, step=lambda model, x: model(x), steps=6, optimizer=None):
    """Train `model`, and return the iterations in which there was a warning, each with its text."""
    optimizer, found = optimizer or SGD(model.parameters(), lr=0.01), []
    for i in range(steps):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            optimizer.zero_grad()
            ((step(model, 1.0 + i % 3) - 3.0) ** 2).backward()
            optimizer.step()
        found += [(i, str(warning.message)) for warning in caught]
        assert {warning.filename for warning in caught} <= {__file__}
    return found


@pytest.mark.parametrize("kind", [Scaled, Around])
@pytest.mark.parametrize("name", HIDDEN)
def test_the_third_call_warns_once_of_a_leaf_that_neither_the_model_nor_its_arguments_have(name, kind):
    before = [(vars(cls).get("__call__"), vars(cls).get("forward")) for cls in (Scaled, Around)]
    [(i, message)] = warnings_of(kind(HIDDEN[name]))
    assert i == 2
    assert "which gets a gradient, but is in no optimizer, so nothing trains it" in message
    assert message.startswith(("forward of this Scaled", "__call__ of this Around"))
    assert [(vars(cls).get("__call__"), vars(cls).get("forward")) for cls in (Scaled, Around)] == before


class Keeping(Scaled):
    """A model that keeps the graph of its last result."""

    def forward(self, x):
        self.last = super().forward(x)
        return self.last


@pytest.mark.parametrize("name", HIDDEN)
def test_a_model_that_keeps_its_last_result_does_not_have_the_leaves_in_its_graph(name):
    [(_, message)] = warnings_of(Keeping(HIDDEN[name]))
    assert message.startswith("forward of this Keeping reads ")


def test_the_activation_of_a_network_may_read_a_leaf_of_an_object():
    [(_, message)] = warnings_of(MLP(1, [2, 1], HIDDEN["a global object"], seed=0), lambda model, x: model([x]))
    assert message.startswith("__call__ of this MLP reads Value(data=0.5")


def test_only_a_step_that_looks_and_one_call_after_it_cost_time():
    """The methods of the class are wrapped for at most a few calls, and only if a leaf is in no optimiser."""
    model, method = Scaled(HIDDEN["a global list"]), Scaled.forward
    optimizer = SGD(model.parameters(), lr=0.01)
    wrapped = []
    for i in range(6):
        optimizer.zero_grad()
        wrapped.append(Scaled.forward is not method)
        with pytest.warns(UserWarning, match=WARNING) if i == 2 else warnings.catch_warnings():
            model(1.0).backward()
        assert Scaled.forward is method
        optimizer.step()
    assert wrapped == [False, False, True, False, False, False]


def test_a_warning_that_is_an_error_ends_the_search():
    model, method = Scaled(HIDDEN["a global list"]), Scaled.forward
    optimizer = SGD(model.parameters(), lr=0.01)
    for _ in range(2):
        model(1.0).backward()
        optimizer.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match=WARNING):
            model(1.0)
    assert Scaled.forward is method
    assert calls._watch is None


class Batch:
    def __init__(self, x):
        self.x = x


class OfBatch(Module):
    def __init__(self):
        self.w = Value(0.5)

    def __call__(self, batch=None, *, xs=()):
        return self.w * (batch.x if batch else xs[0]["x"])


class Own(Module):
    """A model that names its parameters itself, and may read others."""

    def __init__(self):
        self.w = Value(0.5)

    def parameters(self):
        return [self.w]

    def __call__(self, x):
        return self.w * x * LIST[0]


X = [Value(float(x)) for x in range(4)]  # inputs that stay the same objects, and get gradients
WEIGHT, TRAINED = Value(0.5), Value(0.5)


def train_by_hand(model, x):
    TRAINED.data -= 0.01 * TRAINED.grad
    TRAINED.grad = 0.0
    return model(x)


NOTHING_HIDDEN = {
    "inputs": lambda: (Scaled(lambda x: x), lambda model, x: model(X[int(x)])),
    "inputs in objects": lambda: (OfBatch(), lambda model, x: model(Batch(X[int(x)]))),
    "inputs in keywords": lambda: (OfBatch(), lambda model, x: model(xs=[{"x": X[int(x)]}])),
    "inputs from a generator": lambda: (MLP(2, [1]), lambda model, x: model(v * 1.0 for v in X[:2])),
    "inputs of an input": lambda: (Scaled(lambda x: x), lambda model, x: model(X[int(x)] * WEIGHT)),
    "targets and factors of the loss": lambda: (Scaled(lambda x: x), lambda model, x: WEIGHT * model(x) - X[0]),
    "new leaves": lambda: (Scaled(lambda x: x * Value(2.0)), lambda model, x: model(Value(x))),
    "constants": lambda: (Scaled(lambda x: x * CONSTANT[0]), lambda model, x: model(x)),
    "leaves of a loop by hand": lambda: (Scaled(lambda x: x * SimpleNamespace(w=TRAINED).w), train_by_hand),
    "a model that names its parameters": lambda: (Own(), lambda model, x: model(x)),
    "a function that is passed": lambda: (Passed(), lambda model, x: model(lambda y: y * LIST[0], x)),
}
CONSTANT = [Value(0.5, requires_grad=False)]


class Passed(Module):
    def __init__(self):
        self.w = Value(0.5)

    def __call__(self, f, x):
        return f(self.w * x)


@pytest.mark.parametrize("name", NOTHING_HIDDEN)
def test_inputs_constants_and_leaves_that_are_trained_elsewhere_are_not_warned_of(name):
    assert warnings_of(*NOTHING_HIDDEN[name](), steps=40) == []


def test_a_leaf_in_another_optimiser_and_parts_without_one_are_not_warned_of():
    """A network may be trained by two optimisers, and only the last layers of a network may be trained."""
    model = Scaled(HIDDEN["a global object"])
    other = SGD([OBJECT.w], lr=0.0)
    assert warnings_of(model) == []
    del other
    model = Around(lambda x: x)
    assert warnings_of(model, optimizer=SGD(model.scaled.parameters(), lr=0.01)) == []


class Inheriting(Scaled):
    """A model that has the method `forward` of its base."""


class Deep(Module):
    """A model with more parts than calls are looked at."""

    def __init__(self):
        self.parts = [Scaled(lambda x: x) for _ in range(calls.MOST_CALLS + 2)]

    def forward(self, x):
        for part in self.parts:
            x = part(x)
        return OfClass.w * x


class Chosen(Scaled):
    """A model that says itself what its parameters are."""

    def parameters(self):
        return [self.w]


def own_calls():
    return [{name: vars(cls).get(name) for name in calls.NAMES_OF_CALLS} for cls in (Inheriting, Scaled, Module)]


def test_after_a_search_classes_have_the_methods_that_they_had_before():
    model, before = Inheriting(HIDDEN["a class"]), own_calls()
    assert len(warnings_of(model)) == 1
    assert calls._watch is None
    assert own_calls() == before
    assert model(2.0).data == OfClass.w.data * (model.w.data * 2.0)


def test_a_search_ends_the_one_before_it():
    model, before = Scaled(HIDDEN["a class"]), own_calls()
    for _ in range(2):
        calls.watch_calls([model], [(OfClass.w, OfClass.w.data)], print)
    calls._watch.end()
    assert own_calls() == before


def test_calls_of_parts_are_not_counted():
    [(_, text)] = warnings_of(Deep())
    assert text.startswith("forward of this Deep reads")


def test_a_model_that_says_what_its_parameters_are_is_left_alone():
    model = Around(HIDDEN["a class"])
    model.scaled = Chosen(HIDDEN["a class"])
    assert warnings_of(model, lambda model, x: model.scaled(model.first([x]))) == []
