"""Parameters in attributes of a class are refused."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import ClassVar
from weakref import WeakKeyDictionary

import numpy as np
import pytest

from micrograd_cn import Value
from micrograd_cn.nn import Layer, Module, Neuron

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
