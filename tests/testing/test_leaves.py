"""The strategies for leaves and for small networks."""

from math import inf

from hypothesis import strategies as st

from micrograd_cn import Value
from micrograd_cn.nn import MLP
from micrograd_cn.testing import networks, strategies, values

from .drawing import drawn_from


def test_leaves_are_between_the_bounds_and_some_are_labelled():
    found = drawn_from(values(-2.0, 3.0), 90)
    assert all(isinstance(v, Value) and v.op is None and -2.0 <= v.data <= 3.0 for v in found)
    labels = {v.label for v in found}
    assert "" in labels
    assert 1 <= max(map(len, labels)) <= 8


def test_leaves_are_of_every_magnitude_that_floats_have():
    numbers = [v.data for v in drawn_from(values(), 240)]
    assert min(numbers) < -1e10 < 1e10 < max(numbers)
    sizes = [abs(x) for x in numbers]
    assert max(sizes) > 1e120
    assert min(size for size in sizes if size) < 1e-120
    assert max(sizes) < inf


def test_networks_have_one_to_three_layers_of_few_neurons_and_inputs_that_suit_them():
    found = drawn_from(networks(2), 36)
    assert {len(model.layers) for model, _ in found} == {1, 2, 3}
    widths = [[len(x), *[len(layer.neurons) for layer in model.layers]] for model, x in found]
    for (model, _), counts in zip(found, widths, strict=True):
        assert [len(layer.neurons[0].w) for layer in model.layers] == counts[:-1]
    assert {n for counts in widths for n in counts} == {1, 2}
    assert all(isinstance(model, MLP) for model, _ in found)


def test_parameters_and_inputs_of_networks_are_within_2_of_0():
    found = drawn_from(networks(), 24)
    parameters = [p.data for model, _ in found for p in model.parameters()]
    inputs = [x for _, xs in found for x in xs]
    for numbers in (parameters, inputs):
        assert all(-2.0 <= x <= 2.0 for x in numbers)
        assert min(numbers) < -1.0
        assert max(numbers) > 1.0
    assert max(len(model.layers[0].neurons) for model, _ in found) == 3


def test_networks_have_the_activations_that_are_asked_for():
    shown = "".join(repr(model) for model, _ in drawn_from(networks(1, ("relu", "sin")), 30))
    assert all(name in shown for name in ("relu", "sin"))
    assert "tanh" not in shown


def test_values_are_registered_where_hypothesis_looks_for_types(monkeypatch):
    registered = []
    monkeypatch.setattr(st, "register_type_strategy", lambda kind, function: registered.append((kind, function)))
    strategies.register()
    [(kind, function)] = registered
    assert kind is Value
    assert all(isinstance(v, Value) for v in drawn_from(function(Value), 6))
