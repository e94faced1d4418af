"""In the language model's room a reader changes settings, types words, watches numbers, and opens graphs."""

import re
from urllib.parse import quote

import pytest

from micrograd_cn import playground
from micrograd_cn.flow.texts import MODEL

from .pages import new_page

pytestmark = pytest.mark.browser

WEIGHTS = "[...model.learner.sweeps.data.subarray(0, model.learner.count)]"
REDUCED = {"replays": False, "reduced_motion": "reduce"}


@pytest.fixture
def model(opened):
    """Give the room of an untrained model of width 8. Time passes there only when a test lets it."""

    def open_room(lang="en", **options):
        page = opened(playground(lang), **REDUCED, **options)
        page.page.locator("#tab_model").click()
        page.page.locator("#m_more summary").evaluate("each => each.click()")
        page.page.locator("#m_width").select_option("8")
        return page

    return open_room


def test_it_learns_and_shows_what_it_has_learned(model):
    page = model()
    page.page.locator("#m_speed").select_option("60")
    page.page.locator("#m_run").click()
    page.wait_for("model.learner.done >= 5 && model.invented.length > 0")
    assert page.page.locator("#m_run").inner_text() == "Pause"
    page.page.locator("#m_run").click()
    done = page.page.evaluate("model.learner.done")
    assert f"step {done} of 1,000 · 1,328 parameters" in page.page.locator("#m_state").inner_text()
    assert page.page.evaluate("model.learner.losses.length") == done
    assert page.page.locator("#m_invented li").count() == page.page.evaluate("model.invented.length")
    page.page.locator("#m_step").click()
    assert page.page.evaluate("model.learner.done") == done + 1
    page.page.locator("#m_reset").click()
    assert page.page.evaluate("[model.learner.done, model.invented.length]") == [0, 0]


def test_it_ends_when_the_learning_rate_is_zero_and_keeps_what_it_has_learned(model):
    page = model()
    page.page.locator("#m_steps").select_option("300")
    page.page.locator("#m_run").click()
    page.wait_for("model.learner.done === 300")
    assert page.page.locator("#m_state").inner_text().startswith("done: all 300 steps · ")
    assert page.page.locator("#m_run").get_attribute("title") == MODEL["en"]["m_done"]
    assert page.page.locator("#m_warning").inner_text() == ""  # nothing is wrong
    assert page.page.locator("#m_run").inner_text() == "Play"
    assert not page.page.locator("#m_run").is_enabled()
    assert not page.page.locator("#m_step").is_enabled()
    page.page.locator("#m_reset").click()
    assert page.page.evaluate("model.learner.done") == 0
    assert page.page.locator("#m_run").is_enabled()


def test_a_beginning_has_the_chances_of_the_next_token_and_what_each_head_reads(model):
    page = model()
    page.page.locator("#m_text").fill("anna")
    tokens = page.page.locator("#m_tokens button").all_inner_texts()
    assert tokens == ["•", "a", "n", "n", "a"]
    assert "after '•anna'" in page.page.locator("#m_chances_title").inner_text()
    assert page.page.locator("#m_chances button").count() == 27
    assert page.page.locator("#m_attention td").count() == 4 * 5
    page.page.locator("#m_tokens button").nth(2).click()
    assert "after '•an'" in page.page.locator("#m_chances_title").inner_text()
    assert page.page.locator("#m_attention td").count() == 4 * 3
    look = "model.learner.look(typedTokens().tokens.slice(0, 3))"
    chances = page.page.evaluate(f"{look}.chances")
    told = [text.split() for text in page.page.locator("#m_chances button").all_inner_texts()]
    assert ["b", f"{100 * chances[1]:.1f}%"] in told
    assert [page.page.evaluate(f"letterOf({i})") for i in sorted(range(27), key=lambda i: -chances[i])] == [
        letter for letter, _ in told
    ]
    share = page.page.evaluate(f"{look}.attention[2][1][2]")
    cell = page.page.locator("#m_attention tr").nth(2).locator("td").nth(2)
    assert cell.inner_text() == f"{100 * share:.0f}%"


def test_what_the_model_has_no_number_for_is_said(model):
    page = model()
    page.page.locator("#m_text").fill("an7a")
    assert (
        page.page.locator("#m_unknown").inner_text()
        == "'7' is in none of the words, so the model has no number for it."
    )
    assert page.page.locator("#m_tokens button").count() == 3
    page.page.locator("#m_text").fill("a" * 20)
    assert page.page.locator("#m_unknown").inner_text() == "The model sees 15 characters at most."
    assert page.page.locator("#m_tokens button").count() == 16


def test_one_s_own_lines_of_any_script(model):
    page = model("zh")
    page.page.locator("#m_words").select_option("own")
    assert page.page.locator("#m_warning").inner_text() == "请输入一些训练用词，每行一个。"
    assert not page.page.locator("#m_run").is_enabled()
    page.page.locator("#m_lines").fill("春眠不觉晓\n\n  处处闻啼鸟 \r\n夜来 风雨声\n🙂")
    assert page.page.locator("#m_warning").inner_text() == ""
    shown = page.page.locator("#m_chances button b").all_inner_texts()
    assert sorted(shown) == sorted({*"春眠不觉晓处闻啼鸟夜来风雨声🙂", "␣", "•"})
    page.page.locator("#m_step").click()
    assert page.page.evaluate("model.learner.losses.length") == 1
    many = "\n".join(chr(0x4E00 + i) for i in range(101))
    page.page.locator("#m_lines").fill(many)
    assert page.page.locator("#m_warning").inner_text() == "这些词里有 101 种字符，这里最多 100 种。"
    assert not page.page.locator("#m_views").is_visible()
    page.page.locator("#m_lines").fill(many[:-2])
    assert page.page.locator("#m_chances button").count() == 101


def test_a_wrong_setting_is_said_and_changes_nothing(model):
    page = model()
    page.page.locator("#m_rate").fill("-1")
    assert page.page.locator("#m_warning").inner_text() == "The learning rate is a number above 0."
    assert page.page.evaluate("model.learner.rate") == 0.01
    page.page.locator("#m_rate").fill("0.02")
    assert page.page.locator("#m_warning").inner_text() == ""
    assert page.page.evaluate("model.learner.rate") == 0.02


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("#m_chances button[data-token='2']", "The chance of 'c' after '•em'"),
        (
            "#m_attention tr >> nth=2 >> td >> nth=1 >> button",
            "How much of its attention head 2 gives to 'e' at 'm' in '•em'",
        ),
        ("#m_open_text", "The loss of 'em'"),
        ("#m_open_loss", "The loss of '"),
    ],
)
def test_what_one_clicks_opens_and_training_goes_on_where_it_was(what, told, model):
    page = model()
    for _ in range(3):
        page.page.locator("#m_step").click()
    before = page.page.evaluate(WEIGHTS)
    page.page.locator(what).click()
    assert page.page.locator("#origin_text").inner_text().startswith(told)
    assert page.page.locator("#origin_text").inner_text().endswith(", after 3 training steps")
    page.press("End")
    assert page.page.evaluate("session.chosen.done === session.moves.length")
    page.page.locator("#return").click()
    assert page.page.evaluate(WEIGHTS) == before
    assert page.page.evaluate("[model.learner.done, model.running]") == [3, None]
    page.page.locator("#m_step").click()
    assert page.page.evaluate("model.learner.done") == 4


def test_what_was_running_runs_on(model):
    page = model()
    page.page.locator("#m_steps").select_option("10000")
    page.page.locator("#m_run").click()
    page.wait_for("model.learner.done > 2")
    page.page.evaluate("openChance(3)")
    done = page.page.evaluate("model.learner.done")
    page.press("ArrowRight", "ArrowRight")
    assert page.page.evaluate("model.learner.done") == done
    page.page.locator("#return").click()
    page.wait_for(f"model.learner.done > {done}")


def test_the_table_of_embeddings_is_read_and_opened_by_keys(model):
    page = model()
    page.page.locator("#m_step").click()
    page.page.locator("#m_table").focus()
    page.press("ArrowRight", "ArrowDown", "ArrowDown", "ArrowRight")  # the first key chooses the first number
    place = "model.learner.weights.wte[2][1]"
    value = page.page.evaluate(f"shown(model.learner.sweeps.data[{place}])")
    assert page.page.locator("#m_cell").inner_text().startswith(f"'c', number 2: {value}.")
    page.press("Enter")
    opened = page.page.locator("#origin_text").inner_text()
    word = re.match(
        r"Number 2 of the embedding of 'c' \(the box 1\), at work in the loss of '(\w+)', .*after 1", opened
    )[1]
    assert "c" in word
    assert page.page.evaluate("session.graph.nodes[byId('leaf').value].name") == "wte.c.1"
    assert "wte.c.1" in page.nodes()


def test_keys_run_and_step(model):
    page = model()
    page.page.locator("#m_speed").select_option("1")
    page.page.evaluate("document.activeElement.blur()")
    page.press("ArrowRight", "ArrowRight")
    assert page.page.evaluate("model.learner.done") == 2
    page.press(" ")
    assert page.page.evaluate("model.running !== null")
    page.press(" ")
    assert page.page.evaluate("model.running") is None


def test_a_link_opens_the_room_as_it_was(opened, browser):
    page = opened(playground("en"), **REDUCED)
    page.page.locator("#tab_model").click()
    page.page.locator("#m_more summary").click()
    for name, value in {"words": "own", "width": "32", "layers": "2", "heads": "1", "block": "8", "batch": "4"}.items():
        page.page.locator(f"#m_{name}").select_option(value)
    page.page.locator("#m_lines").fill("天 地\n玄=黄&\n")
    page.page.locator("#m_text").fill("玄")
    link = page.link
    assert f"lines={quote('天 地')}%0A" in link
    other = new_page(browser)
    other.goto(link)
    state = "[model.settings, model.lines, session.room, model.learner.letters.join('')]"
    assert other.evaluate(state) == page.page.evaluate(state)
    assert other.locator("#m_lines").input_value() == "天 地\n玄=黄&\n"
    other.close()


def test_a_link_that_says_what_cannot_be_is_as_if_it_did_not(opened, browser):
    page = opened(playground("en"), **REDUCED)
    other = new_page(browser)
    for given in ("width=17", "heads=3", "rate=nan", "seed=-1", "words=x", "steps=5", "temperature=9"):
        other.goto("about:blank")
        other.goto(f"{page.url}#room=model&{given}")
        assert other.evaluate("JSON.stringify(model.settings) === JSON.stringify(MODEL_DEFAULTS)"), given
    other.close()


OUTSIDE = """[...document.querySelectorAll("#model :is(button, input, select, canvas, h2, p, .caption, output, label)")]
    .filter(each => each.checkVisibility() && !each.closest(".table"))
    .filter(each => each.getBoundingClientRect().right > innerWidth + 1).map(each => each.id)"""

CUT = """[...document.querySelectorAll("header button, #model button")].filter(each => each.checkVisibility())
    .filter(each => each.scrollWidth > each.clientWidth + 1).map(each => each.id || each.textContent)"""


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_nothing_sticks_out(lang, model):
    page = model(lang, viewport={"width": 1280, "height": 800})
    page.page.locator("#m_layers").select_option("2")
    page.page.locator("#m_text").fill("elizabethmarianne")
    for width in (360, 390, 768, 1280, 1920):
        page.page.set_viewport_size({"width": width, "height": 800})
        assert page.page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.page.evaluate(OUTSIDE) == [], width
        assert page.page.evaluate(CUT) == [], width


def test_the_same_random_numbers_give_the_same_new_words(model):
    page = model()
    for _ in range(2):
        page.page.locator("#m_reset").click()
        page.page.locator("#m_invent").click()
    words = page.page.evaluate("[...model.invented]")
    assert len(words) == 10
    page.page.locator("#m_reset").click()
    page.page.locator("#m_invent").click()
    assert page.page.evaluate("model.invented") == words


NAMED = """wanted => session.graph.groups.flatMap((group, i) => {
    return group.path === wanted ? [partName(session.graph, i, session.words)] : [];
})"""


@pytest.mark.parametrize(
    ("lang", "told"),
    [("en", "head 2 of layer 1 of token 2 'm'"), ("zh", "词元 2“m”的第 1 层的第 2 个头")],
)
def test_the_parts_of_the_model_have_names_in_words(lang, told, model):
    page = model(lang).page
    page.evaluate("openAttention(1, 1)")
    assert page.evaluate(NAMED, "t2:m.layer1.attention.head2") == [told]
    assert page.evaluate(NAMED, "layer1.wq") == ["layer1.wq"]


def test_the_arcs_of_attention_are_as_wide_as_its_shares(model):
    page = model()
    for _ in range(20):
        page.page.locator("#m_step").click()
    page.page.locator("#m_text").fill("anna")
    arcs = "[...byId('m_reads').querySelectorAll('.looked path')].map(arc => Number(arc.getAttribute('stroke-width')))"
    shares = page.page.evaluate("modelShares()")
    most = max(range(len(shares)), key=lambda head: max(shares[head]))
    for head in (most, 0, 3):
        if head != most:
            page.page.locator("#m_attention tr").nth(head + 1).locator("button").first.focus()
        widths, told = page.page.evaluate(arcs), page.page.locator("#m_reads .looked .long").inner_text()
        assert told == f"What head {head + 1} reads at 'a'"
        assert widths == [pytest.approx(0.6 + 11 * share, abs=0.01) for share in shares[head]]
    letters = page.page.locator("#m_reads .looked text").all_text_contents()
    assert letters == ["•", "a", "n", "n", "a"]
    told = page.page.locator("#m_reads .looked svg").get_attribute("aria-label")
    assert told.startswith("What head 4 reads at 'a', • ")


def test_a_number_deep_in_the_model_has_a_short_name_in_sentences(model):
    page = model()
    page.page.locator("#m_attention button").first.click()
    told = page.page.locator("#narration").inner_text()
    assert told.startswith("Forward: share0 = exp(log_share0) = ")
    assert page.page.locator("#plot + figcaption").inner_text().startswith("exp(log_share0), as log_share0 varies.")


def test_the_hint_of_a_known_word_follows_the_language(model):
    page = model("en")
    page.page.evaluate("(() => { globalThis.word = model.learner.words[0]; model.invented = [word]; showModel(); })()")
    item = page.page.locator("#m_invented li")
    assert item.get_attribute("title") == MODEL["en"]["m_known"]
    page.press("l")
    assert item.get_attribute("title") == MODEL["zh"]["m_known"]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_list_of_new_words_says_what_it_will_have(lang, model):
    page = model(lang)
    later = page.page.locator("#m_invented_later")
    assert later.inner_text() == MODEL[lang]["m_invented_later"]
    assert MODEL[lang]["m_invent"] in later.inner_text()  # the name of the button
    page.page.locator("#m_invent").click()
    assert not later.is_visible()
    page.page.locator("#m_reset").click()
    assert later.is_visible()


def test_a_link_opens_a_model_that_has_learned_as_much(model):
    page = model()
    for _ in range(5):
        page.page.locator("#m_step").click()
    before, link = page.page.evaluate(f"[model.learner.done, {WEIGHTS}]"), page.link
    assert f"learned={before[0]}" in link
    page.load(link)
    page.wait_for(f"model.learner.done === {before[0]} && model.running === null")
    assert page.page.evaluate(f"[model.learner.done, {WEIGHTS}]") == before
    page.page.locator("#m_reset").click()
    assert "learned" not in page.link


SEEN_ARCS = """[...document.querySelectorAll("#m_reads figure")].filter(each => each.checkVisibility())
    .map(each => each.querySelector("svg").getBoundingClientRect()).map(({ top, right }) => [top, right])"""


@pytest.mark.parametrize(
    ("size", "typed", "rows"), [((1920, 1080), "emma", 1), ((1080, 1920), "emma", 1), ((1080, 1920), "olivia", 2)]
)
def test_a_large_window_has_the_arcs_of_all_heads(size, typed, rows, opened):
    page = opened(playground("en"), viewport={"width": size[0], "height": size[1]}, **REDUCED).page
    page.locator("#tab_model").click()
    page.locator("#m_text").fill(typed)
    found = page.evaluate(SEEN_ARCS)
    assert len(found) == 4
    assert len({round(top) for top, _ in found}) == rows
    edge = page.evaluate("byId('m_reading').getBoundingClientRect().right")
    assert max(right for _, right in found) <= edge + 1
    assert max(right for _, right in found) > edge - 0.1 * size[0]
    page.locator("#m_text").fill("alexandrina")  # too long for this
    assert len(page.evaluate(SEEN_ARCS)) == 1


@pytest.mark.parametrize("size", [(390, 844), (1280, 800)])
def test_a_small_window_has_the_arcs_of_one_head(size, opened):
    page = opened(playground("en"), viewport={"width": size[0], "height": size[1]}, **REDUCED).page
    page.locator("#tab_model").click()
    assert len(page.evaluate(SEEN_ARCS)) == 1


@pytest.mark.parametrize("size", [(1920, 1080), (1080, 1920)])
def test_the_stage_of_the_model_is_used(size, opened):
    """The tables fill their columns, and in a high window the losses and the embeddings are as high as their places."""
    page = opened(playground("zh"), viewport={"width": size[0], "height": size[1]}, **REDUCED).page
    page.locator("#tab_model").click()
    box = "id => { const { width, height } = byId(id).getBoundingClientRect(); return [width, height]; }"
    assert page.evaluate(box, "m_table")[1] > 0.95 * page.evaluate(box, "m_table_frame")[1]
    assert page.evaluate(box, "m_curve")[1] > 0.25 * size[1]
    if size[0] > size[1]:
        assert page.evaluate(box, "m_attention")[0] > 0.95 * page.evaluate(box, "m_reading")[0]


NUMBERS = """(opens) => {
    for (let i = 0; i < 30; i++) model.learner.work();
    const halfway = model.learner.ready;
    ({ word: () => byId("m_open_loss").click(), chance: () => openChance(3) })[opens]();
    const { graph, numbers } = session, { weights, letters, sweeps, done } = model.learner;
    const differ = weights.wte.flatMap((row, j) => row.filter((place, i) => {
        const node = graph.nodes.findIndex(({ name }) => name === `wte.${letters[j]}.${i}`);
        return node >= 0 && numbers.data[node] !== sweeps.data[place];
    }));
    return [halfway > 0, differ.length, byId("origin_text").textContent.includes(`after ${done} training step`)];
}"""


@pytest.mark.parametrize("opens", ["word", "chance"])
def test_what_opens_in_the_middle_of_a_batch_has_the_numbers_after_it(opens, model):
    page = model().page
    page.locator("#m_batch").select_option("16")
    assert page.evaluate(NUMBERS, opens) == [True, 0, True]


def test_the_field_of_a_leaf_shows_no_number_of_another_graph(model):
    page = model().page
    page.locator("#m_width").select_option("16")
    page.evaluate("openChance(3)")
    assert page.locator("#leaf option").count() == 0  # all leaves are in closed parts
    assert page.locator("#value").input_value() == ""
    page.locator("#return").click()
    page.locator("#m_table").focus()
    page.keyboard.press("Enter")
    leaf = "session.numbers.data[Number(byId('leaf').value)]"
    assert float(page.locator("#value").input_value()) == page.evaluate(leaf)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_state_of_the_model_is_no_higher_when_it_is_done(lang, model):
    page = model(lang).page
    height = "byId('m_running').getBoundingClientRect().height"
    for width in (360, 390, 768, 1024, 1280, 1920):
        page.set_viewport_size({"width": width, "height": 800})
        page.evaluate("(model.learner.losses = [2.345], model.learner.done = 999, showModel())")
        before = page.evaluate(height)
        page.evaluate("(model.learner.done = 1000, showModel())")
        assert page.evaluate(height) <= before, width
