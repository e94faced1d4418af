"""Importing the package imports the standard library alone, and all public names are there afterwards."""

import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import micrograd_cn
import micrograd_cn.picture


def fresh(code):
    """Return what code prints in a new process."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    "code",
    [
        "import micrograd_cn, micrograd_cn.nn",
        "from micrograd_cn import *",
        "from micrograd_cn import draw_dot",
        "import micrograd_cn.picture",
        "import micrograd_cn.flow",
        "from micrograd_cn.__main__ import main; main(['x*x', 'x=3', '--lang=en'])",
    ],
)
def test_importing_and_text_take_the_standard_library_alone(code):
    """Neither an import nor the command's table imports a package from elsewhere, not even graphviz."""
    *_, third_party = fresh(
        f"import sys; before = set(sys.modules); {code}\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new - set(sys.stdlib_module_names) - {'micrograd_cn'}))"
    ).splitlines()
    assert third_party == "[]"


def test_every_public_name_exists_and_every_operation_is_public():
    for name in micrograd_cn.__all__:
        assert getattr(micrograd_cn, name) is not None
    assert set(micrograd_cn.OPS) <= set(micrograd_cn.__all__)
    assert len(set(micrograd_cn.__all__)) == len(micrograd_cn.__all__)


def test_every_module_is_an_attribute_after_importing_the_package_alone():
    modules = [module.name for module in pkgutil.iter_modules(micrograd_cn.__path__)]
    public = [name for name in modules if not name.startswith("_") and name not in micrograd_cn.__all__]
    assert {"nn", "optim", "testing", "functional", "losses", "compiler", "flow", "picture"} <= set(public)
    code = "import micrograd_cn\nfor name in {}: print(getattr(micrograd_cn, name).__name__)"
    assert fresh(code.format(public)).split() == [f"micrograd_cn.{name}" for name in public]
    for name in ("nn", "optim", "testing"):
        assert fresh(code.format([name])) == f"micrograd_cn.{name}"


def test_star_import_brings_what_draws_and_imports_graphviz_when_it_draws():
    """After `from micrograd_cn import *`, the first call of `draw_dot` imports graphviz, and the import does not."""
    draws = "print('graphviz' in sys.modules, draw_dot(Value(1)).source[:7], 'graphviz' in sys.modules)"
    assert fresh(f"import sys\nfrom micrograd_cn import *\n{draws}") == "False digraph True"


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(micrograd_cn, "tanhh")
    assert not hasattr(micrograd_cn.picture, "Pictures")


def test_star_import_keeps_the_builtins_meaning():
    """`from micrograd_cn import *` replaces `sum`, `abs` and `pow` by functions that still work on plain numbers."""
    assert (
        fresh(
            "from micrograd_cn import *\nx = Value(2)\n"
            "print(sum([1, 2]), sum((i for i in [x, x]), x).data, abs(-3), abs(-x).data, pow(2, 3))"
        )
        == "3.0 6.0 3.0 2.0 8.0"
    )


def test_the_changelog_begins_with_this_version():
    text = (Path(__file__).parents[1] / "CHANGELOG.md").read_text("utf-8")
    first, *_ = re.findall(r"^## (\S+)", text, re.MULTILINE)
    assert first in (micrograd_cn.__version__, "Unreleased")
    assert f"## {micrograd_cn.__version__}\n" in text


def test_each_line_of_the_changelog_that_follows_a_heading_belongs_to_an_item():
    """An item begins with "- ", and its other lines with two spaces. Else a page shows it as a part of another item."""
    text = (Path(__file__).parents[1] / "CHANGELOG.md").read_text("utf-8")
    lists = re.findall(r"^### (?!Moved)[^\n]*\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
    assert len(lists) > 5
    for line in "".join(lists).splitlines():
        assert re.match(r"- \S|  ( {2})*\S|$", line), line
