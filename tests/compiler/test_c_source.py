"""The C source compiles without a warning, as C++ too, and gives the numbers of the engine."""

import ctypes
import math
import random
import re
import shutil
import subprocess
from functools import cache
from itertools import pairwise, product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import micrograd_cn as mc
from micrograd_cn import OPS, Op, Value, gradients
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.c_text import Text
from micrograd_cn.compiler.c_text import product as product_of
from micrograd_cn.engine import constant, record
from micrograd_cn.losses import cross_entropy
from micrograd_cn.nn import MLP
from micrograd_cn.optim import SGD, Adam, Optimizer
from micrograd_cn.testing import expressions
from micrograd_cn.testing.numerical import rounding_error
from micrograd_cn.traits import Forms
from micrograd_cn.tree import flatten

from .common import ACTIVATIONS, OPTIMISERS, close, problem, sizes
from .test_numbers import EDGES

C = ["cc", "-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror"]
CPP = ["c++", "-x", "c++", "-Wall", "-Wextra", "-pedantic", "-Werror"]
pytestmark = pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler, cc")
KINDS = {"double": ctypes.c_double, "float": ctypes.c_float}


def run_compiler(command, text, tmp_path, *more):
    """Compile a file, of which every warning is an error."""
    path = tmp_path / f"file{len(list(tmp_path.iterdir()))}"
    path.with_suffix(".c").write_text(text, "utf-8")
    out = path.with_suffix(".out")
    done = subprocess.run(
        [*command, str(path.with_suffix(".c")), "-o", str(out), *more], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[:2000]
    return out


def library(text, tmp_path, *options):
    return ctypes.CDLL(str(run_compiler([*C, *(options or ["-O0"]), "-shared", "-fPIC"], text, tmp_path, "-lm")))


class File:
    """The functions of a C file, called from Python."""

    def __init__(self, text, made, name="f", precision="double"):
        self.kind, self.name, self.made = KINDS[precision], name, made
        self.size = {n.lower(): int(x) for n, x in re.findall(rf"#define {name.upper()}_(\w+) (\d+)", text)}
        self.work, self.outputs = self.array("work"), self.array("outputs")
        self.gradient_, self.state = self.array("parameters"), self.array("state")
        self.embedded = f"{name}_weights[" in text

    def array(self, size):
        return (self.kind * self.size.get(size, 0))()

    def numbers(self, xs):
        return (self.kind * len(xs))(*xs)

    def forward(self, parameters, row):
        passed = [] if self.embedded else [self.numbers(parameters)]
        function = self.made[f"{self.name}_forward"]
        function.restype = None
        function(*passed, self.numbers(row), self.outputs, self.work)
        return list(self.outputs)

    def gradient(self, parameters, rows):
        function = self.made[f"{self.name}_gradient"]
        function.restype = self.kind
        flat = self.numbers([x for row in rows for x in row])
        n = ctypes.c_long(len(rows))
        loss = function(self.numbers(parameters), flat, n, self.gradient_, self.work)
        return loss, list(self.gradient_)

    def step(self, parameters, rows, rate):
        """Take a step; `parameters` are an array of C that is changed."""
        function = self.made[f"{self.name}_step"]
        function.restype = self.kind
        flat = self.numbers([x for row in rows for x in row])
        n = ctypes.c_long(len(rows))
        return function(parameters, self.state, flat, n, self.kind(rate), self.gradient_, self.work)


def compiled(program, tmp_path, names=None, **options):
    text = program.source("c", names, **options)
    return File(text, library(text, tmp_path), precision=options.get("precision", "double"))


def data(parameters):
    return [p.data for p in parameters]


def in_order(model):
    """Return a module's parameters in the order of their names, in which a C file has them."""
    return [leaf for _, leaf in flatten(model.entries())[0]]


# Numbers


def points_of(n, rng):
    points = list(product(EDGES, repeat=n)) if n < 3 else [[rng.choice(EDGES) for _ in range(n)] for _ in range(200)]
    return [*points, *([rng.gauss(0.0, 2.0) for _ in range(n)] for _ in range(20))]


@pytest.fixture(scope="module")
def rows_of_the_table(tmp_path_factory):
    """Return for each row the functions of its operands, and of its operands times inputs, all in one C file."""
    texts = {}
    for op in OPS.values():
        n = {"dot": 5, "take": 5}.get(op.name, op.arity or 3)
        ws, vs, xs = ([Value(0.5) for _ in range(n)] for _ in range(3))
        by_batch = compile(record(op, tuple(ws)), [])
        by_sample = compile(record(op, tuple([w * x for w, x in zip(vs, xs, strict=True)])), xs)
        for kind, program, named in (("batch", by_batch, ws), ("sample", by_sample, vs)):
            texts[op.name, kind] = program.source("c", {"operands": named}, name=f"{op.name}_{kind}")
    made = library("\n".join(texts.values()), tmp_path_factory.mktemp("table"), "-O2")
    return {key: File(text, made, "_".join(key)) for key, text in texts.items()}


@pytest.mark.parametrize("op", OPS.values(), ids=lambda op: op.name)
def test_every_row_has_its_special_values(rows_of_the_table, op):
    by_batch, by_sample = rows_of_the_table[op.name, "batch"], rows_of_the_table[op.name, "sample"]
    n = by_batch.size["parameters"]
    ws = [Value(0.5) for _ in range(n)]
    for point in points_of(n, random.Random(0)):
        for w, x in zip(ws, point, strict=True):
            w.data = x
        y = record(op, tuple(ws))
        expected = [0.0 + g for g in gradients(y, ws)]
        magnitude = math.fsum(map(abs, point)) if op.name == "sum" else 0.0
        if op.name == "dot":
            magnitude = mc.sum([abs(a * b) for a, b in zip(point[:2], point[2:4], strict=True)])
        for file, row in ((by_batch, []), (by_sample, [1.0] * n)):
            [found] = file.forward(point, row)
            assert close(found, y.data, magnitude), (point, found, y.data)
            assert math.copysign(1.0, found) == math.copysign(1.0, y.data) or found != found or magnitude, point
            loss, partials = file.gradient(point, [row])
            assert close(loss, y.data, magnitude), (point, loss)
            assert all(close(a, b) for a, b in zip(partials, expected, strict=True)), (point, partials, expected)


INSIDE = {  # where a row is a number
    **dict.fromkeys(("log", "sqrt", "pow"), lambda x: abs(x) + 1e-3),
    **dict.fromkeys(("asin", "acos"), lambda x: math.tanh(x) * 0.99),
    "log1p": lambda x: abs(x) - 0.5,
    "take": lambda x: float(int(abs(x)) % 4),
}
TERMS = {  # the largest of those that cancel: of the value, and of the derivatives
    "sum": lambda *xs: (max(map(abs, xs)), 0.0),
    "dot": lambda a, b, c, d, bias: (max(abs(a * c), abs(b * d), abs(bias)), 0.0),
    "logsumexp": lambda *xs: (max(1.0, *map(abs, xs)), 0.0),
    "silu": lambda x: (0.0, 1.0),
    "gelu": lambda x: (0.0, 1.0),
}


@pytest.mark.parametrize(("precision", "unit"), [("double", 2.0**-52), ("float", 2.0**-23)])
def test_numbers_are_within_the_ulps_that_the_docstring_names(tmp_path, precision, unit):
    operands = {
        op: [Value(0.5) for _ in range({"dot": 5, "take": 5}.get(op.name, op.arity or 3))] for op in OPS.values()
    }
    texts = {
        op: compile(record(op, tuple(ws)), []).source("c", {"w": ws}, name=op.name, precision=precision)
        for op, ws in operands.items()
    }
    made, rng = library("\n".join(texts.values()), tmp_path, "-O2"), random.Random(0)
    for op, ws in operands.items():
        file = File(texts[op], made, op.name, precision)
        most = 4 if precision == "double" else 32 if op.name in ("erf", "erfc", "gelu") else 8
        for _ in range(100):
            point = [rng.gauss(0.0, 2.0) for _ in ws]
            point[0] = INSIDE.get(op.name, float)(point[0])
            point = [ctypes.c_float(x).value for x in point]
            for w, x in zip(ws, point, strict=True):
                w.data = x
            y = record(op, tuple(ws))
            of_value, of_slopes = TERMS.get(op.name, lambda *_: (0.0, 0.0))(*point)
            [found], (_, partials) = file.forward(point, []), file.gradient(point, [[]])
            assert abs(found - y.data) <= most * unit * max(abs(y.data), of_value), (op, point)
            for a, g in zip(partials, gradients(y, ws), strict=True):
                assert abs(a - g) <= most * unit * max(abs(g), of_slopes, 2.0**-126 * (precision == "float")), (
                    op,
                    point,
                )


@given(expressions(), st.integers(0, 3))
@settings(
    max_examples=max(15, settings().max_examples // 8),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
)
def test_expressions_have_the_eager_numbers(tmp_path, f, count):
    count = min(count, len(f.point))
    inputs, parameters = [[Value(x) for x in part] for part in (f.point[:count], f.point[count:])]
    y = f(*inputs, *parameters)
    if not isinstance(y, Value) or y.op is None:
        return
    row = f.point[:count]
    program = compile(y, inputs)
    file = compiled(program, tmp_path, {"w": parameters})
    [found] = file.forward(f.point[count:], row)
    assert abs(found - y.data) <= 1e-12 * abs(y.data) + 16 * rounding_error(y)
    if program.parameters:
        chosen = [p for p in parameters if p in program.parameters]
        expected = gradients(y, chosen, create_graph=True)
        _, partials = file.gradient(data(chosen), [row, row])
        size = sizes(y)
        for a, g, p in zip(partials, expected, chosen, strict=True):
            assert abs(a - g.data) <= 1e-12 * abs(g.data) + 16 * (rounding_error(g) + 2.0**-53 * size[p])


def assert_like_program(program, rows, tmp_path, rel=1e-12, **options):
    """Compare the C file with the program, which other tests compare with the engine."""
    file = compiled(program, tmp_path, **options)
    numbers = data(program.parameters)
    for row, expected in zip(rows, program.forward(rows), strict=True):
        outputs = expected if isinstance(expected, list) else [expected]
        assert all(close(a, b, rel=rel, size=1.0) for a, b in zip(file.forward(numbers, row), outputs, strict=True))
    if not isinstance(expected, list):
        for chosen in (rows[:1], rows):
            for p in program.parameters:
                p.grad = 0.0
            loss = program.backward(chosen)
            found, gradient = file.gradient(numbers, chosen)
            assert close(found, loss, rel=rel, size=1.0)
            assert all(
                close(a, p.grad, rel=rel, size=1.0) for a, p in zip(gradient, program.parameters, strict=True)
            ), [(a, p.grad) for a, p in zip(gradient, program.parameters, strict=True)]
    return file


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_networks_of_every_activation(tmp_path, activation):
    model = MLP(9, [12, 10, 3], activation=activation, seed=1)
    rng = random.Random(0)
    rows = [[rng.gauss(0, 1) for _ in range(9)] + [float(i % 3)] for i in range(7)]
    inputs = [Value(0.3) for _ in range(9)] + [Value(0.0)]
    assert_like_program(compile(cross_entropy(model(inputs[:9]), inputs[9]), inputs), rows, tmp_path)


def sums_of_every_order(n, order):
    """Return a graph of sums whose operands lie backwards, shuffled, repeated or in several arrays; and its inputs."""
    rng = random.Random(n)
    ws, xs = [Value(rng.gauss(0, 1)) for _ in range(n)], [Value(0.1) for _ in range(n)]
    places = list(range(n))
    if order == "backwards":
        places.reverse()
    elif order == "shuffled":
        rng.shuffle(places)
    elif order == "repeated":
        places = [rng.randrange(n) for _ in range(n)]
    hidden = [mc.tanh(x * ws[0]) for x in xs]
    every = [ws, xs, hidden, [constant(0.1 * k) for k in range(n)]]
    mixed = [every[i % 4][i] for i in places]
    loss = (
        mc.dot([ws[i] for i in places], xs, ws[0])
        + mc.dot(hidden, [xs[i] for i in places])
        + mc.dot(ws, [ws[i] for i in places])
        + mc.dot([hidden[i] for i in places], ws)
        + mc.dot(mixed, hidden)
        + mc.dot(mixed, [*mixed[1:], mixed[0]])
        + mc.sum(mixed)
        + mc.sum([w * w for w in ws])
        + mc.sum([hidden[i] * ws[k] for k, i in enumerate(places)])
        + mc.sum([mc.dot(ws, [h * x for x in hidden]) * k for k, h in enumerate(hidden[:12])])
    )
    return loss, xs


QUICK = {("straight", 1), ("straight", 8), ("backwards", 9), ("shuffled", 12), ("repeated", 12)}


@pytest.mark.parametrize(
    ("order", "n"),
    [
        pytest.param(order, n, marks=[pytest.mark.slow] * ((order, n) not in QUICK))
        for order in ("straight", "backwards", "shuffled", "repeated")
        for n in (1, 7, 8, 9, 12, 33)
    ],
)
def test_sums_of_every_length_and_order(tmp_path, n, order):
    loss, xs = sums_of_every_order(n, order)
    rng = random.Random(0)
    rows = [[rng.gauss(0, 1) for _ in range(n)] for _ in range(3)]
    assert_like_program(compile(loss, xs), rows, tmp_path, rel=1e-12 * n)


# Loops


def numbered(n, start=0.5):
    return [Value(start + 0.25 * k) for k in range(n)]


def neuron(ws, xs):
    return [mc.tanh(mc.dot(ws[:2], xs[:2], ws[2]))]


def totals_that_go_on(ws, xs):
    return [mc.tanh(mc.dot(ws[:9], xs[:9])) * mc.exp(ws[0])]


def totals_of_some_parameters(ws, xs):
    return [mc.tanh(mc.dot([ws[0], mc.exp(ws[2]), mc.exp(ws[3])], xs[:3])) + ws[1] * xs[4]]


def like_operations(ws, xs):
    pairs = list(zip(xs, ws, strict=False))
    added = [*(x + w for x, w in pairs[:3]), *(w + x for x, w in pairs[3:6])]
    taken = [*(x - w for x, w in pairs[:3]), *(w - x for x, w in pairs[:3])]
    return [*added, *taken, *(x * k for k, x in enumerate(xs[:6], 2)), *(x * 0.5 + x for x in xs[:2])]


def short_sums(ws, xs):
    hs = [mc.tanh(x) for x in xs[:4]]
    return [
        *(mc.dot(ws[k : k + 2], xs[k : k + 2]) for k in range(3)),
        *(mc.dot(ws[k : k + 2], [xs[k], hs[k + 1]]) for k in range(3)),
        *(mc.dot(ws[k : k + 2], xs[k : k + 2], hs[k]) for k in range(3)),
        *(mc.dot([ws[k]], [xs[k]], xs[3]) for k in range(3)),
    ]


def rows_of_a_matrix(ws, xs):
    return [mc.sum([mc.tanh(mc.dot(ws[9 * k : 9 * k + 9], xs[:9])) for k in range(3)])]


def factors_of_several_arrays(ws, xs):
    hs = [mc.tanh(x) for x in xs[:4]]
    return [mc.dot(ws[:9], [*hs, *xs[4:9]]), mc.dot(ws[9:18], [*xs[9:14], *hs])]


def factors_anywhere(ws, xs):
    return [mc.dot(ws[:8], [xs[k] for k in (3, 1, 0, 2, 5, 7, 6, 4)])]


def shared_weights(ws, xs):
    return [mc.sum([mc.tanh(mc.dot(ws[:3], xs[k : k + 3], ws[3])) for k in range(9)])]


def loads(ws, xs):
    return [*(mc.take(ws[k : k + 5], xs[k]) for k in range(2)), mc.take([*ws[:4], xs[0]], xs[2])]


def levels(ws, xs):
    early = mc.exp(xs[0])
    late = mc.sin(mc.cos(mc.tanh(early)))
    return [early * late, late]


# Of the outputs of each: how many loops, calls of the function for long sums, and numbers in the work array.
LOOPS = {
    neuron: (0, 0, 4),
    totals_that_go_on: (0, 1, 16),
    totals_of_some_parameters: (0, 0, 10),
    like_operations: (6, 0, 22),
    short_sums: (8, 0, 16),
    rows_of_a_matrix: (2, 1, 12),
    factors_of_several_arrays: (7, 0, 24),
    factors_anywhere: (1, 0, 1),
    shared_weights: (2, 0, 37),
    loads: (2, 0, 8),
    levels: (0, 0, 3),
}


@pytest.mark.parametrize("graph", LOOPS, ids=lambda graph: graph.__name__)
@pytest.mark.parametrize("precision", KINDS)
def test_like_instructions_are_loops_with_the_numbers_of_the_program(graph, precision, tmp_path):
    ws, xs = numbered(27, -1.75), numbered(18)
    outputs = graph(ws, xs)
    program = compile(outputs if outputs[1:] else outputs[0], xs)
    named = {"w": [w for w in ws if w in program.parameters]} if program.parameters else {}
    rel = 1e-12 if precision == "double" else 1e-4
    file = compiled(program, tmp_path, named, precision=precision)
    body = re.search(r"void f_forward\([^)]*\)\n{.*?\n}", program.source("c", named, precision=precision), re.DOTALL)[0]
    loops, calls, work = LOOPS[graph]
    assert (body.count("for ("), body.count("f_dot("), file.size["work"]) == (loops, calls, work)
    rng = random.Random(0)
    rows = [[rng.choice([0.0, 1.0, 2.0, rng.uniform(-1.0, 1.0)]) for _ in xs] for _ in range(5)]
    numbers = data(named.get("w", []))
    for row, expected in zip(rows, program.forward(rows), strict=True):
        expected = expected if isinstance(expected, list) else [expected]
        assert all(close(a, b, 1.0, rel) for a, b in zip(file.forward(numbers, row), expected, strict=True))
    if not outputs[1:]:
        for p in program.parameters:
            p.grad = 0.0
        mean = program.backward(rows)
        found, gradient = file.gradient(numbers, rows)
        assert close(found, mean, 1.0, rel)
        assert all(close(a, p.grad, 1.0, rel) for a, p in zip(gradient, named["w"], strict=True))


def test_a_graph_too_large_for_native_code_has_a_file_too(tmp_path):
    ws, xs = numbered(4, -0.5), numbered(3, 0.25)
    y = xs[0]
    for k in range(1500):
        y = mc.tanh(y * ws[k % 4] - 0.5) * mc.sin(xs[k % 3]) + 0.5 * y
    program = compile(y, xs)
    assert program.executables.plan("gradient", lanes=False).schedule.large
    rows, file = [[0.5, -0.25, 1.0], [1.0, 0.5, -0.75]], compiled(program, tmp_path, {"w": ws})
    mean = program.backward(rows)
    found, gradient = file.gradient(data(ws), rows)
    assert close(found, mean)
    assert all(close(a, w.grad, 1.0, 1e-9) for a, w in zip(gradient, ws, strict=True))
    assert all(map(close, (file.forward(data(ws), row)[0] for row in rows), program.forward(rows)))


def test_a_step_changes_the_parameters_of_the_optimizer_alone(tmp_path):
    ws, x = numbered(5), Value(0.5)
    program = compile(mc.tanh(mc.dot(ws, [x, 1.0, x * x, x, x])), [x])
    optimizer = SGD([ws[0], ws[1], ws[3], ws[4]], lr=0.25, momentum=0.5)
    file = compiled(program, tmp_path, {"w": ws}, optimizer=optimizer)
    numbers, rows = file.numbers(data(ws)), [[0.5], [-0.25], [1.0]]
    losses = program.fit(rows, optimizer, epochs=4)
    found = [file.step(numbers, rows, 0.25) for _ in range(4)]
    assert all(map(close, found, losses))
    assert all(map(close, numbers, data(ws)))
    assert numbers[2] == 1.0


# What a program may be


def test_programs_of_no_inputs_and_of_no_parameters(tmp_path):
    w, x = Value(0.5), Value(2.0)
    assert_like_program(compile(mc.exp(w) * w, []), [[]], tmp_path)
    file = compiled(compile(mc.exp(x) * x, [x]), tmp_path)
    assert file.forward([], [2.0]) == [2.0 * math.exp(2.0)]
    assert "gradient" not in compile(mc.exp(x) * x, [x]).source("c")
    assert compiled(compile(constant(3.0), []), tmp_path).forward([], []) == [3.0]
    assert_like_program(compile(w, [x]), [[1.0], [2.0]], tmp_path)


def test_linear_functions(tmp_path):
    w, b, xs = Value(3.0), Value(1.0), [Value(1.0) for _ in range(12)]
    assert_like_program(compile(w * xs[0] + b, xs), [[float(k) for k in range(12)], [2.0] * 12], tmp_path)
    file = assert_like_program(
        compile(mc.dot([Value(0.5) for _ in xs], xs), xs), [[float(k) for k in range(12)]], tmp_path
    )
    assert file.gradient([0.5] * 12, [[1.0] * 12, [3.0] * 12]) == (12.0, [2.0] * 12)


@pytest.mark.parametrize("kind", ["gradient", "jacobian", "hessian"])
def test_derivatives_are_c_too(tmp_path, kind):
    xs, w = [Value(0.3 * k - 0.5) for k in range(5)], Value(1.5)
    y = mc.sum([w * mc.sin(a * b) + a**3 for a, b in pairwise(xs)]) + mc.exp(xs[0] - xs[4])
    program = compile([y, mc.tanh(xs[1]) * xs[2]] if kind == "jacobian" else y, xs)
    derivative = program.derivative(kind)
    file = compiled(derivative.program, tmp_path)
    rng = random.Random(3)
    for _ in range(5):
        row = [rng.gauss(0, 1) for _ in xs]
        [expected] = getattr(program, kind)([row])
        assert file.forward([1.5], row) == pytest.approx(expected, rel=1e-13, abs=1e-14)
    assert kind != "hessian" or len(expected) == 15  # a band, and two corners


def test_graphs_that_are_too_large_for_native_code_are_c(tmp_path, monkeypatch):
    xs = [Value(k % 7 / 10) for k in range(80)]
    w = [Value(0.1 * k) for k in range(79)]
    y = mc.sum([mc.tanh(v * (b - a * a) ** 2) + (1 - a) ** 2 for (a, b), v in zip(pairwise(xs), w, strict=True)])
    rng = random.Random(0)
    rows = [[rng.gauss(0, 1) for _ in xs] for _ in range(3)]
    text = compile(y, xs).source("c")
    monkeypatch.setattr("micrograd_cn.compiler.schedule.LARGEST", 1)
    large = compile(y, xs)
    assert large.executables.plan("forward", True).schedule.large
    assert large.source("c") == text
    assert_like_program(large, rows, tmp_path)
    assert_like_program(compile([y, y * xs[0]], xs), rows, tmp_path)


def test_several_outputs(tmp_path):
    model, xs = MLP(3, [9, 11], activation="tanh", seed=0), [Value(0.1) for _ in range(3)]
    outputs = model(xs)
    program = compile([*outputs, xs[0], constant(2.0), outputs[0], model.parameters()[0]], xs)
    assert "gradient" not in program.source("c")
    assert_like_program(program, [[0.5, -1.0, 2.0]], tmp_path)


@pytest.mark.parametrize("kind", ["parameters", "inputs", "constants", "several arrays"])
def test_what_is_taken_by_a_number_may_lie_anywhere(tmp_path, kind):
    ws, xs, index = [Value(k + 0.5) for k in range(7)], [Value(k + 0.25) for k in range(7)], Value(1.0)
    constants = [constant(k * k + 0.1) for k in range(7)]
    chosen = {
        "parameters": ws,
        "inputs": xs,
        "constants": constants,
        "several arrays": [*ws[:3], *xs[3:5], *constants[5:]],
    }
    picked = [mc.take([chosen[kind][(k + shift) % 7] for k in range(7)], index) for shift in range(4)]
    program = compile(mc.sum([p * w for p, w in zip(picked, ws, strict=False)]) * ws[6], [*xs, index])
    for k in (0.0, -0.0, 3.0, 6.0):
        assert_like_program(program, [[*(x.data for x in xs), k]], tmp_path)
    file = compiled(program, tmp_path)
    for k in (-1.0, 7.0, 1.5, math.nan, math.inf, -math.inf, 1e300):
        assert file.forward(data(program.parameters), [*(x.data for x in xs), k])[0] != 0.0
        assert math.isnan(file.forward(data(program.parameters), [*(x.data for x in xs), k])[0]), k


def test_totals_of_parameters_and_of_what_is_computed_of_them_are_one_table(tmp_path):
    ws, vs, xs = ([Value(0.1 * k + 0.1 * n) for k in range(6)] for n in range(3))
    weights = [x for w, v in zip(ws, vs, strict=True) for x in (w, mc.tanh(v))]
    loss = mc.exp(mc.dot(weights, [*xs, *xs[::-1]])) + mc.tanh(mc.dot(weights, [*xs, *xs[::-1]], ws[0])) * xs[0]
    rows = [[0.1 * k - 0.3 for k in range(6)], [0.3, 0.1, -0.5, 0.2, 0.0, 0.7]]
    assert_like_program(compile(loss, xs), rows, tmp_path)


def test_what_depends_on_parameters_alone_is_there_for_every_row(tmp_path):
    ws, xs = [Value(0.1 * k + 0.3) for k in range(6)], [Value(0.2 * k) for k in range(6)]
    early = [mc.exp(w) * w for w in ws]
    y = xs[0]
    for k in range(60):  # more values than there are places of their own
        y = mc.tanh(y * early[k % 6] + xs[k % 5]) + 0.1 * xs[(k + 1) % 6]
    rng = random.Random(1)
    assert_like_program(compile(y * y, xs), [[rng.gauss(0, 1) for _ in xs] for _ in range(4)], tmp_path)


def test_factors_are_on_the_same_side_whatever_their_order():
    ws, xs = ([Value(0.1 * k + n) for k in range(40)] for n in range(2))
    turned = mc.dot([w if k % 3 else x for k, (w, x) in enumerate(zip(ws, xs, strict=True))],
                    [x if k % 3 else w for k, (w, x) in enumerate(zip(ws, xs, strict=True))])  # fmt: skip
    assert work_of(compile(mc.exp(turned), xs)) == 2  # the sum and its exponential, no copies


def test_what_depends_on_parameters_alone_is_computed_once_a_batch(tmp_path):
    ws, x = [Value(0.1 * k + 0.3) for k in range(9)], Value(1.0)
    norm = mc.sqrt(mc.sum([w * w for w in ws]))
    weights = [w / norm for w in ws]
    loss = mc.dot([mc.tanh(v * x) for v in weights], weights) + 0.1 * norm + mc.exp(ws[0]) * x
    program = compile(loss, [x])
    assert_like_program(program, [[0.5], [-1.0], [2.0]], tmp_path)
    before, _, inside = program.source("c").partition("for (long row = 0; row < n; row++) {")
    assert "sqrt" in before.partition("_gradient(const")[2]
    assert "sqrt" not in inside.partition("\n    }\n")[0]


# One step of training


@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize("batch", [1, 7])
def test_steps_are_those_of_the_optimiser(tmp_path, name, batch):
    _, program, rows, model = problem()
    parameters = in_order(model)
    optimizer = OPTIMISERS[name](parameters)
    file = compiled(program, tmp_path, model, optimizer=optimizer)
    slots = optimizer.slots if name != "sgd" else ()
    assert file.size["state"] == 1 + len(slots) * len(parameters)
    numbers = file.numbers(data(parameters))
    for start in range(0, 6 * batch, batch):
        chosen = [rows[k % len(rows)] for k in range(start, start + batch)]
        rate = optimizer.lr = 0.02 + 0.001 * start
        optimizer.zero_grad()
        loss = program.backward(chosen)
        optimizer.step()
        assert close(file.step(numbers, chosen, rate), loss, rel=1e-11)
        assert all(close(a, p.data, 1.0, 1e-11) for a, p in zip(numbers, parameters, strict=True))
    kept = [state[slot] for slot in slots for state in optimizer.state]
    assert all(close(a, b, 1e-3, 1e-11) for a, b in zip(file.state, [6.0, *kept], strict=True))


class Lion(Optimizer):
    """An optimiser of one's own, whose update is written in the table's operations."""

    slots = ("before_last", "unused", "last", "momentum", "given", "taken")

    def update(self, p, state):
        mixed = 0.9 * state["momentum"] + 0.1 * p.grad
        p.data -= self.lr * (mc.step(mixed) - mc.step(-mixed))
        state["momentum"] = 0.99 * state["momentum"] + 0.01 * p.grad
        state["before_last"], state["last"] = state["last"], p.grad
        state["taken"] = state["given"]


def test_an_optimiser_of_ones_own(tmp_path):
    _, program, rows, model = problem()
    parameters = in_order(model)
    optimizer = Lion(parameters, lr=0.01)
    file = compiled(program, tmp_path, model, optimizer=optimizer)
    numbers = file.numbers(data(parameters))
    for _ in range(4):
        optimizer.zero_grad()
        program.backward(rows)
        optimizer.step()
        file.step(numbers, rows, 0.01)
    assert all(close(a, p.data, 1.0) for a, p in zip(numbers, parameters, strict=True))
    kept = [state[slot] for slot in optimizer.slots if slot != "unused" for state in optimizer.state]
    assert all(close(a, b, 1.0) for a, b in zip(file.state, [4.0, *kept], strict=True))


@pytest.mark.parametrize("frozen", [[0], [0, 1, 2, 5, 9], list(range(1, 26)), "not given"])
def test_a_step_changes_no_other_parameters(tmp_path, frozen):
    _, program, rows, model = problem()
    parameters = in_order(model)
    before = data(parameters)
    if frozen == "not given":
        optimizer, frozen = Adam(parameters[4:], lr=0.1), range(4)
    else:
        optimizer = Adam(parameters, lr=0.1)
        for i in frozen:
            parameters[i].requires_grad = False
    file = compiled(program, tmp_path, model, optimizer=optimizer)
    numbers = file.numbers(before)
    file.step(numbers, rows, 0.1)
    assert [i for i, (a, b) in enumerate(zip(numbers, before, strict=True)) if a == b] == list(frozen)


def test_a_learning_rate_of_0_and_the_state_of_sgd(tmp_path):
    _, program, rows, model = problem()
    parameters = in_order(model)
    file = compiled(program, tmp_path, model, optimizer=SGD(parameters))
    numbers = file.numbers(data(parameters))
    for steps in (1.0, 2.0):
        file.step(numbers, rows, 0.0)
        assert list(numbers) == data(parameters)
        assert list(file.state) == [steps]


# Precision and weights


def test_single_precision(tmp_path):
    model, xs = MLP(20, [12, 4], activation="tanh", seed=0), [Value(0.1) for _ in range(20)] + [Value(1.0)]
    parameters = in_order(model)
    program = compile(cross_entropy(model(xs[:20]), xs[20]), xs)
    optimizer = Adam(parameters, lr=0.01)
    text = program.source("c", model, precision="float", optimizer=optimizer)
    body = text.partition("*/")[2]
    assert "double" not in body
    assert not re.search(r"\b(exp|log1p|sqrt|pow|tanh|fabs)\(", body)
    assert not re.search(r"(?<![\w.])\d+(\.\d+(e[+-]?\d+)?|e[+-]?\d+)(?![\w.])", body), "a constant of double precision"
    file = File(text, library(text, tmp_path, "-O1", "-Wdouble-promotion", "-Wfloat-conversion"), precision="float")
    rng = random.Random(0)
    rows = [[ctypes.c_float(rng.gauss(0, 1)).value for _ in range(20)] + [float(k % 4)] for k in range(8)]
    numbers = file.numbers(data(parameters))
    for p, x in zip(parameters, numbers, strict=True):
        p.data = x
    largest = 0.0
    for _ in range(3):
        optimizer.zero_grad()
        expected = program.backward(rows)
        loss, gradient = file.gradient(numbers, rows)
        largest = max(abs(p.grad) for p in parameters)
        assert close(loss, expected, rel=1e-6)
        assert all(abs(a - p.grad) < 2e-6 * largest for a, p in zip(gradient, parameters, strict=True))
    assert loss != expected, "so much alike is double precision"
    optimizer.step()
    file.step(numbers, rows, 0.01)
    assert all(abs(a - p.data) < 1e-6 for a, p in zip(numbers, parameters, strict=True))


def test_single_precision_has_special_values(tmp_path):
    x = Value(1.0)
    graphs = [
        mc.exp(x),
        mc.div(1.0, x),
        mc.relu(x),
        mc.log(x),
        mc.sum([x, x, -x, 1e30]),
        x * 1e300,
        mc.sigmoid(x),
        x * 1e-60,
    ]
    file = compiled(compile(graphs, [x]), tmp_path, precision="float")
    inf, nan = math.inf, math.nan
    for point, expected in (
        (100.0, [inf, 0.01, 100.0, math.log(100.0), 1e30, inf, 1.0, 0.0]),
        (0.0, [1.0, inf, 0.0, -inf, 1e30, nan, 0.5, 0.0]),
        (-0.0, [1.0, -inf, 0.0, -inf, 1e30, nan, 0.5, 0.0]),
        (-inf, [0.0, 0.0, 0.0, nan, nan, -inf, 0.0, nan]),
        (nan, [nan] * 8),
        (3e38, [inf, 1 / 3e38, 3e38, math.log(3e38), inf, inf, 1.0, 0.0]),  # the sum on its way
    ):
        assert all(map(lambda a, b: close(a, b, rel=1e-6, size=1e-38), file.forward([], [point]), expected)), point


@pytest.mark.parametrize("precision", KINDS)
def test_embedded_weights_are_what_they_are_now(tmp_path, precision):
    model, xs = MLP(5, [7, 3], seed=0), [Value(0.1) for _ in range(5)]
    program, parameters = compile(model(xs), xs), in_order(model)
    special = [5e-324, 1.7e308, math.inf, -math.inf, math.nan, -0.0, 1e-45, 0.1]
    for p, x in zip(parameters, special, strict=False):
        p.data = x
    text = program.source("c", model, weights="embedded", precision=precision)
    assert "parameters," not in text.partition("*/")[2]
    numbers = re.search(r"f_weights\[\d+\] = \{\n([^}]*)\}", text)[1]
    read = numbers.replace("HUGE_VALF", "inf").replace("HUGE_VAL", "inf")
    read = re.sub(r"(?<=\d)f", "", read).split(",")
    kept = [KINDS[precision](p.data).value for p in parameters]
    for x, number in zip(kept, read, strict=True):
        assert repr(KINDS[precision](float(number)).value) == repr(x)
    for p, k in zip(parameters, range(len(parameters)), strict=True):
        p.data = 0.1 * (k % 7) - 0.3
    file = compiled(program, tmp_path, weights="embedded", precision=precision)
    row = [0.5, -1.0, 2.0, 0.1, 0.2]
    rel = 1e-12 if precision == "double" else 1e-6
    assert all(close(a, b, 1.0, rel) for a, b in zip(file.forward([], row), program.forward([row])[0], strict=True))


# The text


@cache
def texts():
    """Return files of every kind."""
    return [*_texts()]


def _texts():
    parameters, program, _, model = problem()
    w, x = Value(0.5, "*/ int x; /*"), Value(2.0, "??/\n")
    yield program.source("c", model, optimizer=Adam(parameters), name="network_1")
    yield program.source("c", precision="float", optimizer=SGD(parameters[2:], momentum=0.9))
    yield program.source("c", weights="embedded")
    yield compile([mc.take([x, w, 3.0, 2.0, x * w, 1.0], x), mc.sum([x] * 20), constant(math.nan)], [x]).source("c")
    yield compile(mc.exp(w) * w, []).source("c", optimizer=SGD([w]), name="inputs")
    yield compile(constant(-math.inf), [x]).source("c", precision="float")
    yield compile(constant(1.0), []).source("c", weights="embedded")
    yield compile([op(*[x] * (op.arity or 1)) if op.arity else x for op in OPS.values()], [x]).source("c")
    yield compile(sums_of_every_order(9, "shuffled")[0], []).source("c")


@pytest.mark.parametrize("number", range(9))
def test_no_compiler_warns_and_the_example_runs(tmp_path, number):
    text = texts()[number]
    example = text.partition("An example, which may stand at the end of this file:\n")[2].partition("*/")[0]
    assert "int main(void)" in example
    strict = ["-Wshadow", "-Wconversion", "-Wvla", "-Wstrict-prototypes"]
    program = run_compiler([*C, *strict, "-O2"], text + example, tmp_path, "-lm")
    assert subprocess.run([str(program)], capture_output=True, check=True).stdout
    if shutil.which("c++"):
        run_compiler([*CPP, "-O2"], text + example, tmp_path, "-lm")


@pytest.mark.parametrize("number", range(9))
def test_nothing_is_allocated_or_kept(number):
    body = texts()[number].partition("*/")[2]
    assert re.findall(r"#include.*", body) == ["#include <math.h>"]
    for line in body.splitlines():
        assert not line.startswith("static") or "static const" in line or line.endswith(")"), line
        assert "static" not in line.strip() or line.startswith("static"), line
        assert len(line) <= 112, line
    assert not re.search(r"\b(malloc|alloca|free)\b", body)
    assert not re.search(r"^ +\w+ \w+\[", body, re.MULTILINE), "an array on the stack"


def test_the_comment_says_what_is_where(tmp_path):
    model, xs = MLP(3, [4, 1], seed=0), [Value(0.1, f"x{k}") for k in range(3)]
    text = compile(model(xs), xs).source("c", model, optimizer=Adam(model.parameters(), lr=0.25), name="net")
    for line in (
        "inputs: 3",
        "    [1] 'x1'",
        "parameters: 21",
        "    [0] to [11] 'layers.0.weight'",
        "    [12] to [15] 'layers.0.bias'",
        "    [20] 'layers.1.bias'",
        "#define NET_STATE 43",
        "    [0] steps taken",
        "    [1] to [21] exp_avg",
        "    [22] to [42] exp_avg_sq",
    ):
        assert line in text.splitlines(), line
    assert "Adam, whose learning rate was 0.25" in text


@pytest.mark.slow
def test_a_large_network_is_a_few_hundred_lines():
    model, xs = MLP(784, [128, 10], seed=0), [Value(0.1) for _ in range(784)] + [Value(3.0)]
    program = compile(cross_entropy(model(xs[:784]), xs[784]), xs)
    text = program.source("c", model, optimizer=Adam(model.parameters()))
    assert text.count("\n") < 400
    assert len(text) < 20_000
    assert re.findall("static const .*", text) == ["static const double f_table0[10] = {"]  # the numbers of the classes


def test_what_lies_anywhere_is_a_loop_over_a_table():
    ws, xs = [Value(0.1) for _ in range(200)], [Value(0.2) for _ in range(200)]
    order = random.Random(0).sample(range(200), 200)
    hidden = [mc.tanh(ws[i] * x) for i, x in zip(order, xs, strict=True)]
    text = compile(mc.dot(hidden, [hidden[i] for i in order]), xs).source("c", {"w": ws})
    assert text.count("\n") < 200
    assert "table" in text


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0, 65535], "unsigned short"),
        ([0, 65536], "long"),
        ([0, 70000], "long"),
        ([-1, 5], "long"),
        ([0.0, 1.0], "float"),
    ],
)
def test_tables_are_as_narrow_as_can_be(values, kind):
    text = Text("f", "float", {})
    assert text.table(values) == text.table([*values]) == "f_table0"
    [(_, definition)] = text.tables.values()
    assert definition.startswith(f"static const {kind} f_table0[2] = {{")


def work_of(program):
    """Return how many numbers the work array has."""
    return int(re.search(r"#define F_WORK (\d+)", program.source("c"))[1])


def test_places_of_what_went_back_are_used_again():
    w, x = Value(0.5), Value(0.3)
    y, steps = x, 100
    for _ in range(steps):
        y = mc.tanh(y * w)
    assert work_of(compile(y, [x])) < 3.1 * steps  # products, values and their slopes, but not what went back


def test_places_are_used_again():
    model, xs = MLP(8, [16] * 12 + [1], activation="tanh", seed=0), [Value(0.1) for _ in range(8)]
    y = model(xs)
    work = int(re.search(r"#define F_WORK (\d+)", compile([y], xs).source("c", weights="embedded"))[1])
    biases = 12 * 16 + 1
    assert work < biases + 3 * 16 + 3, "more than the biases and three layers"


@pytest.mark.parametrize(
    ("options", "exception", "message"),
    [
        ({"name": "2d"}, ValueError, "name must be a letter, then"),
        ({"name": "größe"}, ValueError, "name must be a letter, then"),
        ({"precision": "half"}, ValueError, "precision must be 'double' or 'float', got 'half'"),
        ({"weights": "none"}, ValueError, "weights must be 'passed' or 'embedded', got 'none'"),
        ({"optimizer": 0.1}, TypeError, "optimizer must be one of micrograd_cn.optim, got float"),
        ({"parameters": 0.1}, TypeError, r'source\("c"\): parameters must be a module, or a dict'),
        ({"parameters": {}}, ValueError, r'source\("c"\): parameters\[0\] of the program, .* is not among those'),
    ],
)
def test_options_that_there_are_not(options, exception, message):
    x, w = Value(1.0), Value(2.0)
    with pytest.raises(exception, match=message):
        compile(w * x, [x]).source("c", **options)


def test_a_step_that_there_cannot_be():
    x, w, v = Value(1.0), Value(2.0), Value(3.0)
    program = compile(w * x, [x])
    with pytest.raises(ValueError, match='embedded weights are constants; write weights="passed"'):
        program.source("c", weights="embedded", optimizer=SGD([w]))
    with pytest.raises(ValueError, match=r"parameters\[1\] of the optimizer, .* is none of the program"):
        program.source("c", optimizer=SGD([w, v]))
    for outputs in ([w * x, w], x * 2.0):
        with pytest.raises(ValueError, match="a training step needs one output, which depends on parameters"):
            compile(outputs, [x]).source("c", optimizer=SGD([w]))
    w.requires_grad = False
    with pytest.raises(ValueError, match="frozen parameters alone"):
        program.source("c", optimizer=SGD([w]))


@pytest.mark.parametrize(
    "options", [{"name": "g"}, {"precision": "float"}, {"weights": "embedded"}, {"optimizer": SGD([Value(1.0)])}]
)
@pytest.mark.parametrize("language", ["llvm", "python"])
def test_other_languages_have_no_such_options(language, options):
    x = Value(1.0)
    with pytest.raises(ValueError, match=f'{next(iter(options))} is an option of "c" alone'):
        compile(x * x, [x]).source(language, **options)


def test_a_compiled_function_has_the_same(tmp_path):
    w = Value(2.0)

    @compile
    def f(x, y):
        return w * x + y

    f(1.0, 2.0)
    options = {"name": "g", "precision": "float", "optimizer": Adam([w])}
    assert f.source("c", {"w": w}, **options) == f.program(1.0, 2.0).source("c", {"w": w}, **options)
    assert "float g_step(" in f.source("c", **options)


OWN = {
    "oeq": lambda a, b: a == b,
    "ogt": lambda a, b: a > b,
    "oge": lambda a, b: a >= b,
    "olt": lambda a, b: a < b,
    "ole": lambda a, b: a <= b,
    "one": lambda a, b: a < b or a > b,
    "ord": lambda a, b: a == a and b == b,
    "ueq": lambda a, b: not (a < b or a > b),
    "ugt": lambda a, b: not a <= b,
    "uge": lambda a, b: not a < b,
    "ult": lambda a, b: not a >= b,
    "ule": lambda a, b: not a > b,
    "une": lambda a, b: a != b,
    "uno": lambda a, b: a != a or b != b,
}


def test_rows_of_ones_own(tmp_path):
    x, y = Value(1.0), Value(2.0)
    rows = [
        *(Op(f"own_{name}", f, (None, None), forms=Forms(machine=f"fcmp {name}")) for name, f in OWN.items()),
        Op("smaller", min, (None, None), forms=Forms(machine="llvm.minnum")),
        Op(
            "cube_root",
            lambda x: math.copysign(abs(x) ** (1 / 3), x),
            (lambda y, x: 1.0 / (3.0 * y * y),),
            forms=Forms(machine="cbrt"),
        ),
        Op("down", math.floor, (None,), forms=Forms(machine="llvm.floor")),
        Op("square", lambda x: x * x, (lambda y, x: 2.0 * x,)),
    ]
    file = compiled(compile([op(*[x, y][: op.arity]) for op in rows], [x, y]), tmp_path)
    for point in ([1.5, 2.5], [2.5, 1.5], [2.5, 2.5]):
        expected = [float(op.forward(*point[: op.arity])) for op in rows]
        assert file.forward([], point) == pytest.approx(expected, rel=1e-15)
    for point in product([1.0, 2.0, math.nan], repeat=2):
        assert file.forward([], list(point))[: len(OWN)] == [float(f(*point)) for f in OWN.values()]
    strange = Op("strange", lambda x: x, (lambda y, x: 1.0,), forms=Forms(machine="bessel"))
    with pytest.raises(
        ValueError, match=r"'strange' has the machine form 'bessel', which is no function of C99's math\.h"
    ):
        compile(strange(x), [x]).source("c")


@pytest.mark.parametrize("term", [-1.5, 0.25, 0.0, -0.0])
def test_a_sum_keeps_its_constant_term(term, tmp_path):
    w, xs = [Value(0.5 + k) for k in range(3)], [Value(0.5), Value(-2.0)]
    program = compile(mc.sum([w[0] * xs[0], w[1] * xs[1], w[2], term]), xs)
    assert compiled(program, tmp_path, {"w": w}).forward(data(w), [3.0, -5.0]) == program.forward([[3.0, -5.0]])


def test_a_product_with_one_is_the_other_factor():
    one = repr(float("1"))  # another string of the same letters
    assert product_of("x", one, "1.0") == product_of(one, "x", "1.0") == "x"
    assert product_of("x", "y", "1.0") == "x * y"
