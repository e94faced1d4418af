"""Time the steps of `training_steps.py`, with and without Python's garbage collector, and beside the machine's peak."""

import gc
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.timing import Row, check_agreement
from benchmarks.training_steps import (
    ATTENTION,
    DIGITS,
    MOONS,
    POSITIONS,
    TOKENS,
    Contender,
    Steps,
    micrograd_over_our_value,
    moons_program,
    ours,
)

WARM_UP = 0.5  # seconds that each contender runs before it is timed, so a program that is compiled in use is compiled
UNITS = {"us": 1e6, "ms": 1e3}  # how many of them a second has


def moons_step(turns: int = 5) -> list[Row]:
    """Time a training step of micrograd's moons demo, but on 100 random points."""
    rows = time_contenders(MOONS, random_points(), turns, {"us": "frozen"})
    return with_ratios(rows, "us", "micrograd", "PyTorch eager", "jax.jit")


def digits_step(turns: int = 5) -> list[Row]:
    """Time a step on 128 images of random pixels."""
    generator = random.Random(0)
    images = [[generator.random() for _ in range(64)] for _ in range(128)]
    targets = [generator.randrange(10) for _ in images]
    rows = time_contenders(DIGITS, (images, targets), turns, {"us": "frozen"})
    return with_ratios(rows, "us", "PyTorch eager", "jax.jit")


def attention_step(turns: int = 5) -> list[Row]:
    """Time the attention model; each contender runs in a process of its own, as a script does.

    In a common process the garbage collector would also pass through the objects of the other contenders.
    """
    columns = {"ms": "enable", "ms, no gc": "disable"}
    rows: list[Row] = [{"contender": contender.name} for contender in ATTENTION]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, [Path(__file__).parents[1], *sys.path]))}
    for column, collector in columns.items():
        found: dict[str, list[tuple[float, float]]] = {contender.name: [] for contender in ATTENTION}
        for _ in range(turns):
            for name, measured in found.items():
                call = f"attention_alone({name!r}, {collector!r})"
                command = [sys.executable, "-c", f"from benchmarks.training_times import attention_alone; {call}"]
                run = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE)
                milliseconds, loss = map(float, run.stdout.split())
                measured.append((milliseconds, loss))
        check_agreement({name: measured[-1][1] for name, measured in found.items()}, "of the last step")
        for row, measured in zip(rows, found.values(), strict=True):
            row[column] = median(milliseconds for milliseconds, _ in measured)
    for column in columns:
        with_ratios(rows, column, "tuple Value")
    return rows


def attention_alone(name: str, collector: str, steps: int = 6) -> None:
    """Print the milliseconds of a step of one contender, and its last loss.

    Args:
        name: the contender's name.
        collector: the function of `gc` that is called first, "enable" or "disable".
        steps: how many steps are timed.
    """
    getattr(gc, collector)()
    [contender] = [contender for contender in ATTENTION if contender.name == name]
    random.seed(0)
    train = contender.prepare(*random_tokens())
    assert train
    train(2)
    start = time.perf_counter()
    loss = train(steps)
    print(1e3 * (time.perf_counter() - start) / steps, loss)


def collector_cost(turns: int = 5) -> list[Row]:
    """Time our eager steps with the garbage collector on, after gc.freeze(), and with the collector off.

    gc.freeze() exempts the objects that exist already from collection.
    """
    columns = {"ms": "on", "ms, gc.freeze()": "frozen", "ms, no gc": "off"}
    moons = [contender for contender in MOONS if contender.prepare in (micrograd_over_our_value, ours)]
    rows: list[Row] = []
    for step, contenders, data in ("moons", moons, random_points()), ("attention", ATTENTION[-1:], random_tokens()):
        for row in time_contenders(contenders, data, turns, columns):
            named: Row = {"step": f"{step}, {row['contender']}"}
            rows.append(named | {column: row[column] for column in columns})
    return rows


def random_points() -> tuple[list[list[float]], list[int]]:
    """Return a hundred random points of a square, and a random class for each, -1 or 1."""
    generator = random.Random(0)
    places = [[generator.uniform(-1, 1), generator.uniform(-1, 1)] for _ in range(100)]
    return places, [generator.choice([-1, 1]) for _ in places]


def random_tokens() -> tuple[list[int], list[int]]:
    """Return random tokens, and for each the token that follows it."""
    generator = random.Random(0)
    text = [generator.randrange(TOKENS) for _ in range(POSITIONS + 1)]
    return text[:-1], text[1:]


def time_contenders(
    contenders: Sequence[Contender], data: tuple[Any, Sequence[int]], turns: int, columns: dict[str, str]
) -> list[Row]:
    """Return a row for each contender that is installed, with the median time of a step in each column.

    Args:
        contenders: the contenders, which take turns.
        data: the inputs and the targets.
        turns: how many times each contender is timed in each column.
        columns: the headings, which begin with a unit of time, and the setting of the garbage collector for each.
    """
    prepared: dict[Contender, Steps] = {}
    losses: dict[Contender, float] = {}
    for contender in contenders:
        random.seed(0)  # all contenders start from the same weights, so their losses agree
        if steps := contender.prepare(*data):
            prepared[contender] = steps
            losses[contender] = steps(5)
            start = time.perf_counter()
            while time.perf_counter() - start < WARM_UP:
                steps(contender.steps_a_turn)
    check_agreement({contender.name: loss for contender, loss in losses.items()}, "of step 5")
    times: dict[Contender, dict[str, list[float]]] = {c: {column: [] for column in columns} for c in prepared}
    for _ in range(turns):
        for contender, steps in prepared.items():
            for column, collector in columns.items():
                set_collector(collector)
                steps(1)
                start = time.perf_counter()
                steps(contender.steps_a_turn)
                seconds = (time.perf_counter() - start) / contender.steps_a_turn
                times[contender][column].append(seconds * UNITS[column[:2]])
    set_collector("on")
    rows: list[Row] = []
    for contender in prepared:
        row: Row = {"contender": contender.name}
        row |= {column: median(times[contender][column]) for column in columns}
        rows.append(row | {"loss of step 5": losses[contender]})
    return rows


def set_collector(setting: str) -> None:
    """Switch Python's garbage collector on or off; `setting` is "on", "off" or "frozen".

    If it is "frozen", the collector is on, but skips all objects that exist now, among them the modules of the other
    contenders.
    """
    gc.enable()
    gc.unfreeze()
    gc.collect()  # otherwise this contender would pay for the garbage of the one before it
    if setting == "frozen":
        gc.freeze()
        gc.collect()  # how soon the next full collection comes depends on how many objects this one leaves
    elif setting == "off":
        gc.disable()


def with_ratios(rows: list[Row], column: str, *peers: str) -> list[Row]:
    """Return the rows with a ratio for each peer: the time of the peer in `column`, divided by that of the row."""
    times = {str(row["contender"]): float(row[column]) for row in rows}  # type: ignore[arg-type]
    for row in rows:
        for peer in peers:
            ratio = times[peer] / times[str(row["contender"])] if peer in times else None
            row[f"{peer} / this{column[2:]}"] = ratio
    return rows


# How near the compiled step comes to the most that the processor can do.

# Products for one point: forward, for the gradients of the weights, and for the gradients of the hidden neurons.
PRODUCTS = (2 * 16 + 16 * 16 + 16) * 2 + (16 * 16 + 16)


def share_of_peak(turns: int = 9) -> list[Row]:
    """Measure the compiled moons step beside a loop that only multiplies and adds numbers in registers."""
    if not find_spec("llvmlite"):
        return []
    from benchmarks.peak import at_the_peak

    at_peak, operations = at_the_peak()
    points, targets = random_points()
    random.seed(0)
    program, rows, optimizer = moons_program(points, targets)
    program.fit(rows, optimizer, 20_000)
    peaks, rates = [], []
    for _ in range(turns):
        start = time.perf_counter()
        at_peak(2)
        peaks.append(2e-9 * operations / (time.perf_counter() - start))
        start = time.perf_counter()
        program.fit(rows, optimizer, 20_000)
        rates.append(2e-9 * PRODUCTS * len(points) * 20_000 / (time.perf_counter() - start))
    share = median(rate / top for rate, top in zip(rates, peaks, strict=True))
    return [{"work": "moons step", "peak GFLOP/s": median(peaks), "step GFLOP/s": median(rates), "share": share}]
