"""The wheel has a description without dead links, and a user's file passes mypy and runs where it is installed."""

import ast
import email
import importlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from .test_readme import EVERY_MODULE, TEXTS, prose

ROOT = Path(__file__).parents[1]
USER = Path(__file__).with_name("a_user.py")


def run(*command, **how):
    """Run a command without PYTHONPATH, so it cannot import this clone, and return its output; fail if it fails."""
    how["env"] = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **how)
    assert not done.returncode, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Return the path of a wheel that is built from this clone."""
    for name in ("hatchling", "hatch_fancy_pypi_readme"):
        pytest.importorskip(name, reason=f"{name}, of the extra test, makes the wheel")
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    [wheel] = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """Unpack the wheel into a new environment, and return its Python and its folder of packages.

    The environment also sees the packages that are installed where the tests run, except this one.
    """
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", symlinks=True)
    base = dict.fromkeys(("base", "platbase"), str(folder / "venv"))
    python, packages = (Path(sysconfig.get_path(kind, "venv", base)) for kind in ("scripts", "purelib"))
    with zipfile.ZipFile(wheel) as files:  # to install a wheel of Python files is to unpack it
        files.extractall(packages)
    (packages / "others.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")))
    return python / "python", packages


def test_the_description_has_no_link_that_leads_nowhere_outside_the_repository(wheel):
    """The wheel's description is the README with absolute links only, since relative ones are dead on PyPI."""
    with zipfile.ZipFile(wheel) as files:
        [name] = [name for name in files.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = email.message_from_string(files.read(name).decode("utf-8"))
    assert metadata["Description-Content-Type"] == "text/markdown"
    described, readme = metadata.get_payload().strip(), TEXTS["en"].strip()
    targets = re.findall(r"\]\(([^)]*)\)", prose(described))
    assert targets == [target for target in re.findall(r"\]\(([^)]*)\)", prose(readme)) if target.startswith("https:")]
    assert targets
    fence = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
    assert fence.findall(described) == fence.findall(readme)
    plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", readme).replace("简体中文\n\n", "")
    assert re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", described) == plain
    assert "\n\nThe backward pass of y = tanh(w*x + b), which moves" in described


def test_a_users_file_names_every_public_name():
    """`a_user.py` uses each public name of each module, so the next tests check all of them."""
    tree = ast.parse(USER.read_text("utf-8"))
    modules, named = {}, set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                named.add((node.module, alias.name))
                modules[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            named.add((modules.get(node.value.id), node.attr))
    missing = [
        f"{module}.{name}"
        for module in EVERY_MODULE
        for name in importlib.import_module(module).__all__
        if (module, name) not in named
    ]
    assert missing == []


@pytest.mark.thorough
def test_mypy_knows_every_type_that_a_user_meets(environment, tmp_path):
    """mypy --strict accepts a user's file with the installed wheel, and finds the mistakes in a wrong file."""
    pytest.importorskip("mypy", reason="mypy, of the extra test, is asked")
    python, _ = environment
    options = ("--strict", "--config-file=", "--python-executable", python, "--cache-dir", tmp_path)
    shutil.copy(USER, tmp_path)  # in its own folder, mypy would find this clone instead of the wheel
    wrong = tmp_path / "wrong.py"
    wrong.write_text("import micrograd_cn\nmicrograd_cn.draw_dots\nmicrograd_cn.nn.MPL\nmicrograd_cn.draw_dot('a')\n")
    with pytest.raises(AssertionError) as caught:
        run(sys.executable, "-m", "mypy", *options, USER.name, wrong.name, cwd=tmp_path)
    places = re.findall(r"\b(\w+\.py:\d+): error", caught.value.args[0])
    assert places == ["wrong.py:2", "wrong.py:3", "wrong.py:4"], caught.value


@pytest.mark.thorough
def test_a_users_file_runs(environment, tmp_path):
    python, packages = environment
    code = f"import pathlib, sys; sys.path.append({str(USER.parent)!r}); import a_user; a_user.main(pathlib.Path())"
    where = "import micrograd_cn; print(micrograd_cn.__file__)"
    assert Path(run(python, "-c", where, cwd=tmp_path).strip()).is_relative_to(packages)
    run(python, "-c", code, cwd=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} - {".hypothesis"} == {
        "neuron.svg",
        "flow.html",
        "playground.html",
        "training.html",
        "model.json",
    }
