"""Models are described, saved and loaded to the bit. A file that does not fit changes nothing."""

import copy
import json
import math
import os
import pickle
import random
import re
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

from micrograd_cn import Op, Value, define
from micrograd_cn.nn import MLP, Layer, Module, Neuron


def data(model):
    return [p.data for p in model.parameters()]


class Block(Module):
    def __init__(self):
        self.scale = Value(2)
        self.pair = [Value(3), Value(4)]
        self.parts = [Layer(1, 2, seed=0), {"head": Neuron(2, seed=0)}]
        self.name = "text"
        self.shared = self.scale


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


@pytest.mark.parametrize("make", [Block, lambda: MLP(2, [3, 1], seed=1), lambda: Neuron(2, seed=1)])
def test_a_saved_model_loads_to_the_bit(make, tmp_path):
    model, other = make(), make()
    special = [0.1, -0.0, 5e-324, 1.7976931348623157e308, math.inf, math.nan, 1 / 3, -1e-300, 2**53 + 1.0]
    for p, x in zip(model.parameters(), special, strict=False):
        p.data = x
    model.save(tmp_path / "model.json")
    other.load(tmp_path / "model.json")
    assert [x.hex() for x in data(other)] == [x.hex() for x in data(model)]
    assert [p.name for p in tmp_path.iterdir()] == ["model.json"]
    assert (tmp_path / "model.json").read_text() == json.dumps(model.state_dict(), indent=1)


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


@pytest.mark.parametrize("written", ["1e400", "-1e400", "1.5e309", "1e99999999999999999999", "1" + "0" * 400])
def test_a_weight_in_a_file_that_is_too_large_for_a_float_is_named_however_it_is_written(written, tmp_path):
    model, path = Neuron(2, seed=0), tmp_path / "model.json"
    before = data(model)
    path.write_text(f'{{"weight": [0.5, {written}], "bias": 0.0}}')
    with pytest.raises(ValueError, match=r"weight\[1\] is too large for a float"):
        model.load(path)
    assert data(model) == before


def test_an_infinite_weight_and_the_largest_float_are_loaded(tmp_path):
    model, path = Neuron(2), tmp_path / "model.json"
    path.write_text('{"weight": [Infinity, -Infinity], "bias": 1.7976931348623157e308}')
    model.load(path)
    assert data(model) == [math.inf, -math.inf, sys.float_info.max]


def test_what_is_not_a_dict_is_refused():
    with pytest.raises(TypeError, match="takes a dict, got list"):
        Neuron(1).load_state_dict([1.0])


def test_not_strict_loads_what_fits_by_name():
    model = MLP(2, [3, 1], seed=0)
    before = data(model)
    model.load_state_dict({"layers.1.bias": [9.0], "unexpected": 1}, strict=False)
    assert data(model) == [*before[:-1], 9.0]


@pytest.mark.parametrize("length", [0, 1, 30, -2])
def test_a_truncated_file_is_refused_by_name_and_changes_no_parameter(length, tmp_path):
    model = MLP(2, [3, 1], seed=0)
    path = tmp_path / "model.json"
    MLP(2, [3, 1], seed=1).save(path)
    path.write_text(path.read_text()[:length])
    before = data(model)
    with pytest.raises(ValueError, match=r"model.json is not a saved model, or was truncated"):
        model.load(path)
    assert data(model) == before


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, b"\xff\xfe"], ids=["lists", "dicts", "bytes"])
def test_a_file_of_anything_else_is_refused_by_name(text, tmp_path):
    path = tmp_path / "model.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=r"model.json is not a saved model, or was truncated"):
        Neuron(1).load(path)


def test_saving_while_another_thread_saves_there_leaves_the_last_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "model.json"
    first, second, found = Neuron(1, seed=0), Neuron(2, seed=1), Neuron(2)
    fsync = os.fsync

    def interrupted(descriptor):
        monkeypatch.setattr(os, "fsync", fsync)
        with ThreadPoolExecutor(1) as other:
            other.submit(second.save, path).result()
        found.load(path)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", interrupted)
    first.save(path)
    assert data(found) == data(second)
    found = Neuron(1)
    found.load(path)
    assert data(found) == data(first)
    assert [p.name for p in tmp_path.iterdir()] == ["model.json"]


def test_all_is_on_the_disk_before_the_old_file_is_replaced(tmp_path, monkeypatch):
    model = Neuron(2, seed=0)
    written = []

    def look(descriptor):
        [temporary] = tmp_path.iterdir()
        assert os.fstat(descriptor).st_ino == temporary.stat().st_ino
        written.append(json.loads(temporary.read_text()))

    monkeypatch.setattr(os, "fsync", look)
    model.save(tmp_path / "model.json")
    assert written == [model.state_dict()]


@pytest.mark.parametrize("there", [True, False])
def test_saving_through_a_symbolic_link_replaces_what_it_leads_to(there, tmp_path):
    link, target = tmp_path / "latest.json", tmp_path / "elsewhere" / "model.json"
    target.parent.mkdir()
    link.symlink_to(target)
    if there:
        Neuron(2).save(target)
    model, other = Neuron(1, seed=0), Neuron(1)
    model.save(link)
    assert link.is_symlink()
    assert not target.is_symlink()
    other.load(target)
    assert data(other) == data(model)
    assert [p.name for p in target.parent.iterdir()] == ["model.json"]


@pytest.mark.parametrize("name", ["open", "write", "fsync", "replace"])
def test_a_crash_at_any_point_of_saving_leaves_the_old_file_whole(name, tmp_path, monkeypatch):
    path = tmp_path / "model.json"
    old = MLP(2, [3, 1], seed=0)
    old.save(path)
    whole = path.read_bytes()

    def crash(*arguments, **options):
        raise KeyboardInterrupt

    if name == "write":
        monkeypatch.setattr(json, "dump", lambda state, file, **_: (file.write("{"), file.flush(), crash()))
    elif name == "open":
        monkeypatch.setattr("builtins.open", crash)
    else:
        monkeypatch.setattr(os, name, crash)
    with pytest.raises(KeyboardInterrupt):
        MLP(2, [3, 1], seed=1).save(path)
    monkeypatch.undo()
    assert path.read_bytes() == whole
    assert [p.name for p in tmp_path.iterdir()] == ["model.json"]


def test_a_new_file_has_the_usual_permissions(tmp_path):
    (tmp_path / "usual").touch()
    Neuron(1).save(tmp_path / "model.json")
    assert stat.S_IMODE((tmp_path / "model.json").stat().st_mode) == stat.S_IMODE((tmp_path / "usual").stat().st_mode)


def test_saving_where_there_is_no_directory_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        Neuron(1).save(tmp_path / "missing" / "model.json")


def test_repr_shows_the_structure_and_counts_shared_parameters_once():
    assert repr(MLP(2, [16, 1])) == (
        "MLP(2, [16, 1]), 65 parameters\n  layers.0: Layer(2, 16, relu)\n  layers.1: Layer(16, 1, linear)"
    )
    assert repr(Layer(2, 1, activation=math.tanh)) == "Layer(2, 1, tanh), 3 parameters"
    assert repr(Neuron(1, nonlin=False)) == "Neuron(1, linear), 2 parameters"
    assert repr(Block()) == "Block(), 10 parameters\n  parts.0: Layer(1, 2, relu)\n  parts.1.head: Neuron(2, relu)"


def test_modules_that_refer_to_each_other_are_shown_and_saved_once():
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


class Holder(Module):
    def __init__(self, held):
        self.held = held


class Twice(Module):
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
    assert Holder([]).state_dict() == Holder({"a": [], "b": Value(1) * 2, "c": [[]]}).state_dict() == {}


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


def test_rows_that_are_arrays_load_too():
    layer = Layer(2, 3)
    layer.load_state_dict({"weight": list(np.arange(6.0).reshape(3, 2)), "bias": (7, np.float32(8), np.array(9))})
    assert data(layer) == [0, 1, 7, 2, 3, 8, 4, 5, 9]
