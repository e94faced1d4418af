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


@pytest.mark.parametrize("name", ["y.svg", "y.gv"])
def test_a_file_that_exists_may_be_left_as_it_is(name, tmp_path):
    path = tmp_path / name
    path.write_text("old", "utf-8")
    draw_dot(Value(2.0, "x") * 3).save(path, skip_existing=True)
    assert path.read_text("utf-8") == "old"
    draw_dot(Value(2.0, "x") * 3).save(path)
    assert path.read_text("utf-8") != "old"


def test_the_picture_s_own_name_and_folder_are_those_of_its_files(tmp_path):
    picture = draw_dot(Value(2.0, "x") * 3)
    picture.directory, picture.filename = str(tmp_path / "a"), "z.svg"
    assert "<svg" in Path(picture.save()).read_text("utf-8")
    assert (tmp_path / "a" / "z.svg").exists()
    with pytest.raises(TypeError, match="nonsense"):
        picture.save("q.svg", nonsense=1)
