"""Constants that calls keep in a model are states, and no parameters."""

import copy
import inspect
import pickle
from collections import deque
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest

from micrograd_cn import Value, no_grad
from micrograd_cn.nn import Module
from micrograd_cn.optim import SGD

from .models import BECAME_COMPUTED, Keeper, State


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


@pytest.mark.parametrize("look", [lambda model: model.parameters() and model.state_dict(), Module.state_dict])
@pytest.mark.parametrize("keeps_output", [False, True])
def test_constants_that_a_call_puts_into_a_collection_are_no_parameters(look, keeps_output):
    model = Filling()
    for x, mean in ((1.0, 1.0), (2.0, 2.5)):
        y = model(x)
        model.out = y if keeps_output else None
        assert look(model) == {"w": 0.5, "means": [mean]}
        assert SGD(model.parameters()).parameters == [model.w, model.means[0]]
    model.out = None
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


def test_a_state_that_begins_as_a_parameter_is_answered_with_a_warning():
    """A state and a weight look alike, as in `self.w = self.w / norm`, which training no longer changes."""
    for use in (State.__call__, State.forward, State.step):
        model = State()
        with pytest.warns(UserWarning, match=BECAME_COMPUTED.format("add|tanh", r"h(s\[0\])?")) as record:
            found = [use(model, 1.0), *model.parameters()]
        assert found[1:] == [model.w, model.u]
        assert {warning.filename for warning in record} <= {inspect.getfile(State), __file__}
        use(model, 1.0)
        assert model.parameters() == [model.w, model.u], "nothing is lost the second time"
        model.h, model.hs = 0.0, [0.0]
        use(model, 1.0)
        model.h, model.hs = Value(0.0), [Value(0.0)]
        assert len(model.parameters()) == 4
    with pytest.warns(UserWarning, match="was a parameter"):
        found = [model.step(1.0), *model.state_dict()]
    assert found[1:] == ["w", "u"]


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
    with pytest.raises(ValueError, match=r"'held\.0\.h', .* are missing; .* assigned State\.h"):
        Keeper([State(), {}]).load_state_dict(Keeper([called, {}]).state_dict())
    with pytest.raises(ValueError, match=r"'held\.a' is missing$"):
        Keeper({"a": Value(1.0), "b": 1.0}).load_state_dict({})


class Places(Module):
    """A model with all kinds of places for a state, and one parameter."""

    def __init__(self):
        self.w, self.none, self.numbers, self.objects = Value(0.5), None, np.zeros(2), np.zeros(2, dtype=object)
        self.list, self.deque, self.dict, self.rows, self.object = [], deque(), {}, [[0.0]], SimpleNamespace(h=0.0)

    def forward(self, x, keep):
        h = self.w * x
        keep(self, h)
        return h


KEEPING = {
    "an array in the place of numbers": lambda model, h: setattr(model, "numbers", np.array([h.detach()])),
    "an array in the place of None": lambda model, h: setattr(model, "none", np.array([[h.detach()] * 2])),
    "an array in a new attribute": lambda model, h: setattr(model, "new", np.array([h.detach()])),
    "an object": lambda model, h: setattr(model, "object", SimpleNamespace(hs=[h.detach()])),
    "an object with an array": lambda model, h: setattr(model, "none", SimpleNamespace(h=np.array([h.detach()]))),
    "an object in a new attribute": lambda model, h: setattr(model, "new", SimpleNamespace(h=h.detach())),
    "an attribute of an object": lambda model, h: setattr(model.object, "h", h.detach()),
    "an element of an array": lambda model, h: model.objects.__setitem__(0, h.detach()),
    "a longer list": lambda model, h: model.list.append(h.detach()),
    "tuples in a list": lambda model, h: model.list.append((h.detach(), 1.0)),
    "a list in a list": lambda model, h: model.rows[0].__setitem__(0, h.detach()),
    "a longer deque": lambda model, h: model.deque.append(h.detach()),
    "an item of a dict": lambda model, h: model.dict.update(h=h.detach()),
}


@pytest.mark.parametrize("keep", KEEPING.values(), ids=KEEPING)
@pytest.mark.parametrize("look", [Module.state_dict, lambda model: model.parameters() and model.state_dict()])
def test_detached_constants_are_no_parameters_wherever_a_call_keeps_them(keep, look):
    model = Places()
    for x in (1.0, 2.0, 3.0):
        model(x, keep)
        assert list(look(copy.deepcopy(model))) == list(look(pickle.loads(pickle.dumps(model)))) == ["w"]
        model(x, keep)
        assert look(model) == {"w": 0.5}
        assert model.parameters() == [model.w]
    Places().load_state_dict(model.state_dict())


@pytest.mark.parametrize("row", [lambda h: h, lambda h: [h], lambda h: [1.0, h]])
def test_detached_constants_in_lists_alone_are_no_parameters(row):
    """A model that consists of lists alone is searched in a faster way."""
    model = Keeper([])
    model.w = Value(0.5)
    for _ in range(4):
        model.held.append(row((model.w * 2.0).detach()))
        assert model.parameters() == [model.w]
    assert model.state_dict() == {"w": 0.5}


@pytest.mark.parametrize("kind", [list, tuple, deque, np.array, lambda ps: {"a": ps[0]}, lambda ps: ps[0]])
def test_detached_weights_that_a_user_puts_into_a_model_are_parameters(kind):
    """They are in the state, whether `__init__` or a later assignment makes the attribute, and can be trained."""

    class Copied(Module):
        def __init__(self, given):
            self.u, self.ws = Value(1.0), given

    weights, later = kind([Value(2.0).detach()]), kind([Value(3.0).detach()])
    model = Copied(weights)
    model.later = later
    for _ in range(2):
        assert [path.split(".")[0] for path, _ in model.named_parameters()] == ["u", "ws", "later"]
        assert len(copy.deepcopy(model).parameters()) == len(model.parameters()) == 3
        assert len(model.state_dict()) == 3
    model.parameters()[1].requires_grad = True
    (model.parameters()[1] * 2.0).backward()
    assert [p.grad for p in model.parameters()] == [0.0, 2.0, 0.0]


def put_into_a_row(rows, h):
    rows[1][:] = [h]


# For each kind of collection: functions that make it with a weight, return the weight, and put a state there
BESIDE = {
    "attribute": (lambda w: SimpleNamespace(w=w, h=0.0), lambda s: s.w, lambda s, h: setattr(s, "h", h)),
    "new attribute": (lambda w: SimpleNamespace(w=w), lambda s: s.w, lambda s, h: setattr(s, "h", h)),
    "value": (lambda w: {"w": w, "h": 0.0}, lambda s: s["w"], lambda s, h: s.update(h=h)),
    "item": (lambda w: [w, 0.0], lambda s: s[0], lambda s, h: s.__setitem__(1, h)),
    "slice": (lambda w: [w], lambda s: s[0], lambda s, h: s.__setitem__(slice(1, None), [h])),
    "appended": (lambda w: [w], lambda s: s[0], lambda s, h: s.append(h)),
    "row": (lambda w: [[w], []], lambda s: s[0][0], put_into_a_row),
    "deque": (lambda w: deque([w, 0.0]), lambda s: s[0], lambda s, h: s.__setitem__(1, h)),
    "element": (lambda w: np.array([w, 0.0], dtype=object), lambda s: s[0], lambda s, h: s.__setitem__(1, h)),
    "nested": (lambda w: {"a": [w, (0.0, {})]}, lambda s: s["a"][0], lambda s, h: s["a"][1][1].update(h=h)),
}


class Beside(Module):
    """A model that has its weight in a collection, and whose calls put a state beside it."""

    def __init__(self, kind):
        make, _, _ = BESIDE[kind]
        self.kind, self.state = kind, make(Value(0.5))

    def __call__(self, x):
        _, weight, put = BESIDE[self.kind]
        y = weight(self.state) * x
        put(self.state, y.detach())
        return y


@pytest.mark.parametrize("lists", [True, False])
@pytest.mark.parametrize("kind", BESIDE)
def test_constants_that_calls_put_beside_a_trained_parameter_are_no_parameters(kind, lists):
    """They take the place of a number, or of nothing, in a collection that has parameters, too."""
    model = Beside(kind)
    w, optimizer = BESIDE[kind][1](model.state), SGD(model.parameters(), lr=0.01)
    for x in (1.0, 2.0, 3.0):
        model(x).backward()
        optimizer.step()
        if lists:
            assert model.parameters() == [w]
    copied = copy.deepcopy(model), pickle.loads(pickle.dumps(model))
    assert [len(m.parameters()) for m in (model, *copied)] == [1, 1, 1]
    assert len(model.state_dict()) == 1


def test_constants_that_replace_a_frozen_parameter_beside_a_trained_one_are_parameters():
    model = Keeper(SimpleNamespace(w=Value(0.5), mean=Value(0.0, requires_grad=False)))
    for _ in range(3):
        model.held.mean = (model.held.mean * 0.5 + model.held.w).detach()
        assert list(model.state_dict()) == ["held.w", "held.mean"]
