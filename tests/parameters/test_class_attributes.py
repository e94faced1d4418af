"""Parameters in attributes of a class are refused."""

import warnings
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import ClassVar
from weakref import WeakKeyDictionary

import numpy as np
import pytest

from micrograd_cn import Value
from micrograd_cn.nn import MLP, Layer, Module, Neuron

from .models import Keeper, data


def test_a_parameter_of_a_class_is_refused():
    """A parameter that is an attribute of the class would be shared by all instances, so it is refused."""
    with pytest.raises(TypeError, match=r"^Net\.w is an attribute of the class.*assign self\.w in __init__"):
        type("Net", (Module,), {"w": Value(1)})
    with pytest.raises(TypeError, match=r"^Net\.layers\.0\.neurons\.0\.w\.0 is an attribute of the class"):
        type("Net", (Module,), {"layers": [Layer(1, 1)]})
    with pytest.raises(TypeError, match=r"^Net\.settings\.rate is an attribute of the class"):
        type("Net", (Module,), {"settings": SimpleNamespace(rate=Value(1))})


def test_constants_and_defaults_of_a_class_are_no_matter():
    """A class may have constants, a list of its instances, and, as a dataclass, a function that makes a default."""

    @dataclass(eq=False)
    class Line(Module):
        start: Value = field(default_factory=lambda: Value(1))
        zero = Value(0, requires_grad=False)
        names = ("a", "b")
        lines = []  # noqa: RUF012 -- it is meant to be shared

    Line.lines += [Line(), Line()]
    Line.last = Value(2) * 3
    assert [p.data for p in Line().parameters()] == [1.0]


class WithWeights:
    """An object that is no module, and whose class has a list."""

    weights: ClassVar = []

    def __init__(self):
        self.weights.append(Value(1))


def filled(held, fill):
    """Return a function that makes a model. Its `__init__` fills the attribute `held` of its class by `fill(held)`."""
    base = type("Base", (Module,), {"held": held})
    return type("Net", (base,), {"__init__": lambda self: fill(self.held)})


@pytest.mark.parametrize(
    ("make", "path"),
    [
        (filled([], lambda held: held.append(Layer(2, 1))), r"Net\.held\.0\.neurons\.0\.w\.0"),
        (filled([], lambda held: held.append(Value(1))), r"Net\.held\.0"),
        (filled({}, lambda held: held.update(a=Value(1))), r"Net\.held\.a"),
        (
            filled(WeakKeyDictionary({Keeper: None}), lambda held: held.update({Keeper: Value(1)})),
            r"Net\.held\.<class .*",
        ),
        (filled(np.empty(1, dtype=object), lambda held: held.fill(Value(1))), r"Net\.held\.0"),
        (type("Net", (Module,), {"__init__": lambda self: setattr(type(self), "l", Layer(2, 1))}), r"Net\.l\.neurons"),
        (type("Net", (Module,), {"__init__": lambda self: setattr(self, "w", WithWeights())}), r"WithWeights\.weights"),
    ],
)
def test_parameters_that_init_puts_into_the_class_are_refused(make, path):
    with pytest.raises(TypeError, match=rf"^{path}.* is an attribute of the class.*assign self\.\w+ in __init__"):
        make().parameters()


def test_a_class_may_list_its_instances_and_their_parameters():
    class Line(Module):
        lines: ClassVar = []
        weights: ClassVar = {}

        def __init__(self, name):
            self.w = self.weights.setdefault(name, Value(1))
            self.lines.append(self)

    class Other(Line):
        pass

    for made in (Line("a"), Line("b"), Other("c")):
        assert made.parameters() == [made.w]


@pytest.mark.parametrize("use", [Module.parameters, lambda model: [*model.named_parameters()]], ids=["fast", "paths"])
def test_parameters_that_a_method_puts_into_the_class_are_refused_when_they_are_listed(use):
    class Line(Module):
        mine: ClassVar = []
        others: ClassVar = []

        def __init__(self):
            self.w = Value(1)
            self.mine.append(self.w)

        def extend(self):
            self.others.append(Value(2))

    line = Line()
    for model in (line, Keeper([line, {1: 2.0}])):  # the dict keeps the fast way from being taken
        use(model)
    line.extend()
    for model in (line, Keeper([line, {1: 2.0}])):
        with pytest.raises(TypeError, match=r"^Line\.others\.0 is an attribute of the class"):
            use(model)


def in_class(annotation, held):
    """Return a function that makes a class of modules with an annotated attribute."""
    return lambda: type("Net", (Module,), {"w": held(), "__annotations__": {"w": annotation}})


def with_mixin():
    class Mixin:
        w = [Value(1)]  # noqa: RUF012 -- the mistake

    return type("Net", (Mixin, Module), {})


def set_later():
    net = type("Net", (Module,), {})
    net.w = Value(1)
    return Keeper([net()]).parameters()


def default_of_a_field():
    @dataclass(eq=False)
    class Net(Module):
        w: Value = field(default=Value(0))

    return Net().parameters()


@pytest.mark.parametrize(
    "make",
    [
        in_class(Value, lambda: Value(1)),
        in_class(ClassVar[Value], lambda: Value(1)),
        in_class(list, lambda: [Value(1)]),
        in_class(Neuron, lambda: Neuron(2)),
        with_mixin,
        set_later,
        default_of_a_field,
    ],
)
def test_a_parameter_of_a_class_is_refused_however_it_got_there(make):
    """Annotated attributes, those of other bases, those that were set later, and shared defaults are refused too."""
    with pytest.raises(TypeError, match=r"^Net\.w.* is an attribute of the class.*assign self\.w in.*default_factory"):
        make()


def test_an_attribute_of_the_object_hides_that_of_the_class():
    net = type("Net", (Module,), {})
    net.w = Value(1)
    model = net()
    model.w = Value(2)
    assert data(model) == [2.0]


class Saver:
    def save(self):
        return "mine"

    def state_dict(self):
        return {}

    def describe(self):
        return "described"


def test_a_class_warns_if_methods_that_micrograd_lacks_hide_those_of_a_later_base():
    text = (
        r"^class Net: the methods of MLP hide those of Saver with the same names, save, state_dict; .*\(Saver, MLP\)$"
    )
    with pytest.warns(UserWarning, match=text):

        class Net(MLP, Saver):
            pass

    with warnings.catch_warnings():
        warnings.simplefilter("error")

        class Below(Net):  # there was a warning of Net
            pass

        class Mine(Saver, MLP):
            pass

        class Trained(MLP, Mixin):
            pass

    assert Mine(2, [1]).save() == "mine"


class Mixin:
    def parameters(self):
        return []

    def zero_grad(self):
        return "hidden in micrograd too"

    def forward(self, x):
        return self(x)

    def activation(self):
        return "activation"

    @property
    def weights(self):
        return [p.data for p in self.parameters()]

    @weights.setter
    def weights(self, numbers):
        for p, x in zip(self.parameters(), numbers, strict=True):
            p.data = x

    @property
    def nin(self):
        return self.missing


def test_the_attributes_of_a_later_base_are_found():
    class Net(MLP, Mixin):
        pass

    net = Net(2, [1])
    assert (net.activation(), len(net.weights), len(net.parameters())) == ("activation", 3, 3)
    net.weights = [1.0, 2.0, 3.0]
    assert net.weights == [1.0, 2.0, 3.0]
    assert net.forward([1.0, 1.0]).data == net([1.0, 1.0]).data == 6.0
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'missing'"):
        _ = net.nin
    with pytest.raises(AttributeError, match=r"^MLP has no weights; write model\.parameters"):
        _ = MLP(2, [1]).weights
