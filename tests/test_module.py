"""A model finds its parameters, prints itself, and is saved and loaded exactly. A wrong file changes no parameter."""

import copy
import inspect
import json
import math
import pickle
import random
import re
import sys
from collections import deque, namedtuple
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from micrograd_cn import Op, Value, define
from micrograd_cn.compiler import compile as compile_function
from micrograd_cn.nn import MLP, Layer, Module, Neuron
from micrograd_cn.optim import SGD
from micrograd_cn.parameters import members

from .parameters.models import Block, Holder, Keeper, SlottedModule, data

Pair = namedtuple("Pair", "w b")


def test_a_layers_state_has_the_names_and_shapes_of_a_pytorch_linear():
    model = MLP(3, [4, 2], seed=0)
    state = model.state_dict()
    assert list(state) == ["layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias"]
    assert np.array(state["layers.0.weight"]).shape == (4, 3)
    assert np.array(state["layers.1.bias"]).shape == (2,)
    assert state["layers.0.weight"][1] == [w.data for w in model.layers[0].neurons[1].w]


def test_nested_modules_lists_and_dicts_have_their_paths():
    assert list(Block().state_dict()) == [
        "scale",
        "pair",
        "parts.0.weight",
        "parts.0.bias",
        "parts.1.head.weight",
        "parts.1.head.bias",
        "shared",
    ]
    assert Block().state_dict()["pair"] == [3, 4]


def test_arrays_load_directly():
    layer = Layer(2, 3)
    layer.load_state_dict({"weight": np.arange(6.0).reshape(3, 2), "bias": np.array([7, 8, 9])})
    assert data(layer) == [0, 1, 7, 2, 3, 8, 4, 5, 9]


MISTAKES = [
    (lambda s: s.pop("layers.1.bias"), ValueError, "'layers.1.bias' is missing"),
    (lambda s: s.update(extra=[1]), ValueError, "'extra' is unexpected"),
    (
        lambda s: s["layers.0.weight"].pop(),
        ValueError,
        r"'layers.0.weight' must be a list of 3 x 2, got a list of 2 x 2",
    ),
    (lambda s: s["layers.0.weight"][1].pop(), ValueError, "'layers.0.weight' must be .*, got a list of 3 x ragged"),
    (
        lambda s: s.update({"layers.0.weight": [[0.0] * 5] * 3}),
        ValueError,
        "got a list of 3 x 5; make the model with the sizes of the model that the state is from",
    ),
    (lambda s: s.update({"layers.1.bias": 0.5}), ValueError, "'layers.1.bias' must be a list of 1, got a number"),
    (lambda s: s.update({"layers.1.bias": []}), ValueError, "'layers.1.bias' must be a list of 1, got a list of 0$"),
    (lambda s: s.update({"layers.1.bias": [[1.0], 2.0]}), ValueError, "must be a list of 1, got a list of 2 x ragged"),
    (lambda s: s.update({"layers.1.bias": [[], 2.0]}), ValueError, "must be a list of 1, got a list of 2 x ragged"),
    (lambda s: s.update({"layers.1.bias": {}}), ValueError, "'layers.1.bias' must be a list of 1, got a dict"),
    (lambda s: [s.pop(n) for n in sorted(s)], ValueError, "'layers.0.bias', 'layers.0.weight', .*, .* are missing"),
    (lambda s: s.update({"layers.1.bias": None}), ValueError, "'layers.1.bias' must be a list of 1, got a number"),
    (
        lambda s: s["layers.1.bias"].__setitem__(0, "0.5"),
        TypeError,
        r"layers.1.bias\[0\] must be a number, got str '0.5'",
    ),
    (
        lambda s: s["layers.1.bias"].__setitem__(0, None),
        TypeError,
        r"layers.1.bias\[0\] must be a number, got NoneType",
    ),
    (lambda s: s["layers.0.bias"].__setitem__(2, 10**400), ValueError, r"layers.0.bias\[2\] is too large for a float"),
    (lambda s: s["layers.0.bias"].__setitem__(2, -(10**400)), ValueError, r"layers.0.bias\[2\] is too large"),
    (lambda s: s["layers.0.bias"].__setitem__(2, True), TypeError, r"layers.0.bias\[2\] must be a number, got bool"),
]


@pytest.mark.parametrize(("change", "exception", "message"), MISTAKES)
def test_a_wrong_entry_is_named_and_changes_no_parameter(change, exception, message, tmp_path):
    model = MLP(2, [3, 1], seed=0)
    before = data(model)
    state = MLP(2, [3, 1], seed=1).state_dict()
    change(state)
    with pytest.raises(exception, match=message):
        model.load_state_dict(state)
    (tmp_path / "model.json").write_text(json.dumps(state))
    with pytest.raises(exception, match=message):
        model.load(tmp_path / "model.json")
    assert data(model) == before


def test_a_state_with_the_names_of_another_library_is_told_how_to_load_it():
    model, other = MLP(2, [3, 1], seed=0), MLP(2, [3, 1], seed=1)
    names = ["0.weight", "0.bias", "2.weight", "2.bias"]  # those of a Sequential of PyTorch
    state = dict(zip(names, map(np.array, other.state_dict().values()), strict=True))
    write = "model.load_state_dict(dict(zip(model.state_dict(), state.values())))"
    with pytest.raises(ValueError, match=rf"are missing; if only the names differ, write {re.escape(write)}$"):
        model.load_state_dict(state)
    exec(write, {"model": model, "state": state})
    assert data(model) == data(other)
    with pytest.raises(ValueError, match=r"are missing$"):
        MLP(3, [3, 1]).load_state_dict(state)


def test_an_infinite_weight_and_the_largest_float_are_loaded(tmp_path):
    model, path = Neuron(2), tmp_path / "model.json"
    path.write_text('{"weight": [Infinity, -Infinity], "bias": 1.7976931348623157e308}')
    model.load(path)
    assert data(model) == [math.inf, -math.inf, sys.float_info.max]


def test_what_is_not_a_dict_is_refused():
    with pytest.raises(TypeError, match="takes a dict, got list"):
        Neuron(1).load_state_dict([1.0])


def test_not_strict_loads_what_fits_by_name():
    """With strict=False, entries whose names the model does not have are ignored, and missing ones are left alone."""
    model = MLP(2, [3, 1], seed=0)
    before = data(model)
    model.load_state_dict({"layers.1.bias": [9.0], "unexpected": 1}, strict=False)
    assert data(model) == [*before[:-1], 9.0]


def test_not_strict_warns_if_no_name_fits():
    """As where all names in a file begin with the name of a model around this one."""
    model = MLP(2, [3, 1], seed=0)
    before = data(model)
    with pytest.warns(UserWarning, match=r"has loaded nothing, .* no entry 'net\.layers\.0\.weight'; it has 'l"):
        model.load_state_dict({f"net.{name}": x for name, x in model.state_dict().items()}, strict=False)
    assert data(model) == before


def test_repr_shows_the_structure_and_counts_shared_parameters_once():
    assert repr(MLP(2, [16, 1])) == (
        "MLP(2, [16, 1]), 65 parameters\n  layers.0: Layer(2, 16, relu)\n  layers.1: Layer(16, 1, linear)"
    )
    assert repr(Layer(2, 1, activation=Value.tanh)) == "Layer(2, 1, tanh), 3 parameters"
    assert repr(Neuron(1, nonlin=False)) == "Neuron(1, linear), 2 parameters"
    assert repr(Block()) == "Block(), 10 parameters\n  parts.0: Layer(1, 2, relu)\n  parts.1.head: Neuron(2, relu)"


def test_modules_that_refer_to_each_other_are_shown_and_saved_once():
    """A module that refers to itself, or to its parent, is printed and saved once, without endless recursion."""

    class Node(Module):
        def __init__(self):
            self.w, self.me = Value(1), self
            self.child = Neuron(1, seed=0)
            self.child.parent = self

    assert repr(Node()) == "Node(), 3 parameters\n  child: Neuron(1, relu)"
    assert list(Node().state_dict()) == ["w", "child.weight", "child.bias"]


def test_parameters_beside_other_things_and_in_dicts_of_any_keys_are_saved(tmp_path):
    class Mixed(Module):
        def __init__(self):
            self.p = [Value(1), None, [Value(2)]]
            self.d = {"w": Value(3), "name": "x", 0: Value(4)}

    model = Mixed()
    assert model.state_dict() == {"p.0": 1.0, "p.2": [2.0], "d.w": 3.0, "d.0": 4.0}
    model.save(tmp_path / "model.json")
    other = Mixed()
    for p in other.parameters():
        p.data = 0.0
    other.load(tmp_path / "model.json")
    assert data(other) == [1, 2, 3, 4]


class Twice(Module):
    """A module whose own `entries` name a parameter with a dot, as a path of two attributes has."""

    def __init__(self):
        self.w = Value(1)

    def entries(self):
        return {"a.b": self.w}


@pytest.mark.parametrize(
    ("held", "name"),
    [
        ({1: Value(1), "1": Value(2)}, "held.1"),
        ({"b.c": Value(1), "b": {"c": Value(2)}}, "held.b.c"),
        ({"b": [None, Value(2)], "b.1": Value(1)}, "held.b.1"),
        ({"p": Twice(), "p.a": {"b": Value(1)}}, "held.p.a.b"),
        ({"p.a": {"b": Value(1)}, "p": Twice()}, "held.p.a.b"),
        ({0: Layer(1, 1), "0": Value(1), "0.bias": Value(2)}, "held.0.bias"),
    ],
)
def test_parameters_whose_paths_collide_are_not_lost(held, name, tmp_path):
    """If two parameters would have the same name in a state, saving is refused, as the file would lack one."""
    model = Holder(held)
    message = f"Holder: two entries of the state have the name {name!r}; rename one of the attributes or keys"
    for call in (
        model.entries,
        model.state_dict,
        lambda: model.load_state_dict({}, strict=False),
        lambda: model.save(tmp_path / "model.json"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            call()
    assert list(tmp_path.iterdir()) == []


def test_a_model_of_an_undefined_operation_is_copied_and_not_pickled(table):
    """A user-defined operation is pickled by its name, so a model that uses it needs `define` first."""
    own = Op("own", lambda x: x * x, (lambda y, x: 2 * x,))
    model = MLP(2, [2, 1], activation=own, seed=0)
    twin = copy.deepcopy(model)
    assert twin.layers[0].neurons[0].activation is own
    assert twin([1.0, 2.0]).data == model([1.0, 2.0]).data
    assert not set(twin.parameters()) & set(model.parameters())
    with pytest.raises(TypeError, match=r"cannot pickle the operation 'own', which is not in the table; define\(\) it"):
        pickle.dumps(model)
    define(own)
    assert pickle.loads(pickle.dumps(model))([1.0, 2.0]).data == model([1.0, 2.0]).data


def test_a_model_is_pickled_and_copied_whole():
    model = MLP(2, [3, 1], activation="gelu", seed=0)
    for twin in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert twin([1.0, 2.0]).data == model([1.0, 2.0]).data
        assert not set(twin.parameters()) & set(model.parameters())


def test_what_holds_no_parameter_has_no_entry():
    """Empty lists, and `Value`s that are computed, are not in a model's state."""
    x = Value(1)
    assert Holder([]).state_dict() == Holder({"a": [], "b": x * 2, "c": [[]]}).state_dict() == {}


def test_one_parameter_is_no_plural():
    assert (repr(Holder(Value(1))), repr(Holder([]))) == ("Holder(), 1 parameter", "Holder(), 0 parameters")


def test_a_module_in_a_module_is_indented():
    class Outer(Module):
        def __init__(self):
            self.block = Block()

    assert repr(Outer()).splitlines()[1:3] == ["  block: Block()", "    parts.0: Layer(1, 2, relu)"]


class Slope(Module):
    """An activation function with a parameter."""

    def __init__(self, a=2.0):
        self.a = Value(a)

    def __call__(self, x):
        return self.a * x


@pytest.mark.parametrize("kind", [partial(Neuron, 2), partial(Layer, 2, 3), partial(MLP, 2, [3, 1])])
def test_the_parameters_of_an_activation_are_saved(kind, tmp_path):
    model, again = kind(activation=Slope(3.0)), kind(activation=Slope())
    model.save(tmp_path / "model.json")
    again.load(tmp_path / "model.json")
    assert data(again) == data(model)
    assert 3.0 in data(again)


def test_modules_are_shown_in_the_order_in_which_they_were_set_and_a_neuron_in_one_line():
    class Two(Module):
        def __init__(self):
            self.first, self.second = Neuron(1), Neuron(2, activation=Slope())

    assert repr(Two()) == "Two(), 6 parameters\n  first: Neuron(1, relu)\n  second: Neuron(2, own)"


def test_the_same_weights_are_used_and_trained_in_both_places():
    """A layer that a network has twice has one set of parameters, which are counted once."""
    random.seed(0)
    model = MLP(2, [2, 2, 1], activation="tanh")
    model.layers[1] = model.layers[0]
    assert len(model.parameters()) == 2 * 3 + 3
    model([0.5, -1.0]).backward()
    assert all(p.grad != 0 for p in model.parameters())


def test_an_array_in_the_place_of_a_number_is_named():
    model = Layer(1, 1)
    with pytest.raises(ValueError, match=r"load_state_dict: 'bias' must be a list of 1, got a list of 1 x 1$"):
        model.load_state_dict({"weight": [[1.0]], "bias": [np.ones(1)]})


def test_a_state_with_two_numbers_for_a_shared_parameter_is_refused_and_changes_nothing():
    class Tied(Module):
        def __init__(self):
            self.w = Value(1.0)
            self.ws = [self.w, Value(2.0)]

    model = Tied()
    for state, strict in (({"w": 5.0, "ws": [6.0, 7.0]}, True), ({"w": math.nan, "ws": [6.0, 7.0]}, False)):
        with pytest.raises(ValueError, match=r"w and ws\[0\] are the same parameter, but have the numbers \S+ and 6.0"):
            model.load_state_dict(state, strict)
    assert model.state_dict() == {"w": 1.0, "ws": [1.0, 2.0]}
    model.load_state_dict({"w": math.nan, "ws": [math.nan, 7.0]})
    model.load_state_dict({"w": 5.0}, strict=False)
    model.load_state_dict({"w": 8.0, "ws": [8.0, 7.0]})
    assert model.state_dict() == {"w": 8.0, "ws": [8.0, 7.0]}


def test_rows_that_are_arrays_load_too():
    layer = Layer(2, 3)
    layer.load_state_dict({"weight": list(np.arange(6.0).reshape(3, 2)), "bias": (7, np.float32(8), np.array(9))})
    assert data(layer) == [0, 1, 7, 2, 3, 8, 4, 5, 9]


@pytest.mark.parametrize("wrap", [list, tuple, np.array, lambda row: [int(x) for x in row]])
def test_states_of_floats_load_like_those_of_other_numbers(wrap):
    """Lists of floats alone are read without the paths of the items, which only error messages need."""
    layer, rows = Layer(2, 3), [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    layer.load_state_dict({"weight": [rows[0], wrap(rows[1]), rows[2]], "bias": [7.0, 8.0, 9.0]})
    assert data(layer) == [1, 2, 7, 3, 4, 8, 5, 6, 9]
    for wrong in ([rows[0], wrap(rows[1])], [rows[0], wrap(rows[1][:1]), rows[2]], [rows[0], wrap(rows[1]), 5.0]):
        with pytest.raises(ValueError, match="'weight' must be a list of 3 x 2, got a list of"):
            layer.load_state_dict({"weight": wrong, "bias": [0.0, 0.0, 0.0]})
    assert data(layer) == [1, 2, 7, 3, 4, 8, 5, 6, 9]


def test_a_set_without_parameters_is_no_matter():
    """A set of anything else is ignored."""
    assert Keeper({1, "a", (2, 3)}).parameters() == []


class Forward(Module):
    def __init__(self):
        self.w = Value(2)

    def forward(self, x, scale=1.0):
        """Return w x."""
        return self.w * x * scale


def test_a_model_with_forward_is_called_as_in_pytorch():
    model = Forward()
    assert (model(3.0).data, model(3.0, scale=2.0).data) == (6.0, 12.0)
    assert str(inspect.signature(model)) == "(x, scale=1.0)"
    assert compile_function(model)(3.0) == 6.0
    model.forward = lambda x: x * 10.0
    assert model(Value(1)).data == 10.0


def test_the_forward_of_a_subclass_runs_unless_the_user_has_written_a_call():
    """A call runs the `forward` of the model's class, unless a class of the user's has its own `__call__`."""

    class Double(Forward):
        def forward(self, x):
            return super().forward(x) * 2.0

    class Network(MLP):
        def forward(self, x):
            return 5.0 * MLP.__call__(self, x)

    class Own(Module):
        def __call__(self, x):
            return self.forward(x) + 1.0

    class Template(Own):
        def forward(self, x):
            return x * 2.0

    class Mixed(Template, Forward):
        pass

    assert Double()(3.0).data == 12.0
    network = Network(2, [1], seed=0)
    assert network([1.0, 2.0]).data == 5.0 * MLP(2, [1], seed=0)([1.0, 2.0]).data
    assert Template()(3.0) == 7.0
    assert Mixed()(3.0) == 7.0


def test_a_forward_that_is_assigned_to_one_model_is_called():
    first, second = Block(), Block()
    first.forward = lambda x, k=1.0: 2.0 * x + k
    assert (first(3.0), first(3.0, k=0.0)) == (7.0, 6.0)
    with pytest.raises(TypeError, match="Block cannot be called"):
        second(3.0)


def test_a_model_that_cannot_be_called_says_what_to_define():
    with pytest.raises(TypeError, match=r"^Block cannot be called: define __call__\(self, x\) or forward\(self, x\)"):
        Block()(1.0)


def test_a_parameter_under_the_name_of_a_path_is_refused():
    model, other = MLP(2, [1]), MLP(2, [1])
    setattr(model, "layers.0.neurons.0.w.0", other.parameters()[0])
    for ask in (model.parameters, model.state_dict, lambda: list(model.named_parameters())):
        with pytest.raises(TypeError, match=r"write model\.layers\[0\]\.neurons\[0\]\.w\[0\] = p"):
            ask()


def test_requires_grad_of_a_module_is_refused():
    class Net(Module):
        def __init__(self):
            self.w = Value(1)

    class Own(Module):
        def __init__(self):
            self.requires_grad = True

    for model in (MLP(2, [1]).layers[0], Net()):
        with pytest.raises(AttributeError, match=r"would freeze nothing; write for p in model\.parameters\(\)"):
            model.requires_grad = False
        assert not hasattr(model, "requires_grad")
        with pytest.raises(AttributeError, match="would freeze nothing"):
            del model.requires_grad
    own = Own()
    own.requires_grad = False
    assert own.requires_grad is False
    del own.requires_grad
    assert not hasattr(own, "requires_grad")


def test_a_namedtuple_of_arrays_and_deques_is_saved(tmp_path):
    class Net(Module):
        def __init__(self, w):
            self.p = Pair(np.array([Value(w), Value(2)]), deque([Value(w)]))

    Net(5).save(tmp_path / "net.json")
    model = Net(1)
    model.load(tmp_path / "net.json")
    assert model.state_dict() == {"p": Pair([5.0, 2.0], [5.0])}


class Bound(Neuron):
    """A neuron whose bias is not trained, as code for micrograd says."""

    def parameters(self):
        return self.w


class Chosen(Module):
    """A module that names its parameters by an iterator, of which one is in no attribute."""

    def __init__(self, extra):
        self.w, self.fixed, self.extra = Value(1), Value(2), lambda: extra

    def parameters(self):
        yield from (self.w, self.extra())


def test_a_module_inside_another_says_what_its_parameters_are():
    """As in micrograd, an inner module that overrides `parameters` is asked, and its other leaves are not trained."""
    model = MLP(1, [2, 1])
    for layer in model.layers:
        layer.neurons = [Bound(len(n.w)) for n in layer.neurons]
    assert len(model.parameters()) == 4
    assert [name for name, _ in model.named_parameters()][-1] == "layers.1.neurons.0.w.1"
    assert len(model.state_dict()["layers.0.bias"]) == 2
    frozen = MLP(1, [2, 1])
    frozen.layers[0].parameters = list
    assert len(frozen.parameters()) == 3
    frozen([1.0]).backward()
    before = [n.w[0].data for n in frozen.layers[0].neurons]
    SGD(frozen.parameters(), lr=0.5).step()
    assert [n.w[0].data for n in frozen.layers[0].neurons] == before
    extra = Value(5)
    found = Keeper([Chosen(extra)]).named_parameters()
    assert [(name, p.data) for name, p in found] == [("held.0.w", 1.0), ("held.0.parameters.1", 5.0)]


def test_modules_that_list_their_parameters_may_refer_to_each_other():
    class Friend(Module):
        def __init__(self, x):
            self.w, self.other = Value(x), None

        def parameters(self):
            return super().parameters()

    first, second = Friend(1), Friend(2)
    first.other, second.other = second, first
    assert data(first) == [1.0, 2.0]
    assert data(Keeper([first, second])) == [1.0, 2.0]


def test_what_a_module_lists_must_be_values():
    inner = Keeper([])
    inner.parameters = lambda: [1.0]
    with pytest.raises(TypeError, match=r"^Keeper\.parameters\(\) must return Values, got float 1\.0"):
        Keeper([inner]).parameters()


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("train", "leave the call out"),
        ("to", "floats of the CPU"),
        ("modules", "print it"),
        ("training", r"set it in __init__, as in self\.training = True"),
        ("register_forward_hook", r"a subclass whose __call__ looks at super\(\)\.__call__\(x\)"),
        ("count_params", r"write len\(model\.parameters\(\)\)"),
        ("copy", r"write copy\.deepcopy\(model\)"),
        ("nin", r"len\(layer\.neurons\[0\]\.w\)"),
        ("coef_", r"write model\.state_dict\(\)"),
        ("params", r"write model\.parameters\(\)"),
        ("get_weights", r"write model\.state_dict\(\)"),
        ("compile", r"write loss = compile\(f\)"),
        ("predict_proba", r"write softmax\(model\(x\)\)"),
        ("load_weights", r"write model\.load\(path\)"),
        ("unfreeze", r"p\.requires_grad = True"),
        ("score", r"compute a loss of \[model\(x\) for x in xs\]"),
        ("requires_grad_", r"write for p in model\.parameters\(\): p\.requires_grad = False"),
    ],
)
def test_a_method_of_pytorch_that_does_not_exist_says_what_to_do(name, write):
    with pytest.raises(AttributeError, match=f"^Block has no {name}; .*{write}"):
        getattr(Block(), name)
    assert not hasattr(Block(), name)
    assert getattr(type("Own", (Block,), {name: lambda self: 1})(), name)() == 1


def test_other_missing_attributes_have_the_usual_errors():
    class Net(Module):
        @property
        def size(self):
            return self.missing

    for name in ("missing", "size"):
        with pytest.raises(AttributeError, match=r"^'Net' object has no attribute 'missing'$"):
            getattr(Net(), name)


def test_a_module_sets_gradients_to_none_as_in_pytorch():
    model = Block()
    for p in model.parameters():
        p.grad = 1.0
    model.zero_grad(set_to_none=True)
    assert {p.grad for p in model.parameters()} == {None}
    model.zero_grad()
    assert {p.grad for p in model.parameters()} == {0.0}


def test_parameters_are_in_the_order_of_their_names():
    """`parameters` does not make the names, and finds the same leaves once each in the same order."""
    shared = MLP(2, [2, 2, 1])
    shared.layers[1] = shared.layers[0]
    inner = Layer(1, 2)
    looped = Keeper([inner, Value(1), [inner, [Value(2), inner.neurons[0].b]], inner.neurons[1].w])
    looped.again = looped
    for model in (MLP(2, [3, 1]), shared, looped, Block(), Keeper({"a": inner, "b": [Value(1)]})):
        assert model.parameters() == [p for _, p in model.named_parameters()]
        assert len(set(model.parameters())) == len(model.parameters()) > 0


class Series:
    """A class such as that of pandas, whose objects are no mappings."""

    def __init__(self, model):
        self.items = model.state_dict().items


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.load_state_dict("m.json"), r"takes a dict, got str; write model.load\('m.json'\) for a file that"),
        (lambda m: m.load_state_dict(Path("m.json")), r"Path; write model.load\('m.json'\) for a file that save"),
        (lambda m: m.load_state_dict(m), r"got MLP; write model.load_state_dict\(other.state_dict\(\)\)"),
        (lambda m: m.load_state_dict(m.parameters()), r"got list; write for p, x in zip\(model.parameters\(\), xs\)"),
        (lambda m: m.load_state_dict(Series(m)), r"got Series; write model.load_state_dict\(dict\(state.items\(\)\)\)"),
        (lambda m: MLP.load("m.json"), r"^load\(\) is a method of a model, .*then write model.load\('m.json'\)"),
        (lambda m: MLP.save("m.json"), r"^save\(\) is a method of a model, .*then write model.save\('m.json'\)"),
        (lambda m: m.load(), r"^load\(\) takes the path of a file, as in model.load\('model.json'\)$"),
        (lambda m: m.save(), r"^save\(\) takes the path of a file, as in model.save\('model.json'\)$"),
        (lambda m: m.load({}), r"load\(\) takes the path of a file.*got dict; write model.load_state_dict\(state\)"),
        (lambda m: m(1, 2), r"^MLP takes one list of inputs, got 2 arguments; write model\(\[1, 2\]\)$"),
        (lambda m: m(Value(1, "a"), Value(2)), r"got 2 arguments; write model\(\[a, x\]\)$"),
        (lambda m: m([1, 2], [3, 4]), r"^MLP takes one list of inputs, got 2 arguments$"),
        (lambda m: m.layers[0](1, 2, 3), r"^Layer takes one list of inputs, got 3 arguments; write model"),
        (lambda m: m.layers[0].neurons[0](1, 2), r"^Neuron takes one list of inputs, got 2 arguments; write"),
    ],
)
def test_calls_that_miss_a_model_a_path_or_a_list_are_answered_with_what_to_write(call, message):
    """No file is made, and the parameters stay as they are."""
    model = MLP(2, [2, 1], seed=0)
    before = model.state_dict()
    with pytest.raises(TypeError, match=message):
        call(model)
    assert model.state_dict() == before
    assert not Path("m.json").exists()


def test_a_method_may_be_called_through_the_class_with_a_model(tmp_path):
    model, other = MLP(2, [2, 1], seed=0), MLP(2, [2, 1], seed=1)
    MLP.save(model, tmp_path / "m.json")
    MLP.load(other, tmp_path / "m.json")
    assert other.state_dict() == model.state_dict()


def test_pytorchs_apply_is_answered_with_what_to_write():
    with pytest.raises(AttributeError, match=r"^MLP has no apply; write for p in model\.parameters\(\)"):
        MLP(1, [1]).apply(print)


def test_a_model_whose_activation_is_a_method_of_values_is_pickled():
    model = MLP(2, [3, 1], activation=Value.tanh, seed=0)
    assert pickle.loads(pickle.dumps(model))([1.0, 2.0]).data == model([1.0, 2.0]).data


def test_methods_of_other_libraries_say_what_to_write():
    model = MLP(2, [1], seed=0)
    for name, write in {
        "predict": "write model(x)",
        "fit": "write loss.fit",
        "weights": "write model.parameters()",
    }.items():
        assert not hasattr(model, name)
        with pytest.raises(AttributeError, match=f"MLP has no {name}; {re.escape(write)}"):
            getattr(model, name)


def test_models_are_pickled_by_every_protocol():
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        for model in (MLP(2, [2, 1]), SlottedModule(Value(1.0), Value(2.0))):
            again = pickle.loads(pickle.dumps(model, protocol))
            assert [p.data for p in again.parameters()] == [p.data for p in model.parameters()]


def test_a_property_named_parameters_is_answered_with_what_to_write():
    class Part(Module):
        def __init__(self):
            self.w = Value(0.3)

        @property
        def parameters(self):
            return [self.w]

    class Model(Module):
        def __init__(self):
            self.part = Part()

    for use in (Part().zero_grad, Part().__repr__, Model().parameters):
        with pytest.raises(TypeError, match=r"^Part\.parameters is a list; make it a method, without @property"):
            use()


@pytest.mark.parametrize(
    "use",
    [copy.copy, copy.deepcopy, pickle.dumps, repr, Module.parameters, Module.named_parameters, Module.state_dict],
    ids=["copy", "deepcopy", "pickle", "repr", "parameters", "named_parameters", "state_dict"],
)
def test_anything_may_be_the_first_that_is_done_to_a_model(use, monkeypatch):
    """What is known of its class is found then. A deep copy asks for it, and so does a list of parameters."""
    for known in (members.known_members, members.known_slots):
        for cls in (MLP, Layer, Neuron, Value):
            monkeypatch.delitem(known, cls, raising=False)
    assert use(MLP(2, [1])) is not None
