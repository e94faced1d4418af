"""The page typesets a step: what a node is computed from, or the chain rule at an edge, with its numbers."""

import pytest

from micrograd_cn import Value, draw_flow, playground
from micrograd_cn import sum as total

from .pages import example

pytestmark = pytest.mark.browser


def formula(page):
    """Return the text of the formula, without spaces."""
    return "".join(page.page.locator("#formula").text_content().split())


def typed(opened, text, values, **more):
    page = opened(playground("en"), replays=False)
    numbers = "".join(f"&{name}={x}" for name, x in ({f"={k}": v for k, v in values.items()} | more).items())
    page.page.evaluate(f"location.hash = 'text={text}{numbers}'")
    page.wait_for(f"document.getElementById('text').value === '{text}'")
    page.press("Home")
    return page


def test_at_each_edge_it_is_the_chain_rule_with_the_numbers_of_the_edge(opened):
    page = opened(draw_flow(example()[0], "en"))
    count = 0
    for _ in range(40):
        page.press("ArrowRight")
        told = page.narration
        if "(local" not in told:
            continue
        local, upstream = told.split("(local ")[1].split(")")[0].split(" × upstream ")
        shown = formula(page)
        plain = shown.replace("−", "-").replace("(", "").replace(")", "")
        assert plain.startswith("∂")
        assert plain.split("=")[1] == f"{local}·{upstream}"
        found = page.page.evaluate(
            "session.viewAt().edges[[...viewport.picture.edges].findIndex(e => e.last.active)].size"
        )
        assert float(plain.split("=")[2]) == pytest.approx(found, rel=1e-3)
        colours = (
            "[...document.querySelectorAll('#formula [class]')].map(each => each.getAttribute('class').split(' ')[0])"
        )
        assert page.page.evaluate(colours) == ["local", "upstream", "local", "upstream", "product"]
        count += 1
    assert count > 8


def test_a_forward_step_has_fractions_powers_and_roots(opened):
    page = typed(opened, "sqrt(a1)/exp(b**-2)", {"a1": 4, "b": 2})
    found = set()
    for _ in range(5):
        page.press("ArrowRight")
        markup = page.page.locator("#formula").inner_html()
        found |= {tag for tag in ("msqrt", "mfrac", "msup", "msub") if f"<{tag}>" in markup}
        assert formula(page).count("=") <= 1
    assert found == {"msqrt", "mfrac", "msup", "msub"}  # a1 has an index


@pytest.mark.parametrize("hidden", ["grad", "local"])
def test_a_formula_does_not_show_what_is_hidden_or_asked(hidden, opened):
    page = typed(opened, "a*b", {"a": 3, "b": 7}, hide=hidden)
    page.press("End")
    assert formula(page) == ""
    page = typed(opened, "a*b", {"a": 3, "b": 7}, predict=1)
    page.press("ArrowRight")
    assert page.page.locator("#ask").is_visible()
    assert formula(page) == ""


def test_long_names_and_many_operands_have_no_formula(opened):
    long = Value(2, "a_name_that_is_long") * 3
    page = opened(draw_flow(long, "en"))
    page.press("ArrowRight")
    assert formula(page) == ""
    page.press("End")
    assert formula(page) == ""
    for count in (4, 5):
        page = opened(draw_flow(total([Value(i, f"x{i}") for i in range(count)]), "en"))
        page.press("End")
        assert (formula(page) == "") == (count == 5)
