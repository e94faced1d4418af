"""A picture says in both languages what a graph has: by texts, roles, colours, widths and a legend."""

import random
import re

import numpy as np
import pytest

from micrograd_cn import Value, draw_dot, draw_flow, where
from micrograd_cn.nn import MLP, Module, Neuron
from micrograd_cn.optim import SGD, clip_grad_norm
from micrograd_cn.picture.colours import NEGATIVE, PAPER, PARAMETER, POSITIVE, ZERO
from micrograd_cn.text.words import WORDS

from .svg import SVG, box, course, elements, neuron, parsed, points, shapes, texts


def test_a_box_a_value_and_an_edge_an_operand():
    w, x, b = Value(-3, "w"), Value(2, "x"), Value(7, "b")
    y = w * x + b
    y.label = "y"
    y.backward()
    boxes, edges = parsed(draw_dot(y))
    assert sorted(boxes) == [
        ["b", "data 7", "grad 1"],
        ["w", "data -3", "grad 2"],
        ["x", "data 2", "grad -3"],
        ["y = +", "data 1", "grad 1"],
        ["×", "data -6", "grad 1"],
    ]
    assert sorted(edges) == sorted([["× 2", "+2"], ["× -3", "-3"], ["× 1", "+1"], ["× 1", "+1"]])


def test_a_constant_has_no_gradient():
    y = Value(3) * 2
    y.backward()
    boxes, _ = parsed(draw_dot(y))
    assert ["data 2"] in boxes


@pytest.mark.parametrize("fold", [None, "layer"])
def test_a_gradient_of_none_is_drawn_as_one_that_was_set_to_zero(fold):
    x = Value(3, "x")
    model = MLP(1, [2, 1], seed=0)
    y = model([x])
    y.backward()

    def drawn(reset):
        for leaf in (x, *model.parameters()):
            leaf.grad = reset
        return draw_dot(y, fold=fold).source

    assert drawn(None) == drawn(0.0)
    y.grad = None
    none = drawn(None)
    y.grad = 0.0
    assert none == drawn(0.0)


def test_the_same_graph_gives_the_same_bytes():
    def picture():
        random.seed(0)
        y = MLP(2, [3, 1])([1.0, 2.0])
        y.backward()
        return draw_dot(y)

    assert picture().source == picture().source
    assert picture().pipe() == picture().pipe()


INSTEAD = {
    "MLP; write draw(model(x)) for the graph of what model computes from x": MLP(2, [1]),
    "Neuron; write draw(model(x)) for the graph of what model computes from x": Neuron(2),
    "function; write draw(f(x)) for the graph of what f computes from x": lambda x: x * 2,
    "list; write draw(xs[0]) for one of several, or draw(sum(xs)) for the graph of all": [Value(1.0)],
    "ndarray; write draw(xs[0]) for one of several, or draw(sum(xs)) for the graph of all": np.array([Value(1.0)]),
    "float; a number has no graph, so compute it from Values": 1.0,
    "str": "x",
}


@pytest.mark.parametrize("message", INSTEAD)
@pytest.mark.parametrize("draw", [draw_dot, draw_flow])
def test_what_is_no_value_is_answered_with_what_to_write(draw, message):
    with pytest.raises(TypeError, match=f"got {re.escape(message.replace('draw', draw.__name__))}$"):
        draw(INSTEAD[message], lang="en")
    with pytest.raises(TypeError, match=f"收到的是 {message.partition(';')[0]}(；.*|$)"):
        draw(INSTEAD[message], lang="zh")


def test_refused_arguments():
    with pytest.raises(TypeError, match="takes a Value, got float"):
        draw_dot(1.0)
    with pytest.raises(TypeError, match=r'format must be a str, such as "svg", got a list; write parameters=\.\.\.'):
        draw_dot(Value(1), [Value(2)])
    with pytest.raises(ValueError, match=r'rankdir must be "LR" or "TB", got \'up\''):
        draw_dot(Value(1), rankdir="up")
    with pytest.raises(ValueError, match="format"):
        draw_dot(Value(1), format="sgv")


def test_no_gradient_is_shown_before_backward_has_run():
    _, y = neuron()
    boxes, edges = parsed(draw_dot(y))
    assert {line for lines in boxes for line in lines if line.startswith("grad")} == {"grad -"}
    assert ["× 0.5"] in edges
    y.backward()
    boxes, _ = parsed(draw_dot(y))
    assert "grad -" not in {line for lines in boxes for line in lines}


@pytest.mark.parametrize(("times", "line"), [(2, "= 1 + 1"), (3, "= 1 + 1 + 1"), (4, "grad 4")])
def test_up_to_three_contributions_are_shown_as_their_sum(times, line):
    a = Value(3, "a")
    y = a
    for _ in range(times - 1):
        y = y + a
    y.backward()
    assert texts(box(draw_dot(y), "a"))[-1] == line


def test_negative_terms_are_in_parentheses():
    a = Value(3, "a")
    y = a * 2 - a
    y.backward()
    assert texts(box(draw_dot(y), "a"))[-2:] in (["grad 1", "= (-1) + 2"], ["grad 1", "= 2 + (-1)"])


def test_what_is_no_sum_of_the_contributions_but_for_rounding_says_what_they_add_up_to():
    a = Value(3, "a")
    y = a * 0.5
    (a * -0.25).backward()
    y.backward()
    assert texts(box(draw_dot(y), "a"))[-2:] == ["grad 0.25", "these edges: 0.5"]
    assert texts(box(draw_dot(y, lang="zh"), "a"))[-1] == "图中各边合计 0.5"
    y.backward()
    assert texts(box(draw_dot(y), "a"))[-1] == "these edges: 0.5"
    h = a.sin()
    part = h * 2
    (part + h).backward()
    assert texts(box(draw_dot(part), "sin"))[-2:] == ["grad 3", "these edges: 2"]
    a.grad = 0.0
    y.backward()
    clip_grad_norm([a], 0.25)
    assert texts(box(draw_dot(y), "a"))[-2:] == ["grad 0.25", "these edges: 0.5"]
    for p in (a, a * -0.5 + (a * -0.2 + (a * 0.5 + a * 0.7))):
        a.grad = 0.0
        p.backward()
        assert not any("edges" in line for line in texts(box(draw_dot(p), "a")))


def test_roles_are_visible_without_colour():
    _, y = neuron()
    loss = (y - 1) ** 2
    loss.label = "loss"
    loss.backward()
    picture = draw_dot(loss)
    [parameter] = shapes(box(picture, "w0"))
    assert parameter.get("stroke-width") == "2"
    assert shapes(box(picture, "x1"))[0].get("stroke-width") is None
    constants = [g for g in elements(picture, "node") if len(texts(g)) == 1]
    assert [texts(g) for g in constants] == [["data 1"], ["data 2"]]
    assert all(shape.get("stroke-dasharray") for g in constants for shape in shapes(g))
    assert shapes(box(picture, "loss = **"))[0].get("stroke-width") == "3"


def test_parameters_can_be_named_as_values_or_a_module():
    w, x = Value(2, "w"), Value(3, "x")

    class Line(Module):
        def __init__(self):
            self.w = w

    for parameters in ([w], Line()):
        picture = draw_dot(w * x, parameters=parameters)
        assert shapes(box(picture, "w"))[0].get("fill") == PARAMETER
        assert shapes(box(picture, "x"))[0].get("fill") == PAPER


def test_labels_widths_and_colours_follow_the_contributions():
    a, b, c = Value(2, "a"), Value(-3, "b"), Value(5, "c")
    y = a * b + c * 0.5
    y.backward()
    sizes = {}
    for g in elements(draw_dot(y), "edge"):
        if not texts(g):
            continue
        _, contribution = texts(g)
        [line] = g.iter(f"{SVG}path")
        sizes[float(contribution)] = float(line.get("stroke-width") or 1), line.get("stroke")
        assert contribution[0] == ("+" if float(contribution) > 0 else "-"), "the sign is always printed"
    assert sizes.keys() == {-3.0, 2.0, 1.0, 0.5}
    assert sizes[-3.0] == (5.0, NEGATIVE)
    assert sizes[2.0] == (pytest.approx(1 + 4 * 2 / 3, abs=0.01), POSITIVE)
    assert sizes[0.5] == (pytest.approx(1 + 4 * 0.5 / 3, abs=0.01), POSITIVE)


def test_a_wider_arrow_has_a_larger_head_and_the_widest_that_of_the_renderer():
    x = Value(1)
    y = sum(x * k for k in range(1, 9))
    y.backward()
    looks = re.findall(r"arrowsize=([\d.]+).*?penwidth=([\d.]+)", draw_dot(y).source)
    heads, widths = zip(*sorted({(float(head), float(width)) for head, width in looks}), strict=True)
    assert len(widths) == 8
    assert list(widths) == sorted({*widths})
    assert list(heads) == sorted({*heads})
    assert 0.5 < heads[0] < heads[-1] == 1.0


@pytest.mark.parametrize(
    ("f", "rankdir"),
    [
        (lambda x: (x + 1) * (x - 1) / (x * 2) + x * 3, "LR"),
        (lambda x: (x + 1) * (x - 1) * (x * 2), "TB"),
        (lambda x: (x / 1.77).tanh() + x * 0 + x.tanh(), "TB"),
        (lambda x: x * 1.39 + (x * 2 + (x * 3 + (x * 4).sin()).sin()).sin(), "TB"),
    ],
)
def test_no_edge_strikes_the_label_of_another_through(f, rankdir):
    y = f(Value(0.6, "x"))
    y.backward()
    edges = elements(draw_dot(y, rankdir=rankdir), "edge")
    for edge in filter(texts, edges):
        [frame] = [p for p in edge.iter(f"{SVG}polygon") if p.get("stroke") in ("none", "transparent")]
        (left, right), (top, bottom) = ((min(axis) + 4, max(axis) - 4) for axis in zip(*points(frame), strict=True))
        for other in edges:
            assert not any(left < x < right and top < y < bottom for x, y in course(other)), texts(edge)


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


def test_inputs_and_neurons_stand_in_their_order():
    y = MLP(3, [4, 4, 1], seed=0)([Value(i, f"x{i}") for i in range(3)])
    y.backward()
    tops = {}
    for g in elements(draw_dot(y, fold="neuron"), "node"):
        tops[texts(g)[0]] = min(y for shape in shapes(g) for _, y in points(shape))
    for names in ([f"x{i}" for i in range(3)], *([f"layers.{k}.neurons.{i}" for i in range(4)] for k in range(2))):
        assert [tops[name] for name in names] == sorted(tops[name] for name in names)


def test_a_dead_relu_is_dashed_and_grey():
    x = Value(-2, "x")
    y = x.relu() * 3
    y.backward()
    lines = {" ".join(texts(g)): next(g.iter(f"{SVG}path")) for g in elements(draw_dot(y), "edge") if texts(g)}
    assert lines["× 0 0"].get("stroke-dasharray")
    assert lines["× 0 0"].get("stroke") == ZERO
    assert not lines["× 3 +3"].get("stroke-dasharray")


@pytest.mark.parametrize(("lang", "nothing"), [("en", "nothing"), ("zh", "不传梯度")])
def test_no_product_of_0_and_inf_is_drawn_where_nothing_flows(lang, nothing):
    x = Value(-1, "x")
    y = x.relu().sqrt() + where(0.0, x.sqrt(), x)
    y.backward()
    picture = draw_dot(y, lang=lang)
    lines = {" ".join(texts(g)): next(g.iter(f"{SVG}path")) for g in elements(picture, "edge") if texts(g)}
    for label in (f"× 0 {nothing}", f"× nan {nothing}", "× 0 0"):
        assert lines[label].get("stroke-dasharray")
        assert lines[label].get("stroke") == ZERO
    assert not lines["× inf +inf"].get("stroke-dasharray")
    assert texts(box(picture, "x"))[-2:] == [f"{WORDS[lang]['grad']} 1", "= 0 + 1 + 0"]


@pytest.mark.parametrize(
    ("x", "shown"),
    [(-0.9999665997, "-0.99997"), (1234.4, "1234.4"), (2 + 1e-8, "2.00000001"), (2 + 1e-12, "2"), (1e6 + 1, "1e+06")],
)
def test_a_number_that_is_not_whole_does_not_seem_so(x, shown):
    assert parsed(draw_dot(Value(x)))[0] == [[f"data {shown}", "grad -"]]


def test_a_value_of_minus_zero_has_its_sign_and_on_an_edge_0_has_none():
    x = Value(0, "x")
    y = x.cos() * 3 + x.cos()  # the derivative of cos, -sin(0), is -0.0
    y.backward()
    boxes, edges = parsed(draw_dot(y))
    assert ["x", "data 0", "grad 0", "= 0 + 0"] in boxes
    assert edges.count(["× 0", "0"]) == 2
    assert ["−", "data -0", "grad -"] in parsed(draw_dot(-x))[0]


def test_nan_and_inf_are_drawn():
    x = Value(0, "x")
    y = x.log() * x
    y.backward()
    boxes, edges = parsed(draw_dot(y))
    assert ["log", "data -inf", "grad 0"] in boxes
    assert any("nan" in line for lines in boxes for line in lines)
    assert len(edges) == 3


def test_a_contribution_of_nan_has_no_sign_and_the_legend_says_how_large_the_widest_edge_is():
    def drawn(y):
        y.backward()
        picture = draw_dot(y)
        return {line for lines in parsed(picture)[1] for line in lines}, picture.source.replace("&#160;", " ")

    x, z = Value(0, "x"), Value(3, "z")
    edges, source = drawn(x.log() * x + z * 2)
    assert "nan" in edges
    assert "+nan" not in edges
    assert "(at most inf)" in source
    assert "(at most inf)" in drawn(x.sqrt() + z * 2)[1]
    assert "(at most 2)" in drawn(z * 2)[1]
    assert "at most" not in drawn(Value(-1).relu())[1]


@pytest.mark.parametrize(
    ("f", "point", "lines"),
    [
        (lambda x: x.sqrt() - x.sqrt(), 0.0, {"= inf + (-inf)", "= (-inf) + inf"}),
        (lambda x: x * 1e308 + x * 1e308, 0.5, {"= 1e+308 + 1e+308"}),
    ],
)
def test_contributions_without_a_finite_sum_are_shown(f, point, lines):
    x = Value(point, "x")
    y = f(x)
    y.backward()
    assert texts(box(draw_dot(y), "x"))[-1] in lines
    for grad, line in ((5.0, "grad 5"), (0.0, "grad -")):
        x.grad = grad
        assert texts(box(draw_dot(y), "x"))[-1] == line


def test_the_legend_explains_what_is_in_the_picture_and_gives_the_largest_contribution():
    _, y = neuron()
    before = draw_dot(y).source.replace("&#160;", " ")
    assert "→ forward pass; × local derivative" in before
    y.backward()
    largest = max(abs(y.grad * p) for p in y.partials)
    for part in (
        "← gradient: upstream × local derivative = contribution",
        ">positive<",
        ">negative<",
        "filled: parameter",
        "bold frame: output",
    ):
        assert part in draw_dot(y).source.replace("&#160;", " ")
    assert f"at most {2 * largest:.4g}" in draw_dot(y).source.replace("&#160;", " ")
    for absent in ("dashed", "grey", "dotted", "≠"):
        assert absent not in draw_dot(y).source.replace("style=dashed", "")
    assert "upstream" not in draw_dot(y, legend=False).source


@pytest.mark.parametrize("rankdir", ["LR", "TB"])
def test_the_legend_is_no_caption_of_the_lowest_box(rankdir):
    picture = draw_dot(Value(2, "x") * 3, rankdir=rankdir)
    lowest = max(y for g in elements(picture, "node") for shape in shapes(g) for _, y in points(shape))
    [graph] = elements(picture, "graph")
    assert 28 <= min(float(text.get("y")) for text in graph.findall(f"{SVG}text")) - lowest <= 36


@pytest.mark.parametrize("ran", [False, True])
def test_arrows_run_forward_and_then_the_way_the_gradient_does_and_none_leads_to_a_constant(ran):
    x = Value(2, "x")
    y = x * 3
    if ran:
        y.backward()
    picture = draw_dot(y)
    middle = {}
    for g in elements(picture, "node"):
        xs = [float(p.split(",")[0]) for p in re.findall(r"-?[\d.]+,-?[\d.]+", shapes(g)[0].get("d"))]
        middle[texts(g)[0]] = sum(xs) / len(xs)
    with_label, constant = sorted(elements(picture, "edge"), key=texts, reverse=True)
    [head] = [p for p in with_label.iter(f"{SVG}polygon") if p.get("fill") != "none"]
    xs = [float(p.split(",")[0]) for p in head.get("points").split()]
    between = (middle["x"] + middle["×"]) / 2
    assert middle["x"] < min(xs) < max(xs) < between if ran else between < min(xs) < max(xs) < middle["×"]
    assert not list(constant.iter(f"{SVG}polygon"))


def test_the_words_are_chinese_where_asked_or_the_locale_is(monkeypatch):
    _, y = neuron()
    y.backward()
    boxes, _ = parsed(draw_dot(y, lang="zh"))
    words = {line.split()[0] for lines in boxes for line in lines[1:] if line[0] != "="}
    assert words == {"数值", "梯度"}
    assert "粗框：输出" in draw_dot(y, lang="zh").source
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert "数值" in draw_dot(y).source
    monkeypatch.setenv("LC_ALL", "en_GB.UTF-8")
    assert "数值" not in draw_dot(y).source


def test_chinese_is_in_a_font_of_mainland_china_unless_another_is_asked_for():
    y = Value(2, "x").sin()

    def fonts(**options):
        found = re.findall(r'fontname=("[^"]*"|[^\s\]]*)', draw_dot(y, **options).source)
        assert len(found) == 3
        return {font.strip('"') for font in found}

    assert fonts(lang="en") == {"sans-serif"}
    assert fonts(lang="zh") == {"Noto Sans CJK SC,sans-serif"}
    assert fonts(lang="zh", fontname="Noto Serif") == {"Noto Serif"}
    text = next(elements(draw_dot(y, lang="zh"), "node")[0].iter(f"{SVG}text"))
    assert text.get("font-family") == "Noto Sans CJK SC,sans-serif"


@pytest.mark.parametrize(
    ("options", "message"), [({"fold": "all"}, "fold must be"), ({"lang": "fr"}, "lang must be one of 'en', 'zh'")]
)
def test_refused_options(options, message):
    with pytest.raises(ValueError, match=message):
        draw_dot(Value(1), **options)


def test_parameters_are_marked_in_every_collection_that_holds_them():
    class Model(Module):
        def __init__(self):
            self.w = Value(2, "w")

        def __call__(self, x):
            return self.w * x

    m = Model()
    y = m(Value(3, "x"))
    plain, marked = draw_dot(y).source, draw_dot(y, parameters=m).source
    assert plain.count(PARAMETER) == 0
    assert marked.count(PARAMETER) == 1
    named = dict(m.named_parameters())
    every = [m.w, [m.w], [[m.w]], (m.w,), [m], {"model": m}, {"w": m.w}, named, m.named_parameters(), [named]]
    every += [[m.w, None], {"w": m.w, "b": None}]
    for parameters in [*every, [("w", m.w)], ("w", m.w), np.array([[m.w]]), {m.w}, SGD(m.parameters())]:
        assert draw_dot(y, parameters=parameters).source == marked, parameters
    assert draw_dot(y, parameters=[]).source == draw_dot(y, parameters={}).source == plain


@pytest.mark.parametrize("parameters", [{"w": 2.0}, ["w"], "w", b"w", 3, [3.0], None, MLP, np.array(3.0)])
def test_something_that_is_no_parameter_is_not_marked_without_a_word(parameters):
    with pytest.raises(TypeError, match=r"write parameters=model, or parameters=\[w, b\]"):
        draw_dot(Value(2) * 3, parameters=parameters)
    with pytest.raises(TypeError, match=r"请写 parameters=model"):
        draw_dot(Value(2) * 3, parameters=parameters, lang="zh")


def test_an_option_of_another_type_is_refused():
    for lang, text in [("en", "fontname must be a str"), ("zh", "fontname 必须是 str")]:
        with pytest.raises(TypeError, match=f"{text}.* 3$"):
            draw_dot(Value(2) * 3, fontname=3, lang=lang)
    with pytest.raises(TypeError, match="legend must be True or False, got 'no'"):
        draw_dot(Value(2) * 3, legend="no")
