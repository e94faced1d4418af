"""A program that is copied from the page gives its numbers, and its link opens the same page."""

import contextlib
import io
import math

import pytest

from micrograd_cn import Value, draw_flow, playground, scope
from micrograd_cn.flow.texts import PAGE
from micrograd_cn.nn import MLP

from .pages import example

pytestmark = pytest.mark.browser


def run(program):
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        exec(program, {})
    value, *leaves = told.getvalue().splitlines()
    return float(value), {name: tuple(map(float, numbers)) for name, *numbers in map(str.split, leaves)}


def agree(python, browser):
    """Return whether two results are equal but for the last bits of the browser's exp, which may be off by an ulp.

    V8 and the C library round one exp in ten differently. A partial such as that of tanh is the square of a quotient of
    such numbers.
    """
    near = abs(python - browser) <= 4 * math.ulp(browser) and math.copysign(1, python) == math.copysign(1, browser)
    return near or repr(python) == repr(browser)


def assert_runs_alike(page):
    program = page.evaluate("pythonOf(session.graph, session.numbers.data, session.chosen.actions)")
    value, leaves = run(program)
    assert agree(value, float(page.evaluate("exact(session.numbers.data[session.graph.root])")))
    shown = """(() => {
        const state = replayed(session.graph, session.numbers, session.moves, session.moves.length);
        const leaves = [...session.graph.nodes.keys()].filter(i => isEditable(session.graph.nodes[i]));
        return leaves.map(i => [exact(session.numbers.data[i]), exact(gradient(state, i))]);
    })()"""
    expected = [tuple(map(float, pair)) for pair in page.evaluate(shown)]
    assert all(map(agree, sum(leaves.values(), ()), sum(expected, ())))
    assert len(leaves) == len(expected)


def test_every_example_runs_as_python(opened):
    page = opened(playground("en")).page
    for name in page.evaluate("EXAMPLES.map(([name]) => name)"):
        page.locator("#example").select_option(name)
        assert_runs_alike(page)
    page.evaluate(
        "(() => { session.edit(Number(byId('leaf').value), 0.1);"
        "for (const each of ['again', 'zero', 'again']) commands[each](); })()"
    )
    assert_runs_alike(page)


def test_a_graph_of_python_runs_as_python(opened):
    y, _ = example()
    with scope("net"):
        z = MLP(12, [3, 1], seed=0)([Value(0.1 * i, f"in-{i}") for i in range(12)]) * y
    assert_runs_alike(opened(draw_flow(z, "en")).page)


def test_the_link_has_numbers_and_language_after_a_drag_and_undo(opened):
    page = opened(playground("en"))
    page.page.evaluate("session.edit(session.graph.nodes.findIndex(node => node.name === 'b'), 1.25)")
    assert "%3Db=1.25" in page.link
    assert "lang=en" in page.link
    page.click("undo")
    assert "%3Db=6.4" in page.link
    page.press("l")
    assert "lang=zh" in page.link


COPIES = """by => {
    globalThis.copied = [];
    const keep = text => globalThis.copied.push(text);
    const refuse = () => { throw new Error("not allowed"); };
    navigator.clipboard.writeText = async text => (by === "clipboard" ? keep(text) : refuse());
    document.execCommand = () => {
        if (by === "selection") keep(document.activeElement.value);
        return by === "throws" ? refuse() : by === "selection";
    };
}"""


@pytest.mark.parametrize(
    ("by", "lang"), [("clipboard", "en"), ("selection", "zh"), ("nothing", "en"), ("nothing", "zh"), ("throws", "en")]
)
def test_the_page_says_copied_only_if_the_browser_has_copied(by, lang, opened):
    page, words = opened(playground(lang)), PAGE[lang]
    page.page.evaluate(COPIES, by)
    copies = by in ("clipboard", "selection")
    for name, refused in (("copy_link", "link_not_copied"), ("copy_python", "python_not_copied")):
        page.page.evaluate("copied.length = 0; byId('menu_told').textContent = ''")
        page.open_menu()
        page.page.locator(f"#{name}").click()
        page.wait_for(f"byId('{name}').dataset.word === 'copied' || byId('menu_told').textContent !== ''")
        assert len(page.page.evaluate("copied")) == copies
        assert page.page.locator("#menu_told").inner_text() == ("" if copies else words[refused])
        assert page.page.locator(f"#{name}").inner_text() == words["copied" if copies else name]
        assert page.page.locator("textarea[readonly]").count() == 0
        assert page.page.evaluate("document.activeElement.id") == name


def test_the_link_that_is_copied_has_what_was_typed_just_before(opened):
    page = opened(playground("en"))
    page.page.evaluate(COPIES, "clipboard")
    page.open_menu()
    page.page.evaluate("(() => { readTyped('just*typed'); byId('copy_link').click(); })()")
    [link] = page.page.evaluate("copied")
    assert "#text=just*typed&" in link
    assert link == page.link


def test_a_strange_language_in_a_link_is_no_language(opened):
    page = opened(playground("en"), link="lang=__proto__")
    assert page.page.evaluate("session.chosen.lang") == "en"


def test_language_and_theme_are_kept(opened):
    page = opened(playground("en"), color_scheme="light")
    page.press("d", "l")
    page.come_back()
    assert page.page.evaluate("[session.chosen.lang, document.documentElement.dataset.theme]") == ["zh", "dark"]
