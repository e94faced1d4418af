"""The gradient-flow page, in a real browser: what it shows is what Python computes, and nothing leaves it."""

import itertools
import json
import math
import os
import re
import shutil
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from micrograd_cn import OPS, Op, Tape, Value, draw_flow, exp, flow, where
from micrograd_cn.flow.javascript import Rows
from micrograd_cn.formula import FormulaError
from micrograd_cn.nn import MLP, Neuron
from micrograd_cn.optim import SGD
from micrograd_cn.testing import expressions
from micrograd_cn.words import PAGE, WORDS

from .test_higher_orders import reached

inf, nan = math.inf, math.nan
HERE = Path(flow.__file__).parent


@pytest.fixture(scope="module")
def browser():
    """Give Debian's chromium; without it these tests are skipped, unless MICROGRAD_CN_BROWSER=required."""
    missing = []
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        missing.append("chromium (Debian: apt-get install chromium)")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing.append("playwright (pip install playwright)")
    if missing:
        reason = f"the page is not tested: there is no {' and no '.join(missing)}"
        if os.environ.get("MICROGRAD_CN_BROWSER") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def blank(browser):
    """Give an empty page, for JavaScript alone."""
    return browser.new_page()


class Opened:
    """A page in the browser, with all that it must not do on record."""

    def __init__(self, browser, **options):
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        self.page = self.context.new_page()
        self.errors, self.requests = [], []
        self.page.on("console", lambda message: self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def show(self, path):
        self.page.mouse.move(0, 0)
        self.errors.clear()
        self.requests.clear()
        self.url = path.as_uri()
        self.page.goto(self.url)

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def click(self, word, lang="en"):
        self.page.get_by_role("button", name=PAGE[lang][word], exact=True).click()

    @property
    def narration(self):
        return self.page.locator("#narration").inner_text()

    def nodes(self):
        found = self.page.evaluate("[...document.querySelectorAll('.node')].map(node => ({...node.dataset}))")
        return {facts["name"]: facts for facts in found}

    def edges(self):
        return self.page.evaluate("[...document.querySelectorAll('.edge')].map(edge => ({...edge.dataset}))")

    def cells(self, table):
        rows = f"[...document.querySelectorAll('#{table} tr')]"
        return self.page.evaluate(f"{rows}.map(row => [...row.cells].map(cell => cell.textContent))")


@pytest.fixture(scope="module")
def tab(browser):
    """Give a context that opens a file; at its end, no error was seen and no request was made.

    Tabs without options are used again, since to open one takes longer than most of the tests.
    """
    free = []

    @contextmanager
    def tab(path, **options):
        opened = free.pop() if free and not options else Opened(browser, **options)
        try:
            opened.show(path)
            yield opened
            assert opened.errors == []
            assert opened.requests == [opened.url]
        except BaseException:
            opened.context.close()
            raise
        if options:
            opened.context.close()
        else:
            free.append(opened)

    return tab


@pytest.fixture
def opened(tab, tmp_path):
    """Give a function that saves a page and opens it in a tab until the test ends."""
    paths = (tmp_path / f"flow{i}.html" for i in itertools.count())
    with ExitStack() as tabs:

        def open_page(page, **options):
            page.save(path := next(paths))
            return tabs.enter_context(tab(path, **options))

        yield open_page


def example():
    """Return y = tanh(h*v + x*x) of h = w*x + b, in which x is used three times."""
    x, w, v, b = Value(0.5, "x"), Value(-3, "w"), Value(2, "v"), Value(1.25, "b")
    h = w * x + b
    h.label = "h"
    y = (h * v + x * x).tanh()
    y.label = "y"
    return y, {"x": x, "w": w, "v": v, "b": b, "h": h, "y": y}


def below(root):
    """Return every node below `root`."""
    found, waiting = {root: None}, [root]
    while waiting:
        for parent in waiting.pop().parents:
            if parent not in found:
                found[parent] = None
                waiting.append(parent)
    return list(found)


def labelled(root):
    """Give every node below `root` that has none a label, and return them by label."""
    nodes = below(root)
    for i, node in enumerate(nodes):
        node.label = node.label or f"n{i}"
    return {node.label: node for node in nodes}


def same(a, b, tolerance=0.0):
    return a == b or (a != a and b != b) or abs(a - b) <= tolerance * max(abs(a), abs(b))


def assert_gradients(shown, nodes):
    """Compare the page's nodes with Python's, to the last bit."""
    assert shown.keys() == nodes.keys()
    for name, node in nodes.items():
        assert shown[name]["state"] == "complete"
        assert same(float(shown[name]["value"]), node.data), name
        if node.requires_grad:
            assert same(float(shown[name]["grad"]), node.grad), name
        else:
            assert shown[name]["grad"] == ""


# The steps.


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
    assert page.narration == "v2.grad: 0 + (local 1 × upstream 1) = 1\nv2: 1 of 1 arrived, complete: now it can send."
    assert [edge["contribution"] for edge in page.edges()] == ["", "", "1", ""]
    page.press("ArrowRight")
    assert page.narration.startswith("x.grad: 0 + (local 1 × upstream 1) = 1\nx: 1 of 2 arrived; it cannot send")
    assert page.nodes()["x"] == {"name": "x", "value": "-1.2", "grad": "1", "state": "partial"}
    assert "1 of 2 arrived" in page.page.locator(".node[data-name=x]").text_content()
    page.press("ArrowRight")
    assert page.narration == ("w.grad: 0 + (local -1.2 × upstream 1) = -1.2\nw: 1 of 1 arrived, complete.")
    page.press("ArrowRight")
    assert page.narration.startswith("x.grad: 1 + (local 0.5 × upstream 1) = 1.5\nx: 2 of 2 arrived, complete.")
    assert "= 1 + 0.5" in page.page.locator(".node[data-name=x]").text_content()
    assert page.nodes()["x"]["state"] == "complete"
    page.press("l")
    assert page.narration.startswith("x.grad：1 + (局部导数 0.5 × 上游梯度 1) = 1.5\nx：已到 2 项，共 2 项，完成。")


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
    page.press("End", "Home", "End")  # the start again, with a single backward()
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
            """() => Object.fromEntries(graph.nodes.filter(node => node.row).map(node => {
                const operands = node.parents.map(i => numbers.data[i]), y = forward[node.row](...operands);
                return [node.name, [y, partials[node.row](y, ...operands)]];
            }))"""
        ).items():
            [true] = [n for n in nodes if n.label == node]
            assert same(data, true.data, 1e-12), true
            for parent, got, partial in zip(true.parents, partials, true.partials, strict=True):
                assert same(got, partial, 1e-12) or not parent.requires_grad, (true, true.op)


# The keys and the controls.


def position(page):
    return int(page.page.locator("#progress").inner_text().split()[1])


def test_every_key(opened):
    y, _ = example()
    page = opened(draw_flow(y, "en"))
    total = 6 + 1 + 11
    page.press("ArrowRight", "ArrowRight")
    assert position(page) == 2
    page.press("ArrowLeft")
    assert position(page) == 1
    page.press("End")
    assert position(page) == total
    page.press("Shift+ArrowLeft")  # x*x sends twice
    assert position(page) == total - 2
    page.press("Shift+ArrowRight")
    assert position(page) == total
    page.press("Home")
    assert position(page) == 0
    page.press("Shift+ArrowRight")
    assert position(page) == 1
    page.press("Shift+ArrowLeft", "ArrowLeft", "Shift+ArrowLeft")
    assert position(page) == 0
    page.press("l")
    assert page.page.locator("html").get_attribute("lang") == "zh-CN"
    page.press("Shift+L")
    assert page.page.locator("html").get_attribute("lang") == "en"
    page.press("?")
    assert page.page.locator("dialog").is_visible()
    page.press("Escape")
    assert not page.page.locator("dialog").is_visible()
    page.press("Control+ArrowRight")
    assert position(page) == 0


def test_space_plays_to_the_end_and_pauses(opened, browser):
    y, _ = example()
    page = opened(draw_flow(y, "en"))
    page.page.clock.install()
    page.press(" ")
    assert position(page) == 1
    assert page.page.locator("#play").inner_text() == "Pause"
    page.page.clock.run_for(3 * 1100)
    assert position(page) == 4
    page.press(" ")
    page.page.clock.run_for(10_000)
    assert position(page) == 4
    page.press(" ")
    page.page.clock.run_for(60_000)
    assert position(page) == 18
    assert page.page.locator("#play").inner_text() == "Play"


def test_keys_typed_into_a_field_are_no_commands(opened):
    y, _ = example()
    page = opened(draw_flow(y, "en"))
    page.page.get_by_label("Value").focus()
    page.press("End", "ArrowLeft", "l", "?", "Home", "ArrowRight")
    assert position(page) == 0
    assert page.page.locator("html").get_attribute("lang") == "en"
    assert not page.page.locator("dialog").is_visible()


def test_tab_reaches_every_control_and_the_focus_is_visible(opened):
    y, _ = example()
    page = opened(draw_flow(y, "en"))
    page.press("ArrowRight")
    reached = []
    while True:
        page.press("Tab")
        found = page.page.evaluate(
            "(e => [e.id, getComputedStyle(e).outlineStyle, getComputedStyle(e).outlineWidth])(document.activeElement)"
        )
        if not found[0]:
            break
        assert found[1:] == ["solid", "3px"], found
        reached.append(found[0])
    expected = "language help graph start node_back back play step node_step end again zero predict leaf value nudge "
    expected += "nodes_frame edges_frame"
    assert reached == expected.split()


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_buttons_have_accessible_names_in_both_languages(lang, opened):
    y, _ = example()
    page = opened(draw_flow(y, lang))
    for word in ("start", "node_back", "back", "play", "step", "node_step", "end", "again", "zero", "predict", "help"):
        assert page.page.get_by_role("button", name=PAGE[lang][word], exact=True).count() == 1
    for word in ("leaf", "value"):
        assert page.page.get_by_label(PAGE[lang][word], exact=True).count() == 1


def test_the_language_switches_everything(opened):
    y, _ = example()
    page = opened(draw_flow(y, "en"))
    page.press("End")
    page.click("nudge")
    body = page.page.locator("body")
    assert "数值" not in body.inner_text()
    shown = page.nodes()
    page.click("other_language")
    text = body.inner_text()
    for name in ("x", "y"):
        lines = page.page.locator(f".node[data-name={name}] text").all_text_contents()
        assert f"梯度 {float(shown[name]['grad']):.4g}" in lines
    english = set(re.findall("[A-Za-z]{3,}", text)) - {"tanh", "grad", "English", "backward", "zero"}
    assert english == set()
    assert page.nodes() == shown


def test_both_languages_have_the_same_words_with_the_same_gaps():
    for words in (PAGE, WORDS):
        assert words["en"].keys() == words["zh"].keys()
    for key, text in PAGE["en"].items():
        assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", PAGE["zh"][key])), key


def test_the_page_starts_in_the_locale_s_language(monkeypatch):
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    assert '<html lang="zh-CN">' in draw_flow(Value(1).exp()).html
    assert '<html lang="en">' in draw_flow(Value(1).exp(), lang="en").html


def test_the_tables_say_what_the_picture_says(opened):
    y, named = example()
    page = opened(draw_flow(y, "en"))
    page.press("End")
    shown = page.nodes()
    assert page.cells("nodes")[0] == ["node", "operation", "data", "grad", "terms", "state"]
    assert [row[:1] + row[2:4] for row in page.cells("nodes")[1:]] == [
        [name, facts["value"], facts["grad"]] for name, facts in shown.items()
    ]
    y.backward()
    columns = [[edge[key] for key in ("src", "dst", "slot")] for edge in page.edges()]
    assert [row[:3] for row in page.cells("edges")[1:]] == columns
    for source, target, slot, local, upstream, contribution in page.cells("edges")[1:]:
        assert {source, target} <= shown.keys()
        assert upstream == shown[target]["grad"]
        assert float(local) * float(upstream) == float(contribution), slot
    [terms] = [row[4] for row in page.cells("nodes") if row[0] == "x"]
    assert math.fsum(map(float, terms.replace("(", "").replace(")", "").split(" + "))) == pytest.approx(named["x"].grad)


def test_the_labels_of_edges_are_above_all_lines_and_look_like_them(opened):
    a = Value(2, "a")
    y = (a * a - 3 * a + (a * -1).relu()) * a
    page = opened(draw_flow(y, "en"))
    page.press("End")
    above = "found => found.every(([a, b]) => a.compareDocumentPosition(b) & Node.DOCUMENT_POSITION_FOLLOWING)"
    found = "[...document.querySelectorAll('.{}')]".format
    pairs = f"{found('line')}.flatMap(a => {found('label')}.map(b => [a, b]))"
    assert page.page.evaluate(f"({above})({pairs})")
    looks = page.page.evaluate(
        """[...document.querySelectorAll(".edge")].map((edge, i) => {
            const label = document.querySelectorAll(".label")[i], text = label.querySelector("text");
            const [line, words] = [edge.querySelector(".line"), text ?? label].map(e => getComputedStyle(e));
            return {
                same: !text || line.stroke === words.fill || edge.matches(".zero"),
                bold: text ? words.fontWeight === "700" : null, active: edge.matches(".active"),
                halo: text ? [words.stroke, words.strokeWidth, words.paintOrder.split(" ")[0]].join(" ") : null,
                titles: [edge, label].map(e => e.querySelector("title").textContent),
                texts: edge.querySelectorAll("text").length, data: Object.keys(label.dataset).length,
            };
        })"""
    )
    assert len(looks) == len(page.edges()) > 6
    assert [look["active"] for look in looks].count(True) == 1
    for look in looks:
        assert look["same"], look
        assert look["bold"] in (look["active"], None)
        assert look["halo"] in ("rgb(255, 255, 255) 3px stroke", None)
        assert look["titles"][0] == look["titles"][1]
        assert (look["texts"], look["data"]) == (0, 0)


def test_arrows_scroll_a_table_and_do_not_step(opened):
    y, _ = example()
    page = opened(draw_flow(y, "en"), viewport={"width": 360, "height": 740})
    for table in ("nodes", "edges"):
        frame = page.page.get_by_role("region", name=PAGE["en"][f"{table[:-1]}_table"], exact=True)
        frame.focus()
        page.press("ArrowRight")
        for _ in range(100):
            if moved := page.page.evaluate(f"document.getElementById('{table}_frame').scrollLeft"):
                break
            page.page.wait_for_timeout(20)
        assert moved > 0
    page.press("ArrowLeft", "Shift+ArrowRight")
    assert position(page) == 0
    page.press("End")
    assert position(page) == 18


def test_every_negative_term_of_a_sum_stands_in_parentheses(opened):
    x = Value(0, "x")
    page = opened(draw_flow(x * -1.5 + x * x * -1, "en"))
    page.press("End")
    [terms] = [row[4] for row in page.cells("nodes") if row[0] == "x"]
    assert sorted(terms.split(" + ")) == ["(-0)", "(-0)", "(-1.5)"]


def test_the_narration_is_announced_and_the_page_respects_reduced_motion(opened):
    y, _ = example()
    page = opened(draw_flow(y, "en"), reduced_motion="reduce")
    page.press("End")
    assert page.page.locator("#narration").get_attribute("aria-live") == "polite"
    animation = "getComputedStyle(document.querySelector('.edge.active .line')).animationName"
    assert page.page.evaluate(animation) == "none"
    page.page.emulate_media(reduced_motion="no-preference")
    assert page.page.evaluate(animation) == "flow"


LUMINANCE = """element => {
    const channels = text => text.match(/[\\d.]+/g).slice(0, 3).map(c => c / 255);
    const linear = c => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    const weights = [0.2126, 0.7152, 0.0722];
    const luminance = text => channels(text).map(linear).reduce((sum, c, i) => sum + c * weights[i], 0);
    const style = getComputedStyle(element), ink = element instanceof SVGElement ? style.fill : style.color;
    let behind = element.closest(".node")?.querySelector("rect"), paper = behind && getComputedStyle(behind).fill;
    for (behind = element; !paper; behind = behind.parentElement) {
        const colour = behind ? getComputedStyle(behind).backgroundColor : "rgb(255, 255, 255)";
        if (colour !== "rgba(0, 0, 0, 0)") paper = colour;
    }
    const [dark, light] = [ink, paper].map(luminance).sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
}"""


@pytest.mark.slow
def test_every_text_has_a_contrast_of_at_least_4_5(opened):
    a = Value(2, "a")
    y = (a * a - 3 * a + (a * -1).relu() + MLP(1, [2, 1])([a])) ** 2
    page = opened(draw_flow(y, "en"))
    page.press("End")
    page.page.locator("#value").fill("x")
    page.click("predict")
    page.press("?")
    checked = 0
    for element in page.page.query_selector_all("body *"):
        own_text = "e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())"
        if element.evaluate(own_text) and not element.evaluate("e => e.closest('script, title, noscript, [hidden]')"):
            checked += 1
            assert element.evaluate(LUMINANCE) >= 4.5, element.evaluate("e => e.outerHTML")
    assert checked > 100


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_at_360_pixels_the_graph_scrolls_in_its_own_box(lang, opened):
    y, _ = example()
    page = opened(draw_flow(y, lang), viewport={"width": 360, "height": 740})
    page.press("End")
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.page.evaluate("(g => g.scrollWidth > g.clientWidth)(document.getElementById('graph'))")
    for keys in (["Home", *["ArrowRight"] * 6], ["End"]):  # where y is computed, at the right; and x, at the left
        page.press(*keys)
        frame, box = page.page.locator("#graph").bounding_box(), page.page.locator(".node.active").first.bounding_box()
        assert box["x"] >= frame["x"]
        assert box["x"] + box["width"] <= frame["x"] + frame["width"]


LABELS = ["一个很长的中文标签用来检查框的宽度", "W" * 40, "a label of some length", "权重", "﷽﷽﷽﷽", "x"]


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("label", LABELS)
def test_no_text_leaves_its_box(lang, label, opened):
    x = Value(-1.234567e-200, label)
    y = (x * -9.87654e-50 + x) * x
    page = opened(draw_flow(y, lang))
    for key in ("End", "Home", "ArrowRight", "End"):
        page.press(key)
        widest = page.page.evaluate(
            """[...document.querySelectorAll(".node text:not(:empty)")].map(text => {
                const inner = text.getBBox(), outer = text.parentNode.querySelector("rect").getBBox();
                return Math.max(outer.x - inner.x, inner.x + inner.width - outer.x - outer.width);
            })"""
        )
        assert max(widest) <= 0


def test_a_label_of_10_000_characters_is_cut_in_its_box_and_whole_in_its_name(opened):
    label = "长" * 10_000
    page = opened(draw_flow(Value(1, label).sin()))
    [title] = page.page.locator(".node .title").filter(has_text="长").all_text_contents()
    assert title.endswith("…")
    assert len(title) < 41
    assert label in page.nodes()


def test_of_many_terms_the_last_ones_are_shown(opened):
    x = Value(1, "x")
    page = opened(draw_flow(OPS["sum"]([x * (n / 7) for n in range(1, 9)])))
    page.press("End")
    box = page.page.locator(".node[data-name=x]")
    assert re.search(r"= … \+ 0\.\d+", box.text_content())
    assert box.locator("[textLength]").count() == 0


def test_an_operation_of_many_operands_is_told_in_short(opened):
    xs = [Value(i, f"x{i}") for i in range(20)]
    page = opened(draw_flow(OPS["sum"](xs), "en"))
    page.press("ArrowRight")
    assert page.narration == "Forward: v20 = sum(x0, x1, …, x19) = sum(0, 1, …, 19) = 190"


def test_it_prints_the_graph_and_the_tables_without_the_controls(opened):
    y, _ = example()
    page = opened(draw_flow(y, "en"), viewport={"width": 700, "height": 1000})  # a page of A4
    page.press("End")
    page.page.emulate_media(media="print")
    assert page.page.locator("#graph svg").is_visible()
    assert page.page.locator("#nodes").is_visible()
    assert not page.page.get_by_role("button").first.is_visible()
    for selector in ("#graph", ".table"):
        fits = "found => found.every(e => e.scrollWidth <= e.clientWidth)"
        assert page.page.locator(selector).evaluate_all(fits), selector


# Play.


def test_editing_a_leaf_computes_everything_anew(opened):
    y, _ = example()
    labelled(y)
    page = opened(draw_flow(y, "en"))
    page.press("End")
    page.page.get_by_label("Leaf").select_option("w")
    page.page.get_by_label("Value").fill("0.75")
    _, named = example()
    x, w, v, b = (named[name] for name in "xwvb")
    w.data = 0.75
    y = ((w * x + b) * v + x * x).tanh()
    y.backward()
    shown = page.nodes()
    for node, name in ((x, "x"), (w, "w"), (v, "v"), (b, "b"), (y, "y")):
        assert same(float(shown[name]["value"]), node.data, 1e-12)
        assert same(float(shown[name]["grad"]), node.grad, 1e-12)
    page.click("undo")
    y, _ = example()
    y.backward()
    assert_gradients(page.nodes(), labelled(y))


@pytest.mark.parametrize("text", ["", "1.2.3", "0x10", "1e", "one", "<b>"])
def test_what_is_no_number_is_refused_and_changes_nothing(text, opened):
    y, _ = example()
    page = opened(draw_flow(y, "en"))
    shown = page.nodes()
    page.page.get_by_label("Value").fill(text)
    assert page.nodes() == shown
    assert page.page.get_by_label("Value").get_attribute("aria-invalid") == "true"
    assert "Not a number" in page.page.locator("#message").inner_text()
    for valid in ("nan", "-inf", "1e-3", "-.5"):
        page.page.get_by_label("Value").fill(valid)
        assert page.page.get_by_label("Value").get_attribute("aria-invalid") == "false"
        assert same(float(page.nodes()["x"]["value"]), float(valid))


def message(page):
    return page.page.locator("#message").inner_text()


def test_a_message_goes_with_what_it_was_about(opened):
    page = opened(draw_flow(Value(2, "a") * Value(4, "b"), "en"))
    page.click("nudge")
    page.page.locator(".node[data-name=a]").click()
    assert "Nudge a" in message(page)  # the same leaf
    page.page.locator(".node[data-name=b]").click()
    assert message(page) == ""
    page.click("nudge")
    page.page.get_by_label("Value").fill("5")
    assert message(page) == ""
    page.click("nudge")
    page.click("undo")
    assert message(page) == ""
    page.page.get_by_label("Value").fill("1..")
    assert "Not a number" in message(page)
    page.click("step")
    assert page.page.get_by_label("Value").input_value() == "4"
    assert message(page) == ""


@pytest.mark.parametrize("minus", "-−–－")
def test_any_minus_is_read_everywhere(minus, opened):
    page = opened(draw_flow(Value(2, "a") * 3, "en"))
    page.page.get_by_label("Value").fill(f"{minus}2e{minus}3")
    assert page.nodes()["a"]["value"] == "-0.002"


def test_a_click_on_a_leaf_edits_it_and_a_constant_cannot_be_edited(opened):
    y = Value(2, "a") * 3 + Value(4, "b")
    page = opened(draw_flow(y, "en"))
    page.page.locator(".node[data-name=b]").click()
    page.page.keyboard.type("7")
    assert page.nodes()["b"]["value"] == "7"
    assert page.page.locator("#leaf option").all_inner_texts() == ["a", "b"]


def test_nudge_checks_the_gradient_by_finite_differences(opened):
    y, _ = example()
    page = opened(draw_flow(y, "en"))
    page.click("nudge")
    told = page.page.locator("#message").inner_text()
    assert "y becomes" in told
    assert told.endswith("they agree.")
    kink = opened(draw_flow(Value(0, "x").relu(), "en"))
    kink.click("nudge")
    assert "slope of 0.5" in kink.page.locator("#message").inner_text()
    assert kink.page.locator("#message").inner_text().endswith("they differ, as at a kink.")


NUDGES = [
    (lambda x: x.log(), 0.001, "agree"),
    (lambda x: 1 / x, 0.001, "agree"),
    (lambda x: 1 / x, -1e-9, "agree"),
    (lambda x: x.sqrt(), 1e-5, "agree"),
    (lambda x: (1000 * x).sin(), 3.0, "agree"),
    (lambda x: x.exp(), -30.0, "agree"),
    (lambda x: x.sin() + 1, 1e-9, "agree"),  # which its own scale is too small for
    (lambda x: x * 1e-9, 0.0, "agree"),
    (lambda x: x * 0, 2.0, "agree"),
    (lambda x: x.relu() * 1e-6, 0.0, "differ"),
    (lambda x: (x - 3).relu(), 3.0, "differ"),
    (lambda x: Op("wrong", lambda x: x * x, (lambda y, x: 2.00001 * x,))(x) * 1e-9, 2.0, "differ"),
    (lambda x: x * 2, nan, "unclear"),
    (lambda x: x * 2, inf, "unclear"),
    (lambda x: x.log(), 0.0, "unclear"),
    (lambda x: x + 1e20, 1.0, "unclear"),
]


@pytest.mark.parametrize(("f", "x", "verdict"), NUDGES)
def test_nudge_knows_what_differences_can_tell(f, x, verdict, opened):
    page = opened(draw_flow(f(Value(x, "x")), "en"))
    for lang in ("en", "zh"):
        page.click("nudge", lang)
        told = page.page.locator("#message").inner_text()
        assert told.endswith(f"{PAGE[lang][verdict]}{'.' if lang == 'en' else '。'}"), told
        assert "NaN" not in told
        assert "Infinity" not in told
        page.click("other_language", lang)


def test_nudge_writes_nan_and_inf_as_the_rest_does(opened):
    page = opened(draw_flow(Value(0, "x").log(), "en"))
    page.click("nudge")
    told = page.page.locator("#message").inner_text()
    assert "becomes nan and " in told
    assert "a slope of nan. The gradient by backward() is inf:" in told


def test_predict_hides_the_next_number_until_it_is_typed(opened):
    w, x = Value(0.5, "w"), Value(-1.25, "x")
    page = opened(draw_flow(w * x + x, "en"))
    page.press("ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight")
    page.click("predict")
    page.press("ArrowRight")
    assert page.narration == "x.grad: 0 + (local 1 × upstream 1) = ?"
    assert page.nodes()["x"]["grad"] == ""
    page.page.keyboard.type("2\n")
    assert "Not yet" in page.page.locator("#verdict").inner_text()
    assert page.nodes()["x"]["grad"] == ""
    page.page.get_by_label("question mark").fill("1")
    page.click("check")
    assert page.nodes()["x"]["grad"] == "1"
    page.click("step")
    assert page.narration == "w.grad: 0 + (local -1.25 × upstream 1) = ?"
    page.click("reveal")
    assert page.nodes()["w"]["grad"] == "-1.25"


def ask(page, presses):
    """Begin to predict, after `presses` of the arrow."""
    page.press(*["ArrowRight"] * presses)
    page.click("predict")
    page.click("step")
    assert "?" in page.narration
    return page


def right(page, *answers):
    """Return for each answer whether it is taken for the number asked for, asking again after each."""
    taken = []
    for answer in answers:
        before = position(page)
        page.page.locator("#answer").fill(answer)
        page.click("check")
        taken.append(position(page) == before + 1)
        if taken[-1]:
            page.click("back")
            page.click("step")
    return taken


@pytest.mark.parametrize(
    ("f", "step", "accepted", "refused"),
    [
        (lambda: (Value(0.88, "x")).tanh(), 0, ["0.71", "0.706", "0.7064", "7.1e-1"], ["0.8", "0.7", "0.72", "-0.71"]),
        (lambda: Value(0.1) + Value(0.2) - Value(0.3), 1, ["0", "-0", "5.6e-17"], ["1e-15", "0.3", "inf", "nan"]),
        (lambda: Value(1.00049) - 1, 0, ["0", "4.9e-4", "0.00049"], ["0.01", "-0.001"]),
        (lambda: Value(0.145) * 1, 0, ["0.14", "0.15", "0.145"], ["0.16", "0.13"]),
        (lambda: Value(99.6) * 1, 0, ["99.6", "100", "1e2", "99.2"], ["99", "101", "110"]),
        (lambda: Value(123449.0) - 123400, 0, ["0", "49"], ["200", "1e5"]),
        (lambda: Value(1.0) * 0, 0, ["0", "-0"], ["1e-300", "0.1"]),
        (lambda: Value(-1.0).log(), 0, ["nan"], ["0", "inf"]),
        (lambda: Value(0.0).log(), 0, ["-inf"], ["inf", "nan", "-1e308"]),
        (lambda: Value(1.00049) * Value(1.0) - 1, 2, ["1", "1.0"], ["1.1", "0.9", "nan"]),  # the seed
        (lambda: Value(5e-324) * 1, 0, ["5e-324", "4.941e-324"], ["1e-300"]),
        (lambda: (Value(3.0) - 2) * Value(1.00049) + Value(1.0, "c") * 0, 6, ["1"], ["1.1", "0.94"]),
    ],
)
def test_a_number_is_right_to_two_digits_or_as_far_as_the_shown_ones_tell(f, step, accepted, refused, opened):
    page = ask(opened(draw_flow(f(), "en")), step)
    assert right(page, *accepted) == [True] * len(accepted)
    assert right(page, *refused) == [False] * len(refused)
    assert "Two digits are enough" in page.page.locator("#ask label").inner_text()


@pytest.mark.parametrize(
    ("f", "steps", "told"),
    [
        (lambda x: x * 1000.04 + x * -1000, 7, "1000 + (local -1000 × upstream 1)"),
        (lambda x: x * -1000 + x * 1000.04, 7, "-1000 + (local 1000 × upstream 1)"),
        (lambda x: x * -1000 + (x + 1) * 1000.04, 9, "-1000 + (local 1 × upstream 1000)"),
    ],
)
def test_an_accumulated_gradient_may_be_worked_out_from_what_is_shown(f, steps, told, opened):
    page = ask(opened(draw_flow(f(Value(2, "x")), "en")), steps)
    assert page.narration == f"x.grad: {told} = ?"
    assert right(page, "0", "0.04", "0.040") == [True] * 3
    assert right(page, "1", "-1", "0.2") == [False] * 3


@given(expressions(max_steps=5))
@settings(max_examples=max(1, settings.default.max_examples // 10))
def test_the_number_that_the_page_shows_is_right_and_so_are_its_two_digits(tab, tmp_path_factory, f):
    y = f(*map(Value, f.point))
    if not y.requires_grad:
        return
    path = tmp_path_factory.mktemp("flow") / "any.html"
    draw_flow(y).save(path)
    with tab(path) as page:
        wrong = page.page.evaluate(
            """() => steps.flatMap((step, i) => {
                const view = makeView(graph, numbers, steps, i + 1), x = stepNumber(view, step);
                const answers = [x, parsed(shown(x)), Number.isFinite(x) ? Number(x.toPrecision(2)) : x];
                return answers.filter(answer => !isRight(answer, view, step)).map(answer => [exact(x), exact(answer)]);
            })"""
        )
        assert wrong == []


def test_predict_asks_for_each_number_of_a_node(opened):
    w, x = Value(0.5, "w"), Value(-1.25, "x")
    page = ask(opened(draw_flow(w * x, "en")), 2)
    assert position(page) == 2
    page.click("reveal")
    page.click("node_step")
    assert page.narration.endswith("= ?")
    assert position(page) == 3
    page.click("reveal")
    assert page.page.evaluate("document.activeElement.id") == "back"  # there is no further step


def test_the_question_stays_when_the_language_changes(opened):
    page = ask(opened(draw_flow(Value(2, "x") * 3, "en")), 0)
    page.page.locator("#answer").fill("5")
    page.click("check")
    page.click("other_language")
    assert page.narration == "前向传播：v2 = x * 3 = 2 * 3 = ?"
    assert page.page.locator("#answer").input_value() == "5"
    assert page.page.locator("#verdict").inner_text() == ""
    page.page.locator("#answer").fill("6")
    page.click("check", "zh")
    assert page.narration == "前向传播：v2 = x * 3 = 2 * 3 = 6"


@pytest.mark.parametrize("word", ["back", "node_back"])
@pytest.mark.parametrize("before", [0, 1])
def test_to_go_back_from_a_question_is_to_leave_it(word, before, opened):
    page = ask(opened(draw_flow(Value(2, "x") * 3, "en")), before)
    page.click(word)
    assert not page.page.locator("#ask").is_visible()
    assert position(page) == before
    assert page.page.locator("#back").is_disabled() == (before == 0)


def test_a_question_and_help_pause_the_page(opened):
    y, _ = example()
    page = opened(draw_flow(y, "en"))
    page.page.clock.install()
    play = page.page.locator("#play")
    page.click("play")
    page.press("?")
    page.press("Escape")
    assert play.inner_text() == "Play"
    page.page.clock.run_for(10_000)
    assert position(page) == 1
    page.click("play")
    page.click("predict")
    page.page.clock.run_for(1100)
    assert page.page.locator("#ask").is_visible()
    assert play.inner_text() == "Play"
    page.click("reveal")
    assert page.page.evaluate("document.activeElement.id") == "step"
    page.page.clock.run_for(10_000)
    assert position(page) == 3
    page.click("step")
    page.click("play")  # the question is open
    page.page.clock.run_for(10_000)
    assert (position(page), play.inner_text()) == (3, "Play")
    assert page.page.locator("#ask").is_visible()
    page.click("reveal")
    page.page.clock.run_for(10_000)
    assert not page.page.locator("#ask").is_visible()


# What cannot be computed anew.


def test_an_operation_that_is_no_formula_still_steps_and_the_page_names_it(opened):
    odd = Op("odd", lambda x: float(round(x.real, 3)), (lambda y, x: 2.0,))
    x = Value(0.5, "x")
    y = odd(x) * x
    page = opened(draw_flow(y, "en"))
    assert "the operation odd is not written" in page.page.locator("#message").inner_text()
    for label in ("Leaf", "Value"):
        assert page.page.get_by_label(label).is_disabled()
    page.press("End")
    y.backward()
    assert page.nodes()["x"]["grad"] == repr(x.grad)
    page.press("l")
    assert "运算 odd 不是" in page.page.locator("#message").inner_text()


def test_an_own_operation_that_is_a_formula_can_be_edited(opened):
    bump = Op("bump", lambda x: exp(-x * x), (lambda y, x: -2.0 * x * y,))
    other = Op("bump", lambda x: where(x, x, 1.0) * 3.0, (lambda y, x: 3.0,))
    x = Value(0.5, "x")
    page = opened(draw_flow(bump(other(x)), "en"))
    page.page.get_by_label("Value").fill("0.25")
    page.click("end")
    z = Value(0.25)
    y = bump(other(z))
    y.backward()
    assert same(float(page.nodes()["x"]["grad"]), z.grad, 1e-12)


@pytest.mark.parametrize(
    ("forward", "partials"),
    [
        (lambda x: x if x > 0.0 else 0.0, (lambda y, x: 1.0,)),
        (lambda x: math.sin(x), (lambda y, x: 1.0,)),
        (lambda x: x * 2.0, (lambda y, x: math.cos(x),)),
        (lambda x: x.hex() and 1.0, (lambda y, x: 1.0,)),
        (lambda x: x * 2.0, (lambda y, x: None,)),
        (lambda x: None, (lambda y, x: 1.0,)),
    ],
)
def test_rows_refuse_what_is_no_formula_and_stay_whole(forward, partials):
    rows = Rows()
    rows.add(OPS["tanh"], 1)
    with pytest.raises(FormulaError, match="'own'"):
        rows.add(Op("own", forward, partials), 1)
    rows.add(OPS["sin"], 1)
    assert '": ,' not in rows.source()


def test_only_the_rows_that_a_graph_needs_are_written():
    page = draw_flow(Value(1, "x").tanh() * 2).html
    assert '"sech": ' in page
    assert re.search('"sech": .*', page)[0].count('forward["exp"]') == 1  # a term that is used twice is computed once
    assert '"sigmoid": ' not in page
    assert '"logsumexp": ' not in page


# The page's own arithmetic.

SPECIAL = (-inf, -1e308, -30.5, -2.5, -1.0, -0.3, -1e-9, -1e-300, -0.0, 0.0, 5e-324, 1e-300, 1e-9, 0.3, 1.0, 2.0)
SPECIAL += (3.0, 5.5, 30.5, 710.5, 1e17, 1e308, inf, nan)


def computed(blank, rows, cases):
    """Return what the page computes: a value and partials for each (row, operands)."""
    script = (HERE / "numbers.js").read_text() + rows.source()
    return blank.evaluate(
        f"cases => {{ {script} return cases.map(([row, xs]) => {{"
        "const y = forward[row](...xs); return [y, partials[row](y, ...xs)]; }); }",
        cases,
    )


@pytest.mark.parametrize("op", OPS.values(), ids=lambda op: op.name)
def test_every_operation_agrees_with_python(op, blank):
    rows = Rows()
    if op.arity is None:
        points = [*itertools.product(SPECIAL[::2], repeat=3), *itertools.product(SPECIAL[1::2], repeat=3), SPECIAL]
    else:
        points = list(itertools.product(SPECIAL if op.arity < 3 else SPECIAL[::2], repeat=op.arity))
    for (y, partials), xs in zip(
        computed(blank, rows, [[rows.add(op, len(xs)), xs] for xs in points]), points, strict=True
    ):
        true = op.forward(*xs)
        assert close(y, true), (xs, y, true)
        for got, partial in zip(partials, op.local(true, *xs), strict=True):
            assert close(got, partial), (xs, partials, op.local(true, *xs))


def test_rows_of_which_derivatives_are_made_agree_with_python(blank):
    rows, cases, expected = Rows(), [], []
    for op, count in reached():
        for xs in itertools.product(SPECIAL[1::3], repeat=min(count, 2)):
            xs = (*xs, 0.5, 2.0, -1.0, 3.0, 0.7)[:count]
            cases.append([rows.add(op, count), xs])
            expected.append((y := op.forward(*xs), op.local(y, *xs)))
    for (y, partials), true, case in zip(computed(blank, rows, cases), expected, cases, strict=True):
        assert close(y, true[0]), (case, y, true)
        assert all(map(close, partials, true[1])), (case, partials, true)


def close(a, b):
    return same(a, b, 1e-12) or abs(a - b) <= 4 * 5e-324


@pytest.mark.parametrize("number", [nan, inf, -inf, -2.5, -0.0, 1e300, 5e-324])
def test_a_formula_s_numbers_are_written_whole(number, blank):
    rows = Rows()
    own = Op("own", lambda x: where(x, number, x), (lambda y, x: 0.0,))
    [(y, _)] = computed(blank, rows, [[rows.add(own, 1), [1.0]]])
    assert same(y, number)
    assert math.copysign(1.0, y) == math.copysign(1.0, number)


@given(st.lists(st.floats(), min_size=1, max_size=9).map(lambda xs: [*xs, *[-x / 3 for x in xs[::2]], *xs[1::3]]))
def test_sum_and_dot_are_rounded_as_in_python(blank, xs):
    rows = Rows()
    cases = [[rows.add(OPS[name], len(xs)), xs] for name in ("sum", "dot")]
    for (y, _), name in zip(computed(blank, rows, cases), ("sum", "dot"), strict=True):
        assert same(y, OPS[name].forward(*xs)), name


def test_erf_and_erfc_hold_everywhere(blank):
    rows = Rows()
    xs = [sign * x for x in [10.0**k for k in range(-320, 3)] + [i / 64 for i in range(1800)] for sign in (1, -1)]
    for name in ("erf", "erfc"):
        row = rows.add(OPS[name], 1)
        for (y, _), x in zip(computed(blank, rows, [[row, [x]] for x in xs]), xs, strict=True):
            assert close(y, OPS[name].forward(x)), (name, x)


@given(st.floats())
def test_numbers_are_shown_as_in_pictures_and_in_full(blank, x):
    script = (HERE / "text.js").read_text()
    short, full, back = blank.evaluate(f"x => {{ {script} return [shown(x), exact(x), parsed(exact(x))]; }}", x)
    assert short == f"{x + 0.0:.4g}"
    assert float(full) == x or x != x
    assert same(back, x)


@pytest.mark.parametrize("x", [2.0625, 0.15625, -12.125, 12.375, 1.00005, 1e22, 123450000.0, 2.5e-5])
def test_ties_are_shown_as_in_pictures(blank, x):
    assert blank.evaluate(f"x => {{ {(HERE / 'text.js').read_text()} return shown(x); }}", x) == f"{x:.4g}"


# Whatever the labels.

HOSTILE = ["<img src=x onerror=alert(1)>", "</script><script>alert(1)</script>", "<!--<script>", "{{data}}", "{0}"]
HOSTILE += ["\ud800", '"];}', "\x00\x07", "'\\", "v0", "v1", "v2", "v4", "a", "a", "a#2", "__proto__"]


def test_labels_are_text_and_names_are_unique(opened):
    y = Value(1, "a")
    for label in HOSTILE:
        y = y * Value(1, label)
    page = opened(draw_flow(y, "en"))
    page.press("End")
    names = [facts["name"] for facts in page.page.evaluate("graph.nodes")]
    assert len(set(names)) == len(names)
    shown = page.nodes()
    assert len(shown) == len(names)
    leaves = page.page.evaluate("graph.nodes.filter(isLeaf).map(node => node.name)")
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
        names = [node["name"] for node in page.page.evaluate("graph.nodes")]
        for label in labels:
            assert not label or label in names or not label.isprintable()


# Offline, small, in a notebook.


def test_the_policy_lets_nothing_in_or_out(opened):
    y, _ = example()
    page = opened(draw_flow(y))
    policy = page.page.locator("meta[http-equiv]").get_attribute("content")
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    attempts = """["https://example.com/", "data:,x"].map(url => fetch(url).then(() => "out", () => "blocked"))"""
    blocked = page.page.evaluate(f"() => Promise.all({attempts})")
    assert blocked == ["blocked", "blocked"]
    page.errors.clear()  # which say that it was blocked
    page.requests[:] = page.requests[:1]


def test_the_page_is_small_before_data():
    page = draw_flow(Value(1, "x").exp(), "en").html
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', page)[1]
    assert len(page.encode()) - len(data.encode()) < 60_000
    assert len(page.encode()) < 100_000
    assert json.loads(data)["snapshots"]


def test_a_notebook_shows_it_in_a_frame(browser):
    y, _ = example()
    frame = draw_flow(y, "en")._repr_html_()
    assert frame.startswith("<iframe ")
    page = browser.new_page()
    page.set_content(frame)
    inside = page.frame_locator("iframe")
    inside.locator("#end").click()
    y.backward()
    assert inside.locator(".node[data-name=y]").get_attribute("data-grad") == "1"
    page.close()


def test_in_a_frame_a_prediction_is_answered_and_help_closes(browser):
    page = browser.new_page()
    page.set_content(draw_flow(Value(2, "x") * 3, "en")._repr_html_())
    inside = page.frame_locator("iframe")
    inside.locator("#predict").click()
    inside.locator("#step").click()
    inside.locator("#answer").fill("6")
    inside.locator("#answer").press("Enter")
    assert inside.locator("#progress").inner_text() == "step 1 of 3"
    inside.locator("#help").click()
    assert inside.locator("dialog").is_visible()
    inside.get_by_role("button", name="Close").click()
    assert not inside.locator("dialog").is_visible()
    page.close()


def test_saving_gives_the_path_and_the_same_graph_the_same_bytes(tmp_path):
    path = draw_flow(example()[0]).save(tmp_path / "flow.html")
    assert path.read_bytes().decode() == draw_flow(example()[0]).html


def test_it_is_imported_only_when_asked_for():
    script = "import sys, micrograd_cn; assert 'micrograd_cn.flow' not in sys.modules; micrograd_cn.Tape"
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: draw_flow(1.0, "en"), TypeError, "takes a Value or a Tape, got float"),
        (lambda: draw_flow(1.0, "zh"), TypeError, "需要一个 Value 或 Tape"),
        (lambda: draw_flow(Value(1).detach(), "en"), ValueError, "no gradient flows"),
        (lambda: draw_flow(Value(1), "fr"), ValueError, "lang must be"),
        (lambda: Tape("en").html, ValueError, r"call snapshot\(loss\)"),
        (lambda: draw_flow(chain(500), "en"), ValueError, "would have 501 boxes, more than 400"),
        (lambda: draw_flow(chain(500), "zh"), ValueError, "会有 501 个框"),
    ],
)
def test_refused_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


def chain(n):
    y = Value(1)
    for _ in range(n):
        y = y.sin()
    return y


# Networks and training.


def test_a_network_is_folded_and_a_folded_part_is_one_step(opened):
    model = MLP(2, [16, 16, 1], seed=0)
    y = model([Value(0.5, "x1"), Value(-1, "x2")])
    page = opened(draw_flow(y, "en"))
    assert set(page.nodes()) == {"x1", "x2", "layers.0", "layers.1", "layers.2"}
    page.press("ArrowRight", "ArrowRight", "ArrowRight")
    assert page.narration == "Forward: layers.2 is computed, nodes: 1."
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


@pytest.mark.parametrize(
    ("lang", "complete", "sends", "goes_on"),
    [
        (
            "en",
            " is complete",
            "Inside {}, nodes that are complete send",
            "{} goes on: nodes in it that are complete send",
        ),
        ("zh", " 已完成", "{} 内部各项已到齐的节点送出", "{} 继续：内部各项已到齐的节点又送出"),
    ],
)
def test_no_folded_part_is_called_complete_before_it_is(lang, complete, sends, goes_on, opened):
    model = MLP(2, [16, 16, 1], seed=0)
    a, b = model([Value(0.5, "x1"), Value(-1, "x2")]), model([Value(1, "x1"), Value(2, "x2")])
    page = opened(draw_flow((a * b - 1) ** 2 + model.layers[1].neurons[0].b, lang))
    seen = set()
    for step in page.page.evaluate("steps.map(step => [step.kind, graph.boxes[step.box]])"):
        page.press("ArrowRight")
        kind, box = step[0], step[1]["name"]
        if kind == "send" and step[1]["folded"]:
            told = page.narration
            form = sends if told.startswith(sends.format(box)) else goes_on
            assert told.startswith(form.format(box)), told
            state = page.nodes()[box]["state"]
            assert state == "complete" or box + complete not in told
            seen |= {form, state}
    assert seen >= {sends, goes_on, "partial"}


def trained(steps=5):
    """Return the tape of a training run, and each step's loss and weight gradients in Python."""
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
    page.press("End")  # of each step, for moving the slider keeps the place
    page.page.get_by_label("Training step").focus()
    for i, (loss, grads, data) in enumerate(history):
        assert f"step {i + 1} of 5, loss = {loss:.4g}" in page.page.locator("#tape_text").inner_text()
        shown = page.nodes()
        assert float(shown["loss"]["value"]) == loss
        assert [float(shown[name]["grad"]) for name in ("w0", "w1", "b")] == grads
        assert [float(shown[name]["value"]) for name in ("w0", "w1", "b")] == data
        page.press("ArrowRight")
    assert page.page.locator("#curve polyline").get_attribute("points").count(",") == 5
    assert json.dumps(record._graphs).count('"loss"') == 2  # the graph is stored once: its node's and its box's name


def test_a_tape_is_shown_in_another_language_and_stays_in_its_own():
    record, _ = trained()
    page = draw_flow(record, "zh")
    assert '<html lang="zh-CN">' in page.html
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
