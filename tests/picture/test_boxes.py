"""A picture has a box for each value and an edge for each operand slot, and folds networks."""

import math
import re

import pytest

from micrograd_cn import Op, Value, draw_dot, mean, scope
from micrograd_cn.engine import topological_order
from micrograd_cn.graph.scopes import Group
from micrograd_cn.nn import MLP, Neuron
from micrograd_cn.ops.traits import Lowerings
from micrograd_cn.picture.boxes import groups_of, readable_flow
from micrograd_cn.picture.cells import legend_label, title

from .svg import boxes, elements, parsed, points, shapes, texts


@pytest.mark.parametrize("captions", [0, 1, 2])
def test_all_lines_of_the_legend_have_as_many_columns(captions):
    """A line of the caption spans all columns, of which the last takes what it needs beyond the legend."""
    texts = [title("leaf"), title("operation"), title("root")]
    rows = legend_label(texts, [title("a caption")] * captions).split("<tr>")[2:]
    columns = [sum(int(span or 1) for span in re.findall(r'<td(?: colspan="(\d+)")?', row)) for row in rows]
    assert columns == [len(texts) + bool(captions)] * (captions + 1)


@pytest.mark.parametrize("f", [lambda a: a + a, lambda a: a * a, lambda a: a - a, lambda a: a / a])
def test_an_operand_used_twice_has_two_edges(f):
    boxes, edges = parsed(draw_dot(f(Value(3))))
    assert (len(boxes), len(edges)) == (2, 2)


def test_sixty_doublings_draw_61_boxes():
    y = Value(1)
    for _ in range(60):
        y = y + y
    source = draw_dot(y).source
    assert len(re.findall(r"\[label=.*>data<", source)) == 61
    assert source.count("->") == 120


@pytest.mark.slow
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
        assert lines[-2:] == [f"nodes {count}", f"|grad| {math.hypot(*[p.grad for p in parameters]):.4g}"]
        assert lines[1:-2] == ([f"data {y.data:.4g}", "grad 1"] if i == 2 else [])


def test_a_folded_layer_has_no_norm_of_gradients_before_the_backward_pass():
    model = MLP(2, [2, 1], seed=0)
    y = model([Value(1.0), Value(2.0)])
    with scope("no parameters"):
        y = [y.exp(), y.sin()]
    y = y[0] * y[1]
    for norm in ("-", "0"):
        rows = {lines[0]: lines[-1] for lines in parsed(draw_dot(y, fold="layer"))[0]}
        assert rows["no parameters"] == f"|grad| {norm}"
        assert [rows[f"layers.{i}"] == "|grad| -" for i in (0, 1)] == [norm == "-"] * 2
        y.backward()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_an_edge_that_stands_for_several_says_how_many_and_shows_their_norm(count):
    x = Value(2.0)
    with scope("inside"):
        y = mean([k * x for k in range(1, count + 1)]) * count
    y.backward()
    [lines] = parsed(draw_dot(y, fold="scope"))[1]
    norm = math.hypot(*range(1, count + 1))
    assert lines == (["× 1", "+1"] if count == 1 else [f"{count} edges", f"norm {norm:.4g}"])


def test_a_folded_neuron_shows_its_output_and_stands_in_its_order():
    model = MLP(2, [3, 2], activation="tanh", seed=0)
    outputs = model([Value(1, "x0"), Value(2, "x1")])
    with scope("L"):
        loss = outputs[0].exp() - outputs[1].exp()
    loss.backward()
    boxes, _ = parsed(draw_dot(loss, fold="neuron"))
    rows = {lines[0]: lines[1:] for lines in boxes}
    for k, z in enumerate(outputs):
        assert rows[f"layers.1.neurons.{k}"][:2] == [f"data {z.data:.4g}", f"grad {z.grad:.4g}"]
    assert rows["L"] == [f"data {loss.data:.4g}", "grad 1", "nodes 3"]
    for k, hidden in enumerate(outputs[0].parents[3:6]):
        data, grad, total, *_ = rows[f"layers.0.neurons.{k}"]
        assert (data, grad) == (f"data {hidden.data:.4g}", f"grad {hidden.grad:.4g}")
        assert sum(map(float, re.findall(r"-?\d[\d.e-]*", total))) == pytest.approx(hidden.grad, abs=2e-3)
    tops = {}
    for g in elements(draw_dot(loss, fold="neuron"), "node"):
        tops[texts(g)[0]] = min(y for shape in shapes(g) for _, y in points(shape))
    for i, count in enumerate((3, 2)):
        neurons = [tops[f"layers.{i}.neurons.{k}"] for k in range(count)]
        assert neurons == sorted(neurons)


def test_parameters_are_drawn_in_the_scope_that_alone_uses_them_and_else_in_their_network():
    model, x = MLP(2, [1], seed=0), [Value(1.0), Value(2.0)]
    with scope("first"):
        y = model(x)
    groups = groups_of(topological_order(y))
    assert all(groups[p] is groups[y] for p in model.parameters())
    with scope("second"):
        z = y * model(x)
    groups = groups_of(topological_order(z))
    assert all(groups[p] is p.group is not groups[y] for p in model.parameters())


def test_a_folded_neuron_shows_its_output_although_a_penalty_uses_its_weights():
    model = MLP(2, [1], seed=0)
    y = model([Value(1, "x0"), Value(2, "x1")])
    loss = y * y + 0.1 * sum(w * w for w in model.parameters())
    loss.backward()
    boxes, _ = parsed(draw_dot(loss, fold="neuron"))
    [lines] = [lines for lines in boxes if lines[0] == "layers.0.neurons.0"]
    assert lines[1:3] == [f"data {y.data:.4g}", f"grad {y.grad:.4g}"]


def test_a_folded_neuron_shows_at_each_step_the_gradient_that_its_output_has_then():
    y = MLP(2, [2, 1], activation="tanh", seed=0)([Value(1, "x0"), Value(2, "x1")])
    hidden = {f"h{i}": node for i, node in enumerate(y.parents[2:4])}
    for label, node in hidden.items():
        node.label = label
    loss = y * y
    grads = {label: set() for label in hidden}
    for step in range(draw_dot(loss, fold=None).source.count("->") + 1):
        unfolded = {lines[0].split()[0]: lines for lines, _ in boxes(draw_dot(loss, fold=None, step=step)).values()}
        folded = {lines[0]: lines for lines, _ in boxes(draw_dot(loss, fold="neuron", step=step)).values()}
        for i, label in enumerate(hidden):
            assert folded[f"layers.0.neurons.{i}"][1:3] == unfolded[label][1:3]
            grads[label].add(unfolded[label][2])
    assert all(len(shown) == 2 for shown in grads.values())


def test_folding_by_neuron_by_layer_and_not_at_all():
    y = MLP(2, [3, 2, 1], seed=0)([Value(1), Value(2)])
    y.backward()
    assert len(parsed(draw_dot(y, fold="neuron"))[0]) == 2 + 6
    assert len(parsed(draw_dot(y, fold="layer"))[0]) == 2 + 3
    everything = 2 + (3 * 3 + 2 * 4 + 3) + (6 + 5)
    assert len(parsed(draw_dot(y, fold=None))[0]) == everything
    several = [lines for lines in parsed(draw_dot(y, fold="layer"))[1] if lines[0] == "6 edges"]
    assert [re.sub(r"[\d.]+$", "", lines[1]) for lines in several] == ["norm "]


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

    assert len(chain(50)) == 2 * 50
    assert all("×" not in label for label in chain(100))
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


def test_the_size_of_an_edge_of_several_slots_is_the_norm_of_their_contributions():
    n = Neuron(2, nonlin=False)
    n.w[0].data, n.w[1].data = 3.0, -4.0
    x = Value(1, "x")
    y = n([x, x])
    y.backward()
    [edge] = readable_flow(y, "neuron").edges
    assert (edge.contributions, edge.size) == ([3.0, -4.0], 5.0)
    assert "at most 5)" in draw_dot(y, fold="neuron").source.replace("&#160;", " ")


def test_a_constant_that_enters_any_sum_of_products_is_no_part_of_the_neuron():
    """A neuron's inputs have boxes of their own; constants of its activation function have none."""
    own = Op("own", lambda w, x, b: w * x + b, (lambda y, w, x, b: x, lambda y, w, x, b: w, lambda y, w, x, b: 1.0))
    shown = {}
    for summands in (None, lambda w, x, b: ([(w, x)], [b])):
        own.lowerings = Lowerings(summands=summands)
        group = Group("neuron")
        w, b = Value(2, "w"), Value(1, "b")
        y = own(w, 3.0, b) * 0.5
        for node in (w, b, y, y.parents[0]):
            node.group = group
        y.backward()
        boxes, _ = parsed(draw_dot(y, fold="neuron"))
        shown[bool(summands)] = sorted(lines[0] for lines in boxes)
    assert shown == {False: ["neuron"], True: ["data 3", "neuron"]}
