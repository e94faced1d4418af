"""Helpers that several test files share: results of the eager engine to compare with, and small problems to train.

A program can run as several kinds of code, such as threaded or native code. The compiler chooses the kind by constants
in its private modules. These helpers change the constants, and read how large the code is, so the tests do not have to
know the private modules.
"""

import math
import random
import sys
import sysconfig
from collections import Counter
from contextlib import contextmanager
from importlib import import_module
from itertools import cycle, product
from math import inf

import pytest

import micrograd_cn as mc
from micrograd_cn import Value
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.data.nodes import slot_offset
from micrograd_cn.compiler.llvm.machine import machine
from micrograd_cn.compiler.runtime import executable
from micrograd_cn.compiler.runtime.executable import MAX_SCALAR_ROWS  # so few rows are computed one by one
from micrograd_cn.engine import topological_order
from micrograd_cn.nn import MLP
from micrograd_cn.optim import SGD, Adam, AdamW, RMSprop

SETTINGS = (
    "runtime.executable.SECONDS_BEFORE_NATIVE",
    "loops.plan.MIN_ALIKE_PER_RANK",
    "loops.plan.MIN_SINGLY_LOADED_SIZE",
    "loops.schedule.MAX_UNFUSED_COST",
    "instructions.fusion.MIN_OCCURRENCES",
    "runtime.executable.TRIALS",
    "loops.plan.MIN_MAPPED_RANK",
)
KINDS = {  # for each kind of code, the values of SETTINGS that choose it
    "threaded": (inf, inf, 0, inf, 1, 0, 8),
    "gathered": (inf, 0.0, 0, inf, 1, 0, 3),
    "fused": (inf, 0.0, 0, -1, 1, 0, 3),
    "native": (0.0, inf, 0, inf, 1, 0, 8),
}
FUSED_NATIVE = {"fused native": (0.0, 0.0, 0, -1, 1, 0, 3)}

# There are seven, a number that divides the length of few lists, so each kind meets every item of the last list.
TURNS = ("native", "threaded", "fused", "gathered", "native", "threaded", "gathered")
# Settings with which calls are prepared, and branches are merged, from the second call of a kind on
PREPARED_AT_ONCE = {
    "runtime.prepared.CALLS_BEFORE_PREPARED": 0,
    "function.merged.CALLS_BEFORE_MADE": 0,
    "function.merged.CALLS_BEFORE_LOSS": 0,
    "function.merged.STEPS_BEFORE_LOSS": 0,
}


def need_known_layout():
    """Skip a test if this is a Python whose objects have another layout in memory, so machine code cannot read nodes.

    In all others, machine code must find the slots of a node: without this, tests would be skipped if it did not.
    """
    free_threaded, debugging = sysconfig.get_config_var("Py_GIL_DISABLED"), hasattr(sys, "gettotalrefcount")
    if sys.implementation.name != "cpython" or sys.byteorder != "little" or free_threaded or debugging:
        pytest.skip("Python's objects have another layout here")
    assert min(slot_offset("_data"), slot_offset("_grad")) > 0


@contextmanager
def settings(numbers):
    """Set constants of the compiler, given as "module.NAME", to other numbers inside the block.

    Programs in the block and programs outside do not share code, since the constants decide what it is.
    """
    found = []
    executable.forget_tiers()
    for name, number in numbers.items():
        module, _, name = name.rpartition(".")
        module = import_module(f"micrograd_cn.compiler.{module}")
        found.append((module, name, getattr(module, name)))
        setattr(module, name, number)
    try:
        yield
    finally:
        for module, name, number in found:
            setattr(module, name, number)
        executable.forget_tiers()


def code_of(kind):
    """Let every program inside the block run as one kind of code.

    "threaded" is threaded code, which is never replaced by native code. "gathered" is threaded code that
    computes instructions of one opcode as vectors even for a single row. "fused" also fuses each instruction with its
    only user, as the compiler does in large programs. "native" is native code from the first run on, and "fused native"
    is native code of what is fused.
    """
    return settings(dict(zip(SETTINGS, (KINDS | FUSED_NATIVE)[kind], strict=True)))


def in_turn(*lists):
    """Return every combination of the lists' items as a case for a test that uses the fixture `code`.

    Each case runs one kind of code, and the kinds take turns, which takes less time than all kinds for each case.
    """
    return [(kind, *case) for case, kind in zip(product(*lists), cycle(TURNS), strict=False)]


def is_native(program):
    """Return whether a program or a compiled function has native code by now."""
    return "native code" in repr(program)


def lanes():
    """Return how many lanes a block has on this machine, which is how many rows are computed together."""
    return machine().width


def memory_of(program, kind="gradient", in_lanes=True):
    """Return how many numbers threaded code stores for a batch, and how many for its rows."""
    scalars, rows, _ = program.compiled.tiers(kind, in_lanes).get(native=False).sizes
    return scalars, rows


def tables_of(program, kind="gradient", in_lanes=True):
    """Return how many words the tables of a program's threaded code have."""
    return sum(map(len, program.compiled.tiers(kind, in_lanes).get(native=False).tables.all))


def compiled_for_all():
    """Return the names of the kernels, which all programs share, that have been compiled so far."""
    return set(machine().kernels)


def eager(f, rows, parameters):
    """Return the output and the gradient that the eager engine computes for each row."""
    outputs, gradients = [], []
    for row in rows:
        for p in parameters:
            p.grad = 0.0
        y = f(*map(Value, row))
        outputs.append(y.data)
        y.backward()
        gradients.append([p.grad for p in parameters])
    for p in parameters:
        p.grad = 0.0
    return outputs, gradients


def close(a, b, size=0.0, rel=1e-12):
    """Return whether two numbers differ by no more than rounding.

    Rounding is relative to the larger number, or to `size` if that is larger, as after a cancellation.
    """
    if not (math.isfinite(a) and math.isfinite(b)):
        return a == b or (a != a and b != b)
    return abs(a - b) <= rel * max(abs(a), abs(b), size) + 1e-300


def sizes(output):
    """Return for each node below the output the sum of the absolute terms of its gradient.

    Rounding errors are relative to this sum: the gradient itself may be much smaller, where terms cancel.
    """
    found = Counter({output: 1.0})
    for node in topological_order(output):
        for parent, partial in zip(node.parents, node.partials, strict=True):
            found[parent] += found[node] * abs(partial)
    return found


def assert_like_eager(f, inputs, parameters, rows, rel=1e-12):
    """Compare a program with the eager engine: for all rows, in vectors, and for so few that each runs by itself."""
    program = compile(f(*inputs), inputs)
    every_output, every_gradient = eager(f, rows, parameters)
    for part in (slice(None), slice(-1, None), slice(MAX_SCALAR_ROWS)):
        chosen, outputs, gradients = rows[part], every_output[part], every_gradient[part]
        n = len(chosen)
        assert all(close(a, b, rel=rel) for a, b in zip(program.forward(chosen), outputs, strict=True)), chosen
        mean = program.backward(chosen)
        assert close(mean, math.fsum(outputs) / n, sum(map(abs, outputs)) / n, rel), (mean, outputs)
        for p, terms in zip(parameters, zip(*gradients, strict=True), strict=True):
            total, size = sum(g / n for g in terms), sum(abs(g) / n for g in terms)
            assert close(p.grad, total, size, rel), (p.grad, total)
            p.grad = 0.0
    return program


def problem(seed=0, extra=0):
    """Return parameters, a program that computes the loss of a small network, rows for it, and the network."""
    model = MLP(3, [5, 1], activation="tanh", seed=seed)
    inputs = [Value(0.1) for _ in range(4)]
    loss = (model(inputs[:3]) - inputs[3]) ** 2 + 1e-3 * mc.sum([p * p for p in model.parameters()])
    rng = random.Random(seed)
    rows = [[rng.uniform(-1, 1) for _ in range(4)] for _ in range(37)]
    return [*model.parameters(), *(Value(0.5 + i) for i in range(extra))], compile(loss, inputs), rows, model


OPTIMISERS = {
    "sgd": lambda ps: SGD(ps, lr=0.1),
    "momentum": lambda ps: SGD(ps, lr=0.05, momentum=0.9),
    "nesterov": lambda ps: SGD(ps, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01),
    "rmsprop": lambda ps: RMSprop(ps, lr=0.01, alpha=0.9, weight_decay=0.01, momentum=0.5),
    "adam": lambda ps: Adam(ps, lr=0.01, weight_decay=0.01),
    "adamw": lambda ps: AdamW(ps, lr=0.01, betas=(0.8, 0.99)),
    "dampened": lambda ps: SGD(ps, lr=0.05, momentum=0.9, dampening=0.3, weight_decay=0.01),
    "amsgrad": lambda ps: AdamW(ps, lr=0.01, betas=(0.8, 0.7), amsgrad=True),
    "climbing": lambda ps: RMSprop(ps, lr=0.001, weight_decay=0.01, momentum=0.5, maximize=True),
}


def loop(program, rows, optimizer, epochs, batch, shuffle=None, schedule=None):
    """Train with a loop in Python that does what the docstring of `fit` promises, and return the losses."""
    losses, order = [], list(range(len(rows)))
    for _ in range(epochs):
        if shuffle:
            shuffle.shuffle(order)
        total = 0.0
        for start in range(0, len(rows), batch):
            chosen = [rows[i] for i in order[start : start + batch]]
            optimizer.zero_grad()
            total += program.backward(chosen) * len(chosen)
            if schedule:
                optimizer.lr = schedule(optimizer.steps)
            optimizer.step()
        losses.append(total / len(rows))
    return losses


def everything(parameters, optimizer):
    """Return all numbers that a training changes: data, gradients, and the optimiser's state."""
    return [p.data for p in parameters], [p.grad for p in parameters], optimizer.state_dict()


ACTIVATIONS = ["relu", "sigmoid", "gelu", "silu", "softplus", "elu", "leaky_relu"]


def python(program):
    """Return the function that the program's Python source defines."""
    names = {}
    exec(program.source("python"), names)
    return names["f"]


def trained(f, samples, optimizer, epochs, batch_size=None, shuffle=None, schedule=None):
    """Train with a plain loop of the eager engine, and return the mean loss of each epoch."""
    n, losses = len(samples), []
    order = list(range(n))
    for _ in range(epochs):
        if shuffle:
            shuffle.shuffle(order)
        total = 0.0
        for start in range(0, n, batch_size or n):
            batch = order[start : start + (batch_size or n)]
            optimizer.zero_grad()
            loss = mc.mean([f(*samples[i]) for i in batch])
            loss.backward()
            if schedule:
                optimizer.lr = schedule(optimizer.steps)
            optimizer.step()
            total += loss.data * len(batch) / n
        losses.append(total)
    return losses


def mixed(f=lambda w, xs: mc.tanh(mc.sum([w[k] * x for k, x in enumerate(xs)]))):
    """Return parameters, a loss of a list of numbers, and samples whose lists have different lengths."""
    w = [Value(0.3 * (-1) ** k + 0.1 * k) for k in range(5)]
    rng = random.Random(2)
    samples = [([rng.gauss(0, 1) for _ in range(rng.randint(1, 5))], rng.gauss(0, 1)) for _ in range(29)]
    return w, (lambda xs, t: (f(w, xs) - t) ** 2), samples


def branching(w, xs):
    """Compute a number with two branches: the first depends on arguments alone, the second on parameters too."""
    total = mc.sum([w[k] * x for k, x in enumerate(xs)])
    if xs[0] > 0:
        total = total * w[1]
    return total if total > 0.2 else 0.1 * total + (w[2] if total < -0.5 else 0)
