"""An assignment to an attribute takes no parameter out of a model without a word."""

import copy
import pickle
from collections import deque
from dataclasses import FrozenInstanceError, dataclass, field
from decimal import Decimal
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from micrograd_cn import Value, no_grad
from micrograd_cn.nn import MLP, Layer, Module, Neuron
from micrograd_cn.optim import SGD
from micrograd_cn.parameters import assignment, members

from .models import BECAME_COMPUTED, Kept, Many, data


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


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("number", [0.5, Decimal(2), np.ones(2), [0.5], {"a": (0.5,)}])
@pytest.mark.parametrize(
    "around", [list, tuple, deque, lambda x: dict(enumerate(x)), lambda x: np.fromiter(x, object), lambda x: [[], x]]
)
def test_a_number_beside_parameters_is_refused_wherever_it_stands(around, number, place):
    """Parameters before and after the number do not hide it."""
    model = Kept()
    model.ws = around([Value(float(k)) for k in range(3)])
    mixed = [Value(float(k)) for k in range(3)]
    mixed[place] = number
    with pytest.raises(TypeError, match=r"Kept\.ws = \.\.\. would replace parameters by numbers"):
        model.ws = around(mixed)


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

    for each in (members, assignment):
        monkeypatch.setattr(each, "walk", walk)
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
    with pytest.raises(TypeError, match=r"^Many\.b is computed \(mul\), so it is no parameter"):
        model.parameters()  # nothing has the leaf from which it was computed
    model.b = model.w = model.object.w * 2.0
    model.array = [0.5]
    assert data(model) == [2.0, 3.0, 5.0, 1.0, 10.0]


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


@pytest.mark.parametrize("part", [lambda m: m, lambda m: m.layers[0], lambda m: m.layers[0].neurons[0]])
def test_what_users_add_to_a_network_of_this_package_is_guarded(part):
    """Users add a scale or a temperature to an `MLP`, too."""
    model = MLP(1, [2, 1])
    part(model).scale, part(model).gains = Value(2.0), [Value(1.0), Value(3.0)]
    copied = copy.deepcopy(model)
    for m in (model, copied, pickle.loads(pickle.dumps(model))):
        with pytest.raises(TypeError, match=r"\.scale = \.\.\. would replace parameters by numbers"):
            part(m).scale = 0.5
        with pytest.raises(TypeError, match=r"\.scale = \.\.\. would replace parameters by what is computed \(mul\)"):
            part(m).scale *= 0.5
        with pytest.raises(TypeError, match=r"\.gains = \.\.\. would replace parameters by numbers"):
            part(m).gains = [1.0, 2.0]
        part(m).gains[1] = 0.5
        for ask in (m.parameters, lambda m=m: dict(m.named_parameters())):
            with pytest.raises(TypeError, match=r"\.gains\[1\] is 0\.5, where a parameter was"):
                ask()
        part(m).gains[1] = Value(0.5)
        assert len(m.parameters()) == 10
        del part(m).scale, part(m).gains
        part(m).scale = part(m).gains = 0.5
        assert len(m.parameters()) == 7


def test_an_item_of_a_plain_module_object_is_guarded():
    model = Module()
    model.gains = [Value(1.0), Value(3.0)]
    model.gains[0] = 0.5
    with pytest.raises(TypeError, match=r"^Module\.gains\[0\] is 0\.5, where a parameter was"):
        model.zero_grad()


def test_the_attributes_of_networks_that_need_no_guard_are_those_that_init_makes():
    for model in (MLP(1, [1]), Layer(1, 1), Neuron(1)):
        assert vars(model).keys() == type(model).made_by_init - {"activation"}
