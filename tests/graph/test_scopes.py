"""Nodes belong to the innermost scope in which they were recorded, and pictures fold by scopes."""

import pytest

from micrograd_cn import Value, draw_dot, no_grad, scope
from micrograd_cn.graph import context
from micrograd_cn.nn import MLP

from ..picture.svg import boxes


def test_nodes_belong_to_the_innermost_scope_and_to_none_outside():
    x = Value(2, "x")
    before = x * 3
    with scope("outer"):
        first = x + 1
        with scope("inner"):
            second = x.exp()
        third = Value(1) * x
    after = x - 1
    groups = [str(node.group) for node in (before, first, second, third, after)]
    assert groups == ["None", "outer", "outer.inner", "outer", "None"]
    assert x.group is None


def test_each_entry_and_each_call_is_a_part_of_its_own():
    @scope("square")
    def square(x):
        return x * x

    a, b = square(Value(2)), square(Value(3))
    assert a.group is not b.group
    assert [str(y.group) for y in (a, b)] == ["square", "square"]


def test_a_scope_ends_with_an_exception_and_holds_beside_modes():
    with pytest.raises(RuntimeError), scope("a"):
        raise RuntimeError
    assert (Value(1) * 2).group is None
    assert not context.active
    with scope("a"), no_grad():
        assert not (Value(1) * 2).requires_grad
    with pytest.raises(TypeError, match='as in scope\\("attention"\\), got <function'):
        scope(lambda x: x)  # a decorator without brackets would return the function that it has decorated
    with pytest.raises(TypeError, match='as in scope\\("attention"\\), got 3'), scope(3):
        pass


def test_a_scope_does_not_change_numbers():
    def run():
        x, w = Value(0.5, "x"), Value(-3, "w")
        y = (w * x + 1).tanh() * x + MLP(1, [3, 1], seed=0)(x)
        y.backward()
        return y.data, x.grad, w.grad

    plain = run()
    with scope("all"):
        assert run() == plain


@pytest.mark.parametrize(
    ("fold", "folded"),
    [
        (
            "neuron",
            ["policy.layers.0.neurons.0", "policy.layers.0.neurons.1", "policy.layers.1.neurons.0", "policy.sq"],
        ),
        ("layer", ["policy.layers.0", "policy.layers.1", "policy.sq"]),
        ("scope", ["policy"]),
    ],
)
@pytest.mark.parametrize("activation", ["tanh", "silu", lambda x: x * x + 1])
def test_pictures_fold_by_scopes_and_by_the_layers_in_them(fold, folded, activation):
    x = Value(0.5, "x")
    with scope("policy"):
        y = MLP(1, [2, 1], activation=activation, seed=0)(x)
        with scope("sq"):
            z = y * y + 1
    found = sorted(lines[0] for lines, _ in boxes(draw_dot(z, fold=fold, legend=False)).values())
    assert found == [*folded, "x"]


def test_a_network_used_in_two_scopes_has_its_parameters_outside_of_both():
    model = MLP(1, [1], seed=0)
    with scope("a"):
        y = model(Value(0.5, "x"))
    with scope("b"):
        z = model(y)
    found = sorted(lines for lines, _ in boxes(draw_dot(z, fold="neuron", legend=False)).values())
    assert [box[0] for box in found] == ["a.layers.0.neurons.0", "b.layers.0.neurons.0", "layers.0.neurons.0", "x"]
    assert found[2][1] == "nodes 2"
