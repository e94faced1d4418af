"""A search for mistakes in a model goes on after what it leaves out, wherever the mistake stands."""

from itertools import permutations

import numpy as np
import pytest

from micrograd_cn import Value, no_grad
from micrograd_cn.nn import Module, Neuron
from micrograd_cn.parameters.stored import stored_by_calls

from .models import Keeper


class NamesItsOwn(Module):
    """A module that names its parameters itself, so no search looks into it."""

    def __init__(self):
        self.w = Value(1.0)

    def named_parameters(self):
        return [("w", self.w)]


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("other", ["text", [Value(1.0)], {"a": Value(1.0)}, Neuron(1), None])
@pytest.mark.parametrize("around", [lambda x: x, lambda x: [x], lambda x: dict(enumerate(x))])
def test_keys_of_dicts_are_looked_at_beside_anything(place, other, around):
    held = [other, other]
    held.insert(place, {Value(2.0): 1})
    with pytest.raises(TypeError, match=r"^Keeper\.held\S* is a dict with a parameter as a key"):
        Keeper(around(held))
    model = Keeper(None)
    with pytest.raises(TypeError, match=r"^Keeper\.new\S* is a dict with a parameter as a key"):
        model.new = around(held)


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize(
    "other", [[Value(1.0)], 1.0, "text", {"a": Value(1.0)}, Neuron(1), [Value(1.0, requires_grad=False)]]
)
def test_a_value_that_init_computed_is_looked_for_beside_anything(place, other):
    class Model(Module):
        def __init__(self):
            w = Value(2.0)
            held = [other, other]
            held.insert(place, [w * 0.5])
            self.a, self.b, self.c = held

    with pytest.raises(TypeError, match=rf"^Model\.{'abc'[place]}\.0 is computed"):
        Model()


class Own(Value):
    """A class of a user's."""


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("other", [Own(1.0), Value(1.0, requires_grad=False), 1.0, "text", [Own(1.0)], None])
def test_a_value_that_init_computed_is_looked_for_beside_anything_in_a_list(place, other):
    held = [other, other]
    held.insert(place, Value(2.0) * 0.5)
    with pytest.raises(TypeError, match=rf"^Keeper\.held\.{place} is computed"):
        Keeper(held)


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize(
    "other", [[], ["text"], [Value(1.0, requires_grad=False)], Value(1.0, requires_grad=False), (1.0,), "text"]
)
def test_a_list_of_the_class_is_looked_at_beside_other_attributes(place, other):
    class Model(Module):
        def __init__(self):
            self.layers.append(Value(2.0))

    names = ["first", "second"]
    names.insert(place, "layers")
    for name in names:
        setattr(Model, name, [] if name == "layers" else other)
    with pytest.raises(TypeError, match=r"^Model\.layers\.0 is an attribute of the class"):
        Model()


def test_a_class_attribute_is_looked_at_after_one_of_a_module_that_is_a_base():
    class Base(Module):
        instances = []  # noqa: RUF012 -- it is meant to be shared

        def __init__(self):
            self.instances.append(self)

    Base()
    with pytest.raises(TypeError, match=r"^Derived\.w is an attribute of the class"):

        class Derived(Base):
            w = Value(1.0)


class Root(Module):
    """A model that names its parameters itself, with the help of `Module`."""

    made = []  # noqa: RUF012 -- it is meant to be shared

    def __init__(self, *held):
        self.held = held

    def named_parameters(self):
        return [*super().named_parameters()]


def test_modules_are_looked_at_inside_one_that_names_its_parameters():
    """Also the list of a class, which was filled after the class had been made."""

    class Filled(Module):
        layers = []  # noqa: RUF012 -- the mistake

        def __init__(self):
            self.w = Value(1.0)

    inside = Keeper([Value(1.0)])
    model = Root(inside, Filled(), NamesItsOwn())
    assert len(model.parameters()) == 3
    inside.held = [inside.held[0], Neuron(1)([2.0])]
    with pytest.raises(TypeError, match=r"^Root\.held\.0\.held\.1 is computed"):
        model.parameters()
    inside.held = inside.held[:1]
    Filled.layers.append(Value(2.0))
    with pytest.raises(TypeError, match=r"^Filled\.layers\.0 is an attribute of the class"):
        model.parameters()


@pytest.mark.parametrize("place", range(3))
def test_a_list_of_a_class_is_looked_at_beside_modules_of_the_package_and_those_that_name_their_parameters(place):
    class Filled(Module):
        layers = []  # noqa: RUF012 -- the mistake

    held = [Neuron(1), NamesItsOwn()]
    held.insert(place, Filled())
    model = Keeper(held)
    model.parameters()  # the next look at a model that has not changed is quicker
    Filled.layers.append(Value(2.0))
    with pytest.raises(TypeError, match=r"^Filled\.layers\.0 is an attribute of the class"):
        model.parameters()


@pytest.mark.parametrize(("gone", "changed"), [*permutations("abc", 2)])
def test_an_item_is_looked_at_beside_one_that_is_gone(gone, changed):
    model = Keeper({key: Value(1.0) for key in "abc"})
    model.parameters()
    del model.held[gone]
    model.held[changed] = 0.5
    with pytest.raises(TypeError, match=rf"^Keeper\.held\['{changed}'\] is 0\.5, where a parameter was"):
        model.parameters()


def test_a_slot_is_found_after_one_that_is_empty():
    class InSlots:
        __slots__ = ("a", "b", "c")

        def __init__(self, **held):
            for name, x in held.items():
                setattr(self, name, x)

    for name in "abc":
        assert [p.data for p in Keeper(InSlots(**{name: Value(2.0)})).parameters()] == [2.0]
    assert [p.data for p in Keeper(InSlots(a=Value(2.0), c=Value(3.0))).parameters()] == [2.0, 3.0]


@pytest.mark.parametrize("place", range(3))
def test_each_array_that_a_block_fills_is_noticed_beside_arrays_that_it_leaves_alone(place):
    """The block reaches the model through an iterator, so no variable leads to the arrays."""
    model = Keeper([np.array([Value(1.0)]) for _ in range(3)])
    of_model = iter([model])
    del model
    with pytest.raises(TypeError, match=rf"model\.held\[{place}\]"), no_grad():
        next(of_model).held[place][:] = [Value(2.0) * 3.0]


@pytest.mark.parametrize("name", ["__call__", "forward", "call"])
def test_what_a_call_stores_is_found_beside_methods_of_this_package(name):
    def keep(self, x):
        self.state = x

    methods = dict.fromkeys(("__call__", "forward", "call"), Neuron.__call__)
    model = type("Model", (Module,), methods | {name: keep})
    assert stored_by_calls((model,)) == {"state"}
