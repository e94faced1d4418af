"""`draw_dot(y, step=k)` is a moment of the backward pass, and `draw_flow(y).save("pass.svg")` shows all moments."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from functools import cache
from pathlib import Path

import pytest

from micrograd_cn import Tape, Value, draw_dot, draw_flow
from micrograd_cn.engine import graph_nodes
from micrograd_cn.nn import MLP
from micrograd_cn.picture.animation import Animation, expressions, merged
from micrograd_cn.picture.steps import BackwardPass

from .svg import SVG, elements, parsed, points, shapes

ROOT = Path(__file__).parents[2]


def neuron():
    w, x, b = Value(-3, "w"), Value(2, "x"), Value(6.88, "b")
    y = (w * x + b).tanh()
    y.label = "y"
    return y


def gate():
    """Return tanh(w * x) * x, where x gets two contributions."""
    w, x = Value(0.5, "w"), Value(2, "x")
    return (w * x).tanh() * x


def saved(y, folder, lang="en"):
    return draw_flow(y, lang).save(folder / "pass.svg").read_text("utf-8")


@pytest.fixture(scope="module")
def animated_neuron(tmp_path_factory):
    """Return a function that gives the animation of a neuron in a language, which is made once."""
    return cache(lambda lang: saved(neuron(), tmp_path_factory.mktemp("neuron"), lang))


def visible(svg, second):
    """Return the texts that an animated SVG shows at a second, as its CSS says, or None for one that does not move."""
    keys = {
        name: re.findall(r"([\d.]+)%\{visibility:(\w+)\}", rule)
        for name, rule in re.findall(r"@keyframes (\S+?)\{((?:[^{}]+\{[^{}]*\})*)\}", svg)
    }
    [total] = map(float, re.findall(r"\{animation:([\d.]+)s step-end infinite\}", svg))
    found = []
    for text in ET.fromstring(svg).iter(f"{SVG}text"):
        shown = text.get("visibility") != "hidden"
        if second is not None and (name := text.get("class")):
            shown = [state for start, state in keys[name] if float(start) <= 100 * second / total + 1e-2][
                -1
            ] == "visible"
        if shown:
            found.append(" ".join(text.text.split()))
    return found


def test_a_step_shows_what_the_edges_up_to_it_have_carried():
    y = gate()
    steps = BackwardPass(y).steps
    x = next(step.operand for step in steps if step.operand.label == "x")
    assert [step.operand is x for step in steps] == [False, True, False, False, True]
    pictures = [parsed(draw_dot(y, step=k)) for k in range(6)]
    lines_of_x = [next(lines for lines in boxes if lines[0] == "x") for boxes, _ in pictures]
    grads = [next(line for line in lines if "grad" in line) for lines in lines_of_x]
    assert grads == ["grad -", "grad -", "grad 0.7616", "grad 0.7616", "grad 0.7616", "grad 1.182"]
    assert [lines[-1] for lines in lines_of_x[4:]] == [
        "",
        "= 0.42 + 0.7616",
    ]  # the sum has its place before it is known
    for k, (_, edges) in enumerate(pictures):
        assert sum(any(line.startswith(("+", "-")) for line in edge) for edge in edges) == k
    assert y.grad == x.grad == 0.0


def test_the_last_step_is_the_picture_after_backward():
    y = neuron()
    stepped = parsed(draw_dot(y, step=5))
    y.backward()
    assert stepped == parsed(draw_dot(y))
    y.backward()  # the leaves have twice their gradients now, which a step does not show
    assert stepped == parsed(draw_dot(y, step=5))


def test_the_gradients_of_the_steps_are_those_of_backward_to_the_bit():
    model = MLP(2, [3, 1], seed=1)
    loss = (model([Value(0.5), Value(-1.0)]) - 1) ** 2
    after = {step.operand: step.after for step in BackwardPass(loss).steps}
    loss.backward()
    assert len(after) > 20
    assert {node: node.grad for node in after} == after


def test_a_closure_of_the_user_sends_what_it_adds():
    x = Value(3.0, "x")
    y = Value(9.0, (x,), "clipped square")
    y._backward = lambda: setattr(x, "grad", x.grad + min(2 * x.data * y.grad, 1.5))
    [step] = BackwardPass(y).steps
    assert step.contribution == step.after == 1.5


def test_nothing_moves_from_step_to_step():
    y = gate()

    def places(k):
        picture = draw_dot(y, step=k)
        root = ET.fromstring(picture.pipe("svg"))
        return root.get("viewBox"), [points(shapes(g)[0]) for g in elements(picture, "node")]

    assert [places(k) for k in range(1, 6)] == [places(0)] * 5


def test_an_edge_points_the_way_the_gradient_flows_from_its_step_on():
    y = neuron()
    colours = [[shapes(g)[0].get("stroke") for g in elements(draw_dot(y, step=k), "edge")] for k in range(6)]
    assert [sum(colour in ("#0072b2", "#b84900") for colour in row) for row in colours] == [0, 1, 2, 3, 4, 5]


def test_an_operand_that_was_not_selected_gets_nothing():
    x = Value(-1, "x")
    y = (-x.exp()).relu() + x
    steps = BackwardPass(y).steps
    assert [step.contribution for step in steps] == [1.0, 1.0, None, None, None]
    assert [step.narration.removeprefix("narrate_") for step in steps] == [
        *("edge", "edge", "unselected", "unreached", "unreached")
    ]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_wrong_step_is_refused(lang):
    y = neuron()
    for step in (-1, 6):
        with pytest.raises(ValueError, match=rf"step .*5.* {step}$"):
            draw_dot(y, step=step, lang=lang)
    for step in (True, 1.0, "1"):
        with pytest.raises(TypeError, match="step"):
            draw_dot(y, step=step, lang=lang)
    with pytest.raises(ValueError, match="draw_dot"):
        draw_dot((y * 2).detach(), step=0, lang=lang)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_animation_shows_each_moment_in_turn(animated_neuron, lang):
    svg = animated_neuron(lang)
    scenes = Animation(neuron(), lang).scenes
    start, shown = 0.0, []
    for scene in scenes:
        now = visible(svg, start + scene.seconds / 2)
        start += scene.seconds
        assert scene.caption in now
        assert sum(other.caption in now for other in scenes if other.caption != scene.caption) == 0
        shown.append(now)
    data = [sum(text in ("-6", "0.88", "0.7064") for text in now) for now in shown]
    carried = [sum(bool(re.match(r"[+]\d|-1.503$", text)) for text in now) for now in shown]
    assert data == [3, 0, 1, 2, *[3] * 8]
    assert carried[:6] == [6, 0, 0, 0, 0, 0]
    assert carried[6:] == [1, 2, 3, 4, 6, 6]  # -1.503 is on the edge and in the box
    assert shown[0] == shown[-1] == visible(svg, None)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_caption_calls_a_node_by_its_label_or_its_expression_or_if_that_is_long_by_its_operation(lang):
    a, b = Value(1.0, "a_parameter"), Value(2.0, "another_parameter")
    labelled = Value(3.0, "c") * a
    labelled.label = "z"
    for y, name in ((labelled, "z"), (a.exp(), "exp(a_parameter)"), ((a * b + a) * (b + a), "×")):
        captions = [scene.caption for scene in Animation(y, lang).scenes]
        assert f"{name}.grad = 1" in captions
        assert not [caption for caption in captions if "None" in caption]


@pytest.mark.parametrize(("lang", "title"), [("en", "Backpropagation through {}"), ("zh", "{} 的反向传播")])
def test_the_animation_has_a_title_and_no_script_and_is_still_for_those_who_prefer_that(animated_neuron, lang, title):
    svg = animated_neuron(lang)
    root = ET.fromstring(svg)
    assert root[0].tag == f"{SVG}title"
    assert root[0].text == title.format("y = tanh(w * x + b)")
    assert root[1].tag == f"{SVG}desc"
    assert "w.grad = 1.002, x.grad = -1.503, b.grad = 0.501" in root[1].text
    assert "y = tanh(w * x + b)" in visible(svg, None)
    assert root.get("role") == "img"
    assert not re.search(r"<script|<animate|<set|href|\bon\w+=|javascript", svg)
    assert len(svg.encode()) < 60_000
    still = re.sub(r"@media screen and \(prefers-reduced-motion:no-preference\)\{.*?\}\}\}", "", svg)
    assert "@keyframes" in svg
    assert "@keyframes" not in still
    assert "animation" not in still
    assert (root.get("{http://www.w3.org/XML/1998/namespace}lang") == "zh-CN") == (lang == "zh")


def test_the_pictures_of_the_readme_are_such_animations():
    for lang in ("en", "zh"):
        svg = (ROOT / f"demos/pictures/neuron.{lang}.svg").read_text("utf-8")
        assert len(svg.encode()) < 60_000
        start = 0.0
        for scene in Animation(neuron(), lang).scenes:
            assert scene.caption in visible(svg, start + scene.seconds / 2)
            start += scene.seconds


def test_a_folded_network_is_animated_and_a_graph_that_cannot_be_read_is_refused(tmp_path):
    loss = (MLP(2, [8, 8, 1], seed=0)([Value(0.5, "x1"), Value(-1.0, "x2")]) - 1) ** 2
    svg = saved(loss, tmp_path)
    (tmp_path / "pass.svg").unlink()
    assert len(svg.encode()) < 60_000
    assert any("|grad|" in text for text in visible(svg, None))
    xs = [Value(i, f"x{i}") for i in range(70)]
    with pytest.raises(ValueError, match=r"pass\.svg.*\.html"):
        saved(sum(xs[1:], xs[0]), tmp_path)
    assert not list(tmp_path.iterdir())


def test_two_animations_in_one_page_do_not_share_a_class(animated_neuron, tmp_path):
    svgs = animated_neuron("en"), saved(gate(), tmp_path)
    names = [set(re.findall(r"@keyframes (\S+?)\{", svg)) for svg in svgs]
    assert names[0]
    assert not names[0] & names[1]


def test_lines_that_all_frames_have_are_there_once():
    opening = '<svg xmlns="http://www.w3.org/2000/svg"><style>s</style>\n<g id="node1" class="node">\n<path d="M0"/>\n'
    frames = [f'{opening}<text x="1">{i}</text>\n</g>\n</svg>' for i in (1, 2, 3)]
    svg = merged(frames, [1, 2, 1], "a < b", "told")
    assert svg.count("<path") == 1
    assert [visible(svg, second) for second in (0.5, 2, 3.5, None)] == [["1"], ["2"], ["3"], ["3"]]
    assert "<title>a &lt; b</title>" in svg


@pytest.mark.parametrize(
    "code",
    ["a - (b - a)", "(a + b) * a", "a - b - a", "-(a + b)", "(-a) ** 2", "a ** b ** a", "(a ** b) ** a"],
)
def test_an_expression_is_the_code_that_computes_the_same(code):
    a, b = Value(1.3, "a"), Value(0.7, "b")
    y = eval(code, {"a": a, "b": b})
    text = Animation(y, "en").expression
    again = eval(text, {"a": 1.3, "b": 0.7})
    assert again == pytest.approx(y.data, rel=1e-12)


def test_a_long_expression_is_cut():
    y = x = Value(0.5, "x")
    for _ in range(20):
        y = y * y + x
    texts = expressions(graph_nodes(y))
    assert "…" in texts[y]
    assert max(map(len, texts.values())) <= 60


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("name", ["pass.png", "pass.pdf", "pass.SVGZ", "pass.dot"])
def test_another_ending_is_refused(tmp_path, name, lang):
    with pytest.raises(ValueError, match=r"\.html.*\.svg.*\.gif.*" + re.escape(name)):
        draw_flow(neuron(), lang).save(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["flow.html", "flow.HTM", "flow"])
def test_a_page_is_written_as_before(tmp_path, name):
    assert draw_flow(neuron(), "en").save(tmp_path / name).read_text("utf-8").startswith("<!doctype html>")


def test_a_tape_of_several_graphs_and_changed_data_are_refused(tmp_path):
    y = neuron()
    tape = Tape("en")
    with pytest.raises(ValueError, match="empty"):
        tape.save(tmp_path / "pass.svg")
    tape.snapshot(y)
    tape.snapshot(y)
    with pytest.raises(ValueError, match="2 graphs"):
        tape.save(tmp_path / "pass.svg")
    page = draw_flow(y, "en")
    x = next(step.operand for step in BackwardPass(y).steps if step.operand.label == "x")
    x.data = 5.0
    with pytest.raises(RuntimeError, match="data has changed"):
        page.save(tmp_path / "pass.svg")
    assert not list(tmp_path.iterdir())


def test_a_gif_has_a_frame_for_each_moment(tmp_path):
    image = pytest.importorskip("PIL.Image")
    y = Value(3, "a").exp()
    with image.open(draw_flow(y, "en").save(tmp_path / "pass.gif")) as gif:
        assert gif.format == "GIF"
        assert gif.info["loop"] == 0
        assert gif.n_frames == len(Animation(y, "en").scenes)
        frames = []
        for i in range(gif.n_frames):
            gif.seek(i)
            frames.append((gif.info["duration"], gif.convert("RGB").tobytes()))
    assert [time for time, _ in frames] == [round(1000 * scene.seconds) for scene in Animation(y, "en").scenes]
    assert frames[0][1] == frames[-1][1]
    assert len({pixels for _, pixels in frames}) == len(frames) - 1


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_without_pillow_the_message_says_what_to_install(tmp_path, monkeypatch, lang):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match="pip install pillow"):
        draw_flow(neuron(), lang).save(tmp_path / "pass.gif")
    assert not list(tmp_path.iterdir())


def test_a_page_needs_neither_pillow_nor_graphviz(tmp_path):
    code = (
        "import sys; sys.modules['PIL'] = sys.modules['graphviz'] = None\n"
        "from micrograd_cn import Value, draw_flow\n"
        f"draw_flow(Value(2, 'a') * 3).save({str(tmp_path / 'flow.html')!r})"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
