"""An item of a collection that was a parameter, and is now something that nothing trains, is noticed."""

import copy
import gc
import pickle
import re
from collections import deque
from dataclasses import dataclass, field

import numpy as np
import pytest

from micrograd_cn import Value, no_grad
from micrograd_cn.compiler import compile as compile_function
from micrograd_cn.nn import MLP, Module
from micrograd_cn.optim import SGD, Adam
from micrograd_cn.parameters import listing, records
from micrograd_cn.parameters.stored import stored_by_calls

from .models import Keeper, Many, Sequence, State, data


@pytest.mark.parametrize("kind", [list, np.array, deque])
@pytest.mark.parametrize("optimizer", [SGD, Adam, lambda ps: SGD(ps, momentum=0.9)])
def test_an_optimiser_notices_that_an_item_was_replaced_by_what_is_computed_from_it(kind, optimizer):
    """A program that makes its optimiser once lists the parameters never again."""
    model = Many()
    model.W = kind([Value(1.0), Value(2.0)])
    steps = optimizer(model.parameters())
    steps.step()
    model.W[0] = model.W[0] * model.b
    with pytest.warns(UserWarning, match=r"^Many\.W\[0\] was a parameter, and is now computed from it \(mul\)"):
        steps.step()
    steps.step()
    model.W[1] = 0.5
    with pytest.raises(TypeError, match=r"^Many\.W\[1\] is 0\.5, where a parameter was"):
        [steps.step() for _ in range(31)]
    assert steps.steps == 31


@pytest.mark.parametrize("inside", [False, True])
def test_an_optimiser_notices_that_a_weight_of_a_network_was_replaced(inside):
    network, scale = MLP(2, [3, 1], seed=0), Value(2.0)
    model = Keeper([network]) if inside else network
    steps, other = SGD(model.parameters(), lr=0.1), SGD([scale], lr=0.1)
    neuron = network.layers[0].neurons[1]
    neuron.w[0] = neuron.w[0] * scale
    for optimizer in (steps, other, other):
        optimizer.step()
    with pytest.raises(TypeError, match=r"w\[0\] is computed \(mul\), so it is no parameter"):
        steps.step()


@pytest.mark.parametrize("place", range(3))
def test_an_optimiser_of_some_parameters_notices_a_lost_item_beside_models_of_others(place):
    models = [MLP(1, [1], seed=k) for k in range(2)]
    models.insert(place, Many())
    for model in models:
        model.parameters()
    steps = SGD(models[place].parameters()[:2], lr=0.1)
    models[place].ws[0] = 0.5
    with pytest.raises(TypeError, match=r"^Many\.ws\[0\] is 0\.5, where a parameter was"):
        [steps.step() for _ in range(2)]


CHANGED_ITEMS = [
    (lambda m: m.ws, 0, r"model\.ws\[0\]"),
    (lambda m: m.rows[1], 0, r"model\.rows\[1\]\[0\]"),
    (lambda m: m.array, 1, r"model\.array\[1\]"),
    (lambda m: m.inside, "a", r"model\.inside\['a'\]"),
    (lambda m: m.queue, 0, r"model\.queue\[0\]"),
    (lambda m: vars(m.object), "w", r"model\.object\.w"),
]


USES = [Module.parameters, Module.zero_grad, Module.state_dict, lambda m: [*m.named_parameters()], repr]


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(("collection", "key", "code"), CHANGED_ITEMS)
def test_an_item_that_was_a_parameter_is_refused_if_nothing_trains_it(collection, key, code, use):
    """Python tells nobody of an assignment to an item, so the next use of the model refuses it."""
    for inside in (False, True):
        for listed in (False, True):
            model = Many()
            outer = Keeper([model]) if inside else model
            if listed:
                outer.parameters()
            held = collection(model)
            old = held[key]
            held[key] = np.float64(0.5)
            with pytest.raises(TypeError, match=rf"{re.escape(repr(held[key]))}, where a parameter was"):
                use(outer)
            held[key] = 0.5
            with pytest.raises(TypeError, match=rf"is 0\.5, where a parameter was.*write {code} = Value\(0\.5\)"):
                use(outer)
            with no_grad():
                held[key] = old * 0.5
            with pytest.raises(TypeError, match=rf"is a constant that an operation.*as in {code}\.data \*= 0\.5"):
                use(outer)
            held[key] = old * 0.5
            with pytest.raises(TypeError, match=rf"is computed \(mul\) from.*as in {code}\.data \*= 0\.5"):
                use(outer)
            held[key] = Value(0.5)
            use(outer)
            assert len(outer.parameters()) == 11


def test_lost_items_of_a_users_module_inside_a_network_are_refused():
    model = MLP(2, [2, 1], seed=0)
    model.layers[1] = Keeper([Value(1.0), Value(2.0)])
    assert len(model.parameters()) == len(model.parameters()) == 8
    model.layers[1].held[1] = 0.5
    with pytest.raises(TypeError, match=r"^Keeper\.held\[1\] is 0\.5, where a parameter was"):
        model.parameters()


def test_a_state_is_compiled_and_a_class_that_lists_its_parameters_may_compute_them():
    class Listed(Many):
        def parameters(self):
            return [self.w]

    model, listed = State(), Listed()

    def run(x):
        model.h, model.hs = Value(0.0), [Value(0.0)]
        return model.step(x) + model.step(x)

    with pytest.warns(UserWarning, match="was a parameter"):
        assert compile_function(run)(1.0) == run(1.0).data
    listed.w = listed.w * 0.5
    assert data(listed) == [0.5]


def test_numbers_and_other_things_may_stand_in_collections_where_no_parameter_was():
    model = Many()
    model.mixed = [Value(1.0), 2.0, Value(3.0)]
    assert len(model.parameters()) == 13
    model.mixed[1] = 3.0
    model.mixed.pop(0)
    model.mixed.append(Value(4.0))
    assert len(model.parameters()) == 13
    model.ws[0] = None
    model.rows.pop()
    model.rows.append([Value(1.0), 2.0])
    with no_grad():
        model.last = [model.w * 2]
        model.ws.append(model.w * 2)
    model.queue[0] = Value(1.0, requires_grad=False)
    model.object.w = Value(2.0) + 0.0 * model.w
    assert len(model.state_dict()["queue"]) == 1


def test_items_of_copies_and_of_modules_that_are_lists_are_compared_too():
    for model in (pickle.loads(pickle.dumps(Sequence([Value(1.0), Value(2.0)]))), copy.deepcopy(Many().ws)):
        model = model if isinstance(model, Module) else Sequence(model)
        model.parameters()
        model[0] = 0.5
        with pytest.raises(TypeError, match=r"^Sequence\[0\] is 0\.5, where a parameter was"):
            model.parameters()
    twin = copy.deepcopy(Many())
    assert twin.parameters()
    twin.ws[1] = 0.5
    with pytest.raises(TypeError, match=r"^Many\.ws\[1\] is 0\.5"):
        twin.parameters()


@dataclass(eq=False)
class OfData(Module):
    ws: list[Value] = field(default_factory=lambda: [Value(2.0), Value(3.0)])


class WithoutInit(Module):
    """Its attributes are assigned from outside."""


class Restored(Many):
    def __setstate__(self, state):
        vars(self).update(state)


class CopiesItself(Many):
    def __deepcopy__(self, memo):
        twin = CopiesItself.__new__(CopiesItself)
        vars(twin).update(copy.deepcopy(vars(self), memo))
        return twin


class OfItems(Module, list):
    """A list of parameters, made by the `__init__` of lists."""

    @property
    def ws(self):
        return self


def assigned(make):
    model = WithoutInit()
    model.ws = make([Value(2.0), Value(3.0)])
    return model


@pytest.mark.parametrize(
    "make",
    [
        *(lambda: copy.deepcopy(Many()), lambda: copy.copy(Many()), lambda: pickle.loads(pickle.dumps(Many()))),
        *(lambda: copy.deepcopy(Restored()), OfData, lambda: copy.deepcopy(OfData())),
        *(lambda: copy.deepcopy(CopiesItself()), lambda: OfItems([Value(2.0), Value(3.0)])),
        *(lambda: assigned(list), lambda: assigned(np.array)),
    ],
)
def test_an_item_that_was_replaced_before_the_parameters_were_first_listed_is_noticed(make):
    model = make()
    model.ws[1] = 0.5
    with pytest.raises(TypeError, match=r"(ws|OfItems)\[1\] is 0\.5, where a parameter was"):
        model.parameters()
    model.ws[1] = Value(0.5)
    assert model.ws[1] in model.parameters()


def test_a_lost_item_is_noticed_if_another_parameter_came_at_the_same_time():
    for model in (Many(), assigned(list), assigned(np.array)):
        model.parameters()
        model.ws[0], model.another = 0.5, Value(1.0)
        with pytest.raises(TypeError, match=r"ws\[0\] is 0\.5, where a parameter was"):
            model.parameters()
    model = WithoutInit()
    model.ws = [Value(1.0)]
    model.parameters()
    model.ws[0] = 0.5
    model.another = Value(1.0)  # it may be at the address that the lost one had
    with pytest.raises(TypeError, match=r"ws\[0\] is 0\.5, where a parameter was"):
        model.parameters()


def test_the_places_of_parameters_keep_no_model_and_no_parameter_alive():
    before = len(records.records)
    model = Many()
    model.parameters()
    assert len(records.records) == before + 1
    del model
    assert len(records.records) == before


@pytest.mark.parametrize("name", ["__init__", "__copy__", "__deepcopy__", "__setstate__"])
def test_a_method_that_is_followed_by_a_look_keeps_its_name_and_docstring(name):
    """`help`, tracebacks and debuggers show them."""

    def method(self, *args):
        """Do what the user wants."""

    method.__name__ = name
    kept = vars(type("Own", (Module,), {name: method}))[name]
    assert (kept.__name__, kept.__doc__) == (name, "Do what the user wants.")


class Storing(Module):
    """Calls store in attributes in each way there is."""

    def __call__(self, x):
        self.assigned = x
        self.item["a"] = x
        self.grown.append(x)
        held = self.held
        held["a"] = x
        return self.read["a"] + self.read.get("b") + x


def test_calls_store_in_what_they_assign_to_and_in_what_they_change():
    stored = stored_by_calls((Storing,))
    assert stored.intersection(["assigned", "grown", "held", "item", "read"]) == {"assigned", "grown", "held", "item"}


@pytest.mark.parametrize("allocations", range(1, 40, 3))
def test_models_may_be_freed_while_an_optimiser_looks_for_lost_parameters(allocations):
    """A model in a reference cycle is freed at any allocation, also while the models are gone through."""
    before, models = gc.get_threshold(), [Many() for _ in range(20)]
    gc.disable()
    try:
        for model in models:
            object.__setattr__(model, "itself", model)
            kept = model.parameters()
        number = len(listing._listed)
        pairs = [(i, kept) for i in range(5000)]  # so that Python has no freed ones left, which it takes without a look
        gc.set_threshold(gc.get_count()[0] + allocations)
        del models, model
        gc.enable()
        listing.refuse_lost_parameters(kept, listing.ParametersOfModels())
        gc.collect()
    finally:
        gc.set_threshold(*before)
        gc.enable()
    del kept, pairs
    assert len(listing._listed) <= number - 20
