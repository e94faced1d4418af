"""The Python source of a program runs on math, numpy, torch and jax, and gives the program's numbers and gradients."""

import math
import random
from itertools import pairwise, product
from types import SimpleNamespace

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import OPS, Value, gradients, losses
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.engine import constant, record
from micrograd_cn.module import Module
from micrograd_cn.nn import MLP, Layer
from micrograd_cn.parameters.tree import flatten

from .common import python

GRAPHS = {
    "derivative of atan": lambda x, w: gradients(mc.atan(x), [x], create_graph=True)[0],
    "hypot with a number": lambda x, w: mc.hypot(x, 2.0),
    "atan2 of a number": lambda x, w: mc.atan2(2.0, x) + mc.atan2(w, -2.0),
    "hypot of both": lambda x, w: mc.hypot(x, w),
    "a constant condition": lambda x, w: mc.where(constant(1.0), x, w) + mc.where(constant(0.0), x, w * x),
    "a condition from a constant": lambda x, w: mc.leaky_relu(0.5, w) * x + mc.leaky_relu(-0.5, w),
    "functions of one leaf": lambda x, w: mc.tanh(x) * mc.exp(w) + mc.erf(w) - mc.asin(0.1 * x),
    "choices of one leaf": lambda x, w: mc.relu(x) + mc.relu(w) + mc.step(w) * 0.1 + mc.step(x),
    "a leaf as a condition": lambda x, w: mc.where(x, w, 2.0) + mc.where(w, 0.1, x) + mc.where(x * w, 0.1, w),
    "a comparison as a number": lambda x, w: mc.less(x, 0.1) + mc.less(w, x) * 0.1,
    "numbers of single precision": lambda x, w: mc.where(mc.less(x, w), w, 0.1) + mc.where(mc.less(x, w), 0.1, 0.7),
    "derivative of pow": lambda x, w: mc.sum(gradients(mc.pow(x * x + 0.1, w), [x, w], create_graph=True)),
    "derivative of maximum": lambda x, w: mc.sum(gradients(mc.maximum(x, w), [x, w], create_graph=True)),
}


def engine(name):
    """Return a library, and a function that makes one of its arrays of doubles."""
    if name == "numpy":
        return np, np.asarray
    if name == "torch":
        torch = pytest.importorskip("torch")
        return torch, lambda x: torch.tensor(x, dtype=torch.float64)
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    return jax.numpy, jax.numpy.asarray


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
@pytest.mark.parametrize("plain", ["nothing", "parameters", "inputs"])
@pytest.mark.parametrize("name", ["numpy", "torch", "jax"])
def test_numbers_may_stand_beside_arrays(name, plain, graph):
    """Parameters or inputs may be plain numbers while the others are arrays.

    Some torch and jax functions refuse plain numbers, so the source has to make arrays of them where it uses these.
    """
    xp, array_of = engine(name)
    x, w = Value(0.3), Value(0.7)
    program = compile(graph(x, w), [x])
    f = python(program)
    column = [-1.5, 0.0, 0.3, 2.0]
    if plain == "inputs" and program.parameters:
        outputs = [f(xp, [array_of(p.data) for p in program.parameters], [number]) for number in column]
    else:
        parameters = [p.data if plain == "parameters" else array_of(p.data) for p in program.parameters]
        outputs = np.broadcast_to(np.asarray(f(xp, parameters, [array_of(column)])), 4)
    expected = program.forward([[number] for number in column])
    assert [float(y) for y in outputs] == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_the_same_text_runs_on_math(graph):
    """The source that runs on arrays runs on plain numbers too, with Python's module math."""
    x, w = Value(0.3), Value(0.7)
    program = compile(graph(x, w), [x])
    for number in (-1.5, 0.3, 2.0):
        found = python(program)(math, [p.data for p in program.parameters], [number])
        assert found == pytest.approx(program.forward([[number]])[0], rel=1e-13)


def test_gradients_of_torch_go_through_the_text():
    """torch's backward through the source gives the program's gradient."""
    torch = pytest.importorskip("torch")
    x, w = Value(0.3), Value(0.7)
    program = compile(mc.hypot(mc.tanh(w) * x, mc.sin(w)) + mc.relu(w), [x])
    weight = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    python(program)(torch, [weight], [0.3]).backward()
    program.backward([[0.3]])
    assert weight.grad.item() == pytest.approx(w.grad, rel=1e-13)


SELECTED = {
    "relu": mc.relu,
    "maximum": lambda x: mc.maximum(x, 0.0),
    "maximum, the other way round": lambda x: mc.maximum(0.0, x),
    "minimum": lambda x: 1.0 - mc.minimum(x, 1.0),
    "minimum, the other way round": lambda x: 1.0 - mc.minimum(1.0, x),
    "both": lambda x: mc.maximum(x, x * x) + mc.minimum(x, x * x),
    "where": lambda x: mc.where(mc.less(0.0, x), x, 0.0),
    "take": lambda x: mc.take([0.0, x], mc.less(0.0, x)),
}


@pytest.mark.parametrize("f", [mc.sqrt, mc.log, lambda x: 1.0 / x, lambda x: x**1.5, mc.asin, lambda x: 3.0 * x])
@pytest.mark.parametrize("select", SELECTED.values(), ids=SELECTED)
@pytest.mark.parametrize("name", ["torch", "jax"])
def test_gradients_of_libraries_are_the_table_s_at_kinks_and_of_what_was_not_selected(name, select, f):
    """torch's and jax's gradients of the source are the engine's at a kink, and where an operand was not selected.

    Libraries have other conventions at kinks. Some also give nan if an operand that was not selected has an infinite
    derivative.
    """
    xp, array_of = engine(name)
    printed = python(compile(f(select(Value(0.5))), []))
    for x in (-1.0, 0.0, 0.25, 1.0, 2.0):
        leaf = Value(x)
        f(select(leaf)).backward()
        if name == "torch":
            w = array_of(x).requires_grad_()
            printed(xp, [w], []).backward()
            found = w.grad.item()
        else:
            jax = pytest.importorskip("jax")
            found = float(jax.grad(lambda w: printed(xp, [w], []))(x))
        assert found == pytest.approx(leaf.grad, rel=1e-13, nan_ok=True), x


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0, None])
@pytest.mark.parametrize("name", ["torch", "jax"])
def test_gradients_of_powers_are_the_table_s_at_0(name, exponent):
    """jax's derivative of 0.0 ** 0.0 is nan, and so is its second derivative of 0.0 ** 1.0."""
    xp, array_of = engine(name)
    a, b = Value(0.5), Value(2.0)
    graph = a**b if exponent is None else a**exponent + b
    printed = python(compile(graph, [a, b]))
    for point in ((0.0, 0.0), (0.0, 2.0), (2.0, 0.0), (0.0, 1.5), (0.5, -1.0)):
        x, y = map(Value, point)
        (x**y if exponent is None else x**exponent + y).backward()
        if name == "torch":
            leaves = [array_of(number).requires_grad_() for number in point]
            printed(xp, [], leaves).backward()
            found = [leaf.grad.item() for leaf in leaves]
        else:
            jax = pytest.importorskip("jax")
            found = [*map(float, jax.grad(lambda xs: printed(xp, [], xs))([*map(array_of, point)]))]
            if exponent == 1.0:
                assert jax.hessian(lambda xs: printed(xp, [], xs))([*map(array_of, point)]) == [[0.0, 0.0]] * 2
        assert found == pytest.approx([x.grad, y.grad], rel=1e-13), point


@pytest.mark.parametrize(
    ("f", "line"),
    [
        (lambda x, y: x**0.0 + y, "v0 = power(x0, 0.0)"),
        (lambda x, y: x**y, "v0 = power(x0, x1)"),
        (lambda x, y: 0.0**x + y, "v0 = power(0.0, x0)"),
        (lambda x, y: x**1.0 + y, "v0 = x0 + x1"),
        (lambda x, y: x**2.0 + y, "v0 = x0 ** 2.0"),
        (lambda x, y: 2.0**x + y, "v0 = 2.0 ** x0"),
    ],
)
def test_only_a_power_that_may_be_0_to_the_power_0_needs_a_definition(f, line):
    """The definition differs from ** in jax's derivatives alone, so all libraries compute the same values."""
    x, y = Value(2.0), Value(3.0)
    program = compile(f(x, y), [x, y])
    assert f"\n    {line}\n" in program.source("python")
    for point in ((0.0, 0.0), (2.0, 0.0), (0.0, 2.0), (2.0, 3.0)):
        expected = program.forward([point])[0]
        assert python(program)(math, [], point) == python(program)(np, [], [*map(np.array, point)]) == expected


SMOOTH = {
    "softplus": (lambda x: mc.softplus(x), [(0.0,), (-0.0,), (2.0,), (-800.0,), (800.0,)]),
    "sigmoid": (lambda x: mc.sigmoid(x), [(0.0,), (-0.0,), (2.0,), (-800.0,), (800.0,)]),
    "silu": (lambda x: mc.silu(x), [(0.0,), (-0.0,), (2.0,), (-800.0,), (800.0,)]),
    "sech": (lambda x: mc.sech(x), [(0.0,), (-0.0,), (2.0,)]),
    "elu": (lambda x: mc.elu(x), [(0.0,), (-2.0,), (800.0,)]),
    "a derivative": (lambda x: gradients(mc.silu(x), [x], create_graph=True)[0], [(0.0,), (-2.0,), (2.0,)]),
    "logits": (losses.binary_cross_entropy_with_logits, [(0.0, 1.0), (0.0, 0.0), (0.0, 0.25), (-2.0, 1.0)]),
    "logsumexp": (lambda *xs: mc.logsumexp(xs), [(0.0,) * 4, (0.0, 1.0, 1.0, 1.0), (1.0, 0.0, 1.0, 1.0), (2.0, 1.0)]),
    "softmax": (lambda *xs: mc.softmax(xs)[1], [(0.0,) * 4, (0.0, 1.0, 1.0, 1.0), (1.0, 0.0, 1.0, 1.0)]),
    "classes": (lambda *xs: losses.cross_entropy(xs, 1), [(0.0,) * 3, (0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (2.0, 0.5)]),
    "hypot": (mc.hypot, [(1.0, 1.0), (-1.0, 1.0), (3.0, 4.0), (0.0, 2.0), (1e200, 1e200), (1.0, 1e-9)]),
    "abs, which has the derivative 0 at 0": (mc.abs, [(0.0,), (-0.0,), (-2.0,)]),
}
SMOOTH_POINTS = [pytest.param(f, point, id=f"{name} at {point}") for name, (f, ps) in SMOOTH.items() for point in ps]


def derivatives_of(f, point):
    """Return the gradient and the Hessian of a function at a point, as the engine computes them."""
    xs = [*map(Value, point)]
    first = gradients(f(*xs), xs, create_graph=True)
    return [g.data for g in first], [gradients(g, xs) if g.requires_grad else [0.0] * len(xs) for g in first]


@pytest.mark.parametrize(("f", "point"), SMOOTH_POINTS)
def test_the_source_of_a_smooth_function_has_its_derivatives_where_the_source_branches(f, point):
    """At 0 and at ties, where the printed formulas choose a branch, the branch has the derivatives of the function.

    The engine itself takes the place of the library: it differentiates the formulas that are printed.
    """
    xs = [Value(0.5 + 0.1 * k) for k in range(len(point))]
    printed = python(compile(f(*xs), xs))
    library = SimpleNamespace(__name__="engine", **{name: op for name, op in OPS.items() if name != "where"})

    def rerun(*xs):
        return printed(library, [], xs)

    for found, expected in zip(derivatives_of(rerun, point), derivatives_of(f, point), strict=True):
        assert np.asarray(found) == pytest.approx(np.asarray(expected), rel=1e-9, abs=1e-12)
    assert rerun(*map(Value, point)).data == pytest.approx(f(*map(Value, point)).data, rel=1e-12)


@pytest.mark.parametrize("name", ["torch", "jax"])
@pytest.mark.parametrize(("f", "point"), SMOOTH_POINTS)
def test_gradients_of_libraries_are_right_where_the_source_of_a_smooth_function_branches(name, f, point):
    """torch's and jax's first and second derivatives of the source are the engine's, at 0 and at ties, too."""
    xp, array_of = engine(name)
    xs = [Value(0.5 + 0.1 * k) for k in range(len(point))]
    printed = python(compile(f(*xs), xs))
    if name == "torch":
        ys = [array_of(x).requires_grad_() for x in point]
        first = xp.autograd.grad(printed(xp, [], ys), ys, create_graph=True)
        rows = [xp.autograd.grad(g, ys, retain_graph=True, allow_unused=True) for g in first if g.requires_grad]
        second = [[0.0 if x is None else x.item() for x in row] for row in rows]
        first = [g.item() for g in first]
    else:
        jax = pytest.importorskip("jax")
        first = jax.grad(lambda xs: printed(xp, [], xs))([*map(array_of, point)])
        second = jax.hessian(lambda xs: printed(xp, [], xs))(array_of(point))
    for found, expected in zip((first, second), derivatives_of(f, point), strict=True):
        assert np.asarray(found) == pytest.approx(np.asarray(expected), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", ["numpy", "math"])
def test_logsumexp_prints_special_values(name):
    """The Python source of logsumexp has the engine's values for infinities and nan."""
    xs = [Value(0.1), Value(0.2), Value(0.3)]
    printed = python(compile(mc.logsumexp(xs), xs))
    for point in product([-math.inf, -1.0, 800.0, math.inf, math.nan], repeat=3):
        with np.errstate(invalid="ignore"):
            found = printed(np, [], [*map(np.asarray, point)]) if name == "numpy" else printed(math, [], point)
        assert float(found) == pytest.approx(mc.logsumexp(point), nan_ok=True), point


@pytest.mark.parametrize("name", ["numpy", "math"])
def test_operations_that_select_print_special_values(name):
    """In the Python source, relu, maximum and minimum have the engine's values for infinities, nan and signed zeros."""
    numbers = [-math.inf, -1.0, -0.0, 0.0, 2.0, math.inf, math.nan]
    x, w = Value(0.3), Value(0.7)
    for op in (lambda a, b: mc.relu(a) + mc.relu(b), mc.maximum, mc.minimum):
        printed = python(compile(op(w, x), [x]))
        for a, b in product(numbers, repeat=2):
            arguments = [np.asarray(a)], [np.asarray(b)]
            with np.errstate(invalid="ignore"):
                found = printed(np, *arguments) if name == "numpy" else printed(math, [a], [b])
            assert float(found) == pytest.approx(op(a, b), nan_ok=True), (a, b)


def test_single_precision_of_torch_stays_beside_numbers():
    """Plain numbers beside torch's arrays of floats do not make the result an array of doubles."""
    torch = pytest.importorskip("torch")
    x, w = Value(0.3), Value(0.7)
    program = compile(mc.hypot(x, 2.0) * mc.tanh(w) + mc.relu(x * w), [x])
    assert python(program)(torch, [0.7], [torch.tensor([0.3, -1.0])]).dtype == torch.float32


def test_arrays_are_made_only_where_numbers_may_be_alone():
    """The source makes arrays of numbers only where a function might get plain numbers alone, so it stays readable."""
    x, w = Value(0.3), Value(0.7)
    assert "array" not in compile(mc.tanh(w * x + 1.0) + mc.hypot(x * w, x + w) + mc.relu(w - x), [x]).source("python")
    assert "array" not in compile(mc.tanh(x) + mc.relu(x), [x]).source("python")
    alone = compile(mc.sin(w) * mc.where(constant(1.0), x, 2.0), [x]).source("python")
    assert "[w0] = map(array, parameters)\n    [x0] = inputs\n" in alone


@pytest.mark.parametrize(
    ("graph", "point"),
    [(mc.log, 0.0), (mc.sqrt, -1.0), (lambda x: mc.div(1.0, x), 0.0), (mc.exp, 1000.0), (lambda x: x ** (1 / 3), -8.0)],
)
def test_outside_pythons_domain_math_does_as_python_and_arrays_as_the_table(graph, point):
    """Outside an operation's domain, the source gives the engine's inf or nan on arrays.

    On plain numbers it does what Python does, which raises an error or returns a complex number.
    """
    x = Value(1.0)
    program = compile(graph(x), [x])
    f = python(program)
    with np.errstate(all="ignore"):
        [found] = f(np, [], [np.array([point])])
    assert found == pytest.approx(program.forward([[point]])[0], nan_ok=True)
    try:
        found = f(math, [], [point])
    except (ValueError, ArithmeticError):
        return
    assert isinstance(found, complex)


def every_row_once(xs, ws):
    """Return an output for each operation of the table, with operands inside its domain."""
    outputs = []
    for op in OPS.values():
        n = {"dot": 5, "take": 5}.get(op.name, op.arity or 3)
        operands = [(xs[i % len(xs)] if i % 2 else ws[i % len(ws)]) for i in range(n)]
        first = mc.sigmoid(operands[0] * xs[0]) * 0.8 + 0.1  # between 0.1 and 0.9, which is in every domain
        outputs.append(record(op, (2.0 + mc.less(first, 0.5) if op.lowerings.is_gather else first, *operands[1:])))
    return outputs


@pytest.mark.parametrize("name", ["numpy", "torch", "jax"])
def test_the_python_source_runs_on_array_engines(name):
    """The source of each operation gives the program's numbers on numpy, torch and jax arrays."""
    xp, array_ = engine(name)
    xs, ws = [Value(0.3), Value(-0.8)], [Value(0.7), Value(1.2)]
    program = compile(every_row_once(xs, ws), xs)
    rng = random.Random(0)
    rows = [[rng.uniform(-2, 2), rng.uniform(-2, 2)] for _ in range(20)]
    columns = [array_([row[k] for row in rows]) for k in range(2)]
    found = python(program)(xp, [array_(p.data) for p in program.parameters], columns)
    expected = program.forward(rows)
    for k, (row, column) in enumerate(zip(OPS, found, strict=True)):
        numbers = np.broadcast_to(np.asarray(column), 20)
        assert numbers == pytest.approx([outputs[k] for outputs in expected], rel=1e-12), row
    found = python(program)(math, [p.data for p in program.parameters], rows[0])
    assert found == pytest.approx(expected[0], rel=1e-12)


def test_the_python_source_is_a_line_for_each_operation_and_no_line_is_long():
    """The source has a line for each operation, and long lines are broken where the next word does not fit."""
    x, w, b = Value(2.0), Value(3.0), Value(1.0)
    lines = compile(mc.relu(mc.dot([w], [x], b)), [x]).source("python").splitlines()
    assert lines[0] == "def f(xp, parameters, inputs):"
    assert [*lines[1:3], *lines[-3:]] == [
        "    [w0, w1] = parameters",
        "    [x0] = inputs",
        "    v0 = w0 * x0 + w1",
        "    v1 = relu(v0)",
        "    return v1",
    ]
    for count in (1, 9, 10, 18, 19, 20, 39, 60):
        ws, xs = [Value(0.1) for _ in range(count)], [Value(0.5) for _ in range(count)]
        for graph in (mc.dot(ws, xs), mc.atan2(mc.sum(xs), 2.0) * mc.sum(ws)):
            program = compile(graph, xs)
            lines = program.source("python").splitlines()
            assert max(map(len, lines)) <= 105
            for line, following in pairwise(lines):
                if line.startswith(8 * " ") and following.startswith(8 * " "):
                    assert len(line) + 1 + len(following.split()[0]) > 60  # no line is broken where there is room
            assert python(program)(math, [0.1] * count, [0.5] * count) == pytest.approx(graph.data, rel=1e-12)


def test_a_line_of_the_python_source_is_broken_where_it_would_be_longer_than_104_characters():
    """A constant with one more digit makes the line one character longer."""
    xs, ws = [Value(0.5) for _ in range(9)], [Value(0.1) for _ in range(8)]
    lengths = []
    for digits in range(1, 16):
        constant_factor = Value(float("1." + digits * "3"), requires_grad=False)
        lines = compile(mc.dot([constant_factor, *ws], xs), xs).source("python").splitlines()
        lengths.append(max(map(len, lines)))
        assert (len(lines) == 5) == (lengths[-1] == 96 + digits)  # the head, two lines of names, the sum and `return`
    assert lengths[:8] == [*range(97, 105)]
    assert max(lengths[8:]) <= 96


# Parameters by name


def test_names_are_looked_up_in_quotes_of_one_kind_and_in_their_own_script():
    """Names of parameters are written in double quotes, and Chinese names stay readable instead of being escaped."""
    w, x = [Value(0.5), Value(1.5), Value(2.5)], Value(2.0)
    program = compile(w[0] * x + w[1] * x * x + w[2], [x])
    text = program.source("python", {"first": w[0], "it's": w[1], "偏置": w[2]})
    for key in ('["first"]', '["it\'s"]', '["偏置"]'):
        assert f"= parameters{key}\n" in text


class Slope(Module):
    """An activation function with a parameter."""

    def __init__(self, slope):
        self.slope = Value(slope, "slope")

    def __call__(self, x):
        return mc.where(mc.less(0.0, x), x, self.slope * x)


class Many(Module):
    """A module with entries of all kinds: a number, a list, a dict of layers, and ragged lists.

    No graph uses the entry `unused`.
    """

    def __init__(self):
        self.scale = Value(0.7, "scale")
        self.unused = [Value(9.0), Value(8.0)]
        self.layers = {"first": Layer(2, 3, activation=Slope(0.2), seed=0), "second": Layer(3, 1, seed=1)}
        self.ragged = [[Value(0.1)], [Value(0.2), Value(0.3)]]

    def __call__(self, x):
        hidden = self.layers["first"](x)
        return self.scale * self.layers["second"](hidden) + mc.tanh(self.ragged[1][0]) - self.ragged[0][0] * x[0]


class Dicts(Module):
    """A module with an entry that is a list that contains a dict."""

    def __init__(self):
        self.held = [{'of "one"': Value(2.0), 1: Value(3.0)}, Value(4.0)]

    def entries(self):
        return {"held": self.held}

    def __call__(self, x):
        first, last = self.held
        return first['of "one"'] * x[0] + first[1] * x[1] + last


def compiled(model):
    """Return a program of a model with two inputs."""
    x = [Value(0.3), Value(-0.2)]
    return compile(model(x), x)


def gradients_of(model):
    """Return the gradients of a model's parameters, in the order of its state."""
    return [leaf.grad for _, leaf in flatten(model.entries())[0]]


MODELS = {
    "an MLP": lambda: MLP(2, [5, 4, 1], activation="tanh", seed=0),
    "one whose last layer is wide": lambda: Layer(2, 3, seed=0),
    "all forms of entries": Many,
    "dicts in lists": Dicts,
}
ROWS = [[0.5, -1.0], [2.0, 0.25], [-0.75, 3.0]]


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("order", [list, reversed])
def test_parameters_are_found_by_the_modules_names_in_any_order(make, order):
    """`array_function` takes a module's `state_dict`, or the same with arrays, whatever the order of its keys."""
    model = make()
    program = compiled(model)
    f, state = program.array_function(model), model.state_dict()
    state = {name: state[name] for name in order(list(state))}
    expected = np.array(program.forward(ROWS)).T
    for row, numbers in zip(ROWS, expected.T, strict=True):
        assert f(math, state, row) == pytest.approx(numbers.tolist() if numbers.shape else numbers, rel=1e-13)
    assert np.asarray(f(np, state, np.array(ROWS).T)) == pytest.approx(expected, rel=1e-13)
    if make is not Dicts:
        arrays = {
            name: np.asarray(entry) if name != "ragged" else [*map(np.asarray, entry)] for name, entry in state.items()
        }
        assert np.asarray(f(np, arrays, np.array(ROWS).T)) == pytest.approx(expected, rel=1e-13)


def test_the_models_order_is_not_the_graphs_so_that_a_list_needs_the_latter():
    """Without names, the source takes parameters in the order of `Program.parameters`, which is not the model's."""
    model = MLP(2, [5, 4, 1], activation="tanh", seed=0)
    program = compiled(model)
    assert program.parameters != model.parameters()
    [expected] = program.forward(ROWS[:1])
    assert python(program)(math, [p.data for p in program.parameters], ROWS[0]) == pytest.approx(expected)
    assert python(program)(math, [p.data for p in model.parameters()], ROWS[0]) != pytest.approx(expected)
    with pytest.raises(ValueError, match="unpack"):
        python(program)(math, [p.data for p in program.parameters][:-1], ROWS[0])


def test_a_dict_names_parameters_of_no_module():
    x, w, b = Value(2.0), Value(3.0), Value(1.0)
    program = compile(w * x + b, [x])
    assert program.array_function({"b": b, "w": w})(math, {"w": 10.0, "b": 0.5}, [2.0]) == 20.5
    assert program.array_function({"both": (b, w)})(math, {"both": (0.5, 10.0)}, [2.0]) == 20.5


def test_a_state_of_another_form_is_refused():
    """A state with a missing entry, or an entry of another shape, raises an error instead of giving other numbers."""
    model = MLP(2, [5, 1], seed=0)
    f, state = compiled(model).array_function(model), model.state_dict()
    for name in state:
        with pytest.raises(KeyError, match=name):
            f(math, {other: entry for other, entry in state.items() if other != name}, ROWS[0])
        for wrong in (state[name][1:], [*state[name], state[name][0]]):
            with pytest.raises(ValueError, match="unpack"):
                f(math, state | {name: wrong}, ROWS[0])
            with pytest.raises(ValueError, match="unpack"):
                f(np, state | {name: np.array(wrong)}, ROWS[0])
    with pytest.raises(ValueError, match="unpack"):
        f(np, state | {"layers.0.weight": np.array(state["layers.0.weight"]).T}, ROWS[0])
    with pytest.raises(TypeError):
        f(math, [p.data for p in model.parameters()], ROWS[0])


def test_names_that_do_not_name_each_parameter_once_are_refused():
    x, w, b = Value(2.0), Value(3.0, "w"), Value(1.0, "b")
    program = compile(w * x + b, [x])
    for names, exception, message in (
        ({"w": w}, ValueError, r"parameters\[1\] of the program, .*labelled 'b', is not among those that are named"),
        ({"w": w, "b": b, "c": [w]}, ValueError, r"parameters\['w'\] and parameters\['c'\]\[0\] are the same"),
        ({"w": w, "b": [b, 1.0]}, TypeError, r"parameters\['b'\]\[1\] must be a Value, got float 1.0"),
        ([w, b], TypeError, "a module, or a dict that names them, got list"),
    ):
        with pytest.raises(exception, match=message):
            program.source("python", names)
        with pytest.raises(exception, match=message):
            program.array_function(names)
    with pytest.raises(ValueError, match='not in "llvm"'):
        program.source("llvm", {"w": w, "b": b})
    assert program.source("python", {"w": w, "b": b, "c": [x, x, Value(4.0)]}).count("parameters[") == 2


def test_two_layers_that_share_weights_are_refused():
    first = Layer(2, 2, seed=0)
    model = MLP(2, [2, 2], seed=0)
    model.layers = [first, first]
    with pytest.raises(ValueError, match=r"layers\.0\.weight'\]\[0\]\[0\] and .*layers\.1\.weight'\]\[0\]\[0\]"):
        compiled(model).source("python", model)


def test_what_was_frozen_stays_what_it_was():
    """Frozen parameters are constants in the source, so the state need not contain them."""
    model = Layer(2, 1, nonlin=False, seed=0)
    for p in model.neurons[0].w:
        p.requires_grad = False
    program = compiled(model)
    assert "weight" not in program.source("python", model)
    [expected] = program.forward(ROWS[:1])
    assert program.array_function(model)(math, {"bias": [1.0]}, ROWS[0]) == pytest.approx(expected + 1.0)


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_gradients_of_jax_and_torch_have_the_form_of_the_state(make):
    """torch's and jax's gradients with respect to a state are those that `backward` gives, entry by entry."""
    model = make()
    x = [Value(0.3), Value(-0.2)]
    outputs = model(x)
    program = compile(mc.sum(outputs) if isinstance(outputs, list) else outputs, x)
    program.backward(ROWS)
    f, state, expected = program.array_function(model), model.state_dict(), gradients_of(model)
    torch = pytest.importorskip("torch")
    leaves, rebuild = flatten(state)
    tensors = [torch.tensor(leaf, dtype=torch.float64, requires_grad=True) for _, leaf in leaves]
    f(torch, rebuild(tensors), torch.tensor(ROWS, dtype=torch.float64).T).mean().backward()
    assert [0.0 if t.grad is None else t.grad.item() for t in tensors] == pytest.approx(expected, rel=1e-12)
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    if make is Dicts:  # jax sorts the keys of a dict, and cannot compare an int with a str
        return
    columns = jax.numpy.asarray(ROWS).T
    found = jax.jit(jax.grad(lambda state: f(jax.numpy, state, columns).mean()))(state)
    assert [float(g) for _, g in flatten({name: found[name] for name in state})[0]] == pytest.approx(
        expected, rel=1e-12
    )


def test_names_may_have_any_character():
    """Names may contain quotes, backslashes and characters that end a line for Python, and the source still runs."""
    x, names = Value(2.0), [*map(chr, (0x85, 0x2028, 0x2029, 0x0B, 0x1C, 0x22, 0x5C)), "权重"]
    ws = {f"a{name}b": Value(k + 1.0) for k, name in enumerate(names)}
    program = compile(sum([w * x**k for k, w in enumerate(ws.values())], 0.0), [x])
    f = program.array_function(ws)
    assert f(math, {name: w.data for name, w in ws.items()}, [2.0]) == program(2.0)
