"""Parameters are found wherever a model keeps them."""

import copy
import re
from collections import OrderedDict, UserDict, UserList, deque
from dataclasses import dataclass, field
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest

from micrograd_cn import Value
from micrograd_cn.compiler import compile as compile_function
from micrograd_cn.nn import Layer, Module, Neuron
from micrograd_cn.optim import SGD

from .models import Keeper, Sequence, SlottedModule, data


def test_parameters_in_the_fields_of_a_structured_array_are_found():
    class Net(Module):
        def __init__(self):
            self.p = np.zeros(2, dtype=[("w", object), ("b", object), ("n", int)])
            for k, row in enumerate(self.p):
                row["w"], row["b"] = Value(k + 0.5), Value(k)

    net = Net()
    assert [name for name, _ in net.named_parameters()] == ["p.0.w", "p.1.w", "p.0.b", "p.1.b"]
    net.load_state_dict({name: x + 1.0 for name, x in net.state_dict().items()})
    assert [x.data for x in net.p["w"]] == [1.5, 2.5]
    assert copy.deepcopy(net).parameters()[0] is not net.parameters()[0]


def test_parameters_in_one_row_of_a_structured_array_are_found():
    class Net(Module):
        def __init__(self, w):
            self.row = np.array([(w, 2.0)], dtype=[("w", object), ("n", float)])[0]
            self.b = Value(1.0)

    net = Net([Value(1.0), Value(2.0)])
    assert [name for name, _ in net.named_parameters()] == ["row.w.0", "row.w.1", "b"]
    net.load_state_dict({"row.w": [3.0, 4.0], "b": 5.0})
    assert [x.data for x in net.row["w"]] == [3.0, 4.0]
    assert [name for name, _ in Net(3.0).named_parameters()] == ["b"]


class Head:
    def __init__(self, *held):
        self.held = held


@dataclass
class Settings:
    rate: Value
    more: list[Value] = field(default_factory=list)


class Stack(list):
    def __init__(self, items, scale):
        super().__init__(items)
        self.scale = scale


class Slotted:
    __slots__ = ("__private", "empty", "w")

    def __init__(self, w):
        self.w, self.__private = w, w


def ring(w, v):
    """Return an object that refers to another one, which refers back."""
    first, second = Head(w), Head(v)
    first.other, second.other = second, first
    return first


# What a module keeps w and v in, the paths of the parameters, and the state. None is not compared.
KEPT = [
    (lambda w, v: np.array([w, v]), ["held.0", "held.1"], {"held": [1.0, 2.0]}),
    (lambda w, v: np.array([[w, 3.0], [None, v]]), ["held.0.0", "held.1.1"], {"held.0.0": 1.0, "held.1.1": 2.0}),
    (lambda w, v: [np.array([[w], [v]])], ["held.0.0.0", "held.0.1.0"], {"held": [[[1.0], [2.0]]]}),
    (lambda w, v: (np.array(w), v), ["held.0.0", "held.1"], {"held": (1.0, 2.0)}),
    (lambda w, v: deque([w, v]), ["held.0", "held.1"], {"held": [1.0, 2.0]}),
    (lambda w, v: MappingProxyType({"a": w, "b": (v,)}), ["held.a", "held.b.0"], {"held.a": 1.0, "held.b": (2.0,)}),
    (lambda w, v: UserDict(a=w, b=v), ["held.data.a", "held.data.b"], {"held.data.a": 1.0, "held.data.b": 2.0}),
    (lambda w, v: UserList([w, v]), ["held.data.0", "held.data.1"], {"held.data": [1.0, 2.0]}),
    (lambda w, v: Stack([w], v), ["held.0", "held.scale"], {"held.0": 1.0, "held.scale": 2.0}),
    (lambda w, v: OrderedDict(a=w, b=v), ["held.a", "held.b"], {"held.a": 1.0, "held.b": 2.0}),
    (lambda w, v: SimpleNamespace(a=w, b=v), ["held.a", "held.b"], {"held.a": 1.0, "held.b": 2.0}),
    (lambda w, v: Head(w, [v]), ["held.held.0", "held.held.1.0"], {"held.held": (1.0, [2.0])}),
    (lambda w, v: Settings(w, [v]), ["held.rate", "held.more.0"], {"held.rate": 1.0, "held.more": [2.0]}),
    (lambda w, v: (Slotted(w), v), ["held.0._Slotted__private", "held.1"], None),
    (lambda w, v: SlottedModule(w, v), ["held.w", "held.b"], {"held.w": 1.0, "held.b": 2.0}),
    (ring, ["held.held.0", "held.other.held.0"], {"held.held": (1.0,), "held.other.held": (2.0,)}),
    (lambda w, v: [w, v, {w}, frozenset([v])], ["held.0", "held.1"], {"held.0": 1.0, "held.1": 2.0}),
    (lambda w, v: [w, v, SGD([w, v]), compile_function(lambda x: w * x)], ["held.0", "held.1"], None),
    (lambda w, v: Head(w, v, open, Head, str.join, re, np.random.default_rng(), np.arange(3)), None, None),
]


@pytest.mark.parametrize(("holder", "paths", "state"), KEPT)
def test_parameters_are_found_trained_and_saved_wherever_they_are(holder, paths, state, tmp_path):
    """Parameters in containers and objects of any kind are found, trained, saved, loaded and compiled."""
    w, v = Value(1), Value(2)
    model = Keeper(holder(w, v))
    assert paths in (None, [path for path, _ in model.named_parameters()])
    assert state is None or model.state_dict() == state
    assert model.parameters() == [w, v]
    assert repr(model).startswith("Keeper(), 2 parameters")
    model(3.0).backward()
    assert (w.grad, v.grad) == (4.0, 4.0)
    model.zero_grad()
    assert (w.grad, v.grad) == (0.0, 0.0)
    model.save(tmp_path / "model.json")
    w.data = v.data = 7.0
    model.load(tmp_path / "model.json")
    assert (w.data, v.data) == (1.0, 2.0)
    program = compile_function(model)
    program.fit([(1.0,)], SGD(model.parameters(), lr=0.1), epochs=1)
    assert (w.data, v.data) == pytest.approx((0.8, 1.8))
    w.requires_grad = False
    program.fit([(1.0,)], SGD(model.parameters(), lr=0.1), epochs=1)
    assert (w.data, v.data) == pytest.approx((0.8, 1.6))


@pytest.mark.parametrize("circle", [[], deque(), np.array([None, None], dtype=object)], ids=["list", "deque", "array"])
def test_parameters_beside_what_contains_itself_are_found_once(circle):
    """A container that contains itself does not make the search for parameters endless."""
    w = Value(1)
    if isinstance(circle, np.ndarray):
        circle[:] = [w, circle]
    else:
        circle += [w, circle]
    model = Keeper(circle)
    assert model.parameters() == [w]
    assert model.state_dict() == {"held.0": 1.0}
    assert repr(model) == "Keeper(), 1 parameter"


@pytest.mark.parametrize(
    "held",
    [
        *(lambda w: {w}, lambda w: frozenset([1, (2, w)]), lambda w: {Neuron(1)}, lambda w: [{w}]),
        *(lambda w: {frozenset([w])}, lambda w: {(1, frozenset([(w,)]))}),
    ],
)
def test_parameters_in_a_set_alone_are_refused(held):
    """A set has no order, so parameters that are only in a set are refused, with advice to use a list."""
    model = Keeper(held(Value(1)))
    for use in (Module.parameters, Module.zero_grad, Module.state_dict, repr, lambda model: model.load_state_dict({})):
        with pytest.raises(TypeError, match=r"^Keeper\.held(\.0)? is a set with parameters.*keep them in a list"):
            use(model)


class Named(Module, dict):
    """A module that is a dict of its parts."""


def test_the_items_of_a_module_that_is_a_list_or_dict_are_found(tmp_path):
    model = Sequence([Layer(1, 2, seed=0), Layer(2, 1, seed=0)])
    model.scale = Value(2)
    assert len(model.parameters()) == 8
    assert [*model.state_dict()] == ["0.weight", "0.bias", "1.weight", "1.bias", "scale"]
    assert [*Sequence([Value(1), Value(2)]).state_dict()] == ["0", "1"]
    assert data(type("Pair", (Module, tuple), {})([Value(1), Value(2)])) == [1.0, 2.0]
    assert [name for name, _ in Named(a=Value(1), b=Neuron(1)).named_parameters()] == ["a", "b.w.0", "b.b"]
    assert repr(model).count("Layer") == 2
    model.save(tmp_path / "m.json")
    model(1.0 * Value(2)).backward()
    model.zero_grad()
    assert {p.grad for p in model.parameters()} == {0.0}


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_a_matrix_of_parameters_is_found_as_an_array_is():
    class Holding(Module):
        def __init__(self):
            self.m = np.matrix([[Value(1.0), Value(2.0)], [Value(3.0), Value(4.0)]], dtype=object)

    model = Holding()
    assert [p.data for p in model.parameters()] == [1.0, 2.0, 3.0, 4.0]
    assert [name for name, _ in model.named_parameters()][-1] == "m.1.1"


def test_lists_that_share_their_items_are_searched_once():
    """There are 2 ** 40 ways through these lists to the parameter."""
    shared = [Value(1.0)]
    for _ in range(40):
        shared = [shared, shared]
    model = Keeper(shared)
    assert len(list(model.named_parameters())) == len(model.parameters()) == 1


class Leaves(list):
    __slots__ = ("bias",)


class LeavesArray(np.ndarray):
    pass


def test_parameters_in_attributes_of_arrays_and_in_slots_of_lists_are_found():
    class Model(Module):
        def __init__(self):
            self.ws, self.array = Leaves([Value(1.0)]), np.array([Value(2.0)]).view(LeavesArray)
            self.numbers = np.array([0.5]).view(LeavesArray)
            self.ws.bias, self.array.bias, self.numbers.bias = Value(3.0), Value(4.0), Value(5.0)

    expected = {"ws.0": 1.0, "ws.bias": 3.0, "array.0": 2.0, "array.bias": 4.0, "numbers.bias": 5.0}
    model = Model()
    assert {name: p.data for name, p in model.named_parameters()} == expected
    assert model.state_dict() == expected


def test_a_model_that_is_a_key_of_its_own_dict_is_shown_and_saved():
    class Model(Module):
        def __init__(self):
            self.d = {self: Value(0.3), "a": Value(0.4)}

    model = Model()
    assert [name for name, _ in model.named_parameters()] == ["d.0", "d.a"]
    assert repr(model) == "Model(), 2 parameters"
    assert model.state_dict() == {"d.0": 0.3, "d.a": 0.4}
