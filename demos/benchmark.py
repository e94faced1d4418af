"""Measure the engine beside its peers, every ratio within one run: `python demos/benchmark.py [table ...] [--json]`.

The tables, which `--list` names: a training step of two demos, and of an attention model written without a library;
what the garbage collector costs; one operation; the share of the processor's peak; compiled networks of many shapes,
microgpt, a recurrent network, functions, threads; memory for an operation, time for a node against the size of the
graph, derivatives of many inputs and of high order, sparse ones, compile time, import time, and which
mistakes in backward passes are found by whom.
Contenders take turns, so that a machine which slows down slows all of them; a number is the median of its turns. All
run on one core. The garbage collector stays on, as in anyone's training loop, but in columns that say so. A peer not
installed has no row. Tables are in the reader's language (`--lang`), what `--json` gives in English.
"""

import argparse
import gc
import json
import math
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
from timeit import Timer
from typing import Any

import micrograd_cn as mg
from benchmarks.compiled_programs import first_step, functions, networks, recurrent, threads
from benchmarks.gradient_checks import table as checks
from benchmarks.microgpt_steps import table as microgpt
from benchmarks.sparse_derivatives import table as sparse_derivatives
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
from benchmarks.words import TITLES, chinese
from micrograd_cn.functional import grad, hessian
from shared.language import add_language_option, align_right, set_language_from_arguments, text, text_width

WARM = 0.5  # seconds that each contender runs before it is timed: until then, what is compiled as it runs may not be
UNITS = {"us": 1e6, "ms": 1e3}  # a second in them

Row = dict[str, str | int | float | None]


def moons_step(turns: int = 5) -> list[Row]:
    rows = _turns(MOONS, _points(), turns, {"us": "frozen"})
    return _compared(rows, "us", "micrograd", "PyTorch eager", "jax.jit")


def digits_step(turns: int = 5) -> list[Row]:
    generator = random.Random(0)
    images = [[generator.random() for _ in range(64)] for _ in range(128)]
    targets = [generator.randrange(10) for _ in images]
    rows = _turns(DIGITS, (images, targets), turns, {"us": "frozen"})
    return _compared(rows, "us", "PyTorch eager", "jax.jit")


def attention_step(turns: int = 5) -> list[Row]:
    """Measure each contender in processes of its own, as scripts are: the collector passes through all that lives."""
    columns = {"ms": "enable", "ms, no gc": "disable"}
    rows: list[Row] = [{"contender": contender.name} for contender in ATTENTION]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, [Path(__file__).parent, *sys.path]))}
    for column, collector in columns.items():
        found: dict[str, list[tuple[float, float]]] = {contender.name: [] for contender in ATTENTION}
        for _ in range(turns):
            for name, measured in found.items():
                code = f"import benchmark; benchmark.attention_alone({name!r}, {collector!r})"
                run = subprocess.run([sys.executable, "-c", code], check=True, env=environment, stdout=subprocess.PIPE)
                milliseconds, loss = map(float, run.stdout.split())
                measured.append((milliseconds, loss))
        _check_agreement({contender: found[contender.name][-1][1] for contender in ATTENTION}, "the last step")
        for row, measured in zip(rows, found.values(), strict=True):
            row[column] = median(milliseconds for milliseconds, _ in measured)
    for column in columns:
        _compared(rows, column, "tuple Value")
    return rows


def attention_alone(name: str, collector: str, steps: int = 6) -> None:
    """Print the milliseconds of a step of one contender, and its last loss."""
    getattr(gc, collector)()
    [contender] = [contender for contender in ATTENTION if contender.name == name]
    random.seed(0)
    train = contender.prepare(*_text())
    assert train
    train(2)
    start = time.perf_counter()
    loss = train(steps)
    print(1e3 * (time.perf_counter() - start) / steps, loss)


def collector_cost(turns: int = 5) -> list[Row]:
    """Measure our steps with the collector as it is, after gc.freeze(), which exempts what was there, and off."""
    columns = {"ms": "on", "ms, gc.freeze()": "frozen", "ms, no gc": "off"}
    moons = [contender for contender in MOONS if contender.prepare in (micrograd_over_our_value, ours)]
    rows: list[Row] = []
    for step, contenders, data in ("moons", moons, _points()), ("attention", ATTENTION[-1:], _text()):
        for row in _turns(contenders, data, turns, columns):
            named: Row = {"step": f"{step}, {row['contender']}"}
            rows.append(named | {column: row[column] for column in columns})
    return rows


def _points() -> tuple[list[list[float]], list[int]]:
    """Return a hundred points in a square, as many as the moons have, and their classes."""
    generator = random.Random(0)
    points = [[generator.uniform(-1, 1), generator.uniform(-1, 1)] for _ in range(100)]
    return points, [generator.choice([-1, 1]) for _ in points]


def _text() -> tuple[list[int], list[int]]:
    """Return tokens, and the token that follows each."""
    generator = random.Random(0)
    text = [generator.randrange(TOKENS) for _ in range(POSITIONS + 1)]
    return text[:-1], text[1:]


def _turns(
    contenders: Sequence[Contender], data: tuple[Any, Sequence[int]], turns: int, columns: dict[str, str]
) -> list[Row]:
    """Time the contenders in turns; a column is a unit of time, and how the garbage collector is set meanwhile."""
    prepared: dict[Contender, Steps] = {}
    losses: dict[Contender, float] = {}
    for contender in contenders:
        random.seed(0)  # the same initial weights, so that the losses agree
        if steps := contender.prepare(*data):
            prepared[contender] = steps
            losses[contender] = steps(5)
            start = time.perf_counter()
            while time.perf_counter() - start < WARM:
                steps(contender.steps_a_turn)
    _check_agreement(losses)
    times: dict[Contender, dict[str, list[float]]] = {c: {column: [] for column in columns} for c in prepared}
    for _ in range(turns):
        for contender, steps in prepared.items():
            for column, collector in columns.items():
                _set_collector(collector)
                steps(1)
                start = time.perf_counter()
                steps(contender.steps_a_turn)
                seconds = (time.perf_counter() - start) / contender.steps_a_turn
                times[contender][column].append(seconds * UNITS[column[:2]])
    _set_collector("on")
    rows: list[Row] = []
    for contender in prepared:
        row: Row = {"contender": contender.name}
        row |= {column: median(times[contender][column]) for column in columns}
        rows.append(row | {"loss of step 5": losses[contender]})
    return rows


def _check_agreement(losses: dict[Contender, float], step: str = "step 5") -> None:
    """Refuse to compare contenders that compute different things."""
    first = next(iter(losses.values()), 0.0)
    if not all(math.isclose(loss, first, rel_tol=1e-6) for loss in losses.values()):
        shown = ", ".join(f"{contender.name}: {loss}" for contender, loss in losses.items())
        raise RuntimeError(f"the contenders' losses of {step} must agree, got {shown}")


def _set_collector(setting: str) -> None:
    """Set the garbage collector "on", "off", or "frozen": on, but for what there is now, the modules of others too."""
    gc.enable()
    gc.unfreeze()
    gc.collect()  # nobody pays for another contender's garbage
    if setting == "frozen":
        gc.freeze()
        gc.collect()  # how often it passes through everything depends on how much the last time left
    elif setting == "off":
        gc.disable()


def _compared(rows: list[Row], column: str, *peers: str) -> list[Row]:
    """Add how many times as long each peer takes."""
    times = {str(row["contender"]): float(row[column]) for row in rows}  # type: ignore[arg-type]
    for row in rows:
        for peer in peers:
            ratio = times[peer] / times[str(row["contender"])] if peer in times else None
            row[f"{peer} / this{column[2:]}"] = ratio
    return rows


# What one operation costs, recorded and let go at once: no graph grows, and the collector has nothing to do.

BINARY = ("+", "-", "*", "/", "**")
OPERANDS = {"Value, Value": "x {} w", "Value, float": "x {} c", "float, Value": "c {} x", "Value, int": "x {} 2"}
UNARY = ("-x", "x.relu()", "x.exp()", "x.log()", "x.tanh()", "x.sigmoid()")


def one_operation(turns: int = 15, loops: int = 100, inlined: int = 100) -> list[Row]:
    """Measure expressions written many times in the body of a loop, so that the loop itself takes no part."""
    texts = [form.format(symbol) for symbol in BINARY for form in OPERANDS.values()] + list(UNARY)
    body = {text: "\n".join([text] * inlined) for text in texts}
    names = {"value": mg.Value}
    timers = {text: Timer(body[text], "x, w, c = value(1.5), value(0.5), 0.75", globals=names) for text in texts}
    times: dict[str, list[float]] = {text: [] for text in texts}
    for _ in range(turns):
        for expression, timer in timers.items():
            times[expression].append(1e9 * timer.timeit(loops) / loops / inlined)
    rows: list[Row] = []
    for symbol in BINARY:
        row: Row = {"operation": symbol}
        row |= {f"{kind} ns": median(times[form.format(symbol)]) for kind, form in OPERANDS.items()}
        both, mixed = (median(times[form.format(symbol)]) for form in list(OPERANDS.values())[:2])
        rows.append(row | {"float / Value": mixed / both})
    columns = list(rows[0])[1:]
    for expression in UNARY:
        row = {"operation": expression, columns[0]: median(times[expression])}
        rows.append(row | dict.fromkeys(columns[1:]))
    return rows


# How near the compiled step comes to what the machine can do.

PRODUCTS = (2 * 16 + 16 * 16 + 16) * 2 + (16 * 16 + 16)  # of a point: forward, weights' gradients, neurons' gradients


def share_of_peak(turns: int = 9) -> list[Row]:
    """Measure the step beside a loop of nothing but multiplications and additions in registers."""
    if not find_spec("llvmlite"):
        return []
    from benchmarks.peak import at_the_peak

    at_peak, operations = at_the_peak()
    points, targets = _points()
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


def bytes_per_operation(n: int = 100_000) -> list[Row]:
    operations = {"a + b": operator.add, "a * b": operator.mul, "a / b": operator.truediv}
    kinds: dict[str, Callable[[float], Any]] = {"micrograd_cn": mg.Value}
    if find_spec("micrograd"):
        kinds["micrograd"] = import_module("micrograd.engine").Value
    rows: list[Row] = [{"operation": name} for name in operations]
    for row, operation in zip(rows, operations.values(), strict=True):
        for kind, value in kinds.items():
            row[kind] = _bytes(operation, value, n)
    return rows


def _bytes(operation: Callable[[Any, Any], Any], value: Callable[[float], Any], n: int) -> float:
    """Return the bytes that each of n operations in a row keeps."""
    x, w = value(1.0), value(1.0)
    gc.collect()
    tracemalloc.start()
    for _ in range(n):
        x = operation(x, w)
    kept = tracemalloc.get_traced_memory()[0] / n
    tracemalloc.stop()
    return kept


def cost_per_node() -> list[Row]:
    """Measure chains of products: bytes; and time, with the garbage collector on, then off to show its share."""
    rows: list[Row] = []
    for n in (100, 1_000, 10_000, 100_000, 1_000_000):
        row: Row = {"nodes": n, "bytes": _bytes(operator.mul, mg.Value, n)}
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


# The next node of a chain, from the last one, a parameter and a number.
CHAINS: dict[str, Callable[[Any, Any, int], Any]] = {
    "sin(y), y * w": lambda y, w, i: mg.sin(y) if i % 2 else y * w,
    "relu(y * w)": lambda y, w, i: mg.relu(y) if i % 2 else y * w,
    "gelu(y)": lambda y, w, i: mg.gelu(y),
    "atan2(y, w)": lambda y, w, i: mg.atan2(y, w),
    "y ** w": lambda y, w, i: y**w,
    "maximum(y, i)": lambda y, w, i: mg.maximum(y, 1e-6 * i),
    "elu(y, i)": lambda y, w, i: mg.elu(y, 1.0 + 1e-6 * i),
    "dot([y, w], [w, y], w)": lambda y, w, i: mg.dot([y, w], [w, y], w),
    "logsumexp([y, w, 1])": lambda y, w, i: mg.logsumexp([y, w, 1]),
}
# One operation of many leaves.
WIDE: dict[str, Callable[[list[Any]], Any]] = {
    "sum(ws)": mg.sum,
    "dot(ws, ws)": lambda ws: mg.dot(ws, ws),
    "logsumexp(ws)": mg.logsumexp,
}


def compile_time() -> list[Row]:
    """Measure graphs of many nodes, from the recorded graph to the first gradient."""
    if not find_spec("llvmlite"):
        return []
    from micrograd_cn.compiler import compile  # noqa: A004

    rows: list[Row] = []

    def measure(name: str, n: int, x: mg.Value, y: mg.Value) -> None:
        start = time.perf_counter()
        compile(y, [x]).backward([[0.5]])
        seconds = time.perf_counter() - start
        rows.append({"graph": name, "nodes": n, "ms": 1e3 * seconds, "us a node": 1e6 * seconds / n})

    for name, operation in CHAINS.items():
        for n in (100, 1_000, 10_000, 100_000) if name == next(iter(CHAINS)) else (10_000,):
            x, w = mg.Value(0.5), mg.Value(0.9)
            y = x * w
            for i in range(1, n):
                y = operation(y, w, i)
            measure(name, n, x, y)
    for name, of in WIDE.items():
        x = mg.Value(0.5)
        measure(name, 10_000, x, of([mg.Value(1e-4 * i) for i in range(10_000)]) * x)
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


TABLES: dict[str, tuple[str, Callable[[], list[Row]]]] = {
    "moons": ("One training step of the moons demo", moons_step),
    "digits": ("One training step of the digits demo", digits_step),
    "attention": ("An attention model in plain operators, one training step", attention_step),
    "collector": ("What the garbage collector costs a training step", collector_cost),
    "operation": ("One operation", one_operation),
    "peak": ("Share of the processor's peak, one thread", share_of_peak),
    "bytes": ("Bytes for one operation, in a graph of 100,000", bytes_per_operation),
    "chain": ("A chain of products, for each node", cost_per_node),
    "inputs": ("Derivatives of Rosenbrock's function of n inputs", derivatives_of_many_inputs),
    "orders": ("Higher derivatives at a point", sixth_derivatives),
    "sparse": ("Sparse Jacobians and Hessians", sparse_derivatives),
    "networks": ("A step of gradient descent, hinge loss", networks),
    "microgpt": ("microgpt's training step, and a thousand of them as a command", microgpt),
    "recurrent": ("A recurrent network, the gradient", recurrent),
    "functions": ("Functions on vectors, compiled", functions),
    "threads": ("MLP(8, [32, 32, 1]), 100,000 rows", threads),
    "first": ("Before the second step", first_step),
    "compile": ("Compiling a graph", compile_time),
    "checks": ("Mistakes in hand-written backward passes, and who finds them", checks),
    "import": ("Import, beyond starting the interpreter", import_time),
}


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _compiled_for() -> str:
    if not find_spec("llvmlite"):
        return "nothing, without llvmlite"
    from micrograd_cn.compiler.llvm.machine import machine

    on = machine()
    return f"{on.name or platform.machine()}, vectors of {on.simd} doubles"


def heading() -> dict[str, str]:
    cpu = Path("/proc/cpuinfo")  # where Linux says it; platform.processor() is empty there
    models = re.findall(r"model name\s*: (.*)", cpu.read_text() if cpu.exists() else "")
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": platform.platform(),
        "processor": f"{os.cpu_count()} x {models[0] if models else platform.processor() or platform.machine()}",
        "compiled for": _compiled_for(),
        "micrograd_cn": mg.__version__,
        **{name: _installed(name) for name in ("llvmlite", "micrograd", "torch", "jax")},
    }


def layout(rows: list[Row]) -> Iterator[str]:
    """Yield the lines of a table: text to the left, numbers to the right."""
    if not rows:
        yield text("not measured: it needs llvmlite", "未测量：需要 llvmlite")
        return
    english = [list(rows[0]), *([_cell(x) for x in row.values()] for row in rows)]
    cells = [[text(cell, chinese(cell)) for cell in line] for line in english]
    widths = [max(map(text_width, column)) for column in zip(*cells, strict=True)]
    for first, *rest in cells:
        beside = [align_right(cell, room) for cell, room in zip(rest, widths[1:], strict=True)]
        yield "  ".join([first + " " * (widths[0] - text_width(first)), *beside])


def _cell(x: str | int | float | None) -> str:
    if isinstance(x, float):
        return f"{x:,.1f}" if x >= 1 or x == 0 else f"{x:.3g}"
    return "-" if x is None else f"{x:,}" if isinstance(x, int) else x


def main() -> None:
    set_language_from_arguments()
    about = text(str(__doc__).partition("\n")[0], "与同类库一起测量，各比值都出自同一次运行")
    parser = argparse.ArgumentParser(description=about)
    named = text("the name of one to measure, instead of all", "要测量的表的名称，不写则测量全部")
    parser.add_argument("tables", nargs="*", metavar=text("table", "表"), help=named)
    parser.add_argument("--list", action="store_true", help=text("print the names of the tables", "列出各表的名称"))
    meaning = text("print the same as JSON", "以 JSON 格式输出（英文）")
    parser.add_argument("--json", action="store_true", help=meaning)
    add_language_option(parser)
    options = parser.parse_args()
    titles = {name: text(title, TITLES[name]) for name, (title, _) in TABLES.items()}
    if options.list:
        print(*(f"{name:10}  {title}" for name, title in titles.items()), sep="\n")
        return
    if unknown := [name for name in options.tables if name not in TABLES]:
        known = ", ".join(TABLES)
        parser.error(
            text(
                f"there is no table {unknown[0]!r}; the tables are {known}",
                f"没有名为 {unknown[0]!r} 的表；可选的有 {known}",
            )
        )
    if hasattr(os, "sched_setaffinity"):  # one thread each, also for those that would start more
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    chosen = {name: TABLES[name] for name in options.tables or TABLES}
    if options.json:
        measured = {title: measure() for title, measure in chosen.values()}
        print(json.dumps({"heading": heading()} | measured, indent=2))
        return
    for name, about in heading().items():
        name, about = (text(words, chinese(words)) for words in (name, about))
        print(f"{name}{' ' * (12 - text_width(name))}  {about}")
    for name, (_, measure) in chosen.items():
        print(f"\n{titles[name]}", *layout(measure()), sep="\n", flush=True)


if __name__ == "__main__":
    main()
