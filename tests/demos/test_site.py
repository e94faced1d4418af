"""The site is complete, its links lead somewhere, and it needs no network, as Chromium shows."""

import re
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin

import nbformat
import pytest

from micrograd_cn.flow import playground
from tests.flow.pages import DOOR

from .conftest import axe_script

pytest.importorskip("pdoc")
pytestmark = pytest.mark.browser  # it runs with the other tests that open pages
ROOT = Path(__file__).parents[2]
PAGES = ("index.html", "index.zh.html", "tutorial.en.html", "tutorial.zh.html", "flow.en.html", "flow.zh.html")
NOTEBOOKS = ("check.en.html", "check.zh.html", "teacher.en.html", "teacher.zh.html")
PICTURED = ("draw_flow", "playground")


def test_the_pages_are_there_in_both_languages(site: Path, made: Any) -> None:
    assert {path.name for path in site.glob("*.html")} >= {*PAGES, *NOTEBOOKS, "operations.html", "reference.html"}
    for name in made["MODULES"]:
        assert (site / "api" / f"{name.replace('.', '/')}.html").exists(), name
    for short, lang in (("en", "en"), ("zh", "zh-CN")):
        for page in (made["STARTS"][short], f"tutorial.{short}.html"):
            assert f'<html lang="{lang}">' in (site / page).read_text("utf-8")


def test_every_page_has_a_description_an_icon_and_a_picture_for_links(site: Path) -> None:
    pages = [path for path in site.rglob("*.html") if path.name != "frame.html" and path != site / "api/index.html"]
    assert len(pages) > 80
    for path in pages:
        head = path.read_text("utf-8").partition("</head>")[0]
        [picture] = re.findall(r'<meta property="og:image" content="([^"]*)">', head)
        assert (path.parent / picture).is_file() or picture.startswith("https:"), path
        assert re.search(r'<meta name="description" content="[^"]{4,}">', head), path
        [icon] = re.findall(r'<link rel="icon" type="image/svg\+xml" href="([^"]*)"', head)
        assert icon.startswith("data:") or (path.parent / icon).is_file(), path


def test_the_commands_are_those_of_the_readme(made: Any) -> None:
    for short, readme in (("en", "README.md"), ("zh", "README.zh-CN.md")):
        lines = (ROOT / readme).read_text("utf-8").splitlines()
        assert all(command in lines for command in made["COMMANDS"][short].values())


def tutorial(site: Path, short: str) -> dict[str, str]:
    """Return the pages of a tutorial in the order in which each leads to the next."""
    pages, name = {}, f"tutorial.{short}.html"
    while name:
        pages[name] = (site / name).read_text("utf-8")
        [*found] = set(re.findall(r'<a rel="next" href="([^"]*)">', pages[name]))
        [name] = found or [""]
    return pages


@pytest.mark.parametrize("short", ["en", "zh"])
def test_a_tutorial_is_a_page_a_section_with_the_one_before_and_the_next(site: Path, short: str) -> None:
    pages = tutorial(site, short)
    assert pages.keys() == {path.name for path in site.glob(f"tutorial.{short}*.html")}
    for before, page in pairwise(pages):
        assert pages[page].count(f'<a rel="prev" href="{before}">') == 2, "above and below"
    contents = re.sub(r"\s*¶", "", pages[f"tutorial.{short}.html"])
    in_order = [re.findall(r"<title>(.*?) · ", text) for text in pages.values()]
    listed = [re.sub("<[^>]*>", "", title) for title in re.findall(r"<td><a href=[^>]*>(.*?)</a></td>", contents)]
    assert {re.sub(r"^\d+\W+", "", title) for [title] in in_order[1:]} == set(listed)
    for text in pages.values():
        assert not re.search(r'<a href="#\w+"', text), "a link to a section leads to its page"


@pytest.mark.parametrize("short", ["en", "zh"])
def test_what_may_be_skipped_is_marked_in_the_tutorial(site: Path, short: str) -> None:
    notebook = nbformat.read(ROOT / f"demos/tutorial.{short}.ipynb", as_version=4)
    skipped = [cell for cell in notebook.cells if "deeper" in cell.metadata.get("tags", [])]
    text = "".join(tutorial(site, short).values())
    assert len(re.findall(r'class="(?:cell )?deeper"', text)) == len(skipped) > 100


@pytest.mark.parametrize("short", ["en", "zh"])
def test_formulas_are_mathml(site: Path, short: str) -> None:
    text = "".join(tutorial(site, short).values())
    assert "<math" in text
    assert "$$" not in text
    assert "\\displaystyle" not in text
    scripts = re.findall(r"<script[^>]*>", text)
    assert set(scripts) <= {'<script src="cells.js" defer>', '<script type="application/json" id="cells_data">'}


def test_the_reference_has_the_examples(site: Path) -> None:
    assert "&gt;&gt;&gt; " in (site / "operations.html").read_text("utf-8")
    assert ">>>" in (site / "api/micrograd_cn/functional.html").read_text("utf-8").replace("&gt;", ">")


@pytest.mark.parametrize(("short", "summary"), [("en", "Code"), ("zh", "代码")])
def test_code_that_a_notebook_hides_opens_on_a_click(site: Path, made: Any, short: str, summary: str) -> None:
    text = "".join(tutorial(site, short).values())
    notebook = (ROOT / f"demos/tutorial.{short}.ipynb").read_text("utf-8")
    hidden = notebook.count('"hide-input"')
    assert hidden >= 5
    assert text.count(f'<details class="hidden_code"><summary>{summary}</summary>') == hidden
    _, *details = text.split('<details class="hidden_code">')
    for cell in details:
        code, _, after = cell.partition("</details>")
        assert code.count("<div") == code.count("</div>")
        assert 'class="output"' not in code
        assert after.startswith('<div class="output">')


def test_the_reference_shows_the_pages_where_they_are_described(site: Path) -> None:
    for page in ("micrograd_cn.html", "micrograd_cn/flow.html"):
        text = (site / "api" / page).read_text("utf-8")
        pictures = [text[text.index(f'<section id="{name}">') :].partition("</section>")[0] for name in PICTURED]
        for each in pictures:
            [source] = re.findall(r'<img src="([^"]*)"', each)
            assert (site / "api" / page).parent.joinpath(source).read_bytes().startswith(b"\x89PNG"), page


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_reference_has_the_links_and_the_theme_of_the_site(
    site: Path, browser: Any, scheme: str, request: pytest.FixtureRequest
) -> None:
    page = browser.new_page(color_scheme=scheme)
    colours = []
    for name, up in (("index.html", ""), ("api/micrograd_cn.html", "../"), ("api/micrograd_cn/testing.html", "../../")):
        page.goto((site / name).as_uri())
        colours.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        if up:
            links = page.locator(".site a").evaluate_all("all => all.map(link => link.getAttribute('href'))")
            assert links == [up + to for to in ("index.html", "tutorial.en.html", "reference.html", "index.zh.html")]
    assert len(set(colours)) == 1
    page.evaluate(axe_script(request))
    pale = "axe.run(document, { runOnly: ['color-contrast'] }).then(it => it.violations.flatMap(each => each.nodes))"
    assert [node["html"][:160] for node in page.evaluate(pale)][:5] == []
    page.close()


def test_every_link_leads_to_a_page_that_says_nothing_to_the_console(site: Path, browser: Any) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url) if request.url.startswith("http") else None)
    waiting, seen = [(site / name).as_uri() for name in ("index.html", "index.zh.html")], set[str]()
    anchors: dict[str, set[str]] = {}
    wanted: set[tuple[str, str]] = set()
    while waiting:
        url = waiting.pop()
        if url in seen:
            continue
        seen.add(url)
        page.goto(url)
        page.wait_for_load_state()
        anchors[url] = set(page.evaluate("[...document.querySelectorAll('[id],[name]')].map(e => e.id || e.name)"))
        for link in page.evaluate("[...document.querySelectorAll('a[href]')].map(a => a.getAttribute('href'))"):
            target, fragment = urldefrag(urljoin(url, link))
            if target.startswith("file:"):
                assert Path(unquote(target.removeprefix("file://"))).is_file(), f"{url} has a link to {link}"
                told = "=" in fragment  # the link tells the playground what to show
                if fragment and not told and not ("/api/" in url and "/api/" in target):  # pdoc links to attributes
                    wanted.add((target, fragment))
                if target.endswith(".html"):
                    waiting.append(target)
        assert not said, f"{url}: {said[:3]}"
    assert {Path(url).name for url in seen} >= set(PAGES)
    missing = [place for place in wanted if anchors[place[0]].isdisjoint({place[1], unquote(place[1])})]
    assert not missing, missing[:5]
    context.close()


@pytest.mark.parametrize("short", ["en", "zh"])
def test_the_three_rooms_are_pictures_that_open_them(site: Path, made: Any, browser: Any, short: str) -> None:
    page = browser.new_page()
    panels = {"expression": "stepping", "network": "board", "model": "model"}
    assert made["ROOMS"].keys() == panels.keys()
    for number, panel in enumerate(panels.values()):
        page.goto((site / made["STARTS"][short]).as_uri())
        room = page.locator(".room").nth(number)
        assert room.locator("img").evaluate("image => image.naturalWidth") == 960
        shape = room.locator("img").evaluate("image => image.clientWidth / image.clientHeight")
        assert shape == pytest.approx(960 / 600, rel=0.01)
        room.click()
        page.locator(f"#{panel}").wait_for()  # the model comes after its names
    page.close()


@pytest.mark.parametrize("width", [390, *(pytest.param(width, marks=pytest.mark.slow) for width in (1280, 1920))])
def test_start_pages_and_tutorials_are_no_wider_than_the_screen(site: Path, browser: Any, width: int) -> None:
    for scheme in ("light", "dark"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page = context.new_page()
        names = [
            "index.html",
            "index.zh.html",
            "tutorial.zh.html",
            "check.zh.html",
            "teacher.zh.html",
            "reference.html",
            "operations.html",
        ]
        for name in names + (width == 390 and scheme == "light") * [*tutorial(site, "en"), *tutorial(site, "zh")]:
            page.goto((site / name).as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        context.close()


def test_on_a_phone_the_text_is_large_enough_and_code_wraps_nowhere_in_a_word(site: Path, browser: Any) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    for name in tutorial(site, "en"):
        page.goto((site / name).as_uri())
        styles = page.evaluate("""() => [...document.querySelectorAll("p, li, td, pre, code")].map(e => {
            const style = getComputedStyle(e);
            return [e.tagName, parseFloat(style.fontSize), style.wordBreak, style.overflowWrap, style.whiteSpace,
                    Boolean(e.closest("div.input, pre:has(code)")) ];
        })""")
        assert styles, name
        for tag, size, word_break, overflow, space, is_code in styles:
            assert size >= (13 if tag in ("PRE", "CODE") else 15), (name, tag)
            if tag in ("PRE", "CODE"):
                assert (word_break, overflow) == ("normal", "normal"), (name, tag)
                assert space == "pre" or not is_code, (name, tag)
        words = (
            "[...document.querySelectorAll('.word')].filter(e => e.getClientRects().length > 1).map(e => e.textContent)"
        )
        assert page.evaluate(words) == [], name
    page.close()


def test_the_playground_fetches_names_and_the_other_language_when_they_are_wanted(site: Path, browser: Any) -> None:
    context = browser.new_context()
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.rpartition("/")[2].partition("#")[0]))
    page.on("console", lambda message: asked.append(message.text))
    page.on("pageerror", lambda error: asked.append(str(error)))
    first = ["playground.en.html", "playground.css", "playground.js"]
    names, chinese = "playground.part.names.js", "playground.part.zh.js"
    address = (site / first[0]).as_uri()

    def opened(fragment: str) -> list[str]:
        page.goto("about:blank")
        asked.clear()
        page.goto(address + fragment)
        return asked

    assert opened("") == first
    page.locator("#try_own").click()
    page.locator("#tab_model").click()
    page.locator("#m_step:enabled").click()
    assert "step 1 of" in page.locator("#m_state").inner_text()
    assert asked == [*first, names]
    page.keyboard.press("l")
    page.locator("#m_state", has_text="第 1 步").wait_for()
    assert asked == [*first, names, chinese]
    opened("")
    page.get_by_role("heading", name="反向传播演练场").wait_for()
    assert asked == [*first, chinese], "the language that the reader chose"
    opened("#lesson=attention&lang=zh")
    page.locator("#lesson").wait_for()
    assert sorted(asked) == sorted([*first, names, chinese])
    page.locator("#lesson_close").click()
    page.locator("#tab_model").click()
    page.locator("#m_step:enabled").wait_for()
    opened("#text=a*b&lang=en")
    page.locator("#open_lessons").click()
    page.locator("#lesson_cards button").last.click()
    page.locator("#lesson").wait_for()
    assert asked == [*first, names]
    context.close()


def test_the_playground_of_the_site_knows_all_of_an_operation_that_the_one_file_says(
    site: Path, browser: Any, tmp_path: Path
) -> None:
    assert "usual" in (site / "playground.en.html").read_text("utf-8")
    page = browser.new_page()
    page.add_init_script(DOOR)
    known = []
    for path in (site / "playground.en.html", playground("en").save(tmp_path / "playground.html")):
        page.goto(path.as_uri())
        known.append(page.evaluate("page.operations"))
    assert known[0] == known[1]
    page.close()


def test_the_playground_says_if_a_part_of_it_is_missing(site: Path, browser: Any, tmp_path: Path) -> None:
    for name in ("playground.zh.html", "playground.js", "playground.css"):
        shutil.copy(site / name, tmp_path)
    page = browser.new_page()
    page.goto((tmp_path / "playground.zh.html").as_uri())
    page.locator("#tab_model").click()
    page.locator("#failure", has_text="playground.part.names.js").wait_for()
    page.close()
