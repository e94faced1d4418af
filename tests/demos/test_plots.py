"""A cell of the site that plots draws with the real matplotlib, once that is there; until then with its stand-in."""

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
# Python without its packages, as it is in a browser before a cell plots. The packages come when the cell needs them.
SCRIPT = """
import json, sys
before, packages, demos, root, notebook, target = sys.argv[1:]
sys.path[:0] = [before, demos, root]
from website.cells import Cells
said = []
names = json.dumps({"matplotlib": "matplotlib", "PIL": "pillow", "numpy": "numpy"})
cells = Cells(lambda text: said.append(json.loads(text)), None, packages=names, notebook=open(notebook).read())
fetched = []
for cell in json.loads(cells.plan(json.dumps([target]), "{}")):
    if needs := json.loads(cells.needs(cell["source"])):
        fetched += needs
        sys.path.append(packages)
        cells.fetched()
    cells.run(cell["source"], cell["cell"], cell["title"])
print(json.dumps({"fetched": fetched, "said": said}))
"""


@pytest.mark.thorough
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_real_matplotlib_takes_the_place_of_its_stand_in(lang: str, tmp_path: Path) -> None:
    matplotlib, graphviz = pytest.importorskip("matplotlib"), pytest.importorskip("graphviz")
    (tmp_path / "graphviz").symlink_to(Path(graphviz.__file__).parent)
    code = [c for c in nbformat.read(ROOT / f"demos/tutorial.{lang}.ipynb", 4).cells if c.cell_type == "code"]
    told = [{"id": cell.id, "source": cell.source, "title": cell.id} for cell in code]
    (tmp_path / "cells.json").write_text(json.dumps(told), "utf-8")
    target = next(cell.id for cell in code if "Figure(" in cell.source and "def " not in cell.source)
    folders = (tmp_path, Path(matplotlib.__file__).parents[1], ROOT / "demos", ROOT, tmp_path / "cells.json")
    command = [sys.executable, "-S", "-E", "-X", "utf8", "-c", SCRIPT, *map(str, folders), target]
    done = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8").stdout)
    assert done["fetched"] == ["matplotlib", "pillow"]
    assert [message for message in done["said"] if message["what"] in ("error", "stored")] == []
    [picture] = [message["data"] for message in done["said"] if message.get("kind") == "image/svg+xml"]
    assert picture.count("<path") > 10, "it is drawn"
