"""The page saves its picture, as it is seen or as an animation of all steps, and the files stand alone."""

import io
import re
from xml.etree import ElementTree

import pytest
from PIL import Image

from micrograd_cn import Tape, Value, draw_flow, playground
from micrograd_cn.flow.texts import PAGE

from .pages import example

pytestmark = pytest.mark.browser

SVG = "{http://www.w3.org/2000/svg}"
SHOWN = """[...document.querySelectorAll("#graph text")].map(
    text => (getComputedStyle(text).visibility === "visible" ? text.textContent : "")).filter(Boolean)"""
# The texts of the graph and of the caption, which are the last two parts of a file, after some seconds.
MOVING = """t => {
    for (const each of document.getAnimations()) { each.pause(); each.currentTime = 1000 * t; }
    const visible = text => getComputedStyle(text).visibility === "visible";
    const texts = part => [...part.querySelectorAll("text")].filter(visible).map(text => text.textContent);
    return [...document.documentElement.children].slice(-2).map(texts);
}"""


def save(page, word):
    """Choose an entry of the menu, and return the file's name and content."""
    page.open_menu()
    with page.page.expect_download() as download:
        page.page.locator(f"#{word}").click()
    return download.value.suggested_filename, download.value.path().read_bytes()


def parts(content):
    """Return the texts of the heading, of the graph and of the caption of an SVG file."""
    root = ElementTree.fromstring(content)
    *headings, graph, caption = [each for each in root if each.tag in (SVG + "g", SVG + "svg")]
    return [
        ["".join(text.itertext()) for part in group for text in part.iter(SVG + "text")]
        for group in (headings, [graph], [caption])
    ]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_picture_has_what_is_seen_with_its_expression_and_its_sentence(lang, opened):
    page = opened(playground(lang), reduced_motion="reduce")
    page.press("End", "ArrowLeft", "ArrowLeft")
    name, content = save(page, "save_svg")
    heading, graph, caption = parts(content)
    assert name == "backpropagation-step-13.svg"
    assert heading == [page.page.locator("#text").input_value()]
    assert sorted(graph) == sorted(page.page.evaluate(SHOWN))
    assert "".join(caption).replace(" ", "") == re.sub(r"\s", "", page.narration)
    assert page.page.locator("#save_svg").inner_text() == PAGE[lang]["saved"]


def test_a_picture_needs_nothing_of_the_page(opened, browser, tmp_path):
    page = opened(playground("en"), color_scheme="dark", reduced_motion="reduce")
    page.press("End")
    _, content = save(page, "save_svg")
    root = ElementTree.fromstring(content)
    assert root.find(SVG + "title").text == "Backpropagation through tanh(w1*x1 + w2*x2 + b)"
    assert root.find(SVG + "desc").text.startswith("x2.grad: 0 + (local 1 × upstream 0.4869) = 0.4869")
    tags = {each.tag.removeprefix(SVG) for each in root.iter()}
    assert tags == {"svg", "title", "desc", "rect", "path", "g", "text", "tspan"}  # no script and no style
    assert not re.search(rb"var\(|currentColor|class=|style=|href", content)
    assert root.find(SVG + "rect").get("fill") == page.page.evaluate(
        "getComputedStyle(document.body.parentNode).backgroundColor"
    )
    titles = {text.text: text for text in root.iter(SVG + "text")}
    seen = "getComputedStyle(document.querySelector('.node[data-name=w1] .grad')).fill"
    red, green, blue = map(int, re.findall(r"\d+", page.page.evaluate(seen)))
    assert titles["0.9738"].get("fill") == f"#{red:02x}{green:02x}{blue:02x}"
    assert page.page.locator(".unseen").count() == 0


def test_a_png_is_the_same_picture_at_twice_the_size(opened):
    page = opened(playground("en"))
    page.press("End")
    _, content = save(page, "save_svg")
    root = ElementTree.fromstring(content)
    name, image = save(page, "save_png")
    picture = Image.open(io.BytesIO(image))
    assert name == "backpropagation-step-15.png"
    sizes = [float(root.get(key)) for key in ("width", "height")]
    assert all(abs(each - 2 * size) < 2 for each, size in zip(picture.size, sizes, strict=True))
    assert len(picture.convert("RGB").getcolors(1 << 20)) > 50


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_at_each_moment_the_animation_shows_what_the_page_shows_at_the_step(lang, opened, browser, tmp_path):
    page = opened(playground(lang), reduced_motion="reduce")
    page.press("End")
    name, content = save(page, "save_pass")
    assert name == "backpropagation.svg"
    assert b"<script" not in content
    (file := tmp_path / name).write_bytes(content)
    viewer = browser.new_page()
    viewer.goto(file.as_uri())
    graph, caption = viewer.evaluate(MOVING, 0.5)
    assert sorted(graph) == sorted(page.page.evaluate(SHOWN))
    assert "x1.grad = -1.461" in "".join(caption)
    assert "-1.461" in "".join(viewer.evaluate(MOVING, 34)[0])  # after the last step, at the end
    page.press("Home")
    assert "x1 = 2" in "".join(viewer.evaluate(MOVING, 2.5)[1])
    seconds = 3.5
    for k in range(16):
        graph, caption = viewer.evaluate(MOVING, seconds - 0.5)
        assert sorted(graph) == sorted(page.page.evaluate(SHOWN)), k
        if k:
            assert re.sub(r"\s", "", "".join(caption)) == re.sub(r"\s", "", page.narration)
        page.press("ArrowRight")
        seconds += 1.2 if k < 6 else 2.4
    viewer.close()


def test_an_animation_is_still_where_motion_is_not_welcome(opened, browser, tmp_path):
    page = opened(draw_flow(example()[0], "en"))
    (file := tmp_path / "pass.svg").write_bytes(save(page, "save_pass")[1])
    viewer = browser.new_page(reduced_motion="reduce")
    viewer.goto(file.as_uri())
    assert viewer.evaluate("document.getAnimations().length") == 0
    graph, caption = viewer.evaluate(MOVING, 0)
    page.press("End")
    assert sorted(graph) == sorted(page.page.evaluate(SHOWN))
    assert "w.grad = " in "".join(caption)
    viewer.close()


def test_what_is_hidden_is_in_no_picture(opened):
    page = opened(playground("en"), replays=False)
    page.page.evaluate("location.hash = 'text=a*b*c&=a=3&=b=7&=c=11&hide=grad'")
    page.press("End")
    for word in ("save_svg", "save_pass"):
        content = save(page, word)[1].decode()
        assert "?" in content
        assert not re.search(r">[+]?(77|33)<", content)  # the third gradient, 21, is the value of a*b, too
        assert ".grad = " not in content


def test_the_keyboard_saves(opened):
    page = opened(playground("en"))
    with page.page.expect_download() as download:
        page.press("s")
    assert download.value.suggested_filename == "backpropagation-step-0.svg"
    page.page.locator("#menu").focus()
    page.press("Enter", *["Tab"] * 5)
    with page.page.expect_download() as download:
        page.press("Enter")
    assert download.value.suggested_filename == "backpropagation.svg"


def test_a_part_that_the_reader_has_zoomed_to_is_saved_alone(opened):
    page = opened(playground("en"), reduced_motion="reduce")
    page.press("End")
    whole = ElementTree.fromstring(save(page, "save_svg")[1])
    for _ in range(3):
        page.press("+")
    part = ElementTree.fromstring(save(page, "save_svg")[1])
    seen = [[float(x) for x in each.find(SVG + "svg").get("viewBox").split()] for each in (whole, part)]
    zoom, room, x = page.page.evaluate("[viewport.zoom, viewport.room[0], viewport.x]")
    assert seen[0][2] > seen[1][2]
    left, right = max(-8, -x / zoom), min(seen[0][0] + seen[0][2], (room - x) / zoom)
    assert seen[1][0] == pytest.approx(left, abs=0.1)
    assert seen[1][2] == pytest.approx(right - left, abs=0.1)


def test_a_graph_that_no_animation_can_show_is_refused_with_what_to_do(opened):
    y = Value(1.0, "x")
    for _ in range(80):
        y = y.sin()
    page = opened(draw_flow(y, "en"))
    page.click("open_all")
    page.open_menu()
    page.page.locator("#save_pass").click()
    told = page.page.locator("#menu_told").inner_text()
    assert "Close some parts first" in told
    assert page.page.locator("#save_pass").inner_text() == PAGE["en"]["save_pass"]
    page.press("Escape")
    page.click("close_all")
    save(page, "save_pass")
    assert page.page.locator("#menu_told").inner_text() == ""


def test_a_page_of_python_is_called_by_its_expression(opened):
    y, nodes = example()
    assert parts(save(opened(draw_flow(y, "en")), "save_svg")[1])[0] == ["y = tanh((w * x + b) * v + x * x)"]
    tape = Tape("en")
    tape.snapshot(y)
    tape.snapshot(nodes["h"])
    assert parts(save(opened(tape), "save_svg")[1])[0] == [PAGE["en"]["title"]]


def test_a_room_without_a_graph_offers_no_picture_of_one(opened):
    page = opened(playground("en"))
    page.page.locator("#tab_board").click()
    page.open_menu()
    assert page.page.locator("#copy_link").is_visible()
    assert not any(page.page.locator(f"#{each}").is_visible() for each in ("save_svg", "save_png", "save_pass"))
    page.page.locator("#open_sample").click()
    heading, *_ = parts(save(page, "save_svg")[1])
    assert heading == [page.page.locator("#origin_text").inner_text()]
