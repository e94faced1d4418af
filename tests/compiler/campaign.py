"""Compile thousands of random graphs, and compare the results of all printers and all kinds of code.

    python -m tests.compiler.campaign  # two thousand graphs
    python -m tests.compiler.campaign --graphs 10000 --seed 7 --first 4000

Threaded and native code must agree to the last bit, for many rows, which run in vectors, and for few, which run one by
one. Fused and gathered code must agree to the last bit for many rows. `fit` must give the bits of the loop that it
replaces. Results of compiled code, and of the source in C and in Python, are compared with the eager engine too. They
may differ by rounding, but by no more than the engine's own results differ when the last bits of each operation are
disturbed at random. The campaign makes the first case that fails smaller, prints it as code, and exits with status 1.
"""

from __future__ import annotations

import argparse
import faulthandler
import math
import random
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np

import micrograd_cn as mc
from micrograd_cn import OPS, Op, Value
from micrograd_cn.compiler import Program, compile  # noqa: A004 -- the field's name
from micrograd_cn.graph.operators import Operators
from micrograd_cn.ops.number import number
from micrograd_cn.optim import SGD, Adam, AdamW, RMSprop
from micrograd_cn.optim import optimizer as optimizers

from .c_files import HAS_C, compiled
from .common import MAX_SCALAR_ROWS, code_of, python, settings
from .graphs import OWN, Case, Graph, draw

EPS = 2.0**-52
MOST = 1.7e308  # sizes are cut to this, so no disturbance is infinite
EXACT = {"neg", "abs", "less", "less_equal", "equal", "step", "where", "take", "maximum", "minimum", "relu"}


class Different(Exception):
    """Raised when two results of a case differ; `kind` names the comparison that found it."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind


# The engine's results, and how much rounding may change them


class Noisy(Operators):
    """A number that disturbs the last bits of each operation's result at random, as other roundings would."""

    __slots__ = ("data",)
    rng = random.Random(0)

    def __init__(self, data: float) -> None:
        self.data = data

    @staticmethod
    def _record(op: Op, operands: Sequence[Any]) -> Noisy:
        own = not (op.lowerings.machine or op.lowerings.summands or op.lowerings.formula) and OPS.get(op.name) is not op
        if own:
            found = op.forward(*operands)
            return found if isinstance(found, Noisy) else Noisy(number(found))
        xs = [x.data if isinstance(x, Noisy) else number(x) for x in operands]
        y = op.forward(*xs)
        if op.lowerings.summands:
            pairs, terms = op.lowerings.summands(*xs)
            finite = [(a, b) for a, b in (*pairs, *((1.0, t) for t in terms)) if math.isfinite(a) and math.isfinite(b)]
            if sum([abs(a * b) for a, b in finite]) == inf:  # some order of the terms overflows
                # Compiled code does not round products, so it adds a finite one to inf where the engine adds -inf
                return Noisy(Noisy.rng.choice([1e308, inf, -inf, nan, *([y] if y == y else [])]))
        if op.name in EXACT or not math.isfinite(y):
            return Noisy(y)
        bits = 1.0 if op.name in ("add", "sub", "mul", "div") else 8.0
        size = abs(y)
        if op.lowerings.summands:
            pairs, terms = op.lowerings.summands(*xs)
            known = [*(a * b for a, b in pairs), *terms]
            size, bits = min(sum([abs(t) for t in known]), MOST), 2.0 + 0.5 * len(known)
            if abs(y) <= bits * EPS * size and Noisy.rng.random() < 0.3:  # rounding may cancel all of it
                return Noisy(0.0)
        elif op.smoothness.rounding is not None:
            told = op.smoothness.rounding(y, *xs)[0]
            bits += 5.0 * told if math.isfinite(told) else 0.0
        return Noisy(y + disturbance(size, bits))


def disturbance(size: float, bits: float = 1.0) -> float:
    """Return a random number of at most `bits` units in the last place of a size."""
    return Noisy.rng.uniform(-1.0, 1.0) * bits * (EPS * size + 5e-324)


def noisy(graph: Graph, row: Sequence[float]) -> tuple[list[float], list[float], float]:
    """Return the outputs, the first output's gradient, and the largest number of its backward pass, all with noise."""
    first = len(graph.inputs)
    nodes: list[Any] = [*map(Noisy, row), *map(Noisy, graph.parameters)]
    for op, operands in graph.steps:
        nodes.append(Noisy._record(op, [nodes[i] if isinstance(i, int) else i for i in operands]))
    outputs = [nodes[i].data if isinstance(i, int) else i for i in graph.outputs]
    grads, sizes, largest = [0.0] * len(nodes), [0.0] * len(nodes), 0.0
    root = graph.outputs[0]
    if isinstance(root, int):
        grads[root] = 1.0
    reached = [isinstance(root, int) and i == root for i in range(len(nodes))]
    leaves = first + len(graph.parameters)
    for k in range(len(graph.steps) - 1, -1, -1):
        i = leaves + k
        if not reached[i]:
            continue
        op, operands = graph.steps[k]
        partials = op.local_derivatives(nodes[i], *[nodes[j] if isinstance(j, int) else j for j in operands])
        upstream = grads[i] + disturbance(min(sizes[i], MOST), 2.0)
        for slot, (j, partial) in enumerate(zip(operands, partials, strict=True)):
            if not isinstance(j, int) or not op.propagates_gradient_to(slot):
                continue
            d = partial.data if isinstance(partial, Noisy) else float(partial)
            part = upstream * d
            if op.smoothness.rounding is not None and op.arity is not None and math.isfinite(part):
                told = op.smoothness.rounding(
                    nodes[i].data, *[nodes[j].data if isinstance(j, int) else j for j in operands]
                )
                bits = told[slot + 1] if len(told) > slot + 1 else 0.0
                part += disturbance(abs(part), 5.0 * bits if bits < 1e15 else 1e15)
            reached[j] = True
            grads[j] += part
            sizes[j] += abs(part)
            largest = max([largest, *(abs(t) for t in (part, upstream, d) if math.isfinite(t))])
    totals = [g + disturbance(min(size, MOST), 4.0) for g, size in zip(grads, sizes, strict=True)]
    return outputs, totals[first:leaves], largest


def eager(graph: Graph, rows: Sequence[Sequence[float]]) -> tuple[list[list[float]], list[float], list[float]]:
    """Return the eager engine's outputs of each row, the mean gradient over the rows, and the mean of its sizes.

    The gradient is zero if the graph has several outputs.
    """
    ws = [Value(w) for w in graph.parameters]
    outputs, totals, sizes = [], [0.0] * len(ws), [0.0] * len(ws)
    for row in rows:
        for w in ws:
            w.grad = 0.0
        found = graph.values([Value(x) for x in row], ws)
        outputs.append([y.data for y in found])
        if len(found) == 1 and found[0].requires_grad:
            found[0].backward()
            for i, w in enumerate(ws):
                totals[i] += w.grad / len(rows)
                sizes[i] += abs(w.grad) / len(rows)
    return outputs, totals, sizes


def close(a: float, b: float, size: float = 0.0) -> bool:
    """Return whether two numbers differ by so little that noise need not be drawn to explain it."""
    return a == b or (a != a and b != b) or abs(a - b) <= 1e-12 * max(abs(a), abs(b), min(size, MOST)) + 1e-300


def like(a: float, b: float, others: Sequence[float]) -> bool:
    """Return whether noise explains the difference of `a` and `b`; `others` are noisy samples of `b`."""
    if math.isfinite(a) and math.isfinite(b):
        spread = max([abs(x - b) if math.isfinite(x) else inf for x in others])
        return abs(a - b) <= 24.0 * spread + 1e-12 * abs(b) + 1e-300
    return any(x == a or (x != x and a != a) or (math.isfinite(x) and math.isfinite(a)) for x in others)


def explained(a: float, b: float, draw: Callable[[], float]) -> bool:
    """Return whether noise explains the difference of `a` and `b`, with a few noisy samples or with many.

    `draw` returns a noisy sample of `b`. Most differences need few, which saves time.
    """
    others: list[float] = []
    for count in (6, 60):
        others += [draw() for _ in range(count)]
        if like(a, b, others):
            return True
    return False


# Checks


def bits(x: float) -> bytes:
    """Return the bits of a number, the same for every nan."""
    return struct.pack("d", x) if x == x else b"nan"


def fresh(graph: Graph) -> tuple[Program, list[Value]]:
    """Compile the graph as a new program, and return it with its parameters, in the graph's order."""
    xs, ws = [Value(x) for x in graph.inputs], [Value(w) for w in graph.parameters]
    found = graph.values(xs, ws)
    return compile(found[0] if len(found) == 1 else found, xs), ws


def trainable(graph: Graph) -> bool:
    """Return whether the graph has a single output that depends on a parameter, as `backward` requires."""
    xs, ws = [Value(x) for x in graph.inputs], [Value(w) for w in graph.parameters]
    return len(graph.outputs) == 1 and graph.values(xs, ws)[0].requires_grad


def numbers(program: Program, ws: Sequence[Value], rows: Sequence[Sequence[float]], single: bool, train: bool) -> Any:
    """Return the outputs of each row, their mean, and its gradient, which are 0 if `train` is false."""
    outputs = program.forward(rows)
    outputs = [[y] for y in outputs] if single else outputs
    for w in ws:
        w.grad = 0.0
    mean = program.backward(rows) if train else 0.0
    return outputs, mean, [w.grad for w in ws]


def check(case: Case) -> None:
    """Raise `Different` if results of a case differ that should agree."""
    graph, rows = case.graph, case.rows
    single, train = len(graph.outputs) == 1, trainable(graph)
    for some in [rows] if len(rows) <= MAX_SCALAR_ROWS else [rows, rows[:MAX_SCALAR_ROWS]]:  # in vectors; one by one
        found = {}
        program, ws = fresh(graph)
        for kind in ("native", "threaded") if case.native_first else ("threaded", "native"):
            if case.apart:
                program, ws = fresh(graph)
            with code_of(kind):
                found[kind] = numbers(program, ws, some, single, train)
        for kind in ("gathered", "fused", "fused native"):  # the compiler chooses these for large graphs alone
            program, ws = fresh(graph)
            with code_of(kind):
                found[kind] = numbers(program, ws, some, single, train)
        _same_bits(found, "threaded", "native")
        _like_eager(graph, some, found["threaded"], train)
        _same_bits(found, "fused", "fused native")
        _like_eager(graph, some, found["gathered"], train)
        if len(some) > MAX_SCALAR_ROWS:
            _same_bits(found, "gathered", "fused")
        else:  # for single rows, fused code adds short sums in another order
            _like_eager(graph, some, found["fused"], train)
    some = rows[: 2 * MAX_SCALAR_ROWS]
    if HAS_C:
        _like_eager(graph, some, by_c(graph, some, train), train)
    _like_eager(graph, some, by_python(graph, some), train=False)
    if case.fit and train and graph.parameters:
        _fit_like_loop(case)


def by_c(graph: Graph, rows: Sequence[Sequence[float]], train: bool) -> Any:
    """Return what the C source computes: the outputs, their mean, and its gradient, in the graph's order."""
    program, ws = fresh(graph)
    parameters = [w.data for w in program.parameters]
    with tempfile.TemporaryDirectory() as folder:
        file = compiled(program, Path(folder))
    outputs = [file.forward(parameters, row) for row in rows]
    if not (train and program.parameters):
        return outputs, sum([y for y, *_ in outputs]) / len(rows), [0.0] * len(ws)
    mean, found = file.gradient(parameters, rows)
    gradients = dict(zip(program.parameters, found, strict=True))
    return outputs, mean, [gradients.get(w, 0.0) for w in ws]


def by_python(graph: Graph, rows: Sequence[Sequence[float]]) -> Any:
    """Return the outputs that the Python source computes with numpy, which has no gradient."""
    program, _ = fresh(graph)
    parameters = [np.float64(w.data) for w in program.parameters]
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    with np.errstate(all="ignore"):
        found = python(program)(np, parameters, columns)
    found = found if len(graph.outputs) > 1 else [found]
    outputs = zip(*[np.broadcast_to(np.asarray(y, float), len(rows)).tolist() for y in found], strict=True)
    return [list(row) for row in outputs], 0.0, []


def _same_bits(found: dict[str, Any], one: str, other: str) -> None:
    """Raise `Different` unless two kinds of code gave the same bits."""
    a, b = found[one], found[other]
    for row, (xs, ys) in enumerate(zip(a[0], b[0], strict=True)):
        for k, (x, y) in enumerate(zip(xs, ys, strict=True)):
            if bits(x) != bits(y):
                raise Different("tiers, forward", f"row {row}, output {k}: {one} {x!r}, {other} {y!r}")
    if bits(a[1]) != bits(b[1]):
        raise Different("tiers, mean", f"{one} {a[1]!r}, {other} {b[1]!r}")
    for k, (x, y) in enumerate(zip(a[2], b[2], strict=True)):
        if bits(x) != bits(y):
            raise Different("tiers, gradient", f"parameter {k}: {one} {x!r}, {other} {y!r}")


def _like_eager(graph: Graph, rows: Sequence[Sequence[float]], found: Any, train: bool) -> None:
    """Raise `Different` unless noise explains how results differ from the eager engine's."""
    outputs, totals, sizes = eager(graph, rows)
    n = len(rows)
    for row, (xs, ys) in enumerate(zip(found[0], outputs, strict=True)):
        for k, (x, y) in enumerate(zip(xs, ys, strict=True)):
            if not close(x, y) and not explained(x, y, lambda row=row, k=k: noisy(graph, rows[row])[0][k]):
                raise Different("eager, forward", f"row {row}, output {k}: compiled {x!r}, eager {y!r}")
    if not train:
        return
    flat = [ys[0] for ys in found[0]]  # the loop above has compared these with the engine's
    size = math.fsum(min(abs(y), 1e300) for y in flat if math.isfinite(y)) / n
    mean = math.fsum(y / n for y in flat) if all(map(math.isfinite, flat)) else sum(flat)
    if not close(found[1], mean, size) and not (size > 1e290 and math.isfinite(mean)):
        raise Different("eager, mean", f"compiled {found[1]!r}, of the outputs {mean!r}")
    largest = 0.0
    samples: list[list[float]] = []

    def sample(k: int) -> float:
        nonlocal largest
        total = [0.0] * len(totals)
        for row in rows:
            _, grads, most = noisy(graph, row)
            largest = max(largest, most)
            total = [t + g / n for t, g in zip(total, grads, strict=True)]
        samples.append(total)
        return total[k]

    for k, (x, y) in enumerate(zip(found[2], totals, strict=True)):
        if close(x, y, sizes[k]) or (not math.isfinite(x) and not math.isfinite(y)):
            continue
        known = [total[k] for total in samples]
        if known and like(x, y, known):
            continue
        if explained(x, y, lambda k=k: sample(k)):
            continue
        if largest > 1e290 and not (math.isfinite(x) and math.isfinite(y)):  # only one of the orders of a sum overflows
            continue
        raise Different("eager, gradient", f"parameter {k}: compiled {x!r}, eager {y!r}, terms of size {sizes[k]!r}")


def _optimizer(kind: str, ws: Sequence[Value], rng: random.Random) -> Any:
    """Return a random optimiser of a kind, and its parameters, which are in another order than the program's."""
    lr = 10.0 ** rng.uniform(-4, -1)
    chosen = list(ws)
    rng.shuffle(chosen)
    if kind == "others":  # it lacks some of the program's parameters, but not all, and has some that are not there
        chosen = [*chosen[: rng.randint(1, len(chosen))], *(Value(0.5) for _ in range(rng.randrange(1, 20)))]
        rng.shuffle(chosen)
    if kind == "frozen":
        for w in chosen:
            w.requires_grad = rng.random() < 0.5
    made = {
        "momentum": lambda: SGD(chosen, lr, momentum=0.9),
        "nesterov": lambda: SGD(chosen, lr, momentum=0.8, weight_decay=0.01, nesterov=True),
        "decay": lambda: SGD(chosen, lr, weight_decay=0.1),
        "RMSprop": lambda: RMSprop(chosen, lr, momentum=rng.choice([0.0, 0.9])),
        "Adam": lambda: Adam(chosen, lr, weight_decay=rng.choice([0.0, 0.1])),
        "AdamW": lambda: AdamW(chosen, lr),
        "frozen": lambda: Adam(chosen, lr),
    }
    return chosen, made.get(kind, lambda: SGD(chosen, lr))()


MIN_PARAMETERS = optimizers.MIN_PARAMETERS
# Machine code reads and writes the nodes, and takes the steps of a loop, however few parameters there are.
IN_MACHINE_CODE = {
    "data.nodes.MIN_NODES": 1,
    "data.nodes.NODES_BEFORE_CODE": 0,
    "training.single_steps.PARAMETERS_BEFORE_CODE": 0,
    "training.single_steps.PARAMETERS_BEFORE_LOADING": 0,
}


def _fit_like_loop(case: Case) -> None:
    """Raise `Different` unless `fit` gives the same bits as a loop of `backward` and `step`.

    If the last batch is so small that its rows run one by one, and the others do not, then `fit` sums it in another
    order, so the two may differ by rounding.
    """
    assert case.fit is not None
    kind, batch, epochs, seed = case.fit
    batch = min(batch, len(case.rows))
    n = len(case.rows)
    last = n % batch or batch
    exact = (batch > MAX_SCALAR_ROWS) == (last > MAX_SCALAR_ROWS)
    found = []
    for way in ("fit", "loop"):
        program, ws = fresh(case.graph)
        rng = random.Random(seed)
        patience = rng.choice([0.0, inf, 1e-9])
        chosen, optimizer = _optimizer(kind, ws, rng)
        order = list(range(n))
        turns = random.Random(seed) if seed % 2 else None
        by_machine = seed % 3
        optimizers.MIN_PARAMETERS = 1 if by_machine else MIN_PARAMETERS
        with settings({"runtime.executable.SECONDS_BEFORE_NATIVE": patience} | (IN_MACHINE_CODE if by_machine else {})):
            if way == "fit":
                losses = program.fit(case.rows, optimizer, epochs, batch, turns)
            else:
                losses, sizes = [], []
                for _ in range(epochs):
                    loss = size = 0.0
                    if turns:
                        turns.shuffle(order)
                    for start in range(0, n, batch):
                        part = [case.rows[i] for i in order[start : start + batch]]
                        optimizer.zero_grad()
                        mean = program.backward(part)
                        loss += mean * len(part)
                        size += abs(mean) * len(part)
                        optimizer.step()
                    losses.append(loss / n)
                    sizes.append(size / n)
        state = [x for state in optimizer.state for x in state.values()]
        found.append([
            ("loss", losses),
            ("parameter", [w.data for w in (*ws, *chosen)]),
            ("gradient", [w.grad for w in chosen]),
            ("state", state),
            ("steps", [float(optimizer.steps)]),
        ])  # fmt: skip
    for k, (x, y, size) in enumerate(zip(found[0][0][1], found[1][0][1], sizes, strict=True)):
        if exact and not (abs(x - y) <= 1e-14 * size or bits(x) == bits(y)):  # `fit` sums in another order
            raise Different("fit", f"loss {k}: {x!r}, of a loop {y!r}, with {case.fit}")
    for (what, xs), (_, ys) in zip(*found, strict=True):
        for k, (x, y) in enumerate(zip(xs, ys, strict=True)):
            if exact and what != "loss" and bits(x) != bits(y) and not x == y == 0.0:
                raise Different("fit", f"{what} {k}: {x!r}, of a loop {y!r}, with {case.fit}")
            if not exact and not _near(x, y, kind):
                raise Different("fit, ragged", f"{what} {k}: {x!r}, of a loop {y!r}, with {case.fit}")


def _near(x: float, y: float, kind: str) -> bool:
    """Return whether two trainings agree that add up sums in another order.

    RMSprop and Adam divide a gradient by its size, which magnifies the rounding error of a gradient near 0 without
    limit, so nothing can be said of them. The same holds for numbers that have grown beyond 1000.
    """
    if kind in ("RMSprop", "Adam", "AdamW", "frozen") or not max(abs(x), abs(y)) < 1e3:
        return True
    return abs(x - y) <= 1e-6 * max(abs(x), abs(y), 1.0)


def failure(case: Case) -> Exception | None:
    """Return the error that a case raises, or None."""
    try:
        check(case)
    except Exception as error:
        return error
    return None


def kind_of(error: Exception | None) -> str:
    """Return what two failures must share to be the same fault."""
    return error.kind if isinstance(error, Different) else type(error).__name__


# Making a case smaller


def reduced(case: Case, seconds: float) -> Case:
    """Return a smaller case that fails in the same way."""
    kind, end = kind_of(failure(case)), time.monotonic() + seconds
    changed = True
    while changed and time.monotonic() < end:
        changed = False
        for smaller in _smaller(case):
            if time.monotonic() > end:
                break
            try:
                smaller = smaller._replace(graph=pruned(smaller.graph))
                same = kind_of(failure(smaller)) == kind
            except Exception:
                continue
            if same and smaller != case:
                case, changed = smaller, True
                break
    return case


def _smaller(case: Case) -> Iterator[Case]:
    """Yield cases that are a little smaller, the most useful ones first."""
    graph, rows = case.graph, case.rows
    if case.fit:
        yield case._replace(fit=None)
    for size in (len(rows) // 2, len(rows) // 4, 1):
        for start in range(0, len(rows), size) if size else ():
            if len(rows) > size:
                yield case._replace(rows=rows[:start] + rows[start + size :])
    if len(graph.outputs) > 1:
        for i in range(len(graph.outputs)):
            yield case._replace(graph=graph._replace(outputs=graph.outputs[:i] + graph.outputs[i + 1 :]))
    leaves = len(graph.inputs) + len(graph.parameters)
    for i in range(leaves, leaves + len(graph.steps) - 1):
        if len(graph.outputs) == 1:
            yield case._replace(graph=graph._replace(outputs=(i,)))
    for k, (op, operands) in enumerate(graph.steps):
        fewer = [operands[:-1], operands[: len(operands) // 2]] if op.arity is None and op is not mc.dot else []
        for slot, x in enumerate(operands):
            if isinstance(x, int) and x >= leaves:
                fewer.append((*operands[:slot], leaves - 1, *operands[slot + 1 :]))
        for changed in filter(None, fewer):
            yield case._replace(graph=graph._replace(steps=(*graph.steps[:k], (op, changed), *graph.steps[k + 1 :])))
    plain = tuple([tuple([round(x, 1) if math.isfinite(x) and abs(x) < 1e6 else x for x in row]) for row in rows])
    if plain != rows:
        yield case._replace(rows=plain)


def pruned(graph: Graph) -> Graph:
    """Return the graph without the steps and parameters that no output needs. Inputs stay, as rows have all of them."""
    leaves, first = len(graph.inputs) + len(graph.parameters), len(graph.inputs)
    needed = {i for i in graph.outputs if isinstance(i, int)}
    for k in range(len(graph.steps) - 1, -1, -1):
        if leaves + k in needed:
            needed.update([i for i in graph.steps[k][1] if isinstance(i, int)])
    kept = [i for i in range(leaves + len(graph.steps)) if i in needed or i < first]
    place = {i: number for number, i in enumerate(kept)}

    def moved(xs: Sequence[int | float]) -> tuple[int | float, ...]:
        return tuple([place[x] if isinstance(x, int) else x for x in xs])

    return Graph(
        graph.inputs,
        tuple([graph.parameters[i - first] for i in kept if first <= i < leaves]),
        tuple([(graph.steps[i - leaves][0], moved(graph.steps[i - leaves][1])) for i in kept if i >= leaves]),
        moved(graph.outputs),
    )


def code(case: Case) -> str:
    """Return code that repeats a case, to be pasted into a file."""
    graph = case.graph
    inputs, leaves = len(graph.inputs), len(graph.inputs) + len(graph.parameters)

    def name(x: int | float) -> str:
        if isinstance(x, float):
            return f"constant({x!r})"
        return f"xs[{x}]" if x < inputs else f"ws[{x - inputs}]" if x < leaves else f"v{x - leaves}"

    lines = [
        "from math import inf, nan",
        "import micrograd_cn as mc",
        "from micrograd_cn import Value",
        "from micrograd_cn.compiler import compile",
        "from micrograd_cn.engine import constant, record",
        "from tests.compiler.common import KINDS, code_of",
        *(["from tests.compiler.graphs import OWN"] if any(op in OWN for op, _ in graph.steps) else []),
        "",
        f"xs = [Value(x) for x in {list(graph.inputs)}]",
        f"ws = [Value(w) for w in {list(graph.parameters)}]",
    ]
    for k, (op, operands) in enumerate(graph.steps):
        known = f"mc.OPS[{op.name!r}]"
        if op in OWN:
            known = f"OWN[{OWN.index(op)}]"
        elif OPS.get(op.name) is not op:
            known = f"mc.ops._{op.name}"
        lines.append(f"v{k} = record({known}, [{', '.join(map(name, operands))}])")
    outputs = [name(i) for i in graph.outputs]
    lines += [
        f"y = {outputs[0] if len(outputs) == 1 else '[' + ', '.join(outputs) + ']'}",
        f"rows = {[list(row) for row in case.rows]}",
        "for kind in KINDS:",
        "    with code_of(kind):",
        "        program = compile(y, xs)",
        "        for w in ws:",
        "            w.grad = 0.0",
        "        print(program.forward(rows))",
        *(["        print(program.backward(rows), [w.grad for w in ws])"] if len(outputs) == 1 else []),
        *([f"# trained with {case.fit}: see _fit_like_loop"] if case.fit else []),
    ]
    return "\n".join(lines)


def main() -> int:
    """Draw and check graphs until as many have failed as `--failures` allows, or all are done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graphs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="the graph to begin with")
    parser.add_argument("--failures", type=int, default=1, help="stop after so many")
    parser.add_argument("--seconds", type=float, default=60.0, help="to make a failing graph smaller")
    options = parser.parse_args()
    faulthandler.enable()
    families: Counter[str] = Counter()
    failed, steps, fitted, begun = 0, 0, 0, time.monotonic()
    for k in range(options.first, options.first + options.graphs):
        seed = f"{options.seed}/{k}"
        family, case = draw(seed)
        families[family] += 1
        steps += len(case.graph.steps)
        fitted += case.fit is not None
        error = failure(case)
        if error:
            failed += 1
            size = len(case.graph.steps), len(case.rows)
            print(
                f"\ngraph {seed}, {family}, {size[0]} nodes, {size[1]} rows: {type(error).__name__}: {error}",
                flush=True,
            )
            small = reduced(case, options.seconds)
            print(f"smaller: {failure(small)}\n\n{code(small)}\n", flush=True)
            if failed >= options.failures:
                break
        if (k + 1 - options.first) % 100 == 0:
            taken = time.monotonic() - begun
            print(f"{k + 1 - options.first} graphs, {steps} nodes, {taken:.0f} s, {failed} failed", flush=True)
    told = ", ".join(f"{count} {name}" for name, count in families.most_common())
    print(f"{sum(families.values())} graphs ({told}; {fitted} trained), {steps} nodes: {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
