"""Measure the engine beside its peers, every ratio within one run: `python demos/benchmark.py [--json]`.

The tables: a training step, memory for an operation, time for a node against the size of the graph, derivatives of many
inputs and of high order, and import time.
Contenders take turns, so that a machine which slows down slows all of them; a number is the median of its turns. The
garbage collector stays on, as in anyone's training loop, but in columns that say so. A peer not installed has no row.
"""

import argparse
import gc
import json
import operator
import os
import platform
import random
import re
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any, NamedTuple

import micrograd_cn as mg
from micrograd_cn import nn
from micrograd_cn.functional import grad, hessian

Point = list[float]
Step = Callable[[], float]  # take one training step, return the loss
Row = dict[str, str | int | float | None]


class Contender(NamedTuple):
    """One way to take a training step; `prepare` returns None where it is not installed."""

    name: str
    prepare: Callable[[Sequence[Point], Sequence[int]], Step | None]


# One step of micrograd's moons demo: 100 points, MLP(2, [16, 16, 1]), hinge loss, L2 penalty, update.


def _micrograd_step(model: Any, value: Callable[[float], Any], points: Sequence[Point], targets: Sequence[int]) -> Step:
    """Return the step as micrograd's demo writes it: inputs wrapped, Python's sum."""

    def step() -> float:
        scores = [model(list(map(value, point))) for point in points]
        losses = [(1 + -y * score).relu() for y, score in zip(targets, scores, strict=True)]
        loss = sum(losses) * (1.0 / len(losses)) + 1e-4 * sum(p * p for p in model.parameters())
        model.zero_grad()
        loss.backward()
        for p in model.parameters():
            p.data -= 0.1 * p.grad
        return float(loss.data)

    return step


def micrograd(points: Sequence[Point], targets: Sequence[int]) -> Step | None:
    if not find_spec("micrograd"):
        return None
    model = import_module("micrograd.nn").MLP(2, [16, 16, 1])
    return _micrograd_step(model, import_module("micrograd.engine").Value, points, targets)


def micrograd_over_our_value(points: Sequence[Point], targets: Sequence[int]) -> Step | None:
    """Run micrograd's own neurons, with the one import changed."""
    if not find_spec("micrograd"):
        return None
    source = Path(str(import_module("micrograd.nn").__file__)).read_text()
    module = ModuleType("micrograd_nn_over_micrograd_cn")
    exec(source.replace("micrograd.engine", "micrograd_cn.engine"), module.__dict__)
    return _micrograd_step(module.MLP(2, [16, 16, 1]), mg.Value, points, targets)


def ours(points: Sequence[Point], targets: Sequence[int]) -> Step:
    model = nn.MLP(2, [16, 16, 1])
    parameters = model.parameters()

    def step() -> float:
        hinge = mg.mean([mg.relu(1 - y * model(point)) for point, y in zip(points, targets, strict=True)])
        loss = hinge + 1e-4 * mg.sum([p * p for p in parameters])
        model.zero_grad()
        loss.backward()
        for p in parameters:
            p.data -= 0.1 * p.grad
        return float(loss.data)

    return step


CONTENDERS = [
    Contender("micrograd", micrograd),
    Contender("micrograd.nn over micrograd_cn.Value", micrograd_over_our_value),
    Contender("micrograd_cn.nn", ours),
]


def training_step(turns: int = 5, steps_a_turn: int = 4) -> list[Row]:
    """Time steps in a row, as a training loop takes them: each cleans up after the one before, if it leaves cycles."""
    generator = random.Random(0)
    points = [[generator.uniform(-1, 1), generator.uniform(-1, 1)] for _ in range(100)]
    targets = [generator.choice([-1, 1]) for _ in points]
    steps: dict[str, Step] = {}
    for contender in CONTENDERS:
        random.seed(0)  # the same initial weights, so that the losses agree
        if step := contender.prepare(points, targets):
            steps[contender.name] = step
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    losses: dict[str, float] = {}
    for _ in range(turns):
        for name, step in steps.items():
            gc.collect()  # nobody pays for another contender's garbage
            step()
            start = time.perf_counter()
            for _ in range(steps_a_turn):
                losses[name] = step()
            seconds[name].append((time.perf_counter() - start) / steps_a_turn)
    reference = median(seconds["micrograd"]) if "micrograd" in seconds else None
    return [
        {
            "contender": name,
            "ms": 1e3 * median(times),
            "times as fast": reference and reference / median(times),
            f"loss after {turns * (steps_a_turn + 1)} steps": losses[name],
        }
        for name, times in seconds.items()
    ]


def bytes_per_operation(n: int = 100_000) -> list[Row]:
    operations = {"a + b": operator.add, "a * b": operator.mul, "a / b": operator.truediv}
    kinds: dict[str, Callable[[float], Any]] = {"micrograd_cn": mg.Value}
    if find_spec("micrograd"):
        kinds["micrograd"] = import_module("micrograd.engine").Value
    rows: list[Row] = [{"operation": name} for name in operations]
    for row, operation in zip(rows, operations.values(), strict=True):
        for kind, value in kinds.items():
            x, w = value(1.0), value(1.0)
            gc.collect()
            tracemalloc.start()
            for _ in range(n):
                x = operation(x, w)
            row[kind] = tracemalloc.get_traced_memory()[0] / n
            tracemalloc.stop()
    return rows


def time_per_node() -> list[Row]:
    """Measure chains of products, with the garbage collector on, then off to show its share."""
    rows: list[Row] = []
    for n in (100, 1_000, 10_000, 100_000, 1_000_000):
        row: Row = {"nodes": n}
        for collector, switch in (("", gc.enable), (", no gc", gc.disable)):
            switch()
            phases = zip(*(_chain(n) for _ in range(max(3, 100_000 // n))), strict=True)
            for name, nanoseconds in zip(("forward", "backward", "free"), phases, strict=True):
                row[f"{name} ns{collector}"] = median(nanoseconds)
        gc.enable()
        rows.append(row)
    return rows


def _chain(n: int) -> list[float]:
    """Return the nanoseconds that each of n nodes takes: forward, backward, to be freed."""
    x, w = mg.Value(1.0), mg.Value(1.0)
    clock = [time.perf_counter()]
    for _ in range(n):
        x = x * w
    clock.append(time.perf_counter())
    x.backward()
    clock.append(time.perf_counter())
    x = w
    clock.append(time.perf_counter())
    return [1e9 * (end - start) / n for start, end in pairwise(clock)]


def _median_ms(f: Callable[[], object], turns: int = 9) -> float:
    seconds = []
    for _ in range(turns):
        start = time.perf_counter()
        f()
        seconds.append(time.perf_counter() - start)
    return 1e3 * median(seconds)


def _valleys(v: Sequence[Any]) -> Any:
    """Return Rosenbrock's function of many inputs."""
    return mg.sum([(1 - x) ** 2 + 100 * (y - x * x) ** 2 for x, y in pairwise(v)])


def derivatives_of_many_inputs() -> list[Row]:
    rows: list[Row] = []
    for n in (4, 16, 64):
        v = [0.1 * i - 1 for i in range(n)]
        recorded = _median_ms(lambda v=v: _valleys([mg.Value(x) for x in v]))  # type: ignore[misc]
        gradient = _median_ms(lambda v=v: grad(_valleys)(v))  # type: ignore[misc]
        matrix = _median_ms(lambda v=v: hessian(_valleys)(v), 3)  # type: ignore[misc]
        row: Row = {"inputs": n, "function ms": recorded, "gradient ms": gradient, "Hessian ms": matrix}
        rows.append(
            row | {"gradient / function": gradient / recorded, "Hessian / (n gradients)": matrix / gradient / n}
        )
    return rows


def sixth_derivatives() -> list[Row]:
    functions: dict[str, Callable[[Any], Any]] = {
        "tanh": mg.tanh,
        "sin": mg.sin,
        "exp": mg.exp,
        "1/(1+x**2)": lambda x: 1 / (1 + x**2),
    }
    rows: list[Row] = []
    for name, f in functions.items():
        row: Row = {"function": name}
        for order in range(1, 7):
            f = grad(f)
            row[f"order {order} ms"] = _median_ms(lambda f=f: f(0.5))  # type: ignore[misc]
        rows.append(row)
    return rows


def import_time(turns: int = 15) -> list[Row]:
    seconds: dict[str, list[float]] = {"pass": [], "import micrograd_cn": []}
    environment = os.environ | {"PYTHONPATH": str(Path(mg.__file__).parents[1])}
    for _ in range(turns):
        for code, times in seconds.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True, env=environment)
            times.append(time.perf_counter() - start)
    bare, ours = (1e3 * median(times) for times in seconds.values())
    return [{"module": "micrograd_cn", "interpreter ms": bare, "with import ms": ours, "import ms": ours - bare}]


TABLES: dict[str, Callable[[], list[Row]]] = {
    "One training step of the moons demo": training_step,
    "Bytes for one operation, in a graph of 100,000": bytes_per_operation,
    "A chain of products, for each node": time_per_node,
    "Derivatives of Rosenbrock's function of n inputs": derivatives_of_many_inputs,
    "Higher derivatives at a point": sixth_derivatives,
    "Import, beyond starting the interpreter": import_time,
}


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def heading() -> dict[str, str]:
    cpu = Path("/proc/cpuinfo")  # where Linux says it; platform.processor() is empty there
    models = re.findall(r"model name\s*: (.*)", cpu.read_text() if cpu.exists() else "")
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": platform.platform(),
        "processor": f"{os.cpu_count()} x {models[0] if models else platform.processor() or platform.machine()}",
        "micrograd_cn": mg.__version__,
        "micrograd": _installed("micrograd"),
    }


def layout(rows: list[Row]) -> Iterator[str]:
    """Yield the lines of a table: text to the left, numbers to the right."""
    cells = [list(rows[0]), *([_cell(x) for x in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        first, *rest = (text.rjust(width) for text, width in zip(line, widths, strict=True))
        yield "  ".join([first.strip().ljust(widths[0]), *rest])


def _cell(x: str | int | float | None) -> str:
    if isinstance(x, float):
        return f"{x:,.1f}" if x >= 1 or x == 0 else f"{x:.6f}"
    return "-" if x is None else f"{x:,}" if isinstance(x, int) else x


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print the same as JSON")
    if parser.parse_args().json:
        print(json.dumps({"heading": heading()} | {name: measure() for name, measure in TABLES.items()}, indent=2))
        return
    for name, text in heading().items():
        print(f"{name:12}  {text}")
    for name, measure in TABLES.items():
        print(f"\n{name}", *layout(measure()), sep="\n", flush=True)


if __name__ == "__main__":
    main()
