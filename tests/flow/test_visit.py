"""A first visit, the browser's history, links that carry what is shown, frames, talks, and failures."""

import json

import pytest

from micrograd_cn import Value, draw_flow, playground
from micrograd_cn.flow.texts import PAGE
from micrograd_cn.nn import MLP

from .pages import position
from .test_look import ABOUT, EXAMPLE, OUTSIDE, SIZES

pytestmark = pytest.mark.browser

REDUCED = {"replays": False, "reduced_motion": "reduce"}


def shown(page):
    """Return the room, whether a computation is open in it, and how many moves are done."""
    return page.page.evaluate("[session.room, session.origin !== null, session.chosen.done]")


def test_on_a_first_visit_a_backward_pass_plays_by_itself_until_the_reader_does_something(opened):
    page = opened(playground("en"), replays=False, new=True)
    assert not page.page.locator("dialog[open]").count()
    assert page.page.locator("#hello p").is_visible()
    assert [page.page.locator(f"#{name}").is_visible() for name in ("watch", "first_lesson", "try_own")] == [True] * 3
    page.wait_for("session.chosen.done === session.moves.length")
    page.wait_for("session.chosen.done < session.moves.length")  # it begins anew
    page.page.mouse.click(600, 500)
    before = shown(page)
    page.page.wait_for_timeout(1500)
    assert shown(page) == before
    page.page.locator("#watch").click()
    page.wait_for("session.chosen.done === session.moves.length")
    page.page.locator("#try_own").click()
    assert page.page.evaluate("document.activeElement.id") == "text"
    assert not page.page.locator("#hello").is_visible()
    page.come_back()
    assert not page.page.locator("#hello").is_visible()


def test_who_wants_no_motion_gets_none(opened):
    page = opened(playground("zh"), new=True, **REDUCED)
    assert page.page.locator("#hello").is_visible()
    before = shown(page)
    page.page.wait_for_timeout(1300)
    assert shown(page) == before
    page.page.locator("#first_lesson").click()
    assert page.page.locator("#lesson_title").inner_text() == "梯度要累加"


def test_in_a_frame_nothing_greets_the_reader(browser):
    page = browser.new_page()
    page.set_content(playground("en")._repr_html_())
    inside = page.frame_locator("iframe")
    inside.locator("#end").click()
    assert not inside.locator("#hello").is_visible()
    assert inside.locator("dialog[open]").count() == 0
    page.close()


def test_back_and_forward_go_through_rooms_and_what_they_open(opened):
    page = opened(playground("en"), **REDUCED)
    page.page.locator("#tab_board").click()
    page.page.evaluate("for (let i = 0; i < 5; i++) session.board.trainer.step()")
    page.page.locator("#open_sample").click()
    page.press("ArrowRight", "ArrowRight", "ArrowRight")
    opened_at = shown(page)
    assert opened_at[:2] == ["board", True]
    page.page.locator("#return").click()
    page.page.locator("#tab_model").click()
    seen = []
    for _ in range(4):
        page.page.go_back()
        seen.append(shown(page)[:2])
    assert seen == [["board", False], ["board", True], ["board", False], ["typing", False]]
    page.page.go_forward()
    assert page.page.evaluate("session.board.trainer.steps") == 5
    page.page.go_forward()
    assert shown(page) == opened_at  # at the same step
    assert page.page.locator("#return").is_visible()


def test_after_an_example_is_chosen_the_keys_of_the_stepper_work(opened):
    page = opened(playground("en"), **REDUCED)
    page.page.locator("#text").focus()
    page.page.locator("#example").select_option("twice")
    page.press("p")
    assert page.page.locator("#text").input_value() == "a + a"
    assert page.page.evaluate("document.documentElement.classList.contains('presenting')")
    page.press("p", "ArrowRight")
    assert position(page) == 2


def test_another_expression_opens_at_its_start_and_back_returns_to_the_one_before(opened):
    page = opened(playground("en"), **REDUCED)
    text = page.page.locator("#text")
    seen = lambda: (text.input_value(), position(page), page.page.evaluate("session.moves.length"))  # noqa: E731
    first = (text.input_value(), 15, 15)
    page.click("end")
    assert seen() == first
    page.page.locator("#example").select_option("twice")
    assert seen() == ("a + a", 1, 4)
    assert page.page.locator("#example").input_value() == "twice"
    page.click("end")
    text.press("Control+a")
    text.press_sequentially("a*b")
    assert seen() == ("a*b", 1, 4)
    assert page.page.locator("#example").input_value() == ""  # it is no example
    assert page.narration.splitlines()[1] == PAGE["en"]["forward_done"]
    page.click("end")
    text.press("End")
    text.press_sequentially("*2")  # an edit keeps the point of the run
    assert seen() == ("a*b*2", 6, 6)
    page.page.evaluate("location.hash = '#text=tanh(a)'")
    page.wait_for("byId('text').value === 'tanh(a)'")
    assert seen() == ("tanh(a)", 1, 3)
    for expected, example in [(("a*b*2", 6, 6), ""), (("a + a", 4, 4), "twice"), (first, "neuron")]:
        page.page.go_back()
        assert seen() == expected
        assert page.page.locator("#example").input_value() == example
    page.page.go_forward()
    assert seen() == ("a + a", 4, 4)


@pytest.mark.parametrize(("room", "opens"), [("board", "open_loss"), ("model", "m_open_loss")])
def test_the_numbers_of_an_expression_stay_while_another_computation_is_open(room, opens, opened):
    page = opened(playground("en"), **REDUCED)
    page.page.locator("#text").fill("a*b + a")
    for i, number in enumerate(("2", "3")):
        page.page.locator("#numbers input").nth(i).fill(number)
    page.page.locator("#text").fill("a*b + a ")  # the graph is read with these numbers
    page.page.locator("#numbers input").nth(0).fill("7")
    page.page.locator(f"#tab_{room}").click()
    page.page.locator(f"#{opens}").click()
    assert page.page.locator("#origin").is_visible()
    page.page.locator("#tab_typing").click()
    assert page.page.locator("#result").inner_text() == "= 28"
    assert [each.input_value() for each in page.page.locator("#numbers input").all()] == ["7", "3"]
    assert {name: node["value"] for name, node in page.nodes().items() if name in "ab"} == {"a": "7", "b": "3"}
    assert "%3Da=7" in page.link
    page.click("undo")
    assert page.page.locator("#result").inner_text() == "= 8"


def test_another_address_is_shown_without_loading_the_page_again(opened):
    page = opened(playground("en"), **REDUCED)
    page.page.evaluate("window.mark = 1")
    page.page.evaluate("location.hash = '#room=board&layers=3'")
    page.wait_for("session.room === 'board'")
    assert page.page.evaluate("[window.mark, session.board.settings.layers]") == [1, "3"]
    page.page.evaluate("location.hash = '#text=p*q&%3Dp=4'")
    page.wait_for("session.room === 'typing'")
    assert page.page.evaluate("session.numbers.data[session.graph.root]") == 4 * -3


def test_a_link_carries_the_step_the_parts_and_what_is_asked(opened):
    page = opened(playground("en"), **REDUCED)
    page.page.locator("#text").fill("a*b + a")
    page.page.locator("#text").blur()
    page.press("ArrowRight", "ArrowRight")
    page.page.locator("#predict").click()
    page.page.locator("#again").click()
    state = "[session.chosen.done, session.chosen.actions, session.chosen.predict, session.typed.text]"
    link, before = page.link, page.page.evaluate(state)
    assert before[:3] == [8, ["backward", "backward"], True]
    page.load(link)
    assert page.page.evaluate(state) == before
    page.load("text=a*b&step=4&hide=grad%20local")
    assert page.nodes()["a"]["grad"] == ""
    assert {edge["contribution"] for edge in page.edges()} == {""}
    assert page.page.locator(".label .local").all_text_contents() == ["× ?", "× ?"]
    assert page.page.locator("#narration").inner_text().endswith("?")


def test_an_answer_to_what_a_link_asks_is_not_in_the_link(opened):
    page = opened(playground("en"), link="text=a*b&%3Da=3&%3Db=5&predict=1&step=2", **REDUCED)
    page.press("ArrowRight")
    before = page.link
    assert "predict=1" in before
    page.page.locator("#answer").fill("0.8642")
    page.page.locator("#ask [type=submit]").click()
    assert page.page.locator("#verdict").inner_text()
    assert page.link == before


@pytest.mark.parametrize(
    "link", ["text=a*b&step=x&passes=q&open=9", "lesson=none", "lesson=adding&at=0", "room=none&step=-1", "at=3"]
)
def test_rubbish_in_a_link_is_passed_over(link, opened):
    page = opened(playground("en"), link=link, **REDUCED)
    assert shown(page)[0] == "typing"
    assert page.nodes()


def test_a_link_of_a_lesson_has_its_caption_and_what_the_reader_has_changed(opened):
    page = opened(playground("en"), link="lesson=dead&at=4", **REDUCED)
    assert page.page.locator("#lesson_at").inner_text() == "4 / 4"
    assert page.link.endswith("#lesson=dead&at=4&lang=en")
    page.page.locator("#numbers input").nth(2).fill("-1.5")
    link = page.link
    page.load(link)
    assert page.page.locator("#lesson_at").inner_text() == "4 / 4"
    assert page.nodes()["b"]["value"] == "-1.5"
    page.load("lesson=xor&at=5")
    page.page.locator("#b_layers").fill("5")
    page.load(page.link)
    settings = page.page.evaluate("session.board.settings")
    assert [settings[key] for key in ("data", "layers", "rate")] == ["xor", "5", "0.03"]
    assert page.page.locator("#lesson_at").inner_text() == "5 / 5"


def test_a_tab_leaves_a_lesson(opened):
    page = opened(playground("en"), link="lesson=adding", **REDUCED)
    page.page.locator("#tab_board").click()
    assert not page.page.locator("#lesson").is_visible()
    assert "#room=board" in page.link
    page.page.go_back()
    assert page.page.locator("#lesson_title").inner_text() == "Gradients add up"


def test_back_in_a_lesson_keeps_the_answer(opened):
    page = opened(playground("en"), link="lesson=adding&at=2", **REDUCED)
    page.page.locator("#lesson_choices button").nth(0).click()
    page.press("n", "b")
    assert page.page.locator("#lesson_choices .right").count() == 1
    assert page.page.locator("#lesson_verdict").inner_text() == "Not this one. Next shows why."


def test_a_clicker_steps_wherever_the_focus_is(opened):
    page = opened(playground("en"), **REDUCED)
    page.press("Home")
    page.page.locator("#text").focus()
    page.press("PageDown", "PageDown", "PageUp")
    assert position(page) == 1
    page.page.locator("#tab_board").click()
    page.press("PageDown")
    assert page.page.evaluate("session.board.trainer.steps") == 1
    page.page.locator("#tab_typing").click()
    page.load("lesson=adding")
    page.page.locator("#text").focus()
    before = position(page)
    page.press("PageDown")
    assert (page.page.locator("#lesson_at").inner_text(), position(page)) == ("2 / 4", before)
    page.press("PageUp")
    assert page.page.locator("#lesson_at").inner_text() == "1 / 4"


def test_a_clicker_moves_one_step_in_a_graph_with_layers_and_shift_a_layer(opened):
    page = opened(draw_flow(MLP(2, [2, 1], seed=0)([1.0, 2.0]), "en"))
    page.press("PageDown", "PageDown")
    assert position(page) == 2
    page.press("Home", "Shift+PageDown")
    assert position(page) > 2


def test_a_talk_shows_the_graph_and_its_caption_in_large_letters(opened):
    page = opened(playground("en"), viewport={"width": 1920, "height": 1080}, **REDUCED)
    visible = """['header', '#entry', 'aside', '#graph', '#narration']
        .map(e => document.querySelector(e).checkVisibility())"""
    assert not page.page.locator("#heading").is_visible()
    page.page.emulate_media(media="print")
    assert page.page.locator("#heading").is_visible()  # a handout says which function it shows
    page.page.emulate_media(media="screen")
    page.press("p")
    assert page.page.locator("#heading").inner_text() == page.page.locator("#text").input_value()
    assert page.page.evaluate(visible) == [False, False, False, True, True]
    assert page.page.evaluate("parseFloat(getComputedStyle(byId('narration')).fontSize)") >= 40
    # On a screen that is 2.4 m wide, letters of 36 pixels have capitals of 3 cm, which can be read from ten metres.
    assert page.page.evaluate(OUTSIDE) == []
    assert min(page.page.evaluate(SIZES)) >= 36
    before = page.page.evaluate("viewport.size[0]")
    page.press("ArrowRight", "p")
    assert page.page.evaluate(visible) == [True] * 5
    assert page.page.evaluate("viewport.size[0]") > before  # its boxes are no longer closer together
    page.page.evaluate("showLesson('adding')")
    page.press("p")
    assert min(page.page.evaluate(SIZES)) >= 36


def test_a_talk_shows_the_network_its_plane_and_its_losses_in_large_letters(opened):
    page = opened(playground("en"), viewport={"width": 1920, "height": 1080}, **REDUCED).page
    page.evaluate("showRoom('board')")
    page.evaluate("commands.present()")
    page.locator("#one_step").click()
    page.evaluate("wiring.pin({ l: 0, j: 0 })")
    seen = "[...document.querySelectorAll('#board {}')].filter(e => e.checkVisibility())"
    sizes = page.evaluate(f"{seen.format('*')}.map(e => parseFloat(getComputedStyle(e).fontSize))")
    assert min(sizes) >= 28
    fields = page.evaluate(f"{seen.format(':is(button, select, input):not(.unit)')}.map(e => e.id)")
    assert fields == ["run", "one_step"]
    assert page.evaluate("byId('board').scrollHeight <= byId('board').clientHeight")


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_talk_ends_with_a_button_that_covers_no_other_or_with_escape(lang, opened):
    page = opened(playground(lang), viewport={"width": 360, "height": 740}, has_touch=True, **REDUCED)
    presents = "document.documentElement.classList.contains('presenting')"
    covered = """() => {
        const [left, right] = [byId("leave"), byId("step")].map(e => e.getBoundingClientRect());
        return right.width > 0 && right.right > left.left && right.bottom > left.top;
    }"""
    for link, there in [
        ("text=a*b", "session.typed.text === 'a*b'"),
        ("room=board", "session.room === 'board'"),
        ("room=model", "session.room === 'model'"),
        ("lesson=adding", "session.lesson"),
    ]:
        page.page.evaluate(f"location.hash = '#{link}&lang={lang}'")
        page.wait_for(there)
        page.page.evaluate("commands.present()")
        assert not page.page.evaluate(covered)
        assert page.page.locator("#leave").inner_text() == PAGE[lang]["leave"]
        page.page.locator("#leave").tap()
        assert not page.page.evaluate(presents)
        assert not page.page.locator("#leave").is_visible()
        page.page.evaluate("commands.present()")
        page.press("Escape")
        assert not page.page.evaluate(presents)
    assert page.page.evaluate("session.lesson.name") == "adding"


@pytest.mark.parametrize("name", ["newton", "vanishing"])
def test_in_a_talk_the_letters_of_a_large_graph_are_large_and_it_follows_the_steps(name, opened):
    page = opened(playground("en"), viewport={"width": 1920, "height": 1080}, **REDUCED).page
    page.evaluate(EXAMPLE, name)
    page.evaluate("commands.present()")
    page.evaluate("commands.start()")
    for step in range(page.evaluate("session.steps.length")):
        page.evaluate("commands.step()")
        assert page.evaluate(ABOUT) not in page.evaluate(OUTSIDE), step
    assert min(page.evaluate(SIZES)) >= 36


def test_in_a_talk_a_graph_is_whole_if_its_letters_stay_large_and_fades_where_it_goes_on(opened):
    page = opened(playground("en"), viewport={"width": 1920, "height": 1080}, **REDUCED).page
    page.evaluate(EXAMPLE, "attention")
    page.evaluate("commands.present()")
    assert page.evaluate(OUTSIDE) == []
    assert min(page.evaluate(SIZES)) >= 0.65 * 36
    fade = """getComputedStyle(byId("graph"), "::after").backgroundSize.split(", ")
        .map(size => size.replace("100%", "").trim())"""
    assert page.evaluate(fade) == ["0px"] * 4
    page.evaluate(EXAMPLE, "vanishing")
    assert page.evaluate(fade) == ["24px", "0px", "0px", "0px"]  # it goes on at its left


def test_an_embedded_page_is_compact_and_lets_the_outer_page_scroll(opened):
    page = opened(playground("en"), link="embed&text=a*b", viewport={"width": 700, "height": 480}, **REDUCED)
    visible = (
        "['header', '#entry', '#graph', '#narration', '#step'].map(e => document.querySelector(e).checkVisibility())"
    )
    assert page.page.evaluate(visible) == [False, False, True, True, True]
    assert page.page.locator("#heading").inner_text() == "a*b"
    for name in ("heading", "graph", "narration", "step"):
        box = page.page.locator(f"#{name}").bounding_box()
        assert box["y"] >= 0, name
        assert box["y"] + box["height"] <= 480, name
    assert page.page.locator("#graph").bounding_box()["height"] > 200
    zoom = page.page.evaluate("viewport.zoom")
    scrolls = """modifier => byId("graph").dispatchEvent(
        new WheelEvent("wheel", { deltaY: 100, cancelable: true, ctrlKey: modifier }))"""
    assert page.page.evaluate(scrolls, False)  # the event goes on to the outer page
    assert page.page.evaluate("viewport.zoom") == zoom
    assert not page.page.evaluate(scrolls, True)
    assert page.page.evaluate("viewport.zoom") != zoom
    assert "embed" in page.link
    page.load("embed")
    assert page.page.locator("#heading").inner_text() == "tanh(w*x + b)"


def test_an_embedded_page_that_asks_for_numbers_shows_the_question_and_goes_on(opened):
    page = opened(
        playground("en"),
        link="embed&text=x*x%2By&=x=3&=y=2&predict=1",
        viewport={"width": 700, "height": 480},
        **REDUCED,
    )
    page.press(*["ArrowRight"] * 4)
    answer = page.page.locator("#answer")
    assert answer.is_visible()
    box = answer.bounding_box()
    assert box["y"] >= 0
    assert box["y"] + box["height"] <= 480
    before = position(page)
    answer.fill("1")
    answer.press("Enter")
    page.press("ArrowRight")
    assert position(page) > before


def test_a_failure_is_told_and_stops_what_runs(opened):
    page = opened(playground("en"), **REDUCED)
    page.page.evaluate("void dispatchEvent(new ErrorEvent('error', { message: 'ResizeObserver loop' }))")
    assert not page.page.locator("#failure").is_visible()
    page.page.locator("#tab_board").click()
    page.page.locator("#run").click()
    page.wait_for("session.board.trainer.steps > 0")
    page.page.evaluate("void (session.board.trainer.step = () => { throw new RangeError('too deep'); })")
    page.page.locator("#failure").wait_for(state="visible")
    assert "Load the page again" in page.page.locator("#failure").inner_text()
    assert "too deep" in page.page.locator("#failure").inner_text()
    assert page.page.evaluate("session.board.running") is None
    assert page.errors == ["too deep"]  # once, and not in each frame
    page.errors.clear()


def test_a_shared_link_has_a_description_and_an_icon(opened):
    for made, words in ((playground("zh"), "语言模型"), (draw_flow(Value(1, "x") * 2, "en"), "edge by edge")):
        page = opened(made, **REDUCED).page
        assert words in page.locator("meta[name=description]").get_attribute("content")
        assert words in page.locator("meta[property='og:description']").get_attribute("content")
        icon = page.locator("link[rel=icon]").get_attribute("href")
        loads = "url => new Promise(done => { const i = new Image(); i.onload = () => done(i.width); i.src = url; })"
        assert page.evaluate(loads, icon) > 0


def test_a_link_from_a_sample_opens_it_in_a_network_that_was_trained_as_long(opened):
    page = opened(playground("en"), **REDUCED)
    page.page.locator("#tab_board").click()
    page.page.locator("#b_layers").fill("4")
    page.page.evaluate("(() => { for (let i = 0; i < 25; i++) session.board.trainer.step(); refresh(); })()")
    page.page.locator("#plane").focus()
    page.press("ArrowRight", "ArrowRight", "Enter")
    page.press("ArrowRight", "ArrowRight")
    state = (
        "[origin_text.textContent, session.chosen.done, session.numbers.data, session.board.point, "
        "session.board.trainer.steps]"
    )
    before, link = page.page.evaluate(state), page.link
    assert before[0] == "Sample 3 after 25 training steps"
    page.load(link)
    assert page.page.evaluate(state) == before
    page.page.locator("#return").click()
    page.page.locator("#one_sample").click()
    assert "trained" not in page.link  # the number of steps does not tell these weights


@pytest.mark.parametrize("link", ["text=a*b&%3Da=7&%3Db=-0.5", "text=a*b&=a=7&=b=-0.5", "text=a*b&=a=7&%3Db=-0.5&x"])
def test_a_link_keeps_its_numbers_if_a_program_has_decoded_it(link, opened):
    page = opened(playground("en"), link=link, **REDUCED)
    assert page.page.evaluate("[...session.typed.values]") == [["a", 7], ["b", -0.5]]
    assert "text=a*b&%3Da=7&%3Db=-0.5" in page.link


def test_a_link_of_a_lesson_opens_the_sample_that_was_open(opened):
    page = opened(playground("en"), link="lesson=xor&at=5", **REDUCED)
    page.page.locator("#plane").focus()
    page.press("ArrowRight", "ArrowRight", "Enter", "ArrowRight")
    state = (
        "[session.lesson.name, session.lesson.at, origin_text.textContent, session.chosen.done, session.numbers.data]"
    )
    before, link = page.page.evaluate(state), page.link
    assert "lesson=xor&at=5&" in link
    assert before[2].startswith("Sample 3 after ")
    page.load(link)
    assert page.page.evaluate(state) == before


def test_back_leaves_a_page_that_a_link_has_opened_in_a_computation(opened):
    page = opened(playground("en"), **REDUCED)
    page.load("lesson=attention&at=4")
    page.page.locator("#return").wait_for()
    page.page.go_back()
    page.page.wait_for_url("about:blank", timeout=5_000)  # the page may write its own link once more before it is left
    page.page.go_forward()


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_help_is_that_of_the_room(lang, opened):
    page = opened(playground(lang), **REDUCED)
    told = set()
    for room, steps in (("typing", True), ("board", False), ("model", False), ("typing", True)):
        page.page.locator(f"#tab_{room}").click()
        page.press("?")
        told.add(page.page.locator("#help_intro").inner_text())
        keys = page.page.locator("#helping dl").inner_text()
        assert (PAGE[lang]["key_step"] in keys, PAGE[lang]["key_train"] in keys) == (steps, not steps)
        page.press("Escape")
    assert len(told) == 3


def test_a_layer_has_the_number_of_textbooks_and_python_s_name(opened):
    page = opened(draw_flow(MLP(2, [2, 1], seed=0)([1.0, 2.0]), "en"))
    assert page.page.locator(".scope .title").first.text_content() == "layer 1layers.0"
    assert page.page.locator(".scope .path").first.text_content() == "layers.0"


def test_in_a_notebook_the_wheel_scrolls_the_notebook(browser):
    page = browser.new_page()
    page.set_content(draw_flow(Value(2, "x") * 3, "en")._repr_html_() + "<p>" + "<br>" * 200)
    page.frame_locator("iframe").locator("#graph").hover()
    page.mouse.wheel(0, 300)
    page.wait_for_function("scrollY > 200")
    page.close()


@pytest.mark.parametrize(
    "opens",
    [
        "openAttention(2, 1)",
        "openChance(4)",
        "byId('m_open_text').click()",
        "byId('m_open_loss').click()",
        "(() => { byId('m_table').focus(); for (const key of ['ArrowDown', 'ArrowDown', 'Enter']) "
        "byId('m_table').dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true })); })()",
    ],
)
def test_a_link_opens_what_was_open_of_the_language_model(opens, opened):
    page = opened(playground("en"), link="room=model&typed=anna&width=8", **REDUCED)
    for _ in range(3):
        page.page.locator("#m_step").click()
    page.page.locator("#m_tokens button").nth(2).click()
    page.page.evaluate(opens)
    page.press("ArrowRight", "ArrowRight")
    state = "[origin_text.textContent, session.chosen.done, model.learner.done, model.at, session.numbers.data]"
    before, link = page.page.evaluate(state), page.link
    assert before[0].endswith("after 3 training steps")
    page.load(link)
    page.page.locator("#return").wait_for()
    assert page.page.evaluate(state) == before
    page.page.locator("#return").click()
    assert "opens=" not in page.link


def test_a_link_opens_the_batch_that_was_open(opened):
    page = opened(playground("en"), link="room=board&layers=3", **REDUCED)
    page.page.locator("#one_step").click()
    page.page.locator("#open_loss").click()
    page.press("ArrowRight", "ArrowRight")
    state = "[origin_text.textContent, session.chosen.done, session.numbers.data]"
    before, link = page.page.evaluate(state), page.link
    page.load(link)
    assert page.page.evaluate(state) == before


@pytest.mark.parametrize(
    "opens", ["attention.99.0", "attention.0.99", "chance.99", "chance.", "word.é", "word.", "embedding.2.99", "x", ""]
)
def test_a_link_that_opens_nothing_shows_the_room(opens, opened):
    page = opened(playground("en"), link=f"room=model&width=8&opens={opens}&step=3&token=99", **REDUCED)
    assert page.page.locator("#m_run").is_visible()
    assert not page.page.locator("#return").is_visible()


BOARD = "[session.board.trainer.made, session.board.point, session.board.own, byId('show_grads').ariaPressed]"


def lists(page, expression):
    """Return what an expression gives, with lists in the place of typed arrays."""
    return json.loads(
        page.page.evaluate(f"JSON.stringify({expression}, (_, x) => (ArrayBuffer.isView(x) ? [...x] : x))")
    )


def test_a_reload_gives_back_the_network_as_it_was(opened):
    page = opened(playground("en"), link="room=board&layers=3", **REDUCED)
    page.page.locator("#run").click()
    page.wait_for("session.board.trainer.curve.length > 3")
    page.page.locator("#run").click()
    page.page.locator("#one_sample").click()
    page.page.locator("#show_grads").click()
    page.page.locator("#plane").focus()
    page.press("ArrowRight", "ArrowRight")
    before = lists(page, BOARD)
    assert before[3] == "true"
    assert page.link  # waits until it is written
    page.page.reload()
    assert lists(page, BOARD) == before
    page.page.locator("#one_step").click()
    assert page.page.evaluate("session.board.trainer.steps") == before[0]["steps"] + 1
    page.load("room=board&layers=3")  # a link is no reload
    assert page.page.evaluate("session.board.trainer.steps") == 0


def test_a_reload_gives_back_what_was_learned_from_points_that_were_drawn_meanwhile(opened):
    page = opened(playground("en"), link="room=board&data=own&layers=2&own=0.50,0.50,0;-0.50,-0.50,1", **REDUCED)
    for _ in range(5):
        page.page.locator("#one_step").click()
    page.page.locator("#plane").click(position={"x": 33, "y": 57})
    page.page.locator("#one_step").click()
    before = lists(page, BOARD)
    assert len(before[2]) == 3
    assert page.link
    page.page.reload()
    assert lists(page, BOARD) == before


def test_the_curves_of_a_link_s_network_are_those_of_a_run(opened):
    page = opened(playground("en"), link="room=board&layers=3&trained=250&grads=1", **REDUCED)
    steps = page.page.evaluate("session.board.trainer.curve.map(each => each.step)")
    assert steps == [0, *range(3, 250, 3), 250]
    assert page.page.evaluate("session.board.trainer.history.length") == 250
    assert page.page.locator("#show_grads").get_attribute("aria-pressed") == "true"
    assert page.page.evaluate("wiring.gradients")
    assert "grads=1" in page.link
    page.page.locator("#show_grads").click()
    assert "grads" not in page.link


def test_a_reload_gives_back_the_language_model_in_the_middle_of_its_training(opened):
    page = opened(playground("en"), link="room=model&width=8&batch=4&steps=10000", **REDUCED)
    page.page.locator("#m_run").click()
    page.wait_for("model.learner.done > 5 && model.invented.length > 0")
    page.page.reload()
    had = json.loads(page.page.evaluate("sessionStorage.getItem(`micrograd_cn.rooms ${location.pathname}`)"))["model"]
    assert had["made"]["learner"]["done"] > 5
    now = "({ learner: model.learner.made, rng: model.rng, invented: model.invented })"
    assert lists(page, now) == had["made"]
