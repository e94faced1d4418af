"""A cell of a notebook is given the earlier cells that it needs, and it is known what a browser lacks for it."""

import contextlib
import io
import sys
from typing import Any

import nbformat
import pytest

from .conftest import ROOT

sys.path.insert(0, str(ROOT / "demos"))
from website.dependencies import facts_of, missing_here, needed_cells

sys.path.remove(str(ROOT / "demos"))
pytest.importorskip("IPython")


@pytest.mark.parametrize(
    ("cells", "needed"),
    [
        (["a = 1", "b = 2", "a + b"], [0, 1]),
        (["a = 1", "a = 2", "print(a)"], [1]),  # the second value is what the last cell reads
        (["a = 1", "def f():\n    return a", "f()"], [0, 1]),
        (["def f():\n    return later", "later = 1", "f()"], [0]),  # what a function reads later is not followed
        (["import math", "m = []", "m.append(math.pi)", "m[0]"], [0, 1, 2]),
        (["w = Value(1)", "w.data = 2", "w"], [0, 1]),
        (["ws = [1]", "for w in ws:\n    w.data = 2", "ws"], [0, 1]),
        (["ws = [1]", "for w in ws:\n    print(w)", "ws"], [0]),
        (["class N: ...", "N.__add__ = len", "N()"], [0, 1]),
        (["model = make()", "fit(model)", "model"], [0, 1]),
        (["model = make()", "print(model)", "model"], [0]),
        (["x = 1", "[x for x in range(3)]", "x"], [0]),
        (["x = 1", "x += 1", "x"], [0, 1]),
        (["x = 1", "(", "x"], [0]),  # a cell that somebody is still writing
        (["def f(x=n): ...", "n = 1", "lambda: n"], [1]),
    ],
)
def test_a_cell_needs_those_that_define_or_change_what_it_reads(cells: list[str], needed: list[int]) -> None:
    assert needed_cells(facts_of(cells))[-1] == needed


def test_what_a_browser_lacks_is_known_from_the_code() -> None:
    cells = [
        "from matplotlib.figure import Figure",
        "def by_torch():\n    import torch\n    return torch",
        "Figure()",
        "by_torch()",
        "from micrograd_cn import compiler",
        "fast = compiler.compile(len)",
        "fast(3)",
        "import numpy as np",
        "print(4)",
    ]
    facts = facts_of(cells)
    lacking = missing_here(facts, needed_cells(facts))
    assert lacking == [
        set(),
        {"torch"},
        {"matplotlib"},
        {"torch"},
        {"native"},
        {"native"},
        {"native"},
        {"numpy"},
        set(),
    ]


@pytest.mark.thorough
def test_each_cell_of_some_sections_shows_what_is_stored_after_the_cells_that_it_needs_alone() -> None:
    notebook = nbformat.read(ROOT / "demos/tutorial.en.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    needed = needed_cells(facts_of(cell.source for cell in code))
    where, section = {}, ""
    for cell in notebook.cells:
        section = cell.source.partition('<a id="')[2].partition('"')[0] or section
        where[cell.id] = section
    tried = 0
    for index, cell in enumerate(code):
        printed = "".join(output.text for output in cell.outputs if output.output_type == "stream")
        if where[cell.id] in ("graph", "layers", "loss") and printed:
            names: dict[str, Any] = {"__name__": "notebook", "display": lambda *shown, **options: None}
            for earlier in needed[index]:
                with contextlib.redirect_stdout(io.StringIO()):
                    exec(code[earlier].source, names)
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(cell.source, names)
            assert out.getvalue() == printed, cell.source
            tried += 1
    assert tried >= 15
