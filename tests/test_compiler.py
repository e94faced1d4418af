"""Compiled graphs against the eager engine: the same numbers, the same training, and what is refused."""

import copy
import gc
import math
import operator
import os
import pickle
import random
import re
import signal
import struct
import subprocess
import sys
import threading
import weakref
from array import array
from itertools import product
from math import inf, nan
from types import SimpleNamespace

import llvmlite.binding as llvm
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import micrograd_cn as mc
from micrograd_cn import OPS, Op, Value, gradients
from micrograd_cn.compiler import Mismatch, compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.assembly import Assembly
from micrograd_cn.compiler.lowering import ordered
from micrograd_cn.compiler.machine import Machine
from micrograd_cn.compiler.threaded import Threaded
from micrograd_cn.compiler.training import Training
from micrograd_cn.engine import constant, record
from micrograd_cn.nn import MLP
from micrograd_cn.optim import SGD, Adam, AdamW, Optimizer
from micrograd_cn.testing import expressions
from micrograd_cn.testing.numerical import rounding_error

EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -3.0, 1e-20, -700.5, 36.5, 1e300, -1e300, inf, -inf, nan]


def eager(f, rows, parameters):
    """Return the outputs of every row, and the mean gradient with the mean of its terms' sizes, by the engine."""
    outputs, totals, sizes = [], [0.0] * len(parameters), [0.0] * len(parameters)
    for row in rows:
        for p in parameters:
            p.grad = 0.0
        y = f(*map(Value, row))
        outputs.append(y.data)
        y.backward()
        for i, p in enumerate(parameters):
            totals[i] += p.grad / len(rows)
            sizes[i] += abs(p.grad) / len(rows)
    for p in parameters:
        p.grad = 0.0
    return outputs, totals, sizes


def close(a, b, size=0.0, rel=1e-12):
    return a == b or (a != a and b != b) or abs(a - b) <= rel * max(abs(a), abs(b), size) + 1e-300


def assert_like_eager(f, inputs, parameters, rows, rel=1e-12):
    outputs, totals, sizes = eager(f, rows, parameters)
    program = compile(f(*inputs), inputs)
    assert all(close(a, b, rel=rel) for a, b in zip(program.forward(rows), outputs, strict=True)), rows
    mean = program.backward(rows)
    assert close(mean, math.fsum(outputs) / len(rows), sum(map(abs, outputs)) / len(rows), rel)
    for p, total, size in zip(parameters, totals, sizes, strict=True):
        assert close(p.grad, total, size, rel), (p.grad, total)
    return program


# Numbers


@pytest.fixture(params=["threaded", "native"])
def code(request, monkeypatch):
    """Run threaded code, however long it runs, or code of its own from the first run on."""
    monkeypatch.setattr("micrograd_cn.compiler.modules.PATIENCE", {"threaded": inf, "native": 0.0}[request.param])
    return request.param


@given(expressions(), st.integers(0, 3))
@settings(
    max_examples=max(20, settings().max_examples // 2), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_expressions_give_the_eager_numbers(code, f, count):
    count = min(count, len(f.point))
    inputs, parameters = [[Value(x) for x in part] for part in (f.point[:count], f.point[count:])]
    y = f(*inputs, *parameters)
    if not isinstance(y, Value) or y.op is None:
        return
    row = f.point[:count]
    program = compile(y, inputs)
    [found] = program.forward([row])
    assert abs(found - y.data) <= 1e-12 * abs(y.data) + 16 * rounding_error(y)
    program.backward([row] * 3)
    for p, g in zip(parameters, gradients(y, parameters, create_graph=True), strict=True):
        assert abs(p.grad - g.data) <= 1e-12 * abs(g.data) + 16 * rounding_error(g)


@pytest.mark.parametrize("op", OPS.values(), ids=lambda op: op.name)
def test_every_row_is_compiled_with_its_special_values(code, op):
    n = {"dot": 5}.get(op.name, op.arity or 3)
    ws, xs = [Value(0.5) for _ in range(n)], [Value(1.0) for _ in range(n)]
    by_sample = compile(record(op, tuple([w * x for w, x in zip(ws, xs, strict=True)])), xs)
    by_batch = compile(record(op, tuple(ws)), [])
    points = list(product(EDGES, repeat=n)) if n < 3 else []
    rng = random.Random(0)
    points += [[rng.choice(EDGES) for _ in range(n)] for _ in range(200 if n > 2 else 0)]
    points += [[rng.gauss(0.0, 2.0) for _ in range(n)] for _ in range(20)]
    for point in points:
        for w, x in zip(ws, point, strict=True):
            w.data = x
        y = record(op, tuple(ws))
        expected = [0.0 + g for g in gradients(y, ws)]
        magnitude = math.fsum(map(abs, point)) if op.name == "sum" else 0.0
        if op.name == "dot":
            magnitude = mc.sum([abs(a * b) for a, b in zip(point[:2], point[2:4], strict=True)])
        for program, row in ((by_sample, [1.0] * n), (by_batch, [])):
            assert close(program.forward([row])[0], y.data, magnitude), point
            for w in ws:
                w.grad = 0.0
            program.backward([row] * 3)
            assert all(close(w.grad, g) for w, g in zip(ws, expected, strict=True)), (point, [w.grad for w in ws])


@pytest.mark.parametrize("rows", [1, 2, 15, 16, 17, 40])
def test_every_number_of_rows(code, rows):
    model = MLP(3, [4, 1], activation="tanh", seed=0)
    rng = random.Random(rows)
    data = [[rng.uniform(-1, 1) for _ in range(4)] for _ in range(rows)]
    assert_like_eager(
        lambda a, b, c, t: (model([a, b, c]) - t) ** 2, [Value(0.1) for _ in range(4)], model.parameters(), data
    )


ACTIVATIONS = ["relu", "sigmoid", "gelu", "silu", "softplus", "elu", "leaky_relu"]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_networks_of_every_activation(code, activation):
    model = MLP(9, [12, 10, 3], activation=activation, seed=1)
    rng = random.Random(0)
    rows = [[rng.gauss(0, 1) for _ in range(9)] + [float(k == i % 3) for k in range(3)] for i in range(21)]

    def loss(*row):
        logits = model(row[:9])
        return mc.logsumexp(logits) - mc.dot(row[9:], logits)

    assert_like_eager(loss, [Value(0.3) for _ in range(12)], model.parameters(), rows)


def run(output, inputs, rows, code, monkeypatch, parameters):
    """Return the bits of what one kind of code computes."""
    monkeypatch.setattr("micrograd_cn.compiler.modules.PATIENCE", {"threaded": inf, "native": 0.0}[code])
    program = compile(output, inputs)
    for p in parameters:
        p.grad = 0.0
    numbers = [*program.forward(rows), program.backward(rows), *(p.grad for p in parameters)]
    return [struct.pack("d", x) if x == x else b"nan" for x in numbers]


@given(expressions(), st.integers(0, 3))
@settings(
    max_examples=max(20, settings().max_examples // 2), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_both_kinds_of_code_give_the_same_bits(monkeypatch, f, count):
    count = min(count, len(f.point))
    inputs, parameters = [[Value(x) for x in part] for part in (f.point[:count], f.point[count:])]
    y = f(*inputs, *parameters)
    if not isinstance(y, Value) or y.op is None:
        return
    rows = [f.point[:count], [x + 0.25 for x in f.point[:count]], [-x for x in f.point[:count]]] * 6
    threaded, native = [run(y, inputs, rows, code, monkeypatch, parameters) for code in ("threaded", "native")]
    assert threaded == native


@pytest.mark.parametrize("op", [op for op in OPS.values() if op.arity and not op.machine], ids=lambda op: op.name)
def test_both_kinds_of_code_give_the_same_bits_of_sums_of_formulas(monkeypatch, op):
    added = Op(
        "added", lambda a, b, c: mc.sum([a, b, c]) * a, (lambda y, a, b, c: b, lambda y, *_: 1.0, lambda y, *_: 2.0)
    )
    rng = random.Random(0)
    xs, ws = [Value(0.5) for _ in range(3)], [Value(rng.gauss(0, 1)) for _ in range(3)]
    a, b, c = [record(op, tuple([w * x, x, w][: op.arity])) for x, w in zip(xs, ws, strict=True)]
    one = constant(1.0)
    y = mc.sum(
        [mc.sum([a, b, xs[0] * ws[1], c, one * a]), mc.dot([a, b], [b, xs[2]], c), added(a * b, b, c), added(a, b, c)]
    )
    rows = [[rng.gauss(0, 1) for _ in xs] for _ in range(60)]
    threaded, native = [run(y, xs, rows, code, monkeypatch, ws) for code in ("threaded", "native")]
    assert threaded == native


def powers(x, n):
    """Return x, x * x + 0.7, and so on."""
    found = [x]
    for _ in range(n - 1):
        found.append(found[-1] * x + 0.7)
    return found


@pytest.mark.parametrize(
    "forward",
    [
        lambda a, b, x: mc.sum([a, b, 0.1, 0.7]) * x + x * x,
        lambda a, b, x: mc.sum([a - 1.0, b - 2.0, a * b, 0.3, x]) * x,
        lambda a, b, x: mc.logsumexp([a, b, 0.5]) * x * x,
        lambda a, b, x: mc.dot([0.1 * k + 0.3 for k in range(9)] + powers(x, 3), powers(x, 9) + powers(x, 6)[3:]),
        lambda a, b, x: mc.dot(powers(0.9 * a, 40), powers(0.9 * b, 40)[::-1]) * x,
        lambda a, b, x: mc.sum(powers(0.9 * a, 40)) * x,
        lambda a, b, x: mc.sum([mc.gelu(p) * b for p in powers(0.9 * x, 30)]),
    ],
)
def test_both_kinds_of_code_give_the_same_bits_of_ones_own_formulas(monkeypatch, forward):
    own = Op("own", forward, tuple([lambda y, a, b, x: forward(b, x, a)] * 3))
    x, ws = Value(0.3), [Value(0.1 * i) for i in range(8)]
    rows = [[0.1 * i - 1.0] for i in range(19)]
    constants = [own(constant(0.1 * i), constant(0.7 * i), x) for i in range(8)]
    mixed = [own(w, constant(0.07 * i), x) * own(x, w, w) for i, w in enumerate(ws)]
    y = mc.sum([*constants, *mixed, *(own(w, w * w, 0.1 * w) * x for w in ws)])
    threaded, native = [run(y, [x], rows, code, monkeypatch, ws) for code in ("threaded", "native")]
    assert threaded == native


@pytest.mark.parametrize("activation", [*ACTIVATIONS, "logsumexp", "long"])
def test_both_kinds_of_code_give_the_same_bits_of_networks(monkeypatch, activation):
    rng = random.Random(0)
    xs = [Value(0.1) for _ in range(40)]
    if activation in ACTIVATIONS:
        model = MLP(40, [9, 9, 1], activation=activation, seed=0)
        parameters, y = model.parameters(), model(xs)
    else:
        parameters = [Value(rng.gauss(0, 1)) for _ in range(80)]
        if activation == "logsumexp":
            terms = [w * x for w, x in zip(parameters, xs, strict=False)]
            ranges = [mc.logsumexp([*terms[k : k + k // 2], terms[k], parameters[k], 0.5, *xs[:k]]) for k in (1, 4, 9)]
            angles = [
                mc.logsumexp([t, p, 0.5]) * mc.atan2(p, t) for t, p in zip(terms[:9], parameters[:9], strict=True)
            ]
            y = mc.sum([*ranges, *angles, mc.logsumexp([*parameters[:12], 0.25])])
            y = y + mc.logsumexp([1.0, 2.0, xs[0], 3.0, 4.0, parameters[0], 5.0])
        else:
            y = mc.dot([*parameters, *xs, *parameters], [*xs, *xs, *xs, *parameters], parameters[3])
            y = y * mc.sum([1.5, *xs, *parameters, parameters[0] * parameters[1]]) * mc.dot(parameters, parameters)
        for k in range(9):
            y = mc.hypot(mc.elu(y, 0.5 + k) * mc.maximum(y, 0.1 * k), parameters[k] ** (0.5 * k))
        y = mc.log1p(mc.abs(y))
    rows = [[rng.gauss(0, 1) for _ in xs] for _ in range(19)]
    threaded, native = [run(y, xs, rows, code, monkeypatch, parameters) for code in ("threaded", "native")]
    assert threaded == native


@pytest.mark.parametrize("n", [1, 7, 8, 9, 33, 70])
@pytest.mark.parametrize("order", ["straight", "backwards", "shuffled", "repeated"])
def test_sums_of_products_of_every_length_and_order(code, n, order):
    rng = random.Random(n)
    ws, xs = [Value(rng.gauss(0, 1)) for _ in range(n)], [Value(0.1) for _ in range(n)]
    places = list(range(n))
    if order == "backwards":
        places.reverse()
    elif order == "shuffled":
        rng.shuffle(places)
    elif order == "repeated":
        places = [rng.randrange(n) for _ in range(n)]

    def f(*xs):
        hidden = [x * x for x in xs]
        return (
            mc.dot([ws[i] for i in places], xs, ws[0])  # parameters by inputs
            + mc.dot(hidden, [xs[i] for i in places])  # samples by samples
            + mc.dot(ws, [ws[i] for i in places])  # parameters by parameters
            + mc.dot([hidden[i] for i in places], ws)
            + mc.sum([w * w for w in ws])
            + mc.sum([hidden[i] for i in places])
        )

    rows = [[rng.gauss(0, 1) for _ in range(n)] for _ in range(5)]
    assert_like_eager(f, xs, ws, rows, rel=1e-12)


@pytest.mark.parametrize("place", [0, 9, 20])
def test_a_long_sum_of_samples_may_have_one_other_term(code, place):
    xs, w = [Value(0.5 + i) for i in range(20)], Value(100.0)
    rows = [[i - 0.5 * k for i in range(20)] for k in range(3)]
    for other in (w, 3.0):
        assert_like_eager(lambda *xs, other=other: w * mc.sum([*xs[:place], other, *xs[place:]]), xs, [w], rows)


LARGEST = [1e308, 1.7e308, -1e308, -1.7e308, 1e300, 1.0, -2.5, 1e-300, 0.0, inf, -inf, nan]


@pytest.mark.parametrize("n", [2, 9, 40])
@pytest.mark.parametrize("kinds", ["samples", "both", "parameters"])
def test_sums_do_not_overflow_on_the_way_to_a_finite_result(code, n, kinds):
    rng = random.Random(n)
    xs, ws = [Value(1.0) for _ in range(n)], [Value(1.0) for _ in range(n)]
    one, w = Value(1.0), Value(1.0)

    def operands(xs):
        return [
            {"samples": x, "parameters": p, "both": (x, p)[i % 2]}[kinds]
            for i, (x, p) in enumerate(zip(xs, ws, strict=True))
        ]

    for f in (
        lambda *xs: mc.sum(operands(xs)) * one,
        lambda *xs: mc.sum([*operands(xs), 1e308, -1.5e308, 1e308]) * one,
        lambda *xs: mc.dot(operands(xs), [one] * n) * one,
        lambda *xs: mc.dot(operands(xs), operands(xs[::-1]), w) * one,
        lambda *xs: mc.dot([*operands(xs), *ws], [*operands(xs[::-1]), *xs]) * one,
    ):
        program = compile(f(*xs), xs)
        for few in range(30):
            row = [rng.choice(LARGEST[: 9 if few % 4 else None]) for _ in range(n)]
            for p in ws:
                p.data = rng.choice(LARGEST[:9])
            if few % 2:
                row = [math.copysign(abs(x) ** 0.5, x) for x in row]
                for p in ws:
                    p.data = math.copysign(abs(p.data) ** 0.5, p.data)
            rows = [row, [1.0] * n, row[::-1]]
            expected = [f(*map(Value, row)).data for row in rows]
            for found, right, row in zip(program.forward(rows), expected, rows, strict=True):
                y = f(*map(Value, row)).parents[0]
                terms = [p.data for p in y.parents]
                if y.op is mc.dot:
                    k = len(terms) // 2
                    terms = [a * b for a, b in zip(terms[:k], terms[k : 2 * k], strict=True)] + terms[2 * k :]
                magnitude = max(map(abs, terms)) if all(map(math.isfinite, terms)) else 0.0
                near = math.isfinite(right) and abs(found / 2 - right / 2) <= 1e-13 * n * magnitude
                assert near or found == right or math.isnan(found) == math.isnan(right) is True, (terms, found, right)


def test_a_product_that_overflows_is_infinite_in_a_sum(code):
    xs = [Value(1.0) for _ in range(3)]
    program = compile(mc.dot([xs[0]], [xs[1]], xs[2]), xs)
    assert program.forward([[1.35e154, 1.35e154, -1e308], [1.3e154, 1.3e154, -1e308]]) == [
        inf,
        1.3e154 * 1.3e154 - 1e308,
    ]


def test_sums_have_no_negative_zero(code):
    x, w = Value(1.0), Value(-0.0)
    for n in (1, 2, 3, 9, 17):
        for f in (
            lambda x, n=n: mc.sum([x] * n),
            lambda x, n=n: mc.sum([w, *[x] * n]),
            lambda x, n=n: mc.dot([x] * n, [1.0] * n),
            lambda x, n=n: mc.dot([x * x * w] * n, [1.0] * n, w),
        ):
            assert compile(mc.div(1.0, f(x)), [x]).forward([[-0.0]]) == [mc.div(1.0, f(Value(-0.0))).data] == [inf]


def test_a_partial_may_depend_on_a_row_where_the_value_does_not(code):
    scaled = Op("scaled", lambda x, scale: x + 0.0, (lambda y, x, scale: scale, lambda y, x, scale: 0.0))
    w, v = Value(0.5), Value(2.0)
    rows = [[1.0], [2.0], [6.0]]
    assert_like_eager(lambda x: mc.tanh(scaled(w * v, x)) * v, [Value(1.0)], [w, v], rows)
    assert_like_eager(lambda x: mc.sin(scaled(w, x)) * x, [Value(1.0)], [w], rows)


def test_a_large_graph_and_one_of_many_functions(code):
    rng = random.Random(0)
    ws = [Value(rng.uniform(-1, 1)) for _ in range(30)]
    choices = [(rng.randrange(5), rng.randrange(30), rng.randrange(30)) for _ in range(1500)]

    kinds = [operator.mul, operator.add, lambda x, y: mc.tanh(x), lambda x, y: mc.relu(y), lambda x, y: 0.5 * x - y]

    def f(*xs):
        pool = [*xs, *ws]
        for kind, a, b in choices:
            made = kinds[kind](pool[-1 - a], pool[-1 - b])
            pool.append(mc.tanh(made) if len(pool) % 7 == 0 else made * 0.7)
        return mc.sum(pool[-30:])

    rows = [[rng.uniform(-1, 1) for _ in range(3)] for _ in range(18)]
    assert_like_eager(f, [Value(0.5) for _ in range(3)], ws, rows, rel=1e-9)


def test_a_hundred_thousand_nodes_compile():
    x, w = Value(0.5), Value(1.0 - 1e-6)
    y = x
    for i in range(100_000):
        y = y * w if i % 2 else y + w * 1e-6
    program = compile(y, [x])
    y.backward()
    expected, w.grad = w.grad, 0.0
    program.backward([[0.5]])
    assert w.grad == pytest.approx(expected, rel=1e-9)


def test_code_grows_with_the_graph_and_no_function_with_it():
    def program(n):
        x, w = Value(0.5), Value(0.9)
        y = x
        for _ in range(n):
            y = mc.sin(y * w)
        return compile(y, [x])

    def longest(text):
        return max(len(body.split("\n")) for body in text.split("\ndefine "))

    programs = [program(1000), program(4000)]
    small, large = [program.source() for program in programs]
    assert len(large) < 4.3 * len(small)
    assert longest(large) <= longest(small) + 10
    assert len(kernels(programs[1])) < len(kernels(programs[0])) + 100
    words = [len(program._modules.get("gradient", Threaded).layout.table) for program in programs]
    assert words[1] < 4.1 * words[0]


def test_no_function_grows_with_the_number_of_outputs():
    def body(n):
        x, w = Value(0.5), Value(0.9)
        outputs = [w * float(i) + (x if i % 2 else 1.0) for i in range(n)]
        text = compile(outputs, [x]).source()
        assert (
            compile(outputs, [x]).forward([[0.25]] * 17)
            == [[0.9 * i + (0.25 if i % 2 else 1.0) for i in range(n)]] * 17
        )
        return len(re.search(r"define void @forward.*?\n}", text, re.DOTALL).group())

    assert body(200) < body(20) + 2000  # two or three calls


def test_outputs_share_one_walk_through_the_graph():
    x, w = Value(0.5), Value(0.9)
    outputs = [x]
    for _ in range(300):
        outputs.append(mc.tanh(outputs[-1] * w))
    order = ordered(outputs)
    assert len(order) == 600 + 301
    assert [node for node in order if node.op is mc.tanh][:300] == outputs[1:]


@pytest.mark.parametrize(("features", "native"), [("", 2), ("+avx,+avx2,+fma", 4), ("+avx,+avx2,+fma,+avx512f", 8)])
def test_processors_with_other_vectors(monkeypatch, code, features, native):
    here = llvm.get_host_cpu_features()
    if not all(here.get(name[1:]) for name in features.split(",") if name):
        pytest.skip(f"this processor does not have {features}")

    def narrow(self):
        made(self)
        self.name, self.features, self.native, self.fused = "", features, native, "fma" in features

    made = Machine.__init__
    monkeypatch.setattr(Machine, "__init__", narrow)
    model = MLP(9, [10, 2], activation="sigmoid", seed=1)
    rng = random.Random(0)
    rows = [[rng.gauss(0, 1) for _ in range(9)] for _ in range(21)]
    program = assert_like_eager(
        lambda *row: mc.logsumexp(model(row)), [Value(0.3) for _ in range(9)], model.parameters(), rows
    )
    losses = program.fit(rows, SGD(model.parameters(), lr=0.1), 3, batch_size=10)
    assert losses[2] < losses[0]
    assert f"<{native} x double>" in program.source()
    aligned = set(re.findall(rf"(?:load|store) <{native} x double>.* align (\d+)", program.source()))
    assert max(map(int, aligned)) == 8 * native  # the totals lie side by side
    assert f"<{2 * native} x double>" in program.source()


@pytest.mark.parametrize(
    ("name", "features", "native"),
    [
        ("znver5", {"avx": True, "avx512f": True}, 8),
        ("znver4", {"avx": True, "avx512f": True}, 4),  # it computes 512 bits in two halves
        ("haswell", {"avx": True, "avx512f": False}, 4),
        ("nehalem", {"avx": False}, 2),
        ("apple-m1", {"neon": True}, 2),
    ],
)
def test_vectors_are_as_wide_as_the_processor_computes(monkeypatch, name, features, native):
    monkeypatch.setattr(llvm, "get_host_cpu_name", lambda: name)
    monkeypatch.setattr(llvm, "get_host_cpu_features", lambda: llvm.FeatureMap(features))
    assert Machine().native == native


def test_a_hessian_compiles(code):
    a, b, x = Value(0.3), Value(-0.7), Value(1.5)

    def f(x):
        return mc.tanh(a * x) * mc.exp(b * x * a)

    def entries(x):
        first = gradients(f(x), [a, b], create_graph=True)
        return [second for g in first for second in gradients(g, [a, b], create_graph=True)]

    program = compile(entries(x), [x])
    for row, compiled in zip(rows := [[1.5], [-0.4], [0.0]], program.forward(rows), strict=True):
        assert compiled == pytest.approx([y.data for y in entries(Value(row[0]))], rel=1e-12)
    penalty = mc.sum([g * g for g in gradients(f(x), [a, b], create_graph=True)])
    compile(penalty, [x]).backward([[1.5]])
    compiled, a.grad, b.grad = (a.grad, b.grad), 0.0, 0.0
    mc.sum([g * g for g in gradients(f(x), [a, b], create_graph=True)]).backward()
    assert compiled == pytest.approx((a.grad, b.grad), rel=1e-12)


def test_lanes_left_over_add_no_nan_to_an_infinite_gradient(code):
    w = Value(0.0)
    assert_like_eager(lambda x: mc.log(w * x), [Value(1.0)], [w], [[1.0], [1.0], [2.0]])
    assert_like_eager(lambda x: mc.sqrt(w * x), [Value(1.0)], [w], [[k + 1.0] for k in range(19)])


def test_several_outputs_the_same_one_twice_leaves_and_constants(code):
    x, w = Value(2.0), Value(3.0)
    y = w * x
    program = compile([y, y, x, w, constant(7.0), mc.exp(w)], [x])
    assert program.forward([[5.0], [1.0]]) == [
        [15.0, 15.0, 5.0, 3.0, 7.0, math.exp(3.0)],
        [3.0, 3.0, 1.0, 3.0, 7.0, math.exp(3.0)],
    ]
    assert compile(w, [x]).backward([[1.0]] * 3) == 3.0
    assert w.grad == 1.0
    assert compile(x, [x]).forward([[4.0]]) == [4.0]
    assert compile(x, [x]).backward([[4.0], [6.0]]) == 5.0


def test_what_does_not_depend_on_an_input_or_a_parameter(code):
    x, unused, w = Value(2.0), Value(1.0), Value(3.0)
    program = compile(w * x, [x, unused])
    assert program.forward([[5.0, nan]]) == [15.0]
    program.backward([[5.0, nan]])
    assert w.grad == 5.0
    program = compile(mc.exp(w), [x])
    w.grad = 0.0
    assert program.backward([[1.0]] * 20) == pytest.approx(math.exp(3.0))
    assert w.grad == pytest.approx(math.exp(3.0))
    assert compile(x * 2, [x]).parameters == []
    assert compile(x * 2, [x]).backward([[1.0], [2.0]]) == 3.0


def test_parameters_are_read_at_each_call_and_constants_when_compiled():
    x, w, c = Value(2.0), Value(3.0), Value(4.0).detach()
    program = compile(w * x + c, [x])
    w.data, c.data = 10.0, 100.0
    assert program.forward([[1.0]]) == [14.0]
    assert program.parameters == [w]


# What is not done


def functions(text, kind):
    """Return the text of the functions of a phase."""
    return "".join(re.findall(rf"define internal void @{kind}\d+.*?\n}}", text, re.DOTALL))


def test_what_depends_on_parameters_alone_is_computed_once_a_batch():
    x, w = Value(2.0), Value(3.0)
    text = compile(mc.sin(w) * x + mc.dot([w] * 9, [w] * 9), [x]).source()
    assert "@sin(" in functions(text, "batch")
    assert "sin" not in functions(text, "sample")
    assert "@cos(" in functions(text, "batch") + functions(text, "after")
    assert "cos" not in functions(text, "sample")
    assert "loop" not in functions(text, "sample")


def test_common_subexpressions_are_computed_once():
    x, w = Value(2.0), Value(3.0)
    text = compile(mc.sin(w * x) + mc.sin(x * w) * 2.0, [x]).source()
    assert functions(text, "sample").count("@vector_sin(") == 1


def test_gradients_that_nobody_asked_for_are_not_computed():
    x, w = Value(2.0), Value(3.0)
    assert "cos" not in compile(w * mc.sin(x), [x]).source()
    assert "cos" in compile(w * mc.sin(w * x), [x]).source()


def test_products_and_their_sum_are_one_loop():
    parameters = [Value(0.1 * k) for k in range(100)]
    x = Value(2.0)
    penalty = mc.sum([p * p for p in parameters])
    program = compile([penalty * x], inputs=[x])
    assert program.forward([[2.0]])[0] == pytest.approx([2.0 * penalty.data], rel=1e-14)
    assert program.source("llvm").count("fmul") < 50  # not one for each


def test_products_are_rounded_as_in_the_graph(code):
    a, b, c, w = Value(0.1), Value(0.1), Value(-0.1), Value(1.0)
    tenths = [k / 10 for k in range(1, 10)]
    for f in (lambda a, b, c: mc.sqrt(a * a - b * b), lambda a, b, c: mc.sqrt(mc.sum([a * a, b * c]))):
        program = compile(w * f(a, b, c), [a, b, c])
        assert program.forward([[x, x, -x] for x in tenths]) == [0.0] * 9
        w.grad = 0.0
        program.backward([[0.1, 0.1, -0.1], [0.5, 0.3, -0.3]])
        assert w.grad == 0.5 * f(0.5, 0.3, -0.3)
    for f, row in (
        (lambda a, b, c: mc.sum([a * a, b, c]), [1e200, -inf, 0.0]),
        (lambda a, b, c: mc.sum([a * a, b, c]), [1.35e154, -1e308, 0.0]),
        (lambda a, b, c: a * a - b, [1e200, inf, 0.0]),
        (lambda a, b, c: a * a - b, [1.35e154, 1e308, 0.0]),
    ):
        [found] = compile(f(a, b, c), [a, b, c]).forward([row])
        assert found == f(*row) or math.isnan(found) == math.isnan(f(*row)) is True


def test_long_sums_of_products_with_and_without_parameters_are_two_loops():
    def size(n):
        xs, ws = [Value(0.1) for _ in range(n)], [Value(0.5) for _ in range(10)]
        return len(compile(mc.dot([*ws, *xs], [*xs[:10], *xs]), xs).source())

    assert size(1000) < size(100) + 200


def kernels(program):
    """Return the text of the functions of a program's threaded code."""
    return program._modules.get("gradient", Threaded).text


def test_threaded_code_has_a_function_for_each_form_and_formula():
    def program(n):
        x, w = Value(0.5), Value(0.9)
        y = x
        for _ in range(n):
            y = mc.silu(y * w)
        return compile(y, [x])

    few, many = kernels(program(10)), kernels(program(300))
    assert few.count("define void @kernel") == many.count("define void @kernel") < 15
    assert many.count("call <") == few.count("call <") < 30  # of exp, and in it


def test_a_result_that_is_a_constant_may_have_partials_that_are_formulas(code):
    straight = Op("straight", lambda q, x: q, (lambda y, q, x: 0.0, lambda y, q, x: mc.sech(y) * mc.sech(y)))
    w, x = Value(0.3), Value(2.0)
    compile(straight(0.25, w) * x, [x]).backward([[2.0]])
    assert w.grad == pytest.approx(2.0 * mc.sech(0.25) ** 2, rel=1e-14)


def test_what_depends_on_parameters_alone_in_a_formula_is_computed_once_a_batch():
    tempered = Op(
        "tempered",
        lambda x, w: x * mc.tanh(x) * mc.div(1.0, mc.sinh(mc.softplus(w))),
        (lambda y, x, w: x * x * mc.div(1.0, mc.sinh(mc.softplus(w))), lambda y, x, w: 0.0 * x),
    )
    x, ws = Value(0.5), [Value(0.1 * k) for k in (1, 4, 9)]
    program = assert_like_eager(lambda x: mc.sum([tempered(x, w) for w in ws]), [x], ws, [[0.5], [-2.0], [3.0]])
    text = program.source()
    assert "sinh" in functions(text, "batch")
    assert "sinh" not in functions(text, "sample")
    assert "@sinh(" in kernels(program)
    assert "@vector_sinh(" not in kernels(program)
    assert "@vector_tanh(" in kernels(program)


def test_formulas_of_many_operands_or_constants_do_not_make_code_grow_faster():
    def of_operands(n):
        xs, ws = [Value(0.1) for _ in range(n)], [Value(0.5) for _ in range(n)]
        return compile(mc.logsumexp([w * x for w, x in zip(ws, xs, strict=True)]), xs)

    def of_constants(n):
        x, y = Value(0.5), Value(0.9)
        for k in range(n):
            y = mc.elu(y * x, 0.5 + 0.001 * k)
        return compile(y, [x])

    assert len(of_operands(200).source()) < 2.5 * len(of_operands(100).source())
    assert len(of_constants(400).source()) < 2.5 * len(of_constants(200).source())
    assert len(kernels(of_operands(200))) < 100 + len(kernels(of_operands(100)))
    assert len(kernels(of_constants(200))) < 100 + len(kernels(of_constants(100)))


def test_a_long_dot_stays_a_loop():
    def size(n):
        xs, ws = [Value(1.0) for _ in range(n)], [Value(1.0) for _ in range(n)]
        return len(compile(mc.dot(ws, xs), xs).source())

    assert size(1000) < size(100) + 100


def test_a_program_is_not_copied():
    x, w = Value(2.0), Value(3.0)
    for copied in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="compile the graph again"):
            copied(compile(w * x, [x]))


def test_code_is_freed_with_the_program(code):
    x, w = Value(2.0), Value(3.0)
    program = compile(w * x, [x])
    program.backward([[1.0]])
    program.fit([[1.0]], SGD([w], lr=0.1), 1)
    module = program._modules.best("gradient")
    assert isinstance(module.layout, Threaded) == (code == "threaded")
    freed = weakref.ref(module.compiled.engine)
    assert freed() is not None
    del program, module
    gc.collect()
    assert freed() is None


def test_what_has_run_for_long_gets_code_of_its_own(monkeypatch):
    monkeypatch.setattr("micrograd_cn.compiler.modules.PATIENCE", 1e9)
    x, w = Value(2.0), Value(3.0)
    y = mc.tanh(w * x)
    program = compile(y, [x])
    assert isinstance(program._modules.best("forward").layout, Threaded)
    program.forward([[0.5]])
    module = program._modules.best("forward")
    assert isinstance(module.layout, Threaded)
    assert module.seconds > 0.0
    module.seconds = 1e9 * module.size
    assert isinstance(program._modules.best("forward").layout, Assembly)
    assert isinstance(program._modules.best("gradient").layout, Threaded)
    monkeypatch.setattr("micrograd_cn.compiler.modules.LARGEST", 1)
    program = compile(y, [x])
    program._modules.best("forward").seconds = inf
    assert isinstance(program._modules.best("forward").layout, Threaded)


def test_training_that_has_run_or_is_going_to_run_for_long_gets_code_of_its_own(monkeypatch):
    monkeypatch.setattr("micrograd_cn.compiler.modules.PATIENCE", 1e9)
    parameters, program, rows, _ = problem()
    optimizer = SGD(parameters, lr=0.01)
    program.fit(rows, optimizer, 2)
    module = program._modules.best("gradient")
    assert isinstance(module.layout, Threaded)
    seconds = module.seconds
    program.fit(rows, optimizer, 2)
    assert module.seconds > seconds > 0.0
    training = Training(program._modules, optimizer)
    training.expect(1.0, 1e9)
    assert training.module is module
    training.expect(1e9 * module.size, 0.0)
    assert training.module is module
    training.expect(1.0, 1e9 * module.size)
    assert isinstance(training.module.layout, Assembly)
    assert program._modules.best("gradient") is training.module
    training.write_back()


def test_memory_is_never_there_twice(monkeypatch):
    parameters, program, *_ = problem()
    optimizer = SGD(parameters, lr=0.01)
    training = Training(program._modules, optimizer)
    module, memory = training.module, training.memory

    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "done", interrupted)
    with pytest.raises(KeyboardInterrupt):
        training.expect(1.0, inf)
    monkeypatch.undo()
    training.write_back()
    assert memory not in module._unused
    assert memory not in training.module._unused


def test_other_threads_go_on_while_code_is_made(monkeypatch):
    x, w = Value(2.0), Value(3.0)
    program = compile(mc.tanh(w * x), [x])
    modules = program._modules
    modules.best("forward").seconds = inf
    found = []

    def better(module):
        thread = threading.Thread(target=lambda: found.append(program.forward([[0.5]])))
        thread.start()
        thread.join(60)
        found.append(isinstance(modules.get("forward", Assembly).layout, Assembly))
        return module

    monkeypatch.setattr(modules, "better", better)
    assert program.forward([[0.5]]) == [math.tanh(1.5)]
    assert found == [[math.tanh(1.5)], True]


def test_the_size_of_a_formula_is_that_of_its_instructions():
    def long(x):
        for _ in range(30):
            x = mc.sin(x) * 0.9
        return x

    x, w = Value(2.0), Value(3.0)
    program = compile(mc.sum([Op("long", long, (lambda y, x: 1.0,))(w * x + i) for i in range(10)]), [x])
    sizes = [program._modules.get("forward", layout).size for layout in (Threaded, Assembly)]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.1)
    assert sizes[1] > 1000


def test_no_function_grows_with_a_formula():
    def longest(n, count):
        def many(*xs):
            y = xs[0]
            for i in range(n):
                y = mc.sin(y) * xs[i % len(xs)] + 0.1
            return y

        w = Value(0.2)
        program = compile(Op("many", many, (lambda *_: 1.0,) * count)(*[w] * count) * w, [])
        return max(map(len, kernels(program).split("\ndefine "))), program

    for count in (1, 3, 5):
        (short, _), (long, program) = longest(100, count), longest(1000, count)
        assert long == pytest.approx(short, abs=500)
        assert program.forward([[]])[0] == pytest.approx(program._outputs[0].data, rel=1e-12)


def test_code_of_its_own_has_the_formulas_of_the_threaded_code():
    factor = [0.5]
    scaled = Op("scaled", lambda x: x * factor[0], (lambda y, x: factor[0],))
    x = Value(1.0)
    program = compile(scaled(x), [x])
    factor[0] = 2.0
    assert program.forward([[1.0]]) == [0.5]
    program._modules.best("forward").seconds = inf
    assert program.forward([[1.0]]) == [0.5]
    assert isinstance(program._modules.best("forward").layout, Assembly)


def test_code_of_its_own_has_the_constants_and_parameters_of_the_threaded_code():
    x, w, v, c = Value(2.0), Value(3.0), Value(5.0), Value(4.0).detach()
    program = compile(w * x + v * c, [x])
    assert program.forward([[1.0]]) == [23.0]
    c.data, w.data, v.requires_grad = 100.0, 10.0, False
    assert "4.0" in program.source("python")
    program._modules.best("forward").seconds = program._modules.best("gradient").seconds = inf
    assert program.forward([[1.0]]) == [30.0]
    program.backward([[1.0]])
    assert (w.grad, v.grad, c.grad) == (1.0, 0.0, 0.0)  # v is frozen
    assert isinstance(program._modules.best("gradient").layout, Assembly)


# Rows


def test_rows_may_be_anything_with_numbers():
    x, w, t = Value(2.0), Value(3.0), Value(1.0)
    program = compile(w * x + t, [x, t])
    expected = [31.0, 62.0]
    flat = array("d", [10.0, 1.0, 20.0, 2.0])
    matrix = np.array([[10.0, 1.0], [20.0, 2.0]])
    frozen = matrix.copy()
    frozen.flags.writeable = False
    for rows in (
        [[10, 1], [20, 2]],
        ((10.0, True), (20, 2)),
        [np.array([10, 1]), np.array([20, 2])],
        [[np.float32(10), np.int64(1)], [20, 2]],
        matrix,
        frozen,
        np.asfortranarray(matrix),
        np.repeat(matrix, 2, axis=0)[::2],
        memoryview(flat).cast("B").cast("d", (2, 2)),
    ):
        assert program.forward(rows) == expected
        w.grad = 0.0
        assert program.backward(rows) == 46.5
        assert w.grad == 15.0
    for rows in ([[], [], []], np.empty((3, 0))):
        assert compile(w * 2, []).forward(rows) == [6.0, 6.0, 6.0]


def test_numpy_is_not_imported():
    code = "import sys; from micrograd_cn.compiler import compile; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_zero_rows():
    x, w = Value(2.0), Value(3.0)
    program = compile(w * x, [x])
    assert program.forward([]) == program.forward(np.empty((0, 1))) == []
    assert compile([w * x], [x]).forward([]) == []
    for refused in (lambda: program.backward([]), lambda: program.fit([], SGD([w]), 1), lambda: program.check([], abs)):
        with pytest.raises(ValueError, match="no rows"):
            refused()


@pytest.mark.parametrize(
    ("rows", "exception", "message"),
    [
        ([[1.0, 2.0], [1.0]], ValueError, r"rows\[1\] has 1 numbers, the program 2 inputs"),
        ([[1.0, 2.0, 3.0]], ValueError, r"rows\[0\] has 3 numbers"),
        (np.zeros((3, 1)), ValueError, "rows have 1 numbers, the program 2 inputs"),
        (np.zeros((3, 2), dtype=np.float32), TypeError, "doubles"),
        (np.zeros((3, 2), dtype=np.int64), TypeError, "doubles"),
        (np.zeros(2), TypeError, "two dimensions"),
        (array("d", [1.0, 2.0]), TypeError, "cast"),
        ([1.0, 2.0], TypeError, r"rows\[0\] must be a sequence"),
        (["ab"], TypeError, r"rows\[0\] must be a sequence"),
        ([[1.0, "2"]], TypeError, "real number"),
        ([[1.0, None]], TypeError, "real number"),
        ([[1.0, Value(2.0)]], TypeError, "real number"),
        ([[1.0, 2j]], TypeError, "real number"),
    ],
)
def test_wrong_rows_are_refused(rows, exception, message):
    x, t, w = Value(2.0), Value(1.0), Value(3.0)
    program = compile(w * x + t, [x, t])
    for run in (program.forward, program.backward, lambda rows: program.fit(rows, SGD([w]), 1)):
        with pytest.raises(exception, match=message):
            run(rows)
    assert w.grad == 0.0


# What is refused


def test_wrong_inputs_and_outputs_are_refused():
    x, w = Value(2.0, "x"), Value(3.0)
    y = w * x
    for output, inputs, exception, message in (
        (y, [y], ValueError, r"inputs\[0\].*is computed \(mul\), not a leaf"),
        (y, [x, x], ValueError, r"inputs\[1\].*twice"),
        (y, [constant(1.0)], ValueError, "constant"),
        (y, [1.0], TypeError, "not a Value"),
        (1.0, [x], TypeError, "takes a Value or a list"),
        ([y, 1.0], [x], TypeError, r"output\[1\]"),
        ([], [x], ValueError, "needs an output"),
    ):
        with pytest.raises(exception, match=message):
            compile(output, inputs)
    with pytest.raises(ValueError, match="one output"):
        compile([y, y], [x]).backward([[1.0]])
    with pytest.raises(RuntimeError, match="constant"):
        compile(constant(1.0), [x]).backward([[1.0]])


def test_an_own_row_compiles_if_it_is_written_in_rows(code):
    cube = Op("cube", lambda x: x * x * x, (lambda y, x: 3.0 * x * x,))
    w = Value(3.0)
    assert_like_eager(lambda x: cube(w * x) + mc.tanh(w), [Value(1.0)], [w], [[1.0], [-2.0]])
    bent = Op(
        "bent",
        lambda x: x if x > 0.0 else 0.0,
        (lambda y, x: mc.step(x),),
        formula=lambda x: mc.where(mc.step(x), x, 0.0),
    )
    assert_like_eager(lambda x: bent(w * x), [Value(1.0)], [w], [[1.0], [-2.0]])


@pytest.mark.parametrize(
    "row",
    [
        Op("odd_one", lambda x: math.sin(x), (lambda y, x: mc.cos(x),)),
        Op("odd_one", lambda x: x if x > 0.0 else 0.0, (lambda y, x: mc.step(x),)),
        Op("odd_one", lambda x: x * x, (lambda y, x: 2.0 if x > 0.0 else 3.0,)),
    ],
)
def test_an_own_row_that_cannot_be_compiled_is_named(row):
    x, w = Value(2.0), Value(3.0)
    with pytest.raises(TypeError, match="odd_one"):
        compile(record(row, (w * x,)), [x]).backward([[1.0]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"formula": lambda x: None}, "odd.*TypeError in its formula"),
        ({"formula": lambda x: {1.0: 2.0}[x]}, "odd.*KeyError in its formula"),
        ({"formula": lambda x: 1 / 0}, "odd.*ZeroDivisionError in its formula"),
        ({"machine": "fadd"}, "odd.*has 1 operands, its machine form 'fadd' 2"),
        ({"machine": "fcmp xyz"}, "odd.*fcmp xyz.*comparisons are"),
        ({"machine": "fcmp"}, "odd.*comparisons are"),
        ({"machine": "sum"}, "odd.*'sum', which is no name of a function"),
        ({"machine": "no such"}, "odd.*'no such', which is no name of a function"),
    ],
)
def test_a_mistake_in_an_own_row_names_it(options, message):
    row = Op("odd", lambda x: 1.0, (lambda y, x: 0.0,), **options)
    with pytest.raises(TypeError, match=message):
        compile(record(row, (Value(2.0),)), [])


def test_partials_that_cannot_be_compiled_name_the_row():
    for partial in (lambda y, x: None, lambda y, x: (1.0, 2.0)):
        program = compile(record(Op("odd", lambda x: x, (partial,), formula=lambda x: x), (Value(2.0),)), [])
        with pytest.raises(TypeError, match=r"odd.* in its partials"):
            program.backward([[]])


@pytest.mark.parametrize(
    ("form", "count"),
    [("nosuch", 1), ("kernel0", 1), ("totals", 2), ("gradient", 1), ("frem", 2), ("llvm.flor", 1), ("llvm.sqrt", 2)],
)
def test_an_own_row_with_an_unknown_machine_form_is_refused(code, form, count):
    row = Op("odd_one", lambda *xs: xs[0], (lambda *_: 1.0,) * count, machine=form)
    within = Op("outer", lambda *xs: row(*xs) * 2.0, (lambda *_: 2.0,) * count)
    x, w = Value(2.0), Value(3.0)
    for odd in (row, within):
        for xs in ((x,) * count, (w,) * count):
            with pytest.raises(TypeError, match=f"'odd_one' has the machine form '{form}'"):
                compile(record(odd, xs), [x]).forward([[1.0]])


def test_an_own_row_is_written_in_python_by_its_formula():
    w, x = Value(2.0), Value(3.0)
    cosine = Op("cosine", math.cos, (lambda y, x: -mc.sin(x),), machine="cos", formula=mc.cos.forward)
    with pytest.raises(TypeError, match=r"'cosine' is not written in the table"):
        compile(record(cosine, (w * x,)), [x]).source("python")
    cosine = Op("cosine", math.cos, (lambda y, x: -mc.sin(x),), machine="cos", formula=lambda x: mc.cos(x))
    text = compile(record(cosine, (w * x,)), [x]).source("python")
    assert "xp.cos(" in text
    assert "cosine" not in text


def test_an_own_row_may_have_any_intrinsic(code):
    row = Op("whole", lambda x: float(math.floor(x)), (lambda y, x: 0.0,), machine="llvm.floor")
    x = Value(2.0)
    assert compile(record(row, (x,)), [x]).forward([[2.5], [-0.5]]) == [2.0, -1.0]


def test_a_missing_llvmlite_is_named():
    code = "import sys; sys.modules['llvmlite'] = None; import micrograd_cn.compiler"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install 'micrograd-cn[native]'" in done.stderr


# Training


def problem(seed=0, extra=0):
    """Return parameters, a program of their loss, and rows."""
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
    "adam": lambda ps: Adam(ps, lr=0.01, weight_decay=0.01),
    "adamw": lambda ps: AdamW(ps, lr=0.01, betas=(0.8, 0.99)),
}


def loop(program, rows, optimizer, epochs, batch, shuffle=None):
    """Do in Python what `fit` says it does."""
    losses, order = [], list(range(len(rows)))
    for _ in range(epochs):
        if shuffle:
            shuffle.shuffle(order)
        total = 0.0
        for start in range(0, len(rows), batch):
            chosen = [rows[i] for i in order[start : start + batch]]
            optimizer.zero_grad()
            total += program.backward(chosen) * len(chosen)
            optimizer.step()
        losses.append(total / len(rows))
    return losses


def everything(parameters, optimizer):
    return [p.data for p in parameters], [p.grad for p in parameters], optimizer.state_dict()


@pytest.mark.parametrize("make", OPTIMISERS.values(), ids=OPTIMISERS)
@pytest.mark.parametrize("batch", [None, 16, 10, 1, 100])
def test_fit_is_the_loop_of_steps_to_the_bit(make, batch, monkeypatch):
    monkeypatch.setattr("micrograd_cn.compiler.modules.PATIENCE", 1e-7)  # so that it goes over to other code at once
    (ours, program, rows, _), (theirs, other, _, _) = problem(), problem()
    mine, yours = make(ours), make(theirs)
    losses = program.fit(rows, mine, 5, batch_size=batch, shuffle=random.Random(1))
    losses += program.fit(rows, mine, 3, batch_size=batch)
    expected = loop(other, rows, yours, 5, batch or 37, random.Random(1))
    expected += loop(other, rows, yours, 3, batch or 37)
    assert losses == pytest.approx(expected, rel=1e-12)
    assert everything(ours, mine) == everything(theirs, yours)


def test_fit_is_the_eager_training_and_eager_training_goes_on_from_it():
    (ours, program, rows, model), (theirs, _, _, other) = problem(), problem()
    mine, yours = OPTIMISERS["adam"](ours), OPTIMISERS["adam"](theirs)
    program.fit(rows, mine, 3, batch_size=10)
    for net, optimizer, epochs in ((other, yours, 5), (model, mine, 2)):
        parameters = net.parameters()
        for _ in range(epochs):
            for start in range(0, 37, 10):
                batch = rows[start : start + 10]
                fits = [(net([Value(x) for x in row[:3]]) - row[3]) ** 2 for row in batch]
                loss = mc.mean(fits) + 1e-3 * mc.sum([p * p for p in parameters])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    assert [p.data for p in ours] == pytest.approx([p.data for p in theirs], rel=1e-10)


def test_the_optimiser_may_have_more_parameters_or_fewer(code):
    (ours, program, rows, _), (theirs, other, _, _) = problem(extra=20), problem(extra=20)
    for p in (ours[3], theirs[3]):
        p.requires_grad = False  # for the optimiser; the programs have compiled it as a parameter
    for chosen in (slice(2, None), slice(None, None, -1), slice(0, 1), slice(30, None)):
        mine, yours = OPTIMISERS["nesterov"](ours[chosen]), OPTIMISERS["nesterov"](theirs[chosen])
        program.fit(rows, mine, 2, batch_size=16)
        loop(other, rows, yours, 2, 16)
        held = [p.data for p in ours]
        assert held == [p.data for p in theirs]
        assert mine.state_dict() == yours.state_dict()
        assert [p.grad for p in mine.parameters if p.requires_grad] == [
            p.grad for p in yours.parameters if p.requires_grad
        ]


class Interrupting:
    """Shuffle twice, then behave as Ctrl-C does."""

    def __init__(self):
        self.left = 2

    def shuffle(self, order):
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1


def test_what_was_trained_is_kept_when_interrupted(code):
    (ours, program, rows, _), (theirs, other, _, _) = problem(), problem()
    mine, yours = OPTIMISERS["adamw"](ours), OPTIMISERS["adamw"](theirs)
    with pytest.raises(KeyboardInterrupt):
        program.fit(rows, mine, 10, batch_size=16, shuffle=Interrupting())
    loop(other, rows, yours, 2, 16)
    assert everything(ours, mine) == everything(theirs, yours)
    assert mine.steps == 6


@pytest.mark.skipif(os.name == "nt", reason="signals to oneself")
def test_ctrl_c_ends_training_between_two_steps(code, monkeypatch):
    (ours, program, rows, _), (theirs, other, _, _) = problem(), problem()
    mine, yours = OPTIMISERS["momentum"](ours), OPTIMISERS["momentum"](theirs)
    running = threading.Event()

    class Bar:
        def set_postfix(self, **_):
            pass

        def update(self, steps):
            if steps > 1:
                running.set()

        def close(self):
            pass

    monkeypatch.setattr("micrograd_cn.compiler.program._bar", lambda steps: Bar())

    def interrupt():
        running.wait()
        os.kill(os.getpid(), signal.SIGINT)

    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background job does not have
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            program.fit(rows, mine, 10**12, progress=True)
    finally:
        thread.join()
        signal.signal(signal.SIGINT, handler)
    assert 1 < mine.steps < 10**12
    other.fit(rows, yours, mine.steps)
    assert everything(ours, mine) == everything(theirs, yours)


def test_a_parameter_that_was_frozen_after_compiling_gets_no_gradient():
    x, v, w = Value(1), Value(2), Value(3)
    program = compile(v * w * x, [x])
    v.requires_grad = False
    program.backward([[1.0], [2.0]])
    assert (v.grad, w.grad) == (0.0, 3.0)


def test_an_own_optimiser_compiles_if_it_is_written_in_rows():
    class Signs(Optimizer):
        slots = ("largest", "rate")

        def update(self, p, state):
            state["largest"] = mc.maximum(state["largest"], mc.abs(p.grad))
            state["rate"] = self.lr / self.steps
            p.data -= state["rate"] * mc.where(mc.less(0.0, p.grad), 1.0, -1.0)

    (ours, program, rows, _), (theirs, other, _, _) = problem(), problem()
    mine, yours = Signs(ours, lr=0.1), Signs(theirs, lr=0.1)
    program.fit(rows, mine, 4, batch_size=16)
    loop(other, rows, yours, 4, 16)
    assert everything(ours, mine) == everything(theirs, yours)

    class Rounding(Optimizer):
        def update(self, p, state):
            p.data = math.floor(p.data)

    class Averaging(Optimizer):
        def update(self, p, state):
            p.data -= self.lr * p.grad / len(self.parameters)  # the compiled update serves any number of them

    class Clipping(SGD):
        def step(self):
            mc.optim.clip_grad_norm(self.parameters, 1.0)
            super().step()

    for refused in (Rounding, Averaging, Clipping):
        with pytest.raises(TypeError, match=refused.__name__):
            program.fit(rows, refused(ours, lr=0.1), 1)


def test_an_optimiser_of_which_the_options_do_not_tell_the_update_is_compiled_anew():
    class Scaled(Optimizer):
        def __init__(self, parameters, lr):
            super().__init__(parameters, lr)
            self.factors = [1.0]

        def update(self, p, state):
            p.data -= self.lr * self.factors[0] * p.grad

    x, w = Value(1.0), Value(0.0)
    program = compile(w * x, [x])
    optimizer = Scaled([w], lr=1.0)
    program.fit([[1.0]], optimizer, 1)
    kept = len(program._modules.made)
    optimizer.factors[0] = 10.0
    program.fit([[1.0]], optimizer, 1)
    assert w.data == -11.0
    assert len(program._modules.made) == kept


def test_fit_refuses_what_it_cannot_do():
    parameters, program, rows, _ = problem()
    optimizer = SGD(parameters)
    for arguments, exception, message in (
        ({"epochs": -1}, ValueError, "epochs"),
        ({"epochs": 1.5}, ValueError, "epochs"),
        ({"epochs": 1, "batch_size": 0}, ValueError, "batch_size"),
        ({"epochs": 1, "batch_size": True}, ValueError, "batch_size"),
    ):
        with pytest.raises(exception, match=message):
            program.fit(rows, optimizer, **arguments)
    with pytest.raises(TypeError, match="optimizer"):
        program.fit(rows, parameters, 1)
    x, w = Value(1.0), Value(1.0)
    with pytest.raises(ValueError, match="is an input"):
        compile(w * x, [x]).fit([[1.0]], SGD([w, x]), 1)
    before = [p.data for p in parameters]
    for change in (list.pop, lambda order: order.append(0), lambda order: operator.setitem(order, 0, 37)):
        with pytest.raises(ValueError, match="shuffle"):
            program.fit(rows, optimizer, 1, shuffle=SimpleNamespace(shuffle=change))
    assert program.fit(rows, optimizer, 0) == []
    assert [p.data for p in parameters] == before


def test_progress_is_shown_on_stderr(capsys):
    parameters, program, rows, _ = problem()
    program.fit(rows, SGD(parameters, lr=0.01), 4, batch_size=10, progress=True)
    shown = capsys.readouterr()
    assert "16/16" in shown.err
    assert "loss=" in shown.err
    assert shown.out == ""


def test_threads_run_one_program_at_the_same_time():
    _, program, _, _ = problem()
    rng = random.Random(5)
    batches = [[[rng.uniform(-1, 1) for _ in range(4)] for _ in range(50)] for _ in range(8)]
    expected = [program.forward(batch) for batch in batches]
    results = [[] for _ in batches]

    def run(i):
        for _ in range(200):
            results[i].append(program.forward(batches[i]))

    threads = [threading.Thread(target=run, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for found, right in zip(results, expected, strict=True):
        assert all(one == right for one in found)
        assert len(found) == 200


# Branches, and the program's text


def test_check_finds_a_branch_that_the_graph_does_not_have():
    w = Value(2.0)

    def branching(x):
        return w * x if x > 0 else -x

    def choosing(x):
        return mc.where(mc.less(0.0, x), w * x, -x)

    rows = [[1.0], [2.0], [-3.0]]
    x = Value(1.0)
    compile(choosing(x), [x]).check(rows, choosing)
    with pytest.raises(Mismatch, match=r"row 2, \[-3.0\]: the function gives 3.0, the graph -6.0"):
        compile(branching(x), [x]).check(rows, branching)
    with pytest.raises(Mismatch, match="row 2"):
        compile(branching(x), [x]).check(iter(rows), branching)
    compile([x * 2, w * x], [x]).check(rows, lambda x: [x * 2, w * x])
    with pytest.raises(Mismatch, match="row 0"):
        compile([x * 2, w * x], [x]).check(rows, lambda x: [x * 2])
    compile(mc.log(x), [x]).check([[-1.0], [0.0]], mc.log)


def test_the_llvm_source_is_what_runs():
    x, w = Value(2.0), Value(3.0)
    assert "define double @gradient(" in compile(w * x, [x]).source("llvm")
    assert "define void @forward(" in compile([w * x], [x]).source()
    with pytest.raises(ValueError, match='"llvm" or "python"'):
        compile(w * x, [x]).source("c")


def python(program):
    names = {}
    exec(program.source("python"), names)
    return names["f"]


def every_row_once(xs, ws):
    """Return a list of outputs that meets every row of the table."""
    outputs = []
    for op in OPS.values():
        n = {"dot": 5}.get(op.name, op.arity or 3)
        operands = [(xs[i % len(xs)] if i % 2 else ws[i % len(ws)]) for i in range(n)]
        first = mc.sigmoid(operands[0] * xs[0]) * 0.8 + 0.1  # inside every domain
        outputs.append(record(op, (first, *operands[1:])))
    return outputs


@pytest.mark.parametrize("name", ["numpy", "torch", "jax"])
def test_the_python_source_runs_on_array_engines(name):
    if name == "numpy":
        xp, array_, back = np, np.asarray, np.asarray
    elif name == "torch":
        xp = pytest.importorskip("torch")
        array_, back = (lambda x: xp.tensor(x, dtype=xp.float64)), (lambda x: np.asarray(x))
    else:
        jax = pytest.importorskip("jax")
        jax.config.update("jax_enable_x64", True)
        xp, array_, back = jax.numpy, jax.numpy.asarray, np.asarray
    xs, ws = [Value(0.3), Value(-0.8)], [Value(0.7), Value(1.2)]
    program = compile(every_row_once(xs, ws), xs)
    rng = random.Random(0)
    rows = [[rng.uniform(-2, 2), rng.uniform(-2, 2)] for _ in range(20)]
    columns = [array_([row[k] for row in rows]) for k in range(2)]
    found = python(program)(xp, [array_(p.data) for p in program.parameters], columns)
    expected = program.forward(rows)
    for k, (row, column) in enumerate(zip(OPS, found, strict=True)):
        numbers = np.broadcast_to(back(column), 20)
        assert numbers == pytest.approx([outputs[k] for outputs in expected], rel=1e-12), row


def test_the_python_source_runs_on_math():
    xs, ws = [Value(0.3), Value(-0.8)], [Value(0.7), Value(1.2)]
    program = compile(every_row_once(xs, ws), xs)
    [expected] = program.forward([[0.3, -0.8]])
    assert python(program)(math, [p.data for p in program.parameters], [0.3, -0.8]) == pytest.approx(
        expected, rel=1e-12
    )


def test_the_python_source_is_readable():
    x, w, b = Value(2.0), Value(3.0), Value(1.0)
    assert compile(mc.relu(mc.dot([w], [x], b)), [x]).source("python") == (
        "def f(xp, parameters, inputs):\n"
        "    [w0, w1] = parameters\n"
        "    [x0] = inputs\n"
        '    where = getattr(xp, "where", lambda condition, a, b: a if condition else b)  # math has none\n'
        "    v0 = w0 * x0 + w1\n"
        "    v1 = where(v0 < 0.0, 0.0, v0)\n"
        "    return v1\n"
    )
