"""Keys and buttons do what they say, in both languages, in small windows, and for screen readers."""

import math
import re

import pytest

from micrograd_cn import OPS, Value, draw_flow, playground
from micrograd_cn.flow import texts
from micrograd_cn.flow.texts import PAGE
from micrograd_cn.nn import MLP

from .pages import example, position


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
    page.stop_clock()
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
    expected = "menu graph zoom_out zoom_in zoom_fit leaf value change nudge learning_title "
    expected += "tables_title nodes_frame edges_frame "
    expected += "start node_back back play step node_step end again zero predict scrub speed"
    assert reached == expected.split()


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_buttons_have_accessible_names_in_both_languages(lang, opened):
    y, _ = example()
    page = opened(draw_flow(y, lang))
    page.open_menu()
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
        _, *lines = page.page.locator(f".node[data-name={name}] text").all_text_contents()
        assert lines[2:4] == ["梯度", f"{float(shown[name]['grad']):.4g}"]
    english = set(re.findall("[A-Za-z]{3,}", text)) - {
        *("tanh", "grad", "English", "backward", "zero", "Python", "SVG", "PNG")
    }
    assert english == set()
    assert page.nodes() == shown


@pytest.mark.parametrize("name", texts.__all__)
def test_both_languages_have_the_same_texts_with_the_same_gaps(name):
    english, chinese = getattr(texts, name)["en"], getattr(texts, name)["zh"]
    assert english.keys() == chinese.keys()
    for key, text in english.items():
        assert set(re.findall(r"{[^}]+}", text)) == set(re.findall(r"{[^}]+}", chinese[key])), key


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
    columns = [[edge["src"], edge["dst"], str(int(edge["slot"]) + 1)] for edge in page.edges()]
    assert [row[:3] for row in page.cells("edges")[1:]] == columns
    for source, target, slot, local, upstream, contribution in page.cells("edges")[1:]:
        assert {source, target} <= shown.keys()
        assert upstream == shown[target]["grad"]
        assert float(local) * float(upstream) == float(contribution), slot
    [terms] = [row[4] for row in page.cells("nodes") if row[0] == "x"]
    assert math.fsum(map(float, terms.replace("(", "").replace(")", "").split(" + "))) == pytest.approx(named["x"].grad)


def test_the_tables_have_the_four_digits_of_the_picture(opened):
    y, _ = example()
    page = opened(draw_flow(y, "en"))
    page.press("End")
    found = page.page.evaluate("[...document.querySelectorAll('td.number')].map(e => [e.textContent, e.title])")
    assert len(found) > 20
    for text, full in found:
        assert text == f"{float(full):.4g}"


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
            const label = document.querySelectorAll(".label")[i], text = label.querySelector(".sent");
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
        assert look["bold"] in (True, None)
        assert look["halo"] in ("rgb(255, 255, 255) 3px stroke", None)
        assert look["titles"][0] == look["titles"][1]
        assert (look["texts"], look["data"]) == (0, 0)


def test_arrows_scroll_a_table_and_do_not_step(opened):
    y, _ = example()
    page = opened(draw_flow(y, "en"), viewport={"width": 360, "height": 740})
    page.page.locator("#tables_title").click()  # on a phone the tables are closed at first
    for table in ("nodes", "edges"):
        frame = page.page.get_by_role("region", name=PAGE["en"][f"{table[:-1]}_table"], exact=True)
        frame.focus()
        page.press("ArrowRight")
        page.wait_for(f"document.getElementById('{table}_frame').scrollLeft > 0")
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
    animation = "getComputedStyle(document.querySelector('.edge.active')).animationName"
    assert page.page.evaluate(animation) == "none"
    page.page.emulate_media(reduced_motion="no-preference")
    assert page.page.evaluate(animation) == "pulse"


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
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_a_contrast_of_at_least_4_5(scheme, opened):
    a = Value(2, "a")
    y = (a * a - 3 * a + (a * -1).relu() + MLP(1, [2, 1])([a])) ** 2
    page = opened(draw_flow(y, "en"), color_scheme=scheme)
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


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["typing", "board"])
def test_every_text_of_the_playground_has_a_contrast_of_at_least_4_5(scheme, name, opened):
    page = opened(playground("en"), color_scheme=scheme)
    page.page.locator(f"#tab_{name}").click()
    own_text = "e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) && e.checkVisibility()"
    for element in page.page.query_selector_all("body *"):
        if element.evaluate(own_text) and not element.evaluate("e => e.closest('script, title, noscript, option')"):
            assert element.evaluate(LUMINANCE) >= 4.5, element.evaluate("e => e.outerHTML")


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_at_360_pixels_the_graph_moves_in_its_own_window_to_where_something_happens(lang, opened):
    y, _ = example()
    page = opened(draw_flow(y, lang), viewport={"width": 360, "height": 520}, reduced_motion="reduce")
    page.press("End")
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.page.evaluate("session.shape.size[1] * viewport.zoom > viewport.room[1]")
    for keys in (["Home", *["ArrowRight"] * 6], ["End"]):  # y is computed at the bottom, and x is at the top
        page.press(*keys)
        frame, box = page.page.locator("#graph").bounding_box(), page.page.locator(".node.active").first.bounding_box()
        for start, size in (("x", "width"), ("y", "height")):
            assert box[start] >= frame[start]
            assert box[start] + box[size] <= frame[start] + frame[size]


LABELS = ["一个很长的中文标签用来检查框的宽度", "W" * 40, "a label of some length", "权重", "﷽﷽﷽﷽", "x"]


@pytest.mark.parametrize("label", LABELS)
def test_no_text_leaves_its_box(label, opened):
    x = Value(-1.234567e-200, label)
    y = (x * -9.87654e-50 + x) * x
    page = opened(draw_flow(y, "en"))
    for key in ("End", "Home", "ArrowRight", "End", "l", "Home", "ArrowRight", "End"):  # "l" changes the language
        page.press(key)
        widest = page.page.evaluate(
            """[...document.querySelectorAll(".node text:not(:empty)")].map(text => {
                const inner = text.getBBox(), outer = text.parentNode.querySelector("rect").getBBox();
                return Math.max(outer.x - inner.x, inner.x + inner.width - outer.x - outer.width);
            })"""
        )
        assert max(widest) <= 0, key


def test_a_label_of_10_000_characters_is_cut_in_its_box_and_whole_in_its_name(opened):
    label = "长" * 10_000
    page = opened(draw_flow(Value(1, label).sin()))
    [title] = page.page.locator(".node .title").filter(has_text="长").all_text_contents()
    assert title == "长" * (len(title) - 1) + "…"
    assert label in page.nodes()
    inside = """title => title.getBBox().width <= title.parentNode.querySelector("rect").getBBox().width"""
    assert page.page.locator(".node .title").filter(has_text="长").evaluate(inside)


def test_of_many_terms_the_last_ones_are_shown(opened):
    x = Value(1, "x")
    page = opened(draw_flow(OPS["sum"]([x * (n / 7) for n in range(1, 9)])))
    page.press("End")
    box = page.page.locator(".node[data-name=x]")
    assert re.search(r"= … \+ \d", box.text_content())
    assert box.locator("[textLength]").count() == 0


def test_an_operation_of_many_operands_is_told_in_short(opened):
    xs = [Value(i, f"x{i}") for i in range(20)]
    page = opened(draw_flow(OPS["sum"](xs), "en"))
    page.press("ArrowRight")
    assert page.narration == "Forward: v20 = sum(x0, x1, …, x19) = sum(0, 1, …, 19) = 190"


def test_it_prints_the_graph_and_the_tables_without_the_controls(opened):
    y, _ = example()
    page = opened(draw_flow(y, "en"), viewport={"width": 700, "height": 1000})  # about as wide as a page of A4
    page.press("End")
    page.page.emulate_media(media="print")
    assert page.page.locator("#graph svg").is_visible()
    assert page.page.locator("#nodes").is_visible()
    assert not page.page.get_by_role("button").first.is_visible()
    for selector in ("#graph", ".table"):
        fits = "found => found.every(e => e.scrollWidth <= e.clientWidth)"
        assert page.page.locator(selector).evaluate_all(fits), selector


def test_a_letter_typed_into_a_list_chooses_in_it(opened):
    page = opened(playground("en"), replays=False)
    page.page.locator("#functions").focus()
    page.press("l", "d", "p")
    assert page.page.locator("html").get_attribute("lang") == "en"
    assert page.page.evaluate("document.documentElement.classList.contains('presenting')") is False


def test_the_focus_comes_back_when_a_dialog_closes(opened):
    page = opened(playground("en"), replays=False, reduced_motion="reduce")
    focus = "document.activeElement.id"
    for close in ("Escape", "Enter"):  # Enter presses the button that closes the dialog
        page.page.locator("#step").focus()
        page.press("?", close)
        assert (page.page.locator("dialog[open]").count(), page.page.evaluate(focus)) == (0, "step")
        page.page.locator("#menu").focus()
        page.press("Enter")
        page.page.locator("#help").focus()
        page.press("Enter", close)
        assert (page.page.locator("dialog[open]").count(), page.page.evaluate(focus)) == (0, "menu")
        page.page.locator("#open_lessons").focus()
        page.press("Enter", "Escape")
        assert (page.page.locator("dialog[open]").count(), page.page.evaluate(focus)) == (0, "open_lessons")


def test_escape_closes_the_menu_before_the_lesson(opened):
    page = opened(playground("en"), replays=False, reduced_motion="reduce")
    page.page.evaluate("showLesson('adding', 1)")
    page.page.locator("#menu").click()
    page.press("Escape")
    assert not page.page.locator("#menu_items").is_visible()
    assert page.page.locator("#lesson").is_visible()
    page.press("Escape")
    assert not page.page.locator("#lesson").is_visible()
    page.page.locator("#menu").click()
    page.page.mouse.click(400, 400)
    assert not page.page.locator("#menu_items").is_visible()
