"""`mutation.py` finds tests for each module of the package, and leaves alone what changes nothing."""

import ast
import os
import re
from pathlib import Path

import pytest

from . import mutation

SOURCE = """\
N = 1
def f(x):
    y = g(
        x,
        N + 1)
    def inner(z=N + 2):
        return z
    return y
"""


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


@pytest.mark.parametrize(
    "source",
    [
        "def f(x: <Literal[1]>, *xs: <int>) -> <int | None>: return 1",
        "x: <Literal[1]> = 2",
        "class A:\n<    @abstractmethod>\n    def f(self, x=1): return 1",
        "class A:\n    @property\n<    @abstractmethod>\n    def f(self): return 1",
        "<@overload\ndef f(x): ...>\n@wraps(g)\ndef f(x): return x",
        "@property\n@lru_cache(1)\n@functools.wraps(g)\ndef f(x): return x == 1",
        "<if TYPE_CHECKING:\n    import a>\nif not TYPE_CHECKING:\n    b = 1",
        "<__all__ = ['a'] + ['b']>\nnames = ['a'] + ['b']",
        "zip(a, b, strict=<True>)",
    ],
)
def test_only_what_never_runs_or_asserts_what_holds_is_left_alone(source):
    """The brackets `<` and `>` mark it."""
    lines = re.sub("<|(?<!-)>", "", source).split("\n")
    tree = ast.parse("\n".join(lines))
    for (first, a), (last, b) in sorted(mutation.idle(tree), reverse=True):
        lines[last - 1] = f"{lines[last - 1][:b]}>{lines[last - 1][b:]}"
        lines[first - 1] = f"{lines[first - 1][:a]}<{lines[first - 1][a:]}"
    assert "\n".join(lines) == source


def test_the_same_is_equal_only_beside_types_and_what_there_is_one_of():
    def spans(source):
        return [*mutation.of_one(ast.parse(source))]

    for source in ("type(x) is int", "x is None", "x is not True", "f(x) is y is False"):
        assert len(spans(source)) == 1
    for source in ("x is y", "x is f(type(y))", "x == 1"):
        assert not spans(source)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded")  # pytest-xdist has threads; the child uses none of theirs
def test_a_failure_is_reported_from_any_working_directory(tmp_path, monkeypatch):
    for folder in ("copy", "elsewhere"):
        (tmp_path / folder).mkdir()
    (tmp_path / "copy/test_it.py").write_text(
        "import os\n\ndef test_it():\n    os.chdir('../elsewhere')\n    assert False\n", encoding="utf-8"
    )
    (tmp_path / "copy/room.py").touch()
    monkeypatch.chdir(tmp_path / "copy")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.syspath_prepend(tmp_path / "copy")
    session = mutation.Session(lambda test: 0, lambda test: 60)
    code, failed, *_ = mutation.forked(session, "room.py", ["test_it.py"])
    assert (code, failed) == (mutation.FAILED, ["test_it.py::test_it"])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (1, []),  # runs when the module is imported
        (3, ["quick", "slow"]),
        (5, ["slow"]),  # nothing is noted for the line, so the nearest one above counts
        (6, ["quick"]),
        (7, []),  # no test calls the inner function, and the lines above it are the outer one's
        (8, ["quick"]),
    ],
)
def test_a_fault_meets_the_tests_that_run_its_line_the_quickest_first(tmp_path, monkeypatch, line, expected):
    path = tmp_path / "room.py"
    path.write_text(SOURCE, encoding="utf-8")
    monkeypatch.setattr(mutation, "seconds", {"slow": 9.0, "quick": 1.0, "longest": mutation.SPAN})
    tests = {1: [""], 2: [""], 3: ["longest", "slow", "quick"], 4: ["slow", ""], 6: ["quick"], 8: ["quick"]}
    assert mutation.tests_that_run(mutation.Fault(path.as_posix(), "", 0, line, ""), tests) == expected
