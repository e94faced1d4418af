"""Labels that try to break a picture are drawn as text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from micrograd_cn import Value, draw_dot
from micrograd_cn.picture.text import clean, number
from micrograd_cn.testing import expressions

from .svg import arrows, parsed

LABELS = [
    '"]; }<script>',
    "{a|b}",
    "back\\slash\\n",
    "tab\t\x00\x07",
    "<b>&amp;",
    "<b>",
    "权重 α",
    "权重　α",
    "می‌خواهم",
    "\\",
    "]",
    "]]",
]


@pytest.mark.parametrize("label", LABELS)
def test_a_label_is_drawn_as_text(label):
    shown = " ".join("".join("�" if c in "\x00\x07" else c for c in label).split())
    boxes, edges = parsed(draw_dot(Value(1, label) * 2))
    assert any(box[0] == shown for box in boxes)
    assert (len(boxes), len(edges)) == (3, 2)


def test_a_label_of_10_000_characters_is_cut_where_one_of_100_is():
    titles = set()
    for count in (100, 10_000):
        boxes, _ = parsed(draw_dot(Value(1, "长" * count).sin()))
        titles |= {lines[0] for lines in boxes if "长" in lines[0]}
    [title] = titles
    assert title == "长" * (len(title) - 1) + "…"
    assert len(title) > 10


@pytest.mark.parametrize("narrow", "xα")
@pytest.mark.parametrize("wide", "长ｗ")
def test_a_label_of_wide_characters_is_cut_at_half_as_many(narrow, wide):
    lengths = {character: len(clean(character * 100)) for character in (narrow, wide)}
    assert lengths[narrow] == 2 * lengths[wide]


@given(expressions(max_steps=6), st.lists(st.text(max_size=12), min_size=1), st.booleans())
@settings(max_examples=max(1, settings.default.max_examples // 5))
def test_any_graph_with_any_labels_is_drawn_whole(f, labels, ran):
    inputs = [Value(x) for x in f.point]
    y = f(*inputs)
    nodes = dict.fromkeys([y, *inputs])
    waiting = [y]
    while waiting:
        for parent in waiting.pop().parents:
            if parent not in nodes or parent.op:
                nodes[parent] = None
                waiting.append(parent)
    for i, node in enumerate(nodes):
        node.label = labels[i % len(labels)]
    if ran:
        y.backward()
    reachable = {y}
    for node in nodes:
        reachable.update(node.parents)
    picture = draw_dot(y, fold=None)
    boxes, edges = parsed(picture)
    assert arrows(picture) == sorted(
        (f"data {number(parent.data)}", f"data {number(node.data)}")
        for node in nodes
        if node.op
        for parent in node.parents
    )
    assert len(boxes) == len({n for n in reachable if n is y or any(n in m.parents for m in nodes)})
    assert len(edges) == sum(len(node.parents) for node in nodes if node.op)
    shown = [line for lines in boxes for line in lines]
    for node in nodes:
        if node in reachable:
            assert f"data {number(node.data)}" in shown
