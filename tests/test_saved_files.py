"""Pickles and saved models of version 0.2 can still be loaded, and compute the numbers that they computed then.

`saved_by_0_2.json` holds pickles, a saved model, and the numbers that version 0.2 computed with them. It was written by
`python tests/test_saved_files.py`, with version 0.2 on the path.
"""

import base64
import json
import pickle
import random
import subprocess
import sys
from pathlib import Path

import pytest

import micrograd_cn as mc
from micrograd_cn import Op, Value
from micrograd_cn.functional import sparse_jacobian
from micrograd_cn.nn import MLP, Layer
from micrograd_cn.optim import SGD, Adam, AdamW, RMSprop, cosine_lr, linear_lr, step_lr, warmup

PATH = Path(__file__).with_name("saved_by_0_2.json")
SAVED = json.loads(PATH.read_text("utf-8")) if PATH.exists() else {"pickles": {}}
OPTIMISERS = {
    "SGD": lambda ps: SGD(ps, lr=0.1, momentum=0.9),
    "RMSprop": RMSprop,
    "Adam": Adam,
    "AdamW": AdamW,
}


def stepped(optimizer):
    """Return the optimiser after one step."""
    for k, p in enumerate(optimizer.parameters):
        p.grad = 0.5 - k
    optimizer.step()
    return optimizer


def things():
    """Yield names and objects of all kinds that can be pickled."""
    x = Value(2.0, "x")
    x.grad = 3.0
    yield "value", x
    yield "constant", Value(2.0).detach()
    for name in ("tanh", "add", "take", "softmax", "mean"):
        yield name, getattr(mc, name)
    random.seed(0)
    yield "network", MLP(2, [2, 1])
    yield "layer", Layer(2, 2, activation="tanh")
    for name, make in OPTIMISERS.items():
        yield f"{name}, fresh", make([Value(1.0, "a"), Value(-2.0)])
        yield f"{name}, stepped", stepped(make([Value(1.0, "a"), Value(-2.0)]))
    model = MLP(1, [1])
    yield "network and its optimiser", (model, stepped(Adam(model.parameters())))
    yield "schedules", [cosine_lr(0.1, 10, 0.01), linear_lr(0.1, 8), step_lr(0.1, 2, 0.5), warmup(step_lr(0.1, 3), 4)]
    with mc.scope("attention"), mc.scope("scores") as group:
        yield "scope", group
    yield "sparse Jacobian", sparse_jacobian(lambda v: [v[0] * v[1], v[1]])([2.0, 3.0])
    notation = mc.tanh.notation if hasattr(mc.tanh, "notation") else mc.tanh.looks
    yield "parts of a row", (Op, notation)


def computed(name, thing):
    """Return a list of numbers and texts that the object computes, by which two pickles are compared."""
    if name in ("value", "constant"):
        y = thing * thing + 1.0
        return [thing.data, thing.grad, thing.label, thing.requires_grad, y.data, *y.partials]
    if name in ("tanh", "add"):
        return [thing(*[0.3, 0.7][: thing.arity]), thing.name, thing is mc.OPS[name]]
    if name in ("take", "softmax", "mean"):
        found = thing([0.3, 0.7, 0.5], 1) if name == "take" else thing([0.3, 0.7, 0.5])
        return [found]
    if name in ("network", "layer"):
        y = thing([0.5, -1.0])
        y = mc.sum(y) if isinstance(y, list) else y
        thing.zero_grad()
        y.backward()
        return [y.data, *[p.grad for p in thing.parameters()], str(y.group), repr(thing)]
    if name == "network and its optimiser":
        model, optimizer = thing
        stepped(optimizer)
        return [optimizer.steps, *[p.data for p in model.parameters()]]
    if name == "schedules":
        return [schedule(k) for schedule in thing for k in range(12)]
    if name == "scope":
        return [str(thing), thing.scope]
    if name == "sparse Jacobian":
        return [*thing.values, *thing.rows, *thing.columns, *thing.shape]
    if name == "parts of a row":
        kind, notation = thing
        return [kind.__name__, kind is type(mc.tanh), *notation[:4]]  # in version 0.2, a notation had four fields
    stepped(thing)
    return [thing.steps, *[p.data for p in thing.parameters], *[x for state in thing.state for x in state.values()]]


def test_everything_that_can_be_pickled_is_looked_at():
    """The file has a pickle of each object that `things` yields, so none of them is left untested."""
    assert SAVED["pickles"].keys() == dict(things()).keys()


@pytest.mark.parametrize("name", SAVED["pickles"])
def test_what_version_0_2_pickled_is_loaded_and_computes_what_it_did(name):
    thing = pickle.loads(base64.b64decode(SAVED["pickles"][name]))
    assert type(thing) is type(dict(things())[name])
    found, expected = computed(name, thing), SAVED["computed"][name]
    for ours, theirs in zip(found, expected, strict=True):  # another C library may round exp in another way
        assert ours == (pytest.approx(theirs, rel=1e-14) if type(theirs) in (float, list) else theirs)


@pytest.mark.parametrize("name", SAVED["pickles"])
def test_what_version_0_2_pickled_has_every_attribute_that_the_same_object_has_today(name):
    loaded, today = pickle.loads(base64.b64decode(SAVED["pickles"][name])), dict(things())[name]
    pairs = zip(loaded, today, strict=True) if type(today) in (list, tuple) else [(loaded, today)]
    assert [a for old, new in pairs for a in dir(new) if hasattr(new, a) and not hasattr(old, a)] == []


@pytest.mark.parametrize("name", SAVED["pickles"])
def test_what_is_pickled_today_is_loaded_and_computes_the_same(name):
    """An object that is pickled and loaded by this version computes what the original computes."""
    thing = dict(things())[name]
    again = pickle.loads(pickle.dumps(thing))
    assert computed(name, again) == computed(name, thing)


def test_pickles_of_version_0_2_are_loaded_by_a_process_that_has_imported_nothing():
    code = (
        "import base64, json, pickle, sys; sys.path.insert(0, sys.argv[2])\n"
        "for pickled in json.load(open(sys.argv[1], encoding='utf-8'))['pickles'].values():\n"
        "    print(type(pickle.loads(base64.b64decode(pickled))).__name__)"
    )
    root = Path(mc.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code, PATH, root], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [type(thing).__name__ for _, thing in things()]


def test_a_model_that_version_0_2_saved_is_loaded(tmp_path):
    path = tmp_path / "model.json"
    path.write_text(SAVED["model"], "utf-8")
    model = MLP(2, [2, 1], seed=1)
    model.load(path)
    assert [p.data for p in model.parameters()] == SAVED["parameters"]
    model.save(path)
    assert path.read_text("utf-8") == SAVED["model"]


if __name__ == "__main__":
    random.seed(1)
    model = MLP(2, [2, 1])
    model.save(PATH)
    saved = {
        "pickles": {name: base64.b64encode(pickle.dumps(thing)).decode() for name, thing in things()},
        "computed": {name: computed(name, thing) for name, thing in things()},
        "model": PATH.read_text("utf-8"),
        "parameters": [p.data for p in model.parameters()],
    }
    PATH.write_text(json.dumps(saved, indent=1) + "\n", "utf-8")
