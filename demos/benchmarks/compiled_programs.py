"""Compiled programs of many shapes beside JAX's: networks, functions on vectors, a recurrent network, threads.

A program and JAX's function do the same computation on the same data, though networks may start from other weights.
JAX runs on one thread, in double precision, and everything is jitted.
"""

import math
import os
import random
import time
from array import array
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import micrograd_cn as mg
from benchmarks.timing import Asynchronous, Row, Work, jax_on_one_thread, ratio, time_in_turns
from micrograd_cn import nn
from micrograd_cn.optim import SGD

NETWORKS = (
    (2, [16, 16, 1], 100),
    (2, [16, 16, 1], 10_000),
    (64, [32, 1], 128),
    (64, [32, 1], 4_096),
    (64, [64, 64, 1], 1_024),
    (256, [128, 1], 1_024),
    (784, [128, 1], 1_024),
)
LEARNING_RATE = 1e-3


def _random_rows(columns: int, count: int) -> Any:
    """Return a matrix of random numbers whose last column is -1 or 1, and the flat array whose memory it shares."""
    generator = random.Random(0)
    flat = array("d")
    for _ in range(count):
        flat.extend([generator.gauss(0, 1) for _ in range(columns)])
        flat.append(generator.choice([-1.0, 1.0]))
    return memoryview(flat).cast("B").cast("d", (count, columns + 1)), flat


# Networks: a step of gradient descent on the hinge loss.


def networks(turns: int = 7) -> list[Row]:
    """Time networks of several widths beside jax.jit, and give our share of the processor's peak."""
    if not find_spec("llvmlite"):
        return []
    from benchmarks.peak import at_the_peak

    at_peak, unit = at_the_peak()
    rows: list[Row] = []
    for columns, sizes, count in NETWORKS:
        products = sum(a * b for a, b in pairwise([columns, *sizes]))
        operations = 2 * count * (3 * products - columns * sizes[0])
        network, peers = _our_network(columns, sizes, count), _jax_network(columns, sizes, count)
        ours, peer, most = time_in_turns([network, peers, at_peak], turns=turns)
        assert ours
        assert most
        rows.append(
            {
                "network, rows": f"MLP({columns}, {sizes}), {count:,}",
                "ours us": 1e6 * ours,
                "jax.jit us": peer and 1e6 * peer,
                "jax / ours": ratio(ours, peer),
                "GFLOP/s": 1e-9 * operations / ours,
                "of the peak": operations / ours / (unit / most),
            }
        )
    return rows


def _our_network(columns: int, sizes: list[int], count: int) -> Work:
    model = nn.MLP(columns, sizes, seed=0)
    *xs, target = inputs = [mg.Value(0.1) for _ in range(columns + 1)]
    program = mg.compiler.compile(mg.relu(1 - target * model(xs)), inputs)
    optimizer = SGD(model.parameters(), lr=LEARNING_RATE)
    rows, _ = _random_rows(columns, count)
    program.fit(rows, optimizer, 50)

    def steps(epochs: int) -> None:
        program.fit(rows, optimizer, epochs)

    return steps


def _jax_network(columns: int, sizes: list[int], count: int) -> Work | None:
    if not (jax := jax_on_one_thread()):
        return None
    np = jax.numpy
    _, flat = _random_rows(columns, count)
    data = np.asarray(flat).reshape(count, columns + 1)
    x, target = data[:, :columns], data[:, columns]
    key = jax.random.PRNGKey(0)
    state = [(jax.random.normal(key, (a, b)) / a**0.5, np.zeros(b)) for a, b in pairwise([columns, *sizes])]

    def loss(state: Any) -> Any:
        y = x
        for weight, bias in state[:-1]:
            y = np.maximum(y @ weight + bias, 0)
        weight, bias = state[-1]
        return np.maximum(1 - target * (y @ weight + bias)[:, 0], 0).mean()

    def update(state: Any) -> Any:
        return jax.tree.map(lambda p, g: p - LEARNING_RATE * g, state, jax.grad(loss)(state))

    step = jax.jit(update)

    def steps(epochs: int) -> None:
        nonlocal state
        for _ in range(epochs):
            state = step(state)
        jax.block_until_ready(state)

    return Asynchronous(steps)


# Functions on vectors. A row adds up sixteen values of a function, so reading the row costs little beside them.

FUNCTIONS: dict[str, tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]] = {
    "exp": (mg.exp, lambda jax, x: jax.numpy.exp(x)),
    "expm1": (mg.expm1, lambda jax, x: jax.numpy.expm1(x)),
    "log": (mg.log, lambda jax, x: jax.numpy.log(x)),
    "log1p": (mg.log1p, lambda jax, x: jax.numpy.log1p(x)),
    "tanh": (mg.tanh, lambda jax, x: jax.numpy.tanh(x)),
    "sigmoid": (mg.sigmoid, lambda jax, x: jax.nn.sigmoid(x)),
    "softplus": (mg.softplus, lambda jax, x: jax.nn.softplus(x)),
    "gelu": (mg.gelu, lambda jax, x: jax.nn.gelu(x, approximate=False)),
    "silu": (mg.silu, lambda jax, x: jax.nn.silu(x)),
    "erf": (mg.erf, lambda jax, x: jax.scipy.special.erf(x)),
    "sin": (mg.sin, lambda jax, x: jax.numpy.sin(x)),
    "tan": (mg.tan, lambda jax, x: jax.numpy.tan(x)),
    "atan": (mg.atan, lambda jax, x: jax.numpy.arctan(x)),
    "sinh": (mg.sinh, lambda jax, x: jax.numpy.sinh(x)),
    "pow": (lambda x: mg.pow(x, 1.7), lambda jax, x: jax.numpy.power(x, 1.7)),
}
SHIFTS = [k / 40 for k in range(16)]  # added to the number of a row, which keeps all arguments within (0, 1)


def functions(turns: int = 7, count: int = 4_096) -> list[Row]:
    """Time functions such as exp, in nanoseconds for each value; a program adds up several values of one function."""
    if not find_spec("llvmlite"):
        return []
    generator = random.Random(0)
    numbers = [generator.uniform(0.1, 0.6) for _ in range(count)]
    rows: list[Row] = []
    for name, (ours, peer) in FUNCTIONS.items():
        found = time_in_turns([_our_function(ours, numbers), _jax_function(peer, numbers)], 0.1, turns)
        mine, theirs = [x and 1e9 * x / count / len(SHIFTS) for x in found]
        rows.append({"function": name, "ours ns": mine, "jax.jit ns": theirs, "ours / jax": ratio(theirs, mine)})
    return rows


def _our_function(f: Callable[[Any], Any], numbers: Sequence[float]) -> Work:
    x = mg.Value(0.5)
    program = mg.compiler.compile(mg.sum([f(x + shift) for shift in SHIFTS]), [x])
    rows = memoryview(array("d", numbers)).cast("B").cast("d", (len(numbers), 1))
    start = time.perf_counter()
    while time.perf_counter() - start < 0.3:  # then the program has switched to native code
        program.forward(rows)

    def work(times: int) -> None:
        for _ in range(times):
            program.forward(rows)

    return work


def _jax_function(f: Callable[[Any, Any], Any], numbers: Sequence[float]) -> Work | None:
    if not (jax := jax_on_one_thread()):
        return None
    x = jax.numpy.asarray(numbers)
    run = jax.jit(lambda x: sum(f(jax, x + shift) for shift in SHIFTS))
    jax.block_until_ready(run(x))

    def work(times: int) -> None:
        for _ in range(times):
            result = run(x)
        jax.block_until_ready(result)

    return work


# The gradient of a recurrent network of 16 units over 200 steps, for 64 rows.

UNITS, STEPS, SEQUENCES = 16, 200, 64


def recurrent(turns: int = 7) -> list[Row]:
    """Time the gradient of a recurrent network beside jax.lax.scan."""
    if not find_spec("llvmlite"):
        return []
    generator = random.Random(0)
    weights = [[generator.gauss(0, 0.2) for _ in range(UNITS)] for _ in range(UNITS + 2)]
    rows, flat = _random_rows(STEPS, SEQUENCES)
    ours, peer = time_in_turns([_our_recurrent(weights, rows), _jax_recurrent(weights, flat)], turns=turns)
    row: Row = {"network": f"{UNITS} tanh units, {STEPS} steps, {SEQUENCES} rows", "ours us": ours and 1e6 * ours}
    return [row | {"jax.lax.scan us": peer and 1e6 * peer, "jax / ours": ratio(ours, peer)}]


def _our_recurrent(weights: Sequence[Sequence[float]], rows: Any) -> Work:
    *square, first, last = [[mg.Value(w) for w in row] for row in weights]
    *xs, target = inputs = [mg.Value(0.1) for _ in range(STEPS + 1)]
    hidden: list[Any] = [0.0] * UNITS
    for x in xs:
        hidden = [mg.tanh(mg.dot([*row, w], [*hidden, x])) for row, w in zip(square, first, strict=True)]
    program = mg.compiler.compile((mg.dot(last, hidden) - target) ** 2, inputs)
    program.backward(rows)

    def work(times: int) -> None:
        for _ in range(times):
            program.backward(rows)

    return work


def _jax_recurrent(weights: Sequence[Sequence[float]], flat: Any) -> Work | None:
    if not (jax := jax_on_one_thread()):
        return None
    np = jax.numpy
    data = np.asarray(flat).reshape(SEQUENCES, STEPS + 1)
    state = [np.asarray(weights[:UNITS]), np.asarray(weights[UNITS]), np.asarray(weights[UNITS + 1])]

    def loss(state: Any) -> Any:
        square, first, last = state

        def step(hidden: Any, x: Any) -> Any:
            return np.tanh(hidden @ square.T + x[:, None] * first), None

        hidden, _ = jax.lax.scan(step, np.zeros((SEQUENCES, UNITS)), data[:, :STEPS].T)
        return ((hidden @ last - data[:, STEPS]) ** 2).mean()

    gradient = jax.jit(jax.value_and_grad(loss))
    jax.block_until_ready(gradient(state))

    def work(times: int) -> None:
        for _ in range(times):
            result = gradient(state)
        jax.block_until_ready(result)

    return work


# Threads: a network on 100,000 rows.


def threads(turns: int = 7, count: int = 100_000) -> list[Row]:
    """Time a program on one thread and on two. For this table alone the process may use all cores."""
    if not find_spec("llvmlite"):
        return []
    from benchmarks.peak import at_the_peak
    from micrograd_cn.compiler.threads.tasks import run_parallel

    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    if cores:
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
    model = nn.MLP(8, [32, 32, 1], seed=0)
    *xs, target = inputs = [mg.Value(0.1) for _ in range(9)]
    program = mg.compiler.compile(mg.relu(1 - target * model(xs)), inputs)
    rows, _ = _random_rows(8, count)
    optimizer = SGD(model.parameters(), lr=LEARNING_RATE)
    outputs = array("d", [0.0] * count)
    at_peak, _ = at_the_peak()
    works: dict[str, Callable[[int, int], object]] = {
        "multiply and add": lambda times, n: run_parallel([partial(at_peak, times * 40 / n)] * n),
        "forward": _repeat(lambda n: program.forward(rows, n)),
        "forward, out=": _repeat(lambda n: program.forward(rows, n, outputs)),
        "backward": _repeat(lambda n: program.backward(rows, threads=n)),
        "fit": lambda times, n: program.fit(rows, optimizer, times, threads=n),
    }
    found: list[Row] = []
    for name, work in works.items():
        work(30, 1)
        one, two = time_in_turns([partial(_in_threads, work, n) for n in (1, 2)], turns=turns)
        assert one
        assert two
        found.append({"work": name, "one thread ms": 1e3 * one, "two threads ms": 1e3 * two, "times": one / two})
    if cores:
        os.sched_setaffinity(0, cores)
    return found


def _repeat(work: Callable[[int], object]) -> Callable[[int, int], None]:
    """Return a function that repeats `work`, which takes a count of threads, and keeps none of its results.

    A growing number of lists would cost time.
    """

    def repeat(times: int, threads: int) -> None:
        for _ in range(times):
            work(threads)

    return repeat


def _in_threads(work: Callable[[int, int], object], count: int, times: int) -> None:
    work(times, count)


def first_step() -> list[Row]:
    """Time the start of training a wide network: to record it, and to compile it and take the first step."""
    if not find_spec("llvmlite"):
        return []
    model = nn.MLP(784, [128, 10], seed=0)
    generator = random.Random(0)
    rows = [[generator.random() for _ in range(794)] for _ in range(128)]
    optimizer = SGD(model.parameters(), lr=LEARNING_RATE)
    start = time.perf_counter()
    xs, hot = [[mg.Value(0.1) for _ in range(n)] for n in (784, 10)]
    logits = model(xs)
    loss = mg.logsumexp(logits) - mg.dot(logits, hot)
    recorded = time.perf_counter()
    program = mg.compiler.compile(loss, [*xs, *hot])
    losses = program.fit(rows, optimizer, 1)
    end = time.perf_counter()
    assert math.isfinite(losses[0])
    row: Row = {"network": "MLP(784, [128, 10]), cross entropy", "record s": recorded - start}
    return [row | {"compile, first step s": end - recorded, "together s": end - start}]
