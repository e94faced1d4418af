"""Measure what parts of the engine cost: operations, memory, chains of nodes, derivatives, compiling and importing."""

import gc
import operator
import os
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from statistics import median
from timeit import Timer
from typing import Any

import micrograd_cn as mg
from benchmarks.timing import Row, median_milliseconds
from micrograd_cn.functional import grad, hessian

# One operation. Its node is freed at once, so no graph grows and the garbage collector has nothing to do.

BINARY = ("+", "-", "*", "/", "**")
OPERANDS = {"Value, Value": "x {} w", "Value, float": "x {} c", "float, Value": "c {} x", "Value, int": "x {} 2"}
UNARY = ("-x", "x.relu()", "x.exp()", "x.log()", "x.tanh()", "x.sigmoid()")


def one_operation(turns: int = 15, loops: int = 100, inlined: int = 100) -> list[Row]:
    """Time expressions. Each is written many times in the body of a loop, so the loop itself costs next to nothing."""
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


def bytes_per_operation(n: int = 100_000) -> list[Row]:
    """Measure the memory that an operation takes in a graph of n operations, here and in micrograd."""
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
    """Return the bytes that each operation of a chain of n operations keeps."""
    x, w = value(1.0), value(1.0)
    gc.collect()
    tracemalloc.start()
    for _ in range(n):
        x = operation(x, w)
    kept = tracemalloc.get_traced_memory()[0] / n
    tracemalloc.stop()
    return kept


def cost_per_node() -> list[Row]:
    """Measure the bytes and the nanoseconds of a node in chains of products, with the garbage collector on and off."""
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
    """Return the nanoseconds that each of n nodes takes: to be recorded, in backward, and to be freed."""
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


def _rosenbrock(v: Sequence[Any]) -> Any:
    """Return Rosenbrock's function of any number of inputs."""
    return mg.sum([(1 - x) ** 2 + 100 * (y - x * x) ** 2 for x, y in pairwise(v)])


def derivatives_of_many_inputs() -> list[Row]:
    """Time the gradient and the Hessian of Rosenbrock's function beside the function itself."""
    rows: list[Row] = []
    for n in (4, 16, 64):
        v = [0.1 * i - 1 for i in range(n)]
        recorded = median_milliseconds(lambda v=v: _rosenbrock([mg.Value(x) for x in v]))  # type: ignore[misc]
        gradient = median_milliseconds(lambda v=v: grad(_rosenbrock)(v))  # type: ignore[misc]
        matrix = median_milliseconds(lambda v=v: hessian(_rosenbrock)(v), 3)  # type: ignore[misc]
        row: Row = {"inputs": n, "function ms": recorded, "gradient ms": gradient, "Hessian ms": matrix}
        rows.append(
            row | {"gradient / function": gradient / recorded, "Hessian / (n gradients)": matrix / gradient / n}
        )
    return rows


def sixth_derivatives() -> list[Row]:
    """Time derivatives of the orders 1 to 6 at one point."""
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
            row[f"order {order} ms"] = median_milliseconds(lambda f=f: f(0.5))  # type: ignore[misc]
        rows.append(row)
    return rows


# Each function makes the next node of a chain from the last node y, a parameter w and the node's number i.
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
# Each function makes a single node that has many leaves as its operands.
WIDE: dict[str, Callable[[list[Any]], Any]] = {
    "sum(ws)": mg.sum,
    "dot(ws, ws)": lambda ws: mg.dot(ws, ws),
    "logsumexp(ws)": mg.logsumexp,
}


def compile_time() -> list[Row]:
    """Time how long the first gradient of a recorded graph takes, compiling included."""
    if not find_spec("llvmlite"):
        return []
    rows: list[Row] = []

    def measure(name: str, n: int, x: mg.Value, y: mg.Value) -> None:
        start = time.perf_counter()
        mg.compiler.compile(y, [x]).backward([[0.5]])
        seconds = time.perf_counter() - start
        rows.append({"graph": name, "nodes": n, "ms": 1e3 * seconds, "us a node": 1e6 * seconds / n})

    for name, operation in CHAINS.items():
        for n in (100, 1_000, 10_000, 100_000) if name == next(iter(CHAINS)) else (10_000,):
            x, w = mg.Value(0.5), mg.Value(0.9)
            y = x * w
            for i in range(1, n):
                y = operation(y, w, i)
            measure(name, n, x, y)
    for name, wide in WIDE.items():
        x = mg.Value(0.5)
        measure(name, 10_000, x, wide([mg.Value(1e-4 * i) for i in range(10_000)]) * x)
    return rows


def import_time(turns: int = 15) -> list[Row]:
    """Time `import micrograd_cn` in new processes, beside processes that import nothing."""
    seconds: dict[str, list[float]] = {"pass": [], "import micrograd_cn": []}
    environment = os.environ | {"PYTHONPATH": str(Path(mg.__file__).parents[1])}
    for _ in range(turns):
        for code, times in seconds.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True, env=environment)
            times.append(time.perf_counter() - start)
    bare, ours = (1e3 * median(times) for times in seconds.values())
    return [{"module": "micrograd_cn", "interpreter ms": bare, "with import ms": ours, "import ms": ours - bare}]
