"""Parameters where none are looked for are refused."""

import argparse
import array
import contextlib
import ctypes
import datetime
import decimal
import fractions
import inspect
import io
import itertools
import logging
import math
import operator
import pathlib
import queue
import random
import re
import sys
import threading
import unittest.mock
import weakref
from contextvars import ContextVar, copy_context
from functools import cache, partial
from types import ModuleType

import numpy as np
import pytest

from micrograd_cn import Value, no_grad
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.functional import grad
from micrograd_cn.nn import Layer, Module, Neuron
from micrograd_cn.optim import SGD
from micrograd_cn.parameters import hidden

from .models import Noted


class Namespace:
    w = Value(0.3)


class Unit:
    def __init__(self):
        self.w = Value(0.3)

    def act(self, x):
        return self.w * x


class Frame:
    """It has what is read of a pandas Series."""

    __module__ = "pandas"

    def __init__(self, items):
        self.iloc, self.items = self, items

    def __getitem__(self, index):
        return self

    def to_numpy(self):
        return np.array(self.items, dtype=object)


Frame.iloc = None


class Gated(Value):
    __slots__ = ("gate",)

    def __init__(self, x):
        super().__init__(x)
        self.gate = Value(0.3)


def with_model(x):
    return with_model.net(x)


with_model.net = Neuron(1)


def scaled():
    def scale(x):
        return scale.w * x

    scale.w = Value(0.3)
    return scale


def noted():
    x = Noted(1.0)
    x.extra = Value(0.3)
    return x


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Frame([Value(0.3)]), r"is a pandas Frame, .*; write x\.to_numpy"),
        (lambda: {Value(0.3): 1}, "is a dict with a parameter as a key, .*; keep the parameters as its values"),
        (lambda: [{"a": Value(0.3)}.items()], r"is a dict_items, .*; write list\("),
        ({"a": Value(0.3)}.values, r"is a dict_values, .*; write list\("),
        (lambda: Namespace, r"is the class Namespace, .*; assign an object, Namespace\(\)"),
        (lambda: partial(max, x=Value(0.3)), r"is a functools\.partial, .*; keep the parameter in an attribute"),
        (lambda: Neuron(1).__call__, "is a method of a Neuron, .*; keep the Neuron itself"),
        (lambda: partial(Unit().act, 2.0), r"is a functools\.partial that calls a Unit, .*; keep the Unit itself"),
        (lambda: partial(Neuron(1), 2.0), r"is a functools\.partial that calls a Neuron, .*; keep the Neuron itself"),
        (lambda: partial(compile(Neuron(1)), 2.0), r"is a functools\.partial that calls a Neuron, "),
        (lambda: compile(Neuron(1)), "is a CompiledFunction that calls a Neuron, .*; keep the Neuron itself in an att"),
        (lambda: {"a": [compile(Neuron(1).__call__)]}, "is a CompiledFunction that calls a Neuron, "),
        (lambda: cache(Unit().act), "is a lru_cache_wrapper that calls a Unit, "),
        (lambda: grad(Neuron(1)), "is a function that calls a Neuron, "),
        (lambda: no_grad()(Unit().act), "is a function that calls a Unit, "),
        (lambda: np.vectorize(Neuron(1), otypes=[object]), "is a vectorize that calls a Neuron, "),
        (lambda: np.frompyfunc(Neuron(1), 1, 1), "is a ufunc that calls a Neuron, "),
        (
            lambda: partial(max, Neuron(1)),
            r"is a functools\.partial, .*; keep the parameter .* or the model",
        ),
        (lambda: partial(max, x=[Neuron(1)]), r"is a functools\.partial, "),
        (
            lambda: compile(partial(Neuron.__call__, Neuron(1))),
            "is a CompiledFunction that calls a functools",
        ),
        (lambda: with_model, "is a function with a parameter in an attribute, "),
        (scaled, "is a function with a parameter in an attribute, .*; keep it in an attribute of the model"),
        (lambda: Gated(1.0), "is a Gated, with a parameter in an attribute, .*; keep it in an attribute of the model"),
        (lambda: Unit().act, "is a method of a Unit, .*; keep the Unit itself"),
        (noted, "is a Noted, with a parameter in an attribute, .*; keep it in an attribute of the model"),
    ],
)
def test_parameters_where_none_are_looked_for_are_refused(make, message):
    class Model(Module):
        def __init__(self, held=None):
            self.b = Value(0.0)
            if held is not None:
                self.held = held

    with pytest.raises(TypeError, match=rf"^Model\.held.* {message}"):
        Model(make())
    if not isinstance(make(), Value):
        with pytest.raises(TypeError, match=rf"^Model\.held.* {message}"):
            Model().held = make()


class Kept(Exception):
    def __init__(self, x):
        super().__init__(x)
        self.step = 3


def filled(queue, x):
    queue.put(x)
    return queue


def local_to_thread(x):
    held = threading.local()
    held.weights = {"w": x}
    return held


def in_context(x):
    variable = ContextVar("weight")
    variable.set(x)
    return variable


def in_module(x):
    module = ModuleType("weights")
    module.weight = x
    return module


OPAQUE = {
    "Queue": lambda x: filled(queue.Queue(), x),
    "PriorityQueue": lambda x: filled(queue.PriorityQueue(), (1, [x])),
    "SimpleQueue": lambda x: filled(queue.SimpleQueue(), np.array([x])),
    "ValueError": ValueError,
    "Kept": Kept,
    "_local": local_to_thread,
    "ContextVar": in_context,
    "py_object": ctypes.py_object,
    "poly1d": lambda x: np.poly1d(np.array([x, x])),
    "slice": lambda x: slice(x, None),
    "module": in_module,
    "builtin_function_or_method": lambda x: {"w": x}.get,
    "methodcaller": lambda x: operator.methodcaller("act", x),
}


@pytest.mark.parametrize("name", OPAQUE)
def test_parameters_in_an_object_that_does_not_show_its_content_are_refused(name):
    message = rf"^Model\.held.* is a {name}, where .*; keep it in an attribute of the model or in a list"

    class Model(Module):
        def __init__(self, *held):
            self.b = Value(0.0)
            if held:
                self.held = [*held]

    with pytest.raises(TypeError, match=message):
        Model(OPAQUE[name](Value(0.3)))
    with pytest.raises(TypeError, match=message):
        Model().held = OPAQUE[name](Value(0.3))
    constant = Value(0.3)
    constant.requires_grad = False
    assert len(Model(OPAQUE[name](constant)).parameters()) == 1
    shared = Value(0.3)
    assert len(Model(shared, OPAQUE[name](shared)).parameters()) == 2


def test_objects_that_reach_other_models_or_the_whole_program_are_no_mistake():
    class Model(Module):
        def __init__(self):
            self.w, self.log, self.random = Value(1.0), logging.getLogger(), random.Random(0)
            self.thread = threading.Thread(target=self.run, args=(Value(2.0),))
            self.teacher = in_context(Neuron(1))
            self.data, inside = iter([Value(1.0)]), Value(3.0)
            self.jobs = filled(queue.Queue(), SGD(Neuron(1).parameters(), lr=0.1))
            self.weak, self.here = weakref.proxy(Neuron(1)), sys.modules[__name__]
            try:
                raise ValueError(inside.data)
            except ValueError as error:
                self.error = error

        def run(self, x):
            return self.w * x

    assert [p.data for p in Model().parameters()] == [1.0]


HARMLESS = [
    *(logging.getLogger("micrograd_cn.tests"), threading.Lock(), threading.Event(), threading.current_thread()),
    *(random.Random(0), np.random.default_rng(0), pathlib.Path(), re.compile("a"), datetime.datetime(2026, 12, 2)),
    *(unittest.mock.Mock(), unittest.mock.MagicMock(), unittest.mock.NonCallableMock(), contextlib.ExitStack()),
    *(unittest.mock.Mock(spec=Layer), unittest.mock.Mock(spec=set), unittest.mock.create_autospec(Layer)),
    *(queue.Queue(), weakref.WeakSet(), weakref.WeakValueDictionary(), copy_context(), sys.stdout, io.StringIO()),
    *(argparse.Namespace(lr=0.1), decimal.getcontext(), fractions.Fraction(1, 2), inspect.signature(print), math.tanh),
    *(itertools.count(), range(3), slice(1, 2), b"", memoryview(b""), array.array("d"), ..., 1j, np.dtype(float)),
]


@pytest.mark.parametrize("x", HARMLESS, ids=lambda x: type(x).__name__)
def test_other_objects_of_the_standard_library_may_be_anywhere_in_a_model(x):
    class Model(Module):
        def __init__(self):
            self.w, self.held, self.inside = Value(1.0), x, {"a": [(x,)]}

    model = Model()
    model.new = x
    optimizer = SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        (model.w * 2.0).backward()
        optimizer.step()
    assert [*model.state_dict()] == ["w"]


def test_what_refers_to_parameters_that_the_model_has_anyway_is_no_mistake():
    class Parent(Module):
        def __init__(self):
            self.w, self.cell = Value(1.0), Child(self.notify, self)

        def notify(self, x):
            return self.w * x

    class Child(Module):
        def __init__(self, notify, parent):
            self.w, self.notify, self.own = Value(2.0), notify, self.run
            self.names = {self.w: "w"}
            self.kinds, self.loss = [Layer, dict, Unit], partial(max, self.w)
            self.teacher = frozen.__call__
            self.fast, self.kept, self.slope = compile(self), cache(self.run), grad(self.run)
            self.scaled, self.length = partial(self.run, 2.0), cache(len)

        def run(self, x):
            return self.w * x

    frozen = Neuron(1)
    for p in frozen.parameters():
        p.requires_grad = False
    model = Parent()
    model.cell.again = model.notify
    assert [p.data for p in model.parameters()] == [1.0, 2.0]


def test_all_parameters_of_a_hidden_model_must_be_in_another_place():
    """Here the decoder shares the embedding with the model, and has a parameter of its own."""

    class Decoder(Module):
        def __init__(self, embedding):
            self.embedding, self.scale = embedding, Value(1.0, "scale")

        def __call__(self, x):
            return self.scale * self.embedding * x

    class Model(Module):
        def __init__(self, wrap):
            self.embedding = Value(0.5)
            self.decoder = wrap(Decoder(self.embedding))

    assert len(Model(lambda decoder: decoder).parameters()) == 2
    for wrap in (compile, lambda decoder: decoder.__call__, lambda decoder: partial(max, decoder)):
        with pytest.raises(TypeError, match=r"^Model\.decoder is .* but it has Value\(.*'scale'"):
            Model(wrap)


def test_the_parameters_of_a_model_are_listed_once_for_all_that_an_attribute_hides(monkeypatch):
    listed, list_them = [], hidden.leaves_to_train
    monkeypatch.setattr(hidden, "leaves_to_train", lambda x: listed.append(x) or list_them(x))

    class Model(Module):
        def __init__(self):
            self.net = Layer(5, 8)
            self.fast = [compile(self.net), compile(self.net)]

    model = Model()
    assert len(model.parameters()) == 48
    assert len([x for x in listed if x is model]) == 1


def test_a_model_that_names_its_parameters_may_hide_others():
    class Model(Module):
        def __init__(self):
            self.net, self.held = Neuron(1), None

        def parameters(self):
            return self.net.parameters()

    model = Model()
    model.held = compile(Neuron(1))
    assert len(model.parameters()) == 2


def test_what_replaces_a_placeholder_is_looked_at():
    class Model(Module):
        def __init__(self):
            self.b, self.held = Value(0.0), None

        def __call__(self, x):
            return self.held(x) + self.b

    for held in (compile(Neuron(1)), partial(max, Value(2.0))):
        with pytest.raises(TypeError, match=r"^Model\.held is a .* where no parameters are looked for"):
            Model().held = held
    model = Model()
    model.held = compile(model)
    assert model.parameters() == [model.b]


def test_a_class_in_a_class_has_no_parameters():
    for held in (Namespace, partial(max, Value(1.0)), {Value(1.0): 2}):
        with pytest.raises(TypeError, match=r"^Model\.held\S* is an attribute of the class, where no parameters are"):
            type("Model", (Module,), {"held": held})


def test_a_descriptor_that_needs_an_object_is_not_asked_for_the_class():
    class Kept:
        def __init__(self):
            self.values = {}

        def __get__(self, instance, owner=None):
            return self.values[self.key(instance)]

        def __set__(self, instance, x):
            self.values[self.key(instance)] = x

    for key in (id, lambda instance: instance):

        class Model(Module):
            w = Kept()
            w.key = key

            def __init__(self):
                self.b, self.w = Value(0.0), Value(0.3)

        with pytest.raises(TypeError, match=r"^Model\.w\.values\.\d+ is an attribute of the class"):
            Model()
