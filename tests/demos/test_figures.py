"""The figures beside sentences of the tutorial ask first, show the library's numbers, and need no Python."""

import math
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from types import ModuleType
from typing import Any

import pytest

from micrograd_cn import Value
from micrograd_cn.flow.sheet import scripts
from micrograd_cn.losses import mse_loss
from micrograd_cn.nn import MLP
from micrograd_cn.optim import SGD
from tests.flow.pages import DOOR
from tests.flow.scripts import names, tokens
from tests.flow.test_modules import IMPORT, foreign, imported

from .conftest import ROOT

NAMES = ("tangent", "valley", "layers")
SIZE = {"width": 800, "height": 620}


@pytest.fixture(scope="module")
def figures() -> Iterator[ModuleType]:
    """Give the module that makes the figures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "demos")
        yield __import__("importlib").import_module("website.figures")


@pytest.fixture(scope="module")
def folder(figures: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with nothing but the figures' pages and what they need."""
    out = tmp_path_factory.mktemp("figures")
    for lang in ("en", "zh"):
        for name, text in figures.dragged_files(lang).items():
            (out / name).write_text(text, "utf-8")
    shutil.copy(ROOT / "demos/website/site.css", out)
    (out / "icon.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>", "utf-8")
    return out


@pytest.fixture
def opened(browser: Any, folder: Path) -> Iterator[Any]:
    """Give a function that opens the page of a figure. Nothing may be said to the console."""
    pages, said = [], []

    def open_page(name: str, lang: str = "en", **options: Any) -> Any:
        page = browser.new_page(**{"viewport": SIZE} | options)
        page.add_init_script(DOOR)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto((folder / f"figure.{name}.{lang}.html").as_uri())
        page.locator("#picture .frame").wait_for()
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert said == []


def answered(page: Any, choice: int = 0) -> Any:
    page.locator("#choices button").nth(choice).click()
    page.evaluate("new Promise(go => requestAnimationFrame(() => requestAnimationFrame(go)))")  # the text makes room
    return page


def chosen(page: Any, **values: float) -> str:
    """Move sliders, and return what the page then says."""
    for name, x in values.items():
        page.locator(f"#{name}").evaluate(
            "(field, x) => { field.value = x; field.dispatchEvent(new Event('input')); }", x
        )
    return str(page.locator("#told").inner_text())


def numbers_of(told: str) -> list[float]:
    """Return the numbers of a sentence. It writes them in four digits."""
    raised = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
    found = re.findall(r"-?\d+(?:\.\d+)?(?:×10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)?", told)
    return [float(each.replace("×10", "e").translate(raised)) for each in found]


def test_the_scripts_import_what_they_use_and_nothing_else() -> None:
    own = {f"figure/{path.name}": path.read_text("utf-8") for path in (ROOT / "demos/website/figure").glob("*.js")}
    assert {f"figure/{name}.js" for name in NAMES} < own.keys()
    assert [each for each in foreign({**scripts(), **own}) if each[0] in own] == []
    for module, text in own.items():
        assert imported(text) <= names(IMPORT.sub("", text))[1], module
        depth = 0
        for token in tokens(text):
            depth += (token in ("(", "[", "{")) - (token in (")", "]", "}"))
            assert depth or token != ",", module


@pytest.mark.browser
@pytest.mark.parametrize("name", NAMES)
def test_a_figure_is_still_until_the_question_is_answered(opened: Any, figures: ModuleType, name: str) -> None:
    [right] = [each.right for each in figures.DRAGGED.values() if each.name == name]
    for choice in range(3):
        page = opened(name, "en" if choice else "zh")
        before = page.locator("#picture").inner_html()
        assert not page.locator("#told").is_visible()
        assert page.locator("#numbers input:enabled").count() == 0
        for handle in page.locator(".handle circle:last-child").all():
            box = handle.bounding_box()
            page.mouse.move(box["x"] + 7, box["y"] + 7)
            page.mouse.down()
            page.mouse.move(box["x"] - 40, box["y"] + 30)
            page.mouse.up()
        assert page.locator("#picture").inner_html() == before
        answered(page, choice)
        words = figures.WORDS["en" if choice else "zh"][name]
        assert (
            page.locator("#verdict").inner_text() == words["right" if choice == right else "wrong"] + words["because"]
        )
        assert page.locator("#choices button").nth(right).get_attribute("class") == "right"
        first = page.locator("#numbers input").first
        assert first.evaluate("field => field === document.activeElement")
        told = page.locator("#told").inner_text()
        page.keyboard.press("ArrowLeft")
        assert page.locator("#told").inner_text() != told
        assert page.locator("#picture").inner_html() != before


@pytest.mark.browser
def test_the_tangent_and_the_secant_have_the_slopes_that_the_library_computes(opened: Any) -> None:
    def f(x: Any) -> Any:
        return x * x - 4 * x + 1

    page = answered(opened("tangent"))
    for x, h in ((3.0, -1.0), (1.0, 1.5), (2.0, -0.5), (4.5, 0.05)):
        at = Value(x)
        f(at).backward()
        expected = [x, h, (f(x + h) - f(x)) / h, at.grad]
        assert numbers_of(chosen(page, x=x, h=h)) == pytest.approx(expected, rel=1e-3)
        # Of the lines that are drawn, the slope is the same in pixels, but for the scales of the axes.
        for look, slope in (("secant", expected[2]), ("tangent", expected[3])):
            (x0, y0), (x1, y1) = page.locator(f".{look}").evaluate("line => [...line.points].map(p => [p.x, p.y])")
            across, up = page.locator(".frame").evaluate("box => [box.width, box.height].map(it => it.baseVal.value)")
            assert -(y1 - y0) / up * 13.5 / ((x1 - x0) / across * 6) == pytest.approx(slope, abs=0.01)
    assert numbers_of(chosen(page, x=3.0, h=-1.0))[2] == 1, "the right answer"
    assert page.locator("#choices .right").inner_text().startswith("1")
    assert numbers_of(chosen(page, h=0.0)) == [0, 0, 0, 2]
    assert page.locator(".secant").count() == 0


@pytest.mark.browser
def test_the_path_is_that_of_the_library_and_the_right_answer_is_right(opened: Any) -> None:
    def walk(rate: float, start: tuple[float, float]) -> list[float]:
        w, b = Value(start[0]), Value(start[1])
        optimizer, losses = SGD([w, b], lr=rate), []
        for _ in range(26):
            loss = mse_loss([w * x + b for x in range(4)], [2 * x - 1 for x in range(4)])
            losses.append(loss.data)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return [losses[0], losses[-1]]

    page = answered(opened("valley"))
    for rate, start in ((0.05, (0.6, 1.2)), (0.22, (0.6, 1.2)), (0.25, (0.6, 1.2)), (0.25, (2.1, -1.0))):
        told = chosen(page, rate=rate, w=start[0], b=start[1])
        before, after = walk(rate, start)
        assert numbers_of(told) == pytest.approx([rate, *start, 25, before, after], rel=1e-3)
        assert ("rises" in told) == (after > before) == (rate == 0.25), "near the bottom, too"
    assert numbers_of(chosen(page, w=2.0, b=-1.0)) == [0.25, 2, -1, 0]
    # Each contour is where the loss has its level.
    place = "[...document.querySelectorAll('.contour')].map(path => path.getPointAtLength(5)).map(p => [p.x, p.y])"
    points = page.evaluate(place)
    frame = page.locator(".frame").evaluate("b => [b.x, b.y, b.width, b.height].map(it => it.baseVal.value)")
    scale = frame[3] / 7
    for (left, top), level in zip(points, [0.05, 0.3, 1, 3, 6, 12, 20, 30, 45], strict=True):
        w, b = 2 + (left - frame[0] - frame[2] / 2) / scale, -0.5 - (top - frame[1] - frame[3] / 2) / scale
        loss = mse_loss([Value(w) * x + b for x in range(4)], [2 * x - 1 for x in range(4)]).data
        assert loss == pytest.approx(level, rel=0.12)


@pytest.mark.browser
def test_sizes_in_twenty_layers_are_those_of_the_library(opened: Any) -> None:
    rng = random.Random(0)
    inputs = [[rng.gauss(0, 1) for _ in range(24)] for _ in range(30)]
    drawn = [rng.gauss(0, 1) for _ in range(20 * 24 * 25 + 25)]

    def sizes(activation: str, deviation: float) -> list[float]:
        net = MLP(24, [*[24] * 20, 1], activation=activation)
        for p, x in zip(net.parameters(), drawn, strict=True):
            p.data = x * deviation
        for neuron in (neuron for layer in net.layers for neuron in layer.neurons):
            neuron.b.data = 0.0
        for p, x in zip(net.layers[-1].neurons[0].w, drawn[-25:], strict=False):
            p.data = x
        found: dict[int, list[Value]] = {0: [], 19: []}
        for each in inputs[:6]:
            h: Any = each
            for number, layer in enumerate(net.layers):
                h = layer(h)
                if number in found:
                    found[number] += h
            h.backward()
        return [
            math.sqrt(fmean(x * x for x in numbers))
            for numbers in (
                [node.data for node in found[0]],
                [node.data for node in found[19]],
                [node.grad for node in found[19]],
                [node.grad for node in found[0]],
            )
        ]

    page = answered(opened("layers"))
    page.evaluate("inputs.splice(6)")  # fewer samples, so the library needs less time
    for activation, deviation in (("tanh", 0.102), ("relu", 0.288)):
        page.locator("#activation").select_option(activation)
        told = numbers_of(chosen(page, deviation=deviation))
        early, late, last, first = sizes(activation, deviation)
        assert told == pytest.approx([deviation, early, 1, late, 20, last, 20, first, 1], rel=1e-3)
    page = answered(opened("layers"), 2)
    full, half = (numbers_of(chosen(page, deviation=deviation)) for deviation in (0.204, 0.102))
    assert 5 < full[5] / full[7] < 20, "about a tenth"
    assert full[7] / half[7] > 100_000, "the right answer"
    assert (half[7] / half[5]) ** (1 / 19) == pytest.approx(0.5, abs=0.03), "half in each layer"


@pytest.mark.browser
def test_points_are_dragged_with_the_mouse_and_with_a_finger(opened: Any, browser: Any) -> None:
    page = answered(opened("tangent"))
    box = page.locator(".handle.first circle").last.bounding_box()
    page.mouse.move(box["x"] + 7, box["y"] + 7)
    page.mouse.down()
    page.mouse.move(box["x"] - 200, box["y"] + 100, steps=3)
    page.mouse.up()
    x = float(page.locator("#x").input_value())
    assert 1 < x < 1.6
    page.mouse.move(box["x"], box["y"])
    assert float(page.locator("#x").input_value()) == x, "it was released"
    phone = answered(opened("valley", "zh", viewport={"width": 330, "height": 740}, has_touch=True, is_mobile=True))
    box = phone.locator(".handle.first circle").last.bounding_box()
    client = phone.context.new_cdp_session(phone)
    for kind, points in (
        ("touchStart", [{"x": box["x"] + 7, "y": box["y"] + 7}]),
        ("touchMove", [{"x": box["x"] + 27, "y": box["y"] + 27}]),
        ("touchMove", [{"x": box["x"] + 47, "y": box["y"] + 67}]),
        ("touchEnd", []),
    ):
        client.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    moved = "Number(w.value) > 1 && Number(b.value) < 0.5"
    wait = f"(look => look(look, 0))((look, n) => {moved} || (n < 600 ? after(() => look(look, n + 1)) : false))"
    assert phone.evaluate(f"(after => {wait})(next => new Promise(go => setTimeout(go, 100)).then(next))")


@pytest.mark.browser
@pytest.mark.parametrize("width", [270, 318, 860])
def test_a_figure_fits_into_its_frame(opened: Any, width: int) -> None:
    height = 740 if width < 400 else 620
    for name in NAMES:
        for lang, scheme in (("en", "light"), ("zh", "dark")):
            page = opened(name, lang, viewport={"width": width, "height": height}, color_scheme=scheme)
            answered(page)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, lang)
            assert page.evaluate("document.documentElement.scrollHeight") <= height, (name, lang)
            assert page.locator("#picture").evaluate("picture => picture.clientHeight") >= 180
            cut = """[...document.querySelectorAll("#picture text")].filter(text => {
                const { left, right, bottom } = text.getBoundingClientRect(), box = picture.getBoundingClientRect();
                return left < box.left || right > box.right || bottom > box.bottom + 1;
            }).map(text => text.textContent)"""
            assert page.evaluate(cut) == [], (name, lang)


@pytest.mark.browser
def test_a_figure_is_printed_as_a_still(opened: Any) -> None:
    for name in NAMES:
        page = opened(name, color_scheme="dark")
        page.emulate_media(media="print", color_scheme="dark")
        assert page.locator("#picture").is_visible()
        assert page.locator("#told").is_visible()
        assert not page.locator("#numbers").is_visible()
        assert not page.locator("#asking").is_visible()
        # The figure is drawn anew for paper, so for a moment a frame is found that is no longer in the page.
        page.wait_for_function("getComputedStyle(document.querySelector('.frame')).fill === 'rgb(255, 255, 255)'")


def test_a_figure_stands_after_its_cell(figures: ModuleType) -> None:
    cells = "".join(f'<section class="cell" data-cell="cell-{n:03}">{n}</section>\n' for n in (11, 12, 13))
    text = figures.with_figure(cells, "tutorial.zh.derive.html", "zh")
    assert re.search(
        r'data-cell="cell-012">12</section>\n<figure class="widget dragged"><iframe title="切线与割线" '
        r'src="figure.tangent.zh.html"></iframe></figure>\n<section class="cell" data-cell="cell-013"',
        text,
    )
    with pytest.raises(ValueError, match="substring not found"):
        figures.with_figure(cells.replace("012", "112"), "tutorial.zh.derive.html", "zh")
