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
        page = opened(playground(lang), replays=False, link=f"lesson={name}", reduced_motion="reduce")
        for _ in range(at - 1):
            page.press("n")
        return page

    return open_lesson


@pytest.mark.browser
def test_a_card_opens_what_it_names_and_has_a_tick_when_it_was_seen(opened):
    page = opened(playground("en"), replays=False)
    page.page.locator("#open_lessons").click()
    cards = page.page.locator("#lesson_cards button")
    assert cards.count() == len(NAMES)
    assert page.page.locator(".tick").count() == 0
    cards.nth(1).click()
    assert not page.page.locator("#lessons").is_visible()
    assert page.page.locator("#lesson_title").inner_text() == "A dead ReLU"
    assert page.page.evaluate("document.activeElement.id") == "lesson_next"
    assert "lesson=dead" in page.link
    for _ in captions("dead", "en"):
        page.press("n")
    assert page.page.locator("#lesson_title").inner_text() == "Vanishing and exploding"  # the next one
    page.page.locator("#lesson_close").click()
    assert not page.page.locator("#lesson").is_visible()
    assert not re.search("[#&]lesson", page.link)
    page.page.locator("#open_lessons").click()
    assert [cards.nth(i).locator(".tick").count() for i in range(3)] == [0, 1, 0]
    page.page.mouse.click(3, 3)  # beside the dialog
    assert not page.page.locator("#lessons").is_visible()


def test_the_last_caption_leads_to_the_next_lesson_and_the_last_lesson_to_all(opened):
    page = opened(playground("en"), reduced_motion="reduce")
    names = page.page.evaluate("Object.keys(LESSONS)")
    for name, following in zip(names, [*names[1:], None], strict=True):
        page.page.evaluate("name => showLesson(name, LESSONS[name].states.length)", name)
        word = page.page.locator("#lesson_next_word").inner_text()
        page.page.locator("#lesson_next").click()
        if following is None:
            assert page.page.locator("#lessons").is_visible()
        else:
            title = LESSONS["en"][f"lesson_{following}"]
            assert title in word
            assert page.page.locator("#lesson_title").inner_text() == title
            assert page.page.locator("#lesson_at").inner_text().startswith("1 / ")


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
        if at < len(texts):
            page.press("n")
    assert asked == 1
    page.press("b")
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
    assert [gradients(page)[name] for name in "wb"] == [0, 0]
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


BEST_LINE = """(() => {
    const { points } = session.board.trainer, shares = [];
    for (let k = 0; k < 360; k++) {
        const [w1, w2] = [Math.cos(k * Math.PI / 180), Math.sin(k * Math.PI / 180)];
        for (const { at } of points) {
            const border = w1 * at[0] + w2 * at[1] - 1e-9;
            const right = points.filter(({ at: [x, y], label }) => w1 * x + w2 * y > border === (label === 1)).length;
            shares.push(right / points.length);
        }
    }
    return Math.max(...shares);
})()"""


@pytest.mark.browser
def test_three_lines_fence_a_circle_in(lesson):
    page = lesson("neuron", 3)
    assert page.page.evaluate("[wiring.pinned.l, wiring.pinned.j]") == [0, 0]
    page.press("n")
    assert page.page.evaluate("session.board.running !== null")
    assert page.page.evaluate(TRAINED) > 0.97


@pytest.mark.browser
def test_one_line_is_not_enough_for_exclusive_or_and_four_are(lesson):
    page = lesson("xor", 3)
    assert 0.62 < page.page.evaluate(TRAINED) < 0.71  # about two thirds
    assert 0.72 < page.page.evaluate(BEST_LINE) < 0.78  # about three quarters
    page.press("n")
    assert page.page.evaluate(TRAINED) > 0.97


@pytest.mark.browser
def test_attention_is_about_equal_before_training_and_is_not_afterwards(lesson):
    page = lesson("attention", 2)
    assert set(page.page.locator("#m_attention td").all_inner_texts()) == {"?"}  # that is what it asks
    page.page.locator("#lesson_choices button").nth(1).click()
    assert all(text.endswith("%") for text in page.page.locator("#m_attention td").all_inner_texts())
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


RUNS = """([layers, seeds, steps]) => seeds.map(seed => {
    const kinds = { activation: "tanh", initialiser: "xavier_uniform", optimizer: "Adam" };
    const given = { ...kinds, layers, loss: "binary_cross_entropy_with_logits", rate: 0.03, batch: 16, seed };
    const trainer = new Trainer(given, DATA.xor(new Random(seed), 200));
    while (trainer.steps < steps) trainer.step();
    return trainer.measured(trainer.points).right;
})"""


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_so_many_of_sixty_runs_find_exclusive_or_as_the_lesson_says(lang, room):
    """The lesson's numbers are those of an experiment, with the settings of the lesson and the seeds 0 to 59."""
    right = {n: room.evaluate(RUNS, [[n], list(range(60)), 6000]).count(1) for n in (2, 3, 4)}
    *_, last = captions("xor", lang)
    assert right[2] == 0
    assert ("two neurons none" if lang == "en" else "两个神经元一次也没有") in last.replace('"', "")
    assert [int(number) for number in re.findall(r"\d+", last)] == [60, right[3], right[4]]


@pytest.mark.browser
def test_of_a_few_runs_some_with_three_neurons_and_none_with_two_find_exclusive_or(room):
    defaults = room.evaluate("DEFAULTS")
    assert [defaults[key] for key in ("optimizer", "rate", "batch", "count", "noise")] == [
        "Adam",
        "0.03",
        "16",
        "200",
        "1",
    ]
    seeds = [0, 1, 2, 3, 4, 5]
    two, three, four = (room.evaluate(RUNS, [[n], seeds, 3000]) for n in (2, 3, 4))
    assert max(two) < 0.95
    assert sum(x == 1 for x in three) < sum(x == 1 for x in four)
    assert sum(x == 1 for x in four) >= 3


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_local_derivatives_of_ten_tanh_are_those_that_the_lesson_names(lang):
    x = Value(1.0)
    y, factors = 1.5 * x, []
    for _ in range(10):
        y = y.tanh()
        factors.append(f"{y.partials[0]:.2f}")
    assert re.findall(r"0\.\d\d", captions("vanishing", lang)[1]) == factors


@pytest.mark.browser
@pytest.mark.parametrize(("name", "told"), [("dead", "× 0"), ("saturated", "× 6.092×10⁻⁸")])
def test_a_question_does_not_show_its_answer(name, told, lesson):
    page = lesson(name, 2)
    labels = page.page.locator(".label .local")
    assert set(labels.all_text_contents()) == {"× ?"}
    assert told not in page.page.locator("main#stepping").inner_text()
    assert not page.page.locator("#plot").is_visible()
    page.page.locator("#lesson_choices button").nth(0).click()
    assert told in labels.all_text_contents()


@pytest.mark.browser
def test_a_question_about_neurons_covers_their_pictures(lesson):
    page = lesson("neuron", 2)
    shown = "each => getComputedStyle(each).visibility === 'visible'"
    seen = f"[...document.querySelectorAll('.unit canvas')].filter({shown}).length"
    assert page.page.evaluate(seen) == 0
    page.page.locator("#lesson_choices button").nth(0).click()
    assert page.page.evaluate(seen) == 4


@pytest.mark.browser
@pytest.mark.parametrize(("name", "about"), [("adding", "a"), ("dead", "w"), ("saturated", "w"), ("vanishing", "x")])
def test_the_third_caption_ends_where_its_number_arrives(name, about, lesson):
    page = lesson(name, 3)
    assert page.page.locator("#narration").inner_text().startswith(f"{about}.grad")
    assert page.page.evaluate("session.graph.nodes[receiver(session.graph, session.lastStep.moves[0])].name") == about
    assert page.page.locator(f".node.active[data-name={about}]").count() == 1


@pytest.mark.browser
def test_a_lesson_plays_up_to_what_it_tells_and_pauses(opened):
    page = opened(playground("en"), replays=False)
    assert page.page.evaluate("(showLesson('adding', 3), session.chosen.timer !== null)")  # before time goes on
    page.wait_for("session.chosen.timer === null")
    assert gradients(page)["a"] == 4
    assert page.page.evaluate("session.position < session.steps.length")


@pytest.mark.browser
def test_a_lesson_gives_back_what_was_typed_and_where_it_was(opened):
    page = opened(playground("en"), replays=False, reduced_motion="reduce")
    page.page.locator("#text").fill("my*own + work")
    page.page.locator("#numbers input").nth(1).fill("7")
    page.page.locator("#text").blur()
    page.press("ArrowRight", "ArrowRight")
    state = (
        "[session.typed.text, [...session.typed.values], session.chosen.done, session.room, origin_text.textContent]"
    )
    before, nodes = page.page.evaluate(state), page.nodes()
    for name in ("adding", "xor", "attention"):
        page.page.evaluate(f"showLesson('{name}', 1)")
        page.press("n")
        page.page.locator("#lesson_close").click()
        assert page.page.evaluate(state) == before
        assert page.page.locator("#text").input_value() == "my*own + work"
        assert page.nodes() == nodes
        assert page.page.locator("#stepping").is_visible()


@pytest.mark.browser
@pytest.mark.parametrize("lesson", ["adding", "xor"])
def test_a_lesson_that_began_in_another_room_gives_back_the_numbers_that_were_typed(lesson, opened):
    page = opened(playground("en"), replays=False, reduced_motion="reduce")
    page.page.locator("#text").fill("a*b + a")
    for i, number in enumerate(("2", "3")):
        page.page.locator("#numbers input").nth(i).fill(number)
    page.page.locator("#text").fill("a*b + a ")  # the graph is read with these numbers
    page.page.locator("#numbers input").nth(0).fill("7")
    page.page.locator("#tab_board").click()
    for _ in range(2):
        page.page.evaluate(f"showLesson('{lesson}', 1)")
        page.press("n")
        page.page.locator("#lesson_close").click()
        assert page.page.locator("#board").is_visible()
    page.page.locator("#tab_typing").click()
    assert page.page.locator("#result").inner_text() == "= 28"
    assert [each.input_value() for each in page.page.locator("#numbers input").all()] == ["7", "3"]
    assert page.nodes()["a"]["value"] == "7"


@pytest.mark.browser
@pytest.mark.parametrize("selected", [(1, 2), None])
def test_a_lesson_gives_back_the_neuron_that_was_selected(selected, opened):
    page = opened(playground("en"), replays=False, reduced_motion="reduce")
    page.page.locator("#tab_board").click()
    if selected:
        page.page.evaluate("([l, j]) => wiring.pin({ l, j })", list(selected))
    shown = """[wiring.pinned, lens_text.textContent,
        [...document.querySelectorAll('.unit[aria-pressed]')].map(unit => unit.getAttribute('aria-pressed'))]"""
    before = page.page.evaluate(shown)
    assert before[0] == (dict(zip("lj", selected, strict=True)) if selected else None)
    page.page.evaluate("showLesson('neuron', 3)")  # it selects another one
    assert page.page.evaluate("wiring.pinned") == {"l": 0, "j": 0}
    page.page.locator("#lesson_close").click()
    assert page.page.evaluate(shown) == before


@pytest.mark.browser
def test_a_lesson_gives_back_a_trained_network_and_a_trained_model(opened):
    page = opened(playground("en"), replays=False, reduced_motion="reduce")
    page.page.locator("#tab_board").click()
    page.page.locator("#b_layers").fill("3")
    page.page.evaluate("for (let i = 0; i < 9; i++) session.board.trainer.step()")
    page.page.locator("#tab_model").click()
    page.page.locator("#m_width").select_option("8")
    page.page.evaluate("for (let i = 0; i < 3; i++) model.learner.step()")
    page.page.locator("#m_open_text").click()
    page.press("ArrowRight", "ArrowRight")
    state = """[session.room, origin_text.textContent, session.chosen.done, [...session.board.trainer.network.data],
        session.board.trainer.steps, session.board.settings, model.learner.done, model.learner.losses, model.settings,
        [...model.learner.sweeps.data.subarray(0, model.learner.count)]]"""
    before = page.page.evaluate(state)
    for name in ("xor", "attention"):
        page.page.evaluate(f"showLesson('{name}', 3)")
        page.wait_for("session.board.trainer.steps > 0 && (session.lesson.name === 'xor' || model.learner.done > 0)")
        page.page.locator("#lesson_close").click()
        assert page.page.evaluate(state) == before
        assert page.page.locator("#return").is_visible()
    page.page.locator("#return").click()
    page.page.locator("#m_step").click()
    assert page.page.evaluate("model.learner.done") == 4


@pytest.mark.browser
def test_going_back_in_a_lesson_keeps_what_its_model_has_learned(lesson):
    page = lesson("attention", 3)
    page.wait_for("model.learner.done > 4")
    page.press("b")
    assert page.page.evaluate("model.learner.done") == 0  # the question is about a model before training
    page.press("n")
    assert page.page.evaluate("model.learner.done") > 4


# The stepper is there, if the caption is about what is in it. A model may have to learn first.
SHOWN = "LESSONS[session.lesson.name].subjects[session.lesson.at - 1] !== 'stage' || !byId('stepping').hidden"
INSIDE = """id => {
    const box = byId(id).getBoundingClientRect(), bars = [byId("narration"), document.querySelector("footer")];
    const tops = bars.filter(bar => bar.checkVisibility()).map(bar => bar.getBoundingClientRect().top);
    const below = Math.min(innerHeight, ...tops);
    return box.height > 0 && box.top >= -1 && box.bottom <= (id.startsWith("lesson") ? below : innerHeight) + 1;
}"""


@pytest.mark.browser
@pytest.mark.parametrize(
    ("size", "lang"),
    [((390, 844), "en"), ((360, 740), "zh"), pytest.param((360, 740), "en", marks=pytest.mark.slow)],
)
def test_on_a_phone_every_caption_and_what_it_is_about_are_in_view(size, lang, opened):
    window = {"width": size[0], "height": size[1]}
    page = opened(playground(lang), replays=False, viewport=window, reduced_motion="reduce")
    for name in NAMES:
        for at in range(1, len(captions(name, lang)) + 1):
            page.page.evaluate(f"showLesson('{name}', {at})")
            page.wait_for(SHOWN)
            for part in ("lesson_text", "lesson_next", *(["lesson_choices"] if at == 2 else [])):
                assert page.page.evaluate(INSIDE, part), (name, at, part)
            top = page.page.evaluate(
                "byId(LESSONS[session.lesson.name].subjects[session.lesson.at - 1]).getBoundingClientRect().top"
            )
            lower = page.page.evaluate("byId('lesson').getBoundingClientRect().bottom")
            assert lower - 8 <= top < size[1] - 150, (name, at)


BETWEEN_BARS = """[...document.querySelectorAll(".node.active")].filter(node => {
    const [box, above, below] = [node, byId("lesson"), byId("narration")].map(each => each.getBoundingClientRect());
    return box.top < above.bottom || box.bottom > below.top;
}).map(node => node.dataset.name)"""


@pytest.mark.browser
@pytest.mark.parametrize(("size", "lang"), [((390, 844), "zh"), ((360, 740), "en"), ((768, 1024), "zh")])
def test_the_box_that_is_told_of_is_between_the_bars_also_after_an_answer(size, lang, opened):
    window = {"width": size[0], "height": size[1]}
    page = opened(playground(lang), replays=False, viewport=window, reduced_motion="reduce")
    for name in ("adding", "dead", "vanishing", "saturated"):
        page.page.evaluate(f"showLesson('{name}', 2)")
        page.wait_for(f"{BETWEEN_BARS}.length === 0")  # the stage gets its height a little later
        page.page.locator("#lesson_choices button").first.click()
        page.wait_for("byId('lesson_verdict').textContent !== ''")
        page.wait_for(f"{BETWEEN_BARS}.length === 0")


@pytest.mark.browser
@pytest.mark.parametrize(("size", "lang"), [((390, 844), "zh"), ((768, 1024), "zh"), ((1280, 800), "en")])
def test_a_lesson_s_bar_keeps_its_height_when_it_says_whether_the_answer_is_right(size, lang, opened):
    window = {"width": size[0], "height": size[1]}
    page = opened(playground(lang), replays=False, viewport=window, reduced_motion="reduce")
    for name in NAMES:
        page.page.evaluate(f"showLesson('{name}', 2)")
        before = page.page.locator("#lesson").bounding_box()["height"]
        for i in (0, 1, 2):
            page.page.locator("#lesson_choices button").nth(i).click()
            assert page.page.locator("#lesson").bounding_box()["height"] == pytest.approx(before, abs=1), (name, i)


@pytest.mark.browser
def test_the_graph_of_attention_can_be_read_beside_its_caption(lesson):
    page = lesson("attention", 4)
    page.wait_for(SHOWN)
    sizes = """[...document.querySelectorAll("#graph text")].filter(text => text.textContent)
        .map(text => parseFloat(getComputedStyle(text).fontSize) * viewport.zoom)"""
    assert min(page.page.evaluate(sizes)) >= 12
    assert page.page.locator("#lesson_text").bounding_box()["height"] < 80
    stage = page.page.locator("#graph").bounding_box()
    for caption, names in [(4, ["query", "key"]), (5, ["share0"])]:  # what the caption speaks of
        for name in names:
            box = page.page.locator(f".node[data-name$='.{name}']").bounding_box()
            for start, size in [("x", "width"), ("y", "height")]:
                assert stage[start] <= box[start], (caption, name)
                assert box[start] + box[size] <= stage[start] + stage[size], (caption, name)
        page.press("n")


@pytest.mark.browser
@pytest.mark.parametrize("at", [4, 5])
def test_a_link_to_a_caption_about_a_trained_model_opens_one(at, opened):
    page = opened(playground("en"), replays=False, link=f"lesson=attention&at={at}", reduced_motion="reduce")
    page.wait_for(SHOWN)
    assert page.page.evaluate("model.learner.done") == 300
    shares = page.page.evaluate("modelShares()")
    assert max(max(head) for head in shares) > 0.5  # a model before training has a fifth for each of five tokens
    told = page.page.evaluate("session.numbers.data[session.graph.root]")
    assert told == pytest.approx(max(max(head) for head in shares), rel=1e-12)
    assert page.page.evaluate("document.activeElement.id") == "lesson_next"


@pytest.mark.browser
def test_a_link_to_a_caption_opens_what_its_sender_saw(opened):
    page = opened(playground("en"), replays=False, link="lesson=attention&at=3", reduced_motion="reduce")
    page.page.evaluate("for (let i = 0; i < 333; i++) model.learner.step()")
    page.press("n")
    page.wait_for(SHOWN)
    page.press("ArrowRight", "ArrowRight")
    seen = """[model.learner.done, modelShares(), session.chosen.done, [...session.numbers.data],
        origin_text.textContent, session.lesson.at]"""
    before, link = page.page.evaluate(seen), page.link
    assert f"lesson=attention&at=4&learned={before[0]}" in link
    assert before[0] > 333
    page.load(link)
    page.wait_for(SHOWN)
    assert page.page.evaluate(seen) == before


@pytest.mark.browser
def test_an_impatient_reader_s_model_learns_before_its_attention_is_opened(opened):
    page = opened(playground("en"), replays=False, link="lesson=attention", reduced_motion="reduce")
    page.page.evaluate("for (let i = 0; i < 3; i++) byId('lesson_next').click()")  # no time to learn in between
    page.wait_for(SHOWN)
    assert page.page.evaluate("[session.lesson.at, model.learner.done, model.running]") == [4, 300, None]
    page.press("n", "n")
    page.wait_for("model.learner.done > 300 && model.running !== null")
    page.press("b", "b", "b")
    assert page.page.evaluate("session.lesson.at") == 3


@pytest.mark.browser
def test_a_reader_who_leaves_while_the_model_learns_is_not_called_back(opened):
    page = opened(playground("en"), replays=False, link="lesson=attention&at=4", reduced_motion="reduce")
    page.wait_for("session.lesson")
    page.page.locator("#lesson_close").click()
    assert page.page.evaluate("model.running") is None
    page.load("lesson=attention&at=4")
    page.wait_for("session.lesson")
    page.press("b", "b")
    page.wait_for("new Promise(tell => setTimeout(() => tell(true), 100))")
    assert page.page.evaluate("[session.lesson.at, model.learner.done, byId('stepping').hidden]") == [2, 0, True]


@pytest.mark.browser
@pytest.mark.parametrize(("name", "at"), [("neuron", 4), ("xor", 3), ("xor", 4), ("attention", 3)])
def test_a_link_that_says_more_of_a_caption_leaves_its_training_running(name, at, opened):
    page = opened(playground("en"), replays=False, link=f"lesson={name}&at={at}", reduced_motion="reduce")
    holder = "model" if name == "attention" else "session.board"
    page.wait_for(f"{holder}.running !== null")
    own = page.page.evaluate(f"Object.entries({holder}.settings).map(each => each.join('=')).join('&')")
    page.load(f"lesson={name}&at={at}&room={'model' if name == 'attention' else 'board'}&{own}&trained=20")
    page.wait_for(f"{holder}.running !== null")
    done = "model.learner.done" if name == "attention" else "session.board.trainer.steps"
    page.wait_for(f"{done} > 20")


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_a_gradient_of_three_terms_is_a_whole_sum_also_after_its_leaf_was_dragged(width, opened):
    page = opened(playground("zh"), replays=False, viewport={"width": width, "height": 844}, reduced_motion="reduce")
    page.page.evaluate("showLesson('adding', 4)")
    page.page.evaluate("commands.end()")
    for number, term in (("2", "4"), ("2.5", "6.25"), ("-2.123", "4.507"), ("12.34", "152.3")):
        page.page.locator("#numbers input").fill(number)
        note = page.page.locator(".node[data-name=a] .note").text_content()
        assert note == f"= {term} + {term} + {term}"


# For the lessons that hide what they ask: what a reader would see of the answer.
ANSWERS = {
    "dead": "[...document.querySelectorAll('.label .local')].map(each => each.textContent).includes('× 0')",
    "saturated": "[...document.querySelectorAll('.label .local')].some(each => each.textContent.includes('10⁻'))",
    "neuron": "document.querySelector('.unit canvas').checkVisibility({ visibilityProperty: true })",
    "attention": "byId('m_attention').textContent.includes('%')",
}


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_no_answer_is_seen_before_the_question_or_in_it(width, opened):
    page = opened(playground("en"), replays=False, viewport={"width": width, "height": 844}, reduced_motion="reduce")
    for name, answer in ANSWERS.items():
        page.page.evaluate(f"showLesson('{name}', 1)")
        page.wait_for(f"session.lesson?.name === '{name}'")
        for media in ("print", "screen"):
            page.page.emulate_media(media=media)
            assert not page.page.evaluate(answer), (name, media)
        page.press("n")
        assert not page.page.evaluate(answer), name
        page.page.locator("#lesson_choices button").first.click()
        assert page.page.evaluate(answer), name
        page.press("b")
        assert page.page.evaluate(answer), name


@pytest.mark.browser
def test_the_large_picture_is_that_of_no_neuron_before_the_question_about_them_is_answered(opened):
    page = opened(playground("en"), replays=False, reduced_motion="reduce")
    page.page.evaluate("showLesson('neuron', 2)")
    plane = "byId('plane').toDataURL()"
    before = page.page.evaluate(plane)
    page.page.evaluate("wiring.pin({ l: 0, j: 0 })")
    assert page.page.evaluate(plane) == before
    page.page.locator("#lesson_choices button").first.click()
    assert page.page.evaluate(plane) != before
