"""The package as it is imported: light, complete, and documented."""

import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

import micrograd_cn


def fresh(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_importing_takes_the_standard_library_alone():
    third_party = fresh(
        "import sys; before = set(sys.modules); import micrograd_cn, micrograd_cn.nn\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new - set(sys.stdlib_module_names) - {'micrograd_cn'}))"
    )
    assert third_party == "[]"


def test_every_public_name_exists_and_every_operation_is_public():
    for name in micrograd_cn.__all__:
        assert getattr(micrograd_cn, name) is not None
    assert set(micrograd_cn.OPS) <= set(micrograd_cn.__all__)
    assert micrograd_cn.__all__ == sorted(micrograd_cn.__all__)


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(micrograd_cn, "tanhh")


def test_star_import_keeps_the_builtins_meaning():
    assert (
        fresh(
            "from micrograd_cn import *\nx = Value(2)\n"
            "print(sum([1, 2]), sum((i for i in [x, x]), x).data, abs(-3), abs(-x).data, pow(2, 3))"
        )
        == "3.0 6.0 3.0 2.0 8.0"
    )


def test_every_row_has_a_docstring_with_an_example():
    for op in micrograd_cn.OPS.values():
        assert ">>>" in op.__doc__, op.name


README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_readme_states_every_convention_of_the_table():
    for op in micrograd_cn.OPS.values():
        if op.convention:
            assert f"| `{op.name}` | {op.convention} |" in README


def test_the_readmes_number_of_operations_is_the_tables():
    assert f"{len(micrograd_cn.OPS)} operations" in README


def test_the_readmes_code_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) >= 2
    names = {}
    for block in blocks:
        exec(block, names)
    assert capsys.readouterr().out == "dy/dw = 1.002, dy/dx = -1.503\n"
    names["test_bump"]()
    assert names["loss"].data < 0.05
    assert (tmp_path / "xor.json").exists()
    assert names["curvature"] == pytest.approx((4 * 0.25 - 2) * math.exp(-0.25), rel=1e-14)
