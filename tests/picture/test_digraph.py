"""`save` writes what the name of the file says."""

from pathlib import Path

import pytest

from micrograd_cn import Value, draw_dot


@pytest.mark.parametrize(
    ("name", "begins"), [("y.svg", "<?xml"), ("y.SVG", "<?xml"), ("y.gv", "digraph"), ("y", "digraph")]
)
def test_a_picture_is_saved_in_the_format_that_the_name_says(name, begins, tmp_path):
    """graphviz would write the DOT text into a file of any name."""
    path = draw_dot(Value(2.0, "x") * 3).save(tmp_path / name)
    assert Path(path) == tmp_path / name
    assert Path(path).read_text("utf-8").lstrip().startswith(begins)
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_a_picture_is_saved_in_a_folder(tmp_path):
    path = draw_dot(Value(2.0, "x") * 3).save("y.svg", directory=tmp_path / "new")
    assert Path(path) == tmp_path / "new" / "y.svg"
    assert "<svg" in Path(path).read_text("utf-8")


def test_dot_text_has_graphviz_s_own_name_by_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path(draw_dot(Value(2.0, "x") * 3).save())
    assert path.suffix == ".gv"
    assert path.read_text("utf-8").startswith("digraph")
