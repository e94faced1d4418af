"""What is shown of a graph: a box a value, an edge an operand slot, networks folded."""

import math
import re

import pytest

from micrograd_cn import Value, draw_dot
from micrograd_cn.nn import MLP

from .svg import parsed


@pytest.mark.parametrize("f", [lambda a: a + a, lambda a: a * a, lambda a: a - a, lambda a: a / a])
def test_an_operand_used_twice_has_two_edges(f):
    boxes, edges = parsed(draw_dot(f(Value(3))))
    assert (len(boxes), len(edges)) == (2, 2)


def test_sixty_doublings_draw_61_boxes():
    y = Value(1)
    for _ in range(60):
        y = y + y
    source = draw_dot(y).source
    assert len(re.findall(r"\[label=.*data", source)) == 61
    assert source.count("->") == 120


def test_a_deep_graph_is_drawn_without_recursion():
    y = Value(1)
    for _ in range(20_000):
        y = y + 1
    assert draw_dot(y, max_nodes=50_000).source.count("->") == 40_000


def test_a_network_folds_to_a_picture_that_one_can_read():
    model = MLP(2, [16, 16, 1], seed=0)
    y = model([Value(1, "x1"), Value(2, "x2")])
    y.backward()
    boxes, edges = parsed(draw_dot(y))
    assert len(boxes) == 5
    assert len(edges) == 4
    for i, layer in enumerate(model.layers):
        [lines] = [lines for lines in boxes if lines[0] == f"layers.{i}"]
        parameters = layer.parameters()
        count = len(parameters) + len(layer.neurons) * (1 if i == 2 else 2)
        assert lines[1:] == [f"{count} nodes", f"|grad| {math.hypot(*[p.grad for p in parameters]):.4g}"]


def test_folding_by_neuron_by_layer_and_not_at_all():
    y = MLP(2, [3, 2, 1], seed=0)([Value(1), Value(2)])
    y.backward()
    assert len(parsed(draw_dot(y, fold="neuron"))[0]) == 2 + 6
    assert len(parsed(draw_dot(y, fold="layer"))[0]) == 2 + 3
    everything = 2 + (3 * 3 + 2 * 4 + 3) + (6 + 5)
    assert len(parsed(draw_dot(y, fold=None))[0]) == everything
    assert [lines for lines in parsed(draw_dot(y, fold="layer"))[1] if lines == ["6×"]] == [["6×"]]


def test_an_activation_of_several_operations_is_folded_with_its_neuron():
    y = MLP(1, [2, 1], activation=lambda v: v * v.sigmoid() + 1, seed=0)([Value(1, "x")])
    boxes, _ = parsed(draw_dot(y, fold="neuron"))
    assert sorted(lines[0] for lines in boxes) == [
        "layers.0.neurons.0",
        "layers.0.neurons.1",
        "layers.1.neurons.0",
        "x",
    ]


def test_two_networks_in_one_graph_are_not_mixed_up():
    x = Value(1, "x")
    y = MLP(1, [2, 1], seed=0)([MLP(1, [2, 1], seed=1)([x])])
    boxes, edges = parsed(draw_dot(y, fold="layer"))
    assert [lines[0] for lines in boxes].count("layers.0") == 2
    assert (len(boxes), len(edges)) == (5, 4)


def test_the_same_network_on_many_samples_folds_into_the_same_boxes():
    model = MLP(1, [4, 1], seed=0)
    total = sum([model([Value(i)]) for i in range(30)], 0.0)
    boxes, _ = parsed(draw_dot(total, fold="layer"))
    assert [lines[0] for lines in boxes].count("layers.0") == 1


def test_larger_pictures_have_fewer_edge_labels():
    def chain(n):
        y = Value(0.5, "x")
        for _ in range(n):
            y = y.sin()
        y.backward()
        return [label for lines in parsed(draw_dot(y))[1] for label in lines]

    assert all("→" in label for label in chain(50))
    assert all("→" not in label for label in chain(100))
    assert len(chain(100)) == 100
    assert chain(200) == []


@pytest.mark.parametrize(
    ("lang", "message"),
    [
        ("en", "would have 501 boxes, more than max_nodes=400; draw a smaller part"),
        ("zh", "会有 501 个框，超过了 max_nodes=400"),
    ],
)
def test_beyond_the_limit_the_error_says_what_to_do(lang, message):
    y = Value(1)
    for _ in range(500):
        y = y.sin()
    with pytest.raises(ValueError, match=message):
        draw_dot(y, lang=lang)
    assert len(parsed(draw_dot(y, max_nodes=501))[0]) == 501
    with pytest.raises(ValueError, match='use fold="layer"'):
        draw_dot(MLP(20, [20, 20], seed=0)([1.0] * 20)[0] * 1, fold=None, lang="en", max_nodes=50)
