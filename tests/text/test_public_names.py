"""A name that is looked for in the package itself, but is in one of its modules, is answered with the right module."""

import importlib
import subprocess
import sys

import pytest

import micrograd_cn as mc
from micrograd_cn.text.public_names import SEARCHED

ELSEWHERE = sorted(
    {name for module in SEARCHED for name in importlib.import_module(f"micrograd_cn.{module}").__all__}
    - {name for name in dir(mc) if not name.startswith("_")}
    - {*mc.__all__, *SEARCHED}
)


def test_names_of_all_modules_are_looked_for():
    assert {"MLP", "Module", "compile", "grad", "gradcheck", "SGD", "Adam", "mse_loss", "zeros"} <= {*ELSEWHERE}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_what_an_error_says_to_write_finds_the_name(name):
    with pytest.raises(ImportError, match=f"^cannot import name '{name}' from 'micrograd_cn'; write from ") as error:
        exec(f"from micrograd_cn import {name}")
    names = {}
    exec(str(error.value).partition("; write ")[2], names)
    with pytest.raises(AttributeError, match=f"has no attribute '{name}'; write ") as error:
        getattr(mc, name)
    assert eval(str(error.value).partition("; write ")[2], {"micrograd_cn": mc}) is names[name]
    assert not hasattr(mc, name)


def test_a_name_that_no_module_has_is_answered_as_by_python():
    with pytest.raises(ImportError, match=r"^cannot import name 'nowhere' from 'micrograd_cn'") as error:
        from micrograd_cn import nowhere  # noqa: F401
    assert "write" not in str(error.value)
    with pytest.raises(AttributeError, match=r"^module 'micrograd_cn' has no attribute 'nowhere'$"):
        mc.nowhere  # noqa: B018
    with pytest.raises(AttributeError, match=r"^module 'micrograd_cn' has no attribute '__wrapped__'$"):
        mc.__wrapped__  # noqa: B018


def test_the_answer_imports_no_module():
    code = (
        "import sys, micrograd_cn\nbefore = {*sys.modules}\nhasattr(micrograd_cn, 'gradcheck')\n"
        "print(sorted(name for name in {*sys.modules} - before if name.startswith('micrograd_cn')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['micrograd_cn.text', 'micrograd_cn.text.public_names']"
