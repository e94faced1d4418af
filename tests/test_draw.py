"""The picture: boxes, edges, renderers, and labels that try to break it."""

import re
import xml.etree.ElementTree as ET

import pytest

from micrograd_cn import Value, draw_dot, render
from micrograd_cn.nn import MLP

SVG = "{http://www.w3.org/2000/svg}"


def parsed(picture):
    """Return the texts of each box and each edge of the rendered picture."""
    root = ET.fromstring(picture.pipe("svg"))
    groups = {"node": [], "edge": []}
    for g in root.iter(f"{SVG}g"):
        if g.get("class") in groups:
            groups[g.get("class")].append([t.text for t in g.iter(f"{SVG}text")])
    return groups["node"], groups["edge"]


def test_a_box_a_value_and_an_edge_an_operand():
    w, x, b = Value(-3, "w"), Value(2, "x"), Value(7, "b")
    y = w * x + b
    y.label = "y"
    y.backward()
    boxes, edges = parsed(draw_dot(y))
    assert sorted(boxes) == [
        ["*", "data -6", "grad 1"],
        ["b", "data 7", "grad 1"],
        ["w", "data -3", "grad 2"],
        ["x", "data 2", "grad -3"],
        ["y \u00a0+", "data 1", "grad 1"],
    ]
    assert sorted(edges) == sorted([["×2 → +2"], ["×-3 → -3"], ["×1 → +1"], ["×1 → +1"]])


@pytest.mark.parametrize("f", [lambda a: a + a, lambda a: a * a, lambda a: a - a, lambda a: a / a])
def test_an_operand_used_twice_has_two_edges(f):
    boxes, edges = parsed(draw_dot(f(Value(3))))
    assert (len(boxes), len(edges)) == (2, 2)


def test_a_constant_has_no_gradient():
    y = Value(3) * 2
    y.backward()
    boxes, _ = parsed(draw_dot(y))
    assert ["data 2"] in boxes


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


def test_the_same_graph_gives_the_same_bytes():
    def picture():
        import random

        random.seed(0)
        y = MLP(2, [3, 1])([1.0, 2.0])
        y.backward()
        return draw_dot(y)

    assert picture().source == picture().source
    assert picture().pipe() == picture().pipe()


LABELS = ['"]; }<script>', "{a|b}", "back\\slash\\n", "tab\t\x00\x07", "<b>&amp;", "<b>", "权重 α", "\\"]


@pytest.mark.parametrize("label", LABELS)
def test_a_label_is_drawn_as_text(label):
    shown = "".join(c if c.isprintable() else "�" for c in label)
    boxes, edges = parsed(draw_dot(Value(1, label) * 2))
    assert any(box[0] == shown for box in boxes)
    assert (len(boxes), len(edges)) == (3, 2)


def test_it_renders_with_either_renderer(monkeypatch, tmp_path):
    y = Value(1, "x") * 2
    for program in {render.find_renderer(), render.shutil.which("graphviz-pure") or render.find_renderer()}:
        monkeypatch.setattr(render, "find_renderer", lambda program=program: program)
        picture = draw_dot(y, format="png")
        assert picture.pipe().startswith(b"\x89PNG")
        assert picture.pipe("svg", encoding="utf-8").startswith("<?xml")
        assert "image/svg+xml" in picture._repr_mimebundle_()
        path = picture.render(outfile=tmp_path / "y.svg", cleanup=True)
        assert [p.name for p in tmp_path.iterdir()] == ["y.svg"]
        ET.parse(path)
        written = picture.render("graph", directory=tmp_path)
        assert written.endswith("graph.png")
        assert (tmp_path / "graph").read_text() == picture.source
        for p in tmp_path.iterdir():
            p.unlink()


def test_without_a_renderer_the_source_works_and_drawing_says_what_to_install(monkeypatch):
    monkeypatch.setattr(render, "find_renderer", lambda: None)
    picture = draw_dot(Value(1) * 2)
    assert "->" in picture.source
    with pytest.raises(render.RenderError, match=r"pip install 'micrograd-cn\[viz\]'"):
        picture.pipe()


def test_a_failing_or_hanging_renderer_is_an_error_that_names_it(monkeypatch, tmp_path):
    program = tmp_path / "dot"
    program.write_text("#!/bin/sh\necho broken >&2; exit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr(render, "find_renderer", lambda: str(program))
    with pytest.raises(render.RenderError, match="dot could not draw svg: broken"):
        draw_dot(Value(1)).pipe()
    program.write_text("#!/bin/sh\nexec sleep 30\n")
    monkeypatch.setattr(render, "TIMEOUT", 0.2)
    with pytest.raises(render.RenderError, match="still drawing svg"):
        draw_dot(Value(1)).pipe()


def test_refused_arguments():
    with pytest.raises(TypeError, match="takes a Value, got float"):
        draw_dot(1.0)
    with pytest.raises(ValueError, match=r'rankdir must be "LR" or "TB", got \'up\''):
        draw_dot(Value(1), rankdir="up")
    with pytest.raises(ValueError, match="format"):
        draw_dot(Value(1), format="sgv")
