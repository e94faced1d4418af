"""Networks are parts that open and close; training runs have a slider."""

import json
import math
import re
from collections import Counter

import pytest

from micrograd_cn import Op, Tape, Value, draw_flow, scope
from micrograd_cn.engine import graph_nodes, record
from micrograd_cn.flow.graph import Graph
from micrograd_cn.flow.javascript import Rows
from micrograd_cn.losses import mse_loss
from micrograd_cn.nn import MLP, Neuron
from micrograd_cn.optim import SGD

from .pages import DRAWN, example, position, same


def test_a_network_is_folded_and_a_folded_part_is_one_step(opened):
    model = MLP(2, [16, 16, 1], seed=0)
    y = model([Value(0.5, "x1"), Value(-1, "x2")])
    page = opened(draw_flow(y, "en"))
    assert set(page.nodes()) == {"x1", "x2", "layers.0", "layers.1", "layers.2"}
    page.press("ArrowRight", "ArrowRight", "ArrowRight")
    assert page.narration == "Forward: layer 3 sees layer 2 and gives 0.3318."
    page.press("End")
    assert position(page) == 3 + 1 + 3
    y.backward()
    shown = page.nodes()
    for i, layer in enumerate(model.layers):
        norm = math.hypot(*[p.grad for p in layer.parameters()])
        assert same(float(shown[f"layers.{i}"]["grad"]), norm, 1e-12)
        assert shown[f"layers.{i}"]["state"] == "complete"
    assert [edge["slot"] for edge in page.edges()] == [""] * 4
    page.page.get_by_label("Leaf").select_option("layers.1.neurons.3.w2")
    page.page.get_by_label("Value").fill("0.125")
    model.layers[1].neurons[3].w[2].data = 0.125
    model.zero_grad()
    x = Value(0.5)
    model([x, Value(-1)]).backward()
    assert same(float(page.nodes()["x1"]["grad"]), x.grad, 1e-12)


def test_between_two_layers_with_many_edges_no_numbers_stand_in_their_way(opened):
    page = opened(draw_flow(MLP(2, [4, 4, 1], seed=0)([0.5, -1.0]), "en"))
    page.press("End")
    edges = page.page.evaluate("""[...document.querySelectorAll("#stage .edge")].map(edge => [
      edge.dataset.src, edge.dataset.dst, edge.querySelector(".line").getAttribute("d").split("C").length - 1])""")
    between = {
        n: [curves for a, b, curves in edges if a.startswith(f"layers.{n}.") and b.startswith(f"layers.{n + 1}.")]
        for n in (0, 1)
    }
    assert [len(curves) for curves in between.values()] == [16, 4]
    assert page.page.locator("#stage .label text.sent").count() == 4
    assert {*between[0]} == {5}, "out of a box, to the rim, across, from the rim, into a box"


@pytest.mark.parametrize(
    ("lang", "told"),
    [
        (
            "en",
            r"Backward: (?:neuron \d+ of )?layer \d sends (\d+) contributions to .*It has sent (\d+) of its (\d+)",
        ),
        ("zh", r"反向传播：第 \d 层(?:的神经元 \d+)?向.*送出 (\d+) 项贡献。它共有 (\d+) 项，已送出 (\d+) 项。"),
    ],
)
def test_a_closed_part_says_how_much_of_it_is_done_and_is_complete_when_all_has_arrived(lang, told, opened):
    model = MLP(2, [16, 16, 1], seed=0)
    a, b = model([Value(0.5, "x1"), Value(-1, "x2")]), model([Value(1, "x1"), Value(2, "x2")])
    page = opened(draw_flow((a * b - 1) ** 2 + model.layers[1].neurons[0].b, lang))
    sent, seen = Counter(), set()
    for kind, box in page.page.evaluate("session.steps.map(step => [step.kind, session.shape.boxes[step.box]])"):
        page.press("ArrowRight")
        if kind == "send" and box["folded"]:
            count, *counts = map(int, re.match(told, page.narration).groups())
            sent[box["name"]] += count
            assert min(counts) == sent[box["name"]]
            facts = page.nodes()[box["name"]]
            seen.add(facts["state"])
            assert facts["state"] == "complete" or sent[box["name"]] < max(counts)
    assert seen == {"partial", "complete"}


def trained(steps=5):
    """Return the tape of a training run, and the loss and the weights' gradients of each step, computed in Python."""
    neuron = Neuron(2, activation="tanh", seed=0)
    optimizer, record, history = SGD(neuron.parameters(), lr=0.5), Tape("en"), []
    for _ in range(steps):
        loss = (neuron([Value(0.5, "x1"), Value(-1, "x2")]) - 1) ** 2
        loss.label = "loss"
        record.snapshot(loss)
        optimizer.zero_grad()
        loss.backward()
        history.append((loss.data, [p.grad for p in neuron.parameters()], [p.data for p in neuron.parameters()]))
        optimizer.step()
    return record, history


def test_the_tape_has_a_slider_over_the_steps(opened):
    record, history = trained()
    page = opened(draw_flow(record))
    page.press("End")  # at the end of each pass: moving the slider keeps the place
    page.page.get_by_label("Training step").focus()
    for i, (loss, grads, data) in enumerate(history):
        assert f"step {i + 1} of 5, loss = {loss:.4g}" in page.page.locator("#tape_text").inner_text()
        shown = page.nodes()
        assert float(shown["loss"]["value"]) == loss
        assert [float(shown[name]["grad"]) for name in ("w0", "w1", "b")] == grads
        assert [float(shown[name]["value"]) for name in ("w0", "w1", "b")] == data
        page.press("ArrowRight")
    drawn = page.page.evaluate(f"({DRAWN})(byId('curve'), () => session.choose({{}}))")
    assert 5 in [len(points) for points in drawn["lines"]]
    assert json.dumps(record._graphs).count('"loss"') == 1  # the graph is stored once


def test_a_tape_is_shown_in_another_language_and_stays_in_its_own():
    record, _ = trained()
    page = draw_flow(record, "zh")
    assert '<html lang="zh-CN">' in page.html
    assert '{"lang":"zh",' in page.html
    assert len(page) == len(record) == 5
    assert record.lang == "en"
    assert '<html lang="en">' in record.html
    assert '<html lang="zh-CN">' in draw_flow(page).html


def test_a_tape_of_graphs_that_differ(opened):
    record, x = Tape("en"), Value(2, "x")
    record.snapshot(x.exp())
    record.snapshot(x * x * x)
    page = opened(record)
    assert page.page.locator("#training").is_visible()
    page.page.get_by_label("Training step").focus()
    page.press("ArrowRight")
    page.click("end")
    assert page.nodes()["x"]["grad"] == "12"


def test_one_graph_has_no_slider(opened):
    page = opened(draw_flow(example()[0]))
    assert not page.page.locator("#training").is_visible()


def test_the_facts_say_which_part_is_in_which_and_what_is_in_none():
    x = Value(2.0, "x")
    with scope("outer"):
        y = x * x
        with scope("inner"):
            y = y + x
    facts = Graph(y * x).facts(Rows())
    assert facts["groups"] == [["outer", -1], ["inner", 0]]
    assert [part for _, _, part, *_ in facts["nodes"]] == [-1, 0, 1, -1]


def test_the_facts_name_an_operation_that_cannot_be_computed_in_the_page_the_last_of_several():
    def opaque(name):
        return Op(name, lambda x: math.trunc(x) * 1.0, (lambda y, x: math.trunc(x) * 0.0,))

    x = Value(2.5, "x")
    y = record(opaque("second_odd"), (record(opaque("first_odd"), (x,)),))
    assert Graph(y).facts(Rows())["fixed"] == "second_odd"
    assert Graph(x * x).facts(Rows())["fixed"] == ""


def test_a_tape_s_numbers_are_recorded_or_computed_to_the_last_bit(opened):
    model, tape, expected = MLP(2, [3, 1], activation="tanh", seed=1), Tape("en"), []
    for _ in range(3):
        loss = mse_loss([model([Value(x, "x1"), Value(0.3, "x2")]) for x in (0.7, -1.1)], [1.0, -0.5])
        tape.snapshot(loss)
        expected.append(
            [
                (n.data, [p for p, x in zip(n.partials, n.parents, strict=True) if x.requires_grad])
                for n in graph_nodes(loss)
            ]
        )
        model.zero_grad()
        loss.backward()
        for p in model.parameters():
            p.data -= 0.1 * p.grad
    page = opened(tape)
    got = page.page.evaluate(
        """session.snapshots.map(({ graph, data, partials }) => graph.nodes.map((node, i) =>
            [data[i], partials[i].filter((_, slot) => graph.nodes[node.parents[slot]].gets)]))"""
    )
    assert [[(y, local) for y, local in nodes] for nodes in got] == expected


def test_numbers_that_do_not_follow_from_their_operands_are_those_that_were_recorded(opened):
    w = Value(2.0, "w")
    y = w * w + 1
    y.label, w.data = "y", 5.0
    page = opened(draw_flow(y, "en"))
    page.press("End")
    assert page.nodes()["y"]["value"] == "5"
    assert page.nodes()["w"] | {"grad": "4"} == page.nodes()["w"]
