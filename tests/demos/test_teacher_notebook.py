"""The notebook for teachers has the same cells in both languages, its plans fill their periods, and its links work.

`python -m tests.demos.test_teacher_notebook` runs it, stores what it shows, and writes the same as a page.
"""

import contextlib
import html
import io
import re
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import nbformat
import pytest

from micrograd_cn import Value
from micrograd_cn.flow import playground
from micrograd_cn.flow.texts.lessons import LESSONS
from micrograd_cn.text.expression import parse

DEMOS = Path(__file__).parents[2] / "demos"
LANGUAGES = ("en", "zh")
NOTEBOOKS = {lang: nbformat.read(DEMOS / f"teacher.{lang}.ipynb", as_version=4) for lang in LANGUAGES}
CHINESE = re.compile("[\u4e00-\u9fff]")
each = pytest.mark.parametrize("lang", LANGUAGES)


def code(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def prose(lang: str) -> str:
    return "\n\n".join(cell.source for cell in NOTEBOOKS[lang].cells if cell.cell_type == "markdown")


def run(notebook: Any) -> list[list[Any]]:
    """Return the outputs of each cell of code: what it prints, and the pictures that it displays."""
    outputs: list[Any] = []

    def display(shown: Any, include: list[str]) -> None:
        bundle = {kind: data for kind, data in shown._repr_mimebundle_(include, None).items() if kind in include}
        outputs.append(nbformat.v4.new_output("display_data", data=bundle))

    names: dict[str, Any] = {"__name__": "notebook", "display": display}
    found = []
    for cell in code(notebook):
        outputs.clear()
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(cell.source, names)
        if text := printed.getvalue():
            outputs.append(nbformat.v4.new_output("stream", name="stdout", text=text))
        found.append(list(outputs))
    return found


def told(outputs: list[Any]) -> list[Any]:
    """Return what outputs print, and the kinds of the pictures that they show."""
    return [output.get("text") or sorted(output.data) for output in outputs]


def tables(lang: str, head: str) -> list[list[list[str]]]:
    """Return the rows of each table whose heading begins with a cell."""
    found = re.findall(rf"^\| {head} \|.*\n\|[-:|]+\|\n((?:\|.*\n?)+)", prose(lang), re.MULTILINE)
    return [[[cell.strip() for cell in row.strip("|").split("|")] for row in t.splitlines()] for t in found]


def fragments(lang: str) -> list[str]:
    return re.findall(rf"\]\(pictures/playground\.{lang}\.html#([^)\s]+)\)", prose(lang))


def facts_of(fragment: str) -> dict[str, str]:
    """Return what the end of an address tells the playground."""
    pairs = (pair.partition("=") for pair in fragment.split("&"))
    return {unquote(key): unquote(value) for key, _, value in pairs}


def page_of(lang: str) -> str:
    """Return the notebook as a page of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DEMOS)
        saved = import_module("website.saved").saved("teacher", lang)
    assert isinstance(saved, str)
    return saved


def test_both_languages_have_the_same_cells() -> None:
    for en, zh in zip(*(notebook.cells for notebook in NOTEBOOKS.values()), strict=True):
        assert (en.cell_type, en.id, en.metadata) == (zh.cell_type, zh.id, zh.metadata)
        if en.cell_type == "code":
            assert en.source.replace('lang = "en"', 'lang = "zh"') == zh.source
        else:
            assert CHINESE.search(zh.source)
        assert not CHINESE.search(en.source)
        assert len(re.findall("^[0-9]+[.] ", en.source, re.MULTILINE)) == len(
            re.findall("^[0-9]+[.] ", zh.source, re.MULTILINE)
        )


@each
def test_what_is_stored_is_what_it_shows(lang: str) -> None:
    stored = [told(cell.outputs) for cell in code(NOTEBOOKS[lang])]
    assert stored == [told(outputs) for outputs in run(NOTEBOOKS[lang])]
    assert sum(map(len, stored)) == 3


@each
def test_the_plans_fill_their_periods_and_refer_to_what_there_is(lang: str) -> None:
    plans = tables(lang, {"en": "minutes", "zh": "分钟"}[lang])
    assert len(plans) == 2 + 6
    [links] = tables(lang, {"en": "number", "zh": "编号"}[lang])
    questions = len(re.findall(r"^\d+\. \*\*", prose(lang), re.MULTILINE))
    asked = set()
    for plan in plans:
        assert sum(int(minutes) for minutes, *_ in plan) == 45
        for _, _, shown, question in plan:
            if re.fullmatch(r"[\d, 、]+", shown):
                assert {int(number) for number in re.findall(r"\d+", shown)} <= set(range(1, len(links) + 1))
            asked |= {int(number) for number in re.findall(r"\d+", question)}
    assert asked == set(range(1, questions + 1))


@each
def test_links_set_a_state_that_the_playground_has(lang: str) -> None:
    found = fragments(lang)
    assert found == fragments("en")
    [links] = tables(lang, {"en": "number", "zh": "编号"}[lang])
    assert len(found) == len(links)
    for fragment in found:
        facts = facts_of(fragment)
        if "lesson" in facts:
            assert f"lesson_{facts['lesson']}" in LESSONS[lang]
        elif "text" in facts:
            values = {key[1:]: Value(float(number)) for key, number in facts.items() if key.startswith("=")}
            assert parse(facts["text"], values).data > 0.0
        else:
            assert facts["room"] in ("board", "model")
    for target in re.findall(r"\]\(([^)#\s]*\.\w+)", prose(lang)):
        assert (DEMOS / target).is_file(), target
        assert f".{lang}." in target


@each
def test_each_worksheet_begins_a_page_and_its_answers_are_computed(lang: str) -> None:
    sheets = [cell for cell in NOTEBOOKS[lang].cells if re.fullmatch(r"sheet-\d", cell.id)]
    assert len(sheets) == 4
    assert all(cell.source.startswith('<div style="break-before: page"></div>') for cell in sheets)
    [answers] = [cell.outputs[0].text for cell in code(NOTEBOOKS[lang]) if cell.id == "answers-code"]
    assert re.findall(r"^(\d)\.", answers, re.MULTILINE) == ["1", "2", "3", "4"]


@each
def test_the_stored_page_is_the_notebook_and_needs_no_other_file(lang: str) -> None:
    pytest.importorskip("latex2mathml")
    pytest.importorskip("nbconvert")
    stored = (DEMOS / f"pictures/teacher.{lang}.html").read_text("utf-8")
    style = re.compile("<style>.*?</style>", re.DOTALL)  # an older style is no fault
    assert style.sub("", stored) == style.sub("", page_of(lang))
    assert len(style.findall(stored)) == 1
    assert re.findall(rf'href="playground\.{lang}\.html#([^"]*)"', html.unescape(stored)) == fragments(lang)
    assert not re.search(r'<link|<script|src="(?!data:)|<details class="hidden_code"', stored)
    for target in re.findall(r'href="([^"#]+)', stored):
        assert (DEMOS / "pictures" / target).is_file(), target
    assert stored.count('class="new_page"') == 5, "four worksheets and the answers"


@each
def test_links_open_the_playground_as_they_say(lang: str, browser: Any, tmp_path: Path) -> None:
    path = playground(lang).save(tmp_path / "playground.html")
    for fragment in fragments(lang):
        page = browser.new_page()
        said: list[str] = []
        page.on("console", lambda message, said=said: said.append(message.text))
        page.on("pageerror", lambda error, said=said: said.append(str(error)))
        page.goto(f"{path.as_uri()}#{fragment}")
        page.wait_for_load_state()
        assert not said, (fragment, said)
        facts = facts_of(fragment)
        if "text" in facts:
            assert page.locator("#text").input_value() == facts["text"]
        elif "room" in facts:
            assert page.locator(f"#{facts['room']}").is_visible()
        else:
            assert LESSONS[lang][f"lesson_{facts['lesson']}"] in page.locator("body").inner_text()
        page.close()


@each
def test_the_stored_page_opens_the_playground_beside_it(lang: str, browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "teacher.html"
    shutil.copy(DEMOS / f"pictures/teacher.{lang}.html", path)
    playground(lang).save(tmp_path / f"playground.{lang}.html")
    page = browser.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(path.as_uri())
    page.locator("tbody a").first.click()
    assert page.locator("#text").input_value() == facts_of(fragments(lang)[0])["text"]
    assert not said
    page.close()


if __name__ == "__main__":
    for lang, notebook in NOTEBOOKS.items():
        for count, (cell, outputs) in enumerate(zip(code(notebook), run(notebook), strict=True), 1):
            cell.execution_count = count
            cell.outputs = outputs
        nbformat.write(notebook, DEMOS / f"teacher.{lang}.ipynb")
        (DEMOS / f"pictures/teacher.{lang}.html").write_text(page_of(lang), "utf-8")
