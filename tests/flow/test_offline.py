"""The page works offline and in a notebook, differs in its data alone, and refuses what it cannot show."""

import html
import json
import re
import subprocess
import sys

import pytest

from micrograd_cn import Tape, Value, draw_flow, playground

from .pages import example


def test_the_policy_lets_nothing_in_or_out(opened):
    y, _ = example()
    page = opened(draw_flow(y))
    policy = page.page.locator("meta[http-equiv]").get_attribute("content")
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    attempts = """["https://example.com/", "data:,x"].map(url => fetch(url).then(() => "out", () => "blocked"))"""
    blocked = page.page.evaluate(f"() => Promise.all({attempts})")
    assert blocked == ["blocked", "blocked"]
    page.errors.clear()  # they say that the requests were blocked
    page.requests.intersection_update({page.url})


def test_the_page_is_the_same_for_every_graph_but_for_its_data():
    pages, graphs = set(), []
    for count in (1, 1_000):
        y = Value(1, "x")
        for _ in range(count):
            y = y.sin()
        before, data, after = re.split(
            r'(?<=<script type="application/json" id="data">)(.*?)(?=</script>)', draw_flow(y, "en").html, maxsplit=1
        )
        pages.add((before, after))
        graphs.append(json.loads(data))
    assert len(pages) == 1
    assert [len(data["graphs"][0]["nodes"]) for data in graphs] == [2, 1_001]
    assert [data["snapshots"] for data in graphs] == [[0], [0]]


def test_the_playground_without_its_words_has_at_most_430_kilobytes():
    text = playground("en").html
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])
    words = json.dumps(data["words"], ensure_ascii=False, separators=(",", ":"))
    assert {"en", "zh"} == data["words"].keys()
    assert len(text.encode()) - len(words.encode()) <= 430_000


def test_a_notebook_shows_it_in_a_frame(browser):
    y, _ = example()
    frame = draw_flow(y, "en")._repr_html_()
    assert frame.startswith("<iframe ")
    page = browser.new_page()
    page.set_content(frame)
    inside = page.frame_locator("iframe")
    inside.locator("#end").click()
    y.backward()
    assert inside.locator(".node[data-name=y]").get_attribute("data-grad") == "1"
    page.close()


def test_a_notebook_shows_the_playground_in_a_frame():
    frame = playground("en")._repr_html_()
    assert frame.startswith('<iframe title="Backpropagation playground" ')
    srcdoc = re.search(r" srcdoc='([^']*)'></iframe>$", frame)[1]
    assert html.unescape(srcdoc) == playground("en").html


def test_a_snapshot_of_a_number_names_itself():
    with pytest.raises(TypeError, match=r"snapshot\(\) a Value, got float"):
        Tape("en").snapshot(3.0)


def test_in_a_frame_a_prediction_is_answered_and_help_closes(browser):
    page = browser.new_page()
    page.set_content(draw_flow(Value(2, "x") * 3, "en")._repr_html_())
    inside = page.frame_locator("iframe")
    inside.locator("#predict").click()
    inside.locator("#step").click()
    inside.locator("#answer").fill("6")
    inside.locator("#answer").press("Enter")
    assert inside.locator("#progress").inner_text() == "step 1 of 3"
    inside.locator("#menu").click()
    inside.locator("#help").click()
    assert inside.locator("dialog").is_visible()
    inside.get_by_role("button", name="Close").click()
    assert not inside.locator("dialog").is_visible()
    page.close()


def test_saving_gives_the_path_and_the_same_graph_the_same_bytes(tmp_path):
    path = draw_flow(example()[0]).save(tmp_path / "flow.html")
    assert path.read_bytes().decode() == draw_flow(example()[0]).html


def test_it_is_imported_only_when_asked_for():
    script = "import sys, micrograd_cn; assert 'micrograd_cn.flow' not in sys.modules; micrograd_cn.Tape"
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: draw_flow(1.0, "en"), TypeError, r"takes a Value or a Tape, and snapshot\(\) a Value, got float"),
        (lambda: draw_flow(1.0, "zh"), TypeError, "需要一个 Value 或 Tape"),
        (lambda: draw_flow(Value(1).detach(), "en"), ValueError, "no gradient flows"),
        (lambda: draw_flow(Value(1), "fr"), ValueError, "lang must be"),
        (lambda: Tape("en").html, ValueError, r"call snapshot\(loss\)"),
    ],
)
def test_refused_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


def chain(n):
    y = Value(1)
    for _ in range(n):
        y = y.sin()
    return y
