"""A deep copy of a model with a function of its parameters, which Python does not copy."""

import copy
import dataclasses
import functools
import warnings
from collections import deque
from types import SimpleNamespace

import numpy as np
import pytest

from micrograd_cn import Value, compiler
from micrograd_cn.functional import grad
from micrograd_cn.nn import MLP, Module


def model_with(make):
    """Return a model whose attribute `f` is what `make` returns for the model."""

    class Model(Module):
        def __init__(self):
            self.w = Value(2.0)
            self.net = MLP(1, [1], seed=0)
            self.f = make(self)

        def times(self, x):
            return self.w * x

    return Model()


def closure_of_a_leaf(model):
    w = model.w
    return lambda x: w * x


@dataclasses.dataclass
class Settings:
    """An object of a user's class that has a function."""

    f: object

    def call(self, x):
        return self.f(x)


OUTSIDE = Value(3.0)
SHARED = {
    "a lambda": lambda model: lambda x: model.w * x,
    "a leaf": closure_of_a_leaf,
    "a default": lambda model: lambda x, w=model.w: w * x,
    "leaves in a list": lambda model: (lambda ws: lambda x: ws[0] * x)([model.w]),
    "a module inside": lambda model: (lambda net: lambda x: net([x]))(model.net),
    "in a dict": lambda model: {"double": lambda x: x * 2.0, "times": lambda x: model.w * x},
    "in nested dicts": lambda model: {"acts": {"times": lambda x: model.w * x}},
    "in a tuple in a list": lambda model: [("double", lambda x: x * 2.0), ("times", lambda x: model.w * x)],
    "in a tuple in a dict": lambda model: {"times": (lambda x: model.w * x, "by w")},
    "in a deque": lambda model: deque([lambda x: model.w * x]),
    "in a set": lambda model: {lambda x: model.w * x},
    "in an array": lambda model: np.array([lambda x: model.w * x, None]),
    "in a namespace": lambda model: SimpleNamespace(act=lambda x: model.w * x),
    "in a dataclass": lambda model: Settings(lambda x: model.w * x),
    "in the object of a method": lambda model: Settings(lambda x: model.w * x).call,
    "in an argument": lambda model: functools.partial(lambda fs, x: fs[0](x), [lambda x: model.w * x]),
    "grad": lambda model: grad(model.times),
    "a method in a closure": lambda model: (lambda f: lambda x: f(x))(model.times),
    "a partial in a closure": lambda model: (lambda f: lambda x: f(x))(functools.partial(model.times)),
    "compile": lambda model: compiler.compile(lambda x: model.w * x),
    "partial": lambda model: functools.partial(lambda k, x: model.w * x * k, 2.0),
    "lru_cache": lambda model: functools.lru_cache(model.times),
    "vectorize": lambda model: np.vectorize(lambda x: model.w * x),
    "the activation of a neuron": lambda model: MLP(1, [1], activation=lambda x: model.w * x),
}
COPIED = {
    "a method": lambda model: model.times,
    "a compiled method": lambda model: compiler.compile(model.times),
    "a partial of a method": lambda model: functools.partial(model.times),
    "a function of no parameter": lambda model: lambda x: x * 2.0,
    "a wrapper": lambda model: functools.wraps(closure_of_a_leaf)(lambda x: x),
    "a method in an object": lambda model: Settings(model.times).call,
    "a function of no parameter in an object": lambda model: [Settings({"f": lambda x: x * 2.0})],
    "a value outside": lambda model: lambda x: OUTSIDE * x,
}


@pytest.mark.parametrize("name", SHARED)
def test_a_deep_copy_warns_of_a_function_that_goes_on_using_the_original(name):
    model = model_with(SHARED[name])
    with pytest.warns(UserWarning, match=r"deep copy of this \w+ has the same function [\w.]+ .* make it a") as caught:
        copy.deepcopy([model])
    assert [w.filename for w in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        copy.copy(model)  # whose parameters are those of the original


@pytest.mark.parametrize("name", COPIED)
def test_a_deep_copy_does_not_warn_of_what_is_copied_or_uses_no_parameter(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        copied = copy.deepcopy(model_with(COPIED[name]))
    copied.w.data = 7.0
    if name in ("a method", "a compiled method", "a partial of a method", "a method in an object"):
        assert float(getattr(copied.f(1.0), "data", copied.f(1.0))) == 7.0
