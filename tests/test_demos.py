"""The demos run as a person runs them, write pictures that open, and learn."""

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib.image
import pytest

ROOT = Path(__file__).parents[1]
PICTURES = {
    "digits": {"digits_training.png", "digits_images.png", "neuron.svg"},
    "moons": {"moons.png"},
}


def run(name: str, out: Path, steps: int, seed: int = 0) -> str:
    command = [sys.executable, f"demos/{name}.py", "--steps", str(steps), "--seed", str(seed), "--out", str(out)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "random"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def loss(name: str, output: str) -> float:
    found = re.search(rf"^{name} loss: (\d+\.\d+)", output, re.MULTILINE)
    assert found, output
    return float(found[1])


@pytest.fixture(scope="module", params=PICTURES)
def demo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    out = tmp_path_factory.mktemp("demos") / "new" / "directory"
    return request.param, run(request.param, out, steps=3)


def test_every_picture_is_written_where_it_says_and_opens(demo: tuple[str, str]) -> None:
    name, output = demo
    paths = [Path(path) for path in re.findall(r"^wrote (.+)$", output, re.MULTILINE)]
    assert {path.name for path in paths} == PICTURES[name]
    assert {path.name for path in paths[0].parent.iterdir()} == PICTURES[name]
    for path in paths:
        if path.suffix == ".svg":
            words = set("".join(ET.parse(path).getroot().itertext()).split())
            assert words >= {"x1", "x2", "x3", "w1", "w2", "w3", "b", "tanh", "output", "loss"}
        else:
            assert matplotlib.image.imread(path).std() > 0.05, f"{path.name} is blank"


def test_the_seed_decides_the_result(demo: tuple[str, str], tmp_path: Path) -> None:
    name, output = demo
    assert loss("final", run(name, tmp_path, steps=3)) == loss("final", output)
    assert loss("final", run(name, tmp_path, steps=3, seed=1)) != loss("final", output)


def test_digits_learns(tmp_path: Path) -> None:
    output = run("digits", tmp_path, steps=40)
    assert loss("final", output) < 0.7 * loss("first", output)
    accuracy = re.search(r"^test accuracy: (\d+\.\d)%", output, re.MULTILINE)
    assert accuracy
    assert float(accuracy[1]) > 60


def test_check_your_gradient_prints_the_smallest_counterexample() -> None:
    command = [sys.executable, "demos/check_your_gradient.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "def f(x0):\n    return bump(x0)\n\nf(-1.0) at -1.0" in done.stdout
    assert "WRONG  df/dx0       -0.5      0.5" in done.stdout
    assert "agree with it" in done.stdout
