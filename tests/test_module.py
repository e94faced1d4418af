"""A model finds its parameters, prints itself, and is saved and loaded exactly. A wrong file changes no parameter."""

import copy
import inspect
import json
import math
import os
import pickle
import random
import re
import stat
import sys
from collections import OrderedDict, UserDict, UserList, deque, namedtuple
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import FrozenInstanceError, dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from micrograd_cn import Op, Value, define, module, no_grad
from micrograd_cn.compiler import compile as compile_function
from micrograd_cn.functional import grad
from micrograd_cn.nn import MLP, Layer, Module, Neuron
from micrograd_cn.optim import SGD, Adam

Pair = namedtuple("Pair", "w b")


def data(model):
    """Return the numbers of a model's parameters."""
    return [p.data for p in model.parameters()]


class Block(Module):
    """A module that keeps parameters in all ways: alone, in a list, in modules, in a dict, and twice."""

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
    """With strict=False, entries whose names the model does not have are ignored, and missing ones are left alone."""
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


@pytest.mark.parametrize("text", ["[1, 2]", "3", '"weight"', "null"])
def test_a_file_whose_json_is_no_object_is_refused_by_name(text, tmp_path):
    path = tmp_path / "model.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"model.json is not a saved model: its JSON is no object"):
        Neuron(1).load(path)


def test_saving_while_another_thread_saves_there_leaves_the_last_file_whole(tmp_path, monkeypatch):
    """Two threads that save to one path at the same time use different temporary files, and the last one wins."""
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


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444, 0o777])
def test_saving_over_a_file_keeps_its_permissions(mode, tmp_path):
    path = tmp_path / "model.json"
    path.touch()
    path.chmod(mode)
    Neuron(1).save(path)
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_what_is_written_is_never_readable_by_more_people_than_the_old_file(tmp_path, monkeypatch):
    """The temporary file has the old file's permissions before any weight is written to it."""
    path = tmp_path / "model.json"
    path.touch()
    path.chmod(0o600)
    dump, modes = json.dump, []

    def look(state, file, **options):
        modes.append(stat.S_IMODE(os.fstat(file.fileno()).st_mode))
        dump(state, file, **options)

    monkeypatch.setattr(json, "dump", look)
    Neuron(1).save(path)
    assert modes == [0o600]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away")
def test_saving_over_a_file_keeps_its_owner_and_group(tmp_path):
    path = tmp_path / "model.json"
    path.touch()
    os.chown(path, 1234, 2345)
    path.chmod(0o640)
    Neuron(1).save(path)
    found = path.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (1234, 2345, 0o640)


def test_an_owner_that_cannot_be_set_is_left_out(tmp_path, monkeypatch):
    """Saving over somebody else's file succeeds, although only root may keep its owner."""
    path = tmp_path / "model.json"
    path.touch()
    real = os.fstat

    def another_owner(file):
        found = [*real(file)]
        found[4] += 1
        return os.stat_result(found)

    def refused(*_):
        raise PermissionError

    monkeypatch.setattr(os, "fstat", another_owner)
    monkeypatch.setattr(os, "fchown", refused)
    Neuron(1, init="zeros").save(path)
    assert json.loads(path.read_text()) == {"weight": [0.0], "bias": 0.0}


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "link"])
def test_saving_over_what_is_no_regular_file_is_refused(kind, tmp_path):
    path = tmp_path / "model.json"
    if kind == "folder":
        path.mkdir()
    elif kind == "device":
        path = Path(os.devnull)
    else:
        os.mkfifo(tmp_path / "pipe")
        path = tmp_path / "pipe"
        if kind == "link":
            path = tmp_path / "link"
            path.symlink_to("pipe")
    before = path.stat()
    with pytest.raises(OSError, match=r"is no regular file, and saving would replace it; save to another path"):
        Neuron(1).save(path)
    assert stat.S_IFMT(path.stat().st_mode) == stat.S_IFMT(before.st_mode)


def test_an_entry_that_is_in_a_file_twice_is_refused(tmp_path):
    path = tmp_path / "model.json"
    path.write_text('{"weight": [1.0], "bias": 1.0, "bias": 2.0}')
    model = Neuron(1, seed=0)
    before = data(model)
    with pytest.raises(ValueError, match=r"model.json is not a saved model, .*: 'bias' is there twice"):
        model.load(path)
    assert data(model) == before


def test_saving_where_there_is_no_directory_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        Neuron(1).save(tmp_path / "missing" / "model.json")


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


class Holder(Module):
    """A module with a single attribute, `held`."""

    def __init__(self, held):
        self.held = held


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


def test_rows_that_are_arrays_load_too():
    layer = Layer(2, 3)
    layer.load_state_dict({"weight": list(np.arange(6.0).reshape(3, 2)), "bias": (7, np.float32(8), np.array(9))})
    assert data(layer) == [0, 1, 7, 2, 3, 8, 4, 5, 9]


# Where parameters are found


# Classes of a user's that are not modules, or that keep attributes in unusual ways


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


class SlottedModule(Module):
    __slots__ = ("w",)

    def __init__(self, w, b):
        self.b, self.w = b, w


class Keeper(Module):
    """A module that keeps parameters somewhere in `held`, and uses all that it finds."""

    def __init__(self, held):
        self.name, self.held = "text", held

    def __call__(self, x):
        return sum((p * x + p for p in self.parameters()), Value(0.0) * 0.0)


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
    "held", [lambda w: {w}, lambda w: frozenset([1, (2, w)]), lambda w: {Neuron(1)}, lambda w: [{w}]]
)
def test_parameters_in_a_set_alone_are_refused(held):
    """A set has no order, so parameters that are only in a set are refused, with advice to use a list."""
    model = Keeper(held(Value(1)))
    for use in (Module.parameters, Module.zero_grad, Module.state_dict, repr, lambda model: model.load_state_dict({})):
        with pytest.raises(TypeError, match=r"^Keeper\.held(\.0)? is a set with parameters.*keep them in a list"):
            use(model)


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


def test_a_model_that_cannot_be_called_says_what_to_define():
    with pytest.raises(TypeError, match=r"^Block cannot be called: define __call__\(self, x\) or forward\(self, x\)"):
        Block()(1.0)


class Small(Module):
    """A module with the mistake that its weights are products instead of leaves."""

    def __init__(self, numbers=(1.0, 2.0)):
        self.w = [Value(x) * 0.1 for x in numbers]
        self.b = Value(0)


class Smaller(Small):
    def __init__(self):
        super().__init__((3.0,))


def keep(make):
    """Return a function that makes a module that keeps what `make` returns."""
    return lambda: Keeper({"w": [1.0, make()]})


@pytest.mark.parametrize(
    ("make", "path"),
    [
        (Small, r"Small\.w\.0 is computed \(mul\)"),
        (Smaller, r"Smaller\.w\.0 is computed \(mul\)"),
        (keep(lambda: Value(2).exp()), r"Keeper\.held\.w\.1 is computed \(exp\)"),
        (keep(lambda: (Value(2) + (shared := Value(3))) * shared), r"Keeper\.held\.w\.1 is computed \(mul\)"),
    ],
)
def test_a_weight_that_is_computed_from_values_that_nobody_holds_is_refused(make, path):
    """`self.w = Value(x) * 0.1` is refused, because it is no leaf, so it would never be trained."""
    with pytest.raises(TypeError, match=rf"^{path}, so it is no parameter.*write.*\.detach\(\)") as caught:
        make()
    assert "as in Value(0.1 * x)" in str(caught.value)


def test_values_that_are_computed_from_what_somebody_holds_may_be_kept():
    """A module may keep a computed `Value` if its leaves are held elsewhere, where they may be trained."""
    hyper, x = MLP(1, [2], seed=0), Value(3)

    class Expression(Module):
        def __init__(self):
            self.w = Value(2)
            self.y = self.w * Value(5)

    held = [hyper([1.0]), x * 2, x.exp().exp(), (Value(2) * 3).detach(), Value(2, requires_grad=False) * 3]
    assert [[p.requires_grad for p in Keeper(item).parameters()] for item in held] == [[], [], [], [False], []]
    assert len(Expression().parameters()) == 1
    assert grad(grad(lambda t: Keeper(t * t).held * t))(2.0) == 12.0

    def inner_loop():
        fast = Value(2)
        return Keeper(fast - 0.1 * fast).held.data

    assert inner_loop() == 1.8


def test_activations_that_a_call_keeps_are_no_matter():
    """A layer may store its outputs in an attribute, and they are not parameters."""

    class Tanh(Module):
        def __init__(self):
            self.out = []

        def __call__(self, xs):
            self.out = [x.tanh() for x in xs]
            return self.out

    layer = Tanh()
    layer([Value(1), Value(2) * 2])
    assert layer.parameters() == []


def test_a_class_that_lists_its_parameters_may_compute_them_as_in_micrograd():
    class Own(Module):
        scale = Value(2)

        def __init__(self):
            self.w = Value(3) * 0.1

        def parameters(self):
            return [self.w, self.scale]

    assert [p.data for p in Own().parameters()] == [3 * 0.1, 2.0]


def test_a_parameter_of_a_class_is_refused():
    """A parameter that is an attribute of the class would be shared by all instances, so it is refused."""
    with pytest.raises(TypeError, match=r"^Net\.w is an attribute of the class.*assign self\.w in __init__"):
        type("Net", (Module,), {"w": Value(1)})
    with pytest.raises(TypeError, match=r"^Net\.layers\.0\.neurons\.0\.w\.0 is an attribute of the class"):
        type("Net", (Module,), {"layers": [Layer(1, 1)]})


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
    own = Own()
    own.requires_grad = False
    assert own.requires_grad is False


def test_a_namedtuple_of_arrays_and_deques_is_saved(tmp_path):
    class Net(Module):
        def __init__(self, w):
            self.p = Pair(np.array([Value(w), Value(2)]), deque([Value(w)]))

    Net(5).save(tmp_path / "net.json")
    model = Net(1)
    model.load(tmp_path / "net.json")
    assert model.state_dict() == {"p": Pair([5.0, 2.0], [5.0])}


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


class Trained(Module):
    """A model whose call assigns to its parameter, as in `self.w = self.w - lr * self.w.grad`."""

    def __init__(self):
        self.w, self.held = Value(1), []

    def __call__(self):
        loss = (self.w * 2 - 1) ** 2
        loss.backward()
        self.w = self.w - 0.1 * self.w.grad
        return loss


@pytest.mark.parametrize("inside", [False, True])
def test_a_model_whose_parameters_have_become_computed_is_not_saved_without_them(inside, tmp_path):
    """The state would lack them. It does not matter that an old loss refers to the first parameter."""
    model = Trained()
    with pytest.warns(UserWarning, match=r"to change its number, write self\.w\.data = \.\.\."):
        losses = [model(), model()]
    assert losses[1].data < losses[0].data
    outer = Keeper([Value(1), model]) if inside else model
    path = r"Keeper\.held\.1\.w" if inside else r"Trained\.w"
    code = r"model\.held\[1\]\.w\.data" if inside else r"model\.w\.data"
    for call in (outer.state_dict, lambda: outer.save(tmp_path / "m")):
        with pytest.raises(TypeError, match=rf"^{path} is computed \(sub\).*as in {code} -= lr"):
            call()
    assert list(tmp_path.iterdir()) == []


def test_a_message_about_a_computed_item_has_its_code():
    """A message names what to write by code, as in `W[0]`, and not by the path "W.0"."""
    x, model = Value(3.0), Keeper({"a": [None, np.array([[None, None]])]})
    model.held["a"][1][0, 1] = x * 2
    del x
    with pytest.raises(TypeError, match=r"as in model\.held\['a'\]\[1\]\[0, 1\]\.data -= lr \* model\.held\['a'\]"):
        model.state_dict()


def test_results_that_a_model_keeps_do_not_prevent_saving():
    x, model, layer = Value(3), Trained(), Holder([])
    model.held = [model.w * x, (Value(2) * model.w).exp()]
    layer.held = [x.tanh()]
    assert model.state_dict() == {"w": 1.0}
    assert layer.state_dict() == {}


class Sequence(Module, list):
    """A module that is a list of its parts."""

    def __call__(self, x):
        for part in self:
            x = part(x)
        return x


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


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.load_state_dict("m.json"), r"takes a dict, got str; write model.load\('m.json'\) for a file that"),
        (lambda m: m.load_state_dict(Path("m.json")), r"Path; write model.load\('m.json'\) for a file that save"),
        (lambda m: m.load_state_dict(m), r"got MLP; write model.load_state_dict\(other.state_dict\(\)\)"),
        (lambda m: m.load_state_dict(m.parameters()), r"got list; write for p, x in zip\(model.parameters\(\), xs\)"),
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


class Kept(Module):
    """A model that keeps an activation of its last call, and parameters in several kinds of attributes."""

    def __init__(self):
        self.w, self.ws, self.array = Value(1.0), [Value(2.0)], np.array([[Value(3.0)]])
        self.inside = {"a": Value(4.0)}
        self.last = self.mean = None

    def __call__(self, x):
        self.last = self.w * x
        return self.last


@pytest.mark.parametrize(
    ("name", "change", "write"),
    [
        ("w", lambda m: m.w - 0.1 * m.w.grad, r"model\.w\.data = x\.data"),
        ("ws", lambda m: [w * 0.5 for w in m.ws], r"for w, x in zip\(model\.ws, new\): w\.data = x\.data"),
        ("array", lambda m: m.array - 0.1, r"zip\(model\.array\.flat, new\.flat\): w\.data = x\.data"),
        ("inside", lambda m: {"a": m.inside["a"] * 0.5}, "change their numbers"),
    ],
)
def test_parameters_are_not_replaced_by_constants_inside_no_grad(name, change, write):
    """PyTorch refuses such an assignment too. Nothing would train the constants."""
    model = Kept()
    with no_grad(), pytest.raises(TypeError, match=rf"Kept\.{name} = \.\.\. inside no_grad\(\) would .*{write}"):
        setattr(model, name, change(model))
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(
    ("name", "change", "write"),
    [
        ("w", lambda m: 0.5, r"model\.w\.data = x, or write del model\.w first"),
        ("w", lambda m: np.int64(2), r"model\.w\.data = x"),
        ("w", lambda m: min(m.w, 0.5), r"model\.w\.data = x"),
        ("ws", lambda m: [0.5], r"for w, x in zip\(model\.ws, new\): w\.data = x"),
        ("array", lambda m: np.clip(m.array, -1, 1), r"zip\(model\.array\.flat, new\.flat\): w\.data = x"),
        ("array", lambda m: np.zeros((1, 1)), r"zip\(model\.array\.flat, new\.flat\): w\.data = x"),
        ("inside", lambda m: {"a": 1.0}, "change the numbers of the parameters"),
    ],
)
def test_parameters_are_not_replaced_by_numbers(name, change, write):
    """A number would be missing in `parameters()` and in the state without a word."""
    model = Kept()
    before = model.parameters()
    with pytest.raises(TypeError, match=rf"Kept\.{name} = \.\.\. would replace parameters by numbers, .*{write}"):
        setattr(model, name, change(model))
    assert model.parameters() == before


def test_other_collections_of_numbers_are_refused_too():
    for numbers in (deque([0.5]), {0.5}, Decimal(1), (0.5,), np.array([1j])):
        model = Kept()
        with pytest.raises(TypeError, match="would replace parameters by numbers"):
            model.ws = numbers
    model.inside = {"a": Value(1.0), "rate": 0.1}
    with pytest.raises(TypeError, match="would replace parameters by numbers"):
        model.inside = {"a": 1.0}


@dataclass
class Gains:
    p: object
    d: object


class GainsModule(Module):
    def __init__(self, p, d):
        self.p, self.d = p, d


class GainsInSlots:
    __slots__ = ("d", "p")

    def __init__(self, p, d):
        self.p, self.d = p, d


@pytest.mark.parametrize("kind", [Gains, GainsModule, GainsInSlots, lambda p, d: SimpleNamespace(p=p, d=d)])
@pytest.mark.parametrize("around", [lambda x: x, lambda x: [x], lambda x: {"a": x}])
def test_an_object_with_parameters_is_not_replaced_by_one_with_numbers(kind, around):
    class Controller(Module):
        def __init__(self, p, d):
            self.p, self.gains = Value(0.0), around(kind(p, d))

    p, d = Value(0.5), Value(0.1)
    for make in (lambda: p, lambda: [p, Value(1.0)]):
        model = Controller(make(), d)
        for new, code in ((2.0, " = 2.0"), (np.ones(2), " = x")):
            with pytest.raises(
                TypeError, match=rf"gains.* by numbers, .*\.data{code}, or write del model\.gains first"
            ):
                model.gains = around(kind(new, d))
    model = Controller(p, d)
    with no_grad():
        constant = p * 2
    with pytest.raises(TypeError, match=r"gains = .* by a constant that an operation computed, .*\.data = x\.data"):
        model.gains = around(kind(constant, d))
    model.gains = around(kind(Value(2.0), d))
    model.gains = around(kind(Value(3.0), Value(1.0)))
    assert len(model.parameters()) == 3


def test_a_module_may_be_replaced_by_one_of_another_kind():
    class Fixed(Module):
        def __init__(self, p):
            self.p = p

    class Model(Module):
        def __init__(self):
            self.a, self.b, self.c = GainsModule(Value(0.5), Value(1.0)), [GainsModule(Value(0.5), 1.0)], MLP(2, [3, 1])

    model = Model()
    w = model.a.p
    model.a = GainsModule([w * 2, w], model.a.d)
    model.a, model.b, model.c = Fixed(0.5), [Fixed(0.5)], MLP(2, [2, 1])
    assert len(model.parameters()) == 9


def test_assigning_what_has_no_numbers_does_not_look_for_parameters(monkeypatch):
    """A model may have many parameters, and a loop may assign it in each step."""
    model = Kept()
    model.net = MLP(2, [3, 1])
    new = MLP(2, [3, 1]), [Value(2.0)], np.array([[Value(3.0)]]), [2.0]
    model.mixed = [Value(1.0), 2.0]

    def walk(x, *_):
        raise AssertionError(x)

    monkeypatch.setattr(module, "_walk", walk)
    for name in vars(model):
        setattr(model, name, getattr(model, name))
    with no_grad():
        model.net = model.net
    model.net, model.ws, model.array = new[:3]
    with pytest.raises(AssertionError):
        model.ws = new[3]


def test_an_array_that_contains_itself_is_assigned():
    model, array = Kept(), np.empty(2, object)
    array[:] = [array, 1.0]
    with pytest.raises(TypeError, match="would replace parameters by numbers"):
        model.ws = array
    model.last = array
    model.last = 2.0


def test_numbers_may_stand_where_no_parameter_was():
    model = Kept()
    model.kept, model.w = model.w, 0.5  # the model still has it
    model.w = model.kept
    del model.kept
    model.ws = [Value(1.0), 2]
    model.ws = [Value(3.0), 4]
    model(1.0)
    model.last = 0.5
    model.inside = None
    del model.w
    model.w = 0.5
    model.array = np.array([[Value(5.0)]])
    assert [p.data for p in model.parameters()] == [3.0, 5.0]


def test_what_a_model_keeps_inside_no_grad_is_no_mistake():
    """An activation or a running mean may be replaced, and so may an attribute that still has its parameters."""
    model = Kept()
    with no_grad():
        for _ in range(2):
            model.mean = (0.0 if model.mean is None else model.mean * 0.9) + model(2.0) * 0.1
        model.ws = [*model.ws, model.w * 2]
        model.w = Value(0.5)
        model.w.data = 0.75
    assert model.mean.data == 0.2 * 0.9 + 0.1 * 2.0
    assert model.w in model.parameters()


class Recurrent(Module):
    """A model whose calls keep states, a running mean that the state has, and values without a graph."""

    def __init__(self):
        self.w, self.h, self.out, self.cache = Value(0.5), 0.0, None, []
        self.mean, self.means = Value(0.0, requires_grad=False), [Value(0.0, requires_grad=False)]

    def forward(self, x):
        self.h = self.out = (self.w * x + self.h).tanh()
        self.cache, self.last, self.by_name = [self.h, self.h.detach()], self.h.detach(), {"h": self.h.detach()}
        with no_grad():
            self.mean, self.means = self.mean * 0.9 + self.h, [m * 0.9 + self.h for m in self.means]
        return self.h


def test_constants_that_a_call_keeps_are_no_parameters():
    """A call computes them inside `no_grad()`, or `detach` gives them. Frozen parameters stay in the state."""
    model, names = Recurrent(), ["w", "mean", "means"]
    for evaluates in (True, False, True):
        with no_grad() if evaluates else nullcontext():
            model(1.0)
        model.h = model.h.detach()
        model.cache = [h.detach() for h in model.cache]
        assert list(model.state_dict()) == names
        assert [path for path, _ in model.named_parameters()] == ["w", "mean", "means.0"]
        assert model.parameters()[0] is model.w
    assert list(copy.deepcopy(model).state_dict()) == list(pickle.loads(pickle.dumps(model)).state_dict()) == names
    Recurrent().load_state_dict(model.state_dict())
    model.mean = model.mean.detach()
    assert list(model.state_dict()) == names
    assert SGD(model.parameters()[:1], lr=0.1).parameters == [model.w]


class Filling(Module):
    """A model whose calls put constants into collections that it has from the start."""

    def __init__(self):
        self.w, self.states, self.by_name, self.rows = Value(0.5), [], {}, [[0.0, 0.0]]
        self.means = [Value(0.0, requires_grad=False)]

    def forward(self, x):
        with no_grad():
            h = self.w * x
            self.states.append(h)
            self.by_name["h"] = self.rows[0][1] = h * 2.0
        self.means[0] = self.means[0] * 0.5 + Value(x, requires_grad=False)
        return self.w * x


@pytest.mark.parametrize("look", [Module.parameters, Module.state_dict])
def test_constants_that_a_call_puts_into_a_collection_are_no_parameters(look):
    model = Filling()
    for x, mean in ((1.0, 1.0), (2.0, 2.5)):
        model(x)
        look(model)
        assert model.state_dict() == {"w": 0.5, "means": [mean]}
        assert SGD(model.parameters()).parameters == [model.w, model.means[0]]
    assert copy.deepcopy(model).state_dict() == model.state_dict()
    model(3.0)
    model.load_state_dict(Filling().state_dict())
    assert model.means[0].data == 0.0


def test_constants_that_init_puts_into_a_collection_in_place_of_parameters_stay_refused():
    class Wrong(Module):
        def __init__(self):
            self.b = Value(0.0)
            with no_grad():
                self.ws = [Value(2.0) * 0.1]

    model = Wrong()
    for _ in range(2):
        with pytest.raises(ValueError, match=r"parameters\[1\], .* is a constant that an operation computed"):
            SGD(model.parameters())


def test_a_frozen_parameter_that_a_call_computes_is_in_the_state_again_once_it_is_detached():
    class Net(Module):
        def __init__(self):
            self.w, self.h = Value(0.5), Value(0.0, requires_grad=False)

        def __call__(self, x):
            self.h = (self.w * x + self.h).tanh()
            return self.h

    model = Net()
    for _ in range(2):
        model(1.0)
        model.h = model.h.detach()
        assert list(model.state_dict()) == ["w", "h"]
    other = Net()
    other.load_state_dict(model.state_dict())
    assert other.h.data == model.h.data


@pytest.mark.parametrize("use", [Module.parameters, Module.zero_grad, Module.state_dict, Module.named_parameters])
def test_a_weight_that_no_grad_made_a_constant_is_refused(use):
    """Python tells nobody of an assignment to an item, so the next use of the model refuses it."""
    model = MLP(2, [2, 1], seed=0)
    with no_grad():
        neuron = model.layers[0].neurons[1]
        neuron.w[0] = neuron.w[0] * 0.5
    with pytest.raises(TypeError, match=r"w\[0\] is a constant that an operation computed, .* w\.data \*= 0\.5"):
        list(use(model) or ())
    neuron.w[0] = Value(neuron.w[0].data, requires_grad=False)
    assert len(model.parameters()) == 9
    with no_grad():
        neuron.b = neuron.b - 1
    with pytest.raises(TypeError, match=r"\bb is a constant that"):
        list(use(model) or ())


def test_a_missing_folder_is_named_without_the_temporary_file(tmp_path):
    path = tmp_path / "missing" / "model.json"
    with pytest.raises(FileNotFoundError) as refused:
        MLP(1, [1]).save(path)
    assert refused.value.filename == str(path)


def test_pytorchs_apply_is_answered_with_what_to_write():
    with pytest.raises(AttributeError, match=r"^MLP has no apply; write for p in model\.parameters\(\)"):
        MLP(1, [1]).apply(print)


def test_a_model_whose_activation_is_a_method_of_values_is_pickled():
    model = MLP(2, [3, 1], activation=Value.tanh, seed=0)
    assert pickle.loads(pickle.dumps(model))([1.0, 2.0]).data == model([1.0, 2.0]).data


class Many(Module):
    """A model with a parameter in an attribute and in collections of all kinds."""

    def __init__(self):
        self.w, self.b, self.rate = Value(1.0), Value(0.5), 0.1
        self.ws, self.rows = [Value(2.0), Value(3.0)], [[Value(4.0)], [Value(5.0)]]
        self.array, self.inside = np.array([Value(6.0), Value(7.0)]), {"a": Value(8.0)}
        self.queue, self.object = deque([Value(9.0)]), SimpleNamespace(w=Value(10.0))

    def reset(self):
        self.w = self.w * 0.1


class InSlot(Module):
    __slots__ = ("w",)

    def __init__(self):
        self.w, self.b = Value(1.0), Value(2.0)


class OfNeuron(Neuron):
    """A neuron of a user's class."""


@pytest.mark.parametrize(
    ("make", "name", "change", "write"),
    [
        (Many, "w", lambda m: m.w * 0.5, r"model\.w\.data = x\.data"),
        (Many, "w", lambda m: m.w - Value(0.1) * m.w.grad, r"model\.w\.data = x\.data"),
        (Many, "w", lambda m: Value(0.5) * 0.1, r"assign leaves, as in Value\(x\.data\)"),
        (Many, "w", lambda m: [m.w * 0.5], r"write del model\.w first"),
        (Many, "ws", lambda m: [w - 0.1 * w.grad for w in m.ws], r"zip\(model\.ws, new\): w\.data = x\.data"),
        (Many, "ws", lambda m: (m.ws[0], m.ws[1] * 0.5), r"zip\(model\.ws, new\): w\.data = x\.data"),
        (Many, "ws", lambda m: m.ws[0] * m.ws[1], r"begin with a number, as in self\.ws = 0\.0"),
        (Many, "array", lambda m: m.array * 0.5, r"zip\(model\.array\.flat, new\.flat\)"),
        (Many, "inside", lambda m: {"a": m.inside["a"] * 0.5}, "change their numbers"),
        (Many, "queue", lambda m: deque([m.queue[0] * 0.5]), "change their numbers"),
        (Many, "object", lambda m: SimpleNamespace(w=m.object.w.exp()), r"w\.data = x\.data for each"),
        (InSlot, "w", lambda m: m.w * 0.5, r"model\.w\.data = x\.data"),
        (partial(OfNeuron, 2), "b", lambda m: m.b * 0.5, r"model\.b\.data = x\.data"),
    ],
)
def test_parameters_are_not_replaced_by_what_is_computed_from_them(make, name, change, write):
    """The model would lose them without a word, and PyTorch refuses such an assignment, too."""
    model = make()
    before = model.parameters()
    with pytest.raises(TypeError, match=rf"\.{name} = \.\.\. would replace parameters by what is computed.*{write}"):
        setattr(model, name, change(model))
    assert model.parameters() == before
    with pytest.raises(TypeError, match=r"Many\.w = \.\.\. would replace parameters by what is computed \(mul\)"):
        Many().reset()


def test_parameters_in_slots_are_guarded_as_other_attributes():
    model = InSlot()
    with pytest.raises(TypeError, match="would replace parameters by numbers"):
        model.w = 0.5
    with no_grad(), pytest.raises(TypeError, match="would replace parameters by constants"):
        model.w = model.w * 0.5
    model.w = Value(3.0)
    assert data(model) == [3.0, 2.0]


def test_a_constant_that_no_grad_computed_replaces_no_parameter_afterwards():
    model = Many()
    with no_grad():
        new = model.w * 0.5, [w * 0.5 for w in model.ws]
    for name, x in zip(("w", "ws"), new, strict=True):
        with pytest.raises(TypeError, match=rf"Many\.{name} = .* by a constant that an operation computed"):
            setattr(model, name, x)
    model.w = Value(0.5, requires_grad=False)
    assert data(model)[0] == 0.5


class State(Module):
    """A recurrent model whose first state is a parameter at first."""

    def __init__(self):
        self.w, self.u, self.h, self.hs = Value(0.5), Value(0.25), Value(0.0), [Value(0.0)]

    def __call__(self, x):
        return self.forward(x)

    def forward(self, x):
        self.h, self.hs = self.h * 0.5 + x, [self.hs[0] + self.w * x]
        return self.h

    def step(self, x):
        self.h = (self.w * x + self.u * self.h).tanh()
        self.hs[0] = (self.w * x + self.u * self.hs[0]).tanh()
        return self.h


BECAME_COMPUTED = (
    r"was a parameter, and is now computed from it \({}\).*begin with a number, as in self\.{} = 0\.0"
    r".*for fast weights, as in MAML, write a function"
)


def test_a_state_that_begins_as_a_parameter_is_answered_with_a_warning():
    """A state and a weight look alike, as in `self.w = self.w / norm`, which training no longer changes."""
    for use in (State.__call__, State.forward, State.step):
        model = State()
        with pytest.warns(UserWarning, match=BECAME_COMPUTED.format("add|tanh", r"h(s\[0\])?")) as record:
            found = [use(model, 1.0), *model.parameters()]
        assert found[1:] == [model.w, model.u]
        assert {warning.filename for warning in record} == {__file__}
        use(model, 1.0)
        assert model.parameters() == [model.w, model.u], "nothing is lost the second time"
        model.h, model.hs = 0.0, [0.0]
        use(model, 1.0)
        model.h, model.hs = Value(0.0), [Value(0.0)]
        assert len(model.parameters()) == 4
    with pytest.warns(UserWarning, match="was a parameter"):
        found = [model.step(1.0), *model.state_dict()]
    assert found[1:] == ["w", "u"]


class Normalized(Module):
    """A model that divides its weight by a norm wherever its argument says."""

    def __init__(self, at_once=False):
        self.w, self.norm = Value(2.0), Value(4.0)
        if at_once:
            self.w = self.w / self.norm

    def normalize(self):
        self.w = self.w / self.norm

    def __call__(self, x):
        self.w = self.w / self.norm
        return self.w * x


def computed_with_own_weight(model):
    weight = Value(0.5)
    model.w = (model.w * weight).tanh()
    return weight


def moved_by_a_step(model):
    theta = model.w
    model.w = theta - 0.4 * theta
    return theta


def computed_outside(model):
    model.w = model.w / sum(model.parameters())


@pytest.mark.parametrize(
    "change",
    [
        *(lambda m: m(1.0), Normalized.normalize, lambda m: Normalized(True)),
        *(computed_with_own_weight, moved_by_a_step, computed_outside),
    ],
)
def test_a_weight_is_not_replaced_by_what_is_computed_from_it_and_others_without_a_word(change):
    """It may be the next state of a recurrent model, or a step of an inner loop, so it is no error."""
    model = Normalized()
    with pytest.warns(UserWarning, match=BECAME_COMPUTED.format("div|tanh|sub", "w")):
        held = change(model)
    assert held is not model


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
        [steps.step() for _ in range(30)]
    assert steps.steps == 30


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


def test_parameters_may_be_replaced_by_leaves_given_up_and_computed_from_other_parameters():
    model, hyper = Many(), MLP(1, [2], seed=0)
    model.w = Value(3.0)
    model.ws = [Value(w.data * 0.5) for w in model.ws]
    model.inside["a"] = Value(1.0)
    model.rows[0] = [Value(2.0), Value(3.0)]
    assert len(model.parameters()) == 12
    model.ws = hyper([1.0])
    model.b = model.w * 2.0
    del model.w, model.array, model.queue
    model.w, model.array = model.object.w * 2.0, [0.5]
    assert data(model) == [2.0, 3.0, 5.0, 1.0, 10.0]


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
    before = len(module._records)
    model = Many()
    model.parameters()
    assert len(module._records) == before + 1
    del model
    assert len(module._records) == before


def test_a_state_that_is_missing_or_unexpected_in_a_file_says_how_to_begin(tmp_path):
    """A call replaces the first state, a leaf, by a computed value, which is no entry."""
    first, called = State(), State()
    with pytest.warns(UserWarning, match="was a parameter"):
        assert [called.step(1.0), *called.parameters()][1:] == [called.w, called.u]
    first.save(tmp_path / "first.json")
    called.save(tmp_path / "called.json")
    write = r"write self\.h = 0\.0 in __init__ and before you save"
    with pytest.raises(
        ValueError, match=rf"'h', 'hs' are missing; if calls of the saved model assigned State\.h: .*{write}"
    ):
        State().load(tmp_path / "called.json")
    with pytest.raises(ValueError, match=rf"'h', 'hs' are unexpected; State\.h is no parameter: .*{write}"):
        called.load(tmp_path / "first.json")


@pytest.mark.parametrize("x", [True, "0.5", [True], {"a": "b"}, np.array([True])])
def test_a_bool_or_a_text_does_not_take_the_place_of_a_parameter(x):
    class Scaled(Module):
        def __init__(self):
            self.w = Value(2.0)

    model = Scaled()
    with pytest.raises(TypeError, match="would replace parameters by numbers"):
        model.w = x
    model.w = None  # as in PyTorch, this gives the parameter up
    assert model.parameters() == []
    model.w = x


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


class WithInput(Module):
    def __init__(self):
        self.w, self.seen = Value(2), None

    def forward(self, x):
        self.seen = x
        return self.w * x


class WithNewInput(WithInput):
    def forward(self, x):
        self.new = x
        return self.w * x


@pytest.mark.parametrize(("kind", "name"), [(WithInput, "seen"), (WithNewInput, "new")])
def test_a_call_that_keeps_a_leaf_of_the_user_warns_that_it_becomes_a_parameter(kind, name):
    model = kind()
    with pytest.warns(UserWarning, match=rf"^{kind.__name__}\.{name} is now the leaf that a call got as an argument"):
        model(Value(3))
    for x in (3.0, Value(3) * 2):
        model = kind()
        model(x)
        assert len(model.parameters()) == 1


class KeepsScale(Module):
    def __init__(self):
        self.b, self.scale = Value(1), None

    def forward(self, scale):
        self.scale = scale
        return self.b * scale


class GivesScale(Module):
    def __init__(self):
        self.scale, self.inner = Value(2), KeepsScale()

    def forward(self, x):
        return self.inner(self.scale) * x


def test_a_call_may_keep_an_argument_that_is_a_parameter_anyway():
    model, own = GivesScale(), KeepsScale()
    model(3.0)
    own(own.b)
    assert model.parameters() == [model.scale, model.inner.b]
    assert own.parameters() == [own.b]


def test_a_function_named_forward_may_assign_parameters_whatever_its_first_argument_is():
    def forward(xs, model):
        model.w = Value(2)
        return [model(x) for x in xs]

    model = WithInput()
    del model.w
    assert [y.data for y in forward(np.array([1.0, 2.0]), model)] == [2.0, 4.0]


def test_a_frozen_dataclass_may_be_a_module():
    @dataclass(frozen=True)
    class Line(Module):
        w: Value = field(default_factory=lambda: Value(2.0))
        b: Value = field(default_factory=lambda: Value(1.0))

        def __call__(self, x):
            return self.w * x + self.b

    model = Line()
    assert [path for path, _ in model.named_parameters()] == ["w", "b"]
    (model(3.0) * 1.0).backward()
    SGD(model.parameters(), lr=0.5).step()
    assert model.state_dict() == copy.deepcopy(model).state_dict() == {"w": 0.5, "b": 0.5}
    with pytest.raises(FrozenInstanceError):
        model.w = Value(1.0)


def test_attributes_of_a_plain_module_object_and_of_a_class_with_its_own_setattr_are_guarded():
    class Noted(Module):
        def __setattr__(self, name, x):
            super().__setattr__(name, x)

    for model in (Module(), Noted()):
        model.w = Value(2.0)
        with pytest.raises(TypeError, match=r"\.w = \.\.\. would replace parameters by numbers"):
            model.w = 0.5
        assert len(model.parameters()) == 1


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_a_matrix_of_parameters_is_found_as_an_array_is():
    class Holding(Module):
        def __init__(self):
            self.m = np.matrix([[Value(1.0), Value(2.0)], [Value(3.0), Value(4.0)]], dtype=object)

    model = Holding()
    assert [p.data for p in model.parameters()] == [1.0, 2.0, 3.0, 4.0]
    assert [name for name, _ in model.named_parameters()][-1] == "m.1.1"


class Leaves(list):
    __slots__ = ("bias",)


class LeavesArray(np.ndarray):
    pass


class Noted(Value):
    pass


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
        (lambda: partial(Unit().act, 2.0), r"is a functools\.partial, "),
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

        def run(self, x):
            return self.w * x

    frozen = Neuron(1)
    for p in frozen.parameters():
        p.requires_grad = False
    model = Parent()
    model.cell.again = model.notify
    assert [p.data for p in model.parameters()] == [1.0, 2.0]


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


def test_a_model_that_is_a_key_of_its_own_dict_is_shown_and_saved():
    class Model(Module):
        def __init__(self):
            self.d = {self: Value(0.3), "a": Value(0.4)}

    model = Model()
    assert [name for name, _ in model.named_parameters()] == ["d.0", "d.a"]
    assert repr(model) == "Model(), 2 parameters"
    assert model.state_dict() == {"d.0": 0.3, "d.a": 0.4}


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
