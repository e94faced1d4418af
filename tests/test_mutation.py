"""`mutation.py` finds tests for each module of the package, and its table names no file that does not exist."""

from pathlib import Path

from . import mutation


def test_every_module_has_tests(monkeypatch):
    monkeypatch.chdir(mutation.ROOT)
    modules = mutation.modules(Path(mutation.PACKAGE))
    keys = {mutation.room_of(path) for path in modules} | {path[len("micrograd_cn/") : -3] for path in modules}
    assert mutation.TESTS.keys() <= keys, "the table names a module or a folder that does not exist; delete it"
    for path in modules:  # an error says which module has none, or which file the table names wrongly
        assert mutation.tests_of(path)


def test_the_file_of_the_same_name_comes_first_and_the_rest_of_the_room_follows(monkeypatch):
    monkeypatch.chdir(mutation.ROOT)
    first, *others = mutation.tests_of("micrograd_cn/picture/text.py")
    assert first == "tests/picture/test_text.py"
    assert {Path(file).parent for file in others} == {Path("tests/picture")}
