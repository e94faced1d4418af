"""A reader edits leaves, checks gradients by differences, and predicts the next number."""

import math

import pytest
from hypothesis import given, settings

from micrograd_cn import Op, Value, draw_flow, playground
from micrograd_cn.flow.texts import PAGE
from micrograd_cn.testing import expressions

from .pages import assert_gradients, example, labelled, message, position, same

inf, nan = math.inf, math.nan


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


def test_what_is_no_number_is_refused_and_changes_nothing(opened):
    y, _ = example()
    page = opened(draw_flow(y, "en"))
    field = page.page.get_by_label("Value")
    for text, valid in zip(
        ("", "1.2.3", "0x10", "1e", "one", "<b>"), ("nan", "-inf", "1e-3", "-.5", "7", "0"), strict=True
    ):
        shown = page.nodes()
        field.fill(text)
        assert page.nodes() == shown, text
        assert field.get_attribute("aria-invalid") == "true", text
        assert "This is not a number" in page.page.locator("#message").inner_text(), text
        field.fill(valid)
        assert field.get_attribute("aria-invalid") == "false", (text, valid)
        assert same(float(page.nodes()["x"]["value"]), float(valid)), (text, valid)


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
    assert "This is not a number" in message(page)
    page.click("step")
    assert page.page.get_by_label("Value").input_value() == "4"
    assert message(page) == ""


def test_any_minus_is_read_everywhere(opened):
    page = opened(draw_flow(Value(2, "a") * 3, "en"))
    for minus, digit in zip("-−–－", "2345", strict=True):
        page.page.get_by_label("Value").fill(f"{minus}{digit}e{minus}3")
        assert page.nodes()["a"]["value"] == f"-0.00{digit}", minus


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
    assert kink.page.locator("#message").inner_text().endswith("they differ, as they do at a kink.")


def test_after_a_nudge_the_next_step_shows_its_formula(opened):
    page = opened(playground("en"), replays=False, viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    scrolled = "document.querySelector('aside').scrollTop"
    page.click("nudge")
    assert page.page.evaluate(scrolled) > 0  # to the message
    page.click("step")
    assert page.page.evaluate(scrolled) == 0
    page.page.evaluate("document.querySelector('aside').scrollTop = 400")
    page.click("step")
    assert page.page.evaluate(scrolled) == 400  # the reader has scrolled to the tables
    page.page.locator("#example").select_option("twice")
    assert page.page.evaluate(scrolled) == 0


NUDGES = [
    (lambda x: x.log(), 0.001, "agree"),
    (lambda x: 1 / x, 0.001, "agree"),
    (lambda x: 1 / x, -1e-9, "agree"),
    (lambda x: x.sqrt(), 1e-5, "agree"),
    (lambda x: (1000 * x).sin(), 3.0, "agree"),
    (lambda x: x.exp(), -30.0, "agree"),
    (lambda x: x.sin() + 1, 1e-9, "agree"),  # x is so small that a step of its size changes nothing
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


@pytest.mark.slow
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
    assert "a slope of nan. backward() would give the gradient inf:" in told


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
    """Press the arrow so often, and then begin to predict."""
    page.press(*["ArrowRight"] * presses)
    page.click("predict")
    page.click("step")
    assert "?" in page.narration
    return page


def right(page, *answers):
    """Return for each answer whether the page takes it for right; the question is asked again after each."""
    return page.page.evaluate(
        """answers => answers.map(answer => {
            const before = session.position;
            byId("answer").value = answer;
            byId("ask").requestSubmit();
            const taken = session.position === before + 1;
            if (taken) byId("back").click(), byId("step").click();
            return taken;
        })""",
        answers,
    )


@pytest.mark.slow
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
            """() => session.steps.flatMap(step => {
                const view = session.viewAt(step.end), x = stepNumber(view, step);
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


@pytest.mark.parametrize("before", [0, 1])
def test_to_go_back_from_a_question_is_to_leave_it(before, opened):
    page = ask(opened(draw_flow(Value(2, "x") * 3, "en")), before)
    for word in ("back", "node_back"):
        page.click(word)
        assert not page.page.locator("#ask").is_visible(), word
        assert position(page) == before, word
        assert page.page.locator("#back").is_disabled() == (before == 0), word
        page.click("step")
        assert page.page.locator("#ask").is_visible()


def test_a_question_and_help_pause_the_page(opened):
    y, _ = example()
    page = opened(draw_flow(y, "en"))
    page.stop_clock()
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


def test_an_answer_may_be_a_fraction_and_what_is_no_number_is_said(opened):
    page = opened(draw_flow(Value(1, "x") / 2, "en"))
    page.click("predict")
    wrong = [("abc", "This is not a number"), ("3", "Not yet"), ("1/", "This is not a number")]
    for right in ("1/2", "0.5"):
        page.click("step")
        for answer, told in wrong:
            page.page.locator("#answer").fill(answer)
            page.click("check")
            assert page.page.locator("#verdict").inner_text().startswith(told), answer
        page.page.locator("#answer").fill(right)
        page.click("check")
        assert position(page) == 1, right
        page.click("back")


NOTHING = {"name": "b", "node": "v1", "before": "0"}


def filled(lang, word, **facts):
    return PAGE[lang][word].format(**facts)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_nothing_tells_the_number_that_is_predicted(lang, opened):
    page = opened(playground(lang), replays=False)
    page.page.locator("#text").fill("maximum(w, b) * 7")
    for i, number in enumerate(("3", "2")):
        page.page.locator("#numbers input").nth(i).fill(number)
    page.page.locator("#learning").evaluate("each => (each.open = true)")
    page.page.locator("#rate").fill("0.1")
    page.page.locator("#learn").click()  # w is 2.3 now
    page.page.locator("#start").click()
    page.page.locator("#predict").click()
    asked = {"1": filled(lang, "at_seed_asked", name="v2"), "0": filled(lang, "at_nothing_asked", **NOTHING)}
    for answer in ("2.3", "16.1", "1", "7", "7", "0"):
        page.page.locator("#step").click()
        assert page.narration == asked.get(answer, page.narration)
        assert page.narration.count("?") == 1 + (answer == "1" and lang == "en")
        shown = [page.page.locator(each).inner_text() for each in ("#result", "#trail_text")]
        assert [text.split()[-1] for text in shown] == (["?"] * 2 if answer in ("2.3", "16.1") else ["16.1"] * 2)
        page.page.locator("#answer").fill(answer)
        page.press("Enter")
        assert not page.page.locator("#ask").is_visible()
