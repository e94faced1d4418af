"""A click opens a lesson. What it says is true; it asks one question, and ends with something to try."""

import re

import pytest

from micrograd_cn import Value, playground
from micrograd_cn.flow.texts import LESSONS

NAMES = re.findall(r"lesson_(\w+)_about", " ".join(LESSONS["en"]))


def captions(name, lang):
    return [text for key, text in LESSONS[lang].items() if re.fullmatch(rf"lesson_{name}_\d", key)]


def test_each_lesson_asks_one_question_and_ends_with_something_to_try_in_both_languages():
    assert LESSONS["en"].keys() == LESSONS["zh"].keys()
    for name in NAMES:
        assert captions(name, "en")[-1].startswith("Try it")
        assert captions(name, "zh")[-1].startswith("试一试")
        assert sum("?" in text for text in captions(name, "en")[:-1]) == 1
        assert sum("？" in text for text in captions(name, "zh")[:-1]) == 1


def gradients(page):
    return {name: float(facts["grad"]) for name, facts in page.nodes().items() if facts["grad"]}


@pytest.fixture
def lesson(opened):
    """Give a function that opens a lesson by its link, and goes to a caption by the key N."""

    def open_lesson(name, at=1, lang="en"):
        page = opened(playground(lang), replays=False, reduced_motion="reduce")
        page.page.goto("about:blank")
        page.page.goto(f"{page.url}#lesson={name}")
        page.requests[:] = [page.url]
        for _ in range(at - 1):
            page.press("n")
        return page

    return open_lesson


@pytest.mark.browser
def test_a_first_visit_shows_the_cards_and_a_second_does_not(opened):
    page = opened(playground("en"), replays=False, new=True)
    assert page.page.locator("#lesson_cards button").count() == len(NAMES)
    assert page.page.locator("#lessons").is_visible()
    page.page.locator("#lesson_cards button").nth(1).click()
    assert not page.page.locator("#lessons").is_visible()
    assert page.page.locator("#lesson_title").inner_text() == "A dead ReLU"
    assert "lesson=dead" in page.link
    page.page.locator("#lesson_close").click()
    assert not page.page.locator("#lesson").is_visible()
    assert "lesson" not in page.link
    page.come_back()
    assert not page.page.locator("#lessons").is_visible()
    page.page.locator("#open_lessons").click()
    assert page.page.locator("#lessons").is_visible()
    page.requests[:] = [page.url]


@pytest.mark.browser
@pytest.mark.parametrize(  # each lesson in one language
    ("name", "lang"),
    [
        pytest.param(name, lang, marks=[pytest.mark.slow] * ((i + j) % 2))
        for i, name in enumerate(NAMES)
        for j, lang in enumerate(["en", "zh"])
    ],
)
def test_a_link_opens_a_lesson_and_keys_go_through_it(name, lang, lesson):
    page = lesson(name, lang=lang)
    texts, asked = captions(name, lang), 0
    for at, text in enumerate(texts, 1):
        assert page.page.locator("#lesson_text").inner_text() == text
        assert page.page.locator("#lesson_at").inner_text() == f"{at} / {len(texts)}"
        choices = page.page.locator("#lesson_choices button")
        asked += choices.count() > 0
        assert (choices.count() > 0) == (("?" in text or "？" in text) and at < len(texts))
        if choices.count():
            right = page.page.evaluate(f"LESSONS.{name}.right") - 1
            choices.nth((right + 1) % 3).click()
            assert page.page.locator("#lesson_verdict").inner_text() == LESSONS[lang]["lesson_wrong"]
            choices.nth(right).click()
            assert page.page.locator("#lesson_verdict").inner_text() == LESSONS[lang]["lesson_right"]
        page.press("n")
    assert asked == 1
    page.press("p")
    assert page.page.locator("#lesson_text").inner_text() == texts[-2]
    page.press("Escape")
    assert not page.page.locator("#lesson").is_visible()


RIGHT = {
    "adding": ("4, their sum", "4，两项之和"),
    "dead": ("0", "0"),
    "vanishing": ("about 0.02", "约 0.02"),
    "saturated": ("as good as 0", "几乎是 0"),
    "neuron": ("a straight line", "一条直线"),
    "xor": ("about three quarters", "约四分之三"),
    "attention": ("about equally", "大致平分"),
}


@pytest.mark.browser
def test_the_choice_that_is_right_is_what_happens(room):
    assert RIGHT.keys() == set(NAMES)
    right = room.evaluate("Object.fromEntries(Object.entries(LESSONS).map(([name, { right }]) => [name, right]))")
    for name, texts in RIGHT.items():
        assert tuple(LESSONS[lang][f"lesson_{name}_choice_{right[name]}"] for lang in ("en", "zh")) == texts


# What the captions say is true, and so is the answer that they take for right.


@pytest.mark.browser
def test_gradients_add(lesson):
    page = lesson("adding", 2)
    assert gradients(page) == {}
    page.press("n")
    assert gradients(page)["a"] == 4
    assert sorted(float(e["contribution"]) for e in page.edges() if e["src"] == "a") == [1, 3]


@pytest.mark.browser
def test_a_dead_relu_comes_to_life(lesson):
    page = lesson("dead", 3)
    assert page.nodes()["v2"]["value"] == "-1"
    assert [gradients(page)[name] for name in "wxb"] == [0, 0, 0]
    page.press("n")
    page.page.locator("#numbers input").nth(2).fill("-1.5")
    assert gradients(page)["w"] == 2


def gradient_through_tanh(count, first=1.5, weight=1.0):
    """Return the gradient of x at 1 in `count` nested tanh, with the weight `first` in the innermost one."""
    x = Value(1.0)
    y = (first * x).tanh()
    for _ in range(count - 1):
        y = (weight * y).tanh()
    y.backward()
    return x.grad


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_gradients_that_a_lesson_names_are_those_of_ten_and_fifty_layers(lang):
    with_weights = gradient_through_tanh(50, first=0.5, weight=0.5)
    numbers = [f"{gradient_through_tanh(10):.4f}", f"{gradient_through_tanh(50):.4f}", f"{with_weights:.16f}"]
    assert re.findall(r"0\.0\d+", captions("vanishing", lang)[2]) == numbers


@pytest.mark.browser
def test_a_gradient_vanishes_and_explodes(lesson):
    page = lesson("vanishing", 3)
    assert gradients(page)["x"] == pytest.approx(gradient_through_tanh(10))
    page.press("n")
    assert [gradients(page)[name] for name in "xw"] == [3**8, 8 * 3**7]
    page.press("n")
    assert gradients(page)["x"] == 1


@pytest.mark.browser
def test_a_saturated_tanh_passes_nothing_on(lesson):
    page = lesson("saturated", 3)
    w = Value(4.0)
    (w * 2.0 + 1.0).tanh().backward()
    assert gradients(page)["w"] == pytest.approx(w.grad)
    assert f"{w.grad:.8f}" in captions("saturated", "en")[2]


TRAINED = """(() => {
    stopTraining();
    const { trainer } = session.board;
    while (trainer.steps < 1000) trainer.step();
    return trainer.measured(trainer.points).right;
})()"""


@pytest.mark.browser
def test_four_lines_fence_a_circle_in(lesson):
    page = lesson("neuron", 3)
    assert page.page.evaluate("[wiring.pinned.l, wiring.pinned.j]") == [0, 0]
    page.press("n")
    assert page.page.evaluate("session.board.running !== null")
    assert page.page.evaluate(TRAINED) > 0.97


@pytest.mark.browser
def test_one_line_is_not_enough_for_exclusive_or_and_four_are(lesson):
    page = lesson("xor", 3)
    assert 0.5 < page.page.evaluate(TRAINED) < 0.8
    page.press("n")
    assert page.page.evaluate(TRAINED) > 0.97


@pytest.mark.browser
def test_attention_is_about_equal_before_training_and_is_not_afterwards(lesson):
    page = lesson("attention", 2)
    shares = page.page.evaluate("modelShares()")
    assert all(0.15 < share < 0.25 for head in shares for share in head)
    page.press("n")
    page.page.locator("#m_speed").select_option("full")  # the lesson's own pace takes 17 seconds
    page.wait_for("session.model.learner.done === 1000")
    assert max(max(head) for head in page.page.evaluate("modelShares()")) > 0.5
    page.press("n")
    assert page.page.locator("#origin_text").inner_text().endswith("after 1,000 training steps")
    most = max(max(head) for head in page.page.evaluate("modelShares()"))
    assert page.page.evaluate("session.numbers.data[session.graph.root]") == pytest.approx(most)
