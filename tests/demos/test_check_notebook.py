"""The notebook of three mistakes has the same cells in both languages, and stores what it prints.

`python tests/demos/test_check_notebook.py` runs it and stores that.
"""

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

pytest.importorskip("numpy")
DEMOS = Path(__file__).parents[2] / "demos"
NOTEBOOKS = {lang: nbformat.read(DEMOS / f"check.{lang}.ipynb", as_version=4) for lang in ("en", "zh")}
LIKELY = [
    "",
    "likely, for b: 8 times as small as it should be, as if f had a mean and not a sum",
    "likely, for w: a transposed matrix",
]


def printed(notebook: Any) -> list[str]:
    """Return what each cell of code prints."""
    names: dict[str, Any] = {"__name__": "notebook"}
    found = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(cell.source, names)
            found.append(out.getvalue())
    return found


def told(texts: list[str]) -> list[list[str]]:
    """Return the words of texts without what depends on BLAS: the last digits of errors, and widths of columns."""
    return [re.sub(r"\d+e-1\d", "tiny", text).split() for text in texts]


def stored(notebook: Any) -> list[str]:
    return ["".join(o.text for o in cell.outputs) for cell in notebook.cells if cell.cell_type == "code"]


def test_both_languages_have_the_same_cells() -> None:
    pairs = list(zip(*(notebook.cells for notebook in NOTEBOOKS.values()), strict=True))
    for en, zh in pairs:
        assert (en.cell_type, en.id) == (zh.cell_type, zh.id)
        assert en.source == zh.source if en.cell_type == "code" else re.search("[\u4e00-\u9fff]", zh.source)
        assert not re.search("[\u4e00-\u9fff]", en.source)


def test_what_is_stored_is_what_it_prints() -> None:
    fresh = told(printed(NOTEBOOKS["en"]))
    assert [told(stored(notebook)) for notebook in NOTEBOOKS.values()] == [fresh, fresh]


def test_each_mistake_is_found_and_what_is_right_passes() -> None:
    found = [text for text in stored(NOTEBOOKS["en"]) if text]
    mismatches = [text for text in found if text.startswith("gradcheck of ")]
    assert len(mismatches) == 3
    assert sum(text.splitlines().count("✓") for text in found) == 3
    for text, likely in zip(mismatches, LIKELY, strict=True):
        assert likely in text.splitlines() if likely else "wrong for x" in text
        assert len(text.removesuffix("✓\n").splitlines()) <= 15


def test_the_links_lead_somewhere() -> None:
    for notebook in NOTEBOOKS.values():
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                assert all((DEMOS / target).exists() for target in re.findall(r"\]\(([\w./]+)\)", cell.source))


if __name__ == "__main__":
    for lang, notebook in NOTEBOOKS.items():
        cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        for count, (cell, text) in enumerate(zip(cells, printed(notebook), strict=True), 1):
            cell.execution_count = count
            cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)] if text else []
        nbformat.write(notebook, DEMOS / f"check.{lang}.ipynb")
