"""The tutorial notebooks: the same cells in both languages, as they run, and exercises that tell right from wrong.

`python tests/test_tutorial.py` runs them and stores what they show, for when the code or the library has changed.
"""

import asyncio
import copy
import re
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

DEMOS = Path(__file__).parents[1] / "demos"
LANGUAGES = ("zh", "en")
SECTIONS = 12
LARGEST = 480_000  # bytes of a notebook
LARGEST_OUTPUT = 150_000  # characters
HANGING = 300  # seconds that no cell takes
CHINESE = re.compile(r"[\u4e00-\u9fff]")

# Of each exercise, a right answer and a wrong one.
ANSWERS = {
    "1.1": ("answer = -2", "answer = 2"),
    "1.2": ("def slope_of_cube(x):\n    return 3 * x**2", "def slope_of_cube(x):\n    return 3 * x"),
    "2.1": ("answer = -12", "answer = 8"),
    "2.2": (
        "def partials_of_division(a, b):\n    return 1 / b, -a / b**2",
        "def partials_of_division(a, b):\n    return 1 / b, a / b**2",
    ),
    "3.1": ("count, gradient = 3, 13", "count, gradient = 2, 13"),
    "3.2": ("answer = 78", "answer = 26"),
    "4.1": ("answer = 0", "answer = -0.5"),
    "4.2": ("w1, w2, b = 1, 1, -1.5", "w1, w2, b = 1, 1, -0.5"),
    "5.1": ("answer = 51", "answer = 41"),
    "5.2": ("v1, v2 = 1, -2", "v1, v2 = 1, -1"),
    "6.1": ("answer = -4 / 3", "answer = 4 / 3"),
    "6.2": (
        "def my_cross_entropy(logits, target):\n"
        "    return -(logits[target].exp() / sum(z.exp() for z in logits)).log()",
        "def my_cross_entropy(logits, target):\n    return -logits[target]",
    ),
    "7.1": ("answer = 2", "answer = 0.5"),
    "7.2": (
        "def hand_back(weight, g):\n"
        "    return [sum(row[j] * up for row, up in zip(weight, g)) for j in range(len(weight[0]))]",
        "def hand_back(weight, g):\n    return [sum(row) for row in zip(*weight)]",
    ),
    "8.1": ("answer = 4.6", "answer = 5.4"),
    "8.2": ("answer = 0.5", "answer = 1"),
    "9.1": ("answer = [0, 1]", "answer = [0]"),
    "9.2": ("w0, b = -2, 1", "w0, b = 2, -1"),
    "10.1": ("def partial(y, x):\n    return -2 * x * y * y", "def partial(y, x):\n    return -2 * x * y"),
    "10.2": ("answer = 0.5", "answer = 0"),
    "11.1": ("answer = 3", "answer = 2"),
    "11.2": ("answer = 5", "answer = 13"),
    "12.1": ("answer = 9", "answer = 3"),
    "12.2": (
        "def both_branches(x):\n    return where(less(0, x), x * x, -x)",
        "def both_branches(x):\n    return x * x",
    ),
}


def tag(cell: Any, kind: str) -> str:
    """Return the number of the exercise whose "answer" or "check" the cell is, or "" if it is none."""
    found = [t.removeprefix(f"{kind}-") for t in cell.metadata.get("tags", []) if t.startswith(f"{kind}-")]
    return found[0] if found else ""


def execute(notebook: Any, directory: Path) -> Any:
    """Return the notebook as it is after a run from top to bottom in `directory`."""
    ran = copy.deepcopy(notebook)
    resources = {"metadata": {"path": directory}}
    client = NotebookClient(ran, timeout=HANGING, resources=resources, record_timing=False, coalesce_streams=True)
    asyncio.run(client.async_execute())  # closes its event loop, which execute() leaves open
    ran.metadata = notebook.metadata
    return ran


def answered(notebook: Any) -> Any:
    """Return the notebook with each exercise answered wrongly, checked, answered rightly, and checked.

    At its end all are answered rightly and checked once more, as by a reader who first runs everything.
    """
    filled = copy.deepcopy(notebook)
    filled.cells, again = [], []
    for cell in notebook.cells:
        number = tag(cell, "check")
        if number:
            right, wrong = ANSWERS[number]
            for answer in (wrong, right):
                filled.cells += [nbformat.v4.new_code_cell(answer), copy.deepcopy(cell)]
            again += copy.deepcopy(filled.cells[-2:])
        elif not tag(cell, "answer"):
            filled.cells.append(copy.deepcopy(cell))
    filled.cells += again
    for i, cell in enumerate(filled.cells):
        cell.id = f"cell-{i}"
    return filled


def texts(cell: Any) -> dict[str, str]:
    """Return what a cell printed and the plain text of its value, and the error if there is one."""
    shown: dict[str, str] = {}
    for output in cell.get("outputs", []):
        name = output.get("name", output.output_type)
        found = output.get("text") or output.get("evalue") or output.get("data", {}).get("text/plain", "")
        shown[name] = shown.get(name, "") + found
    return {name: text for name, text in shown.items() if text}


def kinds(cell: Any) -> list[list[str]]:
    """Return the media types of what a cell displays."""
    return [sorted(output.data) for output in cell.outputs if "data" in output]


NOTEBOOKS = {lang: nbformat.read(DEMOS / f"tutorial.{lang}.ipynb", as_version=4) for lang in LANGUAGES}
PAIRS = list(zip(NOTEBOOKS["zh"].cells, NOTEBOOKS["en"].cells, strict=True))
CODE = {lang: [cell for cell in notebook.cells if cell.cell_type == "code"] for lang, notebook in NOTEBOOKS.items()}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Any]]]:
    """Run both notebooks, and one with answers, two at a time; the exercises' code is the same in both."""
    here = tmp_path_factory.mktemp("tutorial")
    notebooks = NOTEBOOKS | {"answered": answered(NOTEBOOKS["zh"])}
    with ThreadPoolExecutor(2) as pool:
        yield {name: pool.submit(execute, notebook, here) for name, notebook in notebooks.items()}


def test_both_have_the_same_kinds_of_cells_and_the_same_code_but_for_the_language() -> None:
    assert [(zh.cell_type, zh.id, zh.metadata) for zh, _ in PAIRS] == [
        (en.cell_type, en.id, en.metadata) for _, en in PAIRS
    ]
    (language, *zh), (_, *en) = ([cell.source for cell in CODE[lang]] for lang in LANGUAGES)
    assert language == 'lang = "zh"'
    assert CODE["en"][0].source == 'lang = "en"'
    assert zh == en


def test_code_is_in_neither_language() -> None:
    for cell in CODE["en"]:
        assert not CHINESE.search(cell.source)
        assert "#" not in re.sub(r'"[^"]*"', "", cell.source)  # a comment


def test_texts_are_each_in_their_language_and_in_step() -> None:
    for zh, en in PAIRS:
        if zh.cell_type == "markdown":
            for block in zh.source.split("\n\n"):
                assert CHINESE.search(block) or block.startswith("$$"), block
            assert not CHINESE.search(en.source), en.source
            for pattern in (r"^#+ (\d*)", r"^\*\*(?:练习|Exercise) ([\d.]*\d)", r"(\$\$)", r"^(>) "):
                assert re.findall(pattern, zh.source, re.MULTILINE) == re.findall(pattern, en.source, re.MULTILINE)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_section_starts_from_a_question_and_ends_with_two_exercises(lang: str) -> None:
    text = "\n\n".join(cell.source for cell in NOTEBOOKS[lang].cells if cell.cell_type == "markdown")
    sections = re.split(r"^## (?=\d)", text, flags=re.MULTILINE)[1:]
    assert len(sections) == SECTIONS
    for number, section in enumerate(sections, 1):
        heading, question = section.split("\n\n")[:2]
        assert re.match(rf"{number}\b", heading)
        assert re.fullmatch(r"> .*[?？]", question)
        assert re.findall(r"^\*\*\w+ ([\d.]*\d)", section, re.MULTILINE) == [f"{number}.1", f"{number}.2"]


@pytest.mark.parametrize("lang", LANGUAGES)
def test_an_exercise_is_a_text_a_gap_and_a_check(lang: str) -> None:
    cells = NOTEBOOKS[lang].cells
    checks = [i for i, cell in enumerate(cells) if tag(cell, "check")]
    assert [tag(cells[i], "check") for i in checks] == list(ANSWERS)
    for i in checks:
        text, gap, check = cells[i - 2 : i + 1]
        assert f" {tag(check, 'check')}" in text.source
        assert tag(gap, "answer") == tag(check, "check")
        assert "..." in gap.source
        assert texts(check) == {"stdout": "?\n"}


@pytest.mark.parametrize("lang", LANGUAGES)
def test_what_is_stored_is_what_a_run_from_top_to_bottom_shows(lang: str, runs: dict[str, Future[Any]]) -> None:
    ran = [cell for cell in runs[lang].result().cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in CODE[lang]] == list(range(1, len(ran) + 1))
    for stored, fresh in zip(CODE[lang], ran, strict=True):
        assert texts(stored) == texts(fresh), stored.source
        assert kinds(stored) == kinds(fresh), stored.source
        assert "stderr" not in texts(fresh)


def test_right_answers_are_told_from_wrong_ones(runs: dict[str, Future[Any]]) -> None:
    shown = [texts(cell)["stdout"] for cell in runs["answered"].result().cells if tag(cell, "check")]
    assert len(shown) == 3 * len(ANSWERS)
    twice = 2 * len(ANSWERS)
    for number, wrong, right, at_the_end in zip(ANSWERS, shown[:twice:2], shown[1:twice:2], shown[twice:], strict=True):
        assert re.match(r"✗ \S", wrong), number
        assert right == "✓\n", number
        assert at_the_end == "✓\n", number


@pytest.mark.parametrize("lang", LANGUAGES)
def test_files_are_small_and_know_no_machine(lang: str) -> None:
    text = (DEMOS / f"tutorial.{lang}.ipynb").read_text(encoding="utf-8")
    assert len(text.encode()) < LARGEST
    for cell in CODE[lang]:
        assert len(str(cell.outputs)) < LARGEST_OUTPUT
    assert not re.search(r"/(?:home|mnt|opt|root|tmp|usr|var|Users)/|[A-Z]:\\\\", text)
    assert str(DEMOS.parent) not in text
    assert " object at 0x" not in text
    assert set(NOTEBOOKS[lang].metadata.language_info) == {"name"}


@pytest.mark.parametrize("lang", LANGUAGES)
def test_pictures_speak_the_notebooks_language(lang: str) -> None:
    pictures = [output.data for cell in CODE[lang] for output in cell.outputs if "data" in output]
    graphs = [data["image/svg+xml"] for data in pictures if "<!-- v0 -->" in data.get("image/svg+xml", "")]
    assert len(graphs) >= 8
    for graph in graphs:
        assert ("数值" in graph, "data" in graph) == (lang == "zh", lang == "en")
    [page] = [data["text/html"] for data in pictures if "text/html" in data]
    assert f"&lt;html lang=&quot;{'zh-CN' if lang == 'zh' else 'en'}&quot;" in page


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as elsewhere:
        for lang, notebook in NOTEBOOKS.items():
            nbformat.write(execute(notebook, Path(elsewhere)), DEMOS / f"tutorial.{lang}.ipynb")
