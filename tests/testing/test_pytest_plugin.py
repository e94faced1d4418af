"""The pytest plugin, and tests of one line, each in a pytest run of its own."""

import contextlib
import csv
import math
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from hypothesis import strategies as st

from micrograd_cn.testing import (
    GradientMismatch,
    NothingCompared,
    checks_gradient,
    find_functions,
    gradcheck,
    points,
    pytest_plugin,
)
from micrograd_cn.testing.pytest_plugin import Summary
from micrograd_cn.testing.report.result_hooks import CheckResult, result_hook

TESTS = """
import sys
import numpy as np
from micrograd_cn.testing import checks_gradient, gradcheck

def layer(x, w):
    return x * w

test_right = checks_gradient(layer, (2, 3), (3,), vjp=lambda x, w, g: (g * w, (g * x).sum(0)), examples=3)
test_wrong = checks_gradient(layer, (2, 3), (3,), vjp=lambda x, w, g: (g * w, (g * x).mean(0)), examples=3)

def test_nothing_else_is_imported():
    assert not {"torch", "jax"} & {*sys.modules}

def test_plain():
    gradcheck(lambda x: (x * x).sum(), np.ones(2), gradient=lambda x: 2 * x)
"""


# Hypothesis reads the package for constants to draw, which takes longer than these tests, and keeps them here.
CONSTANTS = Path(__file__).parents[2] / ".hypothesis/constants"


def run(folder, *options):
    (folder / "test_it.py").write_text(TESTS)
    (folder / "pytest.ini").write_text("[pytest]\n")  # else one of a folder around it counts, and names begin there
    (folder / ".hypothesis").mkdir()
    (folder / ".hypothesis/constants").symlink_to(CONSTANTS)
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    plugins = ["-p", "micrograd_cn.testing.pytest_plugin", "-p", "xdist"]
    command = [sys.executable, "-m", "pytest", "-q", *plugins, "-o", "addopts=", "-p", "no:cacheprovider", *options]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    "workers", [[], pytest.param(["-n", "2"], marks=pytest.mark.thorough)], ids=["alone", "with xdist"]
)
def test_a_run_sums_up_what_was_checked(tmp_path, workers):
    out = run(tmp_path, "--gradcheck-table", "table.csv", *workers)
    assert "1 failed, 3 passed" in out
    lines = out.partition("gradients checked")[2].splitlines()[1:]
    assert lines[0].startswith("wrong        layer by w, float64, points: ")
    assert "times what is allowed  (test_it.py::test_wrong)" in lines[0]
    right = next(
        line for line in lines if line.startswith("right        layer by x, float64, points: 3, largest error: ")
    )
    assert 0.0 <= float(right.split("error: ")[1].split()[0]) < 1.0
    assert "of what is allowed  (test_it.py::test_" in right
    assert "1 wrong, 0 not compared, 4 right" in out
    rows = list(csv.reader((tmp_path / "table.csv").read_text().splitlines()))
    assert rows[0][:6] == ["test", "function", "argument", "points", "largest error", "verdict"]
    assert rows[0][6:] == ["part of what is allowed", "points not compared", "types"]
    assert {row[8] for row in rows[1:]} == {"float64"}
    assert all((float(row[6]) > 1.0) is (row[5] == "wrong") for row in rows[1:])
    assert {(row[0].partition("::")[2], row[2], row[5]) for row in rows[1:]} == {
        ("test_right", "x", "right"),
        ("test_right", "w", "right"),
        ("test_wrong", "x", "right"),
        ("test_wrong", "w", "wrong"),
        ("test_plain", "x", "right"),
    }
    assert "likely, for w: a factor of 2 is missing" in out


def test_the_first_failure_stops_a_run_and_is_summed_up(tmp_path):
    out = run(tmp_path, "-x", "-k", "wrong or plain")
    assert "1 failed" in out
    assert "passed" not in out
    assert "1 wrong, 0 not compared, 1 right" in out


def test_the_plugin_is_found_by_itself():
    [plugin] = [point for point in entry_points(group="pytest11") if point.name == "micrograd_cn"]
    assert plugin.value == "micrograd_cn.testing.pytest_plugin"


def test_a_test_of_one_line():
    how = {"gradient": lambda x, n: n * x ** (n - 1)}
    test = checks_gradient(lambda x, n: (x**n).sum(), points(3, min_value=0.5, max_value=2.0), 3, **how, examples=5)
    assert test.__name__ == "test_gradient_of_<lambda>"
    test()
    checks_gradient(lambda x, n: (x**n).sum(), (2,), st.integers(1, 4), **how, examples=5)()
    with pytest.raises(GradientMismatch, match="wrong for x"):
        checks_gradient(lambda x: (x * x).sum(), (2,), gradient=lambda x: 3 * x, examples=5)()


def test_points_of_a_shape_are_between_minus_4_and_4_and_apart(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "micrograd_cn.testing.drawing.array_strategies.points",
        lambda *shape, **how: asked.append((shape, how)) or st.just(0),
    )
    checks_gradient(np.sum, (2, 3), gradient=np.ones_like)
    assert asked == [(((2, 3),), {"min_value": -4.0, "max_value": 4.0, "apart": 2.0**-6})]


def result_of(f, x, gradient, **how):
    """Return the verdict, the largest error and the part of what is allowed that hooks are told."""
    found = []
    with contextlib.suppress(AssertionError, NothingCompared), result_hook(found.append):
        gradcheck(lambda x: f(x).sum(), np.array([x]), gradient=lambda x: np.array([gradient]), **how)
    [result] = found
    return result.verdict, result.error, result.share


def test_the_error_is_relative_to_the_larger_of_both_and_counts_what_is_compared():
    for slope, gradient, verdict, error in (
        (2.0, 2.0 + 1e-6, "right", 5e-7),
        (2.0, 3.0, "wrong", 1.0 / 3.0),
        (1.0, -2.0, "wrong", 1.5),
        (0.0, 0.0, "right", 0.0),
        (2.0, math.nan, "wrong", math.inf),
    ):
        assert result_of(lambda x, slope=slope: slope * x, 1.0, gradient)[:2] == (verdict, pytest.approx(error))
    assert result_of(np.cbrt, 0.0, math.inf) == ("not compared", 0.0, 0.0)
    assert result_of(lambda x: (x + 1e17) - 1e17, 1.0, 3.0) == ("not compared", 0.0, 0.0), "too noisy to tell"


def test_errors_are_measured_in_what_is_allowed():
    def double(x):
        return 2.0 * x

    for gradient, verdict, share in (
        (2.0 + 1e-6, "right", 0.5),
        (2.0, "right", 0.0),
        (3.0, "wrong", 1.0 / 3e-6),
        (math.nan, "wrong", math.inf),
    ):
        assert result_of(double, 1.0, gradient)[::2] == (verdict, pytest.approx(share, rel=1e-5))
    assert result_of(double, 1.0, 2.0 + 1e-6, atol=1e-5)[2] == pytest.approx(0.1)
    assert 0.0 < result_of(lambda x: np.round(double(x), 6), 1.0, 2.0 + 1e-6)[2] < 0.1, "noise allows more"
    assert result_of(np.abs, 0.0, 0.5)[::2] == ("right", 0.0), "at a kink, tolerances do not decide"


def test_a_line_of_the_summary_counts_what_was_not_compared():
    summary, shown = Summary(), []
    summary.rows = [["t.py::test_it", "f", "x", 5, 1.0, "right", 0.003, 2, "float32"]]
    summary.pytest_terminal_summary(
        SimpleNamespace(section=shown.append, line=shown.append), SimpleNamespace(getoption=lambda name: None)
    )
    start, _, end = shown[1].partition(", largest error: ")
    assert start == "right        f by x, float32, points: 5 (2 not compared)"
    assert end == "0.003 of what is allowed  (t.py::test_it)"


@pytest.mark.filterwarnings("ignore::micrograd_cn.testing.PartlyCompared")
def test_a_point_at_which_only_a_part_was_compared_counts_as_not_compared():
    found = []
    with result_hook(found.append):
        gradcheck(lambda x, w: x.sqrt() + w, 0.0, 1.0)
        gradcheck(lambda x, w: x * w, 0.0, 1.0)
    assert [(check.verdict, check.partly) for check in found] == [("right", True), ("right", False)]
    item = SimpleNamespace(user_properties=[])
    run = pytest_plugin.pytest_runtest_call(item)
    next(run)
    gradcheck(lambda x, w: x.sqrt() + w, 0.0, 1.0)
    with contextlib.suppress(StopIteration):
        next(run)
    [(_, [row])] = item.user_properties
    assert (row[2], row[6]) == (1, 1)


def test_the_wrong_ones_come_first_and_of_these_the_worst():
    summary, shown = Summary(), []
    summary.rows = [
        ["test", name, "x", 1, error, verdict, 3.0 * error, 0, ""]
        for name, error, verdict in (
            ("a", 0.1, "right"),
            ("b", 0.2, "wrong"),
            ("c", 0.0, "not compared"),
            ("d", 0.3, "wrong"),
            ("e", 0.2, "right"),
        )
    ]
    summary.pytest_terminal_summary(
        SimpleNamespace(section=shown.append, line=shown.append), SimpleNamespace(getoption=lambda name: None)
    )
    assert [line.split(" by ")[0].split()[-1] for line in shown[1:-1]] == ["d", "b", "c", "e", "a"]
    assert shown[-1] == "2 wrong, 1 not compared, 2 right"
    summary.rows = summary.rows[:3] * 7
    shown.clear()
    summary.pytest_terminal_summary(
        SimpleNamespace(section=shown.append, line=shown.append), SimpleNamespace(getoption=lambda name: None)
    )
    assert len(shown) == 1 + 20 + 1
    assert shown[-1] == "7 wrong, 7 not compared, 7 right; shown are 20"


def test_whoever_watches_is_told_of_each_argument():
    found = []
    with result_hook(found.append):
        gradcheck(lambda x, w: (x * w).sum(), np.ones(2), np.ones(2), gradient=lambda x, w: (w, x))
        with pytest.raises(GradientMismatch):
            gradcheck(lambda x, w: (x * w).sum(), np.ones(2), np.ones(2), gradient=lambda x, w: (w, 2 * x))
        with pytest.raises(GradientMismatch):
            gradcheck(lambda x: (x * x).sum(), np.ones(2), vjp=lambda x, g: 2 * x)
    gradcheck(lambda x: (x * x).sum(), np.ones(2), gradient=lambda x: 2 * x)
    assert [(f.argument, f.verdict) for f in found] == [
        ("x", "right"),
        ("w", "right"),
        ("x", "right"),
        ("w", "wrong"),
        ("", "wrong"),
    ]
    assert found[0].error < 1e-9
    assert found[3].error == pytest.approx(0.5)
    assert isinstance(found[0], CheckResult)


def test_functions_with_gradients_of_their_own_are_found(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    package = tmp_path / "package_of_functions"
    (package / "inside").mkdir(parents=True)
    own = "import torch\nclass Own(torch.autograd.Function):\n    pass\nclass Other:\n    pass\n"
    (package / "__init__.py").write_text("from .inside.deep import Own\n")
    (package / "inside" / "__init__.py").write_text("x = 1\n")
    (package / "inside" / "deep.py").write_text(own)
    (package / "broken.py").write_text("import no_such_module\n")
    (package / "__main__.py").write_text("raise SystemExit\n")  # the first by name
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.warns(RuntimeWarning, match="package_of_functions.broken cannot be imported"):
        found = find_functions("package_of_functions")
    assert list(found) == ["package_of_functions.inside.deep.Own"]
    assert issubclass(found["package_of_functions.inside.deep.Own"], torch.autograd.Function)


def test_attributes_of_a_class_or_a_module_that_have_their_own_derivatives_are_found(monkeypatch):
    class Rule:
        """What jax's `custom_vjp` returns."""

    class Holder:
        attribute, method, number = Rule(), staticmethod(Rule()), 3.0

    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(custom_vjp=Rule))
    found = find_functions(Holder)
    assert [name.rpartition(".Holder.")[2] for name in found] == ["attribute", "method"]
    assert [*found.values()] == [Holder.attribute, Holder.method]
    module = ModuleType("with_rules")
    module.own, module.number = Rule(), 3.0
    module.own.__module__ = "with_rules"
    assert find_functions(module) == {"with_rules.own": module.own}


def test_custom_derivatives_of_jax_are_found():
    jax = pytest.importorskip("jax")
    import types

    module = types.ModuleType("of_jax")
    module.swish = jax.custom_vjp(lambda x: x)
    module.swish.__module__ = "of_jax"
    module.f = lambda x: x
    assert list(find_functions(module)) == ["of_jax.swish"]


@pytest.mark.parametrize("line", ["pytest.importorskip('no_such_module')", "raise SystemExit(3)"])
def test_a_module_that_skips_or_exits_is_told_too(tmp_path, monkeypatch, line):
    (tmp_path / "own_package").mkdir()
    (tmp_path / "own_package" / "__init__.py").touch()
    (tmp_path / "own_package" / "needy.py").write_text(f"import pytest\n{line}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.warns(RuntimeWarning, match=r"own_package\.needy cannot be imported, and is left out"):
        assert find_functions("own_package") == {}
    for name in [name for name in sys.modules if name.startswith("own_package")]:
        monkeypatch.delitem(sys.modules, name)


def test_a_module_that_cannot_be_imported_is_told(tmp_path, monkeypatch):
    (tmp_path / "package_with_an_extra").mkdir()
    """`__main__`, which is not imported, is the first by name, and the others are looked at after it."""
    texts = {"__init__": "", "__main__": "0()", "fine": "x = 1", "extra": "import not_there_at_all", "bad": "1 / 0"}
    for name, text in texts.items():
        (tmp_path / "package_with_an_extra" / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.warns(RuntimeWarning) as told:
        assert find_functions("package_with_an_extra") == {}
    assert [str(warning.message).partition(" cannot")[0].rpartition(".")[2] for warning in told] == ["bad", "extra"]
    assert str(told[0].message).endswith("is left out: ZeroDivisionError: division by zero")
