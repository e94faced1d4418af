"""The demos run as a person runs them, write pictures that open, and learn."""

import importlib
import io
import json
import os
import random
import re
import runpy
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from contextlib import nullcontext, redirect_stderr, redirect_stdout
from itertools import combinations, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hypothesis
import matplotlib.animation
import matplotlib.image
import numpy as np
import pytest
from matplotlib.animation import FuncAnimation
from matplotlib.figure import Figure

ROOT = Path(__file__).parents[2]
PICTURES = {
    "digits": {"digits_training.png", "digits_images.png", "neuron.svg"},
    "even_odd": {"even_odd.png"},
    "gradient_flow": {
        f"{name}.{lang}.svg" for name in ("neuron", "a_plus_a", "dead_relu", "network") for lang in ("en", "zh")
    }
    | {f"{name}.{lang}.html" for name in ("flow", "playground") for lang in ("en", "zh")},
    "microgpt": {"microgpt.png"},
    "moons": {"moons.png"},
    "newton": {"newton.png"},
    "optimal_control": {"optimal_control.gif", "optimal_control.png"},
    "optimizers": {"optimizers.png"},
    "taylor": {"taylor.png"},
    "yinyang": {"yinyang.png"},
}
PLANES = {"moons", "optimizers", "yinyang"}  # they draw a function of two numbers
AS_A_PERSON = {"gradient_flow", "newton"}  # one of them imports matplotlib
WITH_THOROUGH = {"digits", "even_odd", "microgpt", "optimal_control", "yinyang"}
NOT_RANDOM = {"gradient_flow", "newton", "optimal_control", "optimizers", "taylor"}
CHINESE = re.compile(r"[\u4e00-\u9fff]")
SAVE, LINSPACE = Figure.savefig, np.linspace


STEPS = {"digits": 16, "even_odd": 10, "moons": 5, "newton": 7, "optimal_control": 12, "optimizers": 2000, "taylor": 6}
STEPS |= {"gradient_flow": 3, "microgpt": 3, "yinyang": 50}


def run(name: str, out: Path, steps: int, seed: int = 0) -> str:
    """Run the demo as a person does."""
    command = [sys.executable, f"demos/{name}.py", "--steps", str(steps), "--seed", str(seed), "--out", str(out)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "random", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_here(name: str, out: Path, steps: int, seed: int = 0, *more: str) -> str:
    return started(name, "--steps", str(steps), "--seed", str(seed), "--out", str(out), *more)


def coarse(figure: Figure, path: Path, **how: Any) -> None:
    SAVE(figure, path, **{"dpi": 50} | how)


def sparse(start: Any, stop: Any, num: int = 50, *more: Any, **how: Any) -> Any:
    """Return every third of the points at which a demo evaluates its model, and all points of matplotlib."""
    mine = sys._getframe(1).f_code.co_filename.startswith(str(ROOT / "demos"))
    return LINSPACE(start, stop, num // 3 if mine else num, *more, **how)


def short(figure: Figure, show: Any, frames: int, **how: Any) -> FuncAnimation:
    return FuncAnimation(figure, show, frames=range(0, frames, 9), **how)


def started(name: str, *arguments: str, locale: str = "C.UTF-8") -> str:
    """Run the demo in this process, which spares importing libraries again, and return what it prints.

    It imports the modules beside it anew, and the style of its figures ends with it. Pictures are coarse, planes have
    few points and films every ninth frame: to draw them would take longer than what is drawn.
    """
    printed, before = io.StringIO(), {*sys.modules}
    with pytest.MonkeyPatch.context() as patch, matplotlib.rc_context():
        patch.syspath_prepend(ROOT / "demos")
        patch.setenv("LC_ALL", locale)
        patch.setattr(Figure, "savefig", coarse)
        if name in PLANES:
            patch.setattr(np, "linspace", sparse)
        patch.setattr(matplotlib.animation, "FuncAnimation", short)
        patch.setattr(sys, "argv", [name, *arguments])
        try:
            with redirect_stdout(printed), redirect_stderr(io.StringIO()):
                runpy.run_path(str(ROOT / f"demos/{name}.py"), run_name="__main__")
        except SystemExit as left:
            if left.code:
                raise
        finally:
            for module in {*sys.modules} - before:
                if str(getattr(sys.modules[module], "__file__", "")).startswith(str(ROOT / "demos")):
                    del sys.modules[module]
    return printed.getvalue()


def loss(name: str, output: str) -> float:
    found = re.search(rf"^{name} loss: (\d+\.\d+)", output, re.MULTILINE)
    assert found, output
    return float(found[1])


def accuracies(output: str) -> list[float]:
    return [float(percent) for percent in re.findall(r"^ *(?:test )?accuracy: (\d+(?:\.\d)?)%", output, re.MULTILINE)]


def results(output: str) -> list[str]:
    timed = re.compile(r"wrote |time: |[\d,]+ steps in ")
    return [line for line in output.splitlines() if not timed.match(line)]


@pytest.fixture(
    scope="module", params=[pytest.param(x, marks=[pytest.mark.thorough] * (x in WITH_THOROUGH)) for x in PICTURES]
)
def demo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    name = request.param
    start = run if name in AS_A_PERSON else run_here
    return name, start(name, tmp_path_factory.mktemp("demos") / "a new" / "directory", STEPS[name])


def test_a_demo_learns_and_every_picture_is_written_where_it_says_and_opens(demo: tuple[str, str]) -> None:
    name, output = demo
    LEARNS.get(name, len)(output)
    paths = [Path(path) for path in re.findall(r"^wrote (.+)$", output, re.MULTILINE)]
    assert {path.name for path in paths} == PICTURES[name]
    assert {path.name for path in paths[0].parent.iterdir()} == PICTURES[name]
    for path in paths:
        if path.suffix == ".svg":
            words = set("".join(ET.parse(path).getroot().itertext()).split())
            assert (
                words >= {"x1", "x2", "x3", "w1", "w2", "w3", "b", "tanh", "output", "loss"} or name == "gradient_flow"
            )
        elif path.suffix == ".html":
            assert path.read_text("utf-8").startswith("<!doctype html>")
        else:
            assert matplotlib.image.imread(path).std() > 0.05, f"{path.name} is blank"


@pytest.mark.slow
def test_the_seed_decides_the_result(demo: tuple[str, str], tmp_path: Path) -> None:
    name, output = demo
    here = name in AS_A_PERSON
    first, again = results(output), results((run_here if here else run)(name, tmp_path, STEPS[name]))
    other = results(run_here(name, tmp_path, STEPS[name], 1))
    assert first or name == "gradient_flow"
    assert again == first
    assert (other == first) == (name in NOT_RANDOM)


LONG = {"digits", "even_odd", "gradient_flow", "microgpt", "moons", "newton", "optimal_control", "taylor", "yinyang"}
HOW_LONG = {x: [pytest.mark.slow if x in LONG else pytest.mark.thorough] for x in PICTURES}


@pytest.mark.parametrize("name", [pytest.param(x, marks=HOW_LONG[x]) for x in PICTURES])
def test_a_demo_speaks_the_readers_language(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    english, chinese = (run_here(name, tmp_path, 3, 0, "--lang", lang) for lang in ("en", "zh"))
    assert not CHINESE.search(english)
    numbers = [re.findall(r"\d+\.\d{3,}|\d+\.\d%", output) for output in (english, chinese)]
    assert numbers[0] == numbers[1]
    for line in chinese.splitlines():
        row_or_name = len(re.findall(r" \S*\d\b", line)) >= 3 or " " not in line  # of a table; an invented one
        assert CHINESE.search(line) or row_or_name, line
    assert len(english.splitlines()) == len(chinese.splitlines())


def help_in_a_process(name: str, *arguments: str, locale: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "LC_ALL": locale, "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, f"demos/{name}.py", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", check=True)
    return done.stdout


HELPED = ["even_odd", "benchmark", "check_your_gradient", "many_devices", "site"]


@pytest.mark.parametrize("name", [pytest.param(x, marks=[pytest.mark.thorough] * (x != "benchmark")) for x in HELPED])
def test_help_is_in_the_readers_language(name: str) -> None:
    if name == "many_devices":
        pytest.importorskip("jax")
    # The one tells jax of its devices, for the whole process; the other is started as a person does.
    start = help_in_a_process if name in ("many_devices", "even_odd") else started
    for locale, lang, chinese in (
        ("zh_CN.UTF-8", [], True),
        ("C", ["--lang", "zh"], True),
        ("zh_CN.UTF-8", ["--lang", "en"], False),
        ("C", [], False),
    ):
        printed = start(name, *lang, "--help", locale=locale)
        assert ("语言" if chinese else "language") in printed
        assert bool(CHINESE.search(printed)) == chinese
        start = started if name == "even_odd" else start


def test_pictures_are_in_chinese_where_there_is_a_font(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "demos")
    figures, language = importlib.import_module("shared.figures"), importlib.import_module("shared.language")
    with matplotlib.rc_context():
        for fonts, written in ((["A font that nobody has"], "en"), (["DejaVu Sans"], "zh")):
            monkeypatch.setattr(figures, "FONTS", fonts)
            figures._chinese_font.cache_clear()
            language.set_language("zh")
            assert language.text("en", "zh") == "zh"
            assert figures.label("en", "zh") == written
        language.set_language("en")
        assert language.text("en", "zh") == figures.label("en", "zh") == "en"
    figures._chinese_font.cache_clear()
    assert [language.align_right("误差", 6), language.align_right("ab", 3)] == ["  误差", " ab"]


def digits_learns(output: str) -> None:
    assert loss("final", output) < 0.7 * loss("first", output)
    (accuracy,) = accuracies(output)
    assert accuracy > 60


def moons_learns(output: str) -> None:
    (accuracy,) = accuracies(output)
    assert accuracy > 80


def yinyang_learns(output: str) -> None:
    assert loss("final", output) < 0.7 * loss("first", output)
    (accuracy,) = accuracies(output)
    assert accuracy > 80


def parity_is_learned_from_bits_but_neither_from_0_and_1_nor_from_a_scaled_integer(output: str) -> None:
    # So few steps outweigh no bit's random initial weight: larger numbers are right only if those weights are 0.
    assert "asked about 0 to 1023: 50.1%" in output
    others, large, scaled = accuracies(output)
    assert others == large == 100
    assert 40 < scaled < 60


def momentum_and_adam_reach_the_minimum_and_sgd_does_not(output: str) -> None:
    sgd, momentum, adam = (float(line.split()[-1]) for line in results(output)[1:])
    assert 0.1 < sgd < 0.5
    assert momentum < 1e-6
    assert adam < 1e-6


def newton_squares_the_error(output: str) -> None:
    errors = [float(line.split()[3]) for line in results(output)[1:]]
    assert errors[-1] < 1e-15
    assert errors[-2] < 10 * errors[-3] ** 2


def taylor_prints_exact_derivatives(output: str) -> None:
    rows = [line.split() for line in results(output)[1:]]
    assert [float(row[1]) for row in rows] == [0, 1, 0, -1, 0, 1, 0]
    assert [float(row[2]) for row in rows] == [1, 0, -2, 0, 24, 0, -720]


def the_pole_stands_with_the_same_effort_whatever_derivatives_are_used(output: str) -> None:
    _, exact, differences, *_ = output.split("\n\n")
    found = []
    for text in (exact, differences):
        [(effort, kept, gradient)] = re.findall(r"effort: (\S+), constraints kept to (\S+), gradient (\S+)", text)
        [evaluations] = re.findall(r"evaluations of the constraints: (\S+)", text)
        assert float(kept) < 1e-8
        assert float(gradient) < 1e-5
        found.append((float(effort), int(evaluations.replace(",", ""))))
    (mine, few), (theirs, many) = found
    assert mine == pytest.approx(theirs, rel=1e-5)
    assert few < many / 50


LEARNS = {
    "digits": digits_learns,
    "even_odd": parity_is_learned_from_bits_but_neither_from_0_and_1_nor_from_a_scaled_integer,
    "moons": moons_learns,
    "newton": newton_squares_the_error,
    "optimal_control": the_pole_stands_with_the_same_effort_whatever_derivatives_are_used,
    "optimizers": momentum_and_adam_reach_the_minimum_and_sgd_does_not,
    "taylor": taylor_prints_exact_derivatives,
    "yinyang": yinyang_learns,
}


@pytest.mark.thorough
def test_check_your_gradient_prints_the_smallest_counterexample(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fewer(hypothesis.settings):
        def __init__(self, *given: Any, max_examples: int, **how: Any) -> None:
            super().__init__(*given, max_examples=min(max_examples, 50), **how)

    monkeypatch.setattr("hypothesis.settings", Fewer)
    printed = started("check_your_gradient")
    assert "gradcheck of f at -1.0: 2 of 2 derivatives wrong\n# bump" in printed
    assert "def f(x0):\n    return bump(x0)\n\nf(-1.0)\n" in printed
    assert "WRONG  df/dx0       -0.5      0.5" in printed
    assert "agree with it" in printed
    _, _, numpy = printed.partition("A mistake in numpy:\n\n")
    assert re.search(r"^WRONG  df\[\d+, \d+\]/dx\[\d+, \d+\] ", numpy, re.MULTILINE)
    assert "Without it, all derivatives agree." in numpy


@pytest.mark.slow
def test_check_your_gradient_speaks_around_its_reports() -> None:
    command = [sys.executable, "demos/check_your_gradient.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    chinese = subprocess.run([*command, "--lang", "zh"], cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    assert not CHINESE.search(done.stdout)
    pairs = list(zip(done.stdout.splitlines(), chinese.stdout.splitlines(), strict=True))
    told = [other for one, other in pairs if other != one]  # the reports are the same
    ours = r"^The (?:wrong|right) derivative|^A mistake in|^Without it|is not installed"
    assert len(told) == len(re.findall(ours, done.stdout, re.MULTILINE)) >= 5
    assert all(CHINESE.search(line) for line in told)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "name", ["even_odd", *(pytest.param(name, marks=pytest.mark.slow) for name in ("digits", "moons"))]
)
def test_compiled_training_ends_where_eager_training_does(name: str, tmp_path: Path) -> None:
    output = run_here(name, tmp_path, 5, 0, "--compiled")
    found = re.search(r"^\d+\.\d times as fast.* differ by at most (\S+)$", output, re.MULTILINE)
    assert found, output
    assert float(found[1]) < 1e-12


def test_a_chip_reads_what_the_engine_reads(tmp_path: Path) -> None:
    output = run_here("on_a_chip", tmp_path, steps=30)
    assert loss("final", output) < 0.7 * loss("first", output)
    text = (tmp_path / "digits.c").read_text("utf-8")
    assert text.count("digits_weights[2410]") == 1
    if not shutil.which("cc"):
        assert "there is no C compiler" in output
        return
    (accuracy,) = accuracies(output)
    assert accuracy > 60
    assert re.search(
        r"^answers like the engine's: 360 of 360; logits differ by at most \d\.\de-0[67]$", output, re.MULTILINE
    )
    found = {name: int(n.replace(",", "")) for name, n in re.findall(r"^(\w+): ([\d,]+) bytes", output, re.MULTILINE)}
    weights = 4 * 2410
    assert 0 < found["code"] < weights  # the code is loops: written out, it would have a line for each weight
    assert weights <= found["constants"] < 1.02 * weights
    assert 0 < found["stack"] < weights  # no copy of the weights is made
    assert found["memory"] == 4 * (64 + 32 + 10 + 32 + 10)  # pixels, biases, hidden neurons, logits


def microgpt(out: Path, steps: int, stage: int, *more: str) -> tuple[str, dict[str, list[list[float]]]]:
    """Return what a stage prints, and its weights."""
    file = out / f"{stage}.json"
    output = run_here("microgpt", out, steps, 42, "--stage", str(stage), "--weights", str(file), *more)
    return output, json.loads(file.read_text("utf-8"))


def invented(output: str) -> list[str]:
    return re.split(r"\d+ new names?:\n", output)[1].partition("\nwrote")[0].split("\n")


@pytest.mark.parametrize(
    "stage",
    [*(pytest.param(stage, marks=pytest.mark.slow) for stage in (1, 2)), pytest.param(3, marks=pytest.mark.thorough)],
)
def test_a_stage_of_microgpt_takes_the_steps_of_the_original(stage: int, tmp_path: Path) -> None:
    output, weights = microgpt(tmp_path, 20, stage)
    # The original's after 20 steps, seed 42: its loss at the last step, some weights and the first names.
    assert list(weights) == ["wte", "wpe", "lm_head", "wq", "wk", "wv", "wo", "fc1", "fc2"]
    assert [(len(rows), len(rows[0])) for rows in weights.values()] == [
        (27, 16), (16, 16), (27, 16), (16, 16), (16, 16), (16, 16), (16, 16), (64, 16), (16, 64)
    ]  # fmt: skip
    assert weights["wte"][0][0] == pytest.approx(-0.05329611715041706, abs=1e-12)
    assert weights["fc2"][-1][-1] == pytest.approx(-0.019628743164260953, abs=1e-12)
    assert loss("first", output) == 3.365967
    assert len(invented(output)) == 20
    assert invented(output)[:8] == ["orhx", "pdi", "zoqnadn", "kdri", "zueiia", "oas", "hry", "qdi"]


@pytest.mark.thorough
def test_the_stages_of_microgpt_take_the_same_steps(tmp_path: Path) -> None:
    output = run_here("microgpt", tmp_path, 2, 42, "--samples", "1", "--stage", "1", "2", "3")
    found = re.findall(r"^weights of stages (\d) and (\d) differ by at most (\S+)$", output, re.MULTILINE)
    assert [stages for *stages, _ in found] == [["1", "2"], ["2", "3"]]
    assert all(float(apart) < 1e-12 for *_, apart in found)


@pytest.mark.slow
def test_microgpt_compares_the_stages_that_are_asked_for_and_averages_batches(tmp_path: Path) -> None:
    arguments = ["--batch", "3", "--samples", "2", "--stage", "2", "3"]
    output = run_here("microgpt", tmp_path, 4, 42, *arguments)
    assert re.findall(r"^stage: (\d)$", output, re.MULTILINE) == ["2", "3"]
    found = re.search(r"^weights of stages 2 and 3 differ by at most (\S+)$", output, re.MULTILINE)
    assert found, output
    assert float(found[1]) < 1e-12
    assert len(invented(output)) == 2
    assert re.findall(r"^4 steps in \d+\.\d+ s(.*)$", output, re.MULTILINE) == [
        "",
        ", recording and compiling included",
    ]
    assert loss("first", output) == 3.324833  # the mean of three names, not the first one's


@pytest.mark.parametrize(
    "wrong",
    [["--batch", "0"], ["--samples", "-1"], ["--stage", "4"], ["--weights", "no/such/place"], ["--weights", "demos"]],
)
def test_microgpt_refuses_what_it_cannot_do(wrong: list[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as refused:
        run_here("microgpt", tmp_path, 1, 42, *wrong)
    assert refused.value.code == 2


@pytest.mark.parametrize("command", [["microgpt"], ["moons", "--compiled"]])
def test_a_demo_says_at_once_what_to_install(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    name, *more = command
    with pytest.raises(SystemExit, match=r"^this needs llvmlite: python -m pip install -e '\.\[native\]'$"):
        run_here(name, tmp_path, 10**9, 0, *more)


def test_the_bar_of_microgpt_has_the_mean_of_recent_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "demos")
    microgpt = importlib.import_module("microgpt")
    latest: list[str] = []
    taken: list[int] = []
    bar = SimpleNamespace(set_postfix=lambda loss, refresh: latest.append(loss), update=taken.append)
    monkeypatch.setattr("tqdm.tqdm", lambda **_: nullcontext(bar))
    with microgpt.progress_bar(54) as show:
        show([100.0])
        show([7.0] * 3)
        show([1.0] * 47 + [2.0] * 3)
    assert latest == ["100.000", "30.250", "1.060"]
    assert taken == [1, 3, 50]


@pytest.mark.slow
def test_microgpt_invents_the_names_of_the_original(tmp_path: Path) -> None:
    output, _ = microgpt(tmp_path, 1000, 3)
    names = ["kamon", "ann", "karai", "jaire", "vialan", "karia", "yeran", "anna", "areli", "kaina"]
    assert invented(output)[:10] == names


def benchmark(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"}
    command = [sys.executable, "demos/benchmark.py", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.thorough
def test_the_benchmark_measures_the_tables_that_are_named(
    measuring: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "--list"])
    measuring["main"]()
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert {"moons", "attention", "operation", "import"} <= set(names)
    heading, *tables = json.loads(benchmark("import", "--json").stdout)
    assert heading == "heading"
    assert tables == ["Import, beyond starting the interpreter"]
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "import", "atention"])
    with pytest.raises(SystemExit) as refused:
        measuring["main"]()
    assert refused.value.code == 2
    assert f"no table 'atention'; the tables are {', '.join(names)}" in capsys.readouterr().err


def test_the_benchmark_measures_what_there_is() -> None:
    code = "import sys, runpy; sys.modules['llvmlite'] = None; sys.argv[0] = 'demos/benchmark.py'\n"
    code += "sys.path.insert(0, 'demos'); runpy.run_path(sys.argv[0], run_name='__main__')"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"}
    command = [sys.executable, "-c", code, "compile", "sparse"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout.count("\nnot measured: it needs llvmlite\n") == 2, done.stderr


@pytest.mark.slow
def test_the_benchmark_speaks_the_readers_language(measuring: dict[str, Any]) -> None:
    assert measuring["TITLES"].keys() == measuring["TABLES"].keys()
    steps = importlib.import_module("benchmarks.training_steps")
    names = {"micrograd", "micrograd_cn", "PyTorch", "Value", "numpy", "jax", "jit", "tanh", "MLP", "GFLOP"}
    names |= {"backward", "SGD", "step", "fit"}  # code
    for words in (
        *(contender.name for contender in (*steps.MOONS, *steps.DIGITS, *steps.ATTENTION)),
        *("contender", "loss of step 5", "PyTorch eager / this", "ms, no gc", "Hessian / (n gradients)", "order 6 ms"),
        *("jax / ours", "GFLOP/s", "of the peak", "one thread ms", "compile, first step s", "batch 16, us a name"),
        *("valleys, n = 1,000", "16 tanh units, 200 steps, 64 rows", "numpy / this, batch 1", "prepared, s"),
        *(
            "multiply and add",
            "us an evaluation",
            "function ms",
            "us a node",
            "1,000 steps, s",
            "MLP(784, [128, 10]), cross entropy",
        ),
    ):
        assert set(re.findall(r"[A-Za-z_]{3,}", measuring["chinese"](words))) <= names, words
    table = ["--lang", "zh", "import"]
    lines = benchmark(*table).stdout.splitlines()
    assert "导入，启动解释器之外的时间" in lines
    heading, row = lines[-2:]
    assert heading.split() == ["模块", "解释器", "ms", "含导入", "ms", "导入", "ms"]
    wide = [len(line) + len(re.findall("[\u4e00-\u9fff]", line)) for line in (heading, row)]
    assert wide[0] == wide[1]
    assert next(iter(json.loads(benchmark(*table, "--json").stdout))) == "heading"
    assert "没有名为 'atention' 的表" in benchmark("atention", "--lang", "zh").stderr


@pytest.fixture
def measuring(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(ROOT / "demos")
    return runpy.run_path(str(ROOT / "demos/benchmark.py"), run_name="benchmark")


def test_programs_written_by_hand_compute_what_the_compiled_ones_do(measuring: dict[str, Any]) -> None:
    """This is what `demos/benchmark.py programs` asks before it measures; and each name has words in Chinese."""
    programs = importlib.import_module("benchmarks.programs.measuring")
    cases = programs.all_cases()
    by_hand = [case for case in cases if case.by_hand]
    assert len(by_hand) == 3
    for case in by_hand:
        run, _ = programs._ours(case)
        programs._check(case, run(), {"by hand": case.by_hand(case.parameters, case.data)})
        with pytest.raises(RuntimeError, match="wrong computes"):
            programs._check(case, run(), {"wrong": (run()[0], 1.001 * run()[1])})
    names = [measuring["chinese"](case.name) for case in cases]
    assert len({*names}) == len(cases) >= 30
    for name in names:
        assert {*re.findall("[A-Za-z]{2,}", name)} <= {"Adam", "SABR", "softmax"}, name


@pytest.mark.slow
def test_the_attention_models_take_the_same_steps_and_learn(measuring: dict[str, Any]) -> None:
    times, runs = importlib.import_module("benchmarks.training_times"), []
    for contender in times.ATTENTION:
        random.seed(0)
        steps = contender.prepare(*times.random_tokens())
        runs.append([steps(1) for _ in range(4)])
    first, *others = runs
    assert others
    assert all(run == pytest.approx(first, rel=1e-12) for run in others)
    assert all(later < 0.95 * earlier for earlier, later in pairwise(first))


@pytest.mark.parametrize("batch", [pytest.param(1, marks=pytest.mark.slow), 4])
@pytest.mark.parametrize(
    ("contender", "needs"),
    [pytest.param("numpy", "numpy", marks=pytest.mark.slow), ("pytorch", "torch"), ("jax_jit", "jax")],
)
def test_microgpts_contenders_take_the_same_steps(contender: str, needs: str, batch: int, measuring: Any) -> None:
    pytest.importorskip(needs)
    from benchmarks import microgpt_steps as contenders  # type: ignore[import-not-found]

    mine, theirs = (
        f(*contenders.start(20 * batch), batch)(2) for f in (contenders.ours, getattr(contenders, contender))
    )
    assert theirs == pytest.approx(mine, rel=1e-9)
    assert mine[1] < mine[0] < 3.4
    contenders.check_agreement({"ours": mine[0], contender: theirs[0]}, f"at batch {batch}")
    with pytest.raises(RuntimeError, match=rf"losses at batch {batch} must agree, got ours: .*, {contender}: "):
        contenders.check_agreement({"ours": mine[0], contender: mine[0] + 1e-4}, f"at batch {batch}")


NAMED = ["emma", "olivia", "ava", "isabella", "mia", "jo", "charlotte", "christopher", "al", "bo", "amelia", "eve"]


@pytest.fixture
def eight_lanes(measuring: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let eight names be computed side by side, and return the demo."""
    monkeypatch.setattr("micrograd_cn.compiler.llvm.machine.machine", lambda: SimpleNamespace(width=8))
    return importlib.import_module("microgpt")


def test_names_that_are_computed_side_by_side_are_filled_up_to_one_length(eight_lanes: Any) -> None:
    examples = eight_lanes.padded_examples(NAMED, 10, [7, 10, 12])
    assert [len(tokens) for tokens, *_ in examples] == [10] * 8 + [12] * 2 + [7] * 2
    for tokens, targets, loss_weights in examples:
        assert len(tokens) == len(targets) == len(loss_weights)
        assert sum(loss_weights) == pytest.approx(1.0)
    spelt = ["".join(eight_lanes.LETTERS[i] for i in tokens[1 : sum(map(bool, s))]) for tokens, _, s in examples]
    assert spelt[10:] == ["eve", "amelia"]
    assert sorted(spelt[:10]) == sorted(NAMED[:10])


def test_names_are_filled_up_to_the_lengths_that_fill_the_fewest_tokens(eight_lanes: Any) -> None:
    names = [letters * "a" for letters in (2, 2, 2, 3, 5, 5, 8, 9)]
    found = [eight_lanes.padded_lengths(names, 1, count) for count in range(1, 8)]
    assert found[0] == (10,)
    fills = [sum(min(x for x in chosen if x > len(name)) - len(name) - 1 for name in names) for chosen in found]
    for count, chosen in enumerate(found[:5], 1):
        options = [(*some, 10) for some in combinations((3, 4, 6, 9), count - 1)]
        least = min(sum(min(x for x in option if x > len(n)) - len(n) - 1 for n in names) for option in options)
        assert fills[count - 1] == least, chosen
    assert found[4:] == [(3, 4, 6, 9, 10)] * 3
    assert eight_lanes.padded_lengths(names, 8, 2) == (10,)  # one vector, and so one length


@pytest.mark.slow
def test_very_many_names_have_programs_of_several_lengths(measuring: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import microgpt  # type: ignore[import-not-found]

    def trained() -> tuple[list[float], list[float]]:
        weights, names = microgpt.initial_weights(random.Random(0)), ["emma", "charlotte", "christopher", "eve"]
        losses = microgpt.train_compiled(names, weights, 5, 2)
        return losses, [p.data for p in microgpt.flat(weights)]

    found, lengths = [trained()], []
    padded = microgpt.padded_examples
    monkeypatch.setattr(microgpt, "MANY", 10)
    monkeypatch.setattr(microgpt, "padded_examples", lambda *given: lengths.append(given[-1]) or padded(*given))
    found.append(trained())
    assert lengths == [(10, 12)]
    for one, other in zip(*found, strict=True):
        assert one == pytest.approx(other, rel=1e-9)


@pytest.mark.slow
def test_contenders_that_compute_different_things_are_not_compared(measuring: Any, monkeypatch: Any) -> None:
    times = importlib.import_module("benchmarks.training_times")
    same, other = times.ATTENTION
    other = other._replace(prepare=lambda tokens, following: lambda n: same.prepare(tokens, following)(n) + 1e-3)
    monkeypatch.setattr(times, "WARM_UP", 0.0)
    with pytest.raises(RuntimeError, match=r"losses of step 5 must agree, got tuple Value: .*, micrograd_cn.Value: "):
        times.time_contenders([same, other], times.random_tokens(), 1, {"ms": "off"})
