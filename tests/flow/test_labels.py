"""Labels are shown as text, whatever is in them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from micrograd_cn import Value, draw_flow
from micrograd_cn.flow.graph import Graph
from micrograd_cn.flow.javascript import Rows
from micrograd_cn.nn import Layer

HOSTILE = ["<img src=x onerror=alert(1)>", "</script><script>alert(1)</script>", "<!--<script>", "{{data}}", "{0}"]
HOSTILE += ["\ud800", '"];}', "\x00\x07", "'\\", "v0", "v1", "v2", "v4", "a", "a", "a#2", "__proto__"]


def test_labels_are_text_and_names_are_unique(opened):
    y = Value(1, "a")
    for label in HOSTILE:
        y = y * Value(1, label)
    page = opened(draw_flow(y, "en"))
    page.press("End")
    names = [facts["name"] for facts in page.page.evaluate("session.graph.nodes")]
    assert len(set(names)) == len(names)
    shown = page.nodes()
    assert len(shown) == len(names)
    leaves = page.page.evaluate("session.graph.nodes.filter(isLeaf).map(node => node.name)")
    for label in filter(str.isprintable, HOSTILE):
        assert label in leaves
    for label in HOSTILE[:5]:
        assert [label in row for row in page.cells("nodes")].count(True) == 1
    assert page.page.locator("img").count() == 0
    assert page.page.locator("script").count() == 2


@given(st.lists(st.text(max_size=10), min_size=3, max_size=3))
@settings(max_examples=max(1, settings.default.max_examples // 10))
def test_any_label_reaches_the_page(tab, tmp_path_factory, labels):
    a, b, c = (Value(2, label) for label in labels)
    path = tmp_path_factory.mktemp("flow") / "any.html"
    draw_flow(a * b + c).save(path)
    with tab(path) as page:
        names = [node["name"] for node in page.page.evaluate("session.graph.nodes")]
        for label in labels:
            assert not label or label in names or not label.isprintable()


@pytest.mark.parametrize("labels", [("a", "a", "a#2"), ("a#2", "a", "a"), ("a", "a#2", "a")])
def test_a_label_is_never_taken_by_a_name_that_was_made(labels):
    a, b, c = (Value(2, label) for label in labels)
    names = [name for name, *_ in Graph(a * b * c).facts(Rows())["nodes"]]
    assert {"a", "a#2", "a#3"} < set(names)
    assert len(set(names)) == len(names)


def test_parameters_of_one_label_are_told_apart_by_their_neurons():
    layer = Layer(1, 2, seed=0)
    a, b = layer([Value(1, "x")])
    names = {name for name, *_ in Graph(a * b).facts(Rows())["nodes"]}
    assert {f"layer.neurons.{i}.{p}" for i in range(2) for p in ("w0", "b")} < names


def test_a_label_that_is_another_s_full_name_stays_its_own():
    layer = Layer(1, 2, seed=0)
    a, b = layer([Value(1, "x")])
    taken = Value(3, "layer.neurons.0.w0")
    nodes = Graph(a * b * taken)
    named = {name: node for (name, *_), node in zip(nodes.facts(Rows())["nodes"], nodes.nodes, strict=True)}
    assert named["layer.neurons.0.w0"] is taken
    assert named["layer.neurons.0.w0#2"] is layer.neurons[0].w[0]


def test_inputs_of_a_network_are_numbered_and_each_sample_s_are_its_own():
    layer = Layer(2, 1, seed=0)
    first, second, computed = [Value(1), Value(2)], [Value(3), Value(4)], Value(5, "a") * 2
    a, b, c = layer(first), layer(second), layer([computed, Value(6, "b")])
    nodes = Graph(a * b * c)
    named = {node: name for (name, *_), node in zip(nodes.facts(Rows())["nodes"], nodes.nodes, strict=True)}
    assert {named[x] for x in (first[0], second[0])} == {"x1", "x1#2"}
    assert {named[x] for x in (first[1], second[1])} == {"x2", "x2#2"}
    assert named[computed].startswith("v")  # it is no input, but computed
    assert {name for name in named.values() if name.startswith("x")} == {"x1", "x1#2", "x2", "x2#2"}
