"""Methods `parameters` of users that add parameters to those of a base class, as code for micrograd does."""

import inspect
import random

import pytest

from micrograd_cn import nn
from micrograd_cn.compiler import compile as compile_function
from micrograd_cn.engine import Value
from micrograd_cn.nn import MLP, Layer, Module, Neuron
from micrograd_cn.optim import SGD


class Scaled(MLP):
    """A network with a factor, which the subclasses add to the parameters in different ways."""

    def __init__(self):
        super().__init__(2, [3, 1])
        self.scale = Value(1.0)

    def __call__(self, x):
        return super().__call__(x) * self.scale


class Sum(Scaled):
    def parameters(self):
        return super().parameters() + [self.scale]  # noqa: RUF005  # the sum that code for micrograd writes


class Unpacked(Scaled):
    def parameters(self):
        return [*super().parameters(), self.scale]


class Appended(Scaled):
    def parameters(self):
        listed = super().parameters()
        listed.append(self.scale)
        return listed


class Yielded(Scaled):
    def parameters(self):
        yield from super().parameters()
        yield self.scale


class Tupled(Scaled):
    def parameters(self):
        return (*MLP.parameters(self), self.scale)


class FromModule(Scaled):
    def parameters(self):
        inside = [p for layer in self.layers for p in layer.parameters()]
        return Module.parameters(self) + inside + [self.scale]


class Mixin:
    def parameters(self):
        return [*super().parameters(), self.scale]


class Mixed(Mixin, Scaled):
    pass


class Below(Sum):
    def parameters(self):
        return [*super().parameters(), self.scale]


class ByFilter(Scaled):
    def parameters(self):
        return [*[p for p in super().parameters() if p is not self.layers[0].neurons[0].b], self.scale]


ADDING = [Sum, Unpacked, Appended, Yielded, Tupled, FromModule, Mixed]


@pytest.mark.parametrize("kind", ADDING)
def test_a_parameter_that_super_finds_and_the_method_adds_is_listed_once(kind):
    model = kind()
    weights = [p for layer in model.layers for neuron in layer.neurons for p in (*neuron.w, neuron.b)]
    for _ in range(3):
        listed = list(model.parameters())
        assert [id(p) for p in listed] == [id(p) for p in (*weights, model.scale)]
    assert repr(model).startswith(f"MLP(2, [3, 1]), {len(listed)} parameters")


@pytest.mark.parametrize("kind", ADDING)
def test_a_loop_an_optimiser_and_fit_update_it_once(kind):
    models, rate = [], 0.1
    for _ in range(3):
        random.seed(0)
        models.append(kind())
    by_hand, by_step, by_fit = models

    def loss(model):
        return (model([1.0, 2.0]) - 3) ** 2

    loss(by_hand).backward()
    wanted = [p.data - rate * p.grad for p in dict.fromkeys(by_hand.parameters())]
    for p in by_hand.parameters():
        p.data -= rate * p.grad
    optimizer = SGD(by_step.parameters(), lr=rate)
    by_step.zero_grad()
    loss(by_step).backward()
    optimizer.step()
    compile_function(lambda x: (by_fit(x) - 3) ** 2).fit([[[1.0, 2.0]]], SGD(by_fit.parameters(), lr=rate), epochs=1)
    for model in models:
        assert [p.data for p in model.parameters()] == pytest.approx(wanted, abs=1e-12)


def test_the_order_is_that_of_the_method():
    class First(Scaled):
        def parameters(self):
            return [self.scale, *super().parameters()]

    class Early(MLP):
        def __init__(self):
            self.scale = Value(1.0)
            super().__init__(2, [1])

        def parameters(self):
            return [*super().parameters(), self.scale]

    first, early = First(), Early()
    assert first.parameters()[0] is first.scale
    assert len(first.parameters()) == 14
    assert early.parameters()[-1] is early.scale
    assert len(early.parameters()) == 4


def test_several_methods_of_one_model_may_each_add_a_parameter():
    class A(Module):
        def __init__(self):
            super().__init__()
            self.a = Value(1.0)

        def parameters(self):
            return [*super().parameters(), self.a]

    class B(Module):
        def __init__(self):
            super().__init__()
            self.b = Value(2.0)

        def parameters(self):
            return [*Module.parameters(self), self.b]

    class Both(A, B):
        def parameters(self):
            return A.parameters(self) + B.parameters(self)

    class One(A, B):
        pass

    assert [p.data for p in One().parameters()] == [2.0, 1.0]
    assert [p.data for p in Both().parameters()] == [2.0, 1.0, 2.0]  # as in micrograd: A calls the method of B too
    below = Below()
    assert sum(p is below.scale for p in below.parameters()) == 2  # two methods add it, in micrograd too


def test_lists_of_leaves_and_other_layers_may_be_added():
    class Wide(Layer):
        def __init__(self):
            super().__init__(2, 2)
            self.scales, self.skip = [Value(1.0), Value(2.0)], Layer(2, 1)

        def parameters(self):
            return super().parameters() + self.scales + self.skip.parameters()

    class Bare(Neuron):
        def parameters(self):
            return [*super(Neuron, self).parameters(), self.b]

    wide = Wide()
    assert len(wide.parameters()) == len({*wide.parameters()}) == 11
    assert len(Bare(2).parameters()) == 3
    outer = MLP(2, [1])
    outer.layers.insert(0, wide)
    assert len(outer.parameters()) == 14


def test_a_filter_keeps_its_meaning():
    model = ByFilter()
    assert len(model.parameters()) == 13
    assert model.layers[0].neurons[0].b not in model.parameters()
    assert sum(p is model.scale for p in model.parameters()) == 1


def test_leaves_that_micrograd_lists_twice_are_listed_twice():
    class Twice(Neuron):
        def parameters(self):
            return [*super().parameters(), self.b]

    class Tied(Module):
        def __init__(self):
            self.a = Sum()
            self.b = self.a

        def parameters(self):
            return self.a.parameters() + self.b.parameters()

    twice = Twice(2)
    assert [p is twice.b for p in twice.parameters()] == [False, False, True, True]
    assert len(Tied().parameters()) == 28


@pytest.mark.parametrize("of", ["class", "model"])
def test_a_method_that_is_assigned_later_lists_each_parameter_once(of):
    class Late(Scaled):
        pass

    model = Late()
    model.parameters()
    model.parameters()
    if of == "class":
        Late.parameters = lambda self: [*super(Late, self).parameters(), self.scale]
    else:
        model.parameters = lambda: [*MLP.parameters(model), model.scale]
    for _ in range(3):
        assert len(model.parameters()) == len({*model.parameters()}) == 14
    assert len(MLP.parameters(model)) == 14  # the other method is not running
    assert MLP.parameters(model).count(model.scale) == 1


def test_a_method_that_is_assigned_to_mlp_lists_each_parameter_once(monkeypatch):
    model, former = MLP(2, [1]), MLP.parameters
    model.extra = Value(1.0)
    model.parameters()
    model.parameters()
    monkeypatch.setattr(MLP, "parameters", lambda self: [*former(self), self.extra])
    assert [p is model.extra for p in model.parameters()] == [False, False, False, True]
    assert [p is model.extra for p in model.parameters()] == [False, False, False, True]


def test_the_state_of_such_a_model_is_saved_and_loaded(tmp_path):
    trained, model = Sum(), Sum()
    trained.scale.data = 7.0
    trained.save(tmp_path / "model.json")
    model.load(tmp_path / "model.json")
    assert model.state_dict() == trained.state_dict()
    assert model.scale.data == 7.0


def test_the_method_keeps_its_name_and_its_result():
    class Kept(Module):
        def __init__(self):
            self.w = [Value(1.0)]

        def parameters(self):
            """Return the list itself."""
            return self.w

    kept = Kept()
    assert kept.parameters() is kept.w
    assert Kept.parameters.__name__ == "parameters"
    assert inspect.getdoc(Kept.parameters) == "Return the list itself."
    assert next(Yielded().parameters()).label == "w0"


@pytest.mark.parametrize("kind", [Neuron, Layer, MLP])
def test_the_classes_of_nn_have_their_own_method_parameters(kind):
    assert "parameters" in vars(kind)
    assert "zero_grad" not in vars(kind)

    class Base(Module):
        def parameters(self):
            return []

    class Net(kind, Base):
        pass

    sizes = {Neuron: (2,), Layer: (2, 1), MLP: (2, [1])}
    assert len(Net(*sizes[kind]).parameters()) == 3


def test_a_method_that_is_assigned_to_module_leaves_mlp_as_it_is(monkeypatch):
    class Own(Module):
        def __init__(self):
            self.w = Value(1.0)

    monkeypatch.setattr(Module, "parameters", lambda self: [])
    assert [len(x.parameters()) for x in (MLP(2, [1]), Layer(2, 1), Neuron(2), Own())] == [3, 3, 3, 0]


@pytest.mark.parametrize(("kind", "left"), [("Neuron", 9), ("Layer", 0)])
def test_a_method_that_is_assigned_to_a_part_is_asked_by_models_that_were_listed_before(monkeypatch, kind, left):
    model = MLP(2, [3, 1])
    for _ in range(3):
        assert len(model.parameters()) == 13
    list_weights = (lambda self: self.w) if kind == "Neuron" else (lambda self: [])
    monkeypatch.setattr(getattr(nn, kind), "parameters", list_weights)
    assert [len(model.parameters()) for _ in range(3)] == [left] * 3
    monkeypatch.undo()
    assert [len(model.parameters()) for _ in range(3)] == [13] * 3


def test_a_method_of_a_part_may_list_other_parameters_each_time(monkeypatch):
    model, frozen = MLP(2, [3, 1]), []
    monkeypatch.setattr(Neuron, "parameters", lambda self: [] if frozen else [*self.w, self.b])
    assert [len(model.parameters()) for _ in range(3)] == [13] * 3
    frozen.append(True)
    assert model.parameters() == []
