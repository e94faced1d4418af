"""Compiled graphs at their edges: rows that are none, orders that are none, and text that runs on every engine."""

import math
import random
from array import array
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

import micrograd_cn as mc
from micrograd_cn import Value, gradients
from micrograd_cn.compiler import compile  # noqa: A004 -- the field's name
from micrograd_cn.compiler.rows import read_rows, shuffled
from micrograd_cn.engine import constant
from micrograd_cn.optim import SGD, Adam, AdamW, Optimizer

# Text that runs on every engine

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


def python(program):
    names = {}
    exec(program.source("python"), names)
    return names["f"]


def engine(name):
    """Return the module, and a function that makes an array of it in double precision."""
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
    x, w = Value(0.3), Value(0.7)
    program = compile(graph(x, w), [x])
    for number in (-1.5, 0.3, 2.0):
        found = python(program)(math, [p.data for p in program.parameters], [number])
        assert found == pytest.approx(program.forward([[number]])[0], rel=1e-13)


def test_gradients_of_torch_go_through_the_text():
    torch = pytest.importorskip("torch")
    x, w = Value(0.3), Value(0.7)
    program = compile(mc.hypot(mc.tanh(w) * x, mc.sin(w)) + mc.relu(w), [x])
    weight = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    python(program)(torch, [weight], [0.3]).backward()
    program.backward([[0.3]])
    assert weight.grad.item() == pytest.approx(w.grad, rel=1e-13)


def test_single_precision_of_torch_stays_beside_numbers():
    torch = pytest.importorskip("torch")
    x, w = Value(0.3), Value(0.7)
    program = compile(mc.hypot(x, 2.0) * mc.tanh(w) + mc.relu(x * w), [x])
    assert python(program)(torch, [0.7], [torch.tensor([0.3, -1.0])]).dtype == torch.float32


def test_arrays_are_made_only_where_numbers_may_be_alone():
    x, w = Value(0.3), Value(0.7)
    assert "array" not in compile(mc.tanh(w * x + 1.0) + mc.hypot(x * w, x + w) + mc.relu(w - x), [x]).source("python")
    assert "array" not in compile(mc.tanh(x) + mc.relu(x), [x]).source("python")
    assert compile(mc.sin(w) * mc.where(constant(1.0), x, 2.0), [x]).source("python") == (
        "def f(xp, parameters, inputs):\n"
        "    def array(x):  # torch's functions take no plain numbers\n"
        '        return xp.tensor(x, dtype=xp.float64) if hasattr(xp, "is_tensor") and not xp.is_tensor(x) else x\n'
        "    [w0] = map(array, parameters)\n"
        "    [x0] = inputs\n"
        "    v0 = xp.sin(w0)\n"
        "    v1 = v0 * x0\n"
        "    return v1\n"
    )


@pytest.mark.parametrize(
    ("graph", "point"),
    [(mc.log, 0.0), (mc.sqrt, -1.0), (lambda x: mc.div(1.0, x), 0.0), (mc.exp, 1000.0), (lambda x: x ** (1 / 3), -8.0)],
)
def test_outside_pythons_domain_math_does_as_python_and_arrays_as_the_table(graph, point):
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


# Updates that are compiled anew

factor = 1.0


def test_an_optimiser_of_another_class_is_compiled_anew_for_each_fit():
    class Scaled(Optimizer):
        scale = 1.0

        def update(self, p, state):
            p.data -= self.lr * self.scale * factor * p.grad

    class Inherited(SGD):
        sign = 1.0

        def update(self, p, state):
            p.data -= self.lr * self.sign * factor * p.grad

    global factor
    x, w = Value(1.0), Value(0.0)
    program = compile(w * x, [x])
    for kind, name in ((Scaled, "scale"), (Inherited, "sign")):
        w.data, factor = 0.0, 1.0
        optimizer = kind([w], lr=1.0)
        program.fit([[1.0]], optimizer, 1)
        setattr(kind, name, 10.0)
        program.fit([[1.0]], optimizer, 1)
        factor = 100.0
        program.fit([[1.0]], optimizer, 1)
        assert w.data == -1011.0


@pytest.mark.parametrize("kind", [SGD, Adam, AdamW])
def test_an_optimiser_of_the_library_is_compiled_once(kind):
    x, w = Value(1.0), Value(0.0)
    program = compile(w * x, [x])
    program.fit([[1.0]], kind([w], lr=0.1), 1)
    kept = len(program._modules.made)
    program.fit([[1.0]], kind([w], lr=0.2), 1)
    assert len(program._modules.made) == kept
    program.fit([[1.0]], kind([w], lr=0.2, weight_decay=0.5), 1)
    assert len(program._modules.made) == kept + 1


# Orders

WRONG = {
    "twice": lambda order: order.__setitem__(0, order[1]),
    "below": lambda order: order.__setitem__(order.index(3), -1),
    "above": lambda order: order.__setitem__(order.index(3), 10),
    "no int64": lambda order: order.__setitem__(order.index(3), 2**70),
    "a fraction": lambda order: order.__setitem__(order.index(3), 3.0),
    "no number": lambda order: order.__setitem__(order.index(3), None),
    "fewer": lambda order: order.remove(3),
    "more": lambda order: order.append(3),
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_an_order_of_other_numbers_is_refused(change):
    x, w = Value(1.0), Value(0.0)
    program = compile(w * x, [x])
    with pytest.raises(ValueError, match="shuffle must put the numbers of the rows in another order alone"):
        program.fit([[1.0]] * 10, SGD([w]), 2, shuffle=SimpleNamespace(shuffle=change))
    assert w.data == 0.0


def test_every_order_of_the_numbers_is_taken():
    order = list(range(1000))
    random.Random(0).shuffle(order)
    assert shuffled(order, 1000) == array("q", order)
    assert shuffled([np.int64(1), False], 2) == array("q", [1, 0])


# Rows


class Longer(list):
    def __len__(self):
        return 2


@pytest.mark.parametrize(
    ("rows", "exception", "message"),
    [
        ([[1.0, 2.0], [np.complex128(2j), 1.0]], TypeError, r"rows\[1\]: expected a real number, got the complex"),
        ([np.array([2j, 1.0])], TypeError, r"rows\[0\]: .* the complex"),
        ([[1.0, 2.0], [1.0, "2"]], TypeError, r"rows\[1\]: expected a real number"),
        (None, TypeError, "expected rows, each a sequence of 2 numbers, got NoneType"),
        (5, TypeError, "expected rows, each a sequence of 2 numbers, got int"),
        ([Longer([1.0])], ValueError, r"rows\[0\] has 1 numbers, the program 2 inputs"),
        ([Longer([1.0]), Longer([1.0, 2.0, 3.0])], ValueError, r"rows\[0\] has 1 numbers"),
        ([Longer([1.0, 2.0, 3.0])], ValueError, r"rows\[0\] has 3 numbers"),
    ],
)
@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
def test_what_is_no_row_is_refused(rows, exception, message):
    x, t, w = Value(2.0), Value(1.0), Value(3.0)
    program = compile(w * x + t, [x, t])
    for run in (program.forward, program.backward, lambda rows: program.fit(rows, SGD([w]), 1)):
        with pytest.raises(exception, match=message):
            run(rows)
    assert (w.data, w.grad) == (3.0, 0.0)


def test_every_kind_of_real_number_is_read():
    kinds = (float, int, Fraction, np.float64, np.float32, np.int64, np.array, lambda x: bool(x - 1))
    for kind in kinds:
        assert read_rows([[kind(2), 1.0], (0.5, kind(1))], 2) == (array("d", [kind(2), 1.0, 0.5, kind(1)]), 2)


@pytest.mark.parametrize("huge", [10**400, Fraction(10**400)])
def test_a_number_beyond_the_largest_float_is_an_infinity_as_in_a_value(huge):
    assert list(read_rows([[huge, -huge]], 2)[0]) == [float("inf"), -float("inf")]
    assert Value(-huge).data == -float("inf")


def test_rows_may_be_what_can_only_be_numbered():
    class Numbered:
        def __getitem__(self, i):
            return [[1.0, 2.0], [3.0, 4.0]][i]

    assert read_rows(Numbered(), 2) == (array("d", [1.0, 2.0, 3.0, 4.0]), 2)


def test_a_row_that_changes_after_it_was_read_is_as_it_was():
    def rows():
        row = [1.0, 2.0]
        yield row
        row[0] = 3.0
        yield row
        row.pop()

    assert read_rows(rows(), 2) == (array("d", [1.0, 2.0, 3.0, 2.0]), 2)
