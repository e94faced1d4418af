"""The package as it is imported: light and complete."""

import subprocess
import sys

import pytest

import micrograd_cn
import micrograd_cn.picture


def fresh(code):
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
    assert micrograd_cn.__all__ == sorted(micrograd_cn.__all__)


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(micrograd_cn, "tanhh")
    assert not hasattr(micrograd_cn.picture, "Pictures")


def test_star_import_keeps_the_builtins_meaning():
    assert (
        fresh(
            "from micrograd_cn import *\nx = Value(2)\n"
            "print(sum([1, 2]), sum((i for i in [x, x]), x).data, abs(-3), abs(-x).data, pow(2, 3))"
        )
        == "3.0 6.0 3.0 2.0 8.0"
    )
