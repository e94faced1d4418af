"""Each step of a page says the chain rule, and after the last one the gradients are those of backward()."""

import math

import pytest
from hypothesis import given, settings

from micrograd_cn import OPS, Value, draw_flow
from micrograd_cn.testing import expressions

from .pages import assert_gradients, below, example, labelled, position, same


def test_the_end_is_what_backward_gives_at_every_node(opened):
    y, _ = example()
    nodes = labelled(y)
    page = opened(draw_flow(y, "en"))
    page.press("End")
    y.backward()
    assert_gradients(page.nodes(), nodes)
    for edge in page.edges():
        target = nodes[edge["dst"]]
        slot = int(edge["slot"])
        assert target.parents[slot].label == edge["src"]
        assert float(edge["contribution"]) == target.grad * target.partials[slot]


def test_gradients_that_python_has_already_do_not_matter(opened):
    y, _ = example()
    y.backward()
    y.backward()
    page = opened(draw_flow(y))
    assert {facts["grad"] for facts in page.nodes().values()} == {""}
    page.press("End")
    nodes = labelled(y)
    y.zero_grad()
    y.backward()
    assert page.nodes()["x"]["grad"] == repr(nodes["x"].grad)


def test_forward_is_node_by_node_and_then_the_seed(opened):
    y, _ = example()
    page = opened(draw_flow(y, "en"))
    known = {name for name, facts in page.nodes().items() if facts["value"]}
    assert known == {"x", "w", "v", "b"}
    for count in range(5, 11):
        page.press("ArrowRight")
        assert len([facts for facts in page.nodes().values() if facts["value"]]) == count
    assert page.narration == "Forward: y = tanh(v8) = tanh(-0.25) = -0.2449"
    assert {facts["grad"] for facts in page.nodes().values()} == {""}
    page.press("ArrowRight")
    assert page.narration.startswith("y.grad = 1:")
    assert {name: facts["grad"] for name, facts in page.nodes().items() if facts["grad"]} == {"y": "1"}


def test_backward_is_edge_by_edge_and_says_the_chain_rule(opened):
    w, x = Value(0.5, "w"), Value(-1.2, "x")
    y = w * x + x
    y.label = "y"
    page = opened(draw_flow(y, "en"))
    page.press(*["ArrowRight"] * 4)
    assert (
        page.narration
        == "v2.grad: 0 + (local 1 × upstream 1) = 1\nv2: 1 of 1 contributions have arrived, so now it can send."
    )
    assert [edge["contribution"] for edge in page.edges()] == ["", "", "1", ""]
    page.press("ArrowRight")
    assert page.narration.startswith(
        "x.grad: 0 + (local 1 × upstream 1) = 1\nx: 1 of 2 contributions have arrived. Its gradient is not complete yet"
    )
    assert page.nodes()["x"] == {"name": "x", "value": "-1.2", "grad": "1", "state": "partial"}
    assert "1/2" in page.page.locator(".node[data-name=x]").text_content()
    page.press("ArrowRight")
    assert page.narration == ("w.grad: 0 + (local -1.2 × upstream 1) = -1.2\nw: 1 of 1 contributions have arrived.")
    page.press("ArrowRight")
    assert page.narration.startswith(
        "x.grad: 1 + (local 0.5 × upstream 1) = 1.5\nx: 2 of 2 contributions have arrived."
    )
    assert "= 1 + 0.5" in page.page.locator(".node[data-name=x]").text_content()
    assert page.nodes()["x"]["state"] == "complete"
    page.press("l")
    assert page.narration.startswith("x.grad：1 + (局部导数 0.5 × 上游梯度 1) = 1.5\nx：2/2 项已到齐。")


def test_forward_puts_a_negative_constant_in_parentheses(opened):
    x = Value(3, "x")
    page = opened(draw_flow((-2) ** x, "en"))
    page.press("ArrowRight")
    assert page.narration == "Forward: v2 = (-2) ** x = (-2) ** 3 = -8"


def test_no_node_sends_before_it_is_complete(opened):
    y, _ = example()
    page = opened(draw_flow(y))
    before = page.edges()
    while page.page.locator("#step").is_enabled():
        state = {name: facts["state"] for name, facts in page.nodes().items()}
        page.press("ArrowRight")
        now = page.edges()
        sent = [new["dst"] for old, new in zip(before, now, strict=True) if old["contribution"] != new["contribution"]]
        assert len(sent) <= 1
        assert all(state[name] == "complete" for name in sent)
        before = now
    assert all(edge["contribution"] for edge in before)


@pytest.mark.parametrize(
    "f", [lambda a: a + a, lambda a: a * a, lambda a: a / a, lambda a: a, lambda a: OPS["sum"]([a, a, 2])]
)
def test_an_operand_used_twice_has_two_edges_and_a_leaf_is_a_graph(f, opened):
    a = Value(3, "a")
    y = f(a)
    page = opened(draw_flow(y))
    page.press("End")
    y.backward()
    assert page.nodes()["a"]["grad"] == f"{a.grad:g}"
    assert len([edge for edge in page.edges() if edge["src"] == "a"]) == len([p for p in y.parents if p is a])


def test_backward_again_doubles_the_leaves_and_zero_grad_shows_why(opened):
    y, named = example()
    labelled(y)
    page = opened(draw_flow(y, "en"))
    page.click("again")  # finishes the first pass
    assert "without zero_grad()" in page.narration
    page.press("End")
    y.backward()
    y.backward()
    assert_gradients(page.nodes(), labelled(y))
    assert "added up over 2 backward passes" in page.narration
    page.click("zero")
    assert {facts["grad"] for facts in page.nodes().values()} == {"0"}
    page.click("again")
    page.press("End")
    y.zero_grad()
    y.backward()
    assert_gradients(page.nodes(), labelled(y))
    assert named["x"].grad == float(page.nodes()["x"]["grad"])
    page.click("again")
    page.press("End", "Home", "End")  # back to the start, so that there is a single backward()
    assert_gradients(page.nodes(), labelled(y))


def test_a_leaf_used_once_has_room_for_both_of_its_terms(opened):
    page = opened(draw_flow(Value(2, "x") * -1.503, "en"))
    page.click("again")
    page.press("End")
    box = page.page.locator(".node[data-name=x]")
    assert "= (-1.503) + (-1.503)" in box.locator("text").all_text_contents()
    assert box.locator("[textLength]").count() == 0


def test_a_single_backward_can_be_had_again_at_the_start(opened):
    page = opened(draw_flow(Value(2, "x") * 3, "en"))
    start = page.page.locator("#start")
    assert start.is_disabled()
    page.click("again")
    while position(page):
        page.click("back")
    page.click("start")
    assert start.is_disabled()
    assert page.page.locator("#progress").inner_text() == "step 0 of 3"


def test_nothing_is_sent_to_a_constant(opened):
    y = (Value(2, "a") * 3).exp() ** 2
    page = opened(draw_flow(y, "en"))
    page.press("End")
    assert position(page) == 3 + 1 + 3
    assert [edge["contribution"] == "" for edge in page.edges()].count(True) == 2
    assert [facts["state"] for facts in page.nodes().values() if facts["grad"] == ""] == ["complete"] * 2


def test_nan_and_inf_survive(opened):
    x = Value(0, "x")
    y = (x.log() * x).exp() * -math.inf
    nodes = labelled(y)
    page = opened(draw_flow(y))
    page.press("End")
    y.backward()
    assert_gradients(page.nodes(), nodes)
    assert {facts["value"] for facts in page.nodes().values()} == {"0", "-inf", "nan"}


@given(expressions(max_steps=6))
@settings(max_examples=max(1, settings.default.max_examples // 5))
def test_any_graph_ends_as_in_python_and_the_page_computes_it_alike(tab, tmp_path_factory, f):
    y = f(*map(Value, f.point))
    if not y.requires_grad:
        return
    nodes = below(y)
    for i, node in enumerate(nodes):
        node.label = f"n{i}"
    path = tmp_path_factory.mktemp("flow") / "any.html"
    tape = draw_flow(y)
    tape.save(path)
    with tab(path) as page:
        page.press("End")
        y.backward()
        assert_gradients(page.nodes(), {node.label: node for node in nodes})
        for node, (data, partials) in page.page.evaluate(
            """() => Object.fromEntries(session.graph.nodes.filter(node => node.row).map(node => {
                const operands = node.parents.map(i => session.numbers.data[i]), y = forward[node.row](...operands);
                return [node.name, [y, partials[node.row](y, ...operands)]];
            }))"""
        ).items():
            [true] = [n for n in nodes if n.label == node]
            assert same(data, true.data, 1e-12), true
            for parent, got, partial in zip(true.parents, partials, true.partials, strict=True):
                assert same(got, partial, 1e-12) or not parent.requires_grad, (true, true.op)
