"""The picture: boxes, edges, renderers, and labels that try to break it."""

import math
import random
import re
import unicodedata
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from micrograd_cn import Value, draw_dot, render
from micrograd_cn.draw import NEGATIVE, POSITIVE, ZERO
from micrograd_cn.nn import MLP, Module, Neuron
from micrograd_cn.testing import expressions

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(autouse=True)
def english(monkeypatch):
    monkeypatch.setenv("LC_ALL", "C")


def elements(picture, kind):
    """Return the rendered picture's groups of a kind, "node" or "edge"."""
    return [g for g in ET.fromstring(picture.pipe("svg")).iter(f"{SVG}g") if g.get("class") == kind]


def texts(element):
    """Return the lines of text in an element, spaces as plain ones."""
    return [" ".join(t.text.split()) for t in element.iter(f"{SVG}text")]


def parsed(picture):
    """Return the texts of each box and each edge of the rendered picture."""
    return [[texts(g) for g in elements(picture, kind)] for kind in ("node", "edge")]


def arrows(picture):
    """Return every edge as the lines with the data of the box that it leaves and of the one that it points to."""
    root = ET.fromstring(picture.pipe("svg"))
    line = {}
    found = []
    for g in root.iter(f"{SVG}g"):
        title = g.find(f"{SVG}title")
        if g.get("class") == "node":
            line[title.text] = next(t for t in texts(g) if t.startswith("data "))
        elif g.get("class") == "edge":
            found.append(title.text.split("->"))
    return sorted((line[a], line[b]) for a, b in found)


def box(picture, title):
    """Return the box whose first line is `title`."""
    [found] = [g for g in elements(picture, "node") if texts(g)[0] == title]
    return found


def shapes(element):
    return [*element.iter(f"{SVG}polygon"), *element.iter(f"{SVG}path")]


def neuron(x1=1.0, x2=-2.0):
    """Return a neuron of the weights 0.5 and -0.25 with tanh, and its inputs."""
    n = Neuron(2, activation="tanh")
    n.w[0].data, n.w[1].data, n.b.data = 0.5, -0.25, 0.1
    return n, n([Value(x1, "x1"), Value(x2, "x2")])


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
        ["y +", "data 1", "grad 1"],
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
        random.seed(0)
        y = MLP(2, [3, 1])([1.0, 2.0])
        y.backward()
        return draw_dot(y)

    assert picture().source == picture().source
    assert picture().pipe() == picture().pipe()


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
]


@pytest.mark.parametrize("label", LABELS)
def test_a_label_is_drawn_as_text(label):
    shown = " ".join("".join("�" if c in "\x00\x07" else c for c in label).split())
    boxes, edges = parsed(draw_dot(Value(1, label) * 2))
    assert any(box[0] == shown for box in boxes)
    assert (len(boxes), len(edges)) == (3, 2)


def available():
    """Return the renderers on this machine."""
    beside = str(render.Path(render.sysconfig.get_path("scripts")) / "graphviz-pure")
    return [
        p
        for p in (render.shutil.which("dot"), render.shutil.which("graphviz-pure") or render.shutil.which(beside))
        if p
    ]


@pytest.mark.parametrize("program", available(), ids=lambda p: render.Path(p).stem)
def test_it_renders_with_either_renderer(program, monkeypatch, tmp_path):
    monkeypatch.setattr(render, "find_renderer", lambda: program)
    monkeypatch.setattr("micrograd_cn.draw.find_renderer", lambda: program)
    picture = draw_dot(Value(1, "x") * 2, format="png")
    assert picture.drawn_by == render.Path(program).stem
    assert picture.pipe().startswith(b"\x89PNG")
    assert picture.pipe("svg", encoding="utf-8").startswith("<?xml")
    assert "image/svg+xml" in picture._repr_mimebundle_()
    path = picture.render(outfile=tmp_path / "y.svg", cleanup=True)
    assert [p.name for p in tmp_path.iterdir()] == ["y.svg"]
    ET.parse(path)
    written = picture.render("graph", directory=tmp_path)
    assert written.endswith("graph.png")
    assert (tmp_path / "graph").read_text() == picture.source
    if picture.drawn_by == "dot":
        assert picture.pipe("pdf").startswith(b"%PDF")
    else:
        with pytest.raises(render.RenderError, match=r"graphviz-pure cannot draw pdf: install Graphviz"):
            picture.pipe("pdf")


def test_a_png_never_shows_empty_squares_for_chinese(monkeypatch):
    picture = draw_dot(Value(1, "权重") * 2, lang="en")
    monkeypatch.setattr(render, "find_renderer", lambda: "/usr/bin/graphviz-pure")
    with pytest.raises(render.RenderError, match=r"graphviz-pure has no glyphs for 权重 in a png.*Noto Sans CJK"):
        picture.pipe("png")
    monkeypatch.setattr(render, "find_renderer", lambda: "/usr/bin/dot")
    monkeypatch.setattr(render, "_has_chinese_font", lambda: False)
    for form in ("png", "pdf"):
        with pytest.raises(render.RenderError, match=f"no Chinese font is installed, so a {form} .*fonts-noto-cjk"):
            picture.pipe(form)
    chinese = draw_dot(Value(1, "权重") * 2, lang="zh")
    with pytest.raises(render.RenderError, match=r"没有安装中文字体.*fonts-noto-cjk"):
        chinese.pipe("png")
    monkeypatch.setattr(render, "find_renderer", lambda: "/usr/bin/graphviz-pure")
    with pytest.raises(render.RenderError, match=r"graphviz-pure has no glyphs for सं"):
        draw_dot(Value(1, "संख्या") * 2).pipe("png")
    assert draw_dot(Value(1, "naïve Ω Ж →") * 2).source


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


# How the gradient got there.


def test_no_gradient_is_shown_before_backward_has_run():
    _, y = neuron()
    boxes, edges = parsed(draw_dot(y))
    assert {line for lines in boxes for line in lines if line.startswith("grad")} == {"grad -"}
    assert ["×0.5"] in edges
    y.backward()
    boxes, _ = parsed(draw_dot(y))
    assert "grad -" not in {line for lines in boxes for line in lines}


@pytest.mark.parametrize(("times", "line"), [(2, "grad 2 = 1 + 1"), (3, "grad 3 = 1 + 1 + 1"), (4, "grad 4")])
def test_up_to_three_contributions_are_shown_as_their_sum(times, line):
    a = Value(3, "a")
    y = a
    for _ in range(times - 1):
        y = y + a
    y.backward()
    assert texts(box(draw_dot(y), "a"))[-1] == line


def test_negative_terms_are_in_parentheses_and_an_accumulated_gradient_is_no_sum_of_these():
    a = Value(3, "a")
    y = a * 2 - a
    y.backward()
    assert (
        texts(box(draw_dot(y), "a"))[-1] == "grad 1 = (-1) + 2"
        or texts(box(draw_dot(y), "a"))[-1] == "grad 1 = 2 + (-1)"
    )
    y.backward()
    assert texts(box(draw_dot(y), "a"))[-1] == "grad 2"


def test_roles_are_visible_without_colour():
    _, y = neuron()
    loss = (y - 1) ** 2
    loss.label = "loss"
    loss.backward()
    picture = draw_dot(loss)
    [parameter] = shapes(box(picture, "w0"))
    assert float(parameter.get("stroke-width")) == 2.5
    [rounded] = shapes(box(picture, "x1"))
    assert rounded.tag == f"{SVG}path"
    constants = [g for g in elements(picture, "node") if len(texts(g)) == 1]
    assert [texts(g) for g in constants] == [["data 1"], ["data 2"]]
    assert all(shape.get("stroke-dasharray") for g in constants for shape in shapes(g))
    assert len(shapes(box(picture, "loss **"))) == 2


def test_parameters_can_be_named_as_values_or_a_module():
    w, x = Value(2, "w"), Value(3, "x")

    class Line(Module):
        def __init__(self):
            self.w = w

    for parameters in ([w], Line()):
        picture = draw_dot(w * x, parameters=parameters)
        assert shapes(box(picture, "w"))[0].get("stroke-width") == "2.5"
        assert shapes(box(picture, "x"))[0].get("stroke-width") is None


def test_labels_widths_and_colours_follow_the_contributions():
    a, b, c = Value(2, "a"), Value(-3, "b"), Value(5, "c")
    y = a * b + c * 0.5
    y.backward()
    sizes = {}
    for g in elements(draw_dot(y), "edge"):
        if not texts(g):
            continue
        _, contribution = re.fullmatch(r"×(\S+) → (\S+)", texts(g)[0]).groups()
        [line] = g.iter(f"{SVG}path")
        sizes[float(contribution)] = float(line.get("stroke-width") or 1), line.get("stroke").upper()
        assert contribution[0] == ("+" if float(contribution) > 0 else "-"), "the sign is always printed"
    assert sizes.keys() == {-3.0, 2.0, 1.0, 0.5}
    assert sizes[-3.0] == (5.0, NEGATIVE.upper())
    assert sizes[2.0] == (pytest.approx(1 + 4 * 2 / 3, abs=0.01), POSITIVE.upper())
    assert sizes[0.5] == (pytest.approx(1 + 4 * 0.5 / 3, abs=0.01), POSITIVE.upper())


def test_a_gradient_that_was_set_to_zero_since_is_not_shown_as_a_result():
    n, y = neuron()
    y.backward()
    n.zero_grad()
    assert texts(box(draw_dot(y), "w0"))[-1] == "grad -"


def test_the_direction_is_left_to_right_or_top_to_bottom():
    y = Value(1, "x").sin()
    for rankdir, axis in (("LR", 0), ("TB", 1)):
        tops = {}
        for g in elements(draw_dot(y, rankdir=rankdir, legend=False), "node"):
            text = next(g.iter(f"{SVG}text"))
            tops[texts(g)[0]] = (float(text.get("x")), float(text.get("y")))
        assert tops["sin"][axis] > tops["x"][axis] + 20


def test_view_opens_the_picture(monkeypatch, tmp_path):
    opened = []
    monkeypatch.setattr("graphviz.view", opened.append)
    draw_dot(Value(1)).render(outfile=tmp_path / "x.svg", view=True)
    assert opened == [str(tmp_path / "x.svg")]


def test_a_dead_relu_is_dashed_and_grey():
    x = Value(-2, "x")
    y = x.relu() * 3
    y.backward()
    lines = {texts(g)[0]: next(g.iter(f"{SVG}path")) for g in elements(draw_dot(y), "edge") if texts(g)}
    assert lines["×0 → 0"].get("stroke-dasharray")
    assert lines["×0 → 0"].get("stroke").upper() == ZERO.upper()
    assert not lines["×3 → +3"].get("stroke-dasharray")


def test_nan_and_inf_are_drawn():
    x = Value(0, "x")
    y = x.log() * x
    y.backward()
    boxes, edges = parsed(draw_dot(y))
    assert ["log", "data -inf", "grad 0"] in boxes
    assert any("nan" in line for lines in boxes for line in lines)
    assert len(edges) == 3


def test_a_legend_explains_and_gives_the_largest_contribution():
    _, y = neuron()
    y.backward()
    largest = max(abs(y.grad * p) for p in y.partials)
    source = draw_dot(y).source
    for part in (
        "arrows:",
        "thick: parameter",
        "local derivative → contribution",
        f"largest {2 * largest:.4g}",
        "blue: +",
    ):
        assert part in source
    assert "arrows:" not in draw_dot(y, legend=False).source


# Readable at any size.


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


# Languages.


def test_the_words_are_chinese_where_asked_or_the_locale_is(monkeypatch):
    _, y = neuron()
    y.backward()
    boxes, _ = parsed(draw_dot(y, lang="zh"))
    words = {line.split()[0] for lines in boxes for line in lines[1:]}
    assert words == {"数值", "梯度"}
    assert "粗边框：参数" in draw_dot(y, lang="zh").source
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert "数值" in draw_dot(y).source
    monkeypatch.setenv("LC_ALL", "en_GB.UTF-8")
    assert "数值" not in draw_dot(y).source
    assert 'fontname="Noto Serif"' in draw_dot(y, fontname="Noto Serif").source


@pytest.mark.parametrize("program", available(), ids=lambda p: render.Path(p).stem)
@pytest.mark.parametrize("label", ["权重", "一个很长的中文标签用来检查框的宽度", "混合 mixed 标签"])
def test_boxes_are_wide_enough_for_chinese_in_every_renderer(program, label, monkeypatch):
    monkeypatch.setattr(render, "find_renderer", lambda: program)
    found = box(draw_dot(Value(1, label).sin(), lang="zh"), label)
    points = [
        float(p.split(",")[0]) for p in re.findall(r"-?[\d.]+,-?[\d.]+", next(iter(shapes(found))).get("d") or "")
    ]
    points = points or [float(p.split(",")[0]) for p in next(found.iter(f"{SVG}polygon")).get("points").split()]
    em = 12.0
    needed = sum(em if unicodedata.east_asian_width(c) in "WF" else 0.5 * em for c in label)
    assert max(points) - min(points) >= needed


# Whatever the graph and the labels.


@given(expressions(max_steps=6), st.lists(st.text(max_size=12), min_size=1), st.booleans())
@settings(max_examples=max(1, settings.default.max_examples // 3))
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
        (f"data {parent.data + 0.0:.4g}", f"data {node.data + 0.0:.4g}")
        for node in nodes
        if node.op
        for parent in node.parents
    )
    assert len(boxes) == len({n for n in reachable if n is y or any(n in m.parents for m in nodes)})
    assert len(edges) == sum(len(node.parents) for node in nodes if node.op)
    shown = [line for lines in boxes for line in lines]
    for node in nodes:
        if node in reachable:
            assert f"data {node.data + 0.0:.4g}" in shown


def test_a_label_of_10_000_characters_is_cut():
    boxes, _ = parsed(draw_dot(Value(1, "长" * 10_000).sin()))
    [title] = [lines[0] for lines in boxes if "长" in lines[0]]
    assert title.endswith("…")
    assert len(title) < 41


@pytest.mark.parametrize(
    ("options", "message"), [({"fold": "all"}, "fold must be"), ({"lang": "fr"}, "lang must be one of 'en', 'zh'")]
)
def test_refused_options(options, message):
    with pytest.raises(ValueError, match=message):
        draw_dot(Value(1), **options)
