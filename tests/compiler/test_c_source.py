"""The C source of a program compiles without a warning, and its functions return the numbers of the engine."""

import ctypes
import math
import random
import re
from itertools import pairwise, product
from typing import Any, NamedTuple

import pytest

import micrograd_cn as mc
from micrograd_cn import OPS, Op, Value, gradients
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.engine import constant, record
from micrograd_cn.losses import cross_entropy
from micrograd_cn.nn import MLP
from micrograd_cn.ops.traits import Lowerings
from micrograd_cn.optim import Adam, Optimizer
from micrograd_cn.parameters.tree import flatten

from .c_files import HAS_C, KINDS, File, compiled, files, library
from .common import ACTIVATIONS, OPTIMISERS, close, code_of, problem
from .test_numbers import EDGES

pytestmark = pytest.mark.skipif(not HAS_C, reason="there is no C compiler, cc")


def data(parameters):
    return [p.data for p in parameters]


def in_order(model):
    """Return a module's parameters in the order in which a C file has them, which is that of their names."""
    return [leaf for _, leaf in flatten(model.entries())[0]]


# Numbers


def points_of(n, rng):
    """Return points of n numbers: special numbers, in all combinations if n is small, and ordinary ones."""
    points = list(product(EDGES, repeat=n)) if n < 3 else [[rng.choice(EDGES) for _ in range(n)] for _ in range(200)]
    return [*points, *([rng.gauss(0.0, 2.0) for _ in range(n)] for _ in range(20))]


@pytest.fixture(scope="module")
def rows_of_the_table(tmp_path_factory):
    """Return the C functions of each operation, of parameters alone and of parameters times inputs.

    The first are computed once for a batch, the second for each row, and both are printed by different code. All are
    compiled as one file, which is quicker.
    """
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
    """In C, each operation of the table has the engine's values and derivatives at inf, nan, signed zeros and kinks."""
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


INSIDE = {  # maps any number to one in the operation's domain
    **dict.fromkeys(("log", "sqrt", "pow"), lambda x: abs(x) + 1e-3),
    **dict.fromkeys(("asin", "acos", "erfinv"), lambda x: math.tanh(x) * 0.99),
    "log1p": lambda x: abs(x) - 0.5,
    "take": lambda x: float(int(abs(x)) % 4),
}
TERMS = {  # the largest term of the value, and of the derivatives, where terms may cancel
    "sum": lambda *xs: (max(map(abs, xs)), 0.0),
    "dot": lambda a, b, c, d, bias: (max(abs(a * c), abs(b * d), abs(bias)), 0.0),
    "logsumexp": lambda *xs: (max(1.0, *map(abs, xs)), 0.0),
    "logaddexp": lambda *xs: (max(1.0, *map(abs, xs)), 0.0),
    "lgamma": lambda x: (max(1.0, mc.lgamma(-x)), mc.digamma(1.0 - x)) if x < 0.0 else (0.0, 0.0),
    "digamma": lambda x: (mc.digamma(1.0 - x) if x < 0.0 else 0.0, 0.0),
    "silu": lambda x: (0.0, 1.0),
    "gelu": lambda x: (0.0, 1.0),
}


@pytest.mark.thorough
@pytest.mark.parametrize(("precision", "unit"), [("double", 2.0**-52), ("float", 2.0**-23)])
def test_numbers_are_within_the_ulps_that_the_docstring_names(request, tmp_path, precision, unit):
    """In C, the errors of each operation are within the bounds that `source` promises for either precision."""
    operands = {
        op: [Value(0.5) for _ in range({"dot": 5, "take": 5}.get(op.name, op.arity or 3))] for op in OPS.values()
    }
    if precision == "double":  # these functions are compiled already
        rows = request.getfixturevalue("rows_of_the_table")
        found_in = {op.name: rows[op.name, "batch"] for op in operands}
    else:
        texts = {
            (op.name, precision): compile(record(op, tuple(ws)), []).source(
                "c", {"w": ws}, name=op.name, precision=precision
            )
            for op, ws in operands.items()
        }
        found_in = files(texts, tmp_path, "-O2")
    rng = random.Random(0)
    for op, ws in operands.items():
        file = found_in[op.name]
        most = 4 if precision == "double" else 32 if op.name in ("erf", "erfc", "erfinv", "gelu") else 8
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


# Loops


def numbered(n, start=0.5):
    """Return n leaves with different numbers."""
    return [Value(start + 0.25 * k) for k in range(n)]


def tanhs(xs):
    return [mc.tanh(x) for x in xs]


def drawn(xs, again=False):
    """Return the values in a random order, or as many draws from them with repetition if `again` is true."""
    rng = random.Random(0)
    return rng.choices(xs, k=len(xs)) if again else rng.sample(xs, len(xs))


def of_several(ws, xs):
    """Return values that are in several arrays of the C file, so no two of them that follow each other are adjacent."""
    return [(ws, xs, tanhs(xs), [constant(0.1 * k) for k in range(len(xs))])[k % 4][k] for k in range(len(xs))]


GRAPHS = {  # functions of as many parameters as inputs; however many these are, the C file has as many lines
    "neurons": lambda ws, xs: tanhs([mc.dot(ws[k : k + 9], xs[:9], ws[k]) for k in range(len(xs) - 9)]),
    "a dot": lambda ws, xs: [mc.exp(0.01 * mc.dot(ws, xs, ws[0]))],
    "backwards": lambda ws, xs: [mc.tanh(mc.dot(ws, xs[::-1])) * ws[1]],
    "anywhere": lambda ws, xs: [mc.tanh(mc.dot(drawn(ws), xs)) + mc.dot(drawn(tanhs(xs), again=True), ws)],
    "of several arrays": lambda ws, xs: [mc.dot(of_several(ws, xs), tanhs(xs)), mc.sum(of_several(ws, xs)[1:])],
    "inner": lambda ws, xs: [mc.dot(tanhs(xs), xs) + mc.dot(ws, ws[::-1]) + mc.sum([w * w for w in ws]) * xs[0]],
    "differences": lambda ws, xs: [mc.sin(x) * w - 0.5 * x for x, w in zip(xs, ws, strict=True)],
    "turned": lambda ws, xs: [w - x for x, w in zip(xs, ws, strict=True)],
    "constants": lambda ws, xs: [x * (0.3 + k) for k, x in enumerate(xs)],
    "short sums": lambda ws, xs: [mc.dot(ws[k : k + 2], xs[k : k + 2], 0.5) for k in range(len(xs) - 2)],
    "sums of values": lambda ws, xs: [mc.dot(ws[k : k + 2], [xs[k], h], h) for k, h in enumerate(tanhs(xs[:-2]))],
    "shared weights": lambda ws, xs: tanhs([mc.dot(ws[:3], xs[k : k + 3], ws[3]) for k in range(len(xs) - 3)]),
    "loads": lambda ws, xs: [mc.take(ws[:9], x) for x in xs],
    "levels": lambda ws, xs: [mc.exp(0.1 * xs[0]) * mc.sin(mc.cos(mc.exp(0.1 * xs[0]))), mc.cos(mc.exp(0.1 * xs[0]))],
}


def random_rows(n, count=5, seed=0):
    rng = random.Random(seed)
    return [[rng.gauss(0, 1) for _ in range(n)] for _ in range(count)]


class Case(NamedTuple):
    """A graph, rows for it, and the largest relative error that the C file's numbers may have."""

    outputs: Any
    inputs: list[Value]
    rows: list[list[float]]
    rel: float = 1e-12


# Each of these functions makes a case, whose name in CASES says what is special about its loops.


def of_activation(activation):
    """Return a classifier's loss, whose activation function is compiled as a loop."""
    model, inputs = MLP(9, [12, 10, 3], activation=activation, seed=1), [*numbered(9, 0.3), Value(0.0)]
    rows = [[*row, float(k % 3)] for k, row in enumerate(random_rows(9, 7))]
    return Case(cross_entropy(model(inputs[:9]), inputs[9]), inputs, rows)


def of_graph(graph, n, summed):
    """Return one of GRAPHS with n parameters, as several outputs, or as a loss that has a gradient if `summed`."""
    ws, xs, rng = numbered(n, -1.75), numbered(n), random.Random(0)
    outputs = GRAPHS[graph](ws, xs)
    rows = [[rng.choice([0.0, 1.0, 2.0, rng.uniform(-1.0, 1.0)]) for _ in xs] for _ in range(5)]
    return Case(mc.sum([mc.tanh(y) for y in outputs]) if summed else outputs, xs, rows, 1e-11)


def of_totals_in_one_table():
    """Return a loss that has gradients of parameters and of their functions mixed, which one table of places lists."""
    ws, vs, xs = ([Value(0.1 * k + 0.1 * n) for k in range(6)] for n in range(3))
    weights = [x for w, v in zip(ws, vs, strict=True) for x in (w, mc.tanh(v))]
    loss = mc.exp(mc.dot(weights, [*xs, *xs[::-1]])) + mc.tanh(mc.dot(weights, [*xs, *xs[::-1]], ws[0])) * xs[0]
    return Case(loss, xs, random_rows(6, 2))


def of_what_is_there_for_every_row():
    """Return a loss with values that are computed before the rows, whose places no row may use again."""
    ws, xs = numbered(6, 0.3), numbered(6, 0.2)
    early, y = [mc.exp(w) * w for w in ws], xs[0]
    for k in range(60):  # so many values that places in memory are used again
        y = mc.tanh(y * early[k % 6] + xs[k % 5]) + 0.1 * xs[(k + 1) % 6]
    return Case(y * y, xs, random_rows(6, 4))


def of_a_batch():
    """Return a loss with normalised weights, so most of it and of its gradient is computed once for a batch."""
    ws, x = numbered(9, 0.3), Value(1.0)
    norm = mc.sqrt(mc.sum([w * w for w in ws]))
    weights = [w / norm for w in ws]
    loss = mc.dot([mc.tanh(v * x) for v in weights], weights) + 0.1 * norm + mc.exp(ws[0]) * x
    return Case(loss, [x], [[0.5], [-1.0], [2.0]])


def of_several_outputs():
    """Return outputs that include an input, a constant, a parameter, and the same node twice."""
    model, xs = MLP(3, [9, 11], activation="tanh", seed=0), numbered(3)
    outputs = model(xs)
    return Case([*outputs, xs[0], constant(2.0), outputs[0], model.parameters()[0]], xs, [[0.5, -1.0, 2.0]])


def of_a_large_graph():
    """Return a deep graph without any loops."""
    ws, xs = numbered(4, -0.5), numbered(3, 0.25)
    y = xs[0]
    for k in range(300):
        y = mc.tanh(y * ws[k % 4] - 0.5) * mc.sin(xs[k % 3]) + 0.5 * y
    return Case(y, xs, [[0.5, -0.25, 1.0], [1.0, 0.5, -0.75]], 1e-9)


def of_a_constant_term(term):
    """Return a sum that starts from a constant term."""
    w, xs = numbered(3), numbered(2)
    return Case(mc.sum([w[0] * xs[0], w[1] * xs[1], w[2], term]), xs, [[3.0, -5.0]], 0.0)


def of_products_with(factor, n):
    """Return dot products with equal constants, which the compiler simplifies for 0 and 1."""
    ws, xs = numbered(n), numbered(n)
    factors = [constant(factor) for _ in range(n)]
    first, second = mc.dot(ws, factors, ws[0]), mc.dot(xs, factors, xs[0])
    y = mc.dot(xs, ws) + first * xs[0] + second * ws[0] + mc.tanh(first) * mc.tanh(second)
    return Case(y, xs, random_rows(n, 3), 1e-14)


TAKEN = ("parameters", "inputs", "constants", "several arrays")


def of_takes(kind):
    """Return a loss that takes operands of a kind by an index, which is the last input."""
    ws, xs, index = numbered(7), numbered(7, 0.25), Value(1.0)
    constants = [constant(k * k + 0.1) for k in range(7)]
    several = [*ws[:3], *xs[3:5], *constants[5:]]
    chosen = {"parameters": ws, "inputs": xs, "constants": constants, "several arrays": several}[kind]
    picked = [mc.take([chosen[(k + shift) % 7] for k in range(7)], index) for shift in range(4)]
    rows = [[*(x.data for x in xs), k] for k in (0.0, -0.0, 3.0, 6.0)]
    return Case(mc.sum([p * w for p, w in zip(picked, ws, strict=False)]) * ws[6], [*xs, index], rows)


def of_roots_of_takes():
    """Return a loss whose gradient is infinite for a selected 0, and must be 0 for the other operands."""
    ws, index = [Value(float(k)) for k in range(7)], Value(1.0)
    picked = [mc.sqrt(mc.take([ws[(k + shift) % 7] for k in range(7)], index)) for shift in (0, 0, 3)]
    return Case(mc.dot(picked, [1.0, 2.0, 3.0]), [index], [[k] for k in (0.0, 3.0, 3.0, 6.0)])


def of_one(make):
    """Return the case of a function of two parameters and twelve inputs."""
    w, b, xs = Value(0.5), Value(1.0), numbered(12)
    return Case(make(w, b, xs), xs, random_rows(12, 3))


CASES = {
    **{activation: lambda activation=activation: of_activation(activation) for activation in ACTIVATIONS},
    **{f"{graph}, {n}": lambda graph=graph, n=n: of_graph(graph, n, n != 11) for graph in GRAPHS for n in (11, 40)},
    **{f"a term of {term}": lambda term=term: of_a_constant_term(term) for term in (-1.5, 0.25, 0.0, -0.0)},
    **{f"products with {x}, {n}": lambda x=x, n=n: of_products_with(x, n) for x in (0.0, 1.0, 2.5) for n in (3, 40)},
    **{f"takes of {kind}": lambda kind=kind: of_takes(kind) for kind in TAKEN},
    "roots of takes": of_roots_of_takes,
    "totals in one table": of_totals_in_one_table,
    "what is there for every row": of_what_is_there_for_every_row,
    "a batch": of_a_batch,
    "several outputs": of_several_outputs,
    "a large graph": of_a_large_graph,
    "a linear function": lambda: of_one(lambda w, b, xs: w * xs[0] + b),
    "a dot": lambda: of_one(lambda w, b, xs: mc.dot(numbered(12), xs)),
    "a parameter": lambda: of_one(lambda w, b, xs: w),
    "a constant": lambda: of_one(lambda w, b, xs: constant(3.0)),
    "no parameter": lambda: of_one(lambda w, b, xs: mc.exp(xs[0]) * xs[0]),
    "one gradient of two parameters": lambda: of_one(lambda w, b, xs: mc.tanh((w + b) * xs[0])),
    "no inputs": lambda: Case(mc.exp(w := Value(0.5)) * w, [], [[]]),
    "derivatives": lambda: of_one(lambda w, b, xs: gradients(mc.tanh(mc.dot(xs, xs)) * w, xs[:3], create_graph=True)),
}  # fmt: skip
SINGLE = {"tanh", *(f"{graph}, 11" for graph in GRAPHS)}


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """Return the program, the rows and the C functions of each case, in double and for some in single precision too."""
    programs, texts, rows = {}, {}, {}
    for k, (case, make) in enumerate(CASES.items()):
        outputs, inputs, *rows[case] = make()
        programs[case] = compile(outputs, inputs)
        for precision in KINDS if case in SINGLE else ["double"]:
            texts[f"{precision}{k}", precision] = programs[case].source(
                "c", name=f"{precision}{k}", precision=precision
            )
    made = files(texts, tmp_path_factory.mktemp("cases"))
    return {
        (case, precision): (programs[case], *rows[case], made[f"{precision}{k}"])
        for k, case in enumerate(CASES)
        for precision in KINDS
        if f"{precision}{k}" in made
    }


@pytest.mark.parametrize(("case", "precision"), [(c, p) for c in CASES for p in KINDS if p == "double" or c in SINGLE])
def test_numbers_are_those_of_the_program(cases, case, precision):
    """The C functions return the outputs, the loss and the gradient that the compiled program returns.

    A program without parameters, or with several outputs, has no gradient in C.
    """
    program, rows, rel, file = cases[case, precision]
    rel = rel if precision == "double" else 1e-4
    numbers = data(program.parameters)
    for row, expected in zip(rows, program.forward(rows), strict=True):
        outputs = expected if isinstance(expected, list) else [expected]
        assert all(close(a, b, 1.0, rel) for a, b in zip(file.forward(numbers, row), outputs, strict=True))
    if not program.parameters or isinstance(expected, list):
        if not program.parameters or expected[1:]:
            assert not hasattr(file.made, f"{file.name}_gradient")
        return
    for chosen in (rows[:1], rows):
        for p in program.parameters:
            p.grad = 0.0
        loss = program.backward(chosen)
        found, gradient = file.gradient(numbers, chosen)
        assert close(found, loss, 1.0, rel)
        for a, p in zip(gradient, program.parameters, strict=True):
            assert close(a, p.grad, 1.0, rel or 1e-15), (a, p.grad)


@pytest.mark.parametrize("kind", TAKEN)
def test_what_is_taken_by_no_number_of_an_operand_is_nan(cases, kind):
    """In C, `take` is nan for an index that is no operand's number, even where other numbers follow in the array."""
    program, [row, *_], _, file = cases[f"takes of {kind}", "double"]
    for k in (-1.0, 7.0, 8.0, 9.0, 1.5, math.nan, math.inf, -math.inf, 1e300):
        assert math.isnan(file.forward(data(program.parameters), [*row[:-1], k])[0]), k


def test_what_llvm_has_inside_others_c_does_not_need_to_know():
    """The C source is the same whether or not the program's instructions are fused for threaded code."""
    ws, xs = numbered(4), numbered(80)
    y = mc.sum([mc.tanh(ws[k % 4] * (b - a * a) ** 2) + (1 - a) ** 2 for k, (a, b) in enumerate(pairwise(xs))])
    text = compile(y, xs).source("c")
    with code_of("fused"):
        program = compile(y, xs)
        program.forward([[0.5] * 80])
        assert program.source("c") == text


# One step of training


class Lion(Optimizer):
    """A user-defined optimiser, whose update is written with the table's operations."""

    state_names = ("before_last", "unused", "last", "momentum", "given", "taken")

    def update(self, p, state):
        mixed = 0.9 * state["momentum"] + 0.1 * p.grad
        p.data -= self.lr * (mc.step(mixed) - mc.step(-mixed))
        state["momentum"] = 0.99 * state["momentum"] + 0.01 * p.grad
        state["before_last"], state["last"] = state["last"], p.grad
        state["taken"] = state["given"]


STEPS = {**OPTIMISERS, "own": lambda ps: Lion(ps, lr=0.01)}


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    """Return for each optimiser the C functions of a program whose training step it takes."""
    texts = {}
    for name, make in STEPS.items():
        _, program, _, model = problem()
        texts[name, "double"] = program.source("c", model, name=name, optimizer=make(in_order(model)))
    return files(texts, tmp_path_factory.mktemp("steps"))


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("batch", [1, 7])
def test_steps_are_those_of_the_optimiser(steps, name, batch):
    """The C function of a training step changes parameters and state as `backward` and `step` do."""
    _, program, rows, model = problem()
    parameters, file = in_order(model), steps[name]
    optimizer = STEPS[name](parameters)
    slots = [slot for slot in optimizer.state_names if name != "sgd" and slot != "unused"]
    assert file.size["state"] == 1 + len(slots) * len(parameters)
    file.state = file.array("state")
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


def test_what_an_optimiser_computes_of_its_steps_is_computed_once_a_step():
    """The powers of Adam's betas depend on the step alone, so they are computed outside the loop over parameters."""
    w, v, x = Value(0.5), Value(0.25), Value(1.0)
    text = compile(mc.tanh(w * x + v), [x]).source("c", optimizer=Adam([w, v]))
    before, _, inside = text.partition("double f_step(")[2].partition("i < F_PARAMETERS; i++")
    assert before.count("pow(") == 2
    assert "pow(" not in inside


@pytest.mark.parametrize("frozen", [[0], [0, 1, 2, 5, 9], list(range(1, 26)), "not given"])
def test_a_step_changes_no_other_parameters(tmp_path, frozen):
    """A training step in C changes no parameter that is frozen or that the optimiser does not have."""
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


# Precision and weights


def test_single_precision(tmp_path):
    """A file in single precision computes with floats alone, and its loss, gradient and step are those of the program.

    A constant or a function of double precision would convert to double and back, which is slow on a microcontroller.
    """
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
    assert loss != expected, "a loss without any rounding error was computed in double precision"
    optimizer.step()
    file.step(numbers, rows, 0.01)
    assert all(abs(a - p.data) < 1e-6 for a, p in zip(numbers, parameters, strict=True))


def test_single_precision_has_special_values(tmp_path):
    """Infinities, nan, and constants that a float cannot hold come out in single precision as C's rules say."""
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
        (3e38, [inf, 1 / 3e38, 3e38, math.log(3e38), inf, inf, 1.0, 0.0]),  # x + x overflows before -x is added
    ):
        assert all(map(lambda a, b: close(a, b, rel=1e-6, size=1e-38), file.forward([], [point]), expected)), point


@pytest.mark.parametrize("precision", KINDS)
def test_embedded_weights_are_what_they_are_now(tmp_path, precision):
    """Embedded weights are the parameters' data when the source is written, exact in the file's precision."""
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


# User-defined operations

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
    """C has user-defined operations by the comparison, intrinsic or C function that they lower to, or refuses them."""
    x, y = Value(1.0), Value(2.0)
    rows = [
        *(Op(f"own_{name}", f, (None, None), lowerings=Lowerings(machine=f"fcmp {name}")) for name, f in OWN.items()),
        Op("smaller", min, (None, None), lowerings=Lowerings(machine="llvm.minnum")),
        Op(
            "cube_root",
            lambda x: math.copysign(abs(x) ** (1 / 3), x),
            (lambda y, x: 1.0 / (3.0 * y * y),),
            lowerings=Lowerings(machine="cbrt"),
        ),
        Op("down", math.floor, (None,), lowerings=Lowerings(machine="llvm.floor")),
        Op("square", lambda x: x * x, (lambda y, x: 2.0 * x,)),
    ]
    file = compiled(compile([op(*[x, y][: op.arity]) for op in rows], [x, y]), tmp_path)
    for point in ([1.5, 2.5], [2.5, 1.5], [2.5, 2.5]):
        expected = [float(op.forward(*point[: op.arity])) for op in rows]
        assert file.forward([], point) == pytest.approx(expected, rel=1e-15)
    for point in product([1.0, 2.0, math.nan], repeat=2):
        assert file.forward([], list(point))[: len(OWN)] == [float(f(*point)) for f in OWN.values()]
    strange = Op("strange", lambda x: x, (lambda y, x: 1.0,), lowerings=Lowerings(machine="bessel"))
    with pytest.raises(
        ValueError, match=r"'strange' has lowerings\.machine='bessel', which is no function of C99's math\.h"
    ):
        compile(strange(x), [x]).source("c")
