"""After `__init__`, a model with a weight that nothing would train is refused."""

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.functional import grad
from micrograd_cn.nn import MLP, Module

from .models import Holder, Keeper


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
    hyper, x, both = MLP(1, [2], seed=0), Value(3), (Value(4), Value(5))
    leaves = [*both]
    sums = [mc.sum(both), mc.sum(both)]  # they share a tuple of operands

    class Expression(Module):
        def __init__(self):
            self.w = Value(2)
            self.y = self.w * Value(5)

    held = [hyper([1.0]), x * 2, x.exp().exp(), (Value(2) * 3).detach(), Value(2, requires_grad=False) * 3, sums]
    del both
    assert [[p.requires_grad for p in Keeper(item).parameters()] for item in held] == [[], [], [], [False], [], []]
    assert leaves[0] in sums[0].parents
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


class Growing(Module):
    """A model whose weights are added after `__init__`. Its call also keeps results, and uses the same collections."""

    def __init__(self):
        self.units, self.named, self.array = [], {}, np.array([None])
        self.b, self.out, self.rows, self.sums = Value(0), None, [[]], []

    def __call__(self, x):
        self.out = x.tanh()
        self.rows[0].append(x * 2)
        sums = self.sums
        sums.insert(0, self.scaled(x) * 3)
        total = []
        for unit in (*self.units, *self.named.values()):
            total.append(unit * x)
        return mc.sum(total) + self.b

    def scaled(self, x):
        self.last = {"scaled": x * 0.5}
        return self.last["scaled"]

    def build(self):
        self.later = [[Value(1) * 0.1]]


@pytest.mark.parametrize(
    ("add", "path"),
    [
        (lambda m: m.units.append(Value(0.5) * 0.1), r"units\.0"),
        (lambda m: m.named.update(a=Value(0.5) * 0.1), r"named\.a"),
        (lambda m: m.array.__setitem__(0, Value(0.5) * 0.1), r"array\.0"),
        (lambda m: setattr(m, "new", Value(0.5) * 0.1), "new"),
        (Growing.build, r"later\.0\.0"),
    ],
)
@pytest.mark.parametrize("inside", [False, True])
def test_a_weight_that_is_computed_and_added_after_init_is_refused(add, path, inside):
    """Nothing would train it. The results that a call keeps are no matter, whatever the call computes them from."""
    model = Growing()
    outer = Keeper({"a": [model]}) if inside else model
    model(Value(2.0))
    assert outer.parameters() == [model.b]
    add(model)
    where = rf"Keeper\.held\.a\.0\.{path}" if inside else rf"Growing\.{path}"
    for ask in (outer.parameters, outer.zero_grad, lambda: dict(outer.named_parameters())):
        with pytest.raises(TypeError, match=rf"^{where} is computed \(mul\), so it is no parameter.*as in Value\(0\.1"):
            ask()
        model(Value(2.0))


@pytest.mark.parametrize("part", [lambda m: m, lambda m: m.layers[0], lambda m: m.layers[0].neurons[0]])
def test_a_weight_that_is_computed_and_added_to_a_network_of_this_package_is_refused(part):
    """Users add a scale or a temperature to an `MLP`, too."""
    model = MLP(1, [2, 1])
    count = len(model.parameters())
    part(model).scale = scale = Value(0.5)
    assert len(model.parameters()) == count + 1
    del part(model).scale
    part(model).scale = scale * 0.1
    assert len(model.parameters()) == count  # the variable still has the leaf
    del scale
    with pytest.raises(TypeError, match=r"^MLP\..*scale is computed \(mul\), so it is no parameter.*as in Value\(0\.1"):
        model.parameters()
    part(model).scale = model([2.0])
    assert len(model.parameters()) == count


def test_a_computed_value_may_be_added_if_somebody_has_its_leaves():
    model, scale = Growing(), Value(3.0)
    model.units.append(scale * 0.1)
    assert model.parameters() == [model.b]


def test_a_class_that_lists_its_parameters_may_compute_them_as_in_micrograd():
    class Own(Module):
        scale = Value(2)

        def __init__(self):
            self.w = Value(3) * 0.1

        def parameters(self):
            return [self.w, self.scale]

    assert [p.data for p in Own().parameters()] == [3 * 0.1, 2.0]


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


REPEATED = [
    (lambda: [Value(0.0)] * 2, r"M\.w has"),
    (lambda: (Value(0.0),) * 3, r"M\.w has"),
    (lambda: np.full((2, 2), Value(0.0)), r"M\.w has"),
    (lambda: [[Value(0.0)] * 2 for _ in range(2)], r"M\.w\[0\] has"),
    (lambda: {"a": [Value(0.0)] * 2}, r"M\.w\['a'\] has"),
]


@pytest.mark.parametrize(("make", "where"), REPEATED)
def test_a_list_that_repeats_one_parameter_in_all_places_is_warned_of(make, where):
    class M(Module):
        def __init__(self):
            self.w = make()

    with pytest.warns(UserWarning, match=rf"{where} one and the same parameter in all \d places, .* for _ in range"):
        M()


def test_weights_may_be_shared_by_some_places_of_a_list_or_by_name():
    shared = Value(1.0)

    class M(Module):
        def __init__(self):
            self.w = [shared, Value(2.0), shared]
            self.toeplitz = [[shared, self.w[1]], [self.w[1], shared]]
            self.by_name = {"encoder": shared, "decoder": shared}
            self.alone, self.same = [shared], shared

    assert len(M().parameters()) == 2
