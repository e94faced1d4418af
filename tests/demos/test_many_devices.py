"""Data-parallel training gives the results of `fit`, on four devices of this processor and in two processes."""

import os
import re
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEMO = "demos/many_devices.py"
FEW = ["--rows", "512", "--steps", "12"]
DONE = "equal to fit(): losses and parameters differ by at most 1e-09\n"

with_jax = pytest.mark.skipif(not find_spec("jax"), reason="JAX is not installed")


def start(*arguments: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"}
    command = [sys.executable, *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    try:
        output, errors = process.communicate(timeout=300)
    finally:
        process.kill()
    return process.returncode, output, errors


def run_after(statements: str, *arguments: str) -> tuple[int, str, str]:
    """Run the demo in a process that has run other statements before."""
    code = f"{statements}\nimport runpy, sys\nsys.path.insert(0, 'demos')\nsys.argv = {[DEMO, *arguments]!r}\n"
    return end(start("-c", code + f"runpy.run_path({DEMO!r}, run_name='__main__')"))


def table(output: str) -> list[int]:
    """Return the numbers of devices in the lines of times."""
    return [
        int(found[1])
        for found in re.finditer(r"^time: +(\d+) +[\d.]+ s( +[\d.]+ ms){2} +[\d.]+$", output, re.MULTILINE)
    ]


@pytest.mark.parametrize("missing", ["jax", "llvmlite"])
def test_without_jax_it_says_what_to_install(missing):
    if missing == "llvmlite" and not find_spec("jax"):
        pytest.skip("JAX is not installed")
    code, output, errors = run_after(f"import sys; sys.modules[{missing!r}] = None")
    assert code == 1
    assert output == ""
    assert missing in errors
    assert errors.endswith("many_devices.py needs JAX: python -m pip install -e '.[jax]'\n")
    _, _, chinese = run_after(f"import sys; sys.modules[{missing!r}] = None", "--lang", "zh")
    assert chinese.endswith("many_devices.py 需要 JAX：python -m pip install -e '.[jax]'\n")


@with_jax
def test_one_two_and_four_devices_train_as_fit_does():
    code, output, errors = end(start(DEMO, *FEW))
    assert code == 0, errors
    assert table(output) == [1, 2, 4]
    assert output.endswith(DONE)
    first, final = (float(re.search(rf"^{name} loss: (.*)$", output, re.MULTILINE)[1]) for name in ("first", "final"))
    assert final < first


@with_jax
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--steps", "1"], "--steps must be at least 2"),
        (["--rows", "0"], "--rows at least 1"),
        (["--rows", "10"], "--rows 10: how many, a multiple of the number of devices"),
        (["--processes", "2"], "several processes need --coordinator"),
        (["--processes", "2", "--process", "2"], "--process from 0 to --processes - 1"),
    ],
)
def test_it_refuses_what_it_cannot_do(wrong, said):
    code, output, errors = end(start(DEMO, *wrong))
    assert code in (1, 2)
    assert output == ""
    assert said in errors
    assert "Traceback" not in errors


@with_jax
def test_it_refuses_to_count_devices_that_there_are_not():
    one = "import os; os.environ['XLA_FLAGS'] = '--xla_force_host_platform_device_count=1'"
    code, output, errors = run_after(one, *FEW)
    assert (code, output) == (1, "")
    assert "4 devices are needed, there are 1 (XLA_FLAGS=" in errors


@with_jax
def test_it_speaks_the_readers_language():
    runs = [end(start(DEMO, *FEW, "--lang", lang)) for lang in ("en", "zh")]
    assert [code for code, *_ in runs] == [0, 0]
    english, chinese = (output.splitlines() for _, output, _ in runs)
    assert len(english) == len(chinese)
    for one, other in zip(english, chinese, strict=True):
        assert not re.search("[\u4e00-\u9fff]", one)
        assert re.search("[\u4e00-\u9fff]", other), other
    losses = [re.findall(r"\d\.\d{6}", "".join(lines)) for lines in (english, chinese)]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 2


@with_jax
def test_two_processes_train_as_one_does():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    cluster = ["--coordinator", address, "--processes", "2", "--process"]
    processes = [start(DEMO, *FEW, *cluster, str(i)) for i in range(2)]
    for code, output, errors in map(end, processes):
        assert code == 0, errors
        assert table(output) == [8]
        assert output.endswith(DONE)


OTHER_OPTIMISER = """
from micrograd_cn.optim import SGD
make = SGD.__init__
SGD.__init__ = lambda optimizer, parameters, lr, momentum: make(optimizer, parameters, lr, momentum - 1e-6)
"""
OTHER_PARAMETERS = """
from micrograd_cn.module import Module
load = Module.load_state_dict
Module.load_state_dict = lambda model, state: load(model, {name: x + 1e-8 for name, x in state.items()})
"""
ORDER_OF_THE_MODEL = """
from micrograd_cn.compiler import Program
def array_function(program, model):
    names = {}
    exec(program.source("python"), names)
    def f(xp, parameters, inputs):
        flat = []
        for layer in ("layers.0", "layers.1"):
            for weights, bias in zip(parameters[layer + ".weight"], parameters[layer + ".bias"]):
                flat += [*weights, bias]
        return names["f"](xp, flat, inputs)
    return f
Program.array_function = array_function
"""


@with_jax
@pytest.mark.parametrize(
    ("sabotage", "message"),
    [
        (OTHER_OPTIMISER, "1 devices have the loss"),
        (OTHER_PARAMETERS, "parameters of 1 devices differ from those of fit() by 1.0e-08"),
        (ORDER_OF_THE_MODEL, "1 devices have the loss"),
    ],
    ids=["another optimiser", "other parameters", "the model's order"],
)
def test_what_differs_from_fit_is_a_failure(sabotage, message):
    code, output, errors = run_after(sabotage, *FEW)
    assert code == 1, output
    assert message in errors, errors
