"""What is remembered of a model is what a search of the model would find, however the model was changed since."""

import copy
import gc
import pickle
import random
import weakref
from functools import partial
from itertools import cycle
from unittest.mock import Mock

import numpy as np
import pytest

from micrograd_cn import Value, detect_anomaly, no_grad
from micrograd_cn.compiler import compile as compiled
from micrograd_cn.nn import MLP, Layer, Module, Neuron
from micrograd_cn.optim import SGD
from micrograd_cn.parameters.records import structures
from micrograd_cn.parameters.structures import MAX_STRUCTURES, structure_of

from .models import Holder, SlottedModule, data


class Net(Module):
    """A user's model with all that a `Structure` knows."""

    def __init__(self):
        self.body = MLP(2, [3, 1], activation="tanh", seed=1)
        self.W = np.array([Value(0.1), Value(0.2)])
        self.rows = [[Value(0.3)], [Value(0.4), Value(0.5)]]
        self.by_name = {"scale": Value(0.6), "parts": (Value(0.7), [Value(0.8)])}
        self.k, self.text, self.data = 1.0, "text", np.ones(3)


class Named(Module):
    """A user's model of attributes alone."""

    def __init__(self):
        self.a, self.b = Value(0.1), [Value(0.2), Value(0.3)]

    def forward(self, x):
        return self.scaled(x) + self.b[0]

    def scaled(self, x):
        return self.a * x

    @property
    def size(self):
        return len(self.b)


MODELS = {"mlp": lambda: MLP(2, [3, 1], seed=0), "layer": lambda: Layer(2, 2, seed=0), "net": Net, "named": Named}


def modules_in(model):
    """Return the modules in `model`, and itself."""
    found, waiting = [], [model]
    while waiting:
        x = waiting.pop()
        if isinstance(x, Module):
            found.append(x)
            waiting += vars(x).values()
        elif isinstance(x, (list, tuple)):
            waiting += x
        elif isinstance(x, dict):
            waiting += x.values()
    return found


def lists_in(model):
    """Return the lists in `model`."""
    found, waiting = [], [x for module in modules_in(model) for x in vars(module).values()]
    while waiting:
        x = waiting.pop()
        if isinstance(x, (list, tuple)):
            found += [x] * isinstance(x, list)
            waiting += x
        elif isinstance(x, dict):
            waiting += x.values()
    return found


def replace_item(model, rng):
    held = rng.choice([x for x in lists_in(model) if x])
    held[rng.randrange(len(held))] = rng.choice([Value(rng.random()), 2.0, Value(1.5) * 2.0, held[-1], held[0]])


def add_item(model, rng):
    rng.choice(lists_in(model)).append(rng.choice([Value(1.5), Neuron(2, seed=3), 3.0, [Value(2.5)]]))


def remove_item(model, rng):
    held = rng.choice(lists_in(model))
    if held:
        held.pop(rng.randrange(len(held)))


def copy_list(model, rng):
    """Put an equal list in the place of a list. The old list is changed later, and no longer a part of the model."""
    module = rng.choice(modules_in(model))
    name, held = rng.choice([item for item in vars(module).items() if isinstance(item[1], list)] or [("new", [1.0])])
    setattr(module, name, [*held])
    held.append(Value(5.5))


def change_new_list(model, rng):
    copy_list(model, rng)
    replace_item(model, rng)


def set_attribute(model, rng):
    module = rng.choice(modules_in(model))
    name = rng.choice([*vars(module), "added", "entries_of"])
    setattr(module, name, rng.choice([Value(1.5), [Value(2.5)], {"a": Value(3.5)}, Neuron(2, seed=3), (Value(4.5),)]))


def set_dotted(model, rng):
    vars(model)["body.k" if rng.random() < 0.5 else "text"] = Value(1.0)


def delete_attribute(model, rng):
    module = rng.choice(modules_in(model))
    if vars(module):
        delattr(module, rng.choice([*vars(module)]))


def rename_attribute(model, rng):
    held = vars(rng.choice(modules_in(model)))
    if held:
        held["renamed"] = held.pop(rng.choice([*held]))


def freeze(model, rng):
    share = rng.choice([0.5, 1.0])
    for p in model.parameters():
        p.requires_grad = rng.random() > share


def fill_array(model, rng):
    for x in vars(model).values():
        if isinstance(x, np.ndarray) and x.dtype == object:
            x[rng.randrange(len(x))] = rng.choice([Value(1.5), x[0]])


def change_dict(model, rng):
    for x in vars(model).values():
        if isinstance(x, dict):
            x[rng.choice(["scale", "more"])] = rng.choice([Value(1.5), Layer(1, 1, seed=2), x.pop("scale", 1.0)])


def change_numbers(model, rng):
    for p in model.parameters():
        p.data = rng.random()


def change_class(model, rng):
    model.__class__ = rng.choice([Named, type(model)])


EDITS = [
    *(replace_item, add_item, remove_item, copy_list, change_new_list, set_attribute, set_dotted, delete_attribute),
    *(rename_attribute, freeze, fill_array, change_dict, change_numbers, change_class),
]


def outcome(f):
    """Return what `f()` returns, or its error."""
    try:
        return f()
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        return f"{type(error).__name__}: {error}"


def found_in(model, remembers=True):
    """Return the numbers of the parameters, and the state of a model, or the errors in their place."""
    found = []
    for f in (lambda: data(model), model.state_dict):
        if not remembers:
            structures.clear()
        found.append(outcome(f))
    return found


def history(kind, edits, seed, remembers):
    """Return what was found in a model after each of `edits`. If not `remembers`, it is searched anew each time."""
    rng, model, found = random.Random(seed), MODELS[kind](), []
    for step in (lambda *_: None, *edits):
        found.append(outcome(lambda step=step: step(model, rng)))
        found += [found_in(model, remembers) for _ in range(3)]
        if step not in edits:
            assert found[1:] == [found[1]] * 3
            assert structure_of(model) or not remembers
    return found


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("edit", EDITS, ids=lambda f: f.__name__)
def test_what_is_remembered_is_what_a_search_finds(kind, edit):
    for seed, other in enumerate(EDITS):
        assert history(kind, (edit, other), seed, True) == history(kind, (edit, other), seed, False)


@pytest.mark.parametrize("kind", MODELS)
def test_a_state_can_be_loaded_into_a_model_whose_structure_is_known(kind):
    model = MODELS[kind]()
    before = [model.state_dict() for _ in range(3)][-1]
    assert structure_of(model)
    for p in model.parameters():
        p.data += 1.0
    changed = model.state_dict()
    assert changed != before
    model.load_state_dict(before)
    assert model.state_dict() == before
    with pytest.raises(ValueError, match="unexpected"):
        model.load_state_dict({**before, "another": 1.0})
    vars(model)["added"] = Value(3.0)
    assert model.state_dict() == {**before, "added": 3.0}
    with pytest.raises(ValueError, match="missing"):
        model.load_state_dict(before)


def test_lists_of_a_state_and_of_parameters_belong_to_the_caller():
    model = MLP(2, [2], seed=0)
    for _ in range(3):
        model.parameters()[0] = None
        state = model.state_dict()
        state["layers.0.weight"][0].clear()
        state.clear()
    assert len(model.parameters()) == 6
    assert None not in model.parameters()
    assert len(model.state_dict()["layers.0.weight"][0]) == 2


@pytest.mark.parametrize("kind", MODELS)
def test_copies_have_their_own_structure(kind):
    model = MODELS[kind]()
    for _ in range(3):
        found_in(model)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        for p in other.parameters():
            p.data += 1.0
        for _ in range(3):
            assert {*map(id, other.parameters())}.isdisjoint(map(id, model.parameters()))
            assert other.state_dict() != model.state_dict()


def test_a_model_and_former_parts_are_freed():
    model = MLP(2, [2, 1])
    for _ in range(3):
        found_in(model)
    gone = weakref.ref(model), weakref.ref(model.layers[0])
    del model
    gc.collect()
    assert [x() for x in gone] == [None, None]


def test_the_count_of_remembered_models_is_limited():
    models = [Layer(1, 1) for _ in range(MAX_STRUCTURES + 10)]
    for _ in range(3):
        for model in models:
            model.parameters()
    assert len(structures) <= MAX_STRUCTURES


def test_a_weight_that_was_computed_is_noticed_though_the_structure_had_its_leaf():
    """An error is raised since nothing but a graph refers to the leaf; the structure must not count."""
    model = Holder(MLP(2, [2]))
    for _ in range(3):
        found_in(model), found_in(model.held)
    neuron = model.held.layers[0].neurons[0]
    neuron.w = [w * 0.5 for w in neuron.w]
    with pytest.raises(TypeError, match="computed"):
        model.parameters()


def test_a_key_that_is_renamed_is_noticed():
    model = Holder({"a": Value(1.0)})
    for _ in range(3):
        found_in(model)
    model.held["b"] = model.held.pop("a")
    assert model.state_dict() == {"held.b": 1.0}


@pytest.mark.parametrize("remembers", [True, False])
def test_a_frozen_parameter_may_be_replaced_by_a_number(remembers):
    """The records of users' models say which parameters are trained, so they are renewed when this changes."""
    model = Holder([[Value(1.0)], [Value(2.0), Value(3.0)]])
    for _ in range(3):
        found_in(model, remembers)
    for p in model.parameters():
        p.requires_grad = False
    found_in(model, remembers)
    model.held[1][0] = 5.0
    assert found_in(model, remembers)[1] == {"held.0": [1.0], "held.1.1": 3.0}


def test_inside_a_graph_that_is_recorded_every_number_is_read_by_the_property():
    model = Named()
    for _ in range(3):
        found_in(model)
    with detect_anomaly():
        assert structure_of(model) is None
        assert model.state_dict() == {"a": 0.1, "b": [0.2, 0.3]}


def test_values_that_were_computed_and_slots_are_left_out():
    x = Value(1.0)
    model = Holder([x * 2.0, Value(3.0)])
    with no_grad():
        constant = Holder([Value(1.0) * 2.0, Value(3.0)])
    for each in (model, constant, SlottedModule(Value(1.0), Value(2.0))):
        for _ in range(3):
            found_in(each)
        assert structure_of(each) is None


def test_an_override_of_entries_is_called():
    class Own(Module):
        def __init__(self):
            self.w, self.count = Value(1.0), 0

        def entries(self):
            self.count += 1
            return {"mine": self.w}

    model = Own()
    states = [Holder(model).state_dict() for _ in range(3)] + [model.state_dict() for _ in range(3)]
    assert states == [{"held.mine": 1.0}] * 3 + [{"mine": 1.0}] * 3
    assert model.count >= 6
    later = Named()
    for _ in range(3):
        found_in(later)
    Named.entries = lambda self: {"mine": self.a}
    try:
        assert later.state_dict() == {"mine": 0.1}
    finally:
        del Named.entries


def test_parameters_are_found_where_an_optimiser_looks_again():
    """An optimiser that was made for a remembered model warns of what the model gets later."""
    model = Named()
    for _ in range(3):
        found_in(model)
    optimizer = SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        (model.a * model.b[0]).backward()
        optimizer.step()
    optimizer.steps = 31  # at 30, it looks at its own options and gradients
    model.b[0] = Value(0.9)
    (model.a * model.b[0]).backward()
    with pytest.warns(UserWarning, match="has come into the model"):
        optimizer.step()


def test_parameters_in_a_list_of_the_class_are_looked_for_each_time():
    class Sharing(Module):
        parts = []  # noqa: RUF012 -- what the test is about

        def __init__(self):
            self.a = Value(1.0)

    model = Sharing()
    for _ in range(3):
        found_in(model)
    model.parts.append(Value(2.0))
    with pytest.raises(TypeError, match="attribute of the class"):
        model.parameters()


@pytest.mark.parametrize(
    "make",
    [
        lambda model: lambda x: model.w * x,
        lambda model: model.bound,
        lambda model: partial(print, model),
        lambda model: lambda x, of=model: of.w * x,
        lambda model: compiled(model.bound),
        lambda model: cycle([model]),
        lambda model: {"f": with_attribute(model)},
        lambda model: Mock(side_effect=model.bound),
        lambda model: [model.bound],
        lambda model: [Value(1.0), lambda x: model.w * x],
        lambda model: [[Value(1.0)], [partial(print, model)]],
        lambda model: [Child(model)],
        lambda model: {"children": [[Child(model)]]},
    ],
)
@pytest.mark.parametrize("ask", [Module.parameters, found_in, Module.state_dict])
def test_a_function_that_refers_to_its_model_does_not_keep_it_alive(make, ask):
    class Model(Module):
        def __init__(self):
            self.w = Value(1.0)
            self.held = make(self)

        def bound(self, x):
            return self.w * x

    model = Model()
    for _ in range(3):
        ask(model)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


class Child(Module):
    def __init__(self, parent):
        self.w = [Value(1.0)]
        self.up = [lambda: parent]


def with_attribute(model):
    def f(x):
        return x

    f.model = model
    return f
